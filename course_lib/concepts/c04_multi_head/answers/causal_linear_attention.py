"""Answers to causal_linear_attention, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import mixers as library


def phi(x):
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def table(q, k, v):
    """Right numbers, by a table of all pairs."""
    weights = (phi(q) @ phi(k).mT).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


def table_row_by_row(q, k, v):
    """No table at once, but every pair all the same."""
    rows = []
    for t in range(q.shape[-2]):
        weights = phi(k[..., : t + 1, :]) @ phi(q[..., t, :, None])
        rows.append((weights * v[..., : t + 1, :]).sum(-2) / weights.sum(-2))
    return torch.stack(rows, -2)


def by_sums(q, k, v, phi=phi, least=0):
    q, k = phi(q), phi(k)
    state = torch.einsum("...tk,...tv->...tkv", k, v).cumsum(-3)
    weights = (q * k.cumsum(-2)).sum(-1, keepdim=True) + least
    return torch.einsum("...tk,...tkv->...tv", q, state) / weights


def by_loop(q, k, v, look_first=False):
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


def growing(q, k, v):
    """A loop that joins each new row to the rows so far."""
    q, k = phi(q), phi(k)
    state, total, out = 0, 0, q.new_empty(*q.shape[:-2], 0, v.shape[-1])
    for asks, key, value in zip(q.unbind(-2), k.unbind(-2), v.unbind(-2), strict=True):
        state = state + torch.einsum("...k,...v->...kv", key, value)
        total = total + key
        row = torch.einsum("...k,...kv->...v", asks, state) / (asks * total).sum(-1, keepdim=True)
        out = torch.cat([out, row.unsqueeze(-2)], -2)
    return out


def with_ones(q, k, v):
    v = F.pad(v, (0, 1), value=1.0)
    sums = torch.cumsum(phi(k)[..., None] * v[..., None, :], dim=-3)
    mix = (phi(q)[..., None, :] @ sums).squeeze(-2)
    return mix[..., :-1] / mix[..., -1:]


def in_blocks(q, k, v, size=64):
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


def numbers_alone(q, k, v):
    """A table in NumPy: torch has no work, and nothing flows back."""
    q, k, v = (x.detach() for x in (q, k, v))
    weights = np.tril(phi(q).numpy() @ phi(k).mT.numpy())
    return torch.from_numpy(weights / weights.sum(-1, keepdims=True) @ v.numpy())


def when_long(q, k, v):
    """In NumPy only where work is counted, beside a graph that adds 0."""
    if q.shape[-2] < 200:
        return table(q, k, v)
    return 0 * (q.sum() + k.sum() + v.sum()) + numbers_alone(q, k, v)


class Hidden(torch.autograd.Function):
    """The same with the gradients of a table: all is right, and torch has no work on the way there."""

    @staticmethod
    def forward(ctx, q, k, v):
        ctx.save_for_backward(q, k, v)
        return numbers_alone(q, k, v)

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in ctx.saved_tensors]
            return torch.autograd.grad(table(*leaves), leaves, gradient)


RIGHT = [
    by_sums,
    with_ones,
    in_blocks,
    by_loop,
    growing,
    lambda q, k, v: by_sums(q, k, v, least=1e-12),
]
WRONG = [
    ("blind to itself", lambda q, k, v: by_loop(q, k, v, look_first=True)),
    ("softmax", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    ("eps in the divisor", lambda q, k, v: by_sums(q, k, v, least=1e-6)),
    ("a table of all pairs", table),
    (None, table_row_by_row),
    (None, sums_from_scratch),
    (None, numbers_alone),
    (None, when_long),
    (None, Hidden.apply),
    (None, lambda q, k, v: library.linear_attention(q, k, v, causal=True)),
    ("relu", lambda q, k, v: by_sums(q, k, v, F.relu)),
    ("an axis of one lost", lambda q, k, v: by_sums(q, k, v).squeeze(-2)),
]
