"""The depth explorer without a browser: every number is the library's, every question is answered."""

import copy
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explorers import Letters, ask, keeps_the_frame, shown_shares, unpacked
from torch import nn

from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c06_residuals.explorer import DepthExplorer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.widgets.reading import LONGEST_TEXT


@pytest.fixture(scope="module")
def decoders() -> dict[str, tuple]:
    """Two models that write; layers, widths, norms and vocabularies differ."""
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    deep = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers=5, n_heads=3))
    flat = GPT(GPTConfig(vocab_size=26, max_seq_len=7, d_model=10, n_layers=2, n_heads=5))
    with torch.no_grad():
        for parameter in [*deep.parameters(), *flat.parameters()]:
            if parameter.ndim > 1:
                parameter.mul_(20)  # decided without training
    return {"deep": (deep, BPETokenizer([*letters, "Ġ"], [])), "flat": (flat, Letters())}


@pytest.fixture(scope="module")
def lens_maps() -> list[nn.Linear]:
    numbers = torch.Generator().manual_seed(1)
    maps = [nn.Linear(12, 12) for _ in range(5)]
    for lens in maps:
        lens.weight.data.normal_(generator=numbers)
    return maps


@pytest.fixture
def depth(decoders, lens_maps) -> DepthExplorer:
    return DepthExplorer(decoders, "acat", lenses={"deep": lens_maps})


@torch.no_grad()
def layer_by_layer(model: GPT, ids: torch.Tensor) -> tuple[list, list]:
    """The stream before and after each layer, and what its two parts add, without hooks."""
    x = model.embed(ids)
    streams, additions = [x], []
    for block in model.stack.blocks:
        attention = block.attention(block.attention_norm(x))
        mlp = block.feed_forward(block.feed_forward_norm(x + attention))
        additions.append([(attention, x), (mlp, x + attention)])
        x = x + attention + mlp
        streams.append(x)
    return streams, additions


@torch.no_grad()
def scores_of(model: GPT, ids: torch.Tensor, layers: list[int]) -> torch.Tensor:
    """What a model scores that has only these layers, in this order."""
    changed = copy.deepcopy(model)
    changed.stack.blocks = nn.ModuleList(changed.stack.blocks[layer] for layer in layers)
    return changed(ids)[0]


def shares_of(scores: torch.Tensor) -> torch.Tensor:
    return scores.softmax(-1).topk(5).values


def test_every_number_of_a_layer_is_the_librarys(depth: DepthExplorer, decoders) -> None:
    for name, (model, tokenizer) in decoders.items():
        view = depth.views[name]
        ids = torch.tensor([tokenizer.encode("acat")])
        streams, additions = layer_by_layer(model, ids)
        n_layers = len(additions)
        assert view["n_layers"] == n_layers
        norms = unpacked(view["norms"], np.float32).reshape(n_layers + 1, 4)
        np.testing.assert_allclose(norms, [stream[0].norm(dim=-1) for stream in streams], rtol=1e-4)
        shown = unpacked(view["additions"], np.float32).reshape(n_layers, 4, 4)
        for layer, parts in enumerate(additions):
            for i, (part, stream) in enumerate(parts):
                np.testing.assert_allclose(shown[layer, :, 2 * i], part[0].norm(dim=-1), rtol=1e-4)
                cosine = torch.cosine_similarity(part[0], stream[0], dim=-1)
                np.testing.assert_allclose(shown[layer, :, 2 * i + 1], cosine, atol=1e-4)
            read = model.lm_head(model.stack.final_norm(streams[layer + 1]))[0]
            rows = shown_shares(view["lenses"]["plain"][layer])
            np.testing.assert_allclose(rows, shares_of(read).detach(), atol=6e-4)
        # What the lens reads at the end is what the model says.
        assert view["lenses"]["plain"][-1] == view["final"]


