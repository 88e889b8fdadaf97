"""What came of an assignment, for people: a table, a summary in words, a feedback page for each submission.

None of it needs a server, and none of it runs anything: a page allows no script, ours included, and what a
learner wrote or printed is text in it.
"""

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import bleach
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.api import Assignment, Gradebook, MissingEntry, Student
from nbgrader.plugins import ExportPlugin

from course_lib.checks import find_task, task_names
from course_lib.grading.intake.handed_in import in_page
from course_lib.grading.intake.submission import Cell
from course_lib.grading.results.gradebook import outcomes_of
from course_lib.grading.results.graded import (
    NOTES,
    Released,
    grade_id,
    graded,
    look_of,
    without_answers,
    write,
)
from course_lib.grading.results.outcome import BY_HAND, Outcome, Status, TaskOutcome, one_line
from course_lib.grading.results.rendering import PROTOCOLS, TAGS, may_have

HEADER = ("student", "assignment", "notebook", "status", "reason", "score", "max_score")
FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])")  # the last four are wide = + - @
GRADES = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score", "status", "reason"),
)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
<p>{student}: <strong>{score:g} of {max_score:g} points</strong>, {status}.</p>
{notes}
<table><thead><tr><th>task</th><th>points</th><th>result</th></tr></thead><tbody>
{rows}
</tbody></table>
<p>Below this frame stands what was handed in, with the results of the tests in coloured boxes.</p>
</header>
{body}
</main>
</body>
</html>
"""
STYLE = """
html { color-scheme: light dark; color: CanvasText; background: Canvas; overflow-wrap: anywhere; }
:root { --success: #1b6e20; --danger: #b3261e; --warning: #7a5200; --info: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --success: #81c995; --danger: #ff9e94; --warning: #fdd663; --info: #8ab4f8; }
}
body { font: 16px/1.5 sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
header { border: .2rem solid var(--info); padding: 0 1.2rem 1.2rem; }  /* no text of a student has one */
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; }
pre { background: #8881; padding: .6rem; white-space: pre-wrap; }
img { max-width: 100%; background: #fff; }
.output_subarea pre { background: none; border-left: .3rem solid #767676; }
.alert { border-left: .6rem solid; padding: .4rem .6rem; margin: .6rem 0; background: #8882; }
.success, .alert-success { color: var(--success); } .danger, .alert-danger { color: var(--danger); }
.warning, .alert-warning { color: var(--warning); } .info, .alert-info { color: var(--info); }
td.danger { font-weight: bold; }
:target { outline: .2rem solid; outline-offset: .4rem; }
"""


# ------------------------------------------------------------------------------------------------- the table


def as_csv(outcomes: Iterable[Outcome]) -> str:
    """A line for each notebook: status, reason, score, and for each task its points and its status."""
    outcomes = sorted(outcomes, key=_place)
    names = list(dict.fromkeys(task.grade_id for outcome in outcomes for task in outcome.tasks))
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*HEADER, *(title for name in names for title in (name, f"{name}: status"))])
    for outcome in outcomes:
        tasks = {task.grade_id: (f"{task.points:g}", task.status) for task in outcome.tasks}
        row = [outcome.student, outcome.assignment, outcome.notebook, outcome.status, outcome.reason]
        row += [f"{outcome.score:g}", f"{outcome.max_score:g}"]
        row += [field for name in names for field in tasks.get(name, ("", ""))]
        table.writerow([_harmless(field) for field in row])
    return text.getvalue()


def _place(outcome: Outcome) -> tuple[str, str, str]:
    """Where an outcome stands among others."""
    return outcome.student, outcome.assignment, outcome.notebook


def _harmless(text: object) -> str:
    """A text of which no spreadsheet takes a part for a formula; some begin a column at a semicolon."""
    text = "" if text is None else str(text)
    is_number = re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", text)
    return text if is_number else FORMULA.sub(r"\1'", text)


class Export(ExportPlugin):
    """nbgrader's table of grades with two columns more: how far grading came, and why.

    In use: `nbgrader export --exporter=course_lib.grading.reports.Export --to=grades.csv`. nbgrader's own
    table shows 0.0 both for nothing right and for never graded.
    """

    def export(self, gradebook: Gradebook) -> None:
        """Write the table to the file that `--to` names, or grades.csv."""
        with open(self.to or "grades.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(GRADES)
            for assignment in gradebook.assignments:
                if self.assignment and assignment.name not in self.assignment:
                    continue
                outcomes = outcomes_of(gradebook, assignment.name)
                for student in sorted(gradebook.students, key=lambda student: student.id):
                    if self.student and student.id not in self.student:
                        continue
                    own = [outcome for outcome in outcomes if outcome.student == student.id]
                    row = [*_grades(gradebook, assignment, student), *_status(own)]
                    table.writerow([_harmless(text) for text in row])


def _grades(gradebook: Gradebook, assignment: Assignment, student: Student) -> list[object]:
    """What nbgrader's own table says of a student's assignment."""
    about = [student.id, student.last_name, student.first_name, student.email]
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:
        return [assignment.name, assignment.duedate, "", *about, 0.0, 0.0, 0.0, assignment.max_score]
    penalty = submission.late_submission_penalty or 0.0
    scores = [submission.score, penalty, max(0.0, submission.score - penalty), assignment.max_score]
    return [assignment.name, assignment.duedate, submission.timestamp, *about, *scores]


def _status(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Status and reason of all notebooks of a student."""
    if not outcomes:
        return Status.NOT_RUN, "no submission was graded"
    kinds = {outcome.status for outcome in outcomes}
    reasons = [(outcome.notebook, outcome.reason) for outcome in outcomes]
    for outcome in outcomes:
        waiting = sum(task.status == BY_HAND for task in outcome.tasks)
        reasons.append((outcome.notebook, f"{waiting} {BY_HAND}" if waiting else ""))
    reason = "; ".join(f"{notebook}: {text}" for notebook, text in reasons if text)
    if len(kinds) > 1:
        return ", ".join(f"{outcome.notebook}: {outcome.status}" for outcome in outcomes), reason
    return kinds.pop(), reason


# ----------------------------------------------------------------------------------------------- the summary


def summary(outcomes: Iterable[Outcome]) -> str:
    """What came of a batch, in words: how many of each status, how many have each task, who needs a look."""
    outcomes = sorted(outcomes, key=_place)
    counts = Counter(outcome.status for outcome in outcomes)
    lines = [f"{len(outcomes)} notebooks: " + ", ".join(f"{counts[kind]} {kind}" for kind in Status)]
    tasks = [(outcome.notebook, task) for outcome in outcomes for task in outcome.tasks]
    for place in dict.fromkeys((notebook, task.grade_id) for notebook, task in tasks):
        found = Counter(task.status for notebook, task in tasks if (notebook, task.grade_id) == place)
        counted = ", ".join(f"{n} {status}" for status, n in found.most_common())
        lines.append(f"  {place[0]}/{place[1]}: {counted}")
    for outcome in outcomes:
        if outcome.status != Status.GRADED or outcome.notes:
            about = "; ".join(map(one_line, outcome.notes)) or "no reason given"
            lines.append(f"{one_line(outcome.student)}, {outcome.notebook}: {outcome.status}: {about}")
    waiting = sum(task.status == BY_HAND for _, task in tasks)
    if waiting:
        lines.append(f"{waiting} answers wait for a person")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------- the pages


def feedback_page(released: Released, cells: Sequence[Cell], outcome: Outcome) -> tuple[str, Outcome]:
    """The feedback on one notebook as one HTML file, and the outcome as `graded` tells it.

    Args:
        cells: The learner's, as `graded.cells_of` gives them.
    """
    try:
        return _page(released, cells, outcome)
    except Exception as error:
        return _page(released, [], without_answers(outcome, error))


def _page(released: Released, cells: Sequence[Cell], outcome: Outcome) -> tuple[str, Outcome]:
    notebook, outcome = graded(released, cells, outcome)
    shown = [cell for cell in notebook.cells if cell.id != NOTES]  # what it says stands above the table
    notes = [f"<li>{html.escape(text)}</li>" for text in outcome.notes]
    places = _places(released, shown)
    body, _ = _exporter().from_notebook_node(NotebookNode(notebook, cells=shown))
    page = PAGE.format(
        title=html.escape(f"{outcome.assignment}: {outcome.notebook}"),
        style=STYLE,
        student=html.escape(outcome.student),
        score=outcome.score,
        max_score=outcome.max_score,
        status=html.escape(outcome.status),
        notes="<ul>{}</ul>".format("\n".join(notes)) if notes else "",
        rows="\n".join(_row(task, places) for task in outcome.tasks),
        body=bleach.clean(body, tags=TAGS, attributes=_is_harmless, protocols=PROTOCOLS),
    )
    return page, outcome


def _places(released: Released, cells: Sequence[NotebookNode]) -> dict[str, str]:
    """Where in the page the answer to each graded cell stands, by the cell's grade_id."""
    places = {grade_id(cell): f"#cell-id={cell.id}" for cell in cells if grade_id(cell)}
    answers = {test: places[answer] for answer, tests in released.tests_of.items() for test in tests}
    return places | answers


def _row(task: TaskOutcome, places: Mapping[str, str]) -> str:
    """A task in the table at the top."""
    sign, look = look_of(task)
    title = find_task(task.task).title if task.task in task_names() else task.grade_id
    place = html.escape(places.get(task.grade_id, "#"))
    return (
        f'<tr><td><a href="{place}">{html.escape(title)}</a></td>'
        f"<td>{task.points:g} of {task.max_points:g}</td>"
        f'<td class="{look}">{sign} {html.escape(task.status)}</td></tr>'
    )


@cache
def _exporter() -> HTMLExporter:
    """nbconvert's plainest pages, without any script."""
    quiet = {"exclude_input_prompt": True, "exclude_output_prompt": True, "exclude_anchor_links": True}
    return HTMLExporter(template_name="basic", **quiet)


def _is_harmless(tag: str, name: str, value: str) -> bool:
    """Whether a tag of a page may have an attribute: what a student's may have, looks, and a cell's id."""
    if name == "id":  # no text of a student has one
        return value.startswith("cell-id=")
    return name in ("class", "open") or may_have(tag, name, value)


def write_pages(
    out: Path, released: Mapping[str, Released], submissions: Iterable[tuple[Outcome, Sequence[Cell]]]
) -> list[Outcome]:
    """Write a feedback page for each outcome into a folder: STUDENT+NOTEBOOK.html.

    Args:
        released: The assignment's notebooks, by name.
        submissions: Each outcome with the learner's cells.
    Returns: the outcomes, which also say what the pages do not show in full.
    """
    told = []
    for outcome, cells in submissions:
        path = out / f"{outcome.student}+{in_page(outcome.notebook)}.html"
        if path.parent != out:
            raise ValueError(f"a student and a notebook should have names without a slash; got {path.name!r}")
        page, outcome = feedback_page(released[outcome.notebook], cells, outcome)
        write(path, page)
        told.append(outcome)
    return told
