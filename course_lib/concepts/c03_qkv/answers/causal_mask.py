"""Answers to causal_mask, as learners write them."""

import math

import numpy as np
import torch


def by_loops(n_queries, n_keys):
    return [[s - (n_keys - n_queries) <= t for s in range(n_keys)] for t in range(n_queries)]


RIGHT = [
    by_loops,
    lambda t, s: torch.ones(t, s, dtype=torch.bool).tril(s - t),
    lambda t, s: ~np.triu(np.ones((t, s), bool), 1 + s - t),
    lambda t, s: np.tri(s, s, dtype=bool)[s - t :] if s >= t else np.array(by_loops(t, s)),
]
WRONG = [
    ("to be added to the scores", lambda t, s: torch.full((t, s), -math.inf).triu(s - t + 1)),
    (None, lambda t, s: np.tri(t, s, s - t)),
    (None, lambda t, s: np.squeeze(by_loops(t, s)) if t == s else by_loops(t, s)),
    (None, lambda t, s: [row if i < 10 else [True] * s for i, row in enumerate(by_loops(t, s))]),
]
