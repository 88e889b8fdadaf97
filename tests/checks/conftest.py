"""Judge answers to the exercises, and record what was judged: the end of the run says how many."""

import pytest
from task_cases import HIDDEN, VISIBLE, place_of, told, without_finale

from course_lib.checks import examine, find_task


@pytest.fixture(autouse=True)
def as_a_learner_runs_it(own_errors):
    """Without the type checker, which would look at each of a million calls within the engine."""


@pytest.fixture
def accepts(record_property):
    """Assert that a correct answer is accepted, whatever the inputs, and where it is asked for to the end."""

    def judge(task, answer, finale=False):
        tried = [(without_finale(task), VISIBLE), (without_finale(task), HIDDEN[0])]
        if finale and find_task(task).finale:
            tried.append((find_task(task), VISIBLE))
        for whole, seed in tried:
            result = examine(whole, answer, seed=seed)
            if not result.passed:
                pytest.fail(
                    f"{place_of(task, answer, seed)} is right, but refused: {told(result)}", pytrace=False
                )
        record_property("task", task)
        record_property("answer", "right")

    return judge


@pytest.fixture
def refuses(record_property):
    """Assert that a wrong answer is refused by its name (None: it has none), and that something is said."""

    def judge(task, answer, name, seed=VISIBLE, how=""):
        result = examine(without_finale(task), answer, seed=seed)
        if result.passed and find_task(task).finale:  # some mistakes show in the real model alone
            result = examine(find_task(task), answer, seed=seed)
        place = place_of(task, answer, seed)
        if result.passed:
            pytest.fail(f"{place} is wrong ({how or name}), but accepted", pytrace=False)
        if result.misconception != (name or ""):
            expected = f"is not called {name!r}" if name else "should have no name"
            pytest.fail(f"{place} {expected}: {told(result)}", pytrace=False)
        record_property("task", task)
        record_property("answer", "named" if name else "refused")

    return judge
