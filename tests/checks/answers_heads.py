"""Wrong and correct answers to the tasks of 04_multi_head on heads, written as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import attention as library

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------------ split heads


def split_by_loop(x, n_heads, first=lambda h, k: h * k, step=1, dim=1):
    k = x.shape[-1] // n_heads
    pieces = []
    for h in range(n_heads):
        start = first(h, k)
        pieces.append(x[..., start : start + k * step : step])
    return torch.stack(pieces, dim)


def split_into_table(x, n_heads):
    b, t, d = x.shape
    out = x.new_zeros(b, n_heads, t, d // n_heads)
    for i in range(d):
        out[:, i // (d // n_heads), :, i % (d // n_heads)] = x[:, :, i]
    return out


def split_in_numpy(x, n_heads):
    array = x.detach().numpy()
    return torch.from_numpy(np.stack(np.split(array, n_heads, -1), 1))


def split_by_width(x, n_heads):
    b, t, _ = x.shape
    return x.reshape(b, t, -1, n_heads).transpose(1, 2)


def split_tokens(x, n_heads):
    b, t, d = x.shape
    return x.reshape(b, n_heads, t // n_heads, d)


def split_in_place(x, n_heads):
    x *= 1
    x += 0.5
    return split_by_loop(x, n_heads)


RIGHT["04_multi_head/split_heads"] = [
    split_by_loop,
    split_into_table,
    lambda x, n_heads: x.reshape(*x.shape[:2], n_heads, x.shape[2] // n_heads).permute(0, 2, 1, 3),
    lambda x, n_heads: torch.stack(x.chunk(n_heads, dim=-1), dim=1),
    lambda x, n_heads: x.mT.reshape(len(x), n_heads, -1, x.shape[1]).mT,
    lambda x, n_heads: torch.einsum("bthk->bhtk", x.unflatten(2, (n_heads, -1))),
    lambda x, n_heads: x.unfold(2, x.shape[2] // n_heads, x.shape[2] // n_heads).movedim(2, 1),
    lambda x, n_heads: torch.cat([piece[:, None] for piece in x.tensor_split(n_heads, 2)], 1),
]
WRONG["04_multi_head/split_heads"] = [
    ("a bare reshape", lambda x, n_heads: x.reshape(x.shape[0], n_heads, -1, x.shape[2] // n_heads)),
    (
        "a bare reshape after exchanging the axes",
        lambda x, n_heads: x.transpose(1, 2).reshape(len(x), n_heads, x.shape[1], -1),
    ),
    ("interleaved heads", lambda x, h: split_by_loop(x, h, lambda head, k: head, h)),
    ("heads after the tokens", lambda x, h: x.reshape(*x.shape[:2], h, -1)),
    ("heads before the batch", lambda x, h: split_by_loop(x, h, dim=0)),
    ("as many heads as numbers", split_by_width),
    ("tokens shared out", split_tokens),
    ("everything for every head", lambda x, h: x[:, None].repeat(1, h, 1, 1)),
    ("tokens in columns", lambda x, h: x.mT.reshape(len(x), h, -1, x.shape[1])),
    ("heads joined with the batch", lambda x, h: torch.cat(list(split_by_loop(x, h, dim=1)))),
    ("the last head first", lambda x, h: split_by_loop(x, h, lambda head, k: (h - 1 - head) * k)),
    ("the first head only", lambda x, h: x[:, None, :, : x.shape[2] // h]),
    (None, split_in_numpy),
    (None, split_in_place),
    (None, lambda x, h: list(x.chunk(h, -1))),
    (None, lambda x, h: split_by_loop(x, h).half()),
    (None, lambda x, h: split_by_loop(x, h, lambda head, k: 0)),
    (None, lambda x, h: x),
]

# ------------------------------------------------------------------------------------------------- join heads


def join_by_loop(heads):
    return torch.cat([heads[:, h] for h in range(heads.shape[1])], dim=-1)


def join_into_table(heads):
    b, h, t, k = heads.shape
    out = torch.empty(b, t, h * k, dtype=heads.dtype)
    for i in range(h):
        out[:, :, i * k : (i + 1) * k] = heads[:, i]
    return out


def join_token_by_token(heads):
    rows = [torch.stack([sequence[:, t].flatten() for t in range(heads.shape[2])]) for sequence in heads]
    return torch.stack(rows)


RIGHT["04_multi_head/join_heads"] = [
    join_by_loop,
    join_into_table,
    join_token_by_token,
    lambda heads: heads.permute(0, 2, 1, 3).contiguous().view(len(heads), heads.shape[2], -1),
    lambda heads: torch.einsum("bhtk->bthk", heads).reshape(heads.shape[0], heads.shape[2], -1),
    lambda heads: heads.movedim(1, 2).flatten(start_dim=-2),
    lambda heads: heads.mT.flatten(1, 2).mT,
    lambda heads: torch.cat(heads.unbind(1), 2),
]
WRONG["04_multi_head/join_heads"] = [
    (
        "without exchanging the axes",
        lambda heads: heads.contiguous().view(len(heads), heads.shape[2], -1),
    ),
    (
        "the wrong axes exchanged",
        lambda heads: heads.permute(0, 1, 3, 2).reshape(len(heads), heads.shape[2], -1),
    ),
    ("the sum of the heads", lambda heads: sum(heads.unbind(1))),
    ("the mean of the heads", lambda heads: sum(heads.unbind(1)) / heads.shape[1]),
    ("interleaved heads", lambda heads: torch.stack(heads.unbind(1), -1).flatten(2)),
    ("one head below the other", lambda heads: torch.cat(heads.unbind(1), 1)),
    ("still four axes", lambda heads: torch.stack(heads.unbind(1), 2)),
    ("tokens in columns", lambda heads: heads.mT.flatten(1, 2)),
    ("the last head first", lambda heads: torch.cat(heads.unbind(1)[::-1], -1)),
    ("the first head only", lambda heads: heads.select(1, 0)),
    ("sequences joined", lambda heads: torch.cat(list(heads), 2)),
    ("the largest of the heads", lambda heads: heads.max(dim=1).values),
    (None, lambda heads: heads.prod(1)),
    (None, lambda heads: heads[:, -1]),
    (None, lambda heads: join_by_loop(heads).numpy() if not heads.requires_grad else None),
    (None, lambda heads: join_by_loop(heads).detach()),
    (None, lambda heads: heads.transpose(1, 2).view(len(heads), heads.shape[2], -1)),
    (None, lambda heads: None),
]

# ------------------------------------------------------------------------------------------------- multi-head


def attend(q, k, v, mask=None, scale=None, dim=-1):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim) @ v


class Layer(nn.Module):
    """Right; what others change are its methods."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))
        self.n_heads, self.causal = n_heads, causal

    def split(self, x):
        return split_by_loop(x, self.n_heads)

    def join(self, heads):
        return join_by_loop(heads)

    def mask(self, x):
        return torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril() if self.causal else None

    def attend(self, q, k, v):
        return attend(q, k, v, self.mask(q))

    def projected(self, x):
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def forward(self, x):
        q, k, v = map(self.split, self.projected(x))
        return self.out_proj(self.join(self.attend(q, k, v)))


