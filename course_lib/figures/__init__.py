"""The figures of the notebooks: measured numbers in; a figure with takeaway, axis labels and alt text out.

One module a concept, one function a figure, so that a notebook's cell gives nothing away before it runs. A
title is a statement that can be false: the function asks `supported` whether the numbers bear it out.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Unsupported(ValueError):
    """The numbers do not say what the figure's title says."""


def supported(condition: bool, numbers: str) -> None:
    """Go on only if a title is true.

    Args:
        condition: what the numbers have to meet.
        numbers: what they are, in a sentence, for the error.
    Raises: Unsupported: the condition is not met.

    Example:
        >>> supported(0.5 < 0.1, "half of the answers are right")
        Traceback (most recent call last):
        ...
        course_lib.figures.Unsupported: the figure's title does not hold: half of the answers are right
    """
    if not condition:
        raise Unsupported(f"the figure's title does not hold: {numbers}")


def as_numbers(values: ArrayLike) -> NDArray:
    """An array of floats; a tensor may come from any device, and may still want gradients."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=float)


def means(groups: Mapping[str, ArrayLike], between: str = ", ") -> str:
    """The mean share of each group, in percent, for readers who do not see the dots.

    Example:
        >>> means({"one head": [0.7, 0.8], "two heads": [0.9]})
        'one head 75%, two heads 90%'
    """
    said = [f"{name} {as_numbers(runs).mean():.0%}".replace("\n", " ") for name, runs in groups.items()]
    return between.join(said)
