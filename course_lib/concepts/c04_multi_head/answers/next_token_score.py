"""Answers to next_token_score, as learners write them."""

import torch


def by_loops(weights, lengths):
    _, n_layers, n_heads, _, _ = weights.shape
    out = torch.zeros(n_layers, n_heads, dtype=weights.dtype)
    for layer in range(n_layers):
        for head in range(n_heads):
            found = [
                weights[b, layer, head, query, query + 1]
                for b, n in enumerate(lengths)
                for query in range(n - 1)
            ]
            out[layer, head] = torch.stack(found).mean()
    return out


def pairs(weights, lengths):
    """Which weights count: (B, T, T)."""
    places = torch.arange(weights.shape[-1])
    is_after = places[:, None] + 1 == places
    is_real = places < torch.tensor(lengths)[:, None]
    return is_after & is_real[:, None]


def by_mask(weights, lengths):
    counted = pairs(weights, lengths)
    return (weights * counted[:, None, None]).sum((0, 3, 4)) / counted.sum()


def joined(weights, lengths):
    """All pairs of all texts side by side."""
    looked = weights.diagonal(offset=1, dim1=-2, dim2=-1)
    return torch.cat([text[..., : n - 1] for text, n in zip(looked, lengths, strict=True)], dim=-1).mean(-1)


def weighted(weights, lengths):
    """A mean of the texts' means, each with as much weight as it has pairs."""
    means = [
        text[..., : n - 1, 1:n].diagonal(dim1=-2, dim2=-1).mean(-1)
        for text, n in zip(weights, lengths, strict=True)
    ]
    n_pairs = [n - 1 for n in lengths]
    return sum(n * each for n, each in zip(n_pairs, means, strict=True)) / sum(n_pairs)


def squeezed(weights, lengths):
    """A text of two tokens has one pair, and its axis is gone."""
    looked = weights.diagonal(offset=1, dim1=-2, dim2=-1)
    sums = [text[..., : n - 1].squeeze(-1).sum(-1) for text, n in zip(looked, lengths, strict=True)]
    return sum(sums) / (sum(lengths) - len(lengths))


RIGHT = [
    by_loops,
    by_mask,
    joined,
    weighted,
    lambda weights, lengths: by_loops(weights, lengths).tolist(),
]
WRONG = [
    ("the token before", lambda weights, lengths: joined(weights.mT, lengths)),
    (
        "the filling counts",
        lambda weights, lengths: weights.diagonal(offset=1, dim1=-2, dim2=-1).mean((0, -1)),
    ),
    ("the longest text for all", lambda weights, lengths: joined(weights, [max(lengths)] * len(lengths))),
    ("an axis of one lost", squeezed),
    (None, lambda weights, lengths: joined(weights, lengths).squeeze()),
]
