"""After set-up nothing is downloaded: every notebook runs with the network cut.

The cut is a network namespace that has a loopback and nothing else. Where the system gives none (macOS,
Windows, some containers), Python's sockets are guarded instead: only loopback addresses may be reached.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path.relative_to(ROOT) for path in (ROOT / "notebooks").glob("*.ipynb"))
TIME_LIMIT_S = 600  # ten times a notebook's budget: a busy machine is not a failure

# Raises the loopback (a namespace starts with it down), then becomes the command.
IN_NAMESPACE = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP | IFF_RUNNING))
os.execv(sys.argv[1], sys.argv[1:])
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

REACH_OUT = """
import socket, sys
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)  # an address reserved for documentation
except TimeoutError:
    sys.exit("tried for 5 s: the packets left")
except OSError as error:
    print("refused:", error)
else:
    sys.exit("connected")
"""

TALK_TO_OURSELVES = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=5)
client.sendall(b"hello")
print(server.accept()[0].recv(5).decode())
"""


def namespace(command: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    return ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", IN_NAMESPACE, *command], {}


def guard(command: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    return command, {"PYTHONPATH": str(folder)}


def has_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    command, _ = namespace([sys.executable, "-c", ""], Path())
    return subprocess.run(command, capture_output=True).returncode == 0


HAS_NAMESPACES = has_namespaces()
CUTS = [
    pytest.param(
        namespace,
        id="namespace",
        marks=pytest.mark.skipif(not HAS_NAMESPACES, reason="this system gives no network namespace"),
    ),
    pytest.param(guard, id="guard"),
]


def run_cut(cut, arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run our Python with the network cut."""
    command, extra = cut([sys.executable, *arguments], folder)
    inherited = {name: value for name, value in os.environ.items() if name != "COURSE_LEDGER"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **extra, **environment},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
    )


@pytest.mark.parametrize("cut", CUTS)
def test_the_cut_cuts(cut, tmp_path):
    run = run_cut(cut, ["-c", REACH_OUT], tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("refused:")


@pytest.mark.parametrize("cut", CUTS)
def test_the_cut_leaves_the_loopback(cut, tmp_path):
    run = run_cut(cut, ["-c", TALK_TO_OURSELVES], tmp_path)
    assert run.stdout == "hello\n", run.stderr


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"00_overview", "03_qkv"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_with_the_network_cut(notebook, tmp_path):
    arguments = ["-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", str(notebook)]
    run = run_cut(namespace if HAS_NAMESPACES else guard, arguments, tmp_path)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
