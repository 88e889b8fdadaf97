"""A linear head

A linear layer makes C scores of each vector: one matrix product, and a number to add to each score. The
weight is stored as `nn.Linear` stores it, (C, D): one row of D numbers for each class.

Hint: For one vector and one class: multiply the vector with the class's row of the weight, number by
number, sum up, add the class's bias.

Hint: A row times a matrix is `row @ matrix`, and it works for all rows at once. Which shape must the matrix
have?

Hint: (..., D) times (D, C) gives (..., C), and the weight is (C, D): exchange its two axes with `weight.T`.
"""

import numpy as np

from course_lib import maths
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=6, section="One matrix decides")


@exercise.solution
def linear_head(vectors, weight, bias):
    """Scores of all classes, for every vector.

    Args:
        vectors: (..., D), one vector per row.
        weight: (C, D), as `nn.Linear` stores it; not to be changed.
        bias: (C,).
    Returns: (..., C).
    """
    ### BEGIN SOLUTION
    return vectors @ weight.T + bias
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(*batch, d, c):
        # No bias is nearly 0 or 1: nothing could be seen of it.
        bias = (rng.choice([-1, 1], c) * rng.uniform(1.5, 3, c)).round(1).astype(np.float32)
        return {"vectors": draw(rng, *batch, d), "weight": draw(rng, c, d), "bias": bias}

    return [
        Case("two vectors, three classes", inputs(2, d=5, c=3)),
        Case("a batch", inputs(2, 5, d=7, c=3), catches="two axes taken for granted"),
        Case("one vector", inputs(d=5, c=2), catches="a bias for each vector"),
        Case("as many classes as numbers", inputs(2, d=3, c=3), catches="weight not transposed"),
    ]


exercise.changed(
    "bias forgotten",
    "The bias is missing: each class has a number of its own that is added to its score.",
    (" + bias", ""),
)
exercise.changed(
    "weight not transposed",
    "This is vectors @ weight: it fails unless C happens to be D. The weight is (C, D): transpose it.",
    ("weight.T", "weight"),
)
exercise.changed(
    "weight reshaped",
    "A reshape to (D, C) leaves the numbers in their order, and no column is a class any more: `weight.T` "
    "exchanges the axes.",
    ("weight.T", "weight.reshape(-1, len(weight))"),
)
exercise.changed(
    "weight on the left",
    "This is weight @ vectors: it fails unless the sizes happen to fit. Each vector is a row, and a row "
    "times a matrix is row @ matrix.",
    ("vectors @ weight.T", "weight @ vectors"),
)
exercise.changed(
    "bias subtracted",
    "The bias is subtracted: add it.",
    ("+ bias", "- bias"),
)
exercise.changed(
    "bias added to the vectors",
    "The bias was added before the product: it has one number for each class, so it is added to the scores.",
    ("vectors @ weight.T + bias", "(vectors + bias) @ weight.T"),
)
exercise.changed(
    "bias as a factor",
    "The scores are multiplied with the bias: add it.",
    ("+ bias", "* bias"),
)
exercise.changed(
    "a bias for each vector",
    "The bias was made a column: all scores of a vector got the same number. There is one for each class.",
    ("+ bias", "+ bias[:, None]"),
)


@exercise.mistake("classes in rows")
def _(vectors, weight, bias):
    """The result is transposed: one row of C scores for each vector, as the vectors stand in rows."""
    return linear_head(vectors, weight, bias).mT


@exercise.mistake("classes in rows, weight on the left")
def _(vectors, weight, bias):
    """The result is transposed: one row of C scores for each vector, as the vectors stand in rows. So the
    vectors come first, and the weight is what is transposed.
    """
    return weight @ vectors.T + bias[:, None]


@exercise.mistake("two axes taken for granted")
def _(vectors, weight, bias):
    """Right for one table of vectors, not for a batch of tables: there `.T` turns all three axes round, and a
    loop goes through the tables. `vectors @ weight.T` works whatever comes before the last axis.
    """
    turned = vectors.reshape(-1, vectors.shape[-1]) if vectors.ndim < 2 else vectors
    return (weight @ turned.T + bias[:, None]).T.reshape(*vectors.shape[:-1], len(weight))


@exercise.mistake("only the last vector")
def _(vectors, weight, bias):
    """Only the last vector got scores. That is how text is continued; here every vector gets its own."""
    return linear_head(vectors, weight, bias)[..., -1, :]


@exercise.mistake("chances instead of scores")
def _(vectors, weight, bias):
    """A softmax came behind the head: here the scores themselves are asked for."""
    return maths.softmax(linear_head(vectors, weight, bias))


@exercise.mistake("the class instead of its score")
def _(vectors, weight, bias):
    """This is the number of the class with the highest score: return all C scores."""
    return linear_head(vectors, weight, bias).argmax(-1)


@exercise.mistake("negative scores cut off")
def _(vectors, weight, bias):
    """Negative scores became 0: a head is linear, it has no ReLU behind it."""
    return np.maximum(linear_head(vectors, weight, bias), 0)
