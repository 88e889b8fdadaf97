"""The exercises: what nbgrader makes of solutions/, safe to hand out, honest when nothing is written yet."""

import copy
import dataclasses
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.utils import is_grade, is_solution

from course_lib.checks import find_task, solution_source, task_names, tasks

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


def test_a_release_is_the_committed_one_byte_for_byte(tmp_path):
    tool = load(ROOT / "tools" / "exercises.py")
    assert tool.contents(tool.release(tmp_path)) == tool.contents(ROOT / "exercises")


# ---------------------------------------------------------------------------- words come from the task files


@pytest.fixture
def tool() -> ModuleType:
    return load(ROOT / "tools" / "exercises.py")


@pytest.fixture
def cells() -> list[dict]:
    """The cells of a notebook with solutions, to be changed by a test."""
    return json.loads((ROOT / "solutions/03_qkv/attention_by_hand.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]


@pytest.fixture
def words() -> list[tasks.Words]:
    return [task for task in tasks.words("03_qkv").values() if task.notebook == "attention_by_hand"]


def test_the_words_of_the_solutions_are_those_of_the_task_files(tool, tmp_path):
    shutil.copytree(ROOT / "solutions", tmp_path / "solutions", ignore=tool.IGNORED)
    tool.write_words(tmp_path / "solutions")
    assert tool.different(tmp_path / "solutions", ROOT / "solutions") == []


def test_other_words_and_points_are_written_over(tool, cells, words):
    committed = copy.deepcopy(cells)
    for cell in cells:
        if cell["id"] == "softmax":
            cell["source"] = ["something else"]
        if cell["id"] == "softmax-test":
            cell["metadata"]["nbgrader"]["points"] = 97
    tool.write_tasks(cells, words)
    assert cells == committed


def test_a_change_of_the_task_file_reaches_the_notebook(tool, cells, words):
    new = dataclasses.replace(words[1], title="Dots", level=4, minutes=83, text="Say *it*.", hints=("One.",))
    tool.write_tasks(cells, [words[0], new, *words[2:]])
    text = "".join(next(cell for cell in cells if cell["id"] == "scores")["source"])
    assert text == (
        "## 2. Dots\n\nLevel 4 of 4 (build it), 83 minutes. In the notebook: "
        "[Scores](../../notebooks/03_qkv.ipynb#Scores).\n\nSay *it*.\n\n<details><summary>Hint</summary>\n\n"
        'One.\n\nOur answer: `solution("03_qkv/scores")`.\n\n</details>'
    )
    test = next(cell for cell in cells if cell["id"] == "scores-test")
    assert test["metadata"]["nbgrader"]["points"] == 4


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_task_without_cells_gets_them(tool, cells, words, number):
    committed = copy.deepcopy(cells)
    short = words[number].name.split("/")[1]
    place = next(i for i, cell in enumerate(cells) if cell["id"] == short.replace("_", "-"))
    del cells[place : place + 3]
    tool.write_tasks(cells, words)
    assert [cell["id"] for cell in cells] == [cell["id"] for cell in committed]
    assert cells[place] == committed[place]
    assert cells[place + 1]["metadata"] == committed[place + 1]["metadata"]
    assert cells[place + 2] == committed[place + 2]
    stub = f"def {words[number].call}:"
    assert cells[place + 1]["source"][0] == f"{stub}\n"
    assert "".join(committed[place + 1]["source"]).startswith(stub)


def test_a_task_of_another_notebook_is_a_guest_with_its_own_words_and_points(tool, cells, words):
    guest = copy.deepcopy(cells[cells.index(next(cell for cell in cells if cell["id"] == "scores")) :][:3])
    for cell, end in zip(guest, ("", "-answer", "-test"), strict=True):
        cell["id"] = f"rms-norm{end}"
    guest[0]["metadata"] = {"task": "06_residuals/rms_norm"}
    place = next(i for i, cell in enumerate(cells) if cell["id"] == "scores")
    cells[place:place] = guest
    tool.write_tasks(cells, words)
    said = "".join(cells[place]["source"])
    number = next(i for i, task in enumerate(words) if task.name == "03_qkv/scores") + 1
    assert said.startswith(
        f"## {number}. RMS norm\n\nLevel 1 of 4 (fill one line), 6 minutes. In the notebook: "
    )
    assert "(../../notebooks/06_residuals.ipynb#The-layer-from-its-parts)" in said
    assert cells[place + 2]["metadata"]["nbgrader"]["points"] == 1
    assert "".join(cells[place + 3]["source"]).startswith(f"## {number + 1}. ")


def test_cells_in_another_order_are_refused(tool, cells, words):
    expected = (
        "after the cell 'project-test' the cells scores, scores-answer and scores-test should follow, as in "
        "the task file; got scores, scores-test, softmax at 5"
    )
    del cells[6]  # the answer of `scores`
    with pytest.raises(ValueError, match=re.escape(expected)):
        tool.write_tasks(cells, words)


def test_tasks_in_another_order_are_refused(tool, cells, words):
    with pytest.raises(ValueError, match="after the cell 'scores-test' the cells project, project-answer"):
        tool.write_tasks(cells, [words[1], words[0], *words[2:]])


def test_a_task_file_that_names_a_missing_notebook_is_refused(tool, tmp_path):
    with pytest.raises(ValueError, match=re.escape("no solutions/00_overview/warm_up.ipynb")):
        tool.write_words(tmp_path)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_title_counts_tasks_and_minutes(path):
    here = [task for task in tasks.words(path.parent.name).values() if task.notebook == path.stem]
    title = nbformat.read(path, as_version=4).cells[0].source
    number = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"][len(here)]
    assert re.search(rf"^{number} tasks\b", title, flags=re.MULTILINE)
    assert f"about {sum(task.minutes for task in here)} minutes" in title


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_notebook_shows_the_progress_in_its_first_code_cell(path):
    first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert first.source.endswith(f'\n\nprogress("{path.parent.name}")')


# ------------------------------------------------------------------------------------------------ the release


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_a_release_gives_nothing_away(path):
    text = path.read_text(encoding="utf-8")
    for marker in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "seed="):
        assert marker not in text
    for cell in nbformat.reads(text, as_version=4).cells:
        if is_solution(cell) and not is_grade(cell):
            code = re.sub(r'"""(.|\n)*?"""', "", cell.source)
            assert "raise NotImplementedError" in code
            assert len(code.split("\n")) <= 12, "a stub is a signature, a docstring and one line"


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_no_line_of_a_solution_is_in_its_released_cell(path):
    released = ROOT / "exercises" / path.relative_to(ROOT / "solutions")
    cells = {cell.id: cell.source for cell in nbformat.read(released, as_version=4).cells}
    n_lines = 0
    for cell in filter(is_solution, nbformat.read(path, as_version=4).cells):
        ours = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, flags=re.DOTALL)
        lines = {line.strip() for part in ours for line in part.splitlines()} - {""}
        assert lines, cell.id
        assert lines.isdisjoint(line.strip() for line in cells[cell.id].splitlines())
        n_lines += len(lines)
    assert n_lines


