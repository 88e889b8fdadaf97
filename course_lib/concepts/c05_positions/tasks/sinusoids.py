"""Waves

Give each place a vector of its own, without learning anything. Its numbers come in pairs, and each pair is
a wave, slower than the one before: for the places t = 0, 1, ... n - 1 and the pairs i = 0, 1, ... d/2 - 1,
number 2i is sin(t / 10000^(2i/d)), and number 2i + 1 is the cosine of the same angle. Return the table, (n,
d); d is even. (Vaswani et al. 2017, section 3.5.)

Hint: For d = 4 there are two angles for each place, t and t / 100. The row is sin t, cos t, sin(t / 100),
cos(t / 100).

Hint: Places down, pairs across: `angles = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)`
is (n, d/2).

Hint: `table[:, 0::2]` are the columns 0, 2, 4 ..., and `table[:, 1::2]` those between them.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2, minutes=10, section="What to write on the card?", forbidden=("course_lib.positions.sinusoidal",)
)


@exercise.solution
def sinusoids(n, d):
    """A fixed vector for each place: sines and cosines of slower and slower waves.

    Args:
        n: how many places.
        d: numbers in a vector; even.
    Returns: (n, d).
    """
    ### BEGIN SOLUTION
    angles = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)  # (n, d / 2)
    table = torch.empty(n, d)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()
    return table
    ### END SOLUTION


@exercise.cases
def _(rng):
    same, pairs = between(rng, 7, 40), primes(rng, 7, 11, 13, 17, 19)[0]
    return [
        Case("three places", {"n": 3, "d": 2 * between(rng, 2, 9)}),
        Case("as many places as pairs", {"n": same, "d": 2 * same}, catches="places across, pairs down"),
        Case("one place", {"n": 1, "d": 2 * between(rng, 3, 40)}, catches="an axis of one lost"),
        Case(
            "many places",
            {"n": between(rng, 150, 200), "d": 2 * pairs},
            catches="a table of a hundred places",
        ),
    ]


exercise.changed(
    "all sines, then all cosines",
    "The first half of each row holds the sines and the second half the cosines: they take turns, sin, cos, "
    "sin, cos.",
    ("0::2", ": d // 2"),
    ("1::2", "d // 2 :"),
)
exercise.changed(
    "a bare reshape",
    "Sines and cosines were stacked in front, and `reshape` or `view` gave them the right shape with the "
    "wrong numbers: stack them behind, `torch.stack([sin, cos], dim=-1)`, then flatten the last two axes.",
    ("return table", "return torch.stack([angles.sin(), angles.cos()]).reshape(n, d)"),
)
exercise.changed(
    "places across, pairs down",
    "The angles are transposed, which fits only where there are as many places as pairs: places are rows, "
    "and pairs are columns, (n, d/2).",
    ("torch.arange(n)[:, None]", "torch.arange(n)"),
    ("10000 ** (torch.arange(0, d, 2) / d)", "10000 ** (torch.arange(0, d, 2) / d)[:, None]"),
)
exercise.changed(
    "divided by the number of places in the exponent",
    "The exponent was divided by n, the number of places: it is 2i/d, d being the numbers in a vector.",
    ("2) / d)", "2) / n)"),
)
exercise.changed(
    "brackets of the exponent forgotten",
    "A power comes before a quotient: without brackets the place is divided by 10000^(2i), and then by d. "
    "Write `10000 ** (2 * i / d)`.",
    ("10000 ** (torch.arange(0, d, 2) / d)", "10000.0 ** torch.arange(0, d, 2) / d"),
)
exercise.changed(
    "i / d as exponent",
    "The exponent is i/d, so the waves slow down only half as much: it is 2i/d.",
    ("torch.arange(0, d, 2)", "torch.arange(d // 2)"),
)
exercise.changed(
    "a wave of its own for each number",
    "Sine and cosine of a pair have different angles, because the column counts in the exponent: columns 2i "
    "and 2i + 1 share the exponent 2i/d.",
    ("torch.arange(0, d, 2)", "torch.arange(d)"),
    ("angles.sin()", "angles[:, 0::2].sin()"),
    ("angles.cos()", "angles[:, 1::2].cos()"),
)
exercise.changed(
    "4i / d as exponent",
    "The exponent is 4i/d: `torch.arange(0, d, 2)` is 2i already, so divide it by d and do not double it "
    "again.",
    ("torch.arange(0, d, 2)", "2 * torch.arange(0, d, 2)"),
)
exercise.changed(
    "the last pair as slow as it can be",
    "The exponents reach 1, as some programs have it: here they are 2i/d, and the last one stays below 1.",
    ("torch.arange(0, d, 2) / d", "torch.arange(d // 2) / max(d // 2 - 1, 1)"),
)
exercise.changed(
    "pairs counted from 1",
    "The pairs were counted from 1: the first has i = 0, and its angle is t itself.",
    ("torch.arange(0, d, 2)", "torch.arange(2, d + 2, 2)"),
)
exercise.changed(
    "one speed for all hands",
    "All pairs turn at the same speed, so they say the same thing: pair i turns by t / 10000^(2i/d), slower "
    "than the one before.",
    ("10000 ** (torch.arange(0, d, 2) / d)", "torch.ones(d // 2)"),
)
exercise.changed(
    "slow waves first",
    "The slowest wave comes first: it is the last one.",
    ("torch.arange(0, d, 2)", "torch.arange(0, d, 2).flip(0)"),
)
exercise.changed(
    "cosine before sine",
    "The cosine comes before the sine: number 2i is the sine.",
    ("table[:, 0::2] = angles.sin()", "table[:, 1::2] = angles.sin()"),
    ("table[:, 1::2] = angles.cos()", "table[:, 0::2] = angles.cos()"),
)
exercise.changed(
    "1000 instead of 10000", "The base is 1000: it is 10000, with four zeros.", ("10000", "1000")
)
exercise.changed(
    "counted from 1",
    "The places were counted from 1: the first row is that of t = 0, with sines of 0 and cosines of 1.",
    ("torch.arange(n)", "torch.arange(1, n + 1)"),
)
exercise.changed(
    "multiplied instead of divided",
    "The place was multiplied by the power of 10000, so the waves get faster: divide by it.",
    ("/ 10000 ** (torch.arange(0, d, 2) / d)", "* 10000.0 ** (torch.arange(0, d, 2).double() / d)"),
)
exercise.changed(
    "divided by the number of places",
    "The place was divided by n: a place has the same vector, however many there are.",
    ("torch.arange(n)[:, None]", "torch.arange(n)[:, None] / n"),
)
exercise.changed(
    "degrees",
    "The angle was read as degrees: sine and cosine take it as it is, in radians.",
    ("angles.sin()", "angles.deg2rad().sin()"),
    ("angles.cos()", "angles.deg2rad().cos()"),
)
exercise.changed(
    "whole turns",
    "The angle was multiplied by 2 pi: it is t / 10000^(2i/d) and nothing else.",
    ("torch.arange(n)[:, None]", "2 * torch.pi * torch.arange(n)[:, None]"),
)
exercise.changed(
    "sines only", "All numbers are sines: number 2i + 1 is a cosine.", ("angles.cos()", "angles.sin()")
)
exercise.changed(
    "places in columns",
    "The table is transposed: one row for each place.",
    ("return table", "return table.mT"),
)
