"""Are two questions too many for one head? And where do two heads look?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.attention import attention_weights
from course_lib.claims import Trained, trains
from course_lib.concepts.c04_multi_head.experiments.small_models import Small, learned, trained
from course_lib.data import two_relations
from course_lib.training import bar, starts_of

THREE_TIMES, TEN_TIMES = "one head, three times the steps", "one head, ten times the steps"


@dataclass(frozen=True)
class FewHeads:
    """What models with one head and with two get right where each symbol asks for two others.

    Args:
        near: in short rows, by model the share of right answers.
        far: the same in longer rows; empty where these were left out.
        extra: how many parameters two heads have more than one.
    """

    near: Mapping[str, float]
    far: Mapping[str, float]
    extra: int

    @property
    def gain(self) -> float:
        """How many points more two heads get than one after as many steps."""
        return ahead(self.near, "one head")

    @property
    def over_tuned(self) -> float:
        """How many points more they get than one after three times as many."""
        return ahead(self.near, THREE_TIMES)

    @property
    def longer(self) -> float:
        """The same in longer rows."""
        return ahead(self.far, THREE_TIMES)

    @property
    def patient(self) -> float:
        """How many points more they get than one after ten times as many."""
        return ahead(self.near, TEN_TIMES)

    @property
    def patient_longer(self) -> float:
        """The same in longer rows."""
        return ahead(self.far, TEN_TIMES)

    @property
    def deep(self) -> float:
        """How many points more they get than one in each of two layers, after three times as many."""
        return ahead(self.near, "one head in two layers")


def ahead(right: Mapping[str, float], rival: str) -> float:
    """How many points more of the answers two heads get right than a rival; NaN where nothing was tried."""
    return 100 * (right["two heads"] - right[rival]) if right else math.nan


@trains(Trained(steps=150, rival_steps=450, widths=(32, 64), rates=(0.003, 0.01)))
def few_heads(
    seed: int = 0,
    length: int = 10,
    far: int = 40,
    steps: int = 150,
    widths: Sequence[int] = (32, 64),
    rates: Sequence[float] = (0.003, 0.01),
) -> FewHeads:
    """Are two relations too many for one head?

    Rival: one head with as many and with three times the steps, at its best of two widths and rates; one with
        ten times the steps; one in each of two layers, with three times the steps.
    Equal for both: layer, and parameters where the width is the same; rows, starts; two heads have their best
        width and rate, too.
    Does not show: what heads do in a large model, or with more than two relations.

    Args:
        seed: of weights and rows.
        length: symbols in a row.
        far: symbols in a longer row; 0: none is tried.
        steps: of two heads; their rivals have as many, three times and ten times as many.
        widths, rates: that are tried. With ten times the steps one head has the last width and the first
            rate, as long training goes better with a low one; in two layers the first width, the last rate.
    """
    wide, slow = widths[-1:], rates[:1]

    def best(symbols: int, n_heads: int, steps: int) -> float:
        return max(tuned(symbols, n_heads, steps, widths, rates, seed).values())

    def patient(symbols: int) -> float:
        (right,) = tuned(symbols, 1, 10 * steps, wide, slow, seed).values()
        return right

    def two_layers() -> float:
        (right,) = tuned(length, 1, 3 * steps, widths[:1], rates[-1:], seed, n_layers=2).values()
        return right

    short: dict[str, Callable[[], float]] = {
        "one head": lambda: best(length, 1, steps),
        "two heads": lambda: best(length, 2, steps),
        THREE_TIMES: lambda: best(length, 1, 3 * steps),
        TEN_TIMES: lambda: patient(length),
        "one head in two layers": two_layers,
    }
    long: dict[str, Callable[[], float]] = {
        "two heads": lambda: best(far, 2, steps),
        THREE_TIMES: lambda: best(far, 1, 3 * steps),
        TEN_TIMES: lambda: patient(far),
    }
    one, two = (sum(p.numel() for p in Small(20, n, widths[0]).parameters()) for n in (1, 2))
    return FewHeads(
        near={name: measure() for name, measure in bar(short.items())},
        far={name: measure() for name, measure in bar(long.items())} if far else {},
        extra=two - one,
    )


def tuned(
    length: int,
    n_heads: int,
    steps: int,
    widths: Sequence[int],
    rates: Sequence[float],
    seed: int = 0,
    n_layers: int = 1,
) -> dict[tuple[int, float], float]:
    """What a model gets right, by width and rate of training.

    Args:
        length: symbols in a row.
        n_heads, n_layers: of the model.
        steps: of training.
        widths, rates: that are tried.
        seed: of weights and rows.
    """
    how = {"seed": seed, "steps": steps, "n_heads": n_heads, "n_layers": n_layers}
    return {
        (width, rate): learned(two_relations, length, 20, width=width, rate=rate, **how)[0]
        for width, rate in product(widths, rates)
    }


def marks_seen(model: Small, length: int, seed: int = 0) -> dict[str, tuple[float, ...]]:
    """What share of its weight each head of the first layer gives to the last mark, and to the next one."""
    inputs, _ = two_relations(200, length, 20, torch.Generator().manual_seed(seed))
    weights = first_weights(model, inputs)
    asking = slice(1, -1)  # the ends are not asked
    return {
        name: tuple((weights * mark[:, None])[:, :, asking].sum(-1).mean((0, 2)).tolist())
        for name, mark in zip(("the last mark", "the next mark"), mark_places(inputs), strict=True)
    }


@torch.no_grad()
def first_weights(model: Small, ids: Tensor) -> Tensor:
    """The attention weights of the first layer, which may be a learner's: (rows, heads, T, T).

    Args:
        model: its first layer has `d_head`, `q_proj` and `k_proj`.
        ids: (rows, T).
    """
    layer: Any = model.stack.blocks[0].attention
    parts: list[Tensor] = []  # queries and keys
    hooks = [
        part.register_forward_hook(lambda _, args, output: parts.append(output))
        for part in (layer.q_proj, layer.k_proj)
    ]
    try:
        model(ids)
    finally:
        for hook in hooks:
            hook.remove()
    q, k = (part.unflatten(-1, (-1, layer.d_head)).transpose(1, 2) for part in parts)
    return attention_weights(q, k)


@dataclass(frozen=True)
class TwoQuestions:
    """What small models answer that are asked for two marks, with a layer of the learner's.

    Args:
        right: the shares of right answers, one a start.
        looks: of the first start, for the last mark and for the next one, what each head gives to it.
        models: one a start.
    """

    right: tuple[float, ...]
    looks: Mapping[str, tuple[float, ...]]
    models: tuple[Small, ...]


def two_questions(
    layer: Callable[[int, int], nn.Module], n_heads: int, *, seed: int = 0, starts: int = 2
) -> TwoQuestions:
    """Train a layer to answer two questions at once.

    Args:
        layer: makes one from a width and a number of heads; it is called with nothing but vectors.
        n_heads: how many it is to have.
        seed: of weights and rows.
        starts: how many models are trained.
    """
    runs = [
        trained(two_relations, 10, 20, seed=start, mixer=lambda: Unmasked(layer(32, n_heads)))
        for start in starts_of(seed, starts)
    ]
    return TwoQuestions(
        right=tuple(right for _, right in runs),
        looks=marks_seen(runs[0][0], 10, seed),
        models=tuple(model for model, _ in runs),
    )


def by_marks(found: TwoQuestions, *, seed: int = 1) -> dict[str, tuple[float, ...]]:
    """What models with one head get right, by whether the two marks are the same, one number a start.

    And what they get right of different marks if their head gives both the same weight, the mean of the two.

    Args:
        found: by `two_questions`, with one head.
        seed: of the rows.
    """
    inputs, targets = two_relations(1000, 10, 20, torch.Generator().manual_seed(seed))
    same, different = (targets == 0) | (targets == 3), (targets == 1) | (targets == 2)

    def right(answer: Callable[[Small, Tensor], Tensor], asked: Tensor) -> tuple[float, ...]:
        answers = [answer(model, inputs).argmax(-1) for model in found.models]
        return tuple((each == targets)[asked].float().mean().item() for each in answers)

    return {
        "twice the same mark": right(Small.__call__, same),
        "two different marks": right(Small.__call__, different),
        "two different marks, with equal weights": right(evened, different),
    }


@torch.no_grad()
def evened(model: Small, ids: Tensor) -> Tensor:
    """What a model with one head says if the last mark and the next one get the mean of their weights."""
    layer: Any = model.stack.blocks[0].attention
    weights, marks = first_weights(model, ids)[:, 0], torch.stack(mark_places(ids)).any(0)
    even = torch.where(marks, (weights * marks).sum(-1, keepdim=True) / 2, weights)
    values: list[Tensor] = []
    hooks = [
        layer.v_proj.register_forward_hook(lambda _, args, output: values.append(output)),
        layer.out_proj.register_forward_pre_hook(lambda _, args: (even @ values[0],)),
    ]
    try:
        scores: Tensor = model(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return scores


class Unmasked(nn.Module):
    """A layer that knows nothing of masks and caches, in a block that has none for it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def __getattr__(self, name: str) -> Any:
        own = super().__getattr__
        return own(name) if name == "layer" or name.startswith("_") else getattr(own("layer"), name)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, T, D)."""
        return self.layer(x)


def mark_places(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """For each symbol where the last mark before it stands, and where the next one after it: (rows, T, T)."""
    mark, place = inputs < 3, torch.arange(inputs.shape[1])
    so_far, behind = mark.cumsum(1), place[:, None] - place
    last = (behind > 0) & (so_far[:, None] == (so_far - 1 * mark)[:, :, None])
    coming = (behind < 0) & (so_far[:, None] == so_far[:, :, None] + 1)
    return last & mark[:, None], coming & mark[:, None]
