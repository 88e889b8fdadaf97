"""The next token

GPT is asked at every place for the token that comes next. From token ids (B, T) make the inputs and the
targets, both (B, T - 1), so that the target at a place is the token that follows the input at the same
place. Return inputs, targets. The last token has no next one, so it is never an input, and the first is
never a target.

Hint: Write the ids 5, 3, 8 on paper. What goes in, and what is asked for at each place?

Hint: A row without its last number is `row[:-1]`, without its first `row[1:]`. Here each row of (B, T) is
cut, not the batch.
"""

import numpy as np
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=1,
    minutes=4,
    section="The same body, twice",
    forbidden=("course_lib.objectives.shift",),
    results=("inputs", "targets"),
    tensor=True,
)


@exercise.solution
def shift_targets(ids):
    """Ask at each place for the next token.

    Args:
        ids: (B, T), token ids.
    Returns: inputs (B, T - 1); targets (B, T - 1).
    """
    ### BEGIN SOLUTION
    return ids[:, :-1], ids[:, 1:]
    ### END SOLUTION


@exercise.cases
def _(rng):
    def ids(b, t):
        return {"ids": all_different(rng, b, t).astype(np.int64)}

    b, t = primes(rng, 5, 11)
    return in_torch(
        [
            Case("one row of five tokens", ids(1, 5)),
            Case("a batch", ids(b, t), catches="the first row alone"),
        ]
    )


@exercise.mistake("the other way")
def _(ids):
    """Inputs and targets have changed places: the model would be asked for the token before."""
    return ids[:, 1:], ids[:, :-1]


@exercise.mistake("own token")
def _(ids):
    """Each token is asked for itself: the target is the token that follows, one place further on."""
    return ids[:, :-1], ids[:, :-1]


@exercise.mistake("own token, from the second")
def _(ids):
    """Each token is asked for itself: inputs end before the last token, targets begin with the second."""
    return ids[:, 1:], ids[:, 1:]


@exercise.mistake("inputs not cut")
def _(ids):
    """The inputs still have their last token, for which there is no target: cut it off."""
    return ids, ids[:, 1:]


@exercise.mistake("nothing cut")
def _(ids):
    """Nothing was shifted: inputs without the last token of each row, targets without the first."""
    return ids, ids


@exercise.mistake("round the corner")
def _(ids):
    """The targets were rolled, so that the last token is asked for the first one: cut, do not roll."""
    return ids, ids.roll(-1, 1)


@exercise.mistake("rolled the wrong way")
def _(ids):
    """The targets were rolled to the right, so each is the token before: cut, do not roll."""
    return ids, ids.roll(1, 1)


@exercise.mistake("filled up")
def _(ids):
    """The targets were filled up, to be as long as ids: here both have T - 1 places, so cut the last token
    off the inputs.
    """
    return ids, F.pad(ids[:, 1:], (0, 1), value=-100)


@exercise.mistake("filled up with 0")
def _(ids):
    """The targets were filled up with 0, which is a token: here both have T - 1 places, so cut the last token
    off the inputs.
    """
    return ids, F.pad(ids[:, 1:], (0, 1))


@exercise.mistake("the batch shifted")
def _(ids):
    """The rows of the batch were shifted, not the tokens in them: tokens are on the second axis, `[:,
    ...]`.
    """
    return ids[:-1], ids[1:]


@exercise.mistake("the first row alone")
def _(ids):
    """Only the first row came back: each row of (B, T) is cut, `[:, ...]`."""
    return ids[:1, :-1], ids[:1, 1:]


@exercise.mistake("by two")
def _(ids):
    """The targets are two places further on: the next token is one."""
    return ids[:, :-2], ids[:, 2:]


@exercise.mistake("only the last")
def _(ids):
    """Only the last token of each row is a target: GPT is asked at every place, which is why it learns
    fast.
    """
    return ids[:, :-1], ids[:, -1:]


@exercise.mistake("across rows")
def _(ids):
    """All rows were joined, so that the end of one is asked for the beginning of the next: shift each row."""
    return ids.flatten()[:-1], ids.flatten()[1:]
