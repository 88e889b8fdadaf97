"""What a program in the sandbox tries, and what an observer outside sees of it.

    python attempts.py ENGINE [ATTEMPT ...]

tries them in sandboxes, all or those named, and prints as JSON what was answered and seen:
{"attempt": {"answer": ..., "ended": exit status, "before": processes that it had started, "out of memory":
how willing the kernel is to end them first, "left": processes that are still there}}.
The attempts name no test framework and no torch, so that they start fast.
"""

import ctypes
import errno
import fcntl
import itertools
import json
import mmap
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from course_lib.grading.walls import engines, sandbox
from course_lib.grading.walls.sandbox import MB, Limits, Policy

LIMITS = Limits(memory_mb=256, cpu_s=1, processes=24, files=128, scratch_mb=8, file_mb=4)
Answer = dict | list | str | int | bool | None
ATTEMPTS: dict[str, Callable[[dict], Answer]] = {}


def attempt(function: Callable[[dict], Answer]) -> Callable[[dict], Answer]:
    """Enter a function in the list: what outside has told it -> its answer."""
    ATTEMPTS[function.__name__] = function
    return function


def refused(action: Callable[[], object]) -> str:
    """The name of the error with which an action is refused; "done" where it is not."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except (MemoryError, OverflowError) as error:
        return type(error).__name__
    return "done"


def raw_call(number: int, *arguments: int) -> str:
    """A call by its number, past everything that Python or the C library would check."""
    library = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    result = library.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    return "done" if result != -1 else errno.errorcode[ctypes.get_errno()]


def open_descriptors() -> list[int]:
    """The numbers of what is open."""
    return [number for number in range(1024) if refused(lambda number=number: os.fstat(number)) == "done"]


def mark(goals: dict) -> None:
    """Take a name by which the observer knows this process and its children: PR_SET_NAME, prctl(2)."""
    ctypes.CDLL(None).prctl(15, goals["mark"].encode(), 0, 0, 0)


# ---------------------------------------------------------------------------------------------------- reading


@attempt
def read_outside(goals: dict) -> Answer:
    climbing = f"{os.getcwd()}/../../../../..{goals['file']}"
    root = os.open("/", os.O_RDONLY)
    answer = [
        refused(lambda: Path(goals["file"]).read_text()),
        refused(lambda: Path(climbing).read_text()),
        refused(lambda: os.open("../.." + goals["file"], os.O_RDONLY, dir_fd=root)),
    ]
    os.close(root)
    return answer


@attempt
def list_folders(goals: dict) -> Answer:
    places = ("/home", "/proc", "/sys", "/dev/shm", "/run", "/var", "/mnt", "/boot", "/bin", "/etc/passwd")
    found = [place for place in places if os.path.exists(place)]
    return {"found": found, "/dev": sorted(os.listdir("/dev")), "beside": os.listdir(goals["folder"])}


@attempt
def read_proc(goals: dict) -> Answer:
    paths = ("/proc/1/environ", "/proc/self/environ", "/proc/self/maps", f"/proc/{goals['pid']}/cmdline")
    return [refused(lambda path=path: Path(path).read_bytes()) for path in paths]


@attempt
def links(goals: dict) -> Answer:
    os.symlink(goals["file"], "link")
    os.symlink("/proc/self/root", "root")
    return [
        refused(lambda: Path("link").read_text()),
        refused(lambda: Path("link").write_text("x")),
        refused(lambda: os.listdir("root")),
        refused(lambda: os.link(os.__file__, "hard")),
        refused(lambda: os.rename(os.__file__, "moved")),
        refused(lambda: os.mknod("disk", 0o60600, os.makedev(254, 0))),
    ]


@attempt
def hidden(goals: dict) -> Answer:
    return [os.listdir(goals["covered_folder"]), Path(goals["covered_file"]).read_text()]


@attempt
def environment(goals: dict) -> Answer:
    return dict(os.environ)


@attempt
def descriptors(goals: dict) -> Answer:
    """What is open, but for our own end of the connection."""
    opened = [number for number in range(1024) if refused(lambda number=number: os.fstat(number)) == "done"]
    leads = [os.fstat(number).st_rdev for number in opened if number < 3]
    return {
        "opened": [n for n in opened if n != goals["connection"]],
        "nowhere": leads == [os.makedev(1, 3)] * 3,
    }


# ---------------------------------------------------------------------------------------------------- writing


@attempt
def write_outside(goals: dict) -> Answer:
    return [
        refused(lambda: Path(goals["folder"], "new").write_text("x")),
        refused(lambda: os.unlink(goals["file"])),
        refused(lambda: Path("/new").write_text("x")),
        refused(lambda: os.mkdir("/home")),
        refused(lambda: open(os.__file__, "ab")),
        refused(lambda: os.chmod(os.__file__, 0o777)),
        refused(lambda: os.utime(os.__file__)),
        refused(lambda: os.unlink(os.__file__)),
        refused(lambda: Path("/dev/new").write_text("x")),
    ]


@attempt
def fill_scratch(goals: dict) -> Answer:
    written, errors = 0, []
    for number in range(6):
        with open(str(number), "wb", buffering=0) as file:
            try:
                for _ in range(16):
                    written += file.write(bytes(MB))
            except OSError as error:
                errors.append(errno.errorcode[error.errno])
    return {"megabytes": written / MB, "errors": sorted(set(errors))}


@attempt
def many_names(goals: dict) -> Answer:
    """Empty folders, which take no room in the scratch folder and memory of the kernel's."""
    error = refused(lambda: [os.mkdir(str(i)) for i in range(6000)])
    if error == "done":
        time.sleep(5)
    return error


