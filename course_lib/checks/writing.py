"""The tasks of solutions/07_mlm_vs_next_token/writing.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 07_mlm_vs_next_token.yml. The keyword-only arguments
of a reference are for these mistakes: each changes one thing.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_lib import generation, pretrained
from course_lib.attention import with_one_mask
from course_lib.checks import real_model
from course_lib.checks.inputs import Rng, as_double, backwards, draw, in_torch, not_negative, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.values import WrongForm, describe, numbers_of
from course_lib.decoder import GPT

Tensor = torch.Tensor
Array = np.ndarray


# ----------------------------------------------------------------------------------------------- temperature


def likeliest_alone(logits: Tensor, axis: int = -1) -> Tensor:
    """1 for the likeliest token, 0 for all others."""
    best = logits.argmax(axis, keepdim=True)
    return torch.zeros_like(logits).scatter(axis, best, torch.ones_like(logits))


def from_the_best(logits: Tensor, t: float) -> Tensor:
    """How far each score is below the best, in units of t. So nothing overflows, however small t is."""
    return (logits - logits.amax(-1, keepdim=True)) / t


def temperature(
    logits: Tensor,
    t: float,
    *,
    divide: Callable[[Tensor, float], Tensor] = from_the_best,
    zero: Callable[[Tensor], Tensor] = likeliest_alone,
    axis: int = -1,
) -> Tensor:
    """Probabilities from scores."""
    return zero(logits) if t == 0 else divide(logits, t).softmax(axis)


def over_everything(logits: Tensor, t: float) -> Tensor:
    """One softmax for all rows."""
    return temperature(logits.flatten(), t).reshape(logits.shape)


def not_a_number(logits: Tensor) -> Tensor:
    """What is left of 0 / 0."""
    return torch.full_like(logits, torch.nan)


def row_named(where: tuple[int, ...]) -> str:
    """What a row is called in a message."""
    return f"row {list(where)}" if where else "the row"


def sums_to_one(result: Array, inputs: Mapping[str, Any]) -> str:
    """The row whose probabilities do not sum to 1."""
    sums = result.sum(-1, dtype=float)
    wrong = np.argwhere(~(np.abs(sums - 1) < 1e-4))
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    return f"The probabilities of {row_named(where)} sum to {sums[where]:.6g}, expected 1."


def alone_at_zero(result: Array, inputs: Mapping[str, Any]) -> str:
    """What another token than the likeliest gets at t = 0."""
    if inputs["t"] != 0:
        return ""
    best = likeliest_alone(inputs["logits"]).numpy() == 1
    return f"At t = 0 the likeliest token gets 1, but here it gets {result[best].min():.6g}."


def distinct(rng: Rng, *shape: int, size: float = 0.1) -> Array:
    """Scores of which no two of a row are nearer than `size`, from -49 to 49 times it."""
    rows = int(np.prod(shape[:-1]))
    numbers = np.stack([rng.permutation(np.arange(-49, 50))[: shape[-1]] for _ in range(rows)])
    return (size * numbers).round(4).reshape(shape).astype(np.float32)


def temperature_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, t: float, size: float = 0.1, level: float = 0.0) -> dict[str, Any]:
        return {"logits": distinct(rng, *shape, size=size) + np.float32(level), "t": t}

    def ruled_out(t: float) -> dict[str, Any]:
        known = inputs(3, 7, t=t)
        known["logits"][np.arange(3), rng.integers(7, size=3)] = -np.inf
        return known

    stored = inputs(*primes(rng, 5, 7), t=0.7)
    stored["logits"] = backwards(stored["logits"])
    return in_torch(
        [
            Case("one row", inputs(5, t=2.0)),
            Case("two rows of three", inputs(2, 3, t=0.5)),
            Case("three rows of three", inputs(3, 3, t=2.0)),
            Case("t = 0", inputs(7, t=0.0)),
            Case("t = 0, two rows", inputs(2, 5, t=0.0)),
            Case("t = 0, all scores below 0", inputs(2, 5, t=0.0, level=-7.0)),
            Case("t = 0, a batch", inputs(*primes(rng, 2, 3, 5), t=0.0)),
            Case("a tiny t, scores of 50 to 150", inputs(2, 5, t=1e-37, size=1.0, level=100.0)),
            Case("a tiny t, scores below 0", inputs(3, 7, t=1e-37, size=1.0, level=-100.0)),
            Case("t = 0.01, scores that are nearly alike", inputs(2, 5, t=0.01, size=0.0005)),
            Case("t = 0.002, scores that are nearly alike", inputs(2, 5, t=0.002, size=0.0005)),
            Case("t = 1", inputs(2, 5, t=1.0)),
            Case("t = 50", inputs(3, 5, t=50.0)),
            Case("scores of 1,000", inputs(2, 5, t=0.5, level=1000.0)),
            Case("a batch", inputs(*primes(rng, 2, 3, 11), t=1.5)),
            Case("tokens that are ruled out", ruled_out(0.7)),
            Case("tokens that are ruled out, t = 0", ruled_out(0.0)),
            Case("float64", as_double(inputs(*primes(rng, 3, 7), t=50.0))),
            Case("float64, a tiny t", as_double(inputs(2, 5, t=1e-307, size=1.0, level=100.0))),
            Case("stored column by column", stored),
        ]
    )


# ----------------------------------------------------------------------------------------------------- top p


def until_reached(ordered: Tensor, p: float) -> Tensor:
    """Which stay, the likeliest first: those before them do not reach p yet. So the one that crosses does."""
    return ordered.cumsum(-1) - ordered < p


def to_its_place(keeps: Tensor, places: Tensor) -> Tensor:
    """From the order of likelihood back to that of the vocabulary."""
    return torch.zeros_like(keeps).scatter(-1, places, keeps)


def of_what_is_left(kept: Tensor, p: float) -> Tensor:
    """Scaled so that each row sums to 1 again."""
    return kept / kept.sum(-1, keepdim=True)


def top_p(
    probabilities: Tensor,
    p: float,
    *,
    keep: Callable[[Tensor, float], Tensor] = until_reached,
    put_back: Callable[[Tensor, Tensor], Tensor] = to_its_place,
    rescale: Callable[[Tensor, float], Tensor] = of_what_is_left,
) -> Tensor:
    """The fewest likeliest tokens that reach p together."""
    ordered, places = probabilities.sort(-1, descending=True)
    return rescale(probabilities * put_back(keep(ordered, p), places), p)


def never_reaching(ordered: Tensor, p: float) -> Tensor:
    """Without the token that crosses."""
    return ordered.cumsum(-1) <= p


def first_or(keep: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """The same, but the likeliest always stays."""
    return lambda ordered, p: keep(ordered, p) | (torch.arange(ordered.shape[-1]) == 0)


def one_more(ordered: Tensor, p: float) -> Tensor:
    """The token that crosses, and the next one."""
    keeps = until_reached(ordered, p)
    return torch.cat([keeps[..., :1], keeps[..., :-1]], -1)


def from_the_unlikely(ordered: Tensor, p: float) -> Tensor:
    """The least likely first."""
    return until_reached(ordered.flip(-1), p).flip(-1)


def share_of_the_vocabulary(ordered: Tensor, p: float) -> Tensor:
    """So many tokens, whatever their probabilities."""
    n = ordered.shape[-1]
    return (torch.arange(n) < np.ceil(p * n)).expand(ordered.shape)


def as_in_the_first_row(ordered: Tensor, p: float) -> Tensor:
    """As many tokens in every row."""
    return until_reached(ordered.reshape(-1, ordered.shape[-1])[0], p).expand(ordered.shape)


def probabilities_kept_unsorted(probabilities: Tensor, p: float) -> Tensor:
    """The vocabulary's order taken for that of likelihood."""
    return of_what_is_left(probabilities * until_reached(probabilities, p), p)


