"""A second pool of answers to the tasks of 03_qkv, written after the first had been tried. See `pool`."""

import itertools
import math
import threading
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from pool import ATTENTIONS, Pool
from scipy.special import logsumexp, softmax
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as ready_made

from course_lib import maths
from course_lib.attention import scaled_dot_product_attention

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ------------------------------------------------------------------------------------------------ by hand


@right("project", "np.einsum with optimize, results in Fortran order")
def _(x, w_q, w_k, w_v):
    parts = [np.einsum("...d,dk->...k", x, w, optimize=True) for w in (w_q, w_k, w_v)]
    return tuple(np.asfortranarray(part) for part in parts)


@right("project", "a dictionary comprehension, then its values unpacked")
def _(x, w_q, w_k, w_v):
    weights = {"q": w_q, "k": w_k, "v": w_v}
    made = {name: np.matmul(x, w) for name, w in weights.items()}
    return made["q"], made["k"], made["v"]


@wrong("project", "w reshaped to its transposed shape: numbers in another order")
def _(x, w_q, w_k, w_v):
    return tuple(x @ w.reshape(w.shape[::-1]).T for w in (w_q, w_k, w_v))


@wrong("project", "the tokens are reversed")
def _(x, w_q, w_k, w_v):
    return x[..., ::-1, :] @ w_q, x @ w_k, x @ w_v


@wrong("project", "a ReLU behind each projection")
def _(x, w_q, w_k, w_v):
    return tuple(np.maximum(x @ w, 0) for w in (w_q, w_k, w_v))


@wrong("project", "split of one product into three along the tokens")
def _(x, w_q, w_k, w_v):
    stacked = np.concatenate([x @ w_q, x @ w_k, x @ w_v], axis=-1)
    k = w_q.shape[1]
    return stacked[..., ::3][..., :k], stacked[..., 1::3][..., :k], stacked[..., 2::3][..., :k]


@right("scores", "math.fsum of products, in a nested list")
def _(q, k):
    q2, k2 = q.reshape(-1, *q.shape[-2:]), k.reshape(-1, *k.shape[-2:])
    table = [
        [[math.fsum(a * b) / math.sqrt(q.shape[-1]) for b in one_k] for a in one_q]
        for one_q, one_k in zip(q2.astype(float), k2.astype(float), strict=True)
    ]
    return np.array(table).reshape(*q.shape[:-1], k.shape[-2])


@right("scores", "the sum over K in a loop, smallest first")
def _(q, k):
    total = np.zeros((*q.shape[:-1], k.shape[-2]), dtype=q.dtype)
    for i in reversed(range(q.shape[-1])):
        total += q[..., i, None] * k[..., None, :, i]
    return total / np.sqrt(q.shape[-1]).astype(q.dtype)


@right("scores", "divided twice by the fourth root")
def _(q, k):
    fourth = math.sqrt(math.sqrt(q.shape[-1]))
    return np.matmul(q, k.swapaxes(-2, -1)) / fourth / fourth


@wrong("scores", "sqrt of the dot products")
def _(q, k):
    return np.sqrt(np.abs(q @ k.swapaxes(-1, -2)))


@wrong("scores", "divides by the root of the number of axes")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.ndim)


@wrong("scores", "scaled by q.shape[0]: the first axis")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[0])


@wrong("scores", "log K in place of its root")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.log(q.shape[-1] + 1)


@wrong("scores", "reshape in place of transposing the keys")
def _(q, k):
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]) / np.sqrt(q.shape[-1])


@wrong("scores", "K - 1, as for a standard deviation")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(max(q.shape[-1] - 1, 1))


@right("softmax", "sigmoid-like: each weight against all others by logsumexp in float64")
def _(scores):
    wide = scores.astype(np.float64)
    return np.exp(wide - logsumexp(wide, axis=-1, keepdims=True)).astype(scores.dtype)


@right("softmax", "ufunc arguments: where, out, reduce")
def _(scores):
    top = np.maximum.reduce(scores, axis=-1, keepdims=True)
    powers = np.subtract(scores, top)
    np.exp(powers, out=powers)
    return np.divide(powers, np.add.reduce(powers, axis=-1, keepdims=True), out=powers)


@right("softmax", "itertools.accumulate for the running largest, Python's own sum")
def _(scores):
    rows = []
    for row in scores.reshape(-1, scores.shape[-1]).tolist():
        top = list(itertools.accumulate(row, max))[-1]
        powers = [math.exp(value - top) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows, dtype=scores.dtype).reshape(scores.shape)


