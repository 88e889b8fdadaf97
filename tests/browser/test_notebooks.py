"""The explorers of the course's notebooks in JupyterLab, by mouse and by keyboard.

nbval runs every notebook from top to bottom; here only the cells run that the explorer needs: its own, found
by what it contains, and those that define what it uses.
"""

import re
import symtable
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, expect

from course_lib import maths
from course_lib.generation import next_token_probabilities
from course_lib.pretrained import load_smollm2

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SECONDS = 600  # a notebook has 60 on two free cores; a test machine may be busy


def names(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell defines and those that it uses."""
    top = symtable.symtable(source, "cell", "exec")
    defined = {
        symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    inner = [*top.get_children()]
    while inner:
        table = inner.pop()
        used |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        inner += table.get_children()
    return defined, used


def needed(cells: list[str], text: str) -> list[str]:
    """The first cell that contains a text, after those that define what it uses, and what they use."""
    last = next((i for i, source in enumerate(cells) if text in source), None)
    assert last is not None, f"no cell contains {text!r}"
    parts = [names(source) for source in cells[: last + 1]]
    chosen: set[int] = set()
    waiting = [last]
    while waiting:
        place = waiting.pop()
        chosen.add(place)
        for name in parts[place][1]:
            homes = [i for i in range(last) if name in parts[i][0] and i != place]
            # What a function uses may be defined after it.
            home = max([i for i in homes if i < place] or homes, default=place)
            if home not in chosen:
                waiting.append(home)
    return [cells[i] for i in sorted(chosen)]


def test_the_cells_that_a_cell_needs() -> None:
    cells = [
        "import math",
        "a = 1  # replaced below",
        "a = 2\nx = 3",
        "def half(a):\n    return a / two",
        "two = 2",
        "b = [a for a in range(3)]",
        "x = x + 1",
        "print(half(x))",
        "x = 0  # too late",
    ]
    assert needed(cells, "print(") == [cells[2], cells[3], cells[4], cells[6], cells[7]]
    with pytest.raises(AssertionError, match="no cell contains 'show'"):
        needed(cells, "show")


def open_and_run(desk, name: str, title: str, cell: str) -> Locator:
    """Open a notebook, run the cell that contains a text and what it needs, and go to its explorer."""
    desk.copy(NOTEBOOKS / name)
    desk.open(name)
    notebook = nbformat.read(NOTEBOOKS / name, 4)
    code = [part.source for part in notebook.cells if part.cell_type == "code"]
    desk.run_cells(*needed(code, cell), timeout_s=SECONDS)
    explorer = desk.explorer(title).first
    explorer.scroll_into_view_if_needed()
    return explorer


def test_only_the_cells_that_are_named_run(desk) -> None:
    desk.begin("a = 2", "b = 3", "a = 5  # not this one", "print(a * b)")
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
    """Every table follows from the numbers that a reader may type: x and its matrices, or q, k and v."""
    tables = {
        table.get_attribute("data-table"): numbers(table)
        for table in explorer.locator("table[data-table]:not([data-table='mask'])").all()
    }
    if "x" in tables:
        for name in "qkv":
            made = tables["x"] @ tables[f"w_{name}"]
            np.testing.assert_allclose(tables[name], made, atol=5e-4)
            tables[name] = made
    q, k, v = (tables[name] for name in "qkv")
    causal = explorer.get_by_label("Mask", exact=True).input_value() == "causal"
    allowed = np.tri(len(q), len(k), dtype=bool) if causal else np.ones((len(q), len(k)), bool)
    np.testing.assert_allclose(tables["scores"], q @ k.T, atol=5e-4)
    np.testing.assert_allclose(tables["softmax"], maths.attention_weights(q, k, allowed), atol=5e-4)
    np.testing.assert_allclose(tables["mix"], maths.attention_loops(q, k, v, allowed), atol=5e-4)


def test_03_qkv(desk) -> None:
    explorer = open_and_run(desk, "03_qkv.ipynb", "Attention, step by step", "AttentionStepper(")
    before = desk.page.locator(".jp-Cell").count()
    # Mouse: step to the end, point at a number, change another.
    mix = explorer.locator('[data-table="mix"]')
    steps = explorer.locator(".cx-step").count()
    for _ in range(steps - 1):
        explorer.get_by_role("button", name="Next").click()
    expect(mix).to_be_visible()
    check_stepper(explorer)
    scores = explorer.locator('[data-table="scores"] td.cx-cell')
    scores.nth(1).hover()
    trace = explorer.locator(".cx-trace")
    expect(trace).to_have_text(re.compile(r"^score\(.+ → .+\) [=≈] .+·.+ [=≈] "))
    expect(explorer.locator('[data-mark="input"]').first).to_be_visible()
    field = explorer.locator("input.cx-number").first
    old = scores.first.text_content()
    field.fill("4.5")
    trace.click()
    expect(scores.first).not_to_have_text(old)
    check_stepper(explorer)
    # Keyboard: the field to its right, then the first table that follows from it, cell by cell.
    keyboard = desk.page.keyboard
    field.focus()
    keyboard.press("ArrowRight")
    keyboard.type("-2")
    keyboard.press("Enter")
    expect(explorer.locator("input.cx-number").nth(1)).to_have_value("−2")
    first = explorer.locator("td.cx-cell").first
    for _ in range(explorer.locator("table:has(input.cx-number)").count()):
        keyboard.press("Tab")
    expect(first).to_be_focused()
    expect(trace).to_contain_text("(−2)")
    sentence = trace.text_content()
    keyboard.press("ArrowDown")
    expect(trace).not_to_have_text(sentence)
    check_stepper(explorer)
    assert desk.page.locator(".jp-Cell").count() == before
    assert desk.problems(explorer, "03_qkv") == []


def check_next_word(explorer: Locator, loaded: tuple, text: str, settings: dict) -> None:
    model, tokenizer = loaded
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


def test_00_overview(desk) -> None:
    loaded = load_smollm2(device=torch.device("cpu"), weights="packed")
    explorer = open_and_run(desk, "00_overview.ipynb", "Next word", "NextWord(")
    count = desk.page.locator(".jp-Cell").count()
    field = explorer.get_by_label("Your text")
    check_next_word(explorer, loaded, field.input_value(), {})
    # Mouse: another text, settings, a bar, write on.
    field.fill("The capital of France is")
    expect(explorer.locator(".cx-pieces")).to_have_text("5 tokens: The | ␣capital | ␣of | ␣France | ␣is")
    explorer.get_by_label("Temperature").fill("0.7")
    explorer.get_by_label("Top-k").fill("5")
    expect(explorer.locator(".cx-text")).to_contain_text("temperature 0.7, top-k 5")
    check_next_word(explorer, loaded, "The capital of France is", {"temperature": 0.7, "top_k": 5})
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
    check_next_word(explorer, loaded, "One, two, three,", {"temperature": 0.7, "top_k": 5})
    for _ in range(4):
        keyboard.press("Tab")
    keyboard.press("ArrowDown")
    second = explorer.locator(".cx-list button").nth(1)
    expect(second).to_be_focused()
    piece = (second.locator(".cx-piece").text_content() or "").replace("␣", " ").replace("↵", "\n")
    keyboard.press("Enter")
    expect(field).to_have_value("One, two, three," + piece)
    assert desk.page.locator(".jp-Cell").count() == count
    assert desk.problems(explorer, "00_overview") == []
