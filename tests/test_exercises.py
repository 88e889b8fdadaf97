"""The exercises: what nbgrader makes of solutions/, safe to hand out, honest when nothing is written yet."""

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.utils import is_grade, is_solution

from course_lib.checks import find_task, solution_source, task_names

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*/*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*/*.ipynb"))
NAMES = [path.relative_to(ROOT).as_posix() for path in EXERCISES]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_solution_notebook_is_released():
    assert [path.relative_to(ROOT / "solutions") for path in SOLUTIONS] == [
        path.relative_to(ROOT / "exercises") for path in EXERCISES
    ]
    assert SOLUTIONS


def test_two_releases_are_the_committed_one_byte_for_byte(tmp_path):
    tool = load(ROOT / "tools" / "exercises.py")
    committed = tool.contents(ROOT / "exercises")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert tool.contents(tool.release(tmp_path / name)) == committed


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_a_release_gives_nothing_away(path):
    text = path.read_text(encoding="utf-8")
    for marker in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "seed="):
        assert marker not in text
    for cell in nbformat.reads(text, as_version=4).cells:
        if is_solution(cell):
            code = re.sub(r'"""(.|\n)*?"""', "", cell.source)
            assert "raise NotImplementedError" in code
            assert len(code.split("\n")) <= 12, "a stub is a signature, a docstring and one line"


@pytest.mark.parametrize("path", [*SOLUTIONS, *EXERCISES], ids=lambda path: "/".join(path.parts[-3:]))
def test_the_metadata_is_valid_for_nbgrader(path):
    notebook = nbformat.read(path, as_version=4)
    MetadataValidator().validate_nb(notebook)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("name", task_names())
def test_a_task_has_an_answer_cell_a_graded_check_and_its_words(name):
    task = find_task(name)
    concept, short = name.split("/")
    homes = [path for path in SOLUTIONS if path.parent.name == concept and f'check("{name}"' in _read(path)]
    home = [path for path in homes if f'"grade_id": "{short}"' in path.read_text(encoding="utf-8")]
    assert len(home) == 1
    cells = nbformat.read(home[0], as_version=4).cells
    place = next(
        i for i, cell in enumerate(cells) if cell.metadata.get("nbgrader", {}).get("grade_id") == short
    )
    words, answer, test = cells[place - 1 : place + 2]
    assert f"Level {task.level} of 4" in words.source
    assert f", {task.minutes} minutes." in words.source
    assert (
        f"[{task.section}](../../notebooks/{concept}.ipynb#{task.section.replace(' ', '-')})" in words.source
    )
    assert f"<details><summary>Hint</summary>\n\n{task.hints[0]}\n" in words.source
    assert is_solution(answer)
    assert is_grade(test)
    assert test.metadata.nbgrader.points == task.level
    visible, hidden = test.source.split("### BEGIN HIDDEN TESTS\n")
    assert visible.count("check(") == 1
    assert f'check("{name}", ' in hidden
    assert solution_source(name).startswith(("def ", "class "))


def _read(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_the_sections_that_tasks_point_to_exist(path):
    for target, section in re.findall(r"\]\((\.\./[^)#]*)#([^)]*)\)", _read(path)):
        notebook = (path.parent / target).resolve()
        titles = re.findall(r"^#+ (.*)$", _read(notebook), flags=re.MULTILINE)
        assert section in [title.replace(" ", "-") for title in titles], f"{target} has no section {section}"


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_a_release_run_as_it_is_fails_only_because_nothing_is_written(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": path.parent}}
    ).execute()
    n_checks = 0
    for cell in notebook.cells:
        errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        assert {error.ename for error in errors} <= {"NotImplementedError", "NotWrittenYet"}
        if is_grade(cell):
            n_checks += 1
            assert [error.ename for error in errors] == ["NotWrittenYet"]
            name = re.search('check."(.*?)"', cell.source)[1]
            assert errors[0].traceback == [f"{name}: not solved yet."]
            assert "Not written yet" in cell.outputs[0].data["text/html"]
    assert n_checks >= 5
