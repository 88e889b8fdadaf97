"""Answers to neighbours, as learners write them."""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import embeddings


def near_by_loops(vectors, word, k):
    found = []
    for i, vector in enumerate(vectors.astype(float)):
        product = math.sqrt(sum(vector**2)) * math.sqrt(sum(float(x) ** 2 for x in vectors[word]))
        if i != word:
            found.append((i, float(vector @ vectors[word]) / product if product else 0.0))
    return sorted(found, key=lambda item: -item[1])[:k]


def near_by_torch(vectors, word, k):
    x = F.normalize(torch.tensor(vectors), dim=-1)
    cosines = x @ x[word]
    cosines[word] = -2
    best = cosines.topk(k)
    return torch.stack([best.indices, best.values], -1)


def near_by_dictionary(vectors, word, k):
    cosines = OrderedDict(near_by_loops(vectors, word, len(vectors)))
    return {i: cosines[i] for i in list(cosines)[:k]}


def near_by_unit(vectors, word, k):
    sizes = np.sqrt((vectors**2).sum(-1, keepdims=True))
    u = np.divide(vectors, sizes, out=np.zeros_like(vectors), where=sizes > 0)
    cosines = np.einsum("vd,d->v", u, u[word])
    rest = np.delete(np.arange(len(u)), word)
    best = rest[np.argsort(cosines[rest])[::-1]][:k]
    return zip(best, cosines[best], strict=True)


def by_own_length(vectors, word, k):
    products = vectors @ (vectors[word] / math.hypot(*vectors[word]))
    order = [i for i in np.argsort(-products) if i != word]
    return [(i, products[i]) for i in order[:k]]


RIGHT = [
    near_by_loops,
    near_by_torch,
    near_by_dictionary,
    near_by_unit,
    embeddings.nearest,
]
WRONG = [
    ("divided by the word's own length", by_own_length),
    (None, lambda x, w, k: [i for i, _ in near_by_loops(x, w, k)]),
    (
        "one pair, not in a list",
        lambda x, w, k: near_by_loops(x, w, k) if k > 1 else near_by_loops(x, w, k)[0],
    ),
]
