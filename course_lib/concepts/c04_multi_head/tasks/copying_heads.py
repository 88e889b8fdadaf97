"""Find the heads that copy

A text of n random tokens, written twice, can only be continued by copying. In the second copy a copying
head looks at the token that came after the same token in the first copy. The same token is n places back,
so query i looks at key `i - n + 1`. A head's score is the mean of these weights over the queries of the
second copy. You get the weights of such a text, (L, H, 2n, 2n); return the k heads with the highest scores,
as a list of pairs (layer, head), counted from 0, the highest first. Then the check lets your function find
the copying heads of SmolLM2, and switches them off.

Hint: Take n = 3, tokens a b c a b c. The second b is query 4, the first b is key 1, and after it came c,
key 2.

Hint: All these weights lie on a diagonal of the last two axes: `weights.diagonal(offset=1 - n, dim1=-2,
dim2=-1)`. Its first entry belongs to the last query of the first copy.

Hint: `scores.flatten().topk(k)` finds the places of the k highest; `divmod(place, n_heads)` is (layer,
head).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import probing
from course_lib.checks import forms, real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm
from course_lib.concepts.c04_multi_head.tasks.previous_token_score import random_weights

exercise = Exercise(level=4, minutes=20, section="Who copies?", read=forms.contents)

N_TOKENS, N_OFF, N_DRAWS = 40, 5, 3
LEAST = 2.0  # by so much more must the learner's heads raise the loss than others do


@exercise.solution
def copying_heads(weights, n, k):
    """The heads that copy, the strongest first.

    Args:
        weights: (L, H, 2n, 2n), attention weights of a text of n tokens, written twice.
        n: tokens in one copy.
        k: how many heads to return.
    Returns: list of k pairs (layer, head), counted from 0.
    """
    ### BEGIN SOLUTION
    looked = weights.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., 1:]  # (L, H, n)
    n_heads = weights.shape[1]
    best = looked.mean(-1).flatten().topk(k).indices
    return [divmod(place, n_heads) for place in best.tolist()]
    ### END SOLUTION


# What a head that is no copying head may look at instead: from a query of the second copy, and n, to a key.
DECOYS = {
    "the same token": lambda query, n: query - n,
    "the previous token": lambda query, n: query - 1,
    "the first token": lambda query, n: 0,
    "itself": lambda query, n: query,
    "the token before the same": lambda query, n: max(query - n - 1, 0),
    "two after the same": lambda query, n: query - n + 2,
}


def weights_of_heads(rng, n_layers, n_heads, n, n_copying):
    """Causal weights of a text of n tokens, repeated: some heads copy, each to another degree.

    One head copies a single token, with a weight of 1, and one a good half of them; the others look at
    something else. The last query of the first copy has a key n - 1 back too, and does not count: some heads
    give it all their weight, some little.
    """
    weights = random_weights(rng, n_layers, n_heads, 2 * n, causal=True).astype(float)
    strengths = [0.7] if n_copying == 1 else np.linspace(0.4, 0.85, n_copying)
    decoys = list(DECOYS.values())
    for i, (layer, head) in enumerate(rng.permutation(list(np.ndindex(n_layers, n_heads)))):
        for query in range(n - 1, 2 * n):
            key, share = query - n + 1, 0.0
            if query == n - 1:
                share = float(rng.integers(2))
            elif i < n_copying:
                share = strengths[i]
            elif i == n_copying:
                share = float(query == n + 1)
            elif i == n_copying + 1:
                share = 0.75 * (query >= 2 * n - n // 2 - 1)
            else:
                key, share = decoys[(i - n_copying - 2) % len(decoys)](query, n), 0.9
            weights[layer, head, query] *= 1 - share
            weights[layer, head, query, key] += share
    return weights.astype(np.float32)


@exercise.cases
def _(rng):
    def inputs(n_layers, n_heads, n, k, n_copying):
        """Weights for which the last query, whose target is in the second copy, makes no difference.

        The one before the first, which belongs to the first copy, does.
        """
        while True:
            weights = weights_of_heads(rng, n_layers, n_heads, n, n_copying)
            looked = torch.from_numpy(weights).diagonal(1 - n, -2, -1).flatten(0, 1)
            ways = [looked[:, part].mean(-1) for part in (slice(1, None), slice(1, -1), slice(0, None))]
            all_n, without_last, one_more = (way.topk(k + 1) for way in ways)
            right = torch.equal(all_n.indices, without_last.indices)
            wrong = not torch.equal(all_n.indices[:k], one_more.indices[:k])
            clear = all((one.values.diff() < -0.02).all() for one in (all_n, without_last, one_more))
            if right and wrong and clear:
                return {"weights": weights, "n": n, "k": k}

    return in_torch(
        [
            Case("the one of six heads", inputs(2, 3, 3, 1, n_copying=1)),
            Case("more heads than layers", inputs(3, 11, 7, 5, n_copying=7), catches="heads of one layer"),
            Case("one layer", inputs(1, 13, 5, 3, n_copying=5), catches="an axis of one lost"),
        ]
    )


# ------------------------------------------------------------------------------------------------- in SmolLM2


def twice(n_rows, vocab_size):
    """Rows of random tokens, each written twice: nothing but copying can know the second copy."""
    rows = torch.randint(vocab_size, (n_rows, N_TOKENS), generator=torch.Generator().manual_seed(0))
    return rows.repeat(1, 2)


@torch.no_grad()
def loss_of_second_copy(model, ids):
    """The mean loss of the tokens of the second copy, from its second token on."""
    n = ids.shape[1] // 2
    return float(F.cross_entropy(model(ids)[:, n:-1].flatten(0, 1), ids[:, n + 1 :].flatten()))


def other_heads(chosen, n_heads):
    """Random heads of the same layers, a few draws of as many as were chosen."""
    rng = np.random.default_rng(0)
    layers = sorted({layer for layer, _ in chosen})
    rest = [(layer, head) for layer in layers for head in range(n_heads) if (layer, head) not in chosen]
    return [[rest[i] for i in rng.permutation(len(rest))[: len(chosen)]] for _ in range(N_DRAWS)]


@exercise.finale
@real_model.with_smollm2("lose the heads that you find")
def finds_smollm2s(learner, model, tokenizer):
    """Let the learner's function find the copying heads of SmolLM2, and switch them off."""

    yield f"SmolLM2 reads {N_TOKENS} random tokens, twice ...\n"
    ids = twice(2, model.config.vocab_size).to(next(model.parameters()).device)
    weights = probing.weights_of(model, ids[0])
    found = forms.contents(learner(weights.clone(), N_TOKENS, N_OFF))["result"].item()
    chosen = [(int(layer), int(head)) for layer, head in found]
    yield f"Your heads, written layer.head: {', '.join(f'{layer}.{head}' for layer, head in chosen)}\n"

    def loss(off):
        with probing.heads_off(model, off):
            return loss_of_second_copy(model, ids)

    blind = math.log(model.config.vocab_size)
    yield f"Loss of the second copy with all heads: {loss([]):.1f} (blind guessing: {blind:.1f})\n"
    without = loss(chosen)
    yield f"without yours: {without:.1f}\n"
    others = [loss(draw) for draw in other_heads(chosen, weights.shape[1])]
    yield (
        f"without {N_OFF} others of the same layers: {min(others):.1f} to {max(others):.1f} "
        f"({N_DRAWS} draws)\n"
    )
    if not without > max(others) + LEAST:
        raise WrongForm(
            f"In the real model your heads raise the loss to {without:.1f} and others to {max(others):.1f}: "
            f"expected at least {LEAST:g} more."
        )


