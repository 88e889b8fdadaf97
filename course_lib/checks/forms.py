"""Answers that are no arrays: lists of tokens, pairs and their counts, texts, words with their cosines.

Each function reads one form of answer, however it is written: a dict or a Counter, a list, a tuple, an array
or a generator, NumPy's numbers or Python's. `Task.read` names the one that a task needs.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from course_lib.checks.values import Parts, WrongForm, boxed, describe

MANY = 100_000  # elements that are read of an answer; a generator may never end


def contents(value: Any) -> Parts:
    """A list or a text as it is.

    Raises: WrongForm: None.
    Example:
        >>> contents((np.int64(3), [1, 2]))["result"].item()
        [3, (1, 2)]
    """
    if value is None:
        raise WrongForm("It returns None: is the `return` missing?")
    read = _plain(value)
    return {"result": boxed(list(read) if isinstance(read, tuple) else read)}


def counts(value: Any) -> Parts:
    """How often what occurs: a dictionary, or pairs of what and how often; what occurs 0 times is left out.

    Raises: WrongForm: None.
    Example:
        >>> counts([("a", 2), ("b", 0)])["result"].item()
        {'a': 2}
    """
    read = contents(value)["result"].item()
    if isinstance(read, list) and all(isinstance(item, tuple) and len(item) == 2 for item in read):
        read = dict(read)
    if isinstance(read, dict):
        read = {what: count for what, count in read.items() if count != 0}
    return {"result": boxed(read)}


def ranking(value: Any) -> Parts:
    """Words with their cosines, as two arrays: `words` and `cosines`.

    Raises: WrongForm: not a list of pairs of numbers.
    """
    pairs = contents(value)["result"].item()
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    try:
        words, cosines = np.array(pairs, dtype=float).reshape(len(pairs), 2).T
    except (TypeError, ValueError):
        raise WrongForm(
            f"It must return a list of pairs (word, cosine), but got {describe(value)}."
        ) from None
    whole = np.isfinite(words).all() and (words == words.round()).all()
    return {"words": words.astype(int) if whole else words, "cosines": cosines}


def _plain(value: Any) -> Any:
    """The same in Python's own types; sequences become tuples."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | set | frozenset):
        return tuple(_plain(item) for item in islice(value, MANY))
    return value
