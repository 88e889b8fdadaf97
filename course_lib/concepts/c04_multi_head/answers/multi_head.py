"""Answers to multi_head, as learners write them."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention as library


def attend(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) @ v


class Layer(nn.Module):
    """Right; what others change are its methods."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))
        self.n_heads, self.causal = n_heads, causal

    def split(self, x):
        k = x.shape[-1] // self.n_heads
        return torch.stack([x[..., h * k : (h + 1) * k] for h in range(self.n_heads)], 1)

    def join(self, heads):
        return torch.cat([heads[:, h] for h in range(heads.shape[1])], dim=-1)

    def mask(self, x):
        return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril() if self.causal else None

    def attend(self, q, k, v):
        return attend(q, k, v, self.mask(q))

    def projected(self, x):
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def forward(self, x):
        q, k, v = map(self.split, self.projected(x))
        return self.out_proj(self.join(self.attend(q, k, v)))


def layer(name, **methods):
    return type(name, (Layer,), methods)


class HeadByHead(nn.Module):
    """A loop over heads, each with its rows of the weights."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.d_head = d_model // n_heads
        self.causal = causal

    def forward(self, x):
        out = 0
        for start in range(0, x.shape[-1], self.d_head):
            rows = slice(start, start + self.d_head)
            maps = (self.q_proj, self.k_proj, self.v_proj)
            q, k, v = (x @ projection.weight[rows].T for projection in maps)
            mix = library.scaled_dot_product_attention(q, k, v, causal=self.causal)
            out = out + mix @ self.out_proj.weight[:, rows].T
        return out


class ByTorch(nn.Module):
    """Torch's kernel, on heads in the batch."""

    def __init__(self, width, heads, causal=False):
        super().__init__()
        linear = {name: nn.Linear(width, width, False) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        for name, module in linear.items():
            self.add_module(name, module)
        self.heads, self.causal = heads, causal
        self.register_buffer("seen", torch.ones(2048, 2048).tril().bool(), persistent=False)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (
            projection(x).view(b, t, self.heads, d // self.heads).transpose(1, 2).flatten(0, 1)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mask = self.seen[:t, :t] if self.causal else None
        mix = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(mix.unflatten(0, (b, self.heads)).transpose(1, 2).reshape(b, t, d))


class WithEinsum(Layer):
    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.n_heads, -1)) for y in self.projected(x))
        scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(q.shape[-1])
        if self.causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        return self.out_proj(torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v).flatten(2))


class WithTable(Layer):
    """The causal mask is made once, for as many tokens as GPT-2 reads."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__(d_model, n_heads, causal)
        self.register_buffer("seen", torch.ones(1024, 1024).tril().bool(), persistent=False)

    def mask(self, x):
        n = x.shape[-2]
        return self.seen[:n, :n] if self.causal else None


class WithBias(Layer):
    def __init__(self, d_model, n_heads, causal=False):
        super().__init__(d_model, n_heads, causal)
        self.out_proj = nn.Linear(d_model, d_model)


class Inherited(library.MultiHeadAttention):
    """The library's layer under another name."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__(d_model, n_heads, bias=False, causal=causal)


class OwnHeads(nn.Module):
    """Three maps for each head."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(d_model, d_model // n_heads) for _ in range(3 * n_heads))

    def forward(self, x):
        return torch.cat([head(x) for head in self.heads[::3]], -1)


class NotAModule:
    def __init__(self, d_model, n_heads, causal=False):
        self.n_heads = n_heads


RIGHT = [Layer, HeadByHead, ByTorch, WithEinsum]
WRONG = [
    ("one head of the full width", layer("One", split=lambda self, x: x[:, None])),
    ("causal ignored", layer("Sees", mask=lambda self, x: None)),
    (None, WithBias),
    (None, Inherited),
    (None, OwnHeads),
    (None, NotAModule),
    (None, lambda d_model, n_heads, causal=False: Layer(d_model, n_heads, causal)),
    ("a mask of fixed size", WithTable),
    ("an answer for one sequence", layer("Alone", forward=lambda self, x: Layer.forward(self, x[:1]))),
    ("no axis for one head", layer("OneHead", split=lambda self, x: Layer.split(self, x).squeeze(1))),
    ("no axis for one number", layer("OneNumber", split=lambda self, x: Layer.split(self, x).squeeze(3))),
    ("no axis for one token", layer("OneToken", split=lambda self, x: Layer.split(self, x).squeeze(2))),
]
