"""Switch heads off

What does a head do for a model? Switch it off and see. `mix` is what the heads of a layer have mixed, (B,
H, T, K), before they are joined; `heads` is a list of heads, counted from 0, in any order. Return a copy in
which these heads give nothing but zeros. An empty list switches nothing off.

Hint: Work on a copy, `mix.clone()`: the caller still needs the original.

Hint: The heads are axis 1: `copy[:, heads] = 0`.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch, primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=6, section="Who copies?", tensor=True)


@exercise.solution
def heads_off(mix, heads):
    """Zeros in place of what some heads have mixed.

    Args:
        mix: (B, H, T, K); not to be changed.
        heads: list of the heads to switch off, counted from 0.
    Returns: (B, H, T, K).
    """
    ### BEGIN SOLUTION
    silenced = mix.clone()
    silenced[:, heads] = 0
    return silenced
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(*shape, n_off):
        # Not the first head, so that what is done to it by mistake shows.
        off = 1 + rng.permutation(shape[1] - 1)[:n_off]
        return {"mix": all_different(rng, *shape), "heads": off.tolist()}

    two = inputs(2, 7, *primes(rng, 3, 5), n_off=3)
    return in_torch(
        [
            Case("one head of three", inputs(1, 3, 2, 2, n_off=1)),
            Case("two sequences", two, gradients=True, catches="no graph"),
            Case("none", inputs(2, 3, 5, 7, n_off=0), catches="an empty list as an index of floats"),
            Case("all", {**inputs(2, 3, 5, 7, n_off=0), "heads": [2, 0, 1]}, catches="the first head stays"),
            Case("one token", inputs(3, 5, 1, 7, n_off=2), catches="an axis of one lost"),
        ]
    )


# --------------------------------------------------------------------------------------- what is switched off


@exercise.mistake("only these heads are left")
def _(mix, heads):
    """These heads are left and all others are off: it is the other way round."""
    kept = torch.zeros_like(mix)
    kept[:, heads] = mix[:, heads]
    return kept


@exercise.mistake("nothing switched off")
def _(mix, heads):
    """No head is off: is the copy returned in which they are 0?"""
    return mix.clone()


@exercise.mistake("everything switched off")
def _(mix, heads):
    """All heads are off: only those of the list give zeros."""
    return torch.zeros_like(mix)


exercise.changed(
    "tokens instead of heads",
    "Tokens were switched off: the heads are axis 1, the tokens axis 2.",
    ("[:, heads]", "[:, :, heads]"),
)
exercise.changed(
    "sequences instead of heads",
    "Whole sequences were switched off: the heads are axis 1.",
    ("[:, heads]", "[heads]"),
)
exercise.changed(
    "numbers of each head",
    "In every head some numbers were set to 0: the heads are axis 1, not the last.",
    ("[:, heads]", "[..., heads]"),
)


@exercise.mistake("heads taken out")
def _(mix, heads):
    """The heads were taken out: the others stay in their places, so these give zeros."""
    return mix[:, [head for head in range(mix.shape[1]) if head not in heads]]


@exercise.mistake("the others made louder")
def _(mix, heads):
    """The other heads became larger, as dropout would make them: they stay as they are."""
    return heads_off(mix, heads) * mix.shape[1] / (mix.shape[1] - len(heads))


exercise.changed(
    "counted from 1",
    "The heads were counted from 1: the first one is head 0.",
    ("[:, heads]", "[:, [head - 1 for head in heads]]"),
)
exercise.changed(
    "as many heads from the start",
    "The first heads were switched off, as many as the list has: switch off those that it names.",
    ("[:, heads]", "[:, : len(heads)]"),
)
exercise.changed(
    "only the first of the list", "Only the first head of the list is off.", ("[:, heads]", "[:, heads[:1]]")
)
exercise.changed(
    "only the last of the list",
    "Only the last head of the list is off: does each one start from the original again?",
    ("[:, heads]", "[:, heads[-1:]]"),
)

# ------------------------------------------------------------------------------------- what stands there then

exercise.changed(
    "the mean of the tokens",
    "These heads give the mean over their tokens: they give zeros.",
    ("= 0", "= mix[:, heads].mean(2, keepdim=True)"),
)
exercise.changed(
    "the mean of the heads",
    "These heads give the mean of all heads: they give zeros.",
    ("= 0", "= mix.mean(1, keepdim=True)"),
)
exercise.changed(
    "minus infinity",
    "Minus infinity is what a score needs to get no weight: here it is the mix, and nothing is 0.",
    ("= 0", "= -torch.inf"),
)
exercise.changed("ones", "These heads give ones: nothing is 0.", ("= 0", "= 1"))
