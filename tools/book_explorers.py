"""The book's gallery of explorers: each as its lesson opens it, alive, from the lesson that has run."""

import re
from pathlib import Path
from typing import Any

import executed
import nbformat

from course_lib.widgets import alone

NAME = "explorers"
# Where an explorer stands: its notebook, and the cell that shows it.
MARK = re.compile(r"^<!-- explorer (\w+) ([\w-]+) -->$", re.MULTILINE)
MODEL = "IPY_MODEL_"


def shown(path: Path, cell: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The view of the widget that a cell of a notebook shows, and the state of all models that it needs.

    Raises: ValueError: the cell shows none.
    """
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for each in notebook.cells if each.id == cell for output in each.get("outputs", [])]
    views = [output.data[alone.VIEW] for output in outputs if alone.VIEW in output.get("data", {})]
    if len(views) != 1:
        raise ValueError(f"cell {cell!r} of {path.name} shows one widget; got {len(views)}")
    every = notebook.metadata["widgets"][alone.STATE]["state"]
    needed: dict[str, Any] = {}
    missing = [views[0]["model_id"]]
    while missing:
        model = missing.pop()
        needed[model] = every[model]
        values = (value for value in every[model]["state"].values() if isinstance(value, str))
        names = [value.removeprefix(MODEL) for value in values if value.startswith(MODEL)]
        missing += [name for name in names if name not in needed]
    return views[0], needed


def lay_ready(source: Path, notebooks: Path) -> dict[str, Any]:
    """Put the explorers into their page in a folder of Sphinx's source; the state of them all."""
    page = source / f"{NAME}.md"
    every: dict[str, Any] = {}
    text = page.read_text(encoding="utf-8")
    for mark in MARK.finditer(text):
        view, needed = shown(executed.executed(notebooks / f"{mark[1]}.ipynb"), mark[2])
        every |= needed
        text = text.replace(mark[0], f"<div>{alone.data(alone.VIEW, view)}</div>")
    page.write_text(text, encoding="utf-8")
    return {"version_major": 2, "version_minor": 0, "state": every}
