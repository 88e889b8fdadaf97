"""Answers to self_attention, as learners write them."""

import math

import torch
from torch import nn

from course_lib.concepts.c03_qkv.answers.attention import biased, by_logsumexp, by_loops, flat, fused


class Layer(nn.Module):
    """What the correct and the wrong layers below have in common."""

    bias = False

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_head, bias=self.bias)
        self.k_proj = nn.Linear(d_model, d_head, bias=self.bias)
        self.v_proj = nn.Linear(d_model, d_head, bias=self.bias)
        self.causal = causal

    def allowed(self, x, mask):
        length = x.shape[-2]
        seen = torch.ones(length, length, dtype=torch.bool).tril() if self.causal else None
        return mask if seen is None else seen if mask is None else seen & mask

    def forward(self, x, mask=None):
        return fused(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


class WithLoops(Layer):
    def forward(self, x, mask=None):
        return by_loops(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


class WithParameters(nn.Module):
    """Own weights under the same names, no nn.Linear around the product."""

    def __init__(self, width, head, causal=False):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj"):
            part = nn.Module()
            part.weight = nn.Parameter(torch.randn(head, width))
            self.add_module(name, part)
        self.is_causal = causal

    def forward(self, x, mask=None):
        q, k, v = (x @ part.weight.t() for part in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.shape[-1])
        lowest = torch.finfo(x.dtype).min
        forbidden = torch.zeros(x.shape[-2], x.shape[-2], dtype=torch.bool) if mask is None else ~mask
        if self.is_causal:
            forbidden = forbidden | torch.ones_like(forbidden).triu(1)
        weights = scores.masked_fill(forbidden, lowest).softmax(-1) * ~forbidden
        return weights @ v


class WithBuffer(Layer):
    """A causal mask in a buffer that is not saved."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("seen", torch.ones(1024, 1024).tril().bool(), persistent=False)

    def forward(self, x, mask=None):
        n = x.shape[-2]
        seen = self.seen[:n, :n] if self.causal else torch.ones(n, n, dtype=torch.bool)
        return flat(self.q_proj(x), self.k_proj(x), self.v_proj(x), seen if mask is None else seen & mask)


class WithSavedBuffer(WithBuffer):
    """The causal mask as most courses write it: a buffer that is saved with the weights."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("tril", torch.tril(torch.ones(1024, 1024)))

    def forward(self, x, mask=None):
        n = x.shape[-2]
        seen = self.tril[:n, :n] > 0 if self.causal else torch.ones(n, n, dtype=torch.bool)
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return by_logsumexp(q, k, v, seen if mask is None else seen & mask)


class WithTable(Layer):
    """The causal mask is made once, for as many tokens as seemed enough."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("tril", torch.tril(torch.ones(128, 128)), persistent=False)

    def forward(self, x, mask=None):
        n = x.shape[-2]
        seen = self.tril[:n, :n].bool() if self.causal else None
        seen = mask if seen is None else seen if mask is None else seen & mask
        return fused(self.q_proj(x), self.k_proj(x), self.v_proj(x), seen)


class WithBias(Layer):
    bias = True


class Unregistered:
    def __init__(self, d_model, d_head, causal=False):
        self.q_proj = nn.Linear(d_model, d_head)

    def __call__(self, x, mask=None):
        return self.q_proj(x)


class InAList(nn.Module):
    """Weights that no optimiser finds."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.maps = [nn.Linear(d_model, d_head, bias=False) for _ in range(3)]

    def forward(self, x, mask=None):
        return fused(*(part(x) for part in self.maps), mask)


class OneOfTheMasks(Layer):
    def allowed(self, x, mask):
        return super().allowed(x, None) if mask is None else mask


class BiasedMask(Layer):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return biased(q, k, v, self.allowed(x, mask)).nan_to_num(0.0)


class Squeezed(Layer):
    def forward(self, x, mask=None):
        return super().forward(x, mask).squeeze(-2)


RIGHT = [Layer, WithLoops, WithParameters, WithBuffer, WithSavedBuffer]
WRONG = [
    ("causal or mask, not both", OneOfTheMasks),
    ("a mask of fixed size", WithTable),
    ("NaN taken out of the result, not of its gradients", BiasedMask),
    (None, WithBias),
    (None, Unregistered),
    (None, InAList),
    (None, Layer(3, 5)),
    ("an axis of one lost", Squeezed),
]
