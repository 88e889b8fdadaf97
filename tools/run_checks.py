"""Run the checks, and say at the end what was run and how long it took.

    python tools/run_checks.py            # all of them: `make test`
    python tools/run_checks.py changed    # what the change reaches, for two minutes: `make check`
    python tools/run_checks.py claims     # every claim, from other seeds too, and their pages: `make claims`

Every check is a test: style and types, examples, notebooks and explorers in a browser among them. One session
of pytest runs them on three workers, in the order in which they are named here. What cannot run has failed.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import changed
import programs

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LEDGER = BUILD / "claims.jsonl"  # what verdicts in the notebooks found
# One worker has a browser from the first minute on, the other begins with what takes long.
LONGEST = (
    "tests/browser/",
    "test_experiments",
    changed.NOTEBOOKS,
    "grading/test_hostile",
    "grading/test_judge",
    "test_style",
)
CHECK_S = 105  # `make check` has two minutes, set-up and the end of pytest included
SUMMARY_S = 60  # for pytest to say what it has found, once it is stopped
INTERRUPTED, NOTHING = 2, 5  # pytest's exit status where no test had failed by then, and where none had ended
STARTED = time.perf_counter()
PYTEST = (sys.executable, "-m", "pytest", "-q", "-rfEs", "--durations=10")
# Three on two cores: a fifth of the time tests wait, for a browser, a time limit or a program that starts.
WORKERS = ("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder")


def run(tests: list[str], limit_s: float | None = None, variables: dict[str, str] | None = None) -> int:
    """Run tests; what they started ends with them.

    Args:
        tests: files, or single tests, in the order in which they begin.
        limit_s: when to stop; pytest then says what it left out.
        variables: of the environment, to set.
    Returns: pytest's exit status; that of an interrupted run says what the tests say that have ended.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    command = [*PYTEST, *WORKERS, *tests]
    environment = {**os.environ, **(variables or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what one of hundreds of processes compiles, all read
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(limit_s)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        return process.wait(SUMMARY_S)
    finally:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def check_all() -> int:
    """Every test, the longest first; those of the claims at other seeds where the change reaches them."""
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    try:
        names = changed.changed_files(ROOT, changed.base(ROOT))
    except RuntimeError:  # a copy without its history
        names = []
    left_out = set(changed.claims_tests(ROOT)) - set(changed.claims_reached(ROOT, names))
    if programs.missing():
        programs.install()
    status = run(sorted(set(files) - left_out, key=begins))
    if left_out:
        print(
            "Left out, as nothing that they import has changed (`make claims` runs them):", *sorted(left_out)
        )
    return status


def begins(file: str) -> tuple[int, str]:
    """When a file begins: by its place in LONGEST, then by its name."""
    return next((place for place, name in enumerate(LONGEST) if name in file), len(LONGEST)), file


def check_changed() -> int:
    """Style, types, and what the change reaches, the nearest first; `make test` runs what did not fit."""
    since = changed.base(ROOT)
    files = changed.changed_files(ROOT, since)
    print(f"{len(files)} files changed since {since[:9]}: {', '.join(files)}", flush=True)
    tests = changed.reach(ROOT, files)
    if any(map(in_browser, tests)) and programs.find() is None:
        print("Left out: the tests in a browser;", programs.MISSING, flush=True)
        tests = [test for test in tests if not in_browser(test)]
    tasks = [f"--task={task}" for task in changed.tasks(files)]
    status = run([*tasks, *tests], CHECK_S - (time.perf_counter() - STARTED))
    if status == NOTHING:
        print(f"Within {CHECK_S} s no test came to its end: nothing was judged.")
    elif status == INTERRUPTED:
        print("The time was over. What ran, passed; what was left out stands above.")
    return 0 if status == INTERRUPTED else status


def check_claims() -> int:
    """Every claim from other seeds and in its notebook; then write the pages of verdicts."""
    import claims

    LEDGER.write_text("", encoding="utf-8")
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    notebooks = [changed.notebook_run(f"notebooks/{name}.ipynb") for name in names]
    tests = [*changed.claims_tests(ROOT), *notebooks]
    status = run(tests, variables={"COURSE_LEDGER_OF_NOTEBOOKS": str(LEDGER)})
    claims.take_over(LEDGER)
    claims.run_experiments()
    return status


def in_browser(test: str) -> bool:
    """Whether a test needs a browser."""
    return test.startswith("tests/browser/")


CHECKS = {"all": check_all, "changed": check_changed, "claims": check_claims}


def main() -> None:
    """Run what was asked for, and say how long it took."""
    parser = argparse.ArgumentParser(description="Run all checks, or what a change reaches, or the claims.")
    parser.add_argument("what", nargs="?", choices=CHECKS, default="all")
    BUILD.mkdir(exist_ok=True)
    try:
        status = CHECKS[parser.parse_args().what]()
    except RuntimeError as error:
        sys.exit(str(error))
    minutes, seconds = divmod(round(time.perf_counter() - STARTED), 60)
    print(f"{'Failed' if status else 'Passed'}, in {minutes} min {seconds} s.", flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
