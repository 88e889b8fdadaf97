"""A pool of answers to the tasks of 01_tokens, written from the texts of the exercises alone. See `pool`."""

import bisect
import collections
import functools
import heapq
import itertools
import math
import operator
import re

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from scipy.spatial.distance import cdist
from scipy.special import expit, log_expit
from sklearn.metrics.pairwise import cosine_similarity

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ------------------------------------------------------------------------------------------------ count pairs


@right("count_pairs", "setdefault in two loops over indices")
def _(words):
    table = {}
    for word in words:
        for i in range(1, len(word)):
            table.setdefault((word[i - 1], word[i]), 0)
            table[(word[i - 1], word[i])] += words[word]
    return table


@right("count_pairs", "Counter.update with a dictionary for each word")
def _(words):
    total = collections.Counter()
    for word, n in words.items():
        inside = collections.Counter(map(tuple, itertools.pairwise(word)))
        total.update({pair: n * k for pair, k in inside.items()})
    return total


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


@right("count_pairs", "a nested defaultdict, flattened at the end")
def _(words):
    after = collections.defaultdict(lambda: collections.defaultdict(int))
    for word, n in words.items():
        for left, right_one in itertools.pairwise(word):
            after[left][right_one] += n
    return {(left, r): n for left, row in after.items() for r, n in row.items()}


@wrong("count_pairs", "adds 1 for each place")
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


@wrong("count_pairs", "shares instead of counts")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] += n
    return {pair: n / counts.total() for pair, n in counts.items()}


@wrong("count_pairs", "right before left")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for pair in zip(word[1:], word[:-1], strict=True):
            counts[pair] += n
    return counts


@wrong("count_pairs", "triples")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for i in range(len(word) - 2):
            counts[word[i : i + 3]] += n
    return counts


@wrong("count_pairs", "numbers of the bytes as keys")
def _(words):
    counts = collections.Counter()
    for word, n in words.items():
        for pair in itertools.pairwise(b"".join(word)):
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


@right("merge_pair", "a flag that skips the next token")
def _(tokens, pair):
    left, r = pair
    skip, out = False, []
    for here, after in itertools.zip_longest(tokens, tokens[1:]):
        if skip:
            skip = False
        elif here == left and after == r:
            out.append(left + r)
            skip = True
        else:
            out.append(here)
    return tuple(out)


@right("merge_pair", "list.index, again and again")
def _(tokens, pair):
    out, rest = [], list(tokens)
    while pair[0] in rest:
        i = rest.index(pair[0])
        out += rest[:i]
        if rest[i + 1 : i + 2] == [pair[1]]:
            out, rest = [*out, pair[0] + pair[1]], rest[i + 2 :]
        else:
            out, rest = [*out, pair[0]], rest[i + 1 :]
    return out + rest


@wrong("merge_pair", "splits the joined bytes at the joined pair")
def _(tokens, pair):
    both = b"".join(pair)
    return [part for part in re.split(b"(" + re.escape(both) + b")", b"".join(tokens)) if part]


@wrong("merge_pair", "pairs every two tokens")
def _(tokens, pair):
    out = []
    for i in range(0, len(tokens), 2):
        both = tuple(tokens[i : i + 2])
        out += [both[0] + both[1]] if both == pair else both
    return out


@wrong("merge_pair", "skips nothing and checks the token before")
def _(tokens, pair):
    return [b + a if (b, a) == pair else a for b, a in zip([b"", *tokens], tokens, strict=False)]


@wrong("merge_pair", "removes while it iterates")
def _(tokens, pair):
    for i, token in enumerate(tokens):
        if (token, *tokens[i + 1 : i + 2]) == pair:
            tokens[i] = b"".join(pair)
            del tokens[i + 1]
    return tokens


@wrong("merge_pair", "the merged token at the end of the list")
def _(tokens, pair):
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == pair:
            return [*tokens[:i], *tokens[i + 2 :], pair[0] + pair[1]]
    return tokens


@wrong("merge_pair", "IndexError at the last token")
def _(tokens, pair):
    out, i = [], 0
    while i < len(tokens):
        if tokens[i] == pair[0] and tokens[i + 1] == pair[1]:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out


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


