"""Answers to attention, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib.attention import scaled_dot_product_attention


def by_loops(q, k, v, mask=None):
    """One query at a time; leading axes are taken one by one."""
    if q.ndim > 2:
        return torch.stack([by_loops(a, b, c, mask) for a, b, c in zip(q, k, v, strict=True)])
    rows = []
    for t in range(len(q)):
        seen = range(len(k)) if mask is None else mask[t].nonzero().flatten().tolist()
        mix = torch.zeros(v.shape[1], dtype=q.dtype)
        if len(seen):
            scores = torch.stack([(q[t] * k[s]).sum() / math.sqrt(q.shape[1]) for s in seen])
            powers = torch.exp(scores - scores.max())
            for power, s in zip(powers / powers.sum(), seen, strict=True):
                mix = mix + power * v[s]
        rows.append(mix)
    return torch.stack(rows)


def fused(q, k, v, mask=None):
    mix = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mix if mask is None else torch.where(mask.any(-1)[..., None], mix, torch.zeros((), dtype=q.dtype))


def flat(q, k, v, mask=None):
    """Batch and heads in one axis, then torch.bmm."""
    flat = [x.reshape(-1, *x.shape[-2:]) for x in (q, k, v)]
    scores = torch.bmm(flat[0], flat[1].transpose(1, 2)) / math.sqrt(q.shape[-1])
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    powers = (
        (scores - scores.masked_fill(~allowed, -1e30).amax(-1, keepdim=True))
        .masked_fill(~allowed, -1e30)
        .exp()
    )
    powers = powers * allowed
    weights = powers / powers.sum(-1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    return torch.bmm(weights, flat[2]).reshape(*q.shape[:-1], v.shape[-1])


def without_shift(q, k, v, mask=None):
    powers = torch.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    powers = powers if mask is None else powers * mask
    return powers @ v / powers.sum(-1, keepdim=True).clamp_min(1e-30)


def biased(q, k, v, mask=None):
    """A bias of minus infinity: NaN flows back from a row in which everything is forbidden."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ v


def by_logsumexp(q, k, v, mask=None):
    """Weights as exp(score - log of the sum of all exp): no division."""
    scores = torch.einsum("...tk,...sk->...ts", q / math.sqrt(q.shape[-1]), k)
    seen = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)
    scores = scores.masked_fill(~seen, -1e30)
    weights = torch.exp(scores - scores.logsumexp(-1, keepdim=True)) * seen
    return torch.einsum("...ts,...sd->...td", weights, v)


def in_chunks(q, k, v, mask=None, size=2):
    """The online softmax: two keys at a time, with a running maximum, sum and mix."""
    lowest = torch.finfo(q.dtype).min
    highest = q.new_full((*q.shape[:-1], 1), lowest)
    total, mix = torch.zeros_like(highest), 0.0
    for start in range(0, k.shape[-2], size):
        part = slice(start, start + size)
        scores = q @ k[..., part, :].mT / k.shape[-1] ** 0.5
        seen = (
            torch.ones_like(scores, dtype=torch.bool) if mask is None else mask[:, part].expand(scores.shape)
        )
        scores = scores.masked_fill(~seen, lowest)
        new = torch.maximum(highest, scores.amax(-1, keepdim=True))
        powers, kept = (scores - new).exp() * seen, (highest - new).exp()
        total = total * kept + powers.sum(-1, keepdim=True)
        mix = mix * kept + powers @ v[..., part, :]
        highest = new
    return mix / total.masked_fill(total == 0, 1)


def of_known_axes(q, k, v, mask=None):
    """The keys are turned by axes that are named for tables and for batches of them."""
    scores = q @ (k.T if k.ndim == 2 else k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    return scores.masked_fill(~mask, torch.finfo(q.dtype).min).softmax(-1) * mask @ v


RIGHT = [
    by_loops,
    by_logsumexp,
    in_chunks,
    flat,
    lambda queries, keys, values, allowed=None: flat(queries, keys, values, allowed),
]
WRONG = [
    ("mask ignored", lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v)),
    ("NaN where nothing may be seen", biased),
    ("infinity times the mask", without_shift),
    (None, lambda q, k, v, mask=None: biased(q, k, v, mask).nan_to_num(0.0)),
    (
        None,
        lambda q, k, v, mask=None: torch.where(biased(q, k, v, mask).isnan(), 0.0, biased(q, k, v, mask)),
    ),
    (None, fused),
    (None, scaled_dot_product_attention),
    ("two or three axes only", of_known_axes),
    (
        "overflow with a mask",
        lambda q, k, v, mask=None: (by_loops if mask is None else without_shift)(q, k, v, mask),
    ),
    (
        "overflow without a mask",
        lambda q, k, v, mask=None: (without_shift if mask is None else by_loops)(q, k, v, mask),
    ),
    ("an axis of one lost", lambda q, k, v, mask=None: by_loops(q, k, v, mask).squeeze(-2)),
]
