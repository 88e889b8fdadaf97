"""Make solutions/ and exercises/, or compare them with what their sources give.

    python tools/exercises.py                # write all of solutions/ and exercises/
    python tools/exercises.py 05_positions   # those of one concept
    python tools/exercises.py --check        # say what differs, and fail if anything does

A task's words, answer and check come from its file, the cells between them from the notebook's Markdown file
beside it, see `course_lib.checks.tasks`. nbgrader then makes exercises/ from solutions/, in a temporary copy
of the course: no grade book is left.

In a Markdown file each cell stands below its name. A task of another notebook is a guest; where its answer
must look otherwise there, that follows as code. {n_tasks} and {minutes} become the number of the tasks that
are at home in it, and what they take; {minutes of 06_residuals/rms_norm} what one task takes.

    <!-- setup -->                                            a cell, Markdown or one block of Python
    <!-- task: split_heads -->                                the three cells of a task
    <!-- task: 06_residuals/rms_norm -->                      a guest
    <!-- open-plan-answer: own_experiment_plan, 6 points -->  an answer that a person grades
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from course_lib.checks import tasks
from course_lib.checks.exercise import answer_cell
from course_lib.checks.kinds import Words

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
LEVELS = {1: "fill one line", 2: "a few lines", 3: "a function with traps", 4: "build it"}
NAME = re.compile(r"^<!-- (.+) -->\n", re.MULTILINE)
BY_HAND = re.compile(r"(\S+): (\w+), (\d+) points")
HIDDEN_SEEDS = (31, 57)
NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]

# As `nbgrader generate_assignment NAME --force` for each, in one process: to start one takes seconds.
RELEASE_ALL = """
import sys
from nbgrader.apps import GenerateAssignmentApp
for assignment in sys.argv[1:]:
    GenerateAssignmentApp.launch_instance([assignment, "--force"])
    GenerateAssignmentApp.clear_instance()
