"""Answers to shift_targets, as learners write them."""

from itertools import pairwise

import torch

from course_lib import objectives as library

RIGHT = [
    lambda ids: (ids[:, :-1], ids[:, 1:]),
    lambda ids: [ids.narrow(1, 0, ids.shape[1] - 1), ids.narrow(1, 1, ids.shape[1] - 1)],
    lambda ids: ids.unfold(1, 2, 1).unbind(-1),
    lambda ids: (ids[..., : ids.size(1) - 1].clone(), ids.roll(-1, dims=1)[:, :-1].clone()),
    lambda ids: tuple(torch.stack([row[a : len(row) - 1 + a] for row in ids]) for a in (0, 1)),
    lambda ids: (
        torch.tensor([[a for a, _ in pairwise(row)] for row in ids.tolist()]),
        torch.tensor([[b for _, b in pairwise(row)] for row in ids.tolist()]),
    ),
]
WRONG = [
    (None, lambda ids: ids[:, 1:]),
    (None, library.shift),
    (None, lambda ids: (ids[:, :-1].mT, ids[:, 1:].mT)),
    (None, lambda ids: (ids[:, :-1] + 1, ids[:, 1:])),
    (None, lambda ids: (ids[:, :-1], ids[:, 1:].flip(1))),
    (None, lambda ids: (ids[:, :-1].tolist(), ids[:, 1:].tolist())),
]
