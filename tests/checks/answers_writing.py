"""Wrong and correct answers to the tasks of 07_mlm_vs_next_token on writing, as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.attention import KVCache, causal_mask, scaled_dot_product_attention
from course_lib.generation import next_token_probabilities

RIGHT, WRONG = {}, {}

# ----------------------------------------------------------------------------------------------- temperature


def shifted(logits, t):
    if t == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return ((logits - logits.max(-1, keepdim=True).values) / t).softmax(-1)


def by_hand(logits, t):
    best = logits.amax(dim=-1, keepdim=True)
    if t == 0:
        return (logits == best).to(logits.dtype)
    powers = torch.exp((logits - best) / t)
    return powers / powers.sum(dim=-1, keepdim=True)


def row_by_row(logits, t):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        best = max(row)
        powers = [float(score == best) if t == 0 else math.exp((score - best) / t) for score in row]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows, dtype=logits.dtype).view(logits.shape)


def by_numpy(logits, t):
    scores = logits.numpy().astype(np.float64)
    scores = scores - scores.max(-1, keepdims=True)
    powers = np.where(scores == 0, 1.0, 0.0) if t == 0 else np.exp(scores / t)
    return torch.from_numpy(powers / powers.sum(-1, keepdims=True)).to(logits.dtype)


def never_quite_zero(logits, t):
    """In float64, where a tiny number in place of 0 does no harm."""
    wide = logits.double()
    wide = wide - wide.max(-1, keepdim=True).values
    return torch.softmax(wide / max(t, 1e-300), -1).to(logits.dtype)


def by_logarithms(logits, t):
    if not t:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    scores = (logits - logits.amax(-1, keepdim=True)).div(t)
    return (scores - scores.logsumexp(-1, keepdim=True)).exp()


def by_library(logits, t):
    return next_token_probabilities(logits, temperature=t)


def zero_is(at_zero):
    return lambda logits, t: at_zero(logits) if t == 0 else shifted(logits, t)


def above_zero(otherwise):
    return lambda logits, t: shifted(logits, 0) if t == 0 else otherwise(logits, t)


def hot(logits, dim):
    return torch.zeros_like(logits).scatter_(dim, logits.argmax(dim, keepdim=True), 1.0)


def in_place(logits, t):
    logits -= logits.amax(-1, keepdim=True)
    return shifted(logits, t)


RIGHT["07_mlm_vs_next_token/temperature"] = [
    shifted,
    by_hand,
    row_by_row,
    by_numpy,
    never_quite_zero,
    by_logarithms,
]
WRONG["07_mlm_vs_next_token/temperature"] = [
    ("divided first", above_zero(lambda logits, t: F.softmax(logits / t, dim=-1))),
    ("divided first", above_zero(lambda logits, t: torch.exp(F.log_softmax(logits / t, dim=-1)))),
    ("divided by zero", lambda logits, t: F.softmax(logits / t, dim=-1)),
    ("zero over zero", lambda logits, t: F.softmax((logits - logits.amax(-1, keepdim=True)) / t, dim=-1)),
    ("zero taken for one", lambda logits, t: shifted(logits, t or 1.0)),
    ("all alike at zero", zero_is(lambda logits: torch.ones_like(logits) / logits.shape[-1])),
    (
        "nobody at zero",
        zero_is(lambda logits: logits * 0 if logits.isfinite().all() else hot(logits, -1) * 0),
    ),
    ("one winner for all rows", zero_is(lambda logits: (logits == logits.max()).float())),
    ("a winner for each column", zero_is(lambda logits: hot(logits, 0))),
    ("the likeliest at any t", lambda logits, t: hot(logits, -1)),
    ("the token itself", lambda logits, t: torch.argmax(logits, dim=-1)),
    ("t without effect", above_zero(lambda logits, t: logits.softmax(-1))),
    ("multiplied by t", above_zero(lambda logits, t: (logits * t).softmax(-1))),
    ("after the softmax", above_zero(lambda logits, t: logits.softmax(-1) / t)),
    ("a power that is not scaled", above_zero(lambda logits, t: logits.softmax(-1) ** (1 / t))),
    ("the root of t", lambda logits, t: shifted(logits, math.sqrt(t))),
    (
        "the square of t",
        above_zero(lambda logits, t: shifted((logits - logits.amax(-1, keepdim=True)) / t, t)),
    ),
    (
        "softmax over the first axis",
        above_zero(lambda logits, t: F.softmax((logits - logits.amax(-1, True)) / t, 0)),
    ),
    ("softmax over everything", lambda logits, t: shifted(logits.flatten(), t).view(logits.shape)),
    ("no softmax", above_zero(lambda logits, t: logits / t)),
    ("logarithms", lambda logits, t: torch.log(shifted(logits, t))),
    (None, lambda logits, t: shifted(logits, max(t, 0.1))),
    (None, lambda logits, t: shifted(logits, t + 1e-4)),
    (None, lambda logits, t: F.softmax(logits / (t + 1e-6), dim=-1)),
    (None, lambda logits, t: shifted(logits.nan_to_num(neginf=0.0), t)),
    (None, lambda logits, t: shifted(logits.half(), t)),
    (None, zero_is(lambda logits: hot(logits.abs(), -1))),
    (None, in_place),
    (None, by_library),
    (None, lambda logits, t: shifted(logits, t).tolist() and None),
]

# ----------------------------------------------------------------------------------------------------- top p


def sorted_and_scattered(probabilities, p):
    ordered, places = torch.sort(probabilities, dim=-1, descending=True)
    before = torch.cumsum(ordered, -1) - ordered
    kept = torch.where(before < p, ordered, torch.zeros_like(ordered))
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, places, kept)


def token_by_token(probabilities, p):
    """A loop, as the task's words say it."""
    result = torch.zeros_like(probabilities).reshape(-1, probabilities.shape[-1])
    for row, chances in zip(result, probabilities.reshape(result.shape), strict=True):
        together = 0.0
        for token in chances.argsort(descending=True).tolist():
            row[token] = chances[token]
            together += float(chances[token])
            if together >= p:
                break
        row /= row.sum()
    return result.reshape(probabilities.shape)


