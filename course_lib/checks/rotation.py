"""The tasks of solutions/05_positions/rotation.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 05_positions.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from course_lib.checks import real_model
from course_lib.checks.inputs import Rng, all_different, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.modules import check_weights

Tensor = torch.Tensor
Array = np.ndarray
Halves = tuple[Tensor, Tensor]


# ------------------------------------------------------------------------------------------------ turn pairs


def angles_of(x: Tensor, start: int, base: float, *, power: float = 2.0) -> Tensor:
    """By how much each pair of each token is turned: (T, K / 2)."""
    places = start + torch.arange(x.shape[-2], dtype=x.dtype)
    exponents = power * torch.arange(x.shape[-1] // 2, dtype=x.dtype) / x.shape[-1]
    return places[:, None] / base**exponents


def neighbours(x: Tensor) -> Halves:
    """The first and the second number of each pair (0, 1), (2, 3), ..."""
    return x[..., 0::2], x[..., 1::2]


def halves(x: Tensor) -> Halves:
    """The first and the second number of each pair (0, K/2), (1, K/2 + 1), ..."""
    left, right = x.chunk(2, dim=-1)
    return left, right


def as_neighbours(left: Tensor, right: Tensor) -> Tensor:
    """The way back from `neighbours`."""
    return torch.stack([left, right], dim=-1).flatten(-2)


def as_halves(left: Tensor, right: Tensor) -> Tensor:
    """The way back from `halves`."""
    return torch.cat([left, right], dim=-1)


def turned(left: Tensor, right: Tensor, angles: Tensor) -> Halves:
    """Each pair, turned by its angle."""
    cos, sin = angles.cos(), angles.sin()
    return left * cos - right * sin, left * sin + right * cos


def turned_one_by_one(left: Tensor, right: Tensor, angles: Tensor) -> Halves:
    """The second number is made from the first as it is after turning."""
    left = left * angles.cos() - right * angles.sin()
    return left, left * angles.sin() + right * angles.cos()


def rotate_pairs(
    x: Tensor,
    start: int,
    base: float,
    *,
    angles: Callable[[Tensor, int, float], Tensor] = angles_of,
    read: Callable[[Tensor], Halves] = neighbours,
    turn: Callable[[Tensor, Tensor, Tensor], Halves] = turned,
    write: Callable[[Tensor, Tensor], Tensor] = as_neighbours,
) -> Tensor:
    """Turn each pair of numbers of each token by its place."""
    return write(*turn(*read(x), angles(x, start, base)))


def each_by_its_own(x: Tensor, start: int, base: float) -> Tensor:
    """Every number has an angle of its own, t / base^(j/K), though two make a pair."""
    wide = x.new_empty(x.shape[-2], 2 * x.shape[-1])
    cos, sin = (f(angles_of(wide, start, base)) for f in (torch.cos, torch.sin))
    left, right = neighbours(x)
    return x * cos + as_neighbours(-right, left) * sin


def with_other_angles(x: Tensor, start: int, base: float) -> Tensor:
    """Neighbours are mixed, by angles of which numbers j and j + K/2 have the same one."""
    angles = angles_of(x, start, base)
    left, right = neighbours(x)
    wide = as_halves(angles, angles)
    return x * wide.cos() + as_neighbours(-right, left) * wide.sin()


def with_other_partners(x: Tensor, start: int, base: float) -> Tensor:
    """Numbers j and j + K/2 are mixed, by angles of which neighbours have the same one."""
    angles = angles_of(x, start, base)
    left, right = halves(x)
    wide = as_neighbours(angles, angles)
    return x * wide.cos() + as_halves(-right, left) * wide.sin()


def over_heads(x: Tensor, start: int, base: float) -> Tensor:
    """The place of a token is the number of its head."""
    return rotate_pairs(x.transpose(1, 2), start, base).transpose(1, 2)


def same_lengths(result: Array, inputs: Mapping[str, Any]) -> str:
    """Of a turned token the sum of squares stays."""
    x = inputs["x"].detach().double().numpy()
    before, after = (np.linalg.norm(value.astype(float), axis=-1) for value in (x, result))
    changed = np.argwhere(np.abs(after - before) > 1e-3 * (1 + before))
    if not len(changed):
        return ""
    where = tuple(int(i) for i in changed[0])
    return (
        f"The token at {list(where)} has length {before[where]:.4g} before and {after[where]:.4g} after: "
        "turning keeps lengths."
    )


def all_digits(result: Array, inputs: Mapping[str, Any]) -> str:
    """Angles in float32 leave seven digits of a result in float64."""
    x, start, base = (inputs[name] for name in ("x", "start", "base"))
    right = rotate_pairs(x.detach().double(), start, base).numpy()
    if x.dtype != torch.float64 or not np.allclose(result, right, rtol=0, atol=1e-3):
        return ""
    return "The result is right in its first digits only: x is float64, but the angles were made in float32."


def as_split(known: dict[str, Any]) -> dict[str, Any]:
    """The same inputs, x in memory as heads are split: tokens before heads."""
    return {**known, "x": known["x"].swapaxes(1, 2)}


def rotate_pairs_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, start: int = 0, base: float = 10.0) -> dict[str, Any]:
        return {"x": draw(rng, *shape), "start": start, "base": base}

    stored = as_split(inputs(2, 5, 3, 6, start=2))
    b, h, t = primes(rng, 2, 3, 5)
    return in_torch(
        [
            Case("one pair, three tokens", inputs(1, 1, 3, 2), gradients=True),
            Case("two pairs, three tokens", inputs(1, 1, 3, 4)),
            Case("two heads, from place 2 on", inputs(1, 2, 3, 4, start=2)),
            Case("three pairs", inputs(1, 2, 2, 6, start=1, base=100.0)),
            Case("everything square", inputs(4, 4, 4, 4, start=3)),
            Case("two sequences", inputs(b, h, t, 14, start=7, base=10000.0), gradients=True),
            Case("one new token", inputs(2, 3, 1, 6, start=11, base=100.0)),
            Case("a wide head and a large base", inputs(1, 2, 7, 22, start=3, base=500000.0)),
            Case("far from the start", inputs(1, 2, 5, 6, start=97, base=1000.0)),
            Case("float64", as_double(inputs(2, 3, 3, 4, start=1, base=7.0))),
            Case("float64, one pair", as_double(inputs(2, 3, 5, 2, start=2))),
            Case("stored as heads are split", stored),
        ]
    )


# ------------------------------------------------------------------------------------------- to interleaved


def to_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    """In each head rows i and i + K/2 become rows 2i and 2i + 1."""
    return weight.unflatten(0, (n_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def to_halves(weight: Tensor, n_heads: int) -> Tensor:
    """The way back."""
    return weight.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def in_each_head(weight: Tensor, n_heads: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the rows (H, K, D) of all heads."""
    return change(weight.unflatten(0, (n_heads, -1))).flatten(0, 1)


