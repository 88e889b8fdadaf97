"""Call a learner's function: with a time limit, its prints kept apart, its errors traced to its own line.

The function runs in a thread, because that works in Jupyter and on Windows alike (signals do not). A function
that is late gets an exception raised inside it, which stops any Python loop. One that sits in compiled code
cannot be stopped from outside: its thread is left behind, and the report says so.
"""

import contextlib
import ctypes
import io
import os
import queue
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRINTED_LIMIT = 1000  # characters kept of what a learner's function prints

# Frames below these folders are not the learner's own lines.
_NOT_THE_LEARNERS = [
    os.path.normcase(path) + os.sep
    for path in (
        str(Path(__file__).resolve().parents[1]),  # course_lib
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
]


_OF_NO_FILE = ("<frozen", "<dynamic-code>")  # Python's own modules; what a grader has sent into a sandbox


@dataclass(frozen=True)
class Call:
    """What became of one call: a value, or an error, or neither in time."""

    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    late: bool = False
    stuck: bool = False  # late, and could not be stopped
    line: str = ""  # the learner's own line that was running when the time was over


class OutOfTime(BaseException):
    """Raised inside the learner's thread. Not an Exception: `except Exception` must not swallow it."""


class Printed(io.TextIOBase):
    """Stands in for stdout and stderr: keeps the first characters, drops the rest, cannot be closed."""

    def __init__(self, most: int = PRINTED_LIMIT) -> None:
        self.text = ""
        self.most = most

    def write(self, text: str) -> int:
        self.text += str(text)[: self.most - len(self.text)]
        return len(text)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass


def call(function: Callable[[], Any], seconds: float) -> Call:
    """Run `function` for at most `seconds`; always returns, whatever the function does.

    Example:
        >>> call(lambda: 1 + 1, seconds=1).value
        2
        >>> call(lambda: 1 / 0, seconds=1).error
        ZeroDivisionError('division by zero')
    """
    return call_and_listen(lambda say: function(), seconds, None)


def call_and_listen(
    function: Callable[[Callable[[str], None]], Any], seconds: float, hear: Callable[[str], None] | None
) -> Call:
    """As `call`, and pass on what the function says meanwhile.

    Args:
        function: takes `say`, which it may call with a text.
        seconds: its time limit.
        hear: called with each text, in the caller's thread, so that a notebook shows it under the right cell.
    """
    outcome: dict[str, Any] = {}
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    thread = threading.Thread(target=_work, args=(lambda: function(said.put), outcome), daemon=True)
    printed = Printed()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(action="ignore"),
    ):
        thread.start()
        try:
            _wait(thread, seconds, said, hear)
        finally:  # also when the learner presses "interrupt"
            late = thread.is_alive()
            line = _running_line(thread) if late else ""
            said_in_time = printed.text  # while a thread is stopped, Python may print our exception
            _stop(thread)
    if late:
        return Call(printed=said_in_time, late=True, stuck=thread.is_alive(), line=line)
    return Call(outcome.get("value"), outcome.get("error"), printed.text)


def each(function: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """What a function gives for each of several inputs.

    A grader's stand-in for a function that is far away has a method `each` too, and asks for all in one go.

    Example:
        >>> list(each(max, [(1, 2), (5, 3)]))
        [2, 5]
    """
    together = getattr(function, "each", None)
    if together is not None:
        yield from together(list(inputs))
        return
    for values in inputs:
        yield function(*values)


def _work(function: Callable[[], Any], outcome: dict[str, Any]) -> None:
    try:
        try:
            outcome["value"] = function()
        except OutOfTime:
            raise
        except BaseException as error:  # SystemExit too: `exit()` must not end the check
            outcome["error"] = error
    except OutOfTime:
        pass


def _wait(
    thread: threading.Thread,
    seconds: float,
    said: "queue.SimpleQueue[str]",
    hear: Callable[[str], None] | None,
) -> None:
    """Until the thread ends, or its time is over."""
    if hear is None:
        thread.join(seconds)
        return
    end = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < end:
        thread.join(0.05)
        _pass_on(said, hear)
    _pass_on(said, hear)


def _pass_on(said: "queue.SimpleQueue[str]", hear: Callable[[str], None]) -> None:
    while not said.empty():
        hear(said.get())


def _stop(thread: threading.Thread) -> None:
    for _ in range(25):  # again and again, for `while True: try: ... except BaseException: pass`
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(OutOfTime)
        )
        thread.join(0.02)


def own_line(error: BaseException) -> str:
    """Where in the learner's own code the error arose: 'line 3: return q @ k', or '' if it arose before it.

    Example:
        >>> own_line(call(lambda: 1 / 0, seconds=1).error)[:5]
        'line '
    """
    return _last_own(traceback.extract_tb(error.__traceback__))


def _running_line(thread: threading.Thread) -> str:
    """As `own_line`, of a thread that is at work."""
    frame = sys._current_frames().get(thread.ident or 0)
    return _last_own(traceback.extract_stack(frame)) if frame is not None else ""


def _last_own(frames: traceback.StackSummary) -> str:
    for frame in reversed(frames):
        path = os.path.normcase(os.path.abspath(frame.filename))
        ours = frame.filename.startswith(_OF_NO_FILE) or path.startswith(tuple(_NOT_THE_LEARNERS))
        if not ours:
            return f"line {frame.lineno}: {frame.line}" if frame.line else f"line {frame.lineno}"
    return ""
