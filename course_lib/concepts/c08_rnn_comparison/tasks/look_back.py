"""A look back

A network has read S symbols and kept all its states, `states` (B, S, D), for each of B texts. Another one
writes T symbols, and `h` (B, T, D) holds its state at each of them. It looks back: the product of its state
with each state of the reader is a score, a softmax over the S scores makes weights of them, which sum to 1,
and the mix is the sum of the reader's states by these weights. Nothing is divided by a root of D here. Return
the mix (B, T, D) and the weights (B, T, S), in this order. Products may be large, and gradients must flow.
(Bahdanau et al. 2015 scored by a small network; Luong et al. 2015 by the product.)

Hint: For one text, `h @ states.mT` holds the product of each row of h with each state.

Hint: Which axis of the scores counts the states? The softmax runs over that one.

Hint: `weights @ states` sums the states by their weights.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=1,
    minutes=8,
    section="A look back for each word",
    forbidden=(
        "torch.nn.functional.scaled_dot_product_attention",
        "course_lib.attention.scaled_dot_product_attention",
        "course_lib.attention.attention_weights",
    ),
    results=("mix", "weights"),
)


@exercise.solution
def look_back(h, states):
    """What the writer sees when it looks back at the states of the reader.

    Args:
        h: (B, T, D), the writer's state at each symbol that it writes.
        states: (B, S, D), those of the reader.
    Returns: mix (B, T, D); weights (B, T, S), which sum to 1 over the states.
    """
    ### BEGIN SOLUTION
    scores = h @ states.mT  # (B, T, S)
    weights = scores.softmax(-1)
    mix = weights @ states
    return mix, weights
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, t, s, d, size=1.0):
        return {"h": draw(rng, b, t, d, size=size), "states": draw(rng, b, s, d)}

    return in_torch(
        [
            Case("one text, two states", inputs(1, 1, 2, 3)),
            Case("all sizes equal", inputs(3, 3, 3, 3), catches="states not turned"),
            Case("large scores", inputs(2, 3, 5, 7, size=100.0), catches="overflow"),
            Case("a batch", inputs(*primes(rng, 3, 5, 7, 11)), gradients=True, catches="no graph"),
        ]
    )


# ------------------------------------------------------------------------------------------ the weights

exercise.changed(
    "all states alike",
    "Every state gets the same weight, whatever it holds: the mix is their mean. The weights must come from "
    "the products of h with the states.",
    ("scores.softmax(-1)", "0 * scores + 1 / scores.shape[-1]"),
)
exercise.changed(
    "softmax over what is written",
    "The softmax runs over the symbols that are written: the weights of one state sum to 1. Each symbol's "
    "weights, over the states, should.",
    ("softmax(-1)", "softmax(-2)"),
)
exercise.changed(
    "softmax over the texts",
    "The softmax runs over the texts of the batch: it belongs to the states, the last axis.",
    ("softmax(-1)", "softmax(0)"),
)
exercise.changed(
    "softmax over everything",
    "All weights together sum to 1: those of each symbol should, over the states.",
    ("scores.softmax(-1)", "scores.flatten().softmax(0).reshape(scores.shape)"),
)
exercise.changed(
    "overflow",
    "",
    ("scores.softmax(-1)", "scores.exp() / scores.exp().sum(-1, keepdim=True)"),
)
exercise.changed(
    "scores as they are",
    "The scores were not turned into weights: a softmax makes shares of them that sum to 1.",
    ("scores.softmax(-1)", "scores"),
)
exercise.changed(
    "divided by the root of D",
    "The scores were divided by the root of D, as the Transformer of 2017 does. This look back is older: it "
    "takes the products as they are.",
    ("h @ states.mT", "h @ states.mT / h.shape[-1] ** 0.5"),
)
exercise.changed(
    "a sigmoid for each state",
    "Each state was weighed on its own, by a sigmoid: the weights of the states must sum to 1.",
    ("scores.softmax(-1)", "scores.sigmoid()"),
)
exercise.changed(
    "the largest alone",
    "Only the state with the largest score is seen: no gradient can then say that another one would have "
    "been better. A softmax gives each a share.",
    ("scores.softmax(-1)", "(scores == scores.amax(-1, keepdim=True)).to(scores.dtype) + 0 * scores"),
)
exercise.changed(
    "the reader looks at itself",
    "The scores are products of the reader's states with each other: it is the writer that looks, with h.",
    ("scores = h @", "scores = states @"),
)

exercise.changed(
    "states not turned",
    "The states were multiplied as they came, `h @ states`, which runs only where S is D: for the product of "
    "each state of h with each of the states it is `h @ states.mT`.",
    ("h @ states.mT", "h @ states"),
)


@exercise.mistake("the reader looks back")
def _(h, states):
    """The reader looks at the writer's states: it is the writer that looks, one row of weights for each of
    its symbols.
    """
    return look_back(states, h)


# ------------------------------------------------------------------------------------------ the mix

exercise.changed(
    "the writer's states mixed",
    "The writer's own states were mixed: the weights belong to the states of the reader.",
    ("weights @ states", "weights @ h"),
)

exercise.changed(
    "the last state alone",
    "The mix is the reader's last state, whatever the weights say: that is the one vector again.",
    ("weights @ states", "states[:, -1:].expand_as(h)"),
)
exercise.changed(
    "h added",
    "The writer's own state is in the mix: what it sees comes from the reader alone.",
    ("weights @ states", "h + weights @ states"),
)
exercise.changed(
    "weights before the mix",
    "The results come in the wrong order: first the mix, then the weights.",
    ("return mix, weights", "return weights, mix"),
)
