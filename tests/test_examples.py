"""The examples in the library's docstrings give what stands below them."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def examples() -> dict[str, str]:
    """The docstrings that hold examples, by their file and line."""
    found = {}
    for path in sorted((ROOT / "course_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
            if text and ">>> " in text:
                found[f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 1)}"] = text
    return found


@pytest.mark.parametrize(("place", "text"), examples().items(), ids=examples())
def test_an_example_gives_what_stands_below_it(place, text, own_errors, monkeypatch):
    monkeypatch.delenv("COURSE_FIGURES")  # as a learner runs it
    file, _, line = place.partition(":")
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    names = dict(vars(importlib.import_module(name)))
    example = doctest.DocTestParser().get_doctest(text, names, name, file, int(line))
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed == 0, "".join(said)
