"""Answers to temperature, as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.generation import next_token_probabilities


def shifted(logits, t):
    if t == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return ((logits - logits.max(-1, keepdim=True).values) / t).softmax(-1)


def by_hand(logits, t):
    best = logits.amax(dim=-1, keepdim=True)
    if t == 0:
        return (logits == best).to(logits.dtype)
    powers = torch.exp((logits - best) / t)
    return powers / powers.sum(dim=-1, keepdim=True)


def row_by_row(logits, t):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        best = max(row)
        powers = [float(score == best) if t == 0 else math.exp((score - best) / t) for score in row]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows, dtype=logits.dtype).view(logits.shape)


def by_numpy(logits, t):
    scores = logits.numpy().astype(np.float64)
    scores = scores - scores.max(-1, keepdims=True)
    powers = np.where(scores == 0, 1.0, 0.0) if t == 0 else np.exp(scores / t)
    return torch.from_numpy(powers / powers.sum(-1, keepdims=True)).to(logits.dtype)


def never_quite_zero(logits, t):
    """In float64, where a tiny number in place of 0 does no harm."""
    wide = logits.double()
    wide = wide - wide.max(-1, keepdim=True).values
    return torch.softmax(wide / max(t, 1e-300), -1).to(logits.dtype)


def by_logarithms(logits, t):
    if not t:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    scores = (logits - logits.amax(-1, keepdim=True)).div(t)
    return (scores - scores.logsumexp(-1, keepdim=True)).exp()


def rows_in_one_axis(logits, t):
    if t > 0:
        return shifted(logits, t)
    result = torch.zeros_like(logits)
    result[torch.arange(len(logits)), logits.argmax(-1)] = 1
    return result


RIGHT = [shifted, by_hand, never_quite_zero, by_logarithms]
WRONG = [
    ("divided first", lambda logits, t: F.log_softmax(logits / t, -1).exp() if t else shifted(logits, 0)),
    (None, lambda logits, t: shifted(logits, max(t, 0.1))),
    ("a tiny number added to t", lambda logits, t: shifted(logits, max(t, 1e-8))),
    ("a t that is never below 1e-8", lambda logits, t: shifted(logits, t and max(t, 1e-8))),
    ("a tiny t in place of 0", lambda logits, t: shifted(logits, t or 1e-8)),
    ("a tiny number added to t", lambda logits, t: F.softmax(logits / (t + 1e-8), -1)),
    (
        "a score of 0 in place of minus infinity",
        lambda logits, t: shifted(logits.nan_to_num(neginf=0.0), t),
    ),
    ("rows counted by one axis", rows_in_one_axis),
    (None, lambda logits, t: next_token_probabilities(logits, temperature=t)),
]
