"""Causal mask

A model that writes must not see what comes later. Of `n_keys` tokens the last `n_queries` ask; each may see
itself and what came before it.

Hint: The queries are the last n_queries of n_keys tokens. At which key does query t stand?

Hint: At key n_keys - n_queries + t. It may see this key and all before it.

Hint: `np.arange(n_keys)` against `np.arange(n_queries)[:, None]` compares all pairs at once; or see
`np.tri`.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="The mask")


@exercise.solution
def causal_mask(n_queries, n_keys):
    """Who may see whom when nobody looks ahead.

    Returns: (n_queries, n_keys), boolean, True = may attend; the last query stands at the last key.
    """
    ### BEGIN SOLUTION
    return np.arange(n_keys) <= np.arange(n_queries)[:, None] + n_keys - n_queries
    ### END SOLUTION


@exercise.cases
def _(rng):
    def sizes(n_old, n_new):
        return {"n_queries": n_new, "n_keys": n_old + n_new}

    many = 130 - between(rng, 0, 65)  # few at the visible check, whose table is then too small for others
    return [
        Case("three tokens", sizes(0, 3)),
        Case(
            "some new tokens after some old ones",
            sizes(between(rng, 5, 40), between(rng, 2, 16)),
            catches="the first query at the first key",
        ),
        Case("one new token: it sees all", sizes(between(rng, 5, 60), 1), catches="an axis of one lost"),
        Case(
            "many tokens",
            sizes(0, many),
            catches="a table of 64 tokens",
        ),
    ]


exercise.changed(
    "aligned at the top left",
    "The first query is lined up with the first key: it is the last query that belongs to the last key.",
    (" + n_keys - n_queries", ""),
)
exercise.changed(
    "upside down",
    "True and False are exchanged: True means that the query may attend.",
    ("<=", ">"),
)
exercise.changed(
    "looks ahead",
    "Each token sees itself and what comes after it: it should see what came before.",
    ("<=", ">="),
)
exercise.changed(
    "blind to itself",
    "Each token sees only what came before it: it may see itself too.",
    ("<=", "<"),
)
exercise.changed(
    "one step ahead",
    "Each token sees the next one too.",
    ("n_keys - n_queries", "n_keys - n_queries + 1"),
)


@exercise.mistake("rows and columns exchanged")
def _(n_queries, n_keys):
    """Rows are queries, columns are keys; here it is the other way round."""
    return causal_mask(n_queries, n_keys).T


@exercise.mistake("everything allowed")
def _(n_queries, n_keys):
    """Every token sees every other: that is no causal mask."""
    return np.ones((n_queries, n_keys), dtype=bool)


@exercise.mistake("to be added to the scores")
def _(n_queries, n_keys):
    """This is 0 and minus infinity, to be added to the scores. Here a mask is boolean: True = may attend."""
    return np.where(causal_mask(n_queries, n_keys), 0, -np.inf)


exercise.changed(
    "shifted the wrong way",
    "The offset has the wrong sign: with more keys than queries, the queries are the last ones.",
    ("n_keys - n_queries", "n_queries - n_keys"),
)
