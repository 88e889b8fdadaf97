"""The check engine: run a learner's function on many inputs, compare, and say what went wrong.

A task is data: inputs, a reference, properties, misconceptions. A misconception is a name, a hint and a wrong
function. Where the learner's results equal those of a wrong function on every input, the check can name the
mistake instead of saying that numbers differ.
"""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from course_lib.checks.call import Call, call, one_thread, own_line
from course_lib.checks.values import (
    Parts,
    WrongForm,
    agree,
    close,
    describe,
    is_float,
    largest,
    nudge,
    numbers_of,
    precision,
    same,
    shapes_of,
    to_double,
)

FINALE_SECONDS = 120.0  # a real model on a slow laptop


@dataclass(frozen=True)
class Case:
    """One set of inputs; `name` says what is special about it. Arguments are passed in order."""

    name: str
    inputs: dict[str, Any]
    gradients: bool = False  # compare the gradients of all float inputs too


@dataclass(frozen=True)
class Misconception:
    """A name, a hint, and the function that a learner with this misconception would write."""

    name: str
    hint: str
    wrong: Callable[..., Any]


@dataclass(frozen=True)
class Property:
    """Something true of every right result: `broken(result, inputs)` says how it is not, or returns ''."""

    name: str
    broken: Callable[[np.ndarray, Mapping[str, Any]], str]


@dataclass(frozen=True)
class Task:
    """An exercise. Its inputs come from a generator, so that hidden tests can use others than the visible."""

    name: str
    title: str
    level: int  # 1 fill one line, 2 a few lines, 3 a function with traps, 4 build the layer
    minutes: int
    section: str  # of the concept's notebook
    call: str  # how the check calls it, for messages
    reference: Callable[..., Any]
    cases: Callable[[np.random.Generator], list[Case]]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    properties: tuple[Property, ...] = ()
    results: tuple[str, ...] = ("result",)  # more than one name: the function returns that many arrays
    tensor: bool = False  # the result must be a torch tensor, so that gradients can flow
    takes: str = "function"  # or "class"
    adapt: Callable[[Any], Callable[..., Any]] = field(default=lambda learner: learner)
    finale: Callable[[Any], str] | None = None  # runs when all cases passed; returns what to show
    seconds: float = 5.0  # for each call


@dataclass(frozen=True)
class Result:
    """What a check found. `problem` is empty when all is well."""

    task: Task
    problem: str = ""
    misconception: str = ""
    detail: str = ""
    case: Case | None = None
    expected: Parts | None = None
    got: Parts | None = None
    printed: str = ""
    n_cases: int = 0
    not_written: bool = False

    @property
    def passed(self) -> bool:
        return not self.problem


@dataclass
class _Trial:
    """One case, tried: what should come, what came, and what is wrong with it."""

    case: Case
    expected: Parts
    slack: dict[str, float]
    call: Call
    got: Parts | None = None
    problem: str = ""
    detail: str = ""


def examine(task: Task, learner: Any, *, seed: int = 0, seconds: float | None = None) -> Result:
    """Try a learner's function on every case; whatever it does, a result comes back.

    Args:
        task: what to check against.
        learner: the learner's function or class.
        seed: of the random inputs; a hidden test uses another one than the visible check.
        seconds: time limit of each call, instead of the task's own.
    """
    right = inspect.isclass(learner) if task.takes == "class" else callable(learner)
    if not right:
        return Result(task, problem=f"The check needs the {task.takes} itself, but got {describe(learner)}.")
    seconds = task.seconds if seconds is None else seconds
    with one_thread():
        result = _examine(task, learner, task.cases(np.random.default_rng(seed)), seconds)
    return _finish(result, learner) if result.passed and task.finale else result


def _examine(task: Task, learner: Any, cases: list[Case], seconds: float) -> Result:
    trials: list[_Trial] = []
    for case in cases:
        trials.append(_try(task, learner, case, seconds))
        if trials[-1].call.late or _not_written(trials[-1].call.error):
            break  # the other cases would only take the learner's time
    first = next((trial for trial in trials if trial.problem), None)
    if first is None:
        return Result(task, n_cases=len(trials))
    known = None if first.call.late else _diagnose(task, trials, first)
    return Result(
        task,
        problem=known.hint if known else first.problem,
        misconception=known.name if known else "",
        detail=first.detail,
        case=first.case,
        expected=first.expected,
        got=first.got,
        printed=first.call.printed,
        n_cases=len(trials),
        not_written=_not_written(first.call.error),
    )


