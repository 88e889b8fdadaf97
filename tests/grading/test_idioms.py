"""Usual idioms of teachers' own tests: a right answer gets all points, a wrong one does not."""

import builtins
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from small import answer, cell, locked, write

from course_lib.checks.attempt import Failure
from course_lib.grading.judging import judge
from course_lib.grading.judging.child import kinds_of
from course_lib.grading.judging.judge import Grader
from course_lib.grading.judging.session import Seconds
from course_lib.grading.pipe.calls import OF_MORE_PARTS, error_class, error_of
from course_lib.grading.pipe.states import restore, state_of

pytestmark = pytest.mark.usefixtures("own_errors")


@dataclass(frozen=True)
class Idiom:
    """One way to write a test, with answers to it, see idioms.yml.

    Args:
        name: what it shows.
        right: the answer of the source.
        wrong: an answer that must not get all points.
        test: the test cell.
        plain: a cell in front of the answer.
        read_only: the same, locked.
        changed: what the wrong submission makes of these two.
        points: of the wrong answer, of 2.
    """

    name: str
    right: str
    wrong: str
    test: str
    plain: str = "import numpy as np"
    read_only: str = ""
    changed: dict[str, str] = field(default_factory=dict)
    points: float = 0.0


IDIOMS = [
    Idiom(**fields) for fields in yaml.safe_load(Path(__file__).with_name("idioms.yml").read_text("utf-8"))
]


def cells(idiom: Idiom, code: str, changed: bool = False) -> list[dict]:
    """The cells of a notebook with one answer."""
    plain, read_only = idiom.plain, idiom.read_only
    if changed:
        plain, read_only = (idiom.changed.get(name, getattr(idiom, name)) for name in ("plain", "read_only"))
    return [
        cell("plain", plain),
        cell("read-only", read_only, grade_id="read-only", locked=True),
        answer("own", code),
        locked("own", idiom.test, 2.0),
    ]


@pytest.fixture(scope="module")
def ready(engine, tmp_path_factory):
    """A grader whose process all the others use, because it takes time to start."""
    path = write(tmp_path_factory.mktemp("ready") / "ready.ipynb", [cell("numpy", "import numpy")])
    with Grader(path, engine=engine) as grader:
        yield grader


@pytest.fixture(scope="module")
def ready_with_torch(engine, tmp_path_factory):
    """The same for notebooks that speak of torch; a fork of its process takes twice the time."""
    path = write(tmp_path_factory.mktemp("ready") / "ready.ipynb", [cell("torch", "import torch")])
    with Grader(path, engine=engine) as grader:
        yield grader


@pytest.fixture
def grade(ready, ready_with_torch, tmp_path):
    """Grade a source and a submission of it."""

    def graded(source, submission, fresh=False, **settings):
        grader = Grader(write(tmp_path / "source.ipynb", source), engine=ready.engine, **settings)
        like = ready_with_torch if "torch" in grader.content.decode() else ready
        submitted = write(tmp_path / "submitted.ipynb", submission)
        if fresh:
            with grader:
                return [grader.grade("ada", path).tasks[0] for path in (grader.source, submitted)]
        grader.zygote, grader.tests = like.alive(), like.for_tests()
        return [grader.grade("ada", path).tasks[0] for path in (grader.source, submitted)]

    return graded


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.name)
def test_an_idiom_gives_all_points_to_the_right_answer_and_not_to_the_wrong_one(grade, idiom):
    own, other = grade(cells(idiom, idiom.right), cells(idiom, idiom.wrong, changed=True))
    assert (own.status, own.sentence, own.points) == ("right", "", 2.0)
    assert other.points == idiom.points
    assert other.sentence


