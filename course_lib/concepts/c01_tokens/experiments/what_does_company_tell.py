"""What do vectors know that come from a word's neighbours, counted or learned?"""

import functools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer

from course_lib import data, embeddings
from course_lib.bpe import WordPiece
from course_lib.claims import Trained, interval, trains
from course_lib.device import seeded
from course_lib.encoder import BERT
from course_lib.training import bar

OCCURS = (10, 20, 40, 80, 160, 320, 640)  # how often the words of a group occur at least
COMMON = OCCURS.index(160)  # the first group of common words
PAIRS = """true false, first last, left right, read write, input output, start end, upper lower, before after,
local global, string bytes, minimum maximum, day month, add remove, parent child, row column, one two,
html xml, encode decode, key value, client server, integer float, list tuple, open close, method function"""


Texts = Sequence[Sequence[str]]  # sentences as words
Numbered = Sequence[Sequence[int]]  # as the numbers of their words
Shares = tuple[float, ...]


@functools.cache
def texts() -> tuple[tuple[str, ...], ...]:
    """The sentences of Python's documentation, as words."""
    documents = {**data.python_topics(), **data.docstrings()}
    return tuple(sentence.words for sentence in data.sentences(documents, 6))


def numbers(texts: Texts) -> tuple[data.Vocabulary, list[list[int]]]:
    """The 4,000 commonest words, and the sentences as their numbers, from 2 on."""
    vocabulary = data.Vocabulary(texts, 4002)
    return vocabulary, [[number for number in vocabulary.encode(words) if number > 1] for words in texts]


def counted(numbered: Numbered, size: int) -> NDArray:
    """Vectors by counting, PPMI and SVD; as the notebook's cell makes them."""
    table = embeddings.ppmi(embeddings.cooccurrence(numbered, size, window=2), smoothing=0.75)
    return embeddings.svd_embeddings(table, 100)


def learned(numbered: Numbered, size: int, seed: int, steps: int = 800) -> NDArray:
    """Vectors by skip-gram; as the notebook's cell learns them."""
    with seeded(seed):
        pairs = torch.from_numpy(embeddings.window_pairs(numbered, window=2))
        counts = torch.bincount(pairs[:, 0], minlength=size)
        kept = (1e-3 * len(pairs) / counts).sqrt().clamp(max=1)  # most of "the" is left out
        pairs = pairs[torch.rand(len(pairs)) < kept[pairs].prod(1)]
        model = embeddings.SkipGram(size, 64)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in bar(range(steps), "skip-gram"):
            batch = pairs[torch.randint(len(pairs), (2048,))]
            loss = model.loss(batch, embeddings.sample_negatives(counts, 2048))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.centre.detach().numpy()


@dataclass(frozen=True)
class Twins:
    """Sentences in which some words have a twin, who stands in half of their places.

    Args:
        groups: words, by how often they occur: see `OCCURS`.
        vocabulary, numbered: as `numbers` gives them.
    """

    groups: list[list[str]]
    vocabulary: data.Vocabulary
    numbered: list[list[int]]

    def found(self, vectors: NDArray) -> Shares:
        """Of each group how many words have their twin as nearest word."""
        known = {word: number for number, word in enumerate(self.vocabulary.tokens)}
        shares = []
        for group in self.groups:
            near = {
                word: embeddings.nearest(vectors, known[word], 1)[0][0] for word in group if word in known
            }
            shares.append(sum(known.get(word + "*") == number for word, number in near.items()) / len(group))
        return tuple(shares)


def twins(seed: int, n_words: int = 25) -> Twins:
    """So many words of each group get a twin."""
    dice = random.Random(seed)
    occurs = Counter(word for words in texts() for word in words)
    groups = [sorted(w for w, n in occurs.items() if a <= n < b) for a, b in pairwise((*OCCURS, math.inf))]
    groups = [dice.sample(group, min(n_words, len(group))) for group in groups]
    chosen = {word for group in groups for word in group}
    halved = [[w + "*" if w in chosen and dice.random() < 0.5 else w for w in words] for words in texts()]
    return Twins(groups, *numbers(halved))


@dataclass(frozen=True)
class Company:
    """Of each group of words (`OCCURS`) how many find their twin.

    Args:
        counted: by vectors that were counted.
        shuffled: the same where all words were shuffled.
    """

    counted: Shares
    shuffled: Shares

    @property
    def common(self) -> float:
        """Of those that occur 160 times or more."""
        return mean(self.counted[COMMON:])

    @property
    def rare(self) -> float:
        """Of the rarest."""
        return self.counted[0]

    @property
    def by_luck(self) -> float:
        """Of all, where words keep no company."""
        return mean(self.shuffled)


