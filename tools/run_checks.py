"""Run every check and say at the end what was run.

    python tools/run_checks.py                     # all of them: `make test`
    python tools/run_checks.py lint notebooks      # some of them
    python tools/run_checks.py changed             # lint, types, what the change reaches: `make check`
    python tools/run_checks.py claims              # the claims and their pages alone: `make claims`

A check that cannot run has failed: nothing is skipped in silence. Counts come from pytest's own reports.
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import changed
import offline

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "course_lib"
BUILD = ROOT / "build"
LEDGER = BUILD / "claims.jsonl"  # what the notebooks' verdicts found
TESTS_LEDGER = BUILD / "claims_tests.jsonl"  # the same from other seeds, by the tests of the claims
SECONDS = BUILD / "seconds.json"  # what each file of tests and each notebook took last time
WORKERS = 2
# A notebook has 60 s on two cores of its own. Here two run at a time, on one thread each, and what counts
# is how long it keeps its core busy: that is no easier, and says the same on a busy machine. The limit leaves
# room for slower processors. The last number is by the clock: a notebook that runs into it hangs.
BUDGET_S, LIMIT_S, HANGS_S = 60, 150, 900
CHECK_S = 110  # `make check` has two minutes, set-up and this file's own start included
UNKNOWN_S = 10.0  # a test file that was never timed here
SLOWEST = 10
STARTED = time.perf_counter()
# Examples in docstrings need a call of their own: what enforces shape annotations in the tests hides them.
EXAMPLES = ("--doctest-modules",)

# One thread for each worker: threads that wait for each other's core cost minutes.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

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
    seconds: dict[str, float] = field(default_factory=dict)  # of each test
    left_out: list[str] = field(default_factory=list)

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

    def slowest(self) -> list[tuple[str, float]]:
        """The tests that took longest."""
        return sorted(self.seconds.items(), key=lambda test: -test[1])[:SLOWEST]


@dataclass
class Job:
    """A command that may run beside another one; what it prints is kept until it ends."""

    name: str
    command: list[str | Path]
    environment: dict[str, str] = field(default_factory=dict)
    result: Path | None = None  # pytest's report
    expected_s: float = UNKNOWN_S
    kind: str = "tests"  # as what the report is counted


@dataclass
class Done:
    """How a job ended; status None: it was stopped because its time was over."""

    job: Job
    status: int | None
    seconds: float
    busy_s: float  # for how long it kept a core busy, however busy the machine was otherwise
    output: str


def run(*command: str | Path, **environment: str) -> int:
    """Run a command in the project's folder, its output in view."""
    words = [str(part) for part in command]
    print(f"\n$ {' '.join(words)}", flush=True)
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}).returncode


def python(*arguments: str | Path, **environment: str) -> int:
    """Run a Python program of our environment."""
    return run(sys.executable, *arguments, **environment)


def run_job(job: Job, limit_s: float, enough: threading.Event) -> Done:
    """Run one job to its end, for as long as it may take, or until somebody says that it is enough."""
    start = time.perf_counter()
    words = [str(part) for part in job.command]
    with tempfile.TemporaryFile() as file:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **job.environment},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that it is stopped with the programs that it started
        )
        status, busy_s = wait_for(process, limit_s, enough)
        file.seek(0)
        output = file.read().decode("utf-8", errors="replace")
    return Done(job, status, time.perf_counter() - start, busy_s, output)


