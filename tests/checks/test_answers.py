"""Every wrong answer is refused, a known mistake by its name; every correct one is accepted, at any seed."""

import importlib
import os

import numpy as np
import pytest
from spoiled import spoiled
from task_cases import VISIBLE, place_of, told, without_finale

from course_lib.checks import engine, examine, find_task, task_names, tasks
from course_lib.checks.attempt import attempts, clean_state
from course_lib.checks.call import Call
from course_lib.checks.inputs import other_forms
from course_lib.checks.values import largest, shapes_of


def answers_to(task):
    concept, short = task.split("/")
    return importlib.import_module(f"course_lib.concepts.c{concept}.answers.{short}")


RIGHT = {task: answers_to(task).RIGHT for task in task_names()}
WRONG = {task: answers_to(task).WRONG for task in task_names()}
MISTAKES = [(task, mistake) for task in task_names() for mistake in find_task(task).misconceptions]

# A model is changed in place: numbers neither come nor go.
IN_PLACE = {"06_residuals/identity_start", "06_residuals/depth_scaled_start"}

# So many seeds in every run. A new or changed task is tried at 300: COURSE_SEEDS=300 (all: ten minutes).
N_SEEDS = int(os.environ.get("COURSE_SEEDS", "2"))
# Wrong answers are tried at the check that a learner sees and at others, right ones at so many in all.
SEEDS = range(N_SEEDS)
FORMS = {"float64", "stored column by column"}
# So much of a case's largest value may rounding take; more would let wrong answers through.
LARGEST_SLACK = 0.05


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task in RIGHT for answer in RIGHT[task]])
def test_a_correct_answer_is_accepted(task, answer, accepts):
    # The real model is slow: the last answer meets it here, and ours where its notebook runs.
    accepts(task, answer, finale=answer is RIGHT[task][-1])


@pytest.mark.parametrize(
    ("task", "name", "answer"), [(task, name, answer) for task in WRONG for name, answer in WRONG[task]]
)
def test_a_wrong_answer_is_refused(task, name, answer, refuses):
    named = name in {mistake.name for mistake in find_task(task).misconceptions}
    for seed in SEEDS:
        refuses(task, answer, name if named else None, seed)


@pytest.mark.parametrize("task", task_names())
def test_a_right_answer_that_is_spoiled_is_refused(task, refuses):
    answers = spoiled(task)
    assert bool(answers) != (task in IN_PLACE)
    for way, answer in answers.items():
        refuses(task, answer, None, how=way)


@pytest.mark.parametrize(("task", "mistake"), MISTAKES)
def test_a_mistake_is_called_by_its_name(task, mistake, refuses):
    for seed in SEEDS:
        refuses(task, mistake.wrong, mistake.name, seed)


@pytest.mark.parametrize("task", task_names())
def test_rounding_leaves_no_room_for_a_mistake(task):
    for seed in SEEDS:
        for prepared in engine.prepare(without_finale(task), seed):
            right = prepared.right
            of_all = max(map(largest, right.parts.values()))  # where one is 0, as a gradient may be
            for name, slack in right.slack.items():
                size = largest(right.parts[name]) or of_all
                assert slack <= max(LARGEST_SLACK * size, 1e-25), (seed, prepared.case.name, name, slack)


@pytest.mark.parametrize("task", task_names())
def test_there_are_enough_answers(task):
    mistakes = {mistake.name for mistake in find_task(task).misconceptions}
    caught = {case.catches for case in find_task(task).cases(np.random.default_rng(VISIBLE))}
    assert {name for name, _ in WRONG[task]} - {None} <= mistakes | caught
    assert len(mistakes) >= 6
    assert len(mistakes) + len(WRONG[task]) >= 10
    assert len(RIGHT[task]) >= 4


