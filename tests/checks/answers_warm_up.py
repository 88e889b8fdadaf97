"""Wrong and correct answers to the tasks of 00_overview, written as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

RIGHT, WRONG = {}, {}

# -------------------------------------------------------------------------------------------- vectors in, out

RIGHT["00_overview/vectors_in_out"] = [
    lambda ids, table: np.take(table, ids, axis=0),
    lambda ids, table: np.eye(len(table))[ids] @ table,
    lambda ids, table: F.embedding(torch.tensor(ids), torch.tensor(table)),
    lambda ids, table: np.array([table[i] for i in ids.ravel()]).reshape(*ids.shape, -1),
]
WRONG["00_overview/vectors_in_out"] = [
    ("counted from 1", lambda ids, table: np.stack([table[i - 1] for i in ids])),
    ("columns instead of rows", lambda ids, table: np.take(table, ids, axis=1)),
    ("places instead of ids", lambda ids, table: np.array([table[place] for place in range(ids.shape[-1])])),
    ("numbers instead of rows", lambda ids, table: table.ravel()[ids]),
    ("mean of the text", lambda ids, table: np.take(table, ids, axis=0).sum(-2) / ids.shape[-1]),
    ("each token once", lambda ids, table: np.stack([table[i] for i in sorted(set(ids.ravel().tolist()))])),
    (None, lambda ids, table: table[ids + 1]),
    (None, lambda ids, table: np.eye(len(table))[ids]),
    (None, lambda ids, table: table[ids].astype(np.float16)),
    (None, lambda ids, table: table[tuple(ids)]),
]

# ------------------------------------------------------------------------------------------------ linear head


def head_by_loops(vectors, weight, bias):
    out = np.zeros((*vectors.shape[:-1], len(weight)))
    for place in np.ndindex(*out.shape):
        row = zip(vectors[place[:-1]], weight[place[-1]], strict=True)
        out[place] = sum(float(x) * float(w) for x, w in row) + float(bias[place[-1]])
    return out


def head_with_a_column_of_ones(vectors, weight, bias):
    ones = np.ones((*vectors.shape[:-1], 1), vectors.dtype)
    return np.concatenate([vectors, ones], -1) @ np.concatenate([weight, bias[:, None]], 1).T


def head_in_place(vectors, weight, bias):
    weight *= 1.5
    return vectors @ (weight / 1.5).T + bias


RIGHT["00_overview/linear_head"] = [
    head_by_loops,
    head_with_a_column_of_ones,
    lambda x, w, b: F.linear(torch.tensor(x), torch.tensor(w), torch.tensor(b)),
    lambda x, w, b: np.einsum("...d,cd->...c", x, w) + b,
    lambda x, w, b: (x[..., None, :] * w).sum(-1) + b,
    lambda x, w, b: np.stack([np.dot(x, row) + one for row, one in zip(w, b, strict=True)], -1),
]
WRONG["00_overview/linear_head"] = [
    ("bias forgotten", lambda x, w, b: np.einsum("...d,cd->...c", x, w)),
    ("weight not transposed", lambda x, w, b: b + np.dot(x, w)),
    ("weight on the left", lambda x, w, b: np.matmul(w, x) + b),
    ("bias subtracted", lambda x, w, b: np.einsum("...d,cd->...c", x, w) - b),
    ("bias added to the vectors", lambda x, w, b: np.dot(b + x, w.T)),
    ("bias as a factor", lambda x, w, b: b * np.dot(x, w.T)),
    ("a bias for each vector", lambda x, w, b: np.dot(x, w.T) + b.reshape(-1, 1)),
    ("classes in rows", lambda x, w, b: np.swapaxes(head_by_loops(x, w, b), -1, -2)),
    ("only the last vector", lambda x, w, b: F.linear(*map(torch.tensor, (x[..., -1, :], w, b)))),
    ("chances instead of scores", lambda x, w, b: F.linear(*map(torch.tensor, (x, w, b))).softmax(-1)),
    ("the class instead of its score", lambda x, w, b: np.argmax(head_by_loops(x, w, b), axis=-1)),
    ("negative scores cut off", lambda x, w, b: F.linear(*map(torch.tensor, (x, w, b))).relu()),
    (None, lambda x, w, b: x @ w.T + b + 0.001),
    (None, lambda x, w, b: (x @ w.T + b) / math.sqrt(x.shape[-1])),
    (None, lambda x, w, b: (x.astype(np.float32) @ w.T.astype(np.float32) + b).astype(np.float32)),
    (None, lambda x, w, b: x @ w.T + sum(b)),
    (None, head_in_place),
    ("bias forgotten", lambda x, w, b: (w @ x.T).T),
    (None, lambda x, w, b: (w @ x.T + b[:, None]).T),
]

# --------------------------------------------------------------------------------------- temperature softmax


def chances_by_loops(logits, temperature, of=float):
    """Row by row, in Python's own numbers."""
    out = np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape[:-1]):
        row = [of(x) / temperature for x in logits[place]]
        powers = [math.exp(x - max(row)) for x in row]  # the largest anew for each: slow, and right
        out[place] = [power / sum(powers) for power in powers]
    return out


