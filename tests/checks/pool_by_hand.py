"""A pool of answers to the NumPy tasks of 03_qkv, written from the exercise's text alone. See `pool`."""

import functools
import itertools
import math
import os
import time

import numpy as np
import scipy.special
import torch
from pool import Pool

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ------------------------------------------------------------------------------------------------- project


@right("project", "np.matmul, three lines")
def _(x, w_q, w_k, w_v):
    q = np.matmul(x, w_q)
    k = np.matmul(x, w_k)
    v = np.matmul(x, w_v)
    return q, k, v


@right("project", "einsum")
def _(x, w_q, w_k, w_v):
    return tuple(np.einsum("...td,dk->...tk", x, w) for w in (w_q, w_k, w_v))


@right("project", "np.dot, which agrees with matmul when the second has two axes")
def _(x, w_q, w_k, w_v):
    return np.dot(x, w_q), x.dot(w_k), x.dot(w_v)


@right("project", "tensordot")
def _(x, w_q, w_k, w_v):
    return np.tensordot(x, w_q, axes=1), np.tensordot(x, w_k, axes=1), np.tensordot(x, w_v, axes=1)


@right("project", "one product with the three matrices side by side, then split (nanoGPT's c_attn)")
def _(x, w_q, w_k, w_v):
    qkv = x @ np.concatenate([w_q, w_k, w_v], axis=1)
    q, k, v = np.split(qkv, 3, axis=-1)
    return q, k, v


@right("project", "a loop over the tokens")
def _(x, w_q, w_k, w_v):
    def one(w):
        flat = x.reshape(-1, x.shape[-1])
        rows = np.zeros((len(flat), w.shape[1]))
        for i, token in enumerate(flat):
            rows[i] = token @ w
        return rows.reshape(*x.shape[:-1], w.shape[1])

    return one(w_q), one(w_k), one(w_v)


@right("project", "transposed weights times transposed tokens, transposed back: results are not contiguous")
def _(x, w_q, w_k, w_v):
    columns = x.swapaxes(-1, -2)
    return (
        (w_q.T @ columns).swapaxes(-1, -2),
        (w_k.T @ columns).swapaxes(-1, -2),
        (w_v.T @ columns).swapaxes(-1, -2),
    )


@right("project", "sum of token numbers times matrix rows, by broadcasting")
def _(x, w_q, w_k, w_v):
    return tuple((x[..., :, None] * w).sum(axis=-2) for w in (w_q, w_k, w_v))


@right("project", "float64 inside, the input's dtype outside")
def _(x, w_q, w_k, w_v):
    x64 = x.astype(np.float64)
    return tuple((x64 @ w.astype(np.float64)).astype(x.dtype) for w in (w_q, w_k, w_v))


@right("project", "np.inner with the transposed weights")
def _(x, w_q, w_k, w_v):
    return np.inner(x, w_q.T), np.inner(x, w_k.T), np.inner(x, w_v.T)


@right("project", "np.apply_along_axis, a function of one token")
def _(x, w_q, w_k, w_v):
    return tuple(np.apply_along_axis(lambda token, w=w: token @ w, -1, x) for w in (w_q, w_k, w_v))


@either("project", "a list in place of a tuple")
def _(x, w_q, w_k, w_v):
    return [x @ w_q, x @ w_k, x @ w_v]


@either("project", "one array of three, which unpacks like a tuple")
def _(x, w_q, w_k, w_v):
    return np.stack([x @ w_q, x @ w_k, x @ w_v])


@either("project", "a generator, which unpacks like a tuple")
def _(x, w_q, w_k, w_v):
    return (x @ w for w in (w_q, w_k, w_v))


@wrong("project", "weights transposed, as nn.Linear stores them")
def _(x, w_q, w_k, w_v):
    return x @ w_q.T, x @ w_k.T, x @ w_v.T


