"""The chapter for teachers, workshop/grading.md: its commands run, and give what stands below them."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import class_of_three
import small
from test_idioms import IDIOMS

from course_lib.grading import batch
from course_lib.grading.assignments import grade_folder
from course_lib.grading.intake.submission import MOST_BYTES, MOST_CELLS, MOST_CODE, MOST_PARTS
from course_lib.grading.judging.session import Seconds
from course_lib.grading.results.outcome import Status
from course_lib.grading.walls.engines import ENGINES, NONE
from course_lib.grading.walls.own_root import MOST_NAMES
from course_lib.grading.walls.sandbox import Limits

CHAPTER = (small.REPOSITORY / "workshop" / "grading.md").read_text("utf-8")
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Each command with the lines that the chapter shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(BLOCK.findall(CHAPTER)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def agrees(shown: list[str], came: list[str]) -> bool:
    """Whether a command printed what is shown; "..." stands for any lines, nothing shown for anything."""
    if not shown:
        return True
    parts = [".*" if line == "..." else re.escape(line) for line in shown]
    return re.fullmatch("\n".join(parts).replace("\n.*", "(?:\n.*)?"), "\n".join(came), re.DOTALL) is not None


def test_shown_lines_are_compared():
    assert agrees(["a", "..."], ["a", "b", "c"])
    assert agrees(["...", "c"], ["a", "b", "c"])
    assert not agrees(["a"], ["a", "b"])
    assert not agrees(["...", "d"], ["a", "b", "c"])


def test_commands_give_what_the_chapter_shows(engine, tmp_path):
    folder = class_of_three.course(tmp_path / "course")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(small.REPOSITORY),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),  # where a student's nbgrader keeps what was handed in
    }
    assert len(commands()) > 12
    for command, shown in commands():
        if command.startswith("cd "):
            folder = (folder / command.removeprefix("cd ")).resolve()
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
        assert agrees(shown, done.stdout.splitlines()), (command, done.stdout)


def test_an_executor_grades_as_the_chapter_says(engine, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", CHAPTER, re.DOTALL)
    course = class_of_three.course(tmp_path)
    handed_in, together = tmp_path / "handed_in", tmp_path / "together"
    for folder in (handed_in, together):
        folder.mkdir()
    for student in ("bob", "cleo"):
        name = course / "submitted" / student / class_of_three.ASSIGNMENT / class_of_three.NOTEBOOK
        shutil.copyfile(name, handed_in / f"{student}.ipynb")
    try:
        with ThreadPoolExecutor(1) as executor:
            exec(code.replace("/shared", str(tmp_path)), {"executor": executor})
    finally:
        batch._close()

    def run(works):
        assert works == []
        yield from works

    source = course / "solutions" / class_of_three.ASSIGNMENT / class_of_three.NOTEBOOK
    done = grade_folder(source, handed_in, together, run)
    assert [(made.student, made.status, made.score) for made in done.outcomes] == [
        ("bob", Status.GRADED, 7.0),
        ("cleo", Status.UNREADABLE, 0.0),
    ]


def test_every_engine_status_and_limit_is_in_the_chapter():
    for name in [*(engine.name for engine in ENGINES), NONE.name, *Status]:
        assert f"\n| {name} |" in CHAPTER, name
    seconds, limits = Seconds(), asdict(Limits())
    assert f"{seconds.cell:.0f} s for a cell, {seconds.in_all:.0f} s in all" in CHAPTER
    assert f"| {limits['cpu_s']} s for a process |" in CHAPTER
    assert f"| {limits['memory_mb'] // 1024} GB more than" in CHAPTER
    assert f"| {limits['processes']}, {limits['files']} |" in CHAPTER
    assert f"| {limits['scratch_mb']} MB in a folder of at most {MOST_NAMES:,} names" in CHAPTER
    assert f"{MOST_BYTES // 2**20} MB, {MOST_CELLS:,} cells, {MOST_CODE:,} characters" in CHAPTER
    assert f"{MOST_PARTS:,} lists, fields and items" in CHAPTER


def test_what_the_chapter_says_of_tests_is_tried():
    section = CHAPTER.split("\n## Tests of your own\n")[1].split("\n## ")[0]
    examples = re.findall(r"\| `([^|]+)` \|$", section, re.MULTILINE)
    tried = "\n".join(idiom.test for idiom in IDIOMS)
    assert len(examples) > 10
    assert [example for example in examples if example not in tried] == []
