"""The tasks of solutions/02_patches/sound.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 02_patches.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.checks.inputs import Rng, all_different, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code

Tensor = torch.Tensor
Array = np.ndarray


# ----------------------------------------------------------------------------------------------------- frames


def frames(
    sound: Tensor,
    frame_length: int,
    hop: int,
    *,
    last: Callable[[int, int, int], int] = lambda n, length, hop: (n - length) // hop,
    first: int = 0,
) -> Tensor:
    """Pieces of a sound, one every `hop` samples; `last` and `first` are numbers of frames."""
    numbers = range(first, last(sound.shape[-1], frame_length, hop) + 1)
    return torch.stack([sound[..., n * hop : n * hop + frame_length] for n in numbers], -2)


def padded_frames(sound: Tensor, frame_length: int, hop: int) -> Tensor:
    """As `frames`, and one more for the rest, filled up with zeros."""
    rest = (frame_length - sound.shape[-1]) % hop
    return frames(torch.nn.functional.pad(sound, (0, rest)), frame_length, hop)


def centred_frames(sound: Tensor, frame_length: int, hop: int) -> Tensor:
    """As `frames`, the first one centred at sample 0."""
    half = frame_length // 2
    return frames(torch.nn.functional.pad(sound, (half, half)), frame_length, hop)


def frames_cases(rng: Rng) -> list[Case]:
    def sound(*shape: int, length: int, hop: int) -> dict[str, Any]:
        return {"sound": all_different(rng, *shape), "frame_length": length, "hop": hop}

    whole = sound(7, 29, length=5, hop=3)
    whole["sound"] = rng.integers(-(2**15), 2**15, whole["sound"].shape).astype(np.int16)
    stored = sound(11, 23, length=5, hop=2)
    stored["sound"] = backwards(stored["sound"])
    length, hop = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one sound of 8 samples", sound(8, length=3, hop=2)),
            Case("a rest that fills no frame", sound(12, length=5, hop=3)),
            Case("no rest", sound(11, length=5, hop=3)),
            Case("frames side by side", sound(7, 17, length=5, hop=5)),
            Case("gaps between the frames", sound(3, 31, length=3, hop=7)),
            Case("two leading axes", sound(11, 3, 29, length=length, hop=hop)),
            Case("a frame at every sample", sound(5, 7, length=3, hop=1)),
            Case("one frame", sound(11, 7, length=7, hop=2)),
            Case("whole numbers", whole),
            Case("float64", as_double(sound(2, 19, length=7, hop=3))),
            Case("stored column by column", stored),
        ]
    )


# ----------------------------------------------------------------------------------------------- log spectrum


def hann(length: int, period: int | None = None) -> Tensor:
    """A window that is 0 at its beginning and 1 in the middle; its period is the length of the frame."""
    n = torch.arange(length, dtype=torch.float64)
    return 0.5 - 0.5 * torch.cos(2 * math.pi * n / max(period or length, 1))


def symmetric_hann(length: int) -> Tensor:
    """0 at both ends."""
    return hann(length, length - 1)


def hamming(length: int) -> Tensor:
    """Not quite 0 at its beginning."""
    return 0.08 + 0.92 * hann(length)


def log_of_sum(size: Tensor, floor: float) -> Tensor:
    return torch.log(floor + size)


def log_spectrum(
    frames: Tensor,
    floor: float,
    *,
    window: Callable[[int], Tensor] = hann,
    transform: Callable[[Tensor], Tensor] = torch.fft.rfft,
    size: Callable[[Tensor], Tensor] = torch.abs,
    log: Callable[[Tensor, float], Tensor] = log_of_sum,
) -> Tensor:
    """How strong each pitch is in a frame, on a log scale."""
    weighted = frames * window(frames.shape[-1]).to(frames.dtype)
    return log(size(transform(weighted)), floor)


def transform_first(frames: Tensor, floor: float) -> Tensor:
    """The window is laid over the spectrum."""
    spectrum = torch.fft.rfft(frames)
    return torch.log(floor + (spectrum * hann(spectrum.shape[-1]).to(frames.dtype)).abs())


def log_spectrum_cases(rng: Rng) -> list[Case]:
    def heard(*shape: int, floor: float = 0.01, size: float = 1.0) -> dict[str, Any]:
        """Frames of which no pitch is nearly silent: there the result would be a matter of rounding."""
        while True:
            made = draw(rng, *shape, size=size)
            spectrum = np.fft.rfft(made * hann(shape[-1]).numpy())
            smallest = np.minimum(np.abs(spectrum), np.abs(np.fft.rfft(made)))
            ends = [0, -1] if shape[-1] % 2 == 0 else [0]
            inner = np.delete(spectrum, ends, -1)
            # Nor is a part of it, where a mistake takes the real part alone.
            if (smallest > 0.05 * size).all() and (np.abs(inner.real) > 0.02 * size).all():
                return {"frames": made, "floor": floor}

    quiet = heard(3, 6)
    quiet["frames"][1] = 0
    stored = heard(5, 6)
    stored["frames"] = backwards(stored["frames"])
    return in_torch(
        [
            Case("one frame of 6 samples", heard(6)),
            Case("two frames of 5 samples", heard(2, 5, floor=0.1)),
            Case("as many frames as samples", heard(7, 7)),
            Case("silence in one frame", quiet),
            Case("two sounds", heard(2, *primes(rng, 3, 8))),
            Case("two leading axes", heard(2, 3, 5, 6)),
            Case("a high floor", heard(3, 8, floor=2.0)),
            Case("loud", heard(3, 5, size=100.0)),
            # In float32 a window of 4 samples is the same as in float64: its dtype is not asked for.
            Case("float64", as_double(heard(2, 4))),
            Case("stored column by column", stored),
        ]
    )


TASKS = {
    "frames": Code(reference=frames, cases=frames_cases, tensor=True),
    "log_spectrum": Code(reference=log_spectrum, cases=log_spectrum_cases, tensor=True),
}
