"""Grade one notebook of one student: run its cells in the sandbox, judge what they define.

    with Grader(Path("solutions/03_qkv/attention_by_hand.ipynb")) as grader:
        outcome = grader.grade("ada", Path("submitted/ada/03_qkv/attention_by_hand.ipynb"))

A test cell of the source that only calls `check` runs here: a learner's functions are called in the sandbox,
and what comes back is compared here. A test of a teacher's own runs in a sandbox of its own (`bench`).
"""

import ast
import dataclasses
import functools
import hashlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle

from course_lib.checks import CheckFailed, find_task
from course_lib.checks.engine import examine, prepare
from course_lib.checks.kinds import Case, Result, Task
from course_lib.checks.show import as_text
from course_lib.grading.intake.given import compiled, files_named, given, points_of, seeds
from course_lib.grading.intake.names import is_python, names_bound, names_checked, nodes_of, python_of
from course_lib.grading.intake.refused import refused
from course_lib.grading.intake.submission import (
    MOST_CODE,
    Cell,
    Run,
    Test,
    Unreadable,
    behind_hidden,
    hidden,
    is_own_test,
    plan,
    read_bytes,
    read_cells,
    released,
    unwritten,
)
from course_lib.grading.judging.own_tests import OwnTest, Said
from course_lib.grading.judging.session import Remote, Seconds, Session, Zygote
from course_lib.grading.judging.ways_round import ways_round
from course_lib.grading.pipe.calls import DEAD, Died, TimeOver
from course_lib.grading.pipe.travel import Specs
from course_lib.grading.results.outcome import CellOutput, Outcome, Status, TaskOutcome
from course_lib.grading.walls import sandbox, share
from course_lib.grading.walls.engines import Engine, choose

HIDDEN_ONLY = (
    "It passes the visible check, but not the same check with other numbers and other sizes: does it depend "
    "on the inputs that the visible check gives, or on their order?"
)
OWN_TEST_S = 10.0  # for each part of a teacher's own test, apart from checks
MOST_SAID = 500  # characters of an error
REWRITTEN = (
    "Its answers change {}, of which the test has its own: let an answer's cell define it, or return it"
)
TEST_DIED = "The process of this test has ended: out of memory, or by itself."


class CannotStart(RuntimeError):
    """The process that submissions are forked from cannot be started, whoever's submission it is for."""


