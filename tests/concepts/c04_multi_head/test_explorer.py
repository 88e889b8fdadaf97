"""The heads explorer without a browser: every number is the library's, every question is answered."""

import copy
import json
import re
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explorers import Letters, ask, keeps_the_frame, unpacked
from torch import nn

from course_lib import probing
from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c04_multi_head.explorer import MOST_TOKENS, HeadsExplorer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_lib.probing import weights_changed


@pytest.fixture(scope="module")
def readers() -> dict[str, tuple]:
    """A model that writes, one that reads pairs, and one that translates; heads, layers and widths differ."""
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    writes = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers=5, n_heads=3))
    reads = BERT(BERTConfig(vocab_size=55, max_seq_len=61, d_model=14, n_layers=3, n_heads=7))
    translates = EncoderDecoder(EncoderDecoderConfig(26, 26, 61, d_model=10, n_layers=2, n_heads=5))
    with torch.no_grad():
        for parameter in [*writes.parameters(), *reads.parameters()]:
            if parameter.ndim > 1:
                parameter.mul_(20)  # decided without training
    pieces = WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)])
    return {
        "writes": (writes, BPETokenizer([*letters, "Ġ"], [])),
        "reads": (reads, pieces),
        "translates": (translates, Letters()),
    }


@pytest.fixture
def heads(readers) -> HeadsExplorer:
    return HeadsExplorer(readers, "acat", other_text="hund")


def sheet_weights(explorer: HeadsExplorer, model: str, attention: str = "self-attention") -> np.ndarray:
    sheet = explorer.views[model]["sheets"][attention]
    return unpacked(sheet["weights"], np.uint16).reshape(sheet["shape"]) / 1000


def without(model: nn.Module, heads: list[tuple[int, int]]) -> nn.Module:
    """A copy in which nothing of these heads reaches the last projection: (attention layer, head)."""
    changed = copy.deepcopy(model)
    layers = [module for module in changed.modules() if isinstance(module, MultiHeadAttention)]
    with torch.no_grad():
        for layer, head in heads:
            width = layers[layer].d_head
            layers[layer].out_proj.weight[:, head * width : (head + 1) * width] = 0
    return changed


def test_every_weight_of_a_head_is_the_librarys(heads: HeadsExplorer, readers) -> None:
    for name, ids in (
        ("writes", readers["writes"][1].encode("acat")),
        ("reads", readers["reads"][1].frame("acat", "hund")[0]),
    ):
        expected = probing.weights_of(readers[name][0], ids)
        if name == "reads":
            with probing.weights_recorded(readers[name][0]) as seen, torch.no_grad():
                readers[name][0](*(torch.tensor([row]) for row in readers[name][1].frame("acat", "hund")))
            assert not np.allclose(torch.cat(seen), expected, atol=1e-3), "segments make no difference"
            expected = torch.cat(seen)
        np.testing.assert_allclose(sheet_weights(heads, name), expected, atol=6e-4)
    assert heads.views["writes"]["sheets"]["self-attention"]["query_tokens"] == [*"acat"]
    tokens = ["[CLS]", "a", "##c", "##a", "##t", "[SEP]", "h", "##u", "##n", "##d", "[SEP]"]
    assert heads.views["reads"]["sheets"]["self-attention"]["key_tokens"] == tokens
    assert heads.views["writes"]["second"] == ""
    alone = HeadsExplorer({"reads": readers["reads"]}, "acat", other_text="hund")
    alone.other_text = ""
    assert alone.views["reads"]["sheets"]["self-attention"]["key_tokens"] == tokens[:6]


def test_queries_and_keys_of_two_texts(readers) -> None:
    model, tokenizer = readers["translates"]
    explorer = HeadsExplorer({"translates": (model, tokenizer)}, "katze", other_text="cat")
    seen: dict[str, list] = {"encoder": [], "decoder": [], "cross-attention": []}
    parts = [("encoder", block.attention) for block in model.encoder.blocks]
    for block in model.decoder:
        parts += [("decoder", block.attention), ("cross-attention", block.cross_attention)]
    with torch.no_grad(), ExitStack() as probes:
        for name, part in parts:
            look = partial(lambda name, weights: seen[name].append(weights[0]), name)
            probes.enter_context(weights_changed(part, look))
        model(*(torch.tensor([tokenizer.encode(text)]) for text in ("katze", "cat")))
    sheets = explorer.views["translates"]["sheets"]
    for name, queries, keys in (
        ("encoder", "katze", "katze"),
        ("decoder", "cat", "cat"),
        ("cross-attention", "cat", "katze"),
    ):
        np.testing.assert_allclose(
            sheet_weights(explorer, "translates", name), torch.stack(seen[name]), atol=6e-4
        )
        assert (sheets[name]["query_tokens"], sheets[name]["key_tokens"]) == ([*queries], [*keys])
    assert "From (3): c | a | t\nTo (5): k | a | t | z | e" in sheets["cross-attention"]["text"]


