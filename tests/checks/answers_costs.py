"""Wrong and correct answers to the tasks of 04_multi_head on costs, written as learners write them."""

import math
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import mixers as library

RIGHT, WRONG = {}, {}

# -------------------------------------------------------------------------------------------- attention bytes


def bytes_step_by_step(t, d, h, g, b):
    width = d // h
    table = t * t * b
    keys = values = g * t * width * b
    return h * table, keys + values, 2 * t * t * d


def bytes_by_loops(t, d, h, g, b):
    weights = sum(t * t for _ in range(h)) * b
    cache = sum(t * d // h for _ in range(g) for _ in ("keys", "values")) * b
    return weights, cache, sum(d // h for _, _ in product(range(h), range(2))) * t**2


def bytes_of_tensors(t, d, h, g, b):
    weights = torch.empty(h, t, t, device="meta").numel()
    cache = torch.empty(2, g, t, d // h, device="meta").numel()
    return weights * b, cache * b, 2 * weights * (d // h)


def bytes_in_floats(t, d, h, g, b):
    return float(h * t**2 * b), 2 * g * t * (d / h) * b, 2.0 * h * t * t * d / h


def changed(weights=1, cache=1, products=1):
    """Some of the three multiplied by a wrong number, which may depend on the sizes."""

    def answer(t, d, h, g, b):
        factors = [f(t, d, h, g, b) if callable(f) else f for f in (weights, cache, products)]
        return tuple(round(x * f) for x, f in zip(bytes_step_by_step(t, d, h, g, b), factors, strict=True))

    return answer


def bytes_per_head(t, d, h, g, b):
    return t**2 * b, 2 * g * t * (d // h) * b, 2 * t**2 * d


RIGHT["04_multi_head/attention_bytes"] = [
    bytes_step_by_step,
    bytes_by_loops,
    bytes_of_tensors,
    bytes_in_floats,
    lambda t, d, h, g, b: np.array([h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d], dtype=np.int64),
    lambda t, d, h, g, b: [
        b * math.prod((h, t, t)),
        b * math.prod((2, g, t, d // h)),
        math.prod((2, t, t, d)),
    ],
]
WRONG["04_multi_head/attention_bytes"] = [
    ("the weights of one head", bytes_per_head),
    ("tables for key heads only", changed(weights=lambda t, d, h, g, b: g / h)),
    ("a row instead of a table", changed(weights=lambda t, d, h, g, b: 1 / t)),
    ("each pair once", changed(weights=lambda t, d, h, g, b: (t + 1) / (2 * t))),
    ("scores and weights both kept", changed(weights=2)),
    ("keys without values", changed(cache=0.5)),
    ("a cache for every query head", lambda t, d, h, g, b: (h * t * t * b, 2 * t * d * b, 2 * t * t * d)),
    ("key heads of the full width", changed(cache=lambda t, d, h, g, b: h)),
    ("a cache that grows with the square", changed(cache=lambda t, d, h, g, b: t)),
    ("numbers instead of bytes", lambda t, d, h, g, b: bytes_step_by_step(t, d, h, g, 1)),
    ("bits instead of bytes", changed(weights=8, cache=8)),
    ("scores without mixes", changed(products=0.5)),
    ("heads of the full width", changed(products=lambda t, d, h, g, b: h)),
    ("multiplications of one head", changed(products=lambda t, d, h, g, b: 1 / h)),
    ("multiplications of the key heads", changed(products=lambda t, d, h, g, b: g / h)),
    ("additions too", changed(products=2)),
    ("the other way round", lambda *sizes: bytes_step_by_step(*sizes)[::-1]),
    ("cache before weights", lambda *sizes: [bytes_step_by_step(*sizes)[i] for i in (1, 0, 2)]),
    (None, changed(products=lambda t, d, h, g, b: b)),
    (None, changed(weights=lambda t, d, h, g, b: h)),
    (None, lambda *sizes: sum(bytes_step_by_step(*sizes))),
    (None, lambda *sizes: bytes_step_by_step(*sizes)[:2]),
    (None, changed(weights=1 / 1024, cache=1 / 1024)),
    (None, lambda t, d, h, g, b: bytes_step_by_step(t, d // h, h, g, b)),
]

# ------------------------------------------------------------------------------------------- linear attention


def phi(x):
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def linear_in_two_steps(q, k, v, f=phi, g=None, total=None):
    q, k = f(q), (g or f)(k)
    state = torch.einsum("...sk,...sv->...kv", k, v)
    weights = torch.einsum("...tk,...k->...t", q, k.sum(-2)) if total is None else total(q, k)
    return torch.einsum("...tk,...kv->...tv", q, state) / weights[..., None]


def linear_with_ones(q, k, v):
    v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    mix = phi(q) @ (phi(k).mT @ v)
    return mix[..., :-1] / mix[..., -1:]


def linear_by_loops(q, k, v):
    """Key by key, then query by query."""
    q, k = F.elu(q) + 1, F.elu(k) + 1
    state = torch.zeros(*k.shape[:-2], k.shape[-1], v.shape[-1], dtype=v.dtype)
    total = torch.zeros(*k.shape[:-2], k.shape[-1], dtype=k.dtype)
    for s in range(k.shape[-2]):
        state = state + k[..., s, :, None] * v[..., s, None, :]
        total = total + k[..., s, :]
    rows = []
    for t in range(q.shape[-2]):
        row = (q[..., t, :, None] * state).sum(-2)
        rows.append(row / (q[..., t, :] * total).sum(-1, keepdim=True))
    return torch.stack(rows, -2)


def two_halves(x):
    """The features, put together from two halves that meet at 0."""
    return x.clamp(min=0) + x.clamp(max=0).exp()


def linear_scaled_keys(q, k, v):
    """Each query's features divided by its sum first."""
    q, k = phi(q), phi(k)
    q = q / (q * k.sum(-2, keepdim=True)).sum(-1, keepdim=True)
    return q @ (k.mT @ v)


def linear_in_blocks(q, k, v, size=128):
    q, k = phi(q), phi(k)
    state = sum(some.mT @ values for some, values in zip(k.split(size, -2), v.split(size, -2), strict=True))
    total = sum(some.sum(-2) for some in k.split(size, -2))
    rows = [some @ state / (some @ total[..., None]) for some in q.split(size, -2)]
    return torch.cat(rows, -2)


def table(q, k, v, f=phi, causal=False, axis=-1):
    """Right numbers, by a table of all pairs."""
    weights = f(q) @ f(k).mT
    if causal:
        weights = weights.tril()
    return weights / weights.sum(axis, keepdim=True) @ v


def table_row_by_row(q, k, v, causal=False):
    """No table at once, but every pair all the same."""
    rows = []
    for t in range(q.shape[-2]):
        end = t + 1 if causal else k.shape[-2]
        weights = phi(k[..., :end, :]) @ phi(q[..., t, :, None])
        rows.append((weights * v[..., :end, :]).sum(-2) / weights.sum(-2))
    return torch.stack(rows, -2)


def softmax_attention(q, k, v, causal=False):
    mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril() if causal else None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def plain(x):
    return x


RIGHT["04_multi_head/linear_attention"] = [
    linear_in_two_steps,
    linear_with_ones,
    linear_scaled_keys,
    linear_in_blocks,
    linear_by_loops,
    lambda q, k, v: linear_in_two_steps(q, k, v, two_halves),
    lambda q, k, v: phi(q) @ (phi(k).mT @ v) / (phi(q) @ phi(k).sum(-2)[..., None] + 1e-6),
    lambda q, k, v: (
        torch.einsum("...tk,...kv->...tv", phi(q), phi(k).mT @ v)
        / (phi(q) * phi(k).sum(-2, keepdim=True)).sum(-1, keepdim=True)
    ),
]
WRONG["04_multi_head/linear_attention"] = [
    ("not normalised", lambda q, k, v: phi(q) @ (phi(k).mT @ v)),
    ("softmax", softmax_attention),
    ("no features", lambda q, k, v: linear_in_two_steps(q, k, v, plain)),
    ("features of the queries only", lambda q, k, v: linear_in_two_steps(q, k, v, phi, plain)),
    ("features of the keys only", lambda q, k, v: linear_in_two_steps(q, k, v, plain, phi)),
    ("elu without 1", lambda q, k, v: linear_in_two_steps(q, k, v, F.elu)),
    ("the 1 inside", lambda q, k, v: linear_in_two_steps(q, k, v, lambda x: F.elu(1 + x))),
    ("relu", lambda q, k, v: linear_in_two_steps(q, k, v, F.relu)),
    ("exponentials", lambda q, k, v: linear_in_two_steps(q, k, v, torch.exp)),
    ("normalised over the queries", lambda q, k, v: table(q, k, v, axis=-2)),
    (
        "divided by the number of keys",
        lambda q, k, v: linear_in_two_steps(q, k, v, total=lambda q, k: q.new_tensor([k.shape[-2]])),
    ),
    (
        "divided by the query alone",
        lambda q, k, v: linear_in_two_steps(q, k, v, total=lambda q, k: q.sum(-1)),
    ),
    ("scaled", lambda q, k, v: linear_in_two_steps(q * q.shape[-1] ** -0.5, k, v)),
    ("causal", lambda q, k, v: causal_by_sums(q, k, v)),
    ("keys ask the queries", lambda q, k, v: linear_in_two_steps(k, q, v)),
    ("mixes the keys", lambda q, k, v: linear_in_two_steps(q, k, k)),
    (None, table),
    (None, table_row_by_row),
    (None, library.linear_attention),
    (None, lambda q, k, v: linear_in_two_steps(q, k, v, lambda x: F.softplus(x) + 1)),
    (None, lambda q, k, v: linear_in_two_steps(q, k, v).detach()),
    (None, lambda q, k, v: linear_in_two_steps(q.softmax(-1), k.softmax(-2), v, plain)),
    (None, lambda q, k, v: linear_in_two_steps(q, k, v).mT),
    (None, lambda q, k, v: linear_in_two_steps(q, k, v.mean(-2, keepdim=True).expand_as(v))),
]

# ------------------------------------------------------------------------------------ causal linear attention


def causal_by_sums(q, k, v, f=phi, g=None, values=lambda x: x.cumsum(-3), keys=None, total=None):
    q, k = f(q), (g or f)(k)
    state = values(torch.einsum("...tk,...tv->...tkv", k, v))
    sums = (keys or (lambda x: x.cumsum(-2)))(k)
    weights = (q * sums).sum(-1, keepdim=True) if total is None else total(q)
    return torch.einsum("...tk,...tkv->...tv", q, state) / weights


def causal_by_loop(q, k, v, look_first=False):
    q, k = F.elu(q) + 1, F.elu(k) + 1
    state, total, rows = 0, 0, []
    for t in range(q.shape[-2]):
        new = k[..., t, :, None] @ v[..., t, None, :]
        if look_first:
            state = state + torch.zeros_like(new)
            total = total + torch.zeros_like(k[..., t, :])
        else:
            state, total = state + new, total + k[..., t, :]
        asks = q[..., t, None, :]
        rows.append((asks @ state).squeeze(-2) / (asks @ total[..., None]).squeeze(-1))
        if look_first:
            state, total = state + new, total + k[..., t, :]
    return torch.stack(rows, -2)


def causal_growing(q, k, v):
    """A loop that joins each new row to the rows so far."""
    q, k = phi(q), phi(k)
    state, total, out = 0, 0, q.new_empty(*q.shape[:-2], 0, v.shape[-1])
    for asks, key, value in zip(q.unbind(-2), k.unbind(-2), v.unbind(-2), strict=True):
        state = state + torch.einsum("...k,...v->...kv", key, value)
        total = total + key
        row = torch.einsum("...k,...kv->...v", asks, state) / (asks * total).sum(-1, keepdim=True)
        out = torch.cat([out, row.unsqueeze(-2)], -2)
    return out


def causal_with_ones(q, k, v):
    v = F.pad(v, (0, 1), value=1.0)
    sums = torch.cumsum(phi(k)[..., None] * v[..., None, :], dim=-3)
    mix = (phi(q)[..., None, :] @ sums).squeeze(-2)
    return mix[..., :-1] / mix[..., -1:]


def causal_in_blocks(q, k, v, size=64):
    """Within a block by its table, earlier blocks by their sums."""
    q, k = phi(q), phi(k)
    state, total, out = 0, 0, []
    for a, b, c in zip(q.split(size, -2), k.split(size, -2), v.split(size, -2), strict=True):
        weights = (a @ b.mT).tril()
        mix = weights @ c + (a @ state if out else 0)
        divisor = weights.sum(-1, keepdim=True) + (a @ total if out else 0)
        out.append(mix / divisor)
        state, total = state + b.mT @ c, total + b.sum(-2)[..., None]
    return torch.cat(out, -2)


def sums_from_scratch(q, k, v):
    """Each query sums all earlier keys anew."""
    q, k = phi(q), phi(k)
    rows = []
    for t in range(q.shape[-2]):
        asks, keys = q[..., t : t + 1, :], k[..., : t + 1, :]
        rows.append(asks @ (keys.mT @ v[..., : t + 1, :]) / (asks @ keys.sum(-2)[..., None]))
    return torch.cat(rows, -2)


def shifted(x, axis):
    """Running sums without the newest term."""
    first = torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([first, x.cumsum(axis).narrow(axis, 0, x.shape[axis] - 1)], axis)


def advanced(x, axis):
    """Running sums with the next term."""
    sums = x.cumsum(axis)
    return torch.cat([sums.narrow(axis, 1, x.shape[axis] - 1), sums.narrow(axis, x.shape[axis] - 1, 1)], axis)


def backwards(x, axis):
    return x.flip(axis).cumsum(axis).flip(axis)


def both(function):
    return {"values": lambda x: function(x, -3), "keys": lambda x: function(x, -2)}


def whole(x, axis):
    return x.sum(axis, keepdim=True).expand_as(x)


RIGHT["04_multi_head/causal_linear_attention"] = [
    causal_by_sums,
    causal_with_ones,
    causal_in_blocks,
    lambda q, k, v: causal_in_blocks(q, k, v, size=100),
    causal_by_loop,
    causal_growing,
    lambda q, k, v: causal_by_sums(q, k, v, lambda x: 1 + F.elu(x)),
    lambda q, k, v: causal_by_sums(
        q, k, v, total=lambda q: (q * phi(k).cumsum(-2)).sum(-1, keepdim=True) + 1e-6
    ),
]
WRONG["04_multi_head/causal_linear_attention"] = [
    ("sees everything", lambda q, k, v: linear_in_two_steps(q, k, v)),
    ("all keys in the divisor", lambda q, k, v: causal_by_sums(q, k, v, keys=lambda x: whole(x, -2))),
    ("all keys in the mix", lambda q, k, v: causal_by_sums(q, k, v, values=lambda x: whole(x, -3))),
    ("blind to itself", lambda q, k, v: causal_by_sums(q, k, v, **both(shifted))),
    ("blind to itself", lambda q, k, v: causal_by_loop(q, k, v, look_first=True)),
    ("one step ahead", lambda q, k, v: causal_by_sums(q, k, v, **both(advanced))),
    ("summed from the end", lambda q, k, v: causal_by_sums(q, k, v, **both(backwards))),
    (
        "summed twice",
        lambda q, k, v: causal_by_sums(q, k, v, **both(lambda x, axis: x.cumsum(axis).cumsum(axis))),
    ),
    (
        "along the first axis",
        lambda q, k, v: causal_by_sums(q, k, v, values=lambda x: x.cumsum(0), keys=lambda x: x.cumsum(0)),
    ),
    (
        "not normalised",
        lambda q, k, v: causal_by_sums(q, k, v, total=lambda q: 1),
    ),
    ("softmax", lambda q, k, v: softmax_attention(q, k, v, causal=True)),
    ("no features", lambda q, k, v: causal_by_sums(q, k, v, plain)),
    ("features of the queries only", lambda q, k, v: causal_by_sums(q, k, v, phi, plain)),
    ("features of the keys only", lambda q, k, v: causal_by_sums(q, k, v, plain, phi)),
    ("elu without 1", lambda q, k, v: causal_by_sums(q, k, v, F.elu)),
    (
        "divided by the number of keys",
        lambda q, k, v: causal_by_sums(q, k, v, total=lambda q: torch.ones_like(q[..., :1]).cumsum(-2)),
    ),
    ("mixes the keys", lambda q, k, v: causal_by_sums(q, k, k)),
    (None, lambda q, k, v: table(q, k, v, causal=True)),
    (None, lambda q, k, v: table_row_by_row(q, k, v, causal=True)),
    (None, sums_from_scratch),
    (None, lambda q, k, v: library.linear_attention(q, k, v, causal=True)),
    (None, lambda q, k, v: causal_by_sums(q, k, v).detach()),
    (None, lambda q, k, v: causal_by_sums(q, k, v, F.relu).nan_to_num(0.0)),
    (None, lambda q, k, v: causal_by_sums(q, k, v, **both(lambda x, axis: x))),
]
