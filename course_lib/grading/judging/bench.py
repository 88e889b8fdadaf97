"""Inside a sandbox of its own: one test cell of a teacher's, for one submission.

The test meets values that a student has made, and may do with them whatever Python can. So it runs where it
reaches no file, no network, no other test and no other student. There are two ways out, and both go
through the grader: questions to the submission's process, and checks of the course. What returns is points,
or a text.
"""

import inspect
import os
import pickle
import socket
import traceback
from typing import Any

from course_lib.checks.attempt import said_by
from course_lib.grading.intake.given import compiled, points_of
from course_lib.grading.judging.stand_ins import Far, Names, is_stand_in, part
from course_lib.grading.pipe import asked, wire
from course_lib.grading.pipe.calls import Died, TimeOver
from course_lib.grading.pipe.states import seed
from course_lib.grading.pipe.surroundings import bring

MOST_SAID = 500  # characters of an error


class CheckFailed(AssertionError):
    """A check of the course says no; the grader has what it says."""


class Relay:
    """The way to the submission's process, which the grader starts, ends and looks after."""

    def __init__(self, pipe: socket.socket) -> None:
        self.pipe = pipe

    def ask(self, question: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """As `Session.ask`."""
        wire.send(self.pipe, {"ask": seconds}, raw)  # the grader knows the question
        header, blob = wire.receive(self.pipe)
        if "answer" not in header:
            raise TimeOver if "late" in header else Died
        return header["answer"], blob

    def close(self) -> None:
        """As `Session.close`."""
        wire.send(self.pipe, {"close": True})


class Bench:
    """Runs the shown part of a test cell, and later its hidden part in the same names."""

    def __init__(self, pipe: socket.socket) -> None:
        self.pipe = pipe
        start, raw = wire.receive(pipe)
        self.place = start["place"]
        given = pickle.loads(raw)  # from the grader; nothing of a submission went into it
        self.far = Far(Relay(pipe), self.place, given, start["cells"], start["expected"])
        seed(start["seed"])  # nobody who does not have the source knows what the test draws
        self.far.surroundings.own = set(start["files"])
        self.scope = Names(self.far, set(start["checked"]))
        self.scope["check"] = self.check

    def serve(self) -> None:
        """Run each part that the grader sends, until it has gone."""
        vars(inspect)["getsource"] = self.far.source_of
        while True:
            part, _ = wire.receive(self.pipe)
            done = self.run(part["code"], part["seconds"])
            wire.send(self.pipe, {"done": {**done, "seen": self.far.seen, "blind": self.far.blind()}})

    def run(self, code: str, seconds: float) -> dict[str, Any]:
        """What comes of a part: its points, or what there is to say of its error."""
        self.far.seconds = seconds  # for all that it asks
        try:
            self.far.ask(asked.itself, None)  # for the files that cells have written
            statements, last = compiled(code, self.place)
            exec(statements, self.scope)
            return {"worth": points_of(eval(last, self.scope) if last else None)}
        except BaseException as error:  # those of pytest's `raises`, `fail` and `skip` are no Exceptions
            words = said_by(error)  # it may hold a stand-in, whose own words come from the submission
            said = f"{type(error).__name__}: {words}" if words else "A test of this cell fails."
            frames = traceback.walk_tb(error.__traceback__)
            lines = [n for frame, n in frames if frame.f_code.co_filename == self.place]
            failed = isinstance(error, CheckFailed)
            return {"said": said[:MOST_SAID], "lines": lines[-1:], "late": self.far.late, "check": failed}

    def check(self, task: str, learner: Any, *, seed: int = 0, seconds: float | None = None) -> None:
        """The check of the course, as a test calls it; the grader makes it.

        Raises:
            TypeError: that is no name of the learner's.
            CheckFailed: it says no.
        """
        if not is_stand_in(learner):
            raise TypeError(
                f"check({task!r}, ...) needs a name that the learner defines; got {learner!r:.60}"
            )
        question = {"task": task, "name": part(learner, "path"), "seed": seed, "seconds": seconds}
        wire.send(self.pipe, {"check": question})
        answer, _ = wire.receive(self.pipe)
        if not answer["passed"]:
            raise CheckFailed(f"the check of {task} fails")


def main(connection: int) -> None:
    """Serve until the grader has gone.

    Args:
        connection: the descriptor of our end.
    """
    pipe = socket.socket(fileno=connection)
    os.register_at_fork(after_in_child=pipe.close)
    bring()
    try:
        Bench(pipe).serve()
    except wire.WireError:  # the grader has gone
        return
