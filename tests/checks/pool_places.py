"""A pool of answers to the tasks of 05_positions, written from the exercises' texts alone. See `pool`."""

import itertools
import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either

# --------------------------------------------------------------------------------------- which is equivariant


@right("which_is_equivariant", "two nested loops, early exit")
def _(layers, x):
    answers = []
    for layer in layers:
        ok = True
        for _ in range(100):
            order = torch.randperm(x.size(1))
            if not torch.allclose(layer(x[:, order, :]), layer(x)[:, order, :], atol=1e-4):
                ok = False
                break
        answers.append(ok)
    return answers


@right("which_is_equivariant", "the largest difference over all permutations")
def _(layers, x):
    orders = [torch.tensor(p) for p in itertools.permutations(range(x.shape[1]))]
    worst = [max((f(x[:, p]) - f(x)[:, p]).abs().max().item() for p in orders) for f in layers]
    return [w <= 1e-4 for w in worst]


@right("which_is_equivariant", "shuffled lists of places")
def _(layers, x):
    def fits(f):
        for _ in range(60):
            places = list(range(x.shape[1]))
            random.shuffle(places)
            a, b = f(x[:, places]), f(x)[:, places]
            if torch.any(torch.abs(a - b) > 1e-4):
                return False
        return True

    return list(map(fits, layers))


@right("which_is_equivariant", "gather along the tokens")
def _(layers, x):
    out = []
    for f in layers:
        y = f(x)
        results = []
        for seed in range(50):
            torch.manual_seed(seed)
            order = torch.randperm(x.shape[1])
            index = order[None, :, None].expand_as(x)
            results.append(torch.isclose(f(x.gather(1, index)), y.gather(1, index), rtol=0, atol=1e-4).all())
        out.append(torch.stack(results).all().item())
    return out


@right("which_is_equivariant", "the largest differences, in NumPy")
def _(layers, x):
    orders = [torch.randperm(x.shape[1]) for _ in range(40)]
    return np.array(
        [all(np.abs((f(x[:, o]) - f(x)[:, o]).numpy()).max() < 1e-4 for o in orders) for f in layers]
    )


@right("which_is_equivariant", "reversal and rolling and random orders")
def _(layers, x):
    n = x.shape[1]
    orders = [torch.arange(n).flip(0), torch.arange(n).roll(1), *(torch.randperm(n) for _ in range(32))]
    return [not any((f(x[:, o]) - f(x)[:, o]).abs().gt(1e-4).any() for o in orders) for f in layers]


@either("which_is_equivariant", "a single random order")
def _(layers, x):
    order = torch.randperm(x.shape[1])
    return [torch.allclose(f(x[:, order]), f(x)[:, order], atol=1e-4) for f in layers]


@wrong("which_is_equivariant", "True for all")
def _(layers, x):
    return [True] * len(layers)


@wrong("which_is_equivariant", "False for all")
def _(layers, x):
    return [False for _ in layers]


@wrong("which_is_equivariant", "invariance")
def _(layers, x):
    return [
        all(torch.allclose(f(x[:, torch.randperm(x.shape[1])]), f(x), atol=1e-4) for _ in range(30))
        for f in layers
    ]


@wrong("which_is_equivariant", "the order of the batch")
def _(layers, x):
    p = torch.randperm(len(x))
    return [torch.allclose(f(x[p]), f(x)[p], atol=1e-4) for f in layers]


@wrong("which_is_equivariant", "reversal alone")
def _(layers, x):
    return [torch.allclose(f(torch.flip(x, [1])), torch.flip(f(x), [1]), atol=1e-4) for f in layers]


@wrong("which_is_equivariant", "two random orders, one for each side")
def _(layers, x):
    n = x.shape[1]
    return [
        all(
            torch.allclose(f(x[:, torch.randperm(n)]), f(x)[:, torch.randperm(n)], atol=1e-4)
            for _ in range(30)
        )
        for f in layers
    ]


@wrong("which_is_equivariant", "equal bits")
def _(layers, x):
    return [
        all(bool((f(x[:, p]) == f(x)[:, p]).all()) for p in (torch.randperm(x.shape[1]) for _ in range(30)))
        for f in layers
    ]


