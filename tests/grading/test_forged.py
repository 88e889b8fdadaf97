"""A child that says what it likes: nothing that it says makes a wrong answer right, or stops the grader."""

import json
import socket
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_cases import VISIBLE, without_finale

from course_lib.checks import as_text, examine
from course_lib.checks.attempt import Attempt, Failure, Reported, attempt
from course_lib.checks.call import call
from course_lib.checks.engine import prepare
from course_lib.checks.kinds import Result
from course_lib.checks.values import boxed
from course_lib.grading.intake.submission import Cell
from course_lib.grading.judging import child, judge
from course_lib.grading.judging.session import MOST_OUTPUT, SPARE, Remote, Seconds, Session
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.calls import DEAD, Died, TimeOver, call_there

pytestmark = pytest.mark.usefixtures("own_errors")
TASK = without_finale("03_qkv/softmax")
CASES = prepare(TASK, VISIBLE)


class Children:
    """Stands for the zygote: each child has said all that it will ever say, to its first two questions."""

    def __init__(self, frames):
        self.frames = frames
        self.session = None

    def fork(self):
        ours, self.theirs = socket.socketpair()
        for n in (1, 2):
            for header, raw in self.frames:
                wire.send(self.theirs, {"n": self.session.n + n, **header}, raw)
        self.theirs.shutdown(socket.SHUT_WR)
        return 1, ours

    def end(self, pid):
        self.theirs.close()
        return 0


def session_of(*frames):
    """A session with a child that says these frames: headers, or headers with their raw bytes."""
    whole = [frame if isinstance(frame, tuple) else (frame, b"") for frame in frames]
    children = Children(whole)
    children.session = Session(children, Seconds(), SimpleNamespace(of=lambda task, case: b""))
    return children.session


def examined(*frames):
    """What comes of an examination of a child that says these frames."""
    session = session_of(*frames)
    try:
        return examine(TASK, Remote("softmax", session), ask=session.attempts)
    finally:
        session.close()


def naive(scores):
    """Right for small scores."""
    powers = np.exp(scores)
    return powers / powers.sum(axis=-1, keepdims=True)


def said_by(function):
    """What an honest child says of a function."""
    return [child.told(attempt(TASK, function, prepared.case, 5.0, call)) for prepared in CASES]


NOT_WRITTEN = asdict(Failure("NotImplementedError", "", not_written=True))
FAILURE = {"is": "dict", "of": [list(pair) for pair in NOT_WRITTEN.items()]}
STUCK = {"stuck": True}
BESIDE = [{"late": True}, {"failure": FAILURE}, {"missing": True}, STUCK, {**STUCK, "late": True}]


def test_a_child_that_says_what_happened_is_believed():
    assert examined(*said_by(TASK.reference)).passed
    wrong = examined(*said_by(lambda scores: scores))
    assert (wrong.passed, wrong.case.name) == (False, CASES[0].case.name)


@pytest.mark.parametrize("lie", BESIDE, ids=str)
def test_a_right_value_with_another_end_beside_it_ends_no_examination(lie):
    said = said_by(naive)
    assert examined(said[0], *said_by(TASK.reference)[1:]).passed  # the first of them is right
    (header, raw), *others = said
    assert not examined(({**header, **lie}, raw), *others).passed


@pytest.mark.parametrize("n", range(len(CASES)))
def test_a_child_that_says_less_than_it_is_asked_has_not_passed(n):
    assert not examined(*said_by(TASK.reference)[:n]).passed


@pytest.mark.parametrize("n", range(len(CASES)))
def test_an_examination_in_which_not_every_case_was_tried_is_not_passed(n):
    def ask(task, learner, cases, seconds):
        return (attempt(task, TASK.reference, case, 5.0, call) for case in cases[:n])

    assert examine(TASK, None, ask=ask).problem == f"Only {n} of {len(CASES)} calls came to their end."


def said(result, unseen):
    """The status and the sentence that a test comes to."""
    return judge.Tested._words(SimpleNamespace(step=SimpleNamespace(missing=False)), result, unseen)