@attempt
def many_files(goals: dict) -> Answer:
    """Files that are open at once."""
    opened: list[int] = []
    error = refused(lambda: opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(1000)))
    count = len(
        [number for number in range(1024) if refused(lambda number=number: os.fstat(number)) == "done"]
    )
    return {"error": error, "open": count}


# ------------------------------------------------------------------------------- the network, other processes


@attempt
def connect(goals: dict) -> Answer:
    def unix(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    def datagram(path: str) -> None:
        ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.connect(path)

    def udp() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", goals["port"]))

    return {
        "tcp": refused(lambda: socket.create_connection(("127.0.0.1", goals["port"]), timeout=2)),
        "udp": refused(udp),
        "ipv6": refused(lambda: socket.socket(socket.AF_INET6)),
        "path": refused(lambda: unix(goals["socket"])),
        "abstract": refused(lambda: unix("\0" + goals["mark"])),
        "a pair turned away": refused(lambda: datagram("\0" + goals["mark"])),
        "netlink": refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
        "server": refused(lambda: socket.create_server(("127.0.0.1", 0))),
    }


@attempt
def signals(goals: dict) -> Answer:
    """To the grader; to everybody; to the own process group, to which the waiting process must not belong."""
    answer = [
        refused(lambda: os.kill(goals["pid"], signal.SIGTERM)),
        refused(lambda: os.kill(-1, signal.SIGUSR1)),
    ]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return [*answer, refused(lambda: os.kill(0, signal.SIGTERM))]


@attempt
def programs(goals: dict) -> Answer:
    """Starting another program, also from a thread: there the signal of the parent's death would be lost."""
    answers = [refused(lambda: os.execv(sys.executable, [sys.executable, "-c", ""]))]

    def from_thread() -> None:
        answers.append(refused(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])))

    thread = threading.Thread(target=from_thread)
    thread.start()
    thread.join()
    return answers


@attempt
def kernel(goals: dict) -> Answer:
    from course_lib.grading.walls import kernel
    from course_lib.grading.walls.syscalls import machine

    column = kernel.COLUMN[machine()][0]
    special = {
        "clone into a user namespace": raw_call(
            kernel.CLONE[column], 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0
        ),
        "clone3": raw_call(kernel.CLONE3[column], 0, 0),
        "outlive the parent": raw_call(kernel.PRCTL[column], 1, 0, 0, 0, 0),
        "socketpair of TIPC": raw_call(kernel.SOCKETPAIR[column], 30, 1, 0, 0),
    }
    # With nonsense as arguments: a call that is let through fails in another way, or is "done".
    listed = {
        name: numbers[column] for name, numbers in kernel.REFUSED.items() if numbers[column] is not None
    }
    return special | {name: raw_call(number, -1, -1, -1, -1, -1) for name, number in listed.items()}


