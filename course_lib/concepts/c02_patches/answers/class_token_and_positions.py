"""Answers to class_token_and_positions, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn


def tokens_by_loop(patches, token, positions):
    out = []
    for image in patches:
        rows = [token + positions[0]]
        for i, patch in enumerate(image):
            rows.append(patch + positions[i + 1])
        out.append(torch.stack(rows))
    return torch.stack(out)


def tokens_in_place(patches, token, positions):
    b, n, d = patches.shape
    out = torch.empty(b, n + 1, d, dtype=patches.dtype)
    out[:, 0] = token + positions[0]
    out[:, 1:] = patches + positions[1 : n + 1]
    return out


def tokens_repeated(patches, token, positions):
    x = torch.cat([token.repeat(len(patches), 1).unsqueeze(1), patches], dim=1)
    return x + positions[None, : patches.size(1) + 1, :]


def tokens_by_padding(patches, token, positions):
    x = F.pad(patches, (0, 0, 1, 0))
    first = (torch.arange(x.shape[1]) == 0).to(x.dtype)
    return x + torch.outer(first, token) + positions.narrow(0, 0, x.shape[1])


def placed(x, positions):
    return x + positions[: x.shape[1]]


def tokens_new_parameters(patches, token, positions):
    token = nn.Parameter(token.repeat(len(patches), 1, 1))
    return placed(torch.cat([token, patches], 1), positions)


RIGHT = [tokens_by_loop, tokens_in_place, tokens_repeated, tokens_by_padding]
WRONG = [
    ("gradients cut off", tokens_new_parameters),
    ("all positions", lambda x, token, table: torch.stack([torch.cat([token[None], y]) for y in x]) + table),
]