def company(
    seed: int = 0, *, n_words: int = 25, count: Callable[[Numbered, int], NDArray] = counted
) -> Company:
    """Do words that keep the same company get close vectors?

    Rival: the same words shuffled, so that they keep no company.
    Equal for both: the words, how often each occurs, the lengths of the sentences, the way to count.
    Does not show: what people call alike. Twins keep the same company because we made them so.

    Args:
        seed: of the words that get a twin, of the places it takes, and of the shuffling.
        n_words: in each group.
        count: (sentences, size of the vocabulary) -> the vectors.
    """
    made = twins(seed, n_words)
    flat = [number for row in made.numbered for number in row]
    random.Random(seed).shuffle(flat)
    rest = iter(flat)
    shuffled = [[next(rest) for _ in row] for row in made.numbered]
    size = len(made.vocabulary)
    return Company(*(made.found(count(numbered, size)) for numbered in (made.numbered, shuffled)))


# ------------------------------------------------------------------------------------------ counting


def nearer(vectors: NDArray, pairs: Sequence[tuple[int, int]]) -> Shares:
    """Of the first word of each pair: how many other pairs' second words its own partner is nearer than."""
    ones, partners = (vectors[list(rows)] for rows in zip(*pairs, strict=True))
    lengths = np.outer(np.linalg.norm(ones, axis=1), np.linalg.norm(partners, axis=1))
    cosine = ones @ partners.T / lengths  # the own partners are on the diagonal
    closer = (cosine.diagonal()[:, None] > cosine).sum(1) / (len(pairs) - 1)
    return tuple(closer.tolist())


def agreement(ours: NDArray, theirs: NDArray) -> tuple[float, float]:
    """The share of the five nearest that are the same, and how alike all pairs are ordered (Spearman)."""
    units = [table / np.linalg.norm(table, axis=1, keepdims=True) for table in (ours, theirs)]
    cosines = [unit @ unit.T - 9 * np.eye(len(unit)) for unit in units]  # nobody is near to itself
    near = [cosine.argsort(1)[:, -5:].tolist() for cosine in cosines]
    same = mean(len({*one} & {*other}) / 5 for one, other in zip(*near, strict=True))
    return same, float(spearmanr(*(cosine[np.triu_indices(len(cosine), 1)] for cosine in cosines))[0])


def by_spelling(words: Sequence[str]) -> NDArray:
    """Vectors that know a word's letters and pairs of letters, and nothing of its company."""
    counts = CountVectorizer(analyzer="char_wb", ngram_range=(1, 2)).fit_transform(words)
    return counts.toarray().astype(float)


