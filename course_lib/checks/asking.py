"""The tasks of solutions/07_mlm_vs_next_token/asking.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 07_mlm_vs_next_token.yml. The keyword-only arguments
of a reference are for these mistakes: each changes one thing. Where an answer draws by chance, much is drawn,
and what is compared is a report: what was found, in words that are the same for every right answer.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from course_lib.checks.call import each
from course_lib.checks.inputs import (
    Rng,
    all_different,
    as_double,
    backwards,
    draw,
    in_torch,
    primes,
    repeatable,
)
from course_lib.checks.kinds import Case, Code
from course_lib.checks.values import Parts, WrongForm, boxed, describe
from course_lib.objectives import IGNORE

Tensor = torch.Tensor
Array = np.ndarray
Report = dict[str, str]  # what was looked at -> what was found

SKIPPED = "not looked at"
FIXED = "always the same, whatever the seed"


class Lines(Report):
    """A report that is shown one line for each entry."""

    def __repr__(self) -> str:
        return "".join(f"\n    {what}: {found}" for what, found in self.items())


def as_lines(report: Report) -> Parts:
    """A report as the result of an answer."""
    return {"result": boxed(Lines(report))}


@dataclass(frozen=True, repr=False)
class Seed:
    """Of the generator that the learner's function gets."""

    number: int

    def __repr__(self) -> str:
        return f"a generator with the seed {self.number}"


def source(first: Any, again: Any, other: Any, nothing: Any) -> str:
    """Where random numbers come from, by what two calls with one seed gave, and one with another.

    Args:
        nothing: what is the same whatever was drawn, because there was nothing to choose.
    """
    if first == nothing:
        return "the generator"
    if first != again:
        return "not the generator: with the same seed something else comes"
    return FIXED if first == other else "the generator"


def nearest(value: float, known: Iterable[float], room: float) -> float:
    """The one of some numbers that is closest, or the value itself where that is too far."""
    best = min(known, key=lambda number: abs(number - value))
    return best if abs(best - value) < room else value


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.3g} %"


# ------------------------------------------------------------------------------------------------ mask tokens

MANY = 20_000  # of so many tokens and more, shares are measured
KINDS = ("asked, now the mask", "asked, now another token", "asked, still as it was")
# What is measured -> the right share, six standard deviations of what chance does to it in 30,000 tokens, and
# the shares that known mistakes have.
SHARES: dict[str, tuple[float, float, tuple[float, ...]]] = {
    "ordinary tokens asked": (0.15, 0.0125, (0, 0.25, 0.8, 0.85, 1)),
    KINDS[0]: (0.8, 0.04, (0, 0.1, 0.89, 1)),
    KINDS[1]: (0.1, 0.028, (0, 0.2, 0.8)),
    KINDS[2]: (0.1, 0.028, (0, 0.2, 0.9, 1)),
}
TOLD_APART = 0.04  # shares of mistakes are farther from each other, and chance moves them by less

Choice = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]


def by_chance(
    ids: Tensor, ordinary: Tensor, generator: torch.Generator | None, share: float = 0.15
) -> Tensor:
    """15 % of the ordinary tokens."""
    return (torch.rand(ids.shape, generator=generator) < share) & ordinary


def special_too(ids: Tensor, ordinary: Tensor, generator: torch.Generator | None) -> Tensor:
    """15 % of all tokens."""
    return by_chance(ids, torch.ones_like(ordinary), generator)


def of_all_places(ids: Tensor, ordinary: Tensor, generator: torch.Generator | None) -> Tensor:
    """So many ordinary tokens as are 15 % of all places."""
    return by_chance(ids, ordinary, generator, 0.15 / max(float(ordinary.double().mean()), 0.15))


def same_columns(ids: Tensor, ordinary: Tensor, generator: torch.Generator | None) -> Tensor:
    """15 % of the places of a row, the same in every row."""
    return (torch.rand(ids.shape[-1], generator=generator) < 0.15) & ordinary


