"""What smaller patches cost

Smaller patches cut finer and cost more. How many tokens does an image of height x width pixels become, the
class token counted, and how many scores does one layer of self-attention compute for them? Every head
compares every token with every token, itself too. The patch size divides height and width. Return the two
numbers.

Hint: The image has height / p rows and width / p columns of patches, and one class token comes on top.

Hint: Each head has one score for each query and each key: tokens times tokens.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import primes
from course_lib.checks.kinds import Case

exercise = Exercise(level=2, minutes=6, section="Smaller pieces", results=("tokens", "scores"))


@exercise.solution
def attention_cost(height, width, patch_size, n_heads):
    """How many tokens an image becomes, and how many scores one layer computes for them.

    Args:
        height, width: of the image, in pixels; the patch size divides both.
        patch_size: height and width of a patch in pixels.
        n_heads: heads of the layer.
    Returns: two whole numbers: tokens with the class token, scores of all heads.
    """
    ### BEGIN SOLUTION
    n_tokens = (height // patch_size) * (width // patch_size) + 1
    return n_tokens, n_heads * n_tokens**2
    ### END SOLUTION


@exercise.cases
def _(rng):
    def sizes(rows, columns, p, n_heads):
        return {"height": rows * p, "width": columns * p, "patch_size": p, "n_heads": n_heads}

    def some():
        return primes(rng, 3, 5, 7, 11, 13, 17, 19)

    low, high, *others = sorted(some()[:2]) + some()[:2]
    return [
        Case("4 x 6 pixels", sizes(2, 3, 2, 3)),
        Case("high", sizes(high, low, *others), catches="the larger side twice"),
    ]


exercise.changed(
    "no class token",
    "The class token is missing: it is one more token, and it is asked and answers as the others do.",
    (" + 1\n", "\n"),
)
exercise.changed(
    "a class token that is not compared",
    "The class token is counted, but not in the scores: it is compared with all others, as they are.",
    ("n_heads * n_tokens**2", "n_heads * (n_tokens - 1) ** 2"),
)
exercise.changed(
    "one head only",
    "These are the scores of one head: each head computes its own.",
    ("n_heads * n_tokens**2", "n_tokens**2"),
)
exercise.changed(
    "scores that grow with the length",
    "One score for each token and head: every token is compared with every token, so it is the square of "
    "their number.",
    ("n_heads * n_tokens**2", "n_heads * n_tokens"),
)
exercise.changed(
    "each pair once",
    "Each pair of tokens was counted once: a token asks and is asked, and these are two scores.",
    ("n_heads * n_tokens**2", "n_heads * n_tokens * (n_tokens + 1) // 2"),
)
exercise.changed(
    "each pair once, and none with itself",
    "Each pair of two tokens was counted once: a token asks and is asked, and is compared with itself, too.",
    ("n_heads * n_tokens**2", "n_heads * n_tokens * (n_tokens - 1) // 2"),
)
exercise.changed(
    "not with itself",
    "A token is compared with itself too.",
    ("n_heads * n_tokens**2", "n_heads * n_tokens * (n_tokens - 1)"),
)
exercise.changed(
    "one side only",
    "The number of pixels was divided by p once: a patch has p x p pixels.",
    ("(height // patch_size) * (width // patch_size)", "height * width // patch_size"),
)
exercise.changed(
    "pixels instead of patches",
    "Every pixel was counted as a token: a token is a patch of p x p pixels.",
    ("(height // patch_size) * (width // patch_size)", "height * width"),
)
exercise.changed(
    "height and width added",
    "The rows and columns of patches were added: multiply them, as each row has a patch in each column.",
    (") * (width", ") + (width"),
)
exercise.changed(
    "divided by 2 p",
    "The number of pixels was divided by 2 p: a patch has p x p pixels.",
    ("(height // patch_size) * (width // patch_size)", "height * width // (2 * patch_size)"),
)
exercise.changed(
    "the larger side twice",
    "The larger side was used twice: one number is the height by p, the other the width by p.",
    ("(height // patch_size) * (width // patch_size)", "(max(height, width) // patch_size) ** 2"),
)
exercise.changed(
    "the smaller side twice",
    "The smaller side was used twice: one number is the height by p, the other the width by p.",
    ("(height // patch_size) * (width // patch_size)", "(min(height, width) // patch_size) ** 2"),
)
exercise.changed(
    "a square image",
    "The height was used twice: the image may be wider than high.",
    ("(width // patch_size)", "(height // patch_size)"),
)
exercise.changed(
    "a square image as wide as it is",
    "The width was used twice: the image may be wider than high.",
    ("(height // patch_size)", "(width // patch_size)"),
)
exercise.changed(
    "the heads squared",
    "The number of heads was squared too: heads do not look at each other.",
    ("n_heads * n_tokens**2", "(n_heads * n_tokens) ** 2"),
)


@exercise.mistake("scores before tokens")
def _(height, width, patch_size, n_heads):
    """The scores come first: return the number of tokens, then that of the scores."""
    return attention_cost(height, width, patch_size, n_heads)[::-1]
