"""The check engine: run a learner's function on many inputs, compare, and say what went wrong.

A task is data: inputs, a reference, properties, misconceptions. A misconception is a name, a hint and a wrong
function. Where the learner's results are those of a wrong function, the check can name the mistake instead of
saying that numbers differ.
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib.checks.call import Call, call, call_and_listen, own_line
from course_lib.checks.compare import Finding, all_agree, first_difference
from course_lib.checks.kinds import Case, Misconception, Result, Task, Wanted
from course_lib.checks.rounding import slack_of
from course_lib.checks.values import (
    CONTAINERS,
    Parts,
    WrongForm,
    boxed,
    copied,
    describe,
    is_float,
    largest,
    numbers_of,
    precision,
    same,
    shapes_of,
    to_double,
)

FINALE_SECONDS = 120.0  # a real model on a slow laptop
N_AGAIN = 2  # cases that come a second time


# -------------------------------------------------------------------------------------------------- preparing


class Prepared:
    """A case with all that does not depend on the learner; computed once for all learners."""

    def __init__(self, task: Task, case: Case, again: bool = False) -> None:
        self.case = case
        self.again = again  # a case of before with other numbers, for a function that keeps something
        wide = {name: to_double(value) for name, value in case.inputs.items()}
        self.right = _wanted(task, task.reference, case, wide)
        self._wrong: dict[tuple[str, bool], Wanted | None] = {}

    def wrong(self, task: Task, misconception: Misconception, gradients: bool) -> Wanted | None:
        """What a misconception gives for this case; None where it fails."""
        key = (misconception.name, gradients)
        if key not in self._wrong:
            case = replace(self.case, gradients=gradients)
            try:
                with _guard(()):
                    self._wrong[key] = _wanted(task, misconception.wrong, case, case.inputs)
            except Exception:  # a wrong function may fail in any way
                self._wrong[key] = None
        return self._wrong[key]


def _wanted(task: Task, function: Callable[..., Any], case: Case, inputs: Mapping[str, Any]) -> Wanted:
    def run(moved: Mapping[str, Any]) -> Parts:
        return parts_of(task, function, case, moved)

    parts = run({name: copied(value) for name, value in inputs.items()})
    return Wanted(parts, slack_of(run, inputs, parts, precision(case.inputs)))


@functools.lru_cache(maxsize=16)
def prepare(task: Task, seed: int) -> tuple[Prepared, ...]:
    """The cases of a task for one seed."""
    with _clean_state():
        first = [Prepared(task, case) for case in task.cases(np.random.default_rng(seed))]
        others = task.cases(np.random.default_rng((seed, 1)))[:N_AGAIN]
        return (*first, *(Prepared(task, case, again=True) for case in others))


@contextlib.contextmanager
def _clean_state() -> Iterator[None]:
    """The switches of NumPy and torch as the check needs them, whatever the notebook has done to them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        if "torch" in sys.modules:
            from course_lib.checks.guard import clean_state  # here, because a NumPy task does not need torch

            stack.enter_context(clean_state())
        yield


def _guard(forbidden: tuple[str, ...]) -> AbstractContextManager[Any]:
    """What keeps an eye on torch, where torch is there."""
    if "torch" not in sys.modules:
        return contextlib.nullcontext()
    from course_lib.checks.guard import Guard

    return Guard(forbidden)


# ----------------------------------------------------------------------------------------------------- trying


@dataclass
class _Trial:
    """One case, tried: what came, and what is wrong with it."""

    prepared: Prepared
    call: Call
    got: Parts | None = None
    finding: Finding | None = None
    changed: str = ""  # the input that is no longer what it was
    after: Any = None  # what it is now
    forbidden: str = ""  # the forbidden routine that was called

    @property
    def case(self) -> Case:
        return self.prepared.case

    @property
    def right(self) -> bool:
        return self.finding is None


def examine(
    task: Task,
    learner: Any,
    *,
    seed: int = 0,
    seconds: float | None = None,
    hear: Callable[[str], None] | None = None,
) -> Result:
    """Try a learner's function on every case; whatever it does, a result comes back.

    Args:
        task: what to check against.
        learner: the learner's function or class.
        seed: of the random inputs; a hidden test uses another one than the visible check.
        seconds: time limit of each call, instead of the task's own.
        hear: is called with what the finale has to say, as it comes.
    """
    fits = inspect.isclass(learner) if task.takes == "class" else callable(learner)
    if not fits:
        return Result(task, problem=f"The check needs the {task.takes} itself, but got {describe(learner)}.")
    seconds = task.seconds if seconds is None else seconds
    trials: list[_Trial] = []
    with _clean_state():
        for prepared in prepare(task, seed):
            trials.append(_try(task, learner, prepared, seconds))
            if trials[-1].call.late or not_written(trials[-1].call.error):
                break  # the other cases would only take the learner's time
        result = _judged(task, learner, trials, seconds)
    return _finish(result, learner, hear) if result.passed and task.finale else result


