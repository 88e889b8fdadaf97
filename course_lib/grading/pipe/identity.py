"""Which value is which: what can change keeps its identity, although each side has copies.

A test and the answers that it calls have values of their own. Both sides give the same number to what is the
same, and tell each other what has changed in it: so `b is a` and a change of one that shows in the other are
what they would be in one process, also where an answer keeps what it was given.
"""

import sys
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from course_lib.grading.pipe.states import restore

MOST = 10_000  # values that are known at once
MOST_BYTES = 64 * 2**20  # of arrays among them
TESTS = "test"  # the module of what a test, or a cell of the source's, defines
DICTIONARIES = (dict, Counter, OrderedDict, defaultdict)
KINDS = (list, set, deque, bytearray, np.ndarray, *DICTIONARIES)


@dataclass(frozen=True)
class News:
    """What a test's process tells with a question.

    Args:
        test: which process this is; others know other values.
        values, numbers: of those that are new to the other side.
        contents: by number, what has changed.
        forgotten: numbers of values that the test has no more.
    """

    test: int
    values: list[Any]
    numbers: list[int]
    contents: dict[int, Any]
    forgotten: list[int]


def has_identity(value: Any) -> bool:
    """Whether a value can change, so that it matters which one it is."""
    if _is_tensor(value):
        return value.is_leaf and numbers_of(value) is not None
    return type(value) in KINDS or is_instance(value)


def is_instance(value: Any) -> bool:
    """Whether it is an object with attributes, of a class that a test or the source's cells define."""
    *own, _ = type.__dict__["__mro__"].__get__(type(value))  # but for `object`
    is_own = all(kind.__module__ == TESTS for kind in own) and not issubclass(type(value), type)
    return type(value) is SimpleNamespace or (is_own and bool(own) and hasattr(value, "__dict__"))


def numbers_of(value: Any) -> np.ndarray | None:
    """The numbers of an array or a tensor, in its own memory; None where NumPy cannot know them."""
    if type(value) is np.ndarray:
        return value
    try:
        return value.detach().numpy() if _is_tensor(value) else None
    except (TypeError, RuntimeError):
        return None


def is_odd(value: Any) -> bool:
    """Whether a copy of an array or a tensor is not what it is.

    One number stands in several places, nobody may write into it, or its bytes stand the other way round.
    """
    numbers = numbers_of(value)
    if numbers is None:
        return False
    first, last = np.lib.array_utils.byte_bounds(numbers)
    shares = last - first < numbers.nbytes
    return shares or not numbers.flags.writeable or not numbers.dtype.isnative


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and type(value) in (torch.Tensor, torch.nn.Parameter)


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
        waiting += reversed(items_of(value))
    return list(found.values())


