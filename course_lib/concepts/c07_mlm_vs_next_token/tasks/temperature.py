"""Down to zero

Scores (..., V) become the probabilities of the next token: softmax(logits / t). You wrote this in the first
notebook's exercises; now t may be anything from 0 on. At t = 0 the likeliest token of each row gets 1 and
all others get 0, which is what `logits / t` comes close to as t shrinks. A t of 1e-37 is allowed too, and
so are scores of 100: their quotient is more than a float32 holds. A score of minus infinity rules a token
out. Where two tokens tie for the first place at t = 0, the library gives it to one of them; the check has
no ties.

Hint: What does softmax give when the same number is taken away from all scores of a row? And what is the
largest then?

Hint: Take each row's largest score away *before* you divide: what is left is 0 or below, and dividing by a
tiny t gives 0 or minus infinity.

Hint: t = 0 is a case of its own: find the largest of each row with `argmax(-1)`, and put a 1 there into
zeros.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, not_negative, primes
from course_lib.checks.kinds import Case, Property


def row_named(where):
    """What a row is called in a message."""
    return f"row {list(where)}" if where else "the row"


def sums_to_one(result, inputs):
    """The row whose probabilities do not sum to 1."""
    sums = result.sum(-1, dtype=float)
    wrong = np.argwhere(~(np.abs(sums - 1) < 1e-4))
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    return f"The probabilities of {row_named(where)} sum to {sums[where]:.6g}, expected 1."


def alone_at_zero(result, inputs):
    """What another token than the likeliest gets at t = 0."""
    if inputs["t"] != 0:
        return ""
    best = temperature(inputs["logits"], 0).numpy() == 1
    return f"At t = 0 the likeliest token gets 1, but here it gets {result[best].min():.6g}."


PROBABILITIES = (Property("not negative", not_negative), Property("sums to 1", sums_to_one))

exercise = Exercise(
    level=2,
    minutes=8,
    section="How a model writes",
    forbidden=("course_lib.generation.next_token_probabilities",),
    properties=(*PROBABILITIES, Property("alone at zero", alone_at_zero)),
)


@exercise.solution
def temperature(logits, t):
    """Probabilities of the next token: softmax(logits / t), and for t = 0 the likeliest token alone.

    Args:
        logits: scores (..., V); minus infinity rules a token out.
        t: the temperature, 0 or more.
    """
    ### BEGIN SOLUTION
    best = logits.amax(-1, keepdim=True)
    if t == 0:
        return (logits == best).to(logits.dtype)
    return ((logits - best) / t).softmax(-1)
    ### END SOLUTION


@exercise.reference
def by_argmax(logits, t):
    """As the solution, but `==` does not find the best once rounding has moved it."""
    if t == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    return temperature(logits, t)


@exercise.cases
def _(rng):
    def inputs(*shape, t, size=0.1, level=0.0):
        """Scores from -49 to 49 times `size`, of which no two of a row are nearer than `size`."""
        rows = [rng.permutation(np.arange(-49, 50))[: shape[-1]] for _ in range(int(np.prod(shape[:-1])))]
        logits = (size * np.stack(rows) + level).reshape(shape).astype(np.float32)
        return {"logits": logits, "t": t}

    ruled_out = inputs(3, 7, t=0.7)
    ruled_out["logits"][np.arange(3), rng.integers(7, size=3)] = -np.inf
    return in_torch(
        [
            Case("one row", inputs(5, t=2.0)),
            Case("a batch", inputs(*primes(rng, 2, 3, 11), t=1.5), catches="softmax without an axis"),
            Case(
                "t = 0, scores that are nearly alike",
                inputs(2, 5, t=0.0, size=1e-9),
                catches="a tiny t in place of 0",
            ),
            Case(
                "a tiny t",
                inputs(2, 5, t=1e-37, size=1.0, level=np.array([[100.0], [-100.0]])),
                catches="divided first",
            ),
            Case(
                "t = 1e-9, scores that are nearly alike",
                inputs(2, 5, t=1e-9, size=2.5e-10),
                catches="a t that is never below 1e-8",
            ),
            Case("ruled out", ruled_out, catches="a score of 0 in place of minus infinity"),
            Case("t = 0, a batch", inputs(*primes(rng, 2, 3, 5), t=0.0), catches="rows counted by one axis"),
        ]
    )


# --------------------------------------------------------------------------------------- dividing, and zero

exercise.changed(
    "divided first",
    "With a tiny t the scores overflow when they are divided: infinity minus infinity is NaN, in softmax "
    "too. Take each row's largest away first, then divide.",
    ("((logits - best) / t)", "(logits / t)"),
)


@exercise.mistake("one largest for all rows")
def _(logits, t):
    """The largest score of all rows was taken away from each: with a tiny t nothing is left of a row whose
    own largest is lower. Take each row's own, `amax(-1, keepdim=True)`.
    """
    return ((logits - logits.max()) / t).softmax(-1) if t else temperature(logits, 0)


exercise.changed(
    "keepdim forgotten",
    "The largest scores of the rows came without their axis, which runs along the columns then: "
    "`amax(-1, keepdim=True)` keeps it.",
    ("logits.amax(-1, keepdim=True)", "logits.amax(-1)"),
)


@exercise.mistake("a tiny number added to t")
def _(logits, t):
    """A tiny number was added to t, or put in its place, for fear of 0, so a tiny t becomes another one: give
    t = 0 an answer of its own, and divide by t itself.
    """
    return ((logits - logits.amax(-1, keepdim=True)) / (t + 1e-8)).softmax(-1)


@exercise.mistake("divided by zero")
def _(logits, t):
    """It divides by 0 where t is 0, and overflows where t is tiny: at t = 0 the likeliest token gets 1,
    without any division, and for a tiny t each row's largest is taken away before you divide.
    """
    return (logits / t).softmax(-1)


@exercise.mistake("zero over zero")
def _(logits, t):
    """At t = 0 the largest score gives 0/0, which is NaN: this case needs an answer of its own."""
    return ((logits - logits.amax(-1, keepdim=True)) / t).softmax(-1)


@exercise.mistake("zero taken for one")
def _(logits, t):
    """At t = 0 the plain softmax comes out, as at t = 1: the likeliest token should get 1, all others 0."""
    return temperature(logits, t or 1.0)


exercise.changed(
    "all alike at zero",
    "At t = 0 all tokens get the same: that is what a very *large* t does. The likeliest should get 1.",
    ("(logits == best).to(logits.dtype)", "torch.full_like(logits, 1 / logits.shape[-1])"),
)
exercise.changed(
    "nobody at zero",
    "At t = 0 all probabilities are 0: the likeliest token should get 1.",
    ("(logits == best).to(logits.dtype)", "torch.zeros_like(logits)"),
)
exercise.changed(
    "one winner for all rows",
    "At t = 0 only the largest score of all rows gets a 1: each row has its own likeliest token.",
    ("logits == best", "logits == logits.max()"),
)
exercise.changed(
    "a winner for each column",
    "At t = 0 each column has a 1: it is each row that has a likeliest token, along the last axis.",
    ("logits == best", "logits == logits.amax(0)"),
)


# ------------------------------------------------------------------------------------------------- at any t


@exercise.mistake("the likeliest at any t")
def _(logits, t):
    """The likeliest token gets everything at any t: that is right for t = 0 alone."""
    return temperature(logits, 0)


@exercise.mistake("the token itself")
def _(logits, t):
    """This is the number of the likeliest token: return the probabilities of all V."""
    return logits.argmax(-1)


@exercise.mistake("t without effect")
def _(logits, t):
    """Above 0 the temperature changes nothing: divide the scores by it."""
    return temperature(logits, 1.0 if t else 0)


exercise.changed(
    "multiplied by t",
    "The scores are multiplied by t: divide. A large t makes the probabilities more equal.",
    ("((logits - best) / t)", "(logits * t)"),
)
exercise.changed(
    "after the softmax",
    "The probabilities are divided by t, so they no longer sum to 1: divide the scores, before softmax.",
    ("((logits - best) / t).softmax(-1)", "logits.softmax(-1) / t"),
)
exercise.changed(
    "a power that is not scaled",
    "Probabilities to the power 1/t no longer sum to 1: divide each row by its sum again.",
    ("((logits - best) / t).softmax(-1)", "logits.softmax(-1) ** (1 / t)"),
)


@exercise.mistake("the root of t")
def _(logits, t):
    """The scores are divided by the square root of t: divide by t itself."""
    return temperature(logits, t**0.5)


exercise.changed(
    "the square of t",
    "The scores are divided by t squared: is the division done twice?",
    ("(logits - best) / t", "(logits - best) / t / t"),
)
exercise.changed(
    "softmax over the first axis",
    "The softmax runs over axis 0, which is the batch: each row should sum to 1, along axis -1.",
    ("softmax(-1)", "softmax(0)"),
)


exercise.changed(
    "softmax without an axis",
    "The softmax was told no axis. Of three torch then takes the first: say -1, the last.",
    ("softmax(-1)", "softmax(1 if logits.ndim == 2 else 0)"),
)
exercise.changed(
    "one sum for all rows",
    "The exponentials were divided by the sum of all rows: each row is divided by its own.",
    ("((logits - best) / t).softmax(-1)", "((logits - best) / t).exp() / ((logits - best) / t).exp().sum()"),
)


@exercise.mistake("softmax over everything")
def _(logits, t):
    """All numbers together sum to 1: each row should, on its own."""
    return temperature(logits.flatten(), t).reshape(logits.shape)


exercise.changed(
    "no softmax",
    "These are scores still: a softmax over the last axis makes probabilities of them.",
    ("((logits - best) / t).softmax(-1)", "logits / t"),
)


@exercise.mistake("logarithms")
def _(logits, t):
    """These are logarithms of probabilities: `softmax`, not `log_softmax`."""
    return temperature(logits, t).log()
