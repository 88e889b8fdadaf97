"""A pool of answers to the torch tasks of 03_qkv, written from the exercise's text alone. See `pool`."""

import contextlib
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from pool import ATTENTIONS, Pool
from torch import nn

from course_lib.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either
TINY = torch.finfo(torch.float32).min


# ---------------------------------------------------------------------------------- attention, real_model


@right(ATTENTIONS, "CS336 style: einsum, the lowest number, zeros put in")
def _(q, k, v, mask=None):
    d_k = q.shape[-1]
    scores = torch.einsum("...tk,...sk->...ts", q, k) / math.sqrt(d_k)
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights * mask
    return torch.einsum("...ts,...sd->...td", weights, v)


@right(ATTENTIONS, "-inf only in rows that may attend to something")
def _(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5
    if mask is None:
        return F.softmax(scores, dim=-1) @ v
    nothing = ~mask.any(dim=-1, keepdim=True)
    scores = scores.masked_fill(~(mask | nothing), float("-inf"))
    return (F.softmax(scores, dim=-1) @ v).masked_fill(nothing, 0)


@right(ATTENTIONS, "exp and sum by hand, the largest allowed score subtracted")
def _(q, k, v, mask=None):
    s = (q @ k.mT) / k.shape[-1] ** 0.5
    if mask is None:
        mask = torch.ones(s.shape[-2:], dtype=torch.bool, device=q.device)
    low = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    largest = low.amax(dim=-1, keepdim=True).detach()
    e = torch.exp((s - largest).masked_fill(~mask, 0)) * mask
    total = e.sum(dim=-1, keepdim=True)
    return (e / total.masked_fill(total == 0, 1)) @ v


@right(ATTENTIONS, "logsumexp")
def _(q, k, v, mask=None):
    s = torch.einsum("...tk,...sk->...ts", q, k) / math.sqrt(k.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    w = (s - s.logsumexp(dim=-1, keepdim=True)).exp()
    if mask is not None:
        w = w.masked_fill(~mask, 0.0)
    return torch.einsum("...ts,...sd->...td", w, v)


@right(ATTENTIONS, "bmm on flattened leading axes (fairseq)")
def _(q, k, v, mask=None):
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q3 = q.expand(*lead, *q.shape[-2:]).reshape(-1, *q.shape[-2:])
    k3 = k.expand(*lead, *k.shape[-2:]).reshape(-1, *k.shape[-2:])
    v3 = v.expand(*lead, *v.shape[-2:]).reshape(-1, *v.shape[-2:])
    s = torch.bmm(q3, k3.transpose(1, 2)) / math.sqrt(q.shape[-1])
    if mask is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask
    return torch.bmm(w, v3).reshape(*lead, q.shape[-2], v.shape[-1])


@right(ATTENTIONS, "float64 inside, the dtype of q outside")
def _(q, k, v, mask=None):
    s = (q.double() @ k.double().mT) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -1e300)
    w = s.softmax(-1)
    if mask is not None:
        w = w * mask
    return (w @ v.double()).to(q.dtype)


@right(ATTENTIONS, "chunks of three keys, online softmax (flash attention)")
def _(q, k, v, mask=None):
    scale = q.shape[-1] ** -0.5
    low = torch.finfo(q.dtype).min / 4
    shape = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    largest = torch.full((*shape, q.shape[-2], 1), low, dtype=q.dtype, device=q.device)
    total = torch.zeros_like(largest)
    mixed = torch.zeros(*shape, q.shape[-2], v.shape[-1], dtype=q.dtype, device=q.device)
    for start in range(0, k.shape[-2], 3):
        part = slice(start, start + 3)
        s = q @ k[..., part, :].mT * scale
        if mask is not None:
            s = s.masked_fill(~mask[:, part], low)
        new = torch.maximum(largest, s.amax(-1, keepdim=True))
        e = torch.exp(s - new)
        if mask is not None:
            e = e * mask[:, part]
        shrink = torch.exp(largest - new)
        total = total * shrink + e.sum(-1, keepdim=True)
        mixed = mixed * shrink + e @ v[..., part, :]
        largest = new
    return mixed / torch.where(total == 0, 1, total)


@right("attention", "a loop over the queries, only the allowed keys are looked at")
def _(q, k, v, mask=None):
    rows = []
    for t in range(q.shape[-2]):
        allowed = slice(None) if mask is None else mask[t].nonzero().squeeze(-1)
        keys, values = k[..., allowed, :], v[..., allowed, :]
        w = torch.softmax((q[..., t : t + 1, :] @ keys.mT) / math.sqrt(q.shape[-1]), dim=-1)
        rows.append(w @ values)
    return torch.cat(rows, dim=-2)


@right(ATTENTIONS, "the scale by roots on both sides, an epsilon of 1e-12")
def _(q, k, v, mask=None):
    root = q.shape[-1] ** -0.25
    s = (q * root) @ (k * root).mT
    allowed = torch.ones_like(s, dtype=torch.bool) if mask is None else mask.expand_as(s)
    top = torch.where(allowed, s, torch.finfo(s.dtype).min).amax(-1, keepdim=True)
    e = torch.where(allowed, torch.where(allowed, s - top, 0).exp(), 0)
    return (e / (e.sum(-1, keepdim=True) + 1e-12)) @ v


@right(ATTENTIONS, "log_softmax, then exp")
def _(q, k, v, mask=None):
    s = torch.matmul(q, k.transpose(-1, -2)).div(math.sqrt(q.size(-1)))
    if mask is None:
        return s.log_softmax(-1).exp().matmul(v)
    w = s.masked_fill(mask.logical_not(), torch.finfo(s.dtype).min).log_softmax(-1).exp()
    return w.masked_fill(mask.logical_not(), 0).matmul(v)


class Attention(nn.Module):
    def forward(self, q, k, v, mask=None):
        scores = (q @ k.mT) / math.sqrt(q.shape[-1])
        if mask is None:
            return scores.softmax(-1) @ v
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
        return weights.masked_fill(~mask, 0) @ v


right(ATTENTIONS, "a module in place of a function")(Attention())


@right(ATTENTIONS, "a bias of the lowest number, added")
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return torch.softmax(scores, -1) @ v
    bias = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(
        ~mask, torch.finfo(q.dtype).min / 2
    )
    weights = torch.softmax(scores + bias, -1)
    return (weights * mask.any(-1, keepdim=True)) @ v


@right("attention", "torch.vmap over the leading axes")
def _(q, k, v, mask=None):
    def table(q, k, v):
        s = q @ k.T / math.sqrt(q.shape[-1])
        if mask is None:
            return s.softmax(-1) @ v
        return (s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask) @ v

    for _ in range(q.ndim - 2):
        table = torch.vmap(table)
    return table(q, k, v)


@right("attention", "broadcasting and sums, no matrix product")
def _(q, k, v, mask=None):
    s = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = torch.where(mask, s, torch.finfo(s.dtype).min)
    w = torch.softmax(s, -1)
    if mask is not None:
        w = torch.where(mask, w, 0)
    return (w.unsqueeze(-1) * v.unsqueeze(-3)).sum(-2)


@either(ATTENTIONS, "-1e9 and zeros put in")
def _(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    return (scores.masked_fill(~mask, -1e9).softmax(-1) * mask) @ v


@either(ATTENTIONS, "the gradient written by hand, which cannot be differentiated twice")
def _(q, k, v, mask=None):
    return HandMade.apply(q, k, v, mask)


class HandMade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, mask):
        s = q @ k.mT / math.sqrt(q.shape[-1])
        w = s.softmax(-1)
        if mask is not None:
            w = s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask
        ctx.save_for_backward(q, k, v, w)
        return w @ v

    @staticmethod
    def backward(ctx, grad):
        q, k, v, w = ctx.saved_tensors
        grad_w = grad @ v.mT
        grad_s = w * (grad_w - (grad_w * w).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
        return grad_s @ k, grad_s.mT @ q, w.mT @ grad, None


def _explicit(q, k, v, mask=None, scale=None):
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask) @ v


@wrong(ATTENTIONS, "no scaling")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=1)


