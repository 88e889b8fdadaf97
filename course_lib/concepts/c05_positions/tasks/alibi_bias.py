"""Distance lowers the score

ALiBi adds no vectors: it lowers the score of a query and a key by slope times distance, and each head has
its own slope. Head h = 1, 2, ... H has the slope 2^(-8h/H), and H is a power of two. Return what is added
to the scores, (H, T, S): minus slope times |t - s|, whichever of the two comes first. There may be fewer
queries than keys, because the keys of earlier tokens are in a cache. Then the last query stands where the
last key does. (Press et al. 2022, section 3.)

Hint: Two queries and five keys: the queries stand at places 3 and 4. How far is each of them from the keys
0 to 4?

Hint: `torch.arange(T) + S - T` are the places of the queries. Subtract the places of the keys, and take
`.abs()`.

Hint: For two heads the slopes are 2^-4 and 2^-8. `slopes[:, None, None] * distances` is (H, T, S).
"""

import math

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2, minutes=10, section="Into the scores", forbidden=("course_lib.positions.ALiBi.forward",)
)


@exercise.solution
def alibi_bias(n_heads, n_queries, n_keys):
    """What ALiBi adds to the scores: minus slope times distance.

    Args:
        n_heads: a power of two; head h = 1, 2, ... has the slope 2^(-8h/H).
        n_queries: T, the newest tokens: the last one stands where the last key does.
        n_keys: S, at least T.
    Returns: (H, T, S).
    """
    ### BEGIN SOLUTION
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    queries = torch.arange(n_queries) + n_keys - n_queries
    distances = (queries[:, None] - torch.arange(n_keys)).abs()
    return -slopes[:, None, None] * distances
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n_heads, n_queries, n_keys):
        return {"n_heads": n_heads, "n_queries": n_queries, "n_keys": n_keys}

    t, s = primes(rng, 3, 5)[0], between(rng, 7, 60)
    few, many = between(rng, 3, 30), between(rng, 20, 60)
    return [
        Case("two queries, two keys", inputs(2, 2, 2)),
        Case("fewer queries than keys", inputs(2, t, s), catches="the first query at the first key"),
        Case("one head", inputs(1, few, few), catches="no axis for one head"),
        Case(
            "one query, as when a model writes on",
            inputs(4, 1, between(rng, 7, 60)),
            catches="no axis for one query",
        ),
        Case("many heads", inputs(16, many, many), catches="whole exponents"),
    ]


