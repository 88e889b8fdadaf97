"""Softmax with temperature

Turn each row of logits (scores) into chances that are positive and sum to 1: divide by the temperature,
then softmax. The temperature is above 0, the logits may be one row, a table or a batch of tables, and a row
may hold numbers of 1000, or some (never all) of minus infinity.

Hint: What happens to the chances of a row when you subtract the same number from all its logits?

Hint: Four steps for each row: divide by the temperature, subtract the largest, take exp, divide by the sum.

Hint: `logits.max(axis=-1, keepdims=True)` keeps the axis, so that it lines up with the rows again.
"""

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import WEIGHTS, draw, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=8, section="From scores to chances", properties=WEIGHTS)


@exercise.solution
def temperature_softmax(logits, temperature):
    """Chances from logits, row by row.

    Args:
        logits: (..., V), any size; not to be changed.
        temperature: a number above 0.
    Returns: (..., V), float64 stays float64; the last axis sums to 1.
    """
    ### BEGIN SOLUTION
    logits = logits / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def alike(*shape, spread):
        # Where one logit won everything, log-sum-exp would be off by more than other correct ways.
        return (spread * rng.uniform(-1, 1, shape)).round(3).astype(np.float32)

    far = alike(3, 5, spread=0.5)
    far += np.array([[1000], [0], [-1000]], np.float32)  # each row has a level of its own
    # No two rows have the same largest: sums on the wrong axis would not show whether it was subtracted.
    square = alike(3, 3, spread=1) + np.array([[-3], [0], [3]], np.float32)
    dropped = draw(rng, 3, 7)
    dropped[np.arange(3), rng.integers(7, size=3)] = -np.inf
    batch = draw(rng, *primes(rng, 2, 3, 5))
    tiny = 1e-20  # what is added to it, and what is taken as the least, is far larger, however small
    return [
        Case("one row", {"logits": draw(rng, 5), "temperature": 2.0}),
        Case("three rows of three", {"logits": square, "temperature": 2.0}, catches="keepdims forgotten"),
        Case("a batch", {"logits": batch, "temperature": 0.7}, catches="a loop over one table"),
        # Here exp overflows unless something is subtracted, be it divided or not.
        Case(
            "logits of 150",
            {"logits": 150 + alike(2, 3, spread=1), "temperature": 0.9},
            catches="overflow",
        ),
        Case(
            "a temperature near 0",
            {"logits": alike(2, 3, spread=2) * np.float32(tiny), "temperature": tiny},
            catches="a least temperature",
        ),
        Case(
            "large logits",
            {"logits": far, "temperature": 0.5},
            catches="scores cut to -1,000 to 1,000",
        ),
        Case(
            "minus infinity in each row",
            {"logits": dropped, "temperature": 0.7},
            catches="the mean subtracted instead of the largest",
        ),
    ]


# ----------------------------------------------------------------------------------------- the temperature

exercise.changed(
    "multiplied by the temperature",
    "The logits are multiplied by the temperature: divide. A high temperature makes the chances more equal.",
    ("logits / temperature", "logits * temperature"),
)


@exercise.mistake("temperature without effect")
def _(logits, temperature):
    """The temperature changes nothing. Divide the logits by it, before exp: divided behind exp, or
    subtracted, it falls out again when a row is divided by its sum.
    """
    return temperature_softmax(logits, 1)


exercise.changed(
    "a least temperature",
    "Something was added to the temperature, or a small one was replaced by a larger one: it is never 0, so "
    "divide by it as it is, however small.",
    ("logits / temperature", "logits / max(temperature, 1e-8)"),
)


@exercise.mistake("temperature behind exp, one sum for all")
def _(logits, temperature):
    """The temperature changes nothing: behind exp it falls out again, so divide the logits before. And one
    sum for all rows will not do: each row sums to 1, on its own.
    """
    powers = np.exp(logits) / temperature
    return powers / powers.sum()


@exercise.mistake("divided after the softmax")
def _(logits, temperature):
    """The chances are divided by the temperature, so they no longer sum to 1: divide the
    logits, before exp.
    """
    return temperature_softmax(logits, 1) / temperature


@exercise.mistake("a power that is not normalised")
def _(logits, temperature):
    """Chances to the power 1/temperature no longer sum to 1: divide each row by its sum again."""
    return temperature_softmax(logits, 1) ** (1 / temperature)


# -------------------------------------------------------------------------------------- what is subtracted

exercise.changed("overflow", "", ("logits - logits.max(axis=-1, keepdims=True)", "logits"))


@exercise.mistake("shifted before dividing")
def _(logits, temperature):
    """The largest logit was subtracted undivided: exp still grows too large, or all of a row becomes 0.
    Divide by the temperature first, then subtract the largest of what you have.
    """
    powers = np.exp(logits / temperature - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


exercise.changed(
    "one maximum for all rows",
    "You subtract the largest logit of all rows; in a row far below it, every exp becomes 0. Take each "
    "row's own.",
    ("logits.max(axis=-1, keepdims=True)", "logits.max()"),
)

# ----------------------------------------------------------------------------------------- what sums to 1

exercise.changed(
    "softmax over the rows",
    "The softmax runs over axis -2: each column sums to 1, each row should. Use axis -1.",
    ("logits.max(axis=-1", "logits.max(axis=-2"),
    ("powers.sum(axis=-1", "powers.sum(axis=-2"),
)
exercise.changed(
    "softmax over the first axis",
    "The softmax runs over axis 0: with a batch, axis 0 is the batch. Use axis -1.",
    ("logits.max(axis=-1", "logits.max(axis=0"),
    ("powers.sum(axis=-1", "powers.sum(axis=0"),
)


@exercise.mistake("softmax over everything")
def _(logits, temperature):
    """All numbers together sum to 1: each row should, on its own."""
    return temperature_softmax(logits.ravel(), temperature).reshape(logits.shape)


exercise.changed(
    "one sum for all rows",
    "There is one sum for all rows: each row sums to 1, on its own, so sum along the last axis.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum()"),
)
exercise.changed(
    "one sum for each column",
    "The sums run over axis 0: each row is divided by its own sum, along the last axis.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=0)"),
)
exercise.changed(
    "not normalised",
    "These are the exponentials: divide each row by its sum.",
    ("powers / powers.sum(axis=-1, keepdims=True)", "powers"),
)
exercise.changed(
    "keepdims forgotten",
    "The sums lost an axis, so NumPy lines them up with the columns: `sum(axis=-1, keepdims=True)`.",
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)
exercise.changed(
    "keepdims forgotten, nothing subtracted",
    "The sums lost an axis, so NumPy lines them up with the columns: `sum(axis=-1, keepdims=True)`.",
    ("logits - logits.max(axis=-1, keepdims=True)", "logits"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)


exercise.changed(
    "keepdims forgotten at the maximum",
    "The largest logits lost an axis, so NumPy lines them up with the columns: "
    "`max(axis=-1, keepdims=True)`.",
    ("logits.max(axis=-1, keepdims=True)", "logits.max(axis=-1)"),
)
exercise.changed(
    "keepdims forgotten twice",
    "The largest logits and the sums lost an axis, so NumPy lines them up with the columns: both need "
    "`keepdims=True`.",
    ("logits.max(axis=-1, keepdims=True)", "logits.max(axis=-1)"),
    ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
)


@exercise.mistake("divided by the root of the temperature")
def _(logits, temperature):
    """The logits are divided by the square root of the temperature: divide by the temperature itself."""
    return temperature_softmax(logits, temperature**0.5)
