"""Split a width into heads

Each head works on its own piece of every vector. Of H heads the first gets the first D / H numbers of each
token, the second gets the next ones, and so on. In the result the heads come before the tokens, because
then each head is a table, one row for each token, on which attention can work: from (B, T, D) to (B, H, T,
K), with K = D / H.

Hint: First give each vector two axes instead of one: `x.reshape(B, T, H, K)`. Which two axes have to be
exchanged?

Hint: `x.unflatten(-1, (H, K))` does the same without B and T; `.transpose(1, 2)` exchanges tokens and
heads.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=6, section="Split, attend, join", tensor=True)


@exercise.solution
def split_heads(x, n_heads):
    """Give each head its own piece of every vector.

    Args:
        x: (B, T, D); n_heads divides D.
        n_heads: H.
    Returns: (B, H, T, K), K = D / H.
    """
    ### BEGIN SOLUTION
    n_rows, n_tokens, width = x.shape
    return x.reshape(n_rows, n_tokens, n_heads, width // n_heads).transpose(1, 2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, t, h, k):
        return {"x": all_different(rng, b, t, h * k), "n_heads": h}

    k, *sizes = primes(rng, 3, 5, 7)
    h, t = sorted(sizes)  # fewer heads than tokens, which cannot be shared out among them
    return in_torch(
        [
            Case("three tokens, two heads of two numbers", inputs(1, 3, 2, 2)),
            Case("everything square", inputs(3, 3, 3, 3), catches="tokens shared out"),
            Case("two sequences", inputs(2, t, h, k), gradients=True, catches="no graph"),
            Case("one head", inputs(2, 5, 1, 3), catches="no axis for one head"),
            Case("heads of one number", inputs(2, 3, 5, 1), catches="no axis for one number"),
            Case("one token", inputs(2, 1, 3, 5), catches="no axis for one token"),
        ]
    )


@exercise.mistake("a bare reshape")
def bare_reshape(x, n_heads):
    """The numbers were only grouped as they lie in memory, so a head holds whole tokens or parts of several:
    cut the last axis in two, then move the heads.
    """
    return x.reshape(x.shape[0], n_heads, x.shape[1], x.shape[2] // n_heads)


@exercise.mistake("a bare reshape after exchanging the axes")
def _(x, n_heads):
    """Tokens and numbers were exchanged, and then grouped as they lie in memory: cut the last axis in two
    first, exchange afterwards.
    """
    return x.mT.reshape(x.shape[0], n_heads, x.shape[1], x.shape[2] // n_heads)


@exercise.mistake("interleaved heads")
def interleaved(x, n_heads):
    """Head h got the numbers h, h + H, h + 2 H and so on: it gets K neighbours, so the axis is cut into (H,
    K), not into (K, H).
    """
    return x.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


@exercise.mistake("heads after the tokens")
def heads_last(x, n_heads):
    """The tokens still come before the heads: exchange the two axes."""
    return x.unflatten(-1, (n_heads, -1))


@exercise.mistake("heads before the batch")
def _(x, n_heads):
    """The heads come before the sequences: the batch stays the first axis."""
    return split_heads(x, n_heads).transpose(0, 1)


@exercise.mistake("as many heads as numbers")
def _(x, n_heads):
    """`n_heads` was taken for the width of a head: there are n_heads heads, each of D / n_heads numbers."""
    return split_heads(x, x.shape[-1] // n_heads)


@exercise.mistake("tokens shared out")
def _(x, n_heads):
    """The tokens were shared out among the heads: each head gets all tokens, and of each a piece."""
    return x.unflatten(1, (n_heads, -1))


@exercise.mistake("everything for every head")
def _(x, n_heads):
    """Every head got whole vectors: each gets its own piece."""
    return x.unsqueeze(1).expand(-1, n_heads, -1, -1)


@exercise.mistake("tokens in columns")
def _(x, n_heads):
    """Each head is transposed: a token is a row of K numbers."""
    return split_heads(x, n_heads).mT


@exercise.mistake("heads joined with the batch")
def _(x, n_heads):
    """Heads and sequences share one axis: the result has four axes, (B, H, T, K)."""
    return split_heads(x, n_heads).flatten(0, 1)


@exercise.mistake("the last head first")
def _(x, n_heads):
    """The heads come in the wrong order: the first one gets the first numbers."""
    return split_heads(x, n_heads).flip(1)


@exercise.mistake("the first head only")
def _(x, n_heads):
    """Only the first head is there."""
    return split_heads(x, n_heads)[:, :1]
