"""Answers to softmax, as learners write them."""

import math

import numpy as np
import torch


def by_loops(scores):
    out = np.zeros(scores.shape)
    for place in np.ndindex(*scores.shape[:-1]):
        row = [float(x) for x in scores[place]]
        powers = [math.exp(x - max(row)) for x in row]
        out[place] = [power / sum(powers) for power in powers]
    return out


def without_stability(scores):
    return (
        np.stack([np.exp(column) for column in np.moveaxis(scores, -1, 0)], -1)
        / np.exp(scores).sum(-1)[..., None]
    )


def by_tables(scores):
    """A batch table by table; one row alone has no axis 1."""
    if scores.ndim > 2:
        return np.stack([by_tables(table) for table in scores])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


RIGHT = [
    by_loops,
    lambda scores: torch.softmax(torch.tensor(scores), dim=-1),
    lambda scores: np.exp(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)),
    lambda scores: by_loops(scores).tolist(),
]
WRONG = [
    ("softmax over the queries", lambda s: torch.softmax(torch.tensor(s), dim=-2).numpy()),
    ("softmax over everything", lambda s: by_loops(s.reshape(1, -1)).reshape(s.shape)),
    ("overflow", without_stability),
    ("logarithms", lambda s: torch.log_softmax(torch.tensor(s), -1)),
    ("sigmoid", lambda s: torch.sigmoid(torch.tensor(s))),
    ("tables and batches only", by_tables),
    ("-100 for -inf", lambda s: by_loops(np.where(np.isinf(s), -100, s))),
    ("an axis of one lost", lambda s: by_loops(s).squeeze()),
    (None, lambda s: np.nan_to_num(without_stability(s))),
]