def to_interleaved_cases(rng: Rng) -> list[Case]:
    def inputs(n_heads: int, d_head: int, d_model: int) -> dict[str, Any]:
        return {"weight": all_different(rng, n_heads * d_head, d_model), "n_heads": n_heads}

    stored = inputs(3, 10, 7)
    stored["weight"] = backwards(stored["weight"])
    d_head, d_model = 2 * primes(rng, 3, 5, 7)[0], primes(rng, 11, 13)[0]
    return in_torch(
        [
            Case("one head of four rows", inputs(1, 4, 2)),
            Case("two heads of six rows", inputs(2, 6, 3), gradients=True),
            Case("a square matrix", inputs(2, 6, 12)),
            Case("as many heads as rows in each", inputs(6, 6, 5)),
            Case("three heads", inputs(3, d_head, d_model)),
            Case("five heads of eight rows", inputs(5, 8, 3)),
            Case("heads of one pair", inputs(3, 2, 5)),
            Case("one column", inputs(2, 10, 1)),
            Case("float64", as_double(inputs(3, 14, 2))),
            Case("stored column by column", stored),
        ]
    )


def second_half_backwards(rows: Tensor) -> Tensor:
    """Rows i and K - 1 - i become neighbours: (H, K, D)."""
    first, second = rows.chunk(2, 1)
    return torch.stack([first, second.flip(1)], 2).flatten(1, 2)


# ------------------------------------------------------------------------------ does the offset alone count?


