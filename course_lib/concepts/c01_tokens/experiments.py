"""The experiments of notebook 01: where tokenizers cut, what a word's company tells, what a table is worth.

All that is trained here is small and runs on the CPU.
"""

import functools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

from course_lib import data, embeddings, maths
from course_lib.blocks import TransformerStack
from course_lib.bpe import BPETokenizer, WordPiece, byte_characters
from course_lib.claims import Trained, interval, trains
from course_lib.decoder import GPT
from course_lib.device import seeded
from course_lib.encoder import BERT
from course_lib.training import bar, starts_of

SIZES = (256, 512, 1024, 2048, 4096, 8192)  # tokens in a vocabulary
OCCURS = (10, 20, 40, 80, 160, 320, 640)  # how often the words of a group occur at least
COMMON = OCCURS.index(160)  # the first group of common words
AMOUNTS = (16, 64, 256)  # labelled reviews
N_HELD_OUT = 192
RATES = (0.001, 0.003, 0.01)
PAIRS = """true false, first last, left right, read write, input output, start end, upper lower, before after,
local global, string bytes, minimum maximum, day month, add remove, parent child, row column, one two,
html xml, encode decode, key value, client server, integer float, list tuple, open close, method function"""

Texts = Sequence[Sequence[str]]  # sentences as words
Numbered = Sequence[Sequence[int]]  # as the numbers of their words
Shares = tuple[float, ...]
Train = Callable[..., object]


def smaller(tokenizer: BPETokenizer, size: int) -> BPETokenizer:
    """The tokenizer that training would have given at this size: its first merges."""
    return BPETokenizer(tokenizer.tokens[:size], tokenizer.merges[: size - 256])


# ------------------------------------------------------------------------------------------ subwords


def obvious_merges(text: str, n_merges: int) -> list[tuple[str, str]]:
    """What byte-pair encoding learns first, with every pair counted anew before each merge."""
    names = byte_characters()  # of equally frequent pairs the one with the smaller bytes comes first
    words = [
        [names[byte] for byte in word.encode()] for word in BPETokenizer(list(names.values()), []).words(text)
    ]
    tokens, merges = list(names.values()), list[tuple[str, str]]()
    for _ in range(n_merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        known = {pair: [tokens.index(token) for token in pair] for pair in counts}
        merges.append(min(counts, key=lambda pair: (-counts[pair], known[pair])))
        words = [maths.merge_pair(word, merges[-1]) for word in words]
        tokens.append("".join(merges[-1]))
    return merges


@dataclass(frozen=True)
class Subwords:
    """What a tokenizer makes of texts that it has not seen.

    Args:
        tokenizer: trained on nine tenths of Python's help pages.
        same_merges: of 80, those that are the obvious trainer's.
        lost: of 1,000 random strings, those that come back changed.
        per_token: of each text the bytes per token at each of `SIZES`.
        listed: of the reviews, with a list of whole words.
    """

    tokenizer: BPETokenizer
    same_merges: int
    lost: int
    per_token: Mapping[str, tuple[float, ...]]
    listed: float

    @property
    def shorter(self) -> float:
        """Bytes of reviews in a token of the largest vocabulary."""
        return self.per_token["reviews"][-1]

    @property
    def word_list(self) -> float:
        """How many times as many tokens the list of words takes."""
        return self.shorter / self.listed


def subwords(seed: int = 0, *, train: Callable[[str, int], BPETokenizer] = BPETokenizer.train) -> Subwords:
    """Does byte-pair encoding split any text into subwords of a fixed vocabulary, without loss, and shorter?

    Rival: a list of all whole words of the same help pages, and bytes for all others.
    Equal for both: the text to learn from, the words into which a text is split first, the bytes.
    Does not show: models that read bytes or characters, and do without a vocabulary.

    Args:
        seed: of the help pages and their order, and of the random strings.
        train: (text, vocab_size) -> the tokenizer.
    """
    dice = random.Random(seed)
    text = "\n".join(dice.sample(list(data.python_topics().values()), 71))  # of 79
    tokenizer = train(text, SIZES[-1])
    same = sum(
        slow == fast
        for part in (text[:20_000], text[-20_000:])
        for slow, fast in zip(obvious_merges(part, 40), train(part, 296).merges, strict=False)
    )
    signs = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]  # all of Unicode
    strings = ["".join(dice.choices(signs, k=20)) for _ in range(1000)]
    unseen = {"reviews": "\n".join(review.text for side in data.reviews() for review in side)}
    unseen["Python's modules"] = "\n".join(list(data.docstrings().values())[:30])
    cut = [smaller(tokenizer, size) for size in SIZES]
    known = set(tokenizer.words(text))
    words = tokenizer.words(unseen["reviews"])
    n_listed = sum(1 if word in known else len(word.encode()) for word in words)
    return Subwords(
        tokenizer,
        same,
        sum(tokenizer.decode(tokenizer.encode(text)) != text for text in strings),
        {
            name: tuple(len(text.encode()) / len(each.encode(text)) for each in cut)
            for name, text in unseen.items()
        },
        len(unseen["reviews"].encode()) / n_listed,
    )


