"""A whole assignment: who submitted, what was graded before, what came out; and the commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from course_folder import CONFIG, empty_gradebook
from small import answer, cell, checked, locked, right, with_hidden, write

from course_lib.grading import assignments
from course_lib.grading.__main__ import main
from course_lib.grading.judging.judge import Grader
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.outcome import Outcome
from course_lib.grading.walls import engines
from course_lib.grading.walls.sandbox import NoIsolation

pytestmark = pytest.mark.usefixtures("own_errors")
SOFTMAX, MIX = "03_qkv/softmax", "03_qkv/mix"
WRONG = {SOFTMAX: "def softmax(x):\n    return x", MIX: "def mix(weights, v):\n    return v"}


def notebook(path, task, code=None):
    """A notebook of one task, with its solution or another answer."""
    name = task.split("/")[1]
    cells = [
        cell("setup", "import numpy as np"),
        answer(name, code or right(task)),
        locked(name, checked(task, name), 2.0),
    ]
    return write(path, cells)


@pytest.fixture
def course(tmp_path):
    """A course folder of nbgrader with an assignment of two notebooks, and three students."""
    (tmp_path / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    for name, task in {"first": SOFTMAX, "second": MIX}.items():
        notebook(tmp_path / "solutions" / "03_qkv" / f"{name}.ipynb", task)
        for student in ("ada", "bob", "cyd"):
            code = WRONG[task] if student == "bob" else None
            notebook(submitted(tmp_path, student, name), task, code)
    (tmp_path / "gradebook.db").write_bytes(empty_gradebook())
    return tmp_path


def submitted(course, student, name):
    return course / "submitted" / student / "03_qkv" / f"{name}.ipynb"


@pytest.fixture(scope="module")
def ready(engine, tmp_path_factory):
    """A grader whose process all the others use, because it takes a second to start."""
    with Grader(notebook(tmp_path_factory.mktemp("ready") / "ready.ipynb", SOFTMAX), engine=engine) as grader:
        yield grader


class Run:
    """Grades in this process, counts, and may be stopped."""

    def __init__(self, ready, stop_after=None):
        self.ready, self.stop_after = ready, stop_after
        self.graded: list[tuple[str, str]] = []

    def __call__(self, works):
        graders: dict[Path, Grader] = {}
        for work in works:
            grader = graders.setdefault(work.source, Grader(work.source, engine=self.ready.engine))
            grader.zygote, grader.tests = self.ready.alive(), self.ready.for_tests()
            if work.path != work.source:
                if len(self.graded) == self.stop_after:
                    raise KeyboardInterrupt
                self.graded.append((work.student, work.source.stem))
            yield work, grader.grade(work.student, work.path)


def scores(done):
    return {(one.student, one.notebook): (one.status.value, one.score) for one in done.outcomes}


ALL = {
    (student, name): ("graded", 0.0 if student == "bob" else 2.0)
    for student in ("ada", "bob", "cyd")
    for name in ("first", "second")
}


# ----------------------------------------------------------------------------------- nbgrader's course folder


def test_all_that_was_submitted_is_graded_into_the_grade_book_once(course, ready):
    run = Run(ready)
    done = assignments.autograde(course, "03_qkv", run)
    assert (scores(done), done.n_new) == (ALL, 6)
    with Book(course, "03_qkv") as kept:
        assert {one.student: one.score for one in kept.outcomes() if one.notebook == "first"} == {
            "ada": 2.0,
            "bob": 0.0,
            "cyd": 2.0,
        }
    again = assignments.autograde(course, "03_qkv", run)
    assert (scores(again), again.n_new, len(run.graded)) == (ALL, 0, 6)


@pytest.mark.parametrize("stopped_after", [0, 1, 3, 5])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same(course, ready, stopped_after):
    first = Run(ready, stopped_after)
    with pytest.raises(KeyboardInterrupt):
        assignments.autograde(course, "03_qkv", first)
    second = Run(ready)
    done = assignments.autograde(course, "03_qkv", second)
    assert scores(done) == ALL
    assert len(second.graded) == done.n_new == 6 - stopped_after // 2 * 2  # a student's go in together


def test_what_has_changed_is_graded_anew(course, ready):
    assignments.autograde(course, "03_qkv", Run(ready))
    notebook(submitted(course, "bob", "first"), SOFTMAX)
    run = Run(ready)
    done = assignments.autograde(course, "03_qkv", run)
    assert run.graded == [("bob", "first")]
    assert scores(done) == {**ALL, ("bob", "first"): ("graded", 2.0)}


def test_where_the_source_has_changed_all_are_graded_anew(course, ready):
    assignments.autograde(course, "03_qkv", Run(ready))
    source = course / "solutions" / "03_qkv" / "first.ipynb"
    source.write_text(source.read_text().replace("(31, 57)", "(31, 58)"))
    run = Run(ready)
    assignments.autograde(course, "03_qkv", run)
    assert sorted(run.graded) == [("ada", "first"), ("bob", "first"), ("cyd", "first")]


def test_a_notebook_that_was_not_submitted_has_an_outcome(course, ready):
    submitted(course, "ada", "second").unlink()
    done = assignments.autograde(course, "03_qkv", Run(ready))
    assert scores(done)["ada", "second"] == ("not run", 0.0)
    assert scores(done)["ada", "first"] == ("graded", 2.0)
    reason = next(one.reason for one in done.outcomes if (one.student, one.notebook) == ("ada", "second"))
    assert reason == assignments.ABSENT


def test_a_notebook_that_cannot_be_read_has_an_outcome(course, ready):
    path = submitted(course, "ada", "second")
    path.unlink()
    path.symlink_to(submitted(course, "cyd", "second"))
    done = assignments.autograde(course, "03_qkv", Run(ready))
    assert scores(done)["ada", "second"] == ("unreadable", 0.0)


@pytest.mark.parametrize(
    ("assignment", "students", "problem"),
    [
        ("03_qkv", ["ada", "zoe"], "submitted should have a folder 03_qkv of zoe; collect first"),
        ("04_none", [], "solutions/04_none has none, beside it are 03_qkv$"),
        ("03_qkv/", [], "a folder's name alone, such as 03_qkv; got 03_qkv/"),
    ],
)
def test_what_is_not_there_is_said(course, ready, assignment, students, problem):
    with pytest.raises(ValueError, match=problem):
        assignments.autograde(course, assignment, Run(ready), students=students)


# ----------------------------------------------------------------------------------- the source's own answers

BROKEN = {
    "an answer": ("def softmax(x):\n    return x", checked(SOFTMAX, "softmax"), "✗ "),
    "a test of its own": (
        right(SOFTMAX),
        "x = np.ones(3)\nassert softmax(x).sum() == 2",
        "A test of this cell fails.\nassert softmax(x).sum() == 2",
    ),
    "a hidden test": (
        right(SOFTMAX),
        with_hidden("softmax(np.ones(3))", "assert absent(3)"),
        "NameError: name 'absent' is not defined\nassert absent(3)",
    ),
    "a test that is no Python": (right(SOFTMAX), "assert (", "SyntaxError: '(' was never closed"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_where_the_sources_own_answers_lose_points_nothing_is_graded(folder, ready, kind):
    source, submissions, out = folder
    code, test, said = BROKEN[kind]
    write(source, [cell("setup", "import numpy as np"), answer("softmax", code), locked("own", test, 2.0)])
    run = Run(ready)
    with pytest.raises(ValueError, match=r"own answers should get all points") as refused:
        assignments.grade_folder(source, submissions, out, run)
    assert f"in {source} the cell 'test_own' gets 0 of 2. {said}" in str(refused.value)
    assert (run.graded, out.exists()) == ([], False)


def test_where_one_of_two_sources_loses_points_the_grade_book_stays_as_it_was(course, ready):
    notebook(course / "solutions" / "03_qkv" / "second.ipynb", MIX, WRONG[MIX])
    run = Run(ready)
    with pytest.raises(ValueError, match=r"second\.ipynb the cell 'test_mix' gets 0 of 2\. ✗ Mixing"):
        assignments.autograde(course, "03_qkv", run)
    assert run.graded == []
    with Book(course, "03_qkv") as kept:
        assert {one.status.value for one in kept.outcomes()} <= {"not run"}


def test_what_the_sources_own_answers_lose_is_said_by_the_command(folder, engine, capsys):
    source, submissions, out = folder
    notebook(source, SOFTMAX, WRONG[SOFTMAX])
    with pytest.raises(SystemExit, match=r"^Nothing was graded\. The source's own answers should get all"):
        main(["folder", str(source), str(submissions), str(out), "--workers", "1"])
    assert "Traceback" not in capsys.readouterr().err


def test_a_hidden_test_tells_its_words_to_the_teacher_alone(folder, engine):
    source, submissions, _ = folder
    test = with_hidden("softmax(np.ones(3))", "assert softmax(np.ones(3)).sum() > 5, 'secret'")
    cells = [cell("setup", "import numpy as np"), answer("softmax", right(SOFTMAX)), locked("own", test)]
    write(source, cells)
    write(submissions / "ada.ipynb", cells)
    with Grader(source, engine=engine) as grader:
        own, hers = grader.grade("the source", source), grader.grade("ada", submissions / "ada.ipynb")
    assert own.tasks[0].sentence.startswith("AssertionError: secret")
    assert hers.tasks[0].sentence == "A hidden test fails."


# -------------------------------------------------------------------------------------- a folder of notebooks


@pytest.fixture
def folder(tmp_path):
    """A source of one notebook, and three students' notebooks in a folder."""
    source = notebook(tmp_path / "03_qkv" / "first.ipynb", SOFTMAX)
    for student in ("ada", "bob", "cyd"):
        code = WRONG[SOFTMAX] if student == "bob" else None
        notebook(tmp_path / "in" / f"{student}.ipynb", SOFTMAX, code)
    (tmp_path / "in" / "notes.txt").write_text("no notebook")
    return source, tmp_path / "in", tmp_path / "out"