@wrong("which_is_equivariant", "the mean of the result")
def _(layers, x):
    return [
        all(abs(f(x[:, torch.randperm(x.shape[1])]).mean() - f(x).mean()) < 1e-4 for _ in range(30))
        for f in layers
    ]


@wrong("which_is_equivariant", "the first token alone")
def _(layers, x):
    found = []
    for f in layers:
        p = torch.arange(x.shape[1])
        p[1:] = p[1:].flip(0)
        found.append(torch.allclose(f(x[:, p])[:, 0], f(x)[:, 0], atol=1e-4))
    return found


@wrong("which_is_equivariant", "one layer at a time")
def _(layers, x):
    return torch.allclose(layers[0](x.flip(1)), layers[0](x).flip(1))


@wrong("which_is_equivariant", "texts instead of truth values")
def _(layers, x):
    return ["yes" for _ in layers]


# -------------------------------------------------------------------------------------------------- sinusoids


@right("sinusoids", "one formula for each number")
def _(n, d):
    table = torch.zeros((n, d))
    for t in range(n):
        for i in range(d // 2):
            table[t, 2 * i] = math.sin(t / 10000 ** (2 * i / d))
            table[t, 2 * i + 1] = math.cos(t / 10000 ** (2 * i / d))
    return table


@right("sinusoids", "exp and log, float32")
def _(n, d):
    position = torch.arange(n).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
    pe = torch.zeros(n, d)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


@right("sinusoids", "repeat each angle, where")
def _(n, d):
    angle = torch.arange(n).view(-1, 1) * (1e4 ** (-torch.arange(d // 2) * 2 / d)).repeat_interleave(2)
    even = torch.arange(d) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos())


@right("sinusoids", "complex numbers")
def _(n, d):
    angles = torch.arange(n, dtype=torch.float64)[:, None] / 10000 ** (
        torch.arange(0, d, 2, dtype=torch.float64) / d
    )
    z = torch.exp(1j * angles)
    return torch.view_as_real(z).flip(-1).flatten(1).float()


@right("sinusoids", "NumPy")
def _(n, d):
    out = np.empty((n, d), dtype=np.float32)
    rates = 1 / np.power(10000.0, np.arange(0, d, 2) / d)
    out[:, ::2] = np.sin(np.outer(np.arange(n), rates))
    out[:, 1::2] = np.cos(np.outer(np.arange(n), rates))
    return torch.from_numpy(out)


@right("sinusoids", "lists")
def _(n, d):
    return [
        [(math.sin, math.cos)[j % 2](t * 10000 ** -((j - j % 2) / d)) for j in range(d)] for t in range(n)
    ]


@wrong("sinusoids", "halves side by side")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.cat([torch.sin(a), torch.cos(a)], dim=-1)


@wrong("sinusoids", "i over d")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(d // 2) / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "the exponent of arange(0, d, 2), doubled")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (2 * torch.arange(0, d, 2) / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "cos first")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.stack([a.cos(), a.sin()], -1).reshape(n, d)


@wrong("sinusoids", "from 1 to n")
def _(n, d):
    a = torch.arange(1, n + 1)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "floor division")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) // d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


@wrong("sinusoids", "stacked in front")
def _(n, d):
    a = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.stack([a.sin(), a.cos()])


@wrong("sinusoids", "one wave for all numbers")
def _(n, d):
    return torch.sin(torch.arange(n).float())[:, None].expand(n, d)


# ------------------------------------------------------------------------------------------ learned positions


@right("learned_positions", "a slice, checked first")
def _(x, table, start):
    n_tokens = x.shape[1]
    if start + n_tokens > table.shape[0]:
        raise ValueError(f"only {table.shape[0]} places")
    return x + table[start : start + n_tokens].unsqueeze(0)


@right("learned_positions", "an embedding layer's function")
def _(x, table, start):
    ids = start + torch.arange(x.shape[1], device=x.device)
    if int(ids[-1]) > len(table) - 1:
        raise ValueError(ids)
    return x + F.embedding(ids, table)[None]


@right("learned_positions", "narrow, its error translated")
def _(x, table, start):
    try:
        return x + table.narrow(0, start, x.shape[1])
    except (RuntimeError, IndexError):
        raise ValueError("the table ends") from None


@right("learned_positions", "the shape of the slice")
def _(x, table, start):
    rows = table[start : start + x.shape[1]]
    if rows.shape[0] < x.shape[1]:
        raise ValueError
    return torch.add(x, rows)


@right("learned_positions", "token after token, index_select")
def _(x, table, start):
    out = x.clone()
    for i in range(x.shape[1]):
        if start + i >= len(table):
            raise ValueError(start + i)
        out[:, i] = x[:, i] + table.index_select(0, torch.tensor([start + i]))
    return out


@wrong("learned_positions", "the slice as it is")
def _(x, table, start):
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "assert instead of ValueError")
def _(x, table, start):
    assert start + x.shape[1] <= len(table)
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "IndexError from an index")
def _(x, table, start):
    return x + table[torch.arange(x.shape[1]) + start]


