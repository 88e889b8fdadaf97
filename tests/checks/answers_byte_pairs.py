"""Wrong and correct answers to the tasks of 01_tokens in plain Python, written as learners write them."""

import codecs
import re
from collections import Counter, defaultdict, deque
from itertools import chain, combinations, pairwise, repeat

import numpy as np

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------------ count pairs


def count_by_index(words, start=0, stop=1, step=1, add=True):
    counts = defaultdict(int)
    for word in words:
        for i in range(start, len(word) - stop, step):
            before = counts[(word[i], word[i + 1])] if add else 0
            counts[(word[i], word[i + 1])] = before + words[word]
    return counts


def count_without_overlap(words):
    counts = Counter()
    for word, n in words.items():
        last, i = None, 0
        while i + 1 < len(word):
            pair = (word[i], word[i + 1])
            skipped = pair == last
            if not skipped:
                counts[pair] += n
            last = None if skipped else pair
            i += 1
    return counts


RIGHT["01_tokens/count_pairs"] = [
    count_by_index,
    lambda words: Counter(
        chain.from_iterable(chain(*repeat(list(pairwise(w)), n)) for w, n in words.items())
    ),
    lambda words: sorted(count_by_index(words).items()),
    lambda words: {
        pair: np.sum([n * list(pairwise(w)).count(pair) for w, n in words.items()])
        for pair in {pair for w in words for pair in pairwise(w)}
    },
    lambda words: {(a, b): count_by_index(words)[a, b] for w in words for a in w for b in w},
    lambda words: count_by_index(words).items(),
]
WRONG["01_tokens/count_pairs"] = [
    ("each word once", lambda words: Counter(pair for word in words for pair in pairwise(word))),
    ("pairs across words", lambda words: Counter(pairwise(chain(*(w * n for w, n in words.items()))))),
    (
        "pairs without order",
        lambda words: sum(
            (Counter({(min(p), max(p)): n}) for w, n in words.items() for p in pairwise(w)), Counter()
        ),
    ),
    ("runs without overlap", count_without_overlap),
    (
        "a pair once in each word",
        lambda words: {
            pair: sum(n for w, n in words.items() if pair in list(pairwise(w)))
            for pair in {pair for w in words for pair in pairwise(w)}
        },
    ),
    ("every second pair", lambda words: count_by_index(words, step=2)),
    ("the last pair is missing", lambda words: count_by_index(words, stop=2)),
    (
        "joined tokens",
        lambda words: sum(
            (Counter({b"".join(p): n}) for w, n in words.items() for p in pairwise(w)), Counter()
        ),
    ),
    ("single tokens", lambda words: Counter(chain.from_iterable(w * n for w, n in words.items()))),
    (
        "any two tokens",
        lambda words: Counter(
            pair for w, n in words.items() for _ in range(n) for pair in combinations(w, 2)
        ),
    ),
    (
        "the end meets the beginning",
        lambda words: Counter(
            (w[i - 1], w[i]) for w, n in words.items() for _ in range(n) for i in range(len(w))
        ),
    ),
    ("set instead of added", lambda words: count_by_index(words, add=False)),
    (None, lambda words: sum(count_by_index(words).values())),
    (None, lambda words: count_by_index(words, start=1)),
    (None, lambda words: {pair: n + 1 for pair, n in count_by_index(words).items()}),
    (None, lambda words: set(count_by_index(words))),
    (None, lambda words: [words.popitem() for _ in range(len(words))] and {}),
]

# ------------------------------------------------------------------------------------------------- merge pair


def merge_by_stack(tokens, pair):
    """A merged token is fresh: it takes no part in another merge."""
    out, fresh = [], True
    for token in tokens:
        if not fresh and (out[-1], token) == tuple(pair):
            out[-1] += token
            fresh = True
        else:
            out.append(token)
            fresh = False
    return out


def merge_by_recursion(tokens, pair):
    if len(tokens) < 2:
        return tuple(tokens)
    if tokens[0] == pair[0] and tokens[1] == pair[1]:
        return (pair[0] + pair[1], *merge_by_recursion(tokens[2:], pair))
    return (tokens[0], *merge_by_recursion(tokens[1:], pair))


def merge_by_generator(tokens, pair):
    rest = deque(tokens)
    while rest:
        token = rest.popleft()
        if rest and (token, rest[0]) == (pair[0], pair[1]):
            token += rest.popleft()
        yield token


