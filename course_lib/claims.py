"""The ledger of the lecture's claims: an experiment ends with `verdict(...)`, which asks for its numbers.

`claims.yml` lists every claim. A claim that has been judged carries a criterion: for each named number of
evidence the lowest and the highest value that still supports the verdict.
"""

import ast
import difflib
import functools
import html
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

VERDICTS = {"holds": "holds", "caveat": "holds, with a caveat", "corrected": "corrected"}


class ClaimError(ValueError):
    """The evidence does not support the verdict, or the claim cannot be judged."""


@dataclass(frozen=True)
class Claim:
    """One statement of the lecture, and what decides about it."""

    id: str
    at: str
    says: str
    notebook: str
    show: str
    caveat: str = ""
    verdict: str = ""
    criterion: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def judge(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the evidence as numbers if it meets the criterion.

        Raises: ClaimError: a number is missing, unknown or outside its range.
        """
        if not self.criterion:
            raise ClaimError(f"claim {self.id!r} has no criterion in claims.yml, so it cannot be judged")
        if set(evidence) != set(self.criterion):
            raise ClaimError(
                f"claim {self.id!r} is judged by {_names(self.criterion)}; "
                f"the evidence that came is {_names(evidence)}"
            )
        numbers = {name: _number(self.id, name, value) for name, value in evidence.items()}
        missed = []
        for name, (low, high) in self.criterion.items():
            number = numbers[name]
            if not low <= number <= high:  # so that NaN is refused too
                missed.append(f"{name} came as {_show(number)}, needed {self.needed(name)}")
        if missed:
            raise ClaimError(f"claim {self.id!r} is not supported: {'; '.join(missed)}")
        return numbers

    def needed(self, name: str) -> str:
        """The criterion of one number in words.

        Example:
            >>> Claim("a", "0:00", "", "", "", criterion={"ratio": (3.0, math.inf)}).needed("ratio")
            'at least 3'
        """
        low, high = self.criterion[name]
        if low == high:
            return _show(low)
        if math.isinf(high):
            return f"at least {_show(low)}"
        if math.isinf(low):
            return f"at most {_show(high)}"
        return f"{_show(low)} to {_show(high)}"


class _Judgement:
    """What the learner sees: coloured in a notebook, plain elsewhere."""

    def __init__(self, claim: Claim, numbers: Mapping[str, float]) -> None:
        self.claim, self.numbers = claim, numbers

    def _lines(self) -> list[str]:
        return [
            f"{_words(name)}: {_show(number)} (needed: {self.claim.needed(name)})"
            for name, number in self.numbers.items()
        ]

    def __repr__(self) -> str:
        claim = self.claim
        lines = [f"Claim ({claim.at}): {claim.says}", f"Verdict: {VERDICTS[claim.verdict]}", *self._lines()]
        if claim.caveat:
            lines.append(f"Caveat: {claim.caveat}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        # Imported here: whoever reads the ledger without a page needs no matplotlib.
        from course_lib import plots

        claim = self.claim
        mark = {"holds": plots.GREEN, "caveat": plots.ORANGE, "corrected": plots.VERMILION}[claim.verdict]
        numbers = "".join(f"<li>{html.escape(line)}</li>" for line in self._lines())
        caveat = f"<p style='margin:.3em 0 0'>Caveat: {html.escape(claim.caveat)}</p>" if claim.caveat else ""
        return (
            f"<div style='border-left:.4em solid {mark};padding:.3em 1em;margin:.3em 0'>"
            f"<p style='margin:0'>Claim, lecture {html.escape(claim.at)}: {html.escape(claim.says)}</p>"
            f"<p style='margin:.3em 0'><strong>Verdict: {VERDICTS[claim.verdict]}</strong></p>"
            f"<ul style='margin:0'>{numbers}</ul>{caveat}</div>"
        )


def verdict(claim_id: str, /, **evidence: Any) -> None:
    """Judge one claim of the lecture by the numbers just measured, and show the result.

    Args:
        claim_id: an id from claims.yml.
        evidence: the numbers that the claim's criterion names; True counts as 1.
    Raises: ClaimError: there is no such claim, or the evidence does not support the verdict.
    """
    from IPython.display import display

    claim = _find(claim_id)
    numbers = claim.judge(evidence)
    ledger = os.environ.get("COURSE_LEDGER")
    if ledger:
        record = {
            "claim": claim.id,
            "notebook": claim.notebook,
            "verdict": claim.verdict,
            "evidence": numbers,
        }
        with open(ledger, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    display(_Judgement(claim, numbers))


def load(path: str | Path | None = None) -> dict[str, Claim]:
    """Read the ledger, in the order of the lecture.

    Args:
        path: a file other than the course's own.
    Raises: ClaimError: an entry is malformed.
    """
    return dict(_load(Path(path) if path else Path(__file__).with_name("claims.yml")))


def judged_in(notebook: str | Path) -> list[str]:
    """The claims that a notebook judges, in order, found by reading its code without running it.

    Raises: ClaimError: a verdict does not name its claim as a plain string.
    """
    return [claim_id for claim_id, _ in _judging_cells(Path(notebook))]


def write_ledger(record: str | Path, page: str | Path, notebooks: str | Path = "notebooks") -> None:
    """Write the ledger page (Markdown) from what notebooks recorded through the variable COURSE_LEDGER.

    Args:
        record: the JSON lines; of several verdicts on a claim the last counts.
        page: the file to write.
        notebooks: their folder, to link each verdict to its cell.
    """
    judged = {}
    for line in Path(record).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        judged[entry["claim"]] = entry
    claims = load()
    rows = []
    for claim in claims.values():
        rows.append(_row(claim, judged.get(claim.id), Path(page), Path(notebooks)))
    lines = [
        "# The lecture's claims, judged",
        "",
        f"{len(judged.keys() & claims.keys())} of {len(claims)} claims judged, each in a notebook cell.",
        "",
        "| Lecture | Claim | Verdict | Numbers | Experiment |",
        "|---|---|---|---|---|",
        *rows,
    ]
    Path(page).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(claim: Claim, entry: Mapping[str, Any] | None, page: Path, notebooks: Path) -> str:
    notebook = notebooks / f"{claim.notebook}.ipynb"
    said = "not judged yet"
    numbers = ""
    if entry is not None:
        said = VERDICTS[entry["verdict"]]
        if claim.caveat:
            said += f": {claim.caveat}"
        numbers = ", ".join(f"{_words(name)} {_show(value)}" for name, value in entry["evidence"].items())
    link = claim.notebook
    if notebook.exists():
        cell_of = dict(_judging_cells(notebook))
        anchor = f"#cell-id={cell_of[claim.id]}" if claim.id in cell_of else ""
        target = Path(os.path.relpath(notebook, page.parent)).as_posix()
        link = f"[{claim.notebook}]({target}{anchor})"
    cells = (claim.at, claim.says, said, numbers, link)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _find(claim_id: str) -> Claim:
    claims = load()
    if claim_id not in claims:
        near = difflib.get_close_matches(str(claim_id), claims, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ClaimError(f"claims.yml has no claim {claim_id!r}{hint}")
    return claims[claim_id]


@functools.cache
def _load(path: Path) -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        try:
            claim = Claim(**{**entry, "criterion": _ranges(entry)})
        except TypeError as error:
            raise ClaimError(f"{path.name}: the entry {entry!r} is not a claim: {error}") from None
        if claim.id in claims:
            raise ClaimError(f"{path.name} lists the claim {claim.id!r} twice")
        if claim.criterion and claim.verdict not in VERDICTS:
            raise ClaimError(
                f"claim {claim.id!r} has a criterion, so its verdict must be one of {_names(VERDICTS)}; "
                f"it is {claim.verdict!r}"
            )
        claims[claim.id] = claim
    return claims


def _ranges(entry: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name, limits in entry.get("criterion", {}).items():
        if not (isinstance(limits, list) and len(limits) == 2 and limits[0] <= limits[1]):
            raise ClaimError(f"claim {entry['id']!r}: {name} needs [lowest, highest]; it has {limits!r}")
        ranges[name] = (float(limits[0]), float(limits[1]))
    return ranges


def _judging_cells(notebook: Path) -> list[tuple[str, str]]:
    """Each verdict in a notebook: the claim, and the cell it stands in."""
    found = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        for call in _verdicts("".join(cell["source"])):
            name = _first_argument(call)
            if not isinstance(name, str):
                raise ClaimError(
                    f"{notebook.name}: a verdict names its claim as a string, not {ast.unparse(call)}"
                )
            found.append((name, cell.get("id", "")))
    return found


def _verdicts(source: str) -> Iterator[ast.Call]:
    """The calls of `verdict` in one cell."""
    # Lines for IPython (%, !) are not Python.
    lines = ["" if line.startswith(("%", "!")) else line for line in source.splitlines()]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name == "verdict":
            yield node


def _first_argument(call: ast.Call) -> Any:
    """What stands there, if it is spelt out."""
    if call.args and isinstance(call.args[0], ast.Constant):
        return call.args[0].value
    return None


def _number(claim_id: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ClaimError(f"claim {claim_id!r} needs one number for {name}; it came as {value!r}") from None


def _names(names: Any) -> str:
    return ", ".join(names) or "empty"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _show(number: float) -> str:
    return f"{number:.4g}"
