"""What a killed run leaves behind goes with the next run; what a living one has stays."""

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import course_folder
import pytest
from nbgrader.api import get_alembic_version

from course_lib.grading import assignments
from course_lib.grading.assignments import grade_folder
from course_lib.grading.batch import grade_works
from course_lib.grading.intake.handed_in import shown
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.graded import write
from course_lib.grading.walls import leftovers
from course_lib.grading.walls.leftovers import OwnFolder

OWNER = """from course_lib.grading.walls.leftovers import OwnFolder
OwnFolder()
print("made", flush=True)
input()"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own for temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def owner(temporary: Path) -> Iterator[subprocess.Popen]:
    """Another process that has a folder."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "made\n"
        yield process
        process.kill()


def test_a_folder_stays_as_long_as_its_process_lives_and_goes_with_the_next_run(temporary, owner):
    (folder,) = temporary.iterdir()
    list(grade_works([]))
    assert folder.is_dir()
    owner.kill()
    owner.wait()
    list(grade_works([]))
    assert not folder.exists()


def test_a_folder_is_removed_by_its_owner(temporary):
    folder = OwnFolder()
    (folder.path / "file").write_text("text")
    leftovers.remove_folders()
    assert (folder.path / "file").exists()
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_what_is_no_folder_of_ours_stays(temporary, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (temporary / "course-grading-link").symlink_to(tmp_path / "elsewhere")
    (temporary / "course-grading-file").write_text("text")
    (temporary / "other").mkdir()
    leftovers.remove_folders()
    assert len(list(temporary.iterdir())) == 3
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_stays(temporary):
    folder = temporary / "course-grading-theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    leftovers.remove_folders()
    assert folder.is_dir()


def test_a_folder_that_another_run_took_for_a_left_one_is_made_anew(temporary, monkeypatch):
    made = []

    def taken(folder: int, operation: int) -> None:
        made.append(folder)
        if len(made) == 1:
            (only,) = temporary.iterdir()
            only.rmdir()

    monkeypatch.setattr(leftovers.fcntl, "flock", taken)
    folder = OwnFolder()
    assert len(made) == 2
    assert list(temporary.iterdir()) == [folder.path]


def test_where_a_file_system_has_no_locks_folders_stay(temporary, monkeypatch):
    def refused(folder: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (temporary / "course-grading-left").mkdir()
    monkeypatch.setattr(leftovers.fcntl, "flock", refused)
    leftovers.remove_folders()
    assert (temporary / "course-grading-left").is_dir()


def test_folders_are_made_while_other_runs_look_for_left_ones(temporary):
    ended = threading.Event()

    def look():
        while not ended.is_set():
            leftovers.remove_folders()

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        folders = [OwnFolder() for _ in range(25)]
        assert all(folder.path.is_dir() for folder in folders)
    finally:
        ended.set()
        for thread in looking:
            thread.join()
    for folder in folders:
        folder.remove()


def test_a_half_written_file_of_a_killed_run_goes_when_it_is_written_again(tmp_path, monkeypatch):
    path = tmp_path / "autograded" / "page.html"
    with monkeypatch.context() as killed:
        killed.setattr(os, "fsync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(path, "a long first one")
    (left,) = path.parent.iterdir()
    assert left.name.startswith(".page.html.")
    other = path.with_name(".page.html.backup")
    other.write_text("a person's own")
    write(path, "second")
    assert sorted(path.parent.iterdir()) == [other, path]
    assert path.read_text() == "second"


def test_what_two_runs_write_into_one_file_is_the_whole_of_one(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    inside: list[int] = []
    most: list[int] = []

    def slow(file: int) -> None:
        inside.append(file)
        time.sleep(0.05)
        most.append(len(inside))
        inside.remove(file)

    monkeypatch.setattr(os, "fsync", slow)
    runs = [threading.Thread(target=write, args=(path, text)) for text in ("a" * 7, "b" * 5, "c" * 3)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert most == [1, 1, 1]
    assert path.read_text() in ("a" * 7, "b" * 5, "c" * 3)
    assert list(tmp_path.glob(".page*")) == []


@pytest.mark.parametrize("tables", ["", "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"])
def test_a_new_grade_book_has_nbgraders_version_before_its_tables(tmp_path, monkeypatch, tables):
    programs = str(Path(sys.executable).parent)  # nbgrader looks for one of them by its name
    monkeypatch.setenv("PATH", programs, prepend=os.pathsep)
    folder = course_folder.course(tmp_path)
    (folder / "gradebook.db").unlink()
    with sqlite3.connect(folder / "gradebook.db") as database:  # as a run left it that was killed there
        database.execute(tables)
    for _ in range(2):
        with Book(folder, "03_qkv"):
            pass
        rows = database.execute("SELECT version_num FROM alembic_version").fetchall()
        assert rows == [(get_alembic_version(),)]
    database.close()


def three_graded(tmp_path):
    """Outcomes of three students in a folder: how to run it again, who was graded, and the first run's."""
    source = course_folder.course(tmp_path / "course") / "solutions" / "03_qkv" / "by_hand.ipynb"
    names = ["ada", "bob", "cleo"]
    for name in names:
        course_folder.write(tmp_path / "in" / f"{name}.ipynb", course_folder.answers())
    graded: list[str] = []

    def run(works):
        for work in works:
            digest = assignments.digest(work)
            made = course_folder.outcome(work.student, reason="line\u2028line é", digest=digest)
            if work.path == work.source:
                yield work, course_folder.all_right(made)
            else:
                graded.append(work.student)
                yield work, made

    def again():
        graded.clear()
        return grade_folder(source, tmp_path / "in", tmp_path / "out", run)

    return again, graded, again()


def test_outcomes_of_a_killed_run_are_read_up_to_where_it_was_killed(tmp_path):
    again, graded, whole = three_graded(tmp_path)
    file = tmp_path / "out" / "outcomes.jsonl"
    text = file.read_bytes()
    file.write_bytes(text[:-40])  # killed within cleo's line
    for anew in (["cleo"], []):
        done = again()
        assert (done.outcomes, done.notes) == (whole.outcomes, whole.notes)
        assert graded == anew


def test_a_damaged_line_of_outcomes_is_said_and_graded_again(tmp_path):
    again, graded, whole = three_graded(tmp_path)
    file = tmp_path / "out" / "outcomes.jsonl"
    first, second, third, end = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, second[:99] + b"\xff" + second[99:], third, end]))
    said = f"Line 2 of {shown(file)} is damaged. What it was about was graded again."
    for anew in (["bob"], []):
        done = again()
        assert (done.outcomes, done.notes) == (whole.outcomes, (said, *whole.notes))
        assert graded == anew
