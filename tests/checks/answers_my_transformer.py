"""Wrong and correct answers to the tasks of 09_real_models on the learner's own model."""

import math

import torch
import torch.nn.functional as F

from course_lib import attention as library
from course_lib import generation

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------- extend the cache


def into_room(k_cache, v_cache, k, v):
    n = k_cache.shape[2]
    grown = []
    for old, new in ((k_cache, k), (v_cache, v)):
        room = torch.zeros(*new.shape[:2], n + new.shape[2], new.shape[3], dtype=new.dtype)
        room[:, :, :n] = old
        room[:, :, n:] = new
        grown.append(room)
    return grown


def token_by_token(k_cache, v_cache, k, v):
    keys, values = list(k_cache.unbind(2)), list(v_cache.unbind(2))
    for t in range(k.shape[2]):
        keys.append(k[:, :, t])
        values.append(v[:, :, t])
    return torch.stack(keys, dim=2), torch.stack(values, dim=2)


def both_at_once(k_cache, v_cache, k, v):
    both = torch.cat([torch.stack([k_cache, v_cache]), torch.stack([k, v])], dim=3)
    return both[0], both[1]


def in_place(k_cache, v_cache, k, v):
    k_cache += 1
    return torch.cat([k_cache - 1, k], 2), torch.cat([v_cache, v], 2)


def joined(dim, first=lambda old, new: [old, new]):
    return lambda a, b, k, v: (torch.cat(first(a, k), dim), torch.cat(first(b, v), dim))


def newest(k_cache, v_cache, k, v):
    keys, values = torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)
    n = k_cache.shape[2]
    return (keys[:, :, -n:], values[:, :, -n:]) if n else (keys[:, :, :0], values[:, :, :0])


RIGHT["09_real_models/extend_cache"] = [
    into_room,
    token_by_token,
    both_at_once,
    joined(-2),
    lambda a, b, k, v: (torch.cat([a.mT, k.mT], -1).mT, torch.cat([b.mT, v.mT], -1).mT),
    lambda a, b, k, v: tuple(
        F.pad(old, (0, 0, 0, new.shape[2])) + F.pad(new, (0, 0, old.shape[2], 0))
        for old, new in ((a, k), (b, v))
    ),
]
WRONG["09_real_models/extend_cache"] = [
    ("the new ones in front", joined(2, lambda old, new: [new, old])),
    ("only the new kept", lambda a, b, k, v: (k.clone(), v.clone())),
    ("nothing kept", lambda a, b, k, v: [a, b]),
    ("the oldest thrown out", newest),
    ("joined along the heads", joined(1)),
    ("joined along the width", joined(3)),
    ("joined along the batch", joined(0)),
    ("keys and values exchanged", lambda *given: token_by_token(*given)[::-1]),
    ("keys in both", lambda a, b, k, v: [torch.cat([a, k], 2)] * 2),
    ("the new keys in both", lambda a, b, k, v: (torch.cat([a, k], 2), torch.cat([b, k], 2))),
    ("values forgotten", lambda a, b, k, v: (torch.cat([a, k], 2), b)),
    (None, in_place),
    (None, lambda *given: torch.stack(token_by_token(*given))[:, :1]),
    (None, lambda a, b, k, v: torch.cat([a, k], 2)),
    (None, lambda a, b, k, v: (torch.cat([a, k[:, :, -1:]], 2), torch.cat([b, v[:, :, -1:]], 2))),
    (None, lambda *given: None),
]

# ------------------------------------------------------------------------------------------ grouped attention


def attend(q, k, v, mask, share=lambda x, n: x.repeat_interleave(n, 1), scale=None, dim=-1):
    n = q.shape[1] // k.shape[1]
    k, v = share(k, n), share(v, n)
    scores = q @ k.mT / (q.shape[-1] ** 0.5 if scale is None else scale)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim).nan_to_num(0.0) @ v


