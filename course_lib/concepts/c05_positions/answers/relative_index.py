"""Answers to relative_index, as learners write them."""

import numpy as np
import torch


def rows(n_queries, n_keys, m):
    """Pair by pair."""
    places = range(n_keys - n_queries, n_keys)
    return torch.tensor([[max(-m, min(m, s - t)) + m for s in range(n_keys)] for t in places])


def rows_in_numpy(n_queries, n_keys, m):
    places = np.arange(n_keys)
    return np.clip(places - places[n_keys - n_queries :, None] + m, 0, 2 * m)


def rows_by_where(n_queries, n_keys, m):
    away = torch.arange(n_keys).expand(n_queries, n_keys) - torch.arange(
        n_keys - n_queries, n_keys
    ).unsqueeze(1)
    away = torch.where(away > m, m, away)
    return torch.where(away < -m, 0, away + m)


def rows_cut_from_a_band(n_queries, n_keys, m):
    """Each row is the one above, moved on by one."""
    band = torch.cat([torch.zeros(n_keys), torch.arange(2 * m + 1), torch.full((n_keys,), 2 * m)]).int()
    middle = n_keys + m
    return torch.stack([band[middle - t : middle - t + n_keys] for t in range(n_keys - n_queries, n_keys)])


def rows_counted(n_queries, n_keys, m):
    """How many of the limits lie before a distance."""
    away = torch.arange(n_keys) - torch.arange(n_queries)[:, None] - (n_keys - n_queries)
    return sum((away > limit).long() for limit in range(-m, m))


def the_last_place_for_one_alone(n_queries, n_keys, m):
    """A single query stands where the last key does, more of them begin at the first key."""
    table = rows(n_keys, n_keys, m)
    return table[-1:] if n_queries == 1 else table[:n_queries]


RIGHT = [
    rows_in_numpy,
    rows_by_where,
    rows_cut_from_a_band,
    rows_counted,
    lambda t, s, m: rows(s, s, m)[s - t :].to(torch.int16),
]
WRONG = [
    (None, lambda t, s, m: rows(t, s, m).float()),
    (None, lambda t, s, m: rows(t, s, m).clamp(max=2 * m - 1)),
    (None, lambda t, s, m: rows(t, s, m) >= m),
    ("the first query at the first key", the_last_place_for_one_alone),
    ("an axis of one lost", lambda t, s, m: rows(t, s, m).squeeze(0)),
    ("distances up to the last key only", lambda t, s, m: rows(t, s, min(m, s))),
]
