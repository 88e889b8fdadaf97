"""Answers to top_k, as learners write them."""

import math

import numpy as np
import torch


def top_k_by_loops(logits, k, below=-math.inf):
    out = np.full(logits.shape, below, logits.dtype)
    for row in np.ndindex(*logits.shape[:-1]):
        for place in sorted(range(logits.shape[-1]), key=lambda i: -logits[row][i])[:k]:
            out[(*row, place)] = logits[(*row, place)]
    return out


def top_k_by_repeated_maximum(logits, k):
    left, out = logits.copy(), np.full_like(logits, -np.inf)
    for _ in range(k):
        place = left.argmax(-1)[..., None]
        np.put_along_axis(out, place, np.take_along_axis(left, place, -1), -1)
        np.put_along_axis(left, place, -np.inf, -1)
    return out


def top_k_by_scatter(logits, k, largest=True):
    kept = torch.tensor(logits).topk(k, largest=largest)
    return torch.full(logits.shape, -math.inf, dtype=kept.values.dtype).scatter(-1, kept.indices, kept.values)


def top_k_by_argpartition(logits, k):
    out = np.full_like(logits, -np.inf)
    kept = np.argpartition(logits, -k, axis=-1)[..., -k:]
    np.put_along_axis(out, kept, np.take_along_axis(logits, kept, -1), -1)
    return out


def table_by_loop(logits, k):
    out = logits.copy()
    for row in np.atleast_2d(out):
        row[row < np.sort(row)[-k]] = -np.inf
    return out


def threshold(logits, place):
    """One number of each sorted row."""
    return np.sort(logits, axis=-1)[..., place][..., None]


RIGHT = [
    top_k_by_loops,
    top_k_by_repeated_maximum,
    top_k_by_scatter,
    lambda x, k: np.where(x < np.partition(x, -k)[..., [-k]], -np.inf, x),
    lambda x, k: np.where((x[..., None, :] > x[..., None]).sum(-1) < k, x, -np.inf),
]
WRONG = [
    ("the k smallest", lambda x, k: top_k_by_scatter(x, k, largest=False)),
    ("one too many", lambda x, k: np.where(x >= threshold(x, -k - 1), x, -np.inf)),
    (None, lambda x, k: np.where(x >= k, x, -np.inf)),
    ("the lowest number", lambda x, k: top_k_by_loops(x, k, below=np.finfo(x.dtype).min)),
    ("compared with place -k - 1", lambda x, k: np.where(x > threshold(x, -k - 1), x, -np.inf)),
    ("the slice -k : -k + 1", lambda x, k: np.where(x >= np.sort(x)[..., -k : -k + 1], x, -np.inf)),
    ("a loop over one table", table_by_loop),
    ("one row alone", lambda x, k: np.array([v if v in sorted(x)[-k:] else -np.inf for v in x])),
]
