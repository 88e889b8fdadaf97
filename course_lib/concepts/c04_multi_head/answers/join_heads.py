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
    lambda heads: torch.einsum("bhtk->bthk", heads).reshape(heads.shape[0], heads.shape[2], -1),
    lambda heads: heads.movedim(1, 2).flatten(start_dim=-2),
    lambda heads: heads.mT.flatten(1, 2).mT,
    lambda heads: torch.cat(heads.unbind(1), 2),
]
WRONG = [
    ("interleaved heads", lambda heads: torch.stack(heads.unbind(1), -1).flatten(2)),
    ("one head below the other", lambda heads: torch.cat(heads.unbind(1), 1)),
    ("tokens in columns", lambda heads: heads.mT.flatten(1, 2)),
    ("the last head first", lambda heads: torch.cat(heads.unbind(1)[::-1], -1)),
    (None, lambda heads: heads.prod(1)),
    (None, lambda heads: heads[:, -1]),
    (None, lambda heads: by_loop(heads).numpy() if not heads.requires_grad else None),
    (None, lambda heads: by_loop(heads).detach()),
    (None, lambda heads: heads.transpose(1, 2).view(len(heads), heads.shape[2], -1)),
    (None, lambda heads: None),
    (None, lambda heads: heads if heads.shape[1] == 1 else by_loop(heads)),
    (None, lambda heads: heads.squeeze(3) if heads.shape[3] == 1 else by_loop(heads)),
    (None, lambda heads: by_loop(heads).squeeze(1)),
]
