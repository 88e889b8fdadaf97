"""Answers to cached_step, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib.attention import KVCache, scaled_dot_product_attention


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


def to_the_new_alone(q, k, v, k_cache, v_cache):
    mix = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mix, torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)


def new_first_for_good(q, k, v, k_cache, v_cache):
    """The new ones in front, with a mask that lets each new token see itself and the older ones."""
    keys, values = torch.cat([k.flip(-2), k_cache], -2), torch.cat([v.flip(-2), v_cache], -2)
    allowed = torch.ones(q.shape[-2], keys.shape[-2], dtype=torch.bool).flip(0).triu().flip(0)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=allowed), keys, values


def by_torchs_causal(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)
    return F.scaled_dot_product_attention(q, keys, values, is_causal=True), keys, values


def softmax_by_hand(q, k, v, k_cache, v_cache):
    """Without the largest taken away first."""
    keys, values = torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)
    powers = (q @ keys.mT / math.sqrt(q.shape[-1])).exp().tril(k_cache.shape[-2])
    return powers / powers.sum(-1, keepdim=True) @ values, keys, values


def largest_of_each_part(q, k, v, k_cache, v_cache):
    """Two tables of scores, of which the larger maximum is taken away; that of no keys is an error."""
    old, new = (q @ keys.mT / q.shape[-1] ** 0.5 for keys in (k_cache, k))
    new = new.masked_fill(torch.ones(new.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    highest = torch.maximum(old.amax(-1, keepdim=True), new.amax(-1, keepdim=True))
    old, new = (old - highest).exp(), (new - highest).exp()
    total = old.sum(-1, keepdim=True) + new.sum(-1, keepdim=True)
    mix = (old @ v_cache + new @ v) / total
    return mix, torch.cat([k_cache, k], -2), torch.cat([v_cache, v], -2)


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


RIGHT = [stored_then_attended, one_by_one, old_and_new_apart, by_our_library, into_room]
WRONG = [
    ("only the new ones seen", to_the_new_alone),
    ("the new ones in front", lambda q, k, v, *caches: stored_then_attended(q, *caches, k, v)),
    ("a mask from the first key on", by_torchs_causal),
    (None, new_first_for_good),
    (None, kept_from_before()),
    ("overflow", softmax_by_hand),
    ("a largest score among none", largest_of_each_part),
]
