"""The attention stepper without a browser: every number is the library's, every question is answered."""

import math
import re

import numpy as np
import pytest
from explorers import ask, keeps_the_frame

from course_lib import maths
from course_lib.concepts.c03_qkv.explorer import MASKS, AttentionStepper

T, S, K, D = 3, 5, 7, 2  # queries, keys, their width, the values' width


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
    assert cross.state["allowed"] == allowed.tolist()
    for stage, numbers in expected(cross, allowed).items():
        np.testing.assert_allclose(cross.numbers(stage), numbers, atol=1e-12)
        if stage != "mask":  # JSON has no infinity: the page has what is allowed
            np.testing.assert_allclose(cross.state[stage], numbers, atol=1e-12)


def test_masks() -> None:
    tokens, rows = ["a", "b"], [[1.0], [2.0]]
    keys = [[1.0], [2.0], [3.0]]
    stepper = AttentionStepper(tokens, rows, keys, keys, key_tokens=["x", "y", "z"], mask="causal")
    # Lower right, as with a cache: the last query sees every key.
    assert stepper.allowed().tolist() == [[True, True, False], [True, True, True]]
    assert stepper.allowed("off").all()
    assert stepper.allowed("custom").all()


def test_the_example_by_hand() -> None:
    stepper = AttentionStepper(mask="causal")
    assert stepper.numbers("scores")[2, 1] == 1 * 0.5 + 0 * 2 + 2 * 1
    assert stepper.numbers("scale")[2, 1] == pytest.approx(2.5 / math.sqrt(3))
    assert stepper.numbers("mask")[0, 1] == -math.inf
    powers = [math.exp(x / math.sqrt(3)) for x in (1, 2.5, 1)]
    assert stepper.numbers("softmax")[2, 1] == pytest.approx(powers[1] / sum(powers))
    assert stepper.numbers("softmax")[0].tolist() == [1, 0, 0]
    assert stepper.numbers("mix")[0].tolist() == [1, 0, 0.5]


def test_a_row_without_keys_is_zero() -> None:
    stepper = AttentionStepper(stage="mix")
    for column in range(3):
        assert ask(stepper, "toggle", row=1, column=column) == ""
    assert stepper.numbers("softmax")[1].tolist() == [0, 0, 0]
    assert stepper.numbers("mix")[1].tolist() == [0, 0, 0]
    assert stepper.mask == "custom"
    assert stepper.state["softmax"] == stepper.numbers("softmax").tolist()
    assert ask(stepper, "toggle", row=1, column=2) == ""
    assert stepper.numbers("softmax")[1].tolist() == [0, 0, 1]


def test_edits_recompute() -> None:
    stepper = AttentionStepper()
    assert ask(stepper, "edit", array="k", row=1, column=2, text=" −1,5 ") == ""
    k = np.array([[1, 0, 0], [0.5, 2, -1.5], [0, 1, 0.5]])
    np.testing.assert_array_equal(stepper.k, k)
    np.testing.assert_allclose(stepper.numbers("mix"), maths.attention(stepper.q, k, stepper.v))
    assert stepper.state["inputs"]["k"] == k.tolist()
    assert ask(stepper, "name", side="tokens", row=0, text=" a ") == ""
    assert stepper.state["tokens"] == ["a", "cat", "it"]
    assert ask(stepper, "reset") == ""
    assert stepper.state == {**AttentionStepper().state, "answered": "request for reset", "error": ""}


def test_a_mask_that_is_touched_goes_on_from_where_it_was() -> None:
    stepper = AttentionStepper(mask="causal")
    assert ask(stepper, "toggle", row=0, column=2) == ""
    assert stepper.allowed().tolist() == [[True, False, True], [True, True, False], [True, True, True]]
    assert stepper.mask == "custom"
    assert ask(stepper, "mask", choice="off") == ""
    assert stepper.allowed().all()
    assert stepper.state["allowed"] == stepper.allowed().tolist()
    stepper.mask = "causal"  # in Python
    assert stepper.state["softmax"] == stepper.numbers("softmax").tolist()
    assert stepper.state["allowed"][0] == [True, False, False]


