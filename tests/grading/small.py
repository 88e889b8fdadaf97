"""A small assignment of two NumPy tasks, and submissions made of it: what tests of the grader share."""

import json
from pathlib import Path
from typing import Any

from course_lib.checks import solution_source

REPOSITORY = Path(__file__).resolve().parents[2]


def cell(name: str, source: str, kind: str = "code", **marks: Any) -> dict[str, Any]:
    """A cell of a notebook file; with marks, one of nbgrader's."""
    made: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": source}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    if marks:
        plain = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        made["metadata"]["nbgrader"] = {**plain, **marks}
    return made


def answer(name: str, source: str) -> dict[str, Any]:
    """The cell of an answer."""
    return cell(f"{name}-answer", source, grade_id=name, solution=True)


def locked(name: str, source: str, points: float = 1.0) -> dict[str, Any]:
    """The cell of a test."""
    return cell(f"{name}-test", source, grade_id=f"test_{name}", grade=True, locked=True, points=points)


def with_hidden(shown: str, hidden: str) -> str:
    """A test with hidden tests."""
    return f"{shown}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"


def checked(task: str, name: str) -> str:
    """The test of a task of the course."""
    return with_hidden(
        f'check("{task}", {name})', f'for seed in (31, 57):\n    check("{task}", {name}, seed=seed)'
    )


def write(path: Path, cells: list[dict[str, Any]]) -> Path:
    """Write a notebook file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def right(task: str) -> str:
    """The solution of a task."""
    code = solution_source(task)
    assert code is not None
    return code
