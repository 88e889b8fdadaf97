"""Answers to forward_pass, as learners write them."""

from functools import partial

import torch


def all_in_the_loop(ids, weights, parts, stored):
    (b, t), (_, g, s, width) = ids.shape, stored[0][0].shape
    mask = torch.arange(s + t)[None, :] <= torch.arange(s, s + t)[:, None]
    x = parts.embedding(ids, weights["table"])
    pairs = []
    for its, pair in zip(weights["layers"], stored, strict=True):
        found = []

        def attention(y, its=its, pair=pair, found=found):
            q = torch.einsum("btd,ed->bte", y, its["q_proj"]).view(b, t, -1, width).transpose(1, 2)
            k = torch.einsum("btd,ed->bte", y, its["k_proj"]).view(b, t, g, width).transpose(1, 2)
            v = torch.einsum("btd,ed->bte", y, its["v_proj"]).view(b, t, g, width).transpose(1, 2)
            q, k = (parts.rotation(it, s, weights["base"]) for it in (q, k))
            keys, values = parts.cache(pair[0], pair[1], k, v)
            found[:] = [(keys, values)]
            mixed = parts.attention(q, keys, values, mask)
            return torch.cat(mixed.unbind(1), dim=-1) @ its["out_proj"].T

        x = parts.block(
            x,
            attention,
            lambda y, its=its: parts.mlp(y, *(its[f"{name}_proj"] for name in ("gate", "up", "down"))),
            lambda y, its=its: parts.rms_norm(y, its["norm_1"], weights["eps"]),
            lambda y, its=its: parts.rms_norm(y, its["norm_2"], weights["eps"]),
        )
        pairs += found
    x = parts.rms_norm(x, weights["final_norm"], weights["eps"])
    return torch.einsum("btd,vd->btv", x, weights["table"]), pairs


def attend(its, weights, parts, pair, kept, y):
    """Of one layer; what is stored goes into a list."""
    n, width = pair[0].shape[2:]
    q, k, v = (torch.nn.functional.linear(y, its[f"{name}_proj"]) for name in "qkv")
    q, k, v = (torch.stack(it.split(width, dim=-1), dim=1) for it in (q, k, v))
    q, k = parts.rotation(q, n, weights["base"]), parts.rotation(k, n, weights["base"])
    kept.clear()
    kept.extend(parts.cache(*pair, k, v))
    n_all = n + y.shape[1]
    mask = torch.ones(n_all, n_all).tril().bool()[n:]
    mixed = parts.attention(q, *kept, mask)
    return torch.nn.functional.linear(mixed.permute(0, 2, 1, 3).reshape(*y.shape[:2], -1), its["out_proj"])


def helpers_outside(ids, weights, parts, stored):
    x, grown = parts.embedding(ids, weights["table"]), [[] for _ in stored]
    norm = partial(parts.rms_norm, eps=weights["eps"])
    for i in range(len(stored)):
        its = weights["layers"][i]
        mlp = partial(parts.mlp, gate=its["gate_proj"], up=its["up_proj"], down=its["down_proj"])
        attention = partial(attend, its, weights, parts, stored[i], grown[i])
        norm_1, norm_2 = partial(norm, weight=its["norm_1"]), partial(norm, weight=its["norm_2"])
        x = parts.block(x, attention, mlp, norm_1, norm_2)
    return norm(x, weights["final_norm"]) @ weights["table"].T, tuple(map(tuple, grown))


def one_by_one(ids, weights, parts, stored):
    """Token by token, as when it writes."""
    logits = []
    for one in ids.split(1, dim=1):
        scores, stored = helpers_outside(one, weights, parts, stored)
        logits.append(scores)
    return torch.cat(logits, dim=1), stored


class Model:
    """With a method for each step."""

    def __init__(self, weights, parts, stored):
        self.weights, self.parts, self.stored = weights, parts, [*stored]
        self.n_before, self.width = stored[0][0].size(2), stored[0][0].size(3)

    def norm(self, x, weight):
        return self.parts.rms_norm(x, weight, self.weights["eps"])

    def cut(self, y, matrix):
        b, t, _ = y.shape
        return (y @ matrix.mT).view(b, t, len(matrix) // self.width, self.width).transpose(1, 2)

    def attention(self, y, i, its, before):
        q, k, v = self.cut(y, its["q_proj"]), self.cut(y, its["k_proj"]), self.cut(y, its["v_proj"])
        q, k = (self.parts.rotation(it, self.n_before, self.weights["base"]) for it in (q, k))
        self.stored[i] = self.parts.cache(before[0], before[1], k, v)
        keys, values = self.stored[i]
        t, s = y.shape[1], keys.shape[2]
        mask = ~torch.triu(torch.ones(t, s, dtype=torch.bool), diagonal=1 + s - t)
        return self.parts.attention(q, keys, values, mask).transpose(1, 2).flatten(2) @ its["out_proj"].mT

    def layer(self, i, x):
        its, before = self.weights["layers"][i], self.stored[i]
        mlp = [its[name] for name in ("gate_proj", "up_proj", "down_proj")]
        return self.parts.block(
            x,
            lambda y: self.attention(y, i, its, before),
            lambda y: self.parts.mlp(y, *mlp),
            lambda y: self.norm(y, its["norm_1"]),
            lambda y: self.norm(y, its["norm_2"]),
        )


def by_a_class(ids, weights, parts, stored):
    model = Model(weights, parts, stored)
    x = parts.embedding(ids, weights["table"])
    for i in range(len(stored)):
        x = model.layer(i, x)
    return model.norm(x, weights["final_norm"]) @ weights["table"].mT, model.stored


def reads_backwards(ids, weights, parts, stored):
    logits, now = helpers_outside(ids, weights | {"layers": weights["layers"][::-1]}, parts, stored[::-1])
    return logits, now[::-1]


def one_text(ids, weights, parts, stored):
    """The first one."""
    return helpers_outside(ids[:1], weights, parts, [(keys[:1], values[:1]) for keys, values in stored])


def returning(change):
    """A right answer, of which something else is given back."""
    return lambda *given: change(*helpers_outside(*given))


RIGHT = [
    all_in_the_loop,
    helpers_outside,
    by_a_class,
    one_by_one,
]
WRONG = [
    ("layers in reverse", reads_backwards),
    ("only the last layer stored", returning(lambda logits, now: (logits, now[-1]))),
    ("an axis of one lost", returning(lambda logits, now: (logits.squeeze(1), now))),
    ("one text alone", one_text),
    (None, returning(lambda logits, now: logits)),
    (None, returning(lambda logits, now: (logits, None))),
    (None, returning(lambda logits, now: (logits, [keys for keys, _ in now]))),
]
