"""A whole assignment from start to end: in nbgrader's course folder, or in a folder of notebooks.

Both take up where an earlier run stopped: what has an outcome and has not changed is not graded again.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from course_lib.grading import reports
from course_lib.grading.intake import handed_in
from course_lib.grading.intake.handed_in import Work
from course_lib.grading.intake.submission import Cell, Unreadable, hidden, read_bytes, read_cells
from course_lib.grading.judging.judge import digest_of, failed, not_run
from course_lib.grading.results.gradebook import Book
from course_lib.grading.results.graded import cells_of, release, settings, write
from course_lib.grading.results.outcome import Outcome, must_be_right, one_line

# Takes what is to be graded, gives what came.
Run = Callable[[Sequence[Work]], Generator[tuple[Work, Outcome], None, None]]
Item = TypeVar("Item", Work, Outcome)
ABSENT = "the submission has no such notebook"
CHANGED = "the file has changed since it was graded, and is not shown; run the command again"


@dataclass(frozen=True)
class Done:
    """What a run came to.

    Args:
        outcomes: all of them, also those of earlier runs.
        n_new: how many of them are new.
        notes: what a teacher should know beside them, in sentences.
    """

    outcomes: tuple[Outcome, ...]
    n_new: int
    notes: tuple[str, ...]


# ----------------------------------------------------------------------------------- nbgrader's course folder


def autograde(
    course: Path, assignment: str, run: Run, *, students: Sequence[str] = (), again: bool = False
) -> Done:
    """Grade what was collected into submitted/, and write it into nbgrader's grade book.

    Args:
        course: the folder with nbgrader_config.py.
        assignment: such as "03_qkv".
        run: grades what it is given.
        students: only these, all if empty.
        again: also what has not changed since it was graded; for another due date, for instance.
    Raises:
        ValueError: nothing was submitted, a student has not, the source's own answers do not get all points,
            or `Book` refuses. Then nothing was graded.
        OSError, CannotStart: as `_record` and `run`. What was graded before is kept.
    """
    with Book(course, assignment) as book:
        sources = sorted(book.source.glob("*.ipynb"))
        folder = Path(book.folders.root) / book.folders.submitted_directory
        found, left_out = _parted(handed_in.in_course(folder, assignment, sources))
        there = {work.student for work in found}
        unknown = sorted(set(students) - there)
        if unknown or not there:
            missing = ", ".join(unknown) or "anybody"
            problem = f"{folder} should have a folder {assignment} of {missing}; collect first"
            raise ValueError("\n".join([problem, *left_out]))
        works = [work for work in found if not students or work.student in students]
        works = works if again else _ungraded(works, book.recorded())
        waiting = Counter(work.student for work in works)
        collected: dict[str, list[Outcome]] = {}
        lost: list[str] = []
        for work, outcome in _graded(works, run):
            collected.setdefault(work.student, []).append(outcome)
            if len(collected[work.student]) == waiting[work.student]:
                lost += _record(book, collected.pop(work.student))
        notes = [*left_out, *lost, *_unhidden(sources), *_changed(book.changes, students), *book.by_hand()]
        return Done(tuple(book.outcomes()), len(works), tuple(notes))


def _parted(found: Iterable[Item | str]) -> tuple[list[Item], list[str]]:
    """Works or outcomes, and the sentences between them."""
    items: list[Item] = []
    said: list[str] = []
    for item in found:
        if isinstance(item, str):
            said.append(item)
        else:
            items.append(item)
    return items, said


def _changed(changes: Sequence[str], students: Sequence[str]) -> list[str]:
    """A sentence on changes of the source since some were graded."""
    who = f"only {', '.join(students)}; the others at the next run without --student" if students else "all"
    return [f"The source has changed: {'; '.join(changes)}. Graded anew: {who}."] if changes else []


def _record(book: Book, outcomes: Sequence[Outcome]) -> list[str]:
    """Write one student's outcomes down.

    Returns: a sentence where that cannot be done.
    Raises: OSError: no room, no right, or another program keeps the grade book: this is not the student's.
    """
    try:
        book.record(outcomes)
    except OSError:
        raise
    except Exception as error:
        return [f"Not in the grade book: {handed_in.shown(outcomes[0].student)}: {failed(error)}."]
    return []


def _unhidden(sources: Sequence[Path]) -> list[str]:
    """A sentence on notebooks whose tests are all shown to learners, as in a release."""
    cells = {path.stem: read_cells(path.read_bytes()) for path in sources}
    names = [name for name, found in cells.items() if not any(hidden(cell.source) for cell in found)]
    alone = "Without hidden tests, so that the visible checks alone decide"
    return [f"{alone}: {', '.join(names)}"] if names else []


def digest(work: Work) -> str:
    """What a submission and its source are now; "" for one that cannot be read."""
    try:
        return digest_of(work.source.read_bytes(), read_bytes(work.path))
    except (Unreadable, OSError):
        return ""


def _ungraded(works: Sequence[Work], digests: Mapping[tuple[str, str], str]) -> list[Work]:
    """Those that were not graded as they are now.

    Args:
        digests: of the outcomes that there are, by student and notebook.
    """
    return [
        work for work in works if digests.get((work.student, work.source.stem)) != (digest(work) or "none")
    ]


def _graded(works: Sequence[Work], run: Run) -> Iterator[tuple[Work, Outcome]]:
    """Outcomes of all, of those that are not there too.

    The sources are graded first, as if they were submissions: no outcome comes before they have all points.

    Raises: ValueError: as `must_be_right`.
    """
    present = [work for work in works if os.path.lexists(work.path)]
    sources = dict.fromkeys(work.source for work in present)
    waiting = [Work("the source", source, source) for source in sources]
    ready = [
        (work, not_run(work.student, work.source, ABSENT)) for work in works if not os.path.lexists(work.path)
    ]
    graded = run([*waiting, *present])
    try:
        while waiting:
            work, outcome = next(graded)
            if work in waiting:
                must_be_right(work.source, outcome)
                waiting.remove(work)
            else:
                ready.append((work, outcome))
    except BaseException:
        graded.close()  # and with it what it has started
        raise
    return itertools.chain(ready, graded)


# -------------------------------------------------------------------------------------- a folder of notebooks


def grade_folder(source: Path, submissions: Path, out: Path, run: Run) -> Done:
    """Grade notebooks in a folder: a table, a summary and feedback pages come out.

    Args:
        source: the teacher's notebook, or a folder of them.
        submissions: STUDENT.ipynb for one notebook, or STUDENT/NOTEBOOK.ipynb.
        out: gets grades.csv, summary.txt, feedback/ and outcomes.jsonl, from which a second run goes on.
    Raises: ValueError: the source or the submissions have no notebook, `out` is within the submissions, or
        the source's own answers do not get all points.
    """
    sources = sorted(source.glob("*.ipynb")) if source.is_dir() else [source]
    if not sources or not all(path.is_file() for path in sources):
        raise ValueError(f"the source should be a notebook or a folder of notebooks; {source} is neither")
    if out.resolve().is_relative_to(submissions.resolve()):
        raise ValueError(f"what comes out should stand outside the submissions {submissions}; got {out}")
    works, left_out = _parted(handed_in.in_folder(submissions, sources))
    if not any(os.path.lexists(work.path) for work in works):
        problem = f"{submissions} should have STUDENT.ipynb or STUDENT/{sources[0].name}; it has neither"
        raise ValueError("\n".join([problem, *left_out]))
    config = settings(Path())  # of the folder that the command runs in, as nbgrader does
    released = {path.stem: release(path, config) for path in sources}
    journal = out / "outcomes.jsonl"
    before, damaged = _parted(_read(journal))
    kept = {(outcome.student, outcome.notebook): outcome for outcome in before}
    new = _ungraded(works, {place: outcome.digest for place, outcome in kept.items()})
    graded = _graded(new, run)
    out.mkdir(parents=True, exist_ok=True)
    is_cut_off = journal.exists() and not journal.read_bytes().endswith(b"\n")
    with open(journal, "a", encoding="utf-8") as file:
        file.write("\n" * is_cut_off)  # of a run that was killed
        for work, outcome in graded:
            kept[work.student, work.source.stem] = outcome
            file.write(outcome.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
    notes = (*damaged, *left_out, *_unhidden(sources))
    as_graded = (_as_graded(work, kept[work.student, work.source.stem]) for work in works)  # one at a time
    outcomes = reports.write_pages(out / "feedback", released, as_graded)
    write(out / "grades.csv", reports.as_csv(outcomes))
    write(out / "summary.txt", "\n".join([reports.summary(outcomes).rstrip(), *map(one_line, notes), ""]))
    return Done(tuple(outcomes), len(new), notes)


def _as_graded(work: Work, outcome: Outcome) -> tuple[Outcome, list[Cell]]:
    """An outcome and the cells that it is about; none where the file is another one now."""
    if outcome.digest in ("", digest(work)):
        return outcome, cells_of(work.path)
    return replace(outcome, reports=(*outcome.reports, CHANGED)), []


def _read(path: Path) -> Iterator[Outcome | str]:
    """The outcomes of earlier runs, and a sentence for a damaged one; a line that was cut off is none."""
    if path.exists():
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            try:
                yield Outcome.from_json(line.decode("utf-8"))
            except UnicodeDecodeError:
                place = handed_in.shown(path)
                yield f"Line {number} of {place} is damaged. What it was about was graded again."
            except ValueError:
                continue
