"""The tasks of solutions/04_multi_head/heads.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 04_multi_head.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks import forms, real_model
from course_lib.checks.attention_in_torch import attend, earlier
from course_lib.checks.inputs import Rng, all_different, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code
from course_lib.checks.modules import answer_of
from course_lib.checks.values import WrongForm

Tensor = torch.Tensor
Array = np.ndarray
Pairs = list[tuple[int, int]]


# ------------------------------------------------------------------------------------------- split and join


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, T, D) to (B, H, T, K): head h takes the h-th piece of each vector."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def join_heads(heads: Tensor) -> Tensor:
    """(B, H, T, K) to (B, T, H K): the way back."""
    return heads.transpose(1, 2).flatten(2)


def interleaved(x: Tensor, n_heads: int) -> Tensor:
    """As `split_heads`, but head h takes numbers h, h + H, h + 2 H and so on."""
    return x.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


def joined_interleaved(heads: Tensor) -> Tensor:
    """The way back from `interleaved`."""
    return heads.permute(0, 2, 3, 1).flatten(2)


def sizes_of_heads(rng: Rng) -> dict[str, tuple[int, ...]]:
    """Sequences, tokens, heads, numbers in a head: small first, then distinct primes."""
    return {
        "three tokens, two heads of two numbers": (1, 3, 2, 2),
        "two tokens, three heads": (1, 2, 3, 2),
        "as many tokens as heads": (2, 3, 3, 2),
        "everything square": (3, 3, 3, 3),
        "two sequences": (2, *primes(rng, 3, 5, 7)),
        "more sequences than tokens": (5, *primes(rng, 2, 3), 7),
        "twice as many tokens as heads": (2, 6, 3, 5),
        "one head": (2, 5, 1, 3),
        "heads of one number": (2, 3, 5, 1),
        "one token": (3, 1, 2, 5),
    }


def split_heads_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, h: int, k: int) -> dict[str, Any]:
        return {"x": all_different(rng, b, t, h * k), "n_heads": h}

    stored = inputs(2, 5, 3, 7)
    stored["x"] = backwards(stored["x"])
    cases = [
        Case(name, inputs(*sizes), name == "two sequences") for name, sizes in sizes_of_heads(rng).items()
    ]
    others = [Case("float64", as_double(inputs(2, 3, 5, 2))), Case("stored column by column", stored)]
    return in_torch(cases + others)


def join_heads_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, h: int, k: int) -> dict[str, Array]:
        return {"heads": all_different(rng, b, h, t, k)}

    cases = [
        Case(name, inputs(*sizes), name == "two sequences") for name, sizes in sizes_of_heads(rng).items()
    ]
    others = [
        Case("float64", as_double(inputs(2, 3, 5, 2))),
        Case("stored column by column", {"heads": backwards(all_different(rng, 2, 3, 5, 7))}),
        Case("stored as they were split", {"heads": all_different(rng, 2, 5, 3, 7).swapaxes(1, 2)}),
    ]
    return in_torch(cases + others)


# ----------------------------------------------------------------------------------------------- multi-head


def multi_head(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    w_o: Tensor,
    n_heads: int,
    causal: bool = False,
    before: Tensor | None = None,
    *,
    split: Callable[[Tensor, int], Tensor] = split_heads,
    join: Callable[[Tensor], Tensor] = join_heads,
    seen: Callable[[Tensor], Tensor] = earlier,
    **changes: Any,
) -> Tensor:
    """Multi-head self-attention. `before` is what the layer is called with first: it must not matter."""
    q, k, v = (split(x @ w.mT, n_heads) for w in (w_q, w_k, w_v))
    return join(attend(q, k, v, seen(q) if causal else None, **changes)) @ w_o.mT


def as_function(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's layer, put the case's weights in by name, call it."""

    def layer(
        x: Tensor,
        w_q: Tensor,
        w_k: Tensor,
        w_v: Tensor,
        w_o: Tensor,
        n_heads: int,
        causal: bool = False,
        before: Tensor | None = None,
    ) -> Tensor:
        module = learner(x.shape[-1], n_heads, *([True] if causal else []))
        matrices = {"q_proj": w_q, "k_proj": w_k, "v_proj": w_v, "out_proj": w_o}
        weights = {f"{name}.weight": matrix for name, matrix in matrices.items()}
        return answer_of(module, weights, (x,), () if before is None else (before,))

    return layer


