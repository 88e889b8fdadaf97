"""The grader says what a learner's own check says, and no submission makes it say anything else."""

import ast
import importlib
import inspect
import json
import os
import pickle
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from small import REPOSITORY, answer, cell, cells_of, checked, locked, right, with_hidden, write
from task_cases import HIDDEN, VISIBLE, without_finale

from course_lib.checks import as_text, examine
from course_lib.checks.engine import prepare
from course_lib.grading.judging import judge
from course_lib.grading.judging.judge import HIDDEN_ONLY, Grader
from course_lib.grading.judging.session import (
    MOST_OUTPUT,
    OTHER,
    SPARE,
    Died,
    Seconds,
    Session,
    TimeOver,
    known_outputs,
)
from course_lib.grading.results.outcome import BY_HAND, Outcome, Status
from course_lib.grading.walls.engines import NONE, choose
from course_lib.grading.walls.sandbox import NoIsolation

pytestmark = pytest.mark.usefixtures("own_errors")
NOTEBOOKS = sorted((REPOSITORY / "solutions").glob("*/*.ipynb"))
QUICK = Seconds(cell=2.0, in_all=60.0, slower=0.3)  # 1.5 s for a task


def said(outcome):
    """The status of each task."""
    return {task.grade_id: task.status for task in outcome.tasks}


# --------------------------------------------------------------------------------- the course's own notebooks


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_solutions_get_all_points_and_releases_none(source):
    """Where no engine isolates, too: what runs is our own."""
    try:
        engine = choose()
    except NoIsolation:
        engine = NONE
    release = REPOSITORY / "exercises" / source.parent.name / source.name
    with Grader(source, engine=engine) as grader:
        solved, untouched = grader.grade("ada", source), grader.grade("bob", release)
        by_hand = {one.grade_id: BY_HAND for one in grader.graded() if one.by_hand}
    assert {task.sentence for task in solved.tasks} == {""}
    assert (solved.status, solved.reason, solved.reports) == (Status.GRADED, "", ())
    assert said(solved) == {**dict.fromkeys(said(solved), "right"), **by_hand}
    assert said(untouched) == {**dict.fromkeys(said(solved), "not written"), **by_hand}
    assert [task.points for task in solved.tasks if task.grade_id not in by_hand] == [
        task.max_points for task in solved.tasks if task.grade_id not in by_hand
    ]
    assert (untouched.score, untouched.max_score) == (0, solved.max_score)
    assert (untouched.status, untouched.reports) == (Status.GRADED, ())


def test_switches_that_a_cell_leaves_on_cost_nothing(engine, tmp_path):
    source = REPOSITORY / "solutions" / "06_residuals" / "parts.ipynb"
    inference = "import torch\nmode = torch.inference_mode()\nmode.__enter__()\n"
    left_on = inference + "torch.set_default_dtype(torch.float64)"
    cells = cells_of(source)
    path = write(tmp_path / "parts.ipynb", [cell("left-on", left_on), *cells])
    with Grader(source, engine=engine) as grader:
        assert set(said(grader.grade("ada", path)).values()) == {"right"}


# ----------------------------------------------------------------------------------------------- many answers

# Texts, NumPy, modules that are changed and measured out here, and functions that draw.
TRIED = (
    *("01_tokens/longest_match", "01_tokens/ppmi", "03_qkv/softmax"),
    *("06_residuals/identity_start", "07_mlm_vs_next_token/sentence_pairs"),
)
OF_EACH = 2  # right answers to a task, and wrong ones


def answers_to(task):
    """The module with answers to a task, and the first of them."""
    concept, _, name = task.partition("/")
    module = importlib.import_module(f"course_lib.concepts.c{concept}.answers.{name}")
    return module, [*module.RIGHT[:OF_EACH], *(given for _, given in module.WRONG[:OF_EACH])]


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:divide by zero encountered")
def test_the_grader_says_of_every_answer_what_the_check_says(engine, tmp_path):
    cells, local = [cell("imports", "import torch\nfrom course_lib import probing")], {}
    for n, task in enumerate(TRIED):
        module, given = answers_to(task)
        names = [f"answer_{n}_{i}" for i in range(len(given))]
        local |= {f"test_{name}": (task, one) for name, one in zip(names, given, strict=True)}
        code = f"of = {{}}\nexec({inspect.getsource(module)!r}, of)\n{', '.join(names)} = "
        code += f"*of['RIGHT'][:{OF_EACH}], *(one for _, one in of['WRONG'][:{OF_EACH}])"
        cells += [answer(task, code), *(locked(name, f'check("{task}", {name})') for name in names)]
    path = write(tmp_path / "answers.ipynb", cells)
    with Grader(path, engine=engine, seconds=Seconds(in_all=600.0)) as grader:
        graded = {task.grade_id: task for task in grader.grade("ada", path).tasks}
    assert graded.keys() == local.keys()
    differ = []
    for name, (task, given) in local.items():
        result, came = examine(without_finale(task), given, seed=VISIBLE), graded[name]
        wanted = "" if result.passed else as_text(result).split("\n")[0]
        if (came.status == "right") != result.passed or came.sentence.split("\n")[0] != wanted:
            differ.append((name, wanted, came.status, came.sentence))
    assert differ == []


