"""What goes to a child: how to call and read an answer, and the inputs; nothing of what is right.

Our own functions and objects travel as pickles, in this direction only. A child cannot import the checks, so
what it needs of them travels with its code.
"""

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cloudpickle

from course_lib.checks.kinds import Case, Task
from course_lib.grading.walls import share


class Addressed:
    """Something in a child: it goes there as its address."""

    __slots__ = ()
    _address: Any


def packed(*values: Any) -> bytes:
    """Values as one pickle."""
    return _packed(_Pickler, values)


def packed_call(known: Mapping[int, int], *values: Any) -> bytes:
    """The same of a question, which may name what is in the child already.

    Args:
        known: numbers of values that the child has, by their ids.
        values: the question.
    Raises: TypeError: something within cannot travel.
    """
    try:
        return _packed(functools.partial(_AddressPickler, known), values)
    except TypeError as error:
        raise TypeError(f"a test cannot give this to an answer: {error}") from None


def _packed(pickler: Callable[[io.BytesIO], "_Pickler"], values: tuple[Any, ...]) -> bytes:
    file = io.BytesIO()
    with _by_value():
        pickler(file).dump(values)
    return file.getvalue()


def spec(task: Task, case: Case) -> bytes:
    """What a child needs to make an attempt at a case."""
    how = {name: getattr(task, name) for name in ("adapt", "read", "results", "tensor", "takes", "forbidden")}
    if task.outside:
        how["adapt"] = None  # it never runs there
    return packed(SimpleNamespace(**how), replace(case, name="", catches=""))  # it may name what is right


class Specs:
    """The same, kept: the cases are the same for all submissions."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Case, bytes]] = {}  # the case too: its id is its own while it is kept

    def of(self, task: Task, case: Case) -> bytes:
        """The pickle of a case."""
        if id(case) not in self._kept:
            self._kept[id(case)] = case, spec(task, case)
        return self._kept[id(case)][1]


class _Pickler(cloudpickle.Pickler):
    """Takes along what cloudpickle leaves: functions with a cache, properties that are computed once.

    Tensors go as arrays where nothing of them is lost, since torch makes a file of each.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, functools._lru_cache_wrapper):
            return functools.lru_cache, (value.__wrapped__,)
        if isinstance(value, functools.cached_property):
            return functools.cached_property, (value.func,), {"attrname": value.attrname}
        torch = sys.modules.get("torch")
        if torch is not None and has_gradient(value):
            return with_gradient, (value.detach(), value.grad, type(value), value.requires_grad)
        if torch is not None and type(value) is torch.Tensor and _is_plain(value):
            return torch.from_numpy, (value.numpy(),)
        return super().reducer_override(value)


def has_gradient(value: Any) -> bool:
    """Whether it is a tensor or a parameter whose gradient is there."""
    torch = sys.modules["torch"]
    return type(value) in (torch.Tensor, torch.nn.Parameter) and value.is_leaf and value.grad is not None


def with_gradient(numbers: Any, gradient: Any, kind: type, learns: bool) -> Any:
    """Such a tensor or parameter."""
    made: Any = kind(numbers) if kind is not type(numbers) else numbers
    made.requires_grad_(learns).grad = gradient
    return made


class _AddressPickler(_Pickler):
    """An address is a name with the test that asks, a number, or one in a tuple, of a value."""

    def __init__(self, known: Mapping[int, int], file: io.BytesIO) -> None:
        super().__init__(file)
        self.known = known

    def persistent_id(self, value: Any) -> Any:
        if id(value) in self.known:
            return (self.known[id(value)],)
        is_there = issubclass(type(value), Addressed)
        return object.__getattribute__(value, "_address") if is_there else None


def _is_plain(value: Any) -> bool:
    """Whether a tensor is no more than its numbers, one after the other."""
    own = value.is_contiguous() and value.untyped_storage().nbytes() == value.numel() * value.element_size()
    in_numpy = value.device.type == "cpu" and value.dtype != sys.modules["torch"].bfloat16
    return own and in_numpy and not value.requires_grad and not value.is_conj() and not value.is_neg()


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    there = {f"course_lib.checks.{name}" for name in share.CHECKS}
    modules = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("course_lib.checks.", "course_lib.concepts.")) and name not in there
    ]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
