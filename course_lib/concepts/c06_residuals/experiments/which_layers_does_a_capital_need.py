"""Which layers does a capital need, and from where on can the answer be read?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.concepts.c06_residuals.experiments.real_models import (
    Model,
    device_of,
    review_tokens,
    without_each,
)

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Russia": "Moscow",
    "Greece": "Athens",
    "China": "Beijing",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Norway": "Oslo",
}


@dataclass(frozen=True)
class Capitals:
    """Which layers SmolLM2 needs to finish "The capital of France is".

    Each share is of twelve capitals, twice: those that lead among all tokens, and among the twelve cities.

    Args:
        intact: the shares with all layers, (2,).
        knows: when one layer is left out, each in turn, (layers, 2).
    """

    intact: Tensor
    knows: Tensor


@torch.no_grad()
def capitals(smollm2: Model) -> Capitals:
    """Which layer can the answer not do without?"""
    model, _ = smollm2
    prompts, leading = _asked(smollm2)

    def named() -> Tensor:
        return leading(model.next_token_logits(prompts))

    return Capitals(named(), without_each(smollm2, named))


@dataclass(frozen=True)
class Lens:
    """From which layer on "The capital of France is" can be finished, by ways of reading a layer's stream.

    Args:
        shares: by way of reading, behind each layer, as those of `Capitals`, (layers, 2).
        maps: the fitted ones, one a layer, see `probing.fit_lens`.
    """

    shares: Mapping[str, Tensor]
    maps: Sequence[nn.Linear]


@torch.no_grad()
def lens(smollm2: Model) -> Lens:
    """From which layer on can the answer be read?

    Rival: to shift and scale each number of the stream, which does not mix them.
    Equal for both: the 846 tokens of reviews that the ways of reading are fitted to.
    Does not show: that the model itself uses the answer there.
    """
    model, tokenizer = smollm2
    prompts, leading = _asked(smollm2)
    with probing.recorded(model) as asked:
        model(prompts)
    lessons = torch.tensor(review_tokens(tokenizer)[: 18 * 48], device=device_of(model)).view(18, 48)
    with probing.recorded(model) as read:
        model.stack(model.embed(lessons))
    streams = [stream[:, 1:].flatten(0, 1) for stream in read.streams]  # without the first tokens
    maps = probing.fit_lens(streams)
    ends = [stream[:, -1] for stream in asked.streams]  # of each prompt the last token
    ways: dict[str, Sequence[Callable[[Tensor], Tensor]]] = {
        "as it is": [nn.Identity()] * len(ends),
        "fitted map": maps[:-1],  # the last layer needs none
        "shifted, scaled": [_shift_and_scale(stream, streams[-1]) for stream in streams[:-1]],
    }
    shares = {
        name: torch.stack(
            [leading(probing.logit_lens(model, fit(end))) for fit, end in zip(way, ends, strict=False)]
        )
        for name, way in ways.items()
    }
    return Lens(shares, maps)


def _asked(smollm2: Model) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The twelve prompts, and what says how often the right city leads, given the scores of what follows."""
    model, tokenizer = smollm2
    device = device_of(model)
    prompts = torch.tensor(
        [tokenizer.encode(f"The capital of {name} is") for name in CAPITALS], device=device
    )
    answers = torch.tensor([tokenizer.encode(f" {city}")[0] for city in CAPITALS.values()], device=device)

    def leading(logits: Tensor) -> Tensor:
        places = torch.arange(len(answers), device=device)
        leads = torch.stack([logits.argmax(-1) == answers, logits[:, answers].argmax(-1) == places])
        return leads.float().mean(1).cpu()

    return prompts, leading


def _shift_and_scale(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda stream: (stream - x.mean(0)) / x.std(0) * y.std(0) + y.mean(0)
