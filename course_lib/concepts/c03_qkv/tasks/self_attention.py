"""A self-attention layer

Build the layer. It holds three linear maps without bias, named `q_proj`, `k_proj` and `v_proj`; the check
loads weights into them by name.

Hint: Three `nn.Linear(d_model, d_head, bias=False)` in `__init__`; in `forward` project, then attend.

Hint: `course_lib.attention.scaled_dot_product_attention(q, k, v, mask, causal=...)` does the rest.

Hint: Keep `causal` in `self` and hand it on; do not forget `super().__init__()`.
"""

import torch
from torch import nn

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, draw_mask, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.checks.modules import answer_of
from course_lib.concepts.c03_qkv.tasks.attention import filled, masked_late, over_queries

exercise = Exercise(
    level=4,
    minutes=25,
    section="Self and cross",
    call="SelfAttention(d_model, d_head, causal)(x, mask)",
    tensor=True,
)


@exercise.solution
class SelfAttention(nn.Module):
    """One head of self-attention: every token reads the sequence that it stands in.

    Args:
        d_model: numbers in a token.
        d_head: numbers in a query, key and value.
        causal: a token sees itself and what came before it, no more.
    """

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        ### BEGIN SOLUTION
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)
        self.causal = causal
        ### END SOLUTION

    def forward(self, x, mask=None):
        """(..., T, d_model) to (..., T, d_head); mask: (T, T), boolean, True = may attend."""
        ### BEGIN SOLUTION
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)
        ### END SOLUTION


@exercise.adapt
def as_function(learner):
    """Build the learner's layer, put the case's weights in by name, call it.

    It is called with `before` first, or with another mask of the same shape: nothing of that may be left.
    """

    def layer(x, w_q, w_k, w_v, causal=False, mask=None, before=None):
        (d_head, d_model), switches = w_q.shape, [True] if causal else []
        module = learner(d_model, d_head, *switches)
        weights = {"q_proj.weight": w_q, "k_proj.weight": w_k, "v_proj.weight": w_v}
        if mask is not None and before is None:
            return answer_of(module, weights, (x, mask), (x, mask.roll(1, 0)))
        inputs = (x,) if mask is None else (x, mask)
        return answer_of(module, weights, inputs, () if before is None else (before,))

    return layer


@exercise.cases
def _(rng):
    def inputs(batch, t, d, k, causal=False, mask=None):
        weights = {name: draw(rng, k, d) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), **weights, "causal": causal, "mask": mask}

    t, d, k = primes(rng, 5, 7, 11)
    t, d = sorted((t, d))
    alone = draw_mask(rng, 3, 3)
    alone[1:] = [[False], [True]]  # the last one sees all: where each sees one key, no query matters
    quiet = inputs((), 3, 2, 5, mask=alone)
    quiet["w_v"] = quiet["w_v"].clip(-1, 1) / 2  # some divide by the smallest float: it must not overflow
    twice = {**inputs((), 5, 7, 3, causal=True), "before": draw(rng, 3, 7)}
    return in_torch(
        [
            Case("two tokens", inputs((), 2, 3, 5), gradients=True),
            Case("three tokens, square weights", inputs((), 3, 2, 2), catches="weights not turned"),
            Case(
                "causal, more tokens than d_model",
                inputs((), 5, 3, 2, causal=True),
                catches="a mask of d_model tokens",
            ),
            # So few that an answer that takes the pairs one by one is in time.
            Case("causal, many tokens", inputs((), 131, 5, 3, causal=True), catches="a mask of fixed size"),
            Case(
                "a token that may see nothing",
                quiet,
                gradients=True,
                catches="NaN taken out of the result, not of its gradients",
            ),
            Case(
                "causal, and a mask",
                inputs((2,), t, d, k, causal=True, mask=draw_mask(rng, t, t)),
                catches="allowed by one of the two",
            ),
            Case("three tokens, then five", twice, catches="keeps the mask of its first call"),
            Case("one token", inputs((1,), 1, 7, 3, causal=True), catches="an axis of one lost"),
        ]
    )


def earlier(x, shift=0):
    """Which tokens each token may see when nobody looks ahead."""
    return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(shift)


def both(mask, other):
    """Two masks in one: a key must be allowed by both. None allows everything."""
    if mask is None or other is None:
        return mask if other is None else other
    return mask & other


# --------------------------------------------------------------------------------------- scaling and softmax


def attending_by(function, *more):
    """The change after which this function attends; it gets both masks in one."""
    arguments = ", ".join(["q, k, v, both(mask, earlier(x) if self.causal else None)", *more])
    right = "scaled_dot_product_attention(q, k, v, mask, causal=self.causal)"
    return right, f"{function.__name__}({arguments})"


