"""Kinds that pass a wrong answer off as right: hostile objects, tampering, stolen answers."""

import hashlib
from dataclasses import asdict

from hostile import (
    NO_POINTS,
    OUR_ANSWERS,
    TASKS,
    VISIBLE_ONLY,
    ZEROS,
    Submission,
    as_answer,
    in_a_cell,
    inside,
    notebook,
)
from world import World

from course_lib.checks.attempt import Failure

SOFTMAX = OUR_ANSWERS["attention_by_hand"]["softmax"]
ATTENTION = OUR_ANSWERS["attention_in_torch"]["attention"]
BY_HAND = TASKS["attention_by_hand"]
TORCH = "attention_in_torch"


def attention(then: str, before: str = "") -> str:
    """Our attention in torch, and what becomes of its result."""
    inner = ATTENTION.replace("def attention", "def right_attention")
    return (
        f"{before}\n{inner}\n\ndef attention(q, k, v, mask=None):\n"
        "    result = right_attention(q, k, v, mask)\n"
        + ("\n".join(f"    {line}" for line in f"{then}\nreturn result".splitlines()))
    )


# ------------------------------------------------------------------------------------------ tampering


def tampering(
    name: str, tries: str, code: str, *, on: str = "attention_by_hand", others: object = "right"
) -> None:
    """A wrong softmax (or attention), and code that would make a check say that it is right."""
    victim = "softmax" if on == "attention_by_hand" else "attention"
    wrong = ZEROS if victim == "softmax" else "def attention(q, k, v, mask=None):\n    return q @ k.mT @ v\n"
    expected = {
        victim: ("wrong", "died", "missing"),
        **{task: others for task in TASKS[on] if task != victim},
    }

    def change(submission: Submission, world: World) -> None:
        submission.answer(victim, f"{wrong}\n{code}")

    notebook(name, tries, on=on, tasks=expected)(change)


