"""The process that submissions are forked from: torch is loaded, and it never held a secret.

It has a copy of the course without checks, references and solutions, and reads nothing of a submission.
For each one it forks a process that is locked in before it runs a line. Another one is there for teachers'
own tests, with all of the course.
"""

import contextlib
import gc
import importlib
import json
import os
import pickle
import socket
import sys
from typing import Any

from course_lib.checks.attempt import attempt
from course_lib.grading.judging import child
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.states import seed
from course_lib.grading.walls import sandbox
from course_lib.grading.walls.engines import Engine, Started
from course_lib.grading.walls.sandbox import NoIsolation, Policy

TRIES = 3


def main(control: socket.socket) -> None:
    """Start a child for each request, until the grader has gone."""
    try:
        start, raw = wire.receive(control)
    except wire.WireError:
        os._exit(0)  # the grader has gone already
    policy, engine, specs = pickle.loads(raw)  # from the grader, before any submission is there
    gc.disable()  # nearly all that is made until then stays: to look for the rest takes half a second
    prepare(start["modules"], start["wished"])
    rehearse(specs)
    gc.freeze()  # the children share these pages
    gc.enable()
    try:
        wire.send(control, {"ready": os.getpid()})
    except BrokenPipeError:
        os._exit(0)  # the grader has gone meanwhile
    control.settimeout(None)
    children: dict[int, Started] = {}
    while text := control.recv(4096):
        question = json.loads(text)
        if "end" in question:
            wire.send(control, {"status": children.pop(question["end"]).kill()})
            continue
        try:
            new = _started(engine, policy, start["serve"])
        except NoIsolation as error:
            wire.send(control, {"error": str(error)})
            continue
        children[new.pid] = new
        wire.send(control, {"pid": new.pid})
        socket.send_fds(control, [b"."], [new.connection.fileno()])
        new.connection.close()
    os._exit(0)  # the grader has gone; children die with this process


def _started(engine: Engine, policy: Policy, serve: str) -> Started:
    """A child; on a busy machine one may fail to start, and the next does not.

    Raises: NoIsolation: none could be locked in.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(NoIsolation):
            return engine.start(policy, serve)
    return engine.start(policy, serve)


def prepare(modules: list[str], wished: list[str]) -> None:
    """Import what submissions or tests will, once for all of them; of what is wished what is there."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    shell = child.shell()  # first: matplotlib looks for it, to show figures as pictures
    for name in modules:
        importlib.import_module(name)
    for name in wished:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # before the first operation: children would wait for threads that they lack
        torch.set_num_interop_threads(1)
        (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item()
        # A new Python in a sandbox could not look up what the processor can do, and would draw other numbers.
        os.environ["ATEN_CPU_CAPABILITY"] = torch.backends.cpu.get_cpu_capability().lower()
    shell.run_cell("None", store_history=False)


def rehearse(specs: list[bytes]) -> None:
    """Do once what each child will do, so that what it imports and keeps is there for all of them.

    Args:
        specs: cases that learners see too, as `travel.spec` packs them.
    """
    sandbox.load()
    seed()
    for spec in specs:
        task, case = pickle.loads(spec)
        if task.adapt is not None:
            made = attempt(task, Unwritten if task.takes == "class" else unwritten, case, 1.0, child.called)
            child.told(made)


def unwritten(*values: Any, **named: Any) -> Any:
    """A task before anybody has written it."""
    raise NotImplementedError


class Unwritten:
    """The same of a class."""

    def __init__(self, *values: Any, **named: Any) -> None:
        raise NotImplementedError


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
