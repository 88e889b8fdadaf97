"""Numbers, whoever made them: NumPy, torch or plain lists; equal up to rounding or not."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The numbers of an answer by name: the results, then the gradients where a case asks for them.
# What is no number, such as a list of tokens, stands in a box (see `boxed`).
Parts = dict[str, np.ndarray]

SINGLE = 2.0**-23  # the machine epsilon of float32
# For float64 inputs far more than its epsilon, so that a tiny number added to a sum, for fear of a division
# by zero, is right; but less than float32 could hold, so that digits lost on the way are noticed.
DOUBLE = 2.0**-32
CONTAINERS = (list, dict, set)  # inputs beside arrays that a function could change


class WrongForm(Exception):
    """The answer cannot even be compared; the message says what came and what was expected."""


@dataclass(frozen=True)
class Refused:
    """Stands for a ValueError as an answer; two are equal whatever their words."""

    words: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"ValueError({self.words!r})"


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
    try:
        numbers = np.array(_without_graph(value))
    except (ValueError, TypeError, RuntimeError):  # lists of unequal length, tensors without numbers
        numbers = np.array(None)
    if numbers.dtype.kind == "c":
        raise WrongForm("It returns complex numbers: is the size of each asked for, as `.abs()` gives it?")
    if numbers.dtype.kind not in "biuf":
        raise WrongForm(f"It must return numbers, but got {describe(value)}.")
    return numbers


def _without_graph(value: Any) -> Any:
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    if "bfloat16" in str(value.dtype) or "float8" in str(value.dtype):  # NumPy has no such numbers
        raise WrongForm(
            f"It returns numbers in {value.dtype}: digits are lost on the way. Keep the dtype of the input."
        )
    return value.numpy()


def boxed(value: Any) -> np.ndarray:
    """Anything as an array without axes; `.item()` opens it. Two boxes are equal where their contents are.

    Example:
        >>> boxed(["a", "b"]).shape, boxed(["a", "b"]).item()
        ((), ['a', 'b'])
    """
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def agree(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    """Whether two arrays are equal up to rounding; NaN equals NaN."""
    return a.shape == b.shape and bool(close(a, b, slack).all())


def close(a: np.ndarray, b: np.ndarray, slack: float) -> np.ndarray:
    """Where two arrays of one shape are equal up to rounding."""
    if "O" in (a.dtype.kind, b.dtype.kind) and a.dtype != b.dtype:
        return np.zeros(a.shape, bool)  # what stands in a box is no number
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        return np.asarray(a == b)
    a, b = a.astype(float, copy=False), b.astype(float, copy=False)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        near = np.abs(a - b) <= slack
    if near.all() and slack < np.inf:
        return np.asarray(near)
    return np.asarray(np.isclose(a, b, rtol=0, atol=slack, equal_nan=True))


def largest(value: np.ndarray) -> float:
    """The largest finite size in an array; 0 if there is none."""
    finite = np.abs(value[np.isfinite(value)]) if value.dtype.kind == "f" else np.zeros(0)
    return float(np.max(finite, initial=0.0))


def is_float(value: Any) -> bool:
    """Whether a value is an array or tensor of floats."""
    return hasattr(value, "dtype") and "float" in str(value.dtype)


def is_double(inputs: Mapping[str, Any]) -> bool:
    """Whether some input is in float64."""
    kinds = (value.dtype for value in inputs.values() if hasattr(value, "dtype"))
    # The names of NumPy's dtypes take long to make.
    return any(
        kind == np.float64 if isinstance(kind, np.dtype) else str(kind) == "torch.float64" for kind in kinds
    )


def precision(inputs: Mapping[str, Any]) -> float:
    """How far one rounding may take a number of size 1."""
    return DOUBLE if is_double(inputs) else SINGLE


def copied(value: Any) -> Any:
    """A copy of an input, arrays in the same order; what cannot be changed is not copied."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, CONTAINERS):
        return copy.deepcopy(value)
    return value.copy(order="K") if isinstance(value, np.ndarray) else value


def to_double(value: Any) -> Any:
    """A copy in float64, where it holds floats."""
    if not is_float(value):
        return copied(value)
    return value.double() if hasattr(value, "detach") else value.astype(np.float64)


def same(a: Any, b: Any) -> bool:
    """Whether an input is still what it was, bit for bit."""
    if isinstance(a, CONTAINERS):
        return equal(a, b)
    if not hasattr(a, "shape"):
        return True  # numbers and texts cannot be changed in place, and layers have nothing to change
    # Who asks for gradients of an input has not changed its numbers.
    a, b = (x.detach() if hasattr(x, "detach") else x for x in (a, b))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    a, b = np.asarray(a), np.asarray(b)
    return np.array_equal(a, b) or np.array_equal(a, b, equal_nan=a.dtype != bool)


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same, arrays within lists and dictionaries among them."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if hasattr(a, "shape") or hasattr(b, "shape"):
        return hasattr(a, "shape") and hasattr(b, "shape") and same(a, b)
    return a is b or bool(a == b)  # a list's NaN is still the same


def shapes_of(inputs: Mapping[str, Any]) -> str:
    """The shapes of some inputs, in words."""

    def words(value: Any) -> str:
        return str(tuple(value.shape)) if hasattr(value, "shape") else named(value)

    return ", ".join(f"{name} {words(value)}" for name, value in inputs.items())


def named(value: Any, limit: int = 60) -> str:
    """What a value is called, or how it is written; the beginning where that is long."""
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def describe(value: Any) -> str:
    """What a value is, in a few words.

    Example:
        >>> describe(3.5), describe(np.zeros((2, 3)))
        ('3.5 (float)', 'an array of shape (2, 3) (ndarray)')
    """
    kind = type(value).__name__
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)} ({kind})"
    try:
        text = repr(value)
    except Exception:  # a learner's class may fail to describe itself
        return f"an object of type {kind}"
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"
