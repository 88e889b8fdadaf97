"""Are more layers better?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Generator, Tensor, nn

from course_lib import costs
from course_lib.data import characters, windows
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import seeded
from course_lib.objectives import token_loss
from course_lib.training import TrainingConfig, bar, starts_of, train

STORED_DEPTHS = Path(__file__).with_name("depths.yml")


@dataclass(frozen=True)
class MoreLayers:
    """How well decoders of several depths predict English text, after little and after much training.

    The numbers that are properties are differences in bits, the least over the starts; the work of a training
    is its steps times the layers.

    Args:
        bits: for a character of text that was not learned, by layers and steps, one a start.
        memory: by layers, the bytes that a step of training keeps.
    """

    bits: Mapping[tuple[int, int], tuple[float, ...]]
    memory: Mapping[int, int]

    @property
    def much(self) -> Mapping[int, tuple[float, ...]]:
        """Bits by layers, the fewest first, after the same much work."""
        return self._after(max(layers * steps for layers, steps in self.bits))

    @property
    def little(self) -> Mapping[int, tuple[float, ...]]:
        """The same after the same little work, of the fewest layers and the most."""
        deepest = max(layers for layers, _ in self.bits)
        return self._after(min(layers * steps for layers, steps in self.bits if layers == deepest))

    @property
    def helps(self) -> float:
        """By how much the deepest beats the shallowest after as many steps."""
        shallowest, *_, deepest = self.much
        steps = max(steps for layers, steps in self.bits if layers == deepest)
        return _least(self.bits[shallowest, steps], self.bits[deepest, steps])

    @property
    def longer(self) -> float:
        """By how much the deepest beats the shallowest after much work."""
        shallowest, *_, deepest = self.much
        return _least(self.much[shallowest], self.much[deepest])

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

    def _after(self, work: int) -> Mapping[int, tuple[float, ...]]:
        return {layers: found for (layers, steps), found in self.bits.items() if layers * steps == work}


def _least(higher: Sequence[float], lower: Sequence[float]) -> float:
    return min(high - low for high, low in zip(higher, lower, strict=True))


def more_layers(
    seed: int = 0,
    depths: Sequence[int] = (1, 4, 8),
    work: int = 8000,
    little: int = 1280,
    starts: int = 3,
) -> MoreLayers:
    """Is it better to train more layers, or fewer of them for longer?

    Decoders of width 32 learn Python's manual by character. A quarter of an hour on one core; what came
    out is stored, see `stored_more_layers`.

    Rival: one layer that gets the steps which the work of the deepest pays for.
    Equal for both: text, width, batches, optimiser and learning rate; layers times steps, so that one layer,
        which has an embedding and a head as well, gets more seconds.
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
    own = starts_of(seed, starts)
    runs = [(n, steps, start) for n, steps in sorted(trainings) for start in own]
    found: dict[tuple[int, int], list[float]] = {}
    for n, steps, start in bar(runs):
        found.setdefault((n, steps), []).append(_bits(n, steps, start))
    bits = {training: tuple(of_each) for training, of_each in found.items()}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


def stored_more_layers() -> MoreLayers:
    """What `more_layers()` gave when `tools/store_depths.py` ran it; memory is counted anew."""
    stored = yaml.safe_load(STORED_DEPTHS.read_text("utf-8"))
    bits = {(run["layers"], run["steps"]): tuple(run["bits"]) for run in stored["runs"]}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


def _decoder(n_layers: int, n_characters: int, seed: int) -> GPT:
    with seeded(seed):
        model = GPT(GPTConfig(n_characters, 32, 32, n_layers, 4, d_ff=64, positions="rotary", tied=False))
        nn.init.normal_(model.token_embedding.weight, std=0.5)
    return model


def _bits(n_layers: int, steps: int, seed: int) -> float:
    """Train a decoder, and count its bits for a character of text that is new to it."""
    table, known, unread = characters()
    pieces = next(windows(unread, 32, 128, Generator().manual_seed(99)))
    model = _decoder(n_layers, len(table), seed)
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
