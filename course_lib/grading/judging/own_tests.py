"""A teacher's own test as seen from the grader: start its process, pass on what it asks, read what it says.

The process (`bench`) is forked for one test cell and one submission. What a student has written may run in
it, where the test lets it; so what comes from there is nothing but that student's points.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from course_lib.grading.judging.session import GRACE_S, Session, Zygote
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.calls import Died, TimeOver

Check = Callable[[dict[str, Any]], bool]
# What a test does not see as it is, and what a teacher is told of it.
BLIND = {
    "class": "a value of an own class came to it as a plain one",
    "code": "the code that it reads is bound more than once, or may be replaced",
    "copies": "what may be one thing came to it as copies",
    "files": "an answer has left what is no plain file: a link, an empty folder",
    "process": "an answer has changed its folder, environment or settings",
}


@dataclass(frozen=True)
class Said:
    """What came of a part of a test.

    Args:
        worth: the points that its last line gives; None: all of them.
        error: what there is to say of its error; "" without one.
        line: of the part, where the error arose; 0: elsewhere.
        is_check: the error is that of a check of the course.
        is_late: the submission took too long.
        seen: see `Far`.
        blind: what a teacher is told of what the test did not see as it is.
    """

    worth: float | None = None
    error: str = ""
    line: int = 0
    is_check: bool = False
    is_late: bool = False
    seen: dict[str, bool] = field(default_factory=dict)
    blind: tuple[str, ...] = ()


class OwnTest:
    """The process of one test cell for one submission.

    Args:
        zygote: what it is forked from.
        start: the test, see `Bench`.
        given: pickled, what the source gives it.
    """

    def __init__(self, zygote: Zygote, start: dict[str, Any], given: bytes) -> None:
        self.zygote = zygote
        self.pid, self.pipe = zygote.fork()
        wire.send(self.pipe, start, given)

    def run(self, code: str, session: Session, check: Check, seconds: float) -> Said:
        """Run a part of the test.

        Args:
            code: the part.
            session: the submission's process.
            check: makes a check of the course; whether it says yes.
            seconds: for all but the checks, which have limits of their own.
        Raises:
            TimeOver: it took longer.
            Died: it has ended, for its memory or by itself.
        """
        until = time.monotonic() + seconds
        try:
            wire.send(self.pipe, {"code": code, "seconds": seconds})
            while True:
                header, raw = wire.receive(self.pipe, max(0.1, until + GRACE_S - time.monotonic()))
                if "done" in header:
                    return _said(header["done"])
                if "close" in header:
                    session.close()
                elif "check" in header:
                    start = time.monotonic()
                    wire.send(self.pipe, {"passed": check(header["check"])})
                    until += time.monotonic() - start
                else:
                    wire.send(self.pipe, *_asked(session, min(seconds, header["ask"]), raw))
        except wire.Late:
            raise TimeOver from None
        except (wire.WireError, OSError, KeyError, TypeError, ValueError):
            raise Died from None

    def close(self) -> None:
        """End it."""
        self.pipe.close()
        self.zygote.end(self.pid)


def _asked(session: Session, seconds: float, raw: bytes) -> tuple[dict[str, Any], bytes]:
    """What the submission's process answers to a call, as it came."""
    question = {"do": "call", "seconds": seconds, "forbidden": [], "keep": True}
    try:
        header, blob = session.ask(question, raw, seconds)
    except TimeOver:
        return {"late": True}, b""
    except Died:
        return {"died": True}, b""
    return {"answer": header}, blob


def _said(done: dict[str, Any]) -> Said:
    """What a process says of its part, which may say anything."""
    seen = {str(path): own is True for path, own in done["seen"].items()}
    blind = tuple(words for what, words in BLIND.items() if what in done["blind"])
    if "worth" in done:
        worth = done["worth"]
        is_number = type(worth) is float and math.isfinite(worth)
        return Said(worth if is_number else None if worth is None else 0.0, seen=seen, blind=blind)
    line = done["lines"][-1] if done["lines"] else 0
    return Said(0.0, str(done["said"]), int(line), done["check"] is True, done["late"] is True, seen, blind)
