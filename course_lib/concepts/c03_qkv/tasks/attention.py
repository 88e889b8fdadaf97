"""Attention

All of it in one function: scores, mask, softmax, mix. Write it yourself, without the ready-made routines. A
query that may attend to nothing gets zeros.

Hint: Four steps: scores, mask, softmax, mix. Only the last two axes matter; `.mT` exchanges them.

Hint: `scores.masked_fill(~mask, -math.inf)` forbids. Then look at the row in which everything is forbidden,
and at its gradients.

Hint: Fill with the lowest finite number, `torch.finfo(scores.dtype).min`, and set the forbidden weights to
0 after the softmax; `course_lib.attention.attention_weights` is written like this.
"""

import math

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, draw_mask, in_torch, inside_the_values, primes
from course_lib.checks.kinds import Case, Property

exercise = Exercise(
    level=3,
    minutes=20,
    section="Three ways to write it",
    call="attention(q, k, v) or attention(q, k, v, mask)",
    forbidden=(
        "torch.nn.functional.scaled_dot_product_attention",
        "torch.nn.functional.multi_head_attention_forward",
        "course_lib.attention.scaled_dot_product_attention",
        "course_lib.attention.attention_weights",
    ),
    tensor=True,
    properties=(Property("inside the values", inside_the_values),),
)


@exercise.solution
def attention(q, k, v, mask=None):
    """Scaled dot-product attention.

    Args:
        q: (..., T, K).
        k: (..., S, K).
        v: (..., S, D).
        mask: (T, S), boolean, True = may attend; None allows everything.
    Returns: (..., T, D), in the dtype of q.
    """
    ### BEGIN SOLUTION
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    # A row of -inf would give NaN: use the lowest finite number, then put the zeros in.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(~mask, 0) @ v
    ### END SOLUTION


def loud(draw_inputs):
    """Inputs of which no row's largest score is just at the edge of what exp can hold.

    There (60 to 120) it is left to rounding whether an exponential is 0, finite or infinite.
    """
    while True:
        made = draw_inputs()
        scores = made["q"] @ made["k"].swapaxes(-1, -2) / math.sqrt(made["q"].shape[-1])
        allowed = np.where(made["mask"], scores, -np.inf)
        highest = np.abs(np.stack([scores.max(-1), allowed.max(-1)]))
        if not ((highest > 60) & (highest < 120)).any():
            return made


def without_mask(inputs):
    return {name: value for name, value in inputs.items() if name != "mask"}


