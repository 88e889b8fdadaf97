"""Plausible answers to the tasks of 07_mlm_vs_next_token, written from the texts of the exercises alone."""

import itertools
import math
import statistics

import torch
import torch.nn.functional as F

from plausible import Answers

of = Answers("07_mlm_vs_next_token")
right, wrong = of.right, of.wrong

# ------------------------------------------------------------------------------------------------ mask tokens


@right("mask_tokens", "a kind for each place, drawn by multinomial")
def _(ids, mask_id, vocab_size, special_ids, generator):
    shares = torch.tensor([0.85, 0.15 * 0.8, 0.15 * 0.1, 0.15 * 0.1])
    kind = torch.multinomial(shares, ids.numel(), replacement=True, generator=generator).view(ids.shape)
    for special in special_ids:
        kind[ids == special] = 0
    any_token = torch.randint(0, vocab_size, ids.shape, generator=generator)
    inputs = ids.masked_fill(kind == 1, mask_id)
    inputs[kind == 2] = any_token[kind == 2]
    return inputs, ids.masked_fill(kind == 0, -100)


@wrong("mask_tokens", "everything chosen becomes the mask", "always the mask")
def _(ids, mask_id, vocab_size, special_ids, generator):
    chosen = torch.rand(ids.shape, generator=generator) < 0.15
    chosen &= ~torch.isin(ids, torch.tensor(special_ids))
    return ids.masked_fill(chosen, mask_id), ids.masked_fill(~chosen, -100)


@wrong("mask_tokens", "the specials forgotten", "special tokens chosen")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.rand(ids.shape, generator=generator)
    inputs = torch.where(p < 0.135, torch.randint(vocab_size, ids.shape, generator=generator), ids)
    return torch.where(p < 0.12, mask_id, inputs), torch.where(p < 0.15, ids, -100)


@wrong("mask_tokens", "80, 10 and 10 % of all tokens")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.rand(ids.shape, generator=generator)
    p[torch.isin(ids, torch.tensor(special_ids))] = 0.95
    inputs = torch.where(p < 0.9, torch.randint(vocab_size, ids.shape, generator=generator), ids)
    return torch.where(p < 0.8, mask_id, inputs), torch.where(p < 0.9, ids, -100)


@wrong("mask_tokens", "hides in ids itself, so that the targets are masks")
def _(ids, mask_id, vocab_size, special_ids, generator):
    chosen = torch.rand(ids.shape, generator=generator) < 0.15
    chosen &= ~torch.isin(ids, torch.tensor(special_ids))
    ids[chosen] = mask_id
    return ids, torch.where(chosen, ids, -100)


# ------------------------------------------------------------------------------------------------ masked loss


@right("masked_loss", "where on the losses, divided by the larger of count and 1")
def _(logits, targets):
    asked = targets >= 0
    logs = torch.log_softmax(logits, dim=2)
    picked = torch.gather(logs, 2, torch.where(asked, targets, 0).unsqueeze(2)).squeeze(2)
    return torch.where(asked, -picked, 0).sum() / max(asked.sum().item(), 1)


@wrong("masked_loss", "divided by B T", "mean over all places")
def _(logits, targets):
    keep = targets != -100
    logs = F.log_softmax(logits[keep], 1)
    return -logs.gather(1, targets[keep][:, None]).sum() / targets.numel()


@wrong("masked_loss", "mean of nothing", "NaN where nothing is asked")
def _(logits, targets):
    keep = targets != -100
    return -F.log_softmax(logits[keep], 1).gather(1, targets[keep][:, None]).mean()


@wrong("masked_loss", "-100 as an index")
def _(logits, targets):
    return -F.log_softmax(logits, -1).gather(-1, targets[..., None]).mean()


@wrong("masked_loss", "token 0 means nothing asked", "0 ignored")
def _(logits, targets):
    keep = targets > 0
    n = max(int(keep.sum()), 1)
    return -F.log_softmax(logits[keep], 1).gather(1, targets[keep][:, None]).sum() / n


# ---------------------------------------------------------------------------------------------- shift targets


@right("shift_targets", "index_select")
def _(ids):
    places = torch.arange(ids.shape[1] - 1)
    return ids.index_select(1, places), ids.index_select(1, places + 1)


@wrong("shift_targets", "targets from the beginning", "the other way")
def _(ids):
    return ids[:, 1:], ids[:, :-1]


@wrong("shift_targets", "one tensor")
def _(ids):
    return torch.stack([ids[:, :-1], ids[:, 1:]], -1)


@wrong("shift_targets", "only the targets cut", "inputs not cut")
def _(ids):
    return ids, ids[:, 1:]


@wrong("shift_targets", "cut along the batch", "the batch shifted")
def _(ids):
    return ids[:-1], ids[1:]


# --------------------------------------------------------------------------------------------- sentence pairs


@right("sentence_pairs", "labels drawn first, with choices")
def _(documents, rng):
    firsts = [(d, n) for d in range(len(documents)) for n in range(len(documents[d]) - 1)]
    labels = rng.choices([True, False], k=len(firsts))
    pairs = []
    for (d, n), label in zip(firsts, labels, strict=True):
        candidates = [s for e in range(len(documents)) if e != d for s in documents[e]]
        second = documents[d][n + 1] if label else rng.sample(candidates, 1)[0]
        pairs.append((documents[d][n], second, label))
    return pairs


