"""The microscope: one text inside a model, in four views of one chosen layer, head and token.

recording   all that is shown of one text, as numbers
data.js     the same on the page, and how a token is written
next.js, look.js, say.js, way.js   what comes next, who looks where, what each layer would say, the whole way
page.js     the frame of the four: sentence, text, keys, tour, and what is asked of Python
recorded.js answers in Python's place, on a page without a kernel
model.js    the model itself, in a worker of that page, where it answers what was not recorded
gguf.js     what it reads from its file
texts/      recordings, made by tools/microscope.py
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
import traitlets
from torch import nn

from course_lib.bpe import WordPiece
from course_lib.decoder import GPT
from course_lib.generation import next_token_probabilities
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.microscope.recording import Reading, Recording, unpacked_all
from course_lib.widgets.reading import Tokenizer, checked_settings, checked_text

MOST_TOKENS = 48  # of a text that are read
LAYERS_AT_ONCE = 2  # of which each head is switched off, so that the page hears from it every second
VIEWS = ("next", "look", "say", "way")
MODES = ("pair", "need", "before", "first", "self", "after", "sheet")
PARTS = ("", "start", "attention", "mlp", "end")
SIZES = ("L", "H", "vocabulary")  # by which the model of the recordings is known
TEXTS = Path(__file__).with_name("texts")
PARTS_OF_PAGE = ("data", "next", "look", "say", "way", "page")  # its files

_ASSETS = assets(__file__, *PARTS_OF_PAGE)


class Microscope(Explorer):
    """Ask one text what comes next, who looks where, what each layer would say, and how it all comes about.

    Args:
        model: a `GPT`; or a `BERT`, which has no next word: it shows who looks where, and the whole way.
        tokenizer: its own.
        text: what is read at first, up to `MOST_TOKENS` tokens.
        view: the one that is open, of `VIEWS`.
        layer: the chosen one, and so are head, token and key (the token that it looks at), from 0 on. Left
            out: the middle layer; the last token; the one that it looks at most.
        off: heads that are off, pairs of layer and head.
        skipped: layers that are skipped.
        mode: what the map of the heads shows, of `MODES`.
        part: what is open in the whole way, of `PARTS`.
        temperature: of the next token, and so are top_k and top_p, see `generation.next_token_probabilities`.
        seed: of the draws.
        name: of the model.
        others: more models to choose from, by name, each with its tokenizer.
        maps: for each layer what brings its stream nearer to the last one's, see `probing.fit_lens`: then the
            layers are read through them, too.
    Raises: ValueError: a text that is empty, too long or without a token; a choice that is not there.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Recordings: that of the text, then others that came with it.
    texts: Any = traitlets.List().tag(sync=True)
    # The same text with something off; empty while all is on.
    now = traitlets.Dict().tag(sync=True)
    # What the page asked for last: more of a recording.
    piece = traitlets.Dict().tag(sync=True)
    # What is chosen; the page chooses by itself.
    shown = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        text: str = "The capital of France is",
        *,
        view: str = "look",
        layer: int | None = None,
        head: int = 0,
        token: int | None = None,
        key: int | None = None,
        off: Iterable[tuple[int, int]] = (),
        skipped: Iterable[int] = (),
        mode: str = "pair",
        part: str = "",
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        seed: int = 0,
        name: str = "SmolLM2-135M",
        others: Mapping[str, tuple[nn.Module, Tokenizer]] | None = None,
        maps: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self._models = {name: (model, tokenizer), **(others or {})}
        self._maps = {name: maps}
        self._model = name
        self._generator = torch.Generator().manual_seed(seed)
        self._off = _pairs(off)
        self._skipped = sorted({*skipped})
        for what, value, known in (("view", view, VIEWS), ("mode", mode, MODES), ("part", part, PARTS)):
            if value not in known:
                raise ValueError(f"{what} must be one of {[*known]}; got {value!r}.")
        settings = checked_settings(temperature, top_k, top_p)
        with self.hold_sync():
            self._read(text)
            size = self.texts[0]
            layer = size["L"] // 2 if layer is None else layer
            token = size["n"] - 1 if token is None else token
            chosen = {"layer": (layer, size["L"]), "head": (head, size["H"]), "token": (token, size["n"])}
            if key is not None:
                chosen["key"] = (key, size["n"])
            for choice, (place, count) in chosen.items():
                _check_place(choice, place, count)
            self.shown = {choice: place for choice, (place, _) in chosen.items()} | {
                "view": view,
                "mode": mode,
                "part": part,
                "temperature": settings["temperature"],
                "topK": settings["top_k"] or 0,
                "topP": 1.0 if settings["top_p"] is None else settings["top_p"],
            }

    @property
    def text(self) -> str:
        """The text that is read, with what the model wrote; assign to replace it."""
        model, tokenizer = self._models[self._model]
        return tokenizer.decode(self._reading.ids) if isinstance(model, GPT) else self.texts[0]["text"]

    @text.setter
    def text(self, text: str) -> None:
        with self.hold_sync():
            self._read(text)

    def append(self, token: int, n: int | None = None) -> None:
        """Take this token as the next one, after the first n (default: all that stand there)."""
        vocabulary = len(self._models[self._model][1].tokens)
        if type(token) is not int or not 0 <= token < vocabulary:
            raise ValueError(f"A token is a whole number from 0 to {vocabulary - 1}; got {token!r}.")
        ids = self._until(n)
        if len(ids) >= MOST_TOKENS:
            raise ValueError(f"The picture holds {MOST_TOKENS} tokens: take some back, or begin anew.")
        with self.hold_sync():
            self._show([*ids, token], self._reading.given)

    def draw(
        self,
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        n: int | None = None,
    ) -> None:
        """Draw the next token, and take it; arguments as in the constructor and of `append`."""
        self.append(self._drawn(1, n, temperature, top_k, top_p)[0], n)

    def switch(self, off: Iterable[tuple[int, int]] = (), skipped: Iterable[int] = ()) -> None:
        """Switch exactly these heads off, and skip these layers.

        Raises: ValueError: one that is not there.
        """
        heads, layers = _pairs(off), sorted({*skipped})
        size = self.texts[0]
        for layer, head in heads:
            _check_place("layer", layer, size["L"])
            _check_place("head", head, size["H"])
        for layer in layers:
            _check_place("layer", layer, size["L"])
        self._off, self._skipped = heads, layers
        self.now = self._with_off()

    def on_read(self, text: str, model: str | None = None) -> None:
        """The page: another text was typed or chosen, or another model."""
        if model is not None and model not in self._models:
            raise ValueError(f"model must be one of {[*self._models]}; got {model!r}.")
        before = self._model, self._off, self._skipped
        if model not in (None, self._model):
            self._model, self._off, self._skipped = str(model), [], []
        try:
            self.text = text
        except ValueError:
            self._model, self._off, self._skipped = before
            raise

    def on_off(self, heads: list[list[int]], layers: list[int]) -> None:
        """The page: these heads are to be off, these layers skipped, and all others on."""
        self.switch([(layer, head) for layer, head in heads], layers)

    def on_append(self, token: int, n: int) -> None:
        """The page: this token is taken as the next one, after the first n."""
        self.append(token, n)

    def on_draw(self, n: int, temperature: float, topK: int, topP: float) -> None:
        """The page: one more token is to be drawn."""
        self.draw(temperature, topK or None, None if topP == 1 else topP, n)

    def on_draws(self, times: int, n: int, temperature: float, topK: int, topP: float) -> None:
        """The page: how often does each of the likeliest come, in so many draws?"""
        if type(times) is not int or not 0 < times <= 10_000:
            raise ValueError(f"times must be from 1 to 10,000; got {times!r}.")
        drawn = self._drawn(times, n, temperature, topK or None, None if topP == 1 else topP)
        self.piece = {
            "draws": [drawn.count(i) for i in self._reading.watched[n - 1].tolist()],
            "times": times,
        }

    def on_lens(self, token: int) -> None:
        """The page: what each layer would say at one more token."""
        self._writes()
        _check_place("token", token, len(self._reading.ids))
        now = self._reading.lens(token, off=self._off, skipped=self._skipped) if self.now else None
        self.piece = {"lens": self._reading.lens(token), "now": now}

    def on_words(self, layer: int, head: int) -> None:
        """The page: what one head adds, read as an output."""
        self._writes()
        _check_place("layer", layer, self.texts[0]["L"])
        _check_place("head", head, self.texts[0]["H"])
        self.piece = {"words": self._reading.words(layer, head), "layer": layer, "head": head}

    def on_needs(self, first: int) -> None:
        """The page: what becomes of the next token without each head of some layers, this one first."""
        self._writes()
        count = self.texts[0]["L"]
        _check_place("layer", first, count)
        self.piece = {"needs": self._reading.needs(range(first, min(first + LAYERS_AT_ONCE, count)))}

    def _writes(self) -> None:
        if not isinstance(self._models[self._model][0], GPT):
            raise ValueError(f"{self._model} has no next word: it reads.")

    def _until(self, n: int | None) -> list[int]:
        self._writes()
        ids = self._reading.ids
        if n is not None and (type(n) is not int or not self._reading.given <= n <= len(ids)):
            raise ValueError(f"n must be from {self._reading.given} to {len(ids)}; got {n!r}.")
        return ids[:n]

    def _drawn(self, times: int, n: int | None, temperature: Any, top_k: Any, top_p: Any) -> list[int]:
        last = len(self._until(n)) - 1
        settings = checked_settings(temperature, top_k, top_p)
        p = next_token_probabilities(self._reading.logits[last].float().cpu(), **settings)
        return torch.multinomial(p, times, replacement=True, generator=self._generator).tolist()

    def _read(self, text: str) -> None:
        """Let the model read another text."""
        checked_text(text)
        tokenizer = self._models[self._model][1]
        marks = 2 if isinstance(tokenizer, WordPiece) else 0
        ids = tokenizer.frame(text)[0] if isinstance(tokenizer, WordPiece) else tokenizer.encode(text)
        if len(ids) <= marks:
            raise ValueError("The text has no token that the model knows: type another one.")
        if len(ids) > MOST_TOKENS:
            raise ValueError(f"The text has {len(ids)} tokens, the picture holds {MOST_TOKENS}: shorten it.")
        self._show(ids, len(ids))

    def _show(self, ids: list[int], given: int) -> None:
        model, tokenizer = self._models[self._model]
        maps = self._maps.get(self._model)
        reading = Reading(model, tokenizer, ids, given, maps)
        found = None if maps else _from_file(reading)
        self._reading = Reading(model, tokenizer, found["ids"], found["n"]) if found else reading
        now = self._with_off()
        self.now, self.texts = now, [{**(found or reading.recording()), "model": self._model}]
        known = [each for each in recordings() if all(each[size] == self.texts[0][size] for size in SIZES)]
        self.show_state(models=[*self._models], examples=[each["text"] for each in known], error="")

    def _with_off(self) -> Recording:
        if not self._off and not self._skipped:
            return {}
        return self._reading.recording(off=self._off, skipped=self._skipped)


