"""Real English text that every CPython carries, so that nothing is downloaded.

Source: `pydoc_data.topics` (what `help("if")` prints) and the docstrings of the standard library, both by the
Python developers under the PSF licence. The exact text, and with it the number of sentences, varies with the
Python version; within one version every run sees the same.
"""

import ast
import re
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import SupportsInt

# Packages that every platform's CPython carries; modules at the top level are all read.
_PACKAGES = (
    "asyncio",
    "collections",
    "concurrent",
    "email",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "re",
    "unittest",
    "urllib",
    "wsgiref",
    "xml",
    "xmlrpc",
)
_CODE = re.compile(r">>>|::=|[{}=_\\/+]{3,}|\*\*\*|---|~~~")
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z])")
_SYMBOL = re.compile(r"[^\w\s,.;:'\"()-]")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_MOST_SYMBOLS = 2  # in one sentence; with more it is code, not prose
_COPIED_RUN = 6  # so many words in a row are taken from elsewhere, not written twice by chance


class MissingTextError(RuntimeError):
    """This Python installation lacks the text that the course reads."""


@dataclass(frozen=True)
class Sentence:
    """A sentence as written, its words in lower case, and the document that it stands in."""

    text: str
    words: tuple[str, ...]
    document: str


@cache
def python_topics() -> Mapping[str, str]:
    """Python's language reference as plain text, by topic; about 465,000 characters.

    Raises: MissingTextError: this Python comes without pydoc's topics.
    Example:
        >>> "lambda" in python_topics()
        True
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise MissingTextError(
            "this Python comes without pydoc_data.topics, the text of its language reference; "
            "install the full standard library, or Python from python.org or conda"
        ) from None
    return dict(sorted(topics.items()))


@cache
def docstrings(folder: str | Path | None = None) -> Mapping[str, str]:
    """The docstrings of the standard library, by module file; about 1.4 million characters.

    The files are parsed, not imported.

    Args:
        folder: where the modules are; this Python's own by default.
    Raises: MissingTextError: there is no module with a docstring.
    Example:
        >>> "heapq.py" in docstrings()
        True
    """
    root = Path(folder or sysconfig.get_path("stdlib"))
    files = [*root.glob("*.py"), *(file for package in _PACKAGES for file in (root / package).rglob("*.py"))]
    # Some versions keep a package's tests inside it; what they document is no prose.
    files = [file for file in files if "test" not in file.relative_to(root).parts]
    found = {file.relative_to(root).as_posix(): _docstrings_of(file) for file in sorted(files)}
    found = {name: text for name, text in found.items() if text}
    if not found:
        raise MissingTextError(
            f"no docstring found in {root}: this Python comes without the source of its standard library; "
            "install Python from python.org or conda"
        )
    return found


def sentences(documents: Mapping[str, str], n_words: int) -> list[Sentence]:
    """The prose of some documents, sentence by sentence, without code and without repetitions.

    Args:
        documents: text by name.
        n_words: sentences with fewer words are left out, and of two that begin with the same `n_words` words
            only one is kept.
    Raises: ValueError: n_words is below 1.
    Example:
        >>> sentences({"a": "The end comes first. No."}, n_words=3)
        [Sentence(text='The end comes first.', words=('the', 'end', 'comes', 'first'), document='a')]
    """
    if n_words < 1:
        raise ValueError(f"a sentence has at least one word; n_words is {n_words}")
    kept: dict[tuple[str, ...], Sentence] = {}
    for name, document in documents.items():
        for text in _prose(document):
            words = tuple(_WORD.findall(text.lower()))
            if len(words) >= n_words and len(_SYMBOL.findall(text)) <= _MOST_SYMBOLS:
                kept.setdefault(words[:n_words], Sentence(text, words, name))
    return list(kept.values())


def split_by_document(
    all_sentences: Iterable[Sentence], n_words: int
) -> tuple[list[Sentence], list[Sentence]]:
    """Split into training and held-out sentences: a document is in one or the other, the same in every run.

    Documentation repeats itself: a held-out sentence that shares six words in a row with a training sentence
    is dropped.

    Args:
        n_words: only so many first words of a sentence will be used.
    Returns: training sentences, held-out sentences: about a fifth of the documents.
    """
    train: list[Sentence] = []
    held_out: list[Sentence] = []
    for sentence in all_sentences:
        # A checksum rather than hash(), which differs from run to run.
        (held_out if zlib.crc32(sentence.document.encode()) % 5 == 0 else train).append(sentence)
    seen = {run for sentence in train for run in _runs(sentence.words[:n_words])}
    return train, [sentence for sentence in held_out if seen.isdisjoint(_runs(sentence.words[:n_words]))]


def python_sentences(n_words: int = 12) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences from the language reference and the docstrings.

    Args:
        n_words: the fewest words of a sentence.
    Returns: training sentences, held-out sentences.
    Raises: MissingTextError: this Python comes without the text.
    """
    return split_by_document(sentences({**python_topics(), **docstrings()}, n_words), n_words)


class Vocabulary:
    """A number for each of the most frequent words, and one for all others.

    Args:
        texts: sentences as words.
        size: how many numbers there are.
        special: tokens that are no words; they come first.
    Raises: ValueError: there is no room for a single word.
    Example:
        >>> vocabulary = Vocabulary([["to", "be", "or", "not", "to", "be"]], size=4)
        >>> vocabulary.encode(["to", "see"])
        [3, 1]
        >>> vocabulary.decode([3, 1])
        ['to', '<unknown>']
    """

    def __init__(
        self, texts: Iterable[Sequence[str]], size: int, special: tuple[str, ...] = ("<cls>", "<unknown>")
    ) -> None:
        if size <= len(special):
            raise ValueError(
                f"a vocabulary with {len(special)} special tokens needs a size above that; got {size}"
            )
        counts = Counter(word for words in texts for word in words)
        # Equal counts by alphabet: the numbers must not depend on the order of reading.
        frequent = sorted(counts, key=lambda word: (-counts[word], word))[: size - len(special)]
        self.tokens = [*special, *frequent]
        self._ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, words: Sequence[str]) -> list[int]:
        """The words' numbers.

        Raises: TypeError: words is one string, whose characters would be taken for words.
        """
        if isinstance(words, str):
            raise TypeError(f"encode needs a list of words, not one string: try {words!r}.lower().split()")
        return [self._ids.get(word, self._ids["<unknown>"]) for word in words]

    def decode(self, ids: Iterable[SupportsInt]) -> list[str]:
        """The words behind the numbers, which may stand in a list or in a tensor.

        Raises: ValueError: a number is outside the vocabulary.
        """
        numbers = [int(number) for number in ids]
        if wrong := [number for number in numbers if not 0 <= number < len(self)]:
            raise ValueError(
                f"the vocabulary has the numbers 0 to {len(self) - 1}; got {', '.join(map(str, wrong))}"
            )
        return [self.tokens[number] for number in numbers]


def _docstrings_of(file: Path) -> str:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    found = (ast.get_docstring(node) for node in nodes if isinstance(node, documented))
    return "\n\n".join(text for text in found if text)


def _prose(document: str) -> Iterable[str]:
    for paragraph in re.split(r"\n\s*\n", document):
        if not _CODE.search(paragraph):
            yield from _SENTENCE_END.split(" ".join(paragraph.split()))


def _runs(words: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    return (words[start : start + _COPIED_RUN] for start in range(len(words) - _COPIED_RUN + 1))