def trimmed(probabilities: Tensor, p: float) -> Tensor:
    """The token that crosses gets what is missing to p."""
    ordered, places = probabilities.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    parts = torch.minimum(ordered, (p - before).clamp(min=0))
    return torch.zeros_like(parts).scatter(-1, places, parts) / p


def softmax_again(kept: Tensor, p: float) -> Tensor:
    """As if what is left were scores."""
    return kept.masked_fill(kept == 0, -torch.inf).softmax(-1)


def keeps_the_right_number(result: Array, inputs: Mapping[str, Any]) -> str:
    """In which row too many or too few tokens are left."""
    right = np.asarray(top_p(inputs["probabilities"].double(), inputs["p"]) > 0)
    kept, wanted = (result > 0).sum(-1), right.sum(-1)
    wrong = np.argwhere(kept != wanted)
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    return (
        f"In {row_named(where)} {kept[where]} tokens are left, expected {wanted[where]}: the fewest that "
        f"have p = {inputs['p']:g} together."
    )


NEAR = 2e-3  # no sum of the likeliest comes so near to p


def top_p_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, p: float, best: int = 0, zeros: int = 0) -> dict[str, Any]:
        """Rows without ties; `best` is added to the weight of one token of every other row."""
        rows = int(np.prod(shape[:-1]))
        while True:
            weights = np.stack([rng.permutation(np.arange(1, 100))[: shape[-1]] for _ in range(rows)])
            weights = weights.astype(float) ** 2
            weights[::2, rng.integers(shape[-1])] += best
            weights[:, rng.permutation(shape[-1])[:zeros]] = 0
            chances = weights / weights.sum(-1, keepdims=True)
            sums = np.sort(chances)[:, ::-1].cumsum(-1)
            if np.abs(sums - p).min() > NEAR:
                return {"probabilities": chances.reshape(shape).astype(np.float32), "p": p}

    stored = inputs(*primes(rng, 5, 7), p=0.6)
    stored["probabilities"] = backwards(stored["probabilities"])
    # In these sums nothing is rounded: 1 is reached with the last token, in whatever order one adds.
    exact = (rng.permutation([1, 3, 4, 8, 16, 32]) / 64).astype(np.float32)
    return in_torch(
        [
            Case("one row", inputs(5, p=0.6)),
            Case("two rows of five", inputs(2, 5, p=0.7)),
            Case("three rows of three", inputs(3, 3, p=0.8)),
            Case("the likeliest has p alone", inputs(5, p=0.4, best=60_000)),
            Case("in some rows the likeliest has p alone", inputs(5, 7, p=0.5, best=60_000)),
            Case("p = 1", {"probabilities": exact, "p": 1.0}),
            Case("p near 0", inputs(2, 3, p=0.01)),
            Case("p near 1", inputs(3, 5, p=0.97)),
            Case("a batch", inputs(*primes(rng, 2, 3, 5), p=0.75)),
            Case("tokens that are ruled out", inputs(3, 7, p=0.85, zeros=2)),
            Case("a row of many", inputs(97, p=0.9)),
            Case("float64", as_double(inputs(*primes(rng, 3, 7), p=0.65))),
            Case("stored column by column", stored),
        ]
    )