def test_a_folder_becomes_a_table_a_summary_and_pages(folder, ready):
    source, submissions, out = folder
    done = assignments.grade_folder(source, submissions, out, Run(ready))
    assert scores(done) == {key: value for key, value in ALL.items() if key[1] == "first"}
    assert (out / "grades.csv").read_text().count("\n") == 4
    assert "first/test_softmax: 2 right, 1 wrong" in (out / "summary.txt").read_text()
    assert len(list((out / "feedback").rglob("*.html"))) >= 3
    for path in (out / "feedback").rglob("*.html"):
        text = path.read_text()
        assert "HIDDEN TESTS" not in text
        assert "seed in (31" not in text


def test_a_page_shows_the_stub_that_learners_got(folder, ready, monkeypatch, tmp_path):
    source, submissions, out = folder
    (submissions / "ada.ipynb").write_text("{")
    (tmp_path / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assignments.grade_folder(source, submissions, out, Run(ready))
    page = (out / "feedback" / f"ada+{source.stem}.html").read_text(encoding="utf-8")
    assert "NotImplementedError" in page
    assert "YOUR CODE HERE" not in page  # nbgrader's own


@pytest.mark.parametrize("stopped_after", [0, 2])
def test_a_folder_that_was_stopped_goes_on(folder, ready, stopped_after):
    source, submissions, out = folder
    with pytest.raises(KeyboardInterrupt):
        assignments.grade_folder(source, submissions, out, Run(ready, stopped_after))
    with open(out / "outcomes.jsonl", "a") as file:
        file.write('{"student": "ad')  # the machine stopped while it was written
    second = Run(ready)
    done = assignments.grade_folder(source, submissions, out, second)
    assert scores(done) == {key: value for key, value in ALL.items() if key[1] == "first"}
    assert len(second.graded) == 3 - stopped_after
    third = Run(ready)
    again = assignments.grade_folder(source, submissions, out, third)
    assert (scores(again), third.graded) == (scores(done), [])


def test_a_changed_notebook_in_a_folder_is_graded_anew(folder, ready):
    source, submissions, out = folder
    assignments.grade_folder(source, submissions, out, Run(ready))
    notebook(submissions / "bob.ipynb", SOFTMAX)
    run = Run(ready)
    done = assignments.grade_folder(source, submissions, out, run)
    assert run.graded == [("bob", "first")]
    assert scores(done)["bob", "first"] == ("graded", 2.0)
    lines = (out / "outcomes.jsonl").read_text().splitlines()
    assert [Outcome.from_json(line).student for line in lines].count("bob") == 2


def test_folders_of_students_for_a_source_of_several_notebooks(course, ready, tmp_path):
    submissions = tmp_path / "in"
    for name, task in {"first": SOFTMAX, "second": MIX}.items():
        notebook(submissions / "ada" / f"{name}.ipynb", task)
    (submissions / ".hidden").mkdir()
    (submissions / "link").symlink_to(submissions / "ada")
    done = assignments.grade_folder(
        course / "solutions" / "03_qkv", submissions, tmp_path / "out", Run(ready)
    )
    assert scores(done) == {key: value for key, value in ALL.items() if key[0] == "ada"}


def test_folders_without_notebooks_are_said(folder, ready, tmp_path):
    source, submissions, out = folder
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="the source should be a notebook or a folder of notebooks"):
        assignments.grade_folder(empty, submissions, out, Run(ready))
    for nothing in (empty, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"should have STUDENT\.ipynb or STUDENT/first\.ipynb"):
            assignments.grade_folder(source, nothing, out, Run(ready))
    (empty / "ada").mkdir()  # as in nbgrader's submitted/, where the notebook stands one folder deeper
    with pytest.raises(ValueError, match=r"should have STUDENT\.ipynb or STUDENT/first\.ipynb"):
        assignments.grade_folder(source, empty, out, Run(ready))
    assert not out.exists()


