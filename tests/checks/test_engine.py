"""The check engine on one small task: whatever a learner's function does, a sentence comes back, and soon."""

import contextlib
import io
import sys
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from task_cases import without_finale

import course_lib.checks as checks
from course_lib.checks import (
    Case,
    CheckFailed,
    Misconception,
    NotWrittenYet,
    Property,
    Task,
    as_html,
    as_text,
    check,
    examine,
    find_task,
    forms,
    hint,
    solution,
    try_it,
)
from course_lib.checks.attempt import Attempt, attempts
from course_lib.checks.engine import ELSEWHERE_RIGHT, prepare
from course_lib.checks.tasks import exercise
from course_lib.checks.values import boxed

TOTALS = Task(
    name="00_toy/totals",
    title="Totals",
    level=1,
    minutes=1,
    section="Sums",
    call="totals(x)",
    reference=lambda x: x.sum(-1),
    cases=lambda rng: [
        Case("two rows", {"x": rng.standard_normal((2, 3)).astype(np.float32)}),
        Case("square", {"x": rng.standard_normal((3, 3)).astype(np.float32)}),
        Case("float64", {"x": rng.standard_normal((5, 7))}),
    ],
    misconceptions=(
        Misconception("over the rows", "This is the total of each column.", lambda x: x.sum(0)),
        Misconception("means", "This is the mean.", lambda x: x.mean(-1)),
        Misconception("broken", "Never named: it always raises.", lambda x: x.no_such_method()),
    ),
    properties=(
        Property("below 100", lambda result, inputs: "A total is too large." if result.max() > 100 else ""),
    ),
    hints=("Add.", "x.sum(-1)"),
)


def problem(learner, **options) -> str:
    return examine(TOTALS, learner, **options).problem


def test_a_right_answer_passes():
    result = examine(TOTALS, lambda x: x.sum(axis=1))
    assert result.passed
    assert as_text(result) == "✓ Totals: right on all 3 kinds of input."


# ------------------------------------------------------------------------------------------------- time limit


def loops(x):
    while True:
        pass


@pytest.mark.parametrize("learner", [loops, lambda x: time.sleep(60)])
def test_an_endless_function_is_waited_for_no_longer(learner):
    start = time.perf_counter()
    problem(learner, seconds=0.2)
    assert time.perf_counter() - start < 5


def turns_round(x):
    n = 0
    while n < 1:
        n *= 1


def test_of_an_endless_loop_its_time_and_the_learners_own_line_are_said():
    said = problem(turns_round, seconds=0.2)
    first = turns_round.__code__.co_firstlineno
    assert said in [
        f"It took longer than 0.2 s on inputs of shape x (2, 3). It was still at work in line {line}"
        for line in (f"{first + 2}: while n < 1:", f"{first + 3}: n *= 1")
    ]


def test_what_python_prints_while_a_loop_is_stopped_is_not_taken_for_the_learners(monkeypatch):
    """A thread that is slow to end is stopped once more where nothing catches that any longer."""

    def slow_to_end(frame, event, argument):
        if (event, frame.f_code.co_name) == ("return", "_work"):
            time.sleep(0.1)

    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # not pytest's
    threading.setprofile(slow_to_end)
    try:
        result = examine(TOTALS, lambda x: print("so far") or loops(x), seconds=0.2)
    finally:
        threading.setprofile(None)
    assert result.printed == "so far\n"
    assert "OutOfTime" not in as_text(result)


def test_an_endless_loop_leaves_no_thread_behind():
    before = threading.active_count()
    problem(loops, seconds=0.2)
    assert threading.active_count() == before


def test_a_function_that_cannot_be_stopped_is_left_behind_and_reported():
    over, calls = threading.Event(), []

    def swallows_everything(x):
        calls.append(x.shape)
        while not over.is_set():
            with contextlib.suppress(BaseException):
                time.sleep(0.001)

    assert "restart the kernel" in problem(swallows_everything, seconds=0.2)
    over.set()
    assert calls == [(2, 3)], "only the first case is waited for"


