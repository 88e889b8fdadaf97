"""Are more layers better?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
import yaml
from torch import Generator, Tensor, nn

from course_lib import costs
from course_lib.claims import Trained, trains
from course_lib.data import characters, windows
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import seeded
from course_lib.objectives import token_loss
from course_lib.training import TrainingConfig, bar, starts_of, train

STORED_DEPTHS = Path(__file__).with_name("depths.yml")
WIDTH = 32


class Wider(NamedTuple):
    """A stack of fewer, wider layers with about as many weights as eight of `WIDTH`.

    Args:
        layers, width: of the stack.
        times: how often it gets the steps of the eight.
    """

    layers: int
    width: int
    times: int


WIDER = (Wider(2, 64, 1), Wider(1, 96, 3))


@dataclass(frozen=True)
class MoreLayers:
    """How well decoders of several depths predict English text, after little and after much training.

    The numbers that are properties are differences in bits, the least over the starts, and the mean where
    wider layers are to do as well; the work of a training is its steps times the layers.

    Args:
        bits: for a character of text that was not learned, by layers, width and steps, one a start.
        memory: by layers, the bytes that a step of training keeps.
    """

    bits: Mapping[tuple[int, int, int], tuple[float, ...]]
    memory: Mapping[int, int]

    @property
    def much(self) -> Mapping[int, tuple[float, ...]]:
        """Bits by layers of one width, the fewest first, after the same much work."""
        return self._after(max(layers * steps for layers, steps in self._narrow))

    @property
    def little(self) -> Mapping[int, tuple[float, ...]]:
        """The same after the same little work, of the fewest layers and the most."""
        deepest = max(layers for layers, _ in self._narrow)
        return self._after(min(layers * steps for layers, steps in self._narrow if layers == deepest))

    @property
    def wider(self) -> Mapping[int, tuple[float, ...]]:
        """Bits of the wider ones by layers."""
        return {layers: found for (layers, width, _), found in self.bits.items() if width != WIDTH}

    @property
    def helps(self) -> float:
        """By how much the deepest beats the shallowest after as many steps."""
        shallowest, *_, deepest = self.much
        steps = max(steps for layers, steps in self._narrow if layers == deepest)
        return _least(self._narrow[shallowest, steps], self.much[deepest])

    @property
    def longer(self) -> float:
        """By how much the deepest beats the shallowest after much work."""
        shallowest, *_, deepest = self.much
        return _least(self.much[shallowest], self.much[deepest])

    @property
    def wide(self) -> float:
        """By how much two wider layers beat the deepest after as many steps, on average."""
        return self._by_width(2)

    @property
    def single(self) -> float:
        """By how much one still wider layer beats it after three times the steps, on average."""
        return self._by_width(1)

    @property
    def between(self) -> float:
        """By how much the best depth between the two beats the deepest after much work."""
        _, *others, deepest = self.much
        return max(_least(self.much[deepest], self.much[each]) for each in others)

    @property
    def hurry(self) -> float:
        """By how much the shallowest beats the deepest after little work."""
        shallowest, *_, deepest = self.little
        return _least(self.little[deepest], self.little[shallowest])

    @property
    def bytes(self) -> float:
        """How many times the memory of half as many layers the deepest keeps."""
        deepest = max(self.memory)
        return self.memory[deepest] / self.memory[deepest // 2]

    @property
    def _narrow(self) -> Mapping[tuple[int, int], tuple[float, ...]]:
        """Bits of those of one width by layers and steps."""
        return {
            (layers, steps): found for (layers, width, steps), found in self.bits.items() if width == WIDTH
        }

    def _by_width(self, layers: int) -> float:
        *_, deepest = self.much
        return mean(self.much[deepest]) - mean(self.wider[layers])

    def _after(self, work: int) -> Mapping[int, tuple[float, ...]]:
        return {layers: found for (layers, steps), found in self._narrow.items() if layers * steps == work}


def _least(higher: Sequence[float], lower: Sequence[float]) -> float:
    return min(high - low for high, low in zip(higher, lower, strict=True))


def more_layers(
    seed: int = 0,
    depths: Sequence[int] = (1, 4, 8),
    work: int = 8000,
    little: int = 1280,
    starts: int = 3,
) -> MoreLayers:
    """Is it better to train more layers, or fewer of them for longer, or wider ones?

    Decoders learn Python's manual by character. Five minutes a start on one core; what came out is stored,
    see `stored_more_layers`.

    Rival: one layer that gets the steps which the work of the deepest pays for; two layers and one, as wide
        as gives them as many weights, see `WIDER`.
    Equal for both: text, batches, optimiser and learning rate. To those of one width layers times steps, so
        that one layer, which has an embedding and a head as well, gets more seconds; to the wider ones the
        weights in their layers.
    Does not show: where the best depth lies in a large model.

    Args:
        seed: of weights and batches; another one means other starts, none of them the same.
        depths: how many layers, the fewest first.
        work: of the long training, layers times steps.
        little: of the short one.
        starts: how many.
    """
    shallow, deep = min(depths), max(depths)
    trainings = {(n, work // n) for n in depths} | {(n, little // n) for n in (shallow, deep)}
    trainings |= {(shallow, work // deep)}
    runs = [(n, WIDTH, steps) for n, steps in sorted(trainings)]
    runs += [(each.layers, each.width, each.times * work // deep) for each in WIDER]
    bits = {run: tuple(_bits(*run, start) for start in starts_of(seed, starts)) for run in bar(runs)}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


@trains(Trained(1000, 8000, widths=(32, 64, 96), but="All have one learning rate."))
def stored_more_layers() -> MoreLayers:
    """What `more_layers()` gave when `tools/store_depths.py` ran it; memory is counted anew."""
    stored = yaml.safe_load(STORED_DEPTHS.read_text("utf-8"))
    bits = {(run["layers"], run["width"], run["steps"]): tuple(run["bits"]) for run in stored["runs"]}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


def _decoder(n_layers: int, n_characters: int, seed: int, width: int = WIDTH) -> GPT:
    config = GPTConfig(n_characters, 32, width, n_layers, 4, d_ff=2 * width, positions="rotary", tied=False)
    with seeded(seed):
        model = GPT(config)
        nn.init.normal_(model.token_embedding.weight, std=0.5)
    return model


def _bits(n_layers: int, width: int, steps: int, seed: int) -> float:
    """Train a decoder, and count its bits for a character of text that is new to it."""
    table, known, unread = characters()
    pieces = next(windows(unread, 32, 128, Generator().manual_seed(99)))
    model = _decoder(n_layers, len(table), seed, width)
    texts = windows(known, 32, 16, Generator().manual_seed(seed))
    warm_up = min(20, steps)
    # Muon: an optimiser for matrices
    rates = TrainingConfig(steps, warm_up, learning_rate=0.01, muon_learning_rate=0.02)
    train(model, texts, _next_loss, rates, progress=False)
    with torch.no_grad():
        return _next_loss(model, pieces).item() / math.log(2)


def _memory(n_layers: int) -> int:
    table, known, _ = characters()
    model, rows = _decoder(n_layers, len(table), seed=0), known[: 16 * 33].view(16, 33).clone()
    return costs.bytes_kept(lambda: _next_loss(model, rows))


def _next_loss(model: nn.Module, rows: Tensor) -> Tensor:
    return token_loss(model(rows[:, :-1]), rows[:, 1:])
