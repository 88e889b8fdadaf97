"""The ledger of the lecture's claims: an experiment ends with `verdict(...)`, which looks at its numbers.

The course follows one lecture. What it states stands, for the most part in our own words, in the `claims.yml`
of the concept whose notebook judges it, with the numbers that decide about it and the bounds of each. Nobody
writes down what comes out: a label is computed from the numbers, in `Claim.label` and nowhere else.
"""

import ast
import dataclasses
import difflib
import functools
import hashlib
import html
import json
import math
import os
import re
import statistics
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

CONCEPTS = Path(__file__).with_name("concepts")
RUNS = "runs.jsonl"
KINDS = {
    "measured": "an experiment that could have come out the other way",
    "construction": "a theorem or a definition, which the notebook checks",
}
PARTS = {  # what a number that lies within its bounds says
    "fair": "the experiment can tell: what is compared was given the same",
    "said": "it is as the lecture says",
    "limit": "the statement ends here",
    "rival": "it is reached without the mechanism, too",
    "besides": "it is as our caveat says",
}


class Label(StrEnum):
    """What the evidence makes of a statement, the harder the later."""

    TRUE = "true"
    NOT_ONLY_WAY = "true, not the only way"
    ONLY_IF = "only if"
    WRONG = "wrong as said"
    NOT_TESTED = "not tested here"


class ClaimError(ValueError):
    """The claim cannot be judged by what came."""


@dataclass(frozen=True)
class Evidence:
    """One number that decides about a claim.

    Args:
        says: a sentence with one place for the number, such as "time grows to the power {:.2f}".
        low, high: the lowest and the highest value with which it says what its part says; left out, that end
            is open.
        part: one of `PARTS`.
        clock: a clock gives it, so that no run gives the same number again.
    Raises: ClaimError: no such place or several, or a range that is empty or accepts any number.
    """

    says: str
    low: float = -math.inf
    high: float = math.inf
    part: str = "said"
    clock: bool = False

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

    def met(self, number: float) -> bool:
        """Whether the number lies within its bounds; no number (NaN) does not."""
        return self.low <= number <= self.high

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

    def would_say(self) -> str:
        """What the number says where it lies in its range.

        Example:
            >>> Evidence("{:.0%} right", low=0.75).would_say()
            'at least 75 % would say that it is as the lecture says'
        """
        return f"{self.needed()} would say that {PARTS[self.part]}"

    def _written(self, number: float) -> str:
        return spaced(self.form.format(self._unsigned_zero(number)))

    def _unsigned_zero(self, number: float) -> float:
        """The number; 0 where it is written as one, so that no minus stands before it."""
        is_zero = math.isfinite(number) and not re.search("[1-9]", self.form.format(number))
        return 0.0 if is_zero else number

    @property
    def form(self) -> str:
        """The place for the number alone."""
        ((form, conversion),) = (
            (form, conversion)
            for _, name, form, conversion in string.Formatter().parse(self.says)
            if name is not None
        )
        return f"{{{'!' + conversion if conversion else ''}:{form}}}"


def interval(numbers: Iterable[float]) -> tuple[float, float]:
    """The 90 % interval of their mean (Student's t); of fewer than two it has no ends.

    In one of twenty draws the true mean is below, in another above.

    Example:
        >>> [round(end, 2) for end in interval([0.0, 1.0, 1.0, 2.0])]
        [0.04, 1.96]
    """
    # Imported here: whoever reads the ledger needs no statistics.
    from scipy.stats import t

    numbers = [float(number) for number in numbers]
    if len(numbers) < 2:
        return -math.inf, math.inf
    middle = statistics.mean(numbers)
    half = float(t.ppf(0.95, len(numbers) - 1)) * statistics.stdev(numbers) / math.sqrt(len(numbers))
    return middle - half, middle + half


def unit(says: str) -> str:
    """What a sentence's number counts: %, or the word behind it.

    Example:
        >>> unit("{:.0%} of all are right"), unit("it takes {:.1f} seconds, at most")
        ('%', 'seconds')
    """
    number, behind = re.split(r"\}", says, maxsplit=1)
    return "%" if number.endswith("%") else (re.findall(r"\w+", behind) or [""])[0]


