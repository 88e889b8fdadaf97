"""The experiments of notebook 02: what vectors cost, and what a small reader learns from which of them."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from course_lib import costs
from course_lib.attention import scaled_dot_product_attention
from course_lib.blocks import TransformerStack, initialise
from course_lib.claims import Trained, trains
from course_lib.data import Examples, digits, sounds
from course_lib.device import keep_memory, seeded
from course_lib.patches import frames, patchify
from course_lib.training import TrainingConfig, bar, starts_of, train

RATES = {"learning_rate": 0.01, "muon_learning_rate": 0.04, "weight_decay": 0.05}
CALM = RATES | {"learning_rate": 0.006, "muon_learning_rate": 0.03}  # better for raw samples
WAYS = {"with a table": False, "fused": True}

Cut = Callable[[Tensor], Tensor]

# ------------------------------------------------------------------------------------------ readers


class Reader(nn.Module):
    """A small Vision Transformer for vectors of any kind; as the notebook's cell writes it.

    Args:
        n_vectors, width: of an example.
        n_classes: how many answers there are.
        d: width inside.
    """

    def __init__(self, n_vectors: int, width: int, n_classes: int, d: int = 32) -> None:
        super().__init__()
        self.embedding, self.head = nn.Linear(width, d), nn.Linear(d, n_classes)
        self.class_token = nn.Parameter(torch.empty(1, 1, d))
        self.position_embedding = nn.Parameter(torch.empty(1, n_vectors + 1, d))
        self.stack = TransformerStack(d, n_layers=1, n_heads=4, d_ff=2 * d)
        initialise(self)

    def forward(self, vectors: Tensor) -> Tensor:
        """A score for each class."""
        first = self.class_token.expand(len(vectors), -1, -1)
        x = torch.cat([first, self.embedding(vectors)], dim=1) + self.position_embedding
        return self.head(self.stack(x)[:, 0])


@dataclass(frozen=True)
class Readers:
    """Readers from several random starts.

    Args:
        models: trained.
        untrained: the same before.
        shares: of what each was not trained on, how much it reads right.
    """

    models: tuple[Any, ...]
    untrained: tuple[Any, ...]
    shares: tuple[float, ...]

    @property
    def share(self) -> float:
        """What they read right; mean of the starts."""
        return mean(self.shares)

    def ahead_of(self, others: "Readers") -> float:
        """How many points more they read right than others."""
        return 100 * (self.share - others.share)


def train_readers(
    known: Examples,
    new: Examples,
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 150,
    rates: Mapping[str, Any] = RATES,
    change: Callable[[Any], object] = lambda reader: None,
    make: Callable[..., Any] = Reader,
    desc: str = "readers",
) -> Readers:
    """Train readers, and ask them what they have not seen.

    Args:
        known, new: vectors (N, how many, width) and labels.
        seed: of the starts and of the order of the examples; another has none of these starts.
        starts: how many.
        steps: of 64 examples.
        rates: see `TrainingConfig`.
        change: what is done to each reader before it learns.
        make: (n_vectors, width, n_classes) -> a new reader.
        desc: what the bar says.
    """
    config = TrainingConfig(steps, min(30, steps), **rates)
    models, untrained = [], []
    for start in bar(starts_of(seed, starts), desc):
        with seeded(start):
            model = make(*known.inputs.shape[1:], len(known.targets.unique()))
            change(model)
            rows = torch.randint(len(known.targets), (steps, 64))  # which examples make up each batch
        untrained.append(deepcopy(model))
        batches = ((known.inputs[row], known.targets[row]) for row in rows)
        train(model, batches, _loss, config, progress=False)
        models.append(model)
    shares = tuple(share(model, *new) for model in models)
    return Readers(tuple(models), tuple(untrained), shares)


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@torch.no_grad()
def answers(model: nn.Module, vectors: Tensor) -> Tensor:
    """The class with the highest score, for each example."""
    return model(vectors).argmax(1)


def share(model: nn.Module, vectors: Tensor, labels: Tensor) -> float:
    """The share of right answers."""
    return (answers(model, vectors) == labels).float().mean().item()


def squares(images: Tensor) -> Tensor:
    """Squares of 2 x 2 pixels."""
    return patchify(images, 2)


def rows(images: Tensor) -> Tensor:
    """Rows of pixels."""
    return images.flatten(1, 2)


def read_digits(seed: int = 0, cut: Cut = squares, **how: Any) -> Readers:
    """Train readers of handwritten digits; 360 of 1,797 are held out.

    Args:
        seed: also of which digits are held out.
        cut: makes vectors (N, how many, width) of images (N, 1, 8, 8) from -1, paper, to 1, ink.
        how: see `train_readers`.
    """
    known, new = (Examples(cut(2 * part.inputs - 1), part.targets) for part in digits(seed=seed))
    return train_readers(known, new, seed, **how)


# ------------------------------------------------------------------------------------------ too-many-vectors


@dataclass(frozen=True)
class Price:
    """What attention takes, one number for each number of vectors.

    Args:
        n_vectors: each twice as many as before.
        multiplied: multiplications and additions.
        seconds: by way to compute it, on this machine.
        kept: by way to compute it, bytes kept for training.
    """

    n_vectors: tuple[int, ...]
    multiplied: tuple[int, ...]
    seconds: Mapping[str, tuple[float, ...]]
    kept: Mapping[str, tuple[int, ...]]


def price(
    n_vectors: Sequence[int] = (128, 256, 512, 1024),
    *,
    attend: Callable[..., Tensor] = scaled_dot_product_attention,
    rounds: int = 50,
    clock: Callable[..., list[list[float]]] = costs.alternate,
) -> Price:
    """What one head of attention takes, of width 32, with a table of weights and fused.

    Args:
        n_vectors: each twice as many as before.
        attend: (q, k, v, fused) -> what is mixed.
        rounds: how often each is timed; the fastest round counts, which is the least disturbed.
        clock: takes functions and rounds, gives the seconds of each round of each.
    """
    multiplied = []
    calls: dict[tuple[str, int], Callable[[], Tensor]] = {}
    for n in n_vectors:
        qkv = torch.ones(3, 1, 1, n, 32, requires_grad=True)
        calls |= {(name, n): partial(attend, *qkv, fused=fused) for name, fused in WAYS.items()}
        with FlopCounterMode(display=False) as counter:
            calls["with a table", n]()
        multiplied.append(counter.get_total_flops())
    with torch.no_grad(), keep_memory():
        taken = clock(list(calls.values()), rounds)
    fastest = dict(zip(calls, map(min, taken), strict=True))
    return Price(
        tuple(n_vectors),
        tuple(multiplied),
        {name: tuple(fastest[name, n] for n in n_vectors) for name in WAYS},
        {name: tuple(costs.bytes_kept(calls[name, n]) for n in n_vectors) for name in WAYS},
    )


def four_times(amounts: Sequence[float]) -> float:
    """How many times as much for four times as many vectors, the largest number of them."""
    return amounts[-1] / amounts[-3]


@dataclass(frozen=True)
class TooManyVectors:
    """What more vectors cost, and whether rows, which are few, are read as well as squares.

    Args:
        price: of attention.
        squares, rows: readers of digits.
    """

    price: Price
    squares: Readers
    rows: Readers

    @property
    def operations(self) -> float:
        """How many times as many multiplications for four times as many vectors."""
        return four_times(self.price.multiplied)

    @property
    def kept(self) -> float:
        """How many times as many bytes, with a table."""
        return four_times(self.price.kept["with a table"])

    @property
    def fused_kept(self) -> float:
        """How many times as many, fused."""
        return four_times(self.price.kept["fused"])

    @property
    def slower(self) -> float:
        """How many times as long, with a table."""
        return four_times(self.price.seconds["with a table"])

    @property
    def fused_slower(self) -> float:
        """How many times as long, fused."""
        return four_times(self.price.seconds["fused"])

    @property
    def by_rows(self) -> float:
        """How many points more digits are read right from rows than from squares."""
        return self.rows.ahead_of(self.squares)


@trains(Trained(150, 450, but="Its width and rates are those of the reader of squares."))
def too_many_vectors(
    seed: int = 0,
    *,
    steps: int = 150,
    longer: int = 450,
    price: Callable[[], Price] = price,
    rows: Cut = rows,
    **how: Any,
) -> TooManyVectors:
    """Does attention slow down with many vectors, so that an image has to become few of them?

    Rival: rows of pixels, which are as few as patches, read by one that was trained three times as long; a
        fused attention, which never stores the table.
    Equal for both: queries, keys and values; the digits, the reader, its starts.
    Does not show: a whole layer, most of whose work is in matrices while vectors are few; large pictures.

    Args:
        seed: of the readers.
        steps, longer: of training, and of the rival's.
        price: measures what attention takes.
        rows: the rival's vectors.
        how: see `train_readers`.
    """
    return TooManyVectors(
        price(),
        read_digits(seed, steps=steps, desc="squares", **how),
        read_digits(seed, rows, steps=longer, desc="rows", **how),
    )


# ------------------------------------------------------------------------------------------ trained-together


def frozen(reader: Any) -> None:
    """Its patch layer stays as it is: random."""
    reader.embedding.requires_grad_(False)


def narrowed(reader: Any) -> None:
    """The same, and of a patch's numbers it lets one through: a random mix, in all places."""
    weight = reader.embedding.weight
    weight.data = 0.02 * torch.randn(len(weight), 1) @ torch.randn(1, weight.shape[1])
    frozen(reader)