# ----------------------------------------------------------------------------------------------- cached step


def after(stored: Tensor, new: Tensor) -> Tensor:
    """The new ones behind those that are there."""
    return torch.cat([stored, new], -2)


def up_to_itself(n_queries: int, n_keys: int) -> Tensor:
    """Which keys each query may see; the last query is the last key's token."""
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)


def cached_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    *,
    store: Callable[[Tensor, Tensor], Tensor] = after,
    seen: Callable[[int, int], Tensor] = up_to_itself,
    divisor: Callable[[Tensor, Tensor], float] = lambda q, k: math.sqrt(k.shape[-1]),
    axis: int = -1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of new tokens over all so far; their keys and values are stored."""
    keys, values = store(k_cache, k), store(v_cache, v)
    scores = q @ keys.mT / divisor(q, keys)
    weights = scores.masked_fill(~seen(q.shape[-2], keys.shape[-2]), -torch.inf).softmax(axis)
    return weights @ values, keys, values


def only_before(n_queries: int, n_keys: int) -> Tensor:
    """The stored keys alone."""
    return (torch.arange(n_keys) < n_keys - n_queries).expand(n_queries, n_keys)


def cached_step_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, h: int, t: int, s: int, d: int, *, size: float = 1.0) -> dict[str, Any]:
        names = {"q": t, "k": t, "v": t, "k_cache": s, "v_cache": s}
        return {name: draw(rng, b, h, n, d, size=size) for name, n in names.items()}

    # As attention splits its heads: tokens before heads in memory.
    split = {
        name: value.swapaxes(1, 2).copy().swapaxes(1, 2) for name, value in inputs(2, 3, 2, 5, 7).items()
    }
    b, h = primes(rng, 2, 3)
    t, s = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one new token, three before", inputs(1, 1, 1, 3, 2)),
            Case("one new token, two heads", inputs(1, 2, 1, 5, 3)),
            Case("one new token, nothing before", inputs(1, 2, 1, 0, 3)),
            Case("three new tokens, nothing before", inputs(1, 2, 3, 0, 5)),
            Case("two new tokens, three before", inputs(1, 1, 2, 3, 2)),
            Case("more new tokens than before", inputs(2, 3, 5, 2, 3)),
            Case("everything square", inputs(3, 3, 3, 3, 3)),
            Case("several texts", inputs(b, h, t, s, 11)),
            Case("large scores", inputs(2, 3, 2, 5, 3, size=30.0)),
            Case("float64", as_double(inputs(2, 3, s, t, 13))),
            Case("stored as heads are split", split),
        ]
    )


def stored_in_order(result: Array, inputs: Mapping[str, Any]) -> str:
    """Whether a cache has grown by the new tokens."""
    old, new = (inputs[name].shape[-2] for name in ("k_cache", "k"))
    if result.shape[-2] != old + new or np.array_equal(result[..., :old, :], inputs["k_cache"].numpy()):
        return ""
    if np.array_equal(result[..., :old, :], inputs["v_cache"].numpy()):
        return ""
    return "What was stored before no longer stands first: new keys and values come behind the old ones."


# ------------------------------------------------------------------------------------------- sampler at work

Stored = tuple[tuple[Tensor, Tensor], ...]  # keys and values of each layer, (B, H, S, K)
Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Any]
VOCABULARY, HEADS, WIDTH, PLACES = 17, 2, 6, 13  # of a small model


def three(given: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What the learner's attention gave.

    Raises: WrongForm: it is not three tensors.
    """
    if isinstance(given, tuple | list) and len(given) == 3 and all(isinstance(x, Tensor) for x in given):
        mix, keys, values = given
        return mix, keys, values
    raise WrongForm(f"`cached_step` should give three tensors; it gave {describe(given)}.")


