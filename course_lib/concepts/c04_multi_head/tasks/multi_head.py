"""Multi-head attention as a module

Build the layer from your parts. It holds four linear maps from D to D numbers without bias, named `q_proj`,
`k_proj`, `v_proj` and `out_proj`; the check loads weights into them by name. Project, split, let each head
attend by itself with `scaled_dot_product_attention`, join, and let `out_proj` mix what the heads found.

Hint: Four `nn.Linear(d_model, d_model, bias=False)` in `__init__`; keep `n_heads` and `causal` in `self`.

Hint: `split_heads` three times: of the queries, the keys and the values. `scaled_dot_product_attention`
takes all heads at once, because it works on the last two axes.

Hint: `scaled_dot_product_attention(q, k, v, causal=self.causal)`, then `join_heads`, then `self.out_proj`.
"""

import math

import torch
from torch import nn

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.checks.modules import answer_of
from course_lib.concepts.c04_multi_head.tasks.join_heads import (
    join_heads,
    joined_interleaved,
    without_exchange,
)
from course_lib.concepts.c04_multi_head.tasks.split_heads import (
    bare_reshape,
    heads_last,
    interleaved,
    split_heads,
)

exercise = Exercise(
    level=4,
    minutes=25,
    section="Split, attend, join",
    call="MultiHead(d_model, n_heads, causal)(x)",
    forbidden=(
        "torch.nn.functional.multi_head_attention_forward",
        "course_lib.attention.MultiHeadAttention.forward",
    ),
    tensor=True,
    seconds=20.0,  # a mask of a thousand tokens may be made pair by pair
)


@exercise.solution
class MultiHead(nn.Module):
    """Self-attention with several heads.

    Args:
        d_model: D, numbers in a token; n_heads divides it.
        n_heads: H.
        causal: a token sees itself and what came before it, no more.
    """

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        ### BEGIN SOLUTION
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.n_heads = n_heads
        self.causal = causal
        ### END SOLUTION

    def forward(self, x):
        """(B, T, D) to (B, T, D)."""
        ### BEGIN SOLUTION
        q = split_heads(self.q_proj(x), self.n_heads)
        k = split_heads(self.k_proj(x), self.n_heads)
        v = split_heads(self.v_proj(x), self.n_heads)
        mix = scaled_dot_product_attention(q, k, v, causal=self.causal)  # (B, H, T, K)
        return self.out_proj(join_heads(mix))
        ### END SOLUTION


@exercise.adapt
def as_function(learner):
    """Build the learner's layer, put the case's weights in by name, call it.

    It is called with `before` first, if there is any: nothing of that may be left.
    """

    def layer(x, w_q, w_k, w_v, w_o, n_heads, causal=False, before=None):
        module = learner(x.shape[-1], n_heads, *([True] if causal else []))
        matrices = {"q_proj": w_q, "k_proj": w_k, "v_proj": w_v, "out_proj": w_o}
        weights = {f"{name}.weight": matrix for name, matrix in matrices.items()}
        return answer_of(module, weights, (x,), () if before is None else (before,))

    return layer


@exercise.cases
def _(rng):
    def inputs(b, t, h, k, causal=False):
        d = h * k
        weights = {name: draw(rng, d, d, size=1.5 / math.sqrt(d)) for name in ("w_q", "w_k", "w_v", "w_o")}
        return {"x": draw(rng, b, t, d), **weights, "n_heads": h, "causal": causal}

    twice = {**inputs(1, 5, 3, 2, causal=True), "before": draw(rng, 1, 3, 6)}
    return in_torch(
        [
            Case("two tokens, two heads", inputs(1, 2, 2, 2), gradients=True),
            Case("two sequences", inputs(2, *primes(rng, 3, 5, 7)), catches="an answer for one sequence"),
            Case("causal", inputs(1, 7, 2, 3, causal=True), catches="a mask of d_model tokens"),
            # More than any table has that is made once: GPT-2 reads 1,024.
            Case("causal, many tokens", inputs(1, 1031, 2, 2, causal=True), catches="a mask of fixed size"),
            Case("three tokens, then five", twice, catches="keeps the mask of its first call"),
            Case("one head", inputs(1, 5, 1, 3), catches="no axis for one head"),
            Case("heads of one number", inputs(1, 3, 5, 1), catches="no axis for one number"),
            Case("one token", inputs(1, 1, 3, 5, causal=True), catches="no axis for one token"),
        ]
    )


