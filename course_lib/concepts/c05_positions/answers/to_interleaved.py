"""Answers to to_interleaved, as learners write them."""

import torch


def rows_by_reshape(weight, n_heads):
    rows, columns = weight.shape
    return weight.reshape(n_heads, 2, -1, columns).transpose(1, 2).reshape(rows, columns)


def rows_by_index(weight, n_heads):
    k = len(weight) // n_heads
    return weight[[h * k + i // 2 + (i % 2) * (k // 2) for h in range(n_heads) for i in range(k)]]


def rows_by_head(weight, n_heads):
    return torch.cat([torch.stack(head.chunk(2), 1).flatten(0, 1) for head in weight.chunk(n_heads)])


def rows_by_matrix(weight, n_heads):
    k = len(weight) // n_heads
    order = torch.arange(k).reshape(2, -1).T.flatten()
    one = torch.eye(k, dtype=weight.dtype)[order]
    return torch.kron(torch.eye(n_heads, dtype=weight.dtype), one) @ weight


RIGHT = [rows_by_reshape, rows_by_index, rows_by_head, rows_by_matrix]
WRONG = [
    (None, lambda w, n: rows_by_head(w, n).view(2, -1, w.shape[1])),
    (None, lambda w, n: rows_by_head(w, n).int()),
    ("even rows, then odd rows", lambda w, n: torch.cat([w[::2], w[1::2]])),
    ("an axis of one lost", lambda w, n: rows_by_head(w, n).squeeze(1)),
]
