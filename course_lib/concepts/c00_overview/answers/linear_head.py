"""Answers to linear_head, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F


def head_by_loops(vectors, weight, bias):
    out = np.zeros((*vectors.shape[:-1], len(weight)))
    for place in np.ndindex(*out.shape):
        row = zip(vectors[place[:-1]], weight[place[-1]], strict=True)
        out[place] = sum(float(x) * float(w) for x, w in row) + float(bias[place[-1]])
    return out


def head_with_a_column_of_ones(vectors, weight, bias):
    ones = np.ones((*vectors.shape[:-1], 1), vectors.dtype)
    return np.concatenate([vectors, ones], -1) @ np.concatenate([weight, bias[:, None]], 1).T


RIGHT = [
    head_by_loops,
    head_with_a_column_of_ones,
    lambda x, w, b: F.linear(torch.tensor(x), torch.tensor(w), torch.tensor(b)),
    lambda x, w, b: (x[..., None, :] * w).sum(-1) + b,
]
WRONG = [
    ("bias forgotten", lambda x, w, b: (w @ x.T).T),
    (
        "two axes taken for granted",
        lambda x, w, b: np.array([w @ v + b for v in x]) if x.ndim > 1 else w @ x + b,
    ),
    (None, lambda x, w, b: (w @ x.T + b[:, None]).T),
]
