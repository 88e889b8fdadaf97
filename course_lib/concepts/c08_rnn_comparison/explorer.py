"""The clock explorer: a recurrent network and a Transformer at the same sentence, tick by tick."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from torch import nn

from course_lib.costs import Cell, alternate, attention_cells, recurrent_cells, timetable
from course_lib.decoder import GPT, GPTConfig
from course_lib.recurrent import RecurrentLM
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import checked_text, named

MOST_WORDS = 12
LAYERS = (2, 3, 4)
PROCESSORS = (1, 2, 3, 4, 6, 8, 12)  # the last: one for each word
MODES = {"reading": "reading: all words are there", "writing": "writing: word after word"}
WAYS = {"recurrent": "Recurrent network", "transformer": "Transformer"}
LONGER = 16  # times as many words in the second measurement
ROUNDS = (15, 5)  # of the first and the second measurement; the fastest counts
VOCABULARY = 97  # of the models that are measured
SIZES = "Each has 33,000 parameters in a layer and reads one text at a time."
ABOUT = (
    "A box is one layer at one word; layers are counted from 0. In both networks it takes one tick of one "
    "processor, although attention reads more at later words. A number is the tick at which a box worked; "
    "○ is ready and works once a processor takes it; · waits for other boxes. When reading (and in training) "
    "all words are there from the start; when writing, the last layer's box at a word says what the next "
    "word is. Keys: at the clock, left and right are a tick back and on, End lets both finish; at the boxes, "
    "arrows walk, Space is a tick on, Shift and Space one back. A page without a kernel can do all but "
    "another text and new times."
)

_ASSETS = assets(__file__)


class ClockExplorer(Explorer):
    """Who waits for whom: boxes of two networks on a clock, with as many processors as the reader likes.

    Every setting is scheduled at once for the text, so that an exported page shows them all.

    Args:
        text: of its words the first `MOST_WORDS` are read.
        layers: of each network at first.
        processors: of each network at first.
        mode: "reading", with all words there, or "writing" them one after the other, at first.
        tick: where the clock stands at first; past 0 it has told something of these settings, and what the
            Transformer needs with them is not asked.
    Raises: ValueError: a text without a word or too long; traitlets.TraitError: a setting that is not among
        `LAYERS`, `PROCESSORS`, `MODES`.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    layers = traitlets.Enum(LAYERS, LAYERS[0]).tag(sync=True)
    processors = traitlets.Enum(PROCESSORS, PROCESSORS[0]).tag(sync=True)
    mode = traitlets.Enum([*MODES], next(iter(MODES))).tag(sync=True)
    tick = traitlets.Int(0, min=0).tag(sync=True)  # past the end nothing changes
    layer = traitlets.Int(0, min=0).tag(sync=True)  # of the followed box
    token = traitlets.Int(0, min=0).tag(sync=True)
    guess = traitlets.Int(0, min=0).tag(sync=True)  # ticks of the Transformer; 0: none said
    ended: Any = traitlets.List().tag(sync=True)  # the settings seen to their end, as `_key` with processors
    told: Any = traitlets.List().tag(sync=True)  # the settings of which the lesson has told, in the same form
    # All that can be shown of this text, by layers and mode: see `_plan`.
    plans = traitlets.Dict().tag(sync=True)
    # What was measured so far, by words and layers.
    measured = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        text: str = "the cat sat on the mat because it was warm",
        *,
        layers: int = 3,
        processors: int = 12,
        mode: str = "reading",
        tick: int = 0,
    ) -> None:
        super().__init__()
        with self.hold_sync():  # one message instead of one for each change
            self.layers, self.processors, self.mode = layers, processors, mode
            self.text = text
            self.tick = tick
            self.told = [f"{_key(layers, mode)},{processors}"] if tick else []

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it, and to put the clock back."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        words = checked_text(text).split()
        if not words:
            raise ValueError("The text has no word: type one.")
        kept = words[:MOST_WORDS]
        left_out = f"Too long for one picture: {len(kept)} of {len(words)} words are read."
        names = named(kept)
        with self.hold_sync():
            self.plans = {_key(n, mode): _plan(names, n, mode) for n in LAYERS for mode in MODES}
            self.tick, self.guess, self.ended = 0, 0, []
            self.show_state(
                about=ABOUT,
                ways=[*map(list, WAYS.items())],
                options={
                    "layers": [[n, n] for n in LAYERS],
                    "processors": [[p, p] for p in PROCESSORS],
                    "modes": [[*each] for each in MODES.items()],
                },
                text=text,
                words=kept,
                names=names,
                note=left_out if len(kept) < len(words) else "",
                error="",
            )

    def measure(self) -> None:
        """Time the networks with these layers on this machine, at this length and at `LONGER` times it."""
        self.on_measure(self.layers)

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_measure(self, layers: int) -> None:
        """The page: times are wanted for networks of so many layers."""
        if layers not in LAYERS:
            raise ValueError(f"layers must be one of {[*LAYERS]}; got {layers!r}.")
        n_words = len(self.state["names"])
        self.measured = {**self.measured, f"{n_words},{layers}": _measured(n_words, layers)}

    @traitlets.validate("ended")
    def _check_ended(self, proposal: Any) -> list[str]:
        known = {f"{_key(n, mode)},{p}" for n in LAYERS for mode in MODES for p in PROCESSORS}
        if unknown := [key for key in proposal["value"] if key not in known]:
            raise ValueError(f"ended holds settings such as '3,reading,12'; got {unknown[0]!r}.")
        return proposal["value"]


