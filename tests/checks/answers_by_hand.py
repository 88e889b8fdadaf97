"""Wrong and correct answers to the NumPy tasks of 03_qkv, written as learners write them."""

import math

import numpy as np
import torch

# ---------------------------------------------------------------------------------------------------- project


def project_by_loops(x, w_q, w_k, w_v):
    def times(w):
        out = np.zeros((*x.shape[:-1], w.shape[1]))
        for place in np.ndindex(*x.shape[:-1]):
            for j in range(w.shape[1]):
                for i in range(w.shape[0]):
                    out[(*place, j)] += float(x[place][i]) * float(w[i, j])
        return out

    return times(w_q), times(w_k), times(w_v)


def project_at_once(x, w_q, w_k, w_v):
    return np.split(x @ np.concatenate([w_q, w_k, w_v], axis=1), 3, axis=-1)


def project_one_token(x, w_q, w_k, w_v):
    return [np.stack([w.T @ token for token in x]) for w in (w_q, w_k, w_v)]


PROJECT_RIGHT = [
    project_by_loops,
    project_at_once,
    lambda x, q, k, v: tuple(np.einsum("...td,dk->...tk", x, w) for w in (q, k, v)),
    lambda x, q, k, v: [torch.from_numpy(x.copy()) @ torch.from_numpy(w.copy()) for w in (q, k, v)],
    lambda x, q, k, v: tuple(np.swapaxes(w.T @ np.swapaxes(x, -1, -2), -1, -2) for w in (q, k, v)),
    lambda x, q, k, v: (np.dot(x, q), np.dot(x, k), np.dot(x, v)),
]
PROJECT_WRONG = [
    ("W on the wrong side", lambda x, q, k, v: [np.einsum("...td,kd->...tk", x, w) for w in (q, k, v)]),
    ("W x instead of x W", lambda x, q, k, v: [np.matmul(w, x) for w in (q, k, v)]),
    (None, lambda x, q, k, v: [np.matmul(w.transpose(), x.transpose()).T for w in (q, k, v)]),
    ("one matrix for all three", lambda x, q, k, v: [np.dot(x, q)] * 3),
    ("keys and values swapped", lambda x, q, k, v: project_by_loops(x, q, v, k)),
    ("queries and keys swapped", lambda x, q, k, v: project_at_once(x, k, q, v)),
    ("a chain of projections", lambda x, q, k, v: (x @ q, x @ q @ k, x @ q @ k @ v)),
    ("values not projected", lambda x, q, k, v: (*project_at_once(x, q, k, v)[:2], x.copy())),
    ("tokens in columns", lambda x, q, k, v: [np.einsum("...td,dk->...kt", x, w) for w in (q, k, v)]),
    ("a bias of one", lambda x, q, k, v: [w + np.ones_like(w) for w in project_at_once(x, q, k, v)]),
    (None, lambda x, q, k, v: x @ q),
    (None, lambda x, q, k, v: np.concatenate(project_at_once(x, q, k, v), axis=-1)),
    (None, lambda x, q, k, v: {"q": x @ q, "k": x @ k, "v": x @ v}),
    (None, lambda x, q, k, v: [np.float16(w) for w in project_at_once(x, q, k, v)]),
    (None, lambda x, q, k, v: [np.tanh(w) for w in project_at_once(x, q, k, v)]),
]

# ----------------------------------------------------------------------------------------------------- scores


def scores_by_loops(q, k):
    out = []
    for t in range(q.shape[-2]):
        row = [(q[..., t, :] * k[..., s, :]).sum(-1) for s in range(k.shape[-2])]
        out.append(np.stack(row, -1))
    return np.stack(out, -2) / q.shape[-1] ** 0.5


def scores_plain_loops(q, k):
    """Lists of Python numbers, for two axes; a batch is a list of those."""
    if q.ndim > 2:
        return [scores_plain_loops(a, b) for a, b in zip(q, k, strict=True)]
    width = len(q[0])
    return [
        [sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / math.sqrt(width) for y in k] for x in q
    ]


def scores_in_place(q, k):
    q /= np.sqrt(q.shape[-1]).astype(q.dtype)
    return q @ k.swapaxes(-1, -2)


