"""Answers to nearest_passages, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F


def by_cosine_similarity(query, passages, k):
    scores = F.cosine_similarity(query[None], passages, dim=-1)
    return torch.argsort(scores, descending=True, stable=True)[:k]


def python_sorts(query, passages, k):
    def score(place):
        p = passages[place]
        size = float(p.norm() * query.norm())
        return float(p @ query) / size if size else 0.0

    scores = [score(place) for place in range(len(passages))]
    return sorted(range(len(passages)), key=lambda place: -scores[place])[:k]


def one_after_the_other(query, passages, k):
    """The best of what is left, k times; argmax gives the first of those that tie."""
    sizes = passages.norm(dim=1)
    scores = (passages @ query) / sizes.where(sizes > 0, 1.0)
    if not query.any():
        scores = torch.zeros_like(scores)
    found = []
    for _ in range(min(k, len(passages))):
        found.append(int(np.argmax(scores.numpy())))
        scores[found[-1]] = -torch.inf
    return tuple(found)


def with_lists(query, passages, k):
    lengths = [sum(x * x for x in row) ** 0.5 or 1.0 for row in passages.tolist()]
    dots = [sum(x * y for x, y in zip(row, query.tolist(), strict=True)) for row in passages.tolist()]
    pairs = sorted((-dot / length, i) for i, (dot, length) in enumerate(zip(dots, lengths, strict=True)))
    return torch.tensor([i for _, i in pairs[:k]])


def cosine(query, passages):
    sizes = passages.norm(dim=-1) * query.norm()
    return (passages @ query / sizes).nan_to_num(0.0)


def ranked(scores):
    return lambda query, passages, k: scores(query, passages).sort(descending=True, stable=True).indices[:k]


def k_looked_up(query, passages, k):
    order = by_cosine_similarity(query, passages, len(passages))
    return [int(order[i]) for i in range(k)]


def by_exchanges(query, passages, k):
    """The best of the rest changes places with the first of the rest, who may so pass an equal."""
    scores = cosine(query, passages).tolist()
    places = list(range(len(scores)))
    for i in range(len(places)):
        best = max(range(i, len(places)), key=lambda j: scores[places[j]])
        places[i], places[best] = places[best], places[i]
    return places[:k]


def groups_of_equals(query, passages, k):
    """The places of each score, the highest score first."""
    groups = {}
    for place, score in enumerate(cosine(query, passages).tolist()):
        groups.setdefault(score, []).append(place)
    return [place for score in sorted(groups, reverse=True) for place in groups[score]][:k]


RIGHT = [by_cosine_similarity, python_sorts, one_after_the_other, with_lists, groups_of_equals]
WRONG = [
    ("dot products", ranked(lambda query, passages: (passages * query).sum(-1))),
    ("distances", ranked(lambda query, passages: -torch.cdist(query[None], passages)[0])),
    ("k places looked up", k_looked_up),
    (
        None,
        lambda query, passages, k: cosine(query, passages).topk(min(k, len(passages))).indices,
    ),
    ("an unstable sort", lambda query, passages, k: np.argsort(-cosine(query, passages).numpy())[:k]),
    ("scores rounded", ranked(lambda query, passages: cosine(query, passages).round(decimals=2))),
    (None, by_exchanges),
    (
        "no places for zeros",
        lambda query, passages, k: by_cosine_similarity(query, passages, k) if query.any() else [],
    ),
    (
        "the last zeros first",
        lambda query, passages, k: sorted(
            range(len(passages)), key=lambda i: (-cosine(query, passages)[i], -i * (not passages[i].any()))
        )[:k],
    ),
    ("counted from 1", lambda query, passages, k: [i + 1 for i in python_sorts(query, passages, k)]),
    (
        None,
        ranked(
            lambda query, passages: -(F.normalize(passages, dim=-1) - F.normalize(query, dim=0)).norm(dim=-1)
        ),
    ),
    (None, lambda query, passages, k: [by_cosine_similarity(query, passages, 1)[0]] * min(k, len(passages))),
]
