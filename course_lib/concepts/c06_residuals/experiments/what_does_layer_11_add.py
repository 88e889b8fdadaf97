"""What does layer 11 add that nobody makes up for?"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib import probing
from course_lib.concepts.c06_residuals.experiments.real_models import Model, text_losses, two_texts
from course_lib.concepts.c06_residuals.experiments.small_models import blocks_of


@dataclass(frozen=True)
class FirstToken:
    """The one long vector in SmolLM2's stream, and what it is needed for.

    Args:
        lengths: of the stream's vectors behind each layer: (layers, texts, tokens).
        number: which entry of the first token's vector is the largest behind the layer that writes it.
        value: that entry.
        cuts: by where the layer may write: by how many nats the loss rises.
    """

    lengths: Tensor
    number: int
    value: float
    cuts: Mapping[str, float]


def first_token(smollm2: Model, layer: int = 11) -> FirstToken:
    """What does this layer write that the model cannot do without?

    Where it may not write, what entered it goes on.
    """
    model, texts = smollm2[0], two_texts(smollm2)
    with probing.recorded(model) as seen:
        intact = text_losses(smollm2, texts)
    vector = seen.streams[layer][0, 0]  # of the first text
    number = int(vector.abs().argmax())
    first, entry = torch.zeros(2, *seen.streams[layer][0].shape, dtype=torch.bool, device=texts.device)
    first[0], entry[0, number] = True, True
    writes_to = {
        "the other tokens only": ~first,
        f"the other tokens, and number {number} of the first": ~first | entry,
        "the first token only": first,
        f"everything but number {number} of the first": ~entry,
        f"everything but number {number} of token 5": ~entry.roll(5, 0),
    }
    cuts = {}
    for name, kept in writes_to.items():
        with _writing(model, layer, kept):
            cuts[name] = (text_losses(smollm2, texts) - intact).mean().item()
    lengths = torch.stack(seen.streams).norm(dim=-1).cpu()
    return FirstToken(lengths, number, vector[number].item(), cuts)


@contextmanager
def _writing(model: Any, layer: int, kept: Tensor) -> Iterator[None]:
    """Inside, this layer writes only where kept."""
    hook = blocks_of(model)[layer].register_forward_hook(
        lambda block, args, stream: torch.where(kept, stream, args[0])
    )
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def zeroed(weights: Tensor, row: int, column: int) -> Iterator[None]:
    """Inside, this one weight is 0."""
    kept = weights[row, column].item()
    weights.data[row, column] = 0
    try:
        yield
    finally:
        weights.data[row, column] = kept


def large_weights_off(smollm2: Model, weights: Tensor, n: int = 6) -> dict[tuple[int, int], float]:
    """By how many nats the loss rises where one of the largest weights of a matrix is 0, each in turn."""
    texts = two_texts(smollm2)
    intact = text_losses(smollm2, texts)
    found = {}
    for place in weights.detach().abs().flatten().topk(n).indices.tolist():
        row, column = divmod(place, weights.shape[1])
        with zeroed(weights, row, column):
            found[row, column] = (text_losses(smollm2, texts) - intact).mean().item()
    return found
