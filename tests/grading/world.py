"""A course folder with things that no submission may read, change or reach, and what tells whether one did.

Each secret is a canary: a text that stands in one place only. If it turns up in what a submission printed,
that place was read. Everything lies open to any user of the machine, so that a sandbox alone protects it.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]
ASSIGNMENT = "03_qkv"
NOTEBOOKS = ("attention_by_hand", "attention_in_torch")
PLACES = (
    *("solution", "grade book", "other submission", "file outside", "home folder"),
    *("environment", "command line", "shared memory", "System V memory"),
)
IPC_CREAT, IPC_RMID = 0o1000, 0


class World:
    """Use as a context manager; `root` is a folder of its own that everybody may read and write."""

    def __init__(self) -> None:
        self.canaries = {place: f"CANARY-{secrets.token_hex(8)}" for place in PLACES}
        self.heard: list[str] = []  # what came from the network
        self.before: dict[str, str] = {}
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> "World":
        self.root = Path(tempfile.mkdtemp(prefix="hostile-"))
        self.source = self.root / "solutions" / ASSIGNMENT
        self.submitted = self.root / "submitted"
        self.outside = self.root / "outside"
        self.home = self.root / "home"
        self.book = self.root / "gradebook.db"
        self._write_files()
        self._write_book()
        memory = Path("/dev/shm")  # not there in every container
        self.shared = (memory if memory.is_dir() else self.outside) / f"{self.root.name}.shm"
        self.shared.write_text(self.canaries["shared memory"])
        self.key = secrets.randbelow(2**30) + 1
        self._share_memory()
        self._listen()
        self.bait = subprocess.Popen(["sleep", "600"])
        self.left_behind = f"left-{secrets.token_hex(4)}"  # what a process of a submission calls itself here
        for path in [self.root, *self.root.rglob("*"), self.shared]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bait.kill()
        self.bait.wait()
        for listener in self._listeners:
            listener.close()
        libc().shmctl(self._segment, IPC_RMID, None)
        self.shared.unlink(missing_ok=True)
        shutil.rmtree(self.root, ignore_errors=True)

    # ---------------------------------------------------------------------------------------------- making it

    def _write_files(self) -> None:
        self.source.mkdir(parents=True)
        for name in NOTEBOOKS:
            notebook = json.loads((REPOSITORY / "solutions" / ASSIGNMENT / f"{name}.ipynb").read_text())
            hidden = "### BEGIN HIDDEN TESTS"
            for cell in notebook["cells"]:
                text = "".join(cell["source"])
                cell["source"] = text.replace(hidden, f"{hidden}\n# {self.canaries['solution']}")
            (self.source / f"{name}.ipynb").write_text(json.dumps(notebook, indent=1))
        self.other = self.submitted / "classmate" / ASSIGNMENT / f"{NOTEBOOKS[0]}.ipynb"
        self.other.parent.mkdir(parents=True)
        notebook = json.loads((REPOSITORY / "exercises" / ASSIGNMENT / f"{NOTEBOOKS[0]}.ipynb").read_text())
        notebook["cells"][1]["source"].append(f"\n# {self.canaries['other submission']}")
        self.other.write_text(json.dumps(notebook, indent=1))
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "marker.txt").write_text(self.canaries["file outside"])
        startup = self.home / ".ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "README").write_text("Python files here run when IPython starts.")
        (self.home / "notes.txt").write_text(self.canaries["home folder"])

    def _write_book(self) -> None:
        with contextlib.closing(sqlite3.connect(self.book)) as book, book:
            book.execute("create table grade (student text, score real, remark text)")
            book.execute("insert into grade values ('classmate', 3, ?)", [self.canaries["grade book"]])

    def _share_memory(self) -> None:
        """A System V segment that everybody may read and write."""
        self._segment = libc().shmget(self.key, 4096, IPC_CREAT | 0o666)
        place = libc().shmat(self._segment, None, 0)
        ctypes.memmove(place, self.canaries["System V memory"].encode(), len(self.canaries["environment"]))
        libc().shmdt(place)

    def _listen(self) -> None:
        """Open a TCP and a UDP port, and Unix sockets with a path and without one."""
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        path, name = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.unix, self.abstract = self.outside / "socket", f"\0{self.root.name}"
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        path.bind(str(self.unix))
        name.bind(self.abstract)
        self.tcp_port, self.udp_port = tcp.getsockname()[1], udp.getsockname()[1]
        self._listeners = [tcp, udp, path, name]
        for listener in (tcp, path, name):
            listener.listen()
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        threading.Thread(target=self._receive, args=(udp,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                listener.accept()[0].close()
                self.heard.append(f"a connection to {listener.family.name}")

    def _receive(self, udp: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.heard.append(f"UDP: {udp.recv(1000)!r}")

    # ---------------------------------------------------------------------------------------------- using it

    def fill_in(self, code: str) -> str:
        """Write this world's paths and ports into the code of an attack: $book, $outside, $tcp, ..."""
        return Template(code).substitute(
            root=self.root,
            source=self.source / f"{NOTEBOOKS[0]}.ipynb",
            book=self.book,
            other=self.other,
            outside=self.outside,
            home=self.home,
            shared=self.shared,
            key=self.key,
            tcp=self.tcp_port,
            udp=self.udp_port,
            unix=self.unix,
            abstract=repr(self.abstract),
            bait=self.bait.pid,
            left_behind=self.left_behind,
        )

    def environment(self) -> dict[str, str]:
        """The environment of whoever grades here."""
        return {
            **os.environ,
            "GRADER_SECRET": self.canaries["environment"],
            "HOME": str(self.home),
            "COURSE_PROGRESS": "off",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def settle(self) -> None:
        """All is prepared: from now on nothing may change."""
        self.before = dict(self._files())

    def _files(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.root.rglob("*")):
            content = f"folder {path.stat().st_mode:o}" if path.is_dir() else ""
            if path.is_symlink():
                content = f"link to {path.readlink()}"
            elif path.is_file() and path.stat().st_size < 10**8:
                content = f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            yield str(path.relative_to(self.root)), content

    def read_in(self, text: str) -> list[str]:
        """What a text shows to have been read, or done."""
        read = [f"the {place} was read" for place, canary in self.canaries.items() if canary in text]
        return read + [f"it says: {line[:200]}" for line in re.findall(r"^BREACH.*", text, re.MULTILINE)]

    def touched(self) -> list[str]:
        """What was changed, reached, or left behind."""
        now = dict(self._files())
        names = sorted(name for name in self.before | now if self.before.get(name) != now.get(name))
        found = [f"{name} is not what it was" for name in names]
        if not self.shared.exists() or self.shared.read_text() != self.canaries["shared memory"]:
            found.append("the shared memory is not what it was")
        if self.bait.poll() is not None:
            found.append("a process outside was killed")
        if Path(f"/proc/{self.bait.pid}/status").exists() and self._traced():
            found.append("a process outside is being traced")
        return [*found, *self.heard, *self.leftovers()]

    def leftovers(self) -> list[str]:
        """The processes that a submission started and that live on."""
        found = []
        for path in Path("/proc").glob("[0-9]*/comm"):
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.read_text().strip() == self.left_behind:
                    found.append(f"process {path.parent.name} was left behind")
        return found

    def _traced(self) -> bool:
        status = Path(f"/proc/{self.bait.pid}/status").read_text()
        return re.search(r"^TracerPid:\s*0$", status, re.MULTILINE) is None


def libc() -> ctypes.CDLL:
    """The C library, for what Python has no call for."""
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    library.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    library.shmdt.argtypes = [ctypes.c_void_p]
    return library


# ----------------------------------------------------------------------------- without any sandbox

# Each notebook runs in a process of its own, below one that an attack on the parent meets.
PLAIN = """
import json, os, signal, sys, time
import numpy
from IPython.core.interactiveshell import InteractiveShell
import course_lib.checks
from traitlets.config import Config
from course_lib.checks import find_task
quiet = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
find_task("03_qkv/softmax")

def run(job):
    os.environ.update(job["environment"])
    os.environ.pop("COLUMNS", None)
    folder = os.path.join(job["environment"]["HOME"], "work")
    os.mkdir(folder)
    os.environ["IPYTHONDIR"] = os.path.join(folder, "ipython")
    os.chdir(folder)
    out = os.open(job["out"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    shell = InteractiveShell.instance(config=quiet)
    for cell in json.load(open(job["notebook"]))["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"]))
            sys.stdout.flush()
    os._exit(0)

for job in json.load(open(sys.argv[1])):
    between = os.fork()
    if not between:
        os.setsid()
        if not os.fork():
            signal.alarm(20)
            run(job)
        os.wait()
        os._exit(0)
    status = os.waitpid(between, 0)[1]
    if os.WIFSIGNALED(status):
        with open(job["out"], "a") as file:
            file.write("\\nBREACH: the parent was killed\\n")
"""


def run_plainly(jobs: list[tuple[World, Path]]) -> list[list[str]]:
    """Run notebooks as a teacher without a sandbox would, each in its own world; what each did there."""
    with tempfile.TemporaryDirectory() as folder:
        described = [
            {"notebook": str(path), "environment": world.environment(), "out": f"{folder}/{n}.txt"}
            for n, (world, path) in enumerate(jobs)
        ]
        Path(folder, "jobs.json").write_text(json.dumps(described))
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        on_the_command_line = [world.canaries["command line"] for world, _ in jobs]
        command = [sys.executable, "-c", PLAIN, f"{folder}/jobs.json", *on_the_command_line]
        subprocess.run(command, check=True, env=environment, timeout=300)
        time.sleep(0.5)  # connections arrive, and what was left behind writes
        found = []
        for (world, _), job in zip(jobs, described, strict=True):
            text = Path(job["out"]).read_text(errors="replace")
            found.append(world.read_in(text) + [it for it in world.touched() if "home/work" not in it])
            for process in world.leftovers():
                os.kill(int(process.split()[1]), signal.SIGKILL)
        return found
