"""A title is given where the numbers support it; elsewhere one that says that they do not."""

import pytest

from course_lib.figures import Unsupported, supported


def test_a_title_that_holds_is_given():
    assert supported("Most are right", "nine of ten are right", 0.9 > 0.5) == "Most are right"


@pytest.mark.parametrize("others", [[], [True], [False]])
def test_a_title_that_does_not_hold_is_refused_with_its_numbers(others):
    with pytest.raises(Unsupported, match="title does not hold: one of ten is right"):
        supported("Most are right", "one of ten is right", 0.1 > 0.5, *others)


@pytest.mark.parametrize("strict", [None, "", "no"])
def test_a_learner_gets_a_title_that_says_what_the_numbers_do_not_show(monkeypatch, strict):
    monkeypatch.delenv("COURSE_FIGURES")
    if strict is not None:
        monkeypatch.setenv("COURSE_FIGURES", strict)
    title = supported("Most are right", "one of ten is right", True, 0.1 > 0.5)
    assert title == "These numbers do not show: “Most are right”"
