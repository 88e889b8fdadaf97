"""Inside the sandbox: run a submission's cells, and try its functions when the grader asks.

Everything here may be changed by the code that it runs. That costs a submission its own points at most: the
grader believes only values, and compares them where this process cannot reach.
"""

import contextlib
import dataclasses
import importlib.abc
import importlib.machinery
import io
import itertools
import json
import os
import pickle
import socket
import sys
import time
import types
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from time import monotonic  # by its own name: a cell may put another clock into `time`
from typing import Any, cast

import numpy as np
from cloudpickle.cloudpickle import _class_setstate, _make_skeleton_class
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets import Type
from traitlets.config import Config

from course_lib.checks.attempt import DEFAULTS, Attempt, Failure, attempt, clean_state, failure_of, guard_of
from course_lib.checks.call import PRINTED_LIMIT, Call, OutOfTime, Printed, own_line
from course_lib.checks.values import copied, describe
from course_lib.grading.intake.names import names_mentioned, names_used
from course_lib.grading.judging import absent
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.asked import ALONE, WITH_ANOTHER, itself
from course_lib.grading.pipe.identity import Identities, has_identity
from course_lib.grading.pipe.states import seed, seeded, state_of
from course_lib.grading.pipe.surroundings import Surroundings, bring
from course_lib.grading.walls.sandbox import interrupted_after

MOST_READ = 100_000  # characters that a call may print where a teacher's test reads them
SPECIAL = (
    "__call__",
    "__enter__",
    "__exit__",
    *ALONE,
    *WITH_ANOTHER,
    *(f"__r{name[2:]}" for name in WITH_ANOTHER),
)
MANY = 100_000  # things that are read of a generator, which may never end
PLAIN = (int, float, str, tuple, list, dict, set, frozenset)  # what is made from these counts as such
PYTHONS = ("__slotnames__", "__annotations__")  # what Python itself notes in a class
SHOWN = ("text/plain", "text/html", "text/latex", "text/markdown", "image/png", "image/jpeg")


# ---------------------------------------------------------------------------------------------------- outputs


AROUND = 120  # characters of JSON around each output, at most