def merge_in_a_copy(tokens, pair):
    tokens = list(tokens)
    for i in range(len(tokens)):
        if tokens[i : i + 2] == list(pair):
            tokens[i : i + 2] = [pair[0] + pair[1]]
    return tokens


def merge_by_letters(tokens, pair):
    """Each token as one character, then a regular expression."""
    code = {token: chr(0x100 + i) for i, token in enumerate(dict.fromkeys([*tokens, *pair]))}
    name = {letter: token for token, letter in code.items()}
    text = re.sub(code[pair[0]] + code[pair[1]], "\n", "".join(code[token] for token in tokens))
    return [name.get(letter, pair[0] + pair[1]) for letter in text]


def merge_in_place(tokens, pair):
    tokens[:] = merge_by_stack(tokens, pair)
    return tokens


def merge_loop(
    tokens, pair, skip=2, put=lambda p: [p[0] + p[1]], same=lambda x, y, p: (x, y) == tuple(p), stop=0
):
    out, i = [], 0
    while i < len(tokens) - stop:
        if i < len(tokens) - 1 and same(tokens[i], tokens[i + 1], pair):
            out.extend(put((tokens[i], tokens[i + 1])))
            i += skip
        else:
            out.append(tokens[i])
            i += 1
    return out


def merge_backwards(tokens, pair):
    out, i = [], len(tokens) - 1
    while i >= 0:
        hit = i > 0 and tokens[i - 1] == pair[0] and tokens[i] == pair[1]
        out.append(tokens[i - 1] + tokens[i] if hit else tokens[i])
        i -= 2 if hit else 1
    return out[::-1]


def merge_once(tokens, pair):
    tokens = list(tokens)
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            return [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]
    return tokens


def merge_slices(tokens, pair):
    """Compares a list with a tuple."""
    tokens = list(tokens)
    i = 0
    while i < len(tokens) - 1:
        if tokens[i : i + 2] == pair:
            tokens[i : i + 2] = [pair[0] + pair[1]]
        i += 1
    return tokens


RIGHT["01_tokens/merge_pair"] = [
    merge_by_stack,
    merge_by_recursion,
    merge_by_generator,
    merge_by_letters,
    merge_in_a_copy,
    lambda tokens, pair: np.array(merge_by_stack(tokens, pair), dtype=object),
]
WRONG["01_tokens/merge_pair"] = [
    ("the right half stays", lambda t, p: merge_loop(t, p, skip=1)),
    ("from right to left", merge_backwards),
    ("only the first place", merge_once),
    ("pairs without order", lambda t, p: merge_loop(t, p, same=lambda x, y, p: {x, y} == set(p))),
    ("compared as text", lambda t, p: merge_loop(t, p, same=lambda x, y, p: x + y == b"".join(p))),
    ("a pair instead of a token", lambda t, p: merge_loop(t, p, put=lambda p: [list(p)])),
    ("the last token is lost", lambda t, p: merge_loop(t, p, stop=1)),
    ("the pair is taken out", lambda t, p: merge_loop(t, p, put=lambda p: [])),
    ("joined the wrong way round", lambda t, p: merge_loop(t, p, put=lambda p: [p[1] + p[0]])),
    ("the left half stays", lambda t, p: merge_loop(t, p, put=lambda p: [p[0], p[0] + p[1]])),
    ("nothing merged", merge_slices),
    ("nothing merged", lambda t, p: list(t)),
    ("all in one", lambda t, p: (b"".join(t),)),
    (None, merge_in_place),
    (None, lambda t, p: b"".join(t)),
    (None, lambda t, p: [token.decode() for token in merge_by_stack(t, p)]),
    (None, lambda t, p: merge_by_stack(merge_by_stack(t, p), (p[0] + p[1], p[0]))),
    (None, lambda t, p: merge_loop(t, p, skip=3)),
]

# ----------------------------------------------------------------------------------------------- train merges