def first_of_rows(ids: Tensor, ordinary: Tensor, generator: torch.Generator | None) -> Tensor:
    """The first 15 % of each row."""
    return (torch.arange(ids.shape[-1]) < 0.15 * ids.shape[-1]) & ordinary


def any_token(ids: Tensor, vocab_size: int, generator: torch.Generator | None) -> Tensor:
    """Any token of the vocabulary, for each place."""
    return torch.randint(vocab_size, ids.shape, generator=generator)


def one_token(ids: Tensor, vocab_size: int, generator: torch.Generator | None) -> Tensor:
    """The same for all places."""
    return torch.randint(vocab_size, (1,), generator=generator).expand(ids.shape)


def special_token(ids: Tensor, vocab_size: int, generator: torch.Generator | None) -> Tensor:
    """One of the special tokens, which are the first three."""
    return any_token(ids, 3, generator)


def token_of_text(ids: Tensor, vocab_size: int, generator: torch.Generator | None) -> Tensor:
    """The tokens of the text, shuffled."""
    return ids.flatten()[torch.randperm(ids.numel(), generator=generator)].view_as(ids)


def tokens_asked(ids: Tensor, inputs: Tensor, chosen: Tensor) -> Tensor:
    """The tokens of before where one was chosen."""
    return torch.where(chosen, ids, IGNORE)


def hide(
    ids: Tensor,
    mask_id: int,
    vocab_size: int,
    special_ids: Collection[int],
    generator: torch.Generator | None,
    *,
    choose: Choice = by_chance,
    shares: tuple[float, float] = (0.8, 0.1),
    changes: Callable[[Tensor, Tensor], Tensor] = lambda chosen, ordinary: chosen,
    other: Callable[[Tensor, int, torch.Generator | None], Tensor] = any_token,
    ask: Callable[[Tensor, Tensor, Tensor], Tensor] = tokens_asked,
    drawn_from: Callable[[torch.Generator | None], torch.Generator | None] = lambda generator: generator,
) -> tuple[Tensor, Tensor]:
    """Inputs and targets.

    Args:
        choose: where to ask.
        shares: of those, how many become the mask, and how many another token.
        changes: from the chosen and the ordinary places to those where another token may be put.
        other: the other tokens.
        ask: from ids, inputs and chosen places to targets.
        drawn_from: the generator that is used in place of the given one.
    """
    generator = drawn_from(generator)
    ordinary = ~torch.isin(ids, torch.tensor(sorted(special_ids)))
    chosen = choose(ids, ordinary, generator)
    dice = torch.rand(ids.shape, generator=generator)
    masked = chosen & (dice < shares[0])
    another = changes(chosen, ordinary) & (dice >= shares[0]) & (dice < sum(shares))
    inputs = torch.where(another, other(ids, vocab_size, generator), ids).masked_fill(masked, mask_id)
    return inputs, ask(ids, inputs, chosen)


def mask_tokens(
    ids: Tensor, mask_id: int, vocab_size: int, special_ids: list[int], generator: Seed, **options: Any
) -> Report:
    """What is found where tokens are hidden as Devlin et al. 2019 do (task 1); `options` as in `hide`."""
    return report_of_masking(partial(hide, **options))(ids, mask_id, vocab_size, special_ids, generator)


def report_of_masking(learner: Callable[..., Any]) -> Callable[..., Report]:
    """Let a function hide tokens, and report what it did."""

    def report(ids: Tensor, mask_id: int, vocab_size: int, special_ids: list[int], generator: Seed) -> Report:
        before = ids.clone()

        def drawn(ids: Tensor, seed: int) -> tuple[Tensor, Tensor]:
            answer = learner(ids, mask_id, vocab_size, special_ids, torch.Generator().manual_seed(seed))
            return two_of_whole_numbers(answer, before.shape)

        with repeatable(generator.number + 1_000_000):  # others than those of the generator
            inputs, targets = drawn(ids, generator.number)
            found = {"numbers drawn from": "the generator"}
            if ids.numel() < MANY:
                again, other = (drawn(before.clone(), generator.number + more) for more in (0, 1))
                unasked = before, torch.full_like(before, IGNORE)
                first, *others = (
                    (one.tolist(), two.tolist()) for one, two in ((inputs, targets), again, other, unasked)
                )
                found["numbers drawn from"] = source(first, *others)
        special = torch.isin(before, torch.tensor(special_ids))
        rest = masking(before, inputs, targets, special, mask_id, vocab_size)
        return found | (dict.fromkeys(rest, SKIPPED) if FIXED in found.values() else rest)

    return report


