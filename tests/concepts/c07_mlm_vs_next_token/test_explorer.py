"""The gap explorer without a browser: every number is the library's, every question is answered."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from explorers import Letters, ask, keeps_the_frame
from torch import nn

from course_lib import readers as two_readers
from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c07_mlm_vs_next_token.explorer import AT_ONCE, UNKNOWN, Characters, GapExplorer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.widgets.microscope.recording import unpacked_all


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


@pytest.fixture
def readers_only(gap_models) -> GapExplorer:
    return GapExplorer({name: gap_models[name] for name in ("left", "both")}, "acatran")


def gap_ids(text: str) -> torch.Tensor:
    return torch.tensor([two_readers.ALPHABET.index(letter) for letter in text])


def same(found: dict, scores: torch.Tensor, target: torch.Tensor) -> bool:
    """Whether these are the likeliest tokens of the scores, and the target's surprise and rank."""
    shares = scores.softmax(-1)
    top = scores.topk(7)
    assert [piece for piece, _ in found["rows"]] == [two_readers.decode(i[None]) for i in top.indices]
    np.testing.assert_allclose([share for _, share in found["rows"]], shares[top.indices], atol=2e-6)
    np.testing.assert_allclose(found["bits"], -shares[target].log2(), rtol=1e-4, atol=1e-3)
    return found["rank"] == (shares > shares[target]).sum() + 1


@torch.no_grad()
def test_what_the_models_say_while_tokens_are_hidden(gap: GapExplorer, gap_models) -> None:
    """A causal model reads its own words in the gaps, one of both sides is asked for each token in turn."""
    ids = gap_ids("acatran")
    left, both = (gap_models[name][0] for name in ("left", "both"))
    for hidden in ([], [2], [2, 4], [0, 1, 5]):
        assert ask(gap, "find", text="acatran", model="left", others=hidden, token=3) == ""
        start = min({*range(7)} - {*hidden})
        read, answers = [ids[start]], gap.answers["left"][",".join(map(str, hidden))]
        assert answers[: start + 1] == [None] * (start + 1)
        for place in range(start + 1, 7):
            row = left(torch.stack(read)[None])[0, -1]
            assert same(answers[place], row, ids[place])
            assert answers[place]["passes"] == 1 + len([gap for gap in hidden if start < gap < place])
            read.append(row.argmax() if place in hidden else ids[place])
        answers = gap.answers["both"][",".join(map(str, hidden))]
        for place in range(7):
            masked = ids.clone()
            masked[[*hidden, place]] = two_readers.MASK_ID
            assert same(answers[place], both(masked[None])[0, place], ids[place])
            assert answers[place]["passes"] == 1


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
    assert ask(gap, "find", text="acatran", model="left", others=hidden, token=token) == ""
    others = ",".join(str(place) for place in hidden if place != token)
    tried = gap.tried["left"][f"{others};{token}"]
    assert (tried["tried"], tried["passes"]) == (len(candidates), hidden.index(token) + 1 + len(candidates))
    shares = totals.softmax(-1)
    np.testing.assert_allclose([share for _, share in tried["rows"]], shares.topk(7).values, atol=1e-5)
    assert tried["rows"][0][0] == two_readers.decode(totals.argmax()[None])
    np.testing.assert_allclose(tried["bits"], -shares[ids[token]].log2(), atol=2e-3)


def test_every_single_gap_of_the_first_text_is_answered_at_once(
    gap: GapExplorer, gap_models, monkeypatch
) -> None:
    assert {*gap.answers["left"]} == {*gap.answers["both"]} == {""}
    assert {*gap.tried["left"]} == {f";{place}" for place in range(7)}
    assert gap.tried["left"][";0"] is None  # nothing stands before it
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
    assert {*gap.tried["left"]} == {";1"}
    gap.token = 2
    assert {*gap.tried["left"]} == {";1", ";2"}
    monkeypatch.setattr("course_lib.concepts.c07_mlm_vs_next_token.explorer.AT_ONCE", 0)
    large = GapExplorer({"left": gap_models["left"]}, "acatran", hidden=[2])
    assert {*large.tried["left"]} == {";2"}


