"""Kinds that end badly, or not at all: errors, loops, crashes, floods, and what uses up the machine."""

from hostile import NO_POINTS, OUR_ANSWERS, TASKS, Submission, as_answer, in_a_cell, inside, notebook
from world import World

BY_HAND = TASKS["attention_by_hand"]
SOFTMAX = OUR_ANSWERS["attention_by_hand"]["softmax"]
LOOP = "while True:\n    pass\n"
# The answers that need no NumPy are right even where its import has failed.
WITHOUT_NUMPY = dict.fromkeys(("scores", "softmax", "masked_weights", "causal_mask"), "wrong")


# -------------------------------------------------------------------------------- nothing hostile in it


@notebook("correct", "nothing: all answers are right")
def _(submission: Submission, world: World) -> None:
    pass


@notebook("correct-in-torch", "nothing: all answers are right", on="attention_in_torch")
def _(submission: Submission, world: World) -> None:
    pass


@notebook(
    "unsolved",
    "nothing: the notebook as it was released",
    tasks=dict.fromkeys(
        ("project", "scores", "softmax", "mix", "masked_weights", "causal_mask"), "not written"
    ),
)
def _(submission: Submission, world: World) -> None:
    submission.content = Submission(solved=False).content


as_answer(
    "wrong",
    "nothing: a mistake that the check knows by name",
    "def softmax(scores):\n    powers = np.exp(scores - scores.max())\n    return powers / powers.sum()",
    "wrong",
)
as_answer("syntax-error", "a cell that is no Python", "def softmax(scores:\n    return 1", NO_POINTS)
as_answer("exception-in-a-cell", "a cell that fails before its function", f"1 / 0\n{SOFTMAX}", NO_POINTS)
as_answer("exception-in-a-function", "a function that fails", inside("1 / 0"), "wrong")


@notebook("exception-at-import", "the first cell fails before its imports", tasks=WITHOUT_NUMPY)
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("setup")
    cell["source"] = "1 / 0\n" + "".join(cell["source"])


@notebook("absent-package", "the first cell imports what is not there, and needs it nowhere")
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("setup")
    cell["source"] = "import a_package_of_my_own\n" + "".join(cell["source"])


# ---------------------------------------------------------------------------------------- never ending

