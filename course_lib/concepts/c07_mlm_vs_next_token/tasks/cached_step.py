"""Attention with a cache

A model that writes need not read its text again for each token, if the keys and values of all tokens so far
are kept. `q`, `k` and `v` (B, H, T, K) belong to T new tokens, `k_cache` and `v_cache` (B, H, S, K) to the
S tokens before them. Return three tensors: what attention, softmax(q k^T / sqrt(K)) v, gives for the new
tokens (B, H, T, K), and the keys and the values of all S + T tokens, the oldest first. Every new token
attends to all tokens before it and to itself, but not to new ones that come later. When a text begins, S is
0 and T the length of the prompt; then T is mostly 1. The caches that come stay as they are: return new
ones.

Hint: Put the new keys behind those that are stored, along the axis of the tokens. Who then asks, and who is
asked?

Hint: The scores are (B, H, T, S + T). With S = 3 and T = 2, which of the five keys may each of the two
queries see?

Hint: `torch.ones(T, S + T, dtype=torch.bool).tril(S)` is True where a new token may look. Where T is 1,
that is everywhere.
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
    level=3,
    minutes=20,
    section="How a model writes",
    results=("mix", "keys", "values"),
    properties=(Property("stored in order", stored_in_order),),
)


@exercise.solution
def cached_step(q, k, v, k_cache, v_cache):
    """Attention of new tokens over themselves and all before; returns it, all keys and all values.

    Args:
        q, k, v: of the new tokens, (B, H, T, K).
        k_cache, v_cache: keys and values of the tokens before them, (B, H, S, K); S may be 0.
    """
    ### BEGIN SOLUTION
    n_new, n_before = q.shape[2], k_cache.shape[2]
    keys = torch.cat([k_cache, k], dim=2)
    values = torch.cat([v_cache, v], dim=2)
    scores = q @ keys.mT / q.shape[-1] ** 0.5  # (B, H, T, S + T)
    seen = torch.ones(n_new, n_before + n_new, dtype=torch.bool, device=q.device).tril(n_before)
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return weights @ values, keys, values
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(b, h, t, s, d, size=1.0):
        names = {"q": t, "k": t, "v": t, "k_cache": s, "v_cache": s}
        return {name: draw(rng, b, h, n, d, size=size) for name, n in names.items()}

    b, h = primes(rng, 2, 3)
    t, s = primes(rng, 5, 7)
    return in_torch(
        [
            Case("one new token, three before", inputs(1, 1, 1, 3, 2)),
            Case(
                "three new tokens, nothing before",
                inputs(1, 2, 3, 0, 5),
                catches="a largest score among none",
            ),
            Case("everything square", inputs(3, 3, 3, 3, 3), catches="tokens on axis 1"),
            Case("large scores", inputs(b, h, t, s, 11, size=30.0), catches="overflow"),
        ]
    )


# ------------------------------------------------------------------------------------------- what is stored

exercise.changed(
    "nothing stored",
    "The caches come back as they came: the keys and values of the new tokens belong behind the old ones.",
    ("return weights @ values, keys, values", "return weights @ values, k_cache, v_cache"),
)
exercise.changed(
    "only the new stored",
    "Only the keys and values of the new tokens come back: those of all tokens so far are needed next time.",
    ("return weights @ values, keys, values", "return weights @ values, k, v"),
)
exercise.changed(
    "only the old ones seen",
    "The new tokens attend to those before them alone: each attends to itself too, so store first, then "
    "attend.",
    (".masked_fill(~seen, -torch.inf)", "[..., :n_before]"),
    ("weights @ values", "weights @ v_cache"),
)


@exercise.mistake("only the new ones seen")
def _(q, k, v, k_cache, v_cache):
    """The new tokens attend to each other alone: the stored keys and values are those of the text so far."""
    mix, _, _ = cached_step(q, k, v, k_cache[:, :, :0], v_cache[:, :, :0])
    return mix, torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)


exercise.changed(
    "the new ones in front",
    "The new keys and values stand in front of the old ones: the oldest come first.",
    ("[k_cache, k]", "[k, k_cache]"),
    ("[v_cache, v]", "[v, v_cache]"),
)
exercise.changed(
    "the new ones in front of the caches",
    "What attention gives is right, but in the caches the new keys and values stand in front of the old "
    "ones: the oldest come first.",
    (
        "return weights @ values, keys, values",
        "return weights @ values, torch.cat([k, k_cache], 2), torch.cat([v, v_cache], 2)",
    ),
)
exercise.changed(
    "the oldest thrown out",
    "The caches keep their length, and the oldest tokens are lost: they grow by the new ones.",
    (
        "return weights @ values, keys, values",
        "return weights @ values, keys[:, :, n_new:], values[:, :, n_new:]",
    ),
)


@exercise.mistake("queries stored")
def _(q, k, v, k_cache, v_cache):
    """The queries were stored where keys belong: nobody asks for an old query again, the keys are what is
    kept.
    """
    return cached_step(q, q, v, k_cache, v_cache)


exercise.changed(
    "queries in the returned cache",
    "The mix is right, but queries come back where the new keys belong.",
    ("return weights @ values, keys, values", "return weights @ values, torch.cat([k_cache, q], 2), values"),
)
exercise.changed(
    "caches exchanged",
    "Keys and values come back in the wrong order: first what attention gives, then the keys, then the "
    "values.",
    ("return weights @ values, keys, values", "return weights @ values, values, keys"),
)
exercise.changed(
    "the keys mixed",
    "The keys were mixed: the weights come from the keys, what is mixed are the values.",
    ("weights @ values", "weights @ keys"),
)


# ---------------------------------------------------------------------------------------------- who is seen

exercise.changed(
    "new tokens look ahead",
    "Several new tokens see each other, later ones too. With one new token nothing is ahead, but a prompt "
    "comes as several: a mask is needed.",
    (".masked_fill(~seen, -torch.inf)", ""),
)
exercise.changed(
    "a mask from the first key on",
    "The mask begins at the first key, so new token i sees i + 1 tokens. That is `is_causal=True` and "
    "`tril()`. New token i comes after S others: it sees S + i + 1, which is `tril(S)`.",
    ("tril(n_before)", "tril()"),
)
exercise.changed(
    "a mask by the number of new tokens",
    "The diagonal of the mask stands at T, the number of new tokens: it stands at S, as new token i sees all "
    "S before it.",
    ("tril(n_before)", "tril(n_new)"),
)
exercise.changed(
    "mask upside down",
    "The mask forbids what may be seen, and lets through what comes later.",
    ("~seen", "seen"),
)
exercise.changed(
    "masked after the softmax",
    "",
    ("scores.masked_fill(~seen, -torch.inf).softmax(-1)", "scores.softmax(-1) * seen"),
)
exercise.changed("forbidden scores set to zero", "", ("-torch.inf", "0"))
exercise.changed(
    "not itself",
    "A new token does not see itself: the mask is too strict by one.",
    ("tril(n_before)", "tril(n_before - 1)"),
)
exercise.changed(
    "one ahead",
    "Each new token sees the next one too: the mask is too wide by one.",
    ("tril(n_before)", "tril(n_before + 1)"),
)
exercise.changed(
    "the last token alone",
    "Only the last new token gets a result: each of the T new ones does.",
    ("return weights @ values", "return (weights @ values)[:, :, -1:]"),
)
exercise.changed(
    "results of all tokens",
    "The old tokens got a result too, as zeros or anew: only the T new ones do.",
    ("return weights @ values", "return torch.cat([torch.zeros_like(v_cache), weights @ values], 2)"),
)
exercise.changed(
    "no scaling",
    "",
    (" / q.shape[-1] ** 0.5", ""),
)
exercise.changed(
    "divided by K",
    "",
    ("q.shape[-1] ** 0.5", "q.shape[-1]"),
)
exercise.changed(
    "scaled by the number of keys",
    "",
    ("q.shape[-1] ** 0.5", "keys.shape[2] ** 0.5"),
)
exercise.changed(
    "softmax over the queries",
    "",
    ("softmax(-1)", "softmax(-2)"),
)
exercise.changed(
    "scaled by the number of queries",
    "",
    ("q.shape[-1] ** 0.5", "q.shape[2] ** 0.5"),
)
exercise.changed("divided by twice K", "", ("q.shape[-1] ** 0.5", "q.shape[-1] ** 1 / 2"))
exercise.changed("multiplied instead of divided", "", ("/ q.shape[-1]", "* q.shape[-1]"))
exercise.changed("softmax over the heads", "", ("softmax(-1)", "softmax(1)"))
exercise.changed(
    "no softmax", "", ("scores.masked_fill(~seen, -torch.inf).softmax(-1)", "scores.masked_fill(~seen, 0)")
)


@exercise.mistake("overflow")
def _(q, k, v, k_cache, v_cache):
    keys, values = torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)
    powers = (q @ keys.mT / q.shape[-1] ** 0.5).exp().tril(k_cache.shape[2])
    return powers / powers.sum(-1, keepdim=True) @ values, keys, values


@exercise.mistake("tokens on axis 1")
def _(q, k, v, k_cache, v_cache):
    """Axis 1 was taken for the tokens, but it counts the heads: tokens are axis 2, or -2."""
    given = (x.transpose(1, 2) for x in (q, k, v, k_cache, v_cache))
    return tuple(x.transpose(1, 2) for x in cached_step(*given))
