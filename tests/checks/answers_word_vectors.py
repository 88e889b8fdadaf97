"""Wrong and correct answers to the tasks of 01_tokens on word vectors, written as learners write them."""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from course_lib import embeddings

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------------------- ppmi


def ppmi_by_loops(counts, log=math.log, least=0.0, value=lambda pmi, share: pmi):
    total = float(counts.sum())
    out = np.zeros(counts.shape)
    for w, c in np.ndindex(*counts.shape):
        if counts[w, c] > 0:
            ratio = float(counts[w, c]) * total / float(counts[w].sum()) / float(counts[:, c].sum())
            out[w, c] = max(least, value(log(ratio), float(counts[w, c]) / total))
    return out


def ppmi_by_logs(counts):
    """A sum of logarithms; minus infinity and NaN go away in the end."""
    n = counts.astype(np.float64)
    pmi = np.log(n) + np.log(n.sum()) - np.log(n.sum(0)) - np.log(n.sum(1))[:, None]
    return np.maximum(np.where(n > 0, pmi, 0), 0)


def ppmi_by_torch(counts):
    shares = torch.tensor(counts).double() / counts.sum()
    chance = torch.outer(shares.sum(1), shares.sum(0))
    return (shares / chance).log().clamp(min=0).nan_to_num(0)


def ppmi_of_shares(counts, both=lambda rows, columns: rows[:, None] * columns):
    p = counts / counts.sum()
    ratio = p / both(p.sum(axis=1), p.sum(axis=0))
    return np.maximum(0, np.log(ratio))


def pmi_of_shares(counts, empty=0.0):
    p = counts / counts.sum()
    ratio = p / np.outer(p.sum(axis=1), p.sum(axis=0))
    return np.where(counts > 0, np.log(ratio), empty)


def smoothed_chance(rows, columns):
    return np.outer(rows, columns**0.75 / (columns**0.75).sum())


RIGHT["01_tokens/ppmi"] = [
    ppmi_by_loops,
    ppmi_by_logs,
    ppmi_by_torch,
    lambda n: np.fmax(ppmi_of_shares(n), 0),
    lambda n: np.log(np.fmax(n / n.sum() / np.fmax(np.outer(n.sum(1), n.sum(0)) / n.sum() ** 2, 1e-30), 1)),
    lambda n: ppmi_by_logs(n).tolist(),
]
WRONG["01_tokens/ppmi"] = [
    ("negative values stay", lambda n: ppmi_by_loops(n, least=-math.inf)),
    ("minus infinity", lambda n: pmi_of_shares(n, empty=-math.inf)),
    ("0 divided by 0", ppmi_of_shares),
    ("another logarithm", lambda n: ppmi_by_loops(n, log=math.log2)),
    ("no logarithm", lambda n: ppmi_by_loops(n, log=float)),
    ("logarithm of 1 + ratio", lambda n: ppmi_by_loops(n, log=math.log1p)),
    ("one added to every count", lambda n: ppmi_by_logs(n + 1)),
    ("nothing left", lambda n: np.maximum(0, np.log(n / n.sum(1, keepdims=True)))),
    (
        "the sums of the rows twice",
        lambda n: np.nan_to_num(ppmi_of_shares(n, both=lambda rows, columns: np.outer(rows, rows))),
    ),
    (
        "keepdims forgotten",
        lambda n: np.nan_to_num(ppmi_of_shares(n, both=lambda rows, columns: rows * columns)),
    ),
    ("sizes instead of the positive part", lambda n: abs(ppmi_by_loops(n, least=-math.inf))),
    (
        "rare contexts smoothed",
        lambda n: np.nan_to_num(ppmi_of_shares(n, both=smoothed_chance)),
    ),
    ("weighted by its share", lambda n: ppmi_by_loops(n, value=lambda pmi, share: share * pmi)),
    ("against the row alone", lambda n: np.fmax(np.log(n * n.shape[1] / n.sum(1, keepdims=True)), 0)),
    (None, lambda n: np.nan_to_num(pmi_of_shares(n, empty=np.nan), nan=-1)),
    (None, lambda n: ppmi_by_loops(n).T),
    (None, lambda n: ppmi_by_loops(n).round(2)),
    (None, lambda n: ppmi_by_loops(n, log=math.log10)),
    (None, lambda n: sparse.csr_array(ppmi_by_loops(n))),
    (None, lambda n: ppmi_by_loops(n).astype(np.float32)),
]

# ------------------------------------------------------------------------------------------------- neighbours


