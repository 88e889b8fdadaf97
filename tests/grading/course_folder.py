"""A small nbgrader course folder, and outcomes made up for it: what tests of grade book and reports share.

The assignment 03_qkv has two notebooks: by_hand with two tested functions and an answer in words, more with
one tested function.
"""

import base64
import dataclasses
import functools
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from small import cell, with_hidden, write

from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.outcome import BY_HAND, CellOutput, Outcome, Status, TaskOutcome


def picture(size: tuple[int, int], kind: str = "PNG") -> str:
    """A red picture, in base64."""
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


CONFIG = """c = get_config()
c.CourseDirectory.course_id = "small"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.HTMLExporter.sanitize_html = True
"""
RIGHT = "return 1"
PNG = picture((3, 2))
POINTS = {"test_softmax": 2.0, "test_mix": 1.0, "words": 3.0, "test_scores": 1.0}


def task(name: str, answer: str) -> list[dict[str, Any]]:
    """The cells of a tested function in the source: answer and test."""
    solution = f"def {name}(x):\n    ### BEGIN SOLUTION\n    {answer}\n    ### END SOLUTION"
    hidden = f'for seed in (31, 57):\n    check("03_qkv/{name}", {name}, seed=seed)'
    test = with_hidden(f'check("03_qkv/{name}", {name})', hidden)
    points = POINTS[f"test_{name}"]
    marks = {"grade": True, "locked": True, "points": points}
    return [
        cell(f"{name}-answer", solution, grade_id=name, solution=True),
        cell(f"{name}-test", test, grade_id=f"test_{name}", **marks),
    ]


def source() -> list[dict[str, Any]]:
    """The cells of by_hand, as a teacher wrote them."""
    words = "### BEGIN MARK SCHEME\nBecause.\n### END MARK SCHEME"
    return [
        cell("title", "# By hand", "markdown"),
        cell("setup", "import numpy as np"),
        *task("softmax", RIGHT),
        *task("mix", RIGHT),
        cell("why", words, "markdown", grade_id="words", solution=True, grade=True, points=POINTS["words"]),
    ]


def answers() -> list[dict[str, Any]]:
    """The cells of by_hand, as a learner might hand them in."""
    cells = source()
    for made in cells:
        if made["id"].endswith("-answer"):
            made["source"] = f"def {made['metadata']['nbgrader']['grade_id']}(x):\n    return x"
        if made["id"].endswith("-test"):
            made["source"] = made["source"].partition("\n")[0]
    cells[-1]["source"] = "Because of the sum."
    return cells


def course(folder: Path) -> Path:
    """Write a course folder with its source and a grade book that knows it."""
    _source(folder)
    (folder / "gradebook.db").write_bytes(empty_gradebook())
    return folder


@functools.cache
def empty_gradebook() -> bytes:
    """A new grade book, made once; nbgrader's call of another program for it would take seconds."""
    with tempfile.TemporaryDirectory() as name:
        Book(_source(Path(name)), "03_qkv").gradebook.close()
        return (Path(name) / "gradebook.db").read_bytes()


def _source(folder: Path) -> Path:
    """Write a course folder without a grade book."""
    write(folder / "solutions" / "03_qkv" / "by_hand.ipynb", source())
    write(folder / "solutions" / "03_qkv" / "more.ipynb", task("scores", RIGHT))
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    return folder


def submit(folder: Path, student: str, cells: list[dict[str, Any]] | None = None, when: str = "") -> Path:
    """Write the notebook by_hand of a student into submitted/."""
    path = folder / "submitted" / student / "03_qkv" / "by_hand.ipynb"
    write(path, answers() if cells is None else cells)
    if when:
        (path.parent / "timestamp.txt").write_text(when, encoding="utf-8")
    return path


def outcome(student: str = "ada", **changes: Any) -> Outcome:
    """An outcome of by_hand: softmax right, mix wrong, the words to be graded by hand."""
    tasks = (
        TaskOutcome("test_softmax", "03_qkv/softmax", 2.0, 2.0, "right", ""),
        TaskOutcome("test_mix", "03_qkv/mix", 0.0, 1.0, "wrong", "Expected <3>, got:\n  [4] *x*"),
        TaskOutcome("words", "", 0.0, 3.0, BY_HAND, ""),
    )
    printed = CellOutput("setup", ({"output_type": "stream", "name": "stdout", "text": "hello"},))
    made = Outcome(
        student=student,
        assignment="03_qkv",
        notebook="by_hand",
        status=Status.GRADED,
        reason="",
        tasks=tasks,
        reports=(),
        cells=(printed,),
        seconds=0.25,
        digest="first",
    )
    return dataclasses.replace(made, **changes)


def unreadable(student: str) -> Outcome:
    """The outcome of a file that is no notebook."""
    tasks = tuple(
        TaskOutcome(name, "", 0.0, POINTS[name], "not run", "")
        for name in ("test_softmax", "test_mix", "words")
    )
    return outcome(student, status=Status.UNREADABLE, reason="the file is no JSON", tasks=tasks, cells=())


def all_right(made: Outcome) -> Outcome:
    """An outcome as that of the source's own answers should be."""
    tasks = tuple(dataclasses.replace(task, status="right", points=task.max_points) for task in made.tasks)
    return dataclasses.replace(made, tasks=tasks)