def test_what_comes_out_stays_out_of_the_submissions(folder, ready):
    source, submissions, _ = folder
    for out in (submissions, submissions / "out"):
        with pytest.raises(ValueError, match="should stand outside the submissions"):
            assignments.grade_folder(source, submissions, out, Run(ready))
    assert len(list(submissions.iterdir())) == 4


def test_a_source_that_is_no_notebook_is_named(folder, ready, course):
    source, submissions, out = folder
    source.write_text(source.read_text()[:100])
    with pytest.raises(ValueError, match=r"the source .*first\.ipynb should be a notebook: .* no JSON"):
        assignments.grade_folder(source, submissions, out, Run(ready))
    assert not out.exists()


def test_a_table_that_cannot_be_written_is_said(folder, engine):
    source, submissions, out = folder
    out.write_text("a file")
    with pytest.raises(SystemExit, match=r"^Stopped\. .*File exists"):
        main(["folder", str(source), str(submissions), str(out), "--workers", "1"])


def test_a_grade_book_that_cannot_be_opened_is_said(course, ready):
    (course / "gradebook.db").unlink(missing_ok=True)
    (course / "gradebook.db").mkdir()
    with pytest.raises(ValueError, match=r"the grade book sqlite:.* cannot be opened: unable to open"):
        assignments.autograde(course, "03_qkv", Run(ready))


