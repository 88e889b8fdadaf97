"""The tasks of solutions/00_overview/warm_up.ipynb, in NumPy: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 00_overview.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from course_lib import maths  # noqa: F401 (for the mistakes in 00_overview.yml)
from course_lib.checks import real_model
from course_lib.checks.inputs import WEIGHTS, Rng, as_double, backwards, draw, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.values import WrongForm, numbers_of

Array = np.ndarray


# -------------------------------------------------------------------------------------------- vectors in, out


def vectors_in_out(token_ids: Array, table: Array) -> Array:
    """The row of every token."""
    return table[token_ids]


def vectors_in_out_cases(rng: Rng) -> list[Case]:
    table, texts = draw(rng, 7, 3), rng.integers(7, size=(2, 5))
    return [
        Case("the last token, then the first", {"token_ids": np.array([6, 0, 1]), "table": table}),
        Case("a token that comes twice", {"token_ids": rng.permutation([2, 2, 3, 4, 5]), "table": table}),
        Case("as many tokens as numbers", {"token_ids": rng.permutation(11), "table": draw(rng, 11, 11)}),
        Case(
            "two texts, stored column by column", {"token_ids": backwards(texts), "table": backwards(table)}
        ),
        Case("one token, in float64", {"token_ids": texts[0, :1], "table": table.astype(np.float64)}),
    ]


# ------------------------------------------------------------------------------------------------ linear head


def linear_head(vectors: Array, weight: Array, bias: Array) -> Array:
    """A score for each class, of every vector."""
    return vectors @ weight.T + bias


def linear_head_cases(rng: Rng) -> list[Case]:
    def inputs(batch: tuple[int, ...], d: int, c: int) -> dict[str, Array]:
        # No bias is nearly 0 or 1: nothing could be seen of it.
        bias = (rng.choice([-1, 1], c) * rng.uniform(1.5, 3, c)).round(1).astype(np.float32)
        return {"vectors": draw(rng, *batch, d), "weight": draw(rng, c, d), "bias": bias}

    transposed = inputs(tuple(primes(rng, 5, 7)), 11, 3)
    return [
        Case("two vectors, three classes", inputs((2,), 5, 3)),
        Case("one vector", inputs((), 5, 2)),
        Case("as many classes as numbers", inputs((2,), 3, 3)),
        Case("as many vectors as numbers and classes", inputs((3,), 3, 3)),
        Case("a batch", inputs((2, 5), *primes(rng, 3, 7))),
        Case("three texts", inputs((3, 3), 3, 3)),
        Case("float64", as_double(inputs((7,), *primes(rng, 5, 11)))),
        Case("stored column by column", {**transposed, "weight": backwards(transposed["weight"])}),
    ]


# --------------------------------------------------------------------------------------- temperature softmax


def temperature_softmax(
    logits: Array,
    temperature: float,
    *,
    axis: int | None = -1,
    shifted: bool = True,
    shift: Callable[[Array, Array], Array] | None = None,
) -> Array:
    """Chances from logits."""
    divided = logits / temperature
    if shift is not None:
        divided = divided - shift(logits, divided)
    elif shifted:
        divided = divided - divided.max(axis, keepdims=True)
    powers = np.exp(divided)
    return powers / powers.sum(axis, keepdims=True)


def temperature_softmax_cases(rng: Rng) -> list[Case]:
    def alike(*shape: int, spread: float) -> Array:
        # Where one logit won everything, log-sum-exp would be off by more than other correct ways.
        return (spread * rng.uniform(-1, 1, shape)).round(3).astype(np.float32)

    far = alike(3, 5, spread=0.5)
    far += np.array([[1000], [0], [-1000]], np.float32)  # each row has a level of its own
    # No two rows have the same largest: sums on the wrong axis would not show whether it was subtracted.
    square = alike(3, 3, spread=1) + np.array([[-3], [0], [3]], np.float32)
    dropped = draw(rng, 3, 7)
    dropped[np.arange(3), rng.integers(7, size=3)] = -np.inf
    batch = draw(rng, *primes(rng, 2, 3, 5))
    wide = draw(rng, *primes(rng, 5, 7, 11)).astype(np.float64)
    return [
        Case("one row", {"logits": draw(rng, 5), "temperature": 2.0}),
        Case("two rows of three", {"logits": alike(2, 3, spread=1), "temperature": 0.5}),
        Case("three rows of three", {"logits": square, "temperature": 2.0}),
        Case("a batch", {"logits": batch, "temperature": 0.7}),
        Case("a temperature of 1", {"logits": draw(rng, 2, 5), "temperature": 1.0}),
        Case("a temperature near 0", {"logits": 5 + alike(2, 3, spread=0.02), "temperature": 0.01}),
        Case("nearly all alike", {"logits": draw(rng, 2, 3), "temperature": 50.0}),
        # Here exp overflows unless something is subtracted, be it divided or not.
        Case("logits of 150", {"logits": 150 + alike(2, 3, spread=1), "temperature": 0.9}),
        Case("large logits", {"logits": far, "temperature": 2.0}),
        Case("large logits, a low temperature", {"logits": far, "temperature": 0.5}),
        Case("minus infinity in each row", {"logits": dropped, "temperature": 0.7}),
        Case("float64", {"logits": wide, "temperature": 1.5}),
        Case("stored column by column", {"logits": backwards(draw(rng, 7, 11)), "temperature": 1.5}),
    ]


# ------------------------------------------------------------------------------------------------------ top k


def top_k(logits: Array, k: int, *, fill: float = -np.inf) -> Array:
    """The k largest of each row, all others minus infinity."""
    order = np.argsort(-logits, axis=-1).argsort(axis=-1)  # 0 for the largest, 1 for the next
    return np.where(order < k, logits, np.asarray(fill, logits.dtype))


def distinct(rng: Rng, *shape: int) -> Array:
    """Numbers with one decimal of which no two are the same, nor of the same size; none is 0."""
    sizes = rng.permutation(np.arange(1, 100))[: int(np.prod(shape))]
    signs = rng.choice([-1, 1], len(sizes))
    return (signs * sizes / 10).reshape(shape).astype(np.float32)


def top_k_cases(rng: Rng) -> list[Case]:
    transposed = backwards(distinct(rng, *primes(rng, 5, 7)))
    return [
        Case("one row", {"logits": distinct(rng, 7), "k": 3}),
        Case("two rows of five", {"logits": distinct(rng, 2, 5), "k": 2}),
        Case("three rows of three", {"logits": distinct(rng, 3, 3), "k": 2}),
        Case("the largest alone", {"logits": distinct(rng, 3, 5), "k": 1}),
        Case("a batch", {"logits": distinct(rng, *primes(rng, 2, 3, 11)), "k": 2}),
        Case("all logits below zero", {"logits": -np.abs(distinct(rng, 3, 7)), "k": 5}),
        Case("float64", {"logits": distinct(rng, *primes(rng, 5, 11)).astype(np.float64), "k": 3}),
        Case("stored column by column", {"logits": transposed, "k": 3}),
        Case("k is the length of a row", {"logits": distinct(rng, 2, 5), "k": 5}),
    ]


def keeps_k(result: Array, inputs: Mapping[str, Any]) -> str:
    """How many logits of a row are left, where it is not k of them."""
    kept = np.isfinite(result).sum(-1)
    wrong = np.argwhere(kept != inputs["k"])
    if not len(wrong):
        return ""
    where = tuple(int(i) for i in wrong[0])
    row = f"Row {list(where)}" if where else "The row"
    return f"{row} keeps {kept[where]} logits, expected {inputs['k']}; all others are minus infinity."


# ---------------------------------------------------------------------------------------------------- sampler

QUESTION = "Begin a story about a cat who learns to read."
SETTINGS = ((0.3, 5), (2.0, 5), (2.0, 1000))  # temperature, k
N_TOKENS = 16
N_LIKELIEST = (
    2000  # so many logits go to the learner, whose function may be a slow loop, or compare all with all
)


def sampler(logits: Array, temperature: float, k: int) -> Array:
    """Chances of the k likeliest."""
    return temperature_softmax(top_k(logits, k), temperature)


def sampler_cases(rng: Rng) -> list[Case]:
    def inputs(*shape: int, temperature: float, k: int) -> dict[str, Any]:
        return {"logits": distinct(rng, *shape) / np.float32(5), "temperature": temperature, "k": k}

    return [
        Case("one row", inputs(7, temperature=2.0, k=3)),
        Case("two rows of five", inputs(2, 5, temperature=0.5, k=2)),
        Case("a batch", inputs(*primes(rng, 2, 3, 11), temperature=3.0, k=2)),
        Case("the likeliest alone", inputs(3, 5, temperature=0.7, k=1)),
        Case("a row of many", inputs(97, temperature=1.5, k=11)),
        Case("float64", as_double(inputs(*primes(rng, 5, 7), temperature=5.0, k=3))),
    ]


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


KEEPS_K = (Property("keeps k", keeps_k),)

TASKS = {
    "vectors_in_out": Code(reference=vectors_in_out, cases=vectors_in_out_cases),
    "linear_head": Code(reference=linear_head, cases=linear_head_cases),
    "temperature_softmax": Code(
        reference=temperature_softmax, cases=temperature_softmax_cases, properties=WEIGHTS
    ),
    "top_k": Code(reference=top_k, cases=top_k_cases, properties=KEEPS_K),
    "sampler": Code(reference=sampler, cases=sampler_cases, properties=WEIGHTS, finale=drives_smollm2),
}