def train(words, n, count=count_by_index, choose=None, merge=merge_by_stack, stop=lambda counts: not counts):
    """As the task asks for it; with another way to count, choose or merge, as it does not."""
    known = [bytes([i]) for i in range(256)]
    choose = choose or (lambda counts, order: min(counts, key=lambda p: (-counts[p], order(p))))
    now = [(list(word), times) for word, times in words.items()]
    merges = []
    for _ in range(n):
        counts = dict(count({tuple(word): times for word, times in now}))
        if stop(counts):
            break
        best = choose(counts, lambda p: (known.index(p[0]), known.index(p[1])))
        merges.append(best)
        if best[0] + best[1] not in known:
            known.append(best[0] + best[1])
        now = [(list(merge(word, best)), times) for word, times in now]
    return merges


def train_with_ids(words, n):
    """With numbers for tokens inside: of equals the smallest tuple."""
    texts = {tuple(token[0] for token in word): times for word, times in words.items()}
    vocabulary = [bytes([i]) for i in range(256)]
    merges = []
    for _ in range(n):
        counts = Counter()
        for word, times in texts.items():
            for pair in pairwise(word):
                counts[pair] += times
        if len(counts) == 0:
            return merges
        most = max(counts.values())
        left, right = min(pair for pair in counts if counts[pair] == most)
        merges.append((vocabulary[left], vocabulary[right]))
        vocabulary.append(vocabulary[left] + vocabulary[right])
        new = len(vocabulary) - 1
        following = {}
        for word, times in texts.items():
            out = []
            for token in word:
                if out and out[-1] == left and token == right:
                    out[-1] = new
                else:
                    out.append(token)
            following[tuple(out)] = times
        texts = following
    return merges


def train_by_sorting(words, n):
    """Sort all pairs, largest count first, then by number."""
    number = {bytes([i]): i for i in range(256)}
    rows, merges = [[list(word), times] for word, times in words.items()], []
    while len(merges) < n:
        counts = defaultdict(int)
        for word, times in rows:
            for pair in pairwise(word):
                counts[pair] += times
        ranked = sorted(counts.items(), key=lambda item: (-item[1], [number[token] for token in item[0]]))
        if not ranked:
            break
        merges.append(ranked[0][0])
        number[b"".join(ranked[0][0])] = 256 + len(merges) - 1
        for row in rows:
            row[0] = merge_by_stack(row[0], ranked[0][0])
    return tuple(merges)


def train_one_by_one(words, n):
    """One merge, then the rest by calling itself."""

    def go(words, left, number):
        counts = count_by_index(words)
        if left == 0 or not counts:
            return []
        a, b = max(counts, key=lambda p: (counts[p], -number[p[0]], -number[p[1]]))
        after = {merge_by_recursion(word, (a, b)): times for word, times in words.items()}
        return [[a, b], *go(after, left - 1, {**number, a + b: len(number)})]

    return go(words, n, {bytes([i]): i for i in range(256)})


def first_of_equals(counts, order):
    return max(counts, key=counts.get)


RIGHT["01_tokens/train_merges"] = [
    train_with_ids,
    train_by_sorting,
    train_one_by_one,
    train,
    lambda words, n: np.array(train(words, n), dtype=object),
]
WRONG["01_tokens/train_merges"] = [
    (
        "each word once",
        lambda w, n: train(w, n, count=lambda w: Counter(p for one in w for p in pairwise(one))),
    ),
    ("of equals the one seen first", lambda w, n: train(w, n, choose=first_of_equals)),
    (
        "of equals by the alphabet",
        lambda w, n: train(w, n, choose=lambda c, o: min(c, key=lambda p: (-c[p], p))),
    ),
    (
        "of equals the largest numbers",
        lambda w, n: train(w, n, choose=lambda c, o: max(c, key=lambda p: (c[p], o(p)))),
    ),
    (
        "counted only once",
        lambda w, n: [p for p, _ in sorted(count_by_index(w).items(), key=lambda item: (-item[1], item[0]))][
            :n
        ],
    ),
    (
        "pairs across words",
        lambda w, n: train(w, n, count=lambda w: Counter(pairwise(chain(*(x * k for x, k in w.items()))))),
    ),
    ("runs without overlap", lambda w, n: train(w, n, count=count_without_overlap)),
    ("stops at a count of 1", lambda w, n: train(w, n, stop=lambda c: not c or max(c.values()) < 2)),
    ("does not stop", lambda w, n: train(w, n, stop=lambda c: False)),
    ("tokens instead of pairs", lambda w, n: [b"".join(pair) for pair in train(w, n)]),
    ("nothing merged", lambda w, n: train(w, n, merge=merge_slices)),
    ("nothing merged", lambda w, n: [train(w, 1)[0]] * n),
    ("the rarest pair", lambda w, n: train(w, n, choose=lambda c, o: min(c, key=lambda p: (c[p], o(p))))),
    ("only the first place in a word", lambda w, n: train(w, n, merge=merge_once)),
    (None, lambda w, n: train(w, n + 1)),
    (None, lambda w, n: train(w, n)[:-1]),
    (None, lambda w, n: [tuple(token.decode("latin-1") for token in pair) for pair in train(w, n)]),
    (None, lambda w, n: {pair: rank for rank, pair in enumerate(train(w, n))}),
    (None, lambda w, n: [(right, left) for left, right in train(w, n)]),
]

