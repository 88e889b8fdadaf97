"""Answers to mix, as learners write them."""

import numpy as np
import torch


def by_loops(weights, v):
    out = np.zeros((*weights.shape[:-1], v.shape[-1]))
    for t in range(weights.shape[-2]):
        for s in range(v.shape[-2]):
            out[..., t, :] += weights[..., t, s, None].astype(float) * v[..., s, :]
    return out


RIGHT = [
    by_loops,
    lambda w, v: np.einsum("...ts,...sd->...td", w, v),
    lambda w, v: (w[..., :, :, None] * v[..., None, :, :]).sum(-2),
    lambda w, v: torch.tensor(w) @ torch.tensor(v),
]
WRONG = [
    ("winner takes all", lambda w, v: by_loops(np.arange(w.shape[-1]) == w.argmax(-1)[..., None], v)),
    ("divided by the number of values", lambda w, v: (w[..., :, :, None] * v[..., None, :, :]).mean(-2)),
    ("normalised once more", lambda w, v: by_loops(w, v) / w.sum(-1, keepdims=True)),
]
