"""Answers to sampler, as learners write them."""

import numpy as np
import torch

from course_lib.concepts.c00_overview.answers.temperature_softmax import bare, chances_by_loops
from course_lib.concepts.c00_overview.answers.top_k import (
    threshold,
    top_k_by_argpartition,
    top_k_by_scatter,
)


def sampler_cut_late(logits, temperature, k):
    """Cut the chances, then bring them back to a sum of 1: the same."""
    chances = chances_by_loops(logits, temperature)
    kept = np.where(chances >= threshold(chances, -k), chances, 0)
    return kept / kept.sum(-1, keepdims=True)


def sampler_one_row(logits, temperature, k):
    """Among the k alone."""
    kept = np.argsort(logits)[-k:]
    out = np.zeros_like(logits)
    out[kept] = chances_by_loops(logits[kept], temperature)
    return out


def table_by_loop(logits, temperature, k):
    rows = [sampler_one_row(row, temperature, k) for row in np.atleast_2d(logits)]
    return np.reshape(rows, logits.shape)


def sampler_by_rows(logits, temperature, k):
    if logits.ndim > 1:
        return np.stack([sampler_by_rows(row, temperature, k) for row in logits])
    return sampler_one_row(logits, temperature, k)


RIGHT = [
    sampler_cut_late,
    sampler_by_rows,
    lambda x, t, k: torch.softmax(top_k_by_scatter(x, k) / t, -1),
    lambda x, t, k: bare(top_k_by_argpartition(x / t, k) - (x / t).max(-1, keepdims=True)),
]
WRONG = [
    ("the likeliest alone", lambda x, t, k: np.eye(x.shape[-1])[x.argmax(-1)]),
    ("at least two to choose from", lambda x, t, k: sampler_by_rows(x, t, max(k, 2))),
    ("a loop over one table", table_by_loop),
    ("a temperature of at least 1", lambda x, t, k: sampler_by_rows(x, max(t, 1), k)),
]