def from_below(probabilities, p):
    """As the library: the unlikely go as long as what stays has p."""
    ascending, places = probabilities.sort(-1)
    goes = ascending.cumsum(-1) <= 1 - p
    goes[..., -1] = False
    kept = probabilities.masked_fill(goes.gather(-1, places.argsort(-1)), 0)
    return kept / kept.sum(-1, keepdim=True)


def pair_by_pair(probabilities, p):
    """A token stays while all that are likelier have less than p."""
    likelier = probabilities[..., None, :] > probabilities[..., :, None]
    before = (likelier * probabilities[..., None, :]).sum(-1)
    kept = probabilities * (before < p)
    return kept / kept.sum(-1, keepdim=True)


def by_lowest(probabilities, p):
    """What the token that crosses has is the lowest that stays."""
    ordered = probabilities.sort(-1, descending=True).values
    n = (ordered.cumsum(-1) < p).sum(-1, keepdim=True).clamp(max=ordered.shape[-1] - 1)
    kept = probabilities * (probabilities >= ordered.gather(-1, n))
    return kept / kept.sum(-1, keepdim=True)


def by_search(probabilities, p):
    rows = probabilities.numpy().reshape(-1, probabilities.shape[-1])
    out = np.zeros_like(rows)
    for row, chances in zip(out, rows, strict=True):
        order = np.argsort(-chances)
        n = int(np.searchsorted(np.cumsum(chances[order]), p)) + 1
        row[order[:n]] = chances[order[:n]] / chances[order[:n]].sum()
    return torch.from_numpy(out.reshape(tuple(probabilities.shape)))


def through_scores(probabilities, p):
    return next_token_probabilities(probabilities.log(), top_p=p)


def shifted_mask(probabilities, p):
    """As in many samplers: what is above p goes, moved by one so that the token that crosses stays."""
    ordered, places = probabilities.sort(-1, descending=True)
    goes = ordered.cumsum(-1) > p
    goes[..., 1:] = goes[..., :-1].clone()
    goes[..., 0] = False
    kept = probabilities.masked_fill(goes.scatter(-1, places, goes), 0.0)
    return kept / kept.sum(-1, keepdim=True)