@pytest.mark.parametrize(
    ("name", "attention", "layer", "module"),
    [
        ("writes", "self-attention", 2, 2),
        ("reads", "self-attention", 1, 1),
        ("translates", "encoder", 1, 1),
        ("translates", "decoder", 0, 2),
        ("translates", "cross-attention", 1, 5),
    ],
)
def test_a_head_that_is_off_adds_nothing(
    heads: HeadsExplorer, readers, name: str, attention: str, layer: int, module: int
) -> None:
    before = copy.deepcopy(heads.views)
    model, tokenizer = readers[name]
    off = [(layer, 1), (layer, 2)]
    for where, head in off:
        assert ask(heads, "switch", model=name, attention=attention, layer=where, head=head) == ""
    assert heads.views[name]["sheets"][attention]["off"] == [list(place) for place in off]
    sheets = heads.views[name]["sheets"]
    assert all(sheets[other]["off"] == [] for other in sheets if other != attention)
    changed = without(model, [(module, head) for _, head in off])
    with torch.no_grad():
        if name == "writes":
            inputs = [torch.tensor([tokenizer.encode("acat")])]
        elif name == "reads":
            inputs = [torch.tensor([row]) for row in tokenizer.frame("acat", "hund")]
        else:
            inputs = [torch.tensor([tokenizer.encode(text)]) for text in ("acat", "hund")]
        was, now = model(*inputs)[0], changed(*inputs)[0]
    effect = heads.views[name]["effect"]
    if name == "reads":
        alike = F.cosine_similarity(was, now, dim=-1)
        shown = [float(number) for number in re.findall(r"-?\d\.\d{3}", effect["text"])]
        assert shown == pytest.approx([alike.mean().item(), alike.min().item()], abs=2e-3)
        assert f"{heads.views[name]['sheets'][attention]['query_names'][alike.argmin()]}: " in effect["text"]
    else:
        for shown, scores in ((effect["before"], was[-1]), (effect["after"], now[-1])):
            likely = scores.softmax(-1).topk(5)
            shares = [float(share.removesuffix(" %")) for _, share in shown]
            assert shares == pytest.approx((100 * likely.values).tolist(), abs=0.06)
        assert effect["before"] == before[name]["effect"]["before"]
        favourite = now[-1].softmax(-1)[was[-1].argmax()].item()
        assert float(effect["text"].split()[-2]) == pytest.approx(100 * favourite, abs=0.06)
    # The weights of later layers are those of the changed model.
    with probing.weights_recorded(changed) as seen, torch.no_grad():
        changed(*inputs)
    own = {"decoder": slice(2, 6, 2), "encoder": slice(0, 2), "cross-attention": slice(3, 6, 2)}
    np.testing.assert_allclose(
        sheet_weights(heads, name, attention), torch.cat(seen[own.get(attention, slice(None))]), atol=6e-4
    )
    others = {key: view for key, view in heads.views.items() if key != name}
    assert others == {key: view for key, view in before.items() if key != name}
    assert ask(heads, "switch", model=name, attention=attention, layer=layer, head=1) == ""
    assert heads.views[name]["sheets"][attention]["off"] == [[layer, 2]]
    assert ask(heads, "restore", model=name) == ""
    assert heads.views == before


def test_layers_below_a_head_that_is_off_are_not_run_again(heads: HeadsExplorer, readers) -> None:
    ran: list[int] = []
    for layer, block in enumerate(readers["writes"][0].stack.blocks):
        block.attention.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    ask(heads, "switch", model="writes", attention="self-attention", layer=3, head=1)
    assert ran == [3, 4]
    ask(heads, "switch", model="writes", attention="self-attention", layer=1, head=0)
    assert ran[2:] == [1, 2, 3, 4]