def chances_by_torch(logits, temperature, dim=-1):
    return torch.softmax(torch.tensor(logits) / temperature, dim=dim)


def chances_in_place(logits, temperature):
    logits /= temperature
    return chances_by_loops(logits, 1)


def bare(x, axis=-1):
    """A softmax without a shift."""
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


RIGHT["00_overview/temperature_softmax"] = [
    chances_by_loops,
    chances_by_torch,
    lambda x, t: np.exp(x / t - np.logaddexp.reduce(x / t, axis=-1, keepdims=True)),
    lambda x, t: bare((x - np.max(x, axis=-1)[..., None]) * (1 / t)),
    lambda x, t: bare(x.astype(np.float64) / t - (x / t).max(-1, keepdims=True)),
    lambda x, t: chances_in_place(x.copy(), t),
]
WRONG["00_overview/temperature_softmax"] = [
    ("multiplied by the temperature", lambda x, t: torch.softmax(torch.tensor(x) * t, -1)),
    ("temperature without effect", lambda x, t: chances_by_loops(x - t, 1)),
    ("temperature behind exp, one sum for all", lambda x, t: np.exp(x) / t / (np.exp(x) / t).sum()),
    ("temperature without effect", lambda x, t: torch.softmax(torch.tensor(x), -1)),
    ("divided after the softmax", lambda x, t: torch.softmax(torch.tensor(x), -1) / t),
    ("a power that is not normalised", lambda x, t: torch.softmax(torch.tensor(x), -1) ** (1 / t)),
    ("overflow", lambda x, t: bare(x / t)),
    ("shifted before dividing", lambda x, t: bare(x / t - np.amax(x, axis=-1)[..., None])),
    ("one maximum for all rows", lambda x, t: bare(x / t - np.max(x / t))),
    ("softmax over the rows", lambda x, t: chances_by_torch(x, t, -2)),
    ("softmax over the first axis", lambda x, t: chances_by_torch(x, t, 0)),
    ("softmax over everything", lambda x, t: chances_by_loops(x.reshape(1, -1), t).reshape(x.shape)),
    ("not normalised", lambda x, t: np.exp((x - np.max(x, axis=-1)[..., None]) / t)),
    (
        "keepdims forgotten",
        lambda x, t: (lambda e: e / np.sum(e, axis=-1))(np.exp((x - x.max(-1)[..., None]) / t)),
    ),
    ("keepdims forgotten, nothing subtracted", lambda x, t: np.exp(x / t) / np.sum(np.exp(x / t), axis=-1)),
    ("divided by the root of the temperature", lambda x, t: chances_by_torch(x, math.sqrt(t))),
    (None, chances_in_place),
    (None, lambda x, t: np.nan_to_num(bare(x / t))),
    (None, lambda x, t: torch.log_softmax(torch.tensor(x) / t, -1)),
    (None, lambda x, t: np.float32(chances_by_loops(x, t))),
    (None, lambda x, t: x / t / (x / t).sum(-1, keepdims=True)),
    (None, lambda x, t: chances_by_loops(x, t).round(3)),
]

# ------------------------------------------------------------------------------------------------------ top k


def top_k_by_loops(logits, k, below=-math.inf):
    out = np.full(logits.shape, below, logits.dtype)
    for row in np.ndindex(*logits.shape[:-1]):
        for place in sorted(range(logits.shape[-1]), key=lambda i: -logits[row][i])[:k]:
            out[(*row, place)] = logits[(*row, place)]
    return out


def top_k_by_repeated_maximum(logits, k):
    left, out = logits.copy(), np.full_like(logits, -np.inf)
    for _ in range(k):
        place = left.argmax(-1)[..., None]
        np.put_along_axis(out, place, np.take_along_axis(left, place, -1), -1)
        np.put_along_axis(left, place, -np.inf, -1)
    return out


def top_k_by_scatter(logits, k, largest=True):
    kept = torch.tensor(logits).topk(k, largest=largest)
    return torch.full(logits.shape, -math.inf, dtype=kept.values.dtype).scatter(-1, kept.indices, kept.values)


def top_k_by_argpartition(logits, k, by=None):
    out = np.full_like(logits, -np.inf)
    kept = np.argpartition(logits if by is None else by, -k, axis=-1)[..., -k:]
    np.put_along_axis(out, kept, np.take_along_axis(logits, kept, -1), -1)
    return out


def top_k_in_place(logits, k):
    logits[logits < np.sort(logits)[..., [-k]]] = -np.inf
    return logits


def threshold(logits, place):
    """One number of each sorted row."""
    return np.sort(logits, axis=-1)[..., place][..., None]


