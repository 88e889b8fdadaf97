"""The notebook that people read after grading: the learner's answers, our tests, what came of them.

nbgrader's feedback pages and its formgrader show it. A test cell has the source that learners were given, so
no hidden test is in it; nothing that a learner wrote or printed can run in the browser of whoever opens it.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors, utils
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from course_lib.grading.intake.submission import (
    PICTURES,
    Cell,
    Known,
    Unreadable,
    pictures_of,
    read_bytes,
    read_cells,
)
from course_lib.grading.results.outcome import BY_HAND, GIVEN, Outcome, TaskOutcome
from course_lib.grading.results.rendering import Room, TooMuch
from course_lib.grading.walls.leftovers import alone

SAVED = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
SHOWN = ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums")
LOOKS = {  # of a task's result: a sign, and one of Bootstrap's looks, which nbgrader's pages have
    "right": ("✓", "success"),
    BY_HAND: ("✎", "info"),
    GIVEN: ("✎", "info"),
    "not written": ("○", "warning"),
}
WRONG = ("✗", "danger")
NOTES = "grading"  # the id of a cell of ours, which says what there is to know
# Of a long output people see the beginning and the end: pages of 60,000 lines are not read, and slow.
HEAD_LINES, TAIL_LINES = 150, 50
HEAD_LENGTH, TAIL_LENGTH = 15_000, 5_000
# What cannot be rendered is shown as it was typed; so much of it is quick to read for any program.
FEW_LENGTH = 1_500
UNTRIED = 30_000  # characters of one notebook's short cells of code, which are coloured without a trial


@dataclass(frozen=True)
class Released:
    """One notebook of an assignment.

    Args:
        saved: As nbgrader's grade book keeps it, hidden tests included.
        shown: As learners got it.
        known: Which cell of a submission is which of ours.
        tests_of: For each solution cell, by its grade_id, the graded cells that follow it.
    """

    saved: NotebookNode
    shown: NotebookNode
    known: Known
    tests_of: dict[str, list[str]]


def settings(course: Path) -> Config:
    """The settings of an nbgrader course folder, from its nbgrader_config.py where it has one."""
    config = Config()
    if (course / "nbgrader_config.py").exists():
        config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.CourseDirectory.root = str(course.resolve())
    return config


def release(path: Path, config: Config | None = None) -> Released:
    """Read a notebook of the source as `nbgrader generate_assignment` does.

    Raises: ValueError: it is no notebook, two cells have one grade_id, or nbgrader does not accept the marks
        of a cell.
    """
    try:
        known = Known(read_cells(path.read_bytes()))
    except Unreadable as error:
        raise ValueError(f"the source {path} should be a notebook: {error}") from error
    saved = _steps(SAVED, nbformat.read(path, as_version=4), path, config)
    shown = _steps(SHOWN, deepcopy(saved), path, config)
    tests_of: dict[str, list[str]] = {}
    for cell in shown.cells:
        if utils.is_solution(cell):
            tests_of[grade_id(cell)] = []
        if utils.is_grade(cell) and tests_of:
            tests_of[list(tests_of)[-1]].append(grade_id(cell))
    return Released(saved, shown, known, tests_of)


def _steps(names: Sequence[str], notebook: NotebookNode, path: Path, config: Config | None) -> NotebookNode:
    """A notebook after some of nbgrader's preprocessors."""
    resources = {"nbgrader": {"notebook": path.stem, "assignment": path.parent.name}}
    for name in names:
        try:
            notebook, _ = getattr(preprocessors, name)(config=config).preprocess(notebook, resources)
        except Exception as error:  # of nbgrader's own classes, and plain RuntimeErrors
            why = error.__context__ or error  # "Duplicate grade id" stands behind "failed to validate"
            raise ValueError(f"nbgrader does not accept {path}: {why}") from error
    return notebook


def grade_id(cell: Mapping[str, Any]) -> str:
    """The grade_id of a cell of ours; "" where it has none."""
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def cells_of(path: Path) -> list[Cell]:
    """The cells of a submission; none where it is not a readable notebook."""
    try:
        return read_cells(read_bytes(path))
    except (Unreadable, OSError):
        return []


# --------------------------------------------------------------------------------------------- after grading


def graded(released: Released, cells: Sequence[Cell], outcome: Outcome) -> tuple[NotebookNode, Outcome]:
    """The notebook that is shown after grading, and the outcome that also says what is not shown in full.

    A cell of ours that is there twice counts where it stands last; one that is missing is put back. Of a long
    output the middle is left out. Where the notebook cannot be made, for whatever reason, it is shown as it
    was released.

    Args:
        cells: The learner's, as `cells_of` gives them; without any, the notebook is shown as it was released.
    """
    try:
        return _Shown(released, outcome).of(cells)
    except Exception as error:
        return _Shown(released, without_answers(outcome, error)).of([])


