"""The MLP

The second half of a layer works on each vector alone: `up` makes D numbers into W (usually 4 D), a GELU
bends them, `down` makes D of them again. The matrices are held as `torch.nn.Linear` holds them, a row for
each number that comes out: `up` is (W, D), `down` is (D, W). Each has a bias, W and D numbers. There is
nothing behind `down`: no activation and no addition of x, which is the layer's business. `F.gelu` is the
exact GELU. (Vaswani et al. 2017, section 3.3, with GELU for ReLU.)

Hint: x is (..., D) and `up` is (W, D), and the result of the first step is (..., W). Which of `x @ up` and
`x @ up.mT` has that shape? `F.linear(x, up, up_bias)` does it too.

Hint: Three steps, one line each: widen, bend, narrow. The bend stands between the two matrices and nowhere
else.
"""

import math

import torch
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c06_residuals.tasks.layer_norm import lost_digits

exercise = Exercise(
    level=2,
    minutes=8,
    section="What the MLP is for",
    forbidden=("course_lib.blocks.FeedForward.forward",),
    tensor=True,
    properties=(Property("all digits", lambda *given: lost_digits(mlp, *given)),),
)


@exercise.solution
def mlp(x, up, up_bias, down, down_bias):
    """Widen each vector, bend it with a GELU, narrow it.

    Args:
        x: (..., D), vectors.
        up: (W, D), as `torch.nn.Linear` holds it.
        up_bias: (W,).
        down: (D, W).
        down_bias: (D,).
    Returns: (..., D).
    """
    ### BEGIN SOLUTION
    wide = x @ up.mT + up_bias  # (..., W)
    return F.gelu(wide) @ down.mT + down_bias
    ### END SOLUTION


@exercise.reference
def _(x, up, up_bias, down, down_bias):
    """GELU in steps: below 0 the sum cancels, so that this way to write it rounds most, and all are right."""
    wide = x @ up.mT + up_bias
    return wide * (1 + torch.erf(wide / math.sqrt(2))) / 2 @ down.mT + down_bias


@exercise.cases
def _(rng):
    def weights(d, f):
        up, down = matrix(rng, f, d), matrix(rng, d, f)
        return {"up": up, "up_bias": draw(rng, f), "down": down, "down_bias": draw(rng, d)}

    return wide_cases(rng, weights)


def matrix(rng, *shape):
    """A matrix that neither shrinks nor blows up what it is multiplied with."""
    return draw(rng, *shape, size=1.5 / math.sqrt(shape[-1]))


def wide_cases(rng, weights):
    """What an MLP is tried on; `weights` makes its matrices from D and F."""

    def inputs(*shape, f):
        return {"x": draw(rng, *shape), **weights(shape[-1], f)}

    t, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one token of two numbers", inputs(2, f=3)),
            Case("two sequences", inputs(2, t, d, f=13), gradients=True, catches="no graph"),
            Case("everything square", inputs(5, 5, 5, f=5), catches="transposed"),
        ]
    )


# ------------------------------------------------------------------------------------ where it bends

exercise.changed(
    "GELU behind the second matrix",
    "The GELU stands behind `down`, where the lecture puts it: then nothing bends between the two matrices, "
    "and they are as good as one. It belongs between them.",
    ("F.gelu(wide) @ down.mT + down_bias", "F.gelu(wide @ down.mT + down_bias)"),
)
exercise.changed(
    "GELU behind both matrices",
    "There is a second GELU behind `down`: nothing follows it. A GELU gives hardly anything below 0, so "
    "that the MLP could add to the stream but take nothing away.",
    ("F.gelu(wide) @ down.mT + down_bias", "F.gelu(F.gelu(wide) @ down.mT + down_bias)"),
)
exercise.changed(
    "no activation",
    "Halfway between two inputs your MLP gives exactly what is halfway between its two results: it draws "
    "straight lines, as one matrix does. What has to stand between the two matrices?",
    ("F.gelu(wide)", "wide"),
)
exercise.changed(
    "GELU in front",
    "x went through the GELU before it was widened: the GELU comes behind `up`.",
    ("x @ up.mT", "F.gelu(x) @ up.mT"),
    ("F.gelu(wide)", "wide"),
)
exercise.changed(
    "GELU in front too",
    "x went through a GELU before it was widened: there is one, between the two matrices.",
    ("x @ up.mT", "F.gelu(x) @ up.mT"),
)

