"""Whether a learner's part does in the real model what the course's does there; if not, where and why."""

import inspect
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from course_lib.checks import examine, forms, tasks
from course_lib.checks.attempt import bytes_for_text, not_written, said_by
from course_lib.checks.call import Call, call, own_line
from course_lib.checks.guard import Guard, MadeNan, NanFinder, clean_state, has_nan
from course_lib.checks.kinds import Misconception, Task
from course_lib.checks.values import WrongForm, copied, describe, same
from course_lib.concepts.c09_real_models.capstone.parts import Weights, WrongKind, as_vectors, lent
from course_lib.concepts.c09_real_models.capstone.recording import FURTHEST, Use
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

Tensor = torch.Tensor

# What the axes of a part's result are called, from the last one back; a first axis of 1 has no name.
AXES = {
    "embedding": ("number", "token"),
    "rms_norm": ("number", "token"),
    "rotation": ("number", "token", "head"),
    "attention": ("number", "token", "head"),
    "mlp": ("number", "token"),
    "block": ("number", "token"),
    "forward": ("number", "token", "key head"),  # of what is stored
    "logits": ("token of the vocabulary", "token"),
    "cache": ("number", "token", "key head"),
    "sampler": ("token",),
}
# What a part must return that gives more than one tensor.
SEVERAL = {
    "cache": "two tensors, the keys and the values",
    "forward": "the logits, and for each layer a pair of keys and values",
}


@dataclass(frozen=True)
class Judgement:
    """What was found about one part. `problem` is empty when all is well."""

    part: str
    given: bool = True  # by the learner
    written: bool = True  # no stub
    n_uses: int = 0
    off: float = 0.0  # the largest difference, as a share of the largest number of its vector
    problem: str = ""
    where: str = ""  # of the first difference
    misconception: str = ""
    detail: str = ""
    audible: bool = True  # what is wrong can be heard: it is a function, and comes to its end
    kept: bool = False  # it speaks, though it is wrong
    before: bool = False  # found right by an earlier call

    @property
    def yours(self) -> bool:
        """Whether the part is the learner's and right."""
        return self.given and self.written and not self.problem

    @property
    def wrong(self) -> bool:
        """Whether the learner wrote it, and it is not right."""
        return self.given and self.written and bool(self.problem)

    def __str__(self) -> str:
        name = f"{self.part} ({PARTS[self.part].function})"
        if self.yours:
            return f"✓ {name}: yours, in {self.measured}"
        place = f"In {self.where}: " if self.where.startswith("layer") else f"{self.where}: "
        lines = [f"✗ {name}: {place if self.where else ''}{self.problem}", self.detail]
        used = "The faulty part stays in, as you asked." if self.kept else "The course's is used."
        return "\n    ".join([line for line in lines if line] + [used])

    @property
    def measured(self) -> str:
        """How often the part was used, and how far it is off."""
        off = "all tokens the same" if self.part == "tokenizer" else share_of(self.off)
        return f"{self.n_uses} uses, {off}"


def share_of(off: float) -> str:
    """A small share as a person reads it.

    Example:
        >>> share_of(1.2e-7), share_of(0.00034), share_of(0.0)
        ('off by 1 in 8 million', 'off by 1 in 3,000', 'no difference')
    """
    if not off:
        return "no difference"
    n = float(f"{1 / off:.1g}")
    return f"off by 1 in {n / 1e6:,.0f} million" if n >= 1e6 else f"off by 1 in {n:,.0f}"


def judge(part: str, learner: Any, uses: Sequence[Use], seconds: float) -> Judgement:
    """Give a learner's part what the course's got, and compare what comes out."""
    if not callable(learner):
        problem = f"it must be a function, given without parentheses, but is {describe(learner)}."
        return Judgement(part, problem=problem, audible=False)
    task = tasks.task(PARTS[part].task)
    kept: list[Any] = []  # results as they came, and copies of them
    n_uses, off = 0, 0.0
    for number, use in enumerate(uses):
        judged, result, how_far = _tried(part, learner, use, task.forbidden, seconds)
        if judged is not None and result is not None:
            failed = isinstance(result, BaseException)
            known = None if failed else diagnosed(task, learner, uses, number, seconds)
            known = known or named_by_check(task, learner, seconds)
            if known is not None:
                judged = replace(judged, problem=known.hint, misconception=known.name)
            elif not failed:
                judged = _explained(judged, learner, use, result, seconds)
        if judged is None and number < 8:
            kept.append((use, result, [copied(value) for value in _several(part, result).values()]))
        if judged is None:
            judged = _overwritten(part, kept)
        if judged is not None:
            return judged
        if use.furthest == FURTHEST:  # far away, where more is rounded, it is compared but not reported
            n_uses, off = n_uses + 1, max(off, how_far)
    return Judgement(part, n_uses=n_uses, off=off)