@wrong("sentence_pairs", "any sentence that is not the next")
def _(documents, rng):
    row = [s for document in documents for s in document]
    pairs = []
    for document in documents:
        for first, second in itertools.pairwise(document):
            label = rng.random() < 0.5
            drawn = rng.choice([s for s in row if s != second])
            pairs.append((first, second if label else drawn, label))
    return pairs


@wrong("sentence_pairs", "all in one row, any other sentence")
def _(documents, rng):
    row = [s for document in documents for s in document]
    return [
        (a, b, True) if rng.random() < 0.5 else (a, rng.choice(row), False)
        for a, b in itertools.pairwise(row)
    ]


@wrong("sentence_pairs", "neighbours in the first half, others in the second", "in turn")
def _(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, x in enumerate(documents) if i != d for s in x]
        for n in range(len(document) - 1):
            label = n < len(document) // 2
            pairs.append((document[n], document[n + 1] if label else rng.choice(others), label))
    return pairs


@wrong("sentence_pairs", "pops what was drawn")
def _(documents, rng):
    pairs = []
    for document in documents:
        for a, b in itertools.pairwise(list(document)):
            others = rng.choice([x for x in documents if x is not document])
            label = rng.random() < 0.5 or not others
            pairs.append((a, b if label else others.pop(), label))
    return pairs


# ----------------------------------------------------------------------------------------- bits per character


@right("bits_per_character", "fsum over Python's numbers")
def _(losses, tokens):
    return math.fsum(losses.tolist()) / math.log(2) / sum(len(token) for token in tokens[1:])


@wrong("bits_per_character", "all tokens' characters", "first token counted")
def _(losses, tokens):
    return losses.sum() / math.log(2) / len("".join(tokens))


@wrong("bits_per_character", "mean of the losses in bits", "bits per token")
def _(losses, tokens):
    return statistics.fmean(losses.tolist()) / math.log(2)


@wrong("bits_per_character", "nats", "nats")
def _(losses, tokens):
    return losses.sum() / sum(map(len, tokens[1:]))


@wrong("bits_per_character", "bytes", "bytes")
def _(losses, tokens):
    return losses.sum() / math.log(2) / len("".join(tokens[1:]).encode())


# ------------------------------------------------------------------------------------------------ temperature


@right("temperature", "where instead of if")
def _(logits, t):
    below = logits - logits.max(dim=-1, keepdim=True)[0]
    best = (below == 0).to(logits.dtype)
    return best if t == 0 else torch.softmax(torch.where(below == 0, below, below / t), dim=-1)


@wrong("temperature", "a small number is added to t")
def _(logits, t):
    return torch.softmax(logits / (t + 1e-3), dim=-1)


@wrong("temperature", "t is never below 0.01")
def _(logits, t):
    below = logits - logits.amax(-1, keepdim=True)
    return torch.softmax(below / max(t, 1e-2), dim=-1)


@wrong("temperature", "nan_to_num after dividing by 0", "nobody at zero")
def _(logits, t):
    return torch.softmax(logits / t, dim=-1).nan_to_num(0.0)


@wrong("temperature", "greedy returns a token")
def _(logits, t):
    return logits.argmax(-1) if t == 0 else torch.softmax((logits - logits.amax(-1, keepdim=True)) / t, -1)


# ------------------------------------------------------------------------------------------------------ top p


@right("top_p", "F.normalize and a padded sum")
def _(probabilities, p):
    ordered, places = torch.sort(probabilities, descending=True, dim=-1)
    before = F.pad(ordered.cumsum(-1)[..., :-1], (1, 0))
    ordered = ordered * (before < p)
    return F.normalize(torch.empty_like(ordered).scatter_(-1, places, ordered), p=1, dim=-1)


@wrong("top_p", "places used as if they were ranks", "put back the wrong way")
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


# ------------------------------------------------------------------------------------------------ cached step


@right("cached_step", "a mask of lists")
def _(q, k, v, k_cache, v_cache):
    keys, values = torch.concat([k_cache, k], axis=2), torch.concat([v_cache, v], axis=2)
    s, t = k_cache.size(2), k.size(2)
    mask = torch.tensor([[j <= s + i for j in range(s + t)] for i in range(t)])
    scores = torch.matmul(q, keys.transpose(2, 3)) / math.sqrt(k.size(-1))
    scores = torch.where(mask, scores, float("-inf"))
    return torch.matmul(F.softmax(scores, dim=-1), values), keys, values


@wrong("cached_step", "attends before it stores", "only the old ones seen")
def _(q, k, v, k_cache, v_cache):
    out = F.scaled_dot_product_attention(q, k_cache, v_cache)
    return out, torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)


@wrong("cached_step", "no mask, since everything comes before", "new tokens look ahead")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    return F.scaled_dot_product_attention(q, k, v), k, v


@wrong("cached_step", "is_causal", "a mask from the first key on")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, k), 2), torch.cat((v_cache, v), 2)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True), k, v


@wrong("cached_step", "values stored where the keys belong")
def _(q, k, v, k_cache, v_cache):
    k, v = torch.cat((k_cache, v), 2), torch.cat((v_cache, k), 2)
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k_cache.shape[2])
    return F.scaled_dot_product_attention(q, k, v, mask), k, v


# -------------------------------------------------------------------------------------------- sampler at work


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


@wrong("sampler_at_work", "reads the growing text each time, without what is stored", "everything read again")
def _(read, draw, ids, n_new, t, p):
    text = list(ids)
    for _ in range(n_new):
        scores, _ = read(text, None, step)
        text = [*text, draw(chances(scores, t, p))]
    return text[-n_new:]


@wrong("sampler_at_work", "the whole text comes back", "the prompt returned too")
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
