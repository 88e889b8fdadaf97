"""Answers to depends_on_offset, as learners write them."""

import numpy as np
import torch


def scores(rotate, q, k, n):
    return torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, s) for s in range(n)]).T


def offset_by_loops(rotate, q, k, n, starts=None):
    for offset in range(1 - n, n):
        places = [t for t in starts or range(n) if 0 <= t + offset < n]
        found = [float(rotate(q, t) @ rotate(k, t + offset)) for t in places]
        if found and max(found) - min(found) > 1e-3:
            return False
    return True


def offset_by_toeplitz(rotate, q, k, n):
    table = scores(rotate, q, k, n)
    return torch.allclose(table[1:, 1:], table[:-1, :-1], rtol=0, atol=1e-3)


def offset_from_the_edges(rotate, q, k, n):
    """All places of one offset, against the one with the query or the key at place 0."""
    table = scores(rotate, q, k, n)
    rebuilt = [[table[0, s - t] if s >= t else table[t - s, 0] for s in range(n)] for t in range(n)]
    return bool((torch.tensor(rebuilt, dtype=table.dtype) - table).abs().max() < 1e-3)


def all_the_same(rotate, q, k, n):
    """All products, whatever the offset."""
    table = scores(rotate, q, k, n)
    return bool(table.max() - table.min() < 1e-3)


def grows_beside_the_first(rotate, q, k, n):
    table = scores(rotate, q, k, n).tolist()
    return all(
        table[t][t + offset] - table[t - 1][t - 1 + offset] < 1e-3
        for offset in range(1 - n, n)
        for t in range(max(0, -offset) + 1, n - max(0, offset))
    )


def offset_from_the_last_places(rotate, q, k, n):
    """Backwards, each product against the one before it on its diagonal."""
    for t in reversed(range(1, n)):
        for s in reversed(range(1, n)):
            change = rotate(q, t) @ rotate(k, s) - rotate(q, t - 1) @ rotate(k, s - 1)
            if change**2 >= 1e-6:
                return False
    return True


RIGHT = [
    offset_by_toeplitz,
    offset_by_loops,
    offset_from_the_edges,
    offset_from_the_last_places,
    lambda *given: np.bool_(offset_by_toeplitz(*given)),
]
WRONG = [
    ("only one of the two moves", all_the_same),
    ("places 0 and 1", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n, starts=range(3))),
    ("only growth counts", grows_beside_the_first),
    (None, lambda *given: scores(*given).diagonal(1).diff().abs().max()),
    (
        None,
        lambda rotate, q, k, n: (
            len({round(float(rotate(q, t) @ rotate(k, t + 2)), 4) for t in range(n - 2)}) == 1
        ),
    ),
]
