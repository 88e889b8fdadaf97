"""The microscope without a browser: every number is the model's own, every question is answered."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from explorers import ask
from torch import nn

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.probing import (
    Parts,
    all_parts_of,
    heads_off,
    layers_skipped,
    logit_lens,
    recorded,
    weights_of,
)
from course_lib.widgets import explorer as frame
from course_lib.widgets import microscope
from course_lib.widgets.microscope import MOST_TOKENS, Microscope, recordings
from course_lib.widgets.microscope.recording import Reading, piece, unpacked_all

LETTERS = "abcdefghijklmnopqrstuvwxyz"
IDS = [0, 2, 0, 19, 4]  # acate
N_LAYERS, N_HEADS, N = 3, 6, len(IDS)


def loud(model: nn.Module) -> nn.Module:
    """Weights large enough that heads differ."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 15
    return model.eval()


def writer(**options: object) -> tuple[GPT, BPETokenizer]:
    torch.manual_seed(0)
    sizes = {"vocab_size": 27, "max_seq_len": 61, "d_model": 24, "n_layers": N_LAYERS, "n_heads": N_HEADS}
    return loud(GPT(LlamaConfig(**{**sizes, "n_kv_heads": 2, **options}))), BPETokenizer([*LETTERS, "Ġ"], [])


def reader() -> tuple[BERT, WordPiece]:
    torch.manual_seed(0)
    tokens = ["[UNK]", "[CLS]", "[SEP]", *LETTERS, *("##" + letter for letter in LETTERS)]
    model = BERT(BERTConfig(vocab_size=len(tokens), max_seq_len=61, d_model=14, n_layers=2, n_heads=7))
    return loud(model), WordPiece(tokens)


def opened(recording: dict) -> dict[str, np.ndarray]:
    return unpacked_all(recording["arrays"])