class Placing:
    """A way to tell a vector its place, to be judged: rotate(x, t) is x at place t.

    Args:
        name: shown to the learner.
        offset_alone: whether products depend on the offset alone; true by construction, so no tolerance
            decides about it.
        matrices: (n, K, K), one for each place.
        added: (n, K), what is added afterwards.
    """

    def __init__(self, name: str, offset_alone: bool, matrices: Tensor, added: Tensor | None = None) -> None:
        self.__name__ = name
        self.offset_alone = offset_alone
        added = torch.zeros_like(matrices[..., 0]) if added is None else added
        # Ready for both kinds of numbers, because learners call this some hundred times.
        kinds = (torch.float32, torch.float64)
        self.places = {kind: list(zip(matrices.mT.to(kind), added.to(kind), strict=True)) for kind in kinds}

    def __call__(self, x: Tensor, t: int) -> Tensor:
        places = self.places[x.dtype]
        if not 0 <= t < len(places):
            raise ValueError(f"places go from 0 to {len(places) - 1}; got {t}")
        matrix, added = places[t]
        return x @ matrix + added

    def __getstate__(self) -> dict[str, Any]:
        """What a grader's sandbox gets: neither what is right nor a name that tells it."""
        return {"__name__": "a way to tell places", "places": self.places}


def depends_on_offset(rotate: Placing, q: Tensor, k: Tensor, n: int) -> bool:
    """Whether rotate(q, t) . rotate(k, s) is the same for all places of one offset s - t."""
    return rotate.offset_alone


LIMIT = 1e-3  # of two products that count as equal; the words say so


def products(rotate: Placing, q: Tensor, k: Tensor, n: int) -> Tensor:
    """rotate(q, t) . rotate(k, s) for the first n places t and s: (n, n)."""
    queries, keys = (torch.stack([rotate(x, t) for t in range(n)]) for x in (q, k))
    return queries @ keys.mT


def constant(values: Tensor) -> bool:
    """Whether all these numbers are the same."""
    return bool((values - values.flatten()[0]).abs().max() < LIMIT)


def constant_diagonals(table: Tensor, offsets: range) -> bool:
    """Whether the product is the same along each of these offsets."""
    return all(constant(table.diagonal(offset)) for offset in offsets)


def turning(n: int, places: Tensor, frequencies: list[float]) -> Tensor:
    """(n, K, K): matrices that turn neighbouring pairs by places times frequencies."""
    matrices = torch.zeros(n, 2 * len(frequencies), 2 * len(frequencies), dtype=torch.float64)
    for i, frequency in enumerate(frequencies):
        cos, sin = (f(places.double() * frequency) for f in (torch.cos, torch.sin))
        matrices[:, 2 * i, 2 * i] = matrices[:, 2 * i + 1, 2 * i + 1] = cos
        matrices[:, 2 * i, 2 * i + 1] = -sin
        matrices[:, 2 * i + 1, 2 * i] = sin
    return matrices


