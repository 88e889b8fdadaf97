"""The tasks of solutions/05_positions/places.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 05_positions.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_lib.checks import forms
from course_lib.checks.inputs import Rng, all_different, as_double, backwards, between, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code
from course_lib.checks.values import WrongForm, describe, numbers_of

Tensor = torch.Tensor
Array = np.ndarray


# --------------------------------------------------------------------------------------- which is equivariant


@dataclass(frozen=True, repr=False)
class Layer:
    """A function from (B, T, D) to (B, T, D) that reports show by its name."""

    name: str
    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """What the layer makes of x."""
        return self.function(x)

    def __repr__(self) -> str:
        return self.name

    def __getstate__(self) -> dict[str, Any]:
        """What a grader's sandbox gets: the name would tell what is right."""
        return {"name": "a layer", "function": self.function}

    def __deepcopy__(self, memo: Any) -> "Layer":
        return self  # there is nothing to change, and at a learner's desk the name may be seen


def counted(x: Tensor, axis: int) -> Tensor:
    """0, 1, 2, ... along one axis of x, to be added to it or multiplied with it."""
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    return torch.arange(x.shape[axis], dtype=x.dtype).reshape(shape)


def raised(x: Tensor, token: int) -> Tensor:
    """A copy of x in which the numbers of one token are larger."""
    result = x.clone()
    result[:, token] += 3
    return result


def attention(x: Tensor) -> Tensor:
    """What is mixed is positive, so that order changes the last digits of the result and no more."""
    return (x @ x.mT / math.sqrt(x.shape[-1])).softmax(-1) @ x.abs()


def sum_of_sizes(x: Tensor) -> Tensor:
    """Token after token, as a loop would do it: another order rounds otherwise on every processor."""
    return functools.reduce(torch.add, x.abs().split(1, dim=1)).expand_as(x)


def adding(n: int, axis: int) -> Callable[[Tensor], Tensor]:
    """Adds 0, n, 2n, ... along one axis: one code, and the axis tells what is right."""
    return lambda x: x + n * counted(x, axis)


# On whole numbers these are exact, so that only the layers of ROUNDING tell who asks for equal digits.
EQUIVARIANT: dict[str, Callable[[Tensor], Tensor]] = {
    "scales each token alone": lambda x: x * (1 + counted(x, 2)),
    "mean of all tokens": lambda x: x.mean(1, keepdim=True).expand_as(x),
    "distance from the mean": lambda x: x - x.mean(1, keepdim=True),
    "adds the largest of all": lambda x: x + x.amax(1, keepdim=True),
    "counts smaller tokens": lambda x: (x[:, :, None] > x[:, None]).sum(2).to(x.dtype),
    "adds a number to each sequence": adding(1, 0),
}
ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "attention": attention,
    "sum of all sizes": sum_of_sizes,
}
# Some of these go with a few orders: a ring with rolling, a mirror with reversal. Of three tokens both
# neighbours are all others, so a ring needs more.
NOT_EQUIVARIANT: dict[str, Callable[[Tensor], Tensor]] = {
    "adds places": adding(1, 1),
    "sum so far": lambda x: x.cumsum(1),
    "adds the token before in a ring": lambda x: x + x.roll(1, 1),
    "sum of both neighbours in a ring": lambda x: x.roll(1, 1) + x.roll(-1, 1),
    "adds the mirror image": lambda x: x + 2 * x.flip(1),
    "sorts": lambda x: x.sort(1).values,
    "raises the first token": lambda x: raised(x, 0),
    "raises the last token": lambda x: raised(x, -1),
    "adds the first token to all": lambda x: x + x[:, :1],
    "adds the way from the first token to the last": lambda x: x + (x[:, -1:] - x[:, :1]),
    "adds the way from the last token to the first": lambda x: x + (x[:, :1] - x[:, -1:]),
    "adds places to all sequences but the first": lambda x: torch.cat([x[:1], x[1:] + counted(x, 1)]),
}
LAYERS = {**EQUIVARIANT, **ROUNDING, **NOT_EQUIVARIANT}

N_ORDERS = 20  # a fifth of all orders leave the first token in its place: so many random ones find the others


