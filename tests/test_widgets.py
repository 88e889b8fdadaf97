"""The explorers without a browser: every number is the library's, every question is answered."""

import base64
import copy
import io
import json
import math
import re
import struct
import subprocess
import sys
import zlib
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from traitlets import TraitError

from course_lib import costs, maths, plots, probing
from course_lib import readers as two_readers
from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.data import digits, languages
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_lib.generation import next_token_probabilities
from course_lib.patches import PatchEmbedding, patchify
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding, sinusoidal
from course_lib.probing import weights_changed
from course_lib.widgets import (
    AttentionStepper,
    Characters,
    ClockExplorer,
    DepthExplorer,
    FlowExplorer,
    GapExplorer,
    HeadsExplorer,
    NextWord,
    PatchExplorer,
    PositionsExplorer,
    TokenExplorer,
)
from course_lib.widgets import clock_explorer as clock_module
from course_lib.widgets import explorer as explorer_module
from course_lib.widgets.attention_stepper import MASKS, STAGES
from course_lib.widgets.explorer import Explorer, format_number, unpacked
from course_lib.widgets.heads_explorer import MOST_TOKENS
from course_lib.widgets.patch_explorer import DRAW, LARGEST_FILE, OWN, OWN_SIZE, ROWS
from course_lib.widgets.positions_explorer import LARGEST, MOST_PLACES, SCHEMES, WIDEST
from course_lib.widgets.token_explorer import LONGEST_TEXT, NOT_REPLAYED, readable

FOLDER = Path(explorer_module.__file__).parent
T, S, K, D = 3, 5, 7, 2  # queries, keys, their width, the values' width


def ask(explorer: Explorer, kind: str, **fields: object) -> str:
    """A question of the page; returns the error, "" if there is none."""
    explorer._receive(explorer, {"request": f"request for {kind}", "kind": kind, **fields})
    assert explorer.state["answered"] == f"request for {kind}"
    return explorer.state["error"]


# --------------------------------------------------------------------------------------- attention stepper


@pytest.fixture
def cross() -> AttentionStepper:
    """Another sequence's keys, all sizes different, numbers with long fractions."""
    numbers = np.random.default_rng(0)
    return AttentionStepper(
        [f"q{t}" for t in range(T)],
        numbers.normal(size=(T, K)),
        numbers.normal(size=(S, K)),
        numbers.normal(size=(S, D)),
        key_tokens=[f"k{s}" for s in range(S)],
        custom_mask=numbers.random((T, S)) < 0.5,
    )


def expected(stepper: AttentionStepper, allowed: np.ndarray) -> dict[str, np.ndarray]:
    scaled = np.array([[sum(a * b for a, b in zip(q, k, strict=True)) for k in stepper.k] for q in stepper.q])
    return {
        "scores": scaled,
        "scale": scaled / math.sqrt(stepper.q.shape[1]),
        "mask": np.where(allowed, scaled / math.sqrt(stepper.q.shape[1]), -np.inf),
        "softmax": maths.attention_weights(stepper.q, stepper.k, allowed),
        "mix": maths.attention_loops(stepper.q, stepper.k, stepper.v, allowed),
    }


@pytest.mark.parametrize("mask", MASKS)
def test_every_number_is_the_librarys(cross: AttentionStepper, mask: str) -> None:
    cross.mask = mask
    allowed = cross.allowed()
    for stage, numbers in expected(cross, allowed).items():
        np.testing.assert_allclose(cross.numbers(stage), numbers, atol=1e-12)
        shown = cross.state["stages"][mask][STAGES.index(stage)]
        values = np.array([[-np.inf if x is None else x for x in row] for row in shown["values"]])
        np.testing.assert_allclose(values, numbers, atol=1e-12)
        texts = [
            [float(text.replace("−", "-").replace("∞", "inf")) for text in row] for row in shown["cells"]
        ]
        np.testing.assert_allclose(texts, numbers, atol=5e-4)


def test_masks() -> None:
    tokens, rows = ["a", "b"], [[1.0], [2.0]]
    keys = [[1.0], [2.0], [3.0]]
    stepper = AttentionStepper(tokens, rows, keys, keys, key_tokens=["x", "y", "z"], mask="causal")
    # Lower right, as with a cache: the last query sees every key.
    assert stepper.allowed().tolist() == [[True, True, False], [True, True, True]]
    assert stepper.allowed("off").all()
    assert stepper.allowed("custom").all()


@pytest.mark.parametrize("mask", MASKS)
def test_traces_compute_what_they_say(cross: AttentionStepper, mask: str) -> None:
    """The arithmetic in each sentence, evaluated, gives the number at its end."""
    cross.mask = mask
    for stage in ("scores", "scale", "softmax", "mix"):
        numbers = cross.numbers(stage)
        for (row, column), value in np.ndenumerate(numbers):
            sentence = cross.trace(stage, row, column)
            if "forbidden" in sentence:
                assert value == 0
                continue
            _, first, *_, last = re.split(r" [=≈] ", sentence)
            python = (
                first.replace("−", "-").replace("·", "*").replace("^", "**").replace(f"√{K}", f"{K}**0.5")
            )
            computed = eval(python, {"e": math.e})
            assert computed == pytest.approx(value, abs=0.01)
            assert float(last.replace("−", "-")) == pytest.approx(value, abs=5e-4)


def test_the_example_by_hand() -> None:
    stepper = AttentionStepper(mask="causal")
    assert stepper.trace("scores", 2, 1) == "score(it → cat) = 1·0.5 + 0·2 + 2·1 = 2.5"
    assert stepper.trace("scale", 2, 1) == "scaled(it → cat) = 2.5 / √3 ≈ 1.443"
    assert stepper.trace("mask", 2, 1) == "masked(it → cat) ≈ 1.443, unchanged: “it” may attend to “cat”"
    assert stepper.trace("mask", 0, 1) == "masked(the → cat) = −∞: “the” may not attend to “cat”"
    assert stepper.trace("softmax", 2, 1) == (
        "weight(it → cat) = e^1.443 / (e^0.577 + e^1.443 + e^0.577) ≈ 4.235 / 7.798 ≈ 0.543"
    )
    assert stepper.trace("softmax", 0, 1) == "weight(the → cat) = 0 / (e^0.577 + 0 + 0) ≈ 0 / 1.781 = 0"
    assert stepper.trace("mix", 0, 2) == "output(the, 3) = 1·0.5 + 0·1 + 0·0 = 0.5"


def test_large_scores_are_shown_as_softmax_computes_them() -> None:
    stepper = AttentionStepper(["a", "b"], [[30.0], [40.0]], [[20.0], [30.0]], [[1.0], [0.0]])
    assert stepper.trace("softmax", 1, 1) == (
        "weight(b → b) = e^0 / (e^(−400) + e^0) ≈ 1 / 1 = 1 (largest score, 1200, subtracted from all)"
    )


def test_a_row_without_keys_is_zero() -> None:
    stepper = AttentionStepper(mask="custom", stage="mix")
    for column in range(3):
        assert ask(stepper, "toggle", row=1, column=column) == ""
    assert stepper.numbers("softmax")[1].tolist() == [0, 0, 0]
    assert stepper.numbers("mix")[1].tolist() == [0, 0, 0]
    assert "the whole row is 0" in stepper.trace("softmax", 1, 2)
    assert ask(stepper, "toggle", row=1, column=2) == ""
    assert stepper.numbers("softmax")[1].tolist() == [0, 0, 1]


def test_edits_recompute() -> None:
    stepper = AttentionStepper()
    assert ask(stepper, "edit", array="k", row=1, column=2, text=" −1,5 ") == ""
    k = np.array([[1, 0, 0], [0.5, 2, -1.5], [0, 1, 0.5]])
    np.testing.assert_array_equal(stepper.k, k)
    np.testing.assert_allclose(stepper.numbers("mix"), maths.attention(stepper.q, k, stepper.v))
    assert stepper.state["inputs"]["k"][1] == ["0.5", "2", "−1.5"]
    assert ask(stepper, "name", side="tokens", row=0, text="a") == ""
    assert stepper.trace("scores", 0, 0).startswith("score(a → a)")
    assert ask(stepper, "reset") == ""
    assert stepper.state == {**AttentionStepper().state, "answered": "request for reset", "error": ""}


def test_reset_brings_back_what_was_given(cross: AttentionStepper) -> None:
    before = cross.state
    ask(cross, "edit", array="v", row=4, column=1, text="3")
    ask(cross, "name", side="key_tokens", row=4, text="end")
    ask(cross, "toggle", row=0, column=0)
    assert cross.state["stages"] != before["stages"]
    ask(cross, "reset")
    assert cross.state["stages"] == before["stages"]
    assert cross.state["key_tokens"] == ["k0", "k1", "k2", "k3", "k4"]


def test_copies_do_not_reach_in() -> None:
    stepper = AttentionStepper()
    stepper.q[0, 0] = 99
    assert stepper.q[0, 0] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Type a number such as 0.5; the field is empty."),
        ("two", "Type a number such as 0.5; got 'two'."),
        ("nan", "Type a number below a million; got 'nan'."),
        ("1e6", "Type a number below a million; got '1e6'."),
    ],
)
def test_a_bad_edit_changes_nothing(text: str, message: str) -> None:
    stepper = AttentionStepper()
    before = stepper.state
    assert ask(stepper, "edit", array="q", row=0, column=0, text=text) == message
    assert stepper.state == {**before, "answered": "request for edit", "error": message}


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            "edit",
            {"array": "custom_mask", "row": 0, "column": 0, "text": "1"},
            "array must be one of q, k, v",
        ),
        (
            "edit",
            {"array": "q", "row": 3, "column": 0, "text": "1"},
            "row must be a whole number from 0 to 2; got 3",
        ),
        ("edit", {"array": "q", "row": 0, "column": "0", "text": "1"}, "column must be a whole number"),
        ("name", {"side": "tokens", "row": 0, "text": " "}, "A token needs a name"),
        ("toggle", {"row": 0, "column": -1}, "column must be a whole number from 0 to 2; got -1"),
        ("describe", {}, "AttentionStepper cannot answer 'describe'"),
        ("msg", {}, "AttentionStepper cannot answer 'msg'"),
        (None, {}, "AttentionStepper cannot answer None"),
    ],
)
def test_a_bad_question_is_refused(kind: str, fields: dict, message: str) -> None:
    stepper = AttentionStepper()
    stages = stepper.state["stages"]
    assert message in ask(stepper, kind, **fields)
    assert stepper.state["stages"] == stages


@pytest.mark.usefixtures("own_errors")
def test_a_failure_of_ours_is_told_too() -> None:
    stepper = AttentionStepper()
    with pytest.raises(TypeError, match="on_toggle"):
        ask(stepper, "toggle")
    assert stepper.state["answered"] == "request for toggle"
    assert stepper.state["error"].startswith("Python stopped with TypeError")