def two_of_whole_numbers(answer: Any, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """The inputs and targets that an answer is made of.

    Raises: WrongForm: it is not two tensors of whole numbers of this shape.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise WrongForm(f"It must return two tensors, inputs and targets, but got {describe(answer)}.")
    for name, value in zip(("inputs", "targets"), answer, strict=True):
        if not isinstance(value, Tensor) or value.shape != shape:
            raise WrongForm(
                f"{name} must be a tensor of the shape of ids, {tuple(shape)}, but got {describe(value)}."
            )
        if value.is_floating_point() or value.dtype == torch.bool:
            raise WrongForm(f"{name} must be whole numbers, as token ids are, but has dtype {value.dtype}.")
    return answer[0].long(), answer[1].long()


def masking(
    ids: Tensor, inputs: Tensor, targets: Tensor, special: Tensor, mask_id: int, vocab_size: int
) -> Report:
    """What was hidden and asked, in words."""
    asked = targets != IGNORE
    hidden, kept = asked & (inputs == mask_id), asked & (inputs == ids)
    kinds = dict(zip(KINDS, (hidden, asked & ~hidden & ~kept, kept), strict=True))
    found = {
        "places asked": where_asked(asked, ~special),
        "special tokens asked": amount(asked[special]),
        "ordinary tokens asked": amount(asked[~special]),
        "targets where asked": what_is_asked(targets[asked], ids[asked], inputs[asked]),
        "inputs where not asked": "as in ids" if torch.equal(inputs[~asked], ids[~asked]) else "changed",
        **{name: amount(kind[asked]) for name, kind in kinds.items()},
        "other tokens": other_tokens(inputs[kinds[KINDS[1]]], ids, ids[special], vocab_size),
    }
    if found["places asked"] != "by chance":
        return {name: said if name == "places asked" else SKIPPED for name, said in found.items()}
    if ids.numel() >= MANY:
        values = [asked[~special], *(kind[asked] for kind in kinds.values())]
        found |= in_percent({name: share_of(one) for name, one in zip(SHARES, values, strict=True)})
    return found


def share_of(values: Tensor) -> float:
    """The share of true ones, of none 0."""
    return float(values.double().mean()) if len(values) else 0.0


def in_percent(measured: Mapping[str, float]) -> Report:
    """Shares in words that are the same whenever the same was meant."""
    rounded = {
        name: nearest(measured[name], (right, *others), TOLD_APART)
        for name, (right, _, others) in SHARES.items()
    }
    # A smaller difference tells something only where nothing else is wrong.
    seem_right = all(rounded[name] == right for name, (right, *_) in SHARES.items())
    off = {name for name, (right, room, _) in SHARES.items() if abs(measured[name] - right) > room}
    return {name: percent(measured[name] if seem_right and name in off else rounded[name]) for name in SHARES}


def what_is_asked(targets: Tensor, ids: Tensor, inputs: Tensor) -> str:
    """What the targets are."""
    if torch.equal(targets, ids):
        return "as in ids"
    if torch.equal(targets, inputs):
        return "as in the inputs"
    strange = targets[targets != ids].unique()
    return f"as in ids or {int(strange)}" if len(strange) == 1 else "something else"


def amount(values: Tensor) -> str:
    """How many of some truth values are true."""
    if not values.any():
        return "none"
    return "all" if values.all() else "some"


def where_asked(asked: Tensor, ordinary: Tensor) -> str:
    """How the places were chosen, as far as they show it."""
    asked = asked & ordinary
    open_ = ordinary & ~asked
    if not asked.any() or not open_.any():
        return "by chance"
    if len(asked) > 1 and not (asked.any(0) & open_.any(0)).any():
        return "the same in each row"
    n = asked.shape[1]
    columns = torch.arange(n)
    last = torch.where(asked, columns, -1).amax(1)
    first_open = torch.where(open_, columns, n).amin(1)
    return "the first of each row" if (last < first_open).all() else "by chance"


def other_tokens(others: Tensor, text: Tensor, special: Tensor, vocab_size: int) -> str:
    """Where the tokens come from that were put in."""
    if not len(others):
        return "none"
    if others.min() < 0 or others.max() >= vocab_size:
        return "from outside the vocabulary"
    if len(others.unique()) == 1:
        return "always the same"
    for said, tokens in {"special ones only": special, "from the text only": text}.items():
        if torch.isin(others, tokens).all():
            return said
    n_parts = min(8, 1 + len(others) // 30)  # so many that chance leaves none of them out
    parts = (others * n_parts // vocab_size).unique()
    return "from the whole vocabulary" if len(parts) == n_parts else "from a part of the vocabulary"


NAMES = ("ids", "mask_id", "vocab_size", "special_ids", "generator")


def mask_tokens_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, special: float = 0.25) -> dict[str, Any]:
        vocab_size, special_ids = 997, [0, 1, 2]
        # The text has a third of the vocabulary, so that it shows where other tokens come from.
        ids = rng.integers(len(special_ids), vocab_size // 3, size=shape)
        ids = np.where(rng.random(shape) < special, rng.choice(special_ids, shape), ids)
        mask_id = int(rng.integers(vocab_size // 3, vocab_size))
        seed = Seed(int(rng.integers(10_000)))
        return dict(zip(NAMES, (ids, mask_id, vocab_size, special_ids, seed), strict=True))

    stored = inputs(13, 211)
    return in_torch(
        [
            Case("two rows of 1,499", inputs(2, 1499)),
            Case("many rows of 101", inputs(31, 101)),
            Case("one row", inputs(1, 2503)),
            Case("more special tokens than others", inputs(17, 307, special=0.6)),
            Case("special tokens only", inputs(7, 307, special=1.0)),
            Case("stored column by column", {**stored, "ids": backwards(stored["ids"])}),
            Case("52,841 tokens: what share of them?", inputs(53, 997, special=0.4)),
        ]
    )


# ------------------------------------------------------------------------------------------------ masked loss


def log_chances(logits: Tensor) -> Tensor:
    """The log-softmax of each place."""
    return logits - logits.logsumexp(-1, keepdim=True)


def mean_of_asked(losses: Tensor, asked: Tensor) -> Tensor:
    """The mean of the losses where something is asked; 0 where nothing is."""
    return (losses * asked).sum() / asked.sum().clamp(min=1)


def masked_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore: int = IGNORE,
    logs: Callable[[Tensor], Tensor] = log_chances,
    average: Callable[[Tensor, Tensor], Tensor] = mean_of_asked,
    sign: float = -1.0,
) -> Tensor:
    """The mean surprise at what was asked (Devlin et al. 2019, appendix A.2)."""
    asked = targets != ignore
    places = targets.clamp(min=0)[..., None]
    return average(sign * logs(logits).gather(-1, places)[..., 0], asked)


def mean_of_rows(losses: Tensor, asked: Tensor) -> Tensor:
    """The mean of the means of the rows in which something is asked."""
    rows = (losses * asked).sum(-1) / asked.sum(-1).clamp(min=1)
    return rows.sum() / asked.any(-1).sum().clamp(min=1)


def masked_loss_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, v: int, share: float = 0.5, size: float = 1.0) -> dict[str, Array]:
        """Rows in which unequal numbers of places are asked, if not none or all; token 0 is asked too."""
        targets = rng.integers(v, size=(b, t))
        targets[0, :2] = 0, v - 1
        asked = rng.random((b, t)) < share
        if 0 < share < 1:
            asked[0, :2] = True
            asked[1:][-1:] = np.arange(t) == 0  # of the last row, unless it is the first
        targets[~asked] = IGNORE
        return {"logits": draw(rng, b, t, v, size=size), "targets": targets}

    one = inputs(3, 5, 7, share=0.0)
    one["targets"][1, 2] = 4
    last_row = inputs(2, 3, 5)
    last_row["targets"][-1] = IGNORE
    stored = inputs(5, 3, 7)
    t, v = primes(rng, 5, 7)
    return in_torch(
        [
            Case("two rows of three tokens", inputs(2, 3, 5), gradients=True),
            Case("one row", inputs(1, 5, 3)),
            Case("a batch", inputs(3, t, v), gradients=True),
            Case("as many tokens as the vocabulary has", inputs(5, 5, 5)),
            Case("nothing asked in a row", last_row, gradients=True),
            Case("one place asked", one, gradients=True),
            Case("everything asked", inputs(2, 5, 7, share=1.0)),
            Case("nothing asked: 0", inputs(2, 3, 5, share=0.0)),
            Case("logits of 1000", inputs(3, 5, 7, size=1000.0), gradients=True),
            Case("float64", as_double(inputs(2, 5, 11))),
            Case("stored column by column", {name: backwards(x) for name, x in stored.items()}),
        ]
    )


# ---------------------------------------------------------------------------------------------- shift targets


def shift_targets(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Each token and the one that follows it."""
    return ids[:, :-1], ids[:, 1:]


def shift_targets_cases(rng: Rng) -> list[Case]:
    def ids(b: int, t: int) -> dict[str, Array]:
        return {"ids": all_different(rng, b, t).astype(np.int64)}

    b, t = primes(rng, 5, 11)
    return in_torch(
        [
            Case("one row of five tokens", ids(1, 5)),
            Case("two rows", ids(2, 3)),
            Case("as many rows as tokens", ids(5, 5)),
            Case("more rows than tokens", ids(7, 3)),
            Case("a batch", ids(b, t)),
            Case("two tokens in a row", ids(3, 2)),
            Case("stored column by column", {"ids": backwards(ids(3, 7)["ids"])}),
        ]
    )


# --------------------------------------------------------------------------------------------- sentence pairs

Documents = list[list[str]]
Pair = tuple[str, str, bool]
N_PAIRS = 2000  # so many are drawn in each case, and more
N_AGAIN = 30  # so many draws are repeated with the same seed, and with another
BY_CHANCE = "by chance for each pair"
HALF = 0.07  # a right share of 2,000 labels is off by less: six standard deviations

PairKind = Callable[[Documents, int, int, random.Random], str]


def of_another(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """Any sentence of the other documents."""
    return rng.choice([s for i, document in enumerate(documents) if i != d for s in document])


def of_all(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """Any sentence of all documents."""
    return rng.choice([s for document in documents for s in document])


def of_all_but_next(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """Any sentence but the two that follow each other."""
    pair = documents[d][n : n + 2]
    return rng.choice([s for document in documents for s in document if s not in pair])


def of_the_same(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """Any other sentence of the same document, as far as it has one."""
    others = [s for i, s in enumerate(documents[d]) if i not in (n, n + 1)]
    return rng.choice(others or documents[d][n : n + 1])


def first_of_another(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """The first sentence of another document."""
    return rng.choice([document[0] for i, document in enumerate(documents) if i != d])


def of_the_next_document(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """Any sentence of the document that follows."""
    return rng.choice(documents[(d + 1) % len(documents)])


def always_the_same(documents: Documents, d: int, n: int, rng: random.Random) -> str:
    """The first sentence of the text, or of the second document."""
    return documents[0 if d else 1][0]


def by_chance_for_each(rng: random.Random, n: int) -> list[bool]:
    """A label for each pair of a document."""
    return [rng.random() < 0.5 for _ in range(n)]


def one_for_all(rng: random.Random, n: int) -> list[bool]:
    """One label for all pairs of a document."""
    return [rng.random() < 0.5] * n


def in_turn(rng: random.Random, n: int) -> list[bool]:
    """True, False, True and so on."""
    return [i % 2 == 0 for i in range(n)]


def always(rng: random.Random, n: int) -> list[bool]:
    """True for all."""
    return [True] * n


def never(rng: random.Random, n: int) -> list[bool]:
    """False for all."""
    return [False] * n


def pairs_of(
    documents: Documents,
    rng: random.Random,
    *,
    labels: Callable[[random.Random, int], list[bool]] = by_chance_for_each,
    other: PairKind = of_another,
    once: bool = False,
    places: Callable[[int], Iterable[int]] = lambda length: range(length - 1),
    drawn_from: Callable[[random.Random], random.Random] = lambda rng: rng,
) -> list[Pair]:
    """A pair for each sentence that has a next one.

    Args:
        labels: of the pairs of a document: is it the next?
        other: what stands in the place of the next.
        once: whether that is drawn once for a document.
        places: of the first sentences, in a document of so many.
        drawn_from: the generator that is used in place of the given one.
    """
    rng = drawn_from(rng)
    pairs = []
    for d, document in enumerate(documents):
        n_pairs = len(list(places(len(document))))
        others = [other(documents, d, n, rng) for n in places(len(document))]
        for n, label, drawn in zip(places(len(document)), labels(rng, n_pairs), others, strict=True):
            pairs.append((document[n], document[n + 1] if label else others[0] if once else drawn, label))
    return pairs


def across_borders(documents: Documents, rng: random.Random) -> list[Pair]:
    """As if all documents were one, but what is not the next is of another."""
    text = [(sentence, d) for d, document in enumerate(documents) for sentence in document]
    pairs = []
    for (first, d), (second, _) in pairwise(text):
        label = rng.random() < 0.5
        pairs.append((first, second if label else of_another(documents, d, 0, rng), label))
    return pairs


def both_kinds(documents: Documents, rng: random.Random) -> list[Pair]:
    """Two pairs for each sentence."""
    next_, other = (pairs_of(documents, rng, labels=labels) for labels in (always, never))
    return [pair for pairs in zip(next_, other, strict=True) for pair in pairs]


def exchanged(documents: Documents, rng: random.Random) -> list[Pair]:
    """What is not the next is the same pair, the other way round."""
    pairs = pairs_of(documents, rng, labels=always)
    return [(a, b, True) if rng.random() < 0.5 else (b, a, False) for a, b, _ in pairs]


def upside_down(documents: Documents, rng: random.Random) -> list[Pair]:
    """0 for the next, 1 for another."""
    return [(first, second, not label) for first, second, label in pairs_of(documents, rng)]


def sentence_pairs(
    documents: Documents,
    rng: Seed,
    *,
    make: Callable[..., list[Pair]] = pairs_of,
    **options: Any,
) -> Report:
    """What is found where pairs are made as Devlin et al. 2019 do (task 2); `options` as in `pairs_of`."""
    return report_of_pairs(partial(make, **options))(documents, rng)


def report_of_pairs(learner: Callable[..., Any]) -> Callable[..., Report]:
    """Let a function make pairs, again and again, and report what it made."""

    def report(documents: Documents, rng: Seed) -> Report:
        before = [list(document) for document in documents]
        n_pairs = sum(len(document) - 1 for document in before)
        n_draws = math.ceil(N_PAIRS / max(n_pairs, 1))
        known = {sentence for document in before for sentence in document}

        def drawn(seed: int, n: int, first: Documents | None = None) -> list[list[Pair]]:
            generator = random.Random(seed)
            # A copy for each, so that what one call changes does not meet the next.
            given = [[list(document) for document in before] for _ in range(n)]
            given[0] = first or given[0]
            answers = each(learner, ((one, generator) for one in given))
            return [triples(answer, known) for answer in answers]

        draws = drawn(rng.number, n_draws, documents)
        again, other = (drawn(rng.number + more, N_AGAIN) for more in (0, 1))
        nothing = N_AGAIN * [pairs_of(before, random.Random(0), labels=always)]
        found = {"numbers drawn from": source(draws[:N_AGAIN], again, other, nothing)}
        rest = pairing(before, draws)
        return found | (dict.fromkeys(rest, SKIPPED) if FIXED in found.values() else rest)

    return report


def triples(answer: Any, known: Collection[str]) -> list[Pair]:
    """The pairs of an answer.

    Raises: WrongForm: it is no list of (first, second, is next) with sentences of the documents.
    """
    try:
        pairs = [(first, second, bool(label)) for first, second, label in answer]
    except (TypeError, ValueError, RuntimeError):
        raise WrongForm(
            f"It must return a list of triples (first, second, is next), but got {describe(answer)}."
        ) from None
    strange = [s for pair in pairs for s in pair[:2] if not isinstance(s, str) or s not in known]
    if strange:
        raise WrongForm(f"A pair contains {describe(strange[0])}, which is no sentence of the documents.")
    return pairs


def pairing(documents: Documents, draws: Sequence[Sequence[Pair]]) -> Report:
    """What the pairs of many draws have in common, in words."""
    place = {s: (d, n) for d, document in enumerate(documents) for n, s in enumerate(document)}
    pairs = [pair for one in draws for pair in one]
    of_label = {label: [(a, b) for a, b, k in pairs if k == label] for label in (True, False)}
    labels = how_labelled(draws, place)
    share = len(of_label[True]) / max(len(pairs), 1)
    return {
        "first sentences": first_sentences(documents, draws),
        "labelled True": kinds_of(of_label[True], place),
        "labelled False": kinds_of(of_label[False], place),
        "labels": labels,
        "share of True": SKIPPED if labels != BY_CHANCE else percent(nearest(share, (0, 0.5, 1), HALF)),
        "sentences put in": how_drawn(documents, draws, place),
    }


def first_sentences(documents: Documents, draws: Sequence[Sequence[Pair]]) -> str:
    """Which sentences come first in pairs."""
    counted = [Counter(first for first, _, _ in pairs) for pairs in draws]
    wanted = Counter(s for document in documents for s in document[:-1])
    if all(counts == wanted for counts in counted):
        return "each that has a next one, once"
    found: Counter[str] = sum(counted, Counter())
    if any(document[-1] in found for document in documents):
        return "also the last of a document, which has no next one"
    if not any(document[0] in found for document in documents):
        return "never the first of a document"
    return "some more than once" if set(found) == set(wanted) else "not each that has a next one"


def kinds_of(pairs: Iterable[tuple[str, str]], place: Mapping[str, tuple[int, int]]) -> str:
    """What the second sentences are to the first ones."""

    def kind(first: str, second: str) -> str:
        (d, n), (e, m) = place[first], place[second]
        if d != e:
            return "other document"
        return {n + 1: "next", n: "itself", n - 1: "previous"}.get(m, "same document")

    return " or ".join(sorted({kind(*pair) for pair in pairs})) or "nothing"


def how_labelled(draws: Sequence[Sequence[Pair]], place: Mapping[str, tuple[int, int]]) -> str:
    """Whether each pair's label is a matter of chance."""
    if len({tuple(label for *_, label in pairs) for pairs in draws}) == 1:
        return "the same in every draw"
    together = [{(place[a][0], label) for a, _, label in pairs} for pairs in draws]
    alone = [len({place[a][0] for a, _, _ in pairs}) for pairs in draws]
    return "the same for a whole document" if list(map(len, together)) == alone else BY_CHANCE


def how_drawn(
    documents: Documents, draws: Sequence[Sequence[Pair]], place: Mapping[str, tuple[int, int]]
) -> str:
    """Which sentences are put in the place of the next."""
    seen = [(i, place[a][0], b) for i, pairs in enumerate(draws) for a, b, label in pairs if not label]
    if not seen:
        return "none"
    from_document = {d for _, d, _ in seen}
    put_in = {(d, b) for _, d, b in seen}
    if len(put_in) == len(from_document):
        return "always the same"
    if len({(i, d, b) for i, d, b in seen}) == len({(i, d) for i, d, _ in seen}):
        return "one for all pairs of a document"
    if all(place[b][1] == 0 for _, b in put_in):
        return "only the first of a document"
    if len(documents) > 2 and len({(d, place[b][0]) for d, b in put_in}) == len(from_document):
        return "always from the same document"
    return "any" if {b for _, b in put_in} == set(place) else "never some of them"


def sentence_pairs_cases(rng: Rng) -> list[Case]:
    def inputs(*lengths: int) -> dict[str, Any]:
        names = rng.permutation(26)[: len(lengths)]
        documents = [
            [f"{chr(ord('A') + name)}{n + 1}" for n in range(length)]
            for name, length in zip(names, lengths, strict=True)
        ]
        return {"documents": documents, "rng": Seed(int(rng.integers(10_000)))}

    return [
        Case("two documents of three sentences", inputs(3, 3)),
        Case("three documents", inputs(*primes(rng, 3, 5, 7))),
        Case("a document of two sentences", inputs(5, 2, 5)),
        Case("a document of one sentence", inputs(5, 1, 5, 3)),
        Case("five documents", inputs(*primes(rng, 3, 4, 5, 6, 7))),
    ]


# ----------------------------------------------------------------------------------------- bits per character


def characters(tokens: Sequence[str]) -> int:
    """Of all tokens that were asked: the first one never is."""
    return sum(map(len, tokens[1:]))


def bits_per_character(
    losses: Tensor,
    tokens: Sequence[str],
    *,
    unit: float = math.log(2),
    count: Callable[[Sequence[str]], int] = characters,
) -> Tensor:
    """The surprise at a text in bits, shared out among its characters."""
    return losses.sum() / unit / count(tokens)


WORDS = (
    "The",
    " cat",
    " read",
    "s",
    " a",
    " book",
    ".",
    " It",
    "'s",
    " über",
    " naïve",
    " Käse",
    "™",
    " “",
    "日本",
)


def bits_per_character_cases(rng: Rng) -> list[Case]:
    def inputs(n: int, words: Sequence[str] = WORDS) -> dict[str, Any]:
        """Tokens of which no two mistakes count the same."""
        while True:
            tokens = [str(rng.choice(words)) for _ in range(n)]
            text = "".join(tokens)
            counts = [
                characters(tokens),
                len(text),
                len(text) - len(tokens[-1]),
                n - 1,
                n,
                len(text.replace(" ", "")),
                len(text.split()),
            ]
            if words is WORDS:
                counts.append(sum(len(token.encode()) for token in tokens[1:]))
            if len(set(counts)) == len(counts):
                losses = rng.uniform(0.5, 6, n - 1).round(2).astype(np.float32)
                return {"losses": losses, "tokens": tokens}

    stored = inputs(13)
    stored["losses"] = stored["losses"].repeat(2)[::2]
    return in_torch(
        [
            Case("a few tokens, plain letters", inputs(7, WORDS[:9])),
            Case("letters of two bytes and three", inputs(11)),
            Case("23 tokens", inputs(23)),
            Case("97 tokens", inputs(97)),
            Case("float64", as_double(inputs(17))),
            Case("every second number of a tensor", stored),
        ]
    )


TASKS = {
    "mask_tokens": Code(
        reference=mask_tokens,
        cases=mask_tokens_cases,
        read=as_lines,
        adapt=report_of_masking,
        outside=True,
        seconds=20.0,
    ),
    "masked_loss": Code(reference=masked_loss, cases=masked_loss_cases, tensor=True),
    "shift_targets": Code(
        reference=shift_targets, cases=shift_targets_cases, results=("inputs", "targets"), tensor=True
    ),
    "sentence_pairs": Code(
        reference=sentence_pairs,
        cases=sentence_pairs_cases,
        read=as_lines,
        adapt=report_of_pairs,
        outside=True,
        seconds=20.0,
    ),
    "bits_per_character": Code(reference=bits_per_character, cases=bits_per_character_cases),
}
