"""SmolLM2 or MiniLM at the end of a task: loaded once, with a part of the learner's, text as it comes."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from course_lib.checks.values import WrongForm

QUESTION = "What is the capital of France?"
FURTHEST = 1e-3  # of the largest score; rounding moves a score by about 1e-6 of it
Learner = Callable[..., Any]


@functools.cache
def smollm2() -> tuple[Any, Any]:
    """The model and its tokenizer.

    Raises: MissingModelError: it is not installed; the message says how to install it.
    """
    from course_lib import pretrained  # here, because only a finale needs what it needs

    return pretrained.load_smollm2()


@functools.cache
def minilm() -> tuple[Any, Any]:
    """The model of sentences and its tokenizer.

    Raises: MissingModelError: it is not installed; the message says how to install it.
    """
    from course_lib import pretrained  # as above

    return pretrained.load_minilm()


@functools.lru_cache(maxsize=4)
def tables_of(tokenizer: Any) -> tuple[dict[tuple[bytes, bytes], int], dict[bytes, int], dict[str, int]]:
    """A real tokenizer's ranks, ids and special words, as the task `tokenizer_at_work` gets them."""
    from course_lib.bpe import byte_characters

    byte_of = {character: byte for byte, character in byte_characters().items()}

    def as_bytes(token: str) -> bytes:
        return bytes(byte_of[character] for character in token)

    ranks = {(as_bytes(left), as_bytes(right)): rank for rank, (left, right) in enumerate(tokenizer.merges)}
    special = dict(tokenizer.special_tokens)
    ids = {as_bytes(token): i for i, token in enumerate(tokenizer.tokens) if token not in special}
    return ranks, ids, special


Finale = Callable[[Learner, Any, Any], Iterator[str]]


def with_smollm2(would: str) -> Callable[[Finale], Any]:
    """Make a finale of a function that gets what the learner wrote, the model and its tokenizer.

    Without the model the finale says what SmolLM2 would do, and that it is missing: what the learner wrote is
    right all the same.
    """
    return _with("SmolLM2", lambda: smollm2(), would)


def with_minilm(would: str) -> Callable[[Finale], Any]:
    """The same with MiniLM."""
    return _with("MiniLM", lambda: minilm(), would)


def _with(name: str, load: Callable[[], tuple[Any, Any]], would: str) -> Callable[[Finale], Any]:
    def decorate(finale: Finale) -> Callable[[Learner], Iterator[str]]:
        @functools.wraps(finale)
        def shown(learner: Learner) -> Iterator[str]:
            from course_lib import pretrained

            try:
                model, tokenizer = load()
            except pretrained.MissingModelError as error:
                yield f"Here {name} would {would}, but it is missing: {error}"
                return
            yield from finale(learner, model, tokenizer)

        return shown

    return decorate


def answers_alike(
    model: Any,
    tokenizer: Any,
    part: str,
    replaced: Callable[[], AbstractContextManager[list[Any]]],
    sizes: str,
    told: Callable[[list[Any]], str],
) -> Iterator[str]:
    """Let the model answer `QUESTION`, then once more with a part of the learner's; compare its scores.

    Args:
        part: whose part it is, such as "your layer".
        replaced: makes a context inside which the part is used; it gives a list that grows with each call.
        sizes: a sentence on what is larger than in the cases, for those whose part fails here alone.
        told: from that list to a sentence on what the part did.
    Raises: WrongForm: the scores are too far from the model's own.
    """
    import torch

    from course_lib import pretrained

    ids = torch.tensor([tokenizer.encode(pretrained.chat_prompt(QUESTION))])
    ids = ids.to(next(model.parameters()).device)
    yield f"{QUESTION}\nSmolLM2: "
    yield from answer(model, tokenizer, ids)
    with torch.no_grad():
        expected = model(ids)
        with replaced():
            got = in_two_parts(model, ids)
    off, largest = float((got - expected).abs().max()), float(expected.abs().max())
    if not off < FURTHEST * largest:
        limit = FURTHEST * largest
        raise WrongForm(
            f"In the real model a score is off by {off:.3g}, expected at most {limit:.2g}. {sizes}"
        )
    yield f"\nwith {part}: "
    with replaced() as calls:
        yield from answer(model, tokenizer, ids)
    yield f"\n{told(calls)} The largest difference of a score is {off:.1g}, of scores up to {largest:.0f}."


def in_two_parts(model: Any, ids: Any) -> Any:
    """A model's scores, the second half read after the first, as when it writes."""
    import torch

    cache, half = model.new_cache(capacity=ids.shape[1]), ids.shape[1] // 2
    return torch.cat([model(ids[:, :half], cache), model(ids[:, half:], cache)], dim=1)


def answer(model: Any, tokenizer: Any, ids: Any) -> Iterator[str]:
    """What the model writes after a prompt, at most 24 tokens, as they come."""
    from course_lib import generation

    tokens = generation.new_tokens(model, ids, 24, eos_id=tokenizer.special_tokens["<|im_end|>"])
    return as_text(tokenizer, (int(token.item()) for token in tokens))


def as_text(tokenizer: Any, tokens: Iterable[int]) -> Iterator[str]:
    """The text of some tokens, piece by piece, up to the end of an answer."""
    end = tokenizer.special_tokens["<|im_end|>"]
    written: list[int] = []
    shown = ""
    for token in tokens:
        if token != end:
            written.append(token)
        text = tokenizer.decode(written)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # half a letter: wait for its other bytes
            yield text[len(shown) :]
            shown = text
