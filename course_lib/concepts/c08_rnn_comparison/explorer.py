"""The clock explorer: a recurrent network and a Transformer at the same sentence, tick by tick."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from torch import nn

from course_lib.costs import alternate
from course_lib.decoder import GPT, GPTConfig
from course_lib.recurrent import RecurrentLM
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import LONGEST_TEXT, checked_text

MOST_WORDS = 12  # and processors: one for each word
MOST_LAYERS = 4
MODES = ("reading", "writing")
LONGER = 16  # times as many words in the second measurement
ROUNDS = (15, 5)  # of the first and the second measurement; the fastest counts
VOCABULARY = 97  # of the models that are measured
WEIGHTS = 33_000  # of each in a layer
NAMES = (
    "RNN, a loop in Python: many small calls",
    "LSTM, a recurrent network, too: its loop in one call",
    "Transformer: no loop",
)
# What `measure` found once, for pages without a kernel.
RECORDED = {
    "where": ["Recorded", " on one core of a server, December 2026"],
    "cores": 1,
    "lengths": [10, 160],
    "layers": 3,
    "weights": WEIGHTS,
    "rows": [
        {"name": NAMES[0], "ms": [2.17, 22.62]},
        {"name": NAMES[1], "ms": [1.55, 4.56]},
        {"name": NAMES[2], "ms": [2.36, 5.24]},
    ],
}

_ASSETS = assets(__file__, "timetable", "explorer")


class ClockExplorer(Explorer):
    """Who waits for whom: boxes of two networks on a clock, with as many processors as the reader likes.

    The page makes the timetable itself, as `costs` does; only times are measured in Python.

    Args:
        text: of its words the first `MOST_WORDS` are read.
        layers: of each network, up to `MOST_LAYERS`.
        processors: of each network, up to `MOST_WORDS`.
        mode: "reading", with all words there, or "writing" them one after the other.
        tick: where the clock stands; past the end nothing changes.
    Raises: ValueError: a text without a word or too long; traitlets.TraitError: another setting.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices, here and on the page.
    text = traitlets.Unicode("a").tag(sync=True)
    layers = traitlets.Int(1, min=1, max=MOST_LAYERS).tag(sync=True)
    processors = traitlets.Int(1, min=1, max=MOST_WORDS).tag(sync=True)
    mode = traitlets.Enum(MODES, MODES[0]).tag(sync=True)
    tick = traitlets.Int(0, min=0).tag(sync=True)
    # Milliseconds: where, on how many cores, at which two lengths, with how many layers, and of each model
    # its two numbers.
    measured: Any = traitlets.Dict(RECORDED).tag(sync=True)

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
            self.text, self.layers, self.processors, self.mode, self.tick = (
                text,
                layers,
                processors,
                mode,
                tick,
            )
            limits = {"words": MOST_WORDS, "layers": MOST_LAYERS, "characters": LONGEST_TEXT}
            self.show_state(limits=limits, error="")

    @traitlets.validate("text")
    def _check_text(self, proposal: Any) -> str:
        if not (text := checked_text(proposal["value"])).split():
            raise ValueError("The text has no word: type one.")
        return text

    def measure(self) -> None:
        """Time such networks on this machine, at the text's length and at `LONGER` times it."""
        n_words = len(self.text.split()[:MOST_WORDS])
        lengths = (n_words, LONGER * n_words)
        models = _models(self.layers, lengths[-1])
        columns = []
        for length, rounds in zip(lengths, ROUNDS, strict=True):
            ids = torch.arange(length)[None] % VOCABULARY
            taken = alternate([_forward_and_backward(model, ids) for model in models], rounds)
            columns.append([round(1000 * min(seconds), 2) for seconds in taken])
        self.measured = {
            "where": ["Measured", " on this machine"],
            "cores": torch.get_num_threads(),
            "lengths": [*lengths],
            "layers": self.layers,
            "weights": WEIGHTS,
            "rows": [{"name": name, "ms": [*ms]} for name, *ms in zip(NAMES, *columns, strict=True)],
        }

    def on_measure(self) -> None:
        """The page: times are wanted."""
        self.measure()


def _models(layers: int, most_tokens: int) -> list[nn.Module]:
    """The language models of `NAMES`, of `WEIGHTS` in a layer."""
    config = GPTConfig(vocab_size=VOCABULARY, max_seq_len=most_tokens, d_model=52, n_layers=layers, n_heads=4)
    return [
        RecurrentLM(VOCABULARY, 128, layers, "rnn", fused=False),
        RecurrentLM(VOCABULARY, 64, layers, "lstm"),
        GPT(config),
    ]


def _forward_and_backward(model: nn.Module, ids: torch.Tensor) -> Callable[[], None]:
    """One step's work of a training: scores, loss, gradients."""

    def run() -> None:
        model.zero_grad()
        F.cross_entropy(model(ids)[0], ids[0]).backward()

    return run
