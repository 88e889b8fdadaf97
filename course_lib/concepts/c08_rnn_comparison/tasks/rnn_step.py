"""One step of an RNN

An RNN keeps one vector, its state, and makes the next one of it and of the token that it reads: tanh(W x +
U h + b). `x` (B, D_in) holds one token of each of B texts, `h` (B, D) the states before, and `w` (D, D_in),
`u` (D, D) and `b` (D) are W, U and b. The formula is for one text, where x and h are columns; here each
text is a row. Return the next states (B, D). Numbers may be large, and gradients must flow.

Hint: A row of `x` has D_in numbers and a row of the result D. Which product with `w` does that to every row
at once?

Hint: For a row, W x is `x @ w.mT`, and U h is made in the same way. In what shape does `b` come, and must
it change?

Hint: `torch.tanh(...)` of the sum of three: `x @ w.mT`, the same with `h` and `u`, and `b`.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property


def between_one_and_minus_one(result, inputs):
    """What tanh never gives."""
    furthest = np.abs(result).max(initial=0.0)
    if furthest <= 1 + 1e-4:
        return ""
    return f"A number of a state has size {furthest:.4g}; tanh gives at most 1."


exercise = Exercise(
    level=1,
    minutes=6,
    section="A network that reads",
    forbidden=(
        "torch.rnn_tanh_cell",
        "torch.rnn_tanh",
        "course_lib.recurrent.unroll",
    ),
    properties=(Property("within tanh", between_one_and_minus_one),),
)


@exercise.solution
def rnn_step(x, h, w, u, b):
    """The next state of an RNN: tanh(W x + U h + b).

    Args:
        x: (B, D_in), one token of each text.
        h: (B, D), the states before.
        w, u, b: (D, D_in), (D, D) and (D).
    Returns: (B, D).
    """
    ### BEGIN SOLUTION
    return torch.tanh(x @ w.mT + h @ u.mT + b)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n, d_in, d, size=1.0):
        return {
            "x": draw(rng, n, d_in, size=size),
            "h": draw(rng, n, d, size=0.5),
            "w": draw(rng, d, d_in),
            "u": draw(rng, d, d),
            "b": draw(rng, d),
        }

    def large():
        """No sum is near to where exp overflows, in whichever way it is written."""
        while True:
            known = inputs(3, 5, 7, size=300.0)
            sums = np.abs(known["x"] @ known["w"].T)
            if not ((sums > 30) & (sums < 120)).any():
                return known

    return in_torch(
        [
            Case("one text", inputs(1, 2, 3)),
            Case("everything square", inputs(3, 3, 3), catches="x W instead of W x"),
            Case("a batch", inputs(*primes(rng, 5, 7, 11)), gradients=True, catches="no graph"),
            Case("sums of several hundred", large(), catches="overflow"),
        ]
    )


# --------------------------------------------------------------------------------------------------- the tanh

exercise.changed(
    "no tanh", "This is the sum W x + U h + b itself: tanh of it is the next state.", ("torch.tanh(", "(")
)
exercise.changed(
    "a sigmoid",
    "The numbers lie between 0 and 1, as a sigmoid makes them: tanh gives -1 to 1.",
    ("torch.tanh", "torch.sigmoid"),
)
exercise.changed(
    "negative numbers cut",
    "No number is below 0, as after a ReLU: the next state is the tanh of the sum.",
    ("torch.tanh", "torch.relu"),
)


@exercise.mistake("overflow")
def _(x, h, w, u, b):
    """Right for small sums, but tanh was written with exp, and exp(89) is more than a float32 holds:
    `torch.tanh` has no such limit.
    """
    a = x @ w.mT + h @ u.mT + b
    return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())


@exercise.mistake("overflow on one side")
def _(x, h, w, u, b):
    """Right for small sums and negative ones, but tanh was written with exp(2 a), and exp(89) is more than a
    float32 holds: `torch.tanh` has no such limit.
    """
    squared = (2 * (x @ w.mT + h @ u.mT + b)).exp()
    return (squared - 1) / (squared + 1)


# ---------------------------------------------------------------------------------------------------- the sum

exercise.changed(
    "the state not read",
    "The state of before has no effect: U h is missing from the sum.",
    (" + h @ u.mT", ""),
)
exercise.changed(
    "the token not read", "The token has no effect: W x is missing from the sum.", ("x @ w.mT + ", "")
)
exercise.changed("no bias", "b has no effect: it belongs to the sum, before tanh.", ("u.mT + b", "u.mT"))
exercise.changed(
    "h U instead of U h",
    "This is `h @ u`. For a state that is a column U h was asked for, and for states that are rows this is "
    "`h @ u.mT`.",
    ("u.mT", "u"),
)
exercise.changed(
    "w and u exchanged",
    "W belongs to the token and U to the state: they are exchanged.",
    ("x @ w.mT + h @ u.mT", "x @ u.mT + h @ w.mT"),
)
exercise.changed(
    "b along the texts",
    "With texts as columns b was added along the texts, which runs only where B is D: there it is a column "
    "too, `b[:, None]`.",
    ("x @ w.mT + h @ u.mT + b)", "w @ x.mT + u @ h.mT + b).mT"),
)
exercise.changed(
    "x W instead of W x",
    "This is `x @ w`, which runs only where w is square. For a token that is a column W x was asked for, "
    "and for tokens that are rows this is `x @ w.mT`.",
    ("w.mT", "w"),
)
exercise.changed(
    "both on the wrong side",
    "This is `x @ w + h @ u`, which runs only where w is square. For rows W x is `x @ w.mT`, and U h is `h "
    "@ u.mT`.",
    ("w.mT", "w"),
    ("u.mT", "u"),
)
exercise.changed(
    "the state outside of tanh",
    "U h was added after tanh: tanh is taken of the whole sum W x + U h + b.",
    (" + h @ u.mT + b)", " + b) + h @ u.mT"),
)
exercise.changed(
    "b outside of tanh",
    "b was added after tanh: tanh is taken of the whole sum W x + U h + b.",
    ("u.mT + b)", "u.mT) + b"),
)
exercise.changed(
    "each part its own tanh",
    "The tanh of each part was added up: the parts are added first, then comes one tanh.",
    (" + h @", ") + torch.tanh(h @"),
)
exercise.changed(
    "added to the state",
    "The old state was added to the result, as in a residual stream: an RNN replaces its state.",
    ("torch.tanh(", "h + torch.tanh("),
)
