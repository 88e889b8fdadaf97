"""Does a stack need norms?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

import torch

from course_lib import probing
from course_lib.claims import Trained, trains
from course_lib.concepts.c06_residuals.experiments.small_models import Reverser, from_xavier, learn, new_rows
from course_lib.training import bar, starts_of

NORMS: Mapping[str, Mapping[str, Any]] = {
    "no norm": {"norms": False},
    "pre-norm": {},
    "post-norm": {"norm_first": False},
    "no norm, smaller start": {"norms": False, "shrunk": True},
}
RATES = (0.01, 0.003, 0.001)  # without norms, from Xavier's start


@dataclass(frozen=True)
class NormNeeded:
    """How the stream grows with depth before training, and what stacks with and without norms learn.

    Args:
        sizes: by kind of stack, see `NORMS`: the root mean square of the stream behind each layer, a list a
            start.
        losses: by kind, and "no norm, two layers": by learning rate the loss in nats. Without norms, and at
            .003, training takes three times as long.
    """

    sizes: Mapping[str, Sequence[Sequence[float]]]
    losses: Mapping[str, Mapping[float, float]]

    @property
    def factor(self) -> float:
        """By how many times the stream grows with a layer without norms, in the last three quarters."""
        n, grown = self._grown("no norm")
        return grown ** (1 / (n - n // 4))

    @property
    def root(self) -> float:
        """The power of the depth with which it grows with norms first."""
        n, grown = self._grown("pre-norm")
        return math.log(grown) / math.log(n / (n // 4))

    @property
    def small_start(self) -> float:
        """How many times as large it is behind the last layer as behind the first, from the smaller start."""
        curve = _typical(self.sizes["no norm, smaller start"])
        return curve[-1] / curve[0]

    @property
    def xavier(self) -> float:
        """The lowest loss of six layers without norms from Xavier's start."""
        return min(self.losses["no norm"].values())

    @property
    def shrunk(self) -> float:
        """The highest loss of two of them, and of six from the smaller start."""
        return max(self.losses["no norm, two layers"][0.01], self.losses["no norm, smaller start"][0.01])

    @property
    def fast(self) -> float:
        """How much higher a loss than pre-norm's the best of the others has at the high rate."""
        others = self.losses["no norm, smaller start"][0.03], self.losses["post-norm"][0.03]
        return min(others) - self.losses["pre-norm"][0.03]

    @property
    def gentle(self) -> float:
        """The loss with post-norm at the low rate."""
        return self.losses["post-norm"][0.003]

    def _grown(self, kind: str) -> tuple[int, float]:
        """The number of layers, and how many times as large the stream is at the end as at a quarter."""
        curve = _typical(self.sizes[kind])
        return len(curve), curve[-1] / curve[len(curve) // 4 - 1]


def _typical(curves: Sequence[Sequence[float]]) -> list[float]:
    return [geometric_mean(sizes) for sizes in zip(*curves, strict=True)]


@trains(Trained(80, 240, rates=RATES, but="All are of one width."))
def norm_needed(
    seed: int = 0, starts: int = 2, n_layers: int = 32, trained_layers: int = 6, steps: int = 80
) -> NormNeeded:
    """Do values grow from layer to layer without norms, and does a stack then not learn?

    Rival: no norm, three times the training at the best of three rates; no norm, but a start in which what
        is added is smaller; two layers.
    Equal for both: model and rows; the start is Xavier's for all, shrunk for one.
    Does not show: how it is in large models. One start where it trains.

    Args:
        seed: of weights and rows.
        starts: of the untrained stacks.
        n_layers: of the untrained stacks, at least 4.
        trained_layers: of the stacks that learn.
        steps: of a training; three times as many without norms from Xavier's start, and at the lower rate.
    """
    sizes = {
        kind: [_sizes(from_xavier(start, n_layers, **options)) for start in starts_of(seed, starts)]
        for kind, options in NORMS.items()
    }
    runs = [
        *(("no norm", rate) for rate in RATES),
        ("no norm, two layers", 0.01),
        ("no norm, smaller start", 0.01),
        ("no norm, smaller start", 0.03),
        ("post-norm", 0.003),
        ("post-norm", 0.03),
        ("pre-norm", 0.03),
    ]
    losses: dict[str, dict[float, float]] = {}
    for name, rate in bar(runs):
        kind, _, two = name.partition(", two")
        model = from_xavier(seed, 2 if two else trained_layers, **NORMS[kind])
        patient = name == "no norm" or rate == 0.003
        loss = learn(model, seed, 3 * steps if patient else steps, rate)
        losses.setdefault(name, {})[rate] = loss
    return NormNeeded(sizes, losses)


@torch.no_grad()
def _sizes(model: Reverser) -> list[float]:
    with probing.recorded(model) as passed:
        model(new_rows()[:16])
    return [stream.square().mean().sqrt().item() for stream in passed.streams]
