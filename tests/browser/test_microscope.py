"""The microscope in JupyterLab on small models, and its page without a kernel."""

import json
import re

import numpy as np
import pytest
from chromium import AXE
from playwright.sync_api import FloatRect, Locator, Page, expect

from course_lib.maths import softmax
from course_lib.widgets import microscope
from course_lib.widgets.microscope.recording import unpacked_all

TITLE = "Microscope"
N_LAYERS, N_HEADS, TEXT = 5, 6, "acate"
LETTERS = "abcdefghijklmnopqrstuvwxyz "
MODELS = f"""
import json
import torch
from course_lib import probing
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.widgets.microscope import Microscope
torch.manual_seed(0)
letters = [*"abcdefghijklmnopqrstuvwxyz"]
writes = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=24, n_layers={N_LAYERS}, n_heads={N_HEADS}))
reads = BERT(BERTConfig(vocab_size=55, max_seq_len=61, d_model=14, n_layers=2, n_heads=7))
for model in (writes, reads):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 15
tokenizer = BPETokenizer([*letters, "Ġ"], [])
pieces = WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters)])
"""
SHOW = f"""
others = {{"reads": (reads, pieces)}}
scope = Microscope(writes, tokenizer, {TEXT!r}, layer=1, head=2, name="writes", others=others)
scope
"""


@pytest.fixture
def scope(desk) -> Locator:
    found = desk.shown(TITLE, MODELS, SHOW)
    expect(found.locator(".t")).to_have_count(len(TEXT))
    return found


def weights(desk, off: str = "[]", text: str = TEXT) -> list:
    """Layers, heads, queries, keys, from the library and without the microscope."""
    given = f"probing.weights_of(writes, tokenizer.encode({text!r})).tolist()"
    code = f"with probing.heads_off(writes, {off}):\n    print({given})"
    return json.loads(desk.run(code))


def chances(desk, context: str = "probing.heads_off(writes, [])", text: str = TEXT) -> list[float]:
    """Of the next token, by its id."""
    given = f"writes(torch.tensor([tokenizer.encode({text!r})]))[0, -1].softmax(-1).tolist()"
    code = f"with torch.no_grad(), {context}:\n    print({given})"
    return json.loads(desk.run(code))


def percent(p: float) -> str:
    if p >= 0.9995:
        return "100 %"
    return f"{100 * p:.1f} %" if p >= 0.99 or p < 0.0995 else f"{100 * p:.0f} %"


def best(p: list[float]) -> int:
    return p.index(max(p))


def said(scope: Locator) -> Locator:
    return scope.get_by_role("status")


def tab(scope: Locator, name: str) -> Locator:
    return scope.get_by_role("tab", name=name)


def test_pointing_shows_and_a_click_keeps(desk, scope: Locator) -> None:
    expected = weights(desk)
    key = best(expected[1][2][4])
    expect(said(scope)).to_have_text(re.compile(rf": e looks {percent(expected[1][2][4][key])} at "))
    tokens = scope.locator(".t")
    tokens.nth(2).hover()
    share = max(expected[1][2][2])
    expect(said(scope)).to_have_text(re.compile(rf"^: a looks {percent(share)} at "))
    scope.locator(".foot").hover()
    expect(said(scope)).to_have_text(re.compile("^: e looks "))
    tokens.nth(3).click()
    scope.locator(".foot").hover()
    expect(said(scope)).to_have_text(re.compile(rf"^: t looks {percent(max(expected[1][2][3]))} at "))
    # The map: a head that is pointed at, then kept.
    squares = scope.locator(".map")
    squares.click(position={"x": 5, "y": 5})
    expect(scope.get_by_label("Layer", exact=True)).to_have_value("0")
    expect(scope.get_by_label("Head", exact=True)).to_have_value("0")
    assert squares.get_attribute("aria-valuetext") == "Layer 0, head 0"
    bright = squares.locator("i").evaluate_all(
        "nodes => nodes.map(node => Number(node.style.getPropertyValue('--w')))"
    )
    at = best(expected[1][2][3])  # what is looked at stays, too
    for layer in range(N_LAYERS):
        for head in range(N_HEADS):
            assert bright[N_HEADS * layer + head] == pytest.approx(expected[layer][head][3][at], abs=0.005)
    desk.knows("scope.shown['layer'], scope.shown['head'], scope.shown['token']", (0, 0, 3))