@wrong("project", "the query's matrix for all three")
def _(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_q, x @ w_q


@wrong("project", "keys and values exchanged")
def _(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_v, x @ w_k


@wrong("project", "queries and keys exchanged")
def _(x, w_q, w_k, w_v):
    return x @ w_k, x @ w_q, x @ w_v


@wrong("project", "order v, k, q")
def _(x, w_q, w_k, w_v):
    return x @ w_v, x @ w_k, x @ w_q


@wrong("project", "matrix from the left, as in the lecture's W x")
def _(x, w_q, w_k, w_v):
    return w_q @ x, w_k @ x, w_v @ x


@wrong("project", "elementwise product")
def _(x, w_q, w_k, w_v):
    return x * w_q, x * w_k, x * w_v


@wrong("project", "only the queries come back")
def _(x, w_q, w_k, w_v):
    return x @ w_q


@wrong("project", "only q and k come back")
def _(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_k


@wrong("project", "a bias of 1 that nobody asked for")
def _(x, w_q, w_k, w_v):
    return x @ w_q + 1, x @ w_k + 1, x @ w_v + 1


@wrong("project", "scales the queries already here")
def _(x, w_q, w_k, w_v):
    return x @ w_q / np.sqrt(w_q.shape[1]), x @ w_k, x @ w_v


@wrong("project", "the tokens stand in columns: x transposed")
def _(x, w_q, w_k, w_v):
    return x.T @ w_q, x.T @ w_k, x.T @ w_v


@wrong("project", "float32 whatever came")
def _(x, w_q, w_k, w_v):
    return tuple((x @ w).astype(np.float32) for w in (w_q, w_k, w_v))


@wrong("project", "half precision to save memory")
def _(x, w_q, w_k, w_v):
    return tuple((x @ w).astype(np.float16) for w in (w_q, w_k, w_v))


@wrong("project", "layer norm of the tokens first")
def _(x, w_q, w_k, w_v):
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    return x @ w_q, x @ w_k, x @ w_v


@wrong("project", "centres the tokens in place")
def _(x, w_q, w_k, w_v):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    x -= x.mean()
    return q, k, v


@wrong("project", "writes the queries into w_q")
def _(x, w_q, w_k, w_v):
    answer = x @ w_q, x @ w_k, x @ w_v
    w_q[:] = 0
    return answer


@wrong("project", "forgets to return")
def _(x, w_q, w_k, w_v):
    q, k, v = x @ w_q, x @ w_k, x @ w_v  # noqa: F841


@wrong("project", "prints in place of returning")
def _(x, w_q, w_k, w_v):
    print(x @ w_q, x @ w_k, x @ w_v)


@wrong("project", "a dictionary")
def _(x, w_q, w_k, w_v):
    return {"q": x @ w_q, "k": x @ w_k, "v": x @ w_v}


@wrong("project", "only the first sequence of a batch")
def _(x, w_q, w_k, w_v):
    if x.ndim > 2:
        x = x[0]
    return x @ w_q, x @ w_k, x @ w_v


@wrong("project", "flattens a batch and does not restore it")
def _(x, w_q, w_k, w_v):
    x = x.reshape(-1, x.shape[-1])
    return x @ w_q, x @ w_k, x @ w_v


@wrong("project", "rounded to three places to make it look nice")
def _(x, w_q, w_k, w_v):
    return np.round(x @ w_q, 3), np.round(x @ w_k, 3), np.round(x @ w_v, 3)


@wrong("project", "keys from the queries, values from the keys: a chain")
def _(x, w_q, w_k, w_v):
    q = x @ w_q
    k = q @ w_k
    v = k @ w_v
    return q, k, v


@wrong("project", "softmax of each projection")
def _(x, w_q, w_k, w_v):
    return tuple(scipy.special.softmax(x @ w, axis=-1) for w in (w_q, w_k, w_v))


@either("project", "torch tensors in a NumPy task")
def _(x, w_q, w_k, w_v):
    x = torch.tensor(x)
    return x @ torch.tensor(w_q), x @ torch.tensor(w_k), x @ torch.tensor(w_v)


@wrong("project", "the matrices come back unapplied for k and v")
def _(x, w_q, w_k, w_v):
    return x @ w_q, w_k, w_v


@wrong("project", "sums the three")
def _(x, w_q, w_k, w_v):
    return x @ (w_q + w_k + w_v)


_first = {}


@wrong("project", "keeps its first result for ever: functools.cache by hand")
def _(x, w_q, w_k, w_v):
    return _first.setdefault("qkv", (x @ w_q, x @ w_k, x @ w_v))


@wrong("project", "queries from each token's left neighbour")
def _(x, w_q, w_k, w_v):
    return np.roll(x, 1, axis=-2) @ w_q, x @ w_k, x @ w_v


@wrong("project", "right for narrow tokens only: at most five numbers are used")
def _(x, w_q, w_k, w_v):
    return x[..., :5] @ w_q[:5], x[..., :5] @ w_k[:5], x[..., :5] @ w_v[:5]


@either("project", "plain lists")
def _(x, w_q, w_k, w_v):
    return (x @ w_q).tolist(), (x @ w_k).tolist(), (x @ w_v).tolist()


# -------------------------------------------------------------------------------------------------- scores


@right("scores", "einsum")
def _(q, k):
    return np.einsum("...tk,...sk->...ts", q, k) / np.sqrt(q.shape[-1])


@right("scores", "matmul and swapaxes, math.sqrt")
def _(q, k):
    d_k = k.shape[-1]
    return np.matmul(q, np.swapaxes(k, -2, -1)) / math.sqrt(d_k)


@right("scores", "queries scaled first")
def _(q, k):
    return (q / q.shape[-1] ** 0.5) @ k.swapaxes(-1, -2)


@right("scores", "each side scaled by the fourth root")
def _(q, k):
    scale = q.shape[-1] ** -0.25
    return (q * scale) @ np.moveaxis(k * scale, -1, -2)


@right("scores", "two loops, a dot product each, batches by recursion")
def looped_scores(q, k):
    if q.ndim > 2:
        return np.stack([looped_scores(a, b) for a, b in zip(q, k, strict=True)])
    out = np.zeros((len(q), len(k)))
    for t in range(len(q)):
        for s in range(len(k)):
            out[t, s] = sum(a * b for a, b in zip(q[t], k[s], strict=True)) / math.sqrt(len(q[t]))
    return out


@right("scores", "broadcasting and a sum")
def _(q, k):
    return (q[..., :, None, :] * k[..., None, :, :]).sum(axis=-1) * q.shape[-1] ** -0.5


@right("scores", "np.vectorize with a signature")
def _(q, k):
    dots = np.vectorize(
        lambda a, b: np.array([[x @ y for y in b] for x in a]), signature="(t,k),(s,k)->(t,s)"
    )
    return dots(q, k) / np.sqrt(q.shape[-1])


@right("scores", "np.vecdot of NumPy 2")
def _(q, k):
    return np.vecdot(q[..., :, None, :], k[..., None, :, :]) / np.sqrt(q.shape[-1])


@right("scores", ".mT of NumPy 2, the scale by np.reciprocal")
def _(q, k):
    return (q @ k.mT) * np.reciprocal(np.sqrt(float(q.shape[-1])))


@right("scores", "float64 inside, the input's dtype outside")
def _(q, k):
    return (q.astype("f8") @ k.astype("f8").swapaxes(-1, -2) / np.sqrt(q.shape[-1])).astype(q.dtype)


@right("scores", "the other way round, then transposed: not contiguous")
def _(q, k):
    return (k @ q.swapaxes(-1, -2)).swapaxes(-1, -2) / np.sqrt(q.shape[-1])


@right("scores", "polarisation: squared distances and lengths give the dot products")
def _(q, k):
    q, k = q.astype(np.float64), k.astype(np.float64)
    distance = ((q[..., :, None, :] - k[..., None, :, :]) ** 2).sum(-1)
    dots = ((q**2).sum(-1)[..., :, None] + (k**2).sum(-1)[..., None, :] - distance) / 2
    return dots / np.sqrt(q.shape[-1])


@wrong("scores", "no scaling")
def _(q, k):
    return q @ k.swapaxes(-1, -2)


@wrong("scores", "divides by K, not by its root")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / q.shape[-1]


@wrong("scores", "K ** 1/2 is K divided by 2")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / (q.shape[-1] ** 1 / 2)


@wrong("scores", "without brackets: / K ** 1 / 2 divides by 2 K")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / q.shape[-1] ** 1 / 2


@wrong("scores", "scaled by the number of queries")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-2])


@wrong("scores", "scaled by the number of keys")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(k.shape[-2])


@wrong("scores", "scaled by len(q): queries in a table, sequences in a batch")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(len(q))


@wrong("scores", "scaled by q.shape[1]: right for a table, wrong in a batch")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[1])


