"""The small models of notebook 04, which are trained here, and what they are asked."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.blocks import TransformerStack
from course_lib.data import IGNORE, Examples, order, pair_recall
from course_lib.device import one_core, seeded
from course_lib.objectives import token_loss
from course_lib.positions import PositionEmbedding
from course_lib.training import TrainingConfig, starts_of, train

Task = Callable[..., Examples]
Mixer = Callable[[], nn.Module] | None  # makes what takes attention's place; None: attention


class Small(nn.Module):
    """A Transformer for symbols: a table, fixed positions, layers, and an answer at each place.

    Args:
        n_symbols: how many kinds of symbols.
        n_heads, width, n_layers: its sizes; the MLP is twice as wide.
        options: see `TransformerStack`.
    """

    def __init__(
        self, n_symbols: int, n_heads: int = 1, width: int = 32, n_layers: int = 1, **options: Any
    ) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(n_symbols, width), nn.Linear(width, n_symbols)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.positions = PositionEmbedding(128, width, learned=False)
        self.stack = TransformerStack(width, n_layers, n_heads, 2 * width, **options)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores of all symbols at each place; where a token is two symbols, their vectors are added."""
        x = self.embedding(ids.reshape(*ids.shape[:2], -1)).sum(2)
        return self.head(self.stack(self.positions(x)))


@one_core()
def trained(
    task: Task,
    *sizes: int,
    seed: int = 0,
    steps: int = 150,
    rows: int = 64,
    rate: float = 0.01,
    **options: Any,
) -> tuple[Small, float]:
    """Train a small model, and ask it what it has not met.

    Args:
        task: a function of `course_lib.data` that draws rows: (how many, *sizes, generator).
        sizes: of the task; the last is the number of symbols.
        seed: of weights and rows.
        steps: of training.
        rows: in each step.
        rate: AdamW's at its peak; Muon's, for the hidden matrices, is four times as high.
        options: see `Small`.
    Returns: the model, and its share of right answers to 400 new rows.
    """
    with seeded(seed):
        model = Small(sizes[-1], **options)
    random = torch.Generator().manual_seed(seed)
    inputs, targets = task(400, *sizes, random)
    rates = TrainingConfig(steps, learning_rate=rate, muon_learning_rate=4 * rate)
    train(model, lambda step: task(rows, *sizes, random), _loss, rates, progress=False)
    with torch.no_grad():
        right = (model(inputs).argmax(-1) == targets)[targets != IGNORE]
    return model, right.float().mean().item()


def learned(task: Task, *sizes: int, seed: int = 0, starts: int = 1, **how: Any) -> tuple[float, ...]:
    """The share of right answers of small models, one for each random start; see `trained`.

    Args:
        seed: another seed means other starts, none of them the same.
        starts: how many.
    """
    return tuple(trained(task, *sizes, seed=start, **how)[1] for start in starts_of(seed, starts))


def _loss(model: nn.Module, batch: Examples) -> Tensor:
    return token_loss(model(batch.inputs), batch.targets)


def which_first(mixer: Mixer, seed: int, starts: int, width: int, steps: int, rows: int) -> tuple[float, ...]:
    """Which of two marks came first? Shares of right answers with this in attention's place."""
    how = {"steps": max(1, 2 * steps // 3), "rows": rows, "width": width, "mixer": mixer}
    return learned(order, 6, 10, seed=seed, starts=starts, **how)


def look_up(
    mixer: Mixer,
    pairs: int = 24,
    *,
    width: int = 16,
    steps: int = 150,
    rows: int = 64,
    rate: float = 0.01,
    seed: int = 0,
    starts: int = 1,
) -> tuple[float, ...]:
    """What value, of eight, did each key come with? Shares of right answers with this in attention's place.

    Args:
        mixer: makes what mixes vectors of this width; None: attention.
        pairs: how many keys with a value there are in a row.
        width, steps, rows, rate, seed, starts: of the models, see `learned`.
    """
    how = {"width": width, "steps": steps, "rows": rows, "rate": rate, "mixer": mixer}
    return learned(pair_recall, pairs, pairs + 9, seed=seed, starts=starts, **how)