"""


def write_solutions(folder: Path, concepts: Sequence[str] = ()) -> None:
    """Write the notebooks with our solutions into a folder, one folder for each concept.

    Args:
        folder: where to.
        concepts: all, if none is named.
    Raises: ValueError: a source is not what it should be.
    """
    for concept in concepts or tasks.concepts():
        (folder / concept).mkdir(parents=True)
        for name in tasks.notebooks(concept):
            nbformat.write(notebook(concept, name), folder / concept / f"{name}.ipynb")


def release(course: Path, concepts: Sequence[str] = ()) -> Path:
    """Write solutions/ into `course`, let nbgrader release it; return the folder that it wrote.

    As `write_solutions`.

    Raises: RuntimeError: nbgrader failed; its own words follow.
    """
    shutil.copy(ROOT / "nbgrader_config.py", course)
    write_solutions(course / "solutions", concepts)
    # nbgrader calls a program of this environment by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    assignments = sorted(path.name for path in (course / "solutions").iterdir() if path.is_dir())
    command = [sys.executable, "-c", RELEASE_ALL, *assignments]
    run = subprocess.run(
        command, cwd=course, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    missing = [name for name in assignments if not (course / "exercises" / name).is_dir()]
    if run.returncode != 0 or missing:
        raise RuntimeError(f"nbgrader did not release {', '.join(missing)}:\n{run.stdout}{run.stderr}")
    return course / "exercises"


# ------------------------------------------------------------------------------------------------- a notebook


def notebook(concept: str, name: str) -> nbformat.NotebookNode:
    """A notebook of exercises with our solutions.

    Raises: ValueError: its Markdown file is not as above, or a task's file is not what it should be.
    """
    source = (tasks.folder_of(concept) / f"{name}.md").read_text(encoding="utf-8")
    before, *parts = NAME.split(f"{source.rstrip()}\n")
    if before.strip() or not parts:
        raise ValueError(
            f"{name}.md should begin with the name of a cell, <!-- title -->; got {before[:60]!r}"
        )
    own = [words.minutes for words in tasks.words(concept).values() if words.notebook == name]
    counts = {"{n_tasks}": NUMBERS[len(own)], "{minutes}": str(sum(own))}
    for task in re.findall(r"{minutes of (.+?)}", source):
        counts[f"{{minutes of {task}}}"] = str(tasks.words(task.split("/")[0])[task].minutes)
    cells: list[Any] = []
    number = 0
    for mark, text in zip(parts[::2], parts[1::2], strict=True):
        for placeholder, count in counts.items():
            text = text.replace(placeholder, count)
        code = re.fullmatch(r"```python\n(.*)\n```", text.strip(), re.DOTALL)
        if mark.startswith("task: "):
            number += 1
            cells += task_cells(number, concept, mark.removeprefix("task: "), code and code[1])
        elif by_hand := BY_HAND.fullmatch(mark):
            cell_id, grade_id, points = by_hand.groups()
            cells.append(_cell(cell_id, code and code[1], text, _marks(grade_id, True, int(points))))
        else:
            cells.append(_cell(mark, code and code[1], text))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def task_cells(number: int, concept: str, name: str, answer: str | None) -> list[Any]:
    """The cells of a task: its words, our answer, and its check.

    Args:
        number: among the tasks of the notebook.
        concept: of the notebook.
        name: the task's, with its concept where that is another.
        answer: instead of the one in the task's file.
    """
    is_guest = "/" in name
    whole = name if is_guest else f"{concept}/{name}"
    home, short = whole.split("/")
    words = tasks.words(home)[whole]
    cell_id = short.replace("_", "-")
    answer = answer or answer_cell(tasks.folder_of(home) / f"{short}.py")
    text = _cell(cell_id, None, markdown(number, words))
    if is_guest:
        text.metadata["task"] = whole
    test = _marks(f"test_{short}", False, words.level)
    return [
        text,
        _cell(f"{cell_id}-answer", answer, "", _marks(short, True)),
        _cell(f"{cell_id}-test", test_of(words), "", test),
    ]


def test_of(words: Words) -> str:
    """The check that a learner sees, and the hidden ones: one only where a real model runs in it."""
    learner = words.call.split("(")[0]
    first = f'check("{words.name}", {learner}'
    seeds = HIDDEN_SEEDS[:1] if tasks.task(words.name).finale else HIDDEN_SEEDS
    hidden = f"{first}, seed={seeds[0]})"
    if len(seeds) > 1:
        hidden = f"for seed in {seeds}:\n    {first}, seed=seed)"
    return f"{first})\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"


def markdown(number: int, task: Words) -> str:
    """What a learner reads about a task."""
    concept = task.name.split("/")[0]
    section = f"[{task.section}](../../notebooks/{concept}.ipynb#{task.section.replace(' ', '-')})"
    more = f'More: `hint("{task.name}", 2)`. ' if len(task.hints) > 1 else ""
    names = (name.replace("torch.nn.functional.", "F.").removesuffix(".forward") for name in task.forbidden)
    ready_made = ", ".join(f"`{name}`" for name in names)
    return "\n\n".join(
        [
            f"## {number}. {task.title}",
            f"Level {task.level} of 4 ({LEVELS[task.level]}), {task.minutes} minutes. In the notebook: "
            f"{section}.",
            task.text,
            *([f"Not allowed: {ready_made}."] if ready_made else []),
            f"<details><summary>Hint</summary>\n\n{task.hints[0]}",
            f'{more}Our answer: `solution("{task.name}")`.\n\n</details>',
        ]
    )


def _cell(cell_id: str, code: str | None, text: str, marks: dict[str, Any] | None = None) -> Any:
    metadata = {"nbgrader": marks} if marks else {}
    if code is None:
        return nbformat.v4.new_markdown_cell(text.strip(), id=cell_id, metadata=metadata)
    return nbformat.v4.new_code_cell(code, id=cell_id, metadata=metadata)


def _marks(grade_id: str, is_answer: bool, points: int | None = None) -> dict[str, Any]:
    """What nbgrader needs to know of a cell; where there are no points, it is not graded."""
    marks = {
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": is_answer,
        "locked": not is_answer,
    }
    marks |= {"schema_version": 3, "task": False}
    return marks if points is None else {**marks, "points": points}


# ------------------------------------------------------------------------------------------------ the command


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name, with line endings as git stores them."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".ipynb_checkpoints" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes().replace(b"\r\n", b"\n") for path in files}


def different(new: Path, old: Path) -> list[str]:
    """The files of two folders that are not the same, or that only one of them has."""
    wanted, found = contents(new), contents(old)
    names = sorted(wanted.keys() | found.keys())
    return [f"{old.name}/{name}" for name in names if wanted.get(name) != found.get(name)]


def main() -> None:
    """Regenerate or compare."""
    parser = argparse.ArgumentParser(description="Make solutions/ and exercises/ from the tasks.")
    parser.add_argument("concepts", nargs="*", help="such as 05_positions; all, if none is named")
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    asked = parser.parse_args()
    concepts, check = asked.concepts, asked.check
    if unknown := set(concepts) - set(tasks.concepts()):
        sys.exit(f"a concept is one of {', '.join(tasks.concepts())}; got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as name:
        course = Path(name)
        release(course, concepts)
        made = [Path(kind, concept) for kind in ("solutions", "exercises") for concept in concepts or [""]]
        changed = [path for folder in made for path in different(course / folder, ROOT / folder)]
        if check and changed:
            sys.exit(
                f"these files are not what their sources give; run `make exercises`: {', '.join(changed)}"
            )
        if not check:
            for folder in made:
                shutil.rmtree(ROOT / folder, ignore_errors=True)
                shutil.copytree(course / folder, ROOT / folder, ignore=IGNORED)
        n_released = len(contents(course / "exercises"))
    print(f"{n_released} notebooks made, {len(changed)} files changed")


if __name__ == "__main__":
    main()
