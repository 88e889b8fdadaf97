"""The gap explorer in JupyterLab on small models, by mouse and by keyboard alone."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Gap"
TEXT = "a gap in it"
MODELS = f"""
import json
import torch
from course_lib import readers
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
left, both = (readers.make_reader(causal=causal, seed=0) for causal in (True, False))
torch.manual_seed(0)
sizes = dict(vocab_size=2001, max_seq_len=61, d_model=512, n_layers=0, n_heads=4)
large = GPT(LlamaConfig(**sizes))
for model in (left, both, large):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 8
letters = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ga"]
words = BPETokenizer([*letters, *(f"#{{n}}" for n in range(2001 - len(letters)))], [("g", "a")])
models = {{"one side": (left, Characters()), "large": (large, words), "both": (both, Characters())}}
explorer = GapExplorer(models, {TEXT!r})
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, MODELS)


def tokens(explorer: Locator) -> Locator:
    return explorer.locator("button.cx-word")


def tables(explorer: Locator) -> Locator:
    return explorer.locator(".cx-gaps > div:visible")


def test_tokens_are_hidden_and_shown_by_mouse(desk, explorer: Locator) -> None:
    token = tokens(explorer)
    expect(token).to_have_count(len(TEXT))
    expect(token.nth(5)).to_have_attribute("aria-pressed", "true")
    expect(token.nth(5)).to_contain_text("___")
    expect(tables(explorer).locator("caption")).to_have_text(
        [
            "one side, left only (1 pass)",
            re.compile(r"one side, both sides by trying 2\d tokens \(2\d passes\)"),
            "both, both sides (1 pass)",
        ]
    )
    # The likeliest of the library: left of the gap, and with the gap hidden.
    likeliest = json.loads(
        desk.run(
            f"""
ids = readers.encode({TEXT!r})
hidden = ids.clone()
hidden[5] = readers.MASK_ID
with torch.no_grad():
    rows = [left(ids[None, :5])[0, -1], both(hidden[None])[0, 5]]
print(json.dumps([readers.decode(row.topk(5).indices) for row in rows]))
"""
        )
    )
    for table, letters in zip((0, 2), likeliest, strict=True):
        cells = tables(explorer).nth(table).locator("tbody td:nth-child(1)")
        expect(cells).to_have_text([letter.replace(" ", "␣").replace("\n", "↵") for letter in letters])
    token.nth(2).click()
    expect(token.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(token.nth(2)).to_have_attribute("aria-current", "true")
    expect(tables(explorer)).to_have_count(3)
    # A click on another gap follows it, the next one shows its token again.
    token.nth(5).click()
    expect(token.nth(5)).to_have_attribute("aria-current", "true")
    expect(token.nth(5)).to_have_attribute("aria-pressed", "true")
    expect(tables(explorer).locator("caption").first).to_have_text("one side, left only (2 passes)")
    token.nth(5).click()
    expect(token.nth(5)).to_have_attribute("aria-pressed", "false")
    expect(token.nth(5)).to_contain_text("␣")
    expect(tables(explorer)).to_have_count(0)
    explorer.get_by_role("button", name="Show all").click()
    expect(explorer.locator("[aria-pressed=true]")).to_have_count(0)
    desk.knows("explorer.hidden, explorer.token", ([], 5))


def test_a_gap_as_text(desk) -> None:
    """A model that always gives the next token the same scores: half, a quarter, a quarter."""
    explorer = desk.shown(
        TITLE,
        """
import math
import torch
from torch import nn
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.concepts.c07_mlm_vs_next_token.explorer import GapExplorer
model = GPT(LlamaConfig(vocab_size=3, max_seq_len=5, d_model=2, n_layers=0, n_heads=1))
model.lm_head = nn.Linear(2, 3)
model.lm_head.weight.data.zero_()
model.lm_head.bias.data.copy_(torch.tensor([math.log(2), 0, 0]))
explorer = GapExplorer({"tiny": (model, BPETokenizer(["a", "b", "c"], []))}, "abc", hidden=[1])
explorer
""",
    )
    view = ["tiny reads what stands before.", "Tokens (3): a | b | c", ""]
    surprise = "Surprise in bits by tiny: a – | b (hidden) 2.0 | c 2.0. Mean: 2.00 bits."
    answer = "a 50.0 %, b 25.0 %, c 25.0 %. Hidden is b: 25.0 %, a surprise of 2.0 bits."
    desk.tells(
        explorer,
        *view,
        surprise,
        "",
        f"tiny, left only (1 pass): {answer}",
        f"tiny, both sides by trying 3 tokens (4 passes): {answer}",
    )
    desk.run("explorer.token = 2")
    desk.tells(explorer, *view, surprise, "", "c is not hidden.")
    desk.run("explorer.hidden, explorer.token = [0], 0")
    text = explorer.locator(".cx-text")
    for title in ("left only", "both sides by trying"):
        expect(text).to_contain_text(f"tiny, {title}: no answer. Nothing stands before it to go by.")


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    token = tokens(explorer)
    explorer.get_by_label("Model").focus()
    for part in (explorer.get_by_label("Your text"), token.nth(5), explorer.get_by_text("Show all")):
        keyboard.press("Tab")
        expect(part).to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.press("h")
    expect(token.nth(5)).to_have_attribute("aria-pressed", "false")
    keyboard.press("ArrowLeft")
    expect(token.nth(4)).to_be_focused()
    expect(explorer.locator(".cx-trace")).to_have_text(
        re.compile(r"p: a surprise of [\d.]+ bits by one side\. Space hides it\.")
    )
    keyboard.press("Space")
    expect(token.nth(4)).to_have_attribute("aria-pressed", "true")
    expect(token.nth(4)).to_have_accessible_name(re.compile(r"hidden token 5, [\d.]+ bits"))
    expect(explorer.locator(".cx-trace")).to_contain_text(
        "p is hidden. Likeliest by one side, left only (1 pass): "
    )
    keyboard.press("End")
    keyboard.press("h")
    expect(token.last).to_have_attribute("aria-pressed", "true")
    keyboard.press("ArrowRight")
    keyboard.press("Home")
    keyboard.press("Enter")
    expect(token.first).to_have_attribute("aria-pressed", "true")
    expect(explorer.locator(".cx-trace")).to_contain_text("one side, left only: no answer; by")


def test_models_and_texts(desk, explorer: Locator) -> None:
    token, model = tokens(explorer), explorer.get_by_label("Model")
    model.select_option("large")
    expect(tables(explorer).locator("caption").first).to_have_text("large, left only (1 pass)")
    token.nth(2).click()
    expect(explorer.locator(".cx-trace")).to_contain_text("is hidden. Likeliest by large, left only (1 pass)")
    model.select_option("both")
    expect(token.nth(2)).to_have_attribute("aria-pressed", "true")
    field = explorer.get_by_label("Your text")
    field.fill("x" * 33)
    expect(token).to_have_count(32)
    expect(
        explorer.get_by_text("Too long for one picture: 32 of 33 tokens are read.", exact=True)
    ).to_be_visible()
    field.fill("mask me")
    expect(token).to_have_count(7)
    expect(token.nth(3)).to_have_attribute("aria-pressed", "true")
    for place in (0, 1, 2, 4, 5):
        token.nth(place).click()
        expect(token.nth(place)).to_have_attribute("aria-pressed", "true")
    token.nth(6).click()
    expect(explorer.get_by_role("alert")).to_contain_text("one must stay")
    expect(token.nth(6)).to_have_attribute("aria-pressed", "false")
    desk.run("explorer.text = 'dog'; explorer.hidden = [0, 2]; explorer.token = 2")
    expect(field).to_have_value("dog")
    expect(token.nth(2)).to_have_attribute("aria-current", "true")


def test_accessible_in_both_themes(desk) -> None:
    explorer = desk.shown(
        TITLE,
        """
from course_lib import readers
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
before, both, _ = readers.load_readers()
models = {"left": (before, Characters()), "both": (both, Characters())}
explorer = GapExplorer(models, "return the value of the list")
explorer
""",
    )
    token = tokens(explorer)
    token.nth(10).click()
    expect(token.nth(10)).to_have_attribute("aria-pressed", "true")
    explorer.locator("summary").click()
    token.nth(10).focus()
    desk.page.keyboard.press("ArrowLeft")
    desk.page.keyboard.press("ArrowRight")
    assert token.nth(10).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "gap") == []
    outer, inner = explorer.bounding_box(), explorer.locator(".cx-gaps").bounding_box()
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
