"""The gated MLP

In SmolLM2 and the Llama family a second matrix decides how much of each wide number is let through. `up`
and `gate` both make W numbers of a vector's D. Those of `gate` go through a SiLU, x sigmoid(x), and are
multiplied with those of `up`, number by number. `down` makes D of them again. `gate` and `up` are (W, D),
`down` is (D, W), and there are no biases. (Shazeer 2020, equation 6: SwiGLU.)

Hint: Make both wide vectors first, `x @ gate.mT` and `x @ up.mT`, each (..., W). One of them goes through
`F.silu`.

Hint: `F.silu(x @ gate.mT) * (x @ up.mT)`, then narrow.
"""

import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c06_residuals.tasks.layer_norm import lost_digits
from course_lib.concepts.c06_residuals.tasks.mlp import matrix, wide_cases

exercise = Exercise(
    level=2,
    minutes=8,
    section="How wide is the MLP, and where does it bend?",
    forbidden=("course_lib.blocks.FeedForward.forward",),
    tensor=True,
    properties=(Property("all digits", lambda *given: lost_digits(gated_mlp, *given)),),
)


@exercise.solution
def gated_mlp(x, gate, up, down):
    """Widen each vector twice, let one wide vector gate the other, narrow the product.

    Args:
        x: (..., D), vectors.
        gate: (W, D), as `torch.nn.Linear` holds it.
        up: (W, D).
        down: (D, W).
    Returns: (..., D).
    """
    ### BEGIN SOLUTION
    wide = F.silu(x @ gate.mT) * (x @ up.mT)  # (..., W)
    return wide @ down.mT
    ### END SOLUTION


@exercise.cases
def _(rng):
    def weights(d, f):
        return {"gate": matrix(rng, f, d), "up": matrix(rng, f, d), "down": matrix(rng, d, f)}

    large = {"x": draw(rng, 2, 3, 5, size=100), **weights(5, 11)}
    return [
        *wide_cases(rng, weights),
        *in_torch([Case("large numbers", large, catches="a SiLU by hand that overflows")]),
    ]


@exercise.mistake("gate and up exchanged")
def _(x, gate, up, down):
    """The SiLU is on what `up` makes: it belongs on what `gate` makes."""
    return gated_mlp(x, up, gate, down)


exercise.changed(
    "no SiLU",
    "The two wide vectors are multiplied as they are: those of `gate` go through a SiLU first.",
    ("F.silu(x @ gate.mT)", "(x @ gate.mT)"),
)
exercise.changed(
    "sigmoid",
    "The gate is a sigmoid, as in the first gated units: a SiLU is asked for, x times that sigmoid.",
    ("F.silu(x @ gate.mT)", "(x @ gate.mT).sigmoid()"),
)
exercise.changed(
    "GELU",
    "The gate is a GELU, which is another variant of the paper (GEGLU): a SiLU is asked for.",
    ("F.silu", "F.gelu"),
)
exercise.changed(
    "GELU by tanh",
    "The gate is a GELU in its approximation with a tanh: a SiLU is asked for, x sigmoid(x).",
    ("F.silu(x @ gate.mT)", 'F.gelu(x @ gate.mT, approximate="tanh")'),
)
exercise.changed(
    "GELU by a sigmoid",
    "The gate is x sigmoid(1.702 x), which comes close to a GELU: a SiLU is asked for, x sigmoid(x).",
    ("F.silu(x @ gate.mT)", "F.silu(1.702 * x @ gate.mT) / 1.702"),
)
exercise.changed(
    "ReLU",
    "The gate is a ReLU, which is another variant of the paper (ReGLU): a SiLU is asked for.",
    ("F.silu", "F.relu"),
)
exercise.changed(
    "tanh",
    "The gate is a tanh: a SiLU is asked for, x sigmoid(x).",
    ("F.silu(x @ gate.mT)", "(x @ gate.mT).tanh()"),
)
exercise.changed(
    "softmax",
    "The gate is a softmax: a SiLU looks at each number alone, x sigmoid(x).",
    ("F.silu(x @ gate.mT)", "(x @ gate.mT).softmax(-1)"),
)
exercise.changed("added", "The two wide vectors were added: a gate multiplies.", (") * (", ") + ("))
exercise.changed(
    "SiLU on the product",
    "The product went through the SiLU: only what `gate` makes does, before it is multiplied.",
    ("F.silu(x @ gate.mT) * (x @ up.mT)", "F.silu((x @ gate.mT) * (x @ up.mT))"),
)
exercise.changed(
    "SiLU on both",
    "Both wide vectors went through the SiLU: only what `gate` makes does.",
    ("* (x @ up.mT)", "* F.silu(x @ up.mT)"),
)
exercise.changed(
    "SiLU behind down",
    "The SiLU stands behind `down`: it belongs on what `gate` makes, and nothing follows `down`.",
    ("F.silu(x @ gate.mT)", "(x @ gate.mT)"),
    ("wide @ down.mT", "F.silu(wide @ down.mT)"),
)
exercise.changed(
    "SiLU behind down too",
    "There is a second SiLU behind `down`: nothing follows `down`.",
    ("wide @ down.mT", "F.silu(wide @ down.mT)"),
)
exercise.changed(
    "gate left out",
    "`gate` does not reach the result: this is an MLP with two matrices, down(silu(up x)).",
    ("F.silu(x @ gate.mT) * (x @ up.mT)", "F.silu(x @ up.mT)"),
)
exercise.changed(
    "up left out",
    "`up` does not reach the result: what `gate` makes is multiplied with what `up` makes.",
    (" * (x @ up.mT)", ""),
)
exercise.changed(
    "narrowed before",
    "Both wide vectors went through `down` before they were multiplied: multiply W numbers, then narrow.",
    ("F.silu(x @ gate.mT) * (x @ up.mT)", "F.silu(x @ gate.mT) @ down.mT * (x @ up.mT @ down.mT)"),
    ("wide @ down.mT", "wide"),
)
exercise.changed(
    "x added",
    "x was added to the result: that is the layer's business, the MLP gives what is to be added.",
    ("return wide", "return x + wide"),
)
exercise.changed(
    "reshaped instead of transposed",
    "`reshape` or `view` gave the matrices the shape that fits, but left the numbers in their order: `.mT` "
    "or `.T` exchanges rows and columns.",
    ("gate.mT", "gate.reshape(gate.mT.shape)"),
    ("up.mT", "up.reshape(up.mT.shape)"),
    ("down.mT", "down.reshape(down.mT.shape)"),
)
exercise.changed(
    "the wide matrices transposed",
    "This is `x @ gate` and `x @ up`, and fails unless D and W are the same. A row of the matrix makes one "
    "number that comes out: `x @ gate.mT`.",
    ("gate.mT", "gate"),
    ("up.mT", "up"),
)
exercise.changed(
    "the last matrix transposed",
    "This is `h @ down`, and fails unless D and W are the same. A row of the matrix makes one number that "
    "comes out: `h @ down.mT`.",
    ("down.mT", "down"),
)
exercise.changed(
    "brackets forgotten",
    "`*` and `@` come one after the other, from the left: without brackets the gate meets x before `up` "
    "does: write `F.silu(x @ gate.mT) * (x @ up.mT)`.",
    ("* (x @ up.mT)", "* x @ up.mT"),
)
exercise.changed(
    "transposed",
    "This is `x @ gate`, `x @ up` and `h @ down`, and fails unless D and W are the same. A row of the "
    "matrix makes one number that comes out: `x @ gate.mT`.",
    ("gate.mT", "gate"),
    ("up.mT", "up"),
    ("down.mT", "down"),
)
