"""A pool of answers to the tasks of 04_multi_head, written from the exercises' texts alone. See `pool`."""

import heapq
import itertools
import math
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

from course_lib.attention import causal_mask, scaled_dot_product_attention

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ------------------------------------------------------------------------------------------------ split heads


@right("split_heads", "a view of four axes, then permute")
def _(x, n_heads):
    b, t, d = x.size()
    return x.reshape(b, t, n_heads, d // n_heads).permute(0, 2, 1, 3)


@right("split_heads", "slices, stacked")
def _(x, n_heads):
    width = x.shape[2] // n_heads
    return torch.stack([x[:, :, i * width : (i + 1) * width] for i in range(n_heads)]).transpose(0, 1)


@right("split_heads", "number by number")
def _(x, n_heads):
    b, t, d = x.shape
    width = d // n_heads
    out = torch.zeros((b, n_heads, t, width), dtype=x.dtype)
    for i, h, j, n in itertools.product(range(b), range(n_heads), range(t), range(width)):
        out[i, h, j, n] = x[i, j, h * width + n]
    return out


@right("split_heads", "an index of columns")
def _(x, n_heads):
    columns = torch.arange(x.shape[-1]).view(n_heads, -1)
    return x[..., columns].movedim(-2, 1)


@right("split_heads", "as_strided")
def _(x, n_heads):
    b, t, d = x.shape
    rows, tokens, numbers = x.stride()
    width = d // n_heads
    return x.as_strided((b, n_heads, t, width), (rows, width * numbers, tokens, numbers))


@wrong("split_heads", "view with the heads in second place")
def _(x, n_heads):
    b, t, d = x.shape
    return x.reshape(b, n_heads, t, d // n_heads)


@wrong("split_heads", "no transpose")
def _(x, n_heads):
    return x.unflatten(2, (n_heads, x.shape[2] // n_heads))


@wrong("split_heads", "the last axis cut the other way")
def _(x, n_heads):
    b, t, d = x.shape
    return x.reshape(b, t, d // n_heads, n_heads).permute(0, 3, 1, 2)


@wrong("split_heads", "torch.split by the number of heads")
def _(x, n_heads):
    return torch.stack(x.split(n_heads, dim=-1), dim=1)


@wrong("split_heads", "chunks along the tokens")
def _(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=1), dim=1)


@wrong("split_heads", "a tuple of heads")
def _(x, n_heads):
    return x.chunk(n_heads, dim=-1)


@wrong("split_heads", "stacked in front")
def _(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1))


# ------------------------------------------------------------------------------------------------- join heads


@right("join_heads", "permute and reshape")
def _(heads):
    b, h, t, k = heads.shape
    return heads.permute(0, 2, 1, 3).reshape(b, t, h * k)


@right("join_heads", "cat over the last axis")
def _(heads):
    return torch.cat(tuple(heads.transpose(0, 1)), dim=-1)


@right("join_heads", "hstack of each sequence")
def _(heads):
    return torch.stack([torch.hstack(tuple(sequence)) for sequence in heads])


@right("join_heads", "a table of zeros, filled in")
def _(heads):
    b, h, t, k = heads.shape
    out = heads.new_zeros(b, t, h * k)
    for i in range(h):
        out[..., k * i : k * i + k] += heads[:, i]
    return out


@wrong("join_heads", "reshape at once")
def _(heads):
    b, h, t, k = heads.shape
    return heads.reshape(b, t, h * k)


@wrong("join_heads", "summed")
def _(heads):
    return torch.einsum("bhtk->btk", heads)


@wrong("join_heads", "stacked at the end")
def _(heads):
    return torch.stack([heads[:, i] for i in range(heads.shape[1])], dim=-1).flatten(2)


@wrong("join_heads", "cat over the tokens")
def _(heads):
    return torch.cat(heads.unbind(dim=1), dim=1)


@wrong("join_heads", "the transpose of the other two axes")
def _(heads):
    return heads.transpose(2, 3).flatten(1, 2)


@wrong("join_heads", "the first sequence only")
def _(heads):
    return torch.cat(list(heads[0]), dim=-1)


# ------------------------------------------------------------------------------------------------- multi-head


class Base(nn.Module):
    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        self.causal = causal
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def heads(self, x):
        return x.view(*x.shape[:2], self.n_heads, self.d_head).transpose(1, 2)


@right("multi_head", "views and the library's attention")
class _(Base):
    def forward(self, x):
        q, k, v = self.heads(self.q_proj(x)), self.heads(self.k_proj(x)), self.heads(self.v_proj(x))
        y = scaled_dot_product_attention(q, k, v, causal=self.causal)
        return self.out_proj(y.transpose(1, 2).reshape(x.shape))


@right("multi_head", "a mask made in forward, the softmax by hand")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(2, 3) / self.d_head**0.5
        if self.causal:
            later = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), diagonal=1)
            scores = scores.masked_fill(later, float("-inf"))
        weights = F.softmax(scores, dim=-1)
        return self.out_proj((weights @ v).transpose(1, 2).contiguous().flatten(2))


@right("multi_head", "a loop over the heads, results side by side")
class _(Base):
    def forward(self, x):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        outs = []
        for h in range(self.n_heads):
            part = slice(h * self.d_head, (h + 1) * self.d_head)
            own = (y[..., part] for y in (q, k, v))
            outs.append(scaled_dot_product_attention(*own, causal=self.causal))
        return self.out_proj(torch.cat(outs, dim=-1))


@right("multi_head", "torch's kernel with is_causal")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


@wrong("multi_head", "heads forgotten")
class _(Base):
    def forward(self, x):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return self.out_proj(scaled_dot_product_attention(q, k, v, causal=self.causal))


@wrong("multi_head", "the mask forgotten")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@wrong("multi_head", "out_proj forgotten")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return scaled_dot_product_attention(q, k, v, causal=self.causal).transpose(1, 2).flatten(2)


@wrong("multi_head", "not transposed before it is joined")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(scaled_dot_product_attention(q, k, v, causal=self.causal).reshape(x.shape))


@wrong("multi_head", "x instead of the values")
class _(Base):
    def forward(self, x):
        q, k, v = self.heads(self.q_proj(x)), self.heads(self.k_proj(x)), self.heads(x)
        y = scaled_dot_product_attention(q, k, v, causal=self.causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


@wrong("multi_head", "scores divided by the root of the whole width")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.mT / x.shape[-1] ** 0.5
        if self.causal:
            scores = scores.masked_fill(~causal_mask(x.shape[1], x.shape[1]), -math.inf)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@wrong("multi_head", "each head through out_proj, summed")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        y = scaled_dot_product_attention(q, k, v, causal=self.causal).sum(1)
        return self.out_proj(y.repeat(1, 1, self.n_heads))


@wrong("multi_head", "torch's layer inside")
class _(nn.Module):
    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.layer = nn.MultiheadAttention(d_model, n_heads, bias=False, batch_first=True)

    def forward(self, x):
        return self.layer(x, x, x, need_weights=False)[0]


# -------------------------------------------------------------------------------------------- grouped queries


@right("grouped_queries", "repeat_interleave")
def _(q, k, v):
    n = q.size(1) // k.size(1)
    return scaled_dot_product_attention(q, k.repeat_interleave(n, 1), v.repeat_interleave(n, 1))


@right("grouped_queries", "stacked copies, then flattened")
def _(q, k, v):
    n = q.size(1) // k.size(1)
    k = torch.stack([k] * n, dim=2).flatten(1, 2)
    v = torch.stack([v] * n, dim=2).flatten(1, 2)
    return scaled_dot_product_attention(q, k, v)


@right("grouped_queries", "group by group")
def _(q, k, v):
    n = q.size(1) // k.size(1)
    out = torch.zeros_like(q)
    for g in range(k.size(1)):
        for h in range(g * n, (g + 1) * n):
            out[:, h] = scaled_dot_product_attention(q[:, h], k[:, g], v[:, g])
    return out


@right("grouped_queries", "einsum with an axis for the group")
def _(q, k, v):
    b, h, t, width = q.shape
    q = q.reshape(b, k.shape[1], h // k.shape[1], t, width)
    weights = torch.einsum("bgntk,bgsk->bgnts", q, k).div(width**0.5).softmax(-1)
    return torch.einsum("bgnts,bgsk->bgntk", weights, v).reshape(b, h, t, width)


@wrong("grouped_queries", "repeat")
def _(q, k, v):
    n = q.shape[1] // k.shape[1]
    return scaled_dot_product_attention(q, k.repeat(1, n, 1, 1), v.repeat(1, n, 1, 1))


@wrong("grouped_queries", "head % G")
def _(q, k, v):
    g = k.shape[1]
    outs = [scaled_dot_product_attention(q[:, h], k[:, h % g], v[:, h % g]) for h in range(q.shape[1])]
    return torch.stack(outs, 1)


@wrong("grouped_queries", "broadcast from the first key head")
def _(q, k, v):
    return scaled_dot_product_attention(q, k[:, 0:1], v[:, 0:1])


@wrong("grouped_queries", "queries averaged over the group")
def _(q, k, v):
    n = q.shape[1] // k.shape[1]
    q = q.reshape(q.shape[0], k.shape[1], n, *q.shape[2:]).mean(dim=2)
    return scaled_dot_product_attention(q, k, v)


@wrong("grouped_queries", "the keys of a group averaged from the wrong axis")
def _(q, k, v):
    n = q.shape[1] // k.shape[1]
    return scaled_dot_product_attention(q, k.repeat_interleave(n, 0), v.repeat_interleave(n, 0))


@wrong("grouped_queries", "the last heads dropped")
def _(q, k, v):
    return scaled_dot_product_attention(q[:, : k.shape[1]], k, v)


# --------------------------------------------------------------------------------------- previous-token score


@right("previous_token_score", "a loop over queries")
def _(weights):
    total = 0
    for t in range(1, weights.shape[-1]):
        total = total + weights[:, :, t, t - 1]
    return total / (weights.shape[-1] - 1)


@right("previous_token_score", "two index lists")
def _(weights):
    n = weights.shape[-1]
    return weights[:, :, list(range(1, n)), list(range(n - 1))].mean(dim=2)


@right("previous_token_score", "torch.diagonal")
def _(weights):
    return torch.diagonal(weights, -1, 2, 3).mean(2)


@right("previous_token_score", "gather")
def _(weights):
    n = weights.shape[-1]
    keys = (torch.arange(n) - 1).clamp(min=0).reshape(1, 1, n, 1).expand(*weights.shape[:2], n, 1)
    return weights.gather(-1, keys)[:, :, 1:, 0].mean(-1)


@right("previous_token_score", "trace of the lower left corner, in NumPy")
def _(weights):
    corner = weights.numpy()[:, :, 1:, :-1]
    return np.trace(corner, axis1=2, axis2=3) / corner.shape[-1]


@wrong("previous_token_score", "offset 1")
def _(weights):
    return torch.diagonal(weights, 1, 2, 3).mean(2)


@wrong("previous_token_score", "the main diagonal")
def _(weights):
    return torch.diagonal(weights, 0, 2, 3).mean(2)


@wrong("previous_token_score", "divided by T")
def _(weights):
    return sum(weights[:, :, t, t - 1] for t in range(1, weights.shape[2])) / weights.shape[2]


@wrong("previous_token_score", "the loop starts at 0 and wraps around")
def _(weights):
    n = weights.shape[2]
    return sum(weights[:, :, t, t - 1] for t in range(n)) / n


@wrong("previous_token_score", "one number in all")
def _(weights):
    return torch.diagonal(weights, -1, 2, 3).mean()


@wrong("previous_token_score", "diagonal without dims")
def _(weights):
    return weights.diagonal(-1).mean(-1)


@wrong("previous_token_score", "summed")
def _(weights):
    return torch.diagonal(weights, -1, 2, 3).sum(2)


# -------------------------------------------------------------------------------------------------- heads off


@right("heads_off", "clone, then a loop")
def _(mix, heads):
    result = mix.clone()
    for h in heads:
        result[:, h, :, :] = 0.0
    return result


@right("heads_off", "times a row of ones and zeros")
def _(mix, heads):
    keep = torch.ones(1, mix.shape[1], 1, 1, dtype=mix.dtype)
    keep[:, heads] = 0
    return mix * keep


@right("heads_off", "torch.where")
def _(mix, heads):
    on = torch.tensor([h not in set(heads) for h in range(mix.shape[1])])
    return torch.where(on[None, :, None, None], mix, torch.zeros((), dtype=mix.dtype))


@right("heads_off", "zeros, then the others copied in")
def _(mix, heads):
    others = [h for h in range(mix.shape[1]) if h not in heads]
    result = torch.zeros_like(mix)
    result[:, others] = mix[:, others]
    return result


@wrong("heads_off", "in place")
def _(mix, heads):
    mix[:, heads] *= 0
    return mix


@wrong("heads_off", "an alias instead of a copy")
def _(mix, heads):
    result = mix
    for h in heads:
        result[:, h] = 0
    return result


@wrong("heads_off", "axis 2")
def _(mix, heads):
    result = mix.clone()
    result[:, :, heads] = 0
    return result


@wrong("heads_off", "first axis")
def _(mix, heads):
    result = mix.clone()
    result[heads] = 0
    return result


@wrong("heads_off", "the mask upside down")
def _(mix, heads):
    keep = torch.zeros(mix.shape[1], dtype=mix.dtype)
    keep[heads] = 1
    return mix * keep[:, None, None]


@wrong("heads_off", "dropout")
def _(mix, heads):
    keep = torch.ones(mix.shape[1], dtype=mix.dtype)
    keep[heads] = 0
    return mix * (keep / keep.mean())[:, None, None]


@wrong("heads_off", "heads deleted")
def _(mix, heads):
    return mix[:, sorted(set(range(mix.shape[1])) - set(heads))]


# ---------------------------------------------------------------------------------------------- copying heads


@right("copying_heads", "a dictionary of sums")
def _(weights, n, k):
    sums = defaultdict(float)
    for i in range(n, 2 * n):
        for layer, head in itertools.product(range(weights.shape[0]), range(weights.shape[1])):
            sums[layer, head] += weights[layer, head, i, i - n + 1].item()
    return heapq.nlargest(k, sums, key=sums.get)


@right("copying_heads", "an index for queries, one for keys")
def _(weights, n, k):
    i = torch.arange(n, 2 * n)
    scores = weights[:, :, i, i - n + 1].mean(-1)
    order = scores.flatten().sort(descending=True).indices[:k]
    return [(int(o // scores.shape[1]), int(o % scores.shape[1])) for o in order]


@right("copying_heads", "NumPy and argsort")
def _(weights, n, k):
    scores = np.diagonal(np.asarray(weights), 1 - n, 2, 3)[:, :, 1:].mean(-1)
    order = scores.ravel().argsort()[::-1][:k]
    return [tuple(map(int, np.unravel_index(o, scores.shape))) for o in order]


@right("copying_heads", "lists of lists")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    pairs = [(float(s), layer, head) for layer, row in enumerate(scores) for head, s in enumerate(row)]
    return [[layer, head] for _, layer, head in sorted(pairs, reverse=True)[:k]]


@wrong("copying_heads", "n back: the same token")
def _(weights, n, k):
    i = torch.arange(n, 2 * n)
    scores = weights[:, :, i, i - n].mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "the lowest")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().argsort()[:k].tolist()]


@wrong("copying_heads", "(head, layer)")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    return [divmod(o, scores.shape[1])[::-1] for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "flat indices")
def _(weights, n, k):
    return weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1).flatten().topk(k).indices.tolist()


@wrong("copying_heads", "n forgotten")
def _(weights, n, k):
    scores = weights.diagonal(-1, 2, 3).mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "diagonal of layers and heads")
def _(weights, n, k):
    scores = weights.diagonal(1 - n).mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "always ten")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    count = min(10, scores.numel())
    return [divmod(o, scores.shape[1]) for o in scores.flatten().topk(count).indices.tolist()]


# -------------------------------------------------------------------------------------------- attention bytes


@right("attention_bytes", "in the order of the text")
def _(n_tokens, d_model, n_heads, n_kv_heads, bytes_per_number):
    width = d_model // n_heads
    weights = n_heads * n_tokens * n_tokens * bytes_per_number
    cache = (n_tokens * width + n_tokens * width) * n_kv_heads * bytes_per_number
    per_pair = width + width
    return weights, cache, n_heads * n_tokens * n_tokens * per_pair


@right("attention_bytes", "a list of Python floats")
def _(n_tokens, d_model, n_heads, n_kv_heads, bytes_per_number):
    share = n_kv_heads / n_heads
    return [
        float(n_heads * n_tokens**2 * bytes_per_number),
        2.0 * n_tokens * d_model * share * bytes_per_number,
        2.0 * n_tokens**2 * d_model,
    ]


@right("attention_bytes", "tensors, and their nbytes")
def _(n_tokens, d_model, n_heads, n_kv_heads, bytes_per_number):
    kind = {1: torch.int8, 2: torch.float16, 4: torch.float32}[bytes_per_number]
    weights = torch.empty(n_heads, n_tokens, n_tokens, dtype=kind, device="meta")
    keys = torch.empty(n_kv_heads, n_tokens, d_model // n_heads, dtype=kind, device="meta")
    return weights.nbytes, 2 * keys.nbytes, weights.numel() * 2 * keys.shape[-1]


@right("attention_bytes", "a tensor of three whole numbers")
def _(t, d, h, g, b):
    return torch.tensor([h * t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t])


@wrong("attention_bytes", "one table")
def _(t, d, h, g, b):
    return t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t


@wrong("attention_bytes", "the cache of all heads")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * t * d * b, 2 * d * t * t


@wrong("attention_bytes", "no bytes")
def _(t, d, h, g, b):
    return h * t * t, 2 * g * t * (d // h), 2 * d * t * t


@wrong("attention_bytes", "bytes everywhere")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t * b


@wrong("attention_bytes", "scores alone")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // h) * b, d * t * t


@wrong("attention_bytes", "the width of a key head is d_model / n_kv_heads")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // g) * b, 2 * d * t * t


@wrong("attention_bytes", "projections counted too")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t + 4 * t * d * d


# ------------------------------------------------------------------------------------------- linear attention


def features(x):
    return F.elu(x) + 1


@right("linear_attention", "S and z")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = fk.transpose(-2, -1) @ v
    z = fk.sum(dim=-2)
    return (fq @ s) / (fq @ z.unsqueeze(-1))


@right("linear_attention", "einsum")
def _(q, k, v):
    fq, fk = features(q), features(k)
    top = torch.einsum("...tk,...kv->...tv", fq, torch.einsum("...sk,...sv->...kv", fk, v))
    return top / torch.einsum("...tk,...k->...t", fq, fk.sum(-2)).unsqueeze(-1)


@right("linear_attention", "outer products of all keys, summed")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = (fk.unsqueeze(-1) * v.unsqueeze(-2)).sum(-3)
    return fq.matmul(s) / fq.mul(fk.sum(-2, keepdim=True)).sum(-1, keepdim=True)


@right("linear_attention", "the mean instead of the sum, above and below")
def _(q, k, v):
    fq, fk = features(q), features(k)
    n = k.shape[-2]
    return (fq @ (fk.mT @ v / n)) / (fq @ fk.mean(-2).unsqueeze(-1))


@right("linear_attention", "elu by hand")
def _(q, k, v):
    fq, fk = (x.clamp(min=0) + x.clamp(max=0).exp() for x in (q, k))
    return fq @ (fk.mT @ v) / (fq * fk.sum(-2, keepdim=True)).sum(-1, keepdim=True)


@wrong("linear_attention", "the products first")
def _(q, k, v):
    weights = features(q) @ features(k).mT
    return (weights / weights.sum(-1, keepdim=True)) @ v


@wrong("linear_attention", "softmax of the features' products")
def _(q, k, v):
    return (features(q) @ features(k).mT).softmax(-1) @ v


@wrong("linear_attention", "no divisor")
def _(q, k, v):
    return features(q) @ (features(k).mT @ v)


@wrong("linear_attention", "elu alone")
def _(q, k, v):
    fq, fk = F.elu(q), F.elu(k)
    return fq @ (fk.mT @ v) / (fq @ fk.sum(-2).unsqueeze(-1))


@wrong("linear_attention", "z summed over the width")
def _(q, k, v):
    fq, fk = features(q), features(k)
    return fq @ (fk.mT @ v) / fk.sum()


@wrong("linear_attention", "query by query, each with all keys")
def _(q, k, v):
    fk = features(k)
    rows = []
    for t in range(q.shape[-2]):
        weights = (features(q[..., t : t + 1, :]) * fk).sum(-1, keepdim=True)
        rows.append((weights * v).sum(-2) / weights.sum(-2))
    return torch.stack(rows, -2)


@wrong("linear_attention", "scaled by the root of K")
def _(q, k, v):
    fq, fk = features(q / q.shape[-1] ** 0.5), features(k)
    return fq @ (fk.mT @ v) / (fq @ fk.sum(-2).unsqueeze(-1))


# ------------------------------------------------------------------------------------ causal linear attention


@right("causal_linear_attention", "a loop, results written into a table")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = torch.zeros(*k.shape[:-2], k.shape[-1], v.shape[-1], dtype=v.dtype)
    z = torch.zeros(*k.shape[:-2], k.shape[-1], dtype=v.dtype)
    out = torch.zeros_like(v)
    for t in range(q.shape[-2]):
        s = s + torch.einsum("...k,...v->...kv", fk[..., t, :], v[..., t, :])
        z = z + fk[..., t, :]
        top = torch.einsum("...k,...kv->...v", fq[..., t, :], s)
        out[..., t, :] = top / (fq[..., t, :] * z).sum(-1, keepdim=True)
    return out


@right("causal_linear_attention", "cumsum of outer products")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = torch.einsum("...tk,...tv->...tkv", fk, v).cumsum(dim=-3)
    top = torch.einsum("...tk,...tkv->...tv", fq, s)
    return top / (fq * fk.cumsum(dim=-2)).sum(dim=-1, keepdim=True)


@right("causal_linear_attention", "itertools.accumulate")
def _(q, k, v):
    fq, fk = features(q), features(k)
    terms = [fk[..., t, :, None] * v[..., t, None, :] for t in range(k.shape[-2])]
    s = torch.stack(list(itertools.accumulate(terms)), -3)
    z = torch.stack(list(itertools.accumulate(fk.unbind(-2))), -2)
    return (fq.unsqueeze(-2) @ s).squeeze(-2) / (fq * z).sum(-1, keepdim=True)


@right("causal_linear_attention", "number by number of a value")
def _(q, k, v):
    fq, fk = features(q), features(k)
    below = (fq * fk.cumsum(-2)).sum(-1)
    columns = [(fq * (fk * column[..., None]).cumsum(-2)).sum(-1) / below for column in v.unbind(-1)]
    return torch.stack(columns, -1)


@wrong("causal_linear_attention", "tril of the products")
def _(q, k, v):
    weights = (features(q) @ features(k).mT).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


@wrong("causal_linear_attention", "no cumsum")
def _(q, k, v):
    fq, fk = features(q), features(k)
    return fq @ (fk.mT @ v) / (fq @ fk.sum(-2).unsqueeze(-1))


@wrong("causal_linear_attention", "cumsum above only")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = (fk.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(-3)
    return (fq.unsqueeze(-2) @ s).squeeze(-2) / (fq @ fk.sum(-2).unsqueeze(-1))


@wrong("causal_linear_attention", "asked before the key is added")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s, z, rows = 0.0, 1e-6, []
    for t in range(q.shape[-2]):
        asked = fq[..., t : t + 1, :]
        rows.append(asked @ s / (asked * z).sum(-1, keepdim=True) if t else torch.zeros_like(v[..., :1, :]))
        s = s + fk[..., t, :, None] * v[..., t, None, :]
        z = z + fk[..., t : t + 1, :]
    return torch.cat(rows, -2)


@wrong("causal_linear_attention", "cumsum of the values alone")
def _(q, k, v):
    fq, fk = features(q), features(k)
    return fq @ (fk.mT @ v.cumsum(-2)) / (fq * fk.cumsum(-2)).sum(-1, keepdim=True)


@wrong("causal_linear_attention", "cumsum along the width of the keys")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = (fk.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(-2)
    return (fq.unsqueeze(-2) @ s).squeeze(-2) / (fq * fk.cumsum(-1)).sum(-1, keepdim=True)


@wrong("causal_linear_attention", "the sums of all keys so far, made anew for each query")
def _(q, k, v):
    fq, fk = features(q), features(k)
    rows = []
    for t in range(q.shape[-2]):
        seen, asked = fk[..., : t + 1, :], fq[..., t : t + 1, :]
        rows.append(
            asked
            @ (seen.mT @ v[..., : t + 1, :])
            / (asked * seen.sum(-2, keepdim=True)).sum(-1, keepdim=True)
        )
    return torch.cat(rows, -2)
