"""nbgrader's grade book, written one submission at a time: all of it, or nothing.

nbgrader's own methods commit after each step. Here a step is only sent to the database, and one commit ends
the submission, so that a machine that stops midway leaves no half-graded student behind. Beside nbgrader's
tables stands one of ours, `course_outcome`: how far grading came and why, which nbgrader has no place for.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from nbgrader import dbutil, utils
from nbgrader.api import Assignment, Grade, Gradebook, Notebook, SubmittedAssignment, SubmittedNotebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy import (
    Column,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from course_lib.grading.intake.submission import Unreadable, read_bytes
from course_lib.grading.results.graded import (
    Released,
    cells_of,
    grade_id,
    graded,
    release,
    settings,
    verbatim,
    write,
    write_notebook,
)
from course_lib.grading.results.outcome import BY_HAND, GIVEN, Outcome, TaskOutcome
from course_lib.grading.walls.leftovers import alone

PATIENCE_S = 60  # for another program, such as formgrader, that is writing to the grade book
KEY = ("assignment", "notebook", "student")
SECRET, MOST_SECRET = "submission_secret.txt", 1000  # bytes; nbgrader's has 64
NO_TIME = "timestamp.txt says no time: it counts as never late"
KEEP = "keep what learners got, or start a new grade book: points given by hand are in the old one alone"
OUTCOMES = Table(
    "course_outcome",
    MetaData(),
    *(Column(name, String(128), primary_key=True) for name in KEY),
    Column("status", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("outcome", Text, nullable=False),  # as JSON, without what the cells printed
)


class _Held(Session):
    """A session in which nbgrader's many commits only send, and `finish` commits."""

    def commit(self) -> None:
        """Send what was changed, within the transaction."""
        self.flush()

    def finish(self) -> None:
        """Commit everything since the last time."""
        super().commit()


def open_gradebook(db_url: str, course_id: str) -> Gradebook:
    """nbgrader's grade book, made where it is not there yet, with a session that holds its commits.

    Raises: ValueError: it cannot be opened, because its folder may not be written to, for instance.
    """
    if db_url.startswith("sqlite:") and "?" not in db_url:
        db_url = f"{db_url}?timeout={PATIENCE_S}"
    try:
        _enter_version(db_url)
    except OperationalError as error:
        name = make_url(db_url).render_as_string()  # without a password
        raise ValueError(
            f"the grade book {name} cannot be opened: {error.orig}; may you write to it and its folder?"
        ) from error
    gradebook = Gradebook(db_url, course_id)
    OUTCOMES.create(gradebook.engine, checkfirst=True)
    gradebook.db.remove()
    gradebook.db = scoped_session(sessionmaker(class_=_Held, bind=gradebook.engine))
    return gradebook


def _enter_version(db_url: str) -> None:
    """Enter into a new grade book which version of nbgrader's tables it has, before it has any of them.

    nbgrader does so seconds after it has made them, by another program. A run that was killed between the two
    would leave a grade book of no version, which `nbgrader db upgrade` cannot bring up to date.
    """
    engine = create_engine(db_url)
    with engine.begin() as connection:
        if set(inspect(connection).get_table_names()) <= {"alembic_version"}:
            MigrationContext.configure(connection).stamp(ScriptDirectory(dbutil.ALEMBIC_DIR), "head")
    engine.dispose()


