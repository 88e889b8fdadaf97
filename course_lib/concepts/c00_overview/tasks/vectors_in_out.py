"""One vector for each token

A token's id is the number of its row in the table. Look up the row of every token.

Hint: What does `table[2]` give? And what if a whole array of numbers stands between the brackets?
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=4, section="Vectors in, vectors out")


@exercise.solution
def vectors_in_out(token_ids, table):
    """Look up one vector for each token.

    Args:
        token_ids: (..., T), whole numbers from 0 to V - 1, a NumPy array.
        table: (V, D), one vector per row; not to be changed.
    Returns: (..., T, D).
    """
    ### BEGIN SOLUTION
    return table[token_ids]
    ### END SOLUTION


@exercise.cases
def _(rng):
    table = draw(rng, 7, 3)
    return [
        Case("the last token, then the first", {"token_ids": np.array([6, 0, 1]), "table": table}),
        Case(
            "two texts",
            {"token_ids": rng.integers(7, size=(2, 5)), "table": table},
            catches="texts joined",
        ),
        Case(
            "one token", {"token_ids": rng.integers(7, size=1), "table": table}, catches="axes of 1 dropped"
        ),
        Case(
            "as many tokens as numbers",
            {"token_ids": rng.permutation(11), "table": draw(rng, 11, 11)},
            catches="columns, one a row",
        ),
    ]


exercise.changed(
    "counted from 1",
    "Every token gets the row before its own: ids count from 0, as NumPy does.",
    ("table[token_ids]", "table[token_ids - 1]"),
)
exercise.changed(
    "columns instead of rows",
    "These are columns of the table: a token's vector is a row.",
    ("table[token_ids]", "table[:, token_ids]"),
)
exercise.changed(
    "columns, one a row",
    "These are columns of the table, written as rows: a token's vector is a row of the table itself.",
    ("table[token_ids]", "table.T[token_ids]"),
)
exercise.changed(
    "vectors in columns",
    "The result is transposed: one row for each token.",
    ("table[token_ids]", "table[token_ids].mT"),
)
exercise.changed(
    "texts joined",
    "All tokens stand in one long text: the axes of the ids stay, and one is added for the vector.",
    ("table[token_ids]", "table[token_ids.ravel()]"),
)
exercise.changed(
    "no table",
    "These are rows of zeros with a 1 at the id: they still have to meet the table, `one_hot @ table`. "
    "`table[token_ids]` is the short way.",
    ("table[token_ids]", "np.eye(len(table))[token_ids]"),
)
exercise.changed(
    "places instead of ids",
    "The first token gets the first row, the second the second: take the row that its id names.",
    ("table[token_ids]", "table[: token_ids.shape[-1]]"),
)
exercise.changed(
    "numbers instead of rows",
    "`np.take` without an axis counts single numbers of the table: `np.take(table, token_ids, axis=0)`.",
    ("table[token_ids]", "np.take(table, token_ids)"),
)
exercise.changed(
    "mean of the text",
    "This is one vector for the whole text, the mean: every token keeps a vector of its own.",
    ("table[token_ids]", "table[token_ids].mean(-2)"),
)
exercise.changed(
    "each token once",
    "`np.unique` sorts the ids and drops what comes twice: the vectors stand as the tokens do.",
    ("table[token_ids]", "table[np.unique(token_ids)]"),
)
