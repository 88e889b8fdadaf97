"""What came of grading one notebook of one student: plain data that goes to a file and back.

Nothing in an outcome may hold a hidden input or an expected hidden value: all of it is shown to learners.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

MOST_NOTES, LONGEST_NOTE = 20, 500
TO_DO = (": look at it", "; run the command again")  # how reports end that somebody has to act on
BY_HAND = "to be graded by hand"  # the status of a task that waits for a person
GIVEN = "graded by hand"  # and when it waits no more


def one_line(text: str) -> str:
    """A text for a terminal: in one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


class Status(StrEnum):
    """How far grading a notebook came, whatever its score."""

    GRADED = "graded"
    TIMED_OUT = "timed out"
    UNREADABLE = "unreadable"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class TaskOutcome:
    """What one task got.

    Args:
        grade_id: Of the test cell ("test_softmax"); of a cell graded by hand its own.
        task: Name of the check ("03_qkv/softmax"); "" for a teacher's own test.
        points: What the task got, 0 to `max_points`.
        max_points: What it may get.
        status: "right", "wrong", "partly right", "right on the visible seed only", "not written", "missing",
            "timed out", "died", "not run", "to be graded by hand" or "graded by hand".
        sentence: What the learner's own check would say; no hidden input, no expected hidden value.
    """

    grade_id: str
    task: str
    points: float
    max_points: float
    status: str
    sentence: str


@dataclass(frozen=True)
class CellOutput:
    """What one cell printed.

    Args:
        cell_id: The cell's id in the submission.
        outputs: Outputs as nbformat stores them.
    """

    cell_id: str
    outputs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Outcome:
    """What one notebook of one student got.

    Args:
        student: As the submission's folder is called.
        assignment: As its folder is called ("03_qkv").
        notebook: Its file without .ipynb.
        status: How far grading came.
        reason: One sentence, "" where all is well: "timed out in task softmax".
        tasks: One for each graded cell of the source, in its order.
        reports: What a teacher should know: "the cell 'softmax' is there twice: the last one counts".
        cells: What the cells that ran printed, 1 MB in all.
        seconds: How long it took.
        digest: sha256 of the submission's bytes and of the source's; a second run compares it.
    """

    student: str
    assignment: str
    notebook: str
    status: Status = Status.GRADED
    reason: str = ""
    tasks: tuple[TaskOutcome, ...] = ()
    reports: tuple[str, ...] = ()
    cells: tuple[CellOutput, ...] = ()
    seconds: float = 0.0
    digest: str = ""

    @property
    def score(self) -> float:
        """Points of all tasks; those to be graded by hand count 0 until then."""
        return sum(task.points for task in self.tasks)

    @property
    def max_score(self) -> float:
        """What all tasks may get."""
        return sum(task.max_points for task in self.tasks)

    @property
    def notes(self) -> list[str]:
        """The reason and the reports, what there is to do first, as many and as long as people read."""
        reports = sorted(self.reports, key=lambda text: not text.endswith(TO_DO))
        notes = [text[:LONGEST_NOTE] for text in (self.reason, *reports) if text]
        more = len(notes) - MOST_NOTES
        return notes if more <= 0 else [*notes[:MOST_NOTES], f"and {more:,} reports more"]

    def to_json(self) -> str:
        """The outcome as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        """The outcome that `to_json` wrote.

        Raises: ValueError: the text is not an outcome, with the field that is wrong.
        """
        try:
            fields = json.loads(text)
            fields["status"] = Status(fields["status"])
            fields["tasks"] = tuple(TaskOutcome(**task) for task in fields["tasks"])
            fields["reports"] = tuple(fields["reports"])
            fields["cells"] = tuple(
                CellOutput(cell["cell_id"], tuple(cell["outputs"])) for cell in fields["cells"]
            )
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"an outcome was expected, as `to_json` writes it; got {text[:80]!r}: {error}"
            ) from None


ELSEWHERE = (
    "If they do so in a notebook, the test asks for what is not there where submissions are graded: "
    "what is, and what to write instead, stands in workshop/grading.md under 'Tests of your own'."
)


def must_be_right(source: Path, outcome: Outcome) -> None:
    """Refuse a source whose own answers do not get all points.

    Raises: ValueError: with the cell and what its test says.
    """
    for task in outcome.tasks:
        if task.status not in ("right", BY_HAND):
            why = task.sentence or outcome.reason or f"It is {task.status}."
            raise ValueError(
                f"The source's own answers should get all points; in {source} the cell {task.grade_id!r} "
                f"gets {task.points:g} of {task.max_points:g}. {why}\n{ELSEWHERE}"
            )
