"""A test of the source as code, and what it may use: names of the source's cells, and of the learner's.

A name that an answer of the source binds is the learner's. What other cells of the source bind, in front of
the test, is the source's: it runs where the test runs, with the source's code, whatever a submission has made
of it. So are the imports of an answer's cell, but for those within its solution.
"""

import ast
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np

from course_lib.grading.intake.names import names_bound, python_of
from course_lib.grading.intake.submission import Cell

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


@dataclass
class Given:
    """The names that a test may use.

    Args:
        statements: for a name, those that bind or change it, in their order; "*" for imports of all.
        learners: names that answers bind.
        imported: those among them that solutions only import.
    """

    statements: dict[str, list[CodeType]] = field(default_factory=dict)
    learners: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)


def given(source: Sequence[Cell], test: Cell) -> Given:
    """What the cells in front of a test give it."""
    found = Given()
    for cell in source[: source.index(test)]:
        if cell.kind != "code":
            continue
        code = python_of(cell.source)
        for statement in _statements(code):
            is_import = isinstance(statement, ast.Import | ast.ImportFrom)
            if cell.solution and not (is_import and not _in_solution(code, statement)):
                bound = names_bound(statement)
                found.imported |= bound - found.learners if is_import else set()
                found.imported -= set() if is_import else bound
                found.learners |= bound
            else:
                compiled = compile(ast.Module([statement], []), cell.grade_id or cell.id, "exec")
                for name in names_changed(statement):
                    found.statements.setdefault(name, []).append(compiled)
    return found


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
    """The names that a statement binds, or whose value it changes: `data["x"] = 1`, `data.append(1)`."""
    return names_bound(statement) | set(_changed(statement))


def _changed(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield _first(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield _first(node.value.func)


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
