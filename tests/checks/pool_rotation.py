"""A pool of answers to the tasks on rotation, written from the exercises' texts alone. See `pool`."""

import cmath
import collections
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ----------------------------------------------------------------------------------------------- rotate pairs


@right("rotate_pairs", "unbind the pairs")
def _(x, start, base):
    *_, t, k = x.shape
    place = torch.arange(t, dtype=x.dtype).add(start).unsqueeze(1)
    angle = place * base ** (-2 * torch.arange(k // 2, dtype=x.dtype) / k)
    a, b = x.reshape(*x.shape[:-1], k // 2, 2).unbind(-1)
    pair = (a * torch.cos(angle) - b * torch.sin(angle), a * torch.sin(angle) + b * torch.cos(angle))
    return torch.stack(pair, dim=-1).reshape(x.shape)


@right("rotate_pairs", "cmath, one pair at a time")
def _(x, start, base):
    *_, t, k = x.shape
    columns = []
    for i in range(k // 2):
        turns = [cmath.exp(1j * (start + p) / base ** (2 * i / k)) for p in range(t)]
        cos = torch.tensor([z.real for z in turns], dtype=x.dtype)
        sin = torch.tensor([z.imag for z in turns], dtype=x.dtype)
        one, two = x[..., 2 * i], x[..., 2 * i + 1]
        columns += [one * cos - two * sin, one * sin + two * cos]
    return torch.stack(columns, dim=3)


@right("rotate_pairs", "angles in NumPy, in float64")
def _(x, start, base):
    t, k = x.shape[2:]
    angle = np.arange(start, start + t)[:, None] * np.power(float(base), -np.arange(0, k, 2) / k)
    cos = torch.as_tensor(np.cos(angle).repeat(2, 1)).to(x.dtype)
    sin = torch.as_tensor(np.sin(angle).repeat(2, 1)).to(x.dtype)
    swapped = x.view(*x.shape[:-1], -1, 2).flip(-1).flatten(-2) if x.is_contiguous() else None
    if swapped is None:
        swapped = x[..., torch.arange(k) ^ 1]
    signs = torch.tensor([-1, 1] * (k // 2), dtype=x.dtype)
    return x * cos + swapped * signs * sin


@right("rotate_pairs", "matrix_exp of an antisymmetric matrix")
def _(x, start, base):
    t, k = x.shape[2:]
    turn = torch.zeros(t, k, k, dtype=torch.float64)
    for i in range(k // 2):
        angle = torch.arange(start, start + t, dtype=torch.float64) / base ** (2 * i / k)
        turn[:, 2 * i, 2 * i + 1], turn[:, 2 * i + 1, 2 * i] = -angle, angle
    return (torch.matrix_exp(turn).to(x.dtype) @ x[..., None])[..., 0]


@right("rotate_pairs", "the product of two complex tensors")
def _(x, start, base):
    pairs = torch.complex(*x.unflatten(3, (-1, 2)).unbind(4))
    angle = (start + torch.arange(x.size(2)).to(x)).unsqueeze(-1) / base ** (
        torch.arange(0, x.size(3), 2).to(x) / x.size(3)
    )
    turned = pairs * torch.complex(angle.cos(), angle.sin())
    return torch.stack([turned.real, turned.imag], 4).flatten(3)


@wrong("rotate_pairs", "rotate_half from Hugging Face")
def _(x, start, base):
    t, k = x.shape[2:]
    freqs = torch.outer(torch.arange(start, start + t).to(x), 1 / base ** (torch.arange(0, k, 2).to(x) / k))
    emb = torch.cat((freqs, freqs), dim=-1)
    half = torch.cat((-x[..., k // 2 :], x[..., : k // 2]), dim=-1)
    return x * emb.cos() + half * emb.sin()


@wrong("rotate_pairs", "neighbours swapped, but the angles repeated as halves")
def _(x, start, base):
    t, k = x.shape[2:]
    freqs = torch.outer(torch.arange(start, start + t).to(x), 1 / base ** (torch.arange(0, k, 2).to(x) / k))
    emb = torch.cat((freqs, freqs), dim=-1)
    half = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return x * emb.cos() + half * emb.sin()


@wrong("rotate_pairs", "multiplied by the conjugate")
def _(x, start, base):
    pairs = torch.complex(x[..., ::2], x[..., 1::2])
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    return torch.view_as_real(pairs * torch.exp(-1j * angle)).flatten(-2)


@wrong("rotate_pairs", "degrees")
def _(x, start, base):
    pairs = torch.complex(x[..., ::2], x[..., 1::2])
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    return torch.view_as_real(pairs * torch.exp(1j * torch.deg2rad(angle))).flatten(-2)


@wrong("rotate_pairs", "full turns, two pi for each place")
def _(x, start, base):
    pairs = torch.complex(x[..., ::2], x[..., 1::2])
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    return torch.view_as_real(pairs * torch.exp(2j * math.pi * angle)).flatten(-2)


@wrong("rotate_pairs", "range(start, T): fewer places than tokens")
def _(x, start, base):
    angle = torch.arange(start, x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


@wrong("rotate_pairs", "whole-number division of the exponent")
def _(x, start, base):
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2) // x.shape[3]
    ).to(x)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


@wrong("rotate_pairs", "a loop that adds instead of exchanging")
def _(x, start, base):
    out = x.clone()
    for t, i in itertools.product(range(x.shape[2]), range(x.shape[3] // 2)):
        angle = (start + t) / base ** (2 * i / x.shape[3])
        out[:, :, t, 2 * i] = x[:, :, t, 2 * i] * math.cos(angle) + x[:, :, t, 2 * i + 1] * -math.cos(angle)
        out[:, :, t, 2 * i + 1] = x[:, :, t, 2 * i] * math.sin(angle) + x[:, :, t, 2 * i + 1] * math.sin(
            angle
        )
    return out


@wrong("rotate_pairs", "sequences for places")
def _(x, start, base):
    angle = torch.arange(start, start + x.shape[0]).to(x)[:, None, None, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


@wrong("rotate_pairs", "only the first pair")
def _(x, start, base):
    angle = torch.arange(start, start + x.shape[2]).to(x)
    a, b = x[..., 0], x[..., 1]
    first = torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
    return torch.cat([first, x[..., 2:]], -1)


@either("rotate_pairs", "the usual table in float32, whatever x is")
def _(x, start, base):
    angle = torch.arange(start, start + x.shape[2])[:, None] / base ** (
        torch.arange(0, x.shape[3], 2) / x.shape[3]
    )
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


# --------------------------------------------------------------------------------------------- to interleaved


@right("to_interleaved", "slices with a step")
def _(weight, n_heads):
    heads = weight.reshape(n_heads, -1, weight.shape[1])
    half = heads.shape[1] // 2
    out = torch.empty_like(heads)
    out[:, ::2], out[:, 1::2] = heads[:, :half], heads[:, half:]
    return out.reshape(weight.shape)


@right("to_interleaved", "an index for all rows")
def _(weight, n_heads):
    rows = torch.arange(len(weight)).view(n_heads, 2, -1).permute(0, 2, 1).reshape(-1)
    return weight[rows]


@right("to_interleaved", "index_select of zipped ranges")
def _(weight, n_heads):
    k = weight.size(0) // n_heads
    order = []
    for first in range(0, weight.size(0), k):
        for pair in zip(range(first, first + k // 2), range(first + k // 2, first + k), strict=True):
            order.extend(pair)
    return torch.index_select(weight, 0, torch.tensor(order))


@right("to_interleaved", "the transpose, folded")
def _(weight, n_heads):
    columns = weight.T
    folded = columns.reshape(weight.shape[1], n_heads, 2, -1).transpose(2, 3)
    return folded.reshape(columns.shape).T


@right("to_interleaved", "two halves of all heads, stacked")
def _(weight, n_heads):
    left, right = weight.unflatten(0, (n_heads, -1)).tensor_split(2, dim=1)
    return torch.stack((left, right), 2).flatten(end_dim=2)


@wrong("to_interleaved", "Hugging Face's permute: the other direction")
def _(weight, n_heads):
    return weight.reshape(n_heads, len(weight) // n_heads // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


@wrong("to_interleaved", "no heads")
def _(weight, n_heads):
    a, b = weight.chunk(2)
    return torch.stack([a, b], 1).flatten(0, 1)


@wrong("to_interleaved", "a bare reshape after (2, K/2)")
def _(weight, n_heads):
    return weight.reshape(n_heads, 2, -1, weight.shape[1]).reshape(len(weight), -1)


@wrong("to_interleaved", "concatenated even and odd rows of the whole")
def _(weight, n_heads):
    return torch.cat([weight[::2], weight[1::2]])


@wrong("to_interleaved", "the columns")
def _(weight, n_heads):
    a, b = weight.tensor_split(2, 1)
    return torch.stack([a, b[:, : a.shape[1]]], 2).flatten(1)[:, : weight.shape[1]]


@wrong("to_interleaved", "heads last")
def _(weight, n_heads):
    return weight.reshape(2, -1, n_heads, weight.shape[1]).transpose(0, 1).reshape(weight.shape)


@wrong("to_interleaved", "the pairs of the first head in every head")
def _(weight, n_heads):
    k = len(weight) // n_heads
    order = torch.arange(k).view(2, -1).T.flatten().repeat(n_heads)
    return weight[order]


@wrong("to_interleaved", "all three axes turned round")
def _(weight, n_heads):
    return weight.reshape(n_heads, 2, -1, weight.shape[1]).permute(2, 1, 0, 3).reshape(weight.shape)


# ----------------------------------------------------------------------------------------------- offset alone


@right("depends_on_offset", "groups of products")
def _(rotate, q, k, n):
    groups = collections.defaultdict(list)
    for t, s in itertools.product(range(n), repeat=2):
        groups[s - t].append(float(torch.dot(rotate(q, t), rotate(k, s))))
    return all(max(group) - min(group) < 0.001 for group in groups.values())


@right("depends_on_offset", "one step further, everywhere")
def _(rotate, q, k, n):
    def product(t, s):
        return (rotate(q, t) * rotate(k, s)).sum().item()

    return all(abs(product(t + 1, s + 1) - product(t, s)) < 0.001 for t in range(n - 1) for s in range(n - 1))


@right("depends_on_offset", "the diagonals of a table in NumPy")
def _(rotate, q, k, n):
    a = np.stack([rotate(q, t).numpy() for t in range(n)]).astype(float)
    b = np.stack([rotate(k, t).numpy() for t in range(n)]).astype(float)
    table = a @ b.T
    return bool(all(np.allclose(d := np.diag(table, o), d[0], rtol=0, atol=1e-3) for o in range(-n + 1, n)))


@right("depends_on_offset", "a table sheared so that each offset is a column")
def _(rotate, q, k, n):
    table = torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, t) for t in range(n)]).T
    sheared = torch.full((n, 2 * n - 1), math.nan)
    for t in range(n):
        sheared[t, n - 1 - t : 2 * n - 1 - t] = table[t]
    low = sheared.nan_to_num(math.inf).amin(0)
    high = sheared.nan_to_num(-math.inf).amax(0)
    return bool((high - low < 1e-3).all())


@wrong("depends_on_offset", "torch.equal")
def _(rotate, q, k, n):
    table = torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, t) for t in range(n)]).T
    return all(torch.equal(table[t, t:], table[0, : n - t]) for t in range(n))


@wrong("depends_on_offset", "the first three places")
def _(rotate, q, k, n):
    return abs(rotate(q, 0) @ rotate(k, 1) - rotate(q, 1) @ rotate(k, 2)).item() < 0.001


@wrong("depends_on_offset", "lengths stay")
def _(rotate, q, k, n):
    return all(abs(rotate(q, t).norm() - q.norm()) < 1e-3 for t in range(n))


@wrong("depends_on_offset", "the key stays at place 0")
def _(rotate, q, k, n):
    products = torch.stack([rotate(q, t) @ rotate(k, 0) for t in range(n)])
    return bool(products.max() - products.min() < 1e-3)


@wrong("depends_on_offset", "the rotated vectors are compared")
def _(rotate, q, k, n):
    return all(torch.allclose(rotate(q, t), rotate(q, 0), atol=1e-3) for t in range(n))


@wrong("depends_on_offset", "same place for both")
def _(rotate, q, k, n):
    products = [(rotate(q, t) @ rotate(k, t)).item() for t in range(n)]
    return max(products) - min(products) < 1e-3


@wrong("depends_on_offset", "one offset, products rounded to whole numbers")
def _(rotate, q, k, n):
    return len({round(float(rotate(q, t) @ rotate(k, t + 2))) for t in range(n - 2)}) == 1


@wrong("depends_on_offset", "the mean of the differences")
def _(rotate, q, k, n):
    products = torch.stack([rotate(q, t) @ rotate(k, t + 1) for t in range(n - 1)])
    return bool(products.diff().mean().abs() < 1e-3)


@wrong("depends_on_offset", "places beyond the end")
def _(rotate, q, k, n):
    return all(abs(rotate(q, t) @ rotate(k, t + 3) - rotate(q, 0) @ rotate(k, 3)) < 1e-3 for t in range(n))


@either("depends_on_offset", "vectors of its own instead of q and k")
def _(rotate, q, k, n):
    a, b = torch.linspace(1, 2, len(q), dtype=q.dtype), torch.linspace(-1, 3, len(q), dtype=q.dtype)
    table = torch.stack([rotate(a, t) for t in range(n)]) @ torch.stack([rotate(b, t) for t in range(n)]).T
    return torch.allclose(table[1:, 1:], table[:-1, :-1], rtol=0, atol=1e-3)


@either("depends_on_offset", "allclose as it comes, stricter than the text says")
def _(rotate, q, k, n):
    table = torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, t) for t in range(n)]).T
    return torch.allclose(table[1:, 1:], table[:-1, :-1])


# ------------------------------------------------------------------------------------------- rotation at work


class Layer(nn.Module):
    """A right one, for others to change."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        inv = 1.0 / (base ** (torch.arange(0, d_head, 2).float() / d_head))
        angle = torch.einsum("t,f->tf", torch.arange(max_seq_len).float(), inv)
        self.register_buffer("cos_table", angle.cos().repeat_interleave(2, -1))
        self.register_buffer("sin_table", angle.sin().repeat_interleave(2, -1))

    def other(self, x):
        return torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)

    def forward(self, x, start=0):
        end = start + x.shape[-2]
        return x * self.cos_table[start:end] + self.other(x) * self.sin_table[start:end]


@right("rotation_at_work", "tables with every number twice")
class _(Layer):
    pass


@right("rotation_at_work", "embedding of the places")
class _(Layer):
    def forward(self, x, start=0):
        places = torch.arange(start, start + x.shape[2], device=x.device)
        cos, sin = F.embedding(places, self.cos_table), F.embedding(places, self.sin_table)
        return x * cos + self.other(x) * sin


@right("rotation_at_work", "a matrix for each place")
class _(nn.Module):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        turns = torch.zeros(max_seq_len, d_head, d_head)
        for i in range(d_head // 2):
            angle = torch.arange(max_seq_len) / base ** (2 * i / d_head)
            turns[:, 2 * i, 2 * i] = turns[:, 2 * i + 1, 2 * i + 1] = angle.cos()
            turns[:, 2 * i, 2 * i + 1], turns[:, 2 * i + 1, 2 * i] = -angle.sin(), angle.sin()
        self.register_buffer("turns", turns)

    def forward(self, x, start=0):
        return (self.turns[start : start + x.shape[2]] @ x.unsqueeze(-1)).squeeze(-1)


@right("rotation_at_work", "complex numbers, a buffer of cosines and sines")
class _(nn.Module):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        angle = torch.arange(max_seq_len)[:, None] * base ** (-torch.arange(0, d_head, 2) / d_head)
        self.register_buffer("turns", torch.stack([angle.cos(), angle.sin()], -1))

    def forward(self, x, start=0):
        turns = torch.view_as_complex(self.turns[start:][: x.shape[2]])
        pairs = torch.view_as_complex(x.contiguous().view(*x.shape[:3], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(3)


@wrong("rotation_at_work", "rotate_half")
class _(Layer):
    def other(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat([-b, a], -1)


@wrong("rotation_at_work", "the sign forgotten")
class _(Layer):
    def other(self, x):
        return torch.stack((x[..., 1::2], x[..., 0::2]), -1).flatten(-2)


@wrong("rotation_at_work", "the sign at the other number")
class _(Layer):
    def other(self, x):
        return torch.stack((x[..., 1::2], -x[..., 0::2]), -1).flatten(-2)


@wrong("rotation_at_work", "start unused")
class _(Layer):
    def forward(self, x, start=0):
        return super().forward(x)


@wrong("rotation_at_work", "the slice ends at T")
class _(Layer):
    def forward(self, x, start=0):
        rows = slice(start, x.shape[2])
        return x * self.cos_table[rows] + self.other(x) * self.sin_table[rows]


@wrong("rotation_at_work", "sized by the heads")
class _(Layer):
    def forward(self, x, start=0):
        rows = slice(start, start + x.shape[1])
        return x * self.cos_table[rows] + self.other(x) * self.sin_table[rows]


@wrong("rotation_at_work", "tables that can be trained")
class _(Layer):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len, base)
        self.scale = nn.Parameter(torch.ones(d_head))


@wrong("rotation_at_work", "max_seq_len and base exchanged")
class _(Layer):
    def __init__(self, d_head, base, max_seq_len):
        super().__init__(d_head, int(max_seq_len), float(base))


@wrong("rotation_at_work", "the last token alone is turned")
class _(Layer):
    def forward(self, x, start=0):
        out = x.clone()
        out[:, :, -1:] = super().forward(x, start)[:, :, -1:]
        return out