@wrong("scores", "times the root of K")
def _(q, k):
    return q @ k.swapaxes(-1, -2) * np.sqrt(q.shape[-1])


@wrong("scores", "one row per key: transposed")
def _(q, k):
    return k @ q.swapaxes(-1, -2) / np.sqrt(q.shape[-1])


@wrong("scores", "the keys are not transposed")
def _(q, k):
    return q @ k / np.sqrt(q.shape[-1])


@wrong("scores", ".T, which turns all axes of a batch round")
def _(q, k):
    return q @ k.T / np.sqrt(q.shape[-1])


@wrong("scores", "np.dot: every sequence of the batch with every other")
def _(q, k):
    return np.dot(q, k.swapaxes(-1, -2)) / np.sqrt(q.shape[-1])


@wrong("scores", "np.inner: every sequence of the batch with every other")
def _(q, k):
    return np.inner(q, k) / np.sqrt(q.shape[-1])


@wrong("scores", "einsum without the batch")
def _(q, k):
    return np.einsum("tk,sk->ts", q, k) / np.sqrt(q.shape[-1])


@wrong("scores", "cosine similarity")
def _(q, k):
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    k = k / np.linalg.norm(k, axis=-1, keepdims=True)
    return q @ k.swapaxes(-1, -2)


@wrong("scores", "distances in place of products")
def _(q, k):
    return np.linalg.norm(q[..., :, None, :] - k[..., None, :, :], axis=-1) / np.sqrt(q.shape[-1])


@wrong("scores", "already softmaxed")
def _(q, k):
    return scipy.special.softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), axis=-1)


@wrong("scores", "absolute values: only the size of the match counts")
def _(q, k):
    return np.abs(q @ k.swapaxes(-1, -2)) / np.sqrt(q.shape[-1])


@wrong("scores", "floor division")
def _(q, k):
    return q @ k.swapaxes(-1, -2) // np.sqrt(q.shape[-1])


@wrong("scores", "only matching positions: query t with key t")
def _(q, k):
    n = min(q.shape[-2], k.shape[-2])
    return (q[..., :n, :] * k[..., :n, :]).sum(-1) / np.sqrt(q.shape[-1])


@wrong("scores", "d_k = 64, as in the paper")
def _(q, k):
    d_k = 64
    return q @ k.swapaxes(-1, -2) / np.sqrt(d_k)


@wrong("scores", "divides by 8, as in the illustrated Transformer")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / 8


@wrong("scores", "integer root of K")
def _(q, k):
    return q @ k.swapaxes(-1, -2) / math.isqrt(q.shape[-1])


@wrong("scores", "scales the queries in place")
def _(q, k):
    q /= np.sqrt(q.shape[-1])
    return q @ k.swapaxes(-1, -2)


@wrong("scores", "as many keys as queries assumed")
def _(q, k):
    n = q.shape[-2]
    return (q @ k.swapaxes(-1, -2))[..., :n, :n] / np.sqrt(q.shape[-1])


@wrong("scores", "causal: later keys get minus infinity")
def _(q, k):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)


@wrong("scores", "queries with themselves: k is never used")
def _(q, k):
    return q @ q.swapaxes(-1, -2) / np.sqrt(q.shape[-1])


@wrong("scores", "float32 whatever came")
def _(q, k):
    return (q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])).astype(np.float32)


@wrong("scores", "the mean of the products: divided by K through mean()")
def _(q, k):
    return (q[..., :, None, :] * k[..., None, :, :]).mean(axis=-1)


@wrong("scores", "scores less their largest, as preparation for the softmax")
def _(q, k):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return s - s.max(axis=-1, keepdims=True)


@wrong("scores", "the loop ends one key early")
def _(q, k):
    out = np.zeros((*q.shape[:-1], k.shape[-2]))
    for s in range(k.shape[-2] - 1):
        out[..., s] = (q * k[..., s : s + 1, :]).sum(-1) / np.sqrt(q.shape[-1])
    return out


@wrong("scores", "0.125 for every K below 100, only longer ones properly")
def _(q, k):
    scale = 0.125 if q.shape[-1] < 100 else q.shape[-1] ** -0.5
    return scale * (q @ k.swapaxes(-1, -2))


@wrong("scores", "functools.cache on the shapes: the first result of each shape for ever")
def _(q, k):
    return _scores_of.setdefault((q.shape, k.shape), q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))


_scores_of = {}


@wrong("scores", "returns a string")
def _(q, k):
    return str(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))


@wrong("scores", "never ends: while True", harm="hangs")
def _(q, k):
    while True:
        time.sleep(0.01)


@wrong("scores", "leaves Python: os._exit", harm="ends")
def _(q, k):
    os._exit(3)


@wrong("scores", "calls exit()")
def _(q, k):
    raise SystemExit("done")


# ------------------------------------------------------------------------------------------------- softmax


@right("softmax", "scipy.special.softmax")
def _(scores):
    return scipy.special.softmax(scores, axis=-1)


@right("softmax", "exp of the score less logsumexp")
def _(scores):
    return np.exp(scores - scipy.special.logsumexp(scores, axis=-1, keepdims=True))


@right("softmax", "exp of the score less np.logaddexp.reduce")
def _(scores):
    return np.exp(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True))


@right("softmax", "a loop over the rows")
def _(scores):
    out = np.empty_like(scores)
    for row in np.ndindex(scores.shape[:-1]):
        e = np.exp(scores[row] - scores[row].max())
        out[row] = e / e.sum()
    return out