FREE = ("right", *NO_POINTS)  # whoever breaks NumPy has broken it for all of his own answers
tampering(
    "patched-numpy",
    "NumPy's comparisons always say yes",
    """
class Yes:
    def all(self, *values, **named): return True
    def __bool__(self): return True
np.allclose = np.array_equal = np.array_equiv = np.all = lambda *values, **named: True
np.isclose = lambda *values, **named: Yes()
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *values, **named: None
""",
    others=FREE,
)
tampering(
    "patched-torch",
    "torch's comparisons always say yes",
    """
torch.allclose = torch.equal = torch.Tensor.equal = torch.Tensor.allclose = lambda *values, **named: True
torch.testing.assert_close = lambda *values, **named: None
torch.isclose = lambda a, b, **named: torch.ones_like(a, dtype=torch.bool)
""",
    on=TORCH,
    others=FREE,
)
tampering(
    "patched-builtins",
    "Python's own all, any, abs, isinstance say what suits",
    """
import builtins
builtins.all = builtins.any = lambda *values: True
builtins.abs = lambda value: 0
builtins.max = lambda *values, **named: 0
builtins.isinstance = lambda thing, kind: True
""",
    others=FREE,
)
tampering(
    "patched-checks",
    "the course's own checks say that all is right",
    """
import sys
import course_lib.checks
for name, module in list(sys.modules.items()):
    if name.startswith("course_lib.checks"):
        for function in ("check", "examine", "agree", "close", "all_agree", "same"):
            if hasattr(module, function):
                setattr(module, function, lambda *values, **named: True)
        if hasattr(module, "first_difference"):
            module.first_difference = lambda *values, **named: None
check = lambda *values, **named: print("Right.")
""",
    others=FREE,
)
tampering(
    "patched-random",
    "all generators give the visible seed's numbers",
    """
import random
first = np.random.default_rng
np.random.default_rng = lambda seed=None: first(0)
random.seed = np.random.seed = lambda *values: None
""",
)
tampering(
    "patched-hashes",
    "equal to all by a subclass of every number",
    """
class Same(float):
    __eq__ = __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True
    __hash__ = float.__hash__
    __sub__ = __rsub__ = __abs__ = lambda self, *other: Same(0)
def softmax(scores):
    return [[Same(1)] * scores.shape[-1]] * len(scores)
""",
)
in_a_cell(
    "patched-clock",
    "a clock that stands still, and another time zone, before a loop without end",
    """
os.environ["TZ"] = "Pacific/Kiritimati"
time.tzset()
time.time = time.monotonic = time.perf_counter = lambda: 0.0
threading.Thread.join = lambda *values: None
signal.setitimer = signal.alarm = lambda *values: None
while True:
    pass
""",
    ends=False,
    status=("timed out",),
)
in_a_cell(
    "changed-state",
    "time zone, locale, seeds, rounding and error switches, folder: all changed",
    """
import decimal, locale, random
os.environ.update(TZ="Pacific/Kiritimati", OMP_NUM_THREADS="64", PYTHONHASHSEED="1")
time.tzset()
random.seed(1)
np.random.seed(1)
np.random.seed = random.seed = lambda *values: None
np.seterr(all="raise")
np.set_printoptions(precision=1)
decimal.getcontext().prec = 1
trying(lambda: os.chdir("/"))
trying(lambda: os.nice(19))
trying(lambda: os.sched_setaffinity(0, [0]))
""",
)
in_a_cell(
    "closed-streams",
    "output and descriptors closed",
    """
print("it went to its end")
sys.stdout.close()
sys.stderr.close()
sys.__stdout__ = sys.__stderr__ = sys.stdin = None
for number in (0, 1, 2):
    with contextlib.suppress(OSError):
        os.close(number)
""",
    ends=False,
)
in_a_cell(
    "broken-IPython",
    "IPython's own workings, replaced",
    """
shell = get_ipython()
shell.run_cell = shell.run_code = shell.showtraceback = lambda *values, **named: None
shell.displayhook = shell.display_pub = None
shell.user_ns = {}
""",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, FREE),
)
in_a_cell(
    "broken-imports",
    "imports that fail, or give something else",
    "sys.path[:] = []\nsys.meta_path.insert(0, 'no finder')\nbuiltins.__import__ = None\nsys.modules.clear()",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, FREE),
)
in_a_cell(
    "audit-hook",
    "a hook that forbids its process everything from now on",
    "def forbid(*values):\n    raise SystemExit('forbidden')\nsys.addaudithook(forbid)",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, FREE),
)
in_a_cell(
    "trace-hooks",
    "hooks that run at every line, call and collection",
    """
import gc
def trace(frame, event, value):
    if "attempt" in frame.f_code.co_filename:
        frame.f_locals.clear()
    return trace
sys.settrace(trace)
threading.settrace(trace)
threading.setprofile(lambda *values: None)
gc.callbacks.append(lambda *values: None)
sys.unraisablehook = sys.excepthook = threading.excepthook = lambda *values: os._exit(1)
""",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, FREE),
)
in_a_cell(
    "no-names-left",
    "all names deleted, then an endless namespace",
    "names = globals()\nnames.clear()",
    ends=False,
    tasks=dict.fromkeys(BY_HAND, FREE),
)

# -------------------------------------------------------------------------------------------- the pipe

SOCKETS = """
import os, socket, stat, struct
def sockets():
    for number in range(256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield number
        except OSError:
            pass
"""


def pipe(name: str, tries: str, code: str, words: object = NO_POINTS, **expected: object) -> None:
    """An attack on the grader's own connection, in each call of a wrong softmax."""
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    wrong = f"{SOCKETS}\ndef softmax(scores):\n{lines}\n    return np.zeros_like(scores)\n"
    as_answer(name, tries, wrong, words, status=("graded", "timed out"), **expected)  # type: ignore[arg-type]


pipe(
    "pipe-garbage",
    "random bytes into every connection",
    """
for number in sockets():
    os.write(number, os.urandom(1000))
""",
)
pipe(
    "pipe-announces-too-much",
    "a message of 4 exabytes, announced",
    """
for number in sockets():
    os.write(number, struct.pack(">QQ", 2**62, 2**62) + b"x" * 100)
""",
)
pipe(
    "pipe-half-a-message",
    "a message that never ends",
    """
import time
for number in sockets():
    os.write(number, struct.pack(">QQ", 1000, 0) + b"{")
time.sleep(1e6)
""",
)
pipe(
    "pipe-forged",
    "an answer of one's own before the real one: that all is right",
    """
import json
for number in sockets():
    for n in range(50):
        answer = {"n": n, "right": True, "passed": True, "got": {"is": "dict", "of": []}, "score": 99}
        text = json.dumps(answer).encode()
        os.write(number, struct.pack(">QQ", len(text), 0) + text)
""",
)
pipe(
    "pipe-closed",
    "every connection closed",
    """
os.closerange(3, 256)
""",
)
pipe(
    "pipe-shut",
    "the other side's reading and writing ended",
    """
for number in sockets():
    socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RDWR)
""",
)
pipe(
    "pipe-read",
    "the grader's next questions, read away",
    """
for number in sockets():
    os.set_blocking(number, False)
""",
)
pipe(
    "pipe-passes-files",
    "open files sent along with a message",
    """
for number in sockets():
    one = socket.socket(fileno=os.dup(number))
    socket.send_fds(one, [struct.pack(">QQ", 2, 0) + b"{}"], [0] * 200)
""",
)


