"""Answers to next_probabilities, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib import generation


def heat(logits, t):
    best = logits.amax(-1, keepdim=True)
    return (logits == best).to(logits.dtype) if t == 0 else ((logits - best) / t).softmax(-1)


def cut(chances, p, crosses=True):
    ordered, places = chances.sort(-1, descending=True)
    sums = ordered.cumsum(-1)
    keeps = sums - ordered < p if crosses else (sums <= p) | (torch.arange(chances.shape[-1]) == 0)
    kept = chances * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True)


def threshold(logits, t, p):
    chances = heat(logits, t)
    ordered = chances.sort(-1, descending=True).values
    last = (ordered.cumsum(-1) - ordered < p).sum(-1, keepdim=True) - 1
    kept = chances.where(chances >= ordered.gather(-1, last), 0)
    return kept / kept.sum(-1, keepdim=True)


def row_by_row(logits, t, p):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        best = max(row)
        powers = [float(x == best) if t == 0 else math.exp((x - best) / t) for x in row]
        total, so_far, kept = sum(powers), 0.0, {}
        for i in sorted(range(len(row)), key=powers.__getitem__, reverse=True):
            kept[i] = powers[i]
            so_far += powers[i]
            if so_far >= p * total:
                break
        rows.append([kept.get(i, 0.0) / so_far for i in range(len(row))])
    return torch.tensor(rows, dtype=logits.dtype).reshape(logits.shape)


def masked_scores(logits, t, p):
    if t == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    scores = (logits - logits.amax(-1, keepdim=True)) / t
    ordered, places = scores.sort(dim=-1)
    goes = ordered.softmax(-1).cumsum(-1) <= 1 - p
    goes[..., -1] = False
    if p < 1:
        scores = scores.masked_fill(torch.zeros_like(goes).scatter(-1, places, goes), -torch.inf)
    return scores.softmax(-1)


def cut_as_first_row(chances, p):
    flat = chances.reshape(-1, chances.shape[-1])
    n = int((flat[0].sort(descending=True).values.cumsum(0) < p).sum()) + 1
    best = flat.topk(min(n, flat.shape[-1]))
    kept = torch.zeros_like(flat).scatter(-1, best.indices, best.values)
    return (kept / kept.sum(-1, keepdim=True)).view_as(chances)


def of_the_likeliest(logits, n):
    """The others are ruled out."""
    lowest = logits.topk(min(n, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < lowest, -torch.inf)


def min_p(chances, p):
    kept = chances.where(chances >= (1 - p) * chances.max(-1, keepdim=True).values, 0)
    return kept / kept.sum(-1, keepdim=True)


RIGHT = [
    lambda logits, t, p: cut(heat(logits, t), p),
    threshold,
    row_by_row,
    masked_scores,
]
WRONG = [
    ("no temperature", lambda logits, t, p: cut(heat(logits, min(t * 1e40, 1.0)), p)),
    ("without the one that crosses", lambda logits, t, p: cut(heat(logits, t), p, crosses=False)),
    (None, lambda logits, t, p: generation.next_token_probabilities(logits, temperature=t, top_p=p)),
    ("one cut for all rows", lambda logits, t, p: cut_as_first_row(heat(logits, t), p)),
    ("a share of the largest", lambda logits, t, p: min_p(heat(logits, t), p)),
    ("logarithms", lambda logits, t, p: cut(heat(logits, t), p).log()),
    (
        "minus infinity taken for a number",
        lambda logits, t, p: threshold(logits.nan_to_num(neginf=0.0), t, p),
    ),
    ("a cut after a few tokens", lambda logits, t, p: cut(heat(of_the_likeliest(logits, 5), t), p)),
]
