"""Your sampler in a real model

The chances of the next token: of each row only the k largest logits, and a softmax with temperature over
those. Use your `top_k` and your `temperature_softmax`. The check then lets SmolLM2 begin a story three
times, and draws every token from your chances. Compare the last two: the temperature is the same, k is not.

Hint: Which of your two functions comes first? What it returns is what the other one takes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import WEIGHTS, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, numbers_of
from course_lib.concepts.c00_overview.tasks.temperature_softmax import temperature_softmax
from course_lib.concepts.c00_overview.tasks.top_k import distinct, top_k

QUESTION = "Begin a story about a cat who learns to read."
SETTINGS = ((0.3, 5), (2.0, 5), (2.0, 1000))  # temperature, k
N_TOKENS = 16
N_LIKELIEST = 2000  # the learner gets so many logits: the function may be slow, or compare all with all

exercise = Exercise(level=1, minutes=4, section="From scores to chances", properties=WEIGHTS)


@exercise.solution
def sampler(logits, temperature, k):
    """Chances of the next token, from the k largest logits alone.

    Args:
        logits: (..., V); not to be changed.
        temperature: a number above 0.
        k: from 1 to V.
    Returns: (..., V), float64 stays float64; the last axis sums to 1.
    """
    ### BEGIN SOLUTION
    return temperature_softmax(top_k(logits, k), temperature)
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(*shape, temperature, k):
        return {"logits": distinct(rng, *shape) / np.float32(5), "temperature": temperature, "k": k}

    return [
        Case("one row", inputs(7, temperature=2.0, k=3)),
        Case("two rows of five", inputs(2, 5, temperature=0.5, k=2), catches="a temperature of at least 1"),
        Case("k is 1", inputs(3, 5, temperature=0.7, k=1), catches="at least two to choose from"),
        Case(
            "a batch", inputs(*primes(rng, 2, 3, 11), temperature=3.0, k=2), catches="a loop over one table"
        ),
    ]


@exercise.finale
@real_model.with_smollm2("draw its tokens from your chances")
def drives_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let the real model draw its tokens from the learner's chances; yield what it writes, as it comes."""
    from course_lib import pretrained  # here, because a NumPy task does not need torch

    prompt = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    yield f"SmolLM2 draws every token from your chances (of its {N_LIKELIEST:,} likeliest). {QUESTION}\n"
    for temperature, k in SETTINGS:
        yield f"\nTemperature {temperature:g}, {k} tokens to choose from: "
        yield from real_model.as_text(tokenizer, _drawn(learner, model, prompt, temperature, k))
    yield "\n"


def _drawn(
    learner: Callable[..., Any], model: Any, prompt: list[int], temperature: float, k: int
) -> Iterator[int]:
    """The tokens that the model and the learner's chances give; the same ones every time.

    Raises: WrongForm: the chances are not those of the k likeliest.
    """
    import torch

    cache = model.new_cache(1, len(prompt) + N_TOKENS)
    rng, new = np.random.default_rng(0), prompt
    for _ in range(N_TOKENS):
        ids = torch.tensor([new], device=next(model.parameters()).device)
        with torch.inference_mode():
            logits = model.next_token_logits(ids, cache)[0].cpu().numpy()
        tokens = np.sort(np.argpartition(logits, -N_LIKELIEST)[-N_LIKELIEST:])
        chances = numbers_of(learner(logits[tokens], temperature, k), tensor=False).astype(float)
        expected = sampler(logits[tokens].astype(float), temperature, k)
        # Two tokens that tie for place k move a chance by less: by 0.001, among 1,000 at temperature 2.
        if chances.shape != expected.shape or not np.abs(chances - expected).max() < 0.01:
            raise WrongForm("From the real model's logits your function makes other chances than ours.")
        new = [int(rng.choice(tokens, p=chances / chances.sum()))]
        yield new[0]


exercise.changed(
    "top-k forgotten",
    "All tokens keep a chance: drop all but the k largest logits first.",
    ("top_k(logits, k)", "logits"),
)
exercise.changed(
    "temperature without effect",
    "The temperature changes nothing: hand it on to your `temperature_softmax`.",
    ("k), temperature)", "k), 1)"),
)
exercise.changed(
    "a temperature of at least 1",
    "A temperature below 1 changes nothing: hand on each as it is.",
    ("k), temperature)", "k), max(temperature, 1))"),
)
exercise.changed(
    "multiplied by the temperature",
    "The logits are multiplied by the temperature: divide.",
    ("k), temperature)", "k), 1 / temperature)"),
)


@exercise.mistake("top-k after the softmax")
def _(logits, temperature, k):
    """Chances went into `top_k`, and those that it dropped became minus infinity: drop logits first, then
    softmax.
    """
    return top_k(temperature_softmax(logits, temperature), k)


@exercise.mistake("the dropped still have a share")
def _(logits, temperature, k):
    """The chances were cut after the softmax, so the rest no longer sums to 1: drop the logits before it."""
    return temperature_softmax(logits, temperature) * np.isfinite(top_k(logits, k))


@exercise.mistake("zero instead of minus infinity")
def _(logits, temperature, k):
    """The dropped logits became 0, and exp(0) is 1: minus infinity is what gets no chance."""
    return temperature_softmax(np.where(np.isfinite(top_k(logits, k)), logits, 0), temperature)


@exercise.mistake("one sum for all rows")
def _(logits, temperature, k):
    """The chances of all rows together sum to 1: each row should, on its own."""
    return temperature_softmax(top_k(logits, k).ravel(), temperature).reshape(logits.shape)


@exercise.mistake("one cut for all rows")
def _(logits, temperature, k):
    """The k largest logits of all rows together were kept: keep k in each row."""
    return temperature_softmax(top_k(logits.ravel(), k).reshape(logits.shape), temperature)


@exercise.mistake("the likeliest alone")
def _(logits, temperature, k):
    """The likeliest token gets everything: the others of the k keep their chances."""
    return sampler(logits, temperature, 1)


@exercise.mistake("all k alike")
def _(logits, temperature, k):
    """The k tokens have the same chance each: a larger logit means a larger chance."""
    return np.isfinite(top_k(logits, k)) / k


@exercise.mistake("no softmax")
def _(logits, temperature, k):
    """These are logits: chances are positive and sum to 1. Hand them on to your `temperature_softmax`."""
    return top_k(logits, k) / temperature


@exercise.mistake("divided twice")
def _(logits, temperature, k):
    """The logits are divided by the temperature twice: your `temperature_softmax` does it already."""
    return sampler(logits, temperature**2, k)
