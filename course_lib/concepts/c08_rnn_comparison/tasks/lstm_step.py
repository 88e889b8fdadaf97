"""One step of an LSTM

An LSTM has a second vector, its cell c, which is added to and not replaced, and gates that say how much.
`x` (B, D_in) holds one token of each of B texts, `h` and `c` (B, D) what the step before has left. W x + U
h + b has 4 D numbers for each text, with `w` (4 D, D_in), `u` (4 D, D) and `b` (4 D): D for the input gate
i, then D for the forget gate f, then D for what is new, g, then D for the output gate o. Each gate goes
through a sigmoid, and g through tanh. The next cell is f times the old cell plus i times g, and the next
output h is o times tanh of the next cell, all number by number. Return the next h and the next c, in this
order, both (B, D). Gradients must flow. (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et
al. 2000.)

Hint: How many numbers has one row of W x + U h + b, and which of them belong to which gate?

Hint: `x @ w.mT + h @ u.mT + b` is (B, 4 D), and `.chunk(4, dim=-1)` cuts it into four of (B, D).

Hint: The next cell is `f.sigmoid() * c + i.sigmoid() * g.tanh()`. What of it does the output gate show?
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property


def at_most_one_more(result, inputs):
    """A gate lets everything through at most, and what is new lies between -1 and 1."""
    limit = np.abs(inputs["c"].detach().double().numpy()) + 1
    if result.shape != limit.shape:
        return ""
    beyond = np.argwhere(np.abs(result) > limit * (1 + 1e-4))
    if not len(beyond):
        return ""
    where = tuple(int(i) for i in beyond[0])
    return (
        f"The number at {list(where)} is {result[where]:.4g}. Gates let through a part, and tanh gives at "
        f"most 1, so it can be no larger than |c| + 1 = {limit[where]:.4g}."
    )


exercise = Exercise(
    level=2,
    minutes=14,
    section="A gate",
    forbidden=(
        "torch.lstm_cell",
        "torch.lstm",
        "course_lib.recurrent.unroll",
        "course_lib.recurrent.LSTM.step",
    ),
    results=("h", "c"),
    properties=(Property("at most one more", at_most_one_more),),
)


@exercise.solution
def lstm_step(x, h, c, w, u, b):
    """The next output and the next cell of an LSTM.

    Args:
        x: (B, D_in), one token of each text.
        h, c: (B, D), output and cell of the step before.
        w, u, b: (4 D, D_in), (4 D, D) and (4 D); blocks of D rows for i, f, g and o.
    Returns: h (B, D); c (B, D).
    """
    ### BEGIN SOLUTION
    i, f, g, o = (x @ w.mT + h @ u.mT + b).chunk(4, dim=-1)  # (B, D) each
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h, c
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n, d_in, d, size=1.0):
        return {
            "x": draw(rng, n, d_in, size=size),
            "h": draw(rng, n, d, size=0.5),
            "c": draw(rng, n, d, size=1.5),
            "w": draw(rng, 4 * d, d_in),
            "u": draw(rng, 4 * d, d),
            "b": draw(rng, 4 * d),
        }

    one = {
        "x": np.array([[1.0]], np.float32),
        "h": np.array([[0.0]], np.float32),
        "c": np.array([[2.0]], np.float32),
        "w": np.array([[1.0], [2.0], [3.0], [4.0]], np.float32),
        "u": np.zeros((4, 1), np.float32),
        "b": np.zeros(4, np.float32),
    }
    return in_torch(
        [
            Case("one text, one unit", one),
            Case("four units", inputs(3, 4, 4), catches="cut along the wrong axis"),
            Case("sums of several hundred", inputs(3, 5, 7, size=300.0), catches="overflow"),
            Case("a batch", inputs(*primes(rng, 5, 7, 11)), gradients=True, catches="no graph"),
        ]
    )


# ----------------------------------------------------------------------------------- which part is which gate

exercise.changed(
    "i and f exchanged",
    "The first D sums were taken for the forget gate and the next D for the input gate, or the two gates "
    "were exchanged later: f says what stays of the old cell, i what is let in, and i comes first.",
    ("i, f, g, o =", "f, i, g, o ="),
)
exercise.changed(
    "g and o exchanged",
    "The third part was taken for the output gate and the fourth for what is new: the order is i, f, g, o.",
    ("i, f, g, o =", "i, f, o, g ="),
)
exercise.changed(
    "i and o exchanged",
    "The first part was taken for the output gate and the last for the input gate: the order is i, f, g, o.",
    ("i, f, g, o =", "o, f, g, i ="),
)
exercise.changed(
    "order f, i, o, g",
    "The four parts were taken for f, i, o, g: the order is i, f, g, o.",
    ("i, f, g, o =", "f, i, o, g ="),
)
exercise.changed(
    "gates interleaved",
    "Of each four neighbours one went to each gate. The gates are blocks: the first D numbers are all i's, "
    "the next D are all f's.",
    (".chunk(4, dim=-1)", ".unflatten(-1, (-1, 4)).unbind(-1)"),
)

exercise.changed(
    "cut along the wrong axis",
    "The four parts were cut out along the wrong axis, which runs only where D is 4: after a reshape to "
    "(B, 4, D) the gates are on axis 1.",
    (".chunk(4, dim=-1)", ".unflatten(-1, (4, -1)).unbind(-1)"),
)
exercise.changed(
    "a bare reshape",
    "A reshape to (4, B, D) takes the numbers in a row, so that one text gets those of another: cut the last "
    "axis, or reshape to (B, 4, D) and exchange the first two axes.",
    (".chunk(4, dim=-1)", ".reshape(4, *h.shape)"),
)

# --------------------------------------------------------------------------------- what the gates let through

exercise.changed(
    "o times c", "The output gate shows the cell itself: it shows tanh of the cell.", ("c.tanh()", "c")
)
exercise.changed(
    "o times the old cell",
    "The output gate shows the cell of before: it shows tanh of the new one.",
    ("c = f", "new = f"),
    ("return h, c", "return h, new"),
)
exercise.changed(
    "a sigmoid for g",
    "What is new, g, went through a sigmoid as the gates do, so the cell can only be added to: g takes tanh.",
    ("g.tanh()", "g.sigmoid()"),
)
exercise.changed("g as it is", "What is new, g, is missing its tanh.", ("g.tanh()", "g"))
exercise.changed(
    "tanh for the gates",
    "The gates went through tanh, so they can be negative: a gate is a sigmoid, from 0 to 1.",
    ("f.sigmoid()", "f.tanh()"),
    ("i.sigmoid()", "i.tanh()"),
    ("o.sigmoid()", "o.tanh()"),
)
exercise.changed(
    "gates as they are",
    "The gates are missing their sigmoid: a gate lets a part through, from 0 to 1.",
    ("f.sigmoid()", "f"),
    ("i.sigmoid()", "i"),
    ("o.sigmoid()", "o"),
)
exercise.changed(
    "overflow",
    "Right for small sums, but exp(89) is more than a float32 holds, and infinity over infinity is NaN: "
    "`torch.sigmoid` has no such limit.",
    ("    c = f", "    f, i, o = (gate.exp() / (1 + gate.exp()) for gate in (f, i, o))\n    c = f"),
    ("f.sigmoid()", "f"),
    ("i.sigmoid()", "i"),
    ("o.sigmoid()", "o"),
)
exercise.changed(
    "nothing forgotten",
    "The old cell stays whole: the forget gate says how much of it stays.",
    ("f.sigmoid() * c", "c"),
)
exercise.changed(
    "everything forgotten",
    "The old cell is gone: f times the old cell stays, and what is new is added to that.",
    ("f.sigmoid() * c + ", ""),
)
exercise.changed(
    "everything let in",
    "What is new enters whole: the input gate says how much of it enters.",
    ("i.sigmoid() * ", ""),
)
exercise.changed(
    "what f forgets",
    "The forget gate was read as what goes: f is what stays, so it is f times c and not 1 - f.",
    ("f.sigmoid()", "(1 - f.sigmoid())"),
)
exercise.changed(
    "one gate for both",
    "What enters is 1 - f, as in a GRU: an LSTM has a gate of its own for that, i.",
    ("i.sigmoid()", "(1 - f.sigmoid())"),
)

# ---------------------------------------------------------------------------------- what is read and returned

exercise.changed(
    "sums read from the cell",
    "The sums were made with U c: they are made with U h, of what the step before has shown.",
    ("h @ u.mT", "c @ u.mT"),
)
exercise.changed(
    "h not read", "The output of before has no effect: U h is missing from the sums.", (" + h @ u.mT", "")
)
exercise.changed(
    "w and u exchanged",
    "W belongs to the token and U to the state: they are exchanged.",
    ("x @ w.mT + h @ u.mT", "x @ u.mT + h @ w.mT"),
)
exercise.changed("no bias", "b has no effect: it belongs to the sums.", (" + b)", ")"))
exercise.changed(
    "c before h", "The results come in the wrong order: first h, then c.", ("return h, c", "return c, h")
)