class Grader:
    """Grades submissions of one notebook, one after the other.

    Args:
        source: the teacher's notebook, with solutions and hidden tests.
        engine: the kind of isolation; without it the best that this machine has.
        limits: of memory, processes and files.
        seconds: limits of time.
    Raises: NoIsolation: this machine has none; the message says what to do.
    """

    def __init__(
        self,
        source: Path,
        *,
        engine: Engine | None = None,
        limits: sandbox.Limits | None = None,
        seconds: Seconds | None = None,
    ) -> None:
        self.source = source
        self.content = source.read_bytes()
        self.cells = read_cells(self.content)
        self.seconds = seconds or Seconds()
        self.engine = engine or choose()
        self.limits = limits or sandbox.Limits()
        self.seeds = seeds(self.cells)
        self.specs = Specs()
        self.zygote: Zygote | None = None
        self.seen: dict[str, dict[str, bool]] = {}  # see `Far`, for each test of a teacher's own
        self.moved: dict[str, set[str]] = {}  # by test, what the source's own answers move, see `_state`
        self.tests: Zygote | None = None  # for teachers' own tests
        self._given: dict[str, tuple[bytes, set[str]]] = {}

    def __enter__(self) -> "Grader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that children are forked from."""
        for zygote in filter(None, (self.zygote, self.tests)):
            zygote.close()
        self.zygote = self.tests = None

    def grade(self, student: str, path: Path) -> Outcome:
        """Grade one submission; whatever it contains, an outcome comes back.

        Raises: CannotStart: no submission of this notebook can be run.
        """
        start = time.monotonic()
        whole = _empty(student, self.source)
        try:
            content = read_bytes(path)
            whole = dataclasses.replace(whole, digest=digest_of(self.content, content))
            cells = read_cells(content)
        except Unreadable as error:
            tasks = tuple(told(cell, "not run", "The notebook could not be read.") for cell in self.graded())
            return dataclasses.replace(whole, status=Status.UNREADABLE, reason=f"{error}.", tasks=tasks)
        try:
            if path != self.source and not self.seen and any(map(is_own_test, self.graded())):
                own = Grading(self, self.cells, is_source=True).outcome(whole)
                if not self.seen:
                    return _not_run(whole, self.graded(), f"the source's own answers {own.reason}")
            graded = Grading(self, cells, is_source=path == self.source).outcome(whole)
        except CannotStart:
            raise
        except Exception as error:  # a mistake of ours, or a machine in trouble: this one has to be run again
            self.close()
            graded = _not_run(whole, self.graded(), failed(error))
        return dataclasses.replace(graded, seconds=round(time.monotonic() - start, 3))

    def graded(self) -> list[Cell]:
        """The cells of the source that carry points, in their order."""
        return [cell for cell in self.cells if cell.grade]

    def alive(self) -> Zygote:
        """The process that submissions are forked from; a new one where it is gone.

        Raises: CannotStart: it cannot be started.
        """
        self.zygote = self._living(self.zygote, self._needs)
        return self.zygote

    def for_tests(self) -> Zygote:
        """The same for teachers' own tests, which may import all of the course.

        Raises: CannotStart: it cannot be started.
        """
        self.tests = self._living(self.tests, self._needs_of_tests)
        return self.tests

    def _living(self, zygote: Zygote | None, needs: Callable[[], dict[str, Any]]) -> Zygote:
        if zygote is not None and zygote.process.poll() is None:
            return zygote
        if zygote is not None:
            zygote.close()
        try:
            return Zygote(**needs(), engine=self.engine, limits=self.limits)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise CannotStart(f"what runs submissions of {self.source} cannot start: {why}") from error

    def _needs(self) -> dict[str, Any]:
        """What submissions may import of the course, what is imported for them beforehand, visible cases."""
        code = [python_of(cell.source) for cell in self.cells if cell.kind == "code" and not cell.is_test]
        imported = {name for text in code if is_python(text) for name in share.imports_of(text)}
        specs = [self.specs.of(task, case) for task in self._tasks() for case in _cases(task)]
        imported |= {name for pickled in specs for name in share.modules_in(pickled)}
        modules = ["numpy", "matplotlib_inline.backend_inline"]
        if "torch" in self.content.decode() or ("torch" in sys.modules and any(b"torch" in s for s in specs)):
            modules.append("torch")
        modules += sorted(share.needed(imported))
        beside = self.beside(for_tests=False)
        return {"imported": imported, "beside": beside, "modules": modules, "specs": specs}

    def _needs_of_tests(self) -> dict[str, Any]:
        """The same for tests: what the source imports is there."""
        nodes = [node for cell in self.cells if cell.kind == "code" for node in nodes_of(cell.source)]
        wished = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        wished += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
        torch = ["torch"] if "torch" in self.content.decode() else []
        modules = ["numpy", *torch, "course_lib.grading.judging.bench"]
        needs = {"imported": None, "beside": self.beside(), "modules": modules, "specs": []}
        return {**needs, "wished": list(dict.fromkeys(wished))}

    def beside(self, for_tests: bool = True) -> dict[str, Path]:
        """The files beside the source that its cells name; for submissions without those that tests name."""
        return files_named([cell for cell in self.cells if for_tests or not cell.is_test], self.source.parent)

    def _tasks(self) -> list[Task]:
        """The tasks that the tests of the source check."""
        names = [
            node.args[0].value
            for cell in self.cells
            if cell.is_test
            for node in nodes_of(cell.source)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "check"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ]
        return [find_task(str(name)) for name in dict.fromkeys(names)]

    def imported(self) -> set[str]:
        """The names that the source's own cells import."""
        nodes = (node for cell in self.cells if cell.kind == "code" for node in nodes_of(cell.source))
        imports = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
        return set().union(*map(names_bound, imports))

    def given(self, test: Cell) -> tuple[bytes, set[str]]:
        """What a test of the source may use, packed; and the names that the source gives it."""
        if test.grade_id not in self._given:
            found = given(self.cells, test)
            self._given[test.grade_id] = cloudpickle.dumps(found), set(found.statements)
        return self._given[test.grade_id]


def _name(cell: Cell) -> str:
    """What a teacher finds a cell by."""
    return cell.grade_id or cell.id