def shares(found: dict, scores: np.ndarray) -> np.ndarray:
    """As the page makes them: (L, H, T, T)."""
    n = len(found["ids"])
    hidden = np.triu(np.full((n, n), found["causal"]), 1)
    full = np.where(hidden, -np.inf, scores.astype(np.float64) / found["scale"])
    raised = np.exp(full - full.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def vectors(levels: np.ndarray, largest: np.ndarray) -> np.ndarray:
    halves = np.stack([levels & 15, levels >> 4], -1).reshape(*levels.shape[:-1], -1)
    return (halves.astype(float) - 8) * largest[..., None] / 7


@pytest.fixture(scope="module")
def written() -> tuple[GPT, Reading, dict, dict[str, np.ndarray], list[Parts]]:
    model, tokenizer = writer()
    reading = Reading(model, tokenizer, IDS)
    found = reading.recording()
    return model, reading, found, opened(found), all_parts_of(model, IDS)


def test_what_comes_next_is_the_models(written) -> None:
    model, _, found, arrays, _ = written
    with torch.no_grad():
        logits = model(torch.tensor([IDS]))[0]
    chances = logits.softmax(-1)
    order = logits.argsort(-1, descending=True)
    named = [[found["pieces"][n] for n in row] for row in arrays["next_ids"]]
    assert named == [[(LETTERS + " ")[i] for i in row] for row in order]
    assert arrays["next_tokens"].tolist() == order.tolist()
    np.testing.assert_allclose(arrays["next_logits"], logits.sort(-1, descending=True).values, atol=1e-5)
    own = [chances[t, IDS[t + 1]].item() for t in range(N - 1)]
    np.testing.assert_allclose(arrays["own"][1:], own, atol=1e-6)
    ranks = [1 + (chances[t] > chances[t, IDS[t + 1]]).sum().item() for t in range(N - 1)]
    assert arrays["own_rank"][1:].tolist() == ranks
    np.testing.assert_allclose(arrays["kept_p"][:, :10], chances.gather(1, order[:, :10]), atol=1e-6)


def test_next_tokens_that_are_not_listed_are_counted_by_their_scores() -> None:
    model, _ = writer(vocab_size=211)
    tokens = [*LETTERS, *(a + b for a in LETTERS for b in LETTERS)][:211]
    found = Reading(model, BPETokenizer(tokens, []), IDS).recording()
    arrays = opened(found)
    assert arrays["rest"].sum(1).tolist() == [211 - 48] * N
    with torch.no_grad():
        logits = model(torch.tensor([IDS]))[0]
    middles = found["low"] + found["step"] * (np.arange(arrays["rest"].shape[1]) + 0.5)
    for temperature in (0.5, 1.0, 2.0):
        listed = np.exp(arrays["next_logits"] / temperature)
        whole = listed.sum(1) + (arrays["rest"] * np.exp(middles / temperature)).sum(1)
        expected = (logits / temperature).softmax(-1).sort(-1, descending=True).values[:, :48]
        np.testing.assert_allclose(listed / whole[:, None], expected, rtol=0.01)


@pytest.mark.parametrize("off", [(), ((0, 1), (1, 0))])
def test_who_looks_where_is_the_models(off) -> None:
    for model, tokenizer in (writer(), reader(), writer(n_kv_heads=6)):
        found = Reading(model, tokenizer, IDS).recording(off=off)
        with heads_off(model, off):
            expected = weights_of(model, IDS)
        np.testing.assert_allclose(shares(found, opened(found)["scores"]), expected, atol=0.004)
        assert found["off"] == [*map(list, off)]


def test_what_each_layer_would_say_is_the_models(written) -> None:
    model, _, found, arrays, parts = written
    with torch.no_grad():
        answers = model(torch.tensor([IDS]))[0].argmax(-1, keepdim=True)
    for name, streams in (("lens", [p.output for p in parts]), ("mid", [p.middle for p in parts])):
        for layer, stream in enumerate(streams):
            logits = logit_lens(model, stream)
            best = logits.topk(3)
            said = [[found["pieces"][n] for n in row] for row in arrays[f"{name}_id"][layer]]
            assert said == [[(LETTERS + " ")[i] for i in row] for row in best.indices]
            chances = logits.softmax(-1)
            np.testing.assert_allclose(arrays[f"{name}_p"][layer], chances.topk(3).values, atol=1e-5)
            own = chances.gather(1, answers)
            np.testing.assert_allclose(arrays[f"{name}_pa"][layer], own[:, 0], atol=1e-5)
            assert arrays[f"{name}_rank"][layer].tolist() == (1 + (chances > own).sum(-1)).tolist()


def test_layers_are_read_through_maps_as_well() -> None:
    model, tokenizer = writer()
    maps = [nn.Linear(24, 24).requires_grad_(False) for _ in range(N_LAYERS)]
    arrays = opened(Reading(model, tokenizer, IDS, maps=maps).recording())
    with torch.no_grad(), recorded(model) as seen:
        model(torch.tensor([IDS]))
    for layer, own in enumerate(maps):
        chances = logit_lens(model, own(seen.streams[layer][0])).softmax(-1)
        np.testing.assert_allclose(arrays["map_p"][layer], chances.topk(3).values, atol=1e-5)


def test_one_token_more_is_read_when_it_is_asked_for() -> None:
    model, tokenizer = writer()
    long = Reading(model, tokenizer, [1, 2, 3] * 6, given=17)
    found = long.recording()
    assert found["lens_of"] == [16]
    whole = opened(long.recording(lens_of=range(18)))
    for off in ((), ((1, 2),)):
        whole = opened(long.recording(lens_of=range(18), off=off))
        np.testing.assert_allclose(
            opened(long.lens(4, off=off))["lens_p"][:, 0], whole["lens_p"][:, 4], atol=1e-6
        )


def test_vectors_have_four_bits(written) -> None:
    _, _, found, arrays, parts = written
    expected = {
        "q": [p.turned_q for p in parts],
        "k": [p.turned_k for p in parts],
        "v": [p.v for p in parts],
        "x": [p.stream for p in parts],
        "read": [p.attention_input for p in parts],
        "mlp_read": [p.mlp_input for p in parts],
    }
    for name, layers in expected.items():
        true = torch.stack(layers)
        shown = vectors(arrays[name], arrays[f"{name}_max"])
        assert (np.abs(shown - true.numpy()) <= true.abs().amax(-1, keepdim=True).numpy() / 13.9).all()
    assert [found[size] for size in "LHGKDF"] == [N_LAYERS, N_HEADS, 2, 4, 24, parts[0].hidden.shape[-1]]
    lengths = [*(p.stream.norm(dim=-1) for p in parts), parts[-1].output.norm(dim=-1)]
    np.testing.assert_allclose(arrays["length"], torch.stack(lengths), rtol=1e-4)


def test_shares_of_the_stream_and_units_of_the_mlp(written) -> None:
    _, _, _, arrays, parts = written
    for layer, p in enumerate(parts):
        added = (
            p.attention.norm(dim=-1) / p.stream.norm(dim=-1),
            p.feed_forward.norm(dim=-1) / p.middle.norm(dim=-1),
        )
        np.testing.assert_allclose(arrays["share"][layer], torch.stack(added, -1), rtol=1e-4)
        gate, up, hidden = np.moveaxis(arrays["units"][layer], -1, 0)
        np.testing.assert_allclose(gate * up, hidden, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(np.abs(hidden), p.hidden.abs().topk(6).values, rtol=1e-4)
        np.testing.assert_allclose(
            hidden, p.hidden.gather(1, torch.from_numpy(arrays["unit_n"][layer].astype(int))), rtol=1e-4
        )


def test_each_head_off_is_as_with_it_alone_off(written) -> None:
    model, reading, found, _, _ = written
    needs = reading.needs(range(N_LAYERS))
    arrays = opened(needs)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        ten = model(ids)[0].topk(10).indices
    for layer in range(N_LAYERS):
        for head in range(N_HEADS + 1):
            off = heads_off(model, [(layer, head)]) if head < N_HEADS else layers_skipped(model, [layer])
            with torch.no_grad(), off:
                chances = model(ids)[0].softmax(-1)
            np.testing.assert_allclose(
                arrays["off_p"][layer, head, :, :10] / 65535, chances.gather(1, ten), atol=2e-5
            )
            assert [needs["pieces"][n] for n in arrays["off_id"][layer, head]] == [
                (LETTERS + " ")[i] for i in chances.argmax(-1)
            ]
    everything = reading.everything()
    own = opened(everything)
    np.testing.assert_array_equal(own["off_p"], arrays["off_p"])
    names = np.array(everything["pieces"])[own["off_id"]]
    assert (names == np.array(needs["pieces"])[arrays["off_id"]]).all()
    assert everything["pieces"][: len(found["pieces"])] == found["pieces"]


def test_a_skipped_layer_adds_nothing() -> None:
    model, tokenizer = writer()
    arrays = opened(Reading(model, tokenizer, IDS).recording(skipped=[1]))
    assert (arrays["share"][1] == 0).all()
    with torch.no_grad(), layers_skipped(model, [1]):
        chances = model(torch.tensor([IDS]))[0].softmax(-1)
    np.testing.assert_allclose(arrays["kept_p"][:, 10], chances.max(-1).values, atol=1e-6)


def test_what_a_head_brings_is_read_as_an_output(written) -> None:
    model, reading, _, _, parts = written
    for layer, head in ((0, 0), (2, 5)):
        found = reading.words(layer, head)
        weight = model.stack.blocks[layer].attention.out_proj.weight
        brought = parts[layer].mix[head] @ weight[:, 4 * head : 4 * head + 4].T
        expected = logit_lens(model, brought).topk(4).indices
        said = [[found["pieces"][n] for n in row] for row in opened(found)["words"]]
        assert said == [[(LETTERS + " ")[i] for i in row] for row in expected]
        assert (
            np.array(reading.everything()["pieces"])[opened(reading.everything())["words"][layer, head]]
            == said
        ).all()


def test_an_encoder_turns() -> None:
    model, tokenizer = reader()
    found = Reading(model, tokenizer, IDS).recording(off=[(0, 3)])
    assert (found["writes"], found["causal"], found["base"]) == (False, False, None)
    with torch.no_grad():
        before = model(torch.tensor([IDS]))[0]
        with heads_off(model, [(0, 3)]):
            after = model(torch.tensor([IDS]))[0]
    np.testing.assert_allclose(
        opened(found)["turned"], torch.cosine_similarity(before, after, dim=-1), atol=1e-5
    )


@pytest.mark.parametrize(
    ("tokenizer", "token", "text"),
    [
        (BPETokenizer(["Ġking"], []), 0, " king"),
        (BPETokenizer(["â"], []), 0, "⟨E2⟩"),
        (BPETokenizer(["a", "<end>"], [], {"<end>": 1}), 1, "<end>"),
        (WordPiece(["[UNK]", "[CLS]", "[SEP]", "sing", "##ing"]), 3, " sing"),
        (WordPiece(["[UNK]", "[CLS]", "[SEP]", "sing", "##ing"]), 4, "ing"),
    ],
)
def test_tokens_as_they_stand_in_a_text(tokenizer, token: int, text: str) -> None:
    assert piece(tokenizer, token) == text


# ---------------------------------------------------------------------------------------- what is asked


@pytest.fixture
def scope() -> Microscope:
    return Microscope(*writer(), "acate", layer=1, head=4, name="writes", others={"reads": reader()})


def test_it_opens_where_it_is_told() -> None:
    scope = Microscope(
        *writer(),
        "acate",
        view="way",
        layer=2,
        head=1,
        token=3,
        key=1,
        off=[(0, 2)],
        skipped=[1],
        mode="first",
        part="mlp",
        temperature=0.5,
        top_k=3,
        top_p=0.9,
    )
    assert scope.shown == {
        "view": "way",
        "layer": 2,
        "head": 1,
        "token": 3,
        "key": 1,
        "mode": "first",
        "part": "mlp",
        "temperature": 0.5,
        "topK": 3,
        "topP": 0.9,
    }
    assert (scope.now["off"], scope.now["skipped"]) == ([[0, 2]], [1])


def test_another_text_is_read_and_what_is_off_stays_off(scope: Microscope) -> None:
    assert ask(scope, "off", heads=[[1, 4], [0, 0]], layers=[2]) == ""
    assert ask(scope, "read", text="a cat") == ""
    assert scope.texts[0]["tokens"] == ["a", " ", "c", "a", "t"]
    assert (scope.now["off"], scope.now["skipped"]) == ([[0, 0], [1, 4]], [2])
    assert scope.now["ids"] == scope.texts[0]["ids"]
    assert ask(scope, "off", heads=[], layers=[]) == ""
    assert scope.now == {}
    scope.text = "cat"
    assert (scope.text, scope.texts[0]["tokens"]) == ("cat", ["c", "a", "t"])


def test_tokens_are_taken_and_drawn(scope: Microscope) -> None:
    assert ask(scope, "append", token=26, n=5) == ""
    assert (scope.text, scope.texts[0]["n"]) == ("acate ", 5)
    # In place of one that was taken before.
    assert ask(scope, "append", token=1, n=5) == ""
    assert scope.text == "acateb"
    before = scope.text
    assert ask(scope, "draw", n=6, temperature=0, topK=0, topP=1) == ""
    model = writer()[0]
    with torch.no_grad():
        best = model(torch.tensor([[*IDS, 1]]))[0, -1]
    assert scope.text == before + (LETTERS + " ")[int(best.argmax())]
    assert ask(scope, "draws", times=700, n=6, temperature=1, topK=2, topP=1) == ""
    drawn = scope.piece["draws"]
    chances = best.topk(2).values.softmax(-1)
    assert (sum(drawn), drawn[2:]) == (700, [0] * 8)
    assert drawn[0] / 700 == pytest.approx(chances[0].item(), abs=0.08)
    again = Microscope(*writer(), "acate", seed=3)
    others = [Microscope(*writer(), "acate", seed=seed) for seed in (3, 4)]
    for each in (again, *others):
        for _ in range(9):
            each.draw(temperature=2.0)
    assert again.text == others[0].text != others[1].text


def test_pieces_of_a_recording_are_asked_for(scope: Microscope) -> None:
    model, tokenizer = writer()
    reading = Reading(model, tokenizer, IDS)
    assert ask(scope, "lens", token=2) == ""
    assert (scope.piece["lens"], scope.piece["now"]) == (reading.lens(2), None)
    scope.switch([(0, 1)], [2])
    assert ask(scope, "lens", token=0) == ""
    assert scope.piece["now"] == reading.lens(0, off=[(0, 1)], skipped=[2])
    assert ask(scope, "words", layer=2, head=3) == ""
    assert scope.piece == {"words": reading.words(2, 3), "layer": 2, "head": 3}
    assert ask(scope, "needs", first=2) == ""
    assert scope.piece["needs"]["layers"] == [2]


def test_another_model_reads_and_has_no_next_word(scope: Microscope) -> None:
    scope.switch([(2, 5)])
    assert ask(scope, "read", text="hund", model="reads") == ""
    found = scope.texts[0]
    assert found["tokens"] == [" [CLS]", " h", "u", "n", "d", " [SEP]"]
    assert (found["model"], found["text"], scope.text, scope.now) == ("reads", "hund", "hund", {})
    for kind, fields in (
        ("append", {"token": 1, "n": 6}),
        ("lens", {"token": 1}),
        ("words", {"layer": 0, "head": 0}),
        ("needs", {"first": 0}),
        ("draws", {"times": 3, "n": 6, "temperature": 1, "topK": 0, "topP": 1}),
    ):
        assert ask(scope, kind, **fields) == "reads has no next word: it reads."


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("read", {"text": ""}, "The text is empty"),
        ("read", {"text": "°"}, "has no token that the model knows"),
        (
            "read",
            {"text": "a" * (MOST_TOKENS + 1)},
            f"has {MOST_TOKENS + 1} tokens, the picture holds {MOST_TOKENS}",
        ),
        ("read", {"text": "a", "model": "else"}, "model must be one of ['writes', 'reads']; got 'else'"),
        ("off", {"heads": [[3, 0]], "layers": []}, "layer must be a whole number from 0 to 2; got 3"),
        ("off", {"heads": [[0, 6]], "layers": []}, "head must be a whole number from 0 to 5; got 6"),
        ("off", {"heads": [], "layers": [-1]}, "layer must be a whole number from 0 to 2; got -1"),
        ("append", {"token": 27, "n": 5}, "A token is a whole number from 0 to 26; got 27"),
        ("append", {"token": 1, "n": 4}, "n must be from 5 to 5; got 4"),
        (
            "draw",
            {"n": 5, "temperature": 3, "topK": 0, "topP": 1},
            "temperature must be a number from 0 to 2",
        ),
        (
            "draws",
            {"times": 0, "n": 5, "temperature": 1, "topK": 0, "topP": 1},
            "times must be from 1 to 10,000",
        ),
        ("lens", {"token": 5}, "token must be a whole number from 0 to 4; got 5"),
        ("words", {"layer": 0, "head": "1"}, "head must be a whole number from 0 to 5; got '1'"),
        ("needs", {"first": 3}, "layer must be a whole number from 0 to 2; got 3"),
        ("nothing", {}, "Microscope cannot answer 'nothing'"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    scope: Microscope, kind: str, fields: dict, message: str, own_errors
) -> None:
    before = scope.texts, scope.now, scope.piece, scope.shown
    assert message in ask(scope, kind, **fields)
    assert (scope.texts, scope.now, scope.piece, scope.shown) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "all"}, "view must be one of"),
        ({"mode": "none"}, "mode must be one of"),
        ({"part": "norm"}, "part must be one of"),
        ({"layer": 3}, "layer must be a whole number from 0 to 2; got 3"),
        ({"head": 6}, "head must be a whole number from 0 to 5; got 6"),
        ({"token": 5}, "token must be a whole number from 0 to 4; got 5"),
        ({"key": -1}, "key must be a whole number from 0 to 4; got -1"),
        ({"top_p": 0}, "top_p must be a number above 0"),
    ],
)
def test_it_does_not_open_where_nothing_is(options: dict, message: str, own_errors) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        Microscope(*writer(), "acate", **options)