def near_by_loops(vectors, word, k, key=lambda item: -item[1]):
    found = []
    for i, vector in enumerate(vectors.astype(float)):
        product = math.sqrt(sum(vector**2)) * math.sqrt(sum(float(x) ** 2 for x in vectors[word]))
        if i != word:
            found.append((i, float(vector @ vectors[word]) / product if product else 0.0))
    return sorted(found, key=key)[:k]


def near_by_torch(vectors, word, k):
    x = F.normalize(torch.tensor(vectors), dim=-1)
    cosines = x @ x[word]
    cosines[word] = -2
    best = cosines.topk(k)
    return torch.stack([best.indices, best.values], -1)


def near_by_dictionary(vectors, word, k):
    cosines = OrderedDict(near_by_loops(vectors, word, len(vectors)))
    return {i: cosines[i] for i in list(cosines)[:k]}


def near_by_unit(vectors, word, k):
    sizes = np.sqrt((vectors**2).sum(-1, keepdims=True))
    u = np.divide(vectors, sizes, out=np.zeros_like(vectors), where=sizes > 0)
    cosines = np.einsum("vd,d->v", u, u[word])
    rest = np.delete(np.arange(len(u)), word)
    best = rest[np.argsort(cosines[rest])[::-1]][:k]
    return zip(best, cosines[best], strict=True)


def ranked(values, skip, k, down=True):
    order = [int(i) for i in np.argsort(-values if down else values, kind="stable") if i != skip]
    return [(i, values[i]) for i in order[:k]]


def cosine(vectors, word):
    sizes = np.linalg.norm(vectors, axis=-1)
    sizes[sizes == 0] = 1
    return vectors @ vectors[word] / sizes / sizes[word]


RIGHT["01_tokens/neighbours"] = [
    near_by_loops,
    near_by_torch,
    near_by_dictionary,
    near_by_unit,
    embeddings.nearest,
    lambda x, w, k: np.array(near_by_loops(x, w, k)),
]
WRONG["01_tokens/neighbours"] = [
    ("the word itself", lambda x, w, k: ranked(cosine(x, w), None, k)),
    (
        "the first left out, whoever it is",
        lambda x, w, k: ranked(cosine(x, w), None, k + 1)[1:],
    ),
    (
        "the first left out, from the other side",
        lambda x, w, k: [(i, cosine(x, w)[i]) for i in cosine(x, w).argsort(kind="stable")[-2 : -k - 2 : -1]],
    ),
    ("products instead of cosines", lambda x, w, k: ranked(x @ x[w], w, k)),
    (
        "divided by one length",
        lambda x, w, k: ranked(cosine(x, w) * np.sqrt((x[w] ** 2).sum()), w, k),
    ),
    (
        "divided by the word's own length",
        lambda x, w, k: ranked(np.dot(x, x[w] / np.sqrt((x[w] ** 2).sum())), w, k),
    ),
    ("distances", lambda x, w, k: ranked(np.sqrt(((x - x[w]) ** 2).sum(-1)), w, k, down=False)),
    ("the farthest words", lambda x, w, k: ranked(cosine(x, w), w, k, down=False)),
    (
        "NaN for a vector of zeros",
        lambda x, w, k: ranked(x @ x[w] / np.linalg.norm(x, axis=-1) / np.linalg.norm(x[w]), w, k),
    ),
    ("the sign is lost", lambda x, w, k: ranked(abs(cosine(x, w)), w, k)),
    ("cosine before word", lambda x, w, k: [pair[::-1] for pair in near_by_loops(x, w, k)]),
    ("one too many", lambda x, w, k: near_by_loops(x, w, k + 1)),
    ("in the order of the words", lambda x, w, k: sorted(near_by_loops(x, w, k), key=lambda pair: pair[0])),
    (None, lambda x, w, k: [i for i, _ in near_by_loops(x, w, k)]),
    (None, lambda x, w, k: near_by_loops(x, w, k - 1)),
    (None, lambda x, w, k: [(i + 1, c) for i, c in near_by_loops(x, w, k)]),
    (None, lambda x, w, k: [(i, 1 - c) for i, c in near_by_loops(x, w, k)]),
    (None, lambda x, w, k: [(i, round(c, 2)) for i, c in near_by_loops(x, w, k)]),
    (None, lambda x, w, k: np.float16(near_by_loops(x, w, k))),
]

# ------------------------------------------------------------------------------------ negative sampling loss


def scores_of(c, x, n):
    return torch.einsum("bd,bd->b", c, x), torch.einsum("bd,bkd->bk", c, n)


def loss_by_loops(c, x, n):
    losses = []
    for centre, context, drawn in zip(c, x, n, strict=True):
        loss = -F.logsigmoid(centre @ context)
        for other in drawn:
            loss = loss - F.logsigmoid(-(other @ centre))
        losses.append(loss)
    return sum(losses) / len(losses)


