"""Answers to scores, as learners write them."""

import math

import numpy as np


def by_loops(q, k):
    out = []
    for t in range(q.shape[-2]):
        row = [(q[..., t, :] * k[..., s, :]).sum(-1) for s in range(k.shape[-2])]
        out.append(np.stack(row, -1))
    return np.stack(out, -2) / q.shape[-1] ** 0.5


RIGHT = [
    by_loops,
    lambda q, k: np.einsum("...tk,...sk->...ts", q, k) * q.shape[-1] ** -0.5,
    lambda q, k: (q / math.sqrt(q.shape[-1])) @ np.moveaxis(k, -1, -2),
    lambda q, k: (k @ q.swapaxes(-1, -2)).swapaxes(-1, -2).astype(np.float64) / np.sqrt(q.shape[-1]),
]
WRONG = [
    ("divided by K", lambda q, k: (q[..., :, None, :] * k[..., None, :, :]).mean(-1)),
    ("multiplied instead of divided", lambda q, k: by_loops(q, k) * q.shape[-1]),
    ("keys ask the queries", lambda q, k: by_loops(k, q)),
    ("cut off", lambda q, k: by_loops(q, k).clip(-100, 100)),
    ("an axis of one lost", lambda q, k: by_loops(q, k).squeeze()),
]