def test_the_fitted_lens_reads_what_its_map_makes_of_the_stream(
    depth: DepthExplorer, decoders, lens_maps
) -> None:
    model, tokenizer = decoders["deep"]
    streams, _ = layer_by_layer(model, torch.tensor([tokenizer.encode("acat")]))
    for layer, lens in enumerate(lens_maps):
        read = model.lm_head(model.stack.final_norm(lens(streams[layer + 1])))[0]
        rows = shown_shares(depth.views["deep"]["lenses"]["fitted"][layer])
        np.testing.assert_allclose(rows, shares_of(read).detach(), atol=6e-4)
    assert [*depth.views["flat"]["lenses"]] == ["plain"]


@pytest.mark.parametrize(
    ("skipped", "exchanged", "layers"),
    [
        *(([layer], [], [other for other in range(5) if other != layer]) for layer in range(5)),
        ([], [0], [1, 0, 2, 3, 4]),
        ([], [1], [0, 2, 1, 3, 4]),
        ([], [3], [0, 1, 2, 4, 3]),
        ([0, 4], [], [1, 2, 3]),
        ([], [0, 3], [1, 0, 2, 4, 3]),
        ([2], [1, 3], [0, 1, 4, 3]),
        ([3], [3], [0, 1, 2, 4]),
        ([0, 1, 2, 3, 4], [], []),
    ],
)
def test_changes_are_a_model_with_other_layers(
    depth: DepthExplorer, decoders, skipped: list, exchanged: list, layers: list
) -> None:
    model, tokenizer = decoders["deep"]
    ids = torch.tensor([tokenizer.encode("acat")])
    expected, before = scores_of(model, ids, layers), scores_of(model, ids, [*range(5)])
    assert ask(depth, "change", name="skipped", layers=skipped) == ""
    assert ask(depth, "change", name="exchanged", layers=exchanged) == ""
    assert (depth.skipped, depth.exchanged) == (skipped, exchanged)
    key = f"{','.join(map(str, skipped))};{','.join(map(str, exchanged))}"
    effect = depth.effects["deep"][key]
    np.testing.assert_allclose(shown_shares(effect["now"]), shares_of(expected), atol=6e-4)
    for token, sentence in enumerate(effect["turned"]):
        best = int(before[token].argmax())
        had, has = (scores[token].softmax(-1)[best] for scores in (before, expected))
        shown = [float(share) / 100 for share in re.findall(r"([\d.]+) %", sentence)]
        np.testing.assert_allclose(shown, [had, has], atol=6e-4)
        assert sentence.startswith(f"{tokenizer.tokens[best].replace('Ġ', '␣')} had ")
    losses = [F.cross_entropy(scores[:-1], ids[0, 1:]).item() for scores in (before, expected)]
    shown_losses = [float(loss) for loss in re.findall(r"(\d+\.\d{3}) (?:before|now)", effect["text"])]
    np.testing.assert_allclose(shown_losses, losses, atol=1e-3, rtol=1e-4)
    assert ask(depth, "change", name="skipped", layers=[]) == ""


def test_every_single_change_of_the_first_text_is_there_at_once(depth: DepthExplorer, decoders) -> None:
    singles = [*(f"{layer};" for layer in range(5)), *(f";{layer}" for layer in range(4))]
    assert {*depth.effects["deep"]} == {";", *singles}
    assert {*depth.effects["flat"]} == {";", "0;", "1;", ";0"}
    calls = []
    hook = decoders["deep"][0].register_forward_hook(lambda *_: calls.append(1))
    depth.skipped = [3]
    assert calls == []
    depth.text = "dog"
    assert {*depth.effects["deep"]} == {";", "3;"}
    hook.remove()


def test_layers_below_all_changes_are_not_run_again(depth: DepthExplorer, decoders) -> None:
    ran = []
    blocks = decoders["deep"][0].stack.blocks
    hooks = [
        block.attention.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, block in enumerate(blocks)
    ]
    depth.skipped = [2, 4]
    for hook in hooks:
        hook.remove()
    assert min(ran) == 2


def test_a_model_passes_over_layers_that_it_does_not_have(depth: DepthExplorer) -> None:
    depth.skipped, depth.exchanged = [0, 4], [1]
    assert "0,4;1" in depth.effects["deep"]
    assert "Skipped: 0, 4. Exchanged: 1 with 2." in depth.effects["deep"]["0,4;1"]["text"]
    assert "Skipped: 0. Loss" in depth.effects["flat"]["0;"]["text"]