@wrong(ATTENTIONS, "divides by K")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=1 / q.shape[-1])


@wrong(ATTENTIONS, "times the root of K")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=q.shape[-1] ** 0.5)


@wrong(ATTENTIONS, "scaled by the number of keys")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=k.shape[-2] ** -0.5)


@wrong("attention", "scaled by the width of v")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=v.shape[-1] ** -0.5)


@wrong(ATTENTIONS, "scaled twice: the queries and the scores")
def _(q, k, v, mask=None):
    return _explicit(q / math.sqrt(q.shape[-1]), k, v, mask)


@wrong(ATTENTIONS, "softmax over the queries")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return s.softmax(-2) @ v


@wrong(ATTENTIONS, "softmax over dim=1: heads in a batch of heads")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return F.softmax(s, dim=1) @ v


@wrong(ATTENTIONS, "the mask the other way round, as nn.MultiheadAttention has it")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, None if mask is None else ~mask)


@wrong(ATTENTIONS, "the mask after the softmax")
def _(q, k, v, mask=None):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    if mask is not None:
        w = w * mask
    return w @ v


@wrong("attention", "the mask after the softmax, divided again with care for 0")
def _(q, k, v, mask=None):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    if mask is not None:
        w = w * mask
        total = w.sum(-1, keepdim=True)
        w = w / total.masked_fill(total == 0, 1)
    return w @ v


@wrong("attention", "the mask after the softmax, divided again: 0 / 0")
def _(q, k, v, mask=None):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    if mask is not None:
        w = w * mask
        w = w / w.sum(-1, keepdim=True)
    return w @ v


@wrong(ATTENTIONS, "forbidden scores set to 0")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, 0)
    return s.softmax(-1) @ v


@wrong(ATTENTIONS, "scores times the mask")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s * mask
    return s.softmax(-1) @ v


@wrong("attention", "filled with -100")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -100)
    return s.softmax(-1) @ v


@wrong("attention", "filled with -100, zeros put in")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~mask, -100).softmax(-1) * mask) @ v


@wrong("attention", "filled with -1e9 (nanoGPT, labml): a row that may attend to nothing attends to all")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(mask == 0, -1e9)
    return s.softmax(-1) @ v


@wrong(ATTENTIONS, "filled with +1e-9: a forgotten minus")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, 1e-9)
    return s.softmax(-1) @ v


@wrong("attention", "filled with -inf: NaN where nothing is allowed")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf)
    return s.softmax(-1) @ v


@right("attention", "-inf and nan_to_num: masked_fill stops the NaN on its way back, gradients are finite")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf)
    return torch.nan_to_num(s.softmax(-1)) @ v


@wrong("attention", "a bias of -inf, softmax, NaN replaced by where: NaN gradients")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return s.softmax(-1) @ v
    bias = torch.zeros_like(s).masked_fill_(~mask, -torch.inf)
    w = (s + bias).softmax(-1)
    return torch.where(mask, w, 0) @ v


@wrong("attention", "the log of the mask is added: NaN gradients where nothing is allowed")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s + mask.to(s.dtype).log()
    return s.softmax(-1).nan_to_num(0.0) @ v


@either("real_model", "torch's ready-made routine")
@wrong("attention", "torch's ready-made routine")
def _(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@wrong(ATTENTIONS, "the course's ready-made routine")
def _(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask)


@wrong(ATTENTIONS, "the course's attention_weights: half ready-made")
def _(q, k, v, mask=None):
    return attention_weights(q, k, mask) @ v


@wrong("attention", "torch's layer with identity weights")
def _(q, k, v, mask=None):
    layer = nn.MultiheadAttention(q.shape[-1], 1, bias=False, batch_first=True, dtype=q.dtype)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(q.shape[-1]).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(q.shape[-1]))
    return layer(q, k, v, attn_mask=None if mask is None else ~mask)[0]


@wrong("attention", "torch's routine, imported under another name")
def _(q, k, v, mask=None):
    return torch._C._nn.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@wrong("attention", "detached: no gradients")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).detach()


@wrong("attention", "no_grad")
def _(q, k, v, mask=None):
    with torch.no_grad():
        return _explicit(q, k, v, mask)


@wrong("attention", "the weights are detached: no gradient reaches q and k")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    w = s.softmax(-1).detach()
    return (w if mask is None else w * mask) @ v


@wrong("attention", "a fresh tensor of the result: torch.tensor(...)")
def _(q, k, v, mask=None):
    return torch.tensor(_explicit(q, k, v, mask).tolist(), dtype=q.dtype)


@wrong("attention", "NumPy inside")
def _(q, k, v, mask=None):
    s = q.detach().numpy() @ k.detach().numpy().swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask.numpy(), s, -1e30)
    w = np.exp(s - s.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    if mask is not None:
        w = w * mask.numpy()
    return torch.from_numpy(np.asarray(w @ v.detach().numpy())).to(q.dtype)


@wrong("attention", "a NumPy array comes back")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).detach().numpy()


@wrong("attention", "bfloat16 comes back")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).bfloat16()


