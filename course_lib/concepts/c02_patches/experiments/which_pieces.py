"""Which pieces of a picture a small reader learns from, and what it must be told about them."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.blocks import TransformerStack, initialise
from course_lib.claims import Trained, trains
from course_lib.data import Examples, digits
from course_lib.device import seeded
from course_lib.patches import patchify
from course_lib.training import TrainingConfig, bar, starts_of, train

RATES = {"learning_rate": 0.01, "muon_learning_rate": 0.04, "weight_decay": 0.05}

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


# ------------------------------------------------------------------------------------------ digits that move


def on_sheets(images: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Each image (N, 1, 8, 8) from 0 to 1 somewhere on a sheet of size x size, from -1, paper, to 1."""
    n, height = len(images), images.shape[-1]
    sheets = torch.full((n, 1, size, size), -1.0)
    top, left = torch.randint(size - height + 1, (2, n, 1), generator=random)
    down, across = (start + torch.arange(height) for start in (top, left))
    sheets[torch.arange(n)[:, None, None], 0, down[:, :, None], across[:, None]] = 2 * images[:, 0] - 1
    return sheets


def moving_digits(seed: int = 0, copies: int = 16, size: int = 16) -> tuple[Examples, Examples]:
    """Sheets on each of which a digit stands somewhere; 360 digits are held out.

    Args:
        seed: of the places, and of which digits are held out.
        copies: sheets for each digit to learn from; four for each that is held out.
        size: pixels of a side.
    """
    random = torch.Generator().manual_seed(seed)
    learn, test = digits(seed=seed)
    return tuple(
        Examples(on_sheets(part.inputs.repeat(n, 1, 1, 1), size, random), part.targets.repeat(n))
        for part, n in ((learn, copies), (test, 4))
    )  # type: ignore[return-value]


def two_digits(seed: int = 0, n: int = 20_000) -> tuple[Examples, Examples, Tensor]:
    """Sheets with a digit somewhere in the left half and one in the right; the label is the left one.

    Args:
        seed: of the places, the pairs, and of which digits are held out.
        n: sheets to learn from; 1,000 others have digits that are held out.
    Returns: sheets of 16 x 16 to learn from, others, and the right digits of these.
    """
    random = torch.Generator().manual_seed(seed)
    made = []
    for part, many in zip(digits(seed=seed), (n, 1000), strict=True):
        left, right = torch.randint(len(part.targets), (2, many), generator=random)
        halves = [_in_a_half(part.inputs[which], random) for which in (left, right)]
        made.append((torch.cat(halves, dim=3), part.targets[left], part.targets[right]))
    (learn, labels, _), (new, left_ones, right_ones) = made
    return Examples(learn, labels), Examples(new, left_ones), right_ones


def _in_a_half(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image (N, 1, 8, 8) somewhere on a sheet of 16 x 8."""
    n = len(images)
    sheets = torch.full((n, 1, 16, 8), -1.0)
    down = torch.randint(9, (n, 1), generator=random) + torch.arange(8)
    sheets[torch.arange(n)[:, None], 0, down] = 2 * images[:, 0] - 1
    return sheets


def cut_up(examples: Examples, cut: Cut) -> Examples:
    """The same examples, each image made a list of vectors."""
    return Examples(cut(examples.inputs), examples.targets)
