"""The loss of what was asked

`logits` (B, T, V) are a model's scores for every place, `targets` (B, T) the tokens that were asked for,
with -100 where nothing was. Return one number: the mean, over all places that were asked in the whole batch,
of the surprise in nats, -log of the probability that the model gives to the target. Every asked place counts
the same, however many there are in its row. Where nothing is asked at all, the loss is 0. Logits may reach
1000, and gradients must flow.

Hint: `F.log_softmax(logits, -1)` is the logarithm of all probabilities, safe for large logits. `asked =
targets != -100` says where they are needed.

Hint: `logs.gather(-1, index[..., None])[..., 0]` takes one number at each place. -100 is no index, so put
any token there first, and leave the place out of the sum.

Hint: Or choose the places first: `logits[asked]` is (n, V) and `targets[asked]` is (n,). What is the mean
of no numbers?
"""

import math

import numpy as np
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2,
    minutes=12,
    section="Hide and ask",
    forbidden=(
        "torch.nn.functional.cross_entropy",
        "torch.nn.functional.nll_loss",
    ),
    tensor=True,
)


@exercise.solution
def masked_loss(logits, targets):
    """The mean surprise at what was asked, in nats.

    Args:
        logits: (B, T, V), scores.
        targets: (B, T), the tokens asked for, -100 where nothing is asked.
    Returns: a number; 0 where nothing is asked at all.
    """
    ### BEGIN SOLUTION
    asked = targets != -100
    logs = F.log_softmax(logits, dim=-1)
    index = targets.where(asked, 0)[..., None]  # any token where nothing is asked: it does not count
    surprise = -logs.gather(-1, index)[..., 0]  # (B, T)
    return (surprise * asked).sum() / asked.sum().clamp(min=1)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, t, v, share=0.5, size=1.0):
        """Rows in which unequal numbers of places are asked, if any; token 0 is asked too."""
        targets = rng.integers(v, size=(b, t))
        targets[0, :2] = 0, v - 1
        asked = rng.random((b, t)) < share
        if share:
            asked[0, :2] = True
            asked[1:][-1:] = np.arange(t) == 0  # of the last row, unless it is the first
        targets[~asked] = -100
        return {"logits": draw(rng, b, t, v, size=size), "targets": targets}

    t, v = primes(rng, 5, 7)
    last_row = inputs(2, 3, 5)
    last_row["targets"][-1] = -100
    return in_torch(
        [
            Case("two rows of three tokens", inputs(2, 3, 5), gradients=True),
            Case("as many tokens as the vocabulary has", inputs(5, 5, 5), catches="keepdim forgotten"),
            Case("nothing asked: 0", inputs(2, 3, 5, share=0.0), catches="NaN where nothing is asked"),
            Case("logits of 1000", inputs(3, t, v, size=1000.0), catches="log of a softmax"),
            Case(
                "nothing asked in a row",
                last_row,
                gradients=True,
                catches="a mean of that row, whose gradient is NaN",
            ),
        ]
    )


# ----------------------------------------------------------------------------------------- what is averaged

