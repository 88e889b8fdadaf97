"""The tasks of 01_tokens: what their inputs promise, and the real models at their end."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from task_cases import cases_of

from course_lib import maths
from course_lib.bpe import BPETokenizer, WordPiece, byte_characters
from course_lib.checks import examine, find_task
from course_lib.concepts.c01_tokens.answers.place_of import one_matrix
from course_lib.concepts.c01_tokens.answers.tokenizer_at_work import ids_by_comprehension, ids_with_memory
from course_lib.concepts.c01_tokens.tasks.count_pairs import count_pairs
from course_lib.concepts.c01_tokens.tasks.encode import encode
from course_lib.concepts.c01_tokens.tasks.longest_match import longest_match
from course_lib.concepts.c01_tokens.tasks.merge_pair import merge_pair
from course_lib.concepts.c01_tokens.tasks.place_of import (
    COUNTRIES,
    LANDMARKS,
    drawn,
    is_one_token,
    kilometres,
    mapped,
    place_of,
)
from course_lib.concepts.c01_tokens.tasks.tokenizer_at_work import QUESTION, TEXTS
from course_lib.concepts.c01_tokens.tasks.train_merges import train_merges
from course_lib.data import cities

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("01_tokens", 10)


def made_twice(merges):
    """Whether two merges make the same token."""
    return len({left + right for left, right in merges}) < len(merges)


# ------------------------------------------------------------------------------------ references and inputs


def test_pairs_are_counted_one_by_one_and_merged_as_by_the_library():
    for case in cases("count_pairs"):
        words = [word for word, n in case.inputs["words"].items() for _ in range(n)]
        assert count_pairs(case.inputs["words"]) == Counter(pair for word in words for pair in pairwise(word))
    for case in cases("merge_pair"):
        assert merge_pair(**case.inputs) == maths.merge_pair(*case.inputs.values())


def test_merges_are_those_that_the_library_learns():
    names = byte_characters()
    for case in cases("train_merges"):
        words, n_merges = case.inputs.values()
        text = "\n".join(b"".join(word).decode() for word, n in words.items() for _ in range(n))
        library = BPETokenizer.train(text, 256 + n_merges, pattern=r"[^\n]+")
        learned = train_merges(words, n_merges)
        assert [
            tuple("".join(names[b] for b in token) for token in pair) for pair in learned
        ] == library.merges


def test_tokens_are_those_that_the_library_cuts():
    names = byte_characters()

    def written(token):
        return "".join(names[byte] for byte in token)

    for case in cases("encode"):
        text, ranks = case.inputs.values()
        merges = [(written(left), written(right)) for left, right in ranks]
        tokens = [*names.values(), *(left + right for left, right in merges)]
        library = BPETokenizer(tokens, merges, pattern="(?s:.+)")
        assert [written(token) for token in encode(text, ranks)] == [tokens[i] for i in library.encode(text)]


def test_pieces_are_those_that_the_library_matches():
    for case in cases("longest_match"):
        word, vocab = case.inputs.values()
        tokens = ["[UNK]", "[CLS]", "[SEP]", *sorted(vocab - {"[UNK]"})]
        assert longest_match(word, vocab) == [tokens[i] for i in WordPiece(tokens).encode(word)]


@pytest.mark.parametrize("task", ["train_merges", "encode"])
def test_no_token_is_made_twice(task):
    """The text leaves open which number it has, and one loop over the merges would cut it in another way."""
    for case in cases(task):
        merges = case.inputs["ranks"] if task == "encode" else train_merges(**case.inputs)
        assert not made_twice(merges), case


def test_of_every_kind_of_tie_there_is_one():
    for seed in range(30):
        ties = 0
        for case in find_task("01_tokens/train_merges").cases(np.random.default_rng(seed)):
            counts = sorted(count_pairs(case.inputs["words"]).values())
            ties += any(a == b for a, b in pairwise(counts))
        assert ties >= 2


def test_a_place_is_what_ridge_regression_predicts():
    for case in cases("place_of"):
        rows, places, row, ridge = case.inputs.values()
        fitted = Ridge(alpha=ridge).fit(rows.astype(float), places.astype(float))
        np.testing.assert_allclose(
            place_of(rows, places, row, ridge), fitted.predict(row[None])[0], atol=1e-2
        )


def test_no_unknown_city_lies_in_the_middle():
    """There every way of voting would be right."""
    for case in cases("place_of", 100):
        moved = np.abs(place_of(**case.inputs) - case.inputs["places"].mean(axis=0))
        assert moved[1] > 1, case.name
        assert moved[0] > 1 or "one latitude" in case.name


# ------------------------------------------------------------------------------------------ in the real model


@pytest.fixture
def finale(smollm2_at_hand):
    """What a learner's function makes the model write, or why it does not."""
    return lambda learner, **options: examine(find_task("01_tokens/tokenizer_at_work"), learner, **options)


