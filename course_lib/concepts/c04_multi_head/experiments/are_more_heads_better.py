"""Are more heads better, and is memory the limit? Which of a real model's can go?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from course_lib import costs
from course_lib.attention import scaled_dot_product_attention
from course_lib.claims import Trained, trains
from course_lib.concepts.c04_multi_head.experiments.is_one_head_enough import (
    THREE_TIMES,
    ahead,
    tuned,
)
from course_lib.concepts.c04_multi_head.experiments.real_models import (
    Head,
    Model,
    Reading,
    by_lot,
    pieces,
    ranked,
)
from course_lib.objectives import token_loss
from course_lib.training import bar

TWO_LONGER, EIGHT_LONGER = "two heads, three times the steps", "eight heads, three times the steps"


@dataclass(frozen=True)
class HeadCounts:
    """What more heads bring, and what fewer cost.

    Args:
        small: by small model the share of right answers; empty where these were left out.
        kept: by number of heads the bytes kept for training, with the table of weights and fused.
        least: SmolLM2's heads, the least important first.
        rise: by how much its loss rises, as a share, without so many of them.
        drawn: the same for `n_drawn` drawn by lot, one a draw.
        n_drawn: how many are drawn.
    """

    small: Mapping[str, float]
    kept: Mapping[int, tuple[int, int]]
    least: tuple[Head, ...]
    rise: Mapping[int, float]
    drawn: tuple[float, ...]
    n_drawn: int

    @property
    def second(self) -> float:
        """How many points more two heads get than one after three times as many steps."""
        return ahead(self.small, THREE_TIMES)

    @property
    def further(self) -> float:
        """How many points more eight heads get than two, both after three times as many steps."""
        small = self.small
        return 100 * (small[EIGHT_LONGER] - small[TWO_LONGER]) if small else math.nan

    @property
    def with_table(self) -> float:
        """How many times the bytes of one head eight keep, with the table of weights."""
        return self.kept[8][0] / self.kept[1][0]

    @property
    def fused(self) -> float:
        """The same where the table is never stored."""
        return self.kept[8][1] / self.kept[1][1]

    @property
    def unneeded(self) -> float:
        """The rise of the loss, as a share, without a third of the heads, the least important ones."""
        return self.rise[self.n_drawn]

    @property
    def lot(self) -> float:
        """How many times as much it rises without as many drawn by lot."""
        return mean(self.drawn) / self.unneeded

    @property
    def half(self) -> float:
        """The rise without more than half of the heads, the least important ones."""
        return self.rise[max(self.rise)]


@trains(Trained(steps=150, rival_steps=450, widths=(32, 64, 128), rates=(0.003, 0.007, 0.01)))
def head_counts(
    smollm2: Model,
    *,
    seed: int = 0,
    length: int = 40,
    steps: int = 150,
    widths: Sequence[int] = (32, 64, 128),
    rates: Sequence[float] = (0.003, 0.007, 0.01),
    draws: int = 3,
) -> HeadCounts:
    """Are more heads better, and is memory the limit?

    Rival: one head with three times the steps of two; two heads with as many steps as eight; heads of the
        trained model drawn by lot.
    Equal for both: one head and two have their best of three widths and rates; width, rate and steps of two
        heads and eight; rows, starts; the number of heads that are off.
    Does not show: how many heads a task with more relations could use.

    Args:
        smollm2: the model and its tokenizer.
        seed: of weights and rows, which reviews are read, and what is drawn.
        length: symbols in a row of the small models; 0: none is trained.
        steps, widths, rates: as for `few_heads`.
        draws: how often heads of the trained model are drawn by lot.
    """

    def best(n_heads: int, steps: int) -> float:
        return max(tuned(length, n_heads, steps, widths, rates, seed).values())

    def usual(n_heads: int) -> float:
        (right,) = tuned(length, n_heads, 3 * steps, widths[:1], rates[-1:], seed).values()
        return right

    small: dict[str, Callable[[], float]] = {
        "two heads": lambda: best(2, steps),
        THREE_TIMES: lambda: best(1, 3 * steps),
        TWO_LONGER: lambda: usual(2),
        EIGHT_LONGER: lambda: usual(8),
    }
    model, tokenizer = smollm2
    need = importance(model, pieces(tokenizer.encode, seed, n=4, length=64))
    least, third = ranked(need)[::-1], need.numel() // 3
    unread = Reading(model, pieces(tokenizer.encode, seed, held_out=True, n=3, length=64))
    intact = unread.loss()

    def rise(off: Sequence[Head]) -> float:
        return unread.loss(off) / intact - 1

    return HeadCounts(
        small={name: measure() for name, measure in bar(small.items())} if length else {},
        kept={n: (bytes_of_heads(n, fused=False), bytes_of_heads(n, fused=True)) for n in (1, 8)},
        least=tuple(least),
        rise={n: rise(least[:n]) for n in (third, third * 5 // 3)},
        drawn=tuple(rise(by_lot(need, 3 * seed + draw)[:third]) for draw in range(draws)),
        n_drawn=third,
    )


def importance(model: Any, ids: Tensor) -> Tensor:
    """How strongly the loss reacts when a head's dial, a factor that stands at 1, is turned.

    The absolute gradient at the dial, summed over texts      (Michel et al. 2019, equation 2)

    Args:
        model: a `GPT`.
        ids: (texts, tokens).
    Returns: (layers, heads).
    """
    ids = ids.to(next(model.parameters()).device)
    layers = [block.attention for block in model.stack.blocks]
    mixes: list[Tensor] = []  # what the heads of each layer gather, side by side
    hooks = [
        layer.out_proj.register_forward_pre_hook(lambda _, x: mixes.append(x[0].requires_grad_()))
        for layer in layers
    ]
    try:
        loss = token_loss(model(ids)[:, :-1], ids[:, 1:])
    finally:
        for hook in hooks:
            hook.remove()
    gradients = torch.autograd.grad(loss, mixes)
    dials = [
        (mix * gradient).unflatten(-1, (layer.n_heads, layer.d_head)).sum((1, 3))
        for layer, mix, gradient in zip(layers, mixes, gradients, strict=True)
    ]
    return torch.stack(dials).abs().sum(1).detach()


def bytes_of_heads(n_heads: int, *, fused: bool) -> int:
    """The bytes kept for training by attention over 512 tokens, with a width of 64 divided among heads."""
    q, k, v = torch.zeros(3, 1, n_heads, 512, 64 // n_heads, requires_grad=True)
    return costs.bytes_kept(lambda: scaled_dot_product_attention(q, k, v, fused=fused))
