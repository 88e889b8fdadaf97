"""The exchange folder: everybody's own submission arrives, nobody else's does."""

import logging
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import course_folder
import pytest
from nbgrader.api import Gradebook
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from nbgrader.exchange.default import ExchangeSubmit
from traitlets.config import Config

from course_lib.grading import exchange
from course_lib.grading.exchange import Collect, copy_files, owner_of
from course_lib.grading.results.graded import cells_of, settings

STUDENTS = [f"student{number:02d}" for number in range(50)]


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course folder, and beside it an exchange folder in which 03_qkv is released."""
    folder = course_folder.course(tmp_path / "course")
    (tmp_path / "exchange" / "small" / "inbound").mkdir(parents=True)
    released = tmp_path / "exchange" / "small" / "outbound" / "03_qkv" / "by_hand.ipynb"
    course_folder.write(released, course_folder.answers())
    return folder


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Who owns which folder of the exchange: in the test all are one user's."""
    known: dict[str, str] = {}

    def owner(path: str | Path) -> str:
        name = os.path.basename(path)
        return known.get(name, name.split("+")[0])

    monkeypatch.setattr(exchange, "owner_of", owner)
    return known


def config(course: Path, **changes: Any) -> Config:
    made = settings(course)
    made.Exchange.root = str(course.parent / "exchange")
    made.CourseDirectory.assignment_id = "03_qkv"
    made.CourseDirectory.update(changes)
    return made


def submit(course: Path, student: str, text: str, *, claim: str = "") -> str:
    """Hand in as a student does; return the name of the folder in the exchange."""
    home = course.parent / "homes" / (student or claim)
    cells = course_folder.answers()
    cells[2]["source"] = text
    course_folder.write(home / "03_qkv" / "by_hand.ipynb", cells)
    made = config(course, student_id=claim or student)
    made.Exchange.assignment_dir = str(home)
    made.Exchange.cache = str(home / "cache")
    submission = ExchangeSubmit(CourseDirectory(config=made), Authenticator(config=made), config=made)
    submission.start()
    return str(submission.assignment_filename)


def collect(course: Path, **options: Any) -> None:
    """What a teacher does: nbgrader collect 03_qkv."""
    made = config(course)
    made.ExchangeCollect.update(options)
    made.ExchangeFactory.collect = "course_lib.grading.exchange.Collect"
    factory = ExchangeFactory(config=made)
    assert factory.collect is Collect
    factory.Collect(CourseDirectory(config=made), Authenticator(config=made), config=made).start()


def answer(course: Path, student: str) -> str:
    """The source of the first answer of a student's collected notebook; "" where nothing was collected."""
    cells = cells_of(course / "submitted" / student / "03_qkv" / "by_hand.ipynb")
    return cells[2].source if cells else ""


def test_fifty_at_once_are_collected_each_its_own(course: Path, owners: dict[str, str]) -> None:
    with ThreadPoolExecutor(50) as pool:
        names = list(pool.map(lambda student: submit(course, student, f"'{student}'"), STUDENTS))
    assert len(set(names)) == 50
    collect(course)
    assert {student: answer(course, student) for student in STUDENTS} == {
        student: f"'{student}'" for student in STUDENTS
    }
    assert sorted(path.name for path in (course / "submitted").iterdir()) == STUDENTS
    assert all((course / "submitted" / s / "03_qkv" / "timestamp.txt").exists() for s in STUDENTS)


def test_the_newest_of_a_student_counts(course: Path, owners: dict[str, str]) -> None:
    submit(course, "ada", "'first'")
    submit(course, "ada", "'second'")
    collect(course)
    assert answer(course, "ada") == "'second'"
    submit(course, "ada", "'third'")
    collect(course)
    assert answer(course, "ada") == "'second'"  # as in nbgrader: only with --update
    collect(course, update=True)
    assert answer(course, "ada") == "'third'"