def placings(rng: Rng, n: int) -> list[Placing]:
    """Ways for vectors of six numbers; in some of them the offset alone counts."""
    t = torch.arange(n, dtype=torch.float64)
    frequencies = [1.0, 0.3, 0.1]
    right = turning(n, t, frequencies)
    ones, zeros = torch.eye(6, dtype=torch.float64), torch.zeros(n, 6, 6, dtype=torch.float64)
    order = [0, 2, 4, 1, 3, 5]  # pairs (0, 3), (1, 4), (2, 5)
    rolled = torch.stack([ones.roll(place, 0) for place in range(n)])
    mirror = torch.diag(torch.tensor([1.0, -1.0] * 3, dtype=torch.float64))
    basis = torch.from_numpy(np.linalg.qr(rng.standard_normal((6, 6)))[0])
    jump = t.clone()
    jump[n - 3] += 1
    crossed = right @ turning(n, t, [0.7] * 3).roll((1, 1), (1, 2))
    waves = (t[:, None] * torch.arange(1, 7)).sin()

    def angles(places: Tensor) -> Tensor:
        return turning(n, places, frequencies)

    return [
        Placing("neighbours turned, as in the paper", True, right),
        Placing("a wave added, nothing turned", False, zeros + ones, waves),
        Placing("the halves turned, as by Hugging Face", True, right[:, order][:, :, order]),
        Placing("turned, and longer from place to place", False, right * (1 + t / 10)[:, None, None]),
        Placing("turned by the square of the place", False, angles(t * t / 4)),
        Placing("left as it is", True, zeros + ones),
        Placing("turned slowly, by a large base", True, turning(n, t, [1.0, 0.02, 0.0004])),
        Placing("counted anew after every seven places", False, angles(t % 7)),
        Placing("turned, all places shifted by 1000", True, angles(t + 1000)),
        Placing("a table that ends: later places get its last row", False, angles(t.clamp(max=n - 4))),
        Placing("the cosine alone", False, angles(t) * (torch.eye(6) > 0)),
        Placing("mirrored, then turned", True, right @ mirror),
        Placing("turned the other way", True, angles(-t)),
        Placing("two tokens share a place", False, angles(t // 2)),
        Placing("the sign changes from place to place", True, (1 - 2 * (t % 2))[:, None, None] * ones),
        Placing("turned, but one place is off by one", False, angles(jump)),
        Placing("the numbers pushed round in a circle", True, rolled),
        Placing("two turns, one after the other, of overlapping pairs", False, crossed),
        Placing("turned in pairs that lie askew", True, basis @ right @ basis.mT),
    ]


def depends_on_offset_cases(rng: Rng) -> list[Case]:
    def vector() -> Array:
        """Small whole numbers, so that products of unturned vectors are exact."""
        return (rng.choice([-1, 1], 6) * rng.integers(1, 4, 6)).astype(np.float32)

    def inputs(rotate: Placing, *, zeros: Sequence[int] = (), twins: bool = False) -> dict[str, Any]:
        """Vectors with which nothing vanishes by accident: no product, no difference between two places.

        `zeros` are numbers of the key that are 0, and `twins` are a query and a key that are the same.
        """
        while True:
            q, k = vector(), vector()
            k[list(zeros)] = 0
            q, k = (k, k.copy()) if twins else (q, k)
            table = products(rotate, torch.from_numpy(q), torch.from_numpy(k), n)
            moved = float((table[1:, 1:] - table[:-1, :-1]).abs().max())
            lopsided = twins or q @ np.roll(k, 1) != q @ np.roll(k, -1)
            if q @ k != 0 and lopsided and (rotate.offset_alone or moved > 0.1):
                return {"rotate": rotate, "q": q, "k": k, "n": n}

    n = primes(rng, 11, 13)[0]
    t = torch.arange(n)
    there_and_back = turning(n, n // 2 - (t - n // 2).abs(), [0.7] * 3)
    back = Placing("turned, from the middle on turned back", False, there_and_back)
    one = Placing("one pair turned, in which the key is 0", True, turning(n, t, [0.7, 0.0, 0.0]))
    turns = turning(n, t, [0.7, 0.3, 0.1])
    late = torch.zeros(n, 6, dtype=torch.float64)
    late[n - 3 :, 4:] = 1  # where both vectors are 0, so that only these places show it, with each other
    more = Placing("turned, and something added at the last three places", False, turns, late)
    growth = (1 + t / 10)[:, None, None]
    longer = Placing("not turned, longer from place to place", False, torch.eye(6).double() * growth)
    shorter = Placing("not turned, shorter from place to place", False, torch.eye(6).double() / growth)
    given = [(rotate.__name__, inputs(rotate)) for rotate in placings(rng, n)]
    given += [(back.__name__, inputs(back, twins=True)), (one.__name__, inputs(one, zeros=(0, 1)))]
    given += [(way.__name__, inputs(way, twins=True)) for way in (longer, shorter)]
    given.append((more.__name__, inputs(more, zeros=(4, 5), twins=True)))
    given.append(("float64", as_double(given[0][1])))
    return in_torch([Case(name, known) for name, known in given])


# ------------------------------------------------------------------------------------------ rotation at work


def rotation(
    x: Tensor,
    start: int,
    base: float,
    max_seq_len: int,
    before: tuple[Tensor, int] | None = None,
    **changes: Any,
) -> Tensor:
    """What the layer gives. `before` is what it is called with first: it must not matter."""
    return rotate_pairs(x, start, base, **changes)


def with_the_first_table(
    x: Tensor, start: int, base: float, max_seq_len: int, before: tuple[Tensor, int] | None
) -> Tensor:
    """As by a layer that computes its cosines and sines in its first call, and keeps them."""
    first, begin = (x, start) if before is None else before
    return rotate_pairs(x, start, base, angles=lambda *given: angles_of(first, begin, base))


def counting_on(
    x: Tensor, start: int, base: float, max_seq_len: int, before: tuple[Tensor, int] | None
) -> Tensor:
    """As by a layer that starts where its last call ended."""
    return rotate_pairs(x, 0 if before is None else before[0].shape[2], base)


def as_function(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's layer, call it."""

    def layer(
        x: Tensor, start: int, base: float, max_seq_len: int, before: tuple[Tensor, int] | None = None
    ) -> Tensor:
        module = learner(x.shape[-1], max_seq_len, base)
        check_weights(module, {}, "layer")
        if before is not None:
            module(*before)
        return module(x, start) if start else module(x)

    return layer


def rotation_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, start: int = 0, base: float = 10.0, max_seq_len: int = 17) -> dict[str, Any]:
        return {"x": draw(rng, *shape), "start": start, "base": base, "max_seq_len": max_seq_len}

    def called_before(n_tokens: int, begin: int, *shape: int, start: int) -> dict[str, Any]:
        first = torch.from_numpy(draw(rng, *shape[:2], n_tokens, shape[3]))
        return {**inputs(*shape, start=start), "before": (first, begin)}

    stored = as_split(inputs(2, 5, 3, 6, start=2))
    b, h, t = primes(rng, 2, 3, 5)
    return in_torch(
        [
            Case("one pair, three tokens", inputs(1, 1, 3, 2), gradients=True),
            Case("two heads, three tokens", inputs(1, 2, 3, 4)),
            Case("from place 2 on", inputs(1, 2, 3, 4, start=2)),
            Case("everything square", inputs(4, 4, 4, 4, start=3)),
            Case("two sequences", inputs(b, h, t, 14, start=7, base=10000.0), gradients=True),
            Case("as many tokens as places", inputs(1, 2, 11, 6, base=100.0, max_seq_len=11)),
            Case("the last place", inputs(2, 3, 1, 6, start=12, base=100.0, max_seq_len=13)),
            Case("the same layer, called with five tokens before", called_before(5, 0, 1, 2, 3, 4, start=5)),
            Case("the same layer, called with place 7 before", called_before(3, 7, 1, 2, 3, 6, start=2)),
            Case("far from the start", inputs(1, 2, 5, 6, start=97, base=1000.0, max_seq_len=128)),
            Case("stored as heads are split", stored),
        ]
    )


@contextmanager
def turned_by(model: Any, rotate: Callable[[Tensor, int], Tensor]) -> Iterator[list[int]]:
    """Inside, every layer of a `GPT` turns its queries and keys with rotate(x, start).

    Gives: the start of every call so far, a list that grows.
    """
    starts: list[int] = []

    def instead(module: Any, args: tuple[Tensor, int], output: Tensor) -> Tensor:
        starts.append(args[1])
        return rotate(*args)

    hook = model.rotary.register_forward_hook(instead)  # all layers share this module
    try:
        yield starts
    finally:
        hook.remove()


@real_model.with_smollm2("answer with your rotation")
def turns_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let SmolLM2 answer with the learner's rotation; compare with its own."""
    rotary, n_layers = model.rotary, len(model.stack.blocks)
    layer = learner(rotary.d_head, rotary.max_seq_len, rotary.base).to(rotary.cos.device)
    return real_model.answers_alike(
        model,
        tokenizer,
        "your rotation",
        lambda: turned_by(model, layer),
        f"Its heads have {rotary.d_head} numbers, and there are {rotary.max_seq_len:,} places.",
        lambda starts: (
            f"In {n_layers} layers your rotation was called {len(starts)} times, for places up to "
            f"{max(starts)}."
        ),
    )


TASKS = {
    "rotate_pairs": Code(
        reference=rotate_pairs,
        cases=rotate_pairs_cases,
        properties=(Property("all digits", all_digits), Property("same lengths", same_lengths)),
        tensor=True,
    ),
    "to_interleaved": Code(reference=to_interleaved, cases=to_interleaved_cases, tensor=True),
    "depends_on_offset": Code(reference=depends_on_offset, cases=depends_on_offset_cases),
    "rotation_at_work": Code(
        reference=rotation,
        cases=rotation_cases,
        properties=(Property("same lengths", same_lengths),),
        tensor=True,
        takes="class",
        adapt=as_function,
        finale=turns_smollm2,
    ),
}