# ------------------------------------------------------------------------------------- a small assignment

SETUP = cell("setup", "import numpy as np\nfrom course_lib.checks import check")
SOFTMAX, MIX = "03_qkv/softmax", "03_qkv/mix"
RIGHT_SOFTMAX, RIGHT_MIX = right(SOFTMAX), right(MIX)


@pytest.fixture(scope="module")
def small(engine, tmp_path_factory):
    """Grades cells as a submission of two tasks."""
    path = write(
        tmp_path_factory.mktemp("small") / "small.ipynb",
        [
            SETUP,
            answer("softmax", RIGHT_SOFTMAX),
            locked("softmax", checked(SOFTMAX, "softmax"), 2.0),
            answer("mix", RIGHT_MIX),
            locked("mix", checked(MIX, "mix")),
            cell("words", "Because.", "markdown", grade_id="words", solution=True, grade=True, points=3.0),
        ],
    )
    with Grader(path, engine=engine, seconds=QUICK) as grader:
        yield grader


@pytest.fixture
def like_small(small):
    """Makes graders of other NumPy notebooks, or with other limits, which need no process of their own."""

    def made(source, seconds=QUICK):
        grader = Grader(source, engine=small.engine, seconds=seconds)
        grader.zygote, grader.tests = small.alive(), small.for_tests()
        return grader

    return made


@pytest.fixture
def grade(small, tmp_path):
    """Grade answers to the two tasks, with other cells between and behind them."""

    def graded(softmax=RIGHT_SOFTMAX, mix=RIGHT_MIX, first="", between="", last=""):
        cells = [
            SETUP,
            *([cell("first", first)] if first else []),
            answer("softmax", softmax),
            locked("softmax", f'check("{SOFTMAX}", softmax)', 2.0),
            *([cell("between", between)] if between else []),
            answer("mix", mix),
            locked("mix", f'check("{MIX}", mix)'),
            cell("words", "Since.", "markdown", grade_id="words", solution=True, grade=True, points=3.0),
            *([cell("last", last)] if last else []),
        ]
        return small.grade("ada", write(tmp_path / "small.ipynb", cells))

    return graded


ALL_RIGHT = {"test_softmax": "right", "test_mix": "right", "words": BY_HAND}


def shown(outcome, name):
    """The outputs of a cell."""
    return next((list(one.outputs) for one in outcome.cells if one.cell_id == name), [])


def test_right_answers_get_their_points_and_words_wait_for_a_person(grade):
    outcome = grade()
    assert said(outcome) == ALL_RIGHT
    assert [(task.points, task.max_points) for task in outcome.tasks] == [(2.0, 2.0), (1.0, 1.0), (0.0, 3.0)]
    assert (outcome.score, outcome.max_score) == (3.0, 6.0)
    assert [task.task for task in outcome.tasks] == [SOFTMAX, MIX, ""]
    assert (outcome.student, outcome.notebook, outcome.status, outcome.reason) == (
        "ada",
        "small",
        "graded",
        "",
    )


@pytest.mark.parametrize(
    "stub", ["    raise NotImplementedError", "    # YOUR CODE HERE\n    raise NotImplementedError()"]
)
def test_a_teachers_own_task_that_nobody_wrote_is_not_written(like_small, tmp_path, stub):
    made = """class Ball:
    ### BEGIN SOLUTION
    mass = 2
    ### END SOLUTION

def weight(mass):
    ### BEGIN SOLUTION
    return 9.81 * mass
    ### END SOLUTION"""
    head, body = "class Ball:\n", "\n\ndef weight(mass):\n"
    tried = {
        "untouched": (head + stub + body + stub, "not written"),
        "half": (head + "    mass = 2" + body + stub, "wrong"),
        "other": (head + stub + body + "    return 9.81", "wrong"),
        "emptied": ("# nothing", "wrong"),
    }
    test = locked("ball", "assert weight(2) > 19")
    source = write(tmp_path / "ball.ipynb", [answer("ball", made), test])
    grader = like_small(source)
    for name, (code, status) in tried.items():
        submitted = write(tmp_path / name / "ball.ipynb", [answer("ball", code), test])
        (task,) = grader.grade("ada", submitted).tasks
        assert (task.status, task.points) == (status, 0), name
        assert task.sentence