def capitalised(sentence: str) -> str:
    """A sentence that begins with a capital letter, whatever follows."""
    return sentence[:1].upper() + sentence[1:]


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
        experiment: the function of the concept's `experiments` that measures the numbers.
        rival: of a measured claim: the best that one can do without the mechanism in question.
        caveat: what a careful expert adds or corrects.
        only_if: where the statement ends, in words that go on after "only if"; with evidence of a limit.
        evidence: the numbers that decide: room for noise, none for the opposite. A claim without them is not
            tested. 1 stands for yes.
        decides: the number that is shown where there is room for one; the first of what is said, if empty.
        against: the number of the rival that is shown beside it.
    Raises: ClaimError: an unknown kind; a claim without the rival or the words that it needs.
    """

    id: str
    notebook: str
    at: str
    kind: str
    says: str
    show: str
    experiment: str = ""
    rival: str = ""
    caveat: str = ""
    only_if: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    decides: str = ""
    against: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ClaimError(f"claim {self.id!r}: its kind must be one of {_names(KINDS)}; got {self.kind!r}")
        for name in filter(None, (self.decides, self.against)):
            if name not in self.evidence:
                raise ClaimError(
                    f"claim {self.id!r}: what is shown must be one of {_names(self.evidence)}; got {name!r}"
                )
        parts = {evidence.part for evidence in self.evidence.values()}
        if self.evidence and "said" not in parts:
            raise ClaimError(f"claim {self.id!r}: no number says whether it is as the lecture says")
        if ("limit" in parts) != bool(self.only_if):
            raise ClaimError(f"claim {self.id!r}: a limit and the words after 'only if' need each other")
        if self.evidence and self.kind == "measured" and not self.rival:
            raise ClaimError(f"claim {self.id!r} is measured: its entry needs the rival it was held against")

    @property
    def bounds(self) -> str:
        """Which bounds these are: runs that were made before others do not count, nor do their seeds."""
        told = {
            name: (evidence.part, evidence.low, evidence.high) for name, evidence in self.evidence.items()
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def shown(self) -> str:
        """The number that is shown where there is room for one."""
        said = (name for name, evidence in self.evidence.items() if evidence.part == "said")
        return self.decides or next(said, "")

    def numbers(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        """The evidence as numbers, in the order of the entry.

        Raises: ClaimError: one is missing, unknown or not a number.
        """
        if set(evidence) != set(self.evidence):
            raise ClaimError(
                f"claim {self.id!r} is judged by {_names(self.evidence)}; "
                f"the evidence that came is {_names(evidence)}"
            )
        return {name: _number(self.id, name, evidence[name]) for name in self.evidence}

    def missed(self, numbers: Mapping[str, float]) -> list[str]:
        """The numbers that lie outside of their bounds."""
        return [name for name, evidence in self.evidence.items() if not evidence.met(numbers[name])]

    def label(self, numbers: Mapping[str, float]) -> Label:
        """What the numbers make of the statement; without numbers it is not tested."""

        def met(part: str) -> list[bool]:
            return [
                self.evidence[name].met(n) for name, n in numbers.items() if self.evidence[name].part == part
            ]

        if not numbers or not all(met("fair")):
            return Label.NOT_TESTED
        if not all(met("said")):
            return Label.WRONG
        if any(met("limit")):
            return Label.ONLY_IF
        return Label.NOT_ONLY_WAY if any(met("rival")) else Label.TRUE


@dataclass(frozen=True)
class Trained:
    """What was given to those that learn in an experiment.

    Args:
        steps: of the mechanism.
        rival_steps: of its rival, three times as many or more; None where it does not learn.
        widths, rates: that the rival was tried with; its best counts.
        but: why one of them is not varied, or what a rival does that does not learn; "" where all are.
    Raises: ClaimError: the rival got less.
    """

    steps: int
    rival_steps: int | None
    widths: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    but: str = ""

    def __post_init__(self) -> None:
        if self.rival_steps is not None and self.rival_steps < 3 * self.steps:
            raise ClaimError(
                f"the rival should get at least three times {self.steps} steps; it gets {self.rival_steps}"
            )
        if min(len(self.widths), len(self.rates)) < 2 and not self.but:
            raise ClaimError(
                "the rival should be tried with two widths and two rates at least, or `but` says why not; "
                f"got widths {self.widths} and rates {self.rates}"
            )

    def __str__(self) -> str:
        if self.rival_steps is None:
            return f"The rival does not learn. {self.but}"
        tried = [
            f"{name} {', '.join(f'{value:g}' for value in values)}"
            for name, values in (("widths", self.widths), ("rates", self.rates))
            if values
        ]
        whole = "; ".join([f"{self.rival_steps:,} steps beside {self.steps:,}", *tried])
        return f"The rival got {whole}.{f' {self.but}' if self.but else ''}"


Function = TypeVar("Function", bound=Callable[..., Any])


def trains(trained: Trained) -> Callable[[Function], Function]:
    """Say of an experiment in which models learn what each was given; a test refuses one without it."""

    def say(experiment: Function) -> Function:
        vars(experiment)["trained"] = trained
        return experiment

    return say


@dataclass(frozen=True)
class Judgement:
    """A claim, the numbers that were found, and the label that they give it."""

    claim: Claim
    numbers: Mapping[str, float]
    record: "Record | None" = None  # the runs of which this is the one in the middle

    @property
    def label(self) -> Label:
        """See `Claim.label`."""
        return self.claim.label(self.numbers)

    @property
    def words(self) -> str:
        """The label, and where the statement ends; of what could not come out otherwise, that it is so."""
        if self.label == Label.TRUE and self.claim.kind == "construction":
            return "true by construction, checked"
        return f"{self.label} {self.claim.only_if}" if self.label == Label.ONLY_IF else str(self.label)

    def sentence(self, name: str) -> str:
        """What one number says."""
        return self.claim.evidence[name].sentence(self.numbers[name])

    def short(self) -> list[str]:
        """The number that decides, and the rival's beside it."""
        claim = self.claim
        return [capitalised(self.sentence(name)) for name in (claim.shown, claim.against) if name]

    def __repr__(self) -> str:
        lines = [self._statement(), *(f"  {sentence}." for sentence in self.short())]
        behind = [line for line in (self._of_record(), self.claim.caveat) if line]
        return "\n".join([*lines, *behind, f"→ {self.words}"])

    def _of_record(self) -> str:
        return f"From the record: {self.record.agreed()}." if self.record else ""

    def _statement(self) -> str:
        return f"Lecture, {self.claim.at}: {self.claim.says}"

    def _repr_html_(self) -> str:
        lines = [f"<em>{html.escape(self._statement())}</em>", f"<strong>{html.escape(self.words)}</strong>"]
        lines += [
            " ".join(html.escape(f"{sentence}.") for sentence in self.short()),
            html.escape(self._of_record()),
            html.escape(self.claim.caveat),
        ]
        shown = "".join(f"<p style='margin:.2em 0'>{line}</p>" for line in lines if line)
        box = f"border-left:.4em solid {colour(self.label)};padding:.3em 1em;margin:.3em 0"
        return f"<div style='{box}'>{shown}{self._folded()}</div>"

    def _folded(self) -> str:
        """All numbers with their bounds, and the rival, for those who doubt."""
        if not self.numbers:
            return ""
        items = "".join(
            f"<li>{html.escape(self.sentence(name))} ({html.escape(e.would_say())}"
            f"{'' if e.met(self.numbers[name]) else '; here it is not'})</li>"
            for name, e in self.claim.evidence.items()
        )
        varied = ""
        if self.record:
            varied = f"<p>{html.escape(f'{self.record.reproduced()} {self.record.varied()}')}</p>"
        rival = f"<p>Rival: {html.escape(self.claim.rival)}</p>" if self.claim.rival else ""
        return f"<details><summary>All numbers</summary><ul>{items}</ul>{varied}{rival}</details>"


