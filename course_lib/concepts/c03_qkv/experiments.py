"""The experiments of notebook 03: what attention looks up, what it learns, and what dividing its scores buys.

Each model is asked for the colours of letters in a list (`lookup`). All are small: they run on the CPU.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import truediv
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib import probing
from course_lib.attention import AttentionFunction, MultiHeadAttention, scaled_dot_product_attention
from course_lib.blocks import FeedForward
from course_lib.claims import Trained, trains
from course_lib.device import seeded
from course_lib.training import bar, starts_of

Shares = tuple[float, ...]  # of right answers, one for each random start
Make = Callable[..., nn.Module]

# ---------------------------------------------------------------------- the task, and who is asked

N_LETTERS, N_COLOURS, N_ENTRIES, N_ASKED = 26, 4, 8, 3


def lookup(n: int, random: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """n lists of eight letters with their colours (n, 8), three letters asked for (n, 3), and the answers."""
    letters = torch.rand(n, N_LETTERS, generator=random).argsort(-1)[:, :N_ENTRIES]  # no letter twice
    colours = torch.randint(N_COLOURS, (n, N_ENTRIES), generator=random)
    places = torch.rand(n, N_ENTRIES, generator=random).argsort(-1)[:, :N_ASKED]
    return letters, colours, letters.gather(1, places), colours.gather(1, places)


def held_out(n: int = 2000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """New lists and questions, the same for all."""
    return lookup(n, torch.Generator().manual_seed(99))


class Reader(nn.Module):
    """Reads list and questions in one sequence; as the notebook's cells write it.

    Args:
        mixer: stands where attention does.
        width: of a token's vector.
    """

    def __init__(self, mixer: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.letter, self.colour = nn.Embedding(N_LETTERS, width), nn.Embedding(N_COLOURS + 1, width)
        self.mixer, self.mlp = mixer, FeedForward(width, 4 * width)
        self.head = nn.Linear(width, N_COLOURS)

    def forward(self, letters: Tensor, colours: Tensor, asked: Tensor) -> Tensor:
        """Scores of the colours (B, 3, 4); the colour of a letter asked for is the fifth, "?"."""
        unknown = torch.full_like(asked, N_COLOURS)
        x = self.letter(torch.cat([letters, asked], 1)) + self.colour(torch.cat([colours, unknown], 1))
        x = x + self.mixer(x)
        return self.head(x + self.mlp(x))[:, -N_ASKED:]


class Average(nn.Module):
    """Mixes without choosing: an MLP reads every token, and each token receives the mean of what it found."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.mlp = FeedForward(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """The same mean for all (B, T, D)."""
        return self.mlp(x).mean(1, keepdim=True).expand_as(x)


class Asker(nn.Module):
    """The questions are the queries, the list gives keys and values; as the notebook's cells write it.

    Args:
        width: of a token's vector, and so of a key.
        reads_list: False: keys and values come from the questions.
        attend: how attention mixes, see `MultiHeadAttention.attend`.
    """

    def __init__(
        self,
        width: int = 32,
        reads_list: bool = True,
        attend: AttentionFunction = scaled_dot_product_attention,
    ) -> None:
        super().__init__()
        self.letter, self.colour = nn.Embedding(N_LETTERS, width), nn.Embedding(N_COLOURS, width)
        self.attention, self.head = MultiHeadAttention(width, 1), nn.Linear(width, N_COLOURS)
        self.attention.attend, self.reads_list = attend, reads_list

    def forward(self, letters: Tensor, colours: Tensor, asked: Tensor) -> Tensor:
        """Scores of the colours (B, 3, 4)."""
        question, entries = self.letter(asked), self.letter(letters) + self.colour(colours)
        return self.head(self.attention(question, entries if self.reads_list else question))


def trained(make: Make, seed: int = 0, *, steps: int = 150, rate: float = 0.01) -> nn.Module:
    """A model that has learned from 64 lists a step, with Adam at this learning rate."""
    with seeded(seed):
        model = make()
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        *inputs, answers = lookup(64, random)
        optimizer.zero_grad()
        F.cross_entropy(model(*inputs).mT, answers).backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """The share of right answers to 6,000 new questions."""
    *inputs, answers = held_out()
    return (model(*inputs).argmax(-1) == answers).float().mean().item()


def right(make: Make, seed: int, starts: int, **training: Any) -> Shares:
    """What several random starts get right; see `trained`."""
    return tuple(accuracy(trained(make, start, **training)) for start in starts_of(seed, starts))


# ---------------------------------------------------------------------- without attention

ALONE, AVERAGE, ATTENTION = "MLPs alone", "an average", "attention"
MIXERS: Mapping[str, Callable[[], nn.Module]] = {
    ALONE: lambda: FeedForward(32, 64),
    AVERAGE: Average,
    ATTENTION: lambda: MultiHeadAttention(32, 1),
}


@dataclass(frozen=True)
class MlpBlind:
    """What a reader gets right with different mixers.

    Args:
        right: by mixer, for each start.
        longer: an average's that was trained five times as long; one start.
        commonest: what who always says the commonest colour of a list gets right.
    """

    right: Mapping[str, Shares]
    longer: float
    commonest: float

    @property
    def mlps_alone(self) -> float:
        """The best of those with MLPs alone."""
        return max(self.right[ALONE])

    @property
    def by_averaging(self) -> float:
        """Those that average."""
        return mean(self.right[AVERAGE])

    @property
    def by_attention(self) -> float:
        """The worst of those with attention."""
        return min(self.right[ATTENTION])


@trains(Trained(150, 750, but="Wider, of 128, and trained twenty times as long, an average gets 99 %."))
def mlp_blind(
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 150,
    reader: Make = Reader,
    mixers: Mapping[str, Callable[[], nn.Module]] = MIXERS,
) -> MlpBlind:
    """Does a token know its neighbours where only MLPs work on it?

    Rival: an average in attention's place, once with five times the training.
    Equal for both: lists, vectors, the MLP behind, the head, steps, learning rate.
    Does not show: that an average cannot do it: of width 128, trained twenty times as long, it gets 99 %.

    Args:
        seed: of weights and lists.
        starts: of each.
        steps: of training.
        reader: called with a mixer.
        mixers: what stands where attention does, by the names of `MIXERS`.
    """

    def make(name: str) -> nn.Module:
        return reader(mixers[name]())

    found = {name: right(partial(make, name), seed, starts, steps=steps) for name in bar(mixers)}
    first = starts_of(seed, starts)[0]
    longer = accuracy(trained(partial(make, AVERAGE), first, steps=5 * steps))
    _, colours, _, answers = held_out()
    commonest = (colours.mode(1, keepdim=True).values == answers).float().mean().item()
    return MlpBlind(found, longer, commonest)


# ---------------------------------------------------------------------- self and cross


QUESTIONS, AVERAGED = "self, questions\nonly", "list averaged,\nno attention"
OWN, OTHER = "self, list in\nthe sequence", "cross"


@dataclass(frozen=True)
class SelfVersusCross:
    """What is right where the list is not there, averaged, in the same sequence, or in another one.

    Args:
        right: by way, for each start.
    """

    right: Mapping[str, Shares]

    @property
    def questions_only(self) -> float:
        """The best of those that see only the questions."""
        return max(self.right[QUESTIONS])

    @property
    def without_choosing(self) -> float:
        """Those without attention."""
        return mean(self.right[AVERAGED])

    @property
    def own_sequence(self) -> float:
        """The worst with self-attention to the list."""
        return min(self.right[OWN])

    @property
    def from_list(self) -> float:
        """The worst with cross-attention to it."""
        return min(self.right[OTHER])


@trains(
    Trained(150, 450, but="Its width and rate are those of cross-attention, which has no advantage in them.")
)
def self_versus_cross(
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 150,
    longer: int = 450,
    asker: Make = Asker,
    mixed: MlpBlind | None = None,
) -> SelfVersusCross:
    """Does cross-attention bring what stands in another sequence?

    Rival: self-attention with the list in its own sequence; and without attention, the list averaged; both
        trained three times as long.
    Equal for both: lists, width, one head, learning rate. The rivals have an MLP more.
    Does not show: which of the two is the better one where both can read.

    Args:
        seed: of weights and lists.
        starts: of each.
        steps, longer: of training, and of the rivals'.
        asker: called with reads_list=False, and without.
        mixed: what `mlp_blind` found already, of the same seed and starts; then the rivals are its own, which
            had no more steps than others.
    """

    def rival(name: str) -> Shares:
        return right(lambda: Reader(MIXERS[name]()), seed, starts, steps=longer)

    rivals = mixed.right if mixed else {name: rival(name) for name in (AVERAGE, ATTENTION)}
    return SelfVersusCross(
        {
            QUESTIONS: right(partial(asker, reads_list=False), seed, starts, steps=steps),
            AVERAGED: rivals[AVERAGE],
            OWN: rivals[ATTENTION],
            OTHER: right(asker, seed, starts, steps=steps),
        }
    )


# ---------------------------------------------------------------------- what is learned

MATRICES = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
VECTORS = ("letter", "colour")
HELD: Mapping[str, tuple[str, ...]] = {  # what learns: what stays as random as it is
    "matrices": VECTORS,
    "vectors": MATRICES,
    "neither": MATRICES + VECTORS,
}


class Look(NamedTuple):
    """Who looks at whom in one list.

    Args:
        letters, colours: of the entries.
        asked: the letters asked for.
        weights: of each question for each entry.
    """

    letters: Sequence[int]
    colours: Sequence[int]
    asked: Sequence[int]
    weights: Sequence[Sequence[float]]


@dataclass(frozen=True)
class SharedAndLearned:
    """What a model learns of which only the matrices learn, and what others get right.

    Args:
        own_before, own_after: the share of its weight that a question gives to its own letter.
        before, after: who looks at whom in one list, before training and after.
        right: by what learns, for each start; where the vectors learn, after more steps.
    """

    own_before: float
    own_after: float
    before: Look
    after: Look
    right: Mapping[str, Shares]

    @property
    def only_matrices(self) -> float:
        """The worst of those whose matrices learn."""
        return min(self.right["matrices"])

    @property
    def only_vectors(self) -> float:
        """Those whose vectors learn."""
        return mean(self.right["vectors"])

    @property
    def neither_learns(self) -> float:
        """The best of those with both fixed."""
        return max(self.right["neither"])


@trains(Trained(150, 450, but="Its width and rate are those of the model whose matrices learn."))
def shared_and_learned(
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 150,
    longer: int = 450,
    asker: Make = Asker,
    held: Mapping[str, tuple[str, ...]] = HELD,
) -> SharedAndLearned:
    """Do the three matrices learn what to look for?

    Rival: the matrices stay random, and the vectors of letters and colours learn, three times as long.
    Equal for both: lists, learning rate; output projection and head learn in all.
    Does not show: anything about sharing, which is a definition; larger models.

    Args:
        seed: of weights and lists.
        starts: of each.
        steps, longer: of training, and of the rival's.
        asker: the model.
        held: by what learns, the parts that stay random.
    """
    own = starts_of(seed, starts)
    models = {
        name: [
            trained(partial(_fixed, asker, parts), start, steps=longer if name == "vectors" else steps)
            for start in own
        ]
        for name, parts in bar(held.items())
    }
    fresh = trained(asker, own[0], steps=0)
    (own_before, before), (own_after, after) = map(_looks, (fresh, models["matrices"][0]))
    found = {name: tuple(accuracy(model) for model in group) for name, group in models.items()}
    return SharedAndLearned(own_before, own_after, before, after, found)


def _fixed(asker: Make, parts: Sequence[str]) -> nn.Module:
    model = asker()
    for part in parts:
        model.get_submodule(part).requires_grad_(False)
    return model


@torch.no_grad()
def _looks(model: nn.Module) -> tuple[float, Look]:
    """The weight that questions give to their own letter, a mean over 500 lists; and the first list."""
    letters, colours, asked, _ = held_out(500)
    with probing.weights_recorded(model) as seen:
        model(letters, colours, asked)
    weights = seen[0][:, 0]  # lists, questions, entries
    own = asked[:, :, None] == letters[:, None]
    first = (part[0].tolist() for part in (letters, colours, asked, weights))
    return weights[own].mean().item(), Look(*first)


# ---------------------------------------------------------------------- what dividing the scores buys

RATES = (0.0024, 0.012, 0.024)  # 0.012 is about the largest that the root bears in keys of width 128
WIDTHS = (4, 16, 64, 256, 1024)
NARROW, WIDE = 32, 128
NOT, ROOT, WIDTH, UNIT = "not divided", "by the root", "by the width", "of length 1"


class UnitLength(nn.Module):
    """Attention whose queries and keys have length 1; a number that is learned makes the scores larger.

    (QK-norm, Henry et al. 2020; the number starts at log2(n^2 - n) for n keys, as there)
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(math.log2(N_ENTRIES**2 - N_ENTRIES)))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
        """The mix; called as `MultiHeadAttention.attend` is."""
        q, k = self.gain * F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return scaled_dot_product_attention(q, k, v, mask, scale=1.0, **options)


