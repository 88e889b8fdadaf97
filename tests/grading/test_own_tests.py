"""A teacher's own test runs behind a wall of its own, for one submission; what it leaves there is gone."""

import time
from pathlib import Path

import pytest
from small import answer, cell, locked, with_hidden, write

from course_lib.grading.judging import judge
from course_lib.grading.judging.judge import Grader

pytestmark = pytest.mark.usefixtures("own_errors")


@pytest.fixture(scope="module")
def ready(engine, tmp_path_factory):
    """A grader whose processes all others use."""
    path = write(tmp_path_factory.mktemp("ready") / "ready.ipynb", [cell("numpy", "import numpy")])
    with Grader(path, engine=engine) as grader:
        yield grader


@pytest.fixture(scope="module")
def ready_with_torch(engine, tmp_path_factory):
    """The same for notebooks that speak of torch."""
    path = write(tmp_path_factory.mktemp("ready") / "ready.ipynb", [cell("torch", "import torch")])
    with Grader(path, engine=engine) as grader:
        yield grader


@pytest.fixture
def grade_whole(ready, ready_with_torch, tmp_path):
    """Grade the source and answers of one notebook with one grader: the outcomes."""

    def graded(right, answers, *tests, plain="import numpy as np"):
        def cells(code):
            tested = [locked(f"own{i}", test, 2.0) for i, test in enumerate(tests)]
            return [cell("plain", plain), answer("own", code), *tested]

        grader = Grader(write(tmp_path / "source.ipynb", cells(right)), engine=ready.engine)
        like = ready_with_torch if "torch" in grader.content.decode() else ready
        grader.zygote, grader.tests = like.alive(), like.for_tests()
        own = grader.grade("the source", grader.source)
        assert [(task.status, task.sentence) for task in own.tasks] == [("right", "")] * len(tests)
        paths = [write(tmp_path / f"{i}.ipynb", cells(code)) for i, code in enumerate(answers)]
        return own, [grader.grade(f"student {i}", path) for i, path in enumerate(paths)]

    return graded


@pytest.fixture
def grades(grade_whole):
    """The same: what becomes of the tasks of each answer."""
    return lambda *values, **named: [outcome.tasks for outcome in grade_whole(*values, **named)[1]]


ROOT = "import math\ndef root(n):\n    if n < 0: raise ValueError('negative')\n    return math.sqrt(n)"
ABS = "import math\ndef root(n): return math.sqrt(abs(n))"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("import pytest\nwith pytest.raises(ValueError): root(-1)", "Failed: DID NOT RAISE"),
        ("import pytest\nif root(4) and not raises(-1): pytest.fail('no error')", "Failed: no error"),
        ("import pytest\nif not raises(-1): pytest.skip('no error')", "Skipped: no error"),
        ("import sys\nif not raises(-1): sys.exit('no error')", "SystemExit: no error"),
    ],
)
def test_an_error_that_is_no_exception_is_a_wrong_answer(grades, test, said):
    helper = "def raises(n):\n    try: root(n)\n    except ValueError: return True\n    return False\n"
    wrong, right = grades(ROOT, [ABS, ROOT], helper + test, "assert root(4) == 2")
    assert [task.status for task in wrong] == ["wrong", "right"]
    assert said in wrong[0].sentence
    assert [task.status for task in right] == ["right", "right"]


@pytest.mark.parametrize(
    "leaves",
    [
        "del np.sum",
        "import os\nos.environ.clear()\nos.environ['HOME'] = 'nowhere'",
        "import builtins\nvars(builtins)['sum'] = None",
        "import inspect\nvars(inspect)['signature'] = None",
        "np.random.seed(3)\nnp.set_printoptions(precision=1)",
        "import sys\nsys.modules.clear()",
    ],
)
def test_what_a_test_leaves_behind_is_gone_with_it(grades, leaves):
    double = "def double(x): return np.add(x, x)"
    checks = "assert np.sum(double(np.ones(3))) == 6 and np.random.rand() < 1"
    everybody = grades(double, [double, double], checks, f"{checks}\n{leaves}")
    assert [task.status for tasks in everybody for task in tasks] == ["right"] * 4