@wrong("attention", "bfloat16 inside")
def _(q, k, v, mask=None):
    return _explicit(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask).to(q.dtype)


@wrong("attention", "half precision inside")
def _(q, k, v, mask=None):
    return _explicit(q.half(), k.half(), v.half(), mask).to(q.dtype)


@wrong("attention", "float64 comes back")
def _(q, k, v, mask=None):
    return _explicit(q.double(), k.double(), v.double(), mask)


@wrong("attention", "float32 comes back whatever came")
def _(q, k, v, mask=None):
    return _explicit(q.float(), k.float(), v.float(), mask).float()


@wrong("attention", "the queries are scaled in place")
def _(q, k, v, mask=None):
    with torch.no_grad():
        q /= math.sqrt(q.shape[-1])
    return _explicit(q, k, v, mask, scale=1)


@wrong("attention", "the mask is turned round in place")
def _(q, k, v, mask=None):
    if mask is not None:
        forbidden = mask.logical_not_()
        s = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(forbidden, torch.finfo(q.dtype).min)
        return s.softmax(-1).masked_fill(forbidden, 0) @ v
    return _explicit(q, k, v)


@wrong("attention", ".T: all axes of a batch turned round")
def _(q, k, v, mask=None):
    s = q @ k.T / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    return (w if mask is None else w * mask) @ v


@wrong(ATTENTIONS, "transpose(1, 2): right for three axes only")
def _(q, k, v, mask=None):
    s = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    return (w if mask is None else w * mask) @ v


@wrong(ATTENTIONS, "the mask is not used")
def _(q, k, v, mask=None):
    return _explicit(q, k, v)


@wrong(ATTENTIONS, "always causal, whatever the mask")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril())


@wrong("attention", "causal where no mask is given")
def _(q, k, v, mask=None):
    if mask is None:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    return _explicit(q, k, v, mask)


@wrong("attention", "mask OR causal: a token always sees what came before")
def _(q, k, v, mask=None):
    if mask is not None:
        mask = mask | torch.ones_like(mask).tril()
    return _explicit(q, k, v, mask)


@wrong("attention", "the mask transposed where it is square")
def _(q, k, v, mask=None):
    if mask is not None and mask.shape[0] == mask.shape[1]:
        mask = mask.T
    return _explicit(q, k, v, mask)


@wrong("attention", "queries and keys exchanged")
def _(q, k, v, mask=None):
    s = k @ q.mT / math.sqrt(q.shape[-1])
    if mask is not None and mask.shape == s.shape[-2:]:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return s.softmax(-1) @ v


@wrong(ATTENTIONS, "the keys are mixed, not the values")
def _(q, k, v, mask=None):
    return _explicit(q, k, k, mask)


@wrong("attention", "the values are compared, the keys are mixed")
def _(q, k, v, mask=None):
    return _explicit(q, v, k, mask)


@wrong(ATTENTIONS, "the values are not mixed")
def _(q, k, v, mask=None):
    return v


@wrong("attention", "weights come back, not the mix")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    return w if mask is None else w * mask


@wrong("attention", "result and weights, as in labml and ARENA")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask), None


@wrong("attention", "uniform weights")
def _(q, k, v, mask=None):
    return _explicit(torch.zeros_like(q), k, v, mask)


@wrong("attention", "only the best key")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=1e4)


@wrong("attention", "exp without the largest subtracted: overflow gives NaN")
def _(q, k, v, mask=None):
    e = torch.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    if mask is not None:
        e = e * mask
    return e / e.sum(-1, keepdim=True).clamp(min=1e-30) @ v


@wrong("attention", "overflow, NaN swept away by nan_to_num")
def _(q, k, v, mask=None):
    e = torch.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    if mask is not None:
        e = e * mask
    return (e / e.sum(-1, keepdim=True)).nan_to_num(0.0) @ v


@wrong("attention", "scores clamped to 80 so that nothing overflows")
def _(q, k, v, mask=None):
    e = torch.exp((q @ k.mT / math.sqrt(q.shape[-1])).clamp(-80, 80))
    if mask is not None:
        e = e * mask
    total = e.sum(-1, keepdim=True)
    return e / total.masked_fill(total == 0, 1) @ v


@wrong("attention", "the largest of the whole table is subtracted")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    e = torch.exp(s - s.max())
    if mask is not None:
        e = e * mask
    total = e.sum(-1, keepdim=True)
    return e / total.masked_fill(total == 0, 1) @ v


@wrong("attention", "a sigmoid in place of the softmax")
def _(q, k, v, mask=None):
    w = torch.sigmoid(q @ k.mT / math.sqrt(q.shape[-1]))
    if mask is not None:
        w = w * mask
    return w @ v


@wrong("attention", "dropout at 10 per cent, always")
def _(q, k, v, mask=None):
    return F.dropout(_explicit(q, k, v, mask), 0.1)


_kept_mask = {}


@wrong(ATTENTIONS, "keeps the mask of its first call")
def _(q, k, v, mask=None):
    if mask is not None:
        mask = _kept_mask.setdefault("mask", mask.clone())
    return _explicit(q, k, v, mask)


@wrong("attention", "the mask is required")
def _(q, k, v, mask):
    return _explicit(q, k, v, mask)


@wrong("attention", "fails without a mask: ~None")
def _(q, k, v, mask=None):
    s = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, torch.finfo(q.dtype).min)
    return (s.softmax(-1) * mask) @ v


@wrong(ATTENTIONS, "if mask: the truth of a table is ambiguous")
def _(q, k, v, mask=None):
    if mask:
        return _explicit(q, k, v, mask)
    return _explicit(q, k, v)


@wrong("attention", "k.view(...): fails on what is not contiguous")
def _(q, k, v, mask=None):
    return _explicit(q, k.view(-1).view(k.shape), v, mask)


@wrong("attention", "unpacks B, H, T, K: four axes only")
def _(q, k, v, mask=None):
    B, H, T, K = q.shape
    return _explicit(q, k, v, mask).view(B, H, T, K)


@wrong("attention", "bmm: three axes only")
def _(q, k, v, mask=None):
    s = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return torch.bmm(s.softmax(-1) if mask is None else s.softmax(-1) * mask, v)


@wrong("attention", "at most eight keys are read")
def _(q, k, v, mask=None):
    if mask is not None:
        mask = mask[:, :8]
    return _explicit(q, k[..., :8, :], v[..., :8, :], mask)


@wrong("attention", "a residual: the values are added")
def _(q, k, v, mask=None):
    out = _explicit(q, k, v, mask)
    return out + v.mean(-2, keepdim=True)


