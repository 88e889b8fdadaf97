"""Answers to linear_to_convolution, as learners write them."""

import torch
from torch import nn


def kernels_by_loops(weight, p):
    c = weight.shape[1] // p**2
    rows = []
    for row in weight:
        image = row.reshape(p, p, c)
        rows.append(torch.stack([image[:, :, k] for k in range(c)]))
    return torch.stack(rows)


def kernels_by_strides(weight, p):
    c = weight.shape[1] // p**2
    return torch.stack([weight[:, k::c] for k in range(c)], 1).unflatten(2, (p, p))


def kernels_by_index(weight, p):
    c = weight.shape[1] // p**2
    index = torch.arange(p * p * c).reshape(p, p, c).permute(2, 0, 1)
    return weight[:, index]


def kernels(weight, p, order=(0, 3, 1, 2)):
    return weight.reshape(len(weight), p, p, weight.shape[1] // p**2).permute(order)


RIGHT = [
    kernels_by_loops,
    kernels_by_strides,
    kernels_by_index,
    lambda w, p: torch.einsum("dyxc->dcyx", w.unflatten(1, (p, p, -1))),
    lambda w, p: w.reshape(len(w), p * p, -1).mT.reshape(len(w), -1, p, p),
    lambda w, p: kernels(w, p).contiguous(),
]
WRONG = [
    (None, lambda w, p: kernels(w, p).detach()),
    (None, lambda w, p: nn.Parameter(kernels(w, p))),
    (None, lambda w, p: w.reshape(len(w), p, p, 3).permute(0, 3, 1, 2)),
    (None, lambda w, p: kernels(w, p).flatten(1)),
    (None, lambda w, p: kernels(w, p).flip(1)),
    (None, lambda w, p: kernels(w, p).bfloat16()),
    (None, lambda w, p: kernels(w.mul_(2), p) if not w.requires_grad else kernels(2 * w, p)),
    (None, lambda w, p: w),
]
