"""Answers to split_heads, as learners write them."""

import torch


def by_loop(x, n_heads):
    k = x.shape[-1] // n_heads
    return torch.stack([x[..., h * k : (h + 1) * k] for h in range(n_heads)], 1)


def into_table(x, n_heads):
    b, t, d = x.shape
    out = x.new_zeros(b, n_heads, t, d // n_heads)
    for i in range(d):
        out[:, i // (d // n_heads), :, i % (d // n_heads)] = x[:, :, i]
    return out


RIGHT = [
    by_loop,
    into_table,
    lambda x, n_heads: x.reshape(*x.shape[:2], n_heads, x.shape[2] // n_heads).permute(0, 2, 1, 3),
    lambda x, n_heads: x.mT.reshape(len(x), n_heads, -1, x.shape[1]).mT,
    lambda x, n_heads: x.unfold(2, x.shape[2] // n_heads, x.shape[2] // n_heads).movedim(2, 1),
]
WRONG = [
    (None, lambda x, h: x),
    ("tokens shared out", lambda x, h: torch.stack(x.chunk(h, dim=1), 1)),
    ("no axis for one head", lambda x, h: by_loop(x, h).squeeze(1)),
    ("no axis for one number", lambda x, h: by_loop(x, h).squeeze(3)),
    ("no axis for one token", lambda x, h: by_loop(x, h).squeeze(2)),
]