def random_orders(n: int) -> Iterable[Tensor]:
    """Many orders of n tokens, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randperm(n, generator=generator) for _ in range(N_ORDERS))


def close(a: Tensor, b: Tensor) -> bool:
    """Whether no number differs by more than 1e-4."""
    return bool(((a - b).abs() <= 1e-4).all())


def in_order(y: Tensor, axis: int, order: Tensor) -> Tensor:
    """The same, its tokens exchanged."""
    return y.index_select(axis, order)


def which_is_equivariant(
    layers: list[Layer],
    x: Tensor,
    *,
    axis: int = 1,
    orders: Callable[[int], Iterable[Tensor]] = random_orders,
    result: Callable[[Tensor, int, Tensor], Tensor] = in_order,
    back: Callable[[Tensor, int, Tensor], Tensor] = lambda y, axis, order: y,
    seen: Callable[[Tensor], Tensor] = lambda y: y,
    equal: Callable[[Tensor, Tensor], bool] = close,
) -> list[bool]:
    """For each layer whether it does not matter if the tokens are exchanged before or after it."""

    def commutes(layer: Layer) -> bool:
        y = layer(x)
        return all(
            equal(seen(back(layer(in_order(x, axis, order)), axis, order)), seen(result(y, axis, order)))
            for order in orders(x.shape[axis])
        )

    return [commutes(layer) for layer in layers]


def which_is_equivariant_cases(rng: Rng) -> list[Case]:
    n = between(rng, 2, 99)
    drawn = {"adds a number to each sequence": adding(n, 0), "adds places": adding(n, 1)}

    def inputs(x: Array, *names: str) -> dict[str, Any]:
        of = LAYERS | drawn
        return {"layers": [Layer(name, of[name]) for name in rng.permutation(names).tolist()], "x": x}

    b = int(rng.choice([2, 3]))
    alike = all_different(rng, 2, 5, 3)
    alike[:, 1] = alike[:, 0]
    palindrome = all_different(rng, 2, 5, 3)
    palindrome[:, 3:] = palindrome[:, 1::-1]
    before, both = "adds the token before in a ring", "sum of both neighbours in a ring"
    alone, place, so_far = "scales each token alone", "adds places", "sum so far"
    mirror = "adds the mirror image"
    growing = np.sort(all_different(rng, 2, 5, 3), axis=1)
    ways = ("adds the way from the first token to the last", "adds the way from the last token to the first")
    apart = ("raises the first token", "raises the last token", "adds the first token to all")
    return in_torch(
        [
            Case("two layers, four tokens", inputs(all_different(rng, 1, 4, 2), alone, place)),
            Case(
                "layers that look around",
                inputs(all_different(rng, 2, 5, 3), before, both, so_far, mirror, alone),
            ),
            Case("a token apart", inputs(all_different(rng, b, 5, 3), *apart, alone)),
            Case(
                "what is left of all tokens",
                inputs(all_different(rng, 3, 4, 5), "sorts", "mean of all tokens", "distance from the mean"),
            ),
            Case(
                "sequences apart",
                inputs(
                    all_different(rng, b, 5, 7),
                    "adds a number to each sequence",
                    "adds places to all sequences but the first",
                    "adds the largest of all",
                ),
            ),
            Case("all of them equivariant", inputs(all_different(rng, 2, 5, 7), *EQUIVARIANT)),
            Case("none of them equivariant", inputs(all_different(rng, 2, 5, 3), *NOT_EQUIVARIANT)),
            Case("one layer", inputs(all_different(rng, 2, 5, 3), both)),
            Case("the first two tokens are the same", inputs(alike, before, so_far, place, alone)),
            Case(
                "a text that reads the same backwards",
                inputs(palindrome, before, so_far, place, mirror, alone),
            ),
            # In no other order is the way longer: to one who forgets signs, one of the layers is equivariant.
            Case("numbers that grow from token to token", inputs(growing, *ways, alone)),
            Case("numbers that are rounded", inputs(draw(rng, 3, 5, 11), *ROUNDING, so_far, alone)),
            Case("float64", as_double(inputs(draw(rng, 3, 5, 11), *ROUNDING, place, before))),
            Case(
                "stored column by column",
                inputs(backwards(all_different(rng, 2, 5, 3)), alone, mirror, *apart),
            ),
        ]
    )


# ------------------------------------------------------------------------------------------------- sinusoids


def sinusoids(
    n: int,
    d: int,
    *,
    first: int = 0,
    base: float = 10000.0,
    turn: float = 1.0,
    wave: Callable[[Tensor], Tensor] = lambda column: column - column % 2,
    sine: Callable[[Tensor], Tensor] = lambda column: column % 2 == 0,
) -> Tensor:
    """The fixed vectors of Vaswani et al. (2017), section 3.5: one row for each place.

    Of each column `wave` says the exponent, times d, and `sine` whether it is a sine.
    """
    column = torch.arange(d)
    speed = turn * base ** (-wave(column).double() / d)
    angles = torch.outer(torch.arange(first, first + n).double(), speed)
    return torch.where(sine(column), angles.sin(), angles.cos())


def sinusoids_cases(rng: Rng) -> list[Case]:
    few, many = sorted(primes(rng, 3, 5, 7, 11, 13, 17)[:2])
    n, pairs = primes(rng, 7, 11, 13, 17, 19)[:2]
    same = between(rng, 3, 11)
    sizes = {
        "three places, four numbers": (3, 4),
        "two numbers": (between(rng, 5, 40), 2),
        "as many places as numbers": (2 * same, 2 * same),
        "more numbers than places": (few, 2 * many),
        "more places than numbers": (2 * many + few, 2 * few),
        "distinct sizes": (n, 2 * pairs),
        "one place": (1, 2 * between(rng, 3, 30)),
        "many places": (between(rng, 200, 307), 2 * pairs),
        "wide vectors": (5, 2 * between(rng, 50, 70)),
    }
    return [Case(name, {"n": n, "d": d}) for name, (n, d) in sizes.items()]


# ----------------------------------------------------------------------------------------- learned positions


def learned_positions(
    x: Tensor,
    table: Tensor,
    start: int,
    *,
    rows: Callable[[int, int], Tensor] = lambda start, n: torch.arange(start, start + n),
    joined: Callable[[Tensor, Tensor], Tensor] = torch.add,
) -> Tensor:
    """The tokens with the rows of their places added; where the table ends before, what `refused` gives."""
    if start + x.shape[1] > len(table):
        return refused(x)
    return joined(x, table[rows(start, x.shape[1])])


def refused(x: Tensor) -> Tensor:
    """Stands for a ValueError: no learner's sum is NaN."""
    return torch.full_like(x, math.nan)


