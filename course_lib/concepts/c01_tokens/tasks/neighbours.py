"""The nearest words

Which k words are nearest to a word? Compare by cosine: the dot product of the two vectors, divided by both
their lengths. The word itself is no neighbour of its own. A vector of zeros has cosine 0 to every word.
Return pairs (word, cosine), the largest cosine first; no two of the check's neighbours tie.

Hint: `vectors @ vectors[word]` gives the products with all words at once, `np.linalg.norm(vectors, axis=1)`
all lengths.

Hint: Divide by `np.maximum(lengths * lengths[word], 1e-30)`: then a vector of zeros gives 0 and not NaN.

Hint: `np.argsort(-cosines)` puts the best first. Take the word out by its number, `order[order != word]`:
another word may have a cosine of 1 too.
"""

import numpy as np

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2, minutes=12, section="Known by its company", results=("words", "cosines"), read=forms.ranking
)


@exercise.solution
def neighbours(vectors, word, k):
    """The k nearest words by cosine.

    Args:
        vectors: (V, D), one vector per word; not to be changed.
        word: the number of a word; its vector is not zero.
        k: from 1 to V - 1.
    Returns: a list of k pairs (number of the word, cosine), the largest cosine first.
    """
    ### BEGIN SOLUTION
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors[word] / np.maximum(lengths * lengths[word], 1e-30)
    order = np.argsort(-cosines)
    return [(i, cosines[i]) for i in order[order != word][:k]]
    ### END SOLUTION


def apart(rng, n, d, k):
    """Random vectors; no two cosines are nearly the same, nor nearly 0, nor of one size."""
    while True:
        # Of two vectors in nearly one direction the longer one has the larger product.
        vectors = draw(rng, n, d) * rng.choice([1, 2, 3], (n, 1)).astype(np.float32)
        word = int(rng.integers(1, n))
        if are_apart(neighbours(vectors.astype(float), word, n - 1)):
            return {"vectors": vectors, "word": word, "k": k}


def parallel(rng, word, other):
    """A second vector in the direction of the word's own: both have a cosine of exactly 1."""
    while True:
        vectors = apart(rng, 7, 3, 3)["vectors"]
        vectors[word] = rng.choice([-3, -2, -1, 1, 2, 3], 3)
        vectors[other] = 2 * vectors[word]
        if are_apart(neighbours(vectors.astype(float), word, 6)[1:]):
            return {"vectors": vectors, "word": word, "k": 3}


def are_apart(pairs):
    sizes = np.sort([abs(cosine) for _, cosine in pairs])
    return sizes[0] > 0.02 and np.diff(sizes).min() > 0.0005 and sizes[-1] < 0.99


@exercise.cases
def _(rng):
    zero = apart(rng, 7, 3, 6)
    zero["vectors"][0] = 0
    return [
        Case("five words", apart(rng, 5, 2, 3)),
        Case("one neighbour", apart(rng, 11, 7, 1), catches="one pair, not in a list"),
        Case("a vector of zeros", zero, catches="NaN for a vector of zeros"),
        Case(
            "a longer vector in the same direction",
            parallel(rng, 4, 2),
            catches="the first left out, whoever it is",
        ),
        Case(
            "a longer vector in the same direction, further on",
            parallel(rng, 1, 5),
            catches="the first left out, from the other side",
        ),
    ]


# -------------------------------------------------------------------------------------------- who is left out

exercise.changed(
    "the word itself",
    "The word itself is among its neighbours: leave it out.",
    ("np.argsort(-cosines)", 'np.argsort(-cosines, kind="stable")'),
    ("order[order != word]", "order"),
)
exercise.changed(
    "the first left out, whoever it is",
    "The first of the ranking was left out, but here another word has a cosine of 1 too: leave the word out "
    "by its number.",
    ("np.argsort(-cosines)", 'np.argsort(-cosines, kind="stable")'),
    ("order[order != word]", "order[1:]"),
)
exercise.changed(
    "the first left out, from the other side",
    "The last of the sorted words was left out, but here another word has a cosine of 1 too: leave the word "
    "out by its number.",
    ("np.argsort(-cosines)", 'np.argsort(cosines, kind="stable")[::-1]'),
    ("order[order != word]", "order[1:]"),
)

# ------------------------------------------------------------------------------------------- what is compared

exercise.changed(
    "products instead of cosines",
    "These are products: divide by the lengths of both vectors, or long vectors win.",
    (" / np.maximum(lengths * lengths[word], 1e-30)", ""),
)
exercise.changed(
    "divided by one length",
    "The products were divided by the length of the other word alone: divide by both lengths.",
    ("lengths * lengths[word]", "lengths"),
)
exercise.changed(
    "divided by the word's own length",
    "The products were divided by the length of the word itself alone: divide by both lengths.",
    ("lengths * lengths[word]", "lengths[word]"),
)
exercise.changed(
    "distances",
    "These are the words at the smallest distance: the nearest by cosine were asked for.",
    (
        "vectors @ vectors[word] / np.maximum(lengths * lengths[word], 1e-30)",
        "np.linalg.norm(vectors - vectors[word], axis=1)",
    ),
    ("-cosines", "cosines"),
)
exercise.changed(
    "the farthest words",
    "The farthest words come first: sort from the largest cosine to the smallest.",
    ("-cosines", "cosines"),
)
exercise.changed(
    "NaN for a vector of zeros",
    "A vector of zeros has length 0, and 0/0 is NaN: its cosine is 0. Divide by at least 1e-30.",
    ("np.maximum(lengths * lengths[word], 1e-30)", "(lengths * lengths[word])"),
)
exercise.changed(
    "the sign is lost",
    "The sign of the cosine is lost: -0.9 is far away, not near.",
    ("vectors @ vectors[word]", "abs(vectors @ vectors[word])"),
)

# ------------------------------------------------------------------------------------------------ what comes

exercise.changed(
    "cosine before word",
    "The cosine stands before the word: return pairs (word, cosine).",
    ("(i, cosines[i])", "(cosines[i], i)"),
)


@exercise.mistake("one too many")
def _(vectors, word, k):
    """One neighbour too many: k were asked for."""
    return neighbours(vectors, word, k + 1)


@exercise.mistake("in the order of the words")
def _(vectors, word, k):
    """The neighbours stand in the order of their numbers: the largest cosine first."""
    return sorted(neighbours(vectors, word, k))
