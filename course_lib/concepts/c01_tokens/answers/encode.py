"""Answers to encode, as learners write them."""

from itertools import pairwise

import numpy as np

from course_lib.concepts.c01_tokens.answers.merge_pair import merge_by_recursion, merge_by_stack, merge_slices


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


RIGHT = [encode_by_merges, encode_by_rank_list, encode_by_recursion, encode_with_numpy]
WRONG = [
    ("nothing merged", lambda t, r: encode_in_order(t, r, merge_slices)),
    ("an empty token", lambda t, r: encode_by_merges(t, r) or [b""]),
]
