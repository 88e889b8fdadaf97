"""The heads explorer: all heads of a model on one sheet, one of them enlarged, any of them switched off."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.bpe import WordPiece
from course_lib.decoder import GPT
from course_lib.encoder import BERT
from course_lib.encoder_decoder import EncoderDecoder
from course_lib.probing import heads_off, recorded, resumed, weights_recorded
from course_lib.widgets.explorer import Explorer, assets, packed
from course_lib.widgets.reading import (
    TextTokenizer,
    Token,
    checked_models,
    checked_text,
    left_out,
    likeliest,
    listed,
    named,
    percent,
    tokens_of,
)

MOST_TOKENS = 32  # of a text that are read and drawn
DRAWINGS = ("lines", "matrix")
ABOUT = (
    "Each small picture is a head: a row for each token that looks, a column for each that is looked at; the "
    "stronger the colour, the larger the weight (by its square root, so that small ones show). Layers run to "
    "the right and heads down, both counted from 0. Keys: arrows move, O switches the head off or on, L "
    "changes between lines and matrix, Enter goes to its tokens. A head that is off adds nothing, and the "
    "pictures show what the others then do. Looking works without a kernel; another text and switching heads "
    "need Python."
)

_ASSETS = assets(__file__)


class HeadsExplorer(Explorer):
    """See who looks at whom in every head of a model, follow a token, and switch heads off.

    Args:
        models: by name, each with its tokenizer: a `GPT`, a `BERT`, an `EncoderDecoder`, or another model
            built with `MultiHeadAttention` that is called with ids.
        text: what is read at first, up to `LONGEST_TEXT` characters; of its tokens the first
            MOST_TOKENS.
        model: the name of the one that is shown at first; left out, the first.
        other_text: a second text: the other half of a pair for a BERT, the translation so far for an
            encoder-decoder, nothing for others.
    Raises: ValueError: no model, a name that is not there, layers with different numbers of heads, a text
        that is empty, too long or without a token.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    model = traitlets.Unicode().tag(sync=True)  # a name of `models`
    attention = traitlets.Unicode().tag(sync=True)  # a name of the view's sheets; any other: the first
    opened = traitlets.List([0, 0]).tag(sync=True)  # layer and head
    token = traitlets.Int(0, min=0).tag(sync=True)  # the one that is followed
    drawn_as = traitlets.Enum(DRAWINGS, DRAWINGS[0]).tag(sync=True)
    # All that is shown of each model, by name.
    views = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, TextTokenizer]],
        text: str,
        *,
        model: str | None = None,
        other_text: str = "",
    ) -> None:
        super().__init__()
        self._readers = {name: _Reader(name, *pair) for name, pair in checked_models(models).items()}
        self._off: dict[str, set[tuple[str, int, int]]] = {name: set() for name in models}
        self._readings: dict[str, _Reading] = {}
        self._read(text, other_text)
        self.model = next(iter(models)) if model is None else model
        self.token = MOST_TOKENS  # the last one: it has most to look at

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        self._read(text, self.other_text)

    @property
    def other_text(self) -> str:
        """The second text, for models that read two; assign to replace it."""
        return self.state["other_text"]

    @other_text.setter
    def other_text(self, other_text: str) -> None:
        self._read(self.text, other_text)

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_other(self, text: str) -> None:
        """The page: another second text was typed."""
        self.other_text = text

    def on_switch(self, model: str, attention: str, layer: int, head: int) -> None:
        """The page: a head is to be off, or on again."""
        reader = self._reader(model)
        if attention not in reader.sheets:
            raise ValueError(f"{model} has the attention {[*reader.sheets]}; got {attention!r}.")
        for what, index, n in zip(("layer", "head"), (layer, head), reader.size(attention), strict=True):
            if type(index) is not int or not 0 <= index < n:
                raise ValueError(f"{what} must be a whole number from 0 to {n - 1}; got {index!r}.")
        self._show(model, self._off[model] ^ {(attention, layer, head)})

    def on_restore(self, model: str) -> None:
        """The page: all heads are to be on again."""
        self._reader(model)
        self._show(model, set())

    @traitlets.validate("model")
    def _check_model(self, proposal: Any) -> str:
        self._reader(proposal["value"])
        return proposal["value"]

    @traitlets.validate("opened")
    def _check_opened(self, proposal: Any) -> list[int]:
        opened = list(proposal["value"])
        if len(opened) != 2 or not all(type(at) is int and at >= 0 for at in opened):
            raise ValueError(f"opened must be a layer and a head, counted from 0; got {opened}.")
        return opened

    def _reader(self, model: Any) -> "_Reader":
        if model not in self._readers:
            raise ValueError(f"model must be one of {[*self._readers]}; got {model!r}.")
        return self._readers[model]

    def _read(self, text: str, other_text: str) -> None:
        """Let all models read these texts; nothing changes where one of them cannot."""
        checked_text(text)
        if other_text != "":
            checked_text(other_text)
        readings = {name: reader.read(text, other_text) for name, reader in self._readers.items()}
        views = {name: self._readers[name].view(readings[name], self._off[name]) for name in readings}
        self._readings, self.views = readings, views
        names = [*self._readers]
        self.show_state(about=ABOUT, names=names, text=text, other_text=other_text, error="")

    def _show(self, model: str, off: set[tuple[str, int, int]]) -> None:
        view = self._readers[model].view(self._readings[model], off)
        self._off[model] = off
        self.views = {**self.views, model: view}


