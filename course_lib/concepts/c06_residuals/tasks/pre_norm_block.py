"""A layer, pre-norm

Put the parts together. All four are functions from (B, T, D) to (B, T, D); `attention` makes its own
queries, keys and values, and joins its heads. First attention reads the stream x, normalised by
`norm_1`, and what it gives is added to the stream. Then the MLP reads the stream as it is by now, normalised
by `norm_2`, and what it gives is added too. Only what a part reads is normalised: the stream itself goes on
as it is. Two lines are enough. (Radford et al. 2019, section 2.3.)

Hint: For each of the two parts say: what does it read, and to what is its result added?

Hint: The first line is `h = x + attention(norm_1(x))`. In the second, everything happens to h.
"""

import torch
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c06_residuals.tasks.mlp import matrix

exercise = Exercise(
    level=2,
    minutes=8,
    section="Your layer",
    forbidden=("course_lib.blocks.TransformerBlock.forward",),
    tensor=True,
)


@exercise.solution
def pre_norm_block(x, attention, mlp, norm_1, norm_2):
    """One layer: each part reads the normalised stream, and adds to the stream itself.

    Args:
        x: (B, T, D), the stream.
        attention: a function from (B, T, D) to (B, T, D), and so are the others.
        mlp: comes after attention.
        norm_1: normalises what attention reads.
        norm_2: normalises what the MLP reads.
    Returns: (B, T, D), the stream after the layer.
    """
    ### BEGIN SOLUTION
    x = x + attention(norm_1(x))
    return x + mlp(norm_2(x))
    ### END SOLUTION


def given_parts(rng, d):
    """Attention that mixes the tokens, an MLP, and two norms, each with weights of its own."""
    q_proj, k_proj, v_proj, up, down = (torch.from_numpy(matrix(rng, d, d)) for _ in range(5))

    def attention(x):
        q, k, v = (x @ proj.to(x.dtype) for proj in (q_proj, k_proj, v_proj))
        return (q @ k.mT / d**0.5).softmax(-1) @ v

    def mlp(x):
        return F.gelu(x @ up.to(x.dtype)) @ down.to(x.dtype)

    def a_norm():
        weight, bias = (torch.from_numpy(draw(rng, d)) for _ in range(2))

        def norm(x):
            return F.layer_norm(x, (d,), (1 + weight / 2).to(x.dtype), bias.to(x.dtype))

        norm.__name__ = "a norm with weights of its own"
        return norm

    # as a report shows them
    attention.__name__, mlp.__name__ = "a function that mixes tokens", "a function of each token alone"
    return {"attention": attention, "mlp": mlp, "norm_1": a_norm(), "norm_2": a_norm()}


@exercise.cases
def block_cases(rng):
    def inputs(x):
        return {"x": x, **given_parts(rng, x.shape[-1])}

    t, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("two tokens of three numbers", inputs(draw(rng, 1, 2, 3)), gradients=True),
            Case(
                "two sequences",
                inputs(draw(rng, 2, t, d)),
                gradients=True,
                catches="all sequences as one",
            ),
        ]
    )


# ------------------------------------------------------------------------------------ what is added to what

exercise.changed(
    "post-norm",
    "The sums are normalised, as in the paper of 2017: here only what a part reads is, and the stream goes "
    "on as it is.",
    ("x + attention(norm_1(x))", "norm_1(x + attention(x))"),
    ("x + mlp(norm_2(x))", "norm_2(x + mlp(x))"),
)
exercise.changed(
    "attention not added",
    "What attention gives takes the place of the stream: add it to x.",
    ("x + attention", "attention"),
)
exercise.changed(
    "MLP not added",
    "What the MLP gives takes the place of the stream: add it to the stream.",
    ("x + mlp", "mlp"),
)
exercise.changed(
    "nothing added",
    "The parts are called one after the other, but nothing is added to the stream.",
    ("x + attention", "attention"),
    ("x + mlp", "mlp"),
)


@exercise.mistake("one addition around both")
def _(x, attention, mlp, norm_1, norm_2):
    """x is added once, around both parts: the MLP should read the stream with what attention has
    added to it.
    """
    return x + mlp(norm_2(attention(norm_1(x))))


