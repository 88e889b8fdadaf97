"""The attention stepper in JupyterLab, by mouse and by keyboard alone."""

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from course_lib import maths
from course_lib.concepts.c03_qkv.explorer import AttentionStepper

TITLE = "Attention, step by step"
CELL = """
from course_lib.concepts.c03_qkv.explorer import AttentionStepper
stepper = AttentionStepper()
stepper
"""
STAGES = ("scores", "scale", "mask", "softmax", "mix")
FROM_X = """
AttentionStepper(
    ["a", "b"], x=[[1, 2], [3, 0]], w_q=[[1], [0.5]], w_k=[[0], [1]], w_v=[[2, 0, 1], [1, 1, 0]]
)
"""


@pytest.fixture
def stepper(desk) -> Locator:
    return desk.shown(TITLE, CELL, "")


@pytest.fixture
def from_x(desk) -> Locator:
    return desk.shown(TITLE, "from course_lib.concepts.c03_qkv.explorer import AttentionStepper", FROM_X, "")


def cell(explorer: Locator, table: str, row: int, column: int) -> Locator:
    return explorer.locator(f'[data-table="{table}"] tbody tr').nth(row).locator("td").nth(column)


def numbers(explorer: Locator, table: str) -> np.ndarray:
    """The printed numbers of a table."""
    rows = explorer.locator(f'[data-table="{table}"] tbody tr').all()
    texts = [row.locator("td").all_text_contents() for row in rows]
    return np.array([[float(text.replace("−", "-").replace("∞", "inf")) for text in row] for row in texts])


def marked(explorer: Locator) -> list[tuple[str, str]]:
    """The highlighted cells: table and text."""
    return explorer.locator('[data-mark="input"]').evaluate_all(
        "cells => cells.map(c => [c.closest('table').dataset.table,"
        " c.querySelector('input')?.value ?? c.textContent])"
    )


def test_mouse(stepper: Locator) -> None:
    reference = AttentionStepper()
    for stage in STAGES[1:]:
        stepper.get_by_role("button", name="Next").click()
        expect(stepper.locator(f'[data-table="{stage}"]')).to_be_visible()
    for stage in STAGES:
        np.testing.assert_allclose(numbers(stepper, stage), reference.numbers(stage), atol=5e-4)
    cell(stepper, "scores", 2, 1).hover()
    expect(stepper.locator(".cx-trace")).to_have_text("score(it → cat) = 1·0.5 + 0·2 + 2·1 = 2.5")
    assert marked(stepper) == [["q", "1"], ["q", "0"], ["q", "2"], ["k", "0.5"], ["k", "2"], ["k", "1"]]
    cell(stepper, "mix", 2, 1).hover()
    expect(stepper.locator(".cx-trace")).to_have_text(reference.trace("mix", 2, 1))
    assert [table for table, _ in marked(stepper)] == ["v", "v", "v", "softmax", "softmax", "softmax"]

    stepper.get_by_label("k of cat, dimension 2").fill("-1.5")
    stepper.get_by_label("k of cat, dimension 3").click()
    k = np.array([[1, 0, 0], [0.5, -1.5, 1], [0, 1, 0.5]])
    expect(cell(stepper, "scores", 1, 1)).to_have_text("−0.5")
    np.testing.assert_allclose(
        numbers(stepper, "mix"), maths.attention(reference.q, k, reference.v), atol=5e-4
    )


