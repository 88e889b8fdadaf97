"""Plausible answers to the tasks of 04_multi_head, written from the texts of the exercises alone."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.attention import scaled_dot_product_attention
from plausible import Answers

of = Answers("04_multi_head")
right, wrong = of.right, of.wrong

# ------------------------------------------------------------------------------------------------ split heads


@right("split_heads", "a view of four axes, then permute")
def _(x, n_heads):
    b, t, d = x.size()
    return x.reshape(b, t, n_heads, d // n_heads).permute(0, 2, 1, 3)


@wrong("split_heads", "view with the heads in second place", "a bare reshape")
def _(x, n_heads):
    b, t, d = x.shape
    return x.reshape(b, n_heads, t, d // n_heads)


@wrong("split_heads", "no transpose", "heads after the tokens")
def _(x, n_heads):
    return x.unflatten(2, (n_heads, x.shape[2] // n_heads))


@wrong("split_heads", "torch.split by the number of heads", "as many heads as numbers")
def _(x, n_heads):
    return torch.stack(x.split(n_heads, dim=-1), dim=1)


@wrong("split_heads", "chunks along the tokens", "tokens shared out")
def _(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=1), dim=1)


# ------------------------------------------------------------------------------------------------- join heads


@right("join_heads", "cat over the last axis")
def _(heads):
    return torch.cat(tuple(heads.transpose(0, 1)), dim=-1)


@wrong("join_heads", "reshape at once", "without exchanging the axes")
def _(heads):
    b, h, t, k = heads.shape
    return heads.reshape(b, t, h * k)


@wrong("join_heads", "summed", "the sum of the heads")
def _(heads):
    return torch.einsum("bhtk->btk", heads)


@wrong("join_heads", "cat over the tokens", "one head below the other")
def _(heads):
    return torch.cat(heads.unbind(dim=1), dim=1)


@wrong("join_heads", "the transpose of the other two axes", "tokens in columns")
def _(heads):
    return heads.transpose(2, 3).flatten(1, 2)


# ------------------------------------------------------------------------------------------------- multi head


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


@wrong("multi_head", "heads forgotten", "one head of the full width")
class _(Base):
    def forward(self, x):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return self.out_proj(scaled_dot_product_attention(q, k, v, causal=self.causal))


@wrong("multi_head", "the mask forgotten", "causal ignored")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@wrong("multi_head", "out_proj forgotten", "without out_proj")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return scaled_dot_product_attention(q, k, v, causal=self.causal).transpose(1, 2).flatten(2)


@wrong("multi_head", "not transposed before it is joined", "joined by a bare reshape")
class _(Base):
    def forward(self, x):
        q, k, v = (self.heads(f(x)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(scaled_dot_product_attention(q, k, v, causal=self.causal).reshape(x.shape))


# -------------------------------------------------------------------------------------------- grouped queries


@right("grouped_queries", "repeat_interleave")
def _(q, k, v):
    n = q.size(1) // k.size(1)
    return scaled_dot_product_attention(q, k.repeat_interleave(n, 1), v.repeat_interleave(n, 1))


@wrong("grouped_queries", "repeat", "key heads in turn")
def _(q, k, v):
    n = q.shape[1] // k.shape[1]
    return scaled_dot_product_attention(q, k.repeat(1, n, 1, 1), v.repeat(1, n, 1, 1))


@wrong("grouped_queries", "broadcast from the first key head", "one key head for all")
def _(q, k, v):
    return scaled_dot_product_attention(q, k[:, 0:1], v[:, 0:1])


@wrong("grouped_queries", "queries averaged over the group", "the mean of the queries")
def _(q, k, v):
    n = q.shape[1] // k.shape[1]
    q = q.reshape(q.shape[0], k.shape[1], n, *q.shape[2:]).mean(dim=2)
    return scaled_dot_product_attention(q, k, v)


@wrong("grouped_queries", "the last heads dropped", "the first query heads only")
def _(q, k, v):
    return scaled_dot_product_attention(q[:, : k.shape[1]], k, v)


# --------------------------------------------------------------------------------------- previous token score


@right("previous_token_score", "torch.diagonal")
def _(weights):
    return torch.diagonal(weights, -1, 2, 3).mean(2)


@wrong("previous_token_score", "offset 1", "the next token")
def _(weights):
    return torch.diagonal(weights, 1, 2, 3).mean(2)


@wrong("previous_token_score", "the main diagonal", "the token itself")
def _(weights):
    return torch.diagonal(weights, 0, 2, 3).mean(2)


@wrong("previous_token_score", "divided by T", "the first row counts")
def _(weights):
    return sum(weights[:, :, t, t - 1] for t in range(1, weights.shape[2])) / weights.shape[2]


@wrong("previous_token_score", "diagonal without dims", "layers and heads instead of queries and keys")
def _(weights):
    return weights.diagonal(-1).mean(-1)


# -------------------------------------------------------------------------------------------------- heads off


@right("heads_off", "torch.where")
def _(mix, heads):
    on = torch.tensor([h not in set(heads) for h in range(mix.shape[1])])
    return torch.where(on[None, :, None, None], mix, torch.zeros((), dtype=mix.dtype))


@wrong("heads_off", "in place")
def _(mix, heads):
    mix[:, heads] *= 0
    return mix


@wrong("heads_off", "axis 2", "tokens instead of heads")
def _(mix, heads):
    result = mix.clone()
    result[:, :, heads] = 0
    return result


@wrong("heads_off", "the mask upside down", "only these heads are left")
def _(mix, heads):
    keep = torch.zeros(mix.shape[1], dtype=mix.dtype)
    keep[heads] = 1
    return mix * keep[:, None, None]


@wrong("heads_off", "dropout", "the others made louder")
def _(mix, heads):
    keep = torch.ones(mix.shape[1], dtype=mix.dtype)
    keep[heads] = 0
    return mix * (keep / keep.mean())[:, None, None]


# ---------------------------------------------------------------------------------------------- copying heads


@right("copying_heads", "NumPy and argsort")
def _(weights, n, k):
    scores = np.diagonal(np.asarray(weights), 1 - n, 2, 3)[:, :, 1:].mean(-1)
    order = scores.ravel().argsort()[::-1][:k]
    return [tuple(map(int, np.unravel_index(o, scores.shape))) for o in order]


@wrong("copying_heads", "n back: the same token", "the same token")
def _(weights, n, k):
    i = torch.arange(n, 2 * n)
    scores = weights[:, :, i, i - n].mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "the lowest", "the weakest heads")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    return [divmod(o, scores.shape[1]) for o in scores.flatten().argsort()[:k].tolist()]


@wrong("copying_heads", "(head, layer)", "head before layer")
def _(weights, n, k):
    scores = weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1)
    return [divmod(o, scores.shape[1])[::-1] for o in scores.flatten().topk(k).indices.tolist()]


@wrong("copying_heads", "flat indices", "places instead of pairs")
def _(weights, n, k):
    return weights.diagonal(1 - n, 2, 3)[..., 1:].mean(-1).flatten().topk(k).indices.tolist()


# -------------------------------------------------------------------------------------------- attention bytes


@right("attention_bytes", "a tensor of three whole numbers")
def _(t, d, h, g, b):
    return torch.tensor([h * t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t])


@wrong("attention_bytes", "one table", "the weights of one head")
def _(t, d, h, g, b):
    return t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t


@wrong("attention_bytes", "the cache of all heads", "a cache for every query head")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * t * d * b, 2 * d * t * t


@wrong("attention_bytes", "bytes everywhere")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // h) * b, 2 * d * t * t * b


@wrong("attention_bytes", "scores alone", "scores without mixes")
def _(t, d, h, g, b):
    return h * t * t * b, 2 * g * t * (d // h) * b, d * t * t


# ------------------------------------------------------------------------------------------- linear attention


@right("linear_attention", "elu by hand")
def _(q, k, v):
    fq, fk = (x.clamp(min=0) + x.clamp(max=0).exp() for x in (q, k))
    return fq @ (fk.mT @ v) / (fq * fk.sum(-2, keepdim=True)).sum(-1, keepdim=True)


def features(x):
    return F.elu(x) + 1


@wrong("linear_attention", "the products first")
def _(q, k, v):
    weights = features(q) @ features(k).mT
    return (weights / weights.sum(-1, keepdim=True)) @ v


@wrong("linear_attention", "softmax of the features' products")
def _(q, k, v):
    return (features(q) @ features(k).mT).softmax(-1) @ v


@wrong("linear_attention", "no divisor", "not normalised")
def _(q, k, v):
    return features(q) @ (features(k).mT @ v)


@wrong("linear_attention", "elu alone", "elu without 1")
def _(q, k, v):
    fq, fk = F.elu(q), F.elu(k)
    return fq @ (fk.mT @ v) / (fq @ fk.sum(-2).unsqueeze(-1))


# ------------------------------------------------------------------------------------ causal linear attention


@right("causal_linear_attention", "cumsum of outer products")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = torch.einsum("...tk,...tv->...tkv", fk, v).cumsum(dim=-3)
    top = torch.einsum("...tk,...tkv->...tv", fq, s)
    return top / (fq * fk.cumsum(dim=-2)).sum(dim=-1, keepdim=True)


@wrong("causal_linear_attention", "tril of the products")
def _(q, k, v):
    weights = (features(q) @ features(k).mT).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


@wrong("causal_linear_attention", "no cumsum", "sees everything")
def _(q, k, v):
    fq, fk = features(q), features(k)
    return fq @ (fk.mT @ v) / (fq @ fk.sum(-2).unsqueeze(-1))


@wrong("causal_linear_attention", "cumsum above only", "all keys in the divisor")
def _(q, k, v):
    fq, fk = features(q), features(k)
    s = (fk.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(-3)
    return (fq.unsqueeze(-2) @ s).squeeze(-2) / (fq @ fk.sum(-2).unsqueeze(-1))


@wrong("causal_linear_attention", "cumsum of the values alone")
def _(q, k, v):
    fq, fk = features(q), features(k)
    return fq @ (fk.mT @ v.cumsum(-2)) / (fq * fk.cumsum(-2)).sum(-1, keepdim=True)
