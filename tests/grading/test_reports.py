"""Table, summary and pages: everybody is in them with a status, and nothing in them runs."""

import csv
import io
import re
from datetime import datetime
from pathlib import Path

import course_folder
import pytest
from course_folder import outcome
from nbgrader.api import Gradebook
from nbgrader.apps import ExportApp, NbGraderAPI
from small import cell

from course_lib.grading.reports import Export, as_csv, feedback_page, summary, write_pages
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.graded import cells_of, release, settings
from course_lib.grading.results.outcome import CellOutput, Outcome, Status, TaskOutcome

SCRIPT = "<script>alert(1)</script>"


def table(outcomes: list[Outcome]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(outcomes), newline="")))


def test_the_table_has_every_task_and_a_status() -> None:
    more = TaskOutcome("test_scores", "03_qkv/scores", 0.5, 1.0, "right", "")
    rows = table([course_folder.unreadable("eve"), outcome(), outcome(notebook="more", tasks=(more,))])
    assert [(row["student"], row["notebook"]) for row in rows] == [
        ("ada", "by_hand"),
        ("ada", "more"),
        ("eve", "by_hand"),
    ]
    ada, other, eve = rows
    assert (ada["status"], ada["score"], ada["max_score"]) == ("graded", "2", "6")
    assert (ada["test_mix"], ada["test_mix: status"]) == ("0", "wrong")
    assert (ada["words"], ada["words: status"]) == ("0", "to be graded by hand")
    assert (ada["test_scores"], other["test_scores"], other["test_mix"]) == ("", "0.5", "")
    assert (eve["status"], eve["reason"], eve["score"]) == ("unreadable", "the file is no JSON", "0")


@pytest.mark.parametrize("name", ["=1+1", "+49", "@SUM(A1)", "-2+3", "\t=1"])
def test_no_text_in_the_table_is_a_formula(name: str) -> None:
    row = table([outcome(name, reason=name)])[0]
    assert row["student"] == f"'{name}"
    assert row["reason"] == f"'{name}"


def test_a_name_with_commas_and_quotes_stays_one_field() -> None:
    assert table([outcome('a,"b"\nc')])[0]["student"] == 'a,"b"\nc'


def test_the_summary_counts_and_gives_reasons() -> None:
    late = outcome("bob", status=Status.TIMED_OUT, reason="timed out in task mix")
    twice = outcome("cleo", reports=("the cell 'mix' is there 2 times",))
    text = summary([late, course_folder.unreadable("eve\x1b[2J"), twice, outcome()])
    assert text.splitlines() == [
        "4 notebooks: 2 graded, 1 timed out, 1 unreadable, 0 not run",
        "  by_hand/test_softmax: 3 right, 1 not run",
        "  by_hand/test_mix: 3 wrong, 1 not run",
        "  by_hand/words: 3 to be graded by hand, 1 not run",
        "bob, by_hand: timed out: timed out in task mix",
        "cleo, by_hand: graded: the cell 'mix' is there 2 times",
        "eve [2J, by_hand: unreadable: the file is no JSON",
        "3 answers wait for a person",
    ]


def test_the_summary_of_nothing() -> None:
    assert summary([]) == "0 notebooks: 0 graded, 0 timed out, 0 unreadable, 0 not run\n"


def test_a_page_stands_alone_and_runs_nothing(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))
    text = f"See {SCRIPT} <details open ontoggle=alert(1)> [a](https://example.org) **b**"
    words = cell("own", text, "markdown")
    code = cell("own-code", f"print('{SCRIPT}')")
    path = course_folder.submit(course, "ada", [*course_folder.answers(), words, code])
    printed = (
        {"output_type": "stream", "name": "stdout", "text": f"\x1b[31m{SCRIPT}\x1b[0m"},
        {"output_type": "display_data", "data": {"text/html": f"<img src=x onerror=alert(1)>{SCRIPT}"}},
        {"output_type": "display_data", "data": {"image/png": course_folder.PNG}},
        {"output_type": "error", "ename": SCRIPT, "evalue": SCRIPT, "traceback": [SCRIPT]},
    )
    tasks = (TaskOutcome("test_mix", "", 0.5, 1.0, "wrong", f"Expected 3, got {SCRIPT}"),)
    result = outcome(SCRIPT, reason=SCRIPT, tasks=tasks, cells=(CellOutput("own-code", printed),))
    page, _ = feedback_page(released, cells_of(path), result)
    assert "0.5 of 1 points from the tests" in page
    assert "Expected 3, got &lt;script&gt;" in page
    assert '<a href="https://example.org">a</a> <strong>b</strong>' in page
    assert f'src="data:image/png;base64,{course_folder.PNG}"' in page
    assert "<h1>By hand</h1>" in page
    assert not re.search(r"<script|<[^>]*\son\w+=|javascript:|<link|<iframe|@import", page)
    assert "default-src 'none'" in page
    assert re.findall(r"\b(?:href|src)=\"(?!https://example.org|data:image|#cell-id)[^\"]*", page) == []
    assert "seed" not in page
    assert "BEGIN" not in page