class Book:
    """One assignment in the grade book of a course folder.

    Args:
        course: The folder, with nbgrader_config.py where it has one.
        assignment: As its folder in the source is called ("03_qkv").
    Raises: ValueError: the assignment is no folder's name, the source has no notebook that can be read, the
        grade book cannot be opened, or it has grades and the source has other cells.
    """

    def __init__(self, course: Path, assignment: str) -> None:
        if Path(assignment).name != assignment:
            raise ValueError(
                f"the assignment should be a folder's name alone, such as 03_qkv; got {assignment}"
            )
        self.config = settings(course)
        self.assignment = assignment
        self.folders = CourseDirectory(config=self.config)
        self.source = self.folder(self.folders.source_directory, ".")
        paths = sorted(self.source.glob("*.ipynb"))
        if not paths:
            there = sorted({path.parent.name for path in self.source.parent.glob("*/*.ipynb")})
            others = f"beside it are {', '.join(there)}" if there else "nor has any folder beside it"
            no_course = f"; {course.resolve()} has no nbgrader_config.py: is it the course folder?"
            raise ValueError(
                f"the source of {assignment} should have notebooks; {self.source} has none, {others}"
                + no_course * (not (course / "nbgrader_config.py").exists())
            )
        self.released = {path.stem: release(path, self.config) for path in paths}
        self.changes: list[str] = []  # of tests and points, since the first was graded
        with alone(course):  # two runs would make the tables of a new one twice
            self.gradebook = open_gradebook(self.folders.db_url, self.folders.course_id)
        self._penalties = AssignLatePenalties(config=self.config)
        self._penalties.init_plugin()
        try:
            with self._transaction():
                self._prepare()
        except BaseException:
            self.gradebook.close()
            raise

    def __enter__(self) -> "Book":
        return self

    def __exit__(self, *error: object) -> None:
        self.gradebook.close()

    def folder(self, step: str, student: str) -> Path:
        """The assignment's folder in one of nbgrader's steps ("autograded")."""
        return Path(self.folders.format_path(step, student, self.assignment))

    # ----------------------------------------------------------------------------------------- the assignment

    @contextmanager
    def _transaction(self) -> Iterator[_Held]:
        """All changes of a block in one commit, none where it raises.

        Raises: OSError: the grade book cannot be written: no room, or another program keeps it.
        """
        try:
            session: _Held = self.gradebook.db()
            if self.gradebook.engine.dialect.name == "sqlite":
                session.execute(
                    text("BEGIN IMMEDIATE")
                )  # wait here: nbgrader logs tracebacks where it has to
            yield session
            session.finish()
        except OperationalError as error:
            raise OSError(f"The grade book cannot be written: {error.orig}.") from error
        finally:
            self.gradebook.db.remove()  # and with it what was not committed

    def _prepare(self) -> None:
        """Enter the assignment, its notebooks and cells where they are not there; note what has changed."""
        book = self.gradebook
        assignment = book.update_or_create_assignment(self.assignment)
        before = {notebook.name: _tests(notebook) for notebook in assignment.notebooks}
        for notebook in list(assignment.notebooks):
            entered, wanted = _entered(notebook), _cells(self.released.get(notebook.name))
            if assignment.submissions:
                self._keep(notebook.name, entered, wanted)
            elif entered != wanted:
                book.remove_notebook(notebook.name, self.assignment)
        book.db.expire_all()
        new = self.released.keys() - {notebook.name for notebook in assignment.notebooks}
        if new and assignment.submissions:
            raise ValueError(
                f"the grade book has grades for {self.assignment} without {', '.join(sorted(new))}; {KEEP}"
            )
        for name, released in self.released.items():
            book.update_or_create_notebook(name, self.assignment)
            self._enter(name, released)
        book.db.expire_all()
        if assignment.submissions:
            after = {notebook.name: _tests(notebook) for notebook in assignment.notebooks}
            self.changes = [text for name in before for text in _changes(name, before[name], after[name])]
            _add_grades(assignment)

    def _keep(self, notebook: str, entered: list[set[str]], wanted: list[set[str]]) -> None:
        """Refuse other cells than those that have grades; tests may be added.

        Raises: ValueError: a cell is gone, or one that learners fill in is new.
        """
        gone = set().union(*entered) - set().union(*wanted)
        new = set().union(*wanted[1:]) - set().union(*entered[1:])
        if gone or new:
            words = {"gone": gone, "new": new}
            which = "; ".join(f"{word}: {', '.join(sorted(names))}" for word, names in words.items() if names)
            raise ValueError(
                f"the grade book has grades for {self.assignment}/{notebook} with other cells "
                f"than {self.source} ({which}); {KEEP}"
            )

    def _enter(self, notebook: str, released: Released) -> None:
        """Enter the cells of a notebook."""
        book, place = self.gradebook, (notebook, self.assignment)
        for cell in released.saved.cells:
            name = grade_id(cell)
            if not name:
                continue
            marks = cell.metadata.nbgrader
            if utils.is_grade(cell) or utils.is_task(cell):
                points = {"max_score": float(marks["points"]), "cell_type": cell.cell_type}
            if utils.is_grade(cell):
                book.update_or_create_grade_cell(name, *place, **points)
            if utils.is_solution(cell):
                book.update_or_create_solution_cell(name, *place)
            if utils.is_task(cell):
                book.update_or_create_task_cell(name, *place, **points)
            known = {"source": cell.source, "checksum": marks.get("checksum")}
            book.update_or_create_source_cell(
                name, *place, cell_type=cell.cell_type, locked=utils.is_locked(cell), **known
            )

    # ------------------------------------------------------------------------------------------- a submission

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Write what one submission got: its notebooks in autograded/, then its grades in one transaction.

        A person's scores and comments stay; a score of theirs waits for another look where the submission has
        changed since.

        Args:
            outcomes: Of one student, also of what was not handed in; those that are not among them stay.
        Raises:
            ValueError: the outcomes are of several students, of another assignment, or name cells that the
                source does not have.
            OSError: no room or no right to write, or another program keeps the grade book.
        """
        student = self._student(outcomes)
        told = []
        submitted = self.folder(self.folders.submitted_directory, student)
        autograded = self.folder(self.folders.autograded_directory, student)
        stamp = _timestamp(submitted / "timestamp.txt")
        no_time = (NO_TIME,) if stamp is None and os.path.lexists(submitted / "timestamp.txt") else ()
        for outcome in outcomes:
            cells = cells_of(submitted / f"{outcome.notebook}.ipynb")
            outcome = replace(outcome, reports=(*outcome.reports, *no_time))
            shown, with_notes = graded(self.released[outcome.notebook], cells, outcome)
            told.append(with_notes)
            write_notebook(autograded / f"{outcome.notebook}.ipynb", shown)
        if stamp is not None:
            write(autograded / "timestamp.txt", f"{stamp.isoformat(' ')} UTC\n")
        with suppress(Unreadable):  # of what came through the exchange: `nbgrader release_feedback` needs it
            secret = read_bytes(submitted / SECRET)[:MOST_SECRET]
            write(autograded / SECRET, secret.decode("utf-8", "replace"))
        with self._transaction() as session:
            self.gradebook.update_or_create_student(student)
            with session.no_autoflush:  # nbgrader builds the submission piece by piece
                entry = self.gradebook.update_or_create_submission(self.assignment, student, timestamp=stamp)
            by_name = {outcome.notebook: outcome for outcome in outcomes}
            for notebook in entry.notebooks:
                if notebook.name in by_name:
                    self._grade(notebook, by_name[notebook.name])
            session.flush()
            for notebook in entry.notebooks:
                self._penalty(entry, notebook)
            for outcome in told:
                note(session, outcome)

    def _student(self, outcomes: Sequence[Outcome]) -> str:
        """Whose outcomes these are.

        Raises: ValueError: as `record`.
        """
        students = {outcome.student for outcome in outcomes}
        others = {outcome.assignment for outcome in outcomes} - {self.assignment}
        if len(students) != 1 or others:
            came = ", ".join(f"{outcome.student}'s {outcome.assignment}" for outcome in outcomes)
            raise ValueError(f"expected outcomes of {self.assignment} of one student; got {came or 'none'}")
        for outcome in outcomes:
            if outcome.notebook not in self.released:
                raise ValueError(f"{self.source} has no notebook {outcome.notebook!r}")
            known = {grade_id(cell) for cell in self.released[outcome.notebook].shown.cells}
            unknown = {task.grade_id for task in outcome.tasks} - known
            if unknown:
                raise ValueError(f"{outcome.notebook} has no test cell {', '.join(sorted(unknown))}")
        return students.pop()

    def _grade(self, notebook: SubmittedNotebook, outcome: Outcome) -> None:
        """Enter the grades and comments of one notebook."""
        tasks = {task.grade_id: task for task in outcome.tasks}
        names = {cell.id: cell.name for cell in notebook.notebook._base_cells}
        changed = self._digest(outcome) != outcome.digest
        for grade in notebook.grades:
            task = tasks.get(names[grade.cell_id])
            by_hand = task is not None and task.status == BY_HAND
            grade.auto_score = None if by_hand else (task.points if task else 0.0)
            if grade.manual_score is None or changed:
                grade.needs_manual_grade = by_hand or grade.manual_score is not None
        tests_of = self.released[outcome.notebook].tests_of
        for comment in notebook.comments:
            name = names[comment.cell_id]
            about = dict.fromkeys([*tests_of.get(name, []), name])
            # Inputs and numbers stand below the test: here only what is wrong.
            sentences = [tasks[name].sentence.partition("\n\n")[0] for name in about if name in tasks]
            comment.auto_comment = verbatim("\n\n".join(filter(None, sentences))) or None

    def _digest(self, outcome: Outcome) -> str | None:
        """The digest of the outcome that is recorded in this one's place."""
        key = {name: getattr(outcome, name) for name in KEY}
        digest: str | None = self.gradebook.db.scalar(select(OUTCOMES.c.digest).filter_by(**key))
        return digest

    def _penalty(self, entry: SubmittedAssignment, notebook: SubmittedNotebook) -> None:
        """Enter the penalty of a late notebook, by nbgrader's plugin."""
        notebook.late_submission_penalty = None
        late = entry.total_seconds_late
        if late > 0:
            score = notebook.score
            penalty = self._penalties.plugin_inst.late_submission_penalty(entry.student.id, score, late)
            if penalty is not None:
                notebook.late_submission_penalty = min(max(penalty, 0), score)

    # -------------------------------------------------------------------------------------- what is in there

    def recorded(self) -> dict[tuple[str, str], str]:
        """The digest of each outcome, by student and notebook."""
        rows = select(OUTCOMES.c.student, OUTCOMES.c.notebook, OUTCOMES.c.digest)
        found = self.gradebook.db.execute(rows.filter_by(assignment=self.assignment))
        return {(row.student, row.notebook): row.digest for row in found}

    def by_hand(self) -> list[str]:
        """What there is to know about points that a person gave, in sentences."""
        given = self.gradebook.db.scalars(select(Grade).where(Grade.manual_score.is_not(None))).all()
        own = [grade for grade in given if grade.assignment.name == self.assignment]
        waiting = sorted(_whose(grade) for grade in own if grade.needs_manual_grade)
        above = sorted(_whose(grade) for grade in own if grade.manual_score > grade.cell.max_score)
        found = {
            "Points given by hand stay, and wait for another look, since answer or test has changed": waiting,
            "Points given by hand are more than the cell has now": above,
        }
        return [f"{words}: {', '.join(whose)}." for words, whose in found.items() if whose]

    def outcomes(self) -> list[Outcome]:
        """All outcomes of the assignment, without what the cells printed, by student and notebook."""
        return outcomes_of(self.gradebook, self.assignment)


