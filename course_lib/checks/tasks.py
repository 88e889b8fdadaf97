"""The tasks there are: where their files stand, in which order, and each as something that can be checked.

    concepts/c04_multi_head/tasks/__init__.py       NOTEBOOKS, the exercise notebooks in their order
    concepts/c04_multi_head/tasks/heads.md          a notebook: its own words and cells, and its tasks by name
    concepts/c04_multi_head/tasks/split_heads.py    a task, see `exercise`

Listing tasks and their words runs none of their Python.
"""

import ast
import functools
import importlib
import re
from collections.abc import Mapping
from pathlib import Path

from course_lib.checks.exercise import Exercise, TaskError, read_words
from course_lib.checks.kinds import Task, Words

FOLDER = Path(__file__).parents[1] / "concepts"
PACKAGE = "course_lib.concepts"
TASK = re.compile(r"^<!-- task: (\w+) -->$", re.MULTILINE)


@functools.cache
def concepts() -> tuple[str, ...]:
    """The concepts that have tasks, in the order of the course."""
    return tuple(sorted(path.parent.name[1:] for path in FOLDER.glob("c[0-9][0-9]_*/tasks")))


def folder_of(concept: str) -> Path:
    """Where the tasks of a concept stand."""
    return FOLDER / f"c{concept}" / "tasks"


@functools.cache
def notebooks(concept: str) -> tuple[str, ...]:
    """The exercise notebooks of a concept, in the order of the course.

    Raises: TaskError: the folder does not say.
    """
    path = folder_of(concept) / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NOTEBOOKS":
            return tuple(ast.literal_eval(node.value))
    raise TaskError(f"c{concept}/tasks/__init__.py: NOTEBOOKS, a tuple of names, is expected")


@functools.cache
def words(concept: str) -> Mapping[str, Words]:
    """What a learner reads about each task of a concept, by the task's name, in the order of the course.

    Raises: TaskError: a file is not what it should be, or stands in no notebook.
    """
    folder = folder_of(concept)
    found: dict[str, Words] = {}
    for notebook in notebooks(concept):
        for short in TASK.findall((folder / f"{notebook}.md").read_text(encoding="utf-8")):
            name, path = f"{concept}/{short}", folder / f"{short}.py"
            if name in found:
                raise TaskError(
                    f"{notebook}.md: the task {short!r} stands in {found[name].notebook}.md already"
                )
            if not path.exists():
                raise TaskError(f"{notebook}.md names the task {short!r}, but there is no tasks/{short}.py")
            found[name] = read_words(name, path, notebook)
    files = {path.stem for path in folder.glob("[!_]*.py")}
    if lost := sorted(files - {name.split("/")[1] for name in found}):
        raise TaskError(
            f"c{concept}/tasks/{lost[0]}.py stands in no notebook: name it in one of the .md files"
        )
    return found


def exercise(name: str) -> Exercise:
    """A task as its file says it, with our answer; imports that file."""
    concept, short = name.split("/")
    found = importlib.import_module(f"{PACKAGE}.c{concept}.tasks.{short}").exercise
    assert isinstance(found, Exercise)
    return found


@functools.cache
def task(name: str) -> Task:
    """A whole task.

    Raises: TaskError: its file is not what it should be.
    """
    return exercise(name).task(words(name.split("/")[0])[name])