class Pieces:
    """A token for each piece of a text that is cut at strokes."""

    def encode(self, text: str) -> list[int]:
        return [0] * len(self.pieces(text))

    def pieces(self, text: str) -> list[str]:
        return text.split("|")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("It| was| extraord|inary|,| so| she| took| it|.", 7),  # no half of a word, though longer
        ("Yesterday| it| was| over|night", 2),  # neither the first nor the last
        ("Take| one| or| two| of| all", 3),  # the nearest to the middle
        ("a|b|c", 1),
    ],
)
def test_a_whole_word_is_hidden_at_first(text: str, place: int) -> None:
    model = GPT(GPTConfig(vocab_size=3, max_seq_len=11, d_model=6, n_layers=1, n_heads=2))
    explorer = GapExplorer({"model": (model, Pieces())}, text)
    assert (explorer.hidden, explorer.token) == ([place], place)
    explorer.text = "One| more| text"
    assert explorer.hidden == [1]


def test_models_that_cut_alike_stand_side_by_side(gap: GapExplorer) -> None:
    gap.hidden = [2, 6]
    assert ["2,6" in gap.answers[name] for name in ("left", "both", "words")] == [True, True, False]
    gap.model = "words"
    assert gap.views["words"]["tokens"] == ["a", "ca", "t", "r", "a", "n"]
    assert "2" in gap.answers["words"]  # the text has no other of these places
    gap.token = 2
    assert ";2" in gap.tried["words"]


def test_what_is_left_of_a_text(gap: GapExplorer) -> None:
    gap.text = "ab" * 17
    cuts = {name: (len(view["tokens"]), view["n_tokens"]) for name, view in gap.views.items()}
    assert cuts == {"left": (32, 34), "both": (32, 34), "words": (7, 34)}
    gap.text = "a"
    assert (gap.hidden, gap.token) == ([], 0)
    assert gap.answers["left"][""] == [None]
    for other in (gap.answers["both"], gap.answers["words"]):
        assert len(other[""]) == 1


@pytest.mark.parametrize(
    ("text", "read", "unknown"),
    [
        ("two cafés, one café", "two cafs, one caf", ["é"]),
        ("don’t\tcare 🙂", "dontcare ", ["’", "\t", "🙂"]),
        ("cafe\u0301 שלום", "cafe ", ["\u0301", "ש", "ל", "ו", "ם"]),
        ("a\nb", "a\nb", []),
    ],
)
def test_characters_that_are_not_known_are_left_out_and_named(readers_only, text, read, unknown) -> None:
    readers_only.text = text
    view = readers_only.views["left"]
    assert ("".join(view["tokens"]), view["unknown"]) == (read, unknown)


def test_other_alphabets_are_refused_and_nothing_changes(readers_only: GapExplorer) -> None:
    before = readers_only.get_state()
    for text in ("שלום טוב", "日本", "🙂"):
        assert ask(readers_only, "text", text=text) == UNKNOWN
    assert {**readers_only.get_state(), "state": before["state"]} == before


def test_a_model_that_always_says_the_same() -> None:
    """Half, a quarter, a quarter."""
    model = GPT(LlamaConfig(vocab_size=3, max_seq_len=5, d_model=2, n_layers=0, n_heads=1))
    model.lm_head = nn.Linear(2, 3)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias.copy_(torch.tensor([math.log(2), 0, 0]))
    explorer = GapExplorer({"tiny": (model, BPETokenizer(["a", "b", "c"], []))}, "abc", hidden=[1])
    found = {"rows": [["a", 0.5], ["b", 0.25], ["c", 0.25]], "bits": 2.0, "rank": 2, "passes": 1}
    assert explorer.answers["tiny"][""] == [None, found, found]
    assert explorer.tried["tiny"][";1"] == {**found, "passes": 4, "tried": 3}
    explorer.hidden = [0, 1]
    assert explorer.answers["tiny"]["0,1"] == [None, None, None]
    assert explorer.tried["tiny"]["0;1"] is None
    assert explorer.weights == {}  # the page reads the models of `readers` alone


