"""A submission's process as seen from outside: start it, run cells in it, ask what its functions give.

It may die, hang or lie. Where it dies a new one takes its place, and the cells of before run in it again.
"""

import dataclasses
import json
import pickle
import socket
import subprocess
import sys
import time
from typing import Any

from course_lib.checks.attempt import Attempt, Failure, Reported
from course_lib.checks.kinds import Case, Task
from course_lib.grading import sandbox, share, wire
from course_lib.grading.engines import Engine
from course_lib.grading.leftovers import OwnFolder
from course_lib.grading.states import restore
from course_lib.grading.submission import Cell
from course_lib.grading.travel import Specs, packed

MOST_OUTPUT = 1_000_000  # characters that the cells of one submission may show
START_S = 120.0  # until torch is loaded on a busy machine
GRACE_S = 1.5  # after its time, before a child that does not listen is ended
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


# ------------------------------------------------------------------------------------------------- the zygote


class Zygote:
    """The process that children are forked from, with the copy of the course that they may import."""

    def __init__(
        self, imported: set[str], modules: list[str], engine: Engine, limits: sandbox.Limits
    ) -> None:
        self.folder = OwnFolder()
        place = self.folder.path
        place.chmod(0o755)
        share.make_share(place, imported)
        policy = sandbox.Policy(
            (*sandbox.interpreter_paths(), place), limits, hidden=(share.COURSE,), python_path=(place,)
        )
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
        self.folder.remove()


# ------------------------------------------------------------------------------------------------- a session


class Session:
    """The child of one submission; a new one takes its place where it dies."""

    def __init__(self, zygote: Zygote, seconds: Seconds, specs: Specs) -> None:
        self.zygote = zygote
        self.specs = specs
        self.seconds = seconds
        self.end_at = time.monotonic() + seconds.in_all
        self.before: list[Cell] = []  # what a new child has to run first
        self.room = MOST_OUTPUT  # characters that cells may still show
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
        """Run a cell: what it shows, how many characters of that were left out, and whether it was late."""
        header, _ = self.ask(self._to_run(cell, self.room), b"", self.seconds.cell)
        self.before.append(cell)
        outputs = header.get("outputs")
        outputs = outputs if type(outputs) is list and all(type(output) is dict for output in outputs) else []
        self.room -= len(json.dumps(outputs))
        if self.room < 0:  # more than it was told
            return [], 0, False
        return outputs, int(header.get("lost") or 0), header.get("late") is True

    def _to_run(self, cell: Cell, room: int) -> dict[str, Any]:
        return {"do": "run", "code": cell.source, "seconds": self.seconds.cell, "room": max(0, room)}

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

    # -------------------------------------------------------------------------- what an examination asks for

    def attempt(self, task: Task, name: str, case: Case, seconds: float) -> Attempt:
        """Make an attempt in the child; `engine.examine` compares what came."""
        limit = seconds * self.seconds.slower
        try:
            header, raw = self.ask(
                {"do": "try", "name": name, "seconds": limit}, self.specs.of(task, case), limit
            )
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
