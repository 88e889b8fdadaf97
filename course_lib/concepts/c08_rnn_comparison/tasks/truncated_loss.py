"""Cut the way back

Recurrent networks read long texts, but an error cannot be sent back through all of it: that takes too much
memory, and little arrives. So the text is read in pieces of k tokens. The state is handed on from piece to
piece, the gradient is not: it ends where a piece begins. This is truncated back-propagation through time.
Here h_t = tanh(x_t w + h_(t-1) u), with x (B, T, D), w (D, H) and u (H, H); before the first token h is 0.
`targets` (B, T, H) is what the states should be. Return one number, a tensor without axes: the squared
differences of all states from their targets, summed over everything. The first piece is tokens 0 to k - 1,
and so on; the last may be shorter, and k may be more than T. The check calls `backward()` on what you
return and compares the gradients of x, w and u, so the loss must not change at all, and its way back must
end at each border.

Hint: Write the loop over all tokens first. The loss is right then, and k does nothing. Where does a
gradient pass a border?

Hint: It passes through h alone. `h.detach()` has the same numbers as h, but no past.

Hint: Before the step of token t: `if t % k == 0: h = h.detach()`.
"""

import math

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=3,
    minutes=20,
    section="How far back it learns",
    tensor=True,
)


@exercise.solution
def truncated_loss(x, targets, w, u, k):
    """Summed squared error of h_t = tanh(x_t w + h_(t-1) u); the way back ends where a piece of k begins.

    Args:
        x: tokens (B, T, D).
        targets: what the states should be, (B, T, H).
        w, u: weights (D, H) and (H, H).
        k: tokens in a piece; the last piece may be shorter.
    """
    ### BEGIN SOLUTION
    h, loss = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        if t % k == 0:
            h = h.detach()
        h = torch.tanh(x[:, t] @ w + h @ u)
        loss = loss + (h - targets[:, t]).square().sum()
    return loss
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, t, d, h, k):
        # u is near a turn, so that what an early token does is still seen at the end.
        return {
            "x": draw(rng, b, t, d),
            "targets": draw(rng, b, t, h),
            "w": draw(rng, d, h, size=0.6 * d**-0.5).round(2),
            "u": (0.8 * np.linalg.qr(rng.standard_normal((h, h)))[0]).round(3).astype(np.float32),
            "k": k,
        }

    return in_torch(
        [
            Case("two pieces of two", inputs(1, 4, 2, 3, 2), gradients=True),
            Case(
                "the last piece is shorter",
                inputs(1, 7, 2, 3, 5),
                gradients=True,
                catches="pieces of equal length",
            ),
            Case(
                "three pieces, the last of one token",
                inputs(2, 7, 3, 5, 3),
                gradients=True,
                catches="cut once",
            ),
            Case(
                "pieces of one token",
                inputs(2, 2, 5, 3, 1),
                gradients=True,
                catches="no cut between single tokens",
            ),
            Case(
                "one piece, longer than the text",
                inputs(2, 3, 3, 2, 7),
                gradients=True,
                catches="no piece is whole",
            ),
        ]
    )


# --------------------------------------------------------------------------------------- where a piece begins

exercise.changed(
    "nothing cut",
    "The gradient runs through the whole text: let the state forget where it came from (`detach`) before "
    "each piece.",
    ("        if t % k == 0:\n            h = h.detach()\n", ""),
)
exercise.changed(
    "cut at every token",
    "The gradient ends at every token: it ends where a piece begins, and a piece has k tokens.",
    ("        if t % k == 0:\n            h", "        h"),
)
exercise.changed(
    "the state starts again",
    "Each piece begins with a state of 0: what was read before is forgotten. The state is handed on, only "
    "its past is cut off.",
    ("h.detach()", "torch.zeros_like(h)"),
)
exercise.changed(
    "the last piece dropped",
    "The tokens that do not fill a whole piece are missing in the loss: the last piece may be shorter.",
    (", 0.0", ", x.new_zeros(())"),
    ("range(x.shape[1])", "range(x.shape[1] // k * k)"),
)
exercise.changed(
    "one token early",
    "The gradient ends one token too early: the cut comes before the first token of a piece, not before the "
    "last one of the piece before.",
    ("t % k", "(t + 1) % k"),
)
exercise.changed(
    "one token late",
    "The gradient ends one token too late: the cut comes before the first token of a piece, not after it.",
    ("t % k", "(t - 1) % k"),
)
exercise.changed(
    "pieces of k + 1",
    "Pieces have k + 1 tokens here: the first is tokens 0 to k - 1.",
    ("t % k", "t % (k + 1)"),
)


@exercise.mistake("k pieces")
def _(x, targets, w, u, k):
    """The text was cut into k pieces: it is pieces of k tokens."""
    return truncated_loss(x, targets, w, u, math.ceil(x.shape[1] / k))


@exercise.mistake("pieces of equal length")
def _(x, targets, w, u, k):
    """The pieces have nearly equal lengths, as `chunk` makes them: each has k tokens, and the last one what
    is left.
    """
    n_pieces = math.ceil(x.shape[1] / k)
    return truncated_loss(x, targets, w, u, math.ceil(x.shape[1] / n_pieces))


exercise.changed(
    "cut once",
    "Only the first border is cut: the gradient ends wherever a piece begins.",
    ("t % k == 0", "t == k"),
)


@exercise.mistake("k tokens back from each")
def _(x, targets, w, u, k):
    """Each error reaches k tokens back, whatever its place: that is a window that moves with the token, and
    reads each token k times. Here the cuts are at fixed places, so an early token of a piece has less past
    than a late one.
    """
    h, before, loss = x.new_zeros(len(x), len(u)), [], 0.0
    for t in range(x.shape[1]):
        before.append(h.detach())
        first = max(t - k + 1, 0)
        h = before[first]
        for s in range(first, t + 1):
            h = torch.tanh(x[:, s] @ w + h @ u)
        loss = loss + (h - targets[:, t]).square().sum()
    return loss


# --------------------------------------------------------------------------------------------- what is summed

exercise.changed(
    "the last piece alone",
    "The loss has the last piece alone: all tokens have an error, so add up all pieces.",
    ("h = h.detach()", "h, loss = h.detach(), 0.0"),
)
exercise.changed(
    "the end of each piece alone",
    "The loss has only the last token of each piece: all tokens have an error.",
    ("        loss = loss", "        if (t + 1) % k == 0 or t + 1 == x.shape[1]:\n            loss = loss"),
)
exercise.changed(
    "the mean over the tokens",
    "This is the mean over the tokens: sum up the squared differences of all of them.",
    ("return loss", "return loss / x.shape[1]"),
)
exercise.changed(
    "the mean over everything",
    "This is the mean of all squared differences: sum them up.",
    ("return loss", "return loss / targets.numel()"),
)
exercise.changed(
    "the mean over the pieces",
    "The sum was divided by the number of pieces: sum up the squared differences of all tokens.",
    ("return loss", "return loss / len(x.split(k, dim=1))"),
)
exercise.changed(
    "half the square",
    "This is half of what was asked for: the squared differences, summed, without a factor of 1/2.",
    ("return loss", "return loss / 2"),
)
exercise.changed(
    "not squared", "The sizes of the differences were summed: square them.", (".square()", ".abs()")
)
