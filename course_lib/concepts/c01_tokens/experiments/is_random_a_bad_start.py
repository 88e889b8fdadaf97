"""What is a table worth that knows words already?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

from course_lib import data
from course_lib.blocks import TransformerStack
from course_lib.bpe import WordPiece
from course_lib.claims import Trained, interval, trains
from course_lib.concepts.c01_tokens.experiments.what_does_company_tell import counted, numbers, texts
from course_lib.device import seeded
from course_lib.encoder import BERT
from course_lib.training import bar, starts_of

AMOUNTS = (16, 64, 256)  # labelled reviews
N_HELD_OUT = 192
RATES = (0.001, 0.003, 0.01)

Shares = tuple[float, ...]
Train = Callable[..., object]


class Reader(nn.Module):
    """A table, one layer, and a score for negative and positive; as the notebook's cell writes it."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        padded = F.pad(table, (0, 0, 1, 0))
        self.table = nn.Embedding.from_pretrained(padded, freeze=False, padding_idx=0)
        self.body, self.head = TransformerStack(64, n_layers=1, n_heads=4), nn.Linear(64, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """The scores of each review (B, 2); its tokens (B, T) are numbered from 1."""
        is_word = ids > 0
        out = self.body(self.table(ids), mask=is_word[:, None, None]) * is_word[..., None]
        return self.head(out.sum(1) / is_word.sum(1, keepdim=True))


def train(model: Any, ids: Tensor, positive: Tensor, steps: int, rate: float = 0.003) -> None:
    """AdamW on 16 reviews a step; as the notebook's cell trains."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        batch = torch.randint(len(ids), (16,))
        loss = F.cross_entropy(model(ids[batch]), positive[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def reduced(table: NDArray) -> Tensor:
    """64 numbers a word: the strongest directions, centred, all of one size."""
    u, s, _ = np.linalg.svd(table - table.mean(0), full_matrices=False)
    strongest = torch.tensor(u[:, :64] * s[:64], dtype=torch.float32)
    return 0.5 * strongest / strongest.std()


@dataclass(frozen=True)
class Written:
    """The reviews: written for this course, 448 of them.

    Args:
        reviews: text and judgement.
        ids: their tokens (448, T), numbered from 1 among those that occur; 0 is padding.
        counted: rows for the tokens that Python's documentation has, by their place.
        pretrained: MiniLM's rows (N, 64).
    """

    reviews: list[data.Review]
    ids: Tensor
    counted: dict[int, Tensor]
    pretrained: Tensor

    @property
    def positive(self) -> Tensor:
        """What each review is: 1, or 0 for negative."""
        return torch.tensor([int(review.positive) for review in self.reviews])

    def split(self, start: int, n: int) -> tuple[Tensor, Tensor]:
        """The numbers of so many reviews to learn from, and of those held out."""
        with seeded(start):
            order = torch.randperm(len(self.reviews))
        return order[N_HELD_OUT : N_HELD_OUT + n], order[:N_HELD_OUT]

    def tables(self, seed: int) -> dict[str, Tensor]:
        """The three that a model may start with; words that a text lacks start random."""
        with seeded(seed):
            first, own = 0.02 * torch.randn(2, len(self.pretrained), 64)  # as usual
        for place, row in self.counted.items():
            own[place] = row
        return {"random": first, "counted": own, "MiniLM's": self.pretrained}


def written(minilm: tuple[BERT, WordPiece]) -> Written:
    """The reviews in MiniLM's tokens, and the tables for them."""
    model, wordpiece = minilm
    all_reviews = [review for side in data.reviews() for review in side]
    encoded = [torch.tensor(wordpiece.encode(review.text)) for review in all_reviews]
    used = torch.cat(encoded).unique()
    ids = nn.utils.rnn.pad_sequence([torch.searchsorted(used, row) + 1 for row in encoded], batch_first=True)
    vocabulary, numbered = numbers(texts())
    vectors = reduced(counted(numbered, len(vocabulary)))
    row_of = {word: number for number, word in enumerate(vocabulary.tokens)}
    names = [wordpiece.tokens[number] for number in used.tolist()]
    own = {place: vectors[row_of[name]] for place, name in enumerate(names) if name in row_of}
    return Written(all_reviews, ids, own, reduced(model.token_embedding.weight.detach().cpu().numpy()[used]))


def right(
    made: Written,
    table: Tensor,
    start: int,
    n: int,
    steps: int,
    make: Callable[[Tensor], Any] = Reader,
    train: Train = train,
) -> float:
    """The share of held-out reviews that a model gets right which starts with this table."""
    learn, test = made.split(start, n)
    with seeded(start):
        model = make(table)
        train(model, made.ids[learn], made.positive[learn], steps)
    with torch.no_grad():
        return (model(made.ids[test]).argmax(1) == made.positive[test]).float().mean().item()


def words_counted(made: Written, start: int, n: int) -> float:
    """The same by counting words, with a weight for each."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=3))
    learn, test = ([made.reviews[i] for i in of.tolist()] for of in made.split(start, n))
    model.fit([review.text for review in learn], [review.positive for review in learn])
    return float(model.score([review.text for review in test], [review.positive for review in test]))


@dataclass(frozen=True)
class RandomOrPretrained:
    """Shares of held-out reviews that are told right, for each start.

    Args:
        curves: by table, with each of `AMOUNTS`; at its best learning rate.
        longer: with a random table and the most reviews, trained three times as long; at its best rate.
        words: by counting words, with each of `AMOUNTS`.
        unknown: the share of the reviews' different tokens that the counted table lacks.
    """

    curves: Mapping[str, tuple[Shares, ...]]
    longer: Shares
    words: tuple[Shares, ...]
    unknown: float

    def _gains(self, over: str | Sequence[Shares], table: str = "MiniLM's") -> NDArray:
        """How much more a table gets right than another or another way, by start, with 64 and 256 reviews."""
        others = self.curves[over] if isinstance(over, str) else over
        return (np.array(self.curves[table]) - np.array(others))[:, 1:]

    @property
    def gain(self) -> float:
        """MiniLM's table more than a random one, with 64 and 256 reviews, at least."""
        return interval(self._gains("random").mean(1))[0]

    @property
    def over_longer(self) -> float:
        """MiniLM's table more than a random one that was trained for longer, with 256, at least."""
        pairs = zip(self.curves["MiniLM's"], self.longer, strict=True)
        return interval(curve[-1] - late for curve, late in pairs)[0]

    @property
    def over_words(self) -> float:
        """More than counting words, with 64 and 256, at least."""
        return interval(self._gains(self.words).mean(1))[0]

    @property
    def own(self) -> float:
        """What a table that we counted gains, as a share of what MiniLM's gains, with 64 and 256."""
        return float(self._gains("random", "counted").mean() / self._gains("random").mean())


@trains(Trained(40, 120, rates=RATES, but="A table has 64 numbers a word, whatever they start as."))
def random_or_pretrained(
    minilm: tuple[BERT, WordPiece],
    seed: int = 0,
    *,
    starts: int = 6,
    steps: int = 40,
    longer: int = 120,
    rates: Sequence[float] = RATES,
    make: Callable[[Tensor], Any] = Reader,
    train: Train = train,
) -> RandomOrPretrained:
    """Does a small model that learns to judge reviews gain from a table that knows words already?

    Rival: a random table that starts small, as usual, also trained three times as long; counting words with
        logistic regression.
    Equal for all: the reviews to learn from, those held out, and their order; the model, its other numbers
        and the steps, but for that rival; the rates that are tried, of which the best counts, by amount.
    Does not show: reviews from life, for these were written for the course; vectors made to be downloaded,
        for MiniLM's table is the first layer of a model; how many labels would close the gap.

    Args:
        minilm: its table and its tokens.
        seed: of the first start.
        starts: each with other reviews held out.
        steps, longer: of training, and of the rival's.
        rates: learning rates.
        make: (table) -> the model.
        train: (model, ids, labels, steps, rate) -> trains it.
    """
    made, own = written(minilm), starts_of(seed, starts)
    tables = [made.tables(start) for start in own]

    def best(name: str, n: int, steps: int) -> Shares:
        """What each start gets right, at the rate at which they get most."""
        tried = (
            tuple(
                right(made, table[name], start, n, steps, make, partial(train, rate=rate))
                for start, table in zip(own, tables, strict=True)
            )
            for rate in rates
        )
        return max(tried, key=mean)

    curves = {
        name: tuple(zip(*(best(name, n, steps) for n in AMOUNTS), strict=True))
        for name in bar(tables[0], "tables")
    }
    words = tuple(tuple(words_counted(made, start, n) for n in AMOUNTS) for start in own)
    unknown = 1 - len(made.counted) / len(made.pretrained)
    return RandomOrPretrained(curves, best("random", AMOUNTS[-1], longer), words, unknown)