@dataclass(frozen=True)
class TrainedTogether:
    """Readers of digits whose patch layer is trained, is not, or is not and lets little through."""

    trained: Readers
    frozen: Readers
    narrowed: Readers

    @property
    def filters(self) -> list[tuple[Tensor, Tensor]]:
        """The weights of the patch layer that is trained, before and after, for each start."""
        pairs = zip(self.trained.untrained, self.trained.models, strict=True)
        return [(old.embedding.weight.detach(), new.embedding.weight.detach()) for old, new in pairs]

    @property
    def moved(self) -> float:
        """How far training moves them, by their length; mean of the starts."""
        return mean(((new - old).norm() / old.norm()).item() for old, new in self.filters)

    @property
    def squares(self) -> float:
        """The share that is read right, where it is trained."""
        return self.trained.share

    @property
    def never(self) -> float:
        """How many points more are read right where it never is."""
        return self.frozen.ahead_of(self.trained)

    @property
    def narrow(self) -> float:
        """How many points more where one number gets through."""
        return self.narrowed.ahead_of(self.trained)


@trains(Trained(150, 450, but="Its width and rates are those of the layer that is trained."))
def trained_together(
    seed: int = 0, *, steps: int = 150, longer: int = 450, trained: Readers | None = None, **how: Any
) -> TrainedTogether:
    """Is the patch layer trained together with the Transformer, and does it have to be?

    Rival: a patch layer that stays random, while everything behind it is trained, three times as long.
    Equal for both: the digits, the starts; where little gets through, the steps, too.
    Does not show: large patches, whose numbers do not all fit into a vector; large pictures.

    Args:
        seed: of the readers.
        steps, longer: of training, and of the rival's.
        trained: what `read_digits` found already from this seed.
        how: see `train_readers`.
    """
    return TrainedTogether(
        trained or read_digits(seed, steps=steps, desc="trained", **how),
        read_digits(seed, change=frozen, steps=longer, desc="frozen", **how),
        read_digits(seed, change=narrowed, steps=steps, desc="one number", **how),
    )


