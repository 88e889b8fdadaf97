"""Every wrong answer is refused, a known mistake by its name; every correct one is accepted."""

import answers_by_hand
import answers_in_torch
import pytest

from course_lib.checks import find_task, task_names

RIGHT = answers_by_hand.RIGHT | answers_in_torch.RIGHT
WRONG = answers_by_hand.WRONG | answers_in_torch.WRONG


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task in RIGHT for answer in RIGHT[task]])
def test_a_correct_answer_is_accepted(task, answer, accepts):
    accepts(task, answer)


@pytest.mark.parametrize(
    ("task", "name", "answer"), [(task, name, answer) for task in WRONG for name, answer in WRONG[task]]
)
def test_a_wrong_answer_is_refused(task, name, answer, refuses):
    refuses(task, answer, name)


@pytest.mark.parametrize("task", task_names())
def test_there_are_enough_answers(task):
    named = {name for name, _ in WRONG[task]} - {None}
    assert len(WRONG[task]) >= 10
    assert named == {misconception.name for misconception in find_task(task).misconceptions}
    assert len(named) >= 6
    assert len(RIGHT[task]) >= 4
