"""Which value is which: what can change keeps its identity, although each side has copies.

A test and the answers that it calls have values of their own. Both sides give the same number to what is the
same: so `b is a` and a change of one that shows in the other are what they would be in one process.
"""

import itertools
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

MOST = 10_000  # values that are known at once
MOST_BYTES = 64 * 2**20  # of them
KINDS = (list, dict, set, np.ndarray)


def has_identity(value: Any) -> bool:
    """Whether a value can change, so that it matters which one it is."""
    torch = sys.modules.get("torch")
    return type(value) in KINDS or (torch is not None and type(value) is torch.Tensor)


def within(values: Iterable[Any]) -> list[Any]:
    """Values with an identity, and those within them, each once."""
    found: dict[int, Any] = {}
    waiting = list(values)[::-1]
    while waiting and len(found) < MOST:
        value = waiting.pop()
        if id(value) in found:
            continue
        if has_identity(value):
            found[id(value)] = value
        if isinstance(value, dict):
            waiting += reversed([*value, *value.values()])
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += reversed(list(value))
    return list(found.values())


class Identities:
    """Values by their numbers; the oldest are forgotten where there are too many.

    Args:
        numbers: for values that have none.
    """

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        self.numbers = numbers or itertools.count(1)
        self.values: OrderedDict[int, Any] = OrderedDict()
        self.number_by_id: dict[int, int] = {}
        self.size = 0

    def number(self, value: Any) -> int:
        """The number of a value."""
        number = self.number_by_id.get(id(value))
        return self.keep(value, next(self.numbers)) if number is None else number

    def keep(self, value: Any, number: int) -> int:
        """Let a value have this number from now on, whatever had it before."""
        self.forget(number)
        self.values[number] = value
        self.number_by_id[id(value)] = number
        self.size += _bytes(value)
        while len(self.values) > 1 and (len(self.values) > MOST or self.size > MOST_BYTES):
            self.forget(next(iter(self.values)))
        return number

    def forget(self, number: int) -> None:
        """Let go of what has this number."""
        if number in self.values:
            value = self.values.pop(number)
            self.size -= _bytes(value)
            if self.number_by_id.get(id(value)) == number:
                del self.number_by_id[id(value)]


def _bytes(value: Any) -> int:
    """About how much room a value takes, apart from what it holds; it may not change while it is kept."""
    return int(value.nbytes) if hasattr(value, "nbytes") else 64