@right("train_merges", "a vocabulary in a list, of which index gives the number")
def _(words, n_merges):
    vocabulary = [bytes([b]) for b in range(256)]
    rows = [(list(word), n) for word, n in words.items()]
    learned = []
    for _ in range(n_merges):
        counts = pair_counts(rows)
        if not counts:
            return learned
        top = max(counts.values())
        tied = [pair for pair, n in counts.items() if n == top]
        tied.sort(key=lambda pair: [vocabulary.index(token) for token in pair])
        learned.append(tied[0])
        vocabulary.append(tied[0][0] + tied[0][1])
        rows = [(glue(tokens, tied[0]), n) for tokens, n in rows]
    return learned


@right("train_merges", "a heap of counts and numbers")
def _(words, n_merges):
    number = {bytes([b]): b for b in range(256)}
    rows = [(list(word), n) for word, n in words.items()]
    learned = []
    while len(learned) < n_merges:
        heap = [(-n, number[a], number[b], (a, b)) for (a, b), n in pair_counts(rows).items()]
        if not heap:
            break
        heapq.heapify(heap)
        pair = heap[0][-1]
        learned.append(pair)
        number[b"".join(pair)] = 255 + len(learned)
        rows = [(glue(tokens, pair), n) for tokens, n in rows]
    return learned


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


@wrong("train_merges", "most_common(1) of a Counter")
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


@wrong("train_merges", "the numbers of a pair added up")
def _(words, n_merges):
    number = {bytes([b]): b for b in range(256)}
    rows, learned = [(list(w), n) for w, n in words.items()], []
    for _ in range(n_merges):
        counts = pair_counts(rows)
        if not counts:
            break
        learned.append(min(counts, key=lambda p: (-counts[p], number[p[0]] + number[p[1]])))
        number[b"".join(learned[-1])] = len(number)
        rows = [(glue(tokens, learned[-1]), n) for tokens, n in rows]
    return learned


@wrong("train_merges", "words are never merged")
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


@right("encode", "minbpe's way: a dictionary of counts, min with infinity")
def _(text, ranks):
    tokens = [text.encode("utf-8")[i : i + 1] for i in range(len(text.encode("utf-8")))]
    while len(tokens) >= 2:
        stats = dict.fromkeys(itertools.pairwise(tokens))
        pair = min(stats, key=lambda p: ranks.get(p, math.inf))
        if pair not in ranks:
            break
        tokens = glue(tokens, pair)
    return tokens


@right("encode", "all merges in order, skipping those that cannot fit")
def _(text, ranks):
    tokens = list(map(bytes, zip(text.encode(), strict=True)))
    for pair, _ in sorted(ranks.items(), key=lambda item: item[1]):
        if pair[0] in tokens and pair[1] in tokens:
            tokens = glue(tokens, pair)
    return tuple(tokens)


@right("encode", "cut places in a sorted list")
def _(text, ranks):
    data = text.encode()
    cuts = list(range(len(data) + 1))
    while True:
        best = None
        for a, b, c in zip(cuts, cuts[1:], cuts[2:], strict=False):
            rank = ranks.get((data[a:b], data[b:c]))
            if rank is not None and (best is None or rank < best[0]):
                best = (rank, b)
        if best is None:
            return [data[a:b] for a, b in itertools.pairwise(cuts)]
        del cuts[bisect.bisect_left(cuts, best[1])]


@wrong("encode", "the shortest merged token first")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    while True:
        known = [p for p in itertools.pairwise(tokens) if p in ranks]
        if not known:
            return tokens
        tokens = glue(tokens, min(known, key=lambda p: len(p[0] + p[1])))


@wrong("encode", "the pair that occurs most often in the text")
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


@wrong("encode", "UTF-16")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.encode("utf-16-le")]
    for pair in ranks:
        tokens = glue(tokens, pair)
    return tokens


@wrong("encode", "merges spaces away first")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.replace(" ", "").encode()]
    for pair in ranks:
        tokens = glue(tokens, pair)
    return tokens


