"""Lint the JavaScript of explorers and slides with oxlint: names that are nowhere, or never used, and slips.

    python tools/javascript.py

An explorer's files reach the page behind those that several share (`course_lib.widgets.explorer.assets`), so
the names at their top are globals of all others, and those of files in one folder are globals of one another.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "course_lib"
SLIDES = ROOT / "book" / "slides" / "theme"
SHARED = LIBRARY / "widgets"
RULES = (
    "eqeqeq",
    "no-else-return",
    "no-return-assign",
    "no-sequences",
    "no-undef",
    "no-var",
    "prefer-const",
)


def configuration(frame: str, folders: dict[str, str]) -> dict:
    """What oxlint is told: its own rules of correctness, and ours.

    Args:
        frame: the sources that several share, which use few of their own functions.
        folders: by the name of each folder of several files their sources; they reach the page together.
    """

    def known(source: str) -> dict:
        names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", source, re.MULTILINE)
        unused = ["error", {"varsIgnorePattern": f"^({'|'.join(names)})$"}]
        return {"globals": dict.fromkeys(names, "readonly"), "rules": {"no-unused-vars": unused}}

    own = known(frame)
    return {
        "env": {"browser": True, "es2024": True},
        "categories": {"correctness": "error"},
        "globals": own["globals"],
        "rules": {**dict.fromkeys(RULES, "error"), **own["rules"]},
        "overrides": [
            {"files": [f"**/{name}/*.js"], **known(frame + sources)} for name, sources in folders.items()
        ],
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
        folders: dict[str, list[str]] = {}
        for path in folder.rglob("*.js"):
            folders.setdefault(path.parent.name, []).append(path.read_text(encoding="utf-8"))
        several = {name: "".join(sources) for name, sources in folders.items() if len(sources) > 1}
        frame = "".join(path.read_text(encoding="utf-8") for path in sorted(SHARED.glob("*.js")))
        told = configuration(frame, several)
        config.write_text(json.dumps(told), encoding="utf-8")
        return subprocess.run([oxlint, "--config", config, folder]).returncode


if __name__ == "__main__":
    sys.exit(main() or main(SLIDES))
