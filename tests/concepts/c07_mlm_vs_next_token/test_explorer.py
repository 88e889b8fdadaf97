"""The gap explorer without a browser: every number is the library's, every question is answered."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from explorers import Letters, ask, keeps_the_frame, shown_shares
from torch import nn

from course_lib import readers as two_readers
from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.widgets.reading import readable


@pytest.fixture(scope="module")
def gap_models() -> dict[str, tuple]:
    """A model of each kind, decided without training, and one that cuts the text into other tokens."""
    left, both = (two_readers.make_reader(causal=causal, seed=0) for causal in (True, False))
    torch.manual_seed(0)
    words = GPT(GPTConfig(vocab_size=28, max_seq_len=7, d_model=10, n_layers=2, n_heads=5))
    with torch.no_grad():
        for parameter in [*left.parameters(), *both.parameters(), *words.parameters()]:
            if parameter.ndim > 1:
                parameter.mul_(8)
    merged = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ca"], [("c", "a")])
    return {"left": (left, Characters()), "both": (both, Characters()), "words": (words, merged)}


@pytest.fixture
def gap(gap_models) -> GapExplorer:
    return GapExplorer(gap_models, "acatran")


def gap_ids(text: str) -> torch.Tensor:
    return torch.tensor([two_readers.ALPHABET.index(letter) for letter in text])


def bits_of(scores: torch.Tensor, target: int) -> float:
    return -scores.log_softmax(-1)[target].item() / math.log(2)


def shown_gap(gap: dict) -> tuple[list[str], list[float], list[float]]:
    """The tokens, their shares, and what is said of the hidden one: its share, its surprise."""
    pieces = [piece for piece, _ in gap["rows"]]
    said = re.findall(r"([\d.]+) (?:%|bits)", gap["own"])
    return pieces, shown_shares([gap["rows"]])[0], [float(said[0]) / 100, float(said[1])]


@torch.no_grad()
def test_a_gap_is_what_the_models_say_there(gap: GapExplorer, gap_models) -> None:
    ids = gap_ids("acatran")
    left, both = (gap_models[name][0] for name in ("left", "both"))
    for place in range(1, 7):
        hidden = ids.clone()
        hidden[place] = two_readers.MASK_ID
        rows = {"left": left(ids[None, :place])[0, -1], "both": both(hidden[None])[0, place]}
        for name, row in rows.items():
            pieces, shares, (share, bits) = shown_gap(gap.answers[name][str(place)]["gaps"][str(place)])
            top = row.topk(5)
            assert pieces == [readable(two_readers.decode(i[None]).encode()) for i in top.indices]
            np.testing.assert_allclose(shares, row.softmax(-1)[top.indices], atol=6e-4)
            np.testing.assert_allclose(share, row.softmax(-1)[ids[place]], atol=6e-4)
            np.testing.assert_allclose(bits, bits_of(row, ids[place]), atol=0.06)


@torch.no_grad()
def test_all_numbers_while_tokens_are_hidden(gap: GapExplorer, gap_models) -> None:
    """A causal model reads its own words in the gaps, one of both sides is asked for each token in turn."""
    ids = gap_ids("acatran")
    left, both = (gap_models[name][0] for name in ("left", "both"))
    for hidden in ([], [2], [2, 4], [0, 1, 5]):
        assert ask(gap, "choose", model="left", hidden=hidden, token=3) == ""
        start = min({*range(7)} - {*hidden})
        read, expected = [ids[start]], [None] * (start + 1)
        for place in range(start + 1, 7):
            row = left(torch.stack(read)[None])[0, -1]
            expected.append(bits_of(row, ids[place]))
            read.append(row.argmax() if place in hidden else ids[place])
        answers = [gap.answers[name][",".join(map(str, hidden))]["bits"] for name in ("left", "both")]
        assert answers[0][: start + 1] == expected[: start + 1]
        np.testing.assert_allclose(answers[0][start + 1 :], expected[start + 1 :], atol=2e-3)
        for place in range(7):
            masked = ids.clone()
            masked[[*hidden, place]] = two_readers.MASK_ID
            wanted = bits_of(both(masked[None])[0, place], ids[place])
            np.testing.assert_allclose(answers[1][place], wanted, atol=2e-3)


@torch.no_grad()
@pytest.mark.parametrize(("hidden", "token"), [([1], 1), ([3], 3), ([6], 6), ([2, 4], 2), ([2, 4], 4)])
def test_trying_scores_the_whole_text_with_each_candidate(
    gap: GapExplorer, gap_models, hidden: list, token: int
) -> None:
    left = gap_models["left"][0].double()
    ids = gap_ids("acatran")
    written = ids.clone()
    for place in hidden:
        written[place] = left(written[None, :place])[0, -1].argmax()
    before = left(written[None, :token])[0, -1].log_softmax(-1)
    candidates = {*before.topk(20).indices.tolist(), int(ids[token])}
    totals = torch.full((97,), -torch.inf, dtype=torch.float64)
    for candidate in candidates:
        text = written.clone()
        text[token] = candidate
        scores = left(text[None])[0].log_softmax(-1)
        known = [place for place in range(token + 1, 7) if place not in hidden]
        totals[candidate] = before[candidate] + sum(scores[place - 1, text[place]] for place in known)
    left.float()
    assert ask(gap, "choose", model="left", hidden=hidden, token=token) == ""
    tried = gap.tried["left"][f"{','.join(map(str, hidden))};{token}"]
    pieces, shares, (share, bits) = shown_gap(tried)
    n_passes = hidden.index(token) + 1 + len(candidates)
    trying = f"both sides by trying {len(candidates)} tokens ({n_passes} passes)"
    assert tried["title"] == f"left, {trying}"
    top = totals.topk(5)
    np.testing.assert_allclose(shares, totals.softmax(-1)[top.indices], atol=6e-4)
    assert pieces[0] == readable(two_readers.decode(top.indices[:1]).encode())
    np.testing.assert_allclose(share, totals.softmax(-1)[ids[token]], atol=6e-4)
    np.testing.assert_allclose(bits, bits_of(totals, ids[token]), atol=0.06)


def test_small_models_answer_every_single_gap_at_once(gap: GapExplorer, gap_models, monkeypatch) -> None:
    singles = [str(place) for place in range(7)]
    assert {*gap.answers["left"]} == {*gap.answers["both"]} == {"", *singles}
    assert {*gap.tried["left"]} == {f"{place};{place}" for place in range(7)}
    assert gap.tried["both"] == {}
    assert (gap.hidden, gap.token) == ([3], 3)
    calls = []
    hooks = [model.register_forward_hook(lambda *_: calls.append(1)) for model, _ in gap_models.values()]
    gap.hidden, gap.token = [5], 5
    assert calls == []
    gap.text = "dog"
    for hook in hooks:
        hook.remove()
    assert (gap.hidden, gap.token) == ([1], 1)
    assert {*gap.answers["left"]} == {"1"}
    monkeypatch.setattr("course_lib.concepts.c07_mlm_vs_next_token.explorer.SMALL", 0)
    large = GapExplorer({"left": gap_models["left"]}, "acatran", hidden=[2])
    assert {*large.answers["left"]} == {"2"}
    assert {*large.tried["left"]} == {"2;2"}


def test_models_that_cut_alike_stand_side_by_side(gap: GapExplorer) -> None:
    gap.hidden, gap.token = [6], 6
    assert ["6" in gap.answers[name] for name in ("left", "both", "words")] == [True, True, False]
    gap.model = "words"
    assert "Tokens (6): a (1) | ca | t | r | a (5) | n" in gap.views["words"]["text"]
    assert "" in gap.answers["words"]  # the text has no such place, so that nothing is hidden
    gap.hidden = [1]
    gap.token = 1
    assert "1;1" in gap.tried["words"]


def test_long_and_short_texts_with_gaps(gap: GapExplorer) -> None:
    gap.text = "ab" * 17
    assert gap.views["left"]["note"] == "Too long for one picture: 32 of 34 tokens are read."
    assert gap.views["words"]["note"] == "Too long for one picture: 7 of 34 tokens are read."
    gap.text = "a"
    assert (gap.hidden, gap.token) == ([], 0)
    assert gap.answers["left"][""]["text"] == "Surprise in bits by left: a –."


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("two cafés, one café", "é"),
        ("שלום טוב", "ש ל ו ם ט ב"),
        ("cafe\u0301", "◌\u0301"),
        ("a\tb", "⇥"),
        ("αβγδεζηθικλμ", "α β γ δ ε ζ η θ ι κ …"),
    ],
)
def test_characters_that_are_not_known_are_named_and_nothing_is_answered(
    gap: GapExplorer, gap_models, text: str, unknown: str
) -> None:
    message = (
        f"The model does not know {unknown}: it reads the letters, digits and signs of an English keyboard. "
        "Type another text."
    )
    before = (gap.text, gap.views, gap.answers, gap.tried)
    assert ask(gap, "text", text=text) == message
    assert (gap.text, gap.views, gap.answers, gap.tried) == before
    with pytest.raises(ValueError, match=re.escape(message)):
        GapExplorer({"left": gap_models["left"]}, text)


def test_a_gap_is_described() -> None:
    """A model that always gives the next token the same scores: half, a quarter, a quarter."""
    model = GPT(LlamaConfig(vocab_size=3, max_seq_len=5, d_model=2, n_layers=0, n_heads=1))
    model.lm_head = nn.Linear(2, 3)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias.copy_(torch.tensor([math.log(2), 0, 0]))
    explorer = GapExplorer({"tiny": (model, BPETokenizer(["a", "b", "c"], []))}, "abc", hidden=[1])
    assert explorer.views["tiny"]["text"] == "tiny reads what stands before.\nTokens (3): a | b | c"
    answer = explorer.answers["tiny"]["1"]
    told = "Surprise in bits by tiny: a – | b (hidden) 2.0 | c 2.0. Mean: 2.00 bits."
    assert answer["text"] == told
    rows = [["a", "50.0 %"], ["b", "25.0 %"], ["c", "25.0 %"]]
    own = "Hidden is b: 25.0 %, a surprise of 2.0 bits."
    assert answer["gaps"]["1"] == {"title": "tiny, left only (1 pass)", "rows": rows, "own": own}
    title = "tiny, both sides by trying 3 tokens (4 passes)"
    assert explorer.tried["tiny"]["1;1"] == {"title": title, "rows": rows, "own": own}
    explorer.hidden, explorer.token = [0], 0
    nothing = {"rows": [], "own": "Nothing stands before it to go by."}
    assert explorer.answers["tiny"]["0"]["gaps"]["0"] == {"title": "tiny, left only", **nothing}
    assert explorer.tried["tiny"]["0;0"] == {"title": "tiny, both sides by trying", **nothing}


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("choose", {"hidden": [7]}, "hidden and token must be places from 0 to 6; got [7], 3."),
        ("choose", {"hidden": [True]}, "hidden and token must be places from 0 to 6; got [True], 3."),
        ("choose", {"hidden": "3"}, "hidden and token must be places from 0 to 6; got '3', 3."),
        ("choose", {"token": -1}, "hidden and token must be places from 0 to 6; got [3], -1."),
        ("choose", {"model": "third"}, "model must be one of ['left', 'both', 'words']; got 'third'."),
        (
            "choose",
            {"hidden": [*range(7)]},
            "and one must stay; got 7 of 7: show one before you hide another.",
        ),
        ("text", {"text": ""}, "The text is empty: type at least one character."),
        ("text", {"text": "."}, "The text has no token of words: type another one."),
    ],
)
def test_a_bad_question_about_gaps_changes_nothing(
    gap: GapExplorer, kind: str, fields: dict, message: str
) -> None:
    chosen = {"model": "left", "hidden": [3], "token": 3} if kind == "choose" else {}
    before = (gap.views, gap.answers, gap.tried, gap.model, gap.hidden, gap.token)
    assert message in ask(gap, kind, **{**chosen, **fields})
    assert (gap.views, gap.answers, gap.tried, gap.model, gap.hidden, gap.token) == before


def test_a_question_does_not_overtake_choices(gap: GapExplorer) -> None:
    """What the page sends at once: a choice that had to wait, and what was asked after it."""
    question = {"request": "r", "kind": "choose", "model": "left", "hidden": [2, 4], "token": 4}
    gap.set_state({"hidden": [2], "token": 6, "asked": question})
    assert (gap.hidden, gap.token) == ([2, 4], 4)
    assert "2,4;4" in gap.tried["left"]
    assert gap.state["answered"] == "r"


def test_too_many_gaps_are_refused(gap_models) -> None:
    explorer = GapExplorer({"left": gap_models["left"]}, "ab" * 8, hidden=[*range(1, 9)])
    with pytest.raises(ValueError, match=r"At most 8 tokens can be hidden.*got 9 of 16"):
        explorer.hidden = [*range(1, 10)]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda models: {}, {}, "models must map at least one name to (model, tokenizer); got {}."),
        (
            lambda models: {"reads": (BERT(BERTConfig(55, 61, 14, 2, 7)), Letters())},
            {},
            "reads is a BERT. What is needed is a GPT",
        ),
        (
            lambda models: {"small": (uncovered(models["words"][0]), models["words"][1])},
            {},
            "small reads both sides, so it must know token 96, which stands for what is hidden; it knows 28",
        ),
        (lambda models: models, {"model": "third"}, "model must be one of ['left', 'both', 'words']"),
        (lambda models: models, {"hidden": [7]}, "hidden and token must be places from 0 to 6; got [7], 7."),
    ],
)
def test_models_without_an_answer_for_gaps(gap_models, change, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GapExplorer(change(gap_models), "acatran", **options)


def uncovered(model: GPT) -> GPT:
    """The same without its causal mask."""
    found = copy.deepcopy(model)
    for module in found.modules():
        if isinstance(module, MultiHeadAttention):
            module.causal = False
    return found


def test_characters_are_the_readers_tokens() -> None:
    tokenizer = Characters()
    assert tokenizer.encode("a\nb") == [66, 0, 67]
    assert tokenizer.pieces("a\nb") == ["a", "\n", "b"]
    assert tokenizer.decode([66, two_readers.MASK_ID]) == "a▢"


def test_it_keeps_the_frame(gap: GapExplorer) -> None:
    assert keeps_the_frame(gap)


def test_smollm2_asked_for_gaps_stands_beside_itself(smollm2) -> None:
    model, tokenizer = smollm2
    filling = two_readers.Filler(model)
    both = {"SmolLM2": smollm2, "asked for gaps": (filling, tokenizer)}
    explorer = GapExplorer(both, "The capital of France is Paris.", hidden=[3])
    answer = explorer.answers["asked for gaps"]["3"]
    assert not explorer.views["asked for gaps"]["is_causal"]
    assert answer["gaps"]["3"]["title"] == "asked for gaps, both sides (1 pass)"
    pieces, _, (share, _) = shown_gap(answer["gaps"]["3"])
    ids = torch.tensor([tokenizer.encode("The capital of France is Paris.")])
    scores = filling(ids, torch.arange(ids.shape[1])[None] == 3, torch.tensor([3]))[0]
    np.testing.assert_allclose(share, scores.softmax(-1)[ids[0, 3]], atol=6e-4)
    assert pieces[0].strip("␣ ") == "France"
    assert len(answer["bits"]) == ids.shape[1]
    assert None not in answer["bits"]  # it answers for the first token, too
    assert explorer.answers["SmolLM2"]["3"]["gaps"]["3"]["title"] == "SmolLM2, left only (1 pass)"
