"""Data that Python, scikit-learn or the course itself brings: nothing is downloaded, a seed repeats a draw.

Text: `pydoc_data.topics` (what `help("if")` prints) and the docstrings of the standard library, by the Python
developers, PSF licence. Other credits stand with the functions. Each size too small raises a ValueError.
"""

import ast
import itertools
import re
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, SupportsInt

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from torch import Generator, Tensor

from course_lib.objectives import IGNORE

Words = Sequence[str]
Pair = tuple[list[str], list[str]]  # the words of a sentence in English and in German
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unknown>")  # for the vocabulary of a translator
CONTOURS = {"rise": (0, 1, 2), "fall": (2, 1, 0), "peak": (0, 2, 1), "dip": (2, 0, 1)}  # of three pitches
Rng = Generator | None  # where random numbers come from; None: torch's own source
_PACKAGES = """asyncio collections concurrent email html http importlib json logging multiprocessing re
    unittest urllib wsgiref xml xmlrpc"""  # on every platform; modules at the top level are all read
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FOLDER = Path(__file__).parent
_INSTALL = "install the full standard library, or Python from python.org or conda"
_CODE = re.compile(r">>>|::=|[{}=_\\/+]{3,}|\*\*\*|---|~~~")
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z])")
_SYMBOL = re.compile(r"[^\w\s,.;:'\"()-]")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_COPIED_RUN = 6  # so many words in a row are taken from elsewhere, not written twice by chance


class MissingTextError(RuntimeError):
    """This Python installation lacks the text that the course reads."""


class Sentence(NamedTuple):
    """A sentence as written, its words in lower case, and the document that it stands in."""

    text: str
    words: tuple[str, ...]
    document: str


class Review(NamedTuple):
    """A short review, whether it is positive, and what kind of thing it is about."""

    text: str
    positive: bool
    topic: str


class Examples(NamedTuple):
    """Inputs and targets: a class for each row, or a token for each token, `IGNORE` where none is asked."""

    inputs: Tensor
    targets: Tensor


@cache
def python_topics() -> Mapping[str, str]:
    """Python's language reference by topic, 465,000 characters. Raises: MissingTextError: it is not there."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise MissingTextError(f"this Python comes without pydoc_data.topics; {_INSTALL}") from None
    return dict(sorted(topics.items()))


@cache
def docstrings(folder: str | Path | None = None) -> Mapping[str, str]:
    """Docstrings by module file, by default the standard library's. Raises: MissingTextError: none found."""
    root = Path(folder or sysconfig.get_path("stdlib"))
    files = [*root.glob("*.py"), *(f for name in _PACKAGES.split() for f in (root / name).rglob("*.py"))]
    found = {}
    for file in sorted(files):  # without tests, which some versions keep in a package: they are no prose
        if "test" not in file.relative_to(root).parts:
            nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            texts = (ast.get_docstring(node) for node in nodes if isinstance(node, _DOCUMENTED))
            found[file.relative_to(root).as_posix()] = "\n\n".join(filter(None, texts))
    if not any(found.values()):
        raise MissingTextError(f"no docstring found in {root}: a library without the source; {_INSTALL}")
    return {name: text for name, text in found.items() if text}


def sentences(documents: Mapping[str, str], n_words: int) -> list[Sentence]:
    """Prose of n_words or more, by sentence, without code; of those with equal first n_words one is kept."""
    if n_words < 1:
        raise ValueError(f"a sentence has at least one word; n_words is {n_words}")
    kept: dict[tuple[str, ...], Sentence] = {}
    for name, document in documents.items():
        paragraphs = (" ".join(x.split()) for x in re.split(r"\n\s*\n", document) if not _CODE.search(x))
        for text in itertools.chain.from_iterable(map(_SENTENCE_END.split, paragraphs)):
            words = tuple(_WORD.findall(text.lower()))
            if len(words) >= n_words and len(_SYMBOL.findall(text)) <= 2:  # with more it is code, not prose
                kept.setdefault(words[:n_words], Sentence(text, words, name))
    return list(kept.values())


