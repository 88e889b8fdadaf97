"""Run every check and say at the end what was run.

    python tools/run_checks.py                     # all of them: `make test`
    python tools/run_checks.py lint notebooks      # some of them

A check that cannot run has failed: nothing is skipped in silence. Counts come from pytest's own reports.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LEDGER = BUILD / "claims.jsonl"
BUDGET_S, LIMIT_S = 60, 90  # a notebook on two quiet cores; the limit leaves room for a busy machine

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BROWSERS_OUTSIDE_PATH = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    os.path.expandvars(r"%ProgramFiles%\Google\Chrome\Application\chrome.exe"),
    os.path.expandvars(r"%ProgramFiles(x86)%\Microsoft\Edge\Application\msedge.exe"),
)


@dataclass
class Report:
    """What was run, kind by kind; `problems` are the lines a reader must see again at the end."""

    counts: dict[str, list[int]] = field(default_factory=dict)  # kind: passed, failed, skipped
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, passed: int = 0, failed: int = 0, skipped: int = 0) -> None:
        """Add to the counts of one kind of check."""
        before = self.counts.get(kind, [0, 0, 0])
        self.counts[kind] = [old + new for old, new in zip(before, (passed, failed, skipped), strict=True)]

    def fail(self, kind: str, problem: str) -> None:
        """Count one failure and keep its line."""
        self.add(kind, failed=1)
        self.problems.append(f"{kind}: {problem}")

    def total(self) -> list[int]:
        """Passed, failed and skipped, over all kinds."""
        return [sum(column) for column in zip(*self.counts.values(), strict=True)] or [0, 0, 0]


def run(*command: str | Path, **environment: str) -> int:
    """Run a command in the project's folder, its output in view."""
    words = [str(part) for part in command]
    print(f"\n$ {' '.join(words)}", flush=True)
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}).returncode


def python(*arguments: str | Path, **environment: str) -> int:
    """Run a Python program of our environment."""
    return run(sys.executable, *arguments, **environment)


def notebooks(*folders: str) -> list[Path]:
    """The notebooks below some folders, without the editor's copies."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.ipynb"))
    return sorted(path.relative_to(ROOT) for path in found if ".ipynb_checkpoints" not in path.parts)


def pytest(report: Report, kind: str, *arguments: str | Path, **environment: str) -> list[ET.Element]:
    """Run pytest, count from the report that it writes, and return its test cases."""
    result = BUILD / f"{kind.replace(' ', '-')}.xml"
    result.unlink(missing_ok=True)
    status = python("-m", "pytest", "-q", f"--junit-xml={result}", *arguments, **environment)
    cases = list(ET.parse(result).iter("testcase")) if result.exists() else []
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    report.add(kind, len(cases) - len(bad) - len(skipped), len(bad), len(skipped))
    report.problems += [f"{kind}: {case.get('classname')} {case.get('name')}" for case in bad]
    report.notes += [
        f"skipped: {case.get('name')} ({reason.get('message')})"
        for case in skipped
        if (reason := case.find("skipped")) is not None
    ]
    if status != 0 and not bad:
        report.fail(kind, f"pytest ended with status {status} after {len(cases)} tests")
    return cases


def check_lint(report: Report) -> None:
    """Style, types, the floors of the library, and notebooks without outputs."""
    every_notebook = notebooks("notebooks", "solutions", "exercises")
    commands: dict[str, tuple[str | Path, ...]] = {
        "ruff check": ("-m", "ruff", "check", "."),
        "ruff format": ("-m", "ruff", "format", "--check", "."),
        "mypy": ("-m", "mypy"),
        "import-linter": ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
        # Cell ids are names that we give: the page of claims links to cells by them.
        "nbstripout": ("-m", "nbstripout", "--verify", "--keep-id", *every_notebook),
    }
    for name, arguments in commands.items():
        if python(*arguments) == 0:
            report.add("lint", passed=1)
        else:
            report.fail("lint", name)


def check_exercises(report: Report) -> None:
    """exercises/ is what nbgrader makes of solutions/."""
    if python("tools/exercises.py", "--check") == 0:
        tasks = sum(count_tasks(path) for path in notebooks("exercises"))
        report.add("exercises", passed=tasks)
    else:
        report.fail("exercises", "exercises/ differs from what solutions/ gives")


def count_tasks(notebook: Path) -> int:
    """The tasks of an exercise notebook: the cells that a learner writes."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    return sum(bool(cell["metadata"].get("nbgrader", {}).get("solution")) for cell in cells)


def check_tests(report: Report) -> None:
    """The library's tests, then the examples in its docstrings.

    Examples need a call of their own: the hook that enforces shape annotations hides docstrings from doctest.
    """
    pytest(report, "tests", "tests", "--ignore=tests/browser")
    pytest(report, "docstring examples", "-o", "addopts=", "--doctest-modules", "course_lib")


