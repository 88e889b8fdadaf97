"""Style, types, the floors of the library and notebooks without outputs: other programs say so."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [
    path.relative_to(ROOT).as_posix()
    for folder in ("notebooks", "solutions", "exercises")
    for path in (ROOT / folder).rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
]
COMMANDS = {
    "types": ["-m", "mypy"],
    "rules": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "floors": ["-c", "from importlinter.cli import lint_imports_command as run; run()"],
    "JavaScript": ["tools/javascript.py"],
    # Cell ids are names that we give: the page of claims links to cells by them.
    "no outputs": ["-m", "nbstripout", "--verify", "--keep-id", *NOTEBOOKS],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_style(command):
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
