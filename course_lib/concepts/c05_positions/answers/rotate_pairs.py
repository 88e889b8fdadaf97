"""Answers to rotate_pairs, as learners write them."""

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


def by_quarter_turn(x, start, base):
    """x cos + (x turned by 90 degrees) sin, with every cosine written twice."""
    angles = table(x, start, base).repeat_interleave(2, dim=-1)
    quarter = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    return x * angles.cos() + quarter * angles.sin()


def by_halves(x, start, base):
    left, right = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    angles = table(x, start, base)
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def overwriting(x, start, base):
    out = x.clone()
    angles = table(x, start, base)
    out[..., ::2] = x[..., ::2] * angles.cos() - x[..., 1::2] * angles.sin()
    out[..., 1::2] = out[..., ::2].clone() * angles.sin() + x[..., 1::2] * angles.cos()
    return out


def in_single(x, start, base):
    return by_slices(x, start, base, lambda x, *given: table(x.float(), *given))


def from_a_table_of_fifty(x, start, base):
    """A table of angles for places that are thought to be enough."""
    angles = table(x.new_empty(50, x.shape[-1]), 0, base)
    return by_slices(x, start, base, lambda *given: angles[start : start + x.shape[-2]])


RIGHT = [by_slices, by_complex, by_small_matrices, by_quarter_turn, by_large_matrices]
WRONG = [
    ("pairs of halves", by_halves),
    ("the first number overwritten", overwriting),
    ("angles in float32", in_single),
    (None, lambda x, start, base: x),
    (
        None,
        lambda x, start, base: library.apply_rotary(
            x, table(x, start, base).cos(), table(x, start, base).sin(), interleaved=True
        ),
    ),
    ("a table of fifty places", from_a_table_of_fifty),
    ("an axis of one lost", lambda x, start, base: by_slices(x, start, base).squeeze(2)),
]
