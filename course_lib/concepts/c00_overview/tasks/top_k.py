"""Top-k

Keep the k largest logits of each row, at their places, and make all others minus infinity: behind a softmax
they get a chance of 0. Where logits tie for the last place, keep either or all of them: the check has no
ties.

Hint: Sort a row. At which place, counted from the end, stands the smallest logit that stays?

Hint: `np.sort(logits)` sorts each row; its place -k holds the smallest that stays. `[..., [-k]]` keeps the
axis.

Hint: `np.where(condition, logits, -np.inf)` takes a logit where the condition holds, and minus infinity
elsewhere.
"""

import numpy as np

from course_lib import maths
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import primes
from course_lib.checks.kinds import Case, Property


def keeps_k(result, inputs):
    """How many logits of a row are left, where it is not k of them."""
    kept = np.isfinite(result).sum(-1)
    wrong = np.argwhere(kept != inputs["k"])
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    row = f"Row {list(where)}" if where else "The row"
    return f"{row} keeps {kept[where]} logits, expected {inputs['k']}; all others are minus infinity."


exercise = Exercise(
    level=2, minutes=7, section="From scores to chances", properties=(Property("keeps k", keeps_k),)
)


@exercise.solution
def top_k(logits, k):
    """Keep the k largest logits of each row.

    Args:
        logits: (..., V); not to be changed.
        k: from 1 to V.
    Returns: (..., V), float64 stays float64; minus infinity where a logit was not kept.
    """
    ### BEGIN SOLUTION
    smallest_kept = np.sort(logits)[..., [-k]]
    return np.where(logits >= smallest_kept, logits, -np.inf)
    ### END SOLUTION


def distinct(rng, *shape):
    """Numbers with one decimal of which no two are the same, nor of the same size; none is 0."""
    sizes = rng.permutation(np.arange(1, 100))[: int(np.prod(shape))]
    signs = rng.choice([-1, 1], len(sizes))
    return (signs * sizes / 10).reshape(shape).astype(np.float32)


@exercise.cases
def _(rng):
    return [
        Case("one row", {"logits": distinct(rng, 7), "k": 2}),
        Case(
            "three rows of three",
            {"logits": distinct(rng, 3, 3), "k": 2},
            catches="one row alone",
        ),
        Case(
            "a batch",
            {"logits": distinct(rng, *primes(rng, 2, 3, 11)), "k": 2},
            catches="a loop over one table",
        ),
        Case("the largest alone", {"logits": distinct(rng, 3, 5), "k": 1}, catches="the slice -k : -k + 1"),
        Case(
            "k is the length of a row",
            {"logits": distinct(rng, 2, 5), "k": 5},
            catches="compared with place -k - 1",
        ),
    ]


# ---------------------------------------------------------------------------------------------- which stay


@exercise.mistake("the k smallest")
def _(logits, k):
    """The k smallest logits were kept: sorting goes upwards, so the largest stand at the end."""
    return np.where(logits <= np.sort(logits)[..., [k - 1]], logits, -np.inf)


exercise.changed(
    "the k largest were dropped",
    "The condition is upside down: the k largest became minus infinity, the others were kept.",
    ("logits, -np.inf", "-np.inf, logits"),
)
exercise.changed(
    "zero instead of minus infinity",
    "The others became 0. A logit of 0 is no chance of 0: exp(0) is 1. Use -np.inf.",
    ("-np.inf", "0"),
)
exercise.changed(
    "a large negative number",
    "The others became a large negative number: softmax forgives that, but minus infinity was asked for.",
    ("-np.inf", "-1e9"),
)
exercise.changed(
    "the lowest number",
    "The others became the lowest number that there is: softmax forgives that, but minus infinity was asked "
    "for.",
    ("-np.inf", "np.finfo(logits.dtype).min"),
)


@exercise.mistake("one too many")
def _(logits, k):
    """k + 1 logits are kept: in a sorted row the k-th largest stands at place -k, and it stays."""
    return top_k(logits, min(k + 1, logits.shape[-1]))


exercise.changed(
    "place k from the front",
    "Place k of a sorted row is counted from its smallest logit: the k-th largest stands at place -k.",
    ("[-k]", "[k]"),
)
exercise.changed(
    "one too few",
    "k - 1 logits are kept: the k-th largest stays too, so compare with >=, not with >.",
    (">=", ">"),
)


@exercise.mistake("over all rows at once")
def _(logits, k):
    """k logits were kept of all rows together: keep k in each row."""
    return top_k(logits.ravel(), k).reshape(logits.shape)


exercise.changed(
    "over the first axis",
    "k logits were kept in each column: keep k in each row, along the last axis.",
    ("np.sort(logits)[..., [-k]]", "np.sort(logits, axis=0)[-k]"),
)


exercise.changed(
    "a threshold for each column",
    "The smallest logits that stay lost an axis, so NumPy lines them up with the columns: `[..., [-k]]` "
    "keeps it.",
    ("[..., [-k]]", "[..., -k]"),
)


@exercise.mistake("argsort taken for ranks")
def _(logits, k):
    """`np.argsort` says where the first, second, third ... of the sorted logits stands, not which rank each
    logit has.
    """
    return np.where(np.argsort(logits) >= logits.shape[-1] - k, logits, -np.inf)


@exercise.mistake("argsort taken for ranks, the largest first")
def _(logits, k):
    """`np.argsort` says where the first, second, third ... of the sorted logits stands, not which rank each
    logit has.
    """
    return np.where(np.argsort(-logits) < k, logits, -np.inf)


@exercise.mistake("sorted")
def _(logits, k):
    """The row came back sorted: each logit must stay at its place, because the place is the token."""
    return -np.sort(-top_k(logits, k))


# --------------------------------------------------------------------------------------------- what comes


@exercise.mistake("the k largest alone")
def _(logits, k):
    """Only the k largest came back: keep the shape, and write minus infinity at the other places."""
    return np.sort(logits)[..., -k:]


@exercise.mistake("places instead of logits")
def _(logits, k):
    """These are the places of the k largest: return the logits, with minus infinity at all other places."""
    return np.argsort(logits)[..., -k:]


exercise.changed(
    "a mask instead of logits",
    "This says which logits stay: return the logits themselves, and minus infinity for the others.",
    ("np.where(logits >= smallest_kept, logits, -np.inf)", "logits >= smallest_kept"),
)


@exercise.mistake("largest in size")
def _(logits, k):
    """The k logits farthest from 0 were kept: a logit of -9 is small, not large."""
    sizes = np.abs(logits)
    return np.where(sizes >= np.sort(sizes)[..., [-k]], logits, -np.inf)


@exercise.mistake("chances instead of logits")
def _(logits, k):
    """A softmax came behind: here the logits themselves are asked for."""
    return maths.softmax(top_k(logits, k))