def layer(name, **methods):
    return type(name, (Layer,), methods)


class HeadByHead(nn.Module):
    """A loop over heads, each with its rows of the weights."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.d_head = d_model // n_heads
        self.causal = causal

    def forward(self, x):
        out = 0
        for start in range(0, x.shape[-1], self.d_head):
            rows = slice(start, start + self.d_head)
            maps = (self.q_proj, self.k_proj, self.v_proj)
            q, k, v = (x @ projection.weight[rows].T for projection in maps)
            mix = library.scaled_dot_product_attention(q, k, v, causal=self.causal)
            out = out + mix @ self.out_proj.weight[:, rows].T
        return out


class ByTorch(nn.Module):
    """Torch's kernel, on heads in the batch."""

    def __init__(self, width, heads, causal=False):
        super().__init__()
        linear = {name: nn.Linear(width, width, False) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        for name, module in linear.items():
            self.add_module(name, module)
        self.heads, self.causal = heads, causal
        self.register_buffer("seen", torch.ones(64, 64).tril().bool(), persistent=False)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (
            projection(x).view(b, t, self.heads, d // self.heads).transpose(1, 2).flatten(0, 1)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mask = self.seen[:t, :t] if self.causal else None
        mix = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(mix.unflatten(0, (b, self.heads)).transpose(1, 2).reshape(b, t, d))


class WithEinsum(Layer):
    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.n_heads, -1)) for y in self.projected(x))
        scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(q.shape[-1])
        if self.causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        return self.out_proj(torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v).flatten(2))


