"""Answers to sinusoids, as learners write them."""

import math

import numpy as np
import torch

from course_lib.positions import sinusoidal


def waves(n, d):
    """Number by number."""
    rows = []
    for t in range(n):
        row = []
        for i in range(d // 2):
            angle = t / 10000 ** (2 * i / d)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)


def waves_by_exp(n, d):
    t = torch.arange(0, n, dtype=torch.float32).unsqueeze(1)
    speed = torch.exp(torch.arange(0, d, 2).float() * (-math.log(10000.0) / d))
    table = torch.zeros(n, d)
    table[:, 0::2] = torch.sin(t * speed)
    table[:, 1::2] = torch.cos(t * speed)
    return table


def waves_in_numpy(n, d, axis=-1):
    i = np.arange(d // 2)
    angles = np.arange(n)[:, None] / np.power(10000, 2 * i / d)
    return np.stack([np.sin(angles), np.cos(angles)], axis).reshape(n, d)


def waves_shifted(n, d):
    """A cosine is a sine that is a quarter ahead."""
    columns = torch.arange(d)
    angles = torch.arange(n)[:, None] / 10000 ** (columns // 2 * 2 / d)
    return torch.sin(angles.double() + columns % 2 * math.pi / 2)


def waves_turned(n, d):
    """The next place turns each pair by a fixed angle."""
    step = torch.polar(
        torch.ones(d // 2, dtype=torch.float64), 10000.0 ** (-torch.arange(0, d, 2).double() / d)
    )
    places = torch.cumprod(torch.stack([torch.ones_like(step), *[step] * (n - 1)]), 0)
    return torch.stack([places.imag, places.real], -1).flatten(1)


def waves_one_by_one(n, d):
    """Each pair is slower than the one before by the same factor."""
    table = torch.zeros(n, d)
    angles, factor = torch.arange(n).float(), 10000 ** (2 / d)
    for column in range(0, d, 2):
        table[:, column], table[:, column + 1] = angles.sin(), angles.cos()
        angles = angles / factor
    return table


def faster(n, d):
    angles = torch.arange(n)[:, None].double() * 10000 ** (torch.arange(0, d, 2).double() / d)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


RIGHT = [waves_by_exp, waves_in_numpy, waves_one_by_one, waves_shifted, waves_turned]
WRONG = [
    ("multiplied instead of divided", faster),
    (None, sinusoidal),
    ("a bare reshape", lambda n, d: waves_in_numpy(n, d, axis=0)),
    ("an axis of one lost", lambda n, d: waves(n, d).squeeze(0)),
    ("a table of a hundred places", lambda n, d: waves(100, d)[:n]),
]