ROW = [[1.0, 2.0]]


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": [[1.0, 2.0, 3.0]]}, "q and k must have the same width: q has 2, k has 3."),
        ({"v": [[1.0], [2.0]]}, "k and v must have one row per key: k has 1 rows, v has 2."),
        ({"tokens": ["a", "b"]}, "q must have one row per token: q has 1 rows, tokens has 2 names."),
        ({"key_tokens": ["a", "b"]}, "k must have one row per token: k has 1 rows, key_tokens has 2 names."),
        ({"q": [["one", 2.0]]}, "q must be rows of numbers, all of one length; got [['one', 2.0]]."),
        ({"q": [[1.0], [1.0, 2.0]]}, "q must be rows of numbers"),
        ({"q": [1.0, 2.0]}, "q must be a table of 1 to 8 rows and columns; got shape (2,)."),
        ({"q": [[]]}, "got shape (1, 0)."),
        ({"q": [[math.nan, 2.0]]}, "q must hold numbers below a million; got [[nan, 2.0]]."),
        ({"tokens": "a"}, "tokens must be a list of names; got 'a'."),
        ({"tokens": []}, "tokens must hold 1 to 8 names; got 0."),
        ({"tokens": [3]}, "A token needs a name of at least one visible character; got 3."),
        (
            {"custom_mask": [[1]]},
            "custom_mask must be boolean of shape (1, 1), True = may attend; got int64 of shape (1, 1).",
        ),
        ({"custom_mask": [[True, False]]}, "got bool of shape (1, 2)."),
        ({"mask": "on"}, "mask must be one of off, causal, custom; got 'on'."),
        ({"stage": "end"}, "stage must be one of scores, scale, mask, softmax, mix; got 'end'."),
        ({"v": None}, "Give tokens, q, k and v together, or none; missing: v."),
    ],
)
def test_bad_input(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AttentionStepper(**{"tokens": ["a"], "q": ROW, "k": ROW, "v": ROW, **arguments})


@pytest.mark.usefixtures("own_errors")
def test_a_refused_update_changes_nothing() -> None:
    stepper = AttentionStepper()
    before = stepper.state
    with pytest.raises(ValueError, match="q has 1, k has 3"):
        stepper.update(q=[[1.0], [2.0], [3.0]])
    with pytest.raises(ValueError, match="AttentionStepper has no 'queries' to set; it has tokens"):
        stepper.update(queries=ROW)
    with pytest.raises(ValueError, match="stage must be one of"):
        stepper.trace("end", 0, 0)
    assert stepper.state == before


C = 4  # numbers in a token


@pytest.fixture
def from_x() -> AttentionStepper:
    """Tokens and three matrices, all sizes different."""
    numbers = np.random.default_rng(1)
    x, w_q, w_k, w_v = (numbers.normal(size=size) for size in ((T, C), (C, K), (C, K), (C, D)))
    return AttentionStepper([f"t{t}" for t in range(T)], x=x, w_q=w_q, w_k=w_k, w_v=w_v)


def typed(stepper: AttentionStepper) -> dict[str, np.ndarray]:
    """The input tables as the page shows them."""
    return {
        name: np.array([[float(text.replace("−", "-")) for text in row] for row in rows])
        for name, rows in stepper.state["inputs"].items()
    }


def test_from_x_on_the_first_step_makes_q_k_and_v(from_x: AttentionStepper) -> None:
    assert from_x.stage == "project"
    projections = {made["name"]: made for made in from_x.state["projections"]}
    assert list(projections) == ["q", "k", "v"]
    assert list(from_x.state["inputs"]) == ["x", "w_q", "w_k", "w_v"]
    inputs = typed(from_x)
    assert inputs["x"].shape == (T, C)
    for name, made in projections.items():
        kept = getattr(from_x, name)
        np.testing.assert_allclose(kept, inputs["x"] @ inputs[f"w_{name}"])
        shown = [[float(text.replace("−", "-")) for text in row] for row in made["cells"]]
        np.testing.assert_allclose(shown, kept, atol=5e-4)
        for (row, column), value in np.ndenumerate(kept):
            sentence = from_x.trace(name, row, column)
            assert sentence.startswith(f"{name}(t{row}, {column + 1}) ")
            _, products, last = re.split(r" [=≈] ", sentence)
            computed = eval(products.replace("−", "-").replace("·", "*"))
            assert float(last.replace("−", "-")) == pytest.approx(value, abs=5e-4)
            assert computed == pytest.approx(value, abs=0.01)
    for stage, numbers in expected(from_x, np.ones((T, T), bool)).items():
        np.testing.assert_allclose(from_x.numbers(stage), numbers, atol=1e-12)


def test_from_x_by_hand() -> None:
    stepper = AttentionStepper(
        ["a", "b"], x=[[1, 2], [3, 0]], w_q=[[1], [0.5]], w_k=[[0], [1]], w_v=[[2, 0, 1], [1, 1, 0]]
    )
    np.testing.assert_array_equal(stepper.q, [[2], [3]])
    np.testing.assert_array_equal(stepper.k, [[2], [0]])
    np.testing.assert_array_equal(stepper.v, [[4, 2, 1], [6, 0, 3]])
    assert stepper.trace("v", 1, 2) == "v(b, 3) = 3·1 + 0·0 = 3"
    queries, keys, _ = stepper.describe().split("\n\n")
    assert queries == "Queries q (x W_Q: what each token looks for)\n   1\na  2\nb  3"
    assert keys.startswith("Keys k (x W_K: what each token is found by)\n")
    stepper.stage = "mix"
    assert [part.split(" (")[0] for part in stepper.describe().split("\n\n")] == [
        *("Queries q", "Keys k", "Values v", "Scores", "Scale", "Mask", "Softmax", "Mix")
    ]


def test_edits_of_x_and_its_matrices_recompute(from_x: AttentionStepper) -> None:
    first, before = from_x.state, typed(from_x)
    assert ask(from_x, "edit", array="w_k", row=3, column=6, text="1.5") == ""
    assert ask(from_x, "edit", array="x", row=0, column=1, text="−2") == ""
    before["w_k"][3, 6], before["x"][0, 1] = 1.5, -2
    for name in "qkv":
        np.testing.assert_allclose(getattr(from_x, name), before["x"] @ before[f"w_{name}"])
    refused = "array must be one of x, w_q, w_k, w_v; got 'q'."
    assert ask(from_x, "edit", array="q", row=0, column=0, text="1") == refused
    assert ask(from_x, "reset") == ""
    assert from_x.state == {**first, "answered": "request for reset", "error": ""}


PAIR = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"q": PAIR}, "q comes from x here: give q, k and v, or x, w_q, w_k and w_v."),
        ({"w_k": None}, "Give tokens, x, w_q, w_k and w_v together, or none; missing: w_k."),
        ({"key_tokens": ["a", "b"]}, "x makes queries, keys and values of the same tokens: leave out key_"),
        ({"x": [[1.0, 2.0]]}, "x must have one row per token: x has 1 rows, tokens has 2 names."),
        (
            {"w_v": [[1.0, 2.0]]},
            "w_v must have one row per column of x: x has 2 columns, w_v has 1 rows. (A Linear's weight is",
        ),
        (
            {"w_q": [[1.0], [2.0]]},
            "w_q and w_k must have the same number of columns: w_q has 1, w_k has 2.",
        ),
        ({"w_q": [["one", 2.0]]}, "w_q must be rows of numbers, all of one length"),
        ({"stage": "end"}, "stage must be one of project, scores, scale, mask, softmax, mix; got 'end'."),
    ],
)
def test_bad_input_from_x(arguments: dict, message: str) -> None:
    given = {"tokens": ["a", "b"], "x": PAIR, "w_q": PAIR, "w_k": PAIR, "w_v": PAIR, **arguments}
    with pytest.raises(ValueError, match=re.escape(message)):
        AttentionStepper(**given)


@pytest.mark.usefixtures("own_errors")
def test_what_comes_from_x_is_changed_there(from_x: AttentionStepper) -> None:
    before = from_x.state
    with pytest.raises(ValueError, match="has no 'q' to set; it has tokens, key_tokens, x, w_q, w_k, w_v"):
        from_x.update(q=PAIR)
    with pytest.raises(ValueError, match="has no 'x' to set; it has tokens, key_tokens, q, k, v"):
        AttentionStepper().update(x=PAIR)
    with pytest.raises(ValueError, match="stage must be one of scores"):
        AttentionStepper(stage="project")
    assert from_x.state == before


def test_stepper_uses_the_words_of_the_course() -> None:
    roles = AttentionStepper().state["roles"]
    meanings = {name: roles[name]["meaning"] for name in "qkv"}
    assert meanings == {
        "q": "what each token looks for",
        "k": "what each token is found by",
        "v": "what each token hands over",
    }