def wait_for(
    process: subprocess.Popen[bytes], limit_s: float, enough: threading.Event
) -> tuple[int | None, float]:
    """Wait for a process, or stop it when its time is over or somebody says that it is enough.

    Returns:
        Its exit status (None: it was stopped), and for how many seconds it kept a core busy.
    """
    start = time.perf_counter()
    stopped = False
    ended = 0
    while not ended:
        time.sleep(0.05)
        if not stopped and (enough.is_set() or time.perf_counter() - start > limit_s):
            stop(process)
            stopped = True
        if hasattr(os, "wait4"):
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            busy_s = usage.ru_utime + usage.ru_stime
            process.returncode = os.waitstatus_to_exitcode(status) if ended else None
        else:  # Windows does not say: the clock stands in
            ended = process.poll() is not None
            busy_s = time.perf_counter() - start
    return (None if stopped else process.returncode), busy_s


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and, where the system has process groups, the programs that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def in_parallel(jobs: Iterable[Job], deadline: float | None = None) -> Iterator[Done | Job]:
    """Run jobs in their order, some at a time; give each when it has ended.

    Args:
        jobs: the commands.
        deadline: when everything must be over, by `time.perf_counter`; without it a job may take HANGS_S.
    Returns:
        How each ended, or the job itself where it did not fit into the time left.
    """
    waiting = list(jobs)
    running: set[Future[Done]] = set()
    enough = threading.Event()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < WORKERS:
                    job = waiting.pop(0)
                    left = HANGS_S if deadline is None else deadline - time.perf_counter()
                    if deadline is not None and job.expected_s > left:
                        yield job
                        continue
                    running.add(pool.submit(run_job, job, left, enough))
                if running:
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ended)
        finally:
            enough.set()  # after an interrupt nothing may go on behind our back


def notebooks(*folders: str) -> list[Path]:
    """The notebooks below some folders, without the editor's copies."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.ipynb"))
    return sorted(path.relative_to(ROOT) for path in found if ".ipynb_checkpoints" not in path.parts)


def pytest_command(kind: str, *arguments: str | Path) -> tuple[list[str | Path], Path]:
    """A call of pytest, and the report that it will write."""
    result = BUILD / f"{kind.replace(' ', '-').replace('/', '-')}.xml"
    result.unlink(missing_ok=True)
    return [sys.executable, "-m", "pytest", "-q", f"--junit-xml={result}", *arguments], result


def pytest(report: Report, kind: str, *arguments: str | Path, **environment: str) -> list[ET.Element]:
    """Run pytest with its output in view, count from the report that it writes, and return its test cases."""
    command, result = pytest_command(kind, *arguments)
    status = run(*command, **environment)
    return count(report, kind, result, status)


def count(report: Report, kind: str, result: Path, status: int) -> list[ET.Element]:
    """Add what pytest's report says, and return its test cases."""
    cases = list(ET.parse(result).iter("testcase")) if result.exists() else []
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    report.add(kind, len(cases) - len(bad) - len(skipped), len(bad), len(skipped))
    report.problems += [f"{kind}: {case.get('classname')} {case.get('name')}" for case in bad]
    for case in skipped:
        reason = case.find("skipped")
        message = "" if reason is None else reason.get("message")
        report.notes.append(f"skipped: {case.get('name')} ({message})")
    if status != 0 and not bad:
        report.fail(kind, f"pytest ended with status {status} after {len(cases)} tests")
    for case in cases:
        name = f"{case.get('file') or case.get('classname')} {case.get('name')}"
        report.seconds[name] = float(case.get("time", 0))
    return cases


def remember(seconds: dict[str, float]) -> None:
    """Keep what files of tests and notebooks took, for the order and the choice of next time."""
    known = {**timed(), **{name: round(took, 1) for name, took in seconds.items()}}
    SECONDS.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")


def timed() -> dict[str, float]:
    """What each file of tests and each notebook took last time."""
    return json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.exists() else {}


def lint_jobs() -> list[Job]:
    """Style, types, the floors of the library, and notebooks without outputs; the longest first."""
    every_notebook = notebooks("notebooks", "solutions", "exercises")
    commands: dict[str, tuple[str | Path, ...]] = {
        "mypy": ("-m", "mypy"),
        "ruff check": ("-m", "ruff", "check", "."),
        "ruff format": ("-m", "ruff", "format", "--check", "."),
        "import-linter": ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
        # Cell ids are names that we give: the page of claims links to cells by them.
        "nbstripout": ("-m", "nbstripout", "--verify", "--keep-id", *every_notebook),
    }
    return [Job(name, [sys.executable, *arguments], expected_s=5) for name, arguments in commands.items()]


