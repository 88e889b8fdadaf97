"""The gap explorer: hide tokens of a text and see what models expect there, from one side and from both."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import traitlets
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib import readers
from course_lib.decoder import GPT
from course_lib.objectives import token_losses
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import (
    TextTokenizer,
    Token,
    checked_models,
    checked_text,
    left_out,
    likeliest,
    named,
    percent,
    readable,
    tokens_of,
)

MOST_TOKENS = 32  # of a text that are read
MOST_HIDDEN = 8
TRIED = 20  # tokens that a model which reads one side tries in a gap
SHOWN_UNKNOWN = 10  # characters that are named where a model does not know them
SMALL = 1_000_000  # parameters up to which every single gap is computed at once
ABOUT = (
    "The number under a token is the surprise in bits: −log₂ of the probability that the model gives it. "
    "A model that reads to the left sees what stands before a token. It cannot read a gap, so it fills each "
    "one with its own likeliest token before it reads on. By trying it can use the right side, too: each of "
    f"its {TRIED} likeliest tokens is put into the gap, and the hidden one as well, to see its share. The "
    "whole text is scored with each, and the shares are those among the tokens tried. A model that reads "
    "both sides answers in one pass, and for its numbers each token is hidden in turn. Keys: left and right "
    "walk through the tokens, H or space hides one and shows it again. A page without a kernel can do what "
    "has been answered; another text and other gaps need Python."
)

_ASSETS = assets(__file__)


class Characters:
    """What the models of `readers` read, as a tokenizer: each character of `readers.ALPHABET` is a token."""

    def encode(self, text: str) -> list[int]:
        """The numbers of the characters. Raises: ValueError: some are not in the alphabet, and which."""
        unknown = [readable(c.encode()) for c in dict.fromkeys(text) if c not in readers.ALPHABET]
        if unknown:
            some = " ".join(unknown[:SHOWN_UNKNOWN]) + " …" * (len(unknown) > SHOWN_UNKNOWN)
            raise ValueError(
                f"The model does not know {some}: it reads the letters, digits and signs of an English "
                "keyboard. Type another text."
            )
        return readers.encode(text).tolist()

    def pieces(self, text: str) -> list[str]:
        """The characters themselves."""
        return [*self.decode(self.encode(text))]

    def decode(self, ids: list[int]) -> str:
        """The characters of these numbers."""
        return readers.decode(torch.tensor(ids, dtype=torch.long))


class GapExplorer(Explorer):
    """Hide tokens and see what models put there: from the left, from both sides, or by trying candidates.

    For the first text, models of up to `SMALL` parameters answer every single gap at once, so that an
    exported page can show them all. A larger one answers the first gap, and others when they are hidden.

    Args:
        models: by name, each a `GPT` with its tokenizer. It is causal, or it reads both sides and then knows
            `readers.MASK_ID`, or it is SmolLM2 as a `readers.Filler`. Models that cut the text into the same
            tokens stand side by side.
        text: what is read at first, up to `LONGEST_TEXT` characters; of its tokens the first
            `MOST_TOKENS`.
        model: the name of the one whose tokens and numbers are shown at first; left out, the first.
        hidden: the places, from 0, that are hidden at first; left out, the middle.
    Raises: ValueError: no model, another kind of model, a name or place that is not there, a text that is
        empty, too long or without a token.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    model = traitlets.Unicode().tag(sync=True)  # a name of `models`
    hidden: Any = traitlets.List().tag(sync=True)  # places, in order
    token: Any = traitlets.Int(0).tag(sync=True)  # the place that is followed
    # The tokens of each model, by name.
    views = traitlets.Dict().tag(sync=True)
    # What was answered so far, by the model's name and the hidden places ("3,7"): see `_Reader.answer`.
    answers = traitlets.Dict().tag(sync=True)
    # What was tried so far, by the model's name and `_key`.
    tried = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, TextTokenizer]],
        text: str,
        *,
        model: str | None = None,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self._readers = {name: _Reader(name, *pair) for name, pair in checked_models(models).items()}
        with self.hold_sync():  # one message instead of one for each change
            self._read(text, next(iter(models)) if model is None else model, hidden)
            for reader in self._readers.values():
                if reader.is_small:
                    self._find([reader], [], 0)
                    for place in range(len(reader.pieces)):
                        self._find([reader], [place], place)

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it, and to hide its middle."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        self._read(text, self.model, None)

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_choose(self, model: str, hidden: list[int], token: int) -> None:
        """The page: something was chosen that is not yet computed."""
        self._prepare(model, hidden, token)
        with self.hold_trait_notifications():  # the three are checked together
            self.model, self.hidden, self.token = model, hidden, token

    @traitlets.validate("model")
    def _check_model(self, proposal: Any) -> str:
        self._prepare(proposal["value"], self.hidden, self.token)
        return proposal["value"]

    @traitlets.validate("hidden")
    def _check_hidden(self, proposal: Any) -> list[int]:
        self._prepare(self.model, proposal["value"], self.token)
        return sorted({*proposal["value"]})

    @traitlets.validate("token")
    def _check_token(self, proposal: Any) -> int:
        self._prepare(self.model, self.hidden, proposal["value"])
        return proposal["value"]

    def _prepare(self, model: Any, hidden: Any, token: Any) -> None:
        """Check a choice, and compute what it shows before the page asks what that looks like."""
        if model not in self._readers:
            raise ValueError(f"model must be one of {[*self._readers]}; got {model!r}.")
        most = max(len(reader.pieces) for reader in self._readers.values())
        places = [*hidden, token] if isinstance(hidden, list) else [hidden]
        if any(type(place) is not int or not 0 <= place < most for place in places):
            raise ValueError(
                f"hidden and token must be places from 0 to {most - 1}; got {hidden!r}, {token!r}."
            )
        n_tokens = len(self._readers[model].pieces)
        n_hidden = sum(place < n_tokens for place in {*hidden})
        if n_hidden > min(MOST_HIDDEN, n_tokens - 1):
            raise ValueError(
                f"At most {MOST_HIDDEN} tokens can be hidden, and one must stay; got {n_hidden} of "
                f"{n_tokens}: show one before you hide another."
            )
        self._find(self._group(model), hidden, token)

    def _read(self, text: str, model: str, hidden: Sequence[int] | None) -> None:
        """Let all models read this text; nothing changes where one of them cannot."""
        checked_text(text)
        if model not in self._readers:
            raise ValueError(f"model must be one of {[*self._readers]}; got {model!r}.")
        cuts = {name: reader.cut(text) for name, reader in self._readers.items()}
        for name, (tokens, note) in cuts.items():
            self._readers[name].take(tokens, note)
        n_tokens = len(self._readers[model].pieces)
        middle = n_tokens // 2
        chosen = [*hidden] if hidden is not None else [middle] * (n_tokens > 1)
        with self.hold_sync():
            self.views = {name: reader.view() for name, reader in self._readers.items()}
            self.answers, self.tried = ({name: {} for name in self._readers} for _ in range(2))
            self.on_choose(model, chosen, chosen[0] if chosen else middle)
            self.show_state(about=ABOUT, names=[*self._readers], text=text, error="")

    def _group(self, model: str) -> list["_Reader"]:
        """The models that cut the text as this one does."""
        shown = self._readers[model].pieces
        return [reader for reader in self._readers.values() if reader.pieces == shown]

    def _find(self, group: list["_Reader"], hidden: list[int], token: int) -> None:
        """Put into `answers` and `tried` what is not yet there."""
        for reader in group:
            places, name = reader.fitting(hidden), reader.name
            if _key(places) not in self.answers[name]:
                answer = reader.answer(places)
                self.answers = {**self.answers, name: {**self.answers[name], _key(places): answer}}
            followed = min(token, len(reader.pieces) - 1)
            key = _key(places, followed)
            if followed in places and reader.is_causal and key not in self.tried[name]:
                gap = reader.attempt(places, followed)
                self.tried = {**self.tried, name: {**self.tried[name], key: gap}}