def test_a_failure_that_speaks_of_time_is_no_lateness_and_its_words_are_not_shown():
    """They could hold a hidden input."""
    words = {**NOT_WRITTEN, "words": "It took longer than 0.123456", "wrong_form": True, "not_written": False}
    lie = {"failure": {"is": "dict", "of": [list(pair) for pair in words.items()]}}
    result = examined(*[lie] * len(CASES))
    status, sentence = said(result, unseen=True)
    assert (status, sentence) == ("right on the visible seed only", judge.HIDDEN_ONLY)


def test_a_late_answer_is_late_whether_it_is_hidden_or_not():
    result = examined({"late": True})
    for unseen in (False, True):
        status, sentence = said(result, unseen)
        assert (status, sentence) == ("timed out", "It took longer than 5 s.")


@pytest.mark.parametrize("value", [np.ones(3), boxed([1])], ids=str)
def test_parts_that_nobody_asked_for_are_no_mistake_of_the_grader(value):
    header, raw = child.told(Attempt(got={"other": value}))
    assert examined(*[(header, raw)] * len(CASES)).problem.startswith("No result arrives")


def test_all_answers_of_a_task_together_take_no_more_room_than_one_may(monkeypatch):
    """They are kept until the last is there."""
    frames = said_by(TASK.reference)
    size = sum(len(raw) for _, raw in frames)
    monkeypatch.setattr(wire, "MOST_RAW", size)
    assert examined(*frames).passed
    monkeypatch.setattr(wire, "MOST_RAW", size - 1)
    attempts = []
    session = session_of(*frames)
    try:
        cases = [prepared.case for prepared in CASES]
        attempts += session.attempts(TASK, Remote("softmax", session), cases, 5.0)
    finally:
        session.close()
    assert [made.failure for made in attempts] == [None] * (len(CASES) - 1) + [DEAD]


def test_an_attempt_that_ends_the_child_is_the_last():
    """Another child for each of the other cases would take long, and change nothing."""
    session = session_of(*said_by(TASK.reference)[:2])
    attempts = list(session.attempts(TASK, Remote("softmax", session), [one.case for one in CASES], 5.0))
    assert [made.failure for made in attempts] == [None, None, DEAD]


@pytest.mark.parametrize("field", ["printed", "line"])
def test_words_without_end_are_cut(field):
    (header, raw), *others = said_by(lambda scores: scores)
    text = {field: "x" * 10_000}
    first = ({**header, **text}, raw) if field == "printed" else {"late": True, **text}
    assert len(as_text(examined(first, *others))) < 5000


def test_a_routine_that_the_task_does_not_forbid_was_not_called():
    (header, raw), *others = said_by(TASK.reference)
    assert "secret" not in as_text(examined(({**header, "forbidden": "secret"}, raw), *others))


# ------------------------------------------------------------------------------------------- whatever it says

FORMS = [form for forms in wire.ANSWERS.values() for form in forms.items()]
FIELDS = sorted({name for form, beside in FORMS for name in (form, *beside)})


def an_array(value):
    """A value as it travels, with its numbers in the header's own frame; most are wrong for any task."""
    return {"is": "array", "dtype": "<f8", "shape": value, "at": 0}


def parts(value):
    """One part of an answer."""
    return {"is": "dict", "of": [["result", value]]}


VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 10**30, 0.5, "", "x", "scores", "softmax", [], {}, [1], [{}], [[{}]]),
        *(an_array([]), an_array([2]), an_array([2**40, 0]), an_array([1] * 40)),
        *({"is": kind, "of": []} for kind in ("list", "tuple", "dict", "set", "box")),
        *({"is": kind, "of": [[1, 2]]} for kind in ("list", "dict", "set", "box")),
        *(parts(value) for value in (None, 1, "x", an_array([]), an_array([1]), {"is": "box", "of": None})),
        *(parts({"is": "box", "of": {"is": "list", "of": [n]}}) for n in (1, "x", 10**400)),
        parts({"is": "tensor", "of": an_array([1])}),
        {"is": "refused", "words": "x"},
        {"is": "foreign", "kind": "ndarray", "words": "x"},
        *(FAILURE, NOT_WRITTEN, {"is": "dict", "of": [["kind", "x"]]}, {**NOT_WRITTEN, "words": [1]}),
        {"is": "list", "of": [None, None]},
        [{"output_type": "stream", "text": "x" * 10}],
    ]
)
OF_TYPE = {bool: True, str: "x", int: 1, list: [], dict: FAILURE}
HALF_TRUE = {name: st.just(OF_TYPE[wire.TYPES.get(name, dict)]) | VALUES for name in FIELDS}
ONE = st.sampled_from([*HALF_TRUE]).flatmap(lambda name: HALF_TRUE[name].map(lambda value: {name: value}))
MANY = st.fixed_dictionaries({}, optional={**HALF_TRUE, **dict.fromkeys(("n", "stuck", "right"), VALUES)})
LIES = ONE | MANY
PLACES = st.integers(0, len(CASES) - 1)
WRONG = said_by(lambda scores: scores)
RIGHT = said_by(TASK.reference)