@exercise.cases
def _(rng):
    def inputs(batch, t, s, k, d):
        return {
            "q": draw(rng, *batch, t, k),
            "k": draw(rng, *batch, s, k),
            "v": draw(rng, *batch, s, d),
            "mask": draw_mask(rng, t, s),
        }

    def large():
        made = inputs((), *sizes)
        made["q"] *= 30  # scores in the hundreds and thousands, those of the first query all negative
        made["k"] *= 30
        made["k"][:, 0] = np.abs(made["k"][:, 0])
        made["q"][0] = [-abs(made["q"][0, 0]), *(len(made["q"].T) - 1) * [0]]
        # A query whose forbidden scores alone are too large for exp.
        scores = made["q"] @ made["k"].T / math.sqrt(made["q"].shape[-1])
        made["mask"][1] = scores[1] < 60
        return made if 0 < made["mask"][1].sum() < len(made["k"]) else large()

    def positive():
        made = inputs((), *sizes)
        return {**made, "q": 30 * np.abs(made["q"]), "k": 30 * np.abs(made["k"])}

    alone = inputs((), 3, 5, 2, 3)
    alone["mask"][1] = False
    alone["v"] = alone["v"].clip(-1, 1)  # some divide by the smallest float there: it must not overflow
    sizes = primes(rng, 3, 5, 7, 11)
    t, k, d = primes(rng, 3, 5, 7)
    heads = inputs((3, 2), t, 11, k, d)
    one = inputs((2,), 1, 7, 3, 5)
    one["mask"] = np.arange(7)[None] != rng.integers(7)
    return in_torch(
        [
            Case("two queries, three keys, no mask", without_mask(inputs((), 2, 3, 5, 2))),
            Case("everything square, a mask", inputs((), 3, 3, 3, 3), catches="keys not turned"),
            Case(
                "a query that may see nothing", alone, gradients=True, catches="NaN where nothing may be seen"
            ),
            Case("three sequences, two heads, one mask", heads, catches="two or three axes only"),
            Case("large scores", loud(large), catches="overflow with a mask"),
            Case("large scores, no mask", without_mask(loud(positive)), catches="overflow without a mask"),
            Case(
                "one query, as when a model writes on",
                one,
                catches="an axis of one lost",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------------ the scaling

exercise.changed("no scaling", "", (" / math.sqrt(q.shape[-1])", ""))
exercise.changed("divided by K", "", ("math.sqrt(q.shape[-1])", "q.shape[-1]"))
exercise.changed("divided by half of K", "", ("math.sqrt(q.shape[-1])", "(q.shape[-1] ** 1 / 2)"))
exercise.changed("divided by twice K", "", ("math.sqrt(q.shape[-1])", "q.shape[-1] ** 1 / 2"))
exercise.changed("multiplied instead of divided", "", ("/ math.sqrt", "* math.sqrt"))
exercise.changed("scaled by the number of keys", "", ("q.shape[-1]", "k.shape[-2]"))
exercise.changed("scaled by the number of queries", "", ("q.shape[-1]", "q.shape[-2]"))
exercise.changed(
    "scaled by the width of a value",
    "The scores are divided by the square root of the width of a value: it is the width of a key that "
    "counts.",
    ("q.shape[-1]", "v.shape[-1]"),
)
exercise.changed("uniform weights", "", (" / math.sqrt(q.shape[-1])", " * 0"))
exercise.changed(
    "scaled by axis 1",
    "The scores are divided by the square root of `q.shape[1]`, which is the width of a key only where q has "
    "two axes: `q.shape[-1]` is the last axis, whatever comes before.",
    ("q.shape[-1]", "q.shape[1]"),
)

# ---------------------------------------------------------------------------------------------- the products

keys_not_turned = exercise.changed(
    "keys not turned",
    "",
    ("k.mT", "k"),
)
exercise.changed(
    "keys reshaped",
    "The keys were brought to (K, S) by a reshape, which keeps all numbers in their order: exchange the two "
    "axes, with `.mT`.",
    ("k.mT", "k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])"),
)
first_two_exchanged = exercise.changed(
    "the first two axes exchanged",
    "The first two axes of k were exchanged, which are the last two only where k has no others: count from "
    "the end, -1 and -2.",
    ("k.mT", "k.transpose(0, 1)"),
)

# ------------------------------------------------------------------------------------------------ the softmax


@exercise.mistake("softmax over the queries")
def over_queries(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-2) @ v
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-2)
    return weights.masked_fill(~mask, 0) @ v


def exponentials(q, k, mask, largest):
    """What a softmax divides by its sums, with this function of the scores subtracted."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    powers = (scores - largest(scores)).exp()
    return powers if mask is None else powers.masked_fill(~mask, 0)


def of_each_row(scores):
    return scores.amax(-1, keepdim=True)


@exercise.mistake("softmax over everything")
def _(q, k, v, mask=None):
    powers = exponentials(q, k, mask, torch.amax)
    return powers / powers.sum() @ v


@exercise.mistake("one maximum for all rows")
def _(q, k, v, mask=None):
    powers = exponentials(q, k, mask, torch.amax)
    total = powers.sum(-1, keepdim=True)
    return powers / total.masked_fill(total == 0, 1) @ v


@exercise.mistake("eps in the sum")
def _(q, k, v, mask=None):
    powers = exponentials(q, k, mask, of_each_row)
    return powers / (powers.sum(-1, keepdim=True) + 1e-6) @ v


over_axis_1 = exercise.changed(
    "axis 1 instead of the last",
    "The softmax runs over axis 1, which is the last one only where there are two: use axis -1.",
    ("return scores.softmax(-1)", "return scores.softmax(1)"),
    (".min).softmax(-1)", ".min).softmax(1)"),
)


@exercise.mistake("no softmax")
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return (scores if mask is None else scores * mask) @ v


@exercise.mistake("overflow")
def overflowing(q, k, v, mask=None):
    powers = (q @ k.mT / math.sqrt(q.shape[-1])).exp()
    if mask is not None:
        powers = powers.masked_fill(~mask, 0)
    total = powers.sum(-1, keepdim=True)
    return powers / total.masked_fill(total == 0, 1) @ v


@exercise.mistake("infinity times the mask")
def _(q, k, v, mask=None):
    """Right for small scores, but exp(1000) is infinity, and infinity times 0 is NaN, also where the mask is
    False. Mask the scores, and subtract each row's largest first.
    """
    powers = (q @ k.mT / math.sqrt(q.shape[-1])).exp()
    powers = powers if mask is None else powers * mask
    total = powers.sum(-1, keepdim=True)
    return powers / total.masked_fill(total == 0, 1) @ v


# --------------------------------------------------------------------------------------------------- the mask


exercise.changed(
    "mask taken for granted",
    "It fails where no mask comes: with None everything is allowed.",
    ("    if mask is None:\n        return scores.softmax(-1) @ v\n", ""),
)


@exercise.mistake("mask upside down")
def _(q, k, v, mask=None):
    return attention(q, k, v, None if mask is None else ~mask)


@exercise.mistake("mask transposed")
def _(q, k, v, mask=None):
    return attention(q, k, v, None if mask is None else mask.T)


@exercise.mistake("mask ignored")
def _(q, k, v, mask=None):
    return attention(q, k, v)


@exercise.mistake("masked after the softmax")
def masked_late(q, k, v, mask=None):
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights if mask is None else weights * mask) @ v


@exercise.mistake("mask added")
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return (scores if mask is None else scores + mask).softmax(-1) @ v


def filled(q, k, v, mask, number):
    """Attention with this number for the scores of forbidden keys, and nothing else to forbid them."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, number)
    return scores.softmax(-1) @ v


@exercise.mistake("NaN where nothing may be seen")
def _(q, k, v, mask=None):
    return filled(q, k, v, mask, -math.inf)


@exercise.mistake("a uniform row where nothing may be seen")
def _(q, k, v, mask=None):
    return filled(q, k, v, mask, -1e9)


@exercise.mistake("forbidden scores set to zero")
def forbidden_zero(q, k, v, mask=None):
    return filled(q, k, v, mask, 0)


# ------------------------------------------------------------------------------------------------- who is who


@exercise.mistake("mixes the keys")
def _(q, k, v, mask=None):
    return attention(q, k, k, mask)


@exercise.mistake("keys ask the queries")
def _(q, k, v, mask=None):
    return attention(k, q, v, mask)
