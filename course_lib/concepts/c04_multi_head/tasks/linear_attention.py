"""Attention without a table

Give every query and every key positive features, phi(x) = elu(x) + 1, and let the weight of a pair be the
dot product phi(q) · phi(k), divided by the sum of these products over all keys. Such weights need no table:
the keys can be summed before any query comes. Let S be the sum of the K x V tables phi(k) v over all keys,
each number of phi(k) times each number of its value, and z the sum of all phi(k). Then a query mixes phi(q)
S / (phi(q) · z). Write it so that the work grows with the number of tokens, not with its square: the check
counts the numbers that torch's operations read and write for 256 and for 1,024 tokens, and follows the
gradients back through them. NumPy and a `torch.autograd.Function` of your own would hide the work, so leave
them out.

Hint: `F.elu(x) + 1`, for queries and keys. Then in `phi(q) @ phi(k).mT @ v` the second product can come
first.

Hint: `phi(k).mT @ v` is S, (..., K, V), however many tokens there are. `phi(k).sum(-2)` is z, (..., K).

Hint: The divisor of each query is `phi(q) @ z[..., None]`, (..., T, 1).
"""

import torch.nn.functional as F

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import as_double, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c04_multi_head.tasks.causal_linear_attention import (
    causal_linear_attention,
    enlarged,
    faint_inputs,
    mixing_inputs,
    phi,
)
from course_lib.concepts.c04_multi_head.work import LONG, in_linear_time

exercise = Exercise(
    level=3,
    minutes=15,
    section="The third way: keep a summary",
    forbidden=("course_lib.mixers.linear_attention",),
    tensor=True,
    seconds=20.0,  # a loop over a thousand tokens, there and back
    on_trust="how its work grows",
)


@exercise.solution
def linear_attention(q, k, v):
    """Attention with features phi(x) = elu(x) + 1 in place of the softmax, its work linear in T and S.

    Args:
        q: (..., T, K).
        k: (..., S, K).
        v: (..., S, V).
    Returns: (..., T, V).
    """
    ### BEGIN SOLUTION
    q, k = F.elu(q) + 1, F.elu(k) + 1
    sums = k.mT @ v  # (..., K, V)
    total = q @ k.sum(-2)[..., None]  # (..., T, 1)
    return q @ sums / total
    ### END SOLUTION


exercise.adapt(in_linear_time)


@exercise.cases
def _(rng):
    large = enlarged(mixing_inputs(rng, (2, 3), *primes(rng, 3, 5, 7, 11)))
    one_query = mixing_inputs(rng, (), 1, 7, 3, 5)
    # In float64, because float32 leaves few digits of a gradient in which so many numbers nearly cancel.
    many = as_double(mixing_inputs(rng, (), LONG, LONG, 3, 2))
    return in_torch(
        [
            Case("two queries, three keys", mixing_inputs(rng, (), 2, 3, 2, 3)),
            Case("everything square", mixing_inputs(rng, (), 3, 3, 3, 3), catches="keys not turned"),
            Case("two sequences, three heads, large numbers", large, catches="along the first axis"),
            Case("small features", faint_inputs(rng, 5, 7, 3, 2), catches="eps in the divisor"),
            Case("many tokens", many, gradients=True, catches="a table of all pairs"),
            Case("one query", one_query, catches="no axis for one query"),
        ]
    )


# ----------------------------------------------------------------------------------------------- the features

exercise.changed(
    "not normalised",
    "The divisor is missing: divide the mix of each query by phi(q) · z, so that its weights sum to 1.",
    (" / total", ""),
)


@exercise.mistake("softmax")
def _(q, k, v):
    """This is ordinary attention with a softmax: here the weights are products of features."""
    return scaled_dot_product_attention(q, k, v)


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

# ------------------------------------------------------------------------------------------------ the divisor


@exercise.mistake("normalised over the queries")
def _(q, k, v):
    """The sum runs over the queries: divide by phi(q) times the sum of phi(k) over the keys."""
    weights = phi(q) @ phi(k).mT
    return weights / weights.sum(-2, keepdim=True) @ v


exercise.changed(
    "eps in the divisor",
    "A little was added to what is divided by, such as 1e-6: the features are above 0, so their sum is, too. "
    "And where they are small, it is not a little.",
    ("/ total", "/ (total + 1e-6)"),
)
exercise.changed(
    "along the first axis",
    "z was summed along the first axis, which is the batch where there is one: the keys are axis -2.",
    ("k.sum(-2)", "k.sum(0)"),
)
exercise.changed(
    "z as a mean",
    "z is the mean of the features of the keys, while S is a sum: both are sums.",
    ("k.sum(-2)", "k.mean(-2)"),
)
exercise.changed(
    "divided by the number of keys",
    "The mix was divided by the number of keys: divide by phi(q) · z, the sum of the weights.",
    ("/ total", "/ k.shape[-2]"),
)
exercise.changed(
    "divided by the query alone",
    "The mix was divided by the sum of phi(q): divide by phi(q) · z, in which z is the sum of phi(k) over "
    "the keys.",
    ("/ total", "/ q.sum(-1, keepdim=True)"),
)

# -------------------------------------------------------------------------------------- who asks, who answers

exercise.changed(
    "scaled",
    "The queries were divided by the square root of K first: here nothing is scaled.",
    ("F.elu(q) + 1", "F.elu(q / q.shape[-1] ** 0.5) + 1"),
)


exercise.changed(
    "keys not turned",
    "This is phi(k) @ v, which fails unless the sizes happen to fit: S is phi(k) turned, (K, S), times v.",
    ("k.mT @ v", "k @ v"),
)


@exercise.mistake("softmax of the products")
def _(q, k, v):
    """The products of features went through a softmax: they are the weights, once divided by their sum. And a
    softmax needs all of them at once, a table.
    """
    return (phi(q) @ phi(k).mT).softmax(-1) @ v


@exercise.mistake("causal")
def _(q, k, v):
    """Each query sees only the keys up to its own place: here it sees all."""
    return causal_linear_attention(q, k, v)


@exercise.mistake("keys ask the queries")
def _(q, k, v):
    return linear_attention(k, q, v)


@exercise.mistake("mixes the keys")
def _(q, k, v):
    return linear_attention(q, k, k)
