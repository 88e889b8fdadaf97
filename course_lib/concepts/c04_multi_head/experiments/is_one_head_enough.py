"""Are two questions too many for one head? And where do two heads look?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.attention import attention_weights
from course_lib.concepts.c04_multi_head.experiments.small_models import Small, learned, trained
from course_lib.data import two_relations
from course_lib.training import bar, starts_of


@dataclass(frozen=True)
class FewHeads:
    """What models with one head and with two get right where each symbol asks for two others.

    Args:
        right: by model the shares of right answers, one a start.
        extra: how many parameters two heads have more than one.
    """

    right: Mapping[str, tuple[float, ...]]
    extra: int

    @property
    def single(self) -> float:
        """The share of right answers with one head."""
        return mean(self.right["one head"])

    @property
    def gain(self) -> float:
        """How many points more two heads get."""
        return self._ahead_of("one head")

    @property
    def over_wide(self) -> float:
        """How many points more they get than one of twice the width."""
        return self._ahead_of("one head, twice the width")

    @property
    def patient(self) -> float:
        """How many points more they get than one after `patience` times as many steps."""
        return self._ahead_of("one head, more steps")

    @property
    def deep(self) -> float:
        """How many points more they get than one in each of two layers."""
        return self._ahead_of("one head in two layers")

    def _ahead_of(self, rival: str) -> float:
        return 100 * (mean(self.right["two heads"]) - mean(self.right[rival]))


def few_heads(
    seed: int = 0, starts: int = 2, length: int = 10, steps: int = 150, width: int = 32, patience: int = 10
) -> FewHeads:
    """Are two relations too many for one head?

    Rival: one head with another advantage: twice the width, ten times the steps, or a second layer.
    Equal for both: layer, width, parameters, rows, steps, rates, starts.
    Does not show: what heads do in a large model, or with more than two relations.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of the one with more steps, one.
        length: symbols in a row.
        steps: of training.
        width: of the vectors.
        patience: how many times as many steps the patient one gets.
    """
    rivals: dict[str, dict[str, int]] = {
        "one head": {},
        "two heads": {"n_heads": 2},
        "one head, twice the width": {"width": 2 * width},
        "one head, more steps": {"steps": patience * steps, "starts": 1},
        "one head in two layers": {"n_layers": 2},
    }
    usual = {"width": width, "steps": steps, "starts": starts}
    right = {
        name: learned(two_relations, length, 20, seed=seed, **usual | advantage)
        for name, advantage in bar(rivals.items())
    }
    one, two = (sum(p.numel() for p in Small(20, n, width).parameters()) for n in (1, 2))
    return FewHeads(right, two - one)


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
