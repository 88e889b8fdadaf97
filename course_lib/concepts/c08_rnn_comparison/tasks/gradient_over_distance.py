"""How fast the error fades

How much does the last state of an RNN still move when an early state does? Here the part of the sums that
needs no state, W x + b, is done already: `x_part` (T, D) for the T tokens of one text, T being 2 or more.
With `u` (D, D) and a start h_0 of zeros, the states are h_t = tanh(x_part_t + U h_(t-1)). The derivative of
h_T by an earlier state h_t is a matrix (D, D): its row i, column j says how fast number i of h_T moves with
number j of h_t, all later states moving along. Return the Frobenius norm of this matrix (the square root of
the sum of all its squares) for each distance: T - 1 numbers, first for h_(T-1), which is one step back,
last for h_1. Two ways lead there. Multiply the matrices of single steps, since tanh has the derivative 1 -
tanh^2, or let autograd work them out. Return the norms themselves. They shrink over many powers of ten, so
the check compares and shows their logarithms to base 10. Keep the kind of number (float32, float64) that
comes in.

Hint: One step first: h_T = tanh(a) with a = x_part_T + U h_(T-1). If number j of h_(T-1) moves a little,
how fast does number i of a move, and number i of h_T?

Hint: The matrix of one step is diag(1 - h_(t+1)^2) U: each *row* of `u` times the slope at the state that
comes out. The chain rule multiplies the later step from the left: two steps are (last step) (step before).

Hint: Collect the states in a list. Start with `product = torch.eye(...)`; for each state h from the last
back to the second, `product = product @ ((1 - h**2)[:, None] * u)`, and append its norm.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import as_double, in_torch
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import numbers_of

LOGS = "log10 of the norms"


def as_logs(answer):
    """Norms as their logarithms: they go over many powers of ten, and the smallest count as much.

    Raises: WrongForm: as `numbers_of`.
    """
    if isinstance(answer, list | tuple):
        answer = [x.detach() if isinstance(x, torch.Tensor) else x for x in answer]
    norms = numbers_of(answer, tensor=False)
    norms = norms if norms.dtype.kind == "f" else norms.astype(float)
    with np.errstate(all="ignore"):
        return {LOGS: np.log10(norms)}


def first_wrong_distance(result, inputs):
    """How near the first wrong number is: at distance 1 the step is wrong, later how steps are joined."""
    right = as_logs(gradient_over_distance(inputs["x_part"].double(), inputs["u"].double()))[LOGS]
    wrong = np.argwhere(~np.isclose(result.astype(float), right, rtol=0, atol=0.01))
    if not len(wrong):
        return ""
    distance = int(wrong[0, 0]) + 1
    if distance == 1:
        return "The first number is wrong already, which is for one step back: the norm of d h_T / d h_(T-1)."
    return f"Right up to distance {distance - 1}, then wrong: are the steps joined by a product of matrices?"


exercise = Exercise(
    level=4,
    minutes=28,
    section="How far back it learns",
    results=(LOGS,),
    read=as_logs,
    properties=(Property("first wrong distance", first_wrong_distance),),
)


@exercise.solution
def gradient_over_distance(x_part, u):
    """How strongly the last state of an RNN still moves with each state before, the nearest first.

    Args:
        x_part: (T, D), W x + b of each token; T is 2 or more.
        u: (D, D).
    Returns: (T - 1), Frobenius norms of the derivatives of h_T by h_(T-1), ..., h_1.
    """
    ### BEGIN SOLUTION
    h, states = torch.zeros_like(x_part[0]), []
    for row in x_part:
        h = torch.tanh(row + u @ h)
        states.append(h)
    product, norms = torch.eye(len(u), dtype=u.dtype), []
    for h in reversed(states[1:]):
        product = product @ ((1 - h**2)[:, None] * u)  # one step further back
        norms.append((product**2).sum().sqrt())
    return torch.stack(norms)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n_steps, d, weight=1.0, size=0.7):
        """No state is so near to 1 that a float32 loses the slope there, in whichever way it is written."""
        while True:
            u = weight * rng.standard_normal((d, d)) / d**0.5
            x_part = size * rng.standard_normal((n_steps, d))
            if x_part.size <= 30:
                u, x_part = u.round(1), x_part.round(1) + 0.0
            h, largest = np.zeros(d), 0.0
            for row in x_part:
                h = np.tanh(row + u @ h)
                largest = max(largest, np.abs(h).max())
            if largest < 0.98:
                return {"x_part": x_part.astype(np.float32), "u": u.astype(np.float32)}

    one = inputs(4, 1)
    one["u"] = rng.choice(np.array([[[0.7]], [[-0.6]], [[1.3]]], dtype=np.float32))
    return in_torch(
        [
            Case("two units, three steps", inputs(3, 2)),
            Case("one unit, four steps", one, catches="axes of 1 dropped"),
            Case(
                "far back, float64",
                as_double(inputs(59, 3, weight=0.8)),
                catches="a tiny number under the root",
            ),
        ]
    )


# --------------------------------------------------------------------------------------- the matrix of a step

exercise.changed(
    "no slope",
    "These are the norms of U, U U, U U U, ...: the slope of tanh, 1 - h^2 of the state that comes out, "
    "belongs to each step.",
    ("(1 - h**2)[:, None] * u", "u"),
)
exercise.changed("1 - h", "The slope of tanh is 1 - h^2, here it is 1 - h.", ("1 - h**2", "1 - h"))
exercise.changed(
    "tanh twice",
    "The slope was taken as 1 - tanh(h)^2, but h is a tanh already: the slope is 1 - h^2.",
    ("h**2", "torch.tanh(h) ** 2"),
)
exercise.changed(
    "one slope for all steps",
    "Each step has the slope of the last one: a step's slope is taken at the state that comes out of it.",
    ("(1 - h**2)", "(1 - states[-1] ** 2)"),
)
exercise.changed(
    "columns scaled",
    "The slopes multiply the columns of U, as in `u * slopes`. They belong to what comes out, so to the "
    "rows: `slopes[:, None] * u`.",
    ("[:, None] * u", " * u"),
)
exercise.changed(
    "the state that goes in",
    "The slope was taken at the state that goes into each step: it is taken at the one that comes out.",
    ("states[1:]", "states[:-1]"),
)
exercise.changed(
    "U turned in each step",
    "The steps were made with the transpose of U: row i of U says what goes into number i of the next state.",
    ("* u)", "* u.mT)"),
)


@exercise.mistake("h U instead of U h")
def _(x_part, u):
    """The states were made with `h @ u`. Row i of U makes number i, which is `u @ h`, or `h @ u.mT` for a
    row.
    """
    return gradient_over_distance(x_part, u.mT)


exercise.changed(
    "only the states with h U",
    "The steps' matrices are right, but the states were made with `h @ u`. Row i of U makes number i, which "
    "is `u @ h`, or `h @ u.mT` for a row.",
    ("u @ h", "h @ u"),
)
exercise.changed(
    "states without a past",
    "The states were made of x_part alone: each is made of the one before too.",
    ("row + u @ h", "row"),
)

# --------------------------------------------------------------------------------------- how steps are joined

exercise.changed(
    "the wrong order",
    "The steps were multiplied in the wrong order: the last step stands on the left, and each earlier one "
    "comes to its right.",
    ("product @ ((1 - h**2)[:, None] * u)", "((1 - h**2)[:, None] * u) @ product"),
)
exercise.changed(
    "number by number",
    "The steps' matrices were multiplied number by number: the chain rule needs matrix products, `@`.",
    ("torch.eye(len(u), dtype=u.dtype)", "1"),
    ("product @", "product *"),
)
exercise.changed(
    "norms multiplied",
    "The norms of the single steps were multiplied. That is only a bound from above: multiply the matrices, "
    "then take the norm.",
    ("product @ ", ""),
    ("torch.stack(norms)", "torch.stack(norms).cumprod(0)"),
)
exercise.changed(
    "each step alone",
    "Each number is the norm of one step alone: over a distance all steps between are multiplied.",
    ("product @ ", ""),
)

# ------------------------------------------------------------------------------------- which norms are listed

exercise.changed(
    "the farthest first",
    "The numbers come in the order of time: the nearest state, one step back, comes first.",
    ("torch.stack(norms)", "torch.stack(norms[::-1])"),
)


@exercise.mistake("distance 0 too")
def _(x_part, u):
    """The list begins with h_T itself, whose derivative by itself is the unit matrix: begin one step back."""
    norms = gradient_over_distance(x_part, u)
    return torch.cat([norms.new_tensor([len(u) ** 0.5]), norms])


exercise.changed(
    "h_0 too",
    "The list goes on to the start h_0: it ends with h_1, so it has T - 1 numbers.",
    ("states[1:]", "states"),
)
exercise.changed(
    "by the sums",
    "These are the derivatives by x_part_t, or by the whole sum, before tanh: by h_t was asked, which is "
    "without the slope at h_t.",
    ("for h in reversed(states[1:])", "for before, h in reversed(list(zip(states, states[1:])))"),
    ("(product**2)", "((product * (1 - before**2)) ** 2)"),
)
exercise.changed(
    "the sum of the last state",
    "This is the gradient of the sum of h_T, in which rows of the matrix may cancel: the whole matrix is "
    "needed, one row for each number of h_T.",
    ("(product**2)", "(product.sum(0) ** 2)"),
)
exercise.changed(
    "another norm",
    "This is the largest singular value: the Frobenius norm was asked for, the root of the sum of all "
    "squares.",
    ("(product**2).sum().sqrt()", "torch.linalg.matrix_norm(product, 2)"),
)
exercise.changed(
    "a tiny number under the root",
    "A tiny number was added under the root: far back the squares themselves are smaller. Nothing is divided "
    "by the root, so none is needed.",
    (".sum().sqrt()", ".sum().add(1e-12).sqrt()"),
)
exercise.changed(
    "the root of the mean",
    "The root of the mean of the squares was taken: the Frobenius norm is the root of their sum.",
    (".sum().sqrt()", ".mean().sqrt()"),
)
exercise.changed("no root", "This is the sum of all squares: its square root was asked for.", (".sqrt()", ""))