FIRST = with_hidden("np.testing.assert_allclose(a(3.0), 6)", "np.testing.assert_allclose(a(5.0), [10.0])")


@pytest.mark.parametrize("wrong", ["return x", "raise NotImplementedError", "np.zeros(-1)"])
def test_an_earlier_test_is_not_run_again_with_a_later_one(grades, wrong):
    both = "def a(x): {}\ndef b(x): return 3 * x"
    second = "np.testing.assert_allclose(b(2.0), 6)\nassert np.pi > 3"
    ((first, other),) = grades(both.format("return 2 * x"), [both.format(wrong)], FIRST, second)
    assert (first.points, other.status) == (0.0, "right")


def test_what_an_earlier_test_defines_is_there(grades):
    first = "wanted = [n * n for n in range(4)]\nassert squares(4) == wanted\nfound = squares(2)"
    wrong = "def squares(n): return [n * n for n in range(max(n, 3))]"
    right = "def squares(n): return [n * n for n in range(n)]"
    ((one, two),) = grades(right, [wrong], first, "assert found == wanted[:2]")
    assert (one.status, two.status) == ("right", "wrong")


def test_the_source_and_other_submissions_are_not_there(grades, tmp_path):
    """Whatever file a student names, the test reads that of its own place."""
    test = "from pathlib import Path\nassert not Path(where).exists()\nassert not Path(where).parent.exists()"
    ((task,),) = grades("where = '/nowhere/a'", [f"where = {str(tmp_path / 'source.ipynb')!r}"], test)
    assert task.status == "right"
    assert (tmp_path / "source.ipynb").exists()


def test_hidden_inputs_of_other_tests_are_not_there(grades):
    look = (
        "import gc\nassert not any('tr' + 'easure' in text for text in gc.get_objects() if type(text) is str)"
    )
    hidden = with_hidden("assert f(2) == 4", "assert f(3) == 6, 'tr' 'easure'")
    double = "def f(x): return 2 * x"
    (own,) = grades(double, [double], hidden, look)
    assert [task.status for task in own] == ["right", "right"]


def test_a_test_that_never_ends_ends(grades, monkeypatch):
    """Whole numbers of one hash are compared each with all others."""
    monkeypatch.setattr(judge, "OWN_TEST_S", 2.0)
    endless = "xs = [n * (2**61 - 1) for n in range(200_000)]"
    start = time.monotonic()
    ((first, second),) = grades("xs = [1, 2]", [endless], "assert len(set(xs)) == len(xs)", "assert xs")
    assert time.monotonic() - start < 60  # it would take hours
    assert (first.status, first.sentence) == ("timed out", "It took longer than 2 s.")
    assert second.status == "right"


def test_a_test_that_takes_all_memory_gets_none(grades):
    ((first, second),) = grades("n = 3", ["n = 300_000"], "assert np.ones((n, n)).sum() == n * n", "assert n")
    assert first.status == "wrong"
    assert "MemoryError" in first.sentence
    assert second.status == "right"


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("assert eval(formula) == 6", "eval"),
        ("exec(formula)", "exec"),
        ("code = compile(formula, 'own', 'eval')", "compile"),
        ("import pickle\nassert pickle.loads(formula)", "pickle"),
        ("from pickle import loads\nassert loads(formula)", "pickle"),
    ],
)
def test_a_test_that_would_run_what_a_student_wrote_is_refused(ready, tmp_path, test, name):
    """Whoever runs there could say that all is right."""
    written = tmp_path / "written"
    code = f"formula = 'open({str(written)!r}, \"w\")'"
    path = write(tmp_path / "source.ipynb", [answer("own", "formula = '2 * 3'"), locked("own", test, 2.0)])
    grader = Grader(path, engine=ready.engine)
    grader.zygote, grader.tests = ready.alive(), ready.for_tests()
    submitted = write(tmp_path / "ada.ipynb", [answer("own", code), locked("own", test, 2.0)])
    for place in (path, submitted):
        (task,) = grader.grade("ada", place).tasks
        assert task.points == 0
        assert task.sentence == (
            f"It would run what a student wrote, by `{name}`: compare values, or call a function."
        )
    assert not Path(written).exists()


