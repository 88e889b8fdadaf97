"""Plausible answers to the tasks of 05_positions, written from the texts of the exercises alone."""

import collections
import itertools

import numpy as np
import torch
from torch import nn

from plausible import Answers

of = Answers("05_positions")
right, wrong = of.right, of.wrong

# --------------------------------------------------------------------------------------- which is equivariant


@right("which_is_equivariant", "the largest difference over all permutations")
def _(layers, x):
    orders = [torch.tensor(p) for p in itertools.permutations(range(x.shape[1]))]
    worst = [max((f(x[:, p]) - f(x)[:, p]).abs().max().item() for p in orders) for f in layers]
    return [w <= 1e-4 for w in worst]


@wrong("which_is_equivariant", "invariance", "the result is not exchanged")
def _(layers, x):
    return [
        all(torch.allclose(f(x[:, torch.randperm(x.shape[1])]), f(x), atol=1e-4) for _ in range(30))
        for f in layers
    ]


@wrong("which_is_equivariant", "the order of the batch", "sequences exchanged")
def _(layers, x):
    p = torch.randperm(len(x))
    return [torch.allclose(f(x[p]), f(x)[p], atol=1e-4) for f in layers]


@wrong("which_is_equivariant", "reversal alone", "only the reversed order")
def _(layers, x):
    return [torch.allclose(f(torch.flip(x, [1])), torch.flip(f(x), [1]), atol=1e-4) for f in layers]


@wrong("which_is_equivariant", "equal bits", "equal to the last digit")
def _(layers, x):
    return [
        all(bool((f(x[:, p]) == f(x)[:, p]).all()) for p in (torch.randperm(x.shape[1]) for _ in range(30)))
        for f in layers
    ]


# -------------------------------------------------------------------------------------------------- sinusoids


@right("sinusoids", "repeat each angle, where")
def _(n, d):
    angle = torch.arange(n).view(-1, 1) * (1e4 ** (-torch.arange(d // 2) * 2 / d)).repeat_interleave(2)
    even = torch.arange(d) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos())


@wrong("sinusoids", "halves side by side", "all sines, then all cosines")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.cat([torch.sin(a), torch.cos(a)], dim=-1)


@wrong("sinusoids", "i over d", "i / d as exponent")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(d // 2) / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "the exponent of arange(0, d, 2), doubled", "4i / d as exponent")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (2 * torch.arange(0, d, 2) / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "cos first", "cosine before sine")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.stack([a.cos(), a.sin()], -1).reshape(n, d)


# ------------------------------------------------------------------------------------------ learned positions


@right("learned_positions", "a slice, checked first")
def _(x, table, start):
    n_tokens = x.shape[1]
    if start + n_tokens > table.shape[0]:
        raise ValueError(f"only {table.shape[0]} places")
    return x + table[start : start + n_tokens].unsqueeze(0)


@wrong("learned_positions", "the slice as it is", "no look at the end of the table")
def _(x, table, start):
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "assert instead of ValueError", "no look at the end of the table")
def _(x, table, start):
    assert start + x.shape[1] <= len(table)
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "refused one too late", "only the first place looked at")
def _(x, table, start):
    if start > len(table):
        raise ValueError
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "a slice that ends at T", "rows up to T")
def _(x, table, start):
    return x + table[start : x.shape[1]]


# ------------------------------------------------------------------------------------------------- alibi bias


@right("alibi_bias", "NumPy, float64")
def _(n_heads, n_queries, n_keys):
    dist = np.abs(np.arange(n_keys)[None] - (np.arange(n_queries) + n_keys - n_queries)[:, None])
    return np.multiply.outer(-((2.0 ** (-8 / n_heads)) ** np.arange(1, n_heads + 1)), dist)


@wrong("alibi_bias", "integer powers")
def _(n_heads, n_queries, n_keys):
    t = torch.arange(n_keys - n_queries, n_keys)[:, None]
    dist = (t - torch.arange(n_keys)).abs()
    return torch.stack([-(2.0 ** (-8 * h // n_heads + 1)) * dist for h in range(1, n_heads + 1)])


@wrong("alibi_bias", "queries from 0", "the first query at the first key")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_queries)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    return -slopes[:, None, None] * dist


@wrong("alibi_bias", "h from 0", "slopes from 1 on")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(n_heads) / n_heads)
    return -slopes[:, None, None] * dist


@wrong("alibi_bias", "plus", "distance rewarded")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    return slopes[:, None, None] * dist


# --------------------------------------------------------------------------------------------- relative index


@right("relative_index", "shifted, then cut at 0 and 2m")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_queries).reshape(-1, 1) + (n_keys - n_queries)
    return (torch.arange(n_keys).reshape(1, -1) - t + max_distance).clamp(0, 2 * max_distance)


@wrong("relative_index", "t - s", "query minus key")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (t[:, None] - torch.arange(n_keys)).clamp(-max_distance, max_distance) + max_distance


@wrong("relative_index", "queries from 0", "the first query at the first key")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_queries)
    return (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance) + max_distance


@wrong("relative_index", "no m", "no shift")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance)


@wrong("relative_index", "cut at m on one side", "cut off above only")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) - t[:, None]).clamp(max=max_distance) + max_distance


# ----------------------------------------------------------------------------------------------- rotate pairs


