"""The token explorer: how tokenizers cut a text, how a word became its tokens, and what languages cost."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from course_lib.bpe import GPT2_PATTERN, BPETokenizer
from course_lib.data import languages
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import Tokenizer, checked_text

Cut = list[list[Any]]  # each word, its ids, and the way to them

PARTS = ("wordpiece", "pieces", "grown", "say", "explorer")  # its files

_ASSETS = assets(__file__, *PARTS, shared=["bpe"])


class TokenExplorer(Explorer):
    """See a text in the tokens of two tokenizers, how a word became its tokens, and what languages cost.

    Args:
        tokenizers: one to four, by name; the first two are shown at first.
        text: what is cut at first, up to LONGEST_TEXT characters.
    Raises: ValueError: no tokenizer or more than four, or a text that is empty or too long.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    shown = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)  # names of tokenizers
    language = traitlets.Unicode("").tag(sync=True)  # of `data.languages()`; "": a text of one's own
    # Sent once: the same as `state["view"]` for the sentence of each language, by name; and the tokenizers.
    sentences: Any = traitlets.List().tag(sync=True)
    vocabularies = traitlets.Dict().tag(sync=True)

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str = "strawberry") -> None:
        super().__init__()
        self._tokenizers = _checked_tokenizers(tokenizers)
        view = self._view(text)
        self.vocabularies = {name: packed_vocabulary(each) for name, each in self._tokenizers.items()}
        self.sentences = [[name, self._view(sentence)] for name, sentence in languages().items()]
        self.shown = list(self._tokenizers)[:2]
        self.show_state(names=list(self._tokenizers), view=view, error="")

    @property
    def text(self) -> str:
        """The text that is cut; assign to replace it."""
        return (dict(self.sentences)[self.language] if self.language else self.state["view"])["text"]

    @text.setter
    def text(self, text: str) -> None:
        self.show_state(view=self._view(text))
        self.language = ""

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    @traitlets.validate("shown")
    def _check_shown(self, proposal: Any) -> list[str]:
        names = list(self._tokenizers)
        if len(proposal["value"]) != min(2, len(names)) or not set(proposal["value"]) <= set(names):
            raise ValueError(f"shown must be {min(2, len(names))} of {names}; got {proposal['value']}.")
        return proposal["value"]

    @traitlets.validate("language")
    def _check_language(self, proposal: Any) -> str:
        names = [name for name, _ in self.sentences]
        if proposal["value"] and proposal["value"] not in names:
            raise ValueError(f"language must be '' or one of {names}; got {proposal['value']!r}.")
        return proposal["value"]

    def _view(self, text: str) -> dict[str, Any]:
        checked_text(text)
        return {"text": text, "cuts": {name: cut(each, text) for name, each in self._tokenizers.items()}}


def cut(tokenizer: Tokenizer, text: str) -> Cut:
    """Each word of a text, its ids, and the way to them.

    The way is the ranks of the merges; of a `WordPiece` it is the ids that were matched, which [UNK] replaces
    where no more fits.

    Example:
        >>> cut(BPETokenizer(["h", "u", "g", "ug"], [("u", "g")]), "hug")
        [['hug', [0, 3], [0]]]
    """
    return [[word, *_way(tokenizer, word)] for word in tokenizer.words(text)]


def _way(tokenizer: Tokenizer, word: str) -> tuple[list[int], list[int]]:
    if isinstance(tokenizer, BPETokenizer):
        merges = tokenizer.merge_steps(word)
        return merges[-1][1], [rank for rank, _ in merges if rank is not None]
    *before, ids = [ids for ids, _ in tokenizer.match_steps(word)]
    if not before:  # a special token, which is not cut
        return ids, []
    return ids, before[-1] if ids == [tokenizer.special_tokens["[UNK]"]] else ids


def packed_vocabulary(tokenizer: Tokenizer) -> str:
    """All that the page needs to cut by itself, as JSON, deflated, in base64."""
    saved: dict[str, Any] = {"tokens": tokenizer.tokens, "special": tokenizer.special_tokens}
    if isinstance(tokenizer, BPETokenizer):
        ids = {token: i for i, token in enumerate(tokenizer.tokens)}
        made = [ids[left + right] for left, right in tokenizer.merges]
        # What a merge makes is mostly the next token: steps and lengths take a tenth of the pairs' room.
        saved |= {
            "steps": np.diff(made, prepend=0).tolist(),
            "lengths": [len(left) for left, _ in tokenizer.merges],
            "digits": tokenizer.split_digits,
            "isKnown": tokenizer.pattern == GPT2_PATTERN,
        }
    data = json.dumps(saved, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _checked_tokenizers(tokenizers: Any) -> dict[str, Tokenizer]:
    if not isinstance(tokenizers, Mapping) or not 1 <= len(tokenizers) <= 4:
        raise ValueError(f"tokenizers must be a mapping of one to four, by name; got {tokenizers!r:.60}.")
    for name, tokenizer in tokenizers.items():
        if not isinstance(name, str) or not isinstance(tokenizer, Tokenizer):
            raise ValueError(
                "tokenizers must map names to BPETokenizer or WordPiece; "
                f"got {name!r}: {type(tokenizer).__name__}."
            )
    return dict(tokenizers)