def _tried(
    part: str, learner: Any, use: Use, forbidden: tuple[str, ...], seconds: float
) -> tuple[Judgement | None, Any, float]:
    """One use: what is wrong with it, what came, or its error, how far it is off."""
    given = tuple(map(lent, use.given))
    guard = Guard(forbidden)

    def run() -> Any:
        with clean_state(), torch.no_grad(), guard:  # switches are for one thread only, and this is another
            result = _read(part, learner(*given))
            _refuse_default_dtype()
            return result

    def wrong(problem: str, detail: str = "") -> Judgement:
        return Judgement(part, problem=problem, where=use.where, detail=detail)

    outcome = call(run, seconds)
    if outcome.late:
        stuck = " It could not be stopped: restart the kernel before you go on." if outcome.stuck else ""
        return replace(wrong(f"it took longer than {seconds:g} s.{stuck}"), audible=False), None, 0.0
    if outcome.error is not None:
        if _is_stub(outcome.error, learner):
            return Judgement(part, written=False), None, 0.0
        inputs = dict(zip(PARTS[part].arguments, use.given, strict=True))
        problem = _stopped(outcome.error)
        problem += bytes_for_text(type(outcome.error).__name__, said_by(outcome.error), inputs)
        return wrong(problem, own_line(outcome.error)), outcome.error, 0.0
    changed = next(
        (i for i, value in enumerate(given) if value is not use.given[i] and not same(value, use.given[i])),
        None,
    )
    if changed is not None:
        name = PARTS[part].arguments[changed]
        return wrong(f"it changes its input {name!r}: work on a copy, the model still needs it."), None, 0.0
    if guard.called:
        return wrong(f"it calls {guard.called}, which does the work: write the steps yourself."), None, 0.0
    try:
        off, detail = difference(part, use, outcome.value)
    except WrongForm as error:  # of a wrong kind no known mistake is the reason
        return wrong(str(error)), None if isinstance(error, WrongKind) else outcome.value, 0.0
    if detail:
        return wrong("another result than the course's.", detail), outcome.value, off
    return None, outcome.value, off


def difference(part: str, use: Use, got: Any) -> tuple[float, str]:
    """How far a result is off, and the first place where it is too far.

    Raises: WrongForm: it cannot be compared.
    """
    if part == "tokenizer":
        return 0.0, _other_tokens(use.right, forms.contents(got)["result"].item())
    rights, gots, largest = _several(part, use.right), _several(part, got), 0.0
    if rights.keys() != gots.keys():
        raise WrongForm(f"it must return {SEVERAL[part]}, but got {_what(got)}.")
    for name, right in rights.items():
        right, came = _numbers(right), as_tensor(part, name, right, gots[name])
        share = (came.double() - right).abs() / scale_of(right)
        largest = max(largest, float(share.max()) if share.numel() else 0.0)
        wrong = (share > use.furthest).nonzero()
        if len(wrong):
            where = tuple(int(i) for i in wrong[0])
            n_wrong = f"{len(wrong):,} of {right.numel():,} numbers are off"
            place = ", ".join(filter(None, (name, _place(part, name, where))))
            return (
                largest,
                f"First at {place}: expected {right[where]:.6g}, got {came[where]:.6g}; {n_wrong}.",
            )
    return largest, ""


def scale_of(right: Tensor) -> Tensor:
    """The largest number of each vector, which lie along the last axis, to measure a difference by.

    Of a vector of next to nothing a thousandth of the largest number of all: there, rounding is all there is.

    Example:
        >>> scale_of(torch.tensor([[2.0, -50.0], [3.0, 1.0], [0.0, 0.0]])).flatten().tolist()
        [50.0, 3.0, 0.05]
    """
    sizes = right.where(right.isfinite(), 0.0).abs().double()
    return sizes.amax(-1, keepdim=True).clamp(min=max(1e-3 * float(sizes.max()), 1e-30))


