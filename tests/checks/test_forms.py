"""Answers that are no arrays: the same written in another way is right, and what is wrong is said."""

from collections import Counter, OrderedDict, deque
from itertools import count

import numpy as np
import pytest
import torch

from course_lib.checks import Case, Task, as_text, examine, forms
from course_lib.checks.show import LONG
from course_lib.checks.values import copied, same


def task(reference, read, results=("result",), **inputs):
    """A task with one case."""
    return Task(
        name="00_toy/forms",
        title="Forms",
        level=1,
        minutes=1,
        section="",
        call="answer(...)",
        hints=("Look.",),
        reference=reference,
        cases=lambda rng: [Case("the only one", inputs)],
        read=read,
        results=results,
    )


def length(given):
    return [len(given)]


LIST = task(lambda n: [b"a", b"bc"], forms.contents, n=3)
PAIRS = task(lambda n: [(b"a", b"b"), (b"c", b"d")], forms.contents, n=3)
IDS = task(lambda n: [3, 1, 2], forms.contents, n=3)
TEXT = task(lambda n: "grün", forms.contents, n=3)
COUNTS = task(lambda n: {("a", "b"): 2, ("b", "c"): 1}, forms.counts, n=3)
NEAREST = task(lambda n: [(4, 0.5), (0, -0.25)], forms.ranking, ("words", "cosines"), n=3)


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        (LIST, (b"a", b"bc")),
        (LIST, deque([b"a", b"bc"])),
        (LIST, [bytearray(b"a"), memoryview(b"bc")]),
        (LIST, np.array([b"a", b"bc"])),
        (LIST, np.array([b"a", b"bc"], dtype=object)),
        (LIST, {b"a": 1, b"bc": 1}.keys()),
        (PAIRS, [[b"a", b"b"], [b"c", b"d"]]),
        (PAIRS, ((b"a", b"b"), np.array([b"c", b"d"]))),
        (PAIRS, np.array([[b"a", b"b"], [b"c", b"d"]], dtype=object)),
        (IDS, np.array([3, 1, 2])),
        (IDS, torch.tensor([3, 1, 2])),
        (IDS, [np.int32(3), 1.0, torch.tensor(2)]),
        (IDS, lambda: (n for n in (3, 1, 2))),
        (TEXT, np.str_("grün")),
        (COUNTS, Counter({("a", "b"): 2, ("b", "c"): 1, ("c", "d"): 0})),
        (COUNTS, OrderedDict({("b", "c"): np.int64(1), ("a", "b"): 2.0})),
        (COUNTS, [(("b", "c"), 1), (["a", "b"], 2)]),
        (COUNTS, Counter({("a", "b"): 2, ("b", "c"): 1}).most_common()),
        (NEAREST, [[4, 0.5], [0, -0.25]]),
        (NEAREST, {4: 0.5, np.int64(0): np.float32(-0.25)}),
        (NEAREST, np.array([[4, 0.5], [0, -0.25]])),
        (NEAREST, torch.tensor([[4, 0.5], [0, -0.25]])),
        (NEAREST, lambda: zip(np.array([4, 0]), np.array([0.5, -0.25]), strict=True)),
    ],
)
def test_the_same_written_in_another_way_is_right(where, answer):
    assert examine(where, lambda n: answer() if callable(answer) else answer).problem == ""


@pytest.mark.parametrize(
    ("where", "answer", "said"),
    [
        (LIST, None, "It returns None: is the return missing?"),
        (LIST, b"abc", "It must return a list, but got b'abc' (bytes)."),
        (LIST, {b"a", b"bc"}, "It must return a list, but got"),
        (LIST, [b"a"], "The result has length 1, expected 2."),
        (LIST, [b"a", "bc"], "First difference at 1: expected b'bc', got 'bc'."),
        (LIST, [b"a", b"bc", b"d"], "First difference at 2: expected nothing, got b'd'."),
        (PAIRS, [b"ab", b"cd"], "First difference at 0: expected (b'a', b'b'), got b'ab'."),
        (IDS, [3, 2, 1], "The result has the right length but is not what was expected."),
        (IDS, [3.0, 1, 5], "First difference at 2: expected 2, got 5."),
        (LIST, [b"a", b"bc" * 50], "First difference at 1: expected b'bc', got b'bcbcbc"),
        (TEXT, ["grün"], "It must return a text (str), but got ['grün'] (list)."),
        (TEXT, "grun", "First difference at 2: expected 'ü', got 'u'."),
        (COUNTS, {("a", "b"): 2}, "The result has length 1, expected 2."),
        (COUNTS, {("a", "b"): 2, "bc": 1}, "First difference at ('b', 'c'): expected 1, got nothing."),
        (COUNTS, 3, "It must return a dictionary, but got 3 (int)."),
        (NEAREST, [4, 0], "It must return a list of pairs (word, cosine), but got [4, 0] (list)."),
        (NEAREST, [(4, 0.5)], "words has shape (1,), expected (2,)."),
        (NEAREST, [(4, 0.5), (0, float("nan"))], "cosines contains nan where a number is expected."),
        (NEAREST, [(0, -0.25), (4, 0.5)], "First difference in words at [0]: expected 4, got 0."),
    ],
)
def test_what_is_wrong_is_said_in_words(where, answer, said):
    assert said in as_text(examine(where, lambda n: answer))


def test_an_answer_without_end_is_read_up_to_a_limit():
    assert examine(IDS, lambda n: count()).problem == f"The result has length {forms.MANY}, expected 3."


@pytest.mark.parametrize("given", [["a", "b"], {"a": ["b"]}, {"a", "b"}])
def test_a_changed_list_dictionary_or_set_is_named_with_its_contents_before_and_after(given):
    def empties(given):
        n = len(given)
        given.clear()
        return [n]

    text = as_text(examine(task(length, forms.contents, given=given), empties))
    assert "It changes its input 'given': work on a copy, the caller still needs the original." in text
    before, after = text.split("After it:")
    assert f"given = {given!r}" in before
    assert f"given = {type(given)()!r}" in after


def test_what_lies_within_an_input_cannot_be_changed_either():
    def inner(given):
        given["a"].append("c")
        return [1]

    result = examine(task(length, forms.contents, given={"a": ["b"]}), inner)
    assert result.problem.startswith("It changes its input 'given'")


def test_of_a_long_input_the_beginning_is_shown():
    text = as_text(examine(task(length, forms.contents, given=list(range(1000))), lambda given: [0]))
    line = next(line for line in text.splitlines() if line.startswith("  given = "))
    assert line.endswith("...")
    assert len(line) == LONG + len("  given = ")


@pytest.mark.parametrize(
    ("before", "change", "unchanged"),
    [
        ({"a": [np.ones(2), (np.zeros(3), 5)]}, lambda it: None, True),
        ({"a": [np.ones(2), (np.zeros(3), 5)]}, lambda it: it["a"][1][0].fill(1), False),
        ({"a": [np.ones(2), (np.zeros(3), 5)]}, lambda it: it["a"].pop(), False),
        ({"a": [np.ones(2)]}, lambda it: it["a"].__setitem__(0, 1.0), False),
        ([float("nan"), np.array([np.nan])], lambda it: None, True),
        ([[1], {2}], lambda it: it[1].add(3), False),
    ],
)
def test_arrays_in_lists_and_dictionaries_are_still_the_same_or_not(before, change, unchanged):
    after = copied(before)
    change(after)
    assert same(before, after) == unchanged
