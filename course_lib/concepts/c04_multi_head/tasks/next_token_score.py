"""Which heads look ahead?

A model that reads, MiniLM for instance, may look to the right. You get its attention weights for several
texts at once, (B, L, H, T, T): rows are queries, columns are keys. The texts have different lengths, so the
shorter ones are filled up at the end; `lengths` says how many tokens of each are real. Return (L, H): for
each head the mean weight that a real token gives to the real token just after it, over all such pairs of
all texts. Every pair counts the same. What looks at the filling, and what the filling looks at, does not
count. Then let it find MiniLM's heads below.

Hint: A text with n real tokens has n - 1 pairs: its last real token has none after it.

Hint: The weights of the token after lie on one diagonal: `weights[b].diagonal(offset=1, dim1=-2, dim2=-1)`.
Of that of text b the first n - 1 count.

Hint: Add up all weights that count, and divide by the number of all pairs. A mean of the texts' means would
let a short text count as much as a long one.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c04_multi_head.tasks.previous_token_score import random_weights

exercise = Exercise(level=3, minutes=15, section="What heads look at")


@exercise.solution
def next_token_score(weights, lengths):
    """How much each head looks at the token after.

    Args:
        weights: (B, L, H, T, T), attention weights of B texts, filled up to T tokens: queries in rows.
        lengths: how many tokens of each text are real, a list of B whole numbers, each at least 2.
    Returns: (L, H), the mean weight of a real token on the real token just after it.
    """
    ### BEGIN SOLUTION
    total, n_pairs = 0, 0
    for text, n in zip(weights, lengths, strict=True):
        total = total + text.diagonal(offset=1, dim1=-2, dim2=-1)[..., : n - 1].sum(-1)
        n_pairs += n - 1
    return total / n_pairs
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n_layers, n_heads, size, *lengths):
        weights = np.stack([random_weights(rng, n_layers, n_heads, size) for _ in lengths])
        return {"weights": weights, "lengths": list(lengths)}

    return in_torch(
        [
            Case("one text of three tokens, one head", inputs(1, 1, 3, 3)),
            Case(
                "three texts, all of them filled up",
                inputs(2, 5, 11, *primes(rng, 3, 5, 7)),
                catches="the longest text for all",
            ),
            Case("texts of two tokens", inputs(5, 2, 3, 2, 2), catches="an axis of one lost"),
        ]
    )


# ------------------------------------------------------------------------------------- which weights they are

exercise.changed(
    "the token before",
    "These are the weights of the token before: that after it is one column to the right, `offset=1`.",
    ("offset=1", "offset=-1"),
)
exercise.changed(
    "the token itself",
    "These are the weights that tokens give to themselves: the token after is one column to the right.",
    ("offset=1", "offset=0"),
)
exercise.changed(
    "two tokens after",
    "These are the weights of the token two places after: one place is asked for.",
    ("offset=1", "offset=2"),
)
exercise.changed(
    "the filling counts",
    "The filling was counted too: of a text with n real tokens only the first n - 1 weights of the diagonal "
    "count.",
    ("[..., : n - 1]", ""),
    ("+= n - 1", "+= text.shape[-1] - 1"),
)
exercise.changed(
    "the longest text for all",
    "All texts were read to the end of the longest one: each has a length of its own.",
    ("zip(weights, lengths, strict=True)", "zip(weights, [max(lengths)] * len(lengths), strict=True)"),
)
exercise.changed(
    "the shortest text for all",
    "All texts were read to the end of the shortest one: each has a length of its own.",
    ("zip(weights, lengths, strict=True)", "zip(weights, [min(lengths)] * len(lengths), strict=True)"),
)
exercise.changed(
    "layers and heads instead of queries and keys",
    "The diagonal was taken over layers and heads: without `dim1` and `dim2` it is that of the first two "
    "axes.",
    ("offset=1, dim1=-2, dim2=-1", "offset=1"),
)
exercise.changed(
    "the last real token looks at the filling",
    "The last real token of a text was counted: what comes after it is filling, so there are n - 1 pairs.",
    ("[..., : n - 1]", "[..., :n]"),
)

# --------------------------------------------------------------------------------------- what is made of them


@exercise.mistake("each text the same")
def _(weights, lengths):
    """Each text counts the same here: every *pair* should, so add up all weights, and divide once."""
    means = [next_token_score(text[None], [n]) for text, n in zip(weights, lengths, strict=True)]
    return sum(means) / len(means)


exercise.changed(
    "divided by the number of tokens",
    "The sum was divided by the number of tokens: a text of n tokens has n - 1 pairs.",
    ("+= n - 1", "+= n"),
)
exercise.changed(
    "the sum",
    "This is the sum of the weights: divide it by the number of pairs.",
    ("total / n_pairs", "total"),
)


@exercise.mistake("one number for each layer")
def _(weights, lengths):
    """The heads of a layer were averaged: each head has a score of its own."""
    return next_token_score(weights, lengths).mean(-1)


@exercise.mistake("only the first text")
def _(weights, lengths):
    """Only the first text was read: add up over all of them."""
    return next_token_score(weights[:1], lengths[:1])


@exercise.mistake("only the last text")
def _(weights, lengths):
    """Only the last text was read: does each one overwrite the one before? Add up over all of them."""
    return next_token_score(weights[-1:], lengths[-1:])


exercise.changed(
    "heads before layers",
    "Layers and heads are exchanged: the result is (L, H).",
    ("total / n_pairs", "(total / n_pairs).mT"),
)
