"""Cross-attention

The tokens of `x` read another sequence, `context`. Use `scaled_dot_product_attention`.

Hint: Who asks, and who is read? The one that asks gives the queries.

Hint: One query per token of x; one key and one value per token of the context. Then attention as ever.
"""

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="Self and cross", tensor=True)


@exercise.solution
def cross_attention(x, context, w_q, w_k, w_v):
    """The tokens of x ask, the tokens of the context answer.

    Args:
        x: (..., T, D).
        context: (..., S, D).
        w_q, w_k, w_v: (D, K).
    Returns: (..., T, K), one vector per token of x.
    """
    ### BEGIN SOLUTION
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, s, d, k):
        weights = {name: draw(rng, d, k) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), "context": draw(rng, *batch, s, d), **weights}

    # The context is longer: with another length than x's, what is taken from x by mistake mostly fails.
    t, s, d, k = primes(rng, 5, 7, 11, 13)
    batch = inputs((2,), min(t, s), max(t, s), d, k)
    return in_torch(
        [
            Case("two tokens read three", inputs((), 2, 3, 5, 2)),
            Case(
                "both sequences equally long", inputs((), 3, 3, 2, 5), gradients=True, catches="values from x"
            ),
            Case("square weights", inputs((), 5, 3, 2, 2), catches="W on the wrong side"),
            Case("a batch", batch, gradients=True, catches="an answer for two axes"),
            Case("a context of one token", inputs((), 3, 1, 5, 2), catches="an axis of one lost"),
        ]
    )


# --------------------------------------------------------------------------------------------- who reads whom


@exercise.mistake("the context asks")
def _(x, context, w_q, w_k, w_v):
    """The queries come from the context: it is x that asks, and the context that is read."""
    return cross_attention(context, x, w_q, w_k, w_v)


@exercise.mistake("self-attention")
def _(x, context, w_q, w_k, w_v):
    """The context is not used: x reads itself."""
    return cross_attention(x, x, w_q, w_k, w_v)


@exercise.mistake("the context reads itself")
def _(x, context, w_q, w_k, w_v):
    """x is not used: the context reads itself."""
    return cross_attention(context, context, w_q, w_k, w_v)


exercise.changed(
    "values from x",
    "The values are made from x: keys and values both come from the context.",
    ("context @ w_v", "x @ w_v"),
)
exercise.changed(
    "keys from x",
    "The keys are made from x: keys and values both come from the context.",
    ("context @ w_k", "x @ w_k"),
)

# ------------------------------------------------------------------------------------------------ the weights


@exercise.mistake("key and value weights exchanged")
def _(x, context, w_q, w_k, w_v):
    """w_k makes the values and w_v the keys: it is the other way round."""
    return cross_attention(x, context, w_q, w_v, w_k)


@exercise.mistake("query and key weights exchanged")
def _(x, context, w_q, w_k, w_v):
    """w_q makes the keys and w_k the queries: it is the other way round."""
    return cross_attention(x, context, w_k, w_q, w_v)


exercise.changed(
    "keys made with w_q",
    "The keys are made with w_q, like the queries: they have a matrix of their own, w_k.",
    ("context @ w_k", "context @ w_q"),
)
exercise.changed(
    "values made with w_k",
    "The values are made with w_k, like the keys: they have a matrix of their own, w_v.",
    ("context @ w_v", "context @ w_k"),
)
exercise.changed(
    "queries not projected",
    "The queries are the tokens of x themselves: they too go through a matrix, w_q.",
    ("x @ w_q", "x"),
)
exercise.changed(
    "keys not projected",
    "The keys are the tokens of the context themselves: they too go through a matrix, w_k.",
    ("context @ w_k", "context"),
)
exercise.changed(
    "values not projected",
    "The tokens of the context themselves were mixed: they go through w_v first.",
    ("context @ w_v", "context"),
)


@exercise.mistake("W on the wrong side")
def _(x, context, w_q, w_k, w_v):
    return cross_attention(x, context, w_q.T, w_k.T, w_v.T)


# ------------------------------------------------------------------------------------------- how they attend

exercise.changed("no scaling", "", ("context @ w_v)", "context @ w_v, scale=1.0)"))
exercise.changed("divided by K", "", ("context @ w_v)", "context @ w_v, scale=1 / w_q.shape[1])"))
exercise.changed(
    "scaled by the width of a token",
    "The scores are divided by the square root of D, the width of a token: it is K, the width of a key.",
    ("context @ w_v)", "context @ w_v, scale=w_q.shape[0] ** -0.5)"),
)
exercise.changed("uniform weights", "", ("context @ w_v)", "context @ w_v, scale=0.0)"))


@exercise.mistake("softmax over the queries")
def _(x, context, w_q, w_k, w_v):
    scores = x @ w_q @ (context @ w_k).mT / w_q.shape[1] ** 0.5
    return scores.softmax(-2) @ (context @ w_v)