def told(cell: Cell, status: str, sentence: str = "", points: float = 0.0, task: str = "") -> TaskOutcome:
    """The outcome of a task; a learner's words in the sentence may hold what no file can."""
    clean = sentence.encode("utf-8", "replace").decode()
    return TaskOutcome(cell.grade_id, task, points, cell.points, status, clean)


def digest_of(source: bytes, submission: bytes) -> str:
    """Tells whether a submission and its source are still what they were."""
    return hashlib.sha256(hashlib.sha256(source).digest() + submission).hexdigest()


def _empty(student: str, source: Path) -> Outcome:
    return Outcome(student, assignment=source.parent.name, notebook=source.stem)


def failed(error: BaseException) -> str:
    """Why a submission has no grade where the grader is at fault."""
    words = f"the grader failed: {type(error).__name__}: {error}"[:300]
    return words.encode("utf-8", "backslashreplace").decode("utf-8")


def not_run(student: str, source: Path, reason: str) -> Outcome:
    """The outcome of a submission that could not be graded."""
    graded = [cell for cell in read_cells(source.read_bytes()) if cell.grade]
    return _not_run(_empty(student, source), graded, reason)


def _not_run(whole: Outcome, graded: list[Cell], reason: str) -> Outcome:
    tasks = tuple(told(cell, "not run") for cell in graded)
    return dataclasses.replace(whole, status=Status.NOT_RUN, reason=reason, tasks=tasks, digest="")


def _cases(task: Task) -> list[Case]:
    return [prepared.case for prepared in prepare(task, 0)]


