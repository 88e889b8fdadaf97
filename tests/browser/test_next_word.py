"""The next-word explorer in JupyterLab on a tiny model, by mouse and by keyboard alone."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, expect

TITLE = "Next word"
LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "00_overview.ipynb"
# Letters as tokens, one of them special; the weights are the same in every run.
MODEL = """
import torch
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.concepts.c00_overview.explorer import NextWord
torch.manual_seed(0)
tokenizer = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "<end>"], [], {"<end>": 27})
model = GPT(LlamaConfig(vocab_size=28, max_seq_len=61, d_model=8, n_layers=2, n_heads=2)).eval()
# A model that has learned nothing finds all tokens alike: larger embeddings make it decided.
with torch.no_grad():
    model.token_embedding.weight.mul_(25)
"""
SHOW = """
explorer = NextWord(model, tokenizer, "a cat")
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, MODEL, SHOW)


def rows(explorer: Locator) -> list[tuple[str, str, str]]:
    """Token, before, after, as printed."""
    cells = explorer.locator(".cx-next:not(.cx-head)").evaluate_all(
        "rows => rows.map(r => [r.querySelector('.cx-piece').textContent,"
        " ...[...r.querySelectorAll('.cx-probability span:last-child')].map(s => s.textContent)])"
    )
    return [tuple(cell) for cell in cells]


def expected_rows(desk, text: str, settings: str) -> list[tuple[str, str, str]]:
    """The same, from the library and without the explorer."""
    printed = desk.run(
        f"""
from course_lib.generation import next_token_probabilities
ids = tokenizer.encode({text!r})
logits = model(torch.tensor([ids]))[0, -1].detach()
percent = lambda p: "0 %" if p == 0 else f"{{100 * p:.1f}} %"
before, after = next_token_probabilities(logits), next_token_probabilities(logits, {settings})
top = before.topk(10).indices.tolist()
for i in top:
    print(tokenizer.decode([i]).replace(" ", "␣"), percent(before[i]), percent(after[i]), sep="|")
others = [i for i in range(28) if i not in top]
print("18 other tokens", percent(before[others].sum()), percent(after[others].sum()), sep="|")
"""
    )
    return [tuple(line.split("|")) for line in printed.splitlines()]


def set_slider(explorer: Locator, label: str, value: str) -> None:
    explorer.get_by_label(label, exact=True).fill(value)


def test_shows_the_librarys_numbers(desk, explorer: Locator) -> None:
    assert rows(explorer) == expected_rows(desk, "a cat", "temperature=1")
    set_slider(explorer, "Temperature", "0.5")
    set_slider(explorer, "Top-k", "7")
    set_slider(explorer, "Top-p", "0.9")
    expect(explorer.locator(".cx-text")).to_contain_text("temperature 0.5, top-k 7, top-p 0.9")
    after = expected_rows(desk, "a cat", "temperature=0.5, top_k=7, top_p=0.9")
    assert rows(explorer) == after
    assert after != expected_rows(desk, "a cat", "temperature=1")
    assert explorer.locator(".cx-text").text_content() == desk.run(
        "print(explorer.state['description'], end='')"
    )


def test_typing_and_choosing_by_mouse(desk, explorer: Locator) -> None:
    field = explorer.get_by_label("Your text")
    expect(field).to_have_accessible_description(re.compile("^Type a beginning"))
    field.fill("the dog")
    expect(explorer.locator(".cx-pieces")).to_have_text("7 tokens: t | h | e | ␣ | d | o | g")
    assert rows(explorer) == expected_rows(desk, "the dog", "temperature=1")
    second = rows(explorer)[1][0]
    explorer.locator(".cx-list button").nth(1).click()
    expect(field).to_have_value("the dog" + second.replace("␣", " "))
    assert rows(explorer) == expected_rows(desk, field.input_value(), "temperature=1")
    explorer.get_by_role("button", name="Reset text").click()
    expect(field).to_have_value("a cat")


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    cells_before = desk.page.locator(".jp-Cell").count()
    field = explorer.get_by_label("Your text")
    field.focus()
    keyboard.press("Control+End")
    keyboard.type("s add")
    expect(explorer.locator(".cx-pieces")).to_contain_text("10 tokens")
    keyboard.press("Tab")
    expect(explorer.get_by_label("Temperature")).to_be_focused()
    for _ in range(3):
        keyboard.press("ArrowRight")
    expect(explorer.locator(".cx-text")).to_contain_text("temperature 1.3")
    for _ in range(3):
        keyboard.press("Tab")
    expect(explorer.locator(".cx-list button").first).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    third = rows(explorer)[2][0].replace("␣", " ")
    keyboard.press("Enter")
    expect(field).to_have_value("a cats add" + third)
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(explorer.locator(".cx-pieces")).to_contain_text(re.compile("^12 tokens"))
    for key in ("a", "b", "d", "d", "ArrowUp"):
        keyboard.press(key)
    assert desk.page.locator(".jp-Cell").count() == cells_before


