"""Make constraints.txt anew: the newest versions that fit together, for every platform and Python we name.

    python tools/lock.py        # needs uv: python -m pip install uv

torch, and what torch asks for, is held below a version and not at one: a machine that is given an older torch
installs all the same, and tools/set_up.py knows which lines to leave out where a torch is there already.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEAD = """\
# The versions that the course was tested with, for Linux, macOS and Windows and every Python from 3.11 on.
# `make lab` and `make test` install these; `make lab LATEST=1` takes the newest instead.
# Made by tools/lock.py from pyproject.toml (`make constraints`); do not edit.
#
# torch, and what torch asks for, is held below a version and not at one: tools/lock.py says why.
"""
LINE = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?P<marker> ; .*?)?\s+# via (?P<users>.*)")


def uv() -> list[str]:
    """How uv is called here.

    Raises:
        SystemExit: there is no uv.
    """
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    if found is None:
        sys.exit(f"This needs uv: {sys.executable} -m pip install uv")
    return [found]


def resolve() -> str:
    """uv's answer: one line a package, with the packages that ask for it."""
    options = ("--universal", "--python-version", "3.11", "--all-extras", "--quiet", "--no-header")
    command = [*uv(), "pip", "compile", *options, "--annotation-style", "line", "pyproject.toml"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def constraints(resolved: str) -> str:
    """The lines of constraints.txt.

    Args:
        resolved: what `resolve` returns.
    """
    matches = [match for match in map(LINE.fullmatch, resolved.splitlines()) if match]
    users = {match["name"]: set(match["users"].split(", ")) for match in matches}
    of_torch = {"torch"}
    while True:
        more = {name for name, asked_by in users.items() if asked_by & of_torch}
        if more <= of_torch:
            break
        of_torch |= more
    lines = []
    for match in matches:
        relation = "<=" if match["name"] in of_torch else "=="
        lines.append(f"{match['name']}{relation}{match['version']}{match['marker'] or ''}\n")
    return HEAD + "".join(lines)


def main() -> None:
    """Write constraints.txt."""
    CONSTRAINTS.write_text(constraints(resolve()), encoding="utf-8")
    print(f"{CONSTRAINTS.name} is new; `make test` says whether the course works with it.")


if __name__ == "__main__":
    main()