# ------------------------------------------------------------------------------------ what bends

exercise.changed(
    "ReLU", "This is a ReLU, as in the paper of 2017: a GELU is asked for.", ("F.gelu", "F.relu")
)
exercise.changed(
    "SiLU",
    "This is x sigmoid(x), a SiLU: GELU has another curve, x times the probability that a normal number "
    "lies below x.",
    ("F.gelu", "F.silu"),
)
exercise.changed("sigmoid", "A sigmoid bends the numbers: a GELU is asked for.", ("F.gelu", "torch.sigmoid"))
exercise.changed("tanh", "A tanh bends the numbers: a GELU is asked for.", ("F.gelu", "torch.tanh"))
exercise.changed(
    "softmax",
    "A softmax stands between the matrices: the W numbers are no weights, a GELU bends each of them alone.",
    ("F.gelu(wide)", "wide.softmax(-1)"),
)
exercise.changed(
    "GELU by tanh",
    "The form is right, but this is the approximation of GELU with a tanh, as in GPT-2. It differs by up to "
    "0.0005 from the exact one, which is asked for here: `F.gelu(h)` without `approximate`, or x (1 + erf(x "
    "/ sqrt(2))) / 2.",
    ("F.gelu(wide)", 'F.gelu(wide, approximate="tanh")'),
)
exercise.changed(
    "GELU by a sigmoid",
    "The form is right, but x sigmoid(1.702 x) is an approximation of GELU that differs by up to 0.02 from "
    "the exact one, which is asked for here: `F.gelu(h)`.",
    ("F.gelu(wide)", "(wide * torch.sigmoid(1.702 * wide))"),
)

# ------------------------------------------------------------------------------------ what is added

exercise.changed(
    "first bias left out",
    "`up_bias` does not reach the result: it is added before the GELU.",
    (" + up_bias", ""),
)
exercise.changed(
    "second bias left out", "`down_bias` does not reach the result: it is added last.", (" + down_bias", "")
)
exercise.changed(
    "both biases left out",
    "Neither bias reaches the result: one is added before the GELU, the other last.",
    (" + up_bias", ""),
    (" + down_bias", ""),
)
exercise.changed(
    "first bias behind the GELU",
    "`up_bias` was added behind the GELU: it belongs to `up`, so add it before.",
    (" + up_bias", ""),
    ("F.gelu(wide)", "(F.gelu(wide) + up_bias)"),
)
exercise.changed(
    "x added",
    "x was added to the result: that is the layer's business, the MLP gives what is to be added.",
    ("return F", "return x + F"),
)

# ------------------------------------------------------------------------------------ which matrix

exercise.changed(
    "matrices exchanged",
    "x was multiplied by `down` and the result by `up`, which fits the shapes: but `up` comes first, as `x "
    "@ up.mT`, because its rows are the numbers that come out.",
    ("up.mT", "down"),
    ("down.mT", "up"),
)
exercise.changed(
    "reshaped instead of transposed",
    "`reshape` or `view` gave the matrices the shape that fits, but left the numbers in their order: `.mT` "
    "or `.T` exchanges rows and columns.",
    ("up.mT", "up.reshape(up.mT.shape)"),
    ("down.mT", "down.reshape(down.mT.shape)"),
)
exercise.changed(
    "the first matrix transposed",
    "This is `x @ up`, and fails unless D and W are the same. A row of the matrix makes one number that "
    "comes out: `x @ up.mT`.",
    ("up.mT", "up"),
)
exercise.changed(
    "the second matrix transposed",
    "This is `h @ down`, and fails unless D and W are the same. A row of the matrix makes one number that "
    "comes out: `h @ down.mT`.",
    ("down.mT", "down"),
)
exercise.changed(
    "transposed",
    "This is `x @ up` and `h @ down`, and fails unless D and W are the same. A row of the matrix makes one "
    "number that comes out: `x @ up.mT`.",
    ("up.mT", "up"),
    ("down.mT", "down"),
)