def test_writes_on_token_by_token_and_stops(desk, explorer: Locator) -> None:
    field = explorer.get_by_label("Your text")
    # "<end>" would end some runs early: keep the likeliest letters only.
    desk.run("explorer.settings(1.0, 5, None)")
    expect(explorer.locator(".cx-text")).to_contain_text("top-k 5")
    field.evaluate(
        """field => {
            window.lengths = [];
            const seen = new MutationObserver(() => window.lengths.push(field.value.length));
            seen.observe(field.closest("section"), { childList: true, subtree: true, characterData: true });
        }"""
    )
    explorer.get_by_label("tokens", exact=True).fill("9")
    explorer.get_by_role("button", name="Write on").click()
    expect(explorer.get_by_role("status")).to_have_text("Wrote 9 tokens.")
    desk.run("again = NextWord(model, tokenizer, 'a cat', top_k=5)\nfor _ in range(9): again.step()")
    assert field.input_value() == desk.run("print(again.text, end='')")
    # The text has grown, and did not come all at once at the end.
    lengths = desk.page.evaluate("[...new Set(window.lengths)]")
    assert lengths == [length for length in range(5, 15) if length in lengths]
    assert len(lengths) >= 9

    # Slow down each step, so that there is time to stop.
    desk.run("import time; fast = explorer.step\ndef slow(): time.sleep(0.1); fast()\nexplorer.step = slow")
    explorer.get_by_role("button", name="Reset text").click()
    expect(field).to_have_value("a cat")
    explorer.get_by_label("tokens", exact=True).fill("50")
    explorer.get_by_role("button", name="Write on").click()
    # Eight or more: on a busy machine the page may be seen at the ninth only.
    expect(explorer.locator(".cx-pieces")).to_contain_text(re.compile(r"^([89]|[1-4]\d) tokens"))
    explorer.get_by_role("button", name="Stop").click()
    expect(explorer.get_by_role("status")).to_contain_text("Wrote")
    written = len(field.input_value()) - len("a cat")
    assert 3 <= written < 50
    expect(explorer.get_by_role("button", name="Write on")).to_be_visible()


def test_a_text_of_ones_own_and_writing_from_the_keyboard(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    field = explorer.get_by_label("Your text")
    desk.run("explorer.settings(1.0, 5, None)")
    expect(explorer.locator(".cx-text")).to_contain_text("top-k 5")
    explorer.get_by_label("tokens", exact=True).fill("4")
    field.focus()
    keyboard.press("Control+A")
    keyboard.type("my own text")
    expect(explorer.locator(".cx-pieces")).to_contain_text("11 tokens: m | y | ␣ | o | w | n")
    expect(explorer.locator(".cx-written")).to_have_count(0)
    keyboard.press("Control+Enter")
    expect(explorer.get_by_role("status")).to_have_text("Wrote 4 tokens.")
    expect(explorer.locator(".cx-written")).to_have_count(4)
    written = "".join(explorer.locator(".cx-written").all_text_contents()).replace("␣", " ")
    expect(field).to_have_value("my own text" + written)
    expect(field).to_be_focused()
    expect(explorer.locator(".cx-about").last).to_contain_text("Underlined: the model's own.")


def test_bad_text_is_told(desk, explorer: Locator) -> None:
    field = explorer.get_by_label("Your text")
    before = rows(explorer)
    field.fill("")
    expect(explorer.get_by_role("alert")).to_contain_text("The text is empty")
    field.fill("a" * 62)
    expect(explorer.get_by_role("alert")).to_contain_text("62 tokens, the model's context holds 61")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert rows(explorer) == before
    explorer.get_by_role("button", name="Step").click()
    assert rows(explorer) == before
    field.fill("b")
    expect(explorer.get_by_role("alert")).to_be_empty()
    assert rows(explorer) == expected_rows(desk, "b", "temperature=1")


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    set_slider(explorer, "Top-k", "7")
    explorer.locator("summary").click()
    expect(explorer.locator(".cx-text")).to_contain_text("top-k 7")
    explorer.locator(".cx-list button").first.focus()
    desk.page.keyboard.press("ArrowDown")
    second = explorer.locator(".cx-list button").nth(1)
    assert second.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "next-word") == []


def test_the_lessons_explorer_with_the_real_model(desk) -> None:
    code = [cell.source for cell in nbformat.read(LESSON, 4).cells if cell.cell_type == "code"]
    explorer = desk.shown(TITLE, *(cell for cell in code if "load_smollm2" in cell or "NextWord(" in cell))
    field = explorer.get_by_label("Your text")
    field.fill("The capital of France is")
    expect(explorer.locator(".cx-pieces")).to_have_text("5 tokens: The | ␣capital | ␣of | ␣France | ␣is")
    expect(explorer.locator(".cx-list button").first).to_contain_text("␣Paris")
    explorer.locator(".cx-list button").first.click()
    expect(field).to_have_value("The capital of France is Paris")
    explorer.get_by_label("tokens", exact=True).fill("3")
    explorer.get_by_role("button", name="Write on").click()
    expect(explorer.locator(".cx-status")).to_contain_text(re.compile(r"^Wrote [123] token"))


def test_tells_a_kernel_that_computes_from_one_that_does_not_know_the_explorer(
    desk, explorer: Locator
) -> None:
    def compute(until: str) -> None:
        desk.page.evaluate(
            """code => {
                window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code });
            }""",
            f"import os, time\nwhile not os.path.exists({until!r}): time.sleep(0.05)",
        )

    alert = explorer.get_by_role("alert")
    compute(until="seen")
    explorer.get_by_label("Your text").fill("dog")
    expect(alert).to_contain_text("Python is computing. What is shown still belongs to the old input.")
    (desk.lab.folder / "seen").touch()
    expect(explorer.locator(".cx-pieces")).to_have_text("3 tokens: d | o | g")
    expect(alert).to_be_empty()
    compute(until="never")
    explorer.get_by_label("Your text").fill("cat")
    desk.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(alert).to_contain_text("no running kernel that knows this explorer. In JupyterLab, run the cells")
