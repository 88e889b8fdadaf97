"""Answers to to_interleaved, as learners write them."""

import torch


def rows_by_reshape(weight, n_heads):
    rows, columns = weight.shape
    return weight.reshape(n_heads, 2, -1, columns).transpose(1, 2).reshape(rows, columns)


def rows_by_index(weight, n_heads, order=lambda k: [i // 2 + (i % 2) * (k // 2) for i in range(k)]):
    k = len(weight) // n_heads
    return weight[[h * k + i for h in range(n_heads) for i in order(k)]]


def rows_by_head(weight, n_heads, join=lambda a, b: torch.stack([a, b], 1).flatten(0, 1)):
    return torch.cat([join(*head.chunk(2)) for head in weight.chunk(n_heads)])


def rows_into_zeros(weight, n_heads):
    out = torch.zeros_like(weight)
    k = weight.shape[0] // n_heads
    for h in range(n_heads):
        out[h * k : (h + 1) * k : 2] = weight[h * k : h * k + k // 2]
        out[h * k + 1 : (h + 1) * k : 2] = weight[h * k + k // 2 : (h + 1) * k]
    return out


def rows_by_matrix(weight, n_heads):
    k = len(weight) // n_heads
    order = torch.arange(k).reshape(2, -1).T.flatten()
    one = torch.eye(k, dtype=weight.dtype)[order]
    return torch.kron(torch.eye(n_heads, dtype=weight.dtype), one) @ weight


def rows_in_place(weight, n_heads):
    weight[:] = rows_by_head(weight, n_heads)
    return weight


RIGHT = [
    rows_by_reshape,
    rows_by_index,
    rows_by_head,
    rows_into_zeros,
    rows_by_matrix,
    lambda weight, n_heads: torch.einsum("hpid->hipd", weight.unflatten(0, (n_heads, 2, -1))).flatten(0, 2),
]
WRONG = [
    ("neighbours exchanged", lambda w, n: rows_by_index(w, n, lambda k: [i ^ 1 for i in range(k)])),
    ("heads interleaved", lambda w, n: torch.cat([rows_by_head(w[h::n], 1) for h in range(n)])),
    (None, rows_in_place),
    (None, lambda w, n: rows_by_reshape(w, n).detach()),
    (None, lambda w, n: rows_by_reshape(w, n).numpy() if not w.requires_grad else None),
    (None, lambda w, n: rows_by_head(w, n, lambda a, b: torch.stack([a, -b], 1).flatten(0, 1))),
    (None, lambda w, n: rows_by_head(w, n).view(2, -1, w.shape[1])),
    (None, lambda w, n: rows_by_head(w, n).int()),
    (None, lambda w, n: rows_by_index(w, n, lambda k: range(0, k, 2))),
    (None, lambda w, n: list(rows_by_head(w, n))),
    (None, lambda w, n: rows_by_head(w, n).squeeze(1)),
    (None, lambda w, n: w.flip(0) if len(w) == 2 * n else rows_by_head(w, n)),
]
