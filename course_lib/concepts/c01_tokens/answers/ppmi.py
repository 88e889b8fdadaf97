"""Answers to ppmi, as learners write them."""

import math

import numpy as np
import torch


def ppmi_by_loops(counts):
    total = float(counts.sum())
    out = np.zeros(counts.shape)
    for w, c in np.ndindex(*counts.shape):
        if counts[w, c] > 0:
            ratio = float(counts[w, c]) * total / float(counts[w].sum()) / float(counts[:, c].sum())
            out[w, c] = max(0, math.log(ratio))
    return out


def ppmi_by_logs(counts):
    """A sum of logarithms; minus infinity and NaN go away in the end."""
    n = counts.astype(np.float64)
    pmi = np.log(n) + np.log(n.sum()) - np.log(n.sum(0)) - np.log(n.sum(1))[:, None]
    return np.maximum(np.where(n > 0, pmi, 0), 0)


def ppmi_by_torch(counts):
    shares = torch.tensor(counts).double() / counts.sum()
    chance = torch.outer(shares.sum(1), shares.sum(0))
    return (shares / chance).log().clamp(min=0).nan_to_num(0)


def shares(sums):
    """Of all, and something where it would be 0."""
    return np.fmax(sums / sums.sum(), 1e-9)


RIGHT = [
    ppmi_by_loops,
    ppmi_by_logs,
    ppmi_by_torch,
    lambda n: np.log(np.fmax(n / n.sum() / np.fmax(np.outer(n.sum(1), n.sum(0)) / n.sum() ** 2, 1e-30), 1)),
]
WRONG = [
    ("nothing left", lambda n: np.maximum(0, np.log(n / n.sum(1, keepdims=True)))),
    (
        "a row of zeros divided by 0",
        lambda n: np.log(np.maximum(n / n.sum(1)[:, None] / shares(n.sum(0)), 1)),
    ),
    (
        "a column of zeros divided by 0",
        lambda n: np.log(np.maximum(n / n.sum(0) / shares(n.sum(1))[:, None], 1)),
    ),
]
