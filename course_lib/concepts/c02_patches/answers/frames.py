"""Answers to frames, as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import patches as library


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


RIGHT = [
    frames_by_loop,
    frames_by_index,
    frames_by_strides,
    frames_sample_by_sample,
    frames_in_numpy,
    frames_flat,
]
WRONG = [
    ("the rest filled up", frames_padded),
    ("the last frame is missing where nothing is left", frames_strictly),
    ("along the first axis", frames_first_axis),
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