# ------------------------------------------------------------------------------------------ compounds


def cuts(tokenizer: BPETokenizer, word: str) -> list[int]:
    """After how many letters a word is cut, where a space stands before it."""
    ends = np.cumsum([len(piece.strip()) for piece in tokenizer.pieces(" " + word)]).tolist()
    return [end for end in ends[:-1] if end]  # the space alone is no cut in the word


@dataclass(frozen=True)
class Compounds:
    """Where compounds are cut.

    Args:
        hits: by way of cutting, at each of `SIZES` but the first: of each compound, whether its seam is cut.
        across: our tokens that go on behind a space.
        real: SmolLM2's pieces of each compound.
    """

    hits: Mapping[str, tuple[tuple[bool, ...], ...]]
    across: int
    real: Mapping[str, tuple[str, ...]]

    @property
    def shares(self) -> dict[str, Shares]:
        """By way of cutting, how many compounds are cut at their seam at each size."""
        return {name: tuple(mean(at_size) for at_size in hits) for name, hits in self.hits.items()}

    @property
    def at_seam(self) -> float:
        """By our largest tokenizer."""
        return self.shares["byte pairs"][-1]

    @property
    def by_chance(self) -> float:
        """By as many random cuts."""
        return self.shares["random"][-1]

    def _lead_over(self, rival: str) -> NDArray:
        """In points, for each compound; mean of all sizes."""
        ours, theirs = (np.mean(self.hits[name], axis=0) for name in ("byte pairs", rival))
        return 100 * (ours - theirs)

    @property
    def over_chance(self) -> float:
        """By how many points byte pairs lead over random cuts, at least."""
        return interval(self._lead_over("random"))[0]

    @property
    def ahead(self) -> float:
        """By how many points they lead over cuts between the rarest letter pairs, at most."""
        return interval(self._lead_over("rarest letter pair"))[1]

    @property
    def uncut(self) -> float:
        """How many SmolLM2 keeps whole."""
        return mean(len(pieces) == 1 for pieces in self.real.values())

    @property
    def neat(self) -> float:
        """Of the others, how many become exactly their two words."""
        seams = data.compounds()
        in_two = [
            word for word, pieces in self.real.items() if [len(p) for p in pieces[:-1]] == [seams[word]]
        ]
        return len(in_two) / sum(len(pieces) > 1 for pieces in self.real.values())