def test_the_same_submission_gets_the_same_outcome(grade):
    first, second = grade(), grade()
    assert first.tasks == second.tasks
    assert first.digest == second.digest != grade(last="1").digest


def test_a_wrong_answer_gets_the_checks_sentence_and_costs_the_others_nothing(grade):
    outcome = grade(softmax="def softmax(x):\n    return np.exp(x)")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "wrong"}
    wanted = as_text(examine(without_finale(SOFTMAX), lambda x: np.exp(x)))
    assert outcome.tasks[0].sentence == wanted
    assert outcome.score == 1.0


def test_a_failing_cell_costs_its_own_points_alone(grade):
    outcome = grade(softmax="def softmax(x):\n    return x.nothing", between="1 / 0\nnot_reached = 1")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "wrong"}
    assert "It stops with AttributeError" in outcome.tasks[0].sentence
    assert "line 2: return x.nothing" in outcome.tasks[0].sentence
    assert shown(outcome, "between")[0]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize("code", ["def softmax(x:", "raise SystemExit", "exit()", "%nonsense", "del np\n1/0"])
def test_a_cell_that_defines_nothing_leaves_the_name_undefined(grade, code):
    outcome = grade(softmax=code, mix="import numpy as np\n" + RIGHT_MIX)
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "wrong"}
    assert "name 'softmax' is not defined" in outcome.tasks[0].sentence


@pytest.mark.parametrize("value", ["3", "None", "'softmax'", "[]"])
def test_what_is_no_function_is_told_so(grade, value):
    task = grade(softmax=f"softmax = {value}").tasks[0]
    assert task.status == "wrong"
    assert "The check needs the function itself, but got" in task.sentence


def test_weights_in_whole_numbers_are_wrong_and_no_more(grade):
    outcome = grade(softmax="def softmax(x):\n    return np.zeros(x.shape, int)")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "wrong"}
    assert "they should sum to 1" in outcome.tasks[0].sentence


def test_a_function_may_print_to_the_stdout_of_its_cell(grade):
    outcome = grade(
        softmax=f"import sys\nprint('defined')\n{RIGHT_SOFTMAX.replace('def softmax', 'def inner')}\n"
        "def softmax(x, file=sys.stdout):\n    print('called', file=file)\n    return inner(x)"
    )
    assert said(outcome) == ALL_RIGHT


# ----------------------------------------------------------------------------------------------- hidden tests


def stored():
    """A softmax that knows the answers to the visible check."""
    known = {}
    for prepared in prepare(without_finale(SOFTMAX), VISIBLE):
        (x,) = prepared.case.inputs.values()
        known[x.tobytes().hex()] = prepared.right.parts["result"].astype(x.dtype).tolist()
    return (
        f"KNOWN = {known!r}\n"
        "def softmax(x):\n"
        "    return np.array(KNOWN[x.tobytes().hex()], dtype=x.dtype).reshape(x.shape)"
    )


def test_stored_answers_are_right_on_the_visible_seed_only(grade):
    outcome = grade(softmax=stored().replace("nan", "np.nan"))
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "right on the visible seed only"}
    assert outcome.tasks[0].points == 0
    assert outcome.tasks[0].sentence == HIDDEN_ONLY
    assert not re.search(r"\d", HIDDEN_ONLY)


def numbers(seed):
    """The inputs of softmax and what is right, as they may be written."""
    for prepared in prepare(without_finale(SOFTMAX), seed):
        for value in (*prepared.case.inputs.values(), prepared.right.parts["result"]):
            yield from (f"{number:.6g}" for number in value.ravel())


SPY = (
    "SEEN = []\n"
    "TOLD = ''\n"
    f"{RIGHT_SOFTMAX.replace('def softmax', 'def inner')}\n"
    "def softmax(x):\n"
    "    SEEN.append([f'{number:.6g}' for number in x.ravel()])\n"
    "    open('seen', 'a').write(str(SEEN[-1]))\n"
    "    print(SEEN)\n"
    "    return inner(x)\n"
)


