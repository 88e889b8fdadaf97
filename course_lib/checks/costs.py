"""The tasks of solutions/04_multi_head/costs.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 04_multi_head.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks.attention_in_torch import attend, earlier
from course_lib.checks.inputs import Rng, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code
from course_lib.checks.work import LONG, in_linear_time

Tensor = torch.Tensor
Array = np.ndarray
OfTensor = Callable[[Tensor], Tensor]


# -------------------------------------------------------------------------------------------------- counting


def attention_bytes(
    n_tokens: int,
    d_model: int,
    n_heads: int,
    n_kv_heads: int,
    bytes_per_number: int,
    *,
    weights: float = 1,
    cache: float = 1,
    products: float = 1,
) -> tuple[float, float, float]:
    """Bytes of all attention weights and of the cache, and the multiplications that scores and mixes take.

    Each of `weights`, `cache` and `products` is how many times too large a mistake makes one of them.
    """
    d_head = d_model // n_heads
    return (
        weights * n_heads * n_tokens**2 * bytes_per_number,
        cache * 2 * n_kv_heads * n_tokens * d_head * bytes_per_number,
        products * 2 * n_tokens**2 * d_model,
    )


def attention_bytes_cases(rng: Rng) -> list[Case]:
    def layer(*sizes: int) -> dict[str, int]:
        n_tokens, d_head, groups, share, n_bytes = sizes
        n_heads = groups * share
        return {
            "n_tokens": n_tokens,
            "d_model": n_heads * d_head,
            "n_heads": n_heads,
            "n_kv_heads": groups,
            "bytes_per_number": n_bytes,
        }

    def some(n: int) -> list[int]:
        return primes(rng, 3, 5, 7, 11, 13, 17)[:n]

    d_head, groups, share = some(3)
    return [
        Case("three tokens, two heads", layer(3, 5, 2, 1, 4)),
        Case("four heads share two", layer(*some(2), 2, 2, 2)),
        Case("a layer of SmolLM2, 2,048 tokens", layer(2048, 64, 3, 3, 4)),
        Case("all share one", layer(*some(2), 1, some(1)[0], 4)),
        Case("one head", layer(*some(2), 1, 1, 4)),
        Case("as many tokens as heads", layer(groups * share, d_head, groups, share, 2)),
        Case("other sizes", layer(*some(4), 4)),
        Case("one byte for each number", layer(*some(4), 1)),
        Case("one token", layer(1, *some(3), 2)),
    ]


# ------------------------------------------------------------------------------------------ linear attention


def elu_plus_one(x: Tensor) -> Tensor:
    """Positive features of a query or a key."""
    return F.elu(x) + 1


def as_it_is(x: Tensor) -> Tensor:
    """No features: the query or key itself."""
    return x


def one_inside(x: Tensor) -> Tensor:
    """The 1 in the wrong place."""
    return F.elu(x + 1)


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    of_queries: OfTensor = elu_plus_one,
    of_keys: OfTensor = elu_plus_one,
    total: Callable[[Tensor, Tensor], Tensor | float] = lambda q, k: q @ k.sum(-2, keepdim=True).mT,
) -> Tensor:
    """Attention whose weights are products of features, so that keys are summed before any query comes."""
    q, k = of_queries(q), of_keys(k)
    return q @ (k.mT @ v) / total(q, k)


def with_softmax(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """Ordinary attention."""
    return attend(q, k, v, earlier(q) if causal else None)


def over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The columns of the weights sum to 1, instead of the rows."""
    weights = elu_plus_one(q) @ elu_plus_one(k).mT
    return weights / weights.sum(-2, keepdim=True) @ v


# Features of queries and of keys that mistakes use, and with which a total may come out near 0.
SIGNED: list[tuple[OfTensor, OfTensor]] = [
    (as_it_is, as_it_is),
    (as_it_is, elu_plus_one),
    (elu_plus_one, as_it_is),
    (F.elu, F.elu),
    (one_inside, one_inside),
]


def clear_of_zero(q: Array, k: Array, sums: OfTensor) -> bool:
    """Whether no total is nearly 0 with the features of a mistake: there a result would be rounding alone.

    Args:
        q, k: queries and keys.
        sums: from features of the keys to the sums that each query asks.
    """
    for of_queries, of_keys in SIGNED:
        features = of_queries(torch.from_numpy(q).double())
        terms = features * sums(of_keys(torch.from_numpy(k).double()))
        if not (terms.sum(-1).abs() > 0.05 * terms.abs().sum(-1)).all():
            return False
    return True


