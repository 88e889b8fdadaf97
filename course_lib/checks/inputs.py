"""What tasks are made of: random inputs small enough to read, and properties that results must have.

Sizes are distinct primes, so that no transposition hides. Each task has one square case on purpose: only
there do two orders of the same product both run, so only there can the wrong one be named.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import copied, is_float, to_double

Rng = np.random.Generator
SMALL = 2_000  # numbers in a case that is tried in other forms too


def draw(rng: Rng, *shape: int, size: float = 1.0) -> np.ndarray:
    """Normal numbers in float32; small arrays get one decimal, so that a learner can follow them by hand."""
    numbers = size * rng.standard_normal(shape)
    return (numbers.round(1) + 0.0 if numbers.size <= 30 else numbers).astype(np.float32)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Inside, torch draws the same random numbers each time; outside, nothing is noticed of that."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed notes who called
        yield


def all_different(rng: Rng, *shape: int) -> np.ndarray:
    """Whole numbers in float32 of which no two are the same, so that every wrong place shows."""
    return rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32) + 1


def draw_mask(rng: Rng, n_queries: int, n_keys: int) -> np.ndarray:
    """A random mask in which every query may see at least one key, and at least one may not see all."""
    mask = rng.random((n_queries, n_keys)) < 0.6
    mask[np.arange(n_queries), rng.integers(n_keys, size=n_queries)] = True
    mask[0] = np.arange(n_keys) == rng.integers(n_keys)
    return mask


def primes(rng: Rng, *choices: int) -> list[int]:
    """The given sizes in random order."""
    return [int(size) for size in rng.permutation(choices)]


def between(rng: Rng, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return int(rng.integers(low, high, endpoint=True))


def backwards(array: np.ndarray) -> np.ndarray:
    """The same numbers, stored column by column: not contiguous."""
    return array.swapaxes(-1, -2).copy().swapaxes(-1, -2)


def as_double(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The same inputs in float64."""
    return {name: x.astype(np.float64) if is_float(x) else x for name, x in inputs.items()}


def other_forms(cases: list[Case]) -> list[Case]:
    """The largest of the small cases once more: in float64, and stored column by column.

    None where no case holds floats.
    """
    small = [case for case in cases if any(map(is_float, case.inputs.values())) and _size(case) <= SMALL]
    if not small:
        return []
    inputs = max(small, key=_size).inputs
    forms = [Case("float64", {name: to_double(value) for name, value in inputs.items()})]
    if any(len(getattr(value, "shape", ())) > 1 for value in inputs.values()):
        forms.append(Case("stored column by column", {name: _by_column(v) for name, v in inputs.items()}))
    return forms


def _size(case: Case) -> int:
    return sum(math.prod(getattr(value, "shape", ())) for value in case.inputs.values())


def _by_column(value: Any) -> Any:
    if len(getattr(value, "shape", ())) < 2:
        return copied(value)
    return value.mT.contiguous().mT if hasattr(value, "detach") else backwards(value)


def in_torch(cases: list[Case]) -> list[Case]:
    """The same cases as tensors. Strides are kept."""
    import torch  # here, so that a NumPy task does not need it

    def tensors(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}

    return [replace(case, inputs=tensors(case.inputs)) for case in cases]


def rows_sum_to_one(result: np.ndarray, inputs: Mapping[str, Any]) -> str:
    mask = inputs.get("mask")
    seen = np.ones(result.shape, bool) if mask is None else np.broadcast_to(np.asarray(mask), result.shape)
    wanted = seen.any(-1).astype(float)
    sums = result.sum(-1, dtype=float)
    kind = np.result_type(result.dtype, np.float32)  # whole numbers have no rounding of their own
    wrong = np.argwhere(np.abs(sums - wanted) > 100 * np.finfo(kind).eps)
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    row = f"row {list(where)}" if where else "the row"
    rule = "1" if wanted[where] else "0, since its mask forbids everything"
    return f"The weights of {row} sum to {sums[where]:.12g}; they should sum to {rule}."


def not_negative(result: np.ndarray, inputs: Mapping[str, Any]) -> str:
    return f"A weight is {result.min():.6g}; weights are never negative." if result.min() < 0 else ""


def masked_get_nothing(result: np.ndarray, inputs: Mapping[str, Any]) -> str:
    masked = result[~np.broadcast_to(np.asarray(inputs["mask"]), result.shape)]
    return f"A key that the mask forbids gets weight {masked.max():.6g}, expected 0." if masked.any() else ""


def inside_the_values(result: np.ndarray, inputs: Mapping[str, Any]) -> str:
    v = np.asarray(inputs["v"].detach() if hasattr(inputs["v"], "detach") else inputs["v"])
    low, high = v.min(-2, keepdims=True), v.max(-2, keepdims=True)
    room = 1e-4 * (1 + np.abs(v).max())
    outside = (result > np.maximum(high, 0) + room) | (result < np.minimum(low, 0) - room)
    return (
        "A mixed vector lies outside the values it was mixed from: do the weights sum to 1?"
        if outside.any()
        else ""
    )


WEIGHTS = (Property("not negative", not_negative), Property("rows sum to 1", rows_sum_to_one))
