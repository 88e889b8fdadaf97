"""The token explorer: how tokenizers cut a text, word by word and merge by merge, and what that costs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import shorten
from typing import Any

import traitlets

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.data import languages
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import Tokenizer, checked_text, direction, token_text

# Replays grow with the square of a word's length, and a page that works without a kernel carries them all.
LONGEST_REPLAYED = 100  # bytes of a word
MOST_REPLAYED = 1_000  # pieces, over all steps of all words
SHOWN_OF_A_READING = 100  # characters
NOT_REPLAYED = (
    f"Not replayed: the text has too many words, or this one has more than {LONGEST_REPLAYED} bytes. "
    "Type the word, or a part of it, alone."
)
ABOUT = (
    "Choose a word to see how it became its tokens. The small numbers are ids. ␣ is a space, ↵ a line break; "
    "⟨E2 98⟩ are bytes that make no whole character; ## continues a word; [UNK] stands for a lost word."
)

_ASSETS = assets(__file__)


class TokenExplorer(Explorer):
    """Type a text, see the tokens of two tokenizers side by side, and replay how a word became its tokens.

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
    # Sent once: the same as `state["view"]` for the sentence of each language.
    sentences = traitlets.Dict().tag(sync=True)

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str = "strawberry") -> None:
        super().__init__()
        self._tokenizers = _checked_tokenizers(tokenizers)
        found = languages()
        english = next(iter(found.values()))
        counts = {name: len(tokenizer.encode(english)) for name, tokenizer in self._tokenizers.items()}
        self.sentences = {
            language: self._view(sentence, None if sentence == english else counts)
            for language, sentence in found.items()
        }
        self.shown = list(self._tokenizers)[:2]
        self.show_state(
            about=ABOUT,
            names=list(self._tokenizers),
            languages=list(found),
            view=self._view(checked_text(text)),
            error="",
        )

    @property
    def text(self) -> str:
        """The text that is cut; assign to replace it."""
        return self._shown_view()["text"]

    @text.setter
    def text(self, text: str) -> None:
        self.show_state(view=self._view(checked_text(text)))
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
        if proposal["value"] and proposal["value"] not in self.sentences:
            raise ValueError(f"language must be '' or one of {[*self.sentences]}; got {proposal['value']!r}.")
        return proposal["value"]

    def _shown_view(self) -> dict[str, Any]:
        return self.sentences[self.language] if self.language else self.state["view"]

    def _view(self, text: str, english: Mapping[str, int] | None = None) -> dict[str, Any]:
        """All that is shown of one text.

        Args:
            english: how many tokens the English sentence has, by tokenizer, to compare with.
        """
        cuts = {}
        for name, tokenizer in self._tokenizers.items():
            cuts[name] = _cut(name, tokenizer, text, english[name] if english else None)
        size = f"{_count(len(text), 'character')}, {_count(len(text.encode()), 'byte')} in UTF-8."
        return {"text": text, "size": size, "direction": direction(text), "cuts": cuts}


def _cut(name: str, tokenizer: Tokenizer, text: str, english: int | None) -> dict[str, Any]:
    """The tokens of one text by one tokenizer, word by word, in numbers and sentences."""
    cuts: list[dict[str, Any]] = []
    pieces: list[str] = []
    room = MOST_REPLAYED
    for word in tokenizer.words(text):
        replay = _replay(tokenizer, word) if len(word.encode()) <= LONGEST_REPLAYED else None
        if replay is None or (room := room - sum(len(step["ids"]) for step in replay)) < 0:
            replay = [_step(NOT_REPLAYED, tokenizer.encode(word))]
        if not replay[-1]["ids"]:
            continue  # none of its bytes is in the vocabulary
        lost = _lost(tokenizer, word, replay[-1]["ids"])
        cuts.append({"lost": lost, "steps": replay})
        note = f" (lost: {lost})" if lost else ""
        pieces += [f"{token_text(tokenizer, i)} {i}{note}" for i in replay[-1]["ids"]]
    ids = [i for cut in cuts for i in cut["steps"][-1]["ids"]]
    tokens = {str(i): _token(tokenizer, i) for cut in cuts for step in cut["steps"] for i in step["ids"]}
    summary = _summary(len(ids), text, english)
    note = _note(tokenizer, text, ids, cuts)
    description = "\n".join([f"{name}: {summary}", *([note] if note else []), " | ".join(pieces)])
    return {"summary": summary, "note": note, "description": description, "tokens": tokens, "words": cuts}


def _replay(tokenizer: Tokenizer, word: str) -> list[dict[str, Any]]:
    """The steps by which a word becomes its tokens: a sentence, the ids so far, what is left uncut."""
    if isinstance(tokenizer, WordPiece):
        return _match_replay(tokenizer, word)
    return _merge_replay(tokenizer, word)


