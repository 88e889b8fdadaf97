"""What a submission tries against others: the run, its memory, the terminal, the table and the pages."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import course_folder
import pytest
from course_folder import all_right, answers, outcome, submit, write
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from PIL import Image
from small import cell

from course_lib.grading import __main__, assignments, exchange, steps
from course_lib.grading.batch import Work
from course_lib.grading.exchange import Collect, copy_files
from course_lib.grading.intake.handed_in import in_course
from course_lib.grading.intake.submission import Cell
from course_lib.grading.judging.session import MOST_OUTPUT, Seconds, Session, known_outputs
from course_lib.grading.reports import as_csv, feedback_page
from course_lib.grading.results import rendering
from course_lib.grading.results.graded import cells_of, release, settings
from course_lib.grading.results.outcome import Outcome
from course_lib.grading.results.rendering import Room, TooMuch

ASSIGNMENT = "03_qkv"
OSC = "\x1b]52;c;ZXZpbA==\x07"  # lets a terminal put a text into the clipboard
OVERRIDE = "\u202e"  # what follows is shown from right to left


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course folder with one notebook, by_hand. It is the folder we are in."""
    folder = course_folder.course(tmp_path)
    (folder / "solutions" / ASSIGNMENT / "more.ipynb").unlink()
    monkeypatch.chdir(folder)
    return folder


def handed_in(course: Path) -> tuple[list[str], list[str]]:
    """The students with a notebook, and what is said."""
    sources = [course / "solutions" / ASSIGNMENT / "by_hand.ipynb"]
    found = list(in_course(course / "submitted", ASSIGNMENT, sources))
    works = [item.student for item in found if not isinstance(item, str)]
    return works, [item for item in found if isinstance(item, str)]


# ------------------------------------------------------------------------------------------------- memory


class OneAnswer(Session):
    """A session whose child gives this answer to everything."""

    def __init__(self, header: dict[str, object]) -> None:
        self.header, self.room, self.before = header, MOST_OUTPUT, []
        self.seconds = Seconds()

    def ask(self, *question: object) -> tuple[dict[str, object], bytes]:
        return self.header, b""


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "error", "ename": "", "evalue": "", "traceback": [""] * 500_000},
        {"output_type": "stream", "name": "stdout", "text": "x" * 1_000_000},
    ],
)
def test_a_forged_output_of_many_empty_lines_is_too_large_too(output: dict[str, object]) -> None:
    assert known_outputs([output]) == [output]
    session = OneAnswer({"outputs": [output]})
    assert session.run(Cell("a", "code", "1")) == ([], 0, False)
    assert session.room == 0


# --------------------------------------------------------------------------------------- names and files


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", 'a" onmouseover=alert(1)', "a>b"])
def test_a_name_that_formgrader_would_take_for_html_is_left_out(course: Path, name: str) -> None:
    submit(course, name)
    submit(course, "O'Brien & Söhne")
    students, said = handed_in(course)
    assert students == ["O'Brien & Söhne"]
    assert len(said) == 1
    assert "its name has <, > or \", which nbgrader's pages take for HTML; rename it." in said[0]


@pytest.mark.parametrize("sign", [OVERRIDE, "\u202d", "\u2066", "\u2069"])
def test_a_name_that_turns_the_line_round_is_left_out(course: Path, sign: str) -> None:
    submit(course, f"ada{sign}01 fo 0")
    submit(course, "علی\u200cرضا")  # the sign between stands in many Persian names
    students, said = handed_in(course)
    assert students == ["علی\u200cرضا"]
    assert said[0].startswith(f"Left out: submitted/ada\\u{ord(sign):x}01 fo 0: its name ")
    assert said[0].isprintable()


def test_a_sign_that_nobody_sees_makes_no_other_name(course: Path) -> None:
    for name in ("ada", "ada\u200b", "a\u00adda"):
        submit(course, name)
    students, said = handed_in(course)
    assert len(students) == 3
    assert "look alike; if they are one student, keep one of them." in said[0]


UNSEEN = "\u034f\ufe0f\U000e0100\u3164\uffa0\u2800\u17b4\u180b\U0001d159"
ALIKE = {f"ad{sign}a": "ada" for sign in UNSEEN} | {
    "\u0430da": "ada",  # a Cyrillic letter
    "\u0391da": "Ada",  # a Greek one
    "\u0420\u0415\u0422\u0415\u0420": "PETEP",
    "ada.": "ada",
}