class FirstMask(Layer):
    kept = None

    def mask(self, x):
        if self.kept is None:
            self.kept = Layer.mask(self, x)
        return self.kept


class WithBias(Layer):
    def __init__(self, d_model, n_heads, causal=False):
        super().__init__(d_model, n_heads, causal)
        self.out_proj = nn.Linear(d_model, d_model)


class Inherited(library.MultiHeadAttention):
    """The library's layer under another name."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__(d_model, n_heads, bias=False, causal=causal)


class OwnHeads(nn.Module):
    """Three maps for each head."""

    def __init__(self, d_model, n_heads, causal=False):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(d_model, d_model // n_heads) for _ in range(3 * n_heads))

    def forward(self, x):
        return torch.cat([head(x) for head in self.heads[::3]], -1)


class NotAModule:
    def __init__(self, d_model, n_heads, causal=False):
        self.n_heads = n_heads


def exchanged(*order):
    return lambda self, x: tuple(getattr(self, f"{name}_proj")(x) for name in order)


def scaled_by(scale):
    return lambda self, q, k, v: attend(q, k, v, self.mask(q), scale(self, q))


def bare_split(self, x):
    return x.reshape(len(x), self.n_heads, x.shape[1], -1)


def bare_join(self, heads):
    return heads.reshape(len(heads), heads.shape[2], -1)


def triangle(shift, upper=False):
    def mask(self, x):
        ones = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool)
        return None if not self.causal else ones.triu(shift) if upper else ones.tril(shift)

    return mask


def by_library(self, q, k, v):
    return library.scaled_dot_product_attention(q, k, v, self.mask(q))


def always_causal(self, q, k, v):
    return library.scaled_dot_product_attention(q, k, v, causal=True)


def joined_only(self, x):
    return self.join(self.attend(*map(self.split, self.projected(x))))


def late_mask(self, q, k, v):
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights if not self.causal else weights * self.mask(q)) @ v


RIGHT["04_multi_head/multi_head"] = [
    Layer,
    HeadByHead,
    ByTorch,
    WithEinsum,
    layer("Causal", attend=by_library),
    layer("Chunks", split=lambda self, x: torch.stack(x.chunk(self.n_heads, -1), 1)),
]
WRONG["04_multi_head/multi_head"] = [
    ("one head of the full width", layer("One", split=lambda self, x: x[:, None])),
    (
        "scaled by d_model",
        layer("Wide", attend=scaled_by(lambda self, q: self.q_proj.in_features**-0.5)),
    ),
    ("no scaling", layer("Unscaled", attend=scaled_by(lambda self, q: 1.0))),
    ("divided by K", layer("ByK", attend=scaled_by(lambda self, q: 1 / q.shape[-1]))),
    ("uniform weights", layer("Uniform", attend=scaled_by(lambda self, q: 0.0))),
    (
        "softmax over the queries",
        layer("Columns", attend=lambda self, q, k, v: attend(q, k, v, self.mask(q), dim=-2)),
    ),
    (
        "softmax over the heads",
        layer("OverHeads", attend=lambda self, q, k, v: attend(q, k, v, self.mask(q), dim=1)),
    ),
    ("without out_proj", layer("NoOut", forward=joined_only)),
    ("split by a bare reshape", layer("Split", split=bare_split)),
    ("joined by a bare reshape", layer("Join", join=bare_join)),
    ("split and joined by a bare reshape", layer("Both", split=bare_split, join=bare_join)),
    (
        "heads attend to each other",
        layer(
            "Across",
            split=lambda self, x: x.unflatten(-1, (self.n_heads, -1)),
            join=lambda self, heads: heads.flatten(2),
        ),
    ),
    (
        "interleaved heads",
        layer(
            "Interleaved",
            split=lambda self, x: split_by_loop(x, self.n_heads, lambda h, k: h, self.n_heads),
            join=lambda self, heads: torch.stack(heads.unbind(1), -1).flatten(2),
        ),
    ),
    ("causal ignored", layer("Sees", mask=lambda self, x: None)),
    ("always causal", layer("Never", attend=always_causal)),
    ("looks ahead", layer("Ahead", mask=triangle(0, upper=True))),
    ("blind to itself", layer("Blind", mask=triangle(-1), attend=by_library)),
    ("one projection for queries and keys", layer("Qq", projected=exchanged("q", "q", "v"))),
    ("values from k_proj", layer("Kk", projected=exchanged("q", "k", "k"))),
    ("keys and values exchanged", layer("Vk", projected=exchanged("q", "v", "k"))),
    ("queries and keys exchanged", layer("Kq", projected=exchanged("k", "q", "v"))),
    ("keeps the mask of its first call", FirstMask),
    (None, layer("OneMap", projected=exchanged("q", "q", "q"))),
    (None, layer("Late", attend=late_mask)),
    (None, layer("Dropped", forward=lambda self, x: F.dropout(Layer.forward(self, x), 0.1))),
    (None, layer("Residual", forward=lambda self, x: x + Layer.forward(self, x))),
    (None, layer("Cut", forward=lambda self, x: Layer.forward(self, x).detach())),
    (None, WithBias),
    (None, Inherited),
    (None, OwnHeads),
    (None, NotAModule),
    (None, lambda d_model, n_heads, causal=False: Layer(d_model, n_heads, causal)),
]

# -------------------------------------------------------------------------------------------- grouped queries


def grouped_by_loop(q, k, v, which=lambda h, n, g: h // n, values=None, mix=attend):
    n, g = q.shape[1] // k.shape[1], k.shape[1]
    values = values or which
    mixes = [mix(q[:, h], k[:, which(h, n, g)], v[:, values(h, n, g)]) for h in range(q.shape[1])]
    return torch.stack(mixes, 1)


def grouped_by_axis(q, k, v):
    grouped = q.unflatten(1, (k.shape[1], -1))  # (B, G, H / G, T, K)
    mix = attend(grouped, k[:, :, None], v[:, :, None])
    return mix.flatten(1, 2)


def grouped_as_rows(q, k, v):
    b, h, t, width = q.shape
    rows = q.reshape(b, k.shape[1], -1, width)  # all queries of a group below each other
    return attend(rows, k, v).reshape(b, h, t, width)


def grouped_by_expand(q, k, v):
    n = q.shape[1] // k.shape[1]
    k, v = (x[:, :, None].expand(-1, -1, n, -1, -1).flatten(1, 2) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v)


def grouped_in_place(q, k, v):
    q /= math.sqrt(q.shape[-1])
    return grouped_by_loop(q, k, v, mix=lambda q, k, v: attend(q, k, v, scale=1.0))


def turn(h, n, g):
    return h % g


RIGHT["04_multi_head/grouped_queries"] = [
    grouped_by_loop,
    grouped_by_axis,
    grouped_as_rows,
    grouped_by_expand,
    lambda q, k, v: library.scaled_dot_product_attention(
        q, *(x[:, torch.arange(q.shape[1]) * x.shape[1] // q.shape[1]] for x in (k, v))
    ),
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    lambda q, k, v: torch.cat(
        [attend(some, k[:, g : g + 1], v[:, g : g + 1]) for g, some in enumerate(q.chunk(k.shape[1], 1))],
        1,
    ),
]
WRONG["04_multi_head/grouped_queries"] = [
    ("key heads in turn", lambda q, k, v: grouped_by_loop(q, k, v, turn)),
    ("values in turn", lambda q, k, v: grouped_by_loop(q, k, v, values=turn)),
    ("keys in turn", lambda q, k, v: grouped_by_loop(q, k, v, turn, lambda h, n, g: h // n)),
    ("one key head for all", lambda q, k, v: grouped_by_loop(q, k, v, lambda h, n, g: 0)),
    (
        "the mean of the key heads",
        lambda q, k, v: attend(q, k.mean(1)[:, None], v.mean(1)[:, None]),
    ),
    (
        "the mean of the queries",
        lambda q, k, v: attend(q.reshape(len(q), k.shape[1], -1, *q.shape[2:]).mean(2), k, v),
    ),
    (
        "the mean of each group",
        lambda q, k, v: grouped_by_axis(q, k, v).reshape(len(q), k.shape[1], -1, *q.shape[2:]).mean(2),
    ),
    ("the first query heads only", lambda q, k, v: F.scaled_dot_product_attention(q[:, : k.shape[1]], k, v)),
    ("divided by the wrong number", lambda q, k, v: grouped_by_loop(q, k, v, lambda h, n, g: h // g)),
    ("the last key head first", lambda q, k, v: grouped_by_loop(q, k, v, lambda h, n, g: g - 1 - h // n)),
    (
        "one each, the rest share the last",
        lambda q, k, v: grouped_by_loop(q, k, v, lambda h, n, g: min(h, g - 1)),
    ),
    (
        "no scaling",
        lambda q, k, v: grouped_by_loop(q, k, v, mix=lambda q, k, v: attend(q, k, v, scale=1.0)),
    ),
    (
        "softmax over the queries",
        lambda q, k, v: grouped_by_loop(q, k, v, mix=lambda q, k, v: attend(q, k, v, dim=-2)),
    ),
    ("mixes the keys", lambda q, k, v: grouped_by_loop(q, k, k)),
    (None, lambda q, k, v: attend(q, k, v)),
    (None, grouped_in_place),
    (None, lambda q, k, v: grouped_by_loop(q, k, v).flatten(1, 2)),
    (None, lambda q, k, v: grouped_by_loop(q, k, v, lambda h, n, g: -1)),
    (None, lambda q, k, v: attend(q, k.repeat_interleave(q.shape[1] // k.shape[1], 2), v)),
    (None, lambda q, k, v: grouped_by_loop(q, k, v).detach()),
]

# --------------------------------------------------------------------------------------- previous-token score


def previous_by_loops(weights, shift=-1, start=1):
    n_layers, n_heads, t, _ = weights.shape
    out = torch.zeros(n_layers, n_heads, dtype=weights.dtype)
    for layer_ in range(n_layers):
        for head in range(n_heads):
            for query in range(start, t):
                out[layer_, head] += weights[layer_, head, query, query + shift] / (t - start)
    return out


def previous_by_mask(weights):
    t = weights.shape[-1]
    before = torch.ones(t, t, dtype=torch.bool).tril(-1) & torch.ones(t, t, dtype=torch.bool).triu(-1)
    return (weights * before).sum((-2, -1)) / before.sum()


def previous_weights(weights):
    t = weights.shape[-1]
    return weights[..., torch.arange(1, t), torch.arange(t - 1)]


RIGHT["04_multi_head/previous_token_score"] = [
    previous_by_loops,
    previous_by_mask,
    lambda weights: previous_weights(weights).mean(dim=-1),
    lambda weights: np.diagonal(weights.numpy(), -1, 2, 3).mean(-1),
    lambda weights: weights[..., 1:, :-1].diagonal(dim1=2, dim2=3).sum(-1) / (weights.shape[-1] - 1),
    lambda weights: torch.einsum("lhtt->lh", weights[:, :, 1:, :-1]) / (weights.shape[2] - 1),
    lambda weights: [[float(head.diagonal(-1).mean()) for head in one] for one in weights.double()],
]
WRONG["04_multi_head/previous_token_score"] = [
    ("the next token", lambda weights: weights.diagonal(1, 2, 3).mean(-1)),
    ("the next token", lambda weights: previous_by_mask(weights.mT)),
    ("the token itself", lambda weights: torch.einsum("lhtt->lh", weights) / weights.shape[-1]),
    ("two tokens before", lambda weights: weights.diagonal(-2, 2, 3).mean(-1)),
    ("the first row counts", lambda weights: previous_weights(weights).sum(-1) / weights.shape[2]),
    ("the sum", lambda weights: previous_weights(weights).sum(-1)),
    ("the largest", lambda weights: previous_weights(weights).max(-1).values),
    (
        "how often it is the largest",
        lambda weights: (
            torch.eq(weights[..., 1:, :].argmax(-1), torch.arange(weights.shape[-1] - 1)).double().mean(-1)
        ),
    ),
    ("one number for each layer", lambda weights: previous_weights(weights.mean(1)).mean(-1)),
    ("one number for each head", lambda weights: previous_weights(weights.mean(0)).mean(-1)),
    ("a score for each token", previous_weights),
    ("the first token", lambda weights: weights[:, :, 1:, 0].sum(2) / (weights.shape[2] - 1)),
    ("the second token does not count", lambda weights: previous_weights(weights)[..., 1:].mean(-1)),
    ("all that came before", lambda weights: weights.tril(-1)[..., 1:, :].sum(-1).mean(-1)),
    ("heads before layers", lambda weights: previous_weights(weights).mean(-1).T),
    ("layers and heads instead of queries and keys", lambda weights: torch.diagonal(weights, -1).mean(-1)),
    (None, lambda weights: previous_weights(weights).median(-1).values),
    (None, lambda weights: weights.mean((-2, -1))),
    (None, lambda weights: previous_weights(weights).mean()),
    (None, lambda weights: previous_weights(weights).mean(-1).softmax(-1)),
    (None, lambda weights: weights.tril_(-1).sum((-2, -1)) / (weights.shape[-1] - 1)),
    (None, lambda weights: previous_weights(weights).mean(-1) > 0.5),
]

# -------------------------------------------------------------------------------------------------- heads off


def off_by_loop(mix, heads):
    out = torch.empty_like(mix)
    for head in range(mix.shape[1]):
        out[:, head] = 0 * mix[:, head] if head in heads else mix[:, head]
    return out


def off_by_copy(mix, heads, axis=1, value=0.0):
    out = mix.clone()
    for head in heads:
        out.select(axis, head)[...] = value
    return out


def off_in_place(mix, heads):
    mix[:, heads] = 0
    return mix


def off_others(mix, heads):
    out = torch.zeros_like(mix)
    out[:, heads] = mix[:, heads]
    return out


def off_one_after_the_other(mix, heads):
    for head in heads:
        out = mix.clone()
        out[:, head] = 0
    return out if heads else mix


def off_louder(mix, heads):
    kept = mix.shape[1] - len(heads)
    return off_by_copy(mix, heads) * (mix.shape[1] / kept)


def off_by_mean(axis):
    def off(mix, heads):
        out = mix.clone()
        for head in heads:
            out[:, head] = (mix[:, head] if axis == 2 else mix).mean(1, keepdim=axis == 2)
        return out

    return off


RIGHT["04_multi_head/heads_off"] = [
    off_by_loop,
    off_by_copy,
    lambda mix, heads: (
        mix
        * torch.tensor([float(h not in heads) for h in range(mix.shape[1])], dtype=mix.dtype)[:, None, None]
    ),
    lambda mix, heads: mix.index_fill(1, torch.tensor(heads, dtype=torch.long), 0),
    lambda mix, heads: torch.stack(
        [torch.zeros_like(one) if h in heads else one for h, one in enumerate(mix.unbind(1))], 1
    ),
    lambda mix, heads: mix.masked_fill(
        torch.isin(torch.arange(mix.shape[1]), torch.tensor(heads, dtype=torch.long))[:, None, None], 0
    ),
    lambda mix, heads: mix - off_others(mix, heads),
]
WRONG["04_multi_head/heads_off"] = [
    ("only these heads are left", off_others),
    ("tokens instead of heads", lambda mix, heads: off_by_copy(mix, heads, 2)),
    ("sequences instead of heads", lambda mix, heads: off_by_copy(mix, heads, 0)),
    ("numbers of each head", lambda mix, heads: off_by_copy(mix, heads, 3)),
    (
        "heads taken out",
        lambda mix, heads: torch.stack([one for h, one in enumerate(mix.unbind(1)) if h not in heads], 1),
    ),
    ("the others made louder", off_louder),
    ("counted from 1", lambda mix, heads: off_by_copy(mix, [h - 1 for h in heads])),
    ("as many heads from the start", lambda mix, heads: off_by_copy(mix, range(len(heads)))),
    ("only the first of the list", lambda mix, heads: off_by_copy(mix, heads[:1])),
    ("only the last of the list", off_one_after_the_other),
    ("the mean of the tokens", off_by_mean(2)),
    ("the mean of the heads", off_by_mean(1)),
    ("minus infinity", lambda mix, heads: off_by_copy(mix, heads, value=-math.inf)),
    ("ones", lambda mix, heads: off_by_copy(mix, heads, value=1.0)),
    (None, off_in_place),
    (None, lambda mix, heads: mix),
    (None, lambda mix, heads: off_by_copy(mix, heads).detach()),
    (None, lambda mix, heads: off_by_copy(mix, [*heads, 0])),
    (None, lambda mix, heads: torch.zeros_like(mix)),
    (None, lambda mix, heads: off_by_copy(mix, heads).flatten(0, 1)),
    (None, lambda mix, heads: off_by_copy(mix, heads[1:])),
]

# ---------------------------------------------------------------------------------------------- copying heads


def score_by_loops(weights, n, shift=1):
    n_layers, n_heads = weights.shape[:2]
    scores = {}
    for layer_ in range(n_layers):
        for head in range(n_heads):
            total = 0.0
            for query in range(n, 2 * n):
                key = query - n + shift
                total += float(weights[layer_, head, query, key]) if key >= 0 else 0.0
            scores[layer_, head] = total / n
    return scores


def copying_by_loops(weights, n, k, shift=1):
    scores = score_by_loops(weights, n, shift)
    return sorted(scores, key=scores.get, reverse=True)[:k]


def copying_by_diagonal(weights, n, k, offset=lambda n: 1 - n):
    scores = weights.diagonal(offset(n), dim1=-2, dim2=-1).mean(-1)
    best = scores.flatten().argsort(descending=True)[:k]
    return [(int(i) // scores.shape[1], int(i) % scores.shape[1]) for i in best]


def copying_with_a_mask(weights, n, k):
    """All places of which the second copy's targets are True."""
    query, key = torch.meshgrid(torch.arange(2 * n), torch.arange(2 * n), indexing="ij")
    scores = (weights * ((query >= n) & (query - key == n - 1))).sum((-2, -1)) / n
    return ranked(scores, k)


