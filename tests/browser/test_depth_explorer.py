"""The depth explorer in JupyterLab on small models, by mouse and by keyboard alone."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Depth"
N_LAYERS, TEXT = 5, "acat"
MODELS = f"""
import json
import torch
from torch import nn
from course_lib import probing
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.concepts.c06_residuals.explorer import DepthExplorer
torch.manual_seed(0)
deep = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers={N_LAYERS}, n_heads=3))
flat = GPT(GPTConfig(vocab_size=27, max_seq_len=61, d_model=10, n_layers=2, n_heads=5))
for model in (deep, flat):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 20
tokenizer = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ"], [])
maps = [nn.Linear(12, 12) for _ in range({N_LAYERS})]
models = {{"deep": (deep, tokenizer), "flat": (flat, tokenizer)}}
explorer = DepthExplorer(models, {TEXT!r}, lenses={{"deep": maps}})
explorer
"""
LARGE = """
import torch
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.concepts.c06_residuals.explorer import DepthExplorer
torch.manual_seed(0)
large = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=24, n_layers=30, n_heads=12))
for parameter in large.parameters():
    if parameter.ndim > 1:
        parameter.data *= 8
tokenizer = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ"], [])
explorer = DepthExplorer({"large": (large, tokenizer)}, "straw berries and cream for all")
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, MODELS)


def layers(explorer: Locator) -> Locator:
    return explorer.get_by_role("slider", name="Layer")


def rows(explorer: Locator) -> Locator:
    """One for each layer, without the head and what enters the first layer."""
    return explorer.locator(".cx-layer:not(.cx-layer-head, .cx-layer-in)")


def column(table: Locator, number: int) -> list[str]:
    """The tokens in one half of a table of next tokens."""
    texts = table.locator(f"tbody td:nth-child({2 * number + 1})").all_text_contents()
    return [text for text in texts if text]


def library(desk, code: str) -> list:
    """What the library gives in the notebook's kernel, without the explorer."""
    printed = desk.run(
        f"""
ids = torch.tensor([tokenizer.encode({TEXT!r})])
names = lambda scores: [tokenizer.tokens[i].replace("Ġ", "␣") for i in scores.topk(5).indices]
with torch.no_grad(), probing.recorded(deep) as seen:
    deep(ids)
{code}
"""
    )
    return json.loads(printed)


def after_change(desk, context: str) -> list[str]:
    """The five tokens that are likeliest at the end inside one of the contexts of `probing`."""
    return library(desk, f"with torch.no_grad(), {context}:\n    print(json.dumps(names(deep(ids)[0, -1])))")


def test_layers_and_tokens_are_chosen_by_mouse(desk, explorer: Locator) -> None:
    read = library(
        desk, "print(json.dumps([names(probing.logit_lens(deep, s)[0, -1]) for s in seen.streams]))"
    )
    norms = library(desk, "print(json.dumps([s[0].norm(dim=-1).tolist() for s in seen.streams]))")
    table = explorer.locator(".cx-next-tokens").first
    places = []
    for layer in (4, 0, 2, 1, 3):
        rows(explorer).nth(layer).click()
        expect(layers(explorer)).to_be_focused()
        expect(layers(explorer)).to_have_attribute("aria-valuetext", f"Layer {layer}, token t")
        expect(explorer.locator(".cx-trace")).to_contain_text(f"Layer {layer}, token t: the stream enters")
        assert column(table, 0) == read[layer]
        expect(rows(explorer).nth(layer)).to_have_attribute("data-current", "")
        dot = explorer.locator(".cx-norm-dot")
        expect(dot).to_have_attribute("cy", str(20 * layer + 30))
        places.append((norms[layer][-1], float(dot.get_attribute("cx") or "nan")))
    assert [row.locator("bdi").text_content() for row in rows(explorer).all()] == [each[0] for each in read]
    # To the right what is longer.
    assert sorted(places) == sorted(places, key=lambda place: place[1])
    for token, name in enumerate(["a (1)", "c", "a (3)", "t"]):
        explorer.locator(".cx-word").nth(token).click()
        expect(explorer.locator(".cx-trace")).to_contain_text(f"Layer 3, token {name}: ")
        expect(explorer.locator(".cx-norm-followed")).to_have_count(1)
    desk.knows("explorer.layer, explorer.token", (3, 3))


