"""Wrong and correct answers to the tasks of 05_positions on places, written as learners write them."""

import itertools
import math

import numpy as np
import torch

from course_lib.positions import ALiBi, PositionEmbedding, sinusoidal

RIGHT, WRONG = {}, {}

# --------------------------------------------------------------------------------------- which is equivariant


def alike(a, b):
    return torch.allclose(a, b, atol=1e-4)


def shuffles(n):
    return [torch.randperm(n) for _ in range(20)]


def tried(layers, x, orders=shuffles, equal=alike, of_result=lambda y, order: y[:, order]):
    return [
        all(equal(f(x[:, order]), of_result(f(x), order)) for order in orders(x.shape[1])) for f in layers
    ]


def every_order(layers, x):
    found = []
    for f in layers:
        right = True
        for order in itertools.permutations(range(x.shape[1])):
            if (f(x[:, list(order)]) - f(x)[:, list(order)]).abs().max() > 1e-4:
                right = False
        found.append(right)
    return found


def two_exchanged(n):
    """Any two tokens: all other orders are made of these."""
    for i, j in itertools.combinations(range(n), 2):
        order = torch.arange(n)
        order[i], order[j] = j, i
        yield order


def put_back(layers, x):
    """Exchange, apply, exchange back."""
    found = []
    for f in layers:
        orders = shuffles(x.shape[1])
        found.append(all(alike(f(x[:, order])[:, order.argsort()], f(x)) for order in orders))
    return found


def by_matrices(layers, x):
    """Each order as a matrix."""
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    swaps = [eye[order] for order in shuffles(x.shape[1])]
    return [bool(max((f(p @ x) - p @ f(x)).abs().amax() for p in swaps) < 1e-4) for f in layers]


def on_other_numbers(layers, x):
    """Not on x itself, but on random numbers of its shape."""
    return tried(layers, torch.randn_like(x))


def in_numpy(layers, x):
    rng = np.random.default_rng(0)
    answer = np.ones(len(layers), dtype=bool)
    for i, f in enumerate(layers):
        for _ in range(20):
            order = rng.permutation(x.shape[1])
            left, right = f(x[:, order]).numpy(), f(x).numpy()[:, order]
            answer[i] &= np.allclose(left, right, atol=1e-4)
    return answer


def all_sequences(layers, x):
    return tried(layers, x, equal=lambda a, b: a.shape == b.shape)


def batch_exchanged(layers, x):
    orders = shuffles(x.shape[0])
    return [all(alike(f(x[order]), f(x)[order]) for order in orders) for f in layers]


def numbers_exchanged(layers, x):
    orders = shuffles(x.shape[2])
    return [all(alike(f(x[..., order]), f(x)[..., order]) for order in orders) for f in layers]


def any_order(layers, x):
    orders = itertools.permutations(range(x.shape[1]))
    orders = [list(order) for order in orders]
    return [any(alike(f(x[:, order]), f(x)[:, order]) for order in orders) for f in layers]


def exchanged_in_place(layers, x):
    found = tried(layers, x)
    x[:, :2] = x[:, :2].flip(1)
    return found


