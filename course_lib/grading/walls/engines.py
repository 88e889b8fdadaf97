"""The ways of isolation, which of them this machine really offers, and what to do where it offers none.

An engine is believed only after a program inside it has tried to get out.
"""

import json
import os
import platform
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from course_lib.grading.walls import kernel, own_root, sandbox
from course_lib.grading.walls.own_root import DEVICES
from course_lib.grading.walls.sandbox import MB, Limits, NoIsolation, Policy

START_WITHIN_S = 60.0
END_WITHIN_S = 5.0
READY, FAILED = b"+", b"-"
T = TypeVar("T")


@dataclass(frozen=True)
class Started:
    """A process that runs in a sandbox.

    Attributes:
        pid: what to kill: it takes all with it that the submission started.
        connection: the socket whose other end the process got.
        has_outer: whether it is a process of ours that waits for the submission's (`sandbox.wait_for`).
    """

    pid: int
    connection: socket.socket
    has_outer: bool

    def kill(self) -> int:
        """End it, if it still runs, and all that it started; say how it ended, as `wait` does."""
        if self.has_outer:
            # Our own child, not yet waited for: the number is still its own.
            os.kill(self.pid, signal.SIGTERM)
            ended = os.pidfd_open(self.pid)
            select.select([ended], [], [], END_WITHIN_S)
            os.close(ended)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends. Where a signal ended it, 128 + signal; without isolation -signal."""
        self.connection.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@dataclass(frozen=True)
class Engine:
    """A way to run a submission.

    Attributes:
        name: "namespaces", "bubblewrap" or "none".
        protects: what it keeps a submission from, in words.
        lacks: what it does not.
        child: what the forked process does: (policy, descriptor, work) -> never returns.
    """

    name: str
    protects: str
    lacks: str
    child: Callable[[Policy, int, str], NoReturn]

    def start(self, policy: Policy, work: str) -> Started:
        """Run a function in a sandbox; return when the sandbox is closed and the function is about to run.

        Call it from a process with one thread.

        Args:
            policy: what the function may do.
            work: "module:function"; it is called with the number of its end of the connection.
        Raises:
            NoIsolation: the sandbox could not be made; the function has not run.
        """
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            run_child(self.child, policy, theirs.detach(), work)
        theirs.close()
        ours.settimeout(START_WITHIN_S)
        started = Started(pid, ours, has_outer=self.name != NONE.name)
        try:
            if ours.recv(1) == READY:
                ours.settimeout(None)
                return started
            why = read_all(ours)
        except TimeoutError:
            why = f"it did not start within {START_WITHIN_S:.0f} s"
        started.kill()
        raise NoIsolation(f"the sandbox '{self.name}' could not be made: {why or 'it ended at once'}")


def run_child(child: Callable[[T, int, str], NoReturn], allowed: T, connection: int, work: str) -> NoReturn:
    """In the new process: nothing of what the parent was about to do happens here too."""
    try:
        child(allowed, connection, work)
    except BaseException as error:  # whatever it was, the parent says it
        os.write(connection, FAILED + f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(1)


def read_all(connection: socket.socket) -> str:
    """What the other end still has to say."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def call(work: str, connection: int) -> NoReturn:
    """Say that the sandbox is closed, then run the function, and end with it."""
    os.write(connection, READY)
    try:
        module, _, function = work.partition(":")
        getattr(import_module(module), function)(connection)
    except BaseException:
        os._exit(1)  # the other end sees it by the connection's end
    os._exit(0)


# ------------------------------------------------------------------------------------------ the three engines


def in_namespaces(policy: Policy, connection: int, work: str) -> NoReturn:
    """Confined by `sandbox.enter`."""
    sandbox.enter(policy, connection)
    call(work, connection)


def unconfined(policy: Policy, connection: int, work: str) -> NoReturn:
    """Limits of resources, and nothing else."""
    sandbox.stand_alone(connection)
    sandbox.limit(policy.limits)
    call(work, connection)


def in_bubblewrap(policy: Policy, connection: int, work: str) -> NoReturn:
    """A new Python in bubblewrap's sandbox, which closes the rest from inside (`inside_bubblewrap`)."""
    sandbox.stand_alone(connection)
    os.set_inheritable(connection, True)
    allowed = {
        "limits": asdict(policy.limits),
        "address_space": sandbox.address_space(),  # there is no /proc inside to read it from
        "user": [sandbox.unused_user()] * 2 if sandbox.is_root() else [os.geteuid(), os.getegid()],
    }
    task = json.dumps([allowed, connection, work])
    plan = own_root.plan(policy.readable, policy.hidden)
    python = [sys.executable, "-P", "-m", "course_lib.grading.walls.engines", task]
    command = bubblewrap_command(policy, plan, python)
    alive = sandbox.fork_inner(connection, policy.limits, plan.scratch, n_around=2)
    sandbox.die_with_outer(alive)
    sandbox.go_first()
    os.execv(command[0], command)