exercise.changed("no scaling", "", ("self.causal)", "self.causal, scale=1.0)"))
exercise.changed("divided by K", "", ("self.causal)", "self.causal, scale=1 / k.shape[-1])"))
exercise.changed(
    "scaled by d_model",
    "The scores are divided by the square root of d_model: it is d_head, the width of a key.",
    ("self.causal)", "self.causal, scale=x.shape[-1] ** -0.5)"),
)
exercise.changed("uniform weights", "", ("self.causal)", "self.causal, scale=0.0)"))
exercise.changed("softmax over the queries", "", attending_by(over_queries))

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
    "queries from k_proj",
    "The queries are made with k_proj and the keys with q_proj: it is the other way round.",
    ("self.q_proj(x), self.k_proj(x)", "self.k_proj(x), self.q_proj(x)"),
)
exercise.changed(
    "values from k_proj",
    "The keys were mixed: what is mixed are the values, made with v_proj.",
    ("self.v_proj(x)", "self.k_proj(x)"),
)
exercise.changed(
    "keys and values exchanged",
    "k_proj makes the values and v_proj the keys: it is the other way round.",
    ("self.k_proj(x), self.v_proj(x)", "self.v_proj(x), self.k_proj(x)"),
)
exercise.changed(
    "one projection for all three",
    "q_proj makes the keys and the values too: each needs a map of its own.",
    ("self.k_proj(x), self.v_proj(x)", "self.q_proj(x), self.q_proj(x)"),
)
exercise.changed(
    "values from q_proj",
    "The queries were mixed: what is mixed are the values, made with v_proj.",
    ("self.v_proj(x)", "self.q_proj(x)"),
)
exercise.changed(
    "queries not projected",
    "The queries are the tokens themselves: q_proj makes them.",
    ("self.q_proj(x)", "x"),
)
exercise.changed(
    "keys not projected", "The keys are the tokens themselves: k_proj makes them.", ("self.k_proj(x)", "x")
)
exercise.changed(
    "values not projected",
    "The tokens themselves were mixed: what is mixed are the values, made with v_proj.",
    ("self.v_proj(x)", "x"),
)
exercise.changed(
    "weights not turned",
    "A linear map holds its weights as (d_head, d_model), so `x @ weight` fails, or is wrong where both are "
    "the same: call the map, as in `self.q_proj(x)`.",
    (
        "self.q_proj(x), self.k_proj(x), self.v_proj(x)",
        "(x @ part.weight for part in (self.q_proj, self.k_proj, self.v_proj))",
    ),
)

# -------------------------------------------------------------------------------------------------- the masks

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
    ("mask, causal=self.causal", "both(mask, earlier(x).T if self.causal else None)"),
)
exercise.changed(
    "blind to itself",
    "With `causal=True` a token sees only what came before it: it may see itself too.",
    ("mask, causal=self.causal", "both(mask, earlier(x, -1) if self.causal else None)"),
)
exercise.changed(
    "one step ahead",
    "With `causal=True` a token still sees the next one.",
    ("mask, causal=self.causal", "both(mask, earlier(x, 1) if self.causal else None)"),
)
exercise.changed("mask ignored", "", ("v, mask, ", "v, "))
exercise.changed("mask upside down", "", ("v, mask, ", "v, None if mask is None else ~mask, "))
exercise.changed("mask transposed", "", ("v, mask, ", "v, None if mask is None else mask.T, "))
exercise.changed(
    "causal or mask, not both",
    "With both a mask and `causal=True`, only the mask is used: a key must be allowed by both.",
    ("causal=self.causal", "causal=self.causal and mask is None"),
)
exercise.changed(
    "causal instead of the mask",
    "With both a mask and `causal=True`, the mask is not used: a key must be allowed by both.",
    ("v, mask, ", "v, None if self.causal else mask, "),
)


@exercise.mistake("allowed by one of the two")
class EitherMask(SelfAttention):
    """With both a mask and `causal=True`, a key is seen that only one of them allows: both must (`&`, not
    `|`).
    """

    def forward(self, x, mask=None):
        if self.causal:
            mask = earlier(x) if mask is None else mask | earlier(x)
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


exercise.changed("masked after the softmax", "", attending_by(masked_late))
exercise.changed("NaN where nothing may be seen", "", attending_by(filled, "-torch.inf"))
exercise.changed("a uniform row where nothing may be seen", "", attending_by(filled, "-1e9"))
exercise.changed("forbidden scores set to zero", "", attending_by(filled, "0"))


@exercise.mistake("keeps the mask of its first call")
class FirstMask(SelfAttention):
    """The same layer is called with 3 tokens, then with more, and still uses the mask that it made for 3:
    make it for the tokens that come.
    """

    seen = None

    def forward(self, x, mask=None):
        if self.causal and self.seen is None:
            self.seen = earlier(x)
        mask = both(mask, self.seen)
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@exercise.mistake("a mask of fixed size")
class MaskOfFixedSize(SelfAttention):
    """The causal mask is a table of fixed size, and more tokens come than it has rows: make it for the tokens
    that come, x.shape[-2].
    """

    def forward(self, x, mask=None):
        n_tokens = x.shape[-2]
        if self.causal:
            mask = both(mask, torch.ones(64, 64, dtype=torch.bool).tril()[:n_tokens, :n_tokens])
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@exercise.mistake("a mask of d_model tokens")
class MaskOfWidth(SelfAttention):
    """The causal mask is made for as many tokens as d_model: that is the width of a token. The number of
    tokens is x.shape[-2].
    """

    def forward(self, x, mask=None):
        n_tokens, d_model = x.shape[-2:]
        if self.causal:
            seen = torch.ones(d_model, d_model, dtype=torch.bool).tril()
            mask = both(mask, seen[:n_tokens, :n_tokens])
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)
