"""Answers to scores, as learners write them."""

import math

import numpy as np
import torch


def by_loops(q, k):
    out = []
    for t in range(q.shape[-2]):
        row = [(q[..., t, :] * k[..., s, :]).sum(-1) for s in range(k.shape[-2])]
        out.append(np.stack(row, -1))
    return np.stack(out, -2) / q.shape[-1] ** 0.5


def by_plain_loops(q, k):
    """Lists of Python numbers, for two axes; a batch is a list of those."""
    if q.ndim > 2:
        return [by_plain_loops(a, b) for a, b in zip(q, k, strict=True)]
    width = len(q[0])
    return [
        [sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / math.sqrt(width) for y in k] for x in q
    ]


def in_place(q, k):
    q /= np.sqrt(q.shape[-1]).astype(q.dtype)
    return q @ k.swapaxes(-1, -2)


RIGHT = [
    by_loops,
    by_plain_loops,
    lambda q, k: np.einsum("...tk,...sk->...ts", q, k) * q.shape[-1] ** -0.5,
    lambda q, k: (q / math.sqrt(q.shape[-1])) @ np.moveaxis(k, -1, -2),
    lambda q, k: torch.tensor(q) @ torch.tensor(k).mT / math.sqrt(k.shape[-1]),
    lambda q, k: (k @ q.swapaxes(-1, -2)).swapaxes(-1, -2).astype(np.float64) / np.sqrt(q.shape[-1]),
]
WRONG = [
    ("divided by K", lambda q, k: (q[..., :, None, :] * k[..., None, :, :]).mean(-1)),
    ("multiplied instead of divided", lambda q, k: by_loops(q, k) * q.shape[-1]),
    ("keys ask the queries", lambda q, k: by_loops(k, q)),
    (None, in_place),
    (None, lambda q, k: -((q[..., :, None, :] - k[..., None, :, :]) ** 2).sum(-1)),
    (None, lambda q, k: by_loops(q, k).round(2)),
    (None, lambda q, k: print(by_loops(q, k))),
    (None, lambda q, k: by_loops(q, k).ravel()),
    (None, lambda q, k: q @ k),
    (None, lambda q, k: by_loops(q, k).clip(-100, 100)),
    (None, lambda q, k: by_loops(q, k).squeeze()),
]
