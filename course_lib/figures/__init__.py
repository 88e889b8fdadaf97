"""The figures of the notebooks: measured numbers in; a figure with takeaway, axis labels and alt text out.

One module a concept, one function a figure, so that a notebook's cell gives nothing away before it runs. A
title is a statement that can be false: `supported` gives it only where the numbers bear it out.
"""

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Unsupported(ValueError):
    """The numbers do not say what the figure's title says."""


def supported(title: str, numbers: str, *conditions: bool | np.bool_) -> str:
    """A figure's title where it is true, else one that says that it is not.

    Args:
        title: a statement about the numbers.
        numbers: what they are, in a sentence, for the error.
        conditions: what they have to meet.
    Returns: a title for the figure, which is drawn in any case: a learner may have changed something.
    Raises: Unsupported: a condition is not met, and COURSE_FIGURES=strict, as in all of the course's tests.

    Example:
        >>> supported("Most are right", "4 of 10 are right", 4 / 10 > 0.5)
        'These numbers do not show: “Most are right”'
    """
    if all(conditions):
        return title
    if os.environ.get("COURSE_FIGURES") == "strict":
        raise Unsupported(f"the figure's title does not hold: {numbers}")
    return f"These numbers do not show: “{title}”"


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
