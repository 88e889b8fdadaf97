"""Texts of different lengths

Texts of one batch differ in length, so the shorter ones are filled up with padding, and an RNN must not
read it. `x` (B, T, D_in) holds B texts from left to right; of row i the first `lengths[i]` tokens are true
ones and the rest is padding, which may hold any numbers. A true token may be all zeros. `lengths` (B) holds
whole numbers from 0 to T in any order. Each row starts with a state of zeros, and each true token makes the
next state, tanh(W x + U h + b), with `w` (D, D_in), `u` (D, D) and `b` (D). Return two tensors. The outputs
(B, T, D) hold the state after each true token and zeros at padding. The last states (B, D) hold the state
after each row's last true token; where a row has none, that is its start. Gradients must flow, and
`rnn_step` of the task before may be used.

Hint: While one row still reads and another one has ended, what should happen to the state of each?

Hint: `(t < lengths)[:, None]` is True for the rows that have a true token in column t.
`torch.where(condition, a, b)` takes a where the condition is true, else b.

Hint: In a loop over the columns: `new = rnn_step(x[:, t], h, w, u, b)`, then `h` is `new` where a row still
reads and stays h elsewhere. The output is `new` or 0, and `torch.stack(outputs, 1)` joins them.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c08_rnn_comparison.tasks.rnn_step import between_one_and_minus_one


def says_where_padding_goes(result, inputs):
    """The output of padding that is not zeros, or the last state of an empty row that is not."""
    lengths = inputs["lengths"].numpy()
    if result.ndim == 3:
        padding = np.arange(result.shape[1]) >= lengths[:, None]
        wrong = np.argwhere(padding & (result != 0).any(-1))
        if not len(wrong):
            return ""
        row, column = (int(i) for i in wrong[0])
        return (
            f"Row {row} has length {lengths[row]}, but its output in column {column} is not 0: after the end "
            "outputs are zeros."
        )
    empty = np.argwhere((lengths == 0) & (result != 0).any(-1))
    if not len(empty):
        return ""
    return f"Row {int(empty[0, 0])} has length 0, so nothing is read: its last state is the start, zeros."


exercise = Exercise(
    level=3,
    minutes=20,
    section="A network that reads",
    forbidden=(
        "torch.rnn_tanh_cell",
        "torch.rnn_tanh",
        "course_lib.recurrent.unroll",
    ),
    results=("outputs", "last"),
    properties=(
        Property("padding", says_where_padding_goes),
        Property("within tanh", between_one_and_minus_one),
    ),
)


@exercise.solution
def rnn_with_padding(x, lengths, w, u, b):
    """Read a batch of texts with an RNN, without their padding.

    Args:
        x: (B, T, D_in), texts from left to right, then padding.
        lengths: (B), how many true tokens each text has; 0 to T.
        w, u, b: as for `rnn_step`.
    Returns: outputs (B, T, D), zeros at padding; last states (B, D).
    """
    ### BEGIN SOLUTION
    h = x.new_zeros(len(x), len(b))
    outputs = []
    for t in range(x.shape[1]):
        reads = (t < lengths)[:, None]  # (B, 1)
        new = torch.tanh(x[:, t] @ w.mT + h @ u.mT + b)
        h = torch.where(reads, new, h)
        outputs.append(torch.where(reads, new, 0.0))
    return torch.stack(outputs, dim=1), h
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(lengths, n_columns, d_in, d):
        return {
            "x": draw(rng, len(lengths), n_columns, d_in),
            "lengths": rng.permutation(lengths),
            "w": draw(rng, d, d_in),
            "u": draw(rng, d, d),
            "b": draw(rng, d),
        }

    hole = inputs([5, 3, 4], 5, 3, 2)
    hole["x"][:, 1:3] = 0
    t, d_in, d = primes(rng, 5, 7, 11)
    return in_torch(
        [
            Case("one text, one column of padding", inputs([2], 3, 2, 2)),
            Case("tokens that are zeros", hole, catches="zeros taken for padding"),
            Case("nothing but padding", inputs([0, 0], 3, 2, 3), catches="a stack of no outputs"),
            Case("a batch", inputs([t, 0, 2, t - 1], t, d_in, d), gradients=True, catches="no graph"),
        ]
    )


# --------------------------------------------------------------------------------------- after the last token


@exercise.mistake("lengths ignored")
def read_all(x, lengths, w, u, b):
    """All T columns were read, padding too: a row ends after `lengths[i]` tokens."""
    return rnn_with_padding(x, torch.full_like(lengths, x.shape[1]), w, u, b)


exercise.changed(
    "the state reads padding",
    "The outputs are right, but the last state has read the padding: after a row's last true token it stays "
    "as it was.",
    ("torch.where(reads, new, h)", "new"),
)
exercise.changed(
    "padding as zeros",
    "The outputs are right, but padding was set to 0 and then read, and tanh(U h + b) changes a state too: "
    "after a row's last true token it stays as it was.",
    ("torch.where(reads, new, h)", "new"),
    ("x[:, t] @", "(x[:, t] * reads) @"),
)
exercise.changed(
    "zeros at the end",
    "Rows with padding end in a state of zeros: the last output, in column T - 1, belongs to padding there. "
    "The last state is the one after the last true token.",
    ("dim=1), h", "dim=1), outputs[-1]"),
)
exercise.changed(
    "outputs not zeroed",
    "The last states are right, but the outputs go on with the state after the end: at padding they are "
    "zeros.",
    ("torch.where(reads, new, 0.0)", "h"),
)


@exercise.mistake("outputs of padding")
def _(x, lengths, w, u, b):
    """The last states are right, but padding has outputs, as if it had been read: at padding they
    are zeros.
    """
    return read_all(x, lengths, w, u, b)[0], rnn_with_padding(x, lengths, w, u, b)[1]


# -------------------------------------------------------------------------------------- which tokens are true

exercise.changed(
    "one token too few",
    "The last true token of each row was not read: columns 0 to `lengths[i]` - 1 are true, so `t < lengths`.",
    ("t < lengths", "t < lengths - 1"),
)
exercise.changed(
    "one token too many",
    "One column of padding was read in each row: columns 0 to `lengths[i]` - 1 are true, so `t < lengths`.",
    ("t < lengths", "t <= lengths"),
)


@exercise.mistake("the longest decides")
def _(x, lengths, w, u, b):
    """All rows were read as far as the longest one: each row ends after its own length."""
    return rnn_with_padding(x, lengths.max().expand(len(x)), w, u, b)


@exercise.mistake("the shortest decides")
def _(x, lengths, w, u, b):
    """All rows were read as far as the shortest one: each row ends after its own length."""
    return rnn_with_padding(x, lengths.min().expand(len(x)), w, u, b)


exercise.changed(
    "lengths along the units",
    "What reads is (B,) and runs along the units, the last axis: it says something of each text, so it needs "
    "an axis for the units, `[:, None]`.",
    ("(t < lengths)[:, None]", "t < lengths"),
)
exercise.changed(
    "padding known by its zeros",
    "A column counts as padding where all its numbers are 0. But padding may hold any numbers, and a true "
    "token may be all zeros: `lengths` says what is true.",
    ("(t < lengths)", "(x[:, t] != 0).any(-1)"),
)
exercise.changed(
    "padding in front",
    "The last `lengths[i]` columns were read: a row's true tokens are its first ones.",
    ("t < lengths", "x.shape[1] - t <= lengths"),
)
exercise.changed(
    "only padding read",
    "The padding was read and the text was not: the condition is upside down.",
    ("t < lengths", "t >= lengths"),
)


# ------------------------------------------------------------------------------------ states, and their order


@exercise.mistake("an empty row read from its end")
def _(x, lengths, w, u, b):
    """Right but for rows of length 0: there `lengths - 1` is -1, and Python takes the last column. Nothing
    was read, so the last state is the start, zeros.
    """
    states, _ = read_all(x, lengths, w, u, b)
    outputs, _ = rnn_with_padding(x, lengths, w, u, b)
    return outputs, states[torch.arange(len(x)), lengths - 1]


@exercise.mistake("one state for all rows")
def _(x, lengths, w, u, b):
    """Each row goes on from the last state of the row above: every row starts with zeros."""
    h, outputs, last = x.new_zeros(len(b)), x.new_zeros(len(x), x.shape[1], len(b)), []
    for row, n in enumerate(lengths):
        for t in range(n):
            h = torch.tanh(w @ x[row, t] + u @ h + b)
            outputs[row, t] = h
        last.append(h)
    return outputs, torch.stack(last)


exercise.changed(
    "the state before the token",
    "Each output is the state that the token found: it is the state after the token that was asked for.",
    ("h = torch.where(reads, new, h)", "before, h = h, torch.where(reads, new, h)"),
    ("new, 0.0", "before, 0.0"),
)
exercise.changed(
    "the state not handed on",
    "Each token is read from a state of zeros: hand on what the token before has left.",
    (" + h @ u.mT", ""),
)
exercise.changed(
    "h U instead of U h", "This is `h @ u`: for states that are rows, U h is `h @ u.mT`.", ("u.mT", "u")
)
exercise.changed(
    "columns before rows",
    "The outputs are right, but they come as (T, B, D): `torch.stack(outputs, 1)` puts the texts first.",
    ("outputs, dim=1", "outputs"),
)
exercise.changed(
    "results exchanged",
    "The two results come in the wrong order: first the outputs (B, T, D), then the last states (B, D).",
    ("torch.stack(outputs, dim=1), h", "h, torch.stack(outputs, dim=1)"),
)
