"""One vector for a text

MiniLM gives a vector for each token; a text's own vector is their mean. `vectors` (B, T, D) holds B texts
of T places each, `mask` (B, T) is True where a token stands and False at padding, which may be at the end,
in front or in between. Return the mean of each text's tokens, (B, D). What stands at padding must not
matter, and it may be anything, NaN or infinity too. A text without a token gets zeros. Gradients must flow.

Hint: How many tokens has each text? What would the sum be, if padding were all zeros?

Hint: 0 times NaN is NaN, so multiplying by the mask is not enough: `torch.where(condition, a, b)` takes a
where the condition is true, else b. `mask[..., None]` has the shape (B, T, 1).

Hint: Divide the sum over T by `mask.sum(1, keepdim=True).clamp(min=1)`, which is (B, 1) and never 0.
"""

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property


def within_the_tokens(result, inputs):
    """A number that no mean of these tokens can be."""
    vectors, mask = inputs["vectors"].detach().double().numpy(), inputs["mask"].numpy()
    for row, (numbers, is_token) in enumerate(zip(vectors, mask, strict=True)):
        if not is_token.any():
            if (result[row] != 0).any():
                return f"Text {row} has no token, so its vector is zeros."
            continue
        low, high = numbers[is_token].min(0), numbers[is_token].max(0)
        room = 1e-4 * (1 + np.abs(numbers[is_token]).max())
        outside = np.flatnonzero((result[row] < low - room) | (result[row] > high + room))
        if len(outside):
            i = int(outside[0])
            return (
                f"Number {i} of text {row} is {result[row, i]:.4g}, but its tokens have {low[i]:.4g} to "
                f"{high[i]:.4g} there: a mean lies between them."
            )
    return ""


exercise = Exercise(
    level=1,
    minutes=8,
    section="Search by meaning",
    properties=(Property("within the tokens", within_the_tokens),),
)


@exercise.solution
def mean_pooling(vectors, mask):
    """The mean of each text's tokens.

    Args:
        vectors: (B, T, D), one vector for each place; anything at padding.
        mask: (B, T), True where a token stands.
    Returns: (B, D), zeros for a text without tokens.
    """
    ### BEGIN SOLUTION
    tokens = torch.where(mask[..., None], vectors, 0.0)
    return tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(lengths, n_places, d):
        mask = np.arange(n_places) < rng.permutation(lengths)[:, None]
        return {"vectors": draw(rng, len(lengths), n_places, d), "mask": mask}

    zeros = inputs([3, 5, 4], 5, 2)
    zeros["vectors"][:, 1] = 0
    strange = inputs([3, 1], 5, 2)
    for vectors, is_token, number in zip(strange["vectors"], strange["mask"], (np.nan, np.inf), strict=True):
        vectors[~is_token] = number
    between = inputs([5, 5, 5], 5, 2)
    between["mask"][np.arange(3), rng.integers(1, 4, 3)] = False
    t, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one text, no padding", inputs([3], 3, 2)),
            Case("padding in between", between, catches="from the first token to the last"),
            Case("a text without tokens", inputs([0, 3], 3, 2), catches="zero over zero"),
            Case("a token that is zeros", zeros, catches="zeros taken for padding"),
            Case("padding that is NaN or infinite", strange, catches="only NaN taken out"),
            Case("a batch", inputs([t, 1, t - 1], t, d), gradients=True, catches="no graph"),
        ]
    )


@exercise.mistake("mean over all places")
def _(vectors, mask):
    """Padding is in the mean: only places where the mask is True count, in the sum and in its divisor."""
    return vectors.mean(1)


exercise.changed(
    "divided by all places",
    "Only tokens are in the sum, but it is divided by T: divide by the number of tokens, or a short text "
    "gets a short vector.",
    ("mask.sum(1, keepdim=True).clamp(min=1)", "mask.shape[1]"),
)
exercise.changed(
    "sum",
    "This is the sum of the tokens: divide it by their number.",
    (" / mask.sum(1, keepdim=True).clamp(min=1)", ""),
)


