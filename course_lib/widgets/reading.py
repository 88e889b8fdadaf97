"""How an explorer reads a text with a model's own tokenizer, and writes what the model would say next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.widgets.token_explorer import readable, token_text

SHOWN_NEXT = 5

Token = tuple[int, str]  # the id, and the text to read


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


def tokens_of(name: str, tokenizer: TextTokenizer, text: str) -> list[Token]:
    """The tokens of a text. Raises: ValueError: as many ids as pieces are needed, of the model's name."""
    ids = list(tokenizer.encode(text))
    if isinstance(tokenizer, BPETokenizer | WordPiece):
        return [(i, token_text(tokenizer, i)) for i in ids]
    pieces = [readable(piece.encode()) for piece in tokenizer.pieces(text)]
    if len(pieces) != len(ids):
        raise ValueError(f"{name}'s tokenizer gives {len(ids)} ids and {len(pieces)} pieces.")
    return list(zip(ids, pieces, strict=True))


def left_out(wanted: Sequence[Token], kept: Sequence[Token]) -> str:
    """What is said of tokens that are not read; "" where all are."""
    if len(kept) == len(wanted):
        return ""
    return f"Too long for one picture: {len(kept)} of {len(wanted)} tokens are read."


def named(tokens: list[str]) -> list[str]:
    """The tokens to read; those that stand more than once with their places.

    Example:
        >>> named(["a", "rose", "is", "a"])
        ['a (1)', 'rose', 'is', 'a (4)']
    """
    times = Counter(tokens)
    return [token if times[token] == 1 else f"{token} ({n})" for n, token in enumerate(tokens, start=1)]


def likeliest(tokenizer: TextTokenizer, scores: Float[Tensor, "T V"]) -> list[list[list[str]]]:
    """For each row of scores the `SHOWN_NEXT` likeliest tokens, with their shares as text."""
    found = scores.topk(min(SHOWN_NEXT, scores.shape[-1]))
    shares = (found.values - scores.logsumexp(-1, keepdim=True)).exp()
    return [
        [[_next_text(tokenizer, i), percent(share)] for i, share in zip(*row, strict=True)]
        for row in zip(found.indices.tolist(), shares.tolist(), strict=True)
    ]


def percent(share: float) -> str:
    """A share from 0 to 1 to read.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.1f} %"


def listed(rows: list[list[str]]) -> str:
    """What `likeliest` gives for one token, in one line.

    Example:
        >>> listed([["a", "62.0 %"], ["b", "38.0 %"]])
        'a 62.0 %, b 38.0 %'
    """
    return ", ".join(" ".join(row) for row in rows)


def _next_text(tokenizer: TextTokenizer, i: int) -> str:
    if isinstance(tokenizer, BPETokenizer | WordPiece):
        return token_text(tokenizer, i)
    decode = getattr(tokenizer, "decode", None)
    return readable(decode([i]).encode()) if decode else f"token {i}"
