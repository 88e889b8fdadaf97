"""What a check is made of: tasks and their cases, known mistakes, and what was found."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib.checks.values import Parts


@dataclass(frozen=True)
class Case:
    """One set of inputs; `name` says what is special about it. Arguments are passed in order.

    `catches` names the wrong answer for which it is there: without this case that one would pass, or keep its
    name to itself.
    """

    name: str
    inputs: dict[str, Any]
    gradients: bool = False  # compare the gradients of all float inputs too
    catches: str = ""


@dataclass(frozen=True)
class Misconception:
    """A name, a hint, and what a learner with this misconception would hand in."""

    name: str
    hint: str
    wrong: Any


@dataclass(frozen=True)
class Property:
    """Something true of every right result: `broken(result, inputs)` says how it is not, or returns ''."""

    name: str
    broken: Callable[[np.ndarray, Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a learner reads about a task."""

    name: str
    title: str
    level: int  # 1 fill one line, 2 a few lines, 3 a function with traps, 4 build the layer
    minutes: int
    section: str  # of the concept's notebook
    call: str  # how the check calls it, for messages
    hints: tuple[str, ...]
    text: str = ""  # what is asked, in Markdown
    notebook: str = ""  # the exercise notebook
    forbidden: tuple[str, ...] = ()  # routines that would do the whole task, by their dotted names


@dataclass(frozen=True, kw_only=True)
class Task(Words):
    """An exercise. Inputs come from a generator: hidden tests use others than the visible."""

    reference: Callable[..., Any]
    cases: Callable[[np.random.Generator], list[Case]]
    properties: tuple[Property, ...] = ()
    results: tuple[str, ...] = ("result",)  # more than one name: the function returns that many arrays
    read: Callable[[Any], Parts] | None = None  # for answers that are no arrays, see `forms`
    tensor: bool = False  # the result must be a torch tensor, so that gradients can flow
    takes: str = "function"  # or "class"
    adapt: Callable[[Any], Callable[..., Any]] = field(default=lambda learner: learner)
    finale: Callable[[Any], Iterator[str]] | None = None  # runs when all cases passed; yields what to show
    seconds: float = 5.0  # for each call
    # A grader runs `adapt` where the learner's code is locked in, beside what it makes. Where `adapt` reports
    # facts that could be forged there, it stays outside, and plain values go in and come back.
    outside: bool = False
    # What `adapt` finds out there beside the results, in words, where it cannot stay outside. The chapter on
    # grading names these tasks.
    on_trust: str = ""
    other_forms: bool = False  # try a case in float64, and one that is stored column by column, too
    misconceptions: tuple[Misconception, ...] = ()
    answer: Any = None  # ours, as a learner would hand it in


@dataclass(frozen=True)
class Result:
    """What a check found. `problem` is empty when all is well."""

    task: Task
    problem: str = ""
    misconception: str = ""
    detail: str = ""
    case: Case | None = None
    expected: Parts | None = None
    got: Parts | None = None
    labels: tuple[str, str] = ("Expected", "Got")
    printed: str = ""
    n_cases: int = 0
    not_written: bool = False
    late: bool = False

    @property
    def passed(self) -> bool:
        return not self.problem


@dataclass(frozen=True)
class Wanted:
    """What a function gives for a case: its parts, and how far rounding may take each.

    Args:
        find_slack: finds the latter, which takes several calls of the function.
    """

    parts: Parts
    find_slack: Callable[[], dict[str, float]]

    @functools.cached_property
    def slack(self) -> dict[str, float]:
        """How far each part may be from the exact one."""
        return self.find_slack()
