"""The sampler

Turn scores (..., V) into the probabilities from which the next token is drawn; the drawing is done for you.
First the temperature `t`, as in `temperature`, then the cut at `p`, as in `top_p` (07_mlm_vs_next_token; both
answers may go in unchanged). At t = 0 the likeliest token of each row gets 1. t can be tiny, so subtract the
largest score before you divide. Then add up the probabilities, largest first. Keep tokens until the sum
reaches p, including the one that gets it there, set the rest to 0, and divide so that each row sums to 1:
with p = 0.8, of 0.5, 0.25, 0.15, 0.1 three stay. p is above 0 and at most 1. No two scores in the check are
equal.

Hint: The temperature changes how much the likeliest have together. So which of the two must come first?

Hint: With your two functions it is one line: what `temperature` returns is what `top_p` takes.

Hint: `return top_p(temperature(logits, t), p)`, with both functions in the cell above it.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, not_negative, primes
from course_lib.checks.kinds import Case, Property

NEAR = 2e-3  # no sum of the likeliest comes so near to p


def sums_to_one(result, inputs):
    """The row whose probabilities do not sum to 1."""
    sums = result.sum(-1, dtype=float)
    wrong = np.argwhere(~(np.abs(sums - 1) < 1e-4))
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    row = f"row {list(where)}" if where else "the row"
    return f"The probabilities of {row} sum to {sums[where]:.6g}, expected 1."


exercise = Exercise(
    level=2,
    minutes=8,
    section="From a word to an answer",
    forbidden=("course_lib.generation.next_token_probabilities",),
    tensor=True,
    properties=(Property("not negative", not_negative), Property("sums to 1", sums_to_one)),
)


@exercise.solution
def next_probabilities(logits, t, p):
    """The probabilities of the next token: temperature t, then the fewest likeliest that have p together.

    Args:
        logits: scores (..., V).
        t: the temperature, 0 or more; at 0 the likeliest token gets 1.
        p: above 0, at most 1.
    Returns: (..., V); each row sums to 1.
    """
    ### BEGIN SOLUTION
    chances = ((logits - logits.amax(-1, keepdim=True)) / max(t, 1e-30)).softmax(-1)
    ordered, places = chances.sort(-1, descending=True)
    keeps = ordered.cumsum(-1) - ordered < p  # keep a token while the likelier ones sum to less than p
    kept = chances * torch.zeros_like(keeps).scatter(-1, places, keeps)
    return kept / kept.sum(-1, keepdim=True)
    ### END SOLUTION


def distinct(rng, *shape):
    """Scores of which no two of a row are nearer than 0.1, from -4.9 to 4.9."""
    rows = int(np.prod(shape[:-1]))
    numbers = np.stack([rng.permutation(np.arange(-49, 50))[: shape[-1]] for _ in range(rows)])
    return (0.1 * numbers).round(4).reshape(shape).astype(np.float32)


@exercise.cases
def _(rng):
    def inputs(*shape, t, p, size=1.0, level=0.0, n_out=0):
        """Logits with which no sum of the likeliest comes near to p, the order of the two steps shows, and
        not all rows keep as many tokens.

        The `n_out` lowest are minus infinity.
        """
        while True:
            logits = np.float32(size) * distinct(rng, *shape) + np.float32(level)
            logits[np.argsort(logits)[:n_out]] = -np.inf
            rows = torch.from_numpy(logits)
            largest = rows.amax(-1).flatten().tolist()
            if len(set(largest)) < len(largest):
                continue  # the largest of all rows would be that of two
            near = []
            for heat in {t, 1.0} - {0.0}:
                sums = (rows.double() / heat).softmax(-1).sort(descending=True).values.cumsum(-1)
                near.append(float((sums - p).abs().min()))
            kept = next_probabilities(rows, t, p) > 0
            other = kept != (cut_first(rows, t, p) > 0)
            numbers = kept.sum(-1).flatten().tolist()
            unequal = len(numbers) == 1 or len(set(numbers)) > 1
            if p == 1 or (min(near) > NEAR and unequal and (t in (0, 1) or other.any())):
                return {"logits": logits, "t": t, "p": p}

    return in_torch(
        [
            Case("one row", inputs(5, t=2.0, p=0.8)),
            Case("t = 0, two rows", inputs(2, 5, t=0.0, p=1.0), catches="one winner for all rows"),
            Case(
                "a tiny t",
                inputs(2, 5, t=1e-37, p=1.0, size=10.0, level=[[100.0], [-100.0]]),
                catches="divided first",
            ),
            Case(
                "t = 1e-9, logits that are nearly alike",
                inputs(5, t=1e-9, p=0.9, size=2.5e-9),
                catches="a tiny number added to t",
            ),
            Case("logits of 1,000", inputs(2, 5, t=2.0, p=0.7, level=1000.0), catches="overflow"),
            Case(
                "hot, and tokens that are ruled out",
                inputs(7, t=20.0, p=0.5, n_out=2),
                catches="minus infinity taken for a number",
            ),
            Case("a row of many", inputs(47, t=1.5, p=0.9), catches="a cut after a few tokens"),
            Case("a batch", inputs(*primes(rng, 2, 3), 5, t=1.5, p=0.75), catches="softmax without an axis"),
        ]
    )


# -------------------------------------------------------------------------------------------- the temperature


@exercise.mistake("cut before the temperature")
def cut_first(logits, t, p):
    """The cut was made at temperature 1, and what is left was heated: the temperature comes first, because it
    changes how many tokens have p together.
    """
    left = next_probabilities(logits, 1.0, p) > 0
    return next_probabilities(logits.masked_fill(~left, -torch.inf), t, 1.0)


exercise.changed(
    "no temperature",
    "The temperature changes nothing: divide the scores by it before the softmax.",
    ("max(t, 1e-30)", "(1 if t else 1e-30)"),
)


@exercise.mistake("no temperature, and none at zero")
def _(logits, t, p):
    """The temperature changes nothing, and at t = 0 the likeliest token should get everything."""
    return next_probabilities(logits, 1.0, p)


@exercise.mistake("nothing cut")
def _(logits, t, p):
    """All tokens are left, whatever p is."""
    return next_probabilities(logits, t, 1.0)


exercise.changed(
    "divided by zero",
    "It divides by 0 where t is 0, and overflows where t is tiny: at t = 0 the likeliest token gets 1, and "
    "for a tiny t each row's largest is taken away before you divide.",
    ("(logits - logits.amax(-1, keepdim=True)) / max(t, 1e-30)", "logits / t"),
)


@exercise.mistake("divided first")
def _(logits, t, p):
    """With a tiny t the scores overflow when they are divided: infinity minus infinity is NaN, in softmax
    too. Take each row's largest away first, then divide.
    """
    return next_probabilities(logits / t, 1.0, p) if t else next_probabilities(logits, 0, p)


@exercise.mistake("one largest for all rows")
def _(logits, t, p):
    """The largest score of all rows was taken away from each: with a tiny t nothing is left of a row whose
    own largest is lower. Take each row's own, `amax(-1, keepdim=True)`.
    """
    return next_probabilities((logits - logits.max()) / t, 1.0, p) if t else next_probabilities(logits, 0, p)


@exercise.mistake("overflow")
def _(logits, t, p):
    """Right for small scores, but exp(89) is more than a float32 holds: take each row's largest away before
    you divide, and before exp.
    """
    if t == 0:
        return next_probabilities(logits, 0, p)
    powers = (logits / t).exp()
    return next_probabilities((powers / powers.sum(-1, keepdim=True)).log(), 1.0, p)


@exercise.mistake("one winner for all rows")
def _(logits, t, p):
    """At t = 0 only the largest score of all rows gets a 1: each row has its own likeliest token."""
    return next_probabilities(logits, t, p) if t else (logits == logits.max()).to(logits.dtype)


exercise.changed(
    "a tiny number added to t",
    "A tiny number was added to t, or put in its place, for fear of 0, so a tiny t becomes another one: "
    "divide by t itself, and give t = 0 an answer of its own.",
    ("max(t, 1e-30)", "(t + 1e-8)"),
)
exercise.changed(
    "softmax without an axis",
    "The softmax was told no axis. Of three torch then takes the first: say -1, the last.",
    (".softmax(-1)", ".softmax(1 if logits.ndim == 2 else 0)"),
)
exercise.changed(
    "softmax over the rows",
    "The softmax runs over axis 0, from row to row: it runs along the last axis, -1.",
    (".softmax(-1)", ".softmax(0)"),
)


@exercise.mistake("all rows as one")
def _(logits, t, p):
    """The rows were joined, and all together sum to 1: each row gets its own probabilities."""
    return next_probabilities(logits.flatten(), t, p).reshape(logits.shape)


# ---------------------------------------------------------------------------------------------------- the cut

exercise.changed(
    "added up over the rows",
    "What the rows have in common was added up, along axis 0: the tokens of each row are, along axis -1.",
    ("ordered.cumsum(-1)", "ordered.cumsum(0)"),
)
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
    "without the one that crosses",
    "The token that crosses p was dropped, so what is left does not reach p: it stays, the next one is the "
    "first to go.",
    ("- ordered < p", "<= p\n    keeps[..., 0] = True"),
)
exercise.changed(
    "one token too many",
    "One token too many is left: the one that reaches p or crosses it is the last.",
    ("- ordered < p", "- ordered - torch.nn.functional.pad(ordered, (1, 0))[..., :-1] < p"),
)
exercise.changed(
    "the least likely kept",
    "The rows were sorted the other way round, so the least likely tokens have p together: the likeliest "
    "stay.",
    ("descending=True", "descending=False"),
)
exercise.changed(
    "one cut for all rows",
    "How many tokens stay was counted in the first row and holds for all: each row has a cut of its own.",
    ("places, keeps)", "places, keeps.reshape(-1, keeps.shape[-1])[0].expand_as(keeps))"),
)
exercise.changed(
    "the first places kept",
    "As many tokens are left as should be, but the first ones of each row: what was found in the sorted row "
    "must go back to the places that `sort` gives.",
    ("torch.zeros_like(keeps).scatter(-1, places, keeps)", "keeps"),
)


@exercise.mistake("a share of the largest")
def _(logits, t, p):
    """Tokens stayed that have at least 1 - p of the largest probability. That cut is called min-p; here the
    fewest likeliest stay that have p together.
    """
    chances = next_probabilities(logits, t, 1.0)
    kept = chances * (chances >= (1 - p) * chances.amax(-1, keepdim=True))
    return kept / kept.sum(-1, keepdim=True)


@exercise.mistake("cut scores set to zero")
def _(logits, t, p):
    """The scores of what was cut became 0, and a softmax gives e^0 = 1 a share: minus infinity is the score
    that gets none.
    """
    left = next_probabilities(logits, t, p) > 0
    return next_probabilities(logits.masked_fill(~left, 0.0), t, 1.0)


exercise.changed(
    "what is beyond p",
    "The tokens beyond p are left, and the likeliest are gone: those stay that come before p is reached.",
    ("- ordered < p", "> p"),
)


@exercise.mistake("a share of the tokens")
def _(logits, t, p):
    """The p V likeliest tokens are left: p is a share of the probability, not of the tokens."""
    chances = next_probabilities(logits, t, 1.0)
    n = max(1, int(p * chances.shape[-1]))
    likeliest, places = chances.topk(n, dim=-1)
    return torch.zeros_like(chances).scatter(-1, places, likeliest / likeliest.sum(-1, keepdim=True))


exercise.changed(
    "a softmax once more",
    "What is left went through a softmax once more, which makes it more equal, and gives a share to what was "
    "cut: divide by the sum.",
    ("return kept / kept.sum(-1, keepdim=True)", "return kept.softmax(-1)"),
)
exercise.changed(
    "logarithms",
    "These are logarithms: return the probabilities.",
    ("return kept / kept.sum(-1, keepdim=True)", "return (kept / kept.sum(-1, keepdim=True)).log()"),
)
exercise.changed(
    "not scaled",
    "The rows no longer sum to 1: divide what is left by its sum.",
    ("return kept / kept.sum(-1, keepdim=True)", "return kept"),
)
exercise.changed(
    "multiplied by t",
    "The scores are multiplied by t: divide. A large t makes the probabilities more equal.",
    ("/ max(t, 1e-30)", "* (t or 1e30)"),
)


@exercise.mistake("p is what goes")
def _(logits, t, p):
    """Tokens are kept up to 1 - p: p is what stays, not what goes."""
    return next_probabilities(logits, t, 1 - p)


@exercise.mistake("the likeliest alone")
def _(logits, t, p):
    """Only the likeliest token is left, whatever t and p are."""
    return next_probabilities(logits, 0, p)


@exercise.mistake("sorted")
def _(logits, t, p):
    """The rows came back sorted: each token stays at its place, because the place is the token."""
    return next_probabilities(logits, t, p).sort(-1, descending=True).values


@exercise.mistake("the token itself")
def _(logits, t, p):
    """This is the number of the likeliest token: return the probabilities of all V."""
    return logits.argmax(-1)