class Grading:
    """One submission on its way through its plan.

    Hidden tests come last, when nothing that a cell shows is kept any more: what a function has kept of a
    hidden input cannot be shown by a later cell.

    Args:
        grader: whose process it runs in.
        submitted: its cells.
        is_source: it is the source itself: its teacher may read what its hidden tests say.
    """

    def __init__(self, grader: Grader, submitted: list[Cell], is_source: bool = False) -> None:
        self.grader = grader
        self.submitted = submitted
        self.is_source = is_source
        self.session = self._session()
        self.reports: list[str] = []
        self.left_out: set[Cell] = set()
        self.cells: list[CellOutput] = []
        self.tested: dict[str, Tested] = {}
        self.reason = ""
        self.mentioned: dict[str, set[str]] = {}  # in the answers

    def outcome(self, whole: Outcome) -> Outcome:
        """Run and test everything."""
        try:
            planned = plan(self.grader.cells, self.submitted, self.used_in)
            self.reports += planned.reports
            for step in planned.steps:
                if isinstance(step, Run):
                    self.run(step.cell)
                else:
                    self.test(step)
            self.session.begin()  # what the cells took is not the tests'
            for tested in self.tested.values():
                if not tested.status:
                    self.test_hidden(tested)
            if any(not tested.status for tested in self.tested.values()):
                self._tell_ways_round()
        finally:
            self.session.close()
            for tested in self.tested.values():
                tested.close()
        if self.is_source and not self.reason:
            self.grader.seen = {name: tested.seen for name, tested in self.tested.items()}
        return dataclasses.replace(
            whole,
            status=Status.TIMED_OUT if self.reason else Status.GRADED,
            reason=self.reason,
            tasks=tuple(self._of(cell) for cell in self.grader.graded()),
            reports=tuple(self.reports),
            cells=tuple(self.cells),
        )

    def _of(self, cell: Cell) -> TaskOutcome:
        if cell.by_hand:
            return told(cell, "to be graded by hand")
        tested = self.tested[cell.grade_id]
        if tested.status or tested.worth is None:
            points = 0.0 if tested.status else cell.points
            return told(cell, tested.status or "right", tested.sentence, points, tested.task)
        points = min(max(0.0, tested.worth), cell.points)
        if points == cell.points:
            return told(cell, "right", "", points)
        sentence = f"It gets {points:g} of {cell.points:g} points."
        return told(cell, "partly right" if points else "wrong", sentence, points)

    def _session(self, before: Sequence[Cell] = ()) -> Session:
        grader = self.grader
        return Session(grader.alive(), grader.seconds, grader.specs, before)

    def used_in(self, cell: Cell) -> set[str]:
        """The names that a student's code uses; what cannot be read is left out."""
        used: set[str] = set()
        mentioned: set[str] = set()
        if len(cell.source) > MOST_CODE:
            self.left_out.add(cell)
            size = f"{len(cell.source):,} characters, and at most {MOST_CODE:,} are read"
            self.reports.append(f"the cell {_name(cell)!r} has {size}: it was left out")
            return used
        with self._costs_alone(cell):
            used, mentioned = self.session.names(cell)
        self.mentioned.setdefault(cell.grade_id, set()).update(mentioned)
        return used

    def run(self, cell: Cell) -> None:
        """Run a cell."""
        if cell in self.left_out:
            return
        with self._costs_alone(cell):
            plain = {one.source for one in self.grader.cells if not (one.grade or one.solution)}
            seed = self.grader.seeds.get(cell.source)
            is_given = cell.source in plain and any(map(is_own_test, self.grader.graded()))
            known = dataclasses.replace(cell, seed=seed, is_given=is_given)
            outputs, lost, late = self.session.run(known)
            if late:
                self._late(f"timed out in the cell {_name(cell)!r}")
            if lost:
                self.reports.append(f"the cell {_name(cell)!r} shows {lost:,} characters more than are kept")
            if outputs:
                self.cells.append(CellOutput(cell.id, tuple(outputs)))

    @contextmanager
    def _costs_alone(self, cell: Cell) -> Iterator[None]:
        """What a cell does to its process costs that cell alone: it is left out."""
        try:
            yield
        except TimeOver:
            self.left_out.add(cell)
            self._late(f"timed out in the cell {_name(cell)!r}")
        except Died:
            self.left_out.add(cell)
            self.reports.append(f"the cell {_name(cell)!r} ended its process: it was left out")

    def _late(self, reason: str) -> None:
        self.reason = self.reason or reason

    def test(self, step: Test) -> None:
        """Run what learners see of a test cell of the source, out here."""
        tested = self._tested(step, list(self.session.before))
        self.tested[step.cell.grade_id] = tested
        tested.run(self.session, unseen=False)
        if tested.status == "wrong" and self._is_unwritten(step):
            tested.status, tested.sentence = "not written", "Not written yet."
        self._note(tested)

    def _is_unwritten(self, step: Test) -> bool:
        """Whether the answer to a test is still as it was released."""
        of_source = [cell.source for cell in self.grader.cells if cell.grade_id == step.answer]
        own = [cell.source for cell in self.session.before if cell.grade_id == step.answer]
        return bool(of_source and own) and unwritten(own[-1], of_source[0])

    def test_hidden(self, tested: "Tested") -> None:
        """Run what they do not see of it.

        What later cells have done may disturb a right answer: one that fails is tried again, all of it, in a
        child in which only the cells before the test have run.
        """
        tested.run(self.session, unseen=True)
        self._look_for_rewritten(tested, self.session)
        if tested.status not in ("", "not run") and tested.before != self.session.before:
            fresh = self._session(tested.before)
            fresh.end_at = self.session.end_at
            try:
                self._test_again(tested, fresh)
            finally:
                fresh.close()
        self._note(tested)
        if not tested.status:
            self._look_at(tested.step, tested.task)
            self._tell_blind(tested)

    def _test_again(self, tested: "Tested", fresh: Session) -> None:
        """Replace what became of a test. Of what is shown of it nothing is told a second time."""
        again = self._tested(tested.step, tested.before)
        try:
            again.run(fresh, unseen=False)
            if again.status:
                return
            again.run(fresh, unseen=True)
            self._look_for_rewritten(again, fresh)
        finally:
            again.close()
        if again.status != "not run":  # there was time for it
            tested.status, tested.sentence, tested.worth = again.status, again.sentence, again.worth
            tested.blind, tested.rewrites = again.blind, again.rewrites

    def _look_for_rewritten(self, tested: "Tested", session: Session) -> None:
        """Which data of the source's a test uses that an answer has changed: the test has its own."""
        if tested.own and not tested.status:
            test, (_, names) = tested.step.cell.grade_id, self.grader.given(tested.step.cell)
            rewritten, moved = (found & names for found in session.rewritten())
            if self.is_source:
                self.grader.moved[test] = moved
            tested.rewrites = rewritten | (moved - self.grader.moved.get(test, set()))
            if tested.rewrites and self.is_source:
                changed = ", ".join(sorted(tested.rewrites))
                tested.status, tested.sentence = "wrong", f"{REWRITTEN.format(changed)}."

    def _tested(self, step: Test, before: list[Cell]) -> "Tested":
        begin = functools.partial(self._own_test, step.cell, before)
        why = refused(step.cell.source, self.grader.imported()) if is_own_test(step.cell) else ""
        return Tested(step, begin, before, why, self.is_source)

    def _own_test(self, test: Cell, before: list[Cell]) -> OwnTest:
        """A process for a teacher's own test."""
        expected = None if self.is_source else self.grader.seen.get(test.grade_id, {})
        start = {
            "place": test.grade_id,
            "cells": [cell.source for cell in before],
            "checked": list(names_checked(test.source)),
            "expected": expected,
            "seed": int.from_bytes(hashlib.sha256(self.grader.content + test.grade_id.encode()).digest()[:4]),
            "files": sorted(self.grader.beside().keys() - self.grader.beside(for_tests=False).keys()),
        }
        packed, _ = self.grader.given(test)
        return OwnTest(self.grader.for_tests(), start, packed)

    def _note(self, tested: "Tested") -> None:
        """The first thing that took too long is the reason why a submission timed out."""
        if tested.status == "timed out":
            self._late(f"timed out in task {tested.step.answer!r}")
        elif tested.status == "not run":
            self._late("timed out as a whole")

    def _look_at(self, step: Test, task: str) -> None:
        """Tell the teacher where an answer that passes names what would do the task for it."""
        names = self.mentioned.get(step.answer, ())
        for forbidden in find_task(task).forbidden if task else ():
            *_, holder, short = forbidden.split(".")
            if (holder if short == "forward" else short) in names:
                what = f"names {forbidden}, which does the task: look at it"
                self.reports.append(f"the answer {step.answer!r} passes, but {what}")

    def _tell_blind(self, tested: "Tested") -> None:
        """Tell the teacher what a test of their own, which passes, has not seen as it is."""
        test = tested.step.cell.grade_id
        told = [f"an answer has changed {', '.join(sorted(tested.rewrites))}"] if tested.rewrites else []
        for what in (*sorted(tested.blind), *told):
            self.reports.append(f"the test {test!r} passes, but {what}: look at it")

    def _tell_ways_round(self) -> None:
        """Tell the teacher which cells name what could mislead the checks of the answers that pass."""
        ours = {cell.source for cell in self.grader.cells}
        imported = self.grader.imported()
        for cell in self.session.before:
            ways = [] if cell.source in ours else ways_round(cell.source, imported)
            if ways:
                what = f"names {', '.join(ways)}, which could mislead a check: look at it"
                self.reports.append(f"the cell {_name(cell)!r} {what}")


