"""Answers to post_norm_block, as learners write them."""

import torch

from course_lib import blocks as library
from course_lib.concepts.c06_residuals.answers.pre_norm_block import Residual


def post_in_two_lines(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x + attention(x))
    return norm_2(h + mlp(h))


def post_by_loop(x, attention, mlp, norm_1, norm_2):
    for part, norm in [(attention, norm_1), (mlp, norm_2)]:
        x = norm(x + part(x))
    return x


def post_by_modules(x, attention, mlp, norm_1, norm_2):
    first, second = Residual(attention), Residual(mlp)
    return norm_2(second(norm_1(first(x))))


def post_by_sequence(x, *parts):
    return torch.stack([post_in_two_lines(one, *parts) for one in x])


def post_by_sums(x, attention, mlp, norm_1, norm_2):
    h = norm_1(torch.stack([x, attention(x)]).sum(0))
    return norm_2(torch.stack([h, mlp(h)]).sum(0))


def post_by_library(x, attention, mlp, norm_1, norm_2):
    def with_mask(x, mask=None, cache=None):
        return attention(x)

    return library.TransformerBlock(with_mask, mlp, norm_1, norm_2, norm_first=False)(x)


RIGHT = [post_by_loop, post_by_sums, post_by_modules, post_by_sequence]
WRONG = [
    (None, post_by_library),
    ("all sequences as one", lambda x, *parts: post_by_loop(x.flatten(0, 1), *parts).view_as(x)),
]