@right("softmax", "np.apply_along_axis")
def _(scores):
    def one(row):
        e = np.exp(row - max(row))
        return e / sum(e)

    return np.apply_along_axis(one, -1, scores)


@right("softmax", "an epsilon of 1e-12 in the denominator")
def _(scores):
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return e / (e.sum(axis=-1, keepdims=True) + 1e-12)


@right("softmax", "powers of two")
def _(scores):
    e = np.exp2((scores - scores.max(-1, keepdims=True)) * np.log2(np.e))
    return e / e.sum(-1, keepdims=True)


@right("softmax", "np.vectorize with a signature")
def _(scores):
    def row_softmax(row):
        e = np.exp(row - row.max())
        return e / e.sum()

    return np.vectorize(row_softmax, signature="(s)->(s)")(scores)


@right("softmax", "a copy, then everything in place")
def _(scores):
    e = np.array(scores, copy=True)
    e -= e.max(axis=-1, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis=-1, keepdims=True)
    return e


@right("softmax", "the last axis moved to the front and back")
def _(scores):
    s = np.moveaxis(scores, -1, 0)
    e = np.exp(s - s.max(axis=0))
    return np.moveaxis(e / e.sum(axis=0), 0, -1)


@right("softmax", "online: largest and total of what was seen so far (flash attention)")
def _(scores):
    largest = np.full(scores.shape[:-1], -np.inf)
    total = np.zeros(scores.shape[:-1])
    for s in range(scores.shape[-1]):
        new = np.maximum(largest, scores[..., s])
        steady = np.where(np.isinf(new), 0, new)
        total = total * np.exp(largest - steady) + np.exp(scores[..., s] - steady)
        largest = new
    return np.exp(scores - largest[..., None]) / total[..., None]


@right("softmax", "long double inside")
def _(scores):
    s = scores.astype(np.longdouble)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(scores.dtype)


@right("softmax", "exp(log_softmax), twice normalised")
def _(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_weights = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    w = np.exp(log_weights)
    return w / w.sum(axis=-1, keepdims=True)


@right("softmax", "clips far below the largest: 800 below is nothing in float64")
def _(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    e = np.where(shifted < -800, 0.0, np.exp(np.maximum(shifted, -800.0)))
    return e / e.sum(axis=-1, keepdims=True)


@either("softmax", "through torch")
def _(scores):
    return torch.softmax(torch.tensor(scores), dim=-1).numpy()


@either("softmax", "an epsilon of 1e-8")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / (e.sum(axis=-1, keepdims=True) + 1e-8)


@either("softmax", "minus infinity replaced by -1e9 first")
def _(scores):
    s = np.maximum(scores, -1e9)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "nothing subtracted: a score of 1000 overflows")
def _(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)


@wrong("softmax", "nothing subtracted, NaN swept away")
def _(scores):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True))


@wrong("softmax", "clipped to 500 so that nothing overflows: large scores become equal")
def _(scores):
    e = np.exp(np.clip(scores, -500, 500))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "columns sum to 1: axis=0")
def _(scores):
    e = np.exp(scores - scores.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


@wrong("softmax", "axis=1: right for a table, wrong for a batch")
def _(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@wrong("softmax", "axis=-2")
def _(scores):
    axis = -2 if scores.ndim > 1 else -1
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax", "the whole table sums to 1")
def _(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


@wrong("softmax", "the largest of the whole table subtracted: low rows underflow to 0 / 0")
def _(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "keepdims forgotten")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1)


@wrong("softmax", "[:, None] in place of keepdims: tables only")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1)[:, None])
    return e / e.sum(axis=-1)[:, None]


@wrong("softmax", "not divided by the sum")
def _(scores):
    return np.exp(scores - scores.max(axis=-1, keepdims=True))


@wrong("softmax", "divided by the largest, not the sum")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.max(axis=-1, keepdims=True)


@wrong("softmax", "plain shares: score over sum of scores")
def _(scores):
    return scores / scores.sum(axis=-1, keepdims=True)


@wrong("softmax", "shifted to be positive, then shares")
def _(scores):
    s = scores - scores.min(axis=-1, keepdims=True)
    return s / s.sum(axis=-1, keepdims=True)


@wrong("softmax", "base 2")
def _(scores):
    e = 2.0 ** (scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "log softmax")
def _(scores):
    return scores - scipy.special.logsumexp(scores, axis=-1, keepdims=True)


@wrong("softmax", "a sigmoid for each score")
def _(scores):
    return 1 / (1 + np.exp(-np.clip(scores, -700, 700)))


@wrong("softmax", "a sigmoid for each score, then normalised")
def _(scores):
    w = scipy.special.expit(scores)
    return w / w.sum(axis=-1, keepdims=True)


@wrong("softmax", "scores changed: -= on the argument")
def _(scores):
    scores -= scores.max(axis=-1, keepdims=True)
    e = np.exp(scores)
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "the result is written into the scores")
def _(scores):
    scores[...] = scipy.special.softmax(scores, axis=-1)
    return scores


@wrong("softmax", "float32 whatever came")
def _(scores):
    return scipy.special.softmax(scores, axis=-1).astype(np.float32)


@wrong("softmax", "hard: all weight to the largest")
def _(scores):
    return (scores == scores.max(axis=-1, keepdims=True)).astype(scores.dtype)


@wrong("softmax", "temperature 10 to soften it")
def _(scores):
    return scipy.special.softmax(scores / 10, axis=-1)


@wrong("softmax", "scaled once more by the root of S")
def _(scores):
    return scipy.special.softmax(scores / np.sqrt(scores.shape[-1]), axis=-1)


