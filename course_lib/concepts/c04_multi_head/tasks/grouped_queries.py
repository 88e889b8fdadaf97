"""Heads that share their keys

Keys and values of all earlier tokens are kept while a model writes, so fewer key heads save memory. Here H
query heads share G heads of keys and values, and G divides H: the first H / G query heads use the first key
head and the first value head, the next ones use the second, and so on. Return what each query head mixes.
`scaled_dot_product_attention` shares them by itself where there are fewer; write out what it does then, and
give it as many key heads as query heads.

Hint: With six query heads and two key heads: which key head does query head 2 use, counted from 0, and which
does 3?

Hint: `repeat_interleave` gives each key head its neighbours, as in a, a, a, b, b, b; `repeat` gives
a, b, a, b, a, b.
"""

import torch

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=12, section="The second way: share keys", tensor=True)


@exercise.solution
def grouped_queries(q, k, v):
    """Attention in which neighbouring query heads share one head of keys and values.

    Args:
        q: (B, H, T, K).
        k, v: (B, G, S, K); G divides H.
    Returns: (B, H, T, K), one mix for each query head.
    """
    ### BEGIN SOLUTION
    n_sharing = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(n_sharing, dim=1)  # (B, H, S, K)
    v = v.repeat_interleave(n_sharing, dim=1)
    return scaled_dot_product_attention(q, k, v)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, g, n, t, s, k):
        return {"q": draw(rng, b, g * n, t, k), "k": draw(rng, b, g, s, k), "v": draw(rng, b, g, s, k)}

    return in_torch(
        [
            Case("four query heads share two", inputs(1, 2, 2, 2, 3, 2)),
            Case("six share two", inputs(1, 2, 3, 3, 2, 3), gradients=True, catches="no graph"),
            Case(
                "two sequences",
                inputs(2, *primes(rng, 3, 5), *primes(rng, 2, 7, 11)),
                catches="an answer for one sequence",
            ),
            Case(
                "a key head for each query head",
                inputs(1, 3, 1, 5, 7, 2),
                catches="no axis for a group of one",
            ),
            Case(
                "one query, as when a model writes on",
                inputs(1, 3, 2, 1, 7, 5),
                catches="no axis for one query",
            ),
            Case("all share one", inputs(1, 1, 3, 5, 7, 2), catches="no axis for one key head"),
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


@exercise.mistake("one key head for all")
def _(q, k, v):
    """All query heads use the first key head: only the first H / G of them do."""
    return grouped_queries(q, k[:, :1], v[:, :1])


@exercise.mistake("the mean of the key heads")
def _(q, k, v):
    """The key heads were averaged: each group of query heads uses its own."""
    return grouped_queries(q, k.mean(1, keepdim=True), v.mean(1, keepdim=True))


@exercise.mistake("the mean of the queries")
def _(q, k, v):
    """The queries of a group were averaged: it is keys and values that are shared, each query head asks for
    itself.
    """
    return scaled_dot_product_attention(q.unflatten(1, (k.shape[1], -1)).mean(2), k, v)


@exercise.mistake("the mean of each group")
def _(q, k, v):
    """What the query heads of a group mix was averaged: return one result for each query head."""
    return grouped_queries(q, k, v).unflatten(1, (k.shape[1], -1)).mean(2)


@exercise.mistake("the first query heads only")
def _(q, k, v):
    """Only as many query heads are there as key heads: all of them ask."""
    return scaled_dot_product_attention(q[:, : k.shape[1]], k, v)


@exercise.mistake("divided by the wrong number")
def _(q, k, v):
    """Query head h uses key head h // G, but G is the number of key heads: divide by the number of query
    heads that share one, H / G.
    """
    shared = torch.arange(q.shape[1]) // k.shape[1]
    return scaled_dot_product_attention(q, k[:, shared], v[:, shared])


exercise.changed(
    "repeated G times",
    "Each key head was repeated G times, as often as there are key heads: H / G query heads share one.",
    ("q.shape[1] // k.shape[1]", "k.shape[1]"),
)


@exercise.mistake("the last key head first")
def _(q, k, v):
    """The key heads come in the wrong order: the first query heads use the first."""
    return grouped_queries(q, k.flip(1), v.flip(1))


@exercise.mistake("one each, the rest share the last")
def _(q, k, v):
    """Each query head got one key head while there were any, and the rest share the last: share them
    evenly.
    """
    shared = torch.arange(q.shape[1]).clamp(max=k.shape[1] - 1)
    return scaled_dot_product_attention(q, k[:, shared], v[:, shared])


# ------------------------------------------------------------------------------------------- how they attend

exercise.changed("no scaling", "", ("scaled_dot_product_attention(q, k, v)", "(q @ k.mT).softmax(-1) @ v"))
exercise.changed(
    "softmax over the queries",
    "",
    ("scaled_dot_product_attention(q, k, v)", "(q @ k.mT / k.shape[-1] ** 0.5).softmax(-2) @ v"),
)


@exercise.mistake("mixes the keys")
def _(q, k, v):
    return grouped_queries(q, k, k)
