"""Does a norm bring the numbers to the range from 0 to 1, and could it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.claims import Trained, trains
from course_lib.concepts.c06_residuals.experiments.real_models import Model
from course_lib.concepts.c06_residuals.experiments.small_models import Reverser, blocks_of, fresh, learn
from course_lib.data import reviews
from course_lib.pretrained import sentence_embedding


@dataclass(frozen=True)
class NormRange:
    """Where the numbers lie that a LayerNorm of MiniLM gives, and how small models learn with other ranges.

    Args:
        entered: what goes into the norm, (tokens, width).
        normalised: what comes out without the learned scale and shift.
        scaled: what comes out.
        losses: of small models, by norm: "LayerNorm", "-0.5 to 0.5" and "0 to 1".
        patient: the loss of the last after five times the steps.
    """

    entered: Tensor
    normalised: Tensor
    scaled: Tensor
    losses: Mapping[str, float]
    patient: float

    @property
    def centre(self) -> float:
        """How far from 0 a token's mean lies at most."""
        return self.normalised.mean(-1).abs().max().item()

    @property
    def variance(self) -> float:
        """The mean of the tokens' variances."""
        return self.normalised.var(-1, unbiased=False).mean().item()

    @property
    def outside(self) -> float:
        """Which share of the normalised numbers lies outside of 0 to 1."""
        return _outside(self.normalised)

    @property
    def negative(self) -> float:
        """Which share of them is below 0."""
        return (self.normalised < 0).float().mean().item()

    @property
    def learned(self) -> float:
        """Which share lies outside of 0 to 1 with the learned scale and shift."""
        return _outside(self.scaled)

    @property
    def quick(self) -> float:
        """By how many nats a small model with values from 0 to 1 is behind one with LayerNorm."""
        return self.losses["0 to 1"] - self.losses["LayerNorm"]

    @property
    def centred(self) -> float:
        """By how many nats it is behind one with as wide a range around 0."""
        return self.losses["0 to 1"] - self.losses["-0.5 to 0.5"]


class FromLeast(nn.Module):
    """Brings a token's numbers to a range as wide as 1, then scales and shifts them as LayerNorm does.

    Args:
        least: where the range begins.
        width: of the vectors.
    """

    def __init__(self, least: float, width: int = 32) -> None:
        super().__init__()
        self.least = least
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """The numbers, brought there."""
        low, high = x.aminmax(dim=-1, keepdim=True)
        return (self.least + (x - low) / (high - low)) * self.weight + self.bias


@trains(Trained(80, 400, but="All are of one width and learn at one rate."))
def norm_range(seed: int = 0, steps: int = 80, *, minilm: Model) -> NormRange:
    """Does normalisation bring the numbers to the range from 0 to 1, and could it?

    Rival: a norm that does bring them there, also with five times the training; one to
        as wide a range around 0.
    Equal for both: model, rows, steps, learning rate; each norm has a learned scale and shift.
    Does not show: whether a large model would learn with such a norm. One start.
    """
    model, wordpiece = minilm
    norm: Any = blocks_of(model)[3].attention_norm
    caught: list[Tensor] = []
    hook = norm.register_forward_hook(lambda part, args, out: caught.extend([args[0], out]))
    sentence_embedding(model, wordpiece, [reviews()[0][0].text])
    hook.remove()
    entered, scaled = (each[0].detach() for each in caught)
    plain = {name: torch.full_like(each, name == "weight") for name, each in norm.named_parameters()}
    normalised = torch.func.functional_call(norm, plain, entered)
    norms = {"LayerNorm": None, "-0.5 to 0.5": -0.5, "0 to 1": 0.0}
    models = {name: _ranged(fresh(seed, 2), least) for name, least in norms.items()}
    losses = {name: learn(small, seed, steps) for name, small in models.items()}
    patient = learn(models["0 to 1"], seed, 4 * steps)
    return NormRange(entered.cpu(), normalised.cpu(), scaled.cpu(), losses, patient)


def _ranged(model: Reverser, least: float | None) -> Reverser:
    if least is not None:
        for block in blocks_of(model):
            block.attention_norm, block.feed_forward_norm = FromLeast(least), FromLeast(least)
    return model


def _outside(values: Tensor) -> float:
    return ((values < 0) | (values > 1)).float().mean().item()