@wrong("softmax", "the mean subtracted: still overflows")
def _(scores):
    e = np.exp(scores - scores.mean(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "the smallest subtracted")
def _(scores):
    e = np.exp(scores - scores.min(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "the largest absolute value subtracted: very negative rows give 0 / 0")
def _(scores):
    finite = np.where(np.isinf(scores), 0, scores)
    e = np.exp(scores - np.abs(finite).max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "an epsilon of 0.01")
def _(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / (e.sum(axis=-1, keepdims=True) + 1e-2)


@wrong("softmax", "minus infinity taken for a score of 0")
def _(scores):
    return scipy.special.softmax(np.where(np.isinf(scores), 0, scores), axis=-1)


@wrong("softmax", "minus infinity becomes -100: beside scores of -1000 it wins")
def _(scores):
    s = np.nan_to_num(scores, neginf=-100)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("softmax", "minus infinity minus minus infinity: pairwise differences give NaN")
def _(scores):
    with np.errstate(all="ignore"):
        return 1 / np.exp(scores[..., None, :] - scores[..., :, None]).sum(-1)


@wrong("softmax", "a loop over rows that knows tables only")
def _(scores):
    return np.array([np.exp(row - max(row)) / np.exp(row - max(row)).sum() for row in scores])


@wrong("softmax", "softmax twice")
def _(scores):
    return scipy.special.softmax(scipy.special.softmax(scores, axis=-1), axis=-1)


@wrong("softmax", "the same weight for all")
def _(scores):
    return np.full(scores.shape, 1 / scores.shape[-1], dtype=scores.dtype)


@wrong("softmax", "rounded to three places")
def _(scores):
    return np.round(scipy.special.softmax(scores, axis=-1), 3)


@wrong("softmax", "scores sorted on the way")
def _(scores):
    return scipy.special.softmax(np.sort(scores, axis=-1), axis=-1)


@wrong("softmax", "softmin: the sign is turned")
def _(scores):
    finite = np.where(np.isinf(scores), 1e300, scores)
    return scipy.special.softmax(-finite, axis=-1)


@wrong("softmax", "squares in place of powers of e")
def _(scores):
    s = np.where(np.isinf(scores), 0, scores) ** 2
    return s / s.sum(axis=-1, keepdims=True)


@wrong("softmax", "weights below 0.01 are dropped")
def _(scores):
    w = scipy.special.softmax(scores, axis=-1)
    return np.where(w < 0.01, 0, w)


@either("softmax", "a list of lists")
def _(scores):
    return scipy.special.softmax(scores, axis=-1).tolist()


@wrong("softmax", "prints a lot, and returns nothing")
def _(scores):
    for value in itertools.islice(itertools.cycle(scores.flat), 20000):
        print("score", value)


@wrong("softmax", "recursion without an end")
def _(scores):
    def once_more(s):
        return once_more(s - s.max(axis=-1, keepdims=True))

    return once_more(scores)


@wrong("softmax", "raises the error of another course: rows must be two-dimensional")
def _(scores):
    if scores.ndim != 2:
        raise ValueError("expected a table")
    return scipy.special.softmax(scores, axis=-1)


# ----------------------------------------------------------------------------------------------------- mix


@right("mix", "np.matmul")
def _(weights, v):
    return np.matmul(weights, v)


@right("mix", "einsum")
def _(weights, v):
    return np.einsum("...ts,...sd->...td", weights, v)


@right("mix", "broadcast and sum")
def _(weights, v):
    return (weights[..., None] * v[..., None, :, :]).sum(axis=-2)


@right("mix", "one key at a time is added up")
def _(weights, v):
    out = np.zeros((*weights.shape[:-1], v.shape[-1]))
    for s in range(v.shape[-2]):
        out = out + weights[..., s, None] * v[..., s, None, :]
    return out


@right("mix", "three loops")
def _(weights, v):
    out = np.zeros((*weights.shape[:-1], v.shape[-1]))
    for *batch, t in np.ndindex(weights.shape[:-1]):
        for s in range(weights.shape[-1]):
            for d in range(v.shape[-1]):
                out[(*batch, t, d)] += weights[(*batch, t, s)] * v[(*batch, s, d)]
    return out


@right("mix", "both transposed: not contiguous")
def _(weights, v):
    return (v.mT @ weights.mT).mT


@right("mix", "np.vectorize with a signature")
def _(weights, v):
    return np.vectorize(np.dot, signature="(t,s),(s,d)->(t,d)")(weights, v)


@right("mix", "np.vecdot")
def _(weights, v):
    return np.vecdot(weights[..., :, None, :], v.mT[..., None, :, :])


@right("mix", "float64 inside")
def _(weights, v):
    return (weights.astype(float) @ v.astype(float)).astype(v.dtype)


@right("mix", "functools.reduce over the keys")
def _(weights, v):
    parts = [weights[..., [s]] * v[..., [s], :] for s in range(v.shape[-2])]
    return functools.reduce(np.add, parts)


@wrong("mix", "weights transposed")
def _(weights, v):
    return weights.swapaxes(-1, -2) @ v


@wrong("mix", "the wrong order: values times weights")
def _(weights, v):
    return v @ weights


@wrong("mix", "elementwise")
def _(weights, v):
    return weights * v


@wrong("mix", "the plain mean of the values")
def _(weights, v):
    return np.broadcast_to(v.mean(axis=-2, keepdims=True), (*weights.shape[:-1], v.shape[-1])).copy()


@wrong("mix", "the plain sum of the values")
def _(weights, v):
    return np.ones_like(weights) @ v


@wrong("mix", "only the value with the largest weight")
def _(weights, v):
    hard = weights == weights.max(axis=-1, keepdims=True)
    return hard.astype(v.dtype) @ v


@wrong("mix", "softmax once more")
def _(weights, v):
    return scipy.special.softmax(weights, axis=-1) @ v


@wrong("mix", "weights divided by their sum once more: a row of zeros gives NaN")
def _(weights, v):
    return weights / weights.sum(axis=-1, keepdims=True) @ v


@wrong("mix", "divided by the number of keys")
def _(weights, v):
    return weights @ v / v.shape[-2]


@wrong("mix", "divided by the root of D")
def _(weights, v):
    return weights @ v / np.sqrt(v.shape[-1])


@wrong("mix", "np.dot: every sequence of the batch with every other")
def _(weights, v):
    return np.dot(weights, v)


@wrong("mix", "einsum without the batch")
def _(weights, v):
    return np.einsum("ts,sd->td", weights, v)


@wrong("mix", "float32 whatever came")
def _(weights, v):
    return (weights @ v).astype("float32")


@wrong("mix", "the output transposed")
def _(weights, v):
    return (weights @ v).swapaxes(-1, -2)


@wrong("mix", "summed over the queries too")
def _(weights, v):
    return (weights @ v).sum(axis=-2)


@wrong("mix", "the last key forgotten: off by one")
def _(weights, v):
    return weights[..., :-1] @ v[..., :-1, :]


@wrong("mix", "the first key forgotten: loops from 1")
def _(weights, v):
    out = np.zeros((*weights.shape[:-1], v.shape[-1]))
    for s in range(1, v.shape[-2]):
        out = out + weights[..., s, None] * v[..., s, None, :]
    return out


@wrong("mix", "= in place of +=: only the last value is left")
def _(weights, v):
    for s in range(v.shape[-2]):
        out = weights[..., s, None] * v[..., s, None, :]
    return out


@wrong("mix", "weights under 0.05 are ignored")
def _(weights, v):
    return np.where(weights < 0.05, 0, weights) @ v


@wrong("mix", "the keys are read backwards")
def _(weights, v):
    return weights @ v[..., ::-1, :]


@wrong("mix", "a residual: the values are added to the mix")
def _(weights, v):
    n = min(weights.shape[-2], v.shape[-2])
    out = weights @ v
    out[..., :n, :] += v[..., :n, :]
    return out


@wrong("mix", "normalises the weights in place")
def _(weights, v):
    out = weights @ v
    weights /= 2
    return out


@wrong("mix", "returns a generator of rows")
def _(weights, v):
    return (row @ v for row in weights)


@either("mix", "a list of rows")
def _(weights, v):
    return list(weights @ v)


@wrong("mix", "causal: upper half of the weights ignored")
def _(weights, v):
    return np.tril(weights) @ v


@wrong("mix", "squared weights")
def _(weights, v):
    return weights**2 @ v


@wrong("mix", "integers")
def _(weights, v):
    return (weights @ v).astype(int)


@wrong("mix", "only the first sequence's values for the whole batch")
def _(weights, v):
    while v.ndim > 2:
        v = v[0]
    return weights @ v


@wrong("mix", "right up to eight keys, the rest is cut off")
def _(weights, v):
    return weights[..., :8] @ v[..., :8, :]


@wrong("mix", "weights and values exchanged in the signature")
def _(v, weights):
    return weights @ v


@wrong("mix", "absolute values")
def _(weights, v):
    return weights @ np.abs(v)


# ------------------------------------------------------------------------------------------ masked_weights


def _softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@right("masked_weights", "the largest of the allowed scores by np.max(where=)")
def _(scores, mask):
    top = np.max(scores, axis=-1, keepdims=True, where=np.broadcast_to(mask, scores.shape), initial=-1e300)
    e = np.where(mask, np.exp(np.where(mask, scores - top, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return np.divide(e, total, out=np.zeros(e.shape), where=total > 0)


@right("masked_weights", "filled with -1e300, then zeros put in")
def _(scores, mask):
    s = np.where(mask, scores.astype(np.float64), -1e300)
    e = np.exp(s - s.max(axis=-1, keepdims=True)) * mask
    return e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)


@right("masked_weights", "errstate and nan_to_num only where nothing is allowed")
def _(scores, mask):
    s = np.where(mask, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        w = _softmax(s)
    return np.where(mask.any(axis=-1, keepdims=True), w, 0.0)


@right("masked_weights", "a loop over rows, only the allowed scores are looked at")
def _(scores, mask):
    out = np.zeros(scores.shape, dtype=scores.dtype)
    for index in np.ndindex(scores.shape[:-1]):
        allowed = mask[index[-1]]
        if allowed.any():
            chosen = scores[index][allowed]
            e = np.exp(chosen - chosen.max())
            out[index][allowed] = e / e.sum()
    return out


@right("masked_weights", "scipy on the rows that may attend to something")
def _(scores, mask):
    out = np.zeros_like(scores)
    rows = mask.any(axis=-1)
    out[..., rows, :] = scipy.special.softmax(np.where(mask, scores, -np.inf)[..., rows, :], axis=-1)
    return out


@right("masked_weights", "masked arrays of NumPy")
def _(scores, mask):
    s = np.ma.array(scores, mask=np.broadcast_to(~mask, scores.shape))
    e = np.ma.exp(s - s.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).filled(0.0)


@right("masked_weights", "logsumexp with weights b = mask")
def _(scores, mask):
    s = np.where(mask, scores, -np.inf)
    total = np.logaddexp.reduce(s, axis=-1, keepdims=True)
    return np.exp(s - np.where(np.isfinite(total), total, 0))


@right("masked_weights", "the lowest finite number, then the mask once more")
def _(scores, mask):
    lowest = np.finfo(scores.dtype).min
    s = np.where(mask, scores, lowest)
    shifted = np.maximum(s, lowest / 2)
    w = _softmax(shifted)
    return w * mask


@right("masked_weights", "np.putmask on a copy")
def _(scores, mask):
    s = scores.copy()
    np.putmask(s, np.broadcast_to(~mask, s.shape), -np.inf)
    m = s.max(-1, keepdims=True)
    m[m == -np.inf] = 0
    e = np.exp(s - m)
    total = e.sum(-1, keepdims=True)
    total[total == 0] = 1
    return e / total


@right("masked_weights", "an epsilon of 1e-12 in the denominator, which also makes 0 of 0 / 0")
def _(scores, mask):
    s = np.where(mask, scores, -np.inf)
    m = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(m), m, 0))
    return e / (e.sum(-1, keepdims=True) + 1e-12)


@either("masked_weights", "filled with -1e9, then zeros put in")
def _(scores, mask):
    return _softmax(np.where(mask, scores, -1e9)) * mask


@wrong("masked_weights", "True and False exchanged")
def _(scores, mask):
    s = np.where(~mask, scores, -1e30)
    return _softmax(s) * ~mask


@wrong("masked_weights", "np.where with its arms exchanged")
def _(scores, mask):
    s = np.where(mask, -np.inf, scores)
    m = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(m), 0, m))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


@wrong("masked_weights", "masked after the softmax: rows no longer sum to 1")
def _(scores, mask):
    return _softmax(scores) * mask


@wrong(
    "masked_weights",
    "masked after the softmax and divided again: low scores beside a high forbidden one vanish",
)
def _(scores, mask):
    w = _softmax(scores) * mask
    total = w.sum(axis=-1, keepdims=True)
    return w / np.where(total == 0, 1, total)


@wrong("masked_weights", "forbidden scores set to 0")
def _(scores, mask):
    return _softmax(np.where(mask, scores, 0))


@wrong("masked_weights", "scores times the mask")
def _(scores, mask):
    return _softmax(scores * mask)


@wrong("masked_weights", "scores times the mask, weights times the mask")
def _(scores, mask):
    return _softmax(scores * mask) * mask


@wrong("masked_weights", "filled with -100")
def _(scores, mask):
    return _softmax(np.where(mask, scores, -100.0))


@wrong("masked_weights", "filled with -100, then zeros put in: a row of scores below -100 does not sum to 1")
def _(scores, mask):
    return _softmax(np.where(mask, scores, -100.0)) * mask


@wrong("masked_weights", "filled with -1e9: a row that may attend to nothing attends to all")
def _(scores, mask):
    return _softmax(np.where(mask, scores, -1e9))


@wrong("masked_weights", "filled with 1e-9, meant as -1e9")
def _(scores, mask):
    return _softmax(np.where(mask, scores, 1e-9)) * mask


@wrong("masked_weights", "filled with plus infinity")
def _(scores, mask):
    with np.errstate(all="ignore"):
        return _softmax(np.where(mask, scores, np.inf))


@wrong("masked_weights", "a row that may attend to nothing gives NaN")
def _(scores, mask):
    with np.errstate(all="ignore"):
        return _softmax(np.where(mask, scores, -np.inf))


@wrong("masked_weights", "no maximum subtracted, NaN swept away by nan_to_num")
def _(scores, mask):
    with np.errstate(all="ignore"):
        e = np.exp(np.where(mask, scores, -np.inf))
        return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))