def test_nothing_that_a_function_keeps_of_hidden_inputs_is_ever_shown(grade):
    outcome = grade(
        softmax=SPY,
        mix="def mix(weights, v):\n    raise ValueError(str(SEEN))",
        last="print(SEEN)\nprint(open('seen').read())\nraise ValueError(str(SEEN))",
    )
    told = outcome.to_json()
    visible = set(numbers(VISIBLE))
    secret = {number for seed in HIDDEN for number in numbers(seed) if len(number) > 6} - visible
    assert said(outcome) == {**ALL_RIGHT, "test_mix": "wrong"}
    assert len(secret) > 100
    assert sum(number in told for number in visible) > 20  # what is looked for would be found
    assert [number for number in secret if re.search(rf"(?<![-\d.]){re.escape(number)}(?!\d)", told)] == []


@pytest.mark.parametrize(
    "later",
    [
        "softmax = None",
        "def softmax(x):\n    return x",
        "del exp_of",
        "def exp_of(x):\n    return 0 * x",
        "def exp_of(x):\n    import time; time.sleep(99)",
        "def exp_of(x):\n    import os; os._exit(0)",
        "np = None",
        "import os; os._exit(0)",
        "import time; time.sleep(99)",
    ],
)
def test_what_a_later_cell_does_costs_no_answer_of_before(grade, later):
    outcome = grade(
        softmax="def exp_of(x):\n    return np.exp(x - x.max(-1, keepdims=True))\n"
        "def softmax(x):\n    return exp_of(x) / exp_of(x).sum(-1, keepdims=True)",
        last=later,
    )
    assert said(outcome) == ALL_RIGHT
    assert outcome.reason in ("", "timed out in the cell 'last'")


def test_all_hidden_tests_share_one_limit_of_time(grade, monkeypatch):
    ends = []
    close = Session.close

    def closed(self):
        ends.append(self.end_at)
        return close(self)

    monkeypatch.setattr(Session, "close", closed)
    grade(softmax=stored().replace("nan", "np.nan"), last="last = 1")  # tried again where this has not run
    assert len(ends) == 2
    assert len(set(ends)) == 1


@pytest.mark.parametrize("later", [RIGHT_SOFTMAX, "del softmax"])
def test_a_later_cell_does_not_mend_an_answer_of_before(grade, later):
    outcome = grade(softmax=stored().replace("nan", "np.nan"), last=later)
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "right on the visible seed only"}


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        ("raise ValueError(x)", "right on the visible seed only"),
        ("raise NotImplementedError", "right on the visible seed only"),
        ("raise NotImplementedError(x)", "right on the visible seed only"),
        ("raise type(str(x), (Exception,), {})", "right on the visible seed only"),
        ("exec(f'1 / 0 # {x.tolist()}')", "right on the visible seed only"),
        ("return np.zeros(int(1e6 * abs(x.flat[0])))", "right on the visible seed only"),
        ("return type('R', (), {'__repr__': lambda _: str(x)})()", "right on the visible seed only"),
        ("import os; os._exit(int(1e6 * abs(x.flat[0])) % 256)", "died"),
        ("return x", "right on the visible seed only"),
        ("x += 1; return x", "right on the visible seed only"),
        ("import os; os._exit(3)", "died"),
        ("import time; time.sleep(99)", "timed out"),
    ],
)
def test_what_fails_on_hidden_inputs_alone_says_no_number(grade, fails, status):
    known = [
        x.tobytes().hex() for p in prepare(without_finale(SOFTMAX), VISIBLE) for x in p.case.inputs.values()
    ]
    inner = RIGHT_SOFTMAX.replace("def softmax", "def inner")
    outcome = grade(
        softmax=f"{inner}\nKNOWN = {known!r}\ndef softmax(x):\n"
        f"    if x.tobytes().hex() not in KNOWN:\n        {fails}\n    return inner(x)"
    )
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": status}
    assert not re.search(r"\d", outcome.tasks[0].sentence.replace("1.5 s", "").replace("5 s", ""))


# --------------------------------------------------------------------------------------------- time and death


def test_an_endless_function_times_out_alone(grade):
    outcome = grade(softmax="def softmax(x):\n    while True: pass")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "timed out"}
    assert (outcome.status, outcome.reason) == (Status.TIMED_OUT, "timed out in task 'softmax'")
    assert outcome.tasks[0].sentence == "It took longer than 5 s."


def test_a_function_that_nothing_stops_times_out_alone(grade):
    code = "import ctypes\ndef softmax(x):\n    ctypes.PyDLL(None).pause()"  # lets no thread run
    outcome = grade(softmax=code, first="helper = 1", mix=f"{RIGHT_MIX}\nassert helper == 1")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "timed out"}


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(100)",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    ],
)
def test_an_endless_cell_is_ended_and_the_rest_is_graded(grade, code):
    start = time.monotonic()
    outcome = grade(between=code)
    assert said(outcome) == ALL_RIGHT
    assert (outcome.status, outcome.reason) == (Status.TIMED_OUT, "timed out in the cell 'between'")
    assert time.monotonic() - start < 40