exercise.changed(
    "mean over all places",
    "The sum was divided by the number of all places: divide by the number of those that were asked, or the "
    "loss becomes small just because little is asked.",
    ("(surprise * asked).sum() / asked.sum().clamp(min=1)", "(surprise * asked).mean()"),
)
exercise.changed(
    "sum",
    "This is the sum over what was asked: take the mean.",
    (" / asked.sum().clamp(min=1)", ""),
)
exercise.changed(
    "asked everywhere",
    "Places where nothing is asked are in the mean: -100 is no token, leave those places out.",
    ("(surprise * asked).sum() / asked.sum().clamp(min=1)", "surprise.mean()"),
)
exercise.changed(
    "mean of the rows",
    "First each row's mean was taken, then the mean of these: a place in a row with few questions counts "
    "more. Take one mean over all places that were asked.",
    (
        "return (surprise * asked).sum() / asked.sum().clamp(min=1)",
        "rows = (surprise * asked).sum(-1) / asked.sum(-1).clamp(min=1)\n"
        "    return rows.sum() / asked.any(-1).sum().clamp(min=1)",
    ),
)
exercise.changed(
    "sums of the rows",
    "Each row's losses were summed, and the mean taken over the rows: take one mean over all places asked.",
    ("(surprise * asked).sum() / asked.sum().clamp(min=1)", "(surprise * asked).sum(-1).mean()"),
)
exercise.changed(
    "one loss for each place",
    "There is one loss for each place: take the mean over those that were asked.",
    ("(surprise * asked).sum() / asked.sum().clamp(min=1)", "surprise * asked"),
)
exercise.changed(
    "one loss for each row",
    "There is one loss for each row: take one mean over all places that were asked.",
    (
        "(surprise * asked).sum() / asked.sum().clamp(min=1)",
        "(surprise * asked).sum(-1) / asked.sum(-1).clamp(min=1)",
    ),
)
exercise.changed(
    "NaN where nothing is asked",
    "Right, but where nothing is asked it divides 0 by 0, which is NaN: the loss is 0 there. A batch "
    "without a question would turn all weights into NaN.",
    (".clamp(min=1)", ""),
)
exercise.changed(
    "one question too many",
    "The sum was divided by the number of questions plus 1, for fear of 0: this makes every loss too small. "
    "Divide by at least 1, `clamp(min=1)`.",
    ("asked.sum().clamp(min=1)", "(asked.sum() + 1)"),
)


@exercise.mistake("0 ignored")
def _(logits, targets):
    """Questions for token 0 were left out: 0 is a token like others, only -100 means that nothing is
    asked.
    """
    return masked_loss(logits, targets.where(targets != 0, -100))


# --------------------------------------------------------------------------------------------- the surprise

exercise.changed(
    "softmax twice",
    "A softmax was taken of probabilities: logits go through the log-softmax once.",
    ("F.log_softmax(logits, dim=-1)", "logits.softmax(-1).log_softmax(-1)"),
)
exercise.changed(
    "no softmax",
    "The scores themselves were taken: they become logarithms of probabilities by a log-softmax.",
    ("F.log_softmax(logits, dim=-1)", "logits"),
)
exercise.changed(
    "log of a softmax",
    "Right for small scores, but a softmax of large ones is 0 for all but one, and log(0) is minus "
    "infinity: `F.log_softmax` takes both steps at once.",
    ("F.log_softmax(logits, dim=-1)", "logits.softmax(-1).log()"),
)
exercise.changed(
    "a tiny number in the logarithm",
    "A tiny number was added to the probabilities, for fear of log(0), so no surprise can be large: "
    "`F.log_softmax` needs none.",
    ("F.log_softmax(logits, dim=-1)", "(logits.softmax(-1) + 1e-9).log()"),
)
exercise.changed(
    "looked up along the places",
    "The tokens were looked up along axis 1, which counts the places: the vocabulary is the last axis.",
    ("gather(-1", "gather(1"),
)
exercise.changed(
    "keepdim forgotten",
    "What is taken away from the logits of a place came without its axis, so it runs along the vocabulary: "
    "`keepdim=True` keeps it.",
    ("F.log_softmax(logits, dim=-1)", "logits - logits.logsumexp(-1)"),
)
exercise.changed(
    "softmax over the texts",
    "The softmax runs over the texts of the batch, as it does where no axis is said: it belongs over the "
    "vocabulary, the last axis.",
    ("dim=-1", "dim=0"),
)
exercise.changed(
    "softmax over everything",
    "All probabilities of the batch together sum to 1: those of each place do, along the last axis.",
    ("F.log_softmax(logits, dim=-1)", "logits - logits.flatten().logsumexp(0)"),
)
exercise.changed(
    "softmax over the tokens",
    "The softmax runs over the places of a row: it belongs over the vocabulary, the last axis.",
    ("dim=-1", "dim=1"),
)
exercise.changed(
    "sign forgotten",
    "The minus sign is missing: surprise is -log of the probability, and never below 0.",
    ("-logs.gather", "logs.gather"),
)
exercise.changed(
    "no logarithm",
    "The logarithm is missing: these are probabilities, with a minus sign.",
    ("F.log_softmax(logits, dim=-1)", "logits.softmax(-1)"),
)


@exercise.mistake("in bits")
def _(logits, targets):
    """This is the loss in bits: nats are asked for, with the natural logarithm."""
    return masked_loss(logits, targets) / math.log(2)
