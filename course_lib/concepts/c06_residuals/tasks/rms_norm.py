"""RMS norm

Unlike LayerNorm, the norm of the Llama family subtracts no mean and adds no shift:
`x / sqrt(mean(x²) + eps) * weight`. Each vector is normalised alone, over its own D numbers, the last axis of
x. The root of the mean of the squares is called root mean square; that of the result, before the weight, is
1, but for eps. (Zhang and Sennrich 2019, equation 4.)

Hint: Read the name from its end: square the numbers, take their mean, take the root of that.

Hint: `x.pow(2).mean(-1, keepdim=True)` is the mean square of each vector. eps is added to it, within the
root.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Property
from course_lib.concepts.c06_residuals.tasks.layer_norm import OTHER_AXES, lost_digits, norm_cases

exercise = Exercise(
    level=1,
    minutes=6,
    section="What a norm is for",
    forbidden=("torch.nn.RMSNorm.forward", "torch.nn.functional.rms_norm"),
    tensor=True,
    properties=(Property("all digits", lambda *given: lost_digits(rms_norm, *given)),),
)


@exercise.solution
def rms_norm(x, weight, eps):
    """Divide every vector by its root mean square, then a learned scale.

    Args:
        x: (..., D), vectors.
        weight: (D,), what each of the D numbers is multiplied by after normalising.
        eps: added to the mean square, so that nothing is divided by 0.
    Returns: (..., D).
    """
    ### BEGIN SOLUTION
    mean_square = x.pow(2).mean(-1, keepdim=True)
    return x / torch.sqrt(mean_square + eps) * weight
    ### END SOLUTION


@exercise.cases
def _(rng):
    return norm_cases(rng, "weight")


for name, axes in OTHER_AXES.items():
    exercise.changed(name, "", ("mean(-1", f"mean({axes}"))

exercise.changed(
    "eps outside the root", "", ("torch.sqrt(mean_square + eps)", "(torch.sqrt(mean_square) + eps)")
)
exercise.changed("no eps", "", (" + eps", ""))
exercise.changed(
    "eps as a floor", "", ("torch.sqrt(mean_square + eps)", "torch.sqrt(mean_square).clamp(min=eps)")
)
exercise.changed("eps squared", "", ("+ eps", "+ eps**2"))
exercise.changed("always the same eps", "", ("+ eps", "+ 1e-5"))
exercise.changed("always an eps of 1e-6", "", ("+ eps", "+ 1e-6"))
exercise.changed(
    "the mean of squares at least eps", "", ("(mean_square + eps)", "(mean_square.clamp(min=eps))")
)
exercise.changed(
    "eps added to the result", "", ("mean_square + eps) * weight", "mean_square) * weight + eps")
)
exercise.changed(
    "eps added to the numbers",
    "eps was added to x: it is added to the mean of the squares, below the root.",
    ("x / torch.sqrt(mean_square + eps)", "(x + eps) / torch.sqrt(mean_square)"),
)
exercise.changed("no root", "", ("torch.sqrt(mean_square + eps)", "(mean_square + eps)"))
exercise.changed("sum of squares", "", ("mean(", "sum("))
exercise.changed("divided by len(x)", "", ("mean(-1, keepdim=True)", "sum(-1, keepdim=True) / len(x)"))
exercise.changed(
    "D outside the root",
    "",
    ("mean(", "sum("),
    ("torch.sqrt(mean_square + eps)", "(torch.sqrt(mean_square + eps) / x.shape[-1])"),
)
exercise.changed("multiplied by the spread", "", ("x / torch", "x * torch"))


@exercise.mistake("weighted before")
def _(x, weight, eps):
    return rms_norm(x * weight, 1, eps)


exercise.changed("weight left out", "", (" * weight", ""))
exercise.changed("one more than the weight", "", ("* weight", "* (1 + weight)"))
exercise.changed(
    "axis not kept",
    "The mean square of each vector has lost its axis, so that it does not fit x, or fits along another "
    "axis: keep it with `keepdim=True`.",
    ("(-1, keepdim=True)", "(-1)"),
)


@exercise.mistake("the mean taken away")
def _(x, weight, eps):
    """The mean was taken away, as in layer norm: RMS norm leaves it."""
    return rms_norm(x - x.mean(-1, keepdim=True), weight, eps)


exercise.changed(
    "the standard deviation",
    "x was divided by its standard deviation, for which the mean is taken away: take the mean of the "
    "squares of x itself.",
    ("x.pow(2).mean(-1, keepdim=True)", "x.var(-1, correction=0, keepdim=True)"),
)
exercise.changed(
    "the standard deviation by D - 1",
    "x was divided by its standard deviation, for which the mean is taken away and the sum divided by D - 1: "
    "take the mean of the squares of x itself.",
    ("x.pow(2).mean(-1, keepdim=True)", "x.var(-1, keepdim=True)"),
)
exercise.changed(
    "squared mean",
    "The mean was squared: square the numbers first, then take their mean.",
    ("x.pow(2).mean(-1, keepdim=True)", "x.mean(-1, keepdim=True).pow(2)"),
)
exercise.changed(
    "mean of sizes",
    "The mean of the absolute values was taken: square first, take the mean, then the root.",
    ("x.pow(2).mean(-1, keepdim=True)", "x.abs().mean(-1, keepdim=True).pow(2)"),
)
exercise.changed(
    "the largest number",
    "x was divided by its largest number: take the root of the mean of the squares.",
    ("torch.sqrt(mean_square + eps)", "(x.abs().amax(-1, keepdim=True) + eps)"),
)
exercise.changed(
    "weight added", "The weight was added: each number is multiplied by its own.", ("* weight", "+ weight")
)