def test_the_picture_holds_so_many_tokens(scope: Microscope) -> None:
    scope.text = "a" * MOST_TOKENS
    assert f"The picture holds {MOST_TOKENS} tokens" in ask(scope, "append", token=0, n=MOST_TOKENS)


def test_it_keeps_the_frame(scope: Microscope) -> None:
    assert json.loads(json.dumps(scope.get_state(), allow_nan=False))["state"] == scope.state
    assert scope._repr_mimebundle_()[0]["text/plain"].startswith("Ask one text what comes next")
    folder = Path(microscope.__file__).parent
    names = ("data", "next", "look", "say", "way", "page")
    files = [Path(frame.__file__).with_suffix(".js"), *(folder / f"{name}.js" for name in names)]
    assert scope._esm == "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert scope._esm.count("export default { render };") == 1


# ---------------------------------------------------------------------------------------- real models


@pytest.fixture(scope="module")
def france() -> dict:
    return recordings()[0]


def test_the_course_speaks_of_these_numbers(france: dict) -> None:
    arrays = opened(france)
    said = {name: n for n, name in enumerate(france["pieces"])}
    assert (france["text"], arrays["next_ids"][4, 0]) == ("The capital of France is", said[" Paris"])
    chances = np.exp(arrays["next_logits"][4] - arrays["next_logits"][4, 0])
    middles = france["low"] + france["step"] * (np.arange(arrays["rest"].shape[1]) + 0.5)
    rest = (arrays["rest"][4] * np.exp(middles - arrays["next_logits"][4, 0])).sum()
    assert chances[0] / (chances.sum() + rest) == pytest.approx(0.77, abs=0.01)
    assert shares(france, arrays["scores"])[23, 4, 4, 3] == pytest.approx(0.90, abs=0.01)
    assert arrays["off_p"][23, 4, 4, 0] / 65535 == pytest.approx(0.14, abs=0.01)
    assert (arrays["lens_rank"][22, 4], arrays["mid_rank"][23, 4]) == (2079, 359)
    words = [france["pieces"][n] for n in arrays["words"][23, 4, 4]]
    assert words[:3] == [" France", " Breton", " French"]


