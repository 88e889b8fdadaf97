"""Softmax

Turn each row of scores into weights that are positive and sum to 1. The scores may be one row, a table, or
a batch of tables. A row may hold scores of 1000, or some (never all) of minus infinity.

Hint: What happens to the weights of a row when you subtract the same number from all its scores?

Hint: Three steps for each row: subtract its largest score, take exp, divide by the sum.

Hint: `scores.max(axis=-1, keepdims=True)` keeps the axis, so that it lines up with the rows again.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import WEIGHTS, draw, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="Softmax", properties=WEIGHTS)


@exercise.solution
def softmax(scores):
    """Weights from scores, row by row.

    Args:
        scores: (..., S), any size; not to be changed.
    Returns: (..., S), float64 stays float64; the last axis sums to 1.
    """
    ### BEGIN SOLUTION
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
    ### END SOLUTION


@exercise.cases
def _(rng):
    far = draw(rng, 3, 5) + np.array([[1000], [0], [-1000]], np.float32)
    hidden = draw(rng, 3, 7) - np.float32(1000)
    hidden[np.arange(3), rng.integers(7, size=3)] = -np.inf
    return [
        # Moved away from zero: a row that sums to zero would make one of the wrong functions divide by it.
        Case("two rows of three", {"scores": draw(rng, 2, 3) + np.float32(2)}),
        Case("square", {"scores": draw(rng, 3, 3) + np.float32(2)}, catches="keepdims forgotten"),
        Case("one row", {"scores": draw(rng, 5)}, catches="tables and batches only"),
        Case("a batch", {"scores": draw(rng, *primes(rng, 5, 7, 11))}, catches="softmax over the queries"),
        Case("large scores", {"scores": far}, catches="one maximum for all rows"),
        Case("minus infinity beside scores far below zero", {"scores": hidden}, catches="-100 for -inf"),
        Case("a single score", {"scores": draw(rng, 1, 1)}, catches="an axis of one lost"),
    ]


# --------------------------------------------------------------------------------------------- the wrong axis


@exercise.mistake("softmax over the queries")
def _(scores):
    return softmax(scores.mT).mT if scores.ndim > 1 else softmax(scores)


exercise.changed(
    "softmax over the first axis",
    "The softmax runs over axis 0: each column sums to 1, each row should. With a batch, axis 0 is the "
    "batch: use axis -1.",
    ("scores.max(axis=-1", "scores.max(axis=0"),
    ("powers.sum(axis=-1", "powers.sum(axis=0"),
)
exercise.changed(
    "axis 1 instead of the last",
    "The softmax runs over axis 1. With a batch that is no longer the last one: use axis -1.",
    ("scores.max(axis=-1", "scores.max(axis=1"),
    ("powers.sum(axis=-1", "powers.sum(axis=1"),
)
exercise.changed(
    "softmax over everything",
    "",
    ("scores.max(axis=-1, keepdims=True)", "scores.max()"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum()"),
)

# ------------------------------------------------------------------------------------------- subtract, divide

exercise.changed("overflow", "", ("scores - scores.max(axis=-1, keepdims=True)", "scores"))
exercise.changed(
    "one maximum for all rows",
    "",
    ("scores.max(axis=-1, keepdims=True)", "scores.max()"),
)
exercise.changed(
    "no exponential",
    "These are scores over their sum, without exp: negative weights come out.",
    ("np.exp(scores - scores.max(axis=-1, keepdims=True))", "scores"),
)
exercise.changed(
    "not normalised",
    "These are the exponentials: divide each row by its sum.",
    (" / powers.sum(axis=-1, keepdims=True)", ""),
)


@exercise.mistake("logarithms")
def _(scores):
    """These are the logarithms of the weights."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


exercise.changed(
    "keepdims forgotten",
    "The sums lost an axis, so NumPy lines them up with the columns: `sum(axis=-1, keepdims=True)`.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)
exercise.changed(
    "keepdims forgotten in the maximum",
    "The largest scores lost an axis, so NumPy lines them up with the columns: `max(axis=-1, "
    "keepdims=True)`.",
    ("scores.max(axis=-1, keepdims=True)", "scores.max(axis=-1)"),
)
exercise.changed(
    "keepdims forgotten twice",
    "The largest scores and the sums lost an axis, so NumPy lines them up with the columns: both need "
    "`keepdims=True`.",
    ("scores.max(axis=-1, keepdims=True)", "scores.max(axis=-1)"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)
exercise.changed(
    "an axis put back for tables",
    "`[:, None]` puts the lost axis back where there are two, and no others: `keepdims=True` keeps it, "
    "however many there are.",
    ("scores.max(axis=-1, keepdims=True)", "scores.max(axis=-1)[:, None]"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)[:, None]"),
)
exercise.changed(
    "eps in the sum",
    "A little was added to the sum of the exponentials, so the weights sum to a little less than 1. It is "
    "not needed: with the largest score subtracted, the sum is 1 at least.",
    ("powers.sum(axis=-1, keepdims=True)", "(powers.sum(-1, keepdims=True) + 1e-6)"),
)
exercise.changed(
    "one sum for all rows",
    "Each row was divided by the sum of all rows: it is divided by its own.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum()"),
)


@exercise.mistake("sigmoid")
def _(scores):
    """This is a sigmoid of each score on its own: in a softmax the scores of a row compete."""
    return 1 / (1 + np.exp(-scores))