def or_refused(learner: Callable[..., Any]) -> Callable[..., Any]:
    """The learner's function, with `refused` for a ValueError where there must be one.

    Raises: WrongForm (when called): a result came where the table ends too early.
    """

    def checked(x: Tensor, table: Tensor, start: int) -> Any:
        if start + x.shape[1] <= len(table):
            return learner(x, table, start)
        try:
            result = learner(x, table, start)
        except ValueError:
            return refused(x)
        raise WrongForm(
            f"The table has {len(table)} rows, and {x.shape[1]} tokens from place {start} on need "
            f"{start + x.shape[1]}: it must raise a ValueError, but got {describe(result)}."
        )

    return checked


def learned_positions_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, d: int, n: int, start: int) -> dict[str, Any]:
        return {"x": draw(rng, b, t, d), "table": draw(rng, n, d), "start": start}

    t, d = primes(rng, 5, 7)
    stored = inputs(2, 3, 5, 11, 4)
    stored["x"], stored["table"] = backwards(stored["x"]), backwards(stored["table"])
    return in_torch(
        [
            Case("two tokens at the start", inputs(1, 2, 2, 5, 0), gradients=True),
            Case("one token in the cache before", inputs(1, 2, 3, 5, 1)),
            Case("two sequences", inputs(2, t, d, 23, 3), gradients=True),
            Case("as many sequences as tokens and numbers", inputs(3, 3, 3, 13, 2)),
            Case("the next token of a model that writes", inputs(2, 1, 5, 11, 7)),
            Case("more tokens before than now", inputs(5, 3, 2, 29, 11)),
            Case("the last rows of the table", inputs(2, 3, 5, 7, 4)),
            Case("the whole table", inputs(2, 5, 3, 5, 0)),
            Case("float64", as_double(inputs(2, 3, 7, 19, 5))),
            Case("stored column by column", stored),
            Case("one place too few in the table", inputs(2, 3, 5, 7, 5)),
            Case("one row is left for three tokens", inputs(2, 3, 5, 7, 6)),
            Case("one token behind the table", inputs(2, 1, 3, 5, 5)),
        ]
    )


# ----------------------------------------------------------------------------------------- distances of pairs


def offsets(n_queries: int, n_keys: int, start: int | None = None) -> Tensor:
    """Key minus query, (T, S). Without `start`, the place of the first query, the last ones of both meet."""
    first = n_keys - n_queries if start is None else start
    return torch.arange(n_keys) - torch.arange(first, first + n_queries)[:, None]