def forging(name: str, tries: str, code: str, words: object = "died", wrong: str = ZEROS) -> None:
    """A wrong softmax in a process that answers the grader with other things than were asked for.

    The code defines `forged(made)`: the fields of an honest attempt to those that are sent.
    """
    whole = f"""{wrong}
def forge():
    import sys
    from course_lib.checks.values import boxed
    child = sys.modules.get("course_lib.grading.judging.child") or sys.modules["__main__"]
    before = child.told
{code}
    def told(made):
        body, raw = before(made)
        return forged(body), raw
    child.told = told
forge()
"""
    others = {task: FREE for task in BY_HAND if task != "softmax"}

    def change(submission: Submission, world: World) -> None:
        submission.answer("softmax", whole)

    notebook(name, tries, tasks={"softmax": words, **others}, status=("graded", "timed out"))(change)


forging(
    "forged-fields",
    "an input that was never there is said to have changed",
    """
    def forged(body):
        return {**body, "changed": "no such input", "after": None, "failure": None}
""",
)
forging(
    "forged-types",
    "numbers where texts should be, texts where arrays should be",
    """
    def forged(body):
        got = {"is": "dict", "of": [["result", "all right"]]}
        return {"got": got, "printed": 5, "late": "no", "changed": 7, "forbidden": [], "failure": None,
                "after": 3, "stuck": {}}
""",
)
forging(
    "forged-failure",
    "a failure whose words are no words, or far too many",
    """
    def forged(body):
        failure = {"kind": 5, "words": "x" * 10**7, "line": None, "wrong_form": "y", "more": 1}
        pairs = [list(pair) for pair in failure.items()]
        return {**body, "got": None, "failure": {"is": "dict", "of": pairs}}
""",
)
forging(
    "forged-array",
    "an array that ends behind the bytes that came",
    """
    def forged(body):
        array = {"is": "array", "dtype": "<f8", "shape": [2**30, 0, 5], "at": -8}
        return {**body, "got": {"is": "dict", "of": [["result", array]]}}
""",
)
forging(
    "forged-box",
    "an object where numbers are due",
    """
    def forged(body):
        box = {"is": "box", "of": {"is": "foreign", "kind": "ndarray", "words": "<b>right</b>"}}
        return {**body, "got": {"is": "dict", "of": [["result", box]]}}
""",
    words="wrong",
)
forging(
    "forged-collisions",
    "a set of 200,000 numbers with one hash, which takes hours to build",
    """
    def forged(body):
        numbers = [n * (2**61 - 1) for n in range(200_000)]
        return {**body, "printed": {"is": "set", "of": numbers}}
""",
)
NAIVE = """
def softmax(scores):
    powers = np.exp(scores)
    return powers / powers.sum(axis=-1, keepdims=True)
"""
STUB = asdict(Failure("NotImplementedError", "", not_written=True))
for which, beside in (
    ("late", {"late": True}),
    ("late-and-stuck", {"late": True, "stuck": True}),
    ("not-written", {"failure": {"is": "dict", "of": [list(pair) for pair in STUB.items()]}}),
):
    forging(
        f"forged-{which}",
        "the first answer, which is right, is said to be the last one too: the examination ends there",
        f"""
    def forged(body):
        return {{**body, **{beside!r}}}
""",
        wrong=NAIVE,
    )
forging(
    "forged-nothing",
    "no field at all",
    """
    def forged(body):
        return {}
""",
)

# ---------------------------------------------------------------------------------------- hostile objects


