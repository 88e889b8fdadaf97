"""Answers to look_back, as learners write them."""

import torch
import torch.nn.functional as F

from course_lib.attention import scaled_dot_product_attention


def look_by_einsum(h, states):
    weights = torch.softmax(torch.einsum("btd,bsd->bts", h, states), dim=2)
    return torch.einsum("bts,bsd->btd", weights, states), weights


def look_by_bmm(h, states):
    weights = F.softmax(torch.bmm(h, states.transpose(1, 2)), dim=-1)
    return [torch.bmm(weights, states), weights]


def look_by_exponentials(h, states):
    scores = (h[:, :, None] * states[:, None]).sum(-1)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return (weights[..., None] * states[:, None]).sum(2), weights


def look_one_by_one(h, states):
    mixes, weights = [], []
    for text, kept in zip(h, states, strict=True):
        shares = torch.stack([torch.softmax(kept @ now, 0) for now in text])
        weights.append(shares)
        mixes.append(torch.stack([sum(w * s for w, s in zip(row, kept, strict=True)) for row in shares]))
    return torch.stack(mixes), torch.stack(weights)


def looking(score=lambda h, states: h @ states.mT, share=lambda scores: scores.softmax(-1)):
    """An answer with one thing exchanged."""

    def answer(h, states):
        weights = share(score(h, states))
        return weights @ states, weights

    return answer


right = looking()

RIGHT = [look_by_einsum, look_by_bmm, look_by_exponentials, look_one_by_one]
WRONG = [
    ("all states alike", looking(share=lambda scores: (0 * scores).softmax(-1))),
    ("divided by the root of D", looking(score=lambda h, states: h @ states.mT * h.shape[-1] ** -0.5)),
    (None, lambda h, states: (scaled_dot_product_attention(h, states, states), right(h, states)[1])),
    ("overflow", looking(share=lambda scores: scores.exp() / scores.exp().sum(-1, keepdim=True))),
]
