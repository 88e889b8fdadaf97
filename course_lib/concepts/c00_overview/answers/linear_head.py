"""Answers to linear_head, as learners write them."""

import math

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


def head_in_place(vectors, weight, bias):
    weight *= 1.5
    return vectors @ (weight / 1.5).T + bias


RIGHT = [
    head_by_loops,
    head_with_a_column_of_ones,
    lambda x, w, b: F.linear(torch.tensor(x), torch.tensor(w), torch.tensor(b)),
    lambda x, w, b: np.einsum("...d,cd->...c", x, w) + b,
    lambda x, w, b: (x[..., None, :] * w).sum(-1) + b,
    lambda x, w, b: np.stack([np.dot(x, row) + one for row, one in zip(w, b, strict=True)], -1),
]
WRONG = [
    ("bias forgotten", lambda x, w, b: (w @ x.T).T),
    (None, lambda x, w, b: x @ w.T + b + 0.001),
    (None, lambda x, w, b: (x @ w.T + b) / math.sqrt(x.shape[-1])),
    (None, lambda x, w, b: (x.astype(np.float32) @ w.T.astype(np.float32) + b).astype(np.float32)),
    (None, lambda x, w, b: x @ w.T + sum(b)),
    (None, head_in_place),
    (None, lambda x, w, b: (w @ x.T + b[:, None]).T),
]
