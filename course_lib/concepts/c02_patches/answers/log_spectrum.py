"""Answers to log_spectrum, as learners write them."""

import math

import numpy as np
import torch


def spectrum_by_matrix(frames, floor):
    """Sums of cosines and sines, in float64."""
    length = frames.shape[-1]
    n = torch.arange(length, dtype=torch.float64)
    angles = 2 * math.pi * torch.outer(torch.arange(length // 2 + 1, dtype=torch.float64), n) / length
    x = frames.double() * (0.5 - 0.5 * torch.cos(2 * math.pi * n / length))
    sizes = ((x @ angles.cos().T) ** 2 + (x @ angles.sin().T) ** 2).sqrt()
    return (sizes + floor).log().to(frames.dtype)


def spectrum_in_numpy(frames, floor):
    x = frames.numpy()
    n = np.arange(x.shape[-1])
    window = np.sin(np.pi * n / len(n)) ** 2  # the same window
    return torch.tensor(np.log(np.abs(np.fft.rfft(x * window)) + floor)).to(frames.dtype)


def spectrum(frames, floor, window=torch.hann_window, size=torch.abs):
    return torch.log(size(torch.fft.rfft(frames * window(frames.shape[-1]).to(frames.dtype))) + floor)


def spectrum_of_half(frames, floor):
    """The full transform, and its second half cut off."""
    x = torch.fft.fft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    x = x[..., : frames.shape[-1] // 2 + 1]
    return torch.log(floor + torch.hypot(x.real, x.imag))


def window_late(frames, floor):
    x = torch.fft.rfft(frames).abs()
    return torch.log(x * torch.hann_window(x.shape[-1], dtype=x.dtype) + floor)


def frame_by_frame(frames, floor):
    rows = []
    for frame in torch.atleast_2d(frames):
        window = torch.hann_window(len(frame), dtype=frame.dtype)
        rows.append(torch.log(torch.fft.rfft(frame * window).abs() + floor))
    return torch.stack(rows).reshape(*frames.shape[:-1], -1)


RIGHT = [spectrum_by_matrix, spectrum_in_numpy, spectrum_of_half, spectrum]
WRONG = [
    (
        "a symmetric window",
        lambda x, f: spectrum(x, f, window=lambda n: torch.hann_window(n, periodic=False)),
    ),
    ("the window over the spectrum", window_late),
    (None, lambda x, f: spectrum(x, f, size=lambda y: y)),
    ("a loop over one table", frame_by_frame),
    ("digits lost on the way", lambda x, f: spectrum(x.float(), f)),
]