def without_answers(outcome: Outcome, error: Exception) -> Outcome:
    """The outcome where a mistake of ours keeps what was handed in from being shown."""
    why = f"{type(error).__name__}: {error}"[:200]
    note = f"what {outcome.student} handed in cannot be shown; its points stand ({why})"
    return replace(outcome, cells=(), reports=(*outcome.reports, note))


class _Shown:
    """The notebook of one submission in the making."""

    def __init__(self, released: Released, outcome: Outcome) -> None:
        self.released = released
        self.outcome = outcome
        self.room = Room()
        self.untried = UNTRIED
        self.notes: list[str] = []
        self.given = {cell.source for cell in released.shown.cells}
        self.printed = {output.cell_id: output for output in outcome.cells if output.cell_id}
        self.verdicts = {task.grade_id: task for task in outcome.tasks}
        language = released.shown.metadata.get("language_info", {})
        self.language = language.get("pygments_lexer", language.get("name")) or "ipython3"

    def of(self, cells: Sequence[Cell]) -> tuple[NotebookNode, Outcome]:
        """The notebook of these cells."""
        shown = self.released.shown
        cells = cells or read_cells(json.dumps(shown).encode())
        ours = {grade_id(cell): cell for cell in shown.cells if grade_id(cell)}
        roles = [self.released.known.role(cell) for cell in cells]
        result = []
        for i, (role, cell) in enumerate(zip(roles, cells, strict=True)):
            if cell.kind == "raw":
                continue
            pictures = cell.pictures
            if role in ours and role not in roles[i + 1 :]:
                new = deepcopy(ours.pop(role))
                if utils.is_solution(new):
                    new.source = _text(cell.source)
                else:
                    pictures = pictures_of(new.get("attachments"))
            else:
                node = {"cell_type": cell.kind, "id": cell.id, "metadata": {}, "source": _text(cell.source)}
                new = nbformat.from_dict(node)
            self._fill(new, cell.id, pictures)
            result.append(new)
        self._put_back(result, ours)
        _name(result)
        outcome = replace(self.outcome, reports=(*self.outcome.reports, *self.notes))
        if outcome.notes:
            notes = verbatim("\n".join(outcome.notes))
            result.insert(0, nbformat.v4.new_markdown_cell(notes, id=NOTES))
        notebook = {"metadata": deepcopy(shown.metadata), "nbformat": 4, "nbformat_minor": 5}
        return NotebookNode(cells=result, **notebook), outcome

    def _fill(self, cell: NotebookNode, printed_by: str, pictures: Mapping[str, str]) -> None:
        """Give a cell its outputs, in place, and take out of it what a browser could run."""
        if cell.cell_type == "code":
            cell.execution_count = None
            task = self.verdicts.get(grade_id(cell))
            printed = self.printed.get(printed_by)
            outputs = [self._output(output) for output in printed.outputs] if printed else []
            cell.outputs = [output for output in outputs if output.get("data", output.get("text", True))]
            if task is not None and utils.is_grade(cell) and not utils.is_solution(cell):
                cell.outputs = verdict(task)
            if cell.source not in self.given:
                cell.source = self._code(cell.source)
        elif cell.source not in self.given or "attachment:" in cell.source:
            cell.source = self._words(cell.source, pictures)
        elif not grade_id(cell):
            cell.source = cell.source.replace("<details>", "<details open>")  # as `rendering.harmless` does
        cell.pop("attachments", None)

    def _words(self, text: str, pictures: Mapping[str, str]) -> str:
        """A Markdown text as safe HTML, which is Markdown too; verbatim where that is too much."""
        try:
            return _block(self.room.render("markdown", text, pictures=pictures))
        except TooMuch as why:
            return verbatim(self._typed("A text", text, why))

    def _code(self, code: str) -> str:
        """Code that can be coloured soon: all of it, or its beginning and its end."""
        self.untried -= len(code)
        if len(code) <= FEW_LENGTH and self.untried >= 0:
            return code
        try:
            self.room.render("code", code, language=self.language)
            return code
        except TooMuch as why:
            return self._typed("Code", code, why, mark="# ")

    def _typed(self, what: str, text: str, why: TooMuch, mark: str = "") -> str:
        """A text as it was typed, without its middle where it is long; nothing where there is no room."""
        if not self.room.is_left:
            return f"{mark}[{self._note(f'{what} is left out: {why}')}]"
        note = self._note(f"{what} is shown as it was typed, a long one without its middle: {why}")
        return f"{mark}[{note}]\n{_shortened(text, (FEW_LENGTH, FEW_LENGTH // 3), mark)}"

    def _note(self, note: str) -> str:
        """Say once to the teacher what is not shown in full."""
        if note not in self.notes:
            self.notes.append(note)
        return note

    def _output(self, output: dict[str, Any]) -> NotebookNode:
        """An output made anew from what we know of outputs: text, HTML of the plainest tags, and pictures."""
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return _new_output("stream", name=name, text=_shortened(_text(output.get("text"))))
        if kind == "error":
            name, value = _text(output.get("ename"))[:100], _text(output.get("evalue"))[:1000]
            traceback = _shortened(_text(output.get("traceback"), "\n")).split("\n")
            return _new_output("error", ename=name, evalue=value, traceback=traceback)
        found = output.get("data")
        data = {key: _text(value) for key, value in found.items()} if isinstance(found, dict) else {}
        clean = {key: _shortened(data[key]) for key in ("text/plain",) if key in data}
        try:
            clean |= self._rich(data)
        except TooMuch as why:
            clean["text/html"] = f"<em>[{self._note(f'An output is left out: {why}')}]</em>"
        return _new_output("display_data", data=clean, metadata={})

    def _rich(self, data: Mapping[str, str]) -> dict[str, str]:
        """HTML and pictures of an output.

        Raises: TooMuch: as `Room.render`.
        """
        rich = {}
        if "text/html" in data:
            rich["text/html"] = self.room.render("html", data["text/html"])
        elif "text/markdown" in data:
            rich["text/html"] = self.room.render("markdown", data["text/markdown"], pictures={})
        for kind in PICTURES:
            if kind in data:
                rich[kind] = self.room.render("picture", data[kind]).partition(",")[2]
        return rich

    def _put_back(self, cells: list[NotebookNode], missing: dict[str, NotebookNode]) -> None:
        """Put missing cells of ours behind those that they follow in the source, in place."""
        place = 0  # behind the last cell of the source that is there, as far as its name or id tells
        for ours in self.released.shown.cells:
            name = grade_id(ours)
            if name in missing:
                new = deepcopy(missing[name])
                self._fill(new, "", pictures_of(new.get("attachments")))
                cells.insert(place, new)
                place += 1
                continue
            known = name or ours.get("id")
            same = [
                i for i, cell in enumerate(cells) if known and known == (grade_id(cell) or cell.get("id"))
            ]
            if same:
                place = same[-1] + 1


