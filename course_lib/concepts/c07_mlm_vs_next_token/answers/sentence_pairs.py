"""Answers to sentence_pairs, as learners write them."""

import random
from itertools import chain, pairwise


def with_a_share(share):
    def answer(documents, rng):
        pairs = []
        for d, document in enumerate(documents):
            others = list(chain(*documents[:d], *documents[d + 1 :]))
            for first, following in pairwise(document):
                is_next = rng.random() < share
                pairs.append((first, following if is_next else rng.choice(others), is_next))
        return pairs

    return answer


by_a_coin = with_a_share(0.5)


def pairs_by_document_first(documents, rng):
    """As BERT's first program: another document, then a sentence of it."""
    pairs = []
    for d, document in enumerate(documents):
        for first, following in pairwise(document):
            if rng.randint(0, 1):
                pairs.append((first, following, True))
                continue
            other = d
            while other == d:
                other = rng.randrange(len(documents))
            pairs.append((first, rng.choice(documents[other]), False))
    return pairs


def pairs_by_trying(documents, rng):
    """Draw from all until it is of another document."""
    home = {s: d for d, document in enumerate(documents) for s in document}
    everything = list(home)
    for document in documents:
        for first, second in pairwise(document):
            label = bool(rng.getrandbits(1))
            if not label:
                second = first
                while home[second] == home[first]:
                    second = rng.choice(everything)
            yield [first, second, int(label)]


def pairs_shuffled(documents, rng):
    """In any order."""
    pairs = by_a_coin(documents, rng)
    rng.shuffle(pairs)
    return tuple(pairs)


def pairs_exactly_half(documents, rng):
    """Half of all labels, shuffled."""
    places = [(d, n) for d, document in enumerate(documents) for n in range(len(document) - 1)]
    labels = [i % 2 == 0 for i in range(len(places))]
    if len(places) % 2:
        labels[-1] = rng.random() < 0.5
    rng.shuffle(labels)
    return [
        (documents[d][n], documents[d][n + 1], True)
        if label
        else (
            documents[d][n],
            rng.choice([s for other in documents if other is not documents[d] for s in other]),
            False,
        )
        for (d, n), label in zip(places, labels, strict=True)
    ]


def coin_of_its_own(documents, rng):
    """Sentences are drawn from `rng`, labels are not."""
    others = with_a_share(0)(documents, rng)
    right = with_a_share(1)(documents, rng)
    return [random.choice(both) for both in zip(right, others, strict=True)]


def by_number(is_next):
    """The label by the number of the document and the place in it."""

    def answer(documents, rng):
        pairs = []
        for d, document in enumerate(documents):
            others = list(chain(*documents[:d], *documents[d + 1 :]))
            for n, (first, following) in enumerate(pairwise(document)):
                pairs.append(
                    (first, following, True) if is_next(d, n) else (first, rng.choice(others), False)
                )
        return pairs

    return answer


def in_turn(documents, rng):
    """The first label is drawn."""
    first = rng.randint(0, 1)
    right, others = with_a_share(1)(documents, rng), with_a_share(0)(documents, rng)
    return [(right, others)[(first + i) % 2][i] for i in range(len(right))]


def never_the_last(documents, rng):
    """The last sentence of another document is not put in."""
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, other in enumerate(documents) if i != d for s in other[:-1] or other]
        for first, following in pairwise(document):
            is_next = rng.random() < 0.5
            pairs.append((first, following if is_next else rng.choice(others), is_next))
    return pairs


def without_the_short(documents, rng):
    """Documents that make no pair are left out, so that their sentence is not put in either."""
    return by_a_coin([document for document in documents if len(document) > 1], rng)


RIGHT = [by_a_coin, pairs_by_document_first, pairs_by_trying, pairs_shuffled, pairs_exactly_half]
WRONG = [
    ("not the generator", coin_of_its_own),
    ("in turn", by_number(lambda d, n: n % 2 == 0)),
    ("in turn", by_number(lambda d, n: d % 2 == 0)),
    ("in turn, from a coin on", in_turn),
    (None, with_a_share(0.4)),
    (None, with_a_share(0.75)),
    (None, never_the_last),
    ("that sentence never put in", without_the_short),
    (None, lambda documents, rng: by_a_coin(documents, rng)[:-1]),
    (None, lambda documents, rng: [(a, b) for a, b, _ in by_a_coin(documents, rng)]),
    (None, lambda documents, rng: [(b, a, k) for a, b, k in by_a_coin(documents, rng)]),
    (None, lambda documents, rng: [(a, f"{b} ", k) for a, b, k in by_a_coin(documents, rng)]),
    (None, lambda documents, rng: 2 * by_a_coin(documents, rng)),
]