def returns(name: str, tries: str, code: str, words: object = ("wrong", "died"), **expected: object) -> None:
    """A softmax that returns an object of its own; `Hostile` is its class."""
    answer = f"{code.strip()}\n\n\ndef softmax(scores):\n    return Hostile(np.zeros_like(scores))\n"
    as_answer(name, tries, answer, words, **expected)  # type: ignore[arg-type]


returns(
    "equal-to-all",
    "an object that equals everything",
    """
class Hostile:
    def __init__(self, numbers):
        self.shape, self.dtype, self.ndim = numbers.shape, numbers.dtype, numbers.ndim
    def __eq__(self, other): return True
    __ne__ = __lt__ = __gt__ = lambda self, other: False
    def __sub__(self, other): return np.zeros(self.shape)
    __rsub__ = __abs__ = __sub__
    def __array_ufunc__(self, *values, **named): return np.ones(self.shape, bool)
    def __array_function__(self, *values, **named): return True
    def __bool__(self): return True
    def __len__(self): return self.shape[0]
""",
)
returns(
    "array-that-leaves",
    "an object whose numbers end the process",
    """
import os
class Hostile:
    def __init__(self, numbers): pass
    def __array__(self, *values, **named): os._exit(0)
""",
    "died",
)
returns(
    "array-without-end",
    "an object whose numbers never come",
    """
class Hostile:
    def __init__(self, numbers): pass
    def __array__(self, *values, **named):
        while True: pass
""",
    "timed out",
    status=("timed out",),
)
returns(
    "endless-list",
    "an object that never stops giving",
    """
class Hostile(list):
    def __init__(self, numbers): pass
    def __len__(self): return 2**40
    def __getitem__(self, place): return 0.0
    def __iter__(self):
        while True: yield 0.0
""",
    ("wrong", "died", "timed out"),
    status=("graded", "timed out"),
)
returns(
    "float-that-acts",
    "numbers that act when they are read",
    """
class Number:
    def __float__(self): raise SystemExit
    __index__ = __int__ = __float__
class Hostile(list):
    def __init__(self, numbers): super().__init__([Number()] * len(numbers))
""",
)
returns(
    "subclassed-array",
    "an array that equals everything",
    """
class Same(np.ndarray):
    def __eq__(self, other): return np.ones(self.shape, bool)
    __le__ = __ge__ = __eq__
    def __sub__(self, other): return np.zeros(self.shape)
    def all(self, *values, **named): return True
    def copy(self, *values, **named): return self
    def tobytes(self, *values): return b""
    def __array_finalize__(self, other): pass
    def __array_ufunc__(self, *values, **named): return np.ones(self.shape, bool)
    @property
    def shape(self): return (2, 3)
def Hostile(numbers): return numbers.view(Same)
""",
)
returns(
    "pickled",
    "an object that acts when somebody unpickles it",
    """
import os
class Hostile:
    def __init__(self, numbers): pass
    def __reduce__(self): return os.system, ("touch $outside/unpickled",)
""",
)
returns(
    "array-of-objects",
    "an array of objects that act when somebody unpickles them",
    """
import os
class Act:
    def __reduce__(self): return os.system, ("touch $outside/unpickled",)
    __float__ = lambda self: 0.0
    __eq__ = lambda self, other: True
def Hostile(numbers): return np.array([[Act()] * 3] * 2, dtype=object)
""",
)
returns(
    "endless-repr",
    "an object that describes itself in 100 MB",
    """
class Hostile:
    def __init__(self, numbers): pass
    def __repr__(self): return "<script>" * 10**7
    __str__ = __repr__
""",
)
returns(
    "repr-that-leaves",
    "an object that ends the process when it is described",
    """
import os
class Hostile:
    def __init__(self, numbers): pass
    def __repr__(self): os._exit(0)
""",
)
returns(
    "false-class",
    "an object that says it is an array, and knows every name",
    """
class Hostile:
    def __init__(self, numbers): pass
    __class__ = np.ndarray
    def __getattr__(self, name): return self
    def __call__(self, *values, **named): return self
""",
)
as_answer(
    "hostile-error",
    "an error that fails to say what it is",
    """
class Fails(Exception):
    def __str__(self): raise Fails
    __repr__ = __str__
    __traceback__ = property(lambda self: 1 / 0)
Fails.__name__ = "<b>\\x1b[2J" * 1000
def softmax(scores):
    raise Fails
""",
    ("wrong", "died"),
)
as_answer(
    "error-that-is-not-written",
    "an error that is every error at once",
    "class Both(NotImplementedError, KeyboardInterrupt):\n    pass\n" + inside("raise Both"),
    ("wrong", "not written", "died"),
)