def mixing_inputs(
    rng: Rng, batch: tuple[int, ...], t: int, s: int, k: int, d: int, *, causal: bool = False
) -> dict[str, Array]:
    """Queries, keys and values with which no mistake divides by nearly 0.

    No right answer does either: some add 1e-6 to what they divide by, for fear of 0. And no number is 0:
    there elu bends, and answers that put it together from two halves have another gradient.
    """

    def sums(features: Tensor) -> Tensor:
        return features.cumsum(-2) if causal else features.sum(-2, keepdim=True)

    while True:
        # Of many queries with negative numbers some total is always near 0.
        low = -0.7 if t * math.prod(batch) < 12 else 0.1
        q, key = (rng.uniform(low, 2, (*batch, n, k)).round(2).astype(np.float32) for n in (t, s))
        if q.all() and key.all() and clear_of_zero(q, key, sums):
            return {"q": q, "k": key, "v": draw(rng, *batch, s, d)}


def in_float64(inputs: dict[str, Array]) -> dict[str, Array]:
    """The same in float64, with features so large that 1e-6 more is nothing, even there.

    None is negative: of a large negative number the feature is 0, or nearly, depending on how it is written.
    """
    return {name: x if name == "v" else 100 * abs(x) for name, x in as_double(inputs).items()}


def linear_attention_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], *sizes: int) -> dict[str, Array]:
        return mixing_inputs(rng, batch, *sizes)

    stored = {name: backwards(x) for name, x in inputs((), *primes(rng, 3, 5, 7), 11).items()}
    return in_torch(
        [
            Case("two queries, three keys", inputs((), 2, 3, 2, 3)),
            Case("everything square", inputs((), 3, 3, 3, 3)),
            Case("as many queries as keys", inputs((), 5, 5, 2, 3), gradients=True),
            Case("two sequences, three heads", inputs((2, 3), *primes(rng, 3, 5, 7, 11)), gradients=True),
            Case("one query", inputs((1, 3), 1, 7, 3, 5)),
            Case("one key", inputs((2,), 5, 1, 3, 7)),
            Case("float64", in_float64(inputs((2,), *primes(rng, 2, 3, 5, 7)))),
            Case("stored column by column", stored),
            Case("many tokens", inputs((), LONG, LONG, 3, 2)),
        ]
    )


def running(x: Tensor) -> Tensor:
    """Sums up to each token, itself included; tokens are the third axis from the end."""
    return x.cumsum(-3)


def everything(x: Tensor) -> Tensor:
    """Sums over all tokens."""
    return x.sum(-3, keepdim=True).expand_as(x)


def before_only(x: Tensor) -> Tensor:
    """Sums up to the token before."""
    return torch.cat([torch.zeros_like(x[..., :1, :, :]), running(x)[..., :-1, :, :]], -3)


def one_ahead(x: Tensor) -> Tensor:
    """Sums up to the next token."""
    return torch.cat([running(x)[..., 1:, :, :], everything(x)[..., -1:, :, :]], -3)


def from_the_end(x: Tensor) -> Tensor:
    """Sums over a token and those after it."""
    return running(x.flip(-3)).flip(-3)


def causal_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    of_queries: OfTensor = elu_plus_one,
    of_keys: OfTensor = elu_plus_one,
    of_values: OfTensor = running,
    of_totals: OfTensor = running,
    total: Callable[[Tensor], Tensor | float] = lambda total: total,
) -> Tensor:
    """Linear attention in which a query asks the keys up to its own place."""
    q, k = of_queries(q).unsqueeze(-2), of_keys(k).unsqueeze(-1)  # (..., T, 1, K) and (..., T, K, 1)
    mix = q @ of_values(k * v.unsqueeze(-2))  # (..., T, 1, V)
    return mix.squeeze(-2) / total((q @ of_totals(k)).squeeze(-2))


def causal_linear_attention_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, k: int, d: int) -> dict[str, Array]:
        return mixing_inputs(rng, batch, t, t, k, d, causal=True)

    stored = {name: backwards(x) for name, x in inputs((), *primes(rng, 5, 7, 11)).items()}
    return in_torch(
        [
            Case("two tokens", inputs((), 2, 3, 2)),
            Case("three tokens", inputs((), 3, 2, 5)),
            Case("everything square", inputs((), 3, 3, 3)),
            Case("five tokens", inputs((), 5, 2, 3), gradients=True),
            Case("two sequences, three heads", inputs((2, 3), *primes(rng, 5, 7, 11)), gradients=True),
            Case("as many sequences as tokens", inputs((3,), 3, 2, 5)),
            Case("one token", inputs((2,), 1, 3, 5)),
            Case("float64", in_float64(inputs((2,), *primes(rng, 3, 5, 7)))),
            Case("stored column by column", stored),
            Case("many tokens", inputs((), LONG, 3, 2)),
        ]
    )


TASKS = {
    "attention_bytes": Code(
        reference=attention_bytes,
        cases=attention_bytes_cases,
        results=("bytes of the weights", "bytes of the cache", "multiplications"),
    ),
    "linear_attention": Code(
        reference=linear_attention, cases=linear_attention_cases, tensor=True, adapt=in_linear_time
    ),
    "causal_linear_attention": Code(
        reference=causal_linear_attention,
        cases=causal_linear_attention_cases,
        tensor=True,
        adapt=in_linear_time,
    ),
}
