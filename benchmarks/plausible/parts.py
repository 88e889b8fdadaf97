"""Wrong parts of the model as learners write them, for the capstone.

They were written before the mistakes that name them. Each goes by the name that its check should give it;
"" is a mistake that no task knows, and few may be so.
"""

from collections import Counter
from itertools import pairwise

import torch
import torch.nn.functional as F

OF: dict[str, list] = {}  # (name, function) by the part


def wrong(part, name=""):
    """Mark a wrong part."""

    def add(function):
        OF.setdefault(part, []).append((name, function))
        return function

    return add


# -------------------------------------------------------------------------------------------------- tokenizer


def merged(tokens, pair):
    out = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair:
            out.append(tokens[i] + tokens[i + 1])
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out


def lowest(tokens, known, ranks):
    return min(known, key=lambda pair: ranks[pair])


def tokens_of(word, ranks, choose=lowest, passes=1000):
    tokens = [bytes([byte]) for byte in word.encode("utf-8")]
    for _ in range(passes):
        known = [pair for pair in pairwise(tokens) if pair in ranks]
        if not known:
            break
        tokens = merged(tokens, choose(tokens, known, ranks))
    return tokens


def with_tokens(cut):
    def tokenizer(words, ranks, ids, special):
        found = []
        for word in words:
            if word in special:
                found.append(special[word])
            else:
                found.extend(ids[token] for token in cut(word, ranks))
        return found

    return tokenizer


def first_pair(tokens, known, ranks):
    return known[0]


def highest_rank(tokens, known, ranks):
    return max(known, key=ranks.get)


def commonest(tokens, known, ranks):
    return Counter(known).most_common(1)[0][0]


wrong("tokenizer", "the leftmost pair first")(with_tokens(lambda w, r: tokens_of(w, r, first_pair)))
wrong("tokenizer", "the pair learned last")(with_tokens(lambda w, r: tokens_of(w, r, highest_rank)))
wrong("tokenizer", "the commonest pair first")(with_tokens(lambda w, r: tokens_of(w, r, commonest)))
wrong("tokenizer", "one merge only")(with_tokens(lambda w, r: tokens_of(w, r, passes=1)))


@wrong("tokenizer")
def text_for_bytes(words, ranks, ids, special):
    found = []
    for word in words:
        if word in special:
            found.append(special[word])
            continue
        tokens = list(word)
        while True:
            known = [pair for pair in pairwise(tokens) if pair in ranks]
            if not known:
                break
            tokens = merged(tokens, min(known, key=ranks.get))
        found += [ids[token] for token in tokens]
    return found


@wrong("tokenizer", "characters instead of bytes")
def _(words, ranks, ids, special):
    found = []
    for word in words:
        if word in special:
            found.append(special[word])
            continue
        tokens = [character.encode() for character in word]
        while known := [pair for pair in pairwise(tokens) if pair in ranks]:
            tokens = merged(tokens, min(known, key=ranks.get))
        found += [ids[token] for token in tokens]
    return found


@wrong("tokenizer", "the longest token from the left")
def _(words, ranks, ids, special):
    found = []
    for word in words:
        if word in special:
            found.append(special[word])
            continue
        rest = word.encode()
        while rest:
            end = len(rest)
            while rest[:end] not in ids:
                end -= 1
            found.append(ids[rest[:end]])
            rest = rest[end:]
    return found


@wrong("tokenizer", "special words are cut")
def _(words, ranks, ids, special):
    return [ids[token] for word in words for token in tokens_of(word, ranks)]


@wrong("tokenizer", "words were joined")
def _(words, ranks, ids, special):
    return [ids[token] for token in tokens_of("".join(words), ranks)]


@wrong("tokenizer", "a list for each word")
def _(words, ranks, ids, special):
    return [[special[w]] if w in special else [ids[t] for t in tokens_of(w, ranks)] for w in words]


@wrong("tokenizer", "spaces taken off")
def _(words, ranks, ids, special):
    return with_tokens(lambda word, r: tokens_of(word.strip(), r))(words, ranks, ids, special)