SCORES_RIGHT = [
    scores_by_loops,
    scores_plain_loops,
    lambda q, k: np.einsum("...tk,...sk->...ts", q, k) * q.shape[-1] ** -0.5,
    lambda q, k: (q / math.sqrt(q.shape[-1])) @ np.moveaxis(k, -1, -2),
    lambda q, k: torch.tensor(q) @ torch.tensor(k).mT / math.sqrt(k.shape[-1]),
    lambda q, k: (k @ q.swapaxes(-1, -2)).swapaxes(-1, -2).astype(np.float64) / np.sqrt(q.shape[-1]),
]
SCORES_WRONG = [
    ("no scaling", lambda q, k: np.einsum("...tk,...sk->...ts", q, k)),
    ("divided by K", lambda q, k: (q[..., :, None, :] * k[..., None, :, :]).mean(-1)),
    ("multiplied instead of divided", lambda q, k: scores_by_loops(q, k) * q.shape[-1]),
    ("divided by half of K", lambda q, k: np.einsum("...tk,...sk->...ts", q, k) / (q.shape[-1] ** 1 / 2)),
    ("divided by twice K", lambda q, k: np.einsum("...tk,...sk->...ts", q, k) / q.shape[-1] ** 1 / 2),
    ("scaled by the number of keys", lambda q, k: np.einsum("...tk,...sk->...ts", q, k) / k.shape[-2] ** 0.5),
    (
        "scaled by the number of queries",
        lambda q, k: np.einsum("...tk,...sk->...ts", q, k) * q.shape[-2] ** -0.5,
    ),
    ("keys ask the queries", lambda q, k: scores_by_loops(k, q)),
    ("all axes reversed", lambda q, k: np.matmul(q, k.transpose()) / math.sqrt(q.shape[-1])),
    (
        "cosines",
        lambda q, k: (
            np.einsum("...tk,...sk->...ts", q, k)
            / np.sqrt((q**2).sum(-1))[..., :, None]
            / np.sqrt((k**2).sum(-1))[..., None, :]
        ),
    ),
    (None, scores_in_place),
    (None, lambda q, k: -((q[..., :, None, :] - k[..., None, :, :]) ** 2).sum(-1)),
    (None, lambda q, k: scores_by_loops(q, k).round(2)),
    (None, lambda q, k: print(scores_by_loops(q, k))),
    (None, lambda q, k: scores_by_loops(q, k).ravel()),
    (None, lambda q, k: q @ k),
]

# ---------------------------------------------------------------------------------------------------- softmax


def softmax_by_loops(scores):
    out = np.zeros(scores.shape)
    for place in np.ndindex(*scores.shape[:-1]):
        row = [float(x) for x in scores[place]]
        powers = [math.exp(x - max(row)) for x in row]
        out[place] = [power / sum(powers) for power in powers]
    return out


def softmax_in_place(scores):
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def softmax_float32(scores):
    out = np.zeros(scores.shape, np.float32)
    out[...] = softmax_by_loops(scores)
    return out


def softmax_without_stability(scores):
    return (
        np.stack([np.exp(column) for column in np.moveaxis(scores, -1, 0)], -1)
        / np.exp(scores).sum(-1)[..., None]
    )


SOFTMAX_RIGHT = [
    softmax_by_loops,
    lambda scores: torch.softmax(torch.tensor(scores), dim=-1),
    lambda scores: np.exp(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)),
    lambda scores: softmax_in_place(scores.copy()),
    lambda scores: softmax_by_loops(scores).tolist(),
    lambda scores: np.apply_along_axis(lambda r: np.exp(r - r.max()) / np.exp(r - r.max()).sum(), -1, scores),
]
SOFTMAX_WRONG = [
    ("softmax over the queries", lambda s: torch.softmax(torch.tensor(s), dim=-2).numpy()),
    ("softmax over the first axis", lambda s: torch.softmax(torch.tensor(s), dim=0)),
    ("axis 1 instead of the last", lambda s: softmax_by_loops(s.swapaxes(1, -1)).swapaxes(1, -1)),
    ("softmax over everything", lambda s: softmax_by_loops(s.reshape(1, -1)).reshape(s.shape)),
    ("overflow", softmax_without_stability),
    ("one maximum for all rows", lambda s: softmax_without_stability(s - np.max(s))),
    ("no exponential", lambda s: s / np.sum(s, axis=-1)[..., None]),
    ("not normalised", lambda s: np.exp(s - np.amax(s, axis=-1)[..., None])),
    ("logarithms", lambda s: torch.log_softmax(torch.tensor(s), -1)),
    (
        "keepdims forgotten",
        lambda s: np.exp(s - s.max(-1)[..., None]) / np.exp(s - s.max(-1)[..., None]).sum(axis=-1),
    ),
    ("sigmoid", lambda s: torch.sigmoid(torch.tensor(s))),
    (None, softmax_in_place),
    (None, softmax_float32),
    (None, lambda s: softmax_by_loops(s) + 1e-4),
    (None, lambda s: softmax_by_loops(s / math.sqrt(s.shape[-1]))),
    (None, lambda s: np.nan_to_num(softmax_without_stability(s))),
    (None, lambda s: [math.exp(x) / sum(map(math.exp, s)) for x in s]),
]

