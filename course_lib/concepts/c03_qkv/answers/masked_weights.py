"""Answers to masked_weights, as learners write them."""

import math

import numpy as np
import torch


def by_loops(scores, mask):
    out = np.zeros(scores.shape)
    for place in np.ndindex(*scores.shape[:-1]):
        allowed = np.flatnonzero(mask[place[-1]])
        row = scores[place][allowed].astype(float)
        if len(allowed):
            powers = np.exp(row - row.max())
            out[place][allowed] = powers / powers.sum()
    return out


def by_renormalising(scores, mask):
    largest = np.where(mask, scores, -np.finfo(scores.dtype).max).max(-1, keepdims=True)
    powers = np.exp(np.where(mask, scores - largest, -np.inf))
    return np.divide(powers, powers.sum(-1, keepdims=True), out=np.zeros_like(powers), where=powers > 0)


def by_places(scores, mask):
    """The mask as an index, which has to have as many axes as the scores."""
    scores = scores.copy()
    scores[~mask] = -np.inf
    return by_torch(scores, mask).nan_to_num(0)


def by_torch(scores, mask, fill=-math.inf):
    return torch.softmax(torch.tensor(scores).masked_fill(~torch.tensor(mask), fill), -1)


def large_number(scores, mask):
    return np.where(mask, by_torch(scores, mask, torch.finfo(torch.tensor(scores).dtype).min).numpy(), 0)


RIGHT = [
    by_loops,
    by_renormalising,
    large_number,
    lambda scores, mask: by_torch(scores, mask).nan_to_num(0),
]
WRONG = [
    ("allowed scores vanish", lambda s, m: np.nan_to_num(np.exp(s) * m / (np.exp(s) * m).sum(-1)[..., None])),
    ("an answer for two axes", by_places),
    ("a uniform row where nothing may be seen", lambda s, m: by_torch(s, m, -100.0)),
    ("NaN where nothing may be seen", lambda s, m: np.exp(s) * m / (np.exp(s) * m).sum(-1, keepdims=True)),
]
