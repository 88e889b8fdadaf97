"""Answers to attention_bytes, as learners write them."""

import math
from itertools import product

import numpy as np
import torch


def step_by_step(t, d, h, g, b):
    width = d // h
    table = t * t * b
    keys = values = g * t * width * b
    return h * table, keys + values, 2 * t * t * d


def by_loops(t, d, h, g, b):
    weights = sum(t * t for _ in range(h)) * b
    cache = sum(t * d // h for _ in range(g) for _ in ("keys", "values")) * b
    return weights, cache, sum(d // h for _, _ in product(range(h), range(2))) * t**2


def of_tensors(t, d, h, g, b):
    weights = torch.empty(h, t, t, device="meta").numel()
    cache = torch.empty(2, g, t, d // h, device="meta").numel()
    return weights * b, cache * b, 2 * weights * (d // h)


def in_floats(t, d, h, g, b):
    return float(h * t**2 * b), 2 * g * t * (d / h) * b, 2.0 * h * t * t * d / h


RIGHT = [
    step_by_step,
    by_loops,
    of_tensors,
    in_floats,
    lambda t, d, h, g, b: np.array([h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d], dtype=np.int64),
    lambda t, d, h, g, b: [
        b * math.prod((h, t, t)),
        b * math.prod((2, g, t, d // h)),
        math.prod((2, t, t, d)),
    ],
]
WRONG = [
    ("a cache for every query head", lambda t, d, h, g, b: (h * t * t * b, 2 * t * d * b, 2 * t * t * d)),
    (None, lambda t, d, h, g, b: (h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d * b)),
    (None, lambda t, d, h, g, b: (h * h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d)),
    (None, lambda *sizes: sum(step_by_step(*sizes))),
    (None, lambda *sizes: step_by_step(*sizes)[:2]),
    (None, lambda t, d, h, g, b: (h * t * t * b // 1024, 2 * g * t * d // h * b // 1024, 2 * t * t * d)),
    (None, lambda t, d, h, g, b: step_by_step(t, d // h, h, g, b)),
    (None, lambda t, d, h, g, b: step_by_step(t, d, h, max(g, min(h, 2)), b)),
    (None, lambda t, d, h, g, b: step_by_step(t, d, h, g, max(b, 2))),
    (
        None,
        lambda t, d, h, g, b: step_by_step(t, d, h, g, b) if t > 1 else (0, *step_by_step(t, d, h, g, b)[1:]),
    ),
]
