"""Answers to alibi_bias, as learners write them."""

import math

import numpy as np
import torch

from course_lib.positions import ALiBi


def penalties(n_heads, n_queries, n_keys, slope=lambda h, n: 2 ** (-8 * h / n)):
    """Number by number."""
    places = range(n_keys - n_queries, n_keys)
    sizes = [[abs(t - s) for s in range(n_keys)] for t in places]
    slopes = [slope(h, n_heads) for h in range(1, n_heads + 1)]
    return torch.tensor([[[-m * d for d in row] for row in sizes] for m in slopes])


def penalties_of_grid(n_heads, n_queries, n_keys):
    slopes = torch.tensor([0.5 ** (8 / n_heads * (h + 1)) for h in range(n_heads)])
    queries, keys = torch.meshgrid(torch.arange(n_keys)[-n_queries:], torch.arange(n_keys), indexing="ij")
    return torch.einsum("h,ts->hts", slopes, -(queries - keys).abs().float())


def penalties_cut_out(n_heads, n_queries, n_keys):
    """The table of all queries, then its last rows."""
    places = np.arange(n_keys)
    distances = np.abs(np.subtract.outer(places, places))[n_keys - n_queries :]
    return -np.exp2(-8 * np.arange(1, n_heads + 1) / n_heads).reshape(-1, 1, 1) * distances


def penalties_as_in_the_papers_code(n_heads, n_queries, n_keys):
    """The first slope, and its powers."""
    start = 2 ** (-(2 ** -(math.log2(n_heads) - 3)))
    slopes = torch.tensor([start * start**i for i in range(n_heads)])
    places = torch.arange(n_keys)
    distances = torch.maximum(places, places[:, None]) - torch.minimum(places, places[:, None])
    return (slopes.view(-1, 1, 1) * -distances)[:, -n_queries:]


def penalties_by_halving(n_heads, n_queries, n_keys):
    table, slope = [], 1.0
    for _ in range(n_heads):
        slope = slope / 2 ** (8 / n_heads)
        query = torch.arange(n_queries).float() - n_queries + n_keys
        table.append(torch.cdist(query[:, None], torch.arange(n_keys).float()[:, None], p=1) * -slope)
    return torch.stack(table)


def the_last_place_for_one_alone(n_heads, n_queries, n_keys):
    """A single query stands where the last key does, more of them begin at the first key."""
    table = penalties(n_heads, n_keys, n_keys)
    return table[:, -1:] if n_queries == 1 else table[:, :n_queries]


RIGHT = [
    penalties_of_grid,
    penalties_cut_out,
    penalties_as_in_the_papers_code,
    penalties_by_halving,
    lambda h, t, s: penalties(h, t, s).double(),
]
WRONG = [
    ("distance rewarded", lambda h, t, s: penalties(h, t, s).abs()),
    ("later keys left alone", lambda h, t, s: penalties(h, t, s).tril(s - t)),
    (None, lambda h, t, s: ALiBi(h)(torch.zeros(1, h, t, 1), s)),
    (None, lambda h, t, s: penalties(h, t, s, lambda i, n: i / n)),
    ("the first query at the first key", the_last_place_for_one_alone),
    ("no axis for one head", lambda h, t, s: penalties(h, t, s).squeeze(0)),
    ("no axis for one query", lambda h, t, s: penalties(h, t, s).squeeze(1)),
]
