"""Do gradients get lost in deep stacks, and are additions the only way?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import probing
from course_lib.claims import Trained, trains
from course_lib.concepts.c06_residuals.experiments.small_models import (
    Reverser,
    adding,
    blocks_of,
    fresh,
    from_xavier,
    learn,
    new_rows,
    reversing_loss,
)
from course_lib.device import seeded
from course_lib.training import bar, starts_of

KINDS = {  # with additions, with norms
    "additions and norm": (True, True),
    "additions": (True, False),
    "norm": (False, True),
    "neither": (False, False),
}
XAVIER = "neither, Xavier's start"
RATES = (0.003, 0.001, 0.0003)  # with norms alone


class AtStart(NamedTuple):
    """What a stack looks like before training.

    Args:
        gradient: of the first layer's MLP, over that of the last.
        cosines: the mean cosine between the tokens of a row, behind each layer.
        queries: the length of the gradient of the last layer's query matrix.
    """

    gradient: float
    cosines: tuple[float, ...]
    queries: float


@dataclass(frozen=True)
class DeepNeedsResiduals:
    """What reaches the first layer, and what is learned, with and without additions.

    Args:
        before: by kind of stack, see `KINDS`, and from Xavier's start with neither: for each depth what it
            looks like before training.
        losses: by number of layers and by kind: the loss after training, one a start, in nats.
        slow: the losses of the deeper stack with norms, without additions, trained three times as long at
            each of `RATES`.
        turned_before: of stacks without additions, by start: "attends to itself", "rotations", "both".
        turned_losses: theirs after training.
    """

    before: Mapping[str, Sequence[AtStart]]
    losses: Mapping[int, Mapping[str, tuple[float, ...]]]
    slow: tuple[float, ...]
    turned_before: Mapping[str, AtStart]
    turned_losses: Mapping[str, float]

    @property
    def gradients(self) -> Mapping[str, Sequence[float]]:
        """By kind, for each depth the gradient of the first layer over that of the last."""
        return {kind: [each.gradient for each in found] for kind, found in self.before.items()}

    @property
    def cosines(self) -> Mapping[str, Sequence[float]]:
        """By kind, the mean cosine between tokens behind each layer of the deepest stack."""
        return {kind: self.before[kind][-1].cosines for kind in KINDS}

    @property
    def whisper(self) -> float:
        """The gradient's share that reaches the first layer of the deepest stack with neither."""
        return self.gradients["neither"][-1]

    @property
    def carried(self) -> float:
        """The same with additions alone."""
        return self.gradients["additions"][-1]

    @property
    def other(self) -> float:
        """The least of it with norms alone, and from Xavier's start with neither."""
        return min(self.gradients["norm"][-1], self.gradients[XAVIER][-1])

    @property
    def alike(self) -> float:
        """How much higher the cosine between tokens is with norms alone than with additions as well."""
        return self.cosines["norm"][-1] - self.cosines["additions and norm"][-1]

    @property
    def queries(self) -> float:
        """The gradient of the last query matrix with norms alone, over that with additions as well."""
        return self.before["norm"][-1].queries / self.before["additions and norm"][-1].queries

    @property
    def bare(self) -> float:
        """The lowest loss of the deeper stack without additions."""
        deep = self.losses[max(self.losses)]
        return min(*deep["norm"], *deep["neither"], *self.slow)

    @property
    def added(self) -> float:
        """Its highest loss with additions."""
        deep = self.losses[max(self.losses)]
        return max(*deep["additions and norm"], *deep["additions"])

    @property
    def turned(self) -> float:
        """Its loss without additions, from the start that turns and hardly mixes."""
        return self.turned_losses["both"]

    @property
    def half(self) -> float:
        """The lowest loss from one part of that start."""
        return min(self.turned_losses["attends to itself"], self.turned_losses["rotations"])


