"""The check engine: run a learner's function on many inputs, compare, and say what went wrong.

A task is data: inputs, a reference, properties, misconceptions. A misconception is a name, a hint and a wrong
function. Where the learner's results are those of a wrong function, the check can name the mistake instead of
saying that numbers differ.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib.checks.attempt import (
    Attempt,
    Failure,
    as_array,
    attempts,
    bytes_for_text,
    clean_state,
    guard_of,
    parts_of,
)
from course_lib.checks.call import call_and_listen, own_line
from course_lib.checks.compare import Finding, all_agree, first_difference
from course_lib.checks.inputs import other_forms
from course_lib.checks.kinds import Case, Misconception, Result, Task, Wanted
from course_lib.checks.rounding import slack_of
from course_lib.checks.values import (
    Parts,
    WrongForm,
    copied,
    describe,
    largest,
    precision,
    shapes_of,
    to_double,
)

FINALE_SECONDS = 120.0  # a real model on a slow laptop
N_AGAIN = 2  # cases that come a second time
ELSEWHERE_RIGHT = "(That explains all that is wrong; the other inputs come out right.)"

Ask = Callable[[Task, Any, Sequence[Case], float], Iterator[Attempt]]


# -------------------------------------------------------------------------------------------------- preparing


class Prepared:
    """A case with all that does not depend on the learner; computed once for all learners."""

    def __init__(self, task: Task, case: Case, again: bool = False) -> None:
        self.case = case
        self.again = again  # a case of before with other numbers, for a function that keeps something
        wide = {name: to_double(value) for name, value in case.inputs.items()}
        self.right = _wanted(task, task.reference, case, wide)
        _ = self.right.slack  # found now, before a learner's function has run
        self._wrong: dict[tuple[str, bool], Wanted | None] = {}

    def wrong(self, task: Task, misconception: Misconception, gradients: bool) -> Wanted | None:
        """What a misconception gives for this case; None where it fails."""
        key = (misconception.name, gradients)
        if key not in self._wrong:
            case = replace(self.case, gradients=gradients)
            try:
                with guard_of(()):
                    self._wrong[key] = _wanted(task, task.adapt(misconception.wrong), case, case.inputs)
            except Exception:  # a wrong function may fail in any way
                self._wrong[key] = None
        return self._wrong[key]


def _wanted(task: Task, function: Callable[..., Any], case: Case, inputs: Mapping[str, Any]) -> Wanted:
    def run(moved: Mapping[str, Any]) -> Parts:
        return parts_of(task, function, case, moved)

    parts = run({name: copied(value) for name, value in inputs.items()})
    return Wanted(parts, lambda: slack_of(run, inputs, parts, precision(case.inputs)))


@functools.lru_cache(maxsize=64)  # the tasks of a notebook at the three seeds of a grader
def prepare(task: Task, seed: int) -> tuple[Prepared, ...]:
    """The cases of a task for one seed."""
    with clean_state():
        cases = task.cases(np.random.default_rng(seed))
        cases += other_forms(cases) if task.other_forms else []
        first = [Prepared(task, case) for case in cases]
        others = task.cases(np.random.default_rng((seed, 1)))[:N_AGAIN]
        return (*first, *(Prepared(task, case, again=True) for case in others))


# ----------------------------------------------------------------------------------------------------- trying


@dataclass
class _Trial:
    """One case, tried: what came, and what is wrong with it."""

    prepared: Prepared
    attempt: Attempt
    finding: Finding | None

    @property
    def case(self) -> Case:
        return self.prepared.case

    @property
    def got(self) -> Parts | None:
        return self.attempt.got

    @property
    def not_written(self) -> bool:
        return self.attempt.failure is not None and self.attempt.failure.not_written

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
    ask: Ask = attempts,
    finale: bool = True,
    shuffled: bool = False,
) -> Result:
    """Try a learner's function on every case; whatever it does, a result comes back.

    Args:
        task: what to check against.
        learner: the learner's function or class.
        seed: of the random inputs; a hidden test uses another one than the visible check.
        seconds: time limit of each call, instead of the task's own.
        hear: is called with what the finale has to say, as it comes.
        ask: makes attempts at cases. A grader's reaches into a sandbox; `learner` is then a name there.
        finale: run it where all cases have passed.
        shuffled: try the cases in an order that depends on the seed.
    """
    if ask is attempts:
        fits = inspect.isclass(learner) if task.takes == "class" else callable(learner)
        if not fits:
            return Result(
                task, problem=f"The check needs the {task.takes} itself, but got {describe(learner)}."
            )
    seconds = task.seconds if seconds is None else seconds

    def tried(cases: Sequence[Prepared]) -> list[_Trial]:
        made = ask(task, learner, [prepared.case for prepared in cases], seconds)
        return [_trial(task, *both, seconds) for both in zip(cases, made, strict=False)]

    with clean_state():
        cases = _shuffled(task, seed) if shuffled else prepare(task, seed)
        trials = tried(cases)
        result = _judged(task, trials, lambda trial: tried([trial.prepared])[0])
    if result.passed and len(trials) < len(cases):
        return Result(task, problem=f"Only {len(trials)} of {len(cases)} calls came to their end.")
    return _finish(result, learner, hear) if result.passed and finale and task.finale else result


@functools.lru_cache(maxsize=64)
def _shuffled(task: Task, seed: int) -> tuple[Prepared, ...]:
    """The cases in another order, but for those that come again."""
    cases = prepare(task, seed)
    once = [prepared for prepared in cases if not prepared.again]
    order = np.random.default_rng(seed).permutation(len(once))
    return (*(once[i] for i in order), *(prepared for prepared in cases if prepared.again))


def _trial(task: Task, prepared: Prepared, made: Attempt, seconds: float) -> _Trial:
    if made.got is None or made.late or made.failure is not None:
        return _Trial(prepared, made, _failed(task, made, prepared.case, seconds))
    return _Trial(prepared, made, first_difference(task, prepared.case, prepared.right, made.got))


def _failed(task: Task, made: Attempt, case: Case, seconds: float) -> Finding:
    """What to say of a call from which nothing came back."""
    if made.late:
        problem = f"It took longer than {seconds:g} s on inputs of shape {shapes_of(case.inputs)}."
        if made.stuck:
            problem += " It could not be stopped: restart the kernel before you go on."
        if made.line:
            problem += f" It was still at work in {made.line}"
        return Finding(problem)
    failure = made.failure or Failure("nothing", "")
    if failure.not_written:
        return Finding("Not written yet: the function still raises NotImplementedError.")
    if failure.wrong_form:
        return Finding(failure.words)
    problem = f"It stops with {failure.kind}: {failure.words}"
    problem += bytes_for_text(failure.kind, failure.words, case.inputs)
    return Finding(problem, failure.line or f"The check calls it as {task.call}.")


def _judged(task: Task, trials: list[_Trial], again: Callable[[_Trial], _Trial]) -> Result:
    """The one thing to say: a changed input first, then a known mistake, then a forbidden call."""
    changed = next((trial for trial in trials if trial.attempt.changed), None)
    if changed is not None:
        return _changed_input(task, changed, len(trials))
    first = next((trial for trial in trials if not trial.right), None)
    known = None
    if first is not None and not first.attempt.late and not first.not_written:
        known = diagnose(task, trials, first)
    forbidden = next((trial.attempt.forbidden for trial in trials if trial.attempt.forbidden), "")
    if forbidden and known is None:
        problem = f"It calls {forbidden}, which does the task for you: write the steps yourself."
        return Result(task, problem=problem, n_cases=len(trials))
    if first is None or first.finding is None:
        return Result(task, n_cases=sum(not trial.prepared.again for trial in trials))
    return Result(
        task,
        problem=known.hint if known else _unsteady(first, again) or first.finding.problem,
        misconception=known.name if known else "",
        detail=first.finding.detail,
        case=first.case,
        expected=first.prepared.right.parts,
        got=first.got,
        printed=first.attempt.printed,
        n_cases=len(trials),
        not_written=first.not_written,
        late=first.attempt.late,
    )


def _unsteady(trial: _Trial, again: Callable[[_Trial], _Trial]) -> str:
    """A sentence where the function gives now this, now that; else nothing."""
    if trial.got is None:
        return ""
    if trial.prepared.again:
        return (
            "It is right the first time, but not when it is called again with other numbers of the same "
            "shape: does it keep something from one call to the next?"
        )
    second, slack = again(trial), trial.prepared.right.slack
    asked_for = {name: part for name, part in trial.got.items() if name in slack}
    if second.got is not None and all_agree(second.got, asked_for, slack):
        return ""
    if all(map(_is_truth, trial.prepared.right.parts.values())):
        return (
            "Called twice on the same input, it gives two answers: does it try too few random inputs or "
            "orders? One proves little. Try many, and let each of them count."
        )
    return (
        "Called twice on the same input, it gives two results: is something random in it, such as dropout, "
        "or does it keep something from one call to the next?"
    )


def _is_truth(part: np.ndarray) -> bool:
    """Whether an answer is made of truth values, as one that was found by trying is."""
    if part.dtype != object:
        return part.dtype == bool
    values = part.item()
    return isinstance(values, list) and all(isinstance(value, bool) for value in values)


def _changed_input(task: Task, trial: _Trial, n_cases: int) -> Result:
    name, after = trial.attempt.changed, trial.attempt.after
    assert after is not None
    return Result(
        task,
        problem=f"It changes its input {name!r}: work on a copy, the caller still needs the original.",
        case=trial.case,
        expected={name: as_array(trial.case.inputs[name])},
        got={name: after},
        labels=("Before the call", "After it"),
        printed=trial.attempt.printed,
        n_cases=n_cases,
    )


def _finish(result: Result, learner: Any, hear: Callable[[str], None] | None) -> Result:
    """All cases passed: run the finale."""
    finale = result.task.finale
    assert finale is not None
    pieces: list[str] = []

    def run(say: Callable[[str], None]) -> None:
        with guard_of(()):
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
    detail = own_line(last.error) if last.error is not None else last.line
    return replace(result, problem=problem, detail=detail, printed=last.printed)


# ------------------------------------------------------------------------------------------------- diagnosing


def diagnose(task: Task, trials: list[_Trial], first: _Trial) -> Misconception | None:
    """The one misconception that gives what the learner's function gives.

    It must explain the first trial that is wrong, and be right where the learner is right. It may leave
    others unexplained, because a learner can make two mistakes at once. Where there is none, it may be one
    that explains all that is wrong: the learner has then guarded against it elsewhere. Where two fit, and
    neither explains all that the other does and more, neither is named.
    """
    right = {i for i, trial in enumerate(trials) if trial.right}
    wrong = set(range(len(trials))) - right
    candidates, guarded = [], []
    for misconception in task.misconceptions:
        if not _explains(task, misconception, first):
            continue
        explained = {i for i, trial in enumerate(trials) if _explains(task, misconception, trial)}
        if right <= explained and _convinces(trials, explained & wrong, wrong):
            candidates.append((explained, misconception))
        elif explained >= wrong and _repeats(trials, wrong):
            guarded.append((explained, misconception))
    best = [
        misconception
        for explained, misconception in candidates or guarded
        if all(explained > others for others, other in candidates or guarded if other is not misconception)
    ]
    if len(best) != 1:
        return None
    return best[0] if candidates else replace(best[0], hint=f"{best[0].hint} {ELSEWHERE_RIGHT}")


def _convinces(trials: list[_Trial], explained: set[int], wrong: set[int]) -> bool:
    """Whether the wrong trials that are explained prove anything."""
    if any(trials[i].got is not None for i in explained):
        return 2 * len(explained) >= len(wrong)  # the same wrong numbers, and not by accident
    # Failures only: the same ones everywhere, and somewhere numbers to compare.
    return explained == wrong and any(trial.got is not None for trial in trials)


def _repeats(trials: list[_Trial], wrong: set[int]) -> bool:
    """Whether so much is wrong that to give the same wrong numbers each time is no accident."""
    came = [trials[i].got for i in wrong]
    return len(came) > 1 and all(got is not None and not all(map(_is_truth, got.values())) for got in came)


def _explains(task: Task, misconception: Misconception, trial: _Trial) -> bool:
    """Whether the learner's function did on this case what the misconception does."""
    # Gradients tell only where the results are right: a wrong result has wrong gradients anyway.
    right = trial.prepared.right
    results = {name: right.parts[name] for name in task.results}
    gradients = trial.case.gradients and trial.got is not None and all_agree(trial.got, results, right.slack)
    wrong = trial.prepared.wrong(task, misconception, gradients)
    if wrong is None or trial.got is None:
        return wrong is None and trial.attempt.failure is not None
    if not trial.right and all_agree(wrong.parts, right.parts, right.slack):
        return False  # here this mistake is right: what is wrong is something else, such as the dtype
    # A wrong function may be so sensitive that rounding explains anything: then nothing is explained.
    limit = {name: max(right.slack[name], 1e-3 * largest(value)) for name, value in wrong.parts.items()}
    if all_agree(trial.got, wrong.parts, dict.fromkeys(limit, 0.0)):
        return True
    if not all_agree(trial.got, wrong.parts, limit):
        return False  # most mistakes end here: what rounding does to them need not be found
    try:
        with guard_of(()):
            slack = {name: min(wrong.slack[name], limit[name]) for name in wrong.parts}
    except Exception:  # it may fail on inputs that were moved
        return False
    return all_agree(trial.got, wrong.parts, slack)