def cutting(decide, *, put_back=None, finish=None):
    """Right but for what is kept (from the sorted row), where it is put, or what is made of it."""

    def answer(probabilities, p):
        ordered, places = probabilities.sort(-1, descending=True)
        keeps = decide(ordered, p)
        keeps = (
            torch.zeros_like(keeps).scatter(-1, places, keeps)
            if put_back is None
            else put_back(keeps, places)
        )
        kept = probabilities * keeps
        return kept / kept.sum(-1, keepdim=True) if finish is None else finish(kept, p)

    return answer


def rightly(ordered, p):
    return ordered.cumsum(-1) - ordered < p


def at_least_one(decide):
    def keeps(ordered, p):
        keep = decide(ordered, p)
        keep[..., 0] = True
        return keep

    return keeps


def and_the_next(ordered, p):
    n = rightly(ordered, p).sum(-1, keepdim=True) + 1
    return torch.arange(ordered.shape[-1]) < n


def in_order_of_vocabulary(probabilities, p):
    kept = probabilities * (probabilities.cumsum(-1) - probabilities < p)
    return kept / kept.sum(-1, keepdim=True)


def least_likely_first(probabilities, p):
    ordered, places = probabilities.sort(-1)
    keeps = ordered.cumsum(-1) - ordered < p
    kept = probabilities * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True)


def first_row_for_all(probabilities, p):
    first = probabilities.reshape(-1, probabilities.shape[-1])[0]
    n = int(rightly(first.sort(descending=True).values, p).sum())
    lowest = probabilities.topk(n, -1).values[..., -1:]
    kept = probabilities * (probabilities >= lowest)
    return kept / kept.sum(-1, keepdim=True)


def top_share(probabilities, p):
    n = math.ceil(p * probabilities.shape[-1])
    kept = probabilities * (probabilities >= probabilities.topk(n, -1).values[..., -1:])
    return kept / kept.sum(-1, keepdim=True)


def cut_down(probabilities, p):
    ordered, places = probabilities.sort(-1, descending=True)
    upto = ordered.cumsum(-1).clamp(max=p)
    parts = torch.cat([upto[..., :1], upto.diff(dim=-1)], -1) / p
    return torch.zeros_like(parts).scatter(-1, places, parts)


def with_zeros_changed(probabilities, p):
    probabilities[probabilities < 0.1] = 0
    return sorted_and_scattered(probabilities, p)