def test_stepper_describes_what_is_drawn() -> None:
    stepper = AttentionStepper(mask="causal")
    assert (
        stepper.describe()
        == "Scores (q · k)\n     the  cat   it\nthe    1  0.5    0\ncat    0    3  1.5\nit     1  2.5    1"
    )
    stepper.stage = "mix"
    assert [part.split(" (")[0] for part in stepper.describe().split("\n\n")] == [
        "Scores",
        "Scale",
        "Mask",
        "Softmax",
        "Mix",
    ]
    assert "the  0.577     −∞     −∞" in stepper.describe()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (-0.5, "−0.5"),
        (1 / 3, "0.333"),
        (0.0, "0"),
        (-0.0, "0"),
        (4e-5, "4.00e−05"),
        (2.5e7, "2.50e+07"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert format_number(value) == text


# ----------------------------------------------------------------------------------------------- next word

END = 27


@pytest.fixture
def parts() -> tuple[GPT, BPETokenizer]:
    """A model of letters that is decided without training, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "<end>"], [], {"<end>": END})
    model = GPT(LlamaConfig(vocab_size=28, max_seq_len=61, d_model=8, n_layers=2, n_heads=2)).eval()
    with torch.no_grad():
        model.token_embedding.weight.mul_(25)
    return model, tokenizer


SETTINGS = [(1.0, None, None), (0.5, 7, None), (1.7, None, 0.6), (0.8, 5, 0.9), (0.0, None, None)]


def check_numbers(explorer: NextWord, model: GPT, text: str, settings: tuple) -> None:
    with torch.no_grad():
        logits = model(torch.tensor([explorer._tokenizer.encode(text)]))[0, -1]
    temperature, top_k, top_p = settings
    before = next_token_probabilities(logits)
    after = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    rows = explorer.state["rows"]
    shown = [row["id"] for row in rows]
    assert shown == before.argsort(descending=True)[:10].tolist()
    others = [i for i in range(len(before)) if i not in shown]
    for name, probabilities in (("before", before), ("after", after)):
        np.testing.assert_allclose([row[name] for row in rows], probabilities[shown], atol=1e-6)
        np.testing.assert_allclose(explorer.state["rest"][name], probabilities[others].sum(), atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS)
def test_probabilities_are_the_librarys(parts, settings: tuple) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat")
    check_numbers(explorer, model, "a cat", (1.0, None, None))
    temperature, top_k, top_p = settings
    error = ask(explorer, "settings", temperature=temperature, top_k=top_k or 0, top_p=top_p or 1)
    assert error == ""
    check_numbers(explorer, model, "a cat", settings)


def test_texts_that_share_a_beginning_share_the_cache(parts) -> None:
    """Longer, shorter, different, the same: the cache may not change a number."""
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat")
    seen = []
    model.token_embedding.register_forward_hook(lambda module, args, output: seen.append(args[0].shape[1]))
    for text in ("a cat sat", "a cab", "dog", "dog", "d", "dog and cat"):
        assert ask(explorer, "text", text=text) == ""
        assert explorer.text == text
        read = seen[-1]
        check_numbers(explorer, model, text, (1.0, None, None))
        seen.append(read)
    assert seen[::3] == [4, 1, 3, 1, 1, 10]


def test_choose_step_and_reset(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", top_k=5)
    assert ask(explorer, "choose", token=18) == ""
    assert explorer.text == explorer.state["text"] == "a cats"
    check_numbers(explorer, model, "a cats", (1.0, 5, None))
    assert ask(explorer, "reset") == ""
    explorer.write_on(13)
    first = explorer.text
    written = len(first) - len("a cat")  # fewer than 13 where it drew the end of the text
    assert written > 0
    assert ask(explorer, "reset") == ""
    for _ in range(written):
        assert ask(explorer, "step") == ""
    assert explorer.text == first
    other = NextWord(model, tokenizer, "a cat", top_k=5, seed=1)
    other.write_on(13)
    assert other.text != first


def test_draws_follow_the_probabilities_after_the_settings(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", temperature=0.7, top_k=3)
    wanted = {row["id"]: row["after"] for row in explorer.state["rows"] if row["after"] > 0}
    assert len(wanted) == 3
    draws = 2003
    drawn = [explorer._draw() for _ in range(draws)]
    assert set(drawn) == set(wanted)
    for token, probability in wanted.items():
        # Four standard deviations of a count.
        assert abs(drawn.count(token) / draws - probability) < 4 * math.sqrt(
            probability * (1 - probability) / draws
        )


def test_the_end_of_a_text_is_told_and_not_appended(parts) -> None:
    model, tokenizer = parts
    explorer = NextWord(model, tokenizer, "a cat", temperature=0)
    with torch.no_grad():
        # The final state as the end's own embedding: nothing scores higher.
        end = model.stack(model.embed(torch.tensor([tokenizer.encode("a cat")])))[0, -1]
        model.lm_head.weight[END] = 100 * end
    explorer.text = "a ca"
    explorer.text = "a cat"
    explorer.write_on(7)
    assert explorer.text == "a cat"
    assert explorer.state["ended"]
    assert explorer.state["note"] == "The model's choice <end> is no text: it marks a beginning or an end."


def test_tokens_are_readable(parts) -> None:
    model, _ = parts
    tokens = ["Ġa", "Ċ", "ĉ", *"bcdefghijklmnopqrstuvwxy", "Ã"]
    explorer = NextWord(model, BPETokenizer(tokens, []), "bc")
    assert [explorer._piece(i) for i in (0, 1, 2, 27)] == ["␣a", "↵", "⇥", "(part of a character, token 27)"]


def test_says_what_a_token_is_and_which_are_the_models(parts) -> None:
    explorer = NextWord(*parts, "a cat", top_k=5)
    assert explorer.state["n_written"] == 0
    assert explorer.state["about"].startswith("A token is a piece of text")
    assert "It knows 28. ␣ stands for a space" in explorer.state["about"]
    assert "Underlined" not in explorer.state["about"]
    explorer.write_on(3)
    ask(explorer, "choose", token=2)
    assert explorer.state["n_written"] == 4
    assert explorer.state["about"].endswith("Underlined: the model's own.")
    # Whoever edits the text takes it over.
    ask(explorer, "text", text=explorer.text + "b")
    assert explorer.state["n_written"] == 0
    explorer.step()
    ask(explorer, "reset")
    assert explorer.state["n_written"] == 0


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty: type at least one character for the model to continue."),
        ("a" * 62, "The text has 62 tokens, the model's context holds 61: shorten it."),
        ("ÄÖ", "The text has no character that the model knows: type another one."),
        (3, "The text must be a string; got int."),
    ],
)
def test_bad_text(parts, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        NextWord(*parts, text)
    explorer = NextWord(*parts, "a cat")
    before = explorer.state
    assert ask(explorer, "text", text=text) == message
    assert explorer.state == {**before, "answered": "request for text", "error": message}
    assert ask(explorer, "text", text="a dog") == ""


def test_a_full_context_stops_writing(parts) -> None:
    explorer = NextWord(*parts, "a" * 60, top_k=5)
    explorer.step()
    with pytest.raises(ValueError, match="The text fills the model's context of 61 tokens: shorten it or"):
        explorer.step()
    assert len(explorer.text) == 61


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be a number from 0 to 2; got -0.1."),
        ({"temperature": 2.1}, "temperature must be a number from 0 to 2; got 2.1."),
        ({"temperature": math.nan}, "temperature must be a number from 0 to 2; got nan."),
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2; got 'hot'."),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, or None for all tokens; got 0."),
        ({"top_k": 2.5}, "got 2.5."),
        ({"top_p": 0.0}, "top_p must be a number above 0 and at most 1, or None for all tokens; got 0.0."),
        ({"top_p": 1.1}, "got 1.1."),
    ],
)
def test_bad_settings(parts, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        NextWord(*parts, "a cat", **settings)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("token", [-1, 28, "a", True])
def test_bad_token(parts, token: object) -> None:
    explorer = NextWord(*parts, "a cat")
    assert ask(explorer, "choose", token=token) == f"A token is a whole number from 0 to 27; got {token!r}."
    assert explorer.text == "a cat"


def test_next_word_describes_what_is_drawn(parts) -> None:
    explorer = NextWord(*parts, "a cat", temperature=0.5, top_k=7, top_p=0.9)
    lines = explorer.describe().splitlines()
    assert lines[0] == "Text: a cat"
    assert lines[1] == explorer.state["about"]
    assert lines[2] == "Settings: temperature 0.5, top-k 7, top-p 0.9"
    assert [re.split(" {2,}", line) for line in lines[4:14]] == [
        [row["piece"], row["before_text"], row["after_text"]] for row in explorer.state["rows"]
    ]
    assert lines[14].startswith("18 other tokens")
    assert explorer.state["description"] == explorer.describe()
    printed = sum(
        float(row["before_text"].removesuffix(" %"))
        for row in [*explorer.state["rows"], explorer.state["rest"]]
    )
    assert printed == pytest.approx(100, abs=0.6)


# -------------------------------------------------------------------------------------------------- tokens

CORPUS = "straw strawberry berry berries raw drawing bananas, ein Kaffee, café, café\n"
TEXT = "Strawberry  bananas:\ncafé ☕ 们"


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, BPETokenizer | WordPiece]:
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    return {
        "ours": BPETokenizer.train(CORPUS, 283, ["<end>"]),
        "without ☕": BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "st"], [("s", "t")]),
        "pieces": WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, "straw", "##berry", ":", "cafe"]),
    }


def ids_of(cut: dict) -> list[int]:
    return [i for word in cut["words"] for i in word["steps"][-1]["ids"]]


TEXTS = [
    TEXT,
    "☕",
    "strawberry",
    "banana <end>x",
    " ",
    "\r\n\t",
    "קפה בבוקר",
    "ab" * 997,
    "straw berry " * 100,
    "ㄱ" * 99,
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_token_is_the_librarys(tokenizers, text: str) -> None:
    explorer = TokenExplorer(tokenizers, text)
    assert explorer.text == text
    for name, tokenizer in tokenizers.items():
        cut = explorer.state["view"]["cuts"][name]
        ids = tokenizer.encode(text)
        assert ids_of(cut) == ids
        assert cut["summary"].startswith(f"{len(ids):,} token{'' if len(ids) == 1 else 's'}")
        if ids:
            of_token = f"{len(text) / len(ids):.1f} characters or {len(text.encode()) / len(ids):.1f} bytes"
            assert of_token in cut["summary"]


def test_replays_are_the_librarys_merges(tokenizers) -> None:
    ours = tokenizers["ours"]
    explorer = TokenExplorer({"ours": ours}, " strawberry bananas")
    for word, shown in zip(
        ours.words(explorer.text), explorer.state["view"]["cuts"]["ours"]["words"], strict=True
    ):
        steps = ours.merge_steps(word)
        assert [step["ids"] for step in shown["steps"]] == [ids for _, ids in steps]
        assert shown["steps"][0]["text"].startswith(f"Start: {len(word)} bytes")
        for n, (step, (rank, ids)) in enumerate(zip(shown["steps"][1:], steps[1:], strict=True), start=1):
            left, right = (part.replace("Ġ", "␣") for part in ours.merges[rank])
            said = f"Merge {n} of {len(steps) - 1}: {left} + {right} → {left}{right}"
            now = " | ".join(ours.tokens[i].replace("Ġ", "␣") for i in ids)
            assert step["text"].startswith(said)
            assert step["text"].endswith(f"rank {rank} of {len(ours.merges)}. Now: {now}")
            assert {ours.tokens[ids[place]] for place in step["new"]} == {"".join(ours.merges[rank])}


def test_a_merge_in_two_places_is_one_step() -> None:
    explorer = TokenExplorer({"toy": BPETokenizer(["a", "n", "an"], [("a", "n")])}, "anna")
    first, second = explorer.state["view"]["cuts"]["toy"]["words"][0]["steps"]
    assert (first["new"], second["new"]) == ([], [0])
    explorer.text = "ananan"
    assert explorer.state["view"]["cuts"]["toy"]["words"][0]["steps"][1] == {
        "text": "Merge 1 of 1: a + n → an in 3 places, rank 0 of 1. Now: an | an | an",
        "ids": [2, 2, 2],
        "rest": "",
        "new": [0, 1, 2],
    }


def test_longest_matches_are_replayed(tokenizers) -> None:
    explorer = TokenExplorer({"pieces": tokenizers["pieces"]}, "Strawberry 们")
    words = explorer.state["view"]["cuts"]["pieces"]["words"]
    assert [step["text"] for step in words[0]["steps"]] == [
        "Start: strawberry, of which nothing is cut yet.",
        "Match 1: straw is the longest token that fits at the start of strawberry. Left: berry.",
        "Match 2: ##berry is the longest token that fits at the start of berry. Nothing is left.",
    ]
    assert [(step["rest"], step["new"]) for step in words[0]["steps"]] == [
        ("strawberry", []),
        ("berry", [0]),
        ("", [1]),
    ]
    assert words[1]["lost"] == "们"
    assert words[1]["steps"][-1]["text"] == "No token fits at the start of 们: the whole word is lost, [UNK]."


def test_what_is_lost_is_told(tokenizers) -> None:
    cuts = TokenExplorer(tokenizers, TEXT).state["view"]["cuts"]
    assert cuts["ours"]["note"] == ""
    assert cuts["without ☕"]["note"] == "Some bytes are not in this vocabulary and were left out."
    assert cuts["pieces"]["note"] == "Words lost: 2 of 6. It reads: strawberry bananas : cafe ☕ 们"
    assert cuts["pieces"]["tokens"]["0"] == {"text": "[UNK]", "kind": "lost"}
    assert "[UNK] 0 (lost: 们)" in cuts["pieces"]["description"]
    too_long = TokenExplorer(tokenizers, "p" * 101).state["view"]["cuts"]["pieces"]
    assert (too_long["words"][0]["lost"], too_long["note"]) == ("…", "Words lost: 1 of 1. It reads: [UNK]")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b" a", "␣a"),
        (b"\r\n\t", "␍↵⇥"),
        ("é们".encode(), "é们"),
        (b"\xe2\x98", "⟨E2 98⟩"),
        (b" \xe2\x98", "␣⟨E2 98⟩"),
        (b"ab" + b"\x95\xff" + "é".encode(), "ab⟨95 FF⟩é"),
        ("\u200b".encode(), "⟨E2 80 8B⟩"),
        (b"\x00", "⟨00⟩"),
        ("ி".encode(), "◌ி"),
        ("é".encode(), "é"),
        (b"", ""),
    ],
)
def test_bytes_can_be_read(data: bytes, text: str) -> None:
    assert readable(data) == text


def test_halves_of_characters_are_shown_as_bytes(tokenizers) -> None:
    cut = TokenExplorer(tokenizers, "☕").state["view"]["cuts"]["ours"]
    assert [cut["tokens"][str(i)] for i in ids_of(cut)] == [
        {"text": text, "kind": "bytes"} for text in ("⟨E2⟩", "⟨98⟩", "⟨95⟩")
    ]


def test_languages_are_counted_against_english(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers)
    found = languages()
    assert list(explorer.sentences) == list(found)
    for language, sentence in found.items():
        explorer.language = language
        assert explorer.text == sentence
        for name, tokenizer in tokenizers.items():
            cut = explorer.sentences[language]["cuts"][name]
            n, english = len(tokenizer.encode(sentence)), len(tokenizer.encode(found["English"]))
            said = f" The English sentence has {english}: {n / english:.2f} times as many."
            assert cut["summary"].endswith(said) == (language != "English")
            assert len(ids_of(cut)) == n
            assert NOT_REPLAYED not in str(cut)
    explorer.text = "straw"
    assert (explorer.language, explorer.text) == ("", "straw")


@pytest.mark.parametrize(
    ("text", "direction"), [("a ק", "ltr"), ("1. קa", "rtl"), ("شاي", "rtl"), ("12", "ltr")]
)
def test_direction(tokenizers, text: str, direction: str) -> None:
    assert TokenExplorer(tokenizers, text).state["view"]["direction"] == direction


def test_rows_of_pieces_keep_their_order_in_sentences_of_the_other_direction() -> None:
    explorer = TokenExplorer({"bytes": BPETokenizer.train("קק", 257)}, "קק")
    start, merge = explorer.state["view"]["cuts"]["bytes"]["words"][0]["steps"]
    assert start["text"].endswith("⟨D7⟩ | ⟨A7⟩ | ⟨D7⟩ | ⟨A7⟩")
    assert merge["text"].endswith("Now: \u2068ק\u2069 | \u2068ק\u2069")


def test_long_texts_are_cut_whole_and_replayed_in_part(tokenizers) -> None:
    cut = TokenExplorer(tokenizers, "strawberry " * 150).state["view"]["cuts"]["ours"]
    replayed = [len(word["steps"]) > 1 for word in cut["words"]]
    assert replayed == sorted(replayed, reverse=True)
    assert 5 < sum(replayed) < 150
    assert cut["words"][-1]["steps"][0]["text"] == NOT_REPLAYED
    one_word = TokenExplorer(tokenizers, "a" * 101).state["view"]["cuts"]["ours"]["words"]
    assert [word["steps"][0]["text"] for word in one_word] == [NOT_REPLAYED]


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty: type at least one character."),
        ("a" * (LONGEST_TEXT + 1), "The text has 2,001 characters, the explorer takes 2,000: shorten it."),
        (3, "The text must be a string; got int."),
        ("\ud800", "got a lone surrogate"),
    ],
)
def test_a_bad_text_to_cut(tokenizers, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TokenExplorer(tokenizers, text)
    explorer = TokenExplorer(tokenizers)
    explorer.language = "German"
    before = explorer.state
    assert message in ask(explorer, "text", text=text)
    assert explorer.state["view"] == before["view"]
    assert explorer.language == "German"
    assert ask(explorer, "text", text="straw") == ""
    assert explorer.text == "straw"


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "tokenizers must be a mapping of one to four, by name; got {}."),
        ("ours", "tokenizers must be a mapping of one to four"),
        ({"ours": "bpe"}, "tokenizers must map names to BPETokenizer or WordPiece; got 'ours': str."),
    ],
)
def test_bad_tokenizers(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TokenExplorer(given)


def test_the_first_two_tokenizers_are_shown(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers)
    assert explorer.shown == ["ours", "without ☕"]
    explorer.shown = ["pieces", "ours"]
    with pytest.raises(
        ValueError, match=re.escape("shown must be 2 of ['ours', 'without ☕', 'pieces']; got")
    ):
        explorer.shown = ["theirs", "ours"]
    with pytest.raises(ValueError, match="shown must be 2 of"):
        explorer.shown = ["ours"]
    with pytest.raises(ValueError, match=r"language must be '' or one of .*; got 'Klingon'"):
        explorer.language = "Klingon"
    assert (explorer.shown, explorer.language) == (["pieces", "ours"], "")
    assert TokenExplorer({"ours": tokenizers["ours"]}).shown == ["ours"]


def test_tokens_are_described(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers, "straw ☕")
    explorer.shown = ["pieces", "without ☕"]
    assert explorer.describe() == (
        "Text: straw ☕\n7 characters, 9 bytes in UTF-8.\n\n"
        "pieces: 2 tokens: 3.5 characters or 4.5 bytes per token.\n"
        "Words lost: 1 of 2.\n"
        "straw 55 | [UNK] 0 (lost: ☕)\n"
        "Start: straw, of which nothing is cut yet.\n"
        "Match 1: straw is the longest token that fits at the start of straw. Nothing is left.\n"
        "Start: ☕, of which nothing is cut yet.\n"
        "No token fits at the start of ☕: the whole word is lost, [UNK].\n\n"
        "without ☕: 5 tokens: 1.4 characters or 1.8 bytes per token.\n"
        "Some bytes are not in this vocabulary and were left out.\n"
        "st 27 | r 17 | a 0 | w 22 | ␣ 26\n"
        "Start: 5 bytes, each a piece of its own: s | t | r | a | w\n"
        "Merge 1 of 1: s + t → st, rank 0 of 1. Now: st | r | a | w\n"
        "␣: nothing to merge."
    )


# --------------------------------------------------------------------------------------------------- patches


@pytest.fixture(scope="module")
def pictures() -> dict[str, torch.Tensor]:
    """A coloured one in which no size divides another, and one with 17 greys."""
    numbers = torch.Generator().manual_seed(0)
    return {
        "colours": torch.randint(256, (3, 11, 17), generator=numbers) / 255,
        "greys": torch.randint(17, (1, 8, 6), generator=numbers) / 16,
    }


def packed(text: str, kind: str) -> np.ndarray:
    """Bytes as the page reads them: little-endian, whatever the machine."""
    return np.frombuffer(base64.b64decode(text), kind)


def tokens_of(view: dict, cut: dict) -> np.ndarray:
    """Every number of every token, as the page finds it: starts plus offsets in the pixels."""
    places = packed(cut["starts"], "<i4")[:, None] + packed(cut["offsets"], "<i4")
    return packed(view["pixels"], "u1")[places]


@pytest.mark.parametrize(("name", "full"), [("colours", 255), ("greys", 16)])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_number_of_a_patch_is_the_librarys(pictures, name: str, full: int, size: int) -> None:
    explorer = PatchExplorer(pictures)
    view, image = explorer.pictures[name], pictures[name]
    cut = view["cuts"][str(size)]
    rows, columns = (side // size for side in image.shape[1:])
    expected = patchify(image[None, :, : rows * size, : columns * size], size)[0]
    assert (view["full"], cut["grid"]) == (full, [rows, columns])
    np.testing.assert_array_equal(tokens_of(view, cut), (expected * full).round().numpy())
    assert f"{len(expected):,} tokens of " in cut["text"]
    assert cut["text"].split(" numbers.")[0].endswith(f"= {expected.shape[1]}")


def test_rows_of_pixels_are_tokens_too(pictures) -> None:
    explorer = PatchExplorer(pictures)
    view = explorer.pictures["colours"]
    cut = view["cuts"][ROWS]
    lines = [torch.cat([channel[y] for channel in pictures["colours"]]) for y in range(11)]
    np.testing.assert_array_equal(tokens_of(view, cut), (torch.stack(lines) * 255).round().numpy())
    assert cut["text"] == "11 tokens of 3 × 1 × 17 = 51 numbers."
    assert cut["cost"].endswith(
        "11² = 121. With each pixel a token there would be 187² = 34,969, 289 times as many."
    )


def test_what_does_not_fit_is_told(pictures) -> None:
    cuts = PatchExplorer(pictures).pictures["colours"]["cuts"]
    assert list(cuts) == ["1", "2", "4", "8", ROWS]
    for size, rows in (("2", "1 row"), ("4", "3 rows"), ("8", "3 rows")):
        assert cuts[size]["text"].endswith(
            f" numbers. Cropped to what fits: {rows} of pixels at the bottom "
            "and 1 column of pixels at the right left out."
        )
    assert "Cropped" not in cuts["1"]["text"] + cuts[ROWS]["text"]
    odd = PatchExplorer({"odd": torch.zeros(1, 10, 15)}, 5)
    assert odd.pictures["odd"]["cuts"]["5"]["text"] == "2 × 3 = 6 tokens of 5 × 5 = 25 numbers."


def test_costs_are_counted(pictures) -> None:
    cut = PatchExplorer(pictures).pictures["colours"]["cuts"]["4"]
    # 2 x 4 patches of 4 x 4 pixels, cut from 8 x 16.
    assert cut["cost"] == (
        "Attention computes a score for each pair of tokens: 8² = 64. "
        "With each pixel a token there would be 128² = 16,384, 256 times as many."
    )
    assert (
        PatchExplorer(pictures).pictures["greys"]["cuts"]["1"]["cost"].endswith("there would be 48² = 2,304.")
    )


def test_the_given_projection_makes_the_vectors_that_fit_it(pictures) -> None:
    for width in (5, 13):
        projection = PatchEmbedding(2, 3, width)
        explorer = PatchExplorer(pictures, projection=projection)
        assert explorer.cut == "2"
        cuts = explorer.pictures["colours"]["cuts"]
        with torch.no_grad():
            expected = projection(pictures["colours"][None, :, :10, :16])[0, :, :8]
        shown = packed(cuts["2"]["vectors"], "<i4").reshape(expected.shape) / 1000
        np.testing.assert_allclose(shown, expected, atol=5.1e-4)
        assert cuts["2"]["vector_text"] == ("Vector" if width == 5 else "Vector, the first 8 of 13 numbers")
        # One made for other sizes or channels cannot make these.
        for other in (cuts["4"], cuts[ROWS], explorer.pictures["greys"]["cuts"]["2"]):
            assert other["vector_text"] == "Vector by a random projection"


def test_a_random_projection_is_always_the_same_and_one_for_all_tokens(pictures) -> None:
    first = PatchExplorer(pictures).pictures
    state = torch.random.get_rng_state()
    second = PatchExplorer(pictures).pictures
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)
    twice = torch.cat([pictures["greys"], pictures["greys"]], 2)
    cut = PatchExplorer({"twice": twice}).pictures["twice"]["cuts"]["2"]
    vectors = packed(cut["vectors"], "<i4").reshape(4, 6, 8)
    np.testing.assert_array_equal(vectors[:, :3], vectors[:, 3:])
    assert len(np.unique(vectors[:, :3].reshape(12, 8), axis=0)) == 12


def test_the_shuffle_is_one_of_all_tokens_and_always_the_same(pictures) -> None:
    for cut in PatchExplorer(pictures).pictures["colours"]["cuts"].values():
        order = packed(cut["order"], "<i4")
        n_tokens = len(packed(cut["starts"], "<i4"))
        assert sorted(order) == list(range(n_tokens))
        assert n_tokens < 8 or list(order) != list(range(n_tokens))
        first = ", ".join(str(n + 1) for n in order[:16])
        assert cut["text_shuffled"].startswith(f"Shuffled, each time the same way: {first}")
        assert cut["text_shuffled"].endswith(" …") == (n_tokens > 16)


def test_patches_are_described() -> None:
    image = torch.arange(16).reshape(1, 4, 4) / 16
    sums = PatchEmbedding(2, 1, 1)
    sums.projection.weight.data.fill_(1)
    sums.projection.bias.data.fill_(-2)
    explorer = PatchExplorer({"sixteen": image}, 2, sums)
    explorer.opened = 1
    assert explorer.describe() == (
        "sixteen: 4 × 4 pixels. Numbers are 16ths: 0 is white paper and 16 full ink.\n"
        "2 × 2 = 4 tokens of 2 × 2 = 4 numbers.\n"
        "Attention computes a score for each pair of tokens: 4² = 16. "
        "With each pixel a token there would be 16² = 256, 16 times as many.\n"
        "In reading order.\n"
        "\n"
        "Patch 2 of 4: row 1, column 2\n"
        "grey:\n"
        "2 3\n"
        "6 7\n"
        "Flattened: 2 3 6 7\n"
        "Vector: −0.875"
    )
    explorer.cut, explorer.shuffled = ROWS, True
    row = explorer.describe().split("\n")
    order = packed(explorer.pictures["sixteen"]["cuts"][ROWS]["order"], "<i4")
    assert row[3] == f"Shuffled, each time the same way: {', '.join(str(n + 1) for n in order)}"
    assert row[5:9] == ["Row 2 of 4", "grey:", "4 5 6 7", "Flattened: 4 5 6 7"]
    # A token that this cut does not have: the last one.
    explorer.opened = 99
    assert "Row 4 of 4" in explorer.describe()


def test_large_patches_are_shown_in_part(pictures) -> None:
    explorer = PatchExplorer(pictures, 8)
    explorer.opened = 0
    lines = explorer.describe().split("\n")
    top_left = (pictures["colours"][1, :4, :4] * 255).round().int().tolist()
    start = lines.index("green:") + 1
    assert lines[start : start + 4] == [" ".join(map(str, line)) for line in top_left]
    assert lines[start + 4] == "blue:"
    assert lines[-1] == (
        "Shown are the top left 4 × 4 of 8 × 8 numbers of each channel, "
        "and the first 24 of the 192 in the row."
    )


def test_the_image_is_the_one_that_was_given(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert explorer.source == "colours"
    assert torch.equal(explorer.image, pictures["colours"])
    explorer.source = "greys"
    explorer.image.zero_()
    assert torch.equal(explorer.image, pictures["greys"])
    with pytest.raises(
        ValueError, match=r"source must be one of \['colours', 'greys', 'draw'\]; got 'blues'"
    ):
        explorer.source = "blues"
    with pytest.raises(ValueError, match="source must be one of"):
        explorer.source = OWN


def test_what_is_drawn_is_like_the_digits() -> None:
    explorer = PatchExplorer({}, 2)
    digit = digits()[0].inputs[0]
    assert explorer.source == DRAW
    assert (explorer.image.shape, explorer.image.dtype) == (digit.shape, digit.dtype)
    assert not explorer.image.any()
    assert ask(explorer, "stroke", points=[[4.5, 1.5], [4.5, 6.2]], erase=False) == ""
    drawn = explorer.image
    assert torch.equal(drawn * 16, (drawn * 16).round())
    assert (drawn[0, 1:6, 4] == 1).all()
    # A pen on the middle of a column leaves as much left of it as right, and nothing two columns away.
    assert torch.equal(drawn[0, :, 3], drawn[0, :, 5])
    assert 0 < drawn[0, 3, 3] < 0.5
    assert not drawn[0, :, [0, 1, 2, 6, 7]].any()
    view = explorer.state["sheet"]
    np.testing.assert_array_equal(packed(view["pixels"], "u1").reshape(1, 8, 8) / 16, drawn)
    before = drawn.clone()
    assert ask(explorer, "stroke", points=[[4.5, 6.5]], erase=True) == ""
    assert explorer.image[0, 6, 4] == 0
    assert (explorer.image <= before).all()
    assert ask(explorer, "clear") == ""
    assert not explorer.image.any()


def test_a_stroke_in_pieces_is_the_stroke() -> None:
    whole, pieces = PatchExplorer({}), PatchExplorer({})
    way = [[1.0, 1.5], [5.5, 1.0], [4.0, 4.0], [6.5, 7.0]]
    ask(whole, "stroke", points=way, erase=False)
    for start in range(3):
        ask(pieces, "stroke", points=way[start : start + 2], erase=False)
    assert torch.equal(whole.image, pieces.image)


def test_a_cell_takes_all_seventeen_greys() -> None:
    explorer = PatchExplorer({})
    for grey in range(1, 17):
        assert ask(explorer, "grey", row=7, column=2, change=1) == ""
        assert explorer.image[0, 7, 2] == grey / 16
    assert ask(explorer, "grey", row=7, column=2, change=1) == ""
    assert explorer.image.sum() == 1
    ask(explorer, "grey", row=7, column=2, change=-3)
    assert explorer.image[0, 7, 2] == 13 / 16
    ask(explorer, "grey", row=7, column=2, change=-16)
    assert not explorer.image.any()


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("grey", {"row": 8, "column": 0, "change": 1}, "row must be a whole number from 0 to 7; got 8."),
        ("grey", {"row": 0, "column": -1, "change": 1}, "column must be a whole number from 0 to 7; got -1."),
        (
            "grey",
            {"row": 0, "column": 0, "change": "1"},
            "change must be a whole number from -16 to 16; got '1'.",
        ),
        ("stroke", {"points": [], "erase": False}, "points must be pairs of x and y; got []."),
        ("stroke", {"points": [[1, math.nan]], "erase": False}, "points must be pairs of x and y"),
        ("stroke", {"points": [[1, 2, 3]], "erase": False}, "points must be pairs of x and y"),
        ("stroke", {"points": [["a", "b"]], "erase": False}, "points must be pairs of x and y"),
    ],
)
def test_a_bad_stroke_draws_nothing(kind: str, fields: dict, message: str) -> None:
    explorer = PatchExplorer({})
    assert message in ask(explorer, kind, **fields)
    assert not explorer.image.any()


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def send(explorer: PatchExplorer, data: bytes, name: str = "cat.png") -> str:
    """The page's question for a file; returns the error."""
    return ask(explorer, "picture", name=name, size=len(data), data=base64.b64encode(data).decode())


def test_a_picture_from_a_file(pictures) -> None:
    explorer = PatchExplorer(pictures)
    wide = np.zeros((448, 896, 3), np.uint8)
    wide[:, 224:672] = [255, 0, 51]  # the middle square
    assert send(explorer, saved(Image.fromarray(wide))) == ""
    assert (explorer.source, explorer.image.shape) == (OWN, (3, OWN_SIZE, OWN_SIZE))
    expected = torch.tensor([1, 0, 0.2])[:, None, None].expand(3, OWN_SIZE, OWN_SIZE)
    # Next to the edge a little of what lies outside is mixed in.
    torch.testing.assert_close(explorer.image[:, :, 4:-4], expected[:, :, 4:-4])
    assert "14 × 14 = 196 tokens of 3 × 16 × 16 = 768 numbers." in explorer.describe()
    assert explorer.describe().startswith(
        "your own picture: cat.png, the middle square of 448 × 896 pixels, "
        "scaled to 224 × 224 pixels × 3 channels"
    )
    explorer.source = "greys"
    assert torch.equal(explorer.image, pictures["greys"])


def test_files_of_many_kinds(pictures) -> None:
    explorer = PatchExplorer(pictures)
    half = Image.new("RGBA", (30, 30), (0, 0, 255, 0))  # blue that cannot be seen is white
    assert send(explorer, saved(half)) == ""
    assert (explorer.image == 1).all()
    assert send(explorer, saved(Image.new("L", (9, 5), 51), "JPEG", quality=100)) == ""
    torch.testing.assert_close(explorer.image, torch.full((3, OWN_SIZE, OWN_SIZE), 0.2))
    assert send(explorer, saved(Image.new("1", (1, 1), 1), "GIF")) == ""
    assert send(explorer, saved(Image.new("P", (40, 30)), "WEBP")) == ""
    # A phone writes down how it was held: 6 is a quarter turn.
    lying = np.zeros((60, 60, 3), np.uint8)
    lying[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    assert send(explorer, saved(Image.fromarray(lying), "PNG", exif=exif)) == ""
    assert explorer.image[:, :100].min() == 1
    assert explorer.image[:, 124:].max() == 0


def huge_png() -> bytes:
    """The head of a PNG file of 20,000 times 20,000 pixels, and none of them."""
    data = bytearray(saved(Image.new("L", (1, 1))))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cat.png holds no picture that can be read: try a PNG or JPEG file."),
        (b"no picture at all", "cat.png holds no picture"),
        (saved(Image.effect_noise((64, 64), 50))[:-400], "cat.png holds no picture"),
        (huge_png(), "cat.png has more than 50 million pixels: scale it down."),
    ],
)
def test_a_file_that_is_no_picture_is_told(pictures, data: bytes, message: str) -> None:
    explorer = PatchExplorer(pictures)
    assert message in send(explorer, data)
    assert explorer.source == "colours"
    assert OWN not in explorer.pictures