def test_a_layer_as_text(desk, explorer: Locator) -> None:
    """What Python says of layer and token, what the lens reads, and what comes at the end."""
    printed = """
view, effect = explorer.views["deep"], explorer.effects["deep"]["1;"]
listed = lambda rows: ", ".join(" ".join(row) for row in rows)
print(json.dumps([
    view["text"], view["walk"][2][1], listed(view["lenses"]["fitted"][2][1]), view["norms_text"][1],
    effect["text"], listed(view["final"][1]), listed(effect["now"][1]), effect["turned"][1]]))
"""
    desk.run("explorer.lens, explorer.layer, explorer.token, explorer.skipped = 'fitted', 2, 1, [1]")
    text, walk, read, norms, changed, final, now, turned = json.loads(desk.run(printed))
    assert changed.startswith("Skipped: 1. Loss on the text")
    assert [*text.splitlines(), walk[:17]] == [
        "deep. Layers: 5.",
        "Tokens (4): a (1) | c | a (3) | t",
        "Layer 2, token c:",
    ]
    start = [*text.splitlines(), "", walk, f"The fitted lens reads there: {read}.", norms, ""]
    end = f"After c, with all layers in order: {final}."
    desk.tells(explorer, *start, changed, end, f"Now: {now}.", turned)
    explorer.get_by_role("button", name="All back").click()
    in_order = desk.run("print(explorer.effects['deep'][';']['text'], end='')")
    desk.tells(explorer, *start, in_order, end)


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_label("Model").focus()
    for part in (
        explorer.get_by_label("Lens"),
        explorer.get_by_label("Your text"),
        explorer.locator(".cx-word").last,
        layers(explorer),
        explorer.get_by_role("button", name="Skip layer 0"),
    ):
        keyboard.press("Tab")
        expect(part).to_be_focused()
    keyboard.press("Shift+Tab")
    for key, layer, token in (
        ("ArrowUp", 0, "t"),
        ("ArrowDown", 1, "t"),
        ("End", 4, "t"),
        ("ArrowDown", 4, "t"),
        ("ArrowRight", 4, "t"),
        ("ArrowLeft", 4, "a (3)"),
        ("Home", 0, "a (3)"),
        ("ArrowDown", 1, "a (3)"),
    ):
        keyboard.press(key)
        expect(layers(explorer)).to_have_attribute("aria-valuetext", f"Layer {layer}, token {token}")
    expect(layers(explorer)).to_have_attribute("aria-valuenow", "1")
    keyboard.press("s")
    expect(explorer).to_contain_text("Skipped: 1. Loss")
    keyboard.press("ArrowDown")
    keyboard.press("x")
    expect(explorer).to_contain_text("Skipped: 1. Exchanged: 2 with 3. Loss")
    keyboard.press("x")
    expect(explorer).to_contain_text("Skipped: 1. Loss")
    # The same keys at the tokens.
    keyboard.press("Shift+Tab")
    expect(explorer.locator(".cx-word").nth(2)).to_be_focused()
    keyboard.press("ArrowLeft")
    expect(explorer.locator(".cx-word").nth(1)).to_be_focused()
    keyboard.press("ArrowUp")
    expect(layers(explorer)).to_have_attribute("aria-valuetext", "Layer 1, token c")
    keyboard.press("s")
    expect(explorer).to_contain_text("All layers run, in order.")


