"""The flow explorer in JupyterLab, on a small model and on MiniLM, by mouse and by keyboard alone."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Flow"
MODELS = """
import json
import torch
from course_lib.decoder import GPT, LlamaConfig
from course_lib.probing import parts_of
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters
from course_lib.concepts.c09_real_models.explorer import FlowExplorer
torch.manual_seed(0)
sizes = dict(vocab_size=97, max_seq_len=61, d_model=24, n_layers=5, n_heads=4)
model = GPT(LlamaConfig(**sizes, n_kv_heads=2))
for parameter in model.parameters():
    if parameter.ndim > 1:
        parameter.data *= 12
explorer = FlowExplorer(model, Characters(), "a cat", examples=["the dog", "a cat"])
explorer
"""
MINILM = """
import torch
from course_lib.pretrained import load_minilm
from course_lib.concepts.c09_real_models.explorer import FlowExplorer
explorer = FlowExplorer(*load_minilm(device=torch.device("cpu")))
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, MODELS)


def part(explorer: Locator) -> Locator:
    return explorer.get_by_role("region", name="The chosen part")


def parts(explorer: Locator) -> Locator:
    return explorer.locator(".cx-flow-parts button")


def library(desk, code: str) -> list:
    """What the library gives in the notebook's kernel, without the explorer."""
    return json.loads(desk.run(f"parts = parts_of(model, Characters().encode('a cat'), 3)\n{code}"))


def test_every_part_opens_with_its_numbers(desk, explorer: Locator) -> None:
    explorer.get_by_label("Layer", exact=True).fill("3")
    explorer.get_by_label("Head").select_option("2")
    explorer.locator(".cx-flow-token").nth(3).click()
    titles = parts(explorer).all_text_contents()
    assert titles[:5] == ["Tokens", "Embedding", "Stream in", "Norm", "Q, K, V"]
    assert titles[-2:] == ["Logits", "Probabilities"]
    for n, title in enumerate(titles):
        parts(explorer).nth(n).click()
        expect(part(explorer).get_by_role("heading")).to_have_text(title)
        each = json.loads(desk.run(f"print(json.dumps(explorer.view['parts'][{n}]))"))
        told = f"{title}. {each['words']} {each['formula']} {each['shapes']}"
        expect(explorer.locator(".cx-text")).to_contain_text(told)
    parts(explorer).nth(titles.index("Q, K, V")).click()
    q, k = library(desk, "print(json.dumps([parts.q[2, 3, :6].tolist(), parts.k[1, 3, :6].tolist()]))")
    for line, values in enumerate((q, k)):
        cells = part(explorer).locator(".cx-sums").first.locator("tbody tr").nth(line).locator("td")
        shown = [float(cell.replace("−", "-")) for cell in cells.all_text_contents()]
        assert shown[:6] == pytest.approx(values, abs=6e-4)
    desk.knows("explorer.layer, explorer.head, explorer.token, explorer.part", (3, 2, 3, "qkv"))


def test_a_part_as_text(desk, explorer: Locator) -> None:
    desk.run("explorer.layer, explorer.head, explorer.guess = 3, 2, 'Attention'")
    desk.run("explorer.token, explorer.key = 3, 1")
    printed = """
view, block = explorer.view, explorer.blocks["3"]
part = next(part for part in view["parts"] if part["id"] == "weights")
cell = [getattr(parts_of(model, Characters().encode("a cat"), 3), s)[2, 3, 1].item()
        for s in ("products", "scores", "weights")]
counts = dict(view["parameters"])
print(json.dumps([block["said"][3], view["lens"][3], part["words"], part["formula"], part["shapes"],
                  block["looks"][2][3], explorer.state["end"]["text"], cell, counts]))
"""
    said, lens, words, formula, shapes, looks, end, cell, counts = json.loads(desk.run(printed))
    total = sum(counts.values())
    listed = ", ".join(f"{kind} {n:,} ({100 * n / total:.1f} %)" for kind, n in counts.items())
    product, score, weight = (f"{number:.3f}".replace("-", "−") for number in cell)
    desk.tells(
        explorer,
        "Decoder of 5 layers, 4 heads, 2 for keys and values, vectors of width 24, 97 tokens known.",
        "Tokens (5): a (1) | ␣ | c | a (4) | t",
        f"You said Attention; most parameters are in: MLPs. Of {total:,}: {listed}.",
        "",
        "Layer 3 of 5, head 2, token a (4).",
        said,
        lens,
        "",
        f"Attention. {words}",
        formula,
        shapes,
        looks,
        f"a (4) → ␣: q · k = {product}; score {score}; after softmax {weight} of the row.",
        "",
        end,
    )
    desk.run("explorer.key = 4")
    text = explorer.locator(".cx-text")
    expect(text).to_contain_text("a (4) → t: q · k = ")
    expect(text).to_contain_text("masked, because it comes later: weight 0.")
    q, length = library(desk, "print(json.dumps([parts.q[2, 3, :6].tolist(), parts.q[2, 3].norm().item()]))")
    desk.run("explorer.part = 'qkv'")
    numbers = ", ".join(f"{number:.3f}" for number in q).replace("-", "−")
    expect(text).to_contain_text(f"{numbers}, ...; length {length:.3f}")


