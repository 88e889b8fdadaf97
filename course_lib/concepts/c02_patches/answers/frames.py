"""Answers to frames, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib import patches as library


def frames_by_loop(sound, length, hop):
    start, pieces = 0, []
    while start + length <= sound.shape[-1]:
        pieces.append(sound[..., start : start + length])
        start += hop
    return torch.stack(pieces, dim=-2)


def frames_by_index(sound, length, hop, first=1):
    n = (sound.shape[-1] - length) // hop + first
    index = torch.arange(n)[:, None] * hop + torch.arange(length)
    return sound[..., index]


def frames_by_strides(sound, length, hop):
    sound = sound.contiguous()
    n = (sound.shape[-1] - length) // hop + 1
    return sound.as_strided((*sound.shape[:-1], n, length), (*sound.stride()[:-1], hop, 1))


def frames_sample_by_sample(sound, length, hop):
    """Sample k of all frames at once, then the samples side by side."""
    stop = sound.shape[-1] - length
    return torch.stack([sound[..., k : stop + k + 1 : hop] for k in range(length)], -1)


def frames_padded(sound, length, hop):
    n = math.ceil((sound.shape[-1] - length) / hop) + 1
    return frames_by_loop(F.pad(sound, (0, (n - 1) * hop + length - sound.shape[-1])), length, hop)


RIGHT = [frames_by_loop, frames_by_index, frames_by_strides, frames_sample_by_sample]
WRONG = [
    ("the rest filled up", frames_padded),
    ("the last frame is missing", lambda s, n, h: frames_by_index(s, n, h, first=0)),
    ("never a gap", lambda s, n, h: frames_by_loop(s, n, min(h, n))),
    ("axes of 1 dropped", lambda s, n, h: frames_by_loop(s, n, h).squeeze()),
    (None, library.frames),
    (None, lambda s, n, h: s.unfold(-1, n, h)),
]
