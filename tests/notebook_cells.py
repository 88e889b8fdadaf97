"""The code cells of a notebook, run one by one by the tests of its claims: the two cannot drift apart."""

import json
from pathlib import Path

import pytest

from course_lib.claims import ClaimError
from course_lib.pretrained import MissingModelError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


class NotebookCells(dict[str, str]):
    """The source of each code cell by its id, in the notebook's order."""

    def __init__(self, notebook: str) -> None:
        cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
        super().__init__({c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "code"})

    def run(self, cell_id: str, names: dict, **changed: tuple[str, str]) -> None:
        """Run one cell; changed: what stands there, and what the test puts in its place."""
        source = self[cell_id]
        for old, new in changed.values():
            assert old in source, f"{cell_id} has no {old!r}"
            source = source.replace(old, new)
        exec(compile(source, cell_id, "exec"), names)

    def run_range(self, first: str, last: str, names: dict) -> None:
        """Run the cells from one to another."""
        order = list(self)
        for cell_id in order[order.index(first) : order.index(last) + 1]:
            self.run(cell_id, names)

    def refuses(self, cell_id: str, names: dict, missed: str) -> bool:
        """Whether the cell's verdict says that this number of its evidence is out of range."""
        with pytest.raises(ClaimError, match=rf"is not supported: .*{missed} came as"):
            self.run(cell_id, names)
        return True


def no_model(**_: object) -> None:
    """In the place of what loads a real model, where none is installed."""
    raise MissingModelError("run: pip install")
