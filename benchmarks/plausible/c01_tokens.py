"""Plausible answers to the tasks of 01_tokens, written from the texts of the exercises alone."""

import collections
import functools
import itertools
import operator

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist
from scipy.special import expit, log_expit
from sklearn.metrics.pairwise import cosine_similarity

from plausible import Answers

of = Answers("01_tokens")
right, wrong = of.right, of.wrong

# ------------------------------------------------------------------------------------------------ count pairs


@right("count_pairs", "functools.reduce over one-word counters")
def _(words):
    parts = [collections.Counter(list(itertools.pairwise(w)) * n) for w, n in words.items()]
    return dict(functools.reduce(operator.add, parts, collections.Counter()))


@right("count_pairs", "np.unique of numbered pairs, NumPy's counts")
def _(words):
    rows = [pair for word, n in words.items() for pair in itertools.pairwise(word) for _ in range(n)]
    names = sorted(set(rows))
    numbers, counts = np.unique([names.index(row) for row in rows], return_counts=True)
    return {names[int(i)]: count for i, count in zip(numbers, counts, strict=True)}


@wrong("count_pairs", "adds 1 for each place", "each word once")
def _(words):
    counts = collections.defaultdict(int)
    for word in words:
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += 1
    return counts


@wrong("count_pairs", "only the most common pair")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] += n
    return counts.most_common(1)


@wrong("count_pairs", "right before left")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for pair in zip(word[1:], word[:-1], strict=True):
            counts[pair] += n
    return counts


# ------------------------------------------------------------------------------------------------- merge pair


@right("merge_pair", "an iterator that looks one token ahead")
def _(tokens, pair):
    out, rest = [], iter(range(len(tokens)))
    for i in rest:
        if tokens[i] == pair[0] and tokens[i + 1 : i + 2] == [pair[1]]:
            out.append(b"".join(pair))
            next(rest)
        else:
            out.append(tokens[i])
    return out


@right("merge_pair", "a copy that is shortened with pop")
def _(tokens, pair):
    tokens = tokens.copy()
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i] = pair[0] + pair[1]
            tokens.pop(i + 1)
        i += 1
    return tokens


@wrong("merge_pair", "skips nothing and checks the token before", "the left half stays")
def _(tokens, pair):
    return [b + a if (b, a) == pair else a for b, a in zip([b"", *tokens], tokens, strict=False)]


@wrong("merge_pair", "removes while it iterates")
def _(tokens, pair):
    for i, token in enumerate(tokens):
        if (token, *tokens[i + 1 : i + 2]) == pair:
            tokens[i] = b"".join(pair)
            del tokens[i + 1]
    return tokens


# ----------------------------------------------------------------------------------------------- train merges


def pair_counts(rows):
    counts = collections.Counter()
    for tokens, n in rows:
        for pair in itertools.pairwise(tokens):
            counts[pair] += n
    return counts


def glue(tokens, pair):
    out = []
    for token in tokens:
        out.append(token)
        if len(out) > 1 and (out[-2], out[-1]) == pair:
            out[-2:] = [(out[-2] + out[-1],)]  # in a tuple, so that it is not merged again at once
    return [token[0] if isinstance(token, tuple) else token for token in out]


@right("train_merges", "stable sorts, the least important first")
def _(words, n_merges):
    order = [bytes([b]) for b in range(256)]
    rows, learned = [(w, n) for w, n in words.items()], []
    for _ in range(n_merges):
        items = list(pair_counts(rows).items())
        items.sort(key=lambda item: order.index(item[0][1]))
        items.sort(key=lambda item: order.index(item[0][0]))
        items.sort(key=lambda item: item[1], reverse=True)
        for pair, _n in items[:1]:
            learned += [pair]
            order += [pair[0] + pair[1]]
            rows = [(glue(tokens, pair), n) for tokens, n in rows]
    return iter(learned)


@right("train_merges", "an endless loop with two ways out")
def _(words, n_merges):
    number = dict(zip((bytes([b]) for b in range(256)), itertools.count()))
    rows, learned = [[list(w), n] for w, n in words.items()], []
    while True:
        counts = pair_counts(rows)
        if len(learned) == n_merges or not sum(counts.values()):
            return learned
        key = {pair: (n, -number[pair[0]], -number[pair[1]]) for pair, n in counts.items()}
        pair = sorted(key, key=key.get)[-1]
        learned.append(pair)
        number.setdefault(pair[0] + pair[1], len(number))
        for row in rows:
            row[0] = glue(row[0], pair)