# ------------------------------------------------------------------------------------------ errors and prints


def fails(x):
    rows = len(x)
    return x @ np.ones(rows + 1)


def test_an_error_is_reported_at_the_learners_own_line():
    result = examine(TOTALS, fails)
    assert result.problem.startswith("It stops with ValueError: matmul")
    assert result.detail == f"line {fails.__code__.co_firstlineno + 2}: return x @ np.ones(rows + 1)"
    assert "engine.py" not in as_text(result)


def test_an_error_inside_the_library_is_reported_at_the_line_that_called_it():
    from course_lib import maths

    def misuses(x):
        return maths.attention_weights(x, x[:, 1:])

    result = examine(TOTALS, misuses)
    assert "same width" in result.problem
    assert "maths.attention_weights(x, x[:, 1:])" in result.detail


def test_a_function_with_the_wrong_parameters_is_told_how_it_is_called():
    result = examine(TOTALS, lambda: 0)
    assert "TypeError" in result.problem
    assert result.detail == "The check calls it as totals(x)."


@pytest.mark.parametrize("leave", [sys.exit, lambda: exec("raise KeyboardInterrupt")])
def test_leaving_python_does_not_end_the_check(leave):
    assert problem(lambda x: leave()).startswith("It stops with ")


def test_recursion_without_an_end_is_reported():
    def deeper(x):
        return deeper(x)

    assert "RecursionError" in problem(deeper)


def test_a_stub_is_one_sentence():
    def stub(x):
        raise NotImplementedError

    result = examine(TOTALS, stub)
    assert result.not_written
    assert as_text(result) == "✗ Totals: Not written yet: the function still raises NotImplementedError."


def test_a_missing_kernel_of_torch_is_not_taken_for_a_stub():
    def unsupported(x):
        raise NotImplementedError("not implemented for 'Half'")

    assert "not implemented for 'Half'" in problem(unsupported)


def test_prints_are_shown_shortened_and_harmless(capsys):
    def talks(x):
        print("shape", x.shape)
        sys.stdout.close()
        sys.stderr.write("careful\n")
        for _ in range(10_000):
            print("noise" * 100)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return x.sum(-1) + 1

    result = examine(TOTALS, talks)
    assert "shape (2, 3)\ncareful\nnoise" in as_text(result)
    assert len(result.printed) == 1000
    assert capsys.readouterr() == ("", "")


def test_stdout_is_ours_again_afterwards():
    before = sys.stdout

    def replaces(x):
        sys.stdout = io.StringIO()
        return x.sum(-1)

    assert examine(TOTALS, replaces).passed
    assert sys.stdout is before


# -------------------------------------------------------------------------------------------- wrong results


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (lambda x: None, "It returns None: is the `return` missing?"),
        (lambda x: "six", "It must return numbers, but got 'six' (str)."),
        (lambda x: [[1, 2], [3]], "It must return numbers, but got [[1, 2], [3]] (list)."),
        (lambda x: x.sum(-1, keepdims=True), "The result has shape (2, 1), expected (2,)."),
        (lambda x: x.sum(-1) > 0, "The result has dtype bool, expected float64."),
        (
            lambda x: x.sum(-1).astype(np.float16),
            "The result has dtype float16 although the inputs are float32",
        ),
        (lambda x: x.sum(-1) * np.nan, "The result contains nan where a number is expected."),
        (lambda x: x.sum(-1) / 0, "inf where a number is expected."),
        (lambda x: x.sum(-1) + 1000, "A total is too large."),
        (lambda x: x.sum(-1) + 0.001, "The result has the right shape but wrong values."),
    ],
)
def test_the_first_broken_property_is_named(learner, said):
    assert said in problem(learner)


