"""Layer norm

Give each vector mean 0 and variance 1, then a learned scale and shift: `(x - mean) / sqrt(variance + eps) *
weight + bias`. Each vector is normalised alone: mean and variance are those of its own D numbers, the last
axis of x, whatever axes come before. The variance is the mean of the squared distances from the mean, so
the sum of the D squares is divided by D. Write the steps yourself, `torch.nn.LayerNorm` is not allowed. (Ba
et al. 2016, equation 4.)

Hint: The mean of each vector, with its axis kept: `x.mean(-1, keepdim=True)`. For x (B, T, D) it is (B, T,
1), so that it can be taken away from x.

Hint: Take the mean away first. The variance is then the mean of the squares of what is left.

Hint: `centred / torch.sqrt(variance + eps)` has mean 0 and variance 1. What is left is one multiplication
and one addition.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, draw, in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import is_double


def lost_digits(right, result, inputs):
    """What is computed in float32 keeps seven digits of a result in float64; `right` is the solution."""
    if not is_double(inputs) or not np.allclose(result, right(**inputs).numpy(), rtol=0, atol=1e-4):
        return ""
    return (
        "The result is right in its first digits only: x is float64, but something was computed in float32 "
        "on the way."
    )


exercise = Exercise(
    level=2,
    minutes=10,
    section="What a norm is for",
    forbidden=("torch.nn.functional.layer_norm", "torch.native_layer_norm"),
    tensor=True,
    properties=(Property("all digits", lambda *given: lost_digits(layer_norm, *given)),),
)


@exercise.solution
def layer_norm(x, weight, bias, eps):
    """Give every vector mean 0 and variance 1, then a learned scale and shift.

    Args:
        x: (..., D), vectors.
        weight: (D,), what each of the D numbers is multiplied by after normalising.
        bias: (D,), what is added last.
        eps: added to the variance, so that nothing is divided by 0.
    Returns: (..., D).
    """
    ### BEGIN SOLUTION
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + eps) * weight + bias
    ### END SOLUTION


@exercise.reference
def _(x, weight, bias, eps):
    """Mean of squares minus square of mean: of all ways this one rounds most, so all others are right."""
    mean = x.mean(-1, keepdim=True)
    variance = x.pow(2).mean(-1, keepdim=True) - mean**2
    return (x - mean) / (variance + eps).sqrt() * weight + bias


@exercise.cases
def _(rng):
    return norm_cases(rng, "weight", "bias")


def spread(rng, *shape):
    """Numbers of which each vector has a variance above 9: there an eps of 1e-5 does less than rounding."""
    while True:
        x = draw(rng, *shape, size=10)
        if x.var(-1).min() > 9:
            return x


def norm_cases(rng, *learned):
    """What a norm is tried on; `learned` are the vectors that it gets beside x."""

    def inputs(x, eps=1e-6):
        return {"x": x, **{name: draw(rng, x.shape[-1]) for name in learned}, "eps": eps}

    t, d = primes(rng, 5, 7)
    small = draw(rng, 3, 2, 5)
    small[0] *= np.float32(0.1)  # far below eps, for who takes eps for the least that something may be
    return in_torch(
        [
            Case("two sequences of two tokens", inputs(4 * all_different(rng, 2, 2, 4))),
            Case("two sequences", inputs(spread(rng, 2, t, d)), gradients=True, catches="no graph"),
            Case(
                "everything square",
                inputs(spread(rng, 5, 5, 5)),
                catches="the axis that is as long as weight",
            ),
            Case("four axes", inputs(spread(rng, 2, 3, 5, 7)), catches="normalised over axis 1"),
            Case("a large eps, and small numbers", inputs(small, eps=0.5), catches="eps squared"),
        ]
    )


# ------------------------------------------------------------------------------------ over which axes


OTHER_AXES = {
    "normalised over the tokens": "-2",
    "normalised over the first axis": "0",
    "normalised over axis 1": "1",
    "normalised over tokens and sequences": "(0, 1)",
    "each sequence normalised as a whole": "(-2, -1)",
    "all numbers normalised together": "None",
}
for name, axes in OTHER_AXES.items():
    exercise.changed(
        name,
        "",
        ("x - x.mean(-1", f"x - x.mean({axes}"),
        ("centred.pow(2).mean(-1", f"centred.pow(2).mean({axes}"),
    )


exercise.changed(
    "one variance for all",
    "There is one variance for all of x: each vector has its own, so this mean runs over the last axis, too, "
    "and that axis stays (keepdim=True).",
    ("centred.pow(2).mean(-1, keepdim=True)", "centred.pow(2).mean()"),
)

# ------------------------------------------------------------------------------------ what it divides by

exercise.changed("eps outside the root", "", ("torch.sqrt(variance + eps)", "(torch.sqrt(variance) + eps)"))
exercise.changed("no eps", "", (" + eps", ""))
exercise.changed("eps as a floor", "", ("torch.sqrt(variance + eps)", "torch.sqrt(variance).clamp(min=eps)"))
exercise.changed("eps squared", "", ("+ eps", "+ eps**2"))
exercise.changed("always the same eps", "", ("+ eps", "+ 1e-5"))
exercise.changed("always an eps of 1e-6", "", ("+ eps", "+ 1e-6"))
exercise.changed("the mean of squares at least eps", "", ("(variance + eps)", "(variance.clamp(min=eps))"))
exercise.changed("eps added to the result", "", ("variance + eps) * weight", "variance) * weight + eps"))
exercise.changed(
    "eps added to the numbers",
    "eps was added to x - mean: it is added to the variance, below the root.",
    ("centred / torch.sqrt(variance + eps)", "(centred + eps) / torch.sqrt(variance)"),
)
exercise.changed("no root", "", ("torch.sqrt(variance + eps)", "(variance + eps)"))
exercise.changed("sum of squares", "", ("centred.pow(2).mean(", "centred.pow(2).sum("))
exercise.changed(
    "divided by len(x)",
    "",
    ("centred.pow(2).mean(-1, keepdim=True)", "centred.pow(2).sum(-1, keepdim=True) / len(x)"),
)
exercise.changed(
    "D outside the root",
    "",
    ("centred.pow(2).mean(", "centred.pow(2).sum("),
    ("torch.sqrt(variance + eps)", "(torch.sqrt(variance + eps) / x.shape[-1])"),
)
exercise.changed("multiplied by the spread", "", ("centred / torch", "centred * torch"))


@exercise.mistake("weighted before")
def _(x, weight, bias, eps):
    return layer_norm(x * weight, 1, bias, eps)


exercise.changed("weight left out", "", (" * weight", ""))
exercise.changed("one more than the weight", "", ("* weight", "* (1 + weight)"))
exercise.changed(
    "divided by D - 1",
    "The sum of squares was divided by D - 1, which is what torch's `var` and `std` do unless told "
    "otherwise: here it is D. `unbiased=False` or `correction=0` says so.",
    ("centred.pow(2).mean(-1, keepdim=True)", "centred.pow(2).sum(-1, keepdim=True) / (x.shape[-1] - 1)"),
)
exercise.changed(
    "axis not kept",
    "The mean of each vector has lost its axis, so that it does not fit x, or fits along another axis: keep "
    "it with `keepdim=True`.",
    ("x - x.mean(-1, keepdim=True)", "x - x.mean(-1)"),
    ("centred.pow(2).mean(-1, keepdim=True)", "x.var(-1, correction=0)"),
)
exercise.changed(
    "axis of the variance not kept",
    "The variance of each vector has lost its axis, so that it does not fit x, or fits along another axis: "
    "keep it with `keepdim=True`, as in the mean.",
    ("centred.pow(2).mean(-1, keepdim=True)", "centred.pow(2).mean(-1)"),
)
exercise.changed(
    "only the mean taken away",
    "The mean is taken away, but nothing is divided by the root of the variance.",
    (" / torch.sqrt(variance + eps)", ""),
)
exercise.changed(
    "the mean stays",
    "x was divided by the standard deviation, but its mean was not taken away: divide x - mean.",
    ("centred / torch", "x / torch"),
)
exercise.changed(
    "RMS norm",
    "x was divided by its root mean square, as in RMS norm: layer norm takes the mean away first.",
    ("x - x.mean(-1, keepdim=True)", "x"),
)
exercise.changed(
    "the squares of x as it came",
    "The mean was taken away above, but not in the root: the variance is the mean of the squared distances "
    "from the mean, not of the squares of x.",
    ("centred.pow(2)", "x.pow(2)"),
)


@exercise.mistake("brought to 0 to 1")
def _(x, weight, bias, eps):
    """Each vector was stretched so that it goes from 0 to 1, as the lecture says. A norm does not do that: it
    gives mean 0 and variance 1, and numbers below 0 are as usual as numbers above.
    """
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return (x - low) / (high - low) * weight + bias


exercise.changed(
    "length 1",
    "Each vector was divided by its length: take the mean away, and divide by the root of the variance.",
    ("x - x.mean(-1, keepdim=True)", "x"),
    ("centred.pow(2).mean(", "centred.pow(2).sum("),
)
exercise.changed(
    "mean of distances",
    "The mean of the absolute distances from the mean was taken: square them first, take the mean, then the "
    "root.",
    ("centred.pow(2).mean(-1, keepdim=True)", "centred.abs().mean(-1, keepdim=True).pow(2)"),
)

# ------------------------------------------------------------------------------------ weight and bias

exercise.changed("bias left out", "The bias does not reach the result: it is added last.", (" + bias", ""))
exercise.changed(
    "neither weight nor bias",
    "The numbers have mean 0 and variance 1, but neither weight nor bias reaches the result.",
    (" * weight + bias", ""),
)
exercise.changed(
    "bias multiplied too",
    "The bias was added before the weight was multiplied in: multiply first, then add.",
    (
        "centred / torch.sqrt(variance + eps) * weight + bias",
        "(centred / torch.sqrt(variance + eps) + bias) * weight",
    ),
)
exercise.changed(
    "weight and bias exchanged",
    "Weight and bias have changed places: the weight is multiplied, the bias is added.",
    ("* weight + bias", "* bias + weight"),
)


@exercise.mistake("weight and bias before")
def _(x, weight, bias, eps):
    """Weight and bias were put to x before normalising: normalise x as it comes, then multiply and add."""
    return layer_norm(x * weight + bias, 1, 0, eps)
