"""A submission's process as seen from outside: start it, run cells in it, ask what its functions give.

It may die, hang or lie. Where it dies a new one takes its place, and the cells of before run in it again.
"""

import contextlib
import dataclasses
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.checks.attempt import Attempt, Reported, attempt
from course_lib.checks.call import PRINTED_LIMIT, call
from course_lib.checks.kinds import Case, Task
from course_lib.grading.intake.submission import Cell
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.calls import (
    DEAD,
    LATE,
    MOST_LINE,
    Call,
    Died,
    TimeOver,
    call_there,
    failure_in,
    forbidden_in,
    not_defined,
    size_of,
)
from course_lib.grading.pipe.travel import Addressed, Specs
from course_lib.grading.walls import sandbox, share
from course_lib.grading.walls.engines import Engine
from course_lib.grading.walls.leftovers import OwnFolder

MOST_OUTPUT = 800_000  # characters that the cells of one submission may show
SPARE = 100_000  # for what is around them
START_S = 120.0  # until torch is loaded on a busy machine
GRACE_S = 1.5  # after its time, before a child that does not listen is ended
FORMS: dict[str, dict[str, type]] = {
    "stream": {"name": str, "text": str},
    "error": {"ename": str, "evalue": str, "traceback": list},
    "display_data": {"data": dict},
    "execute_result": {"data": dict},
}
OTHER = {"output_type": "stream", "name": "stderr", "text": "[An output of no known form was left out.]\n"}


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Time limits by the clock."""

    cell: float = 30.0
    in_all: float = 300.0  # of one notebook
    slower: float = 3.0  # a task's own limit is for a quiet machine


# ------------------------------------------------------------------------------------------------- the zygote


SUBMISSIONS, TESTS = (
    "course_lib.grading.judging.child:main",
    "course_lib.grading.judging.bench:main",
)  # what children run


class Zygote:
    """The process that children are forked from, with what they may import of the course.

    Args:
        imported: what submissions may import of the course; None: all of it, for tests.
        beside: files that stand beside the source, by their names there.
        modules: to import beforehand.
        specs: cases to rehearse.
        engine: the kind of isolation.
        limits: of each child.
        wished: modules to import beforehand where they are there.
    Raises: RuntimeError: it has ended before it was ready, or takes too long; with its last words.
    """

    def __init__(
        self,
        imported: set[str] | None,
        beside: Mapping[str, Path],
        modules: list[str],
        specs: list[bytes],
        engine: Engine,
        limits: sandbox.Limits,
        wished: Sequence[str] = (),
    ) -> None:
        self.folder = OwnFolder()
        place = self.folder.path
        place.chmod(0o755)
        share.make_share(place, imported, beside)
        policy = sandbox.Policy(
            (*sandbox.interpreter_paths(), place), limits, hidden=(share.COURSE,), python_path=(place,)
        )
        serve = TESTS if imported is None else SUBMISSIONS
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(place),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "LANG": "C.UTF-8",
            "IPYTHONDIR": str(place / "ipython"),  # not in the teacher's home
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        kernels = os.environ.get("ATEN_CPU_CAPABILITY")
        if kernels:  # torch's, for here and there
            environment["ATEN_CPU_CAPABILITY"] = kernels
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.grading.judging.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            start_new_session=True,  # Ctrl-C is the grader's: it ends this process too
        )
        theirs.close()
        self.control = ours
        try:
            start = {"modules": modules, "wished": list(wished), "serve": serve}
            wire.send(self.control, start, pickle.dumps((policy, engine, specs)))
            wire.receive(self.control, START_S)
        except (wire.WireError, wire.Late, OSError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.0 if isinstance(error, wire.Late) else START_S)
            why = self._last_words()
            self.close()
            raise RuntimeError(why) from None

    def _last_words(self) -> str:
        """Why it is not ready."""
        if self.process.returncode is None:
            return f"it was not ready within {START_S:g} s"
        self.said.seek(0)
        lines = self.said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {self.process.returncode}"

    def fork(self) -> tuple[int, socket.socket]:
        """A new child: its number, and the pipe to it.

        Raises: NoIsolation: it could not be locked in; nothing of the submission has run.
        """
        self.control.sendall(b"{}")
        header, _ = wire.receive(self.control, START_S)
        if "error" in header:
            raise sandbox.NoIsolation(header["error"])
        _, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        return header["pid"], socket.socket(fileno=descriptors[0])

    def end(self, pid: int) -> int:
        """Kill a child with all that it started; returns its status."""
        self.control.sendall(json.dumps({"end": pid}).encode())
        header, _ = wire.receive(self.control, START_S)
        return header["status"]

    def close(self) -> None:
        """End it and remove the copy."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.said.close()
        self.folder.remove()


# ------------------------------------------------------------------------------------------------- a session