@attempt
def rights(goals: dict) -> Answer:
    """Who we are, and the three sets of capabilities, capget(2)."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capget(header, sets)
    return {
        "root": 0 in (*os.getresuid(), *os.getresgid()) and goals["uid"] == 0,
        "as outside": os.getuid() == goals["uid"],
        "become root": refused(lambda: os.setuid(0)) if os.getuid() else "is root",
        "capabilities": sum(sets),
        "no new rights": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
        "machine's name": os.uname().nodename,
    }


# --------------------------------------------------------------------------------------------- using too much


@attempt
def fork_bomb(goals: dict) -> Answer:
    mark(goals)
    started = 0
    for _ in range(200):
        try:
            if os.fork() == 0:
                refused(os.setsid)
                signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
                time.sleep(60)
                os._exit(0)
        except OSError:
            break
        started += 1
    return started


@attempt
def background_process(goals: dict) -> Answer:
    """Twice forked, deaf, in a session of its own where it may: as a daemon."""
    mark(goals)
    if os.fork() == 0:
        refused(os.setsid)
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    time.sleep(0.2)  # until the second is there
    return "left"


def private(size: int) -> mmap.mmap:
    """Bytes of memory straight from the kernel."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def fill(memory: mmap.mmap | bytearray) -> None:
    """Write to each of its pages."""
    for place in range(0, len(memory), 4096):
        memory[place] = 1


LOADED: list[mmap.mmap] = []  # what the sandbox's processes share with the one that they are forked from


@attempt
def memory(goals: dict) -> Answer:
    return [
        refused(lambda: bytearray(300 * MB)),
        refused(lambda: private(300 * MB)),
        refused(lambda: bytearray(50 * MB)),
    ]


@attempt
def memory_of_many(goals: dict) -> Answer:
    """Each process stays below the limit, all together are far above. Ends before anybody answers."""
    for number in range(10):
        if os.fork() == 0:
            mine = private(100 * MB) if number % 2 else bytearray(100 * MB)
            fill(mine)
            time.sleep(60)
    time.sleep(5)
    return "lived"


@attempt
def memory_in_place_of_what_is_shared(goals: dict) -> Answer:
    """Each gives back what it shares with the zygote, and takes as much. Ends before anybody answers."""
    for _ in range(10):
        if os.fork() == 0:
            for loaded in LOADED:
                loaded.madvise(mmap.MADV_DONTNEED)
            mine = private(60 * MB)
            fill(mine)
            time.sleep(60)
    time.sleep(5)
    return "lived"


@attempt
def memory_that_many_share(goals: dict) -> Answer:
    """What is there once counts once, however many processes read it: no harm in that."""
    shared = private(100 * MB)
    fill(shared)
    started = 0
    for _ in range(8):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
        started += 1
    return [os.wait()[1] for _ in range(started)]


@attempt
def memory_in_sockets(goals: dict) -> Answer:
    """In no process, but in what they have sent each other. Ends before anybody answers."""
    for _ in range(10):
        if os.fork() == 0:
            pairs = []
            with suppress(OSError):  # no more descriptors
                while True:
                    pairs.append(socket.socketpair())
            for one in itertools.chain(*pairs):
                one.setblocking(False)
                with suppress(BlockingIOError):
                    while True:
                        one.send(bytes(64 * 1024))
            time.sleep(60)
    time.sleep(5)
    return "lived"


@attempt
def memory_that_nobody_has(goals: dict) -> Answer:
    """Where one could put it without having it: larger pipes of sockets, descriptors on their way, shared
    memory that was let go, pages in pipes, lists of what is watched or allowed."""
    one, other = socket.socketpair()
    Path("file").touch()
    return {
        "larger buffers": refused(lambda: one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)),
        "on the way": refused(lambda: socket.send_fds(one, [b"x"], [other.fileno()])),
        "shared": refused(lambda: mmap.mmap(-1, 4096)),
        "shared zeros": refused(lambda: os.open("/dev/zero", os.O_RDWR)),
        "attributes": refused(lambda: os.setxattr("file", "user.one", b"x")),
    }