def test_a_page_says_each_reason_once_and_first(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))
    late = outcome(status=Status.TIMED_OUT, reason="timed out in task mix", reports=("'mix' is there twice",))
    page, _ = feedback_page(released, [], late)
    assert "<strong>2 of 6 points</strong>, timed out.</p>" in page
    notes = "<ul><li>timed out in task mix</li>\n<li>&#x27;mix&#x27; is there twice</li></ul>"
    assert page.index(notes) < page.index("<table>")
    assert page.count("timed out in task mix") == 1
    assert "<ul>" not in feedback_page(released, [], outcome())[0]


def test_a_page_has_a_main_part_and_both_themes(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))
    page = feedback_page(released, [], outcome())[0]
    assert re.fullmatch(r"<main>.*</main>", page.split("<body>")[1].split("</body>")[0].strip(), re.DOTALL)
    assert "color-scheme: light dark" in page


def test_pages_of_a_folder(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = {"by_hand": release(course / "solutions" / "03_qkv" / "by_hand.ipynb")}
    submissions = [(outcome("ada"), []), (course_folder.unreadable("eve"), [])]
    told = write_pages(tmp_path / "pages", released, submissions)
    assert told == [outcome for outcome, _ in submissions]
    paths = sorted((tmp_path / "pages").iterdir())
    assert [path.name for path in paths] == ["ada+by_hand.html", "eve+by_hand.html"]
    assert "the file is no JSON" in paths[1].read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="names without a slash"):
        write_pages(tmp_path / "pages", released, [(outcome("../ada"), [])])


def test_no_page_takes_the_place_of_another(tmp_path: Path) -> None:
    released = dict.fromkeys(
        ("b", "a+b", "a%2Bb"), release(course_folder.course(tmp_path) / "solutions/03_qkv/by_hand.ipynb")
    )
    both = [outcome(student, notebook=name) for student in ("ada", "ada+a") for name in released]
    write_pages(tmp_path / "pages", released, [(made, []) for made in both])
    pages = sorted((tmp_path / "pages").iterdir())
    assert len(pages) == 6
    assert [path.name for path in pages if "%" not in path.name] == ["ada+a+b.html", "ada+b.html"]


def test_no_words_of_a_student_look_like_the_head_of_a_page(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    released = release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))
    head = feedback_page(released, [], outcome())[0].partition("<body>")[2].partition("</header>")[0]
    boast = head.replace("2 of 6", "6 of 6") + "</header>"
    words = [cell("own", boast, "markdown"), cell("own-too", f"<div class='alert'>{boast}</div>", "markdown")]
    path = course_folder.submit(course, "ada", [*words, *course_folder.answers()])
    page, _ = feedback_page(released, cells_of(path), outcome())
    ours, _, theirs = page.partition("</header>")
    assert ours.count("<header>") == 1
    assert "<strong>2 of 6 points</strong>" in ours
    assert "6 of 6" not in ours
    assert theirs.count("<strong>6 of 6 points</strong>") == 2
    assert "header>" not in theirs
    assert theirs.count('class="alert') == 2  # our verdicts
    assert "header { border:" in ours


def test_nbgraders_table_with_a_status(tmp_path: Path) -> None:
    course = course_folder.course(tmp_path)
    course_folder.submit(course, "ada", when="2026-03-01 10:00:00 UTC")
    with Book(course, "03_qkv") as book:
        book.record([outcome("ada")])
        book.record([course_folder.unreadable("eve")])
        url = book.folders.db_url
    with Gradebook(url, "small") as found:
        found.add_student("bob")
        Export(to=str(tmp_path / "grades.csv")).export(found)
        Export(to=str(tmp_path / "one.csv"), student=["eve"], assignment=["03_qkv"]).export(found)
        Export(to=str(tmp_path / "none.csv"), assignment=["04_multi_head"]).export(found)
    with open(tmp_path / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {name: (row["score"], row["status"], row["reason"]) for name, row in rows.items()} == {
        "ada": ("2.0", "graded", "by_hand: 1 to be graded by hand"),
        "bob": ("0.0", "not run", "no submission was graded"),
        "eve": ("0.0", "unreadable", "by_hand: the file is no JSON"),
    }
    assert rows["ada"]["max_score"] == "7.0"
    assert rows["ada"]["timestamp"] == str(datetime(2026, 3, 1, 10))
    assert (tmp_path / "one.csv").read_text().count("\n") == 2
    assert (tmp_path / "none.csv").read_text().count("\n") == 1


def test_nbgraders_table_can_be_asked_for_by_name(tmp_path: Path) -> None:
    config = settings(course_folder.course(tmp_path))
    config.ExportApp.plugin_class = "course_lib.grading.reports.Export"
    app = ExportApp(config=config)
    assert app.plugin_class is Export
    assert NbGraderAPI(config=config).course_id == "small"
