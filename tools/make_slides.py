"""Slides: a deck for each concept and one of the lecture, alive without a server and without a network.

    python tools/make_slides.py          # build/slides/index.html

A deck is a file in book/slides that names cells of a lesson by their ids. What the cells show is taken from
the notebooks that have run (`tools/executed.py`), what the lecture says and what came out from the ledger;
prose stands in the speaker's notes. tests/slide_pages.py looks at each slide in a browser.
"""

import base64
import difflib
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from html import escape, unescape
from pathlib import Path
from textwrap import TextWrapper
from typing import Any

import executed
import jinja2
import nbformat
import programs
import yaml
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import MarkdownWithMath
from nbformat import NotebookNode

from course_lib import claims, ledger
from course_lib.claims import Claim, capitalised
from course_lib.export import Renderer
from course_lib.ledger import Entry
from course_lib.widgets import alone

ROOT = Path(__file__).resolve().parent.parent
DECKS = ROOT / "book" / "slides"
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build" / "slides"
LECTURE = "lecture"  # the deck that follows the lecture, not a lesson
WIDTH, LINES = 1110, 460  # px that printed lines may take on a slide of 1280 x 720
LETTER, HIGH = 0.602, 1.45  # of a letter and of a line, in parts of the font's size
SMALLEST, LARGEST = 18, 30  # px
WRAPPED = TextWrapper(
    width=76,
    subsequent_indent="    ",
    replace_whitespace=False,
    drop_whitespace=False,
    break_long_words=False,
)
LONG_QUESTION = 150  # letters
DRAWING = 1152  # px, at most
SHARPEST = 1.35  # how much larger than its own pixels a figure is shown, at most

PICTURE = re.compile(r"!\[([^\]]*)\]\((images/[^)]+)\)")
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
ASKED = re.compile(r"\*\*((?:[^*]|\*[^*\s][^*]*\*)+?\?)\*\*")  # a question in bold; it may stress a word
SENTENCE = re.compile(r".+?(?:[.?!][)*\"]*(?=\s+[*(\"`$\w])|$)")
FIGURE = re.compile(r"<img alt=\"([^\"]*)\" src=\"(data:image/png;base64,([^\"]+))\"")
BOX = re.compile(r"<div class='course-outcome' data-asked='(\w+)'[^>]*>")
RESULT = re.compile(r"The result: (.*)\. \(You made no prediction\.\)", re.DOTALL)


class SlideError(ValueError):
    """A deck asks for what is not there."""


# ------------------------------------------------------------------------------------------------ the lessons


