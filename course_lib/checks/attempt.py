"""One call of a learner's function on one case, and what became of it.

Nothing here knows what is right. So a grader can do this where a submission's code is locked in, and compare
what came where the references are.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.checks.call import Call, call, own_line
from course_lib.checks.values import (
    CONTAINERS,
    Parts,
    WrongForm,
    boxed,
    copied,
    describe,
    is_float,
    numbers_of,
    same,
)

if TYPE_CHECKING:
    from course_lib.checks.kinds import Case, Task


Caller = Callable[[Callable[[], Any], float], Call]


@dataclass(frozen=True)
class Failure:
    """An error in words, because the error itself may hold anything."""

    kind: str  # the name of its class
    words: str
    line: str = ""  # the learner's own line
    wrong_form: bool = False  # the answer came, but is not made of what was asked for
    not_written: bool = False  # it comes from a stub


@dataclass(frozen=True)
class Attempt:
    """What became of one call."""

    got: Parts | None = None
    failure: Failure | None = None
    printed: str = ""
    late: bool = False
    stuck: bool = False  # late, and could not be stopped
    line: str = ""  # late, and in this line of the learner's own
    changed: str = ""  # the input that is no longer what it was
    after: np.ndarray | None = None  # what it is now
    forbidden: str = ""  # the forbidden routine that was called

    @property
    def is_last(self) -> bool:
        """Whether more attempts would only take time: it was late, or nothing is written yet."""
        return self.late or (self.failure is not None and self.failure.not_written)


DEFAULTS = {field.name: field.default for field in fields(Attempt)}


def attempts(task: "Task", learner: Any, cases: Sequence["Case"], seconds: float) -> Iterator[Attempt]:
    """Attempts at some cases, one after the other, up to one that is the last."""
    for case in cases:
        made = attempt(task, learner, case, seconds, call)
        yield made
        if made.is_last:
            return


def attempt(task: "Task", learner: Any, case: "Case", seconds: float, call: Caller) -> Attempt:
    """Call a learner's function on copies of a case's inputs; whatever it does, an attempt comes back.

    Args:
        task: says how to call it and how to read what it returns.
        learner: the function or class.
        case: the inputs.
        seconds: time limit.
        call: runs it and keeps the limit, as `checks.call.call`.
    """
    given = {name: copied(value) for name, value in case.inputs.items()}
    guard = guard_of(task.forbidden)

    def run() -> Parts:
        with clean_state(), guard:  # switches are for one thread only, and this is another
            return parts_of(task, task.adapt(learner), case, given)

    outcome = call(run, seconds)
    forbidden = getattr(guard, "called", "")
    if outcome.late:
        return Attempt(
            printed=outcome.printed,
            late=True,
            stuck=outcome.stuck,
            line=outcome.line,
            forbidden=forbidden,
        )
    if outcome.error is not None:
        return Attempt(failure=failure_of(outcome.error), printed=outcome.printed, forbidden=forbidden)
    changed = next((name for name in given if not same(given[name], case.inputs[name])), "")
    return Attempt(
        got=outcome.value,
        printed=outcome.printed,
        changed=changed,
        after=as_array(given[changed]) if changed else None,
        forbidden=forbidden,
    )


def parts_of(task: "Task", function: Callable[..., Any], case: "Case", inputs: Mapping[str, Any]) -> Parts:
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


def as_array(value: Any) -> np.ndarray:
    """An input as an array; a list, a dictionary or a set stands in a box."""
    if isinstance(value, CONTAINERS):
        return boxed(value)
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


# ------------------------------------------------------------------------------------------- errors in words


class Reported(Exception):
    """An error that was put into words where it arose, in another process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.words)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """What there is to say of an error."""
    if isinstance(error, Reported):
        return error.failure
    return Failure(
        kind=type(error).__name__,
        words=said_by(error),
        line=own_line(error),
        wrong_form=isinstance(error, WrongForm),
        not_written=not_written(error),
    )


def said_by(error: BaseException) -> str:
    """The text of an error; a learner's own error may fail to give one."""
    try:
        return str(error)
    except Exception:
        return "(an error without words)"


def bytes_for_text(kind: str, words: str, inputs: Mapping[str, Any]) -> str:
    """A sentence where an error says that a table has no such text, and it has the bytes of that text."""
    tables = {name: value for name, value in inputs.items() if isinstance(value, dict)}
    for name, table in tables.items() if kind == "KeyError" else ():
        for key in table:
            if isinstance(key, bytes) and repr(key.decode(errors="replace")) == words:
                return f". The keys of {name!r} are bytes: it has {key!r}."
    return ""


def not_written(error: BaseException | None) -> bool:
    """Whether an error comes from a stub."""
    return isinstance(error, NotImplementedError) and not error.args  # torch raises it too, with a message


# ----------------------------------------------------------------------------------- around a learner's code


@contextlib.contextmanager
def clean_state() -> Iterator[None]:
    """The switches of NumPy and torch as the check needs them, whatever the notebook has done to them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        if "torch" in sys.modules:
            from course_lib.checks import guard  # here, because a NumPy task does not need torch

            stack.enter_context(guard.clean_state())
        yield


def guard_of(forbidden: tuple[str, ...]) -> AbstractContextManager[Any]:
    """What keeps an eye on torch, where torch is there."""
    if "torch" not in sys.modules:
        return contextlib.nullcontext()
    from course_lib.checks.guard import Guard

    return Guard(forbidden)