# ------------------------------------------------------------------------------------------ what is on record


@dataclass(frozen=True)
class Run:
    """What one run of an experiment found.

    Attributes:
        claim: its id.
        numbers: the claim's evidence.
        date: the day, such as "2026-11-28".
        source: which version of the experiment ran.
        seed: None where the notebook ran it, or where nothing is drawn at random.
        took: seconds.
        bounds: which bounds the claim had, see `Claim.bounds`.
        aside: why it does not count; "" if it does.
    """

    claim: str
    numbers: Mapping[str, float]
    date: str
    source: str
    seed: int | None = None
    took: float = 0.0
    bounds: str = ""
    aside: str = ""

    def counts(self, claim: Claim) -> bool:
        """Whether the claim's numbers had their bounds before it was made."""
        return not self.aside and self.bounds == claim.bounds and set(self.numbers) == set(claim.evidence)


def runs(concepts: str | Path = CONCEPTS) -> dict[str, list[Run]]:
    """The runs of each claim, in the order in which they were made.

    Raises: ClaimError: a line is no run, for instance because it was cut while it was written.
    """
    found: dict[str, list[Run]] = {}
    for path in sorted(Path(concepts).glob(f"c*/{RUNS}")):
        for run in read(path):
            found.setdefault(run.claim, []).append(run)
    return found