@pytest.mark.parametrize("name", ALIKE)
def test_a_name_that_people_take_for_another_is_said(course: Path, name: str) -> None:
    for student in (name, ALIKE[name], "\u0434\u0436\u043e\u043d"):  # of other letters all along
        submit(course, student)
    students, said = handed_in(course)
    assert len(students) == 3
    both = " and ".join(map(ascii, sorted([name, ALIKE[name]])))
    assert said == [f"In submitted {both} look alike; if they are one student, keep one of them."]


def test_a_file_beside_a_notebook_is_said_as_a_terminal_can_show_it(course: Path) -> None:
    path = submit(course, "ada")
    path.with_name(f"{OSC}{OVERRIDE}x.zip").write_text("")
    _, said = handed_in(course)
    assert said[0].isprintable()
    assert r"\x1b]52;c;ZXZpbA==\x07\u202ex.zip" in said[0]


@pytest.mark.parametrize("folder", [ASSIGNMENT, "."])
def test_thousands_of_files_do_not_hide_what_is_said_of_others(course: Path, folder: str) -> None:
    place = course / "submitted" / "eve" / folder
    place.mkdir(parents=True)
    for n in range(2000):
        (place / f"{n}.zip").write_text("")
    submit(course, "zoe").with_name("all.zip").write_text("")
    _, said = handed_in(course)
    assert len(said) < 20
    assert any("submitted/eve" in text and text.endswith(": 1,990 more like these.") for text in said)
    assert any("submitted/zoe" in text for text in said)


def test_the_folder_of_the_submissions_is_no_place_to_start_from(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes modules from the folder that it is started in: numpy/ may be a student's."""
    write(course / "in" / "numpy" / "by_hand.ipynb", answers())
    source = str(course / "solutions" / ASSIGNMENT)
    monkeypatch.chdir(course / "in" / "numpy")
    with pytest.raises(SystemExit, match=r"outside .*/in: Python takes modules from the folder"):
        __main__.main(["folder", source, "..", str(course / "out")])
    assert not (course / "out").exists()


# -------------------------------------------------------------------------------------------- the exchange


def test_folders_in_folders_cost_their_owner_alone(tmp_path: Path) -> None:
    """Python goes into each by calling itself: 1,000 of them would end the collecting for everybody."""
    tmp_path.joinpath("home", *["d"] * 51).mkdir(parents=True)
    with pytest.raises(ValueError, match="its folders stand more than 50 deep in each other"):
        copy_files(tmp_path / "home", tmp_path / "copy", lambda name, size: True, 10**6)


def test_files_without_end_are_not_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_NAMES", 10)
    for n in range(11):
        (tmp_path / "home" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / "a" / str(n)).write_text("")
    with pytest.raises(ValueError, match="it has more than 10 files and folders"):
        copy_files(tmp_path / "home", tmp_path / "copy", lambda name, size: True, 10**6)


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_nobody_hands_in_beside_the_folders_of_students(course: Path, name: str) -> None:
    """Where owners say nothing, the name of a folder in the exchange says whose it is."""
    made = settings(course)
    made.Exchange.root = str(course / "exchange")
    made.CourseDirectory.assignment_id = ASSIGNMENT
    inbound = course / "exchange" / "small" / "inbound"
    for student in (name, "ada"):
        write(inbound / f"{student}+{ASSIGNMENT}+2026-01-01 10:00:00 UTC+x" / "by_hand.ipynb", answers())
    collect = Collect(
        CourseDirectory(config=made), Authenticator(config=made), config=made, check_owner=False
    )
    collect.start()
    collected = {path.relative_to(course) for path in course.rglob("by_hand.ipynb")}
    places = [path for path in collected if path.parts[0] not in ("solutions", "exchange")]
    assert places == [Path("submitted/ada/03_qkv/by_hand.ipynb")]


class Log(list[str]):
    """Keeps what is logged."""

    def warning(self, text: str, *values: object) -> None:
        self.append(text % values)

    error = warning


def test_names_in_the_exchange_reach_no_terminal_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    monkeypatch.setattr(Collect, "log", log)
    monkeypatch.setattr(Collect, "_wanted", lambda self, name, size: False)
    collect = Collect.__new__(Collect)
    (tmp_path / OSC).mkdir()
    for n in range(30):
        (tmp_path / OSC / f"{OSC}{n}").symlink_to("/nowhere")
    monkeypatch.setattr(exchange, "copy_files", lambda *args: [f"{OSC}{n}" for n in range(30)])

    class Folders:
        max_dir_size = 1

    monkeypatch.setattr(Collect, "coursedir", Folders())
    collect.do_copy(str(tmp_path / OSC), str(tmp_path / "copy"))
    assert len(log) == 11
    assert all(line.isprintable() for line in log)
    assert log[-1].endswith("and 20 more")


def test_a_path_that_nbgrader_leaves_out_reaches_no_terminal_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    monkeypatch.setattr(steps, "choose", lambda: None)
    monkeypatch.setattr(steps, "get_logger", lambda: log)
    notebooks = [str(tmp_path / OSC / "by_hand.ipynb")]
    steps.ready(assignment=ASSIGNMENT, student=OSC, notebooks=notebooks)
    assert notebooks == []
    assert len(log) == 1
    assert log[0].isprintable()


# ------------------------------------------------------------------------------- the terminal and the table


def test_a_terminal_of_few_letters_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="latin-1"))
    __main__.say("Ä 名")
    __main__.sys.stdout.flush()
    assert written.getvalue() == "Ä \\u540d\n".encode("latin-1")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("ada;=1+1", "ada;'=1+1"),
        ("ada; @SUM(1);-2", "ada; '@SUM(1);'-2"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("ada;b-c=d", "ada;b-c=d"),
    ],
)
def test_no_part_of_a_name_is_a_formula_whatever_separates_columns(name: str, written: str) -> None:
    assert as_csv([outcome(name)]).splitlines()[1].startswith(f"{written},03_qkv,")