def test_the_values_that_show_it_are_shown():
    text = as_text(examine(TOTALS, lambda x: x.sum(-1) + np.array([0, 1, 0, 0, 0])[: len(x)]))
    assert "First difference at [1]: expected " in text
    for part in (
        "Input: two rows",
        "x (2, 3) = [[",
        "Expected:\n  result (2,) = [",
        "Got:\n  result (2,) = [",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("right", "came", "said"),
    [
        (lambda x: 150, 180, "The result is 180, expected 150."),
        (lambda x: 0.5, 0.25, "The result is 0.25, expected 0.5."),
        (lambda x: 0.5, 0.5000031, "The result is 0.500003, expected 0.5."),
        (lambda x: 12_345_678, 12_345_679, "The result is 12345679, expected 12345678."),
    ],
)
def test_a_number_is_said_as_a_number(right, came, said):
    task = replace(TOTALS, reference=right, misconceptions=(), properties=())
    result = examine(task, lambda x: came)
    assert result.problem == said
    assert f"Got:\n  result = {came}" in as_text(result)


def test_several_numbers_are_said_by_their_names():
    task = replace(
        TOTALS,
        reference=lambda x: (2, 150),
        results=("sums", "multiplications"),
        misconceptions=(),
        properties=(),
    )
    assert examine(task, lambda x: (2, 180)).problem == "multiplications is 180, expected 150."


def test_of_many_numbers_some_are_shown():
    task = replace(TOTALS, cases=lambda rng: [Case("many", {"x": np.arange(216.0).reshape(72, 3)})])
    text = as_text(examine(task, lambda x: np.arange(72) * 9 + 3.5))
    assert "x (72, 3) = [[  0.   1.   2.]\n" in text
    assert "Expected:\n  result (72,) = [  3.  12.  21. ... 624. 633. 642.]\n" in text
    assert text.endswith("Got:\n  result (72,) = [  3.5  12.5  21.5 ... 624.5 633.5 642.5]")


def test_a_changed_dictionary_of_tensors_is_shown():
    def changes(theirs):
        for name in list(theirs):
            theirs[name] = theirs.pop(name) * 2
        return theirs

    result = examine(find_task("09_real_models/rename_weights"), changes)
    assert result.problem.startswith("It changes its input 'theirs'")
    assert "Before the call:" in as_text(result)


def test_a_changed_input_is_named_even_if_the_result_is_right():
    def sorts(x):
        x.sort()
        return x.sum(-1)

    assert problem(sorts) == "It changes its input 'x': work on a copy, the caller still needs the original."


def test_a_float32_result_of_float64_inputs_is_refused_and_the_other_way_round_accepted():
    assert examine(TOTALS, lambda x: x.astype(np.float64).sum(-1)).passed
    result = examine(TOTALS, lambda x: x.sum(-1).astype(np.float32))
    assert result.case.name == "float64"
    assert "digits are lost" in result.problem


# -------------------------------------------------------------------------------------------- misconceptions


def test_a_known_mistake_is_named_with_its_hint():
    result = examine(TOTALS, lambda x: np.ones(len(x)) @ x)
    assert (result.misconception, result.problem) == ("over the rows", "This is the total of each column.")


def test_a_mistake_that_is_right_elsewhere_is_not_named():
    """The first case agrees with no wrong function, so the later agreement proves nothing."""
    assert examine(TOTALS, lambda x: x.sum(0) if len(x) == 5 else x.sum(-1) + 1).misconception == ""


def test_who_guarded_one_case_keeps_the_name():
    def guarded(x):
        return x.sum(-1) if len(x) == x.shape[1] else x.sum(0)

    result = examine(TOTALS, guarded)
    assert result.misconception == "over the rows"
    assert result.problem == f"This is the total of each column. {ELSEWHERE_RIGHT}"
    # One wrong result alone may be so by accident.
    square, wide = TOTALS.cases(np.random.default_rng(0))[1:]
    task = replace(TOTALS, cases=lambda rng: [square, square, wide])
    assert examine(task, guarded).misconception == ""
    assert not examine(task, guarded).passed


