"""A pool of answers to the tasks on writing, written from the exercises' texts alone. See `pool`."""

import bisect
import itertools
import math

import torch
import torch.nn.functional as F
from pool import Pool

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# ----------------------------------------------------------------------------------------------- temperature


@right("temperature", "where instead of if")
def _(logits, t):
    below = logits - logits.max(dim=-1, keepdim=True)[0]
    best = (below == 0).to(logits.dtype)
    return best if t == 0 else torch.softmax(torch.where(below == 0, below, below / t), dim=-1)


@right("temperature", "in float64, with a limit that nobody notices")
def _(logits, t):
    wide = logits.double()
    wide = wide - wide.amax(-1, keepdim=True)
    return F.softmax(wide / (t if t > 1e-12 else 1e-12), dim=-1).type_as(logits)


@right("temperature", "log_softmax first, then the temperature")
def _(logits, t):
    if t == 0:
        result = torch.zeros_like(logits)
        result.scatter_(-1, logits.topk(1, dim=-1).indices, 1)
        return result
    logs = logits - logits.amax(-1, keepdim=True)
    return torch.softmax(logs / t, -1)


@right("temperature", "one_hot")
def _(logits, t):
    if not t:
        return F.one_hot(torch.argmax(logits, dim=-1), num_classes=logits.size(-1)).type(logits.dtype)
    moved = (logits - logits.amax(dim=-1)[..., None]) / t
    e = moved.exp()
    return e / e.sum(dim=-1)[..., None]


@wrong("temperature", "a small number is added to t")
def _(logits, t):
    return torch.softmax(logits / (t + 1e-3), dim=-1)


@wrong("temperature", "t is never below 0.01")
def _(logits, t):
    below = logits - logits.amax(-1, keepdim=True)
    return torch.softmax(below / max(t, 1e-2), dim=-1)


@wrong("temperature", "nan_to_num after dividing by 0")
def _(logits, t):
    return torch.softmax(logits / t, dim=-1).nan_to_num(0.0)


@wrong("temperature", "the largest of everything is taken away, and the first axis is counted as tokens")
def _(logits, t):
    if t == 0:
        return (logits == logits.max()).to(logits.dtype)
    return torch.softmax((logits - logits.max()) / t, dim=0)


@wrong("temperature", "greedy returns a token")
def _(logits, t):
    return logits.argmax(-1) if t == 0 else torch.softmax((logits - logits.amax(-1, keepdim=True)) / t, -1)


@wrong("temperature", "t as a power of the scores")
def _(logits, t):
    return torch.softmax(logits**t, dim=-1)


# ----------------------------------------------------------------------------------------------------- top p


@right("top_p", "accumulate and bisect on lists")
def _(probabilities, p):
    rows = []
    for row in probabilities.reshape(-1, probabilities.shape[-1]).double().tolist():
        order = sorted(range(len(row)), key=lambda token: -row[token])
        sums = list(itertools.accumulate(row[token] for token in order))
        stays = set(order[: bisect.bisect_left(sums, p) + 1])
        total = sum(row[token] for token in stays)
        rows.append([chance / total if token in stays else 0.0 for token, chance in enumerate(row)])
    return torch.tensor(rows, dtype=probabilities.dtype).reshape(probabilities.shape)


@right("top_p", "argsort of argsort")
def _(probabilities, p):
    rank = probabilities.argsort(-1, descending=True).argsort(-1)
    sums = probabilities.sort(-1, descending=True)[0].cumsum(-1)
    n = (sums < p).sum(-1, keepdim=True) + 1
    kept = torch.where(rank < n, probabilities, torch.zeros_like(probabilities))
    return kept / kept.sum(-1, keepdim=True)


@right("top_p", "F.normalize and a padded sum")
def _(probabilities, p):
    ordered, places = torch.sort(probabilities, descending=True, dim=-1)
    before = F.pad(ordered.cumsum(-1)[..., :-1], (1, 0))
    ordered = ordered * (before < p)
    return F.normalize(torch.empty_like(ordered).scatter_(-1, places, ordered), p=1, dim=-1)


@right("top_p", "takes the largest away until p is reached")
def _(probabilities, p):
    left, kept = probabilities.clone(), torch.zeros_like(probabilities)
    for _ in range(probabilities.shape[-1]):
        best = left.argmax(-1, keepdim=True)
        chance = left.gather(-1, best) * (kept.sum(-1, keepdim=True) < p)
        kept.scatter_add_(-1, best, chance)
        left.scatter_(-1, best, -1.0)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "stops before p is crossed")