# ------------------------------------------------------------------------------------------ vectors-first


def melodies(seed: int = 0) -> tuple[Examples, Examples]:
    """1,600 to learn from and 400 new ones."""
    random = torch.Generator().manual_seed(seed)
    return sounds(1600, generator=random), sounds(400, generator=random)


def log_spectrum(pieces: Tensor, floor: float = 0.1) -> Tensor:
    """How strong each pitch is in a frame, as a logarithm; as the notebook's cell writes it."""
    return torch.log(floor + torch.fft.rfft(pieces * torch.hann_window(pieces.shape[-1])).abs())


def standard(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers whose mean would be 0 and whose spread 1, had they those of others."""
    return (numbers - like.mean()) / like.std()


@dataclass(frozen=True)
class VectorsFirst:
    """Readers of melodies, by what their vectors hold.

    Args:
        spectra, samples: of frames.
        patient: readers of samples that were trained longer.
        one_matrix: the share that one matrix names right from spectra.
    """

    spectra: Readers
    samples: Readers
    patient: Readers
    one_matrix: float

    @property
    def heard(self) -> float:
        """The share that is named right from spectra."""
        return self.spectra.share

    @property
    def ahead(self) -> float:
        """How many points more than from samples after as many steps."""
        return self.spectra.ahead_of(self.samples)

    @property
    def longer(self) -> float:
        """How many points more are named right from samples after more steps than from spectra."""
        return self.patient.ahead_of(self.spectra)

    @property
    def gained(self) -> float:
        """How many points more steps bring to samples."""
        return self.patient.ahead_of(self.samples)


@trains(Trained(200, 600, but="Its rates were chosen for it; its width is that of the reader of spectra."))
def vectors_first(
    seed: int = 0,
    *,
    steps: int = 200,
    longer: int = 600,
    spectrum: Callable[[Tensor], Tensor] = log_spectrum,
    sounds: tuple[Examples, Examples] | None = None,
    **how: Any,
) -> VectorsFirst:
    """Does it matter what the vectors hold that a sound becomes?

    Rival: the raw samples of the same frames, at rates that suit them, also with three times as many steps.
    Equal for both: the melodies, the frames, the reader, its starts.
    Does not show: that anything has to become vectors, which is how a Transformer is made; real sounds.

    Args:
        seed: of the melodies and the readers.
        steps, longer: of training, and of the rival that has more.
        spectrum: makes other vectors of the frames.
        sounds: what `melodies` gave already for this seed.
        how: see `train_readers`.
    """
    known, new = sounds or melodies(seed)
    vectors = {"samples": [frames(part.inputs, 200, 100) for part in (known, new)]}
    vectors["spectra"] = [spectrum(part) for part in vectors["samples"]]
    given = {
        name: (
            Examples(standard(old, old), known.targets),
            Examples(standard(other, old), new.targets),
        )
        for name, (old, other) in vectors.items()
    }
    matrix = LogisticRegression(max_iter=300)
    flat = [(part.inputs.flatten(1), part.targets) for part in given["spectra"]]
    return VectorsFirst(
        train_readers(*given["spectra"], seed, steps=steps, desc="spectra", **how),
        train_readers(*given["samples"], seed, steps=steps, rates=CALM, desc="samples", **how),
        train_readers(*given["samples"], seed, steps=longer, rates=CALM, desc="longer", **how),
        matrix.fit(*flat[0]).score(*flat[1]),
    )
