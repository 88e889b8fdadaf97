"""What many vectors cost, and whether rows of pixels, which are few, are read as well as squares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib import costs
from course_lib.attention import scaled_dot_product_attention
from course_lib.claims import Trained, trains
from course_lib.concepts.c02_patches.experiments import which_pieces
from course_lib.concepts.c02_patches.experiments.which_pieces import Cut, Readers
from course_lib.device import keep_memory

WAYS = {"with a table": False, "fused": True}


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
    rows: Cut = which_pieces.rows,
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
        which_pieces.read_digits(seed, steps=steps, desc="squares", **how),
        which_pieces.read_digits(seed, rows, steps=longer, desc="rows", **how),
    )
