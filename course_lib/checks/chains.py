"""The tasks of solutions/08_rnn_comparison/chains.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 08_rnn_comparison.yml. The keyword-only arguments
of a reference are for these mistakes: each changes one thing.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import costs
from course_lib.checks import forms
from course_lib.checks.inputs import Rng, as_double, backwards, draw, in_torch, primes, repeatable
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.values import WrongForm, describe
from course_lib.recurrent import RecurrentLM
from course_lib.training import TrainingConfig, train

Tensor = torch.Tensor
Array = np.ndarray
Graph = Mapping[str, list[str]]  # from each operation to those that it waits for


# ---------------------------------------------------------------------------------------------- longest chain


def in_order(waits_for: Graph) -> list[str]:
    """The operations, each behind all that it waits for."""
    done: list[str] = []
    missing = {name: len(set(others)) for name, others in waits_for.items()}
    after: dict[str, list[str]] = {name: [] for name in waits_for}
    for name, others in waits_for.items():
        for other in set(others):
            after[other].append(name)
    ready = [name for name, n in missing.items() if n == 0]
    while ready:
        name = ready.pop()
        done.append(name)
        for later in after[name]:
            missing[later] -= 1
            if missing[later] == 0:
                ready.append(later)
    return done


def from_inputs(
    waits_for: Graph,
    *,
    join: Callable[[list[int]], int] = max,
    order: Callable[[Graph], Iterable[str]] = in_order,
    own: int = 1,
) -> dict[str, int]:
    """How long the chain of each operation is: its own 1, and the longest of those that it waits for."""
    length: dict[str, int] = {}
    for name in order(waits_for):
        others = [length.get(other, 0) for other in waits_for[name]]
        length[name] = own + join(others) if others else 1
    return length


def longest_chain(waits_for: Graph, **changes: Any) -> int:
    """The number of operations on the longest chain."""
    return max(from_inputs(waits_for, **changes).values())


def by_calling_itself(waits_for: Graph) -> int:
    """Right, and too deep for Python where the chain is."""

    @functools.cache
    def length(name: str) -> int:
        return 1 + max(map(length, waits_for[name]), default=0)

    return max(map(length, waits_for))


def waits_for_in_all(waits_for: Graph) -> int:
    """The most operations that one waits for, directly or not, and itself."""
    all_before: dict[str, set[str]] = {}
    for name in in_order(waits_for):
        all_before[name] = {name}.union(*(all_before[other] for other in waits_for[name]))
    return max(map(len, all_before.values()))


def a_row(names: list[str]) -> dict[str, list[str]]:
    """Each waits for the one before it."""
    return {name: names[max(i - 1, 0) : i] for i, name in enumerate(names)}


def shuffled(rng: Rng, waits_for: Graph) -> dict[str, list[str]]:
    """The same graph in another order: first and last stand, where that is possible, inside a chain."""
    length = from_inputs(waits_for)
    longest = max(length.values())
    best, found, names = -1, list(waits_for), list(waits_for)
    for _ in range(30):
        order = [names[i] for i in rng.permutation(len(names))]
        ends = length[order[0]], length[order[-1]]
        # An end of a longest chain would hide a mistake, an input may look like another one.
        inside = 4 * sum(n < longest for n in ends) + sum(n > 1 for n in ends) + (ends[0] > 1)
        if inside > best:
            best, found = inside, order
        if inside == 11:
            break
    return {name: list(waits_for[name]) for name in found}


def longest_chain_cases(rng: Rng) -> list[Case]:
    def named(n: int) -> list[str]:
        return [f"op{number}" for number in rng.permutation(n).tolist()]

    def by_chance(n: int, most: int, reach: int) -> dict[str, list[str]]:
        """Each waits for up to `most` of the `reach` before it; some wait twice for the same."""
        names = named(n)
        graph: dict[str, list[str]] = {}
        for i, name in enumerate(names):
            near = names[max(i - reach, 0) : i]
            count = int(rng.integers(most + 1)) if near else 0
            graph[name] = [near[k] for k in rng.integers(len(near), size=count).tolist()] if near else []
        return graph

    def recurrent(n_tokens: int) -> dict[str, list[str]]:
        graph: dict[str, list[str]] = {}
        for t in range(n_tokens):
            graph |= {
                f"x{t}": [],
                f"sum{t}": [f"x{t}", f"h{t - 1}"] if t else [f"x{t}"],
                f"h{t}": [f"sum{t}"],
            }
        return graph

    def all_at_once(n_tokens: int) -> dict[str, list[str]]:
        graph: dict[str, list[str]] = {f"x{t}": [] for t in range(n_tokens)}
        for t in range(n_tokens):
            graph |= {f"scores{t}": [f"x{s}" for s in range(t + 1)], f"mix{t}": [f"scores{t}", f"x{t}"]}
        return graph

    def ladder(n_rungs: int) -> dict[str, list[str]]:
        """Two to a rung, each of which waits for both of the rung before: 2 ** n_rungs paths."""
        graph: dict[str, list[str]] = {}
        for rung in range(n_rungs):
            before = [f"left{rung - 1}", f"right{rung - 1}"] if rung else []
            graph |= {f"left{rung}": before, f"right{rung}": before}
        return graph

    short_cut = {"x": [], "norm": ["x"], "attend": ["norm"], "add": ["x", "attend"], "head": ["add", "x"]}
    short_cut["loss"] = ["head", "x"]
    apart = {f"a{i}": others for i, others in enumerate(by_chance(3, 1, 2).values()) if not others}
    apart |= a_row([f"b{i}" for i in range(5)]) | a_row([f"c{i}" for i in range(3)])
    square = {
        "x": [],
        "square": ["x", "x"],
        "sum": ["square", "x"],
        "twice": ["sum", "sum"],
        "end": ["twice"],
    }
    return [
        Case("one operation", {"waits_for": {"x": []}}),
        Case("three in a row", {"waits_for": shuffled(rng, a_row(["x", "y", "z"]))}),
        Case("a short cut", {"waits_for": shuffled(rng, short_cut)}),
        Case("waits twice for the same", {"waits_for": shuffled(rng, square)}),
        Case("three graphs that know nothing of each other", {"waits_for": shuffled(rng, apart)}),
        Case("three that wait for nothing", {"waits_for": {name: [] for name in "abc"}}),
        Case("a recurrent network", {"waits_for": shuffled(rng, recurrent(5))}),
        Case("attention", {"waits_for": shuffled(rng, all_at_once(5))}),
        Case("13 by chance", {"waits_for": shuffled(rng, by_chance(13, 2, 4))}),
        Case("31 by chance", {"waits_for": shuffled(rng, by_chance(31, 3, 7))}),
        Case("many paths", {"waits_for": shuffled(rng, ladder(41))}),
        Case("2,000 in a row", {"waits_for": shuffled(rng, a_row(named(2000)))}),
    ]


# -------------------------------------------------------------------------------------------------- truncated


def into_pieces(n_tokens: int, k: int) -> list[int]:
    """Where a piece begins."""
    return list(range(0, n_tokens, k))


def cut_off(h: Tensor) -> Tensor:
    """The same numbers, and no way back."""
    return h.detach()


def truncated_loss(
    x: Tensor,
    targets: Tensor,
    w: Tensor,
    u: Tensor,
    k: int,
    *,
    starts: Callable[[int, int], list[int]] = into_pieces,
    hand_on: Callable[[Tensor], Tensor] = cut_off,
    counts: Callable[[int, int, int], bool] = lambda t, n_tokens, k: True,
    each: Callable[[Tensor], Tensor] = lambda off: off.square().sum(),
) -> Tensor:
    """The summed squared error of a recurrent network that hands its state on, and no gradient, every k."""
    n_tokens = x.shape[1]
    begins = set(starts(n_tokens, k))
    h = torch.zeros_like(x[:, 0] @ w)
    loss = h.sum()
    for t in range(n_tokens):
        if t in begins:
            h = hand_on(h)
        h = torch.tanh(x[:, t] @ w + h @ u)
        if counts(t, n_tokens, k):
            loss = loss + each(h - targets[:, t])
    return loss


def number_of_pieces(n_tokens: int, k: int) -> int:
    """How many pieces of k there are; the last may be shorter."""
    return -(-n_tokens // k)


def k_back_from_each(x: Tensor, targets: Tensor, w: Tensor, u: Tensor, k: int) -> Tensor:
    """Each token's error reaches k tokens back, its own among them: the states are computed k times."""
    with torch.no_grad():
        states = [torch.zeros_like(x[:, 0] @ w)]
        for t in range(x.shape[1]):
            states.append(torch.tanh(x[:, t] @ w + states[-1] @ u))
    loss = x.new_zeros(())
    for t in range(x.shape[1]):
        first = max(t - k + 1, 0)
        h = states[first]
        for s in range(first, t + 1):
            h = torch.tanh(x[:, s] @ w + h @ u)
        loss = loss + (h - targets[:, t]).square().sum()
    return loss


