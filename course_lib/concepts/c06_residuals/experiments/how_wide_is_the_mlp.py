"""How wide is the MLP, and where does it bend?"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import probing
from course_lib.blocks import FeedForward
from course_lib.claims import Trained, trains
from course_lib.concepts.c06_residuals.experiments.real_models import Model, text_losses, two_texts
from course_lib.concepts.c06_residuals.experiments.small_models import blocks_of, fresh, learn
from course_lib.training import starts_of

LEAST_OF_GELU = -0.17  # no GELU gives less


@dataclass(frozen=True)
class MlpShape:
    """What the MLPs of two real models look like, and what a GELU behind their second layer does.

    Args:
        widened: how many times as wide as its input MiniLM's MLP is.
        gated: the same of SmolLM2, whose MLP has a gate.
        counted: SmolLM2's weights over those of an MLP without a gate that widens by four.
        part: the MLP's share of the weights of MiniLM's layer.
        below: which share of what SmolLM2's MLPs add is less than any GELU gives.
        bent: by how many nats SmolLM2's loss rises with a GELU behind each MLP.
        losses: of small models that learn with one, one a start.
    """

    widened: float
    gated: float
    counted: float
    part: float
    below: float
    bent: float
    losses: tuple[float, ...]

    @property
    def trained(self) -> float:
        """The highest loss of a small model."""
        return max(self.losses)


def bent(mlp: FeedForward, x: Tensor) -> Tensor:
    """An MLP with a GELU behind its second layer, for `probing.replaced`."""
    return F.gelu(FeedForward.forward(mlp, x))


@trains(Trained(80, 240, but="All small models here are of one width and learn at one rate."))
def mlp_shape(seed: int = 0, starts: int = 2, steps: int = 240, *, smollm2: Model, minilm: Model) -> MlpShape:
    """Does an MLP double the width, and does a GELU stand behind its second layer?

    Rival: a small model that has a GELU there while it learns, three times as long as others here.
    Equal for both: in SmolLM2 texts and weights; the small model learns what all others here do.
    Does not show: whether a large model would be as good with one.
    """
    widened, _, part = _shape(minilm[0])
    gated, counted, _ = _shape(smollm2[0])
    texts = two_texts(smollm2)
    with probing.recorded(smollm2[0]) as seen:
        intact = text_losses(smollm2, texts)
    with probing.replaced(smollm2[0], FeedForward, bent):
        rise = (text_losses(smollm2, texts) - intact).mean().item()
    below = (torch.stack(seen.feed_forward) < LEAST_OF_GELU).float().mean().item()
    losses = []
    for start in starts_of(seed, starts):
        model = fresh(start, 2)
        with probing.replaced(model, FeedForward, bent):
            losses.append(learn(model, start, steps))
    return MlpShape(widened, gated, counted, part, below, rise, tuple(losses))


def _shape(model: Any) -> tuple[float, float, float]:
    """Of its MLP: width within over width; weights over those of four times the width; share of the layer."""
    block = blocks_of(model)[0]
    width, within = block.feed_forward.down_proj.weight.shape
    weights = _count(block.feed_forward)
    return within / width, weights / (8 * width**2), weights / _count(block)


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())
