"""Make exercises/ from solutions/ with nbgrader, or compare the two.

    python tools/exercises.py           # regenerate exercises/
    python tools/exercises.py --check   # say what differs, and fail if anything does

nbgrader works in a temporary copy of the course, so that no grade book is left behind.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")


def release(course: Path) -> Path:
    """Let nbgrader release every assignment of `course`/solutions; return the folder that it wrote.

    Raises: RuntimeError: nbgrader failed; its own words follow.
    """
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copytree(ROOT / "solutions", course / "solutions", ignore=IGNORED)
    # nbgrader calls a program of this environment by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for assignment in sorted(path.name for path in (course / "solutions").iterdir() if path.is_dir()):
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", assignment, "--force"]
        environment = {**os.environ, "PATH": path}
        run = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
        if run.returncode != 0 or not (course / "exercises" / assignment).is_dir():
            raise RuntimeError(f"nbgrader did not release {assignment}:\n{run.stdout}{run.stderr}")
    return course / "exercises"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name, with line endings as git stores them."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".ipynb_checkpoints" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes().replace(b"\r\n", b"\n") for path in files}


def main() -> None:
    """Regenerate or compare."""
    parser = argparse.ArgumentParser(description="Make exercises/ from solutions/.")
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        released = release(Path(folder))
        wanted, found = contents(released), contents(ROOT / "exercises")
        names = wanted.keys() | found.keys()
        different = sorted(name for name in names if wanted.get(name) != found.get(name))
        if check and different:
            sys.exit(f"exercises/ is not what solutions/ gives; run `make exercises`: {', '.join(different)}")
        if not check:
            shutil.rmtree(ROOT / "exercises", ignore_errors=True)
            shutil.copytree(released, ROOT / "exercises", ignore=IGNORED)
    print(f"{len(wanted)} files released from solutions/, {0 if check else len(different)} changed")


if __name__ == "__main__":
    main()
