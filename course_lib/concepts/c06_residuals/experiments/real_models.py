"""SmolLM2 on two texts: what it loses without a layer, what it writes, what is in its stream."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.concepts.c06_residuals.experiments.small_models import blocks_of
from course_lib.data import python_topics, reviews
from course_lib.generation import generate
from course_lib.objectives import token_losses
from course_lib.training import bar

Model = tuple[Any, Any]  # a real model and its tokenizer


def two_texts(smollm2: Model) -> Tensor:
    """A review and a piece of Python's manual, 32 tokens each, on the model's device."""
    model, tokenizer = smollm2
    manual = "\n".join(python_topics().values())[200_000:200_200]
    texts = [review_tokens(tokenizer)[:32], tokenizer.encode(manual)[:32]]
    return torch.tensor(texts, device=device_of(model))


@torch.no_grad()
def text_losses(smollm2: Model, texts: Tensor) -> Tensor:
    """How much the next token surprises the model, in nats, a mean for each text."""
    costs_of = token_losses(smollm2[0](texts)[:, :-1], texts[:, 1:])
    return costs_of.view(len(texts), -1).mean(1).cpu()


@torch.no_grad()
def without_each(smollm2: Model, measure: Callable[[], Tensor]) -> Tensor:
    """What is measured when one layer is left out, each in turn.

    Args:
        smollm2: as all real models.
        measure: runs the model, always on the same input.
    Returns: (layers, ...).
    """
    model = smollm2[0]
    with probing.recorded(model) as seen:
        measure()
    found = []
    for layer in bar(range(len(blocks_of(model)))):
        below = seen.streams[max(0, layer - 1)]  # need not be computed again; layer 0 has none below
        with probing.resumed(model, layer, below), probing.layers_skipped(model, [layer]):
            found.append(measure())
    return torch.stack(found)


def layers_out(smollm2: Model) -> Tensor:
    """By how much the loss on `two_texts` rises without each layer, in nats: (layers, 2)."""
    texts = two_texts(smollm2)
    intact = text_losses(smollm2, texts)
    return without_each(smollm2, lambda: text_losses(smollm2, texts) - intact)


def writes(smollm2: Model, text: str = "Once upon a time, there was a", n_tokens: int = 10) -> str:
    """What the model makes of the beginning of a text, always taking the likeliest token."""
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(text)], device=device_of(model))
    written = tokenizer.decode(generate(model, ids, n_tokens)[0].tolist())
    return written.replace("\n", "↵").replace("\xa0", "␣")  # what else could not be seen


@torch.no_grad()
def stream_after(smollm2: Model, layer: int) -> tuple[list[str], Tensor]:
    """The first tokens of the review, to read, and the stream's vectors after a layer, (tokens, width)."""
    model, tokenizer = smollm2
    ids = two_texts(smollm2)[:1, :16]
    with probing.recorded(model) as seen:
        model(ids)
    return [tokenizer.decode([token]).strip() for token in ids[0].tolist()], seen.streams[layer][0].cpu()


def review_tokens(tokenizer: Any) -> list[int]:
    """All reviews as tokens, one after the other."""
    return tokenizer.encode(" ".join(review.text for part in reviews() for review in part))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device
