"""Answers to temperature_softmax, as learners write them."""

import math

import numpy as np
import torch


def chances_by_loops(logits, temperature):
    """Row by row, in Python's own numbers."""
    out = np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape[:-1]):
        row = [float(x) / temperature for x in logits[place]]
        powers = [math.exp(x - max(row)) for x in row]  # the largest anew for each: slow, and right
        out[place] = [power / sum(powers) for power in powers]
    return out


def chances_by_torch(logits, temperature):
    return torch.softmax(torch.tensor(logits) / temperature, -1)


def table_by_loop(logits, temperature):
    rows = []
    for row in np.atleast_2d(logits / temperature):
        powers = np.exp(row - row.max())
        rows.append(powers / powers.sum())
    return np.reshape(rows, logits.shape)


def bare(x):
    """A softmax without a shift."""
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


RIGHT = [
    chances_by_loops,
    chances_by_torch,
    lambda x, t: np.exp(x / t - np.logaddexp.reduce(x / t, axis=-1, keepdims=True)),
    lambda x, t: bare((x - np.max(x, axis=-1)[..., None]) * (1 / t)),
]
WRONG = [
    ("temperature without effect", lambda x, t: chances_by_loops(x - t, 1)),
    (None, lambda x, t: np.nan_to_num(bare(x / t))),
    ("a least temperature", lambda x, t: chances_by_loops(x, max(t, 0.1))),
    ("a least temperature", lambda x, t: chances_by_loops(x, t + 1e-6)),
    ("a loop over one table", table_by_loop),
    ("scores cut to -1,000 to 1,000", lambda x, t: chances_by_loops(np.clip(x / t, -1000, 1000), 1)),
    (
        "the mean subtracted instead of the largest",
        lambda x, t: bare((x - x.mean(-1, keepdims=True)) / t),
    ),
]