def test_a_truth_value_that_is_wrong_proves_no_mistake():
    task = replace(
        TOTALS,
        reference=lambda x: bool(x.sum() > 0),
        cases=lambda rng: [Case(f"{i}", {"x": np.full(3, i, np.float32)}) for i in (-5, -3, -2, 2, 3, 5)],
        misconceptions=(Misconception("never", "It always says no.", lambda x: False),),
        properties=(),
    )
    assert examine(task, lambda x: x.sum() > 9).misconception == ""
    assert examine(task, lambda x: False).misconception == "never"


def test_two_mistakes_that_give_the_same_are_told_apart_by_the_other_cases():
    wide, square = Case("square", {"x": np.ones((3, 3))}), Case("wide", {"x": np.ones((2, 3))})
    task = Task(
        **{
            **TOTALS.__dict__,
            "cases": lambda rng: [wide, square],
            "misconceptions": (
                Misconception("three", "Three times.", lambda x: 3 * x.sum(-1)),
                Misconception("rows", "Times the rows.", lambda x: len(x) * x.sum(-1)),
            ),
        }
    )
    assert examine(task, lambda x: x.sum(-1) * 3).misconception == "three"
    assert examine(task, lambda x: x.sum(-1) * x.shape[0]).misconception == "rows"
    # On this one input both would give the same: then neither is named.
    alone = Task(**{**task.__dict__, "cases": lambda rng: [wide]})
    assert examine(alone, lambda x: x.sum(-1) * 3).misconception == ""


@pytest.mark.parametrize("name", [name for name in checks.task_names() if exercise(name).other_reference])
def test_a_reference_that_is_not_the_solution_is_right_as_it_is(name):
    task = without_finale(name)
    as_it_is = Task.__dataclass_fields__["adapt"].default
    direct = Task(**{**task.__dict__, "takes": "function", "adapt": as_it_is, "misconceptions": ()})
    assert examine(direct, task.reference).passed


# ------------------------------------------------------------------------------------ what a learner types


@pytest.mark.parametrize(
    ("learner", "came"),
    [(3, "3 (int)"), (np.zeros((2, 3)), "an array of shape (2, 3) (ndarray)"), (None, "None")],
)
def test_something_that_is_no_function_is_named(learner, came):
    assert problem(learner).startswith(f"The check needs the function itself, but got {came}")


def test_an_instance_instead_of_a_class_is_named():
    said = examine(find_task("03_qkv/self_attention"), np.linalg.norm).problem
    assert said.startswith("The check needs the class itself, but got <function norm")


@pytest.mark.usefixtures("own_errors")
def test_an_unknown_task_lists_the_nearest():
    with pytest.raises(ValueError, match=r"no task '03_qkv/sofmax'; did you mean 03_qkv/softmax"):
        check("03_qkv/sofmax", len)
    with pytest.raises(ValueError, match="named by a text such as '03_qkv/softmax'; got 3"):
        check(3, len)


def test_check_returns_nothing_or_raises(capsys):
    assert check("03_qkv/mix", lambda weights, v: weights @ v) is None
    assert capsys.readouterr().out == "✓ Mixing the values: right on all 6 kinds of input.\n"
    with pytest.raises(CheckFailed, match="plain mean of the values"):
        check("03_qkv/mix", lambda weights, v: weights * 0 @ v + v.mean(-2, keepdims=True))
    with pytest.raises(NotWrittenYet, match="Not written yet") as failed:
        check("03_qkv/mix", stub)
    assert isinstance(failed.value, NotImplementedError)


def stub(weights, v):
    raise NotImplementedError


def test_try_it_shows_what_check_shows_and_never_raises(capsys):
    try_it("03_qkv/mix", right_mix)
    assert capsys.readouterr().out == "✓ Mixing the values: right on all 6 kinds of input.\n"
    try_it("03_qkv/mix", plain_mean)
    assert "plain mean of the values" in capsys.readouterr().out
    try_it("03_qkv/mix", stub)
    assert "Not written yet" in capsys.readouterr().out
    with pytest.raises(ValueError, match="did you mean 03_qkv/mix"):
        try_it("03_qkv/mixx", stub)


