"""The ledger of the lecture's claims: an experiment ends with `verdict(...)`, which asks for its numbers.

The course follows one lecture. Every statement it makes stands, in our own words, in the `claims.yml` of the
concept whose notebook judges it. For each the course owes the learner an experiment that could come out the
other way, a verdict with a number in it, and a test that fails if the verdict stops being true.
"""

import ast
import difflib
import functools
import html
import json
import math
import os
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CONCEPTS = Path(__file__).with_name("concepts")
VERDICTS = {"holds": "holds", "caveat": "holds, with a caveat", "corrected": "corrected"}
KINDS = {
    "measured": "an experiment that could have come out the other way",
    "construction": "a theorem or a definition, which the notebook checks",
}


class ClaimError(ValueError):
    """The evidence does not support the verdict, or the claim cannot be judged."""


@dataclass(frozen=True)
class Evidence:
    """One number that decides about a claim.

    Args:
        says: a sentence with one place for the number, such as "time grows to the power {:.2f}".
        low, high: the lowest and the highest value that supports the verdict; left out, that end is open.
    Raises: ClaimError: no such place or several, or a range that is empty or accepts any number.
    """

    says: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ClaimError(f"the lowest value has to be below the highest; got {self.low} and {self.high}")
        if math.isinf(self.low) and math.isinf(self.high):
            raise ClaimError(f"{self.says!r} accepts any number: it needs a lowest or a highest value")
        try:
            places = [name for _, name, _, _ in string.Formatter().parse(self.says) if name is not None]
            self.says.format(self.low)
        except (ValueError, IndexError, KeyError) as error:
            raise ClaimError(f"{self.says!r} cannot be filled with a number: {error}") from None
        if places != [""]:
            raise ClaimError(f"a sentence has one place for its number, such as {{:.2f}}; got {self.says!r}")

    def sentence(self, number: float) -> str:
        """What was found.

        Example:
            >>> Evidence("time grows to the power {:.2f}", 1.8, 2.2).sentence(1.968)
            'time grows to the power 1.97'
        """
        return spaced(self.says.format(self._unsigned_zero(number)))

    def spread(self, numbers: Sequence[float]) -> str:
        """How far several numbers lie apart, in words.

        Example:
            >>> Evidence("{:.0%} right", low=0.75).spread([0.81, 0.78, 0.8])
            '78 % to 81 %'
        """
        lowest, highest = self._written(min(numbers)), self._written(max(numbers))
        return lowest if lowest == highest else f"{lowest} to {highest}"

    def needed(self) -> str:
        """The range in words, its ends written as the number is.

        Example:
            >>> Evidence("{:.0%} right", low=0.75).needed()
            'at least 75 %'
        """
        low, high = self._written(self.low), self._written(self.high)
        if self.low == self.high:
            return f"only {low}"
        if math.isinf(self.high):
            return f"at least {low}"
        if math.isinf(self.low):
            return f"at most {high}"
        return f"{low} to {high}"

    def _written(self, number: float) -> str:
        return spaced(self._form().format(self._unsigned_zero(number)))

    def _unsigned_zero(self, number: float) -> float:
        """The number; 0 where it is written as one, so that no minus stands before it."""
        is_zero = math.isfinite(number) and not re.search("[1-9]", self._form().format(number))
        return 0.0 if is_zero else number

    def _form(self) -> str:
        """The place for the number alone."""
        ((form, conversion),) = (
            (form, conversion)
            for _, name, form, conversion in string.Formatter().parse(self.says)
            if name is not None
        )
        return f"{{{'!' + conversion if conversion else ''}:{form}}}"


def spaced(text: str) -> str:
    """A space between number and per cent.

    Example:
        >>> spaced("75% of 8%")
        '75 % of 8 %'
    """
    return re.sub(r"(?<=\d)%", " %", text)