def copying_one_too_many(weights, n, k):
    queries = range(n - 1, 2 * n)
    return ranked(torch.stack([weights[..., i, i - n + 1] for i in queries]).mean(0), k)


def copying_in_numpy(weights, n, k):
    """Without the last query, whose target is no longer in the first copy."""
    table = weights.numpy()
    queries = np.arange(n, 2 * n - 1)
    scores = table[..., queries, queries - n + 1].sum(-1)
    best = np.argsort(-scores, axis=None)[:k]
    return np.stack(np.unravel_index(best, scores.shape), 1)


def copying_one_by_one(weights, n, k):
    scores = weights[..., n:, 1 : n + 1].diagonal(dim1=-2, dim2=-1).mean(-1).clone()
    found = []
    for _ in range(k):
        layer_, head = divmod(int(scores.argmax()), scores.shape[1])
        found.append([layer_, head])
        scores[layer_, head] = -1
    return found


def ranked(scores, k):
    layers, heads = torch.unravel_index(scores.flatten().topk(k).indices, scores.shape)
    return list(zip(layers.tolist(), heads.tolist(), strict=True))


def copied(weights, n):
    return weights[..., n:, 1 : n + 1].diagonal(dim1=-2, dim2=-1)


def best_of_each_layer(scores):
    layers = sorted(range(len(scores)), key=lambda i: float(scores[i].max()), reverse=True)
    return [(i, int(scores[i].argmax())) for i in layers]


