"""Wrong and correct answers to the tasks of 02_patches on sound, written as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import patches as library

RIGHT, WRONG = {}, {}

# ----------------------------------------------------------------------------------------------------- frames


def frames_by_loop(sound, length, hop, start=0):
    pieces = []
    while start + length <= sound.shape[-1]:
        pieces.append(sound[..., start : start + length])
        start += hop
    return torch.stack(pieces, dim=-2)


def frames_by_index(sound, length, hop, n=None):
    n = (sound.shape[-1] - length) // hop + 1 if n is None else n(sound.shape[-1], length, hop)
    index = torch.arange(n)[:, None] * hop + torch.arange(length)
    return sound[..., index]


def frames_by_strides(sound, length, hop):
    sound = sound.contiguous()
    n = (sound.shape[-1] - length) // hop + 1
    return sound.as_strided((*sound.shape[:-1], n, length), (*sound.stride()[:-1], hop, 1))


def frames_in_numpy(sound, length, hop):
    windows = np.lib.stride_tricks.sliding_window_view(sound.numpy(), length, axis=-1)
    return torch.from_numpy(windows[..., ::hop, :].copy())


def frames_sample_by_sample(sound, length, hop):
    """Sample k of all frames at once, then the samples side by side."""
    stop = sound.shape[-1] - length
    return torch.stack([sound[..., k : stop + k + 1 : hop] for k in range(length)], -1)


def frames_flat(sound, length, hop):
    """Leading axes in one, each sound on its own, then apart again."""
    flat = sound.reshape(-1, sound.shape[-1])
    rows = torch.stack([frames_by_loop(one, length, hop) for one in flat])
    return rows.reshape(*sound.shape[:-1], *rows.shape[1:])


def frames_padded(sound, length, hop):
    n = math.ceil((sound.shape[-1] - length) / hop) + 1
    return frames_by_loop(F.pad(sound, (0, (n - 1) * hop + length - sound.shape[-1])), length, hop)


def frames_strictly(sound, length, hop):
    starts = range(0, sound.shape[-1] - length, hop)
    return torch.stack([sound[..., i : i + length] for i in starts], -2)


def frames_first_axis(sound, length, hop):
    return frames_by_index(sound if sound.ndim == 1 else sound.movedim(0, -1), length, hop)


def frames_ragged(sound, length, hop):
    return torch.stack([sound[..., i : i + length] for i in range(0, sound.shape[-1], hop)], -2)


RIGHT["02_patches/frames"] = [
    frames_by_loop,
    frames_by_index,
    frames_by_strides,
    frames_sample_by_sample,
    frames_in_numpy,
    frames_flat,
]
WRONG["02_patches/frames"] = [
    ("the rest filled up", frames_padded),
    ("the last frame is missing", lambda s, n, h: frames_by_index(s, n, h, n=lambda t, n, h: (t - n) // h)),
    ("the last frame is missing where nothing is left", frames_strictly),
    ("side by side", lambda s, n, h: s[..., : s.shape[-1] // n * n].unflatten(-1, (-1, n))),
    ("a frame at every sample", lambda s, n, h: frames_in_numpy(s, n, 1)),
    ("hop as overlap", lambda s, n, h: frames_by_loop(s, n, n - h) if n > h else 1 / 0),
    ("frames in columns", lambda s, n, h: frames_sample_by_sample(s, n, h).transpose(-1, -2)),
    ("the first frame is missing", lambda s, n, h: frames_by_loop(s, n, h, start=h)),
    ("centred frames", lambda s, n, h: frames_by_loop(F.pad(s, (n // 2, n // 2)), n, h)),
    ("along the first axis", frames_first_axis),
    (
        "frames before the leading axes",
        lambda s, n, h: torch.stack([s[..., i : i + n] for i in range(0, s.shape[-1] - n + 1, h)]),
    ),
    ("leading axes lost", lambda s, n, h: frames_by_loop(s.reshape(-1), n, h)),
    (
        "as many frames as fit side by side",
        lambda s, n, h: frames_by_index(s, n, h, n=lambda t, n, h: t // n),
    ),
    ("frames backwards", lambda s, n, h: frames_by_loop(s, n, h).flip(-2)),
    (None, library.frames),
    (None, lambda s, n, h: s.unfold(-1, n, h)),
    (None, frames_ragged),
    (None, lambda s, n, h: [s[..., i : i + n] for i in range(0, s.shape[-1] - n + 1, h)]),
    (None, lambda s, n, h: frames_by_index(s, n, h).half()),
    (None, lambda s, n, h: frames_by_index(s, n, h).numpy()),
    (None, lambda s, n, h: frames_by_index(s, h, n)),
    (None, lambda s, n, h: frames_by_index(s, n, h).flip(-1)),
    (None, lambda s, n, h: s),
]

# ----------------------------------------------------------------------------------------------- log spectrum


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


def spectrum_frame_by_frame(frames, floor):
    window = torch.hann_window(frames.shape[-1], dtype=frames.dtype)
    flat = frames.reshape(-1, frames.shape[-1])
    rows = torch.stack([torch.log(torch.abs(torch.fft.rfft(window * row)) + floor) for row in flat])
    return rows.reshape(*frames.shape[:-1], -1)


def spectrum(frames, floor, window=torch.hann_window, log=None, size=torch.abs, transform=torch.fft.rfft):
    size_of = size(transform(frames * window(frames.shape[-1]).to(frames.dtype)))
    return torch.log(size_of + floor) if log is None else log(size_of)


def spectrum_of_half(frames, floor):
    """The full transform, and its second half cut off."""
    x = torch.fft.fft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    x = x[..., : frames.shape[-1] // 2 + 1]
    return torch.log(floor + torch.hypot(x.real, x.imag))


def window_late(frames, floor):
    x = torch.fft.rfft(frames).abs()
    return torch.log(x * torch.hann_window(x.shape[-1], dtype=x.dtype) + floor)


def in_place(frames, floor):
    frames *= torch.hann_window(frames.shape[-1], dtype=frames.dtype)
    return torch.log(torch.fft.rfft(frames).abs() + floor)


RIGHT["02_patches/log_spectrum"] = [
    spectrum_by_matrix,
    spectrum_in_numpy,
    spectrum_frame_by_frame,
    spectrum_of_half,
    spectrum,
    lambda x, f: spectrum(x, f, window=lambda n: torch.hann_window(n + 1, periodic=False)[:-1]),
    lambda x, f: spectrum(x, f, size=lambda y: torch.view_as_real(y).norm(dim=-1)),
]
WRONG["02_patches/log_spectrum"] = [
    ("no window", lambda x, f: torch.log(torch.fft.rfft(x).abs() + f)),
    ("a symmetric window", lambda x, f: spectrum(x, f, window=lambda n: torch.tensor(np.hanning(n)))),
    (
        "a symmetric window",
        lambda x, f: spectrum(x, f, window=lambda n: torch.hann_window(n, periodic=False)),
    ),
    ("a Hamming window", lambda x, f: spectrum(x, f, window=torch.hamming_window)),
    ("the window twice", lambda x, f: spectrum(x * torch.hann_window(x.shape[-1], dtype=x.dtype), f)),
    ("the window over the spectrum", window_late),
    ("the power instead of the size", lambda x, f: spectrum(x, f, size=lambda y: y.abs() ** 2)),
    ("the real part", lambda x, f: spectrum(x, f, size=lambda y: y.real.abs())),
    ("the larger of floor and size", lambda x, f: spectrum(x, f, log=lambda y: torch.log(y.clamp(f)))),
    ("no floor", lambda x, f: spectrum(x, f, log=torch.log)),
    ("the floor outside", lambda x, f: spectrum(x, f, log=lambda y: torch.log(y) + f)),
    ("logarithm of 1 + size", lambda x, f: spectrum(x, f, log=torch.log1p)),
    ("another logarithm", lambda x, f: spectrum(x, f, log=lambda y: torch.log10(y + f))),
    ("decibels", lambda x, f: 20 * spectrum(x, f, log=lambda y: torch.log10(y + f))),
    ("no logarithm", lambda x, f: spectrum(x, f, log=lambda y: y + f)),
    ("mirrored pitches", lambda x, f: spectrum(x, f, transform=torch.fft.fft)),
    ("divided by the length", lambda x, f: spectrum(x / x.shape[-1], f)),
    (
        "divided by the root of the length",
        lambda x, f: spectrum(x, f, transform=lambda y: torch.fft.rfft(y, norm="ortho")),
    ),
    ("across the frames", lambda x, f: spectrum(x, f, transform=lambda y: torch.fft.rfft(y, dim=-2))),
    (None, in_place),
    (None, lambda x, f: spectrum(x, f, log=lambda y: torch.log2(y + f))),
    (None, lambda x, f: torch.fft.rfft(x * torch.hann_window(x.shape[-1], dtype=x.dtype))),
    (None, lambda x, f: spectrum(x, f)[..., 1:]),
    (None, lambda x, f: spectrum(x.float(), f)),
    (None, lambda x, f: spectrum(x, f).bfloat16()),
    (None, lambda x, f: spectrum(x, f).numpy()),
    (None, lambda x, f: spectrum(x, f).mean(-2)),
    (None, lambda x, f: spectrum(x, f, size=lambda y: y.imag.abs())),
    (None, lambda x, f: spectrum(x, f, size=lambda y: y)),
]