def check_lint(report: Report) -> None:
    """Style, types, the floors of the library, notebooks without outputs; and examples in docstrings.

    The examples keep the second core busy while mypy is at work.
    """
    for done in in_parallel([*lint_jobs(), *example_jobs()]):
        assert isinstance(done, Done)  # without a deadline none is left out
        if done.status is None:
            report.fail("lint", f"{done.job.name} was stopped after {done.seconds:.0f} s")
        else:
            judge_job(report, done)


def check_tests(report: Report) -> None:
    """The tests on two workers (exercises/ among them, as nbgrader makes it)."""
    recorded_tests(report, "tests", "--ignore=tests/browser")


def recorded_tests(report: Report, *arguments: str | Path) -> None:
    """Tests on two workers; what those of the claims measure from other seeds is recorded."""
    begin(TESTS_LEDGER)
    workers = (f"--numprocesses={WORKERS}", "--dist=loadfile")
    environment = {"COURSE_LEDGER_OF_TESTS": str(TESTS_LEDGER), **ONE_THREAD}
    cases = pytest(report, "tests", *arguments, *workers, **environment)
    remember(seconds_of_files(cases))


def begin(ledger: Path) -> None:
    """Begin a record of verdicts anew, with the time and the state of the course."""
    from course_lib.ledger import start

    now = datetime.now()
    start(ledger, f"{now.day} {now:%B %Y, %H:%M}", state())


def state() -> str:
    """The commit, and whether something was changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed_since = commit and git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:  # no git
        commit = ""
    if not commit:
        return f"version {importlib.metadata.version('transformer-course')}"
    return f"commit {commit}{' and changes that are not committed' if changed_since else ''}"


def seconds_of_files(cases: list[ET.Element]) -> dict[str, float]:
    """What the tests of each file took together."""
    seconds: dict[str, float] = {}
    for case in cases:
        file = case.get("file", "")
        seconds[file] = seconds.get(file, 0) + float(case.get("time", 0))
    return seconds


def notebook_job(path: Path, folder: Path, ledger: Path | None = None) -> Job:
    """Run a notebook from top to bottom, with the network cut; each cell is a test.

    Args:
        path: the notebook.
        folder: where the guard may be written that cuts the network.
        ledger: where claims are recorded that it judges.
    """
    # One plugin of pytest, not all that are installed: to load them takes longer than some notebooks.
    options = ("-p", "nbval.plugin", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")
    command, result = pytest_command(path.as_posix(), *options, path)
    command, environment = offline.cut(command, folder)
    # A title that the numbers do not support is an error here; a learner gets another one.
    environment = {**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COURSE_FIGURES": "strict"}
    if ledger is not None:
        environment = {**environment, "COURSE_LEDGER": str(ledger)}
    expected = timed().get(path.as_posix(), BUDGET_S)
    return Job(path.as_posix(), command, {**environment, **ONE_THREAD}, result, expected)


def judge_notebook(report: Report, done: Done) -> None:
    """Count one notebook: it passed if all of its cells did, in time."""
    found = Report()
    if done.job.result is not None and done.status is not None:
        count(found, done.job.name, done.job.result, done.status)
    if done.status is None:
        found.fail(done.job.name, f"stopped after {done.seconds:.0f} s")
    elif done.busy_s > LIMIT_S:
        found.fail(done.job.name, f"took {done.busy_s:.0f} s of one core, limit {LIMIT_S} s")
    passed = not found.problems
    print(f"{'passed' if passed else 'FAILED'}  {done.seconds:6.1f} s  {done.job.name}", flush=True)
    if not passed:
        print(done.output, flush=True)
    report.add("notebooks", passed=int(passed), failed=int(not passed))
    report.problems += found.problems
    report.seconds[done.job.name] = done.seconds
    over = f"  over the budget of {BUDGET_S} s" if done.busy_s > BUDGET_S else ""
    report.notes.append(f"{done.busy_s:6.1f} s of one core  {done.job.name}{over}")
    remember({done.job.name: done.seconds})


def check_notebooks(report: Report) -> None:
    """Every notebook and every solution runs from top to bottom, once, with the network cut.

    Two run at a time, the longest first. Every claim that they judge is recorded.
    """
    run_notebooks(report, notebooks("notebooks", "solutions"))


def run_notebooks(report: Report, paths: Iterable[Path]) -> None:
    """Run notebooks, and write the ledger's pages from what their verdicts found."""
    begin(LEDGER)
    print(f"\nNotebooks, {WORKERS} at a time. The network is cut: {offline.how()}.", flush=True)
    report.notes.append(f"notebooks ran with the network cut: {offline.how()}")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [notebook_job(path, Path(folder), LEDGER) for path in paths]
        jobs.sort(key=lambda job: -job.expected_s)
        for done in in_parallel(jobs):
            assert isinstance(done, Done)  # without a deadline none is left out
            judge_notebook(report, done)
    judge_claims(report)


