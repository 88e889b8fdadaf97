"""Grading 60 submissions, killed (SIGKILL) at ten random moments and started again each time.

    python benchmarks/grading_kills.py

At the end the grade book must be that of a run that nobody disturbed, table by table; no process and no
temporary file may be left. A moment is so many submissions after the first start, and a random time after
that; where they are there already, it falls into the seconds in which a run starts.
"""

import argparse
import ctypes
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pupils

COMMAND = [sys.executable, "-m", "course_lib.grading", "autograde", pupils.ASSIGNMENT, "--workers", "2"]
PR_SET_CHILD_SUBREAPER = 36  # prctl(2): processes whose parents were killed become children of this one
GONE_WITHIN_S = 20.0  # after a kill, on a busy machine

# The tables of nbgrader that hold grades, without the random keys of their rows.
PLACES = """
    JOIN submitted_notebook ON submitted_notebook.id = here.notebook_id
    JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
    JOIN base_cell ON base_cell.id = here.cell_id
"""
TABLES = {
    "student": "SELECT id FROM student",
    "assignment": "SELECT name, duedate FROM assignment",
    "notebook": "SELECT name FROM notebook",
    "base_cell": "SELECT name, type FROM base_cell",
    "source_cell": "SELECT name, cell_type, source, checksum, locked FROM source_cell",
    "submitted_assignment": "SELECT student_id, timestamp, extension FROM submitted_assignment",
    "submitted_notebook": """
        SELECT student_id, late_submission_penalty FROM submitted_notebook
        JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
    """,
    "grade": f"""
        SELECT student_id, base_cell.name, auto_score, manual_score, extra_credit, needs_manual_grade
        FROM grade AS here {PLACES}
    """,
    "comment": f"""
        SELECT student_id, base_cell.name, auto_comment, manual_comment FROM comment AS here {PLACES}
    """,
    "course_outcome": """
        SELECT assignment, notebook, student, status, reason, digest, json_remove(outcome, '$.seconds')
        FROM course_outcome
    """,
    "alembic_version": "SELECT * FROM alembic_version",
}


def tables(folder: Path) -> dict[str, list[Any]]:
    """What a grade book holds, table by table, but for keys and the seconds that grading took."""
    with closing(sqlite3.connect(folder / "gradebook.db")) as database:
        found = {name: sorted(database.execute(query), key=repr) for name, query in TABLES.items()}
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone() for (name,) in names}
    return {**found, "rows of each table": sorted(counts.items())}


def start(folder: Path, temporary: Path) -> subprocess.Popen[bytes]:
    """Grade in a course folder, as a group of processes of its own."""
    environment = {**os.environ, "PYTHONPATH": str(pupils.ROOT), "TMPDIR": str(temporary)}
    return subprocess.Popen(
        COMMAND, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )


def kill_at(process: subprocess.Popen[bytes], folder: Path, n: int, wait_s: float) -> bool:
    """Kill the group once n submissions are there, and a time after; False where it ended before."""
    while process.poll() is None and len(list((folder / "autograded").glob("*"))) < n:
        time.sleep(0.02)
    time.sleep(wait_s)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def left_processes() -> int:
    """How many processes of a killed run are there after a while."""
    end = time.monotonic() + GONE_WITHIN_S
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):  # there are some, none has ended
                time.sleep(0.05)
        except ChildProcessError:  # no child at all
            return 0
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(children)


def left_files(folder: Path, temporary: Path) -> list[str]:
    """What a run should have removed: all in the folder for temporary files, half-written notebooks."""
    hidden = [path for path in folder.rglob(".*") if path.is_file()]
    journals = list(folder.glob("gradebook.db-*"))
    return sorted(path.name for path in [*temporary.iterdir(), *hidden, *journals])


def main() -> int:
    """Print what came of each kill. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=60, help="submissions")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    draw = random.Random(chosen.seed)
    class_ = pupils.pupils(chosen.n)
    problems: list[str] = []

    with tempfile.TemporaryDirectory(prefix="benchmark-kills-") as name:
        quiet = pupils.course(Path(name) / "quiet", class_)
        disturbed = pupils.course(Path(name) / "disturbed", class_)
        temporary = Path(name) / "temporary"
        temporary.mkdir()
        started = time.monotonic()
        if start(quiet, temporary).wait():
            raise SystemExit("The run that nobody disturbed failed.")
        seconds = time.monotonic() - started
        print(f"undisturbed: {chosen.n} submissions in {seconds:.0f} s", flush=True)
        problems += [f"left by the undisturbed run: {path}" for path in left_files(quiet, temporary)]

        # The first ones fall into the start, when the grade book is made; the others anywhere.
        moments = sorted(draw.randrange(chosen.n * 3 // 4) for _ in range(chosen.kills - chosen.kills // 4))
        moments = [0] * (chosen.kills // 4) + moments
        done = 0
        for number, n in enumerate(moments, 1):
            process = start(disturbed, temporary)
            wait_s = draw.uniform(0.0, 0.3 if n > done else 3.0)
            killed = kill_at(process, disturbed, n, wait_s)
            done = len(list((disturbed / "autograded").glob("*")))
            left = left_processes()
            print(
                f"kill {number}: at submission {done} of {chosen.n}, {left} processes left, "
                f"{len(left_files(disturbed, temporary))} files or folders for the next run to remove",
                flush=True,
            )
            if not killed:
                problems.append(f"run {number} ended with {process.returncode} before it was killed")
            if left:
                problems.append(f"{left} processes were left by kill {number}")
        if start(disturbed, temporary).wait():
            problems.append("the last run failed")
        problems += [f"left by the last run: {path}" for path in left_files(disturbed, temporary)]
        problems += [f"{left} processes were left by the last run"] if (left := left_processes()) else []
        whole, again = tables(quiet), tables(disturbed)
        problems += [f"the table {name} differs" for name in whole if whole[name] != again.get(name)]
        print(f"compared: {', '.join(f'{name} ({len(rows)})' for name, rows in whole.items())}")

    print("\n".join(problems) or "The same grade book; nothing left behind.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