def multi_head_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, h: int, k: int, *, causal: bool = False) -> dict[str, Any]:
        d = h * k
        weights = {name: draw(rng, d, d, size=1.5 / math.sqrt(d)) for name in ("w_q", "w_k", "w_v", "w_o")}
        return {"x": draw(rng, b, t, d), **weights, "n_heads": h, "causal": causal}

    twice = inputs(1, 5, 3, 2, causal=True)
    twice["before"] = draw(rng, 1, 3, 6)
    stored = inputs(2, 5, 2, 3)
    stored["x"] = backwards(stored["x"])
    return in_torch(
        [
            Case("two tokens, two heads", inputs(1, 2, 2, 2), gradients=True),
            Case("three tokens, two heads", inputs(1, 3, 2, 3)),
            Case("causal", inputs(1, 5, 2, 3, causal=True)),
            Case("as many tokens as heads, causal", inputs(2, 3, 3, 2, causal=True)),
            Case("everything square", inputs(3, 3, 3, 3)),
            Case("two sequences", inputs(2, *primes(rng, 2, 3, 5)), gradients=True),
            Case("two sequences, causal", inputs(2, *primes(rng, 3, 5, 7), causal=True), gradients=True),
            Case("the same layer, called with three tokens before", twice),
            Case("one head", inputs(2, 5, 1, 3)),
            Case("heads of one number", inputs(1, 3, 5, 1)),
            Case("float64", as_double(inputs(2, *primes(rng, 2, 3, 5), causal=True))),
            Case("stored column by column", stored),
            Case("one token", inputs(2, 1, 3, 5, causal=True)),
        ]
    )


# ------------------------------------------------------------------------------------------ grouped queries


def by_neighbours(x: Tensor, n: int) -> Tensor:
    """Each key head n times: the first n query heads get the first one."""
    return x.repeat_interleave(n, 1)


def in_turn(x: Tensor, n: int) -> Tensor:
    """All key heads, n times over: neighbouring query heads get different ones."""
    return x.repeat(1, n, 1, 1)


def divided_by_groups(x: Tensor, n: int) -> Tensor:
    """Query head h gets key head h // G, which there may not be: it is h // n."""
    return x[:, torch.arange(n * x.shape[1]) // x.shape[1]]


def one_each(x: Tensor, n: int) -> Tensor:
    """A key head for each query head while there are any; the rest share the last."""
    return x[:, torch.arange(n * x.shape[1]).clamp(max=x.shape[1] - 1)]


def grouped_queries(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    keys: Callable[[Tensor, int], Tensor] = by_neighbours,
    values: Callable[[Tensor, int], Tensor] = by_neighbours,
    **changes: Any,
) -> Tensor:
    """Attention in which neighbouring query heads share one head of keys and values."""
    n = q.shape[1] // k.shape[1]
    return attend(q, keys(k, n), values(v, n), **changes)


def grouped_queries_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, g: int, n: int, t: int, s: int, k: int) -> dict[str, Array]:
        return {
            "q": draw(rng, b, g * n, t, k),
            "k": draw(rng, b, g, s, k),
            "v": draw(rng, b, g, s, k),
        }

    g, n = primes(rng, 3, 5)
    t, s, k = primes(rng, 2, 7, 11)
    stored = {name: backwards(x) for name, x in inputs(2, 3, 2, 5, 7, 11).items()}
    return in_torch(
        [
            Case("four query heads share two", inputs(1, 2, 2, 2, 3, 2)),
            Case("six share two", inputs(1, 2, 3, 3, 2, 3), gradients=True),
            Case("six share three", inputs(1, 3, 2, 2, 3, 2)),
            Case("nine share three, as in SmolLM2", inputs(2, 3, 3, 5, 5, 7)),
            Case("two sequences", inputs(2, g, n, t, s, k), gradients=True),
            Case("everything square", inputs(3, 3, 3, 3, 3, 3)),
            Case("all share one", inputs(2, 1, 3, 5, 7, 2)),
            Case("a key head for each query head", inputs(2, 3, 1, 5, 7, 2)),
            Case("one query, as when a model writes on", inputs(1, 3, 2, 1, 7, 5)),
            Case("float64", as_double(inputs(2, n, g, 2, 5, 7))),
            Case("stored column by column", stored),
        ]
    )