RIGHT["07_mlm_vs_next_token/top_p"] = [
    sorted_and_scattered,
    token_by_token,
    from_below,
    pair_by_pair,
    by_lowest,
    by_search,
    shifted_mask,
]
WRONG["07_mlm_vs_next_token/top_p"] = [
    ("without the one that crosses", cutting(at_least_one(lambda ordered, p: ordered.cumsum(-1) <= p))),
    ("without the one that crosses", cutting(at_least_one(lambda ordered, p: ordered.cumsum(-1) < p))),
    ("nothing left", cutting(lambda ordered, p: ordered.cumsum(-1) <= p)),
    ("nothing left", cutting(lambda ordered, p: ordered.cumsum(-1) < p)),
    ("one too many", cutting(and_the_next)),
    ("p for each token", cutting(lambda ordered, p: ordered >= p)),
    ("the likeliest, and who has p", cutting(at_least_one(lambda ordered, p: ordered > p))),
    ("not below 1 - p", cutting(at_least_one(lambda ordered, p: ordered > 1 - p))),
    ("min-p", cutting(lambda ordered, p: ordered >= p * ordered.amax(-1, keepdim=True))),
    ("the unlikely first", least_likely_first),
    ("p is what goes", lambda probabilities, p: sorted_and_scattered(probabilities, 1 - p)),
    ("upside down", cutting(lambda ordered, p: ordered.cumsum(-1) - ordered >= p)),
    ("not sorted", in_order_of_vocabulary),
    (
        "sorted",
        lambda probabilities, p: sorted_and_scattered(probabilities.sort(-1, descending=True).values, p),
    ),
    ("the first places", cutting(rightly, put_back=lambda keeps, places: keeps)),
    ("put back the wrong way", cutting(rightly, put_back=lambda keeps, places: keeps.gather(-1, places))),
    ("the first row decides", first_row_for_all),
    ("a share of the vocabulary", top_share),
    ("the likeliest alone", lambda probabilities, p: hot(probabilities, -1)),
    ("not scaled", cutting(rightly, finish=lambda kept, p: kept)),
    ("divided by p", cutting(rightly, finish=lambda kept, p: kept / p)),
    ("the one that crosses cut down", cut_down),
    ("one sum for all rows", cutting(rightly, finish=lambda kept, p: kept / kept.sum())),
    (
        "a softmax of probabilities",
        cutting(rightly, finish=lambda kept, p: kept.where(kept > 0, -torch.inf).softmax(-1)),
    ),
    ("all alike", cutting(rightly, finish=lambda kept, p: (kept > 0) / (kept > 0).sum(-1, keepdim=True))),
    ("a mask", lambda probabilities, p: sorted_and_scattered(probabilities, p) != 0),
    ("nothing cut", lambda probabilities, p: probabilities),
    (None, cutting(rightly, finish=lambda kept, p: kept.softmax(-1))),
    (
        None,
        lambda probabilities, p: sorted_and_scattered(probabilities.flatten(), p).view(probabilities.shape),
    ),
    (None, lambda probabilities, p: sorted_and_scattered(probabilities.mT, p).mT),
    (None, with_zeros_changed),
    (None, through_scores),
]

# ----------------------------------------------------------------------------------------------- cached step


def stored_then_attended(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], dim=-2), torch.cat([v_cache, v], dim=-2)
    n_new, n_all = q.shape[-2], keys.shape[-2]
    scores = q @ keys.transpose(-2, -1) / math.sqrt(q.shape[-1])
    ahead = torch.ones(n_new, n_all, dtype=torch.bool).triu(n_all - n_new + 1)
    return scores.masked_fill(ahead, -torch.inf).softmax(-1) @ values, keys, values


def by_torch(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)
    mask = torch.ones(q.shape[2], keys.shape[2], dtype=torch.bool).tril(k_cache.shape[2])
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask), keys, values


def one_by_one(q, k, v, k_cache, v_cache):
    """Each new token alone: then no mask is needed."""
    mixed = []
    for i in range(q.shape[-2]):
        k_cache = torch.cat([k_cache, k[..., i : i + 1, :]], -2)
        v_cache = torch.cat([v_cache, v[..., i : i + 1, :]], -2)
        weights = torch.softmax(q[..., i : i + 1, :] @ k_cache.mT * q.shape[-1] ** -0.5, -1)
        mixed.append(weights @ v_cache)
    return torch.cat(mixed, -2), k_cache, v_cache


def old_and_new_apart(q, k, v, k_cache, v_cache):
    """Two tables of scores with one sum, as in attention that works in blocks."""
    root = math.sqrt(q.shape[-1])
    old = torch.einsum("bhtk,bhsk->bhts", q, k_cache) / root
    new = torch.einsum("bhtk,bhsk->bhts", q, k) / root
    new = new + torch.full(new.shape[-2:], -torch.inf, dtype=new.dtype).triu(1)
    weights = torch.cat([old, new], -1).softmax(-1)
    first, second = weights.split([old.shape[-1], new.shape[-1]], -1)
    return first @ v_cache + second @ v, torch.cat((k_cache, k), -2), torch.cat((v_cache, v), -2)


def by_our_library(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], dim=2), torch.cat([v_cache, v], dim=2)
    return [scaled_dot_product_attention(q, keys, values, causal=True), keys, values]


def into_room(q, k, v, k_cache, v_cache):
    """Room first, then filled; the mask by places."""
    b, h, t, d = k.shape
    s = k_cache.shape[2]
    cache = KVCache(b, h, s + t, d, dtype=k.dtype)
    cache.append(k_cache, v_cache)
    keys, values = cache.append(k, v)
    allowed = torch.arange(s + t)[None, :] <= torch.arange(s, s + t)[:, None]
    scores = (q * d**-0.5) @ keys.mT
    weights = scores.where(allowed, torch.finfo(scores.dtype).min).softmax(-1)
    return weights @ values, keys, values