# ------------------------------------------------------------------------------------------- how they attend

ATTEND = "scaled_dot_product_attention(q, k, v, causal=self.causal)"


def attend(q, k, v, causal, axis):
    """Attention written out, with a softmax over some axis."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(~earlier(q), torch.finfo(scores.dtype).min)
    return scores.softmax(axis) @ v


def earlier(x, shift=0):
    """Which tokens each token may see when nobody looks ahead."""
    return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(shift)


def masked_late(q, k, v, causal):
    """Attention written out, with weights set to 0 in place of a masked score."""
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights * earlier(q) if causal else weights) @ v


exercise.changed(
    "one head of the full width",
    "Nothing is split: one attention over the whole width. Each head compares its own piece.",
    ("self.n_heads = n_heads", "self.n_heads = 1"),
)
exercise.changed(
    "scaled by d_model",
    "The scores are divided by the square root of d_model: it is the width of a key of one head, d_model / "
    "n_heads, that counts.",
    ("self.causal)", "self.causal, scale=x.shape[-1] ** -0.5)"),
)
exercise.changed("no scaling", "", ("self.causal)", "self.causal, scale=1.0)"))
exercise.changed("divided by K", "", ("self.causal)", "self.causal, scale=1 / k.shape[-1])"))
exercise.changed(
    "scaled by the number of heads", "", ("self.causal)", "self.causal, scale=self.n_heads**-0.5)")
)
exercise.changed("uniform weights", "", ("self.causal)", "self.causal, scale=0.0)"))
exercise.changed("softmax over the queries", "", (ATTEND, "attend(q, k, v, self.causal, -2)"))
exercise.changed(
    "softmax over the heads",
    "The softmax runs over the heads, axis 1: it runs over the keys, the last axis.",
    (ATTEND, "attend(q, k, v, self.causal, 1)"),
)

exercise.changed("keys not turned", "", (ATTEND, "attend(q, k.mT, v, self.causal, -1)"))
exercise.changed("masked after the softmax", "", (ATTEND, "masked_late(q, k, v, self.causal)"))

# --------------------------------------------------------------------------------------------- split and join

exercise.changed(
    "without out_proj",
    "The heads are joined, but `out_proj` is missing.",
    ("self.out_proj(join_heads(mix))", "join_heads(mix)"),
)


def split_by(function):
    """The changes after which queries, keys and values are split by another function."""
    return [(f"{name} = split_heads(", f"{name} = {function.__name__}(") for name in "qkv"]


def joined_by(function):
    """The change after which the heads are joined by another function."""
    return "join_heads(mix)", f"{function.__name__}(mix)"


exercise.changed(
    "split by a bare reshape",
    "Splitting by a bare reshape mixes tokens and heads: cut the last axis in two, then exchange tokens and "
    "heads.",
    *split_by(bare_reshape),
)
exercise.changed(
    "joined by a bare reshape",
    "Joining by a bare reshape mixes heads and tokens: exchange the two axes first.",
    joined_by(without_exchange),
)
exercise.changed(
    "split and joined by a bare reshape",
    "Splitting and joining by a bare reshape lets parts of tokens attend to each other: exchange tokens and "
    "heads, before and after.",
    *split_by(bare_reshape),
    joined_by(without_exchange),
)
exercise.changed(
    "heads attend to each other",
    "The heads of a token attend to each other, and no token sees another one: the heads come before the "
    "tokens.",
    *split_by(heads_last),
    ("join_heads(mix)", "mix.flatten(2)"),
)
exercise.changed(
    "interleaved heads",
    "Head h works on the numbers h, h + H, h + 2 H: it gets K neighbours.",
    *split_by(interleaved),
    joined_by(joined_interleaved),
)

# -------------------------------------------------------------------------------------------- the causal mask

exercise.changed(
    "causal ignored",
    "`causal=True` changes nothing: a token must not see the ones after it.",
    ("self.causal = causal", "self.causal = False"),
)
exercise.changed(
    "always causal",
    "A token never sees the ones after it, even with `causal=False`.",
    ("self.causal = causal", "self.causal = True"),
)
exercise.changed(
    "looks ahead",
    "The causal mask is upside down: a token sees itself and what came before, not what comes after.",
    ("causal=self.causal)", "earlier(q).T if self.causal else None)"),
)
exercise.changed(
    "blind to itself",
    "With `causal=True` a token sees only what came before it: it may see itself too.",
    ("causal=self.causal)", "earlier(q, -1) if self.causal else None)"),
)
exercise.changed(
    "one step ahead",
    "With `causal=True` a token still sees the next one.",
    ("causal=self.causal)", "earlier(q, 1) if self.causal else None)"),
)

# -------------------------------------------------------------------------------------------- the projections

exercise.changed(
    "one projection for queries and keys",
    "The keys are made with q_proj, like the queries: they need k_proj, a map of their own.",
    ("self.k_proj(x)", "self.q_proj(x)"),
)
exercise.changed(
    "k_proj for queries and keys",
    "The queries are made with k_proj, like the keys: they need q_proj, a map of their own.",
    ("self.q_proj(x)", "self.k_proj(x)"),
)
exercise.changed(
    "one projection for all three",
    "q_proj makes the keys and the values too: each needs a map of its own.",
    ("self.k_proj(x)", "self.q_proj(x)"),
    ("self.v_proj(x)", "self.q_proj(x)"),
)
exercise.changed(
    "values from q_proj",
    "The queries were mixed: what is mixed are the values, made with v_proj.",
    ("self.v_proj(x)", "self.q_proj(x)"),
)
exercise.changed(
    "queries not projected",
    "The queries are pieces of the tokens themselves: q_proj comes before the split.",
    ("self.q_proj(x)", "x"),
)
exercise.changed(
    "keys not projected",
    "The keys are pieces of the tokens themselves: k_proj comes before the split.",
    ("self.k_proj(x)", "x"),
)
exercise.changed(
    "values not projected",
    "The values are pieces of the tokens themselves: v_proj comes before the split.",
    ("self.v_proj(x)", "x"),
)
exercise.changed(
    "nothing projected",
    "Queries, keys and values are pieces of the tokens themselves: q_proj, k_proj and v_proj come before the "
    "split.",
    ("self.q_proj(x)", "x"),
    ("self.k_proj(x)", "x"),
    ("self.v_proj(x)", "x"),
)
exercise.changed(
    "values from k_proj",
    "The keys were mixed: what is mixed are the values, made with v_proj.",
    ("self.v_proj(x)", "self.k_proj(x)"),
)
exercise.changed(
    "keys and values exchanged",
    "k_proj makes the values and v_proj the keys: it is the other way round.",
    ("dot_product_attention(q, k, v", "dot_product_attention(q, v, k"),
)
exercise.changed(
    "queries and keys exchanged",
    "k_proj makes the queries and q_proj the keys: it is the other way round.",
    ("dot_product_attention(q, k, v", "dot_product_attention(k, q, v"),
)


@exercise.mistake("keeps the mask of its first call")
class FirstMask(MultiHead):
    """The same layer is called with 3 tokens, then with more, and still uses the mask that it made for 3:
    make it for the tokens that come.
    """

    seen = None

    def forward(self, x):
        if self.causal and self.seen is None:
            self.seen = earlier(x)
        q, k, v = (split_heads(part(x), self.n_heads) for part in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(join_heads(scaled_dot_product_attention(q, k, v, self.seen)))


def with_table(layer, x, n_rows):
    """What the layer gives with a causal mask that is cut from a table of so many rows."""
    n_tokens = x.shape[1]
    seen = torch.ones(n_rows, n_rows, dtype=torch.bool).tril()[:n_tokens, :n_tokens]
    q, k, v = (split_heads(part(x), layer.n_heads) for part in (layer.q_proj, layer.k_proj, layer.v_proj))
    return layer.out_proj(join_heads(scaled_dot_product_attention(q, k, v, seen if layer.causal else None)))


@exercise.mistake("a mask of fixed size")
class MaskOfFixedSize(MultiHead):
    """The causal mask is a table of fixed size, and more tokens come than it has rows: make it for the tokens
    that come, x.shape[1].
    """

    def forward(self, x):
        return with_table(self, x, 64)


@exercise.mistake("a mask of d_model tokens")
class MaskOfWidth(MultiHead):
    """The causal mask is made for as many tokens as d_model: that is the width of a token. The number of
    tokens is x.shape[1].
    """

    def forward(self, x):
        return with_table(self, x, x.shape[2])
