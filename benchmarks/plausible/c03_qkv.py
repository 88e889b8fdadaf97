"""Plausible answers to the tasks of 03_qkv, written from the texts of the exercises alone."""

import math

import numpy as np
import scipy.special
import torch
from torch import nn

from course_lib.attention import scaled_dot_product_attention
from plausible import Answers

of = Answers("03_qkv")
right, wrong = of.right, of.wrong

# ---------------------------------------------------------------------------------------------------- project


@right("project", "einsum")
def _(x, w_q, w_k, w_v):
    return tuple(np.einsum("...td,dk->...tk", x, w) for w in (w_q, w_k, w_v))


@wrong("project", "weights transposed, as nn.Linear stores them", "W on the wrong side")
def _(x, w_q, w_k, w_v):
    return x @ w_q.T, x @ w_k.T, x @ w_v.T


@wrong("project", "the query's matrix for all three", "one matrix for all three")
def _(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_q, x @ w_q


@wrong("project", "keys and values exchanged", "keys and values swapped")
def _(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_v, x @ w_k


@wrong("project", "matrix from the left, as in the lecture's W x", "W x instead of x W")
def _(x, w_q, w_k, w_v):
    return w_q @ x, w_k @ x, w_v @ x


@wrong("project", "only the queries come back")
def _(x, w_q, w_k, w_v):
    return x @ w_q


@wrong("project", "the tokens stand in columns: x transposed")
def _(x, w_q, w_k, w_v):
    return x.T @ w_q, x.T @ w_k, x.T @ w_v


# ----------------------------------------------------------------------------------------------------- scores


@right("scores", "einsum")
def _(q, k):
    return np.einsum("...tk,...sk->...ts", q, k) / np.sqrt(q.shape[-1])


@wrong("scores", "no scaling", "no scaling")
def _(q, k):
    return q @ k.swapaxes(-1, -2)


@wrong("scores", "divides by K, not by its root", "divided by K")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / q.shape[-1]


@wrong("scores", "K ** 1/2 is K divided by 2", "divided by half of K")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / (q.shape[-1] ** 1 / 2)


@wrong(
    "scores", "scaled by len(q): queries in a table, sequences in a batch", "scaled by the number of queries"
)
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(len(q))


@wrong("scores", "scaled by q.shape[1]: right for a table, wrong in a batch")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[1])


@wrong("scores", "the keys are not transposed")
def _(q, k):
    return q @ k / np.sqrt(q.shape[-1])


@wrong("scores", ".T, which turns all axes of a batch round", "all axes reversed")
def _(q, k):
    return q @ k.T / np.sqrt(q.shape[-1])


# ---------------------------------------------------------------------------------------------------- softmax


@right("softmax", "scipy.special.softmax")
def _(scores):
    return scipy.special.softmax(scores, axis=-1)


@wrong("softmax", "nothing subtracted: a score of 1000 overflows", "overflow")
def _(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)


@wrong("softmax", "columns sum to 1: axis=0", "softmax over the first axis")
def _(scores):
    e = np.exp(scores - scores.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


@wrong("softmax", "axis=1: right for a table, wrong for a batch", "axis 1 instead of the last")
def _(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@wrong("softmax", "the whole table sums to 1", "softmax over everything")
def _(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


@wrong(
    "softmax",
    "the largest of the whole table subtracted: low rows underflow to 0 / 0",
    "one maximum for all rows",
)
def _(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "[:, None] in place of keepdims: tables only")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1)[:, None])
    return e / e.sum(axis=-1)[:, None]


@wrong("softmax", "scores changed: -= on the argument")
def _(scores):
    scores -= scores.max(axis=-1, keepdims=True)
    e = np.exp(scores)
    return e / e.sum(axis=-1, keepdims=True)


# -------------------------------------------------------------------------------------------------------- mix


@right("mix", "np.matmul")
def _(weights, v):
    return np.matmul(weights, v)


@wrong("mix", "weights transposed", "weights transposed")
def _(weights, v):
    return weights.swapaxes(-1, -2) @ v


@wrong("mix", "the wrong order: values times weights")
def _(weights, v):
    return v @ weights


@wrong("mix", "elementwise")
def _(weights, v):
    return weights * v


@wrong("mix", "only the value with the largest weight", "winner takes all")
def _(weights, v):
    hard = weights == weights.max(axis=-1, keepdims=True)
    return hard.astype(v.dtype) @ v


@wrong("mix", "softmax once more", "softmax once more")
def _(weights, v):
    return scipy.special.softmax(weights, axis=-1) @ v


@wrong("mix", "divided by the root of D", "scaled by the width")
def _(weights, v):
    return weights @ v / np.sqrt(v.shape[-1])


@wrong("mix", "the output transposed")
def _(weights, v):
    return (weights @ v).swapaxes(-1, -2)


# --------------------------------------------------------------------------------------------- masked weights


@right("masked_weights", "filled with -1e300, then zeros put in")
def _(scores, mask):
    s = np.where(mask, scores.astype(np.float64), -1e300)
    e = np.exp(s - s.max(axis=-1, keepdims=True)) * mask
    return e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)


def _softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("masked_weights", "True and False exchanged", "mask upside down")
def _(scores, mask):
    s = np.where(~mask, scores, -1e30)
    return _softmax(s) * ~mask


@wrong("masked_weights", "masked after the softmax: rows no longer sum to 1", "masked after the softmax")
def _(scores, mask):
    return _softmax(scores) * mask


@wrong("masked_weights", "forbidden scores set to 0", "forbidden scores set to zero")
def _(scores, mask):
    return _softmax(np.where(mask, scores, 0))


@wrong("masked_weights", "scores times the mask", "forbidden scores set to zero")
def _(scores, mask):
    return _softmax(scores * mask)


@wrong(
    "masked_weights",
    "filled with -1e9: a row that may attend to nothing attends to all",
    "a uniform row where nothing may be seen",
)
def _(scores, mask):
    return _softmax(np.where(mask, scores, -1e9))


@wrong("masked_weights", "a row that may attend to nothing gives NaN", "NaN where nothing may be seen")
def _(scores, mask):
    with np.errstate(all="ignore"):
        return _softmax(np.where(mask, scores, -np.inf))


@wrong("masked_weights", "the mask added: True counts 1", "mask added to the scores")
def _(scores, mask):
    return _softmax(scores + mask)


# ------------------------------------------------------------------------------------------------ causal mask


@right("causal_mask", "np.tri with its k")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


@wrong("causal_mask", "the first query at the first key: np.tri without k", "aligned at the top left")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, dtype=bool)