@right("softmax", "the course's own loop")
def _(scores):
    return np.apply_along_axis(
        lambda row: np.exp(row - row.max()) / np.exp(row - row.max()).sum(), -1, scores
    )


@wrong("softmax", "the largest of each column subtracted, rows divided: low rows underflow")
def _(scores):
    top = scores.max(axis=0, keepdims=True) if scores.ndim > 1 else scores.max()
    with np.errstate(all="ignore"):
        e = np.exp(scores - top)
        return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "ten times as sharp")
def _(scores):
    return softmax(10 * np.where(np.isinf(scores), -1e6, scores), axis=-1)


@wrong("softmax", "a very small weight for everybody, so that nobody is forgotten")
def _(scores):
    w = softmax(scores, axis=-1) + 1e-4
    return w / w.sum(axis=-1, keepdims=True)


@wrong("softmax", "-inf removed from the row: the row gets shorter and is padded at its end")
def _(scores):
    out = np.zeros_like(scores)
    for index in np.ndindex(scores.shape[:-1]):
        row = scores[index]
        finite = row[np.isfinite(row)]
        out[index][: len(finite)] = softmax(finite)
    return out


@wrong("softmax", "right for scores below 100, hard for the others")
def _(scores):
    if scores.max() > 100:
        return (scores == scores.max(axis=-1, keepdims=True)).astype(scores.dtype)
    return softmax(scores, axis=-1)


@right("mix", "np.average of the values with the weights, row by row, unnormalised")
def _(weights, v):
    return np.stack([(weights[..., t, :, None] * v).sum(axis=-2) for t in range(weights.shape[-2])], axis=-2)


@right("mix", "np.tensordot on tables, matmul on batches")
def _(weights, v):
    if weights.ndim == 2:
        return np.tensordot(weights, v, axes=([1], [0]))
    return np.matmul(weights, v)


@wrong("mix", "the mean of the weighted values in place of their sum")
def _(weights, v):
    return (weights[..., None] * v[..., None, :, :]).mean(axis=-2)


@wrong("mix", "the largest of the weighted values in place of their sum")
def _(weights, v):
    return (weights[..., None] * v[..., None, :, :]).max(axis=-2)


@wrong("mix", "weights sorted first")
def _(weights, v):
    return np.sort(weights, axis=-1) @ v


@wrong("mix", "weights shifted by one key")
def _(weights, v):
    return np.roll(weights, 1, axis=-1) @ v


@right("masked_weights", "sorting by the mask is not needed: np.where twice, sum with where=")
def _(scores, mask):
    allowed = np.broadcast_to(mask, scores.shape)
    top = scores.max(axis=-1, keepdims=True, where=allowed, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(scores.dtype)
    powers = np.exp(scores - top, where=allowed, out=np.zeros_like(scores))
    total = powers.sum(axis=-1, keepdims=True)
    total[total == 0] = 1
    return powers / total


@right("masked_weights", "a Python loop over queries, nan for forbidden, nanmax and nansum")
def _(scores, mask):
    out = np.zeros_like(scores)
    for t in range(scores.shape[-2]):
        if not mask[t].any():
            continue
        row = np.where(mask[t], scores[..., t, :], np.nan)
        powers = np.exp(row - np.nanmax(row, axis=-1, keepdims=True))
        out[..., t, :] = np.nan_to_num(powers / np.nansum(powers, axis=-1, keepdims=True))
    return out


@right("masked_weights", "1e-12 and float64 inside")
def _(scores, mask):
    wide = np.where(mask, scores.astype(np.float64), -np.inf)
    top = wide.max(-1, keepdims=True)
    powers = np.exp(wide - np.where(np.isfinite(top), top, 0.0))
    return (powers / (powers.sum(-1, keepdims=True) + 1e-12)).astype(scores.dtype)


@wrong("masked_weights", "the mask is read the other way round where it is square only")
def _(scores, mask):
    if mask.shape[0] == mask.shape[1]:
        mask = ~mask
    e = np.exp(np.where(mask, scores - scores.max(-1, keepdims=True), -np.inf))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


@wrong("masked_weights", "-1e4: too little against scores of -1e5")
def _(scores, mask):
    s = np.where(mask, scores, -1e4)
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) * mask.any(-1, keepdims=True)


