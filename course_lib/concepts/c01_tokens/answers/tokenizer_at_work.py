"""Answers to tokenizer_at_work, as learners write them."""

from itertools import chain

import numpy as np

from course_lib.concepts.c01_tokens.answers.encode import (
    encode_by_merges,
    encode_by_rank_list,
    encode_by_recursion,
)


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


RIGHT = [ids_by_comprehension, ids_with_memory, ids_by_generator, ids_in_numpy]
WRONG = [
    (
        "joined without a beginning",
        lambda w, r, i, s: np.concatenate([ids_by_comprehension([x], r, i, s) for x in w]),
    ),
]
