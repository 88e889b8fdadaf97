"""Learned vectors for the places

GPT-2 learns a vector for each place: row 0 of `table`, (N, D), belongs to the first place, row 1 to the
second. Add to each token of x, (B, T, D), the row of its place. The first token of x stands at place
`start`, counted from 0: while a model writes, the tokens before it are in the cache and do not come again.
Where a token stands beyond the last row of the table, raise a `ValueError` (torch does not always do so by
itself).

Hint: With start = 3 and two tokens, which rows are needed? All sequences of the batch get the same ones.

Hint: `table[start : start + T]` has a row for each token, (T, D), and adds to (B, T, D) as it is.

Hint: A slice beyond the end is just shorter, without any error, and a single row is then added to all
tokens. So compare `start + T` with `len(table)` first.
"""

import math

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, describe

exercise = Exercise(
    level=2,
    minutes=10,
    section="What did training find?",
    forbidden=("course_lib.positions.PositionEmbedding.forward",),
    tensor=True,
)


@exercise.solution
def learned_positions(x, table, start):
    """Add to each token the vector of its place.

    Args:
        x: (B, T, D), tokens at the places start, start + 1, ...
        table: (N, D), a vector for each place from 0 on.
        start: the place of the first token, counted from 0.
    Returns: (B, T, D).
    Raises: ValueError: the table has no row for the last token.
    """
    ### BEGIN SOLUTION
    end = start + x.shape[1]
    if end > len(table):
        raise ValueError(f"the table has {len(table)} rows, but {end} places are needed")
    return x + table[start:end]
    ### END SOLUTION


@exercise.adapt
def or_refused(learner):
    """The learner's function, with NaN for a ValueError where there must be one: no sum is NaN.

    Raises: WrongForm (when called): a result came where the table ends too early.
    """

    def checked(x, table, start):
        if start + x.shape[1] <= len(table):
            return learner(x, table, start)
        try:
            result = learner(x, table, start)
        except ValueError:
            return torch.full_like(x, math.nan)
        raise WrongForm(
            f"The table has {len(table)} rows, and {x.shape[1]} tokens from place {start} on need "
            f"{start + x.shape[1]}: it must raise a ValueError, but got {describe(result)}."
        )

    return checked


@exercise.cases
def _(rng):
    def inputs(b, t, d, n, start):
        return {"x": draw(rng, b, t, d), "table": draw(rng, n, d), "start": start}

    t, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("two tokens at the start", inputs(1, 2, 2, 5, 0)),
            Case("two sequences", inputs(2, t, d, 23, 3), gradients=True, catches="no graph"),
            Case("the last rows of the table", inputs(2, 3, 5, 7, 4), catches="the last row refused"),
            Case(
                "one place too few in the table", inputs(2, 3, 5, 7, 5), catches="one place too many allowed"
            ),
            Case(
                "one token far behind the table",
                inputs(2, 1, 3, 5, 6),
                catches="no row at all is added to one token",
            ),
            Case("one row is left for three tokens", inputs(2, 3, 5, 7, 6), catches="one row added to all"),
            Case(
                "the next token of a model that writes", inputs(2, 1, 5, 11, 7), catches="an axis of one lost"
            ),
        ]
    )


exercise.changed(
    "start ignored",
    "The rows begin with the first of the table: the first token of x stands at place `start`.",
    ("table[start:end]", "table[: x.shape[1]]"),
)
exercise.changed(
    "the last rows of the table",
    "These are the last rows of the table: take those from `start` on.",
    ("table[start:end]", "table[-x.shape[1] :]"),
)
exercise.changed(
    "one row for all",
    "Every token got the row of `start`: each place after it has a row of its own.",
    ("table[start:end]", "table[start]"),
)
exercise.changed(
    "one place too far",
    "The rows begin one too late: the first token gets row `start` itself, counted from 0.",
    ("table[start:end]", "table[start + 1 : end + 1]"),
)
exercise.changed(
    "one place too early",
    "The rows begin one too early: the first token gets row `start`, counted from 0.",
    ("table[start:end]", "table[torch.arange(start - 1, end - 1)]"),
)
exercise.changed(
    "the rows before start",
    "These are the rows that end with `start`: they belong to the tokens in the cache.",
    ("table[start:end]", "table[start - x.shape[1] : start]"),
)
exercise.changed(
    "the rows in reverse",
    "The rows come in reverse: the first token gets row `start`, the next one the row after it.",
    ("table[start:end]", "table[start:end].flip(0)"),
)
exercise.changed(
    "a row for each sequence",
    "The rows were shared out among the sequences: each token gets the row of its place, in all sequences "
    "the same.",
    ("table[start:end]", "table[start : start + len(x), None]"),
)
exercise.changed(
    "sequences counted for tokens",
    "As many rows were taken as there are sequences: x is (B, T, D), and it is T, `x.shape[1]`, that counts "
    "tokens.",
    ("start + x.shape[1]", "start + len(x)"),
)
exercise.changed(
    "rows up to T",
    "The rows end at T, as if the first token stood at place 0: T rows from `start` on end at `start + T`.",
    ("table[start:end]", "table[start : x.shape[1]]"),
)
exercise.changed(
    "all rows from start on",
    "All rows from `start` on were added: take T of them, one for each token.",
    ("table[start:end]", "table[start:]"),
)
exercise.changed(
    "places run on in the next sequence",
    "The places run on from one sequence to the next: each sequence begins at `start`.",
    (
        "x + table[start:end]",
        "(x.flatten(0, 1) + table[start : start + len(x) * x.shape[1]]).reshape(x.shape)",
    ),
)
exercise.changed(
    "multiplied", "The tokens were multiplied by the rows: add them.", ("x + table", "x * table")
)
exercise.changed("subtracted", "The rows were subtracted: add them.", ("x + table", "x - table"))
exercise.changed(
    "without the tokens",
    "Only the rows of the table are there: add them to the tokens.",
    ("x + table[start:end]", "table[start:end].expand_as(x)"),
)
exercise.changed(
    "side by side",
    "The rows stand beside the tokens, so each vector is twice as wide: add them.",
    ("x + table[start:end]", "torch.cat([x, table[start:end].expand_as(x)], -1)"),
)


@exercise.mistake("no look at the end of the table")
def _(x, table, start):
    """Some tokens stand beyond the last row of the table, where it must raise a ValueError. A slice that is
    too short may be added to all tokens without any error, `%` begins anew with the first row, and torch's
    own errors are others.
    """
    return x + table[start : start + x.shape[1]]


exercise.changed(
    "only the first place looked at",
    "It was asked whether the table has a row for the first token: the last one, at `start + T - 1`, is the "
    "first to have none.",
    ("end > len(table)", "start >= len(table)"),
)
exercise.changed(
    "one place too many allowed",
    "One place behind the last row of the table is let through: the last token stands at `start + T - 1`, "
    "and the last row is `len(table) - 1`.",
    ("end > len(table)", "end - 1 > len(table)"),
)
exercise.changed(
    "the last row refused",
    "The last row of the table cannot be used: refuse only where `start + T` is larger than the number of "
    "rows.",
    ("end > len(table)", "end >= len(table)"),
)