def split_by_document(found: Iterable[Sentence], n_words: int) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences: a fifth of the documents is held out, the same in every run.
    A held-out sentence whose first n_words share six in a row with a training sentence's is a copy: dropped.
    """

    def runs(sentence: Sentence) -> set[tuple[str, ...]]:
        return set(zip(*(sentence.words[start:n_words] for start in range(_COPIED_RUN)), strict=False))

    train, held_out = list[Sentence](), list[Sentence]()
    for sentence in found:  # by a checksum rather than hash(), which differs from run to run
        (train if zlib.crc32(sentence.document.encode()) % 5 else held_out).append(sentence)
    seen = set[tuple[str, ...]]().union(*map(runs, train))
    return train, [sentence for sentence in held_out if seen.isdisjoint(runs(sentence))]


def python_sentences(n_words: int = 12) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences, n_words or longer, from the language reference and the docstrings."""
    return split_by_document(sentences({**python_topics(), **docstrings()}, n_words), n_words)


class Vocabulary:
    """A number for each of the most frequent words, and one for all others.
    Args: texts: sentences as words. size: how many numbers there are. special: no words; they come first.
    Example:
        >>> Vocabulary([["to", "be", "or", "not", "to", "be"]], size=4).encode(["to", "see"])
        [3, 1]
    """

    def __init__(self, texts: Iterable[Words], size: int, special: Words = ("<cls>", "<unknown>")) -> None:
        if size <= (n := len(special)):
            raise ValueError(f"a vocabulary with {n} special tokens needs a size above that; got {size}")
        counts = Counter(word for words in texts for word in words)
        for token in special:
            del counts[token]  # in the text it means the same as in front
        # Ties go by alphabet, not by order of reading.
        self.tokens = [*special, *sorted(counts, key=lambda word: (-counts[word], word))[: size - n]]
        self._ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, words: Words) -> list[int]:
        """The words' numbers. Raises: TypeError: one string, whose characters would be taken for words."""
        if isinstance(words, str):
            raise TypeError(f"encode needs a list of words, not one string: try {words!r}.lower().split()")
        return [self._ids.get(word, self._ids["<unknown>"]) for word in words]

    def decode(self, ids: Iterable[SupportsInt]) -> list[str]:
        """The words behind the numbers in a list or tensor. Raises: ValueError: not in the vocabulary."""
        numbers = [int(number) for number in ids]
        if wrong := ", ".join(str(number) for number in numbers if not 0 <= number < len(self)):
            raise ValueError(f"the vocabulary has the numbers 0 to {len(self) - 1}; got {wrong}")
        return [self.tokens[number] for number in numbers]


def characters(text: str | None = None, held_out: float = 0.1) -> tuple[str, Tensor, Tensor]:
    """A text (default: all topics) by character: table, training ids, ids of the share at the end, held out.
    Example:
        >>> characters("abracadabra", held_out=0.3)
        ('abcdr', tensor([0, 1, 4, 0, 2, 0, 3, 0]), tensor([1, 4, 0]))
    """
    text = "\n".join(python_topics().values()) if text is None else text
    cut = len(text) - round(len(text) * held_out)
    if not 0 < cut < len(text):
        raise ValueError(f"cannot hold out {held_out} of a text of {len(text)} characters: a side is empty")
    table = "".join(sorted(set(text)))
    ids = torch.tensor([table.index(character) for character in text])
    return table, ids[:cut], ids[cut:]


def windows(ids: Int[Tensor, "N"], length: int, batch_size: int, generator: Rng = None) -> Iterator[Tensor]:
    """Endless batches (B, length + 1) of pieces that start anywhere in a text: a shift leaves length."""
    _at_least(length=(1, length), batch_size=(1, batch_size))
    if length >= len(ids):
        raise ValueError(f"a window of {length} + 1 tokens does not fit into a text of {len(ids)}")
    pieces = ids.unfold(0, length + 1, 1)  # all of them, as a view
    return (pieces[torch.randint(len(pieces), (batch_size,), generator=generator)] for _ in itertools.count())


def batches(*tensors: Tensor, batch_size: int, generator: Rng = None) -> Iterator[tuple[Tensor, ...]]:
    """One epoch: rows of all tensors in one random order, batch by batch; the last batch may be smaller."""
    _at_least(batch_size=(1, batch_size))
    if len(rows := {len(tensor) for tensor in tensors}) != 1:
        raise ValueError(f"batches needs tensors with equally many rows; got {sorted(rows)}")
    parts = torch.randperm(*rows, generator=generator).split(batch_size)
    return (tuple(tensor[part] for tensor in tensors) for part in parts)


