"""Top-p

Of each row of probabilities (..., V) keep the fewest likeliest tokens that together have at least p; all
others become 0. Take the likeliest first, add the next ones up, and stop with the token that reaches p or
crosses it: this one still stays, so at least one token always does. Then scale what is left so that each
row sums to 1 again. Every token stays at its place in the vocabulary. p is above 0 and at most 1, and at 1
all tokens stay. The check has no ties. (Holtzman et al. 2020, nucleus sampling.)

Hint: Write it down for 0.5, 0.3, 0.15, 0.05 and p = 0.7. Which tokens stay, and what do those *before* each
of them have together?

Hint: `ordered, places = probabilities.sort(-1, descending=True)` sorts each row. A token stays when the sum
of those before it is still below p, and that sum is `ordered.cumsum(-1) - ordered`.

Hint: `torch.zeros_like(keeps).scatter(-1, places, keeps)` brings what you decided in sorted order back to
the order of the vocabulary.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c07_mlm_vs_next_token.tasks.temperature import PROBABILITIES, row_named


def keeps_the_right_number(result, inputs):
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

exercise = Exercise(
    level=3,
    minutes=15,
    section="How a model writes",
    forbidden=("course_lib.generation.next_token_probabilities",),
    properties=(*PROBABILITIES, Property("right number", keeps_the_right_number)),
)


@exercise.solution
def top_p(probabilities, p):
    """Keep the fewest likeliest tokens that have at least p together, scaled to sum to 1; the others get 0.

    Args:
        probabilities: (..., V); each row sums to 1.
        p: above 0, at most 1.
    """
    ### BEGIN SOLUTION
    ordered, places = probabilities.sort(-1, descending=True)
    keeps = ordered.cumsum(-1) - ordered < p  # what the likelier ones have together
    kept = probabilities * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(*shape, p):
        """Rows without ties."""
        rows = int(np.prod(shape[:-1]))
        while True:
            weights = np.stack([rng.permutation(np.arange(1, 100))[: shape[-1]] for _ in range(rows)])
            weights = weights.astype(float) ** 2
            chances = weights / weights.sum(-1, keepdims=True)
            sums = np.sort(chances)[:, ::-1].cumsum(-1)
            if np.abs(sums - p).min() > NEAR:
                return {"probabilities": chances.reshape(shape).astype(np.float32), "p": p}

    # In these sums nothing is rounded: 1 is reached with the last token, in whatever order one adds.
    exact = (rng.permutation([1, 3, 4, 8, 16, 32]) / 64).astype(np.float32)
    return in_torch(
        [
            Case("one row", inputs(5, p=0.6)),
            Case("three rows of three", inputs(3, 3, p=0.8), catches="the first row decides"),
            Case("p near 0", inputs(2, 3, p=0.01), catches="the likeliest, and who has p"),
            Case("a batch", inputs(*primes(rng, 2, 3), 5, p=0.75), catches="a loop over one table"),
            Case("p = 1", {"probabilities": exact, "p": 1.0}, catches="a token behind the last looked up"),
        ]
    )


# ---------------------------------------------------------------------------------------- which tokens stay


@exercise.mistake("without the one that crosses")
def _(probabilities, p):
    """The cut comes too early: the tokens that are left have less than p together."""
    ordered, places = probabilities.sort(-1, descending=True)
    keeps = ordered.cumsum(-1) <= p
    keeps[..., 0] = True
    kept = probabilities * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True)


exercise.changed(
    "nothing left",
    "The cut comes too early: the tokens that are left have less than p together. Where the likeliest alone "
    "has more than p, nothing is left at all, and 0/0 is NaN.",
    ("ordered.cumsum(-1) - ordered < p", "ordered.cumsum(-1) <= p"),
)
exercise.changed(
    "one too many",
    "One token too many is left: the token that crosses p is the last to stay.",
    (
        "ordered.cumsum(-1) - ordered < p",
        "torch.arange(ordered.shape[-1]) <= (ordered.cumsum(-1) - ordered < p).sum(-1, keepdim=True)",
    ),
)
exercise.changed(
    "p for each token",
    "Tokens that have p each were kept, and where none has, nothing is left: it is the sum of the likeliest "
    "that reaches p.",
    ("ordered.cumsum(-1) - ordered < p", "ordered >= p"),
)
exercise.changed(
    "the likeliest, and who has p",
    "Tokens that have p each were kept: it is the sum of the likeliest that reaches p.",
    ("ordered.cumsum(-1) - ordered < p", "(ordered >= p) | (ordered == ordered[..., :1])"),
)
exercise.changed(
    "not below 1 - p",
    "Tokens that have 1 - p each were kept: it is the sum of the likeliest that reaches p.",
    ("ordered.cumsum(-1) - ordered < p", "(ordered >= 1 - p) | (ordered == ordered[..., :1])"),
)
exercise.changed(
    "min-p",
    "Tokens that have p times as much as the likeliest were kept. That is min-p, another cut: here the sum "
    "of the likeliest reaches p.",
    ("ordered.cumsum(-1) - ordered < p", "ordered >= p * ordered[..., :1]"),
)
exercise.changed(
    "the unlikely first",
    "The least likely tokens were added up first: sort the other way, the likeliest come first.",
    ("descending=True", "descending=False"),
)


@exercise.mistake("p is what goes")
def _(probabilities, p):
    """Tokens are kept up to 1 - p: p is what stays, not what goes."""
    return top_p(probabilities, 1 - p)


exercise.changed(
    "upside down",
    "The condition is upside down: the likeliest tokens became 0, the others were kept.",
    ("ordered < p", "ordered >= p"),
)


@exercise.mistake("not sorted")
def _(probabilities, p):
    """The probabilities were added up in the order of the vocabulary: the likeliest come first, so sort each
    row.
    """
    kept = probabilities * (probabilities.cumsum(-1) - probabilities < p)
    return kept / kept.sum(-1, keepdim=True)


@exercise.mistake("sorted")
def _(probabilities, p):
    """The rows came back sorted: each token stays at its place, because the place is the token."""
    return top_p(probabilities, p).sort(-1, descending=True).values


exercise.changed(
    "the first places",
    "As many tokens were kept as should be, but those that come first in the vocabulary: what was decided "
    "in sorted order belongs to the places that `sort` gives too.",
    ("torch.zeros_like(keeps).scatter(-1, places, keeps)", "keeps"),
)
exercise.changed(
    "put back the wrong way",
    "`keeps.gather(-1, places)` sorts once more instead of putting back: place i of the sorted row belongs "
    "to token `places[i]`, so it is `scatter` that is needed, or the places of `places.argsort(-1)`.",
    ("torch.zeros_like(keeps).scatter(-1, places, keeps)", "keeps.gather(-1, places)"),
)
exercise.changed(
    "added up over the rows",
    "What the rows have in common was added up, along axis 0: the tokens of each row are, along axis -1.",
    ("ordered.cumsum(-1)", "ordered.cumsum(0)"),
)


@exercise.mistake("all rows as one")
def _(probabilities, p):
    """The rows were joined, and all together sum to 1: each row is sorted, cut and scaled on its own."""
    return top_p(probabilities.flatten(), p).reshape(probabilities.shape)


exercise.changed(
    "the first row decides",
    "All rows keep as many tokens as the first one: each row reaches p after its own number.",
    (
        "ordered.cumsum(-1) - ordered < p",
        "(ordered.cumsum(-1) - ordered < p).reshape(-1, ordered.shape[-1])[0].expand(ordered.shape)",
    ),
)


@exercise.mistake("a share of the vocabulary")
def _(probabilities, p):
    """A share p of the tokens was kept, whatever they have: add their probabilities up until they reach p."""
    n = int(np.ceil(p * probabilities.shape[-1]))
    lowest = probabilities.sort(-1, descending=True).values[..., n - 1 : n]
    kept = probabilities * (probabilities >= lowest)
    return kept / kept.sum(-1, keepdim=True)


@exercise.mistake("nothing cut")
def _(probabilities, p):
    """All tokens are left, whatever p is."""
    return probabilities / probabilities.sum(-1, keepdim=True)


@exercise.mistake("the likeliest alone")
def _(probabilities, p):
    """Only the likeliest token was kept, whatever p is."""
    return (probabilities == probabilities.amax(-1, keepdim=True)).to(probabilities.dtype)


# ------------------------------------------------------------------------------------- what is made of them

exercise.changed(
    "not scaled",
    "The rows no longer sum to 1: divide what is left by its sum.",
    (" / kept.sum(-1, keepdim=True)", ""),
)
exercise.changed(
    "divided by p",
    "What is left was divided by p, but its sum is p or more: divide by the sum.",
    ("kept.sum(-1, keepdim=True)", "p"),
)


@exercise.mistake("the one that crosses cut down")
def _(probabilities, p):
    """The token that crosses p got only what was missing to p: it stays with all that it has."""
    ordered, places = probabilities.sort(-1, descending=True)
    missing = p - (ordered.cumsum(-1) - ordered)
    parts = ordered.minimum(missing.clamp(min=0))
    return torch.zeros_like(parts).scatter(-1, places, parts) / p


exercise.changed(
    "one sum for all rows",
    "What is left was divided by the sum of all rows: each row sums to 1, on its own.",
    ("kept.sum(-1, keepdim=True)", "kept.sum()"),
)
exercise.changed(
    "keepdim forgotten",
    "The sums of the rows came without their axis, so what is divided are the columns: "
    "`sum(-1, keepdim=True)` keeps it.",
    ("kept.sum(-1, keepdim=True)", "kept.sum(-1)"),
)
exercise.changed(
    "a softmax of probabilities",
    "A softmax went over probabilities, which makes them more equal: divide what is left by its sum.",
    ("kept / kept.sum(-1, keepdim=True)", "kept.where(kept > 0, -torch.inf).softmax(-1)"),
)
exercise.changed(
    "all alike",
    "All tokens that are left got the same: they keep their proportions, so divide by their sum.",
    ("kept / kept.sum(-1, keepdim=True)", "(kept > 0) / (kept > 0).sum(-1, keepdim=True)"),
)


@exercise.mistake("a mask")
def _(probabilities, p):
    """This says which tokens stay: return their probabilities, scaled to sum to 1, and 0 for the others."""
    return top_p(probabilities, p) > 0