class _Reader:
    """A model with its tokenizer, and the text that it reads."""

    def __init__(self, name: str, model: nn.Module, tokenizer: TextTokenizer) -> None:
        self.filler = model if isinstance(model, readers.Filler) else None
        if isinstance(model, readers.Filler):
            model = model.model
        if not isinstance(model, GPT):
            raise ValueError(
                f"{name} is a {type(model).__name__}. What is needed is a GPT: a decoder that says the next "
                "token, or the same without its causal mask, trained to say what is hidden."
            )
        self.is_causal = self.filler is None and readers.is_causal(model)
        vocab_size = model.config.vocab_size
        if not self.is_causal and self.filler is None and vocab_size <= readers.MASK_ID:
            raise ValueError(
                f"{name} reads both sides, so it must know token {readers.MASK_ID}, which stands for what is "
                f"hidden; it knows {vocab_size} tokens, from 0."
            )
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.is_small = sum(parameter.numel() for parameter in model.parameters()) <= SMALL
        self.take([], "")

    def cut(self, text: str) -> tuple[list[Token], str]:
        """The tokens of a text that are read, and what is said of the others."""
        found = tokens_of(self.name, self.tokenizer, text)
        kept = found[: min(MOST_TOKENS, self.model.config.max_seq_len)]
        if not kept:
            raise ValueError(f"The text has no token of {self.name}: type another one.")
        return kept, left_out(found, kept)

    def take(self, tokens: list[Token], note: str) -> None:
        """Read these tokens from now on."""
        self.note = note
        self.pieces = [piece for _, piece in tokens]
        self.names = named(self.pieces)
        self._last: tuple[list[int], tuple[int, Tensor, Tensor]] | None = None
        device = next(self.model.parameters()).device
        self.ids = torch.tensor([i for i, _ in tokens], dtype=torch.long, device=device)

    def fitting(self, hidden: Sequence[int]) -> list[int]:
        """Of these places those that this text has; one token stays."""
        n_tokens = len(self.pieces)
        return [place for place in sorted({*hidden}) if place < n_tokens][: n_tokens - 1]

    def view(self) -> dict[str, Any]:
        side = "what stands before" if self.is_causal else "both sides"
        lines = [
            f"{self.name} reads {side}.",
            f"Tokens ({len(self.names)}): {' | '.join(self.names)}",
            self.note,
        ]
        return {
            "text": "\n".join(filter(None, lines)),
            "note": self.note,
            "is_causal": self.is_causal,
            "tokens": self.pieces,
            "names": self.names,
        }

    @torch.no_grad()
    def answer(self, hidden: list[int]) -> dict[str, Any]:
        """The surprise at each token while these are hidden, and what is said of each gap."""
        self.model.eval()
        start = 0
        if self.is_causal:
            start, _, scores = self._written(hidden)
        else:
            scores = self._both_sides(hidden)
        n_silent = len(self.ids) - len(scores)  # at the beginning: nothing stands before them
        losses = token_losses(scores, self.ids[n_silent:]) / math.log(2)
        bits = [None] * n_silent + [round(loss, 3) for loss in losses.tolist()]
        gaps = {}
        for n, place in enumerate(hidden):
            at = place - n_silent
            title = f"{self.name}, {'left only' if self.is_causal else 'both sides'}"
            n_passes = n - start + 1 if self.is_causal else 1
            gaps[str(place)] = self._gap(title, n_passes, place, scores[max(at, 0) : max(at + 1, 0)])
        return {"bits": bits, "text": self._surprise_text(hidden, bits), "gaps": gaps}

    @torch.no_grad()
    def attempt(self, hidden: list[int], place: int) -> dict[str, Any]:
        """What fills a gap when the whole text is scored with each of the likeliest tokens in turn."""
        self.model.eval()
        start, written, scores = self._written(hidden)
        title = f"{self.name}, both sides by trying"
        if place < start:
            return self._gap(title, 0, place, scores[:0])
        before = scores[place - start - 1].log_softmax(-1)  # (V,)
        tokens = before.topk(min(TRIED, len(before))).indices
        if self.ids[place] not in tokens:
            tokens = torch.cat([tokens, self.ids[place : place + 1]])
        texts = written[start:].repeat(len(tokens), 1)  # (N, T)
        at = place - start
        texts[:, at] = tokens
        after = self._scores_after(texts, at)[:, :-1].log_softmax(-1)  # (N, S, V)
        known = [n for n in range(at + 1, texts.shape[1]) if n + start not in hidden]
        agree = after.gather(-1, texts[:, at + 1 :, None])[..., 0]  # (N, S)
        total = before[tokens] + agree[:, [n - at - 1 for n in known]].sum(-1)
        tried = torch.full_like(before, -torch.inf)
        tried[tokens] = total
        n_passes = hidden.index(place) - start + 1 + len(tokens)
        return self._gap(f"{title} {len(tokens)} tokens", n_passes, place, tried[None])

    def _scores_after(self, texts: Int[Tensor, "N T"], at: int) -> Float[Tensor, "N S V"]:
        """The scores from place `at` on, of texts that are the same before it: those are read once."""
        n_texts, n_tokens = texts.shape
        first, caches = self.model.new_cache(1, at), self.model.new_cache(n_texts, n_tokens)
        self.model.next_token_logits(texts[:1, :at], first)
        for one, many in zip(first, caches, strict=True):
            many.append(one.keys.expand(n_texts, -1, -1, -1), one.values.expand(n_texts, -1, -1, -1))
        return self.model(texts[:, at:], caches)

    def _written(self, hidden: list[int]) -> tuple[int, Tensor, Float[Tensor, "T V"]]:
        """The text with the model's own likeliest token in each gap.

        Returns:
            the place of the first token that is not hidden, where the model begins; the ids; the scores of
            what follows each token from there on, without the last.
        """
        if self._last is not None and self._last[0] == hidden:
            return self._last[1]
        start = next(place for place in range(len(self.ids)) if place not in hidden)
        written = self.ids.clone()
        scores = self.model(written[None, start:])[0, :-1]
        for place in hidden:
            if place > start:
                written[place] = scores[place - start - 1].argmax()
                scores = self.model(written[None, start:])[0, :-1]
        self._last = (hidden, (start, written, scores))  # `attempt` asks what `answer` has asked
        return self._last[1]

    def _both_sides(self, hidden: list[int]) -> Float[Tensor, "T V"]:
        """For each token the scores where it stands, while it and the gaps are hidden."""
        texts = self.ids.repeat(len(self.ids), 1)  # (T, T)
        if self.filler is not None:
            are_hidden = torch.eye(len(texts), dtype=torch.bool, device=texts.device)
            are_hidden[:, hidden] = True
            return self.filler(texts, are_hidden, torch.arange(len(texts), device=texts.device))
        texts[:, hidden] = readers.MASK_ID
        texts.fill_diagonal_(readers.MASK_ID)
        return self.model(texts).diagonal().T

    def _gap(self, title: str, n_passes: int, place: int, scores: Float[Tensor, "n V"]) -> dict[str, Any]:
        """What is said of a gap; without scores, that nothing can be said."""
        if len(scores) == 0:
            return {"title": title, "rows": [], "own": "Nothing stands before it to go by."}
        share = scores.softmax(-1)[0, self.ids[place]].item()
        bits = token_losses(scores, self.ids[place : place + 1]).item() / math.log(2)
        own = f"Hidden is {self.names[place]}: {percent(share)}, a surprise of {bits:.1f} bits."
        title = f"{title} ({n_passes} {'pass' if n_passes == 1 else 'passes'})"
        return {"title": title, "rows": likeliest(self.tokenizer, scores)[0], "own": own}

    def _surprise_text(self, hidden: list[int], bits: list[float | None]) -> str:
        parts = [
            f"{name}{' (hidden)' if place in hidden else ''} {'–' if n is None else f'{n:.1f}'}"
            for place, (name, n) in enumerate(zip(self.names, bits, strict=True))
        ]
        said = [n for n in bits if n is not None]
        mean = f" Mean: {sum(said) / len(said):.2f} bits." if said else ""
        return f"Surprise in bits by {self.name}: {' | '.join(parts)}.{mean}"


def _key(hidden: list[int], token: int | None = None) -> str:
    """The name of what is asked; the page makes the same.

    Example:
        >>> _key([3, 7]), _key([3, 7], 3)
        ('3,7', '3,7;3')
    """
    places = ",".join(map(str, hidden))
    return places if token is None else f"{places};{token}"