@wrong("masked_weights", "True = forbidden in the fill, and zeros put in where allowed")
def _(scores, mask):
    s = np.where(mask, -1e30, scores)
    e = np.exp(s - s.max(-1, keepdims=True))
    return np.where(mask, 0, e / e.sum(-1, keepdims=True))


@wrong("masked_weights", "the weights of a fully masked row go to the first key")
def _(scores, mask):
    s = np.where(mask, scores, -1e30)
    e = np.exp(s - s.max(-1, keepdims=True)) * mask
    total = e.sum(-1, keepdims=True)
    out = e / np.where(total == 0, 1, total)
    out[..., 0] = np.where(mask.any(-1), out[..., 0], 1)
    return out


@wrong("masked_weights", "the mean of the scores in place of minus infinity")
def _(scores, mask):
    s = np.where(mask, scores, scores.mean(-1, keepdims=True))
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@right("causal_mask", "np.logical_or.accumulate of the positions")
def _(n_queries, n_keys):
    at = np.arange(n_keys - n_queries, n_keys)[:, None] == np.arange(n_keys)[None, :]
    return np.logical_or.accumulate(at[:, ::-1], axis=1)[:, ::-1]


@right("causal_mask", "np.less_equal with np.ogrid")
def _(n_queries, n_keys):
    t, s = np.ogrid[n_keys - n_queries : n_keys, 0:n_keys]
    return s <= t


@wrong("causal_mask", "the shift is the absolute difference, plus one where sizes differ")
def _(n_queries, n_keys):
    shift = n_keys - n_queries
    return np.tri(n_queries, n_keys, shift + (shift > 0), dtype=bool)


@wrong("causal_mask", "only as long as there are not more keys than queries; else all allowed")
def _(n_queries, n_keys):
    if n_keys > n_queries:
        return np.ones((n_queries, n_keys), dtype=bool)
    return np.tri(n_queries, dtype=bool)


@wrong("causal_mask", "the first key is always hidden")
def _(n_queries, n_keys):
    mask = np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
    mask[:, 0] = False
    return mask


@wrong("causal_mask", "uint8 in place of bool")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=np.uint8)


@wrong("causal_mask", "one array kept and cut from its upper left corner")
def _(n_queries, n_keys):
    return np.tri(512, dtype=bool)[:n_queries, :n_keys]


# ------------------------------------------------------------------------------------------------ in torch


def _weights(q, k, mask=None, scale=None):
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is None:
        return s.softmax(-1)
    return s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask


@right(ATTENTIONS, "rows that may attend to nothing are allowed everything, then zeroed")
def _(q, k, v, mask=None):
    scores = torch.matmul(q, k.transpose(-1, -2)) / (q.shape[-1] ** 0.5)
    if mask is None:
        return torch.matmul(torch.softmax(scores, dim=-1), v)
    some = mask.any(dim=-1, keepdim=True)
    bias = torch.where(mask | ~some, 0.0, -torch.inf).to(scores.dtype)
    return torch.matmul(torch.softmax(scores + bias, dim=-1), v) * some


@right("attention", "one key after the other, online, float64 accumulators")
def _(q, k, v, mask=None):
    q64, k64, v64 = q.double(), k.double(), v.double()
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    top = q64.new_full((*lead, q.shape[-2]), -1e300)
    total = torch.zeros_like(top)
    out = q64.new_zeros(*lead, q.shape[-2], v.shape[-1])
    for s in range(k.shape[-2]):
        score = (q64 * k64[..., s : s + 1, :]).sum(-1) / math.sqrt(q.shape[-1])
        seen = torch.ones_like(score) if mask is None else mask[:, s].double().expand_as(score)
        new = torch.where(seen > 0, torch.maximum(top, score), top)
        part = torch.where(seen > 0, (score - new).clamp(max=0), torch.zeros_like(score)).exp() * seen
        keep = (top - new).exp()
        total = total * keep + part
        out = out * keep[..., None] + part[..., None] * v64[..., s : s + 1, :]
        top = new
    return (out / torch.where(total == 0, 1, total)[..., None]).to(q.dtype)


@right(ATTENTIONS, "softmax in float32 or wider, scaled by torch.rsqrt, baddbmm-like")
def _(q, k, v, mask=None):
    scale = torch.rsqrt(torch.tensor(float(q.shape[-1]), dtype=torch.float64)).item()
    s = torch.einsum("...td,...sd->...ts", q * scale, k)
    if mask is not None:
        s = s.masked_fill(mask.logical_not(), torch.finfo(s.dtype).min / 2)
    top = s.max(dim=-1, keepdim=True).values
    e = (s - top).exp()
    w = e / e.sum(dim=-1, keepdim=True)
    if mask is not None:
        w = w.masked_fill(mask.logical_not(), 0)
    return torch.einsum("...ts,...sd->...td", w, v)


