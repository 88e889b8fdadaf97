"""The loss of word2vec

word2vec learns to tell a pair that was met in a text from k pairs that were drawn at random. The score of a
pair is the dot product of its two vectors. For each pair of the batch the loss is -log sigmoid(score) of
the right context, plus the sum over its k drawn words of -log sigmoid(-score). Return the mean over the
pairs. Scores may reach 1000, and gradients must flow.

Hint: `(centres * contexts).sum(-1)` is one score for each pair. `centres[:, None]` lines up with the k
drawn words.

Hint: sigmoid(-1000) is 0 in a computer, and log(0) is minus infinity. `F.logsigmoid` takes both steps at
once.

Hint: Sum over the drawn words with `.sum(-1)`, add the right pair's part, then take the mean and a minus
sign.
"""

import numpy as np
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch
from course_lib.checks.kinds import Case

exercise = Exercise(level=3, minutes=12, section="Counted or learned", tensor=True)


@exercise.solution
def negative_sampling_loss(centres, contexts, negatives):
    """The loss of skip-gram with negative sampling.

    Args:
        centres: tensor (B, D), the vector of each pair's centre.
        contexts: tensor (B, D), the vector of the context that was met.
        negatives: tensor (B, k, D), the vectors of k words drawn for each pair.
    Returns: a tensor without axes.
    """
    ### BEGIN SOLUTION
    right = (centres * contexts).sum(-1)
    wrong = (centres[:, None] * negatives).sum(-1)
    return -(F.logsigmoid(right) + F.logsigmoid(-wrong).sum(-1)).mean()
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, k, d):
        while True:
            centres, contexts, negatives = draw(rng, b, d), draw(rng, b, d), draw(rng, b, k, d)
            scores = np.concatenate([(contexts * centres)[:, None], -negatives * centres[:, None]], 1).sum(-1)
            # A tiny loss is the small difference of large numbers in some right ways to write it, and some
            # have another gradient at a score of exactly 0.
            if np.log1p(np.exp(-scores)).sum(1).mean() > 1 and np.abs(scores).min() > 0.02:
                return {"centres": centres, "contexts": contexts, "negatives": negatives}

    def loud(n, drawn=True):
        """Scores of up to n: a right pair gets -n, and one of the drawn words n."""
        made = inputs(3, 2, 5)
        length = np.linalg.norm(made["centres"], axis=1, keepdims=True)
        made["centres"] *= np.sqrt(np.float32(n)) / length
        made["contexts"][0] = -made["centres"][0]
        if drawn:
            made["negatives"][1, 1] = made["centres"][1]
        else:
            made["negatives"] /= np.sqrt(np.float32(n))
        return made

    return in_torch(
        [
            Case("one pair, one negative", inputs(1, 1, 3)),
            Case(
                "two pairs, three negatives", inputs(2, 3, 5), gradients=True, catches="summed over the pairs"
            ),
            Case("scores of 1000", loud(1000), gradients=True, catches="gradients that are NaN"),
            Case("scores of 60", loud(60), catches="1 minus a sigmoid in float32"),
            Case(
                "a right pair with a score of -200",
                loud(200, drawn=False),
                catches="the logarithm of a sigmoid that is 0",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------------ logarithms

exercise.changed(
    "log of a sigmoid",
    "Right for small scores, but sigmoid(-1000) is 0, and its logarithm minus infinity: `F.logsigmoid` "
    "takes both steps at once.",
    ("F.logsigmoid(right)", "right.sigmoid().log()"),
    ("F.logsigmoid(-wrong)", "(-wrong).sigmoid().log()"),
)
exercise.changed(
    "log of 1 minus a sigmoid",
    "Right for small scores, but 1 - sigmoid(60) is 0, and its logarithm minus infinity: use "
    "`F.logsigmoid(-score)`, which is the same.",
    ("F.logsigmoid(-wrong)", "(1 - wrong.sigmoid()).log()"),
)
exercise.changed(
    "both logarithms taken late",
    "Right for small scores, but a sigmoid of large scores is 0 or 1, and log(0) is minus infinity: use "
    "`F.logsigmoid(score)` for the right pair and `F.logsigmoid(-score)` for the drawn words.",
    ("F.logsigmoid(right)", "right.sigmoid().log()"),
    ("F.logsigmoid(-wrong)", "(1 - wrong.sigmoid()).log()"),
)

# -------------------------------------------------------------------------------------------- sums and means

exercise.changed(
    "mean over the negatives",
    "The mean was taken over the drawn words of a pair: sum over them.",
    ("F.logsigmoid(-wrong).sum(-1)", "F.logsigmoid(-wrong).mean(-1)"),
)
exercise.changed(
    "sum over the pairs",
    "The sum was taken over the pairs of the batch: take their mean.",
    (".mean()", ".sum()"),
)


@exercise.mistake("mean over everything")
def _(centres, contexts, negatives):
    """The mean was taken over right and drawn words together: sum over the words of a pair,
    mean over pairs.
    """
    return negative_sampling_loss(centres, contexts, negatives) / (1 + negatives.shape[1])


exercise.changed(
    "one loss for each pair",
    "There is one loss for each pair: take their mean.",
    (".mean()", ""),
)

# ------------------------------------------------------------------------------------ right and drawn words

exercise.changed(
    "negatives as if they were right",
    "The drawn words are treated as right ones: their scores need a minus sign before the log sigmoid.",
    ("-wrong", "wrong"),
)
exercise.changed(
    "negatives forgotten",
    "The drawn words are missing: the right pairs alone can be made as likely as you like.",
    (" + F.logsigmoid(-wrong).sum(-1)", ""),
)
exercise.changed(
    "the right pair forgotten",
    "The right pair's own part is missing: only the drawn words are in it.",
    ("F.logsigmoid(right) + ", ""),
)
exercise.changed(
    "sign forgotten",
    "The minus sign is missing: this is the log chance, and a loss becomes smaller as things get better.",
    ("return -(", "return ("),
)
exercise.changed(
    "no logarithm",
    "The logarithm is missing: these are sums of sigmoids.",
    ("F.logsigmoid(right)", "right.sigmoid()"),
    ("F.logsigmoid(-wrong)", "(-wrong).sigmoid()"),
)
exercise.changed(
    "softmax instead of sigmoids",
    "This is a softmax over the right word and the drawn ones: here each pair is judged on its own, by a "
    "sigmoid.",
    ("F.logsigmoid(right) + F.logsigmoid(-wrong).sum(-1)", "right - right.logaddexp(wrong.logsumexp(-1))"),
)


@exercise.mistake("negatives of all pairs")
def _(centres, contexts, negatives):
    """Every pair was compared with the drawn words of all pairs: each has k of its own."""
    return negative_sampling_loss(centres, contexts, negatives.flatten(0, 1).expand(len(centres), -1, -1))


@exercise.mistake("cosines instead of products")
def _(centres, contexts, negatives):
    """The vectors were brought to length 1: the score is the product as it is."""
    return negative_sampling_loss(*(F.normalize(x, dim=-1) for x in (centres, contexts, negatives)))


@exercise.mistake("the context meets the negatives")
def _(centres, contexts, negatives):
    """The drawn words were compared with the context: they are compared with the centre, as
    the context is.
    """
    return negative_sampling_loss(contexts, centres, negatives)