def test_heads_stay_off_with_another_text(heads: HeadsExplorer, readers) -> None:
    ask(heads, "switch", model="writes", attention="self-attention", layer=0, head=2)
    heads.text = "dog"
    assert heads.views["writes"]["off_text"] == "Off: 0.2."
    changed = without(readers["writes"][0], [(0, 2)])
    expected = probing.weights_of(changed, readers["writes"][1].encode("dog"))
    np.testing.assert_allclose(sheet_weights(heads, "writes"), expected, atol=6e-4)


def test_long_texts_are_cut_and_that_is_told(readers) -> None:
    explorer = HeadsExplorer(readers, "ab" * 20, other_text="cd" * 25)
    assert explorer.views["writes"]["sheets"]["self-attention"]["shape"] == [5, 3, 32, 32]
    note = "Too long for one picture: 32 of 40 tokens are read."
    assert explorer.views["writes"]["note"] == note
    assert note in explorer.views["writes"]["sheets"]["self-attention"]["text"]
    tokens = explorer.views["reads"]["sheets"]["self-attention"]["key_tokens"]
    assert (len(tokens), tokens.index("[SEP]"), tokens[-1]) == (MOST_TOKENS, 16, "[SEP]")
    assert explorer.views["reads"]["note"] == "Too long for one picture: 29 of 90 tokens are read."
    assert explorer.views["translates"]["sheets"]["cross-attention"]["shape"] == [2, 5, 32, 32]
    # A short text leaves its room to the other one.
    explorer.text = "abc"
    tokens = explorer.views["reads"]["sheets"]["self-attention"]["key_tokens"]
    assert (len(tokens), tokens.index("[SEP]")) == (MOST_TOKENS, 4)
    assert explorer.views["writes"]["note"] == ""
    # A context that is shorter still.
    model = GPT(GPTConfig(vocab_size=27, max_seq_len=7, d_model=4, n_layers=1, n_heads=2))
    explorer = HeadsExplorer({"short": (model, readers["writes"][1])}, "abcdefghijk")
    assert explorer.views["short"]["sheets"]["self-attention"]["query_tokens"] == [*"abcdefg"]


def test_what_becomes_of_the_next_token_is_described(heads: HeadsExplorer, readers) -> None:
    model, tokenizer = readers["writes"]
    ask(heads, "switch", model="writes", attention="self-attention", layer=4, head=1)
    view = heads.views["writes"]
    assert view["sheets"]["self-attention"]["text"].splitlines() == [
        "writes, self-attention. Layers: 5. Heads in each: 3.",
        "Tokens (4): a (1) | c | a (3) | t",
        "Off: 4.1.",
    ]
    effect, ids = view["effect"], torch.tensor([tokenizer.encode("acat")])
    before, after = (", ".join(" ".join(row) for row in effect[when]) for when in ("before", "after"))
    best = model(ids)[0, -1].argmax()
    now = without(model, [(4, 1)])(ids)[0, -1].softmax(-1)[best]
    *lines, verdict = effect["description"].splitlines()
    favourite = f"{tokenizer.tokens[best].replace('Ġ', '␣')} had {effect['before'][0][1]} with all heads on"
    assert verdict.startswith(f"{favourite}, now it has ")
    assert float(verdict.split()[-2]) == pytest.approx(100 * now.item(), abs=0.06)
    assert lines == [f"Next token, all heads on: {before}.", f"As it is now: {after}."]


def test_the_least_tokenizer_is_enough(readers) -> None:
    model = readers["writes"][0]
    explorer = HeadsExplorer({"mine": (model, Letters())}, "acat")
    best = model(torch.tensor([Letters().encode("acat")]))[0, -1].argmax()
    assert explorer.views["mine"]["effect"]["before"][0][0] == f"token {best}"


