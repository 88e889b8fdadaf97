"""What a computation costs: seconds, bytes kept for training, and how both grow.

Times are for comparing on one machine, in one run: take ratios and exponents from them, nothing else.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def alternate(functions: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Seconds of each function, round by round, all in turn; the order is reversed in every other round.

    Args:
        functions: called without arguments.
        rounds: how often each is timed.
        warm_up: rounds before, which do not count.
    Returns: for each function the seconds of each round.
    """
    taken: list[list[float]] = [[] for _ in functions]
    for n in range(-warm_up, rounds):
        order = list(range(len(functions)))
        if n % 2:
            order.reverse()
        for i in order:
            start = time.perf_counter()
            functions[i]()
            if n >= 0:
                taken[i].append(time.perf_counter() - start)
    return taken


def bytes_kept(function: Callable[[], object]) -> int:
    """The bytes that a forward pass keeps for the backward pass, exactly; what is kept twice counts once.

    Args:
        function: computes something from tensors that require gradients, and returns it.
    Example:
        >>> import torch
        >>> x = torch.ones(5, requires_grad=True)
        >>> bytes_kept(lambda: x.exp())
        20
    """
    stores: dict[int, int] = {}  # by address

    def keep(tensor: Tensor) -> Tensor:
        store = tensor.untyped_storage()
        stores[store.data_ptr()] = store.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()
    del result  # it holds the stores until here, so that no address is used twice
    return sum(stores.values())


def exponent(sizes: ArrayLike, amounts: ArrayLike) -> float:
    """The power of the size with which amounts grow: the slope of a straight line through the logarithms.

    Args:
        sizes: at least two different ones, above 0.
        amounts: one for each, above 0.
    Raises: ValueError: unequal numbers, fewer than two sizes, or a number that has no logarithm.
    Example:
        >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
        2.0
    """
    x, y = np.asarray(sizes, float), np.asarray(amounts, float)
    if x.ndim != 1 or x.shape != y.shape or len(np.unique(x)) < 2:
        raise ValueError(f"a line needs two sizes and an amount for each; got {x.tolist()} and {y.tolist()}")
    smallest = min(x.min(), y.min())
    if smallest <= 0:
        raise ValueError(f"sizes and amounts must be above 0; the smallest is {smallest:g}")
    slope, _ = np.polyfit(np.log(x), np.log(y), 1)
    return float(slope)
