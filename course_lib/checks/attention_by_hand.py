"""The tasks of solutions/03_qkv/attention_by_hand.ipynb, in NumPy: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 03_qkv.yml. The keyword-only arguments of a reference
are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable

import numpy as np

from course_lib import maths
from course_lib.checks.inputs import (
    WEIGHTS,
    Rng,
    as_double,
    backwards,
    between,
    draw,
    draw_mask,
    inside_the_values,
    masked_get_nothing,
    primes,
)
from course_lib.checks.kinds import Case, Code, Property

Array = np.ndarray


# ---------------------------------------------------------------------------------------------------- project


def project(x: Array, w_q: Array, w_k: Array, w_v: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values of every token."""
    return x @ w_q, x @ w_k, x @ w_v


def project_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, d: int, k: int) -> dict[str, Array]:
        weights = {name: draw(rng, d, k) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), **weights}

    transposed = inputs((), *primes(rng, 5, 7, 11))
    transposed["w_q"] = backwards(transposed["w_q"])
    return [
        Case("two tokens, each vector gets longer", inputs((), 2, 3, 5)),
        Case("square weights", inputs((), 2, 3, 3)),
        Case("as many tokens as dimensions", inputs((), 3, 3, 3)),
        Case("a batch", inputs((2,), *primes(rng, 3, 5, 7))),
        Case("weights stored column by column", transposed),
        Case("float64", as_double(inputs((), *primes(rng, 5, 11, 13)))),
        Case("one token of one number", inputs((), 1, 1, 1)),
    ]


# ----------------------------------------------------------------------------------------------------- scores


def root_of_width(q: Array, k: Array) -> float:
    """What scores are divided by."""
    return math.sqrt(k.shape[-1])


def scores(q: Array, k: Array, *, divisor: Callable[[Array, Array], float] = root_of_width) -> Array:
    """Scaled dot products of all queries with all keys."""
    return q @ k.mT / divisor(q, k)


