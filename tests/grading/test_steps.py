"""Our sandbox as steps of `nbgrader autograde`: the same scores, one grader for all, no batch that stops."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import course_folder
import pytest
import small
from course_folder import outcome, submit
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from small import cell

from course_lib.grading import steps
from course_lib.grading.results.gradebook import Book, outcomes_of
from course_lib.grading.results.graded import settings
from course_lib.grading.results.outcome import BY_HAND, Outcome, Status, TaskOutcome
from course_lib.grading.walls.sandbox import NoIsolation

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
        if path == self.source:
            return course_folder.all_right(outcome(student))
        self.asked.append((student, path))
        if student == "eve":
            return outcome("eve", status=Status.TIMED_OUT, reason="timed out in task mix", tasks=TASKS)
        return outcome(student, tasks=TASKS)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A course folder whose autograding goes through our steps, with a made-up grader."""
    folder = course_folder.course(tmp_path)
    shutil.copyfile(small.REPOSITORY / "nbgrader_config.py", folder / "nbgrader_config.py")
    judge = ModuleType("course_lib.grading.judging.judge")
    judge.Grader = MadeUpGrader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "course_lib.grading.judging.judge", judge)
    for name in ("made", "asked", "closed"):
        monkeypatch.setattr(MadeUpGrader, name, [])
    yield folder
    steps._kept.close()
    steps.grader.cache_clear()


def autograde(course: Path, *students: str) -> list[dict[str, Any]]:
    api = NbGraderAPI(config=settings(course))
    return [api.autograde("03_qkv", student) for student in students]


def scores(course: Path, student: str) -> dict[str, float]:
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as found:
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
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as found:
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


# ------------------------------------------------------------------------------- what nbgrader must not read


def more(course: Path, kind: str) -> None:
    """Make what Ada hands in as her second notebook, or her folder, something that nbgrader must not read."""
    path = submit(course, "ada").with_name("more.ipynb")
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link":
        path.symlink_to(course / "solutions" / "03_qkv" / "more.ipynb")
    elif kind == "no JSON":
        path.write_text("{")
    else:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(course / "solutions" / "03_qkv")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a pipe", "more.ipynb: more.ipynb is no plain file"),
        ("a link", "more.ipynb: more.ipynb cannot be read: it is a link"),
        ("no JSON", "more.ipynb: the file is no JSON"),
    ],
)
def test_a_notebook_that_nbgrader_must_not_read_is_left_out(
    course: Path, caplog, kind: str, why: str
) -> None:
    more(course, kind)
    (result,) = autograde(course, "ada")
    assert result["success"], result
    assert why in result["log"] + caplog.text
    assert [path.name for _, path in MadeUpGrader.asked] == ["by_hand.ipynb"]
    assert scores(course, "ada")["test_softmax"] == 1.5


def test_a_linked_folder_is_not_graded(course: Path, caplog) -> None:
    more(course, "a linked folder")
    (result,) = autograde(course, "ada")
    assert not result["success"]
    assert "by_hand.ipynb: its folder is a link" in result["log"] + caplog.text
    assert MadeUpGrader.asked == []
    assert not (course / "autograded" / "ada" / "03_qkv").exists()


def test_without_a_sandbox_nbgrader_grades_nothing(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise NoIsolation("this machine offers none")

    submit(course, "ada", when="2026-03-01 10:00:00 UTC")
    with monkeypatch.context() as without:
        without.setattr(steps, "choose", refused)
        (result,) = autograde(course, "ada")
    assert not result["success"]
    assert result["error"].endswith("SystemExit: Nothing was graded. this machine offers none\n")
    assert MadeUpGrader.asked == []
    assert not (course / "autograded").exists()
    assert autograde(course, "ada")[0]["success"]  # nothing is left that keeps it from being graded later


# ------------------------------------------------------------------------------------------- as it is shipped


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A course folder with the settings of this repository. Eve's answer writes where it must not."""
    shutil.copyfile(small.REPOSITORY / "nbgrader_config.py", tmp_path / "nbgrader_config.py")
    right = small.right("03_qkv/softmax")
    escape = f"open({str(tmp_path / 'written by eve')!r}, 'w').close()"
    answers = {"solutions/03_qkv": right, "submitted/ada/03_qkv": right, "submitted/eve/03_qkv": escape}
    for place, answer in answers.items():
        cells = [
            small.cell("setup", "import numpy as np"),
            small.answer("softmax", answer),
            small.locked("softmax", small.checked("03_qkv/softmax", "softmax"), 2.0),
        ]
        small.write(tmp_path / place / "first.ipynb", cells)
    Book(tmp_path, "03_qkv").gradebook.close()
    return tmp_path


def by_the_command(course: Path) -> None:
    command = [sys.executable, "-m", "nbgrader", "autograde", "03_qkv"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def by_the_button(course: Path) -> None:
    results = autograde(course, "ada", "eve")
    assert [result["success"] for result in results] == [True, True], results
    steps._kept.close()
    steps.grader.cache_clear()


def test_where_the_sources_own_answers_lose_points_nbgrader_grades_nothing(shipped, engine):
    source = shipped / "solutions" / "03_qkv" / "first.ipynb"
    source.write_text(source.read_text("utf-8").replace("def softmax", "def other"), "utf-8")
    with pytest.raises(SystemExit, match=r"^Nothing was graded\. The source's own answers .*'softmax'"):
        steps.grader(source)
    steps._kept.close()


@pytest.mark.parametrize("grade", [by_the_command, by_the_button])
def test_with_the_settings_of_this_repository_nbgrader_grades_in_the_sandbox(shipped, engine, grade):
    grade(shipped)
    with Gradebook(f"sqlite:///{shipped / 'gradebook.db'}") as found:
        points = {
            student: found.find_submission_notebook("first", "03_qkv", student).score
            for student in ("ada", "eve")
        }
        statuses = [(outcome.student, outcome.status.value) for outcome in outcomes_of(found, "03_qkv")]
    assert points == {"ada": 2.0, "eve": 0.0}
    assert statuses == [("ada", "graded"), ("eve", "graded")]
    assert not (shipped / "written by eve").exists()