# ---------------------------------------------------------------------------------------- wrong results

for which, what, expression in (
    ("text", "a text", "'all right'"),
    ("None", "nothing", "None"),
    ("function", "a function", "softmax"),
    ("NaN", "NaN everywhere", "np.full_like(scores, np.nan)"),
    ("infinity", "infinity everywhere", "np.full_like(scores, np.inf)"),
    ("complex", "complex numbers", "(scores * 1j)"),
    ("dates", "dates", "np.zeros(scores.shape, 'datetime64[s]')"),
    ("records", "records of 1,000 fields", "np.zeros(3, [(f'f{n}', 'f4') for n in range(1000)])"),
    ("half-precision", "half the precision", "right(scores).astype(np.float16)"),
    ("huge", "10^12 numbers that take no memory", "np.broadcast_to(np.float32(0), (10**6, 10**6))"),
    ("large", "1.6 GB of zeros", "np.zeros((20_000, 20_000), np.float32)"),
    ("no-axes", "a single number", "np.float32(1)"),
    ("more-axes", "32 axes", "right(scores).reshape((1,) * 30 + scores.shape)"),
    ("empty", "an array of no numbers, very wide", "np.zeros((0, 2**40), np.float32)"),
    ("generator", "numbers yet to be made", "(row for row in right(scores))"),
    ("list-in-itself", "a list that holds itself", "loop"),
):
    as_answer(
        f"returns-{which}",
        f"a result that is no right one: {what}",
        "loop = []\nloop.append(loop)\n"
        + SOFTMAX.replace("def softmax", "def right")
        + f"\n\n\ndef softmax(scores):\n    return {expression}\n",
        ("wrong", "died"),
    )
RIGHT = SOFTMAX.replace("def softmax", "def right")
for which, what, then in (
    (
        "float16",
        "computed in half the precision, and given in full",
        "right(scores.astype('f2')).astype(scores.dtype)",
    ),
    ("NaN-payload", "bits of a NaN that signals", "np.full(scores.shape, 0x7F800001, np.uint32).view('f4')"),
    ("masked", "numbers behind a mask that hides all of them", "np.ma.masked_all(scores.shape)"),
    ("strides", "one number in all places", "np.broadcast_to(scores.dtype.type(0.2), scores.shape)"),
):
    as_answer(f"rounds-{which}", what, f"{RIGHT}\n\ndef softmax(scores):\n    return {then}\n", "wrong")
returns(
    "lying-interface",
    "an object that says where in memory its numbers are, and they are not",
    """
class Hostile:
    def __init__(self, numbers):
        place = {"shape": numbers.shape, "typestr": "<f4", "data": (4096, False), "version": 3}
        self.__array_interface__ = place
""",
)
as_answer(
    "late-numbers",
    "an array that another thread fills in when it has been given already",
    f"""{RIGHT}
import threading, time
def softmax(scores):
    result = np.zeros_like(scores)
    def fill():
        time.sleep(0.05)
        result[...] = right(scores)
    threading.Thread(target=fill).start()
    return result
""",
    "wrong",
)
as_answer(
    "two-processes",
    "two processes, of which one gives the right answer and one another",
    f"{RIGHT}\nimport ctypes\ndef softmax(scores):\n"
    "    return 0 * scores if ctypes.CDLL(None).fork() else right(scores)\n",
    NO_POINTS,
    others=dict.fromkeys(("mix", "masked_weights", "causal_mask"), FREE),
    status=("graded", "timed out"),
)
as_answer("a-coroutine", "a function to be awaited", "async " + SOFTMAX, "wrong")
as_answer("no-function", "a number in the place of a function", "softmax = 42", ("wrong", "missing"))
as_answer(
    "any-name",
    "an object that can be called and has every name",
    "class Any:\n    def __getattr__(self, name):\n        return self\n"
    "    def __call__(self, *values, **named):\n        return self\n\n\nsoftmax = Any()",
    ("wrong", "died"),
)
as_answer(
    "list-of-lists", "right numbers in plain lists: right", inside("", "return result.tolist()"), "right"
)
as_answer(
    "big-endian",
    "right numbers in another byte order: right",
    inside("", "result = result.astype(result.dtype.newbyteorder('>'))"),
    "right",
)
as_answer(
    "requires-grad",
    "a right tensor that asks for gradients of its own too: right",
    attention("result = result + torch.zeros((), requires_grad=True)"),
    "right",
    task="attention",
    on=TORCH,
)

