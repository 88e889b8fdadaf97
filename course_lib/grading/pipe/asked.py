"""What a teacher's test may ask of a thing that is in the sandbox; both sides name these by their names."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

# What Python calls by itself: it is asked for where the thing's own class has it.
ALONE: dict[str, Callable[..., Any]] = {
    **{
        f"__{one.__name__}__": one
        for one in (len, iter, next, reversed, abs, round, int, float, bool, format)
    },
    **{
        f"__{name}__": getattr(operator, name)
        for name in ("index", "neg", "pos", "invert", "getitem", "setitem", "delitem")
    },
}
COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "contains")
WITH_ANOTHER: dict[str, Callable[..., Any]] = {
    f"__{name}__": getattr(operator, f"{name}_" if name in ("and", "or") else name)
    for name in (
        *COMPARED,
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"),
        *("iadd", "isub", "imul", "itruediv", "iand", "ior"),
    )
}


def itself(thing: Any) -> Any:
    """The thing."""
    return thing


def parameters(function: Any) -> list[tuple[str, int, bool, Any]]:
    """What a function takes: for each its name, its kind, whether it has a default, and that."""
    found = inspect.signature(function).parameters.values()
    return [
        (
            one.name,
            int(one.kind),
            one.default is not one.empty,
            None if one.default is one.empty else one.default,
        )
        for one in found
    ]


def gradients(result: Any, leaves: list[Any], gradient: Any) -> list[Any]:
    """Send a gradient back from a result; what reaches the tensors that a test has given returns."""
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    result.backward(gradient, retain_graph=True)
    found = [leaf.grad for leaf in leaves]
    for leaf, own in zip(leaves, before, strict=True):
        leaf.grad = own
    return found


def enter(context: Any) -> Any:
    """Begin a `with`."""
    return type(context).__enter__(context)


def leave(context: Any, kind: type[Exception] | None, words: str) -> Any:
    """End a `with`, by an error or without one."""
    error = kind(words) if kind else None
    return type(context).__exit__(context, kind, error, None)
