"""A submission as data: read with suspicion, and what is to be run and tested, in which order.

nbgrader's marks are taken from the source alone. What a student has changed in marks, points or locked cells
does not count; cells that are missing, doubled or moved are reported.
"""

import ast
import dataclasses
import json
import math
import os
import re
import stat
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        version = notebook.get("nbformat") if isinstance(notebook, dict) else None
        old = f"a notebook of version {version!r:.20}, and version 4 is needed" if version else "no notebook"
        raise Unreadable(f"the file is {old}")
    if notebook.get("nbformat") != 4:
        found = repr(notebook.get("nbformat"))[:20]
        raise Unreadable(f"the file is a notebook of version {found}, and version 4 is needed")
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
            if known.plain[role] in known.opening or used & _bound(cell.source):
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
            if self.same(role, cell) and found & _bound(cell.source):
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


def _tree(code: str) -> ast.Module | None:
    """Some Python code as Python reads it; None where it is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(python_of(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def nodes_of(code: str) -> Iterator[ast.AST]:
    """The parts of some Python code."""
    tree = _tree(code)
    return ast.walk(tree) if tree else iter(())


def names_used(code: str) -> set[str]:
    """The names that some code reads; none where it is no Python (magics are lines of their own).

    No size bounds how long Python's parser takes: the code of a student is read in the sandbox alone.
    """
    nodes = nodes_of(code)
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def names_mentioned(code: str) -> set[str]:
    """All names in some code, as attributes and as texts too, that its own definitions do not explain."""
    found: set[str] = set()
    own: set[str] = set()
    for node in nodes_of(code):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
    return found - own


def _bound(code: str) -> set[str]:
    """The names that some code of the source binds at its top level."""
    tree = _tree(code)
    return names_bound(tree) if tree else set()


def names_bound(node: ast.AST) -> set[str]:
    """The names that a statement binds outside itself; "*" for an import of all."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name, *_bound_from_inside(node)}
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return _bound_from_inside(node)
    own: set[str | None] = {getattr(node, "name", None), getattr(node, "rest", None)}  # match, except
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        own = {node.id}
    return {name for name in own if name}.union(*map(names_bound, ast.iter_child_nodes(node)))


def _bound_from_inside(node: ast.AST) -> set[str]:
    """Names outside that a function, a class or a comprehension binds: `global x`, `[x := 1 for ...]`."""
    inner = list(ast.walk(node))
    found = {name for one in inner if isinstance(one, ast.Global) for name in one.names}
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        found |= {one.target.id for one in inner if isinstance(one, ast.NamedExpr)}
    return found


def names_checked(code: str) -> set[str]:
    """The names that some code gives to `check`."""
    return {
        value.id
        for node in nodes_of(code)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"
        for value in node.args
        if isinstance(value, ast.Name)
    }


def is_own_test(cell: Cell) -> bool:
    """Whether a test uses more than the checks of the course."""
    code = python_of(cell.source)
    known = names_checked(code) | _bound(cell.source) | {"check"}
    return cell.is_test and bool(names_used(code) - known)


def definition(code: str, names: list[str]) -> str | None:
    """The code that defines a function or class, or with several names what is within one; None without it.

    Where several statements do, it is all of them: which one counts in the end, only running it shows.

    Example:
        >>> definition("class A:\\n    def f(self): pass", ["A", "f"])
        'def f(self): pass'
    """
    tree = _tree(code)
    body: Sequence[ast.AST] = [tree] if tree else []
    for name in names:
        within = [node for one in body for node in ast.iter_child_nodes(one)]
        body = [node for node in within if isinstance(node, ast.stmt) and name in names_bound(node)]
    found = (ast.get_source_segment(python_of(code), node, padded=True) for node in body)
    return "\n".join(textwrap.dedent(text) for text in found if text) or None


def is_python(code: str) -> bool:
    """Whether some code can be read."""
    return _tree(code) is not None


# Lines of IPython's: a statement below a watch, `x = !ls` and `%magic`, which may go on below, `name?`.
WATCHED = re.compile(r"^([ \t]*)%(?:time|timeit|prun)\s", re.MULTILINE)
MAGIC = re.compile(r"^([ \t]*)(?:\w[\w, ]*=[ \t]*)?[%!](?:.*\\\n)*.*", re.MULTILINE)
HELP = re.compile(r"^([ \t]*)(?:\?+[\w.*]+|[\w.*]+\?+)[ \t]*$", re.MULTILINE)


def python_of(code: str) -> str:
    """The code without shell lines and magics, but for the statements that some of them run."""
    for lines, instead in ((WATCHED, r"\1"), (MAGIC, r"\1pass"), (HELP, r"\1pass")):
        code = lines.sub(instead, code)
    return code