def truncated_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, d: int, h: int, k: int) -> dict[str, Any]:
        weights = {
            "w": draw(rng, d, h, size=0.6 * d**-0.5).round(2),
            # Near a turn, so that what an early token does is still seen at the end.
            "u": (0.8 * np.linalg.qr(rng.standard_normal((h, h)))[0]).round(3).astype(np.float32),
        }
        return {"x": draw(rng, b, t, d), "targets": draw(rng, b, t, h), **weights, "k": k}

    stored = inputs(2, 5, 3, 2, 3)
    stored = {name: backwards(x) if getattr(x, "ndim", 0) > 1 else x for name, x in stored.items()}
    b, d, h = primes(rng, 2, 3, 5)
    return in_torch(
        [
            Case("one token", inputs(1, 1, 2, 3, 2)),
            Case("two pieces of two", inputs(1, 4, 2, 3, 2), gradients=True),
            Case("the last piece is shorter", inputs(1, 5, 2, 3, 3), gradients=True),
            Case("three pieces, the last of one token", inputs(2, 7, 3, 5, 3), gradients=True),
            Case("pieces of one token", inputs(2, 3, 2, 3, 1), gradients=True),
            Case("one piece, as long as the text", inputs(2, 5, 3, 2, 5), gradients=True),
            Case("one piece, longer than the text", inputs(2, 3, 3, 2, 7), gradients=True),
            Case("a batch", inputs(b, 8, d, h, 3), gradients=True),
            Case("float64", as_double(inputs(3, 5, 2, 3, 2)), gradients=True),
            Case("stored the other way round", stored, gradients=True),
        ]
    )