@pytest.mark.parametrize("task", task_names())
def test_each_case_is_there_for_a_wrong_answer_that_only_it_catches(task):
    """Without the case this answer would pass, or keep its name to itself, at some seed.

    `catches` is what it is called.
    """
    task, name = without_finale(task), task
    known = {mistake.name: [mistake.wrong] for mistake in task.misconceptions}
    known |= {way: [answer] for way, answer in spoiled(name).items()}
    for called, answer in WRONG[name]:
        known.setdefault(called, []).append(answer)
    idle = []
    for case in task.cases(np.random.default_rng(VISIBLE))[1:]:
        answers = known.get(case.catches, ())
        if not any(needs(task, answer, case.name, seed) for seed in SEEDS for answer in answers):
            idle.append(
                f"the case {case.name!r}, which catches {case.catches!r}"
                + " (no such answer)" * (not answers)
            )
    assert not idle, f"what is said of these answers is the same without the cases: {'; '.join(idle)}"


def needs(task, answer, name, seed):
    """Whether what is said of an answer is another without the case of this name."""
    return said(task, answer, engine.prepare(task, seed)) != said(task, answer, without(task, name, seed))


def without(task, name, seed):
    """What is tried where a task lacks a case: forms that were made of it are made of another one then."""
    prepared = engine.prepare(task, seed)
    sizes = {shapes_of(each.case.inputs) for each in prepared if each.case.name == name and not each.again}
    made_of_it = [
        each for each in prepared if each.case.name in FORMS and shapes_of(each.case.inputs) in sizes
    ]
    left = [each for each in prepared if each.case.name != name and each not in made_of_it]
    if made_of_it:
        cases = [case for case in task.cases(np.random.default_rng(seed)) if case.name != name]
        with clean_state():
            left += [engine.Prepared(task, form) for form in other_forms(cases)]
    return sorted(left, key=lambda each: each.again)


def said(task, answer, cases):
    """Whether an answer passes at these cases, and the name that it gets."""
    with clean_state():
        made = attempts(task, answer, [prepared.case for prepared in cases], task.seconds)
        trials = [engine._trial(task, *both, task.seconds) for both in zip(cases, made, strict=False)]
        result = engine._judged(task, trials, lambda trial: trial)
    return result.passed, result.misconception


# ----------------------------------------------------------------------------------------------- at any seed

# Whole models answer these, which is slow: a third of the seeds.
SLOW = {
    "06_residuals/logit_lens",
    "06_residuals/skip_layer",
    "06_residuals/identity_start",
    "06_residuals/depth_scaled_start",
    "08_rnn_comparison/recall_race",
}

# Four correct answers for each task, as different as they come and quick, run at all these seeds.
# Where none are named, these are the first four.
DIFFERENT = {
    "00_overview/top_k": (1, 2, 3, 4),
    "03_qkv/attention": (1, 2, 3, 4),
    "03_qkv/self_attention": (0, 2, 3, 4),
    "03_qkv/sees_later": (0, 2, 3, 4),
    "04_multi_head/linear_attention": (0, 1, 2, 4),
}
FIRST_FOUR = (0, 1, 2, 3)


def at_once(function, seconds):
    """As `call`, without a thread for each of 150,000 calls."""
    return Call(function())


@pytest.mark.parametrize("task", task_names())
def test_no_correct_answer_is_refused_at_any_seed(task, monkeypatch):
    monkeypatch.setattr("course_lib.checks.attempt.call", at_once)
    answers = [tasks.exercise(task).answer, *(RIGHT[task][i] for i in DIFFERENT.get(task, FIRST_FOUR))]
    for seed in SEEDS[: max(1, len(SEEDS) // 3) if task in SLOW else None]:
        # At the check that a learner sees the others were tried above.
        for answer in answers[:1] if seed == VISIBLE else answers:
            result = examine(without_finale(task), answer, seed=seed)
            if not result.passed:
                pytest.fail(
                    f"{place_of(task, answer, seed)} is right, but refused: {told(result)}", pytrace=False
                )
