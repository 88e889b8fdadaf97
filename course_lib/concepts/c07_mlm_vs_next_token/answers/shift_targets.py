"""Answers to shift_targets, as learners write them."""

from itertools import pairwise

import torch

from course_lib import objectives as library

RIGHT = [
    lambda ids: (ids[:, :-1], ids[:, 1:]),
    lambda ids: ids.unfold(1, 2, 1).unbind(-1),
    lambda ids: (ids[..., : ids.size(1) - 1].clone(), ids.roll(-1, dims=1)[:, :-1].clone()),
    lambda ids: (
        torch.tensor([[a for a, _ in pairwise(row)] for row in ids.tolist()]),
        torch.tensor([[b for _, b in pairwise(row)] for row in ids.tolist()]),
    ),
]
WRONG = [
    (None, library.shift),
]
