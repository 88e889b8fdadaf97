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
    (
        "the first query at the first key",  # but for one alone
        lambda t, s: np.tri(t, s, dtype=bool) if t > 1 else np.ones((1, s), bool),
    ),
    (
        "a table of 64 tokens",
        lambda t, s: np.tri(64, dtype=bool)[s - t : s, :s] if s <= 64 else np.tri(64, dtype=bool),
    ),
    ("an axis of one lost", lambda t, s: np.squeeze(by_loops(t, s))),
]