def test_a_recording_is_what_the_model_gives(smollm2, france: dict) -> None:
    scope = Microscope(*smollm2, "The capital of France is")
    assert scope.texts[0]["arrays"] == france["arrays"]  # the file's, as the model says the same
    fresh = opened(Reading(*smollm2, france["ids"], france["n"]).recording())
    saved = opened(france)
    for name in ("next_logits", "kept_p", "lens_p", "mid_pa", "share", "length", "own"):
        np.testing.assert_allclose(fresh[name], saved[name], rtol=1e-3, atol=1e-4)
    assert np.abs(fresh["scores"].astype(int) - saved["scores"]).max() <= 1
    ranks = fresh["lens_rank"].astype(float), saved["lens_rank"].astype(float)
    np.testing.assert_allclose(*ranks, rtol=0.01, atol=1)


def test_a_page_of_its_own_holds_all_recordings() -> None:
    page = microscope.page()
    assert page.count("The capital of France is") >= 1
    assert "export default" not in page
    assert "</script>" not in page.split('id="recordings">')[1].split("\n")[0][:-9]


def test_other_places_than_rotary_ones() -> None:
    model = loud(GPT(GPTConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers=2, n_heads=3)))
    found = Reading(model, writer()[1], IDS).recording()
    assert (found["base"], found["gated"]) == (None, False)
    np.testing.assert_allclose(shares(found, opened(found)["scores"]), weights_of(model, IDS), atol=0.004)