# ------------------------------------------------------------------------------------------- previous token


def previous_token_score(
    weights: Tensor,
    *,
    offset: int = -1,
    reduce: Callable[[Tensor], Tensor] = lambda looked: looked.mean(-1),
) -> Tensor:
    """For each head the mean weight of a query, from the second on, on the token `offset` places further."""
    return reduce(weights.diagonal(offset, -2, -1))


def largest_is_previous(weights: Tensor) -> Tensor:
    """The share of queries whose largest weight lies on the token before."""
    before = torch.arange(weights.shape[-1] - 1)
    return (weights[..., 1:, :].argmax(-1) == before).to(weights.dtype).mean(-1)


def random_weights(rng: Rng, n_layers: int, n_heads: int, n_tokens: int, causal: bool = False) -> Array:
    """Attention weights (L, H, T, T), each row of them with a sum of 1."""
    powers = np.exp(1.5 * rng.standard_normal((n_layers, n_heads, n_tokens, n_tokens)))
    if causal:
        powers = np.tril(powers)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def previous_token_score_cases(rng: Rng) -> list[Case]:
    def inputs(n_layers: int, n_heads: int, n_tokens: int, *, causal: bool = False) -> dict[str, Array]:
        return {"weights": random_weights(rng, n_layers, n_heads, n_tokens, causal)}

    n_layers, n_heads = primes(rng, 2, 3)

    return in_torch(
        [
            Case("one head, three tokens", inputs(1, 1, 3)),
            Case("two heads of a causal model", inputs(1, 2, 3, causal=True)),
            Case("two layers, three heads", inputs(2, 3, 5)),
            Case("as many layers as heads and tokens", inputs(3, 3, 3)),
            Case("many tokens, causal", inputs(n_layers, n_heads, 17, causal=True)),
            Case("more layers than tokens", inputs(7, *primes(rng, 3, 5))),
            Case("two tokens", inputs(3, 5, 2)),
            Case("float64", as_double(inputs(2, *primes(rng, 3, 5)))),
            Case("stored column by column", {"weights": backwards(random_weights(rng, 2, 3, 7))}),
        ]
    )


# ------------------------------------------------------------------------------------------------ heads off


def heads_off(
    mix: Tensor,
    heads: list[int],
    *,
    axis: int = 1,
    chosen: Callable[[Tensor], Tensor] = lambda off: off,
    instead: Callable[[Tensor], Tensor] = torch.zeros_like,
) -> Tensor:
    """What the heads of a layer mixed, with zeros in place of some of them."""
    off = torch.zeros(mix.shape[axis], dtype=torch.bool)
    off[heads] = True
    shape = [-1 if i == axis else 1 for i in range(4)]
    return torch.where(chosen(off).reshape(shape), instead(mix), mix)


def heads_off_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, n_off: int) -> dict[str, Any]:
        # Not the first head, so that what is done to it by mistake shows.
        off = 1 + rng.permutation(shape[1] - 1)[:n_off] if n_off < shape[1] else np.arange(n_off)
        return {"mix": all_different(rng, *shape), "heads": off.tolist()}

    stored = inputs(2, 5, 3, 7, n_off=2)
    stored["mix"] = backwards(stored["mix"])
    first = inputs(2, 3, 5, 2, n_off=1)
    first["heads"] = [0]
    return in_torch(
        [
            Case("one head of three", inputs(1, 3, 2, 2, n_off=1)),
            Case("two heads of three", inputs(1, 3, 2, 3, n_off=2)),
            Case("the first head", first),
            Case("everything square", inputs(5, 5, 5, 5, n_off=3)),
            Case("two sequences", inputs(2, 7, *primes(rng, 3, 5), n_off=3), gradients=True),
            Case("one token", inputs(3, 5, 1, 7, n_off=2)),
            Case("none", inputs(2, 3, 5, 7, n_off=0)),
            Case("all", inputs(2, 3, 5, 7, n_off=3)),
            Case("float64", as_double(inputs(2, 5, *primes(rng, 3, 7), n_off=2))),
            Case("stored column by column", stored),
        ]
    )