@dataclass
class Lesson:
    """A notebook, and what a deck may ask of it.

    Args:
        name: such as "03_qkv".
        notebook: after it has run, for what its cells show.
    """

    name: str
    notebook: NotebookNode
    shown: set[str] = field(default_factory=set)  # predictions that stand on a slide
    asked: dict[str, str] = field(default_factory=dict)  # the question of each

    @cached_property
    def ids(self) -> list[str]:
        """Of all cells, in order."""
        return [cell.id for cell in self.notebook.cells]

    def cell(self, name: str, kind: str = "") -> NotebookNode:
        """One cell; kind: "code" or "markdown", where it has to be that."""
        if name not in self.ids:
            near = difflib.get_close_matches(str(name), self.ids, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SlideError(f"notebooks/{self.name}.ipynb has no cell {name!r}{hint}")
        cell = self.notebook.cells[self.ids.index(name)]
        if kind and cell.cell_type != kind:
            raise SlideError(f"cell {name!r} of notebooks/{self.name}.ipynb is {cell.cell_type}, not {kind}")
        return cell

    def prose(self, name: str, step: int) -> str:
        """The id of the nearest cell of text: this one, or one before it (step -1) or behind it (step 1)."""
        at = self.ids.index(self.cell(name).id)
        there = self.notebook.cells[at:] if step > 0 else self.notebook.cells[at::-1]
        found = next((cell.id for cell in there if cell.cell_type == "markdown"), None)
        if found is None:
            side = "behind" if step > 0 else "before"
            raise SlideError(f"{side} cell {name!r} of notebooks/{self.name}.ipynb stands no text")
        return found

    def outputs(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What a cell displays, apart from what it prints."""
        for output in self.cell(name, "code").outputs:
            yield output.get("data", {})

    def html(self, name: str, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """The first of its outputs that is such HTML."""
        for data in self.outputs(name):
            if found := pattern.search(data.get("text/html", "")):
                return found
        raise SlideError(f"cell {name!r} of notebooks/{self.name}.ipynb shows no {what}")

    def widget(self, name: str, model: str, what: str) -> str:
        """The id of a widget of this model that a cell shows."""
        for data in self.outputs(name):
            widget = data.get(alone.VIEW, {}).get("model_id")
            if self.state.get(widget, {}).get("model_name") == model:
                return widget
        raise SlideError(f"cell {name!r} of notebooks/{self.name}.ipynb shows no {what}")

    @property
    def state(self) -> dict[str, Any]:
        """Of all widgets, as the notebook saved it."""
        return self.notebook.metadata.get("widgets", {}).get(alone.STATE, {}).get("state", {})

    def saved(self, widgets: Iterable[str]) -> dict[str, Any]:
        """The state of these widgets, and of what they refer to."""
        found: dict[str, Any] = {}
        waiting = list(widgets)
        while waiting:
            name = waiting.pop()
            if name in self.state and name not in found:
                found[name] = self.state[name]
                waiting += re.findall(r"IPY_MODEL_(\w+)", str(found[name]["state"]))
        return found


def markdown(source: str) -> str:
    """HTML of a text, its formulas as MathML."""
    return MarkdownWithMath(renderer=Renderer(escape=False)).render(source).strip()


def inline(source: str) -> str:
    """HTML of a line."""
    return re.sub(r"^<p>|</p>$", "", markdown(source))


def sentences(source: str) -> list[str]:
    """The sentences of a text of Markdown.

    Example:
        >>> sentences("One *word* asks. Who answers?\\n\\n## Next\\n\\nIt is 1.5.")
        ['One *word* asks.', 'Who answers?', '## Next', 'It is 1.5.']
    """
    told = COMMENT.sub("", FOLDED.sub("", PICTURE.sub("", source)))
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n+|\n(?=\d+\. )", told)]
    return [sentence for part in paragraphs if part for sentence in map(str.strip, SENTENCE.findall(part))]


# ------------------------------------------------------------------------------------------- parts of a slide


def says(lesson: Lesson, name: str, begins: str | Sequence[str]) -> str:
    """Sentences of a lesson's text, each named by how it begins."""
    there = sentences(lesson.cell(name, "markdown").source)
    starts = [begins] if isinstance(begins, str) else begins
    told = "".join(f"<p>{inline(sentence(there, start, name))}</p>" for start in starts)
    return f'<div class="says">{told}</div>'


def sentence(there: Sequence[str], begins: str, name: str) -> str:
    """The first of a cell's sentences that begins so."""
    for each in there:
        if each.lstrip("*(").startswith(begins):
            return each
    raise SlideError(f"no sentence of cell {name!r} begins with {begins!r}")


def listed(lesson: Lesson, name: str) -> str:
    """The numbered lines of a cell, such as what one can now tell a friend."""
    lines = re.findall(r"^\d+\. (.+)$", lesson.cell(name, "markdown").source, re.MULTILINE)
    if not lines:
        raise SlideError(f"cell {name!r} has no numbered lines")
    return f"<ol>{''.join(f'<li>{inline(line)}</li>' for line in lines)}</ol>"


def printed(lesson: Lesson, name: str, lines: Sequence[int] = ()) -> str:
    """What a cell prints, or some lines of it, counted from 1."""
    parts = [output.text for output in lesson.cell(name, "code").outputs if output.output_type == "stream"]
    there = [line.rstrip() for line in "".join(parts).splitlines() if line.strip()]
    wanted = chosen(there, lines, name, "printed")
    whole = [part for line in wanted for part in WRAPPED.wrap(line)]
    return f"<pre{sized(whole)}</pre>"


def code(lesson: Lesson, name: str, lines: Sequence[int] = ()) -> str:
    """A cell's code, or some lines of it, counted from 1."""
    there = chosen(lesson.cell(name, "code").source.splitlines(), lines, name, "written")
    style, _, _ = sized(there).partition(">")
    coloured = re.sub(r"</?div[^>]*>|</?pre>|<span></span>", "", Highlight2HTML()("\n".join(there)))
    return f'<pre class="highlight"{style}>{coloured.strip()}</pre>'


def chosen(there: Sequence[str], numbers: Sequence[int], name: str, what: str) -> list[str]:
    """These lines of a cell; all, where none is named."""
    if not there or max(numbers, default=1) > len(there):
        raise SlideError(
            f"in cell {name!r} {len(there)} lines are {what}; asked for {list(numbers) or 'all'}"
        )
    return [there[number - 1] for number in numbers] if numbers else list(there)


def sized(lines: Sequence[str]) -> str:
    """Lines, as large as a slide can bear: the rest of a <pre> that has begun."""
    size = min(WIDTH / LETTER / max(map(len, lines)), LINES / HIGH / len(lines), LARGEST)
    if size < SMALLEST:
        raise SlideError(
            f"{len(lines)} lines of up to {max(map(len, lines))} letters are too much for a slide; name fewer"
        )
    return f' style="--size: {size:.1f}px">{escape(chr(10).join(lines))}'


def figure(lesson: Lesson, name: str) -> str:
    """A figure that a cell shows; its title stands within it."""
    found = lesson.html(name, FIGURE, "figure")
    width, height = struct.unpack(">II", base64.b64decode(found[3][:64])[16:24])
    return picture(f'<img alt="{found[1]}" src="{found[2]}">', width, height, SHARPEST * width)


def drawing(lesson: Lesson, name: str, number: int = 1) -> str:
    """A picture of a cell of text, counted from 1."""
    there = PICTURE.findall(lesson.cell(name, "markdown").source)
    if len(there) < number:
        raise SlideError(f"cell {name!r} has {len(there)} pictures; asked for number {number}")
    alt, address = there[number - 1]
    path = NOTEBOOKS / address
    content = path.read_bytes()
    data = base64.b64encode(content).decode()
    kind = "svg+xml" if path.suffix == ".svg" else path.suffix[1:]
    if kind == "png":
        width, height = struct.unpack(">II", content[16:24])
    else:
        box = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', content)
        if box is None:
            raise SlideError(f"{address} does not say its size as a viewBox")
        width, height = float(box[1]), float(box[2])
    return picture(f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data}">', width, height, DRAWING)


def picture(image: str, width: float, height: float, widest: float) -> str:
    """A picture, as large as the room that is left; the style sheet finds out how much that is."""
    return f'<div class="fit" style="--ratio: {width / height:.4f}; --widest: {widest:.0f}px">{image}</div>'


def explorer(lesson: Lesson, name: str) -> str:
    """An explorer, alive, as a page within the page: its sheet and its keys stay its own."""
    widget = lesson.widget(name, "AnyModel", "explorer")
    page = (
        theme()
        .get_template("explorer.html")
        .render(
            view=view(widget),
            state=alone.data(alone.STATE, {"state": lesson.saved([widget])}),
            loader=alone.loader(),
        )
    )
    return f'<iframe title="Explorer" srcdoc="{escape(page)}"></iframe>'


def view(widget: str) -> str:
    """The script by which the page's loader finds a widget."""
    return alone.data(alone.VIEW, {"model_id": widget, "version_major": 2, "version_minor": 0})


def predict(lesson: Lesson, name: str, begins: str | Sequence[str] = "") -> str:
    """A question and its answers to choose from.

    Args:
        begins: where more is shown than the question in bold: how the sentence begins that leads to it, or
            how each of several sentences does.
    """
    before = lesson.prose(name, -1)
    source = lesson.cell(before).source
    if not begins:
        found = ASKED.findall(COMMENT.sub("", FOLDED.sub("", source)))
        if not found:
            raise SlideError(f"cell {before!r}, before {name!r}, asks no question in bold; say how it begins")
        question = found[-1]
    elif isinstance(begins, str):
        there = sentences(source)
        start = there.index(sentence(there, begins, before))
        end = next((n for n in range(start, len(there)) if "?" in there[n]), start)
        question = " ".join(there[start : end + 1])
    else:
        question = " ".join(sentence(sentences(source), start, before) for start in begins)
    question = question.replace("**", "")
    widget = lesson.widget(name, "RadioButtonsModel", "prediction")
    lesson.shown.add(widget)
    is_long = len(question) > LONG_QUESTION
    lesson.asked[widget] = inline(sentences(question)[-1] if is_long else question)
    kind = "question long" if is_long else "question"
    return f'<p class="{kind}">{inline(question)}</p><div>{view(widget)}</div>'


def outcome(lesson: Lesson, name: str) -> str:
    """What came out, large, and what the room had said."""
    box = lesson.html(name, BOX, "outcome of a prediction")
    asked = lesson.asked.get(box[1], "")
    for data in lesson.outputs(name):
        if told := RESULT.search(data.get("text/plain", "")):
            result = f'<p class="asked">{asked}</p><p class="result">{escape(told[1])}</p>'
            return f'<div class="came">{result}{box[0]}</div></div>'
    raise SlideError(f"cell {name!r} shows no outcome of a prediction that nobody made")


def claim(lesson: Lesson, name: str) -> str:
    """A statement of the lecture; behind a key press, what came out."""
    entry = on_record(name)
    numbers = "".join(f"<p>{escape(capitalised(sentence))}.</p>" for sentence in entry.judgement.short())
    told = f'{numbers}<p class="caveat">{escape(entry.claim.caveat)}</p>'
    return (
        f'<p class="at">{escape(at(entry.claim))}</p><blockquote>{escape(entry.claim.says)}</blockquote>'
        f'<div class="fragment verdict" style="--mark: {claims.colour(entry.label)}">'
        f'<p class="label">{escape(capitalised(entry.judgement.words))}</p>{told}</div>'
    )


def statements(lesson: Lesson, names: Sequence[str]) -> str:
    """Several statements, each with its label."""
    rows = []
    for entry in map(on_record, names):
        words = escape(entry.judgement.words)
        mark = f'<span class="mark" style="--mark: {claims.colour(entry.label)}"></span>'
        rows.append(
            f"<tr><td>{entry.claim.at}</td><td>{escape(entry.claim.says)}</td>"
            f'<td class="fragment">{mark}{words}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def found(lesson: Lesson, names: Sequence[str]) -> str:
    """Several statements, each with the number that decides."""
    rows = []
    for entry in map(on_record, names):
        number = escape(capitalised(entry.judgement.short()[0]))
        mark = f'<span class="mark" style="--mark: {claims.colour(entry.label)}"></span>'
        rows.append(
            f"<tr><td>{entry.claim.at}</td><td>{escape(entry.claim.says)}</td><td>{mark}{number}.</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def labels(lesson: Lesson, _: object) -> str:
    """How many statements got which label."""
    entries = list(map(on_record, claims.load()))
    rows = []
    for label in ledger.SURPRISES:
        n = sum(entry.label == label for entry in entries)
        rows.append(
            f'<tr><td>{n}</td><td>{label}</td><td><span class="bar" style="--mark: {claims.colour(label)}; '
            f'--share: {n / len(entries):.3f}"></span></td></tr>'
        )
    return f'<table class="labels">{"".join(rows)}</table>'


def at(found: Claim) -> str:
    """Where in the lecture a claim stands, in words."""
    return f"Lecture, {found.at}: {ledger.lecture().chapters[found.at]}"


@cache
def records() -> dict[str, list[claims.Run]]:
    """All runs; they are read once."""
    return claims.runs()


def on_record(name: str) -> Entry:
    """A claim of the ledger, with what is on record."""
    if name not in claims.load():
        near = difflib.get_close_matches(str(name), list(claims.load()), n=1)
        raise SlideError(f"the ledger has no claim {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return Entry.of(claims.load()[name], records().get(name, []))


Part = Callable[..., str]
PARTS: dict[str, Part] = {  # what a slide may have, and what makes it
    "says": says,
    "list": listed,
    "printed": printed,
    "code": code,
    "figure": figure,
    "drawing": drawing,
    "explorer": explorer,
    "predict": predict,
    "outcome": outcome,
    "claim": claim,
    "statements": statements,
    "found": found,
    "labels": labels,
}
OF_THE_LEDGER = ("claim", "statements", "found", "labels")
ARGUMENTS = ("cell", "lines", "begins", "number")
BESIDE = ("title", "lesson", "notes", "remark")


# -------------------------------------------------------------------------------------------------- the decks


@dataclass(frozen=True)
class Slide:
    """One slide, as its file tells it.

    Args:
        deck: its file's name; number: counted from 1, the opening slide not among them.
        told: its entry.
        lesson: the name of the notebook whose cells it names.
    """

    deck: str
    number: int
    told: Mapping[str, Any]
    lesson: str

    def __post_init__(self) -> None:
        unknown = set(self.told) - set(PARTS) - set(BESIDE)
        if unknown:
            raise self.error(f"{', '.join(sorted(unknown))}: a slide has {', '.join([*BESIDE, *PARTS])}")
        if not self.told.get("title") or len(self.parts()) == 0:
            raise self.error("a slide has a title and something to show")

    def error(self, said: object) -> SlideError:
        """An error that names the deck and the slide."""
        title = self.told.get("title", "without a title")
        return SlideError(f"book/slides/{self.deck}.yml, slide {self.number} ({title}): {said}")

    def parts(self) -> list[tuple[str, dict[str, Any]]]:
        """What it shows: the name of each part and its arguments, in order."""
        found = []
        for name, value in self.told.items():
            if name in PARTS:
                several = value if isinstance(value, list) and name not in OF_THE_LEDGER else [value]
                found += [(name, self.arguments(each)) for each in several]
        return found

    def arguments(self, value: Any) -> dict[str, Any]:
        """A cell's id alone, or with more: {cell: open-run, lines: [1, 2]}."""
        if not isinstance(value, dict):
            return {"cell": value}
        if "cell" not in value or set(value) - set(ARGUMENTS):
            raise self.error(
                f"{value}: a part names its cell and, where asked for, {', '.join(ARGUMENTS[1:])}"
            )
        return value

    def cells(self) -> list[str]:
        """The ids of all cells that it names."""
        named = [told["cell"] for part, told in self.parts() if part not in OF_THE_LEDGER]
        return [*named, *self.named_notes()]

    def named_notes(self) -> list[str]:
        """The cells whose prose its file wants in the notes."""
        notes = self.told.get("notes", [])
        return [notes] if isinstance(notes, str) else notes

    def claims(self) -> list[str]:
        """The ids of all claims that it names."""
        named = [told["cell"] for part, told in self.parts() if part in OF_THE_LEDGER]
        return [name for each in named for name in ([each] if isinstance(each, str) else each)]

    def html(self, lesson: Lesson) -> dict[str, str]:
        """For the template: title, body, notes.

        Raises: SlideError: it names what is not there; the error names deck, slide and id.
        """
        try:
            body = []
            for part, told in self.parts():
                more = {name: value for name, value in told.items() if name != "cell"}
                body.append(PARTS[part](lesson, told["cell"], **more))
            return {
                "title": inline(self.told["title"]),
                "body": "\n".join(body),
                "kinds": " ".join(dict.fromkeys(part for part, _ in self.parts())),
                "notes": self.notes(lesson),
            }
        except SlideError as error:
            raise self.error(error) from None

    def notes(self, lesson: Lesson) -> str:
        """What the speaker reads: the prose that it names, or that stands nearest to what it shows."""
        names = self.named_notes()
        if not names:
            cells = [(part, told["cell"]) for part, told in self.parts() if part not in OF_THE_LEDGER]
            found = [lesson.prose(cell, -1 if part == "predict" else 1) for part, cell in cells]
            names = list(dict.fromkeys(found))
        told = [self.told.get("remark", "")]
        told += [FOLDED.sub("", PICTURE.sub("", lesson.cell(name, "markdown").source)) for name in names]
        return "\n".join([*(markdown(each) for each in told if each), *map(of_claim, self.claims())])


def of_claim(name: str) -> str:
    """What the speaker can say of a claim."""
    entry = on_record(name)
    lines = [
        f"<strong>{escape(entry.claim.says)}</strong> {escape(capitalised(entry.judgement.words))}.",
        *(escape(f"{capitalised(sentence)}.") for sentence in entry.judgement.short()),
        *map(escape, filter(None, (entry.claim.caveat, entry.claim.show, entry.rival(), entry.reproduced()))),
    ]
    return "".join(f"<p>{line}</p>" for line in lines)


@dataclass(frozen=True)
class Deck:
    """A file of slides.

    Args:
        name: of the file, which is that of a lesson, or "lecture".
        told: what the file says: slides; of the lecture's deck its title and question; where a lesson's title
            asks nothing, the sentence that does.
    """

    name: str
    told: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Deck":
        """A deck from its file."""
        return cls(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))

    def slides(self) -> list[Slide]:
        """All but the opening one."""
        return [
            Slide(self.name, number, told, told.get("lesson", self.name))
            for number, told in enumerate(self.told["slides"], start=1)
        ]

    def lessons(self) -> set[str]:
        """The notebooks whose cells it names."""
        return {slide.lesson for slide in self.slides() if slide.cells()}

    def opening(self, lesson: Lesson | None) -> dict[str, str]:
        """Title, question and notes of the first slide: a lesson's own."""
        if lesson is None:
            lecture = ledger.lecture()
            return {
                "title": inline(self.told["title"]),
                "question": inline(self.told["question"]),
                "notes": markdown(f"The lecture: *{lecture.title}*, by {lecture.by}."),
            }
        first = lesson.notebook.cells[0].source
        heading, _, rest = first.partition("\n")
        title, _, question = heading.removeprefix("# ").partition(": ")
        if named := self.told.get("question"):
            there = sentences(lesson.cell(named["cell"], "markdown").source)
            question = sentence(there, named["begins"], named["cell"]).replace("**", "")
        return {
            "title": inline(title),
            "question": inline(capitalised(question)),
            "notes": markdown(PICTURE.sub("", rest)),
        }

    def write(self, folder: Path, lessons: Mapping[str, Lesson], page: jinja2.Template) -> dict[str, Any]:
        """Write it; what the page of all decks says of it."""
        for lesson in lessons.values():
            lesson.shown.clear()
            lesson.asked.clear()
        nowhere = Lesson(self.name, nbformat.v4.new_notebook())
        slides = [slide.html(lessons.get(slide.lesson, nowhere)) for slide in self.slides()]
        saved = {
            name: state for lesson in lessons.values() for name, state in lesson.saved(lesson.shown).items()
        }
        opening = self.opening(lessons.get(self.name))
        told = page.render(
            **opening,
            name=plain(opening["title"]),
            slides=slides,
            state=alone.data(alone.STATE, {"state": saved}),
            loader=alone.loader(),
        )
        (folder / f"{self.name}.html").write_text(told, encoding="utf-8")
        return {**opening, "file": f"{self.name}.html", "n_slides": len(slides) + 1}


def plain(told: str) -> str:
    """HTML of a line as text."""
    return unescape(re.sub(r"<[^>]+>", "", told))


@cache
def theme() -> jinja2.Environment:
    """The templates of the pages."""
    loader = jinja2.FileSystemLoader(DECKS / "theme")
    return jinja2.Environment(loader=loader, autoescape=False, trim_blocks=True, lstrip_blocks=True)


def decks() -> list[Deck]:
    """All decks: the lecture's first, then the lessons' in order."""
    paths = sorted(DECKS.glob("*.yml"), key=lambda path: (path.stem != LECTURE, path.stem))
    return [Deck.read(path) for path in paths]


def write(folder: Path, chosen: Sequence[Deck]) -> None:
    """Write decks and the page that leads to them; notebooks that have not run, run now."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DECKS / "reveal", folder / "reveal")
    for name in ("slides.css", "slides.js"):
        shutil.copy(DECKS / "theme" / name, folder)
    names = sorted({name for deck in chosen for name in deck.lessons()})
    kept = executed.all_executed(NOTEBOOKS / f"{name}.ipynb" for name in names)
    lessons = {
        name: Lesson(name, nbformat.read(path, as_version=4)) for name, path in zip(names, kept, strict=True)
    }
    page = theme().get_template("deck.html")
    written = [deck.write(folder, lessons, page) for deck in chosen]
    index = theme().get_template("index.html").render(decks=written)
    (folder / "index.html").write_text(index, encoding="utf-8")


def main() -> None:
    """Write all decks, and look at each slide."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        write(BUILD, decks())
    except SlideError as error:
        sys.exit(str(error))
    print(BUILD / "index.html", flush=True)
    if programs.missing():
        programs.install()
    looks = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "slide_pages.py")]
    sys.exit(subprocess.run(looks, cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
