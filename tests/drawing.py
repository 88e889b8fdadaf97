"""Does a figure have its title where the numbers support it, and only there?"""

import os
from collections.abc import Callable
from unittest.mock import patch

import pytest
from matplotlib.figure import Figure

from course_lib.plots import Unsupported


def draws(
    drawn: list[tuple],
    function: Callable,
    *args: object,
    says: str,
    labels: tuple[str, ...] = (),
    **kwargs: object,
) -> bool:
    """One figure was shown, with a title and this in its text; an axis of `labels` is named everywhere."""
    function(*args, **kwargs)
    ((fig, alt),) = drawn
    assert title_fits(fig)
    named = [all(getattr(ax, f"get_{axis}label")() for ax in fig.axes) for axis in labels]
    return bool(fig.get_suptitle()) and says in alt and (not labels or any(named))


def refuses(
    drawn: list, function: Callable, *args: object, says: str = "title does not hold", **kwargs: object
) -> bool:
    """The title is an error in our tests, which says this; a learner gets the figure, titled as not shown."""
    with pytest.raises(Unsupported, match=says):
        function(*args, **kwargs)
    refused = not drawn
    with patch("course_lib.plots.show") as show, patch.dict(os.environ, COURSE_FIGURES=""):
        function(*args, **kwargs)
    ((fig,), text) = show.call_args
    assert title_fits(fig)
    return refused and "These numbers do not show" in fig.get_suptitle() and bool(text["alt"])


def title_fits(fig: Figure) -> bool:
    fig.draw_without_rendering()
    return all(text.get_window_extent().x1 <= fig.bbox.x1 for text in fig.texts)