def test_a_file_that_is_too_large_is_not_sent(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert explorer.state["largest_file"] == LARGEST_FILE
    said = ask(explorer, "picture", name="cat.png", size=LARGEST_FILE + 1, data="")
    assert said == "cat.png has 6.0 MB, the explorer takes 6: scale it down."


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("images", "patch_size", "message"),
    [
        ([], None, "images must be a mapping from names to pictures; got list."),
        ({3: torch.zeros(1, 8, 8)}, None, "a picture's name must be a text other than"),
        ({DRAW: torch.zeros(1, 8, 8)}, None, "got 'draw'."),
        (
            {"a": torch.zeros(8, 8)},
            None,
            "'a' must be a tensor (1 or 3 channels, height, width); got (8, 8).",
        ),
        ({"a": torch.zeros(8, 8, 3)}, None, "got (8, 8, 3)."),
        ({"a": np.zeros((3, 8, 8))}, None, "got ndarray."),
        ({"a": torch.zeros(3, 0, 8)}, None, "'a' must have sides of 1 to 2,048 pixels; got (3, 0, 8)."),
        ({"a": torch.zeros(1, 2049, 1)}, None, "got (1, 2049, 1)."),
        (
            {"a": torch.full((1, 2, 2), 255)},
            None,
            "'a' must hold floats from 0 to 1; got torch.int64, 255 to 255.",
        ),
        ({"a": torch.full((1, 2, 2), -0.5)}, None, "got torch.float32, -0.5 to -0.5."),
        ({"a": torch.full((1, 2, 2), math.nan)}, None, "got torch.float32, nan to nan."),
        ({}, 0, "patch_size must be a whole number of pixels, at least 1; got 0."),
        ({}, 2.0, "patch_size must be a whole number of pixels, at least 1; got 2.0."),
        ({}, 9, "patch_size must fit 'draw', 8 × 8 pixels, at most 4,096 times; got 9."),
        (
            {"a": torch.zeros(1, 65, 64)},
            1,
            "patch_size must fit 'a', 65 × 64 pixels, at most 4,096 times; got 1.",
        ),
    ],
)
def test_bad_pictures(images: object, patch_size: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PatchExplorer(images, patch_size)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2048, 1), (1, 3, 2048), (3, 64, 64)])
def test_pictures_of_every_shape_can_be_shown(shape: tuple[int, int, int]) -> None:
    explorer = PatchExplorer({"picture": torch.zeros(shape)})
    assert "Patch " in explorer.describe()
    assert all(
        len(packed(cut["starts"], "<i4")) <= 4096 for cut in explorer.pictures["picture"]["cuts"].values()
    )