def unit(x: Array) -> Array:
    """Every vector brought to length 1."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def scores_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, k: int, *, size: float = 1.0) -> dict[str, Array]:
        return {"q": draw(rng, *batch, t, k, size=size), "k": draw(rng, *batch, s, k, size=size)}

    transposed = {name: backwards(x) for name, x in inputs((), *primes(rng, 5, 7, 11)).items()}
    return [
        Case("two queries, three keys", inputs((), 2, 3, 5)),
        Case("as many queries as keys", inputs((), 3, 3, 2)),
        Case("a batch of two, three heads", inputs((2, 3), *primes(rng, 5, 7, 11))),
        Case("three sequences of three tokens, three wide", inputs((3,), 3, 3, 3)),
        Case("large numbers", inputs((), *primes(rng, 3, 5, 7), size=1000.0)),
        Case("float64", as_double(inputs((), *primes(rng, 7, 11, 13)))),
        Case("stored column by column", transposed),
        Case("a single query", inputs((), 1, 7, 3)),
    ]


# ---------------------------------------------------------------------------------------------------- softmax


def softmax(scores: Array, *, axis: int | None = -1, shifted: bool = True) -> Array:
    """Weights from scores; zeros where every score of a row is minus infinity."""
    if not shifted:
        powers = np.exp(scores)
        return powers / powers.sum(axis, keepdims=True)
    largest = scores.max(axis, keepdims=True)
    powers = np.exp(scores - np.where(np.isneginf(largest), 0, largest))
    total = powers.sum(axis, keepdims=True)
    return powers / np.where(total == 0, 1, total)


def softmax_cases(rng: Rng) -> list[Case]:
    far = draw(rng, 3, 5)
    far += np.array([[1000], [0], [-1000]], np.float32)  # each row has a level of its own
    hidden = draw(rng, 3, 7)
    hidden[np.arange(3), rng.integers(7, size=3)] = -np.inf
    return [
        # Moved away from zero: a row that sums to zero would make one of the wrong functions divide by it.
        Case("two rows of three", {"scores": draw(rng, 2, 3) + np.float32(2)}),
        Case("three rows of three", {"scores": draw(rng, 3, 3) + np.float32(2)}),
        Case("one row", {"scores": draw(rng, 5)}),
        Case("a batch", {"scores": draw(rng, *primes(rng, 2, 3, 5))}),
        Case("large scores", {"scores": far}),
        Case("a score of minus infinity in each row", {"scores": hidden}),
        Case("minus infinity beside scores far below zero", {"scores": hidden - np.float32(1000)}),
        Case("float64", {"scores": draw(rng, *primes(rng, 5, 7, 11)).astype(np.float64)}),
        Case("stored column by column", {"scores": backwards(draw(rng, *primes(rng, 7, 11)))}),
        Case("one score in each row", {"scores": draw(rng, 3, 1)}),
    ]


# -------------------------------------------------------------------------------------------------------- mix


def mix(weights: Array, v: Array) -> Array:
    """Weighted sums of the values."""
    return weights @ v


def mix_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, d: int) -> dict[str, Array]:
        weights = maths.softmax(draw(rng, *batch, t, s, size=2.0))
        return {"weights": weights.round(2) if weights.size <= 30 else weights, "v": draw(rng, *batch, s, d)}

    t, d = primes(rng, 5, 7)
    transposed = {name: backwards(x) for name, x in inputs((), *primes(rng, 5, 7, 11)).items()}
    return [
        Case("two queries, three values", inputs((), 2, 3, 5)),
        Case("as many queries as values", inputs((), 3, 3, 2)),
        Case("everything square", inputs((), 3, 3, 3)),
        Case("a batch", inputs((2,), t, 11, d)),
        Case("float64", as_double(inputs((), *primes(rng, 7, 11, 13)))),
        Case("stored column by column", transposed),
        Case("a query that takes nothing", {"weights": np.zeros((1, 3), np.float32), "v": draw(rng, 3, 2)}),
    ]


# --------------------------------------------------------------------------------------------- masked weights


def masked_weights(
    scores: Array,
    mask: Array | None,
    *,
    fill: float | None = None,
    axis: int = -1,
    late: bool = False,
    shifted: bool = True,
) -> Array:
    """Weights from scores, with some keys forbidden; a row that is forbidden as a whole gives zeros."""
    if mask is None:
        return softmax(scores, axis=axis)
    if late:
        return softmax(scores) * mask
    weights = softmax(np.where(mask, scores, -np.inf if fill is None else fill), axis=axis, shifted=shifted)
    if fill == -np.inf:  # said aloud: what the plain formula makes of a row of minus infinities
        return np.where(mask.any(-1, keepdims=True), weights, np.nan)
    return weights if shifted else np.nan_to_num(weights)


def masked_weights_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int) -> dict[str, Array]:
        return {"scores": draw(rng, *batch, t, s), "mask": draw_mask(rng, t, s)}

    alone = inputs((), 3, 5)
    alone["mask"][1] = False
    loud = inputs((), *primes(rng, 5, 7))
    loud["scores"] += np.where(loud["mask"], -2e4, 2e4).astype(np.float32)
    transposed = {name: backwards(x) for name, x in inputs((), *primes(rng, 7, 11)).items()}
    return [
        Case("two queries, three keys", inputs((), 2, 3)),
        Case("as many queries as keys", inputs((), 3, 3)),
        Case("a query that may see nothing", alone),
        Case("a batch with one mask", inputs((2,), *primes(rng, 3, 5))),
        Case("the forbidden scores are huge, the others far below zero", loud),
        Case("float64", as_double(inputs((), *primes(rng, 11, 13)))),
        Case("stored column by column", transposed),
        Case("nothing forbidden", {"scores": draw(rng, 2, 5), "mask": np.ones((2, 5), bool)}),
    ]


# ------------------------------------------------------------------------------------------------ causal mask


def causal_mask(n_queries: int, n_keys: int, *, shift: int | None = None) -> Array:
    """Who may see whom when nobody looks ahead: the last query stands at the last key."""
    return np.tri(n_queries, n_keys, n_keys - n_queries if shift is None else shift, dtype=bool)


def causal_mask_cases(rng: Rng) -> list[Case]:
    def sizes(n_old: int, n_new: int) -> dict[str, int]:
        return {"n_queries": n_new, "n_keys": n_old + n_new}

    return [
        Case("three tokens", sizes(0, 3)),
        Case("two new tokens after some old ones", sizes(between(rng, 3, 9), 2)),
        Case("one new token: it sees all", sizes(between(rng, 5, 60), 1)),
        Case("nearly all tokens are new", sizes(1, between(rng, 4, 40))),
        Case("more old tokens than new ones", sizes(between(rng, 12, 20), between(rng, 3, 11))),
        Case("many tokens", sizes(between(rng, 5, 60), between(rng, 17, 60))),
        Case("all tokens are new", sizes(0, between(rng, 4, 40))),
        Case("a single token", sizes(0, 1)),
    ]


INSIDE = Property("inside the values", inside_the_values)
FORBIDDEN = Property("forbidden keys get nothing", masked_get_nothing)

TASKS = {
    "project": Code(reference=project, cases=project_cases, results=("q", "k", "v")),
    "scores": Code(reference=scores, cases=scores_cases),
    "softmax": Code(reference=softmax, cases=softmax_cases, properties=WEIGHTS),
    "mix": Code(reference=mix, cases=mix_cases, properties=(INSIDE,)),
    "masked_weights": Code(
        reference=masked_weights, cases=masked_weights_cases, properties=(*WEIGHTS, FORBIDDEN)
    ),
    "causal_mask": Code(reference=causal_mask, cases=causal_mask_cases),
}
