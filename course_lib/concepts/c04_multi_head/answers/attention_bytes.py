"""Answers to attention_bytes, as learners write them."""

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


def in_32_bits(t, d, h, g, b):
    """As whole numbers are on some machines."""
    products = [(h, t, t, b), (2, g, t, d // h, b), (2, h, t, t, d // h)]
    return [np.prod(factors, dtype=np.int32) for factors in products]


RIGHT = [step_by_step, by_loops, of_tensors, in_floats]
WRONG = [
    (
        "bytes of the multiplications",
        lambda t, d, h, g, b: (h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d * b),
    ),
    ("numbers of 32 bits", in_32_bits),
    (None, lambda t, d, h, g, b: (h * h * t * t * b, 2 * g * t * d // h * b, 2 * t * t * d)),
]
