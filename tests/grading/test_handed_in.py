"""What is handed in under odd names, as links, in another place: graded or said, and nobody else's loss."""

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import course_folder
import pytest
from course_folder import answers, submit, write

from course_lib.grading import __main__, assignments
from course_lib.grading.assignments import autograde, grade_folder
from course_lib.grading.batch import Work
from course_lib.grading.intake.handed_in import in_course, in_folder
from course_lib.grading.judging.judge import CannotStart, Grader
from course_lib.grading.results import gradebook
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.outcome import Outcome

ASSIGNMENT = "03_qkv"
NOT_UTF_8 = os.fsdecode(b"M\xfcller")
LONG = "x" * 246
LINK = "it is a link, and links are not followed; put the files themselves there."


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course folder with one notebook, by_hand, which Zoe has handed in. It is the folder we are in."""
    folder = course_folder.course(tmp_path)
    (folder / "solutions" / ASSIGNMENT / "more.ipynb").unlink()
    submit(folder, "zoe")
    monkeypatch.chdir(folder)
    return folder


def sources(course: Path) -> list[Path]:
    return [course / "solutions" / ASSIGNMENT / "by_hand.ipynb"]


def parted(found: Iterable[Work | str]) -> tuple[list[str], str]:
    """The students with a notebook, and what is said."""
    found = list(found)
    works = [item for item in found if isinstance(item, Work)]
    said = "\n".join(item for item in found if isinstance(item, str))
    assert all(c.isprintable() or c == "\n" for c in said)
    return [work.student for work in works], said


def made_up(works: Iterable[Work]) -> Iterator[tuple[Work, Outcome]]:
    """Outcomes without grading; all is right in the source itself, should somebody ask for it."""
    for work in works:
        made = course_folder.outcome(work.student, digest=assignments.digest(work))
        yield work, course_folder.all_right(made) if work.path == work.source else made


# --------------------------------------------------------------------------------------------------- names

BAD_NAMES = {
    NOT_UTF_8: (r"M\xfcller", "not UTF-8"),
    "ada\nbob": (r"ada\nbob", "control characters; rename it"),
    "ada\x1b[31m": (r"ada\x1b[31m", "control characters"),
    "ada\u2028": (r"ada\u2028", "control characters"),
    "ada ": ("ada ", "a space at an end"),
    " ada": (" ada", "a space at an end"),
    ".ada": (".ada", "begins with a dot"),
    LONG: (LONG, "has 246 bytes, and at most 233 are possible; rename it"),
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_cannot_be_a_students_is_said_and_costs_nobody_else(course, name):
    submit(course, name)
    shown, why = BAD_NAMES[name]
    students, said = parted(in_course(course / "submitted", ASSIGNMENT, sources(course)))
    assert students == ["zoe"]
    assert said.startswith(f"Left out: submitted/{shown}: its name ")
    assert why in said
    done = autograde(course, ASSIGNMENT, made_up)
    assert [outcome.student for outcome in done.outcomes] == ["zoe"]
    assert done.notes[0] == said


@pytest.mark.parametrize("name", BAD_NAMES)
def test_such_a_name_in_a_folder_of_notebooks_is_said_and_costs_nobody_else(course, name):
    shown, why = BAD_NAMES[name]
    write(course / "in" / "zoe.ipynb", answers())
    write(course / "in" / f"{name}.ipynb", answers())
    write(course / "in2" / name / "by_hand.ipynb", answers())
    done = grade_folder(sources(course)[0], course / "in", course / "out", made_up)
    assert [outcome.student for outcome in done.outcomes] == ["zoe"]
    assert f"in/{shown}.ipynb: its name" in done.notes[0]
    assert why in done.notes[0]
    assert done.notes[0] in (course / "out" / "summary.txt").read_text("utf-8")
    students, said = parted(in_folder(course / "in2", sources(course)))
    assert students == []
    assert why in said


ODD_NAMES = [
    "-rf",
    "--again",
    "Müller",
    "ada.b",
    "a b",
    "ada+by_hand",
    "[ada]",
    "{student_id}",
    "%s",
    "名字",
    "=1+1",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_graded(course, name):
    submit(course, name)
    done = autograde(course, ASSIGNMENT, made_up)
    assert {outcome.student for outcome in done.outcomes} == {"zoe", name}
    assert (course / "autograded" / name / ASSIGNMENT / "by_hand.ipynb").exists()
    assert "Left out" not in "".join(done.notes)
    write(course / "in" / f"{name}.ipynb", answers())
    done = grade_folder(sources(course)[0], course / "in", course / "out", made_up)
    assert [outcome.student for outcome in done.outcomes] == [name]
    assert (course / "out" / "feedback" / f"{name}+by_hand.html").exists()


def test_the_longest_name_that_is_possible_has_its_page(course):
    write(course / "in" / f"{'x' * 233}.ipynb", answers())
    done = grade_folder(sources(course)[0], course / "in", course / "out", made_up)
    assert len(done.outcomes) == len(list((course / "out" / "feedback").iterdir())) == 1


@pytest.mark.parametrize(
    "names", [("Ada", "ada"), tuple(unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))]
)
def test_two_names_that_look_alike_are_graded_as_two_and_said(course, names):
    for name in names:
        submit(course, name)
    if len(os.listdir(course / "submitted")) < 3:
        pytest.skip("for this file system they are one")
    done = autograde(course, ASSIGNMENT, made_up)
    assert {outcome.student for outcome in done.outcomes} == {"zoe", *names}
    each = " and ".join(ascii(name) for name in sorted(names))
    assert f"In submitted {each} look alike; if they are one student, keep one of them." in done.notes


def test_notebook_and_folder_of_one_name_are_said(course):
    write(course / "in" / "ada.ipynb", answers())
    (course / "in" / "ada").mkdir()
    assert parted(in_folder(course / "in", sources(course))) == (["ada"], "")
    write(course / "in" / "ada" / "by_hand.ipynb", answers())
    students, said = parted(in_folder(course / "in", sources(course)))
    assert students == []
    assert said.splitlines() == [
        f"Left out: in/{name}: another one has the same name; keep one."
        for name in ("ada/by_hand.ipynb", "ada.ipynb")
    ]


# --------------------------------------------------------------------------------------------------- places


def test_links_in_place_of_folders_are_not_followed(course):
    (course / "submitted" / "ada").symlink_to(course / "submitted" / "zoe")
    (course / "submitted" / "eve").mkdir()
    (course / "submitted" / "eve" / ASSIGNMENT).symlink_to(course / "solutions" / ASSIGNMENT)
    done = autograde(course, ASSIGNMENT, made_up)
    assert [outcome.student for outcome in done.outcomes] == ["zoe"]
    assert f"Left out: submitted/ada: {LINK}" in done.notes
    assert f"Left out: submitted/eve/{ASSIGNMENT}: {LINK}" in done.notes
    with pytest.raises(ValueError, match=r"a folder 03_qkv of eve; collect first\n(.*\n)*Left out: .*/eve/"):
        autograde(course, ASSIGNMENT, made_up, students=["eve"])


def test_a_linked_folder_among_notebooks_is_said(course):
    write(course / "in" / "zoe.ipynb", answers())
    (course / "in" / "eve").symlink_to(course / "solutions" / ASSIGNMENT)
    students, said = parted(in_folder(course / "in", sources(course)))
    assert students == ["zoe"]
    assert (
        said == "Left out: in/eve: it is a link, and links are not followed; put the files themselves there."
    )


MISPLACED = {
    "ada.zip": "expected was a folder STUDENT/03_qkv; unpack it",
    "ada.ipynb": "expected was a folder STUDENT/03_qkv; if it is that, rename or move it",
    "ada.html": "expected was a folder STUDENT/03_qkv; it is no notebook: ask for that",
    "ada/03_qkv.tar.gz": "expected was a folder submitted/ada/03_qkv; unpack it",
    "ada/by_hand.ipynb": "expected was a folder submitted/ada/03_qkv; if it is that, rename or move it",
    "ada/03_QKV/by_hand.ipynb": "expected was a folder submitted/ada/03_qkv; rename it",
    "zoe/03_qkv/by_hand.IPYNB": "expected was by_hand.ipynb; rename it",
    "zoe/03_qkv/by_hand (1).ipynb": "expected was by_hand.ipynb; if it is that, rename or move it",
    "zoe/03_qkv/by_hand.ipynb.txt": "expected was by_hand.ipynb; if it is that, rename or move it",
    "zoe/03_qkv/all.zip": "expected was by_hand.ipynb; unpack it",
}


@pytest.mark.parametrize("path", MISPLACED)
def test_what_may_be_a_submission_in_another_place_is_said(course, path):
    write(course / "submitted" / path, answers())
    students, said = parted(in_course(course / "submitted", ASSIGNMENT, sources(course)))
    assert students == ["zoe"]
    assert re.fullmatch(r"Left out: submitted/(.*?): (.*)\.", said).group(2) == MISPLACED[path]


def test_a_name_in_other_signs_that_look_the_same_is_said_with_what_differs(course):
    """Macs write the dots of ü apart."""
    ours, theirs = (unicodedata.normalize(form, "übung") for form in ("NFC", "NFD"))
    source = write(course / "solutions" / ASSIGNMENT / f"{ours}.ipynb", answers())
    write(course / "in" / "ada" / f"{theirs}.ipynb", answers())
    write(course / "in" / "bob" / f"{ours}.ipynb", answers())
    write(course / "submitted" / "ada" / theirs / "by_hand.ipynb", answers())
    differs = r"it looks the same, but is 'u\u0308bung{0}', not '\xfcbung{0}'; rename it."
    expected = f"Left out: in/ada/{theirs}.ipynb: expected was {ours}.ipynb; {differs.format('.ipynb')}"
    assert parted(in_folder(course / "in", [source])) == (["ada", "bob"], expected)
    expected = f"Left out: submitted/ada/{theirs}: expected was a folder submitted/ada/{ours}; "
    assert parted(in_course(course / "submitted", ours, [source])) == ([], expected + differs.format(""))


def test_an_assignment_that_is_a_file_is_said(course):
    (course / "submitted" / "ada").mkdir()
    (course / "submitted" / "ada" / ASSIGNMENT).write_text("answers")
    _, said = parted(in_course(course / "submitted", ASSIGNMENT, sources(course)))
    assert said == "Left out: submitted/ada/03_qkv: a folder was expected."


@pytest.mark.parametrize("name", ["ada.zip", "ada.pdf", "ada.py", "ada.ipynb.json"])
def test_what_may_be_a_submission_beside_notebooks_is_said(course, name):
    write(course / "in" / "zoe.ipynb", answers())
    (course / "in" / name).write_text("")
    students, said = parted(in_folder(course / "in", sources(course)))
    assert students == ["zoe"]
    assert said.startswith(f"Left out: in/{name}: expected was STUDENT.ipynb or a folder STUDENT; ")


def test_a_notebook_with_another_ending_is_a_notebook(course):
    write(course / "in" / "ADA.IPYNB", answers())
    assert parted(in_folder(course / "in", sources(course))) == (["ADA"], "")


def test_a_notebook_alone_where_several_are_asked_for_is_said(course):
    write(course / "in" / "ada.ipynb", answers())
    several = [*sources(course), course / "more.ipynb"]
    assert parted(in_folder(course / "in", several)) == (
        [],
        "Left out: in/ada.ipynb: expected was a folder STUDENT; if it is that, rename or move it.",
    )


def test_what_programs_leave_behind_is_not_said(course):
    for name in ("__MACOSX/ada/._by_hand.ipynb", ".ipynb_checkpoints/ada-checkpoint.ipynb", "._ada.ipynb"):
        write(course / "submitted" / name, answers())
        write(course / "submitted" / "zoe" / ASSIGNMENT / name, answers())
        write(course / "in" / name, answers())
    for name in (
        "notes.txt",
        "zoe/03_qkv/timestamp.txt",
        "zoe/03_qkv/helper.py",
        ".git/HEAD",
        "bob/04/x.csv",
    ):
        (course / "submitted" / name).parent.mkdir(exist_ok=True, parents=True)
        (course / "submitted" / name).write_text("")
    assert parted(in_course(course / "submitted", ASSIGNMENT, sources(course))) == (["zoe"], "")
    assert parted(in_folder(course / "in", sources(course))) == ([], "")


def test_an_empty_folder_is_a_submission_without_its_notebook(course):
    (course / "submitted" / "ada" / ASSIGNMENT).mkdir(parents=True)
    done = autograde(course, ASSIGNMENT, made_up)
    came = {outcome.student: (outcome.status.value, outcome.reason) for outcome in done.outcomes}
    assert came == {"ada": ("not run", assignments.ABSENT), "zoe": ("graded", "")}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said(course):
    submit(course, "ada")
    for path in (course / "submitted" / "ada" / ASSIGNMENT, course / "submitted" / "ada"):
        path.chmod(0)
        try:
            students, said = parted(in_course(course / "submitted", ASSIGNMENT, sources(course)))
        finally:
            path.chmod(0o755)
        assert students == ["zoe"]
        assert said.endswith("you may not read it; give yourself the right, with chmod u+rx.")


# ---------------------------------------------------------------------------------------------------- files


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    os.mknod(path, 0o20666, os.makedev(1, 5))  # as /dev/zero


def large(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(500 * 2**20)


def unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.write_text("{}")
    path.chmod(0)


FILES = {
    pipe: "by_hand.ipynb is no plain file.",
    device: "by_hand.ipynb is no plain file.",
    Path.mkdir: "by_hand.ipynb is no plain file.",
    large: "by_hand.ipynb has 500 MB; at most 20 are read.",
    unreadable: "by_hand.ipynb cannot be read: Permission denied.",
}


@pytest.mark.parametrize("make", FILES)
def test_a_notebook_that_is_no_readable_file_has_an_outcome(course, engine, make):
    path = submit(course, "ada")
    path.unlink()
    make(path)

    def run(works: Iterable[Work]) -> Iterator[tuple[Work, Outcome]]:
        with Grader(sources(course)[0], engine=engine) as grader:
            yield from (
                (work, grader.grade(work.student, work.path)) for work in works if work.student == "ada"
            )
            yield from made_up(work for work in works if work.student != "ada")

    done = autograde(course, ASSIGNMENT, run)
    came = {outcome.student: outcome for outcome in done.outcomes}
    assert (came["ada"].status.value, came["ada"].reason) == ("unreadable", FILES[make])
    assert came["zoe"].score == 2.0


# ------------------------------------------------------------------------------ what cannot be written down


def test_what_cannot_be_written_down_costs_nobody_else_anything(course, monkeypatch):
    record = Book.record

    def broken(book: Book, outcomes: Sequence[Outcome], cells: object = None) -> None:
        if outcomes[0].student == "eve":
            raise ValueError("no text: \udcfc")
        record(book, outcomes)

    submit(course, "eve")
    monkeypatch.setattr(Book, "record", broken)
    done = autograde(course, ASSIGNMENT, made_up)
    assert [outcome.student for outcome in done.outcomes] == ["zoe"]
    assert done.notes[0] == r"Not in the grade book: eve: the grader failed: ValueError: no text: \udcfc."


def test_a_grade_book_that_another_program_keeps_ends_the_run_in_words(course, monkeypatch, caplog):
    def run(works: Iterable[Work]) -> Iterator[tuple[Work, Outcome]]:
        with closing(sqlite3.connect(course / "gradebook.db")) as kept:
            kept.execute("BEGIN IMMEDIATE")
            yield from made_up(works)

    monkeypatch.setattr(gradebook, "PATIENCE_S", 0.01)
    monkeypatch.setattr(__main__, "runner", lambda _: run)
    with pytest.raises(SystemExit) as ended:
        __main__.main(["autograde", ASSIGNMENT])
    assert "Traceback" not in caplog.text
    said = str(ended.value.code).splitlines()
    assert said == [
        "Stopped. The grade book cannot be written: database is locked.",
        "What was graded before is kept.",
    ]


def test_what_cannot_start_ends_the_run_in_words(course, monkeypatch):
    def run(works: Iterable[Work]) -> Iterator[tuple[Work, Outcome]]:
        raise CannotStart("what runs submissions of by_hand.ipynb cannot start: no torch")

    monkeypatch.setattr(__main__, "runner", lambda _: run)
    with pytest.raises(SystemExit, match=r"^Stopped\. what runs .* cannot start: no torch\nWhat was graded"):
        __main__.main(["autograde", ASSIGNMENT])