def test_the_matrix_has_three_stages_and_its_triangle(desk, explorer: Locator) -> None:
    cells = explorer.get_by_role("gridcell")
    expect(cells).to_have_count(25)
    cells.nth(3 * 5 + 1).hover()
    product, score, weight = library(
        desk,
        "print(json.dumps([getattr(parts_of(model, Characters().encode('a cat'), 0), s)[0, 3, 1].item()"
        " for s in ('products', 'scores', 'weights')]))",
    )
    trace = part(explorer).locator(".cx-trace").last
    told = f"a (4) → ␣: q · k = {product:.3f}; score {score:.3f}; after softmax {weight:.3f} of the row."
    expect(trace).to_have_text(told.replace("-", "−"))
    expect(explorer.locator(".cx-flow-token[aria-current]")).to_have_text(re.compile("^a"))
    for stage, masked in (("q · k", 0), ("scores, masked", 10), ("softmax", 10)):
        explorer.get_by_role("button", name=stage, exact=True).click()
        expect(explorer.locator("td[data-masked]")).to_have_count(masked)
    # Ribbons of the followed token: as many as it may look at.
    expect(explorer.locator(".cx-flow-ribbon.cx-flow-followed")).to_have_count(4)
    cells.nth(1 * 5 + 4).hover()
    expect(trace).to_contain_text("masked, because it comes later: weight 0.")


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_role("radio", name="MLPs").focus()
    keyboard.press("Space")
    expect(explorer).to_contain_text("You said MLPs; most parameters are in: ")
    for name in ("Whole model", "One layer"):
        keyboard.press("Tab")
        expect(explorer.get_by_role("button", name=name)).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_label("Layer", exact=True)).to_be_focused()
    keyboard.press("ArrowRight")
    expect(explorer).to_contain_text("1 of 5")
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(parts(explorer).filter(has_text="Attention")).to_be_focused()
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    expect(part(explorer).get_by_role("heading")).to_have_text("Mix")
    keyboard.press("ArrowLeft")
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(explorer.locator(".cx-flow-token").last).to_be_focused()
    keyboard.press("ArrowUp")
    expect(explorer.locator(".cx-flow-token").nth(3)).to_have_attribute("aria-current", "true")
    explorer.locator(".cx-flow-matrix td[tabindex='0']").focus()
    keyboard.press("ArrowRight")
    expect(part(explorer).locator(".cx-trace").last).to_contain_text("a (4) → ␣: ")


