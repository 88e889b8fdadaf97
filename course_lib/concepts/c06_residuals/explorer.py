"""The depth explorer: down the layers of a decoder; what each adds, what a lens reads, what goes without."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.decoder import GPT
from course_lib.probing import layers_reordered, layers_skipped, logit_lens, recorded, resumed
from course_lib.widgets.explorer import Explorer, assets, packed
from course_lib.widgets.reading import (
    TextTokenizer,
    checked_models,
    checked_text,
    left_out,
    likeliest,
    named,
    percent,
    tokens_of,
)

MOST_TOKENS = 24  # of a text that are read
LENSES = ("plain", "fitted")
ALONG = 0.3  # cosine from which an addition goes along with the stream; against it from minus that on
ABOUT = (
    "A row is a layer, counted from 0. Its point is the length of the followed token's stream as it leaves "
    "the layer; thin lines are the other tokens. Beside it stands the likeliest next token by the "
    "lens, which lets the model's last norm and head read this stream (fitted: after a map towards the last "
    f"layer's stream). Attention and MLP add along the stream (cosine from {ALONG}), against (from −{ALONG}) "
    "or across. Keys: up and down walk through the layers, left and right through the tokens, S skips the "
    "layer, X exchanges it with the next one; the same key puts it back. All this is the model with its "
    "layers in order; what changes do to it stands at the end. A page without a kernel can walk and make one "
    "change at a time to the first text; another text and several changes need Python."
)

Lens = Callable[[Tensor], Tensor]

_ASSETS = assets(__file__)


class DepthExplorer(Explorer):
    """Follow a token down the layers of a decoder, read its stream by the lens, skip and exchange layers.

    Every single change is computed at once for the first text, so that an exported page answers it: 59 passes
    where there are 30 layers.

    Args:
        models: by name, each a `GPT` with its tokenizer.
        text: what is read at first, up to `LONGEST_TEXT` characters; of its tokens the first
            MOST_TOKENS.
        lenses: by a model's name one map (D to D) for each layer, see `probing.fit_lens`; the reader may
            then choose between the stream itself and what the map makes of it.
        model: the name of the one that is shown at first; left out, the first.
        layer: the one that is shown at first.
    Raises: ValueError: no model, one that is no `GPT`, a name that is not there, another number of maps than
        layers, a text that is empty, too long or without a token.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    model = traitlets.Unicode().tag(sync=True)  # a name of `models`
    lens = traitlets.Enum(LENSES, LENSES[0]).tag(sync=True)  # plain where there is no fitted one
    layer = traitlets.Int(0, min=0).tag(sync=True)
    token = traitlets.Int(0, min=0).tag(sync=True)
    skipped: Any = traitlets.List().tag(sync=True)  # layers
    exchanged: Any = traitlets.List().tag(sync=True)  # layers, each exchanged with the next
    # All that is shown of each model with its layers in order, by name.
    views = traitlets.Dict().tag(sync=True)
    # What comes of each change so far, by the model's name and `_key`.
    effects = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, TextTokenizer]],
        text: str,
        *,
        lenses: Mapping[str, Sequence[Lens]] | None = None,
        model: str | None = None,
        layer: int = 0,
    ) -> None:
        super().__init__()
        self.layer = layer
        pairs, maps = checked_models(models), lenses or {}
        if unknown := [*{*maps} - {*pairs}]:
            raise ValueError(f"lenses has {unknown[0]!r}, models has {[*pairs]}.")
        self._readers = {name: _Reader(name, *pair, maps.get(name)) for name, pair in pairs.items()}
        self._readings: dict[str, _Reading] = {}
        with self.hold_sync():  # one message instead of one for each change
            self._read(text)
            for name, reader in self._readers.items():
                for layer in range(reader.n_layers):
                    self._find_effect(name, [layer], [])
                for layer in range(reader.n_layers - 1):
                    self._find_effect(name, [], [layer])
        self.model = next(iter(models)) if model is None else model
        self.token = MOST_TOKENS  # the last one: what follows it is not in the text

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        self._read(text)

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_change(self, name: str, layers: list[int]) -> None:
        """The page: other layers are to be skipped, or exchanged with the next."""
        if name not in ("skipped", "exchanged"):
            raise ValueError(f"Layers can be skipped or exchanged; got {name!r}.")
        setattr(self, name, layers)

    @traitlets.validate("model")
    def _check_model(self, proposal: Any) -> str:
        if proposal["value"] not in self._readers:
            raise ValueError(f"model must be one of {[*self._readers]}; got {proposal['value']!r}.")
        return proposal["value"]

    @traitlets.validate("skipped")
    def _check_skipped(self, proposal: Any) -> list[int]:
        skipped = self._checked_layers(proposal["value"], 0)
        self._find_effects(skipped, self.exchanged)
        return skipped

    @traitlets.validate("exchanged")
    def _check_exchanged(self, proposal: Any) -> list[int]:
        exchanged = self._checked_layers(proposal["value"], 1)
        for layer in exchanged:
            if layer + 1 in exchanged:
                raise ValueError(
                    f"Layer {layer + 1} cannot be exchanged with {layer} and with {layer + 2}: "
                    "put it back before."
                )
        self._find_effects(self.skipped, exchanged)
        return exchanged

    def _checked_layers(self, layers: Any, n_after: int) -> list[int]:
        """The layers in order, each once; at least one model must have them, and so many after each."""
        n = max(reader.n_layers for reader in self._readers.values()) - n_after
        if not isinstance(layers, list) or any(
            type(layer) is not int or not 0 <= layer < n for layer in layers
        ):
            raise ValueError(f"layers must be whole numbers from 0 to {n - 1}; got {layers!r}.")
        return sorted({*layers})

    def _read(self, text: str) -> None:
        """Let all models read this text; nothing changes where one of them cannot."""
        checked_text(text)
        readings = {name: reader.read(text) for name, reader in self._readers.items()}
        self._readings = readings
        with self.hold_sync():
            self.views = {name: reader.view(readings[name]) for name, reader in self._readers.items()}
            self.effects = {}
            self._find_effects([], [])
            self._find_effects(self.skipped, self.exchanged)
            self.show_state(about=ABOUT, names=[*self._readers], text=text, error="")

    def _find_effects(self, skipped: list[int], exchanged: list[int]) -> None:
        for name in self._readers:
            self._find_effect(name, skipped, exchanged)

    def _find_effect(self, name: str, skipped: list[int], exchanged: list[int]) -> None:
        """Put into `effects` what comes of these changes, before the page asks what they look like."""
        changes = self._readers[name].fitting(skipped, exchanged)
        known = self.effects.get(name, {})
        if _key(*changes) not in known:
            effect = self._readers[name].effect(self._readings[name], *changes)
            self.effects = {**self.effects, name: {**known, _key(*changes): effect}}


