"""What a computation costs: seconds, bytes kept for training, operations that wait for each other.

Times are for comparing on one machine, in one run: take ratios and exponents from them, nothing else.
"""

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node, saved_tensors_hooks

Name = TypeVar("Name", bound=Hashable)
Cell = tuple[int, int]  # a layer and a token, both from 0


def alternate(functions: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Seconds of each function, round by round, all in turn; the order is reversed in every other round.

    Args:
        functions: called without arguments.
        rounds: how often each is timed.
        warm_up: rounds before, which do not count.
    Returns: for each function the seconds of each round.
    Example:
        >>> order = []
        >>> _ = alternate([lambda: order.append("a"), lambda: order.append("b")], rounds=2, warm_up=0)
        >>> order
        ['a', 'b', 'b', 'a']
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
    Returns: bytes.
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
    for number in (*x, *y):
        if not 0 < number < np.inf:  # so that NaN is refused, too
            raise ValueError(f"sizes and amounts must be finite numbers above 0; got {number:g}")
    slope, _ = np.polyfit(np.log(x), np.log(y), 1)
    return float(slope)


class Operation(NamedTuple):
    """One operation of a computation, as autograd recorded it.

    Args:
        name: autograd's.
        depth: how many operations stand on the longest way from the start to this one, itself counted.
        waits_for: whose results it needs, by their numbers in the list.
        hides: whether it is somebody's `torch.autograd.Function`: it counts as one, whatever it does inside.
    Example: see `operations`.
    """

    name: str
    depth: int
    waits_for: tuple[int, ...]
    hides: bool = False


def operations(tensor: Tensor) -> list[Operation]:
    """What made a tensor, in an order in which it can be computed; the last made the tensor itself.

    Args:
        tensor: computed from tensors that require gradients. Parameters and inputs are no operations, and a
            fused kernel is one, whatever it does inside.
    Raises: ValueError: autograd has recorded nothing.
    Example:
        >>> import torch
        >>> x = torch.ones(3, requires_grad=True)
        >>> [operation.depth for operation in operations(x.exp() + x)]
        [1, 2]
    """
    if tensor.grad_fn is None:
        raise ValueError("autograd has recorded no operation: was the tensor computed, and with gradients?")
    number_of: dict[Node, int] = {}
    found: list[Operation] = []
    waiting = [tensor.grad_fn]
    while waiting:  # no recursion, which would end at a few hundred tokens
        node = waiting[-1]
        before = [other for other, _ in node.next_functions if other is not None and other.next_functions]
        missing = [other for other in before if other not in number_of]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if node not in number_of:
            numbers = tuple(number_of[other] for other in before)
            depth = 1 + max((found[number].depth for number in numbers), default=0)
            number_of[node] = len(found)
            found.append(Operation(node.name(), depth, numbers, isinstance(node, BackwardCFunction)))
    return found


def longest_chain(tensor: Tensor) -> int:
    """How many operations had to wait for each other, one after the other: those on the longest way.

    Args:
        tensor: see `operations`.
    Example:
        >>> import torch
        >>> longest_chain((torch.ones(3, requires_grad=True).exp() + 1).sum())
        3
    """
    return operations(tensor)[-1].depth


def timetable(waits_for: Mapping[Name, Collection[Name]], processors: int | None = None) -> dict[Name, int]:
    """The tick at which each operation runs, if each takes one tick of one processor.

    At every tick the processors take, in the order given, operations whose inputs were ready before it
    (list scheduling, Graham 1966). Another order may need fewer ticks.

    Args:
        waits_for: for each operation those whose results it needs.
        processors: how many operations run at once; left out, as many as are ready.
    Returns: for each operation its tick, from 1, in the order given.
    Raises: ValueError: no processor, an operation that waits for an unknown one, or a circle.
    Example:
        >>> timetable({"a": [], "b": [], "c": ["a"], "d": ["b", "c"]}, processors=1)
        {'a': 1, 'b': 2, 'c': 3, 'd': 4}
        >>> timetable({"a": [], "b": [], "c": ["a"], "d": ["b", "c"]})
        {'a': 1, 'b': 1, 'c': 2, 'd': 3}
    """
    if processors is not None and processors < 1:
        raise ValueError(f"at least one processor must work; got {processors}")
    for operation, inputs in waits_for.items():
        for needed in inputs:
            if needed not in waits_for:
                raise ValueError(f"{operation!r} waits for {needed!r}, which is no operation")
    ticks: dict[Name, int] = {}
    tick = 0
    while len(ticks) < len(waits_for):
        tick += 1
        waiting = [operation for operation in waits_for if operation not in ticks]
        ready = [
            operation for operation in waiting if all(needed in ticks for needed in waits_for[operation])
        ]
        if not ready:
            raise ValueError(f"these wait for each other in a circle: {waiting}")
        ticks |= dict.fromkeys(ready[:processors], tick)
    return {operation: ticks[operation] for operation in waits_for}


def recurrent_cells(n_tokens: int, n_layers: int, *, writing: bool = False) -> dict[Cell, list[Cell]]:
    """What each cell of a recurrent network waits for: the state of the token before, and the layer below.

    Args:
        n_tokens, n_layers: how many.
        writing: the network makes its text itself, so a token is there only when the last layer has read the
            one before.
    Returns: for each cell (layer, token) those it needs, in an order in which `timetable` loses no time:
        first the cells that can work first.
    Example:
        >>> recurrent_cells(2, 2)
        {(0, 0): [], (0, 1): [(0, 0)], (1, 0): [(0, 0)], (1, 1): [(1, 0), (0, 1)]}
    """
    cells = sorted(_cells(n_tokens, n_layers), key=sum)
    return {
        (layer, token): [
            *([(layer, token - 1)] if token else []),
            *([(layer - 1, token)] if layer else _word_before(token, n_layers, writing and n_layers > 1)),
        ]
        for layer, token in cells
    }


def attention_cells(n_tokens: int, n_layers: int, *, writing: bool = False) -> dict[Cell, list[Cell]]:
    """What each cell of a causal Transformer waits for: the layer below, at its own token and those before.

    Args:
        n_tokens, n_layers: how many.
        writing: as for `recurrent_cells`; the cells of earlier tokens are kept in a cache.
    Returns: for each cell (layer, token) those it needs, layer by layer.
    Example:
        >>> attention_cells(2, 2)
        {(0, 0): [], (0, 1): [], (1, 0): [(0, 0)], (1, 1): [(0, 0), (0, 1)]}
    """
    return {
        (layer, token): [(layer - 1, other) for other in range(token + 1)]
        if layer
        else _word_before(token, n_layers, writing)
        for layer, token in _cells(n_tokens, n_layers)
    }


def _cells(n_tokens: int, n_layers: int) -> list[Cell]:
    return [(layer, token) for layer in range(n_layers) for token in range(n_tokens)]


def _word_before(token: int, n_layers: int, writing: bool) -> list[Cell]:
    """What the first layer waits for: nothing, or the word that the last layer writes."""
    return [(n_layers - 1, token - 1)] if writing and token else []