def test_keyboard_alone(desk, scope: Locator) -> None:
    keyboard = desk.page.keyboard
    tab(scope, "Who looks where").focus()
    keyboard.press("ArrowRight")
    expect(tab(scope, "What each layer would say")).to_be_focused()
    expect(said(scope)).to_contain_text("would say")
    keyboard.press("ArrowLeft")
    for key, layer, head in (
        ("ArrowDown", 2, 2),
        ("]", 2, 3),
        ("[", 2, 2),
        ("ArrowUp", 1, 2),
    ):
        keyboard.press(key)
        expect(scope.get_by_label("Layer", exact=True)).to_have_value(str(layer))
        expect(scope.get_by_label("Head", exact=True)).to_have_value(str(head))
    scope.locator(".t").nth(4).focus()
    keyboard.press("ArrowLeft")
    expect(scope.locator(".t").nth(3)).to_be_focused()
    expect(said(scope)).to_have_text(re.compile("^: t looks "))
    looked = "nodes => nodes.findIndex(node => node.hasAttribute('data-key'))"
    at = scope.locator(".t").evaluate_all(looked)
    keyboard.press("Shift+ArrowLeft" if at else "Shift+ArrowRight")
    expect(scope.locator(".t").nth(at - 1 if at else 1)).to_have_attribute("data-key", "")
    expect(scope.locator(".t").nth(3)).to_have_attribute("data-chosen", "")
    for key, name in (
        ("1", "What comes next"),
        ("3", "What each layer would say"),
        ("4", "The whole way"),
        ("2", "Who looks where"),
    ):
        keyboard.press(key)
        expect(tab(scope, name)).to_have_attribute("aria-selected", "true")
    scope.locator(".map").focus()
    keyboard.press("ArrowRight")
    expect(scope.get_by_label("Head", exact=True)).to_have_value("3")
    # A number is typed into a field that stays where it is.
    field = scope.get_by_label("Layer", exact=True)
    field.fill("4")
    expect(field).to_be_focused()
    expect(scope.locator(".map")).to_have_attribute("aria-valuetext", "Layer 4, head 3")
    keyboard.press("ArrowDown")
    expect(scope.locator(".map")).to_have_attribute("aria-valuetext", "Layer 3, head 3")
    scope.locator(".t").nth(3).focus()
    keyboard.press("4")
    scope.get_by_role("button", name="Attention: open").focus()
    keyboard.press("Enter")
    expect(scope.get_by_role("button", name="mix, step 6 of 7")).to_have_attribute("aria-pressed", "true")
    expect(scope.get_by_role("button", name="mix, step 6 of 7")).to_be_focused()
    keyboard.press("Escape")
    expect(scope.get_by_role("button", name="Attention: open")).to_be_visible()
    # None of these keys was a shortcut of JupyterLab.
    assert desk.page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length") == 2


def test_heads_and_layers_go_off(desk, scope: Locator) -> None:
    before = chances(desk)
    first = best(before)
    ghost = scope.locator(".ghost")
    expect(ghost).to_have_text(re.compile(percent(before[first])))
    scope.get_by_role("button", name="Switch 1.2 off").click()
    after = chances(desk, "probing.heads_off(writes, [(1, 2)])")
    told = f"{LETTERS[first]} gets {percent(after[first])} instead of {percent(before[first])}"
    expect(said(scope)).to_contain_text(f"with head 1.2 off, {told}")
    # The word that is likeliest now, with its own chances.
    now = best(after)
    expect(ghost).to_contain_text(f"{LETTERS[now]}{percent(before[now])} → {percent(after[now])}")
    # A second head, and what the others then look at.
    scope.get_by_label("Layer", exact=True).fill("0")
    scope.get_by_role("button", name="Switch 0.2 off").click()
    two = chances(desk, "probing.heads_off(writes, [(0, 2), (1, 2)])")
    expect(said(scope)).to_contain_text(
        f"with head 0.2 and head 1.2 off, {LETTERS[first]} gets {percent(two[first])}"
    )
    expect(scope.locator(".off")).to_have_count(2)
    desk.answered(scope)
    changed = weights(desk, "[(0, 2), (1, 2)]")
    scope.get_by_label("Layer", exact=True).fill("4")
    w = changed[4][2][4]
    expect(scope.locator(".t").nth(best(w)).locator("small")).to_have_text(percent(max(w)))
    tab(scope, "What each layer would say").click()
    scope.get_by_label("Layer", exact=True).fill("3")
    scope.get_by_role("button", name="Skip layer 3").click()
    three = chances(desk, "probing.heads_off(writes, [(0, 2), (1, 2)]), probing.layers_skipped(writes, [3])")
    expect(said(scope)).to_contain_text(
        f"with 2 heads and 1 layer off, {LETTERS[first]} gets {percent(three[first])}"
    )
    scope.get_by_role("button", name="All on").click()
    expect(said(scope)).to_contain_text("would say")
    desk.knows("scope.now", {})


