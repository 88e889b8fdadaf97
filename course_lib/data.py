"""Data that Python, scikit-learn or the course itself brings: nothing is downloaded, a seed repeats a draw.

Text: `pydoc_data.topics` (what `help("if")` prints) and the docstrings of the standard library, by the Python
developers, PSF licence (LICENSE-PYTHON). The course carries those of Python 3.11.7: each Python words them in
another way, and a number here should not change with it. Other credits stand with the functions. Each size
too small raises a ValueError.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, SupportsInt

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from course_lib.objectives import IGNORE

Words = Sequence[str]
SPECIAL = ("<end>", "<start>", "<unknown>")  # of both vocabularies of a translator: 0, 1 and 2
CONTOURS = {  # how high three pitches are
    "rise": (0, 1, 2),
    "fall": (2, 1, 0),
    "peak": (0, 2, 1),
    "dip": (2, 0, 1),
}
Rng = Generator | None  # where random numbers come from; None: torch's own source

_FOLDER = Path(__file__).parent
_CODE = re.compile(r">>>|::=|[{}=_\\/+]{3,}|\*\*\*|---|~~~")
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z])")
_SYMBOL = re.compile(r"[^\w\s,.;:'\"()-]")
_MOST_SYMBOLS = 2  # with more it is code, not prose
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_COPIED_RUN = 6  # so many words in a row are taken from elsewhere, not written twice by chance
_SAMPLE_RATE = 8000  # of `sounds`, in samples a second
_NOTE = 800  # samples


class Sentence(NamedTuple):
    """A sentence as written, its words in lower case, and the document that it stands in.

    Example: see `sentences`.
    """

    text: str
    words: tuple[str, ...]
    document: str


class Review(NamedTuple):
    """A short review, whether it is positive, and what kind of thing it is about.

    Example: see `reviews`.
    """

    text: str
    positive: bool
    topic: str


class Question(NamedTuple):
    """A question, the numbers of the sentences that answer it, and whether it shares a word with them.

    Example: see `questions`.
    """

    asks: str
    right: tuple[int, ...]
    same_words: bool


class Examples(NamedTuple):
    """Inputs and targets: a class for each row, or a token for each token, `IGNORE` where none is asked.

    Example: see `digits`.
    """

    inputs: Tensor
    targets: Tensor


def python_topics() -> Mapping[str, str]:
    """Python's language reference by topic, 465,000 characters.

    Example:
        >>> len(python_topics()), python_topics()["assert"][:22]
        (79, 'The "assert" statement')
    """
    return _python_texts()["topics"]


def docstrings() -> Mapping[str, str]:
    """The docstrings of the standard library by module file, 1,392,000 characters.

    Example:
        >>> len(docstrings()), docstrings()["bisect.py"][:20]
        (325, 'Bisection algorithms')
    """
    return _python_texts()["docstrings"]


@cache
def _python_texts() -> dict[str, dict[str, str]]:
    return json.loads(gzip.decompress((_FOLDER / "python_texts.json.gz").read_bytes()))


def sentences(documents: Mapping[str, str], n_words: int) -> list[Sentence]:
    """Prose by sentence, without code.

    Args:
        documents: texts by name.
        n_words: how many words a sentence has at least; of those with equal first n_words one is kept.
    Raises: ValueError: n_words below 1.
    Example:
        >>> [found] = sentences({"Hamlet": "To be or not to be. Be brief!"}, n_words=3)
        >>> found.text, found.words[:3], found.document
        ('To be or not to be.', ('to', 'be', 'or'), 'Hamlet')
    """
    if n_words < 1:
        raise ValueError(f"a sentence has at least one word; n_words is {n_words}")
    kept: dict[tuple[str, ...], Sentence] = {}
    for name, document in documents.items():
        for text in _prose(document):
            words = tuple(_WORD.findall(text.lower()))
            if len(words) >= n_words:
                kept.setdefault(words[:n_words], Sentence(text, words, name))
    return list(kept.values())


def _prose(document: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", document):
        if _CODE.search(paragraph):
            continue
        line = " ".join(paragraph.split())
        for text in _SENTENCE_END.split(line):
            if len(_SYMBOL.findall(text)) <= _MOST_SYMBOLS:
                yield text


def split_by_document(found: Iterable[Sentence], n_words: int) -> tuple[list[Sentence], list[Sentence]]:
    """Hold out a fifth of the documents, the same in every run.

    Args:
        found: sentences, of which the first n_words are used.
    Returns: training and held-out sentences. A held-out one that shares six words in a row with a training
        sentence is a copy: dropped.
    Example:
        >>> train, held_out = split_by_document(sentences(python_topics(), n_words=12), n_words=12)
        >>> {sentence.document for sentence in train} & {sentence.document for sentence in held_out}
        set()
    """
    train = list[Sentence]()
    held_out = list[Sentence]()
    for sentence in found:
        side = held_out if _checksum(sentence.document) % 5 == 0 else train
        side.append(sentence)
    seen = {run for sentence in train for run in _runs(sentence.words[:n_words])}
    fresh = [sentence for sentence in held_out if seen.isdisjoint(_runs(sentence.words[:n_words]))]
    return train, fresh


def _runs(words: Words) -> Iterator[Words]:
    for start in range(len(words) - _COPIED_RUN + 1):
        yield words[start : start + _COPIED_RUN]


def _checksum(text: str) -> int:
    # hash() would differ from run to run.
    return zlib.crc32(text.encode())


def python_sentences(n_words: int = 12) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences, n_words or longer, from the language reference and the docstrings.

    Example:
        >>> train, held_out = python_sentences(n_words=30)
        >>> len(train), len(held_out)
        (642, 159)
    """
    documents = {**python_topics(), **docstrings()}
    return split_by_document(sentences(documents, n_words), n_words)


