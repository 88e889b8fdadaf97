"""Grade one notebook of one student: run its cells in the sandbox, run the source's tests out here.

    with Grader(Path("solutions/03_qkv/attention_by_hand.ipynb")) as grader:
        outcome = grader.grade("ada", Path("submitted/ada/03_qkv/attention_by_hand.ipynb"))

In a test cell of the source, `check` is the grader's, and a learner's names are stand-ins: what is done with them
is done in the sandbox, and what comes back is compared here.
"""

import ast
import builtins
import contextlib
import dataclasses
import hashlib
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import cloudpickle

from course_lib.checks import CheckFailed, find_task
from course_lib.checks.attempt import Attempt, Failure, Reported
from course_lib.checks.engine import examine, prepare
from course_lib.checks.kinds import Case, Result, Task
from course_lib.checks.show import as_text
from course_lib.grading import sandbox, share, wire
from course_lib.grading.outcome import CellOutput, Outcome, Status, TaskOutcome
from course_lib.grading.states import restore
from course_lib.grading.submission import (
    Cell,
    Plan,
    Run,
    Test,
    Unreadable,
    names_used,
    plan,
    read_bytes,
    read_cells,
)

MOST_OUTPUT = 1_000_000  # characters that the cells of one submission may show
START_S = 120.0  # until torch is loaded on a busy machine
GRACE_S = 1.5  # after its time, before a child that does not listen is ended
HIDDEN_ONLY = (
    "It passes the visible check, but not the same check with other numbers and other sizes: does it depend on "
    "the inputs that the visible check gives, or on their order?"
)


DEAD = Failure(
    "its end", "The process that ran it has ended: killed, out of memory, or by itself.", wrong_form=True
)


class Died(Exception):
    """The child is gone: it ended itself, was ended for its memory, or broke the pipe."""


class TimeOver(Exception):
    """The child was ended because its time was over."""


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Time limits by the clock."""

    cell: float = 30.0
    in_all: float = 300.0  # of one notebook
    slower: float = 3.0  # a task's own limit is for a quiet machine


# --------------------------------------------------------------------------------------------------- the zygote


class Zygote:
    """The process that children are forked from, with the copy of the course that they may import."""

    def __init__(self, imported: set[str], modules: list[str], engine: str, limits: sandbox.Limits) -> None:
        self.engine = engine
        self.folder = tempfile.TemporaryDirectory(prefix="course-grading-")
        place = Path(self.folder.name)
        place.chmod(0o755)
        share.make_share(place, imported)
        policy = sandbox.Policy(readable=(*sandbox.interpreter(), place), limits=limits)
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(place),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.grading.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self.control = ours
        wire.send(self.control, {"modules": modules}, pickle.dumps((policy, engine)))
        wire.receive(self.control, START_S)

    def fork(self) -> tuple[int, socket.socket]:
        """A new child: its number, and the pipe to it."""
        ours, theirs = socket.socketpair()
        question = wire.json.dumps({"most_output": MOST_OUTPUT}).encode()
        socket.send_fds(self.control, [question], [theirs.fileno()])
        theirs.close()
        header, _ = wire.receive(self.control, START_S)
        return header["pid"], ours

    def end(self, pid: int) -> int:
        """Kill a child with all that it started; returns its status."""
        self.control.sendall(wire.json.dumps({"end": pid}).encode())
        header, _ = wire.receive(self.control, START_S)
        return header["status"]

    def close(self) -> None:
        """End it and remove the copy."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


# ---------------------------------------------------------------------------------------------------- a session


