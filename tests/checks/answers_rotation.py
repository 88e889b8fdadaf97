"""Wrong and correct answers to the tasks of 05_positions on rotation, written as learners write them."""

import math

import numpy as np
import torch
from torch import nn

from course_lib import positions as library

RIGHT, WRONG = {}, {}

# ----------------------------------------------------------------------------------------------- rotate pairs


def table(x, start, base, steps=None):
    """Angles (T, K/2), as a matrix product of places and frequencies."""
    n_tokens, width = x.shape[-2:]
    steps = torch.arange(0, width, 2, dtype=x.dtype) / width if steps is None else steps
    places = torch.arange(start, start + n_tokens).to(x.dtype)
    return torch.outer(places, base**-steps)


def by_slices(x, start, base, angle=table):
    angles = angle(x, start, base)
    a, b = x[..., ::2], x[..., 1::2]
    out = torch.empty_like(x)
    out[..., ::2] = a * angles.cos() - b * angles.sin()
    out[..., 1::2] = a * angles.sin() + b * angles.cos()
    return out


def by_complex(x, start, base):
    numbers = torch.complex(x[..., 0::2], x[..., 1::2])
    angles = table(x, start, base)
    return torch.view_as_real(numbers * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def by_viewing(x, start, base):
    numbers = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2)))
    return torch.view_as_real(numbers * torch.exp(1j * table(x, start, base))).reshape(x.shape)


def by_small_matrices(x, start, base):
    angles = table(x, start, base)
    cos, sin = angles.cos(), angles.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (T, K/2, 2, 2)
    return torch.einsum("tpij,bhtpj->bhtpi", turn, x.unflatten(-1, (-1, 2))).flatten(-2)


def by_large_matrices(x, start, base):
    angles = table(x, start, base)
    rows = []
    for t, row in enumerate(angles):
        pairs = [[[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]] for angle in row]
        matrix = torch.block_diag(*(torch.tensor(pair, dtype=x.dtype) for pair in pairs))
        rows.append(x[:, :, t] @ matrix.T)
    return torch.stack(rows, 2)


