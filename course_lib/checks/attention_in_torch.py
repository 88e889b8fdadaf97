"""The tasks of solutions/03_qkv/attention_in_torch.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 03_qkv.yml. The keyword-only arguments of a reference
are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from course_lib import attention
from course_lib.checks import real_model
from course_lib.checks.inputs import (
    Rng,
    as_double,
    backwards,
    between,
    draw,
    draw_mask,
    in_torch,
    inside_the_values,
    primes,
)
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.modules import answer_of
from course_lib.checks.values import WrongForm

Tensor = torch.Tensor


# ----------------------------------------------------------------------------------------- attention in torch


def root_of_width(q: Tensor, k: Tensor) -> float:
    """What scores are divided by."""
    return math.sqrt(k.shape[-1])


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    divisor: Callable[[Tensor, Tensor], float] = root_of_width,
    fill: float | None = None,
    axis: int = -1,
    late: bool = False,
    shifted: bool = True,
) -> Tensor:
    """Attention in its four steps: scores, mask, softmax, mix; zeros where nothing may be seen."""
    scores = q @ k.mT / divisor(q, k)
    if not shifted:
        powers = scores.exp() if mask is None else scores.masked_fill(~mask, -math.inf).exp()
        total = powers.sum(-1, keepdim=True)
        return powers / total.masked_fill(total == 0, 1.0) @ v
    if mask is None:
        return (scores - scores.logsumexp(axis, keepdim=True)).exp() @ v
    if late:
        return scores.softmax(axis) * mask @ v
    if fill is not None:
        return scores.masked_fill(~mask, fill).softmax(axis) @ v
    # The lowest finite number, not -inf: a row of -inf gives NaN, and NaN gradients even when overwritten.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    total = scores.logsumexp(axis, keepdim=True)
    total = total.masked_fill(~mask.any(axis, keepdim=True), 0.0)
    # Of the ways to write a softmax this one rounds most, so what rounding may do is known for all of them.
    return (scores - total).exp() @ v


def clearly_loud(draw_inputs: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Inputs of which no row's largest score is just at the edge of what exp can hold.

    There (60 to 120) it is left to rounding whether an exponential is 0, finite or infinite.
    """
    while True:
        made = draw_inputs()
        scores = made["q"] @ made["k"].swapaxes(-1, -2) / math.sqrt(made["q"].shape[-1])
        allowed = np.where(made["mask"], scores, -np.inf)
        highest = np.abs(np.stack([scores.max(-1), allowed.max(-1)]))
        if not ((highest > 60) & (highest < 120)).any():
            return made


def attention_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, k: int, d: int) -> dict[str, np.ndarray]:
        return {
            "q": draw(rng, *batch, t, k),
            "k": draw(rng, *batch, s, k),
            "v": draw(rng, *batch, s, d),
            "mask": draw_mask(rng, t, s),
        }

    def unmasked(batch: tuple[int, ...], t: int, s: int, k: int, d: int) -> dict[str, np.ndarray]:
        made = inputs(batch, t, s, k, d)
        del made["mask"]
        return made

    alone = inputs((), 3, 5, 2, 3)
    alone["mask"][1] = False
    alone["v"] = alone["v"].clip(-1, 1)  # some divide by the smallest float there: it must not overflow
    sizes = primes(rng, 3, 5, 7, 11)

    def loud_inputs() -> dict[str, np.ndarray]:
        made = inputs((), *sizes)
        made["q"] *= 30  # scores in the hundreds and thousands, those of the first query all negative
        made["k"] = 30 * np.abs(made["k"])
        made["q"][0] = -np.abs(made["q"][0])
        return made

    loud = clearly_loud(loud_inputs)
    transposed = {name: backwards(x) for name, x in inputs((), *primes(rng, 5, 7, 11, 13)).items()}
    return in_torch(
        [
            Case("two queries, three keys, no mask", unmasked((), 2, 3, 5, 2)),
            Case("everything square, no mask", unmasked((), 3, 3, 3, 3)),
            Case("a mask", inputs((), 2, 3, 2, 5), gradients=True),
            Case("a square mask", inputs((), 3, 3, 2, 5)),
            Case("a query that may see nothing", alone, gradients=True),
            Case("two sequences, three heads, one mask", inputs((2, 3), *primes(rng, 5, 7, 11, 13)), True),
            Case("large scores, no mask", {name: loud[name] for name in ("q", "k", "v")}),
            Case("large scores", loud),
            Case("float64", as_double(inputs((2,), *primes(rng, 5, 7, 11, 13)))),
            Case("stored column by column", transposed),
            Case("one query, as when a model writes on", unmasked((1, 3), 1, 11, 7, 5)),
        ]
    )


