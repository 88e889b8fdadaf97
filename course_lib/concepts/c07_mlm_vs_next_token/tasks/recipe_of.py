"""Which recipe hid this batch?

Somebody trained a model on hidden tokens, and does not remember how they were hidden. One batch is left: the
`inputs` that the model read, and the `targets`, with -100 where nothing was asked. The text itself is lost.
But the batch gives the recipe away. Return four shares:

1. of the ordinary tokens those that were asked for;
2. of the tokens asked for those that became `mask_id`;
3. of the tokens asked for those that became another token;
4. of the tokens asked for those that stayed as they were.

Special tokens, those of `special_ids`, frame the text. They are no ordinary ones, and were never asked for.
Yet a place that was asked may hold one of their ids: there it is the *other token*, drawn from the whole
vocabulary. Nobody can see of a token that was exchanged whether the same came up again: it counts as one that
stayed. Where nothing was asked at all, the last three shares are 0, and so is the first where there is no
ordinary token.

Then batches of five recipes are hidden, and your function names each.

Hint: `asked = targets != -100`. What stood at an asked place stands in the targets, and what stands there now
in the inputs.

Hint: A place holds a special token if it holds one of their ids *and* was not asked for. All others are
ordinary.

Hint: A share of nothing would be 0 / 0. `count.clamp(min=1)` divides by 1 in its place.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, numbers_of
from course_lib.objectives import IGNORE

exercise = Exercise(level=3, minutes=12, section="Hide and ask")


@exercise.solution
def recipe_of(inputs, targets, mask_id, special_ids):
    """How were the tokens of this batch hidden? Asked; and of these masked, exchanged, left.

    Args:
        inputs: (B, T), the tokens that the model read.
        targets: (B, T), the tokens that it was asked for, -100 where nothing was.
        mask_id: the token that says "hidden"; the text had none of its own.
        special_ids: a list of ids that were never asked for.
    Returns: (4,), shares from 0 to 1.
    """
    ### BEGIN SOLUTION
    asked = targets != -100
    special = torch.isin(inputs, torch.tensor(special_ids)) & ~asked
    hidden = asked & (inputs == mask_id)
    left = asked & (inputs == targets)
    exchanged = asked & ~hidden & ~left
    n_ordinary, n_asked = (~special).sum().clamp(min=1), asked.sum().clamp(min=1)
    return torch.stack(
        [asked.sum() / n_ordinary, hidden.sum() / n_asked, exchanged.sum() / n_asked, left.sum() / n_asked]
    )
    ### END SOLUTION


# ---------------------------------------------------------------------------------------------- batches


def hidden_by(
    recipe: tuple[float, float, float],
    shape: tuple[int, int],
    vocab_size: int,
    rng: np.random.Generator,
    special: float = 0.2,
    special_ids: tuple[int, ...] = (1, 2),
) -> dict[str, Any]:
    """A batch, as the task gives it.

    Args:
        recipe: the shares of the ordinary tokens that are asked for, of these that become the mask, and of
            these that are exchanged.
        shape: rows and tokens.
        vocab_size: ids 0 to `vocab_size` - 1; the last is the mask.
        rng: draws the text, too.
        special: the share of special tokens.
        special_ids: theirs; 0 is an ordinary token, and a frequent one.
    """
    mask_id = vocab_size - 1
    ordinary = [token for token in range(mask_id) if token not in special_ids]
    text = rng.choice(ordinary, shape)
    text[rng.random(shape) < 0.2] = 0
    is_special = rng.random(shape) < special
    text[is_special] = rng.choice(special_ids, shape)[is_special]
    share, masks, others = recipe
    asked = ~is_special & (rng.random(shape) < share)
    dice = rng.random(shape)
    inputs = np.where(asked & (dice < masks + others), rng.integers(mask_id, size=shape), text)
    inputs[asked & (dice < masks)] = mask_id
    targets = np.where(asked, text, IGNORE)
    return {"inputs": inputs, "targets": targets, "mask_id": mask_id, "special_ids": [*special_ids]}


@exercise.cases
def _(rng):
    def inputs(*shape, vocab_size, special_ids=(1, 2)):
        """All four kinds occur, in unequal numbers; so do token 0 as an answer and a special id put in."""
        while True:
            batch = hidden_by((0.5, 0.4, 0.4), shape, vocab_size, rng, 0.3, special_ids)
            given, targets = batch["inputs"], batch["targets"]
            asked = targets != IGNORE
            masks, same = given[asked] == batch["mask_id"], given[asked] == targets[asked]
            counts = {int(each.sum()) for each in (masks, same, ~masks & ~same)}
            put_in = np.isin(given[asked], batch["special_ids"]).any()
            unlike = len({row.mean() for row in asked}) > 1
            special_there = np.isin(given[~asked], batch["special_ids"]).any()
            all_kinds = len(counts) == 3 and 0 not in counts and (targets == 0).any()
            if all_kinds and put_in and unlike and special_there:
                return batch

    def unasked(shape, special):
        return hidden_by((0.0, 0.8, 0.1), shape, 11, rng, special)

    b, t = primes(rng, 5, 13)
    return in_torch(
        [
            Case("two rows of nine", inputs(2, 9, vocab_size=11)),
            Case(
                "as many rows as tokens, other special ids",
                inputs(11, 11, vocab_size=29, special_ids=(5, 17, 23)),
                catches="special ids by heart",
            ),
            Case("nothing asked", unasked((b, t), 0.2), catches="zeros where all tokens are special"),
            Case("special tokens only", unasked((3, 7), 1.1), catches="NaN without ordinary tokens"),
        ]
    )


# ---------------------------------------------------------------------------------------------- who hid?

RECIPES = {  # asked for, of these masked, of these exchanged
    "BERT's": (0.15, 0.8, 0.1),
    "masks only": (0.15, 1.0, 0.0),
    "none exchanged": (0.15, 0.8, 0.0),
    "40 % of all": (0.4, 0.8, 0.1),
    "SmolLM2's, to fill gaps": (0.3, 1.0, 0.0),
}


@exercise.finale
def names_recipes(learner: Callable[..., Any]) -> Iterator[str]:
    """Let five recipes hide a batch, and the learner's function name each."""
    yield "Five recipes hide 20,000 tokens each. Your function sees the batches alone.\n\n"
    yield f"{'hidden by':<26}{'asked':>8}{'masked':>8}{'other':>8}{'left':>8}   nearest to\n"
    rng, n_right = np.random.default_rng(0), 0
    for name, recipe in RECIPES.items():
        batch = hidden_by(recipe, (40, 500), 997, rng)
        given = {key: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for key, x in batch.items()}
        expected = recipe_of(**given)
        got = numbers_of(learner(*(x.clone() if isinstance(x, Tensor) else x for x in given.values())), False)
        if got.shape != (4,) or not np.abs(got - expected.numpy()).max() < 1e-4:
            raise WrongForm(f"Of a batch {(40, 500)} your function gives {got}, expected {expected.numpy()}.")
        said = named(expected)
        n_right += said == name
        yield f"{name:<26}" + "".join(f"{share:>8.1%}" for share in got) + f"   {said}\n"
    yield (
        f"\nYour function names {n_right} of {len(RECIPES)} rightly. A recipe that exchanges tokens seems to "
        "leave a few more than it does: now and then the same token comes up.\n"
    )