def _key(layers: int, mode: str) -> str:
    """The name of a plan; the page makes the same.

    Example:
        >>> _key(3, "reading")
        '3,reading'
    """
    return f"{layers},{mode}"


def _plan(names: list[str], layers: int, mode: str) -> dict[str, Any]:
    """For each network what every box waits for, in numbers and in words, and its tick by processors.

    Boxes are numbered layer by layer.
    """
    made, n_words, writing = {}, len(names), mode == "writing"
    cells = [(layer, token) for layer in range(layers) for token in range(n_words)]
    for way, waiting in (("recurrent", recurrent_cells), ("transformer", attention_cells)):
        waits_for = waiting(n_words, layers, writing=writing)
        ticks = {p: timetable(waits_for, p) for p in PROCESSORS}
        made[way] = {
            "waits": [[layer * n_words + token for layer, token in waits_for[cell]] for cell in cells],
            "needs": [_needs(names, cell, waits_for[cell], layers, writing) for cell in cells],
            "ticks": {str(p): [at[cell] for cell in cells] for p, at in ticks.items()},
            "end": {str(p): _end_text(p, max(at.values()), len(cells)) for p, at in ticks.items()},
        }
    return made


def _needs(names: list[str], cell: Cell, inputs: list[Cell], layers: int, writing: bool) -> str:
    """What a box waits for, in words."""
    if not inputs:
        return "needs only its word."
    found = []
    for layer in sorted({layer for layer, _ in inputs}):
        words = ", ".join(names[token] for at, token in inputs if at == layer)
        writes = ", which writes this word" if writing and cell[0] == 0 and layer == layers - 1 else ""
        found.append(f"layer {layer} of {words}{writes}")
    return f"needs {' and '.join(found)}."


def _end_text(processors: int, ticks: int, n_cells: int) -> str:
    share = n_cells / (processors * ticks)
    return f"Done after {ticks} ticks. The processors were at work for {100 * share:.0f} % of the time."


def _measured(n_words: int, layers: int) -> dict[str, Any]:
    """The milliseconds of forward and backward pass, in rows to show, and what they say."""
    lengths = (n_words, LONGER * n_words)
    models = _models(layers, lengths[-1])
    columns = []
    for length, rounds in zip(lengths, ROUNDS, strict=True):
        ids = torch.arange(length)[None] % VOCABULARY
        taken = alternate([_forward_and_backward(model, ids) for model in models.values()], rounds)
        columns.append([1000 * min(seconds) for seconds in taken])
    rows = [[name, *(f"{ms:.1f}" for ms in times)] for name, *times in zip(models, *columns, strict=True)]
    ratios = [
        f"With {length} words the loop takes {loop / fused:.1f} times as long as the fused LSTM and "
        f"{loop / gpt:.1f} times as long as the GPT"
        for length, (loop, fused, gpt) in zip(lengths, columns, strict=True)
    ]
    ratio = f"{'. '.join(ratios)}. {SIZES}"
    listed = "; ".join(f"{name} {short} and {long}" for name, short, long in rows)
    heads = [f"{length} words" for length in lengths]
    text = f"Milliseconds for {' and '.join(heads)}: {listed}. {ratio}"
    return {"heads": heads, "rows": rows, "ratio": ratio, "text": text}


def _models(layers: int, most_tokens: int) -> dict[str, nn.Module]:
    """Three language models, of as many parameters in a layer."""
    config = GPTConfig(vocab_size=VOCABULARY, max_seq_len=most_tokens, d_model=52, n_layers=layers, n_heads=4)
    return {
        "RNN, written as a loop": RecurrentLM(VOCABULARY, 128, layers, "rnn", fused=False),
        "LSTM, fused": RecurrentLM(VOCABULARY, 64, layers, "lstm"),
        "GPT": GPT(config),
    }


def _forward_and_backward(model: nn.Module, ids: torch.Tensor) -> Callable[[], None]:
    """One step's work of a training: scores, loss, gradients."""

    def run() -> None:
        model.zero_grad()
        F.cross_entropy(model(ids)[0], ids[0]).backward()

    return run