# ------------------------------------------------------------------------------------------------ the pages


def test_no_cell_of_a_learner_is_taken_for_ours_and_hidden(course: Path) -> None:
    released = release(course / "solutions" / ASSIGNMENT / "by_hand.ipynb", settings(course))
    path = submit(course, "ada", [*answers(), cell("grading", "trick = 1")])
    for reports in ((), ("a report",)):
        page, _ = feedback_page(released, cells_of(path), outcome(reports=reports))
        assert ">trick<" in page


def test_what_was_not_graded_is_not_shown_with_the_grade(course: Path) -> None:
    """In a folder that students can still write to, one answer could get the points and another be seen."""
    source = course / "solutions" / ASSIGNMENT / "by_hand.ipynb"
    path = write(course / "in" / "ada.ipynb", [*answers(), cell("own", "first = 1")])

    def run(works: Sequence[Work]) -> Iterator[tuple[Work, Outcome]]:
        for work in works:
            made = outcome(work.student, digest=assignments.digest(work))
            if work.path == work.source:
                yield work, all_right(made)
            else:
                yield work, made
                write(path, [*answers(), cell("own", "second = 2")])

    for shown, hidden, reports in (("released", "second", (assignments.CHANGED,)), ("second", "first", ())):
        done = assignments.grade_folder(source, course / "in", course / "out", run)
        page = (course / "out" / "feedback" / "ada+by_hand.html").read_text("utf-8")
        assert (done.n_new, done.outcomes[0].reports) == (1, reports)
        assert f">{hidden}<" not in page
        assert (f">{shown}<" in page) == (not reports)


def test_small_files_of_huge_pictures_do_not_fill_a_browser() -> None:
    file = io.BytesIO()
    Image.new("1", (7000, 7000)).save(file, "PNG")
    huge = base64.b64encode(file.getvalue()).decode()
    shown = rendering.picture(huge)[1]
    assert shown == 98_000  # as if it were so many characters
    assert len(huge) < 50_000
    text = "![a](attachment:a) ![a](attachment:a) ![b](attachment:b)"
    assert rendering.markdown(text, {"a": huge, "b": huge})[1] > 2 * shown


@pytest.mark.parametrize("kind", ["markdown", "picture"])
def test_what_a_notebook_shows_has_an_end(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    room = Room(characters=10)
    monkeypatch.setattr(rendering, "_running", Answers)
    room.render(kind, "x")
    with pytest.raises(TooMuch, match="too long to show all of it"):
        room.render(kind, "x")


class Answers:
    """Stands in for the process."""

    def ask(self, *question: Sequence[object]) -> tuple[str, int]:
        return "", 11