# ----------------------------------------------------------------------------------------------- the commands


def test_the_command_for_a_folder(folder, engine, capsys):
    source, submissions, out = folder
    command = ["folder", str(source), str(submissions), str(out), "--workers", "1", "--engine", engine.name]
    main(command)
    said = capsys.readouterr().out
    assert "3 graded now, 0 before" in said
    assert f"Written: {out}/grades.csv" in said
    main(command)
    said = capsys.readouterr().out
    assert "0 graded now, 3 before" in said
    assert "Without hidden tests" not in said
    source.write_text(source.read_text().replace("### BEGIN HIDDEN TESTS", "# and"))
    main(command)
    assert "so that the visible checks alone decide: first\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["folder", "nothing.ipynb", "nowhere", "out"],
            "graded. the source should be a notebook",
        ),
        (
            ["folder", "x", "y", "z", "--engine", "magic"],
            "graded. an engine is one of namespaces",
        ),
        (["variant", "nothing", "out"], "nothing"),
        (["autograde", "03_qkv"], "has no nbgrader_config.py: is it the course folder?"),
    ],
)
def test_commands_that_cannot_be_done_say_why(engine, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert problem in str(ended.value.code)


def test_without_isolation_nothing_is_graded_unless_it_is_asked_for(folder, monkeypatch):
    source, submissions, out = folder

    def refused(name=None):
        if name == "none":
            return engines.NONE
        raise NoIsolation("this machine offers none")

    monkeypatch.setattr(engines, "choose", refused)
    with pytest.raises(SystemExit, match=r"Nothing was graded\. this machine offers none"):
        main(["folder", str(source), str(submissions), str(out)])
    assert not out.exists()
    everything = "--students-may-read-and-change-everything-here"
    main(["folder", str(source), str(submissions), str(out), everything, "--workers", "1"])
    assert (out / "grades.csv").exists()


def test_the_command_for_a_variant(course, capsys, tmp_path):
    main(["variant", str(course / "solutions" / "03_qkv"), str(tmp_path / "new"), "--secret", "blue"])
    said = capsys.readouterr().out
    assert "2 tests have other hidden seeds" in said
    assert "The secret, for the same variant again: blue" in said
    made = json.loads((tmp_path / "new" / "first.ipynb").read_text())
    assert "(31, 57)" not in json.dumps(made)


def test_the_doctor_names_every_engine(capsys):
    main(["doctor"])
    said = capsys.readouterr().out
    assert all(one.name in said for one in engines.ENGINES)


def test_ctrl_c_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr("course_lib.grading.__main__.run_autograde", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit, match=r"^Stopped\. The same command goes on from here\.$"):
        main(["autograde", "03_qkv"])
    with pytest.raises(SystemExit, match=r"^Stopped\. What was graded is kept\. .* starts anew"):
        main(["autograde", "03_qkv", "--again"])


@pytest.mark.parametrize("seconds", [3.0, 6.0])  # as the workers start; as they load torch or grade
def test_ctrl_c_says_that_and_nothing_else(folder, engine, seconds):
    source, submissions, out = folder
    command = [sys.executable, "-m", "course_lib.grading", "folder", source, submissions, out]
    run = subprocess.Popen(
        [*command, "--engine", engine.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    said = run.communicate(timeout=60)[0]
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(("Stopped.", "Written:"))


def test_what_has_not_changed_is_graded_again_when_asked(course, engine, capsys):
    command = ["autograde", "03_qkv", "--course", str(course), "--student", "ada", "--workers", "1"]
    for more, said in (([], "2 graded now, 0"), ([], "0 graded now, 2"), (["--again"], "2 graded now, 0")):
        main([*command, *more])
        assert f"{said} before" in capsys.readouterr().out