def graded_by_hand(path: Path) -> list:
    """The cells of a notebook that a learner fills and a person grades."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if is_solution(cell) and is_grade(cell)]


def test_what_a_person_grades_is_handed_out_empty_with_its_points():
    found = {path.stem: graded_by_hand(path) for path in EXERCISES if graded_by_hand(path)}
    assert list(found) == ["weights"]
    words, code = found["weights"]
    assert [cell.cell_type for cell in (words, code)] == ["markdown", "code"]
    assert words.source.count("*Write here.*") == len(re.findall(r"^\*\*.*:\*\*$", words.source, re.M)) == 5
    assert code.source == "raise NotImplementedError"
    cells = nbformat.read(ROOT / "exercises/09_real_models/weights.ipynb", as_version=4).cells
    rubric = next(cell.source for cell in cells if cell.id == "open")
    criteria = [row for row in rubric.splitlines() if row.startswith("| ")][1:]
    assert len(criteria) == 5
    assert words.metadata.nbgrader.points + code.metadata.nbgrader.points == 2 * len(criteria)
    for cell in (words, code):
        marks = cell.metadata.nbgrader
        assert (marks.grade, marks.solution, marks.locked, marks.task) == (True, True, False, False)


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


@pytest.mark.parametrize("name", [name for name in task_names() if find_task(name).forbidden])
def test_what_a_task_forbids_is_named_in_its_words(name):
    task = find_task(name)
    cells = nbformat.read(ROOT / f"exercises/{name.split('/')[0]}/{task.notebook}.ipynb", as_version=4).cells
    words = next(
        cell.source for cell in cells if re.match(rf"## \d+\. {re.escape(task.title)}\n", cell.source)
    )
    said = re.search(r"^Not allowed: (.*)\.$", words, flags=re.MULTILINE)[1]
    for routine in task.forbidden:
        *_, owner, own = routine.split(".")
        assert f"{owner}`" in said if own == "forward" else f"{own}`" in said


# Task -> what a reader finds in the section that it points to, and in no other.
SUBJECTS = {
    "05_positions/alibi_bias": "-slopes[:, None, None] * distance.abs()",
    "05_positions/relative_index": "distance.clamp(-8, 8) + 8",
    "06_residuals/layer_norm": r"\operatorname{var}(x) + \epsilon",
    "06_residuals/rms_norm": "**RMSNorm**",
    "06_residuals/identity_start": "nn.init.zeros_(part.weight)",
    "06_residuals/depth_scaled_start": "divided by the root of the number of additions",
}


@pytest.mark.parametrize(("name", "subject"), SUBJECTS.items())
def test_a_task_points_to_the_section_that_treats_its_subject(name, subject):
    lesson = _read(ROOT / f"notebooks/{name.split('/')[0]}.ipynb")
    title = ""
    found = set()
    for line in lesson.splitlines():
        heading = re.match(r"#{2,} (.*)$", line)
        title = heading[1] if heading else title
        if subject in line:
            found.add(title)
    assert found == {find_task(name).section}


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_the_sections_that_tasks_point_to_exist(path):
    for target, section in re.findall(r"\]\((\.\./[^)#]*)#([^)]*)\)", _read(path)):
        notebook = (path.parent / target).resolve()
        titles = re.findall(r"^#+ (.*)$", _read(notebook), flags=re.MULTILINE)
        assert section in [title.replace(" ", "-") for title in titles], f"{target} has no section {section}"


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelManager]:
    """One for all notebooks: to start a kernel and import torch takes longer than a release has to run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
        yield manager
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_a_release_run_as_it_is_fails_only_because_nothing_is_written(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    clean = f"%reset -f\nimport os; os.chdir({str(path.parent)!r})\ndel os\nprint(dir())"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(clean))
    client = NotebookClient(notebook, kernel, timeout=300, allow_errors=True)
    client.execute()
    client.kc.stop_channels()
    left = notebook.cells.pop(0).outputs[0].text
    assert "progress" not in left, f"of another notebook there is still {left}"
    n_checks = 0
    for cell in notebook.cells:
        errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        assert {error.ename for error in errors} <= {"NotImplementedError", "NotWrittenYet"}
        if is_grade(cell) and not is_solution(cell):
            n_checks += 1
            assert [error.ename for error in errors] == ["NotWrittenYet"]
            name = re.search('check."(.*?)"', cell.source)[1]
            assert errors[0].traceback == [f"{name}: not solved yet."]
            assert "Not written yet" in cell.outputs[0].data["text/html"]
    n_guests = sum("task" in cell.metadata for cell in notebook.cells)  # tasks of other notebooks
    own = sum(task.notebook == path.stem for task in tasks.words(path.parent.name).values())
    assert n_checks == own + n_guests