class Broken(Exception):
    """The grader itself has failed, which is nobody's wrong answer."""


class Tested:
    """A test cell on its way.

    Args:
        step: the test.
        begin: starts a process for it, where it is a teacher's own test.
        before: the cells that have run before it.
        refused: why it cannot run; "" where it can.
        is_source: as `Grading` has it.
    """

    def __init__(
        self,
        step: Test,
        begin: Callable[[], OwnTest],
        before: list[Cell],
        refused: str = "",
        is_source: bool = False,
    ) -> None:
        self.refused = refused
        self.step = step
        self.begin = begin
        self.before = before
        self.is_source = is_source
        self.task = ""
        self.status = ""  # "" as long as all is right
        self.sentence = ""
        self.worth: float | None = None  # the points that the cell's last line gives, see `points_of`
        self.seen: dict[str, bool] = {}
        self.blind: set[str] = set()  # see `Said`
        self.rewrites: set[str] = set()
        self.own: OwnTest | None = None

    def close(self) -> None:
        """End its process."""
        if self.own:
            self.own.close()
            self.own = None

    def run(self, session: Session, unseen: bool) -> None:
        """Run what is shown or what is hidden of the cell; its learner's functions are in a child."""
        self.status = self.sentence = ""
        left = session.end_at - time.monotonic()
        if left < 0:
            self.status = "not run"
            self.sentence = "The time for the whole notebook was over before this task."
            return
        source = self.step.cell.source
        code = python_of(f"{hidden(source)}\n{behind_hidden(source)}" if unseen else released(source))
        if not code.strip():
            return
        run = self._run_own if is_own_test(self.step.cell) else self._run_checks
        try:
            self.worth = run(code, session, left, unseen)
        except TimeOver:
            self.status, self.sentence = "timed out", "The time for the whole notebook was over in this test."
        except CheckFailed as failed:
            self.status, self.sentence = self._words(failed.result, unseen)

    def _run_checks(self, code: str, session: Session, left: float, unseen: bool) -> float | None:
        """Run a test that only checks: nothing of a submission comes here but what checks compare."""

        def check(task: str, name: str, *, seed: int = 0, seconds: float | None = None) -> None:
            result = self._check(session, task, name, seed, seconds)
            if not result.passed:
                raise CheckFailed(result)

        name = self.step.cell.grade_id
        scope: dict[str, Any] = {"check": check, **{name: name for name in names_checked(code)}}
        try:
            statements, last = compiled(code, name)
            exec(statements, scope)
            return points_of(eval(last, scope) if last else None)
        except (Broken, TimeOver, CheckFailed):
            raise
        except Exception as error:  # the test's own: no Python, a task that there is not
            said = Said(error=f"{type(error).__name__}: {error}"[:MOST_SAID])
            self.status, self.sentence = "wrong", self._said(said, code, unseen)
            return 0.0

    def _run_own(self, code: str, session: Session, left: float, unseen: bool) -> float | None:
        """Run a teacher's own test, in a process of its own."""
        failed: list[Result] = []

        def check(asked: dict[str, Any]) -> bool:
            task, name, seed = str(asked["task"]), str(asked["name"]), int(asked["seed"])
            result = self._check(session, task, name, seed, asked["seconds"])
            failed.extend([] if result.passed else [result])
            return result.passed

        if self.refused:
            self.status, self.sentence = "wrong", self.refused
            return 0.0
        seconds = min(left, OWN_TEST_S)
        try:
            if self.own is None:
                self.own = self.begin()
            said = self.own.run(code, session, check, seconds)
        except TimeOver:
            self.close()
            if seconds < OWN_TEST_S:
                raise
            said = Said(is_late=True, error="late")
        except Died:
            self.close()
            self.status, self.sentence = "died", TEST_DIED
            return None
        self.seen |= said.seen
        self.blind |= {*said.blind}
        if said.is_check and failed:
            raise CheckFailed(failed[-1])
        if said.is_late and said.error:
            self.status, self.sentence = "timed out", f"It took longer than {OWN_TEST_S:g} s."
        elif said.error:
            self.status, self.sentence = "wrong", self._said(said, code, unseen)
        return said.worth

    def _check(self, session: Session, task: str, name: str, seed: int, seconds: float | None) -> Result:
        """The check of the course, as a test calls it."""
        try:
            result = examined(session, task, name, self.step.cell.grade_id, seed, seconds)
        except TimeOver:
            raise
        except Exception as error:
            # Without the error's own words: a hidden value could be in them.
            *_, (frame, line) = traceback.walk_tb(error.__traceback__)
            place = f"{Path(frame.f_code.co_filename).name}, line {line}"
            raise Broken(f"in the check of {task}: {type(error).__name__} in {place}") from error
        self.task = self.task or task
        return result

    def _said(self, said: Said, code: str, unseen: bool) -> str:
        """What there is to say of an error in a teacher's own test; where it arose, to the teacher alone."""
        if self.is_source:
            lines = code.split("\n")[said.line - 1 : said.line] if said.line else []
            return "\n".join([said.error, *(line.strip() for line in lines)])
        return "A hidden test fails." if unseen else said.error

    def _words(self, result: Result, unseen: bool) -> tuple[str, str]:
        """The status and the sentence of a task that failed; nothing of a hidden input is in it."""
        if result.problem == DEAD.words:
            return "died", DEAD.words
        if result.late:
            return "timed out", result.problem.partition(" on inputs")[0].rstrip(".") + "."
        if unseen:
            return "right on the visible seed only", result.problem if result.misconception else HIDDEN_ONLY
        if result.not_written:
            return "not written", result.problem
        if self.step.missing and "NameError" in result.problem:
            return "missing", f"There is no cell {self.step.answer!r} in this notebook."
        return "wrong", as_text(result)


def examined(session: Session, task: str, name: str, place: str, seed: int, seconds: float | None) -> Result:
    """Examine what has a name in a submission."""
    return examine(
        find_task(task),
        Remote(name, session, place, OWN_TEST_S),
        seed=seed,
        seconds=seconds,
        ask=session.attempts,
        finale=False,
        shuffled=seed != 0,
    )
