"""Answers to real_model, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib.concepts.c03_qkv.answers.attention import flat, fused, without_shift


def with_einsum(q, k, v, mask=None):
    scores = torch.einsum("...tk,...sk->...ts", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(-math.inf, dtype=q.dtype))
    return torch.einsum("...ts,...sd->...td", scores.softmax(-1), v)


RIGHT = [
    with_einsum,
    fused,
    flat,
    lambda q, k, v, mask=None: with_einsum(q.double(), k.double(), v.double(), mask).float(),
]
WRONG = [
    ("mask ignored", lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v)),
    ("overflow", without_shift),
    ("an answer for one sequence", lambda q, k, v, mask=None: with_einsum(q[0], k[0], v[0], mask)[None]),
    ("an axis of one lost", lambda q, k, v, mask=None: with_einsum(q, k, v, mask).squeeze(-2)),
]