class Outputs:
    """What a cell shows, as a notebook stores it, up to a number of characters in JSON."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most
        self.lost = 0
        self.all: list[dict[str, Any]] = []
        self.waits = False  # until the next output comes, to forget those of before

    def clear(self, wait: bool) -> None:
        """Forget what was shown: now, or as soon as there is something else."""
        self.waits = wait
        if not wait:
            self.left, self.all = self.most, []

    def _clear_if_it_waits(self) -> None:
        if self.waits:
            self.clear(wait=False)

    def stream(self, name: str, text: str) -> None:
        """Add printed text."""
        self._clear_if_it_waits()
        last = self.all[-1] if self.all else {}
        if self.left <= 0:
            self.lost += len(text)
        elif last.get("name") == name:
            last["text"].append(self._room(text))
        elif self._begins(len(text)):
            self.all.append({"output_type": "stream", "name": name, "text": [self._room(text)]})

    def data(self, kind: str, data: dict[str, Any]) -> None:
        """Add something displayed."""
        self._clear_if_it_waits()
        shown = {mime: str(data[mime]) for mime in SHOWN if mime in data}
        if not self._begins(sum(map(len, shown.values()))):
            return
        size = sum(map(_in_json, shown.values()))
        if size > self.left:
            self.lost += sum(len(text) for mime, text in shown.items() if mime != "text/plain")
            shown = {"text/plain": self._room(shown.get("text/plain", ""))}
        else:
            self.left -= size
        more = {"execution_count": None} if kind == "execute_result" else {}
        self.all.append({"output_type": kind, "data": shown, "metadata": {}, **more})

    def error(self, name: str, words: str, lines: Sequence[str]) -> None:
        """Add an error with its traceback."""
        self._clear_if_it_waits()
        text = "\n".join(lines)
        if self._begins(len(text)):
            named = {"ename": self._room(name[:100]), "evalue": self._room(words[:1000])}
            lines = self._room(text).split("\n")
            self.left -= 3 * len(lines)  # more than a line's end takes in JSON
            self.all.append({"output_type": "error", **named, "traceback": lines})

    def _begins(self, size: int) -> bool:
        """Whether there is room for one more output; without it, all of it is lost."""
        if self.left < AROUND:
            self.lost += size
            return False
        self.left -= AROUND
        return True

    def _room(self, text: str) -> str:
        """The beginning of a text for which there is room."""
        kept = text[: max(0, self.left)]
        while _in_json(kept) > max(0, self.left):
            kept = kept[: len(kept) // 2]
        self.left -= _in_json(kept)
        self.lost += len(text) - len(kept)
        return kept

    def done(self) -> list[dict[str, Any]]:
        """All of it."""
        return [
            {**output, "text": "".join(output["text"])} if output["output_type"] == "stream" else output
            for output in self.all
        ]


def _in_json(text: str) -> int:
    """How many characters a text takes in JSON."""
    return len(json.dumps(text)) - 2


class Stream(io.TextIOBase):
    """Stands in for stdout or stderr."""

    encoding = "utf-8"

    def __init__(self, shell: "Shell", name: str) -> None:
        self.shell, self.name = shell, name

    def write(self, text: str) -> int:
        self.shell.outputs.stream(self.name, str(text))
        return len(text)

    def close(self) -> None:
        pass

    def writable(self) -> bool:
        return True


class Hook(DisplayHook):
    """Takes the value of a cell's last line."""

    def __call__(self, result: Any = None) -> None:
        if result is not None and not self.quiet():
            data, _ = self.compute_format_data(result)
            self.update_user_ns(result)
            cast(Shell, self.shell).outputs.data("execute_result", data)


class Publisher(DisplayPublisher):
    """Takes what a cell displays."""

    def publish(self, data: Any, *others: Any, **more: Any) -> None:
        cast(Shell, self.shell).outputs.data("display_data", data)

    def clear_output(self, wait: bool = False) -> None:
        cast(Shell, self.shell).outputs.clear(wait)


class Shell(absent.ConfinedShell):
    """IPython, as in a notebook, that keeps what its cells show and writes no history."""

    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)
    outputs = Outputs(0)  # of the cell that runs

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        self.outputs.error(getattr(etype, "__name__", str(etype)), str(evalue), list(stb))

    def _tee(self, channel: str) -> Any:
        """Newer IPythons keep all that a cell prints, which takes too much memory; this one does not."""
        return contextlib.nullcontext()

    def enable_gui(self, gui: Any = None) -> None:
        pass


def shell() -> Shell:
    """The one IPython of this process."""
    quiet = Config()
    quiet.HistoryManager.enabled = False
    quiet.InteractiveShell.colors = "nocolor"
    quiet.InteractiveShell.xmode = "Context"
    made = Shell.instance(config=quiet)
    made.db = {}  # what magics would keep in a file
    return made


# ---------------------------------------------------------------------------------- what a submission imports