ENDS = ["import os\nos._exit(0)", "import ctypes\nctypes.string_at(0)"]


@pytest.mark.parametrize("code", ENDS)
def test_a_cell_that_ends_its_process_is_left_out(grade, code):
    outcome = grade(first="helper = 7", between=code, last="print(helper)")
    assert said(outcome) == ALL_RIGHT
    assert outcome.reports == ("the cell 'between' ended its process: it was left out",)
    assert shown(outcome, "last")[0]["text"] == "7\n"  # what ran before it ran again


@pytest.mark.parametrize("code", ENDS)
def test_a_function_that_ends_its_process_costs_its_own_points(grade, code):
    body = code.replace("\n", "; ")
    outcome = grade(
        first="helper = 7",
        softmax=f"def softmax(x):\n    {body}",
        mix=f"{RIGHT_MIX}\nassert helper == 7",
        last="print(helper)",
    )
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "died"}
    assert outcome.status == Status.GRADED
    assert shown(outcome, "last")[0]["text"] == "7\n"


def test_no_code_of_a_student_is_read_by_the_grader_itself(grade, monkeypatch):
    """Python's parser knows no limit: 100 kB of accents keep Python 3.11 busy for minutes."""
    seen = []
    parse = ast.parse

    def noted(code, *values, **named):
        seen.append(code)
        return parse(code, *values, **named)

    monkeypatch.setattr(ast, "parse", noted)
    assert said(grade(between="mine = 1", mix=f"mine = 2\n{RIGHT_MIX}")) == ALL_RIGHT
    assert seen
    assert [code for code in seen if "mine" in code] == []


@pytest.mark.parametrize(
    ("error", "reason", "reports"),
    [
        (TimeOver, "timed out in the cell 'between'", ()),
        (Died, "", ("the cell 'between' ended its process: it was left out",)),
    ],
)
def test_a_cell_that_cannot_be_read_costs_itself_alone(grade, monkeypatch, error, reason, reports):
    names = Session.names

    def failing(self, cell):
        if cell.id == "between":
            raise error
        return names(self, cell)

    monkeypatch.setattr(Session, "names", failing)
    outcome = grade(between="print('is not run')")
    assert (said(outcome), outcome.reason, outcome.reports) == (ALL_RIGHT, reason, reports)
    assert shown(outcome, "between") == []


def test_a_cell_of_too_many_characters_costs_itself_alone(grade):
    outcome = grade(between="#" * 500_001)
    words = "the cell 'between' has 500,001 characters, and at most 500,000 are read: it was left out"
    assert (said(outcome), outcome.reports) == (ALL_RIGHT, (words,))
    astral = grade(between=f"print({chr(0x1F600) * 499_000!r}[:3])")
    assert (said(astral), astral.reports) == (ALL_RIGHT, ())
    assert shown(astral, "between")[0]["text"] == chr(0x1F600) * 3 + "\n"


def test_the_time_for_all_ends_everything(small, like_small, tmp_path):
    cells = [SETUP, *(cell(f"slow-{n}", "import time\ntime.sleep(0.8)") for n in range(9))]
    cells += [answer("softmax", RIGHT_SOFTMAX), answer("mix", RIGHT_MIX)]
    grader = like_small(small.source, Seconds(cell=1.0, in_all=2.0))
    outcome = grader.grade("ada", write(tmp_path / "small.ipynb", cells))
    assert outcome.status == Status.TIMED_OUT
    assert said(outcome) == {
        "test_softmax": "not run",
        "test_mix": "not run",
        "words": "to be graded by hand",
    }
    assert outcome.score == 0


# ---------------------------------------------------------------------------------------------------- outputs


