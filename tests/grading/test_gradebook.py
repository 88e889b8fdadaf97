"""nbgrader's grade book after a submission was recorded: all or nothing, and nothing of a person's lost."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import course_folder
import pytest
from course_folder import outcome, submit
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from small import cell
from sqlalchemy import event

from course_lib.grading import assignments
from course_lib.grading.assignments import autograde
from course_lib.grading.batch import Work
from course_lib.grading.intake.submission import read_cells
from course_lib.grading.judging.judge import told
from course_lib.grading.reports import summary
from course_lib.grading.results import gradebook
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.graded import look_of, settings
from course_lib.grading.results.outcome import BY_HAND, GIVEN, Outcome, Status, TaskOutcome


@pytest.fixture
def course(tmp_path: Path) -> Path:
    return course_folder.course(tmp_path)


@pytest.fixture
def book(course: Path) -> Iterator[Book]:
    with Book(course, "03_qkv") as made:
        yield made


def entry(course: Path, student: str = "ada", notebook: str = "by_hand") -> dict[str, Any]:
    """What nbgrader itself reads about a student's notebook."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "small") as found:
        own = found.find_submission_notebook(notebook, "03_qkv", student)
        grades = {grade.name: (grade.auto_score, grade.manual_score) for grade in own.grades}
        waiting = {grade.name for grade in own.grades if grade.needs_manual_grade}
        comments = {comment.name: comment.comment for comment in own.comments}
        late = own.late_submission_penalty
        return {
            "score": own.score,
            "max": own.max_score,
            "grades": grades,
            "waiting": waiting,
            "comments": comments,
            "penalty": late,
            "when": own.assignment.timestamp,
        }


def test_nbgrader_reads_what_was_recorded(course: Path, book: Book) -> None:
    submit(course, "ada", when="2026-03-01 10:00:00.5 UTC")
    book.record([outcome()])
    found = entry(course)
    assert found["score"] == 2
    assert found["max"] == 6
    assert found["grades"] == {"test_softmax": (2, None), "test_mix": (0, None), "words": (None, None)}
    assert found["waiting"] == {"words"}
    assert found["when"] == datetime(2026, 3, 1, 10, 0, 0, 500_000)
    # The sentence stands under the answer that it is about, as text and not as Markdown.
    sentence = "    Expected <3>, got:\n      [4] *x*"
    assert found["comments"] == {"softmax": None, "mix": sentence, "words": None}


def test_the_comment_says_what_is_wrong_without_the_numbers(course: Path, book: Book) -> None:
    submit(course, "ada")
    wrong = TaskOutcome(
        "test_mix", "03_qkv/mix", 0.0, 1.0, "wrong", "k is wrong.\nAt 0: 1.\n\nInput: x\n\nGot: 2"
    )
    book.record([outcome(tasks=(wrong,))])
    assert entry(course)["comments"]["mix"] == "    k is wrong.\n    At 0: 1."


def test_notebook_that_was_not_handed_in_gets_nothing(course: Path) -> None:
    submit(course, "ada")
    autograde(course, "03_qkv", made_up)
    found = entry(course, notebook="more")
    assert found["grades"] == {"test_scores": (0, None)}
    assert found["waiting"] == set()


def test_notebook_that_waits_for_its_outcome_is_left_alone(course: Path, book: Book) -> None:
    path = submit(course, "ada")
    course_folder.write(path.with_name("more.ipynb"), [])
    book.record([outcome()])
    assert entry(course, notebook="more")["grades"] == {"test_scores": (None, None)}


def test_notebook_that_was_taken_back_gets_nothing(course: Path, book: Book) -> None:
    path = submit(course, "ada")
    course_folder.write(path.with_name("more.ipynb"), [])
    scored = (TaskOutcome("test_scores", "03_qkv/scores", 1.0, 1.0, "right", ""),)
    book.record([outcome(), outcome(notebook="more", tasks=scored)])
    assert entry(course, notebook="more")["score"] == 1
    path.with_name("more.ipynb").unlink()
    done = autograde(course, "03_qkv", made_up)
    assert entry(course, notebook="more")["score"] == 0
    assert [found.reason for found in done.outcomes] == ["", assignments.ABSENT]
    shown = course / "autograded" / "ada" / "03_qkv" / "more.ipynb"
    assert assignments.ABSENT in shown.read_text("utf-8")


def test_formgrader_knows_that_it_was_graded(course: Path, book: Book) -> None:
    submit(course, "ada", when="2026-03-01 10:00:00 UTC")
    submit(course, "bob")
    book.record([outcome()])
    formgrader = NbGraderAPI(config=settings(course))
    assert formgrader.get_autograded_students("03_qkv") == {"ada"}
    (found,) = [each for each in formgrader.get_submissions("03_qkv") if each["student"] == "ada"]
    assert (found["autograded"], found["score"], found["needs_manual_grade"]) == (True, 2, True)


