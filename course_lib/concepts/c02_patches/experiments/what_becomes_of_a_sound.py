"""What vectors a sound becomes, and what readers make of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from course_lib.claims import Trained, trains
from course_lib.concepts.c02_patches.experiments.which_pieces import RATES, Readers, train_readers
from course_lib.data import Examples, sounds
from course_lib.patches import frames

CALM = RATES | {"learning_rate": 0.006, "muon_learning_rate": 0.03}  # better for raw samples


def melodies(seed: int = 0) -> tuple[Examples, Examples]:
    """1,600 to learn from and 400 new ones."""
    random = torch.Generator().manual_seed(seed)
    return sounds(1600, generator=random), sounds(400, generator=random)


def log_spectrum(pieces: Tensor, floor: float = 0.1) -> Tensor:
    """How strong each pitch is in a frame, as a logarithm; as the notebook's cell writes it."""
    return torch.log(floor + torch.fft.rfft(pieces * torch.hann_window(pieces.shape[-1])).abs())


def standard(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers whose mean would be 0 and whose spread 1, had they those of others."""
    return (numbers - like.mean()) / like.std()


@dataclass(frozen=True)
class VectorsFirst:
    """Readers of melodies, by what their vectors hold.

    Args:
        spectra, samples: of frames.
        patient: readers of samples that were trained longer.
        one_matrix: the share that one matrix names right from spectra.
    """

    spectra: Readers
    samples: Readers
    patient: Readers
    one_matrix: float

    @property
    def heard(self) -> float:
        """The share that is named right from spectra."""
        return self.spectra.share

    @property
    def ahead(self) -> float:
        """How many points more than from samples after as many steps."""
        return self.spectra.ahead_of(self.samples)

    @property
    def longer(self) -> float:
        """How many points more are named right from samples after more steps than from spectra."""
        return self.patient.ahead_of(self.spectra)

    @property
    def gained(self) -> float:
        """How many points more steps bring to samples."""
        return self.patient.ahead_of(self.samples)


@trains(Trained(200, 1800, but="Its rates were chosen for it; its width is that of the reader of spectra."))
def vectors_first(
    seed: int = 0,
    *,
    steps: int = 200,
    longer: int = 1800,
    spectrum: Callable[[Tensor], Tensor] = log_spectrum,
    sounds: tuple[Examples, Examples] | None = None,
    **how: Any,
) -> VectorsFirst:
    """Does it matter what the vectors hold that a sound becomes?

    Rival: the raw samples of the same frames, at rates that suit them, also with nine times as many steps.
    Equal for both: the melodies, the frames, the reader, its starts.
    Does not show: that anything has to become vectors, which is how a Transformer is made; real sounds.

    Args:
        seed: of the melodies and the readers.
        steps, longer: of training, and of the rival that has more.
        spectrum: makes other vectors of the frames.
        sounds: what `melodies` gave already for this seed.
        how: see `train_readers`.
    """
    known, new = sounds or melodies(seed)
    vectors = {"samples": [frames(part.inputs, 200, 100) for part in (known, new)]}
    vectors["spectra"] = [spectrum(part) for part in vectors["samples"]]
    given = {
        name: (
            Examples(standard(old, old), known.targets),
            Examples(standard(other, old), new.targets),
        )
        for name, (old, other) in vectors.items()
    }
    matrix = LogisticRegression(max_iter=300)
    flat = [(part.inputs.flatten(1), part.targets) for part in given["spectra"]]
    return VectorsFirst(
        train_readers(*given["spectra"], seed, steps=steps, desc="spectra", **how),
        train_readers(*given["samples"], seed, steps=steps, rates=CALM, desc="samples", **how),
        train_readers(*given["samples"], seed, steps=longer, rates=CALM, desc="longer", **how),
        matrix.fit(*flat[0]).score(*flat[1]),
    )