def test_the_small_readers_go_to_the_page(readers_only: GapExplorer, gap_models) -> None:
    assert {*readers_only.weights} == {"left", "both"}
    for name, packed in readers_only.weights.items():
        model = gap_models[name][0]
        arrays = unpacked_all(packed["arrays"])
        assert {*arrays} == {name for name, _ in model.named_parameters()}
        for name, parameter in model.named_parameters():
            np.testing.assert_array_equal(arrays[name], parameter.detach())


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("find", {"others": [7]}, "hidden and token must be places from 0 to 6; got [7], 3."),
        ("find", {"others": [True]}, "hidden and token must be places from 0 to 6; got [True], 3."),
        ("find", {"others": "3"}, "hidden and token must be places from 0 to 6; got '3', 3."),
        ("find", {"token": -1}, "hidden and token must be places from 0 to 6; got [3], -1."),
        ("find", {"model": "third"}, "model must be one of ['left', 'both', 'words']; got 'third'."),
        (
            "find",
            {"others": [*range(7)]},
            "and one must stay; got 7 of 7: show one before you hide another.",
        ),
        ("text", {"text": ""}, "The text is empty: type at least one character."),
        ("text", {"text": "."}, "The text has no token of words: type another one."),
    ],
)
def test_a_bad_question_about_gaps_changes_nothing(
    gap: GapExplorer, kind: str, fields: dict, message: str
) -> None:
    chosen = {"text": "acatran", "model": "left", "others": [3], "token": 3} if kind == "find" else {}
    before = (gap.views, gap.answers, gap.tried, gap.model, gap.hidden, gap.token)
    assert message in ask(gap, kind, **{**chosen, **fields})
    assert (gap.views, gap.answers, gap.tried, gap.model, gap.hidden, gap.token) == before


def test_a_question_that_comes_too_late_is_ignored(gap: GapExplorer) -> None:
    answers = gap.answers
    assert ask(gap, "find", text="an older text", model="left", others=[30], token=31) == ""
    assert gap.answers == answers


def test_too_many_gaps_are_refused(gap_models) -> None:
    explorer = GapExplorer({"left": gap_models["left"]}, "ab" * 8, hidden=[*range(8, 0, -1)])
    assert explorer.hidden == [*range(1, 9)]
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
    assert tokenizer.encode("é") == []


def test_it_keeps_the_frame(gap: GapExplorer) -> None:
    assert keeps_the_frame(gap, "reader", "explorer")


def test_smollm2_asked_for_gaps_stands_beside_itself(smollm2, monkeypatch) -> None:
    model, tokenizer = smollm2
    filling = two_readers.Filler(model)
    both = {"SmolLM2": smollm2, "asked for gaps": (filling, tokenizer)}
    monkeypatch.setattr("course_lib.concepts.c07_mlm_vs_next_token.explorer.AT_ONCE", 0)
    explorer = GapExplorer(both, "The capital of France is Paris.", hidden=[3])
    answers = explorer.answers["asked for gaps"][""]
    assert not explorer.views["asked for gaps"]["is_causal"]
    ids = torch.tensor([tokenizer.encode("The capital of France is Paris.")])
    scores = filling(ids, torch.arange(ids.shape[1])[None] == 3, torch.tensor([3]))[0]
    np.testing.assert_allclose(2 ** -answers[3]["bits"], scores.softmax(-1)[ids[0, 3]], rtol=1e-3)
    assert answers[3]["rows"][0][0] == " France"
    assert None not in answers  # it answers for the first token, too
    assert explorer.answers["SmolLM2"][""][0] is None
    assert {*explorer.tried["SmolLM2"]} == {";3"}
    assert explorer.weights == {}
    # The lesson's sentence has no more tokens than are answered at once.
    reader = explorer._readers["SmolLM2"]
    reader.take(*reader.cut("She opened the window and it began to rain in."))
    assert reader.cost() <= AT_ONCE
