"""The tasks of solutions/08_rnn_comparison/recurrence.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 08_rnn_comparison.yml. The keyword-only arguments
of a reference are for these mistakes: each changes one thing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from course_lib.checks.inputs import Rng, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.values import Parts, numbers_of

Tensor = torch.Tensor
Array = np.ndarray


def stored_backwards(known: dict[str, Any], *names: str) -> dict[str, Any]:
    """The same inputs, some of them stored column by column."""
    return {name: backwards(value) if name in names else value for name, value in known.items()}


# -------------------------------------------------------------------------------------------------- RNN step


def rnn_step(
    x: Tensor,
    h: Tensor,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    *,
    squash: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """The next state."""
    return squash(x @ w.mT + h @ u.mT + b)


def tanh_of_powers(sums: Tensor) -> Tensor:
    """As in a book of formulas: exp(89) is more than a float32 holds."""
    up, down = sums.exp(), (-sums).exp()
    return (up - down) / (up + down)


def tanh_of_a_power(sums: Tensor) -> Tensor:
    """As in another one: exp(2 * 45) is more than a float32 holds."""
    up = (2 * sums).exp()
    return (up - 1) / (up + 1)


def between_one_and_minus_one(result: Array, inputs: Mapping[str, Any]) -> str:
    """What tanh never gives."""
    furthest = np.abs(result).max(initial=0.0)
    return (
        f"A number of a state has size {furthest:.4g}; tanh gives at most 1." if furthest > 1 + 1e-4 else ""
    )


def rnn_step_cases(rng: Rng) -> list[Case]:
    def inputs(n: int, d_in: int, d: int, *, size: float = 1.0) -> dict[str, Any]:
        return {
            "x": draw(rng, n, d_in, size=size),
            "h": draw(rng, n, d, size=0.5),
            "w": draw(rng, d, d_in),
            "u": draw(rng, d, d),
            "b": draw(rng, d),
        }

    def large() -> dict[str, Any]:
        """No sum is near to where exp overflows, in whichever way it is written."""
        while True:
            known = inputs(3, 5, 7, size=300.0)
            sums = np.abs(known["x"] @ known["w"].T)
            if not ((sums > 30) & (sums < 120)).any():
                return known

    start = inputs(2, 3, 5)
    start["h"] = np.zeros_like(start["h"])
    return in_torch(
        [
            Case("one text", inputs(1, 2, 3)),
            Case("two texts", inputs(2, 3, 2)),
            Case("the first step: h is zeros", start),
            Case("everything square", inputs(3, 3, 3)),
            Case("one number in, one unit", inputs(2, 1, 1)),
            Case("a batch", inputs(*primes(rng, 5, 7, 11)), gradients=True),
            Case("sums of several hundred", large()),
            Case("float64", as_double(inputs(*primes(rng, 2, 3, 5)))),
            Case("stored column by column", stored_backwards(inputs(3, 5, 7), "x", "h", "w", "u")),
        ]
    )


# ------------------------------------------------------------------------------------------ RNN with padding


def true_tokens(x: Tensor, lengths: Tensor) -> Tensor:
    """Which columns of each row belong to its text: (B, T)."""
    return torch.arange(x.shape[1]) < lengths[:, None]


def everything(x: Tensor, lengths: Tensor) -> Tensor:
    """Padding too."""
    return torch.ones(x.shape[:2], dtype=torch.bool)


def not_zero(x: Tensor, lengths: Tensor) -> Tensor:
    """As if padding were what is zero."""
    return (x != 0).any(-1)


def at_the_end(x: Tensor, lengths: Tensor) -> Tensor:
    """As if padding stood in front."""
    return true_tokens(x, lengths).flip(1)


def states_after(
    x: Tensor, read: Tensor, w: Tensor, u: Tensor, b: Tensor, start: Tensor | None = None
) -> Tensor:
    """The state after each column, (B, T, D): what is not read leaves it as it was."""
    h = x.new_zeros(len(x), len(b)) if start is None else start
    states = []
    for t in range(x.shape[1]):
        h = torch.where(read[:, t, None], rnn_step(x[:, t], h, w, u, b), h)
        states.append(h)
    return torch.stack(states, 1)


def zeros_after_the_end(states: Tensor, read: Tensor) -> Tensor:
    """An output where a token was read, zeros elsewhere."""
    return states * read[..., None]


def rnn_with_padding(
    x: Tensor,
    lengths: Tensor,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    *,
    read: Callable[[Tensor, Tensor], Tensor] = true_tokens,
    output: Callable[[Tensor, Tensor], Tensor] = zeros_after_the_end,
) -> tuple[Tensor, Tensor]:
    """Outputs, and the state after each row's last token."""
    reads = read(x, lengths)
    states = states_after(x, reads, w, u, b)
    return output(states, reads), states[:, -1]


