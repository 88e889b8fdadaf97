"""What people see after grading: pages of `folder`, nbgrader's feedback, and its page to grade by hand."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import course_folder
import pytest
from course_folder import PNG
from nbconvert.exporters import HTMLExporter
from nbgrader.apps import NbGraderAPI
from nbgrader.server_extensions.formgrader import handlers

from course_lib.grading import assignments, reports
from course_lib.grading.assignments import autograde, digest, grade_folder
from course_lib.grading.batch import Work
from course_lib.grading.results.graded import release, settings
from course_lib.grading.results.outcome import Outcome, TaskOutcome
from course_lib.grading.results.rendering import Room

PASTED = {
    "source": "My drawing: ![image.png](attachment:image.png) ![lost](attachment:lost.png)",
    "attachments": {"image.png": {"image/png": PNG}},
}


def with_picture(name: str) -> list[dict[str, Any]]:
    """The cells of an answer with a pasted picture in one of them: the title, or what is graded by hand."""
    return [{**made, **PASTED} if made["id"] == name else made for made in course_folder.answers()]


def graded(works: Sequence[Work]) -> Iterator[tuple[Work, Outcome]]:
    """An outcome made up for each; all is right in the source itself."""
    for work in works:
        made = course_folder.outcome(work.student, notebook=work.source.stem, digest=digest(work))
        yield work, course_folder.all_right(made) if work.path == work.source else made


def assert_shows_the_picture(page: str) -> None:
    assert re.search(f'<img alt="image.png" src="data:image/png;base64,{re.escape(PNG)}"/?>', page)
    assert "[picture lost: it is not in the notebook, or neither PNG nor JPEG]" in page
    assert "attachment:" not in page


@pytest.mark.parametrize("name", ["title", "why"])
def test_a_pasted_picture_is_seen_in_nbgraders_feedback_and_where_one_grades_by_hand(
    tmp_path: Path, name: str
) -> None:
    course = course_folder.course(tmp_path)
    course_folder.submit(course, "ada", with_picture(name))
    done = autograde(course, "03_qkv", graded)
    assert [outcome.reports for outcome in done.outcomes if outcome.notebook == "by_hand"] == [()]
    assert NbGraderAPI(config=settings(course)).generate_feedback("03_qkv", "ada")["success"]
    page = (course / "feedback" / "ada" / "03_qkv" / "by_hand.html").read_text(encoding="utf-8")
    assert_shows_the_picture(page)
    config = settings(course)
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    about = {"base_url": "", "index": 0, "total": 1, "notebook_id": "by_hand", "assignment_id": "03_qkv"}
    page, _ = HTMLExporter(config=config).from_filename(
        str(course / "autograded" / "ada" / "03_qkv" / "by_hand.ipynb"), resources=about
    )
    assert_shows_the_picture(page)


@pytest.mark.parametrize("name", ["title", "why"])
def test_a_pasted_picture_is_seen_in_a_page_of_a_folder(tmp_path: Path, name: str) -> None:
    source = course_folder.course(tmp_path) / "solutions" / "03_qkv" / "by_hand.ipynb"
    course_folder.write(tmp_path / "handed_in" / "ada.ipynb", with_picture(name))
    grade_folder(source, tmp_path / "handed_in", tmp_path / "out", graded)
    assert_shows_the_picture((tmp_path / "out" / "feedback" / "ada+by_hand.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", ["graded", "page"])
def test_an_error_in_the_page_of_one_costs_that_one_alone_and_is_said_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    source = course_folder.course(tmp_path) / "solutions" / "03_qkv" / "by_hand.ipynb"
    for student in ("ada", "bob", "cyd"):
        answers = course_folder.answers()
        answers[-1]["source"] = f"I am {student}."
        course_folder.write(tmp_path / "handed_in" / f"{student}.ipynb", answers)

    def fails(text: str, whole: Any, *values: Any, **named: Any) -> Any:
        if "I am bob" in text:
            raise RuntimeError("a mistake of ours")
        return whole(*values, text, **named)

    render, clean = Room.render, reports.bleach.clean
    if part == "graded":
        monkeypatch.setattr(
            Room, "render", lambda room, kind, text, **more: fails(text, render, room, kind, **more)
        )
    else:
        monkeypatch.setattr(reports.bleach, "clean", lambda body, **more: fails(body, clean, **more))
    done = grade_folder(source, tmp_path / "handed_in", tmp_path / "out", graded)
    note = "what bob handed in cannot be shown; its points stand (RuntimeError: a mistake of ours)"
    assert [outcome.reports for outcome in done.outcomes] == [(), (note,), ()]
    assert {outcome.score for outcome in done.outcomes} == {2.0}
    pages = [path.read_text(encoding="utf-8") for path in sorted((tmp_path / "out" / "feedback").iterdir())]
    assert [("I am " in page, note in page) for page in pages] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert f"bob, by_hand: graded: {note}" in (tmp_path / "out" / "summary.txt").read_text(encoding="utf-8")


def test_what_the_pages_do_not_show_stands_in_the_grade_book(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    answers = course_folder.answers()
    answers[-1]["source"] = "<div>" * 60
    course_folder.submit(course, "ada", answers)
    done = autograde(course, "03_qkv", graded)
    (note,) = next(outcome.reports for outcome in done.outcomes if outcome.notebook == "by_hand")
    assert note.startswith("A text is shown as it was typed")
    assert note.endswith("it is nested too deeply")


def test_the_table_leads_to_the_tasks_by_their_titles_and_shows_what_is_wrong(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))
    made = course_folder.outcome()
    tasks = (*made.tasks, TaskOutcome("lost", "no/such_task", 0.0, 1.0, "not written", ""))
    page, _ = reports.feedback_page(released, [], dataclasses.replace(made, tasks=tasks))
    rows = re.findall(
        '<tr><td><a href="(.*?)">(.*?)</a></td><td>(.*?)</td><td class="(.*?)">(.*?)</td></tr>', page
    )
    assert rows == [
        ("#cell-id=softmax-answer", "Softmax", "2 of 2", "success", "✓ right"),
        ("#cell-id=mix-answer", "Mixing the values", "0 of 1", "danger", "✗ wrong"),
        ("#cell-id=why", "words", "0 of 3", "info", "✎ to be graded by hand"),
        ("#", "lost", "0 of 1", "warning", "○ not written"),
    ]
    for place, *_ in rows[:3]:
        assert page.count(f'id="{place[1:]}"') == 1
    assert page.index('class="alert alert-danger"><strong>✗ Wrong.</strong> 0 of 1') < page.index(
        "Expected &lt;3&gt;"
    )


def test_of_many_and_long_reports_people_read_the_first(tmp_path: Path) -> None:
    made = course_folder.outcome(reason="r" * 9_999, reports=tuple(f"report {i}" for i in range(999)))
    assert made.notes[:2] == ["r" * 500, "report 0"]
    assert made.notes[-2:] == ["report 18", "and 980 reports more"]
    assert len(reports.summary([made])) < 2_000


@pytest.mark.parametrize(
    "weighty",
    [
        "the cell 'a' names exec, which could mislead a check: look at it",
        "the answer 'a' passes, but names torch.softmax, which does the task: look at it",
        assignments.CHANGED,
    ],
)
def test_what_somebody_has_to_look_at_is_not_buried_under_other_reports(weighty: str) -> None:
    harmless = [f"the cell 'x: look at it {i}' ended its process: it was left out" for i in range(24)]
    made = course_folder.outcome(reason="timed out", reports=(*harmless, weighty))
    assert made.notes[:3] == ["timed out", weighty, harmless[0]]
    assert made.notes[-1] == "and 6 reports more"


def test_only_one_submission_is_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = course_folder.course(tmp_path) / "solutions" / "03_qkv" / "by_hand.ipynb"
    for student in ("ada", "bob"):
        course_folder.write(tmp_path / "handed_in" / f"{student}.ipynb", course_folder.answers())
    steps = Mock()
    monkeypatch.setattr("course_lib.grading.assignments.cells_of", lambda path: steps(path.stem) and [])
    monkeypatch.setattr(reports, "write", lambda path, page: steps(path.name))
    grade_folder(source, tmp_path / "handed_in", tmp_path / "out", graded)
    assert [call.args[0] for call in steps.call_args_list] == [
        "ada",
        "ada+by_hand.html",
        "bob",
        "bob+by_hand.html",
    ]
