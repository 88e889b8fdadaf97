"""Every kind of hostile submission: what must come of it and what came; and what `nbgrader autograde` does.

    python benchmarks/grading_hostile.py            all kinds with our grader, some with nbgrader beside it
    python benchmarks/grading_hostile.py --ours     without nbgrader

nbgrader runs a submission with the rights of whoever grades. So it gets only kinds that do no harm, or harm a
course folder that is made for them; each in a folder of its own.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "grading")]

from every_kind import KINDS, Batch, run_batch  # noqa: E402
from hostile import Kind, by_name  # noqa: E402
from world import ASSIGNMENT, World  # noqa: E402

NOTEBOOK = "attention_by_hand"
WITH_NBGRADER = (
    *("correct", "wrong", "sys-exit", "endless-cell", "os-exit-in-an-answer", "half-a-file"),
    *("duplicate-answer", "duplicate-test", "edited-test", "missing-test", "points-for-an-answer"),
    *("equal-to-all", "patched-checks", "patched-builtins", "searches-the-frames", "calls-the-reference"),
    *("reads-the-solution", "reads-another-submission", "reads-the-environment", "connects-by-TCP"),
    *("writes-the-grade-book", "writes-another-submission", "background-process", "plants-modules"),
)
CELL_S = 15  # as long as nbgrader waits for a cell
WHOLE_S = 120  # and we for nbgrader


# ------------------------------------------------------------------------------------------- nbgrader


@dataclass(frozen=True)
class Course:
    """A course folder of nbgrader in a world.

    Args:
        world: where it stands.
        book: its grade book.
    """

    world: World
    book: Path

    def nbgrader(self, *words: str) -> str:
        """Run one command of nbgrader; what became of it, "" where it came to a good end."""
        options = [
            *(f"--course-dir={self.world.root}", f"--db=sqlite:///{self.book}", "--log-level=ERROR"),
            *("--CourseDirectory.source_directory=solutions", "--OverwriteCells.add_missing_cells=True"),
            *(f"--ExecutePreprocessor.timeout={CELL_S}", "--CourseDirectory.notebook_id=" + NOTEBOOK),
        ]
        command = [sys.executable, "-m", "nbgrader", *words, *options]
        environment = {**self.world.environment(), "PATH": os.environ["PATH"]}
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=self.world.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=WHOLE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"it hung for {WHOLE_S} s"
        return "" if process.returncode == 0 else "it failed"

    def score(self, student: str) -> float | None:
        """The score in the grade book; None where there is none."""
        from nbgrader.api import Gradebook, MissingEntry

        with Gradebook(f"sqlite:///{self.book}") as book:
            try:
                submission = book.find_submission(ASSIGNMENT, student)
            except MissingEntry:
                return None
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            if not grades or all(grade.auto_score is None for grade in grades):
                return None
            return float(sum(grade.auto_score or 0 for grade in grades))

    def printed(self, student: str) -> str:
        """What the graded notebook holds."""
        path = self.world.root / "autograded" / student / ASSIGNMENT / f"{NOTEBOOK}.ipynb"
        return path.read_text(errors="replace") if path.is_file() else ""


def graded_by_nbgrader(kind: Kind, prepared: Path) -> str:
    """What nbgrader does with one kind, in words.

    Args:
        kind: what to hand in.
        prepared: a grade book that knows the assignment.
    """
    with World() as world:
        course = Course(world, world.root / "nbgrader.db")
        shutil.copy(prepared, course.book)
        path = world.submitted / kind.name / ASSIGNMENT / f"{NOTEBOOK}.ipynb"
        path.parent.mkdir(parents=True)
        kind.make(world, path)
        world.settle()
        trouble = course.nbgrader("autograde", ASSIGNMENT, f"--student={kind.name}")
        score = course.score(kind.name)
        words = [trouble] if trouble else []
        words.append("no score" if score is None else f"{score:g} points, {verdict(kind, score)}")
        words += world.read_in(course.printed(kind.name))
        words += [found for found in world.touched() if not made_by_nbgrader(found)]
        for process in world.leftovers():
            os.kill(int(process.split()[1]), signal.SIGKILL)
        return "; ".join(words)


def made_by_nbgrader(found: str) -> bool:
    """Whether a file has changed because nbgrader and Jupyter write there."""
    usual = ("autograded", "nbgrader.db", "home/.jupyter", "home/.local", "home/.cache", ".nbgrader")
    return found.startswith(usual) or (found.startswith("home/.ipython") and "startup/" not in found)


def verdict(kind: Kind, score: float) -> str:
    """What there is to say of a score."""
    points = {"project": 1, "scores": 1, "softmax": 2, "mix": 1, "masked_weights": 3, "causal_mask": 2}
    least = sum(n for task, n in points.items() if kind.allowed(task) == ("right",))
    most = sum(n for task, n in points.items() if "right" in kind.allowed(task))
    if score > most:
        return f"too many (at most {most})"
    return "right" if score >= least else f"too few (at least {least})"


def prepared_book(folder: Path) -> Path:
    """A grade book of nbgrader that knows the assignment."""
    with World() as world:
        (world.source / "attention_in_torch.ipynb").unlink()
        course = Course(world, folder / "prepared.db")
        trouble = course.nbgrader("generate_assignment", ASSIGNMENT, "--create")
        if trouble:
            raise RuntimeError(f"nbgrader could not make the assignment: {trouble}")
        return course.book


# ------------------------------------------------------------------------------------------- tables


def show_ours(batch: Batch) -> int:
    """Print what came of each kind; how many went wrong."""
    print(f"{'kind':28} {'status':11} {'points':>6}  {'verdict'}")
    n_wrong = 0
    for kind in KINDS:
        findings = batch.findings(kind)
        outcome = batch.outcomes.get(kind.name, {"status": "none", "tasks": []})
        score = sum(task["points"] for task in outcome["tasks"])
        print(f"{kind.name:28} {outcome['status']:11} {score:6g}  {'; '.join(findings) or 'as it must be'}")
        n_wrong += bool(findings)
    honest = [o for name, o in batch.outcomes.items() if name.startswith("honest")]
    lost = sum(task["status"] != "right" for outcome in honest for task in outcome["tasks"])
    print(f"\n{len(KINDS) - n_wrong} of {len(KINDS)} kinds: the right grade, nothing read")
    print(f"{len(honest)} honest submissions between them: {lost} tasks that did not come out right")
    print(f"changed, reached or left behind: {', '.join(batch.touched) or 'nothing'}")
    print(
        f"the batch {'failed: ' + batch.error if batch.error else 'came to its end'}, {batch.seconds:.0f} s"
    )
    return n_wrong + lost + len(batch.touched) + bool(batch.error)


def main() -> int:
    """Run and print both tables; 1 where ours is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ours", action="store_true", help="without nbgrader")
    parser.add_argument("--engine", help="how to lock submissions in: see `course_lib.grading doctor`")
    parser.add_argument("--nbgrader", nargs="*", metavar="KIND", help="nbgrader alone, with these kinds")
    chosen = parser.parse_args()
    bad = 0
    if chosen.nbgrader is None:
        bad = show_ours(run_batch(KINDS, chosen.engine, timeout=1200))
    if not chosen.ours:
        print("\nThe same with nbgrader autograde alone:\n")
        with tempfile.TemporaryDirectory() as folder:
            prepared = prepared_book(Path(folder))
            for name in chosen.nbgrader or WITH_NBGRADER:
                print(f"{name:28} {graded_by_nbgrader(by_name(name), prepared)}", flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
