"""The exercises: what nbgrader makes of solutions/, safe to hand out, honest when nothing is written yet."""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbgrader.utils import is_grade, is_solution

from course_lib.checks import find_task, tasks

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*/*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*/*.ipynb"))
SCORES = ("scores", "scores-answer", "scores-test")
NAMES = [path.relative_to(ROOT).as_posix() for path in EXERCISES]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------- notebooks come from tasks and Markdown


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load(ROOT / "tools" / "exercises.py")


@pytest.fixture
def made(tool, monkeypatch, tmp_path):
    """The cells that a Markdown file of 03_qkv gives, by their ids."""
    monkeypatch.setattr(tool.tasks, "folder_of", lambda concept, own=tasks.folder_of: tmp_path)

    def make(text: str) -> dict:
        (tmp_path / "toys.md").write_text(text, encoding="utf-8")
        for concept in ("03_qkv", "06_residuals"):
            for path in (ROOT / f"course_lib/concepts/c{concept}/tasks").glob("*.py"):
                shutil.copy(path, tmp_path)
        return {cell.id: cell for cell in tool.notebook("03_qkv", "toys").cells}

    return make


def test_what_is_committed_is_made_of_the_tasks_byte_for_byte(tool, tmp_path):
    tool.release(tmp_path)
    for kind in ("solutions", "exercises"):
        assert tool.different(tmp_path / kind, ROOT / kind) == []
    assert tool.contents(ROOT / "solutions").keys() == tool.contents(ROOT / "exercises").keys()


def test_cells_stand_in_the_notebook_as_in_its_file(made):
    cells = made("<!-- title -->\n# Toys\n\nTwo.\n\n<!-- setup -->\n```python\nimport math\n\nx = 1\n```\n")
    assert [(cell.cell_type, cell.source) for cell in cells.values()] == [
        ("markdown", "# Toys\n\nTwo."),
        ("code", "import math\n\nx = 1"),
    ]


def test_a_task_has_its_words_its_answer_and_its_check(made):
    cells = made("<!-- title -->\n# Toys\n\n<!-- task: softmax -->\n\n<!-- task: scores -->\n")
    assert list(cells) == ["title", "softmax", "softmax-answer", "softmax-test", *SCORES]
    words = tasks.words("03_qkv")["03_qkv/scores"]
    said = cells["scores"].source
    assert said.startswith(f"## 2. {words.title}\n\nLevel {words.level} of 4 (")
    assert f"[{words.section}](../../notebooks/03_qkv.ipynb#{words.section.replace(' ', '-')})" in said
    assert f"\n\n<details><summary>Hint</summary>\n\n{words.hints[0]}\n\nMore: `hint(" in said
    assert said.endswith('solution("03_qkv/scores")`.\n\n</details>')
    answer = cells["scores-answer"]
    assert answer.source.startswith("def scores(q, k):\n")
    assert answer.metadata.nbgrader.grade_id == "scores"
    assert answer.metadata.nbgrader.solution
    test = cells["scores-test"]
    assert test.source.startswith(
        'check("03_qkv/scores", scores)\n### BEGIN HIDDEN TESTS\nfor seed in (31, 57):'
    )
    assert test.metadata.nbgrader.points == words.level
    assert test.metadata.nbgrader.locked


def test_what_a_task_forbids_is_named_in_its_words(tool):
    forbidden = ("torch.nn.functional.softmax", "torch.nn.RMSNorm.forward")
    words = replace(tasks.words("03_qkv")["03_qkv/scores"], forbidden=forbidden)
    assert "\n\nNot allowed: `F.softmax`, `torch.nn.RMSNorm`.\n\n" in tool.markdown(1, words)


def test_a_guest_has_its_own_words_and_points_and_an_answer_for_here(made):
    cells = made(
        "<!-- task: scores -->\n\n<!-- task: 06_residuals/rms_norm -->\n"
        "```python\ndef rms_norm(x): ...\n```\n"
    )
    words, answer, test = (cells[name] for name in ("rms-norm", "rms-norm-answer", "rms-norm-test"))
    assert words.source.startswith(
        "## 2. RMS norm\n\nLevel 1 of 4 (fill one line), 6 minutes. In the notebook: "
    )
    section = find_task("06_residuals/rms_norm").section.replace(" ", "-")
    assert f"(../../notebooks/06_residuals.ipynb#{section})" in words.source
    assert words.metadata.task == "06_residuals/rms_norm"
    assert answer.source == "def rms_norm(x): ..."
    assert test.metadata.nbgrader.points == 1
    assert test.source.startswith('check("06_residuals/rms_norm", rms_norm)\n')


def test_where_a_real_model_runs_one_hidden_test_is_enough(made):
    assert made("<!-- task: real_model -->\n")["real-model-test"].source.endswith(
        '### BEGIN HIDDEN TESTS\ncheck("03_qkv/real_model", my_attention, seed=31)\n### END HIDDEN TESTS'
    )


def test_an_answer_that_a_person_grades_has_points_and_no_lock(made):
    marks = made("<!-- plan-answer: own_plan, 6 points -->\n**Plan:**\n")["plan-answer"].metadata.nbgrader
    assert (marks.grade_id, marks.points, marks.grade, marks.solution, marks.locked) == (
        *("own_plan", 6),
        *(True, True, False),
    )


def test_its_own_tasks_and_their_minutes_are_counted(tool):
    own = [task.minutes for task in tasks.words("05_positions").values() if task.notebook == "places"]
    title = tool.notebook("05_positions", "places").cells[0].source
    assert f"{tool.NUMBERS[len(own)]} tasks in PyTorch, about {sum(own)} minutes" in title
    assert "{" not in title


def test_a_file_that_begins_without_the_name_of_a_cell_is_refused(made):
    with pytest.raises(ValueError, match=r"toys.md should begin with the name of a cell, .* got '# Toys"):
        made("# Toys\n\n<!-- task: scores -->\n")


def test_a_notebook_shows_the_progress_in_its_first_code_cell():
    for path in SOLUTIONS:
        first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        assert first.source.endswith(f'\n\nprogress("{path.parent.name}")'), path


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


def _read(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


# Task -> what a reader finds in the section that it points to, and in no other.
SUBJECTS = {
    "05_positions/alibi_bias": "-slopes[:, None, None] * distance.abs()",
    "05_positions/relative_index": "distance.clamp(-8, 8) + 8",
    "06_residuals/layer_norm": "root(variance + ε)",
    "06_residuals/rms_norm": "**RMSNorm**",
    "06_residuals/identity_start": "parts that give zero leave the stream as it was",
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


WITHOUT_SMOLLM2 = """
from unittest.mock import Mock
from course_lib.concepts.c09_real_models.capstone import assembly
from course_lib.pretrained import MissingModelError
assembly._real = Mock(side_effect=MissingModelError("it is not installed"))
"""


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_a_release_run_as_it_is_fails_only_because_nothing_is_written(path, kernel, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    clean = f"%reset -f\nimport os; os.chdir({str(tmp_path)!r})\ndel os\nprint(dir())"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(clean))
    if path.stem == "my_transformer":  # SmolLM2 would talk for a minute; its page is run elsewhere
        notebook.cells.insert(1, nbformat.v4.new_code_cell(WITHOUT_SMOLLM2))
        notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("!")]
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