def named(shares: Tensor) -> str:
    """The recipe whose shares are nearest."""
    asked, masked, other, _ = shares.tolist()
    return min(
        RECIPES,
        key=lambda name: sum(abs(a - b) for a, b in zip((asked, masked, other), RECIPES[name], strict=True)),
    )


# ------------------------------------------------------------------------------------- of what is it a share

exercise.changed(
    "share of all places",
    "The first share is of all places: special tokens were never asked for, so leave them out of the count.",
    ("(~special).sum()", "torch.tensor(inputs.numel())"),
)
exercise.changed(
    "a special id put in",
    "Places that were asked for are missing among the ordinary ones: where a special id stands because it "
    "was put in, an ordinary token stood before. The targets tell.",
    (" & ~asked\n", "\n"),
)
exercise.changed(
    "asked and special left out",
    "Places that were asked for and hold a special id were left out: it was put in there, as another token.",
    ("asked = targets != -100", "asked = (targets != -100) & ~torch.isin(inputs, torch.tensor(special_ids))"),
)
exercise.changed(
    "shares of the ordinary tokens",
    "The last three are shares of all ordinary tokens: divide by the number of those asked for.",
    ("hidden.sum() / n_asked", "hidden.sum() / n_ordinary"),
    ("exchanged.sum() / n_asked", "exchanged.sum() / n_ordinary"),
    ("left.sum() / n_asked", "left.sum() / n_ordinary"),
)
exercise.changed(
    "asked by those not asked",
    "The tokens asked for were divided by those that were not: divide by all ordinary ones.",
    ("(~special).sum()", "(~special & ~asked).sum()"),
)
exercise.changed(
    "counts",
    "These are counts: divide them.",
    ("asked.sum() / n_ordinary", "asked.sum() / 1"),
    ("hidden.sum() / n_asked", "hidden.sum() / 1"),
    ("exchanged.sum() / n_asked", "exchanged.sum() / 1"),
    ("left.sum() / n_asked", "left.sum() / 1"),
)


