"""Make exercises/ from solutions/ with nbgrader, or compare the two.

    python tools/exercises.py           # write the words of solutions/ and all of exercises/
    python tools/exercises.py --check   # say what differs, and fail if anything does

What a learner reads about a task stands in course_lib/checks/NN_name.yml and is written from there into the
Markdown cell above the task's answer, with the points of its check. A task that has no cells yet gets them:
only its solution is left to write. nbgrader works in a temporary copy of the course: no grade book is left.

A Markdown cell with the metadata {"task": "06_residuals/rms_norm"} belongs to a guest, a task of another
notebook that comes here once more: it gets that task's words, and the check below it that task's points.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from course_lib.checks import tasks
from course_lib.checks.tasks import Words

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
LEVELS = {1: "fill one line", 2: "a few lines", 3: "a function with traps", 4: "build it"}

# As `nbgrader generate_assignment NAME --force` for each, in one process: to start one takes seconds.
RELEASE_ALL = """
import sys
from nbgrader.apps import GenerateAssignmentApp
for assignment in sys.argv[1:]:
    GenerateAssignmentApp.launch_instance([assignment, "--force"])
    GenerateAssignmentApp.clear_instance()
"""

Cell = dict[str, Any]


def release(course: Path) -> Path:
    """Copy solutions/ to `course`, write its words, let nbgrader release it; return the folder that it wrote.

    Raises: RuntimeError: nbgrader failed; its own words follow.
    """
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copytree(ROOT / "solutions", course / "solutions", ignore=IGNORED)
    write_words(course / "solutions")
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


# -------------------------------------------------------------------------------------------------- the words


def write_words(solutions: Path) -> None:
    """Write the words of every task into the notebooks of a folder.

    Raises: ValueError: a notebook is missing, or its tasks come in another order than in their file.
    """
    for concept in tasks.concepts():
        words = list(tasks.words(concept).values())
        for name in dict.fromkeys(task.notebook for task in words):
            path = solutions / concept / f"{name}.ipynb"
            if not path.exists():
                home = f"solutions/{concept}/{name}.ipynb"
                raise ValueError(f"{concept}.yml has tasks for {name}, but there is no {home}")
            notebook = json.loads(path.read_text(encoding="utf-8"))
            write_tasks(notebook["cells"], [task for task in words if task.notebook == name])
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            path.write_text(text, encoding="utf-8", newline="\n")


def write_tasks(cells: list[Cell], words: list[Words]) -> None:
    """Write the words and points of some tasks into the cells of their notebook, in place.

    Raises: ValueError: as `write_words`.
    """
    start = _index(cells, "setup") + 1
    known = {cell["id"]: _guest(cell) for cell in cells if "task" in cell["metadata"]}
    for task in words:
        cell_id = _id(task)
        if _index(cells, cell_id) < 0:
            cells[start:start] = new_cells(task)
        place = _index(cells, cell_id)
        ids = [cell["id"] for cell in cells[place : place + 3]]
        if place < start or ids != [cell_id, f"{cell_id}-answer", f"{cell_id}-test"]:
            raise ValueError(
                f"after the cell {cells[start - 1]['id']!r} the cells {cell_id}, {cell_id}-answer and "
                f"{cell_id}-test should follow, as in the task file; got {', '.join(ids)} at {place}"
            )
        known[cell_id] = task
        start = place + 3
    places = [place for place, cell in enumerate(cells) if cell["id"] in known]
    for number, place in enumerate(places, start=1):
        words_cell, _, test = cells[place : place + 3]
        task = known[words_cell["id"]]
        words_cell["source"] = markdown(number, task).splitlines(keepends=True)
        test["metadata"]["nbgrader"]["points"] = task.level


def _guest(cell: Cell) -> Words:
    """The task of another notebook whose words belong into a cell."""
    name = cell["metadata"]["task"]
    return tasks.words(name.split("/")[0])[name]


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


def new_cells(task: Words) -> list[Cell]:
    """The cells of a task that has none yet: words, answer, check."""
    short = task.name.split("/")[1]
    stub = task.call.split(" or ")[0]
    learner = stub.split("(")[0]
    answer = f'def {stub}:\n    """..."""\n    ### BEGIN SOLUTION\n    ### END SOLUTION'
    check = (
        f'check("{task.name}", {learner})\n### BEGIN HIDDEN TESTS\nfor seed in (31, 57):\n'
        f'    check("{task.name}", {learner}, seed=seed)\n### END HIDDEN TESTS'
    )
    marks = {"schema_version": 3, "task": False}
    answer_marks = {"grade": False, "grade_id": short, "locked": False, "solution": True, **marks}
    check_marks = {"grade": True, "grade_id": f"test_{short}", "locked": True, "solution": False, **marks}
    return [
        {"cell_type": "markdown", "id": _id(task), "metadata": {}, "source": []},
        _code(f"{_id(task)}-answer", answer, answer_marks),
        _code(f"{_id(task)}-test", check, check_marks),
    ]


def _code(cell_id: str, source: str, marks: dict[str, Any]) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": {"nbgrader": dict(sorted(marks.items()))},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def _id(task: Words) -> str:
    return task.name.split("/")[1].replace("_", "-")


def _index(cells: list[Cell], cell_id: str) -> int:
    """Where a cell stands; -1 where there is none."""
    return next((i for i, cell in enumerate(cells) if cell["id"] == cell_id), -1)


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
    parser = argparse.ArgumentParser(description="Make exercises/ from solutions/.")
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        course = Path(name)
        release(course)
        changed = different(course / "solutions", ROOT / "solutions")
        changed += different(course / "exercises", ROOT / "exercises")
        if check and changed:
            sys.exit(
                f"these files are not what their sources give; run `make exercises`: {', '.join(changed)}"
            )
        if not check:
            write_words(ROOT / "solutions")
            shutil.rmtree(ROOT / "exercises", ignore_errors=True)
            shutil.copytree(course / "exercises", ROOT / "exercises", ignore=IGNORED)
        n_released = len(contents(course / "exercises"))
    print(f"{n_released} files released from solutions/, {len(changed)} changed")


if __name__ == "__main__":
    main()