class Vocabulary:
    """A number for each of the most frequent words, and one for all others.

    Args:
        texts: sentences as words.
        size: how many numbers there are.
        special: no words; they come first. "<unknown>" stands for all words that have no number.
    Raises: ValueError: no number is left for a word; "<unknown>" is missing.
    Example:
        >>> Vocabulary([["to", "be", "or", "not", "to", "be"]], size=4).encode(["to", "see"])
        [3, 1]
    """

    def __init__(self, texts: Iterable[Words], size: int, special: Words = ("<cls>", "<unknown>")) -> None:
        if size <= (n := len(special)):
            raise ValueError(f"a vocabulary with {n} special tokens needs a size above that; got {size}")
        if "<unknown>" not in special:
            raise ValueError(f"special must name '<unknown>', for words without a number; got {special!r}")
        counts = Counter(word for words in texts for word in words)
        for token in special:
            del counts[token]  # in the text it means the same as in front
        # Ties go by alphabet, not by order of reading.
        self.tokens = [*special, *sorted(counts, key=lambda word: (-counts[word], word))[: size - n]]
        self._ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, words: Words) -> list[int]:
        """The words' numbers.

        Raises: TypeError: one string, whose characters would be taken for words.
        Example:
            >>> Vocabulary([["to", "be"]], size=4).encode(["to", "see"])
            [3, 1]
        """
        if isinstance(words, str):
            raise TypeError(f"encode needs a list of words, not one string: try {words!r}.lower().split()")
        unknown = self._ids["<unknown>"]
        return [self._ids.get(word, unknown) for word in words]

    def decode(self, ids: Iterable[SupportsInt]) -> list[str]:
        """The words behind the numbers in a list or tensor.

        Raises: ValueError: a number that is not in the vocabulary.
        Example:
            >>> Vocabulary([["to", "be"]], size=4).decode([3, 2])
            ['to', 'be']
        """
        numbers = [int(number) for number in ids]
        wrong = [str(number) for number in numbers if not 0 <= number < len(self)]
        if wrong:
            raise ValueError(f"the vocabulary has the numbers 0 to {len(self) - 1}; got {', '.join(wrong)}")
        return [self.tokens[number] for number in numbers]


class Translations(NamedTuple):
    """Vocabularies of two languages, and sentences in both by number: to learn from, and held out.

    English is (N, S), German (N, T) and begins with "<start>". "<end>", which is 0, fills up each row.

    Example: see `translations`.
    """

    english: Vocabulary
    german: Vocabulary
    train: tuple[Int[Tensor, "N S"], Int[Tensor, "N T"]]
    held_out: tuple[Int[Tensor, "M S"], Int[Tensor, "M T"]]