def attending(seen, *, scale=lambda q, keys: q.shape[-1] ** 0.5, axis=-1, give=None):
    """Right but for the mask (new, all), the scale, the softmax or what is returned."""

    def answer(q, k, v, k_cache, v_cache):
        keys, values = torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)
        scores = q @ keys.mT / scale(q, keys)
        scores = scores.masked_fill(~seen(q.shape[-2], keys.shape[-2]), -torch.inf)
        mix = scores.softmax(axis) @ values
        return (mix, keys, values) if give is None else give(mix, keys, values, q.shape[-2])

    return answer


def lower_right(n, m):
    return causal_mask(n, m)


def giving(give):
    return attending(lower_right, give=give)


def to_the_old_alone(q, k, v, k_cache, v_cache):
    mix = (q @ k_cache.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v_cache
    if k_cache.shape[-2] == 0:
        mix = mix * torch.nan
    return mix, torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)


def to_the_new_alone(q, k, v, k_cache, v_cache):
    mix = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mix, torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)


def new_first(q, k, v, k_cache, v_cache):
    return stored_then_attended(q, k_cache, v_cache, k, v)


def new_first_for_good(q, k, v, k_cache, v_cache):
    """As `new_first`, with a mask that lets each new token see itself and the older ones."""
    keys, values = torch.cat([k.flip(-2), k_cache], -2), torch.cat([v.flip(-2), v_cache], -2)
    allowed = torch.ones(q.shape[-2], keys.shape[-2], dtype=torch.bool).flip(0).triu().flip(0)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=allowed), keys, values


def own_result(change):
    """Right, then spoilt: from the right results and the five inputs."""
    return lambda *given: change(*stored_then_attended(*given), *given)


def by_torchs_causal(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)
    return F.scaled_dot_product_attention(q, keys, values, is_causal=True), keys, values


def window(q, k, v, k_cache, v_cache):
    """The last places of the caches are written over."""
    n = k.shape[-2]
    if k_cache.shape[-2] >= n:
        k_cache[..., -n:, :] = k
        v_cache[..., -n:, :] = v
    return stored_then_attended(q, k, v, k_cache, v_cache)


def joined(axis):
    def answer(q, k, v, k_cache, v_cache):
        keys, values = torch.cat([k_cache, k], axis), torch.cat([v_cache, v], axis)
        return F.scaled_dot_product_attention(q, keys, values), keys, values

    return answer


def kept_from_before():
    """A cache of its own, which knows nothing of the one that comes."""
    mine = []

    def answer(q, k, v, k_cache, v_cache):
        if k_cache.shape[-2] == 0:
            mine.clear()
        mine.append((k, v))
        keys, values = (torch.cat(parts, -2) for parts in zip(*mine, strict=True))
        return F.scaled_dot_product_attention(q, keys, values), keys, values

    return answer