RIGHT["04_multi_head/copying_heads"] = [
    copying_by_loops,
    copying_with_a_mask,
    copying_in_numpy,
    copying_one_by_one,
    lambda weights, n, k: ranked(copied(weights, n).sum(-1), k),
    lambda weights, n, k: torch.tensor(ranked(copied(weights, n).mean(-1), k)),
]
WRONG["04_multi_head/copying_heads"] = [
    ("the same token", lambda weights, n, k: copying_by_diagonal(weights, n, k, lambda n: -n)),
    ("the token before the same", lambda weights, n, k: copying_by_diagonal(weights, n, k, lambda n: -n - 1)),
    ("two tokens after", lambda weights, n, k: copying_by_loops(weights, n, k, 2)),
    ("one query too many", lambda weights, n, k: copying_by_diagonal(weights, n, k)),
    ("one query too many", copying_one_too_many),
    ("the previous token", lambda weights, n, k: copying_by_diagonal(weights, n, k, lambda n: -1)),
    ("the first token", lambda weights, n, k: ranked(weights[..., n:, 0].mean(-1), k)),
    (
        "anything in the first copy",
        lambda weights, n, k: ranked(weights[..., n:, :].cumsum(-1)[..., n - 1].mean(-1), k),
    ),
    ("the largest weight", lambda weights, n, k: ranked(copied(weights, n).amax(-1), k)),
    ("the weakest heads", lambda weights, n, k: ranked(-copied(weights, n).mean(-1), k)),
    ("the weakest first", lambda weights, n, k: copying_by_loops(weights, n, k)[::-1]),
    ("in the order of the layers", lambda weights, n, k: sorted(copying_by_loops(weights, n, k))),
    (
        "head before layer",
        lambda weights, n, k: [pair[::-1] for pair in copying_by_loops(weights, n, k)],
    ),
    (
        "places instead of pairs",
        lambda weights, n, k: copied(weights, n).mean(-1).flatten().topk(k).indices,
    ),
    (
        "divided by the number of layers",
        lambda weights, n, k: [
            divmod(i, len(weights)) for i in copied(weights, n).mean(-1).flatten().topk(k).indices.tolist()
        ],
    ),
    (
        "one head of each layer",
        lambda weights, n, k: best_of_each_layer(copied(weights, n).mean(-1))[:k],
    ),
    (
        "counted from 1",
        lambda weights, n, k: [(layer_ + 1, head + 1) for layer_, head in copying_by_loops(weights, n, k)],
    ),
    (None, lambda weights, n, k: copying_by_loops(weights, n, k)[:-1]),
    (None, lambda weights, n, k: copying_by_loops(weights, n, k + 1)),
    (None, lambda weights, n, k: copied(weights, n).mean(-1)),
    (None, lambda weights, n, k: set(copying_by_loops(weights, n, k))),
    (None, lambda weights, n, k: ranked(copied(weights.tril_(-1), n).mean(-1), k)),
    (None, lambda weights, n, k: copying_by_loops(weights.mT, n, k)),
    (None, lambda weights, n, k: ranked(weights.diagonal(-n - 2, -2, -1).mean(-1), k)),
    (None, lambda weights, n, k: ranked(copied(weights, n).median(-1).values, k)),
]