def read(path: Path) -> list[Run]:
    """The runs in one file; see `runs`."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Run(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ClaimError(
                f"{path.parent.name}/{path.name}, line {number} is no run ({type(error).__name__}): "
                f"{line[:80]!r}; remove it, and run `make claims` again"
            ) from None
    return found


def write(path: Path, found: Iterable[Run]) -> None:
    """Write the runs of one concept, whole or not at all."""
    told = ({name: v for name, v in asdict(run).items() if v is not None and v != ""} for run in found)
    lines = [json.dumps(run) + "\n" for run in told]
    aside = path.with_suffix(".tmp")
    aside.write_text("".join(lines), encoding="utf-8")
    aside.replace(path)


@dataclass(frozen=True)
class Record:
    """What is on record of a claim: the runs that count, see `Run.counts`, and those that were set aside."""

    claim: Claim
    runs: Sequence[Run]
    aside: Sequence[Run] = ()

    @classmethod
    def of(cls, claim: Claim, found: Sequence[Run]) -> Self:
        """The record of a claim."""
        counting = [run for run in found if run.counts(claim)]
        return cls(claim, counting, [run for run in found if not run.counts(claim)])

    @functools.cached_property
    def labels(self) -> Counter[Label]:
        """How many runs gave each label."""
        return Counter(self.claim.label(run.numbers) for run in self.runs)

    @property
    def label(self) -> Label:
        """The label that most runs gave; of two that as many gave, the harder one."""
        harder = list(Label).index
        return max(
            self.labels, key=lambda label: (self.labels[label], harder(label)), default=Label.NOT_TESTED
        )

    @property
    def judgement(self) -> Judgement:
        """Of the runs that gave this label, the one whose numbers are nearest to the middle.

        By their ranks: of the two numbers that are shown the one that is farther from the middle counts; of
        runs that are alike in that, all numbers do.
        """
        label = self.label
        agree = [run.numbers for run in self.runs if self.claim.label(run.numbers) == label]

        def off(numbers: Mapping[str, float]) -> tuple[int, int]:
            ranks = {name: self._from_the_middle(name, numbers[name], agree) for name in self.claim.evidence}
            shown = filter(None, (self.claim.shown, self.claim.against))
            return max((ranks[name] for name in shown), default=0), sum(ranks.values())

        return Judgement(self.claim, min(agree, key=off, default={}))

    @staticmethod
    def _from_the_middle(name: str, number: float, agree: Sequence[Mapping[str, float]]) -> int:
        """By how many runs more found less of a number than found more, or the other way round."""
        return abs(sum((other[name] > number) - (other[name] < number) for other in agree))

    def agreed(self) -> str:
        """How many runs gave the label."""
        return f"{self.labels[self.label]} of {len(self.runs)} runs agree"

    def reproduced(self) -> str:
        """How many runs agree, what the others say, and when they were made."""
        if not self.runs:
            return "No run is on record." if self.claim.evidence else ""
        days = sorted({run.date for run in self.runs})
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        if len(self.runs) == 1:
            return f"{'One stored run' if self.claim.experiment else 'Checked in the lesson'} ({when})."
        others = [
            f'{n} say{"s" if n == 1 else ""} "{label}"'
            for label, n in self.labels.items()
            if label != self.label
        ]
        return f"{'; '.join([f'{self.agreed()}, each with other random numbers', *others])} ({when})."

    def varied(self) -> str:
        """How many of the numbers could have come out otherwise, as they did in another run."""
        names = list(self.claim.evidence)
        differ = sum(len(set(self.numbers(name))) > 1 for name in names)
        return f"{differ} of {len(names)} numbers differ between the runs." if len(self.runs) > 1 else ""

    def numbers(self, name: str) -> list[float]:
        """What all runs found."""
        return [run.numbers[name] for run in self.runs]


def colour(label: Label) -> str:
    """The colour of a label, for boxes and pages."""
    # Imported here: whoever reads the ledger without a page needs no matplotlib.
    from course_lib import plots

    return {
        Label.TRUE: plots.GREEN,
        Label.NOT_ONLY_WAY: plots.SKY,
        Label.ONLY_IF: plots.ORANGE,
        Label.WRONG: plots.VERMILION,
        Label.NOT_TESTED: plots.STREAM,
    }[label]


def judge(claim_id: str, found: Any = None, /, **evidence: Any) -> Judgement:
    """Judge one claim of the lecture by the numbers just measured.

    Args:
        claim_id: its id.
        found: what the claim's experiment returned: its attributes are the numbers that the claim's entry
            names.
        evidence: the numbers themselves, where a cell found them; True counts as 1.
    Raises: ClaimError: there is no such claim, or its numbers are not those that came.
    """
    claim = _find(claim_id)
    if found is not None:
        evidence = {name: getattr(found, name) for name in claim.evidence if hasattr(found, name)} | evidence
    return Judgement(claim, claim.numbers(evidence))


def on_record(claim_id: str) -> Judgement:
    """Of the runs on record that gave a claim its label, the one in the middle.

    Raises: ClaimError: there is no such claim, or no run that counts.
    """
    record = Record.of(_find(claim_id), runs().get(claim_id, []))
    if not record.runs:
        raise ClaimError(f"no run of the claim {claim_id!r} is on record; `make claims` makes them")
    return dataclasses.replace(record.judgement, record=record)


def verdict(claim_id: str, found: Any = None, /, **evidence: Any) -> None:
    """Judge one claim (see `judge`), and show what comes out; without numbers, what is on record.

    An experiment may take too long for a notebook: its rival has more steps, and several widths and rates.
    """
    from IPython.display import display

    is_shown = found is not None or evidence or not _find(claim_id).evidence
    judgement = judge(claim_id, found, **evidence) if is_shown else on_record(claim_id)
    if ledger := os.environ.get("COURSE_LEDGER"):
        claim, numbers = judgement.claim, judgement.numbers
        record = {"claim": claim.id, "label": judgement.label, "missed": claim.missed(numbers)}
        with open(ledger, "a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "evidence": numbers}) + "\n")
    display(judgement)


def load(concepts: str | Path = CONCEPTS) -> dict[str, Claim]:
    """Read the ledger: the claims of every concept.

    Args:
        concepts: a folder of concepts other than the course's own.
    Raises: ClaimError: an entry is malformed, or an id is taken.
    """
    return dict(_load(Path(concepts)))


def experiment_files(claim: Claim) -> list[Path]:
    """What the experiments of a claim's concept stand in: `experiments.py`, or the files of that folder."""
    concept = CONCEPTS / f"c{claim.notebook}"
    return sorted([*concept.glob("experiments.py"), *concept.glob("experiments/*.py")])


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
        evidence = {
            name: _evidence(item, part)
            for part, items in entry.get("evidence", {}).items()
            for name, item in items.items()
        }
        return Claim(**{**entry, "notebook": notebook, "evidence": evidence})
    except (TypeError, AttributeError) as error:
        raise ClaimError(f"{where}: the entry {entry!r} is not a claim: {error}") from None
    except ClaimError as error:
        raise ClaimError(f"{where}, {entry.get('id')}: {error}") from None


def _evidence(item: Mapping[str, Any], part: str) -> Evidence:
    if part not in PARTS:
        raise ClaimError(f"evidence stands under one of {_names(PARTS)}; got {part!r}")
    ends = {end: float(item[end]) for end in ("low", "high") if end in item}
    return Evidence(**{**item, **ends}, part=part)


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
