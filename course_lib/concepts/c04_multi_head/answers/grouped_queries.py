"""Answers to grouped_queries, as learners write them."""

import math

import torch
import torch.nn.functional as F


def attend(q, k, v):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def by_loop(q, k, v, which=lambda h, n, g: h // n):
    n, g = q.shape[1] // k.shape[1], k.shape[1]
    mixes = [attend(q[:, h], k[:, which(h, n, g)], v[:, which(h, n, g)]) for h in range(q.shape[1])]
    return torch.stack(mixes, 1)


def by_axis(q, k, v):
    grouped = q.unflatten(1, (k.shape[1], -1))  # (B, G, H / G, T, K)
    return attend(grouped, k[:, :, None], v[:, :, None]).flatten(1, 2)


def by_axis_if_any(q, k, v):
    """As `by_axis`, but the axis of a group of one is gone."""
    grouped = q.unflatten(1, (k.shape[1], -1)).squeeze(2)
    return attend(grouped, k[:, :, None], v[:, :, None]).flatten(1, 2)


def as_rows(q, k, v):
    b, h, t, width = q.shape
    rows = q.reshape(b, k.shape[1], -1, width)  # all queries of a group below each other
    return attend(rows, k, v).reshape(b, h, t, width)


RIGHT = [
    by_loop,
    by_axis,
    as_rows,
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
]
WRONG = [
    ("key heads in turn", lambda q, k, v: by_loop(q, k, v, lambda h, n, g: h % g)),
    ("one each, the rest share the last", lambda q, k, v: by_loop(q, k, v, lambda h, n, g: min(h, g - 1))),
    ("an answer for one sequence", lambda q, k, v: by_loop(q[:1], k[:1], v[:1])),
    ("no axis for a group of one", by_axis_if_any),
    ("no axis for one query", lambda q, k, v: by_loop(q, k, v).squeeze(2)),
    ("no axis for one key head", lambda q, k, v: by_loop(q, k.squeeze(1), v.squeeze(1))),
]
