"""What a function may change in what it is given: numbers of modules, places of generators, lists, arrays."""

import contextlib
import random
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from course_lib.checks.values import CONTAINERS, same


def can_change(value: Any) -> bool:
    """Whether a function could leave other contents in something than there were."""
    kinds = (*CONTAINERS, random.Random, np.random.Generator)
    return isinstance(value, kinds) or hasattr(value, "shape") or _has_state(value)


def _has_state(value: Any) -> bool:
    return hasattr(value, "state_dict") or _is_torch_generator(value)


def state_of(value: Any, before: Any) -> Any:
    """What has become of something that a function was given, as plain values.

    Args:
        value: what the function was given.
        before: a copy from before, as `copied` makes it.
    Returns: the numbers of a module, or the place of a generator; of lists, dictionaries, sets and arrays
        their contents where they have changed; None for anything else.
    """
    if hasattr(value, "state_dict"):
        frozen = [name for name, weight in value.named_parameters() if not weight.requires_grad]
        training = [module.training for module in value.modules()]
        return {"numbers": dict(value.state_dict()), "frozen": frozen, "training": training}
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    if _is_torch_generator(value):
        return value.get_state().numpy()  # whoever has no torch can read it, too
    return None if same(value, before) else value


def restore(value: Any, state: Any) -> None:
    """Put something into a state that `state_of` gave.

    Raises: ValueError: it is not the state of such a thing.
    """
    try:
        _restore(value, state)
    except (TypeError, RuntimeError, AttributeError, LookupError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no state of {type(value).__name__}: {error}") from None


def _restore(value: Any, state: Any) -> None:
    if value is None or state is None or value is state:
        return
    if hasattr(value, "load_state_dict"):
        _restore_module(value, state)
    elif isinstance(value, random.Random):
        value.setstate(state)
    elif isinstance(value, np.random.Generator | np.random.RandomState):
        _restore_numpy(value, state)
    elif _is_torch_generator(value):
        value.set_state(sys.modules["torch"].from_numpy(np.array(state)))
    elif type(value) is not type(state):
        raise ValueError(f"it is a {type(state).__name__}")
    elif isinstance(value, dict | set | list | deque | bytearray):
        value.clear()
        (value.update if isinstance(value, dict | set) else value.extend)(state)
    elif value.shape != state.shape or value.dtype != state.dtype:
        raise ValueError(f"it has shape {tuple(state.shape)} and dtype {state.dtype}")
    else:
        (value.data if hasattr(value, "detach") else value)[...] = state


def _restore_numpy(value: Any, state: dict[str, Any]) -> None:
    """The place of a generator: NumPy takes any, and would read outside of its memory."""
    came, ours = ({**one, **one["state"]} for one in (state, state_of(value, None)))
    for place, numbers in (("pos", "key"), ("buffer_pos", "buffer")):
        if place in ours and not 0 <= came[place] <= len(ours[numbers]):
            raise ValueError(f"{place} is {came[place]!r:.60}")
    if isinstance(value, np.random.Generator):
        value.bit_generator.state = state
    else:
        value.set_state(state)


def _restore_module(value: Any, state: Any) -> None:
    """The numbers, of which kind they are, and which of them cannot learn."""
    numbers, frozen = state["numbers"], state["frozen"]
    value.load_state_dict(numbers)
    for module, training in zip(value.modules(), state["training"], strict=True):
        module.training = training is True
    for name, weight in value.named_parameters():
        weight.requires_grad_(name not in frozen)
        if name in numbers:
            weight.data = weight.data.to(numbers[name].dtype)


def draws() -> list[Any]:
    """The generators from which functions draw that are given none: Python's, NumPy's, torch's or None."""
    torch = sys.modules.get("torch")
    theirs = None if torch is None else torch.default_generator
    return [random._inst, np.random.mtrand._rand, theirs]


def seed(number: int = 0) -> None:
    """Set what code draws from that names no generator."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(number)


@contextlib.contextmanager
def seeded(number: int | None) -> Iterator[None]:
    """Within, what is drawn is drawn from a seed, if there is one; afterwards all goes on as before."""
    before = [state_of(one, None) for one in draws()]
    if number is not None:
        seed(number)
    yield
    if number is not None:
        for generator, state in zip(draws(), before, strict=True):
            restore(generator, state)


def _is_torch_generator(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)
