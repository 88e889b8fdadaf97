"""The tasks of solutions/03_qkv/attention_by_hand.ipynb, in NumPy.

For each: the inputs, the reference, and the wrong functions that learners write, with the hint for each.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib import maths
from course_lib.checks.engine import Case, Property, Task
from course_lib.checks.engine import Misconception as M
from course_lib.checks.inputs import (
    WEIGHTS,
    Rng,
    as_double,
    backwards,
    draw,
    draw_mask,
    inside_the_values,
    masked_get_nothing,
    primes,
)

# ------------------------------------------------------------------------------------------------------------
# project


def _project(x: np.ndarray, w_q: np.ndarray, w_k: np.ndarray, w_v: np.ndarray) -> tuple[np.ndarray, ...]:
    return x @ w_q, x @ w_k, x @ w_v


def _chained(x: np.ndarray, w_q: np.ndarray, w_k: np.ndarray, w_v: np.ndarray) -> tuple[np.ndarray, ...]:
    q = x @ w_q
    k = q @ w_k
    return q, k, k @ w_v


def _project_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, d: int, k: int) -> dict[str, np.ndarray]:
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


PROJECT = Task(
    name="03_qkv/project",
    title="Queries, keys and values",
    level=1,
    minutes=5,
    section="Queries, keys and values",
    call="project(x, w_q, w_k, w_v)",
    reference=_project,
    results=("q", "k", "v"),
    cases=_project_cases,
    misconceptions=(
        M(
            "W on the wrong side",
            "This is what you get with the weights the other way round: tokens are rows here, so it is x W.",
            lambda x, w_q, w_k, w_v: (x @ w_q.T, x @ w_k.T, x @ w_v.T),
        ),
        M(
            "W x instead of x W",
            "This is w @ x: it fails unless the sizes happen to fit. A token is a row of x, and a row times "
            "a matrix is x @ w.",
            lambda x, w_q, w_k, w_v: (w_q @ x, w_k @ x, w_v @ x),
        ),
        M(
            "one matrix for all three",
            "All three are made with w_q: each of q, k and v has a matrix of its own.",
            lambda x, w_q, w_k, w_v: (x @ w_q, x @ w_q, x @ w_q),
        ),
        M(
            "keys and values swapped",
            "The keys are where the values should be: return q, k, v in this order.",
            lambda x, w_q, w_k, w_v: (x @ w_q, x @ w_v, x @ w_k),
        ),
        M(
            "queries and keys swapped",
            "The keys are where the queries should be: return q, k, v in this order.",
            lambda x, w_q, w_k, w_v: (x @ w_k, x @ w_q, x @ w_v),
        ),
        M(
            "a chain of projections",
            "Here k is made from q, and v from k: all three are made from x.",
            _chained,
        ),
        M(
            "values not projected",
            "Your values are the tokens themselves: they too go through their matrix, w_v.",
            lambda x, w_q, w_k, w_v: (x @ w_q, x @ w_k, x),
        ),
        M(
            "tokens in columns",
            "The result is transposed: one row per token, as in x.",
            lambda x, w_q, w_k, w_v: tuple((x @ w).swapaxes(-1, -2) for w in (w_q, w_k, w_v)),
        ),
        M(
            "a bias of one",
            "Every number is too large by 1: the projection is x W and nothing else.",
            lambda x, w_q, w_k, w_v: (x @ w_q + 1, x @ w_k + 1, x @ w_v + 1),
        ),
    ),
    hints=(
        "Each token is a row of x. Which product turns a row of D numbers into a row of K numbers with a "
        "(D, K) matrix?",
        "A row times a matrix is `row @ matrix`, and `x @ w_q` does it for all rows at once. Three times, "
        "three matrices.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# scores


def _scores(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])


def _raw(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return q @ k.swapaxes(-1, -2)


def _scores_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, k: int, *, size: float = 1.0) -> dict[str, np.ndarray]:
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


SCORES = Task(
    name="03_qkv/scores",
    title="Scores",
    level=1,
    minutes=5,
    section="Scores",
    call="scores(q, k)",
    reference=_scores,
    cases=_scores_cases,
    misconceptions=(
        M("no scaling", "These are the bare dot products: divide them by the square root of K.", _raw),
        M(
            "divided by K",
            "This is divided by K itself, not by its square root.",
            lambda q, k: _raw(q, k) / q.shape[-1],
        ),
        M(
            "multiplied instead of divided",
            "This is multiplied by the square root of K: divide.",
            lambda q, k: _raw(q, k) * math.sqrt(q.shape[-1]),
        ),
        M(
            "scaled by the number of keys",
            "This is divided by the square root of the number of keys: it is the width of a key, K, that "
            "counts.",
            lambda q, k: _raw(q, k) / math.sqrt(k.shape[-2]),
        ),
        M(
            "scaled by the number of queries",
            "This is divided by the square root of the number of queries: it is the width of a query, K, "
            "that counts.",
            lambda q, k: _raw(q, k) / math.sqrt(q.shape[-2]),
        ),
        M(
            "keys ask the queries",
            "This is k q^T: one row per key. There should be one row per query.",
            lambda q, k: _scores(k, q),
        ),
        M(
            "all axes reversed",
            "`.T` reverses all axes, so it fails on a batch: exchange only the last two.",
            lambda q, k: q @ k.T / math.sqrt(q.shape[-1]),
        ),
        M(
            "cosines",
            "These are cosines: the vectors were brought to length 1. Attention uses the dot product over "
            "sqrt(K).",
            lambda q, k: _raw(
                q / np.linalg.norm(q, axis=-1, keepdims=True), k / np.linalg.norm(k, axis=-1, keepdims=True)
            ),
        ),
    ),
    hints=(
        "Take two queries and three keys: which product of a (2, K) and a (K, 3) matrix gives all six dot "
        "products?",
        "All dot products at once are a matrix product. Exchange the last two axes of k: `k.swapaxes(-1, "
        "-2)`.",
        "The width is `q.shape[-1]`: the last axis, not the number of tokens.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# softmax


def _exp_over(total: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def wrong(scores: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            powers = np.exp(scores)
            return powers / total(powers)

    return wrong


def _one_maximum(scores: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        powers = np.exp(scores - scores.max())
        return powers / powers.sum(-1, keepdims=True)


def _softmax_all(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _sum_only(scores: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return scores / scores.sum(-1, keepdims=True)


def _keepdims_forgotten(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1)


def _softmax_cases(rng: Rng) -> list[Case]:
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
        Case("float64", {"scores": draw(rng, *primes(rng, 5, 7, 11)).astype(np.float64)}),
        Case("stored column by column", {"scores": backwards(draw(rng, *primes(rng, 7, 11)))}),
        Case("one score in each row", {"scores": draw(rng, 3, 1)}),
    ]


SOFTMAX = Task(
    name="03_qkv/softmax",
    title="Softmax",
    level=2,
    minutes=10,
    section="Softmax",
    call="softmax(scores)",
    reference=maths.softmax,
    cases=_softmax_cases,
    properties=WEIGHTS,
    misconceptions=(
        M(
            "softmax over the queries",
            "This is what you get when the softmax runs over the queries: each column sums to 1, each row "
            "should.",
            lambda scores: maths.softmax(scores, axis=-2),
        ),
        M(
            "softmax over the first axis",
            "The softmax runs over axis 0: each column sums to 1, each row should. "
            "With a batch, axis 0 is the batch: use axis -1.",
            lambda scores: maths.softmax(scores, axis=0),
        ),
        M(
            "axis 1 instead of the last",
            "The softmax runs over axis 1. With a batch that is no longer the last one: use axis -1.",
            lambda scores: maths.softmax(scores, axis=1),
        ),
        M(
            "softmax over everything",
            "All numbers together sum to 1: each row should, on its own.",
            _softmax_all,
        ),
        M(
            "overflow",
            "Right for small scores, but exp(1000) is more than a float holds. Subtract each row's "
            "largest score first.",
            _exp_over(lambda powers: powers.sum(-1, keepdims=True)),
        ),
        M(
            "one maximum for all rows",
            "You subtract the largest score of all rows; in a row far below it, every exp becomes 0. Take "
            "each row's own.",
            _one_maximum,
        ),
        M(
            "no exponential",
            "These are scores over their sum, without exp: negative weights come out.",
            _sum_only,
        ),
        M(
            "not normalised",
            "These are the exponentials: divide each row by its sum.",
            lambda scores: np.exp(scores - scores.max(-1, keepdims=True)),
        ),
        M("logarithms", "These are the logarithms of the weights.", _log_softmax),
        M(
            "keepdims forgotten",
            "The sums lost an axis, so NumPy lines them up with the columns: `sum(axis=-1, keepdims=True)`.",
            _keepdims_forgotten,
        ),
        M(
            "sigmoid",
            "This is a sigmoid of each score on its own: in a softmax the scores of a row compete.",
            lambda scores: 0.5 * (1 + np.tanh(scores / 2)),
        ),
    ),
    hints=(
        "What happens to the weights of a row when you subtract the same number from all its scores?",
        "Three steps for each row: subtract its largest score, take exp, divide by the sum.",
        "`scores.max(axis=-1, keepdims=True)` keeps the axis, so that it lines up with the rows again.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# mix


def _mix(weights: np.ndarray, v: np.ndarray) -> np.ndarray:
    return weights @ v


def _mix_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, d: int) -> dict[str, np.ndarray]:
        weights = maths.softmax(draw(rng, *batch, t, s, size=2.0))
        return {"weights": weights.round(2) if weights.size <= 30 else weights, "v": draw(rng, *batch, s, d)}

    return [
        Case("two queries, three values", inputs((), 2, 3, 5)),
        Case("as many queries as values", inputs((), 3, 3, 2)),
        Case("everything square", inputs((), 3, 3, 3)),
        Case("a batch", inputs((2,), *primes(rng, 5, 7, 11))),
        Case("float64", as_double(inputs((), *primes(rng, 7, 11, 13)))),
        Case(
            "stored column by column",
            {n: backwards(x) for n, x in inputs((), *primes(rng, 5, 7, 11)).items()},
        ),
        Case("a query that takes nothing", {"weights": np.zeros((1, 3), np.float32), "v": draw(rng, 3, 2)}),
    ]


MIX = Task(
    name="03_qkv/mix",
    title="Mixing the values",
    level=1,
    minutes=5,
    section="Mixing the values",
    call="mix(weights, v)",
    reference=_mix,
    cases=_mix_cases,
    properties=(Property("inside the values", inside_the_values),),
    misconceptions=(
        M(
            "weights transposed",
            "The weights are transposed: a query's weights are a row, and a row times v is the mix.",
            lambda weights, v: weights.swapaxes(-1, -2) @ v,
        ),
        M(
            "plain mean",
            "This is the plain mean of the values: the weights are not used.",
            lambda weights, v: np.zeros_like(weights) @ v + v.mean(-2, keepdims=True),
        ),
        M(
            "plain sum",
            "This is the plain sum of the values: the weights are not used.",
            lambda weights, v: np.zeros_like(weights) @ v + v.sum(-2, keepdims=True),
        ),
        M(
            "winner takes all",
            "Each query takes only the value with the largest weight: a mix takes a share of each.",
            lambda weights, v: np.eye(v.shape[-2], dtype=v.dtype)[weights.argmax(-1)] @ v,
        ),
        M(
            "softmax once more",
            "The weights went through a softmax again: they are ready to use.",
            lambda weights, v: maths.softmax(weights) @ v,
        ),
        M(
            "values transposed",
            "The values are transposed: a value is a row of v.",
            lambda weights, v: weights @ v.swapaxes(-1, -2),
        ),
        M(
            "divided by the number of values",
            "Each number is too small by the number of values: the weights sum to 1 already.",
            lambda weights, v: weights @ v / v.shape[-2],
        ),
        M(
            "scaled by the width",
            "The scaling by a square root belongs to the scores, not to the mix.",
            lambda weights, v: weights @ v / math.sqrt(v.shape[-1]),
        ),
    ),
    hints=(
        "For one query: its first weight times the first value, plus its second weight times the second, "
        "and so on.",
        "A row of weights times the matrix of values is exactly that sum.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# masked weights


def _masked(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return maths.softmax(np.where(mask, scores, -np.inf))


def _masked_nan(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = _masked(scores, mask)
    return np.where(np.broadcast_to(mask, scores.shape).any(-1, keepdims=True), weights, np.nan)


def _mask_added(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return maths.softmax(scores + mask.astype(scores.dtype))


def _masked_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, size: float = 1.0) -> dict[str, np.ndarray]:
        return {"scores": draw(rng, *batch, t, s, size=size), "mask": draw_mask(rng, t, s)}

    alone = inputs((), 3, 5)
    alone["mask"][1] = False
    loud = inputs((), *primes(rng, 5, 7))
    loud["scores"] += np.where(loud["mask"], -2000, 2000).astype(np.float32)
    transposed = inputs((), *primes(rng, 7, 11))
    return [
        Case("two queries, three keys", inputs((), 2, 3)),
        Case("as many queries as keys", inputs((), 3, 3)),
        Case("a query that may see nothing", alone),
        Case("a batch with one mask", inputs((2,), *primes(rng, 3, 5))),
        Case("the forbidden scores are huge, the others far below zero", loud),
        Case("float64", as_double(inputs((), *primes(rng, 11, 13)))),
        Case("stored column by column", {name: backwards(x) for name, x in transposed.items()}),
        Case("nothing forbidden", {"scores": draw(rng, 2, 5), "mask": np.ones((2, 5), bool)}),
    ]


MASKED = Task(
    name="03_qkv/masked_weights",
    title="Weights with a mask",
    level=3,
    minutes=15,
    section="In a real model",
    call="masked_weights(scores, mask)",
    reference=_masked,
    cases=_masked_cases,
    properties=(*WEIGHTS, Property("forbidden keys get nothing", masked_get_nothing)),
    misconceptions=(
        M(
            "mask upside down",
            "The mask is read the other way round: True means that the query may attend.",
            lambda scores, mask: _masked(scores, ~mask),
        ),
        M(
            "masked after the softmax",
            "The softmax saw all keys, then some weights were set to 0: the rest no longer sums to 1. "
            "Mask the scores.",
            lambda scores, mask: maths.softmax(scores) * mask,
        ),
        M(
            "NaN where nothing may be seen",
            "A query that may see nothing gets 0/0 = NaN: give it zeros.",
            _masked_nan,
        ),
        M(
            "a uniform row where nothing may be seen",
            "A large negative number instead of minus infinity: a query that may see nothing then looks "
            "at all keys.",
            lambda scores, mask: maths.softmax(np.where(mask, scores, np.float32(-1e9))),
        ),
        M(
            "forbidden scores set to zero",
            "A score of 0 is not a weight of 0: exp(0) is 1. Minus infinity is the score that gets no "
            "weight.",
            lambda scores, mask: maths.softmax(scores * mask),
        ),
        M(
            "mask added to the scores",
            "True and False were added as 1 and 0: that favours a key, it does not forbid one.",
            _mask_added,
        ),
        M(
            "mask ignored",
            "The mask is not used.",
            lambda scores, mask: maths.softmax(scores),
        ),
        M(
            "softmax over the queries",
            "This is what you get when the softmax runs over the queries: each column sums to 1, each row "
            "should.",
            lambda scores, mask: maths.softmax(np.where(mask, scores, -np.inf), axis=-2),
        ),
    ),
    hints=(
        "Forbid before the softmax: which score gives a weight of exactly 0?",
        "`np.where(mask, scores, -np.inf)`. In a row of minus infinities the largest is minus infinity too: "
        "what is -inf minus -inf?",
        "Make that row's maximum 0 and its sum 1 before you subtract and divide: it then gives zeros.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# causal mask


def causal_mask(n_queries: int, n_keys: int) -> np.ndarray:
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


def _causal_cases(rng: Rng) -> list[Case]:
    t, s = sorted(primes(rng, 5, 7, 11)[:2])
    return [
        Case("three tokens", {"n_queries": 3, "n_keys": 3}),
        Case("two new tokens after three old ones", {"n_queries": 2, "n_keys": 5}),
        Case("one new token: it sees all", {"n_queries": 1, "n_keys": 7}),
        Case("more tokens", {"n_queries": t, "n_keys": s}),
        Case("more queries than keys: the first see nothing", {"n_queries": 5, "n_keys": 3}),
        Case("a single token", {"n_queries": 1, "n_keys": 1}),
    ]


CAUSAL = Task(
    name="03_qkv/causal_mask",
    title="Causal mask",
    level=2,
    minutes=10,
    section="In a real model",
    call="causal_mask(n_queries, n_keys)",
    reference=causal_mask,
    cases=_causal_cases,
    misconceptions=(
        M(
            "aligned at the top left",
            "The first query is lined up with the first key: it is the last query that belongs to the "
            "last key.",
            lambda n_queries, n_keys: np.tri(n_queries, n_keys, dtype=bool),
        ),
        M(
            "upside down",
            "True and False are exchanged: True means that the query may attend.",
            lambda n_queries, n_keys: ~causal_mask(n_queries, n_keys),
        ),
        M(
            "looks ahead",
            "Each token sees itself and what comes after it: it should see what came before.",
            lambda n_queries, n_keys: np.triu(np.ones((n_queries, n_keys), bool), n_keys - n_queries),
        ),
        M(
            "blind to itself",
            "Each token sees only what came before it: it may see itself too.",
            lambda n_queries, n_keys: np.tri(n_queries, n_keys, n_keys - n_queries - 1, dtype=bool),
        ),
        M(
            "one step ahead",
            "Each token sees the next one too.",
            lambda n_queries, n_keys: np.tri(n_queries, n_keys, n_keys - n_queries + 1, dtype=bool),
        ),
        M(
            "rows and columns exchanged",
            "Rows are queries, columns are keys; here it is the other way round.",
            lambda n_queries, n_keys: causal_mask(n_queries, n_keys).T,
        ),
        M(
            "everything allowed",
            "Every token sees every other: that is no causal mask.",
            lambda n_queries, n_keys: np.ones((n_queries, n_keys), bool),
        ),
        M(
            "to be added to the scores",
            "This is 0 and minus infinity, to be added to the scores. Here a mask is boolean: True = may "
            "attend.",
            lambda n_queries, n_keys: np.where(causal_mask(n_queries, n_keys), 0.0, -np.inf),
        ),
        M(
            "shifted the wrong way",
            "The offset has the wrong sign: with more keys than queries, the queries are the last ones.",
            lambda n_queries, n_keys: np.tri(n_queries, n_keys, n_queries - n_keys, dtype=bool),
        ),
    ),
    hints=(
        "The queries are the last n_queries of n_keys tokens. At which key does query t stand?",
        "At key n_keys - n_queries + t. It may see this key and all before it.",
        "`np.arange(n_keys)` against `np.arange(n_queries)[:, None]` compares all pairs at once; or see "
        "`np.tri`.",
    ),
)

TASKS = (PROJECT, SCORES, SOFTMAX, MIX, MASKED, CAUSAL)