def test_what_cells_show_is_kept(grade):
    outcome = grade(
        first="import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('more')",
        between="from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))\n3 + 4",
        last="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    )
    texts = [(output["name"], output["text"]) for output in shown(outcome, "first")]
    assert texts == [("stdout", "out\n"), ("stderr", "err\n"), ("stdout", "more\n")]
    html, seven = shown(outcome, "between")
    assert (html["output_type"], html["data"]["text/html"]) == ("display_data", "<b>x</b>")
    assert (seven["output_type"], seven["data"]["text/plain"]) == ("execute_result", "7")
    assert any("image/png" in output.get("data", {}) for output in shown(outcome, "last"))


def test_the_garbage_of_a_submission_is_collected(grade):
    """The process that it is forked from starts without."""
    outcome = grade(first="import gc\nprint(gc.isenabled(), gc.get_freeze_count() > 9)")
    assert shown(outcome, "first")[0]["text"] == "True True\n"


def test_what_is_shown_beyond_the_limit_is_counted(grade):
    outcome = grade(first=f"print('x' * {MOST_OUTPUT})", between="print('y' * 999)", last="1 / 0")
    assert said(outcome) == ALL_RIGHT
    said_of_first, said_of_between = outcome.reports[:2]
    assert re.fullmatch(r"the cell 'first' shows \d{1,3} characters more than are kept", said_of_first)
    assert said_of_between == "the cell 'between' shows 1,000 characters more than are kept"
    assert 0.99 * MOST_OUTPUT <= len(outcome.to_json()) <= MOST_OUTPUT + SPARE


def test_endless_output_times_out_and_is_cut_off(grade):
    outcome = grade(between="while True: print('x' * 1000)")
    assert (outcome.status, said(outcome)) == (Status.TIMED_OUT, ALL_RIGHT)
    assert 0 < len(outcome.to_json()) <= MOST_OUTPUT + SPARE


def test_broken_texts_are_kept_in_a_form_that_files_take(grade):
    code = r"""print('\ud800 \x1b[31m \0')"""
    outcome = grade(first=code, softmax="def softmax(x):\n    raise ValueError('\\ud800' + 'x' * 10**7)")
    assert said(outcome) == {**ALL_RIGHT, "test_softmax": "wrong"}
    assert len(outcome.tasks[0].sentence) < 5000
    outcome.to_json().encode()
    outcome.tasks[0].sentence.encode()
    assert Outcome.from_json(outcome.to_json()) == outcome


# --------------------------------------------------------------------------------------------- a lying child

LYING = """
import course_lib.grading.judging.child as child
honest = child.wire.send
def send(pipe, header, raw=b''):
    if {field!r} in header:
        lie = {lie!r}
        header = {{"n": header["n"], **lie}} if isinstance(lie, dict) else lie
    honest(pipe, header, raw)
child.wire.send = send
"""
BOX = {"is": "dict", "of": [["result", {"is": "tensor", "of": {}}]]}
ANSWERS = [
    {},
    {"got": 3},
    {"got": {"is": "list", "of": []}},
    {"got": {"is": "dict", "of": []}},
    {"got": {"is": "dict", "of": [["result", 3]]}},
    {"got": BOX, "printed": "", "late": False, "stuck": False, "changed": "", "forbidden": ""},
    {"printed": "", "late": False, "stuck": False, "changed": "x", "forbidden": ""},
    {"printed": "", "late": False, "stuck": False, "changed": "nothing there", "forbidden": ""},
    {"failure": {"is": "dict", "of": []}, "printed": "", "late": False, "stuck": False, "changed": ""},
    {"printed": 3, "late": "no", "stuck": None, "changed": [], "forbidden": {}},
    {"missing": True},
    [],
    None,
    "right",
]


@pytest.mark.parametrize("lie", ANSWERS, ids=range(len(ANSWERS)))
def test_a_forged_answer_is_worth_nothing(grade, small, lie):
    before = small.alive().process.pid
    outcome = grade(between=LYING.format(field="got", lie=lie))
    assert said(outcome)["test_softmax"] == "right"
    assert said(outcome)["test_mix"] in ("died", "wrong")
    assert outcome.status == Status.GRADED
    assert small.alive().process.pid == before


NESTED: list[object] = []
for _ in range(600):
    NESTED = [NESTED]
OUTPUTS = [
    {"outputs": 3, "lost": "x", "late": 1},
    {"outputs": [[], 3], "lost": [1]},
    {"outputs": [{"x": "y" * 2**21}]},
    {"outputs": [{"output_type": {}, "text": {}, "data": [3]}] * 9},
    {"outputs": [], "lost": 10**4000},
    {"n": 10**9},
    {"n": True},
    [],
    "right",
]


@pytest.mark.parametrize("lie", OUTPUTS, ids=range(len(OUTPUTS)))
def test_forged_outputs_cost_the_forgers_points_at_most(grade, small, lie):
    before = small.alive().process.pid
    outcome = grade(between=LYING.format(field="outputs", lie=lie), last="print('last')")
    assert said(outcome)["test_softmax"] == "right"
    assert outcome.status == Status.GRADED
    assert len(outcome.to_json()) < MOST_OUTPUT + SPARE
    assert all(len(report) < 200 for report in outcome.reports)
    pickle.dumps(outcome)  # as it goes from a worker
    assert small.alive().process.pid == before


DEEP = """import course_lib.grading.judging.child as child
deep = []
for _ in range(600):
    deep = [deep]
shown = [{"output_type": "display_data", "data": {"text/plain": deep}}]
child.Outputs.done = lambda outputs: shown
"""


def test_nested_outputs_cost_themselves_alone(grade):
    outcome = grade(between=DEEP, last="print('last')")
    assert said(outcome)["test_softmax"] == "right"
    assert [one.outputs for one in outcome.cells][-1] == (OTHER,)
    assert pickle.loads(pickle.dumps(outcome)) == outcome  # as it goes from a worker


@pytest.mark.parametrize("noise", ["x", "[", "\0"])
def test_noise_in_the_pipe_costs_the_answers_behind_it_at_most(grade, small, noise):
    before = small.alive().process.pid
    send = f"lambda pipe, *_: pipe.sendall(b{noise!r} * 99)"
    outcome = grade(between=f"import course_lib.grading.judging.child as child\nchild.wire.send = {send}")
    assert said(outcome)["test_softmax"] == "right"
    assert outcome.status in (Status.GRADED, Status.TIMED_OUT)
    assert small.alive().process.pid == before


HIDES = "import course_lib.checks.attempt as a\na.same = lambda *values: True"


def test_a_patch_of_what_watches_an_answer_is_for_the_teacher_to_look_at(grade):
    inner = RIGHT_SOFTMAX.replace("def softmax", "def inner")
    changes = f"{inner}\ndef softmax(x):\n    result = inner(x)\n    x[:] = 0\n    return result"
    assert said(grade(softmax=changes)) == {**ALL_RIGHT, "test_softmax": "wrong"}
    outcome = grade(softmax=changes, first=HIDES)
    named = "course_lib.checks.attempt, course_lib.checks.attempt.same = ..."
    told = f"the cell 'first' names {named}, which could mislead a check: look at it"
    assert (said(outcome), outcome.reports) == (ALL_RIGHT, (told,))  # nobody can know it


def test_of_a_cell_that_misleads_nothing_that_passes_nothing_is_said(grade):
    outcome = grade(softmax="def softmax(x):\n    return x", mix="mix = max", last=HIDES)
    assert (outcome.score, outcome.reports) == (0.0, ())
    outcome = grade(last=f"{HIDES}\nimport os\nos._exit(0)")
    assert outcome.reports == ("the cell 'last' ended its process: it was left out",)


# -------------------------------------------------------------------------------------- a teacher's own tests


SORTS = "def double(x):\n    if isinstance(x, list): x.sort()\n    return x * 2"


@pytest.fixture
def own(like_small, tmp_path):
    """Grades an answer by tests that a teacher wrote with plain assertions."""
    tests = with_hidden(
        "assert double(2) == 4\nnumbers = [3, 1]\ndouble(numbers)\nassert numbers == [3, 1], 'changed'\n"
        "assert np.allclose(double(np.ones(2)), [2, 2])",
        "for n in (3517, -8):\n    assert double(n) == 2 * n, f'double({n}) should be {2 * n}'",
    )
    cells = [
        cell("setup", "import numpy as np"),
        answer("double", "def double(x):\n    return x * 2"),
        locked("double", tests, 4.0),
    ]
    grader = like_small(write(tmp_path / "own.ipynb", cells))

    def graded(code):
        cells[1] = answer("double", code)
        return grader.grade("ada", write(tmp_path / "submitted.ipynb", cells)).tasks[0]

    return graded


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("def double(x): return x * 2", "right", ""),
        ("double = lambda x: x + x", "right", ""),
        ("def double(x): return 5", "wrong", "A test of this cell fails."),
        (
            "def double(x):\n    if isinstance(x, list): x.sort()\n    return x * 2",
            "wrong",
            "AssertionError: changed",
        ),
        ("def double(x): raise KeyError('mine')", "wrong", "KeyError: 'mine'"),
        ("def double(x): raise ValueError('mine')", "wrong", "ValueError: mine"),
        ("", "wrong", "name 'double' is not defined"),
        ("double = 3", "wrong", "TypeError: 'int' object is not callable"),
        ("def double(x):\n    import os; os._exit(0)", "wrong", "The process that ran it has ended"),
    ],
)
def test_a_teachers_own_assertions_decide(own, code, status, sentence):
    task = own(code)
    assert (task.status, task.points) == (status, 4.0 if status == "right" else 0.0)
    assert sentence in task.sentence
    assert bool(sentence) == bool(task.sentence)