# -------------------------------------------------------------------------------------------------------- mix


def mix_by_loops(weights, v):
    out = np.zeros((*weights.shape[:-1], v.shape[-1]))
    for t in range(weights.shape[-2]):
        for s in range(v.shape[-2]):
            out[..., t, :] += weights[..., t, s, None].astype(float) * v[..., s, :]
    return out


MIX_RIGHT = [
    mix_by_loops,
    lambda w, v: np.einsum("...ts,...sd->...td", w, v),
    lambda w, v: (w[..., :, :, None] * v[..., None, :, :]).sum(-2),
    lambda w, v: torch.tensor(w) @ torch.tensor(v),
    lambda w, v: (v.swapaxes(-1, -2) @ w.swapaxes(-1, -2)).swapaxes(-1, -2),
]
MIX_WRONG = [
    ("weights transposed", lambda w, v: np.einsum("...st,...sd->...td", w, v)),
    ("plain mean", lambda w, v: mix_by_loops(np.ones_like(w) / w.shape[-1], v)),
    ("plain sum", lambda w, v: mix_by_loops(np.ones_like(w), v)),
    ("winner takes all", lambda w, v: mix_by_loops(np.arange(w.shape[-1]) == w.argmax(-1)[..., None], v)),
    ("softmax once more", lambda w, v: softmax_by_loops(w) @ v),
    ("values transposed", lambda w, v: np.einsum("...ts,...ds->...td", w, v)),
    ("divided by the number of values", lambda w, v: (w[..., :, :, None] * v[..., None, :, :]).mean(-2)),
    ("scaled by the width", lambda w, v: mix_by_loops(w, v) / v.shape[-1] ** 0.5),
    (None, lambda w, v: w * v),
    (None, lambda w, v: mix_by_loops(w, v).sum(-2)),
    (None, lambda w, v: mix_by_loops(w / w.sum(-1, keepdims=True), v)),
    (None, lambda w, v: mix_by_loops(w, v).astype(complex)),
    (None, lambda w, v: mix_by_loops(w.round(1), v)),
]

# --------------------------------------------------------------------------------------------- masked weights


def masked_by_loops(scores, mask):
    out = np.zeros(scores.shape)
    for place in np.ndindex(*scores.shape[:-1]):
        allowed = np.flatnonzero(mask[place[-1]])
        if len(allowed):
            out[place][allowed] = softmax_by_loops(scores[place][allowed])
    return out


def masked_by_renormalising(scores, mask):
    largest = np.where(mask, scores, -np.finfo(scores.dtype).max).max(-1, keepdims=True)
    powers = np.exp(np.where(mask, scores - largest, -np.inf))
    return np.divide(powers, powers.sum(-1, keepdims=True), out=np.zeros_like(powers), where=powers > 0)


def masked_in_place(scores, mask):
    scores[~np.broadcast_to(mask, scores.shape)] = -np.inf
    return np.nan_to_num(torch.softmax(torch.tensor(scores), -1).numpy())


def masked_by_torch(scores, mask, fill=-math.inf, dim=-1):
    return torch.softmax(torch.tensor(scores).masked_fill(~torch.tensor(mask), fill), dim)


def masked_large_number(scores, mask):
    return np.where(
        mask, masked_by_torch(scores, mask, torch.finfo(torch.tensor(scores).dtype).min).numpy(), 0
    )


