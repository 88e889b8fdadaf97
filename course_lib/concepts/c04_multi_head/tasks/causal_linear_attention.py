"""The same, without looking ahead

The same, for a model that writes: query t uses only the keys s <= t, its own among them, in S as well as in
z. There are as many queries as keys. Both sums grow by one term from token to token, so the work still
grows with the number of tokens, not with its square; the check counts as before. A loop over the tokens is
a right answer.

Hint: A loop: for each token add phi(k) v to S and phi(k) to z, then ask both with phi(q).

Hint: Without a loop: `.cumsum` makes running sums of all tokens at once. What is summed, and along which
axis?

Hint: `(phi(k)[..., :, None] * v[..., None, :]).cumsum(-3)` has S for each token, (..., T, K, V), and
`phi(k).cumsum(-2)` has z.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import as_double, draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c04_multi_head.work import LONG, in_linear_time

exercise = Exercise(
    level=3,
    minutes=20,
    section="The third way: keep a summary",
    forbidden=("course_lib.mixers.linear_attention",),
    tensor=True,
    seconds=20.0,  # a loop over a thousand tokens, there and back
    on_trust="how its work grows",
)


@exercise.solution
def causal_linear_attention(q, k, v):
    """As `linear_attention`, but query t uses the keys up to its own place only.

    Args:
        q, k: (..., T, K).
        v: (..., T, V).
    Returns: (..., T, V).
    """
    ### BEGIN SOLUTION
    q, k = F.elu(q) + 1, F.elu(k) + 1
    sums = (k[..., :, None] * v[..., None, :]).cumsum(-3)  # (..., T, K, V): S for each query
    total = (q * k.cumsum(-2)).sum(-1, keepdim=True)  # (..., T, 1)
    return (q[..., None, :] @ sums).squeeze(-2) / total
    ### END SOLUTION


exercise.adapt(in_linear_time)


def phi(x):
    return F.elu(x) + 1


def as_it_is(x):
    return x


def one_inside(x):
    return F.elu(x + 1)


# Features of queries and of keys that mistakes use, and with which a total may come out near 0.
SIGNED = [(as_it_is, as_it_is), (as_it_is, phi), (phi, as_it_is), (F.elu, F.elu), (one_inside, one_inside)]


def clear_of_zero(q, k, sums):
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


def mixing_inputs(rng, batch, t, s, k, d, causal=False):
    """Queries, keys and values with which no mistake divides by nearly 0.

    And no number is 0: there elu bends, and answers that put it together from two halves have another
    gradient.
    """

    def sums(features):
        return features.cumsum(-2) if causal else features.sum(-2, keepdim=True)

    while True:
        # Of many queries with negative numbers some total is always near 0.
        low = -0.7 if t * math.prod(batch) < 12 else 0.1
        q, key = (rng.uniform(low, 2, (*batch, n, k)).round(2).astype(np.float32) for n in (t, s))
        if q.all() and key.all() and clear_of_zero(q, key, sums):
            return {"q": q, "k": key, "v": draw(rng, *batch, s, d)}


def faint_inputs(rng, t, s, k, d):
    """Queries and keys far below 0: their features are so small that 1e-6 more shows in a sum of products."""
    q, key = (rng.uniform(-7, -6, (n, k)).round(2).astype(np.float32) for n in (t, s))
    return {"q": q, "k": key, "v": draw(rng, s, d)}


def enlarged(inputs):
    """The same with features so large that a little more is nothing, even in float64: some fear a sum of 0.

    None is negative: of a large negative number the feature is 0, or nearly, depending on how it is written.
    """
    return {name: x if name == "v" else 100 * abs(x) for name, x in inputs.items()}


@exercise.cases
def _(rng):
    def inputs(batch, t, k, d):
        return mixing_inputs(rng, batch, t, t, k, d, causal=True)

    large = enlarged(inputs((2, 3), *primes(rng, 5, 7, 11)))
    many = as_double(inputs((), LONG, 3, 2))  # as in `linear_attention`
    return in_torch(
        [
            Case("two tokens", inputs((), 2, 3, 2)),
            Case("everything square", inputs((), 3, 3, 3), catches="S turned"),
            Case("two sequences, three heads, large numbers", large, catches="along the first axis"),
            Case("small features", faint_inputs(rng, 5, 5, 3, 2), catches="eps in the divisor"),
            Case("many tokens", many, gradients=True, catches="a table of all pairs"),
            Case("one token", inputs((), 1, 3, 5), catches="an axis of one lost"),
        ]
    )


# -------------------------------------------------------------------------------------- which keys are summed

exercise.changed(
    "sees everything",
    "Every query sees all keys: it may use those up to its own place.",
    (".cumsum(-3)", ".sum(-3, keepdim=True)"),
    ("k.cumsum(-2)", "k.sum(-2, keepdim=True)"),
)
exercise.changed(
    "all keys in the divisor",
    "The mix uses the keys up to the query's place, but the divisor sums over all: both stop at s = t.",
    ("k.cumsum(-2)", "k.sum(-2, keepdim=True)"),
)
exercise.changed(
    "all keys in the mix",
    "The divisor uses the keys up to the query's place, but the mix sums over all: both stop at s = t.",
    (".cumsum(-3)", ".sum(-3, keepdim=True)"),
)
exercise.changed(
    "blind to itself",
    "Each query sees only what came before it: it uses its own key too.",
    (".cumsum(-3)", ".cumsum(-3) - k[..., :, None] * v[..., None, :]"),
    ("k.cumsum(-2)", "(k.cumsum(-2) - k)"),
)


def following(x):
    """What belongs to the next token."""
    return F.pad(x[..., 1:, :], (0, 0, 0, 1))


exercise.changed(
    "one step ahead",
    "Each query sees the next key too: it uses those up to its own place.",
    (".cumsum(-3)", ".cumsum(-3) + following(k)[..., :, None] * following(v)[..., None, :]"),
    ("k.cumsum(-2)", "(k.cumsum(-2) + following(k))"),
)
exercise.changed(
    "summed from the end",
    "The sums run from the last token backwards: each query sees itself and what comes after.",
    (".cumsum(-3)", ".flip(-3).cumsum(-3).flip(-3)"),
    ("k.cumsum(-2)", "k.flip(-2).cumsum(-2).flip(-2)"),
)
exercise.changed(
    "summed twice",
    "The sums were summed up once more: S and z grow by one term from token to token.",
    (".cumsum(-3)", ".cumsum(-3).cumsum(-3)"),
    ("k.cumsum(-2)", "k.cumsum(-2).cumsum(-2)"),
)
exercise.changed(
    "along the numbers of a key",
    "The sums run over the numbers of a key: they run over the tokens, one axis further to the left.",
    (".cumsum(-3)", ".cumsum(-2)"),
    ("k.cumsum(-2)", "k.cumsum(-1)"),
)
exercise.changed(
    "along the first axis",
    "The sums run along the first axis, which is the batch where there is one: count the axis from the end.",
    (".cumsum(-3)", ".cumsum(0)"),
    ("k.cumsum(-2)", "k.cumsum(0)"),
)

# --------------------------------------------------------------------------------- features, divisor, values

exercise.changed(
    "not normalised",
    "The divisor is missing: divide the mix of each query by phi(q) · z, so that its weights sum to 1.",
    (" / total", ""),
)


exercise.changed(
    "eps in the divisor",
    "A little was added to what is divided by, such as 1e-6: the features are above 0, so their sum is, too. "
    "And where they are small, it is not a little.",
    ("/ total", "/ (total + 1e-6)"),
)
exercise.changed(
    "S turned",
    "Each number of a value was multiplied by all of phi(k), which gives (V, K): S is (K, V), so that phi(q) "
    "S is as wide as a value.",
    ("k[..., :, None] * v[..., None, :]", "v[..., :, None] * k[..., None, :]"),
)


@exercise.mistake("only the values summed")
def _(q, k, v):
    """Running sums were made of the values, and then S of all keys: S grows by phi(k) v, key and value of one
    token.
    """
    q, k = phi(q), phi(k)
    return q @ (k.mT @ v.cumsum(-2)) / (q * k.cumsum(-2)).sum(-1, keepdim=True)


@exercise.mistake("softmax")
def _(q, k, v):
    """This is ordinary causal attention with a softmax: here the weights are products of features."""
    return scaled_dot_product_attention(q, k, v, causal=True)


exercise.changed(
    "no features",
    "phi is missing: with raw queries and keys a weight may be negative and a sum 0.",
    ("F.elu(q) + 1, F.elu(k) + 1", "q, k"),
)
exercise.changed(
    "features of the queries only",
    "Only the queries have features: phi(k) is needed too.",
    ("F.elu(k) + 1", "k"),
)
exercise.changed(
    "features of the keys only",
    "Only the keys have features: phi(q) is needed too.",
    ("F.elu(q) + 1", "q"),
)
exercise.changed(
    "elu without 1",
    "The 1 is missing: elu alone goes down to -1, and a weight may be negative.",
    ("F.elu(q) + 1, F.elu(k) + 1", "F.elu(q), F.elu(k)"),
)
exercise.changed(
    "the 1 inside",
    "This is elu(x + 1): the 1 is added after elu, so that every feature is positive.",
    ("F.elu(q) + 1, F.elu(k) + 1", "F.elu(q + 1), F.elu(k + 1)"),
)
exercise.changed(
    "relu",
    "These are features by relu, which is 0 for everything negative: phi(x) = elu(x) + 1.",
    ("F.elu(q) + 1, F.elu(k) + 1", "q.relu(), k.relu()"),
)
exercise.changed(
    "exponentials",
    "These are features by exp: phi(x) = elu(x) + 1.",
    ("F.elu(q) + 1, F.elu(k) + 1", "q.exp(), k.exp()"),
)
exercise.changed(
    "scaled",
    "The queries were divided by the square root of K first: here nothing is scaled.",
    ("F.elu(q) + 1", "F.elu(q / q.shape[-1] ** 0.5) + 1"),
)
exercise.changed(
    "divided by the number of keys",
    "The mix was divided by the number of keys so far: divide by phi(q) · z, the sum of the weights.",
    ("/ total", "/ torch.arange(1, q.shape[-2] + 1)[:, None]"),
)


@exercise.mistake("mixes the keys")
def _(q, k, v):
    return causal_linear_attention(q, k, k)