@dataclass(frozen=True)
class _Reading:
    """A text as one model reads it, and what its layers, all there and in order, make of it.

    Args:
        ids: (1, T).
        tokens: the same to read.
        note: what is left out.
        streams: what enters the first layer, then what leaves each, (1, T, D).
        parts: of each layer what its attention and its MLP add, (1, T, D) both.
        logits: of the next token, (T, V).
    """

    ids: Tensor
    tokens: list[str]
    note: str
    streams: list[Tensor]
    parts: list[tuple[Tensor, Tensor]]
    logits: Tensor


class _Reader:
    """A decoder with its tokenizer and its fitted lens, if it has one."""

    def __init__(
        self, name: str, model: nn.Module, tokenizer: TextTokenizer, maps: Sequence[Lens] | None
    ) -> None:
        if not isinstance(model, GPT):
            raise ValueError(
                f"{name} is a {type(model).__name__}. What is needed is a GPT: a decoder that says the next "
                "token, and whose last norm and head can read the stream after every layer."
            )
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.n_layers = len(model.stack.blocks)
        if maps is not None and len(maps) != self.n_layers:
            raise ValueError(f"{name} needs a map for each of its {self.n_layers} layers; got {len(maps)}.")
        self.maps = maps

    def fitting(self, skipped: list[int], exchanged: list[int]) -> tuple[list[int], list[int]]:
        """Of these changes those that this model has the layers for."""
        n = self.n_layers
        return [layer for layer in skipped if layer < n], [layer for layer in exchanged if layer + 1 < n]

    @torch.no_grad()
    def read(self, text: str) -> _Reading:
        found = tokens_of(self.name, self.tokenizer, text)
        kept = found[: min(MOST_TOKENS, self.model.config.max_seq_len)]
        if not kept:
            raise ValueError(f"The text has no token of {self.name}: type another one.")
        ids = torch.tensor([[i for i, _ in kept]], device=next(self.model.parameters()).device)
        with recorded(self.model) as record:
            logits = self.model(ids)
        return _Reading(
            ids,
            [piece for _, piece in kept],
            left_out(found, kept),
            [self.model.embed(ids), *record.streams],
            [*zip(record.attention, record.feed_forward, strict=True)],
            logits[0],
        )

    @torch.no_grad()
    def view(self, reading: _Reading) -> dict[str, Any]:
        """All that is shown of the model with its layers in order."""
        names = named(reading.tokens)
        norms = torch.cat(reading.streams).norm(dim=-1).tolist()  # (L + 1, T)
        additions = [_additions(reading.streams[i], parts) for i, parts in enumerate(reading.parts)]
        lines = [
            f"{self.name}. Layers: {self.n_layers}.",
            f"Tokens ({len(names)}): {' | '.join(names)}",
            reading.note,
        ]
        lenses = {"plain": self._lenses(reading.streams[1:])}
        if self.maps is not None:
            pairs = zip(self.maps, reading.streams[1:], strict=True)
            lenses["fitted"] = self._lenses([read(stream) for read, stream in pairs])
        return {
            "text": "\n".join(filter(None, lines)),
            "note": reading.note,
            "n_layers": self.n_layers,
            "tokens": reading.tokens,
            "names": names,
            "norms": packed(norms, np.float32),
            # (L, T, 4): length and cosine of what attention adds, then of what the MLP adds
            "additions": packed(additions, np.float32),
            "walk": [
                [
                    _walk(i, name, norms[i][t], additions[i][t], norms[i + 1][t])
                    for t, name in enumerate(names)
                ]
                for i in range(self.n_layers)
            ],
            "norms_text": [_norms_text(name, [row[t] for row in norms]) for t, name in enumerate(names)],
            "lens_names": [*lenses],
            "lenses": lenses,
            "final": likeliest(self.tokenizer, reading.logits),
        }

    @torch.no_grad()
    def effect(self, reading: _Reading, skipped: list[int], exchanged: list[int]) -> dict[str, Any]:
        """What comes of these changes: the next token after each one, and the loss on the text."""
        if not skipped and not exchanged:
            loss = _loss(reading.logits, reading.ids)
            return {"text": f"All layers run, in order. {_loss_text(loss)}", "now": [], "turned": []}
        logits = self._run_changed(reading, skipped, exchanged)
        losses = [_loss(each, reading.ids) for each in (reading.logits, logits)]
        kinds = {
            "Skipped": ", ".join(map(str, skipped)),
            "Exchanged": ", ".join(f"{layer} with {layer + 1}" for layer in exchanged),
        }
        changed = " ".join(f"{kind}: {layers}." for kind, layers in kinds.items() if layers)
        shares = logits.softmax(-1).gather(-1, reading.logits.argmax(-1, keepdim=True))[:, 0].tolist()
        before = likeliest(self.tokenizer, reading.logits)
        return {
            "text": f"{changed} {_loss_text(*losses)}",
            "now": likeliest(self.tokenizer, logits),
            "turned": [
                f"{was[0][0]} had {was[0][1]} with all layers in order, now it has {percent(share)}."
                for was, share in zip(before, shares, strict=True)
            ],
        }

    def _run_changed(
        self, reading: _Reading, skipped: list[int], exchanged: list[int]
    ) -> Float[Tensor, "T V"]:
        order = [*range(self.n_layers)]
        for layer in exchanged:
            order[layer], order[layer + 1] = layer + 1, layer
        places = [place for place, layer in enumerate(order) if layer in skipped]
        first = min([*places, *exchanged])
        with ExitStack() as changes:
            changes.enter_context(layers_reordered(self.model, order))
            changes.enter_context(layers_skipped(self.model, places))
            # What lies below all changes would come out as before.
            changes.enter_context(resumed(self.model, first, reading.streams[first]))
            return self.model(reading.ids)[0]

    def _lenses(self, streams: list[Float[Tensor, "1 T D"]]) -> list[list[list[list[str]]]]:
        # All at once: it takes long to fetch the head's matrix from memory, and it is the same for all.
        logits = logit_lens(self.model, torch.cat(streams))  # (L, T, V)
        return [likeliest(self.tokenizer, each) for each in logits]


