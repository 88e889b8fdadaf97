"""Can linear attention, which keeps a summary of fixed size, take attention's place?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from course_lib import costs
from course_lib.claims import Trained, trains
from course_lib.concepts.c04_multi_head.experiments.small_models import Mixer, look_up, which_first
from course_lib.concepts.c04_multi_head.experiments.what_does_attention_cost import multiplications, power
from course_lib.mixers import LinearAttention, linear_attention
from course_lib.training import bar


@dataclass(frozen=True)
class StateSizes:
    """What linear attention gets right, and what it takes as texts get longer.

    Shares of right answers. A head's state is the sum of k^T v over all keys: as many numbers as the square
    of its width.

    Args:
        order: which of two marks came first.
        attention: by rate of training, what attention looks up at the smallest width.
        small: the same of linear attention at this width, after more steps.
        longer: by steps, what it looks up at twice the width at its best rate.
        wide: what it looks up at eight times the width.
        lengths: in tokens.
        multiplied: multiplications and additions in products of matrices, one a length.
        kept: bytes kept for training, one a length.
    """

    order: float
    attention: Mapping[float, float]
    small: Mapping[float, float]
    longer: Mapping[int, float]
    wide: float
    lengths: tuple[int, ...]
    multiplied: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def operations(self) -> float:
        """The power of the length with which multiplications grow."""
        return power(self.lengths, self.multiplied)

    @property
    def memory(self) -> float:
        """The power with which what is kept for training grows."""
        return power(self.lengths, self.kept)

    @property
    def softmax(self) -> float:
        """What attention looks up at its best rate."""
        return max(self.attention.values())

    @property
    def narrow(self) -> float:
        """What the smallest state looks up at its best rate."""
        return max(self.small.values())

    @property
    def short(self) -> float:
        """How many points fewer that is than attention looks up."""
        return 100 * (self.softmax - self.narrow)

    @property
    def early(self) -> float:
        """What twice the width looks up after the fewest steps."""
        return self.longer[min(self.longer)]

    @property
    def late(self) -> float:
        """The same after the most."""
        return self.longer[max(self.longer)]


@trains(
    Trained(
        steps=500,
        rival_steps=1500,
        rates=(0.01, 0.03),
        but="Its width is the size of its state, which is what is asked.",
    )
)
def state_sizes(
    seed: int = 0,
    pairs: int = 24,
    width: int = 8,
    steps: int = 500,
    patience: int = 3,
    rates: Sequence[float] = (0.01, 0.03),
    longer: Sequence[int] = (150, 1500),
    rows: int = 32,
    lengths: Sequence[int] = (512, 1024, 2048),
) -> StateSizes:
    """Does linear attention do what attention does, at a cost that grows with the length?

    Rival: attention of the same width; linear attention has three times its steps.
    Equal for both: layer, width, rows; each has its best of two rates.
    Does not show: what a large model loses, or linear attention that also forgets.

    Args:
        seed: of weights and rows.
        pairs: how many values there are to look up.
        width: of the vectors, at which attention and the smallest state are compared.
        steps: in which attention is trained.
        patience: how many times as many the smallest state gets.
        rates: at which both are trained, and a state of twice the width; one of eight times has the highest.
        longer: the steps of a state of twice the width.
        rows: in each step.
        lengths: in tokens, for what it takes.
    """

    def looked(mixer: Mixer, width: int, steps: int, rates: Sequence[float] = rates) -> dict[float, float]:
        how = {"width": width, "steps": steps, "rows": rows, "seed": seed}
        return {rate: look_up(mixer, pairs, rate=rate, **how)[0] for rate in rates}

    def linear(width: int, *how: Any) -> dict[float, float]:
        return looked(partial(LinearAttention, width, 1), width, *how)

    (order,) = which_first(partial(LinearAttention, 2 * width, 1), seed, 1, 2 * width, min(longer), rows)
    sums = [partial(linear_attention, *torch.ones(3, 1, 1, n, 64, requires_grad=True)) for n in lengths]
    return StateSizes(
        order=order,
        attention=looked(None, width, steps),
        small=linear(width, patience * steps),
        longer={n: max(linear(2 * width, n).values()) for n in bar(longer)},
        wide=linear(8 * width, min(longer), [max(rates)])[max(rates)],
        lengths=tuple(lengths),
        multiplied=tuple(multiplications(call) for call in sums),
        kept=tuple(costs.bytes_kept(call) for call in sums),
    )