# ----------------------------------------------------------------------------------------- heads explorer


class Letters:
    """The least that is asked of a tokenizer: no names for the next token."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def pieces(self, text: str) -> list[str]:
        return [*text]


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
    explorer.attention = "cross-attention"
    assert "From (3): c | a | t\nTo (5): k | a | t | z | e" in explorer.describe()


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
    assert note in explorer.describe()
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


def test_a_head_is_described(readers) -> None:
    """Queries of zero look at all alike: every number is known."""
    model, tokenizer = copy.deepcopy(readers["writes"][0]), readers["writes"][1]
    with torch.no_grad():
        for block in model.stack.blocks:
            block.attention.q_proj.weight.zero_()
    explorer = HeadsExplorer({"writes": (model, tokenizer)}, "a cat")
    ask(explorer, "switch", model="writes", attention="self-attention", layer=4, head=1)
    explorer.opened, explorer.token = [9, 1], 3
    effect = explorer.views["writes"]["effect"]
    before, after = (", ".join(" ".join(row) for row in effect[when]) for when in ("before", "after"))
    best = model(torch.tensor([tokenizer.encode("a cat")]))[0, -1].argmax()
    now = without(model, [(4, 1)])(torch.tensor([tokenizer.encode("a cat")]))[0, -1].softmax(-1)[best]
    *lines, verdict = explorer.describe().splitlines()
    favourite = f"{tokenizer.tokens[best].replace('Ġ', '␣')} had {effect['before'][0][1]} with all heads on"
    assert verdict.startswith(f"{favourite}, now it has ")
    assert float(verdict.split()[-2]) == pytest.approx(100 * now.item(), abs=0.06)
    assert lines == [
        "writes, self-attention. Layers: 5. Heads in each: 3.",
        "Tokens (5): a (1) | ␣ | c | a (4) | t",
        "Off: 4.1.",
        "",
        "Layer 4, head 1, off. Each token, and the one that it looks at most:",
        "a (1) → a (1) 100.0 %",
        "␣ → a (1) 50.0 %",
        "c → a (1) 33.3 %",
        "a (4) → a (1) 25.0 %",
        "t → a (1) 20.0 %",
        "All that a (4) looks at: a (1) 25.0 %, ␣ 25.0 %, c 25.0 %, a (4) 25.0 %.",
        "",
        f"Next token, all heads on: {before}.",
        f"As it is now: {after}.",
    ]


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
    assert "it gives a vector for each token. Switch heads off" in explorer.describe()
    ask(explorer, "switch", model="mine", attention="self-attention", layer=0, head=0)
    assert "cosine" in explorer.describe()


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


# ----------------------------------------------------------------------------------------- depth explorer


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


def shown_shares(rows: list) -> list[list[float]]:
    return [[float(share.removesuffix(" %")) / 100 for _, share in row] for row in rows]


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
    assert "Skipped: 0, 4. Exchanged: 1 with 2." in depth.describe()
    depth.model = "flat"
    depth.layer = 4
    assert "Layer 1, token t: " in depth.describe()
    assert "Skipped: 0. Loss" in depth.describe()


def test_changes_stay_with_another_text(depth: DepthExplorer) -> None:
    depth.exchanged = [2]
    assert ask(depth, "text", text="dog") == ""
    assert depth.views["deep"]["tokens"] == [*"dog"]
    assert "Exchanged: 2 with 3. Loss on the text (mean of its 2 predictions): " in depth.describe()


def test_long_and_short_texts_to_go_down_with(depth: DepthExplorer) -> None:
    depth.text = "ab" * 13
    assert depth.views["deep"]["note"] == "Too long for one picture: 24 of 26 tokens are read."
    assert depth.views["flat"]["note"] == "Too long for one picture: 7 of 26 tokens are read."
    depth.text = "ab"
    assert "Loss on the text (its only prediction): " in depth.describe()
    depth.text = "a"
    assert "A text of one token has nothing to predict, so there is no loss." in depth.describe()
    depth.skipped = [0]
    assert "Skipped: 0. A text of one token has nothing to predict" in depth.describe()


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
    assert explorer.describe() == "\n".join(
        [
            "tiny. Layers: 2.",
            "Tokens (2): a (1) | a (2)",
            "",
            "Layer 0, token a (2): the stream enters with norm 4. Attention adds 3 across "
            "(cosine 0.00), the MLP 396 along (cosine 0.80). The stream leaves with norm 400.",
            "The plain lens reads there: a 100.0 %, b 0.0 %.",
            "Norm of the stream of a (2): 4 before the first layer, then after layer 0: 400, 1: 400.",
            "",
            "All layers run, in order. Loss on the text (its only prediction): 11.313.",
            "After a (2), with all layers in order: b 100.0 %, a 0.0 %.",
        ]
    )
    explorer.token, explorer.layer, explorer.skipped = 0, 1, [1]
    assert explorer.describe() == "\n".join(
        [
            "tiny. Layers: 2.",
            "Tokens (2): a (1) | a (2)",
            "",
            "Layer 1, token a (1): the stream enters with norm 400. Attention adds 3 across "
            "(cosine 0.00), the MLP 800 against (cosine −1.00). The stream leaves with norm 400.",
            "The plain lens reads there: b 100.0 %, a 0.0 %.",
            "Norm of the stream of a (1): 4 before the first layer, then after layer 0: 400, 1: 400.",
            "",
            "Skipped: 1. Loss on the text (its only prediction): 11.313 before, 0.000 now.",
            "After a (1), with all layers in order: b 100.0 %, a 0.0 %.",
            "Now: a 100.0 %, b 0.0 %.",
            "b had 100.0 % with all layers in order, now it has 0.0 %.",
        ]
    )


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
    before = explorer.describe()
    assert message in ask(explorer, kind, **fields)
    assert explorer.describe() == before


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


# ------------------------------------------------------------------------------------------- gap explorer


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
    monkeypatch.setattr("course_lib.widgets.gap_explorer.SMALL", 0)
    large = GapExplorer({"left": gap_models["left"]}, "acatran", hidden=[2])
    assert {*large.answers["left"]} == {"2"}
    assert {*large.tried["left"]} == {"2;2"}


def test_models_that_cut_alike_stand_side_by_side(gap: GapExplorer) -> None:
    last = gap.describe().splitlines()[-3:]
    assert [line.partition(",")[0] for line in last] == ["left", "left", "both"]
    gap.hidden, gap.token = [6], 6
    gap.model = "words"
    assert "Tokens (6): a (1) | ca | t | r | a (5) | n" in gap.describe()
    assert gap.describe().endswith("\nn is not hidden.")
    gap.hidden = [1]
    gap.token = 1
    assert [line.partition(",")[0] for line in gap.describe().splitlines()[-2:]] == ["words", "words"]


def test_long_and_short_texts_with_gaps(gap: GapExplorer) -> None:
    gap.text = "ab" * 17
    assert gap.views["left"]["note"] == "Too long for one picture: 32 of 34 tokens are read."
    assert gap.views["words"]["note"] == "Too long for one picture: 7 of 34 tokens are read."
    gap.text = "a"
    assert (gap.hidden, gap.token) == ([], 0)
    assert gap.describe().endswith("Surprise in bits by left: a –.\n\na is not hidden.")


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
    before = (gap.text, gap.views, gap.answers, gap.tried, gap.describe())
    assert ask(gap, "text", text=text) == message
    assert (gap.text, gap.views, gap.answers, gap.tried, gap.describe()) == before
    with pytest.raises(ValueError, match=re.escape(message)):
        GapExplorer({"left": gap_models["left"]}, text)
    next_word = NextWord(*gap_models["left"], "a cat")
    assert ask(next_word, "text", text=text) == message
    assert next_word.text == "a cat"


def test_a_gap_is_described() -> None:
    """A model that always gives the next token the same scores: half, a quarter, a quarter."""
    model = GPT(LlamaConfig(vocab_size=3, max_seq_len=5, d_model=2, n_layers=0, n_heads=1))
    model.lm_head = nn.Linear(2, 3)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias.copy_(torch.tensor([math.log(2), 0, 0]))
    explorer = GapExplorer({"tiny": (model, BPETokenizer(["a", "b", "c"], []))}, "abc", hidden=[1])
    assert explorer.describe() == "\n".join(
        [
            "tiny reads what stands before.",
            "Tokens (3): a | b | c",
            "",
            "Surprise in bits by tiny: a – | b (hidden) 2.0 | c 2.0. Mean: 2.00 bits.",
            "",
            "tiny, left only (1 pass): a 50.0 %, b 25.0 %, c 25.0 %. "
            "Hidden is b: 25.0 %, a surprise of 2.0 bits.",
            "tiny, both sides by trying 3 tokens (4 passes): a 50.0 %, b 25.0 %, c 25.0 %. "
            "Hidden is b: 25.0 %, a surprise of 2.0 bits.",
        ]
    )
    explorer.hidden, explorer.token = [0], 0
    assert explorer.describe().splitlines()[-2:] == [
        "tiny, left only: no answer. Nothing stands before it to go by.",
        "tiny, both sides by trying: no answer. Nothing stands before it to go by.",
    ]


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
    before = gap.describe()
    assert message in ask(gap, kind, **{**chosen, **fields})
    assert gap.describe() == before


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


# ------------------------------------------------------------------------------------------------- clock

WORDS = "the cat sat on the"  # 5
WAITING = {"recurrent": costs.recurrent_cells, "transformer": costs.attention_cells}


@pytest.fixture
def clock() -> ClockExplorer:
    return ClockExplorer(WORDS)


@pytest.mark.parametrize("mode", ["reading", "writing"])
@pytest.mark.parametrize("layers", clock_module.LAYERS)
def test_every_setting_is_scheduled_at_once(clock: ClockExplorer, layers: int, mode: str) -> None:
    plan = clock.plans[f"{layers},{mode}"]
    cells = [(layer, token) for layer in range(layers) for token in range(5)]
    for way, waiting in WAITING.items():
        waits_for = waiting(5, layers, writing=mode == "writing")
        assert [[cells[i] for i in needed] for needed in plan[way]["waits"]] == [waits_for[c] for c in cells]
        for processors in clock_module.PROCESSORS:
            ticks = costs.timetable(waits_for, processors)
            assert plan[way]["ticks"][str(processors)] == [ticks[cell] for cell in cells]
            percent = 100 * len(cells) / (processors * max(ticks.values()))
            assert plan[way]["end"][str(processors)] == (
                f"Done after {max(ticks.values())} ticks. "
                f"The processors were at work for {percent:.0f} % of the time."
            )


def test_a_tick_is_described(clock: ClockExplorer) -> None:
    clock.layers, clock.processors, clock.tick, clock.layer, clock.token = 2, 2, 3, 3, 2
    clock.guess, clock.ended = 4, ["2,writing,12"]
    assert clock.describe() == "\n".join(
        [
            "Words (5): the (1) | cat | sat | on | the (5)",
            "Layers: 2. Processors: 2. Mode: reading. Tick 3.",
            "",
            "Recurrent network: Cells at work: 2, done: 3, ready: 2, waiting: 3.",
            "Layer 0: the (1) 1 | cat 2 | sat 3 now | on ○ | the (5) ·",
            "Layer 1: the (1) 2 | cat 3 now | sat ○ | on · | the (5) ·",
            "",
            "Transformer: Cells at work: 2, done: 4, ready: 4, waiting: 0.",
            "Layer 0: the (1) 1 | cat 1 | sat 2 | on 2 | the (5) 3 now",
            "Layer 1: the (1) 3 now | cat ○ | sat ○ | on ○ | the (5) ○",
            "",
            "Followed: sat, layer 1.",
            "Recurrent network: needs layer 0 of sat and layer 1 of cat. It is ready.",
            "Transformer: needs layer 0 of the (1), cat, sat. It is ready.",
            "",
            "Ticks for writing, layers 2, processors 12: Recurrent network 10, Transformer 10.",
            "Times: not measured.",
        ]
    )
    assert ask(clock, "measure", layers=2) == ""
    clock.tick, clock.token = 5, 4
    said = clock.describe().splitlines()
    assert said[7] == "Transformer: Done after 5 ticks. The processors were at work for 100 % of the time."
    assert said[12] == "Recurrent network: needs layer 0 of the (5) and layer 1 of on. It is ready."
    assert said[14] == "You said 4 for the Transformer; it took 5."
    assert said[-1] == clock.measured["5,2"]["text"]
    clock.mode, clock.layer, clock.tick = "writing", 0, 0
    assert (
        "Transformer: needs layer 1 of on, which writes this word. It waits; still missing: 1."
        in clock.describe()
    )
    clock.tick = 99
    assert "Tick 10." in clock.describe()
    clock.token = 0
    assert "Transformer: needs only its word. It worked at tick 1." in clock.describe()


def test_times_are_those_of_the_clock(clock: ClockExplorer, monkeypatch) -> None:
    """The fastest round of each network counts; nothing is timed before somebody asks."""
    asked = []

    def alternate(functions, rounds):
        for function in functions:
            function()
        asked.append(rounds)
        return [[0.004, 0.002 * len(asked)], [0.001, 0.003], [0.016, 0.032]]

    monkeypatch.setattr(clock_module, "alternate", alternate)
    assert clock.measured == {}
    clock.measure()
    assert asked == [*clock_module.ROUNDS]
    found = clock.measured["5,3"]
    assert found["heads"] == ["5 words", "80 words"]
    rows = [["RNN, written as a loop", "2.0", "4.0"], ["LSTM, fused", "1.0", "1.0"], ["GPT", "16.0", "16.0"]]
    assert found["rows"] == rows
    first = ["With 5 words the loop takes 2.0 times", "LSTM and 0.1 times"]
    second = ["With 80 words the loop takes 4.0 times", "LSTM and 0.2 times"]
    for said in [*first, *second, clock_module.SIZES]:
        assert said in found["ratio"]
    listed = "; ".join(f"{name} {short} and {long}" for name, short, long in rows)
    assert found["text"] == f"Milliseconds for 5 words and 80 words: {listed}. {found['ratio']}"


def test_the_timed_networks_are_of_one_size() -> None:
    """As many parameters in a layer, and each run is forward and backward through all of them."""
    layers = {}
    for n_layers in (2, 3):
        models = clock_module._models(n_layers, 80)
        layers[n_layers] = [sum(p.numel() for p in model.parameters()) for model in models.values()]
        for model in models.values():
            clock_module._forward_and_backward(model, torch.arange(7)[None])()
            assert all(parameter.grad is not None for parameter in model.parameters())
    for few, more in zip(layers[2], layers[3], strict=True):
        assert more - few == pytest.approx(33_000, rel=0.02)


def test_other_words_put_the_clock_back(clock: ClockExplorer) -> None:
    clock.tick, clock.guess, clock.ended = 2, 3, ["3,reading,12"]
    assert ask(clock, "text", text="a b " * 7) == ""
    assert clock.state["words"] == [*"abababababab"]
    assert clock.state["note"] == "Too long for one picture: 12 of 14 words are read."
    assert clock.state["note"] in clock.describe()
    assert (clock.tick, clock.guess, clock.ended) == (0, 0, [])
    clock.text = "word"
    clock.layers, clock.tick = 2, 9
    assert clock.state["note"] == ""
    assert clock.describe().count("Done after 2 ticks.") == 2


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text", {"text": ""}, "The text is empty"),
        ("text", {"text": " \n"}, "The text has no word: type one."),
        ("measure", {"layers": 5}, "layers must be one of [2, 3, 4]; got 5."),
    ],
)
def test_a_bad_question_about_the_clock_changes_nothing(
    clock: ClockExplorer, kind: str, fields: dict, message: str
) -> None:
    before = clock.describe()
    assert message in ask(clock, kind, **fields)
    assert clock.describe() == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers", 5, "any of"),
        ("processors", 0, "any of"),
        ("mode", "dreaming", "any of"),
        ("tick", -1, "tick"),
        ("ended", ["3,reading,5"], "ended holds settings such as '3,reading,12'; got '3,reading,5'."),
    ],
)
def test_settings_without_a_plan(clock: ClockExplorer, name: str, value: object, message: str) -> None:
    with pytest.raises((ValueError, TraitError), match=re.escape(message)):
        setattr(clock, name, value)


# ----------------------------------------------------------------------------------------------- positions

N_PLACES, TRAINED, N_HEADS = 19, 11, 3
D_MODEL = 6


@pytest.fixture
def table() -> torch.Tensor:
    """Vectors of places, more than are shown."""
    return torch.randn(N_PLACES + 4, D_MODEL, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def positions(table: torch.Tensor) -> PositionsExplorer:
    return PositionsExplorer(N_PLACES, D_MODEL, TRAINED, n_heads=N_HEADS, learned=table)


def shown_product(explorer: PositionsExplorer) -> float:
    """The number in the sentence about query and key."""
    sentence = next(line for line in explorer.describe().splitlines() if line.startswith("Query at place"))
    return float(re.findall(r": (−?[\d.]+)\.$", sentence)[0].replace("−", "-"))


def library_product(scheme: str, query: int, key: int, head: int, table: torch.Tensor) -> float:
    """From the library's own classes, one pair of places at a time."""
    if scheme == "sinusoidal":
        return (sinusoidal(N_PLACES, D_MODEL)[query] @ sinusoidal(N_PLACES, D_MODEL)[key]).item()
    if scheme == "learned":
        return (table[query] @ table[key]).item()
    rotary, ones = RotaryEmbedding(D_MODEL, N_PLACES), torch.ones(1, 1, 1, D_MODEL)
    if scheme == "rotary":
        return (rotary(ones, start=query) * rotary(ones, start=key)).mean().item()
    return -ALiBi(N_HEADS).slopes[head].item() * abs(key - query)


