"""Answers to grouped_attention, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib import attention as library


def attend(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0.0) @ v


def head_by_head(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    heads = []
    for h in range(q.shape[1]):
        scores = q[:, h] @ k[:, h // n].mT * k.shape[-1] ** -0.5
        heads.append(torch.where(mask, scores, -torch.inf).softmax(-1) @ v[:, h // n])
    return torch.stack(heads, 1)


def queries_in_groups(q, k, v, mask):
    q = q.unflatten(1, (k.shape[1], -1))
    scores = torch.einsum("bgntk,bgsk->bgnts", q, k) / math.sqrt(q.shape[-1])
    largest = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).amax(-1, keepdim=True)
    powers = (scores - largest).clamp(max=0).exp() * mask
    return torch.einsum("bgnts,bgsk->bgntk", powers / powers.sum(-1, keepdim=True), v).flatten(1, 2)


def rows_of_one_matrix(q, k, v, mask):
    b, h, t, width = q.shape
    g = k.shape[1]
    rows = q.reshape(b, g, -1, width)  # the queries of a group below each other
    scores = rows @ k.transpose(2, 3) / width**0.5
    added = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores + added.repeat(h // g, 1), dim=-1)
    return (weights @ v).reshape(b, h, t, width)


def not_shifted(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    powers = (q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5).exp() * mask
    return powers / powers.sum(-1, keepdim=True) @ v.repeat_interleave(n, 1)


def by_library(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
    return library.scaled_dot_product_attention(q, k, v, mask)


RIGHT = [head_by_head, queries_in_groups, rows_of_one_matrix, attend]
WRONG = [
    (None, by_library),
    ("overflow", not_shifted),
    ("an axis of one lost", lambda q, k, v, mask: attend(q, k, v, mask).squeeze(2)),
    ("one text alone", lambda q, k, v, mask: attend(q[:1], k[:1], v[:1], mask)),
    (None, lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)),
]