def _(probabilities, p):
    ordered, places = probabilities.sort(-1, descending=True)
    n = (ordered.cumsum(-1) < p).sum(-1, keepdim=True).clamp(min=1)
    kept = ordered * (torch.arange(ordered.shape[-1]) < n)
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, places, kept)


@wrong("top_p", "places used as if they were ranks")
def _(probabilities, p):
    ordered, places = probabilities.sort(-1, descending=True)
    n = (ordered.cumsum(-1) < p).sum(-1, keepdim=True) + 1
    kept = probabilities * (places < n)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "sorted upwards, cut at p")
def _(probabilities, p):
    ordered, places = probabilities.sort(-1)
    ordered = ordered * (ordered.cumsum(-1) <= p)
    kept = torch.zeros_like(ordered).scatter(-1, places, ordered)
    return kept / kept.sum(-1, keepdim=True)


@wrong("top_p", "softmax after the cut, dropped ones at 0")
def _(probabilities, p):
    ordered, places = probabilities.sort(-1, descending=True)
    ordered = ordered * (ordered.cumsum(-1) - ordered < p)
    return torch.zeros_like(ordered).scatter(-1, places, ordered).softmax(-1)


@wrong("top_p", "only the tokens that are left")
def _(probabilities, p):
    ordered = probabilities.sort(-1, descending=True).values
    n = int((ordered.cumsum(-1) < p).sum(-1).max()) + 1
    return ordered[..., :n] / ordered[..., :n].sum(-1, keepdim=True)


@wrong("top_p", "less than p away from the likeliest")
def _(probabilities, p):
    kept = probabilities * (probabilities > probabilities.amax(-1, keepdim=True) - p)
    return kept / kept.sum(-1, keepdim=True)


# ----------------------------------------------------------------------------------------------- cached step


@right("cached_step", "a mask of lists")
def _(q, k, v, k_cache, v_cache):
    keys, values = torch.concat([k_cache, k], axis=2), torch.concat([v_cache, v], axis=2)
    s, t = k_cache.size(2), k.size(2)
    mask = torch.tensor([[j <= s + i for j in range(s + t)] for i in range(t)])
    scores = torch.matmul(q, keys.transpose(2, 3)) / math.sqrt(k.size(-1))
    scores = torch.where(mask, scores, float("-inf"))
    return torch.matmul(F.softmax(scores, dim=-1), values), keys, values


@right("cached_step", "zeros for all, then filled; additive mask")
def _(q, k, v, k_cache, v_cache):
    s, t = k_cache.shape[2], k.shape[2]
    keys = k.new_zeros(*k.shape[:2], s + t, k.shape[3])
    values = torch.zeros_like(keys)
    keys[:, :, :s], keys[:, :, s:] = k_cache, k
    values[:, :, :s], values[:, :, s:] = v_cache, v
    mask = torch.full((t, s + t), -1e30, dtype=q.dtype).triu(s + 1)
    return F.scaled_dot_product_attention(q, keys, values, mask), keys, values


@right("cached_step", "only prompts need a mask")
def _(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k), -2), torch.cat((v_cache, v), -2)
    if q.shape[-2] == 1:
        return F.scaled_dot_product_attention(q, keys, values), keys, values
    if k_cache.shape[-2] == 0:
        return F.scaled_dot_product_attention(q, keys, values, is_causal=True), keys, values
    rows = torch.arange(q.shape[-2])[:, None] + k_cache.shape[-2]
    scores = torch.einsum("bhik,bhjk->bhij", q, keys) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.arange(keys.shape[-2]) > rows, -math.inf)
    return torch.einsum("bhij,bhjk->bhik", scores.softmax(-1), values), keys, values


@right("cached_step", "token for token, head for head")
def _(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    out = torch.zeros_like(q)
    for b, h, i in itertools.product(*map(range, q.shape[:3])):
        n = k_cache.shape[2] + i + 1
        weights = torch.softmax(keys[b, h, :n] @ q[b, h, i] / math.sqrt(q.shape[3]), 0)
        out[b, h, i] = weights @ values[b, h, :n]
    return out, keys, values


@wrong("cached_step", "attends before it stores")
def _(q, k, v, k_cache, v_cache):
    out = F.scaled_dot_product_attention(q, k_cache, v_cache)
    return out, torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)


@wrong("cached_step", "no mask, since everything comes before")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    return F.scaled_dot_product_attention(q, k, v), k, v


@wrong("cached_step", "is_causal")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True), k, v


