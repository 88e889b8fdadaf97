"""The notebook that people read after grading: the learner's answers, our tests, what came of them.

nbgrader's feedback pages and its formgrader show it. A test cell has the source that learners were given, so
no hidden test is in it; nothing that a learner wrote or printed can run in the browser of whoever opens it.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.filters.markdown import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader import preprocessors, utils
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from course_lib.grading.leftovers import half_written, remove_half_written
from course_lib.grading.outcome import CellOutput, Outcome, TaskOutcome
from course_lib.grading.submission import Cell, Known, Unreadable, read_bytes, read_cells

SAVED = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
SHOWN = ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums")
TAG = "<[A-Za-z/!?]"  # where a tag begins
# Of a long output people see the beginning and the end: pages of 60,000 lines are not read, and slow.
HEAD_LINES, TAIL_LINES = 150, 50
HEAD_LENGTH, TAIL_LENGTH = 15_000, 5_000


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


def graded(released: Released, cells: Sequence[Cell], outcome: Outcome) -> NotebookNode:
    """The notebook that is shown after grading.

    A cell of ours that is there twice counts where it stands last; one that is missing is put back. Of a long
    output the middle is left out.

    Args:
        cells: The learner's, as `cells_of` gives them; without any, the notebook is shown as it was released.
    """
    shown = released.shown
    if not cells:
        cells = read_cells(json.dumps(shown).encode())
    ours = {grade_id(cell): cell for cell in shown.cells if grade_id(cell)}
    given = {cell.source for cell in shown.cells}
    roles = [released.known.role(cell) for cell in cells]
    printed = {output.cell_id: output for output in outcome.cells if output.cell_id}
    verdicts = {task.grade_id: task for task in outcome.tasks}
    result = []
    for i, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if cell.kind == "raw":
            continue
        if role in ours and role not in roles[i + 1 :]:
            new = deepcopy(ours.pop(role))
            if utils.is_solution(new):
                new.source = _text(cell.source)
        else:
            node = {"cell_type": cell.kind, "id": cell.id, "metadata": {}, "source": _text(cell.source)}
            new = nbformat.from_dict(node)
        _fill(new, printed.get(cell.id), verdicts.get(role), new.source in given)
        result.append(new)
    _put_back(result, shown.cells, ours, verdicts)
    notes = [text for text in (outcome.reason, *outcome.reports) if text]
    if notes:
        result.insert(0, nbformat.v4.new_markdown_cell(verbatim("\n".join(notes)), id="grading"))
    _name(result)
    return NotebookNode(cells=result, metadata=deepcopy(shown.metadata), nbformat=4, nbformat_minor=5)


def _fill(cell: NotebookNode, printed: CellOutput | None, task: TaskOutcome | None, is_ours: bool) -> None:
    """Give a cell its outputs, in place, and take out of it what a browser could run."""
    if cell.cell_type == "code":
        cell.execution_count = None
        outputs = [_output(output) for output in printed.outputs] if printed else []
        cell.outputs = [output for output in outputs if output.get("data", output.get("text", True))]
        if task is not None and utils.is_grade(cell) and not utils.is_solution(cell):
            cell.outputs = verdict(task)
    elif not is_ours:
        cell.source = _markdown(cell.source)


def _output(output: dict[str, Any]) -> NotebookNode:
    """An output made anew from what we know of outputs: text, HTML of the plainest tags, and pictures."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return _new_output("stream", name=name, text=_shortened(_text(output.get("text"))))
    if kind == "error":
        name, value = _text(output.get("ename")), _text(output.get("evalue"))
        traceback = _text(output.get("traceback"), "\n").split("\n")
        return _new_output("error", ename=name, evalue=value, traceback=traceback)
    found = output.get("data")
    data = {key: _text(value) for key, value in found.items()} if isinstance(found, dict) else {}
    clean = {key: _shortened(data[key]) for key in ("text/plain",) if key in data}
    if "text/html" in data:
        clean["text/html"] = SanitizeHTML().sanitize_html_tags(data["text/html"])
    if "text/markdown" in data:
        clean["text/markdown"] = _markdown(data["text/markdown"])
    for key in data.keys() & {"image/png", "image/jpeg"}:
        if re.fullmatch(r"[A-Za-z0-9+/=\s]*", data[key]):
            clean[key] = data[key]
    return _new_output("display_data", data=clean)