def test_which_head_is_needed_is_measured_in_pieces(desk, scope: Locator) -> None:
    before = chances(desk)
    first = best(before)
    scope.get_by_label("needs the head").check()
    expect(scope.locator("progress")).to_be_hidden(timeout=30_000)
    alone = json.loads(
        desk.run(f"""
def without(layer, head):
    with torch.no_grad(), probing.heads_off(writes, [(layer, head)]):
        return writes(torch.tensor([tokenizer.encode({TEXT!r})]))[0, -1].softmax(-1)[{first}].item()
print([[without(layer, head) for head in range({N_HEADS})] for layer in range({N_LAYERS})])
""")
    )
    verb = "falls" if alone[1][2] < before[first] else "rises"
    expect(said(scope)).to_contain_text(f" {verb} to {percent(alone[1][2])}")
    bright = scope.locator(".map i").evaluate_all(
        "nodes => nodes.map(node => Number(node.style.getPropertyValue('--w')))"
    )
    for i, p in enumerate(p for row in alone for p in row):
        assert bright[i] == pytest.approx(min(abs(before[first] - p) / before[first], 1), abs=0.003)
    # Known now: a switch answers at once, as a table without a kernel would.
    scope.get_by_label("Head", exact=True).fill("0")
    scope.get_by_role("button", name="Switch 1.0 off").click()
    expect(said(scope)).to_contain_text(f"gets {percent(alone[1][0])} instead")


def test_next_tokens_are_taken_and_drawn(desk, scope: Locator) -> None:
    tab(scope, "What comes next").click()
    p = chances(desk)
    order = sorted(range(27), key=lambda i: -p[i])
    rows = scope.locator("button.row")
    for n in (0, 1, 5):
        expect(rows.nth(n)).to_contain_text(percent(p[order[n]]))
    scope.get_by_label("Temperature").fill("0.5")
    sharper = [x**2 for x in p]
    expect(rows.first).to_contain_text(
        f"{percent(p[order[0]])} → {percent(sharper[order[0]] / sum(sharper))}"
    )
    scope.get_by_label("Top-k").fill("1")
    expect(rows.nth(1)).to_have_attribute("data-out", "")
    scope.get_by_role("button", name="Draw 100").click()
    expect(rows.first).to_contain_text("drawn 100 times")
    scope.get_by_role("button", name="Draw one").click()
    expect(scope.locator(".t")).to_have_count(len(TEXT) + 1)
    desk.knows("scope.text", TEXT + LETTERS[order[0]])
    scope.get_by_role("button", name="Take one back").click()
    expect(scope.locator(".t")).to_have_count(len(TEXT))
    rows.nth(2).click()
    expect(scope.locator(".t")).to_have_count(len(TEXT) + 1)
    desk.knows("scope.text", TEXT + LETTERS[order[2]])


def test_own_text_and_another_model(desk, scope: Locator) -> None:
    scope.get_by_role("button", name="Own text").click()
    field = scope.get_by_label("Your text")
    expect(field).to_be_focused()
    field.fill("")
    desk.page.keyboard.press("Enter")
    expect(scope.get_by_role("alert")).to_contain_text("The text is empty")
    field.fill("dog a")
    desk.page.keyboard.press("Enter")
    expect(scope.locator(".t")).to_have_count(5)
    expect(scope.get_by_role("alert")).to_be_empty()
    expect(scope.get_by_role("button", name="Own text")).to_be_focused()
    expected = weights(desk, text="dog a")[1][2][4]
    expect(said(scope)).to_contain_text(f"looks {percent(max(expected))} at")
    scope.get_by_label("Model").select_option("reads")
    expect(scope.locator(".t b")).to_have_text(["[CLS]", "d", "o", "g", "a", "[SEP]"])
    expect(tab(scope, "What comes next")).to_be_hidden()
    scope.get_by_role("button", name=re.compile("Switch .* off")).click()
    expect(said(scope)).to_contain_text("its cosine with what it was is")
    tab(scope, "The whole way").click()
    expect(scope.locator(".way")).to_contain_text("gathers from all tokens")


def test_the_whole_way_has_the_librarys_numbers(desk, scope: Locator) -> None:
    tab(scope, "The whole way").click()
    code = f"""
part = probing.parts_of(writes, tokenizer.encode({TEXT!r}), 1)
units = part.hidden[4].abs().topk(6).indices
added = (part.attention[4].norm() / part.stream[4].norm()).item()
found = part.scores[2, 4], part.weights[2, 4], units, part.mix[:, 4]
print(json.dumps([*(each.tolist() for each in found), added]))
"""
    scores, shares, units, mixed, added = json.loads(desk.run(code))
    scope.get_by_role("button", name="Attention: open").click()
    shown = scope.locator(".way")
    for k, share in enumerate(shares):
        expect(shown).to_contain_text(f"{scores[k]:.1f}".replace("-", "−"))
        expect(shown).to_contain_text(percent(share) if share >= 0.005 else "0 %")

    scope.get_by_role("button", name="join, step 7 of 7").click()
    expect(said(scope)).to_contain_text(f"they add {percent(added)} of the stream’s length")
    strips = scope.locator(".stage canvas")
    expect(strips).to_have_count(N_HEADS)
    for strip, values in zip(strips.all(), np.abs(mixed), strict=True):
        pixels = "node => [...node.getContext('2d').getImageData(0, 0, node.width, 1).data]"
        opacity = np.array(strip.evaluate(pixels)[3::4]) / 255  # the root, so that small ones are seen
        # Values are recorded in four bits.
        np.testing.assert_allclose(opacity**2, values / values.max(), atol=0.15)
    scope.get_by_role("button", name="q, k, v, step 1 of 7").click()
    expect(shown).to_contain_text("turned by its place, 4")
    scope.get_by_role("button", name="Close attention").click()
    scope.get_by_role("button", name="MLP: open").click()
    for unit in units:
        expect(shown).to_contain_text(str(unit))
    scope.get_by_role("button", name="Where the vector begins").click()
    expect(said(scope)).to_contain_text("becomes 24 numbers: row 4 of a table")
    scope.get_by_role("button", name="How the last vector becomes chances").click()
    expect(said(scope)).to_contain_text("Of 27 scores softmax makes chances")