@attempt
def leases(goals: dict) -> Answer:
    """A say in what others do with a file that they share with us: a lease keeps them waiting."""
    with open(os.__file__, "rb") as library:
        lease = refused(lambda: fcntl.fcntl(library, fcntl.F_SETLEASE, fcntl.F_RDLCK))
    folder = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
    return [lease, refused(lambda: fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS))]


@attempt
def record_locks(goals: dict) -> Answer:
    """Whether another process finds a record locked: no limit counts how many there are."""
    with open("locked", "w") as file:
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_EX | fcntl.LOCK_NB):
            fcntl.lockf(file, kind, 1, 7)
        child = os.fork()
        if child == 0:
            os._exit(refused(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 7)) == "done")
        return "none" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else "locked"


@attempt
def sessions(goals: dict) -> Answer:
    """Sessions of one's own, each with a fair share of the processor: of 20 a neighbour gets a twentieth."""
    child = os.fork()
    if child == 0:
        os._exit(refused(os.setsid) == "EPERM")
    return "refused" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else "made"


@attempt
def hides(goals: dict) -> Answer:
    """From who counts its memory: PR_SET_DUMPABLE, prctl(2)."""
    return ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


@attempt
def shared_memory(goals: dict) -> Answer:
    from multiprocessing.shared_memory import SharedMemory

    return [
        refused(lambda: os.memfd_create("x")),
        refused(lambda: SharedMemory("course", create=True, size=16)),
        refused(lambda: Path("/dev/shm/x").write_text("x")),
    ]


@attempt
def processor(goals: dict) -> Answer:
    """An endless loop that no signal interrupts. Ends before it answers."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


@attempt
def end_with_7(goals: dict) -> Answer:
    os._exit(7)


@attempt
def crash(goals: dict) -> Answer:
    ctypes.string_at(0)


# --------------------------------------------------------------------------------------------- what must work


@attempt
def ordinary_work(goals: dict) -> Answer:
    import asyncio
    import hashlib
    import multiprocessing
    import shutil
    import sqlite3
    import uuid

    home = os.getcwd()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append("thread"))
    thread.start()
    thread.join()
    with tempfile.NamedTemporaryFile() as file:
        found.append(os.path.dirname(file.name) == home)
    child = os.fork()
    if child == 0:
        os._exit(3)
    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    found.append(sqlite3.connect("db").execute("select 1").fetchone()[0])
    found.append(len(hashlib.sha256(os.urandom(8)).digest()) + len(uuid.uuid4().bytes))
    found.append(os.path.expanduser("~") == home)
    found.append(asyncio.run(asyncio.sleep(0, "awaited")))
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=lambda: theirs.send("worked"))
    worker.start()
    found.append(ours.recv())
    worker.join()
    with sqlite3.connect("db") as book:
        book.execute("create table words (word)")
    found.append(Path(shutil.copy2("db", "copy")).exists())
    with open("db", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:  # as numpy.memmap
        found.append(mapped[:6].decode())
    return found


@attempt
def work_with_torch(goals: dict) -> Answer:
    import torch

    weights = torch.ones(5, 7, requires_grad=True)
    torch.nn.functional.softmax(weights @ torch.ones(7, 3), dim=-1).sum().backward()
    return weights.grad.tolist()[0] if weights.grad is not None else None


# ---------------------------------------------------------------------------------------------------- outside


def inside(connection: int) -> None:
    """Hear which attempts they are, try, answer."""
    goals = json.loads(os.read(connection, 65536)) | {"connection": connection}
    answers: dict[str, Answer] = {}
    for name in goals["attempts"]:
        try:
            answers[name] = ATTEMPTS[name](goals)
        except Exception as error:
            answers[name] = f"{type(error).__name__}: {error}"
    os.write(connection, json.dumps(answers).encode())
    if {"fork_bomb", "background_process"} & set(answers):
        time.sleep(60)  # until we are killed: what we started is still there


def marked(name: str) -> list[int]:
    """The processes that took this name (`mark`)."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            own_name, state = (entry / "stat").read_text().partition("(")[2].rsplit(") ")
            if own_name == name and state[0] != "Z":  # a zombie has ended, and waits for its parent to notice
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def still_there(name: str) -> int:
    """How many are left; the kernel takes a moment to end them all."""
    until = time.monotonic() + 5
    while marked(name) and time.monotonic() < until:
        time.sleep(0.02)
    return len(marked(name))


