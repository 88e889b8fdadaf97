"""The tasks of solutions/03_qkv/attention_in_torch.ipynb: attention, layers made of it, and a real model.

For each: the inputs, the reference, and the wrong functions that learners write, with the hint for each.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib import attention
from course_lib.checks.engine import Case, Property, Task, WrongForm, describe
from course_lib.checks.engine import Misconception as M
from course_lib.checks.inputs import (
    Rng,
    as_double,
    backwards,
    draw,
    draw_mask,
    in_torch,
    inside_the_values,
    primes,
)

# ------------------------------------------------------------------------------------------------------------
# attention in torch

Tensor = torch.Tensor


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return attention.scaled_dot_product_attention(q, k, v, mask, fused=False)


def _attend_with(
    *,
    scale: Callable[[Tensor, Tensor, Tensor], float] = lambda q, k, v: 1 / math.sqrt(q.shape[-1]),
    fill: float = -math.inf,
    axis: int = -1,
    flip: bool = False,
) -> Callable[..., Tensor]:
    """Attention with one thing changed; a fully masked row gives what plain torch gives."""

    def wrong(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = q @ k.mT * scale(q, k, v)
        if mask is not None:
            scores = scores.masked_fill(mask if flip else ~mask, fill)
        return torch.softmax(scores, axis) @ v

    return wrong


def _zeroed(wrong: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same, but with zeros instead of NaN, so that only the other mistake shows."""
    return lambda q, k, v, mask=None: torch.nan_to_num(wrong(q, k, v, mask))