def _try(task: Task, learner: Any, prepared: Prepared, seconds: float) -> _Trial:
    case = prepared.case
    given = {name: copied(value) for name, value in case.inputs.items()}
    guard = _guard(task.forbidden)

    def run() -> Parts:
        with _clean_state(), guard:  # switches are for one thread only, and this is another
            return parts_of(task, task.adapt(learner), case, given)

    outcome = call(run, seconds)
    trial = _Trial(prepared, outcome, forbidden=getattr(guard, "called", ""))
    if outcome.late or outcome.error is not None:
        trial.finding = _failed(task, outcome, case, seconds)
        return trial
    trial.got = outcome.value
    trial.finding = first_difference(task, case, prepared.right, outcome.value)
    trial.changed = next((name for name in given if not same(given[name], case.inputs[name])), "")
    trial.after = given.get(trial.changed)
    return trial


def _failed(task: Task, outcome: Call, case: Case, seconds: float) -> Finding:
    """What to say of a call from which nothing came back."""
    if outcome.late:
        problem = f"It took longer than {seconds:g} s on inputs of shape {shapes_of(case.inputs)}."
        if outcome.stuck:
            problem += " It could not be stopped: restart the kernel before you go on."
        return Finding(problem)
    if not_written(outcome.error):
        return Finding("Not written yet: the function still raises NotImplementedError.")
    if isinstance(outcome.error, WrongForm):
        return Finding(str(outcome.error))
    assert outcome.error is not None
    problem = f"It stops with {type(outcome.error).__name__}: {said_by(outcome.error)}"
    return Finding(problem, own_line(outcome.error) or f"The check calls it as {task.call}.")


def said_by(error: BaseException) -> str:
    """The text of an error; a learner's own error may fail to give one."""
    try:
        return str(error)
    except Exception:
        return "(an error without words)"


def _judged(task: Task, learner: Any, trials: list[_Trial], seconds: float) -> Result:
    """The one thing to say: a changed input first, then a known mistake, then a forbidden call."""
    changed = next((trial for trial in trials if trial.changed), None)
    if changed is not None:
        return _changed_input(task, changed, len(trials))
    first = next((trial for trial in trials if not trial.right), None)
    known = None if first is None or first.call.late else diagnose(task, trials, first)
    forbidden = next((trial.forbidden for trial in trials if trial.forbidden), "")
    if forbidden and known is None:
        problem = f"It calls {forbidden}, which does the task for you: write the steps yourself."
        return Result(task, problem=problem, n_cases=len(trials))
    if first is None or first.finding is None:
        return Result(task, n_cases=sum(not trial.prepared.again for trial in trials))
    return Result(
        task,
        problem=known.hint if known else _unsteady(task, learner, first, seconds) or first.finding.problem,
        misconception=known.name if known else "",
        detail=first.finding.detail,
        case=first.case,
        expected=first.prepared.right.parts,
        got=first.got,
        printed=first.call.printed,
        n_cases=len(trials),
        not_written=not_written(first.call.error),
    )


def _unsteady(task: Task, learner: Any, trial: _Trial, seconds: float) -> str:
    """A sentence where the function gives now this, now that; else nothing."""
    if trial.got is None:
        return ""
    if trial.prepared.again:
        return (
            "It is right the first time, but not when it is called again with other numbers of the same "
            "shape: does it keep something from one call to the next?"
        )
    second = _try(task, learner, trial.prepared, seconds)
    if second.got is not None and all_agree(second.got, trial.got, trial.prepared.right.slack):
        return ""
    return (
        "Called twice on the same input, it gives two results: is something random in it, such as dropout, "
        "or does it keep something from one call to the next?"
    )


