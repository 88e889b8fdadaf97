"""Does each layer learn only the difference?"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from course_lib import probing
from course_lib.claims import Trained, trains
from course_lib.concepts.c06_residuals.experiments.real_models import (
    Model,
    layers_out,
    text_losses,
    two_texts,
)
from course_lib.concepts.c06_residuals.experiments.small_models import (
    Reverser,
    adding,
    fresh,
    from_xavier,
    learn,
    new_rows,
    tested,
)

RATE, RATES = 0.005, (0.01, 0.005, 0.003)  # with additions, and without


@dataclass(frozen=True)
class LearnTheDifference:
    """What the layers of SmolLM2 add, and what it costs to leave one out.

    Args:
        attention: for each layer the length of what attention adds over that of the stream; the median over
            tokens, the first left out.
        mlp: the same for the MLP.
        layer: the same for both together.
        untrained: that of the median layer of a small stack that has learned nothing.
        rises: by how many nats the loss rises without each layer, on two texts: (layers, 2).
        bare: the same without any additions.
        losses: of two small layers that learned with and without additions; of the latter, those that lose
            least by a skipped layer.
        skipped: by how many nats they rise when the one or the other is left out.
    """

    attention: tuple[float, ...]
    mlp: tuple[float, ...]
    layer: tuple[float, ...]
    untrained: float
    rises: Tensor
    bare: float
    losses: Mapping[str, float]
    skipped: Mapping[str, tuple[float, ...]]

    @property
    def size(self) -> float:
        """By which share of its length the median layer changes the stream."""
        return torch.tensor(self.layer).median().item()

    @property
    def first(self) -> float:
        """What the first layer adds, over the length of what comes in."""
        return self.layer[0]

    @property
    def skip(self) -> float:
        """By how many nats the loss rises without the median layer."""
        return self.rises.mean(1).median().item()

    @property
    def worst(self) -> float:
        """The same without the one that costs most."""
        return self.rises.mean(1).max().item()

    @property
    def shared(self) -> float:
        """What a skipped layer costs two small ones that learned with additions."""
        return mean(self.skipped["with"])

    @property
    def chained(self) -> float:
        """What it costs two that learned without."""
        return mean(self.skipped["without"])


@trains(Trained(300, 900, rates=RATES, but="All are of one width."))
def learn_the_difference(
    seed: int = 0, steps: int = 300, *, smollm2: Model, rises: Tensor | None = None
) -> LearnTheDifference:
    """Do layers learn what is to be added, so that one can be missed?

    Rival: an untrained stack of 30 layers, for the size of what is added; two layers that learned the same
        task without additions, three times as long at the best of three rates, for one that is left out.
    Equal for both: model and task of the small ones.
    Does not show: that a small difference is a sign of learning: an untrained layer adds as little. One
        start.

    Args:
        seed: of the small models.
        steps: of their training with additions.
        smollm2: the model and its tokenizer.
        rises: what `layers_out` gave, if that is known.
    """
    if rises is None:
        rises = layers_out(smollm2)
    texts = two_texts(smollm2)
    with probing.recorded(smollm2[0]) as seen:
        intact = text_losses(smollm2, texts)
    with probing.additions_off(smollm2[0]):
        bare = (text_losses(smollm2, texts) - intact).mean().item()
    entered = torch.stack([smollm2[0].embed(texts).detach(), *seen.streams[:-1]])  # (layers, B, T, D)
    mixed, thought = torch.stack(seen.attention), torch.stack(seen.feed_forward)
    loss, lost = _learned(seed, steps, RATE, additions=True)
    chains = [_learned(seed, 3 * steps, rate, additions=False) for rate in RATES]
    chain_loss, chain_lost = min(chains, key=lambda chain: mean(chain[1]))
    return LearnTheDifference(
        attention=_share(mixed, entered),
        mlp=_share(thought, entered + mixed),
        layer=_share(mixed + thought, entered),
        untrained=_untrained_share(seed),
        rises=rises,
        bare=bare,
        losses={"with": loss, "without": chain_loss},
        skipped={"with": lost, "without": chain_lost},
    )


def _share(added: Tensor, to: Tensor) -> tuple[float, ...]:
    shares = (added.norm(dim=-1) / to.norm(dim=-1))[:, :, 1:].flatten(1)
    return tuple(shares.median(1).values.tolist())


@torch.no_grad()
def _untrained_share(seed: int) -> float:
    model = from_xavier(seed, 30)
    with probing.recorded(model) as passed:
        model(new_rows())
    streams = torch.stack(passed.streams)
    return torch.tensor(_share(streams.diff(dim=0), streams[:-1])).median().item()


def _learned(seed: int, steps: int, rate: float, additions: bool) -> tuple[float, tuple[float, ...]]:
    """The loss of two small layers, and by how much it rises without the one or the other."""
    model = fresh(seed, 2)
    loss = learn(model, seed, steps, rate, additions)
    return loss, tuple(_without_layer(model, layer, additions) - loss for layer in (0, 1))


def _without_layer(model: Reverser, layer: int, additions: bool) -> float:
    with adding(model, additions), probing.layers_skipped(model, [layer]):
        return tested(model)
