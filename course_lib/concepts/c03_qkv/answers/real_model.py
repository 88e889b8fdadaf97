"""Answers to real_model, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib.concepts.c03_qkv.answers.attention import by_loops, flat, fused, without_shift


def with_einsum(q, k, v, mask=None):
    scores = torch.einsum("...tk,...sk->...ts", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(-math.inf, dtype=q.dtype))
    return torch.einsum("...ts,...sd->...td", scores.softmax(-1), v)


def alone(q, k, v, mask=None):
    """Right for one sequence and one head only."""
    return by_loops(q[0, 0], k[0, 0], v[0, 0], mask)[None, None]


RIGHT = [
    with_einsum,
    fused,
    flat,
    lambda q, k, v, mask=None: with_einsum(q.double(), k.double(), v.double(), mask).float(),
]
WRONG = [
    ("mask ignored", lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v)),
    ("overflow", without_shift),
    (None, alone),
    (None, lambda q, k, v, mask=None: with_einsum(q, k.T, v, mask)),
    (None, lambda q, k, v, mask: with_einsum(q, k, v, mask)),
    (None, lambda q, k, v, mask=None: with_einsum(q, k, v, mask).squeeze(-2)),
]
