"""The cases of tasks, for the tests of their references, and the seeds at which learners meet them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.checks import find_task
from course_lib.checks.kinds import Case, Result, Task

VISIBLE = 0  # the check that a learner sees
HIDDEN = (31, 57)  # the hidden tests


def without_finale(name: str) -> Task:
    """A task without the real model at its end. Equal tasks share what the engine has prepared for them."""
    return replace(find_task(name), finale=None)


def cases_of(concept: str, n_seeds: int = 5) -> Callable[..., Iterator[Case]]:
    """From the name of a concept's task to its cases, at so many seeds if nothing else is said."""

    def cases(task: str, n_seeds: int = n_seeds) -> Iterator[Case]:
        for seed in range(n_seeds):
            yield from find_task(f"{concept}/{task}").cases(np.random.default_rng(seed))

    return cases


def place_of(task: str, answer: Any, seed: int) -> str:
    """Where an answer stands, as far as it says so, and with which inputs it was tried."""
    code = getattr(answer, "__code__", None)
    where = f"{Path(code.co_filename).name}, line {code.co_firstlineno}" if code else repr(answer)
    return f"The answer to {task} in {where}, at seed {seed},"


def told(result: Result) -> str:
    """What a check found, in short."""
    named = f"({result.misconception}) " if result.misconception else ""
    case = f" [{result.case.name}]" if result.case else ""
    return f"{named}{result.problem} {result.detail}{case}"