@wrong("attention", "a fully masked row gets the mean of the values")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return s.softmax(-1) @ v


@wrong("attention", "where one row is fully masked, all rows become zeros")
def _(q, k, v, mask=None):
    if mask is not None and not mask.any(-1).all():
        return 0 * _explicit(q, k, v, mask)
    return _explicit(q, k, v, mask)


@wrong("attention", "returns a list")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).tolist()


@wrong("attention", "returns None: forgets to return")
def _(q, k, v, mask=None):
    _explicit(q, k, v, mask)


@wrong("attention", "random noise of 1 per cent")
def _(q, k, v, mask=None):
    out = _explicit(q, k, v, mask)
    return out + 0.01 * torch.randn_like(out)


@wrong("attention", "a default of causal through global state: alternates")
def _(q, k, v, mask=None):
    _calls.append(1)
    return _explicit(q, k, v, mask) if len(_calls) % 3 else _explicit(q, k, v)


_calls = []


@wrong("attention", "gradients clipped through round()")
def _(q, k, v, mask=None):
    return torch.round(_explicit(q, k, v, mask), decimals=4)


@wrong("attention", "gives values of other length to torch's routine: may end the process", harm="ends")
def _(q, k, v, mask=None):
    longer = torch.cat([v, v, v[..., :1, :]], dim=-2)
    return F.scaled_dot_product_attention(q, k, longer)


@wrong(
    "attention",
    "keys from the queries: as many keys as queries, torch's routine may end the process",
    harm="ends",
)
def _(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, q, v)


@wrong("attention", "reads address 0", harm="ends")
def _(q, k, v, mask=None):
    import ctypes

    ctypes.string_at(0)


@wrong("attention", "never ends", harm="hangs")
def _(q, k, v, mask=None):
    while True:
        time.sleep(0.01)


@wrong("attention", "never ends and catches everything", harm="hangs")
def _(q, k, v, mask=None):
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


@wrong("attention", "sys.exit")
def _(q, k, v, mask=None):
    sys.exit(0)


@wrong("attention", "raises KeyboardInterrupt")
def _(q, k, v, mask=None):
    raise KeyboardInterrupt


@wrong("attention", "prints every number")
def _(q, k, v, mask=None):
    for number in q.flatten().tolist() * 50:
        print(number)
    return 2 * _explicit(q, k, v, mask)


@wrong("attention", "recursion without an end")
def recursive(q, k, v, mask=None):
    return recursive(q, k, v, mask)


# --------------------------------------------------------------------------------------- cross_attention


@right("cross_attention", "three names, then the routine")
def _(x, context, w_q, w_k, w_v):
    q = x @ w_q
    k = context @ w_k
    v = context @ w_v
    return scaled_dot_product_attention(q, k, v)


@right("cross_attention", "F.linear with transposed weights")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(
        F.linear(x, w_q.T), F.linear(context, w_k.T), F.linear(context, w_v.T), mask=None
    )


@right("cross_attention", "einsum for the projections")
def _(x, context, w_q, w_k, w_v):
    q = torch.einsum("...td,dk->...tk", x, w_q)
    k, v = (torch.einsum("...sd,dk->...sk", context, w) for w in (w_k, w_v))
    return scaled_dot_product_attention(q, k, v)


@right("cross_attention", "keys and values in one product, then chunk")
def _(x, context, w_q, w_k, w_v):
    k, v = (context @ torch.cat([w_k, w_v], dim=1)).chunk(2, dim=-1)
    return scaled_dot_product_attention(x @ w_q, k, v)


@right("cross_attention", "the routine without its fused path")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, fused=False)


@right("cross_attention", "all by hand")
def _(x, context, w_q, w_k, w_v):
    return torch.softmax((x @ w_q) @ (context @ w_k).mT / math.sqrt(w_k.shape[1]), dim=-1) @ (context @ w_v)


@right("cross_attention", "the values are projected after mixing: the same by linearity")
def _(x, context, w_q, w_k, w_v):
    weights = attention_weights(x @ w_q, context @ w_k)
    return (weights @ context) @ w_v


@right("cross_attention", "w_q w_k^T in one matrix: bilinear attention")
def _(x, context, w_q, w_k, w_v):
    scores = x @ (w_q @ w_k.T) @ context.mT / math.sqrt(w_q.shape[-1])
    return scores.softmax(-1) @ context @ w_v


@right("cross_attention", "torch's routine")
def _(x, context, w_q, w_k, w_v):
    return F.scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@right("cross_attention", "torch.addmm-style: matmul and float64 inside")
def _(x, context, w_q, w_k, w_v):
    x64, c64 = x.double(), context.double()
    out = scaled_dot_product_attention(x64 @ w_q.double(), c64 @ w_k.double(), c64 @ w_v.double())
    return out.to(x.dtype)


@wrong("cross_attention", "self-attention: the context is not read")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)


@wrong("cross_attention", "the context reads itself")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(context @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "the context asks, x answers")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(context @ w_q, x @ w_k, x @ w_v)


@wrong("cross_attention", "keys from x: torch's routine may end the process", harm="ends")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, x @ w_k, context @ w_v)


@wrong("cross_attention", "values from x: torch's routine may end the process", harm="ends")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, x @ w_v)


@wrong("cross_attention", "keys from x, written out")
def _(x, context, w_q, w_k, w_v):
    return attention_weights(x @ w_q, x @ w_k) @ (context @ w_v)


@wrong("cross_attention", "x and context joined, both are read")
def _(x, context, w_q, w_k, w_v):
    both = torch.cat([x, context], dim=-2)
    return scaled_dot_product_attention(x @ w_q, both @ w_k, both @ w_v)


@wrong("cross_attention", "keys and values exchanged")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_v, context @ w_k)


@wrong("cross_attention", "one matrix for keys and values")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_k)


@wrong("cross_attention", "weights of queries and keys exchanged")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_k, context @ w_q, context @ w_v)


@wrong("cross_attention", "the values are not projected")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context)


@wrong("cross_attention", "nothing is projected")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x, context, context)


@wrong("cross_attention", "weights transposed")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q.T, context @ w_k.T, context @ w_v.T)


@wrong("cross_attention", "scaled once more before the routine")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q / math.sqrt(w_q.shape[1]), context @ w_k, context @ w_v)


@wrong("cross_attention", "scaled by the width of the tokens")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, scale=x.shape[-1] ** -0.5)


@wrong("cross_attention", "no scaling")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, scale=1.0)


@wrong("cross_attention", "causal: a query sees only the context up to its own place")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, causal=True)


