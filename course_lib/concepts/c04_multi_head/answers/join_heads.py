"""Answers to join_heads, as learners write them."""

import torch


def by_loop(heads):
    return torch.cat([heads[:, h] for h in range(heads.shape[1])], dim=-1)


def into_table(heads):
    b, h, t, k = heads.shape
    out = torch.empty(b, t, h * k, dtype=heads.dtype)
    for i in range(h):
        out[:, :, i * k : (i + 1) * k] = heads[:, i]
    return out


def token_by_token(heads):
    rows = [torch.stack([sequence[:, t].flatten() for t in range(heads.shape[2])]) for sequence in heads]
    return torch.stack(rows)


RIGHT = [
    by_loop,
    into_table,
    token_by_token,
    lambda heads: heads.permute(0, 2, 1, 3).contiguous().view(len(heads), heads.shape[2], -1),
    lambda heads: heads.mT.flatten(1, 2).mT,
]
WRONG = [
    (None, lambda heads: heads.transpose(1, 2).view(len(heads), heads.shape[2], -1)),
    ("one head is left as it is", lambda heads: heads if heads.shape[1] == 1 else by_loop(heads)),
    (
        "heads of one number are left as they are",
        lambda heads: heads.squeeze(3) if heads.shape[3] == 1 else by_loop(heads),
    ),
    ("no axis for one token", lambda heads: by_loop(heads).squeeze(1)),
]
