"""Kinds that reach for what is not theirs: files, memory, processes, the network, the kernel."""

from hostile import Submission, in_a_cell, notebook
from world import World

# --------------------------------------------------------------------------------------------- reading

in_a_cell(
    "reads-the-solution",
    "the source with its hidden tests",
    "trying(lambda: open('$source').read())",
    in_plain=True,
)
in_a_cell(
    "reads-the-grade-book",
    "the grade book, as a file and as a database",
    "import sqlite3\ntrying(lambda: open('$book', 'rb').read())\n"
    "trying(lambda: sqlite3.connect('$book').execute('select * from grade').fetchall())",
    in_plain=True,
)
in_a_cell(
    "reads-another-submission",
    "a classmate's notebook",
    "trying(lambda: open('$other').read())",
    in_plain=True,
)
in_a_cell(
    "reads-files-outside",
    "files outside, also through links and .. of its own",
    """
trying(lambda: open("$outside/marker.txt").read())
trying(lambda: open("/usr/../$outside/marker.txt").read())
trying(lambda: os.symlink("$outside/marker.txt", "link") or open("link").read())
trying(lambda: os.link("$outside/marker.txt", "hard-link") or open("hard-link").read())
trying(lambda: open("/proc/self/root$outside/marker.txt").read())
trying(lambda: open("/proc/1/root$outside/marker.txt").read())
""",
    in_plain=True,
)
in_a_cell(
    "reads-the-home-folder",
    "the teacher's home folder",
    "trying(lambda: open('$home/notes.txt').read())",
    in_plain=True,
)
in_a_cell(
    "reads-the-environment",
    "the environment, its own and others'",
    """
trying(lambda: dict(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + ["/proc/self/environ"]:
    trying(lambda: open(path, "rb").read())
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
n = 0
while environ[n]:
    print(environ[n])
    n += 1
""",
    in_plain=True,
)
in_a_cell(
    "reads-proc",
    "what /proc tells: command lines, open files, memory maps",
    """
for path in glob.glob("/proc/[0-9]*/cmdline"):
    trying(lambda: open(path, "rb").read())
for path in glob.glob("/proc/[0-9]*/fd/*"):
    trying(lambda: (path, os.readlink(path)))
trying(lambda: open("/proc/kcore", "rb").read(10))
""",
    in_plain=True,
)
in_a_cell(
    "reads-shared-memory",
    "shared memory of others, POSIX and System V",
    """
for path in glob.glob("/dev/shm/*"):
    trying(lambda: open(path, "rb").read(1000))
trying(lambda: open("$shared").read())
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget($key, 0, 0)
if segment >= 0:
    place = libc.shmat(segment, None, 0o10000)
    print(ctypes.string_at(place, 100))
""",
    in_plain=True,
)
in_a_cell(
    "reads-open-descriptors",
    "files that whoever started it left open",
    """
for number in range(3, 256):
    with contextlib.suppress(OSError):
        print(number, os.readlink(f"/proc/self/fd/{number}"))
    with contextlib.suppress(OSError):
        print(number, os.pread(number, 10**6, 0))
    with contextlib.suppress(OSError):
        print(number, os.listdir(number))
""",
)
in_a_cell(
    "reads-its-own-memory",
    "secrets that its process inherited",
    """
import gc
marks = re.compile("CANARY-[0-9a-f]{16}|HIDDEN TESTS")
for thing in gc.get_objects():
    for text in thing.values() if type(thing) is dict else thing if type(thing) in (list, tuple) else ():
        if type(text) is str and marks.search(text) and "marks = " not in text:
            print(text[:500])
with contextlib.suppress(OSError), open("/proc/self/mem", "rb", 0) as memory:
    for line in open("/proc/self/maps"):
        start, end = (int(place, 16) for place in line.split()[0].split("-"))
        if " rw" in line and end - start < 2**26:
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(start)
                print(re.findall(b"CANARY-[0-9a-f]{16}", memory.read(end - start)))
""",
    in_plain=True,
)
in_a_cell(
    "searches-everywhere",
    "every small file that it finds, for half a second",
    """
end = time.monotonic() + 0.5
def search():
    for start in ("$root", "/tmp", "/home", "/root", "/var", "/mnt", "/"):
        for folder, folders, files in os.walk(start):
            for name in files:
                if time.monotonic() > end:
                    return
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    if os.path.isfile(path) and os.path.getsize(path) < 10**5:
                        for found in re.findall(b"CANARY-[0-9a-f]{16}", open(path, "rb").read()):
                            print(path, found)
search()
""",
    in_plain=True,
)