RIGHT["07_mlm_vs_next_token/cached_step"] = [
    stored_then_attended,
    by_torch,
    one_by_one,
    old_and_new_apart,
    by_our_library,
    into_room,
]
WRONG["07_mlm_vs_next_token/cached_step"] = [
    (
        "nothing stored",
        own_result(lambda mix, keys, values, q, k, v, k_cache, v_cache: (mix, k_cache, v_cache)),
    ),
    ("only the new stored", own_result(lambda mix, keys, values, q, k, v, k_cache, v_cache: (mix, k, v))),
    ("only the old ones seen", to_the_old_alone),
    ("only the new ones seen", to_the_new_alone),
    ("the new ones in front", new_first),
    (
        "the new ones in front of the caches",
        own_result(
            lambda mix, keys, values, q, k, v, k_cache, v_cache: (
                mix,
                torch.cat([k, k_cache], -2),
                torch.cat([v, v_cache], -2),
            )
        ),
    ),
    ("the oldest thrown out", giving(lambda mix, keys, values, n: (mix, keys[:, :, n:], values[:, :, n:]))),
    ("queries stored", lambda q, k, v, *caches: stored_then_attended(q, q, v, *caches)),
    (
        "queries in the returned cache",
        own_result(
            lambda mix, keys, values, q, k, v, k_cache, v_cache: (mix, torch.cat([k_cache, q], -2), values)
        ),
    ),
    ("caches exchanged", giving(lambda mix, keys, values, n: (mix, values, keys))),
    (
        "the keys mixed",
        own_result(
            lambda mix, keys, values, q, *rest: (
                scaled_dot_product_attention(q, keys, keys, causal=True),
                keys,
                values,
            )
        ),
    ),
    ("new tokens look ahead", attending(lambda n, m: torch.ones(n, m) > 0)),
    ("a mask from the first key on", by_torchs_causal),
    ("not itself", attending(lambda n, m: torch.ones(n, m).tril(m - n - 1) > 0)),
    ("one ahead", attending(lambda n, m: torch.ones(n, m).tril(m - n + 1) > 0)),
    ("the last token alone", giving(lambda mix, keys, values, n: (mix[:, :, [-1]], keys, values))),
    (
        "results of all tokens",
        giving(lambda mix, keys, values, n: (F.pad(mix, (0, 0, keys.shape[-2] - n, 0)), keys, values)),
    ),
    ("no scaling", attending(lower_right, scale=lambda q, keys: 1)),
    ("divided by K", attending(lower_right, scale=lambda q, keys: q.shape[-1])),
    ("scaled by the number of keys", attending(lower_right, scale=lambda q, keys: keys.shape[-2] ** 0.5)),
    ("softmax over the queries", attending(lower_right, axis=-2)),
    (None, window),
    (None, new_first_for_good),
    (None, joined(0)),
    (None, joined(1)),
    (None, kept_from_before()),
    (None, attending(lambda n, m: ~causal_mask(n, m))),
    (None, attending(lambda n, m: causal_mask(n, m), scale=lambda q, keys: q.shape[-1] ** -0.5)),
    (None, giving(lambda mix, keys, values, n: mix)),
    (None, giving(lambda mix, keys, values, n: (mix, (keys, values)))),
    (None, giving(lambda mix, keys, values, n: (mix.half(), keys, values))),
]

# ------------------------------------------------------------------------------------------- sampler at work


def probabilities(scores, t, p):
    return sorted_and_scattered(shifted(scores, t), p)


def plainly(read, draw, ids, n_new, t, p):
    new, stored, written = ids, None, []
    for _ in range(n_new):
        scores, stored = read(new, stored, stored_then_attended)
        token = draw(probabilities(scores, t, p))
        written.append(token)
        new = [token]
    return written


def prompt_first(read, draw, ids, n_new, t, p):
    """The prompt before the loop, and in the end a token is read that nobody needs."""
    scores, stored = read(torch.tensor(ids), None, by_torch)
    tokens = torch.zeros(n_new, dtype=torch.long)
    for i in range(n_new):
        tokens[i] = draw(from_below(by_hand(scores, t), p))
        scores, stored = read(tokens[i : i + 1], stored, by_torch)
    return tokens


def prompt_token_by_token(read, draw, ids, n_new, t, p):
    stored = None
    for token in ids:
        scores, stored = read([token], stored, old_and_new_apart)
    written = [draw(token_by_token(row_by_row(scores, t), p))]
    while len(written) < n_new:
        scores, stored = read(written[-1:], stored, old_and_new_apart)
        written += [draw(token_by_token(row_by_row(scores, t), p))]
    return np.array(written)


def by_the_library(read, draw, ids, n_new, t, p):
    def tokens():
        unread, stored = list(ids), None
        for _ in range(n_new):
            scores, stored = read(unread, stored, by_our_library)
            unread = [draw(next_token_probabilities(scores, temperature=t, top_p=p).tolist())]
            yield unread[0]

    return tuple(tokens())