def _try(task: Task, learner: Any, case: Case, seconds: float) -> _Trial:
    wide = {name: to_double(value) for name, value in case.inputs.items()}
    expected = parts_of(task, task.reference, case, copy.deepcopy(wide))
    slack = _slack(task, task.reference, case, wide, expected)
    given = copy.deepcopy(case.inputs)
    outcome = call(lambda: parts_of(task, task.adapt(learner), case, given), seconds)
    trial = _Trial(case, expected, slack, outcome)
    if outcome.late:
        trial.problem = f"It took longer than {seconds:g} s on inputs of shape {shapes_of(case.inputs)}."
        if outcome.stuck:
            trial.problem += " It could not be stopped: restart the kernel before you go on."
    elif _not_written(outcome.error):
        trial.problem = "Not written yet: the function still raises NotImplementedError."
    elif isinstance(outcome.error, WrongForm):
        trial.problem = str(outcome.error)
    elif outcome.error is not None:
        trial.problem = f"It stops with {type(outcome.error).__name__}: {outcome.error}"
        trial.detail = own_line(outcome.error) or f"The check calls it as {task.call}."
    else:
        trial.got = outcome.value
        trial.problem, trial.detail = _compare(task, trial)
        changed = [name for name in given if not same(given[name], case.inputs[name])]
        if changed and not trial.problem:
            trial.problem = (
                f"It changes its input {changed[0]!r}: work on a copy, the caller still needs the original."
            )
    return trial


def _finish(result: Result, learner: Any) -> Result:
    """All cases passed: run the finale."""
    finale = result.task.finale
    assert finale is not None
    last = call(lambda: finale(learner), FINALE_SECONDS)
    if last.error is None and not last.late:
        return replace(result, detail=last.value)
    problem = f"In the real model it stops with {type(last.error).__name__}: {last.error}"
    if last.late:
        problem = f"It took longer than {FINALE_SECONDS:g} s in the real model."
    elif isinstance(last.error, WrongForm):
        problem = str(last.error)
    detail = own_line(last.error) if last.error is not None else ""
    return replace(result, problem=problem, detail=detail, printed=last.printed)


def parts_of(task: Task, function: Callable[..., Any], case: Case, inputs: Mapping[str, Any]) -> Parts:
    """Call `function`; what it returns as named arrays, with gradients where the case asks for them.

    Returns: the results, then the gradients that reached an input.
    Raises: WrongForm: the answer is not made of numbers.
    """
    leaves = {}
    if case.gradients:
        leaves = {
            name: value.detach().clone().requires_grad_() for name, value in inputs.items() if is_float(value)
        }
    answer = function(*{**inputs, **leaves}.values())
    answers = [answer]
    if len(task.results) > 1:
        if not hasattr(answer, "__len__") or len(answer) != len(task.results):
            raise WrongForm(
                f"It must return {len(task.results)} arrays ({', '.join(task.results)}), got "
                f"{describe(answer)}."
            )
        answers = list(answer)
    parts = {name: numbers_of(value, task.tensor) for name, value in zip(task.results, answers, strict=True)}
    if case.gradients:
        # Any fixed weights will do: with all ones, the gradient of a row of softmax would vanish.
        probe = [value.new_tensor(np.cos(np.arange(value.numel()))).reshape(value.shape) for value in answers]
        total = sum((value * weights).sum() for value, weights in zip(answers, probe, strict=True))
        if total.requires_grad:
            total.backward()
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                parts[f"gradient of {name}"] = numbers_of(leaf.grad, True)
    return parts


def _compare(task: Task, trial: _Trial) -> tuple[str, str]:
    """The first thing that is wrong with the learner's numbers, and the values that show it."""
    got = trial.got or {}
    for name, expected in trial.expected.items():
        if name not in got:
            return (
                f"No {name} arrives: .detach(), .item(), .data and NumPy cut the graph that training needs.",
                "",
            )
        value, label = (
            got[name],
            "The result" if name == "result" else f"The {name}" if "gradient" in name else name,
        )
        if value.shape != expected.shape:
            return f"{label} has shape {value.shape}, expected {expected.shape}.", ""
        if (expected.dtype == bool) != (value.dtype == bool):
            return f"{label} has dtype {value.dtype}, expected {expected.dtype}.", ""
        coarse = value.dtype.kind == "f" and np.finfo(value.dtype).eps > 2 * precision(trial.case.inputs)
        if coarse:
            wanted = "float64" if precision(trial.case.inputs) < 1e-10 else "float32"
            return (
                f"{label} has dtype {value.dtype} although the inputs are {wanted}: digits are lost on the "
                f"way. "
                "Create new arrays with the dtype of the input.",
                "",
            )
        bad = (
            ~np.isfinite(value) & np.isfinite(expected)
            if value.dtype.kind == "f"
            else np.zeros(value.shape, bool)
        )
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            return f"{label} contains {value[where]} where a number is expected.", _first_difference(
                name, where, expected, value
            )
        if not agree(value, expected, trial.slack[name]):
            properties = task.properties if name in task.results else ()
            broken = next(filter(None, (p.broken(value, trial.case.inputs) for p in properties)), "")
            where = tuple(int(i) for i in np.argwhere(~close(value, expected, trial.slack[name]))[0])
            problem = broken or f"{label} has the right shape but wrong values."
            return problem, _first_difference(name, where, expected, value)
    return "", ""