@right(ATTENTIONS, "checkpointed")
def _(q, k, v, mask=None):
    def run(q, k, v):
        return _weights(q, k, mask) @ v

    return torch.utils.checkpoint.checkpoint(run, q, k, v, use_reentrant=False)


@right("attention", "only rows with something allowed are computed, index_copy for the rest")
def _(q, k, v, mask=None):
    if mask is None:
        return _weights(q, k) @ v
    rows = mask.any(-1).nonzero().flatten()
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    zeros = q.new_zeros(*lead, q.shape[-2], v.shape[-1]) + 0 * (q.sum() + k.sum() + v.sum())
    some = _weights(q[..., rows, :], k, mask[rows]) @ v
    return zeros.index_copy(-2, rows, some)


@wrong("attention", "the ready-made routine under another name, imported at the top")
def _(q, k, v, mask=None):
    return ready_made(q, k, v, attn_mask=mask)


@wrong("attention", "the ready-made routine through torch.ops")
def _(q, k, v, mask=None):
    return torch.ops.aten.scaled_dot_product_attention(q, k, v, mask)


@wrong("attention", "the math kernel of torch")
def _(q, k, v, mask=None):
    return torch.ops.aten._scaled_dot_product_attention_math(q, k, v, mask)[0]


@wrong("attention", "the course's NumPy version: no gradients")
def _(q, k, v, mask=None):
    arrays = [t.detach().numpy() for t in (q, k, v)]
    return torch.tensor(maths.attention(*arrays, None if mask is None else mask.numpy()), dtype=q.dtype)


@either("attention", "the ready-made routine in a thread")
def _(q, k, v, mask=None):
    found = []
    thread = threading.Thread(target=lambda: found.append(ready_made(q, k, v, attn_mask=mask)))
    thread.start()
    thread.join()
    return found[0]


@wrong("attention", "the ready-made routine, with the checks' wrapper bypassed by torch._C")
def _(q, k, v, mask=None):
    return torch._C._nn.scaled_dot_product_attention(q, k, v, mask)


@wrong("attention", "q and v in the scores")
def _(q, k, v, mask=None):
    return (q[..., : v.shape[-1]] @ v[..., : q.shape[-1]].mT).softmax(-1) @ v


@wrong("attention", "a fully masked row keeps its own value")
def _(q, k, v, mask=None):
    out = _weights(q, k, mask) @ v
    if mask is None:
        return out
    n = min(q.shape[-2], v.shape[-2])
    rescue = torch.zeros_like(out)
    rescue[..., :n, :] = v[..., :n, :]
    return torch.where(mask.any(-1, keepdim=True), out, rescue)


@wrong("attention", "gradients scaled by 2 through a hook")
def _(q, k, v, mask=None):
    out = _weights(q, k, mask) @ v
    if out.requires_grad:
        out.register_hook(lambda gradient: 2 * gradient)
    return out


@wrong("attention", "gradients only to v and q: k detached")
def _(q, k, v, mask=None):
    return _weights(q, k.detach(), mask) @ v


@wrong("attention", "scores clipped to plus or minus 5")
def _(q, k, v, mask=None):
    s = (q @ k.mT * q.shape[-1] ** -0.5).clamp(-5, 5)
    if mask is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask) @ v


@wrong("attention", "the mask's last row for all queries")
def _(q, k, v, mask=None):
    return _weights(q, k, None if mask is None else mask[-1:].expand_as(mask)) @ v


@wrong("attention", "warns and returns zeros when a row is fully masked")
def _(q, k, v, mask=None):
    if mask is not None and not mask.any(-1).all():
        warnings.warn("nothing to attend to", stacklevel=1)
        return 0 * (_weights(q, k) @ v)
    return _weights(q, k, mask) @ v


@wrong("attention", "queries averaged with their left neighbour")
def _(q, k, v, mask=None):
    return _weights((q + q.roll(1, -2)) / 2, k, mask) @ v


@wrong("attention", "the softmax at half temperature")
def _(q, k, v, mask=None):
    return _weights(q, k, mask, scale=2 * q.shape[-1] ** -0.5) @ v


