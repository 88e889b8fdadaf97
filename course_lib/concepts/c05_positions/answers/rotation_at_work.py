"""Answers to rotation_at_work, as learners write them."""

import torch
from torch import nn

from course_lib import positions as library
from course_lib.concepts.c05_positions.answers.rotate_pairs import (
    by_halves,
    by_slices,
    overwriting,
)


class Tables(nn.Module):
    """Right: cosines and sines in buffers."""

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        steps = torch.arange(0, d_head, 2) / d_head
        angles = torch.arange(max_seq_len)[:, None] / base**steps
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x, start=0):
        cos, sin = (table[start : start + x.shape[-2]] for table in (self.cos, self.sin))
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


def layer(function):
    """A layer that computes a function of x, start and base in each call."""

    class Rotation(nn.Module):
        def __init__(self, d_head, max_seq_len, base):
            super().__init__()
            self.base = base

        def forward(self, x, start=0):
            return function(x, start, self.base)

    return Rotation


class Trained(Tables):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len, base)
        cos = self.cos
        del self.cos
        self.cos = nn.Parameter(cos)


class ShortTable(Tables):
    def __init__(self, d_head, max_seq_len, base):
        super().__init__(d_head, max_seq_len - 1, base)


class Squeezed(Tables):
    def forward(self, x, start=0):
        return super().forward(x, start).squeeze(2)


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


class OnlyNarrow(Tables):
    """Right on the small inputs, wrong in the model, whose heads are wider."""

    def forward(self, x, start=0):
        return Tables.forward(self, x, start) if x.shape[-1] < 32 else x


RIGHT = [Tables, Complex, Twice, Matrices]
WRONG = [
    ("pairs of halves", layer(by_halves)),
    ("the first number overwritten", layer(overwriting)),
    (None, Trained),
    ("one row too few", ShortTable),
    ("an axis of one lost", Squeezed),
    (None, StartNeeded),
    (None, Ours),
    (None, NotAModule),
    (None, OnlyNarrow),
    (None, lambda d_head, max_seq_len, base: Tables(d_head, max_seq_len, base)),
]
