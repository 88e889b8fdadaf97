"""A linear layer as a convolution

A linear layer on your patches does what a convolution does whose kernel and stride are p: it lays its p x p
x C weights over one patch after the other. Turn the weight of the linear layer, (D, p p C) with row, column
and channel as in your `patchify`, into the weight of `nn.Conv2d`, which is (D, C, p, p): output, channel,
row, column. With the right one the convolution gives the vectors of the linear layer, at each patch its
own.

Hint: Each of the D rows of `weight` is a little image of p x p pixels with the channels last.

Hint: `weight.reshape(D, p, p, C)`, then move the channels: which order of the axes does nn.Conv2d want?
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="Cut it", tensor=True)


@exercise.solution
def linear_to_convolution(weight, patch_size):
    """The weight of a convolution that does what a linear layer does on your patches.

    Args:
        weight: (D, p p C), the weight of an `nn.Linear` on the patches of your `patchify`.
        patch_size: p.
    Returns: (D, C, p, p), the weight of an `nn.Conv2d`; gradients flow through it.
    """
    ### BEGIN SOLUTION
    kernels = weight.reshape(len(weight), patch_size, patch_size, -1)
    return kernels.permute(0, 3, 1, 2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def weight(d, c, p):
        return {"weight": all_different(rng, d, p * p * c), "patch_size": p}

    return in_torch(
        [
            Case("one channel", weight(2, 1, 2)),
            Case("everything square", weight(3, 3, 3), gradients=True, catches="gradients cut off"),
            Case(
                "five channels", weight(*primes(rng, 7, 5), 2), catches="as many outputs as a patch is wide"
            ),
        ]
    )


@exercise.mistake("a bare reshape")
def _(weight, patch_size):
    """A bare reshape reads each row as channel, row, column, the library's order: here the channel comes
    last, so it has to be moved.
    """
    return weight.reshape(len(weight), -1, patch_size, patch_size)


exercise.changed(
    "channels left at the end",
    "The channels are still the last axis: `nn.Conv2d` wants output, channel, row, column.",
    ("kernels.permute(0, 3, 1, 2)", "kernels"),
)
exercise.changed(
    "moved the other way",
    "`permute` was told where each axis goes: it wants to know for each place which axis comes there, so the "
    "channels, axis 3, stand second.",
    ("(0, 3, 1, 2)", "(0, 2, 3, 1)"),
)
exercise.changed(
    "rows and columns exchanged",
    "Rows and columns of the kernel are exchanged: the row comes before the column, in both.",
    ("(0, 3, 1, 2)", "(0, 3, 2, 1)"),
)


@exercise.mistake("a flipped kernel")
def _(weight, patch_size):
    """The kernel is upside down and mirrored. In mathematics a convolution flips its kernel, torch's
    `nn.Conv2d` does not.
    """
    return linear_to_convolution(weight, patch_size).flip(2, 3)


@exercise.mistake("upside down")
def _(weight, patch_size):
    """The kernel is upside down: the first row stays the first."""
    return linear_to_convolution(weight, patch_size).flip(2)


@exercise.mistake("mirrored")
def _(weight, patch_size):
    """The kernel is mirrored: the first column stays the first."""
    return linear_to_convolution(weight, patch_size).flip(3)


exercise.changed(
    "channels before outputs",
    "The channels are the first axis, as in `nn.ConvTranspose2d`: `nn.Conv2d` wants output, channel, row, "
    "column.",
    ("(0, 3, 1, 2)", "(3, 0, 1, 2)"),
)
exercise.changed(
    "kernel first",
    "Row and column come first, as in JAX: `nn.Conv2d` wants output, channel, row, column.",
    ("(0, 3, 1, 2)", "(1, 2, 3, 0)"),
)


@exercise.mistake("columns of the weight")
def _(weight, patch_size):
    """The columns of the weight were taken for its outputs: `nn.Linear` stores (outputs, inputs), one row
    for each output.
    """
    return linear_to_convolution(weight.mT.reshape(weight.shape), patch_size)


@exercise.mistake("the mean of a patch")
def _(weight, patch_size):
    """The weights were divided by the number of pixels: the layers add up, neither takes a mean."""
    return linear_to_convolution(weight, patch_size) / patch_size**2


exercise.changed(
    "channels exchanged with columns",
    "The last two axes were exchanged: the channel moves before the row too, and row and column keep their "
    "order.",
    ("(0, 3, 1, 2)", "(0, 1, 3, 2)"),
)
