"""The tasks of 07 on what a model is asked: what solutions promise, what is said of answers."""

import math
import random

import pytest
import torch
from task_cases import cases_of

from course_lib import objectives
from course_lib.checks import examine, find_task
from course_lib.concepts.c07_mlm_vs_next_token.answers.sentence_pairs import with_a_share
from course_lib.concepts.c07_mlm_vs_next_token.tasks.bits_per_character import bits_per_character
from course_lib.concepts.c07_mlm_vs_next_token.tasks.mask_tokens import (
    SHARES,
    in_percent,
    mask_tokens,
    report_of_masking,
)
from course_lib.concepts.c07_mlm_vs_next_token.tasks.masked_loss import masked_loss
from course_lib.concepts.c07_mlm_vs_next_token.tasks.sentence_pairs import (
    Seed,
    report_of_pairs,
    sentence_pairs,
)
from course_lib.concepts.c07_mlm_vs_next_token.tasks.shift_targets import shift_targets

pytestmark = pytest.mark.usefixtures("own_errors")


def cases(task, n_seeds=5):
    """The inputs of every case."""
    for case in cases_of("07_mlm_vs_next_token", n_seeds)(task):
        yield case.inputs


def found(task, answer, seed=0):
    return examine(find_task(f"07_mlm_vs_next_token/{task}"), answer, seed=seed)


# ------------------------------------------------------------------------------------ references and inputs


def test_the_library_hides_as_the_reference_does():
    def library(ids, mask_id, vocab_size, special_ids, generator):
        return objectives.mask_tokens(ids, mask_id, vocab_size, special_ids=special_ids, generator=generator)

    for given in cases("mask_tokens"):
        assert report_of_masking(library)(**given) == report_of_masking(mask_tokens)(**given)


def test_the_loss_is_the_librarys():
    for given in cases("masked_loss"):
        given = {**given, "logits": given["logits"].double()}
        torch.testing.assert_close(masked_loss(**given), objectives.token_loss(**given))


def test_the_questions_show_every_mistake():
    """Rows have unequal numbers of them, and token 0 is asked for, where there are several."""
    some = [asked for given in cases("masked_loss") if (asked := given["targets"] >= 0).sum() > 1]
    tokens = [given["targets"] for given in cases("masked_loss") if (given["targets"] >= 0).sum() > 1]
    assert all((targets == 0).any() for targets in tokens)
    unequal = [len(asked.sum(1).unique()) > 1 for asked in some if len(asked) > 1 and not asked.all()]
    assert len(unequal) >= 20
    assert all(unequal)


def test_shifted_is_shifted_as_in_the_library():
    for given in cases("shift_targets"):
        for ours, theirs in zip(shift_targets(**given), objectives.shift(**given), strict=True):
            assert torch.equal(ours, theirs)


def test_the_library_pairs_as_the_reference_does():
    def library(documents, rng):
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        return objectives.sentence_pairs(documents, generator=generator)

    for given in cases("sentence_pairs"):
        if min(map(len, given["documents"])) > 1:  # the library takes no others
            assert report_of_pairs(library)(**given) == report_of_pairs(sentence_pairs)(**given)


def test_bits_of_a_uniform_model_are_the_logarithm_of_its_choices():
    losses = torch.full((5,), math.log(64))
    assert bits_per_character(losses, ["?", *"abcde"]) == pytest.approx(6)
    assert bits_per_character(losses, ["?", *5 * ["ab"]]) == pytest.approx(3)


# --------------------------------------------------------------------------------------------------- reports

N_SEEDS = 40


def mistake(task, name):
    """The wrong answer of this name."""
    known = find_task(f"07_mlm_vs_next_token/{task}").misconceptions
    return next(one.wrong for one in known if one.name == name)


@pytest.mark.parametrize(
    "answer",
    [mask_tokens, mistake("mask_tokens", "always the mask"), mistake("mask_tokens", "share of all places")],
)
def test_a_report_on_hidden_tokens_does_not_depend_on_the_dice(answer):
    """Right answers and mistakes alike: what is said of them is sure."""
    *_, given = cases("mask_tokens", 1)
    report = report_of_masking(answer)
    reports = [report(**{**given, "generator": Seed(seed)}) for seed in range(N_SEEDS)]
    assert all(report == reports[0] for report in reports)


@pytest.mark.parametrize(
    "answer",
    [
        sentence_pairs,
        mistake("sentence_pairs", "any sentence at all"),
        mistake("sentence_pairs", "one coin for a document"),
    ],
)
def test_a_report_on_pairs_does_not_depend_on_the_dice(answer):
    given = next(cases("sentence_pairs", 1))
    report = report_of_pairs(answer)
    reports = [report(given["documents"], Seed(seed)) for seed in range(N_SEEDS)]
    assert all(report == reports[0] for report in reports)


def test_a_share_that_is_nearly_right_is_told_in_numbers():
    report = in_percent(dict(zip(SHARES, (0.17, 0.8, 0.1, 0.1), strict=True)))
    assert list(report.values()) == ["17 %", "80 %", "10 %", "10 %"]
    report = in_percent(dict(zip(SHARES, (0.151, 0.79, 0.11, 0.1), strict=True)))
    assert list(report.values()) == ["15 %", "80 %", "10 %", "10 %"]
    report = in_percent(dict(zip(SHARES, (0.3333, 0.6, 0.2, 0.21), strict=True)))
    assert list(report.values()) == ["33.3 %", "60 %", "20 %", "20 %"]


# ------------------------------------------------------------------------------------------- what is said


def test_what_was_drawn_is_reported_where_no_mistake_is_known():
    result = found("sentence_pairs", with_a_share(0.3))
    assert result.problem == "The result is not what was expected in 1 of 7 entries."
    assert result.detail.startswith("First difference at 'share of True': expected '50 %', got '")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda documents, rng: None,
            "It must return a list of triples (first, second, is next), but got None",
        ),
        (lambda documents, rng: [("a", "b", True)], "A pair contains a (str), which is no sentence"),
        (lambda documents, rng: [(0, 1, True)], "A pair contains 0 (int), which is no sentence"),
    ],
)
def test_what_are_no_pairs_is_said(answer, said):
    assert found("sentence_pairs", answer).problem.replace("'", "").startswith(said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda ids, *given: None, "It must return two tensors, inputs and targets, but got None"),
        (
            lambda ids, *given: (ids, ids[:, 1:]),
            "targets must be a tensor of the shape of ids, (2, 1499), but",
        ),
        (
            lambda ids, *given: (ids.float(), ids),
            "inputs must be whole numbers, as token ids are, but has dtype",
        ),
    ],
)
def test_what_are_no_inputs_and_targets_is_said(answer, said):
    assert found("mask_tokens", answer).problem.startswith(said)


def test_nothing_done_is_no_answer():
    assert not found("mask_tokens", lambda ids, *given: (ids, torch.full_like(ids, -100))).passed
    assert not found("sentence_pairs", lambda documents, rng: []).passed


def test_the_learners_own_random_numbers_are_left_alone():
    state, seed = torch.get_rng_state(), random.getstate()
    found("mask_tokens", lambda ids, *given: (torch.rand(ids.shape) < 0.5).long())
    found("mask_tokens", lambda ids, *given: (torch.randint(9, ids.shape), ids))
    found("sentence_pairs", sentence_pairs)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == seed