def items_of(value: Any) -> list[Any]:
    """What a container holds."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if type(value) is np.ndarray and value.dtype == object:
        return list(value.flat)
    if is_instance(value):
        return list(vars(value).values())
    return list(value) if isinstance(value, list | tuple | set | frozenset | deque) else []


def held(value: Any) -> Any:
    """What a known value holds: itself, or the attributes of an object."""
    return value if _is_tensor(value) or type(value) in KINDS else vars(value)


def content(value: Any) -> Any:
    """A value of its kind that holds the same; of an object its attributes."""
    if not _is_tensor(value):
        return held(value).copy()
    made = value.detach().clone().requires_grad_(value.requires_grad)
    made.grad = value.grad
    return made


class Identities:
    """Values by their numbers.

    Args:
        numbers: for values that have none; the other side has others.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self.test = next(numbers)
        self.numbers = numbers
        self.values: dict[int, Any] = {}
        self.number_by_id: dict[int, int] = {}
        self.are_too_many = False  # some values have lost their identity
        self._seen: dict[int, Any] = {}

    def has(self, value: Any) -> bool:
        """Whether a value is known."""
        return id(value) in self.number_by_id

    def number(self, value: Any) -> int:
        """The number of a value."""
        number = self.number_by_id.get(id(value))
        return self.keep(value, next(self.numbers)) if number is None else number

    def keep(self, value: Any, number: int) -> int:
        """Let a value have this number from now on, whatever had it before."""
        self.forget(number)
        self.values[number] = value
        self.number_by_id[id(value)] = number
        self._seen[number] = _look(value)
        return number

    def forget(self, number: int) -> None:
        """Let go of what has this number."""
        if number in self.values:
            value = self.values.pop(number)
            self._seen.pop(number, None)
            if self.number_by_id.get(id(value)) == number:
                del self.number_by_id[id(value)]

    def put(self, number: int, content: Any) -> None:
        """Give a value what it holds on the other side.

        Raises:
            KeyError: it is not there.
            ValueError: it is of another kind or shape.
        """
        value = self.values[number]
        if _is_tensor(value):
            if not _is_tensor(content) or (value.shape, value.dtype) != (content.shape, content.dtype):
                raise ValueError("it is no such tensor")
            value.data[...] = content.detach()
            value.requires_grad_(content.requires_grad)
            value.grad = content.grad
        else:
            restore(held(value), content)
        self._seen[number] = _look(value)

    def leaves(self) -> list[Any]:
        """The tensors with gradients."""
        known = (self.values[number] for number in sorted(self.values))
        return [value for value in known if getattr(value, "requires_grad", False)]

    def changed(self) -> list[int]:
        """The numbers of those that have changed since this was asked, or since the other side told."""
        found = []
        for number, value in self.values.items():
            now = _look(value)
            if not _same(now, self._seen[number]):
                self._seen[number] = now
                found.append(number)
        return found

    def news(self, values: Iterable[Any]) -> News:
        """What the other side has to know before it is given some values."""
        contents = {number: content(self.values[number]) for number in self.changed()}
        held = [item for one in contents.values() for item in items_of(one)]
        given = within([*values, *held])
        self.are_too_many |= len(given) == MOST
        new = [value for value in given if not self.has(value)]
        forgotten = self._unused()
        return News(self.test, new, [self.number(value) for value in new], contents, forgotten)

    def take(self, news: News) -> None:
        """Learn them.

        Raises:
            KeyError: a value is not there.
            ValueError: one is of another kind or shape.
        """
        for value, number in zip(news.values, news.numbers, strict=True):
            self.keep(value, number)
        for number, value in news.contents.items():
            self.put(number, value)
        for number in news.forgotten:
            self.forget(number)

    def _unused(self) -> list[int]:
        """Let go of values that nobody else has here, and of the oldest where there are too many."""
        found = [number for number in list(self.values) if _references(self.values, number) <= ALONE]
        for number in found:
            self.forget(number)
        size = sum(map(_bytes, self.values.values()))
        while len(self.values) > MOST or size > MOST_BYTES:
            oldest = next(iter(self.values))
            size -= _bytes(self.values[oldest])
            self.forget(oldest)
            found.append(oldest)
            self.are_too_many = True
        return found


def _references(values: dict[int, Any], number: int) -> int:
    return sys.getrefcount(values[number])


ALONE = _references({0: []}, 0)  # of what is in one dictionary only


def _look(value: Any) -> Any:
    """What is another one, see `_same`, as soon as a value holds something else."""
    numbers = numbers_of(value)
    if numbers is None:
        if held(value) is not value:
            return [*vars(value), *vars(value).values()]
        if isinstance(value, set | bytearray):
            return bytes(value) if isinstance(value, bytearray) else set(value)
        return items_of(value)
    if numbers.dtype == object:
        return items_of(value)
    look = f"{numbers.shape} {value.dtype} {zlib.crc32(numbers.tobytes())}"
    if _is_tensor(value):
        look += f" {value.requires_grad}, {'' if value.grad is None else _look(value.grad)}"
    return look


def _same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and (all(map(_is_same, a, b)) if isinstance(a, list) else a == b)


def _is_same(a: Any, b: Any) -> bool:
    """Whether an item is another one; whole numbers and texts that are equal are not."""
    return a is b or (type(a) is type(b) and isinstance(a, int | str) and a == b)


def _bytes(value: Any) -> int:
    return int(value.nbytes) if hasattr(value, "nbytes") else 0