class NotHere(importlib.abc.MetaPathFinder):
    """Says in words why a part of the course cannot be imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.startswith(("course_lib.checks.", "course_lib.concepts")):
            return importlib.machinery.ModuleSpec(name, _Empty(), is_package=True)
        if name.startswith("course_lib."):
            raise ModuleNotFoundError(
                f"{name} is not there when answers are graded: write the steps yourself.", name=name
            )
        return None


class _Empty(importlib.abc.Loader):
    """A module in which every name is there and does nothing useful."""

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        def missing(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)

            def not_here(*values: Any, **named: Any) -> Any:
                raise RuntimeError(f"{module.__name__}.{name} is not there when answers are graded.")

            return not_here

        module.__dict__["__getattr__"] = missing


# -------------------------------------------------------------------------------------------------- answering


Answer = tuple[dict[str, Any], bytes]  # header and raw bytes of a frame
Marks = tuple[int | None, int | None]  # see `_mark` and `_state`


class Child:
    """Answers the grader's questions, one after the other, until the pipe ends."""

    def __init__(self, pipe: socket.socket) -> None:
        self.pipe = pipe
        self.shell = shell()
        self.asked: dict[tuple[str, str], Any] = {}  # by test and name
        self.things: dict[int, Any] = {}  # that a test has got and that cannot travel
        self.given: list[type] = []  # classes of the source's own cells
        self.data: dict[str, Marks] = {}  # of these cells
        self.leaves: list[Any] = []  # the tensors with gradients that the test has given
        self.numbers = itertools.count(time.monotonic_ns())  # no other child has these
        self.identities = Identities(self.numbers)
        self.identities_of: dict[int, Identities] = {}  # by test
        self.surroundings = Surroundings()
        self.number_by_id: dict[int, int] = {}  # of what is kept

    def serve(self) -> None:
        """Answer until the grader has no more questions."""
        answers = {
            "names": self.names,
            "run": self.run,
            "given": self.rewritten,
            "try": self.try_,
            "call": self.call,
        }
        while True:
            question, raw = wire.receive(self.pipe)
            # Switches that a cell leaves on are for cells alone.
            with contextlib.nullcontext() if question["do"] == "run" else clean_state():
                for body, blob in answers[question["do"]](question, raw):
                    wire.send(self.pipe, {"n": question["n"], **body}, blob)

    def names(self, question: dict[str, Any], raw: bytes) -> Iterator[Answer]:
        """What the code of a cell names."""
        code = question["code"]
        yield {"used": list(names_used(code)), "mentioned": list(names_mentioned(code))}, b""

    def run(self, question: dict[str, Any], raw: bytes) -> Iterator[Answer]:
        """Run one cell."""
        self.shell.outputs = outputs = Outputs(question["room"])
        before, data = self.classes(), self.marks() if question["given"] else {}
        start = monotonic()
        with (
            self.captured(),
            seeded(question["seed"]),
            interrupted_after(question["seconds"], OutOfTime),
            contextlib.suppress(OutOfTime),
        ):
            self.shell.run_cell(question["code"], store_history=False)
        late = monotonic() - start > question["seconds"]
        if question["given"]:
            self.given += [one for one in self.classes() if one not in before]
            self.data |= dict(self.marks().items() - data.items())
        header = {"outputs": outputs.done(), "lost": outputs.lost}
        yield {**header, "late": True} if late else header, b""

    def rewritten(self, question: dict[str, Any], raw: bytes) -> Iterator[Answer]:
        """Which data of the source's cells hold something else by now, and what else of theirs has moved."""
        now = self.marks()
        pairs = {name: (marks, now.get(name, (None, None))) for name, marks in self.data.items()}
        rewritten = [name for name, (before, after) in pairs.items() if before[0] != after[0]]
        moved = [name for name, (before, after) in pairs.items() if before[1] != after[1]]
        yield {"rewritten": rewritten, "moved": moved}, b""

    def marks(self) -> dict[str, Marks]:
        """What tells of the notebook's values whether they have changed."""
        hidden = self.shell.user_ns_hidden  # IPython's own
        values = {name: value for name, value in self.shell.user_ns.items() if name not in hidden}
        return {name: (_mark(value), _state(value)) for name, value in values.items()}

    def classes(self) -> list[type]:
        """The classes that the notebook has names for."""
        return [one for one in self.shell.user_ns.values() if issubclass(type(one), type)]

    def learner(self, place: str, name: str) -> Any:
        """What a test asks for: what it got the first time, or what has that name now.

        What is a value is always that of now: a function that was called may have changed it.

        Raises: KeyError: there is nothing of that name.
        """
        key = place, name
        if key not in self.asked or not callable(self.asked[key]):
            self.asked[key] = self.shell.user_ns[name]
        return self.asked[key]

    def keep(self, thing: Any, raw: bytearray) -> dict[str, Any]:
        """Keep what cannot travel; how it is found again, and what a test may do with it."""
        has = [name for name in SPECIAL if hasattr(type(thing), name)]
        bases = kinds_of(thing, self.number_of_class) if isinstance(thing, type) else []
        is_own = getattr(thing, "__module__", "") == "__main__"
        told = {"is": "kept", "number": self.number_of(thing), "bases": bases, "has": has, "own": is_own}
        is_tensor = "torch" in sys.modules and isinstance(thing, sys.modules["torch"].Tensor)
        if isinstance(thing, PLAIN) or (is_tensor and wire.is_own(type(thing))):
            told |= {"value": wire.encode(thing, raw)}
        if getattr(thing, "requires_grad", False) is True:
            told |= {"tensor": wire.encode(thing.detach(), raw), "is_leaf": thing.is_leaf}
            told |= {"gradient": wire.encode(thing.grad, raw), "leaves": self.number_of(self.leaves)}
        return {**told, "kinds": kinds_of(type(thing), self.number_of_class)}

    def number_of_class(self, kind: type) -> int:
        """Its number; 0 for one of the source's own cells."""
        return 0 if any(kind is one for one in self.given) else self.number_of(kind)

    def number_of(self, thing: Any) -> int:
        """The number by which a thing is found again."""
        number = self.number_by_id.setdefault(id(thing), next(self.numbers))
        self.things[number] = thing
        return number

    def try_(self, question: dict[str, Any], raw: bytes) -> Iterator[Answer]:
        """Make attempts at some cases, each told as soon as it is made."""
        try:
            learner = self.learner(question["place"], question["name"])
        except KeyError:
            yield {"missing": question["name"]}, b""
            return
        packed = io.BytesIO(raw)  # the grader's own words: nothing of a submission went into them
        for size in question["sizes"]:
            task, case = pickle.loads(packed.read(size))
            problem = _other_than(task.takes, learner)
            limit = question["seconds"]
            made = Attempt(failure=problem) if problem else attempt(task, learner, case, limit, called)
            yield told(made)
            if made.is_last:
                return

    def call(self, question: dict[str, Any], raw: bytes) -> Iterator[Answer]:
        """Call a function with plain values, once or more often."""
        yield self._answers(question, raw)

    def _answers(self, question: dict[str, Any], raw: bytes) -> Answer:
        try:
            function, calls, things, others = self.question(raw)
        except KeyError as missing:
            return {"missing": str(missing.args[0])}, b""
        problem = _other_than("function", function)
        if problem:
            return {"failure": dataclasses.asdict(problem), "kinds": kinds_of(TypeError)}, b""
        is_kept = question["keep"]
        before = things if is_kept else [copied(thing) for thing in things]
        copies = [thing for thing in things if not (is_kept and self.identities.has(thing))]
        learn = (thing for thing in copies if getattr(thing, "requires_grad", False) is True)
        self.leaves = [*self.identities.leaves(), *learn]
        guard = guard_of(tuple(question["forbidden"]))
        read = itself if is_kept else _read

        def run() -> list[Any]:
            with clean_state(), guard, self.watched(others) if is_kept else contextlib.nullcontext():
                return [read(function(*values, **named)) for values, named in calls]

        errors = Printed(MOST_READ) if is_kept else None
        outcome = called(run, question["seconds"], MOST_READ if is_kept else PRINTED_LIMIT, errors)
        if outcome.late:
            return {"late": True}, b""
        blob = bytearray()
        keeper = self if is_kept else None
        if outcome.error is not None:
            told = {
                "failure": _shortened(failure_of(outcome.error)),
                "kinds": kinds_of(type(outcome.error), self.number_of_class),
            }
            if errors is not None:
                told |= {"contents": wire.encode_changed(blob, self), "complained": errors.text}
                told |= {"about": wire.encode(about_error(outcome.error), blob, self)}
                told |= {"around": wire.encode(self.surroundings.answered(), blob)}
            return {**told, "printed": outcome.printed}, bytes(blob)
        changed = wire.encode_changed(blob, self) if is_kept else {"is": "list", "of": []}
        untold = [None if is_kept and self.identities.has(thing) else thing for thing in things]
        states = [state_of(*both) for both in zip(untold, before, strict=True)]
        values = [changed, *(wire.encode(value, blob, keeper) for value in (states, outcome.value))]
        header = {"values": {"is": "list", "of": values}, "printed": outcome.printed}
        if is_kept:
            header["around"] = wire.encode(self.surroundings.answered(), blob)
            header["complained"] = errors.text if errors else ""
        return {**header, "forbidden": getattr(guard, "called", "")}, bytes(blob)

    def question(self, raw: bytes) -> tuple[Any, Any, list[Any], list[Any]]:
        """What is to be called, with what; which of that is told when it changes; other copies of the test's.

        Raises: KeyError: what it names is not there.
        """
        reader = _Unpickler(raw, self)
        news, function, calls, things, around = reader.load()  # as above
        if news is not None:
            self.identities = self.identities_of.setdefault(news.test, Identities(self.numbers))
            self.identities.take(news)
        if around is not None:
            self.surroundings.take(around)
        told = {*map(id, things), *reader.here, *self.identities.number_by_id}
        given = [value for values, named in calls for value in (*values, *named.values())]
        return function, calls, things, [value for value in given if id(value) not in told]

    @contextlib.contextmanager
    def watched(self, others: Sequence[Any]) -> Iterator[None]:
        """Within, it is noted what an answer changes that stays here: of its process, and of some copies."""
        before = list(map(_crc, others))
        try:
            # As in a notebook, so that it is seen where an answer is quiet.
            with np.errstate(divide="warn", over="warn", invalid="warn"), self.surroundings.watched():
                yield
        finally:
            if list(map(_crc, others)) != before:
                self.surroundings.stays.add("copies")

    @contextlib.contextmanager
    def captured(self) -> Iterator[None]:
        """Prints go into the cell's outputs."""
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = Stream(self.shell, "stdout"), Stream(self.shell, "stderr")
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class _Unpickler(pickle.Unpickler):
    """Reads the grader's questions.

    What a test has got of a submission stands there as its address; a class of the source's cells becomes
    the one that these cells have made here.
    """

    def __init__(self, raw: bytes, child: Child) -> None:
        super().__init__(io.BytesIO(raw))
        self.child = child
        self.here: set[int] = set()  # ids of what is here already

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names."""
        found = super().find_class(module, name)
        if found is _make_skeleton_class:
            return lambda kind, name, *others: self.given(name) or found(kind, name, *others)
        if found is _class_setstate:
            return lambda kind, state: kind if self.given(kind.__name__) is kind else found(kind, state)
        return found

    def given(self, name: str) -> type | None:
        """The class of this name that the source's cells have made here."""
        return next((kind for kind in reversed(self.child.given) if kind.__name__ == name), None)

    def persistent_load(self, address: Any) -> Any:
        """The thing.

        Raises: KeyError: there is nothing of that name.
        """
        found = self._found(address)
        self.here.add(id(found))
        return found

    def _found(self, address: Any) -> Any:
        if not isinstance(address, tuple):
            return self.child.things[address]
        if len(address) == 1:
            return self.child.identities.values[address[0]]
        return self.child.learner(*address)


