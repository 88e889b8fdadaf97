"""The small task of notebook 06, to read backwards, and the small models that learn it."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib import probing
from course_lib.blocks import TransformerStack
from course_lib.device import one_core, seeded
from course_lib.training import TrainingConfig, train

GUESSING = math.log(8)  # the loss of guessing in the small task


class Reverser(nn.Module):
    """Reads eight symbols, and names at each place the one that stands there when the row is read backwards.

    Args:
        n_layers: how many.
        norms: False: without any.
        options: see `TransformerStack`.
    """

    def __init__(self, n_layers: int, norms: bool = True, **options: Any) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(8, 32), nn.Linear(32, 8)
        self.places = nn.Parameter(torch.randn(8, 32))
        self.stack = TransformerStack(32, n_layers, 4, 64, **options)
        if not norms:
            self.stack.final_norm = nn.Identity()  # gives back what comes in
            for block in blocks_of(self):
                block.attention_norm = block.feed_forward_norm = nn.Identity()

    def forward(self, rows: Tensor) -> Tensor:
        """Scores of the eight symbols at each place (B, 8, 8)."""
        return self.head(self.stack(self.embedding(rows) + self.places))


def blocks_of(model: Any) -> list[Any]:
    """The layers of a model, as what they are."""
    return list(model.stack.blocks)


def fresh(seed: int, n_layers: int, **options: Any) -> Reverser:
    """A `Reverser` that has not learned yet, from PyTorch's own start."""
    with seeded(seed):
        return Reverser(n_layers, **options)


@one_core()
def learn(model: nn.Module, seed: int, steps: int = 80, rate: float = 0.01, additions: bool = True) -> float:
    """Train a `Reverser`, in place.

    Args:
        model: goes on from where it is.
        seed: of the rows it learns from, 32 a step.
        steps: how many.
        rate: the learning rate at its peak.
        additions: False: in training and in the test what a part gives replaces the stream.
    Returns: the loss on 256 rows that are the same for all, in nats; guessing costs ln 8 = 2.08.
    """
    random = Generator().manual_seed(seed)
    rows = (torch.randint(8, (32, 8), generator=random) for _ in range(steps))
    rates = TrainingConfig(steps, warmup_steps=min(20, steps), learning_rate=rate)
    with adding(model, additions):
        train(model, rows, reversing_loss, rates, progress=False)
        return tested(model)


def reversing_loss(model: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """The mean loss of naming the symbols backwards, in nats."""
    return F.cross_entropy(model(rows).mT, rows.flip(1))


def new_rows() -> Tensor:
    """What every small model is tested on."""
    return torch.randint(8, (256, 8), generator=Generator().manual_seed(99))


@torch.no_grad()
def tested(model: nn.Module) -> float:
    """The loss on `new_rows`, in nats."""
    return reversing_loss(model, new_rows()).item()


def adding(model: nn.Module, additions: bool) -> Any:
    """Inside, what a part gives is added to the stream, or replaces it."""
    return nullcontext() if additions else probing.additions_off(model)


def from_xavier(seed: int, n_layers: int, shrunk: bool = False, **options: Any) -> Reverser:
    """A `Reverser` that has not learned yet, from Glorot and Bengio's start (2010).

    Args:
        seed, n_layers, options: as for `fresh`.
        shrunk: divide matrices whose output is added by the root of the number of additions, as in GPT-2.
    """
    shrink = (2 * n_layers) ** -0.5 if shrunk else 1.0
    with seeded(seed):
        model = Reverser(n_layers, **options)
        for name, weight in model.stack.named_parameters():
            adds = name.endswith(("out_proj.weight", "down_proj.weight"))
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight, gain=shrink if adds else 1.0)
    return model