def _pairs(heads: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted({(layer, head) for layer, head in heads})


def _check_place(what: str, value: Any, count: int) -> None:
    if type(value) is not int or not 0 <= value < count:
        raise ValueError(f"{what} must be a whole number from 0 to {count - 1}; got {value!r}.")


@cache
def recordings() -> tuple[Recording, ...]:
    """The texts that come with the course, in their order, read once."""
    return tuple(json.loads(gzip.decompress(path.read_bytes())) for path in sorted(TEXTS.glob("*.json.gz")))


def page(model: Path | None = None) -> str:
    """A page of its own, with all recordings, which needs neither a kernel nor anything from outside.

    Args:
        model: the GGUF file of the recordings' model. Where the page is served with this file beside it, a
            reader may load it, and the page then reads other texts, too.
    """
    saved = json.dumps([*recordings()], ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    script = assets(__file__, *PARTS_OF_PAGE, "recorded", shared=["saved"])["esm"]
    script = script.replace("export default { render };\n", "")
    worker = ""
    if model is not None:
        code = assets(__file__, "data", "gguf", "model", shared=["bpe"])["esm"]
        told = f'data-file="{quote(model.name)}" data-bytes="{model.stat().st_size}"'
        worker = f'<script type="text/plain" id="worker" {told}>\n{code}</script>\n'
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The microscope</title>
<link rel="icon" href="data:,">
<style>
{_ASSETS["css"]}
html {{ color-scheme: light dark; }}
body {{ max-width: 1000px; margin: 0 auto; background: light-dark(#ffffff, #111418); }}
.cx {{ border: 0; max-width: none; }}
</style>
<main id="microscope"></main>
<script type="application/json" id="recordings">{saved}</script>
{worker}<script type="module">
{script}</script>
</html>
"""


def _from_file(reading: Reading) -> Recording | None:
    """The recording of this very text by this very model, None where there is none."""
    if not isinstance(reading.model, GPT):
        return None
    for found in recordings():
        if found["ids"][: found["n"]] != reading.ids or found["n"] != reading.given:
            continue
        said = unpacked_all({"next_logits": found["arrays"]["next_logits"]})["next_logits"][: found["n"]]
        top = reading.logits.topk(min(said.shape[1], reading.logits.shape[1])).values.float().cpu().numpy()
        if top.shape == said.shape and np.abs(top - said).max() < 1e-3:
            return found
    return None


__all__ = ["Microscope", "page", "recordings"]
