"""Where a submission's code runs: it reads what it needs, writes to a scratch folder, and meets nobody.

    forked from the zygote       enter(policy, keep)
    "outer", trusted             waits; its end is the end of all
      └─ "inner", pid 1          own root, network, processes; no rights; returns from enter and goes on

SIGTERM to the outer ends the inner and everything that it started, then the outer. SIGKILL does the same, but
the outer is gone first.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from course_lib.grading.walls import kernel, own_root, syscalls

MB = 2**20
WATCH_EVERY_S = 0.2
# Memory that is no file's, in /proc/PID/status and in /proc/PID/smaps_rollup, proc(5).
WHOLE = (b"RssAnon:", b"RssShmem:", b"VmSwap:", b"VmPTE:")
SHARES = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")

# Users' numbers that are nobody's, by systemd's "Users, Groups, UIDs and GIDs"; and, where a container has
# few numbers, those of services that come and go.
UNUSED_USERS = range(0x70000000, 0x80000000)
PASSING_USERS = range(61184, 65520)

# What stays of the environment. The rest may hold what is none of a submission's business.
ENVIRONMENT = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ATEN_CPU_CAPABILITY",
    "MPLBACKEND",
    "PYTHONHASHSEED",
    "COURSE_PROGRESS",
)


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Memory comes on top of what the process has when it starts."""

    memory_mb: int = 2048
    cpu_s: int = 120
    processes: int = 64
    files: int = 256
    scratch_mb: int = 64
    file_mb: int = 64


@dataclass(frozen=True)
class Policy:
    """What one submission may do.

    Attributes:
        readable: files and folders; nothing else can be read.
        limits: what it may use.
        hidden: files and folders within a readable folder that look empty.
        python_path: where a new Python looks for modules beside its own; () : where this course_lib stands.
            Only engines that start one ask for it.
    """

    readable: tuple[Path, ...]
    limits: Limits = field(default_factory=Limits)
    hidden: tuple[Path, ...] = ()
    python_path: tuple[Path, ...] = ()


class NoIsolation(RuntimeError):
    """This machine offers no way to confine a submission; the message says what to do."""


def interpreter_paths() -> tuple[Path, ...]:
    """What this Python needs to run: itself, its library, installed packages, the system's shared libraries.

    Folders on sys.path that are no package folders (a course that is installed as a link to its sources) are
    not among them.
    """
    base = Path(sys.base_prefix)
    system = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache"]
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    wanted = [
        *system,
        sys.executable,
        f"{base}/bin/python{sys.version_info.major}.{sys.version_info.minor}",
        f"{sys.prefix}/pyvenv.cfg",
        f"{base}/lib",
        *packages,
    ]
    return tuple(dict.fromkeys(Path(path) for path in wanted if path and os.path.exists(path)))


# --------------------------------------------------------------------------------------------------- entering


def load() -> None:
    """Load what `enter` needs, once for all that are forked from this process."""
    syscalls.libc()
    if sys.platform != "win32":
        import resource  # noqa: F401
    Path("/dev/null").read_text(encoding="ascii")


def enter(policy: Policy, keep: int) -> None:
    """Confine this process, which was freshly forked and has one thread. Returns in a new one, confined.

    The process that called waits for the new one and ends as it ends; it never returns.

    Args:
        policy: what the new process may do.
        keep: the one descriptor that stays open.
    Raises:
        OSError: the machine refuses a step, in either process. No student code may run then.
    """
    plan = own_root.plan(policy.readable, policy.hidden)
    stand_alone(keep)
    user = new_namespaces()
    alive = fork_inner(keep, policy.limits, plan.scratch)
    confine(policy, plan, user)
    die_with_outer(alive)
    kernel.seccomp()


def stand_alone(keep: int) -> None:
    """In a freshly forked process: a session of its own, one descriptor, and an end when the parent ends."""
    close_all_but(keep)
    os.setsid()
    if sys.platform == "linux":
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def close_all_but(keep: int) -> None:
    """Standard input, output and error lead nowhere; all other descriptors but one are closed."""
    if keep < 3:
        raise ValueError(f"the descriptor to keep must be 3 or more, it is {keep}")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 2**31 - 1)