@pytest.mark.parametrize("scheme", ["sinusoidal", "learned", "rotary", "ALiBi"])
def test_every_product_of_places_is_the_librarys(
    positions: PositionsExplorer, table: torch.Tensor, scheme: str
) -> None:
    positions.scheme = scheme
    for head in range(N_HEADS if scheme == "ALiBi" else 1):
        for query in range(N_PLACES):
            for key in range(N_PLACES):
                positions.query, positions.key, positions.head = query, key, head
                expected = library_product(scheme, query, key, head, table)
                assert shown_product(positions) == pytest.approx(expected, abs=6e-5)


def test_relative_positions_are_the_librarys(positions: PositionsExplorer) -> None:
    torch.manual_seed(0)
    relative = RelativePositions(D_MODEL, TRAINED - 1)  # no farther distance occurs in training
    queries = torch.randn(1, N_HEADS, 1, D_MODEL)
    positions.scheme = "relative"
    for head in range(N_HEADS):
        scores = (relative.weight @ queries[0, head, 0] / math.sqrt(D_MODEL)).tolist()
        for query, key in ((0, 0), (7, 5), (5, 7), (0, 10), (10, 0), (1, 18), (18, 1), (0, 18)):
            positions.query, positions.key, positions.head = query, key, head
            row = min(max(key - query, 1 - TRAINED), TRAINED - 1) + TRAINED - 1
            assert shown_product(positions) == pytest.approx(scores[row], abs=6e-5)


def test_patterns_of_places_are_the_librarys(positions: PositionsExplorer, table: torch.Tensor) -> None:
    for scheme, expected in (
        ("sinusoidal", sinusoidal(N_PLACES, D_MODEL)),
        ("learned", table[:N_PLACES]),
        ("rotary", RotaryEmbedding(D_MODEL, N_PLACES).cos),
    ):
        view = positions.views[scheme]
        shares = unpacked(view["table"], np.int16).reshape(N_PLACES, view["columns"]) / 30_000
        strongest = expected.abs().quantile(0.99)  # one large number must not hide all others
        np.testing.assert_allclose(shares, (expected / strongest).clamp(-1, 1), atol=2e-5)
        assert view["strongest"] == pytest.approx(10_000 * strongest.item(), abs=0.6)


