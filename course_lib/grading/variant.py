"""An assignment's hidden tests anew, from a secret: other inputs, sizes and order, the same tasks.

The hidden tests of the public solutions are public, and so are the answers to them. Those of a variant are
drawn from a teacher's secret; whoever knows it gets the same variant again.
"""

import hashlib
import json
import re
import secrets
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from course_lib.grading.results.graded import grade_id, write_notebook

HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS.*?(?:### END HIDDEN TESTS|\Z)", re.DOTALL)
PLACE = re.compile(r"\bseed(?: in [(\[]| *= *)\d[\d_, ]*")  # for seed in (31, 57): or check(..., seed=31)
LARGEST = 999_999_999  # seeds are drawn from 1 to here


@dataclass(frozen=True)
class Variant:
    """What was made.

    Args:
        secret: From which the seeds were drawn; keep it where no learner sees it.
        changed: The tests with new seeds, as "notebook/grade_id".
        kept: The graded cells that have no seed of a hidden test; they are as they were.
    """

    secret: str
    changed: tuple[str, ...]
    kept: tuple[str, ...]


def variant(source: Path, out: Path, secret: str | None = None) -> Variant:
    """Copy an assignment, or a folder of assignments, with hidden seeds drawn from a secret.

    The same secret gives the same files, byte by byte, from the source and from any variant of it.

    Args:
        source: The folder with the notebooks of the source ("solutions/03_qkv"); no file in it is changed.
        out: The folder to write; made where it is not there.
        secret: Any text; drawn anew, if None.
    Raises: ValueError: the source has no notebook, the secret is empty, or `out` is the source or within it.
    """
    source, out = source.resolve(), out.resolve()
    if out.is_relative_to(source):
        raise ValueError(f"a variant should stand outside its source {source}; got {out}")
    if secret == "":
        raise ValueError("the secret should be a text or None; got an empty text")
    paths = [path for path in sorted(source.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not paths:
        raise ValueError(f"the source should be a folder with notebooks; {source} has none")
    secret = secret or secrets.token_hex(16)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns(".*", "*.ipynb"), dirs_exist_ok=True)
    changed: list[str] = []
    kept: list[str] = []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if not cell["metadata"].get("nbgrader", {}).get("grade"):
                continue
            old = "".join(cell["source"])
            new = reseed(old, f"{secret}\n{path.stem}/{grade_id(cell)}")
            cell["source"] = new.splitlines(keepends=True)
            has_seed = any(map(PLACE.search, HIDDEN.findall(old)))
            (changed if has_seed else kept).append(f"{path.stem}/{grade_id(cell)}")
        write_notebook(out / path.relative_to(source), notebook)
    return Variant(secret, tuple(changed), tuple(kept))


def reseed(test: str, key: str) -> str:
    """A test cell with other seeds in its hidden tests, drawn from a key; as it was where there are none.

    Example:
        >>> test = "f(seed=1)\\n### BEGIN HIDDEN TESTS\\nf(seed=31)\\n### END HIDDEN TESTS"
        >>> reseed(test, "key").splitlines()
        ['f(seed=1)', '### BEGIN HIDDEN TESTS', 'f(seed=474_274_367)', '### END HIDDEN TESTS']
    """
    numbers = count()

    def draw(_: re.Match[str]) -> str:
        digest = hashlib.sha256(f"{key}\n{next(numbers)}".encode()).digest()
        return f"{1 + int.from_bytes(digest[:8]) % LARGEST:_}"

    def renew(place: re.Match[str]) -> str:
        return re.sub(r"\d[\d_]*", draw, place[0])

    return HIDDEN.sub(lambda hidden: PLACE.sub(renew, hidden[0]), test)
