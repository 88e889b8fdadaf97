"""All kinds of submission, and one batch of them in a world of its own.

Used by the tests and by `benchmarks/grading_hostile.py`. The batch runs in a process of its own:
whatever a submission does to its grader, somebody is left who says so.
"""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import kinds_ends
import kinds_files
import kinds_reach
import kinds_values
from hostile import KINDS as KINDS
from hostile import Kind, Submission
from world import ASSIGNMENT, REPOSITORY, World

MODULES = (kinds_ends, kinds_files, kinds_reach, kinds_values)  # where the kinds stand
TOGETHER = 12  # hostile submissions between two honest ones
# Kinds that only the limit for a whole notebook ends.
SLOW = ("slow-drip", "fork-bomb", "fork-bomb-that-doubles")
# Time limits of a batch: one for cells and calls that hang, one for notebooks that take for ever.
HASTY = {"cell": 1.5, "in_all": 30.0, "slower": 0.3}
IN_ALL = {**HASTY, "in_all": 7.0}
LIMITS = {"memory_mb": 1024, "processes": 64}

# All parts side by side: who waits for a limit keeps nobody else waiting.
RUN = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from course_lib.grading.batch import Settings, Work, grade_works
from course_lib.grading.walls.engines import choose
from course_lib.grading.walls.sandbox import Limits
from course_lib.grading.judging.session import Seconds
described, out, _ = sys.argv[1:]
told = json.loads(Path(described).read_text())
engine, one_writes = choose(told["engine"]), threading.Lock()
def grade(part):
    settings = Settings(engine, Limits(**told["limits"]), Seconds(**part["seconds"]))
    works = [Work(student, Path(source), Path(path)) for student, source, path in part["handed_in"]]
    for _, outcome in grade_works(works, workers=part["workers"], settings=settings):
        with one_writes, open(out, "a", encoding="utf-8") as file:
            file.write(outcome.to_json() + "\\n")
with ThreadPoolExecutor() as pool:
    list(pool.map(grade, told["parts"]))