def about_error(error: BaseException) -> dict[str, Any]:
    """What an error holds."""
    code = {"code": error.code} if isinstance(error, SystemExit) else {}
    return {**vars(error), **code, "args": error.args}


def kinds_of(kind: type, number_of: Callable[[type], int] = id) -> list[str]:
    """A class and those that it is made from, by their names; those of answers have numbers, too.

    Args:
        kind: a class.
        number_of: 0 for a class of the source's own cells.
    """
    found = []
    for one in type.__dict__["__mro__"].__get__(kind):
        module = sys.modules.get(str(one.__module__))
        is_own = one.__module__ == "__main__" or vars(module or sys).get(one.__name__, one) is not one
        number = number_of(one) if is_own else 0
        found.append(f"{one.__module__}{f'.answer{number}' if number else ''}.{one.__qualname__}")
    return found


def called(
    function: Callable[[], Any],
    seconds: float,
    most_printed: int = PRINTED_LIMIT,
    errors: Printed | None = None,
) -> Call:
    """As `checks.call.call`, without a thread: what ignores its limit is ended from outside.

    What is written to stderr is printed, too, or stands in `errors`.
    """
    printed = Printed(most_printed)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors or printed),
            warnings.catch_warnings(action="ignore"),
            interrupted_after(seconds, OutOfTime),
        ):
            try:
                return Call(function(), printed=printed.text)
            except OutOfTime:
                raise
            except BaseException as error:  # SystemExit too: `exit()` must not end the examination
                return Call(error=error, printed=printed.text)
    except OutOfTime as error:
        return Call(printed=printed.text, late=True, line=own_line(error))


