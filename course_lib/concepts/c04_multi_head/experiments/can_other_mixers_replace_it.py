"""Can something that never asks what a token says take attention's place?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import mean
from typing import Any

from torch import Tensor, nn

from course_lib.claims import Trained, trains
from course_lib.concepts.c04_multi_head.experiments.small_models import Mixer, look_up, which_first
from course_lib.mixers import FourierMixing, MLPMixing
from course_lib.training import bar


@dataclass(frozen=True)
class OtherMixers:
    """What layers get right that mix tokens in other ways: shares of right answers.

    Args:
        first: by mixer, which of two marks came first, one a start.
        looked: by mixer, 24 values to look up.
        tuned: the same after three times as many steps, by width and rate of training.
    """

    first: Mapping[str, tuple[float, ...]]
    looked: Mapping[str, tuple[float, ...]]
    tuned: Mapping[str, Mapping[tuple[int, float], float]]

    @property
    def waves(self) -> float:
        """How often Fourier mixing tells which came first."""
        return mean(self.first["Fourier"])

    @property
    def learned(self) -> float:
        """How often an MLP over places does."""
        return mean(self.first["MLP over places"])

    @property
    def plain(self) -> float:
        """How often the plain mean does."""
        return mean(self.first["plain mean"])

    @property
    def waves_looked(self) -> float:
        """What Fourier mixing looks up after more steps, at its best width and rate."""
        return max(self.tuned["Fourier"].values())

    @property
    def learned_looked(self) -> float:
        """What the MLP over places looks up then."""
        return max(self.tuned["MLP over places"].values())

    @property
    def softmax(self) -> float:
        """What attention looks up."""
        return mean(self.looked["attention"])


@trains(Trained(steps=150, rival_steps=450, widths=(16, 64), rates=(0.01, 0.03)))
def other_mixers(
    seed: int = 0,
    starts: int = 2,
    pairs: int = 24,
    steps: int = 150,
    rows: int = 32,
    widths: Sequence[int] = (16, 64),
    rates: Sequence[float] = (0.01, 0.03),
) -> OtherMixers:
    """Can something that never asks what a token says take attention's place?

    Rival: attention in the same layer, which has a third of the steps, one width and one rate; the plain mean
        of all tokens.
    Equal for both: layer, rows, starts; of what tells which came first width, steps and rate.
    Does not show: large models, in which such layers are many.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of those with more steps, one.
        pairs: how many values there are to look up.
        steps: of training; those that do not look get three times as many to look up.
        rows: in each step; to tell which came first, twice as many.
        widths, rates: with which these are tried, without a rate not at all; all others have the first width.
    """
    width = widths[0]

    def mixers(n_tokens: int) -> dict[str, Mixer]:
        places = partial(MLPMixing, n_tokens, 64)
        return {"attention": None, "MLP over places": places, "Fourier": FourierMixing, "plain mean": Mean}

    usual = {"seed": seed, "starts": starts, "width": width, "steps": steps, "rows": rows}
    marks, values = mixers(7), mixers(2 * pairs)

    def tuned(name: str) -> dict[tuple[int, float], float]:
        how = {"seed": seed, "steps": 3 * steps, "rows": rows}
        tried = product(widths, rates)
        return {(w, rate): look_up(values[name], pairs, width=w, rate=rate, **how)[0] for w, rate in tried}

    return OtherMixers(
        first={name: which_first(mixer, **usual | {"rows": 2 * rows}) for name, mixer in marks.items()},
        looked={name: look_up(mixer, pairs, **usual) for name, mixer in bar(values.items())},
        tuned={name: tuned(name) for name in bar(["Fourier", "MLP over places"])},
    )


class Mean(nn.Module):
    """Gives each token the plain mean of all."""

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, T, D)."""
        return x.mean(1, keepdim=True).expand_as(x)