def test_hands_turn_as_the_library_turns(positions: PositionsExplorer) -> None:
    angles = {}
    for scheme in ("sinusoidal", "rotary"):
        positions.scheme = scheme
        for pair in range(D_MODEL // 2):
            for query, key in ((0, 0), (1, 0), (3, 17), (17, 3), (18, 6)):
                positions.pair, positions.query, positions.key = pair, query, key
                line = next(line for line in positions.describe().splitlines() if line.startswith("Pair"))
                numbers = [float(n.replace("−", "-")) for n in re.findall(r"−?\d+(?:\.\d+)?", line)]
                step = 180 / math.pi / 10_000 ** (2 * pair / D_MODEL)
                between = (key - query) * step % 360
                assert numbers[0] == pair
                assert numbers[1] == pytest.approx(step, abs=0.051)
                assert numbers[-4:-1] == pytest.approx(
                    [query * step % 360, key * step % 360, min(between, 360 - between)], abs=0.051
                )
                assert numbers[-1] == pytest.approx(math.cos(math.radians(between)), abs=1e-4)
                angles[scheme, pair, query, key] = line
    assert all(angles["sinusoidal", *place] == line for (_, *place), line in angles.items())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_depends_on_the_offset_alone_is_told(positions: PositionsExplorer, scheme: str) -> None:
    positions.scheme = scheme
    seen: dict[int, set[float]] = {}
    for query in range(N_PLACES):
        for key in range(N_PLACES):
            positions.query, positions.key = query, key
            seen.setdefault(key - query, set()).add(shown_product(positions))
    is_offset_only = all(len(products) == 1 for products in seen.values())
    is_symmetric = is_offset_only and all(seen[offset] == seen[-offset] for offset in seen)
    told = positions.describe()
    assert ("depends on the distance alone" in told) == is_symmetric
    assert ("depends on the offset alone" in told) == (is_offset_only and not is_symmetric)
    assert ("depends on the places themselves" in told) == (not is_offset_only)


def test_dependence_is_computed_and_not_typed() -> None:
    waves = sinusoidal(N_PLACES, D_MODEL)
    for learned, words in (
        (waves, "It depends on the distance alone"),
        (
            waves[torch.randperm(N_PLACES, generator=torch.Generator().manual_seed(0))],
            "the places themselves",
        ),
        (torch.ones(N_PLACES, D_MODEL), "It depends on the distance alone"),
        (None, "the places themselves"),
    ):
        explorer = PositionsExplorer(N_PLACES, D_MODEL, TRAINED, learned=learned)
        explorer.scheme = "learned"
        assert words in explorer.describe()


def test_places_are_described() -> None:
    explorer = PositionsExplorer(8, 4, 5, n_heads=2, learned=torch.eye(8)[:, :4] + torch.ones(8, 4))
    explorer.query, explorer.key, explorer.pair = 1, 3, 0
    assert explorer.describe().splitlines() == [
        "Sinusoidal: a fixed vector of 4 sines and cosines for each of 8 places, added to the vector of the "
        "token. Each pair of them is a hand that turns, quick ones first.",
        "",
        # cos 2 + cos 0.02
        "Query at place 1, key at place 3, 2 places after the query. Product of both position vectors: "
        "0.5837.",
        "It depends on the distance alone: it stays if both move on, and if they change places.",
        "Pair 0 turns by 57.3° from place to place; in training it came to 229.2°. The query's hand stands "
        "at 57.3° and the key's at 171.9°: 114.6° apart, cosine −0.4161.",
        "Both places are among the 5 places of training.",
    ]
    explorer.scheme, explorer.query, explorer.key = "learned", 5, 4
    assert explorer.describe().splitlines()[2:] == [
        "Query at place 5, key at place 4, 1 place before the query. Product of both position vectors: 4.",
        "It depends on the places themselves: at this distance it goes from 4 to 6, according to where the "
        "query stands.",
        "The query lies beyond the 5 places of training. No training has reached such a row: it is still "
        "random, as it was at the start.",
    ]
    explorer.scheme, explorer.query, explorer.key, explorer.head = "ALiBi", 6, 6, 1
    assert explorer.describe().splitlines()[2:] == [
        "Query at place 6, key at place 6, the same. Added to the score by head 1: 0.",
        "It depends on the distance alone: it stays if both move on, and if they change places.",
        "Query and key lie beyond the 5 places of training. Their distance occurred in training, and nothing "
        "else counts in the score: nothing new.",
    ]
    explorer.query = 0
    assert "by head 1: −0.0234." in explorer.describe()  # 6 / 256
    assert explorer.describe().endswith(
        "The key lies beyond the 5 places of training. Their distance is longer than any in training, and "
        "the same straight line goes on downwards."
    )
    explorer.scheme = "relative"
    assert explorer.describe().endswith(
        "Their distance is longer than any in training, but it counts as 4: nothing new."
    )
    explorer.scheme = "rotary"
    assert explorer.describe().endswith(
        "1 of the 2 pairs were never half a turn apart there: long ones turn them to angles that are new."
    )


def test_without_a_table_the_untrained_one_says_so() -> None:
    explorer = PositionsExplorer()
    state = torch.random.get_rng_state()
    assert PositionsExplorer().views == explorer.views
    assert torch.equal(torch.random.get_rng_state(), state)
    explorer.scheme = "learned"
    assert "No table was given, so these are the random numbers of an untrained one." in explorer.describe()


def test_the_smallest_and_the_largest_positions_can_be_shown() -> None:
    least = PositionsExplorer(1, 2, 1, n_heads=1)
    for scheme in SCHEMES:
        least.scheme = scheme
        assert "key at place 0, the same" in least.describe()
        assert least.describe().endswith("Both places are among the 1 place of training.")
    most = PositionsExplorer(MOST_PLACES, 384, 512, learned=sinusoidal(512, 384) + torch.eye(512, 384))
    assert len(json.dumps(most.get_state())) < 3_000_000
    assert len(json.dumps(PositionsExplorer().views)) < 60_000


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0,), {}, f"max_seq_len must be a whole number from 1 to {MOST_PLACES}; got 0."),
        ((8.0,), {}, "max_seq_len must be a whole number from 1 to 512; got 8.0."),
        ((MOST_PLACES + 1,), {}, "got 513."),
        ((8, WIDEST + 2), {}, f"d_model must be a whole number from 1 to {WIDEST}; got 770."),
        ((8, 5, 3), {}, "d_model must be even, because coordinates turn in pairs; got 5."),
        ((8, 6, 9), {}, "trained must be a whole number from 1 to 8; got 9."),
        ((8, 6, 0), {}, "trained must be a whole number from 1 to 8; got 0."),
        ((8, 6, 3), {"n_heads": 0}, "n_heads must be a whole number from 1 to 64; got 0."),
        ((8, 6, 3), {"n_heads": True}, "n_heads must be a whole number from 1 to 64; got True."),
        (
            (8, 6, 3),
            {"learned": torch.zeros(8, 4)},
            "learned must have at least 8 rows (max_seq_len) of width 6 (d_model); got 8 of 4.",
        ),
        ((8, 6, 3), {"learned": torch.zeros(7, 6)}, "of width 6 (d_model); got 7 of 6."),
        ((8, 6, 3), {"learned": torch.zeros(1, 8, 6)}, "must be a tensor (places, d_model); got (1, 8, 6)."),
        ((8, 6, 3), {"learned": [[0.0] * 6] * 8}, "learned must be a tensor (places, d_model); got list."),
        ((8, 6, 3), {"learned": torch.full((8, 6), 11.0)}, f"from -{LARGEST} to {LARGEST}; got 11.0."),
        ((8, 6, 3), {"learned": torch.full((8, 6), math.nan)}, "from -10 to 10; got nan."),
    ],
)
def test_bad_positions(sizes: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PositionsExplorer(*sizes, **options)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("name", "value", "most"),
    [("query", N_PLACES, 18), ("key", -1, 18), ("pair", 3, 2), ("head", 3, 2)],
)
def test_only_places_pairs_and_heads_that_exist_are_chosen(
    positions: PositionsExplorer, name: str, value: int, most: int
) -> None:
    before = getattr(positions, name)
    with pytest.raises(ValueError, match=f"{name} must be from 0 to {most}; got {value}"):
        setattr(positions, name, value)
    assert getattr(positions, name) == before


# ----------------------------------------------------------------------------------------------------- all


# ---------------------------------------------------------------------------------------------------- flow


def flow_model(**options: object) -> GPT:
    torch.manual_seed(3)
    sizes = {"vocab_size": 97, "max_seq_len": 29, "d_model": 24, "n_layers": 3, "n_heads": 6}
    model = GPT(LlamaConfig(**(sizes | {"n_kv_heads": 2} | options))).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 12
    return model


@pytest.fixture(scope="module")
def flowing() -> GPT:
    return flow_model()


@pytest.fixture
def flow(flowing: GPT) -> FlowExplorer:
    return FlowExplorer(flowing, Characters(), "a cat", examples=["the dog", "a cat"], layer=1)


def flow_rows(packed: str, *axes: int) -> np.ndarray:
    """Length and first coordinates of each vector."""
    return unpacked(packed, np.float32).reshape(*axes, -1)


def test_the_flow_shows_the_parts_of_the_real_pass(flow: FlowExplorer, flowing: GPT) -> None:
    ids = Characters().encode("a cat")
    for layer in range(3):
        parts, block = probing.parts_of(flowing, ids, layer), flow.blocks[str(layer)]
        for name in (
            "stream",
            "attention_input",
            "attention",
            "middle",
            "mlp_input",
            "gate",
            "hidden",
            "output",
        ):
            rows, vectors = flow_rows(block["numbers"][name], 5), getattr(parts, name)
            np.testing.assert_allclose(rows[:, 1:], vectors[:, :6], atol=6e-4)
            np.testing.assert_allclose(rows[:, 0], vectors.norm(dim=-1), atol=6e-4)
        for name, heads in (("q", 6), ("turned_q", 6), ("k", 2), ("turned_k", 2), ("v", 2), ("mix", 6)):
            rows, vectors = flow_rows(block["numbers"][name], heads, 5), getattr(parts, name)
            np.testing.assert_allclose(rows[:, :, 1:5], vectors, atol=6e-4)  # heads of width 4
        for name in ("products", "scores", "weights"):
            shown = unpacked(block[name], np.float32).reshape(6, 5, 5)
            np.testing.assert_allclose(shown, getattr(parts, name), atol=6e-4)
    with torch.no_grad(), probing.recorded(flowing) as seen:
        flowing(torch.tensor([ids]))
    stream = flowing.embed(torch.tensor([ids]))[0].detach()
    shares = unpacked(flow.view["shares"], np.float32).reshape(3, 2, 5)
    expected = seen.attention[0][0].norm(dim=-1) / stream.norm(dim=-1)
    np.testing.assert_allclose(shares[0, 0], expected, rtol=1e-3, atol=6e-4)
    after = seen.streams[1][0] + seen.attention[2][0]
    expected = seen.feed_forward[2][0].norm(dim=-1) / after.norm(dim=-1)
    np.testing.assert_allclose(shares[2, 1], expected, rtol=1e-3, atol=6e-4)