# -------------------------------------------------------------------------------------------- cross-attention


def cross_attention(
    x: Tensor, context: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, **changes: Any
) -> Tensor:
    """The tokens of x ask, the tokens of the context answer."""
    return attend(x @ w_q, context @ w_k, context @ w_v, **changes)


def cross_attention_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, d: int, k: int) -> dict[str, np.ndarray]:
        weights = {name: draw(rng, d, k) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), "context": draw(rng, *batch, s, d), **weights}

    def sizes(*choices: int) -> list[int]:
        # The context is longer: with another length than x's, what is taken from x by mistake mostly fails.
        t, s, d, k = primes(rng, *choices)
        return [min(t, s), max(t, s), d, k]

    transposed = {name: backwards(x) for name, x in inputs((), *sizes(5, 7, 11, 13)).items()}
    return in_torch(
        [
            Case("two tokens read three", inputs((), 2, 3, 5, 2)),
            Case("both sequences equally long", inputs((), 3, 3, 2, 5), gradients=True),
            Case("square weights", inputs((), 5, 3, 2, 2)),
            Case("a batch", inputs((2,), *sizes(5, 7, 11, 13)), gradients=True),
            Case("float64", as_double(inputs((), *sizes(3, 5, 7, 11)))),
            Case("stored column by column", transposed),
            Case("a context of one token", inputs((), 3, 1, 5, 7)),
        ]
    )


# -------------------------------------------------------------------------------------------------- the layer


def earlier(x: Tensor, shift: int = 0) -> Tensor:
    """Which tokens each token may see when nobody looks ahead."""
    return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(shift)


