"""The experiment of notebook 09: one stack for pictures, sounds and words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any, NamedTuple

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Generator, Tensor, nn

from course_lib import data
from course_lib.blocks import TransformerStack, initialise
from course_lib.device import seeded
from course_lib.patches import frames, patchify
from course_lib.positions import PositionEmbedding
from course_lib.training import TrainingConfig, bar, starts_of, train

STEPS = {"pictures": 150, "sounds": 150, "reviews": 60}
RATES: Mapping[str, Any] = {"learning_rate": 0.003, "muon_learning_rate": 0.02, "weight_decay": 0.05}
SHARED, OWN, ORDERS = "one stack for all", "its own stack", "one stack, other orders"
ALONE, RIVAL, GUESSING = "each vector alone", "best rival", "guessing"

Model = tuple[Any, Any]  # a real model and its tokenizer
Shares = Mapping[str, tuple[float, ...]]


class Kind(NamedTuple):
    """One kind of input; the last third is held out.

    Args:
        x: lists of vectors (N, how many, width), of mean 0 and spread 1.
        mask: (N, how many), False where there is nothing: padding, and paper.
        y: labels (N,).
        texts: from which they come, if any.
    """

    x: Tensor
    mask: Tensor
    y: Tensor
    texts: tuple[str, ...] = ()

    @property
    def n_known(self) -> int:
        """How many are not held out."""
        return 2 * len(self.y) // 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many vectors, of which width, and how many classes."""
        return self.x.shape[1], self.x.shape[2], int(self.y.max()) + 1


def kinds(minilm: Model | None, seed: int = 0) -> dict[str, Kind]:
    """Patches of digits, frames of melodies, words of reviews; without MiniLM no reviews.

    Args:
        minilm: its table of tokens makes vectors of words.
        seed: of the melodies, and of which others are held out.
    """
    random = torch.Generator().manual_seed(seed)
    images, digits = (torch.cat(pair) for pair in zip(*data.digits(seed=seed), strict=True))
    waves, contours = data.sounds(1500, generator=random)
    spectra = torch.fft.rfft(frames(waves, 200, 200) * torch.hann_window(200)).abs()
    found = {
        "pictures": _kind(patchify(images, 2), digits),
        "sounds": _kind((spectra + 0.01).log(), contours),
    }
    if minilm:
        model, tokenizer = minilm
        table = model.token_embedding.weight.detach().cpu()
        reviews = [review for part in data.reviews() for review in part]
        reviews = [reviews[n] for n in torch.randperm(len(reviews), generator=random)]
        rows = [table[tokenizer.encode(review.text)] for review in reviews]
        positive = torch.tensor([int(review.positive) for review in reviews])
        words = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        found["reviews"] = _kind(words, positive, tuple(review.text for review in reviews))
    return found