def _mark(value: Any) -> int | None:
    """Another number as soon as a value holds something else; None where it is no data."""
    if has_identity(value) or isinstance(value, int | float | complex | str | bytes | tuple):
        return _crc(value)
    if value.__class__.__module__ == "__main__" or getattr(value, "__module__", "") == "__main__":
        held = {name: _crc(one) for name, one in vars(value).items() if name not in PYTHONS}
        return _crc(held)  # of an object, or a class
    return None


def _state(value: Any) -> int | None:
    """Another number as soon as something else moves: weights, gradients, the place of a generator."""
    try:
        weights = value.parameters() if hasattr(value, "named_parameters") else [value]
        gradients = [one.grad for one in weights if getattr(one, "is_leaf", False) is True]
        rest = None if _mark(value) else value
        return _crc([gradients, getattr(value, "__defaults__", None), rest])
    except Exception:  # a class of modules, for instance
        return None


def _crc(value: Any) -> int | None:
    try:
        return zlib.crc32(pickle.dumps(value))
    except Exception:  # something within it
        return None


def _other_than(takes: str, learner: Any) -> Failure | None:
    """What to say of something that is no function, or no class where one is asked for."""
    if isinstance(learner, type) if takes == "class" else callable(learner):
        return None
    words = f"The check needs the {takes} itself, but got {describe(learner)}."
    return Failure("TypeError", words, wrong_form=True)