def test_keyboard_alone(desk, stepper: Locator) -> None:
    keyboard = desk.page.keyboard
    cells_before = desk.page.locator(".jp-Cell").count()
    stepper.get_by_role("button", name="Back").focus()
    for _ in STAGES:
        keyboard.press("Tab")
    # The fifth stop after "Back" is "5 Mix".
    keyboard.press("Enter")
    expect(stepper.locator('[data-table="mix"]')).to_be_visible()
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(stepper.get_by_label("Mask", exact=True)).to_be_focused()
    keyboard.press("ArrowDown")
    causal = AttentionStepper(mask="causal")
    expect(cell(stepper, "mask", 0, 1)).to_have_text("−∞")
    np.testing.assert_allclose(numbers(stepper, "mix"), causal.numbers("mix"), atol=5e-4)

    # The text fields: names, q, k, v are one stop each; arrows move inside.
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(stepper.get_by_label("Name of token 1")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    expect(stepper.get_by_label("q of cat, dimension 2")).to_be_focused()
    keyboard.type("3")
    keyboard.press("Enter")
    expect(cell(stepper, "scores", 1, 1)).to_have_text("7")

    for _ in range(3):
        keyboard.press("Tab")
    assert desk.page.evaluate("document.activeElement.closest('table').dataset.table") == "scores"
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    expect(stepper.locator(".cx-trace")).to_have_text("score(cat → cat) = 0·0.5 + 3·2 + 1·1 = 7")
    assert [table for table, _ in marked(stepper)] == ["q"] * 3 + ["k"] * 3
    keyboard.press("Control+End")
    expect(stepper.locator(".cx-trace")).to_contain_text("score(it → it)")
    # Keys that would add, cut or delete cells if JupyterLab saw them.
    for key in ("a", "b", "x", "d", "d", "m", "Home"):
        keyboard.press(key)
    expect(stepper.locator(".cx-trace")).to_contain_text("score(it → the)")
    assert desk.page.locator(".jp-Cell").count() == cells_before


def test_custom_mask_down_to_a_row_of_zeros(stepper: Locator) -> None:
    stepper.get_by_role("button", name="5 Mix").click()
    stepper.get_by_label("Mask", exact=True).select_option("custom")
    for column in range(3):
        cell(stepper, "mask", 1, column).click()
        expect(cell(stepper, "mask", 1, column)).to_have_text("−∞")
    expect(cell(stepper, "mix", 1, 1)).to_have_text("0")
    np.testing.assert_array_equal(numbers(stepper, "softmax")[1], [0, 0, 0])
    cell(stepper, "softmax", 1, 1).hover()
    expect(stepper.locator(".cx-trace")).to_have_text(
        "weight(cat → cat) = 0: every key is forbidden, so the whole row is 0"
    )
    cell(stepper, "mask", 1, 1).press("Space")
    expect(cell(stepper, "softmax", 1, 1)).to_have_text("1")


def test_bad_input_is_told_and_taken_back(stepper: Locator) -> None:
    field = stepper.get_by_label("q of the, dimension 1")
    field.fill("two")
    field.press("Enter")
    expect(stepper.get_by_role("alert")).to_contain_text("got 'two'")
    expect(field).to_have_attribute("aria-invalid", "true")
    np.testing.assert_allclose(numbers(stepper, "scores"), AttentionStepper().numbers("scores"), atol=5e-4)
    field.fill("1")
    field.press("Enter")
    field.press("Escape")
    stepper.get_by_label("q of the, dimension 2").fill("2")
    stepper.get_by_label("q of the, dimension 2").press("Enter")
    expect(cell(stepper, "scores", 0, 1)).to_have_text("4.5")
    expect(stepper.get_by_role("alert")).to_be_empty()


def test_reset(stepper: Locator) -> None:
    stepper.get_by_label("q of the, dimension 1").fill("3")
    stepper.get_by_label("Name of token 2").fill("dog")
    stepper.get_by_label("q of the, dimension 2").fill("x")
    expect(stepper.locator('[data-table="scores"] thead')).to_contain_text("dog")
    stepper.get_by_role("button", name="Reset numbers").click()
    expect(stepper.locator('[data-table="scores"] thead')).to_contain_text("cat")
    expect(stepper.get_by_label("q of the, dimension 1")).to_have_value("1")
    expect(stepper.get_by_label("q of the, dimension 2")).to_have_value("0")
    expect(stepper.get_by_role("alert")).to_be_empty()


def test_from_x_by_mouse(from_x: Locator) -> None:
    reference = eval(FROM_X.strip(), {"AttentionStepper": AttentionStepper})
    for name in "qkv":
        np.testing.assert_allclose(numbers(from_x, name), getattr(reference, name), atol=5e-4)
    expect(from_x.locator('[data-table="scores"]')).to_be_hidden()
    cell(from_x, "v", 1, 2).hover()
    expect(from_x.locator(".cx-trace")).to_have_text("v(b, 3) = 3·1 + 0·0 = 3")
    assert marked(from_x) == [["x", "3"], ["x", "0"], ["w_v", "1"], ["w_v", "0"]]
    for stage in STAGES:
        from_x.get_by_role("button", name="Next").click()
        expect(from_x.locator(f'[data-table="{stage}"]')).to_be_visible()
        np.testing.assert_allclose(numbers(from_x, stage), reference.numbers(stage), atol=5e-4)
    expect(from_x.get_by_role("button", name="Next")).to_have_attribute("aria-disabled", "true")
    # A number of a matrix goes all the way.
    from_x.get_by_label("W_K, row 1, column 1").fill("−1")
    from_x.get_by_label("W_K, row 2, column 1").click()
    expect(cell(from_x, "k", 1, 0)).to_have_text("−3")
    reference.update(w_k=[[-1], [1]])
    expect(cell(from_x, "scores", 0, 1)).to_have_text("−6")
    np.testing.assert_allclose(numbers(from_x, "mix"), reference.numbers("mix"), atol=5e-4)
    from_x.get_by_role("button", name="Reset numbers").click()
    expect(cell(from_x, "k", 1, 0)).to_have_text("0")
    expect(from_x.get_by_label("W_K, row 1, column 1")).to_have_value("0")


def test_from_x_by_keyboard(desk, from_x: Locator) -> None:
    keyboard = desk.page.keyboard
    # Back, six steps, Next, mask, reset, names: eleven stops from the first to the numbers of x.
    from_x.get_by_role("button", name="Back").focus()
    for _ in range(11):
        keyboard.press("Tab")
    expect(from_x.get_by_label("x of a, dimension 1")).to_be_focused()
    for name in ("Q", "K", "V"):
        keyboard.press("Tab")
        expect(from_x.get_by_label(f"W_{name}, row 1, column 1")).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.type("4")
    keyboard.press("Enter")
    expect(cell(from_x, "v", 0, 0)).to_have_text("10")
    for _ in range(3):
        keyboard.press("Tab")
    expect(cell(from_x, "v", 0, 0)).to_be_focused()
    expect(from_x.locator(".cx-trace")).to_have_text("v(a, 1) = 1·2 + 2·4 = 10")
    keyboard.press("ArrowDown")
    expect(from_x.locator(".cx-trace")).to_have_text("v(b, 1) = 3·2 + 0·4 = 6")


def test_accessible_in_both_themes(desk, from_x: Locator) -> None:
    from_x.get_by_role("button", name="6 Mix").click()
    from_x.get_by_label("Mask", exact=True).select_option("causal")
    from_x.locator("summary").click()
    cell(from_x, "q", 1, 0).focus()
    text = from_x.locator(".cx-text")
    expect(text).to_contain_text("Keys k (x W_K: what each token is found by)")
    expect(text).to_contain_text("Mix (weights · v)")
    assert desk.problems(from_x, "attention-stepper") == []


def test_python_changes_the_page(desk, stepper: Locator) -> None:
    desk.run(
        "stepper.update(tokens=['a', 'b'], q=[[1], [2]], k=[[3], [5]], v=[[7], [11]]); stepper.stage = 'mix'"
    )
    expect(cell(stepper, "scores", 1, 1)).to_have_text("10")
    expected = maths.attention([[1.0], [2.0]], [[3.0], [5.0]], [[7.0], [11.0]])
    np.testing.assert_allclose(numbers(stepper, "mix"), expected, atol=5e-4)
    told = desk.run("print('\\n\\n'.join(stage['text'] for stage in stepper.state['stages']['off']), end='')")
    desk.tells(stepper, *told.split("\n"))
    desk.run("stepper.stage = 'scores'")
    desk.tells(stepper, "Scores (q · k)", "   a   b", "a  3   5", "b  6  10")


def test_says_so_when_the_kernel_is_gone(desk, stepper: Locator) -> None:
    desk.watch.expected = {
        # The widget manager cannot tell the kernel about the stage and the mask.
        "Could not send widget sync message Error: Cannot send",
    }
    desk.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    desk.page.wait_for_function("!window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    stepper.get_by_role("button", name="5 Mix").click()
    expect(stepper.locator('[data-table="mix"]')).to_be_visible()
    stepper.get_by_label("Mask", exact=True).select_option("causal")
    np.testing.assert_allclose(
        numbers(stepper, "mix"), AttentionStepper(mask="causal").numbers("mix"), atol=5e-4
    )
    field = stepper.get_by_label("q of the, dimension 1")
    field.fill("2")
    field.press("Enter")
    expect(stepper.get_by_role("alert")).to_contain_text("No answer from Python")