"""


@dataclasses.dataclass(frozen=True)
class Batch:
    """What came of a batch.

    Args:
        outcomes: the fields of each student's outcome; honest ones are "honest-0", "honest-1", ...
        touched: what was changed, reached, or left behind in the end.
        world: where it ran; gone by now, but it still knows its canaries.
        seconds: how long it took.
        error: what the grading process wrote before it failed; "" where it came to its end.
    """

    outcomes: dict[str, dict]
    touched: list[str]
    world: World
    seconds: float
    error: str

    def findings(self, kind: Kind) -> list[str]:
        """What is not as it must be with one kind."""
        outcome = self.outcomes.get(kind.name)
        if outcome is None:
            return ["there is no outcome"]
        return [*self.world.read_in(said_by(outcome)), *differences(kind, outcome)]


def said_by(outcome: dict) -> str:
    """All that an outcome says, as a reader sees it: printed text as text, the rest as JSON."""
    printed = [
        "".join(output["text"])
        for cell in outcome["cells"]
        for output in cell["outputs"]
        if output.get("output_type") == "stream"
    ]
    return "\n".join([json.dumps({**outcome, "cells": []}), *printed, json.dumps(outcome["cells"])])


def differences(kind: Kind, outcome: dict) -> list[str]:
    """How an outcome is not what must come of its kind."""
    found = []
    if outcome["status"] not in kind.status:
        found.append(
            f"status {outcome['status']!r} ({outcome['reason']}), expected {' or '.join(kind.status)}"
        )
    found += _wrong_grades(kind, outcome)
    if outcome["status"] != "graded" and not outcome["reason"]:
        found.append("no reason is given")
    if kind.reported and not any(kind.reported in report for report in outcome["reports"]):
        found.append(f"no report speaks of {kind.reported}: {outcome['reports']}")
    said = said_by(outcome)
    if kind.prints and kind.prints not in said:
        found.append(f"the attack did not come to its end: {said[-300:]}")
    if len(said) > 2.5 * 2**20:  # 1 MB, here twice, with marks
        found.append(f"{len(said):,} characters are kept")
    return found


def _wrong_grades(kind: Kind, outcome: dict) -> list[str]:
    found = []
    for task in outcome["tasks"]:
        name = task["grade_id"].removeprefix("test_")
        if task["status"] not in kind.allowed(name):
            expected = " or ".join(kind.allowed(name))
            found.append(f"{name}: {task['status']!r} ({task['sentence'][:200]}), expected {expected}")
        if task["points"] != (task["max_points"] if task["status"] == "right" else 0):
            found.append(f"{name}: {task['points']} of {task['max_points']} points, but {task['status']!r}")
        if len(task["sentence"]) > 5000:
            found.append(f"{name}: a sentence of {len(task['sentence']):,} characters")
    points = [task["max_points"] for task in outcome["tasks"]]
    wanted = {"attention_by_hand": [1, 1, 2, 1, 3, 2], "attention_in_torch": [3, 2, 4, 3, 4]}[kind.notebook]
    if points != wanted:
        found.append(f"points {points}, expected {wanted}")
    return found


def run_batch(kinds: Sequence[Kind], engine: str | None = None, timeout: float = 600.0) -> Batch:
    """Grade all kinds, with an honest submission before, between and behind them.

    Args:
        kinds: what to hand in.
        engine: how to lock them in; None: the best that there is.
        timeout: seconds after which the whole batch is given up.
    """
    with World() as world:
        slow = [kind for kind in kinds if kind.name in SLOW]
        by_hand = [kind for kind in kinds if kind.notebook == "attention_by_hand" and kind not in slow]
        in_torch = [kind for kind in kinds if kind.notebook == "attention_in_torch"]
        parts = [
            {"handed_in": hand_in(world, some, n), "seconds": seconds, "workers": workers}
            for n, (some, seconds, workers) in enumerate(
                ((slow, IN_ALL, 1), (by_hand, HASTY, 2), (in_torch, HASTY, 1))
            )
            if some
        ]
        world.settle()
        start = time.monotonic()
        out, error = _run(world, {"engine": engine, "limits": LIMITS, "parts": parts}, timeout)
        seconds = time.monotonic() - start
        outcomes = [json.loads(line) for line in out.splitlines()]
        time.sleep(0.5)  # what was left behind gets its chance
        touched = world.touched()
    return Batch({outcome["student"]: outcome for outcome in outcomes}, touched, world, seconds, error)


def hand_in(world: World, kinds: Sequence[Kind], part: int) -> list[tuple[str, str, str]]:
    """Write the submissions of a part of the batch; the students, each with a source and a file, in order."""
    notebook = kinds[0].notebook
    honest = Kind("", "nothing", lambda world, path: Submission(notebook).write(path))
    handed_in = []
    for n in range(0, len(kinds), TOGETHER):
        handed_in += [dataclasses.replace(honest, name=f"honest-{part}-{n}"), *kinds[n : n + TOGETHER]]
    handed_in.append(dataclasses.replace(honest, name=f"honest-{part}-last"))
    found = []
    for kind in handed_in:
        path = world.submitted / kind.name / ASSIGNMENT / f"{notebook}.ipynb"
        path.parent.mkdir(parents=True)
        kind.make(world, path)
        found.append((kind.name, str(world.source / path.name), str(path)))
    return found


def _run(world: World, told: dict, timeout: float) -> tuple[str, str]:
    """Run the grader in a process and a session of its own; the outcomes as lines, and what went wrong."""
    described, out = world.root.with_suffix(".told"), world.root.with_suffix(".out")
    described.write_text(json.dumps(told))
    out.touch()
    command = [sys.executable, "-c", RUN, str(described), str(out), world.canaries["command line"]]
    try:
        done = subprocess.run(
            command,
            env=world.environment(),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            start_new_session=True,
        )
        error = done.stderr[-3000:] or f"it ended with {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"the batch took longer than {timeout:g} s"
    text = out.read_text(encoding="utf-8")
    Path(described).unlink()
    out.unlink()
    return text, error


def main() -> None:
    """Grade the proven attacks with the named engine, and print as JSON what is not as it must be."""
    kinds = [kind for kind in KINDS if kind.in_plain]
    batch = run_batch(kinds, sys.argv[1])
    wrong = {kind.name: found for kind in kinds if (found := batch.findings(kind))}
    honest = Kind("honest", "nothing", lambda world, path: None)
    for name, outcome in batch.outcomes.items():
        if name.startswith("honest") and (found := differences(honest, outcome)):
            wrong[name] = found
    n_graded = len(batch.outcomes)
    print(json.dumps({"wrong": wrong, "touched": batch.touched, "error": batch.error, "n_graded": n_graded}))


if __name__ == "__main__":
    main()