@wrong("causal_mask", "a token does not see itself", "blind to itself")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries - 1, dtype=bool)


@wrong("causal_mask", "a token sees the next one: off by one", "one step ahead")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries + 1, dtype=bool)


@wrong("causal_mask", "True and False exchanged: True = forbidden", "upside down")
def _(n_queries, n_keys):
    return ~np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


@wrong("causal_mask", "the future in place of the past: triu", "looks ahead")
def _(n_queries, n_keys):
    return np.triu(np.ones((n_queries, n_keys), dtype=bool), n_keys - n_queries)


@wrong("causal_mask", "ones and zeros, integers")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=int)


@wrong("causal_mask", "0 and minus infinity to be added", "to be added to the scores")
def _(n_queries, n_keys):
    return np.where(np.tri(n_queries, n_keys, n_keys - n_queries), 0, -np.inf)


# -------------------------------------------------------------------------------------------------- attention


@right("attention", "-inf and nan_to_num: masked_fill stops the NaN on its way back, gradients are finite")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf)
    return torch.nan_to_num(s.softmax(-1)) @ v


def _explicit(q, k, v, mask=None, scale=None):
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~mask, torch.finfo(s.dtype).min).softmax(-1) * mask) @ v


@wrong("attention", "no scaling", "no scaling")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=1)


@wrong("attention", "divides by K", "divided by K")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask, scale=1 / q.shape[-1])


@wrong("attention", "the mask the other way round, as nn.MultiheadAttention has it", "mask upside down")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, None if mask is None else ~mask)


@wrong("attention", "the mask after the softmax", "masked after the softmax")
def _(q, k, v, mask=None):
    w = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    if mask is not None:
        w = w * mask
    return w @ v


@wrong(
    "attention",
    "filled with -1e9 (nanoGPT, labml): a row that may attend to nothing attends to all",
    "a uniform row where nothing may be seen",
)
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(mask == 0, -1e9)
    return s.softmax(-1) @ v


@wrong("attention", "filled with -inf: NaN where nothing is allowed", "NaN where nothing may be seen")
def _(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf)
    return s.softmax(-1) @ v


@wrong("attention", "detached: no gradients")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask).detach()


@wrong("attention", "result and weights, as in labml and ARENA")
def _(q, k, v, mask=None):
    return _explicit(q, k, v, mask), None


@wrong("attention", "fails without a mask: ~None")
def _(q, k, v, mask=None):
    s = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, torch.finfo(q.dtype).min)
    return (s.softmax(-1) * mask) @ v


# -------------------------------------------------------------------------------------------- cross attention


@right("cross_attention", "the routine without its fused path")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, fused=False)


@wrong("cross_attention", "self-attention: the context is not read", "self-attention")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)


@wrong("cross_attention", "the context asks, x answers", "the context asks")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(context @ w_q, x @ w_k, x @ w_v)


@wrong("cross_attention", "keys and values exchanged", "key and value weights exchanged")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_v, context @ w_k)


@wrong("cross_attention", "one matrix for keys and values")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_k)


@wrong("cross_attention", "weights transposed", "W on the wrong side")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q.T, context @ w_k.T, context @ w_v.T)


