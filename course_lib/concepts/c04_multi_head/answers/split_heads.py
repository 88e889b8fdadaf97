"""Answers to split_heads, as learners write them."""

import numpy as np
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


def in_numpy(x, n_heads):
    array = x.detach().numpy()
    return torch.from_numpy(np.stack(np.split(array, n_heads, -1), 1))


def in_place(x, n_heads):
    x *= 1
    x += 0.5
    return by_loop(x, n_heads)


RIGHT = [
    by_loop,
    into_table,
    lambda x, n_heads: x.reshape(*x.shape[:2], n_heads, x.shape[2] // n_heads).permute(0, 2, 1, 3),
    lambda x, n_heads: torch.stack(x.chunk(n_heads, dim=-1), dim=1),
    lambda x, n_heads: x.mT.reshape(len(x), n_heads, -1, x.shape[1]).mT,
    lambda x, n_heads: torch.einsum("bthk->bhtk", x.unflatten(2, (n_heads, -1))),
    lambda x, n_heads: x.unfold(2, x.shape[2] // n_heads, x.shape[2] // n_heads).movedim(2, 1),
    lambda x, n_heads: torch.cat([piece[:, None] for piece in x.tensor_split(n_heads, 2)], 1),
]
WRONG = [
    ("interleaved heads", lambda x, h: torch.stack([x[..., head::h] for head in range(h)], 1)),
    ("everything for every head", lambda x, h: x[:, None].repeat(1, h, 1, 1)),
    ("tokens in columns", lambda x, h: x.mT.reshape(len(x), h, -1, x.shape[1])),
    ("heads joined with the batch", lambda x, h: torch.cat(list(by_loop(x, h)))),
    (None, in_numpy),
    (None, in_place),
    (None, lambda x, h: list(x.chunk(h, -1))),
    (None, lambda x, h: by_loop(x, h).half()),
    (None, lambda x, h: torch.stack([x[..., : x.shape[2] // h]] * h, 1)),
    (None, lambda x, h: x),
    (None, lambda x, h: by_loop(x, h).squeeze(1)),
    (None, lambda x, h: by_loop(x, h).squeeze(3)),
    (None, lambda x, h: by_loop(x, h).squeeze(2)),
]