def as_tensor(part: str, name: str, right: Any, came: Any) -> Tensor:
    """What came as a tensor of the right kind and shape.

    Raises: WrongForm: it is of another.
    """
    what = f"the {name}" if name else "the result"
    has, is_in, holds = ("have", "are in", "hold") if name else ("has", "is in", "holds")
    if came is None and not name:
        raise WrongKind("it returns None: is the `return` missing?")
    if part == "embedding":
        came = as_vectors(came)
    if not isinstance(came, Tensor):
        raise WrongKind(f"{what} must be a torch.Tensor, but is {_what(came)}.")
    if came.device.type != "cpu" or came.layout != torch.strided:
        raise WrongKind(f"{what} must be a plain tensor on the CPU, but is {came.layout} on {came.device}.")
    if came.shape != right.shape:
        raise WrongForm(f"{what} {has} shape {tuple(came.shape)}, expected {tuple(right.shape)}.")
    if came.dtype != torch.float32:
        raise WrongKind(f"{what} {is_in} {came.dtype}, expected torch.float32, as the inputs are.")
    bad = (~came.isfinite()).nonzero()
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise WrongForm(f"{what} {holds} {came[where]} at {_place(part, name, where)}.")
    return came


def _numbers(value: Any) -> Tensor:
    """A result as a tensor; a copy of an array, which may be a view of one that nobody may write into."""
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else torch.as_tensor(value)


def _refuse_default_dtype() -> None:
    """Raises: WrongForm: another one than float32 was set, for all that follows."""
    dtype = torch.get_default_dtype()
    if dtype != torch.float32:
        raise WrongForm(
            f"it leaves torch.set_default_dtype at {dtype}, in which all other parts would compute too: give "
            "its own tensors a dtype instead."
        )


def _several(part: str, result: Any) -> dict[str, Any]:
    """The results of a part by name; one that gives a single tensor gives it without a name."""
    if part == "cache" and _is_pair(result):
        return dict(zip(("keys", "values"), result, strict=True))
    if part == "forward" and isinstance(result, tuple | list) and len(result) == 2:
        logits, pairs = result
        # What is wrong in a layer shows in what the next one stores, before it shows in the logits.
        found = {
            f"{name} of layer {layer}": tensor
            for layer, pair in enumerate(pairs if isinstance(pairs, tuple | list) else [])
            for name, tensor in zip(("keys", "values"), pair if _is_pair(pair) else [], strict=False)
        }
        return found | {"logits": logits}
    return {"": result}


def _is_pair(value: Any) -> bool:
    """Whether these are two tensors, or both in one."""
    if isinstance(value, Tensor):
        return value.ndim == 5 and len(value) == 2
    return isinstance(value, tuple | list) and len(value) == 2


def _read(part: str, result: Any) -> Any:
    """A result whose numbers are there: to be called where an error or a loop of the learner's is caught."""
    if part == "tokenizer" and not isinstance(result, list | None):  # of a list a later call may change
        return forms.contents(result)["result"].item()
    if part == "embedding" and isinstance(result, tuple | list):
        return np.array(result)
    return result


def _what(value: Any) -> str:
    """As `describe`, but of lists and tuples only how long they are."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of length {len(value)}"
    return describe(value)


def _place(part: str, name: str, where: tuple[int, ...]) -> str:
    """Such as 'head 3, token 7, number 0'; all are counted from 0."""
    axes = zip(AXES.get(name, AXES[part]), reversed(where), strict=False)
    return ", ".join(f"{axis} {i}" for axis, i in reversed(list(axes)))


def _raised_in(error: BaseException) -> Any:
    """The code in which an error arose."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code


def _is_stub(error: BaseException, learner: Any) -> bool:
    """Whether the part itself is not written, rather than a helper that it calls."""
    own = getattr(inspect.unwrap(learner), "__code__", None)
    return not_written(error) and own in (None, _raised_in(error))


def _stopped(error: BaseException) -> str:
    """What to say of an error in a part."""
    if not_written(error):
        return f"it calls `{_raised_in(error).co_name}`, which is not written yet."
    if isinstance(error, WrongForm):
        return str(error)
    return f"it stops with {type(error).__name__}: {said_by(error)}"


def _other_tokens(right: list[int], got: Any) -> str:
    """The first token that is another; nothing where all are the same."""
    if got == right:
        return ""
    if not isinstance(got, list):
        raise WrongForm(f"it must return a list of ids, but got {describe(got)}.")
    i = next(
        (i for i, (a, b) in enumerate(zip(right, got, strict=False)) if a != b), min(len(right), len(got))
    )
    wanted, came = ([*map(repr, ids), "nothing"][min(i, len(ids))] for ids in (right, got))
    return f"First at token {i} of {len(right)}: expected {wanted}, got {came}."


