"""Answers to longest_match, as learners write them."""

import numpy as np


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


def skips_letters(word, vocab, mark=""):
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocab:
            return [mark + word[:end], *skips_letters(word[end:], vocab, "##")]
    return skips_letters(word[1:], vocab, "##") if word else []


def begins_with_a_piece(word, vocab):
    first = max((piece for piece in vocab if word.startswith(piece)), key=len)
    rest = match_by_recursion(word[len(first) :], vocab, "##")
    return ["[UNK]"] if rest == ["[UNK]"] else [first, *rest]


def two_at_most(word, vocab):
    """A piece, and all the rest as another."""
    for end in range(len(word), 0, -1):
        if word[:end] in vocab:
            rest = [f"##{word[end:]}"] if word[end:] else []
            return [word[:end], *rest] if vocab.issuperset(rest) else ["[UNK]"]
    return ["[UNK]"]


RIGHT = [match_by_shrinking, match_by_vocabulary, match_by_recursion, match_with_numpy]
WRONG = [
    ("goes back", match_any_way),
    (
        None,
        lambda w, v: [] if "[UNK]" in match_by_shrinking(w, v) else match_by_shrinking(w, v),
    ),
    ("unknown letters are dropped", skips_letters),
    ("the first piece taken for granted", begins_with_a_piece),
    ("two pieces at most", two_at_most),
    ("the first two pieces alone", lambda w, v: match_by_shrinking(w, v)[:2]),
]
