"""How far from the exact result rounding alone can take another way to write the same function.

A careful program returns the exact result for inputs, and results on the way, that were each moved by about n
roundings, n being the longest sum. So move them by that much, a few times, and see how far the result moves.
That needs no table of tolerances: large scores, long sums, float64, and gradients in which large terms cancel
each get what they deserve.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course_lib.checks.values import Parts, copied, is_float, largest

N_MOVES = 3
MASKED = 1e6  # so large a score is that of a key that nobody may see


def slack_of(
    run: Callable[[Mapping[str, Any]], Parts],
    inputs: Mapping[str, Any],
    exact: Parts,
    eps: float,
) -> dict[str, float]:
    """How far each part may be from the exact one.

    Args:
        run: from inputs to parts.
        inputs: may be wider than what the learner gets.
        exact: the parts of these inputs.
        eps: how far one rounding may take a number of size 1.
    """
    in_torch = "torch" in sys.modules  # NumPy cannot move what it computes
    sizes = [size for value in inputs.values() for size in getattr(value, "shape", ())]
    step = max(sizes, default=1) * eps
    slack = {name: step * (1e-30 + largest(value)) for name, value in exact.items()}
    if not any(is_float(value) for value in exact.values()):
        return slack  # lists, texts and whole numbers are right or wrong
    for seed in range(N_MOVES):
        rng = np.random.default_rng(seed)
        moved = {name: nudge(copied(value), step, rng) for name, value in inputs.items()}
        with _noise()(step, seed) if in_torch else contextlib.nullcontext():
            parts = run(moved)
        for name, value in parts.items():
            if value.shape == exact[name].shape and value.dtype.kind == "f":
                slack[name] += 2 * largest(value - exact[name])
    return slack


def nudge(value: Any, step: float, rng: np.random.Generator) -> Any:
    """Every float moved by at most `step` times its size."""
    if not is_float(value):
        return value
    noise = 1 + step * rng.uniform(-1, 1, tuple(value.shape))
    if hasattr(value, "detach"):
        return value * value.new_tensor(noise)
    return (value * noise).astype(value.dtype)


@functools.cache
def _noise() -> Any:
    import torch  # here, so that a NumPy task does not need it
    from torch.utils._python_dispatch import TorchDispatchMode

    softmaxes = {torch.ops.aten._softmax.default}

    class Noise(TorchDispatchMode):
        """Moves every number that torch computes, backward too; copies and views stay what they are."""

        def __init__(self, step: float, seed: int) -> None:
            super().__init__()
            self.step = step
            self.generator = torch.Generator().manual_seed(seed)

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # else newer versions of torch import their compiler here, which takes seconds

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if any(returned.alias_info is not None for returned in func._schema.returns):
                return result
            if isinstance(result, tuple):  # a norm also gives the mean that its backward needs
                return tuple(self.moved(part) for part in result)
            # Who writes a softmax in steps, as exp(x - logsumexp(x)), rounds numbers of the size of x.
            size = _size(args[0]) if func in softmaxes else 0.0
            return self.moved(result, 1 + size)

        def moved(self, result: Any, size: float = 1.0) -> Any:
            if not isinstance(result, torch.Tensor) or not result.is_floating_point():
                return result
            step = min(self.step * size, 0.5)
            noise = torch.empty_like(result).uniform_(1 - step, 1 + step, generator=self.generator)
            return result * noise

    def _size(x: torch.Tensor) -> float:
        """The largest size in a tensor, but for what stands for minus infinity."""
        sizes = x.abs()
        return float(sizes.masked_fill(~(sizes < MASKED), 0.0).max()) if x.numel() else 0.0

    return Noise