def new_namespaces() -> tuple[int, int]:
    """Leave the machine's namespaces for empty ones: processes (from the next fork on), network, IPC, names.

    The outer keeps its view of the files: it reads in /proc what the others use (`wait_for`).

    Returns:
        (uid, gid) that the inner process takes.
    """
    kinds = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if is_root():
        syscalls.unshare(kinds)
        nobody = unused_user()
        return nobody, nobody
    # In a user namespace of its own everybody may do so.
    own = os.geteuid(), os.getegid()
    if not syscalls.has_capabilities(syscalls.CAP_SETUID, syscalls.CAP_SETGID):
        # There we have our own number and no other.
        syscalls.unshare(kinds | syscalls.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        write_maps("self", own)
        return own
    # Root of a container: from outside, root may give the namespace a second number, that of nobody.
    nobody = unused_user()
    entered, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        run_helper(entered, own, (nobody, nobody))
    syscalls.unshare(kinds | syscalls.CLONE_NEWUSER)
    os.write(tell, b"entered")
    if os.waitpid(helper, 0)[1] != 0:
        raise PermissionError("a user namespace with two users was refused")
    os.close(entered)
    os.close(tell)
    return nobody, nobody


def is_root() -> bool:
    """Whether this process has the rights of the machine's root that a sandbox is made with."""
    rights = (syscalls.CAP_SYS_ADMIN, syscalls.CAP_SETUID, syscalls.CAP_SETGID)
    return syscalls.has_capabilities(*rights)


def run_helper(entered: int, *users: tuple[int, int]) -> NoReturn:
    """Wait until the parent is in its user namespace, then write there who is who."""
    try:
        os.read(entered, 1)
        write_maps(str(os.getppid()), *users)
    except OSError:
        os._exit(1)
    os._exit(0)


def write_maps(process: str, *users: tuple[int, int]) -> None:
    """Each of these users and groups is itself in the process's user namespace, user_namespaces(7)."""
    for name, column in (("uid_map", 0), ("gid_map", 1)):
        lines = [f"{user[column]} {user[column]} 1" for user in users]
        Path(f"/proc/{process}/{name}").write_text("\n".join(lines), encoding="ascii")


def unused_user() -> int:
    """A user's number that nobody has, another one for each process: then limits of processes are its own."""
    inside, _, count = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:3]
    everybody = int(inside) == 0 and int(count) >= UNUSED_USERS.stop
    numbers = UNUSED_USERS if everybody else PASSING_USERS
    return numbers[os.getpid() % len(numbers)]


def fork_inner(keep: int, limits: Limits, scratch: str, n_around: int = 0) -> int:
    """Fork the inner process and go on there; this one becomes the outer (`wait_for`), and never returns.

    Returns:
        a pipe that the outer holds open (`die_with_outer`).
    """
    alive, outer_end = os.pipe()
    inner = os.fork()
    if inner:
        os.close(keep)
        os.close(alive)
        wait_for(inner, limits, scratch, n_around)
    os.close(outer_end)
    return alive


def confine(policy: Policy, plan: own_root.Plan, user: tuple[int, int]) -> None:
    """All but seccomp, in the inner process."""
    os.setsid()  # a signal to the own process group would reach the outer
    go_first()
    limit(policy.limits)
    os.umask(0o022)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    own_root.build(plan, policy.limits.scratch_mb, user)
    syscalls.called("sethostname", syscalls.libc().sethostname(b"sandbox", 7))
    give_up_rights(user, plan.scratch)


def go_first() -> None:
    """Where memory runs out on the machine, this process goes first, proc_pid_oom_score_adj(5)."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def give_up_rights(user: tuple[int, int], scratch: str) -> None:
    """In the own root: be another user, read what there is, write to the scratch folder, and no more."""
    os.umask(0o077)
    become(user)
    kernel.no_new_rights()
    kernel.landlock(landlock_rights(scratch))
    make_home(scratch)


def become(user: tuple[int, int]) -> None:
    """Take this user's number, and keep no right of the former one."""
    number, group = user
    if number != os.geteuid():
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(number, number, number)
    syscalls.give_up_capabilities()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else a container's root may not count its memory


def landlock_rights(scratch: str) -> dict[str, int]:
    """Read everywhere in the own root, write to the scratch folder and the devices."""
    reading = kernel.EXECUTE | kernel.READ_FILE | kernel.READ_DIR
    device = kernel.READ_FILE | kernel.READ_DIR | kernel.WRITE_FILE | kernel.TRUNCATE | kernel.IOCTL_DEV
    everything = (1 << kernel.FILE_RIGHTS[kernel.NEWEST]) - 1
    return {"/": reading, "/dev": device, scratch: everything}


