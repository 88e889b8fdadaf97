"""A prediction keeps what was chosen, says how it compares, and never stands in the way."""

import numpy as np
import pytest

from course_lib.widgets import outcome, predict, prediction, predictions

PLACES = {"50 %: a coin": 0.5, "about 65 %": 0.65, "above 80 %": 0.85}


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is displayed, and a run of a notebook without earlier predictions."""
    objects: list[object] = []
    monkeypatch.setattr("IPython.display.display", objects.append)
    monkeypatch.setattr(prediction, "_questions", {})
    return objects


def test_nothing_is_chosen_beforehand():
    buttons = predict("places", PLACES)
    assert buttons.options == tuple(PLACES)
    assert buttons.value is None


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ("50 %: a coin", "✓ You said: 50 %: a coin. The result: 51 %."),
        ("above 80 %", "✗ You said: above 80 %. The result: 51 %."),
        (None, "The result: 51 %. (You made no prediction.)"),
    ],
)
def test_the_choice_stands_beside_the_result(shown, chosen, text):
    predict("places", PLACES).value = chosen
    outcome("places", 0.512, "{:.0%}")
    assert repr(shown[0]) == text
    assert text in shown[0]._repr_html_()


@pytest.mark.parametrize(
    ("answers", "result", "right"),
    [
        (PLACES, 0.58, "about 65 %"),
        (PLACES, np.float32(0.99), "above 80 %"),
        ({"none": 0, "one": 1, "all": 5}, 1, "one"),
        ({"yes": True, "no": False}, np.bool_(True), "yes"),
        ({"x W": "xW", "W x": "Wx"}, "Wx", "W x"),
        ({"never": "never", "once": 1, "often": 9}, 7.0, "often"),
    ],
)
def test_the_nearest_answer_is_right(shown, answers, result, right):
    for answer in answers:
        predict("a", answers).value = answer
        outcome("a", result)
        assert repr(shown[-1]).startswith("✓" if answer == right else "✗")


@pytest.mark.parametrize("result", [float("nan"), "sixty", None, True])
def test_a_result_that_fits_no_answer_is_refused(result):
    predict("places", PLACES)
    with pytest.raises(ValueError, match="fits none of the answers"):
        outcome("places", result)


def test_the_end_says_how_many_held(shown):
    predict("places", PLACES).value = "about 65 %"
    outcome("places", 0.66, "{:.0%}")
    predict("share", {"half": 0.5, "all": 1.0}).value = "all"
    outcome("share", 0.4, "{:.1f}")
    predict("skipped", {"half": 0.5, "all": 1.0})
    outcome("skipped", 1.0)
    predict("no result yet", {"half": 0.5, "all": 1.0}).value = "all"
    predictions()
    assert repr(shown[-1]).split("\n") == [
        "You made 2 predictions; 1 held.",
        "✓ You said: about 65 %. The result: 66 %.",
        "✗ You said: all. The result: 0.4.",
    ]
    assert "You made 2 predictions; 1 held." in shown[-1]._repr_html_()


def test_what_has_a_name_is_said_in_the_words_of_the_question(shown):
    predict("q", {"with no sense at all": "none", "with Paris": "Paris"})
    outcome("q", "none")
    assert str(shown[-1]).startswith("The result: with no sense at all.")


def test_a_change_of_mind_after_the_result_does_not_count(shown):
    buttons = predict("places", PLACES)
    buttons.value = "50 %: a coin"
    outcome("places", 0.85)
    buttons.value = "above 80 %"
    predictions()
    assert repr(shown[-1]).startswith("You made 1 prediction; 0 held.")


def test_who_predicts_nothing_is_not_held_up(shown):
    predictions()
    assert "You made no predictions" in repr(shown[-1])


def test_a_cell_that_runs_again_asks_again(shown):
    predict("places", PLACES).value = "above 80 %"
    predict("places", PLACES)
    outcome("places", 0.85)
    assert "no prediction" in repr(shown[-1])


@pytest.mark.parametrize("answers", [{}, {"only one": 1}, {"one": 1, "the same": 1}])
def test_a_question_needs_two_different_answers(answers):
    with pytest.raises(ValueError, match="a prediction needs two answers or more"):
        predict("places", answers)


def test_an_unknown_question_is_named():
    predict("places", PLACES)
    with pytest.raises(
        ValueError, match="no prediction 'place' was asked for in this run; there are: places"
    ):
        outcome("place", 0.5)


def test_text_of_the_answers_is_not_read_as_markup(shown):
    predict("tags", {"<b>": 1, "</b>": 2}).value = "<b>"
    outcome("tags", 1)
    predictions()
    assert all("<b>" not in thing._repr_html_().replace("<strong>", "") for thing in shown)