# ---------------------------------------------------------------------------------------- what heads look at

DIAGONAL = "weights.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., 1:]"
exercise.changed(
    "the same token",
    "These heads look at the same token in the first copy: copying needs the one that came after it.",
    (DIAGONAL, "weights.diagonal(offset=-n, dim1=-2, dim2=-1)"),
)
exercise.changed(
    "the token before the same",
    "These heads look at the token before the same one: copying needs the one that came after it.",
    (DIAGONAL, "weights.diagonal(offset=-n - 1, dim1=-2, dim2=-1)"),
)
exercise.changed(
    "two tokens after",
    "These heads look two places after the same token: copying needs the one that came right after it.",
    (DIAGONAL, "weights.diagonal(offset=2 - n, dim1=-2, dim2=-1)[..., 2:]"),
)
exercise.changed(
    "one query too many",
    "The last query of the first copy was counted too. The diagonal of all weights n - 1 places back begins "
    "with it: leave its first entry out, so that the mean runs over the n queries of the second copy.",
    ("[..., 1:]", ""),
)
exercise.changed(
    "the previous token",
    "These heads look at the token just before each query, one place back: it is n - 1 places back.",
    (DIAGONAL, "weights.diagonal(offset=-1, dim1=-2, dim2=-1)"),
)
exercise.changed(
    "the first token",
    "These heads look at the very first token of the text.",
    (DIAGONAL, "weights[..., n:, 0]"),
)
exercise.changed(
    "anything in the first copy",
    "These heads look anywhere in the first copy: only the token that came after the same one counts.",
    (DIAGONAL, "weights[..., n:, :n].sum(-1)"),
)