def test_in_a_test_regular_expressions_and_json_are_no_code(grades):
    test = "import json, re\nassert re.compile('a+').match(word)\nassert json.loads('[1]') == [1]"
    (right,) = grades("word = 'aa'", ["word = 'aaa'"], test)
    assert right[0].status == "right"


COPY = "import copy\n"
ALIASES = {
    "the list itself": (
        "def sorted_copy(xs): return sorted(xs)",
        "def sorted_copy(xs):\n    xs.sort()\n    return xs",
        "a = [1, 2]\nb = sorted_copy(a)\nassert b == [1, 2]\nassert b is not a",
    ),
    "a shallow copy": (
        COPY + "def copied(xs): return copy.deepcopy(xs)",
        "def copied(xs): return list(xs)",
        "a = [[1], [2]]\nb = copied(a)\nb[0].append(9)\nassert a == [[1], [2]]",
    ),
    "one row many times": (
        "def table(n): return [[0] * n for _ in range(n)]",
        "def table(n): return [[0] * n] * n",
        "t = table(2)\nt[0][0] = 1\nassert t == [[1, 0], [0, 0]]",
    ),
    "a default list": (
        "def added(x, xs=None): return [*(xs or []), x]",
        "def added(x, xs=[]):\n    xs.append(x)\n    return xs",
        "a = added(1)\nb = added(2)\nassert a == [1] and a is not b",
    ),
    "a view of an array": (
        "def half(x): return x[:2].copy()",
        "def half(x): return x[:2]",
        "a = np.arange(4)\nb = half(a)\nb[0] = 9\nassert a[0] == 0",
    ),
    "the array itself": (
        "def doubled(x): return 2 * x",
        "def doubled(x):\n    x *= 2\n    return x",
        "a = np.arange(4)\nassert doubled(a) is not a",
    ),
    "a dictionary's own list": (
        "store = {'a': [1]}\ndef get(k): return list(store[k])",
        "store = {'a': [1]}\ndef get(k): return store[k]",
        "get('a').append(2)\nx, y = get('a'), get('a')\nassert x == [1] and x is not y",
    ),
    "errors that end a loop": (
        "def even(n): return n % 2 == 0",
        "def even(n):\n    raise StopIteration",
        "assert all(map(even, [2, 4]))",
    ),
}


@pytest.mark.parametrize("name", ALIASES)
def test_what_is_the_same_thing_stays_the_same(grades, name):
    right, wrong, test = ALIASES[name]
    ((first,), (second,)) = grades(right, [right, wrong], test)
    assert first.status == "right"
    assert second.status == "wrong"


@pytest.mark.parametrize(
    ("right", "test"),
    [
        ("def same(xs): return xs", "a = [[1], 2]\nassert same(a) is a and same(a)[0] is a[0]"),
        ("def rows(n):\n    r = [0]\n    return [r] * n", "a = rows(3)\nassert a[0] is a[2]"),
        ("xs = [1]\ndef more(): xs.append(2)", "a = xs\nmore()\nassert xs == [1, 2] and a is xs"),
        (
            "def grow(xs): xs.append([0])",
            "a = []\ngrow(a)\ngrow(a)\nassert a == [[0], [0]]\nassert a[0] is not a[1]",
        ),
        ("def clear(d): d.clear()", "d = {1: [2]}\nclear(d)\nassert d == {}"),
        ("def swap(p): p[0], p[1] = p[1], p[0]", "a = [[1], [2]]\nx = a[0]\nswap(a)\nassert a[1] is x"),
        (
            "def many(n): return [[i] for i in range(n)]",
            "assert [x[0] for x in many(30_000)] == [*range(30_000)]",
        ),
        ("def big(): return np.zeros(10**5)", "assert sum(len(big()) for _ in range(100)) == 10**7"),
        ("def T(x): return x.T", "a = np.ones((2, 3))\nb = T(a)\nb[2, 0] = 5\nassert a[0, 2] == 5"),
    ],
)
def test_right_answers_may_share_what_a_test_lets_them(grades, right, test):
    ((task,),) = grades(right, [right], test)
    assert (task.status, task.sentence) == ("right", "")


