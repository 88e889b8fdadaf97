"""The code cells of a notebook, run one by one by the tests of its claims: the two cannot drift apart."""

import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from course_lib import claims, ledger, pretrained
from course_lib.pretrained import MissingModelError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


class NotebookCells(dict[str, str]):
    """The source of each code cell by its id, in the notebook's order."""

    def __init__(self, notebook: str) -> None:
        cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
        super().__init__({c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "code"})

    def run(self, cell_id: str, names: dict, **changed: tuple[str, str]) -> None:
        """Run one cell; what its verdicts find has to be as in the runs on record.

        Args:
            cell_id: which.
            names: what stands there before, and after.
            changed: what stands in the cell, and what the test puts in its place.
        """
        found = self.judged(cell_id, names, **changed)
        for one in found:
            assert as_on_record(one["claim"], one["evidence"])
        if outer := os.environ.get("COURSE_LEDGER"):
            with open(outer, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(one) + "\n" for one in found)

    def run_range(self, first: str, last: str, names: dict) -> None:
        """Run the cells from one to another."""
        order = list(self)
        for cell_id in order[order.index(first) : order.index(last) + 1]:
            self.run(cell_id, names)

    def run_all(
        self,
        changes: Mapping[str, Mapping[str, tuple[str, str]]],
        left_out: Iterable[str],
        *,
        minilm: Callable[..., object],
        smollm2: Callable[..., object],
    ) -> dict:
        """What all cells leave behind, verdicts included, on the CPU.

        Args:
            changes: by cell what `run` is to change.
            left_out: cells that are not run.
            minilm, smollm2: load the real models.
        """
        found: dict = {"__name__": "__main__"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COURSE_DEVICE", "cpu")
            patch.setattr(pretrained, "load_minilm", minilm)
            patch.setattr(pretrained, "load_smollm2", smollm2)
            for cell_id in self:
                if cell_id not in left_out:
                    self.run(cell_id, found, **changes.get(cell_id, {}))
        return found

    def refuses(self, cell_id: str, names: dict, missed: str) -> bool:
        """Whether the cell's verdict says that this number of its evidence is out of range."""
        return any(missed in one["missed"] for one in self.judged(cell_id, names))

    def judged(self, cell_id: str, names: dict, **changed: tuple[str, str]) -> list[dict]:
        """What a cell's verdicts find: label, numbers, and those that are out of range; see `run`."""
        source = self[cell_id]
        for old, new in changed.values():
            assert old in source, f"{cell_id} has no {old!r}"
            source = source.replace(old, new)
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            found = Path(folder) / "found.jsonl"
            patch.setenv("COURSE_LEDGER", str(found))
            exec(compile(source, cell_id, "exec"), names)
            lines = found.read_text(encoding="utf-8").splitlines() if found.exists() else []
            return [json.loads(line) for line in lines]


def as_on_record(claim_id: str, numbers: Mapping[str, float]) -> bool:
    """Whether runs on record gave this label, and no number is out of range that never was in them."""
    claim = claims.load()[claim_id]
    entry = ledger.Entry.of(claim, ledger.runs().get(claim_id, []))
    known = {name for run in entry.runs for name in claim.missed(run.numbers)}
    return claim.label(numbers) in {entry.label, *entry.labels} and set(claim.missed(numbers)) <= known


def no_model(**_: object) -> None:
    """In the place of what loads a real model, where none is installed."""
    raise MissingModelError("run: pip install")


@contextmanager
def recorded(*seeds: int, but: Mapping[str, Collection[str]] | None = None) -> Iterator[None]:
    """The verdicts within are measurements from these seeds, for the ledger's pages.

    Whatever else a test lets a verdict judge, changed on purpose for instance, is not recorded.

    Args:
        seeds: those in place of the notebook's.
        but: claims of which the test finds a number in another way, operations in place of seconds for one.
    """
    ledger = os.environ.get("COURSE_LEDGER_OF_TESTS")
    if not ledger:
        yield
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        found = Path(folder) / "found.jsonl"
        patch.setenv("COURSE_LEDGER", str(found))
        yield
        lines = found.read_text(encoding="utf-8").splitlines() if found.exists() else []
    with open(ledger, "a", encoding="utf-8") as file:
        for line in lines:
            entry = json.loads(line)
            if entry["claim"] not in (but or {}):
                file.write(json.dumps({**entry, "seeds": seeds}) + "\n")
