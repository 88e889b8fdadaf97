"""From halves to neighbours

In Hugging Face's files of the Llama family, number i of a head and number i + K/2 are a pair, where your
rotation turns neighbours. Nobody has to train such a model again: each number of a query comes from one row
of a matrix, so it is enough to put the rows in another order. `weight` is the matrix of a layer's `q_proj`
or `k_proj`, (H K, D): the first K rows belong to head 0, the next K to head 1. In each head let rows i and
i + K/2 become rows 2i and 2i + 1. When this is done to both matrices, your rotation gives the scores that
theirs gave before.

Hint: Write down the new order of the rows of a head with K = 6: which old row becomes row 0, row 1, row 2?

Hint: `weight.reshape(H, 2, K // 2, D)` gives each head its two halves. Which two axes have to be exchanged,
so that the two rows of a pair are neighbours?

Hint: Exchange axes 1 and 2, and make three axes one again: `.reshape(H * K, D)`.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=12, section="Which two numbers are a pair?", tensor=True)


@exercise.solution
def to_interleaved(weight, n_heads):
    """Put the rows of each head in the order that a rotation of neighbours needs.

    Args:
        weight: (H K, D), of a q_proj or k_proj in whose heads rows i and i + K/2 are a pair.
        n_heads: H.
    Returns: (H K, D), in whose heads rows 2i and 2i + 1 are that pair.
    """
    ### BEGIN SOLUTION
    n_rows, width = weight.shape
    halves = weight.reshape(n_heads, 2, -1, width)  # (H, 2, K / 2, D)
    return halves.transpose(1, 2).reshape(n_rows, width)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n_heads, d_head, d_model):
        return {"weight": all_different(rng, n_heads * d_head, d_model), "n_heads": n_heads}

    d_head, d_model = 2 * primes(rng, 3, 5, 7)[0], primes(rng, 11, 13)[0]
    return in_torch(
        [
            Case("one head of four rows", inputs(1, 4, 3)),
            Case("a square matrix", inputs(2, 6, 12), catches="columns instead of rows"),
            Case("three heads", inputs(3, d_head, d_model), gradients=True, catches="no graph"),
            Case("one column", inputs(2, 10, 1), catches="an axis of one lost"),
        ]
    )


exercise.changed(
    "the whole width at once",
    "The rows of all heads were taken for one head: cut them into heads first, and stay within each.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(1, 2, -1, width)"),
)
exercise.changed(
    "the way back",
    "This is the opposite order: it turns neighbours into halves. Row 1 of a head should be what was row "
    "K/2.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(n_heads, -1, 2, width)"),
)


exercise.changed(
    "even rows, then odd rows",
    "The even rows of the matrix come first now, and then the odd ones, across all heads: that turns "
    "neighbours into halves, and leaves the heads. Row 1 of a head should be what was its row K/2.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(1, -1, 2, width)"),
)


@exercise.mistake("columns instead of rows")
def _(weight, n_heads):
    """The columns were reordered: the numbers of queries and keys come from the rows."""
    return to_interleaved(weight.mT, n_heads).mT


exercise.changed(
    "the halves exchanged",
    "In each head the second half of the rows comes first now: take one row from each half in turn.",
    ("halves.transpose(1, 2)", "halves.flip(1)"),
)
exercise.changed(
    "neighbours exchanged",
    "Rows 2i and 2i + 1 have changed places: the partner of row i is row i + K/2.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(-1, 2, width)"),
    ("halves.transpose(1, 2)", "halves.flip(1)"),
)
exercise.changed(
    "the second of each pair first",
    "Row i + K/2 comes before row i: the first number of a pair comes first, or every angle changes its "
    "sign.",
    ("halves.transpose(1, 2)", "halves.flip(1).transpose(1, 2)"),
)
exercise.changed(
    "unchanged",
    "The rows stand where they stood: rows i and i + K/2 of each head become neighbours.",
    ("halves.transpose(1, 2)", "halves"),
)
exercise.changed(
    "one half of all heads, then the other",
    "The first halves of all heads come before all second ones: stay within a head.",
    ("halves.transpose(1, 2)", "halves.transpose(0, 1)"),
)
exercise.changed(
    "heads interleaved",
    "Row h of every group of H rows was taken for head h: a head's K rows stand one after the other.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(2, -1, n_heads, width)"),
    ("halves.transpose(1, 2)", "halves.permute(2, 1, 0, 3)"),
)
exercise.changed(
    "one head's rows beside another's",
    "Rows of different heads were paired: both rows of a pair come from the same head.",
    ("weight.reshape(n_heads, 2, -1, width)", "weight.reshape(n_heads, -1, width)"),
    ("halves.transpose(1, 2)", "halves.transpose(0, 1)"),
)


@exercise.mistake("heads for the width of a head")
def _(weight, n_heads):
    """`n_heads` was taken for the number of rows in a head: it is how many heads there are."""
    return to_interleaved(weight, len(weight) // n_heads)


@exercise.mistake("the second half backwards")
def _(weight, n_heads):
    """The second half was taken from its end: the partner of row i is row i + K/2, not K - 1 - i."""
    first, second = weight.unflatten(0, (n_heads, 2, -1)).unbind(1)
    return torch.stack([first, second.flip(1)], 2).flatten(0, 2)


exercise.changed(
    "still cut into heads",
    "The rows are right, but still cut into heads: the result is a matrix, (H K, D).",
    ("reshape(n_rows, width)", "reshape(n_heads, -1, width)"),
)
exercise.changed(
    "transposed",
    "The matrix is transposed: it is (H K, D), as it came.",
    ("reshape(n_rows, width)", "reshape(n_rows, width).mT"),
)