def characters(text: str | None = None, held_out: float = 0.1) -> tuple[str, Tensor, Tensor]:
    """A text by character.

    Args:
        text: default: all topics of the language reference.
        held_out: the share at the end that is held out.
    Returns: the table of characters, training ids, held-out ids.
    Raises: ValueError: nothing would be left on one side.
    Example:
        >>> characters("abracadabra", held_out=0.3)
        ('abcdr', tensor([0, 1, 4, 0, 2, 0, 3, 0]), tensor([1, 4, 0]))
    """
    if text is None:
        text = "\n".join(python_topics().values())
    cut = len(text) - round(len(text) * held_out)
    if not 0 < cut < len(text):
        raise ValueError(f"cannot hold out {held_out} of a text of {len(text)} characters: a side is empty")
    table = "".join(sorted(set(text)))
    number_of = {character: number for number, character in enumerate(table)}
    ids = torch.tensor([number_of[character] for character in text])
    return table, ids[:cut], ids[cut:]


def windows(
    ids: Int[Tensor, " N"],
    length: int,
    batch_size: int,
    generator: Rng = None,
) -> Iterator[Tensor]:
    """Endless batches of pieces that start anywhere in a text.

    Args:
        ids: the text.
        length: of a piece, less one: a shift leaves length.
        batch_size: pieces in a batch.
        generator: where random numbers come from; None: torch's own source.
    Returns: batches (batch_size, length + 1), without end.
    Raises: ValueError: the text is shorter than a piece.
    Example:
        >>> next(windows(torch.arange(5), length=4, batch_size=2))
        tensor([[0, 1, 2, 3, 4],
                [0, 1, 2, 3, 4]])
    """
    _check_at_least("length", length, 1)
    _check_at_least("batch_size", batch_size, 1)
    if length >= len(ids):
        raise ValueError(f"a window of {length} + 1 tokens does not fit into a text of {len(ids)}")
    pieces = ids.unfold(0, length + 1, 1)  # all of them, as a view

    def draw() -> Iterator[Tensor]:
        while True:
            starts = torch.randint(len(pieces), (batch_size,), generator=generator)
            yield pieces[starts]

    return draw()


def batches(
    *tensors: Tensor,
    batch_size: int,
    generator: Rng = None,
) -> Iterator[tuple[Tensor, ...]]:
    """One epoch: rows of all tensors in one random order, batch by batch; the last batch may be smaller.

    Args:
        tensors: with equally many rows.
        batch_size: rows in a batch.
        generator: where random numbers come from; None: torch's own source.
    Returns: for each batch its rows of each tensor.
    Raises: ValueError: tensors with different numbers of rows, or none.
    Example:
        >>> [len(rows) for (rows,) in batches(torch.arange(5), batch_size=2)]
        [2, 2, 1]
    """
    _check_at_least("batch_size", batch_size, 1)
    n_rows = {len(tensor) for tensor in tensors}
    if len(n_rows) != 1:
        raise ValueError(f"batches needs tensors with equally many rows; got {sorted(n_rows)}")
    shuffled = torch.randperm(*n_rows, generator=generator)
    parts = shuffled.split(batch_size) if len(shuffled) else ()
    return (tuple(tensor[rows] for tensor in tensors) for rows in parts)


