"""A class token and places

Two things are added before the first layer. A class token, one learned vector for all images, is put before
the patches of each image: the layers gather there what the image shows. Then each token gets the vector of
its place: the class token row 0 of `positions`, the first patch row 1. There may be more positions than
tokens, never fewer: use the first ones. Gradients must reach all three inputs.

Hint: `class_token.expand(B, 1, -1)` gives every image the same vector, without a copy and with its
gradient.

Hint: `torch.cat([..., patches], dim=1)` puts it before the patches. How many tokens are there now?
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="A Vision Transformer", tensor=True)


@exercise.solution
def class_token_and_positions(patches, class_token, positions):
    """What the first layer of a Vision Transformer reads.

    Args:
        patches: (B, N, D), a vector for each patch; not to be changed.
        class_token: (D,), the same for all images.
        positions: (M, D), one row per place; M is at least N + 1.
    Returns: (B, N + 1, D).
    """
    ### BEGIN SOLUTION
    first = class_token.expand(len(patches), 1, -1)
    x = torch.cat([first, patches], dim=1)
    return x + positions[: x.shape[1]]
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, n, d, spare=0):
        return {
            "patches": draw(rng, b, n, d),
            "class_token": draw(rng, d),
            "positions": draw(rng, n + 1 + spare, d),
        }

    return in_torch(
        [
            Case("one image, two patches", inputs(1, 2, 3)),
            Case("two images", inputs(2, 3, 5), gradients=True, catches="gradients cut off"),
            Case("many patches", inputs(*primes(rng, 2, 11, 7), spare=5), catches="all positions"),
        ]
    )


exercise.changed(
    "the class token at the end",
    "The class token comes after the patches: put it before them.",
    ("[first, patches]", "[patches, first]"),
)


@exercise.mistake("no class token")
def _(patches, class_token, positions):
    """The class token is missing: there is one more token than patches."""
    return patches + positions[: patches.shape[1]]


exercise.changed(
    "no positions",
    "The positions are missing: add to each token the vector of its place.",
    ("x + positions[: x.shape[1]]", "x"),
)


@exercise.mistake("positions for the patches alone")
def _(patches, class_token, positions):
    """The positions were added before the class token was put in: the class token has row 0, and the first
    patch row 1.
    """
    first = class_token.expand(len(patches), 1, -1)
    return torch.cat([first, patches + positions[: patches.shape[1]]], dim=1)


@exercise.mistake("a class token without a place")
def _(patches, class_token, positions):
    """The class token got no position: it has one too, row 0."""
    first = class_token.expand(len(patches), 1, -1)
    return torch.cat([first, patches + positions[1 : patches.shape[1] + 1]], dim=1)


exercise.changed(
    "the last positions",
    "Of more positions than tokens the last were used: use the first.",
    ("positions[: x.shape[1]]", "positions[-x.shape[1] :]"),
)
exercise.changed(
    "positions backwards",
    "The positions come in the wrong order: token i has row i.",
    ("positions[: x.shape[1]]", "positions[: x.shape[1]].flip(0)"),
)
exercise.changed(
    "one position for each image",
    "All tokens of image b got row b: a position belongs to a place, and is the same in every image.",
    ("positions[: x.shape[1]]", "positions[: len(x), None]"),
)
exercise.changed(
    "all positions",
    "Right only where there are as many positions as tokens: of more use the first, `positions[:n_tokens]`.",
    ("positions[: x.shape[1]]", "positions"),
)
exercise.changed(
    "row 0 for every token",
    "Every token got row 0: token i has row i.",
    ("positions[: x.shape[1]]", "positions[0]"),
)
exercise.changed(
    "the sum of all positions",
    "Every token got the sum of all positions: token i gets row i alone.",
    ("positions[: x.shape[1]]", "positions.sum(0)"),
)
exercise.changed(
    "positions begin at row 1",
    "The positions begin at row 1: the class token has row 0.",
    ("positions[: x.shape[1]]", "positions.roll(-1, 0)[: x.shape[1]]"),
)
exercise.changed(
    "multiplied by its place",
    "The tokens were multiplied by their positions: add them.",
    ("x + positions", "x * positions"),
)
exercise.changed(
    "the first patch replaced",
    "The class token took the place of the first patch: it comes before it, and no patch is lost.",
    ("[first, patches]", "[first, patches[:, 1:]]"),
)


@exercise.mistake("tokens of different images mixed")
def _(patches, class_token, positions):
    """All class tokens came first, then the patches of all images, and a reshape cut this list anew: put each
    class token before the patches of its own image, along axis 1.
    """
    all_tokens = torch.cat([class_token.expand(len(patches), -1), patches.flatten(0, 1)])
    x = all_tokens.reshape(len(patches), -1, patches.shape[-1])
    return x + positions[: x.shape[1]]


@exercise.mistake("added to every patch")
def _(patches, class_token, positions):
    """The class token was added to every patch: it is a token of its own."""
    x = patches + class_token
    return x + positions[: x.shape[1]]


exercise.changed(
    "the class token twice",
    "The class token was added twice: put it before the patches, then add its position.",
    ("[first, patches]", "[2 * first, patches]"),
)