def test_a_notebook_goes_on_with_what_is_right_or_with_a_fault_that_one_wants_to_see(capsys):
    assert try_it("03_qkv/mix", right_mix) is right_mix
    weights, v = np.full((2, 3), 1 / 3), np.arange(12.0).reshape(3, 4)
    instead = try_it("03_qkv/mix", lambda weights, v: v.mean())
    np.testing.assert_allclose(instead(weights, v), weights @ v)
    assert "the course's own runs until yours is right" in capsys.readouterr().out
    assert try_it("03_qkv/mix", plain_mean, keep_faults=True) is plain_mean
    assert "the course's own" not in capsys.readouterr().out


def test_a_task_can_be_tried_in_another_form(capsys):
    def turned(v, weights):
        return right_mix(weights, v)

    task = find_task("03_qkv/mix")
    other = replace(
        task,
        cases=lambda rng: [
            replace(case, inputs=dict(reversed(case.inputs.items()))) for case in task.cases(rng)
        ],
        reference=lambda v, weights: task.reference(weights, v),
        misconceptions=(),
        properties=(),
        answer=turned,
    )
    assert try_it(other, turned) is turned
    assert try_it(other, lambda v, weights: plain_mean(weights, v)) is turned
    assert "the course's own runs" in capsys.readouterr().out
    assert not examine(task, turned).passed


def right_mix(weights, v):
    return weights @ v


def plain_mean(weights, v):
    return weights * 0 @ v + v.mean(-2, keepdims=True)


def test_the_error_shows_one_line_in_a_notebook():
    result = examine(TOTALS, lambda x: x.sum(0))
    assert CheckFailed(result)._render_traceback_() == ["00_toy/totals: not solved yet (over the rows)."]


def test_html_is_escaped():
    markup = as_html(examine(TOTALS, lambda x: "<script>"))
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup


def test_many_numbers_are_folded_away_in_a_notebook():
    few = as_html(examine(TOTALS, lambda x: x.sum(0)))
    assert "<details>" not in few
    assert "Expected:" in few
    result = examine(find_task("08_rnn_comparison/lstm_step"), lambda x, h, c, w, u, b: (h, c))
    above, folded = as_html(result).split("<details><summary>The numbers</summary>")
    assert "First difference" in above
    assert "Expected:" not in above
    assert all(words in folded for words in ("Input:", "Expected:", "Got:"))
    assert as_text(result).count("Expected:") == 1


def test_hints_come_one_by_one(capsys):
    hint("03_qkv/mix")
    assert capsys.readouterr().out.endswith("hint('03_qkv/mix', 2) says more.\n")
    hint("03_qkv/mix", 2)
    assert capsys.readouterr().out.endswith("Next: solution('03_qkv/mix').\n")
    with pytest.raises(
        ValueError, match=r"03_qkv/mix has hints 1 to 2, then solution\('03_qkv/mix'\); got 3"
    ):
        hint("03_qkv/mix", 3)


def test_code_in_hints_and_findings_is_marked_in_a_notebook_and_plain_in_a_terminal(capsys, monkeypatch):
    hint("03_qkv/causal_mask", 2)
    assert "`" not in capsys.readouterr().out
    shown = []
    monkeypatch.setattr(checks, "show", lambda text, markup: shown.append(markup))
    for task in checks.task_names():
        for number, text in enumerate(find_task(task).hints, start=1):
            hint(task, number)
            assert text.count("`") == 2 * shown[-1].count("<code>"), task
            assert "`" not in shown[-1]
    result = replace(examine(TOTALS, lambda x: x), problem="`a < b` is asked for.")
    assert "<strong>✗ Totals: <code>a &lt; b</code> is asked for.</strong>" in as_html(result)
    assert as_text(result).startswith("✗ Totals: a < b is asked for.")


MANY = {f"word {i}": i for i in range(60)}


