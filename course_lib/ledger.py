"""The ledger's two pages: every claim with its numbers, and the lecture minute by minute.

Each is written as Markdown, from what `verdict` recorded, and as HTML, made from the Markdown.
"""

import functools
import html
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from course_lib import claims
from course_lib.claims import VERDICTS, Claim, ClaimError

MARKS = {"holds": "✓", "caveat": "◐", "corrected": "✎"}
NOT_JUDGED = "– not judged yet"


@dataclass(frozen=True)
class Lecture:
    """The lecture that the course follows; chapters: what each is about, by the time at which it begins."""

    title: str
    by: str
    video: str
    chapters: Mapping[str, str]

    def link(self, at: str) -> str:
        """A Markdown link to the video at this time, such as "2:29"."""
        return f"[{at}]({self.video}&t={seconds(at)}s)"


@dataclass(frozen=True)
class Found:
    """The numbers of one verdict; seeds: those of the tests, none in a notebook, which has its own."""

    numbers: Mapping[str, float]
    seeds: tuple[int, ...] = ()


@dataclass
class Record:
    """What one run of the notebooks, or of the tests of their claims, has found.

    Args:
        when: the day and the time.
        state: of the course, such as "commit 0123abc".
        found: by claim, in order.
    """

    when: str = ""
    state: str = ""
    found: dict[str, list[Found]] = field(default_factory=dict)


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


def start(path: str | Path, when: str, state: str) -> None:
    """Begin a file of records anew: when it was made, and from which state of the course."""
    Path(path).write_text(json.dumps({"when": when, "state": state}) + "\n", encoding="utf-8")