# ----------------------------------------------------------------------------------------- which are returned

exercise.changed(
    "the largest weight",
    "The largest weight was taken for a score: one head copies a single token with all its weight. Take the "
    "mean.",
    ("looked.mean(-1)", "looked.amax(-1)"),
)
exercise.changed(
    "the weakest heads",
    "These are the heads with the lowest scores: the highest are asked for.",
    ("topk(k)", "topk(k, largest=False)"),
)
exercise.changed(
    "the weakest first",
    "These are the right heads in the wrong order: the highest score comes first.",
    ("best.tolist()", "best.flip(0).tolist()"),
)
exercise.changed(
    "in the order of the layers",
    "These are the right heads, but in the order of the layers: the highest score comes first.",
    ("best.tolist()", "sorted(best.tolist())"),
)
exercise.changed(
    "head before layer",
    "The pairs are (head, layer): the layer comes first.",
    ("divmod(place, n_heads)", "(place % n_heads, place // n_heads)"),
)
exercise.changed(
    "places instead of pairs",
    "These are the places in a row of all heads: a place is layer * H + head, so make pairs of it.",
    ("divmod(place, n_heads)", "place"),
)
exercise.changed(
    "divided by the number of layers",
    "A place in the row of all heads was divided by the number of layers: it is layer * H + head, so divide "
    "by H.",
    ("weights.shape[1]", "weights.shape[0]"),
)


@exercise.mistake("one head of each layer")
def _(weights, n, k):
    """Each layer gave one head: the highest scores may all lie in one layer."""
    looked = weights.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., 1:]
    score, head = looked.mean(-1).max(-1)
    return [(layer, int(head[layer])) for layer in score.argsort(descending=True).tolist()][:k]


@exercise.mistake("heads of one layer")
def _(weights, n, k):
    """All heads come from the layer that has the best one: the highest scores may lie in several layers."""
    [(layer, _)] = copying_heads(weights, n, 1)
    return [(layer, head) for _, head in copying_heads(weights[layer, None], n, k)]


exercise.changed(
    "rows and columns exchanged",
    "The diagonal lies on the other side, where queries look ahead: the token is n - 1 places *back*, so the "
    "offset is 1 - n.",
    ("offset=1 - n", "offset=n - 1"),
)


@exercise.mistake("counted from 1")
def _(weights, n, k):
    """Layers and heads were counted from 1: both start at 0."""
    return [(layer + 1, head + 1) for layer, head in copying_heads(weights, n, k)]