@st.composite
def streams(draw):
    """What a child says of its cases, one of them wrong, with lies beside, before and behind it."""
    wrong = draw(PLACES)
    lies = {draw(st.integers(0, wrong)): draw(LIES), **draw(st.dictionaries(PLACES, LIES, max_size=2))}
    alone = draw(st.sets(st.sampled_from(sorted(lies)), max_size=1))  # without what was true
    frames = []
    for n in range(len(CASES)):
        header, raw = WRONG[n] if n == wrong else RIGHT[n]
        frames.append(({**({} if n in alone else header), **lies.get(n, {})}, raw))
    return frames[: draw(st.integers(wrong, len(CASES)))]


@settings(deadline=None, max_examples=150)
@given(streams())
def test_no_lie_makes_a_wrong_answer_right(frames):
    result = examined(*frames)
    assert isinstance(result, Result)
    assert not result.passed
    assert len(as_text(result)) < 5000


@settings(deadline=None, max_examples=150)
@given(LIES, st.lists(LIES, max_size=2))
def test_no_lie_about_a_call_does_more_than_an_honest_failure(lie, more):
    session = session_of(lie, *more)
    try:
        answers, forbidden = call_there(session, Remote("f", session), [((1,), {}), ((2,), {})], 1.0)
    except (TimeOver, ValueError, Reported):
        return
    finally:
        session.close()
    assert (type(answers), len(answers), forbidden) == (list, 2, "")


@settings(deadline=None, max_examples=150)
@given(LIES)
def test_no_lie_about_a_cell_does_more_than_to_end_it(lie):
    session = session_of(lie)
    try:
        outputs, lost, late = session.run(Cell("a", "code", "1"))
    except (TimeOver, Died):
        return
    finally:
        session.close()
    assert all(type(output) is dict for output in outputs)
    assert len(json.dumps(outputs)) < MOST_OUTPUT + SPARE
    assert (type(lost), type(late)) == (int, bool)


@pytest.mark.parametrize("question", wire.ANSWERS)
def test_every_two_ends_of_an_answer_exclude_each_other(question):
    forms = wire.ANSWERS[question]
    for form, beside in forms.items():
        whole = {name: OF_TYPE[wire.TYPES.get(name, dict)] for name in (form, *beside)}
        wire.check_answer(question, whole)
        for other in {*FIELDS, "stuck", "right"} - whole.keys():
            with pytest.raises(wire.WireError, match="in a form that it cannot have"):
                wire.check_answer(question, {**whole, other: OF_TYPE[wire.TYPES.get(other, dict)]})
        for name in whole:
            for wrong in (None, False, 0.5, "" if wire.TYPES.get(name, dict) is not str else 3):
                with pytest.raises(wire.WireError):
                    wire.check_answer(question, {**whole, name: wrong})
        with pytest.raises(wire.WireError):
            wire.check_answer(question, {name: whole[name] for name in beside})


def test_an_honest_child_says_no_more_than_may_be_said():
    one = np.ones(1)
    for made in (
        Attempt(got={"result": one}, printed="x", changed="scores", after=one, forbidden="x"),
        Attempt(failure=Failure("KeyError", "x"), printed="x", forbidden="x"),
        Attempt(printed="x", late=True, line="x", forbidden="x"),
    ):
        header, _ = child.told(made)
        wire.check_answer("try", header)
