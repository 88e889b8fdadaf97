"""Wrong and correct answers to the torch tasks of 03_qkv, written as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.attention import scaled_dot_product_attention
from course_lib.checks import find_task

# -------------------------------------------------------------------------------------------------- attention


def attention_by_loops(q, k, v, mask=None):
    """One query at a time; leading axes are taken one by one."""
    if q.ndim > 2:
        return torch.stack([attention_by_loops(a, b, c, mask) for a, b, c in zip(q, k, v, strict=True)])
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


def attention_fused(q, k, v, mask=None):
    mix = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mix if mask is None else torch.where(mask.any(-1)[..., None], mix, torch.zeros((), dtype=q.dtype))


def attention_with_einsum(q, k, v, mask=None, scale=None, dim=-1, fill=-math.inf):
    scores = torch.einsum("...tk,...sk->...ts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(fill, dtype=q.dtype))
    return torch.einsum("...ts,...sd->...td", scores.softmax(dim), v)


def attention_flat(q, k, v, mask=None):
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


def attention_zero_rows(q, k, v, mask=None, **changes):
    return attention_with_einsum(q, k, v, mask, **changes).nan_to_num(0.0)


def attention_scaled_by(scale):
    return lambda q, k, v, mask=None: attention_zero_rows(q, k, v, mask, scale=scale(q, k, v))


def attention_without_shift(q, k, v, mask=None):
    powers = torch.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    powers = powers if mask is None else powers * mask
    return powers @ v / powers.sum(-1, keepdim=True).clamp_min(1e-30)


def attention_biased(q, k, v, mask=None):
    """A bias of minus infinity: NaN flows back from a row in which everything is forbidden."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ v


def attention_in_numpy(q, k, v, mask=None):
    return torch.tensor(attention_by_loops(q.detach(), k.detach(), v.detach(), mask).numpy())


def attention_late_mask(q, k, v, mask=None):
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    if mask is not None:
        weights = weights.masked_fill(mask.logical_not(), 0.0)
    return weights @ v


def attention_float32(q, k, v, mask=None):
    out = torch.zeros(*q.shape[:-1], v.shape[-1])
    out[...] = attention_by_loops(q, k, v, mask)
    return out


def attention_in_place(q, k, v, mask=None):
    if not q.requires_grad:
        q /= math.sqrt(q.shape[-1])
        return attention_by_loops(q * math.sqrt(q.shape[-1]), k, v, mask)
    return attention_by_loops(q, k, v, mask)


def attention_by_logsumexp(q, k, v, mask=None):
    """Weights as exp(score - log of the sum of all exp): no division."""
    scores = torch.einsum("...tk,...sk->...ts", q / math.sqrt(q.shape[-1]), k)
    seen = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)
    scores = scores.masked_fill(~seen, -1e30)
    weights = torch.exp(scores - scores.logsumexp(-1, keepdim=True)) * seen
    return torch.einsum("...ts,...sd->...td", weights, v)


def attention_in_chunks(q, k, v, mask=None, size=2):
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