class Session:
    """The child of one submission; a new one takes its place where it dies."""

    def __init__(self, zygote: Zygote, seconds: Seconds, specs: Specs) -> None:
        self.zygote = zygote
        self.specs = specs
        self.seconds = seconds
        self.end_at = time.monotonic() + seconds.in_all
        self.before: list[Cell] = []  # what a new child has to run first
        self.pid = 0
        self.n = 0

    def start(self) -> None:
        """A child in which all cells of before have run."""
        self.pid, self.pipe = self.zygote.fork()
        for cell in list(self.before):
            self._ask(
                {"do": "run", "code": cell.source, "seconds": self.seconds.cell}, b"", self.seconds.cell
            )

    def close(self) -> int:
        """End the child; returns its status."""
        if not self.pid:
            return 0
        self.pipe.close()
        pid, self.pid = self.pid, 0
        return self.zygote.end(pid)

    def run(self, cell: Cell) -> tuple[list[dict[str, Any]], int, bool]:
        """Run a cell: what it shows, how many characters more it would have shown, whether its time was over."""
        limit = self.seconds.cell
        header, _ = self.ask({"do": "run", "code": cell.source, "seconds": limit}, b"", limit)
        self.before.append(cell)
        outputs = header.get("outputs")
        return (
            outputs if type(outputs) is list else [],
            int(header.get("lost") or 0),
            header.get("late") is True,
        )

    def ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Ask the child; start one where there is none.

        Raises:
            TimeOver, Died: and the child is gone.
        """
        if time.monotonic() > self.end_at:
            raise TimeOver
        if not self.pid:
            try:
                self.start()
            except (TimeOver, Died):  # a cell that went well before: what was run cannot be run again
                self.before.clear()
                raise
        return self._ask(question, raw, seconds)

    def _ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        self.n += 1
        left = min(seconds + GRACE_S, max(0.1, self.end_at - time.monotonic()))
        try:
            wire.send(self.pipe, {**question, "n": self.n}, raw)
            header, blob = wire.receive(self.pipe, left)
            if type(header) is not dict or header.get("n") != self.n:
                raise wire.WireError("an answer to another question")
        except wire.Late:
            self.close()
            raise TimeOver from None
        except (wire.WireError, OSError):
            self.close()
            raise Died from None
        return header, blob

    # ------------------------------------------------------------------------------ what an examination asks for

    def attempt(self, task: Task, name: str, case: Case, seconds: float) -> Attempt:
        """Make an attempt in the child; `engine.examine` compares what came."""
        limit = seconds * self.seconds.slower
        try:
            header, raw = self.ask({"do": "try", "name": name, "seconds": limit}, self.specs.of(task, case), limit)
            if header.get("missing"):
                return Attempt(
                    failure=Failure("NameError", f"name {name!r} is not defined", wrong_form=False)
                )
            made = _attempt(header, raw)
        except TimeOver:
            return Attempt(late=True)
        except (Died, wire.WireError):
            self.close()
            return Attempt(failure=DEAD)
        if made.stuck:
            self.close()
        return dataclasses.replace(made, stuck=False)

    def call(self, name: str, values: tuple[Any, ...], named: dict[str, Any], seconds: float) -> Any:
        """Call a function in the child with plain values; modules among them are changed as they were there.

        Raises:
            ValueError: it raised one.
            Reported: it raised something else, or nothing came.
        """
        raw = packed(values, named)
        try:
            header, blob = self.ask({"do": "call", "name": name, "seconds": seconds}, raw, seconds)
            if header.get("missing"):
                raise Reported(Failure("NameError", f"name {name!r} is not defined"))
            if header.get("late"):
                raise TimeOver
            if "failure" in header:
                failure = _failure(header["failure"])
                raise ValueError(failure.words) if header.get("refuses") is True else Reported(failure)
            _write_back(values, wire.decode(header["states"], blob))
            return wire.decode(header["value"], blob)
        except TimeOver:
            self.close()
            raise Reported(Failure("Late", f"It took longer than {seconds:g} s.", wrong_form=True)) from None
        except (Died, wire.WireError, KeyError):
            self.close()
            raise Reported(DEAD) from None


def _write_back(values: tuple[Any, ...], states: Any) -> None:
    """Give modules and generators the state that they have in the child.

    Raises: WireError: other states than theirs came.
    """
    if type(states) is not list or len(states) != len(values):
        raise wire.WireError("the states of other values")
    for value, state in zip(values, states, strict=True):
        if state is not None:
            try:
                restore(value, state)
            except ValueError as error:
                raise wire.WireError(str(error)) from None


def _attempt(header: dict[str, Any], raw: bytes) -> Attempt:
    """An attempt out of an answer that may hold anything.

    Raises: WireError: it is none.
    """
    fields = {field.name: wire.decode(header.get(field.name), raw) for field in dataclasses.fields(Attempt)}
    failure = fields["failure"]
    fields["failure"] = None if failure is None else _failure(failure)
    parts = fields["got"]
    if parts is not None and not (type(parts) is dict and all(map(_is_part, parts.items()))):
        raise wire.WireError("parts are arrays by name")
    texts = all(type(fields[name]) is str for name in ("printed", "changed", "forbidden"))
    flags = all(type(fields[name]) is bool for name in ("late", "stuck"))
    if not (texts and flags) or (fields["changed"] and fields["after"] is None):
        raise wire.WireError("an attempt of other types")
    if parts is None and fields["failure"] is None and not fields["late"]:
        raise wire.WireError("an attempt from which nothing came")
    return Attempt(**fields)


def _is_part(item: tuple[Any, Any]) -> bool:
    name, value = item
    return type(name) is str and hasattr(value, "dtype") and hasattr(value, "shape")


def _failure(fields: Any) -> Failure:
    wanted = {field.name: field.type for field in dataclasses.fields(Failure)}
    if type(fields) is not dict or fields.keys() != wanted.keys():
        raise wire.WireError("a failure in other words")
    return Failure(
        kind=str(fields["kind"])[:100],
        words=str(fields["words"])[:2000],
        line=str(fields["line"])[:300],
        wrong_form=fields["wrong_form"] is True,
        not_written=fields["not_written"] is True,
    )


# -------------------------------------------------------------------------------------------------- the grader


class Remote:
    """Stands for something that a submission defines: a test may check it or call it."""

    def __init__(self, name: str, session: Session) -> None:
        self.name, self.session = name, session

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self.session.call(self.name, values, named, seconds=10.0)


class Grader:
    """Grades submissions of one notebook, one after the other.

    Args:
        source: the teacher's notebook, with solutions and hidden tests.
        engine: the name of a kind of isolation; without it the best that this machine has.
        limits: of memory, processes and files.
        seconds: limits of time.
    Raises: NoIsolation: this machine has none; the message says what to do.
    """

    def __init__(
        self,
        source: Path,
        *,
        engine: str | None = None,
        limits: sandbox.Limits | None = None,
        seconds: Seconds | None = None,
    ) -> None:
        self.source = source
        self.content = source.read_bytes()
        self.cells = read_cells(self.content)
        self.seconds = seconds or Seconds()
        self.engine = sandbox.chosen(engine)
        self.limits = limits or sandbox.Limits()
        self.specs = Specs()
        self.zygote: Zygote | None = None

    def __enter__(self) -> "Grader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that children are forked from."""
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None

    def digest(self, content: bytes) -> str:
        """Tells whether a submission and its source are still what they were."""
        return hashlib.sha256(hashlib.sha256(self.content).digest() + content).hexdigest()

    def grade(self, student: str, path: Path) -> Outcome:
        """Grade one submission; whatever it contains, an outcome comes back."""
        start = time.monotonic()
        whole = Outcome(
            student=student,
            assignment=self.source.parent.name,
            notebook=self.source.stem,
            status=Status.GRADED,
            reason="",
            tasks=(),
            reports=(),
            cells=(),
            seconds=0.0,
            digest="",
        )
        try:
            content = read_bytes(path)
            whole = dataclasses.replace(whole, digest=self.digest(content))
            planned = plan(self.cells, read_cells(content))
        except Unreadable as error:
            tasks = tuple(
                self._task(cell, "not run", "The notebook could not be read.") for cell in self.graded()
            )
            return dataclasses.replace(whole, status=Status.UNREADABLE, reason=f"{error}.", tasks=tasks)
        graded = Grading(self, planned).outcome(whole)
        return dataclasses.replace(graded, seconds=round(time.monotonic() - start, 3))

    def graded(self) -> list[Cell]:
        """The cells of the source that carry points, in their order."""
        return [cell for cell in self.cells if cell.grade]

    def alive(self) -> Zygote:
        """The process that children are forked from; a new one where it is gone."""
        if self.zygote is not None and self.zygote.process.poll() is not None:
            self.close()
        if self.zygote is None:
            self.zygote = Zygote(*self._needs(), self.engine, self.limits)
        return self.zygote

    def _needs(self) -> tuple[set[str], list[str]]:
        """What submissions may import of the course, and what is imported for them beforehand."""
        code = [cell for cell in self.cells if cell.kind == "code" and not cell.is_test]
        imported = {name for cell in code for name in share.imports_of(_python(cell.source))}
        specs = [self.specs.of(task, case) for task in self._tasks() for case in _cases(task)]
        imported |= {name for pickled in specs for name in share.modules_in(pickled)}
        modules = ["numpy", "matplotlib_inline.backend_inline"]
        if "torch" in self.content.decode() or ("torch" in sys.modules and any(b"torch" in s for s in specs)):
            modules.append("torch")
        return imported, [*modules, *sorted(name for name in share.needed(imported))]

    def _tasks(self) -> list[Task]:
        """The tasks that the tests of the source check."""
        names = [
            node.args[0].value
            for cell in self.cells
            if cell.is_test
            for node in ast.walk(ast.parse(cell.source))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "check"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ]
        return [find_task(str(name)) for name in dict.fromkeys(names)]

    def _task(
        self, cell: Cell, status: str, sentence: str, points: float = 0.0, task: str = ""
    ) -> TaskOutcome:
        return TaskOutcome(cell.grade_id, task, points, cell.points, status, sentence)


