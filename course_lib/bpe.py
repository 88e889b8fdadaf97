"""Byte-pair encoding: text in, token ids out, and back (Sennrich et al. 2016; Radford et al. 2019)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import regex

# GPT-2's split: contractions, words with the space before them, numbers, punctuation, white space.
# White space before a word leaves its last character to that word.
GPT2_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each of the 256 bytes in a vocabulary file.

    Bytes that print keep their own character; the others get one from code point 256 on
    (GPT-2's `encoder.py`). So a space is written "Ġ" and a line end "Ċ".

    Example:
        >>> byte_characters()[ord("a")], byte_characters()[ord(" ")]
        ('a', 'Ġ')
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class BPETokenizer:
    """A byte-level BPE tokenizer with a given vocabulary.

    Text is cut into words; each word starts as its UTF-8 bytes; then the pair of neighbours that was
    learned first is merged, again and again, until no learned pair is left.

    Args:
        tokens: the vocabulary; a token's place is its id. Bytes are written as `byte_characters` says.
        merges: the learned pairs, first learned first.
        special_tokens: text -> id of tokens that are never cut, such as "<|im_start|>".
        split_digits: every digit becomes a word of its own (SmolLM2 does this, GPT-2 does not).
        pattern: regular expression whose matches are the words.
    Raises: ValueError: a merge makes a token that the vocabulary lacks.
    Example:
        >>> toy = BPETokenizer(["h", "u", "g", "hu", "hug"], [("h", "u"), ("hu", "g")])
        >>> toy.encode("hughu"), toy.decode([4, 3])
        ([4, 3], 'hughu')

    Differs: a byte that the vocabulary lacks is dropped, as by Hugging Face's `tokenizers`
        (SmolLM2 lacks 21 bytes: a few control characters and bytes that never or hardly occur in UTF-8).
    """

    def __init__(
        self,
        tokens: Sequence[str],
        merges: Iterable[tuple[str, str]],
        special_tokens: Mapping[str, int] | None = None,
        *,
        split_digits: bool = False,
        pattern: str = GPT2_PATTERN,
    ) -> None:
        self.tokens = list(tokens)
        self.special_tokens = dict(special_tokens or {})
        self.split_digits = split_digits
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self._ranks: dict[tuple[str, str], int] = {}
        for rank, (left, right) in enumerate(merges):
            if left + right not in self._ids:
                raise ValueError(f"merge {rank} makes {left + right!r}, which is not in the vocabulary")
            self._ranks.setdefault((left, right), rank)
        self._characters = byte_characters()
        self._bytes = {character: byte for byte, character in self._characters.items()}
        self._words = regex.compile(pattern)
        self._digits = regex.compile(r"\p{N}|\P{N}+")
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._specials = (
            regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")") if longest_first else None
        )
        self._cache: dict[str, list[int]] = {}

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special ones included."""
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Cut text into tokens.

        Args: text: any Unicode text, at least one character. Special tokens written out are recognised.
        Returns: token ids.
        Raises:
            TypeError: not a string.
            ValueError: an empty string, or one that UTF-8 cannot write (a lone surrogate).
        """
        if not isinstance(text, str):
            raise TypeError(f"the tokenizer encodes a string; got {type(text).__name__}: {text!r:.60}")
        if not text:
            raise ValueError("the tokenizer encodes at least one character; got an empty string")
        ids = []
        for part in self._specials.split(text) if self._specials else [text]:
            if part in self.special_tokens:
                ids.append(self.special_tokens[part])
                continue
            for piece in self._digits.findall(part) if self.split_digits else [part]:
                for word in self._words.findall(piece):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Join tokens to text; bytes that are not valid UTF-8 become U+FFFD.

        Args: ids: whole numbers from 0 to vocab_size - 1.
        Raises: ValueError: an id outside the vocabulary.
        """
        return b"".join(map(self._token_bytes, ids)).decode("utf-8", errors="replace")

    def pieces(self, text: str) -> list[str]:
        """The text of each token, to read: `encode`, then `decode` one by one.

        Example:
            >>> BPETokenizer(["h", "u", "g", "hu"], [("h", "u")]).pieces("hug")
            ['hu', 'g']
        """
        return [self.decode([i]) for i in self.encode(text)]

    def _token_bytes(self, i: int) -> bytes:
        i = int(i)
        if not 0 <= i < len(self.tokens):
            raise ValueError(
                f"token id {i} is outside the vocabulary; ids run from 0 to {len(self.tokens) - 1}"
            )
        token = self.tokens[i]
        return token.encode() if token in self.special_tokens else bytes(self._bytes[c] for c in token)

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._cache:
            try:
                symbols = [self._characters[byte] for byte in word.encode()]
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"the tokenizer encodes valid Unicode; got a lone surrogate: {word!r}"
                ) from error
            merged = self._merge([symbol for symbol in symbols if symbol in self._ids])
            self._cache[word] = [self._ids[symbol] for symbol in merged]
        return self._cache[word]

    def _merge(self, symbols: list[str]) -> list[str]:
        while len(symbols) > 1:
            pair = min(
                pairwise(symbols),
                key=lambda pair: self._ranks.get(pair, len(self._ranks)),
            )
            if pair not in self._ranks:
                break
            symbols = _merge_pair(symbols, pair)
        return symbols


def _merge_pair(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged = []
    i = 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged
