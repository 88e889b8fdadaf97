"""A layer, post-norm

The first Transformer put the same parts together in another order, and BERT does so too. Attention reads x
as it is. What it gives is added to x, and `norm_1` normalises the sum, which is then the stream. The MLP
reads that, what it gives is added to it, and `norm_2` normalises the sum. (Vaswani et al. 2017, section
3.1.)

Hint: For each of the two parts: what does it read, to what is its result added, and what happens to the
sum?

Hint: The first line is `h = norm_1(x + attention(x))`. In the second, everything happens to h.
"""

from course_lib.checks.exercise import Exercise
from course_lib.concepts.c06_residuals.tasks.pre_norm_block import block_cases

exercise = Exercise(
    level=2,
    minutes=6,
    section="Is a part's input really added to its output?",
    forbidden=("course_lib.blocks.TransformerBlock.forward",),
    tensor=True,
)


@exercise.solution
def post_norm_block(x, attention, mlp, norm_1, norm_2):
    """One layer: each part reads the stream, and what it leaves after adding is normalised.

    Args:
        x: (B, T, D), the stream.
        attention: a function from (B, T, D) to (B, T, D), and so are the others.
        mlp: comes after attention.
        norm_1: normalises the sum of x and what attention gives.
        norm_2: normalises the sum of the stream and what the MLP gives.
    Returns: (B, T, D), the stream after the layer.
    """
    ### BEGIN SOLUTION
    x = norm_1(x + attention(x))
    return norm_2(x + mlp(x))
    ### END SOLUTION


exercise.cases(block_cases)


# ------------------------------------------------------------------------------------ what is added to what

exercise.changed(
    "pre-norm",
    "What the parts read is normalised, as in the task before: here it is the sums, after each addition.",
    ("norm_1(x + attention(x))", "x + attention(norm_1(x))"),
    ("norm_2(x + mlp(x))", "x + mlp(norm_2(x))"),
)
exercise.changed(
    "attention not added",
    "What attention gives takes the place of the stream: add it to x, then normalise.",
    ("x + attention", "attention"),
)
exercise.changed(
    "MLP not added",
    "What the MLP gives takes the place of the stream: add it to the stream, then normalise.",
    ("x + mlp", "mlp"),
)
exercise.changed(
    "nothing added",
    "The parts are called one after the other, but nothing is added to the stream.",
    ("x + attention", "attention"),
    ("x + mlp", "mlp"),
)


exercise.changed(
    "no MLP",
    "The layer ends after attention and its norm: the MLP reads the stream then, and adds to it.",
    ("return norm_2(x + mlp(x))", "return x"),
)
exercise.changed(
    "no attention",
    "Attention is never called: it comes first, and norm_1 normalises the sum.",
    ("x = norm_1(x + attention(x))", ""),
)
exercise.changed(
    "attention twice",
    "Attention stands in both lines: the second part is the MLP.",
    ("+ mlp(x)", "+ attention(x)"),
)


@exercise.mistake("one addition around both")
def _(x, attention, mlp, norm_1, norm_2):
    """x is added once, around both parts: add after each part."""
    return norm_2(x + mlp(norm_1(attention(x))))


exercise.changed(
    "only the results normalised",
    "What each part gives is normalised, and then added: add first, and normalise the sum.",
    ("norm_1(x + attention(x))", "x + norm_1(attention(x))"),
    ("norm_2(x + mlp(x))", "x + norm_2(mlp(x))"),
)


@exercise.mistake("MLP added to the sum before its norm")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP reads the normalised stream, but its result is added to what that was before norm_1: add it to
    what the MLP reads.
    """
    h = x + attention(x)
    return norm_2(h + mlp(norm_1(h)))


@exercise.mistake("MLP reads the sum before its norm")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP reads the first sum as it is: it reads what norm_1 gives of it, and adds to that."""
    h = x + attention(x)
    return norm_2(norm_1(h) + mlp(h))


@exercise.mistake("in parallel")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP reads x as it came, beside attention: it reads what norm_1 gives."""
    return norm_2(norm_1(x + attention(x)) + mlp(x))


@exercise.mistake("one sum, one norm")
def _(x, attention, mlp, norm_1, norm_2):
    """Both parts read x and are added at once: the MLP reads what norm_1 gives of the first sum."""
    return norm_2(x + attention(x) + mlp(x))


@exercise.mistake("what attention adds is lost")
def _(x, attention, mlp, norm_1, norm_2):
    """What the MLP gives is added to x as it came: add it to what norm_1 gives."""
    return norm_2(x + mlp(norm_1(x + attention(x))))


# ------------------------------------------------------------------------------------ which norm, which part

exercise.changed(
    "the first norm twice",
    "norm_1 is used for both sums: the second one is normalised by norm_2.",
    ("norm_2(", "norm_1("),
)
exercise.changed(
    "the second norm twice",
    "norm_2 is used for both sums: the first one is normalised by norm_1.",
    ("norm_1(", "norm_2("),
)


@exercise.mistake("norms exchanged")
def _(x, attention, mlp, norm_1, norm_2):
    """The norms have changed places: norm_1 comes after attention, norm_2 after the MLP."""
    return post_norm_block(x, attention, mlp, norm_2, norm_1)


@exercise.mistake("MLP first")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP comes before attention: attention is first."""
    return post_norm_block(x, mlp, attention, norm_2, norm_1)


@exercise.mistake("MLP first, with the first norm")
def _(x, attention, mlp, norm_1, norm_2):
    """Attention and MLP have changed places: attention is first, then norm_1."""
    return post_norm_block(x, mlp, attention, norm_1, norm_2)


exercise.changed(
    "no norms",
    "Nothing is normalised: norm_1 goes after the first addition, norm_2 after the second.",
    ("norm_1(x + attention(x))", "x + attention(x)"),
    ("norm_2(x + mlp(x))", "x + mlp(x)"),
)
exercise.changed(
    "no first norm",
    "The sum of x and what attention gives goes on as it is: norm_1 normalises it.",
    ("norm_1(x + attention(x))", "x + attention(x)"),
)
exercise.changed(
    "no second norm",
    "The last sum goes out as it is: norm_2 normalises it.",
    ("norm_2(x + mlp(x))", "x + mlp(x)"),
)
exercise.changed(
    "normalised before too",
    "The parts read the stream normalised once more: they read it as it is, and only the sums are "
    "normalised.",
    ("attention(x)", "attention(norm_1(x))"),
    ("mlp(x)", "mlp(norm_2(x))"),
)
