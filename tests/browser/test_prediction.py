"""Predictions in JupyterLab: choose by mouse or keyboard, run on, and see the choice beside the result."""

import re

import pytest
from playwright.sync_api import Locator, expect

IMPORT = "from course_lib.widgets import outcome, predict, predictions"
ASK = 'predict("places", {"50 %: a coin": 0.5, "about 65 %": 0.65, "above 80 %": 0.85})'
TELL = 'outcome("places", 0.512, "{:.0%}")'
END = "predictions()"


@pytest.fixture
def question(desk) -> Locator:
    """The radio buttons of one prediction."""
    desk.begin(IMPORT, ASK, TELL, END)
    desk.run_cells(IMPORT, ASK)
    buttons = desk.page.get_by_role("radio")
    expect(buttons).to_have_count(3)
    return buttons


def boxes(desk) -> Locator:
    return desk.page.locator(".course-outcome")


def wait_for_choice(desk, answer: str) -> None:
    """Until the kernel knows what was chosen: the page is ahead of it."""
    desk.page.wait_for_function("document.querySelectorAll('input[type=radio]:checked').length === 1")
    desk.run("from course_lib.widgets import prediction")
    chosen = desk.run("print(prediction._questions['places'].buttons.value, end='')")
    assert chosen == answer


@pytest.mark.parametrize(
    ("place", "answer", "said", "held"),
    [
        (0, "50 %: a coin", "✓ You said: 50 %: a coin.", 1),
        (2, "above 80 %", "✗ You said: above 80 %.", 0),
    ],
)
def test_by_mouse(desk, question: Locator, place: int, answer: str, said: str, held: int) -> None:
    for button in question.all():
        expect(button).not_to_be_checked()
    question.nth(place).click()
    wait_for_choice(desk, answer)
    desk.run_cells(TELL, END)
    expect(boxes(desk)).to_have_count(2)
    expect(boxes(desk).first).to_have_text(f"{said} The result: 51 %.")
    expect(boxes(desk).last).to_contain_text(f"You made 1 prediction; {held} held.")


def test_by_keyboard(desk, question: Locator) -> None:
    # Each answer is a stop of its own: the control gives its buttons no common name.
    question.first.focus()
    desk.page.keyboard.press("Tab")
    expect(question.nth(1)).to_be_focused()
    desk.page.keyboard.press("Space")
    expect(question.nth(1)).to_be_checked()
    wait_for_choice(desk, "about 65 %")
    desk.run_cells(TELL)
    expect(boxes(desk)).to_have_text("✗ You said: about 65 %. The result: 51 %.")


def test_who_chooses_nothing_is_not_held_up(desk, question: Locator) -> None:
    desk.run_cells(TELL, END)
    expect(boxes(desk).first).to_have_text("The result: 51 %. (You made no prediction.)")
    expect(boxes(desk).last).to_have_text(re.compile("^You made no predictions in this run"))
    expect(question.first).not_to_be_checked()


def test_accessible_in_both_themes(desk, question: Locator) -> None:
    question.first.click()
    wait_for_choice(desk, "50 %: a coin")
    desk.run_cells(TELL, END)
    expect(boxes(desk)).to_have_count(2)
    assert desk.problems(boxes(desk), "outcome") == []