def signed(x: float) -> str:
    return f"{x:.1f}".replace("-", "−")


@pytest.fixture
def table(desk, scope: Locator) -> tuple[Locator, np.ndarray, np.ndarray]:
    """The unfolded attention, and the library's scores and shares of all pairs."""
    tab(scope, "The whole way").click()
    scope.get_by_role("button", name="Attention: open").click()
    code = f"""
part = probing.parts_of(writes, tokenizer.encode({TEXT!r}), 1)
print(json.dumps([part.scores[2].tolist(), part.weights[2].tolist()]))
"""
    scores, shares = json.loads(desk.run(code))
    return scope.locator(".way"), np.array(scores), np.array(shares)


def test_product_division_mask_and_softmax_of_all_pairs(scope: Locator, table) -> None:
    shown, scores, shares = table
    masked = np.where(np.triu(np.ones_like(scores), 1), -np.inf, scores)
    for step, expected, off in (
        ("q meets k, step 2", 2 * scores, 0.06),
        ("÷ √d, step 3", scores, 0.06),
        ("mask, step 4", masked, 0.06),
        ("softmax, step 5", 100 * shares, 0.6),
    ):
        scope.get_by_role("button", name=f"{step} of 7").click()
        expect(scope.get_by_role("button", name=step)).to_have_attribute("aria-pressed", "true")
        numbers = [
            float(each.replace("−", "-").replace("∞", "inf"))
            for each in shown.locator(".pair").all_text_contents()
        ]
        np.testing.assert_allclose(numbers, expected.flatten(), atol=off)
    scope.get_by_role("button", name="q meets k, step 2 of 7").click()
    expect(said(scope)).to_contain_text(f"is {signed(2 * scores[4].max())}.")
    scope.get_by_role("button", name="÷ √d, step 3 of 7").click()
    expect(said(scope)).to_contain_text("divided by √4")
    undivided = percent(max(softmax(2 * scores[4])))
    told = rf"would get {undivided} instead of {percent(shares[4].max())},"
    expect(shown).to_contain_text(re.compile(told.replace(" ", r"\s*")))  # wherever the line ends


def test_pointing_at_a_pair_tells_its_numbers(desk, scope: Locator, table) -> None:
    """It draws nothing anew; a click keeps the pair, and keys reach each."""
    shown, scores, shares = table
    scope.get_by_role("button", name="mask, step 4 of 7").click()
    pairs, slot = shown.get_by_role("slider", name="Query and key"), shown.locator(".slot")
    hit = pairs.locator(".hit")
    side = place(hit)["width"] / len(TEXT)
    hit.evaluate("node => { window.hit = node; }")
    for q, k in ((2, 1), (1, 3)):
        hit.hover(position={"x": (k + 0.5) * side, "y": (q + 0.5) * side})
        gets = "hidden, as it comes later" if k > q else f"share {percent(shares[q, k])}"
        told = f"product {signed(2 * scores[q, k])}, ÷ 2: {signed(scores[q, k])}, {gets}"
        expect(slot).to_have_text([f"{TEXT[q]} asks {TEXT[k]}", told])
    assert hit.evaluate("node => node === window.hit")
    hit.click(position={"x": 1.5 * side, "y": 2.5 * side})
    scope.locator(".foot").hover()
    expect(slot.first).to_have_text("a asks c")
    pairs.focus()
    for key, words in (
        ("ArrowRight", "a asks itself"),
        ("ArrowUp", "c asks itself"),
        ("ArrowLeft", "c asks a"),
    ):
        desk.page.keyboard.press(key)
        expect(slot.first).to_have_text(words)
        expect(pairs).to_be_focused()
    expect(pairs).to_have_attribute("aria-valuetext", re.compile("^c asks a: product "))
    scope.get_by_role("button", name="As text").click()
    told = (
        f"a: product {signed(2 * scores[1, 0])}, ÷ 2: {signed(scores[1, 0])}, share {percent(shares[1, 0])}"
    )
    for words in (f"c asks {told}", "Hidden, as they come later: a, t, e.", f"{N_HEADS} heads of 4 numbers"):
        expect(scope.locator(".cx-text")).to_contain_text(words)


