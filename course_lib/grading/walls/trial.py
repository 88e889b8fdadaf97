"""Does an engine hold? A program inside it tries to get out, and says what it could.

    python -m course_lib.grading.walls.trial namespaces

prints a list of what got out, as JSON: [] where the engine holds. Where it does not start: an error.
"""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from course_lib.grading.walls import engines, sandbox
from course_lib.grading.walls.sandbox import Limits, Policy

# Where to reach what stands outside: names of files, a port, a socket's name, a process's number.
Goals = dict[str, str | int]


def read_file(goals: Goals) -> None:
    """A file that everybody may read."""
    Path(str(goals["file"])).read_text(encoding="utf-8")


def change_file(goals: Goals) -> None:
    """A folder that everybody may write to."""
    (Path(str(goals["folder"])) / "from inside").write_text("x", encoding="utf-8")


def change_library(goals: Goals) -> None:
    """A file that the child may read: Python's own library."""
    with open(os.__file__, "ab"):
        pass


def reach_tcp(goals: Goals) -> None:
    """A server on this machine."""
    socket.create_connection(("127.0.0.1", int(goals["port"])), timeout=2).close()


def reach_abstract_socket(goals: Goals) -> None:
    """A socket that stands in no folder."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{goals['abstract']}")


def signal_parent(goals: Goals) -> None:
    """The process that started the engine."""
    os.kill(int(goals["pid"]), 0)


def see_processes(goals: Goals) -> None:
    """What the grader's process was started with."""
    Path(f"/proc/{goals['pid']}/environ").read_bytes()


ATTEMPTS: dict[str, Callable[[Goals], None]] = {
    "reads a file outside": read_file,
    "changes a folder outside": change_file,
    "changes what it may read": change_library,
    "reaches a server": reach_tcp,
    "reaches a socket of another program": reach_abstract_socket,
    "reaches the grader's process": signal_parent,
    "reads what the grader was started with": see_processes,
}


def inside(connection: int) -> None:
    """Try everything, and send what could be done."""
    goals = json.loads(os.read(connection, 65536))
    got_out = []
    for words, attempt in ATTEMPTS.items():
        try:
            attempt(goals)
        except OSError:
            continue
        got_out.append(words)
    os.write(connection, json.dumps(got_out).encode())


def outside(name: str) -> list[str]:
    """Set the goals up, start the engine, and hear what got out of it."""
    engine = next(engine for engine in (*engines.ENGINES, engines.NONE) if engine.name == name)
    library = Path(__file__).parents[2]
    policy = Policy((*sandbox.interpreter_paths(), library), Limits(memory_mb=512))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        file = folder / "secret"
        file.write_text("secret", encoding="utf-8")
        file.chmod(0o644)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0course-{os.getpid()}")
        abstract.listen()
        goals: Goals = {
            "file": str(file),
            "folder": str(folder),
            "port": server.getsockname()[1],
            "abstract": f"course-{os.getpid()}",
            "pid": os.getpid(),
        }
        started = engine.start(policy, "course_lib.grading.walls.trial:inside")
        started.connection.sendall(json.dumps(goals).encode())
        answer = engines.read_all(started.connection)
        started.kill()
    return json.loads(answer)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(outside(sys.argv[1])))