def _first_difference(name: str, where: tuple[int, ...], expected: np.ndarray, got: np.ndarray) -> str:
    place = ("" if name == "result" else f"in {name} ") + (f"at {list(where)}" if where else "")
    place = f"{place.strip()}: " if place else ""
    digits = 6 if f"{expected[where]:.6g}" != f"{got[where]:.6g}" else 12
    return f"First difference {place}expected {expected[where]:.{digits}g}, got {got[where]:.{digits}g}."


def _diagnose(task: Task, trials: list[_Trial], first: _Trial) -> Misconception | None:
    """The one misconception that gives what the learner's function gives.

    It must agree on the first failing case. One that agrees on every case wins; failing that, the one that
    explains the most wrong values (a learner can make two mistakes at once).
    """
    candidates = []
    for misconception in task.misconceptions:
        agrees = {id(trial): _explains(task, misconception, trial) for trial in trials}
        explained = sum(agrees[id(trial)] for trial in trials if _wrong_values(task, trial))
        if explained and agrees[id(first)] and (first.got is None or _wrong_values(task, first)):
            candidates.append(((all(agrees.values()), explained), misconception))
    best = max((rank for rank, _ in candidates), default=None)
    winners = [misconception for rank, misconception in candidates if rank == best]
    return winners[0] if len(winners) == 1 else None


def _wrong_values(task: Task, trial: _Trial) -> bool:
    got, expected = trial.got, trial.expected
    return got is not None and not _all_agree(
        got, {name: expected[name] for name in task.results}, trial.slack
    )


def _explains(task: Task, misconception: Misconception, trial: _Trial) -> bool:
    case = replace(trial.case, gradients=False)
    try:
        wrong = parts_of(task, misconception.wrong, case, copy.deepcopy(case.inputs))
        # A wrong function may be so sensitive that rounding explains anything: then nothing is explained.
        limit = {name: 1e-3 * largest(value) for name, value in wrong.items()}
        if trial.got is None or not _all_agree(trial.got, wrong, limit):
            return False
        slack = _slack(task, misconception.wrong, case, case.inputs, wrong)
        return _all_agree(trial.got, wrong, {name: min(slack[name], limit[name]) for name in wrong})
    except Exception:
        return trial.call.error is not None


def _all_agree(got: Parts, wanted: Parts, slack: Mapping[str, float]) -> bool:
    """Whether every part of `wanted` came, with the same shape and kind of number, up to rounding."""
    return all(
        (got[name].dtype == bool) == (wanted[name].dtype == bool)
        and agree(got[name], wanted[name], slack[name])
        for name in wanted
    )


def _slack(
    task: Task, function: Callable[..., Any], case: Case, inputs: Mapping[str, Any], exact: Parts
) -> dict[str, float]:
    """How far from the exact result rounding alone can take another way to write the same function.

    A careful program returns the exact result for inputs that were moved by about n roundings, n being the
    longest sum. So move the inputs by that much, a few times, and see how far the result moves. That needs
    no table of tolerances: large scores, long sums and float64 each get what they deserve.
    """
    sizes = [size for value in inputs.values() for size in getattr(value, "shape", ())]
    step = max(sizes, default=1) * precision(case.inputs)  # `inputs` may be wider
    slack = {name: step * (1e-30 + largest(value)) for name, value in exact.items()}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        moved = {name: nudge(copy.deepcopy(value), step, rng) for name, value in inputs.items()}
        for name, value in parts_of(task, function, case, moved).items():
            if value.shape == exact[name].shape and value.dtype.kind == "f":
                with np.errstate(invalid="ignore"):  # inf - inf, where a wrong function overflows
                    slack[name] += 2 * largest(value - exact[name])
    return slack


def _not_written(error: BaseException | None) -> bool:
    return isinstance(error, NotImplementedError) and not error.args  # torch raises it too, with a message
