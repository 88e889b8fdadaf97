"""Set-up ends every failure with one sentence that helps; `make test` never passes in silence."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

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


def test_a_python_without_venv(set_up, monkeypatch, tmp_path):
    monkeypatch.setattr(set_up, "VENV_PYTHON", tmp_path / "missing")
    debian = "The virtual environment was not created successfully because ensurepip is not available."
    failed = subprocess.CompletedProcess([], 1, stdout=debian, stderr="")
    monkeypatch.setattr(set_up.subprocess, "run", lambda *_, **__: failed)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    with pytest.raises(SystemExit, match=f"without its venv module: .* sudo apt install {package}"):
        set_up.make_venv()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_says_which_pythons_it_tried(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements-models.txt"):
        shutil.copy(ROOT / name, tmp_path)
    run = subprocess.run(["make", "lab", "PYTHON=no-python"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert "No Python 3.11 or newer answers to: no-python. Install one" in run.stderr


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
def test_each_claim_is_judged_once(checks, monkeypatch, times, failed):
    from course_lib import claims

    judged = next(claim for claim in claims.load().values() if claim.criterion)
    monkeypatch.setattr(checks, "notebooks", lambda *_: [Path(judged.notebook)])
    monkeypatch.setattr(claims, "load", lambda: {judged.id: judged})
    evidence = {name: low for name, (low, _) in judged.criterion.items()}
    line = json.dumps(
        {"claim": judged.id, "notebook": judged.notebook, "verdict": "holds", "evidence": evidence}
    )
    checks.LEDGER.write_text((line + "\n") * times)
    report = checks.Report()
    checks.check_claims(report)
    assert report.total() == [1 - failed, failed, 0]