exercise.changed(
    "no MLP",
    "The layer ends after attention: the MLP reads the stream then, and adds to it.",
    ("return x + mlp(norm_2(x))", "return x"),
)
exercise.changed(
    "no attention",
    "Attention is never called: it comes first, and the MLP reads the stream with what it has added.",
    ("x = x + attention(norm_1(x))", ""),
)
exercise.changed(
    "attention twice",
    "Attention stands in both lines: the second part is the MLP.",
    ("mlp(norm_2(x))", "attention(norm_2(x))"),
)
exercise.changed(
    "attention added to the normalised stream",
    "Attention's result is added to norm_1(x), so the stream itself is normalised on its way: add it to x "
    "as it came.",
    ("x + attention(norm_1(x))", "norm_1(x) + attention(norm_1(x))"),
)
exercise.changed(
    "MLP added to the normalised stream",
    "The MLP's result is added to what it reads, the normalised stream: add it to the stream before the "
    "norm.",
    ("x + mlp(norm_2(x))", "norm_2(x) + mlp(norm_2(x))"),
)
exercise.changed(
    "both added to the normalised stream",
    "Both results are added to the normalised stream: add them to the stream as it was before the norm.",
    ("x + attention(norm_1(x))", "norm_1(x) + attention(norm_1(x))"),
    ("x + mlp(norm_2(x))", "norm_2(x) + mlp(norm_2(x))"),
)


@exercise.mistake("in parallel")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP reads x as it came, beside attention (some large models do so, PaLM for one): here it reads the
    stream with what attention has added.
    """
    return x + attention(norm_1(x)) + mlp(norm_2(x))


@exercise.mistake("what attention adds is lost")
def _(x, attention, mlp, norm_1, norm_2):
    """What the MLP gives is added to x as it came: add it to the stream, which already holds what attention
    gave.
    """
    return x + mlp(norm_2(x + attention(norm_1(x))))


@exercise.mistake("x left out of the sum")
def _(x, attention, mlp, norm_1, norm_2):
    """What both parts give is there, but the stream as it came is not: it is added to attention's result
    first.
    """
    h = attention(norm_1(x))
    return h + mlp(norm_2(x + h))


@exercise.mistake("x added twice")
def _(x, attention, mlp, norm_1, norm_2):
    """x is added once more at the end: the stream holds it already."""
    return x + pre_norm_block(x, attention, mlp, norm_1, norm_2)


# ------------------------------------------------------------------------------------ which norm, which part

exercise.changed(
    "the first norm twice",
    "norm_1 is used for both parts: what the MLP reads is normalised by norm_2.",
    ("norm_2(x)", "norm_1(x)"),
)
exercise.changed(
    "the second norm twice",
    "norm_2 is used for both parts: what attention reads is normalised by norm_1.",
    ("norm_1(x)", "norm_2(x)"),
)


@exercise.mistake("norms exchanged")
def _(x, attention, mlp, norm_1, norm_2):
    """The norms have changed places: norm_1 is attention's, norm_2 the MLP's."""
    return pre_norm_block(x, attention, mlp, norm_2, norm_1)


@exercise.mistake("MLP first")
def _(x, attention, mlp, norm_1, norm_2):
    """The MLP comes before attention: attention is first."""
    return pre_norm_block(x, mlp, attention, norm_2, norm_1)


@exercise.mistake("MLP first, with the first norm")
def _(x, attention, mlp, norm_1, norm_2):
    """Attention and MLP have changed places: attention is first, with norm_1."""
    return pre_norm_block(x, mlp, attention, norm_1, norm_2)


exercise.changed(
    "no norms",
    "Nothing is normalised: norm_1 goes before attention, norm_2 before the MLP.",
    ("norm_1(x)", "x"),
    ("norm_2(x)", "x"),
)
exercise.changed(
    "no first norm", "Attention reads the stream as it is: it should read norm_1 of it.", ("norm_1(x)", "x")
)
exercise.changed(
    "no second norm", "The MLP reads the stream as it is: it should read norm_2 of it.", ("norm_2(x)", "x")
)
exercise.changed(
    "normalised at the end too",
    "The stream is normalised once more at the end: it goes on as it is.",
    ("x + mlp(norm_2(x))", "norm_2(x + mlp(norm_2(x)))"),
)
exercise.changed(
    "results normalised",
    "What the parts give is normalised before it is added: normalise what they read.",
    ("attention(norm_1(x))", "norm_1(attention(x))"),
    ("mlp(norm_2(x))", "norm_2(mlp(x))"),
)