@wrong("masked_weights", "the mask added: True counts 1")
def _(scores, mask):
    return _softmax(scores + mask)


@wrong("masked_weights", "the mask as a bias with the wrong sign: (1 - mask) * 1e9")
def _(scores, mask):
    return _softmax(scores + (1 - mask) * 1e9)


@wrong("masked_weights", "the mask is not used")
def _(scores, mask):
    return _softmax(scores)


@wrong("masked_weights", "the mask transposed where it is square")
def _(scores, mask):
    mask = mask.T if mask.shape[0] == mask.shape[1] else mask
    s = np.where(mask, scores, -1e30)
    return _softmax(s) * mask


@wrong("masked_weights", "the scores are overwritten")
def _(scores, mask):
    scores[..., ~mask] = -np.inf
    m = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(m), 0, m))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


@wrong("masked_weights", "the mask is turned round in place")
def _(scores, mask):
    np.logical_not(mask, out=mask)
    return _softmax(np.where(mask, -1e30, scores)) * ~mask


@wrong("masked_weights", "softmax over the queries")
def _(scores, mask):
    s = np.where(mask, scores, -1e30)
    e = np.exp(s - s.max(axis=-2, keepdims=True)) * mask
    total = e.sum(axis=-2, keepdims=True)
    return e / np.where(total == 0, 1, total)


