"""Scores

How well does each query match each key? The dot product of the two, divided by the square root of K.

Hint: Take two queries and three keys: which product of a (2, K) and a (K, 3) matrix gives all six dot
products?

Hint: All dot products at once are a matrix product. Exchange the last two axes of k: `k.swapaxes(-1, -2)`.

Hint: The width is `q.shape[-1]`: the last axis, not the number of tokens.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=5, section="Scores")


@exercise.solution
def scores(q, k):
    """Scaled dot products of all queries with all keys.

    Args:
        q: (..., T, K).
        k: (..., S, K).
    Returns: (..., T, S), one row per query.
    """
    ### BEGIN SOLUTION
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, s, k):
        return {"q": draw(rng, *batch, t, k), "k": draw(rng, *batch, s, k)}

    return [
        Case("two queries, three keys", inputs((), 2, 3, 5)),
        Case(
            "a batch of two, three heads",
            inputs((2, 3), *primes(rng, 5, 7, 11)),
            catches="scaled by axis 1",
        ),
        Case(
            "three sequences of three tokens, three wide",
            inputs((3,), 3, 3, 3),
            catches="keys not turned",
        ),
        Case("large numbers", {name: 1000 * x for name, x in inputs((), 3, 5, 7).items()}, catches="cut off"),
        Case("a single query", inputs((), 1, 7, 3), catches="an axis of one lost"),
    ]


exercise.changed("no scaling", "", (" / np.sqrt(q.shape[-1])", ""))
exercise.changed("divided by K", "", ("np.sqrt(q.shape[-1])", "q.shape[-1]"))
exercise.changed("divided by half of K", "", ("np.sqrt(q.shape[-1])", "(q.shape[-1] ** 1 / 2)"))
exercise.changed("divided by twice K", "", ("np.sqrt(q.shape[-1])", "q.shape[-1] ** 1 / 2"))
exercise.changed("multiplied instead of divided", "", ("/ np.sqrt", "* np.sqrt"))
exercise.changed("scaled by the number of keys", "", ("q.shape[-1]", "k.shape[-2]"))
exercise.changed("scaled by the number of queries", "", ("q.shape[-1]", "q.shape[-2]"))
exercise.changed(
    "scaled by axis 1",
    "The scores are divided by the square root of `q.shape[1]`, which is the width of a key only where q has "
    "two axes: `q.shape[-1]` is the last axis, whatever comes before.",
    ("q.shape[-1]", "q.shape[1]"),
)
exercise.changed("keys ask the queries", "", ("q @ k.swapaxes", "k @ q.swapaxes"))
exercise.changed(
    "keys not turned",
    "",
    ("k.swapaxes(-1, -2)", "k"),
)
exercise.changed(
    "number by number",
    "`*` multiplies number by number: the dot products of all pairs are a matrix product, `@`.",
    ("q @ k.swapaxes(-1, -2)", "q * k"),
)
exercise.changed(
    "all axes reversed",
    "`.T` reverses all axes, so it fails on a batch: exchange only the last two.",
    ("k.swapaxes(-1, -2)", "k.T"),
)
exercise.changed(
    "the first two axes exchanged",
    "The first two axes of k were exchanged, which are the last two only where k has no others: count from "
    "the end, -1 and -2.",
    ("k.swapaxes(-1, -2)", "k.swapaxes(0, 1)"),
)
exercise.changed(
    "np.dot",
    "`np.dot` lets each sequence meet every other one: with more than two axes it is `@`.",
    ("q @ k.swapaxes(-1, -2)", "np.dot(q, k.swapaxes(-1, -2))"),
)


@exercise.mistake("cosines")
def _(q, k):
    """These are cosines: the vectors were brought to length 1. Attention uses the dot product over
    sqrt(K).
    """
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    k = k / np.linalg.norm(k, axis=-1, keepdims=True)
    return q @ k.swapaxes(-1, -2)