# ----------------------------------------------------------------------------------------------------- encode


def encode_in_order(text, ranks, merge):
    tokens = [bytes([byte]) for byte in text.encode("utf-8")]
    for pair in sorted(ranks, key=ranks.get):
        tokens = merge(tokens, pair)
    return tokens


def encode_by_merges(text, ranks):
    """Merge by merge, each wherever it fits: slow, and the same."""
    return encode_in_order(text, ranks, merge_by_stack)


def encode_by_rank_list(text, ranks):
    tokens = [text.encode()[i : i + 1] for i in range(len(text.encode()))]
    while len(tokens) > 1:
        found = [ranks.get((a, b), float("inf")) for a, b in pairwise(tokens)]
        best = int(np.argmin(found))
        if found[best] == float("inf"):
            break
        tokens[best : best + 2] = [tokens[best] + tokens[best + 1]]
    return tokens


def encode_by_recursion(text, ranks, tokens=None):
    tokens = tuple(map(bytes, zip(text.encode()))) if tokens is None else tokens
    known = {ranks[pair]: pair for pair in pairwise(tokens) if pair in ranks}
    return (
        encode_by_recursion(text, ranks, merge_by_recursion(tokens, known[min(known)])) if known else tokens
    )


def encode_with_numpy(text, ranks):
    tokens = np.empty(len(text.encode()), dtype=object)
    tokens[:] = [bytes([b]) for b in text.encode()]
    while True:
        pairs = set(pairwise(tokens.tolist())) & ranks.keys()
        if not pairs:
            return tokens
        merged = merge_by_stack(tokens.tolist(), min(pairs, key=ranks.__getitem__))
        tokens = np.empty(len(merged), dtype=object)
        tokens[:] = merged


def encode_by(text, ranks, choose, merge=merge_by_stack):
    tokens = [bytes([b]) for b in text.encode()]
    while any(pair in ranks for pair in pairwise(tokens)):
        tokens = list(merge(tokens, choose([pair for pair in pairwise(tokens) if pair in ranks])))
    return tokens


def encode_longest_from_the_left(text, ranks):
    data, out, known = text.encode(), [], {a + b for a, b in ranks}
    i = 0
    while i < len(data):
        end = len(data)
        while end > i + 1 and data[i:end] not in known:
            end -= 1
        out.append(data[i:end])
        i = end
    return out


def encode_in_one_pass(text, ranks):
    out = []
    for b in text.encode():
        out.append(bytes([b]))
        if len(out) > 1 and (out[-2], out[-1]) in ranks:
            out[-2:] = [out[-2] + out[-1]]
    return out


