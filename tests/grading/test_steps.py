"""Our sandbox as steps of `nbgrader autograde`: the same scores, one grader for all, no batch that stops."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import course_folder
import pytest
from course_folder import outcome, submit
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from small import cell

from course_lib.grading import steps
from course_lib.grading.gradebook import Book, outcomes_of
from course_lib.grading.graded import settings
from course_lib.grading.outcome import BY_HAND, Outcome, Status, TaskOutcome

# nbgrader adds a submission to its database piece by piece, and is warned of it.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type <Submitted:sqlalchemy.exc.SAWarning")

TASKS = (
    TaskOutcome("test_softmax", "03_qkv/softmax", 1.5, 2.0, "wrong", "Half of it: 1.0"),
    TaskOutcome("test_mix", "03_qkv/mix", 1.0, 1.0, "right", "3.0"),
    TaskOutcome("words", "", 0.0, 3.0, BY_HAND, ""),
)


class MadeUpGrader:
    """Stands for the grader: says what it was asked, gives made-up outcomes."""

    made: ClassVar[list[Path]] = []
    asked: ClassVar[list[tuple[str, Path]]] = []
    closed: ClassVar[list[Path]] = []

    def __init__(self, source: Path) -> None:
        self.source = source
        self.made.append(source)

    def __enter__(self) -> "MadeUpGrader":
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.append(self.source)

    def grade(self, student: str, path: Path) -> Outcome:
        self.asked.append((student, path))
        if student == "eve":
            return outcome("eve", status=Status.TIMED_OUT, reason="timed out in task mix", tasks=TASKS)
        return outcome(student, tasks=TASKS)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A course folder whose autograding goes through our steps, with a made-up grader."""
    folder = course_folder.course(tmp_path)
    with open(folder / "nbgrader_config.py", "a", encoding="utf-8") as file:
        file.write(steps.CONFIG)
    judge = ModuleType("course_lib.grading.judge")
    judge.Grader = MadeUpGrader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "course_lib.grading.judge", judge)
    for name in ("made", "asked", "closed"):
        monkeypatch.setattr(MadeUpGrader, name, [])
    yield folder
    steps._kept.close()
    steps.grader.cache_clear()


def autograde(course: Path, *students: str) -> list[dict[str, Any]]:
    api = NbGraderAPI(config=settings(course))
    return [api.autograde("03_qkv", student) for student in students]


def scores(course: Path, student: str) -> dict[str, float]:
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "small") as found:
        own = found.find_submission_notebook("by_hand", "03_qkv", student)
        return {grade.name: grade.auto_score for grade in own.grades}


def test_nbgrader_takes_the_scores_of_the_sandbox(course: Path) -> None:
    paths = [submit(course, student, when="2026-03-01 10:00:00 UTC") for student in ("ada", "eve")]
    results = autograde(course, "ada", "eve")
    assert [result["success"] for result in results] == [True, True], results
    assert scores(course, "ada") == {"test_softmax": 1.5, "test_mix": 1.0, "words": None}
    assert [(student, path.resolve()) for student, path in MadeUpGrader.asked] == [
        ("ada", paths[0].resolve()),
        ("eve", paths[1].resolve()),
    ]
    assert len(MadeUpGrader.made) == 1  # kept from one submission to the next
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "small") as found:
        assert [(o.student, o.status, o.reason) for o in outcomes_of(found, "03_qkv")] == [
            ("ada", "graded", ""),
            ("eve", "timed out", "timed out in task mix"),
        ]
    text = (course / "autograded" / "eve" / "03_qkv" / "by_hand.ipynb").read_text(encoding="utf-8")
    assert "Half of it: 1.0" in text
    assert "timed out in task mix" in text
    assert "seed" not in text


def test_the_same_scores_as_our_own_grade_book(course: Path, tmp_path: Path) -> None:
    submit(course, "ada")
    submit(course, "bob")
    assert autograde(course, "ada")[0]["success"]
    with Book(course, "03_qkv") as book:
        book.record([outcome("bob", tasks=TASKS)])
    assert scores(course, "ada") == scores(course, "bob")


def hostile() -> dict[str, list[dict[str, Any]]]:
    """Cells at which nbgrader's own steps stop."""
    cells = course_folder.answers()
    marks = {"metadata": {"nbgrader": {"grade_id": "mix", "grade": True, "points": "many"}}}
    return {
        "twice": [*cells, {**cells[2], "id": "again"}],
        "no marks": [{**cells[2], **marks}],
        "nothing": [],
        "no unicode": [*cells, cell("own", "\ud800", "markdown")],
    }


@pytest.mark.parametrize("kind", list(hostile()))
def test_a_submission_that_stops_nbgrader_is_graded(course: Path, kind: str) -> None:
    submit(course, "ada", hostile()[kind])
    result = autograde(course, "ada")[0]
    assert result["success"], result["log"]
    assert scores(course, "ada")["test_softmax"] == 1.5


def test_graders_end_with_nbgrader(course: Path) -> None:
    submit(course, "ada")
    assert autograde(course, "ada")[0]["success"]
    steps._kept.close()  # as when the program ends
    assert MadeUpGrader.closed == MadeUpGrader.made
    assert len(MadeUpGrader.closed) == 1