def _step(text: str, ids: Sequence[int], rest: str = "", new: Sequence[int] = ()) -> dict[str, Any]:
    """One step of a replay; `new` are the places in `ids` of what this step made."""
    return {"text": text, "ids": list(ids), "rest": rest, "new": list(new)}


def _merge_replay(tokenizer: BPETokenizer, word: str) -> list[dict[str, Any]]:
    steps = tokenizer.merge_steps(word)
    n_merges = len(steps) - 1
    replay = [_step(_merge_start(tokenizer, word, steps[0][1], n_merges), steps[0][1])]
    for n, ((_, before), (rank, after)) in enumerate(pairwise(steps), start=1):
        new = _merged_places(before, after)
        left, right, merged = (token_text(tokenizer, i) for i in (*before[new[0] :][:2], after[new[0]]))
        places = f" in {len(new)} places" if len(new) > 1 else ""
        text = (
            f"Merge {n} of {n_merges}: {left} + {right} → {merged}{places}, rank {rank:,} of "
            f"{len(tokenizer.merges):,}. Now: {_joined(tokenizer, after)}"
        )
        replay.append(_step(text, after, new=new))
    return replay


def _merged_places(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Where in `after` two tokens of `before` have become one.

    Example:
        >>> _merged_places([1, 2, 3, 1, 2], [12, 3, 12])
        [0, 2]
    """
    places = []
    read = 0
    for place, token in enumerate(after):
        if token == before[read]:
            read += 1
        else:
            places.append(place)
            read += 2
    return places


def _merge_start(tokenizer: BPETokenizer, word: str, ids: Sequence[int], n_merges: int) -> str:
    if word in tokenizer.special_tokens:
        return "A special token: it is never cut."
    if len(ids) < 2:
        return f"{_joined(tokenizer, ids)}: nothing to merge."
    if not n_merges:
        return f"{len(ids)} bytes, of which no two neighbours were ever merged: {_joined(tokenizer, ids)}"
    return f"Start: {len(ids)} bytes, each a piece of its own: {_joined(tokenizer, ids)}"


def _match_replay(tokenizer: WordPiece, word: str) -> list[dict[str, Any]]:
    steps = tokenizer.match_steps(word)
    start = f"Start: {word}, of which nothing is cut yet."
    if word in tokenizer.special_tokens:
        start = "A special token: it is never cut. A word of more than 100 letters becomes [UNK] at once."
    replay = [_step(start, *steps[0])]
    for n, ((_, before), (ids, rest)) in enumerate(pairwise(steps), start=1):
        if _lost(tokenizer, word, ids):
            text = f"No token fits at the start of {before}: the whole word is lost, [UNK]."
        else:
            left = f"Left: {rest}." if rest else "Nothing is left."
            token = token_text(tokenizer, ids[-1])
            text = f"Match {n}: {token} is the longest token that fits at the start of {before}. {left}"
        replay.append(_step(text, ids, rest, [len(ids) - 1]))
    return replay


def _lost(tokenizer: Tokenizer, word: str, ids: Sequence[int]) -> str:
    """The word for which [UNK] stands, "" where nothing is lost."""
    if isinstance(tokenizer, BPETokenizer) or ids != [tokenizer.special_tokens["[UNK]"]]:
        return ""
    return "…" if word == "[UNK]" else word  # of a word that is too long, `words` tells no more


def _summary(n_tokens: int, text: str, english: int | None) -> str:
    summary = f"{_count(n_tokens, 'token')}."
    if n_tokens:
        summary = (
            f"{_count(n_tokens, 'token')}: {len(text) / n_tokens:.1f} characters or "
            f"{len(text.encode()) / n_tokens:.1f} bytes per token."
        )
    if english:
        summary += f" The English sentence has {english}: {n_tokens / english:.2f} times as many."
    return summary


def _note(tokenizer: Tokenizer, text: str, ids: Sequence[int], cuts: Sequence[Mapping[str, Any]]) -> str:
    """What of the text is lost, "" where nothing is."""
    if isinstance(tokenizer, BPETokenizer):
        is_whole = tokenizer.decode(ids) == text
        return "" if is_whole else "Some bytes are not in this vocabulary and were left out."
    read = tokenizer.words(text)
    notes = []
    if "".join(read) != "".join(text.split()):
        notes.append(f"It reads: {shorten(' '.join(read), SHOWN_OF_A_READING, placeholder=' …')}")
    n_lost = sum(bool(cut["lost"]) for cut in cuts)
    if n_lost:
        notes.insert(0, f"Words lost: {n_lost} of {len(cuts)}.")
    return " ".join(notes)


def _token(tokenizer: Tokenizer, i: int) -> dict[str, str]:
    text = token_text(tokenizer, i)
    if tokenizer.tokens[i] == "[UNK]":
        kind = "lost"
    else:
        kind = "bytes" if "⟨" in text else "text"
    return {"text": text, "kind": kind}


def _joined(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return " | ".join(token_text(tokenizer, i) for i in ids)


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


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
