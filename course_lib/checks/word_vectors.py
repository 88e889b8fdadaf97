"""The tasks of solutions/01_tokens/word_vectors.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 01_tokens.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.checks import forms
from course_lib.checks.inputs import Rng, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray


# ------------------------------------------------------------------------------------------------------- ppmi


def products_of_sums(counts: Array) -> Array:
    """For each pair the sum of its row times that of its column."""
    return counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True)


def ppmi(
    counts: Array,
    *,
    by_chance: Callable[[Array], Array] = products_of_sums,
    log: Callable[[Array], Array] = np.log,
    empty: float = 0.0,
) -> Array:
    """How much more often than by chance a word and a context meet, on a log scale; never below 0."""
    return np.maximum(pmi(counts, by_chance=by_chance, log=log, empty=empty), 0)


def pmi(
    counts: Array,
    *,
    by_chance: Callable[[Array], Array] = products_of_sums,
    log: Callable[[Array], Array] = np.log,
    empty: float = 0.0,
) -> Array:
    """As `ppmi`, also below 0; `empty` where the two never meet."""
    met = counts > 0
    chance = np.where(met, by_chance(counts) / counts.sum(), 1)
    return np.where(met, log(np.where(met, counts, 1) / chance), empty)


def ppmi_cases(rng: Rng) -> list[Case]:
    def counts(*shape: int, empty: tuple[Any, ...] = ()) -> Array:
        """Random counts: each word has a context that it meets more often, and one that it never meets."""
        rows = np.arange(shape[0])
        while True:
            n = rng.integers(1, 6, shape).astype(np.float32)
            often = rng.integers(shape[1], size=shape[0])
            n[rows, often] += rng.integers(7, 12, shape[0])
            n[rows, (often + 1) % shape[1]] = 0
            if empty:
                n[empty] = 0
            if ppmi(n).max() > 0.3:  # where nothing is above chance, all is 0 but for rounding
                return n

    return [
        Case("two words, three contexts", {"counts": counts(2, 3)}),
        Case("three words, three contexts", {"counts": counts(3, 3)}),
        Case("a word that never occurs", {"counts": counts(3, 5, empty=(1,))}),
        Case("a context that never occurs", {"counts": counts(5, 3, empty=(slice(None), 2))}),
        Case("many words", {"counts": counts(*primes(rng, 7, 11))}),
        Case("float64", {"counts": 1000 * counts(*primes(rng, 5, 7)).astype(np.float64)}),
        Case("stored column by column", {"counts": backwards(counts(5, 5))}),
    ]


# ------------------------------------------------------------------------------------------------- neighbours


def cosines(vectors: Array, word: int, *, least: float = 1e-30) -> Array:
    """The cosine of every word to this one; 0 for a vector of zeros."""
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors @ vectors[word] / np.maximum(lengths * lengths[word], least)


def neighbours(
    vectors: Array,
    word: int,
    k: int,
    *,
    near: Callable[[Array, int], Array] = cosines,
    shown: Callable[[Array, int], Array] | None = None,
    others: Callable[[Array, int], Array] = lambda order, word: order[order != word],
) -> list[tuple[int, float]]:
    """The k words of the largest `near`, best first."""
    values = near(vectors, word)
    order = others(np.argsort(-values, kind="stable"), word)[:k]
    values = values if shown is None else shown(vectors, word)
    return [(int(i), float(values[i])) for i in order]


def neighbours_cases(rng: Rng) -> list[Case]:
    def apart(n: int, d: int, k: int, *, zero: bool = False) -> dict[str, Any]:
        """Random vectors; no two cosines are nearly the same, nor nearly 0, nor of one size."""
        while True:
            vectors = draw(rng, n, d)
            word = int(rng.integers(1, n))
            # Of two vectors in nearly one direction the longer one has the larger product.
            vectors *= rng.choice([1, 2, 3], (n, 1)).astype(np.float32)
            sizes = np.sort(np.abs(np.delete(cosines(vectors.astype(float), word), word)))
            if sizes[0] > 0.02 and np.diff(sizes).min() > 0.0005 and sizes[-1] < 0.99:
                break
        if zero:
            vectors[0] = 0
        return {"vectors": vectors, "word": word, "k": k}

    def parallel(word: int, other: int) -> dict[str, Any]:
        """A second vector in the direction of the word's own: both have a cosine of exactly 1."""
        inputs = apart(7, 3, 3)
        inputs["vectors"][word] = rng.choice([-3, -2, -1, 1, 2, 3], 3)
        inputs["vectors"][other] = 2 * inputs["vectors"][word]
        values = np.delete(cosines(inputs["vectors"].astype(float), word), [word, other])
        if np.diff(np.sort(np.abs(values))).min() < 0.0005 or np.abs(values).max() > 0.99:
            return parallel(word, other)
        return {**inputs, "word": word}

    wide = apart(11, 5, 3)
    stored = apart(7, 5, 2)
    return [
        Case("five words", apart(5, 2, 3)),
        Case("all other words", apart(7, 3, 6)),
        Case("a vector of zeros", apart(7, 3, 6, zero=True)),
        Case("a longer vector in the same direction", parallel(4, 2)),
        Case("a longer vector in the same direction, further on", parallel(1, 5)),
        Case("one neighbour", apart(11, 7, 1)),
        Case("float64", {**wide, "vectors": wide["vectors"].astype(np.float64)}),
        Case("stored column by column", {**stored, "vectors": backwards(stored["vectors"])}),
    ]