@dataclass(frozen=True, repr=False)
class Small:
    """A model of attention alone, which reads on: the same numbers for the same seed, in float64."""

    n_layers: int
    seed: int

    def __repr__(self) -> str:
        layers = "one layer" if self.n_layers == 1 else f"{self.n_layers} layers"
        return f"a model of {layers} that knows {VOCABULARY} tokens"

    @functools.cached_property
    def weights(self) -> dict[str, Tensor]:
        """Vectors of tokens and places, the matrices of each layer, the head."""
        generator = torch.Generator().manual_seed(self.seed)
        shapes = {
            "tokens": (VOCABULARY, WIDTH),
            "places": (PLACES, WIDTH),
            "layers": (self.n_layers, 3, WIDTH, WIDTH),
            "head": (WIDTH, VOCABULARY),
        }
        return {
            name: torch.randn(shape, dtype=torch.float64, generator=generator)
            * (0.7 if len(shape) > 2 else 1)
            for name, shape in shapes.items()
        }

    def __call__(self, ids: Tensor, stored: Stored | None, attend: Attend) -> tuple[Tensor, Stored]:
        """As `Reads` has it."""
        weights = self.weights
        start = 0 if stored is None else stored[0][0].shape[-2]
        x = weights["tokens"][ids] + weights["places"][start : start + len(ids)]
        kept = []
        for layer, projections in enumerate(weights["layers"]):
            heads = (x @ projections).unflatten(-1, (HEADS, -1)).transpose(1, 2)[:, None]  # (3, 1, H, T, K)
            q, k, v = heads
            keys, values = (k[..., :0, :], v[..., :0, :]) if stored is None else stored[layer]
            mix, *new = three(attend(q, k, v, keys, values))
            x = x + mix[0].transpose(0, 1).flatten(1)
            kept.append((new[0], new[1]))
        return x[-1] @ weights["head"], tuple(kept)


