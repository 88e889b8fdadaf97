"""Calls in a child, for whoever asks: the checks of the course, or the process of a teacher's own test.

The child may answer anything; what comes is looked through before it is believed.
"""

import builtins
import dataclasses
import functools
import re
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from course_lib.checks.attempt import Failure, Reported
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.identity import Identities
from course_lib.grading.pipe.states import can_change, restore
from course_lib.grading.pipe.surroundings import Surroundings
from course_lib.grading.pipe.travel import Addressed, packed_call

MOST_PRINTED = 100_000  # characters that one call may print where a test reads them
MOST_LINE = 300  # characters of a line of code
Call = tuple[tuple[Any, ...], dict[str, Any]]  # values in order, and by name
DEAD = Failure(
    "its end", "The process that ran it has ended: killed, out of memory, or by itself.", wrong_form=True
)
LATE = Failure("Late", "It takes too long.", wrong_form=True)
# Errors that need more than words.
OF_MORE_PARTS = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError, BaseExceptionGroup)


class Died(Exception):
    """The child is gone: it ended itself, was ended for its memory, or broke the pipe."""


class TimeOver(Exception):
    """The child was ended because its time was over."""


class Asked(Protocol):
    """A child, or the way to one."""

    def ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Ask it.

        Raises:
            TimeOver, Died: and the child is gone.
        """

    def close(self) -> object:
        """End it."""


class Maker(wire.Maker, Protocol):
    """Makes what stands for things that cannot travel."""

    surroundings: Surroundings
    errors: dict[str, type]  # classes of a submission's own errors, by their names


def call_there(
    child: Asked,
    function: Any,
    calls: Sequence[Call],
    seconds: float,
    forbidden: Sequence[str] = (),
    maker: Maker | None = None,
) -> tuple[list[Any], str]:
    """Call a function in the child; what it changes of plain values is changed here too.

    Args:
        child: where.
        function: a submission's, or one of Python's.
        calls: the values of each call, in order and by name: plain ones, or what stands for the child's.
        seconds: for all of them.
        forbidden: routines that it must not call.
        maker: makes what stands for things that cannot travel; without it they are `wire.Foreign`.
    Returns: what came of each, and the forbidden routine that was called.
    Raises:
        TimeOver: it took longer.
        Reported: it raised an error, of which this has the kind too; or nothing came.
    """
    given = [value for values, named in calls for value in (*values, *named.values())]
    ours = {id(value): value for value in given if not issubclass(type(value), Addressed)}
    things = [value for value in ours.values() if can_change(value)]
    known: dict[int, int] = {}
    news = around = None
    if maker is not None:
        known = dict(maker.identities.number_by_id)
        news = maker.identities.news(ours.values())
        known = {id: n for id, n in known.items() if maker.identities.number_by_id.get(id) == n}
        around = maker.surroundings.told()
    raw = packed_call(known, news, function, calls, things, around)
    try:
        question = {
            "do": "call",
            "seconds": seconds,
            "forbidden": list(forbidden),
            "keep": maker is not None,
        }
        header, blob = child.ask(question, raw, seconds)
        if "late" in header:
            child.close()
            raise TimeOver
        if maker is not None:
            sys.stdout.write(str(header.get("printed", ""))[:MOST_PRINTED])
            sys.stderr.write(str(header.get("complained", ""))[:MOST_PRINTED])
            if "around" in header:
                maker.surroundings.take_answer(**wire.decode(header["around"], blob))
        if "missing" in header or "failure" in header:
            raise _error(header, blob, maker)
        changed, states, answers = map(_list, _list(wire.decode(header.get("values"), blob, maker)))
        if len(answers) != len(calls):
            raise wire.WireError("the answers to other calls")
        _write_back(things, states)
        if maker is not None:
            _update(maker.identities, changed)
        return answers, forbidden_in(header, forbidden)
    except wire.WireError as error:
        child.close()
        words = f"What it gives cannot be compared here: {error}."
        raise Reported(Failure("Other", words, wrong_form=True) if maker else DEAD) from None
    except Died:
        child.close()
        raise Reported(DEAD) from None


def _error(header: dict[str, Any], blob: bytes, maker: Maker | None) -> Reported:
    """An error that a child tells of, with what it holds."""
    if "missing" in header:
        return error_of(not_defined(header["missing"][:100]), ["builtins.NameError"], {})
    kinds = [str(kind)[:200] for kind in _list(header.get("kinds"))[:50]]
    if maker is None:  # in the grader itself it would end more than a test
        kinds = [kind for kind in kinds if kind != "builtins.SystemExit"]
    error = error_of(failure_in(header["failure"]), kinds, maker.errors if maker else {})
    if maker is not None and "about" in header:
        _update(maker.identities, _list(wire.decode(header.get("contents"), blob, maker)))
        about = wire.decode(header["about"], blob, maker)
        error.args = about.pop("args")
        for name, value in about.items():
            setattr(error, name, value)
    return error


def _list(value: Any) -> list[Any]:
    """What must be a list.

    Raises: WireError: it is none.
    """
    if type(value) is not list:
        raise wire.WireError("a list is expected")
    return value


def size_of(value: Any) -> int:
    """About how many characters a value takes as JSON."""
    if isinstance(value, list):
        return 2 * len(value) + sum(map(size_of, value))
    if isinstance(value, dict):
        return 2 + sum(map(size_of, value)) + sum(map(size_of, value.values()))
    return len(value) if isinstance(value, str) else 10


def not_defined(name: str) -> Failure:
    """What there is to say of a name that a submission does not define."""
    return Failure("NameError", f"name {name!r} is not defined")


def _other(thing: Any) -> Reported:
    """What there is to say of something that is no longer what it was, but for its numbers."""
    words = f"It makes something else of the {type(thing).__name__} that it is given."
    return Reported(Failure("Other", words, wrong_form=True))


def _write_back(things: Sequence[Any], states: Sequence[Any]) -> None:
    """Give what a function was given the state that it has in the child.

    Raises:
        WireError: the states of other things came.
        Reported: see `_other`.
    """
    if len(states) != len(things):
        raise wire.WireError("the states of other values")
    for thing, state in zip(things, states, strict=True):
        try:
            restore(thing, state)
        except ValueError:
            raise _other(thing) from None


def _update(known: Identities, changed: Sequence[Any]) -> None:
    """Give values the contents that they have in the child, by their numbers.

    Raises:
        WireError: those of other values came.
        Reported: see `_other`.
    """
    for pair in changed:
        if type(pair) is not tuple or len(pair) != 2 or pair[0] not in known.values:
            raise wire.WireError("the contents of other values")
        try:
            known.put(*pair)
        except ValueError:
            raise _other(known.values[pair[0]]) from None


def forbidden_in(header: dict[str, Any], forbidden: Sequence[str]) -> str:
    """The forbidden routine that a child says was called; "" where it is none of those."""
    called = header.get("forbidden", "")
    return called if called in forbidden else ""


def failure_in(fields: Any) -> Failure:
    """A failure as a child tells of it.

    Raises: WireError: it tells something else.
    """
    wanted = {field.name: field.type for field in dataclasses.fields(Failure)}
    if type(fields) is not dict or fields.keys() != wanted.keys():
        raise wire.WireError("a failure in other words")
    return Failure(
        kind=str(fields["kind"])[:100],
        words=str(fields["words"])[:2000],
        line=str(fields["line"])[:MOST_LINE],
        wrong_form=fields["wrong_form"] is True,
        not_written=fields["not_written"] is True,
    )


# ----------------------------------------------------------------------------------------------------- errors


def error_of(failure: Failure, kinds: Sequence[str], own: dict[str, type]) -> Reported:
    """An error of the sandbox as one of the same kind.

    Args:
        failure: what there is to say of it.
        kinds: its class and those that this is made from, by their names.
        own: classes of the submission's own errors, by their names; new ones are added.
    """
    error = error_class(kinds, own)(failure)
    assert isinstance(error, Reported)
    return error


def error_class(kinds: Sequence[str], own: dict[str, type]) -> type[BaseException]:
    """The class of an error: a submission's own one is made from Python's that it is made from."""
    found: type = Reported
    for kind in reversed(kinds):
        module, _, name = kind.rpartition(".")
        python = vars(builtins).get(name) if module == "builtins" else None
        if python is not None:
            is_one = isinstance(python, type) and issubclass(python, Exception | SystemExit)
            found = _reported(python) if is_one and not issubclass(python, OF_MORE_PARTS) else found
        elif module:
            found = own.setdefault(kind, type(re.sub(r"\W", "_", name)[:100], (found,), {}))
    return found


@functools.cache
def _reported(python: type[Exception]) -> type:
    """A class of Python's errors, with the words of a failure."""
    if python is Exception:
        return Reported
    held = {"__str__": lambda self: self.failure.words, "stands_for": python}
    return type(python.__name__, (Reported, python), held)
