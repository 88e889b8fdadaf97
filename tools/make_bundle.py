"""The course for a room without internet: one archive a system, with all wheels and the book.

    python tools/make_bundle.py                                  # build/bundle, all systems, for this Python
    python tools/make_bundle.py windows-x64 --python 3.12 --python 3.13

Needs uv (python -m pip install uv). An archive is the project as git lists it, the wheels of each Python that
is named, and the book, if `make book` has written it. tools/set_up.py installs from it; START.txt says how.
Solutions are in it: course_lib holds them in any case, and `solution(...)` shows them. The archive for this
system is unpacked, installed and its notebook 03 executed, with the network cut, before it is put in place;
of the others uv says whether their wheels are all that their system needs.

Not for Intel Macs and not for Windows on ARM: PyTorch has no wheels for them on PyPI.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import lock
import offline
import set_up
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "build" / "bundle"
BOOK = ROOT / "build" / "book"
TOP = "transformer-course"  # the folder in an archive: short, as Windows counts the letters of a path
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch for Linux without CUDA
NOTEBOOK = "notebooks/03_qkv.ipynb"
FREE_GB, FREE_GB_MORE = 4, 1  # for one Python, for each further one
ALL_BINARY = ("--only-binary", ":all:")
NO_NETWORK = (
    "No package could be fetched: check the network connection (behind a proxy, set HTTPS_PROXY). For Linux, "
    f"where {CPU_INDEX} cannot be reached, name a folder with PyTorch's wheel: --torch FOLDER."
)
NO_NETWORK_SAYS = ("Failed to fetch", "error sending request", "dns error")  # uv


@dataclass(frozen=True)
class System:
    """A system that there is an archive for."""

    title: str
    uv: str  # its name for uv
    tags: tuple[str, ...]  # of wheels, for pip
    python: str  # how one starts a version of Python
    venv_python: str
    slash: str = "/"


SYSTEMS = {
    "windows-x64": System(
        "Windows on x64",
        "x86_64-pc-windows-msvc",
        ("win_amd64",),
        "py -{python}",
        ".venv\\Scripts\\python",
        "\\",
    ),
    "macos-arm64": System(
        "macOS 14 or newer on Apple silicon",
        "aarch64-apple-darwin",
        ("macosx_14_0_arm64",),
        "python{python}",
        ".venv/bin/python",
    ),
    "linux-x64": System(
        "Linux on x64 (glibc 2.28 or newer)",
        "x86_64-manylinux_2_28",
        (
            *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
            "manylinux2014_x86_64",
            "linux_x86_64",
        ),
        "python{python}",
        ".venv/bin/python",
    ),
}


def stop(sentence: str) -> NoReturn:
    """End with one sentence that says what to do."""
    sys.exit(f"\nThe archive was not written. {sentence}")


# ------------------------------------------------------------------------------------------------ the wheels


def torch_in(folder: Path, python: str) -> str:
    """The version of PyTorch whose wheel in a folder fits Linux and a Python.

    Raises: SystemExit: there is none.
    """
    interpreter = f"cp{python.replace('.', '')}"
    fitting = {Tag(interpreter, interpreter, tag) for tag in SYSTEMS["linux-x64"].tags}
    for path in sorted(folder.glob("torch-*.whl"), reverse=True):
        _, version, _, tags = parse_wheel_filename(path.name)
        if tags & fitting:
            return str(version)
    there = ", ".join(path.name for path in sorted(folder.glob("torch-*.whl"))) or "no wheel of torch"
    stop(f"Expected a wheel of torch for Linux on x64 and Python {python} in {folder}, which has {there}.")


def resolve(name: str, python: str, torch: Path | None) -> str:
    """What a system needs for a Python: names, versions and hashes, one list for pip.

    Args:
        name: of the system.
        python: 3.12, for instance.
        torch: a folder with a wheel of PyTorch for Linux, in place of PyTorch's own index.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    more = list(project["build-system"]["requires"])  # set-up builds the course without a network
    options = ["--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
    options += ["--constraint", str(set_up.CONSTRAINTS)]
    if name == "linux-x64":
        if torch is None:
            options += ["--torch-backend", "cpu"]
        else:
            options += ["--find-links", str(torch)]
            more.append(f"torch=={torch_in(torch, python)}")
    run = uv(name, python, ["compile", *options, "pyproject.toml", "-"], "\n".join(more))
    if run.returncode != 0:
        print(run.stderr, file=sys.stderr)
        if any(symptom in run.stderr for symptom in NO_NETWORK_SAYS):
            stop(NO_NETWORK)
        stop(f"uv says above why there are no versions that fit {SYSTEMS[name].title} and Python {python}.")
    return run.stdout


def uv(name: str, python: str, command: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """What `uv pip` answers for a system and a Python, which need not be ours."""
    system = ["--python-platform", SYSTEMS[name].uv, "--python-version", python]
    return subprocess.run(
        [*lock.uv(), "pip", *command, *ALL_BINARY, *system],
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def download(name: str, python: str, torch: Path | None, wanted: Path) -> None:
    """Put what a list wants, and the two models, into the list's folder; each is checked by its hash."""
    options = ["--no-deps", "--require-hashes", *ALL_BINARY, "--dest", str(wanted.parent)]
    options += ["--implementation", "cp", "--python-version", python]
    options += [word for tag in SYSTEMS[name].tags for word in ("--platform", tag)]
    if name == "linux-x64":
        options += ["--extra-index-url", CPU_INDEX] if torch is None else ["--find-links", str(torch)]
    lists = ["--requirement", str(wanted), "--requirement", "requirements-models.txt"]
    log = wanted.with_suffix(".log")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--log", str(log)]
    # The versions are settled: what somebody wants held on this computer is of no use elsewhere.
    environment = {**os.environ, "PIP_CONSTRAINT": os.devnull}
    run = subprocess.run([*pip, "download", *options, *lists], cwd=ROOT, env=environment)
    if run.returncode != 0:
        stop(set_up.reason(log, set_up.REASONS))
    log.unlink(missing_ok=True)


def rehearse(name: str, python: str, wanted: Path) -> None:
    """Stop where a system could not install a list from the folder that it lies in."""
    alone = ["--offline", "--no-cache", "--no-index", "--find-links", str(wanted.parent)]
    # Without our own bounds (pyproject.toml, tool.uv): they are no versions with a hash.
    options = [*alone, "--no-config", "--require-hashes"]
    nowhere = ["--dry-run", "--target", str(wanted.parent / "nowhere")]
    run = uv(name, python, ["install", *options, *nowhere, "--requirement", str(wanted)])
    if run.returncode != 0:
        stop(f"The wheels for {SYSTEMS[name].title} and Python {python} are not complete:\n{run.stderr}")


# ----------------------------------------------------------------------------------------------- the archive


def project_files() -> list[Path]:
    """The files that git lists.

    Raises: SystemExit: there is no git, or this is no checkout.
    """
    git = shutil.which("git")
    if git is not None:
        run = subprocess.run(
            [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
        )
        paths = [ROOT / name for name in run.stdout.split("\0") if name]
        if paths:
            return [path for path in paths if path.is_file()]
    stop(f"An archive holds what git lists, and git lists nothing in {ROOT}: make it in a checkout.")


def start(name: str, pythons: Sequence[str], with_book: bool) -> str:
    """What START.txt says."""
    system = SYSTEMS[name]
    lines = [
        f"Transformers, one experiment per claim: the course for {system.title},",
        f"with Python {' or '.join(pythons)}, without a network.",
        "",
        "Open a terminal in this folder. The first command sets the course up, the second opens it:",
    ]
    for python in pythons:
        lines += ["", f"    {system.python.format(python=python)} tools{system.slash}set_up.py"]
    lab = f"-m jupyter lab --notebook-dir=. notebooks{system.slash}00_overview.ipynb"
    lines += [f"    {system.venv_python} {lab}", ""]
    if len(pythons) > 1:
        lines.insert(-2, "")
        lines.insert(3, "Of the first commands take the one for your Python.")
    if with_book:
        lines += ["To read without installing anything, open website/index.html in a browser."]
    else:
        lines += [
            "The website to read is not in this archive: `make book`, then `make bundle`, would add it."
        ]
    return "\n".join(lines) + "\n"


def contents(wheels: Path) -> Iterator[tuple[Path, str]]:
    """The files of an archive, and the place of each in the course's folder."""
    for path in project_files():
        yield path, path.relative_to(ROOT).as_posix()
    for path in sorted(wheels.iterdir()):
        yield path, f"wheels/{path.name}"
    for path in sorted(BOOK.rglob("*")) if has_book() else []:
        if path.is_file():
            yield path, f"website/{path.relative_to(BOOK).as_posix()}"


def has_book() -> bool:
    """Whether `make book` has written the book."""
    return (BOOK / "index.html").exists()


def pack(path: Path, wheels: Path, start: str) -> None:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        archive.writestr(f"{TOP}/START.txt", start)
        for file, place in contents(wheels):
            method = zipfile.ZIP_STORED if file.suffix == ".whl" else zipfile.ZIP_DEFLATED
            archive.write(file, f"{TOP}/{place}", method)


def install_and_run(path: Path, folder: Path) -> None:
    """Unpack an archive for this system, install it and run a notebook, with the network cut."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    course = folder / TOP
    python = course / set_up.VENV_PYTHON.relative_to(set_up.ROOT)
    nbconvert = ("-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", str(folder))
    print(f"Trying it. The network is cut: {offline.how()}.", flush=True)
    for words in ([sys.executable, "tools/set_up.py"], [str(python), *nbconvert, NOTEBOOK]):
        command, extra = offline.cut(words, folder)
        ours = ("PYTHON", "PIP_", "UV_", "COURSE_", "JUPYTER_", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        if subprocess.run(command, cwd=course, env={**environment, **extra}).returncode != 0:
            stop(f"Its set-up or {NOTEBOOK} failed without a network, as said above.")


def make(name: str, pythons: Sequence[str], torch: Path | None) -> Path:
    """Write the archive for a system; it is in its place when it is whole, and not before."""
    check_room(len(pythons))
    with tempfile.TemporaryDirectory(dir=BUNDLES, prefix=".") as temporary:
        wheels = Path(temporary) / "wheels"
        wheels.mkdir()
        for python in pythons:
            print(f"\n{SYSTEMS[name].title}, Python {python}", flush=True)
            wanted = wheels / f"{set_up.packed(name, python)}.txt"
            wanted.write_text(resolve(name, python, torch), encoding="utf-8")
            download(name, python, torch, wanted)
            rehearse(name, python, wanted)
        path = Path(temporary) / f"{TOP}-{name}-python{'-'.join(pythons)}.zip"
        pack(path, wheels, start(name, pythons, has_book()))
        if name == set_up.system() and here() in pythons:
            install_and_run(path, Path(temporary) / "tried")
        else:
            print("Its wheels are complete. It was not installed: it is not for this system and this Python.")
        return path.replace(BUNDLES / path.name)


def here() -> str:
    """The version of this Python."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def main() -> None:
    """Write the archives that are asked for."""
    parser = argparse.ArgumentParser(
        description="The course for a room without internet: one archive a system, build/bundle.",
        epilog="There is none for Intel Macs and Windows on ARM: PyTorch has no wheels for them on PyPI.",
    )
    parser.add_argument(
        "systems", nargs="*", metavar="SYSTEM", help=f"{', '.join(SYSTEMS)}; all, if none is named"
    )
    parser.add_argument(
        "--python", action="append", help=f"a version it serves; may come again; {here()} if none"
    )
    parser.add_argument(
        "--torch", type=Path, help=f"Linux: a folder with PyTorch's wheel, in place of {CPU_INDEX}"
    )
    chosen = parser.parse_args()
    for name in chosen.systems:
        if name not in SYSTEMS:
            parser.error(f"there is no archive for {name}, only for {', '.join(SYSTEMS)}. {parser.epilog}")
    pythons = chosen.python or [here()]
    for python in pythons:
        check_version(python)
    lock.uv()
    BUNDLES.mkdir(parents=True, exist_ok=True)
    if has_book():
        written = datetime.fromtimestamp((BOOK / "index.html").stat().st_mtime)
        print(f"With the book as `make book` wrote it on {written:%Y-%m-%d at %H:%M}.")
    else:
        print(
            "Without the book, as it is not built: `make book` writes it, `make bundle` then takes it along."
        )
    torch = chosen.torch.resolve() if chosen.torch else None
    done = [make(name, pythons, torch) for name in chosen.systems or SYSTEMS]
    for path in done:
        print(f"{path.stat().st_size / 1e6:5.0f} MB  {path.relative_to(ROOT)}")


def check_version(python: str) -> None:
    """Stop where a version of Python is none that the course runs on."""
    numbers = python.split(".")
    if len(numbers) != 2 or not all(map(str.isdigit, numbers)) or tuple(map(int, numbers)) < set_up.OLDEST:
        stop(f"Expected a version of Python from 3.11 on, like 3.12, got {python}.")


def check_room(n_pythons: int) -> None:
    """Stop where the disk has too little room for an archive and its trial."""
    needed = FREE_GB + FREE_GB_MORE * (n_pythons - 1)
    free = shutil.disk_usage(BUNDLES).free / 1e9
    if free < needed:
        stop(f"It needs {needed} GB of free disk, {BUNDLES} has {free:.1f} GB.")


if __name__ == "__main__":
    main()