def _block(page: str) -> str:
    """Safe HTML as Markdown. In one line, so that nothing of it is taken for Markdown's own signs."""
    return "<div>" + "&#10;".join(page.splitlines()) + "</div>"


def _new_output(kind: str, **content: Any) -> NotebookNode:
    """An output. nbformat's own function validates each, which takes longer than to grade a task."""
    return nbformat.from_dict({"output_type": kind, **content})


def _text(value: object, between: str = "") -> str:
    """A text that nbformat may keep as a list of lines, without what UTF-8 cannot write."""
    text = between.join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text.encode("utf-8", "replace").decode("utf-8")


def _shortened(text: str, length: tuple[int, int] = (HEAD_LENGTH, TAIL_LENGTH), mark: str = "") -> str:
    """A text without the middle, where it is long.

    Args:
        length: characters of the beginning and of the end.
        mark: what stands before the line that says so.
    """
    head, tail = length
    lines = text.split("\n")
    if len(lines) > HEAD_LINES + TAIL_LINES:
        left_out = f"{mark}[{len(lines) - HEAD_LINES - TAIL_LINES:,} lines are left out here]"
        text = "\n".join([*lines[:HEAD_LINES], left_out, *lines[-TAIL_LINES:]])
    if len(text) > head + tail:
        left_out = f"{mark}[{len(text) - head - tail:,} characters are left out here]"
        text = "\n".join([text[:head], left_out, text[-tail:]])
    return text


def look_of(task: TaskOutcome) -> tuple[str, str]:
    """The sign and the look of a task's result."""
    return LOOKS.get(task.status, WRONG)


def verdict(task: TaskOutcome) -> list[NotebookNode]:
    """The output of a test cell: its result, its points and its sentence.

    nbgrader reads the number in the first result as the points of the cell.
    """
    sign, look = look_of(task)
    result = f"<strong>{sign} {task.status.capitalize()}.</strong>"
    points = f"{task.points:g} of {task.max_points:g} points from the tests"  # a person may give others
    data = {
        "text/plain": str(float(task.points)),
        "text/html": f'<div class="alert alert-{look}">{result} {points}</div>',
    }
    outputs = [_new_output("execute_result", data=data, metadata={}, execution_count=None)]
    if task.sentence:
        outputs.append(_new_output("stream", name="stdout", text=f"{_text(task.sentence)}\n"))
    return outputs


def verbatim(text: str) -> str:
    """A text as Markdown that shows it as it is: no tag, link or formula in it means anything."""
    lines = text.replace("\t", "    ").splitlines()
    return "\n".join(f"    {line}" for line in lines)


def _name(cells: list[NotebookNode]) -> None:
    """Give every cell an id of its own that nbformat accepts, in place."""
    seen = {NOTES}
    for cell in cells:
        if not re.fullmatch("[A-Za-z0-9_-]{1,64}", cell.id):
            cell.id = "cell"
        stem, number = cell.id[:50], 1
        while cell.id in seen:
            number += 1
            cell.id = f"{stem}-{number}"
        seen.add(cell.id)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, also when the machine stops midway."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")  # where a killed run has left one, it is written over
    with alone(path.parent):
        with open(half, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)


def write_notebook(path: Path, notebook: Mapping[str, Any]) -> None:
    """Write a notebook whole or not at all."""
    write(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