# A model that reads on: from tokens (T,), what is stored (None: nothing yet) and a function for attention
# to a score (V,) for each token that could follow, and what is stored then.
Reads = Callable[[Tensor, Stored | None, Attend], tuple[Tensor, Stored]]


class Count:
    """What a layer takes for its cache: it knows how many tokens came before, and keeps none of them."""

    def __init__(self, length: int) -> None:
        self.length = length

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Only the new ones go on."""
        self.length += k.shape[-2]
        return k, v


def reads_on(model: GPT, ids: Tensor, stored: Stored | None, attend: Attend) -> tuple[Tensor, Stored]:
    """As `Reads` has it, by a `GPT`: each head of keys and values is stored once for each query head."""
    n_before = 0 if stored is None else stored[0][0].shape[-2]
    attentions: list[Any] = [block.attention for block in model.stack.blocks]
    cache: list[Any] = [Count(n_before) for _ in attentions]
    kept: list[tuple[Tensor, Tensor]] = []

    def instead(layer: int) -> Callable[..., Tensor]:
        def mix(q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
            keys, values = (k[..., :0, :], v[..., :0, :]) if stored is None else stored[layer]
            mixed, *new = three(attend(q, k, v, keys, values))
            kept.append((new[0], new[1]))
            return mixed

        return mix

    before = [attention.attend for attention in attentions]
    try:
        for layer, attention in enumerate(attentions):
            attention.attend = with_one_mask(instead(layer))
        scores = model.next_token_logits(ids[None].to(model.lm_head.weight.device), cache)[0]
    finally:
        for attention, function in zip(attentions, before, strict=True):
            attention.attend = function
    return scores, tuple(kept)


class Reader:
    """What a learner's function calls as `read`: a model, and a record of what it was asked.

    Args:
        reads: the model.
        n_likeliest: so many tokens are left to choose from; None: all.

    `scores` has what each call gave, for the whole vocabulary, and `n_read` how many tokens it read.
    """

    def __init__(self, reads: Reads, n_likeliest: int | None = None) -> None:
        self.reads = reads
        self.n_likeliest = n_likeliest
        self.scores: list[Tensor] = []
        self.n_read: list[int] = []

    def __call__(self, ids: Any, stored: Any, attend: Attend) -> tuple[Tensor, Stored]:
        """Read tokens that follow those of which keys and values are stored.

        Args:
            ids: at least one token.
            stored: what a call before gave; None at the start of a text.
            attend: the task's `cached_step`.
        Returns: scores of the tokens that are left to choose from, and what is stored now.
        Raises: WrongForm: something else came.
        """
        try:
            row = torch.as_tensor(ids).reshape(-1)
        except (TypeError, ValueError, RuntimeError):
            row = torch.zeros(0)
        if not len(row) or row.is_floating_point():
            raise WrongForm(f"`read` takes tokens, at least one whole number; got {describe(ids)}.")
        if stored is not None and not isinstance(stored, tuple):
            raise WrongForm(
                f"`read` takes what it gave before as its second argument, or None; got {describe(stored)}."
            )
        with torch.no_grad():
            scores, kept = self.reads(row, stored, attend)
        self.n_read.append(len(row))
        self.scores.append(scores)
        return scores[self.tokens], kept

    @property
    def tokens(self) -> Tensor:
        """The tokens that are left to choose from, in the order of the vocabulary."""
        n_tokens = len(self.scores[-1])
        if self.n_likeliest is None:
            return torch.arange(n_tokens)
        return self.scores[-1].topk(self.n_likeliest).indices.sort().values


class Draw:
    """What a learner's function calls as `draw`; the same numbers for the same seed.

    `seen` has the probabilities that it got, `scores` what was read last, `drawn` what it gave, `n_read`
    how many tokens were read since the draw before, and `nearest` says how near a number came to the border
    between two tokens.
    """

    def __init__(self, reader: Reader, seed: int) -> None:
        self.reader = reader
        self.rng = np.random.default_rng(seed)
        self.seen: list[Array] = []
        self.scores: list[Tensor] = []
        self.drawn: list[int] = []
        self.n_read: list[int] = []
        self.nearest = math.inf

    def __call__(self, probabilities: Any) -> int:
        """One token, as likely as the probabilities say.

        Raises: WrongForm: they are not as many as there were scores, or none is above 0.
        """
        if not self.reader.scores:
            raise WrongForm("`draw` was called before anything was read.")
        tokens = self.reader.tokens
        chances = numbers_of(probabilities, tensor=False).astype(float)
        if chances.shape != tokens.shape:
            raise WrongForm(
                f"`draw` takes a probability for each of the {len(tokens)} scores; "
                f"got {describe(probabilities)}."
            )
        self.seen.append(chances)
        self.scores.append(self.reader.scores[-1])
        self.n_read.append(sum(self.reader.n_read) - sum(self.n_read))
        sums = np.nan_to_num(chances).cumsum()
        if not sums[-1] > 0:
            raise WrongForm(f"`draw` takes probabilities that sum to 1; these sum to {sums[-1]:.6g}.")
        number = self.rng.random() * sums[-1]
        self.nearest = min(self.nearest, float(np.abs(sums[:-1] - number).min()))
        self.drawn.append(int(tokens[np.searchsorted(sums, number, side="right")]))
        return self.drawn[-1]


Read = Callable[[Any, Any, Attend], tuple[Tensor, Any]]
Choose = Callable[[Tensor, float, float], Tensor]


def cut_and_scaled(scores: Tensor, t: float, p: float) -> Tensor:
    """Temperature first, then top-p."""
    return top_p(temperature(scores, t), p)


def write(
    read: Read,
    draw: Callable[[Tensor], int],
    ids: list[int],
    n_new: int,
    t: float,
    p: float,
    *,
    choose: Choose = cut_and_scaled,
    unread: Callable[[list[int], list[int]], list[int]] = lambda ids, written: written[-1:],
    keep: Callable[[Any, Any], Any] = lambda before, now: now,
    attend: Attend = cached_step,
    first: Callable[[list[int]], list[int]] = lambda ids: ids,
) -> list[int]:
    """A text, token by token, each of which passes through the model once."""
    stored, written, new = None, [], first(ids)
    for _ in range(n_new):
        scores, now = read(new, stored, attend)
        stored = keep(stored, now)
        written.append(draw(choose(scores, t, p)))
        new = unread(ids, written)
    return written


Written = tuple[Array, Array, Array]  # how much was read for each token, its probabilities, the tokens


def with_model(writer: Callable[..., Any]) -> Callable[..., Written]:
    """Let somebody's function write with a case's model, and look at what it did."""

    def written(model: Small, ids: list[int], n_new: int, t: float, p: float, seed: int) -> Written:
        reader = Reader(model)
        draw = Draw(reader, seed)
        tokens = writer(reader, draw, ids, n_new, t, p)
        if len(draw.seen) != n_new:
            raise WrongForm(
                f"It should draw {n_new} tokens, one with each call of `draw`; it drew {len(draw.seen)}."
            )
        return np.array(draw.n_read, np.uint32), np.stack(draw.seen), numbers_of(tokens, tensor=False)

    return written


def sampler_at_work(
    model: Small, ids: list[int], n_new: int, t: float, p: float, seed: int, **changes: Any
) -> Written:
    """What the right function writes."""
    return with_model(lambda *given: write(*given, **changes))(model, ids, n_new, t, p, seed)


def top_p_first(scores: Tensor, t: float, p: float) -> Tensor:
    """The cut is made at temperature 1."""
    kept = top_p(scores.softmax(-1), p) > 0
    return temperature(scores.masked_fill(~kept, -torch.inf), t)


def differ(chances: Tensor, others: Tensor) -> bool:
    """Whether some token is left in one of two choices and not in the other."""
    return bool(((chances > 0) != (others > 0)).any())


def reads_each_once(result: Array, inputs: Mapping[str, Any]) -> str:
    """Where too much or too little was read."""
    if result.dtype.kind != "u":
        return ""
    wanted = [len(inputs["ids"])] + [1] * (inputs["n_new"] - 1)
    for number, (got, right) in enumerate(zip(result.tolist(), wanted, strict=True), start=1):
        if got != right:
            return f"For token {number} it reads {got} tokens, expected {right}: each token is read once."
    return ""


def sampler_at_work_cases(rng: Rng) -> list[Case]:
    def inputs(n_layers: int, n_ids: int, n_new: int, t: float, p: float) -> dict[str, Any]:
        """A text in which no number of `draw`, and no sum of the likeliest, comes near to a border.

        Where both temperature and top-p are at work, their order shows.
        """
        while True:
            known: dict[str, Any] = {
                "model": Small(n_layers, int(rng.integers(1000))),
                "ids": rng.permutation(VOCABULARY)[:n_ids].tolist(),
                "n_new": n_new,
                "t": t,
                "p": p,
                "seed": int(rng.integers(1000)),
            }
            reader = Reader(known["model"])
            draw = Draw(reader, known["seed"])
            tokens = write(reader, draw, known["ids"], n_new, t, p)
            sums = [
                temperature(scores, t).sort(descending=True).values.cumsum(-1) for scores in reader.scores
            ]
            near = min(float((row - p).abs().min()) for row in sums) if t and p < 1 else 1.0
            rows = torch.stack(reader.scores)
            order_tells = t in (0, 1) or p == 1 or differ(top_p_first(rows, t, p), cut_and_scaled(rows, t, p))
            if min(draw.nearest, near) > NEAR and len(set(tokens)) == n_new and order_tells:
                return known

    return [
        Case("two new tokens", inputs(1, 3, 2, 1.0, 0.8)),
        Case("the likeliest", inputs(1, 3, 3, 0.0, 1.0)),
        Case("a prompt of one token", inputs(1, 1, 3, 1.0, 0.9)),
        Case("all tokens to choose from", inputs(1, 2, 3, 0.7, 1.0)),
        Case("hot, and cut", inputs(1, 5, 3, 3.0, 0.5)),
        Case("cold, and cut", inputs(1, 3, 3, 0.6, 0.7)),
        Case("two layers", inputs(2, 5, 4, 2.0, 0.6)),
        Case("one new token", inputs(1, 7, 1, 1.5, 0.75)),
    ]


QUESTION = "Begin a story about a cat who learns to read."
N_TOKENS = 20
SETTINGS = ((1.5, 0.9), (1.5, 1.0))  # t and p: the same heat, with and without the cut
# So many scores go to the learner, whose function may be a slow loop, or compare all with all.
N_LIKELIEST = 2000


def reading_without_cache(n_ids: int, n_new: int) -> int:
    """How many tokens pass through a model that reads the whole text again for each new one."""
    return sum(n_ids + done for done in range(n_new))


@real_model.with_smollm2("write with your cache and your sampler")
def writes_with_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let the learner's function write with SmolLM2: at temperature 0, and drawn; say what the cache saved.

    Raises: WrongForm: its text at temperature 0, its probabilities or its scores are not the model's own.
    """
    device, end = model.lm_head.weight.device, tokenizer.special_tokens["<|im_end|>"]
    ids = tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))
    own = generation.new_tokens(model, torch.tensor([ids], device=device), N_TOKENS, eos_id=end)
    tokens = [int(token) for token in own]
    yield f"{real_model.QUESTION}\nSmolLM2: {''.join(real_model.as_text(tokenizer, tokens))}"
    reader, draw = _written(learner, model, ids, len(tokens), 0.0, 1.0)
    yield f"\nwith your cache, t = 0: {''.join(real_model.as_text(tokenizer, draw.drawn))}"
    if draw.drawn != tokens:
        raise WrongForm("In the real model your function writes another text at t = 0 than the model itself.")
    off, largest = _off(model, ids, draw)
    n_layers = len(model.stack.blocks)
    few, many = sum(reader.n_read), reading_without_cache(len(ids), len(tokens))
    yield (
        f"\nYour cached_step was called {n_layers * len(reader.n_read)} times. {few} tokens passed through "
        f"the model; without a cache {many} would have, {many / few:.1f} times as many. The largest "
        f"difference of a score is {off:.1g}, of scores up to {largest:.0f}.\n"
    )
    ids = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    yield f"\n{QUESTION} (from the {N_LIKELIEST:,} likeliest tokens each time)"
    for t, p in SETTINGS:
        reader, draw = _written(learner, model, ids, N_TOKENS, t, p)
        yield f"\nt = {t:g}, p = {p:g}: {''.join(real_model.as_text(tokenizer, draw.drawn))}"
    few, many = sum(reader.n_read), reading_without_cache(len(ids), N_TOKENS)
    yield (
        f"\nFor each text {few} tokens passed through the model; without a cache {many} would have, "
        f"{many / few:.1f} times as many.\n"
    )


