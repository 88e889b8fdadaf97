"""A real model for a notebook, which goes on without it where it is not installed."""

import html
from collections.abc import Callable
from typing import TypeVar

Loaded = TypeVar("Loaded")


def at_hand(load: Callable[[], Loaded]) -> Loaded | None:
    """What a loader gives: a model and its tokenizer.

    Args:
        load: such as `pretrained.load_smollm2`.
    Returns: None, and a sentence is shown, where the model is not installed.
    """
    # Imported here: who asks for a prediction needs no torch.
    from course_lib.checks.show import show
    from course_lib.pretrained import MissingModelError

    try:
        return load()
    except MissingModelError as missing:
        said = f"{missing} Cells that need it are skipped."
        show(said, f"<p>{html.escape(said)}</p>")
        return None
