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


def as_a_product(vectors, mask):
    """Weights that sum to 1, times the vectors."""
    weights = mask.to(vectors.dtype)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.einsum("bt,btd->bd", weights, torch.where(mask[..., None], vectors, torch.zeros(())))


def by_nanmean(vectors, mask):
    return vectors.where(mask[..., None], torch.nan).nanmean(1).nan_to_num(0.0)


def place_by_place(vectors, mask):
    total, count = torch.zeros_like(vectors[:, 0]), torch.zeros(len(vectors), 1)
    for t in range(vectors.shape[1]):
        here = mask[:, t, None]
        total = total + torch.where(here, vectors[:, t], torch.zeros_like(total))
        count = count + here
    return torch.where(count > 0, total / count.clamp(min=1.0), torch.zeros_like(total))


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


def in_place(vectors, mask):
    vectors[~mask] = 0
    return vectors.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


RIGHT = [
    chosen_then_divided,
    text_by_text,
    as_a_product,
    added_by_index,
    by_nanmean,
    place_by_place,
]
WRONG = [
    ("divided by all places", lambda vectors, mask: vectors.where(mask[..., None], 0.0).mean(1)),
    (
        "the largest",
        lambda vectors, mask: vectors.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values,
    ),
    (
        "the last token",
        lambda vectors, mask: vectors.gather(
            1, (mask.sum(1) - 1).remainder(mask.shape[1])[:, None, None].expand(-1, 1, vectors.shape[-1])
        ).squeeze(1),
    ),
    (
        "padding times zero",
        lambda vectors, mask: (
            torch.einsum("btd,bt->bd", vectors, mask.to(vectors.dtype))
            / mask.sum(1, keepdim=True).clamp(min=1)
        ),
    ),
    (
        "the first places",
        lambda vectors, mask: torch.stack(
            [row[: int(n)].sum(0) / max(int(n), 1) for row, n in zip(vectors, mask.sum(1), strict=True)]
        ),
    ),
    (None, in_place),
    (None, from_first_to_last),
    (None, without_nan),
    (
        None,
        lambda vectors, mask: vectors.where(mask[..., None], 0).sum(1) / (mask.sum(1, keepdim=True) + 1e-3),
    ),
    (None, lambda vectors, mask: chosen_then_divided(vectors, mask).half()),
    (None, lambda vectors, mask: chosen_then_divided(vectors, mask).detach()),
    (None, lambda vectors, mask: vectors.masked_fill(~mask[..., None], 0).median(1).values),
]