@wrong("cross_attention", "scaled by the width of the tokens", "scaled by the width of a token")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, scale=x.shape[-1] ** -0.5)


@wrong("cross_attention", "no scaling", "no scaling")
def _(x, context, w_q, w_k, w_v):
    return scaled_dot_product_attention(x @ w_q, context @ w_k, context @ w_v, scale=1.0)


# --------------------------------------------------------------------------------------------- self attention


class Base(nn.Module):
    """What most answers share: the three maps."""

    def __init__(self, d_model, d_head, causal=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_head, bias=False)
        self.k_proj = nn.Linear(d_model, d_head, bias=False)
        self.v_proj = nn.Linear(d_model, d_head, bias=False)
        self.d_head = d_head
        self.causal = causal

    def allowed(self, x, mask):
        if self.causal:
            lower = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool, device=x.device).tril()
            return lower if mask is None else mask & lower
        return mask


@right("self_attention", "both masks joined with &, attention written out")
class WrittenOut(Base):
    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return _explicit(q, k, v, self.allowed(x, mask))


def _attend(self, x, mask):
    return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


@wrong("self_attention", "causal is stored and never used", "causal ignored")
class NeverCausal(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, mask)


@wrong("self_attention", "causal replaces the mask", "causal instead of the mask")
class Replaces(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None) if self.causal else mask)


@wrong("self_attention", "the mask replaces causal", "causal or mask, not both")
class MaskWins(Base):
    def forward(self, x, mask=None):
        return _attend(self, x, self.allowed(x, None) if mask is None else mask)


@wrong("self_attention", "a token does not see itself", "blind to itself")
class Strict(Base):
    def forward(self, x, mask=None):
        if self.causal:
            lower = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril(-1)
            mask = lower if mask is None else lower & mask
        return _attend(self, x, mask)


@wrong("self_attention", "keys and values exchanged", "keys and values exchanged")
class KeyValue(Base):
    def forward(self, x, mask=None):
        return scaled_dot_product_attention(
            self.q_proj(x), self.v_proj(x), self.k_proj(x), mask, causal=self.causal
        )


@wrong("self_attention", "divided by d_head", "divided by K")
class ByHead(Base):
    def forward(self, x, mask=None):
        scale = 1 / self.d_head
        return _explicit(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask), scale=scale)


@wrong("self_attention", "the mask after the softmax", "masked after the softmax")
class After(Base):
    def forward(self, x, mask=None):
        w = (self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.d_head)).softmax(-1)
        allowed = self.allowed(x, mask)
        return (w if allowed is None else w * allowed) @ self.v_proj(x)


# ------------------------------------------------------------------------------------------------- sees later


@right("sees_later", "the tail replaced by a random one")
def _(attend, x):
    y = attend(x)
    seen = []
    for t in range(1, x.shape[0]):
        tail = torch.randn(len(x) - t, x.shape[1], dtype=x.dtype) * 5
        seen.append((attend(torch.cat([x[:t], tail]))[:t] - y[:t]).abs().max().item())
    return max(seen, default=0.0) > 1e-4


def _moved(before, after):
    return not torch.allclose(before, after, atol=1e-5)


@wrong("sees_later", "only the last token is changed", "only the last token is changed")
def _(attend, x):
    changed = x.clone()
    changed[-1] = 3 * torch.randn_like(x[-1])
    return _moved(attend(x)[:-1], attend(changed)[:-1])


@wrong("sees_later", "only the first output is looked at", "only the first output is compared")
def _(attend, x):
    changed = torch.cat([x[:1], 3 * torch.randn_like(x[1:])])
    return _moved(attend(x)[0], attend(changed)[0])


@wrong("sees_later", "the first token is changed: the direction of time is turned", "changes the first token")
def _(attend, x):
    changed = x.clone()
    changed[0] = 3 * torch.randn_like(x[0])
    return _moved(attend(x)[1:], attend(changed)[1:])


@wrong("sees_later", "any change counts, that of the token itself too", "counts any change")
def _(attend, x):
    changed = x.clone()
    changed[-1] = 3 * torch.randn_like(x[-1])
    return _moved(attend(x), attend(changed))


@wrong("sees_later", "changed = x makes no copy; both calls see the same")
def _(attend, x):
    for t in range(1, len(x)):
        changed = x
        changed[t:] = 3 * torch.randn_like(x[t:])
        if _moved(attend(x)[:t], attend(changed)[:t]):
            return True
    return False


@wrong("sees_later", "a tolerance of 0.1 misses what is weak")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = torch.cat([x[:t], torch.randn_like(x[t:])])
        if not torch.allclose(y[:t], attend(changed)[:t], atol=0.1):
            return True
    return False


@wrong("sees_later", "returns inside the loop: only the first token is tried")
def _(attend, x):
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t] = 3 * torch.randn_like(x[t])
        return _moved(y[:t], attend(changed)[:t])
    return False