def both(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Two masks in one: a key must be allowed by both. None allows everything."""
    if mask is None or other is None:
        return mask if other is None else other
    return mask & other


def self_attention(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    causal: bool = False,
    mask: Tensor | None = None,
    before: Tensor | None = None,
    **changes: Any,
) -> Tensor:
    """One head of self-attention. `before` is what the layer is called with first: it must not matter."""
    seen = both(mask, earlier(x) if causal else None)
    return attend(x @ w_q.mT, x @ w_k.mT, x @ w_v.mT, seen, **changes)


def as_function(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's layer, put the case's weights in by name, call it."""

    def layer(
        x: Tensor,
        w_q: Tensor,
        w_k: Tensor,
        w_v: Tensor,
        causal: bool = False,
        mask: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        (d_head, d_model), switches = w_q.shape, [True] if causal else []
        module = learner(d_model, d_head, *switches)
        weights = {"q_proj.weight": w_q, "k_proj.weight": w_k, "v_proj.weight": w_v}
        if mask is not None and before is None:
            # Another mask of the same shape first.
            return answer_of(module, weights, (x, mask), (x, mask.roll(1, 0)))
        inputs = (x,) if mask is None else (x, mask)
        return answer_of(module, weights, inputs, () if before is None else (before,))

    return layer


def self_attention_cases(rng: Rng) -> list[Case]:
    def inputs(
        batch: tuple[int, ...],
        t: int,
        d: int,
        k: int,
        *,
        causal: bool = False,
        mask: np.ndarray | None = None,
    ) -> dict[str, Any]:
        weights = {name: draw(rng, k, d) for name in ("w_q", "w_k", "w_v")}
        return {"x": draw(rng, *batch, t, d), **weights, "causal": causal, "mask": mask}

    t, d, k = primes(rng, 5, 7, 11)
    alone = draw_mask(rng, 3, 3)
    alone[1] = False
    quiet = inputs((), 3, 2, 5, mask=alone)
    quiet["w_v"] = quiet["w_v"].clip(-1, 1) / 2  # as in `attention_cases`
    twice = inputs((), 5, 7, 3, causal=True)
    twice["before"] = draw(rng, 3, 7)
    strange = inputs((), *primes(rng, 5, 7, 11))
    strange["x"] = backwards(strange["x"])
    return in_torch(
        [
            Case("two tokens", inputs((), 2, 3, 5), gradients=True),
            Case("three tokens, square weights", inputs((), 3, 2, 2)),
            Case("causal, fewer tokens than d_model", inputs((), 3, 5, 2, causal=True)),
            Case("causal, more tokens than d_model", inputs((), 5, 3, 2, causal=True)),
            Case("causal, many tokens", inputs((), 17, 5, 3, causal=True)),
            Case("a mask", inputs((), 3, 2, 5, mask=draw_mask(rng, 3, 3))),
            Case("a token that may see nothing", quiet, gradients=True),
            Case("causal, and a mask", inputs((2,), t, d, k, causal=True, mask=draw_mask(rng, t, t))),
            Case("a batch", inputs((2,), t, d, k, mask=draw_mask(rng, t, t)), gradients=True),
            Case("the same layer, called with three tokens before", twice),
            Case("float64", as_double(inputs((2,), *primes(rng, 3, 5, 7), causal=True))),
            Case("stored column by column", strange),
            Case("one token", inputs((1,), 1, 7, 3, causal=True)),
        ]
    )


# ---------------------------------------------------------------------------------------- does it look ahead?


class Layer:
    """A layer to be judged, for any number of tokens: (T, D) to (T, D).

    Args:
        name: shown to the learner.
        ahead: whether it looks ahead; true by construction, so no tolerance decides about it.
        function: what it computes.
    """

    def __init__(self, name: str, ahead: bool, function: Callable[[Tensor], Tensor]) -> None:
        self.__name__ = name
        self.ahead = ahead
        self.function = function

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)

    def __getstate__(self) -> dict[str, Any]:
        """What a grader's sandbox gets: neither what is right nor a name that tells it."""
        return {"__name__": "a layer", "function": self.function}


def sees_later(attend: Layer, x: Tensor) -> bool:
    """Whether an output of the layer depends on a later token."""
    return attend.ahead


def other_numbers(x: Tensor) -> Tensor:
    """Numbers of the same shape that have nothing to do with x; always the same ones."""
    return torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(7))


def moves(
    attend: Layer,
    x: Tensor,
    tokens: slice,
    outputs: slice,
    change: Callable[[Tensor], Tensor] = other_numbers,
) -> bool:
    """Whether the outputs move when the tokens are changed."""
    changed = x.clone()
    changed[tokens] = change(x[tokens])
    return not torch.allclose(attend(x)[outputs], attend(changed)[outputs], atol=1e-5)


def one_sided(attend: Layer, x: Tensor, sign: int) -> bool:
    """Whether some output grows (sign 1) or shrinks (-1) when later tokens are changed."""
    n_times = 20  # by chance all three numbers of an output may move one way
    generator = torch.Generator().manual_seed(7)
    for t in [*range(1, len(x))] * n_times:
        changed = x.clone()
        changed[t:] = torch.randn(x[t:].shape, dtype=x.dtype, generator=generator)
        if (sign * (attend(changed) - attend(x))[:t]).max() > 1e-5:
            return True
    return False


