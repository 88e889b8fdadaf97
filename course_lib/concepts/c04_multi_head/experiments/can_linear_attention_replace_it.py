"""Can linear attention, which keeps a summary of fixed size, take attention's place?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

import torch

from course_lib import costs
from course_lib.concepts.c04_multi_head.experiments.small_models import look_up, which_first
from course_lib.concepts.c04_multi_head.experiments.what_does_attention_cost import multiplications, power
from course_lib.mixers import LinearAttention, linear_attention
from course_lib.training import bar


@dataclass(frozen=True)
class StateSizes:
    """What linear attention gets right, and what it takes as texts get longer.

    Shares of right answers, one a start. A head's state is the sum of k^T v over all keys: as many numbers
    as the square of its width.

    Args:
        first: which of two marks came first.
        looked: by width, with one head, what linear attention looks up.
        fewer: the same of a third of the values, at the smallest width.
        parted: of all, at the largest width, in 16 heads.
        longer: at the smallest width, with three times as many steps.
        attention: what attention looks up at the smallest width.
        lengths: in tokens.
        multiplied: multiplications and additions in products of matrices, one a length.
        kept: bytes kept for training, one a length.
    """

    first: tuple[float, ...]
    looked: Mapping[int, tuple[float, ...]]
    fewer: tuple[float, ...]
    parted: tuple[float, ...]
    longer: tuple[float, ...]
    attention: tuple[float, ...]
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
    def order(self) -> float:
        """The share of rows in which it tells which mark came first."""
        return mean(self.first)

    @property
    def wide(self) -> float:
        """What it looks up with the largest state."""
        return mean(self.looked[max(self.looked)])

    @property
    def narrow(self) -> float:
        """What it looks up with the smallest."""
        return mean(self.looked[min(self.looked)])

    @property
    def short(self) -> float:
        """How many points fewer that is than attention looks up."""
        return 100 * (self.softmax - self.narrow)

    @property
    def few(self) -> float:
        """What the smallest state looks up of a third of the values."""
        return mean(self.fewer)

    @property
    def apart(self) -> float:
        """How many points the largest state loses where it is 16 small ones."""
        return 100 * (self.wide - mean(self.parted))

    @property
    def patient(self) -> float:
        """What the smallest looks up after three times as many steps."""
        return mean(self.longer)

    @property
    def softmax(self) -> float:
        """What attention looks up at the smallest width."""
        return mean(self.attention)


def state_sizes(
    seed: int = 0,
    starts: int = 2,
    pairs: int = 24,
    widths: Sequence[int] = (16, 32, 64),
    steps: int = 150,
    rows: int = 64,
    lengths: Sequence[int] = (512, 1024, 2048),
) -> StateSizes:
    """Does linear attention do what attention does, at a cost that grows with the length?

    Rival: attention in the same layer; linear attention with three times as many steps, or with fewer values.
    Equal for both: layer, width, rows, steps, rates, starts; 16 heads have as many weights as one.
    Does not show: what a large model loses, or linear attention that also forgets.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of those with 16 heads and with more steps, one.
        pairs: how many values there are to look up.
        widths: of the vectors.
        steps: of training.
        rows: in each step.
        lengths: in tokens, for what it takes.
    """

    def looked(width: int, n_heads: int = 1, **how: Any) -> tuple[float, ...]:
        usual = {"pairs": pairs, "width": width, "steps": steps, "seed": seed, "starts": starts, "rows": rows}
        return look_up(partial(LinearAttention, width, n_heads), **usual | how)

    smallest, largest = min(widths), max(widths)
    sums = [partial(linear_attention, *torch.ones(3, 1, 1, n, 64, requires_grad=True)) for n in lengths]
    return StateSizes(
        first=which_first(partial(LinearAttention, smallest, 1), seed, starts, smallest, steps, rows),
        looked={width: looked(width) for width in bar(widths)},
        fewer=looked(smallest, pairs=pairs // 3),
        parted=looked(largest, n_heads=16, starts=1),
        longer=looked(smallest, starts=1, steps=3 * steps),
        attention=look_up(None, pairs, width=smallest, steps=steps, rows=rows, seed=seed, starts=starts),
        lengths=tuple(lengths),
        multiplied=tuple(multiplications(call) for call in sums),
        kept=tuple(costs.bytes_kept(call) for call in sums),
    )