def judge_claims(report: Report) -> None:
    """Each claim that the ledger gives to a notebook was judged, once; then write the ledger's pages."""
    from course_lib import claims, ledger

    own = ledger.read(LEDGER)
    here = {path.stem for path in notebooks("notebooks")}
    wanted = {claim.id for claim in claims.load().values() if claim.notebook in here}
    for claim in sorted(wanted | set(own.found)):
        times = len(own.found.get(claim, ()))
        if claim in wanted and times == 1:
            report.add("claims", passed=1)
        else:
            report.fail("claims", f"{claim} was judged {times} times, expected {int(claim in wanted)}")
    pages = ledger.write_pages(BUILD, own, ledger.read(TESTS_LEDGER), ROOT / "notebooks")
    print("\nClaims and verdicts:", *pages, sep="\n  ")


def check_claims(report: Report) -> None:
    """The claims alone, once more from other seeds and once in their notebooks: `make claims`."""
    tests = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").glob("test_claims_[0-9]*.py"))
    paths = notebooks("notebooks")
    before = timed()
    expected = sum(before.get(path.as_posix(), BUDGET_S) for path in [*tests, *paths]) / WORKERS / 60
    print(f"The tests of the claims, then the notebooks: about {expected:.0f} minutes.", flush=True)
    recorded_tests(report, *tests)
    run_notebooks(report, paths)


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
    # Test by test, because few files take long: the last would leave one of the two idle for half a minute.
    workers = (f"--numprocesses={WORKERS}", "--dist=worksteal")
    cases = pytest(report, "browser", "tests/browser", *workers, COURSE_CHROMIUM=browser, **ONE_THREAD)
    remember(seconds_of_files(cases))


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


def check_changed(report: Report) -> None:
    """Lint, types, and what the present change reaches, the nearest first, for two minutes.

    What did not fit is said at the end; `make test` runs it.
    """
    deadline = STARTED + CHECK_S
    since = changed.base(ROOT)
    files = changed.changed_files(ROOT, since)
    print(
        f"{len(files)} files changed since {since[:9]}{': ' if files else ''}{', '.join(files)}", flush=True
    )
    found = changed.reach(ROOT, files)
    with tempfile.TemporaryDirectory() as folder:
        jobs = lint_jobs()
        jobs += [notebook_job(Path(path), Path(folder)) for path in found.notebooks]
        if found.exercises:
            jobs.append(Job("exercises", [sys.executable, "tools/exercises.py", "--check"]))
        jobs += [example_job(path) for path in found.modules if ">>> " in (ROOT / path).read_text("utf-8")]
        browser = find_browser() if any(map(in_browser, found.tests)) else None
        for path in found.nearest_first():
            if in_browser(path) and browser is None:
                report.left_out.append(f"{path} (no browser)")
            else:
                jobs.append(tests_job(path, browser))
        for done in in_parallel(jobs, deadline):
            judge_job(report, done)
    report.notes.append(
        "not asked: the tests that the change does not reach, and notebooks that did not change"
    )


def in_browser(path: str) -> bool:
    """Whether a test file needs a browser."""
    return path.startswith("tests/browser/")


