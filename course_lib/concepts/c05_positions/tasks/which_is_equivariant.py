"""Which layers see an order?

A layer that is blind to order treats tokens as a set: exchange the tokens, and its results are exchanged in
the same way. In code, `f(x[:, order])` equals `f(x)[:, order]` for *every* order of the tokens. Such a
layer is called equivariant. You get a list of layers, functions from (B, T, D) to (B, T, D), and one x to
try them on, with at least four tokens. Return a list of truth values, one for each layer: is it
equivariant? Trying many random orders is enough. Count two numbers as equal where they differ by no more
than 1e-4, because a sum in another order may be rounded differently.

Hint: First write it for one layer and one order: `order = torch.randperm(x.shape[1])`, then compare `f(x[:,
order])` with `f(x)[:, order]`, all numbers of all sequences.

Hint: One order proves little: a layer that adds to each token the one before it, in a ring, does not mind
when all tokens move on by one, and a layer that treats the first token apart does not mind when that one
stays. Try 20 random orders.

Hint: `torch.allclose(a, b, atol=1e-4)` compares up to rounding; `all(... for order in orders)` asks for
every order.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, draw, in_torch
from course_lib.checks.kinds import Case

exercise = Exercise(level=3, minutes=15, section="A set", read=forms.contents)


@exercise.solution
def which_is_equivariant(layers, x):
    """For each layer: is f(x[:, order]) equal to f(x)[:, order], whatever the order?

    Args:
        layers: a list of functions from (B, T, D) to (B, T, D).
        x: (B, T, D), what to try them on; T is at least 4.
    Returns: a list of truth values.
    """
    ### BEGIN SOLUTION
    orders = [torch.randperm(x.shape[1]) for _ in range(20)]

    def commutes(f):
        y = f(x)
        return all(torch.allclose(f(x[:, order]), y[:, order], atol=1e-4) for order in orders)

    return [commutes(f) for f in layers]
    ### END SOLUTION


@dataclass(frozen=True, repr=False)
class Layer:
    """A function from (B, T, D) to (B, T, D) that reports show by its name."""

    name: str
    function: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer makes of x."""
        return self.function(x)

    def __repr__(self) -> str:
        return self.name

    def __getstate__(self) -> dict[str, Any]:
        """What a grader's sandbox gets: the name would tell what is right."""
        return {"name": "a layer", "function": self.function}

    def __deepcopy__(self, memo: Any) -> "Layer":
        return self  # there is nothing to change, and at a learner's desk the name may be seen


def counted(x, axis):
    """0, 1, 2, ... along one axis of x, to be added to it or multiplied with it."""
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    return torch.arange(x.shape[axis], dtype=x.dtype).reshape(shape)


def adding(table):
    """Adds a number of a square table to each token, by its sequence and its place; then from the start."""

    def added(x):
        b, t = (torch.arange(n) % len(table) for n in x.shape[:2])
        return x + torch.from_numpy(table)[b[:, None], t, None].to(x.dtype)

    return added


def raising(token):
    """A layer that makes the numbers of one token larger."""

    def raised(x):
        result = x.clone()
        result[:, token] += 3
        return result

    return raised


def attention(x):
    """What is mixed is positive, so that order changes the last digits of the result and no more."""
    return (x @ x.mT / math.sqrt(x.shape[-1])).softmax(-1) @ x.abs()


def sum_of_sizes(x):
    """Token after token, as a loop would do it: another order rounds otherwise on every processor."""
    return functools.reduce(torch.add, x.abs().split(1, dim=1)).expand_as(x)


# On whole numbers these are exact, so that only the layers of ROUNDING tell who asks for equal digits.
EQUIVARIANT = {
    "scales each token alone": lambda x: x * (1 + counted(x, 2)),
    "mean of all tokens": lambda x: x.mean(1, keepdim=True).expand_as(x),
    "distance from the mean": lambda x: x - x.mean(1, keepdim=True),
    "adds the largest of all": lambda x: x + x.amax(1, keepdim=True),
    "counts smaller tokens": lambda x: (x[:, :, None] > x[:, None]).sum(2).to(x.dtype),
}
ROUNDING = {"attention": attention, "sum of all sizes": sum_of_sizes}
# Some of these go with a few orders: a ring with rolling, a mirror with reversal. Of three tokens both
# neighbours are all others, so a ring needs more.
NOT_EQUIVARIANT = {
    "sum so far": lambda x: x.cumsum(1),
    "adds the token before in a ring": lambda x: x + x.roll(1, 1),
    "sum of both neighbours in a ring": lambda x: x.roll(1, 1) + x.roll(-1, 1),
    "adds the mirror image": lambda x: x + 2 * x.flip(1),
    "sorts": lambda x: x.sort(1).values,
    "raises the first token": raising(0),
    "raises the second token": raising(1),
    "raises the last token": raising(-1),
    "adds the first token to all": lambda x: x + x[:, :1],
    "adds the way from the first token to the last": lambda x: x + (x[:, -1:] - x[:, :1]),
    "adds the way from the last token to the first": lambda x: x + (x[:, :1] - x[:, -1:]),
    "adds places to all sequences but the first": lambda x: torch.cat([x[:1], x[1:] + counted(x, 1)]),
}


