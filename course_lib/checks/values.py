"""Numbers, whoever made them: NumPy, torch or plain lists; equal up to rounding or not."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

# The numbers of an answer by name: the results, then the gradients where a case asks for them.
Parts = dict[str, np.ndarray]


class WrongForm(Exception):
    """The answer cannot even be compared; the message says what came and what was expected."""


def numbers_of(value: Any, tensor: bool) -> np.ndarray:
    """What a function returned as an array; `tensor`: it must be a torch tensor.

    Raises: WrongForm: it is not made of numbers.
    """
    if value is None:
        raise WrongForm("It returns None: is the `return` missing?")
    if tensor and not hasattr(value, "detach"):
        raise WrongForm(
            f"It must return a torch.Tensor, so that gradients can flow, but got {describe(value)}."
        )
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        numbers = np.array(value)
    except ValueError:  # nested lists of unequal length
        numbers = np.array(None)
    if numbers.dtype.kind not in "biuf":
        raise WrongForm(f"It must return numbers, but got {describe(value)}.")
    return numbers


def agree(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    """Whether two arrays are equal up to rounding; NaN equals NaN."""
    return a.shape == b.shape and bool(close(a, b, slack).all())


def close(a: np.ndarray, b: np.ndarray, slack: float) -> np.ndarray:
    """Where two arrays of one shape are equal up to rounding."""
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        return np.asarray(a == b)
    return np.asarray(np.isclose(a.astype(float), b.astype(float), rtol=0, atol=slack, equal_nan=True))


def largest(value: np.ndarray) -> float:
    """The largest finite size in an array; 0 if there is none."""
    finite = np.abs(value[np.isfinite(value)]) if value.dtype.kind == "f" else np.zeros(0)
    return float(finite.max(initial=0.0))


def is_float(value: Any) -> bool:
    """Whether a value is an array or tensor of floats."""
    return hasattr(value, "dtype") and "float" in str(value.dtype)


def precision(inputs: Mapping[str, Any]) -> float:
    """The machine epsilon of the inputs: 2^-23 for float32, 2^-52 for float64."""
    double = any(str(getattr(value, "dtype", "")).endswith("float64") for value in inputs.values())
    return 2.0**-52 if double else 2.0**-23


def to_double(value: Any) -> Any:
    """A copy in float64, where it holds floats."""
    if not is_float(value):
        return copy.deepcopy(value)
    return value.double() if hasattr(value, "detach") else value.astype(np.float64)


def nudge(value: Any, step: float, rng: np.random.Generator) -> Any:
    """Every float moved by at most `step` times its size."""
    if not is_float(value):
        return value
    noise = 1 + step * rng.uniform(-1, 1, tuple(value.shape))
    return (
        value * value.new_tensor(noise) if hasattr(value, "detach") else (value * noise).astype(value.dtype)
    )


def same(a: Any, b: Any) -> bool:
    """Whether an input is still what it was, bit for bit."""
    if not hasattr(a, "shape"):
        return a is b or bool(a == b)
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
    )


def shapes_of(inputs: Mapping[str, Any]) -> str:
    """The shapes of some inputs, in words."""
    return ", ".join(
        f"{name} {tuple(v.shape)}" if hasattr(v, "shape") else f"{name} {v!r}" for name, v in inputs.items()
    )


def describe(value: Any) -> str:
    """What a value is, in a few words.

    Example:
        >>> describe(3.5), describe(np.zeros((2, 3)))
        ('3.5 (float)', 'an array of shape (2, 3) (ndarray)')
    """
    kind = type(value).__name__
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)} ({kind})"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"