def test_python_changes_the_page(desk, scope: Locator) -> None:
    desk.run("scope.shown = {**scope.shown, 'view': 'way', 'layer': 3, 'part': 'mlp'}")
    expect(tab(scope, "The whole way")).to_have_attribute("aria-selected", "true")
    expect(said(scope)).to_contain_text("answers e most")
    desk.run("scope.text = 'tea'")
    expect(scope.locator(".t b")).to_have_text([*"tea"])
    desk.run("scope.switch([(3, 1)])")
    expect(said(scope)).to_contain_text("with head 3.1 off")
    scope.get_by_role("button", name="As text").click()
    expect(scope.locator(".cx-text")).to_contain_text("t | e | a\nThe whole way. Layer 3: with head 3.1 off")


def test_accessible_in_both_themes(desk, scope: Locator) -> None:
    for name in ("What comes next", "What each layer would say", "The whole way", "Who looks where"):
        tab(scope, name).click()
        assert desk.look(scope, f"microscope-{name.split()[-1]}") == []
    scope.get_by_role("button", name="How to read this").click()
    assert desk.problems(scope, "microscope") == []


# ---------------------------------------------------------------------------------------- without a kernel


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("microscope") / "microscope.html"
    path.write_text(microscope.page(), encoding="utf-8")
    return path.read_text(encoding="utf-8")


# What is written outside of the picture, or smaller than 12 pixels.
OUTSIDE = """() => {
    const box = document.querySelector(".mx").getBoundingClientRect();
    const texts = [...document.querySelectorAll(".mx :is(text, span, button, small, label, p, b)")];
    const seen = texts.filter(node => node.textContent.trim() && node.getClientRects().length);
    return seen.filter(node => {
        const { left, right } = node.getBoundingClientRect();
        const isSmall = parseFloat(getComputedStyle(node).fontSize) < 12;
        return left < box.left - 1 || right > box.right + 1 || isSmall;
    }).map(node => node.outerHTML.slice(0, 120));
}"""


def open_file(page: Page, file: str, state: str = "") -> None:
    page.route("http://localhost/*", lambda route: route.fulfill(body=file, content_type="text/html"))
    page.goto(f"http://localhost/microscope{state}")
    page.wait_for_selector(".t")


@pytest.fixture
def alone(page: Page, file: str) -> Page:
    open_file(page, file)
    return page


def test_recordings_answer_without_a_kernel(alone: Page) -> None:
    scope = alone.locator(".cx")
    assert scope.bounding_box()["height"] <= 620
    expect(said(scope)).to_have_text(": is looks 90 % at France.")
    expect(scope.locator(".aside p")).to_have_text(brightest())
    scope.get_by_role("button", name="Switch 23.4 off").click()
    expect(said(scope)).to_have_text(": with head 23.4 off, Paris gets 14 % instead of 77 %.")
    expect(scope.locator(".ghost")).to_contain_text("77 % → 14 %")
    scope.get_by_label("Layer", exact=True).fill("22")
    # Of several at once nothing was recorded: the one goes off, the other on.
    scope.get_by_role("button", name="Switch 22.4 off instead").click()
    expect(said(scope)).to_contain_text("with head 22.4 off, Paris gets")
    scope.get_by_role("button", name="Head 22.4 on again").click()
    tab(scope, "What each layer would say").click()
    scope.get_by_label("Layer", exact=True).fill("23")
    expect(said(scope)).to_contain_text("Paris climbs from 2,079th to 396th.")
    # Another word than before: its own chance, not that of the word in whose place it stands.
    scope.get_by_role("button", name="Skip layer 23").click()
    expect(scope.locator(".ghost")).to_have_text("New0.9 % → 30 %")
    expect(scope.locator(".layers")).to_contain_text("layer said, with all on")
    scope.get_by_role("button", name="Layer 23 on again").click()
    expect(scope.get_by_role("alert")).to_be_empty()
    tab(scope, "What comes next").click()
    scope.get_by_role("button", name="Take “Paris”").click()
    expect(scope.locator(".t").last).to_have_text("Paris")
    scope.get_by_label("Text", exact=True).select_option(
        "Repeat after me: Brelindor Vastquimmel sings. Brelindor"
    )
    expect(said(scope)).to_contain_text("with 65 %")
    tab(scope, "Who looks where").click()
    scope.get_by_label("Layer", exact=True).fill("18")
    scope.get_by_label("Head", exact=True).fill("6")
    expect(said(scope)).to_contain_text("99.6 % at V.")
    # The state stands in the link: the text, and what is off, too.
    scope.get_by_role("button", name="Switch 18.6 off").click()
    expect(said(scope)).to_contain_text("with head 18.6 off, V gets")
    told = said(scope).text_content()
    alone.reload()
    expect(said(scope)).to_have_text(str(told))
    expect(scope.get_by_label("Head", exact=True)).to_have_value("6")