def test_reset_brings_back_what_was_given(cross: AttentionStepper) -> None:
    before = cross.state
    assert ask(cross, "edit", array="v", row=4, column=1, text="3") == ""
    assert ask(cross, "name", side="key_tokens", row=4, text="end") == ""
    assert ask(cross, "toggle", row=0, column=0) == ""
    assert cross.state["mix"] != before["mix"]
    assert cross.state["first"] == before["first"]
    assert ask(cross, "reset") == ""
    assert cross.state == {**before, "answered": "request for reset", "error": ""}
    assert cross.mask == "off"


def test_copies_do_not_reach_in() -> None:
    stepper = AttentionStepper()
    stepper.q[0, 0] = 99
    assert stepper.q[0, 0] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Type a number such as 0.5; got “”."),
        ("two", "Type a number such as 0.5; got “two”."),
        ("nan", "Type a number such as 0.5; got “nan”."),
        ("1_0", "Type a number such as 0.5; got “1_0”."),
        ("1e6", "Type a number below a million; got “1e6”."),
        ("x" * 500, "Type a number such as 0.5; got “xxxxxxxxxxxxxxxxxxxx”."),
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
        ("mask", {"choice": "on"}, "mask must be one of off, causal, custom; got 'on'"),
        ("describe", {}, "AttentionStepper cannot answer 'describe'"),
        ("msg", {}, "AttentionStepper cannot answer 'msg'"),
        (None, {}, "AttentionStepper cannot answer None"),
    ],
)
def test_a_bad_question_is_refused(kind: str, fields: dict, message: str) -> None:
    stepper = AttentionStepper()
    before = stepper.state
    assert message in ask(stepper, kind, **fields)
    assert {**stepper.state, "answered": None, "error": None} == {**before, "answered": None, "error": None}


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
        ({"tokens": [3]}, "A token needs a name of at least one visible character; got “3”."),
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
        stepper.numbers("end")
    assert stepper.state == before


C = 4  # numbers in a token


@pytest.fixture
def from_x() -> AttentionStepper:
    """Tokens and three matrices, all sizes different."""
    numbers = np.random.default_rng(1)
    x, w_q, w_k, w_v = (numbers.normal(size=size) for size in ((T, C), (C, K), (C, K), (C, D)))
    return AttentionStepper([f"t{t}" for t in range(T)], x=x, w_q=w_q, w_k=w_k, w_v=w_v)


def test_from_x_on_the_first_step_makes_q_k_and_v(from_x: AttentionStepper) -> None:
    assert from_x.stage == "project"
    inputs = {name: np.array(rows) for name, rows in from_x.state["inputs"].items()}
    assert {name: rows.shape for name, rows in inputs.items()} == {
        "x": (T, C),
        "w_q": (C, K),
        "w_k": (C, K),
        "w_v": (C, D),
    }
    for name in "qkv":
        np.testing.assert_allclose(getattr(from_x, name), inputs["x"] @ inputs[f"w_{name}"])
        assert from_x.state[name] == getattr(from_x, name).tolist()
    for stage, numbers in expected(from_x, np.ones((T, T), bool)).items():
        np.testing.assert_allclose(from_x.numbers(stage), numbers, atol=1e-12)


def test_from_x_by_hand() -> None:
    stepper = AttentionStepper(
        ["a", "b"], x=[[1, 2], [3, 0]], w_q=[[1], [0.5]], w_k=[[0], [1]], w_v=[[2, 0, 1], [1, 1, 0]]
    )
    np.testing.assert_array_equal(stepper.q, [[2], [3]])
    np.testing.assert_array_equal(stepper.k, [[2], [0]])
    np.testing.assert_array_equal(stepper.v, [[4, 2, 1], [6, 0, 3]])


def test_edits_of_x_and_its_matrices_recompute(from_x: AttentionStepper) -> None:
    first = from_x.state
    assert ask(from_x, "edit", array="w_k", row=3, column=6, text="1.5") == ""
    assert ask(from_x, "edit", array="x", row=0, column=1, text="−2") == ""
    inputs = {name: np.array(rows) for name, rows in first["inputs"].items()}
    inputs["w_k"][3, 6], inputs["x"][0, 1] = 1.5, -2
    for name in "qkv":
        np.testing.assert_allclose(getattr(from_x, name), inputs["x"] @ inputs[f"w_{name}"])
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


def test_it_keeps_the_frame(from_x: AttentionStepper) -> None:
    files = ("attend", "parts", "steps", "explorer")
    assert keeps_the_frame(AttentionStepper(), *files)
    assert keeps_the_frame(from_x, *files)