# ------------------------------------------------------------------------------------ negative sampling loss


def log_sigmoid(scores: Tensor) -> Tensor:
    import torch.nn.functional as F

    return F.logsigmoid(scores)


def score(vectors: Tensor, centres: Tensor) -> Tensor:
    """The product of each vector with its centre."""
    return (vectors * centres).sum(-1)


def negative_sampling_loss(
    centres: Tensor,
    contexts: Tensor,
    negatives: Tensor,
    *,
    log_chance: Callable[[Tensor], Tensor] = log_sigmoid,
    log_other: Callable[[Tensor], Tensor] | None = None,
    sign: float = -1.0,
    over_negatives: Callable[[Tensor], Tensor] = lambda logs: logs.sum(-1),
    over_pairs: Callable[[Tensor], Tensor] = lambda logs: logs.mean(),
) -> Tensor:
    """Minus the log chance that the right pairs are called right and the drawn ones wrong."""
    right = log_chance(score(contexts, centres))
    wrong_scores = score(negatives, centres[:, None])
    wrong = log_chance(sign * wrong_scores) if log_other is None else log_other(wrong_scores)
    return -over_pairs(right + over_negatives(wrong))


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def negative_sampling_loss_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, k: int, d: int) -> dict[str, Array]:
        while True:
            centres, contexts, negatives = draw(rng, b, d), draw(rng, b, d), draw(rng, b, k, d)
            scores = np.concatenate([(contexts * centres)[:, None], -negatives * centres[:, None]], 1).sum(-1)
            # A tiny loss is the small difference of large numbers in some right ways to write it, and some
            # have another gradient at a score of exactly 0.
            if np.log1p(np.exp(-scores)).sum(1).mean() > 1 and np.abs(scores).min() > 0.02:
                return {"centres": centres, "contexts": contexts, "negatives": negatives}

    def loud(n: float, drawn: bool = True) -> dict[str, Array]:
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

    wide = inputs(5, *primes(rng, 3, 7))
    double = {name: x.astype(np.float64) for name, x in wide.items()}
    cases = [
        Case("one pair, one negative", inputs(1, 1, 3)),
        Case("two pairs, three negatives", inputs(2, 3, 5), gradients=True),
        Case("scores of 1000", loud(1000), gradients=True),
        Case("scores of 60", loud(60)),
        Case("a right pair with a score of -200", loud(200, drawn=False)),
        Case("float64", double),
        Case("stored column by column", {name: backwards(x) for name, x in inputs(5, 2, 7).items()}),
    ]
    return in_torch(cases)


TASKS = {
    "ppmi": Code(reference=ppmi, cases=ppmi_cases),
    "neighbours": Code(
        reference=neighbours, cases=neighbours_cases, read=forms.ranking, results=("words", "cosines")
    ),
    "negative_sampling_loss": Code(
        reference=negative_sampling_loss, cases=negative_sampling_loss_cases, tensor=True
    ),
}
