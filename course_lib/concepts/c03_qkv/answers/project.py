"""Answers to project, as learners write them."""

import numpy as np
import torch


def by_loops(x, w_q, w_k, w_v):
    def times(w):
        out = np.zeros((*x.shape[:-1], w.shape[1]))
        for place in np.ndindex(*x.shape[:-1]):
            for j in range(w.shape[1]):
                for i in range(w.shape[0]):
                    out[(*place, j)] += float(x[place][i]) * float(w[i, j])
        return out

    return times(w_q), times(w_k), times(w_v)


def at_once(x, w_q, w_k, w_v):
    return np.split(x @ np.concatenate([w_q, w_k, w_v], axis=1), 3, axis=-1)


RIGHT = [
    by_loops,
    at_once,
    lambda x, q, k, v: tuple(np.einsum("...td,dk->...tk", x, w) for w in (q, k, v)),
    lambda x, q, k, v: [torch.from_numpy(x.copy()) @ torch.from_numpy(w.copy()) for w in (q, k, v)],
]
WRONG = [
    ("W on the wrong side", lambda x, q, k, v: [np.einsum("...td,kd->...tk", x, w) for w in (q, k, v)]),
    (
        "an answer for two axes",
        lambda x, q, k, v: [np.matmul(w.transpose(), x.transpose()).T for w in (q, k, v)],
    ),
    ("axes of one lost", lambda x, q, k, v: [np.squeeze(y) for y in at_once(x, q, k, v)]),
]
