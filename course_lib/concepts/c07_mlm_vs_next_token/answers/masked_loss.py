"""Answers to masked_loss, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import objectives as library


def loss_by_choosing(logits, targets):
    asked = targets != -100
    if not asked.any():
        return logits.new_zeros(())
    logs = logits[asked].log_softmax(-1)
    return -logs[torch.arange(len(logs)), targets[asked]].mean()


def loss_by_one_hot(logits, targets):
    v = logits.shape[-1]
    wanted = (targets[..., None] == torch.arange(v)).to(logits.dtype)
    return -(wanted * F.log_softmax(logits, -1)).sum() / max(int(wanted.sum()), 1)


def loss_by_hand(logits, targets):
    asked = targets.ne(-100)
    shifted = logits - logits.max(-1, keepdim=True).values
    logs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    chosen = torch.take_along_dim(logs, targets.masked_fill(~asked, 0).unsqueeze(-1), -1).squeeze(-1)
    return -chosen.masked_fill(~asked, 0).sum() / (asked.sum() + (~asked.any()))


def loss_by_nan_to_num(logits, targets):
    """The mean of nothing is NaN, and becomes 0."""
    keep = (targets != -100).nonzero(as_tuple=True)
    logs = nn.LogSoftmax(dim=-1)(logits[keep])
    return logs.gather(1, targets[keep][:, None]).neg().mean().nan_to_num(0)


def loss_by_weighted_rows(logits, targets):
    asked = targets != -100
    logs = logits.log_softmax(-1).gather(-1, targets.where(asked, 0)[..., None])[..., 0]
    n = asked.sum(1)
    means = -(logs * asked).sum(1) / n
    return (means * n).nansum() / n.sum().clamp(min=1)


RIGHT = [loss_by_choosing, loss_by_one_hot, loss_by_hand, loss_by_nan_to_num]
WRONG = [
    (
        "NaN where nothing is asked",
        lambda logits, t: -logits[t >= 0].log_softmax(-1).gather(-1, t[t >= 0][:, None]).mean(),
    ),
    (
        None,
        lambda logits, t: (
            F.cross_entropy(logits.flatten(0, 1), t.flatten(), reduction="sum") / (t >= 0).sum().clamp(min=1)
        ),
    ),
    (
        None,
        lambda logits, t: nn.CrossEntropyLoss(reduction="sum")(logits.mT, t) / (t >= 0).sum().clamp(min=1),
    ),
    (
        None,
        lambda logits, t: (
            F.nll_loss(logits.log_softmax(-1).mT, t, reduction="sum") / (t >= 0).sum().clamp(min=1)
        ),
    ),
    ("a mean of that row, whose gradient is NaN", loss_by_weighted_rows),
    (None, library.token_loss),
    (None, lambda logits, t: -logits[t >= 0].log_softmax(-1).gather(-1, t[t >= 0][:, None]).median()),
]
