"""Answers to cross_attention, as learners write them."""

import math

import torch
import torch.nn.functional as F


def attend(q, k, v):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def by_loops(x, context, w_q, w_k, w_v):
    """One token of x at a time; leading axes are taken one by one."""
    if x.ndim > 2:
        return torch.stack([by_loops(a, b, w_q, w_k, w_v) for a, b in zip(x, context, strict=True)])
    rows = []
    for token in x:
        scores = torch.stack([(token @ w_q) @ (other @ w_k) for other in context]) / math.sqrt(w_q.shape[1])
        powers = torch.exp(scores - scores.max())
        rows.append(sum(p * (other @ w_v) for p, other in zip(powers / powers.sum(), context, strict=True)))
    return torch.stack(rows)


def in_chunks(q, k, v, size=2):
    """The online softmax: two keys at a time, with a running maximum, sum and mix."""
    highest = q.new_full((*q.shape[:-1], 1), -math.inf)
    total, mix = 0.0, 0.0
    for keys, values in zip(k.split(size, -2), v.split(size, -2), strict=True):
        scores = q @ keys.mT / k.shape[-1] ** 0.5
        new = torch.maximum(highest, scores.amax(-1, keepdim=True))
        powers, kept = (scores - new).exp(), (highest - new).exp()
        total = total * kept + powers.sum(-1, keepdim=True)
        mix = mix * kept + powers @ values
        highest = new
    return mix / total


def of_two_axes(x, context, w_q, w_k, w_v):
    q, k, v = x @ w_q, context @ w_k, context @ w_v
    return (q @ k.transpose(0, 1) / math.sqrt(q.shape[-1])).softmax(1) @ v


def at_once(x, context, w_q, w_k, w_v):
    k, v = (context @ torch.cat([w_k, w_v], dim=1)).split(w_k.shape[1], dim=-1)
    return F.scaled_dot_product_attention(x @ w_q, k, v)


def absorbed(x, context, w_q, w_k, w_v):
    """w_q w_k^T in one matrix, and the values projected after the mix: the same numbers."""
    weights = (x @ (w_q @ w_k.mT) @ context.mT / w_q.shape[1] ** 0.5).softmax(-1)
    return (weights @ context) @ w_v


RIGHT = [
    at_once,
    absorbed,
    by_loops,
    lambda x, c, q, k, v: in_chunks(x @ q, c @ k, c @ v),
]
WRONG = [
    ("self-attention", lambda x, c, q, k, v: at_once(x, x, q, k, v)),
    ("W on the wrong side", lambda x, c, q, k, v: attend(F.linear(x, q), F.linear(c, k), F.linear(c, v))),
    ("an answer for two axes", of_two_axes),
    ("an axis of one lost", lambda x, c, q, k, v: attend(x @ q, c @ k, (c @ v).squeeze(-2))),
    (None, lambda x, c, q, k, v: at_once(x, c.detach(), q, k, v)),
]