@wrong("masked_weights", "a fully masked row gets equal weights on purpose")
def _(scores, mask):
    s = np.where(mask, scores, -np.inf)
    s = np.where(mask.any(-1, keepdims=True), s, 0)
    return _softmax(s)


@wrong("masked_weights", "forbidden keys are removed: the table gets narrower")
def _(scores, mask):
    keep = mask.any(axis=0)
    return _softmax(np.where(mask, scores, -1e30)[..., keep])


@wrong("masked_weights", "float32 whatever came")
def _(scores, mask):
    return (_softmax(np.where(mask, scores, -1e30)) * mask).astype(np.float32)


@wrong("masked_weights", "a causal mask in place of the one given")
def _(scores, mask):
    causal = np.tri(*mask.shape, dtype=bool)
    return _softmax(np.where(causal, scores, -1e30)) * causal


_first_mask = {}


@wrong("masked_weights", "keeps the mask of its first call")
def _(scores, mask):
    mask = _first_mask.setdefault(mask.shape, mask.copy())
    return _softmax(np.where(mask, scores, -1e30)) * mask


@wrong("masked_weights", "the maximum over forbidden scores too: allowed ones underflow")
def _(scores, mask):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True)) * mask
    total = e.sum(axis=-1, keepdims=True)
    return np.divide(e, total, out=np.zeros_like(e), where=total > 0)


@wrong("masked_weights", "an epsilon of 0.001 against 0 / 0")
def _(scores, mask):
    s = np.where(mask, scores, -np.inf)
    m = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(m), 0, m))
    return e / (e.sum(-1, keepdims=True) + 1e-3)


@wrong("masked_weights", "one row's mask for all rows")
def _(scores, mask):
    s = np.where(mask[:1], scores, -1e30)
    return _softmax(s) * mask[:1]


@wrong("masked_weights", "shares among the allowed without powers of e")
def _(scores, mask):
    positive = (scores - scores.min()) * mask
    total = positive.sum(axis=-1, keepdims=True)
    return positive / np.where(total == 0, 1, total)


@wrong("masked_weights", "unnormalised powers")
def _(scores, mask):
    return np.exp(scores - scores.max(axis=-1, keepdims=True)) * mask


@wrong("masked_weights", "boolean indexing flattens")
def _(scores, mask):
    return _softmax(scores[..., mask])


# --------------------------------------------------------------------------------------------- causal_mask


