"""Join the heads again

The way back. When each head has mixed its own pieces, the pieces of a token are put side by side again, the
first head's first: from (B, H, T, K) to (B, T, H K). What `split_heads` took apart comes out as it was.

Hint: The numbers that belong to one token must be neighbours before two axes become one. Are they, in (B,
H, T, K)?

Hint: `heads.transpose(1, 2)` is (B, T, H, K), and `.flatten(2)` joins the last two axes.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=6, section="Split, attend, join", tensor=True)


@exercise.solution
def join_heads(heads):
    """Put the pieces of each token side by side again: the inverse of `split_heads`.

    Args:
        heads: (B, H, T, K).
    Returns: (B, T, H K).
    """
    ### BEGIN SOLUTION
    return heads.transpose(1, 2).flatten(2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, t, h, k):
        return {"heads": all_different(rng, b, h, t, k)}

    numbered = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4).transpose(0, 2, 1, 3)
    return in_torch(
        [
            Case("two tokens of three heads, 0 to 11 and 12 to 23", {"heads": numbered}),
            Case(
                "two sequences",
                inputs(2, *primes(rng, 3, 5, 7)),
                gradients=True,
                catches="no graph",
            ),
            Case("one head", inputs(2, 5, 1, 3), catches="one head is left as it is"),
            Case(
                "heads of one number", inputs(2, 3, 5, 1), catches="heads of one number are left as they are"
            ),
            Case("one token", inputs(2, 1, 3, 5), catches="no axis for one token"),
        ]
    )


@exercise.mistake("without exchanging the axes")
def without_exchange(heads):
    """The numbers were only grouped as they lie in memory, so a row holds several tokens of one head:
    exchange heads and tokens first.
    """
    return heads.reshape(heads.shape[0], heads.shape[2], -1)


@exercise.mistake("the wrong axes exchanged")
def _(heads):
    """Tokens and numbers were exchanged, and then grouped as they lie in memory: it is heads and tokens that
    change places.
    """
    return heads.mT.reshape(heads.shape[0], heads.shape[2], -1)


@exercise.mistake("the sum of the heads")
def _(heads):
    """The heads were added up: put them side by side, so that nothing is lost."""
    return heads.sum(1)


@exercise.mistake("the mean of the heads")
def _(heads):
    """This is the mean of the heads: put them side by side, so that nothing is lost."""
    return heads.mean(1)


@exercise.mistake("interleaved heads")
def joined_interleaved(heads):
    """The first numbers of all heads come first, then the second ones: a head's K numbers stay together."""
    return heads.permute(0, 2, 3, 1).flatten(2)


@exercise.mistake("one head below the other")
def _(heads):
    """The tokens of the heads follow each other: that gives H T rows, and a token has one."""
    return heads.flatten(1, 2)


exercise.changed(
    "tokens side by side",
    "The tokens of each head were put side by side: exchange heads and tokens first, so that what is joined "
    "belongs to one token.",
    (".transpose(1, 2)", ""),
)
exercise.changed(
    "still four axes", "Heads and numbers are still two axes: make one of them.", (".flatten(2)", "")
)
exercise.changed(
    "tokens in columns", "The result is transposed: one row per token.", ("flatten(2)", "flatten(2).mT")
)


@exercise.mistake("the last head first")
def _(heads):
    """The heads come in the wrong order: the first head's numbers come first."""
    return join_heads(heads.flip(1))


@exercise.mistake("the first head only")
def _(heads):
    """Only the first head is there."""
    return heads[:, 0]


@exercise.mistake("the last head only")
def _(heads):
    """Only the last head is there: does each one overwrite the one before?"""
    return heads[:, -1]


@exercise.mistake("sequences joined")
def _(heads):
    """The sequences of the batch were put side by side, not the heads."""
    return torch.cat(list(heads), -1)


@exercise.mistake("the largest of the heads")
def _(heads):
    """Of the heads only the largest numbers are left: put them side by side."""
    return heads.amax(1)
