"""The cache

A model that writes keeps the keys and values of all tokens so far. `k_cache` and `v_cache` (B, G, S, K) are
those of S tokens, `k` and `v` (B, G, T, K) those of T new ones. Return two tensors: the keys and the values
of all S + T tokens, the oldest first. When a text begins, S is 0. Make new tensors; do not change the four
that come. In 07_mlm_vs_next_token `cached_step` did two jobs, storing and attending: this is the storing.

Hint: Which of the four axes counts tokens? That is the only one that grows.

Hint: `torch.cat([first, second], dim=...)` puts two tensors one behind the other. An axis of length 0 is no
trouble.

Hint: The keys are `torch.cat([k_cache, k], dim=2)`. Do the same with the values, and return both.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property


def stored_in_order(result, inputs):
    """Whether a cache has grown by the new tokens."""
    old, new = (inputs[name].shape[-2] for name in ("k_cache", "k"))
    if result.shape[-2] != old + new or np.array_equal(result[..., :old, :], inputs["k_cache"].numpy()):
        return ""
    if np.array_equal(result[..., :old, :], inputs["v_cache"].numpy()):
        return ""
    return "What was stored before no longer stands first: new keys and values come behind the old ones."


exercise = Exercise(
    level=1,
    minutes=6,
    section="The rule, in Python",
    results=("keys", "values"),
    tensor=True,
    properties=(Property("stored in order", stored_in_order),),
)


@exercise.solution
def extend_cache(k_cache, v_cache, k, v):
    """The keys and the values of all tokens so far, the oldest first.

    Args:
        k_cache, v_cache: keys and values of the tokens before, (B, G, S, K); S may be 0.
        k, v: those of the new tokens, (B, G, T, K).
    Returns: two tensors (B, G, S + T, K).
    """
    ### BEGIN SOLUTION
    return torch.cat([k_cache, k], dim=2), torch.cat([v_cache, v], dim=2)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, g, s, t, width):
        names = {"k_cache": s, "v_cache": s, "k": t, "v": t}
        return {name: draw(rng, b, g, n, width) for name, n in names.items()}

    return in_torch(
        [
            Case("one new token, two before", inputs(1, 1, 2, 1, 2)),
            Case("the first token", inputs(1, 2, 0, 1, 3), catches="a stack of no tokens"),
            Case("everything square", inputs(1, 2, 2, 2, 2), catches="joined along the heads"),
            Case("several texts", inputs(*primes(rng, 2, 3, 5, 7), 11), catches="the first text alone"),
        ]
    )


# ----------------------------------------------------------------------------- which tokens, along which axis

exercise.changed(
    "the new ones in front",
    "The new tokens stand in front of the old ones: the oldest come first.",
    ("k_cache, k]", "k, k_cache]"),
    ("v_cache, v]", "v, v_cache]"),
)


exercise.changed(
    "the new keys in front",
    "The values are in order, but the new keys stand in front of the old ones: the oldest come first.",
    ("k_cache, k]", "k, k_cache]"),
)
exercise.changed(
    "the new values in front",
    "The keys are in order, but the new values stand in front of the old ones: the oldest come first.",
    ("v_cache, v]", "v, v_cache]"),
)


@exercise.mistake("only the new kept")
def _(k_cache, v_cache, k, v):
    """Only the new tokens are left: those of all tokens so far are needed for the next one."""
    return k, v


@exercise.mistake("nothing kept")
def _(k_cache, v_cache, k, v):
    """The caches come back as they came: the new keys and values belong behind the old ones."""
    return k_cache, v_cache


@exercise.mistake("the oldest thrown out")
def _(k_cache, v_cache, k, v):
    """The caches keep their length, and the oldest tokens are lost: they grow by the new ones."""
    keys, values = extend_cache(k_cache, v_cache, k, v)
    n_new = k.shape[2]
    return keys[:, :, n_new:], values[:, :, n_new:]


@exercise.mistake("a window that slides")
def _(k_cache, v_cache, k, v):
    """Once there is something in them, the caches keep their length, and the oldest tokens are lost: they
    grow by the new ones.
    """
    n_new = k.shape[2] if k_cache.shape[2] else 0
    keys, values = extend_cache(k_cache, v_cache, k, v)
    return keys[:, :, n_new:], values[:, :, n_new:]


@exercise.mistake("only the first call fills it")
def _(k_cache, v_cache, k, v):
    """The caches are filled once, and then stay as they are: they grow at every call."""
    return (k_cache, v_cache) if k_cache.shape[2] else (k, v)


@exercise.mistake("the newest overwritten")
def _(k_cache, v_cache, k, v):
    """The last token of the caches is lost: the new ones come behind it, not in its place."""
    return extend_cache(k_cache[:, :, :-1], v_cache[:, :, :-1], k, v)


@exercise.mistake("only the last new token")
def _(k_cache, v_cache, k, v):
    """Of several new tokens only the last one is kept: when a prompt is read, there are many."""
    return extend_cache(k_cache, v_cache, k[:, :, -1:], v[:, :, -1:])


@exercise.mistake("only the first new token")
def _(k_cache, v_cache, k, v):
    """Of several new tokens only the first one is kept: when a prompt is read, there are many."""
    return extend_cache(k_cache, v_cache, k[:, :, :1], v[:, :, :1])


@exercise.mistake("the new ones backwards")
def _(k_cache, v_cache, k, v):
    """The new tokens stand backwards: the oldest of them comes first, too."""
    return extend_cache(k_cache, v_cache, k.flip(2), v.flip(2))


exercise.changed(
    "joined along the heads",
    "There are more heads now instead of more tokens: tokens are axis 2, or -2.",
    ("k], dim=2", "k], dim=1"),
    ("v], dim=2", "v], dim=1"),
)
exercise.changed(
    "joined along the width",
    "The keys are wider now instead of more: tokens are axis 2, or -2.",
    ("k], dim=2", "k], dim=-1"),
    ("v], dim=2", "v], dim=-1"),
)
exercise.changed(
    "joined along the batch",
    "There are more texts now instead of more tokens: tokens are axis 2, or -2.",
    ("k], dim=2", "k], dim=0"),
    ("v], dim=2", "v], dim=0"),
)


@exercise.mistake("the first text alone")
def _(k_cache, v_cache, k, v):
    """Only the first text's tokens are there: all B texts have theirs."""
    return extend_cache(k_cache[:1], v_cache[:1], k[:1], v[:1])


