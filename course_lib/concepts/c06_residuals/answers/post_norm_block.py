"""Answers to post_norm_block, as learners write them."""

import torch
import torch.nn.functional as F

from course_lib import blocks as library
from course_lib.concepts.c06_residuals.answers.pre_norm_block import Residual, post, read


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


def post_by_nesting(x, attention, mlp, norm_1, norm_2):
    return norm_2(norm_1(x + attention(x)) + mlp(norm_1(x + attention(x))))


def post_by_sequence(x, *parts):
    return torch.stack([post_in_two_lines(one, *parts) for one in x])


def post_by_sums(x, attention, mlp, norm_1, norm_2):
    h = norm_1(torch.stack([x, attention(x)]).sum(0))
    return norm_2(torch.stack([h, mlp(h)]).sum(0))


def post_by_library(x, attention, mlp, norm_1, norm_2):
    def with_mask(x, mask=None, cache=None):
        return attention(x)

    return library.TransformerBlock(with_mask, mlp, norm_1, norm_2, norm_first=False)(x)


def post_in_place(x, attention, mlp, norm_1, norm_2):
    x += attention(x)
    return norm_2(norm_1(x) + mlp(norm_1(x)))


RIGHT = [
    post_in_two_lines,
    post_by_loop,
    post_by_sums,
    post_by_nesting,
    post_by_modules,
    post_by_sequence,
]
WRONG = [
    (None, post_in_place),
    (None, post_by_library),
    (None, lambda x, a, m, n, o: post(read(x, a, n), m, o)),
    (None, lambda x, a, m, n, o: read(post(x, a, n), m, o)),
    (None, lambda x, a, m, n, o: post(n(x) + a(x), m, o)),
    (None, lambda x, *parts: post_by_loop(x, *parts).detach()),
    (None, lambda x, *parts: post_by_loop(post_by_loop(x, *parts), *parts)),
    (None, lambda x, *parts: post_by_loop(x.flatten(0, 1), *parts).view_as(x)),
    (None, lambda x, *parts: x + post_by_loop(x, *parts)),
    (None, lambda x, a, m, n, o: F.layer_norm(x + a(x), x.shape[-1:])),
]