def test_any_model_with_attention_can_be_looked_into() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(26, 6)
            self.attention = MultiHeadAttention(6, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.attention(self.table(ids))

    explorer = HeadsExplorer({"mine": (Mine(), Letters())}, "acat")
    assert explorer.views["mine"]["sheets"]["self-attention"]["shape"] == [1, 3, 4, 4]
    assert "it gives a vector for each token. Switch heads off" in explorer.views["mine"]["effect"]["text"]
    ask(explorer, "switch", model="mine", attention="self-attention", layer=0, head=0)
    assert "cosine" in explorer.views["mine"]["effect"]["text"]


def test_a_large_sheet_stays_small_in_a_saved_page(readers) -> None:
    model = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=24, n_layers=30, n_heads=12))
    explorer = HeadsExplorer({"large": (model, readers["writes"][1])}, "a" * MOST_TOKENS)
    assert explorer.views["large"]["sheets"]["self-attention"]["shape"] == [30, 12, 32, 32]
    assert 500_000 < len(json.dumps(explorer.get_state())) < 1_100_000


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text", {"text": ""}, "The text is empty"),
        ("text", {"text": 3}, "The text must be a string; got int."),
        ("text", {"text": "a" * 2001}, "2,001 characters, the explorer takes 2,000"),
        ("other", {"text": ""}, "translates needs a second text: the translation so far."),
        ("restore", {"model": "x"}, "model must be one of ['writes', 'reads', 'translates']; got 'x'."),
        (
            "switch",
            {"model": "writes", "attention": "encoder", "layer": 0, "head": 0},
            "writes has the attention ['self-attention']; got 'encoder'.",
        ),
        (
            "switch",
            {"model": "writes", "attention": "self-attention", "layer": 5, "head": 0},
            "layer must be a whole number from 0 to 4; got 5.",
        ),
        (
            "switch",
            {"model": "writes", "attention": "self-attention", "layer": 0, "head": 1.0},
            "head must be a whole number from 0 to 2; got 1.0.",
        ),
    ],
)
def test_a_bad_question_about_heads_changes_nothing(
    heads: HeadsExplorer, kind: str, fields: dict, message: str
) -> None:
    before = (heads.views, heads.text, heads.other_text)
    assert message in ask(heads, kind, **fields)
    assert (heads.views, heads.text, heads.other_text) == before


class Uneven(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MultiHeadAttention(6, 2), MultiHeadAttention(6, 3)])


class NoPieces:
    def encode(self, text: str) -> list[int]:
        return []


class Unequal(Letters):
    def pieces(self, text: str) -> list[str]:
        return [text]


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda readers: {}, {}, "models must map at least one name to (model, tokenizer); got {}."),
        (lambda readers: [readers["writes"]], {}, "models must map at least one name"),
        (lambda readers: {3: readers["writes"]}, {}, "a model's name must be a text; got 3."),
        (lambda readers: {"a": readers["writes"][0]}, {}, "'a' must be a pair (model, tokenizer); got GPT."),
        (lambda readers: {"a": (readers["writes"][0], "x")}, {}, "a's tokenizer must have encode and pieces"),
        (lambda readers: {"a": (readers["writes"][0], NoPieces())}, {}, "got NoPieces."),
        (lambda readers: {"a": (readers["writes"][0], Unequal())}, {}, "gives 4 ids and 1 pieces."),
        (lambda readers: {"a": (nn.Linear(2, 2), Letters())}, {}, "a has no MultiHeadAttention to look into"),
        (lambda readers: {"a": (Uneven(), Letters())}, {}, "the same number of heads; got [2, 3]."),
        (lambda readers: readers, {"model": "x"}, "model must be one of"),
        (lambda readers: readers, {"other_text": ""}, "translates needs a second text"),
        (lambda readers: readers, {"text": ""}, "The text is empty"),
        (
            lambda readers: {"a": readers["writes"]},
            {"text": "☕"},
            "The text has no token of a: type another",
        ),
    ],
)
def test_bad_models_and_texts(readers, change, options: dict, message: str) -> None:
    given = {"text": "acat", "other_text": "hund"} | options
    with pytest.raises(ValueError, match=re.escape(message)):
        HeadsExplorer(change(readers), given.pop("text"), **given)


@pytest.mark.usefixtures("own_errors")
def test_only_places_on_the_sheet_are_opened(heads: HeadsExplorer) -> None:
    for opened in ([0], [0, -1], [0.5, 0]):
        with pytest.raises(ValueError, match="opened must be a layer and a head"):
            heads.opened = opened


def test_it_keeps_the_frame(heads: HeadsExplorer) -> None:
    assert keeps_the_frame(heads)
