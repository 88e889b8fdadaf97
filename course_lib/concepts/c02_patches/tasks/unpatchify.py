"""Put the image together again

The way back: from the rows of your `patchify`, with row, column and channel inside each, to the images (B,
C, height, width). The height and the width are given in pixels, because six patches may lie as 2 x 3 or as
3 x 2. How many channels there are follows from the length of a row.

Hint: How many rows and columns of patches are there? How long is one row of `patches` for one channel, and
for C?

Hint: `patches.reshape(B, rows, columns, p, p, C)` gives every number its place. Where must each axis go?

Hint: `permute(0, 5, 1, 3, 2, 4)`: image, channel, row of patches, row in it, column of patches, column in
it. Then one reshape joins them by two.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=3,
    minutes=15,
    section="Cut it",
    forbidden=("course_lib.patches.unpatchify",),
    tensor=True,
)


@exercise.solution
def unpatchify(patches, patch_size, height, width):
    """Put patches back together: the inverse of `patchify`.

    Args:
        patches: (B, N, p p C), as `patchify` gives them.
        patch_size: height and width of a patch in pixels.
        height, width: of an image, in pixels.
    Returns: (B, C, height, width).
    """
    ### BEGIN SOLUTION
    rows, columns = height // patch_size, width // patch_size
    squares = patches.reshape(len(patches), rows, columns, patch_size, patch_size, -1)
    squares = squares.permute(0, 5, 1, 3, 2, 4)
    return squares.reshape(len(patches), -1, height, width)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def patches(b, c, rows, columns, p):
        cut_up = all_different(rng, b, rows * columns, p * p * c)
        return {"patches": cut_up, "patch_size": p, "height": rows * p, "width": columns * p}

    whole = patches(2, 3, *primes(rng, 2, 5), 2)
    whole["patches"] = rng.integers(0, 256, whole["patches"].shape).astype(np.uint8)
    return in_torch(
        [
            Case("one grey image of 4 x 4 pixels", patches(1, 1, 2, 2, 2)),
            Case(
                "five channels",
                patches(2, 5, *primes(rng, 2, 7), 3),
                catches="always patches of 2 x 2 pixels",
            ),
            Case("as many rows as columns", patches(3, 3, 3, 3, 2), catches="as many columns as rows"),
            Case("whole numbers from 0 to 255", whole, catches="a convolution of floats"),
        ]
    )


@exercise.mistake("a bare reshape")
def _(patches, patch_size, height, width):
    """The numbers were only grouped as they lie in memory: name the axes by one reshape, then permute, then
    reshape.
    """
    return patches.reshape(len(patches), -1, height, width)


@exercise.mistake("a bare reshape with the channels last")
def _(patches, patch_size, height, width):
    """The numbers were read as rows of pixels, and only the channels were moved: a row of `patches` holds a
    square, not a piece of a row.
    """
    return patches.reshape(len(patches), height, width, -1).permute(0, 3, 1, 2)


exercise.changed(
    "channels first",
    "The rows were read as channel, row, column, as the library's: here it is row, column, channel.",
    ("patch_size, patch_size, -1)", "-1, patch_size, patch_size)"),
    ("(0, 5, 1, 3, 2, 4)", "(0, 3, 1, 4, 2, 5)"),
)
exercise.changed(
    "patches column by column",
    "The patches were laid column by column: they come in reading order, the first row of patches first.",
    ("rows, columns, patch_size, patch_size", "columns, rows, patch_size, patch_size"),
    ("(0, 5, 1, 3, 2, 4)", "(0, 5, 2, 3, 1, 4)"),
)
exercise.changed(
    "rows and columns of the grid exchanged",
    "Rows and columns of patches are exchanged: the patches of a row stand side by side, so N is (rows, "
    "columns).",
    ("rows, columns, patch_size, patch_size", "columns, rows, patch_size, patch_size"),
)
exercise.changed(
    "rows and columns of patches exchanged",
    "The axes of the patches were exchanged: the height is (row of patches, row in it), the width (column of "
    "patches, column in it).",
    ("(0, 5, 1, 3, 2, 4)", "(0, 5, 2, 3, 1, 4)"),
)
exercise.changed(
    "all rows and columns exchanged",
    "Rows and columns were exchanged, of the patches and in them: the height is (row of patches, row in it), "
    "the width (column of patches, column in it).",
    ("(0, 5, 1, 3, 2, 4)", "(0, 5, 2, 4, 1, 3)"),
)
exercise.changed(
    "channels moved by a reshape",
    "The channels were brought to the front by the last reshape, which moves no number: the permutation "
    "moves them too.",
    ("(0, 5, 1, 3, 2, 4)", "(0, 1, 3, 2, 4, 5)"),
)
exercise.changed(
    "pixels column by column",
    "Inside a patch the pixels were laid column by column: the first p C numbers are its first row.",
    ("(0, 5, 1, 3, 2, 4)", "(0, 5, 1, 4, 2, 3)"),
)
exercise.changed(
    "pixels far apart",
    "The pixels of a patch lie far from each other: the height is (rows, p), rows of patches before the "
    "row in one.",
    ("(0, 5, 1, 3, 2, 4)", "(0, 5, 3, 1, 4, 2)"),
)


@exercise.mistake("height and width exchanged")
def _(patches, patch_size, height, width):
    """Height and width are exchanged: the images are (B, C, height, width)."""
    return unpatchify(patches, patch_size, width, height)


exercise.changed(
    "height and width exchanged at the end",
    "The last reshape has the width before the height: images are (B, C, height, width).",
    ("-1, height, width)", "-1, width, height)"),
)


@exercise.mistake("the image lies on its side")
def _(patches, patch_size, height, width):
    """Rows and columns of the image are exchanged: it lies on its side."""
    return unpatchify(patches, patch_size, height, width).mT


@exercise.mistake("channels at the end")
def _(patches, patch_size, height, width):
    """The channels are the last axis of the result: images are (B, C, height, width)."""
    return unpatchify(patches, patch_size, height, width).permute(0, 2, 3, 1)


exercise.changed(
    "always three channels",
    "Three channels were taken for granted: how many there are follows from the length of a row, p p C.",
    ("patch_size, patch_size, -1)", "patch_size, patch_size, 3)"),
)
exercise.changed(
    "always one channel",
    "One channel was taken for granted: how many there are follows from the length of a row, p p C.",
    ("patch_size, patch_size, -1)", "patch_size, patch_size, 1)"),
)
exercise.changed(
    "as many columns as rows",
    "Right for square images only: the number of rows is the height by p, the number of columns the width "
    "by p.",
    (
        "rows, columns = height // patch_size, width // patch_size",
        "rows = columns = int(len(patches[0]) ** 0.5)",
    ),
)
