"""After set-up nothing is downloaded: tools/offline.py cuts the network when the checks run a notebook."""

import os
import subprocess
import sys

import offline
import pytest

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

REACH_OUT_IN_A_CHILD = f"""
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", {REACH_OUT!r}]).returncode)
"""

TALK_TO_OURSELVES = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=5)
client.sendall(b"hello")
print(server.accept()[0].recv(5).decode())
"""


@pytest.fixture(params=["as here", "guard"])
def run_cut(request, monkeypatch, tmp_path):
    """Run our Python with the network cut, in the way of this machine and in the way that is left to all."""
    if request.param == "guard":
        monkeypatch.setattr(offline, "namespace", lambda: None)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command, extra = offline.cut([sys.executable, "-c", code], tmp_path)
        environment = {**os.environ, **extra}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("code", [REACH_OUT, REACH_OUT_IN_A_CHILD], ids=["itself", "its child"])
def test_the_cut_cuts(run_cut, code):
    run = run_cut(code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("refused:")


def test_the_cut_leaves_the_loopback(run_cut):
    run = run_cut(TALK_TO_OURSELVES)
    assert run.stdout == "hello\n", run.stderr


def test_the_guard_keeps_what_pythonpath_named_before(monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "namespace", lambda: None)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    _, environment = offline.cut(["anything"], tmp_path)
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "elsewhere"]


@pytest.mark.parametrize("start", [("unshare", "--net"), None])
def test_how_it_is_cut_is_said(monkeypatch, start):
    monkeypatch.setattr(offline, "namespace", lambda: start)
    said = offline.how()
    assert ("namespace with a loopback only" in said) is (start is not None)
    assert ("sockets are guarded" in said) is (start is None)


def test_a_system_without_namespaces_is_noticed(monkeypatch):
    monkeypatch.setattr(offline, "NAMESPACES", (("unshare", "--no-such-option"),))
    assert offline.namespace.__wrapped__() is None
    monkeypatch.setattr(offline.shutil, "which", lambda name: None)
    assert offline.namespace.__wrapped__() is None


def test_the_command_line_ends_as_its_command():
    command = [
        sys.executable,
        offline.__file__,
        sys.executable,
        "-c",
        "import sys; print('ran'); sys.exit(7)",
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.stdout, run.returncode) == ("ran\n", 7), run.stderr