def _cases(task: Task) -> list[Case]:
    return [prepared.case for prepared in prepare(task, 0)]


def _python(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError:
        return ""
    return code


class Grading:
    """One submission on its way through its plan."""

    def __init__(self, grader: Grader, planned: Plan) -> None:
        self.grader = grader
        self.planned = planned
        self.session = Session(grader.alive(), grader.seconds, grader.specs)
        self.reports = list(planned.reports)
        self.cells: list[CellOutput] = []
        self.tasks: dict[str, TaskOutcome] = {}
        self.reason = ""
        self.fatal = ""  # what became of a cell that ended its process

    def outcome(self, whole: Outcome) -> Outcome:
        """Run and test everything."""
        try:
            for step in self.planned.steps:
                if isinstance(step, Run):
                    self.run(step.cell)
                else:
                    self.tasks[step.cell.grade_id] = self.test(step)
        finally:
            self.session.close()
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
            return self.grader._task(cell, "to be graded by hand", "")
        return self.tasks[cell.grade_id]

    def run(self, cell: Cell) -> None:
        """Run a cell; what it does to its process costs that cell alone."""
        name = cell.grade_id or cell.id
        try:
            outputs, lost, late = self.session.run(cell)
        except TimeOver:
            self._late(f"timed out in the cell {name!r}")
            return
        except Died:
            self.reports.append(f"the cell {name!r} ended its process: it was left out")
            return
        if late:
            self._late(f"timed out in the cell {name!r}")
        if lost:
            self.reports.append(f"the cell {name!r} shows {lost:,} characters more than are kept")
        if outputs:
            self.cells.append(
                CellOutput(cell.id, tuple(output for output in outputs if type(output) is dict))
            )

    def _late(self, reason: str) -> None:
        self.reason = self.reason or reason

    def test(self, step: Test) -> TaskOutcome:
        """Run a test cell of the source, out here."""
        cell = step.cell
        results: list[tuple[str, Result]] = []

        def check(task: str, learner: Any, *, seed: int = 0, seconds: float | None = None) -> None:
            result = self.examined(task, learner, seed, seconds)
            results.append((task, result))
            if not result.passed:
                raise CheckFailed(result)

        if time.monotonic() > self.session.end_at:
            self._late("timed out as a whole")
            return self.grader._task(
                cell, "not run", "The time for the whole notebook was over before this task."
            )
        scope: dict[str, Any] = {"check": check, "__name__": "test"}
        for name in names_used(cell.source) - {"check"} - vars(builtins).keys():
            scope[name] = Remote(name, self.session)
        wrong = ""
        try:
            exec(compile(cell.source, cell.grade_id, "exec"), scope)
        except CheckFailed:
            pass  # the result has it
        except Exception as error:  # a teacher's own test
            wrong = f"{type(error).__name__}: {error}" if str(error) else "A test of this cell fails."
        return self._judged(step, results, wrong)

    def examined(self, task: str, learner: Any, seed: int, seconds: float | None) -> Result:
        """Examine a learner's function in the sandbox."""
        found = find_task(task)
        if not isinstance(learner, Remote):
            raise TypeError(
                f"check({task!r}, ...) needs a name that the learner defines; got {learner!r:.60}"
            )
        if found.outside:
            return examine(found, learner, seed=seed, seconds=seconds, finale=False)
        return examine(
            found, learner.name, seed=seed, seconds=seconds, ask=self.session.attempt, finale=False
        )

    def _judged(self, step: Test, results: list[tuple[str, Result]], wrong: str) -> TaskOutcome:
        cell = step.cell
        task = results[0][0] if results else ""
        last = results[-1][1] if results else None
        if (last is None or last.passed) and not wrong:
            return self.grader._task(cell, "right", "", cell.points, task)
        if last is None or last.passed:
            return self.grader._task(cell, "wrong", wrong[:500], task=task)
        status, sentence = self._words(step, last, hidden=len(results) > 1)
        if status == "timed out":
            self._late(f"timed out in task {step.answer!r}")
        return self.grader._task(cell, status, sentence, task=task)

    def _words(self, step: Test, result: Result, hidden: bool) -> tuple[str, str]:
        """The status and the sentence of a task that failed; nothing of a hidden input is in it."""
        if result.not_written:
            return "not written", result.problem
        if step.missing and "NameError" in result.problem:
            return "missing", f"There is no cell {step.answer!r} in this notebook."
        if result.problem == DEAD.words:
            return "died", DEAD.words
        if result.problem.startswith("It took longer than"):
            return "timed out", result.problem.partition(" on inputs")[0].rstrip(".") + "."
        if hidden:
            return "right on the visible seed only", result.problem if result.misconception else HIDDEN_ONLY
        return "wrong", as_text(result)
