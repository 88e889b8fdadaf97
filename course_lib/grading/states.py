"""What a function may change in what it is given: the numbers of modules, the places of random generators."""

import random
import sys
from typing import Any

import numpy as np


def state_of(value: Any) -> Any:
    """The state of a module or a generator as plain values; None for anything else."""
    if hasattr(value, "state_dict"):
        return dict(value.state_dict())
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if _is_torch_generator(value):
        return value.get_state()
    return None


def restore(value: Any, state: Any) -> None:
    """Put a module or a generator into a state.

    Raises: ValueError: it is not the state of such a thing.
    """
    try:
        if hasattr(value, "load_state_dict"):
            value.load_state_dict(state)
        elif isinstance(value, random.Random):
            value.setstate(state)
        elif isinstance(value, np.random.Generator):
            value.bit_generator.state = state
        elif _is_torch_generator(value):
            value.set_state(state)
    except (TypeError, RuntimeError, AttributeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no state of {type(value).__name__}: {error}") from None


def _is_torch_generator(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)
