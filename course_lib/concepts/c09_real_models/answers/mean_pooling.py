"""Answers to mean_pooling, as learners write them."""

import torch


def chosen_then_divided(vectors, mask):
    total = vectors.masked_fill(~mask.unsqueeze(-1), 0).sum(dim=1)
    return total / mask.sum(dim=1).clamp(min=1).unsqueeze(-1)


def text_by_text(vectors, mask):
    rows = []
    for numbers, is_token in zip(vectors, mask, strict=True):
        tokens = numbers[is_token]
        rows.append(tokens.mean(0) if len(tokens) else numbers.new_zeros(numbers.shape[-1]))
    return torch.stack(rows)


def by_nanmean(vectors, mask):
    return vectors.where(mask[..., None], torch.nan).nanmean(1).nan_to_num(0.0)


def added_by_index(vectors, mask):
    rows, _ = mask.nonzero(as_tuple=True)
    total = torch.zeros_like(vectors[:, 0]).index_add(0, rows, vectors[mask])
    return total / torch.bincount(rows, minlength=len(mask)).clamp(min=1)[:, None]


def from_first_to_last(vectors, mask):
    rows = torch.zeros_like(vectors[:, 0])
    for i, places in enumerate(row.nonzero()[:, 0] for row in mask):
        if len(places):
            rows[i] = vectors[i, places[0] : places[-1] + 1].mean(0)
    return rows


def without_nan(vectors, mask):
    tokens = torch.where(vectors.isnan(), 0.0, vectors) * mask[..., None]
    return tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


RIGHT = [chosen_then_divided, text_by_text, added_by_index, by_nanmean]
WRONG = [
    ("divided by all places", lambda vectors, mask: vectors.where(mask[..., None], 0.0).mean(1)),
    (
        "the largest",
        lambda vectors, mask: vectors.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values,
    ),
    (
        "padding times zero",
        lambda vectors, mask: (
            torch.einsum("btd,bt->bd", vectors, mask.to(vectors.dtype))
            / mask.sum(1, keepdim=True).clamp(min=1)
        ),
    ),
    ("from the first token to the last", from_first_to_last),
    ("only NaN taken out", without_nan),
    (
        None,
        lambda vectors, mask: vectors.where(mask[..., None], 0).sum(1) / (mask.sum(1, keepdim=True) + 1e-3),
    ),
]