def encode_up_to_a_gap(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    for pair in ranks:
        merged = merge_by_stack(tokens, pair)
        if merged == tokens:
            break
        tokens = merged
    return tokens


def encode_characters(text, ranks):
    tokens = [c.encode() for c in text]
    for pair in ranks:
        tokens = merge_by_stack(tokens, pair)
    return tokens


def encode_one_merge(text, ranks):
    tokens = [bytes([b]) for b in text.encode()]
    known = [pair for pair in pairwise(tokens) if pair in ranks]
    return merge_by_stack(tokens, min(known, key=ranks.get)) if known else tokens


RIGHT["01_tokens/encode"] = [
    encode_by_merges,
    encode_by_rank_list,
    encode_by_recursion,
    encode_with_numpy,
]
WRONG["01_tokens/encode"] = [
    (
        "the longest pair first",
        lambda t, r: encode_by(t, r, lambda known: max(known, key=lambda p: len(p[0]) + len(p[1]))),
    ),
    ("the leftmost pair first", lambda t, r: encode_by(t, r, lambda known: next(iter(known)))),
    (
        "the commonest pair first",
        lambda t, r: encode_by(t, r, lambda known: Counter(known).most_common(1)[0][0]),
    ),
    ("the pair learned last", lambda t, r: encode_by(t, r, lambda known: max(known, key=r.get))),
    ("the longest token from the left", encode_longest_from_the_left),
    ("one pass from the left", encode_in_one_pass),
    ("one merge only", encode_one_merge),
    ("characters instead of bytes", encode_characters),
    ("numbers instead of bytes", lambda t, r: [int(b) for b in t.encode()]),
    ("stops at a gap", encode_up_to_a_gap),
    (
        "from right to left",
        lambda t, r: encode_by(t, r, lambda known: min(known, key=r.get), merge_backwards),
    ),
    ("nothing merged", lambda t, r: [bytes([b]) for b in t.encode()]),
    ("nothing merged", lambda t, r: encode_in_order(t, r, merge_slices)),
    (
        "ranks instead of tokens",
        lambda t, r: [{a + b: n for (a, b), n in r.items()}.get(x, x) for x in encode_by_merges(t, r)],
    ),
    (None, lambda t, r: b" ".join(encode_by_merges(t, r))),
    (None, lambda t, r: [token.decode("utf-8", "replace") for token in encode_by_merges(t, r)]),
    (None, lambda t, r: encode_by_merges(t.lower()[::-1], r)),
    (None, lambda t, r: encode_by_merges(t, r)[:-1]),
    (None, lambda t, r: encode_by_merges(t.encode("ascii").decode(), r)),
]

# ----------------------------------------------------------------------------------------------------- decode


def decode_step_by_step(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = "".join(decoder.decode(token) for token in tokens)
    return text + decoder.decode(b"", final=True)


def decode_alone(tokens):
    text = ""
    for token in tokens:
        text += token.decode("utf-8", errors="replace")
    return text


def decode_or_drop(tokens):
    text = ""
    for token in tokens:
        try:
            text += token.decode()
        except UnicodeDecodeError:
            continue
    return text


RIGHT["01_tokens/decode"] = [
    decode_step_by_step,
    lambda tokens: str(b"".join(tokens), "utf-8", "replace"),
    lambda tokens: bytes(byte for token in tokens for byte in token).decode(errors="replace"),
    lambda tokens: np.str_(codecs.decode(b"".join(tokens), errors="replace")),
]
WRONG["01_tokens/decode"] = [
    ("each token alone", decode_alone),
    ("invalid bytes left out", lambda tokens: b"".join(tokens).decode(errors="ignore")),
    ("invalid bytes are an error", lambda tokens: b"".join(tokens).decode()),
    ("one letter for each byte", lambda tokens: "".join(chr(byte) for token in tokens for byte in token)),
    ("spaces between the tokens", lambda tokens: b" ".join(tokens).decode(errors="replace")),
    ("question marks", lambda tokens: decode_step_by_step(tokens).replace("\ufffd", "?")),
    ("bytes as codes", lambda tokens: b"".join(tokens).decode(errors="backslashreplace")),
    ("ASCII", lambda tokens: b"".join(tokens).decode("ascii", errors="replace")),
    ("invalid tokens left out", decode_or_drop),
    ("bytes instead of text", lambda tokens: b"".join(tokens)),
    ("the look of bytes", lambda tokens: "".join(f"{token!r}" for token in tokens)),
    ("a list of texts", lambda tokens: list(decode_step_by_step(tokens))),
    (None, lambda tokens: decode_step_by_step(tokens).strip()),
    (None, lambda tokens: decode_step_by_step(tokens[::-1])),
    (None, lambda tokens: decode_alone(tokens).replace("\ufffd", "?")),
    (None, lambda tokens: print(decode_step_by_step(tokens))),
]

# ---------------------------------------------------------------------------------------------- longest match


def match_by_shrinking(word, vocab):
    found = []
    while word:
        piece = word
        while piece and ("##" + piece if found else piece) not in vocab:
            piece = piece[:-1]
        if not piece:
            return ["[UNK]"]
        found.append("##" + piece if found else piece)
        word = word[len(piece) :]
    return found


def match_by_vocabulary(word, vocab):
    """Look through the vocabulary for the longest piece that the rest begins with."""
    found, rest = (), word
    while rest:
        mark = "##" * (len(found) > 0)
        fits = [p for p in vocab if p.startswith(mark) and rest.startswith(p[len(mark) :]) and p != mark]
        fits = [p for p in fits if mark or not p.startswith("##")]
        if not fits:
            return ("[UNK]",)
        found += (max(fits, key=len),)
        rest = rest[len(found[-1]) - len(mark) :]
    return found


def match_by_recursion(word, vocab, mark=""):
    if not word:
        return []
    for n in reversed(range(1, len(word) + 1)):
        if mark + word[:n] in vocab:
            rest = match_by_recursion(word[n:], vocab, "##")
            return ["[UNK]"] if rest == ["[UNK]"] else [mark + word[:n], *rest]
    return ["[UNK]"]


def match_with_numpy(word, vocab):
    known = np.array(sorted(vocab))
    out = np.array([], dtype=str)
    while word:
        tries = [("##" if len(out) else "") + word[: n + 1] for n in range(len(word))]
        good = np.isin(tries, known)
        if not good.any():
            return np.array(["[UNK]"])
        n = int(np.flatnonzero(good)[-1])
        out = np.append(out, tries[n])
        word = word[n + 1 :]
    return out


def match(
    word, vocab, mark=lambda i: "##" if i else "", lengths=lambda n: range(n, 0, -1), lost=None, show=str
):
    out, i = [], 0
    while i < len(word):
        for n in lengths(len(word) - i):
            if mark(i) + word[i : i + n] in vocab:
                out.append(show(mark(i) + word[i : i + n]))
                i += n
                break
        else:
            if lost is None:
                return ["[UNK]"]
            if lost(out):
                return out
            i += 1
    return out


def match_any_way(word, vocab, first=True):
    """All ways to cut, the longest pieces first: the first that works."""
    if not word:
        return []
    for n in range(len(word), 0, -1):
        piece = word[:n] if first else f"##{word[:n]}"
        if piece in vocab:
            rest = match_any_way(word[n:], vocab, False)
            if "[UNK]" not in rest:
                return [piece, *rest]
    return ["[UNK]"]


def match_suffixes(word, vocab):
    out = []
    while word:
        for i in range(len(word)):
            piece = word if i == 0 else "##" + word[i:]
            if piece in vocab:
                out = [piece, *out]
                word = word[:i]
                break
        else:
            return ["[UNK]"]
    return out


def marked_afterwards(word, vocab):
    pieces = match(word, vocab, mark=lambda i: "")
    return pieces if pieces == ["[UNK]"] else [pieces[0], *("##" + piece for piece in pieces[1:])]


RIGHT["01_tokens/longest_match"] = [
    match_by_shrinking,
    match_by_vocabulary,
    match_by_recursion,
    match_with_numpy,
]
WRONG["01_tokens/longest_match"] = [
    ("looked up without the mark", lambda w, v: match(w, v, mark=lambda i: "")),
    ("marked in the answer alone", marked_afterwards),
    ("the first piece marked too", lambda w, v: match(w, v, mark=lambda i: "##")),
    ("without marks in the answer", lambda w, v: match(w, v, show=lambda p: p.replace("##", ""))),
    ("the shortest match", lambda w, v: match(w, v, lengths=lambda n: range(1, n + 1))),
    ("unknown rest", lambda w, v: match(w, v, lost=lambda out: out.append("[UNK]") or True)),
    ("unknown letters", lambda w, v: match(w, v, lost=lambda out: out.append("[UNK]"))),
    ("the rest is dropped", lambda w, v: match(w, v, lost=lambda out: True)),
    ("goes back", match_any_way),
    ("from the end", match_suffixes),
    ("one letter short", lambda w, v: match(w, v, lengths=lambda n: range(n - 1, 0, -1))),
    ("the last letter alone is not tried", lambda w, v: match(w, v, lengths=lambda n: range(n, 1, -1))),
    (None, lambda w, v: "[UNK]" if "[UNK]" in match(w, v) else match(w, v)),
    (None, lambda w, v: " ".join(match(w, v))),
    (None, lambda w, v: [] if "[UNK]" in match(w, v) else match(w, v)),
    (None, lambda w, v: match(w, v, lost=lambda out: False)),
    (None, lambda w, v: match(w, v)[:2]),
    (None, lambda w, v: v.add(w) or match(w, v)),
]

# ------------------------------------------------------------------------------------------ tokenizer at work


def ids_by_comprehension(words, ranks, ids, special):
    return [
        i
        for w in words
        for i in ([special[w]] if w in special else [ids[t] for t in encode_by_merges(w, ranks)])
    ]


def ids_with_memory(words, ranks, ids, special):
    known = {word: [i] for word, i in special.items()}
    for word in set(words) - set(known):
        known[word] = [ids[token] for token in encode_by_rank_list(word, ranks)]
    return list(chain.from_iterable(known[word] for word in words))


def ids_by_generator(words, ranks, ids, special):
    for word in words:
        if (number := special.get(word)) is not None:
            yield number
            continue
        yield from (ids[token] for token in encode_by_recursion(word, ranks))


def ids_in_numpy(words, ranks, ids, special):
    parts = [np.array([], dtype=int)]
    for word in words:
        tokens = [] if word in special else encode_by_rank_list(word, ranks)
        parts.append(np.array([special[word]] if word in special else [ids[token] for token in tokens]))
    return np.concatenate(parts)


def plain(word, ranks, ids):
    return [ids[token] for token in encode_by_rank_list(word, ranks)]


def ids_of(words, ranks, ids, special, put=list.extend, of=plain, drop=False, change=str):
    out = []
    for word in words:
        if word not in special:
            put(out, of(change(word), ranks, ids))
        elif not drop:
            put(out, [special[word]])
    return out


def ids_by_ranks(word, ranks, ids):
    made = {a + b: 256 + rank for (a, b), rank in ranks.items()}
    return [made.get(token, ids[token]) for token in encode_by_merges(word, ranks)]


RIGHT["01_tokens/tokenizer_at_work"] = [
    ids_by_comprehension,
    ids_with_memory,
    ids_by_generator,
    ids_in_numpy,
]
ORDERS = ("the longest pair first", "the leftmost pair first", "the commonest pair first")
ORDERS += ("the pair learned last", "one merge only", "from right to left")
WRONG["01_tokens/tokenizer_at_work"] = [
    ("special words are cut", lambda w, r, i, s: ids_by_comprehension(w, r, i, {})),
    ("special words are dropped", lambda w, r, i, s: ids_of(w, r, i, s, drop=True)),
    ("words were joined", lambda w, r, i, s: plain("".join(w), r, i)),
    ("each word once", lambda w, r, i, s: ids_by_comprehension(dict.fromkeys(w, 1), r, i, s)),
    ("a list for each word", lambda w, r, i, s: ids_of(w, r, i, s, put=list.append)),
    (
        "tokens instead of ids",
        lambda w, r, i, s: [t for x in w for t in ([x.encode()] if x in s else encode_by_merges(x, r))],
    ),
    (
        "nothing merged",
        lambda w, r, i, s: ids_of(w, r, i, s, of=lambda x, r, i: [i[bytes([b])] for b in x.encode()]),
    ),
    *(
        (name, lambda w, r, i, s, cut=cut: ids_of(w, r, i, s, of=lambda x, r, i: [i[t] for t in cut(x, r)]))
        for name, cut in WRONG["01_tokens/encode"]
        if name in ORDERS
    ),
    ("ranks instead of ids", lambda w, r, i, s: ids_of(w, r, i, s, of=ids_by_ranks)),
    ("spaces taken off", lambda w, r, i, s: ids_of(w, r, i, s, change=str.strip)),
    ("how many tokens", lambda w, r, i, s: [1 if x in s else len(encode_by_merges(x, r)) for x in w]),
    ("sorted", lambda w, r, i, s: np.sort(ids_in_numpy(w, r, i, s))),
    (None, lambda w, r, i, s: ids_by_comprehension(w[:-1], r, i, s)),
    (None, lambda w, r, i, s: ids_of(w, r, i, s, of=lambda x, r, i: [i[x.encode()]])),
    (None, lambda w, r, i, s: set(ids_by_comprehension(w, r, i, s))),
    (None, lambda w, r, i, s: ids_by_comprehension([x for x in w if s.pop(x, None) is None], r, i, s)),
    (None, lambda w, r, i, s: [str(n) for n in ids_by_comprehension(w, r, i, s)]),
]