def make_home(scratch: str) -> None:
    """Of the environment stays what is harmless; home and temporary files are in the scratch folder."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    os.environ.clear()
    own = {"TORCHINDUCTOR_CACHE_DIR": scratch}  # else an optimizer's first step makes a folder and sets it
    os.environ.update(kept, HOME=scratch, TMPDIR=scratch, MPLCONFIGDIR=scratch, PATH="", **own)
    tempfile.tempdir = None  # it may have been asked for before


def die_with_outer(alive: int) -> None:
    """Be killed when the outer ends, also if it just has.

    Args:
        alive: a pipe that the outer holds open.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    ended, _, _ = select.select([alive], [], [], 0)
    if ended:
        os._exit(1)
    os.close(alive)


def wait_for(inner: int, limits: Limits, scratch: str, n_around: int) -> NoReturn:
    """End with the code of the inner process, or 128 + its signal. End it on SIGTERM, or where all together
    use too much.

    The kernel's limits count memory for each process alone, and processes not at all for a container's root;
    bubblewrap's do not count names.

    Args:
        inner: the process.
        limits: how much memory and how many processes there may be.
        scratch: the folder to write to, as they see it.
        n_around: how many processes stand around the submission's, the inner one among them.
    """
    ended = os.pidfd_open(inner)

    def end(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(ended, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    # On top of what the zygote has, and with it this process: they share it or load it anew.
    most_bytes = limits.memory_mb * MB + memory_of([os.getpid()])
    most_in_socket = socket_buffer()
    while not select.select([ended], [], [], WATCH_EVERY_S)[0]:
        processes = [inner, *descendants(inner)][n_around:]
        in_sockets = most_in_socket * max(map(n_sockets, processes), default=0)  # they have one network
        used = memory_of(processes)
        if used + in_sockets > most_bytes:  # what several share was counted for each
            used = memory_of(processes, shared=True) or used  # takes longer; not every kernel says it
        names = max((n_names(process, scratch) for process in processes), default=0)  # and one folder
        too_many = len(processes) > limits.processes or names > own_root.MOST_NAMES
        if used + in_sockets > most_bytes or too_many:
            end()
    code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def descendants(process: int) -> Iterator[int]:
    """The processes that a process started, those that they started, and so on; proc_pid_task(5)."""
    with contextlib.suppress(OSError):  # it may have ended
        for thread in os.listdir(f"/proc/{process}/task"):
            children = Path(f"/proc/{process}/task/{thread}/children").read_text(encoding="ascii")
            for child in children.split():
                yield int(child)
                yield from descendants(int(child))


def socket_buffer() -> int:
    """Bytes that may wait in a socket whose buffer nobody has enlarged: the last message may go beyond it."""
    one, other = socket.socketpair()
    with one, other:
        return 2 * one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def n_sockets(process: int) -> int:
    """How many sockets there are in the network of a process; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/net/sockstat").read_text(encoding="ascii").split()[2])
    return 0


def n_names(process: int, folder: str) -> int:
    """How many files and folders there are in a folder that a process sees, a tmpfs; 0 if it has ended."""
    with contextlib.suppress(OSError):
        room = os.statvfs(f"/proc/{process}/root{folder}")
        return room.f_files - room.f_ffree
    return 0


def memory_of(processes: Iterable[int], shared: bool = False) -> int:
    """Bytes of memory that processes use, without the files that they read; none of those that have ended.

    Args:
        shared: what several processes have counts for each in part, and not for each as a whole.
    """
    file = "smaps_rollup" if shared else "status"
    used = 0
    for process in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/{file}").read_bytes().splitlines():
                if line.startswith(SHARES if shared else WHOLE):
                    used += int(line.split()[1]) * 1024
    return used


def limit(limits: Limits, in_use: int | None = None) -> None:
    """Put the limits of resources on this process and all that it starts, getrlimit(2).

    Args:
        limits: what it may use.
        in_use: bytes of address space on top of which its memory comes; None: what it has now.
    """
    import resource

    in_use = address_space() if in_use is None else in_use
    wanted = {
        "RLIMIT_AS": in_use + limits.memory_mb * MB,
        "RLIMIT_CPU": limits.cpu_s,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_FSIZE": limits.file_mb * MB,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, value in wanted.items():
        which = getattr(resource, name, None)
        if which is None:
            continue  # this system has no such limit
        _, most = resource.getrlimit(which)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(which, (value, value))


@contextlib.contextmanager
def interrupted_after(seconds: float, error: type[BaseException]) -> Iterator[None]:
    """Raise an error in what takes too long: again and again, in case it is caught there.

    Code that never looks for signals goes on: that has to be ended from outside.
    """

    def late(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