@right("rotate_pairs", "unbind the pairs")
def _(x, start, base):
    *_, t, k = x.shape
    place = torch.arange(t, dtype=x.dtype).add(start).unsqueeze(1)
    angle = place * base ** (-2 * torch.arange(k // 2, dtype=x.dtype) / k)
    a, b = x.reshape(*x.shape[:-1], k // 2, 2).unbind(-1)
    pair = (a * torch.cos(angle) - b * torch.sin(angle), a * torch.sin(angle) + b * torch.cos(angle))
    return torch.stack(pair, dim=-1).reshape(x.shape)


@wrong("rotate_pairs", "rotate_half from Hugging Face", "pairs of halves")
def _(x, start, base):
    t, k = x.shape[2:]
    freqs = torch.outer(torch.arange(start, start + t).to(x), 1 / base ** (torch.arange(0, k, 2).to(x) / k))
    emb = torch.cat((freqs, freqs), dim=-1)
    half = torch.cat((-x[..., k // 2 :], x[..., : k // 2]), dim=-1)
    return x * emb.cos() + half * emb.sin()


@wrong(
    "rotate_pairs",
    "neighbours swapped, but the angles repeated as halves",
    "neighbours with the angles of halves",
)
def _(x, start, base):
    t, k = x.shape[2:]
    freqs = torch.outer(torch.arange(start, start + t).to(x), 1 / base ** (torch.arange(0, k, 2).to(x) / k))
    emb = torch.cat((freqs, freqs), dim=-1)
    half = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return x * emb.cos() + half * emb.sin()


@wrong("rotate_pairs", "multiplied by the conjugate", "turned the other way")
def _(x, start, base):
    pairs = torch.complex(x[..., ::2], x[..., 1::2])
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    return torch.view_as_real(pairs * torch.exp(-1j * angle)).flatten(-2)


@wrong("rotate_pairs", "degrees", "turned by degrees")
def _(x, start, base):
    pairs = torch.complex(x[..., ::2], x[..., 1::2])
    angle = torch.arange(start, start + x.shape[2]).to(x)[:, None] / base ** (
        torch.arange(0, x.shape[3], 2).to(x) / x.shape[3]
    )
    return torch.view_as_real(pairs * torch.exp(1j * torch.deg2rad(angle))).flatten(-2)


# --------------------------------------------------------------------------------------------- to interleaved


@right("to_interleaved", "an index for all rows")
def _(weight, n_heads):
    rows = torch.arange(len(weight)).view(n_heads, 2, -1).permute(0, 2, 1).reshape(-1)
    return weight[rows]


@wrong("to_interleaved", "Hugging Face's permute: the other direction", "the way back")
def _(weight, n_heads):
    return weight.reshape(n_heads, len(weight) // n_heads // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


@wrong("to_interleaved", "no heads", "the whole width at once")
def _(weight, n_heads):
    a, b = weight.chunk(2)
    return torch.stack([a, b], 1).flatten(0, 1)


@wrong("to_interleaved", "a bare reshape after (2, K/2)", "unchanged")
def _(weight, n_heads):
    return weight.reshape(n_heads, 2, -1, weight.shape[1]).reshape(len(weight), -1)


@wrong("to_interleaved", "concatenated even and odd rows of the whole", "even rows, then odd rows")
def _(weight, n_heads):
    return torch.cat([weight[::2], weight[1::2]])


# ------------------------------------------------------------------------------------------ depends on offset


@right("depends_on_offset", "groups of products")
def _(rotate, q, k, n):
    groups = collections.defaultdict(list)
    for t, s in itertools.product(range(n), repeat=2):
        groups[s - t].append(float(torch.dot(rotate(q, t), rotate(k, s))))
    return all(max(group) - min(group) < 0.001 for group in groups.values())


@wrong("depends_on_offset", "torch.equal", "exactly equal")
def _(rotate, q, k, n):
    table = torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, t) for t in range(n)]).T
    return all(torch.equal(table[t, t:], table[0, : n - t]) for t in range(n))


@wrong("depends_on_offset", "the first three places", "the first places")
def _(rotate, q, k, n):
    return abs(rotate(q, 0) @ rotate(k, 1) - rotate(q, 1) @ rotate(k, 2)).item() < 0.001


@wrong("depends_on_offset", "the key stays at place 0", "only one of the two moves")
def _(rotate, q, k, n):
    products = torch.stack([rotate(q, t) @ rotate(k, 0) for t in range(n)])
    return bool(products.max() - products.min() < 1e-3)


@wrong("depends_on_offset", "the rotated vectors are compared", "vectors instead of products")
def _(rotate, q, k, n):
    return all(torch.allclose(rotate(q, t), rotate(q, 0), atol=1e-3) for t in range(n))


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


@wrong("rotation_at_work", "rotate_half", "halves with the angles of neighbours")
class _(Layer):
    def other(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat([-b, a], -1)


@wrong("rotation_at_work", "the sign forgotten", "both sines with a plus")
class _(Layer):
    def other(self, x):
        return torch.stack((x[..., 1::2], x[..., 0::2]), -1).flatten(-2)


@wrong("rotation_at_work", "start unused", "start ignored")
class _(Layer):
    def forward(self, x, start=0):
        return super().forward(x)


@wrong("rotation_at_work", "the slice ends at T", "places up to T")
class _(Layer):
    def forward(self, x, start=0):
        rows = slice(start, x.shape[2])
        return x * self.cos_table[rows] + self.other(x) * self.sin_table[rows]