@wrong("learned_positions", "refused one too early")
def _(x, table, start):
    if start + x.shape[1] > len(table) - 1:
        raise ValueError
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "refused one too late")
def _(x, table, start):
    if start > len(table):
        raise ValueError
    return x + table[start : start + x.shape[1]]


@wrong("learned_positions", "a slice that ends at T")
def _(x, table, start):
    return x + table[start : x.shape[1]]


@wrong("learned_positions", "in place")
def _(x, table, start):
    if start + x.shape[1] > len(table):
        raise ValueError
    x.data.add_(table.data[start : start + x.shape[1]])
    return x


@wrong("learned_positions", "zeros beyond the end")
def _(x, table, start):
    padded = F.pad(table, (0, 0, 0, x.shape[1] + start))
    return x + padded[start : start + x.shape[1]]


@wrong("learned_positions", "start is the number of the row for all")
def _(x, table, start):
    if start >= len(table):
        raise ValueError
    return x + table[start]


@wrong("learned_positions", "an error is returned, not raised")
def _(x, table, start):
    if start + x.shape[1] > len(table):
        return ValueError("too long")
    return x + table[start : start + x.shape[1]]


# ------------------------------------------------------------------------------------------------- alibi bias


@right("alibi_bias", "three loops")
def _(n_heads, n_queries, n_keys):
    out = torch.zeros(n_heads, n_queries, n_keys)
    for h in range(1, n_heads + 1):
        for i in range(n_queries):
            for s in range(n_keys):
                t = n_keys - n_queries + i
                out[h - 1, i, s] = -(2 ** (-8 * h / n_heads)) * abs(t - s)
    return out


@right("alibi_bias", "broadcasting")
def _(n_heads, n_queries, n_keys):
    h = torch.arange(1, n_heads + 1).float()
    t = torch.arange(n_keys - n_queries, n_keys)[None, :, None]
    s = torch.arange(n_keys)[None, None, :]
    return -torch.pow(2, -8 * h / n_heads)[:, None, None] * torch.abs(t - s)


@right("alibi_bias", "a square table, the last rows of it")
def _(n_heads, n_queries, n_keys):
    square = torch.arange(n_keys)[None] - torch.arange(n_keys)[:, None]
    slopes = torch.logspace(-8 / n_heads, -8, n_heads, base=2)
    return torch.stack([-slope * square.abs() for slope in slopes])[:, -n_queries:]


@right("alibi_bias", "tril and triu")
def _(n_heads, n_queries, n_keys):
    d = torch.arange(n_keys) - torch.arange(n_keys)[:, None]
    d = (d.triu() - d.tril())[n_keys - n_queries :]
    return torch.einsum("h,ij->hij", -torch.exp2(-8 * torch.arange(1, n_heads + 1) / n_heads), d.float())


@right("alibi_bias", "NumPy, float64")
def _(n_heads, n_queries, n_keys):
    dist = np.abs(np.arange(n_keys)[None] - (np.arange(n_queries) + n_keys - n_queries)[:, None])
    return np.multiply.outer(-((2.0 ** (-8 / n_heads)) ** np.arange(1, n_heads + 1)), dist)


