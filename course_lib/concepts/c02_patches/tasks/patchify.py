"""Cut images into patches

Cut each image into squares of p x p pixels, p being the patch size, in reading order: the first row of
patches from left to right, then the second. Each patch becomes one row of p p C numbers. Inside it the
pixels come in reading order too, and each pixel gives its C channels side by side: row, column, channel.
The library's `patchify` has another order, channel, row, column, so its numbers come in other places.

Hint: Which pixels does the second patch hold? `images[b, :, 0:p, p:2 * p]`, with the channels moved to the
end by `.permute(1, 2, 0)` and then flattened. Two loops over the patches are a right answer.

Hint: Without loops: `images.reshape(B, C, rows, p, columns, p)` gives each pixel the numbers of its patch
and its place in it. Reading it as patches is a matter of the order of the axes.

Hint: `permute(0, 2, 4, 3, 5, 1)`: image, row of patches, column of patches, row, column, channel. Then
reshape.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=3,
    minutes=18,
    section="Cut it",
    forbidden=("course_lib.patches.patchify",),
    tensor=True,
)


@exercise.solution
def patchify(images, patch_size):
    """Cut images into squares of p x p pixels, p = patch_size.

    Args:
        images: (B, C, height, width), floats or whole numbers; p divides height and width.
        patch_size: height and width of a patch in pixels.
    Returns: (B, N, p p C): patches in reading order; inside each row, column, channel.
    """
    ### BEGIN SOLUTION
    n_images, n_channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    squares = images.reshape(n_images, n_channels, rows, patch_size, columns, patch_size)
    squares = squares.permute(0, 2, 4, 3, 5, 1)  # image, row and column of the patch, row, column, channel
    return squares.reshape(n_images, rows * columns, -1)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def images(b, c, rows, columns, p):
        return {"images": all_different(rng, b, c, rows * p, columns * p), "patch_size": p}

    whole = images(2, 3, *primes(rng, 2, 5), 2)
    whole["images"] = rng.integers(0, 256, whole["images"].shape).astype(np.uint8)
    return in_torch(
        [
            Case("one grey image of 4 x 4 pixels", images(1, 1, 2, 2, 2)),
            Case(
                "five channels", images(2, 5, *primes(rng, 2, 7), 3), catches="always patches of 2 x 2 pixels"
            ),
            Case("whole numbers from 0 to 255", whole, catches="a convolution of floats"),
        ]
    )


@exercise.mistake("a bare reshape")
def _(images, patch_size):
    """The numbers were only grouped as they lie in memory, so a patch holds pieces of rows and no square:
    cut both axes in two, then permute, then reshape.
    """
    n_patches = images[0, 0].numel() // patch_size**2
    return images.reshape(len(images), n_patches, -1)


@exercise.mistake("a bare reshape with the channels last")
def _(images, patch_size):
    """The channels were moved to the end, but then the pixels were grouped as they lie in memory: a patch
    holds pieces of rows and no square.
    """
    n_patches = images[0, 0].numel() // patch_size**2
    return images.permute(0, 2, 3, 1).reshape(len(images), n_patches, -1)


exercise.changed(
    "channels first",
    "Inside a patch the order is channel, row, column, as in the library: here it is row, column, channel.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 2, 4, 1, 3, 5)"),
)
exercise.changed(
    "patches column by column",
    "The patches come column by column: reading order goes along the first row of patches first.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 4, 2, 3, 5, 1)"),
)
exercise.changed(
    "pixels column by column",
    "Inside a patch the pixels come column by column: reading order goes along the first row first.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 2, 4, 5, 3, 1)"),
)
exercise.changed(
    "rows and columns exchanged",
    "Rows and columns are exchanged, both among the patches and inside them: the last axis of an image "
    "goes along a row.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 4, 2, 5, 3, 1)"),
)
exercise.changed(
    "pixels far apart",
    "Each patch takes pixels that lie far from each other: the height is cut into (rows, p), not into (p, "
    "rows).",
    ("rows, patch_size, columns, patch_size)", "patch_size, rows, patch_size, columns)"),
    ("(0, 2, 4, 3, 5, 1)", "(0, 3, 5, 2, 4, 1)"),
)
exercise.changed(
    "rows and columns of the grid exchanged",
    "The height was cut into as many pieces as there are columns of patches, and the width into as many as "
    "there are rows: the height is (rows, p), the width (columns, p).",
    ("rows, patch_size, columns, patch_size)", "columns, patch_size, rows, patch_size)"),
)
exercise.changed(
    "pixels before patches",
    "The place in a patch came before the patch: the first row holds the first pixel of every patch.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 3, 5, 2, 4, 1)"),
)
exercise.changed(
    "channels between row and column",
    "Inside a patch the order is row, channel, column: here it is row, column, channel.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 2, 4, 3, 1, 5)"),
)
exercise.changed(
    "channels first, pixels column by column",
    "Inside a patch the order is channel, column, row: here it is row, column, channel.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 2, 4, 1, 5, 3)"),
)
exercise.changed(
    "channels first, patches column by column",
    "The patches come column by column, and inside each the order is channel, row, column: the first row of "
    "patches comes first, and inside it is row, column, channel.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 4, 2, 1, 3, 5)"),
)


@exercise.mistake("channels moved by a reshape")
def _(images, patch_size):
    """The channels were brought to the end by a reshape, which moves no number: `permute(0, 2, 3, 1)` moves
    them.
    """
    n_images, n_channels, height, width = images.shape
    moved = images.reshape(n_images, height, width, n_channels).permute(0, 3, 1, 2)
    return patchify(moved, patch_size)


exercise.changed(
    "a patch of each channel",
    "The channels were cut apart: a patch holds the numbers of all channels.",
    ("(0, 2, 4, 3, 5, 1)", "(0, 1, 2, 4, 3, 5)"),
)


@exercise.mistake("overlapping patches")
def _(images, patch_size):
    """The patches overlap: after one patch go on by p pixels, not by one."""
    squares = images.unfold(2, patch_size, 1).unfold(3, patch_size, 1)  # one at every pixel
    return squares.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


exercise.changed(
    "images mixed",
    "The patches of different images were mixed: the image is the first axis, before the rows of patches.",
    ("(0, 2, 4, 3, 5, 1)", "(2, 4, 0, 3, 5, 1)"),
)


@exercise.mistake("patches in columns")
def _(images, patch_size):
    """The result is transposed: one row per patch."""
    return patchify(images, patch_size).mT


exercise.changed(
    "as many columns as rows",
    "Right for square images only: the number of columns is the width by p, the number of rows the height "
    "by p.",
    ("rows, columns = height // patch_size, width // patch_size", "rows = columns = height // patch_size"),
)