exercise.changed(
    "the first query at the first key",
    "The queries were counted from the first key: they are the newest tokens, so the last query stands "
    "where the last key does.",
    ("torch.arange(n_queries) + n_keys - n_queries", "torch.arange(n_queries)"),
)
exercise.changed(
    "all queries at the last key",
    "Every query was put where the last key is: that is the place of the last one, the query before it "
    "stands one place before.",
    ("torch.arange(n_queries) + n_keys - n_queries", "torch.full((n_queries,), n_keys - 1)"),
)
exercise.changed(
    "queries one place too late",
    "The queries stand one place too far right: the last one stands where the last key does, at n_keys - 1.",
    ("+ n_keys - n_queries", "+ n_keys - n_queries + 1"),
)
exercise.changed(
    "queries one place too early",
    "The queries stand one place too far left: the last one stands where the last key does, at n_keys - 1.",
    ("+ n_keys - n_queries", "+ n_keys - n_queries - 1"),
)
exercise.changed(
    "slopes from 1 on",
    "The heads were counted from 0, so the first slope is 1: h begins with 1, and the last slope is 2^-8.",
    ("torch.arange(1, n_heads + 1)", "torch.arange(n_heads)"),
)
exercise.changed(
    "distance rewarded", "Distant keys get a larger score: the sign is minus.", ("-slopes", "slopes")
)
exercise.changed(
    "squared distance",
    "The distance is squared: the score falls by the same amount with each step.",
    (".abs()", " ** 2"),
)
exercise.changed(
    "the same slope for all heads",
    "All heads have the slope of the first: each has its own.",
    ("torch.arange(1, n_heads + 1)", "torch.ones(n_heads)"),
)
exercise.changed(
    "slopes in reverse",
    "The slopes come in reverse: the first head has the steepest.",
    ("torch.arange(1, n_heads + 1)", "torch.arange(n_heads, 0, -1)"),
)
exercise.changed(
    "2^-h for any number of heads",
    "The slopes are 2^-h, which is right for eight heads only: they are 2^(-8h/H).",
    ("(-8 * torch.arange(1, n_heads + 1) / n_heads)", "-torch.arange(1, n_heads + 1)"),
)
exercise.changed("the 8 forgotten", "The slopes are 2^(-h/H): they are 2^(-8h/H).", ("-8 * torch", "-torch"))
exercise.changed(
    "not divided by the number of heads",
    "The slopes are 2^(-8h): divide the exponent by the number of heads.",
    (" / n_heads)", ")"),
)
exercise.changed(
    "the minus of the exponent forgotten",
    "The slopes are 2^(8h/H), and grow from head to head: the exponent has a minus.",
    ("-8 * torch", "8 * torch"),
)
exercise.changed(
    "brackets of the exponent forgotten",
    "`2 ** -8 * h / H` is 2^-8, then times h / H: a power comes before a product, so put the exponent in "
    "brackets, `2 ** (-8 * h / H)`.",
    (
        "2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)",
        "2.0**-8 * torch.arange(1, n_heads + 1) / n_heads",
    ),
)
exercise.changed(
    "whole exponents",
    "The exponent was divided with `//`, so heads share a slope: 8h/H is no whole number where there are "
    "more than 8 heads.",
    (" / n_heads)", " // n_heads)"),
)
exercise.changed(
    "no slopes",
    "This is minus the distance in every head: multiply it by the slope of the head.",
    ("2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)", "torch.ones(n_heads)"),
)
exercise.changed(
    "later keys left alone",
    "Keys after the query keep their score: here they count by their distance too; a mask is another matter.",
    (".abs()", ".clamp(min=0)"),
)


@exercise.mistake("later keys masked")
def _(n_heads, n_queries, n_keys):
    """Keys after the query are masked with -inf: here they count by their distance; a mask is
    another matter.
    """
    later = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries + 1)
    return alibi_bias(n_heads, n_queries, n_keys).masked_fill(later, -math.inf)


exercise.changed(
    "later keys raised",
    "Keys after the query get a larger score, because t - s is negative there: take its size.",
    (".abs()", ""),
)
exercise.changed(
    "earlier keys raised",
    "Keys before the query get a larger score, because s - t is negative there: take its size.",
    ("(queries[:, None] - torch.arange(n_keys)).abs()", "torch.arange(n_keys) - queries[:, None]"),
)
exercise.changed(
    "one step too many",
    "The distance begins with 1: a token is at distance 0 from itself.",
    (".abs()", ".abs() + 1"),
)
exercise.changed(
    "divided by the number of keys",
    "The distance was divided by the number of keys: it counts tokens.",
    (".abs()", ".abs() / n_keys"),
)
exercise.changed(
    "queries and keys exchanged",
    "Queries and keys are exchanged: the result is (H, T, S), a row for each query.",
    ("* distances", "* distances.mT"),
)


exercise.changed(
    "a bare reshape",
    "The table was made with the heads last, and `reshape` or `view` gave it the right shape with the wrong "
    "numbers: `permute` or `movedim` exchanges axes, or put the slopes in front, as (H, 1, 1).",
    (
        "-slopes[:, None, None] * distances",
        "(-slopes * distances[..., None]).reshape(n_heads, n_queries, n_keys)",
    ),
)


@exercise.mistake("heads last")
def _(n_heads, n_queries, n_keys):
    """The heads come last: the result is (H, T, S)."""
    return alibi_bias(n_heads, n_queries, n_keys).movedim(0, -1)
