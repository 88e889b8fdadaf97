"""Right answers spoiled in ways that belong to no task of its own: each is refused wherever it applies."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from task_cases import VISIBLE, without_finale

from course_lib.checks import engine, tasks
from course_lib.checks.kinds import Task
from course_lib.checks.values import CONTAINERS, is_double, is_float, shapes_of

ARRAYS = (np.ndarray, np.generic, torch.Tensor)


@dataclass
class Seen:
    """A task, and what our answer to it was first called with and gave."""

    task: Task
    given: tuple[Any, ...] = ()
    result: Any = None

    @property
    def gradients(self) -> bool:
        return any(prepared.case.gradients for prepared in engine.prepare(self.task, VISIBLE))


@dataclass(frozen=True)
class Way:
    """How an answer is spoiled.

    Args:
        name: what is wrong then.
        applies: whether that is wrong in a task.
        wrapper: makes what is called in the answer's place, with the answer and what it is given.
        but: tasks in which it is right all the same.
    """

    name: str
    applies: Callable[[Seen], Any]
    wrapper: Callable[[], Callable[..., Any]]
    but: tuple[str, ...] = ()


def see(name: str) -> Seen:
    """Call our answer to a task on its first case."""
    seen = Seen(without_finale(name))

    def listening(answer, *given, **named):
        result = answer(*given, **named)
        if not seen.given:
            seen.given, seen.result = given, result
        return result

    first = engine.prepare(seen.task, VISIBLE)[0].case
    seen.task.adapt(around(tasks.exercise(name).answer, listening))(*first.inputs.values())
    return seen


def spoiled(name: str) -> dict[str, Any]:
    """Our answer to a task in each way that applies, by what is wrong with it."""
    seen, answer = see(name), tasks.exercise(name).answer
    ways = [way for way in WAYS if name not in way.but and way.applies(seen)]
    return {way.name: around(answer, way.wrapper()) for way in ways}


def around(answer, wrapper):
    """The answer within a wrapper; of a layer its forward pass."""
    if not inspect.isclass(answer):
        return functools.partial(wrapper, answer)

    def forward(self, *given, **named):
        return wrapper(functools.partial(answer.forward, self), *given, **named)

    return type(answer.__name__, (answer,), {"forward": forward})


# ------------------------------------------------------------------------------------------------- what comes


def of_result(change):
    """Change what the answer gives."""

    def wrapper(answer, *given, **named):
        return change(answer(*given, **named))

    return lambda: wrapper


def of_each_array(change):
    """Change each array of what the answer gives."""

    def changed(result):
        if isinstance(result, tuple | list):
            return type(result)(map(changed, result))
        return change(result) if isinstance(result, ARRAYS) else result

    return of_result(changed)


def narrow(x):
    if not is_float(x):
        return x
    return x.half() if isinstance(x, torch.Tensor) else x.astype(np.float16)


def single(x):
    if not is_double({"": x}):
        return x
    return x.float() if isinstance(x, torch.Tensor) else x.astype(np.float32)


def arrays(result):
    if isinstance(result, tuple | list):
        return [array for one in result for array in arrays(one)]
    return [result] if isinstance(result, ARRAYS) else []


def has_floats(seen):
    return any(map(is_float, arrays(seen.result)))


# ------------------------------------------------------------------------------------------- what it is given


def overwriting():
    def wrapper(answer, *given, **named):
        result = answer(*given, **named)
        for value in given:
            if isinstance(value, list):
                value.append(None)
            elif isinstance(value, CONTAINERS):
                value.clear()
            elif isinstance(value, ARRAYS):
                with torch.no_grad():
                    value[...] = 0
        return result

    return wrapper


def takes_floats(seen):
    return has_floats(seen) and seen.task.other_forms and any(map(is_float, seen.given))


def keeping():
    """What came first for inputs of these shapes."""
    known: dict[str, Any] = {}

    def wrapper(answer, *given, **named):
        return known.setdefault(shapes_of(dict(enumerate(given))), answer(*given, **named))

    return wrapper


def can_be_overwritten(seen):
    return any(isinstance(value, ARRAYS + CONTAINERS) for value in seen.given)


def arrays_and_numbers(seen):
    """Not a list, a layer or a generator: other ones of the same shapes come in each case."""
    kinds = [isinstance(value, ARRAYS) for value in seen.given]
    return any(kinds) and all(isinstance(value, (*ARRAYS, int, float)) for value in seen.given)


# Pictures and sounds are cut before anything learns, and a model that is ready only runs.
WITHOUT_TRAINING = (
    "02_patches/split_channels",
    "02_patches/patchify",
    "02_patches/unpatchify",
    "02_patches/neighbours_alike",
    "02_patches/frames",
    "02_patches/log_spectrum",
    "03_qkv/real_model",
    "07_mlm_vs_next_token/shift_targets",
    "09_real_models/extend_cache",
    "09_real_models/grouped_attention",
    "09_real_models/next_probabilities",
)

WAYS = (
    Way("nothing returned", lambda seen: seen.result is not None, of_result(lambda result: None)),
    Way(
        "an axis too many",
        lambda seen: arrays(seen.result),
        of_each_array(lambda x: x[None]),
        but=("01_tokens/neighbours", "06_residuals/skip_layer"),  # a number in brackets is read as a number
    ),
    Way("a thousandth too large", has_floats, of_each_array(lambda x: x * 1.001 if is_float(x) else x)),
    Way("digits lost", has_floats, of_each_array(narrow)),
    Way("float32 where float64 came", takes_floats, of_each_array(single)),
    Way("no tensor", lambda seen: seen.task.tensor, of_each_array(lambda x: x.detach().numpy())),
    Way(
        "no graph",
        lambda seen: seen.task.tensor or seen.gradients,
        of_each_array(lambda x: x.detach()),
        but=WITHOUT_TRAINING,
    ),
    Way("inputs overwritten", can_be_overwritten, overwriting),
    Way("the first result kept", arrays_and_numbers, keeping),
)