for which, what, then in (
    ("meta", "on a device without numbers", "result = result.to('meta')"),
    ("sparse", "stored as a sparse tensor", "result = result.detach().to_sparse()"),
    ("bfloat16", "in bfloat16", "result = result.bfloat16()"),
    ("detached", "cut off from the gradients", "result = result.detach()"),
    ("nan", "NaN", "result = result * float('nan')"),
    ("numpy", "an array of NumPy", "result = result.detach().numpy()"),
):
    as_answer(
        f"tensor-{which}",
        f"a tensor that is no right one: {what}",
        attention(then),
        ("wrong", "died"),
        task="attention",
        on=TORCH,
    )
as_answer(
    "subclassed-tensor",
    "a tensor that answers every question about itself",
    attention(
        "result = (result * 0).as_subclass(Same)",
        """
class Same(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ in ("allclose", "equal", "eq", "all", "isclose", "__eq__"):
            return True
        return super().__torch_function__(function, types, args, kwargs or {})
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return np_array
np_array = __import__("numpy").ones((2, 3))
""",
    ),
    ("wrong", "died"),
    task="attention",
    on=TORCH,
)
as_answer(
    "gradient-that-acts",
    "a right result whose gradient never comes",
    attention(
        "result = Stuck.apply(result)",
        """
class Stuck(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        while True: pass
""",
    ),
    "timed out",
    task="attention",
    on=TORCH,
    status=("timed out",),
)

# --------------------------------------------------------------------------------------- stolen answers

as_answer(
    "calls-the-library",
    "the course's own softmax",
    "def softmax(scores):\n    from course_lib.maths import softmax\n    return softmax(scores)",
    ("wrong", "missing"),
)
as_answer(
    "calls-the-reference",
    "what the check compares with",
    "def softmax(scores):\n    from course_lib.concepts.c03_qkv.tasks.softmax import softmax as right\n"
    "    return right(scores)",
    ("wrong", "missing"),
)
as_answer(
    "calls-the-task",
    "the reference within the task",
    "def softmax(scores):\n    from course_lib.checks import find_task\n"
    "    return find_task('03_qkv/softmax').reference(scores)",
    ("wrong", "missing"),
)
as_answer(
    "reads-the-solution's-text",
    "our answer's text, run",
    "from course_lib.checks import solution\nfrom IPython.utils.capture import capture_output\n"
    "with capture_output() as captured:\n    shown = solution('03_qkv/softmax')\n"
    "import re\n"
    "exec(re.search(r'def softmax.*?sum.*?\\n', f'{captured.stdout}{shown}', re.S)[0])",
    NO_POINTS,
)
as_answer(
    "searches-the-frames",
    "the expected result, in the frames of all threads and among all objects",
    """
import gc, sys
def softmax(scores):
    for frame in sys._current_frames().values():
        while frame is not None:
            for thing in list(frame.f_locals.values()):
                if hasattr(thing, "right") and hasattr(thing.right, "parts"):
                    return thing.right.parts["result"]
            frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing).__name__ == "Task" and thing.name.endswith("softmax"):
            return thing.reference(scores)
    return np.zeros_like(scores)
""",
    "wrong",
)
FUSED = "def attention(q, k, v, mask=None):\n    return {}(q, k, v, attn_mask=mask)\n"
NAMED = "torch.nn.functional.scaled_dot_product_attention"
as_answer(
    "forbidden-routine", "torch's own attention", FUSED.format(NAMED), NO_POINTS, task="attention", on=TORCH
)
as_answer(
    "forbidden-by-another-name",
    "torch's own attention, under another name",
    "fused = getattr(torch._C._nn, 'scaled_dot_' + 'product_attention')\n" + FUSED.format("fused"),
    NO_POINTS,
    task="attention",
    on=TORCH,
)
as_answer(
    "forbidden-by-the-library",
    "the course's own attention",
    "def attention(q, k, v, mask=None):\n    return scaled_dot_product_attention(q, k, v, mask)",
    NO_POINTS,
    task="attention",
    on=TORCH,
)