def tests_job(path: str, browser: str | None) -> Job:
    """Run one file of tests."""
    command, result = pytest_command(path, "-p", "no:cacheprovider", path)
    environment = {**ONE_THREAD, **({"COURSE_CHROMIUM": browser} if browser else {})}
    starts_in = 3  # seconds until the first test, which pytest's report does not count
    return Job(path, command, environment, result, timed().get(path, UNKNOWN_S) + starts_in)


def example_jobs() -> list[Job]:
    """Run the examples in all docstrings."""
    command, result = pytest_command("docstring examples", *EXAMPLES, "-p", "no:cacheprovider", LIBRARY)
    return [Job("docstring examples", command, dict(ONE_THREAD), result, kind="docstring examples")]


def example_job(path: str) -> Job:
    """Run the examples in the docstrings of one module."""
    command, result = pytest_command(f"examples in {path}", *EXAMPLES, "-p", "no:cacheprovider", path)
    return Job(f"examples in {path}", command, dict(ONE_THREAD), result)


def judge_job(report: Report, done: Done | Job) -> None:
    """Count one job, and show what it printed if it failed."""
    if isinstance(done, Job):
        report.left_out.append(f"{done.name} (about {done.expected_s:.0f} s)")
        return
    name = done.job.name
    if done.status is None:
        report.left_out.append(f"{name} (stopped after {done.seconds:.0f} s)")
        return
    if name.endswith(".ipynb"):
        judge_notebook(report, done)
        return
    print(f"{'passed' if done.status == 0 else 'FAILED'}  {done.seconds:6.1f} s  {name}", flush=True)
    if done.status != 0:
        print(done.output, flush=True)
    if done.job.result is not None:
        remember(seconds_of_files(count(report, done.job.kind, done.job.result, done.status)))
    elif done.status == 0:
        report.add("lint", passed=1)
    else:
        report.fail("lint", name)


CHECKS: dict[str, Callable[[Report], None]] = {
    "lint": check_lint,
    "tests": check_tests,
    "notebooks": check_notebooks,
    "browser": check_browser,
}
ON_REQUEST: dict[str, Callable[[Report], None]] = {"changed": check_changed, "claims": check_claims}


def chosen() -> list[str]:
    """The checks that the command line names, or all that `make test` runs."""
    known = [*CHECKS, *ON_REQUEST]
    parser = argparse.ArgumentParser(description="Run every check, or the named ones.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of: {', '.join(known)}")
    names = parser.parse_args().checks or list(CHECKS)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"unknown check: {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def show(report: Report, seconds: dict[str, float]) -> None:
    """What was run, what took long, what failed; the counts come last."""
    print("\n" + "\n".join(report.notes))
    print(f"\nThe {SLOWEST} slowest:")
    print("\n".join(f"{took:6.1f} s  {name}" for name, took in report.slowest()))
    print("\nIn all:\n" + "\n".join(f"{took:6.1f} s  {name}" for name, took in seconds.items()))
    if report.left_out:
        print("\nLeft out for want of time (`make test` runs it):")
        print("\n".join(f"  {name}" for name in report.left_out))
    if report.problems:
        print("\nFailed:\n" + "\n".join(f"  {problem}" for problem in report.problems))
    print()
    for kind, (passed, failed, skipped) in report.counts.items():
        print(f"{kind + ':':<20}{passed} passed, {failed} failed, {skipped} skipped")
    passed, failed, skipped = report.total()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)


def main() -> None:
    """Run the named checks, or all, and end with the counts."""
    names = chosen()
    # nbgrader calls a program of this environment by its name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["COURSE_PROGRESS"] = "off"  # solutions that pass are not the contributor's own
    BUILD.mkdir(exist_ok=True)
    report = Report()
    seconds = {}
    for name in names:
        start = time.perf_counter()
        try:
            {**CHECKS, **ON_REQUEST}[name](report)
        except Exception as error:  # a check that breaks has failed; the others still run
            report.fail(name, f"{type(error).__name__}: {error}")
        seconds[name] = time.perf_counter() - start
    show(report, seconds)
    passed, failed, _ = report.total()
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