def _late_mask(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    weights = attention.attention_weights(q, k)
    return (weights if mask is None else weights * mask) @ v


def _attention_cases(rng: Rng) -> list[Case]:
    def inputs(
        batch: tuple[int, ...], t: int, s: int, k: int, d: int, *, size: float = 1.0, mask: bool = True
    ) -> dict[str, np.ndarray]:
        made = {
            "q": draw(rng, *batch, t, k, size=size),
            "k": draw(rng, *batch, s, k, size=size),
            "v": draw(rng, *batch, s, d),
        }
        return {**made, "mask": draw_mask(rng, t, s)} if mask else made

    alone = inputs((), 3, 5, 2, 3)
    alone["mask"][1] = False
    transposed = inputs((), *primes(rng, 5, 7, 11, 13))
    return in_torch(
        [
            Case("two queries, three keys, no mask", inputs((), 2, 3, 5, 2, mask=False)),
            Case("everything square, no mask", inputs((), 3, 3, 3, 3, mask=False)),
            Case("a mask", inputs((), 2, 3, 2, 5), gradients=True),
            Case("a query that may see nothing", alone),
            Case(
                "two sequences, three heads, one mask",
                inputs((2, 3), *primes(rng, 5, 7, 11, 13)),
                gradients=True,
            ),
            Case("large scores", inputs((), *primes(rng, 3, 5, 7, 11), size=30.0)),
            Case("float64", as_double(inputs((2,), *primes(rng, 5, 7, 11, 13)))),
            Case("stored column by column", {name: backwards(x) for name, x in transposed.items()}),
            Case("one query, as when a model writes on", inputs((1, 3), 1, 11, 7, 5, mask=False)),
        ]
    )


def _attention_misconceptions() -> tuple[M, ...]:
    return (
        M(
            "no scaling",
            "This is what you get without dividing the scores by the square root of K.",
            _zeroed(_attend_with(scale=lambda q, k, v: 1.0)),
        ),
        M(
            "divided by K",
            "The scores are divided by K itself, not by its square root.",
            _zeroed(_attend_with(scale=lambda q, k, v: 1 / q.shape[-1])),
        ),
        M(
            "scaled by the number of keys",
            "The scores are divided by the square root of the number of keys: it is the width K that counts.",
            _zeroed(_attend_with(scale=lambda q, k, v: 1 / math.sqrt(k.shape[-2]))),
        ),
        M(
            "softmax over the queries",
            "This is what you get when the softmax runs over the queries: each column sums to 1, each row "
            "should.",
            _zeroed(_attend_with(axis=-2)),
        ),
        M(
            "mask upside down",
            "The mask is read the other way round: True means that the query may attend.",
            _zeroed(_attend_with(flip=True)),
        ),
        M(
            "mask ignored",
            "The mask is not used.",
            lambda q, k, v, mask=None: _attend(q, k, v),
        ),
        M(
            "masked after the softmax",
            "The softmax saw all keys, then some weights were set to 0: the rest no longer sums to 1. "
            "Mask the scores.",
            _late_mask,
        ),
        M(
            "NaN where nothing may be seen",
            "A query that may see nothing gets 0/0 = NaN: give it zeros.",
            _attend_with(),
        ),
        M(
            "a uniform row where nothing may be seen",
            "A large negative number instead of minus infinity: a query that may see nothing then looks "
            "at all keys.",
            _attend_with(fill=-1e9),
        ),
        M(
            "forbidden scores set to zero",
            "A score of 0 is not a weight of 0: exp(0) is 1. Minus infinity is the score that gets no "
            "weight.",
            _attend_with(fill=0.0),
        ),
        M(
            "mixes the keys",
            "The keys were mixed: the weights come from the keys, what is mixed are the values.",
            lambda q, k, v, mask=None: attention.attention_weights(q, k, mask) @ k,
        ),
    )


ATTENTION = Task(
    name="03_qkv/attention",
    title="Attention",
    level=3,
    minutes=20,
    section="Three ways to write it",
    call="attention(q, k, v) or attention(q, k, v, mask)",
    reference=_attend,
    cases=_attention_cases,
    misconceptions=_attention_misconceptions(),
    properties=(Property("inside the values", inside_the_values),),
    tensor=True,
    hints=(
        "Four steps: scores, mask, softmax, mix. Only the last two axes matter; `.mT` exchanges them.",
        "`scores.masked_fill(~mask, -math.inf)` forbids. Then look at the row in which everything is "
        "forbidden.",
        "`course_lib.attention.attention_weights` shows one way to get zeros there; `mask.any(-1, "
        "keepdim=True)` helps.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# cross-attention


def _cross(x: Tensor, context: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Tensor:
    return _attend(x @ w_q, context @ w_k, context @ w_v)


def _cross_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, d: int, k: int) -> dict[str, np.ndarray]:
        weights = {name: draw(rng, d, k) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), "context": draw(rng, *batch, s, d), **weights}

    transposed = inputs((), *primes(rng, 5, 7, 11, 13))
    return in_torch(
        [
            Case("two tokens read three", inputs((), 2, 3, 5, 2)),
            Case("both sequences equally long", inputs((), 3, 3, 2, 5), gradients=True),
            Case("square weights", inputs((), 5, 3, 2, 2)),
            Case("a batch", inputs((2,), *primes(rng, 5, 7, 11, 13)), gradients=True),
            Case("float64", as_double(inputs((), *primes(rng, 3, 5, 7, 11)))),
            Case("stored column by column", {name: backwards(value) for name, value in transposed.items()}),
            Case("a context of one token", inputs((), 3, 1, 5, 7)),
        ]
    )


CROSS = Task(
    name="03_qkv/cross_attention",
    title="Cross-attention",
    level=2,
    minutes=10,
    section="Self and cross",
    call="cross_attention(x, context, w_q, w_k, w_v)",
    reference=_cross,
    cases=_cross_cases,
    tensor=True,
    misconceptions=(
        M(
            "the context asks",
            "The queries come from the context: it is x that asks, and the context that is read.",
            lambda x, context, w_q, w_k, w_v: _cross(context, x, w_q, w_k, w_v),
        ),
        M(
            "self-attention",
            "The context is not used: x reads itself.",
            lambda x, context, w_q, w_k, w_v: _cross(x, x, w_q, w_k, w_v),
        ),
        M(
            "the context reads itself",
            "x is not used: the context reads itself.",
            lambda x, context, w_q, w_k, w_v: _cross(context, context, w_q, w_k, w_v),
        ),
        M(
            "values from x",
            "The values are made from x: keys and values both come from the context.",
            lambda x, context, w_q, w_k, w_v: _attend(x @ w_q, context @ w_k, x @ w_v),
        ),
        M(
            "keys from x",
            "The keys are made from x: keys and values both come from the context.",
            lambda x, context, w_q, w_k, w_v: _attend(x @ w_q, x @ w_k, context @ w_v),
        ),
        M(
            "key and value weights exchanged",
            "w_k makes the values and w_v the keys: it is the other way round.",
            lambda x, context, w_q, w_k, w_v: _cross(x, context, w_q, w_v, w_k),
        ),
        M(
            "W on the wrong side",
            "This is what you get with the weights the other way round: tokens are rows here, so it is x W.",
            lambda x, context, w_q, w_k, w_v: _cross(x, context, w_q.mT, w_k.mT, w_v.mT),
        ),
        M(
            "no scaling",
            "This is what you get without dividing the scores by the square root of K.",
            lambda x, context, w_q, w_k, w_v: _attend_with(scale=lambda q, k, v: 1.0)(
                x @ w_q, context @ w_k, context @ w_v
            ),
        ),
        M(
            "scaled by the width of a token",
            "The scores are divided by the square root of D, the width of a token: it is K, the width of "
            "a key.",
            lambda x, context, w_q, w_k, w_v: _attend_with(scale=lambda q, k, v: 1 / math.sqrt(x.shape[-1]))(
                x @ w_q, context @ w_k, context @ w_v
            ),
        ),
    ),
    hints=(
        "Who asks, and who is read? The one that asks gives the queries.",
        "One query per token of x; one key and one value per token of the context. Then attention as ever.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# the layer


def _self_attention(
    x: Tensor, q: Tensor, k: Tensor, v: Tensor, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    return attention.scaled_dot_product_attention(
        x @ q.mT, x @ k.mT, x @ v.mT, mask, causal=causal, fused=False
    )


def _built(wrong: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A wrong layer: `wrong(q, k, v, mask, x)` with the projections done and both masks in one."""

    def layer(
        x: Tensor, q: Tensor, k: Tensor, v: Tensor, causal: bool = False, mask: Tensor | None = None
    ) -> Tensor:
        seen = attention.causal_mask(x.shape[-2], x.shape[-2]) if causal else None
        both = mask if seen is None else seen if mask is None else mask & seen
        return wrong(x @ q.mT, x @ k.mT, x @ v.mT, both, x)

    return layer


def _looks_ahead(
    x: Tensor, q: Tensor, k: Tensor, v: Tensor, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    length = x.shape[-2]
    seen = torch.ones(length, length).triu().bool() if causal else torch.ones(length, length).bool()
    return _self_attention(x, q, k, v, False, seen if mask is None else mask & seen)


def _as_layer(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's module, put the case's weights in by name, call it."""

    def layer(
        x: Tensor, q: Tensor, k: Tensor, v: Tensor, causal: bool = False, mask: Tensor | None = None
    ) -> Tensor:
        module = learner(x.shape[-1], q.shape[0], causal) if causal else learner(x.shape[-1], q.shape[0])
        if not isinstance(module, torch.nn.Module):
            raise WrongForm(f"The class must be a torch.nn.Module; it makes {describe(module)}.")
        weights = {"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v}
        found = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        wanted = {name: tuple(value.shape) for name, value in weights.items()}
        if found != wanted:
            raise WrongForm(f"The layer should hold the weights {wanted}, but it holds {found or 'none'}.")
        arguments = (x,) if mask is None else (x, mask)
        return torch.func.functional_call(module.to(x.dtype), weights, arguments)

    return layer


def _layer_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, d: int, k: int) -> dict[str, Any]:
        return {"x": draw(rng, *batch, t, d), **{name: draw(rng, k, d) for name in ("q", "k", "v")}}

    t, d, k = primes(rng, 5, 7, 11)
    alone = draw_mask(rng, 3, 3)
    alone[1] = False
    long = {"causal": False, "mask": draw_mask(rng, t, t)}
    strange = inputs((), *primes(rng, 5, 7, 11))
    strange["x"] = backwards(strange["x"])
    return in_torch(
        [
            Case("two tokens", inputs((), 2, 3, 5), gradients=True),
            Case("three tokens, square weights", inputs((), 3, 2, 2)),
            Case("causal", {**inputs((), 3, 5, 2), "causal": True}),
            Case("a mask", {**inputs((), 3, 2, 5), "causal": False, "mask": draw_mask(rng, 3, 3)}),
            Case("a token that may see nothing", {**inputs((), 3, 2, 5), "causal": False, "mask": alone}),
            Case("causal, and a mask", {**inputs((2,), t, d, k), **long, "causal": True}),
            Case("a batch", {**inputs((2,), t, d, k), **long}, gradients=True),
            Case("float64", {**as_double(inputs((2,), *primes(rng, 3, 5, 7))), "causal": True}),
            Case("stored column by column", strange),
            Case("one token", {**inputs((1,), 1, 7, 3), "causal": True}),
        ]
    )


LAYER = Task(
    name="03_qkv/self_attention",
    title="A self-attention layer",
    level=4,
    minutes=25,
    section="Self and cross",
    call="SelfAttention(d_model, d_head, causal)(x, mask)",
    reference=_self_attention,
    cases=_layer_cases,
    tensor=True,
    takes="class",
    adapt=_as_layer,
    misconceptions=(
        M(
            "no scaling",
            "This is what you get without dividing the scores by the square root of d_head.",
            _built(lambda q, k, v, mask, x: _zeroed(_attend_with(scale=lambda q, k, v: 1.0))(q, k, v, mask)),
        ),
        M(
            "scaled by d_model",
            "The scores are divided by the square root of d_model: it is d_head, the width of a key.",
            _built(
                lambda q, k, v, mask, x: _zeroed(
                    _attend_with(scale=lambda q, k, v: 1 / math.sqrt(x.shape[-1]))
                )(q, k, v, mask)
            ),
        ),
        M(
            "softmax over the queries",
            "This is what you get when the softmax runs over the queries: each column sums to 1, each row "
            "should.",
            _built(lambda q, k, v, mask, x: _zeroed(_attend_with(axis=-2))(q, k, v, mask)),
        ),
        M(
            "one projection for queries and keys",
            "The queries are made with k_proj, or the keys with q_proj: each needs its own.",
            _built(lambda q, k, v, mask, x: _attend(q, q, v, mask)),
        ),
        M(
            "queries from k_proj",
            "The queries are made with k_proj and the keys with q_proj: it is the other way round.",
            _built(lambda q, k, v, mask, x: _attend(k, q, v, mask)),
        ),
        M(
            "values from k_proj",
            "The keys were mixed: what is mixed are the values, made with v_proj.",
            _built(lambda q, k, v, mask, x: _attend(q, k, k, mask)),
        ),
        M(
            "causal ignored",
            "`causal=True` changes nothing: a token must not see the ones after it.",
            lambda x, q, k, v, causal=False, mask=None: _self_attention(x, q, k, v, False, mask),
        ),
        M(
            "always causal",
            "A token never sees the ones after it, even with `causal=False`.",
            lambda x, q, k, v, causal=False, mask=None: _self_attention(x, q, k, v, True, mask),
        ),
        M(
            "mask ignored",
            "The mask is not used.",
            lambda x, q, k, v, causal=False, mask=None: _self_attention(x, q, k, v, causal),
        ),
        M(
            "causal or mask, not both",
            "With both a mask and `causal=True`, only the mask is used: a key must be allowed by both.",
            lambda x, q, k, v, causal=False, mask=None: _self_attention(
                x, q, k, v, causal and mask is None, mask
            ),
        ),
        M(
            "NaN where nothing may be seen",
            "A token that may see nothing gets 0/0 = NaN: give it zeros.",
            _built(lambda q, k, v, mask, x: _attend_with()(q, k, v, mask)),
        ),
        M(
            "looks ahead",
            "The causal mask is upside down: a token sees itself and what came before, not what comes after.",
            _looks_ahead,
        ),
    ),
    hints=(
        "Three `nn.Linear(d_model, d_head, bias=False)` in `__init__`; in `forward` project, then attend.",
        "`course_lib.attention.scaled_dot_product_attention(q, k, v, mask, causal=...)` does the rest.",
        "Keep `causal` in `self` and hand it on; do not forget `super().__init__()`.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# does it look ahead?

Layer = Callable[[Tensor], Tensor]


def _sees_later(attend: Layer, x: Tensor) -> bool:
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] += 1
        if not torch.allclose(attend(x)[:t], attend(changed)[:t], atol=1e-5):
            return True
    return False


def _opened(mask: np.ndarray, query: int, key: int) -> np.ndarray:
    """The mask with one more pair allowed, if there is such a pair."""
    if query < mask.shape[0] and key < mask.shape[1]:
        mask[query, key] = True
    return mask


def _layers(rng: Rng, d: int) -> dict[str, Layer]:
    """Layers to be judged, each for any number of tokens: (T, D) to (T, D)."""
    w_q, w_k, w_v = (torch.from_numpy(draw(rng, d, d)) for _ in range(3))

    def masked(mask: Callable[[int], np.ndarray]) -> Layer:
        def layer(x: Tensor) -> Tensor:
            seen = torch.from_numpy(mask(len(x)))
            return _attend(x @ w_q.to(x.dtype), x @ w_k.to(x.dtype), x @ w_v.to(x.dtype), seen)

        return layer

    return {
        "causal attention": masked(lambda n: np.tri(n, dtype=bool)),
        "attention without a mask": masked(lambda n: np.ones((n, n), bool)),
        "attention that sees one token ahead": masked(lambda n: np.tri(n, k=1, dtype=bool)),
        "attention that sees earlier tokens only": masked(lambda n: np.tri(n, k=-1, dtype=bool)),
        "causal, but the first token sees the last": masked(
            lambda n: _opened(np.tri(n, dtype=bool), 0, n - 1)
        ),
        "causal, but the second token sees the third": masked(lambda n: _opened(np.tri(n, dtype=bool), 1, 2)),
        "causal, but the first token sees the second": masked(lambda n: _opened(np.tri(n, dtype=bool), 0, 1)),
        "an MLP, token by token": lambda x: torch.tanh(x @ w_q.to(x.dtype)),
        "causal, minus the mean of all tokens": lambda x: (
            masked(lambda n: np.tri(n, dtype=bool))(x) - x.mean(0)
        ),
    }


def _sees_later_cases(rng: Rng) -> list[Case]:
    cases = []
    for name, layer in _layers(rng, 3).items():
        layer.__name__ = name
        cases.append(Case(name, {"attend": layer, "x": torch.from_numpy(draw(rng, 5, 3))}))
    return cases


def _change_and_compare(
    change: Callable[[Tensor], object], part: slice, answer: Callable[[bool], bool] = lambda same: not same
) -> Callable[..., bool]:
    def wrong(attend: Layer, x: Tensor) -> bool:
        changed = x.clone()
        change(changed)
        return answer(torch.allclose(attend(x)[part], attend(changed)[part], atol=1e-5))

    return wrong


SEES_LATER = Task(
    name="03_qkv/sees_later",
    title="Does it look ahead?",
    level=3,
    minutes=15,
    section="Why the MLP is not enough",
    call="sees_later(attend, x)",
    reference=_sees_later,
    cases=_sees_later_cases,
    misconceptions=(
        M(
            "counts any change",
            "It says True even of a causal layer: a changed token may change its own output. Compare the "
            "outputs before it.",
            _change_and_compare(lambda x: x[-1].add_(1), slice(None)),
        ),
        M(
            "changes the first token",
            "It changes the first token and looks at the later ones: they may depend on it. Look from "
            "late to early.",
            _change_and_compare(lambda x: x[0].add_(1), slice(1, None)),
        ),
        M(
            "only the last token is changed",
            "Only the last token is changed: a layer can also look at one in the middle.",
            _change_and_compare(lambda x: x[-1].add_(1), slice(0, -1)),
        ),
        M(
            "only the first output is compared",
            "Only the first token's output is compared: a later one can look ahead too.",
            _change_and_compare(lambda x: x[1:].add_(1), slice(0, 1)),
        ),
        M(
            "the opposite answer",
            "It says True where False is right, and the other way round.",
            lambda attend, x: not _sees_later(attend, x),
        ),
        M(
            "nothing is changed",
            "It says False of every layer: change a token, call the layer again, and compare.",
            lambda attend, x: False,
        ),
    ),
    hints=(
        "Change a later token and see whether an earlier output moves.",
        "For every position t: change `x[t:]` in a copy, and compare the outputs before t with "
        "`torch.allclose`.",
    ),
)

# ------------------------------------------------------------------------------------------------------------
# in a real model

QUESTION = "What is the capital of France?"


def _real_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, k: int, mask: bool = True) -> dict[str, np.ndarray]:
        made = {"q": draw(rng, *batch, t, k), "k": draw(rng, *batch, s, k), "v": draw(rng, *batch, s, k)}
        return {**made, "mask": attention.causal_mask(t, s).numpy()} if mask else made

    (t, s), k = sorted(primes(rng, 5, 7, 11, 13)[:2]), 3
    return in_torch(
        [
            Case("one head, three tokens", inputs((1, 1), 3, 3, 2)),
            Case("two new tokens after three old ones", inputs((1, 2), 2, 5, 3)),
            Case("one new token", inputs((1, 3), 1, 7, 2, mask=False)),
            Case("two sequences", inputs((2, 3), t, s, k)),
            Case(
                "large scores",
                {name: x * 9 if x.dtype != bool else x for name, x in inputs((1, 3), 5, 7, 11).items()},
            ),
        ]
    )


def _top_left(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


@functools.cache
def _smollm2() -> tuple[Any, Any]:
    from course_lib import pretrained

    return pretrained.load_smollm2()


def _drives_smollm2(learner: Callable[..., Tensor]) -> str:
    """Let the real model run on the learner's function; compare with its own attention."""
    from course_lib import generation, pretrained  # here, because only this task needs what they need

    try:
        model, tokenizer = _smollm2()
    except pretrained.MissingModelError as error:
        raise WrongForm(str(error)) from None
    ids = torch.tensor(
        [tokenizer.encode(pretrained.chat_prompt(QUESTION))], device=next(model.parameters()).device
    )
    n_calls = 0

    def counted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        nonlocal n_calls
        n_calls += 1
        return learner(q, k, v) if mask is None else learner(q, k, v, mask)

    with torch.no_grad():
        expected = torch.softmax(model(ids)[0, -1], -1)
        model.use_attention(counted)
        try:
            got = torch.softmax(model(ids)[0, -1], -1)
            n_layers, n_calls_once = len(model.stack.blocks), n_calls
            new = generation.generate(model, ids, 24, eos_id=tokenizer.special_tokens.get("<|im_end|>"))
        finally:
            model.use_attention(None)
    if n_calls_once != n_layers:
        raise WrongForm(
            f"Your function was called {n_calls_once} times, expected once in each of the {n_layers} layers."
        )
    furthest = float((got - expected).abs().max())
    # Rounding through 30 layers moves a probability by about 1e-6; a wrong mask or scale by 0.1 and more.
    if not furthest < 1e-3:
        raise WrongForm(
            f"In the real model a next-token probability is off by {furthest:.3g}, expected at most 0.001."
        )
    answer = tokenizer.decode(new[0, ids.shape[1] :].tolist()).replace("<|im_end|>", "").strip()
    ran = f"All {n_layers} layers ran on your function (largest difference of a probability: {furthest:.1g})."
    return f"{ran}\n{QUESTION}\n{answer}"


REAL_MODEL = Task(
    name="03_qkv/real_model",
    title="Your attention in a real model",
    level=4,
    minutes=20,
    section="In a real model",
    call="my_attention(q, k, v) or my_attention(q, k, v, mask)",
    reference=_attend,
    cases=_real_cases,
    tensor=True,
    finale=_drives_smollm2,
    misconceptions=(
        *(
            m
            for m in ATTENTION.misconceptions
            if m.name not in ("NaN where nothing may be seen", "a uniform row where nothing may be seen")
        ),
        M(
            "a causal mask of its own",
            "It makes its own causal mask, aligned at the top left: one new token after others then sees "
            "only the first. "
            "Use the mask that comes.",
            _top_left,
        ),
    ),
    hints=(
        "It is the attention of before. q, k and v arrive as (batch, heads, tokens, d_head), the mask as "
        "(T, S) or None.",
        "If yours only works on two axes: `.mT` instead of `.T`, axis -1 instead of 1.",
    ),
)


TASKS = (ATTENTION, CROSS, LAYER, SEES_LATER, REAL_MODEL)
