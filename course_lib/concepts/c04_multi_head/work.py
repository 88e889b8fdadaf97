"""Does the work of a function of queries, keys and values grow with the length, or with its square?

Counted, not timed: the numbers that torch's routines read and write, which are the same on every machine.
What is computed without torch is not counted. So a long case asks for gradients too, which flow back through
what torch has computed alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import costs
from course_lib.checks.values import WrongForm

# Of a case with so many tokens the work is counted, and that of a quarter of them. Two lengths at which a
# function that works in blocks of up to 256 tokens has whole blocks.
LONG = 1024
SHORT = LONG // 4
# Linear is 1, the square 2. Blocks that grow with the root of the length would give 1.5.
LARGEST_POWER = 1.6

# Copying is no work: a list of rows that grows by one in each step is copied again and again, and is right.
COPIES = {
    "cat",
    "clone",
    "copy",
    "constant_pad_nd",
    "flip",
    "gather",
    "index",
    "index_put",
    "index_select",
    "new_zeros",
    "ones",
    "ones_like",
    "repeat",
    "roll",
    "select_scatter",
    "slice_scatter",
    "stack",
    "zeros",
    "zeros_like",
}


class Work(TorchDispatchMode):
    """Counts the numbers that torch's routines read and write meanwhile; views and copies are free."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in `rounding`

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_view = any(
            returned.alias_info is not None and not returned.alias_info.is_write
            for returned in func._schema.returns
        )
        if not is_view and func._schema.name.removeprefix("aten::").rstrip("_") not in COPIES:
            self.numbers += _count(args) + _count(result)
        return result


def _count(values: Any) -> int:
    if isinstance(values, torch.Tensor):
        return values.numel()
    return sum(map(_count, values)) if isinstance(values, list | tuple) else 0


def in_linear_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of q, k and v, which refuses to answer a long case with quadratic work.

    Raises: WrongForm (when called): the work grows with a power of the length above `LARGEST_POWER`.
    """

    def checked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        if q.shape[-2] < LONG:
            return function(q, k, v)
        with Work() as few:
            function(*(x[..., :SHORT, :] for x in (q, k, v)))
        with Work() as many:
            result = function(q, k, v)
        # One more, because what is computed without torch does no work here.
        power = costs.exponent([SHORT, LONG], [few.numbers + 1, many.numbers + 1])
        if power > LARGEST_POWER:
            raise WrongForm(
                f"It does too much: it reads and writes {few.numbers:,} numbers for {SHORT} tokens and "
                f"{many.numbers:,} for {LONG:,}. That grows with the power {power:.2g} of the length; 1 was "
                "asked for. Is there a step in which every query meets every key?"
            )
        if getattr(result, "grad_fn", None) and any(step.hides for step in costs.operations(result)):
            raise WrongForm(
                "Its work cannot be counted, because a torch.autograd.Function hides what is computed in it: "
                "call torch's operations themselves."
            )
        return result

    return checked