ATTENTION_RIGHT = [
    attention_by_loops,
    attention_by_logsumexp,
    attention_in_chunks,
    attention_flat,
    lambda q, k, v, mask=None: attention_by_loops(q * 1.0, k, v, mask).contiguous(),
    lambda queries, keys, values, allowed=None: attention_flat(queries, keys, values, allowed),
]
ATTENTION_WRONG = [
    ("no scaling", lambda q, k, v, mask=None: attention_zero_rows(q, k, v, mask, scale=1.0)),
    ("divided by K", lambda q, k, v, mask=None: attention_zero_rows(q, k, v, mask, scale=1 / k.shape[-1])),
    (
        "scaled by the number of keys",
        lambda q, k, v, mask=None: attention_by_loops(q * (q.shape[-1] / k.shape[-2]) ** 0.5, k, v, mask),
    ),
    ("softmax over the queries", lambda q, k, v, mask=None: attention_zero_rows(q, k, v, mask, dim=-2)),
    (
        "mask upside down",
        lambda q, k, v, mask=None: attention_by_loops(
            q, k, v, None if mask is None else torch.logical_not(mask)
        ),
    ),
    ("mask ignored", lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v)),
    ("masked after the softmax", attention_late_mask),
    ("NaN where nothing may be seen", attention_with_einsum),
    (
        "a uniform row where nothing may be seen",
        lambda q, k, v, mask=None: attention_with_einsum(q, k, v, mask, fill=-1e20),
    ),
    (
        "forbidden scores set to zero",
        lambda q, k, v, mask=None: attention_with_einsum(q, k, v, mask, fill=0.0),
    ),
    ("mixes the keys", lambda q, k, v, mask=None: attention_by_loops(q, k, k, mask)),
    ("divided by half of K", attention_scaled_by(lambda q, k, v: 2 / q.shape[-1])),
    ("divided by twice K", attention_scaled_by(lambda q, k, v: 0.5 / q.shape[-1])),
    ("multiplied instead of divided", attention_scaled_by(lambda q, k, v: k.shape[-1] ** 0.5)),
    ("scaled by the number of queries", attention_scaled_by(lambda q, k, v: q.shape[-2] ** -0.5)),
    ("scaled by the width of a value", attention_scaled_by(lambda q, k, v: v.shape[-1] ** -0.5)),
    ("uniform weights", attention_scaled_by(lambda q, k, v: 0.0)),
    ("overflow", attention_without_shift),
    (
        "mask transposed",
        lambda q, k, v, mask=None: attention_zero_rows(q, k, v, mask if mask is None else mask.T),
    ),
    ("keys ask the queries", lambda q, k, v, mask=None: attention_zero_rows(k, q, v, mask)),
    (None, lambda q, k, v, mask=None: attention_biased(q, k, v, mask).nan_to_num(0.0)),
    (
        None,
        lambda q, k, v, mask=None: torch.where(
            attention_biased(q, k, v, mask).isnan(), 0.0, attention_biased(q, k, v, mask)
        ),
    ),
    (None, attention_fused),
    (None, scaled_dot_product_attention),
    (None, lambda q, k, v, mask=None: attention_by_loops(q, k, v, mask).bfloat16()),
    (None, lambda q, k, v, mask=None: attention_by_loops(q, k, v, mask).double()),
    (None, attention_in_numpy),
    (None, attention_float32),
    (None, attention_in_place),
    (None, lambda q, k, v, mask=None: attention_by_loops(q, k, v, mask).numpy(force=True)),
    (None, lambda q, k, v: attention_by_loops(q, k, v)),
    (None, lambda q, k, v, mask=None: (attention_by_loops(q, k, v, mask), None)),
    (None, lambda q, k, v, mask=None: attention_by_loops(q, k, v, mask).mT),
]

# -------------------------------------------------------------------------------------------- cross-attention


def cross_at_once(x, context, w_q, w_k, w_v):
    k, v = (context @ torch.cat([w_k, w_v], dim=1)).split(w_k.shape[1], dim=-1)
    return attention_fused(x @ w_q, k, v)


def cross_absorbed(x, context, w_q, w_k, w_v):
    """w_q w_k^T in one matrix, and the values projected after the mix: the same numbers."""
    weights = (x @ (w_q @ w_k.mT) @ context.mT / w_q.shape[1] ** 0.5).softmax(-1)
    return (weights @ context) @ w_v