def test_changes_stay_with_another_text(depth: DepthExplorer) -> None:
    depth.exchanged = [2]
    assert ask(depth, "text", text="dog") == ""
    assert depth.views["deep"]["tokens"] == [*"dog"]
    told = depth.effects["deep"][";2"]["text"]
    assert told.startswith("Exchanged: 2 with 3. Loss on the text (mean of its 2 predictions): ")


def test_long_and_short_texts_to_go_down_with(depth: DepthExplorer) -> None:
    depth.text = "ab" * 13
    assert depth.views["deep"]["note"] == "Too long for one picture: 24 of 26 tokens are read."
    assert depth.views["flat"]["note"] == "Too long for one picture: 7 of 26 tokens are read."
    depth.text = "ab"
    assert "Loss on the text (its only prediction): " in depth.effects["deep"][";"]["text"]
    depth.text = "a"
    told = "A text of one token has nothing to predict, so there is no loss."
    assert told in depth.effects["deep"][";"]["text"]
    depth.skipped = [0]
    assert depth.effects["deep"]["0;"]["text"] == f"Skipped: 0. {told}"


class Fixed(nn.Module):
    """Adds the same vector to every token."""

    def __init__(self, vector: list[float]) -> None:
        super().__init__()
        self.vector = torch.tensor(vector)

    def forward(self, x: torch.Tensor, mask: None = None, cache: None = None) -> torch.Tensor:
        return self.vector.expand_as(x)


class FixedAttention(MultiHeadAttention):
    """Calculates as attention does, and adds the same vector to every token."""

    def forward(self, *args: object, **kwargs: object) -> torch.Tensor:
        return torch.zeros_like(super().forward(*args, **kwargs)) + torch.tensor([0.0, -3.0])


def test_depth_is_described() -> None:
    """A model whose numbers can be worked out in the head."""
    model = GPT(LlamaConfig(vocab_size=2, max_seq_len=5, d_model=2, n_layers=2, n_heads=1))
    model.position_embedding = None
    with torch.no_grad():
        model.token_embedding.weight.copy_(torch.tensor([[4.0, 0.0], [-4.0, 0.0]]))
    for block, vector in zip(model.stack.blocks, ([396.0, 3.0], [-800.0, 0.0]), strict=True):
        block.attention = FixedAttention(2, 1, causal=True, rotary=model.rotary)
        block.feed_forward = Fixed(vector)
    explorer = DepthExplorer({"tiny": (model, BPETokenizer(["a", "b"], []))}, "aa")
    # 4 and −3: 5, with a cosine of 0; then 400 and 0; the norm before the head makes √2 of 400.
    explorer.skipped = [1]
    view, effects = explorer.views["tiny"], explorer.effects["tiny"]
    assert view["text"] == "tiny. Layers: 2.\nTokens (2): a (1) | a (2)"
    assert view["walk"][0][1] == (
        "Layer 0, token a (2): the stream enters with length 4. Attention adds 3 across "
        "(cosine 0.00), the MLP 396 along (cosine 0.80). The stream leaves with length 400."
    )
    assert view["walk"][1][0] == (
        "Layer 1, token a (1): the stream enters with length 400. Attention adds 3 across "
        "(cosine 0.00), the MLP 800 against (cosine −1.00). The stream leaves with length 400."
    )
    assert view["norms_text"][1] == (
        "Length of the stream of a (2): 4 before the first layer, then after layer 0: 400, 1: 400."
    )
    assert view["lenses"]["plain"][0][1] == [["a", "100.0 %"], ["b", "0.0 %"]]
    assert view["final"][1] == [["b", "100.0 %"], ["a", "0.0 %"]]
    in_order = "All layers run, in order. Loss on the text (its only prediction): 11.313."
    assert effects[";"] == {"text": in_order, "now": [], "turned": []}
    skipped = "Skipped: 1. Loss on the text (its only prediction): 11.313 before, 0.000 now."
    assert effects["1;"]["text"] == skipped
    assert effects["1;"]["now"][0] == [["a", "100.0 %"], ["b", "0.0 %"]]
    assert effects["1;"]["turned"][0] == "b had 100.0 % with all layers in order, now it has 0.0 %."