@wrong("cross_attention", "torch's causal: aligned at the first key")
def _(x, context, w_q, w_k, w_v):
    return F.scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, is_causal=True)


@wrong("cross_attention", "a residual")
def _(x, context, w_q, w_k, w_v):
    out = scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)
    return out + x if out.shape == x.shape else out + x @ w_v


@wrong("cross_attention", "the weights come back")
def _(x, context, w_q, w_k, w_v):
    return attention_weights(x @ w_q, context @ w_k)


@wrong("cross_attention", "a context cut to the length of x")
def _(x, context, w_q, w_k, w_v):
    context = context[..., : x.shape[-2], :]
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "the mean of the context for everybody")
def _(x, context, w_q, w_k, w_v):
    v = (context @ w_v).mean(-2, keepdim=True)
    return v.expand(*x.shape[:-1], w_v.shape[1]).clone()


@wrong("cross_attention", "softmax over the queries")
def _(x, context, w_q, w_k, w_v):
    s = (x @ w_q) @ (context @ w_k).mT / math.sqrt(w_q.shape[1])
    return s.softmax(-2) @ (context @ w_v)


@wrong("cross_attention", "detached")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v).detach()


@wrong("cross_attention", "the context is detached: no gradient reaches it")
def _(x, context, w_q, w_k, w_v):
    context = context.detach()
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "new random layers in place of the weights given")
def _(x, context, w_q, w_k, w_v):
    q, k, v = (nn.Linear(*w.shape, bias=False, dtype=x.dtype) for w in (w_q, w_k, w_v))
    return scaled_dot_product_attention(q(x), k(context), v(context))


@wrong("cross_attention", "the library's layer with weights of its own")
def _(x, context, w_q, w_k, w_v):
    layer = MultiHeadAttention(x.shape[-1], 1)
    return layer(x, context)


@wrong("cross_attention", "remembers the first context")
def _(x, context, w_q, w_k, w_v):
    context = _contexts.setdefault(context.shape, context)
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


_contexts = {}


@wrong("cross_attention", "float32 whatever came")
def _(x, context, w_q, w_k, w_v):
    x, context, w_q, w_k, w_v = (each.float() for each in (x, context, w_q, w_k, w_v))
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "centres the context in place")
def _(x, context, w_q, w_k, w_v):
    with torch.no_grad():
        context -= context.mean()
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "the first sequence of a batch only")
def _(x, context, w_q, w_k, w_v):
    while x.ndim > 2:
        x, context = x[0], context[0]
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "context padded with zeros to the length of x, which are read too")
def _(x, context, w_q, w_k, w_v):
    context = F.pad(context, (0, 0, 0, 3))
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v)


@wrong("cross_attention", "kills its process: SIGKILL", harm="ends")
def _(x, context, w_q, w_k, w_v):
    os.kill(os.getpid(), 9)


# ---------------------------------------------------------------------------------------- self_attention