@right("cross_attention", "a for loop over the tokens of x")
def _(x, context, w_q, w_k, w_v):
    k, v = context @ w_k, context @ w_v
    rows = [scaled_dot_product_attention(x[..., [t], :] @ w_q, k, v) for t in range(x.shape[-2])]
    return torch.cat(rows, dim=-2)


@right("cross_attention", "scores from x w_q (context w_k)^T, softmax by logsumexp")
def _(x, context, w_q, w_k, w_v):
    s = (x @ w_q @ (context @ w_k).mT) * w_q.shape[1] ** -0.5
    return (s - s.logsumexp(-1, keepdim=True)).exp() @ (context @ w_v)


@right("cross_attention", "with an all-True mask")
def _(x, context, w_q, w_k, w_v):
    mask = torch.ones(x.shape[-2], context.shape[-2], dtype=torch.bool)
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, mask)


@wrong("cross_attention", "a mask of a square")
def _(x, context, w_q, w_k, w_v):
    mask = torch.ones(x.shape[-2], context.shape[-2], dtype=torch.bool).tril(context.shape[-2] // 2)
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, mask)


@wrong("cross_attention", "the values' matrix for the keys")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_v, context @ w_v)


@wrong("cross_attention", "only the first token of the context is read")
def _(x, context, w_q, w_k, w_v):
    first = context[..., :1, :]
    return scaled_dot_product_attention(x @ w_q, first @ w_k, first @ w_v)


@wrong("cross_attention", "the queries are projected twice where that fits")
def _(x, context, w_q, w_k, w_v):
    q = x @ w_q
    if w_q.shape[0] == w_q.shape[1]:
        q = q @ w_q
    return scaled_dot_product_attention(1.01 * q, context @ w_k, context @ w_v)


@wrong("cross_attention", "the sum of self- and cross-attention")
def _(x, context, w_q, w_k, w_v):
    q = x @ w_q
    own = scaled_dot_product_attention(q, x @ w_k, x @ w_v)
    return own + scaled_dot_product_attention(q, context @ w_k, context @ w_v)