class Itself(nn.Module):
    """A learned number that is added to the score of each token with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(4.0))

    def forward(self, q: Tensor, n_keys: int) -> Tensor:
        """What is added to all scores (T, T)."""
        return self.strength * torch.eye(n_keys)


def turning(seed: int, n_layers: int = 6, itself: bool = True, rotations: bool = True) -> Reverser:
    """A `Reverser` that learns without additions, as its start keeps the tokens apart.

    Args:
        seed: of the weights.
        n_layers: how many.
        itself: each token attends mostly to itself.
        rotations: all matrices but those of queries and keys are random rotations, mirrored or not, which
            keep lengths and angles. The MLP passes on what it gets, because gelu(x) - gelu(-x) = x.
    """
    options: dict[str, Any] = {"score_bias": Itself} if itself else {}
    with seeded(seed):
        model = Reverser(n_layers, **options)
        if rotations:
            _rotate(model)
    return model


@torch.no_grad()
def _rotate(model: Reverser) -> None:
    for block in blocks_of(model):
        mix, think, wide, narrow = block.attention, block.feed_forward, _turn(), _turn()
        starts = {mix.v_proj: _turn(), mix.out_proj: _turn(), think.up_proj: torch.cat([wide, -wide])}
        starts[think.down_proj] = torch.cat([narrow, -narrow], dim=1)
        for part, weight in starts.items():
            part.weight.copy_(weight)
            part.bias.zero_()


def _turn() -> Tensor:
    return torch.linalg.qr(torch.randn(32, 32))[0]


def at_start(model: Reverser, additions: bool) -> AtStart:
    """See `AtStart`."""
    with adding(model, additions), probing.recorded(model) as passed:
        reversing_loss(model, new_rows()).backward()
    first, *_, last = blocks_of(model)
    reaches, leaves = (block.feed_forward.up_proj.weight.grad.norm().item() for block in (first, last))
    queries = last.attention.q_proj.weight.grad.norm().item()
    return AtStart(reaches / leaves, tuple(map(_mean_cosine, passed.streams)), queries)


def _mean_cosine(stream: Tensor) -> float:
    directions = F.normalize(stream, dim=-1)
    cosines = directions @ directions.mT  # (B, T, T)
    n_tokens = cosines.shape[-1]
    return ((cosines.sum((1, 2)) - n_tokens).mean() / (n_tokens * (n_tokens - 1))).item()


@trains(Trained(80, 240, rates=RATES, but="All are of one width."))
def deep_needs_residuals(
    seed: int = 0,
    starts: int = 2,
    depths: Sequence[int] = (2, 4, 8, 16),
    trained_depths: Sequence[int] = (2, 6),
    steps: int = 80,
) -> DeepNeedsResiduals:
    """Do gradients get lost in a deep stack, and do additions carry them?

    Rival: norms alone, also with three times the training at the best of three rates; a start of
        rotations in which each token attends mostly to itself, and each of its two halves.
    Equal for both: model, rows, steps and learning rate, but for the rivals, which get more steps.
    Does not show: how fast large models learn without additions. The rivals have one start.

    Args:
        seed: of weights and rows.
        starts: of each kind in the deepest that learns; others have one, for the figure alone.
        depths: how many layers before training.
        trained_depths: how many layers learn, the fewest first.
        steps: of a training; the rivals get half as many again, and three times as many.
    """
    before = {
        kind: [at_start(fresh(seed, depth, norms=norms), additions) for depth in depths]
        for kind, (additions, norms) in KINDS.items()
    }
    before[XAVIER] = [at_start(from_xavier(seed, depth, norms=False), False) for depth in depths]
    deep = trained_depths[-1]
    losses: dict[int, dict[str, tuple[float, ...]]] = {n: {} for n in trained_depths}
    for n, kind in bar([(n, kind) for n in trained_depths for kind in KINDS]):
        additions, norms = KINDS[kind]
        losses[n][kind] = tuple(
            learn(fresh(start, n, norms=norms), start, steps, additions=additions)
            for start in starts_of(seed, starts if n == deep else 1)
        )
    slow = tuple(learn(fresh(seed, deep), seed, 3 * steps, rate, additions=False) for rate in bar(RATES))
    parts = {"attends to itself": (True, False), "rotations": (False, True), "both": (True, True)}
    turned_before = {name: at_start(turning(seed, deep, *of), False) for name, of in parts.items()}
    turned_losses = {
        name: learn(turning(seed, deep, *of), seed, steps * 3 // 2, rate=0.005, additions=False)
        for name, of in bar(parts.items())
    }
    return DeepNeedsResiduals(before, losses, slow, turned_before, turned_losses)
