"""Does the offset alone count?

Somebody gives you a way to tell a vector its place, and says that in the product of a query and a key only
their offset counts: how far apart the two stand. Find out by trying it. `rotate(x, t)` gives x, a vector of
K numbers, as it is at place t, for whole t from 0 to n - 1. Return True if `rotate(q, t) @ rotate(k, s)` is
the same for all places t and s with the same s - t. Two products count as the same if they differ by less
than 0.001, because of rounding. A way that changes nothing at all passes, because all its products are the
same.

Hint: Keep the offset, move the place: which products have to be the same as `rotate(q, 0) @ rotate(k, 3)`?
A way may be right near the start, and go wrong later.

Hint: Make the table of all products, one row for each place of q, one column for each place of k. Where in
it are the products with the same offset?

Hint: Along each diagonal the product has to stay: compare the table without its first row and column with
the table without its last ones. `torch.allclose(a, b, rtol=0, atol=1e-3)`.
"""

from typing import Any

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=3, minutes=15, section="A clock hand")


@exercise.solution
def depends_on_offset(rotate, q, k, n):
    """Whether rotate(q, t) @ rotate(k, s) depends on s - t alone.

    Args:
        rotate: rotate(x, t) gives the vector x as it is at place t, 0 <= t < n.
        q: (K,), a query.
        k: (K,), a key.
        n: how many places there are.
    Returns: True or False; True of a rotate that changes nothing, because all its products are the same.
    """
    ### BEGIN SOLUTION
    queries = torch.stack([rotate(q, t) for t in range(n)])
    keys = torch.stack([rotate(k, s) for s in range(n)])
    products = queries @ keys.T  # (n, n), the same offset along each diagonal
    return torch.allclose(products[1:, 1:], products[:-1, :-1], rtol=0, atol=1e-3)
    ### END SOLUTION


class Placing:
    """A way to tell a vector its place, to be judged: rotate(x, t) is x at place t.

    Args:
        name: shown to the learner.
        matrices: (n, K, K), one for each place.
        added: (n, K), what is added afterwards.
    """

    def __init__(self, name: str, matrices: torch.Tensor, added: torch.Tensor | None = None) -> None:
        self.__name__ = name
        added = torch.zeros_like(matrices[..., 0]) if added is None else added
        # Ready for both kinds of numbers, because learners call this some hundred times.
        kinds = (torch.float32, torch.float64)
        self.places = {kind: list(zip(matrices.mT.to(kind), added.to(kind), strict=True)) for kind in kinds}

    def __call__(self, x: torch.Tensor, t: int) -> torch.Tensor:
        places = self.places[x.dtype]
        if not 0 <= t < len(places):
            raise ValueError(f"places go from 0 to {len(places) - 1}; got {t}")
        matrix, added = places[t]
        return x @ matrix + added

    def __getstate__(self) -> dict[str, Any]:
        """What a grader's sandbox gets: the name would tell what is right."""
        return {"__name__": "a way to tell places", "places": self.places}


def turning(places, frequencies):
    """(n, K, K): matrices that turn neighbouring pairs by places times frequencies."""
    width = 2 * len(frequencies)
    matrices = torch.zeros(len(places), width, width, dtype=torch.float64)
    for i, frequency in enumerate(frequencies):
        cos, sin = (f(places.double() * frequency) for f in (torch.cos, torch.sin))
        matrices[:, 2 * i, 2 * i] = matrices[:, 2 * i + 1, 2 * i + 1] = cos
        matrices[:, 2 * i, 2 * i + 1] = -sin
        matrices[:, 2 * i + 1, 2 * i] = sin
    return matrices


