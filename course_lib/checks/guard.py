"""While a learner's function runs: torch is kept from crashing, and calls of forbidden routines are seen."""

import contextlib
import functools
import inspect
import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# What tells the name of a routine's twin, which torch has for its own use, from the routine's.
OF_TWINS = re.compile(r"^_*(?:(?:fused|native|thnn)_)*|(?<=dot_product_)(?:cudnn|efficient|flash|fused)_")


class Guard(TorchFunctionMode):
    """Looks at every call of torch in this thread, and in those that are started meanwhile.

    Args:
        forbidden: routines by their dotted names, torch's or the course's own.

    `called` is the first of them that was called, or "".
    """

    def __init__(self, forbidden: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.called = ""
        self._torch, self._code = _watched(forbidden)

    def __enter__(self) -> Any:
        self._start = threading.Thread.start
        setattr(threading.Thread, "start", self._starting(self._start))  # noqa: B010 (a method, for mypy)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        setattr(threading.Thread, "start", self._start)  # noqa: B010

    def _starting(self, start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        """What starts a thread in which this looks at torch too: a mode of torch's is for one thread."""

        def started(thread: threading.Thread) -> None:
            run = thread.run

            def watched() -> None:
                TorchFunctionMode.__enter__(self)
                try:
                    run()
                finally:
                    TorchFunctionMode.__exit__(self, None, None, None)

            setattr(thread, "run", watched)  # noqa: B010
            start(thread)

        return started

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        forbidden, mixes = _known(func, self._torch)
        if not self.called:
            self.called = forbidden or (self._on_the_stack() if self._code else "")
        if mixes:
            check_attention_shapes(*args, **kwargs)
        return func(*args, **kwargs)

    def _on_the_stack(self) -> str:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            of_that_name = self._code.get(frame.f_code.co_name)
            if of_that_name and frame.f_code in of_that_name:
                return of_that_name[frame.f_code]
            frame = frame.f_back
        return ""


@functools.cache
def _watched(forbidden: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, dict[CodeType, str]]]:
    """How forbidden routines are known: torch's by their name in calls, those in Python by their code.

    Code stands under its own name, because to hash all code on the stack takes long. It is compared and not
    known by its place: a module that is loaded again has equal code in other places.
    """
    routines = {name: pkgutil.resolve_name(name) for name in forbidden}
    in_torch = tuple(name for name in forbidden if name.startswith("torch."))
    by_name: dict[str, dict[CodeType, str]] = {}
    for name, routine in routines.items():
        code = _code(routine)
        if code is not None:
            by_name.setdefault(code.co_name, {})[code] = name
    return in_torch, by_name


@functools.lru_cache(maxsize=4096)
def _known(function: Any, routines: tuple[str, ...]) -> tuple[str, bool]:
    """The one of some routines of torch's that a function or its twin is; and whether it is attention."""
    called = _short(function)
    forbidden = next((name for name in routines if is_twin(called, name.rpartition(".")[2])), "")
    return forbidden, called.lstrip("_").startswith("scaled_dot_product")


def is_twin(called: str, routine: str) -> bool:
    """Whether one routine of torch's is another one, or that for torch's own use, by their last names.

    Example:
        >>> is_twin("_fused_rms_norm", "rms_norm"), is_twin("group_norm", "layer_norm")
        (True, False)
    """
    return called == routine or OF_TWINS.sub("", called).startswith(routine)


def _short(function: Any) -> str:
    """The name of a routine without its variant: torch.ops.aten.add.Tensor is add."""
    return str(getattr(function, "__name__", "")).split(".")[0]


def _code(function: Any) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)


def check_attention_shapes(query: Any, key: Any, value: Any, *others: Any, **options: Any) -> None:
    """torch's fused attention reads beyond its memory where keys and values differ in number: say so first.

    Raises: ValueError: shapes that do not fit.
    """
    for name, x in {"query": query, "key": key, "value": value}.items():
        if not isinstance(x, torch.Tensor) or x.ndim < 2:
            raise ValueError(f"{name} must be a tensor with at least two axes (tokens, width); got {x!r:.60}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "key and value must have one row per key (axis -2): "
            f"{key.shape[-2]} in key, {value.shape[-2]} in value"
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query and key must have the same width (last axis): query has {query.shape[-1]}, "
            f"key has {key.shape[-1]}"
        )


# What makes NaN of numbers, and how; any other call is only named.
NAN_FROM = {
    "mul": "0 times infinity is nan: let torch.where or masked_fill choose instead",
    "softmax": "the softmax of a row of nothing but minus infinity is nan",
    "sub": "infinity minus infinity is nan",
    "add": "infinity minus infinity is nan",
    "div": "0 divided by 0 is nan, and infinity by infinity too",
}


class MadeNan(FloatingPointError):
    """A call of torch gave NaN for numbers."""


class NanFinder(TorchFunctionMode):
    """Raises `MadeNan` at the first call of torch that makes NaN of tensors without."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        before = any(map(has_nan, given))  # here, because it may write into them
        result = func(*args, **kwargs)
        name = _short(func).strip("_")
        if given and not before and has_nan(result) and "empty" not in name:  # empty: what was in memory
            raise MadeNan(f"{name!r} makes it: {NAN_FROM.get(name, 'nothing that it was given is nan')}")
        return result


def has_nan(value: Any) -> bool:
    """Whether a value is a tensor with NaN in it."""
    return isinstance(value, torch.Tensor) and bool(value.isnan().any())


@contextlib.contextmanager
def clean_state() -> Iterator[None]:
    """Gradients on, float32 and one thread, whatever the notebook has switched or is switched within.

    One thread, because on small tensors several mostly wait for each other.
    """
    before, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(dtype)