def numbered_pairs(vocabulary: data.Vocabulary) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of words that the vocabulary has: `PAIRS`, and each word that also stands there with an s."""
    known = {word: number for number, word in enumerate(vocabulary.tokens)}
    chosen = [tuple(pair.split()) for pair in PAIRS.split(",")]
    spelled = [(word, word + "s") for word in vocabulary.tokens if len(word) > 3]
    found = [[(known[a], known[b]) for a, b in of if a in known and b in known] for of in (chosen, spelled)]
    return found[0], found[1]


@dataclass(frozen=True)
class Counting:
    """What vectors that were counted know.

    Args:
        chosen, spelled: of the first words of `PAIRS`, and of words with and without an s, how often the own
            partner is nearer than another pair's: with logarithms of counts, with PPMI and SVD, and by
            spelling.
        shared: of the five nearest words, how many are the same as in MiniLM's table.
        luck: how many would be by chance.
        ranks: how alike all pairs of words are ordered (Spearman).
    """

    chosen: tuple[Shares, Shares, Shares]
    spelled: tuple[Shares, Shares, Shares]
    shared: float
    luck: float
    ranks: float

    @property
    def related(self) -> float:
        """Of the chosen pairs, with PPMI and SVD."""
        return mean(self.chosen[1])

    @property
    def by_rule(self) -> float:
        """Of those that spelling chooses, at least."""
        return interval(self.spelled[1])[0]

    @property
    def ahead(self) -> float:
        """How much more often with PPMI and SVD than with logarithms of counts, at least; all pairs."""
        logarithms, refined, _ = (np.array(a + b) for a, b in zip(self.chosen, self.spelled, strict=True))
        return interval(refined - logarithms)[0]

    @property
    def spelling(self) -> float:
        """Of the chosen pairs, by spelling alone."""
        return mean(self.chosen[2])

    @property
    def spelling_with_s(self) -> float:
        """Of those that spelling chooses."""
        return mean(self.spelled[2])


def counting(
    minilm: tuple[BERT, WordPiece], seed: int = 0, *, count: Callable[[Numbered, int], NDArray] = counted
) -> Counting:
    """Can vectors that know which words belong together be computed by counting neighbours?

    Rival: spelling alone, and logarithms of counts, without PPMI and SVD.
    Equal for all: nine tenths of the sentences of Python's documentation, the window, the pairs.
    Does not show: what people call alike. We chose 24 pairs, spelling the others, and MiniLM's table was
        learned from the company of words, too.

    Args:
        minilm: its table is compared with.
        seed: of the sentences.
        count: (sentences, size of the vocabulary) -> the vectors.
    """
    vocabulary, numbered = numbers(random.Random(seed).sample(texts(), len(texts()) * 9 // 10))
    logarithms = np.log1p(embeddings.cooccurrence(numbered, len(vocabulary), window=2).toarray())
    vectors, letters = count(numbered, len(vocabulary)), by_spelling(vocabulary.tokens)
    chosen, spelled = (
        (nearer(logarithms, pairs), nearer(vectors, pairs), nearer(letters, pairs))
        for pairs in numbered_pairs(vocabulary)
    )
    model, wordpiece = minilm
    row_of = {token: row for row, token in enumerate(wordpiece.tokens)}
    both = [
        (n, row_of[w]) for n, w in enumerate(vocabulary.tokens[:502]) if n > 1 and len(w) > 2 and w in row_of
    ]
    ours, theirs = (list(rows) for rows in zip(*both, strict=True))
    table = model.token_embedding.weight.detach().cpu().numpy()[theirs]
    same, ranks = agreement(vectors[ours], table - table.mean(0))
    return Counting(chosen, spelled, same, 5 / (len(both) - 1), ranks)


# ------------------------------------------------------------------------------------------ learned


@dataclass(frozen=True)
class LearnedEmbeddings:
    """Of each group of words (`OCCURS`) how many find their twin.

    Args:
        learned, untrained: by skip-gram, after training and before.
        counted: by counting.
        alike: of the five nearest words, how many are the same, learned and counted.
        spelled: of words with and without an s, as for `Counting`, by learning.
    """

    learned: Shares
    untrained: Shares
    counted: Shares
    alike: float
    spelled: Shares

    @property
    def common(self) -> float:
        """Of those that occur 160 times or more, by learning."""
        return mean(self.learned[COMMON:])

    @property
    def before(self) -> float:
        """Of all, before training."""
        return mean(self.untrained)

    @property
    def by_rule(self) -> float:
        """How often a word's form with an s is nearer to it than another word's, at least."""
        return interval(self.spelled)[0]

    @property
    def behind(self) -> float:
        """By how many points of 100 counting finds more of the common ones."""
        return 100 * (mean(self.counted[COMMON:]) - self.common)


@trains(Trained(800, None, but="It counts all the pairs from which the network learns."))
def learned_embeddings(
    seed: int = 0, *, n_words: int = 25, steps: int = 800, learn: Callable[..., NDArray] = learned
) -> LearnedEmbeddings:
    """Does a network learn alike vectors for words with alike neighbours?

    Rival: counting.
    Equal for both: the sentences, the twins, the window.
    Does not show: what people call alike (see `company`); what longer training, or far more text, would give.

    Args:
        seed: of the twins, of the network's numbers and of what it sees.
        n_words: in each group of words.
        steps: of training.
        learn: (sentences, size of the vocabulary, seed, steps) -> the vectors.
    """
    made = twins(seed, n_words)
    size = len(made.vocabulary)
    vectors, by_count = learn(made.numbered, size, seed, steps), counted(made.numbered, size)
    untrained = learn(made.numbered, size, seed, 0)
    alike, _ = agreement(vectors[2:502], by_count[2:502])
    spelled = nearer(vectors, numbered_pairs(made.vocabulary)[1])
    return LearnedEmbeddings(made.found(vectors), made.found(untrained), made.found(by_count), alike, spelled)
