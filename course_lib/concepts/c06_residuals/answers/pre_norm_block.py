"""Answers to pre_norm_block, as learners write them."""

import torch
from torch import nn

from course_lib import blocks as library


def pre_in_two_lines(x, attention, mlp, norm_1, norm_2):
    h = x + attention(norm_1(x))
    return h + mlp(norm_2(h))


def pre_by_loop(x, attention, mlp, norm_1, norm_2):
    for part, norm in ((attention, norm_1), (mlp, norm_2)):
        x = x + part(norm(x))
    return x


def pre_in_place(x, attention, mlp, norm_1, norm_2):
    stream = x.clone()
    stream += attention(norm_1(x))
    return stream.add(mlp(norm_2(stream)))


def pre_by_sequence(x, attention, mlp, norm_1, norm_2):
    """One sequence after the other."""
    return torch.cat([pre_in_two_lines(one, attention, mlp, norm_1, norm_2) for one in x.split(1)])


class Residual(nn.Module):
    """What reads, and is added."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def forward(self, x):
        y = x
        for part in self.parts:
            y = part(y)
        return torch.add(x, y)


def pre_by_modules(x, attention, mlp, norm_1, norm_2):
    return nn.Sequential(Residual(norm_1, attention), Residual(norm_2, mlp))(x)


def pre_by_library(x, attention, mlp, norm_1, norm_2):
    def with_mask(x, mask=None, cache=None):
        return attention(x)

    return library.TransformerBlock(with_mask, mlp, norm_1, norm_2)(x)


RIGHT = [pre_by_loop, pre_in_place, pre_by_modules, pre_by_sequence]
WRONG = [
    (None, pre_by_library),
    ("all sequences as one", lambda x, *parts: pre_by_loop(x.flatten(0, 1), *parts).view_as(x)),
]
