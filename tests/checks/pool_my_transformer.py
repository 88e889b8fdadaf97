"""A pool of answers to the new tasks of the capstone, written from the exercises' texts alone. See `pool`."""

import itertools
import math

import torch
import torch.nn.functional as F
from pool import Pool

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# ------------------------------------------------------------------------------------------- extend the cache


@right("extend_cache", "concat under its other name, along -2")
def _(k_cache, v_cache, k, v):
    return [torch.concat(pair, axis=-2) for pair in ((k_cache, k), (v_cache, v))]


@right("extend_cache", "nothing is copied where nothing is stored")
def _(k_cache, v_cache, k, v):
    if k_cache.shape[2] == 0:
        return k, v
    return torch.cat((k_cache, k), dim=2), torch.cat((v_cache, v), dim=2)


@right("extend_cache", "head by head")
def _(k_cache, v_cache, k, v):
    def grow(old, new):
        texts = []
        for text in range(len(new)):
            heads = zip(old[text], new[text], strict=True)
            texts.append(torch.stack([torch.vstack([a, b]) for a, b in heads]))
        return torch.stack(texts)

    return grow(k_cache, k), grow(v_cache, v)


@right("extend_cache", "tokens to the front and back")
def _(k_cache, v_cache, k, v):
    join = lambda a, b: torch.cat([a.movedim(2, 0), b.movedim(2, 0)]).movedim(0, 2)  # noqa: E731
    return join(k_cache, k), join(v_cache, v)


@wrong("extend_cache", "hstack, which joins the second axis")
def _(k_cache, v_cache, k, v):
    return torch.hstack([k_cache, k]), torch.hstack([v_cache, v])


@wrong("extend_cache", "only the first new token is added")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k[:, :, :1]], 2), torch.cat([v_cache, v[:, :, :1]], 2)


@wrong("extend_cache", "the last stored token is overwritten")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache[:, :, :-1], k], 2), torch.cat([v_cache[:, :, :-1], v], 2)


@wrong("extend_cache", "the attention is returned too")
def _(k_cache, v_cache, k, v):
    keys, values = torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)
    return (k @ keys.mT).softmax(-1) @ values, keys, values


@wrong("extend_cache", "it is added to")
def _(k_cache, v_cache, k, v):
    return k_cache + k.mean(2, keepdim=True), v_cache + v.mean(2, keepdim=True)


@wrong("extend_cache", "it grows from call to call")
def _(k_cache, v_cache, k, v, seen=[]):  # noqa: B006
    seen.append(k)
    return torch.cat([k_cache, *seen[-2:]], 2), torch.cat([v_cache, v], 2)


# ------------------------------------------------------------------------------------------ grouped attention


@right("grouped_attention", "a list of the head that each query head uses")
def _(q, k, v, mask):
    heads, groups = q.size(1), k.size(1)
    uses = [h * groups // heads for h in range(heads)]
    scores = torch.einsum("bhtk,bhsk->bhts", q, k[:, uses]) / math.sqrt(q.size(-1))
    return torch.einsum("bhts,bhsk->bhtk", scores.masked_fill(mask == 0, -math.inf).softmax(3), v[:, uses])


@right("grouped_attention", "scores with a bias of minus infinity, groups broadcast")
def _(q, k, v, mask):
    b, h, t, d = q.shape
    q = q.view(b, k.shape[1], -1, t, d) if q.is_contiguous() else q.reshape(b, k.shape[1], -1, t, d)
    bias = torch.where(mask, 0.0, -torch.inf).to(q.dtype)
    weights = torch.softmax(q @ k.unsqueeze(2).mT * d**-0.5 + bias, -1)
    return (weights @ v.unsqueeze(2)).reshape(b, h, t, d)


@right("grouped_attention", "query by query, over the keys that it sees")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    rows = []
    for t in range(q.shape[2]):
        seen = [s for s in range(k.shape[2]) if mask[t, s]]
        keys = k[:, :, seen].repeat_interleave(n, 1)
        values = v[:, :, seen].repeat_interleave(n, 1)
        weights = ((q[:, :, t, None] * keys).sum(-1) / q.shape[-1] ** 0.5).softmax(-1)
        rows.append((weights[..., None] * values).sum(2))
    return torch.stack(rows, 2)


@right("grouped_attention", "log-softmax, then exp")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = torch.repeat_interleave(k, n, 1), torch.repeat_interleave(v, n, 1)
    scores = (q / k.shape[-1] ** 0.5).matmul(k.transpose(-1, -2))
    return F.log_softmax(scores.masked_fill(~mask, torch.finfo(q.dtype).min), -1).exp().matmul(v)


@wrong("grouped_attention", "the mask is added as 0 and 1")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
    return (q @ k.mT / q.shape[-1] ** 0.5 + mask).softmax(-1) @ v


@wrong("grouped_attention", "values of the group are summed up")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights @ v.sum(1, keepdim=True).expand(-1, q.shape[1], -1, -1)


@wrong("grouped_attention", "minus five instead of minus infinity")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -5.0).softmax(-1) @ v.repeat_interleave(n, 1)