def pair_recall(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Tokens that hold a key and a value, then each key without one: say its value there.

    Every token is two numbers, whose embeddings are added; 0 stands for the value that is missing.

    Args:
        batch_size: how many sequences.
        length: how many pairs. Their keys are 1 to length in a random order; they are asked in another.
        vocab_size: values are length + 1 to vocab_size - 1.
        generator: where random numbers come from; None: torch's own source.
    Returns: inputs (batch_size, 2 length, 2), targets (batch_size, 2 length).
    Example:
        >>> inputs, targets = pair_recall(1, 3, 9)
        >>> sorted(inputs[0, :3, 0].tolist()), sorted(inputs[0, 3:, 0].tolist()), inputs[0, 3:, 1].tolist()
        ([1, 2, 3], [1, 2, 3], [0, 0, 0])
    """
    _check_sizes(batch_size, length, vocab_size, least_length=1, least_vocab_size=length + 3)
    keys = 1 + torch.rand(batch_size, length, generator=generator).argsort(1)
    values = torch.randint(length + 1, vocab_size, (batch_size, length), generator=generator)
    asked = torch.rand(batch_size, length, generator=generator).argsort(1)
    pairs = torch.stack([keys, values], 2)
    questions = F.pad(keys.gather(1, asked)[..., None], (0, 1))
    targets = F.pad(values.gather(1, asked), (length, 0), value=IGNORE)
    return Examples(torch.cat([pairs, questions], 1), targets)


def order(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Once each 1 and 2 among other symbols, then a 0: say there which of the two came first.

    The second half of the batch is the first with 1 and 2 exchanged: a bag of words is right half the time.

    Args:
        batch_size: how many sequences.
        length: how many symbols, the marks 1 and 2 among them.
        vocab_size: the others are 3 to vocab_size - 1.
        generator: where random numbers come from; None: torch's own source.
    Returns: inputs and targets (batch_size, length + 1).
    Example:
        >>> inputs, targets = order(2, 5, 9)
        >>> inputs[:, -1].tolist(), sorted(targets[:, -1].tolist())
        ([0, 0], [1, 2])
    """
    _check_sizes(batch_size, length, vocab_size, least_length=2, least_vocab_size=4)
    half = (batch_size + 1) // 2
    rank = torch.rand(half, length, generator=generator).argsort(1)
    others = torch.randint(3, vocab_size, (half, length), generator=generator)
    # In each row one place has rank 0, another rank 1: the marks stand there.
    one_then_two = torch.where(rank < 2, 1 + rank, others)
    exchanged = torch.where(rank < 2, 2 - rank, others)
    inputs = torch.cat([one_then_two, exchanged])[:batch_size]
    first_place = (inputs < 3).int().argmax(1, keepdim=True)
    first_mark = inputs.gather(1, first_place)
    targets = F.pad(first_mark, (length, 0), value=IGNORE)
    return Examples(F.pad(inputs, (0, 1)), targets)


def two_relations(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Each token but the ends asks: which mark, 1 or 2, came last before me, and which comes next after me?

    The answer is 2 (before - 1) + after - 1. The ends and two in five of the others are marks, so distances
    vary: one softmax has to share out its weight between two marks, two heads can look one way each.

    Args:
        batch_size: how many sequences.
        length: how many tokens, ends included.
        vocab_size: tokens that are no marks are 3 to vocab_size - 1.
        generator: where random numbers come from; None: torch's own source.
    Returns: inputs and targets (batch_size, length).
    Example:
        >>> inputs, targets = two_relations(1, 3, 9)
        >>> before, _, after = inputs[0].tolist()
        >>> targets[0, 1].item() == 2 * (before - 1) + after - 1
        True
    """
    _check_sizes(batch_size, length, vocab_size, least_length=3, least_vocab_size=4)
    inner = torch.rand(batch_size, length - 2, generator=generator) < 0.4
    is_mark = F.pad(inner, (1, 1), value=True)
    others = torch.randint(3, vocab_size, is_mark.shape, generator=generator)
    marks = torch.randint(1, 3, is_mark.shape, generator=generator)
    inputs = torch.where(is_mark, marks, others)
    places = torch.arange(length)
    # The place of the last mark up to each token, and of the next mark from each token on.
    last = torch.where(is_mark, places, 0).cummax(1).values
    following = torch.where(is_mark, places, length)
    following = following.flip(1).cummin(1).values.flip(1)
    before = inputs.gather(1, last[:, :-2])
    after = inputs.gather(1, following[:, 2:])
    answers = 2 * (before - 1) + after - 1
    return Examples(inputs, F.pad(answers, (1, 1), value=IGNORE))


def three_back(batch_size: int, length: int, vocab_size: int, generator: Rng = None) -> Examples:
    """Which symbol stood three places ago? Only distance tells: what the symbols are does not help.

    Args:
        batch_size: how many sequences.
        length: how many symbols; the first three are not asked.
        vocab_size: symbols are 1 to vocab_size - 1.
        generator: where random numbers come from; None: torch's own source.
    Returns: inputs and targets (batch_size, length).
    Example:
        >>> inputs, targets = three_back(1, 5, 9)
        >>> torch.equal(targets[:, 3:], inputs[:, :2])
        True
    """
    _check_sizes(batch_size, length, vocab_size, least_length=4, least_vocab_size=3)
    inputs = torch.randint(1, vocab_size, (batch_size, length), generator=generator)
    return Examples(inputs, F.pad(inputs[:, :-3], (3, 0), value=IGNORE))


def digits(held_out: float = 0.2, seed: int = 0) -> tuple[Examples, Examples]:
    """1,797 handwritten digits (Alpaydin, Kaynak 1998, UCI, CC BY 4.0; scikit-learn).

    Args:
        held_out: the share of every digit that is held out.
        seed: draws which ones.
    Returns: training and held-out images (N, 1, 8, 8) in [0, 1]. The same 13 people wrote both.
    Raises: ValueError: a share outside (0, 1).
    Example:
        >>> train, held_out = digits()
        >>> train.inputs.shape, len(held_out.targets)
        (torch.Size([1437, 1, 8, 8]), 360)
    """
    from sklearn import datasets, model_selection

    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be a share above 0 and below 1; got {held_out}")
    pixels, labels = datasets.load_digits(return_X_y=True)
    images = (pixels / 16).astype("float32").reshape(-1, 1, 8, 8)
    parts = model_selection.train_test_split(
        images, labels, test_size=held_out, random_state=seed, stratify=labels
    )
    train_images, test_images, train_labels, test_labels = map(torch.tensor, parts)
    return Examples(train_images, train_labels), Examples(test_images, test_labels)


def photographs() -> dict[str, Float[Tensor, "3 427 640"]]:
    """In [0, 1], from scikit-learn, CC BY 2.0: "China" by danielbuechele, "Flower" by vultilion (Flickr).

    Example:
        >>> photographs()["China"].shape
        torch.Size([3, 427, 640])
    """
    from sklearn.datasets import load_sample_image

    found = {}
    for name in ("China", "Flower"):
        image = torch.tensor(load_sample_image(f"{name.lower()}.jpg"))
        found[name] = image.permute(2, 0, 1) / 255
    return found


def translations(n: int, generator: Rng = None) -> Translations:
    """English sentences in German, of 165,888 none twice (english_german.yml, ours, CC BY 4.0).

    Args:
        n: how many are drawn; a tenth is held out.
    Example:
        >>> english, german, _, (source, target) = translations(500, torch.Generator().manual_seed(1))
        >>> " ".join(english.decode(source[3]))
        'a baker has sold a red bicycle <end> <end>'
        >>> " ".join(german.decode(target[3])[:9])
        '<start> ein Bäcker hat ein rotes Fahrrad verkauft <end>'
    """
    _check_at_least("n", n, 1)
    grammar = yaml.safe_load((_FOLDER / "english_german.yml").read_text(encoding="utf-8"))
    # Somebody does something with a thing: of both there is a determiner, of the thing an adjective, too.
    slots = ("frames", "verbs", "determiners", "persons", "determiners", "adjectives", "things")
    draws = [torch.randint(len(grammar[slot]), (n,), generator=generator).tolist() for slot in slots]
    pairs = []
    for choice in dict.fromkeys(zip(*draws, strict=True)):  # each once, in the order of the draw
        parts = [grammar[slot][number] for slot, number in zip(slots, choice, strict=True)]
        pairs.append(_in_both_languages(*parts))
    english, german = (Vocabulary(texts, size=999, special=SPECIAL) for texts in zip(*pairs, strict=True))
    source = pad_sequence([torch.tensor(english.encode(words)) for words, _ in pairs], batch_first=True)
    target = pad_sequence([torch.tensor(german.encode(words)) for _, words in pairs], batch_first=True)
    cut = len(pairs) // 10
    return Translations(english, german, (source[cut:], target[cut:]), (source[:cut], target[:cut]))


def _in_both_languages(
    frame: Words, verb: Any, determiner: Any, person: Words, article: Any, adjective: Words, thing: Words
) -> tuple[Words, Words]:
    """Fill a frame; in German, gender and role decide about the determiner and the adjective's ending."""
    english = frame[0].format(
        **verb[0],
        subject=f"{determiner['en']} {person[0]}",
        object=f"{article['en']} {adjective[0]} {thing[0]}",
    )
    german = frame[1].format(
        **verb[1],
        subject=f"{determiner['subject'][person[2]]} {person[1]}",
        object=f"{article['object'][thing[2]].format(adjective[1])} {thing[1]}",
    )
    return english.split(), ["<start>", *german.split(), "<end>"]


def sounds(n: int, noise: float = 0.05, generator: Rng = None) -> Examples:
    """Melodies of three notes, 0.1 s each at 8,000 samples a second.

    Random: lowest pitch (200 to 400 Hz), steps up (3 to 5 semitones), overtones, phase, loudness, noise.

    Args:
        n: how many.
        noise: its standard deviation; the melody's largest amplitude is 1.
        generator: where random numbers come from; None: torch's own source.
    Returns: waves (n, 2400) in [-1, 1], and classes, in the order of CONTOURS.
    Example:
        >>> waves, classes = sounds(3)
        >>> waves.shape, len(classes)
        (torch.Size([3, 2400]), 3)
    """
    _check_at_least("n", n, 1)
    classes = torch.randint(len(CONTOURS), (n,), generator=generator)
    lowest, phase, loudness, *steps = torch.rand(5, n, 1, generator=generator)
    upwards = 3 + 2 * torch.cat(steps, 1)
    heights = F.pad(upwards, (1, 0)).cumsum(1)  # semitones of the three pitches above the lowest
    contours = torch.tensor(list(CONTOURS.values()))
    semitones = heights.gather(1, contours[classes])
    pitch = 200 * 2 ** (lowest + semitones / 12)
    pitch = pitch.repeat_interleave(_NOTE, 1)
    turns = phase + pitch.double().cumsum(1) / _SAMPLE_RATE
    wave = _with_overtones(2 * torch.pi * turns, generator)
    wave = wave / wave.abs().amax(1, keepdim=True)
    wave = wave + noise * torch.randn(wave.shape, generator=generator)
    loud = wave * (0.2 + 0.6 * loudness)
    return Examples(loud.clamp(-1, 1).float(), classes)


def _with_overtones(angle: Tensor, generator: Rng) -> Tensor:
    """A tone and three overtones of random strength, which fade with their height."""
    tones = []
    for harmonic in range(1, 5):
        strength = torch.rand(len(angle), 1, generator=generator) / harmonic
        tones.append(strength * (harmonic * angle).sin())
    return torch.stack(tones).sum(0)


def reviews() -> tuple[list[Review], list[Review]]:
    """448 reviews, half of them positive (reviews.yml, ours, CC BY 4.0).

    Returns: training, held-out: each fifth.
    Example:
        >>> train, held_out = reviews()
        >>> len(train) + len(held_out), sum(review.positive for review in train + held_out)
        (448, 224)
    """
    train = list[Review]()
    held_out = list[Review]()
    topics = yaml.safe_load((_FOLDER / "reviews.yml").read_text(encoding="utf-8"))
    for topic, verdicts in topics.items():
        for verdict, texts in verdicts.items():
            for number, text in enumerate(texts, start=1):
                side = held_out if number % 5 == 0 else train
                side.append(Review(text, verdict == "positive", topic))
    return train, held_out


def questions() -> tuple[list[str], list[Question]]:
    """Sentences of the language reference, and questions to them (questions.yml, ours, CC BY 4.0).

    The questions were written from the text alone, before any search was tried on them.

    Returns: 436 sentences, 25 questions.
    Example:
        >>> texts, asked = questions()
        >>> asked[0].asks, texts[asked[0].right[0]][:27]
        ('How do I turn a text into small letters?', 'Return a copy of the string')
    """
    written = yaml.safe_load((_FOLDER / "questions.yml").read_text(encoding="utf-8"))
    reference = python_topics()
    documents = {name: reference[name] for name in written.pop("topics").split()}
    texts = [sentence.text for sentence in sentences(documents, n_words=10)]
    found = list[Question]()
    for words, pairs in written.items():
        for asks, piece in pairs.items():
            right = tuple(number for number, text in enumerate(texts) if piece in text)
            found.append(Question(asks, right, words == "same words"))
    return texts, found


def languages() -> dict[str, str]:
    """One sentence in 20 languages, English first: by name (languages.yml, ours, CC BY 4.0).

    Example:
        >>> languages()["English"]
        'We drink coffee in the morning and tea in the evening.'
    """
    return yaml.safe_load((_FOLDER / "languages.yml").read_text(encoding="utf-8"))


def compounds() -> dict[str, int]:
    """English compounds: each with the number of letters before its seam (compounds.yml, ours, CC BY 4.0).

    Example:
        >>> compounds()["strawberry"]
        5
    """
    lines = yaml.safe_load((_FOLDER / "compounds.yml").read_text(encoding="utf-8"))
    return {word.replace("|", ""): word.index("|") for line in lines for word in line.split()}


def cities() -> dict[str, tuple[float, float]]:
    """Cities of Europe: latitude and longitude of each in degrees, to a tenth (cities.yml, ours, CC BY 4.0).

    Example:
        >>> cities()["paris"]
        (48.9, 2.4)
    """
    places = yaml.safe_load((_FOLDER / "cities.yml").read_text(encoding="utf-8"))
    return {name: (latitude, longitude) for name, (latitude, longitude) in places.items()}


def _check_sizes(
    batch_size: int,
    length: int,
    vocab_size: int,
    *,
    least_length: int,
    least_vocab_size: int,
) -> None:
    _check_at_least("batch_size", batch_size, 1)
    _check_at_least("length", length, least_length)
    _check_at_least("vocab_size", vocab_size, least_vocab_size)


def _check_at_least(name: str, came: int, least: int) -> None:
    if came < least:
        raise ValueError(f"{name} must be at least {least}; got {came}")