def opened(query: int, key: int) -> Callable[[int], np.ndarray]:
    """A causal mask for any number of tokens, with one more pair allowed where there is such a pair."""

    def mask(n: int) -> np.ndarray:
        seen = np.tri(n, dtype=bool)
        seen[query : query + 1, key:][:, :1] = True
        return seen

    return mask


def centred(x: Tensor) -> Tensor:
    """Every token with mean 0: blind to a shift."""
    return x - x.mean(-1, keepdim=True)


def scaled(x: Tensor) -> Tensor:
    """Every token with root mean square 1: blind to its length."""
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def layers(rng: Rng, d: int) -> list[Layer]:
    """Layers that look ahead, and layers that don't; what a token may see has a weight to be noticed."""
    # Small queries and keys: no weight is so close to 0 that a change behind it drowns in rounding.
    w_q, w_k = (torch.from_numpy(draw(rng, d, d, size=0.3)) for _ in range(2))
    w_v = torch.from_numpy(2 * np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32))

    def masked(mask: Callable[[int], np.ndarray]) -> Callable[[Tensor], Tensor]:
        def layer(x: Tensor) -> Tensor:
            q, k, v = (x @ w.to(x.dtype) for w in (w_q, w_k, w_v))
            return attend(q, k, v, torch.from_numpy(mask(len(x))))

        return layer

    causal = masked(lambda n: np.tri(n, dtype=bool))
    strictly = masked(lambda n: np.tri(n, k=-1, dtype=bool))
    every = masked(lambda n: np.ones((n, n), bool))
    # Layers of one code that differ in whole numbers: no code tells what is right.
    query, key = between(rng, 1, 4), between(rng, 1, 4)
    pair = min(query, key) - 1, max(query, key)
    return [
        Layer("causal attention", False, causal),
        Layer("attention without a mask", True, every),
        Layer("the largest of all tokens is added to each", True, lambda x: x + x.amax(0)),
        Layer("the largest of all tokens is taken away from each", True, lambda x: x - x.amax(0)),
        Layer("attention that sees one token ahead", True, masked(lambda n: np.tri(n, k=1, dtype=bool))),
        Layer("earlier tokens are added to each", False, lambda x: x + strictly(x)),
        Layer("causal, but the first token sees the last", True, masked(opened(0, -1))),
        Layer("causal, but the second token sees the third", True, masked(opened(1, 2))),
        Layer("causal, but the first token sees the second", True, masked(opened(0, 1))),
        Layer("an MLP, token by token", False, lambda x: torch.tanh(x @ w_v.to(x.dtype))),
        Layer("causal, minus the mean of all tokens", True, lambda x: causal(x) - x.mean(0)),
        Layer("each token sees itself and later ones", True, masked(lambda n: np.tri(n, dtype=bool).T)),
        Layer("causal, and a little of all tokens", True, lambda x: causal(x) + 0.02 * every(x)),
        Layer("no mask, signs taken off", True, lambda x: every(x.abs())),
        Layer("no mask, tokens brought to length 1", True, lambda x: every(scaled(x))),
        Layer("no mask, tokens normalised", True, lambda x: every(scaled(centred(x)))),
        Layer("causal, but a token sees a later one", True, masked(opened(*pair))),
        Layer("causal, with a pair allowed that was so already", False, masked(opened(*pair[::-1]))),
    ]


def noticeable_tokens(rng: Rng, n_tokens: int, d: int) -> Tensor:
    """Tokens of which none is nearly 0, or nearly the same number d times: what is put in its place shows."""
    while True:
        x = draw(rng, n_tokens, d)
        if (x.std(-1) > 0.2).all():
            return torch.from_numpy(x)


def sees_later_cases(rng: Rng) -> list[Case]:
    def inputs(layer: Layer) -> dict[str, Any]:
        x = noticeable_tokens(rng, 5, 3)
        if "largest" in layer.__name__:
            x[-1] += 30  # whatever else comes in its place, the largest becomes smaller
        return {"attend": layer, "x": x}

    return [Case(layer.__name__, inputs(layer)) for layer in layers(rng, 3)]