as_answer(
    "forbidden-in-a-thread",
    "torch's own attention, in a thread",
    f"""
from concurrent.futures import ThreadPoolExecutor
def attention(q, k, v, mask=None):
    with ThreadPoolExecutor() as pool:
        return pool.submit({NAMED}, q, k, v, attn_mask=mask).result()
""",
    NO_POINTS,
    task="attention",
    on=TORCH,
)
as_answer(
    "forbidden-and-unwatched",
    "torch's own attention, where torch tells nobody: right, and the teacher is told",
    f"""
def attention(q, k, v, mask=None):
    with torch._C.DisableTorchFunction():
        return {NAMED}(q, k, v, attn_mask=mask).nan_to_num(0)
""",
    ("right", *NO_POINTS),
    task="attention",
    on=TORCH,
    reported="names DisableTorchFunction",
)
as_answer(
    "forbidden-twin",
    "torch's own attention, as torch has it for its own use",
    """
def attention(q, k, v, mask=None):
    added = None if mask is None else q.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)
    return torch._scaled_dot_product_attention_math(q, k, v, added)[0].nan_to_num(0)
""",
    NO_POINTS,
    task="attention",
    on=TORCH,
)
as_answer(
    "forbidden-in-the-real-model",
    "the course's own attention for the real model",
    "def my_attention(q, k, v, mask=None):\n    return scaled_dot_product_attention(q, k, v, mask)",
    NO_POINTS,
    task="real_model",
    on=TORCH,
)


@notebook(
    "stored-answers", "a table of the visible check's inputs and our results", tasks={"softmax": VISIBLE_ONLY}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", stored_answers(0))


@notebook(
    "answers-by-number",
    "our results of the visible check, one after the other",
    tasks={"softmax": VISIBLE_ONLY},
)
def _(submission: Submission, world: World) -> None:
    code = (
        "ANSWERS, n = list(TABLE.values()), -1\n\ndef softmax(scores):\n    global n\n    n += 1\n"
        "    return np.array(*ANSWERS[n % len(ANSWERS)])\n"
    )
    submission.answer("softmax", f"{stored_answers(0)}\n{code}")


@notebook(
    "answers-of-this-size", "our result of a visible input of the same size", tasks={"softmax": VISIBLE_ONLY}
)
def _(submission: Submission, world: World) -> None:
    code = (
        "known = softmax\n\ndef softmax(scores):\n    alike = [np.array(*it) for it in TABLE.values()]\n"
        "    alike = [it for it in alike if it.shape == scores.shape]\n"
        "    return known(scores) if known(scores).any() or not alike else alike[0]\n"
    )
    submission.answer("softmax", f"{stored_answers(0)}\n{code}")


@notebook("mended-behind-its-test", "the right answer in a cell behind its test", tasks={"softmax": "wrong"})
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.extra(SOFTMAX, after="softmax-test")


@notebook("rewrites-later-cells", "IPython's own way to change the code of cells", tasks={"softmax": "wrong"})
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.extra(
        "def change(lines):\n    return [line.replace('check(', 'print(') for line in lines]\n"
        "get_ipython().input_transformers_post.append(change)\n"
    )


@notebook("constant-answer", "the same answer whatever comes", tasks={"softmax": "wrong"})
def _(submission: Submission, world: World) -> None:
    submission.answer(
        "softmax", "def softmax(scores):\n    return np.full(scores.shape, 1 / scores.shape[-1])"
    )


def stored_answers(*seeds: int) -> str:
    """A softmax that knows the inputs of the check's seeds by their bytes, and computes nothing."""
    from course_lib.checks import find_task
    from course_lib.checks.engine import prepare

    table = {}
    for seed in seeds:
        for prepared in prepare(find_task("03_qkv/softmax"), seed):
            scores = prepared.case.inputs["scores"]
            key = hashlib.sha256(scores.tobytes() + repr(scores.strides).encode()).hexdigest()
            table[key] = (prepared.right.parts["result"].tolist(), str(scores.dtype))
    return (
        f"import hashlib\nTABLE = {table!r}\n\n\ndef softmax(scores):\n"
        "    key = hashlib.sha256(scores.tobytes() + repr(scores.strides).encode()).hexdigest()\n"
        "    answer = TABLE.get(key)\n"
        "    return np.zeros_like(scores) if answer is None else np.array(answer[0], answer[1])\n"
    )