def test_every_text_is_compared_and_the_model_answers_as_it_comes(finale):
    """Though all merges are gone through for each word."""
    pieces, calls = [], []

    def slow(words, ranks, ids, special):
        calls.append(len(ranks))
        return ids_by_comprehension(words, ranks, ids, special)

    assert finale(slow, hear=pieces.append).passed
    assert max(calls) == 48_900
    said = "".join(pieces)
    for text in TEXTS:
        assert repr(text.strip()) in said
    assert "cat" in said.split(QUESTION)[1]
    assert len(pieces) > len(TEXTS) + 5


def test_the_texts_hold_what_is_hard_to_cut():
    text = "".join(TEXTS)
    assert {len(letter.encode()) for letter in text} == {1, 2, 3, 4}
    assert any(letter.isdigit() for letter in text)
    assert any("\u0900" <= letter <= "\u097f" for letter in text)


@pytest.mark.parametrize(
    "in_the_model",
    [
        lambda ids: ids[:-1],
        lambda ids: [*ids[:-1], ids[-1] + 1],
        lambda ids: None,
    ],
)
def test_a_function_that_is_wrong_in_the_model_alone_is_refused(finale, in_the_model):
    def answer(words, ranks, ids, special):
        right = ids_with_memory(words, ranks, ids, special)
        return right if len(ranks) < 100 else in_the_model(right)

    problem = finale(answer).problem
    assert problem.startswith((f"With SmolLM2's merges {TEXTS[0]!r} should be [", "It returns None"))


def test_the_models_merges_never_make_a_token_twice(smollm2):
    """Else going through the merges once would be another rule than the lowest rank first."""
    assert not made_twice(smollm2[1].merges)


# ------------------------------------------------------------------------------------------ in MiniLM's table


def on_the_map(learner, **options):
    return examine(find_task("01_tokens/place_of"), learner, **options)


def test_cities_are_placed_by_the_others_as_they_come_and_countries_are_drawn(minilm_at_hand):
    pieces = []
    assert on_the_map(one_matrix, hear=pieces.append).passed
    said = "".join(pieces)
    assert len(pieces) > 12
    off = {
        way: int(km.replace(",", "")) for way, km in re.findall(r"^  (.*): ([\d,]+) km$", said, re.MULTILINE)
    }
    assert next(iter(off)) == "your function"
    mine, nearest, letters, middle = off.values()
    assert 370 < mine < 420
    assert 370 < nearest < 420
    assert 720 < letters < 780
    assert 860 < middle < 910
    map_ = said.split("begins at its place.")[1]
    assert set(re.findall("[a-z]+", map_)) > set(COUNTRIES.split())
    assert set(re.findall("[A-Z]{4,}", map_)) == {name.upper() for name in LANDMARKS}


def test_no_country_is_among_the_cities_and_all_are_one_token(minilm):
    assert not cities().keys() & set(COUNTRIES.split())
    assert all(is_one_token(minilm[1], word) for word in [*cities(), *COUNTRIES.split()])
    assert set(LANDMARKS) < cities().keys()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda place: place + 0.1, "With 67 real rows of 384 numbers your function gives ["),
        (lambda place: place[None], "With 67 real rows of 384 numbers your function gives [["),
        (
            lambda place: place * np.nan,
            "With 67 real rows of 384 numbers your function gives [nan nan], expected [",
        ),
        (lambda place: None, "It returns None"),
    ],
)
def test_a_function_that_is_wrong_with_real_rows_alone_is_refused(minilm_at_hand, wrong, said):
    def answer(rows, places, row, ridge):
        right = one_matrix(rows, places, row, ridge)
        return right if len(rows) < 67 else wrong(right)

    assert on_the_map(answer).problem.startswith(said)


def test_without_minilm_one_sentence_says_what_is_missing(minilm_missing):
    result = on_the_map(one_matrix)
    assert result.passed
    assert result.detail.startswith("Here MiniLM would say where cities lie, but it is missing: ")


def test_words_of_ones_own_are_drawn_or_told_below_the_map(minilm):
    lines = mapped(place_of, *minilm, ["dante", "londoners", "dante", "\N{SNOWMAN}"]).splitlines()
    assert any("dante" in line for line in lines[:17])
    assert lines[17:] == ["londoners: not one token", "\N{SNOWMAN}: not one token"]


def test_a_map_has_north_above_and_west_on_the_left():
    lines, left = drawn({"a": (60, -10), "b": (36, 30), "c": (48, 10)})
    assert (lines[0], lines[-1].strip(), lines[8].index("c")) == ("a", "b", 32)
    assert len(lines) == 17
    assert left == []


def test_what_has_no_room_on_a_map_is_told():
    same, outside = (
        dict.fromkeys(["one", "two", "three", "four"], (48, 10)),
        {"far": (70, 10), "east": (48, 60)},
    )
    lines, left = drawn(same | outside)
    assert left == ["four", "far", "east"]
    assert [line.strip() for line in lines[7:10]] == ["three", "one", "two"]


def test_kilometres_are_those_on_a_globe():
    paris, london, pole = (np.array([place]) for place in ([48.9, 2.4], [51.5, -0.1], [90, 0]))
    assert kilometres(paris, london)[0] == pytest.approx(340, abs=10)
    assert kilometres(paris, paris)[0] == pytest.approx(0, abs=0.5)
    assert kilometres(pole, -pole)[0] == pytest.approx(np.pi * 6371, rel=1e-6)