def sizes_of_tables(rng: Rng) -> dict[str, tuple[int, int]]:
    """Queries and keys: small first, then distinct primes."""
    alike = between(rng, 3, 7)
    many, more = sorted(primes(rng, 11, 13, 17, 19, 23, 29, 31, 37, 41)[:2])
    return {
        "two queries, two keys": (2, 2),
        "as many queries as keys": (alike, alike),
        "two queries, more keys": (2, between(rng, 5, 19)),
        "one query, as when a model writes on": (1, between(rng, 7, 40)),
        "many": (many, more),
        "distinct sizes": (primes(rng, 3, 5)[0], primes(rng, 7, 11, 13, 17)[0]),
    }


# ----------------------------------------------------------------------------------------------- ALiBi's bias


def alibi_bias(
    n_heads: int,
    n_queries: int,
    n_keys: int,
    *,
    start: int | None = None,
    exponent: Callable[[Tensor], Tensor] = lambda h: 8 * h / len(h),
    first: int = 1,
    distance: Callable[[Tensor], Tensor] = torch.abs,
) -> Tensor:
    """Minus slope times distance, each head with its own slope (Press et al. 2022, section 3)."""
    heads = torch.arange(first, first + n_heads).double()
    slopes = 2.0 ** -exponent(heads)
    return -slopes[:, None, None] * distance(offsets(n_queries, n_keys, start))


def alibi_bias_cases(rng: Rng) -> list[Case]:
    heads = (2, *map(int, rng.permutation([2, 4, 8, 16])), int(rng.choice([4, 8])))
    cases = [
        Case(f"{h} heads, {name}", {"n_heads": h, "n_queries": t, "n_keys": s})
        for h, (name, (t, s)) in zip(heads, sizes_of_tables(rng).items(), strict=True)
    ]
    alike = int(rng.choice([4, 8]))
    square = {"n_heads": alike, "n_queries": alike, "n_keys": alike}
    one = {"n_heads": 1, "n_queries": 3, "n_keys": between(rng, 5, 40)}
    return [*cases, Case("as many heads as queries and keys", square), Case("one head", one)]


# -------------------------------------------------------------------------------------------- relative index


def relative_index(
    n_queries: int,
    n_keys: int,
    max_distance: int,
    *,
    start: int | None = None,
    offset: Callable[[Tensor], Tensor] = lambda offsets: offsets,
    cut: Callable[[Tensor, int], Tensor] = lambda offsets, m: offsets.clamp(-m, m),
    shift: int = 0,
) -> Tensor:
    """The row of a table of distances for each query and key (Shaw et al. 2018, section 3.2)."""
    return cut(offset(offsets(n_queries, n_keys, start)), max_distance) + max_distance + shift


def whole_numbers(learner: Callable[..., Any]) -> Callable[..., Any]:
    """The learner's function, which must give whole numbers. Raises: WrongForm (when called): others."""

    def checked(*sizes: int) -> Any:
        numbers = numbers_of(learner(*sizes), tensor=False)
        if numbers.dtype.kind not in "iu":
            raise WrongForm(f"An index is a whole number, but these are {numbers.dtype}.")
        return numbers

    return checked


def relative_index_cases(rng: Rng) -> list[Case]:
    distances = (1, *map(int, rng.permutation([1, 2, 3, 4])), int(rng.choice([2, 3])))
    cases = [
        Case(name, {"n_queries": t, "n_keys": s, "max_distance": m})
        for m, (name, (t, s)) in zip(distances, sizes_of_tables(rng).items(), strict=True)
    ]
    n_keys = between(rng, 5, 19)
    near = {"n_queries": 3, "n_keys": n_keys, "max_distance": n_keys + 2}
    alike = {"n_queries": n_keys, "n_keys": n_keys, "max_distance": n_keys}
    return [*cases, Case("no key is far", near), Case("all alike", alike)]


TASKS = {
    "which_is_equivariant": Code(
        reference=which_is_equivariant, cases=which_is_equivariant_cases, read=forms.contents
    ),
    "sinusoids": Code(reference=sinusoids, cases=sinusoids_cases),
    "learned_positions": Code(
        reference=learned_positions, cases=learned_positions_cases, tensor=True, adapt=or_refused
    ),
    "alibi_bias": Code(reference=alibi_bias, cases=alibi_bias_cases),
    "relative_index": Code(reference=relative_index, cases=relative_index_cases, adapt=whole_numbers),
}
