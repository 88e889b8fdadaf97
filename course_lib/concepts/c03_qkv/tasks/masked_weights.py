"""Weights with a mask

The same softmax, but a query may attend only where the mask is True. A query that may attend to nothing
gets zeros.

Hint: Forbid before the softmax: which score gives a weight of exactly 0?

Hint: `np.where(mask, scores, -np.inf)`. In a row of minus infinities the largest is minus infinity too:
what is -inf minus -inf?

Hint: Make that row's maximum 0 and its sum 1 before you subtract and divide: it then gives zeros.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import WEIGHTS, draw, draw_mask, masked_get_nothing, primes
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c03_qkv.tasks.softmax import softmax

exercise = Exercise(
    level=3,
    minutes=15,
    section="The mask",
    properties=(*WEIGHTS, Property("forbidden keys get nothing", masked_get_nothing)),
)


@exercise.solution
def masked_weights(scores, mask):
    """Weights from scores, with some keys forbidden.

    Args:
        scores: (..., T, S); not to be changed.
        mask: (T, S), boolean, True = may attend.
    Returns: (..., T, S), float64 stays float64; a row sums to 1, or to 0
        where its mask is all False.
    """
    ### BEGIN SOLUTION
    scores = np.where(mask, scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(total == 0, 1, total)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, s):
        return {"scores": draw(rng, *batch, t, s), "mask": draw_mask(rng, t, s)}

    alone = inputs((), 3, 5)
    alone["mask"][1] = False
    loud = inputs((), *primes(rng, 5, 7))
    loud["scores"] += np.where(loud["mask"], -2e4, 2e4).astype(np.float32)
    loud["scores"] -= 1e3 * np.arange(len(loud["scores"]), dtype=np.float32)[:, None]
    return [
        Case("two queries, three keys", inputs((), 2, 3)),
        Case("as many queries as keys", inputs((), 3, 3), catches="mask transposed"),
        Case("a query that may see nothing", alone, catches="NaN where nothing may be seen"),
        Case("a batch with one mask", inputs((2,), *primes(rng, 11, 13)), catches="an answer for two axes"),
        Case("forbidden scores far above the allowed ones", loud, catches="allowed scores vanish"),
    ]


exercise.changed(
    "mask upside down", "", ("np.where(mask, scores, -np.inf)", "np.where(mask, -np.inf, scores)")
)


@exercise.mistake("masked after the softmax")
def _(scores, mask):
    return softmax(scores) * mask


@exercise.mistake("NaN where nothing may be seen")
def _(scores, mask):
    return softmax(np.where(mask, scores, -np.inf))


@exercise.mistake("a uniform row where nothing may be seen")
def _(scores, mask):
    return softmax(np.where(mask, scores, -1e9))


@exercise.mistake("forbidden scores set to zero")
def _(scores, mask):
    return softmax(np.where(mask, scores, 0))


@exercise.mistake("mask ignored")
def _(scores, mask):
    return softmax(scores)


exercise.changed(
    "softmax over the queries",
    "",
    ("scores.max(axis=-1", "scores.max(axis=-2"),
    ("powers.sum(axis=-1", "powers.sum(axis=-2"),
)
exercise.changed(
    "softmax over everything",
    "",
    ("scores.max(axis=-1, keepdims=True)", "scores.max()"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum()"),
)
exercise.changed(
    "one maximum for all rows",
    "",
    ("scores.max(axis=-1, keepdims=True)", "scores.max()"),
)
exercise.changed(
    "keepdims forgotten",
    "The sums lost an axis, so NumPy lines them up with the columns: `sum(axis=-1, keepdims=True)`.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)
exercise.changed("eps in the sum", "", ("np.where(total == 0, 1, total)", "(total + 1e-6)"))
exercise.changed("mask transposed", "", ("np.where(mask", "np.where(mask.T"))
exercise.changed(
    "allowed scores vanish",
    "Where the allowed scores of a row lie far below the forbidden ones, or far below 0, exp makes all of "
    "them 0. Subtract the largest allowed score of each row first.",
    ("np.exp(scores - np.where(np.isinf(largest), 0, largest))", "np.exp(scores)"),
)


@exercise.mistake("mask added to the scores")
def _(scores, mask):
    """True and False were added as 1 and 0: that favours a key, it does not forbid one."""
    return softmax(scores + mask)
