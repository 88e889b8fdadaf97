"""Turn pairs by their place

Each token's K numbers are K/2 pairs of neighbours, (0, 1), (2, 3) and so on. Take each pair for a clock
hand, and turn it by an angle that grows with the token's place: at place n pair i, counted from 0, is
turned by n / base^(2i/K), in radians. A pair (a, b) turned by an angle becomes (a cos - b sin, a sin + b
cos). The first token of x stands at place `start` and the next one at start + 1, because a model that
writes turns the new tokens only. Make the angles in the dtype of x, so that float64 keeps its digits.

Hint: Make the angles first: a column of T places, divided by a row of K/2 numbers. `torch.arange(T,
dtype=x.dtype)` has the dtype of x.

Hint: `x[..., 0::2]` are the first numbers of all pairs, `x[..., 1::2]` the second ones. Turn them all at
once.

Hint: `torch.stack([left, right], dim=-1).flatten(-2)` puts the numbers of a pair side by side again.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import as_double, draw, in_torch, primes
from course_lib.checks.kinds import Case, Property


def same_lengths(result, inputs):
    """Of a turned token the sum of squares stays."""
    x = inputs["x"].detach().double().numpy()
    before, after = (np.linalg.norm(value.astype(float), axis=-1) for value in (x, result))
    changed = np.argwhere(np.abs(after - before) > 1e-3 * (1 + before))
    if not len(changed):
        return ""
    where = tuple(int(i) for i in changed[0])
    return (
        f"The token at {list(where)} has length {before[where]:.4g} before and {after[where]:.4g} after: "
        "turning keeps lengths."
    )


def all_digits(result, inputs):
    """Angles in float32 leave seven digits of a result in float64."""
    x, start, base = (inputs[name] for name in ("x", "start", "base"))
    right = rotate_pairs(x.detach().double(), start, base).numpy()
    if x.dtype != torch.float64 or not np.allclose(result, right, rtol=0, atol=1e-3):
        return ""
    return "The result is right in its first digits only: x is float64, but the angles were made in float32."


exercise = Exercise(
    level=3,
    minutes=20,
    section="A clock hand",
    forbidden=("course_lib.positions.apply_rotary",),
    tensor=True,
    properties=(Property("all digits", all_digits), Property("same lengths", same_lengths)),
)


@exercise.solution
def rotate_pairs(x, start, base):
    """Turn each pair of neighbouring numbers by an angle that grows with the token's place.

    Args:
        x: (B, H, T, K), queries or keys; K is even.
        start: the place of the first token.
        base: pair i at place n is turned by n / base^(2i/K).
    Returns: (B, H, T, K).
    """
    ### BEGIN SOLUTION
    n_tokens, width = x.shape[-2:]
    places = torch.arange(start, start + n_tokens, dtype=x.dtype)
    exponents = torch.arange(0, width, 2, dtype=x.dtype) / width
    angles = places[:, None] / base**exponents  # (T, K / 2)
    cos, sin = angles.cos(), angles.sin()
    left, right = x[..., 0::2], x[..., 1::2]
    turned = [left * cos - right * sin, left * sin + right * cos]
    return torch.stack(turned, dim=-1).flatten(-2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(*shape, start=0, base=10.0):
        return {"x": draw(rng, *shape), "start": start, "base": base}

    b, h, t = primes(rng, 2, 3, 5)
    square = as_double(inputs(4, 4, 4, 4, start=3, base=1.5))  # of short sums little is forgiven
    return in_torch(
        [
            Case("one pair, two heads, three tokens", inputs(1, 2, 3, 2)),
            Case(
                "two sequences",
                inputs(b, h, t, 14, start=7, base=10000.0),
                gradients=True,
                catches="no graph",
            ),
            Case(
                "far from the start",
                inputs(1, 2, 5, 6, start=97, base=1000.0),
                catches="a table of fifty places",
            ),
            Case("everything square, in float64", square, catches="angles in float32"),
            Case("one new token", inputs(2, 3, 1, 6, start=11, base=100.0), catches="an axis of one lost"),
        ]
    )


# Mistakes of this task and of the layer: their names, and what in the solution is other.
WRONGLY_TURNED = {
    "pairs of halves": (
        ("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),
        ("torch.stack(turned, dim=-1).flatten(-2)", "torch.cat(turned, dim=-1)"),
    ),
    "halves written as neighbours": (("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),),
    "turned pairs written as halves": (
        ("torch.stack(turned, dim=-1).flatten(-2)", "torch.cat(turned, dim=-1)"),
    ),
    "neighbours with the angles of halves": (
        ("base**exponents", "base ** torch.cat([exponents, exponents])"),
        ("[left * cos - right * sin, left * sin + right * cos]", "torch.stack([-right, left], dim=-1)"),
        ("torch.stack(turned, dim=-1).flatten(-2)", "x * cos + turned.flatten(-2) * sin"),
    ),
    "halves with the angles of neighbours": (
        ("base**exponents", "base ** exponents.repeat_interleave(2)"),
        ("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),
        ("[left * cos - right * sin, left * sin + right * cos]", "torch.cat([-right, left], dim=-1)"),
        ("torch.stack(turned, dim=-1).flatten(-2)", "x * cos + turned * sin"),
    ),
    "turned the other way": (
        ("left * cos - right * sin", "left * cos + right * sin"),
        ("left * sin + right * cos", "right * cos - left * sin"),
    ),
    "both sines with a plus": (("left * cos - right * sin", "left * cos + right * sin"),),
    "mirrored": (
        ("left * cos - right * sin", "left * cos + right * sin"),
        ("left * sin + right * cos", "left * sin - right * cos"),
    ),
    "the first number overwritten": (
        ("left * sin + right * cos", "(left * cos - right * sin) * sin + right * cos"),
    ),
    "turned pairs reshaped": (
        ("torch.stack(turned, dim=-1).flatten(-2)", "torch.stack(turned).reshape(x.shape)"),
    ),
    "pairs cut by a bare reshape": (
        ("x[..., 0::2], x[..., 1::2]", "x.reshape(2, *x.shape[:-1], -1)"),
        ("torch.stack(turned, dim=-1).flatten(-2)", "torch.stack(turned).reshape(x.shape)"),
    ),
    "turned pairs left apart": (("torch.stack(turned, dim=-1).flatten(-2)", "torch.stack(turned, dim=-1)"),),
    "the cosine alone": (
        ("left * cos - right * sin", "left * cos"),
        ("left * sin + right * cos", "right * cos"),
    ),
}
for name, changes in WRONGLY_TURNED.items():
    exercise.changed(name, "", *changes)


# ------------------------------------------------------------------------------------------- by which angle

exercise.changed(
    "half the exponent",
    "",
    ("torch.arange(0, width, 2, dtype=x.dtype)", "torch.arange(width // 2, dtype=x.dtype)"),
)
exercise.changed("twice the exponent", "", (" / width", " / (width // 2)"))
exercise.changed(
    "an angle for each number",
    "",
    ("torch.arange(0, width, 2, dtype=x.dtype)", "torch.arange(width, dtype=x.dtype)"),
    (
        "turned = [left * cos - right * sin, left * sin + right * cos]",
        "quarter = torch.stack([-right, left], dim=-1).flatten(-2)",
    ),
    ("torch.stack(turned, dim=-1).flatten(-2)", "x * cos + quarter * sin"),
)
exercise.changed(
    "divided by the number of tokens", "", ("dtype=x.dtype) / width", "dtype=x.dtype) / n_tokens")
)
exercise.changed(
    "brackets of the exponent forgotten", "", ("/ base**exponents", "/ base ** (exponents * width) / width")
)
exercise.changed(
    "pairs counted from 1", "", ("torch.arange(0, width, 2, dtype", "torch.arange(2, width + 2, 2, dtype")
)
exercise.changed("one angle for all pairs", "", ("places[:, None] / base**exponents", "places[:, None]"))
exercise.changed("the slow pairs first", "", ("base**exponents", "base ** exponents.flip(0)"))
exercise.changed("faster instead of slower", "", ("/ base**exponents", "* base**exponents"))
exercise.changed(
    "start ignored",
    "",
    ("torch.arange(start, start + n_tokens, dtype=x.dtype)", "torch.arange(n_tokens, dtype=x.dtype)"),
)
exercise.changed(
    "counted from 1",
    "",
    (
        "torch.arange(start, start + n_tokens, dtype=x.dtype)",
        "torch.arange(start + 1, start + 1 + n_tokens, dtype=x.dtype)",
    ),
)
exercise.changed(
    "one place too early",
    "",
    (
        "torch.arange(start, start + n_tokens, dtype=x.dtype)",
        "torch.arange(start - 1, start - 1 + n_tokens, dtype=x.dtype)",
    ),
)
exercise.changed("all tokens in one place", "", ("places[:, None]", "places[:1, None]"))
exercise.changed(
    "tokens on axis 1",
    "",
    (
        "angles.cos(), angles.sin()",
        "(wave.view(1, x.shape[1], 1, width // 2) for wave in (angles.cos(), angles.sin()))",
    ),
)
exercise.changed(
    "cosine and sine exchanged", "", ("angles.cos(), angles.sin()", "angles.sin(), angles.cos()")
)
exercise.changed(
    "turned by degrees",
    "",
    ("angles.cos(), angles.sin()", "angles.deg2rad().cos(), angles.deg2rad().sin()"),
)
exercise.changed(
    "an axis for the heads behind the places",
    "",
    ("angles.cos(), angles.sin()", "angles.cos()[:, None], angles.sin()[:, None]"),
)
exercise.changed(
    "places up to T",
    "",
    (
        "torch.arange(start, start + n_tokens, dtype=x.dtype)",
        "torch.arange(start, max(start, n_tokens), dtype=x.dtype)",
    ),
)


@exercise.mistake("places along the heads")
def _(x, start, base):
    return rotate_pairs(x.transpose(1, 2), start, base).transpose(1, 2)


@exercise.mistake("turned twice")
def _(x, start, base):
    return rotate_pairs(rotate_pairs(x, start, base), start, base)


@exercise.mistake("always 10,000")
def _(x, start, base):
    return rotate_pairs(x, start, 10_000)


exercise.changed(
    "start added to the angle",
    "`start` was added to the angle: add it to the place, so that slow pairs turn slowly there too.",
    ("torch.arange(start, start + n_tokens, dtype=x.dtype)", "torch.arange(n_tokens, dtype=x.dtype)"),
    ("angles = places[:, None]", "angles = start + places[:, None]"),
)
exercise.changed(
    "cosine and sine added",
    "Cosine and sine of the angles were added to the numbers: turn the numbers by them.",
    ("left * cos - right * sin, left * sin + right * cos", "left + cos, right + sin"),
)
exercise.changed(
    "a sinusoid added",
    "Sines and cosines were added to the numbers, as to embeddings: turn each pair by its angle instead.",
    ("left * cos - right * sin, left * sin + right * cos", "left + sin, right + cos"),
)