def test_files_that_a_cell_names_are_there(grade, tmp_path):
    """For submissions those that tests alone name are not."""
    (tmp_path / "data.csv").write_text("1\n2\n", encoding="utf-8")
    (tmp_path / "expected.csv").write_text("3\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("4\n", encoding="utf-8")
    test = "from pathlib import Path\nassert total(name) == int(Path('expected.csv').read_text())"
    test += "\nassert sorted(map(str, Path().glob('*.csv'))) == ['data.csv', 'expected.csv']"
    right = "def total(name):\n    with open(name) as file: return sum(map(int, file))"
    wrong = "def total(name): return int(open('expected.csv').read())"
    idiom = Idiom("files", right, wrong, test, plain="name = 'data.csv'")
    own, other = grade(cells(idiom, right), cells(idiom, wrong), fresh=True)
    assert (own.status, other.status) == ("right", "wrong")
    assert "FileNotFoundError" in other.sentence
    writes = "with open('expected.csv', 'w') as file: file.write('0')\ndef total(name): return 0"
    _, other = grade(cells(idiom, right), cells(idiom, writes), fresh=True)
    assert other.status == "wrong"


def test_a_task_may_be_called_as_a_function_of_pythons_own(ready, tmp_path):
    """Its right answer is graded where the source was not graded by hand before."""
    idiom = Idiom("sum", "def sum(numbers): return numbers[0] + numbers[1]", "", "assert sum([4, 5]) == 9")
    path = write(tmp_path / "source.ipynb", cells(idiom, idiom.right))
    grader = Grader(path, engine=ready.engine)
    grader.zygote, grader.tests = ready.alive(), ready.for_tests()
    codes = {"right": idiom.right, "wrong": "def sum(numbers): return 0"}
    for status, code in codes.items():
        submitted = write(tmp_path / "submitted.ipynb", cells(idiom, code))
        assert grader.grade("ada", submitted).tasks[0].status == status


OTHER_WAYS = {
    "a lambda": ("double", "double = lambda x: x + x"),
    "a partial": ("double", "import functools, operator\ndouble = functools.partial(operator.mul, 2)"),
    "an instance": ("double", "class D:\n    def __call__(self, x): return 2 * x\ndouble = D()"),
    "a static method": ("double", "class D:\n    @staticmethod\n    def f(x): return 2 * x\ndouble = D.f"),
    "a number of NumPy": ("double", "def double(x): return np.multiply(2, x)"),
    "a number of its own class": ("double", "class N(int): pass\ndef double(x): return N(2 * x)"),
    "a decorator": ("double", "import functools\n@functools.cache\ndef double(x): return 2 * x"),
    "a generator": ("up", "def up(n): yield from range(n)"),
    "a range": ("up", "def up(n): return range(n)"),
    "a dictionary's keys": ("up", "def up(n): return dict.fromkeys(range(n)).keys()"),
    "a list of its own class": ("up", "class L(list): pass\ndef up(n): return L(range(n))"),
    "a named tuple": (
        "pair",
        "from collections import namedtuple\nPair = namedtuple('Pair', 'a b')\ndef pair(): return Pair(1, 2)",
    ),
    "a class that is made by a call": (
        "Box",
        "Box = type('Box', (), {'__init__': lambda s, n: setattr(s, 'n', n)})",
    ),
    "a dataclass": ("Box", "from dataclasses import dataclass\n@dataclass\nclass Box:\n    n: int"),
    "slots": ("Box", "class Box:\n    __slots__ = ['n']\n    def __init__(self, n): self.n = n"),
}
TESTS = {
    "double": Idiom(
        "double", "def double(x): return 2 * x", "", "assert double(2) == 4 and callable(double)"
    ),
    "up": Idiom(
        "up", "def up(n): return list(range(n))", "", "assert list(up(3)) == [0, 1, 2] and 2 in up(3)"
    ),
    "pair": Idiom("pair", "def pair(): return 1, 2", "", "a, b = pair()\nassert (a, b) == pair() == (1, 2)"),
    "Box": Idiom(
        "Box",
        "class Box:\n    def __init__(self, n): self.n = n",
        "",
        "b = Box(3)\nassert isinstance(b, Box) and b.n == 3\nb.n += 1\nassert b.n == 4",
    ),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_a_right_answer_in_another_way_gets_all_points(grade, way):
    name, code = OTHER_WAYS[way]
    own, other = grade(cells(TESTS[name], TESTS[name].right), cells(TESTS[name], code))
    assert (own.status, other.status, other.sentence) == ("right", "right", "")


UNSAFE = {
    "a module": (
        "import numpy as np",
        "assert np.allclose(double(2), 4)",
        "the test should import np itself",
    ),
    "an assertion": (
        "from numpy.testing import assert_allclose",
        "assert_allclose(double(2), 4)",
        "the test should import assert_allclose itself",
    ),
    "a comparison": (
        "from math import isclose",
        "assert isclose(double(2), 4)",
        "the test should import isclose itself",
    ),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_only_the_answer_imports_does_not_compare(grade, what):
    """A submission could import something else by that name."""
    imports, test, said = UNSAFE[what]
    idiom = Idiom("unsafe", f"{imports}\ndef double(x): return 2 * x", "", test, plain="")
    own, _ = grade(cells(idiom, idiom.right), cells(idiom, idiom.right))
    assert own.status == "wrong"
    assert said in own.sentence


@pytest.mark.parametrize("name", ["str(path)", "path", "descriptor"])
def test_a_test_opens_no_file_of_the_grader(grade, tmp_path, name):
    """A submission may name any: the test's message would show it."""
    path = tmp_path / "secret.txt"
    path.write_text("of the grader", encoding="utf-8")
    answers = "from pathlib import Path\ndef save():\n    Path('out.txt').write_text('x')\n    return {}"
    with path.open() as file:
        named = {"str(path)": repr(str(path)), "path": f"Path({str(path)!r})", "descriptor": file.fileno()}
        idiom = Idiom(
            "open", answers.format("Path('out.txt')"), "", "t = open(save()).read()\nassert t == 'x', t"
        )
        own, other = grade(cells(idiom, idiom.right), cells(idiom, answers.format(named[name])))
    assert (own.status, other.status) == ("right", "wrong")
    assert "of the grader" not in other.sentence


def test_a_name_that_only_a_solution_imports_is_given_no_values(grade):
    """A submission could define something else by that name."""
    code = "{}\ndef double(x): return {} * x"
    right, wrong = code.format("from numpy.linalg import norm", 2), code.format("norm = lambda x: 0.0", 3)
    idiom = Idiom("norm", right, "", "assert norm(double(np.ones(3)) - 2) < 1e-6")
    own, other = grade(cells(idiom, right), cells(idiom, wrong))
    assert (own.status, other.status) == ("wrong", "wrong")
    assert own.sentence.startswith("TypeError: the test should import norm itself: only an answer does")


def test_what_a_test_does_with_a_value_of_the_submission_ends_too(grade):
    test = "import re\nassert not re.fullmatch(pattern, 'a' * 60 + 'b')"
    idiom = Idiom("pattern", "pattern = 'a+'", "", test)
    endless = cells(idiom, "pattern = '(a+)+(a+)+$'")
    own, other = grade(cells(idiom, idiom.right), endless, seconds=Seconds(in_all=3.0))
    assert (own.status, other.status) == ("right", "timed out")


def test_nobody_is_measured_by_a_source_that_had_no_time(grade, monkeypatch):
    """What its own answers give is known in part then, on a busy machine: the rest would be refused."""
    monkeypatch.setattr(judge, "OWN_TEST_S", 0.0)
    idiom = Idiom("callable", "def make(): return lambda x: x", "", "assert make()(3) == 3")
    own, other = grade(cells(idiom, idiom.right), cells(idiom, idiom.right))
    assert (own.status, other.status) == ("timed out", "not run")


def test_many_quick_questions_take_long_too(grade, monkeypatch):
    monkeypatch.setattr(judge, "OWN_TEST_S", 1.0)
    idiom = Idiom("endless", "def up(): return [1]", "", "assert list(up()) == [1]")
    endless = "def up():\n    while True:\n        yield 1"
    own, other = grade(cells(idiom, idiom.right), cells(idiom, endless))
    assert (own.status, other.status) == ("right", "timed out")


def test_an_answer_may_define_what_compares(grade):
    code = "class V:\n    def __init__(self, n): self.n = n\n    def equals(self, n): return self.n == n"
    code += "\ndef isclose(a, b): return abs(a - b) < 1e-3"
    test = "assert V(3).equals(3) and not V(3).equals(4)\nassert isclose(1, 1.0001) and not isclose(1, 2)"
    idiom = Idiom("own", code, "", test)
    own, other = grade(cells(idiom, code), cells(idiom, code.replace("== n", "!= n")))
    assert (own.status, other.status) == ("right", "wrong")


# --------------------------------------------------------------------------------- whatever a child may tell

CALLED = Idiom("called", "def make(): return lambda x: x", "", "assert make()(3) == 3")
KEPT = {
    "is": "kept",
    "number": 1,
    "kinds": ["builtins.function"],
    "bases": [],
    "own": True,
    "has": ["__call__", "__eq__"],
}
FLOATS = {"is": "tensor", "of": {"is": "array", "dtype": "<f8", "shape": [0], "at": 0}}
LIES = [
    *({key: value for key, value in KEPT.items() if key != missing} for missing in KEPT if missing != "is"),
    {**KEPT, "number": "one"},
    {**KEPT, "number": None},
    {**KEPT, "kinds": 3},
    {**KEPT, "kinds": [], "bases": [[]]},
    {**KEPT, "kinds": ["builtins.int", "torch.Tensor", "no.such", "os.system", "\0", ""]},
    {**KEPT, "has": [[]]},
    {**KEPT, "has": ["__reduce__", "__class__", "__eq__"]},
    {**KEPT, "bases": ["__main__.\0\ud800", "builtins.Exception", "builtins.SystemExit"]},
    {**KEPT, "number": 10**30},
    {**KEPT, "tensor": 3},
    {**KEPT, "tensor": FLOATS, "gradient": None, "is_leaf": False, "leaves": "none"},
    {**KEPT, "tensor": FLOATS, "gradient": {"is": "list", "of": []}, "is_leaf": True},
    {**KEPT, "tensor": {**FLOATS, "of": 3}, "gradient": None, "is_leaf": True},
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_a_forged_stand_in_is_worth_nothing(grade, ready, lie):
    told = {"is": "list", "of": [lie]}
    forged = (
        "import course_lib.grading.judging.child as child\nhonest = child.wire.send\n"
        f"def send(pipe, header, raw=b''):\n    if 'values' in header: header['values'] = {told!r}\n"
        "    honest(pipe, header, raw)\nchild.wire.send = send\ndef make(): pass"
    )
    before = ready.alive().process.pid
    own, other = grade(cells(CALLED, CALLED.right), cells(CALLED, forged))
    assert (own.status, other.status, other.points) == ("right", "wrong", 0.0)
    assert ready.alive().process.pid == before


GENERATORS = {
    "NumPy's": np.random.RandomState(0),
    "a Mersenne Twister": np.random.Generator(np.random.MT19937(0)),
    "a Philox": np.random.Generator(np.random.Philox(0)),
}


@pytest.mark.parametrize("place", [-1, 10**5, 2**31 - 1])
@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
def test_a_generator_is_not_put_outside_of_its_memory(generator, place):
    """NumPy takes any place, and its next number ends the process."""
    state = state_of(generator, None)
    of = state if "buffer_pos" in state else state["state"]
    of["buffer_pos" if "buffer_pos" in state else "pos"] = place
    if "key" in of:
        of["key"] = np.zeros(10**6, np.uint32)  # the place is within what came
    with pytest.raises(ValueError, match="no state of"):
        restore(generator, state)


def test_a_generator_gets_no_state_that_is_too_short():
    generator = np.random.RandomState(0)
    state = state_of(generator, None)
    state["state"]["key"] = np.zeros(3, np.uint32)
    with pytest.raises(ValueError, match="no state of"):
        restore(generator, state)


def test_what_was_kept_by_a_child_that_has_died_is_there_no_more(grade):
    test = "made = make()\ntry:\n    end()\nexcept Exception:\n    pass\nmake()\nassert made(3) == 3"
    ends = "def make(): return lambda x: x\ndef end():\n    import os; os._exit(1)"
    idiom = Idiom("dies", ends.replace("import os; os._exit(1)", "pass"), "", test)
    own, other = grade(cells(idiom, idiom.right), cells(idiom, ends))
    assert (own.status, other.status) == ("right", "wrong")


def test_a_stand_in_in_the_words_of_a_test_may_have_none(grade):
    code = "class A:\n    x = {}\n    def __str__(self): {}"
    idiom = Idiom("words", code.format(1, "return 'A'"), "", "a = A()\nassert a.x == 1, a")
    own, other = grade(cells(idiom, idiom.right), cells(idiom, code.format(2, "1 / 0")))
    assert (own.status, other.sentence) == ("right", "AssertionError: (an error without words)")


def errors() -> list[type[BaseException]]:
    found = [one for one in vars(builtins).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, BaseException)]


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_sandbox_is_one_of_the_same_kind(kind):
    made = error_of(Failure(kind.__name__, "its words"), kinds_of(kind), {})
    assert str(made) == made.failure.words == "its words"
    plain = [one for one in kind.__mro__ if issubclass(one, Exception) and not issubclass(one, OF_MORE_PARTS)]
    assert isinstance(made, Exception)
    assert [one for one in plain if not isinstance(made, one)] == []
    assert not isinstance(made, KeyboardInterrupt | GeneratorExit)


def test_an_error_of_a_submission_is_made_from_those_that_it_is_made_from():
    own: dict[str, type] = {}
    base = error_class(["__main__.Mine", "builtins.KeyError", "builtins.Exception"], own)
    kinds = ["__main__.Other", "__main__.Mine", "builtins.KeyError", "builtins.Exception"]
    made = error_of(Failure("Other", "words"), kinds, own)
    assert isinstance(made, base)
    assert issubclass(base, KeyError)
    assert type(made).__name__ == "Other"


def test_a_submission_without_torch_needs_none_because_the_grader_has_it(engine, tmp_path):
    """What the grader's own generators hold goes there with each call."""
    import torch

    assert torch.default_generator is not None
    own = answer("loaded", "def loaded(): return 'tor' + 'ch' in __import__('sys').modules")
    path = write(tmp_path / "plain.ipynb", [own, locked("loaded", "assert loaded() is False")])
    with Grader(path, engine=engine) as grader:
        assert grader.grade("ada", path).score == 1.0