def _key(skipped: list[int], exchanged: list[int]) -> str:
    """The name of a change; the page makes the same.

    Example:
        >>> _key([3, 11], [7])
        '3,11;7'
    """
    return ";".join(",".join(map(str, layers)) for layers in (skipped, exchanged))


def _additions(stream: Float[Tensor, "1 T D"], parts: tuple[Tensor, Tensor]) -> list[list[float]]:
    """For each token the length of what attention adds, and its cosine with the stream; so of the MLP."""
    columns = []
    for part in parts:
        columns += [part[0].norm(dim=-1), F.cosine_similarity(part[0], stream[0], dim=-1)]
        stream = stream + part
    return torch.stack(columns, dim=-1).tolist()


def _walk(layer: int, name: str, before: float, addition: list[float], after: float) -> str:
    attention, attention_cosine, mlp, mlp_cosine = addition
    return (
        f"Layer {layer}, token {name}: the stream enters with length {_norm(before)}. "
        f"Attention adds {_norm(attention)} {_direction(attention_cosine)}, "
        f"the MLP {_norm(mlp)} {_direction(mlp_cosine)}. The stream leaves with length {_norm(after)}."
    )


def _direction(cosine: float) -> str:
    word = "along" if cosine >= ALONG else "against" if cosine <= -ALONG else "across"
    return f"{word} (cosine {cosine:.2f})".replace("-", "−")


def _norm(value: float) -> str:
    """Three digits at least.

    Example:
        >>> _norm(22712.3), _norm(47.66), _norm(0.50004)
        ('22,712', '47.7', '0.5')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _norms_text(name: str, norms: list[float]) -> str:
    layers = ", ".join(f"{layer}: {_norm(norm)}" for layer, norm in enumerate(norms[1:]))
    return (
        f"Length of the stream of {name}: {_norm(norms[0])} before the first layer, then after layer "
        f"{layers}."
    )


def _loss(logits: Float[Tensor, "T V"], ids: Tensor) -> tuple[float, int]:
    """The mean loss over the predictions that the text answers, and how many there are."""
    n = ids.shape[1] - 1
    return (F.cross_entropy(logits[:-1], ids[0, 1:]).item() if n else 0.0), n


def _loss_text(before: tuple[float, int], now: tuple[float, int] | None = None) -> str:
    loss, n = before
    if n == 0:
        return "A text of one token has nothing to predict, so there is no loss."
    many = "its only prediction" if n == 1 else f"mean of its {n} predictions"
    if now is None:
        return f"Loss on the text ({many}): {loss:.3f}."
    return f"Loss on the text ({many}): {loss:.3f} before, {now[0]:.3f} now."
