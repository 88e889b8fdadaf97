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


RIGHT = [
    kernels_by_loops,
    kernels_by_strides,
    lambda w, p: torch.einsum("dyxc->dcyx", w.unflatten(1, (p, p, -1))),
    lambda w, p: w.reshape(len(w), p * p, -1).mT.reshape(len(w), -1, p, p),
]
WRONG = [
    ("gradients cut off", lambda w, p: nn.Parameter(kernels_by_loops(w, p))),
    ("as many outputs as a patch is wide", lambda w, p: w.reshape(p, p, p, -1).permute(0, 3, 1, 2)),
]
