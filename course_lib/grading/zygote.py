"""The process that submissions are forked from: torch is loaded, and it never held a secret.

It has a copy of the course without checks, references and solutions, and reads nothing of a submission.
For each one it forks a process that is locked in before it runs a line.
"""

import gc
import importlib
import json
import os
import pickle
import random
import signal
import socket
import sys
from typing import Any

from course_lib.grading import child, sandbox, wire


def main(control: socket.socket) -> None:
    """Fork a child for each request, until the grader has gone."""
    start, raw = wire.receive(control)
    policy, _ = pickle.loads(raw)  # from the grader, before any submission is there
    prepare(start["modules"])
    wire.send(control, {"ready": os.getpid()})
    control.settimeout(None)
    while True:
        try:
            question, pipe = _asked(control)
        except wire.WireError:
            os._exit(0)  # the grader has gone; children die with this process
        if pipe is not None:
            pid = os.fork()
            if pid == 0:
                control.close()
                sandbox.enter(policy, keep=pipe.fileno())
                child.main(pipe, question["most_output"])
            pipe.close()
            wire.send(control, {"pid": pid})
        else:
            wire.send(control, {"status": _end(question["end"])})


def prepare(modules: list[str]) -> None:
    """Import what submissions will, once for all of them."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in modules:
        importlib.import_module(name)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # before the first operation: children would wait for threads that they lack
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item()
    random.seed(0)
    shell = child.shell()
    shell.run_cell("None", store_history=False)
    gc.collect()
    gc.freeze()  # the children share these pages


def _asked(control: socket.socket) -> tuple[dict[str, Any], socket.socket | None]:
    """The next question of the grader, and the pipe that came with it."""
    text, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
    if not text:
        raise wire.WireError("the grader has ended")
    return json.loads(text), socket.socket(fileno=descriptors[0]) if descriptors else None


def _end(pid: int) -> int:
    """Kill a child with all that it started; its status as `os.waitstatus_to_exitcode` gives it."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except (ProcessLookupError, ChildProcessError):
        return 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