def by_loops(x, start, base):
    tokens = []
    for t in range(x.shape[2]):
        numbers = []
        for i in range(x.shape[3] // 2):
            angle = (start + t) / base ** (2 * i / x.shape[3])
            a, b = x[:, :, t, 2 * i], x[:, :, t, 2 * i + 1]
            numbers += [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
        tokens.append(torch.stack(numbers, -1))
    return torch.stack(tokens, 2)


def by_quarter_turn(x, start, base):
    """x cos + (x turned by 90 degrees) sin, with every cosine written twice."""
    angles = table(x, start, base).repeat_interleave(2, dim=-1)
    quarter = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    return x * angles.cos() + quarter * angles.sin()


def by_logarithm(x, start, base):
    steps = torch.arange(0, x.shape[-1], 2, dtype=x.dtype)
    slow = torch.exp(-math.log(base) * steps / x.shape[-1])
    places = torch.arange(x.shape[-2], dtype=x.dtype) + start
    return by_slices(x, start, base, angle=lambda *given: places[:, None] * slow)


def by_halves(x, start, base):
    left, right = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    angles = table(x, start, base)
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def with_wide_angles(doubled, partner):
    def answer(x, start, base):
        angles = doubled(table(x, start, base))
        return x * angles.cos() + partner(x) * angles.sin()

    return answer


def quarter_of_halves(x):
    left, right = x.chunk(2, dim=-1)
    return torch.cat([-right, left], -1)


def pair_by_pair(formula, written=lambda a, b: torch.stack([a, b], -1).flatten(-2)):
    """Formula: from a, b, cos, sin to the turned pair."""

    def answer(x, start, base):
        angles = table(x, start, base)
        return written(*formula(x[..., ::2], x[..., 1::2], angles.cos(), angles.sin()))

    return answer


def overwriting(x, start, base):
    out = x.clone()
    angles = table(x, start, base)
    out[..., ::2] = x[..., ::2] * angles.cos() - x[..., 1::2] * angles.sin()
    out[..., 1::2] = out[..., ::2].clone() * angles.sin() + x[..., 1::2] * angles.cos()
    return out


def with_steps(steps):
    """Other exponents: from pair numbers and K."""

    def answer(x, start, base):
        numbers = torch.arange(x.shape[-1] // 2, dtype=x.dtype)
        return by_slices(x, start, base, lambda *given: table(*given, steps=steps(numbers, x.shape[-1])))

    return answer


def number_by_number(x, start, base):
    steps = torch.arange(x.shape[-1], dtype=x.dtype) / x.shape[-1]
    angles = (start + torch.arange(x.shape[-2], dtype=x.dtype))[:, None] / base**steps
    quarter = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * angles.cos() + quarter * angles.sin()


def with_angles(change):
    return lambda x, start, base: by_slices(x, start, base, lambda *given: change(table(*given), *given))


def along_heads(x, start, base):
    places = torch.arange(start, start + x.shape[1], dtype=x.dtype)
    angles = places[:, None, None] / base ** (torch.arange(0, x.shape[-1], 2, dtype=x.dtype) / x.shape[-1])
    return by_slices(x, start, base, lambda *given: angles)


def in_place(x, start, base):
    x[..., ::2], x[..., 1::2] = by_slices(x, start, base)[..., ::2], by_slices(x, start, base)[..., 1::2]
    return x


def in_numpy(x, start, base):
    return torch.from_numpy(by_slices(x.detach(), start, base).numpy())


def in_single(x, start, base):
    return by_slices(x, start, base, lambda x, *given: table(x.float(), *given))


# How each of a list of known mistakes is written; those of the layer are the same ones.
MISTAKES = {
    "pairs of halves": by_halves,
    "turned pairs written as halves": pair_by_pair(
        lambda a, b, cos, sin: (a * cos - b * sin, a * sin + b * cos), lambda a, b: torch.cat([a, b], -1)
    ),
    "neighbours with the angles of halves": with_wide_angles(
        lambda angles: angles.repeat(1, 2),
        lambda x: torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2),
    ),
    "halves with the angles of neighbours": with_wide_angles(
        lambda angles: angles.repeat_interleave(2, -1), quarter_of_halves
    ),
    "turned the other way": pair_by_pair(lambda a, b, cos, sin: (a * cos + b * sin, b * cos - a * sin)),
    "both sines with a plus": pair_by_pair(lambda a, b, cos, sin: (a * cos + b * sin, a * sin + b * cos)),
    "mirrored": pair_by_pair(lambda a, b, cos, sin: (a * cos + b * sin, a * sin - b * cos)),
    "the first number overwritten": overwriting,
    "the cosine alone": pair_by_pair(lambda a, b, cos, sin: (a * cos, b * cos)),
    "half the exponent": with_steps(lambda i, width: i / width),
    "twice the exponent": with_steps(lambda i, width: 2 * i / (width // 2)),
    "an angle for each number": number_by_number,
    "one angle for all pairs": with_steps(lambda i, width: 0 * i),
    "the slow pairs first": with_steps(lambda i, width: i.flip(0) * 2 / width),
    "start ignored": lambda x, start, base: by_slices(x, 0, base),
    "counted from 1": lambda x, start, base: by_slices(x, 1 + start, base),
    "all tokens in one place": with_angles(lambda angles, *given: angles[:1]),
    "places along the heads": along_heads,
    "always 10,000": lambda x, start, base: by_slices(x, start, 1e4),
}
RIGHT["05_positions/rotate_pairs"] = [
    by_slices,
    by_complex,
    by_small_matrices,
    by_quarter_turn,
    by_logarithm,
    by_viewing,
    by_loops,
    by_large_matrices,
    pair_by_pair(lambda a, b, cos, sin: (a * cos - b * sin, a * sin + b * cos)),
    lambda x, start, base: by_slices(x.double(), start, base).to(x.dtype),
]
WRONG["05_positions/rotate_pairs"] = [
    *MISTAKES.items(),
    ("faster instead of slower", with_steps(lambda i, width: -2 * i / width)),
    ("turned twice", lambda x, start, base: by_slices(by_slices(x, start, base), start, base)),
    ("start added to the angle", lambda x, start, base: by_slices(x, 0, base, lambda *g: table(*g) + start)),
    ("cosine and sine added", pair_by_pair(lambda a, b, cos, sin: (a + cos, b + sin))),
    ("a sinusoid added", pair_by_pair(lambda a, b, cos, sin: (a + sin, b + cos))),
    (None, in_place),
    (None, in_numpy),
    (None, in_single),
    (None, lambda x, start, base: by_slices(x, start, base).detach()),
    (None, lambda x, start, base: by_slices(x, start, base).half()),
    (None, lambda x, start, base: by_slices(x, start, base).transpose(1, 2)),
    (None, lambda x, start, base: by_complex(x, start, base).unflatten(-1, (-1, 2))),
    (None, pair_by_pair(lambda a, b, cos, sin: (a * sin - b * cos, a * cos + b * sin))),
    (None, with_angles(lambda angles, *given: torch.deg2rad(angles))),
    (None, with_angles(lambda angles, *given: angles % 3)),
    (None, lambda x, start, base: by_slices(x, min(start, 50), base)),
    (None, lambda x, start, base: x),
    (None, lambda x, start, base: library.apply_rotary(x, *library.rotary_at(torch.arange(3.0), 4), True)),
    (
        None,
        lambda x, start, base: library.apply_rotary(
            x, table(x, start, base).cos(), table(x, start, base).sin(), interleaved=True
        ),
    ),
]

# --------------------------------------------------------------------------------------------- to interleaved


def rows_by_reshape(weight, n_heads):
    rows, columns = weight.shape
    return weight.reshape(n_heads, 2, -1, columns).transpose(1, 2).reshape(rows, columns)


def rows_by_index(weight, n_heads, order=lambda k: [i // 2 + (i % 2) * (k // 2) for i in range(k)]):
    k = len(weight) // n_heads
    return weight[[h * k + i for h in range(n_heads) for i in order(k)]]


def rows_by_head(weight, n_heads, join=lambda a, b: torch.stack([a, b], 1).flatten(0, 1)):
    return torch.cat([join(*head.chunk(2)) for head in weight.chunk(n_heads)])


def rows_into_zeros(weight, n_heads):
    out = torch.zeros_like(weight)
    k = weight.shape[0] // n_heads
    for h in range(n_heads):
        out[h * k : (h + 1) * k : 2] = weight[h * k : h * k + k // 2]
        out[h * k + 1 : (h + 1) * k : 2] = weight[h * k + k // 2 : (h + 1) * k]
    return out


def rows_by_matrix(weight, n_heads):
    k = len(weight) // n_heads
    order = torch.arange(k).reshape(2, -1).T.flatten()
    one = torch.eye(k, dtype=weight.dtype)[order]
    return torch.kron(torch.eye(n_heads, dtype=weight.dtype), one) @ weight


def rows_in_place(weight, n_heads):
    weight[:] = rows_by_head(weight, n_heads)
    return weight


RIGHT["05_positions/to_interleaved"] = [
    rows_by_reshape,
    rows_by_index,
    rows_by_head,
    rows_into_zeros,
    rows_by_matrix,
    lambda weight, n_heads: torch.einsum("hpid->hipd", weight.unflatten(0, (n_heads, 2, -1))).flatten(0, 2),
]
WRONG["05_positions/to_interleaved"] = [
    ("the whole width at once", lambda weight, n_heads: rows_by_head(weight, 1)),
    (
        "the way back",
        lambda weight, n_heads: rows_by_index(weight, n_heads, lambda k: [*range(0, k, 2), *range(1, k, 2)]),
    ),
    ("columns instead of rows", lambda weight, n_heads: rows_by_head(weight.T, n_heads).T),
    ("the halves exchanged", lambda w, n: rows_by_head(w, n, lambda a, b: torch.cat([b, a]))),
    ("neighbours exchanged", lambda w, n: rows_by_index(w, n, lambda k: [i ^ 1 for i in range(k)])),
    (
        "the second of each pair first",
        lambda w, n: rows_by_head(w, n, lambda a, b: torch.stack([b, a], 1).flatten(0, 1)),
    ),
    ("unchanged", lambda w, n: w.clone()),
    ("unchanged", lambda w, n: w.reshape(n, 2, -1, w.shape[1]).reshape(w.shape)),
    (
        "one half of all heads, then the other",
        lambda w, n: torch.cat([head.chunk(2)[i] for i in range(2) for head in w.chunk(n)]),
    ),
    ("heads interleaved", lambda w, n: torch.cat([rows_by_head(w[h::n], 1) for h in range(n)])),
    (
        "one head's rows beside another's",
        lambda w, n: w.reshape(n, -1, w.shape[1]).transpose(0, 1).reshape(w.shape),
    ),
    ("heads for the width of a head", lambda w, n: rows_by_reshape(w, len(w) // n)),
    (
        "the second half backwards",
        lambda w, n: rows_by_head(w, n, lambda a, b: torch.stack([a, b.flip(0)], 1).flatten(0, 1)),
    ),
    ("still cut into heads", lambda w, n: rows_by_reshape(w, n).reshape(n, -1, w.shape[1])),
    ("transposed", lambda w, n: rows_by_reshape(w, n).T),
    (None, rows_in_place),
    (None, lambda w, n: rows_by_reshape(w, n).detach()),
    (None, lambda w, n: rows_by_reshape(w, n).numpy() if not w.requires_grad else None),
    (None, lambda w, n: rows_by_head(w, n, lambda a, b: torch.stack([a, -b], 1).flatten(0, 1))),
    (None, lambda w, n: rows_by_head(w, n).view(2, -1, w.shape[1])),
    (None, lambda w, n: rows_by_head(w, n).int()),
    (None, lambda w, n: rows_by_index(w, n, lambda k: range(0, k, 2))),
    (None, lambda w, n: list(rows_by_head(w, n))),
]

# --------------------------------------------------------------------------------------------- offset alone


def scores(rotate, q, k, n):
    return torch.stack([rotate(q, t) for t in range(n)]) @ torch.stack([rotate(k, s) for s in range(n)]).T


def offset_by_loops(rotate, q, k, n, starts=None, offsets=None, close=1e-3):
    for offset in offsets or range(1 - n, n):
        places = [t for t in starts or range(n) if 0 <= t + offset < n]
        found = [float(rotate(q, t) @ rotate(k, t + offset)) for t in places]
        if found and max(found) - min(found) > close:
            return False
    return True


def offset_by_toeplitz(rotate, q, k, n):
    table = scores(rotate, q, k, n)
    return torch.allclose(table[1:, 1:], table[:-1, :-1], rtol=0, atol=1e-3)


def offset_by_dictionary(rotate, q, k, n):
    first = {}
    for t in range(n):
        for s in range(n):
            product = torch.dot(rotate(q, t), rotate(k, s))
            if abs(first.setdefault(s - t, product) - product) >= 1e-3:
                return False
    return True


def offset_by_spread(rotate, q, k, n):
    table = scores(rotate, q, k, n).double().numpy()
    return max(np.ptp(np.diagonal(table, o)) for o in range(1 - n, n)) < 1e-3


def offset_from_the_edges(rotate, q, k, n):
    """All places of one offset, against the one with the query or the key at place 0."""
    table = scores(rotate, q, k, n)
    rebuilt = [[table[0, s - t] if s >= t else table[t - s, 0] for s in range(n)] for t in range(n)]
    return bool((torch.tensor(rebuilt, dtype=table.dtype) - table).abs().max() < 1e-3)


def moved_together(rotate, q, k, n, pairs):
    values = [float(rotate(q, t) @ rotate(k, s)) for t, s in pairs(n)]
    return max(values) - min(values) < 1e-3


def with_pairs(pairs):
    return lambda rotate, q, k, n: moved_together(rotate, q, k, n, pairs)


def vectors_stay(rotate, q, k, n):
    return all(torch.allclose(rotate(x, t), x, atol=1e-3) for x in (q, k) for t in range(n))


def symmetric(rotate, q, k, n):
    table = scores(rotate, q, k, n)
    return offset_by_loops(rotate, q, k, n) and torch.allclose(table, table.T, atol=1e-3)


def signed(difference):
    def offset_alone(rotate, q, k, n):
        table = scores(rotate, q, k, n)
        return bool((difference(table[1:, 1:], table[:-1, :-1]) < 1e-3).all())

    return offset_alone


def grows_beside_the_first(rotate, q, k, n):
    table = scores(rotate, q, k, n).tolist()
    return all(
        table[t][t + offset] - table[t - 1][t - 1 + offset] < 1e-3
        for offset in range(1 - n, n)
        for t in range(max(0, -offset) + 1, n - max(0, offset))
    )


def offset_from_the_last_places(rotate, q, k, n):
    """Backwards, each product against the one before it on its diagonal."""
    for t in reversed(range(1, n)):
        for s in reversed(range(1, n)):
            change = rotate(q, t) @ rotate(k, s) - rotate(q, t - 1) @ rotate(k, s - 1)
            if change**2 >= 1e-6:
                return False
    return True


RIGHT["05_positions/depends_on_offset"] = [
    offset_by_toeplitz,
    offset_by_loops,
    offset_by_dictionary,
    offset_by_spread,
    offset_from_the_edges,
    offset_from_the_last_places,
    lambda *given: np.bool_(offset_by_toeplitz(*given)),
    lambda *given: torch.tensor(offset_by_toeplitz(*given)),
    lambda rotate, q, k, n: all(
        torch.allclose(rotate(q, t) @ rotate(k, s), rotate(q, t + 1) @ rotate(k, s + 1), atol=5e-4)
        for t in range(n - 1)
        for s in range(n - 1)
    ),
]
WRONG["05_positions/depends_on_offset"] = [
    ("vectors instead of products", vectors_stay),
    (
        "vectors instead of products",
        lambda rotate, q, k, n: (
            all(torch.equal(rotate(q, t), rotate(q, t + 1)) for t in range(n - 1))
            and all(torch.equal(rotate(k, t), rotate(k, t + 1)) for t in range(n - 1))
        ),
    ),
    ("only one of the two moves", with_pairs(lambda n: [(0, s) for s in range(n)])),
    ("only one of the two moves", with_pairs(lambda n: [(t, 3) for t in range(n)])),
    ("only one of the two moves", with_pairs(lambda n: [(t, s) for t in range(n) for s in range(n)])),
    ("the lengths", with_pairs(lambda n: [(t, t) for t in range(n)])),
    ("one offset", with_pairs(lambda n: [(t, t + 1) for t in range(n - 1)])),
    ("the first places", with_pairs(lambda n: [(0, 1), (1, 2)])),
    ("the first places", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, 5)),
    ("the first places", lambda rotate, q, k, n: offset_by_toeplitz(rotate, q, k, 3)),
    ("places 0 and 1", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n, starts=range(2))),
    (
        "places 0 and 1",
        lambda rotate, q, k, n: all(
            torch.isclose(rotate(q, 0) @ rotate(k, d), rotate(q, 1) @ rotate(k, d + 1), rtol=0, atol=1e-3)
            for d in range(n - 1)
        ),
    ),
    ("places 0 and 1", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n, starts=range(3))),
    ("only growth counts", signed(lambda here, before: here - before)),
    ("only growth counts", grows_beside_the_first),
    ("only shrinking counts", signed(lambda here, before: before - here)),
    ("the first and the last place", with_pairs(lambda n: [(0, 1), (n - 2, n - 1)])),
    ("exactly equal", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n, close=0)),
    ("the distance", symmetric),
    ("the opposite answer", lambda *given: not offset_by_toeplitz(*given)),
    ("the opposite answer", lambda *given: not offset_by_dictionary(*given)),
    ("always False", lambda rotate, q, k, n: rotate(q, 0) is rotate(q, 1)),
    ("always True", lambda rotate, q, k, n: bool(torch.isfinite(scores(rotate, q, k, n)).all())),
    ("always True", lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n, close=1e6)),
    (None, lambda *given: scores(*given).diagonal(1).diff().abs().max()),
    (None, lambda *given: print(offset_by_toeplitz(*given))),
    (None, lambda rotate, q, k, n: offset_by_loops(rotate, q, k, n + 1)),
    (None, lambda rotate, q, k, n: rotate),
    (None, lambda rotate, q, k, n: "yes" if offset_by_toeplitz(rotate, q, k, n) else "no"),
    (None, lambda rotate, q, k, n: scores(rotate, q, k, n)[1:, 1:] == scores(rotate, q, k, n)[:-1, :-1]),
]

# ------------------------------------------------------------------------------------------ rotation at work


class Tables(nn.Module):
    """Right: cosines and sines in buffers."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        steps = torch.arange(0, d_head, 2) / d_head
        angles = torch.arange(max_seq_len)[:, None] / base**steps
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rows(self, x, start):
        return slice(start, start + x.shape[-2])

    def forward(self, x, start=0):
        cos, sin = self.cos[self.rows(x, start)], self.sin[self.rows(x, start)]
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


class Complex(nn.Module):
    """A table of complex numbers, as in Llama's first code."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        slow = 1.0 / base ** (torch.arange(0, d_head, 2).float() / d_head)
        angles = torch.outer(torch.arange(max_seq_len), slow)
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def forward(self, x, start=0):
        numbers = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(numbers * self.turns[start : start + x.shape[2]]).flatten(3)


class Twice(nn.Module):
    """Every cosine stands twice; the halves are picked with an index."""

    def __init__(self, width, length, base):
        super().__init__()
        angles = torch.stack([torch.arange(length) / base ** (2 * (j // 2) / width) for j in range(width)], 1)
        self.register_buffer("table", torch.stack([angles.cos(), angles.sin()]))
        self.register_buffer("partner", torch.arange(width) ^ 1)
        self.register_buffer("sign", torch.tensor([-1.0, 1.0] * (width // 2)))

    def forward(self, x, start=0):
        cos, sin = self.table[:, torch.arange(start, start + x.size(-2))]
        return x * cos + self.sign * x[..., self.partner] * sin


class Matrices(nn.Module):
    """A 2 x 2 matrix for each pair of each place."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        angles = torch.arange(max_seq_len).double()[:, None] / base ** (
            torch.arange(d_head // 2).double() * 2 / d_head
        )
        rows = [torch.stack([angles.cos(), -angles.sin()], -1), torch.stack([angles.sin(), angles.cos()], -1)]
        self.register_buffer("turn", torch.stack(rows, -2).float())

    def forward(self, x, start=0):
        turn = self.turn.narrow(0, start, x.shape[-2])
        return (turn @ x.unflatten(-1, (-1, 2))[..., None]).flatten(-3)


class NoTable(nn.Module):
    """Makes the angles anew in each call, with a function of before."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        self.base = base

    def forward(self, x, start=0):
        return by_complex(x, start, self.base)


def layer(function):
    """A layer that computes a function of x, start and base in each call."""

    class Rotation(nn.Module):
        def __init__(self, d_head, max_seq_len, base):
            super().__init__()
            self.base = base

        def forward(self, x, start=0):
            return function(x, start, self.base)

    return Rotation


class FirstCall(Tables):
    kept = None

    def rows(self, x, start):
        if self.kept is None:
            self.kept = Tables.rows(self, x, start)
        return self.kept


class CountsOn(Tables):
    seen = 0

    def forward(self, x, start=0):
        begin, self.seen = self.seen, self.seen + x.shape[-2]
        return Tables.forward(self, x, begin)


class LastRows(Tables):
    def rows(self, x, start):
        return slice(-x.shape[-2], None)


class LengthForBase(Tables):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, 200, max_seq_len)


class Trained(Tables):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len, base)
        cos = self.cos
        del self.cos
        self.cos = nn.Parameter(cos)


class ShortTable(Tables):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len - 1, base)


class NoStart(Tables):
    def forward(self, x):
        return Tables.forward(self, x)


class StartNeeded(Tables):
    def forward(self, x, start):
        return Tables.forward(self, x, start)


class Ours(library.RotaryEmbedding):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len, base=base)


class NotAModule:
    def __init__(self, d_head, max_seq_len, base):
        self.base = base

    def __call__(self, x, start=0):
        return by_slices(x, start, self.base)


class InPlace(Tables):
    def forward(self, x, start=0):
        x[..., ::2] = Tables.forward(self, x, start)[..., ::2]
        return Tables.forward(self, x, start)


class OnlyNarrow(Tables):
    """Right on the small inputs, wrong in the model, whose heads are wider."""

    def forward(self, x, start=0):
        return Tables.forward(self, x, start) if x.shape[-1] < 32 else x


RIGHT["05_positions/rotation_at_work"] = [Tables, Complex, Twice, Matrices, NoTable, layer(by_loops)]
WRONG["05_positions/rotation_at_work"] = [
    *((name, layer(function)) for name, function in MISTAKES.items()),
    ("the table of the first call", FirstCall),
    ("counts on by itself", CountsOn),
    ("the last rows of the table", LastRows),
    ("the base for the number of places", LengthForBase),
    (None, Trained),
    (None, ShortTable),
    (None, NoStart),
    (None, StartNeeded),
    (None, Ours),
    (None, NotAModule),
    (None, InPlace),
    (None, OnlyNarrow),
    (None, layer(lambda x, start, base: by_slices(x, start, base).detach())),
    (None, lambda d_head, max_seq_len, base: Tables(d_head, max_seq_len, base)),
]