# ------------------------------------------------------------------------------------------------ linear scan

LONG = 1009  # tokens of the case whose chain is counted
MOST_IN_A_ROW = 300  # operations: a loop has at least two for each token


Combine = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def one_after_the_other(a_before: Tensor, b_before: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two steps in one: first h -> a_before h + b_before, then h -> a h + b."""
    return a * a_before, a * b_before + b


def doubling(n_tokens: int) -> list[int]:
    """1, 2, 4, ... as long as a token stands so far back."""
    return [2**i for i in range((n_tokens - 1).bit_length())]


def from_before(x: Tensor, shift: int, fill: float) -> Tensor:
    """What stands so many tokens earlier."""
    return torch.cat([torch.full_like(x[:, :shift], fill), x[:, : x.shape[1] - shift]], 1)


def scan(
    a: Tensor,
    b: Tensor,
    *,
    combine: Combine = one_after_the_other,
    shifts: Callable[[int], list[int]] = doubling,
    earlier: Callable[[Tensor, int, float], Tensor] = from_before,
) -> Tensor:
    """h_t = a_t h_(t - 1) + b_t in log2 T rounds (Hillis and Steele 1986)."""
    for shift in shifts(a.shape[1]):
        a, b = combine(earlier(a, shift, 1.0), earlier(b, shift, 0.0), a, b)
    return b


Scanned = tuple[Any, Tensor]  # the states, and whether they come step after step


def linear_scan(a: Tensor, b: Tensor, *, chain: int = 0, **changes: Any) -> Scanned:
    """The states; and 1 where the chain is too long, which the right one never is."""
    return scan(a, b, **changes), torch.tensor(chain)


def with_chain(learner: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Scanned]:
    """Somebody's function, and in the long case whether its chain is too long."""

    def scanned(a: Tensor, b: Tensor) -> Scanned:
        if a.shape[1] < LONG:
            return learner(a, b), torch.tensor(0)
        states = learner(a.clone().requires_grad_(), b.clone().requires_grad_())
        if not isinstance(states, Tensor):
            return states, torch.tensor(0)
        if states.grad_fn is None:
            raise WrongForm(
                "The chain cannot be counted, because torch has not recorded how the states were made: use "
                "torch's operations alone, and neither detach() nor no_grad()."
            )
        return states.detach(), torch.tensor(int(costs.longest_chain(states) > MOST_IN_A_ROW))

    return scanned


def too_long(a: Tensor) -> int:
    """What is said of a loop: 1 in the long case."""
    return int(a.shape[1] >= LONG)


def divided(a: Tensor, b: Tensor) -> Tensor:
    """By running products; 0 / 0 where one is 0."""
    products = a.cumprod(1)
    return products * (b / products).cumsum(1)


def by_logarithms(a: Tensor, b: Tensor) -> Tensor:
    """The same through logarithms, which negative numbers lack."""
    products = a.log().cumsum(1).exp()
    return products * (b / products).cumsum(1)


def a_first(a_before: Tensor, b_before: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The new a is taken for b too."""
    return a * a_before, a * a_before * b_before + b


def stays_at_the_front(result: Array, inputs: Mapping[str, Any]) -> str:
    """Whether the first state is the first b."""
    b = np.asarray(inputs["b"])
    if result.shape != b.shape or np.allclose(result[:, 0], b[:, 0], rtol=1e-5, atol=1e-5):
        return ""
    return "The first state is not b of the first token: before it, the state is 0."


def linear_scan_cases(rng: Rng) -> list[Case]:
    def inputs(n_rows: int, t: int, d: int, *, size: float = 1.0, negative: bool = False) -> dict[str, Any]:
        a = rng.uniform(0.3, 1.1, (n_rows, t, d))
        if negative:
            a *= rng.choice([-1, 1], a.shape)
        b = size * np.sign(rng.standard_normal(a.shape)) * rng.uniform(0.3, 2, a.shape)
        digits = 1 if a.size <= 30 else 4
        return {"a": a.round(digits).astype(np.float32), "b": b.round(digits).astype(np.float32)}

    def with_zeros() -> dict[str, Any]:
        known = inputs(2, 7, 3)
        known["a"][:, 3] = 0
        return known

    def tiny() -> dict[str, Any]:
        known = inputs(2, 13, 3)
        known["a"] *= np.float32(1e-6)
        return known

    long = inputs(1, LONG, 2)
    long["a"] = rng.uniform(0.2, 0.95, long["a"].shape).astype(np.float32)
    stored = {name: backwards(x) for name, x in inputs(3, 7, 5, negative=True).items()}
    b, d = primes(rng, 2, 3)
    return in_torch(
        [
            Case("one token", inputs(1, 1, 2)),
            Case("two tokens", inputs(1, 2, 1)),
            Case("three tokens", inputs(1, 3, 2)),
            Case("five tokens", inputs(1, 5, 2)),
            Case("a is 0 at one token", with_zeros()),
            Case("a below 0", inputs(2, 7, 3, negative=True)),
            Case("everything square", inputs(3, 3, 3, negative=True)),
            Case("eight tokens", inputs(2, 8, 3)),
            Case("eleven tokens", inputs(b, 11, d)),
            Case("a of a millionth", tiny()),
            Case("large numbers", inputs(2, 13, 3, size=1e4)),
            Case("float64", as_double(inputs(3, 17, 2, negative=True))),
            Case("stored column by column", stored),
            Case("many tokens", long),
        ]
    )


# ------------------------------------------------------------------------------------------------ recall race

VOCABULARY = 17  # tokens of the race: the question, 8 to be recalled, 8 that mean nothing
FAR = 64  # tokens back
MOST_PARAMETERS = 15_000
CONFIG = TrainingConfig(steps=250, warmup_steps=25, learning_rate=3e-3)
ROWS = 32
# In training, in turn. Shorter ones would show the LSTM the way: with 4 it learns 64 too, at some seeds.
DISTANCES = (8, 16, 32, FAR)
SHOWN = (8, 16, FAR)
TARGET = 0.6  # of the questions at the far distance; chance is 1 / 8
REACHES = 1e-4  # of what the token before the question does
FADES = 0.3

Maker = Callable[[int], Any]


class Questions(NamedTuple):
    """Texts that end in a question, and the token that answers it."""

    ids: Tensor  # (B, T)
    answers: Tensor  # (B,)


def questions(n_rows: int, distance: int, vocab_size: int, generator: torch.Generator) -> Questions:
    """A token to be recalled, others, then the question 0: it stands `distance` tokens behind the first."""
    n = (vocab_size - 1) // 2
    answers = torch.randint(1, n + 1, (n_rows,), generator=generator)
    others = torch.randint(n + 1, 2 * n + 1, (n_rows, distance - 1), generator=generator)
    return Questions(
        torch.cat([answers[:, None], others, torch.zeros(n_rows, 1, dtype=torch.long)], 1), answers
    )


def recall_loss(model: nn.Module, batch: Questions) -> Tensor:
    """The cross-entropy at the question alone."""
    return F.cross_entropy(model(batch[0])[:, -1], batch[1])


def made_by(make: Maker, vocab_size: int, seed: int) -> nn.Module:
    """A learner's model, with the same start for the same seed.

    Raises: WrongForm: it is no module, or nothing in it can learn.
    """
    with repeatable(seed):
        model = make(vocab_size)
    if not isinstance(model, nn.Module):
        raise WrongForm(f"The function must return a torch.nn.Module; it returns {describe(model)}.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise WrongForm("The model has no parameters that can learn.")
    return model


def scores_of(model: nn.Module, ids: Tensor, vocab_size: int) -> Tensor:
    """What the model gives.

    Raises: WrongForm: not a score for each token of the vocabulary at each place, or no numbers.
    """
    scores = model(ids)
    if not isinstance(scores, Tensor):
        raise WrongForm(f"The model must return a tensor of scores; it returns {describe(scores)}.")
    wanted = (*ids.shape, vocab_size)
    if tuple(scores.shape) != wanted:
        raise WrongForm(
            f"For {vocab_size} tokens and ids {tuple(ids.shape)} the scores have shape "
            f"{tuple(scores.shape)}, expected {wanted}."
        )
    if not scores.isfinite().all():
        raise WrongForm("Some scores are infinite or not a number.")
    return scores


Facts = dict[str, Any]
RIGHT: Facts = {
    "parameters": f"at most {MOST_PARAMETERS:,}",
    "made anew": True,
    "gives": "scores",
    "sees later tokens": False,
    "sees other texts": False,
    "the first token": "reaches the question",
}


def recall_race(vocab_size: int, seed: int) -> Facts:
    """What is true of a model that may race."""
    return dict(RIGHT)


def looked_at(make: Maker) -> Callable[[int, int], Facts]:
    """From somebody's function to what is true of its models."""

    def facts(vocab_size: int, seed: int) -> Facts:
        model, second = (made_by(make, vocab_size, seed + i) for i in range(2))
        same = {id(parameter) for parameter in model.parameters()}
        n_parameters = sum(parameter.numel() for parameter in model.parameters())
        generator = torch.Generator().manual_seed(seed)
        with repeatable(seed):
            _three_steps(model, vocab_size, generator)
            model.eval()
            with torch.no_grad():
                seen = _what_is_seen(model, vocab_size, generator)
        few = n_parameters <= MOST_PARAMETERS
        return {
            "parameters": RIGHT["parameters"] if few else f"more than {MOST_PARAMETERS:,}",
            "made anew": not any(id(parameter) in same for parameter in second.parameters()),
            **seen,
        }

    return facts


def _three_steps(model: nn.Module, vocab_size: int, generator: torch.Generator) -> None:
    """A little training, because a branch may begin with zeros and see nothing yet."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=CONFIG.learning_rate)
    for distance in (4, 8, 4):
        batch = questions(8, distance, vocab_size, generator)
        scores = scores_of(model, batch.ids, vocab_size)
        if not scores.requires_grad:
            raise WrongForm("The scores do not depend on the parameters: nothing could be learned.")
        optimizer.zero_grad()
        F.cross_entropy(scores[:, -1], batch.answers).backward()
        optimizer.step()


def _what_is_seen(model: nn.Module, vocab_size: int, generator: torch.Generator) -> Facts:
    """What the scores of a model depend on."""
    ids = questions(5, FAR, vocab_size, generator).ids
    scores = scores_of(model, ids, vocab_size)
    size = float(scores.abs().max())
    changed = exchanged(ids, -1, vocab_size)
    later = float((scores_of(model, changed, vocab_size) - scores)[:, :-1].abs().max())
    others = torch.cat([ids[:1], exchanged(ids, 0, vocab_size)[1:]])
    texts = float((scores_of(model, others, vocab_size) - scores)[0].abs().max())
    chances = bool((scores >= 0).all()) and bool((scores.sum(-1) - 1).abs().max() < 1e-3)
    return {
        "gives": "probabilities" if chances else RIGHT["gives"],
        "sees later tokens": later > 1e-4 * size,
        "sees other texts": texts > 1e-4 * size,
        "the first token": _reach(model, vocab_size, generator),
    }


def exchanged(ids: Tensor, place: int, vocab_size: int) -> Tensor:
    """The same texts with another token at one place."""
    others = ids.clone()
    others[:, place] = others[:, place] % (vocab_size - 1) + 1
    return others


def _reach(model: nn.Module, vocab_size: int, generator: torch.Generator) -> str:
    """Whether the scores at the question depend on the first token, and how that ends if they do not."""

    def moved(ids: Tensor, place: int) -> float:
        before = scores_of(model, ids, vocab_size)[:, -1]
        return float((scores_of(model, exchanged(ids, place, vocab_size), vocab_size)[:, -1] - before).norm())

    far, near = (questions(5, distance, vocab_size, generator).ids for distance in (FAR, 8))
    one_before = moved(far, -2)
    first, eighth = moved(far, 0), moved(near, 0)
    if first > REACHES * one_before and first > 0:
        return RIGHT["the first token"]
    if one_before == 0 and eighth == 0:
        return "is not seen, nor any other before the question"
    return "fades on the way" if 0 < eighth < FADES * one_before else "is too far back to be seen"


def recall_race_cases(rng: Rng) -> list[Case]:
    def inputs(vocab_size: int) -> dict[str, Any]:
        return {"vocab_size": vocab_size, "seed": int(rng.integers(1000))}

    return [Case(f"{n} tokens", inputs(n)) for n in (VOCABULARY, 11)]


def trained(make: Maker) -> tuple[float, ...]:
    """Train a model, and say which share of the questions it answers at each distance that is shown."""
    model = made_by(make, VOCABULARY, 0)
    generator = torch.Generator().manual_seed(0)

    def batch(step: int) -> Questions:
        return questions(ROWS, DISTANCES[step % len(DISTANCES)], VOCABULARY, generator)

    with repeatable(0):
        train(model, batch, recall_loss, CONFIG, progress=False)
    model.eval()
    shares = []
    with torch.no_grad():
        for distance in SHOWN:
            asked = questions(512, distance, VOCABULARY, generator)
            said = scores_of(model, asked.ids, VOCABULARY)[:, -1].argmax(-1)
            shares.append(float((said == asked.answers).float().mean()))
    return tuple(shares)


def given_lstm(vocab_size: int) -> nn.Module:
    """The one to beat, with torch's start; 36 wide, 11,880 parameters."""
    return RecurrentLM(vocab_size, 36, 1, "lstm")


@functools.cache
def lstm_shares() -> tuple[float, ...]:
    """What it reaches; trained once."""
    return trained(given_lstm)


def races(learner: Maker) -> Iterator[str]:
    """Train the learner's model beside the LSTM, and show which share of the questions each answers.

    Raises: WrongForm: it answers too few.
    """
    yield f"{CONFIG.steps} steps of {ROWS} texts each; chance is {1 / 8:.1%}.\n"
    theirs = lstm_shares()
    ours = trained(learner)
    yield f"{'tokens back':>12}{'LSTM':>8}{'yours':>8}\n"
    for distance, lstm, share in zip(SHOWN, theirs, ours, strict=True):
        yield f"{distance:>12}{lstm:>8.0%}{share:>8.0%}  {'#' * math.ceil(20 * share)}\n"
    if ours[-1] < TARGET or ours[-1] <= theirs[-1]:
        raise WrongForm(
            f"Asked for what was said {FAR} tokens ago, your model is right in {ours[-1]:.0%} of the texts, "
            f"expected at least {TARGET:.0%}, and more than the LSTM's {theirs[-1]:.0%}. {SHOWN[0]} tokens "
            f"back it is right in {ours[0]:.0%}."
        )


TASKS = {
    "longest_chain": Code(reference=longest_chain, cases=longest_chain_cases),
    "truncated_loss": Code(reference=truncated_loss, cases=truncated_cases, tensor=True),
    "linear_scan": Code(
        reference=linear_scan,
        cases=linear_scan_cases,
        properties=(Property("first state", stays_at_the_front),),
        results=("states", "step after step"),
        adapt=with_chain,
        tensor=True,
    ),
    "recall_race": Code(
        reference=recall_race,
        cases=recall_race_cases,
        read=forms.contents,
        adapt=looked_at,
        finale=races,
    ),
}