def test_a_submission_is_one_commit(course: Path, book: Book) -> None:
    submit(course, "ada")
    commits: list[object] = []
    event.listen(book.gradebook.engine, "commit", commits.append)
    book.record([outcome()])
    assert len(commits) == 1


def test_nothing_is_recorded_where_it_stops_midway(
    course: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(course, "ada")
    submit(course, "bob")
    book.record([outcome("bob")])
    with monkeypatch.context() as broken:
        broken.setattr(gradebook, "note", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            book.record([outcome("ada")])
        with pytest.raises(ZeroDivisionError):
            book.record([outcome("bob", tasks=(), digest="second")])
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "small") as found:
        assert [student.id for student in found.students] == ["bob"]
    assert entry(course, "bob")["score"] == 2
    assert book.recorded() == {("bob", "by_hand"): "first"}
    book.record([outcome("ada")])
    assert entry(course)["score"] == 2


def by_hand(course: Path, score: float, comment: str) -> None:
    """What a person does in formgrader: a score and a comment."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "small") as found:
        grade = found.find_grade("words", "by_hand", "03_qkv", "ada")
        grade.manual_score, grade.needs_manual_grade = score, False
        found.find_comment("mix", "by_hand", "03_qkv", "ada").manual_comment = comment
        found.db.commit()


@pytest.mark.parametrize(("digest", "waiting"), [("first", set()), ("second", {"words"})])
def test_what_a_person_gave_stays(course: Path, book: Book, digest: str, waiting: set[str]) -> None:
    submit(course, "ada")
    book.record([outcome()])
    by_hand(course, 2.5, "Well tried.")
    book.record([outcome(digest=digest)])
    found = entry(course)
    assert found["grades"]["words"] == (None, 2.5)
    assert found["score"] == 4.5
    assert found["comments"]["mix"] == "Well tried."
    assert found["waiting"] == waiting  # only a changed answer has to be read again


def test_an_answer_that_a_person_has_graded_waits_no_more(course: Path, book: Book) -> None:
    submit(course, "ada")
    book.record([outcome()])
    by_hand(course, 2.5, "Well tried.")
    (found,) = book.outcomes()
    assert [(task.status, task.points) for task in found.tasks][-1] == (GIVEN, 2.5)
    assert "1 graded by hand" in summary([found])
    assert "wait for a person" not in summary([found])
    assert look_of(found.tasks[-1]) == ("✎", "info")
    book.record([outcome(digest="second")])
    (found,) = book.outcomes()
    assert [(task.status, task.points) for task in found.tasks][-1] == (BY_HAND, 0)


def test_late_penalty_is_nbgraders(course: Path) -> None:
    with open(course / "nbgrader_config.py", "a", encoding="utf-8") as file:
        file.write("c.LateSubmissionPlugin.penalty_method = 'zero'\n")
    submit(course, "ada", when="2026-03-01 10:00:01 UTC")
    submit(course, "bob", when="2026-03-01 09:59:59 UTC")
    with Book(course, "03_qkv") as book:
        with Gradebook(book.folders.db_url, "small") as found:
            found.update_or_create_assignment("03_qkv").duedate = datetime(2026, 3, 1, 10)
            found.db.commit()
        book.record([outcome("ada")])
        book.record([outcome("bob")])
    assert entry(course, "ada")["penalty"] == 2
    assert entry(course, "bob")["penalty"] is None


@pytest.mark.parametrize("text", ["", "yesterday evening", "9" * 50, "12h" + "7" * 50, "link", "pipe"])
def test_a_time_that_is_none_costs_nothing_and_is_said(course: Path, book: Book, text: str) -> None:
    path = submit(course, "ada", when=text).with_name("timestamp.txt")
    if text == "link":
        path.unlink()
        path.symlink_to(course / "nbgrader_config.py")
    if text == "pipe":
        path.unlink()
        os.mkfifo(path)
    path.touch()
    book.record([outcome()])
    found = entry(course)
    assert found["when"] is None
    assert found["score"] == 2
    assert book.outcomes()[0].reports == ("timestamp.txt says no time: it counts as never late",)


def test_the_secret_of_the_exchange_goes_along_for_the_release_of_feedback(course: Path, book: Book) -> None:
    for student in ("ada", "bob", "eve"):
        secret = submit(course, student).with_name("submission_secret.txt")
        if student == "ada":
            secret.write_text("0123abc", encoding="utf-8")
        if student == "eve":
            secret.symlink_to(course / "gradebook.db")
        book.record([outcome(student)])
    found = {path.parts[-3]: path.read_text("utf-8") for path in course.glob("autograded/*/*/*secret.txt")}
    assert found == {"ada": "0123abc"}


def test_outcomes_come_back_without_what_cells_printed(course: Path, book: Book) -> None:
    late = outcome("bob", status=Status.TIMED_OUT, reason="timed out in task mix")
    book.record([late])
    book.record([outcome("ada")])
    assert book.outcomes() == [outcome("ada", cells=()), outcome("bob", **changed(late))]
    assert book.recorded() == {("ada", "by_hand"): "first", ("bob", "by_hand"): "first"}


def changed(late: Outcome) -> dict[str, Any]:
    return {"status": late.status, "reason": late.reason, "cells": ()}


def test_status_stands_beside_nbgraders_tables(course: Path, book: Book) -> None:
    (course / "submitted" / "eve" / "03_qkv").mkdir(parents=True)
    (course / "submitted" / "eve" / "03_qkv" / "by_hand.ipynb").write_text("{")
    book.record([course_folder.unreadable("eve")])
    with sqlite3.connect(course / "gradebook.db") as database:
        rows = list(database.execute("SELECT student, status, reason FROM course_outcome"))
    database.close()
    assert rows == [("eve", "unreadable", "the file is no JSON")]
    assert entry(course, "eve")["score"] == 0
    text = (course / "autograded" / "eve" / "03_qkv" / "by_hand.ipynb").read_text()
    assert "the file is no JSON" in text


def test_a_changed_source_is_taken_until_there_are_grades(course: Path, book: Book) -> None:
    path = course / "solutions" / "03_qkv" / "by_hand.ipynb"
    course_folder.write(path, course_folder.source()[:4])
    with Book(course, "03_qkv") as again:
        again.record([outcome(tasks=outcome().tasks[:1])])
        assert entry(course)["max"] == 2
    course_folder.write(path, course_folder.source())
    with pytest.raises(ValueError, match="has grades for 03_qkv/by_hand with other cells") as refused:
        Book(course, "03_qkv")
    assert "(new: mix, words)" in str(refused.value)
    assert "points given by hand are in the old one alone" in str(refused.value)
    course_folder.write(path, course_folder.source()[:4])
    course_folder.write(path.with_name("third.ipynb"), course_folder.source()[:4])
    with pytest.raises(ValueError, match="has grades for 03_qkv without third"):
        Book(course, "03_qkv")


def test_other_points_in_the_source_count(course: Path, book: Book) -> None:
    cells = course_folder.source()
    cells[3]["metadata"]["nbgrader"]["points"] = 8
    course_folder.write(course / "solutions" / "03_qkv" / "by_hand.ipynb", cells)
    with Book(course, "03_qkv") as again:
        again.record([outcome()])
    assert entry(course)["max"] == 12


def changed_source(course: Path) -> None:
    """Give softmax 8 points and other tests, the words 2 points, and mix a second test."""
    cells = course_folder.source()
    cells[3]["metadata"]["nbgrader"]["points"] = 8
    cells[5]["source"] = cells[5]["source"].replace("57", "58")
    cells[6]["metadata"]["nbgrader"]["points"] = 2
    marks = {"grade_id": "test_mix_2", "grade": True, "locked": True, "points": 1}
    cells.insert(6, cell("mix-test-2", 'check("03_qkv/mix", mix, seed=3)', **marks))
    course_folder.write(course / "solutions" / "03_qkv" / "by_hand.ipynb", cells)


def made_up(works: Iterable[Work]) -> Iterator[tuple[Work, Outcome]]:
    """Outcomes by the source as it is, without grading: softmax is right."""
    for work in works:
        if work.source.stem == "by_hand":
            cells = [found for found in read_cells(work.source.read_bytes()) if found.grade]
            others = "right" if work.path == work.source else "wrong"
            tasks = tuple(told(found, BY_HAND if found.by_hand else others) for found in cells)
            right = replace(tasks[0], status="right", points=tasks[0].max_points)
            digest = assignments.digest(work)
            yield work, outcome(work.student, tasks=(right, *tasks[1:]), digest=digest, cells=())


def test_changed_points_and_added_tests_are_told_and_what_a_person_gave_stays(course: Path) -> None:
    for student in ("ada", "bob"):
        submit(course, student)
    assert autograde(course, "03_qkv", made_up).notes == ()
    by_hand(course, 2.5, "Well tried.")
    assert autograde(course, "03_qkv", made_up).notes == ()
    changed_source(course)
    done = autograde(course, "03_qkv", made_up)
    waits = (
        "Points given by hand stay, and wait for another look, since answer or test has changed: "
        "ada (by_hand/words).",
        "Points given by hand are more than the cell has now: ada (by_hand/words).",
    )
    assert done.notes == (
        "The source has changed: by_hand/test_softmax has a maximum of 8, before 2; "
        "by_hand/test_mix reads differently; by_hand/words has a maximum of 2, before 3; "
        "by_hand/test_mix_2 is new, with a maximum of 1. Graded anew: all.",
        *waits,
    )
    for student, by_a_person in (("ada", 2.5), ("bob", None)):
        found = entry(course, student)
        assert found["max"] == 12
        grades = {"test_softmax": (8, None), "test_mix": (0, None), "test_mix_2": (0, None)}
        assert found["grades"] == {**grades, "words": (None, by_a_person)}
        assert found["waiting"] == {"words"}
    assert entry(course)["score"] == 10.5
    assert autograde(course, "03_qkv", made_up).notes == waits  # until a person has looked


def test_a_changed_source_says_who_is_graded_anew(course: Path) -> None:
    for student in ("ada", "bob"):
        submit(course, student)
    autograde(course, "03_qkv", made_up)
    changed_source(course)
    (note,) = autograde(course, "03_qkv", made_up, students=["ada"]).notes
    assert note.endswith("Graded anew: only ada; the others at the next run without --student.")
    assert entry(course, "bob")["grades"]["test_mix_2"] == (None, None)
    assert autograde(course, "03_qkv", made_up).n_new == 3  # bob's, and the second notebooks that lack
    assert entry(course, "bob")["grades"]["test_mix_2"] == (0, None)


def test_outcomes_that_do_not_belong_together_are_refused(book: Book) -> None:
    with pytest.raises(ValueError, match="of one student; got ada's 03_qkv, bob's 03_qkv"):
        book.record([outcome("ada"), outcome("bob")])
    with pytest.raises(ValueError, match="of one student; got ada's 04_multi_head"):
        book.record([outcome(assignment="04_multi_head")])
    with pytest.raises(ValueError, match="got none"):
        book.record([])
    with pytest.raises(ValueError, match="no notebook 'other'"):
        book.record([outcome(notebook="other")])
    with pytest.raises(ValueError, match="more has no test cell test_mix, test_softmax, words"):
        book.record([outcome(notebook="more")])
    assert book.outcomes() == []


def test_a_source_without_notebooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the source of 03_qkv should have notebooks"):
        Book(tmp_path, "03_qkv")


def test_two_runs_make_a_new_grade_book_one_after_the_other(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[str] = []
    most: list[int] = []

    def opened(db_url: str, course_id: str) -> Gradebook:
        inside.append(db_url)
        time.sleep(0.1)
        most.append(len(inside))
        inside.pop()
        raise ValueError("enough")

    def run() -> None:
        with pytest.raises(ValueError, match="enough"):
            Book(course, "03_qkv")

    monkeypatch.setattr(gradebook, "open_gradebook", opened)
    runs = [threading.Thread(target=run) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert most == [1, 1]


def test_nbgrader_can_upgrade_a_grade_book_that_we_made(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (course / "gradebook.db").unlink()
    monkeypatch.setenv("PATH", "/usr/bin")  # nbgrader looks for a program of this environment by its name
    with Book(course, "03_qkv"):
        pass
    with sqlite3.connect(course / "gradebook.db") as database:
        versions = list(database.execute("SELECT version_num FROM alembic_version"))
    database.close()
    assert len(versions) == 1
    assert len(versions[0][0]) == 12
    assert os.environ["PATH"] == "/usr/bin"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of nbconvert's templates
def test_nbgraders_feedback_shows_no_hidden_test_and_runs_nothing(course: Path, book: Book) -> None:
    evil = "<script>alert(1)</script>"
    cells = course_folder.answers()
    cells.append(cell("own", f"{evil} [x](javascript:alert(2))", "markdown"))
    submit(course, "ada", cells, when="2026-03-01 10:00:00 UTC")
    tasks = list(outcome().tasks)
    tasks[1] = type(tasks[1])("test_mix", "", 0.0, 1.0, "wrong", f"Expected 3, got {evil}")
    picture = {"output_type": "display_data", "metadata": {}, "data": {"text/html": evil}}
    shown = type(outcome().cells[0])("setup", (picture,))
    book.record([outcome(tasks=tuple(tasks), cells=(shown,), reports=(evil,))])
    result = NbGraderAPI(config=settings(course)).generate_feedback("03_qkv", "ada")
    assert result["success"], result["log"]
    page = (course / "feedback" / "ada" / "03_qkv" / "by_hand.html").read_text(encoding="utf-8")
    assert "by_hand (Score: 2.0 / 6.0)" in page
    assert "Expected 3, got &lt;script&gt;" in page
    assert evil not in page
    assert 'href="javascript:' not in page
    assert "seed" not in page
