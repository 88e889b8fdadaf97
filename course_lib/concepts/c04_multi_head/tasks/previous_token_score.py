"""A score for one kind of head

How much does each head look at the token before? You get the attention weights of one text for every layer
and head, (L, H, T, T): rows are queries, columns are keys. Return (L, H): for each head the mean weight
that a query gives to the token just before it. The first token has none before it, so it does not count.

Hint: Which key does query t look at? It is the weight `weights[..., t, t - 1]`, for t from 1 on.

Hint: These weights lie on a diagonal: `weights.diagonal(offset=-1, dim1=-2, dim2=-1)`.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=8, section="What heads look at")


@exercise.solution
def previous_token_score(weights):
    """How much each head looks at the token before.

    Args:
        weights: (L, H, T, T), attention weights of one text: queries in rows, keys in columns.
    Returns: (L, H), the mean weight of a query, from the second one on, on the token just before it.
    """
    ### BEGIN SOLUTION
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)
    ### END SOLUTION


def random_weights(rng, n_layers, n_heads, n_tokens, causal=False):
    """Attention weights (L, H, T, T), each row of them with a sum of 1."""
    powers = np.exp(1.5 * rng.standard_normal((n_layers, n_heads, n_tokens, n_tokens)))
    if causal:
        powers = np.tril(powers)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


@exercise.cases
def _(rng):
    def inputs(*sizes, causal=False):
        return {"weights": random_weights(rng, *sizes, causal=causal)}

    return in_torch(
        [
            Case("one head, three tokens", inputs(1, 1, 3, causal=True)),
            Case("some of all", inputs(*primes(rng, 3, 5, 7)), catches="heads before layers"),
            Case("two tokens", inputs(1, 1, 2), catches="an axis of one lost"),
        ]
    )


# ------------------------------------------------------------------------------------- which weights they are

exercise.changed(
    "the next token",
    "These are the weights of the token after it: rows are queries, so it is `weights[..., t, t - 1]`.",
    ("offset=-1", "offset=1"),
)
exercise.changed(
    "the token itself",
    "These are the weights that tokens give to themselves: the token before is one column to the left.",
    ("offset=-1", "offset=0"),
)
exercise.changed(
    "two tokens before",
    "These are the weights of the token two places before: one place is asked for.",
    ("offset=-1", "offset=-2"),
)

# --------------------------------------------------------------------------------------- what is made of them

exercise.changed(
    "the first row counts",
    "The sum was divided by the number of all tokens: the first one has none before it, so divide by T - 1.",
    (".mean(-1)", ".sum(-1) / weights.shape[-1]"),
)
exercise.changed("the sum", "This is the sum of the weights: take their mean.", (".mean(-1)", ".sum(-1)"))
exercise.changed(
    "the largest", "This is the largest of the weights: take their mean.", (".mean(-1)", ".amax(-1)")
)


@exercise.mistake("how often it is the largest")
def _(weights):
    """This is how often the token before gets the largest weight: take the mean of its weights."""
    before = torch.arange(weights.shape[-1] - 1)
    return (weights[..., 1:, :].argmax(-1) == before).to(weights.dtype).mean(-1)


exercise.changed(
    "one number for each layer",
    "The heads of a layer were averaged: each head has a score of its own.",
    (".mean(-1)", ".mean(-1).mean(-1)"),
)
exercise.changed(
    "one number for each head",
    "The layers were averaged: a head of one layer has nothing to do with that of another.",
    (".mean(-1)", ".mean(-1).mean(0)"),
)
exercise.changed(
    "a score for each token",
    "There is one number for each query: take the mean over them.",
    (".mean(-1)", ""),
)

# ----------------------------------------------------------------------------------------------- other places


@exercise.mistake("the first token")
def _(weights):
    """These are the weights of the very first token: the one just before each query is asked for."""
    return weights[..., 1:, 0].mean(-1)


exercise.changed(
    "the second token does not count",
    "The second token was left out: only the first has none before it.",
    (".mean(-1)", "[..., 1:].mean(-1)"),
)


@exercise.mistake("all that came before")
def _(weights):
    """These are the weights of all earlier tokens together: only the one just before is asked for."""
    return weights[..., 1:, :].tril().sum(-1).mean(-1)


exercise.changed(
    "layers and heads instead of queries and keys",
    "The diagonal was taken over layers and heads: without `dim1` and `dim2` it is that of the first two "
    "axes.",
    ("offset=-1, dim1=-2, dim2=-1", "offset=-1"),
)
exercise.changed(
    "heads before layers",
    "Layers and heads are exchanged: the result is (L, H).",
    (".mean(-1)", ".mean(-1).mT"),
)