@exercise.cases
def _(rng):
    # Two layers of one code, drawn numbers tell what is right: no table of layers knows it.
    numbers = np.tile(rng.permutation(99)[:9, None], 9)  # one for each row
    drawn = {"adds a number to each sequence": adding(numbers), "adds places": adding(numbers.T.copy())}
    of = EQUIVARIANT | ROUNDING | NOT_EQUIVARIANT | drawn

    def inputs(x, *names):
        return {"layers": [Layer(name, of[name]) for name in rng.permutation(names).tolist()], "x": x}

    b = int(rng.choice([2, 3]))
    alone = "scales each token alone"
    # In no other order is the way longer: to one who forgets signs, one of the layers is equivariant.
    growing = np.sort(all_different(rng, 2, 5, 3), axis=1)
    ways = ("adds the way from the first token to the last", "adds the way from the last token to the first")
    return in_torch(
        [
            Case("two layers, four tokens", inputs(all_different(rng, 1, 4, 2), alone, "adds places")),
            Case(
                "layers of all kinds",
                inputs(all_different(rng, b, 5, 7), *drawn, *EQUIVARIANT, *NOT_EQUIVARIANT),
                catches="only the first sequence",
            ),
            Case(
                "numbers that grow from token to token",
                inputs(growing, *ways, "sorts", alone),
                catches="only larger numbers count",
            ),
            Case(
                "numbers that are rounded",
                inputs(
                    draw(rng, 3, 5, 11), *ROUNDING, "adds the first token to all", "raises the last token"
                ),
                catches="equal to the last digit",
            ),
            Case(
                "one layer",
                inputs(all_different(rng, 2, 5, 3), "adds the mirror image"),
                catches="no list for one layer",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------ what is exchanged

exercise.changed(
    "the result is not exchanged",
    "`f(x[:, order])` was compared with `f(x)` itself: that asks whether the order changes nothing at all. "
    "The results should move with their tokens, so compare with `f(x)[:, order]`.",
    ("y[:, order], atol", "y, atol"),
)
exercise.changed(
    "sequences exchanged",
    "The sequences of the batch were exchanged: the tokens are axis 1, as in `x[:, order]`.",
    ("x.shape[1]", "x.shape[0]"),
    ("(f(x[:, order]), y[:, order]", "(f(x[order]), y[order]"),
)
exercise.changed(
    "numbers of each token exchanged",
    "The numbers inside the tokens were exchanged: the tokens are axis 1, as in `x[:, order]`.",
    ("x.shape[1]", "x.shape[2]"),
    ("(f(x[:, order]), y[:, order]", "(f(x[..., order]), y[..., order]"),
)
exercise.changed(
    "only the reversed order",
    "This is what you get when only the reversed order is tried: a layer that treats left and right alike "
    "passes that. Try orders without any rule.",
    ("torch.randperm(x.shape[1]) for _ in range(20)", "torch.arange(x.shape[1]).flip(0)"),
)
exercise.changed(
    "only rolling",
    "This is what you get when the tokens are only moved on in a ring: a layer that looks at neighbours in "
    "a ring passes that. Try orders without any rule.",
    ("torch.randperm(x.shape[1]) for _ in range(20)", "torch.arange(x.shape[1]).roll(1)"),
)
exercise.changed(
    "only the first two exchanged",
    "This is what you get when only the first two tokens are exchanged: what happens to the others is never "
    "tried. Try orders that move all of them.",
    ("torch.randperm(x.shape[1]) for _ in range(20)", "torch.tensor([1, 0, *range(2, x.shape[1])])"),
)
exercise.changed(
    "only the last two exchanged",
    "This is what you get when only the last two tokens are exchanged: what happens to the others is never "
    "tried. Try orders that move all of them.",
    (
        "torch.randperm(x.shape[1]) for _ in range(20)",
        "torch.tensor([*range(x.shape[1] - 2), x.shape[1] - 1, x.shape[1] - 2])",
    ),
)

exercise.changed(
    "the first token stays",
    "This is what you get when the first token always stays where it is: a layer that treats it apart passes "
    "that. Try orders that move all tokens.",
    (
        "torch.randperm(x.shape[1]) for",
        "torch.cat([torch.tensor([0]), 1 + torch.randperm(x.shape[1] - 1)]) for",
    ),
)
exercise.changed(
    "drawn with repetition",
    "Some tokens came twice and others not at all, as with `torch.randint`: an order has each token once, as "
    "`torch.randperm` gives it.",
    ("torch.randperm(x.shape[1])", "torch.randint(x.shape[1], (x.shape[1],))"),
)
exercise.changed(
    "each token alone",
    "Each token was given to the layer alone: that asks whether tokens have to do with each other. A layer "
    "may mix them, as the mean does, as long as it does not mind their order.",
    ("torch.randperm(x.shape[1]) for _ in range(20)", "torch.tensor([token]) for token in range(x.shape[1])"),
)

# ------------------------------------------------------------------------------------------- what is compared

exercise.changed(
    "equal to the last digit",
    "Layers that sum over the tokens are refused because of rounding: another order of a sum may change its "
    "last digit. Count numbers as equal where they differ by no more than 1e-4.",
    ("torch.allclose(f(x[:, order]), y[:, order], atol=1e-4)", "torch.equal(f(x[:, order]), y[:, order])"),
)
exercise.changed(
    "orders that do not fit",
    "Only layers that give all tokens the same pass: the two results that you compare have different "
    "orders. `f(x[:, order])[:, order]` applies an order twice and does not undo it. Compare `f(x[:, "
    "order])` with `f(x)[:, order]`, with one order for both.",
    ("(f(x[:, order]), y[:, order]", "(f(x[:, order])[:, order], y"),
)
exercise.changed(
    "only larger numbers count",
    "Layers pass whose results are only smaller in another order: their difference is below 0, and so below "
    "1e-4. Take its size, with `.abs()`.",
    (
        "torch.allclose(f(x[:, order]), y[:, order], atol=1e-4)",
        "(f(x[:, order]) - y[:, order]).max() <= 1e-4",
    ),
)
exercise.changed(
    "only smaller numbers count",
    "Layers pass whose results are only larger in another order: `f(x)[:, order]` minus these is below 0, "
    "and so below 1e-4. Take the size of the difference, with `.abs()`.",
    (
        "torch.allclose(f(x[:, order]), y[:, order], atol=1e-4)",
        "(y[:, order] - f(x[:, order])).max() <= 1e-4",
    ),
)
exercise.changed(
    "yes to all",
    "Every layer counts as equivariant: do you compare the numbers, not just their shapes, and must *all* "
    "orders pass, not any?",
    ("torch.allclose(f(x[:, order]), y[:, order], atol=1e-4)", "f(x[:, order]).shape == y[:, order].shape"),
)


@exercise.mistake("no to all")
def _(layers, x):
    """No layer counts as equivariant: are the two results that you compare made with the same order?"""
    return [False for f in layers]


exercise.changed(
    "the other way round",
    "True and False are exchanged: True is for a layer that is equivariant.",
    ("[commutes(f)", "[not commutes(f)"),
)
exercise.changed(
    "only sums compared",
    "Only the sum over all tokens was compared: it may stay while the tokens in it are others. Compare all "
    "numbers.",
    ("(f(x[:, order]), y[:, order]", "(f(x[:, order]).sum(1), y[:, order].sum(1)"),
)
exercise.changed(
    "the same tokens in any order",
    "Both results were sorted before they were compared, so only what comes out counts, not where: each "
    "result should stand where its token went.",
    ("(f(x[:, order]), y[:, order]", "(f(x[:, order]).sort(1).values, y.sort(1).values"),
)
exercise.changed(
    "only the first sequence",
    "Only the first sequence of the batch was looked at: a layer can see an order in another one.",
    ("(f(x[:, order]), y[:, order]", "(f(x[:, order])[:1], y[:1, order]"),
)
exercise.changed(
    "one answer for all",
    "There is one answer for all layers together: give one for each.",
    ("[commutes(f) for f in layers]", "all(commutes(f) for f in layers)"),
)


@exercise.mistake("places instead of truth values")
def _(layers, x):
    """These are the places of the layers that are equivariant: return True or False for each layer."""
    return [i for i, right in enumerate(which_is_equivariant(layers, x)) if right]
