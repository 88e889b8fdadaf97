"""Run a command with the network cut: only this computer can be reached.

    python tools/offline.py COMMAND ...

On Linux the command gets a network namespace of its own, which has a loopback and nothing else; an ordinary
user may make one. Where the system gives none (macOS, Windows, some containers), Python's sockets are guarded
instead: they refuse every address but the loopback's, in this program and in the Python programs it starts.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Raises the loopback (a namespace starts with it down), then becomes the command.
IN_NAMESPACE = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP | IFF_RUNNING))
os.execvp(sys.argv[1], sys.argv[1:])
"""

# Python imports a module of this name at its start, in every process that inherits PYTHONPATH.
GUARD = """
import sys

def refuse(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple):
            return
        host = address[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "::1", "0.0.0.0") and not str(host).startswith("127."):
        raise OSError(f"the network is cut: {event} to {host}")

sys.addaudithook(refuse)
"""

# An ordinary user needs a user namespace around it. Some systems forbid that, and let root do without.
NAMESPACES = (("unshare", "--user", "--map-root-user", "--net"), ("unshare", "--net"))


def in_namespace(command: Sequence[str | Path], start: Sequence[str]) -> list[str | Path]:
    """The command in a network namespace that has a loopback only."""
    return [*start, sys.executable, "-c", IN_NAMESPACE, *command]


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """How a network namespace is had here; None: not at all."""
    if shutil.which("unshare") is None:
        return None
    for start in NAMESPACES:
        trial = in_namespace([sys.executable, "-c", ""], start)
        if subprocess.run(trial, capture_output=True).returncode == 0:
            return start
    return None


def guarded(folder: Path) -> str:
    """Write the guard of Python's sockets into a folder.

    Returns:
        What PYTHONPATH must be for it to stand guard.
    """
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(folder), *([before] if before else [])])


def cut(command: Sequence[str | Path], folder: Path) -> tuple[list[str | Path], dict[str, str]]:
    """What to run, in what environment, so that a command runs with the network cut.

    Args:
        command: the words of the command.
        folder: where a guard may be written; it must outlive the command.
    Returns:
        The words to run, and the variables to set.
    """
    start = namespace()
    if start is not None:
        return in_namespace(command, start), {}
    return list(command), {"PYTHONPATH": guarded(folder)}


def how() -> str:
    """How the network is cut here, for people to read."""
    if namespace() is not None:
        return "a network namespace with a loopback only"
    return "Python's sockets are guarded, other programs are not: this system gives no network namespace"


def main() -> None:
    """Run the command that was given, with the network cut, and end as it ends."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        command, environment = cut(sys.argv[1:], Path(folder))
        status = subprocess.run(command, env={**os.environ, **environment}).returncode
    sys.exit(status)


if __name__ == "__main__":
    main()