def test_layers_are_skipped_and_exchanged_and_the_end_changes(desk, explorer: Locator) -> None:
    final = explorer.locator(".cx-next-tokens").last
    before = after_change(desk, "probing.layers_skipped(deep, [])")
    assert column(final, 0) == before
    assert column(final, 1) == []
    rows(explorer).nth(1).click()
    explorer.get_by_role("button", name="Skip layer 1").click()
    again = explorer.get_by_role("button", name="Run layer 1 again")
    expect(again).to_be_focused()
    expect(rows(explorer).nth(1)).to_contain_text("off")
    assert column(final, 0) == before
    assert column(final, 1) == after_change(desk, "probing.layers_skipped(deep, [1])")
    rows(explorer).nth(3).click()
    explorer.get_by_role("button", name="Exchange 3 and 4").click()
    expect(explorer).to_contain_text("Skipped: 1. Exchanged: 3 with 4. Loss")
    expect(rows(explorer).nth(3)).to_contain_text("⇅ 4")
    expect(rows(explorer).nth(4)).to_contain_text("⇅ 3")
    assert column(final, 1) == after_change(desk, "probing.layers_reordered(deep, [0, 2, 4, 3])")
    desk.knows("explorer.skipped, explorer.exchanged", ([1], [3]))
    rows(explorer).nth(2).click()
    explorer.get_by_role("button", name="Exchange 2 and 3").click()
    expect(explorer.get_by_role("alert")).to_contain_text("Layer 3 cannot be exchanged with 2 and with 4")
    expect(explorer).to_contain_text("Exchanged: 3 with 4. Loss")
    rows(explorer).nth(4).click()
    expect(explorer.get_by_role("button", name="No next layer")).to_have_attribute("aria-disabled", "true")
    rows(explorer).nth(1).click()
    again.click()
    expect(explorer).to_contain_text(re.compile(r"Exchanged: 3 with 4\. Loss on the text \(mean"))
    explorer.get_by_role("button", name="All back").click()
    expect(explorer).to_contain_text("All layers run, in order.")
    assert column(final, 1) == []


def test_models_lenses_and_texts(desk, explorer: Locator) -> None:
    explorer.get_by_label("Lens").select_option("fitted")
    expect(explorer.get_by_text("After layer 0 the fitted lens reads", exact=True)).to_be_visible()
    read = library(
        desk, "print(json.dumps(names(probing.logit_lens(deep, maps[0](seen.streams[0]))[0, -1])))"
    )
    assert column(explorer.locator(".cx-next-tokens").first, 0) == read
    layers(explorer).press("End")
    layers(explorer).press("s")
    explorer.get_by_label("Model").select_option("flat")
    expect(rows(explorer)).to_have_count(2)
    expect(explorer.get_by_label("Lens")).to_be_hidden()
    expect(layers(explorer)).to_have_attribute("aria-valuetext", "Layer 1, token t")
    expect(explorer).to_contain_text("All layers run, in order.")
    field = explorer.get_by_label("Your text")
    field.fill("ab" * 13)
    expect(explorer.locator(".cx-word")).to_have_count(24)
    expect(
        explorer.get_by_text("Too long for one picture: 24 of 26 tokens are read.", exact=True)
    ).to_be_visible()
    field.fill("cab")
    expect(explorer.locator(".cx-word")).to_have_text([*"cab"])
    explorer.get_by_label("Model").select_option("deep")
    expect(explorer).to_contain_text("Skipped: 4. Loss on the text (mean of its 2 predictions)")
    desk.run("explorer.text = 'dog'; explorer.layer = 3; explorer.token = 0; explorer.skipped = [0, 2]")
    expect(field).to_have_value("dog")
    expect(layers(explorer)).to_have_attribute("aria-valuetext", "Layer 3, token d")
    expect(explorer).to_contain_text("Skipped: 0, 2. Loss on the text (mean of its 2 predictions)")


def test_accessible_in_both_themes(desk) -> None:
    explorer = desk.shown(TITLE, LARGE)
    expect(explorer.get_by_label("Model")).to_be_hidden()
    layers(explorer).press("End")
    layers(explorer).press("s")
    layers(explorer).press("ArrowUp")
    layers(explorer).press("ArrowUp")
    layers(explorer).press("x")
    expect(explorer).to_contain_text("Skipped: 29. Exchanged: 27 with 28. Loss")
    explorer.locator("summary").click()
    expect(explorer.locator(".cx-text")).to_contain_text("Layer 27, token ␣ (24): the stream")
    layers(explorer).focus()
    desk.page.keyboard.press("ArrowLeft")
    assert layers(explorer).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "depth") == []
    # Side by side, and nothing stands out of the box.
    (left, right) = (explorer.locator(f".cx-{part}-side").bounding_box() for part in ("layers", "depth"))
    outer = explorer.bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    assert right["x"] + right["width"] <= outer["x"] + outer["width"]