@exercise.mistake("the largest")
def _(vectors, mask):
    """This is the largest of each number over the tokens (max pooling): take the mean."""
    largest = torch.where(mask[..., None], vectors, -torch.inf).amax(1)
    return torch.where(mask.any(1, keepdim=True), largest, 0.0)


@exercise.mistake("the first place")
def _(vectors, mask):
    """This is the vector in the first place, as BERT's [CLS] is used: MiniLM's is the mean of all tokens."""
    return vectors[:, 0]


@exercise.mistake("the last token")
def _(vectors, mask):
    """This is the vector of one token, the last one: take the mean of all tokens."""
    return vectors[torch.arange(len(mask)), mask.sum(1) - 1]


# ------------------------------------------------------------------------------------------------ the padding


@exercise.mistake("mask upside down")
def _(vectors, mask):
    """This is the mean of the padding: True in the mask means a token."""
    return mean_pooling(vectors, ~mask)


exercise.changed(
    "padding times zero",
    "Right as long as padding holds numbers, but 0 times NaN is NaN, and 0 times infinity too: choose with "
    "`torch.where` or `masked_fill` in place of multiplying.",
    ("torch.where(mask[..., None], vectors, 0.0)", "vectors * mask[..., None]"),
)

# -------------------------------------------------------------------------------------- what it is divided by

exercise.changed(
    "zero over zero",
    "A text without tokens gives 0 / 0, which is NaN: it gets zeros. Divide by at least 1, `clamp(min=1)`.",
    (".clamp(min=1)", ""),
)
exercise.changed(
    "one too many",
    "The sum was divided by the number of tokens plus 1, for fear of 0: this makes every vector too short. "
    "Divide by at least 1, `clamp(min=1)`.",
    ("mask.sum(1, keepdim=True).clamp(min=1)", "(mask.sum(1, keepdim=True) + 1)"),
)
exercise.changed(
    "keepdim forgotten",
    "The numbers of tokens came as (B,), which runs along the D numbers of a vector: they need an axis for "
    "these, `mask.sum(1, keepdim=True)`.",
    ("mask.sum(1, keepdim=True)", "mask.sum(1)"),
)
exercise.changed(
    "one count for all",
    "Each text's sum was divided by the number of tokens of the whole batch: each has its own, `mask.sum(1, "
    "keepdim=True)`.",
    ("mask.sum(1, keepdim=True)", "mask.sum()"),
)

# ------------------------------------------------------------------------------- which numbers are in the sum


@exercise.mistake("the first places")
def _(vectors, mask):
    """The right number of places was taken, but always the first ones: padding may stand in front or in
    between, the mask says where.
    """
    return mean_pooling(vectors, torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True))


@exercise.mistake("from the first token to the last")
def _(vectors, mask):
    """All places from the first token to the last were taken: padding may stand in between, the mask says
    where.
    """
    begun, goes_on = mask.cumsum(1) > 0, mask.flip(1).cumsum(1).flip(1) > 0
    return mean_pooling(vectors, begun & goes_on)


@exercise.mistake("zeros taken for padding")
def _(vectors, mask):
    """Places whose vector is zeros were left out: the mask alone says what is padding."""
    return mean_pooling(vectors, (vectors != 0).any(-1))


exercise.changed(
    "one vector for the batch",
    "This is one vector for the whole batch: each text gets its own, so the mean runs over axis 1 alone.",
    ("tokens.sum(1)", "tokens.sum((0, 1))"),
    ("mask.sum(1, keepdim=True)", "mask.sum()"),
)
exercise.changed(
    "mean over the texts",
    "The mean runs over the texts of the batch: it runs over the tokens of a text, axis 1.",
    ("tokens.sum(1) / mask.sum(1, keepdim=True)", "tokens.sum(0) / mask.sum(0)[:, None]"),
)
exercise.changed(
    "mean over the numbers",
    "The mean runs over the D numbers of each token: it runs over the tokens of a text, axis 1.",
    ("tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)", "tokens.mean(-1)"),
)


@exercise.mistake("scaled to length 1")
def _(vectors, mask):
    """The mean was scaled to length 1. Searching by cosine does that later, because the length does not
    matter there; here the mean itself is asked for.
    """
    return F.normalize(mean_pooling(vectors, mask), dim=-1)
