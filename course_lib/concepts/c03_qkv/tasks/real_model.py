"""Your attention in a real model

SmolLM2 is a language model with 30 layers. Put your own attention into all of them: use your `attention`
from task 1, or write it anew. The check lets the model answer *What is the capital of France?*

Hint: It is the attention of before. q, k and v arrive as (batch, heads, tokens, d_head), the mask as (T, S)
or None.

Hint: If yours only works on two axes: `.mT` instead of `.T`, axis -1 instead of 1.
"""

import torch

from course_lib.attention import causal_mask
from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm
from course_lib.concepts.c03_qkv.tasks.attention import (
    attention,
    first_two_exchanged,
    forbidden_zero,
    keys_not_turned,
    loud,
    masked_late,
    over_axis_1,
    over_queries,
    overflowing,
    without_mask,
)

exercise = Exercise(
    level=4,
    minutes=20,
    section="In a real model",
    call="my_attention(q, k, v) or my_attention(q, k, v, mask)",
    forbidden=(
        "course_lib.attention.scaled_dot_product_attention",
        "course_lib.attention.attention_weights",
    ),
    tensor=True,
    other_forms=False,  # the model has float32 only
)


@exercise.solution
def my_attention(q, k, v, mask=None):
    """Your attention, as the model calls it in every layer.

    Args:
        q: (batch, heads, T, K).
        k, v: (batch, heads, S, K).
        mask: (T, S), boolean, True = may attend; None allows everything.
    Returns: (batch, heads, T, K).
    """
    ### BEGIN SOLUTION
    return attention(q, k, v, mask)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(batch, t, s, k, size=1.0):
        sizes = {"q": (t, k), "k": (s, k), "v": (s, k)}
        made = {name: draw(rng, *batch, *shape, size=size) for name, shape in sizes.items()}
        return {**made, "mask": causal_mask(t, s).numpy()}

    t, s = sorted(primes(rng, 5, 7, 11, 13)[:2])
    large = loud(lambda: inputs((1, 3), 5, 7, 11, size=25))
    return in_torch(
        [
            Case("two heads, three tokens, three wide", inputs((1, 2), 3, 3, 3)),
            Case("two sequences", inputs((2, 3), t, s, 3), catches="an answer for one sequence"),
            Case("large scores, no mask", without_mask(large), catches="overflow"),
            Case("one new token", inputs((1, 2), 1, 5, 3), catches="an axis of one lost"),
        ]
    )


@exercise.finale
@real_model.with_smollm2("run on your attention")
def drives_smollm2(learner, model, tokenizer):
    """Let the real model run on the learner's function; compare with its own attention.

    Returns: what to show, piece by piece.
    """
    from course_lib import pretrained

    yield "SmolLM2 takes your attention into all its layers ...\n"
    prompt = tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))
    ids = torch.tensor([prompt], device=next(model.parameters()).device)
    n_layers, n_calls = len(model.stack.blocks), 0

    def counted(q, k, v, mask=None):
        nonlocal n_calls
        n_calls += 1
        return learner(q, k, v) if mask is None else learner(q, k, v, mask)

    with torch.no_grad():
        expected = torch.softmax(model(ids)[0, -1], -1)
        model.use_attention(counted)
        try:
            got = torch.softmax(model(ids)[0, -1], -1)
            furthest = _checked(expected, got, n_calls, n_layers)
            yield f"{real_model.QUESTION}\n"
            yield from real_model.answer(model, tokenizer, ids)
        finally:
            model.use_attention(None)
    ran = f"All {n_layers} layers ran on your function"
    yield f"\n{ran} (largest difference of a probability: {furthest:.1g})."


def _checked(expected, got, n_calls, n_layers):
    """How far the model's next-token probabilities are from its own.

    Raises: WrongForm: too far, or the function was not called once in each layer.
    """
    if n_calls != n_layers:
        raise WrongForm(
            f"Your function was called {n_calls} times, expected once in each of the {n_layers} layers."
        )
    furthest = float((got - expected).abs().max())
    # Rounding through 30 layers moves a probability by about 1e-6; a wrong mask or scale by 0.1 and more.
    if not furthest < 1e-3:
        raise WrongForm(
            f"In the real model a next-token probability is off by {furthest:.3g}, expected at most 0.001."
        )
    return furthest


exercise.changed("no scaling", "", ("(q, k, v, mask)", "(q * q.shape[-1] ** 0.5, k, v, mask)"))
exercise.changed("divided by K", "", ("(q, k, v, mask)", "(q / q.shape[-1] ** 0.5, k, v, mask)"))
exercise.changed("multiplied instead of divided", "", ("(q, k, v, mask)", "(q * q.shape[-1], k, v, mask)"))
exercise.changed(
    "scaled by the number of keys",
    "",
    ("(q, k, v, mask)", "(q * (q.shape[-1] / k.shape[-2]) ** 0.5, k, v, mask)"),
)
exercise.changed(
    "scaled by the number of queries",
    "",
    ("(q, k, v, mask)", "(q * (q.shape[-1] / q.shape[-2]) ** 0.5, k, v, mask)"),
)
exercise.changed("uniform weights", "", ("(q, k, v, mask)", "(0 * q, k, v, mask)"))
exercise.mistake("softmax over the queries")(over_queries)
exercise.mistake("softmax over the heads")(over_axis_1)


exercise.mistake("keys not turned")(keys_not_turned)


@exercise.mistake("the first two axes exchanged")
def _(q, k, v, mask=None):
    """The first two axes of k were exchanged, sequences and heads: count from the end, -1 and -2."""
    return first_two_exchanged(q, k, v, mask)


exercise.mistake("overflow")(overflowing)
exercise.changed("mask upside down", "", ("(q, k, v, mask)", "(q, k, v, None if mask is None else ~mask)"))
exercise.changed("mask transposed", "", ("(q, k, v, mask)", "(q, k, v, None if mask is None else mask.T)"))
exercise.changed("mask ignored", "", ("(q, k, v, mask)", "(q, k, v)"))
exercise.mistake("masked after the softmax")(masked_late)
exercise.mistake("forbidden scores set to zero")(forbidden_zero)
exercise.changed("mixes the keys", "", ("(q, k, v, mask)", "(q, k, k, mask)"))
exercise.changed("keys ask the queries", "", ("(q, k, v, mask)", "(k, q, v, mask)"))


@exercise.mistake("a causal mask of its own")
def _(q, k, v, mask=None):
    """It makes its own causal mask, aligned at the top left: one new token after others then sees only the
    first. Use the mask that comes.
    """
    return attention(q, k, v, torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril())
