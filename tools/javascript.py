"""Lint the explorers' JavaScript with oxlint: names that are nowhere, what is never used, slips of the pen.

    python tools/javascript.py

An explorer's file reaches the page behind the frame's (`course_lib.widgets.explorer.assets`), so the names at
the top of the frame are globals of all others.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "course_lib"
FRAME = LIBRARY / "widgets" / "explorer.js"
RULES = (
    "eqeqeq",
    "no-else-return",
    "no-return-assign",
    "no-sequences",
    "no-undef",
    "no-var",
    "prefer-const",
)


def configuration(frame: str) -> dict:
    """What oxlint is told: its own rules of correctness, and ours.

    Args:
        frame: the source of the frame, which uses few of its own functions.
    """
    names = re.findall(r"^(?:function|const|let) (\w+)", frame, re.MULTILINE)
    unused = ["error", {"varsIgnorePattern": f"^({'|'.join(names)})$"}]
    return {
        "env": {"browser": True, "es2024": True},
        "categories": {"correctness": "error"},
        "globals": dict.fromkeys(names, "readonly"),
        "rules": {**dict.fromkeys(RULES, "error"), "no-unused-vars": unused},
    }


def main(folder: Path = LIBRARY) -> int:
    """Print what is wrong in the folder's files; return oxlint's status.

    Raises:
        SystemExit: there is no oxlint.
    """
    oxlint = shutil.which("oxlint", path=sysconfig.get_path("scripts")) or shutil.which("oxlint")
    if oxlint is None:
        sys.exit("This needs oxlint: set up anew with `make test`")
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "oxlint.json"
        config.write_text(json.dumps(configuration(FRAME.read_text(encoding="utf-8"))), encoding="utf-8")
        return subprocess.run([oxlint, "--config", config, folder]).returncode


if __name__ == "__main__":
    sys.exit(main())