wrong("tokenizer", "the rightmost pair first")(
    with_tokens(lambda w, r: tokens_of(w, r, lambda tokens, known, ranks: known[-1]))
)
wrong("tokenizer", "small letters")(with_tokens(lambda w, r: tokens_of(w.lower(), r)))


@wrong("tokenizer", "special words are dropped")
def _(words, ranks, ids, special):
    return [ids[token] for word in words if word not in special for token in tokens_of(word, ranks)]


@wrong("tokenizer", "ranks instead of ids")
def _(words, ranks, ids, special):
    made = {left + right: 256 + rank for (left, right), rank in ranks.items()}
    return with_tokens(tokens_of)(words, ranks, {**ids, **made}, special)


@wrong("tokenizer")
def whole_words_or_bytes(words, ranks, ids, special):
    def cut(word, ranks):
        return [word.encode()] if word.encode() in ids else [bytes([byte]) for byte in word.encode()]

    return with_tokens(cut)(words, ranks, ids, special)


# ----------------------------------------------------------------------------------------------------- norm


@wrong("rms_norm", "eps outside the root")
def _(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * weight


@wrong("rms_norm", "always an eps of 1e-6")
def _(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


@wrong("rms_norm", "no eps")
def _(x, weight, eps):
    return x / x.pow(2).mean(-1, keepdim=True).sqrt() * weight


@wrong("rms_norm", "the mean taken away")
def _(x, weight, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + eps).sqrt() * weight


@wrong("rms_norm", "normalised over the tokens")
def _(x, weight, eps):
    return x / (x.pow(2).mean(-2, keepdim=True) + eps).sqrt() * weight


@wrong("rms_norm", "sum of squares")
def _(x, weight, eps):
    return x / (x.norm(dim=-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "weight left out")
def _(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@wrong("rms_norm", "no root")
def _(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "weighted before")
def _(x, weight, eps):
    x = x * weight
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@wrong("rms_norm", "mean of sizes")
def _(x, weight, eps):
    return x / (x.abs().mean(-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "the largest number")
def _(x, weight, eps):
    return x / (x.abs().amax(-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "all numbers normalised together")
def _(x, weight, eps):
    return x / (x.pow(2).mean() + eps).sqrt() * weight


@wrong("rms_norm")
def eps_twice(x, weight, eps):
    return x / ((x.pow(2).mean(-1, keepdim=True) + eps).sqrt() + eps) * weight


# -------------------------------------------------------------------------------------------------- attention


def shared(x, n):
    return x.repeat_interleave(n, dim=1)


def attend(
    q,
    k,
    v,
    mask,
    share=shared,
    share_values=None,
    scale=lambda q, k: q.shape[-1] ** 0.5,
    hide=lambda scores, mask: scores.masked_fill(~mask, float("-inf")),
    weigh=lambda scores: scores.softmax(-1),
):
    n = q.shape[1] // k.shape[1]
    keys, values = share(k, n), (share_values or share)(v, n)
    scores = q @ keys.transpose(-1, -2) / scale(q, k)
    return weigh(hide(scores, mask)) @ values


def attention(name, **changes):
    wrong("attention", name)(lambda q, k, v, mask: attend(q, k, v, mask, **changes))


attention("mask ignored", hide=lambda scores, mask: scores)
attention("mask upside down", hide=lambda scores, mask: scores.masked_fill(mask, float("-inf")))
attention("mask transposed", hide=lambda scores, mask: scores.masked_fill(~mask.mT, float("-inf")))
attention(
    "a mask from the first key on",
    hide=lambda scores, mask: scores.masked_fill(~torch.ones_like(mask).tril(), float("-inf")),
)
attention("forbidden scores set to zero", hide=lambda scores, mask: scores.masked_fill(~mask, 0.0))
attention("forbidden scores set to zero", hide=lambda scores, mask: scores * mask)
attention("mask added", hide=lambda scores, mask: scores + mask)
attention("forbidden scores set to zero", hide=lambda s, m: s.masked_fill(~m, 1e-9))
attention("softmax over the queries", weigh=lambda scores: scores.softmax(-2))
attention("softmax over the heads", weigh=lambda scores: scores.softmax(1))
attention("no softmax", hide=lambda scores, mask: scores * mask, weigh=lambda scores: scores)
attention("no scaling", scale=lambda q, k: 1.0)
attention("divided by K", scale=lambda q, k: q.shape[-1])
attention("scaled by the width of all heads", scale=lambda q, k: (q.shape[1] * q.shape[-1]) ** 0.5)
attention("scaled by the number of keys", scale=lambda q, k: k.shape[-2] ** 0.5)
attention("scaled by the number of heads", scale=lambda q, k: q.shape[1] ** 0.5)
attention("key heads in turn", share=lambda x, n: x.repeat(1, n, 1, 1))
attention("values in turn", share_values=lambda x, n: x.repeat(1, n, 1, 1))
attention("one key head for all", share=lambda x, n: x[:, :1].expand(-1, n * x.shape[1], -1, -1))


@wrong("attention", "masked after the softmax")
def _(q, k, v, mask):
    return attend(q, k, v, mask, hide=lambda s, m: s, weigh=lambda scores: scores.softmax(-1) * mask)


@wrong("attention", "mixes the keys")
def _(q, k, v, mask):
    return attend(q, k, k, mask)


attention("divided by half of K", scale=lambda q, k: q.shape[-1] ** 1 / 2)
attention("", hide=lambda scores, mask: scores.masked_fill(~mask, -1.0))  # minus one for minus infinity
attention("", share=lambda x, n: x[:, -1:].expand(-1, n * x.shape[1], -1, -1))  # the last key head for all
attention("the mean of the key heads", share=lambda x, n: x.mean(1, True).expand(-1, n * x.shape[1], -1, -1))


@wrong("attention", "heads and tokens exchanged")
def _(q, k, v, mask):
    return attend(q, k, v, mask).transpose(1, 2)


# ------------------------------------------------------------------------------------------------------ cache


@wrong("cache", "the new ones in front")
def _(k_cache, v_cache, k, v):
    return torch.cat([k, k_cache], 2), torch.cat([v, v_cache], 2)


@wrong("cache", "only the new kept")
def _(k_cache, v_cache, k, v):
    return k, v


@wrong("cache", "joined along the heads")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k], 1), torch.cat([v_cache, v], 1)


@wrong("cache", "joined along the width")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k], -1), torch.cat([v_cache, v], -1)


@wrong("cache", "only the last new token")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k[:, :, -1:]], 2), torch.cat([v_cache, v[:, :, -1:]], 2)


