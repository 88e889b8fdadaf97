"""The explorers of the course's notebooks in JupyterLab, by mouse and by keyboard.

nbval runs every notebook from top to bottom; here only the cells run that the explorer needs, found by what
they contain. The first notebook runs whole, so that one has been seen to work where learners work.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, expect

from course_lib import maths
from course_lib.generation import next_token_probabilities

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SECONDS = 600  # a notebook has 60 on two free cores; a test machine may be busy


def open_and_run(desk, name: str, title: str, *cells: str) -> Locator:
    """Open a notebook, run the cells that contain these texts (none given: all), and go to its explorer."""
    desk.copy(NOTEBOOKS / name)
    desk.open(name)
    if cells:
        desk.run_cells(*cells, timeout_s=SECONDS)
    else:
        desk.run_all(SECONDS)
    explorer = desk.explorer(title).first
    explorer.scroll_into_view_if_needed()
    return explorer


def test_only_the_cells_that_are_named_run(desk) -> None:
    desk.write("some_cells.ipynb", "a = 2", "b = 3", "a = 5  # not this one", "print(a * b)")
    desk.open("some_cells.ipynb")
    desk.run_cells("a = 2", "b = 3", "print(")
    assert desk.run("print(a, b)") == "2 3\n"
    with pytest.raises(AssertionError, match=r"no cell contains \[.c = 7.\]"):
        desk.run_cells("a = 2", "c = 7")


def numbers(table: Locator) -> np.ndarray:
    """The printed numbers of a table, of text fields too."""
    texts = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')]"
        ".map(c => (c.querySelector('input')?.value ?? c.textContent).replace('−', '-')))"
    )
    return np.array([[float(text) for text in row] for row in texts])


def check_stepper(explorer: Locator) -> None:
    tables = {
        name: explorer.locator(f'[data-table="{name}"]') for name in (*"qkv", "scores", "softmax", "mix")
    }
    q, k, v = (numbers(tables[name]) for name in "qkv")
    np.testing.assert_allclose(numbers(tables["scores"]), q @ k.T, atol=5e-4)
    np.testing.assert_allclose(numbers(tables["softmax"]), maths.attention_weights(q, k), atol=5e-4)
    np.testing.assert_allclose(numbers(tables["mix"]), maths.attention_loops(q, k, v), atol=5e-4)


def test_03_qkv(desk) -> None:
    cells = ("import AttentionStepper", "W_q = ", "q, k, v = x @ W_q", "AttentionStepper(tokens")
    explorer = open_and_run(desk, "03_qkv.ipynb", "Attention, step by step", *cells)
    before = desk.page.locator(".jp-Cell").count()
    # Mouse: step to the end, point at a number, change another.
    for _ in range(4):
        explorer.get_by_role("button", name="Next").click()
    expect(explorer.locator('[data-table="mix"]')).to_be_visible()
    check_stepper(explorer)
    scores = explorer.locator('[data-table="scores"] td.cx-cell')
    scores.nth(1).hover()
    expect(explorer.locator(".cx-trace")).to_have_text(re.compile(r"^score\(.+ → .+\) = .+·.+ [=≈] "))
    expect(explorer.locator('[data-mark="input"]').first).to_be_visible()
    field = explorer.locator('[data-table="q"] input.cx-number').first
    old = scores.first.text_content()
    field.fill("4.5")
    explorer.locator(".cx-trace").click()
    expect(scores.first).not_to_have_text(old)
    check_stepper(explorer)
    # Keyboard: the same field, then the scores, cell by cell.
    keyboard = desk.page.keyboard
    field.focus()
    keyboard.press("ArrowRight")
    keyboard.type("-2")
    keyboard.press("Enter")
    expect(explorer.locator('[data-table="q"] input.cx-number').nth(1)).to_have_value("−2")
    for _ in range(3):
        keyboard.press("Tab")
    expect(scores.first).to_be_focused()
    first = explorer.locator(".cx-trace").text_content()
    assert "·(−2)" in first or "(−2)·" in first
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    expect(explorer.locator(".cx-trace")).not_to_have_text(first)
    check_stepper(explorer)
    assert desk.page.locator(".jp-Cell").count() == before
    desk.screenshots(explorer, "03_qkv")
    assert desk.accessibility_problems() == []


def check_next_word(explorer: Locator, smollm2, text: str, settings: dict) -> None:
    model, tokenizer = smollm2
    with torch.inference_mode():
        logits = model(torch.tensor([tokenizer.encode(text)]))[0, -1]
    before, after = next_token_probabilities(logits), next_token_probabilities(logits, **settings)
    rows = explorer.locator(".cx-list button").evaluate_all(
        "rows => rows.map(r => [r.querySelector('.cx-piece').textContent,"
        " ...[...r.querySelectorAll('.cx-probability span:last-child')]"
        ".map(s => s.textContent.startsWith('<') ? 0 : parseFloat(s.textContent))])"
    )
    top = before.topk(10).indices
    assert [row[0] for row in rows[:5]] == [
        tokenizer.decode([i]).replace(" ", "␣").replace("\n", "↵") for i in top[:5].tolist()
    ]
    np.testing.assert_allclose([row[1] for row in rows], 100 * before[top], atol=0.06)
    np.testing.assert_allclose([row[2] for row in rows], 100 * after[top], atol=0.06)


def test_00_overview(desk, smollm2) -> None:
    explorer = open_and_run(desk, "00_overview.ipynb", "Next word")
    count = desk.page.locator(".jp-Cell").count()
    field = explorer.get_by_label("Your text")
    check_next_word(explorer, smollm2, field.input_value(), {})
    # Mouse: another text, settings, a bar, write on.
    field.fill("The capital of France is")
    expect(explorer.locator(".cx-pieces")).to_have_text("5 tokens: The | ␣capital | ␣of | ␣France | ␣is")
    explorer.get_by_label("Temperature").fill("0.7")
    explorer.get_by_label("Top-k").fill("5")
    expect(explorer.locator(".cx-text")).to_contain_text("temperature 0.7, top-k 5")
    check_next_word(explorer, smollm2, "The capital of France is", {"temperature": 0.7, "top_k": 5})
    explorer.get_by_role("button", name="␣Paris").click()
    expect(field).to_have_value("The capital of France is Paris")
    explorer.get_by_label("tokens", exact=True).fill("3")
    explorer.get_by_role("button", name="Write on").click()
    expect(explorer.locator(".cx-status")).to_contain_text(re.compile(r"^Wrote [123] token"))
    # Keyboard: type at the end, walk to the bars, choose the second.
    keyboard = desk.page.keyboard
    field.focus()
    keyboard.press("Control+A")
    keyboard.type("One, two, three,")
    expect(explorer.locator(".cx-pieces")).to_contain_text("6 tokens")
    check_next_word(explorer, smollm2, "One, two, three,", {"temperature": 0.7, "top_k": 5})
    for _ in range(4):
        keyboard.press("Tab")
    keyboard.press("ArrowDown")
    second = explorer.locator(".cx-list button").nth(1)
    expect(second).to_be_focused()
    piece = (second.locator(".cx-piece").text_content() or "").replace("␣", " ").replace("↵", "\n")
    keyboard.press("Enter")
    expect(field).to_have_value("One, two, three," + piece)
    assert desk.page.locator(".jp-Cell").count() == count
    desk.screenshots(explorer, "00_overview")
    assert desk.accessibility_problems() == []
