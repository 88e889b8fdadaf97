"""Queries, keys and values

Turn each token into a query, a key and a value.

Hint: Each token is a row of x. Which product turns a row of D numbers into a row of K numbers with a (D, K)
matrix?

Hint: A row times a matrix is `row @ matrix`, and `x @ w_q` does it for all rows at once. Three times, three
matrices.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=5, section="Queries, keys and values", results=("q", "k", "v"))


@exercise.solution
def project(x, w_q, w_k, w_v):
    """Project every token three times.

    Args:
        x: (..., T, D), one token per row.
        w_q, w_k, w_v: (D, K).
    Returns: q, k, v, each (..., T, K).
    """
    ### BEGIN SOLUTION
    return x @ w_q, x @ w_k, x @ w_v
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, d, k):
        return {"x": draw(rng, *batch, t, d), **{name: draw(rng, d, k) for name in ("w_q", "w_k", "w_v")}}

    return [
        Case("two tokens, each vector gets longer", inputs((), 2, 3, 5)),
        Case("as many tokens as dimensions", inputs((), 3, 3, 3), catches="W on the wrong side"),
        Case("a batch", inputs((2,), *primes(rng, 7, 11, 13)), catches="an answer for two axes"),
        Case("one token of one number", inputs((), 1, 1, 1), catches="axes of one lost"),
    ]


@exercise.mistake("W on the wrong side")
def _(x, w_q, w_k, w_v):
    return x @ w_q.T, x @ w_k.T, x @ w_v.T


@exercise.mistake("W x instead of x W")
def _(x, w_q, w_k, w_v):
    """This is w @ x: it fails unless the sizes happen to fit. A token is a row of x, and a row times a matrix
    is x @ w.
    """
    return w_q @ x, w_k @ x, w_v @ x


@exercise.mistake("one matrix for all three")
def _(x, w_q, w_k, w_v):
    """All three are made with w_q: each of q, k and v has a matrix of its own."""
    return x @ w_q, x @ w_q, x @ w_q


@exercise.mistake("keys made with w_q")
def _(x, w_q, w_k, w_v):
    """The keys are made with w_q, like the queries: they have a matrix of their own, w_k."""
    return x @ w_q, x @ w_q, x @ w_v


@exercise.mistake("values made with w_k")
def _(x, w_q, w_k, w_v):
    """The values are made with w_k, like the keys: they have a matrix of their own, w_v."""
    return x @ w_q, x @ w_k, x @ w_k


@exercise.mistake("keys and values swapped")
def _(x, w_q, w_k, w_v):
    """The keys are where the values should be: return q, k, v in this order."""
    return x @ w_q, x @ w_v, x @ w_k


@exercise.mistake("queries and keys swapped")
def _(x, w_q, w_k, w_v):
    """The keys are where the queries should be: return q, k, v in this order."""
    return x @ w_k, x @ w_q, x @ w_v


@exercise.mistake("a chain of projections")
def _(x, w_q, w_k, w_v):
    """Here k is made from q, and v from k: all three are made from x."""
    return x @ w_q, x @ w_q @ w_k, x @ w_q @ w_k @ w_v


@exercise.mistake("values not projected")
def _(x, w_q, w_k, w_v):
    """Your values are the tokens themselves: they too go through their matrix, w_v."""
    return x @ w_q, x @ w_k, x


@exercise.mistake("x transposed")
def _(x, w_q, w_k, w_v):
    """x was transposed, and fits no longer unless the sizes happen to: its rows are tokens, as they come."""
    return x.mT @ w_q, x.mT @ w_k, x.mT @ w_v


@exercise.mistake("tokens in columns")
def _(x, w_q, w_k, w_v):
    """The result is transposed: one row per token, as in x."""
    return (x @ w_q).mT, (x @ w_k).mT, (x @ w_v).mT


@exercise.mistake("a bias of one")
def _(x, w_q, w_k, w_v):
    """Every number is too large by 1: the projection is x W and nothing else."""
    return x @ w_q + 1, x @ w_k + 1, x @ w_v + 1