def _read(answer: Any) -> Any:
    """An answer before the next call; what a generator gives is drawn now."""
    return list(itertools.islice(answer, MANY)) if isinstance(answer, Iterator) else answer


def _shortened(failure: Failure) -> dict[str, Any]:
    """The fields of a failure; an error may have words without end."""
    short = {"kind": failure.kind[:100], "words": failure.words[:2000], "line": failure.line[:300]}
    return {**dataclasses.asdict(failure), **short}


def told(made: Attempt) -> Answer:
    """An attempt as it travels: what there is to say."""
    raw = bytearray()
    fields: dict[str, Any] = {
        name: value for name, value in vars(made).items() if value is not DEFAULTS[name]
    }
    if made.failure:
        fields["failure"] = _shortened(made.failure)
    return {name: wire.encode(value, raw) for name, value in fields.items()}, bytes(raw)


def main(connection: int) -> None:
    """Serve until the grader has gone.

    Args:
        connection: the descriptor of our end.
    """
    pipe = socket.socket(fileno=connection)
    os.register_at_fork(after_in_child=pipe.close)  # a process that a submission starts has no part in this
    sys.meta_path.append(NotHere())
    sys.path.append("")  # for modules that a submission writes
    bring()
    absent.speak()
    seed()
    with contextlib.suppress(wire.WireError):  # the grader has gone
        Child(pipe).serve()