def copy(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Symbols from 1 on, then a 0 for each: repeat them there (Graves et al. 2014, section 4.1)."""
    _at_least(batch_size=(1, batch_size), length=(1, length), vocab_size=(3, vocab_size))
    symbols = torch.randint(1, vocab_size, (batch_size, length), generator=generator)
    return Examples(F.pad(symbols, (0, length)), F.pad(symbols, (length, 0), value=IGNORE))


def reverse(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Like `copy`, but the last symbol is wanted first."""
    inputs, targets = copy(batch_size, length, vocab_size, generator)
    return Examples(inputs, targets.roll(length, 1).flip(1))


def recall(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """`length` pairs of key and value, then a key: say its value (associative recall, Ba et al. 2016).
    With n = (vocab_size - 1) // 2, keys are 1 to n, none twice; values are n + 1 to vocab_size - 1.
    """
    _at_least(batch_size=(1, batch_size), length=(1, length), vocab_size=(2 * length + 1, vocab_size))
    n = (vocab_size - 1) // 2
    keys = torch.rand(batch_size, n, generator=generator).argsort(1)[:, :length] + 1
    values = torch.randint(n + 1, vocab_size, (batch_size, length), generator=generator)
    asked = torch.randint(length, (batch_size, 1), generator=generator)
    inputs = torch.cat([torch.stack([keys, values], 2).flatten(1), keys.gather(1, asked)], 1)
    return Examples(inputs, F.pad(values.gather(1, asked), (2 * length, 0), value=IGNORE))


def order(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Once each 1 and 2 among `length` symbols, then a 0: say there which of the two came first.
    The second half of the batch is the first with 1 and 2 exchanged: a bag of words is right half the time.
    """
    _at_least(batch_size=(1, batch_size), length=(2, length), vocab_size=(4, vocab_size))
    rank = torch.rand((batch_size + 1) // 2, length, generator=generator).argsort(1)
    other = torch.randint(3, vocab_size, rank.shape, generator=generator)
    inputs = torch.cat([torch.where(rank < 2, mark, other) for mark in (1 + rank, 2 - rank)])[:batch_size]
    first = inputs.gather(1, (inputs < 3).int().argmax(1, keepdim=True))
    return Examples(F.pad(inputs, (0, 1)), F.pad(first, (length, 0), value=IGNORE))


def two_relations(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Each token but the ends asks: which mark, 1 or 2, came last before me, and which comes next after me?
    The answer is 2 (before - 1) + after - 1. The ends and two in five of the others are marks, so distances
    vary: one softmax has to share out its weight between two marks, two heads can look one way each.
    """
    _at_least(batch_size=(1, batch_size), length=(3, length), vocab_size=(4, vocab_size))
    marked = F.pad(torch.rand(batch_size, length - 2, generator=generator) < 0.4, (1, 1), value=True)
    other = torch.randint(3, vocab_size, marked.shape, generator=generator)
    inputs = torch.where(marked, torch.randint(1, 3, marked.shape, generator=generator), other)
    before = torch.where(marked, torch.arange(length), 0)[:, :-2].cummax(1).values
    after = torch.where(marked, torch.arange(length), length)[:, 2:].flip(1).cummin(1).values.flip(1)
    answers = 2 * (inputs.gather(1, before) - 1) + inputs.gather(1, after) - 1
    return Examples(inputs, F.pad(answers, (1, 1), value=IGNORE))


def digits(held_out: float = 0.2, seed: int = 0) -> tuple[Examples, Examples]:
    """1,797 handwritten digits (N, 1, 8, 8) in [0, 1] (Alpaydin, Kaynak 1998, UCI, CC BY 4.0; scikit-learn).
    Returns: training, held-out: a share of every digit, drawn by the seed. The same 13 people wrote both.
    """
    from sklearn import datasets, model_selection

    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be a share above 0 and below 1; got {held_out}")
    pixels, y = datasets.load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32").reshape(-1, 1, 8, 8)
    parts = model_selection.train_test_split(x, y, test_size=held_out, random_state=seed, stratify=y)
    train, test, train_labels, test_labels = map(torch.tensor, parts)
    return Examples(train, train_labels), Examples(test, test_labels)


def photographs() -> dict[str, Float[Tensor, "3 427 640"]]:
    """In [0, 1], from scikit-learn, CC BY 2.0: "China" by danielbuechele, "Flower" by vultilion (Flickr)."""
    from sklearn.datasets import load_sample_image

    found = {name: load_sample_image(f"{name.lower()}.jpg") for name in ("China", "Flower")}
    return {name: torch.tensor(image).permute(2, 0, 1) / 255 for name, image in found.items()}


def translations(n: int, generator: Rng = None) -> tuple[list[Pair], list[Pair]]:
    """English sentences in German, n draws of 237 million, none twice (english_german.yml, ours, CC BY 4.0).
    Returns: training, held-out: a tenth, chosen by a checksum, so that a sentence has one side in all draws.
    """
    _at_least(n=(1, n))
    train, held_out = list[Pair](), list[Pair]()
    grammar = yaml.safe_load((_FOLDER / "english_german.yml").read_text(encoding="utf-8"))
    parts = ("frames", "verbs", "determiners", "qualities", "persons", "determiners", "looks", "things")
    draws = [torch.randint(len(grammar[part]), (n,), generator=generator) for part in parts]
    for choice in dict.fromkeys(zip(*(draw.tolist() for draw in draws), strict=True)):
        (english, german), verb, *nouns = (grammar[x][i] for x, i in zip(parts, choice, strict=True))
        for role, article, adjective, noun in (("subject", *nouns[:3]), ("object", *nouns[3:])):
            english = english.replace(role, f"{article['en']} {adjective[0]} {noun[0]}")
            german = german.replace(role, f"{article[role][noun[2]].format(adjective[1])} {noun[1]}")
        pair = english.format(**verb[0]).split(), german.format(**verb[1]).split()
        (train if zlib.crc32(" ".join(pair[0]).encode()) % 10 else held_out).append(pair)
    return train, held_out


def sounds(n: int, noise: float = 0.05, generator: Rng = None) -> Examples:
    """Melodies of three notes, 0.1 s each at 8,000 samples a second: waves (N, 2400), classes in CONTOURS.
    Random: lowest pitch (200 to 400 Hz), steps up (3 to 5 semitones), overtones, phase, loudness, noise.
    """
    _at_least(n=(1, n))
    classes = torch.randint(len(CONTOURS), (n,), generator=generator)
    lowest, phase, loudness, *steps = torch.rand(5, n, 1, generator=generator)
    heights = F.pad(3 + 2 * torch.cat(steps, 1), (1, 0)).cumsum(1)  # semitones above the lowest pitch
    semitones = heights.gather(1, torch.tensor(list(CONTOURS.values()))[classes])
    pitch = (200 * 2 ** (lowest + semitones / 12)).repeat_interleave(800, 1)
    angle = 2 * torch.pi * (phase + pitch.double().cumsum(1) / 8000)
    tones = [torch.rand(n, 1, generator=generator) / h * (h * angle).sin() for h in range(1, 5)]
    wave = torch.stack(tones).sum(0)
    wave = wave / wave.abs().amax(1, keepdim=True) + noise * torch.randn(n, 2400, generator=generator)
    return Examples((wave * (0.2 + 0.6 * loudness)).clamp(-1, 1).float(), classes)


def reviews() -> tuple[list[Review], list[Review]]:
    """448 reviews, half of them positive (reviews.yml, ours, CC BY 4.0): training; each fifth held out."""
    train, held_out = list[Review](), list[Review]()
    for topic, verdicts in yaml.safe_load((_FOLDER / "reviews.yml").read_text(encoding="utf-8")).items():
        for verdict, texts in verdicts.items():
            for number, text in enumerate(texts, start=1):
                (train if number % 5 else held_out).append(Review(text, verdict == "positive", topic))
    return train, held_out


def _at_least(**least_and_came: tuple[int, int]) -> None:
    for name, (least, came) in least_and_came.items():
        if came < least:
            raise ValueError(f"{name} must be at least {least}; got {came}")
