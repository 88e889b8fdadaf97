"""Grading 300 submissions of six tasks on two cores: ours, nbgrader, and ours inside nbgrader.

    python benchmarks/grading.py

Each way is a command in an nbgrader course folder of its own, and ends with grades in that folder's grade
book. A command runs twice, first with as many submissions as it has workers, then with all of them: the
difference is what a submission costs, the rest is start-up. nbgrader gets fewer submissions, since it takes
seconds for each, one after the other however many cores there are. All grades must be the same, and those
that the answers deserve (`pupils`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pupils
from common import Row, show
from nbgrader.api import Gradebook

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(pupils.ROOT),  # the kernels that nbgrader starts import the course, too
    "COURSE_PROGRESS": "off",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Way:
    """A way to grade.

    Args:
        name: in the table.
        command: grades what is new in the folder where it runs.
        n: submissions in all.
        first: submissions of the first run.
        settings: lines for nbgrader_config.py.
        one_core: keep all its processes on one core.
    """

    name: str
    command: list[str]
    n: int
    first: int = 1
    settings: str = ""
    one_core: bool = False


@dataclass(frozen=True)
class Timed:
    """What came of a way: seconds per submission, seconds of start-up, each pupil's points by task."""

    each: float
    start: float
    grades: dict[str, dict[str, float]]


def ways(n: int, n_nbgrader: int, n_inside: int) -> list[Way]:
    """The ways. One worker keeps more than one core busy: its child, and what writes into the grade book."""
    ours = [sys.executable, "-m", "course_lib.grading", "autograde", pupils.ASSIGNMENT]
    theirs = [sys.executable, "-m", "nbgrader", "autograde", pupils.ASSIGNMENT, "--log-level=ERROR"]
    return [
        Way("ours, one worker on one core", [*ours, "--workers", "1"], n, one_core=True),
        Way("ours, one worker", [*ours, "--workers", "1"], n),
        Way("ours, two workers", [*ours, "--workers", "2"], n, first=2),
        Way("nbgrader", theirs, n_nbgrader, settings='del c["Autograde"]\n'),
        Way("ours inside nbgrader", theirs, n_inside),
    ]


def timed(way: Way, folder: Path) -> Timed:
    """Grade in both runs."""
    class_ = pupils.pupils(way.n)
    pupils.course(folder, class_[: way.first], way.settings)
    # nbgrader enters the assignment into the grade book while it makes the release; ours would do it itself.
    run([sys.executable, "-m", "nbgrader", "generate_assignment", pupils.ASSIGNMENT], folder)
    first = run(way.command, folder, way.one_core)
    for one in class_[way.first :]:
        pupils.submit(folder, one)
    rest = run(way.command, folder, way.one_core)
    # Both runs start up; the second has n - first to grade, the first has first.
    each = (rest - first) / (way.n - 2 * way.first)
    return Timed(each, first - way.first * each, grades(folder / "gradebook.db"))


def run(command: list[str], folder: Path, one_core: bool = False) -> float:
    """Run a command to its end; returns its seconds."""
    all_cores = os.sched_getaffinity(0)
    if one_core:
        os.sched_setaffinity(0, {min(all_cores)})  # the command inherits it
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    finally:
        os.sched_setaffinity(0, all_cores)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def grades(path: Path) -> dict[str, dict[str, float]]:
    """What a grade book says: for each pupil the points of each task."""
    found: dict[str, dict[str, float]] = {}
    with closing(Gradebook(f"sqlite:///{path}")) as book:
        for entry in book.assignment_submissions(pupils.ASSIGNMENT):
            marks = [grade for notebook in entry.notebooks for grade in notebook.grades]
            found[entry.student.id] = {mark.name.removeprefix("test_"): mark.auto_score for mark in marks}
    return found


def main() -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=300, help="submissions for ours alone")
    parser.add_argument("--nbgrader", type=int, default=30, help="of these for nbgrader")
    parser.add_argument("--inside", type=int, default=60, help="of these for ours inside nbgrader")
    chosen = parser.parse_args()
    sizes = [min(n, chosen.n) for n in (chosen.n, chosen.nbgrader, chosen.inside)]
    if min(sizes) < 5:
        raise SystemExit("Each way needs at least 5 submissions: the first run takes 1 or 2 of them.")

    found: dict[str, Timed] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-grading-") as folder:
        for number, way in enumerate(ways(*sizes)):
            print(f"{way.name}: {way.n} submissions", flush=True)
            result = found[way.name] = timed(way, Path(folder) / str(number))
            due = {one.name: one.points for one in pupils.pupils(way.n)}
            if result.grades != due:
                wrong = sorted(name for name in due if result.grades.get(name) != due[name])
                raise SystemExit(f"{way.name} gave other grades than are due, to {', '.join(wrong)}")
    print("All ways gave the same grades, those that the answers deserve.\n")

    one_core, one, two, theirs, inside = found.values()
    return show(
        "Grading, seconds; a submission is six tasks",
        [
            *(Row(f"{name}: a submission", [result.each]) for name, result in found.items()),
            *(Row(f"{name}: start-up", [result.start]) for name, result in found.items()),
            Row("alone on two cores, times as fast as nbgrader", [theirs.each / two.each], bar=30.0),
            Row("alone, one worker, times as fast as nbgrader", [theirs.each / one.each]),
            Row("alone on one core, times as fast as nbgrader", [theirs.each / one_core.each]),
            Row("inside nbgrader, times as fast as without", [theirs.each / inside.each], bar=5.0),
            Row("two workers, times as fast as one on one core", [one_core.each / two.each], bar=1.6),
            Row("two workers, times as fast as one", [one.each / two.each]),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