def test_settings_without_a_kernel(alone: Page) -> None:
    scope = alone.locator(".cx")
    tab(scope, "What comes next").click()
    # As `next_token_probabilities` has it: 27.06 and 5.17 %, and 3,285 tokens.
    scope.get_by_label("Temperature").fill("1.5")
    scope.get_by_label("Top-p").fill("0.9")
    expect(scope.locator("button.row").first).to_contain_text("77 % → 27 %")
    expect(scope.locator("button.row").nth(1)).to_contain_text("6.5 % → 5.2 %")
    expect(scope.locator(".rest")).to_contain_text(re.compile(r"^some 3,\d{3} others kept"))
    scope.get_by_label("Top-k").fill("3")
    tab(scope, "The whole way").click()
    scope.get_by_role("button", name="How the last vector becomes chances").click()
    expect(scope.locator(".way")).to_contain_text("÷ 1.5")
    # The column's end, the word in the text and the text for screen readers follow the settings.
    chance = percent(p := settled((0.7666, 0.0652), 1.5))
    assert p > 0.8
    expect(scope.locator('.way [data-at="end"]')).to_contain_text(f"Paris {chance}")
    expect(scope.locator(".ghost")).to_contain_text(chance)
    expect(scope.locator(".cx-text")).to_contain_text(
        re.compile(rf"Paris: score 17.4, ÷ 1.5: 11.6, {chance}")
    )
    expect(scope.locator(".cx-text")).to_contain_text("London: score 13.2, ÷ 1.5: 8.8, cut")
    expect(scope.locator(".way text", has_text=re.compile("^cut$"))).to_have_count(
        8
    )  # of three, 90 % leave two


def test_draws_without_a_kernel(alone: Page) -> None:
    """Paris has 77 %, “the” the next 6.5 %, all but ten tokens the last 9.7 %."""
    scope = alone.locator(".cx")
    tab(scope, "What comes next").click()
    rows, rest = scope.locator("button.row"), scope.locator(".rest")
    for number, told in (
        (0.80, "Drawn: the, with 6.5 %. To go on from it needs the model."),
        (0.9999, "Drawn: one of 49,142 others, with 9.7 %. To go on from it needs the model."),
    ):
        alone.evaluate(f"Math.random = () => {number}")
        scope.get_by_role("button", name="Draw one").click()
        expect(said(scope)).to_have_text(told)
    expect(rest).to_have_attribute("data-drawn", "")
    # One draw in each hundredth.
    alone.evaluate("let i = 0; Math.random = () => (i++ % 100 + 0.5) / 100")
    scope.get_by_role("button", name="Draw 100").click()
    expect(said(scope)).to_contain_text("the model expects Paris")
    shown = " ".join([*rows.all_text_contents(), *rest.all_text_contents()]).replace("once", "1 times")
    times = [int(found) for found in re.findall(r"drawn (\d+) times", shown)]
    assert times[0] in (76, 77, 78)
    assert times[-1] in (9, 10, 11)
    assert (len(times), sum(times)) == (11, 100)
    # What was cut is never drawn; what was recorded is taken.
    scope.get_by_label("Top-k").fill("1")
    scope.get_by_role("button", name="Draw 100").click()
    expect(rows.first).to_contain_text("drawn 100 times")
    scope.get_by_role("button", name="Draw one").click()
    expect(scope.locator(".t").last).to_have_text("Paris")
    # Where nothing is recorded behind a token, it is not offered.
    expect(rows.nth(1)).to_have_attribute("aria-disabled", "true")
    expect(scope.get_by_role("button", name="Take “.”")).to_be_visible()
    scope.get_by_role("button", name="Take “.”").click()
    expect(scope.locator(".take")).to_be_hidden()
    scope.locator(".t").first.click()
    scope.get_by_role("button", name="Draw one").click()
    expect(said(scope)).to_contain_text("Drawn: a new line")
    expect(scope.get_by_role("alert")).to_be_empty()


def test_names_and_places_in_every_text(alone: Page) -> None:
    """No two rows look the same, and no place is beyond the vocabulary."""
    scope = alone.locator(".cx")
    choice = scope.get_by_label("Text", exact=True)
    names = {}
    for text in choice.locator("option").evaluate_all("nodes => nodes.map(node => node.value)"):
        choice.select_option(text)
        tab(scope, "What comes next").click()
        expect(scope.locator(".t")).to_have_count(len(recorded_tokens(text)))
        for token in scope.locator(".t").all():
            token.click()
            shown = scope.locator("button.row > span:first-child").all_text_contents()
            assert len({*shown}) == len(shown), (text, shown)
        names[text] = shown
        tab(scope, "What each layer would say").click()
        places = re.findall(r"[\d,]+(?=th)", " ".join(scope.locator(".layers text").all_text_contents()))
        assert max(int(place.replace(",", "")) for place in places) <= 49_152, text
    assert [name for text, shown in names.items() if text.startswith("def") for name in shown][:3] == [
        "␣“**”",
        "␣“*”",
        "“**”",
    ]


def brightest() -> str:
    """What the map of heads shows of “is” and “France”."""
    [france] = (each for each in microscope.recordings() if each["text"] == "The capital of France is")
    scores = unpacked_all(france["arrays"])["scores"][:, :, 4, :5] / france["scale"]
    shares = softmax(scores)
    many = (shares.argmax(-1) == 3).sum()
    layer, head = np.unravel_index(shares[..., 3].argmax(), shares.shape[:2])
    share = percent(shares[layer, head, 3]).replace(" ", "\N{NO-BREAK SPACE}")
    return f"France is what {many} of 270 heads look at most. Brightest: {layer}.{head}, with {share}."


