"""Is a figure drawn where the numbers support its title, and refused where they do not?"""

from collections.abc import Callable

import pytest

from course_lib.figures import Unsupported


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
    fig.draw_without_rendering()
    named = [all(getattr(ax, f"get_{axis}label")() for ax in fig.axes) for axis in labels]
    return bool(fig.get_suptitle()) and says in alt and (not labels or any(named))


def refuses(drawn: list[tuple], function: Callable, *args: object, **kwargs: object) -> bool:
    with pytest.raises(Unsupported):
        function(*args, **kwargs)
    return not drawn
