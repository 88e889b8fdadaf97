"""Who handed in what. What looks like a submission and cannot be taken for one is said, with what to do.

Whoever hands in chooses the names and may leave links, pipes or folders that cannot be read. None of it stops
the others.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LITTER = re.compile(r"\._.*|\.DS_Store|__MACOSX|\.ipynb_checkpoints")  # of JupyterLab and of a Mac's archives
PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
EXPORTED = (".py", ".html", ".pdf")
# Signs that nobody sees, beside those of the category Cf: Unicode's Default_Ignorable_Code_Point, two blanks.
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d159\U000e0000-\U000e0fff]"
)
# Letters that look like Latin ones (Unicode's confusables.txt): Cyrillic, then Greek.
LETTERS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝӏѵΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυ",
    "ABESIJKMHOPCTYXaesijopcyxhdqwlvABEZHIKMNOPTYXaivopu",
)
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # Unicode Annex 9, table 4
MOST_SAID = 10  # of the files in one folder
LONGEST = 240  # bytes of a student's and a notebook's names, which are one file's name: systems take 255


@dataclass(frozen=True)
class Work:
    """One notebook of one student."""

    student: str
    source: Path
    path: Path


def in_course(submitted: Path, assignment: str, sources: Sequence[Path]) -> Iterator[Work | str]:
    """What is in nbgrader's submitted/STUDENT/ASSIGNMENT/: each notebook, and a sentence for what is none.

    A student whose folder lacks a notebook has a work for it all the same.
    """
    students = []
    for path in _listed(submitted):
        place = path / assignment
        if not _is_folder(path):
            yield from _stray(path, f"a folder STUDENT/{assignment}")
        elif path.name.startswith(".") and not os.path.lexists(place):
            continue
        elif why := _refused(path, path.name, sources):
            yield _left_out(path, why)
        elif not os.path.lexists(place):
            yield from _misplaced(path, assignment)
        elif why := _refused(place, assignment, sources):
            yield _left_out(place, why)
        else:
            students.append(path.name)
            yield from _within(place, path.name, sources)
    yield from _alike(submitted, students)


def in_folder(submissions: Path, sources: Sequence[Path]) -> Iterator[Work | str]:
    """What is in a folder as STUDENT.ipynb or STUDENT/NOTEBOOK.ipynb, else as `in_course`."""
    works: dict[str, list[Work]] = {}
    for path in _listed(submissions):
        for found in _entry(path, sources):
            if isinstance(found, Work):
                works.setdefault(found.student, []).append(found)
            else:
                yield found
    for own in works.values():
        there = [work for work in own if os.path.lexists(work.path)]
        if len(sources) > 1 or len(own) == 1:
            yield from own
        elif len(there) == 1:
            yield from there
        else:
            yield from (_left_out(work.path, "another one has the same name; keep one") for work in there)
    yield from _alike(submissions, works)


def _entry(path: Path, sources: Sequence[Path]) -> Iterator[Work | str]:
    """What one file or folder among the submissions is."""
    is_folder = _is_folder(path)
    is_notebook = path.suffix.lower() == ".ipynb" and not is_folder and len(sources) == 1
    student = path.stem if is_notebook else path.name
    if not is_folder and not is_notebook:
        yield from _stray(
            path, "STUDENT.ipynb or a folder STUDENT" if len(sources) == 1 else "a folder STUDENT"
        )
    elif student.startswith(".") and is_folder and not _holds(path, sources):
        return
    elif why := _refused(path, student, sources):
        yield _left_out(path, why)
    elif is_notebook:
        yield Work(student, sources[0], path)
    else:
        yield from _within(path, student, sources)


def shown(path: Path | str) -> str:
    """A path as a terminal can show it, with escapes for what is no text.

    Example:
        >>> shown(b"M\\xfcller".decode("utf-8", "surrogateescape"))
        'M\\\\xfcller'
    """
    shortest = min(os.path.relpath(path), os.path.abspath(path), key=len)
    text = os.fsencode(shortest).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def in_page(notebook: str) -> str:
    """A notebook's name in that of a student's page, where the last + stands between the two.

    Example:
        >>> in_page("a+b")
        'a%2Bb'
    """
    return notebook.replace("%", "%25").replace("+", "%2B")


# ------------------------------------------------------------------------------------------------ small parts


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, without what programs leave behind; nothing where there is no folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if not LITTER.fullmatch(name)]


def _is_folder(path: Path) -> bool:
    """Whether it is a folder or a link to one, as far as one may know."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _left_out(path: Path, why: str) -> str:
    return f"Left out: {shown(path)}: {why}."