@notebook("reads-by-shell", "files by IPython's own commands: !, %, %%", in_plain=True)
def _(submission: Submission, world: World) -> None:
    lines = ("!cat $outside/marker.txt", "%cat $outside/marker.txt", "%run $outside/marker.txt")
    for n, line in enumerate(
        (*lines, "%%bash\ncat $book", "%%writefile $outside/folder/new.txt\nmine", "%hist -g")
    ):
        submission.extra(world.fill_in(line), f"attack-{n}")


# --------------------------------------------------------------------------------------------- writing

WRITE = """
def write(path):
    for mode in ("a", "r+", "w"):
        with contextlib.suppress(OSError):
            with open(path, mode) as file:
                file.write("written by a submission")
"""
in_a_cell("writes-the-solution", "the source, written to", f"{WRITE}write('$source')", in_plain=True)
in_a_cell(
    "writes-the-grade-book",
    "a better score",
    "import sqlite3\n"
    "with contextlib.suppress(sqlite3.Error), sqlite3.connect('$book') as book:\n"
    "    book.execute('update grade set score = 99')",
    in_plain=True,
)
in_a_cell(
    "writes-another-submission",
    "a classmate's notebook, written to",
    f"{WRITE}write('$other')",
    in_plain=True,
)
in_a_cell(
    "writes-outside",
    "files outside: new ones, changed ones, other rights",
    WRITE
    + """
write("$outside/marker.txt")
write("$outside/new.txt")
write("$shared")
trying(lambda: os.chmod("$book", 0))
trying(lambda: os.rename("$outside/folder", "$outside/moved"))
trying(lambda: os.truncate("$source", 0))
trying(lambda: os.utime("$source", (0, 0)))
""",
    in_plain=True,
)
in_a_cell(
    "deletes-everything",
    "the whole course folder, deleted",
    "import shutil\nfor path in ('$other', '$source', '$book'):\n    trying(lambda: os.remove(path))\n"
    "shutil.rmtree('$root', ignore_errors=True)",
    in_plain=True,
)
in_a_cell(
    "plants-modules",
    "code for the next one who starts Python here",
    """
evil = 'print("BREACH: a planted file ran")\\n'
for folder in ("$home/.ipython/profile_default/startup", "$home", "."):
    for name in ("numpy.py", "sitecustomize.py", "usercustomize.py", "00-first.py"):
        with contextlib.suppress(OSError):
            pathlib.Path(folder, name).write_text(evil)
for name in ("PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "IPYTHONDIR"):
    os.environ[name] = os.getcwd()
""",
    in_plain=True,
)
in_a_cell(
    "opens-the-library",
    "the course's own code, opened for writing",
    """
import course_lib.checks
for module in (np, course_lib, course_lib.checks, json):
    breaching(f"{module.__name__} can be written to", lambda: open(module.__file__, "a").close())
breaching("a folder of packages can be written to", lambda: os.utime(os.path.dirname(np.__file__)))
""",
)

# --------------------------------------------------------------------------------------------- network

in_a_cell(
    "connects-by-TCP",
    "a connection to this machine",
    "trying(lambda: socket.create_connection(('127.0.0.1', $tcp), 1))",
    in_plain=True,
)
in_a_cell(
    "connects-by-HTTP",
    "a page of this machine, by name",
    """
import urllib.request
trying(lambda: urllib.request.urlopen("http://localhost:$tcp", timeout=1).read())
""",
    in_plain=True,
)
in_a_cell(
    "sends-by-UDP",
    "a packet, which no answer need follow",
    "trying(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'stolen', ('127.0.0.1', $udp)))",
    in_plain=True,
)
in_a_cell(
    "connects-by-Unix-socket",
    "a socket in the file system",
    "trying(lambda: socket.socket(socket.AF_UNIX).connect('$unix'))",
    in_plain=True,
)
in_a_cell(
    "connects-by-abstract-socket",
    "a Unix socket without a file",
    "trying(lambda: socket.socket(socket.AF_UNIX).connect($abstract))",
    in_plain=True,
)
in_a_cell(
    "opens-strange-sockets",
    "raw, netlink, packet and VM sockets",
    """
for family in ("AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"):
    for kind in (socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        with contextlib.suppress(OSError, AttributeError):
            socket.socket(getattr(socket, family), kind)
            print("\\nBREACH: a socket of family", family)
""",
    in_plain=True,
)

# ---------------------------------------------------------------------------------------------- kernel

