"""Are subwords shorter than a list of words, and do their cuts mean anything?"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from course_lib import data, maths
from course_lib.bpe import BPETokenizer, byte_characters
from course_lib.claims import interval
from course_lib.decoder import GPT

SIZES = (256, 512, 1024, 2048, 4096, 8192)  # tokens in a vocabulary


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
        ours: after how many letters our largest tokenizer cuts each compound.
    """

    hits: Mapping[str, tuple[tuple[bool, ...], ...]]
    across: int
    real: Mapping[str, tuple[str, ...]]
    ours: Mapping[str, Sequence[int]]

    @property
    def shares(self) -> dict[str, tuple[float, ...]]:
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

    @property
    def exact(self) -> float:
        """How many become exactly their two words in our largest tokenizer."""
        seams = data.compounds()
        return mean(list(at) == [seams[word]] for word, at in self.ours.items())


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
        found,
    )