@exercise.mistake("a bare reshape")
def _(k_cache, v_cache, k, v):
    """All numbers of the new tokens were put behind all of the old ones, then reshaped, so that heads get
    each other's: join along axis 2.
    """
    return tuple(
        torch.cat([old.flatten(1), new.flatten(1)], 1).reshape(*old.shape[:2], -1, old.shape[3])
        for old, new in ((k_cache, k), (v_cache, v))
    )


# -------------------------------------------------------------------------------------------- keys and values


@exercise.mistake("keys and values exchanged")
def _(k_cache, v_cache, k, v):
    """Values and keys come back in the wrong order: first the keys, then the values."""
    keys, values = extend_cache(k_cache, v_cache, k, v)
    return values, keys


exercise.changed(
    "keys in both",
    "The keys come back twice: the second tensor is that of the values.",
    ("[v_cache, v]", "[k_cache, k]"),
)
exercise.changed(
    "the new keys in both",
    "The new keys were put behind the values too: behind `v_cache` comes `v`.",
    ("[v_cache, v]", "[v_cache, k]"),
)
exercise.changed(
    "only the new values",
    "The keys grew, but the values are those of the new tokens alone: both grow together.",
    ("torch.cat([v_cache, v], dim=2)", "v"),
)
exercise.changed(
    "values forgotten",
    "The keys grew, but the values came back as they were: both grow together.",
    ("torch.cat([v_cache, v], dim=2)", "v_cache"),
)
