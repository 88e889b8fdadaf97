"""Answers to grouped_queries, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib.attention import scaled_dot_product_attention


def attend(q, k, v):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def by_loop(q, k, v, which=lambda h, n, g: h // n):
    n, g = q.shape[1] // k.shape[1], k.shape[1]
    mixes = [attend(q[:, h], k[:, which(h, n, g)], v[:, which(h, n, g)]) for h in range(q.shape[1])]
    return torch.stack(mixes, 1)


def by_axis(q, k, v):
    grouped = q.unflatten(1, (k.shape[1], -1))  # (B, G, H / G, T, K)
    return attend(grouped, k[:, :, None], v[:, :, None]).flatten(1, 2)


def as_rows(q, k, v):
    b, h, t, width = q.shape
    rows = q.reshape(b, k.shape[1], -1, width)  # all queries of a group below each other
    return attend(rows, k, v).reshape(b, h, t, width)


def by_expand(q, k, v):
    n = q.shape[1] // k.shape[1]
    k, v = (x[:, :, None].expand(-1, -1, n, -1, -1).flatten(1, 2) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v)


def in_place(q, k, v):
    q /= math.sqrt(q.shape[-1])
    return by_loop(q * math.sqrt(q.shape[-1]), k, v)


RIGHT = [
    by_loop,
    by_axis,
    as_rows,
    by_expand,
    lambda q, k, v: scaled_dot_product_attention(
        q, *(x[:, torch.arange(q.shape[1]) * x.shape[1] // q.shape[1]] for x in (k, v))
    ),
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    lambda q, k, v: torch.cat(
        [attend(some, k[:, g : g + 1], v[:, g : g + 1]) for g, some in enumerate(q.chunk(k.shape[1], 1))],
        1,
    ),
]
WRONG = [
    ("key heads in turn", lambda q, k, v: by_loop(q, k, v, lambda h, n, g: h % g)),
    ("one each, the rest share the last", lambda q, k, v: by_loop(q, k, v, lambda h, n, g: min(h, g - 1))),
    (None, attend),
    (None, in_place),
    (None, lambda q, k, v: by_loop(q, k, v).flatten(1, 2)),
    (None, lambda q, k, v: by_loop(q, k, v, lambda h, n, g: -1)),
    (None, lambda q, k, v: attend(q, k.repeat_interleave(q.shape[1] // k.shape[1], 2), v)),
    (None, lambda q, k, v: by_loop(q, k, v).detach()),
    (None, lambda q, k, v: by_loop(q, k, v).squeeze(2)),
    (None, lambda q, k, v: by_loop(q, k.squeeze(1), v.squeeze(1))),
]
