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
        made["k"] = 30 * np.abs(made["k"])
        made["q"][0] = -np.abs(made["q"][0])
        return made

    def positive():
        made = inputs((), *sizes)
        return {**made, "q": 30 * np.abs(made["q"]), "k": 30 * np.abs(made["k"])}

    square = inputs((), 3, 3, 3, 3)
    alone = inputs((), 3, 5, 2, 3)
    alone["mask"][1] = False
    alone["v"] = alone["v"].clip(-1, 1)  # some divide by the smallest float there: it must not overflow
    sizes = primes(rng, 3, 5, 7, 11)
    t, k, d = primes(rng, 3, 5, 7)
    heads = inputs((2, 3), t, 11, k, d)
    return in_torch(
        [
            Case("two queries, three keys, no mask", without_mask(inputs((), 2, 3, 5, 2))),
            Case("everything square, no mask", without_mask(square), catches="queries and keys exchanged"),
            Case("a mask", inputs((), 2, 3, 2, 5), gradients=True, catches="no look at the mask"),
            Case("a square mask", inputs((), 3, 3, 2, 5), catches="rows and columns of the mask exchanged"),
            Case(
                "a query that may see nothing", alone, gradients=True, catches="NaN where nothing may be seen"
            ),
            Case("two sequences, three heads, one mask", heads, catches="at most eight keys are read"),
            Case("large scores", loud(large), catches="powers too large, with a mask"),
            Case("large scores, no mask", without_mask(loud(positive)), catches="overflow without a mask"),
            Case(
                "one query, as when a model writes on",
                inputs((2,), 1, 7, 3, 5),
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

# ------------------------------------------------------------------------------------------------ the softmax


@exercise.mistake("softmax over the queries")
def over_queries(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-2) @ v
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-2)
    return weights.masked_fill(~mask, 0) @ v


@exercise.mistake("overflow")
def overflowing(q, k, v, mask=None):
    powers = (q @ k.mT / math.sqrt(q.shape[-1])).exp()
    if mask is not None:
        powers = powers.masked_fill(~mask, 0)
    total = powers.sum(-1, keepdim=True)
    return powers / total.masked_fill(total == 0, 1) @ v


# --------------------------------------------------------------------------------------------------- the mask


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