def _overwritten(part: str, kept: list[Any]) -> Judgement | None:
    """Whether a later call has changed what an earlier one gave."""
    for use, result, before in kept:
        if not all(map(same, _several(use.part, result).values(), before)):
            problem = (
                "a later call changes what this one returned: does it write into something that it keeps? "
                "Return new tensors."
            )
            return Judgement(part, problem=problem, where=use.where)
    return None


def diagnosed(task: Any, learner: Any, uses: Sequence[Use], first: int, seconds: float) -> Any:
    """The one known mistake that gives what the learner's part gives; None where none or several do.

    It must be right where the part is right, before the first difference, and wrong as it is there, on a few
    uses after, and on some far from it: two mistakes may be the same until a cache is in use.
    """
    near = [*uses[max(0, first - 3) : first + 3], *uses[first + 3 :: 1 + len(uses) // 5]]
    tried = [(use, _result(learner, use, seconds)) for use in near]
    found = []
    for known in task.misconceptions:
        is_right = True  # in this model
        for use, came in tried:
            wrong = _called(known.wrong, use, seconds, nullcontext(), lend=_lent_to_ours).value
            if not _agrees(use, wrong, came):
                break
            is_right = is_right and _agrees(use, wrong, use.right)
        else:
            if not is_right:
                found.append(known)
    return found[0] if len(found) == 1 else None


def named_by_check(task: Task, learner: Any, seconds: float) -> Misconception | None:
    """The known mistake that the task's own check finds: its inputs tell some apart that a model does not."""
    name = examine(task, learner, seconds=seconds, finale=False).misconception
    return next((known for known in task.misconceptions if known.name == name), None)


def _explained(judged: Judgement, learner: Any, use: Use, result: Any, seconds: float) -> Judgement:
    """Two reasons that show when it is called again: it keeps something, or makes NaN on the way."""
    part = judged.part
    if _agrees(use, result, result) and not _agrees(use, result, _result(learner, use, seconds)):
        problem = (
            "called twice with the same input, it gives two results: does it keep something from one call to "
            "the next, in a global or a default argument, or draw at random?"
        )
        its_own = " All that is stored comes in, and goes out: it needs no store of its own."
        return replace(judged, problem=problem + its_own * (part == "cache"))
    if any(map(has_nan, _several(part, result).values())):
        error = _called(learner, use, seconds, NanFinder()).error
        if isinstance(error, MadeNan):
            return replace(judged, problem=f"{judged.problem} {error}.", detail=own_line(error))
    return judged


def _result(function: Callable[..., Any], use: Use, seconds: float) -> Any:
    return _called(function, use, seconds, nullcontext()).value


def _lent_to_ours(value: Any) -> Any:
    """As `lent`, but the weights of a model, which are large, go to our own functions as they are."""
    return value if isinstance(value, Weights) else lent(value)


def _called(
    function: Callable[..., Any],
    use: Use,
    seconds: float,
    looking_on: AbstractContextManager[Any],
    lend: Callable[[Any], Any] = lent,
) -> Call:
    given = tuple(map(lend, use.given))

    def run() -> Any:
        with clean_state(), torch.no_grad(), looking_on:
            return _read(use.part, function(*given))

    return call(run, seconds)


def _agrees(use: Use, wrong: Any, came: Any) -> bool:
    """Whether two results are the same up to rounding; what failed is like nothing."""
    if wrong is None or came is None:
        return False
    if use.part == "tokenizer":
        return bool(forms.contents(wrong)["result"].item() == forms.contents(came)["result"].item())
    several, others = _several(use.part, wrong), _several(use.part, came)
    try:
        return several.keys() == others.keys() and all(
            _close(_numbers(several[name]), _numbers(others[name]), use.furthest) for name in several
        )
    except (TypeError, ValueError, RuntimeError):  # not even numbers
        return False


def _close(a: Tensor, b: Tensor, furthest: float) -> bool:
    """Whether two tensors are the same, up to a share of the largest number of each vector."""
    if a.shape != b.shape or not a.numel():
        return a.shape == b.shape
    near = (a.double() - b.double()).abs() <= furthest * scale_of(a)
    return bool((near | (a == b) | (a.isnan() & b.isnan())).all())
