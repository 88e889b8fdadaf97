"""How explorers read a text with a model's own tokenizer."""

import unicodedata
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

from torch import nn

from course_lib.bpe import BPETokenizer, WordPiece

LONGEST_TEXT = 2_000  # characters
_MARKS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}

Tokenizer = BPETokenizer | WordPiece


@runtime_checkable
class TextTokenizer(Protocol):
    """What is asked of a tokenizer. With `decode`, too, the next tokens have names instead of numbers."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""

    def pieces(self, text: str) -> list[str]:
        """The text of each of its tokens."""


def checked_models(models: Any) -> Mapping[str, tuple[nn.Module, TextTokenizer]]:
    """The models. Raises: ValueError: none at all, or something else than (model, tokenizer) under a name."""
    if not isinstance(models, Mapping) or not models:
        raise ValueError(f"models must map at least one name to (model, tokenizer); got {models!r:.60}.")
    for name, pair in models.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"a model's name must be a text; got {name!r}.")
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], nn.Module):
            raise ValueError(f"{name!r} must be a pair (model, tokenizer); got {type(pair).__name__}.")
        if not isinstance(pair[1], TextTokenizer):
            raise ValueError(f"{name}'s tokenizer must have encode and pieces; got {type(pair[1]).__name__}.")
    return models


def checked_text(text: Any) -> str:
    """The text. Raises: ValueError: no string, an empty one, or one that is too long for an explorer."""
    if not isinstance(text, str):
        raise ValueError(f"The text must be a string; got {type(text).__name__}.")
    if not text:
        raise ValueError("The text is empty: type at least one character.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"The text has {len(text):,} characters, the explorer takes {LONGEST_TEXT:,}: shorten it."
        )
    return text


def readable(data: bytes) -> str:
    """Bytes to read: whole characters as they are, what is none or cannot be seen as ⟨bytes⟩.

    Example:
        >>> readable(b" a\\xe2\\x98"), readable("\\u200b".encode())
        ('␣a⟨E2 98⟩', '⟨E2 80 8B⟩')
    """
    runs = groupby(data.decode("utf-8", "surrogateescape"), lambda c: c in _MARKS or c.isprintable())
    parts = []
    for is_seen, characters in runs:
        run = "".join(characters)
        if not is_seen:
            parts.append(f"⟨{run.encode('utf-8', 'surrogateescape').hex(' ').upper()}⟩")
            continue
        # A mark that belongs over or under a letter needs something to stand on.
        carrier = "◌" if unicodedata.category(run[0])[0] == "M" else ""
        parts.append(carrier + "".join(_MARKS.get(c, c) for c in run))
    return "".join(parts)


def direction(text: str) -> str:
    """rtl where the first letter that has a direction runs from right to left, as in Hebrew or Arabic."""
    strong = (kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL"))
    return "ltr" if next(strong, "L") == "L" else "rtl"


def checked_settings(temperature: Any, top_k: Any, top_p: Any) -> dict[str, Any]:
    """How the next token is drawn, by name. Raises: ValueError: one that is out of range."""
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise ValueError(f"temperature must be a number from 0 to 2; got {temperature!r}.")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise ValueError(
            f"top_k must be a whole number of at least 1, or None for all tokens; got {top_k!r}."
        )
    if top_p is not None and (not isinstance(top_p, int | float) or not 0 < top_p <= 1):
        raise ValueError(
            f"top_p must be a number above 0 and at most 1, or None for all tokens; got {top_p!r}."
        )
    return {
        "temperature": float(temperature),
        "top_k": top_k,
        "top_p": None if top_p is None else float(top_p),
    }
