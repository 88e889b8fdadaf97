"""The tasks of solutions/09_real_models/my_transformer.ipynb: what they are tried on, and what is right.

The other six parts of that notebook are tasks of earlier concepts. The words of these three and the mistakes
that learners make stand in 09_real_models.yml. The keyword-only arguments of a reference are for these
mistakes: each changes one thing.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from course_lib.checks.attention_in_torch import attend
from course_lib.checks.heads import by_neighbours, divided_by_groups, in_turn
from course_lib.checks.inputs import Rng, as_double, backwards, draw, in_torch, not_negative, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.writing import (
    NEAR,
    after,
    differ,
    distinct,
    first_or,
    likeliest_alone,
    never_reaching,
    stored_in_order,
    sums_to_one,
    temperature,
    top_p,
    up_to_itself,
)

Tensor = torch.Tensor
Array = np.ndarray

# What the mistakes of the YAML file use beside what is used here.
__all__ = [
    "TASKS",
    "divided_by_groups",
    "in_turn",
    "likeliest_alone",
    "math",
    "never_reaching",
    "up_to_itself",
]


# ------------------------------------------------------------------------------------------- extend the cache


def extend_cache(
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    join: Callable[[Tensor, Tensor], Tensor] = after,
) -> tuple[Tensor, Tensor]:
    """The keys and the values of all tokens so far."""
    return join(k_cache, k), join(v_cache, v)


def along(axis: int) -> Callable[[Tensor, Tensor], Tensor]:
    """What joins along another axis than that of the tokens."""
    return lambda stored, new: torch.cat([stored, new], axis)


def the_last(stored: Tensor, new: Tensor) -> Tensor:
    """As many as before, the newest."""
    joined = after(stored, new)
    return joined[..., joined.shape[-2] - stored.shape[-2] :, :]


def extend_cache_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, g: int, s: int, t: int, width: int) -> dict[str, Any]:
        names = {"k_cache": s, "v_cache": s, "k": t, "v": t}
        return {name: draw(rng, b, g, n, width) for name, n in names.items()}

    split = {
        name: value.swapaxes(1, 2).copy().swapaxes(1, 2) for name, value in inputs(2, 3, 5, 2, 7).items()
    }
    b, g, s, t = primes(rng, 2, 3, 5, 7)
    return in_torch(
        [
            Case("one new token, two before", inputs(1, 1, 2, 1, 2)),
            Case("everything square", inputs(2, 2, 2, 2, 2)),
            Case("one new token, three key heads", inputs(1, 3, 5, 1, 2)),
            Case("the first token", inputs(1, 2, 0, 1, 3)),
            Case("a prompt: three new tokens, nothing before", inputs(1, 2, 0, 3, 5)),
            Case("more new tokens than before", inputs(1, 3, 2, 5, 2)),
            Case("several texts", inputs(b, g, s, t, 11)),
            Case("float64", as_double(inputs(2, 3, t, s, 13))),
            Case("stored as heads are split", split),
        ]
    )


# ------------------------------------------------------------------------------------------ grouped attention


def grouped_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    *,
    keys: Callable[[Tensor, int], Tensor] = by_neighbours,
    values: Callable[[Tensor, int], Tensor] = by_neighbours,
    **changes: Any,
) -> Tensor:
    """Attention in which neighbouring query heads share keys and values; a mask says who may look where."""
    n = q.shape[1] // k.shape[1]
    return attend(q, keys(k, n), values(v, n), mask, **changes)


def some_of_each(rng: Rng, n_queries: int, n_keys: int) -> Array:
    """A random mask: each query may see some keys but not all, and each of several keys is seen by a query.

    Of a key that nobody may see a softmax over the queries makes NaN, zeros or equal weights, as it is
    written: it would not be known for what it is.
    """
    while True:
        mask: Array = rng.random((n_queries, n_keys)) < 0.5
        each_is_seen = n_queries == 1 or mask.any(0).all()
        if each_is_seen and mask.any(1).all() and (n_keys == 1 or not mask.all(1).any()):
            return mask


def grouped_attention_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, g: int, n: int, t: int, s: int, width: int, size: float = 1.0) -> dict[str, Any]:
        return {
            "q": draw(rng, b, g * n, t, width, size=size),
            "k": draw(rng, b, g, s, width, size=size),
            "v": draw(rng, b, g, s, width),
            "mask": some_of_each(rng, t, s),
        }

    def causal(*sizes: int) -> dict[str, Any]:
        known = inputs(*sizes)
        n_queries, n_keys = known["mask"].shape
        return known | {"mask": np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)}

    g, n = primes(rng, 3, 5)
    t, s, width = primes(rng, 2, 7, 11)
    stored = {name: backwards(x) for name, x in inputs(2, 3, 2, 5, 7, 11).items()}
    loud = inputs(1, 2, 2, 3, 5, 7)
    loud["q"] = loud["q"] * np.float32(200)
    return in_torch(
        [
            Case("four query heads share two", inputs(1, 2, 2, 2, 3, 2)),
            Case("as many queries as keys", inputs(1, 2, 3, 5, 5, 3)),
            Case("six share three", inputs(1, 3, 2, 2, 3, 2)),
            Case("everything square", inputs(3, 3, 3, 3, 3, 3)),
            Case("two texts", inputs(2, g, n, t, s, width)),
            Case("nine share three and read a prompt, as in SmolLM2", causal(1, 3, 3, 5, 5, 7)),
            Case("one new token, which sees all", causal(1, 3, 2, 1, 7, 5)),
            Case("three new tokens after four", causal(1, 3, 2, 3, 7, 5)),
            Case("one token, nothing before", causal(1, 2, 3, 1, 1, 5)),
            Case("all share one", inputs(2, 1, 3, 5, 7, 2)),
            Case("a key head for each query head", inputs(2, 3, 1, 5, 7, 2)),
            Case("scores of several hundred", loud),
            Case("float64", as_double(inputs(2, n, g, 2, 5, 7))),
            Case("stored column by column", stored),
        ]
    )


# ----------------------------------------------------------------------------------------- next probabilities


def heat_first(logits: Tensor, t: float, p: float, heat: Any, cut: Any) -> Tensor:
    """The temperature, then the cut."""
    return cut(heat(logits, t), p)


def cut_first(logits: Tensor, t: float, p: float, heat: Any, cut: Any) -> Tensor:
    """What the cut at temperature 1 leaves is heated."""
    kept = cut(logits.softmax(-1), p) > 0
    return heat(logits.masked_fill(~kept, -torch.inf), t)


def next_probabilities(
    logits: Tensor,
    t: float,
    p: float,
    *,
    order: Callable[..., Tensor] = heat_first,
    heat: Callable[[Tensor, float], Tensor] = temperature,
    cut: Callable[[Tensor, float], Tensor] = top_p,
) -> Tensor:
    """The probabilities of the next token: temperature, then top-p."""
    return order(logits, t, p, heat, cut)


without_the_crossing = partial(top_p, keep=first_or(never_reaching))
not_scaled = partial(top_p, rescale=lambda kept, p: kept)


def next_probabilities_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, t: float, p: float, level: float = 0.0) -> dict[str, Any]:
        """Logits with which no sum of the likeliest comes near to p, and the order of the two steps shows."""
        while True:
            logits = distinct(rng, *shape) + np.float32(level)
            rows = torch.from_numpy(logits)
            near = []
            for heat in {t, 1.0} - {0.0}:
                sums = temperature(rows.double(), heat).sort(descending=True).values.cumsum(-1)
                near.append(float((sums - p).abs().min()))
            order_tells = t in (0, 1) or differ(
                next_probabilities(rows, t, p), next_probabilities(rows, t, p, order=cut_first)
            )
            if p == 1 or (min(near) > NEAR and order_tells):
                return {"logits": logits, "t": t, "p": p}

    def ruled_out(t: float, p: float) -> dict[str, Any]:
        known = inputs(7, t=t, p=p)
        least = np.argsort(known["logits"])[:2]
        known["logits"][least] = -np.inf
        return known

    stored = inputs(*primes(rng, 5, 7), t=2.0, p=0.7)
    stored["logits"] = backwards(stored["logits"])
    return in_torch(
        [
            Case("one row", inputs(5, t=2.0, p=0.8)),
            Case("two rows", inputs(2, 5, t=3.0, p=0.7)),
            Case("cold, and cut", inputs(2, 7, t=0.5, p=0.95)),
            Case("t = 0", inputs(7, t=0.0, p=0.9)),
            Case("t = 0, two rows, nothing to cut", inputs(2, 5, t=0.0, p=1.0)),
            Case("t = 1", inputs(3, 5, t=1.0, p=0.6)),
            Case("all tokens to choose from", inputs(3, 5, t=2.0, p=1.0)),
            Case("a tiny t", inputs(7, t=1e-37, p=1.0)),
            Case("logits of 1,000", inputs(2, 5, t=2.0, p=0.7, level=1000.0)),
            Case("tokens that are ruled out", ruled_out(2.0, 0.5)),
            Case("a row of many", inputs(47, t=1.5, p=0.9)),
            Case("a batch", inputs(*primes(rng, 2, 3, 5), t=1.5, p=0.75)),
            Case("float64", as_double(inputs(*primes(rng, 3, 7), t=2.0, p=0.65))),
            Case("stored column by column", stored),
        ]
    )


TASKS = {
    "extend_cache": Code(
        reference=extend_cache,
        cases=extend_cache_cases,
        properties=(Property("stored in order", stored_in_order),),
        results=("keys", "values"),
        tensor=True,
    ),
    "grouped_attention": Code(reference=grouped_attention, cases=grouped_attention_cases, tensor=True),
    "next_probabilities": Code(
        reference=next_probabilities,
        cases=next_probabilities_cases,
        properties=(Property("not negative", not_negative), Property("sums to 1", sums_to_one)),
        tensor=True,
    ),
}
