"""Answers to attention_bytes, as learners write them."""

from itertools import product

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


RIGHT = [step_by_step, by_loops, of_tensors, in_floats]
WRONG = [
    (None, lambda t, d, h, g, b: (h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d * b)),
    (None, lambda t, d, h, g, b: (h * h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d)),
    (None, lambda t, d, h, g, b: step_by_step(t, d, h, max(g, min(h, 2)), b)),
    (None, lambda t, d, h, g, b: step_by_step(t, d, h, g, max(b, 2))),
    (
        None,
        lambda t, d, h, g, b: step_by_step(t, d, h, g, b) if t > 1 else (0, *step_by_step(t, d, h, g, b)[1:]),
    ),
]