def head_by_head(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    heads = []
    for h in range(q.shape[1]):
        scores = q[:, h] @ k[:, h // n].mT * k.shape[-1] ** -0.5
        heads.append(torch.where(mask, scores, -torch.inf).softmax(-1) @ v[:, h // n])
    return torch.stack(heads, 1)


def queries_in_groups(q, k, v, mask):
    q = q.unflatten(1, (k.shape[1], -1))
    scores = torch.einsum("bgntk,bgsk->bgnts", q, k) / math.sqrt(q.shape[-1])
    largest = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).amax(-1, keepdim=True)
    powers = (scores - largest).clamp(max=0).exp() * mask
    return torch.einsum("bgnts,bgsk->bgntk", powers / powers.sum(-1, keepdim=True), v).flatten(1, 2)


def rows_of_one_matrix(q, k, v, mask):
    b, h, t, width = q.shape
    g = k.shape[1]
    rows = q.reshape(b, g, -1, width)  # the queries of a group below each other
    scores = rows @ k.transpose(2, 3) / width**0.5
    added = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores + added.repeat(h // g, 1), dim=-1)
    return (weights @ v).reshape(b, h, t, width)


def expanded(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = (x.unsqueeze(2).expand(-1, -1, n, -1, -1).flatten(1, 2) for x in (k, v))
    scores = torch.matmul(q, k.mT).div(math.sqrt(k.size(-1)))
    return torch.matmul(F.softmax(scores.masked_fill(mask.logical_not(), -1e30), dim=-1), v)


def with_in_turn(keys, values):
    turn, near = (lambda x, n: x.repeat(1, n, 1, 1)), (lambda x, n: x.repeat_interleave(n, 1))

    def answer(q, k, v, mask):
        n = q.shape[1] // k.shape[1]
        k, v = (turn if keys else near)(k, n), (turn if values else near)(v, n)
        return attend(q, k, v, mask)

    return answer


def late_mask(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    weights = (q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5).softmax(-1)
    return (weights * mask) @ v.repeat_interleave(n, 1)


def zero_scores(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, 0).softmax(-1) @ v.repeat_interleave(n, 1)


def over_queries(fill):
    def answer(q, k, v, mask):
        n = q.shape[1] // k.shape[1]
        scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
        return F.softmax(scores.masked_fill(mask == 0, fill), dim=2) @ v.repeat_interleave(n, 1)

    return answer


def wrong_heads(q, k, v, mask):
    places = torch.arange(q.shape[1]) // k.shape[1]
    return attend(q, k[:, places], v[:, places], mask)


def own_mask(q, k, v, mask):
    t, s = mask.shape
    return attend(q, k, v, torch.arange(s) <= torch.arange(t)[:, None] + s - t)


RIGHT["09_real_models/grouped_attention"] = [
    head_by_head,
    queries_in_groups,
    rows_of_one_matrix,
    expanded,
    attend,
    lambda q, k, v, mask: attend(q.double(), k.double(), v.double(), mask).to(q.dtype),
]
WRONG["09_real_models/grouped_attention"] = [
    ("key heads in turn", with_in_turn(True, True)),
    ("values in turn", with_in_turn(False, True)),
    ("keys in turn", with_in_turn(True, False)),
    ("one key head for all", lambda q, k, v, mask: attend(q, k[:, :1], v[:, :1], mask)),
    ("the mean of the key heads", lambda q, k, v, m: attend(q, k.mean(1, True), v.mean(1, True), m)),
    ("divided by the wrong number", wrong_heads),
    ("a mask of its own", own_mask),
    ("a mask from the first key on", lambda q, k, v, m: attend(q, k, v, torch.ones_like(m).tril())),
    ("no scaling", lambda q, k, v, mask: attend(q, k, v, mask, scale=1)),
    ("divided by K", lambda q, k, v, mask: attend(q, k, v, mask, scale=q.shape[-1])),
    ("scaled by the number of keys", lambda q, k, v, mask: attend(q, k, v, mask, scale=k.shape[2] ** 0.5)),
    ("softmax over the queries", lambda q, k, v, mask: attend(q, k, v, mask, dim=-2)),
    ("softmax over the queries", over_queries(-torch.inf)),
    ("softmax over the queries", over_queries(-1e9)),
    ("softmax over the queries", over_queries(torch.finfo(torch.float32).min)),
    ("mixes the keys", lambda q, k, v, mask: attend(q, k, k, mask)),
    ("mask ignored", lambda q, k, v, mask: attend(q, k, v, torch.ones_like(mask))),
    ("mask upside down", lambda q, k, v, mask: attend(q, k, v, ~mask)),
    ("masked after the softmax", late_mask),
    ("forbidden scores set to zero", zero_scores),
    (
        None,
        lambda q, k, v, mask: library.scaled_dot_product_attention(
            q, *(x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v)), mask
        ),
    ),
    (None, lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)),
    (None, lambda q, k, v, mask: attend(q, k, v, mask).transpose(1, 2)),
    (None, lambda q, k, v, mask: attend(q, k, v, mask).half()),
    (None, lambda q, k, v, mask: attend(q, k, v, mask).mean(1)),
]

# ----------------------------------------------------------------------------------------- next probabilities


def heat(logits, t):
    best = logits.amax(-1, keepdim=True)
    return (logits == best).to(logits.dtype) if t == 0 else ((logits - best) / t).softmax(-1)


def cut(chances, p, crosses=True, scaled=True):
    ordered, places = chances.sort(-1, descending=True)
    sums = ordered.cumsum(-1)
    keeps = sums - ordered < p if crosses else (sums <= p) | (torch.arange(chances.shape[-1]) == 0)
    kept = chances * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True) if scaled else kept


def threshold(logits, t, p):
    chances = heat(logits, t)
    ordered = chances.sort(-1, descending=True).values
    last = (ordered.cumsum(-1) - ordered < p).sum(-1, keepdim=True) - 1
    kept = chances.where(chances >= ordered.gather(-1, last), 0)
    return kept / kept.sum(-1, keepdim=True)


def row_by_row(logits, t, p):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        best = max(row)
        powers = [float(x == best) if t == 0 else math.exp((x - best) / t) for x in row]
        total, so_far, kept = sum(powers), 0.0, {}
        for i in sorted(range(len(row)), key=powers.__getitem__, reverse=True):
            kept[i] = powers[i]
            so_far += powers[i]
            if so_far >= p * total:
                break
        rows.append([kept.get(i, 0.0) / so_far for i in range(len(row))])
    return torch.tensor(rows, dtype=logits.dtype).reshape(logits.shape)


def masked_scores(logits, t, p):
    if t == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    scores = (logits - logits.amax(-1, keepdim=True)) / t
    ordered, places = scores.sort(dim=-1)
    goes = ordered.softmax(-1).cumsum(-1) <= 1 - p
    goes[..., -1] = False
    if p < 1:
        scores = scores.masked_fill(torch.zeros_like(goes).scatter(-1, places, goes), -torch.inf)
    return scores.softmax(-1)


def cut_first(logits, t, p):
    kept = cut(logits.softmax(-1), p) > 0
    return heat(logits.where(kept, -torch.inf), t)


RIGHT["09_real_models/next_probabilities"] = [
    lambda logits, t, p: cut(heat(logits, t), p),
    threshold,
    row_by_row,
    masked_scores,
    lambda logits, t, p: cut(heat(logits.double(), t), p).to(logits.dtype),
]
WRONG["09_real_models/next_probabilities"] = [
    ("cut before the temperature", cut_first),
    ("no temperature", lambda logits, t, p: cut(heat(logits, min(t * 1e40, 1.0)), p)),
    ("no temperature, and none at zero", lambda logits, t, p: cut(logits.softmax(-1), p)),
    ("nothing cut", lambda logits, t, p: heat(logits, t)),
    ("divided by zero", lambda logits, t, p: cut((logits / t).softmax(-1), p)),
    ("without the one that crosses", lambda logits, t, p: cut(heat(logits, t), p, crosses=False)),
    ("not scaled", lambda logits, t, p: cut(heat(logits, t), p, scaled=False)),
    ("multiplied by t", lambda logits, t, p: cut(heat(logits, 1 / t if t else 0), p)),
    ("p is what goes", lambda logits, t, p: cut(heat(logits, t), 1 - p)),
    ("the likeliest alone", lambda logits, t, p: heat(logits, 0)),
    ("sorted", lambda logits, t, p: cut(heat(logits, t), p).sort(-1, descending=True)[0]),
    ("the token itself", lambda logits, t, p: logits.argmax(-1)),
    (None, lambda logits, t, p: generation.next_token_probabilities(logits, temperature=t, top_p=p)),
    (None, lambda logits, t, p: cut(heat(logits, t + 0.1), p)),
    (None, lambda logits, t, p: cut(heat(logits, t), p).log()),
    (None, lambda logits, t, p: cut(heat(logits, t), p).numpy()),
    (None, lambda logits, t, p: logits.div_(t or 1).softmax(-1)),
]