@exercise.mistake("the mean of the rows")
def _(inputs, targets, mask_id, special_ids):
    """The shares of each row were averaged: count over the whole batch, as rows have unequal numbers."""
    rows = [
        recipe_of(inputs[n : n + 1], targets[n : n + 1], mask_id, special_ids) for n in range(len(inputs))
    ]
    return torch.stack(rows).mean(0)


exercise.changed(
    "in per cent",
    "These are per cents: return shares from 0 to 1.",
    ("    return torch.stack(", "    return 100 * torch.stack("),
)

# ------------------------------------------------------------------------------------------- what was asked

exercise.changed(
    "token 0 not asked",
    "Places where token 0 was asked for are missing: 0 is a token. Nothing is asked where the target is "
    "-100.",
    ("targets != -100", "targets > 0"),
)
exercise.changed(
    "the mask alone is asked",
    "Only places with the mask count as asked: the targets say where something was asked, the inputs do not.",
    ("targets != -100", "inputs == mask_id"),
)
exercise.changed(
    "what has changed is asked",
    "Tokens that were asked for and left as they were are missing: the targets say where something was "
    "asked.",
    ("targets != -100", "(targets != -100) & (inputs != targets)"),
)

# ------------------------------------------------------------------------------------ what became of them

exercise.changed(
    "the mask among the others",
    "The masks count as exchanged, too: another token is one that is neither the mask nor the target.",
    ("asked & ~hidden & ~left", "asked & ~left"),
)
exercise.changed(
    "the left among the others",
    "Those that stayed count as exchanged, too: another token is one that is neither the mask nor the "
    "target.",
    ("asked & ~hidden & ~left", "asked & ~hidden"),
)
exercise.changed(
    "all that was not asked is left",
    "What was never asked for counts as left as it was: of the tokens asked for some stayed, those whose "
    "input is the target.",
    ("asked & (inputs == targets)", "~asked & ~special"),
    ("asked & ~hidden & ~left", "asked & ~hidden & (inputs != targets)"),
)
exercise.changed(
    "exchanged and left in the wrong order",
    "The last two are in the wrong order: first those exchanged, then those left.",
    ("exchanged.sum() / n_asked, left.sum() / n_asked", "left.sum() / n_asked, exchanged.sum() / n_asked"),
)
exercise.changed(
    "those left by subtraction from all",
    "The last share is 1 less the first: it is of the tokens asked for.",
    ("left.sum() / n_asked", "1 - asked.sum() / n_ordinary"),
)


@exercise.mistake("a recipe by heart")
def _(inputs, targets, mask_id, special_ids):
    """This is BERT's recipe, whatever the batch: count what happened in this one."""
    return torch.tensor([0.15, 0.8, 0.1, 0.1])


exercise.changed(
    "NaN where nothing is asked",
    "Where nothing is asked, 0 was divided by 0: the shares of nothing are 0 here.",
    (", asked.sum().clamp(min=1)", ", asked.sum()"),
)
exercise.changed(
    "NaN without ordinary tokens",
    "Where there is no ordinary token, 0 was divided by 0: the share of nothing is 0 here.",
    ("(~special).sum().clamp(min=1)", "(~special).sum()"),
)
