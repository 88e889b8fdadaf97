"""The rules a notebook can be held to without running it: how long it is, and that it gives nothing away."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from course_lib.checks import tasks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACH = (ROOT / "book" / "pages" / "teach.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_A_TURN = 100, 4, 3  # an honest beginner; a prediction takes one
YOUR_TURN, STOP = "**Your turn", "**A place to stop.**"
HIDES = {"title", "alt"}  # arguments whose text gives a result away


class Call(NamedTuple):
    """A call in a notebook: which cell, and what the first argument is."""

    cell: int
    node: ast.Call
    name: str


class Notebook:
    """The cells of one notebook, and what is counted in them."""

    def __init__(self, path: Path) -> None:
        self.cells = nbformat.read(path, as_version=4).cells
        self.prose = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        self.code = [cell.source for cell in self.cells if cell.cell_type == "code"]

    @property
    def turns(self) -> int:
        return "\n".join(self.prose).count(YOUR_TURN)

    @property
    def sittings(self) -> list[list[nbformat.NotebookNode]]:
        """The cells up to the first place to stop, and those behind it."""
        ends = [number for number, cell in enumerate(self.cells) if STOP in cell.source]
        stop = ends[0] + 1 if ends else len(self.cells)
        return [sitting for sitting in (self.cells[:stop], self.cells[stop:]) if sitting]

    @property
    def stated_minutes(self) -> list[int]:
        """Of the lesson, and of what is behind the stop."""
        (told,) = re.findall(
            r"\*\*Time:\*\* (\d+) minutes(?:, then (\d+) behind the stop)?\.", "\n".join(self.prose)
        )
        return [int(minutes) for minutes in told if minutes]

    def calls(self, function: str) -> list[Call]:
        """The calls of a function, in order."""
        return [
            Call(number, node, first_argument(node))
            for number, cell in enumerate(self.cells)
            if cell.cell_type == "code"
            for node in ast.walk(tree(cell.source))
            if isinstance(node, ast.Call) and called(node) == function
        ]


def minutes_of(cells: list[nbformat.NotebookNode]) -> float:
    """What an honest beginner needs."""
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    reading = words_of(prose) / WORDS_A_MINUTE + len(lines_of(code)) / LINES_A_MINUTE
    return reading + MINUTES_A_TURN * prose.count(YOUR_TURN) + code.count("predict(")


def words_of(text: str) -> int:
    """What is read: without addresses, formulas and markup.

    Example:
        >>> words_of("## A [map](https://example.org/a) of $x^2$ and **more**")
        5
    """
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"\$\$?[^$]+\$\$?", " ", text)
    text = re.sub(r"<[^>]+>", " ", text)
    return len(re.findall(r"[\w'’-]*\w", text))


def lines_of(source: str) -> list[str]:
    """Lines of code that are read."""
    return [line for line in source.splitlines() if line.strip()]


def tree(source: str) -> ast.Module:
    lines = ["" if line.startswith(("%", "!")) else line for line in source.splitlines()]
    return ast.parse("\n".join(lines))


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def first_argument(node: ast.Call) -> str:
    if node.args and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return ""


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Notebook:
    return Notebook(request.param)


def test_cells_of_code_are_short(notebook):
    assert max(len(lines_of(source)) for source in notebook.code) <= 12


def test_the_stated_minutes_are_those_that_reading_takes(notebook):
    for stated, sitting in zip(notebook.stated_minutes, notebook.sittings, strict=True):
        assert 0.85 * minutes_of(sitting) <= stated <= 1.15 * minutes_of(sitting)


def test_every_prediction_meets_its_result(notebook):
    asked, answered = notebook.calls("predict"), notebook.calls("outcome")
    assert asked
    assert all(call.name for call in asked + answered), "a prediction is named by a text"
    assert [call.name for call in asked] == list(dict.fromkeys(call.name for call in asked)), "a name, twice"
    assert sorted(call.name for call in asked) == sorted(call.name for call in answered)
    cell_of = {call.name: call.cell for call in answered}
    assert all(call.cell < cell_of[call.name] for call in asked)
    (end,) = notebook.calls("predictions")
    assert end.cell > max(cell_of.values())


def test_nothing_gives_a_result_away(notebook):
    """Between a question and its result: no title, no text of a figure, and no answer, typed or told."""
    end_of = {call.name: call.cell for call in notebook.calls("outcome")}
    for question in notebook.calls("predict"):
        answers = [
            key.value
            for key in question.node.args[1].keys
            if isinstance(key, ast.Constant) and len(key.value) > 3
        ]
        for number in range(question.cell + 1, end_of[question.name] + 1):
            cell = notebook.cells[number]
            told = [answer for answer in answers if answer in cell.source]
            assert not told, f"{question.name}: cell {cell.id} tells {told}"
            if cell.cell_type == "code":
                told = [
                    keyword.arg
                    for node in ast.walk(tree(cell.source))
                    if isinstance(node, ast.Call)
                    for keyword in node.keywords
                    if keyword.arg in HIDES
                ]
                assert not told, f"{question.name}: cell {cell.id} has the {told[0]} of a figure"


def test_what_is_drawn_comes_from_figures(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            drawn = [node.value.id for node in ast.walk(tree(cell.source)) if is_attribute_of_a_name(node)]
            assert not {"plots", "plt", "pyplot"} & set(drawn), f"cell {cell.id} draws by itself"


def is_attribute_of_a_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)


def test_the_learner_changes_code(notebook):
    assert notebook.turns >= 2
    assert notebook.calls("try_it")


def test_a_mechanism_is_drawn_before_it_is_coded(notebook):
    pictures = re.findall(r"!\[([^\]]*)\]\((images/[\w-]+\.svg)\)", "\n".join(notebook.prose))
    assert pictures
    assert all(len(alt.split()) >= 5 for alt, _ in pictures), "a picture needs a text that says what it shows"


def test_the_readme_says_how_long_each_takes():
    table = re.findall(r"^\| `(\w+)` \| .* \| ([\d+ ]+) \|$", README, re.MULTILINE)
    assert dict(table) == {
        path.stem: " + ".join(map(str, Notebook(path).stated_minutes)) for path in NOTEBOOKS
    }


def test_a_workshop_has_the_minutes_that_are_stated():
    """Notebooks up to their stop and whole exercises get their own minutes, or up to five more."""
    plan = re.findall(r"^\| (\d+) to (\d+) \| `(\w+)/(\w+)`", TEACH, re.MULTILINE)
    assert {"notebooks", "exercises"} == {kind for *_, kind, _ in plan}
    for start, end, kind, concept in plan:
        if kind == "notebooks":
            stated = Notebook(ROOT / kind / f"{concept}.ipynb").stated_minutes[0]
        else:
            stated = sum(words.minutes for words in tasks.words(concept).values())
        assert stated <= int(end) - int(start) <= stated + 5, f"{kind}/{concept} takes {stated} minutes"


def test_words_are_counted_as_they_are_read():
    assert words_of("## The *attention* layer, $q k^T$ and [a link](https://a.b/c_d)") == 6
    assert words_of("<details><summary>Why?</summary>Because it's so.</details>") == 4