@wrong("cache", "the newest overwritten")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache[:, :, :-1], k], 2), torch.cat([v_cache[:, :, :-1], v], 2)


@wrong("cache", "only the first call fills it")
def _(k_cache, v_cache, k, v):
    if k_cache.shape[2] == 0:
        return k, v
    return k_cache, v_cache


@wrong("cache", "a window that slides")
def _(k_cache, v_cache, k, v):
    if k_cache.shape[2] == 0:
        return k, v
    n = k.shape[2]
    return torch.cat([k_cache[:, :, n:], k], 2), torch.cat([v_cache[:, :, n:], v], 2)


@wrong("cache", "keys and values exchanged")
def _(k_cache, v_cache, k, v):
    return torch.cat([v_cache, v], 2), torch.cat([k_cache, k], 2)


@wrong("cache", "only the new values")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k], 2), v


@wrong("cache", "the new ones backwards")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k.flip(2)], 2), torch.cat([v_cache, v.flip(2)], 2)


@wrong("cache", "nothing kept")
def _(k_cache, v_cache, k, v):
    return k_cache, v_cache


@wrong("cache", "the new values in front")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k], 2), torch.cat([v, v_cache], 2)


@wrong("cache")
def the_new_twice(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k, k], 2), torch.cat([v_cache, v, v], 2)


@wrong("cache")
def written_over_the_oldest(k_cache, v_cache, k, v):
    if k_cache.shape[2] == 0:
        return k, v
    n = k.shape[2]
    return torch.cat([k, k_cache[:, :, n:]], 2), torch.cat([v, v_cache[:, :, n:]], 2)


# ---------------------------------------------------------------------------------------------------- sampler


def heated(logits, t):
    if t == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return ((logits - logits.amax(-1, keepdim=True)) / t).softmax(-1)


