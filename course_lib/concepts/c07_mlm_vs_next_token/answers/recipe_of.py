"""Answers to recipe_of, as learners write them."""

import numpy as np
import torch


def counted_one_by_one(inputs, targets, mask_id, special_ids):
    ordinary = asked = masked = left = 0
    for token, target in zip(inputs.flatten().tolist(), targets.flatten().tolist(), strict=True):
        if target == -100:
            ordinary += token not in special_ids
            continue
        ordinary += 1
        asked += 1
        if token == mask_id:
            masked += 1
        elif token == target:
            left += 1
    other = asked - masked - left
    shares = [asked / max(ordinary, 1)] + [n / max(asked, 1) for n in (masked, other, left)]
    return torch.tensor(shares)


def the_asked_alone(inputs, targets, mask_id, special_ids):
    """The asked places first; then means, which nothing has none of."""
    asked = targets != -100
    is_special = torch.stack([inputs == i for i in special_ids]).any(0)
    n_ordinary = int((asked | ~is_special).sum())
    if not asked.any():
        return torch.zeros(4)
    now, before = inputs[asked], targets[asked]
    masked, left = (now == mask_id).double().mean(), (now == before).double().mean()
    return torch.stack([asked.sum() / n_ordinary, masked, 1 - masked - left, left])


def by_numpy(inputs, targets, mask_id, special_ids):
    now, before = inputs.numpy(), targets.numpy()
    asked = before >= 0
    special = np.isin(now, special_ids) & ~asked
    kind = np.select([~asked, now == mask_id, now == before], [0, 1, 3], default=2)
    counts = np.bincount(kind.ravel(), minlength=4)
    shares = counts[1:] / max(asked.sum(), 1)
    return torch.tensor([asked.sum() / max((~special).sum(), 1), *shares])


def the_text_restored(inputs, targets, mask_id, special_ids):
    """What stood there before, as far as the batch tells it."""
    text = torch.where(targets == -100, inputs, targets)
    ordinary = ~torch.isin(text, torch.tensor(special_ids))
    asked = (targets != -100).float()
    masks, same = (inputs == mask_id).float(), (inputs == text).float()
    total = asked.sum() + (asked.sum() == 0)
    masked, left = (asked * masks).sum() / total, (asked * same).sum() / total
    other = (asked * (1 - masks) * (1 - same)).sum() / total
    return torch.stack([asked.sum() / torch.maximum(ordinary.sum(), torch.tensor(1)), masked, other, left])


def nan_to_zero(inputs, targets, mask_id, special_ids):
    asked = targets.ne(-100)
    ordinary = asked | ~torch.isin(inputs, torch.as_tensor(special_ids))
    parts = torch.stack([asked & (inputs == mask_id), asked & (inputs == targets)]).flatten(1).sum(1)
    masked, left = parts / asked.sum()
    return torch.nan_to_num(torch.stack([asked.sum() / ordinary.sum(), masked, 1 - masked - left, left]))


def lessons_own(ids, mask_id, vocab_size, special_ids):
    """What the lesson typed, which hides and does not look."""
    dice = torch.rand(ids.shape)
    dice[torch.isin(ids, torch.tensor(special_ids))] = 1.0
    return torch.where(dice < 0.15, mask_id, ids), torch.where(dice < 0.15, ids, -100)


def means_of_nothing(inputs, targets, mask_id, special_ids):
    """Fails where nothing is asked: the mean of nothing is no number."""
    asked = targets != -100
    special = torch.isin(inputs, torch.tensor(special_ids)) & ~asked
    now, before = inputs[asked], targets[asked]
    masked, left = (now == mask_id).float().mean(), (now == before).float().mean()
    n_ordinary = (~special).sum().clamp(min=1)
    return torch.stack([asked.sum() / n_ordinary, masked, 1 - masked - left, left])


def rows_apart(inputs, targets, mask_id, special_ids):
    asked = targets != -100
    special = torch.isin(inputs, torch.tensor(special_ids)) & ~asked
    n_asked, n_ordinary = asked.sum(1).clamp(min=1), (~special).sum(1).clamp(min=1)
    kinds = asked & (inputs == mask_id), asked & (inputs != mask_id) & (inputs != targets), inputs == targets
    shares = [asked.sum(1) / n_ordinary, *(kind.sum(1) / n_asked for kind in kinds)]
    return torch.stack([share.mean() for share in shares])


def zeros_where_all_are_special(inputs, targets, mask_id, special_ids):
    """Knows one kind of nothing, and not the other."""
    if torch.isin(inputs, torch.tensor(special_ids)).all():
        return torch.zeros(4)
    return means_of_nothing(inputs, targets, mask_id, special_ids)


RIGHT = [counted_one_by_one, the_asked_alone, by_numpy, the_text_restored, nan_to_zero]
WRONG = [
    ("NaN where nothing is asked", means_of_nothing),
    ("the mean of the rows", rows_apart),
    ("zeros where all tokens are special", zeros_where_all_are_special),
    ("special ids by heart", lambda *given: counted_one_by_one(*given[:3], [1, 2])),
    (None, lessons_own),
    (None, lambda *given: counted_one_by_one(*given)[:3]),
    (None, lambda *given: counted_one_by_one(*given).round(decimals=1)),
    (None, lambda inputs, targets, *others: counted_one_by_one(targets, inputs, *others)),
    (None, lambda *given: counted_one_by_one(*given).flip(0)),
]
