"""More often than by chance

Positive pointwise mutual information: max(0, log(P(w, c) / (P(w) P(c)))), with the natural logarithm. A row
of the counts is a word, a column a context; P(w, c) is the share of this pair in all counts, P(w) the share
of the whole row, P(c) that of the whole column. Where a word and a context never meet the result is 0, also
where a word never occurs at all.

Hint: With the sums of rows and columns: P(w, c) / (P(w) P(c)) is the count times the sum of all counts,
divided by the sum of the row and the sum of the column.

Hint: `counts.sum(axis=1, keepdims=True)` is a column, `counts.sum(axis=0, keepdims=True)` a row: their
product is a table.

Hint: Take the logarithm only where the count is above 0: begin with `result = np.zeros(counts.shape)` and
fill `result[met]`, with `met = counts > 0`.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=12, section="Known by its company")


@exercise.solution
def ppmi(counts):
    """Positive pointwise mutual information.

    Args:
        counts: (V, C), floats of 0 or more, at least one above 0; not to be changed.
    Returns: (V, C), nothing below 0; float64 stays float64.
    """
    ### BEGIN SOLUTION
    by_chance = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True)
    result = np.zeros(counts.shape)
    met = counts > 0
    result[met] = np.log(counts[met] * counts.sum() / by_chance[met])
    return np.maximum(result, 0)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def counts(*shape, empty=()):
        """Random counts: each word has a context that it meets more often, and one that it never meets."""
        rows = np.arange(shape[0])
        while True:
            n = rng.integers(1, 6, shape).astype(np.float32)
            often = rng.integers(shape[1], size=shape[0])
            n[rows, often] += rng.integers(7, 12, shape[0])
            n[rows, (often + 1) % shape[1]] = 0
            if empty:
                n[empty] = 0
            n_empty = (n.sum(0) == 0).sum() + (n.sum(1) == 0).sum()
            # Where nothing is above chance, all is 0 but for rounding.
            if n_empty == bool(empty) and ppmi(n).max() > 0.3:
                return n

    return [
        Case("two words, three contexts", {"counts": counts(2, 3)}),
        Case("three words, three contexts", {"counts": counts(3, 3)}, catches="keepdims forgotten"),
        Case(
            "a word that never occurs",
            {"counts": counts(3, 5, empty=(1,))},
            catches="a row of zeros divided by 0",
        ),
        Case(
            "a context that never occurs",
            {"counts": counts(5, 3, empty=(slice(None), 2))},
            catches="a column of zeros divided by 0",
        ),
    ]


# ------------------------------------------------------------------------------------------- where none meet

exercise.changed(
    "negative values stay",
    "Values below 0 are left: pairs that meet less often than by chance get 0.",
    ("np.maximum(result, 0)", "result"),
)
exercise.changed(
    "minus infinity",
    "Where the count is 0 the logarithm is minus infinity: the result is 0 there, and 0 is also the least.",
    ("np.zeros(counts.shape)", "np.full(counts.shape, -np.inf)"),
    ("np.maximum(result, 0)", "result"),
)


@exercise.mistake("0 divided by 0")
def _(counts):
    """A row or column of zeros gives 0/0, which is NaN: the result is 0 where the count is 0."""
    ratio = counts * counts.sum() / (counts.sum(axis=1, keepdims=True) * counts.sum(axis=0))
    return np.maximum(np.log(ratio), 0)


@exercise.mistake("a row of zeros divided by 0")
def _(counts):
    """A row of zeros gives 0/0, which is NaN: the result is 0 where the count is 0, also where a word never
    occurs.
    """
    sums = counts.sum(axis=1, keepdims=True) * np.fmax(counts.sum(axis=0), 1)
    return np.log(np.maximum(counts * counts.sum() / sums, 1))


@exercise.mistake("a column of zeros divided by 0")
def _(counts):
    """A column of zeros gives 0/0, which is NaN: the result is 0 where the count is 0, also where a context
    never occurs.
    """
    sums = np.fmax(counts.sum(axis=1, keepdims=True), 1) * counts.sum(axis=0)
    return np.log(np.maximum(counts * counts.sum() / sums, 1))


# --------------------------------------------------------------------------------------------- the logarithm

exercise.changed(
    "another logarithm",
    "This is the logarithm to base 2: the natural one was asked for, `np.log`.",
    ("np.log", "np.log2"),
)
exercise.changed(
    "logarithm to base 10",
    "This is the logarithm to base 10: the natural one was asked for, `np.log`.",
    ("np.log", "np.log10"),
)
exercise.changed("no logarithm", "The logarithm is missing: these are the ratios themselves.", ("np.log", ""))
exercise.changed(
    "logarithm of 1 + ratio",
    "`log1p` adds 1 to the ratio: a pair that meets as often as by chance should get log(1) = 0.",
    ("np.log", "np.log1p"),
)

# -------------------------------------------------------------------------------------- counts and their sums


@exercise.mistake("one added to every count")
def _(counts):
    """One was added to every count: use the counts as they are, and give 0 where a count is 0."""
    return ppmi(counts + 1)


@exercise.mistake("a little added to every count")
def _(counts):
    """A little was added to every count: a word that never occurs then seems to meet rare contexts. Use the
    counts as they are, and give 0 where a count is 0.
    """
    return ppmi(counts + 1e-9)


exercise.changed(
    "a little added to the ratio",
    "A little was added to the ratio: take it as it is, and give 0 where the count is 0.",
    ("by_chance[met])", "by_chance[met] + 1e-8)"),
)


@exercise.mistake("nothing left")
def _(counts):
    """Everything is 0, because the ratio is never above 1: the count times the sum of all counts, divided by
    the sums of its row and of its column.
    """
    return np.zeros(counts.shape)


exercise.changed(
    "the sums of the rows twice",
    "The sums of the rows were used for the columns too: a context has its own sum, that of its column.",
    ("counts.sum(axis=0, keepdims=True)", "counts.sum(axis=1)"),
)


@exercise.mistake("the sums of the columns twice")
def _(counts):
    """The sums of the columns were used for the rows too: a word has its own sum, that of its row."""
    return np.log(np.fmax(counts * counts.sum() / counts.sum(axis=0) ** 2, 1))


@exercise.mistake("sums of rows and columns exchanged")
def _(counts):
    """The sums of rows and of columns are exchanged: axis 1 is added up for the sum of a row, and that one
    stands in a column.
    """
    by_chance = counts.sum(axis=0)[:, None] * counts.sum(axis=1)
    return np.log(np.fmax(counts * counts.sum() / by_chance, 1))


@exercise.mistake("keepdims forgotten")
def _(counts):
    """The sums of the rows lost an axis, so NumPy lines them up with the columns:
    `sum(axis=1, keepdims=True)`.
    """
    ratio = counts * counts.sum() / (counts.sum(axis=1) * counts.sum(axis=0))
    return np.log(np.fmax(ratio, 1))


exercise.changed(
    "sizes instead of the positive part",
    "Negative values became positive: take the larger of 0 and the value, not its size.",
    ("np.maximum(result, 0)", "np.abs(result)"),
)


@exercise.mistake("rare contexts smoothed")
def _(counts):
    """The shares of the contexts were raised to the power 0.75, as in word2vec: use P(c), the
    share itself.
    """
    often = counts.sum(axis=0) ** 0.75
    ratio = counts / counts.sum(axis=1, keepdims=True) / (often / often.sum())
    return np.log(np.fmax(ratio, 1))


@exercise.mistake("weighted by its share")
def _(counts):
    """Each value was multiplied by the share of its pair: that is a part of the mutual
    information, not PPMI.
    """
    return ppmi(counts) * counts / counts.sum()


@exercise.mistake("against the row alone")
def _(counts):
    """Only one of the two sums was used, and the number of contexts for the other: a frequent context is met
    often by chance.
    """
    ratio = counts * counts.shape[1] / counts.sum(axis=1, keepdims=True)
    return np.log(np.fmax(ratio, 1))


@exercise.mistake("against the column alone")
def _(counts):
    """Only one of the two sums was used, and the number of words for the other: a frequent word meets much by
    chance.
    """
    ratio = counts * counts.shape[0] / counts.sum(axis=0, keepdims=True)
    return np.log(np.fmax(ratio, 1))
