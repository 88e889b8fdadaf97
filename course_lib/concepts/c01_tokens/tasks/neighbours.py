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
        first = [number for number, _ in neighbours(vectors.astype(float), word, k)]
        by_product = [number for number, _ in ranked_by_products(vectors, word, k)]
        products = np.sort(vectors @ vectors[word])
        no_tie = np.diff(products).min() > 0.01
        if no_tie and first != by_product and are_apart(neighbours(vectors.astype(float), word, n - 1)):
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
    short = apart(rng, 11, 7, 10)
    short["vectors"] *= np.float32(1e-5)  # some right ways take lengths of 1e-6 for 0
    return [
        Case("five words", apart(rng, 5, 2, 3)),
        Case("one neighbour", apart(rng, 7, 5, 1), catches="one pair, not in a list"),
        Case("a vector of zeros", zero, catches="NaN for a vector of zeros"),
        Case("short vectors", short, catches="short vectors taken for zeros"),
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


@exercise.mistake("numbers behind the word shifted")
def _(vectors, word, k):
    """The word was deleted first, so each word behind it has a number that is one too small."""
    others = [
        (number - (number > word), cosine) for number, cosine in neighbours(vectors, word, len(vectors))
    ]
    return others[:k]


exercise.changed(
    "one too few",
    "One neighbour too few: the word itself was among the k, and left out afterwards. Leave it out first.",
    ("np.argsort(-cosines)", 'np.argsort(-cosines, kind="stable")'),
    ("in order[order != word][:k]", "in order[:k] if i != word"),
)

# ------------------------------------------------------------------------------------------- what is compared

exercise.changed(
    "products instead of cosines",
    "These are products: divide by the lengths of both vectors, or long vectors win.",
    (" / np.maximum(lengths * lengths[word], 1e-30)", ""),
)
ranked_by_products = exercise.changed(
    "ranked by products",
    "The words are ranked by their products, and the cosines stand beside them: the largest cosine first.",
    ("np.argsort(-cosines)", "np.argsort(-vectors @ vectors[word])"),
)
exercise.changed(
    "one length for all words",
    "`np.linalg.norm(vectors)` is one number, the length of all vectors together: each has its own, "
    "`np.linalg.norm(vectors, axis=1)`.",
    ("lengths * lengths[word]", "np.linalg.norm(vectors) * lengths[word]"),
)
exercise.changed(
    "one length for all, twice",
    "`np.linalg.norm(vectors)` is one number, the length of all vectors together: each has its own, "
    "`np.linalg.norm(vectors, axis=1)`.",
    ("lengths * lengths[word]", "np.linalg.norm(vectors) ** 2"),
)


@exercise.mistake("lengths of the columns")
def _(vectors, word, k):
    """Each column was divided by its length: a vector is a row, so its length is taken along axis 1."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-30)
    cosines = unit @ unit[word]
    order = np.argsort(-cosines)
    return [(i, cosines[i]) for i in order[order != word][:k]]


exercise.changed(
    "squares of the lengths",
    "The products were divided by the squares of the lengths: a length is the root of the sum of squares.",
    ("np.maximum(lengths * lengths[word], 1e-30)", "np.maximum((lengths * lengths[word]) ** 2, 1e-30)"),
)
exercise.changed(
    "short vectors taken for zeros",
    "Something was added to the lengths, or small ones were replaced by a larger number, so short vectors "
    "get cosines near 0: only a length of 0 needs help, `np.maximum(..., 1e-30)`.",
    ("np.maximum(lengths * lengths[word], 1e-30)", "(lengths * lengths[word] + 1e-8)"),
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
    "1 minus the cosine",
    "These are 1 minus the cosines, which is called cosine distance: return the cosines.",
    ("(i, cosines[i])", "(i, 1 - cosines[i])"),
)
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
