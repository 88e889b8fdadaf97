"""The experiments of notebook 08: how far back a model reaches, and what trains faster.

All models but SmolLM2 are small: they run on the CPU, on one core unless said otherwise.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib import costs, probing, readers
from course_lib.bpe import BPETokenizer
from course_lib.claims import Trained, trains
from course_lib.data import python_topics, windows
from course_lib.decoder import GPT, LlamaConfig
from course_lib.device import seeded
from course_lib.generation import generate
from course_lib.objectives import token_loss
from course_lib.recurrent import LSTM, RecurrentLM
from course_lib.training import TrainingConfig, bar, train

SYMBOLS = 17
CHANCE = 1 / 8  # eight of them can be the answer
FAR, MANY = (8, 32, 128), (4, 16)  # tokens between, symbols to say again: in training
NEAREST, FARTHEST, FEW, MOST = 8, 128, 4, 16  # and where it is tested
LENGTHS = (16, 64, 256, 1024)
WIDTHS = ((40, 32), (128, 96), (256, 192), (768, 584))  # LSTM and Transformer, equally many weights
PIECE = 64  # characters, and tokens where widths are compared
LONGER = (64, 256, 512)  # tokens where the widest are compared
POINTS = (10, 20, 40, 60)

Make = Callable[[], nn.Module]
Batch = tuple[Tensor, Tensor]
Clock = Callable[[Sequence[Callable[[], object]], int], Sequence[Sequence[float]]]
Rates = Mapping[str, tuple[float, ...]]


@contextmanager
def _cores(n: int) -> Iterator[None]:
    """Within, PyTorch uses so many, and numbers below 1e-38 are 0: they would slow the processor down."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


# ------------------------------------------------------------------------------------------ the models


def rnn(d_model: int = 80, *, identity: bool = False, fused: bool = True) -> RecurrentLM:
    """An RNN as PyTorch starts it.

    Args:
        identity: start it for long memories: U = identity, W small, no bias (after Le et al. 2015).
    """
    model = RecurrentLM(SYMBOLS, d_model, 1, "rnn", fused=fused)
    if identity:
        w, u, b, b_u = (weight.data for weight in model.cell.parameters())
        nn.init.eye_(u)
        w *= 0.1
        b *= 0
        b_u *= 0
    return model


def lstm(
    d_model: int = 40,
    *,
    forget: float | None = None,
    vocab_size: int = SYMBOLS,
    fused: bool = True,
    tied: bool = False,
) -> RecurrentLM:
    """An LSTM as PyTorch starts it.

    Args:
        forget: start it for long memories: this is the bias of its forget gate (Jozefowicz et al. 2015).
    """
    model = RecurrentLM(vocab_size, d_model, 1, "lstm", fused=fused, tied=tied)
    if forget is not None:
        _, _, b, b_u = (weight.data for weight in model.cell.parameters())
        gate = slice(d_model, 2 * d_model)  # the second of the four parts
        b[gate], b_u[gate] = forget, 0.0
    return model


def gpt(d_model: int = 32, d_ff: int = 32, *, vocab_size: int = SYMBOLS, n_layers: int = 2) -> GPT:
    """A Transformer."""
    return GPT(LlamaConfig(vocab_size, 1024, d_model=d_model, d_ff=d_ff, n_layers=n_layers, n_heads=4))


MODELS: Mapping[str, Make] = {
    "RNN": rnn,
    "RNN, identity": partial(rnn, identity=True),
    "LSTM": lstm,
    "LSTM, forget bias 5": partial(lstm, forget=5.0),
    "Transformer": gpt,
}


def n_weights(model: nn.Module) -> int:
    """How many numbers it can learn."""
    return sum(weight.numel() for weight in model.parameters())


def _made(make: Make, seed: int) -> nn.Module:
    """The model from this seed; torch's own random numbers go on as if nothing had been drawn."""
    with seeded(seed):
        return make()


# ------------------------------------------------------------------------------------------ a name, far back