@wrong("encode", "only as many rounds as there are letters, halved")
def _(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    for _ in range(len(tokens) // 4):
        known = [p for p in itertools.pairwise(tokens) if p in ranks]
        if known:
            tokens = glue(tokens, min(known, key=ranks.get))
    return tokens


# ----------------------------------------------------------------------------------------------------- decode


@right("decode", "a bytearray that grows")
def _(tokens):
    data = bytearray()
    for token in tokens:
        data.extend(token)
    return data.decode(encoding="utf-8", errors="replace")


@right("decode", "functools.reduce and str()")
def _(tokens):
    return str(functools.reduce(operator.add, tokens, b""), encoding="utf-8", errors="replace")


@right("decode", "NumPy's frombuffer and tobytes")
def _(tokens):
    parts = [np.frombuffer(token, dtype=np.uint8) for token in tokens] or [np.zeros(0, np.uint8)]
    return np.concatenate(parts).tobytes().decode("utf-8", "replace")


@right("decode", "tries strictly first")
def _(tokens):
    data = b"".join(tokens)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace")


@wrong("decode", "one replacement character for everything")
def _(tokens):
    try:
        return b"".join(tokens).decode()
    except UnicodeDecodeError:
        return "\ufffd"


@wrong("decode", "a token that fails becomes a replacement character")
def _(tokens):
    out = ""
    for token in tokens:
        try:
            out += token.decode()
        except UnicodeDecodeError:
            out += "\ufffd"
    return out


@wrong("decode", "surrogateescape")
def _(tokens):
    return b"".join(tokens).decode(errors="surrogateescape")


@wrong("decode", "the empty text where it is invalid")
def _(tokens):
    try:
        return b"".join(tokens).decode()
    except UnicodeDecodeError:
        return ""


@wrong("decode", "Windows' code page")
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


@right("longest_match", "a regular expression with the longest alternatives first")
def _(word, vocab):
    def one_of(pieces):
        return "|".join(re.escape(p) for p in sorted(pieces, key=len, reverse=True)) or "(?!)"

    first = re.match(one_of([p for p in vocab if p[:2] != "##"]), word)
    if not first:
        return ["[UNK]"]
    pieces, at = [first[0]], first.end()
    following = re.compile(one_of([p[2:] for p in vocab if p[:2] == "##"]))
    while at < len(word):
        found = following.match(word, at)
        if not found:
            return ["[UNK]"]
        pieces.append("##" + found[0])
        at = found.end()
    return pieces


@right("longest_match", "BERT's own code, from memory")
def _(word, vocab):
    chars, is_bad, start, sub_tokens = list(word), False, 0, []
    while start < len(chars):
        end, cur = len(chars), None
        while start < end:
            substr = "".join(chars[start:end])
            if start > 0:
                substr = "##" + substr
            if substr in vocab:
                cur = substr
                break
            end -= 1
        if cur is None:
            is_bad = True
            break
        sub_tokens.append(cur)
        start = end
    return ["[UNK]"] if is_bad else sub_tokens


@wrong("longest_match", "## looked up with a space")
def _(word, vocab):
    pieces, at = [], 0
    while at < len(word):
        for end in range(len(word), at, -1):
            piece = ("## " if at else "") + word[at:end]
            if piece in vocab:
                pieces.append(piece)
                at = end
                break
        else:
            return ["[UNK]"]
    return pieces


@wrong("longest_match", "one [UNK] for each piece that was not found")
def _(word, vocab):
    return [letter if letter in vocab else "[UNK]" for letter in word]


@wrong("longest_match", "the longest piece anywhere in the word")
def _(word, vocab):
    inside = [p.removeprefix("##") for p in vocab if p.removeprefix("##") in word]
    return [max(inside, key=len)] if inside else ["[UNK]"]


@wrong("longest_match", "loses the last piece")
def _(word, vocab):
    pieces, at = [], 0
    while at < len(word) - 1:
        for end in range(len(word), at, -1):
            if ("##" if at else "") + word[at:end] in vocab:
                pieces.append(("##" if at else "") + word[at:end])
                at = end
                break
        else:
            return ["[UNK]"]
    return pieces


@wrong("longest_match", "[UNK] at the end of what was found, marked")
def _(word, vocab):
    pieces, at = [], 0
    while at < len(word):
        for end in range(len(word), at, -1):
            if ("##" if at else "") + word[at:end] in vocab:
                pieces.append(("##" if at else "") + word[at:end])
                at = end
                break
        else:
            return [*pieces, "##[UNK]"]
    return pieces


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


@right("tokenizer_at_work", "a cache with functools, a torch tensor")
def _(words, ranks, ids, special):
    @functools.cache
    def cut(word):
        return [ids[p] for p in pieces_of(word, ranks)]

    numbers = []
    for word in words:
        numbers.extend([special[word]] if word in special else cut(word))
    return torch.tensor(numbers, dtype=torch.long)


@right("tokenizer_at_work", "KeyError as the way to the others")
def _(words, ranks, ids, special):
    numbers = []
    for word in words:
        try:
            numbers.append(special[word])
        except KeyError:
            numbers.extend(map(ids.__getitem__, pieces_of(word, ranks)))
    return numbers


@wrong("tokenizer_at_work", "the whole word is looked up")
def _(words, ranks, ids, special):
    return [special.get(word, ids.get(word.encode(), 0)) for word in words]


@wrong("tokenizer_at_work", "a space between the words")
def _(words, ranks, ids, special):
    return [ids[p] for word in " ".join(words).split() for p in pieces_of(word, ranks)]


@wrong("tokenizer_at_work", "special words at the front")
def _(words, ranks, ids, special):
    front = [special[word] for word in words if word in special]
    return front + [ids[p] for word in words if word not in special for p in pieces_of(word, ranks)]


@wrong("tokenizer_at_work", "the ids as a text")
def _(words, ranks, ids, special):
    numbers = []
    for word in words:
        numbers += [special[word]] if word in special else [ids[p] for p in pieces_of(word, ranks)]
    return " ".join(map(str, numbers))


@wrong("tokenizer_at_work", "ids before ranks in the call")
def _(words, ids, ranks, special):
    return [special[w] if w in special else ids[p] for w in words for p in pieces_of(w, ranks)]


# ------------------------------------------------------------------------------------------------------- ppmi


@right("ppmi", "shares, np.outer, np.errstate and nan_to_num")
def _(counts):
    p = counts / counts.sum()
    with np.errstate(all="ignore"):
        pmi = np.log(p / np.outer(p.sum(1), p.sum(0)))
    return np.clip(np.nan_to_num(pmi, nan=0, neginf=0), 0, None)


@right("ppmi", "np.log with out and where")
def _(counts):
    n = counts.astype(float)
    expected = n.sum(1, keepdims=True) @ n.sum(0, keepdims=True) / n.sum()
    ratio = np.divide(n, expected, out=np.ones_like(n), where=n > 0)
    return np.log(ratio, out=np.zeros_like(n), where=ratio > 1)


@right("ppmi", "a list of lists, by max and math.log")
def _(counts):
    table = [[float(n) for n in row] for row in counts]
    columns = [sum(column) for column in zip(*table, strict=True)]
    total = sum(columns)
    return [
        [max(0, math.log(n * total / sum(row) / columns[j])) if n else 0 for j, n in enumerate(row)]
        for row in table
    ]


@right("ppmi", "torch, log clamped from below")
def _(counts):
    n = torch.from_numpy(np.array(counts, dtype=np.float64))
    rows, columns = n.sum(1, keepdim=True).clamp(min=1), n.sum(0, keepdim=True).clamp(min=1)
    return torch.relu(torch.log((n * n.sum() / rows / columns).clamp(min=1e-12)))


@wrong("ppmi", "clips the counts at 1 before the logarithm")
def _(counts):
    n = np.maximum(counts, 1)
    return np.maximum(np.log(n * n.sum() / np.outer(n.sum(1), n.sum(0))), 0)


@wrong("ppmi", "the mean in place of the sum")
def _(counts):
    with np.errstate(all="ignore"):
        pmi = np.log(counts * counts.mean() / np.outer(counts.sum(1), counts.sum(0)))
    return np.maximum(np.nan_to_num(pmi), 0)


@wrong("ppmi", "contexts smoothed with the power 0.75")
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


@wrong("ppmi", "brought to at most 1")
def _(counts):
    p = counts / counts.sum()
    pmi = np.nan_to_num(np.log(p / np.outer(p.sum(1), p.sum(0))), nan=0, neginf=0).clip(0)
    return pmi / pmi.max()


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


@right("neighbours", "heapq.nlargest of a generator")
def _(vectors, word, k):
    def value(i):
        size = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[word])
        return float(np.dot(vectors[i], vectors[word]) / size) if size > 0 else 0.0

    return heapq.nlargest(k, ((i, value(i)) for i in range(len(vectors)) if i != word), key=lambda p: p[1])


@right("neighbours", "the word's row deleted, its number put back")
def _(vectors, word, k):
    others = np.delete(vectors, word, axis=0)
    numbers = np.delete(np.arange(len(vectors)), word)
    values = others @ vectors[word] / (np.linalg.norm(others, axis=1) * np.linalg.norm(vectors[word]) + 1e-12)
    best = np.argpartition(-values, k - 1)[:k]
    best = best[np.argsort(-values[best])]
    return np.stack([numbers[best], values[best]], axis=1)


@wrong("neighbours", "scipy's cosine distance")
def _(vectors, word, k):
    away = np.nan_to_num(cdist(vectors, vectors[[word]], "cosine")[:, 0], nan=1)
    return [(i, away[i]) for i in np.argsort(away) if i != word][:k]


@wrong("neighbours", "the word's row deleted, numbers shifted")
def _(vectors, word, k):
    others = np.delete(vectors, word, axis=0)
    values = others @ vectors[word] / (np.linalg.norm(others, axis=1) * np.linalg.norm(vectors[word]) + 1e-12)
    return [(i, values[i]) for i in np.argsort(-values)[:k]]


@wrong("neighbours", "words with the cosine 1 are left out")
def _(vectors, word, k):
    sizes = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[word])
    values = np.divide(vectors @ vectors[word], sizes, out=np.zeros(len(vectors)), where=sizes > 0)
    return [(i, values[i]) for i in np.argsort(-values) if values[i] < 0.9999][:k]


