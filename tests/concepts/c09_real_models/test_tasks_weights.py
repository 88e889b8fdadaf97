"""The tasks on weights: what their solutions promise, what is said, the search at the end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from task_cases import cases_of

from course_lib.checks import examine, find_task
from course_lib.checks.values import Refused, same
from course_lib.concepts.c09_real_models.answers.chat_template import one_loop
from course_lib.concepts.c09_real_models.answers.nearest_passages import (
    by_cosine_similarity,
    by_exchanges,
    groups_of_equals,
)
from course_lib.concepts.c09_real_models.answers.rename_weights import by_our_library, layer_by_layer, renamed
from course_lib.concepts.c09_real_models.tasks.chat_template import END, START, chat_template
from course_lib.concepts.c09_real_models.tasks.mean_pooling import mean_pooling
from course_lib.concepts.c09_real_models.tasks.nearest_passages import (
    QUESTIONS,
    cosines,
    descriptions,
    nearest_passages,
)
from course_lib.concepts.c09_real_models.tasks.rename_weights import rename_weights
from course_lib.pretrained import SMOLLM2_SYSTEM, chat_prompt, sentence_embedding

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("09_real_models", 3)
SEARCH = "09_real_models/nearest_passages"


def problem(task, answer):
    return examine(replace(find_task(f"09_real_models/{task}"), finale=None), answer).problem


# ------------------------------------------------------------------------------------ references and inputs


def test_a_mean_is_what_minilm_makes_of_its_tokens(minilm):
    model, tokenizer = minilm
    texts = ["A cat.", "A dog that reads a long book.", "Rain"]
    ids = [torch.tensor(tokenizer.frame(text)[0]) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    mask = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids])[:, None]
    pooled = mean_pooling(model(padded, mask=mask), mask)
    expected = sentence_embedding(model, tokenizer, texts)
    torch.testing.assert_close(torch.nn.functional.normalize(pooled, dim=-1), expected)


def test_gradients_reach_tokens_and_not_padding():
    vectors = torch.randn(2, 5, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False, False, False], [False, True, True, True, True]])
    mean_pooling(vectors, mask).sum().backward()
    assert torch.equal(vectors.grad != 0, mask[..., None].expand(2, 5, 3))


def test_cosines_are_torchs():
    for case in cases("nearest_passages"):
        query, passages, _ = case.inputs.values()
        expected = torch.nn.functional.cosine_similarity(query.double()[None], passages.double(), dim=-1)
        torch.testing.assert_close(cosines(query.double(), passages.double()), expected)


def test_passages_tie_only_where_they_should():
    """At seed 104 two lay on one line once, and rounding decided between two ways of writing."""
    for case in [*cases("nearest_passages", 3), *find_task(SEARCH).cases(np.random.default_rng(104))]:
        query, passages, _ = case.inputs.values()
        scores = cosines(query.double(), passages.double())
        gaps = scores[scores != 0].abs().sort().values.diff()
        assert "that tie" in case.name or (gaps > 1e-6).all(), case.name


def test_among_many_that_tie_an_unstable_sort_is_noticed_at_any_seed():
    for case in cases("nearest_passages", 100):
        if case.name == "many passages that tie":
            right = nearest_passages(**case.inputs).tolist()
            assert by_exchanges(*case.inputs.values()) != right
            assert groups_of_equals(*case.inputs.values()) == right


def test_zeros_stand_between_others_however_they_are_scored():
    for case in cases("nearest_passages", 30):
        query, passages, k = case.inputs.values()
        scores = cosines(query, passages)
        if case.name.endswith("of zeros") and query.any():
            assert k == len(passages)
            last_zeros = int((scores == 0).nonzero().max())
            assert (scores[last_zeros:] > 0.5).any()
            assert ((scores > 0.1) & (scores < 0.4)).any()
            assert (scores < 0).any()
        if case.name.startswith("many") and "tie" not in case.name:
            sizes = passages.abs().sum(-1)  # taken for the lengths
            other = torch.where(sizes > 0, passages @ query / sizes, 0.0)
            first, right = (x.sort(descending=True, stable=True).indices[:k] for x in (other, scores))
            assert not torch.equal(first, right)


def test_of_the_passages_that_tie_several_are_named_in_the_order_of_places():
    for case in cases("nearest_passages", 9):
        if case.name == "many passages that tie":
            scores = cosines(case.inputs["query"], case.inputs["passages"])
            named = nearest_passages(**case.inputs)
            for score in scores.unique():
                tied = [int(place) for place in named if scores[place] == score]
                assert tied == sorted(tied)
            assert len(tied) >= 2


@pytest.mark.parametrize("system", ["Be brief.", None])
def test_one_question_is_the_librarys_prompt(system):
    expected = chat_prompt("Why?") if system is None else chat_prompt("Why?", system)
    assert chat_template([("user", "Why?")], system) == expected


def test_a_conversation_is_read_by_the_tokenizer_with_as_many_signs_as_turns(smollm2):
    _, tokenizer = smollm2
    turns = [("user", "Why?"), ("assistant", "So."), ("user", "Oh?")]
    ids = tokenizer.encode(chat_template(turns, "Be brief."))
    starts, ends = (ids.count(tokenizer.special_tokens[sign]) for sign in (START, END))
    assert (starts, ends) == (5, 4)


def test_weights_have_the_names_and_numbers_that_the_librarys_model_has():
    n_compared = 0
    for case in cases("rename_weights"):
        theirs = case.inputs["theirs"]
        if not any(name.startswith("h.") for name in theirs):
            continue
        ours, expected = rename_weights(theirs), by_our_library(theirs)
        assert ours.keys() == expected.keys()
        assert all(torch.equal(ours[name], expected[name]) for name in ours)
        n_compared += 1
    assert n_compared >= 15


# ------------------------------------------------------------------------------------------- what is said


def test_a_vector_outside_its_tokens_is_said():
    said = problem("mean_pooling", lambda vectors, mask: mean_pooling(vectors, mask) * 3 + 10)
    assert said.startswith("Number 0 of text 0 is ")
    assert said.endswith("a mean lies between them.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda places: places + 100, "There is no place 10"),
        (lambda places: places * 0, "is named twice."),
        (lambda places: places.roll(1), "stands behind place"),
    ],
)
def test_places_that_are_wrong_are_said(change, said):
    assert said in problem("nearest_passages", lambda *given: change(nearest_passages(*given)))


def test_a_tie_in_the_wrong_order_is_said():
    """As `topk` may do: here zeros alone are in the wrong order."""

    def answer(query, passages, k):
        n = len(passages)
        scores = cosines(query, passages) + (passages == 0).all(-1) * torch.arange(n) * 1e-9
        return scores.sort(descending=True, stable=True).indices[:k]

    assert "tie at 0.0000: the smaller one stands first" in problem("nearest_passages", answer)


def test_a_text_where_an_error_should_be_raised_is_said():
    def answer(turns, system=None):
        said = [("system", SMOLLM2_SYSTEM if system is None else system), *turns]
        return "".join(f"<{role}>{text}" for role, text in said) + "<|im_start|>assistant\n"

    result = examine(find_task("09_real_models/chat_template"), answer)
    assert result.problem.startswith("The result has length")

    def harmless(turns, system=None):  # signs are written in another way
        def other(text):
            return text.replace("<|im_start|>", "<start>").replace("<|im_end|>", "<end>")

        return one_loop([(role, other(text)) for role, text in turns], system and other(system))

    assert problem("chat_template", harmless).startswith(
        "It must raise a ValueError, but got '<|im_start|>system"
    )


def test_a_value_error_of_another_kind_is_a_bug():
    said = problem(
        "chat_template", lambda turns, system=None: one_loop(turns, system) + str(int("no number"))
    )
    assert said.startswith("It stops with ValueError: invalid literal")


def test_refusals_are_the_same_whatever_their_words():
    assert Refused("one") == Refused("two")
    assert repr(Refused("so")) == "ValueError('so')"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ours: list(ours), "It must return a dictionary from names to tensors, but got ["),
        (
            lambda ours: {**ours, "stack.final_norm.bias": "b"},
            "'stack.final_norm.bias' should hold a tensor, but holds 'b'",
        ),
        (
            lambda ours: {**ours, "stack.final_norm.bias": ours["stack.final_norm.weight"]},
            "'stack.final_norm.bias' holds the",
        ),
        (
            lambda ours: {**ours, "stack.final_norm.bias": ours["stack.final_norm.weight"] / 3},
            "has the right shape but",
        ),
        (lambda ours: {**ours, "more": ours["stack.final_norm.bias"]}, "The table of shapes has length"),
    ],
)
def test_tensors_that_are_wrong_are_said(change, said):
    assert said in problem("rename_weights", lambda theirs: change(layer_by_layer(theirs)))


def test_a_tensor_that_is_wrong_in_its_shape_is_named():
    result = examine(find_task("09_real_models/rename_weights"), renamed(("stack.final_norm", "norm")))
    assert "'norm.bias'" in result.detail or "'stack.final_norm.bias'" in result.detail


def test_the_librarys_own_reader_is_forbidden():
    def answer(theirs):
        return by_our_library(theirs) if "h.0.ln_1.weight" in theirs else layer_by_layer(theirs)

    assert problem("rename_weights", answer).startswith("It calls course_lib.pretrained.gpt2_from_hf")


def test_a_dictionary_of_tensors_that_was_changed_is_noticed():
    before = {"a": torch.zeros(2), "n": 3}
    assert same(before, {"a": torch.zeros(2), "n": 3})
    assert not same(before, {"a": torch.ones(2), "n": 3})
    assert not same(before, {"a": torch.zeros(2), "n": 4})
    assert not same(before, {"a": torch.zeros(2)})


# ------------------------------------------------------------------------------------------------ the reward


@pytest.fixture
def finale(minilm_at_hand):
    return lambda learner: examine(find_task("09_real_models/nearest_passages"), learner)


def test_both_questions_are_answered_by_meaning_beside_the_words(finale):
    result = finale(by_cosine_similarity)
    assert result.problem == ""
    for question in QUESTIONS:
        assert question in result.detail
    assert result.detail.count("by shared words: ") == 2
    assert "str.lstrip: " in result.detail.split("by shared words")[0]
    assert 100 < len(descriptions()) < 200


def test_a_search_that_is_wrong_in_real_vectors_alone_is_refused(finale):
    def narrow_only(query, passages, k):
        return [0, 1, 2] if len(query) > 100 else by_cosine_similarity(query, passages, k)

    assert "real vectors of 384 numbers your function names places" in finale(narrow_only).problem