def ask(engine: engines.Engine, policy: Policy, goals: dict, *names: str) -> tuple[engines.Started, dict]:
    """Run attempts in a sandbox: the sandbox, and what they answered."""
    started = engine.start(policy, "attempts:inside")
    started.connection.sendall(json.dumps(goals | {"attempts": names}).encode())
    started.connection.settimeout(30)
    reply = started.connection.recv(65536)
    return started, json.loads(reply) if reply else {}


def observe(engine: engines.Engine, policy: Policy, goals: dict, *names: str) -> dict[str, dict]:
    """Run attempts in one sandbox, end it, and look what is left."""
    started, answers = ask(engine, policy, goals, *names)
    running = marked(goals["mark"])
    first = {int(Path(f"/proc/{process}/oom_score_adj").read_text()) for process in running}
    ended = started.kill() if answers else started.wait()
    left = still_there(goals["mark"])
    seen = {"ended": ended, "before": len(running), "out of memory": list(first), "left": left}
    return {name: {"answer": answers.get(name), **seen} for name in names}


@contextmanager
def goals_and_policy() -> Iterator[tuple[dict, Policy]]:
    """What stands outside and is to be reached, and what the sandbox allows."""
    here = Path(__file__).parent
    library = here.parents[1] / "course_lib"
    os.environ["SECRET"] = "of the teacher"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        secret, covered = folder / "secret", folder / "shown"
        secret.write_text("secret")
        (covered / "references").mkdir(parents=True)
        (covered / "references" / "answer").write_text("42")
        (covered / "answers").write_text("42")
        for path in (folder, secret, covered, *covered.rglob("*")):
            path.chmod(0o777)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        goals = {
            "file": str(secret),
            "folder": str(folder),
            "socket": str(folder / "socket"),
            "covered_folder": str(covered / "references"),
            "covered_file": str(covered / "answers"),
            "port": server.getsockname()[1],
            "mark": f"sandbox-{os.getpid()}",
            "pid": os.getpid(),
            "uid": os.getuid(),
        }
        for address in (goals["socket"], "\0" + goals["mark"]):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(address)
            listening.listen()
        hidden = (covered / "references", covered / "answers")
        readable = (*sandbox.interpreter_paths(), library, here, covered)
        yield goals, Policy(readable, LIMITS, hidden, python_path=(library.parent, here))


# Each of these needs a sandbox of its own, because it leaves none, or not enough, to the next.
ALONE = (
    "fill_scratch",
    "many_files",
    "many_names",
    "fork_bomb",
    "background_process",
    "memory_of_many",
    "memory_in_place_of_what_is_shared",
    "memory_that_many_share",
    "memory_in_sockets",
    "processor",
    "end_with_7",
    "crash",
)
WITH_TORCH = "work_with_torch"  # takes seconds: only when asked for


def main(name: str, wanted: list[str]) -> dict:
    """The attempts with this engine, all or those named; and whether what stands outside is as it was."""
    engine = next(engine for engine in (*engines.ENGINES, engines.NONE) if engine.name == name)
    import attempts  # as the sandbox imports it, beside this program

    report = {}
    attempts.LOADED.append(private(60 * MB))
    fill(attempts.LOADED[0])
    with goals_and_policy() as (goals, policy):
        if WITH_TORCH in wanted:
            policy = replace(policy, limits=Limits())
        names = wanted or [name for name in ATTEMPTS if name != WITH_TORCH]
        report |= observe(engine, policy, goals, *[name for name in names if name not in ALONE])
        for name in ALONE:
            if name in names:
                report |= observe(engine, policy, goals, name)
        there = sorted(path.name for path in Path(goals["folder"]).iterdir())
        report["outside"] = {"secret": Path(goals["file"]).read_text(), "there": there}
    return report


def leave(name: str) -> None:
    """Say when a background process runs in the sandbox, and wait to be killed."""
    engine = next(engine for engine in engines.ENGINES if engine.name == name)
    with goals_and_policy() as (goals, policy):
        ask(engine, policy, goals, "background_process")
        print(goals["mark"], flush=True)
        time.sleep(60)


if __name__ == "__main__":
    if sys.argv[2:] == ["leave"]:
        leave(sys.argv[1])
    else:
        sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2:])))