def test_the_model_writes_and_settings_cut(desk, explorer: Locator) -> None:
    parts(explorer).last.click()
    table = part(explorer).get_by_role("table", name="From score to draw")
    explorer.get_by_label("Temperature").fill("0.5")
    explorer.get_by_label("Top-k").fill("3")
    expect(explorer.locator(".cx-text")).to_contain_text("temperature 0.5, top-k 3, top-p off")
    expect(table.get_by_role("cell", name="kept", exact=True)).to_have_count(6)
    likeliest = explorer.locator(".cx-flow-next bdi").first.text_content()
    back = explorer.get_by_role("button", name="Take one back")
    expect(back).to_have_attribute("aria-disabled", "true")
    explorer.get_by_role("button", name="Take the likeliest").click()
    expect(explorer.locator(".cx-flow-token")).to_have_count(6)
    assert desk.run("print(explorer.view['tokens'][-1], end='')") == likeliest
    expect(explorer).to_contain_text(f"Taken: {likeliest}, which had ")
    expect(explorer.locator("[data-written]")).to_have_count(1)
    explorer.get_by_role("button", name="Write one more: draw it").click()
    expect(explorer.locator(".cx-flow-token")).to_have_count(7)
    back.click()
    back.click()
    expect(explorer.get_by_label("Your text")).to_have_value("a cat")
    explorer.get_by_label("Examples").select_option("the dog")
    expect(explorer.locator(".cx-flow-token")).to_have_count(7)
    field = explorer.get_by_label("Your text")
    field.fill("")
    expect(explorer.get_by_role("alert")).to_contain_text("The text is empty")
    field.fill("ab" * 13)
    expect(explorer).to_contain_text("Too long for one picture: 24 of 26 tokens are read.")
    explorer.get_by_role("button", name="Take the likeliest").click()
    expect(explorer.get_by_role("alert")).to_contain_text("The picture has room for 24 tokens")
    # What was typed last is read before a token is written after it.
    field.fill("cab")
    explorer.get_by_role("button", name="Take the likeliest").click()
    expect(explorer.locator(".cx-flow-token")).to_have_count(4)
    expect(field).to_have_value(re.compile("^cab."))


def test_blocks_open_in_the_picture(desk, explorer: Locator) -> None:
    picture = explorer.locator(".cx-flow-picture")
    explorer.get_by_role("button", name="Whole model").click()
    expect(explorer.locator(".cx-flow-closed")).to_have_count(5)
    expect(explorer.locator(".cx-flow-ribbon")).to_have_count(0)
    place = explorer.locator(".cx-flow-closed").nth(4).bounding_box()
    outer = picture.bounding_box()
    middle = place["x"] + place["width"] / 2 - outer["x"]
    picture.click(position={"x": middle, "y": 30})
    expect(explorer).to_contain_text("4 of 5")
    expect(explorer.locator(".cx-flow-open")).to_have_count(1)
    explorer.get_by_role("button", name="Whole model").click()
    expect(explorer.locator(".cx-flow-open")).to_have_count(0)
    parts(explorer).filter(has_text="Mix").click()
    expect(explorer.locator(".cx-flow-open")).to_have_count(1)
    assert picture.evaluate("e => getComputedStyle(e.lastChild).animationName") == "none"
    desk.page.emulate_media(reduced_motion="no-preference")
    explorer.locator(".cx-flow-token").first.click()
    expect(picture).to_have_attribute("data-moving", "")
    expect(picture).not_to_have_attribute("data-moving", "")
    desk.page.emulate_media(reduced_motion="reduce")


def test_what_was_answered_before_is_not_asked(desk, explorer: Locator) -> None:
    asked = explorer.get_by_role("group", name=re.compile("First a guess"))
    expect(asked).to_be_visible()
    desk.run("explorer.guess, explorer.asks = 'MLPs', False")
    expect(asked).to_be_hidden()
    expect(explorer.locator(".cx-text")).not_to_contain_text("You said MLPs")


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    explorer.get_by_role("radio", name="Attention").check()
    explorer.locator("summary").click()
    assert desk.problems(explorer, "flow") == []
    parts(explorer).last.click()
    assert desk.problems(explorer, "flow-end") == []


def test_an_encoder_ends_with_a_sentence_vector(desk) -> None:
    explorer = desk.shown(TITLE, MINILM)
    expect(explorer.get_by_role("button", name="Take the likeliest")).to_be_hidden()
    explorer.get_by_label("Layer", exact=True).fill("5")
    expect(explorer).to_contain_text("5 of 6")
    expect(explorer.locator(".cx-flow-ribbon.cx-flow-followed")).to_have_count(10)
    parts(explorer).last.click()
    expect(part(explorer)).to_contain_text("There is no next token: an encoder gives a vector")
    expect(explorer.locator(".cx-text")).to_contain_text("There is no next token: an encoder gives a vector")
    desk.run("explorer.part, explorer.token, explorer.key = 'weights', 0, 3")
    expect(explorer.locator(".cx-text")).to_contain_text("after softmax")
    expect(explorer.locator(".cx-text")).not_to_contain_text("masked, because")
