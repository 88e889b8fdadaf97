"""Answers to learned_positions, as learners write them."""

import torch

from course_lib.positions import PositionEmbedding


def added(x, table, start, step=1):
    """Token by token."""
    if start + x.shape[1] > table.shape[0]:
        raise ValueError("no such place")
    return torch.stack([x[:, i] + table[start + step * i] for i in range(x.shape[1])], dim=1)


def looked_up(x, table, start):
    places = torch.arange(start, start + x.size(1))
    if places.max() >= table.size(0):
        raise ValueError(f"place {int(places.max())} of {table.size(0)}")
    return x + torch.nn.functional.embedding(places, table)


def by_one_hot(x, table, start):
    if len(table) - start < x.shape[1]:
        raise ValueError
    places = torch.arange(x.shape[1])[:, None] + start == torch.arange(len(table))
    return x + places.to(table.dtype) @ table


def in_sequences(x, table, start):
    rows = table[start:][: x.shape[1]]
    if len(rows) != x.shape[1]:
        raise ValueError("beyond the table")
    return torch.stack([sequence + rows for sequence in x])


def from_an_index_error(x, table, start):
    try:
        return x + table[torch.arange(start, start + x.shape[1])]
    except IndexError as error:
        raise ValueError("beyond the table") from error


def library(x, table, start):
    layer = PositionEmbedding(*table.shape)
    return torch.func.functional_call(layer, {"weight": table}, (x, start))


def left_to_torch(x, table, start):
    """A single row fits all tokens, and so torch says nothing."""
    if start >= len(table):
        raise ValueError
    try:
        return x + table[start : start + x.shape[1]]
    except RuntimeError as error:
        raise ValueError from error


def not_all_rows(x, table, start):
    """Where no row is left, torch makes an empty result of one token."""
    rows = table[start : start + x.shape[1]]
    if 0 < len(rows) < x.shape[1]:
        raise ValueError("not enough rows")
    return x + rows


RIGHT = [added, looked_up, by_one_hot, in_sequences, from_an_index_error]
WRONG = [
    (
        "no look at the end of the table",
        lambda x, table, start: x + table[(torch.arange(x.shape[1]) + start) % len(table)],
    ),
    (
        "no look at the end of the table",
        lambda x, table, start: x + table[(torch.arange(x.shape[1]) + start).clamp(max=len(table) - 1)],
    ),
    (None, library),
    (None, lambda x, table, start: added(x, table.detach(), start)),
    (None, lambda x, table, start: added(x, table, start=0, step=2)),
    ("no row at all is added to one token", not_all_rows),
    ("one row added to all", left_to_torch),
    ("an axis of one lost", lambda x, table, start: added(x, table, start).squeeze(1)),
]
