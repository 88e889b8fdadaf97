"""Attention with shared key heads and a mask

softmax(q k^T / sqrt(K)) v, as in `attention` (03_qkv), with the key heads of `grouped_queries`
(04_multi_head). In SmolLM2 query heads 0, 1, 2 use key head 0; 3, 4, 5 use key head 1; 6, 7, 8 use key head
2, and the values likewise. In general H / G neighbours share one.

![Above, each of 9 query heads has a key head and a value head of its own. Below, 3 neighbours share
one.](../../notebooks/images/grouped_queries.svg)

The queries are those of T new tokens, the keys and values those of all S + T: S come from the cache. `mask`
(T, S + T) is True where a query may attend to a key; no row of it is all False. One way: repeat each
head of k and v for its query heads, copies side by side (0, 0, 0, 1, 1, 1, ...), and let your `attention` do
the rest.

Hint: How many query heads share a key head? What must happen to k and v so that each query head finds one
of its own?

Hint: `k.repeat_interleave(n, dim=1)` gives each key head n neighbours: a, a, b, b. Then all is as with one
head: scores, mask, softmax, mix.

Hint: The scores are `q @ k.mT / q.shape[-1] ** 0.5`. Where the mask is False they become minus infinity:
`scores.masked_fill(~mask, -torch.inf)`; the softmax runs along the last axis.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=3,
    minutes=15,
    section="The rule, in Python",
    forbidden=(
        "torch.nn.functional.scaled_dot_product_attention",
        "course_lib.attention.scaled_dot_product_attention",
        "course_lib.attention.attention_weights",
    ),
    tensor=True,
)


@exercise.solution
def grouped_attention(q, k, v, mask):
    """Attention in which neighbouring query heads share a key head, and a mask says who may look where.

    Args:
        q: (B, H, T, K).
        k, v: (B, G, S + T, K); G divides H.
        mask: (T, S + T), boolean, True = may attend.
    Returns: (B, H, T, K).
    """
    ### BEGIN SOLUTION
    n_sharing = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(n_sharing, dim=1)  # (B, H, S + T, K)
    v = v.repeat_interleave(n_sharing, dim=1)
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, H, T, S + T)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v
    ### END SOLUTION


def some_of_each(rng, n_queries, n_keys):
    """A random mask: each query may see some keys but not all, and each of several keys is seen by a
    query.

    Of a key that nobody may see a softmax over the queries makes NaN, zeros or equal weights, as it is
    written: it would not be known for what it is.
    """
    while True:
        mask = rng.random((n_queries, n_keys)) < 0.5
        each_is_seen = n_queries == 1 or mask.any(0).all()
        if each_is_seen and mask.any(1).all() and (n_keys == 1 or not mask.all(1).any()):
            return mask


@exercise.cases
def _(rng):
    def inputs(b, g, n, t, s, width):
        return {
            "q": draw(rng, b, g * n, t, width),
            "k": draw(rng, b, g, s, width),
            "v": draw(rng, b, g, s, width),
            "mask": some_of_each(rng, t, s),
        }

    loud = inputs(1, 2, 2, 3, 5, 7)
    loud["q"] *= 200
    new = inputs(1, 3, 2, 1, 7, 5)
    new["mask"][:] = True
    g, n = primes(rng, 3, 5)
    t, s, width = primes(rng, 2, 7, 11)
    return in_torch(
        [
            Case("four query heads share two", inputs(1, 2, 2, 2, 3, 2)),
            Case("everything square", inputs(1, 3, 3, 3, 3, 3), catches="keys not turned"),
            Case("one new token, which sees all", new, catches="an axis of one lost"),
            Case("all share one", inputs(1, 1, 3, 5, 7, 2), catches="no head repeated"),
            Case("scores of several hundred", loud, catches="overflow"),
            Case("two texts", inputs(2, g, n, t, s, width), catches="one text alone"),
        ]
    )


# ------------------------------------------------------------------------------------------ which heads share

exercise.changed(
    "key heads in turn",
    "The key heads come in turn, as in a, b, a, b, which is what `repeat` does: neighbouring query heads "
    "share one, as in a, a, b, b.",
    ("k.repeat_interleave(n_sharing, dim=1)", "k.repeat(1, n_sharing, 1, 1)"),
    ("v.repeat_interleave(n_sharing, dim=1)", "v.repeat(1, n_sharing, 1, 1)"),
)
exercise.changed(
    "values in turn",
    "The keys are shared by neighbours, but the values come in turn: both are shared in the same way.",
    ("v.repeat_interleave(n_sharing, dim=1)", "v.repeat(1, n_sharing, 1, 1)"),
)
exercise.changed(
    "keys in turn",
    "The values are shared by neighbours, but the keys come in turn: both are shared in the same way.",
    ("k.repeat_interleave(n_sharing, dim=1)", "k.repeat(1, n_sharing, 1, 1)"),
)


exercise.changed(
    "no head repeated",
    "There are fewer key heads than query heads, which runs only where all share one: repeat each for its "
    "neighbours, `repeat_interleave(n, dim=1)`.",
    ("    k = k.repeat_interleave(n_sharing, dim=1)  # (B, H, S + T, K)\n", ""),
    ("    v = v.repeat_interleave(n_sharing, dim=1)\n", ""),
)


@exercise.mistake("one key head for all")
def _(q, k, v, mask):
    """All query heads use the first key head: only the first H / G of them do."""
    return grouped_attention(q, k[:, :1], v[:, :1], mask)


@exercise.mistake("the mean of the key heads")
def _(q, k, v, mask):
    """The key heads were averaged: each group of query heads uses its own."""
    return grouped_attention(q, k.mean(1, keepdim=True), v.mean(1, keepdim=True), mask)


@exercise.mistake("divided by the wrong number")
def _(q, k, v, mask):
    """Query head h uses key head h // G, but G is the number of key heads: divide by the number of query
    heads that share one, H / G.
    """
    shared = torch.arange(q.shape[1]) // k.shape[1]
    return grouped_attention(q, k[:, shared], v[:, shared], mask)


# -------------------------------------------------------------------------------------------- who looks where


@exercise.mistake("a mask of its own")
def _(q, k, v, mask):
    """The mask that comes was not used, but one made here, up to each query itself. In a model that writes
    both are the same; use the one that comes.
    """
    n_queries, n_keys = q.shape[2], k.shape[2]
    own = torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)
    return grouped_attention(q, k, v, own)


@exercise.mistake("a mask from the first key on")
def _(q, k, v, mask):
    """New token i sees the first i + 1 tokens, as by `is_causal=True` and `tril()`: with a cache it comes
    after others. Use the mask that comes.
    """
    return grouped_attention(q, k, v, torch.ones_like(mask).tril())


# -------------------------------------------------------------------------------------------- how they attend

exercise.changed("no scaling", "", (" / q.shape[-1] ** 0.5", ""))
exercise.changed("divided by K", "", ("q.shape[-1] ** 0.5", "q.shape[-1]"))
exercise.changed("divided by half of K", "", ("q.shape[-1] ** 0.5", "(q.shape[-1] / 2)"))
exercise.changed("divided by twice K", "", ("q.shape[-1] ** 0.5", "q.shape[-1] ** 1 / 2"))
exercise.changed("scaled by the number of keys", "", ("q.shape[-1] ** 0.5", "k.shape[-2] ** 0.5"))
exercise.changed("scaled by the number of queries", "", ("q.shape[-1] ** 0.5", "q.shape[-2] ** 0.5"))
exercise.changed("scaled by the number of heads", "", ("q.shape[-1] ** 0.5", "q.shape[1] ** 0.5"))
exercise.changed(
    "scaled by the width of all heads",
    "",
    ("q.shape[-1] ** 0.5", "(q.shape[1] * q.shape[-1]) ** 0.5"),
)
exercise.changed("multiplied instead of divided", "", ("/ q.shape[-1] ** 0.5", "* q.shape[-1] ** 0.5"))
exercise.changed("softmax over the queries", "", ("softmax(-1)", "softmax(-2)"))
exercise.changed("softmax over the heads", "", ("softmax(-1)", "softmax(1)"))
exercise.changed(
    "softmax over the texts",
    "The softmax runs over the texts of the batch: each row of each head should sum to 1, along the last "
    "axis.",
    ("softmax(-1)", "softmax(0)"),
)
exercise.changed(
    "softmax over everything",
    "All weights together sum to 1: each row of each head should, along the last axis.",
    (".softmax(-1)", ".flatten().softmax(0).reshape(scores.shape)"),
)
exercise.changed(
    "overflow",
    "",
    (
        "return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v",
        "powers = scores.exp() * mask\n    return powers / powers.sum(-1, keepdim=True) @ v",
    ),
)
exercise.changed(
    "keys not turned",
    "The keys were multiplied as they came, `q @ k`, which runs only where there are K keys: for the product "
    "of each query with each key it is `q @ k.mT`.",
    ("k.mT", "k"),
)
exercise.changed(
    "no softmax", "", (".masked_fill(~mask, -torch.inf).softmax(-1)", ".masked_fill(~mask, 0.0)")
)


@exercise.mistake("mixes the keys")
def _(q, k, v, mask):
    return grouped_attention(q, k, k, mask)


@exercise.mistake("heads and tokens exchanged")
def _(q, k, v, mask):
    """The axes of heads and tokens are exchanged: the result is (B, H, T, K), as q is."""
    return grouped_attention(q, k, v, mask).transpose(1, 2)


exercise.changed("mask ignored", "", (".masked_fill(~mask, -torch.inf)", ""))
exercise.changed("mask upside down", "", ("~mask", "mask"))
exercise.changed("mask transposed", "", ("~mask", "~mask.mT"))
exercise.changed("mask added", "", ("scores.masked_fill(~mask, -torch.inf)", "(scores + mask)"))
exercise.changed(
    "masked after the softmax",
    "",
    ("scores.masked_fill(~mask, -torch.inf).softmax(-1)", "(scores.softmax(-1) * mask)"),
)
exercise.changed("forbidden scores set to zero", "", ("-torch.inf", "0.0"))
