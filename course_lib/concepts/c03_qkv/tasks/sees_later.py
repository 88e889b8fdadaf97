"""Does it look ahead?

Somebody gives you a layer and says that it does not look ahead. Find out by trying it: does an output
depend on a token that comes later?

Hint: Change a later token and see whether an earlier output moves.

Hint: For every position t: put other numbers into `x[t:]` of a copy (`torch.randn_like`; a layer may be
blind to a shift), and compare the outputs before t with `torch.allclose`.
"""

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, draw
from course_lib.checks.kinds import Case
from course_lib.concepts.c03_qkv.tasks.attention import attention

N_TOKENS = 5  # on so many a layer is tried

exercise = Exercise(level=3, minutes=15, section="Why the MLP is not enough", other_forms=False)


@exercise.solution
def sees_later(attend, x):
    """Whether an output of a layer depends on a later token.

    Args:
        attend: the layer, a function from (T, D) to (T, D).
        x: (T, D), tokens to try it on; not to be changed.
    Returns: True or False.
    """
    ### BEGIN SOLUTION
    y = attend(x)
    for t in range(1, len(x)):
        changed = x.clone()
        changed[t:] = torch.randn_like(changed[t:])
        if not torch.allclose(attend(changed)[:t], y[:t], atol=1e-5):
            return True
    return False
    ### END SOLUTION


class Layer:
    """A layer to be judged, for any number of tokens: (T, D) to (T, D).

    Args:
        name: shown to the learner.
        ahead: whether it looks ahead.
        function: what it computes.
        catches: the answer for which it is there.
    """

    def __init__(self, name, ahead, function, catches=""):
        self.__name__ = name
        self.ahead = ahead
        self.function = function
        self.catches = catches

    def __call__(self, x):
        return self.function(x)

    def __getstate__(self):
        """What a grader's sandbox gets: neither what is right nor a name that tells it."""
        return {"__name__": "a layer", "function": self.function}


@exercise.reference
def _(attend, x):
    """Known from how the layer is made, so no tolerance decides about it."""
    return attend.ahead


def opened(query, key):
    """A causal mask for any number of tokens, with one more pair allowed where there is such a pair."""

    def mask(n):
        seen = np.tri(n, dtype=bool)
        seen[query : query + 1, key:][:, :1] = True
        return seen

    return mask


def delayed(delays):
    """A causal mask in time, for any number of tokens: each has its place and a delay as its time."""

    def mask(n):
        times = np.arange(n) + np.pad(delays, (0, n))[:n]
        return times <= times[:, None]

    return mask


def centred(x):
    """Every token with mean 0: blind to a shift."""
    return x - x.mean(-1, keepdim=True)


def scaled(x):
    """Every token with root mean square 1: blind to its length."""
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def layers(rng, d):
    """Layers that look ahead, and layers that don't; what a token may see has a weight to be noticed."""
    # Small queries and keys: no weight is so close to 0 that a change behind it drowns in rounding.
    w_q, w_k = (torch.from_numpy(draw(rng, d, d, size=0.3)) for _ in range(2))
    w_v = torch.from_numpy(2 * np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32))

    def masked(mask):
        def layer(x):
            q, k, v = (x @ w.to(x.dtype) for w in (w_q, w_k, w_v))
            return attention(q, k, v, torch.from_numpy(mask(len(x))))

        return layer

    causal = masked(lambda n: np.tri(n, dtype=bool))
    every = masked(lambda n: np.ones((n, n), bool))
    ahead = masked(lambda n: np.tri(n, k=1, dtype=bool))
    later = masked(lambda n: np.tri(n, dtype=bool).T)

    def little(x):
        return causal(x) + 0.01 * every(x)

    # Two layers of one code, drawn numbers tell what is right: no table of layers knows it.
    in_order, too_late = rng.uniform(0, 0.9, (2, N_TOKENS))
    too_late[between(rng, 0, N_TOKENS - 2)] += rng.uniform(2, 5)
    return [
        Layer("causal attention", False, causal),
        Layer(
            "the largest of all tokens is added to each", True, lambda x: x + x.amax(0), "only growth counts"
        ),
        Layer(
            "the largest of all tokens is taken away from each",
            True,
            lambda x: x - x.amax(0),
            "only shrinking counts",
        ),
        Layer("attention that sees one token ahead", True, ahead, "the nearest output is left out"),
        Layer(
            "causal, but the first token sees the last",
            True,
            masked(opened(0, -1)),
            "only the next token is changed",
        ),
        Layer(
            "causal, but the second token sees the third",
            True,
            masked(opened(1, 2)),
            "the second token is never changed",
        ),
        Layer(
            "causal, but the first token sees the second",
            True,
            masked(opened(0, 1)),
            "the second token is never changed",
        ),
        Layer(
            "an MLP, token by token", False, lambda x: torch.tanh(x @ w_v.to(x.dtype)), "counts any change"
        ),
        Layer("each token sees itself and later ones", True, later, "the order is turned round"),
        Layer("causal, and a little of all tokens", True, little, "too much tolerance"),
        Layer("no mask, signs taken off", True, lambda x: every(x.abs()), "only turns the signs"),
        Layer(
            "no mask, tokens brought to length 1", True, lambda x: every(scaled(x)), "only scales the tokens"
        ),
        Layer("no mask, normalised", True, lambda x: every(scaled(centred(x))), "only shifts the tokens"),
        Layer(
            "causal in time, but a token has a later one's",
            True,
            masked(delayed(too_late)),
            "takes times for causal",
        ),
        Layer("causal in time", False, masked(delayed(in_order)), "takes times for a look ahead"),
    ]