@torch.no_grad()
def name_found(
    smollm2: tuple[GPT, BPETokenizer],
    before: int,
    between: int,
    hide: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """How probable is a name that was said once, where it comes next again?

    Args:
        before, between: tokens of Python's manual before the name is said, and from there to the question.
        hide: what is done to the weights of attention.
    """
    model, tokenizer = smollm2
    ids = _with_a_name(smollm2, before, between)
    with probing.weights_changed(model, hide) if hide else nullcontext():
        logits = model.next_token_logits(ids)
    return logits.softmax(-1)[0, tokenizer.encode(" Marianne")[0]].item()


def name_said(
    smollm2: tuple[GPT, BPETokenizer],
    before: int,
    between: int,
    hide: Callable[[Tensor], Tensor] | None = None,
    n: int = 6,
) -> str:
    """What the model writes there, the likeliest token each time; the arguments are those of `name_found`."""
    model, tokenizer = smollm2
    ids = _with_a_name(smollm2, before, between)
    with probing.weights_changed(model, hide) if hide else nullcontext():
        new = generate(model, ids, n)[0, ids.shape[1] :]
    return tokenizer.decode(new.tolist())


def _with_a_name(smollm2: tuple[GPT, BPETokenizer], before: int, between: int) -> Tensor:
    model, tokenizer = smollm2
    manual = tokenizer.encode("\n".join(python_topics().values())[200_000:202_000])
    said = tokenizer.encode("My sister's name is Marianne. Now to something else.\n")
    question = tokenizer.encode("\n\nMy sister's name is")
    ids = manual[:before] + said + manual[before : before + between] + question
    return torch.tensor([ids], device=next(model.parameters()).device)


def only_last(width: int) -> Callable[[Tensor], Tensor]:
    """Hide from each token all but the last ones, itself included, and the first 4, which the model needs."""

    def hide(weights: Tensor) -> Tensor:
        n_queries, n_keys = weights.shape[-2:]
        far = torch.ones(n_queries, n_keys, dtype=torch.bool, device=weights.device)
        far = far.tril(n_keys - n_queries - width)
        far[:, :4] = False
        weights = weights.masked_fill(far, 0.0)
        return weights / weights.sum(-1, keepdim=True)

    return hide


# ------------------------------------------------------------------------------------------ far-memory


class Training(NamedTuple):
    """How a model learns one task.

    Args:
        lengths: trained in turn.
        steps, n_rows: how many, and the texts in each.
        rate: AdamW's.
    """

    lengths: Sequence[int]
    steps: int
    n_rows: int
    rate: float


class Plan(NamedTuple):
    """A model, and how it learns to name one symbol and to say all again; rates were found by trying."""

    make: Make
    one: Training
    all: Training


PLANS: Mapping[str, Plan] = {
    "RNN": Plan(MODELS["RNN, identity"], Training(FAR, 720, 32, 0.003), Training(MANY, 1200, 32, 0.003)),
    "LSTM": Plan(MODELS["LSTM, forget bias 5"], Training(FAR, 720, 8, 0.01), Training(MANY, 1200, 32, 0.02)),
    "Transformer": Plan(gpt, Training(FAR, 240, 4, 0.01), Training(MANY, 400, 8, 0.01)),
}


@dataclass(frozen=True)
class FarMemory:
    """What arrives from far back, before training and after.

    Args:
        gradients: by model and start, the gradient at each distance by that at distance 1.
        right: by model, the share of right answers to each of `figures.ASKED`.
        texts: by model, how many it read before it says all symbols again.
    """

    gradients: Mapping[str, tuple[tuple[float, ...], ...]]
    right: Mapping[str, tuple[float, ...]]
    texts: Mapping[str, int]

    @property
    def trained(self) -> float:
        """The texts that the recurrent networks read at least, for each of the Transformer's."""
        return min(self.texts["RNN"], self.texts["LSTM"]) / self.texts["Transformer"]

    def _middle(self, model: str) -> list[float]:
        return [median(starts) for starts in zip(*self.gradients[model], strict=True)]

    @property
    def direct(self) -> float:
        """The Transformer's gradient where it is smallest; median of the starts."""
        return min(self._middle("Transformer"))

    @property
    def vanishes(self) -> float:
        """The RNN's gradient at the largest distance, as PyTorch starts it."""
        return self._middle("RNN")[-1]

    @property
    def gated(self) -> float:
        """The LSTM's."""
        return self._middle("LSTM")[-1]

    @property
    def started(self) -> float:
        """The smaller one of both with a start for long memories."""
        return min(self._middle("RNN, identity")[-1], self._middle("LSTM, forget bias 5")[-1])

    @property
    def recalls(self) -> float:
        """The share of symbols from far back that the Transformer names."""
        return self.right["Transformer"][1]

    @property
    def far(self) -> float:
        """The share that the better one of the recurrent networks names."""
        return max(self.right["RNN"][1], self.right["LSTM"][1])

    @property
    def transformer(self) -> float:
        """The share of many symbols that the Transformer says again."""
        return self.right["Transformer"][3]

    @property
    def ahead(self) -> float:
        """By how many points that is more than the better recurrent network says."""
        return 100 * (self.transformer - max(self.right["RNN"][3], self.right["LSTM"][3]))


@trains(Trained(400, 1200, but="All have about 15,000 weights; their rates were found by trying."))
def far_memory(
    seed: int = 0, *, starts: int = 3, distance: int = FARTHEST, plans: Mapping[str, Plan] = PLANS
) -> FarMemory:
    """Does every token reach every other directly, and does it take attention to reach that far?

    Rival: an RNN that starts with the identity and an LSTM whose forget gate starts open, each with learning
        rate, lengths and batches of its own, and three times the steps.
    Equal for both: about 15,000 weights, the tasks, the answers that are asked.
    Does not show: what happens with more weights, with far more training, or in real text. Trained once.

    Args:
        seed: of weights and texts.
        starts: of the gradients.
        distance: the largest one of the gradients.
        plans: what is trained, and how.
    """
    tasks: list[tuple[str, Callable[..., Batch], Training]] = []
    for name, plan in plans.items():
        tasks += [(name, one_symbol, plan.one), (name, all_symbols, plan.all)]
    right: dict[str, tuple[float, ...]] = dict.fromkeys(plans, ())
    for name, task, how in bar(tasks, desc="models"):
        model = trained(plans[name].make, task, *how, seed=seed)
        asked = (NEAREST, FARTHEST) if task is one_symbol else (FEW, MOST)
        right[name] += tuple(share(model, task, length) for length in asked)
    texts = {name: plan.all.steps * plan.all.n_rows for name, plan in plans.items()}
    return FarMemory(gradients(seed, starts=starts, distance=distance), right, texts)


@_cores(1)
def gradients(
    seed: int = 0, *, starts: int = 3, distance: int = FARTHEST, models: Mapping[str, Make] = MODELS
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """By model and start: the gradient at each distance by that at distance 1, before any training."""
    found = {}
    for name, make in models.items():
        random = torch.Generator().manual_seed(seed)
        runs = [reach(_made(make, seed + start), random, distance) for start in range(starts)]
        found[name] = tuple(tuple(run.tolist()) for run in runs)
    return found


def reach(model: Any, random: Generator, distance: int = FARTHEST) -> Tensor:
    """How much the last output depends on each token before it: a push in a random direction, sent back.

    Args:
        model: becomes float64.
        random: where eight texts and the direction come from.
        distance: the largest one.
    Returns: the length of the gradient at distance 1, 2 and so on, by that at distance 1.
    """
    model = model.double()
    ids = torch.randint(SYMBOLS, (8, distance + 1), generator=random)
    body = model.cell if isinstance(model, RecurrentLM) else model.stack
    x = model.token_embedding(ids).detach().requires_grad_()
    outputs = body(x)
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    direction = torch.randn(8, outputs.shape[-1], generator=random, dtype=torch.float64)
    (outputs[:, -1] * direction).sum().backward()
    by_distance = x.grad.norm(dim=-1).mean(0).flip(0)[1:]
    return by_distance / by_distance[0]


def one_symbol(n_rows: int, distance: int, random: Generator) -> Batch:
    """A symbol from 1 to 8, others from 9 to 16, and 0, which asks for the first; and the answers."""
    first = torch.randint(1, 9, (n_rows, 1), generator=random)
    others = torch.randint(9, 17, (n_rows, distance - 1), generator=random)
    return torch.cat([first, others, torch.zeros_like(first)], dim=1), first


def all_symbols(n_rows: int, length: int, random: Generator) -> Batch:
    """Symbols, 0, then all of them again but the last; and the answers."""
    said = torch.randint(1, 9, (n_rows, length), generator=random)
    return torch.cat([said, torch.zeros_like(said[:, :1]), said[:, :-1]], dim=1), said


def answered(model: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """The scores where answers are wanted."""
    return model(batch[0])[:, -batch[1].shape[1] :]


def _answer_loss(model: nn.Module, batch: Batch) -> Tensor:
    return cross_entropy(answered(model, batch).mT, batch[1])


@_cores(1)
def trained(
    make: Make,
    task: Callable[..., Batch],
    lengths: Sequence[int],
    steps: int,
    n_rows: int,
    rate: float,
    seed: int = 0,
) -> nn.Module:
    """A model that has learned `one_symbol` or `all_symbols`; for the numbers see `Training`."""
    model, random = _made(make, seed), torch.Generator().manual_seed(seed)
    batches = (task(n_rows, lengths[step % len(lengths)], random) for step in range(steps))
    config = TrainingConfig(steps, min(20, steps), learning_rate=rate)
    train(model, batches, _answer_loss, config, progress=False)
    return model


@_cores(1)
@torch.no_grad()
def share(model: nn.Module, task: Callable[..., Batch], length: int) -> float:
    """The share of right answers in 500 texts that are the same for all models."""
    batch = task(500, length, torch.Generator().manual_seed(99))
    return (answered(model, batch).argmax(-1) == batch[1]).float().mean().item()


# ------------------------------------------------------------------------------------------ speeds


@dataclass(frozen=True)
class Speeds:
    """Tokens a second in training, and what has to be done in a row.

    Args:
        lengths: tokens in a text.
        rates: by texts at once and model, tokens a second at each length, with about 15,000 weights.
        weights: by model, how many it has at each width.
        by_width: by texts at once and model, tokens a second at each width, in texts of `PIECE` tokens.
        widest: by tokens in a text, one at a time, how many tokens the widest LSTM gets through for one of
            the widest Transformer.
        chains: by model, the longest chain of operations at the largest length.
    """

    lengths: tuple[int, ...]
    rates: Mapping[int, Rates]
    weights: Mapping[str, tuple[int, ...]]
    by_width: Mapping[int, Rates]
    widest: Mapping[int, float]
    chains: Mapping[str, int]

    @property
    def small(self) -> float:
        """How many tokens the smallest LSTM gets through for one of the Transformer, 16 texts at once."""
        lstm, transformer = self.by_width[16].values()
        return lstm[0] / transformer[0]

    def longer(self, model: str) -> tuple[float, ...]:
        """How many times as long it takes for 16 texts as for one, at each length."""
        return tuple(
            16 * one / many for one, many in zip(self.rates[1][model], self.rates[16][model], strict=True)
        )


@dataclass(frozen=True)
class Learning:
    """Bits for a held-out character.

    Args:
        steps: after which was measured.
        bits: by model and optimiser, for each start those after so many steps.
        seconds: by model and optimiser, processor time until then; mean of the starts.
    """

    steps: tuple[int, ...]
    bits: Mapping[str, tuple[tuple[float, ...], ...]]
    seconds: Mapping[str, tuple[float, ...]]

    def end(self, name: str) -> float:
        """The bits at the end; mean of the starts."""
        return mean(run[-1] for run in self.bits[name])


def speeds(
    seed: int = 0,
    *,
    lengths: Sequence[int] = LENGTHS,
    widths: Sequence[tuple[int, int]] = WIDTHS,
    longer: Sequence[int] = LONGER,
    cores: int = 1,
    clock: Clock = costs.alternate,
) -> Speeds:
    """Tokens a second in training, for one text at a time and for 16.

    Equal for both: about as many weights at every width, the texts, the cores.
    Does not show: what many processors make of it, which would wait for the chain; the chain is counted. And
        another machine, or one with more to do, has other numbers.

    Args:
        seed: of weights and texts.
        lengths: tokens in a text.
        widths: of LSTM and Transformer, with equally many weights.
        longer: tokens in a text where the widest are compared.
        cores: that PyTorch may use.
        clock: what times a list of functions, so many rounds each; see `costs.alternate`.
    """
    random = torch.Generator().manual_seed(seed)
    made = {
        "RNN, loop": _made(partial(rnn, fused=False), seed),
        "LSTM, loop": _made(partial(lstm, fused=False), seed),
        "LSTM, one kernel": _made(lstm, seed),
        "Transformer": _made(gpt, seed),
    }
    wide = {
        "LSTM, one kernel": [_made(partial(lstm, width), seed) for width, _ in widths],
        "Transformer": [_made(partial(gpt, width, width), seed) for _, width in widths],
    }

    pairs = [dict(zip(wide, pair, strict=True)) for pair in zip(*wide.values(), strict=True)]

    def rates(models: Mapping[str, nn.Module], texts: int, length: int) -> list[float]:
        ids = torch.randint(SYMBOLS, (texts, length + 1), generator=random)
        rounds = clock([partial(_step, model, ids) for model in models.values()], 2)
        return [texts * length / min(seconds) for seconds in rounds]  # the least disturbed round

    by_length: dict[int, Rates] = {}
    by_width: dict[int, Rates] = {}
    widest: dict[int, float] = {}
    with _cores(cores):
        for texts in bar((1, 16), desc="speeds"):
            columns = zip(*[rates(made, texts, length) for length in lengths], strict=True)
            by_length[texts] = dict(zip(made, columns, strict=True))
            columns = zip(*[rates(pair, texts, PIECE) for pair in pairs], strict=True)
            by_width[texts] = dict(zip(wide, columns, strict=True))
        for length in bar(longer, desc="longer texts"):
            of_lstm, of_transformer = rates(pairs[-1], 1, length)
            widest[length] = of_lstm / of_transformer
    ids = torch.zeros(1, lengths[-1], dtype=torch.long)
    chains = {name: costs.longest_chain(made[name](ids)[0, -1]) for name in ("LSTM, loop", "Transformer")}
    weights = {name: tuple(map(n_weights, models)) for name, models in wide.items()}
    return Speeds(tuple(lengths), by_length, weights, by_width, widest, chains)


def _step(model: nn.Module, ids: Tensor) -> None:
    model.zero_grad()
    _next_loss(model, ids).backward()


def _next_loss(model: nn.Module, ids: Tensor) -> Tensor:
    return token_loss(model(ids[:, :-1]), ids[:, 1:])


def _larger_lstm() -> RecurrentLM:
    return lstm(96, forget=1.0, vocab_size=98, tied=True)


def _larger_gpt() -> GPT:
    return gpt(64, 128, vocab_size=98)


CANDIDATES: Mapping[str, tuple[Make, float, float | None]] = {  # learning rates of AdamW, and of Muon
    "LSTM": (_larger_lstm, 0.1, None),
    "LSTM, Muon": (_larger_lstm, 0.05, 0.1),
    "Transformer": (_larger_gpt, 0.01, None),
    "Transformer, Muon": (_larger_gpt, 0.05, 0.1),
}


@_cores(1)
def learning(seed: int = 0, *, starts: int = 3, points: Sequence[int] = POINTS) -> Learning:
    """What steps of 16 pieces of Python's manual teach, with 84,000 and 89,000 weights.

    Args:
        seed: of the first start.
        starts: how many.
        points: steps after which is measured; the last one ends the training.
    """
    known, unread = readers.texts()
    test = next(windows(unread, PIECE, 64, torch.Generator().manual_seed(99)))
    bits, seconds = {}, {}
    for name, candidate in bar(CANDIDATES.items(), desc="learning"):
        runs = [_curve(*candidate, known, test, points, seed + start) for start in range(starts)]
        bits[name] = tuple(tuple(found for found, _ in run) for run in runs)
        seconds[name] = tuple(mean(spent for _, spent in point) for point in zip(*runs, strict=True))
    return Learning(tuple(points), bits, seconds)


def _curve(
    make: Make, rate: float, muon: float | None, known: Tensor, test: Tensor, points: Sequence[int], seed: int
) -> list[tuple[float, float]]:
    """Bits, and the processor time until then, at each point."""
    model = _made(make, seed)
    curve: list[tuple[float, float]] = []
    spent, started = 0.0, time.process_time()

    def look(step: int) -> None:
        nonlocal spent, started
        if step in points:
            spent += time.process_time() - started
            with torch.no_grad():
                curve.append((_next_loss(model, test).item() / math.log(2), spent))
            started = time.process_time()  # looking does not count

    pieces = windows(known, PIECE, 16, torch.Generator().manual_seed(seed))
    config = TrainingConfig(points[-1], min(10, points[-1]), learning_rate=rate, muon_learning_rate=muon)
    train(model, pieces, _next_loss, config, after_step=look, progress=False)
    return curve


# ------------------------------------------------------------------------------------------ a cell, by step

Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class StepByStep(nn.Module):
    """An LSTM that reads by somebody's function of one step, with the weights of a cell of the library.

    Args:
        cell: whose weights.
        step: (x, h, c, w, u, b) -> the next h and c.
    """

    def __init__(self, cell: LSTM, step: Step) -> None:
        super().__init__()
        self.cell, self.step = cell, step

    def forward(self, x: Tensor) -> Tensor:
        """The output at each token, from zeros."""
        w, u, b, b_u = self.cell.parameters()
        h = c = x.new_zeros(len(x), self.cell.d_model)
        outputs = []
        for token in x.unbind(1):
            h, c = self.step(token, h, c, w, u, b + b_u)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


@_cores(1)
def cell_gradients(
    step: Step, seed: int = 0, *, starts: int = 3, distance: int = FARTHEST
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """As `gradients`: of the RNN, and of an LSTM of this step, its forget gate half open and open."""

    def by_step(forget: float | None) -> RecurrentLM:
        model: Any = lstm(forget=forget)
        model.cell = StepByStep(model.cell, step)
        return model

    models: dict[str, Make] = {
        "RNN": rnn,
        "LSTM, gate half open": partial(by_step, None),
        "LSTM, gate open": partial(by_step, 5.0),
    }
    return gradients(seed, starts=starts, distance=distance, models=models)


# ------------------------------------------------------------------------------------------ saying again


@_cores(1)
def taught(make: Make, n: int, *, steps: int = 400, seed: int = 0) -> nn.Module:
    """A network that has learned to say so many symbols of eight again, from 64 new rows a step.

    Args:
        make: gives a network with symbols (B, T) from 1 to 8 in, scores (B, T, 9) out.
    """
    model, random = _made(make, seed), Generator().manual_seed(seed)
    rows = (torch.randint(1, 9, (64, n), generator=random) for _ in range(steps))
    config = TrainingConfig(steps, learning_rate=0.003)
    train(model, rows, lambda model, said: token_loss(model(said), said), config, progress=False)
    return model


@_cores(1)
@torch.no_grad()
def right(model: nn.Module, n: int) -> float:
    """The share of the symbols in 500 new rows that it says."""
    said = torch.randint(1, 9, (500, n), generator=Generator().manual_seed(99))
    return (model(said).argmax(-1) == said).float().mean().item()


class Repeated(NamedTuple):
    """What networks of one kind say again, each taught one length.

    Args:
        shares: of right symbols, at each length.
        longest: the network that was taught the last length.
    """

    shares: tuple[float, ...]
    longest: nn.Module


def repeats(make: Make, lengths: Sequence[int] = (4, 8, 16), *, seed: int = 0) -> Repeated:
    """Teach a network of this kind each length anew; see `taught`."""
    models = {n: taught(make, n, seed=seed) for n in bar(lengths, desc="lengths")}
    return Repeated(tuple(right(model, n) for n, model in models.items()), models[lengths[-1]])


# ------------------------------------------------------------------------------------------ rnn-chain


def each_token(lengths: Sequence[int], chains: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """By how many operations a token makes the longest chain longer: the evidence of `rnn-chain`.

    Args:
        lengths: numbers of tokens.
        chains: of the RNN, the LSTM, the Transformer reading, and writing, at these lengths (maybe the first
            ones alone).
    """
    grows = [(each[-1] - each[0]) / (lengths[len(each) - 1] - lengths[0]) for each in chains.values()]
    return dict(zip(("rnn", "lstm", "reads", "writes"), grows, strict=True))


# ------------------------------------------------------------------------------------------ two that write


WRITERS = Path(__file__).with_name("writers.safetensors")
WRITERS_MADE = Path(__file__).with_name("writers.yml")
READ_AT_ONCE = 192  # characters
WRITER_STEPS = 3000  # of eight pieces each


def make_writers(seed: int = 0) -> dict[str, RecurrentLM | GPT]:
    """An LSTM and a Transformer of 221,000 and 231,000 weights that read characters; not yet trained."""
    vocab_size = len(readers.ALPHABET)
    config = LlamaConfig(vocab_size, READ_AT_ONCE, d_model=96, d_ff=256, n_layers=2, n_heads=4)
    with seeded(seed):
        return {"LSTM": lstm(160, forget=1.0, vocab_size=vocab_size, tied=True), "Transformer": GPT(config)}


@_cores(1)
def train_writer(model: RecurrentLM | GPT, steps: int = WRITER_STEPS, seed: int = 0) -> tuple[float, float]:
    """Teach it Python's manual, in place.

    Returns: the processor time that it took, in seconds, and bits for a character of the part held out.
    """
    known, unread = readers.texts()
    pieces = windows(known, READ_AT_ONCE - 1, 8, Generator().manual_seed(seed))
    config = TrainingConfig(steps, min(20, steps), learning_rate=3e-3, muon_learning_rate=0.02)
    before = time.process_time()
    train(model, pieces, _next_loss, config, progress=False)
    took = time.process_time() - before
    test = next(windows(unread, READ_AT_ONCE - 1, 64, Generator().manual_seed(99)))
    with torch.no_grad():
        return took, _next_loss(model, test).item() / math.log(2)


def load_writers() -> dict[str, RecurrentLM | GPT]:
    """Both, as `tools/store_writers.py` trained them."""
    from safetensors.torch import load_file  # here, so that importing this module stays quick

    stored, writers = load_file(WRITERS), make_writers()
    with torch.no_grad():
        for name, model in writers.items():
            for key, weight in model.named_parameters():  # a table that is used twice is named once
                weight.copy_(stored[f"{name}.{key}"])
    return writers


@_cores(1)
@torch.no_grad()
def written(model: RecurrentLM | GPT, prompt: str, n: int = 150, seed: int = 0) -> str:
    """The prompt, and so many characters that the model writes after it.

    Each is drawn by its probability, made sharper (temperature 0.5). What does not fit is forgotten from the
    left, and so is what the model has no letter for.
    """
    ids = readers.encode(prompt)[None]
    ids = ids if ids.numel() else readers.encode("\n")[None]
    random = Generator().manual_seed(seed)
    for _ in range(n):
        scores = model(ids[:, -READ_AT_ONCE:])[0, -1]
        ids = torch.cat([ids, torch.multinomial((scores / 0.5).softmax(-1), 1, generator=random)[None]], 1)
    return readers.decode(ids[0])


def unsigned(prompt: str, seed: int = 0) -> tuple[dict[str, str], str]:
    """What the two stored ones write after a prompt, without their names.

    Returns: two texts, by letter; and the letter of the LSTM's.
    """
    writers = load_writers()
    names = {"A": "LSTM", "B": "Transformer"}
    texts = {letter: written(writers[name], prompt, seed=seed) for letter, name in names.items()}
    return texts, "A"


def said_twice(text: str | None = None) -> dict[str, tuple[float, float]]:
    """How well the two stored ones foresee a text that is said twice.

    Args:
        text: one of yours, of which no more is read than fits twice; left out, 64 pieces of 64 characters
            that neither has read.
    Returns: for each the bits for a character of the first copy and of the second, but for its first one.
    """
    if text is None:
        pieces = next(windows(readers.texts()[1], PIECE - 1, 64, Generator().manual_seed(99)))
    else:
        pieces = readers.encode(f"\n{text}"[: READ_AT_ONCE // 2 - 1] + "\n")[None]
    return {name: _bits_of_copies(model, pieces) for name, model in load_writers().items()}


def said_twice_to(smollm2: tuple[GPT, BPETokenizer], n: int = 100) -> tuple[float, float]:
    """The same of SmolLM2 for so many tokens of that part of the manual."""
    model, tokenizer = smollm2
    ids = tokenizer.encode(readers.decode(readers.texts()[1][: 10 * n]))[:n]
    return _bits_of_copies(model, torch.tensor([ids], device=next(model.parameters()).device))


@_cores(1)
@torch.no_grad()
def _bits_of_copies(model: RecurrentLM | GPT, ids: Tensor) -> tuple[float, float]:
    n = ids.shape[1]
    twice = torch.cat([ids, ids], dim=1)
    logits = model(twice[:, :-1])
    bits = cross_entropy(logits.mT, twice[:, 1:], reduction="none") / math.log(2)
    return bits[:, : n - 1].mean().item(), bits[:, n:].mean().item()