@wrong("grouped_attention", "scaled by the root of D, all heads together")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / (q.shape[-1] * q.shape[1]) ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v.repeat_interleave(n, 1)


@wrong("grouped_attention", "joined heads")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    mix = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v.repeat_interleave(n, 1)
    return mix.transpose(1, 2).flatten(2)


@wrong("grouped_attention", "softmax over the heads")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -1e9).softmax(1) @ v.repeat_interleave(n, 1)


# ----------------------------------------------------------------------------------------- next probabilities


def heated(logits, t):
    moved = logits - logits.max(dim=-1, keepdim=True).values
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits) if not t else (moved / t).softmax(-1)


@right("next_probabilities", "from the least likely on, what may go")
def _(logits, t, p):
    chances = heated(logits, t)
    up, places = chances.sort(-1)
    left = up.flip(-1).cumsum(-1).flip(-1) - up  # what the likelier ones have
    up = up * (left < p)
    return torch.empty_like(up).scatter_(-1, places, up / up.sum(-1, keepdim=True))


@right("next_probabilities", "accumulate, row by row")
def _(logits, t, p):
    result = torch.zeros_like(logits)
    for place in itertools.product(*map(range, logits.shape[:-1])):
        chances = heated(logits[place], t)
        order = chances.argsort(descending=True).tolist()
        sums = list(itertools.accumulate(chances[order].double().tolist()))
        n = next((i for i, total in enumerate(sums) if total >= p), len(sums) - 1) + 1
        result[place][order[:n]] = chances[order[:n]] / sums[n - 1]
    return result


@right("next_probabilities", "argsort twice gives ranks")
def _(logits, t, p):
    chances = heated(logits, t)
    ranks = chances.argsort(-1, descending=True).argsort(-1)
    ordered = chances.sort(-1, descending=True)[0]
    n_kept = 1 + (ordered.cumsum(-1)[..., :-1] < p).sum(-1, keepdim=True)
    kept = torch.where(ranks < n_kept, chances, torch.zeros((), dtype=chances.dtype))
    return F.normalize(kept, p=1.0, dim=-1)


@right("next_probabilities", "comparing all with all")
def _(logits, t, p):
    chances = heated(logits, t)
    likelier = chances[..., None, :] > chances[..., :, None]
    before = (likelier * chances[..., None, :]).sum(-1)
    kept = chances.masked_fill(before >= p, 0)
    return kept / kept.sum(-1, keepdim=True)


@wrong("next_probabilities", "the temperature once more on what is left")
def _(logits, t, p):
    chances = heated(logits, t)
    kept = chances.masked_fill(chances < chances.amax(-1, keepdim=True) * (1 - p), 0)
    return kept / kept.sum(-1, keepdim=True)


@wrong("next_probabilities", "a softmax of the probabilities that are left")
def _(logits, t, p):
    return heated(logits, t).softmax(-1)


@wrong("next_probabilities", "p is the smallest probability that stays")
def _(logits, t, p):
    chances = heated(logits, t)
    return chances * (chances >= p)


@wrong("next_probabilities", "a token, drawn")
def _(logits, t, p):
    return torch.multinomial(heated(logits, t).reshape(-1, logits.shape[-1]), 1)


@wrong("next_probabilities", "the two numbers exchanged")
def _(logits, t, p):
    chances = heated(logits, p)
    up, places = chances.sort(-1, descending=True)
    up = up * (up.cumsum(-1) - up < t)
    return torch.empty_like(up).scatter_(-1, places, up / up.sum(-1, keepdim=True))


@wrong("next_probabilities", "at least two tokens stay")
def _(logits, t, p):
    up, places = heated(logits, max(t, 1e-3)).sort(-1, descending=True)
    keeps = up.cumsum(-1) - up < p
    keeps[..., :2] = True
    up = up * keeps
    return torch.empty_like(up).scatter_(-1, places, up / up.sum(-1, keepdim=True))