def test_the_end_of_the_flow_is_computed_step_by_step(flow: FlowExplorer, flowing: GPT) -> None:
    flow.settings(0.5, 7, 0.6)
    ids = torch.tensor([Characters().encode("a cat")])
    logits = flowing(ids)[0, -1].detach()
    final = next_token_probabilities(logits, temperature=0.5, top_k=7, top_p=0.6)
    rows = flow.state["end"]["rows"]
    likely = logits.topk(10).indices.tolist()
    soft = (logits / 0.5).softmax(-1)
    for row, token in zip(rows, likely, strict=True):
        numbers = [float(cell.replace("−", "-")) for cell in row[1:3]]
        assert numbers == pytest.approx([logits[token].item(), logits[token].item() / 0.5], abs=6e-4)
        shares = [float(row[column].removesuffix(" %")) for column in (3, 6)]
        assert shares == pytest.approx([100 * soft[token].item(), 100 * final[token].item()], abs=0.06)
    assert [row[4] for row in rows] == ["kept"] * 7 + ["out"] * 3
    assert [row[5] == "kept" for row in rows] == (final[likely] > 0).tolist()
    assert flow.state["end"]["rest"][0] == "87 others"
    assert flow.state["end"]["rest"][4:] == ["0 kept", "0 kept", "0.0 %"]
    flow.settings(0, None, None)
    assert [row[6] for row in flow.state["end"]["rows"]] == ["100.0 %"] + ["0.0 %"] * 9
    assert ask(flow, "settings", temperature=-1, top_k=0, top_p=1).startswith("temperature must be")
    assert ask(flow, "settings", temperature=1, top_k=0, top_p=1) == ""
    assert flow.state["end"]["settings"] == {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def test_the_model_writes_into_the_flow(flow: FlowExplorer, flowing: GPT) -> None:
    ids = Characters().encode("a cat")
    best = int(flowing(torch.tensor([ids]))[0, -1].argmax())
    flow.write(likeliest=True)
    assert flow.view["ids"] == [*ids, best]
    assert flow.text == Characters().decode([*ids, best])
    assert flow.state["note"].startswith("Taken: ")
    assert flow.describe().count(f"token {flow.view['names'][5]}.") == 1
    assert ask(flow, "write", likeliest=False) == ""
    assert len(flow.view["ids"]) == 7
    assert flow.state["n_written"] == 2
    again = FlowExplorer(flowing, Characters(), flow.text)
    assert again.blocks == flow.blocks
    for n in (1, 0, 0):
        assert ask(flow, "back") == ""
        assert flow.state["n_written"] == n
    assert flow.view["ids"] == ids
    flow.text = "ab" * 12
    assert "room for 24 tokens" in ask(flow, "write", likeliest=True)
    flow.text = "ab" * 13
    assert flow.view["note"] == "Too long for one picture: 24 of 26 tokens are read."


def test_draws_of_the_flow_follow_the_settings(flowing: GPT, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.widgets.flow_explorer.SMALL", 0)
    explorer, ranks = FlowExplorer(flowing, Characters(), "a", temperature=2.0, top_k=2), []
    for _ in range(8):
        likely = [row[0] for row in explorer.state["end"]["rows"][:2]]
        explorer.write()
        ranks.append(likely.index(explorer.view["tokens"][-1]))
        explorer.take_back()
    assert {*ranks} == {0, 1}


def test_a_special_token_ends_the_flow(parts) -> None:
    model, tokenizer = copy.deepcopy(parts[0]), copy.deepcopy(parts[1])
    explorer = FlowExplorer(model, tokenizer, "a cat", temperature=0)
    tokenizer.special_tokens["end"] = int(explorer._output[-1].argmax())
    before = explorer.view
    explorer.write()
    assert "It marks a beginning or an end" in explorer.state["note"]
    assert explorer.view == before


def test_a_part_of_the_flow_is_described(flow: FlowExplorer) -> None:
    flow.part, flow.head, flow.token, flow.key, flow.guess = "weights", 4, 3, 1, "Attention"
    lines = flow.describe().splitlines()
    assert lines[0] == (
        "Decoder of 3 blocks, 6 heads, 2 for keys and values, vectors of width 24, 97 tokens known."
    )
    assert lines[1] == "Tokens (5): a (1) | ␣ | c | a (4) | t"
    assert lines[2].startswith("You said Attention; most parameters are in: MLPs. Of ")
    assert lines[4] == "Block 1 of 3, head 4, token a (4)."
    assert lines[6].startswith("If block 1 were the last one, the likeliest next token would be “")
    assert "A = softmax(q kᵀ / √4) where key ≤ query" in lines
    assert "A 6 × 5 × 5" in lines
    weight = unpacked(flow.blocks["1"]["weights"], np.float32).reshape(6, 5, 5)[4, 3, 1]
    assert any(line.startswith("a (4) → ␣: ") and f"softmax {weight:.3f} of" in line for line in lines)
    flow.key = 4
    assert "a (4) → t: q · k = " in flow.describe()
    assert "masked, because it comes later: weight 0." in flow.describe()
    seen = set()
    for part in flow.view["parts"]:
        flow.part = part["id"]
        assert f"{part['title']}. {part['words']}\n{part['formula']}\n{part['shapes']}" in flow.describe()
        seen.add(flow.describe())
    assert len(seen) == len(flow.view["parts"]) == 16


def test_the_last_norm_of_the_flow_and_the_lens_agree_with_the_end(flow: FlowExplorer) -> None:
    piece, share = flow.state["end"]["rows"][0][0], float(flow.state["end"]["rows"][0][3][:-2])
    found = re.search(r"would be “(.+)” \((.+) %\)\.$", flow.view["lens"][-1])
    assert found is not None
    assert (found[1], float(found[2])) == (piece, pytest.approx(share, abs=0.11))
    assert len(flow.view["lens"]) == 3


def test_a_chat_models_flow(smollm2) -> None:
    explorer = FlowExplorer(*smollm2, layer=20)
    assert {*explorer.blocks} == {"20"}  # the others when they are asked for
    assert len(explorer.view["lens"]) == 30
    assert explorer.state["end"]["rows"][0][0] == "␣Paris"
    explorer.text = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert explorer.view["tokens"][:3] == ["<|im_start|>", "user", "↵"]
    explorer.write(likeliest=True)
    assert explorer.text.startswith("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")
    counts = dict(explorer.view["parameters"])
    assert max(counts, key=counts.get) == "MLPs"
    assert sum(counts.values()) == sum(each.numel() for each in smollm2[0].parameters())


@pytest.mark.parametrize(
    ("options", "ids", "formula"),
    [
        ({"positions": "learned", "activation": "gelu", "bias": True}, {"position"}, "x = E[id] + P[place]"),
        ({"positions": "alibi", "n_kv_heads": 6}, set(), "x = E[id]"),
    ],
)
def test_other_decoders_flow(options: dict, ids: set, formula: str) -> None:
    explorer = FlowExplorer(flow_model(**options), Characters(), "ab")
    parts = {part["id"]: part for part in explorer.view["parts"]}
    assert "rotation" not in parts
    assert parts["embedding"]["formula"] == formula
    assert ids <= {*explorer.view["numbers"]}
    assert ("gate" in explorer.blocks["0"]["numbers"]) == (options.get("activation") != "gelu")
    assert ("+ b" in parts["qkv"]["formula"]) == ("bias" in options)


def test_an_encoder_flows_to_a_sentence_vector() -> None:
    torch.manual_seed(5)
    model = BERT(BERTConfig(11, 17, d_model=12, n_layers=2, n_heads=3)).eval()
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sat"])
    explorer = FlowExplorer(model, tokenizer, "a cat")
    assert explorer.view["tokens"] == ["[CLS]", "a", "cat", "[SEP]"]
    vector = F.normalize(model(torch.tensor([explorer.view["ids"]]))[0].mean(0), dim=0)
    shown = flow_rows(explorer.view["numbers"]["sentence"], 4)
    np.testing.assert_allclose(shown[2, 1:], vector[:6].detach(), atol=6e-4)
    entered = flow_rows(explorer.view["numbers"]["entered"], 4)
    np.testing.assert_allclose(entered, flow_rows(explorer.blocks["0"]["numbers"]["stream"], 4))
    assert explorer.state["end"]["text"].startswith("There is no next token")
    assert "An encoder has no next token" in ask(explorer, "write", likeliest=True)
    assert {part["id"] for part in explorer.view["parts"]} >= {"middle", "output", "sentence"}
    assert explorer.view["lens"] == []
    explorer.key = 3
    explorer.token = 0
    assert "masked" not in explorer.describe().replace("Nothing is masked", "")


def test_large_models_open_only_what_is_asked_for(flowing: GPT, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.widgets.flow_explorer.SMALL", 0)
    explorer = FlowExplorer(flowing, Characters(), "a cat", layer=1)
    assert {*explorer.blocks} == {"1"}
    assert ask(explorer, "open", layer=2) == ""
    assert "2" in explorer.blocks
    assert explorer.layer == 2
    monkeypatch.undo()
    whole = FlowExplorer(flowing, Characters(), "a cat")
    assert explorer.blocks["2"] == whole.blocks["2"]
    explorer.layer = 99
    assert explorer.layer == 2


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text", {"text": ""}, "The text is empty"),
        ("text", {"text": "°"}, "The model does not know °"),
        ("open", {"layer": 3}, "layer must be a whole number from 0 to 2; got 3"),
        ("open", {"layer": True}, "layer must be a whole number from 0 to 2; got True"),
        ("settings", {"temperature": "hot", "top_k": 0, "top_p": 1}, "temperature must be a number"),
    ],
)
def test_a_bad_question_about_the_flow_changes_nothing(
    flow: FlowExplorer, kind: str, fields: dict, message: str, own_errors
) -> None:
    before = flow.describe()
    assert ask(flow, kind, **fields).startswith(message)
    assert flow.describe() == before


def test_models_that_cannot_flow(flowing: GPT, own_errors) -> None:
    with pytest.raises(ValueError, match="must be a GPT or a BERT of this library; got Linear"):
        FlowExplorer(nn.Linear(2, 3), Characters())
    with pytest.raises(ValueError, match="The tokenizer must have encode and pieces; got int"):
        FlowExplorer(flowing, 3)
    with pytest.raises(ValueError, match="layer must be from 0 to 2; got 3"):
        FlowExplorer(flowing, Characters(), layer=3)
    with pytest.raises(ValueError, match="The text has no token that the model knows"):
        FlowExplorer(flowing, BPETokenizer(["a"], []), "°")
    with pytest.raises(ValueError, match="The model has no block to open"):
        FlowExplorer(flow_model(n_layers=0), Characters())
    changed = flow_model()
    changed.stack.blocks[1].feed_forward = nn.Identity()
    with pytest.raises(ValueError, match="Block 1 must have a FeedForward; got Identity"):
        FlowExplorer(changed, Characters())


@pytest.fixture(
    params=[
        "AttentionStepper",
        "AttentionStepper from x",
        "ClockExplorer",
        "DepthExplorer",
        "FlowExplorer",
        "HeadsExplorer",
        "NextWord",
        "PatchExplorer",
        "PositionsExplorer",
        "TokenExplorer",
    ]
)
def explorer(request: pytest.FixtureRequest, parts, from_x, depth, heads, tokenizers, pictures) -> Explorer:
    makers = {
        "AttentionStepper": AttentionStepper,
        "AttentionStepper from x": lambda: from_x,
        "ClockExplorer": ClockExplorer,
        "DepthExplorer": lambda: depth,
        "FlowExplorer": lambda: FlowExplorer(*parts, "a cat"),
        "HeadsExplorer": lambda: heads,
        "NextWord": lambda: NextWord(*parts, "a cat"),
        "PatchExplorer": lambda: PatchExplorer(pictures, 2),
        "PositionsExplorer": PositionsExplorer,
        "TokenExplorer": lambda: TokenExplorer(tokenizers, TEXT),
    }
    return makers[request.param]()


def test_state_is_json(explorer: Explorer) -> None:
    """An exported page is JSON, which knows neither infinity nor NaN."""
    assert json.loads(json.dumps(explorer.state, allow_nan=False)) == explorer.state
    assert json.loads(json.dumps(explorer.get_state(), allow_nan=False))["state"] == explorer.state


def test_text_stands_in_where_no_widget_can_be_drawn(explorer: Explorer) -> None:
    data = explorer._repr_mimebundle_()[0]
    assert data["text/plain"] == explorer.describe()
    assert "application/vnd.jupyter.widget-view+json" in data


def test_an_explorer_brings_the_sentence_for_when_it_is_lost(monkeypatch) -> None:
    displayed = []
    monkeypatch.setattr("course_lib.widgets.explorer.display", lambda data, raw: displayed.append(data))
    explorer = AttentionStepper()
    explorer._ipython_display_()
    shown, lost = displayed
    assert shown == explorer._repr_mimebundle_()[0]
    assert "Run All Above Selected Cell</b>, then run this cell" in lost["text/html"]
    assert lost["text/plain"] == ""


def test_what_is_no_question_is_ignored(explorer: Explorer) -> None:
    before = explorer.state
    for content in (None, "text", {}, {"kind": "reset"}, {"request": 3, "kind": "reset"}):
        explorer._receive(explorer, content)
    assert explorer.state == before


def test_an_explorer_must_describe_itself() -> None:
    with pytest.raises(NotImplementedError, match="Explorer must implement describe"):
        Explorer().describe()


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.js")) + sorted(FOLDER.glob("*.css")), ids=lambda path: path.name
)
def test_pages_name_no_outside_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|(?<!:)//[a-z0-9-]+\.[a-z]|@import|\bimport\b|url\(", text)


@pytest.mark.parametrize(
    ("variable", "colour"),
    [
        ("query", plots.QUERY),
        ("key", plots.KEY),
        ("value", plots.VALUE),
        ("attention", plots.ATTENTION),
        ("mlp", plots.MLP),
        ("token", plots.SKY),
    ],
)
def test_pages_take_the_courses_colours(variable: str, colour: str) -> None:
    style = (FOLDER / "explorer.css").read_text(encoding="utf-8")
    assert re.findall(rf"--cx-{variable}: ([^;]+);", style) == [colour.lower()]
    assert f"var(--cx-{variable})" in style


def test_the_module_that_reaches_the_page_is_whole(explorer: Explorer) -> None:
    own = {
        "AttentionStepper": "attention_stepper",
        "ClockExplorer": "clock_explorer",
        "DepthExplorer": "depth_explorer",
        "FlowExplorer": "flow_explorer",
        "HeadsExplorer": "heads_explorer",
        "NextWord": "next_word",
        "PatchExplorer": "patch_explorer",
        "PositionsExplorer": "positions_explorer",
        "TokenExplorer": "token_explorer",
    }
    names = ("explorer", own[type(explorer).__name__])
    assert explorer._esm == "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in names)
    assert explorer._esm.count("export default { render };") == 1


def test_import_is_light() -> None:
    code = (
        "import sys, course_lib.widgets as w; dir(w); print({'torch', 'anywidget', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_wrong_name_is_told() -> None:
    import course_lib.widgets

    with pytest.raises(
        AttributeError, match=r"widgets has no 'Stepper'; it has AttentionStepper, Characters, ClockExplorer"
    ):
        _ = course_lib.widgets.Stepper
