"""The ledger's two pages: what the runs of each experiment found, and the lecture minute by minute.

The runs stand in each concept's `runs.jsonl`, passes and failures alike. `make claims` adds to them.
"""

import ast
import functools
import importlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from course_lib import claims
from course_lib.claims import Claim, Evidence, Label, Record, Run, capitalised, runs

EXPERIMENTS = "experiments"
SURPRISES = (Label.WRONG, Label.ONLY_IF, Label.NOT_ONLY_WAY, Label.NOT_TESTED, Label.TRUE)
WIDTH, HEIGHT, MARGIN, FOOT = 260, 34, 12, 16  # of a plot, in px; its numbers stand at its foot


@dataclass(frozen=True)
class Lecture:
    """The lecture that the course follows; chapters: what each is about, by the time at which it begins."""

    title: str
    by: str
    video: str
    chapters: Mapping[str, str]

    def at(self, time: str) -> str:
        """The address of the video at this time, such as "2:29"."""
        return f"{self.video}&t={seconds(time)}s"


def seconds(at: str) -> int:
    """A time of the lecture in seconds.

    Example:
        >>> seconds("2:29")
        149
    """
    minutes, rest = at.split(":")
    return 60 * int(minutes) + int(rest)


@functools.cache
def lecture() -> Lecture:
    """The lecture, from lecture.yml."""
    return Lecture(**yaml.safe_load(Path(__file__).with_name("lecture.yml").read_text(encoding="utf-8")))


class Entry(Record):
    """A claim on the pages."""

    def rival(self) -> str:
        """The rival, and what it got; "" where there is none."""
        said = [f"Rival: {self.claim.rival.rstrip('.')}.", self.trained()] if self.claim.rival else []
        return " ".join(filter(None, said))

    def trained(self) -> str:
        """What the rival got where models learn; "" elsewhere."""
        name = f"course_lib.concepts.c{self.claim.notebook}.experiments"
        experiment = getattr(importlib.import_module(name), self.claim.experiment, None)
        return str(getattr(experiment, "trained", ""))

    def no_longer(self, found: Sequence[Run]) -> list[str]:
        """What these runs measured and the claim does not ask for any more."""
        return sorted({name for run in found for name in run.numbers} - self.claim.evidence.keys())

    def spread(self, name: str) -> str:
        """How far the runs lie apart, and what the number's bounds are."""
        evidence = self.claim.evidence[name]
        return f"{evidence.spread(self.numbers(name))}; {evidence.would_say()}"

    def plot(self) -> str:
        """Every run's number that decides, and the rival's where both are of one kind, as SVG."""
        if not self.runs:
            return ""
        rows = [name for name in (self.claim.shown, self.claim.against) if name]
        own = self.claim.evidence[rows[0]]
        units = {name: claims.unit(self.claim.evidence[name].says) for name in rows}
        rows = [name for name in rows if units[name] == units[rows[0]]]
        return _dots(own, [self.numbers(name) for name in rows])


def _dots(evidence: Evidence, rows: Sequence[Sequence[float]]) -> str:
    """The first row is ours, the second the rival's; a band shows the bounds of ours; a scale, its ends."""
    ends = [end for end in (evidence.low, evidence.high) if abs(end) < float("inf")]
    values = [value for row in rows for value in row] + ends
    least, most = min(values), max(values)
    room = (most - least) / 20 or abs(most) / 10 or 1.0
    low, high = least - room, most + room

    def x(value: float) -> float:
        inside = min(max(value, low), high)
        return MARGIN + (WIDTH - 2 * MARGIN) * (inside - low) / (high - low)

    left, right = x(evidence.low), x(evidence.high)
    parts = [
        f'<rect class="band" x="{left:.1f}" y="0" width="{max(right - left, 2):.1f}" height="{HEIGHT}"/>'
    ]
    for row, (kind, numbers) in enumerate(zip(("ours", "rival"), rows, strict=False)):
        y = HEIGHT * (2 * row + 1) / (2 * len(rows))
        parts += [f'<circle class="{kind}" cx="{x(value):.1f}" cy="{y:.1f}" r="4.5"/>' for value in numbers]
    parts.append(f'<path class="axis" d="M0 {HEIGHT}H{WIDTH}"/>')
    for written, value in {evidence.spread([value]): value for value in (least, most)}.items():
        at = f'x="{x(value):.1f}" y="{HEIGHT + FOOT - 3}"'
        parts.append(f'<text {at} text-anchor="middle">{written}</text>')
    named = f"{evidence.spread(rows[0])}" + (f"; the rival {evidence.spread(rows[1])}" if rows[1:] else "")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" width="{WIDTH}" height="{HEIGHT + FOOT}" role="img" '
        f'aria-label="{named}; the band: {evidence.needed()}">{"".join(parts)}</svg>'
    )


def write_pages(folder: str | Path, notebooks: str | Path) -> list[Path]:
    """Write the page of the claims, surprises first, that of the lecture, in order, and one an experiment.

    Args:
        folder: where to; the experiments go into a folder in it.
        notebooks: the notebooks' folder, to link each claim to the cell that judges it.
    Returns: claims.html, lecture.html.
    Raises: ClaimError: a run on record is broken.
    """
    # Imported here: whoever reads the ledger without a page does not need it.
    import jinja2

    folder, found = Path(folder), runs()
    entries = [
        Entry.of(claim, found.get(claim.id, []))
        for claim in sorted(claims.load().values(), key=lambda claim: seconds(claim.at))
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["capitalised"] = capitalised
    by_label = {label: [entry for entry in entries if entry.label == label] for label in SURPRISES}
    by_chapter = {at: [entry for entry in entries if entry.claim.at == at] for at in lecture().chapters}
    page = {
        "lecture": lecture(),
        "by_label": {label: of for label, of in by_label.items() if of},
        "by_chapter": by_chapter,
        "colour": claims.colour,
        "n_claims": len(entries),
        "n_by_construction": sum(entry.claim.kind == "construction" for entry in by_label[Label.TRUE]),
    }
    (folder / EXPERIMENTS).mkdir(exist_ok=True)
    for entry in entries:
        address, code = _judged_in(entry.claim, folder / EXPERIMENTS, Path(notebooks))
        rendered = environment.get_template("experiment.html").render(
            entry=entry, notebook=address, code=_source(entry.claim) or code, colour=claims.colour
        )
        (folder / EXPERIMENTS / f"{entry.claim.id}.html").write_text(rendered, encoding="utf-8")
    written = []
    for name in ("claims", "lecture"):
        path = folder / f"{name}.html"
        path.write_text(environment.get_template("ledger.html").render(**page, page=name), encoding="utf-8")
        written.append(path)
    return written


def _judged_in(claim: Claim, folder: Path, notebooks: Path) -> tuple[str, str]:
    """The address of the cell that judges the claim, seen from a folder, and the cell's code."""
    notebook = notebooks / f"{claim.notebook}.ipynb"
    target = Path(os.path.relpath(notebook, folder)).as_posix()
    name = dict(claims.judging_cells(notebook)).get(claim.id)
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if name and cell.get("id") == name:
            return f"{target}#cell-id={name}", "".join(cell["source"])
    return target, ""


def _source(claim: Claim) -> str:
    """The function that measures the claim's numbers, as it is written; nothing where the notebook does."""
    for path in claims.experiment_files(claim):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name == claim.experiment:
                return ast.get_source_segment(text, node) or ""
    return ""
