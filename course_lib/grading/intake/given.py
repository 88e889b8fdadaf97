"""A test of the source as code, and what it may use: names of the source's cells, and of the learner's.

A name that an answer of the source binds is the learner's. What other cells of the source bind, in front of
the test, is the source's: it runs where the test runs, with the source's code, whatever a submission has made
of it. So are the imports of an answer's cell, but for those within its solution.
"""

import ast
import functools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from course_lib.grading.intake.names import (
    names_bound,
    names_mentioned,
    names_read,
    names_used,
    nodes_of,
    python_of,
)
from course_lib.grading.intake.submission import Cell

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


# Names of what draws at random, and of what sets from where; others begin with "rand".
DRAWS = ("shuffle", "permutation", "choice", "choices", "sample", "normal", "uniform")
SEEDS = ("seed", "manual_seed", "set_state", "default_rng", "Generator")
SHOWS = ("print", "display", "plt")


NAME = re.compile(r"(?!.*\.ipynb$)\w[\w -]*(?:[./]\w[\w -]*)*")  # of a file in the folder or below


@dataclass(frozen=True, eq=False)
class Statement:
    """One or more statements of a cell in front of a test.

    Args:
        code: to run, once.
        seed: from which they draw, see `seeds`.
    """

    code: CodeType
    seed: int | None = None


@dataclass
class Given:
    """The names that a test may use.

    Args:
        statements: for a name, those that bind or change it, in their order; "*" for imports of all.
        learners: names that answers bind.
        imported: those among them that solutions only import, and no cell in front.
    """

    statements: dict[str, list[Statement]] = field(default_factory=dict)
    learners: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)


def given(source: Sequence[Cell], test: Cell) -> Given:
    """What the cells in front of a test give it, as far as it can need that."""
    found, seed_of = Given(), seeds(source)
    reads: dict[Statement, set[str]] = {}
    for cell in source[: source.index(test)]:
        if cell.kind != "code":
            continue
        code, seed = python_of(cell.source), seed_of.get(cell.source)
        statements = _statements(code)
        place = cell.grade_id or cell.id
        whole = Statement(_compiled(statements, place), seed)
        reads[whole] = names_used(code)
        for statement in statements:
            is_import = isinstance(statement, ast.Import | ast.ImportFrom)
            if cell.solution and not (is_import and not _in_solution(code, statement)):
                bound = names_bound(statement) - (found.statements.keys() if is_import else set())
                found.imported |= bound - found.learners if is_import else set()
                found.imported -= set() if is_import else bound
                found.learners |= bound
            else:
                alone = Statement(_compiled([statement], place))
                reads[alone] = names_read(statement)
                # Of a test in front, what it defines: its asserts are its own.
                for name in names_bound(statement) if cell.is_test else names_changed(statement):
                    found.statements.setdefault(name, []).append(alone if seed is None else whole)
    _keep_what_is_needed(found, names_mentioned(test.source), reads)
    return found


def _compiled(statements: list[ast.stmt], place: str) -> CodeType:
    """Some statements; what only a notebook can run, `await` for instance, defines nothing for a test."""
    try:
        return compile(ast.Module(statements, []), place, "exec")
    except SyntaxError:
        return compile("", place, "exec")


def _keep_what_is_needed(found: Given, names: set[str], reads: Mapping[Statement, set[str]]) -> None:
    """Leave out what no name leads to: what other tests hide, for instance."""
    waiting, needed = [*names, "*"], set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [other for statement in found.statements.get(name, ()) for other in reads[statement]]
    found.statements = {name: kept for name, kept in found.statements.items() if name in needed}


def seeds(source: Sequence[Cell]) -> dict[str, int]:
    """Seeds for cells that draw at random with none set: by their code, so the same for everybody."""
    found = {}
    for cell in source:
        if cell.kind == "code" and not (cell.grade or cell.solution):
            nodes = list(nodes_of(cell.source))
            names = {getattr(node, "id", getattr(node, "attr", None)) or "" for node in nodes}
            if names.intersection(SEEDS):
                break
            if names.intersection(DRAWS) or any(name.startswith("rand") for name in names):
                found[cell.source] = zlib.crc32(cell.source.encode())
    return found


def files_named(cells: Sequence[Cell], folder: Path) -> dict[str, Path]:
    """The files in a folder that some cells of the source name, as `open("data.csv")` does."""
    nodes = (node for cell in cells if cell.kind == "code" for node in nodes_of(cell.source))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = [name for name in texts if NAME.fullmatch(name) and (folder / name).is_file()]
    return {name: folder / name for name in names}


def _statements(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except SyntaxError:  # it does not run in a notebook either
        return []


def _in_solution(code: str, statement: ast.stmt) -> bool:
    """Whether a statement is cut out of the cell when it is released; all is where no part is marked."""
    before = "\n".join(code.split("\n")[: statement.lineno])
    return BEGIN not in code or before.count(BEGIN) > before.count(END)


def names_changed(statement: ast.stmt) -> set[str]:
    """The names that a statement binds, or whose value it may change: `data["x"] = 1`, `shuffle(data)`."""
    return names_bound(statement) | set(_changed(statement))


def _changed(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield _first(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if ast.unparse(called).partition(".")[0] not in SHOWS:
                yield from (_first(called), *(arg.id for arg in node.value.args if isinstance(arg, ast.Name)))


def _first(node: ast.expr) -> str:
    """The name in front of all dots and brackets; "" where there is none, or nothing else."""
    is_bare = isinstance(node, ast.Name)
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) and not is_bare else ""


@functools.lru_cache(maxsize=256)  # the tests of a notebook are the same for all submissions
def compiled(code: str, name: str) -> tuple[CodeType, CodeType | None]:
    """The code of a test, and apart from it its last line where that has a value."""
    whole = ast.parse(code, name)
    last = whole.body.pop() if whole.body and isinstance(whole.body[-1], ast.Expr) else None
    value = compile(ast.Expression(last.value), name, "eval") if isinstance(last, ast.Expr) else None
    return compile(whole, name, "exec"), value


def points_of(value: Any) -> float | None:
    """A number as points, as nbgrader reads the value of a cell's last line; None for anything else."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return float(np.nan_to_num(float(value))) if is_number else None