def _stray(path: Path, place: str) -> Iterator[str]:
    """A sentence on a file that stands where students are expected, if it may be a submission."""
    is_exported = path.name.lower().endswith(EXPORTED)
    if what := _meant(path) or ("it is no notebook: ask for that" if is_exported else ""):
        yield _left_out(path, f"expected was {place}; {what}")


def _refused(path: Path, name: str, sources: Sequence[Path]) -> str:
    """Why something cannot be taken for a student's, and what to do; "" where it can."""
    size = len(os.fsencode(name))
    most = LONGEST - max(len(os.fsencode(in_page(source.stem))) for source in sources)
    if not all(map(_is_text, name)):
        return "its name is not UTF-8 or has control characters; rename it"
    if set(name) & set('<>"'):
        return "its name has <, > or \", which nbgrader's pages take for HTML; rename it"
    if name.startswith(".") or name != name.strip():
        return "its name begins with a dot, or has a space at an end: nbgrader does not find it; rename it"
    if size > most:
        return f"its name has {size} bytes, and at most {most} are possible; rename it"
    if path.suffix.lower() == ".ipynb" and not _is_folder(path):
        return ""  # the grader says of this file what there is to say
    if path.is_symlink():
        return "it is a link, and links are not followed; put the files themselves there"
    if not _is_folder(path):
        return "a folder was expected"
    if not os.access(path, os.R_OK | os.X_OK):
        return "you may not read it; give yourself the right, with chmod u+rx"
    return ""


def _is_text(character: str) -> bool:
    """Whether a character is no control character, no end of a line, no byte of another encoding.

    Nor one that turns round all that follows on the line: a name would change how the score behind it reads.
    """
    is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return not is_control and unicodedata.bidirectional(character) not in TURNS


def _within(place: Path, student: str, sources: Sequence[Path]) -> Iterator[Work | str]:
    """The notebooks in a student's folder, and what else there may have been meant as one."""
    expected = {source.name: Work(student, source, place / source.name) for source in sources}
    yield from expected.values()
    others = ((path, _meant(path, expected)) for path in _listed(place) if path.name not in expected)
    yield from _few((path, f"expected was {' or '.join(expected)}; {what}") for path, what in others if what)


def _holds(folder: Path, sources: Sequence[Path]) -> bool:
    """Whether one of the notebooks is in a folder."""
    return any(os.path.lexists(folder / source.name) for source in sources)


def _misplaced(folder: Path, assignment: str) -> Iterator[str]:
    """What stands in a student's folder without this assignment, and looks as if it were that."""
    expected = f"expected was a folder {shown(folder / assignment)}"
    found = ((path, _meant(path, [assignment])) for path in _listed(folder))
    yield from _few((path, f"{expected}; {what}") for path, what in found if what)


def _few(found: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """Sentences on the first of some files; one student's must not hide what is said of others."""
    found = list(found)
    yield from (_left_out(path, why) for path, why in found[:MOST_SAID])
    if len(found) > MOST_SAID:
        yield f"Left out in {shown(found[0][0].parent)}: {len(found) - MOST_SAID:,} more like these."


def _meant(path: Path, expected: Iterable[str] = ()) -> str:
    """What to do with what may be meant as an expected name, or as a notebook; "" where it is not."""
    for wanted in expected:
        if _seen(path.name) == _seen(wanted):
            return f"it looks the same, but is {path.name!a}, not {wanted!a}; rename it"
        if _plain(path.name) == _plain(wanted):
            return "rename it"
    name = path.name.lower()
    if _is_folder(path):
        return ""
    if name.endswith(PACKED):
        return "unpack it"
    return "if it is that, rename or move it" if ".ipynb" in name else ""


def _seen(name: str) -> str:
    """A name as people see it: two forms of ü, signs of no width and letters of other alphabets are one."""
    seen = "".join(c for c in UNSEEN.sub("", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", seen).translate(LETTERS)


def _plain(name: str) -> str:
    """A name without what people overlook: capital letters too, and a dot at the end."""
    return _seen(name).casefold().rstrip(".")


def _alike(folder: Path, students: Iterable[str]) -> Iterator[str]:
    """Students whose names differ in nothing that people see."""
    groups: dict[str, list[str]] = {}
    for name in students:
        groups.setdefault(_plain(name), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            each = " and ".join(ascii(name) for name in names)
            yield f"In {shown(folder)} {each} look alike; if they are one student, keep one of them."
