"""Mixing the values

Each query takes its share of every value: the weighted sum.

Hint: For one query: its first weight times the first value, plus its second weight times the second, and so
on.

Hint: A row of weights times the matrix of values is exactly that sum.
"""

import numpy as np

from course_lib import maths
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, inside_the_values, primes
from course_lib.checks.kinds import Case, Property

exercise = Exercise(
    level=1,
    minutes=5,
    section="Mixing the values",
    properties=(Property("inside the values", inside_the_values),),
)


@exercise.solution
def mix(weights, v):
    """Weighted sums of the values.

    Args:
        weights: (..., T, S), one row per query.
        v: (..., S, D), one row per value.
    Returns: (..., T, D).
    """
    ### BEGIN SOLUTION
    return weights @ v
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, s, d):
        weights = maths.softmax(2 * rng.standard_normal((*batch, t, s)))
        if weights.size <= 30:  # hundredths, which still sum to 1
            weights = rng.multinomial(100, weights) / 100
        return {"weights": weights.astype(np.float32), "v": draw(rng, *batch, s, d)}

    nothing = {"weights": np.zeros((1, 3), np.float32), "v": draw(rng, 3, 2)}
    return [
        Case("two queries, three values", inputs((), 2, 3, 5)),
        Case("everything square", inputs((), 3, 3, 3), catches="weights transposed"),
        Case("a batch", inputs((2,), *primes(rng, 11, 13, 17)), catches="np.dot"),
        Case("a query that takes nothing", nothing, catches="normalised once more"),
    ]


exercise.changed(
    "weights transposed",
    "The weights are transposed: a query's weights are a row, and a row times v is the mix.",
    ("weights @", "weights.mT @"),
)


@exercise.mistake("plain mean")
def _(weights, v):
    """This is the plain mean of the values: the weights are not used."""
    return np.ones_like(weights) @ v / v.shape[-2]


@exercise.mistake("plain sum")
def _(weights, v):
    """This is the plain sum of the values: the weights are not used."""
    return np.ones_like(weights) @ v


@exercise.mistake("winner takes all")
def _(weights, v):
    """Each query takes only the value with the largest weight: a mix takes a share of each."""
    return np.eye(v.shape[-2], dtype=v.dtype)[weights.argmax(-1)] @ v


exercise.changed(
    "softmax once more",
    "The weights went through a softmax again: they are ready to use.",
    ("weights @", "maths.softmax(weights) @"),
)
exercise.changed(
    "values times weights",
    "This is v @ weights, which fails unless the sizes happen to fit: a row of weights comes first, then the "
    "values.",
    ("weights @ v", "v @ weights"),
)
exercise.changed(
    "number by number",
    "`*` multiplies number by number: all weighted sums at once are a matrix product, `@`.",
    ("weights @ v", "weights * v"),
)
exercise.changed(
    "np.dot",
    "`np.dot` gives the values of each sequence to every other one: with more than two axes it is `@`.",
    ("weights @ v", "np.dot(weights, v)"),
)
exercise.changed(
    "mixes in columns",
    "The result is transposed: one row per query, as in the weights.",
    ("weights @ v", "(weights @ v).mT"),
)
exercise.changed(
    "normalised once more",
    "The weights were divided by their sum: they are ready to use, and those of a query that takes nothing "
    "would become 0/0.",
    ("weights @ v", "weights / weights.sum(-1, keepdims=True) @ v"),
)
exercise.changed("values transposed", "The values are transposed: a value is a row of v.", ("@ v", "@ v.mT"))
exercise.changed(
    "divided by the number of values",
    "Each number is too small by the number of values: the weights sum to 1 already.",
    ("weights @ v", "weights @ v / v.shape[-2]"),
)
exercise.changed(
    "scaled by the width",
    "The scaling by a square root belongs to the scores, not to the mix.",
    ("weights @ v", "weights @ v / np.sqrt(v.shape[-1])"),
)