@dataclass(frozen=True)
class Claim:
    """One statement of the lecture, and what decides about it: an entry of `claims.yml`.

    Args:
        id: a stable key, used in notebooks, tests and the ledger's pages.
        notebook: where the learner runs it; from the name of the concept's folder.
        at: where in the lecture its chapter begins (m:ss), as in lecture.yml.
        kind: see `KINDS`.
        says: the statement.
        show: the experiment, and what it must show.
        rival: of a measured claim: the best that one can do without the mechanism in question.
        caveat: what a careful expert adds or corrects.
        verdict: see `VERDICTS`.
        evidence: the numbers that decide: room for noise, none for the opposite. A claim without them has not
            been judged yet. 1 stands for yes.
        decides: the number that is shown where there is room for one; the first, if it is empty.
    Raises: ClaimError: an unknown kind or verdict; a judged claim without the caveat or the rival it needs.
    """

    id: str
    notebook: str
    at: str
    kind: str
    says: str
    show: str
    rival: str = ""
    caveat: str = ""
    verdict: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    decides: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ClaimError(f"claim {self.id!r}: its kind must be one of {_names(KINDS)}; got {self.kind!r}")
        if not self.evidence:
            return
        if self.decides and self.decides not in self.evidence:
            raise ClaimError(
                f"claim {self.id!r}: what decides must be one of {_names(self.evidence)}; "
                f"got {self.decides!r}"
            )
        if self.verdict not in VERDICTS:
            raise ClaimError(
                f"claim {self.id!r} has evidence, so its verdict must be one of {_names(VERDICTS)}; "
                f"it is {self.verdict!r}"
            )
        if self.verdict != "holds" and not self.caveat:
            raise ClaimError(f"claim {self.id!r} is {self.verdict!r}: its entry needs a caveat that says why")
        if self.kind == "measured" and not self.rival:
            raise ClaimError(f"claim {self.id!r} is measured: its entry needs the rival it was held against")

    def judge(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the evidence as numbers if it supports the verdict.

        Raises: ClaimError: a number is missing, unknown or outside its range.
        """
        if not self.evidence:
            raise ClaimError(f"claim {self.id!r} has no evidence, so it cannot be judged")
        if set(evidence) != set(self.evidence):
            raise ClaimError(
                f"claim {self.id!r} is judged by {_names(self.evidence)}; "
                f"the evidence that came is {_names(evidence)}"
            )
        numbers = {name: _number(self.id, name, evidence[name]) for name in self.evidence}
        missed = []
        for name, wanted in self.evidence.items():
            number = numbers[name]
            if not wanted.low <= number <= wanted.high:  # so that NaN is refused too
                missed.append(f"{name} came as {_show(number)}, needed {wanted.needed()}")
        if missed:
            raise ClaimError(f"claim {self.id!r} is not supported: {'; '.join(missed)}")
        return numbers

    def sentences(self, numbers: Mapping[str, float]) -> list[str]:
        """What was found, in words; where it was measured, with what would have done."""
        found = {name: self.evidence[name].sentence(number) for name, number in numbers.items()}
        if self.kind == "construction":
            return list(found.values())
        return [f"{said}; {self.evidence[name].needed()} would do" for name, said in found.items()]


class _Judgement:
    """What the learner sees: a check in one line, or an experiment with its verdict last."""

    def __init__(self, claim: Claim, numbers: Mapping[str, float]) -> None:
        self.claim, self.sentences = claim, claim.sentences(numbers)

    def __repr__(self) -> str:
        claim = self.claim
        if claim.kind == "construction":
            caveat = f" {claim.caveat}" if claim.caveat else ""
            return f"✓ {self._statement()} By construction: {'; '.join(self.sentences)}.{caveat}"
        lines = [self._statement(), *(f"- {sentence}" for sentence in self.sentences)]
        lines.append(f"Rival: {claim.rival}")
        if claim.caveat:
            lines.append(f"Caveat: {claim.caveat}")
        return "\n".join([*lines, f"Verdict: {VERDICTS[claim.verdict]}"])

    def _repr_html_(self) -> str:
        # Imported here: whoever reads the ledger without a page needs no matplotlib.
        from course_lib import plots

        claim = self.claim
        mark = {"holds": plots.GREEN, "caveat": plots.ORANGE, "corrected": plots.VERMILION}[claim.verdict]
        box = f"border-left:.4em solid {mark};padding:.3em 1em;margin:.3em 0"
        if claim.kind == "construction":
            return f"<div style='{box}'>{html.escape(repr(self))}</div>"
        sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        rest = {"Rival": claim.rival, "Caveat": claim.caveat}
        paragraphs = "".join(
            f"<p style='margin:.3em 0 0'>{name}: {html.escape(text)}</p>"
            for name, text in rest.items()
            if text
        )
        return (
            f"<div style='{box}'><p style='margin:0'>{html.escape(self._statement())}</p>"
            f"<ul style='margin:.3em 0 0'>{sentences}</ul>{paragraphs}"
            f"<p style='margin:.3em 0 0'><strong>Verdict: {VERDICTS[claim.verdict]}</strong></p></div>"
        )

    def _statement(self) -> str:
        return f"Claim (lecture, {self.claim.at}): {self.claim.says}"


def verdict(claim_id: str, /, **evidence: Any) -> None:
    """Judge one claim of the lecture by the numbers just measured, and show the result.

    Args:
        claim_id: its id.
        evidence: the numbers that the claim's entry names; True counts as 1.
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


def load(concepts: str | Path = CONCEPTS) -> dict[str, Claim]:
    """Read the ledger: the claims of every concept.

    Args:
        concepts: a folder of concepts other than the course's own.
    Raises: ClaimError: an entry is malformed, or an id is taken.
    """
    return dict(_load(Path(concepts)))


def judging_cells(notebook: str | Path) -> list[tuple[str, str]]:
    """Each verdict in a notebook: the claim, and the id of the cell that it stands in.

    Raises: ClaimError: a verdict does not name its claim as a plain string.
    """
    notebook = Path(notebook)
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


def _find(claim_id: str) -> Claim:
    claims = load()
    if claim_id not in claims:
        near = difflib.get_close_matches(str(claim_id), claims, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ClaimError(f"there is no claim {claim_id!r}{hint}")
    return claims[claim_id]


@functools.cache
def _load(concepts: Path) -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for path in sorted(concepts.glob("c*/claims.yml")):
        concept = path.parent.name
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            claim = _claim(entry, notebook=concept.removeprefix("c"))
            if claim.id in claims:
                raise ClaimError(f"{concept}/claims.yml: the id {claim.id!r} is taken")
            claims[claim.id] = claim
    return claims


def _claim(entry: dict[str, Any], notebook: str) -> Claim:
    where = f"c{notebook}/claims.yml"
    try:
        evidence = {name: _evidence(item) for name, item in entry.get("evidence", {}).items()}
        return Claim(**{**entry, "notebook": notebook, "evidence": evidence})
    except (TypeError, AttributeError) as error:
        raise ClaimError(f"{where}: the entry {entry!r} is not a claim: {error}") from None
    except ClaimError as error:
        raise ClaimError(f"{where}, {entry.get('id')}: {error}") from None


def _evidence(item: Mapping[str, Any]) -> Evidence:
    ends = {end: float(item[end]) for end in ("low", "high") if end in item}
    return Evidence(**{**item, **ends})


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


def _show(number: float) -> str:
    return f"{number:.4g}"
