"""Answers to heads_off, as learners write them."""

import torch


def by_loop(mix, heads):
    out = torch.empty_like(mix)
    for head in range(mix.shape[1]):
        out[:, head] = 0 * mix[:, head] if head in heads else mix[:, head]
    return out


def by_copy(mix, heads):
    out = mix.clone()
    for head in heads:
        out.select(1, head)[...] = 0
    return out


def others(mix, heads):
    out = torch.zeros_like(mix)
    out[:, heads] = mix[:, heads]
    return out


def one_after_the_other(mix, heads):
    for head in heads:
        out = mix.clone()
        out[:, head] = 0
    return out if heads else mix


RIGHT = [
    by_loop,
    lambda mix, heads: (
        mix
        * torch.tensor([float(h not in heads) for h in range(mix.shape[1])], dtype=mix.dtype)[:, None, None]
    ),
    lambda mix, heads: mix.index_fill(1, torch.tensor(heads, dtype=torch.long), 0),
    lambda mix, heads: mix - others(mix, heads),
]
WRONG = [
    ("only the last of the list", one_after_the_other),
    ("nothing switched off", lambda mix, heads: mix),
    ("everything switched off", lambda mix, heads: by_copy(mix, range(mix.shape[1]))),
    ("an empty list as an index of floats", lambda mix, heads: mix.index_fill(1, torch.tensor(heads), 0)),
    ("the first head stays", lambda mix, heads: by_loop(mix, [head for head in heads if head])),
    ("an axis of one lost", lambda mix, heads: by_loop(mix, heads).squeeze(2)),
]