@wrong("neighbours", "lengths over the wrong axis")
def _(vectors, word, k):
    unit = vectors / np.linalg.norm(vectors, axis=0)
    values = unit @ unit[word]
    return [(i, values[i]) for i in np.argsort(-values) if i != word][:k]


@wrong("neighbours", "means taken off first: correlation")
def _(vectors, word, k):
    x = vectors - vectors.mean(1, keepdims=True)
    values = x @ x[word] / np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(x[word]), 1e-12)
    return [(i, values[i]) for i in np.argsort(-values) if i != word][:k]


@wrong("neighbours", "vectors of zeros are left out")
def _(vectors, word, k):
    values = vectors @ vectors[word] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[word])
    return [(i, values[i]) for i in np.argsort(-values) if i != word and not np.isnan(values[i])][:k]


# ------------------------------------------------------------------------------------ negative sampling loss


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


@right("negative_sampling_loss", "two binary cross-entropies")
def _(centres, contexts, negatives):
    good = (centres * contexts).sum(-1)
    bad = torch.matmul(negatives, centres[..., None])[..., 0]
    cross = F.binary_cross_entropy_with_logits
    return cross(good, torch.ones_like(good)) + cross(bad, torch.zeros_like(bad)) * negatives.shape[1]


@right("negative_sampling_loss", "nn.LogSigmoid in a loop over the negatives")
def _(centres, contexts, negatives):
    log = torch.nn.LogSigmoid()
    total = log((centres * contexts).sum(1))
    for j in range(negatives.size(1)):
        total = total + log((-negatives[:, j] * centres).sum(1))
    return -total.sum() / total.numel()


