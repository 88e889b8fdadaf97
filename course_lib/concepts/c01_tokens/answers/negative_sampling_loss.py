"""Answers to negative_sampling_loss, as learners write them."""

import torch
import torch.nn.functional as F


def scores_of(c, x, n):
    return torch.einsum("bd,bd->b", c, x), torch.einsum("bd,bkd->bk", c, n)


def loss_by_loops(c, x, n):
    losses = []
    for centre, context, drawn in zip(c, x, n, strict=True):
        loss = -F.logsigmoid(centre @ context)
        for other in drawn:
            loss = loss - F.logsigmoid(-(other @ centre))
        losses.append(loss)
    return sum(losses) / len(losses)


def loss_by_cross_entropy(c, x, n):
    right, wrong = scores_of(c, x, n)
    scores = torch.cat([right[:, None], wrong], 1)
    target = torch.zeros_like(scores)
    target[:, 0] = 1
    return F.binary_cross_entropy_with_logits(scores, target, reduction="sum") / len(c)


def loss_by_logaddexp(c, x, n):
    right, wrong = scores_of(c, x, n)
    zero = torch.zeros((), dtype=c.dtype)
    return torch.logaddexp(zero, -right).mean() + torch.logaddexp(zero, wrong).sum() / len(wrong)


def loss(c, x, n, log=F.logsigmoid):
    right, wrong = scores_of(c, x, n)
    return -(log(right) + log(-wrong).sum(1)).mean()


def log_by_cases(scores):
    below = scores - torch.log1p(torch.exp(scores))
    return torch.where(scores > 0, -torch.log1p(torch.exp(-scores)), below)


def softmax_loss(c, x, n):
    words = torch.cat([x[:, None], n], 1)
    return F.cross_entropy((words * c[:, None]).sum(-1), torch.zeros(len(c), dtype=torch.long))


RIGHT = [
    loss_by_loops,
    loss_by_cross_entropy,
    loss_by_logaddexp,
    lambda c, x, n: loss(c, x, n, log=lambda s: torch.clamp(s, max=0) - torch.log1p(torch.exp(-abs(s)))),
]
WRONG = [
    ("softmax instead of sigmoids", softmax_loss),
    ("gradients that are NaN", lambda c, x, n: loss(c, x, n, log=log_by_cases)),
    (
        "1e-9 added before the logarithm",
        lambda c, x, n: loss(c, x, n, log=lambda s: torch.log(torch.sigmoid(s) + 1e-9)),
    ),
]
