"""Answers to top_p, as learners write them."""

import numpy as np
import torch

from course_lib.generation import next_token_probabilities


def sorted_and_scattered(probabilities, p):
    ordered, places = torch.sort(probabilities, dim=-1, descending=True)
    before = torch.cumsum(ordered, -1) - ordered
    kept = torch.where(before < p, ordered, torch.zeros_like(ordered))
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, places, kept)


def token_by_token(probabilities, p):
    """A loop, as the task's words say it."""
    result = torch.zeros_like(probabilities).reshape(-1, probabilities.shape[-1])
    for row, chances in zip(result, probabilities.reshape(result.shape), strict=True):
        together = 0.0
        for token in chances.argsort(descending=True).tolist():
            row[token] = chances[token]
            together += float(chances[token])
            if together >= p:
                break
        row /= row.sum()
    return result.reshape(probabilities.shape)


def from_below(probabilities, p):
    """As the library: the unlikely go as long as what stays has p."""
    ascending, places = probabilities.sort(-1)
    goes = ascending.cumsum(-1) <= 1 - p
    goes[..., -1] = False
    kept = probabilities.masked_fill(goes.gather(-1, places.argsort(-1)), 0)
    return kept / kept.sum(-1, keepdim=True)


def pair_by_pair(probabilities, p):
    """A token stays while all that are likelier have less than p."""
    likelier = probabilities[..., None, :] > probabilities[..., :, None]
    before = (likelier * probabilities[..., None, :]).sum(-1)
    kept = probabilities * (before < p)
    return kept / kept.sum(-1, keepdim=True)


def by_lowest(probabilities, p):
    """What the token that crosses has is the lowest that stays."""
    ordered = probabilities.sort(-1, descending=True).values
    n = (ordered.cumsum(-1) < p).sum(-1, keepdim=True).clamp(max=ordered.shape[-1] - 1)
    kept = probabilities * (probabilities >= ordered.gather(-1, n))
    return kept / kept.sum(-1, keepdim=True)


def by_search(probabilities, p):
    rows = probabilities.numpy().reshape(-1, probabilities.shape[-1])
    out = np.zeros_like(rows)
    for row, chances in zip(out, rows, strict=True):
        order = np.argsort(-chances)
        n = int(np.searchsorted(np.cumsum(chances[order]), p)) + 1
        row[order[:n]] = chances[order[:n]] / chances[order[:n]].sum()
    return torch.from_numpy(out.reshape(tuple(probabilities.shape)))


def through_scores(probabilities, p):
    return next_token_probabilities(probabilities.log(), top_p=p)


def first_row_for_all(probabilities, p):
    first = probabilities.reshape(-1, probabilities.shape[-1])[0]
    n = int((sorted_and_scattered(first, p) > 0).sum())
    kept = probabilities * (probabilities >= probabilities.topk(n, -1).values[..., -1:])
    return kept / kept.sum(-1, keepdim=True)


def cut_down(probabilities, p):
    ordered, places = probabilities.sort(-1, descending=True)
    upto = ordered.cumsum(-1).clamp(max=p)
    parts = torch.cat([upto[..., :1], upto.diff(dim=-1)], -1) / p
    return torch.zeros_like(parts).scatter(-1, places, parts)


def in_a_row(chances, p):
    order = chances.argsort(descending=True)
    n = int((chances[order].cumsum(0) < p).sum()) + 1
    kept = torch.zeros_like(chances)
    kept[order[:n]] = chances[order[:n]]
    return kept / kept.sum()


def in_a_table(probabilities, p):
    """One row, or a table of them."""
    if probabilities.ndim == 1:
        return in_a_row(probabilities, p)
    return torch.stack([in_a_row(row, p) for row in probabilities])


def behind_the_last(probabilities, p):
    """Where all that there are do not cross p, there is none that crosses."""
    ordered = probabilities.sort(-1, descending=True).values
    lowest = ordered.gather(-1, (ordered.cumsum(-1) <= p).sum(-1, keepdim=True))
    kept = probabilities * (probabilities >= lowest)
    return kept / kept.sum(-1, keepdim=True)


RIGHT = [sorted_and_scattered, token_by_token, from_below, pair_by_pair, by_search]
WRONG = [
    ("the first row decides", first_row_for_all),
    ("the one that crosses cut down", cut_down),
    (None, lambda probabilities, p: sorted_and_scattered(probabilities, p).softmax(-1)),
    ("a token behind the last looked up", behind_the_last),
    ("a loop over one table", in_a_table),
    (None, through_scores),
]
