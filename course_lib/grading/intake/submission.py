"""A submission as data: read with suspicion, and what is to be run and tested, in which order.

nbgrader's marks are taken from the source alone. What a student has changed in marks, points or locked cells
does not count; cells that are missing, doubled or moved are reported.
"""

import dataclasses
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.grading.intake.names import bound_in, names_checked, names_used, python_of

MOST_BYTES = 20 * 2**20
MOST_PARTS = 2_000_000  # lists, fields and items of a notebook file; each takes some 100 bytes of memory
MOST_CELLS = 2000
MOST_CODE = 500_000  # characters of one cell; the longest in the course's own solutions has 2,203
LONGEST_NAME = 128  # characters: nbgrader's grade book takes no more; an id of nbformat has at most 64
STUB = "raise NotImplementedError"  # in an answer that is not written; nbgrader's own stub is this, too
PICTURES = ("image/png", "image/jpeg")


class Unreadable(ValueError):
    """This is no notebook that could be graded; the message says why."""


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook."""

    id: str
    kind: str  # "code", "markdown", "raw"
    source: str
    grade_id: str = ""
    solution: bool = False
    grade: bool = False
    points: float = 0.0
    seed: int | None = None  # of what it draws, see `given.seeds`
    is_given: bool = False  # it runs as it stands in the source
    pictures: dict[str, str] = field(default_factory=dict, hash=False)  # pasted into it: base64 by name

    @property
    def is_test(self) -> bool:
        return self.grade and not self.solution

    @property
    def by_hand(self) -> bool:
        return self.grade and self.solution


@dataclass(frozen=True)
class Run:
    """Run a cell."""

    cell: Cell


@dataclass(frozen=True)
class Test:
    """Run a test cell of the source; `answer` is the cell that should hold the solution."""

    cell: Cell
    answer: str
    missing: bool  # there is no such cell in the submission


@dataclass(frozen=True)
class Plan:
    """What to do with a submission."""

    steps: tuple[Run | Test, ...]
    reports: tuple[str, ...]


# ---------------------------------------------------------------------------------------------------- reading


def read_bytes(path: Path) -> bytes:
    """The bytes of a submission.

    Raises: Unreadable: no file, no plain file (a link, a pipe, a device), or too large.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        why = "it is a link" if path.is_symlink() else error.strerror
        raise Unreadable(f"{path.name} cannot be read: {why}") from None
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise Unreadable(f"{path.name} is no plain file")
    with os.fdopen(file, "rb") as opened:
        if status.st_size > MOST_BYTES:
            size = status.st_size / 2**20
            raise Unreadable(f"{path.name} has {size:,.0f} MB; at most {MOST_BYTES // 2**20} are read")
        return opened.read(MOST_BYTES + 1)


def read_cells(content: bytes) -> list[Cell]:
    """The cells of a notebook.

    Raises: Unreadable: too many parts, no JSON, no notebook, or of another version than 4.
    """
    n_parts = sum(map(content.count, (b",", b"[", b"{")))
    if n_parts > MOST_PARTS:
        raise Unreadable(f"the file has {n_parts:,} parts; at most {MOST_PARTS:,} are read")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "no JSON"
        raise Unreadable(f"the file is {what}") from None
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if not isinstance(notebook, dict) or not (version or isinstance(notebook.get("cells"), list)):
        raise Unreadable("the file is no notebook")
    if version != 4:
        raise Unreadable(f"the file is a notebook of version {version!r:.20}, and version 4 is needed")
    if not isinstance(notebook.get("cells"), list):
        raise Unreadable("the file is a notebook without a list of cells")
    if len(notebook["cells"]) > MOST_CELLS:
        raise Unreadable(
            f"the notebook has {len(notebook['cells']):,} cells; at most {MOST_CELLS:,} are read"
        )
    cells = (_cell(item, f"cell-{i}") for i, item in enumerate(notebook["cells"]))
    return [cell for cell in cells if cell is not None]