@dataclass(frozen=True)
class _Reading:
    """Texts as one model reads them, and what comes of them with all heads on.

    Args:
        inputs: what the model is called with.
        sides: the tokens to read, of one text or of two that look at each other.
        note: what is left out.
        weights: of each attention, (H, T, S).
        streams: as each layer leaves it, (1, T, D), where a pass can be resumed.
        output: scores of the next token (V,), or a vector for each token (T, D).
    """

    inputs: list[Tensor]
    sides: list[list[str]]
    note: str
    weights: list[Tensor]
    streams: list[Tensor]
    output: Tensor


class _Reader:
    """A model with its tokenizer."""

    def __init__(self, name: str, model: nn.Module, tokenizer: TextTokenizer) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.heads = [layer.n_heads for layer in model.modules() if isinstance(layer, MultiHeadAttention)]
        if not self.heads:
            raise ValueError(f"{name} has no MultiHeadAttention to look into: {type(model).__name__}.")
        self.sheets = _sheets(model, len(self.heads))
        for layers in self.sheets.values():
            found = sorted({self.heads[layer] for layer in layers})
            if len(found) != 1:
                raise ValueError(f"{name} must have layers with the same number of heads; got {found}.")

    def size(self, attention: str) -> tuple[int, int]:
        """How many layers and heads one sheet has."""
        layers = self.sheets[attention]
        return len(layers), self.heads[layers[0]]

    @property
    def second(self) -> str:
        """What the second text is to this model, "" where it reads only one."""
        if isinstance(self.model, EncoderDecoder):
            return "Its translation so far"
        is_pair_read = isinstance(self.model, BERT) and self.model.config.n_segments > 1
        return "Second text, if there is one" if is_pair_read else ""

    def read(self, text: str, other_text: str) -> _Reading:
        first = tokens_of(self.name, self.tokenizer, text)
        second = tokens_of(self.name, self.tokenizer, other_text) if other_text and self.second else []
        room = min(MOST_TOKENS, getattr(getattr(self.model, "config", None), "max_seq_len", MOST_TOKENS))
        device = next(self.model.parameters()).device
        if isinstance(self.model, EncoderDecoder):
            if not second:
                raise ValueError(f"{self.name} needs a second text: the translation so far.")
            rows = [first[:room], second[:room]]
            inputs = _as_inputs(rows, device)
            note = " ".join(filter(None, map(left_out, (first, second), rows)))
        else:
            row, segments, note = self._framed(first, second, room)
            rows = [row]
            inputs = _as_inputs(rows, device)
            if isinstance(self.model, BERT):
                inputs.append(torch.tensor([segments], device=device))
        pieces = [[piece for _, piece in row] for row in rows]
        return _Reading(inputs, pieces, note, *self._run(inputs))

    def view(self, reading: _Reading, off: set[tuple[str, int, int]]) -> dict[str, Any]:
        """All that is shown of one model, with these heads off: attention, layer, head."""
        weights, after = reading.weights, None
        if off:
            silent = [(self.sheets[attention][layer], head) for attention, layer, head in off]
            weights, after = self._run_without(silent, reading)
        return {
            "second": self.second,
            "note": reading.note,
            "off_text": self._off_text(off),
            "attentions": [*self.sheets],
            "sheets": {name: self._sheet(name, reading, weights, off) for name in self.sheets},
            "effect": self._effect(reading.output, after, reading.sides[0]),
        }

    def _sheet(
        self, attention: str, reading: _Reading, weights: list[Tensor], off: set[tuple[str, int, int]]
    ) -> dict[str, Any]:
        """One attention of all layers; queries and keys may be tokens of two texts."""
        queries = reading.sides[0 if attention == "encoder" else -1]
        keys = reading.sides[-1 if attention == "decoder" else 0]
        stacked = torch.stack([weights[layer] for layer in self.sheets[attention]])  # (L, H, T, S)
        n_layers, n_heads = stacked.shape[:2]
        query_names, key_names = named(queries), named(keys)
        sides = {"Tokens": query_names}
        if attention == "cross-attention":
            sides = {"From": query_names, "To": key_names}
        lines = [
            f"{self.name}, {attention}. Layers: {n_layers}. Heads in each: {n_heads}.",
            *(f"{what} ({len(names)}): {' | '.join(names)}" for what, names in sides.items()),
            reading.note,
            self._off_text(off),
        ]
        return {
            "shape": list(stacked.shape),
            "query_tokens": queries,
            "key_tokens": keys,
            # The same for sentences.
            "query_names": query_names,
            "key_names": key_names,
            # In thousandths.
            "weights": packed((1000 * stacked).round(), np.uint16),
            "off": sorted([layer, head] for name, layer, head in off if name == attention),
            "text": "\n".join(filter(None, lines)),
        }

    def _effect(self, before: Tensor, after: Tensor | None, tokens: list[str]) -> dict[str, Any]:
        """What the model makes of the text with all heads on, and as they are now, if some are off."""
        if not isinstance(self.model, GPT | EncoderDecoder):
            turned = "Switch heads off to see it turn." if after is None else _turned(before, after, tokens)
            text = f"{self.name} has no next token: it gives a vector for each token. {turned}"
            return {"before": [], "after": [], "text": text, "description": text}
        was, now = likeliest(self.tokenizer, before[None])[0], []
        lines = [f"Next token, all heads on: {listed(was)}."]
        text = "Switch heads off to see what becomes of the next token."
        if after is not None:
            now = likeliest(self.tokenizer, after[None])[0]
            lines.append(f"As it is now: {listed(now)}.")
            share = after.softmax(-1)[before.argmax()]
            text = f"{was[0][0]} had {was[0][1]} with all heads on, now it has {percent(float(share))}."
        return {"before": was, "after": now, "text": text, "description": "\n".join([*lines, text])}

    def _framed(
        self, first: list[Token], second: list[Token], room: int
    ) -> tuple[list[Token], list[int], str]:
        """One row of tokens with a BERT's marks, which text each belongs to, and what is left out."""
        begin: list[Token] = []
        end: list[Token] = []
        if isinstance(self.model, BERT) and isinstance(self.tokenizer, WordPiece):
            begin, end = ([(self.tokenizer.special_tokens[mark], mark)] for mark in ("[CLS]", "[SEP]"))
        room -= len(begin + end) + len(end if second else [])
        n_second = min(len(second), max(room // 2, room - len(first)))
        kept = [first[: room - n_second], second[:n_second]]
        parts = [[*begin, *kept[0], *end], [*kept[1], *end] if second else []]
        row = [*parts[0], *parts[1]]
        if not row:
            raise ValueError(f"The text has no token of {self.name}: type another one.")
        segments = [n for n, part in enumerate(parts) for _ in part]
        return row, segments, left_out([*first, *second], [*kept[0], *kept[1]])

    def _off_text(self, off: set[tuple[str, int, int]]) -> str:
        if not off:
            return "All heads are on."
        is_one = len(self.sheets) == 1
        names = [
            f"{layer}.{head}" if is_one else f"{layer}.{head} ({name})" for name, layer, head in sorted(off)
        ]
        return f"Off: {', '.join(names)}."

    def _run_without(self, heads: list[tuple[int, int]], reading: _Reading) -> tuple[list[Tensor], Tensor]:
        """The weights of each attention and the output, with some heads off."""
        first = 0
        with ExitStack() as changes:
            changes.enter_context(heads_off(self.model, heads))
            if reading.streams:  # what lies below all these heads would come out as before
                first = min(layer for layer, _ in heads)
                changes.enter_context(resumed(self.model, first, reading.streams[first - 1]))
            weights, _, output = self._run(reading.inputs)
        return reading.weights[:first] + weights, output

    @torch.no_grad()
    def _run(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """What a `_Reading` keeps of one real pass."""
        is_stack = isinstance(self.model, GPT | BERT)
        with ExitStack() as probes:
            record = probes.enter_context(recorded(self.model)) if is_stack else None
            seen = record.weights if record else probes.enter_context(weights_recorded(self.model))
            if isinstance(self.model, GPT):
                output = self.model.next_token_logits(inputs[0])
            elif isinstance(self.model, EncoderDecoder):
                output = self.model(*inputs)[:, -1]
            else:
                output = self.model(*inputs)
        streams = record.streams if record else []
        return [weights[0].cpu() for weights in seen], streams, output[0].cpu()


def _sheets(model: nn.Module, n_attentions: int) -> dict[str, Sequence[int]]:
    """The attentions that are drawn together, as `probing` counts them; each is a layer of its sheet."""
    if isinstance(model, EncoderDecoder):
        n = model.config.n_layers
        decoder = range(n, 3 * n)  # each layer first looks at itself, then across
        return {"encoder": range(n), "decoder": decoder[::2], "cross-attention": decoder[1::2]}
    return {"self-attention": range(n_attentions)}


def _as_inputs(rows: list[list[Token]], device: torch.device) -> list[Tensor]:
    return [torch.tensor([[i for i, _ in row]], device=device) for row in rows]


def _turned(before: Tensor, after: Tensor, tokens: list[str]) -> str:
    """How far the vectors have moved."""
    alike = F.cosine_similarity(before, after, dim=-1)
    least = int(alike.argmin())
    return (
        f"The cosine with what it was with all heads on is {alike.mean():.3f} on average, and least for "
        f"{named(tokens)[least]}: {alike[least]:.3f}."
    )