@wrong("train_merges", "most_common(1) of a Counter", "of equals the one seen first")
def _(words, n_merges):
    rows, learned = [(list(w), n) for w, n in words.items()], []
    for _ in range(n_merges):
        counts = pair_counts(rows)
        if not counts:
            break
        learned.append(counts.most_common(1)[0][0])
        rows = [(glue(tokens, learned[-1]), n) for tokens, n in rows]
    return learned


@wrong("train_merges", "of equals the longest token")
def _(words, n_merges):
    rows, learned = [(list(w), n) for w, n in words.items()], []
    for _ in range(n_merges):
        counts = pair_counts(rows)
        if not counts:
            break
        learned.append(max(counts, key=lambda p: (counts[p], len(p[0] + p[1]))))
        rows = [(glue(tokens, learned[-1]), n) for tokens, n in rows]
    return learned


@wrong("train_merges", "words are never merged", "nothing merged")
def _(words, n_merges):
    rows, learned = [(list(w), n) for w, n in words.items()], []
    for _ in range(n_merges):
        counts = pair_counts(rows)
        if counts:
            learned.append(max(counts, key=counts.get))
    return learned


@wrong("train_merges", "the new tokens are returned with their numbers")
def _(words, n_merges):
    rows, learned = [(list(w), n) for w, n in words.items()], {}
    for i in range(n_merges):
        counts = pair_counts(rows)
        if counts:
            pair = min(counts, key=lambda p: (-counts[p], p))
            learned[b"".join(pair)] = 256 + i
            rows = [(glue(tokens, pair), n) for tokens, n in rows]
    return learned


# ----------------------------------------------------------------------------------------------------- encode


@right("encode", "enumerate over neighbours, min of (rank, place)")
def _(text, ranks):
    tokens = [bytes((b,)) for b in bytes(text, "utf8")]
    while True:
        found = [(ranks[p], i) for i, p in enumerate(itertools.pairwise(tokens)) if p in ranks]
        if not found:
            break
        _rank, i = min(found)
        tokens = [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]
    return tokens


@right("encode", "all merges in order, skipping those that cannot fit")
def _(text, ranks):
    tokens = list(map(bytes, zip(text.encode(), strict=True)))
    for pair, _ in sorted(ranks.items(), key=lambda item: item[1]):
        if pair[0] in tokens and pair[1] in tokens:
            tokens = glue(tokens, pair)
    return tuple(tokens)


@wrong("encode", "the shortest merged token first")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    while True:
        known = [p for p in itertools.pairwise(tokens) if p in ranks]
        if not known:
            return tokens
        tokens = glue(tokens, min(known, key=lambda p: len(p[0] + p[1])))


@wrong("encode", "the pair that occurs most often in the text", "the commonest pair first")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    while True:
        known = collections.Counter(p for p in itertools.pairwise(tokens) if p in ranks)
        if not known:
            return tokens
        tokens = glue(tokens, known.most_common(1)[0][0])


@wrong("encode", "str instead of bytes: no pair is ever found")
def _(text, ranks):
    tokens = list(text)
    while True:
        known = [p for p in itertools.pairwise(tokens) if p in ranks]
        if not known:
            return tokens
        tokens = glue(tokens, min(known, key=ranks.get))


# ----------------------------------------------------------------------------------------------------- decode


@right("decode", "functools.reduce and str()")
def _(tokens):
    return str(functools.reduce(operator.add, tokens, b""), encoding="utf-8", errors="replace")


@right("decode", "NumPy's frombuffer and tobytes")
def _(tokens):
    parts = [np.frombuffer(token, dtype=np.uint8) for token in tokens] or [np.zeros(0, np.uint8)]
    return np.concatenate(parts).tobytes().decode("utf-8", "replace")


@wrong("decode", "one replacement character for everything")
def _(tokens):
    try:
        return b"".join(tokens).decode()
    except UnicodeDecodeError:
        return "\ufffd"