CALL = """
libc = ctypes.CDLL(None, use_errno=True)
arm = os.uname().machine == "aarch64"
def called(what, function, *values):
    result, error = function(*values), ctypes.get_errno()
    if result >= 0:
        print("\\nBREACH:", what)
    else:
        print("no:", what, os.strerror(error))
"""
in_a_cell(
    "traces-another",
    "another process's memory, by ptrace",
    CALL
    + """
seize = 0x4206  # PTRACE_SEIZE: does not stop the other, who would stay so
called("attached to a process outside", libc.ptrace, seize, $bait, None, None)
if os.getppid():
    called("attached to its parent", libc.ptrace, seize, os.getppid(), None, None)
""",
    in_plain=True,
)
in_a_cell(
    "makes-namespaces",
    "namespaces and mounts of its own",
    CALL
    + """
called("unshared users", libc.unshare, 0x10000000)
called("unshared mounts", libc.unshare, 0x20000)
called("unshared users and mounts", libc.unshare, 0x10020000)
if not os.path.exists("$root"):
    called("mounted a file system", libc.mount, b"none", os.getcwd().encode(), b"tmpfs", 0, None)
    called("changed its root", libc.chroot, os.getcwd().encode())
called("cloned into new users", libc.syscall, ctypes.c_long(435), ctypes.byref(
    (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)), ctypes.c_long(64)
) if not os.path.exists("$root") else None
""",
    in_plain=True,
)
in_a_cell(
    "becomes-root",
    "another user",
    """
print(os.getuid(), os.getgroups())
breaching("it may become any user", lambda: os.setresuid(12345, 12345, 0))
breaching("it may join any group", lambda: os.setgroups([0, 6]))
trying(lambda: open("/etc/shadow").read())
if os.path.exists("/etc/shadow") and os.access("/etc/shadow", os.R_OK):
    print("\\nBREACH: /etc/shadow can be read")
""",
)
in_a_cell(
    "holds-a-library",
    "a lease on a package and a watch on its folder: whoever imports it waits",
    """
import fcntl
with open(np.__file__) as library:
    breaching("a lease", lambda: fcntl.fcntl(library, fcntl.F_SETLEASE, fcntl.F_RDLCK))
signal.signal(signal.SIGIO, signal.SIG_IGN)
folder = os.open(os.path.dirname(np.__file__), os.O_RDONLY)
breaching("a watch", lambda: fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS))
os.close(folder)
""",
    in_plain=True,
)
in_a_cell(
    "makes-devices",
    "devices of its own, to read disks and memory by",
    """
devices = (("memory", 0o020600, 1, 1), ("zero", 0o020600, 1, 5), ("disk", 0o060600, 8, 0))
for name, kind, major, minor in devices:
    try:
        os.mknod(name, kind, os.makedev(major, minor))
        os.close(os.open(name, os.O_RDONLY))
    except OSError as error:
        print("no:", name, error)
    else:
        print("\\nBREACH: opened its own device", name)
""",
)
in_a_cell(
    "calls-the-kernel",
    "calls that no exercise needs, and that have been a way out before",
    CALL
    + """
def tried(what, number, *values):
    if libc.syscall(ctypes.c_long(number), *values) >= 0 or ctypes.get_errno() not in (1, 13, 38):
        print("\\nBREACH: the kernel answers", what, ctypes.get_errno())
zero = ctypes.c_long(0)
tried("bpf", 280 if arm else 321, ctypes.c_long(99), zero, zero)
tried("io_uring_setup", 425, zero, zero)
tried("userfaultfd", 282 if arm else 323, ctypes.c_long(2**20))
tried("perf_event_open", 241 if arm else 298, zero, zero, zero, zero, zero)
tried("keyctl", 219 if arm else 250, zero, ctypes.c_long(-3), zero)
tried("add_key", 217 if arm else 248, zero, zero, zero, zero, zero)
tried("open_by_handle_at", 265 if arm else 304, ctypes.c_long(-100), zero, zero)
tried("process_vm_readv", 270 if arm else 310, ctypes.c_long($bait), zero, zero, zero, zero, zero)
tried("pidfd_getfd", 438, ctypes.c_long(-1), zero, zero)
""",
    in_plain=True,
)
in_a_cell(
    "types-into-the-terminal",
    "keys pressed in the teacher's terminal",
    """
import fcntl, termios
for path in ("/dev/tty", 0, 1, 2):
    def press():
        number = os.open(path, os.O_RDWR) if type(path) is str else path
        fcntl.ioctl(number, termios.TIOCSTI, b"#")
    breaching(f"pressed a key in {path}", press)
""",
)