# What a wrong answer does out of a test's sight: what it is, its test, the source's answer, its own.
UNSEEN = {
    "a kept dictionary of an own class": (
        "own class",
        "d = conf()\nd['a'] = 2\nassert conf() == {'a': 1}",
        "def conf(): return {'a': 1}",
        "class C(dict): pass\nkept = C(a=1)\ndef conf(): return kept",
    ),
    "a position in a text": (
        "as copies",
        "import io\ns = io.StringIO('a b')\nassert n(s) == 3\nassert s.read() == 'a b'",
        "def n(s): return len(s.getvalue())",
        "def n(s): return len(s.read())",
    ),
    "a class with another's module": (
        "own class",
        "assert name().upper() == 'ADA'",
        "def name(): return 'ada'",
        "class T(str):\n    __module__ = 'numpy'\n    def upper(self): return 'BOB'\n"
        "def name(): return T('ada')",
    ),
    "a tensor of an own class": (
        "own class",
        "import torch\nt = ones(2)\nassert isinstance(t, torch.Tensor) and t.shape == (2,)\n"
        "torch.testing.assert_close(t.sum(), torch.tensor(2.0))\nassert torch.equal(t, torch.ones(2))",
        "import torch\ndef ones(n): return torch.ones(n)",
        "import torch\nclass T(torch.Tensor): pass\ndef ones(n): return torch.ones(n).as_subclass(T)",
    ),
    "a tensor of an own class with gradients": (
        "own class",
        "import torch\nx = torch.ones(2, requires_grad=True)\ntwice(x).sum().backward()\n"
        "assert x.grad.tolist() == [2, 2]",
        "import torch\ndef twice(x): return 2 * x",
        "import torch\nclass T(torch.Tensor): pass\ndef twice(x): return (2 * x).as_subclass(T)",
    ),
    "a setting of NumPy that is quiet": (
        "or settings",
        "was = np.geterr()\nwork()\nassert np.geterr() == was",
        "def work(): pass",
        "def work(): np.seterr(divide='ignore')",
    ),
    "a list that does not grow": (
        "own class",
        "xs = build()\nxs.append(3)\nassert xs == [1, 3]",
        "def build(): return [1]",
        "class L(list):\n    def append(self, x): pass\ndef build(): return L([1])",
    ),
    "a part of an array with gaps": (
        "as copies",
        "a = np.zeros(6)[::2]\nb = f(a)\nb[0] = 5\nassert a.sum() == 0",
        "def f(a): return a.copy()",
        "def f(a): return a[::-1][::-1]",
    ),
    "one number for all": (
        "as copies",
        "a = zeros(3)\na[0] = 1\nassert a[1] == 0",
        "def zeros(n): return np.zeros(n)",
        "def zeros(n): return np.lib.stride_tricks.as_strided(np.zeros(1), (n,), (0,))",
    ),
    "an array to read": (
        "as copies",
        "a = zeros(3)\na[0] = 1\nassert a[1] == 0",
        "def zeros(n): return np.zeros(n)",
        "def zeros(n): return np.broadcast_to(0.0, (n,))",
    ),
    "one of many lists": (
        "as copies",
        "r = rows(30_000)\nr[-1].append(1)\nassert r[-2] == []",
        "def rows(n): return [[] for _ in range(n)]",
        "def rows(n): return [[] for _ in range(n - 2)] + [[]] * 2",
    ),
    "a second name of a file": (
        "no plain file",
        "write('a')\ncopy('a', 'b')\nwrite('b', '2')\nassert open('a').read() == '1'",
        "import shutil\ndef copy(a, b): shutil.copy(a, b)",
        "import os\ndef copy(a, b): os.link(a, b)",
    ),
    "an empty folder": (
        "no plain file",
        "import os\nwork()\nassert not os.path.exists('tmp')",
        "def work(): pass",
        "import os\ndef work(): os.mkdir('tmp')",
    ),
    "another folder": (
        "folder, environment",
        "import os\na = os.getcwd()\nwork()\nassert os.getcwd() == a",
        "def work(): pass",
        "import os\ndef work(): os.chdir('/')",
    ),
    "settings of torch": (
        "or settings",
        "import torch\nwork()\nassert torch.is_grad_enabled()",
        "def work(): pass",
        "import torch\ndef work(): torch.set_grad_enabled(False)",
    ),
    "settings of NumPy": (
        "or settings",
        "work()\nassert np.geterr()['divide'] == 'warn'",
        "def work(): pass",
        "def work(): np.seterr(all='raise')",
    ),
    "bytes the other way round": (
        "as copies",
        "assert f().dtype.isnative",
        "def f(): return np.arange(3)",
        "def f(): return np.arange(3, dtype='>i8')",
    ),
    "an environment": (
        "folder, environment",
        "import os\nwork()\nassert 'MINE' not in os.environ",
        "def work(): pass",
        "import os\ndef work(): os.environ['MINE'] = '1'",
    ),
    "what happens at its end": (
        "names __del__",
        "xs = [1]\nr = take(xs)\nassert r.n == 1\ndel r\nassert xs == [1]",
        "class C:\n    def __init__(self, xs): self.n = len(xs)\ndef take(xs): return C(xs)",
        "class C:\n    def __init__(self, xs): self.xs, self.n = xs, len(xs)\n"
        "    def __del__(self): self.xs.clear()\ndef take(xs): return C(xs)",
    ),
    "an object of the source's": (
        "changed config",
        "work()\nassert config.colours == ['red', 'blue']",
        "def work(): pass",
        "def work(): config.colours.sort()",
    ),
    "a class of the source's": (
        "changed Config",
        "work()\nassert Config.rate == 3",
        "def work(): pass",
        "def work(): Config.rate = 4",
    ),
    "data of the source's": (
        "limit, settings",
        "work()\nassert settings == {'a': [1]} and limit == 3",
        "def work(): pass",
        "def work():\n    global limit\n    limit, settings['a'][0] = 4, 2",
    ),
}
# The same of what a plain cell defines: that, what becomes of it, and the words.
MOVED = {
    "weights": ("import torch\nm = torch.nn.Linear(2, 1)", "m.weight.data.zero_()"),
    "whether it trains": ("import torch\nm = torch.nn.Dropout()", "m.eval()"),
    "gradients of weights": ("import torch\nm = torch.nn.Linear(2, 1)", "m.bias.sum().backward()"),
    "a gradient": ("import torch\nm = torch.ones(2)", "m.grad = torch.ones(2)"),
    "a place in NumPy's numbers": ("m = np.random.default_rng(3)", "m.random()"),
    "a place in Python's numbers": ("import random\nm = random.Random(3)", "m.random()"),
    "a place in a text": ("import io\nm = io.StringIO('ab')", "m.read(1)"),
    "an array of Python's": ("import array\nm = array.array('i', [1])", "m.append(2)"),
    "a default": ("def m(x, seen=[]): return seen", "m.__defaults__[0].append(2)"),
    "a partial": (
        "from functools import partial\nm = partial(sorted, key=[1])",
        "m.keywords['key'].append(2)",
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_what_else_of_the_sources_moves_is_told(grade_whole, name):
    plain, moves = MOVED[name]
    right = "def work(): pass"
    wrong = "def work(): " + moves
    own, (again, other) = grade_whole(
        right, [right, wrong], "work()\nm", plain=f"import numpy as np\n{plain}"
    )
    assert own.reports == again.reports == ()
    assert other.reports == ("the test 'test_own0' passes, but an answer has changed m: look at it",)


GIVEN = """import numpy as np
settings, limit, others = {'a': [1]}, 3, [5]
class Config:
    rate = 3
    def __init__(self): self.colours = ['red', 'blue']
config = Config()
def write(name, text='1'):
    with open(name, 'w') as file: file.write(text)
"""


@pytest.mark.parametrize("name", UNSEEN)
def test_what_a_test_cannot_see_is_told(grade_whole, name):
    words, test, right, wrong = UNSEEN[name]
    own, (first, second) = grade_whole(right, [f"{right}\nothers.append(6)", wrong], test, plain=GIVEN)
    assert own.reports == first.reports == (second.reports if "many" in name else ())
    assert all(task.status == "right" for one in (first, second) for task in one.tasks)
    (report,) = second.reports
    assert words in report
    assert report.endswith(": look at it")


def test_data_of_the_sources_that_its_own_answer_changes_is_refused(ready, tmp_path):
    cells = [cell("plain", "notes = []"), answer("own", "def add(): notes.append(1)")]
    path = write(tmp_path / "source.ipynb", [*cells, locked("own", "add()\nassert len(notes) < 2", 2.0)])
    grader = Grader(path, engine=ready.engine)
    grader.zygote, grader.tests = ready.alive(), ready.for_tests()
    (task,) = grader.grade("the source", path).tasks
    assert (task.status, task.points) == ("wrong", 0.0)
    assert "change notes, of which the test has its own" in task.sentence


# Nothing to look at: the test, the source's answer, another that is as right; in front of them stands PLAIN.
PLAIN = """import copy
import torch
class T:
    def __init__(self, xs): self.xs = xs
t, rng = T([1]), np.random.default_rng(0)
weights = torch.ones(2, requires_grad=True)
norm = torch.nn.BatchNorm1d(2)
"""
SAVE = "def save():\n    with open('a.txt', 'w') as file: file.write('1')"
BY_HAND = "def step(w, rate):\n    with torch.no_grad(): w -= rate * w.grad"
STEPPED = """w = torch.ones(2, requires_grad=True)
w.sum().backward()
step(w, 0.5)
assert w.tolist() == [0.5, 0.5]"""
NOTHING = {
    "a first file": ("save()\nassert open('a.txt').read() == '1'", SAVE, SAVE),
    "an optimizer": (
        STEPPED,
        BY_HAND,
        "def step(w, rate): torch.optim.SGD([w], rate).step()",
    ),
    "a function's gradient": (
        "assert slope(3.0) == 6",
        "def slope(x): return 2 * x",
        "def slope(x): return torch.func.grad_and_value(lambda x: x**2)(torch.tensor(x))[0].item()",
    ),
    "a copy of an object": (
        "assert first().xs == [1] and isinstance(t, T)",
        "def first(): return t",
        "def first(): return copy.copy(t)",
    ),
    "draws, gradients and means as the source's": (
        "assert noise(3).shape == (3,) and rng is not weights is not norm",
        "def noise(n):\n    weights.sum().backward(); norm(torch.ones(3, 2))\n    return rng.normal(size=n)",
        "def noise(n):\n    (3 * weights).sum().backward(); norm(torch.zeros(3, 2))\n"
        "    return np.array([rng.normal() for _ in range(n)])",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_right_answer_is_nothing_to_look_at(grade_whole, name):
    test, right, other = NOTHING[name]
    own, (again, first) = grade_whole(right, [right, other], test, plain=f"import numpy as np\n{PLAIN}")
    assert all(task.status == "right" for task in first.tasks)
    assert own.reports == again.reports == first.reports == ()


REFUSED = {
    "with np.errstate(all='raise'): assert f([2, 1]) == [1, 2]": "`errstate` sets",
    "import warnings\nwarnings.simplefilter('error')\nassert f([2, 1]) == [1, 2]": "`simplefilter` sets",
    "import sys\nsys.setrecursionlimit(99)\nassert f([2, 1]) == [1, 2]": "`setrecursionlimit` sets",
    "import sys\nsys.modules['heapq'] = None\nassert f([2, 1]) == [1, 2]": "replaces `sys.modules['heapq']`",
    "import time\nt = time.process_time()\nassert f([1]) == [1]": "`process_time` sees",
    "import warnings\nwith warnings.catch_warnings(record=True): f([1])": "`catch_warnings` sees",
    "import functools\nk = functools.cache(abs)\nf([1], key=k)\nk.cache_info()": "`cache_info` sees",
    "import itertools\nn = itertools.count()\nf([1], key=lambda x: next(n))": "noted in `n`",
    "with mock.patch('builtins.sorted', None): assert f([2, 1]) == [1, 2]": "replaces `builtins.sorted`",
    "np.linalg.inv = None\nassert f([1]) == [1]": "replaces `np.linalg.inv`",
    "with mock.patch.object(np, 'sort', None): f([1])": "replaces `np.sort`",
    "setattr(np, 'sort', None)": "replaces `np.sort`",
    "calls = []\nf([1], key=lambda x: calls.append(x))\nassert len(calls) <= 1": "noted in `calls`",
    "n = 0\ndef key(x):\n    global n\n    n += 1\nf([1], key)\nassert n == 1": "noted in `n`",
    "class Own(list):\n    n = 0\n    def __getitem__(self, i):\n        self.n += 1\nf(Own())": "in `self`",
    "class Own(list):\n    n = 0\n    def __len__(self):\n        type(self).n += 1\nf(Own())": "in `self`",
    "assert not np.shares_memory(f(a), a)": "`shares_memory` cannot know",
}


# What a test cannot do: the source's answer, the test, and what is said.
IMPOSSIBLE = {
    "a coroutine": (
        "async def f(): return 1",
        "import asyncio\nassert asyncio.run(f()) == 1",
        "a test cannot run a coroutine: let a function of the answer do it",
    ),
    "a generator of the test's": (
        "f = next",
        "def g(): yield 1\nassert f(g()) == 1",
        "a test cannot give this to an answer: cannot pickle 'generator' object",
    ),
    "a list in itself": (
        "def f():\n    a = []\n    a.append(a)\n    return a",
        "assert len(f()) == 1",
        "What it gives cannot be compared here: something within holds itself",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_a_test_cannot_do_is_said_in_a_sentence(ready, tmp_path, name):
    right, test, said = IMPOSSIBLE[name]
    path = write(tmp_path / "source.ipynb", [answer("own", right), locked("own", test, 2.0)])
    grader = Grader(path, engine=ready.engine)
    grader.zygote, grader.tests = ready.alive(), ready.for_tests()
    (task,) = grader.grade("the source", path).tasks
    assert (task.status, task.points) == ("wrong", 0.0)
    assert said in task.sentence


@pytest.mark.parametrize("test", REFUSED)
def test_a_test_that_could_pass_in_silence_is_refused_on_the_source(ready, tmp_path, test):
    source = [cell("plain", "import numpy as np\nfrom unittest import mock"), answer("own", "f = sorted")]
    path = write(tmp_path / "source.ipynb", [*source, locked("own", test, 2.0)])
    grader = Grader(path, engine=ready.engine)
    grader.zygote, grader.tests = ready.alive(), ready.for_tests()
    (task,) = grader.grade("the source", path).tasks
    assert (task.status, task.points) == ("wrong", 0.0)
    assert REFUSED[test] in task.sentence


# Code in which what is forbidden is not seen, or what is required stands for show only.
LOOPED = "def looped(*xs):\n    s = 0\n    for x in xs[-1]: s += x\n    return s\n"
CLASS = "class S:\n    def total(self, xs): sum\n"
DOUBTFUL = {
    "total": {
        "a text of before": "total = 'sum'\ndef total(xs): return xs[0] + xs[1]",
        "a dead definition": "if 0:\n    def total(xs): return sum(xs)\ndef total(xs): return xs[0] + xs[1]",
        "a global name": "def total(xs): return sum(xs)\ndef put(f):\n    global total\n    total = f\n"
        "class K:\n    @staticmethod\n    def total(xs):\n        for x in xs: return x + 2\nput(K.total)",
    },
    "S.total": {
        "a member of before": "class S:\n    def total(self, xs): sum\n"
        "    def total(self, xs): return xs[0] + xs[1]",
        "a class of before": "class S:\n    def total(self, xs): sum\n"
        "class S:\n    def total(self, xs): return xs[0] + xs[1]",
        "a type": CLASS + "S = type('S', (), {'total': looped})",
        "a decorator": f"def d(c):\n    c.total = looped\n    return c\n@d\n{CLASS}",
        "a decorator that makes another": f"def d(c): return type('S', (), dict(total=looped))\n@d\n{CLASS}",
        "another name": CLASS + "T = S\nT.total = looped",
        "a metaclass": "class M(type):\n    def __new__(m, n, b, d):\n        d['total'] = looped\n"
        f"        return super().__new__(m, n, b, d)\n{CLASS.replace('S', 'S(metaclass=M)')}",
        "locals": f"{CLASS}    locals()['total'] = looped",
        "a method of the class": f"{CLASS}    @classmethod\n    def fix(c): c.total = looped\nS.fix()",
        "an object's own": f"{CLASS}    def __init__(self): self.total = looped",
    },
}
TESTED = {
    "total": "import inspect\ncode = inspect.getsource(total)\nassert 'sum' in code and 'for' not in code\n"
    "assert total([1, 2]) == 3",
}
TESTED["S.total"] = TESTED["total"].replace("total(", "S().total(").replace("(total)", "(S.total)")
RIGHT = {
    "total": [
        "def total(xs): return sum(xs)",
        "from functools import cache\n@cache\ndef add(xs): return sum(xs)\ntotal = lambda xs: add((*xs,))",
        "def total(xs, start=0):\n    total = sum(xs)\n    return total",
    ],
    "S.total": [
        "class S:\n    def total(self, xs): return sum(xs)",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass S:\n    n: int = 0\n"
        "    def total(self, xs): return sum(xs)\n    @property\n    def mean(self): return 0\n"
        "    @mean.setter\n    def mean(self, value): self.sum = value",
    ],
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_code_that_may_not_be_what_runs_is_told(grade_whole, name):
    doubtful = [LOOPED + code for code in DOUBTFUL[name].values()]
    own, outcomes = grade_whole(RIGHT[name][0], [*RIGHT[name], *doubtful], TESTED[name])
    assert [outcome.tasks[0].sentence for outcome in outcomes if outcome.tasks[0].status != "right"] == []
    rights, others = outcomes[: len(RIGHT[name])], outcomes[len(RIGHT[name]) :]
    assert own.reports == ()
    assert [outcome.reports for outcome in rights] == [()] * len(rights)
    told = dict(zip(DOUBTFUL[name], others, strict=True))
    words = (
        "the test 'test_own0' passes, but the code that it reads is bound more than once, or may be replaced"
    )
    assert [what for what, outcome in told.items() if outcome.reports != (f"{words}: look at it",)] == []


def test_code_is_read_as_a_whole_where_several_statements_bind_a_name(grades):
    """A definition that never runs hides nothing."""
    dead = "def total(xs):\n    s = 0\n    for x in xs: s += x\n    return s\n"
    others = ["if False:\n    def total(xs): return sum(xs)", "match 1:\n    case 2 as total: pass"]
    answers = [dead + other for other in others]
    right = "def total(xs): return sum(xs)"
    results = grades(right, [right, *answers], "import inspect\nassert 'for' not in inspect.getsource(total)")
    assert [task.status for (task,) in results] == ["right", "wrong", "wrong"]