def check_notebooks(report: Report) -> None:
    """Every notebook and every solution runs from top to bottom; every claim that they judge is recorded."""
    LEDGER.unlink(missing_ok=True)
    paths = notebooks("notebooks", "solutions")
    seconds: dict[Path, float] = {}
    for path in paths:
        start = time.perf_counter()
        found = Report()
        pytest(found, path.stem, "--nbval-lax", "--nbval-current-env", path, COURSE_LEDGER=str(LEDGER))
        seconds[path] = time.perf_counter() - start
        report.problems += found.problems
        report.add("notebooks", passed=int(not found.problems), failed=int(bool(found.problems)))
        if seconds[path] > LIMIT_S:
            report.fail("notebooks", f"{path} took {seconds[path]:.0f} s, limit {LIMIT_S} s")
    report.notes += [
        f"{took:6.1f} s  {path.as_posix()}{'  over the budget of 60 s' if took > BUDGET_S else ''}"
        for path, took in seconds.items()
    ]
    check_claims(report)


def check_claims(report: Report) -> None:
    """Each claim that the ledger gives to a notebook was judged, once; then write the ledger page."""
    from course_lib import claims

    LEDGER.touch()
    recorded = [json.loads(line)["claim"] for line in LEDGER.read_text(encoding="utf-8").splitlines()]
    here = {path.stem for path in notebooks("notebooks")}
    wanted = {claim.id for claim in claims.load().values() if claim.notebook in here}
    for claim in sorted(wanted | set(recorded)):
        times = recorded.count(claim)
        if claim in wanted and times == 1:
            report.add("claims", passed=1)
        else:
            report.fail("claims", f"{claim} was judged {times} times, expected {int(claim in wanted)}")
    claims.write_ledger(LEDGER, BUILD / "claims.md", ROOT / "notebooks")
    print(f"\nClaims and verdicts: {BUILD / 'claims.md'}")


def check_browser(report: Report) -> None:
    """The explorers in a real browser."""
    browser = find_browser() or install_browser()
    if browser is None:
        report.fail(
            "browser",
            "no Chromium or Chrome was found and none could be installed: install one (Debian: sudo apt "
            "install chromium; others: .venv/bin/python -m playwright install chromium) and try again",
        )
        return
    print(f"\nBrowser: {browser}")
    pytest(report, "browser", "tests/browser", COURSE_CHROMIUM=browser)


def find_browser() -> str | None:
    """The browser that COURSE_CHROMIUM names, else one on the PATH, in its usual place, or playwright's."""
    named = os.environ.get("COURSE_CHROMIUM")
    if named:
        return named
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    for place in BROWSERS_OUTSIDE_PATH:
        if Path(place).exists():
            return place
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install_browser() -> str | None:
    """Install Chromium where that needs no password: Debian's package as root, else playwright's build."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and shutil.which("apt-get"):
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "chromium", DEBIAN_FRONTEND="noninteractive")
    if find_browser() is None:
        # As root playwright can bring the system's libraries along; others have them on any desktop.
        python("-m", "playwright", "install", *(["--with-deps"] if root else []), "chromium")
    return find_browser()


CHECKS: dict[str, Callable[[Report], None]] = {
    "lint": check_lint,
    "exercises": check_exercises,
    "tests": check_tests,
    "notebooks": check_notebooks,
    "browser": check_browser,
}


def main() -> None:
    """Run the named checks, or all, and end with the counts."""
    parser = argparse.ArgumentParser(description="Run every check, or the named ones.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of: {', '.join(CHECKS)}")
    names = parser.parse_args().checks or list(CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        parser.error(f"unknown check: {', '.join(unknown)}; there are: {', '.join(CHECKS)}")
    # nbgrader calls a program of this environment by its name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    BUILD.mkdir(exist_ok=True)
    report = Report()
    seconds = {}
    for name in names:
        start = time.perf_counter()
        try:
            CHECKS[name](report)
        except Exception as error:  # a check that breaks has failed; the others still run
            report.fail(name, f"{type(error).__name__}: {error}")
        seconds[name] = time.perf_counter() - start
    print("\n" + "\n".join(report.notes))
    print("\n" + "\n".join(f"{took:6.1f} s  {name}" for name, took in seconds.items()))
    if report.problems:
        print("\nFailed:\n" + "\n".join(f"  {problem}" for problem in report.problems))
    print()
    for kind, (passed, failed, skipped) in report.counts.items():
        print(f"{kind + ':':<20}{passed} passed, {failed} failed, {skipped} skipped")
    passed, failed, skipped = report.total()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