def kept(chances, p, stays=lambda sums, ordered, p: sums - ordered < p):
    ordered, places = chances.sort(-1, descending=True)
    stays = stays(ordered.cumsum(-1), ordered, p)
    return chances * torch.zeros_like(chances).scatter(-1, places, stays.to(chances.dtype))


def scaled(chances):
    return chances / chances.sum(-1, keepdim=True)


@wrong("sampler", "cut before the temperature")
def _(logits, t, p):
    stays = kept(heated(logits, 1.0), p) > 0
    return heated(logits.masked_fill(~stays, float("-inf")), t)


@wrong("sampler", "without the one that crosses")
def _(logits, t, p):
    return scaled(kept(heated(logits, t), p, lambda sums, ordered, p: (sums <= p) | (sums == ordered)))


@wrong("sampler", "one token too many")
def _(logits, t, p):
    return scaled(kept(heated(logits, t), p, lambda s, o, p: s - o - o.roll(1, -1) * (s > o) < p))


@wrong("sampler", "not scaled")
def _(logits, t, p):
    return kept(heated(logits, t), p)


@wrong("sampler", "multiplied by t")
def _(logits, t, p):
    return scaled(kept(heated(logits, 1 / t if t else 0), p))


@wrong("sampler", "no temperature")
def _(logits, t, p):
    chances = logits.softmax(-1) if t == 0 else scaled(logits.softmax(-1) / t)
    return heated(logits, 0) if t == 0 else scaled(kept(chances, p))


@wrong("sampler", "no temperature")
def _(logits, t, p):
    return scaled(kept(heated(logits, 0 if t == 0 else 1), p))


@wrong("sampler", "nothing cut")
def _(logits, t, p):
    return heated(logits, t)


@wrong("sampler", "the likeliest alone")
def _(logits, t, p):
    return heated(logits, 0)


@wrong("sampler", "without the one that crosses")
def _(logits, t, p):
    chances = heated(logits, t)
    left = kept(chances, p, lambda sums, ordered, p: sums < p)
    return scaled(torch.where(left.sum(-1, keepdim=True) > 0, left, heated(logits, 0)))


@wrong("sampler", "the least likely kept")
def _(logits, t, p):
    chances = heated(logits, t)
    ordered, places = chances.sort(-1)
    stays = (ordered.cumsum(-1) - ordered < p).to(chances.dtype)
    return scaled(chances * torch.zeros_like(chances).scatter(-1, places, stays))


@wrong("sampler", "the first places kept")
def _(logits, t, p):
    chances = heated(logits, t)
    ordered = chances.sort(-1, descending=True).values
    return scaled(chances * (ordered.cumsum(-1) - ordered < p))


@wrong("sampler", "sorted")
def _(logits, t, p):
    return scaled(kept(heated(logits, t), p)).sort(-1, descending=True).values


@wrong("sampler", "a share of the largest")
def _(logits, t, p):
    chances = heated(logits, t)
    return scaled(chances * (chances >= (1 - p) * chances.amax(-1, keepdim=True)))


@wrong("sampler", "cut scores set to zero")
def _(logits, t, p):
    if t == 0:
        return heated(logits, 0)
    stays = kept(heated(logits, t), p) > 0
    return (logits / t * stays).softmax(-1)


@wrong("sampler", "divided by zero")
def _(logits, t, p):
    return scaled(kept((logits / t).softmax(-1), p))


@wrong("sampler", "a softmax once more")
def _(logits, t, p):
    return kept(heated(logits, t), p).softmax(-1)


@wrong("sampler", "a share of the tokens")
def _(logits, t, p):
    chances = heated(logits, t)
    best, places = chances.topk(max(1, int(p * chances.shape[-1])), -1)
    return scaled(torch.zeros_like(chances).scatter(-1, places, best))


@wrong("sampler", "what is beyond p")
def _(logits, t, p):
    return scaled(kept(heated(logits, t), p, lambda sums, ordered, p: sums > p))


@wrong("sampler", "logarithms")
def _(logits, t, p):
    return scaled(kept(heated(logits, t), p)).log()


@wrong("sampler")
def only_those_that_are_left(logits, t, p):
    chances = scaled(kept(heated(logits, t), p))
    return chances[chances > 0]