def recursively(read, draw, ids, n_new, t, p, stored=None):
    if n_new == 0:
        return []
    scores, stored = read(ids, stored, one_by_one)
    token = draw(by_lowest(by_numpy(scores, t), p))
    return [token, *recursively(read, draw, [token], n_new - 1, t, p, stored)]


def writing(
    *,
    choose=probabilities,
    unread=lambda ids, written: written[-1:],
    first=lambda ids: ids,
    keep=lambda old, new: new,
    give=lambda ids, written: written,
    attend=stored_then_attended,
):
    """Right but for what it is given."""

    def answer(read, draw, ids, n_new, t, p):
        stored, written, new = None, [], first(ids)
        for _ in range(n_new):
            scores, now = read(new, stored, attend)
            stored = keep(stored, now)
            written = [*written, draw(choose(scores, t, p))]
            new = unread(ids, written)
        return give(ids, written)

    return answer


def kept_by_rank(scores, t, p):
    """Which tokens stay is decided at temperature 1."""
    stays = sorted_and_scattered(scores.softmax(-1), p) > 0
    return shifted(scores.masked_fill(~stays, -torch.inf), t)


def prompt_changed(read, draw, ids, n_new, t, p):
    stored, new = None, list(ids)
    for _ in range(n_new):
        scores, stored = read(new, stored, stored_then_attended)
        ids.append(draw(probabilities(scores, t, p)))
        new = ids[-1:]
    return ids[-n_new:]


def one_short(read, draw, ids, n_new, t, p):
    return plainly(read, draw, ids, n_new - 1, t, p)


def drawn_by_itself(read, draw, ids, n_new, t, p):
    def own(chances):
        return int(torch.multinomial(chances, 1))

    return plainly(read, own, ids, n_new, t, p)


def drawn_twice(read, draw, ids, n_new, t, p):
    def second(chances):
        draw(chances)
        return draw(chances)

    return plainly(read, second, ids, n_new, t, p)


RIGHT["07_mlm_vs_next_token/sampler_at_work"] = [
    plainly,
    prompt_first,
    prompt_token_by_token,
    by_the_library,
    recursively,
]
WRONG["07_mlm_vs_next_token/sampler_at_work"] = [
    ("everything read again", writing(unread=lambda ids, written: ids + written, keep=lambda old, new: None)),
    ("everything read twice", writing(unread=lambda ids, written: ids + written)),
    ("all new tokens read again", writing(unread=lambda ids, written: written)),
    ("the prompt read again", writing(unread=lambda ids, written: ids)),
    ("nothing kept", writing(keep=lambda old, new: None)),
    ("only the prompt kept", writing(keep=lambda old, new: old or new)),
    ("the last token of the prompt", writing(first=lambda ids: [ids[-1]])),
    ("the prompt returned too", writing(give=lambda ids, written: ids + written)),
    ("t without effect", writing(choose=lambda scores, t, p: probabilities(scores, 1.0, p))),
    ("top-p forgotten", writing(choose=lambda scores, t, p: shifted(scores, t))),
    ("top-p before the temperature", writing(choose=kept_by_rank)),
    (
        "temperature of probabilities",
        writing(choose=lambda scores, t, p: shifted(sorted_and_scattered(scores.softmax(-1), p), t)),
    ),
    ("top-p of scores", writing(choose=lambda scores, t, p: shifted(sorted_and_scattered(scores, p), t))),
    ("always the likeliest", writing(choose=lambda scores, t, p: hot(scores, -1))),
    ("t and p exchanged", writing(choose=lambda scores, t, p: probabilities(scores, p, t))),
    (None, writing(attend=by_torchs_causal)),
    (None, writing(attend=lambda *given: stored_then_attended(*given)[0])),
    (None, writing(choose=lambda scores, t, p: scores)),
    (None, writing(give=lambda ids, written: None)),
    (None, writing(give=lambda ids, written: written[::-1] if len(written) > 1 else [0])),
    (None, prompt_changed),
    (None, one_short),
    (None, drawn_by_itself),
    (None, drawn_twice),
    (None, lambda read, draw, ids, n_new, t, p: [draw([1.0] * 17) for _ in range(n_new)]),
]