def settled(p: tuple[float, ...], temperature: float) -> float:
    """The share of the first of those that are left."""
    raised = np.array(p) ** (1 / temperature)
    return float(raised[0] / raised.sum())


def place(node: Locator) -> FloatRect:
    found = node.bounding_box()
    assert found
    return found


def recorded_tokens(text: str) -> list[str]:
    found = next(each for each in microscope.recordings() if each["text"] == text)
    return found["tokens"][: found["n"]]


def test_the_focus_frames_no_caption(alone: Page) -> None:
    scope = alone.locator(".cx")
    tab(scope, "The whole way").click()
    mlp = scope.get_by_role("button", name="MLP: open")
    mlp.locator(".zone").click(position={"x": 5, "y": 5})
    opened = scope.get_by_role("button", name="MLP: close")
    expect(opened).to_have_css("outline-style", "none")
    expect(opened.locator(".zone")).to_have_css("stroke", "none")
    alone.keyboard.press("Enter")
    expect(mlp).to_be_focused()
    expect(mlp.locator(".zone")).not_to_have_css("stroke", "none")
    zone = place(mlp.locator(".zone"))
    for caption in ("after attention", "after the MLP"):
        assert zone["y"] + zone["height"] < place(scope.locator(".way text", has_text=caption))["y"]
    # The label of a thick ribbon stands beside the squares of the heads.
    address = alone.url.partition("#")[0]
    alone.goto("about:blank")
    alone.goto(f"{address}#text=He+opened+the+door+and+saw+a&view=way&layer=23&head=4&token=6&key=0")
    share = place(scope.locator(".way text", has_text="96 %"))
    for square in map(place, scope.locator(".square").all()):
        assert square["y"] + square["height"] <= share["y"] + 1
    # A phone says, too, what can be opened: both parts, and both ends.
    alone.set_viewport_size({"width": 390, "height": 700})
    expect(scope.locator(".way .pill")).to_have_count(4)


def test_the_next_view_has_the_focus_of_what_it_does_not_show(alone: Page) -> None:
    scope = alone.locator(".cx")
    tab(scope, "Who looks where").click()
    scope.get_by_role("button", name="Switch 23.4 off").focus()
    alone.keyboard.press("1")
    expect(tab(scope, "What comes next")).to_be_focused()
    alone.keyboard.press("2")
    expect(tab(scope, "Who looks where")).to_have_attribute("aria-selected", "true")


def test_a_text_opens_on_a_head_that_finds_something_in_it(alone: Page) -> None:
    scope = alone.locator(".cx")
    layer, head = (scope.get_by_label(name, exact=True) for name in ("Layer", "Head"))
    copies = "Repeat after me: Brelindor Vastquimmel sings. Brelindor"
    scope.get_by_label("Text", exact=True).select_option(copies)
    expect(layer).to_have_value("18")  # the copying head of lesson 04
    expect(head).to_have_value("6")
    # A head that finds something there is kept.
    layer.fill("23")
    head.fill("4")
    scope.get_by_label("Text", exact=True).select_option("The capital of France is")
    expect(layer).to_have_value("23")
    expect(scope.get_by_role("status").first).to_contain_text("is looks 90 % at France")


def test_a_link_that_says_what_is_not_there_opens_as_usual(alone: Page) -> None:
    scope = alone.locator(".cx")
    address = alone.url.partition("#")[0]
    for told in ("view=bla", "mode=xx", "part=zz", "taken=x", "layer=-4&head=zz&key=77"):
        alone.goto("about:blank")
        alone.goto(f"{address}#{told}")
        expect(scope.get_by_role("tab", name="Who looks where")).to_have_attribute("aria-selected", "true")
        expect(scope.locator(".say")).to_contain_text("looks")
    alone.goto("about:blank")
    alone.goto(f"{address}#taken=2")
    expect(scope.locator(".t")).to_have_count(7)


def test_the_steps_play_until_somebody_pauses(alone: Page) -> None:
    alone.emulate_media(reduced_motion="no-preference")
    scope = alone.locator(".cx")
    tab(scope, "The whole way").click()
    scope.get_by_role("button", name="Attention: open").click()
    expect(scope.get_by_role("button", name="q, k, v, step 1 of 7")).to_have_attribute("aria-pressed", "true")
    scope.get_by_role("button", name="Play the steps").click()
    expect(scope.get_by_role("button", name="÷ √d, step 3 of 7")).to_have_attribute("aria-pressed", "true")
    scope.get_by_role("button", name="Pause the steps").click()
    alone.wait_for_timeout(3000)
    expect(scope.get_by_role("button", name="÷ √d, step 3 of 7")).to_have_attribute("aria-pressed", "true")
    scope.get_by_role("button", name="mix, step 6 of 7").click()
    scope.get_by_role("button", name="Play the steps").click()
    expect(scope.get_by_role("button", name="join, step 7 of 7")).to_have_attribute("aria-pressed", "true")
    expect(scope.get_by_role("button", name="Play the steps")).to_be_visible()