@pytest.mark.parametrize(
    ("wrong", "expected", "got"),
    [
        (
            {"word 7": 0},
            "{'word 7': 7} (what differs, of 60 entries)",
            "{'word 7': 0} (what differs, of 60 entries)",
        ),
        (
            {f"word {i}": -1 for i in range(20, 29)},
            "{'word 20': 20, 'word 21': 21, 'word 22': 22, 'word 23': 23, 'word 24': 24, 'word 25': 25} "
            "and 3 more (what differs, of 60 entries)",
            "{'word 20': -1, 'word 21': -1, 'word 22': -1, 'word 23': -1, 'word 24': -1, 'word 25': -1} "
            "and 3 more (what differs, of 60 entries)",
        ),
        (
            {"more": 0},
            "{'word 0': 0, 'word 1': 1, 'word 2': 2, 'word 3': 3, 'word 4': 4, 'word 5': 5} and 54 more",
            "{'more': 0} (what differs, of 61 entries)",
        ),
    ],
)
def test_of_a_long_dictionary_a_few_entries_that_differ_are_shown(wrong, expected, got):
    given = [Case("sixty", {"words": MANY})]
    task = replace(TOTALS, reference=dict, cases=lambda rng: given, misconceptions=(), read=forms.contents)
    text = as_text(examine(task, lambda words: {**words, **wrong}))
    assert f"Expected:\n  result = {expected}\n" in text
    assert text.endswith(f"Got:\n  result = {got}")
    assert "'word 5': 5} and 54 more\n" in text  # of the input


def test_complex_numbers_are_said_to_be_what_they_are():
    assert problem(lambda x: x.sum(-1) + 1j).startswith("It returns complex numbers")


def test_truth_values_that_chance_decides_are_not_blamed_on_dropout():
    given = [Case("a row", {"x": np.ones(3)})]
    task = replace(
        TOTALS, reference=lambda x: True, cases=lambda rng: given, misconceptions=(), properties=()
    )
    answers = iter([False, True])
    said = examine(task, lambda x: next(answers)).problem
    assert said.startswith("Called twice on the same input, it gives two answers: does it try too few random")
    numbers = iter([5.0, 7.0])
    task = replace(task, reference=lambda x: 1.0)
    assert "such as dropout" in examine(task, lambda x: next(numbers)).problem


def test_a_solution_is_read_from_the_solutions(capsys, monkeypatch, tmp_path):
    solution("03_qkv/mix")
    assert "return weights @ v" in capsys.readouterr().out
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    solution("03_qkv/mix")
    assert capsys.readouterr().out.startswith("This copy of the course has no solutions")


def test_a_hidden_check_may_try_the_cases_in_another_order():
    tried = []

    def noted(task, learner, cases, seconds):
        tried.extend(case.name for case in cases)
        return attempts(task, learner, cases, seconds)

    task = find_task("03_qkv/softmax")
    for seed in (31, 57):
        assert examine(task, task.reference, seed=seed, ask=noted, shuffled=True).passed
    in_order = [prepared.case.name for prepared in prepare(task, 31)]
    first, second = tried[: len(in_order)], tried[len(in_order) :]
    assert sorted(first) == sorted(second) == sorted(in_order)
    assert len({tuple(first), tuple(second), tuple(in_order)}) == 3


# A learner's process may send what no function returns through it: numbers for texts, a list for a number.
FOREIGN = [
    *(boxed(value) for value in (None, [], [1], {}, "x", 3, 10**400, (1,), {1})),
    *(np.array(value) for value in (1.5, 1, True, [1.5], [], [[1]])),
]


@pytest.mark.parametrize(
    "name",
    [
        *("01_tokens/count_pairs", "01_tokens/merge_pair", "01_tokens/decode", "03_qkv/softmax"),
        *("01_tokens/negative_sampling_loss", "02_patches/attention_cost", "08_rnn_comparison/longest_chain"),
    ],
)
def test_whatever_comes_for_an_answer_can_be_compared(name):
    task = find_task(name)
    right = {id(one.case): one.right.parts for one in prepare(task, 0)}
    for foreign in FOREIGN:

        def forged(task, learner, cases, seconds, foreign=foreign):
            return (Attempt(got=dict.fromkeys(right[id(case)], foreign)) for case in cases)

        assert as_text(examine(task, None, ask=forged)).startswith("✗")