SCALINGS: Mapping[str, Callable[[int], AttentionFunction]] = {  # for the width of a key
    NOT: lambda width: partial(scaled_dot_product_attention, scale=1.0),
    ROOT: lambda width: scaled_dot_product_attention,
    WIDTH: lambda width: partial(scaled_dot_product_attention, scale=1 / width),  # Yang et al. 2022
    UNIT: lambda width: UnitLength(),
}


@dataclass(frozen=True)
class SqrtScaling:
    """How widely scores spread, and what is right after training.

    Args:
        raw, divided: the variance of scores for each start, by `WIDTHS`.
        rates: a small learning rate, a larger one and a still larger one.
        wide: in wide keys, by what scores are divided by, the share of right answers at each of these rates.
        narrow: in narrow keys, at the second rate.
        longer: not divided, after three times the steps, in narrow keys and in wide ones, at each of these
            rates.
    """

    raw: tuple[tuple[float, ...], ...]
    divided: tuple[tuple[float, ...], ...]
    rates: tuple[float, ...]
    wide: Mapping[str, tuple[float, ...]]
    narrow: Mapping[str, float]
    longer: tuple[tuple[float, ...], ...] = ()

    @property
    def raw_growth(self) -> float:
        """The power of the width with which the variance of raw scores grows."""
        return _power(self.raw)

    @property
    def divided_growth(self) -> float:
        """That of divided scores."""
        return _power(self.divided)

    @property
    def divided_best(self) -> float:
        """By the root, at its best rate."""
        return max(self.wide[ROOT])

    @property
    def wide_gain(self) -> float:
        """What the root gains at the second rate."""
        return self.wide[ROOT][1] - self.wide[NOT][1]

    @property
    def patient_gain(self) -> float:
        """The same over no division, after as many steps or three times as many."""
        _, wide = self.longer
        return self.wide[ROOT][1] - max(self.wide[NOT][1], wide[1])

    @property
    def by_width(self) -> float:
        """By the width, at its best rate."""
        return max(self.wide[WIDTH])

    @property
    def unit_length(self) -> float:
        """Of length 1, at its best rate."""
        return max(self.wide[UNIT])

    @property
    def smaller_steps(self) -> float:
        """Not divided, at its best rate, after as many steps or three times as many."""
        _, wide = self.longer
        return max(*self.wide[NOT], *wide)

    @property
    def narrower(self) -> float:
        """The same in narrow keys."""
        narrow, _ = self.longer
        return max(self.narrow[NOT], *narrow)

    @property
    def width_ahead(self) -> float:
        """What the width gains over the root at the largest rate."""
        return self.wide[WIDTH][-1] - self.wide[ROOT][-1]

    @property
    def unit_ahead(self) -> float:
        """What length 1 gains over the root at the largest rate."""
        return self.wide[UNIT][-1] - self.wide[ROOT][-1]

    @property
    def narrow_gain(self) -> float:
        """What the root gains in narrow keys."""
        return self.narrow[ROOT] - self.narrow[NOT]