@wrong("negative_sampling_loss", "NumPy and scipy: no gradients")
def _(centres, contexts, negatives):
    c, x, n = (y.detach().numpy() for y in (centres, contexts, negatives))
    return -(log_expit((c * x).sum(-1)) + log_expit(-(n * c[:, None]).sum(-1)).sum(-1)).mean()


@wrong("negative_sampling_loss", "scores clamped to 10")
def _(centres, contexts, negatives):
    good = torch.clamp((centres * contexts).sum(1), -10, 10)
    bad = torch.clamp(torch.bmm(negatives, centres.unsqueeze(2)).squeeze(2), -10, 10)
    return (-F.logsigmoid(good) - F.logsigmoid(-bad).sum(1)).mean()


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


@wrong("negative_sampling_loss", "scaled by the square root of the width")
def _(centres, contexts, negatives):
    root = centres.shape[-1] ** 0.5
    good = (centres * contexts).sum(1) / root
    bad = (negatives * centres[:, None]).sum(-1) / root
    return -(F.logsigmoid(good) + F.logsigmoid(-bad).sum(1)).mean()


@wrong("negative_sampling_loss", "a margin instead of a logarithm")
def _(centres, contexts, negatives):
    good = (centres * contexts).sum(1, keepdim=True)
    bad = (negatives * centres[:, None]).sum(-1)
    return F.relu(1 - good + bad).sum(1).mean()


@wrong("negative_sampling_loss", "a Python number, by scipy's expit")
def _(centres, contexts, negatives):
    good = expit((centres * contexts).sum(1).detach().numpy())
    return float(-np.log(good).mean())