RIGHT["00_overview/top_k"] = [
    top_k_by_loops,
    top_k_by_repeated_maximum,
    top_k_by_scatter,
    top_k_by_argpartition,
    lambda x, k: np.where(x < np.partition(x, -k)[..., [-k]], -np.inf, x),
    lambda x, k: top_k_in_place(x.copy(), k),
    lambda x, k: torch.tensor(x).masked_fill(torch.tensor(x < threshold(x, -k)), -torch.inf),
    lambda x, k: np.where((x[..., None, :] > x[..., None]).sum(-1) < k, x, -np.inf),
]
WRONG["00_overview/top_k"] = [
    ("the k smallest", lambda x, k: top_k_by_scatter(x, k, largest=False)),
    ("the k smallest", lambda x, k: np.where(x <= threshold(x, k - 1), x, -np.inf)),
    ("the k largest were dropped", lambda x, k: np.where(x >= threshold(x, -k), -np.inf, x)),
    ("zero instead of minus infinity", lambda x, k: x * (x >= threshold(x, -k))),
    ("a large negative number", lambda x, k: top_k_by_loops(x, k, below=-1e9)),
    ("one too many", lambda x, k: np.where(x >= threshold(x, -k - 1), x, -np.inf)),
    ("one too few", lambda x, k: np.where(x > threshold(x, -k), x, -np.inf)),
    ("over all rows at once", lambda x, k: np.where(x >= np.sort(x.ravel())[-k], x, -np.inf)),
    ("over the first axis", lambda x, k: np.where(x >= np.sort(x, axis=0)[-k], x, -np.inf)),
    ("sorted", lambda x, k: np.flip(np.sort(top_k_by_loops(x, k), -1), -1)),
    ("the k largest alone", lambda x, k: np.flip(torch.tensor(x).topk(k).values.numpy(), -1)),
    ("places instead of logits", lambda x, k: x.argsort(-1)[..., x.shape[-1] - k :]),
    ("a mask instead of logits", lambda x, k: x >= threshold(x, -k)),
    ("largest in size", lambda x, k: top_k_by_argpartition(x, k, by=np.abs(x))),
    ("chances instead of logits", lambda x, k: top_k_by_scatter(x, k).softmax(-1)),
    (None, top_k_in_place),
    (None, lambda x, k: np.where(x >= k, x, -np.inf)),
    (None, lambda x, k: np.where(x >= threshold(x, -k), x, np.nan)),
    (None, lambda x, k: top_k_by_loops(x, k, below=np.finfo(x.dtype).min)),
    (None, lambda x, k: top_k_by_loops(x, 2)),
    (None, lambda x, k: np.float32(top_k_by_loops(x, k))),
    (None, lambda x, k: torch.tensor(x).topk(k)),
]

# ---------------------------------------------------------------------------------------------------- sampler


def sampler_cut_late(logits, temperature, k):
    """Cut the chances, then bring them back to a sum of 1: the same."""
    chances = chances_by_loops(logits, temperature)
    kept = np.where(chances >= threshold(chances, -k), chances, 0)
    return kept / kept.sum(-1, keepdims=True)


def sampler_one_row(logits, temperature, k):
    """Among the k alone, for one row; a batch is a list of rows."""
    if logits.ndim > 1:
        return np.stack([sampler_one_row(row, temperature, k) for row in logits])
    kept = np.argsort(logits)[-k:]
    out = np.zeros_like(logits)
    out[kept] = chances_by_loops(logits[kept], temperature)
    return out


RIGHT["00_overview/sampler"] = [
    sampler_cut_late,
    sampler_one_row,
    lambda x, t, k: torch.softmax(top_k_by_scatter(x, k) / t, -1),
    lambda x, t, k: bare(top_k_by_argpartition(x / t, k) - (x / t).max(-1, keepdims=True)),
]
WRONG["00_overview/sampler"] = [
    ("top-k forgotten", lambda x, t, k: chances_by_torch(x, t)),
    ("temperature without effect", lambda x, t, k: top_k_by_scatter(x, k).softmax(-1)),
    ("multiplied by the temperature", lambda x, t, k: (t * top_k_by_scatter(x, k)).softmax(-1)),
    ("top-k after the softmax", lambda x, t, k: top_k_by_repeated_maximum(chances_by_loops(x, t), k)),
    ("the dropped still have a share", lambda x, t, k: chances_by_loops(x, t) * (x >= threshold(x, -k))),
    ("zero instead of minus infinity", lambda x, t, k: chances_by_loops(x * (x >= threshold(x, -k)), t)),
    ("the likeliest alone", lambda x, t, k: np.eye(x.shape[-1])[x.argmax(-1)]),
    ("all k alike", lambda x, t, k: (x >= threshold(x, -k)) / k),
    ("no softmax", lambda x, t, k: top_k_by_loops(x, k) / t),
    ("divided twice", lambda x, t, k: (top_k_by_scatter(x, k) / t / t).softmax(-1)),
    (None, lambda x, t, k: sampler_one_row(x, t, k + 1)),
    (None, lambda x, t, k: sampler_cut_late(x, t, k).argmax(-1)),
    (None, lambda x, t, k: -sampler_cut_late(-x, t, k)),
    (None, lambda x, k, t: sampler_cut_late(x, t, int(k))),
]