def compounds(
    smollm2: tuple[GPT, BPETokenizer],
    seed: int = 0,
    *,
    train: Callable[[str, int], BPETokenizer] = BPETokenizer.train,
) -> Compounds:
    """Do the cuts of a tokenizer that has never seen a compound lie where its words meet?

    Rival: cuts between the letters that meet most rarely in the same text; and random cuts.
    Equal for all: the text, nine tenths of its lines, without the compounds; as many cuts in each compound.
    Does not show: other languages, where compounds are longer; compounds that the text has.

    Args:
        smollm2: its tokenizer has seen them.
        seed: of the lines, and of the random cuts.
        train: (text, vocab_size) -> the tokenizer.
    """
    dice, seams = random.Random(seed), data.compounds()
    text = "\n".join([*data.python_topics().values(), *data.docstrings().values()])
    lines = re.sub("|".join(seams), "", text, flags=re.IGNORECASE).split("\n")
    text = "\n".join(dice.sample(lines, len(lines) * 9 // 10))
    blind = train(text, SIZES[-1])
    met = Counter(pair for word in re.findall("[a-z]+", text.lower()) for pair in pairwise(word))

    def rarest(word: str, n: int) -> list[int]:
        return sorted(range(1, len(word)), key=lambda at: met[word[at - 1], word[at]])[:n]

    def anywhere(word: str, n: int) -> list[int]:
        return dice.sample(range(1, len(word)), n)

    hits: dict[str, list[tuple[bool, ...]]] = {"byte pairs": [], "rarest letter pair": [], "random": []}
    for size in SIZES[1:]:
        tokenizer = smaller(blind, size)
        found = {word: cuts(tokenizer, word) for word in seams}
        hits["byte pairs"].append(tuple(seams[word] in at for word, at in found.items()))
        for name, way in (("rarest letter pair", rarest), ("random", anywhere)):
            hits[name].append(tuple(seams[word] in way(word, len(at)) for word, at in found.items()))
    return Compounds(
        {name: tuple(of) for name, of in hits.items()},
        sum(bool(re.search("[a-z]Ġ", token)) for token in blind.tokens),  # Ġ: a space
        {word: tuple(piece.strip() for piece in smollm2[1].pieces(" " + word)) for word in seams},
    )


# ------------------------------------------------------------------------------------------ vectors of words


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


# ------------------------------------------------------------------------------------------ the start


class Reader(nn.Module):
    """A table, one layer, and a score for negative and positive; as the notebook's cell writes it."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        padded = F.pad(table, (0, 0, 1, 0))
        self.table = nn.Embedding.from_pretrained(padded, freeze=False, padding_idx=0)
        self.body, self.head = TransformerStack(64, n_layers=1, n_heads=4), nn.Linear(64, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """The scores of each review (B, 2); its tokens (B, T) are numbered from 1."""
        is_word = ids > 0
        out = self.body(self.table(ids), mask=is_word[:, None, None]) * is_word[..., None]
        return self.head(out.sum(1) / is_word.sum(1, keepdim=True))


def train(model: Any, ids: Tensor, positive: Tensor, steps: int, rate: float = 0.003) -> None:
    """AdamW on 16 reviews a step; as the notebook's cell trains."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        batch = torch.randint(len(ids), (16,))
        loss = F.cross_entropy(model(ids[batch]), positive[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def reduced(table: NDArray) -> Tensor:
    """64 numbers a word: the strongest directions, centred, all of one size."""
    u, s, _ = np.linalg.svd(table - table.mean(0), full_matrices=False)
    strongest = torch.tensor(u[:, :64] * s[:64], dtype=torch.float32)
    return 0.5 * strongest / strongest.std()


@dataclass(frozen=True)
class Written:
    """The reviews: written for this course, 448 of them.

    Args:
        reviews: text and judgement.
        ids: their tokens (448, T), numbered from 1 among those that occur; 0 is padding.
        counted: rows for the tokens that Python's documentation has, by their place.
        pretrained: MiniLM's rows (N, 64).
    """

    reviews: list[data.Review]
    ids: Tensor
    counted: dict[int, Tensor]
    pretrained: Tensor

    @property
    def positive(self) -> Tensor:
        """What each review is: 1, or 0 for negative."""
        return torch.tensor([int(review.positive) for review in self.reviews])

    def split(self, start: int, n: int) -> tuple[Tensor, Tensor]:
        """The numbers of so many reviews to learn from, and of those held out."""
        with seeded(start):
            order = torch.randperm(len(self.reviews))
        return order[N_HELD_OUT : N_HELD_OUT + n], order[:N_HELD_OUT]

    def tables(self, seed: int) -> dict[str, Tensor]:
        """The three that a model may start with; words that a text lacks start random."""
        with seeded(seed):
            first, own = 0.02 * torch.randn(2, len(self.pretrained), 64)  # as usual
        for place, row in self.counted.items():
            own[place] = row
        return {"random": first, "counted": own, "MiniLM's": self.pretrained}


def written(minilm: tuple[BERT, WordPiece]) -> Written:
    """The reviews in MiniLM's tokens, and the tables for them."""
    model, wordpiece = minilm
    all_reviews = [review for side in data.reviews() for review in side]
    encoded = [torch.tensor(wordpiece.encode(review.text)) for review in all_reviews]
    used = torch.cat(encoded).unique()
    ids = nn.utils.rnn.pad_sequence([torch.searchsorted(used, row) + 1 for row in encoded], batch_first=True)
    vocabulary, numbered = numbers(texts())
    vectors = reduced(counted(numbered, len(vocabulary)))
    row_of = {word: number for number, word in enumerate(vocabulary.tokens)}
    names = [wordpiece.tokens[number] for number in used.tolist()]
    own = {place: vectors[row_of[name]] for place, name in enumerate(names) if name in row_of}
    return Written(all_reviews, ids, own, reduced(model.token_embedding.weight.detach().cpu().numpy()[used]))


def right(
    made: Written,
    table: Tensor,
    start: int,
    n: int,
    steps: int,
    make: Callable[[Tensor], Any] = Reader,
    train: Train = train,
) -> float:
    """The share of held-out reviews that a model gets right which starts with this table."""
    learn, test = made.split(start, n)
    with seeded(start):
        model = make(table)
        train(model, made.ids[learn], made.positive[learn], steps)
    with torch.no_grad():
        return (model(made.ids[test]).argmax(1) == made.positive[test]).float().mean().item()


def words_counted(made: Written, start: int, n: int) -> float:
    """The same by counting words, with a weight for each."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=3))
    learn, test = ([made.reviews[i] for i in of.tolist()] for of in made.split(start, n))
    model.fit([review.text for review in learn], [review.positive for review in learn])
    return float(model.score([review.text for review in test], [review.positive for review in test]))


@dataclass(frozen=True)
class RandomOrPretrained:
    """Shares of held-out reviews that are told right, for each start.

    Args:
        curves: by table, with each of `AMOUNTS`; at its best learning rate.
        longer: with a random table and the most reviews, trained three times as long; at its best rate.
        words: by counting words, with each of `AMOUNTS`.
        unknown: the share of the reviews' different tokens that the counted table lacks.
    """

    curves: Mapping[str, tuple[Shares, ...]]
    longer: Shares
    words: tuple[Shares, ...]
    unknown: float

    def _gains(self, over: str | Sequence[Shares], table: str = "MiniLM's") -> NDArray:
        """How much more a table gets right than another or another way, by start, with 64 and 256 reviews."""
        others = self.curves[over] if isinstance(over, str) else over
        return (np.array(self.curves[table]) - np.array(others))[:, 1:]

    @property
    def gain(self) -> float:
        """MiniLM's table more than a random one, with 64 and 256 reviews, at least."""
        return interval(self._gains("random").mean(1))[0]

    @property
    def over_longer(self) -> float:
        """MiniLM's table more than a random one that was trained for longer, with 256, at least."""
        pairs = zip(self.curves["MiniLM's"], self.longer, strict=True)
        return interval(curve[-1] - late for curve, late in pairs)[0]

    @property
    def over_words(self) -> float:
        """More than counting words, with 64 and 256, at least."""
        return interval(self._gains(self.words).mean(1))[0]

    @property
    def own(self) -> float:
        """What a table that we counted gains, as a share of what MiniLM's gains, with 64 and 256."""
        return float(self._gains("random", "counted").mean() / self._gains("random").mean())


@trains(Trained(40, 120, rates=RATES, but="A table has 64 numbers a word, whatever they start as."))
def random_or_pretrained(
    minilm: tuple[BERT, WordPiece],
    seed: int = 0,
    *,
    starts: int = 6,
    steps: int = 40,
    longer: int = 120,
    rates: Sequence[float] = RATES,
    make: Callable[[Tensor], Any] = Reader,
    train: Train = train,
) -> RandomOrPretrained:
    """Does a small model that learns to judge reviews gain from a table that knows words already?

    Rival: a random table that starts small, as usual, also trained three times as long; counting words with
        logistic regression.
    Equal for all: the reviews to learn from, those held out, and their order; the model, its other numbers
        and the steps, but for that rival; the rates that are tried, of which the best counts, by amount.
    Does not show: reviews from life, for these were written for the course; vectors made to be downloaded,
        for MiniLM's table is the first layer of a model; how many labels would close the gap.

    Args:
        minilm: its table and its tokens.
        seed: of the first start.
        starts: each with other reviews held out.
        steps, longer: of training, and of the rival's.
        rates: learning rates.
        make: (table) -> the model.
        train: (model, ids, labels, steps, rate) -> trains it.
    """
    made, own = written(minilm), starts_of(seed, starts)
    tables = [made.tables(start) for start in own]

    def best(name: str, n: int, steps: int) -> Shares:
        """What each start gets right, at the rate at which they get most."""
        tried = (
            tuple(
                right(made, table[name], start, n, steps, make, partial(train, rate=rate))
                for start, table in zip(own, tables, strict=True)
            )
            for rate in rates
        )
        return max(tried, key=mean)

    curves = {
        name: tuple(zip(*(best(name, n, steps) for n in AMOUNTS), strict=True))
        for name in bar(tables[0], "tables")
    }
    words = tuple(tuple(words_counted(made, start, n) for n in AMOUNTS) for start in own)
    unknown = 1 - len(made.counted) / len(made.pretrained)
    return RandomOrPretrained(curves, best("random", AMOUNTS[-1], longer), words, unknown)
