"""Answers to copying_heads, as learners write them."""

import numpy as np
import torch


def by_loops(weights, n, k):
    scores = {}
    for layer in range(weights.shape[0]):
        for head in range(weights.shape[1]):
            looked = [float(weights[layer, head, query, query - n + 1]) for query in range(n, 2 * n)]
            scores[layer, head] = sum(looked) / n
    return sorted(scores, key=scores.get, reverse=True)[:k]


def with_a_mask(weights, n, k):
    """All places of which the second copy's targets are True."""
    query, key = torch.meshgrid(torch.arange(2 * n), torch.arange(2 * n), indexing="ij")
    scores = (weights * ((query >= n) & (query - key == n - 1))).sum((-2, -1)) / n
    return ranked(scores, k)


def one_too_many(weights, n, k):
    queries = range(n - 1, 2 * n)
    return ranked(torch.stack([weights[..., i, i - n + 1] for i in queries]).mean(0), k)


def in_numpy(weights, n, k):
    """Without the last query, whose target is no longer in the first copy."""
    table = weights.numpy()
    queries = np.arange(n, 2 * n - 1)
    scores = table[..., queries, queries - n + 1].sum(-1)
    best = np.argsort(-scores, axis=None)[:k]
    return np.stack(np.unravel_index(best, scores.shape), 1)


def ranked(scores, k):
    layers, heads = torch.unravel_index(scores.flatten().topk(k).indices, scores.shape)
    return list(zip(layers.tolist(), heads.tolist(), strict=True))


def copied(weights, n):
    return weights[..., n:, 1 : n + 1].diagonal(dim1=-2, dim2=-1)


RIGHT = [
    by_loops,
    with_a_mask,
    in_numpy,
    lambda weights, n, k: torch.tensor(ranked(copied(weights, n).mean(-1), k)),
]
WRONG = [
    ("one query too many", one_too_many),
    (
        "anything in the first copy",
        lambda weights, n, k: ranked(weights[..., n:, :].cumsum(-1)[..., n - 1].mean(-1), k),
    ),
    (None, lambda weights, n, k: ranked(weights.diagonal(-n - 2, -2, -1).mean(-1), k)),
    (None, lambda weights, n, k: ranked(copied(weights, n).median(-1).values, k)),
    ("an axis of one lost", lambda weights, n, k: ranked(copied(weights, n).mean(-1).squeeze(), k)),
]
