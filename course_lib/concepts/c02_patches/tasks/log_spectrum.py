"""The pitches in a frame

How loud is each pitch in a frame? Multiply each frame of L samples by the Hann window, w(n) = 0.5 - 0.5
cos(2 pi n / L) for n from 0 to L - 1, which fades it in and out. Take the Fourier transform of real numbers
(`torch.fft.rfft`, L // 2 + 1 complex numbers), and of each number its size. The result is log(floor +
size), with the natural logarithm: the floor is added inside, so that silence gives log(floor) and not minus
infinity.

Hint: `torch.hann_window(L)` is this window; with `periodic=False` it is another one.

Hint: Three steps: `frames * window`, then `torch.fft.rfft(...).abs()`, then `torch.log(floor + ...)`.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import as_double, draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=10, section="Sound", tensor=True, other_forms=False)


@exercise.solution
def log_spectrum(frames, floor):
    """The strength of each pitch in a frame, on a log scale.

    Args:
        frames: (..., L), L samples each.
        floor: added to every size before the logarithm; above 0.
    Returns: (..., L // 2 + 1).
    """
    ### BEGIN SOLUTION
    window = torch.hann_window(frames.shape[-1], dtype=frames.dtype)
    sizes = torch.fft.rfft(frames * window).abs()
    return torch.log(floor + sizes)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def heard(*shape, floor=0.01, size=1.0):
        """Frames of which no pitch is nearly silent: there the result would be a matter of rounding."""
        window = torch.hann_window(shape[-1], dtype=torch.float64).numpy()
        while True:
            made = draw(rng, *shape, size=size)
            spectrum = np.fft.rfft(made * window)
            smallest = np.minimum(np.abs(spectrum), np.abs(np.fft.rfft(made)))
            ends = [0, -1] if shape[-1] % 2 == 0 else [0]
            inner = np.delete(spectrum, ends, -1)
            # Nor is a part of it, where a mistake takes the real part alone.
            if (smallest > 0.05 * size).all() and (np.abs(inner.real) > 0.02 * size).all():
                return {"frames": made, "floor": floor}

    quiet = heard(3, 6)
    quiet["frames"][1] = 0
    return in_torch(
        [
            Case("one frame of 6 samples", heard(6)),
            Case("as many frames as samples", heard(7, 7, floor=0.1), catches="always the same floor"),
            Case("silence in one frame", quiet, catches="no floor"),
            Case("two sounds", heard(2, *primes(rng, 3, 8)), catches="a loop over one table"),
            # In float32 a window of 4 samples is the same as in float64: its dtype is not asked for.
            Case("frames of 4 in float64", as_double(heard(2, 4)), catches="digits lost on the way"),
        ]
    )


exercise.changed(
    "no window",
    "The window is missing: multiply each frame by it before the transform.",
    ("frames * window", "frames"),
)
exercise.changed(
    "a symmetric window",
    "This window is 0 at both ends: divide n by L, not by L - 1. `np.hanning` and `periodic=False` give "
    "the other one.",
    ("dtype=frames.dtype)", "periodic=False, dtype=frames.dtype)"),
)
exercise.changed(
    "a Hamming window",
    "This is a Hamming window: the Hann window begins at 0.",
    ("hann_window", "hamming_window"),
)
exercise.changed(
    "the window twice",
    "The window was used twice: once is enough.",
    ("frames * window", "frames * window**2"),
)


@exercise.mistake("the window over the spectrum")
def _(frames, floor):
    """The window was laid over the spectrum: multiply the samples by it, before the transform."""
    spectrum = torch.fft.rfft(frames)
    window = torch.hann_window(spectrum.shape[-1], dtype=frames.dtype)
    return torch.log(floor + (spectrum * window).abs())


exercise.changed(
    "the power instead of the size",
    "The sizes were squared: take the size of each complex number, `.abs()`.",
    (".abs()", ".abs() ** 2"),
)
exercise.changed(
    "the real part",
    "Only the real part was used: the size of a complex number is `.abs()`, the root of both squares.",
    (".abs()", ".real.abs()"),
)
exercise.changed(
    "the larger of floor and size",
    "The floor was used as the least size: add it, log(floor + size).",
    ("torch.log(floor + sizes)", "torch.log(sizes.clamp(min=floor))"),
)
exercise.changed(
    "no floor",
    "The floor is missing: silence has log(0), minus infinity. Take log(floor + size).",
    ("floor + sizes", "sizes"),
)
exercise.changed(
    "the floor outside",
    "The floor was added after the logarithm: add it inside, log(floor + size).",
    ("torch.log(floor + sizes)", "floor + torch.log(sizes)"),
)
exercise.changed(
    "always the same floor",
    "The floor is always 0.01: use the one that comes.",
    ("floor + sizes", "0.01 + sizes"),
)


@exercise.mistake("the floor inside the root")
def _(frames, floor):
    """The floor was added to the squares, inside the root: take the size first, then log(floor + size)."""
    window = torch.hann_window(frames.shape[-1], dtype=frames.dtype)
    return torch.log((torch.fft.rfft(frames * window).abs() ** 2 + floor).sqrt())


exercise.changed(
    "logarithm of 1 + size",
    "1 was added instead of the floor: log(floor + size).",
    ("torch.log(floor + sizes)", "torch.log(1 + sizes)"),
)
exercise.changed(
    "another logarithm",
    "This is the logarithm to base 10: the natural one was asked for, `torch.log`.",
    ("torch.log(", "torch.log10("),
)
exercise.changed(
    "logarithm to base 2",
    "This is the logarithm to base 2: the natural one was asked for, `torch.log`.",
    ("torch.log(", "torch.log2("),
)
exercise.changed(
    "decibels",
    "These are decibels, 20 log10: take the natural logarithm alone.",
    ("torch.log(", "20 * torch.log10("),
)
exercise.changed(
    "no logarithm",
    "The logarithm is missing: log(floor + size).",
    ("torch.log(floor + sizes)", "floor + sizes"),
)
exercise.changed(
    "mirrored pitches",
    "For real samples the second half mirrors the first: `torch.fft.rfft` leaves it out, and gives L // 2 "
    "+ 1 numbers.",
    ("rfft", "fft"),
)
exercise.changed(
    "the last pitch is missing",
    "The last pitch is missing: L samples have L // 2 + 1 pitches, from 0 to L // 2.",
    (".abs()", ".abs()[..., : frames.shape[-1] // 2]"),
)
exercise.changed(
    "divided by the length",
    "The spectrum was divided by L: take it as `torch.fft.rfft` gives it.",
    (".abs()", ".abs() / frames.shape[-1]"),
)
exercise.changed(
    "divided by the root of the length",
    'The spectrum was divided by the square root of L, as `norm="ortho"` does: take it as it comes.',
    ("rfft(frames * window)", 'rfft(frames * window, norm="ortho")'),
)
exercise.changed(
    "across the frames",
    "The transform went across the frames: it goes along the samples of each, the last axis.",
    ("rfft(frames * window)", "rfft(frames * window, dim=-2)"),
)
exercise.changed(
    "along the first axis",
    "The transform went along the first axis: it goes along the samples of each frame, the last axis.",
    ("rfft(frames * window)", "rfft(frames * window, dim=0)"),
)
exercise.changed(
    "along all axes",
    "The transform went along all axes: it goes along the samples of each frame alone, the last axis.",
    ("rfft(frames * window)", "rfftn(frames * window)"),
)


@exercise.mistake("the window across the frames")
def _(frames, floor):
    """The window was laid across the frames: each frame is faded in and out, along its samples."""
    window = torch.hann_window(frames.shape[-2], dtype=frames.dtype)[:, None]
    return torch.log(floor + torch.fft.rfft(frames * window).abs())