def _cell(item: Any, name: str) -> Cell | None:
    """A cell, or None where it is none; `name` is its id where it has none."""
    if not isinstance(item, dict) or item.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = _joined(item.get("source", ""))
    if source is None:
        return None
    metadata = item.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    marks = marks if isinstance(marks, dict) else {}
    points = marks.get("points")
    return Cell(
        id=_name(item.get("id")) or name,
        kind=item["cell_type"],
        source=source,
        grade_id=_name(marks.get("grade_id")),
        solution=marks.get("solution") is True,
        grade=marks.get("grade") is True,
        points=_number(points),
        pictures=pictures_of(item.get("attachments")),
    )


def pictures_of(attachments: Any) -> dict[str, str]:
    """The PNG and JPEG pictures that were pasted into a cell, in base64, by name."""
    found = attachments.items() if isinstance(attachments, dict) else ()
    pictures = {
        name: _joined(kinds.get(kind))
        for name, kinds in found
        if isinstance(kinds, dict)
        for kind in PICTURES
        if kind in kinds
    }
    return {name: text for name, text in pictures.items() if text is not None}


def _joined(value: Any) -> str | None:
    """A text that may be kept as a list of lines; None where it is none."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else None


def _name(value: Any) -> str:
    """A name that is one; a long one would fill every page and table that it stands in."""
    return value if isinstance(value, str) and len(value) <= LONGEST_NAME else ""


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return math.inf


# --------------------------------------------------------------------------------------------------- planning


def plan(source: list[Cell], cells: list[Cell], used_in: Callable[[Cell], set[str]]) -> Plan:
    """What to run and when to test.

    Args:
        source: the teacher's cells.
        cells: the submission's.
        used_in: the names that the code of a student's cell uses.
    """
    known = Known(source)
    given = [(known.role(cell), cell) for cell in cells]
    placed = [(role, known.unlocked(role, cell)) for role, cell in given]
    roles = [role for role, _ in placed if role]
    steps: list[Run | Test] = [Run(cell) for cell in known.opening if _role(cell) not in roles]
    used = known.used(placed, used_in)
    answered: set[str] = set()
    tested: set[str] = set()
    for role, cell in placed:
        if cell.kind != "code" and role not in known.tests:
            continue
        if role in known.tests:
            if known.answer_of[role] in answered and role not in tested:
                tested.add(role)
                steps.append(Test(known.tests[role], known.answer_of[role], missing=False))
        elif known.same(role, cell):
            if known.plain[role] in known.opening or used & bound_in(cell.source):
                steps.append(Run(cell))
        else:
            answered.add(role)
            steps.append(Run(cell))
    for name, test in known.tests.items():
        if name not in tested:
            answer = known.answer_of[name]
            steps.append(Test(test, answer, missing=bool(answer) and answer not in answered))
    return Plan(tuple(steps), tuple(known.reports(given)))


def _role(cell: Cell) -> str:
    """What a cell of the source is called."""
    return cell.grade_id or cell.id


class Known:
    """The cells of the source by their roles: a grade id, or the id of a cell without one.

    `plain` are those that are there for everybody, read-only or not.
    """

    def __init__(self, source: list[Cell]) -> None:
        self.tests = {cell.grade_id: cell for cell in source if cell.is_test}
        self.answers = {cell.grade_id: cell for cell in source if cell.solution and cell.kind == "code"}
        self.words = {cell.grade_id: cell for cell in source if cell.solution and cell.kind != "code"}
        marked = {cell.id: cell.grade_id for cell in source if cell.grade_id}
        self.by_id = {id: role for id, role in marked.items() if id}
        code = [cell for cell in source if cell.kind == "code" and not (cell.grade or cell.solution)]
        self.plain = {_role(cell): cell for cell in code if _role(cell)}
        self.read_only = {cell.grade_id: cell for cell in code if cell.grade_id}
        first = next((i for i, cell in enumerate(source) if cell.solution), len(source))
        self.opening = [cell for cell in source[:first] if _role(cell) in self.plain]
        self.answer_of: dict[str, str] = {}
        answer = ""
        for cell in source:
            if cell.grade_id in self.answers:
                answer = cell.grade_id
            elif cell.grade_id in self.tests:
                self.answer_of[cell.grade_id] = answer

    def role(self, cell: Cell) -> str:
        """Which cell of the source this is, "" for a student's own."""
        for ours in (self.tests, self.answers, self.words, self.read_only):
            if cell.grade_id in ours:
                return cell.grade_id
        if cell.id in self.by_id:  # the marks were lost or changed, the id was not
            return self.by_id[cell.id]
        return cell.id if cell.id in self.plain else ""

    def same(self, role: str, cell: Cell) -> bool:
        """Whether a cell is one that is there for everybody, as it stands in the source."""
        return role in self.plain and cell.source == self.plain[role].source

    def unlocked(self, role: str, cell: Cell) -> Cell:
        """A cell as it counts: a read-only one has the code of the source."""
        ours = self.read_only.get(role)
        return dataclasses.replace(cell, source=ours.source) if ours else cell

    def used(self, placed: list[tuple[str, Cell]], used_in: Callable[[Cell], set[str]]) -> set[str]:
        """The names that a student's cells read, and those that cells of the source read to define these."""
        own = (cell for role, cell in placed if role not in self.tests and not self.same(role, cell))
        found = set().union(*(used_in(cell) for cell in own if cell.kind == "code"))
        for role, cell in reversed(placed):
            if self.same(role, cell) and found & bound_in(cell.source):
                found |= names_used(cell.source)
        return found

    def reports(self, placed: list[tuple[str, Cell]]) -> Iterator[str]:
        """What a teacher should know about the cells."""
        found = Counter(role for role, _ in placed)
        expected = [*self.answers, *self.words, *self.tests]
        for role in expected:
            if not found[role]:
                back = " and was put back" if role in self.tests else ""
                yield f"the cell {role!r} is missing{back}"
            elif found[role] > 1:
                yield f"the cell {role!r} is there {found[role]} times"
        order = [role for role, _ in placed if role in expected]
        in_source = [role for role in self._in_order() if role in order]
        if list(dict.fromkeys(order)) != in_source:
            yield "the cells stand in another order than in the source"
        for role, cell in placed:
            locked = self.tests.get(role) or self.read_only.get(role)
            if locked is not None and cell.source not in (locked.source, released(locked.source)):
                yield f"the locked cell {role!r} differs from the source's, which counts"
            if role and cell.grade_id != role and role not in self.plain:
                yield f"the marks of the cell {role!r} were changed; the source's count"

    def _in_order(self) -> list[str]:
        return list(self.by_id.values()) or [*self.answers, *self.tests]