CROSS_RIGHT = [
    cross_at_once,
    cross_absorbed,
    lambda x, c, q, k, v: attention_by_loops(x @ q, c @ k, c @ v),
    lambda x, c, q, k, v: attention_in_chunks(x @ q, c @ k, c @ v),
    lambda x, c, q, k, v: attention_with_einsum(*(F.linear(y, w.t()) for y, w in ((x, q), (c, k), (c, v)))),
]
CROSS_WRONG = [
    ("the context asks", lambda x, c, q, k, v: attention_fused(c @ q, x @ k, x @ v)),
    ("self-attention", lambda x, c, q, k, v: cross_at_once(x, x, q, k, v)),
    ("the context reads itself", lambda x, c, q, k, v: cross_at_once(c, c, q, k, v)),
    ("values from x", lambda x, c, q, k, v: attention_by_loops(x @ q, c @ k, x @ v)),
    ("keys from x", lambda x, c, q, k, v: attention_fused(x @ q, x @ k, c @ v)),
    ("key and value weights exchanged", lambda x, c, q, k, v: attention_fused(x @ q, c @ v, c @ k)),
    (
        "W on the wrong side",
        lambda x, c, q, k, v: attention_fused(F.linear(x, q), F.linear(c, k), F.linear(c, v)),
    ),
    ("no scaling", lambda x, c, q, k, v: attention_with_einsum(x @ q, c @ k, c @ v, scale=1.0)),
    (
        "scaled by the width of a token",
        lambda x, c, q, k, v: attention_with_einsum(x @ q, c @ k, c @ v, scale=len(q) ** -0.5),
    ),
    ("query and key weights exchanged", lambda x, c, q, k, v: attention_fused(x @ k, c @ q, c @ v)),
    ("divided by K", lambda x, c, q, k, v: attention_with_einsum(x @ q, c @ k, c @ v, scale=1 / q.shape[1])),
    ("uniform weights", lambda x, c, q, k, v: attention_with_einsum(x @ q, c @ k, c @ v, scale=0.0)),
    ("softmax over the queries", lambda x, c, q, k, v: attention_with_einsum(x @ q, c @ k, c @ v, dim=-2)),
    (None, lambda x, c, q, k, v: cross_at_once(x, torch.cat([x, c], -2), q, k, v)),
    (None, lambda x, c, q, k, v: x + attention_fused(x @ q, c @ k, c @ v).sum()),
    (None, lambda x, c, q, k, v: cross_at_once(x, c.detach(), q, k, v)),
    (None, lambda x, c, q, k, v: attention_fused(x @ q, c @ k, c)),
    (None, lambda x, c, q, k, v: cross_at_once(x, c, q, k, v).half()),
]

# -------------------------------------------------------------------------------------------------- the layer


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
        return attention_fused(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


class WithLoops(Layer):
    def forward(self, x, mask=None):
        return attention_by_loops(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


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
        self.register_buffer("seen", torch.ones(64, 64).tril().bool(), persistent=False)

    def forward(self, x, mask=None):
        n = x.shape[-2]
        seen = self.seen[:n, :n] if self.causal else torch.ones(n, n, dtype=torch.bool)
        return attention_flat(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), seen if mask is None else seen & mask
        )


class NoScaling(Layer):
    def forward(self, x, mask=None):
        return attention_zero_rows(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=1.0
        )


class ScaledByModel(Layer):
    def forward(self, x, mask=None):
        scale = self.q_proj.in_features**-0.5
        return attention_zero_rows(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=scale
        )


class OverQueries(Layer):
    def forward(self, x, mask=None):
        return attention_zero_rows(
            self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), dim=-2
        )


class QueriesForKeys(Layer):
    def forward(self, x, mask=None):
        q = self.q_proj(x)
        return attention_by_loops(q, q, self.v_proj(x), self.allowed(x, mask))


class Exchanged(Layer):
    def forward(self, x, mask=None):
        return attention_by_loops(self.k_proj(x), self.q_proj(x), self.v_proj(x), self.allowed(x, mask))


class MixesKeys(Layer):
    def forward(self, x, mask=None):
        return attention_by_loops(self.q_proj(x), self.k_proj(x), self.k_proj(x), self.allowed(x, mask))


class NotCausal(Layer):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head)


class AlwaysCausal(Layer):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal=True)


class NoMask(Layer):
    def forward(self, x, mask=None):
        return super().forward(x)


class OneOfTheMasks(Layer):
    def allowed(self, x, mask):
        return super().allowed(x, None) if mask is None else mask


class WithNaN(Layer):
    def forward(self, x, mask=None):
        return attention_with_einsum(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))