def _written(
    learner: Callable[..., Any], model: GPT, ids: list[int], n_new: int, t: float, p: float
) -> tuple[Reader, Draw]:
    """What the learner's function writes with the real model.

    Raises: WrongForm: it draws from other probabilities than ours, or not as many tokens.
    """
    reader = Reader(functools.partial(reads_on, model), N_LIKELIEST)
    draw = Draw(reader, 0)
    learner(reader, draw, list(ids), n_new, t, p)
    if len(draw.drawn) != n_new:
        raise WrongForm(f"In the real model it draws {len(draw.drawn)} tokens, expected {n_new}.")
    for scores, chances in zip(draw.scores, draw.seen, strict=True):
        best = scores.topk(N_LIKELIEST).indices.sort().values
        expected = cut_and_scaled(scores[best].double(), t, p).cpu().numpy()
        # A token that ties for the last place moves a chance by less.
        if not np.abs(chances - expected).max() < 0.01:
            raise WrongForm("From the real model's scores your function makes other probabilities than ours.")
    return reader, draw


def _off(model: GPT, ids: list[int], draw: Draw) -> tuple[float, float]:
    """How far the scores are from those of the model that reads all at once, and how large these are.

    Raises: WrongForm: too far.
    """
    text = torch.tensor([[*ids, *draw.drawn[:-1]]], device=model.lm_head.weight.device)
    with torch.no_grad():
        expected = model(text)[0, len(ids) - 1 :]
    off = float((torch.stack(draw.scores) - expected).abs().max())
    largest = float(expected.abs().max())
    limit = real_model.FURTHEST * largest
    if not off < limit:
        raise WrongForm(f"In the real model a score is off by {off:.3g}, expected at most {limit:.2g}.")
    return off, largest


PROBABILITIES = (Property("not negative", not_negative), Property("sums to 1", sums_to_one))

TASKS = {
    "temperature": Code(
        reference=temperature,
        cases=temperature_cases,
        properties=(*PROBABILITIES, Property("alone at zero", alone_at_zero)),
    ),
    "top_p": Code(
        reference=top_p,
        cases=top_p_cases,
        properties=(*PROBABILITIES, Property("right number", keeps_the_right_number)),
    ),
    "cached_step": Code(
        reference=cached_step,
        cases=cached_step_cases,
        properties=(Property("stored in order", stored_in_order),),
        results=("mix", "keys", "values"),
    ),
    "sampler_at_work": Code(
        reference=sampler_at_work,
        cases=sampler_at_work_cases,
        properties=(Property("reads each once", reads_each_once),),
        results=("tokens read", "probabilities", "tokens"),
        adapt=with_model,
        finale=writes_with_smollm2,
    ),
}