def released(source: str) -> str:
    """A cell as it is released: without its hidden tests."""
    return _parted(source)[0]


def hidden(source: str) -> str:
    """The hidden tests of a cell."""
    return _parted(source)[1]


def behind_hidden(source: str) -> str:
    """What learners see of a cell behind its hidden tests."""
    _, end, behind = source.rpartition("### END HIDDEN TESTS")
    return behind if end else ""


def unwritten(answer: str, source: str) -> bool:
    """Whether an answer still has nothing but what the source gives, and that it is not written.

    Args:
        source: the cell with its solution; all of the cell is the solution where no lines mark it.
    """
    outside, *parts = source.split("### BEGIN SOLUTION")
    given = [outside, *(part.partition("### END SOLUTION")[2] for part in parts)] if parts else []
    return STUB in answer and _code_lines(answer) == _code_lines("\n".join(given))


def _code_lines(code: str) -> list[str]:
    """The lines that do something, apart from those that say that nothing is written."""
    lines = [line.strip() for line in code.split("\n")]
    return [line for line in lines if line and not line.startswith(("#", STUB))]


def _parted(source: str) -> tuple[str, str]:
    shown: list[str] = []
    kept_back: list[str] = []
    is_hidden = False
    for line in source.split("\n"):
        is_hidden = is_hidden or "### BEGIN HIDDEN TESTS" in line
        (kept_back if is_hidden else shown).append(line)
        is_hidden = is_hidden and "### END HIDDEN TESTS" not in line
    return "\n".join(shown).rstrip("\n"), "\n".join(kept_back)


def is_own_test(cell: Cell) -> bool:
    """Whether a test uses more than the checks of the course."""
    code = python_of(cell.source)
    known = names_checked(code) | bound_in(cell.source) | {"check"}
    return cell.is_test and bool(names_used(code) - known)