def read(path: str | Path) -> Record:
    """What was recorded through the variable COURSE_LEDGER; nothing where there is no such file.

    Raises: ClaimError: a line is not a record, for instance because the run was stopped while it wrote.
    """
    record = Record()
    if not Path(path).exists():
        return record
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            if "claim" in entry:
                numbers = {name: float(value) for name, value in entry["evidence"].items()}
                found = Found(numbers, tuple(entry.get("seeds", ())))
                record.found.setdefault(entry["claim"], []).append(found)
            else:
                record.when, record.state = entry["when"], entry["state"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClaimError(
                f"{Path(path).name}, line {number} is no record ({type(error).__name__}): {line[:80]!r}; "
                "run `make claims` again"
            ) from None
    return record


@dataclass(frozen=True)
class Entry:
    """A claim on the pages; runs: the notebook's verdict first, nothing where it gave none."""

    claim: Claim
    runs: Sequence[Found]
    experiment: str

    @property
    def verdict(self) -> str:
        """The verdict in words, with its mark."""
        return f"{MARKS[self.claim.verdict]} {VERDICTS[self.claim.verdict]}" if self.runs else NOT_JUDGED

    def sentence(self, name: str) -> str:
        """What the notebook found, and in brackets how far all runs lie apart and what would do.

        What holds by construction is the same in every run, or nearly so: then the number says it all.
        """
        evidence = self.claim.evidence[name]
        numbers = [run.numbers[name] for run in self.runs if name in run.numbers]
        apart = evidence.spread(numbers)
        brackets = []
        if apart != evidence.spread(numbers[:1]):
            brackets.append(f"{len(numbers)} runs: {apart}")
        elif len(numbers) > 1 and self.claim.kind == "measured":
            brackets.append(f"the same in {len(numbers)} runs")
        if self.claim.kind == "measured":
            brackets.append(f"{evidence.needed()} would do")
        found = evidence.sentence(numbers[0])
        return f"{found} ({'; '.join(brackets)})" if brackets else found

    def decisive(self) -> str:
        """The one sentence that is shown where there is room for one."""
        if not self.runs:
            return ""
        name = self.claim.decides or next(iter(self.claim.evidence))
        found = self.claim.evidence[name].sentence(self.runs[0].numbers[name])
        return found[:1].upper() + found[1:]


def write_pages(folder: str | Path, own: Record, others: Record, notebooks: str | Path) -> list[Path]:
    """Write the page of claims and the page of the lecture, each as Markdown and as HTML.

    Args:
        folder: where to.
        own: what the notebooks found; of several verdicts on a claim the last counts.
        others: what the tests found, which run the notebooks' cells from other seeds.
        notebooks: the notebooks' folder, to link each verdict to its cell.
    Returns: the files: claims.md, claims.html, lecture.md, lecture.html.
    Raises: ClaimError: the notebooks' record is from another ledger.
    """
    folder = Path(folder)
    entries = []
    for claim in sorted(claims.load().values(), key=lambda claim: seconds(claim.at)):
        runs = own.found.get(claim.id, [])[-1:]
        if runs:
            if set(runs[0].numbers) != set(claim.evidence):
                raise ClaimError(
                    f"the record of claim {claim.id!r} has the numbers {', '.join(runs[0].numbers)}, "
                    f"the ledger asks for {', '.join(claim.evidence)}; run `make claims` again"
                )
            runs += {run.seeds: run for run in others.found.get(claim.id, [])}.values()
        entries.append(Entry(claim, runs, _experiment(claim, folder, Path(notebooks))))
    written = []
    for name, title, lines in (
        ("claims", "The lecture's claims, judged", _claims_page(entries, own, others)),
        ("lecture", "The lecture, statement by statement", _lecture_page(entries, own)),
    ):
        text = "\n".join([f"# {title}", "", *lines]) + "\n"
        for path, content in (
            (folder / f"{name}.md", text),
            (folder / f"{name}.html", to_html(title, text)),
        ):
            path.write_text(content, encoding="utf-8")
            written.append(path)
    return written


def _experiment(claim: Claim, folder: Path, notebooks: Path) -> str:
    """A link to the cell with the verdict."""
    notebook = notebooks / f"{claim.notebook}.ipynb"
    if not notebook.exists():
        return f"{claim.notebook} (to come)"
    cell = dict(claims.judging_cells(notebook)).get(claim.id)
    target = Path(os.path.relpath(notebook, folder)).as_posix()
    return f"[{claim.notebook}]({target}#cell-id={cell})" if cell else f"[{claim.notebook}]({target})"


def _by_chapter(entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Entry]]]:
    """Each chapter of the lecture: when it begins, what it is about, its claims."""
    for at, about in lecture().chapters.items():
        yield at, about, [entry for entry in entries if entry.claim.at == at]


def _summary(entries: Sequence[Entry]) -> str:
    """How many statements are judged, and how."""
    judged = [entry.claim for entry in entries if entry.runs]
    by_verdict = Counter(claim.verdict for claim in judged)
    each = " ".join(f"{mark} {VERDICTS[verdict]}: {by_verdict[verdict]}." for verdict, mark in MARKS.items())
    return f"{len(judged)} of the lecture's {len(entries)} statements are judged. {each}"


def _origin(own: Record, others: Record) -> str:
    """When the numbers were found, and whether all are of one state of the course."""
    said = f"The notebooks ran on {own.when} ({own.state})."
    if not others.found:
        return (
            f"{said} There is no record of the tests, which run the same cells from other seeds, so that no "
            "spread can be shown: `make claims` runs both."
        )
    if others.state == own.state:
        return f"{said} The tests ran the same cells from other seeds on {others.when}, in the same state."
    return (
        f"{said} **The tests that run the same cells from other seeds are of another state:** of "
        f"{others.when} ({others.state}). `make claims` runs both anew."
    )


