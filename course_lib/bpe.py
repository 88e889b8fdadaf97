"""Text in, token ids out, and back: byte-pair encoding (GPT) and WordPiece (BERT)."""

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any

import regex

# GPT-2's split: contractions, words, numbers, punctuation, each with the space before it; white space.
GPT2_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# BERT's split: punctuation marks and ideographs one by one, and what white space separates.
_ALONE = (
    r"\p{P}$+<=>^`|~\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    r"\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
_BERT_WORDS = regex.compile(rf"[{_ALONE}]|[^\s{_ALONE}]+")


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each of the 256 bytes in a vocabulary file.
    Bytes that print keep their own; the others get one from code point 256 on (GPT-2's `encoder.py`).
    So "a" is written "a", a space "Ġ" and a line end "Ċ".
    """
    printable = [byte for byte in range(256) if "!" <= chr(byte) <= "~" or "¡" <= chr(byte) != "\xad"]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class _Tokenizer:
    """What both share: text is cut into words, each word into tokens; a token's place is its id."""

    _split: Callable[[str], list[str]]  # text -> words
    _cut: Callable[[str], list[int]]  # word -> ids
    _join: Callable[[list[str]], str]  # tokens -> text

    def __init__(self, tokens: Iterable[str], special_tokens: Mapping[str, int]) -> None:
        self.tokens, self.special_tokens = list(tokens), dict(special_tokens)
        self.vocab_size = len(self.tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < self.vocab_size:
            raise ValueError(f"{Counter(self.tokens).most_common(1)[0][0]!r} stands twice in the vocabulary")
        for token, i in self.special_tokens.items():
            if not token or self._ids.get(token) != i:
                raise ValueError(f"special token {token!r} with id {i} is not in the vocabulary")
        self._specials = regex.compile(r"(\L<special>)", special=list(self.special_tokens))
        self._cache = {token: [i] for token, i in self.special_tokens.items()}

    def words(self, text: str) -> list[str]:
        """The words of a text; special tokens stay whole."""
        if not isinstance(text, str):
            raise TypeError(f"the tokenizer encodes a string; got {type(text).__name__}: {text!r:.60}")
        if surrogate := regex.search(r"[\ud800-\udfff]", text):
            raise ValueError(f"the tokenizer encodes valid Unicode; got a lone surrogate: {surrogate[0]!r}")
        parts = self._specials.split(text) if self.special_tokens else [text]
        return [*chain.from_iterable([p] if p in self.special_tokens else self._split(p) for p in parts)]

    def encode(self, text: str) -> list[int]:
        """Cut text (any Unicode, at least one character) into tokens. Special tokens in it are recognised.
        Raises: TypeError: not a string. ValueError: an empty string, or a lone surrogate.
        """
        words = self.words(text)
        if not text:
            raise ValueError("the tokenizer encodes at least one character; got an empty string")
        for word in set(words).difference(self._cache):
            self._cache[word] = self._cut(word)
        return [*chain.from_iterable(map(self._cache.__getitem__, words))]

    def decode(self, ids: Iterable[int]) -> str:
        """Join tokens; invalid UTF-8 becomes U+FFFD. Raises: ValueError: an id outside the vocabulary."""
        ids, last = list(ids), self.vocab_size - 1
        if wrong := [i for i in ids if not 0 <= i <= last]:
            raise ValueError(f"token id {wrong[0]} is outside the vocabulary; ids run from 0 to {last}")
        return self._join([self.tokens[i] for i in ids])

    def pieces(self, text: str) -> list[str]:
        """The text of each token, to read: `encode`, then `decode` one by one."""
        return [self.decode([i]) for i in self.encode(text)]


class BPETokenizer(_Tokenizer):
    """A byte-level BPE tokenizer (Sennrich et al. 2016; Radford et al. 2019).
    Text is cut into words; each word starts as its UTF-8 bytes; then the pair of neighbours that was
    learned first is merged, again and again, until no learned pair is left.
    Args:
        tokens, merges: the vocabulary, written as `byte_characters` says; the pairs in the order of learning.
        special_tokens: text -> id of tokens that are never cut, such as "<|im_start|>".
        split_digits: every digit becomes a word of its own (SmolLM2 does this, GPT-2 does not).
        pattern: regular expression whose matches are the words, as is what stands between matches.
    Raises: ValueError: a token stands twice; a special token or a part of a merge is not in the vocabulary.
    Differs: a byte that the vocabulary lacks is dropped, as by Hugging Face's `tokenizers`
        (SmolLM2 lacks 21 bytes: a few control characters and bytes that never or hardly occur in UTF-8).
    Example:
        >>> toy = BPETokenizer(["h", "u", "g", "hu", "hug"], [("h", "u"), ("hu", "g")])
        >>> toy.encode("hughu"), toy.decode([4, 3]), toy.pieces("hugu")
        ([4, 3], 'hughu', ['hug', 'u'])
    """

    def __init__(
        self, tokens: Sequence[str], merges: Iterable[tuple[str, str]],
        special_tokens: Mapping[str, int] | None = None, *, split_digits: bool = False,
        pattern: str = GPT2_PATTERN,
    ) -> None:  # fmt: skip
        super().__init__(tokens, special_tokens or {})
        self.merges = list(dict.fromkeys(merges))
        self.split_digits, self.pattern = split_digits, pattern
        # Inside, a token is the character whose code point is its id: `str.replace` then merges a pair.
        self._ranks: dict[str, tuple[int, str]] = {}
        for rank, (left, right) in enumerate(self.merges):
            if lacking := [token for token in (left, right, left + right) if token not in self._ids]:
                raise ValueError(f"merge {rank} needs {lacking[0]!r}, which is not in the vocabulary")
            self._ranks[chr(self._ids[left]) + chr(self._ids[right])] = rank, chr(self._ids[left + right])
        self._bytes = {character: byte for byte, character in byte_characters().items()}
        self._symbols = {byte: self._ids.get(character) for character, byte in self._bytes.items()}
        self._words = regex.compile(f"{pattern}|(?s:(?:(?!{pattern}).)+)")

    @classmethod
    def train(
        cls, texts: str | Iterable[str], vocab_size: int, special_tokens: Sequence[str] = (), **options: Any
    ) -> "BPETokenizer":
        """Learn a vocabulary: special tokens, the 256 bytes, then again and again the most frequent pair.
        Of equals the pair with the smallest ids. A merge visits only the distinct words that hold its pair.
        Args: texts: the corpus; nothing is learned from special tokens in it.
            vocab_size: tokens in all; fewer where no pair is left. options: `split_digits` and `pattern`.
        Raises: ValueError: no words, no room for the bytes, a special token that is empty or given twice.
        Differs: from `tokenizers` where a merged pair comes up again: they count its old places too.
        Example:
            >>> BPETokenizer.train("hug pug hugs", 258).merges
            [('u', 'g'), ('h', 'ug')]
        """
        tokens = [*special_tokens, *byte_characters().values()]
        bare = cls(tokens, [], {token: i for i, token in enumerate(special_tokens)}, **options)
        if vocab_size < len(tokens):
            raise ValueError(f"bytes and special tokens need a vocab_size of {len(tokens)}; got {vocab_size}")
        found = Counter(chain.from_iterable(map(bare.words, [texts] if isinstance(texts, str) else texts)))
        if not found:
            raise ValueError("the tokenizer learns from at least one word; the corpus is empty")
        words = ["".join(map(chr, bare._cache.get(word) or bare._cut(word))) for word in found]
        times = list(found.values())
        counts, places = Counter[str](), defaultdict[str, set[int]](set)  # places: in which words a pair is
        for i, word in enumerate(words):
            for pair in map(add, word, word[1:]):
                counts[pair] += times[i]
                places[pair].add(i)
        heap, merges = sorted((-count, pair) for pair, count in counts.items()), []
        while heap and len(tokens) < vocab_size:
            count, pair = heappop(heap)
            if -count != counts[pair]:
                continue  # changed since: the heap has its new count too
            left, right = [*pair]
            merges.append((tokens[ord(left)], tokens[ord(right)]))
            merged = chr(bare._ids.setdefault("".join(merges[-1]), len(tokens)))
            tokens += ["".join(merges[-1])] * (ord(merged) == len(tokens))
            changed: set[str] = set()
            for i in places.pop(pair):
                parts = words[i].split(pair)
                words[i] = merged.join(parts)
                moves = [(part[-1] + left, part[-1] + merged) for part in parts[:-1] if part]
                moves += [(right + part[0], merged + part[0]) for part in parts[1:] if part]
                moves += [(right + left, merged + merged) for part in parts[1:-1] if not part]
                for old, new in moves:
                    counts[old] -= times[i]
                    counts[new] += times[i]
                    places[new].add(i)
                changed.update(*moves)
            del counts[pair]
            for pair in filter(counts.__getitem__, changed):
                heappush(heap, (-counts[pair], pair))
        return cls(tokens, merges, bare.special_tokens, **options)

    @classmethod
    def load(cls, path: Path | str, merges: Path | str | None = None) -> "BPETokenizer":
        """Read what `save` wrote, or GPT-2's `vocab.json` (token -> id) and `merges.txt` (a pair a line).
        Of GPT-2's tokens those that no merge makes are special, as "<|endoftext|>" is.
        Raises: ValueError: a damaged file, or one of another kind.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
            if merges is None:
                return cls(**data | {"merges": [(left, right) for left, right in data["merges"]]})
            pairs = regex.findall(r"(?m)^(?!#version)(\S+) ?(.*)$", Path(merges).read_text("utf-8"))
            alphabet = set(byte_characters().values())
            made = alphabet | set(map("".join, pairs))
            if sorted(data.values()) != list(range(len(data))) or not alphabet.issuperset("".join(made)):
                raise ValueError("ids that are not 0, 1, 2 and so on, or merges of what are no bytes")
            special = {token: i for token, i in data.items() if token not in made}
            return cls(sorted(data, key=data.get), pairs, special)
        except (AttributeError, KeyError, TypeError, ValueError, regex.error) as error:
            raise ValueError(f"{path} holds no tokenizer that we can read: {error!r}") from error

    def save(self, path: Path | str) -> None:
        """Write one file, whole or not at all: the arguments of the class, by name, as JSON."""
        names = ("tokens", "merges", "special_tokens", "split_digits", "pattern")
        temporary = Path(f"{path}.tmp")
        temporary.write_text(json.dumps({name: getattr(self, name) for name in names}), "utf-8")
        temporary.replace(path)

    def _split(self, text: str) -> list[str]:
        parts = regex.findall(r"\p{N}|\P{N}+", text) if self.split_digits else [text]
        return [*chain.from_iterable(map(self._words.findall, parts))]

    def _cut(self, word: str) -> list[int]:
        symbols = word.encode().decode("latin-1").translate(self._symbols)
        while known := self._ranks.keys() & set(map(add, symbols, symbols[1:])):
            pair = min(known, key=self._ranks.__getitem__)
            symbols = symbols.replace(pair, self._ranks[pair][1])
        return [*map(ord, symbols)]

    def _join(self, tokens: list[str]) -> str:
        parts = (t.encode() if t in self.special_tokens else bytes(self._bytes[c] for c in t) for t in tokens)
        return b"".join(parts).decode("utf-8", errors="replace")


class WordPiece(_Tokenizer):
    """BERT's tokenizer: each word is cut, from the left, into the longest tokens (Devlin et al. 2019).
    Args: tokens: the vocabulary, or the path of `vocab.txt` (a token a line); "##" continues a word.
        lower_case: for models that know neither capitals nor accents.
    Raises: ValueError: [UNK], [CLS] or [SEP] is missing, or a token stands twice.
    Differs: from Hugging Face's in characters younger than Unicode 8, whose tables they use.
    Example:
        >>> toy = WordPiece(["[UNK]", "[CLS]", "[SEP]", "play", "##ing"])
        >>> toy.frame("Playing"), toy.decode([3, 4])
        (([1, 3, 4, 2], [0, 0, 0, 0]), 'playing')
    """

    def __init__(self, tokens: Sequence[str] | Path, *, lower_case: bool = True) -> None:
        lines = tokens.read_text("utf-8").rstrip("\n").split("\n") if isinstance(tokens, Path) else tokens
        special = dict.fromkeys(("[UNK]", "[CLS]", "[SEP]"), -1)
        special |= {token: i for i, token in enumerate(lines) if token in (*special, "[PAD]", "[MASK]")}
        super().__init__(lines, special)
        self.lower_case = lower_case

    def frame(self, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
        """The ids of "[CLS] text [SEP]" or "[CLS] text [SEP] pair [SEP]", and their segments, 0 and 1."""
        first = [self._ids["[CLS]"], *self.encode(text), self._ids["[SEP]"]]
        second = [] if pair is None else [*self.encode(pair), self._ids["[SEP]"]]
        return first + second, [0] * len(first) + [1] * len(second)

    def _split(self, text: str) -> list[str]:
        text = regex.sub(r"[^\P{C}\p{Cn}\t\n\r]|\ufffd", "", text)  # control, format and private characters
        if self.lower_case:
            text = "".join(map(str.lower, regex.sub(r"\p{Mn}", "", unicodedata.normalize("NFD", text))))
        return [word if len(word) <= 100 else "[UNK]" for word in _BERT_WORDS.findall(text)]

    def _cut(self, word: str) -> list[int]:
        ids, prefix = [], ""
        while word:
            end = next((n for n in range(len(word), 0, -1) if prefix + word[:n] in self._ids), 0)
            if not end:
                return [self._ids["[UNK]"]]
            ids.append(self._ids[prefix + word[:end]])
            word, prefix = word[end:], "##"
        return ids

    def _join(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace(" ##", "")
