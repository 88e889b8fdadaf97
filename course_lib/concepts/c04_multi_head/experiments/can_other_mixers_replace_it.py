"""Can something that never asks what a token says take attention's place?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

from torch import Tensor, nn

from course_lib.concepts.c04_multi_head.experiments.small_models import Mixer, look_up, which_first
from course_lib.mixers import FourierMixing, MLPMixing
from course_lib.training import bar


@dataclass(frozen=True)
class OtherMixers:
    """What layers get right that mix tokens in other ways: shares of right answers, one a start.

    Args:
        first: by mixer, which of two marks came first.
        looked: by mixer, 24 values to look up.
        longer: the same for the MLP over places, with three times as many steps.
    """

    first: Mapping[str, tuple[float, ...]]
    looked: Mapping[str, tuple[float, ...]]
    longer: tuple[float, ...]

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
        """What Fourier mixing looks up."""
        return mean(self.looked["Fourier"])

    @property
    def learned_looked(self) -> float:
        """What the MLP over places looks up."""
        return mean(self.looked["MLP over places"])

    @property
    def patient(self) -> float:
        """What it looks up after three times as many steps."""
        return mean(self.longer)

    @property
    def softmax(self) -> float:
        """What attention looks up."""
        return mean(self.looked["attention"])


def other_mixers(
    seed: int = 0,
    starts: int = 2,
    pairs: int = 24,
    width: int = 16,
    steps: int = 150,
    rows: int = 64,
) -> OtherMixers:
    """Can something that never asks what a token says take attention's place?

    Rival: attention in the same layer; the plain mean of all tokens; the MLP with three times as many steps.
    Equal for both: layer, width, rows, steps, rates, starts.
    Does not show: large models, in which such layers are many and wide.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of the one with more steps, one.
        pairs: how many values there are to look up.
        width: of the vectors.
        steps: of training.
        rows: in each step.
    """

    def looked(mixer: Mixer, **how: int) -> tuple[float, ...]:
        usual = {"width": width, "steps": steps, "seed": seed, "starts": starts, "rows": rows}
        return look_up(mixer, pairs, **usual | how)

    def mixers(n_tokens: int) -> dict[str, Mixer]:
        places = partial(MLPMixing, n_tokens, 64)
        return {"attention": None, "MLP over places": places, "Fourier": FourierMixing, "plain mean": Mean}

    marks, values = mixers(7), mixers(2 * pairs)
    return OtherMixers(
        first={name: which_first(mixer, seed, starts, width, steps, rows) for name, mixer in marks.items()},
        looked={name: looked(mixer) for name, mixer in bar(values.items())},
        longer=looked(values["MLP over places"], steps=3 * steps, starts=1),
    )


class Mean(nn.Module):
    """Gives each token the plain mean of all."""

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, T, D)."""
        return x.mean(1, keepdim=True).expand_as(x)