def _claims_page(entries: Sequence[Entry], own: Record, others: Record) -> Iterator[str]:
    yield f"{_summary(entries)} In the order of the lecture: [lecture.md](lecture.md)."
    yield ""
    yield _origin(own, others)
    yield ""
    yield (
        "What was found is the number of the notebook's own run. In brackets: how far it and the runs from "
        "other seeds lie apart, and which numbers would have borne the verdict out. A run has one seed or, "
        "where it says so, several, and then gives their mean, their best or their worst; where nothing is "
        "drawn at random all runs agree."
    )
    yield ""
    for at, about, of_chapter in _by_chapter(entries):
        marks = ", ".join(f"[{entry.verdict[0]} {entry.claim.id}](#{entry.claim.id})" for entry in of_chapter)
        yield f"- {at} {about}: {marks}"
    for at, about, of_chapter in _by_chapter(entries):
        yield from ("", f"## {lecture().link(at)} {escaped(about)}")
        for entry in of_chapter:
            yield from _section(entry)


def _section(entry: Entry) -> Iterator[str]:
    claim = entry.claim
    yield from ("", f'<a id="{claim.id}"></a>', "", f"### {escaped(claim.says)}", "")
    kind = "measured" if claim.kind == "measured" else "by construction"
    facts = (f"**{entry.verdict}**", kind, lecture().link(claim.at), entry.experiment, f"`{claim.id}`")
    yield " · ".join(facts)
    yield ""
    if entry.runs:
        yield from (f"- {escaped(entry.sentence(name))}" for name in claim.evidence)
        yield ""
        yield f"**Runs:** {'; '.join(['the notebook', *(in_words(run.seeds) for run in entry.runs[1:])])}.  "
    if claim.rival:
        yield f"**Rival:** {escaped(claim.rival)}  "
    if claim.caveat:
        yield f"**Caveat:** {escaped(claim.caveat)}  "
    yield f"**Experiment:** {escaped(claim.show)}"


def _lecture_page(entries: Sequence[Entry], own: Record) -> Iterator[str]:
    of = lecture()
    yield f"[{escaped(of.title)}]({of.video}) by {of.by}. A time opens the video there."
    yield ""
    yield f"{_summary(entries)} A verdict leads to all its numbers. {own.when} ({own.state})."
    for at, about, of_chapter in _by_chapter(entries):
        yield from ("", f"## {of.link(at)} {escaped(about)}", "")
        yield "| Time | The lecture says | Verdict | The number that decides | Experiment |"
        yield "|---|---|---|---|---|"
        for entry in of_chapter:
            claim = entry.claim
            verdict = f"[{entry.verdict}](claims.md#{claim.id})"
            cells = (of.link(at), escaped(claim.says), verdict, escaped(entry.decisive()), entry.experiment)
            yield f"| {' | '.join(cells)} |"


def in_words(seeds: Sequence[int]) -> str:
    """Seeds in words.

    Example:
        >>> in_words([11, 12]), in_words(range(21, 27))
        ('seeds 11, 12', 'seeds 21 to 26')
    """
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is.

    Example:
        >>> print(escaped("a < b_1 | c"))
        a \\< b\\_1 \\| c
    """
    return re.sub(r"([\\`*_\[\]<>&|])", r"\\\1", text)


def to_html(title: str, text: str) -> str:
    """A page for the browser, light or dark as the reader's system is, and for paper; without a script."""
    # Imported here: whoever reads the ledger without a page needs neither.
    import mistune

    from course_lib import plots

    style = Path(__file__).with_name("ledger.css").read_text(encoding="utf-8")
    body = str(mistune.create_markdown(escape=False, plugins=["table"])(text))
    body = re.sub(r'href="(claims|lecture)\.md', r'href="\1.html', body)
    body = body.replace(">lecture.md<", ">lecture.html<")
    colours = {"holds": plots.GREEN, "caveat": plots.ORANGE, "corrected": plots.VERMILION}
    for verdict, words in VERDICTS.items():
        shown = f"{MARKS[verdict]} {words}"
        mark = f'<span class="verdict" style="--mark: {colours[verdict]}">{shown}</span>'
        body = re.sub(rf"{re.escape(shown)}(?=</)", mark, body)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