def noticeable_tokens(rng, n_tokens, d):
    """Tokens of which none is nearly 0, or nearly the same number d times: what is put in its place shows."""
    while True:
        x = draw(rng, n_tokens, d)
        if (x.std(-1) > 0.2).all():
            return torch.from_numpy(x)


@exercise.cases
def _(rng):
    def inputs(layer):
        x = noticeable_tokens(rng, N_TOKENS, 3)
        if "largest" in layer.__name__:
            x[-1] += 30  # whatever else comes in its place, the largest becomes smaller
        return {"attend": layer, "x": x}

    return [Case(layer.__name__, inputs(layer), catches=layer.catches) for layer in layers(rng, 3)]


# ------------------------------------------------------------------------------ what is changed and compared

CHANGE = "changed[t:] = torch.randn_like(changed[t:])"
COMPARE = "attend(changed)[:t], y[:t]"
exercise.changed(
    "counts any change",
    "It says True even of a causal layer: a changed token may change its own output. Compare the outputs "
    "before it.",
    (COMPARE, "attend(changed), y"),
)
exercise.changed(
    "changes the first token",
    "It changes a token and compares the outputs after it: they may depend on it. Compare the ones before "
    "it.",
    (CHANGE, "changed[:t] = torch.randn_like(changed[:t])"),
    (COMPARE, "attend(changed)[t:], y[t:]"),
)
exercise.changed(
    "only the last token is changed",
    "Only the last token is changed: a layer can also look at one in the middle.",
    (CHANGE, "changed[-1] = torch.randn_like(changed[-1])"),
)
exercise.changed(
    "only the first output is compared",
    "Only the first token's output is compared: a later one can look ahead too. Does a `return` end the loop "
    "in its first round?",
    (COMPARE, "attend(changed)[0], y[0]"),
)
exercise.changed(
    "the nearest output is left out",
    "The output just before the changed token is not compared: `[:t]` has all that come before token t.",
    (COMPARE, "attend(changed)[: t - 1], y[: t - 1]"),
)
exercise.changed(
    "only the next token is changed",
    "Each output is tried with the next token only: a layer can look further ahead.",
    (CHANGE, "changed[t] = torch.randn_like(changed[t])"),
    (COMPARE, "attend(changed)[t - 1], y[t - 1]"),
)
exercise.changed(
    "only shifts the tokens",
    "Tokens are changed by adding one number to all of theirs: a layer that normalises its tokens does not "
    "see that. Put other numbers in.",
    (CHANGE, "changed[t:] += 1"),
)
exercise.changed(
    "only scales the tokens",
    "Tokens are only made longer or shorter: a layer that normalises its tokens does not see that. Put other "
    "numbers in.",
    (CHANGE, "changed[t:] *= 2"),
)

exercise.changed(
    "only turns the signs",
    "Only the signs of the tokens are turned: a layer may be blind to that. Put other numbers in.",
    (CHANGE, "changed[t:] *= -1"),
)
exercise.changed(
    "ends in the first round",
    "Only the second token is ever changed: does a `return` end the loop in its first round? Return False "
    "after the loop.",
    ("range(1, len(x))", "[1]"),
    (CHANGE, "changed[t] = torch.randn_like(changed[t])"),
)
# By chance all three numbers of an output may move one way, or hardly: these try each token many times.
exercise.changed(
    "too much tolerance",
    "An output may move by 0.1 and count as unmoved, and a layer may look ahead just a little. Rounding "
    "moves it by a millionth: 1e-5 is a limit.",
    ("range(1, len(x))", "[*range(1, len(x))] * 20"),
    ("atol=1e-5", "atol=0.1"),
)

exercise.changed(
    "only growth counts",
    "Outputs that become smaller count as unmoved: their difference is below 0, and so below any limit. Take "
    "its size, with `.abs()`.",
    ("range(1, len(x))", "[*range(1, len(x))] * 20"),
    ("not torch.allclose(attend(changed)[:t], y[:t], atol=1e-5)", "(attend(changed) - y)[:t].max() > 1e-5"),
)
exercise.changed(
    "only shrinking counts",
    "Outputs that become larger count as unmoved: the output before minus the one after is below 0, and so "
    "below any limit. Take its size, with `.abs()`.",
    ("range(1, len(x))", "[*range(1, len(x))] * 20"),
    ("not torch.allclose(attend(changed)[:t], y[:t], atol=1e-5)", "(y - attend(changed))[:t].max() > 1e-5"),
)
exercise.changed(
    "NaN spreads",
    "NaN and infinity spread even through a weight of 0, because 0 times NaN is NaN: change a token to an "
    "ordinary number.",
    (CHANGE, "changed[t:] = torch.nan"),
)


@exercise.mistake("the opposite answer")
def _(attend, x):
    """It says True where False is right, and the other way round."""
    return not sees_later(attend, x)


@exercise.mistake("nothing is changed")
def _(attend, x):
    """It says False of every layer: change a token (by about 1; less drowns in rounding), call the layer
    again, and compare.
    """
    return not torch.allclose(attend(x.clone()), attend(x))