MASKED_RIGHT = [
    masked_by_loops,
    masked_by_renormalising,
    masked_large_number,
    lambda scores, mask: masked_by_torch(scores, mask).nan_to_num(0),
    lambda scores, mask: masked_in_place(scores.copy(), mask),
]
MASKED_WRONG = [
    ("mask upside down", lambda s, m: masked_by_loops(s, np.logical_not(m))),
    ("masked after the softmax", lambda s, m: np.where(m, softmax_by_loops(s), 0)),
    ("NaN where nothing may be seen", lambda s, m: masked_by_torch(s, m)),
    ("a uniform row where nothing may be seen", lambda s, m: masked_by_torch(s, m, -1e9)),
    ("forbidden scores set to zero", lambda s, m: masked_by_torch(s, m, 0.0)),
    ("mask added to the scores", lambda s, m: softmax_by_loops(s + m.astype(s.dtype))),
    ("mask ignored", lambda s, m: softmax_by_loops(s)),
    ("softmax over the queries", lambda s, m: masked_by_torch(s, m, dim=-2).nan_to_num(0)),
    ("mask transposed", lambda s, m: masked_by_renormalising(s, np.moveaxis(m, 0, 1))),
    ("allowed scores vanish", lambda s, m: np.nan_to_num(np.exp(s) * m / (np.exp(s) * m).sum(-1)[..., None])),
    (None, masked_in_place),
    ("a uniform row where nothing may be seen", lambda s, m: masked_by_torch(s, m, -100.0)),
    ("NaN where nothing may be seen", lambda s, m: np.exp(s) * m / (np.exp(s) * m).sum(-1, keepdims=True)),
    (None, lambda s, m: masked_by_loops(s, m) * (1 - 1e-6)),
    (None, lambda s, m: masked_by_loops(s, m).astype(bool)),
]

# ------------------------------------------------------------------------------------------------ causal mask


def causal_by_loops(n_queries, n_keys):
    return [[s - (n_keys - n_queries) <= t for s in range(n_keys)] for t in range(n_queries)]


CAUSAL_RIGHT = [
    causal_by_loops,
    lambda t, s: torch.ones(t, s, dtype=torch.bool).tril(s - t),
    lambda t, s: np.tril(np.ones((t, s), dtype=bool), k=s - t),
    lambda t, s: ~np.triu(np.ones((t, s), bool), 1 + s - t),
    lambda t, s: np.tri(s, s, dtype=bool)[s - t :] if s >= t else np.array(causal_by_loops(t, s)),
]
CAUSAL_WRONG = [
    ("aligned at the top left", lambda t, s: np.tril(np.ones((t, s), bool))),
    ("upside down", lambda t, s: np.triu(np.ones((t, s), bool), 1 + s - t)),
    ("looks ahead", lambda t, s: [[j - (s - t) >= i for j in range(s)] for i in range(t)]),
    ("blind to itself", lambda t, s: [[j - (s - t) < i for j in range(s)] for i in range(t)]),
    ("one step ahead", lambda t, s: torch.ones(t, s).tril(s - t + 1).bool()),
    ("rows and columns exchanged", lambda t, s: np.array(causal_by_loops(t, s)).transpose()),
    ("everything allowed", lambda t, s: [[True] * s] * t),
    ("to be added to the scores", lambda t, s: torch.full((t, s), -math.inf).triu(s - t + 1)),
    ("shifted the wrong way", lambda t, s: np.tril(np.ones((t, s), bool), t - s)),
    (None, lambda t, s: np.tri(t, s, s - t)),
    (None, lambda t, s: np.tri(t, s, s - t, dtype=int)),
    (None, lambda t, s: np.tri(s, s, dtype=bool)),
    (None, lambda t, s: np.array(causal_by_loops(t, s))[None]),
]

RIGHT = {
    "03_qkv/project": PROJECT_RIGHT,
    "03_qkv/scores": SCORES_RIGHT,
    "03_qkv/softmax": SOFTMAX_RIGHT,
    "03_qkv/mix": MIX_RIGHT,
    "03_qkv/masked_weights": MASKED_RIGHT,
    "03_qkv/causal_mask": CAUSAL_RIGHT,
}
WRONG = {
    "03_qkv/project": PROJECT_WRONG,
    "03_qkv/scores": SCORES_WRONG,
    "03_qkv/softmax": SOFTMAX_WRONG,
    "03_qkv/mix": MIX_WRONG,
    "03_qkv/masked_weights": MASKED_WRONG,
    "03_qkv/causal_mask": CAUSAL_WRONG,
}
