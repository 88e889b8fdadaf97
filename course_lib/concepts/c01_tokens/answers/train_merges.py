"""Answers to train_merges, as learners write them."""

from collections import Counter
from itertools import pairwise

import numpy as np

from course_lib.concepts.c01_tokens.answers.count_pairs import count_by_index
from course_lib.concepts.c01_tokens.answers.merge_pair import merge_by_recursion, merge_by_stack, merge_slices


def train(words, n, merge=merge_by_stack):
    """With a list of what is known."""
    known = [bytes([i]) for i in range(256)]
    now = [(list(word), times) for word, times in words.items()]
    merges = []
    for _ in range(n):
        counts = count_by_index({tuple(word): times for word, times in now})
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], list(map(known.index, pair))))
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


def train_on_text(words, n):
    texts = {tuple(token.decode() for token in word): times for word, times in words.items()}
    known = [chr(i) for i in range(256)]
    merges = []
    for _ in range(n):
        counts = count_by_index(texts)
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], *map(known.index, pair)))
        merges.append(tuple(token.encode() for token in best))
        known.append(best[0] + best[1])
        texts = {tuple(merge_by_stack(word, best)): times for word, times in texts.items()}
    return merges


RIGHT = [
    train_with_ids,
    train_one_by_one,
    train,
    lambda words, n: np.array(train(words, n), dtype=object),
]
WRONG = [
    ("nothing merged", lambda w, n: train(w, n, merge=merge_slices)),
    ("nothing merged", lambda w, n: [train(w, 1)[0]] * n),
    ("tokens turned into text", train_on_text),
]