def test_nobody_hands_in_as_somebody_else(
    course: Path, owners: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    submit(course, "ada", "'mine'")
    owners[submit(course, "eve", "'not mine'", claim="ada")] = "eve"
    owners[submit(course, "eve", "'not mine'", claim="bob")] = "eve"
    with caplog.at_level(logging.ERROR):
        collect(course)
        collect(course, update=True)
    assert answer(course, "ada") == "'mine'"
    assert not (course / "submitted" / "bob").exists()
    assert "it is owned by eve, not by ada" in caplog.text
    assert "it is owned by eve, not by bob" in caplog.text


def test_owners_can_be_left_unchecked(course: Path, owners: dict[str, str]) -> None:
    owners[submit(course, "ada", "'mine'")] = "jovyan"
    collect(course)
    assert answer(course, "ada") == ""
    collect(course, check_owner=False)
    assert answer(course, "ada") == "'mine'"


def test_odd_names_in_the_exchange_stop_nobody(
    course: Path, owners: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    inbound = course.parent / "exchange" / "small" / "inbound"
    (inbound / "eve+03_qkv+yesterday").mkdir()
    (inbound / "eve+03_qkv+2026-01-01 10:00:00 UTC+a").write_text("no folder")
    (inbound / "bob+03_qkv+2026-01-01 10:00:00 UTC+b").symlink_to(course)
    submit(course, "ada", "'mine'")
    with caplog.at_level(logging.ERROR):
        collect(course)
    assert answer(course, "ada") == "'mine'"
    assert [path.name for path in (course / "submitted").iterdir()] == ["ada"]
    assert "its name holds no time" in caplog.text
    assert caplog.text.count("it is no folder") == 2


def test_a_name_without_a_time_stops_nobody_where_only_those_in_time_are_wanted(
    course: Path, owners: dict[str, str]
) -> None:
    (course.parent / "exchange/small/inbound/eve+03_qkv+yesterday").mkdir()
    submit(course, "ada", "'mine'")
    with Gradebook(CourseDirectory(config=config(course)).db_url, "small") as book:
        book.update_or_create_assignment("03_qkv", duedate="2100-01-01 10:00:00 UTC")
    collect(course, before_duedate=True)
    assert [path.name for path in (course / "submitted").iterdir()] == ["ada"]


def test_odd_names_of_students_stop_nobody(course: Path, owners: dict[str, str]) -> None:
    odd = [os.fsdecode(b"M\xfcller"), "a\nb", "[ada]", "x" * 200, "-rf"]  # what is left out, grading says
    for name in odd:
        (course.parent / f"exchange/small/inbound/{name}+03_qkv+2026-01-01 10:00:00 UTC+c").mkdir()
    submit(course, "ada", "'mine'")
    logging.disable()  # nbgrader logs these names, and pytest's workers cannot send them
    try:
        collect(course)
    finally:
        logging.disable(logging.NOTSET)
    assert answer(course, "ada") == "'mine'"
    assert {path.name for path in (course / "submitted").iterdir()} == {"ada", *odd}


def test_a_submission_that_cannot_be_copied_stops_nobody(
    course: Path, owners: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    name = submit(course, "ada", "'mine'")
    submit(course, "bob", "'mine'")
    large = course.parent / "exchange" / "small" / "inbound" / name / "large.bin"
    large.write_bytes(b"0" * 200_000)
    made = config(course, max_dir_size=100)
    with caplog.at_level(logging.ERROR):
        Collect(CourseDirectory(config=made), Authenticator(config=made), config=made).start()
    assert "its files are larger than max_dir_size" in caplog.text
    assert not (course / "submitted" / "ada" / "03_qkv").exists()
    assert answer(course, "bob") == "'mine'"


def everything(name: str, size: int) -> bool:
    return size < 1000


def test_links_pipes_and_large_files_are_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "solutions"
    secret.mkdir()
    (secret / "by_hand.ipynb").write_text("the solution")
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "numbers.csv").write_text("1,2")
    (home / "link.ipynb").symlink_to(secret / "by_hand.ipynb")
    (home / "linked_folder").symlink_to(secret)
    (home / "large.bin").write_bytes(b"0" * 1000)
    os.mkfifo(home / "pipe.ipynb")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(home / "socket.ipynb"))
        skipped = copy_files(home, tmp_path / "copy", everything, 10_000)
    found = [str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")]
    assert sorted(found) == ["data", "data/numbers.csv"]
    assert (tmp_path / "copy" / "data" / "numbers.csv").read_text() == "1,2"
    assert {"link.ipynb", "pipe.ipynb", "large.bin", "socket.ipynb"} <= set(skipped)


def test_what_the_course_ignores_is_left_out(course: Path, owners: dict[str, str]) -> None:
    name = submit(course, "ada", "'mine'")
    folder = course.parent / "exchange" / "small" / "inbound" / name
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.txt").write_text("a")
    (folder / "b.pyc").write_text("b")
    collect(course)
    found = sorted(path.name for path in (course / "submitted" / "ada" / "03_qkv").iterdir())
    assert found == ["by_hand.ipynb", "submission_secret.txt", "timestamp.txt"]


def test_owner_of_a_file_and_of_a_link(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    shutil.chown(path, os.getuid())
    link = tmp_path / "link"
    link.symlink_to("/nowhere")
    assert owner_of(path) == path.owner()
    assert owner_of(link) == path.owner()