def _kind(x: Tensor, y: Tensor, texts: tuple[str, ...] = ()) -> Kind:
    known = x[: 2 * len(x) // 3]
    standard = (x - known.mean((0, 1))) / (known.std((0, 1)) + 0.001)
    return Kind(standard, x.abs().sum(-1) > 0, y, texts)


# ------------------------------------------------------------------------------------------ readers


class Reader(nn.Module):
    """An input layer, a stack, which others may share, and a head; as the notebook's cell writes it.

    Args:
        n_vectors, width, n_classes: see `Kind.shape`.
        stack: see `new_stack`.
        alone: each vector may attend to itself only.
    """

    def __init__(
        self, n_vectors: int, width: int, n_classes: int, stack: nn.Module, alone: bool = False
    ) -> None:
        super().__init__()
        self.alone = alone
        positions = PositionEmbedding(n_vectors, 32)
        nn.init.normal_(positions.weight, std=0.3)
        self.input_embedding = nn.Sequential(nn.Linear(width, 32), positions)
        self.stack = stack
        self.head = nn.Linear(32, n_classes)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """A score for each class."""
        seen = mask[:, None, None] & (torch.eye(x.shape[1]).bool() if self.alone else True)
        x = self.stack(self.input_embedding(x), mask=seen)
        return self.head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def new_stack() -> TransformerStack:
    """Two layers of width 32; as the notebook's cell writes it."""
    stack = TransformerStack(32, n_layers=2, n_heads=4, d_ff=64)
    initialise(stack, std=0.1)
    return stack


def learn(
    readers: Mapping[str, Any],
    given: Mapping[str, Kind],
    seed: int = 0,
    *,
    steps: Mapping[str, int] = STEPS,
) -> Mapping[str, Any]:
    """Train all readers together: batches of 32 of their kinds come in a random order.

    Args:
        readers: by kind; they may share a stack.
        given: the kinds.
        seed: of the order.
        steps: by kind.
    Returns: the readers.
    """
    random = torch.Generator().manual_seed(seed)
    turns = [name for name in readers for _ in range(steps[name])]
    streams = {name: _batches(name, given[name], random) for name in readers}
    order = torch.randperm(len(turns), generator=random).tolist()
    config = TrainingConfig(len(turns), min(20, len(turns)), **RATES)
    batches = (next(streams[turns[n]]) for n in order)
    train(nn.ModuleDict(readers), batches, _loss, config, progress=False)
    return readers


def _batches(name: str, kind: Kind, random: Generator) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    known = [part[: kind.n_known] for part in (kind.x, kind.mask, kind.y)]
    while True:
        for x, mask, y in data.batches(*known, batch_size=32, generator=random):
            yield name, x, mask, y


def _loss(readers: nn.ModuleDict, batch: tuple[str, Tensor, Tensor, Tensor]) -> Tensor:
    name, x, mask, y = batch
    return nn.functional.cross_entropy(readers[name](x, mask), y)


@torch.no_grad()
def right(reader: Any, kind: Kind, order: Tensor | None = None) -> float:
    """The share of held-out lists that a reader names right, their vectors in this order."""
    x, mask, y = (part[kind.n_known :] for part in (kind.x, kind.mask, kind.y))
    if order is not None:
        x, mask = x[:, order], mask[:, order]
    return (reader(x, mask).argmax(-1) == y).float().mean().item()


def rivals(kind: Kind) -> dict[str, float]:
    """What methods without attention name right: on all vectors, on their mean, on counts of words."""
    average = (kind.x * kind.mask[..., None]).sum(1) / kind.mask.sum(1, keepdim=True)
    models = {"regression": LogisticRegression(C=0.1, max_iter=500), "SVM": SVC()}
    tried = [
        (f"{what}, {name}", model, vectors)
        for what, vectors in {"all": kind.x.flatten(1), "mean": average}.items()
        for name, model in models.items()
    ]
    n = kind.n_known
    if kind.texts:
        counts = TfidfVectorizer(sublinear_tf=True).fit(kind.texts[:n])
        tried.append(("TF-IDF", LogisticRegression(C=10), counts.transform(kind.texts)))
    return {name: model.fit(x[:n], kind.y[:n]).score(x[n:], kind.y[n:]) for name, model, x in tried}


# ------------------------------------------------------------------------------------------ any-data


@dataclass(frozen=True)
class AnyData:
    """What one stack for all kinds of input names right, and others.

    Args:
        shares: by kind and reader, one a start.
        tried: by kind, what each rival named right; of the last start.
        own, together: by kind, the readers of the last start.
    """

    shares: Mapping[str, Shares]
    tried: Mapping[str, Mapping[str, float]]
    own: Mapping[str, Any]
    together: Mapping[str, Any]

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The shares; means of the starts."""
        return {kind: {name: mean(each) for name, each in of.items()} for kind, of in self.shares.items()}

    @property
    def text(self) -> float:
        """The share of reviews that the one stack tells right."""
        return self.means["reviews"][SHARED]

    @property
    def image(self) -> float:
        """Of digits."""
        return self.means["pictures"][SHARED]

    @property
    def audio(self) -> float:
        """Of melodies."""
        return self.means["sounds"][SHARED]

    @property
    def price(self) -> float:
        """How many points better stacks of their own are; mean of the kinds."""
        return 100 * mean(of[OWN] - of[SHARED] for of in self.means.values())

    @property
    def mixing(self) -> float:
        """How many points more melodies it names than where each vector is alone."""
        return 100 * (self.audio - self.means["sounds"][ALONE])

    @property
    def lead(self) -> float:
        """How many points it is ahead of the best rival, where it does best."""
        return 100 * max(of[SHARED] - of[RIVAL] for of in self.means.values())


def any_data(
    minilm: Model | None,
    seed: int = 0,
    *,
    starts: int = 3,
    steps: Mapping[str, int] = STEPS,
    make: Callable[..., Any] = Reader,
    stack: Callable[[], nn.Module] = new_stack,
) -> AnyData:
    """Does one architecture, and even one stack, serve pictures, sounds and text?

    Rival: the same stack where each vector attends to itself alone; methods without attention.
    Equal for all: what is held out; for the stacks also the input layers, heads, steps and batches.
    Does not show: larger data, where methods without attention may fall behind.

    Args:
        minilm: see `kinds`.
        seed: of the first start; each has its own weights, melodies and held-out thirds.
        starts: how many.
        steps: of training, by kind.
        make: (n_vectors, width, n_classes, stack, alone) -> a new reader.
        stack: makes a new one.
    """
    shares: dict[str, dict[str, tuple[float, ...]]] = {}
    for start in bar(starts_of(seed, starts), desc="starts"):
        given = kinds(minilm, start)
        with seeded(start):
            own = {name: make(*kind.shape, stack()) for name, kind in given.items()}
            one, another = stack(), stack()
            together = {name: make(*kind.shape, one) for name, kind in given.items()}
            alone = {name: make(*kind.shape, another, alone=True) for name, kind in given.items()}
            orders = {
                name: [torch.randperm(kind.shape[0]) for _ in range(10)] for name, kind in given.items()
            }
        for group in (*({name: reader} for name, reader in own.items()), together, alone):
            learn(group, given, start, steps=steps)
        tried = {name: rivals(kind) for name, kind in given.items()}
        for name, kind in given.items():
            found = {
                SHARED: right(together[name], kind),
                OWN: right(own[name], kind),
                ORDERS: mean(right(together[name], kind, order) for order in orders[name]),
                ALONE: right(alone[name], kind),
                RIVAL: max(tried[name].values()),
                GUESSING: 1 / kind.shape[2],
            }
            before = shares.get(name, dict.fromkeys(found, ()))
            shares[name] = {way: (*before[way], share) for way, share in found.items()}
    return AnyData(shares, tried, own, together)