def state_before(states: Tensor, read: Tensor) -> Tensor:
    """Each output is the state that the token found."""
    before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
    return zeros_after_the_end(before, read)


def counted_from_the_end(
    x: Tensor, lengths: Tensor, w: Tensor, u: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """The last state is the one in column length - 1 of a run over everything; -1 is the last column."""
    states = states_after(x, everything(x, lengths), w, u, b)
    return zeros_after_the_end(states, true_tokens(x, lengths)), states[torch.arange(len(x)), lengths - 1]


def one_state_for_all_rows(
    x: Tensor, lengths: Tensor, w: Tensor, u: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """Each row begins where the one before ended."""
    h, reads = x.new_zeros(1, len(b)), true_tokens(x, lengths)
    rows = []
    for i in range(len(x)):
        rows.append(states_after(x[i : i + 1], reads[i : i + 1], w, u, b, h))
        h = rows[-1][:, -1]
    states = torch.cat(rows)
    return zeros_after_the_end(states, reads), states[:, -1]


def says_where_padding_goes(result: Array, inputs: Mapping[str, Any]) -> str:
    """The output of padding that is not zeros, or the last state of an empty row that is not."""
    lengths = inputs["lengths"].numpy()
    if result.ndim == 3:
        padding = np.arange(result.shape[1]) >= lengths[:, None]
        wrong = np.argwhere(padding & (result != 0).any(-1))
        if not len(wrong):
            return ""
        row, column = (int(i) for i in wrong[0])
        return (
            f"Row {row} has length {lengths[row]}, but its output in column {column} is not 0: after the end "
            "outputs are zeros."
        )
    empty = np.argwhere((lengths == 0) & (result != 0).any(-1))
    if not len(empty):
        return ""
    return f"Row {int(empty[0, 0])} has length 0, so nothing is read: its last state is the start, zeros."


def rnn_with_padding_cases(rng: Rng) -> list[Case]:
    def inputs(
        lengths: Sequence[int], n_columns: int, d_in: int, d: int, *, size: float = 1.0
    ) -> dict[str, Any]:
        return {
            "x": draw(rng, len(lengths), n_columns, d_in, size=size),
            "lengths": rng.permutation(lengths),
            "w": draw(rng, d, d_in),
            "u": draw(rng, d, d),
            "b": draw(rng, d),
        }

    def padding(known: dict[str, Any]) -> Array:
        return np.asarray(np.arange(known["x"].shape[1]) >= known["lengths"][:, None])

    zeros = inputs([2, 4, 3], 5, 2, 3)
    zeros["x"][padding(zeros)] = 0
    hole = inputs([5, 3, 4], 5, 2, 3)
    hole["x"][:, 1:3] = 0
    t, d_in, d = primes(rng, 5, 7, 11)
    return in_torch(
        [
            Case("one text, no padding", inputs([3], 3, 2, 2)),
            Case("one text, one column of padding", inputs([2], 3, 2, 2)),
            Case("two texts", inputs([3, 1], 3, 2, 3)),
            Case("an empty text", inputs([0, 3], 3, 2, 2)),
            Case("lengths from 0 to 5", inputs([0, 1, 5], 5, 3, 2)),
            Case("padding in every row", inputs([2, 3], 5, 3, 2)),
            Case("padding of zeros", zeros),
            Case("tokens that are zeros", hole),
            Case("one column", inputs([1, 0], 1, 2, 3)),
            Case("nothing but padding", inputs([0, 0], 3, 2, 3)),
            Case("everything square", inputs([1, 3, 2], 3, 3, 3)),
            Case("a batch", inputs([t, 0, 2, t - 1], t, d_in, d), gradients=True),
            Case("large numbers", inputs([3, 2], 5, 3, 5, size=100.0)),
            Case("float64", as_double(inputs([5, 2, 4], 5, 3, 2))),
            Case("stored column by column", stored_backwards(inputs([4, 2, 1], 5, 3, 7), "x", "w", "u")),
        ]
    )


# ------------------------------------------------------------------------------------------------- LSTM step


def in_blocks(sums: Tensor) -> tuple[Tensor, ...]:
    """The four parts, one behind the other."""
    return sums.chunk(4, -1)


def interleaved(sums: Tensor) -> tuple[Tensor, ...]:
    """Four neighbours are one number of each part."""
    return sums.unflatten(-1, (-1, 4)).unbind(-1)


def ordered(*places: int) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The blocks of i, f, g and o, where they are looked for at these places."""

    def split(sums: Tensor) -> tuple[Tensor, ...]:
        blocks = in_blocks(sums)
        return tuple(blocks[place] for place in places)

    return split


def kept_and_added(c: Tensor, i: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """What the forget gate leaves of the cell, and what the input gate lets in."""
    return f * c + i * g


def lstm_step(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    *,
    split: Callable[[Tensor], tuple[Tensor, ...]] = in_blocks,
    gate: Callable[[Tensor], Tensor] = torch.sigmoid,
    new: Callable[[Tensor], Tensor] = torch.tanh,
    cell: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = kept_and_added,
    shown: Callable[[Tensor], Tensor] = torch.tanh,
) -> tuple[Tensor, Tensor]:
    """The next output and the next cell."""
    i, f, g, o = split(x @ w.mT + h @ u.mT + b)
    c = cell(c, gate(i), gate(f), new(g))
    return gate(o) * shown(c), c


def at_most_one_more(result: Array, inputs: Mapping[str, Any]) -> str:
    """A gate lets everything through at most, and what is new lies between -1 and 1."""
    limit = np.abs(inputs["c"].detach().double().numpy()) + 1
    if result.shape != limit.shape:
        return ""
    beyond = np.argwhere(np.abs(result) > limit * (1 + 1e-4))
    if not len(beyond):
        return ""
    where = tuple(int(i) for i in beyond[0])
    return (
        f"The number at {list(where)} is {result[where]:.4g}. Gates let through a part, and tanh gives at "
        f"most 1, so it can be no larger than |c| + 1 = {limit[where]:.4g}."
    )


def lstm_step_cases(rng: Rng) -> list[Case]:
    def inputs(n: int, d_in: int, d: int, *, size: float = 1.0) -> dict[str, Any]:
        return {
            "x": draw(rng, n, d_in, size=size),
            "h": draw(rng, n, d, size=0.5),
            "c": draw(rng, n, d, size=1.5),
            "w": draw(rng, 4 * d, d_in),
            "u": draw(rng, 4 * d, d),
            "b": draw(rng, 4 * d),
        }

    start = inputs(2, 3, 5)
    start.update({name: np.zeros_like(start[name]) for name in ("h", "c")})
    full = inputs(3, 2, 5)
    full["c"] = 50 * full["c"]
    return in_torch(
        [
            Case("one text, one unit", inputs(1, 2, 1)),
            Case("one text, two units", inputs(1, 3, 2)),
            Case("two texts", inputs(2, 2, 3)),
            Case("the first step: h and c are zeros", start),
            Case("a full cell", full),
            Case("as many texts as units", inputs(5, 3, 5)),
            Case("four units", inputs(3, 4, 4)),
            Case("a batch", inputs(*primes(rng, 5, 7, 11)), gradients=True),
            Case("sums of several hundred", inputs(3, 5, 7, size=300.0)),
            Case("float64", as_double(inputs(*primes(rng, 2, 3, 5)))),
            Case("stored column by column", stored_backwards(inputs(3, 5, 7), "x", "h", "c", "w", "u")),
        ]
    )


# ------------------------------------------------------------------------------------ gradient over distance

LOGS = "log10 of the norms"


def slope(h: Tensor) -> Tensor:
    """The derivative of tanh, by what tanh gave."""
    return 1 - h**2


def rows_scaled(u: Tensor, slopes: Tensor) -> Tensor:
    """diag(slopes) U: how the next state moves with this one."""
    return slopes[:, None] * u


def frobenius(matrix: Tensor) -> Tensor:
    """The square root of the sum of all squares."""
    return (matrix**2).sum().sqrt()


def all_states(x_part: Tensor, u: Tensor) -> Tensor:
    """h_1 to h_T: (T, D)."""
    h = torch.zeros_like(x_part[0])
    states = []
    for row in x_part:
        h = torch.tanh(row + u @ h)
        states.append(h)
    return torch.stack(states)


def step_matrices(
    x_part: Tensor,
    u: Tensor,
    states: Callable[[Tensor, Tensor], Tensor] = all_states,
    slope: Callable[[Tensor], Tensor] = slope,
    scaled: Callable[[Tensor, Tensor], Tensor] = rows_scaled,
    steps: slice = slice(1, None),
) -> list[Tensor]:
    """The derivatives of h_2 by h_1, of h_3 by h_2, ..."""
    return [scaled(u, slope(h)) for h in states(x_part, u)[steps]]


def one_more_to_the_right(product: Tensor, step: Tensor) -> Tensor:
    """The chain rule, from the last step backwards."""
    return product @ step


def gradient_over_distance(
    x_part: Tensor,
    u: Tensor,
    *,
    chain: Callable[[Tensor, Tensor], Tensor] = one_more_to_the_right,
    norm: Callable[[Tensor], Tensor] = frobenius,
    **changes: Any,
) -> Tensor:
    """The norm of the last state's derivative by each state before, the nearest first."""
    product, norms = torch.eye(len(u), dtype=u.dtype), []
    for step in reversed(step_matrices(x_part, u, **changes)):
        product = chain(product, step)
        norms.append(norm(product))
    return torch.stack(norms)


def by_the_sums(x_part: Tensor, u: Tensor) -> Tensor:
    """The derivatives by what goes into tanh, not by what comes out."""
    states = all_states(x_part, u)
    product, norms = torch.eye(len(u), dtype=u.dtype), []
    for h, step in zip(reversed(states[:-1]), reversed(step_matrices(x_part, u)), strict=True):
        product = product @ step
        norms.append(frobenius(product * slope(h)))
    return torch.stack(norms)


def as_logs(answer: Any) -> Parts:
    """Norms as their logarithms: they go over many powers of ten, and the smallest count as much.

    Raises: WrongForm: as `numbers_of`.
    """
    if isinstance(answer, list | tuple):
        answer = [x.detach() if isinstance(x, Tensor) else x for x in answer]
    norms = numbers_of(answer, tensor=False)
    norms = norms if norms.dtype.kind == "f" else norms.astype(float)
    with np.errstate(all="ignore"):
        return {LOGS: np.log10(norms)}


def first_wrong_distance(result: Array, inputs: Mapping[str, Any]) -> str:
    """How near the first wrong number is: at distance 1 the step is wrong, later how steps are joined."""
    x_part, u = inputs["x_part"].double(), inputs["u"].double()
    right = as_logs(gradient_over_distance(x_part, u))[LOGS]
    wrong = np.argwhere(~np.isclose(result.astype(float), right, rtol=0, atol=0.01))
    if not len(wrong):
        return ""
    distance = int(wrong[0, 0]) + 1
    if distance == 1:
        return "The first number is wrong already, which is for one step back: the norm of d h_T / d h_(T-1)."
    return f"Right up to distance {distance - 1}, then wrong: are the steps joined by a product of matrices?"


def gradient_over_distance_cases(rng: Rng) -> list[Case]:
    def inputs(n_steps: int, d: int, *, size: float = 0.7, weight: float = 1.0) -> dict[str, Any]:
        """No state is so near to 1 that a float32 loses the slope there, in whichever way it is written."""
        while True:
            u = weight * rng.standard_normal((d, d)) / d**0.5
            x_part = size * rng.standard_normal((n_steps, d))
            if x_part.size <= 30:
                u, x_part = u.round(1), x_part.round(1) + 0.0
            known = {"x_part": x_part.astype(np.float32), "u": u.astype(np.float32)}
            if all_states(*map(torch.from_numpy, known.values())).abs().max() < 0.98:
                return known

    one = inputs(4, 1)
    one["u"] = rng.choice(np.array([[[0.7]], [[-0.6]], [[1.3]]], dtype=np.float32))
    mixing = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    growing = inputs(7, 5, size=0.1)
    growing["u"] = (1.6 * mixing).astype(np.float32)
    n_steps, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one unit, four steps", one),
            Case("two units, two steps", inputs(2, 2)),
            Case("two units, three steps", inputs(3, 2)),
            Case("three units, five steps", inputs(5, 3)),
            Case("as many steps as units", inputs(5, 5)),
            Case("more units than steps", inputs(3, 7)),
            Case("a gradient that grows", growing),
            Case("larger sums", inputs(5, 3, size=1.0)),
            Case("far back, float64", as_double(inputs(59, 3, weight=0.8))),
            Case("float64", as_double(inputs(n_steps, d))),
            Case("stored column by column", stored_backwards(inputs(5, 7), "x_part", "u")),
        ]
    )


TASKS = {
    "rnn_step": Code(
        reference=rnn_step,
        cases=rnn_step_cases,
        properties=(Property("within tanh", between_one_and_minus_one),),
    ),
    "rnn_with_padding": Code(
        reference=rnn_with_padding,
        cases=rnn_with_padding_cases,
        properties=(
            Property("padding", says_where_padding_goes),
            Property("within tanh", between_one_and_minus_one),
        ),
        results=("outputs", "last"),
    ),
    "lstm_step": Code(
        reference=lstm_step,
        cases=lstm_step_cases,
        properties=(Property("at most one more", at_most_one_more),),
        results=("h", "c"),
    ),
    "gradient_over_distance": Code(
        reference=gradient_over_distance,
        cases=gradient_over_distance_cases,
        properties=(Property("first wrong distance", first_wrong_distance),),
        results=(LOGS,),
        read=as_logs,
    ),
}