RIGHT["05_positions/which_is_equivariant"] = [
    tried,
    put_back,
    by_matrices,
    lambda layers, x: tried(layers, x, two_exchanged),
    every_order,
    on_other_numbers,
    in_numpy,
    lambda layers, x: tuple(tried(layers, x, equal=torch.allclose)),
    lambda layers, x: [torch.tensor(int(right)) for right in tried(layers, x)],
]
WRONG["05_positions/which_is_equivariant"] = [
    ("the result is not exchanged", lambda layers, x: tried(layers, x, of_result=lambda y, order: y)),
    ("sequences exchanged", batch_exchanged),
    ("numbers of each token exchanged", numbers_exchanged),
    ("only the reversed order", lambda layers, x: [alike(f(x.flip(1)), f(x).flip(1)) for f in layers]),
    (
        "only rolling",
        lambda layers, x: tried(layers, x, lambda n: [torch.arange(n).roll(i) for i in range(n)]),
    ),
    (
        "only the first two exchanged",
        lambda layers, x: tried(layers, x, lambda n: [[1, 0, *range(2, n)]]),
    ),
    (
        "only the last two exchanged",
        lambda layers, x: tried(layers, x, lambda n: [[*range(n - 2), n - 1, n - 2]]),
    ),
    ("equal to the last digit", lambda layers, x: tried(layers, x, equal=torch.equal)),
    (
        "orders that do not fit",
        lambda layers, x: [
            all(alike(f(x[:, order])[:, order], f(x)) for order in shuffles(x.shape[1])) for f in layers
        ],
    ),
    (
        "only larger numbers count",
        lambda layers, x: tried(layers, x, equal=lambda a, b: (a - b).max() < 1e-4),
    ),
    (
        "only larger numbers count",
        lambda layers, x: tried(layers, x, two_exchanged, equal=lambda a, b: bool(torch.all(a - b < 1e-4))),
    ),
    (
        "only smaller numbers count",
        lambda layers, x: tried(layers, x, equal=lambda a, b: (b - a).max() < 1e-4),
    ),
    ("yes to all", all_sequences),
    ("yes to all", any_order),
    ("no to all", lambda layers, x: tried(layers, x, equal=lambda a, b: a is b)),
    ("the other way round", lambda layers, x: [not right for right in tried(layers, x)]),
    (
        "only sums compared",
        lambda layers, x: tried(layers, x, equal=lambda a, b: alike(a.sum(1) / 10, b.sum(1) / 10)),
    ),
    ("only the first sequence", lambda layers, x: tried(layers, x[:1])),
    ("one answer for all", lambda layers, x: sum(tried(layers, x)) == len(layers)),
    (
        "places instead of truth values",
        lambda layers, x: [i for i in range(len(layers)) if tried(layers, x)[i]],
    ),
    (None, exchanged_in_place),
    (None, lambda layers, x: tried(layers, x)[:-1]),
    (None, lambda layers, x: {str(f): right for f, right in zip(layers, tried(layers, x), strict=True)}),
    (None, lambda layers, x: tried(layers, x)[::-1]),
    (None, lambda layers, x: tried(layers, torch.ones_like(x))),
    (None, lambda layers, x: [tried(layers, x)[0]] * len(layers)),
]

# -------------------------------------------------------------------------------------------------- sinusoids


def waves(n, d, base=10000.0, first=0, exponent=lambda i, d: 2 * i / d, factor=1.0):
    """Number by number."""
    rows = []
    for t in range(first, first + n):
        row = []
        for i in range(d // 2):
            angle = factor * t / base ** exponent(i, d)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)


def waves_by_exp(n, d):
    t = torch.arange(0, n, dtype=torch.float32).unsqueeze(1)
    speed = torch.exp(torch.arange(0, d, 2).float() * (-math.log(10000.0) / d))
    table = torch.zeros(n, d)
    table[:, 0::2] = torch.sin(t * speed)
    table[:, 1::2] = torch.cos(t * speed)
    return table


