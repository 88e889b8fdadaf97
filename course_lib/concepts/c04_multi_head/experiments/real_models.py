"""Heads of real models: what they look at, which come first, and the model without some of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.attention import MultiHeadAttention
from course_lib.data import reviews
from course_lib.decoder import GPT
from course_lib.device import seeded
from course_lib.generation import generate
from course_lib.objectives import token_loss
from course_lib.pretrained import chat_prompt

Head = tuple[int, int]  # a layer and a head, both from 0
Model = tuple[Any, Any]  # a real model and its tokenizer


def untrained(model: Any, seed: int) -> GPT:
    """The first two layers of a `GPT` with random weights: 18 heads of SmolLM2's are enough to see."""
    with seeded(seed):
        return GPT(replace(model.config, n_layers=2))


def pieces(
    encode: Callable[[str], Sequence[int]], seed: int = 0, *, held_out: bool = False, n: int, length: int
) -> Tensor:
    """Reviews as tokens, one after the other, cut into pieces: (n, length).

    Args:
        encode: a tokenizer's.
        seed: which fifth of the reviews is taken.
        held_out: from those that are kept back.
        n, length: how many pieces, and tokens in each.
    """
    ids = [i for review in reviews()[held_out][seed % 5 :: 5] for i in encode(" " + review.text)]
    return torch.tensor(ids[: n * length]).view(n, length)


@torch.no_grad()
def weights_of(model: nn.Module, texts: Tensor) -> Tensor:
    """The attention weights of every head in several texts: text, layer, head, who looks, at whom."""
    # What the model would say at each place costs a fifth of a pass, and is not asked for here.
    read = model.next_token_logits if isinstance(model, GPT) else model
    with probing.weights_recorded(model) as layers:
        read(texts.to(next(model.parameters()).device))
    return torch.stack(layers, 1).cpu()


def distance(length: int) -> Tensor:
    """How far the key (across) stands behind the query (down)."""
    place = torch.arange(length)
    return place[:, None] - place


def score(weights: Tensor, related: Tensor) -> Tensor:
    """The mean weight of each head over all related pairs of a token and one that it may look at.

    Args:
        weights: as `weights_of` gives them.
        related: which pairs are meant, (T, T) for all texts or (texts, T, T).
    Returns: (layers, heads).
    """
    related = related.expand(len(weights), -1, -1)
    return (weights * related[:, None, None]).sum((0, 3, 4)) / related.sum()


def ranked(scores: Tensor) -> list[Head]:
    """All heads, the one with the highest score first.

    Example:
        >>> ranked(torch.tensor([[0.1, 0.3], [0.2, 0.0]]))
        [(0, 1), (1, 0), (0, 0), (1, 1)]
    """
    return [divmod(i, scores.shape[1]) for i in scores.flatten().argsort(descending=True).tolist()]


def by_lot(scores: Tensor, seed: int) -> list[Head]:
    """The same heads, shuffled."""
    return ranked(torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)))


@torch.no_grad()
def loss_without(model: nn.Module, off: Sequence[Head], ids: Tensor, begin: int = 1) -> float:
    """The loss of a model with some heads off, in nats a token.

    Args:
        model: called with token ids.
        off: the heads that give nothing.
        ids: (rows, tokens).
        begin: the first token whose loss counts.
    """
    ids = ids.to(next(model.parameters()).device)
    with probing.heads_off(model, off):
        return token_loss(model(ids)[:, begin - 1 : -1], ids[:, begin:]).item()


class Reading:
    """Texts that a model has read. With heads off, only the layers from the first of them on run again.

    Args:
        model: a `GPT`.
        ids: (rows, tokens).
    """

    @torch.no_grad()
    def __init__(self, model: Any, ids: Tensor) -> None:
        self.model, self.ids = model, ids.to(next(model.parameters()).device)
        # What enters each layer, and what leaves the last.
        self.streams: list[Tensor] = [model.embed(self.ids)]
        for block in model.stack.blocks:
            self.streams.append(block(self.streams[-1]))

    @torch.no_grad()
    def scores(self, off: Sequence[Head] = (), begin: int = 0) -> Tensor:
        """What the model says at each place from `begin` on with some heads off: (rows, places, V)."""
        blocks = self.model.stack.blocks
        lowest = min((layer for layer, _ in off), default=len(blocks))
        x = self.streams[lowest]
        with probing.heads_off(self.model, off):
            for block in blocks[lowest:]:
                x = block(x)
        scores: Tensor = self.model.lm_head(self.model.stack.final_norm(x[:, begin:]))
        return scores

    def loss(self, off: Sequence[Head] = (), begin: int = 1) -> float:
        """As `loss_without`."""
        return token_loss(self.scores(off, begin - 1)[:, :-1], self.ids[:, begin:]).item()


def others_of(off: Sequence[Head], spared: Sequence[Head], shuffled: Sequence[Head]) -> list[Head]:
    """As many heads of the same layers, the first in a shuffled list that are not to be spared.

    Where a layer has no more of these, one of the nearest that has; where none has, one to be spared.

    Args:
        off: at most half of all heads; none of them is taken.
        spared: taken last.
        shuffled: all heads.
    """
    chosen: list[Head] = []
    for layer, _ in off:
        free = [head for head in shuffled if head not in (*off, *chosen)]
        chosen.append(min(free, key=lambda head: (head in spared, abs(head[0] - layer))))
    return chosen


def answer(smollm2: Model, question: str, *, off: Sequence[Head] = (), n_tokens: int = 10) -> str:
    """What the chat model answers with some heads off.

    Args:
        smollm2: the model and its tokenizer.
        question: what it is asked.
        off: the heads that give nothing.
        n_tokens: of the answer, at most.
    """
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(chat_prompt(question))], device=next(model.parameters()).device)
    with probing.heads_off(model, off):
        written = generate(model, ids, n_tokens)[0, ids.shape[1] :]
    return tokenizer.decode(written.tolist()).split("<|im_end|>")[0]


@contextmanager
def with_join(model: nn.Module, join: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, every attention layer of a model puts its heads side by side by this function.

    Args:
        model: with at least one `MultiHeadAttention`.
        join: (B, H, T, K) to (B, T, H K).
    """

    def forward(layer: Any, x: Tensor, context: None = None, mask: Any = None, cache: Any = None) -> Tensor:
        q, k, v = layer.project(x, x, 0 if cache is None else cache.length)
        if cache is not None:
            k, v = cache.append(k, v)
        return layer.out_proj(join(layer.attend(q, k, v, mask, causal=layer.causal)))

    with probing.replaced(model, MultiHeadAttention, forward):
        yield