@right("causal_mask", "np.tri with its k")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


@right("causal_mask", "np.tril of ones")
def _(n_queries, n_keys):
    return np.tril(np.ones((n_queries, n_keys), dtype=bool), k=n_keys - n_queries)


@right("causal_mask", "the complement of np.triu")
def _(n_queries, n_keys):
    return ~np.triu(np.full((n_queries, n_keys), True), n_keys - n_queries + 1)


@right("causal_mask", "two loops")
def _(n_queries, n_keys):
    mask = np.zeros((n_queries, n_keys), dtype=bool)
    for t in range(n_queries):
        for s in range(n_keys):
            if s <= t + n_keys - n_queries:
                mask[t, s] = True
    return mask


@right("causal_mask", "the last rows of a square one")
def _(n_queries, n_keys):
    return np.tril(np.ones((n_keys, n_keys))).astype(bool)[n_keys - n_queries :]


@right("causal_mask", "np.fromfunction")
def _(n_queries, n_keys):
    return np.fromfunction(lambda t, s: s - n_keys <= t - n_queries, (n_queries, n_keys))


@right("causal_mask", "greater_equal.outer of the positions")
def _(n_queries, n_keys):
    return np.greater_equal.outer(np.arange(n_keys - n_queries, n_keys), np.arange(n_keys))


@right("causal_mask", "a list of rows made an array")
def _(n_queries, n_keys):
    rows = [[True] * seen + [False] * (n_keys - seen) for seen in range(n_keys - n_queries + 1, n_keys + 1)]
    return np.array(rows, dtype=bool).reshape(n_queries, n_keys)


@right("causal_mask", "np.indices")
def _(n_queries, n_keys):
    t, s = np.indices((n_queries, n_keys))
    return t - s >= n_queries - n_keys


@right("causal_mask", "slices, row by row")
def _(n_queries, n_keys):
    mask = np.zeros((n_queries, n_keys), "bool")
    for i in range(1, n_queries + 1):
        mask[-i, : n_keys - i + 1] = True
    return mask


@wrong("causal_mask", "the first query at the first key: np.tri without k")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, dtype=bool)


@wrong("causal_mask", "a token does not see itself")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries - 1, dtype=bool)


@wrong("causal_mask", "a token sees the next one: off by one")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries + 1, dtype=bool)


@wrong("causal_mask", "True and False exchanged: True = forbidden")
def _(n_queries, n_keys):
    return ~np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


@wrong("causal_mask", "the future in place of the past: triu")
def _(n_queries, n_keys):
    return np.triu(np.ones((n_queries, n_keys), dtype=bool), n_keys - n_queries)


@wrong("causal_mask", "the shift has the wrong sign")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_queries - n_keys, dtype=bool)


@wrong("causal_mask", "ones and zeros, integers")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=int)


@wrong("causal_mask", "ones and zeros, floats")
def _(n_queries, n_keys):
    return np.tril(np.ones((n_queries, n_keys)), n_keys - n_queries)


@wrong("causal_mask", "0 and minus infinity to be added")
def _(n_queries, n_keys):
    return np.where(np.tri(n_queries, n_keys, n_keys - n_queries), 0, -np.inf)


@wrong("causal_mask", "keys in rows: transposed")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool).T


@wrong("causal_mask", "all keys times all keys")
def _(n_queries, n_keys):
    return np.tri(n_keys, dtype=bool)


@wrong("causal_mask", "all queries times all queries")
def _(n_queries, n_keys):
    return np.tri(n_queries, dtype=bool)


@wrong("causal_mask", "everything allowed")
def _(n_queries, n_keys):
    return np.ones((n_queries, n_keys), dtype=bool)


@wrong("causal_mask", "only itself")
def _(n_queries, n_keys):
    return np.eye(n_queries, n_keys, n_keys - n_queries, dtype=bool)


@wrong("causal_mask", "only itself and the token before: a window of two")
def _(n_queries, n_keys):
    full = np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
    return full & ~np.tri(n_queries, n_keys, n_keys - n_queries - 2, dtype=bool)


@wrong("causal_mask", "a window of four: right while there are few keys")
def _(n_queries, n_keys):
    full = np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
    return full & ~np.tri(n_queries, n_keys, n_keys - n_queries - 4, dtype=bool)


@wrong("causal_mask", "the first rows of a square one: the cache is forgotten")
def _(n_queries, n_keys):
    return np.tri(n_keys, dtype=bool)[:n_queries]


@either("causal_mask", "a list of lists")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool).tolist()


@wrong("causal_mask", "an array of objects")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool).astype(object)


@either("causal_mask", "a torch tensor")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys).tril(n_keys - n_queries).bool()


@wrong("causal_mask", "mirrored left to right")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)[:, ::-1]


@wrong("causal_mask", "mirrored top to bottom")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)[::-1]


@wrong("causal_mask", "an axis in front for the batch")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)[None]


@wrong("causal_mask", "flat")
def _(n_queries, n_keys):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool).ravel()


@wrong("causal_mask", "one query sees only the last key")
def _(n_queries, n_keys):
    mask = np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
    if n_queries == 1:
        mask[:] = False
        mask[0, -1] = True
    return mask


@wrong("causal_mask", "proportional: query t sees its share of the keys")
def _(n_queries, n_keys):
    return np.arange(n_keys)[None, :] * n_queries <= np.arange(n_queries)[:, None] * n_keys


@wrong("causal_mask", "strings")
def _(n_queries, n_keys):
    return np.where(np.tri(n_queries, n_keys, n_keys - n_queries), "yes", "no")


@wrong("causal_mask", "kept by the number of queries only: the second number of keys is ignored")
def _(n_queries, n_keys):
    return _kept.setdefault(n_queries, np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool))


_kept = {}


@wrong("causal_mask", "a fixed block of eight, cut to size")
def _(n_queries, n_keys):
    block = np.tri(8, dtype=bool)
    return block[-n_queries:, -n_keys:]


@wrong("causal_mask", "the arguments exchanged")
def _(n_keys, n_queries):
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)