def test_a_teachers_hidden_assertion_keeps_its_numbers(own):
    task = own("def double(x):\n    return {2: 4}[x] if isinstance(x, int) else x * 2")
    assert (task.status, task.sentence) == ("wrong", "A hidden test fails.")


def test_a_teachers_test_begins_anew_where_it_is_tried_again(like_small, tmp_path):
    cells = [
        answer("double", "two = 2\ndef double(x):\n    return x * two"),
        locked("double", with_hidden("seen = [double(1)]", "seen.append(double(3))\nassert seen == [2, 6]")),
    ]
    source = write(tmp_path / "own.ipynb", cells)
    submitted = write(tmp_path / "submitted.ipynb", [*cells, cell("last", "two = 3")])
    assert said(like_small(source).grade("ada", submitted)) == {"test_double": "right"}


def test_a_teachers_test_of_an_endless_function_times_out(own, monkeypatch):
    monkeypatch.setattr(judge, "OWN_TEST_S", 1.0)
    task = own("def double(x):\n    while True: pass")
    assert (task.status, task.sentence) == ("timed out", "It took longer than 1 s.")


# --------------------------------------------------------------------------------------- whatever goes wrong


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a link", "a pipe", "empty", "deep", "version 3"])
def test_what_cannot_be_read_has_an_outcome_too(small, tmp_path, kind):
    path = tmp_path / "small.ipynb"
    make = {
        "nothing": lambda: None,
        "a folder": path.mkdir,
        "a link": lambda: path.symlink_to(small.source),
        "a pipe": lambda: os.mkfifo(path),
        "empty": lambda: path.write_text(""),
        "deep": lambda: path.write_text("[" * 10**6),
        "version 3": lambda: path.write_text(json.dumps({"nbformat": 3, "cells": []})),
    }
    make[kind]()
    outcome = small.grade("ada", path)
    assert (outcome.status, set(said(outcome).values())) == (Status.UNREADABLE, {"not run"})
    assert outcome.reason.endswith(".")
    assert (outcome.score, outcome.max_score) == (0, 6)


