"""Answers to previous_token_score, as learners write them."""

import numpy as np
import torch


def by_loops(weights):
    n_layers, n_heads, t, _ = weights.shape
    out = torch.zeros(n_layers, n_heads, dtype=weights.dtype)
    for layer in range(n_layers):
        for head in range(n_heads):
            for query in range(1, t):
                out[layer, head] += weights[layer, head, query, query - 1] / (t - 1)
    return out


def by_mask(weights):
    t = weights.shape[-1]
    before = torch.ones(t, t, dtype=torch.bool).tril(-1) & torch.ones(t, t, dtype=torch.bool).triu(-1)
    return (weights * before).sum((-2, -1)) / before.sum()


def looked(weights):
    t = weights.shape[-1]
    return weights[..., torch.arange(1, t), torch.arange(t - 1)]


RIGHT = [
    by_loops,
    by_mask,
    lambda weights: np.diagonal(weights.numpy(), -1, 2, 3).mean(-1),
    lambda weights: [[float(head.diagonal(-1).mean()) for head in one] for one in weights.double()],
]
WRONG = [
    ("the next token", lambda weights: by_mask(weights.mT)),
    ("the token itself", lambda weights: torch.einsum("lhtt->lh", weights) / weights.shape[-1]),
    ("one number for each head", lambda weights: looked(weights.mean(0)).mean(-1)),
    (None, lambda weights: looked(weights).median(-1).values),
    (None, lambda weights: looked(weights).mean(-1).softmax(-1)),
    ("an axis of one lost", lambda weights: looked(weights).squeeze(-1).mean(-1)),
]