@wrong("alibi_bias", "integer powers")
def _(n_heads, n_queries, n_keys):
    t = torch.arange(n_keys - n_queries, n_keys)[:, None]
    dist = (t - torch.arange(n_keys)).abs()
    return torch.stack([-(2.0 ** (-8 * h // n_heads + 1)) * dist for h in range(1, n_heads + 1)])


@wrong("alibi_bias", "queries from 0")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_queries)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    return -slopes[:, None, None] * dist


@wrong("alibi_bias", "h from 0")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(n_heads) / n_heads)
    return -slopes[:, None, None] * dist


@wrong("alibi_bias", "plus")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    return slopes[:, None, None] * dist


@wrong("alibi_bias", "s - t without its size")
def _(n_heads, n_queries, n_keys):
    dist = torch.arange(n_keys) - torch.arange(n_keys - n_queries, n_keys)[:, None]
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    return slopes[:, None, None] * dist


@wrong("alibi_bias", "a linear slope")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    return -torch.linspace(0, 1, n_heads)[:, None, None] * dist


@wrong("alibi_bias", "no axis for the heads")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    return -dist * 2.0 ** (-8 / n_heads)


@wrong("alibi_bias", "a batch in front")
def _(n_heads, n_queries, n_keys):
    dist = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).abs()
    return (-(2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads))[:, None, None] * dist)[None]


# --------------------------------------------------------------------------------------------- relative index


@right("relative_index", "clamp")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    s = torch.arange(n_keys)
    return torch.clamp(s[None] - t[:, None], -max_distance, max_distance) + max_distance


@right("relative_index", "shifted, then cut at 0 and 2m")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_queries).reshape(-1, 1) + (n_keys - n_queries)
    return (torch.arange(n_keys).reshape(1, -1) - t + max_distance).clamp(0, 2 * max_distance)


@right("relative_index", "if and else")
def _(n_queries, n_keys, max_distance):
    table = []
    for t in range(n_keys - n_queries, n_keys):
        line = []
        for s in range(n_keys):
            if s - t > max_distance:
                line.append(2 * max_distance)
            elif s - t < -max_distance:
                line.append(0)
            else:
                line.append(s - t + max_distance)
        table.append(line)
    return torch.LongTensor(table)


@right("relative_index", "NumPy's clip, int32")
def _(n_queries, n_keys, max_distance):
    grid = np.arange(n_keys, dtype=np.int32) - np.arange(n_keys, dtype=np.int32)[:, None]
    return np.clip(grid, -max_distance, max_distance)[n_keys - n_queries :] + max_distance


@right("relative_index", "searchsorted among the limits")
def _(n_queries, n_keys, max_distance):
    away = torch.arange(n_keys) - torch.arange(n_keys - n_queries, n_keys)[:, None]
    return torch.searchsorted(torch.arange(-max_distance, max_distance), away)


@wrong("relative_index", "t - s")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (t[:, None] - torch.arange(n_keys)).clamp(-max_distance, max_distance) + max_distance


@wrong("relative_index", "queries from 0")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_queries)
    return (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance) + max_distance


@wrong("relative_index", "no m")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance)


@wrong("relative_index", "cut at m on one side")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) - t[:, None]).clamp(max=max_distance) + max_distance


@wrong("relative_index", "cut at 2m after the shift, negative rows left")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) - t[:, None] + max_distance).clamp(max=2 * max_distance)


@wrong("relative_index", "floats")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys).float()
    return (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance) + max_distance


@wrong("relative_index", "one-hot rows")
def _(n_queries, n_keys, max_distance):
    t = torch.arange(n_keys - n_queries, n_keys)
    rows = (torch.arange(n_keys) - t[:, None]).clamp(-max_distance, max_distance) + max_distance
    return F.one_hot(rows, 2 * max_distance + 1)


@wrong("relative_index", "the first rows of the square table")
def _(n_queries, n_keys, max_distance):
    s = torch.arange(n_keys)
    return ((s - s[:, None]).clamp(-max_distance, max_distance) + max_distance)[:n_queries]