class LooksAhead(Layer):
    def allowed(self, x, mask):
        length = x.shape[-2]
        seen = torch.ones(length, length, dtype=torch.bool)
        seen = seen.triu() if self.causal else seen
        return seen if mask is None else seen & mask


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
        return attention_fused(*(part(x) for part in self.maps), mask)


class NoSuper(Layer):
    def __init__(self, d_model, d_head, causal=False):
        self.q_proj = nn.Linear(d_model, d_head)


class Cut(Layer):
    def forward(self, x, mask=None):
        return super().forward(x, mask).detach()


class WithSavedBuffer(WithBuffer):
    """The causal mask as most courses write it: a buffer that is saved with the weights."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.register_buffer("tril", torch.tril(torch.ones(64, 64)))

    def forward(self, x, mask=None):
        n = x.shape[-2]
        seen = self.tril[:n, :n] > 0 if self.causal else torch.ones(n, n, dtype=torch.bool)
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return attention_by_logsumexp(q, k, v, seen if mask is None else seen & mask)


def explicit(name, **changes):
    """A layer whose attention is written out, with something changed."""

    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return attention_with_einsum(q, k, v, self.allowed(x, mask), **changes)

    return type(name, (Layer,), {"forward": forward})


def masked_by(name, allowed):
    """A layer that combines its masks in another way."""
    return type(name, (Layer,), {"allowed": lambda self, x, mask: allowed(self, x, mask)})


def tril(x, shift=0):
    return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(shift)


def with_causal(shift):
    """The causal mask shifted."""

    def allowed(layer, x, mask):
        seen = tril(x, shift) if layer.causal else None
        return mask if seen is None else seen if mask is None else seen & mask

    return allowed


def one_of_the_two(layer, x, mask):
    if mask is None or not layer.causal:
        return Layer.allowed(layer, x, mask)
    return tril(x) | mask


def transposed(layer, x, mask):
    return Layer.allowed(layer, x, None if mask is None else mask.T)


def upside_down(layer, x, mask):
    return Layer.allowed(layer, x, None if mask is None else ~mask)


def causal_only(layer, x, mask):
    return Layer.allowed(layer, x, None if layer.causal else mask)


class DividedByWidth(Layer):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return attention_zero_rows(q, k, v, self.allowed(x, mask), scale=1 / q.shape[-1])


class KeysForQueries(Layer):
    def forward(self, x, mask=None):
        k = self.k_proj(x)
        return attention_by_loops(k, k, self.v_proj(x), self.allowed(x, mask))


class ValuesForKeys(Layer):
    def forward(self, x, mask=None):
        return attention_by_loops(self.q_proj(x), self.v_proj(x), self.k_proj(x), self.allowed(x, mask))


class OneMap(Layer):
    def forward(self, x, mask=None):
        q = self.q_proj(x)
        return attention_by_loops(q, q, q, self.allowed(x, mask))


class LateMask(Layer):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return attention_late_mask(q, k, v, self.allowed(x, mask))


class FirstMask(Layer):
    seen = None

    def allowed(self, x, mask):
        if self.causal and self.seen is None:
            self.seen = tril(x)
        return mask if not self.causal else self.seen if mask is None else self.seen & mask


class MaskOfWidth(Layer):
    def __init__(self, d_model, d_head, causal=False):
        super().__init__(d_model, d_head, causal)
        self.seen = torch.ones(d_model, d_model, dtype=torch.bool).tril()

    def allowed(self, x, mask):
        seen = self.seen[: x.shape[-2], : x.shape[-2]]
        return mask if not self.causal else seen if mask is None else seen & mask


class KeptMask(Layer):
    """Keeps the first mask of each size."""

    def allowed(self, x, mask):
        if mask is not None:
            kept = self.__dict__.setdefault("kept", {})
            mask = kept.setdefault(mask.shape, mask)
        return super().allowed(x, mask)


class WithDropout(Layer):
    def forward(self, x, mask=None):
        return F.dropout(super().forward(x, mask), 0.1, self.training)


class BiasedMask(Layer):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return attention_biased(q, k, v, self.allowed(x, mask)).nan_to_num(0.0)


LAYER_RIGHT = [Layer, WithLoops, WithParameters, WithBuffer, WithSavedBuffer]
LAYER_WRONG = [
    ("no scaling", NoScaling),
    ("scaled by d_model", ScaledByModel),
    ("softmax over the queries", OverQueries),
    ("one projection for queries and keys", QueriesForKeys),
    ("queries from k_proj", Exchanged),
    ("values from k_proj", MixesKeys),
    ("causal ignored", NotCausal),
    ("always causal", AlwaysCausal),
    ("mask ignored", NoMask),
    ("causal or mask, not both", OneOfTheMasks),
    ("NaN where nothing may be seen", WithNaN),
    ("looks ahead", LooksAhead),
    ("divided by K", DividedByWidth),
    ("uniform weights", explicit("Uniform", scale=0.0, fill=-1e30)),
    ("k_proj for queries and keys", KeysForQueries),
    ("keys and values exchanged", ValuesForKeys),
    ("one projection for all three", OneMap),
    ("blind to itself", masked_by("Blind", with_causal(-1))),
    ("one step ahead", masked_by("Ahead", with_causal(1))),
    ("mask upside down", masked_by("UpsideDown", upside_down)),
    ("mask transposed", masked_by("Transposed", transposed)),
    ("causal instead of the mask", masked_by("CausalOnly", causal_only)),
    ("allowed by one of the two", masked_by("OneOfTheTwo", one_of_the_two)),
    ("masked after the softmax", LateMask),
    ("a uniform row where nothing may be seen", explicit("Large", fill=-1e20)),
    ("forbidden scores set to zero", explicit("Zero", fill=0.0)),
    ("keeps the mask of its first call", FirstMask),
    ("a mask of d_model tokens", MaskOfWidth),
    (None, KeptMask),
    (None, WithDropout),
    (None, BiasedMask),
    (None, WithBias),
    (None, Unregistered),
    (None, InAList),
    (None, NoSuper),
    (None, Cut),
    (None, Layer(3, 5)),
]

# ---------------------------------------------------------------------------------------- does it look ahead?


def sees_later_by_gradient(attend, x):
    jacobian = torch.autograd.functional.jacobian(attend, x)  # (T, D, T, D)
    strength = jacobian.abs().sum((1, 3))
    return bool((strength.triu(1) > 1e-6).any())


def sees_later_by_cutting(attend, x):
    y = attend(x)
    return any(not torch.allclose(attend(x[:t]), y[:t], atol=1e-5) for t in range(1, len(x)))


def sees_later_pair_by_pair(attend, x):
    for later in range(len(x)):
        other = torch.cat([x[:later], torch.randn(1, x.shape[1], dtype=x.dtype), x[later + 1 :]])
        moved = (attend(other) - attend(x)).abs().amax(-1)
        if (moved[:later] > 1e-5).any():
            return True
    return False


def sees_later_in_place(attend, x):
    for t in range(1, len(x)):
        y = attend(x)[:t]
        x[t:] += 1
        if not torch.allclose(attend(x)[:t], y, atol=1e-5):
            return True
    return False


def sees_later_last(attend, x, change=-1, look=slice(0, -1)):
    other = x.clone()
    other[change] = other[change] * 2 + 3
    return not torch.allclose(attend(x)[look], attend(other)[look], rtol=0, atol=1e-4)


def sees_later_with(change, stop=None):
    """Change what comes later, in all places or (stop=1) in the next one only."""

    def sees_later(attend, x):
        y = attend(x)
        for t in range(1, len(x)):
            other = x.clone()
            part = slice(t, None if stop is None else t + stop)
            other[part] = change(x[part])
            before = slice(0, t) if stop is None else slice(t - 1, t)
            if not torch.allclose(attend(other)[before], y[before], atol=1e-5):
                return True
        return False

    return sees_later


def sees_signed(difference):
    """A few times each, because the three numbers of an output may all move one way."""

    def sees_later(attend, x):
        y = attend(x)
        for t in [*range(1, len(x))] * 5:
            other = torch.cat([x[:t], torch.randn_like(x[t:])])
            if difference(y, attend(other))[:t].max() > 1e-5:
                return True
        return False

    return sees_later


SEES_RIGHT = [
    sees_later_with(torch.randn_like),
    sees_later_with(torch.zeros_like),
    sees_later_by_gradient,
    sees_later_by_cutting,
    sees_later_pair_by_pair,
    lambda attend, x: np.bool_(sees_later_by_cutting(attend, x)),
    lambda attend, x: torch.tensor(sees_later_by_gradient(attend, x)),
]
SEES_WRONG = [
    ("counts any change", lambda attend, x: sees_later_last(attend, x, look=slice(None))),
    ("counts any change", lambda attend, x: True),
    ("changes the first token", lambda attend, x: sees_later_last(attend, x, change=0, look=slice(1, None))),
    ("only the last token is changed", sees_later_last),
    (
        "only the first output is compared",
        lambda attend, x: sees_later_last(attend, x, change=slice(1, None), look=slice(0, 1)),
    ),
    ("the opposite answer", lambda attend, x: sees_later_by_cutting(attend, x) is False),
    ("nothing is changed", lambda attend, x: not torch.equal(attend(x), attend(x.clone()))),
    ("only the next token is changed", sees_later_with(torch.randn_like, stop=1)),
    ("only shifts the tokens", sees_later_with(lambda x: x + 1)),
    ("only scales the tokens", sees_later_with(lambda x: 2 * x)),
    ("only growth counts", sees_signed(lambda before, after: after - before)),
    ("only shrinking counts", sees_signed(lambda before, after: before - after)),
    ("NaN spreads", sees_later_with(lambda x: torch.full_like(x, math.nan))),
    ("nothing is changed", sees_later_with(lambda x: x + 1e-6)),
    (None, lambda attend, x: not torch.allclose(attend(x)[:-1], attend(x.flip(0)).flip(0)[:-1], atol=1e-5)),
    (None, sees_later_in_place),
    (None, lambda attend, x: print("yes" if sees_later_by_gradient(attend, x) else "no")),
    (None, lambda attend, x: (attend(x) - attend(x.flip(0)).flip(0)).abs()),
    (None, lambda attend, x: attend),
]

# -------------------------------------------------------------------------------------------- in a real model


def attention_alone(q, k, v, mask=None):
    """Right for one sequence and one head only."""
    return attention_by_loops(q[0, 0], k[0, 0], v[0, 0], mask)[None, None]


REAL_RIGHT = [
    attention_with_einsum,
    attention_fused,
    attention_flat,
    lambda q, k, v, mask=None: attention_with_einsum(q.double(), k.double(), v.double(), mask).float(),
]
REAL_WRONG = [
    *(
        (name, answer)
        for name, answer in ATTENTION_WRONG
        if name in {known.name for known in find_task("03_qkv/real_model").misconceptions}
    ),
    (
        "a causal mask of its own",
        lambda q, k, v, mask=None: attention_by_loops(
            q, k, v, torch.ones(q.shape[-2], k.shape[-2]).tril().bool()
        ),
    ),
    (None, attention_alone),
    (None, lambda q, k, v, mask=None: attention_with_einsum(q, k.T, v, mask)),
    (None, lambda q, k, v, mask: attention_with_einsum(q, k, v, mask)),
]

RIGHT = {
    "03_qkv/attention": ATTENTION_RIGHT,
    "03_qkv/cross_attention": CROSS_RIGHT,
    "03_qkv/self_attention": LAYER_RIGHT,
    "03_qkv/sees_later": SEES_RIGHT,
    "03_qkv/real_model": REAL_RIGHT,
}
WRONG = {
    "03_qkv/attention": ATTENTION_WRONG,
    "03_qkv/cross_attention": CROSS_WRONG,
    "03_qkv/self_attention": LAYER_WRONG,
    "03_qkv/sees_later": SEES_WRONG,
    "03_qkv/real_model": REAL_WRONG,
}
