"""A figure is drawn only where the numbers support its title."""

import pytest

from course_lib.figures import Unsupported, supported


def test_what_holds_is_let_through():
    assert supported(0.9 > 0.5, "nine of ten are right") is None


def test_what_does_not_hold_is_refused_with_its_numbers():
    with pytest.raises(Unsupported, match="title does not hold: one of ten is right"):
        supported(0.1 > 0.5, "one of ten is right")