class Session:
    """The child of one submission; a new one takes its place where it dies.

    Args:
        zygote: what it is forked from.
        seconds: limits of time; those of the whole begin now.
        specs: the cases as they travel.
        before: cells that a new child has to run first.
    """

    def __init__(self, zygote: Zygote, seconds: Seconds, specs: Specs, before: Sequence[Cell] = ()) -> None:
        self.zygote = zygote
        self.specs = specs
        self.seconds = seconds
        self.before = list(before)
        self.begin()
        self.room = MOST_OUTPUT  # characters that cells may still show
        self.pid = 0
        self.n = 0

    def begin(self) -> None:
        """Let the time for all begin now."""
        self.end_at = time.monotonic() + self.seconds.in_all

    def start(self) -> None:
        """A child in which all cells of before have run; one that ends it this time is left out from now on.

        Raises: TimeOver: the time for all is over.
        """
        while not self.pid:
            self.pid, self.pipe = self.zygote.fork()
            self.ahead = bytearray()
            for cell in list(self.before):
                try:
                    self._ask(self._to_run(cell, 0), b"", self.seconds.cell)
                except (TimeOver, Died):
                    self.before.remove(cell)
                    break
            if time.monotonic() > self.end_at:
                self.close()
                raise TimeOver

    def close(self) -> int:
        """End the child; returns its status."""
        if not self.pid:
            return 0
        self.pipe.close()
        pid, self.pid = self.pid, 0
        return self.zygote.end(pid)

    def run(self, cell: Cell) -> tuple[list[dict[str, Any]], int, bool]:
        """Run a cell: what it shows, how many characters of that were left out, and whether it was late."""
        header, _ = self.ask(self._to_run(cell, self.room), b"", self.seconds.cell)
        late = "late" in header
        if late:
            self.close()  # who knows what it has left behind: the next cell gets a child without it
        else:
            self.before.append(cell)
        outputs = known_outputs(header["outputs"])
        size = size_of(outputs)
        if size > self.room + SPARE:  # more than it was told
            outputs = []
        self.room = max(0, self.room - size)
        return outputs, min(max(0, header.get("lost", 0)), 2**40), late

    def names(self, cell: Cell) -> tuple[set[str], set[str]]:
        """The names that the code of a cell uses, and all that it mentions; true as long as no cell has run.

        Raises:
            TimeOver, Died: and the child is gone.
        """
        header, _ = self.ask({"do": "names", "code": cell.source}, b"", self.seconds.cell)
        return set(header["used"]), set(header["mentioned"])

    def rewritten(self) -> tuple[set[str], set[str]]:
        """The names of the source's data that a submission has changed, as far as the child says.

        Apart from them, those of what has moved: draws, weights, gradients.
        """
        try:
            header, _ = self.ask({"do": "given"}, b"", self.seconds.cell)
        except (TimeOver, Died):
            return set(), set()
        return set(map(str, header["rewritten"])), set(map(str, header["moved"]))

    def _to_run(self, cell: Cell, room: int) -> dict[str, Any]:
        question = {"do": "run", "code": cell.source, "seconds": self.seconds.cell}
        return {**question, "room": max(0, room), "seed": cell.seed, "given": cell.is_given}

    def ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Ask the child; start one where there is none.

        Raises:
            TimeOver, Died: and the child is gone.
        """
        if time.monotonic() > self.end_at:
            raise TimeOver
        self.start()
        return self._ask(question, raw, seconds)

    def _ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        self.n += 1
        try:
            wire.send(self.pipe, {**question, "n": self.n}, raw)
        except OSError:
            self.close()
            raise Died from None
        return self._answer(question["do"], seconds)

    def _answer(self, do: str, seconds: float) -> tuple[dict[str, Any], bytes]:
        """The next frame of the answer to the last question, in a form that it may have."""
        left = min(seconds + GRACE_S, max(0.1, self.end_at - time.monotonic()))
        try:
            header, blob = wire.receive(self.pipe, left, self.ahead)
            if type(header) is not dict or header.pop("n", None) != self.n:
                raise wire.WireError("an answer to another question")
            wire.check_answer(do, header)
        except wire.Late:
            self.close()
            raise TimeOver from None
        except (wire.WireError, OSError):
            self.close()
            raise Died from None
        return header, blob

    # -------------------------------------------------------------------------- what an examination asks for

    def attempts(
        self, task: Task, learner: "Remote", cases: Sequence[Case], seconds: float
    ) -> Iterator[Attempt]:
        """Attempts at some cases in the child, which makes the next while `engine.examine` looks at one.

        One that ends the child is the last: it can no more be right, and each child takes time to start.
        """
        limit = seconds * self.seconds.slower
        outside = (self._attempt_outside(task, learner, case, limit) for case in cases)
        for made in outside if task.outside else self._attempts_inside(task, learner, cases, limit):
            yield made
            if made.is_last or made.failure == DEAD:
                return

    def _attempts_inside(
        self, task: Task, learner: "Remote", cases: Sequence[Case], limit: float
    ) -> Iterator[Attempt]:
        """Attempts that are made in the child."""
        room = wire.MOST_RAW  # bytes that all their numbers may take together
        specs = [self.specs.of(task, case) for case in cases]
        sizes = [len(spec) for spec in specs]
        question = {"do": "try", **learner.address, "seconds": limit, "sizes": sizes}
        for i, case in enumerate(cases):
            try:
                header, raw = self._answer("try", limit) if i else self.ask(question, b"".join(specs), limit)
                if "missing" in header:
                    yield from [Attempt(failure=not_defined(learner.name))] * len(cases[i:])
                    return
                room -= len(raw)
                if room < 0:
                    raise wire.WireError("all answers together are too long")
                yield _attempt(header, raw, task, case)
            except TimeOver:
                yield Attempt(late=True)
            except (Died, wire.WireError):
                self.close()
                yield Attempt(failure=DEAD)

    def _attempt_outside(self, task: Task, learner: "Remote", case: Case, limit: float) -> Attempt:
        """Make an attempt whose measuring stays out here."""
        remote = dataclasses.replace(learner, seconds=limit, forbidden=task.forbidden)
        made = attempt(task, remote, case, limit + 10 * GRACE_S, call)  # the child's limit comes first
        return Attempt(late=True) if remote.late else dataclasses.replace(made, forbidden=remote.called)


@dataclasses.dataclass
class Remote(Addressed):
    """Stands for something that a submission defines: a test may check it or call it.

    Args:
        name: what it is called there.
        session: where.
        place: the test that asks. What it has asked for once stays the same thing for it, whatever a later
            cell of the submission calls by that name.
        seconds: for all calls.
        forbidden: routines that it must not call.
    """

    name: str
    session: Session
    place: str = ""
    seconds: float = 0.0
    forbidden: Sequence[str] = ()
    late: bool = False
    called: str = ""  # the first forbidden routine

    @property
    def address(self) -> dict[str, str]:
        """How a question names it."""
        return {"name": self.name, "place": self.place}

    @property
    def _address(self) -> tuple[str, str]:
        return self.place, self.name

    def __call__(self, *values: Any, **named: Any) -> Any:
        """What it gives for some values."""
        return self._call([(values, named)])[0]

    def each(self, inputs: Iterable[tuple[Any, ...]]) -> list[Any]:
        """What it gives for each of several inputs, see `checks.call.each`."""
        return self._call([(values, {}) for values in inputs])

    def _call(self, calls: list[Call]) -> list[Any]:
        start = time.monotonic()
        try:
            answers, called = call_there(self.session, self, calls, max(0.1, self.seconds), self.forbidden)
            self.called = self.called or called
            return answers
        except TimeOver:
            self.late = True
            raise Reported(LATE) from None
        finally:
            self.seconds -= time.monotonic() - start


def known_outputs(outputs: Any) -> list[dict[str, Any]]:
    """What a cell shows, in the flat form of `child.Outputs`; a last line says that something else came."""
    came = outputs if type(outputs) is list else []
    found = [known for known in map(_known, came) if known is not None]
    return found if len(found) == len(came) else [*found, OTHER]


def _known(output: Any) -> dict[str, Any] | None:
    """An output in its known form, None where it has another."""
    kind = output.get("output_type") if type(output) is dict else None
    fields = FORMS.get(kind, {}) if type(kind) is str else {}
    known = {name: output[name] for name, form in fields.items() if type(output.get(name)) is form}
    texts = [*known.get("traceback", []), *known.get("data", {}).values()]
    if not fields or len(known) < len(fields) or not all(type(text) is str for text in texts):
        return None
    return {"output_type": kind, **known}


def _attempt(header: dict[str, Any], raw: bytes, task: Task, case: Case) -> Attempt:
    """An attempt out of an answer, of which `wire.check_answer` has checked the form alone.

    Raises: WireError: it is none.
    """
    told: dict[str, Any] = {name: wire.decode(value, raw) for name, value in header.items()}
    parts, changed = told.get("got", {}), told.get("changed", "")
    if type(parts) is not dict or not all(type(n) is str and _is_array(x) for n, x in parts.items()):
        raise wire.WireError("parts are arrays by name")
    if changed and not (changed in case.inputs and _is_array(told.get("after"))):
        raise wire.WireError("an input that there is not was changed")
    if "failure" in told:
        told["failure"] = failure_in(told["failure"])
    return Attempt(
        **{
            **told,
            "printed": told.get("printed", "")[:PRINTED_LIMIT],
            "line": told.get("line", "")[:MOST_LINE],
            "forbidden": forbidden_in(told, task.forbidden),
        }
    )


def _is_array(value: Any) -> bool:
    """Whether it is an array of numbers, or a box with plain values: of these any two can be compared."""
    if type(value) is not np.ndarray:
        return False
    return value.dtype.kind in "biuf" or (value.dtype == object and _is_plain(value.item()))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return not hasattr(value, "dtype")