@wrong("cached_step", "the mask hides the old ones from each other's successors")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(k_cache.shape[2])
    return F.scaled_dot_product_attention(q, k, v, mask), k, v


@wrong("cached_step", "values stored where the keys belong")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, v), 2), torch.cat((v_cache, k), 2)
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k_cache.shape[2])
    return F.scaled_dot_product_attention(q, k, v, mask), k, v


@wrong("cached_step", "only the last place is kept when the cache is full")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache[:, :, 1:], k), 2), torch.cat((v_cache[:, :, 1:], v), 2)
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
    return F.scaled_dot_product_attention(q, k, v, mask), k, v


# ------------------------------------------------------------------------------------------- sampler at work


def step(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    mask = torch.ones(q.shape[2], keys.shape[2], dtype=torch.bool).tril(k_cache.shape[2])
    return F.scaled_dot_product_attention(q, keys, values, mask), keys, values


def chances(scores, t, p):
    below = scores - scores.max()
    chances = (below == 0).to(scores.dtype) if t == 0 else (below / t).softmax(-1)
    ordered, places = chances.sort(descending=True)
    ordered = ordered * (ordered.cumsum(-1) - ordered < p)
    return torch.zeros_like(ordered).scatter(-1, places, ordered / ordered.sum())


@right("sampler_at_work", "while, with a flag for the prompt")
def _(read, draw, ids, n_new, t, p):
    text, stored = list(ids), None
    while len(text) < len(ids) + n_new:
        new = text if stored is None else text[-1:]
        scores, stored = read(new, stored, step)
        text.append(draw(chances(scores, t, p)))
    return text[len(ids) :]


@right("sampler_at_work", "tensors of one row")
def _(read, draw, ids, n_new, t, p):
    new, stored, out = torch.tensor([ids]), None, []
    for _ in range(n_new):
        scores, stored = read(new, stored, step)
        new = torch.tensor([[draw(chances(scores, t, p))]])
        out.append(new)
    return torch.cat(out, 1)[0]


@right("sampler_at_work", "all but the last token of the prompt first")
def _(read, draw, ids, n_new, t, p):
    stored, out, last = None, [], ids[-1]
    if len(ids) > 1:
        _, stored = read(ids[:-1], None, step)
    for _ in range(n_new):
        scores, stored = read([last], stored, step)
        last = draw(chances(scores, t, p).numpy())
        out += [last]
    return out


@right("sampler_at_work", "a generator")
def _(read, draw, ids, n_new, t, p):
    def tokens(new, stored):
        while True:
            scores, stored = read(new, stored, step)
            new = [draw(chances(scores, t, p))]
            yield from new

    return list(itertools.islice(tokens(ids, None), n_new))


@wrong("sampler_at_work", "reads the growing text each time, without what is stored")
def _(read, draw, ids, n_new, t, p):
    text = list(ids)
    for _ in range(n_new):
        scores, _ = read(text, None, step)
        text = [*text, draw(chances(scores, t, p))]
    return text[-n_new:]


@wrong("sampler_at_work", "the whole text comes back")
def _(read, draw, ids, n_new, t, p):
    text, new, stored = list(ids), list(ids), None
    for _ in range(n_new):
        scores, stored = read(new, stored, step)
        new = [draw(chances(scores, t, p))]
        text += new
    return text


@wrong("sampler_at_work", "draws n_new tokens from the first scores")
def _(read, draw, ids, n_new, t, p):
    scores, _ = read(ids, None, step)
    return [draw(chances(scores, t, p)) for _ in range(n_new)]


@wrong("sampler_at_work", "never draws: argmax")
def _(read, draw, ids, n_new, t, p):
    new, stored, out = ids, None, []
    for _ in range(n_new):
        scores, stored = read(new, stored, step)
        new = [int(scores.argmax())]
        out += new
    return out


@wrong("sampler_at_work", "the temperature grows from token to token")
def _(read, draw, ids, n_new, t, p):
    new, stored, out = ids, None, []
    for i in range(n_new):
        scores, stored = read(new, stored, step)
        new = [draw(chances(scores, t + i / 10, p))]
        out += new
    return out


@wrong("sampler_at_work", "lets nothing be stored")
def _(read, draw, ids, n_new, t, p):
    def forgetful(q, k, v, k_cache, v_cache):
        return step(q, k, v, k_cache, v_cache)[0], k, v

    new, stored, out = ids, None, []
    for _ in range(n_new):
        scores, stored = read(new, stored, forgetful)
        new = [draw(chances(scores, t, p))]
        out += new
    return out
