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

exercise = Exercise(level=3, minutes=12, section="Does learning find the same?", tensor=True)


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
                "three pairs, three negatives",
                inputs(3, 3, 5),
                gradients=True,
                catches="centres lined up with the drawn words",
            ),
            Case("scores of 1000", loud(1000), gradients=True, catches="gradients that are NaN"),
            Case("scores of 60", loud(60), catches="log of a sigmoid"),
            Case(
                "a right pair with a score of -200",
                loud(200, drawn=False),
                catches="log of 1 minus a sigmoid",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------------ logarithms

exercise.changed(
    "log of a sigmoid",
    "Right for small scores, but sigmoid(-1000) is 0, its logarithm minus infinity, and exp(1000) is more "
    "than a float holds: `F.logsigmoid` takes all steps at once.",
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

for little in ("1e-10", "1e-9", "1e-8", "1e-7"):
    exercise.changed(
        f"{little} added before the logarithm",
        "Something was added to the sigmoids, so that no logarithm is of 0, and large scores come out too "
        "small: `F.logsigmoid(score)` needs no such help.",
        ("F.logsigmoid(right)", f"(right.sigmoid() + {little}).log()"),
        ("F.logsigmoid(-wrong)", f"((-wrong).sigmoid() + {little}).log()"),
    )
exercise.changed(
    "logarithms cut at -100",
    "`F.binary_cross_entropy` takes the logarithm of sigmoids, which may be 0, and cuts it off at -100: use "
    "`F.logsigmoid` on the scores.",
    ("F.logsigmoid(right)", "right.sigmoid().log().clamp(min=-100)"),
    ("F.logsigmoid(-wrong)", "(1 - wrong.sigmoid()).log().clamp(min=-100)"),
)

# ------------------------------------------------------------------------------------------------ the scores

exercise.changed(
    "centres lined up with the drawn words",
    "Drawn word j was compared with centre j: `centres[:, None]` lines up each centre with its own k words.",
    ("centres[:, None]", "centres"),
)
exercise.changed(
    "one score for all right pairs",
    "The products of all right pairs were added up to one score: each pair has its own, `.sum(-1)`.",
    ("(centres * contexts).sum(-1)", "(centres * contexts).sum()"),
)
exercise.changed(
    "one score for all pairs",
    "All products were added up to one score: each pair has its own, `.sum(-1)`.",
    ("(centres * contexts).sum(-1)", "(centres * contexts).sum()"),
    ("(centres[:, None] * negatives).sum(-1)", "(centres[:, None] * negatives).sum()[None]"),
)
exercise.changed(
    "every context for every centre",
    "Every centre was compared with the contexts of all pairs: it has one that was met, its own.",
    ("(centres * contexts).sum(-1)", "centres @ contexts.mT"),
)
exercise.changed(
    "one score for all drawn words",
    "The scores of the drawn words were summed before the log sigmoid: each is judged on its own, then sum.",
    ("F.logsigmoid(-wrong).sum(-1)", "F.logsigmoid(-wrong.sum(-1))"),
)
exercise.changed(
    "the mean of the drawn words",
    "The mean of the drawn words was judged: each is judged on its own, then sum.",
    ("F.logsigmoid(-wrong).sum(-1)", "F.logsigmoid(-wrong.mean(-1))"),
)

# -------------------------------------------------------------------------------------------- sums and means

exercise.changed(
    "drawn words of all pairs summed",
    "The drawn words of all pairs were summed up: sum over the k words of each pair, `.sum(-1)`.",
    ("F.logsigmoid(-wrong).sum(-1)", "F.logsigmoid(-wrong).sum()"),
)
exercise.changed(
    "summed over the pairs",
    "The sum runs over the pairs of the batch: sum over the k words of each pair, `.sum(-1)`.",
    ("F.logsigmoid(-wrong).sum(-1)", "F.logsigmoid(-wrong).sum(0)"),
)
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
    "the minus before the log sigmoid",
    "The minus stands before the log sigmoid: it belongs to the score, log sigmoid(-score).",
    ("+ F.logsigmoid(-wrong)", "- F.logsigmoid(wrong)"),
)
exercise.changed(
    "the right pair as if it were drawn",
    "The score of the right pair has a minus: that is for the drawn words.",
    ("F.logsigmoid(right)", "F.logsigmoid(-right)"),
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