# ------------------------------------------------------------------------------------------ copying heads


def copying_scores(weights: Tensor, n: int, *, shift: int = 1) -> Tensor:
    """For each head how much the second copy looks at what came after the same token in the first copy."""
    return weights.diagonal(shift - n, -2, -1)[..., -n:].mean(-1)


def copying_heads(
    weights: Tensor,
    n: int,
    k: int,
    *,
    scores: Callable[[Tensor, int], Tensor] = copying_scores,
) -> Pairs:
    """The k heads that copy most, as (layer, head), the strongest first."""
    best = scores(weights, n).flatten().topk(k).indices.tolist()
    return [divmod(place, weights.shape[1]) for place in best]


def one_of_each_layer(weights: Tensor, n: int, k: int) -> Pairs:
    """Of each layer the head that copies most, then the k best of these."""
    score, head = copying_scores(weights, n).max(-1)
    return [(layer, int(head[layer])) for layer in score.argsort(descending=True).tolist()][:k]


# What a head that is no copying head may look at instead: from a query of the second copy, and n, to a key.
DECOYS: dict[str, Callable[[int, int], int]] = {
    "the same token": lambda query, n: query - n,
    "the previous token": lambda query, n: query - 1,
    "the first token": lambda query, n: 0,
    "itself": lambda query, n: query,
    "the token before the same": lambda query, n: max(query - n - 1, 0),
    "two after the same": lambda query, n: query - n + 2,
}