def loss_by_cross_entropy(c, x, n):
    right, wrong = scores_of(c, x, n)
    scores = torch.cat([right[:, None], wrong], 1)
    target = torch.zeros_like(scores)
    target[:, 0] = 1
    return F.binary_cross_entropy_with_logits(scores, target, reduction="sum") / len(c)


def loss_by_logaddexp(c, x, n):
    right, wrong = scores_of(c, x, n)
    zero = torch.zeros((), dtype=c.dtype)
    return torch.logaddexp(zero, -right).mean() + torch.logaddexp(zero, wrong).sum() / len(wrong)


def loss_by_product(c, x, n):
    words = torch.cat([x[:, None], -n], dim=1)
    return -F.logsigmoid((words @ c.unsqueeze(-1)).squeeze(-1)).sum(1).mean(0)


def loss(c, x, n, log=F.logsigmoid, other=None, end=lambda right, wrong: -(right + wrong.sum(1)).mean()):
    right, wrong = scores_of(c, x, n)
    return end(log(right), log(-wrong) if other is None else other(wrong))


def log_of_sigmoid(scores):
    return torch.log(1 / (1 + torch.exp(-scores)))


def softmax_loss(c, x, n):
    words = torch.cat([x[:, None], n], 1)
    return F.cross_entropy((words * c[:, None]).sum(-1), torch.zeros(len(c), dtype=torch.long))


RIGHT["01_tokens/negative_sampling_loss"] = [
    loss_by_loops,
    loss_by_cross_entropy,
    loss_by_logaddexp,
    loss_by_product,
    lambda c, x, n: loss(c, x, n, log=lambda s: -F.softplus(-s)),
    lambda c, x, n: loss(c, x, n, log=lambda s: torch.clamp(s, max=0) - torch.log1p(torch.exp(-abs(s)))),
]
WRONG["01_tokens/negative_sampling_loss"] = [
    ("log of a sigmoid", lambda c, x, n: loss(c, x, n, log=lambda s: torch.log(torch.sigmoid(s)))),
    ("log of 1 minus a sigmoid", lambda c, x, n: loss(c, x, n, other=lambda s: torch.log(1 - s.sigmoid()))),
    (
        "both logarithms taken late",
        lambda c, x, n: loss(c, x, n, log=log_of_sigmoid, other=lambda s: torch.log(1 - torch.sigmoid(s))),
    ),
    ("mean over the negatives", lambda c, x, n: loss(c, x, n, end=lambda r, w: -r.mean() - w.mean())),
    ("sum over the pairs", lambda c, x, n: loss(c, x, n, end=lambda r, w: -r.sum() - w.sum())),
    (
        "mean over everything",
        lambda c, x, n: loss(c, x, n, end=lambda r, w: -torch.cat([r[:, None], w], 1).mean()),
    ),
    ("one loss for each pair", lambda c, x, n: loss(c, x, n, end=lambda r, w: -r - w.sum(1))),
    ("negatives as if they were right", lambda c, x, n: loss(c, x, n, other=F.logsigmoid)),
    ("negatives forgotten", lambda c, x, n: -F.logsigmoid((c * x).sum(1)).mean()),
    ("the right pair forgotten", lambda c, x, n: loss(c, x, n, end=lambda r, w: -w.sum(1).mean())),
    ("sign forgotten", lambda c, x, n: loss(c, x, n, end=lambda r, w: (r + w.sum(1)).mean())),
    ("no logarithm", lambda c, x, n: loss(c, x, n, log=torch.sigmoid)),
    ("softmax instead of sigmoids", softmax_loss),
    ("negatives of all pairs", lambda c, x, n: loss(c, x, n.reshape(1, -1, c.shape[1]).repeat(len(c), 1, 1))),
    ("cosines instead of products", lambda c, x, n: loss(*(F.normalize(y, dim=-1) for y in (c, x, n)))),
    ("the context meets the negatives", lambda c, x, n: loss(x, c, n)),
    (None, lambda c, x, n: loss(c, x, n, log=lambda s: torch.log(torch.sigmoid(s) + 1e-9))),
    (None, lambda c, x, n: loss(c, x, n).item()),
    (None, lambda c, x, n: loss(c.detach(), x, n)),
    (None, lambda c, x, n: loss(c, x, n, log=lambda s: F.logsigmoid(s.clamp(-50, 50)))),
    (None, lambda c, x, n: loss(c / math.sqrt(c.shape[1]), x, n)),
    (None, lambda c, x, n: loss(c, x, n[:, :1])),
]