# ------------------------------------------------------------------------------------------------ small parts


def note(session: Session, outcome: Outcome) -> None:
    """Enter the status of an outcome into our own table, in place of an earlier one."""
    key = {name: getattr(outcome, name) for name in KEY}
    session.execute(delete(OUTCOMES).filter_by(**key))
    row = {"status": outcome.status, "reason": outcome.reason, "digest": outcome.digest}
    line = replace(outcome, cells=()).to_json()
    session.execute(insert(OUTCOMES).values(**key, **row, outcome=line))


def outcomes_of(gradebook: Gradebook, assignment: str) -> list[Outcome]:
    """All outcomes of an assignment, as `Book.outcomes`; none where this grade book has never had one.

    A task that a person has graded has that person's points.
    """
    OUTCOMES.create(gradebook.engine, checkfirst=True)
    rows = select(OUTCOMES.c.outcome).filter_by(assignment=assignment)
    found = gradebook.db.scalars(rows.order_by(OUTCOMES.c.student, OUTCOMES.c.notebook))
    given = {
        (grade.student.id, grade.notebook.name, grade.name): grade.score
        for grade in gradebook.db.scalars(select(Grade).where(Grade.manual_score.is_not(None)))
        if grade.assignment.name == assignment and not grade.needs_manual_grade
    }

    def now(outcome: Outcome, task: TaskOutcome) -> TaskOutcome:
        place = outcome.student, outcome.notebook, task.grade_id
        is_given = task.status == BY_HAND and place in given
        return replace(task, status=GIVEN, points=given[place]) if is_given else task

    outcomes = map(Outcome.from_json, found)
    return [replace(one, tasks=tuple(now(one, task) for task in one.tasks)) for one in outcomes]