# -------------------------------------------------------------------------------------------- in a real model


def real_model_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], t: int, s: int, k: int) -> dict[str, np.ndarray]:
        made = {"q": draw(rng, *batch, t, k), "k": draw(rng, *batch, s, k), "v": draw(rng, *batch, s, k)}
        return {**made, "mask": attention.causal_mask(t, s).numpy()}

    alone = inputs((1, 3), 1, 7, 2)
    del alone["mask"]
    t, s = sorted(primes(rng, 5, 7, 11, 13)[:2])

    def loud_inputs() -> dict[str, np.ndarray]:
        made = inputs((1, 3), 5, 7, 11)
        return {name: array if name == "mask" else 25 * array for name, array in made.items()}

    loud = clearly_loud(loud_inputs)
    return in_torch(
        [
            Case("one head, three tokens", inputs((1, 1), 3, 3, 2)),
            Case("two new tokens after three old ones", inputs((1, 2), 2, 5, 3)),
            Case("one new token", alone),
            Case("two sequences", inputs((2, 3), t, s, 3)),
            Case("large scores, no mask", {name: loud[name] for name in ("q", "k", "v")}),
            Case("large scores", loud),
        ]
    )


@real_model.with_smollm2("run on your attention")
def drives_smollm2(learner: Callable[..., Tensor], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let the real model run on the learner's function; compare with its own attention.

    Returns: what to show, piece by piece.
    """
    from course_lib import pretrained

    yield "SmolLM2 takes your attention into all its layers ...\n"
    prompt = tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))
    ids = torch.tensor([prompt], device=next(model.parameters()).device)
    n_layers, n_calls = len(model.stack.blocks), 0

    def counted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        nonlocal n_calls
        n_calls += 1
        return learner(q, k, v) if mask is None else learner(q, k, v, mask)

    with torch.no_grad():
        expected = torch.softmax(model(ids)[0, -1], -1)
        model.use_attention(counted)
        try:
            got = torch.softmax(model(ids)[0, -1], -1)
            furthest = _checked(expected, got, n_calls, n_layers)
            yield f"{real_model.QUESTION}\n"
            yield from real_model.answer(model, tokenizer, ids)
        finally:
            model.use_attention(None)
    ran = f"All {n_layers} layers ran on your function"
    yield f"\n{ran} (largest difference of a probability: {furthest:.1g})."


def _checked(expected: Tensor, got: Tensor, n_calls: int, n_layers: int) -> float:
    """How far the model's next-token probabilities are from its own.

    Raises: WrongForm: too far, or the function was not called once in each layer.
    """
    if n_calls != n_layers:
        raise WrongForm(
            f"Your function was called {n_calls} times, expected once in each of the {n_layers} layers."
        )
    furthest = float((got - expected).abs().max())
    # Rounding through 30 layers moves a probability by about 1e-6; a wrong mask or scale by 0.1 and more.
    if not furthest < 1e-3:
        raise WrongForm(
            f"In the real model a next-token probability is off by {furthest:.3g}, expected at most 0.001."
        )
    return furthest


INSIDE = (Property("inside the values", inside_the_values),)

TASKS = {
    "attention": Code(reference=attend, cases=attention_cases, properties=INSIDE, tensor=True),
    "cross_attention": Code(reference=cross_attention, cases=cross_attention_cases, tensor=True),
    "self_attention": Code(
        reference=self_attention,
        cases=self_attention_cases,
        tensor=True,
        takes="class",
        adapt=as_function,
    ),
    "sees_later": Code(reference=sees_later, cases=sees_later_cases),
    "real_model": Code(reference=attend, cases=real_model_cases, tensor=True, finale=drives_smollm2),
}
