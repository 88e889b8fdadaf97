"""SmolLM2 at the end of a task: loaded once in a kernel, and its text as it comes."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any


@functools.cache
def smollm2() -> tuple[Any, Any]:
    """The model and its tokenizer.

    Raises: MissingModelError: it is not installed; the message says how to install it.
    """
    from course_lib import pretrained  # here, because only a finale needs what it needs

    return pretrained.load_smollm2()


def answer(model: Any, tokenizer: Any, ids: Any) -> Iterator[str]:
    """What the model writes after a prompt, at most 24 tokens, as they come."""
    from course_lib import generation

    tokens = generation.stream(model, ids, 24, eos_id=tokenizer.special_tokens["<|im_end|>"])
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