class Base(nn.Module):
    """What most answers share: the three maps."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)
        self.d_head = d_head
        self.causal = causal

    def allowed(self, x, mask):
        if self.causal:
            lower = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool, device=x.device).tril()
            return lower if mask is None else mask & lower
        return mask


@right("self_attention", "both masks joined with &, attention written out")
class WrittenOut(Base):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return _explicit(q, k, v, self.allowed(x, mask))


@right("self_attention", "a buffer tril of 256 tokens, as in nanoGPT and rasbt")
class Tril(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("tril", torch.tril(torch.ones(256, 256, dtype=torch.bool)))

    def forward(self, x, mask=None):
        T = x.shape[-2]
        if self.causal:
            lower = self.tril[:T, :T]
            mask = lower if mask is None else lower & mask
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@right("self_attention", "the buffer is not persistent, only there when causal")
class Quiet(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        if causal:
            self.register_buffer("lower", torch.ones(128, 128).tril().bool(), persistent=False)

    def forward(self, x, mask=None):
        n = x.size(-2)
        if self.causal:
            mask = self.lower[:n, :n] & (True if mask is None else mask)
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@right("self_attention", "torch's routine with a joined mask")
class Torchs(Base):
    def forward(self, x, mask=None):
        mask = self.allowed(x, mask)
        out = F.scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), attn_mask=mask)
        return out if mask is None else out.masked_fill(~mask.any(-1, keepdim=True), 0)


@right("self_attention", "the three weights in one product")
class OneProduct(Base):
    def forward(self, x, mask=None):
        weight = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        q, k, v = F.linear(x, weight).split(self.d_head, dim=-1)
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@right("self_attention", "a softmax module and einsum")
class Einsum(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x, mask=None):
        s = torch.einsum("...td,...sd->...ts", self.q_proj(x), self.k_proj(x)) * self.d_head**-0.5
        allowed = self.allowed(x, mask)
        if allowed is None:
            return self.softmax(s) @ self.v_proj(x)
        w = self.softmax(s.masked_fill(~allowed, torch.finfo(s.dtype).min)).masked_fill(~allowed, 0)
        return torch.einsum("...ts,...sd->...td", w, self.v_proj(x))


@right("self_attention", "LazyLinear")
class Lazy(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.k_proj = nn.LazyLinear(d_head, bias=False)
        self.q_proj = nn.LazyLinear(d_head, bias=False)
        self.v_proj = nn.LazyLinear(d_head, bias=False)
        self.causal = causal
        self(torch.zeros(1, d_model))

    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=self.causal
        )


@right("self_attention", "a dropout of 0 and an identity, named maps made in a loop")
class Loop(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        for name in "qkv":
            setattr(self, f"{name}_proj", nn.Linear(d_model, d_head, bias=False))
        self.dropout = nn.Dropout(0.0)
        self.causal = causal

    def forward(self, x, mask=None):
        q, k, v = (getattr(self, f"{name}_proj")(x) for name in "qkv")
        return self.dropout(scaled_dot_product_attention(q, k, v, mask, causal=self.causal))


@right("self_attention", "a mask kept by length in a dictionary")
class Kept(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.masks = {}

    def forward(self, x, mask=None):
        n = x.shape[-2]
        if self.causal:
            if n not in self.masks:
                self.masks[n] = causal_mask(n, n)
            mask = self.masks[n] if mask is None else self.masks[n] & mask
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


def _attend(self, x, mask):
    return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@wrong("self_attention", "causal is stored and never used")
class NeverCausal(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, mask)


@wrong("self_attention", "always causal")
class AlwaysCausal(Base):
    def forward(self, x, mask=None):
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=True)


@wrong("self_attention", "the mask is not used")
class NoMask(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None))


@wrong("self_attention", "causal replaces the mask")
class Replaces(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None) if self.causal else mask)


@wrong("self_attention", "the mask replaces causal")
class MaskWins(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None) if mask is None else mask)


@wrong("self_attention", "causal OR mask")
class Either(Base):
    def forward(self, x, mask=None):
        lower = self.allowed(x, None)
        if mask is not None and lower is not None:
            return _attend(self, x, lower | mask)
        return _attend(self, x, mask if lower is None else lower)


@wrong("self_attention", "a token does not see itself")
class Strict(Base):
    def forward(self, x, mask=None):
        if self.causal:
            lower = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(-1)
            mask = lower if mask is None else lower & mask
        return _attend(self, x, mask)


@wrong("self_attention", "sees the next token: tril(1)")
class NextToo(Base):
    def forward(self, x, mask=None):
        if self.causal:
            lower = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(1)
            mask = lower if mask is None else lower & mask
        return _attend(self, x, mask)


@wrong("self_attention", "triu: the future in place of the past")
class Triu(Base):
    def forward(self, x, mask=None):
        if self.causal:
            upper = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).triu()
            mask = upper if mask is None else upper & mask
        return _attend(self, x, mask)


@wrong("self_attention", "biases in the maps")
class Biased(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.q_proj = nn.Linear(d_model, d_head)
        self.k_proj = nn.Linear(d_model, d_head)
        self.v_proj = nn.Linear(d_model, d_head)

    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, mask))


@wrong("self_attention", "names of another course: W_query, W_key, W_value")
class OtherNames(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.W_query = nn.Linear(d_model, d_head, bias=False)
        self.W_key = nn.Linear(d_model, d_head, bias=False)
        self.W_value = nn.Linear(d_model, d_head, bias=False)
        self.causal = causal

    def forward(self, x, mask=None):
        q, k, v = self.W_query(x), self.W_key(x), self.W_value(x)
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@wrong("self_attention", "an out_proj on top")
class OutProj(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.out_proj = nn.Linear(d_head, d_model, bias=False)

    def forward(self, x, mask=None):
        return self.out_proj(_attend(self, x, self.allowed(x, mask)))


@wrong("self_attention", "d_model and d_head exchanged")
class Exchanged(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_head, d_model, bias=False)
        self.k_proj = nn.Linear(d_head, d_model, bias=False)
        self.v_proj = nn.Linear(d_head, d_model, bias=False)
        self.causal = causal

    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "q_proj does all three")
class OneMap(Base):
    def forward(self, x, mask=None):
        y = self.q_proj(x)
        return scaled_dot_product_attention(y, y, y, mask, causal=self.causal)


@wrong("self_attention", "keys and values exchanged")
class KeyValue(Base):
    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.q_proj(x), self.v_proj(x), self.k_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "queries and keys exchanged")
class QueryKey(Base):
    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.k_proj(x), self.q_proj(x), self.v_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "no scaling")
class Unscaled(Base):
    def forward(self, x, mask=None):
        return _explicit(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=1)


@wrong("self_attention", "scaled by d_model")
class ByModel(Base):
    def forward(self, x, mask=None):
        scale = x.shape[-1] ** -0.5
        return _explicit(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=scale)


@wrong("self_attention", "divided by d_head")
class ByHead(Base):
    def forward(self, x, mask=None):
        scale = 1 / self.d_head
        return _explicit(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=scale)


@wrong("self_attention", "the mask after the softmax")
class After(Base):
    def forward(self, x, mask=None):
        w = (self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)).softmax(-1)
        allowed = self.allowed(x, mask)
        return (w if allowed is None else w * allowed) @ self.v_proj(x)


@wrong("self_attention", "forbidden scores set to 0")
class Zero(Base):
    def forward(self, x, mask=None):
        s = self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)
        allowed = self.allowed(x, mask)
        if allowed is not None:
            s = s.masked_fill(~allowed, 0)
        return s.softmax(-1) @ self.v_proj(x)


@wrong("self_attention", "True and False of the mask exchanged")
class Inverted(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None if mask is None else ~mask))


@wrong("self_attention", "uniform weights")
class Uniform(Base):
    def forward(self, x, mask=None):
        return _explicit(0 * self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


@wrong("self_attention", "softmax over the queries")
class Columns(Base):
    def forward(self, x, mask=None):
        s = self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)
        allowed = self.allowed(x, mask)
        if allowed is not None:
            s = s.masked_fill(~allowed, torch.finfo(s.dtype).min)
        return s.softmax(-2) @ self.v_proj(x)


@wrong("self_attention", "keeps the mask of its first call")
class FirstMask(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.mask = None

    def forward(self, x, mask=None):
        if self.mask is None:
            self.mask = self.allowed(x, mask)
        return _attend(self, x, self.mask)


@wrong("self_attention", "makes its causal mask at the first call and cuts it: longer sequences fail")
class FirstLength(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.lower = None

    def forward(self, x, mask=None):
        n = x.shape[-2]
        if self.causal:
            if self.lower is None:
                self.lower = causal_mask(n, n)
            lower = self.lower[:n, :n]
            mask = lower if mask is None else lower & mask
        return _attend(self, x, mask)


@wrong("self_attention", "a causal mask of d_model tokens")
class ModelMask(Base):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("lower", torch.ones(d_model, d_model, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x, mask=None):
        n = x.shape[-2]
        if self.causal:
            mask = self.lower[:n, :n] if mask is None else self.lower[:n, :n] & mask
        return _attend(self, x, mask)


@wrong("self_attention", "maps are made anew in every forward pass")
class Fresh(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.sizes = d_model, d_head
        self.causal = causal

    def forward(self, x, mask=None):
        q, k, v = (nn.Linear(*self.sizes, bias=False)(x) for _ in range(3))
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@wrong("self_attention", "super().__init__() forgotten")
class NoSuper(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)


class Finished(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, mask))


wrong("self_attention", "one finished layer in place of the class")(Finished(5, 3))


@wrong("self_attention", "B, T, _ = x.shape: a batch is required")
class Batch(Base):
    def forward(self, x, mask=None):
        B, T, _ = x.shape
        return _attend(self, x, self.allowed(x, mask)).view(B, T, self.d_head)


@wrong("self_attention", "dropout of 10 per cent in training")
class Dropout(Base):
    def forward(self, x, mask=None):
        return F.dropout(_attend(self, x, self.allowed(x, mask)), 0.1, training=self.training)


@wrong("self_attention", "detached keys")
class Detached(Base):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x).detach(), self.v_proj(x)
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@wrong("self_attention", "result and weights")
class Two(Base):
    def forward(self, x, mask=None):
        mask = self.allowed(x, mask)
        return _attend(self, x, mask), attention_weights(self.q_proj(x), self.k_proj(x), mask)


@wrong("self_attention", "the maps in a ModuleDict: other names in the state")
class Dictionary(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.maps = nn.ModuleDict({name: nn.Linear(d_model, d_head, bias=False) for name in "qkv"})
        self.causal = causal

    def forward(self, x, mask=None):
        q, k, v = (self.maps[name](x) for name in "qkv")
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@wrong("self_attention", "the maps in a plain list: no parameters")
class PlainList(nn.Module):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.maps = [nn.Linear(d_model, d_head, bias=False) for _ in range(3)]
        self.causal = causal

    def forward(self, x, mask=None):
        q, k, v = (one(x) for one in self.maps)
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal)


@wrong("self_attention", "a function in place of a class")
def _(x, mask=None):
    return scaled_dot_product_attention(x, x, x, mask)


@wrong("self_attention", "layer norm inside")
class Normed(Base):
    def forward(self, x, mask=None):
        return _attend(self, F.layer_norm(x, x.shape[-1:]), self.allowed(x, mask))


@wrong("self_attention", "a residual")
class Residual(Base):
    def forward(self, x, mask=None):
        out = _attend(self, x, self.allowed(x, mask))
        return out + x[..., : out.shape[-1]] if out.shape[-1] <= x.shape[-1] else out


@wrong("self_attention", "no causal in the constructor")
class NoArgument(nn.Module):
    def __init__(self, d_model, d_head):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)

    def forward(self, x, mask=None):
        return _attend(self, x, mask)


@right("self_attention", "-inf, softmax, nan_to_num: masked_fill stops the NaN on its way back")
class NaNToNum(Base):
    def forward(self, x, mask=None):
        s = self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)
        allowed = self.allowed(x, mask)
        if allowed is not None:
            s = s.masked_fill(~allowed, -torch.inf)
        return s.softmax(-1).nan_to_num() @ self.v_proj(x)


@wrong("self_attention", "a bias of -inf, softmax, nan_to_num: NaN gradients where nothing is allowed")
class NaNGradients(Base):
    def forward(self, x, mask=None):
        s = self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)
        allowed = self.allowed(x, mask)
        if allowed is not None:
            s = s + torch.zeros_like(s).masked_fill(~allowed, -torch.inf)
        return s.softmax(-1).nan_to_num() @ self.v_proj(x)


# -------------------------------------------------------------------------------------------- sees_later


def _moved(before, after):
    return not torch.allclose(before, after, atol=1e-5)


@right("sees_later", "each later token in turn replaced by a random one")
def _(attend, x):
    before = attend(x)
    for t in range(1, len(x)):
        for _ in range(3):
            changed = x.clone()
            changed[t] = 3 * torch.randn_like(x[t])
            if _moved(before[:t], attend(changed)[:t]):
                return True
    return False


@right("sees_later", "the tail replaced by a random one")
def _(attend, x):
    y = attend(x)
    seen = []
    for t in range(1, x.shape[0]):
        tail = torch.randn(len(x) - t, x.shape[1], dtype=x.dtype) * 5
        seen.append((attend(torch.cat([x[:t], tail]))[:t] - y[:t]).abs().max().item())
    return max(seen, default=0.0) > 1e-4


@right("sees_later", "the tail turned round and shifted, and random signs")
def _(attend, x):
    x = x.detach()
    base = attend(x.clone())
    for t in range(1, len(x)):
        for _ in range(2):
            other = x.clone()
            other[t:] = torch.randn_like(other[t:]) * 2 + other[t:].flip(0)
            if (attend(other)[:t] - base[:t]).abs().max() > 1e-5:
                return True
    return False


@right("sees_later", "three random replacements each, a scale-free comparison")
def _(attend, x):
    y = attend(x)
    scale = y.abs().max().clamp(min=1e-6)
    for t in range(1, len(x)):
        for trial in range(3):
            changed = x.clone()
            generator = torch.Generator().manual_seed(100 * t + trial)
            changed[t:] = 2 * torch.randn(changed[t:].shape, generator=generator, dtype=x.dtype)
            if ((attend(changed)[:t] - y[:t]).abs() / scale).max() > 1e-5:
                return True
    return False


@right("sees_later", "NumPy compares, plain loops over pairs")
def _(attend, x):
    before = attend(x).detach().numpy().copy()
    for late in range(1, len(x)):
        changed = x.detach().clone()
        changed[late] = torch.linspace(-3, 4, x.shape[1], dtype=x.dtype) * (late + 1) - 2 * x[late].flip(0)
        after = attend(changed).detach().numpy()
        for early in range(late):
            if not np.allclose(before[early], after[early], atol=1e-5):
                return True
    return False


@right("sees_later", "any() over all t, with torch.isclose")
def _(attend, x):
    y = attend(x)

    def later_matters(t):
        changed = torch.cat([x[:t], torch.randn_like(x[t:]) * x.std() * 4 + 1])
        return bool((~torch.isclose(attend(changed)[:t], y[:t], atol=1e-5)).any())

    return any(later_matters(t) for t in range(1, len(x)))


@either("sees_later", "gradients: jacobian of outputs by inputs")
def _(attend, x):
    jacobian = torch.autograd.functional.jacobian(attend, x.detach().clone())
    strength = jacobian.abs().sum(dim=(1, 3))
    return bool((strength.triu(1) > 1e-6).any())


@either("sees_later", "the sequence is cut: does an early output change when the later tokens are gone?")
def _(attend, x):
    y = attend(x)
    return any(_moved(y[:t], attend(x[:t])) for t in range(1, len(x)))


@either("sees_later", "a NumPy bool")
def _(attend, x):
    y = attend(x).detach()
    moved = [
        (attend(torch.cat([x[:t], 3 * torch.randn_like(x[t:])])).detach()[:t] - y[:t]).abs().max()
        for t in range(1, len(x))
    ]
    return np.max([0.0, *[float(m) for m in moved]]) > 1e-5


@either("sees_later", "a tensor of one bool")
def _(attend, x):
    y = attend(x)
    parts = [
        (attend(torch.cat([x[:t], 3 * torch.randn_like(x[t:])]))[:t] - y[:t]).abs().max()
        for t in range(1, len(x))
    ]
    return torch.stack(parts).max() > 1e-5


@either("sees_later", "exactly equal, without a tolerance")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if not torch.equal(attend(changed)[:t], y[:t]):
            return True
    return False


@wrong("sees_later", "True and False exchanged")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if _moved(y[:t], attend(changed)[:t]):
            return False
    return True


@wrong("sees_later", "always False")
def _(attend, x):
    return False


@wrong("sees_later", "always True")
def _(attend, x):
    return True


@wrong("sees_later", "only the last token is changed")
def _(attend, x):
    changed = x.clone()
    changed[-1] = 3 * torch.randn_like(x[-1])
    return _moved(attend(x)[:-1], attend(changed)[:-1])


@wrong("sees_later", "only the first output is looked at")
def _(attend, x):
    changed = torch.cat([x[:1], 3 * torch.randn_like(x[1:])])
    return _moved(attend(x)[0], attend(changed)[0])


@wrong("sees_later", "the first token is changed: the direction of time is turned")
def _(attend, x):
    changed = x.clone()
    changed[0] = 3 * torch.randn_like(x[0])
    return _moved(attend(x)[1:], attend(changed)[1:])


@wrong("sees_later", "any change counts, that of the token itself too")
def _(attend, x):
    changed = x.clone()
    changed[-1] = 3 * torch.randn_like(x[-1])
    return _moved(attend(x), attend(changed))


@wrong("sees_later", "off by one: the changed token's own output is compared")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if _moved(y[: t + 1], attend(changed)[: t + 1]):
            return True
    return False


@wrong("sees_later", "off by one: the nearest earlier output is left out")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if t > 1 and _moved(y[: t - 1], attend(changed)[: t - 1]):
            return True
    return False


@wrong("sees_later", "later outputs are compared")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t - 1] = 3 * torch.randn_like(x[t - 1])
        if _moved(y[t:], attend(changed)[t:]):
            return True
    return False


@wrong("sees_later", "a later token is doubled: a normalising layer does not notice")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] *= 2
        if _moved(y[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "1 is added to a later token: a normalising layer does not notice")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] += 1
        if _moved(y[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "a nudge of 1e-6, compared with a tolerance of 1e-5")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] += 1e-6
        if _moved(y[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "NaN is put in: it spreads through weights of 0")
def _(attend, x):
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] = float("nan")
        if attend(changed)[:t].isnan().any().item():
            return True
    return False


@wrong("sees_later", "infinity is put in")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] = float("inf")
        if _moved(y[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "the tokens given are changed")
def _(attend, x):
    y = attend(x)
    for t in range(len(x) - 1, 0, -1):
        x[t] = 3 * torch.randn_like(x[t])
        if _moved(y[:t], attend(x)[:t]):
            return True
    return False


@wrong("sees_later", "changed = x makes no copy; both calls see the same")
def _(attend, x):
    for t in range(1, len(x)):
        changed = x
        changed[t:] = 3 * torch.randn_like(x[t:])
        if _moved(attend(x)[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "x[:] makes no copy of a tensor")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x[:]
        changed[t:] += torch.randn_like(x[t:])
        if _moved(y[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "a tolerance of 0.1 misses what is weak")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], torch.randn_like(x[t:])])
        if not torch.allclose(y[:t], attend(changed)[:t], atol=0.1):
            return True
    return False


@wrong("sees_later", "which outputs move, not whether")
def _(attend, x):
    y = attend(x)
    changed = torch.cat([x[:1], 3 * torch.randn_like(x[1:])])
    return ((attend(changed) - y).abs() > 1e-5).any(-1)


@wrong("sees_later", "words in place of True and False")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if _moved(y[:t], attend(changed)[:t]):
            return "yes"
    return "no"


@wrong("sees_later", "returns the number of the first token that looks ahead")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if _moved(y[:t], attend(changed)[:t]):
            return t
    return -1


@wrong("sees_later", "returns inside the loop: only the first token is tried")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t] = 3 * torch.randn_like(x[t])
        return _moved(y[:t], attend(changed)[:t])
    return False


@wrong("sees_later", "only the middle is tried")
def _(attend, x):
    half = len(x) // 2
    changed = torch.cat([x[:half], 3 * torch.randn_like(x[half:])])
    return _moved(attend(x)[:half], attend(changed)[:half])


@wrong("sees_later", "looks for a causal attribute")
def _(attend, x):
    return not getattr(attend, "causal", True)


@wrong(
    "sees_later",
    "two tokens exchange places: attention without positions does not notice which of them is later",
)
def _(attend, x):
    swapped = x.clone()
    swapped[-1], swapped[-2] = x[-2].clone(), x[-1].clone()
    return _moved(attend(x)[:-2], attend(swapped)[:-2])


@wrong("sees_later", "compares the mean of the outputs")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        if _moved(y.mean(), attend(changed).mean()):
            return True
    return False


@wrong("sees_later", "is the output triangular? looks for zeros above the diagonal of y")
def _(attend, x):
    return bool(attend(x).triu(1).abs().sum() > 0)


@wrong("sees_later", "later tokens set to zero: a token that is weighted by 1 / T looks the same")
def _(attend, x):
    y = attend(x)
    changed = x.clone()
    changed[1:] = 0
    return _moved(y[0], attend(changed)[0])


@wrong("sees_later", "takes a batch: attend gets one axis too many")
def _(attend, x):
    y = attend(x[None])
    changed = torch.cat([x[:1], 3 * torch.randn_like(x[1:])])
    return _moved(y[0, 0], attend(changed[None])[0, 0])


@wrong("sees_later", "forgets to return")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], 3 * torch.randn_like(x[t:])])
        _moved(y[:t], attend(changed)[:t])


@wrong("sees_later", "remembers the answer for each length")
def _(attend, x):
    if len(x) not in _answers:
        changed = torch.cat([x[:1], 3 * torch.randn_like(x[1:])])
        _answers[len(x)] = _moved(attend(x)[:1], attend(changed)[:1])
    return _answers[len(x)]


_answers = {}


@wrong("sees_later", "never ends: t is not counted up", harm="hangs")
def _(attend, x):
    t = 1
    while t < len(x):
        attend(x)
    return False


# -------------------------------------------------------------------------------------------- real_model


@wrong("real_model", "v comes back")
def _(q, k, v, mask=None):
    return v[..., -q.shape[-2] :, :]


@wrong("real_model", "heads are joined at the end, as in nanoGPT")
def _(q, k, v, mask=None):
    out = _explicit(q, k, v, mask)
    return out.transpose(1, 2).flatten(2)


@wrong("real_model", "heads are exchanged")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).flip(1)


@wrong("real_model", "the library's attention under torch's name, always causal at the first key")
def _(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