@wrong("decode", "the empty text where it is invalid")
def _(tokens):
    try:
        return b"".join(tokens).decode()
    except UnicodeDecodeError:
        return ""


@wrong("decode", "Windows' code page", "one letter for each byte")
def _(tokens):
    return b"".join(tokens).decode("cp1252", errors="replace")


@wrong("decode", "str of the joined bytes")
def _(tokens):
    return str(b"".join(tokens))


# ---------------------------------------------------------------------------------------------- longest match


@right("longest_match", "removes letters from the end of a deque")
def _(word, vocab):
    pieces, rest = [], word
    while rest:
        tried = collections.deque(rest)
        while tried and ("##" * bool(pieces) + "".join(tried)) not in vocab:
            tried.pop()
        if not tried:
            return ["[UNK]"]
        pieces.append("##" * bool(pieces) + "".join(tried))
        rest = rest[len(tried) :]
    return pieces


@right("longest_match", "two vocabularies: beginnings and continuations")
def _(word, vocab):
    first = {p for p in vocab if not p.startswith("##")}
    others = {p[2:] for p in vocab if p.startswith("##")}
    pieces, at = [], 0
    while at < len(word):
        known = others if at else first
        lengths = [n for n in range(1, len(word) - at + 1) if word[at : at + n] in known]
        if not lengths:
            return ["[UNK]"]
        pieces.append(("##" if at else "") + word[at : at + max(lengths)])
        at += max(lengths)
    return np.array(pieces)


@wrong("longest_match", "one [UNK] for each piece that was not found")
def _(word, vocab):
    return [letter if letter in vocab else "[UNK]" for letter in word]


@wrong("longest_match", "the longest piece anywhere in the word")
def _(word, vocab):
    inside = [p.removeprefix("##") for p in vocab if p.removeprefix("##") in word]
    return [max(inside, key=len)] if inside else ["[UNK]"]


# ------------------------------------------------------------------------------------------ tokenizer at work


def pieces_of(word, ranks):
    tokens = [bytes([b]) for b in word.encode()]
    while True:
        known = [p for p in itertools.pairwise(tokens) if p in ranks]
        if not known:
            return tokens
        tokens = glue(tokens, min(known, key=ranks.get))


@right("tokenizer_at_work", "a function for one word and map")
def _(words, ranks, ids, special):
    def one(word):
        return (special[word],) if word in special else tuple(ids[p] for p in pieces_of(word, ranks))

    return sum(map(one, words), ())


@right("tokenizer_at_work", "special words written into the table of tokens first")
def _(words, ranks, ids, special):
    table = ids | special
    tokens = [t for word in words for t in ([word] if word in special else pieces_of(word, ranks))]
    return [table[token] for token in tokens]


@wrong("tokenizer_at_work", "the whole word is looked up")
def _(words, ranks, ids, special):
    return [special.get(word, ids.get(word.encode(), 0)) for word in words]


@wrong("tokenizer_at_work", "a space between the words", "spaces taken off")
def _(words, ranks, ids, special):
    return [ids[p] for word in " ".join(words).split() for p in pieces_of(word, ranks)]


@wrong("tokenizer_at_work", "the ids as a text")
def _(words, ranks, ids, special):
    numbers = []
    for word in words:
        numbers += [special[word]] if word in special else [ids[p] for p in pieces_of(word, ranks)]
    return " ".join(map(str, numbers))


# ------------------------------------------------------------------------------------------------------- ppmi


@right("ppmi", "shares, np.outer, np.errstate and nan_to_num")
def _(counts):
    p = counts / counts.sum()
    with np.errstate(all="ignore"):
        pmi = np.log(p / np.outer(p.sum(1), p.sum(0)))
    return np.clip(np.nan_to_num(pmi, nan=0, neginf=0), 0, None)


@right("ppmi", "torch, log clamped from below")
def _(counts):
    n = torch.from_numpy(np.array(counts, dtype=np.float64))
    rows, columns = n.sum(1, keepdim=True).clamp(min=1), n.sum(0, keepdim=True).clamp(min=1)
    return torch.relu(torch.log((n * n.sum() / rows / columns).clamp(min=1e-12)))