def _changed_input(task: Task, trial: _Trial, n_cases: int) -> Result:
    name = trial.changed
    return Result(
        task,
        problem=f"It changes its input {name!r}: work on a copy, the caller still needs the original.",
        case=trial.case,
        expected={name: _as_array(trial.case.inputs[name])},
        got={name: _as_array(trial.after)},
        labels=("Before the call", "After it"),
        printed=trial.call.printed,
        n_cases=n_cases,
    )


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, CONTAINERS):
        return boxed(value)
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def _finish(result: Result, learner: Any, hear: Callable[[str], None] | None) -> Result:
    """All cases passed: run the finale."""
    finale = result.task.finale
    assert finale is not None
    pieces: list[str] = []

    def run(say: Callable[[str], None]) -> None:
        with _guard(()):
            for piece in finale(learner):
                pieces.append(piece)
                say(piece)

    last = call_and_listen(run, FINALE_SECONDS, hear)
    if last.error is None and not last.late:
        return replace(result, detail="".join(pieces) if hear is None else "")
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
        floats = {name: value for name, value in inputs.items() if is_float(value)}
        leaves = {name: value.detach().clone().requires_grad_() for name, value in floats.items()}
    answer = function(*{**inputs, **leaves}.values())
    if task.read is not None:
        return task.read(answer)
    answers = [answer] if len(task.results) == 1 else _several(answer, task.results)
    parts = {name: numbers_of(value, task.tensor) for name, value in zip(task.results, answers, strict=True)}
    return {**parts, **_gradients(answers, leaves)} if leaves else parts


def _several(answer: Any, names: tuple[str, ...]) -> list[Any]:
    if not hasattr(answer, "__len__") or len(answer) != len(names):
        raise WrongForm(f"It must return {len(names)} arrays ({', '.join(names)}), got {describe(answer)}.")
    return list(answer)


def _gradients(answers: list[Any], leaves: Mapping[str, Any]) -> Parts:
    """The gradients of a weighted sum of all results."""
    # Any fixed weights will do: with all ones, the gradient of a row of softmax would vanish.
    weights = [value.new_tensor(np.cos(np.arange(value.numel()))).reshape(value.shape) for value in answers]
    total: Any = sum((value * w).sum() for value, w in zip(answers, weights, strict=True))
    if total.requires_grad:
        total.backward()
    arrived = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {f"gradient of {name}": numbers_of(gradient, True) for name, gradient in arrived.items()}


def not_written(error: BaseException | None) -> bool:
    """Whether an error comes from a stub."""
    return isinstance(error, NotImplementedError) and not error.args  # torch raises it too, with a message


# ------------------------------------------------------------------------------------------------- diagnosing


def diagnose(task: Task, trials: list[_Trial], first: _Trial) -> Misconception | None:
    """The one misconception that gives what the learner's function gives.

    It must explain the first trial that is wrong, and be right where the learner is right. It may leave
    others unexplained, because a learner can make two mistakes at once. Where two fit, and neither explains
    all that the other does and more, neither is named.
    """
    candidates = []
    for misconception in task.misconceptions:
        explained = {i for i, trial in enumerate(trials) if _explains(task, misconception, trial)}
        if trials.index(first) in explained and _convinces(trials, explained):
            candidates.append((explained, misconception))
    best = [
        misconception
        for explained, misconception in candidates
        if all(explained > others for others, other in candidates if other is not misconception)
    ]
    return best[0] if len(best) == 1 else None


def _convinces(trials: list[_Trial], explained: set[int]) -> bool:
    """Whether the explained trials prove anything."""
    if any(trial.right and i not in explained for i, trial in enumerate(trials)):
        return False  # this mistake would have been seen where the learner is right
    wrong = {i for i, trial in enumerate(trials) if not trial.right}
    if any(trials[i].got is not None for i in explained & wrong):
        return 2 * len(explained & wrong) >= len(wrong)  # the same wrong numbers, and not by accident
    # Failures only: the same ones everywhere, and somewhere numbers to compare.
    return len(explained) == len(trials) and any(trial.got is not None for trial in trials)


def _explains(task: Task, misconception: Misconception, trial: _Trial) -> bool:
    """Whether the learner's function did on this case what the misconception does."""
    # Gradients tell only where the results are right: a wrong result has wrong gradients anyway.
    right = trial.prepared.right
    results = {name: right.parts[name] for name in task.results}
    gradients = trial.case.gradients and trial.got is not None and all_agree(trial.got, results, right.slack)
    wrong = trial.prepared.wrong(task, misconception, gradients)
    if wrong is None or trial.got is None:
        return wrong is None and trial.call.error is not None
    # A wrong function may be so sensitive that rounding explains anything: then nothing is explained.
    limit = {name: max(right.slack[name], 1e-3 * largest(value)) for name, value in wrong.parts.items()}
    slack = {name: min(wrong.slack[name], limit[name]) for name in wrong.parts}
    return all_agree(trial.got, wrong.parts, slack)