def test_depth_stays_small_in_a_saved_page() -> None:
    sizes = {"vocab_size": 27, "max_seq_len": 61, "d_model": 24, "n_layers": 30, "n_heads": 12}
    model = GPT(LlamaConfig(**sizes))
    explorer = DepthExplorer(
        {"large": (model, BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ"], []))}, "ab" * 12
    )
    assert len(json.dumps(explorer.get_state())) < 1_000_000


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("change", {"name": "skipped", "layers": [5]}, "layers must be whole numbers from 0 to 4; got [5]."),
        (
            "change",
            {"name": "skipped", "layers": [-1]},
            "layers must be whole numbers from 0 to 4; got [-1].",
        ),
        (
            "change",
            {"name": "skipped", "layers": [True]},
            "layers must be whole numbers from 0 to 4; got [True].",
        ),
        (
            "change",
            {"name": "exchanged", "layers": [4]},
            "layers must be whole numbers from 0 to 3; got [4].",
        ),
        (
            "change",
            {"name": "exchanged", "layers": [1, 2]},
            "Layer 2 cannot be exchanged with 1 and with 3: put it back before.",
        ),
        ("change", {"name": "model", "layers": [1]}, "Layers can be skipped or exchanged; got 'model'."),
        ("text", {"text": ""}, "The text is empty: type at least one character."),
        ("text", {"text": "."}, "The text has no token of deep: type another one."),
        (
            "text",
            {"text": "a" * (LONGEST_TEXT + 1)},
            "The text has 2,001 characters, the explorer takes 2,000",
        ),
    ],
)
def test_a_bad_question_about_depth_changes_nothing(decoders, kind: str, fields: dict, message: str) -> None:
    explorer = DepthExplorer({"deep": decoders["deep"]}, "acat")
    before = (explorer.views, explorer.effects, explorer.skipped, explorer.exchanged)
    assert message in ask(explorer, kind, **fields)
    assert (explorer.views, explorer.effects, explorer.skipped, explorer.exchanged) == before


def test_a_question_about_depth_does_not_overtake_choices(decoders) -> None:
    """What the page sends at once: a change that had to wait, and the one that was asked for after it."""
    explorer = DepthExplorer({"deep": decoders["deep"]}, "acat")
    question = {"request": "r", "kind": "change", "name": "skipped", "layers": [0, 1]}
    explorer.set_state({"skipped": [0], "asked": question})
    assert explorer.skipped == [0, 1]
    assert explorer.state["answered"] == "r"


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda models: {}, {}, "models must map at least one name to (model, tokenizer); got {}."),
        (
            lambda models: {"deep": models["deep"][0]},
            {},
            "'deep' must be a pair (model, tokenizer); got GPT.",
        ),
        (
            lambda models: {**models, "reads": (BERT(BERTConfig(55, 61, 14, 2, 7)), Letters())},
            {},
            "reads is a BERT. What is needed is a GPT: a decoder that says the next token",
        ),
        (lambda models: models, {"model": "third"}, "model must be one of ['deep', 'flat']; got 'third'."),
        (
            lambda models: models,
            {"lenses": {"third": []}},
            "lenses has 'third', models has ['deep', 'flat'].",
        ),
        (
            lambda models: models,
            {"lenses": {"deep": [nn.Identity()] * 4}},
            "deep needs a map for each of its 5 layers; got 4.",
        ),
    ],
)
def test_bad_models_to_go_down(decoders, change, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DepthExplorer(change(decoders), "acat", **options)


def test_it_keeps_the_frame(depth: DepthExplorer) -> None:
    assert keeps_the_frame(depth)


def test_it_opens_at_the_layer_that_is_asked_for(decoders):
    assert DepthExplorer(decoders, "acat", layer=3).layer == 3