def bubblewrap_command(policy: Policy, plan: own_root.Plan, command: Sequence[str]) -> list[str]:
    """The command line that runs a command in bubblewrap (bwrap(1)), which hands on the open descriptors.

    Args:
        policy: how large the scratch folder is, and where a new Python looks for modules.
        plan: what it may read.
        command: program and arguments.
    Raises:
        NoIsolation: bubblewrap is not installed.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise NoIsolation("bubblewrap is not installed: the command bwrap is not there")
    words = [bwrap, "--die-with-parent", "--new-session", "--clearenv", *namespaces()]
    # bwrap would make the folders on the way for its own user alone.
    on_the_way = {
        str(parent) for path in [*plan.shown, *plan.links, *DEVICES] for parent in Path(path).parents
    }
    for folder in sorted(on_the_way - {"/"}):
        words += ["--perms", "0755", "--dir", folder]
    for path in plan.shown:
        words += ["--ro-bind", path, path]
    for path, target in plan.links.items():
        words += ["--symlink", target, path]
    for path in plan.hidden:
        empty_folder = ["--tmpfs", path, "--remount-ro", path]
        words += empty_folder if os.path.isdir(path) else ["--dev-bind", os.devnull, path]
    for path in DEVICES:
        words += ["--dev-bind", path, path]
    words += ["--perms", "1777", "--size", str(policy.limits.scratch_mb * MB), "--tmpfs", plan.scratch]
    words += ["--remount-ro", "/", "--chdir", plan.scratch]
    for name, value in environment(policy).items():
        words += ["--setenv", name, value]
    return [*words, "--", *command]


def namespaces() -> list[str]:
    """Root keeps the rights to become somebody else (`sandbox.become`), whom the limit of processes binds."""
    kinds = [
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        "sandbox",
    ]
    if sandbox.is_root():
        return [*kinds, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", *kinds]


def environment(policy: Policy) -> dict[str, str]:
    """What a new Python needs, and what `sandbox.make_home` keeps."""
    kept = {name: os.environ[name] for name in sandbox.ENVIRONMENT if name in os.environ}
    folders = policy.python_path or (Path(__file__).parents[3],)
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}


def inside_bubblewrap(allowed: dict[str, Any], connection: int, work: str) -> NoReturn:
    """What bubblewrap leaves to us: limits, another user where we are root, Landlock, seccomp."""
    sandbox.limit(Limits(**allowed["limits"]), allowed["address_space"])
    sandbox.give_up_rights(tuple(allowed["user"]), os.getcwd())
    kernel.seccomp()
    call(work, connection)


# -------------------------------------------------------------------------------------------- which one works

CONFINED = (
    "reading and changing other files, the network, other processes, programs left behind, and too much "
    "memory, time, room or processes"
)
SLOWER = "gaps in the kernel itself. It is slower: each submission starts a Python of its own"
ENGINES = (
    Engine("namespaces", CONFINED, "gaps in the kernel itself", in_namespaces),
    Engine("bubblewrap", CONFINED, SLOWER, in_bubblewrap),
)
NONE = Engine(
    "none",
    "too much time, and too much memory in one process",
    "everything else: a submission can read and change whatever you can, the grade book included",
    unconfined,
)


@cache
def fault_of(engine: Engine) -> str:
    """Start the engine in a new Python and let a program inside try to get out (`trial`).

    Returns: what went wrong, one sentence; "" where it started and nothing got out of it.
    """
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    command = [sys.executable, "-P", "-m", "course_lib.grading.walls.trial", engine.name]
    place = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_WITHIN_S, env=place)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {START_WITHIN_S:.0f} s"
    if done.returncode != 0:
        return (done.stderr.strip() or f"its trial ended with {done.returncode}").splitlines()[-1]
    got_out = json.loads(done.stdout)
    return f"a program inside {' and '.join(got_out)}" if got_out else ""


def engines() -> list[Engine]:
    """The engines that confine a submission on this machine, best first. Empty where none does."""
    return [engine for engine in ENGINES if not fault_of(engine)]


def choose(name: str | None = None) -> Engine:
    """The engine of this name; without a name the best that works here. "none" has to be asked for.

    Raises:
        NoIsolation: it does not work here, or none does; says why and what to do.
        ValueError: there is no such engine.
    """
    if name == NONE.name:
        return NONE
    wanted = [engine for engine in ENGINES if name in (None, engine.name)]
    if not wanted:
        names = ", ".join(engine.name for engine in (*ENGINES, NONE))
        raise ValueError(f"an engine is one of {names}, not {name!r}")
    for engine in wanted:
        if not fault_of(engine):
            return engine
    why = "; ".join(f"{engine.name}: {fault_of(engine)}" for engine in wanted)
    raise NoIsolation(
        f"submissions are not run without isolation, and this machine offers none ({why}). "
        "`python -m course_lib.grading doctor` says what to do"
    )


ADVICE = """\
What to do where none works:
- Run the grader in the container of workshop/Containerfile; the command is in its first lines.
- Ubuntu 24.04 and newer forbid user namespaces to programs without a profile. For all programs, until the
  next start: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0
- Older Debian: sudo sysctl kernel.unprivileged_userns_clone=1
- sysctl user.max_user_namespaces must not be 0.
- As root none of this is needed.
- macOS and Windows: use the container; on Windows WSL 2 is a Linux as well."""


def doctor() -> str:
    """Which isolation this machine offers, what each protects from, and what to do where none works."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    who = "as root" if is_root else "as an ordinary user"
    lines = [f"This machine: {platform.system()} {platform.release()}, {platform.machine()}, {who}."]
    if sys.platform == "linux":
        version = kernel.landlock_version()
        lines.append(
            f"Landlock, the second wall: {f'version {version}' if version else 'not in this kernel'}."
        )
    states = [f"does not work here: {fault}" if fault else "works" for fault in map(fault_of, ENGINES)]
    states.append("only where you ask for it")
    for engine, state in zip((*ENGINES, NONE), states, strict=True):
        lines += ["", f"{engine.name}: {state}"]
        lines += [f"  protects from: {engine.protects}", f"  not from: {engine.lacks}"]
    best = engines()
    return "\n".join([*lines, "", f"Submissions are run with: {best[0].name}." if best else ADVICE])


if __name__ == "__main__":  # in bubblewrap
    run_child(inside_bubblewrap, *json.loads(sys.argv[1]))