@exercise.cases
def _(rng):
    def vector():
        """Small whole numbers, so that products of unturned vectors are exact."""
        return (rng.choice([-1, 1], 6) * rng.integers(1, 4, 6)).astype(np.float32)

    def case(name, matrices, added=None, *, zeros=(), twins=False, catches=""):
        """Its vectors are such that nothing vanishes by accident: no product, no difference between places.

        `zeros` are numbers of the key that are 0, and `twins` are a query and a key that are the same.
        """
        rotate = Placing(name, matrices, added)
        while True:
            q, k = vector(), vector()
            k[list(zeros)] = 0
            q, k = (k, k.copy()) if twins else (q, k)
            queries, keys = ([rotate(torch.from_numpy(x).double(), t) for t in range(n)] for x in (q, k))
            table = torch.stack(queries) @ torch.stack(keys).mT
            moved = float((table[1:, 1:] - table[:-1, :-1]).abs().max())
            lopsided = twins or q @ np.roll(k, 1) != q @ np.roll(k, -1)
            if q @ k != 0 and lopsided and not 1e-6 < moved < 0.1:
                return Case(name, {"rotate": rotate, "q": q, "k": k, "n": n}, catches=catches)

    n = primes(rng, 11, 13)[0]
    t = torch.arange(n)
    ones = torch.eye(6, dtype=torch.float64).expand(n, 6, 6)
    signs, growth = 1 - 2 * (t % 2)[:, None, None], (1 + t / 10)[:, None, None]
    circle = torch.stack([ones[0].roll(place, 0) for place in range(n)])
    there_and_back = n // 2 - (t - n // 2).abs()
    late = torch.zeros(n, 6, dtype=torch.float64)
    late[n - 3 :, 4:] = 1  # where both vectors are 0, so that only these places show it, with each other
    speeds = [1.0, 0.3, 0.1]
    return in_torch(
        [
            case("neighbours turned, as in the paper", turning(t, speeds)),
            case("left as it is", ones, catches="vectors instead of products"),
            case(
                "counted anew after every seven places",
                turning(t % 7, speeds),
                catches="the first and the last place",
            ),
            case("two tokens share a place", turning(t // 2, speeds), catches="the lengths"),
            case("the sign changes from place to place", signs * ones, catches="the distance"),
            case("the numbers pushed round in a circle", circle, catches="exactly equal"),
            case(
                "turned, from the middle on turned back",
                turning(there_and_back, [0.7] * 3),
                twins=True,
                catches="one offset",
            ),
            case(
                "one pair turned, in which the key is 0",
                turning(t, [0.7, 0.0, 0.0]),
                zeros=(0, 1),
                catches="only one of the two moves",
            ),
            case("longer from place to place", ones * growth, twins=True, catches="only shrinking counts"),
            case("shorter from place to place", ones / growth, twins=True, catches="only growth counts"),
            case(
                "turned, and something added at the last three places",
                turning(t, [0.7, 0.3, 0.1]),
                late,
                zeros=(4, 5),
                twins=True,
                catches="the first places",
            ),
        ]
    )


@exercise.mistake("vectors instead of products")
def _(rotate, q, k, n):
    """It says True only where the vectors themselves stay: they may turn, it is the product of two of them
    that must not change.
    """
    return all(
        torch.allclose(rotate(x, t), rotate(x, 0), rtol=0, atol=1e-3) for x in (q, k) for t in range(n)
    )


exercise.changed(
    "only one of the two moves",
    "Only one of the two vectors is moved, and so the offset changes: move both by as much.",
    ("products[1:, 1:], products[:-1, :-1]", "products[1:, 0], products[:-1, 0]"),
)
exercise.changed(
    "the lengths",
    "It says True wherever lengths stay: query and key were always put in the same place. Try offsets other "
    "than 0.",
    ("products[1:, 1:], products[:-1, :-1]", "products.diagonal()[1:], products.diagonal()[:-1]"),
)
exercise.changed(
    "one offset",
    "Only offset 1 was tried: a way can be right for neighbours, and wrong for two that stand farther apart.",
    ("products[1:, 1:], products[:-1, :-1]", "products.diagonal(1)[1:], products.diagonal(1)[:-1]"),
)


@exercise.mistake("the first places")
def _(rotate, q, k, n):
    """Only the first places were tried: a way can go wrong later. Try all n."""
    return depends_on_offset(rotate, q, k, 4)


exercise.changed(
    "places 0 and 1",
    "Every offset was tried, but from places 0 and 1 alone: a way can go wrong later. Try each offset from "
    "all places.",
    ("products[1:, 1:], products[:-1, :-1]", "products[1, 1:], products[0, :-1]"),
)
exercise.changed(
    "only growth counts",
    "Products that become smaller from place to place count as the same: their difference is below 0, and "
    "so below 0.001. Take its size, with `.abs()`.",
    (
        "torch.allclose(products[1:, 1:], products[:-1, :-1], rtol=0, atol=1e-3)",
        "bool((products[1:, 1:] - products[:-1, :-1]).max() < 1e-3)",
    ),
)
exercise.changed(
    "only shrinking counts",
    "Products that become larger from place to place count as the same: the one before minus the next is "
    "below 0, and so below 0.001. Take its size, with `.abs()`.",
    (
        "torch.allclose(products[1:, 1:], products[:-1, :-1], rtol=0, atol=1e-3)",
        "bool((products[:-1, :-1] - products[1:, 1:]).max() < 1e-3)",
    ),
)
exercise.changed(
    "the first and the last place",
    "Only the first places were compared with the last ones: a way can go wrong in between.",
    ("products[1:, 1:], products[:-1, :-1]", "products[0, 1], products[-2, -1]"),
)
exercise.changed(
    "exactly equal",
    "It says False where only rounding differs: products that differ by less than 0.001 count as the same.",
    (
        "torch.allclose(products[1:, 1:], products[:-1, :-1], rtol=0, atol=1e-3)",
        "torch.equal(products[1:, 1:], products[:-1, :-1])",
    ),
)
exercise.changed(
    "the distance",
    "Offsets s - t and t - s were taken for the same one: a key before the query may count otherwise than "
    "one as far behind it.",
    (
        "return torch.allclose(",
        "return torch.allclose(products, products.mT, rtol=0, atol=1e-3) and torch.allclose(",
    ),
)
exercise.changed(
    "the opposite answer",
    "It says True where False is right, and the other way round.",
    ("return torch", "return not torch"),
)


@exercise.mistake("always False")
def _(rotate, q, k, n):
    """It says False of every way: look at the product of the two, and move both by as much."""
    return False


@exercise.mistake("always True")
def _(rotate, q, k, n):
    """It says True of every way: does it compare any two products?"""
    return True