def test_where_the_process_behind_all_children_is_gone_a_new_one_comes(grade, small):
    before = small.alive().process
    os.kill(before.pid, signal.SIGKILL)
    before.wait()
    assert said(grade()) == ALL_RIGHT
    assert small.alive().process.pid != before.pid


def test_a_mistake_of_the_graders_is_no_grade(grade, monkeypatch):
    def broken(self, cell):
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patched:
        patched.setattr(Session, "run", broken)
        outcome = grade()
    assert (outcome.status, outcome.digest) == (Status.NOT_RUN, "")
    assert outcome.reason == "the grader failed: RuntimeError: a mistake"
    assert set(said(outcome).values()) == {"not run"}
    assert said(grade()) == ALL_RIGHT


def test_a_mistake_in_a_check_says_no_number(grade, monkeypatch):
    def broken(*values, **named):
        raise ValueError("3.14159 was expected")

    monkeypatch.setattr(judge, "examine", broken)
    outcome = grade()
    assert outcome.status == Status.NOT_RUN
    assert f"in the check of {SOFTMAX}: ValueError in test_judge.py, line " in outcome.reason
    assert "3.14" not in outcome.to_json()


def test_without_isolation_nothing_runs(grade, small, monkeypatch):
    def refused(self):
        raise NoIsolation("refused")

    with monkeypatch.context() as patched:
        patched.setattr("course_lib.grading.judging.session.Zygote.fork", refused)
        outcome = grade()
    assert (outcome.status, outcome.reason) == (Status.NOT_RUN, "the grader failed: NoIsolation: refused")


def test_children_and_the_copy_of_the_course_are_gone_in_the_end(small, monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    with Grader(small.source, engine=small.engine) as grader:
        assert grader.grade("ada", small.source).score == 3
        process, folder = grader.zygote.process, grader.zygote.folder.path
        assert os.path.isdir(folder)
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert b"ATEN_CPU_CAPABILITY=avx2" in environment  # with other kernels torch draws other numbers
    assert process.poll() is not None
    assert not os.path.exists(folder)


def test_outputs_are_taken_in_their_known_form_alone():
    stream = {"output_type": "stream", "name": "stdout", "text": "a"}
    picture = {"output_type": "display_data", "data": {"image/png": "b"}}
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]}
    others = [NESTED, {}, {"output_type": []}, {**stream, "text": ["a"]}, {**picture, "data": {"a": NESTED}}]
    others += [{**error, "traceback": [["t"]]}, {**error, "ename": 3}, {"output_type": "update_display_data"}]
    more = {**picture, "metadata": NESTED, "transient": {}}
    assert known_outputs([stream, more, error]) == [stream, picture, error]
    for other in others:
        assert known_outputs([stream, other]) == [stream, OTHER]
    assert known_outputs({"a": 1}) == []