def test_five_states_of_the_tour(alone: Page) -> None:
    scope = alone.locator(".cx")
    scope.get_by_role("button", name="Tour").click()
    for n, words in enumerate(
        (
            "the model expects Paris, with 77 %",
            "looks 90 % at France",
            "gets 14 % instead of 77 %",
            "climbs from",
            "of what is gets is the value of France",
        ),
        start=1,
    ):
        expect(scope.locator(".tour")).to_contain_text(f"{n} of 5")
        expect(said(scope)).to_contain_text(words)
        tour, text, stage = (place(scope.locator(f".{name}")) for name in ("tour", "text", "stage"))
        assert tour["y"] + tour["height"] <= text["y"] + 1
        assert tour["width"] <= stage["width"]
        assert alone.evaluate("document.querySelector('.cx').offsetHeight") <= 620
        scope.locator(".tour").get_by_role("button", name="Done" if n == 5 else "Next").click()
    expect(scope.get_by_role("button", name="Tour")).to_be_focused()


def test_a_picture_is_made(alone: Page) -> None:
    # The clipboard of a test cannot be written to.
    alone.evaluate(
        """() => { navigator.clipboard.write = async items => {
            window.copied = (await items[0].getType("image/png")).size;
        }; }"""
    )
    alone.locator(".cx").get_by_role("button", name="Copy picture").click()
    alone.wait_for_function("window.copied")
    assert alone.evaluate("window.copied") > 20_000


@pytest.mark.parametrize("width", [390, 760])
def test_a_text_that_needs_two_lines_is_written_smaller(page: Page, file: str, width: int) -> None:
    """Also where it came while the page was wider; what comes next stands in these lines, too."""
    open_file(page, file, "#view=look")
    page.set_viewport_size({"width": 1000, "height": 700})
    scope = page.locator(".cx")
    scope.get_by_label("Text", exact=True).select_option(
        "Repeat after me: Brelindor Vastquimmel sings. Brelindor"
    )
    text = scope.locator(".text")
    expect(text).to_contain_text("astquimmel")
    expect(text).not_to_have_class(re.compile("small"))
    page.set_viewport_size({"width": width, "height": 700})
    lines = "new Set([...document.querySelectorAll('.mx .text > *')].map(each => each.offsetTop)).size"
    page.wait_for_function(f"({lines} > 1) === Boolean(document.querySelector('.mx .text.small'))")
    expect(scope.locator(".word")).to_have_count(7)
    broken = """[...document.querySelectorAll(".mx .word")].filter((word) =>
        new Set([...word.children].map((token) => token.offsetTop)).size > 1).length"""
    assert page.evaluate(broken) == 0, "a word goes on in the next line"
    if width < 500:
        expect(text).to_have_class(re.compile("small"))
        expect(scope.locator(".map")).to_be_visible()


def test_the_steps_of_attention_are_walked_with_arrows(page: Page, file: str) -> None:
    open_file(page, file, "#view=way&part=attention")
    step = page.get_by_role("button", name="mix, step 6 of 7")
    step.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="join, step 7 of 7")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="join, step 7 of 7")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="softmax, step 5 of 7")).to_be_focused()
    expect(page.get_by_role("button", name="softmax, step 5 of 7")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    "view",
    [
        "next",
        "look",
        "look&mode=sheet",
        "say",
        "way",
        *(f"way&part={part}" for part in ("start", "attention", "mlp", "end")),
    ],
)
def test_it_fits_and_is_accessible(page: Page, file: str, view: str) -> None:
    """Nothing is wider than the page, and one of 390 x 700 holds it whole, of 1,000 x 620 too."""
    open_file(page, file, f"#view={view}")
    scope = page.locator(".cx")
    for text in ("The capital of France is", "Repeat after me: Brelindor Vastquimmel sings. Brelindor"):
        scope.get_by_label("Text", exact=True).select_option(text)
        for width, height in ((1000, 620), (760, 640), (683, 700), (390, 700), (320, 760)):
            page.set_viewport_size({"width": width, "height": height})
            for _ in range(20):  # the picture follows some frames later
                page.wait_for_timeout(50)
                cut = page.evaluate(OUTSIDE)
                if not cut:
                    break
            assert cut == [], (text, width)
            wide, high = page.evaluate(
                "[document.documentElement.scrollWidth, document.querySelector('.cx').offsetHeight]"
            )
            assert wide <= width, (text, width)
            assert high <= height, (text, width)
    page.evaluate(AXE.read_text())
    page.set_viewport_size({"width": 1000, "height": 620})
    scope.get_by_role("button", name="How to read this").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate("axe.run('.cx', { resultTypes: ['violations'] })")
        assert [(rule["help"], node["html"]) for rule in found["violations"] for node in rule["nodes"]] == []
