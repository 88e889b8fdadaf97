"""Notebooks that have run, with what their cells show: the tests run each once, the book shows it.

    python tools/executed.py notebooks/*.ipynb     # into build/executed

nbval runs a notebook in a process of its own, with the network cut. What it shows is kept together with a
digest of all that it may depend on; while that is the same nobody runs it again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import offline

ROOT = Path(__file__).resolve().parent.parent
KEPT = "executed.ipynb"
FOLDER = ROOT / "build" / "executed"
AT_ONCE = 2  # notebooks that run, one core each
HANGS_S = 900  # by the clock: a notebook that runs into it hangs
NBVAL = ("--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")


def as_a_learner() -> dict[str, str]:
    """The variables of the environment, without those that the tests add for themselves."""
    own = {"MPLBACKEND", *(name for name in os.environ if name.startswith("PYTEST_"))}
    return {name: value for name, value in os.environ.items() if name not in own}


def run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook, each of its cells as a test; the folder gets what it shows and its verdicts find."""
    pytest_that_keeps = (sys.executable, ROOT / "tools" / "kept.py", f"--keep={folder / KEPT}")
    command, environment = offline.cut([*pytest_that_keeps, "-q", *NBVAL, path], folder)
    # One plugin of pytest, not all that are installed: to load them takes longer than some notebooks.
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COURSE_LEDGER": str(folder / "claims.jsonl")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**as_a_learner(), **environment, **own},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANGS_S,
    )


def digest(path: Path) -> str:
    """What a notebook's outputs depend on: itself and the library, in one number."""
    found = hashlib.sha256()
    library = [each for each in sorted((ROOT / "course_lib").rglob("*")) if "__pycache__" not in each.parts]
    for each in [path, *filter(Path.is_file, library)]:
        found.update(each.relative_to(ROOT).as_posix().encode() + b"\0" + each.read_bytes())
    return found.hexdigest()


def place(path: Path) -> Path:
    """Where a notebook of the project stands once it has run."""
    return FOLDER / path.relative_to(ROOT)


def keep(path: Path, folder: Path) -> Path:
    """Put what a run has left in a folder where the next one finds it."""
    kept = place(path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / KEPT, kept)
    kept.with_suffix(".digest").write_text(digest(path), encoding="utf-8")
    return kept


def executed(path: Path) -> Path:
    """A notebook that has run; it runs now if it has not, or something has changed since.

    Raises: RuntimeError: a cell fails.
    """
    kept = place(path)
    stamp = kept.with_suffix(".digest")
    if kept.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest(path):
        return kept
    with tempfile.TemporaryDirectory() as folder:
        process = run(path, Path(folder))
        if process.returncode != 0:
            raise RuntimeError(f"{path.relative_to(ROOT)} does not run:\n{process.stdout}{process.stderr}")
        return keep(path, Path(folder))


def all_executed(paths: Iterable[Path]) -> list[Path]:
    """Notebooks that have run, in their order; those that must, run now, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(executed, paths))


if __name__ == "__main__":
    for kept in all_executed(Path(name).resolve() for name in sys.argv[1:]):
        print(kept)