@trains(
    Trained(
        150,
        450,
        (NARROW, WIDE),
        RATES,
        but="Division by the width and queries and keys of length 1 get no more than the root.",
    )
)
def sqrt_scaling(
    seed: int = 0,
    *,
    starts: int = 2,
    steps: int = 150,
    wide: int = WIDE,
    rates: tuple[float, ...] = RATES,
    patient: bool = True,
    asker: Make = Asker,
    scalings: Mapping[str, Callable[[int], AttentionFunction]] = SCALINGS,
) -> SqrtScaling:
    """Does dividing scores by the square root of the width of a key help to learn?

    Rival: no division, with three times the steps, the better of two widths and the best of three learning
        rates; division by the width itself, and queries and keys of length 1, each at its own best rate.
    Equal for all others: lists, weights at the start, steps, the rates that are tried.
    Does not show: deep models; rates of their own for each layer, which go with a division by the width. Of
        width 384, with rates=(0.0003, 0.0024, 0.01), one start got 91, 65 and 33 % right without a division,
        100, 99 and 35 by the root, and 100 throughout by the width and of length 1.

    Args:
        seed: of scores, weights and lists.
        starts: of each.
        steps: of training.
        wide: numbers in a wide key.
        rates: learning rates; see `SqrtScaling`.
        patient: give no division more steps, too; the claim cannot be judged without it.
        asker: the model, called with width and attend.
        scalings: what scores are divided by, by the names of `SCALINGS`.
    """
    own = starts_of(seed, starts)
    raw = tuple(tuple(_variance(width, start) for width in WIDTHS) for start in own)
    divided = tuple(tuple(map(truediv, variances, WIDTHS)) for variances in raw)

    def share(name: str, width: int, rate: float, times: int = 1) -> float:
        def make() -> nn.Module:
            return asker(width=width, attend=scalings[name](width))

        return mean(right(make, seed, starts, steps=times * steps, rate=rate))

    shares = {name: tuple(share(name, wide, rate) for rate in rates) for name in bar(scalings)}
    narrow = {name: share(name, NARROW, rates[1]) for name in (NOT, ROOT)}
    more = [tuple(share(NOT, width, rate, 3) for rate in rates) for width in (NARROW, wide) if patient]
    return SqrtScaling(raw, divided, rates, shares, narrow, tuple(more))


def _variance(width: int, seed: int) -> float:
    queries, keys = np.random.default_rng(seed).standard_normal((2, 200, width))
    return float((queries @ keys.T).var())


def _power(variances: Sequence[Sequence[float]]) -> float:
    means = np.mean(variances, axis=0)
    return float(np.polyfit(np.log(WIDTHS), np.log(means), 1)[0])
