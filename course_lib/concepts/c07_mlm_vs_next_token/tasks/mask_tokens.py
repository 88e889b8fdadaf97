"""Hide tokens

BERT is asked for tokens that were hidden from it. Choose 15 % of the ordinary tokens by chance, never one
of `special_ids` (padding and the like). A chosen token is asked for. In the inputs, 80 % of the chosen
become `mask_id`, 10 % become any token of the vocabulary, 0 to `vocab_size` - 1, and 10 % stay as they are.
The targets hold the original token where one was chosen and -100 everywhere else. Return inputs and
targets, both of the shape of `ids`. Draw all your random numbers from `generator`, so that the same seed
hides the same tokens. Your numbers are random, so the check counts, with room for chance, and says what it
counted. (Devlin et al. 2019, section 3.1.)

Hint: `torch.rand(ids.shape, generator=generator)` is a number from 0 to 1 for each place. Which share of
them is below 0.15? And `torch.isin(ids, torch.tensor(special_ids))` says where the special ones are.

Hint: Below 0.15 means chosen. One throw can decide the rest too: below 0.8 * 0.15 the mask, from there to
0.9 * 0.15 another token, above it stays.

Hint: `torch.where(condition, a, b)` takes a where the condition is true, else b, and makes a new tensor.
`torch.randint(vocab_size, ids.shape, generator=generator)` is a token for each place, of which you use a
few.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, repeatable
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, describe
from course_lib.concepts.c07_mlm_vs_next_token.tasks.sentence_pairs import (
    FIXED,
    SKIPPED,
    Report,
    Seed,
    as_lines,
    nearest,
    percent,
    source,
)
from course_lib.objectives import IGNORE

exercise = Exercise(
    level=3,
    minutes=15,
    section="Hide and ask",
    forbidden=("course_lib.objectives.mask_tokens",),
    read=as_lines,
    seconds=20.0,
    outside=True,
)


@exercise.solution
def mask_tokens(ids, mask_id, vocab_size, special_ids, generator):
    """Hide some tokens and say which: 80 % of them become the mask, 10 % any token, 10 % stay.

    Args:
        ids: (B, T), token ids.
        mask_id: the token that says "hidden".
        vocab_size: token ids are 0 to vocab_size - 1.
        special_ids: a list of ids that are never chosen.
        generator: a torch.Generator, from which all random numbers come.
    Returns: inputs (B, T); targets (B, T), -100 where nothing is asked.
    """
    ### BEGIN SOLUTION
    ordinary = ~torch.isin(ids, torch.tensor(special_ids))
    chosen = ordinary & (torch.rand(ids.shape, generator=generator) < 0.15)
    dice = torch.rand(ids.shape, generator=generator)
    any_token = torch.randint(vocab_size, ids.shape, generator=generator)
    inputs = torch.where(chosen & (dice < 0.9), any_token, ids)
    inputs = torch.where(chosen & (dice < 0.8), mask_id, inputs)
    targets = torch.where(chosen, ids, -100)
    return inputs, targets
    ### END SOLUTION


# ------------------------------------------------------------------------------------------ what was hidden

MANY = 20_000  # of so many tokens and more, shares are measured

KINDS = ("asked, now the mask", "asked, now another token", "asked, still as it was")

TOLD_APART = 0.04  # shares of mistakes are farther from each other, and chance moves them by less

# What is measured -> the right share, six standard deviations of what chance does to it in 30,000 tokens, and
# the shares that known mistakes have.
SHARES: dict[str, tuple[float, float, tuple[float, ...]]] = {
    "ordinary tokens asked": (0.15, 0.0125, (0, 0.25, 0.8, 0.85, 1)),
    KINDS[0]: (0.8, 0.04, (0, 0.1, 0.72, 0.89, 1)),
    KINDS[1]: (0.1, 0.028, (0, 0.2, 0.8)),
    KINDS[2]: (0.1, 0.028, (0, 0.2, 0.9, 1)),
}


@exercise.adapt
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


@exercise.cases
def _(rng):
    def inputs(*shape, special=0.25):
        vocab_size, special_ids = 997, [0, 1, 2]
        # The text has a third of the vocabulary, so that it shows where other tokens come from.
        ids = rng.integers(len(special_ids), vocab_size // 3, size=shape)
        return {
            "ids": np.where(rng.random(shape) < special, rng.choice(special_ids, shape), ids),
            "mask_id": int(rng.integers(vocab_size // 3, vocab_size)),
            "vocab_size": vocab_size,
            "special_ids": special_ids,
            "generator": Seed(int(rng.integers(10_000))),
        }

    return in_torch(
        [
            Case("two rows of 1,499", inputs(2, 1499)),
            Case("one row", inputs(1, 2503), catches="the first of each row"),
            Case("52,841 tokens", inputs(53, 997, special=0.4), catches="share of all places"),
            Case("special tokens only", inputs(7, 307, special=1.0), catches="at least one token chosen"),
        ]
    )


# ------------------------------------------------------------------------------- what becomes of the chosen

exercise.changed(
    "always the mask",
    "Every chosen token became the mask. Who learns from this is asked about masks alone, never about a "
    "token that it can see; but the texts that it reads later have no masks.",
    ("dice < 0.8", "dice < 1"),
)
exercise.changed(
    "none stays",
    "No chosen token stays as it was: 80 % become the mask, 10 % another token, and the last 10 % stay.",
    ("dice < 0.9", "dice < 1"),
)
exercise.changed(
    "no other tokens",
    "No chosen token became another one: 80 % become the mask, 10 % any token, and 10 % stay.",
    ("dice < 0.9", "dice < 0.8"),
)
exercise.changed(
    "mask and other tokens exchanged",
    "The two shares are exchanged: 80 % of the chosen become the mask and 10 % another token.",
    ("dice < 0.8", "dice < 0.1"),
)


@exercise.mistake("masks overwritten")
def _(ids, mask_id, vocab_size, special_ids, generator):
    """A tenth of all chosen tokens became another one, some of those that were the mask already too: draw
    them from the other 20 %, or decide with one throw.
    """
    inputs, targets = mask_tokens(ids, mask_id, vocab_size, special_ids, generator)
    any_token = torch.randint(vocab_size, ids.shape, generator=generator)
    first, second = (torch.rand(ids.shape, generator=generator) for _ in range(2))
    inputs = torch.where((targets != -100) & (first < 0.8), mask_id, ids)
    return torch.where((targets != -100) & (second < 0.1), any_token, inputs), targets


exercise.changed(
    "what stays is not asked",
    "Only changed tokens are asked for: those that were chosen and stay as they are have their token in the "
    "targets too. Else the model would learn that what it can see is always right.",
    ("torch.where(chosen, ids, -100)", "torch.where(inputs != ids, ids, -100)"),
)
exercise.changed(
    "only the mask is asked",
    "Only masked tokens are asked for: those that became another token, or stayed, were chosen too, so "
    "their token stands in the targets.",
    ("torch.where(chosen, ids, -100)", "torch.where(inputs == mask_id, ids, -100)"),
)


# ----------------------------------------------------------------------------------------- which are chosen

exercise.changed(
    "special tokens chosen",
    "Special tokens were chosen too: a token of `special_ids` is never asked for, and never changed.",
    ("ordinary & ", ""),
)
exercise.changed(
    "share of all places",
    "There are too many: 15 % of all places were asked, all of them at ordinary tokens. It is 15 % of the "
    "ordinary tokens.",
    ("< 0.15", "< 0.15 / ordinary.double().mean()"),
)
exercise.changed(
    "80 % of all",
    "80 % of all ordinary tokens were chosen: it is 15 %. The 80 % are a share of those 15 %. With nearly "
    "everything hidden there is little left to guess from.",
    ("< 0.15", "< 0.8"),
)
exercise.changed(
    "the other 85 %",
    "85 % of the ordinary tokens were chosen: the comparison is the wrong way round, or `~` is missing.",
    ("< 0.15", ">= 0.15"),
)


# ---------------------------------------------------------------------------------------- what is asked for

exercise.changed(
    "targets after masking",
    "The targets were taken from the inputs, after the tokens were hidden: the answer to a mask would be "
    "the mask. Take them from `ids`.",
    ("torch.where(chosen, ids, -100)", "torch.where(chosen, inputs, -100)"),
)
exercise.changed(
    "asked everywhere",
    "Every token stands in the targets: where none was chosen there is -100, so that the loss does not ask.",
    ("torch.where(chosen, ids, -100)", "ids"),
)
exercise.changed(
    "0 where nothing is asked",
    "The targets are 0 where nothing is asked: 0 is a token. The sign for nothing is -100.",
    ("torch.where(chosen, ids, -100)", "torch.where(chosen, ids, 0)"),
)
exercise.changed(
    "-1 where nothing is asked",
    "The targets are -1 where nothing is asked: the sign for nothing is -100.",
    ("torch.where(chosen, ids, -100)", "torch.where(chosen, ids, -1)"),
)
exercise.changed(
    "targets upside down",
    "The targets are -100 where a token was chosen, and hold the tokens that nobody asks for: exchange them.",
    ("torch.where(chosen, ids, -100)", "torch.where(chosen, -100, ids)"),
)


# ------------------------------------------------------------------------------------ how numbers are drawn

exercise.changed(
    "other tokens where nothing is asked",
    "Tokens were changed that are not asked for: the 10 % that become another token are 10 % of the chosen.",
    ("chosen & (dice < 0.9)", "ordinary & (dice >= 0.8) & (dice < 0.9)"),
)
exercise.changed(
    "the same places in each row",
    "The same places were chosen in each row: throw for each token, with the whole shape of `ids`.",
    (
        "(torch.rand(ids.shape, generator=generator) < 0.15)",
        "(torch.rand(ids.shape[1], generator=generator) < 0.15)",
    ),
)
exercise.changed(
    "the first of each row",
    "The first tokens of each row were chosen: choose by chance, or later ones are never asked for.",
    (
        "(torch.rand(ids.shape, generator=generator) < 0.15)",
        "(torch.arange(ids.shape[1]) < 0.15 * ids.shape[1])",
    ),
)
exercise.changed(
    "other tokens from the text",
    "The other tokens come from the text alone: any token of the vocabulary can stand there, "
    "`torch.randint` draws one.",
    (
        "torch.randint(vocab_size, ids.shape, generator=generator)",
        "ids.flatten()[torch.randint(ids.numel(), ids.shape, generator=generator)]",
    ),
)
exercise.changed(
    "special tokens put in",
    "The other tokens are special ones alone: any token of the vocabulary can stand there.",
    ("randint(vocab_size,", "randint(len(special_ids),"),
)
exercise.changed(
    "always the same other token",
    "The same token was put in everywhere: draw one for each place, with the shape of `ids`.",
    ("randint(vocab_size, ids.shape,", "randint(vocab_size, (1,),"),
)


@exercise.mistake("not the generator")
def _(ids, mask_id, vocab_size, special_ids, generator):
    """With the same generator other tokens are hidden: some of your random numbers do not come from it.
    torch's functions take it as `generator=generator`.
    """
    return mask_tokens(ids, mask_id, vocab_size, special_ids, None)


@exercise.mistake("a seed of its own")
def _(ids, mask_id, vocab_size, special_ids, generator):
    """Whatever the generator, the same tokens are hidden: the function sets a seed of its own, or does not
    draw. The model would be asked the same in every round.
    """
    return mask_tokens(ids, mask_id, vocab_size, special_ids, torch.Generator().manual_seed(0))