def _whose(grade: Grade) -> str:
    """Whose grade it is, and of which cell."""
    return f"{grade.student.id} ({grade.notebook.name}/{grade.cell.name})"


def _tests(notebook: Notebook) -> dict[str, tuple[float, str]]:
    """The highest score and the source of each graded cell of a notebook in the grade book."""
    sources = {cell.name: cell.source for cell in notebook.source_cells}
    cells = [*notebook.grade_cells, *notebook.task_cells]
    return {cell.name: (cell.max_score, sources.get(cell.name, "")) for cell in cells}


def _changes(
    notebook: str, before: Mapping[str, tuple[float, str]], after: Mapping[str, tuple[float, str]]
) -> Iterator[str]:
    """What has changed of the graded cells of a notebook, in words."""
    for name, (points, source) in after.items():
        if name not in before:
            yield f"{notebook}/{name} is new, with a maximum of {points:g}"
        elif before[name][0] != points:
            yield f"{notebook}/{name} has a maximum of {points:g}, before {before[name][0]:g}"
        elif before[name][1] != source:
            yield f"{notebook}/{name} reads differently"


def _add_grades(assignment: Assignment) -> None:
    """Give submissions that are in the grade book a place for the grades of tests that are new."""
    for submission in assignment.submissions:
        for notebook in submission.notebooks:
            known = {grade.cell_id for grade in notebook.grades}
            for cell in notebook.notebook.grade_cells:
                if cell.id not in known:
                    notebook.grades.append(Grade(cell_id=cell.id))


def _cells(released: Released | None) -> list[set[str]]:
    """The names of the grade, solution and task cells of a source notebook."""
    cells = [cell for cell in released.saved.cells if grade_id(cell)] if released else []
    kinds = (utils.is_grade, utils.is_solution, utils.is_task)
    return [{grade_id(cell) for cell in cells if is_kind(cell)} for is_kind in kinds]


def _entered(notebook: Notebook) -> list[set[str]]:
    """The same of a notebook in the grade book."""
    kinds = (notebook.grade_cells, notebook.solution_cells, notebook.task_cells)
    return [{cell.name for cell in cells} for cells in kinds]


def _timestamp(path: Path) -> datetime | None:
    """When a submission was handed in, in UTC; None where its timestamp.txt does not say it."""
    try:
        text = read_bytes(path).decode("utf-8").strip()
        return utils.parse_utc(text[:100] or None)
    except (ValueError, ArithmeticError):
        return None
