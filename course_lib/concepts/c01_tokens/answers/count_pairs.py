"""Answers to count_pairs, as learners write them."""

from collections import Counter, defaultdict
from functools import reduce
from itertools import chain, pairwise, repeat
from operator import add

import numpy as np


def count_by_index(words):
    counts = defaultdict(int)
    for word in words:
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += words[word]
    return counts


def from_the_second_pair(words):
    """The first pair is there before the loop begins."""
    counts = Counter()
    for word, n in words.items():
        counts[word[0], word[1]] += n
        for pair in pairwise(word[1:]):
            counts[pair] += n
    return counts


RIGHT = [
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
]
WRONG = [
    (
        "runs without overlap",  # as bytes.count counts
        lambda words: {
            (a, b): sum(n * b"".join(w).count(a + b) for w, n in words.items())
            for word in words
            for a, b in pairwise(word)
        },
    ),
    ("the first pair taken for granted", from_the_second_pair),
    (
        "pairs of single bytes",
        lambda words: count_by_index({tuple(bytes([i]) for i in b"".join(w)): words[w] for w in words}),
    ),
    (
        "a sum without a beginning",
        lambda words: reduce(add, [Counter(list(pairwise(w)) * n) for w, n in words.items()]),
    ),
]
