"""Answers by people who had not seen the checks: right ones are accepted, wrong ones refused."""

import pool_by_hand
import pool_in_torch
import pool_second
import pytest

from course_lib.checks import examine, find_task, task_names

POOL = [*pool_by_hand.POOL, *pool_in_torch.POOL, *pool_second.POOL]
# The real model is slow, and its answers are those of `attention`.
TASKS = [name for name in task_names() if any(f"03_qkv/{answer.task}" == name for answer in POOL)]
TASKS.remove("03_qkv/real_model")


def answers(name, verdict):
    """The answers to a task that are safe to run here."""
    short = name.split("/")[1]
    return [one for one in POOL if one.task == short and one.verdict == verdict and not one.harm]


@pytest.mark.parametrize("name", TASKS)
def test_right_answers_of_the_pool_are_accepted(name):
    results = {one.words: examine(find_task(name), one.given, seed=7) for one in answers(name, "right")}
    assert {words: result.problem for words, result in results.items() if not result.passed} == {}
    assert len(results) >= 6


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:divide by zero encountered", "ignore:nothing to attend to")
@pytest.mark.parametrize("name", TASKS)
def test_wrong_answers_of_the_pool_are_refused(name):
    results = {one.words: examine(find_task(name), one.given, seed=7) for one in answers(name, "wrong")}
    assert [words for words, result in results.items() if result.passed] == []
    assert all(result.problem for result in results.values())
    assert len(results) >= 12