TIMED_OUT = {"status": ("timed out", "graded")}
in_a_cell("endless-cell", "a cell that never ends", LOOP, ends=False, status=("timed out",))
as_answer("endless-function", "a function that never ends", inside(LOOP), "timed out", status=("timed out",))
as_answer(
    "endless-answer-cell", "an answer that never ends", LOOP + SOFTMAX, NO_POINTS, status=("timed out",)
)
in_a_cell(
    "endless-deaf-cell",
    "a cell that ignores every signal and every exception",
    """
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_IGN)
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
    ends=False,
    status=("timed out",),
)
as_answer(
    "endless-deaf-function",
    "a function that catches what should stop it",
    inside("while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
    "timed out",
    status=("timed out",),
)
as_answer(
    "endless-in-C",
    "a function that sits in compiled code, where no exception reaches it",
    "import itertools\n" + inside("sum(itertools.repeat(0))"),
    "timed out",
    status=("timed out",),
)
as_answer(
    "endless-sleep",
    "a function that sleeps",
    "import time\n" + inside("time.sleep(1e6)"),
    "timed out",
    status=("timed out",),
)
in_a_cell(
    "blocked-signals",
    "a cell that blocks every signal and then waits",
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nthreading.Event().wait()",
    ends=False,
    status=("timed out",),
)
in_a_cell(
    "stopped",
    "a cell that stops its own process",
    "os.kill(os.getpid(), signal.SIGSTOP)\n",
    ends=False,
    **TIMED_OUT,
)
in_a_cell(
    "greedy-thread",
    "a thread that never gives the interpreter back",
    "sys.setswitchinterval(1e6)\nthreading.Thread(target=lambda: sum(iter(int, 1)), daemon=True).start()\n"
    "time.sleep(1e6)",
    ends=False,
    status=("timed out",),
)
as_answer(
    "slow-drip",
    "a function of which each call is in time, but not all of them",
    "import time\n" + inside("time.sleep(0.5)"),
    ("timed out", "not run"),
    status=("timed out",),
    others=dict.fromkeys(("mix", "masked_weights", "causal_mask"), "not run"),
)  # in a batch of its own, whose submissions get a few seconds in all: see `test_hostile`

# ------------------------------------------------------------------------------------------- recursion

as_answer("recursion", "a function that calls itself for ever", inside("softmax(scores)"), "wrong")
as_answer(
    "recursion-without-limit",
    "the same without Python's limit, through compiled code",
    "import sys\n" + inside("sys.setrecursionlimit(2**30)\nmax([1], key=lambda x: softmax(scores))"),
    NO_POINTS,
    status=("graded", "timed out"),
)

# ------------------------------------------------------------------------------------ ends the process

as_answer("sys-exit", "a cell that leaves", f"import sys\nsys.exit(0)\n{SOFTMAX}", NO_POINTS)
as_answer("sys-exit-in-a-function", "a function that leaves", "import sys\n" + inside("sys.exit(0)"), "wrong")
as_answer(
    "quit",
    "IPython's own way to leave",
    f"get_ipython().ask_exit()\nexit\nquit()\n{SOFTMAX}",
    ("right", *NO_POINTS),
)
in_a_cell("os-exit", "a cell that ends its process", "os._exit(0)", ends=False)
as_answer("os-exit-in-a-function", "the same in a function", "import os\n" + inside("os._exit(0)"), "died")
as_answer(
    "os-exit-in-an-answer", "the same in an answer's cell", f"import os\nos._exit(0)\n{SOFTMAX}", NO_POINTS
)
in_a_cell("segfault", "a cell that reads at address 0", "ctypes.string_at(0)", ends=False)
as_answer(
    "segfault-in-a-function",
    "the same in a function",
    "import ctypes\n" + inside("ctypes.string_at(0)"),
    "died",
)
in_a_cell(
    "abort",
    "a cell that aborts, and wants a core file",
    """
import resource
trying(lambda: resource.setrlimit(resource.RLIMIT_CORE, (2**30, 2**30)))
print(resource.getrlimit(resource.RLIMIT_CORE))
os.abort()
""",
    ends=False,
)
in_a_cell(
    "kills-the-parent",
    "a cell that kills whoever started it",
    "trying(lambda: os.getppid() > 1 and os.kill(os.getppid(), signal.SIGKILL))",
    in_plain=True,
)
in_a_cell(
    "kills-its-group",
    "a cell that kills the group of processes it belongs to",
    "os.kill(0, signal.SIGKILL)",
    ends=False,
    in_plain=True,
)
in_a_cell(
    "kills-another",
    "a cell that kills a process of somebody else",
    "trying(lambda: os.kill($bait, signal.SIGKILL))",
    in_plain=True,
)

# -------------------------------------------------------------------------------------- stays behind

STAY = """
def stay(folder):
    ctypes.CDLL(None).prctl(15, b"$left_behind", 0, 0, 0)
    for _ in range(100):
        with contextlib.suppress(OSError):
            (folder / "left.txt").write_text("I am still here.")
        time.sleep(0.1)
    os._exit(0)
"""
in_a_cell(
    "background-process",
    "a process of its own session that goes on after grading, and writes where it should not",
    STAY
    + """
if not os.fork():
    with contextlib.suppress(OSError):
        os.setsid()
    if not os.fork():
        stay(pathlib.Path("$outside"))
    os._exit(0)
os.wait()
""",
    in_plain=True,
)
in_a_cell(
    "background-process-by-C",
    "the same, started behind Python's back and deaf to all signals",
    STAY
    + """
if not ctypes.CDLL(None).fork():
    ctypes.CDLL(None).setsid()
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    stay(pathlib.Path("$outside"))
""",
    in_plain=True,
)
in_a_cell(
    "background-thread",
    "threads that never end, so that the process cannot end in peace",
    """
def stay():
    while True:
        time.sleep(0.01)
for _ in range(8):
    threading.Thread(target=stay).start()
""",
)
in_a_cell(
    "at-exit",
    "what runs when the process ends never ends",
    "import atexit, weakref\natexit.register(time.sleep, 1e6)\n"
    "threading._register_atexit(time.sleep, 1e6)\nweakref.finalize(pathlib.Path(), time.sleep, 1e6)",
)

# ---------------------------------------------------------------------------------- uses up the machine

as_answer(
    "memory-bomb",
    "a function that takes 8 GB",
    "kept = []\n" + inside("for _ in range(64):\n    kept.append(np.ones(2**24))\nprint('BREACH: 8 GB')"),
    ("wrong", "died", "timed out"),
    status=("graded", "timed out"),
)
in_a_cell(
    "memory-in-pieces",
    "six processes that take 600 MB each",
    """
ready, done = os.pipe()
def take():
    kept = np.ones(75 * 2**20)
    os.write(done, b"x")
    time.sleep(5)
for _ in range(6):
    if not os.fork():
        with contextlib.suppress(BaseException):
            take()
        os._exit(0)
os.close(done)
n = 0
for _ in range(6):
    n += len(os.read(ready, 1))
if n == 6:
    print("\\nBREACH: 3.6 GB taken by six processes")
""",
    ends=False,
    status=("graded", "timed out"),
    tasks=dict.fromkeys(BY_HAND, ("right", *NO_POINTS)),  # what he holds counts in each of his calls
)
in_a_cell(
    "fork-bomb",
    "300 processes at once",
    """
n = 0
with contextlib.suppress(OSError):
    for _ in range(300):
        if not os.fork():
            time.sleep(2)
            os._exit(0)
        n += 1
print(n, "processes")
if n == 300:
    print("\\nBREACH: 300 processes")
""",
    in_plain=True,
    ends=False,
    status=("graded", "timed out"),
    tasks=dict.fromkeys(BY_HAND, ("right", *NO_POINTS)),  # the next ones of his own calls find no room
)
in_a_cell(
    "fork-bomb-that-doubles",
    "processes that start processes",
    "with contextlib.suppress(OSError):\n    for _ in range(9):\n        os.fork()\ntime.sleep(2)",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, ("right", *NO_POINTS)),
    status=("graded", "timed out"),
)
in_a_cell(
    "thread-bomb",
    "2,000 threads",
    """
stop = threading.Event()
def start():
    for _ in range(2000):
        threading.Thread(target=stop.wait, daemon=True).start()
breaching("2,000 threads", start)
stop.set()
""",
    in_plain=True,
)
in_a_cell(
    "fills-the-disk",
    "files of 300 MB in all, where it may write",
    """
def fill():
    for n in range(30):
        with open(f"filler-{n}", "wb") as file:
            file.write(bytes(10 * 2**20))
breaching("300 MB written", fill)
for name in glob.glob("filler-*"):
    os.remove(name)
""",
    in_plain=True,
)
in_a_cell(
    "many-files",
    "100,000 files",
    """
def fill():
    for n in range(100_000):
        open(f"small-{n}", "w").close()
breaching("100,000 files", fill)
for name in glob.glob("small-*"):
    os.remove(name)
""",
    status=("graded", "timed out"),
    ends=False,
)
in_a_cell(
    "open-files",
    "2,000 open files",
    "kept = []\nbreaching('2,000 open files', lambda: [kept.append(os.dup(0)) for _ in range(2000)])\n"
    "for number in kept:\n    os.close(number)",
)
in_a_cell(
    "raises-its-limits",
    "its own limits, lifted",
    """
import resource
names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE")
for name in names:
    before = resource.getrlimit(getattr(resource, name))[1]
    limit = (before * 2, before * 2) if before > 0 else (-1, -1)
    breaching(f"{name} raised from {before}", lambda: resource.setrlimit(getattr(resource, name), limit))
""",
)

# ---------------------------------------------------------------------------------------------- output

in_a_cell(
    "floods-output",
    "100 MB printed",
    "for _ in range(100):\n    print('x' * 2**20)",
    ends=False,
    prints="x" * 500_000,
    reported="characters more than are kept",
)
in_a_cell(
    "floods-descriptors",
    "100 MB written to the process's own descriptors 1 and 2",
    "for number in (1, 2):\n    for _ in range(50):\n        trying(lambda: os.write(number, b'x' * 2**20))",
)
in_a_cell(
    "floods-for-ever",
    "output without end",
    "while True:\n    print('x' * 2**16)",
    ends=False,
    status=("timed out",),
)
as_answer(
    "floods-from-a-function",
    "100 MB printed in each call",
    inside("for _ in range(100):\n    print('x' * 2**20)"),
    "right",
    status=("graded",),
)
in_a_cell(
    "floods-displays",
    "100,000 displayed objects",
    """
from IPython.display import display
for n in range(100_000):
    display({"text/plain": str(n)}, raw=True)
""",
    ends=False,
    status=("graded", "timed out"),
)
in_a_cell(
    "strange-output",
    "broken Unicode, control characters, escape sequences, scripts",
    r"""
from IPython.display import HTML, Javascript, display
print("\ud800 \udfff \x00 \x07 \x1b[31m red \x1b]0;title\x07 \u202e backwards \ufffe \x9b 2J")
sys.stdout.write("\ud83d")
sys.stderr.write("\udc00 on stderr\n")
display(HTML("<script>fetch('/steal')</script><img src=x onerror=alert(1)></div></body>"))
display(Javascript("alert(1)"))
display({"text/plain": object(), "no/such": "\ud800", 5: 6}, raw=True, metadata={"\ud800": object()})
display({"text/html": {"a": object()}, "image/png": b"\xff\x00"}, raw=True)
trying(lambda: sys.stdout.buffer.write(b"\xff\xfe\xc3\x28"))
trying(lambda: print(float("nan"), 10**4000))
""",
)
as_answer(
    "error-in-strange-words",
    "an error whose words are broken Unicode and HTML",
    inside("raise ValueError('\\ud800 <script>alert(1)</script> \\x1b[2J ' + 'x' * 10**7)"),
    "wrong",
)