def _new_output(kind: str, **content: Any) -> NotebookNode:
    """An output. nbformat's own function validates each, which takes longer than to grade a task."""
    if kind in ("display_data", "execute_result"):
        content["metadata"] = {}
    if kind == "execute_result":
        content["execution_count"] = None
    return nbformat.from_dict({"output_type": kind, **content})


def _shortened(text: str) -> str:
    """An output without the middle, where it is long."""
    lines = text.split("\n")
    if len(lines) > HEAD_LINES + TAIL_LINES:
        left_out = f"[{len(lines) - HEAD_LINES - TAIL_LINES:,} lines are left out here]"
        text = "\n".join([*lines[:HEAD_LINES], left_out, *lines[-TAIL_LINES:]])
    if len(text) > HEAD_LENGTH + TAIL_LENGTH:
        left_out = f"[{len(text) - HEAD_LENGTH - TAIL_LENGTH:,} characters are left out here]"
        text = "\n".join([text[:HEAD_LENGTH], left_out, text[-TAIL_LENGTH:]])
    return text


def _markdown(text: str) -> str:
    """A Markdown text without tags that could run something; verbatim where one of its links could."""
    clean = SanitizeHTML().sanitize_html_tags(text) if re.search(TAG, text) else text
    links = _Links()
    links.feed(markdown2html(clean))
    return clean if links.are_plain else verbatim(text)


class _Links(HTMLParser):
    """Whether all links of a page lead to the web, and no picture is fetched from there."""

    are_plain = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_link = name == "href" and re.match("(https?://|mailto:|#)", value or "")
            is_picture = name == "src" and re.match("data:image/(png|jpeg);", value or "")
            if name in ("href", "src") and not is_link and not is_picture:
                self.are_plain = False


def _text(value: object, between: str = "") -> str:
    """A text that nbformat may keep as a list of lines, without what UTF-8 cannot write."""
    text = between.join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text.encode("utf-8", "replace").decode("utf-8")


def verdict(task: TaskOutcome) -> list[NotebookNode]:
    """The output of a test cell: its sentence, and its points where they are not all.

    nbgrader reads a number in an output as the points of the cell, and no number as all of them.
    """
    text = _text(task.sentence) or f"{task.status.capitalize()}."
    outputs = [_new_output("stream", name="stdout", text=f"{text}\n")]
    if task.points < task.max_points:
        points = f"{task.points:g} of {task.max_points:g} points from the tests"  # a person may give others
        data = {"text/plain": str(float(task.points)), "text/html": points}
        outputs.append(_new_output("execute_result", data=data))
    return outputs


def verbatim(text: str) -> str:
    """A text as Markdown that shows it as it is: no tag, link or formula in it means anything."""
    lines = text.replace("\t", "    ").splitlines()
    return "\n".join(f"    {line}" for line in lines)


def _put_back(
    cells: list[NotebookNode],
    source: Sequence[NotebookNode],
    missing: dict[str, NotebookNode],
    verdicts: dict[str, TaskOutcome],
) -> None:
    """Put missing cells of ours behind those that they follow in the source, in place."""
    place = 0  # behind the last cell of the source that is there, as far as its name or id tells
    for ours in source:
        name = grade_id(ours)
        if name in missing:
            new = deepcopy(missing[name])
            _fill(new, None, verdicts.get(name), is_ours=True)
            cells.insert(place, new)
            place += 1
            continue
        known = name or ours.get("id")
        same = [i for i, cell in enumerate(cells) if known and known == (grade_id(cell) or cell.get("id"))]
        if same:
            place = same[-1] + 1


def _name(cells: list[NotebookNode]) -> None:
    """Give every cell an id of its own that nbformat accepts, in place."""
    seen: set[str] = set()
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
    new = half_written(path)
    with open(new, "wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    remove_half_written(path)


def write_notebook(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook whole or not at all."""
    write(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
