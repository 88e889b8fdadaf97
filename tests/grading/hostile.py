"""What a submission may look like: each kind with what it tries, how it is made, and the grade it must get.

A kind is made from the released notebook with our own answers filled in, and one thing changed. What it
steals it prints, because its printed output is the one way out that it has; what it manages and must not, it
prints after BREACH. A kind with `in_plain` is proved to be an attack: without a sandbox it succeeds.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from world import ASSIGNMENT, REPOSITORY, World

TASKS = {
    "attention_by_hand": ("project", "scores", "softmax", "mix", "masked_weights", "causal_mask"),
    "attention_in_torch": ("attention", "cross_attention", "self_attention", "sees_later", "real_model"),
}
NO_POINTS = (
    "wrong",
    "missing",
    "died",
    "timed out",
    "not run",
)  # where the reason is the attack's own business
VISIBLE_ONLY = "right on the visible seed only"
DONE = "it went to its end"  # printed after an attack: one that stopped early would prove nothing


@dataclass(frozen=True)
class Kind:
    """One kind of submission.

    Args:
        name: Of the student who hands it in.
        tries: What it tries, in words.
        make: Writes the submission into a folder.
        tasks: By name what must come of each; "right" where nothing is said. Several: any of them.
        status: What may come of the whole.
        notebook: The exercise it answers.
        reported: A word that the reports must hold.
        prints: What its cells must have printed.
        in_plain: Whether it is proved by running it without a sandbox.
    """

    name: str
    tries: str
    make: Callable[[World, Path], None]
    tasks: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    status: tuple[str, ...] = ("graded",)
    notebook: str = "attention_by_hand"
    reported: str = ""
    prints: str = ""
    in_plain: bool = False

    def allowed(self, task: str) -> tuple[str, ...]:
        """What may come of a task."""
        words = self.tasks.get(task, "right")
        return (words,) if isinstance(words, str) else words


KINDS: list[Kind] = []


# ----------------------------------------------------------------------------------------- submissions


class Submission:
    """A released notebook with our answers filled in, to be changed.

    Args:
        notebook: Name of the exercise.
        solved: Whether our answers are filled in.
    """

    def __init__(self, notebook: str = "attention_by_hand", solved: bool = True) -> None:
        released = REPOSITORY / "exercises" / ASSIGNMENT / f"{notebook}.ipynb"
        self.content: dict[str, Any] = json.loads(released.read_text())
        if solved:
            for task, text in OUR_ANSWERS[notebook].items():
                self.answer(task, text)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells, to be changed in place."""
        return self.content["cells"]

    @cells.setter
    def cells(self, cells: list[dict[str, Any]]) -> None:
        self.content["cells"] = cells

    def cell(self, cell_id: str) -> dict[str, Any]:
        """The cell "softmax-answer" or "softmax-test"."""
        return next(cell for cell in self.cells if cell["id"] == cell_id)

    def answer(self, task: str, text: str) -> None:
        """Put a text in the place of a task's answer."""
        self.cell(f"{task.replace('_', '-')}-answer")["source"] = text

    def answer_of(self, task: str) -> str:
        """What stands there."""
        return self.cell(f"{task.replace('_', '-')}-answer")["source"]

    def extra(self, code: str, cell_id: str = "attack", after: str = "setup") -> None:
        """Add a cell of one's own."""
        cell = {"cell_type": "code", "id": cell_id, "metadata": {}, "outputs": [], "execution_count": None}
        self.cells.insert(self.cells.index(self.cell(after)) + 1, {**cell, "source": code})

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(self.content))


def _our_answers(notebook: str) -> dict[str, str]:
    """Our answer to each task, without the marks around it."""
    source = json.loads((REPOSITORY / "solutions" / ASSIGNMENT / f"{notebook}.ipynb").read_text())
    found = {}
    for cell in source["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("solution"):
            lines = "".join(cell["source"]).splitlines()
            found[about["grade_id"]] = "\n".join(line for line in lines if "### " not in line)
    return found


OUR_ANSWERS = {notebook: _our_answers(notebook) for notebook in TASKS}
# The last task must not depend on the first one, which attacks answer.
OUR_ANSWERS["attention_in_torch"]["real_model"] = OUR_ANSWERS["attention_in_torch"]["attention"].replace(
    "def attention", "def my_attention"
)
ZEROS = (
    "def softmax(scores):\n    return np.zeros_like(scores)\n"  # a wrong answer, to be passed off as right
)


def inside(code: str, then: str = "") -> str:
    """Our softmax, with code that runs in each call before it, and on its result."""
    powers = "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))"
    result = f"result = powers / powers.sum(axis=-1, keepdims=True)\n{then}\nreturn result"
    lines = f"{code}\n{powers}\n{result}".splitlines()
    return "def softmax(scores):\n" + "\n".join(f"    {line}" for line in lines)


# ---------------------------------------------------------------------------------- how kinds are told

PRELUDE = """\
import builtins, contextlib, ctypes, glob, json, os, pathlib, re, signal, socket, sys, threading, time

def trying(action):
    try:
        print("got:", action())
    except Exception as error:
        print("no:", type(error).__name__, error)

def breaching(what, action):
    try:
        action()
    except Exception as error:
        print("no:", type(error).__name__, error)
    else:
        print("\\nBREACH:", what)
"""

Words = str | tuple[str, ...]


def notebook(name: str, tries: str, *, on: str = "attention_by_hand", **expected: Any) -> Any:
    """A kind whose function changes a solved submission."""

    def add(change: Callable[[Submission, World], None]) -> None:
        def make(world: World, path: Path) -> None:
            submission = Submission(on)
            change(submission, world)
            submission.write(path)

        KINDS.append(Kind(name, tries, make, notebook=on, **expected))

    return add


def raw_file(name: str, tries: str, **expected: Any) -> Any:
    """A kind whose function writes the file itself."""

    def add(make: Callable[[World, Path], None]) -> None:
        KINDS.append(Kind(name, tries, make, **expected))

    return add


def in_a_cell(
    name: str, tries: str, code: str, *, ends: bool = True, on: str = "attention_by_hand", **expected: Any
) -> None:
    """A kind whose attack stands in a cell of its own; all answers are right."""

    def change(submission: Submission, world: World) -> None:
        end = f"\nprint({DONE!r})" if ends else ""
        submission.extra(PRELUDE + world.fill_in(code) + end)

    expected = {"prints": DONE if ends else "", **expected}
    notebook(name, tries, on=on, **expected)(change)


def as_answer(
    name: str,
    tries: str,
    code: str,
    words: Words,
    task: str = "softmax",
    on: str = "attention_by_hand",
    others: Mapping[str, Words] | None = None,
    **expected: Any,
) -> None:
    """A kind whose attack stands in the answer to one task; `others` are tasks that suffer from it."""

    def change(submission: Submission, world: World) -> None:
        submission.answer(task, world.fill_in(code))

    notebook(name, tries, on=on, tasks={task: words, **(others or {})}, **expected)(change)


def unreadable(name: str, tries: str, text: str | bytes) -> None:
    """A kind whose file is no notebook."""

    def make(world: World, path: Path) -> None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    raw_file(name, tries, status=("unreadable",), tasks=dict.fromkeys(TASKS["attention_by_hand"], "not run"))(
        make
    )


def by_name(name: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in KINDS if kind.name == name)