@wrong("ppmi", "contexts smoothed with the power 0.75", "rare contexts smoothed")
def _(counts):
    columns = counts.sum(0) ** 0.75
    by_chance = np.outer(counts.sum(1), columns / columns.sum())
    ratio = counts / np.where(by_chance > 0, by_chance, 1)
    return np.log(np.maximum(ratio, 1))


@wrong("ppmi", "a tiny number added within the logarithm, negative values stay")
def _(counts):
    p = counts / counts.sum()
    return np.log(p / (np.outer(p.sum(1), p.sum(0)) + 1e-9) + 1e-9)


@wrong("ppmi", "sum over the wrong axis for each")
def _(counts):
    n = counts.astype(float)
    by_chance = n.sum(0)[:, None] * n.sum(1)[None]
    return np.maximum(np.nan_to_num(np.log(n * n.sum() / by_chance)), 0)


# ------------------------------------------------------------------------------------------------- neighbours


@right("neighbours", "scikit-learn's cosine_similarity")
def _(vectors, word, k):
    values = cosine_similarity(vectors[[word]], vectors)[0]
    values[word] = -np.inf
    best = np.argsort(values)[::-1][:k]
    return list(zip(best, values[best], strict=True))


@right("neighbours", "torch's cosine_similarity, sorted with a key")
def _(vectors, word, k):
    x = torch.tensor(vectors)
    values = F.cosine_similarity(x, x[word : word + 1]).tolist()
    others = [(i, value) for i, value in enumerate(values) if i != word]
    return sorted(others, key=operator.itemgetter(1), reverse=True)[:k]


@wrong("neighbours", "scipy's cosine distance")
def _(vectors, word, k):
    away = np.nan_to_num(cdist(vectors, vectors[[word]], "cosine")[:, 0], nan=1)
    return [(i, away[i]) for i in np.argsort(away) if i != word][:k]


@wrong("neighbours", "the word's row deleted, numbers shifted")
def _(vectors, word, k):
    others = np.delete(vectors, word, axis=0)
    values = others @ vectors[word] / (np.linalg.norm(others, axis=1) * np.linalg.norm(vectors[word]) + 1e-12)
    return [(i, values[i]) for i in np.argsort(-values)[:k]]


# ------------------------------------------------------------------------------------- negative sampling loss


@right("negative_sampling_loss", "bmm and squeeze, as in many repositories")
def _(centres, contexts, negatives):
    positive = F.logsigmoid(torch.sum(centres * contexts, dim=1))
    negative = F.logsigmoid(-torch.bmm(negatives, centres.unsqueeze(2)).squeeze(2)).sum(1)
    return -(positive + negative).mean()


@right("negative_sampling_loss", "softplus")
def _(centres, contexts, negatives):
    good = torch.einsum("bd,bd->b", centres, contexts)
    bad = torch.einsum("bd,bkd->bk", centres, negatives)
    return F.softplus(-good).mean() + F.softplus(bad).sum(-1).mean()


@wrong("negative_sampling_loss", "NumPy and scipy: no gradients")
def _(centres, contexts, negatives):
    c, x, n = (y.detach().numpy() for y in (centres, contexts, negatives))
    return -(log_expit((c * x).sum(-1)) + log_expit(-(n * c[:, None]).sum(-1)).sum(-1)).mean()


@wrong("negative_sampling_loss", "binary cross-entropy of sigmoids")
def _(centres, contexts, negatives):
    good = torch.sigmoid((centres * contexts).sum(1))
    bad = torch.sigmoid((negatives * centres[:, None]).sum(-1))
    cross = F.binary_cross_entropy
    return cross(good, torch.ones_like(good)) + cross(bad, torch.zeros_like(bad)) * negatives.shape[1]


@wrong("negative_sampling_loss", "the negatives are summed before the score")
def _(centres, contexts, negatives):
    good = (centres * contexts).sum(1)
    bad = (negatives.sum(1) * centres).sum(1)
    return -(F.logsigmoid(good) + F.logsigmoid(-bad)).mean()


@wrong("negative_sampling_loss", "a Python number, by scipy's expit")
def _(centres, contexts, negatives):
    good = expit((centres * contexts).sum(1).detach().numpy())
    return float(-np.log(good).mean())