def weights_of_heads(rng: Rng, n_layers: int, n_heads: int, n: int, n_copying: int) -> Array:
    """Causal weights of a text of n tokens, repeated: some heads copy, each to another degree.

    One head copies a single token, with a weight of 1, and one a good half of them; the others look at
    something else. The last query of the first copy has a key n - 1 back too, and does not count: some heads
    give it all their weight, some little.
    """
    weights = random_weights(rng, n_layers, n_heads, 2 * n, causal=True).astype(float)
    strengths = [0.7] if n_copying == 1 else np.linspace(0.4, 0.85, n_copying)
    decoys = list(DECOYS.values())
    for i, (layer, head) in enumerate(rng.permutation(list(np.ndindex(n_layers, n_heads)))):
        for query in range(n - 1, 2 * n):
            key, share = query - n + 1, 0.0
            if query == n - 1:
                share = float(rng.integers(2))
            elif i < n_copying:
                share = strengths[i]
            elif i == n_copying:
                share = float(query == n + 1)
            elif i == n_copying + 1:
                share = 0.75 * (query >= 2 * n - n // 2 - 1)
            else:
                key, share = decoys[(i - n_copying - 2) % len(decoys)](query, n), 0.9
            weights[layer, head, query] *= 1 - share
            weights[layer, head, query, key] += share
    return weights.astype(np.float32)


def copying_heads_cases(rng: Rng) -> list[Case]:
    def inputs(n_layers: int, n_heads: int, n: int, k: int, n_copying: int) -> dict[str, Any]:
        """Weights for which the last query, whose target is in the second copy, makes no difference.

        The one before the first, which belongs to the first copy, does.
        """
        while True:
            weights = weights_of_heads(rng, n_layers, n_heads, n, n_copying)
            looked = torch.from_numpy(weights).diagonal(1 - n, -2, -1).flatten(0, 1)
            ways = [looked[:, part].mean(-1) for part in (slice(1, None), slice(1, -1), slice(0, None))]
            all_n, without_last, one_more = (way.topk(k + 1) for way in ways)
            right = torch.equal(all_n.indices, without_last.indices)
            wrong = not torch.equal(all_n.indices[:k], one_more.indices[:k])
            clear = all((one.values.diff() < -0.02).all() for one in (all_n, without_last, one_more))
            if right and wrong and clear:
                return {"weights": weights, "n": n, "k": k}

    n_layers, n_heads = primes(rng, 3, 5)
    stored = inputs(3, 5, 7, 3, n_copying=5)
    stored["weights"] = backwards(stored["weights"])
    return in_torch(
        [
            Case("the one of six heads", inputs(2, 3, 3, 1, n_copying=1)),
            Case("two of ten heads", inputs(2, 5, 3, 2, n_copying=3)),
            Case("as many layers as heads", inputs(5, 5, 7, 3, n_copying=5)),
            Case("more layers than heads", inputs(7, 3, 5, 4, n_copying=5)),
            Case("more heads than layers", inputs(3, 11, 7, 5, n_copying=7)),
            Case("one layer", inputs(1, 13, 5, 3, n_copying=5)),
            Case("float64", as_double(inputs(n_layers, n_heads, 7, 2, n_copying=5))),
            Case("stored column by column", stored),
        ]
    )


N_TOKENS, N_OFF, N_DRAWS = 40, 5, 3
LEAST = 2.0  # by so much more must the learner's heads raise the loss than others do


def twice(n_rows: int, vocab_size: int) -> Tensor:
    """Rows of random tokens, each written twice: nothing but copying can know the second copy."""
    rows = torch.randint(vocab_size, (n_rows, N_TOKENS), generator=torch.Generator().manual_seed(0))
    return rows.repeat(1, 2)


@torch.no_grad()
def loss_of_second_copy(model: Any, ids: Tensor) -> float:
    """The mean loss of the tokens of the second copy, from its second token on."""
    n = ids.shape[1] // 2
    return float(F.cross_entropy(model(ids)[:, n:-1].flatten(0, 1), ids[:, n + 1 :].flatten()))


@real_model.with_smollm2("lose the heads that you find")
def finds_smollm2s(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let the learner's function find the copying heads of SmolLM2, and switch them off."""
    from course_lib import probing  # here, because only the finale needs the model

    yield f"SmolLM2 reads {N_TOKENS} random tokens, twice ...\n"
    ids = twice(2, model.config.vocab_size).to(next(model.parameters()).device)
    weights = probing.weights_of(model, ids[0])
    found = forms.contents(learner(weights.clone(), N_TOKENS, N_OFF))["result"].item()
    chosen = [(int(layer), int(head)) for layer, head in found]
    yield f"Your heads, written layer.head: {', '.join(f'{layer}.{head}' for layer, head in chosen)}\n"

    def loss(off: Pairs) -> float:
        with probing.heads_off(model, off):
            return loss_of_second_copy(model, ids)

    blind = math.log(model.config.vocab_size)
    yield f"Loss of the second copy with all heads: {loss([]):.1f} (blind guessing: {blind:.1f})\n"
    without = loss(chosen)
    yield f"without yours: {without:.1f}\n"
    others = [loss(draw) for draw in other_heads(chosen, weights.shape[1])]
    yield (
        f"without {N_OFF} others of the same layers: {min(others):.1f} to {max(others):.1f} "
        f"({N_DRAWS} draws)\n"
    )
    if not without > max(others) + LEAST:
        raise WrongForm(
            f"In the real model your heads raise the loss to {without:.1f} and others to {max(others):.1f}: "
            f"expected at least {LEAST:g} more."
        )


def other_heads(chosen: Pairs, n_heads: int) -> list[Pairs]:
    """Random heads of the same layers, a few draws of as many as were chosen."""
    rng = np.random.default_rng(0)
    layers = sorted({layer for layer, _ in chosen})
    rest = [(layer, head) for layer in layers for head in range(n_heads) if (layer, head) not in chosen]
    return [[rest[i] for i in rng.permutation(len(rest))[: len(chosen)]] for _ in range(N_DRAWS)]


TASKS = {
    "split_heads": Code(reference=split_heads, cases=split_heads_cases, tensor=True),
    "join_heads": Code(reference=join_heads, cases=join_heads_cases, tensor=True),
    "multi_head": Code(
        reference=multi_head, cases=multi_head_cases, tensor=True, takes="class", adapt=as_function
    ),
    "grouped_queries": Code(reference=grouped_queries, cases=grouped_queries_cases, tensor=True),
    "previous_token_score": Code(reference=previous_token_score, cases=previous_token_score_cases),
    "heads_off": Code(reference=heads_off, cases=heads_off_cases, tensor=True),
    "copying_heads": Code(
        reference=copying_heads, cases=copying_heads_cases, read=forms.contents, finale=finds_smollm2s
    ),
}