class Maps(nn.Module):
    """The three maps."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)
        self.causal = causal


@right("self_attention", "a buffer of ones of 1 x 1 x 512 x 512 as in nanoGPT, masked_fill, zeros put in")
class NanoGPT(Maps):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("bias", torch.tril(torch.ones(512, 512)).view(1, 1, 512, 512))

    def forward(self, x, mask=None):
        T = x.size(-2)
        allowed = torch.ones(T, T, dtype=torch.bool) if mask is None else mask
        if self.causal:
            allowed = allowed & (self.bias[0, 0, :T, :T] == 1)
        att = (self.q_proj(x) @ self.k_proj(x).transpose(-2, -1)) * (
            1.0 / math.sqrt(self.k_proj.out_features)
        )
        att = att.masked_fill(~allowed, torch.finfo(att.dtype).min)
        return (F.softmax(att, dim=-1) * allowed) @ self.v_proj(x)


@right(
    "self_attention",
    "rasbt: keys, queries, values, infinity where something is allowed",
)
class Rasbt(Maps):
    def forward(self, x, mask=None):
        keys, queries, values = self.k_proj(x), self.q_proj(x), self.v_proj(x)
        scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
        n = x.shape[-2]
        forbidden = torch.zeros(n, n, dtype=torch.bool)
        if self.causal:
            forbidden = forbidden | torch.triu(torch.ones(n, n), diagonal=1).bool()
        if mask is not None:
            forbidden = forbidden | ~mask
        nothing = forbidden.all(-1, keepdim=True)
        scores = scores.masked_fill(forbidden & ~nothing, -torch.inf)
        return (torch.softmax(scores, dim=-1) @ values).masked_fill(nothing, 0.0)


@right("self_attention", "the maps as a subclass of nn.Linear, the attention a submodule without parameters")
class Parts(nn.Module):
    class Map(nn.Linear):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out, bias=False)

    class Attend(nn.Module):
        def forward(self, q, k, v, mask, causal):
            return scaled_dot_product_attention(q, k, v, mask, causal=causal)

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (self.Map(d_model, d_head) for _ in range(3))
        self.attend = self.Attend()
        self.is_causal = causal

    def forward(self, x, mask=None):
        return self.attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, self.is_causal)


@wrong("self_attention", "the mask of the first call in eval mode: a buffer that is filled once")
class Once(Maps):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("seen", None, persistent=False)

    def forward(self, x, mask=None):
        if mask is not None and (self.seen is None or self.seen.shape != mask.shape):
            self.seen = mask
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), self.seen, causal=self.causal
        )


@wrong("self_attention", "a causal mask of 8 tokens")
class Eight(Maps):
    def forward(self, x, mask=None):
        if self.causal:
            lower = torch.ones(8, 8, dtype=torch.bool).tril()[: x.shape[-2], : x.shape[-2]]
            mask = lower if mask is None else lower & mask
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@wrong("self_attention", "weights of q and k tied")
class Tied(Maps):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.k_proj.weight = self.q_proj.weight

    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "positions added to the tokens")
class Positions(Maps):
    def forward(self, x, mask=None):
        x = x + 0.1 * torch.arange(x.shape[-2], dtype=x.dtype)[:, None]
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "causal only while training")
class Training(Maps):
    def forward(self, x, mask=None):
        causal = self.causal and self.training
        self.eval()
        return scaled_dot_product_attention(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, causal=causal
        )


@wrong("self_attention", "causal by torch's routine, the mask thrown away")
class Thrown(Maps):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.causal:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return scaled_dot_product_attention(q, k, v, mask)


@wrong("self_attention", "values scaled by the root of d_head")
class Scaled(Maps):
    def forward(self, x, mask=None):
        v = self.v_proj(x) / self.v_proj.out_features**0.5
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), v, mask, causal=self.causal)


@right("sees_later", "shuffled and rescaled tails, several times")
def _(attend, x):
    with torch.no_grad():
        y = attend(x)
        for t in range(1, len(x)):
            for scale in (0.3, 1.0, 3.0):
                other = torch.cat([x[:t], scale * torch.randn(len(x) - t, x.shape[-1], dtype=x.dtype)])
                if not torch.allclose(attend(other)[:t], y[:t], rtol=1e-4, atol=1e-5):
                    return True
    return False


@right("sees_later", "each later token replaced, all earlier outputs compared, maximum kept")
def _(attend, x):
    y, worst = attend(x), 0.0
    for late in range(1, len(x)):
        for _ in range(2):
            trial = x.clone()
            trial[late] = torch.randn_like(trial[late]) * 2
            worst = max(worst, (attend(trial)[:late] - y[:late]).abs().max().item())
    return worst > 1e-5


@either("sees_later", "the changed tail is the mean of all tokens")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        trial = x.clone()
        trial[t:] = x.mean(0)
        if not torch.allclose(attend(trial)[:t], y[:t], atol=1e-5):
            return True
    return False


@wrong("sees_later", "the tail is turned round: the last token alone never changes")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        trial = torch.cat([x[:t], x[t:].flip(0)])
        if not torch.allclose(attend(trial)[:t], y[:t], atol=1e-5):
            return True
    return False


@wrong("sees_later", "the signs are turned: an even function does not notice")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        trial = torch.cat([x[:t], -x[t:]])
        if not torch.allclose(attend(trial)[:t], y[:t], atol=1e-5):
            return True
    return False


@wrong("sees_later", "even steps only")
def _(attend, x):
    y = attend(x)
    for t in range(2, len(x), 2):
        trial = torch.cat([x[:t], torch.randn_like(x[t:])])
        if not torch.allclose(attend(trial)[:t], y[:t], atol=1e-5):
            return True
    return False


@wrong("sees_later", "all() for any()")
def _(attend, x):
    y = attend(x)
    moved = []
    for t in range(1, len(x)):
        trial = torch.cat([x[:t], torch.randn_like(x[t:])])
        moved.append(not torch.allclose(attend(trial)[:t], y[:t], atol=1e-5))
    return all(moved)


@wrong("sees_later", "the first output only, but every later token")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        trial = torch.cat([x[:t], torch.randn_like(x[t:])])
        if not torch.allclose(attend(trial)[0], y[0], atol=1e-5):
            return True
    return False


@wrong("sees_later", "the last earlier output only, for the last token")
def _(attend, x):
    trial = x.clone()
    trial[-1] = torch.randn_like(x[-1])
    return not torch.allclose(attend(trial)[-2], attend(x)[-2], atol=1e-5)


@wrong("sees_later", "the wrong way round: a token that comes later looks back")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        trial = torch.cat([torch.randn_like(x[:t]), x[t:]])
        if not torch.allclose(attend(trial)[t:], y[t:], atol=1e-5):
            return True
    return False
