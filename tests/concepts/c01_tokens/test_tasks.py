"""The tasks of 01_tokens: what their inputs promise, and the real model at their end."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from task_cases import cases_of

from course_lib import maths
from course_lib.bpe import BPETokenizer, WordPiece, byte_characters
from course_lib.checks import examine, find_task
from course_lib.concepts.c01_tokens.answers.tokenizer_at_work import ids_by_comprehension, ids_with_memory
from course_lib.concepts.c01_tokens.tasks.count_pairs import count_pairs
from course_lib.concepts.c01_tokens.tasks.encode import encode
from course_lib.concepts.c01_tokens.tasks.longest_match import longest_match
from course_lib.concepts.c01_tokens.tasks.merge_pair import merge_pair
from course_lib.concepts.c01_tokens.tasks.tokenizer_at_work import QUESTION, TEXTS
from course_lib.concepts.c01_tokens.tasks.train_merges import train_merges

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
