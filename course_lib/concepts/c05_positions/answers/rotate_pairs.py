"""Answers to rotate_pairs, as learners write them."""

import math

import torch

from course_lib import positions as library


def table(x, start, base):
    """Angles (T, K/2), as a matrix product of places and frequencies."""
    n_tokens, width = x.shape[-2:]
    places = torch.arange(start, start + n_tokens).to(x.dtype)
    return torch.outer(places, base ** -(torch.arange(0, width, 2, dtype=x.dtype) / width))


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


def pair_by_pair(formula):
    """Formula: from a, b, cos, sin to the turned pair."""

    def answer(x, start, base):
        angles = table(x, start, base)
        turned = formula(x[..., ::2], x[..., 1::2], angles.cos(), angles.sin())
        return torch.stack(turned, -1).flatten(-2)

    return answer


def overwriting(x, start, base):
    out = x.clone()
    angles = table(x, start, base)
    out[..., ::2] = x[..., ::2] * angles.cos() - x[..., 1::2] * angles.sin()
    out[..., 1::2] = out[..., ::2].clone() * angles.sin() + x[..., 1::2] * angles.cos()
    return out


def with_angles(change):
    return lambda x, start, base: by_slices(x, start, base, lambda *given: change(table(*given)))


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


RIGHT = [
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
WRONG = [
    ("pairs of halves", by_halves),
    ("the first number overwritten", overwriting),
    ("places along the heads", along_heads),
    (None, in_place),
    (None, in_numpy),
    (None, in_single),
    (None, lambda x, start, base: by_slices(x, start, base).detach()),
    (None, lambda x, start, base: by_slices(x, start, base).half()),
    (None, lambda x, start, base: by_slices(x, start, base).transpose(1, 2)),
    (None, lambda x, start, base: by_complex(x, start, base).unflatten(-1, (-1, 2))),
    (None, pair_by_pair(lambda a, b, cos, sin: (a * sin - b * cos, a * cos + b * sin))),
    (None, with_angles(lambda angles: torch.deg2rad(angles))),
    (None, with_angles(lambda angles: angles % 3)),
    (None, lambda x, start, base: by_slices(x, min(start, 50), base)),
    (None, lambda x, start, base: x),
    (None, lambda x, start, base: library.apply_rotary(x, *library.rotary_at(torch.arange(3.0), 4), True)),
    (
        None,
        lambda x, start, base: library.apply_rotary(
            x, table(x, start, base).cos(), table(x, start, base).sin(), interleaved=True
        ),
    ),
    (None, lambda x, start, base: by_slices(x, start, base).squeeze(2)),
    (None, lambda x, start, base: torch.cat([by_slices(x, start, base)[..., :16], x[..., 16:]], -1)),
]