def waves_in_numpy(n, d, axis=-1, swap=False):
    i = np.arange(d // 2)
    angles = np.arange(n)[:, None] / np.power(10000, 2 * i / d)
    parts = [np.cos(angles), np.sin(angles)] if swap else [np.sin(angles), np.cos(angles)]
    return np.stack(parts, axis).reshape(n, d)


def waves_shifted(n, d):
    """A cosine is a sine that is a quarter ahead."""
    columns = torch.arange(d)
    angles = torch.arange(n)[:, None] / 10000 ** (columns // 2 * 2 / d)
    return torch.sin(angles.double() + columns % 2 * math.pi / 2)


def waves_turned(n, d):
    """The next place turns each pair by a fixed angle."""
    step = torch.polar(
        torch.ones(d // 2, dtype=torch.float64), 10000.0 ** (-torch.arange(0, d, 2).double() / d)
    )
    places = torch.cumprod(torch.stack([torch.ones_like(step), *[step] * (n - 1)]), 0)
    return torch.stack([places.imag, places.real], -1).flatten(1)


def waves_one_by_one(n, d):
    """Each pair is slower than the one before by the same factor."""
    table = torch.zeros(n, d)
    angles, factor = torch.arange(n).float(), 10000 ** (2 / d)
    for column in range(0, d, 2):
        table[:, column], table[:, column + 1] = angles.sin(), angles.cos()
        angles = angles / factor
    return table


def of_columns(n, d, exponent):
    columns = torch.arange(d).float()
    table = torch.arange(n)[:, None] / 10000 ** exponent(columns)
    table[:, 0::2], table[:, 1::2] = table[:, 0::2].sin(), table[:, 1::2].cos()
    return table


def halves(n, d):
    angles = torch.outer(torch.arange(n).float(), 10000.0 ** (-torch.arange(0, d, 2) / d))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def faster(n, d):
    angles = torch.arange(n)[:, None].double() * 10000 ** (torch.arange(0, d, 2).double() / d)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


RIGHT["05_positions/sinusoids"] = [
    waves_by_exp,
    waves_in_numpy,
    waves_one_by_one,
    waves_shifted,
    waves,
    waves_turned,
    lambda n, d: of_columns(n, d, lambda columns: (columns - columns % 2) / d),
    lambda n, d: waves(n, d).tolist(),
]
WRONG["05_positions/sinusoids"] = [
    ("all sines, then all cosines", halves),
    ("i / d as exponent", lambda n, d: waves(n, d, exponent=lambda i, d: i / d)),
    ("a wave of its own for each number", lambda n, d: of_columns(n, d, lambda columns: columns / d)),
    ("4i / d as exponent", lambda n, d: waves(n, d, exponent=lambda i, d: 4 * i / d)),
    (
        "the last pair as slow as it can be",
        lambda n, d: waves(n, d, exponent=lambda i, d: i / (d / 2 - 1) if d > 2 else 0),
    ),
    ("pairs counted from 1", lambda n, d: waves(n, d, exponent=lambda i, d: 2 * (i + 1) / d)),
    ("slow waves first", lambda n, d: waves(n, d).reshape(n, -1, 2).flip(1).reshape(n, d)),
    ("cosine before sine", lambda n, d: waves_in_numpy(n, d, swap=True)),
    ("1000 instead of 10000", lambda n, d: waves(n, d, 1000)),
    ("counted from 1", lambda n, d: waves_by_exp(n + 1, d)[1:]),
    ("multiplied instead of divided", faster),
    ("divided by the number of places", lambda n, d: waves(n, d, factor=1 / n)),
    ("degrees", lambda n, d: waves(n, d, factor=1 / 57.29577951308232)),
    ("whole turns", lambda n, d: waves(n, d, factor=2 * math.pi)),
    ("sines only", lambda n, d: waves(n, d)[:, 0::2].repeat_interleave(2, 1)),
    ("places in columns", lambda n, d: waves_by_exp(n, d).T),
    (None, sinusoidal),
    (None, lambda n, d: of_columns(n, d, lambda columns: 2 * columns / d)),
    (None, lambda n, d: waves_in_numpy(n, d, axis=0)),
    (None, lambda n, d: waves_by_exp(n, d).half()),
    (None, lambda n, d: waves(n, d)[:, 0::2]),
    (None, lambda n, d: waves(n, d) * 0.1),
    (None, lambda n, d: torch.randn(n, d)),
    (None, lambda n, d: None),
]

# ------------------------------------------------------------------------------------------ learned positions


def added(x, table, start, rows=None, check=True, combine=lambda token, row: token + row):
    """Token by token."""
    b, t, d = x.shape
    if check and start + t > table.shape[0]:
        raise ValueError("no such place")
    places = range(start, start + t) if rows is None else rows(start, t)
    tokens = [combine(x[:, i], table[place].expand(b, d)) for i, place in enumerate(places)]
    return torch.stack(tokens, dim=1)


def looked_up(x, table, start):
    places = torch.arange(start, start + x.size(1))
    if places.max() >= table.size(0):
        raise ValueError(f"place {int(places.max())} of {table.size(0)}")
    return x + torch.nn.functional.embedding(places, table)


def by_one_hot(x, table, start):
    if len(table) - start < x.shape[1]:
        raise ValueError
    places = torch.arange(x.shape[1])[:, None] + start == torch.arange(len(table))
    return x + places.to(table.dtype) @ table


def in_sequences(x, table, start):
    rows = table[start:][: x.shape[1]]
    if len(rows) != x.shape[1]:
        raise ValueError("beyond the table")
    return torch.stack([sequence + rows for sequence in x])


def from_an_index_error(x, table, start):
    try:
        return x + table[torch.arange(start, start + x.shape[1])]
    except IndexError as error:
        raise ValueError("beyond the table") from error


def unchecked(x, table, start):
    return x + table[start : start + x.shape[1]]


def shared_out(x, table, start):
    if start + x.shape[1] > len(table):
        raise ValueError
    return torch.stack([sequence + table[start + i] for i, sequence in enumerate(x)])


def run_on(x, table, start):
    b, t, d = x.shape
    if start + t > len(table):
        raise ValueError
    return (x.reshape(b * t, d) + table[start : start + b * t]).view(b, t, d)


def appended(x, table, start):
    rows = in_sequences(torch.zeros_like(x), table, start)
    return torch.cat((x, rows), dim=2)


def in_place(x, table, start):
    if start + x.shape[1] > len(table):
        raise ValueError
    with torch.no_grad():
        x += table[start : start + x.shape[1]]
    return x


def last_refused(x, table, start):
    if start + x.shape[1] >= len(table):
        raise ValueError
    return unchecked(x, table, start)


def library(x, table, start):
    layer = PositionEmbedding(*table.shape)
    return torch.func.functional_call(layer, {"weight": table}, (x, start))


RIGHT["05_positions/learned_positions"] = [
    added,
    looked_up,
    by_one_hot,
    in_sequences,
    from_an_index_error,
    lambda x, table, start: in_sequences(x.mT.contiguous().mT, table.clone(), start),
]
WRONG["05_positions/learned_positions"] = [
    ("start ignored", lambda x, table, start: x + table[: x.shape[1]]),
    ("the last rows of the table", lambda x, table, start: x + table[-x.shape[1] :]),
    ("one row for all", lambda x, table, start: added(x, table, start, lambda start, n: [start] * n)),
    (
        "one place too far",
        lambda x, table, start: added(x, table, start, lambda start, n: range(start + 1, start + 1 + n)),
    ),
    (
        "one place too early",
        lambda x, table, start: added(x, table, start, lambda start, n: range(start - 1, start - 1 + n)),
    ),
    ("the rows before start", lambda x, table, start: x + table[start - x.shape[1] : start]),
    (
        "the rows in reverse",
        lambda x, table, start: added(x, table, start, lambda start, n: range(start + n - 1, start - 1, -1)),
    ),
    ("a row for each sequence", shared_out),
    ("places run on in the next sequence", run_on),
    ("multiplied", lambda x, table, start: added(x, table, start, combine=lambda token, row: token * row)),
    ("subtracted", lambda x, table, start: added(x, table, start, combine=lambda token, row: token - row)),
    ("without the tokens", lambda x, table, start: added(x, table, start, combine=lambda token, row: row)),
    ("side by side", appended),
    ("no look at the end of the table", unchecked),
    (
        "no look at the end of the table",
        lambda x, table, start: added(
            x, table, start, lambda start, n: [(start + i) % len(table) for i in range(n)], check=False
        ),
    ),
    (
        "no look at the end of the table",
        lambda x, table, start: x + table[(torch.arange(x.shape[1]) + start).clamp(max=len(table) - 1)],
    ),
    ("the last row refused", last_refused),
    (None, in_place),
    (None, library),
    (None, lambda x, table, start: added(x, table, start).detach()),
    (None, lambda x, table, start: added(x, table.detach(), start)),
    (None, lambda x, table, start: added(x, table, start) * math.sqrt(x.shape[-1])),
    (None, lambda x, table, start: added(x, table, start).numpy() if not x.requires_grad else None),
    (None, lambda x, table, start: added(x, table, start, lambda start, n: range(0, 2 * n, 2))),
    (None, lambda x, table, start: x),
]

# ------------------------------------------------------------------------------------------------- alibi bias


def penalties(
    n_heads, n_queries, n_keys, slope=lambda h, n: 2 ** (-8 * h / n), size=abs, start=None, first=1
):
    """Number by number."""
    start = n_keys - n_queries if start is None else start
    sizes = [[size(start + t - s) for s in range(n_keys)] for t in range(n_queries)]
    slopes = [slope(h, n_heads) for h in range(first, first + n_heads)]
    return torch.tensor([[[-m * d for d in row] for row in sizes] for m in slopes])


def penalties_of_grid(n_heads, n_queries, n_keys):
    slopes = torch.tensor([0.5 ** (8 / n_heads * (h + 1)) for h in range(n_heads)])
    queries, keys = torch.meshgrid(torch.arange(n_keys)[-n_queries:], torch.arange(n_keys), indexing="ij")
    return torch.einsum("h,ts->hts", slopes, -(queries - keys).abs().float())


def penalties_cut_out(n_heads, n_queries, n_keys):
    """The table of all queries, then its last rows."""
    places = np.arange(n_keys)
    distances = np.abs(np.subtract.outer(places, places))[n_keys - n_queries :]
    return -np.exp2(-8 * np.arange(1, n_heads + 1) / n_heads).reshape(-1, 1, 1) * distances


def penalties_as_in_the_papers_code(n_heads, n_queries, n_keys):
    """The first slope, and its powers."""
    start = 2 ** (-(2 ** -(math.log2(n_heads) - 3)))
    slopes = torch.tensor([start * start**i for i in range(n_heads)])
    places = torch.arange(n_keys)
    distances = torch.maximum(places, places[:, None]) - torch.minimum(places, places[:, None])
    return (slopes.view(-1, 1, 1) * -distances)[:, -n_queries:]


def penalties_by_halving(n_heads, n_queries, n_keys):
    table, slope = [], 1.0
    for _ in range(n_heads):
        slope = slope / 2 ** (8 / n_heads)
        query = torch.arange(n_queries).float() - n_queries + n_keys
        table.append(torch.cdist(query[:, None], torch.arange(n_keys).float()[:, None], p=1) * -slope)
    return torch.stack(table)


def penalties_masked(n_heads, n_queries, n_keys):
    bias = penalties(n_heads, n_queries, n_keys)
    later = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries + 1)
    return bias.masked_fill(later, float("-inf"))


RIGHT["05_positions/alibi_bias"] = [
    penalties_of_grid,
    penalties_cut_out,
    penalties_as_in_the_papers_code,
    penalties_by_halving,
    penalties,
    lambda h, t, s: penalties(h, t, s).double(),
    lambda h, t, s: penalties_of_grid(h, s, s)[:, s - t :],
]
WRONG["05_positions/alibi_bias"] = [
    ("the first query at the first key", lambda h, t, s: penalties(h, t, s, start=0)),
    ("slopes from 1 on", lambda h, t, s: penalties(h, t, s, first=0)),
    ("distance rewarded", lambda h, t, s: penalties(h, t, s).abs()),
    ("squared distance", lambda h, t, s: penalties(h, t, s, size=lambda d: d**2)),
    ("the same slope for all heads", lambda h, t, s: penalties(h, t, s, lambda _, n: 2 ** (-8 / n))),
    ("slopes in reverse", lambda h, t, s: penalties(h, t, s, lambda i, n: 2 ** (-8 * (n + 1 - i) / n))),
    ("2^-h for any number of heads", lambda h, t, s: penalties(h, t, s, lambda i, n: 0.5**i)),
    ("the 8 forgotten", lambda h, t, s: penalties(h, t, s, lambda i, n: 2 ** (-i / n))),
    ("not divided by the number of heads", lambda h, t, s: penalties(h, t, s, lambda i, n: 2.0 ** (-8 * i))),
    ("no slopes", lambda h, t, s: penalties(h, t, s, lambda i, n: 1)),
    ("later keys left alone", lambda h, t, s: penalties(h, t, s).tril(s - t)),
    ("later keys masked", penalties_masked),
    ("later keys raised", lambda h, t, s: penalties(h, t, s, size=lambda d: d)),
    ("earlier keys raised", lambda h, t, s: penalties(h, t, s, size=lambda d: -d)),
    ("one step too many", lambda h, t, s: penalties(h, t, s, size=lambda d: abs(d) + 1)),
    ("divided by the number of keys", lambda h, t, s: penalties(h, t, s, size=lambda d: abs(d) / s)),
    ("queries and keys exchanged", lambda h, t, s: penalties_of_grid(h, t, s).transpose(1, 2)),
    ("heads last", lambda h, t, s: penalties_of_grid(h, t, s).permute(1, 2, 0)),
    (None, lambda h, t, s: ALiBi(h)(torch.zeros(1, h, t, 1), s)),
    (None, lambda h, t, s: penalties(h, t, s)[0]),
    (None, lambda h, t, s: penalties(h, t, s).half()),
    (None, lambda h, t, s: penalties(h, t, s, size=lambda d: math.log1p(abs(d)))),
    (None, lambda h, t, s: penalties(h, s, s)),
    (None, lambda h, t, s: penalties(h, t, s, size=lambda d: min(abs(d), 2))),
    (None, lambda h, t, s: penalties(h, t, s, lambda i, n: i / n)),
]

# --------------------------------------------------------------------------------------------- relative index


def rows(n_queries, n_keys, m, start=None, row=lambda d, m: max(-m, min(m, d)) + m):
    """Pair by pair."""
    start = n_keys - n_queries if start is None else start
    return torch.tensor([[row(s - (start + t), m) for s in range(n_keys)] for t in range(n_queries)])


def rows_in_numpy(n_queries, n_keys, m):
    places = np.arange(n_keys)
    return np.clip(places - places[n_keys - n_queries :, None] + m, 0, 2 * m)


def rows_by_where(n_queries, n_keys, m):
    away = torch.arange(n_keys).expand(n_queries, n_keys) - torch.arange(
        n_keys - n_queries, n_keys
    ).unsqueeze(1)
    away = torch.where(away > m, m, away)
    return torch.where(away < -m, 0, away + m)


def rows_cut_from_a_band(n_queries, n_keys, m):
    """Each row is the one above, moved on by one."""
    band = torch.cat([torch.zeros(n_keys), torch.arange(2 * m + 1), torch.full((n_keys,), 2 * m)]).int()
    middle = n_keys + m
    return torch.stack([band[middle - t : middle - t + n_keys] for t in range(n_keys - n_queries, n_keys)])


def rows_counted(n_queries, n_keys, m):
    """How many of the limits lie before a distance."""
    away = torch.arange(n_keys) - torch.arange(n_queries)[:, None] - (n_keys - n_queries)
    return sum((away > limit).long() for limit in range(-m, m))


RIGHT["05_positions/relative_index"] = [
    rows_in_numpy,
    rows_by_where,
    rows_cut_from_a_band,
    rows_counted,
    rows,
    lambda t, s, m: rows(t, s, m).tolist(),
    lambda t, s, m: rows(s, s, m)[s - t :].to(torch.int16),
]
WRONG["05_positions/relative_index"] = [
    ("the first query at the first key", lambda t, s, m: rows(t, s, m, start=0)),
    ("query minus key", lambda t, s, m: 2 * m - rows(t, s, m)),
    ("before and after alike", lambda t, s, m: (rows(t, s, m) - m).abs() + m),
    ("not cut off", lambda t, s, m: rows(t, s, m, row=lambda d, m: d + m)),
    ("no shift", lambda t, s, m: rows(t, s, m) - m),
    ("rows counted from 1", lambda t, s, m: rows(t, s, m) + 1),
    ("cut off after the shift", lambda t, s, m: rows(t, s, m, row=lambda d, m: max(-m, min(m, d + m)))),
    ("far keys begin anew", lambda t, s, m: rows(t, s, m, row=lambda d, m: (d + m) % (2 * m + 1))),
    ("cut off above only", lambda t, s, m: rows(t, s, m, row=lambda d, m: min(d, m) + m)),
    ("cut off below only", lambda t, s, m: rows(t, s, m, row=lambda d, m: max(d, -m) + m)),
    ("keys before the query have no rows", lambda t, s, m: rows(t, s, m).clamp(min=m)),
    ("keys after the query have no rows", lambda t, s, m: rows(t, s, m).clamp(max=m)),
    ("one row too few", lambda t, s, m: rows(t, s, m - 1) + 1),
    ("the place of the key", lambda t, s, m: (torch.arange(s).clamp(max=m) + m).repeat(t, 1)),
    ("queries and keys exchanged", lambda t, s, m: rows(t, s, m).T),
    (None, lambda t, s, m: rows(t, s, m).float()),
    (None, lambda t, s, m: rows(t, s, m).flatten()),
    (None, lambda t, s, m: rows(t, s, m, row=lambda d, m: d + m if abs(d) <= m else -1)),
    (None, lambda t, s, m: rows(s, s, m)),
    (None, lambda t, s, m: rows(t, s, m).clamp(max=2 * m - 1)),
    (None, lambda t, s, m: rows(t, s, m) >= m),
    (None, lambda t, s, m: rows(t, s, m, row=lambda d, m: int(math.copysign(math.log2(1 + abs(d)), d)) + m)),
]
