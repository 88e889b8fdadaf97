"""Checks of the exercises: `check` a function, ask for a `hint`, look at the `solution`, see your `progress`.

    check("03_qkv/softmax", my_softmax)

A check shows that all is well and returns None, or shows what is wrong and raises `CheckFailed`: the input,
what was expected, what came, and the name of the mistake where it is a known one. Never its own stack.
`try_it` shows the same and never raises.
"""

import difflib
import html
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from course_lib.checks import last_words, records, tasks
from course_lib.checks.engine import examine
from course_lib.checks.kinds import Case, Misconception, Property, Result, Task
from course_lib.checks.records import progress
from course_lib.checks.show import (
    CheckFailed,
    NotWrittenYet,
    as_html,
    as_text,
    in_notebook,
    listener,
    show,
    with_code,
    without_marks,
)
from course_lib.checks.values import WrongForm

__all__ = [
    "Case",
    "CheckFailed",
    "Misconception",
    "NotWrittenYet",
    "Property",
    "Result",
    "Task",
    "WrongForm",
    "as_html",
    "as_text",
    "check",
    "examine",
    "find_task",
    "hint",
    "progress",
    "solution",
    "task_names",
    "try_it",
]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]  # the copy of the course that this library stands in


def check(task: str, learner: Any, *, seed: int = 0, seconds: float | None = None) -> None:
    """Try your function on many inputs; show what was found.

    Args:
        task: such as "03_qkv/softmax".
        learner: your function (or class, where the task says so), without parentheses behind it.
        seed: of the random inputs.
        seconds: time limit of each call, instead of the task's own.
    Raises:
        CheckFailed: something is wrong; the message says what.
        ValueError: there is no such task.
    """
    result = _examined(task, learner, seed, seconds)
    if result.passed:
        lines = [line for line in (result.detail, records.passed(task)) if line]
        result = replace(result, detail="\n".join(lines))
        show(as_text(result), as_html(result))
        return
    error = (NotWrittenYet if result.not_written else CheckFailed)(result)
    if in_notebook():
        show(as_text(result), as_html(result))
    raise error


def try_it(
    task: str | Task, learner: T, *, keep_faults: bool = False, seed: int = 0, seconds: float | None = None
) -> T:
    """As `check`, for a function in a notebook that is still to be mended: shows what is wrong, never raises.

    What passes here is not counted among the tasks that you have solved.

        layer_norm = try_it("06_residuals/layer_norm", layer_norm)

    Args:
        task: its name, or a task in another form than the exercise has.
        learner, seed, seconds: as in `check`.
        keep_faults: return your function in any case, to see what its mistake does to all that follows.
    Returns: what the notebook goes on with: your function if it is right, the course's own if it is not yet.
    Raises: ValueError: there is no such task.
    """
    result = _examined(task, learner, seed, seconds)
    show(as_text(result), as_html(result))
    if result.passed or keep_faults:
        return learner
    says = "Below, the course's own runs until yours is right; keep_faults=True lets yours run as it is."
    show(says, f"<p><small>{html.escape(says)}</small></p>")
    instead: T = result.task.answer
    return instead


def _examined(task: str | Task, learner: Any, seed: int, seconds: float | None) -> Result:
    found = task if isinstance(task, Task) else find_task(task)
    died = last_words.unfinished()
    if died:
        show(died, f"<p>{html.escape(died)}</p>")
    with last_words.noted(found.name):
        return examine(found, learner, seed=seed, seconds=seconds, hear=listener())


def hint(task: str, number: int = 1) -> None:
    """Show one hint; the higher the number, the more it gives away.

    Raises: ValueError: no such task, or no such hint.
    """
    found = find_task(task)
    if number not in range(1, len(found.hints) + 1):
        raise ValueError(f"{task} has hints 1 to {len(found.hints)}, then solution({task!r}); got {number!r}")
    more = (
        f"hint({task!r}, {number + 1}) says more."
        if number < len(found.hints)
        else f"Next: solution({task!r})."
    )
    text = found.hints[number - 1]
    show(
        f"{without_marks(text)}\n{more}", f"<p>{with_code(text)}</p><p><small>{html.escape(more)}</small></p>"
    )


def solution(task: str) -> None:
    """Show our solution, folded away. It is read from `solutions/`, which copies for a graded course lack."""
    find_task(task)
    code = solution_source(task)
    if code is None:
        sentence = f"This copy of the course has no solutions (there is no folder 'solutions' with {task})."
        show(sentence, f"<p>{html.escape(sentence)}</p>")
        return
    show(
        code,
        f"<details><summary>Solution of "
        f"{html.escape(task)}</summary><pre>{html.escape(code)}</pre></details>",
    )


def solution_source(task: str) -> str | None:
    """The code of a task's solution, or None in a copy without solutions."""
    concept, cell_id = task.split("/")
    for path in sorted((ROOT / "solutions" / concept).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            marks = cell["metadata"].get("nbgrader", {})
            if marks.get("solution") and marks.get("grade_id") == cell_id:
                lines = "".join(cell["source"]).split("\n")
                return "\n".join(line for line in lines if " SOLUTION" not in line)
    return None


def task_names() -> list[str]:
    """All tasks there are, in the order of the course."""
    return [name for concept in tasks.concepts() for name in tasks.words(concept)]


def find_task(name: str) -> Task:
    """The task of that name.

    Raises: ValueError: there is none; the message lists the nearest.
    """
    if not isinstance(name, str):
        raise ValueError(f"a task is named by a text such as '03_qkv/softmax'; got {name!r}")
    names = task_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names
        raise ValueError(f"there is no task {name!r}; did you mean {', '.join(near)}?")
    return tasks.task(name)
