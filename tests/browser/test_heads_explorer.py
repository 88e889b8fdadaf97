"""The heads explorer in JupyterLab on small models, by mouse and by keyboard alone."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Heads"
N_LAYERS, N_HEADS, TEXT, PAIR = 5, 3, "acat", "hund"
MODELS = f"""
import torch
from course_lib import probing
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_lib.concepts.c04_multi_head.explorer import HeadsExplorer
torch.manual_seed(0)
letters = [*"abcdefghijklmnopqrstuvwxyz"]
writes = GPT(LlamaConfig(
    vocab_size=27, max_seq_len=61, d_model=12, n_layers={N_LAYERS}, n_heads={N_HEADS}))
reads = BERT(BERTConfig(vocab_size=55, max_seq_len=61, d_model=14, n_layers=2, n_heads=7))
translates = EncoderDecoder(EncoderDecoderConfig(27, 27, 61, d_model=10, n_layers=2, n_heads=5))
for model in (writes, reads, translates):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 20
tokenizer = BPETokenizer([*letters, "Ġ"], [])
pieces = WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters)])
"""
SHOW = f"""
models = {{"writes": (writes, tokenizer), "reads": (reads, pieces), "translates": (translates, tokenizer)}}
explorer = HeadsExplorer(models, {TEXT!r}, other_text={PAIR!r})
explorer
"""
LARGE = """
large = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=24, n_layers=30, n_heads=12))
explorer = HeadsExplorer({"large": (large, tokenizer)}, "straw berries and cream for all of us")
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, MODELS, SHOW)


def sheet(explorer: Locator) -> Locator:
    return explorer.get_by_role("slider", name="Opened head")


def title(explorer: Locator) -> Locator:
    return explorer.locator(".cx-title")


def click_head(explorer: Locator, layer: int, head: int, n_layers: int, n_heads: int) -> None:
    canvas = sheet(explorer).locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    place = {"x": box["width"] * (layer + 0.4) / n_layers, "y": box["height"] * (head + 0.4) / n_heads}
    canvas.click(position=place)


def follow(explorer: Locator, token: int) -> Locator:
    button = explorer.locator(".cx-from").nth(token)
    button.click()
    expect(button).to_have_attribute("aria-current", "true")
    return button


def weights(desk, text: str = TEXT) -> list:
    """Layers, heads, queries, keys, in percent, from the library and without the explorer."""
    shown = f"(100 * probing.weights_of(writes, tokenizer.encode({text!r}))).tolist()"
    return json.loads(desk.run(f"print({shown})"))


def shares(explorer: Locator) -> list[float]:
    texts = explorer.locator(".cx-share").all_text_contents()
    return [float(text.removesuffix(" %")) for text in texts]


def next_tokens(explorer: Locator, column: int) -> list[str]:
    """The pieces in one of the two halves of the table."""
    rows = explorer.locator(".cx-next-tokens tbody tr")
    return [text for text in rows.locator(f"td:nth-child({2 * column + 1})").all_text_contents() if text]


def likeliest(desk, off: str = "[]") -> list[str]:
    """The five likeliest next tokens, from the library, with these heads off."""
    printed = desk.run(
        f"""
import json
with torch.no_grad(), probing.heads_off(writes, {off}):
    scores = writes(torch.tensor([tokenizer.encode({TEXT!r})]))[0, -1]
print(json.dumps([tokenizer.tokens[i].replace("Ġ", "␣") for i in scores.topk(5).indices]))
"""
    )
    return json.loads(printed)


def test_heads_are_opened_by_mouse(desk, explorer: Locator) -> None:
    expected = weights(desk)
    for layer, head in ((0, 0), (1, 2), (3, 1), (4, 2)):
        click_head(explorer, layer, head, N_LAYERS, N_HEADS)
        expect(title(explorer)).to_have_text(f"Layer {layer}, head {head}")
        # The last token is followed at first.
        assert shares(explorer) == pytest.approx(expected[layer][head][-1], abs=0.06)
    expect(explorer.locator(".cx-trace")).to_contain_text(
        re.compile(r"^Layer 4, head 2: from t to \w( \(\d\))? \d+\.\d %, ")
    )
    names = ["a (1)", "c", "a (3)", "t"]
    for name, row in zip(names, expected[4][2], strict=True):
        expect(explorer.locator(".cx-text")).to_contain_text(f"{name} → {names[row.index(max(row))]} ")
    desk.knows("explorer.opened", [4, 2])


def test_a_head_as_text(desk) -> None:
    """Queries of zero look at all alike: every number is known."""
    explorer = desk.shown(
        TITLE,
        MODELS,
        """
for block in writes.stack.blocks:
    block.attention.q_proj.weight.data.zero_()
explorer = HeadsExplorer({"writes": (writes, tokenizer)}, "a cat")
explorer.on_switch("writes", "self-attention", 4, 1)
explorer.opened, explorer.token = [9, 1], 3
explorer
""",
    )
    description = desk.run("print(explorer.views['writes']['effect']['description'], end='')").splitlines()
    assert len(description) == 3
    desk.tells(
        explorer,
        "writes, self-attention. Layers: 5. Heads in each: 3.",
        "Tokens (5): a (1) | ␣ | c | a (4) | t",
        "Off: 4.1.",
        "",
        "Layer 4, head 1, off. Each token, and the one that it looks at most:",
        "a (1) → a (1) 100.0 %",
        "␣ → a (1) 50.0 %",
        "c → a (1) 33.3 %",
        "a (4) → a (1) 25.0 %",
        "t → a (1) 20.0 %",
        "All that a (4) looks at: a (1) 25.0 %, ␣ 25.0 %, c 25.0 %, a (4) 25.0 %.",
        "",
        *description,
    )


def test_a_token_is_followed_along_its_lines(desk, explorer: Locator) -> None:
    expected = weights(desk)[0][0]
    for token, row in enumerate(expected):
        follow(explorer, token)
        assert shares(explorer) == pytest.approx(row, abs=0.06)
        lines = explorer.locator(".cx-lines line").evaluate_all(
            """lines => lines.map(line =>
                [!line.hasAttribute("visibility"), Number(line.getAttribute("stroke-width"))])"""
        )
        for place, (is_seen, width) in enumerate(lines):
            query, key = divmod(place, len(TEXT))
            weight = expected[query][key]
            assert is_seen == (round(10 * weight) >= 10)
            if query == token:
                assert width == pytest.approx(1 + 4 * weight / 100, abs=0.01)


def test_colours_are_weights(desk, explorer: Locator) -> None:
    """On the sheet and in the matrix: how much of the ink shows is the weight's square root."""
    expected = weights(desk)
    explorer.get_by_label("Drawn as").select_option("matrix")
    expect(explorer.locator(".cx-as-lines")).to_be_hidden()
    expect(explorer.locator(".cx-names bdi")).to_have_text([*TEXT])
    ink = """(canvas, [row, column]) => canvas.getContext("2d").getImageData(
        Math.floor(column * canvas.width), Math.floor(row * canvas.height), 1, 1).data[3]"""
    n = len(TEXT)
    ground = 38
    for layer, head in ((0, 0), (3, 1)):
        click_head(explorer, layer, head, N_LAYERS, N_HEADS)
        expect(title(explorer)).to_have_text(f"Layer {layer}, head {head}")
        for query in range(n):
            for key in range(n):
                share = (expected[layer][head][query][key] / 100) ** 0.5
                shown = explorer.locator(".cx-as-matrix canvas").evaluate(
                    ink, [(query + 0.5) / n, (key + 0.5) / n]
                )
                assert shown == pytest.approx(255 * share + (1 - share) * ground, abs=3)
        # The pictures stand 40 apart and are 37 wide.
        x, y = 40 * layer + 37 * (n - 0.5) / n, 40 * head + 37 * (n - 0.5) / n
        share = (expected[layer][head][-1][-1] / 100) ** 0.5
        shown = sheet(explorer).locator("canvas").evaluate(ink, [y / (40 * N_HEADS), x / (40 * N_LAYERS)])
        assert shown == pytest.approx(255 * share + (1 - share) * ground, abs=3)


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_label("Model").focus()
    keyboard.press("Tab")
    expect(explorer.get_by_label("Drawn as")).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_label("Your text")).to_be_focused()
    keyboard.press("Tab")
    expect(sheet(explorer)).to_be_focused()
    for key, layer, head in (
        ("ArrowLeft", 0, 0),
        ("ArrowUp", 0, 0),
        ("ArrowRight", 1, 0),
        ("ArrowDown", 1, 1),
        ("End", 4, 1),
        ("ArrowRight", 4, 1),
        ("Home", 0, 1),
        ("Control+End", 4, 2),
        ("ArrowDown", 4, 2),
        ("Control+Home", 0, 0),
        ("ArrowDown", 0, 1),
    ):
        keyboard.press(key)
        expect(sheet(explorer)).to_have_attribute("aria-valuetext", f"Layer {layer}, head {head}")
        expect(title(explorer)).to_have_text(f"Layer {layer}, head {head}")
    expect(sheet(explorer)).to_have_attribute("aria-valuenow", "2")
    keyboard.press("l")
    expect(explorer.get_by_label("Drawn as")).to_have_value("matrix")
    keyboard.press("l")
    expect(explorer.get_by_label("Drawn as")).to_have_value("lines")
    keyboard.press("o")
    expect(title(explorer)).to_have_text("Layer 0, head 1, off")
    keyboard.press("Enter")
    expect(explorer.locator(".cx-from").nth(3)).to_be_focused()
    keyboard.press("ArrowUp")
    expect(explorer.locator(".cx-from").nth(2)).to_have_attribute("aria-current", "true")
    keyboard.press("Control+Home")
    expect(explorer.locator(".cx-trace")).to_have_text("Layer 0, head 1, off: from a (1) to a (1) 100.0 %.")
    keyboard.press("Shift+Tab")
    expect(explorer.get_by_role("button", name="All heads on")).to_be_focused()
    keyboard.press("Enter")
    expect(title(explorer)).to_have_text("Layer 0, head 1")
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    expect(title(explorer)).to_have_text("Layer 0, head 1, off")


def test_heads_are_switched_off_and_the_next_token_changes(desk, explorer: Locator) -> None:
    assert next_tokens(explorer, 0) == likeliest(desk)
    assert next_tokens(explorer, 1) == []
    off = []
    for layer, head in ((0, 0), (0, 2), (3, 1)):
        click_head(explorer, layer, head, N_LAYERS, N_HEADS)
        explorer.get_by_role("button", name=f"Switch {layer}.{head} off").click()
        expect(explorer.get_by_role("button", name=f"Switch {layer}.{head} on")).to_be_focused()
        off.append((layer, head))
        expect(explorer.locator(".cx-heads-off")).to_have_count(len(off))
        assert next_tokens(explorer, 0) == likeliest(desk)
        assert next_tokens(explorer, 1) == likeliest(desk, str(off))
    expect(explorer).to_contain_text("Off: 0.0, 0.2, 3.1.")
    expect(explorer).to_contain_text("without 3 heads")
    # The others' heads are all on.
    explorer.get_by_label("Model").select_option("reads")
    expect(explorer.locator(".cx-heads-off")).to_have_count(0)
    expect(explorer).to_contain_text("All heads are on.")
    expect(explorer.locator(".cx-next-tokens")).to_be_hidden()
    explorer.get_by_label("Model").select_option("writes")
    explorer.get_by_role("button", name="Switch 3.1 on").click()
    expect(explorer).to_contain_text("Off: 0.0, 0.2.")
    explorer.get_by_role("button", name="All heads on").click()
    expect(explorer).to_contain_text("All heads are on.")
    assert next_tokens(explorer, 1) == []


def test_pairs_and_translations(desk, explorer: Locator) -> None:
    expect(explorer.get_by_label("Second text")).to_be_hidden()
    explorer.get_by_label("Model").select_option("reads")
    expect(explorer.locator(".cx-from")).to_have_text(
        ["[CLS]", "a", "##c", "##a", "##t", "[SEP]", "h", "##u", "##n", "##d", "[SEP]"]
    )
    click_head(explorer, 1, 6, 2, 7)
    explorer.get_by_role("button", name="Switch 1.6 off").click()
    expect(explorer).to_contain_text("reads has no next token")
    expect(explorer).to_contain_text("The cosine with what it was with all heads on is")
    expect(explorer.locator(".cx-text")).to_contain_text("reads has no next token")
    explorer.get_by_label("Second text").fill("b")
    expect(explorer.locator(".cx-from")).to_have_text(
        ["[CLS]", "a", "##c", "##a", "##t", "[SEP]", "b", "[SEP]"]
    )
    explorer.get_by_label("Model").select_option("translates")
    explorer.get_by_label("Attention").select_option("cross-attention")
    expect(explorer.locator(".cx-from")).to_have_text(["b"])
    expect(explorer.locator(".cx-to-all bdi")).to_have_text([*TEXT])
    explorer.get_by_label("Its translation so far").fill("hand")
    expect(explorer.locator(".cx-from")).to_have_text([*"hand"])
    explorer.get_by_label("Drawn as").select_option("matrix")
    expect(explorer.locator(".cx-names bdi")).to_have_text([*TEXT])
    expect(explorer.locator(".cx-text")).to_contain_text(
        "From (4): h | a | n | d To (4): a (1) | c | a (3) | t"
    )
    desk.knows("explorer.attention, explorer.drawn_as", ("cross-attention", "matrix"))
    explorer.get_by_label("Attention").select_option("encoder")
    expect(explorer.locator(".cx-from")).to_have_text([*TEXT])
    explorer.get_by_label("Its translation so far").fill("")
    expect(explorer.get_by_role("alert")).to_contain_text("translates needs a second text")


def test_another_text(desk, explorer: Locator) -> None:
    field = explorer.get_by_label("Your text")
    field.fill("dog a")
    expect(explorer.locator(".cx-from bdi")).to_have_text(["d", "o", "g", "␣", "a"])
    follow(explorer, 4)
    assert shares(explorer) == pytest.approx(weights(desk, "dog a")[0][0][-1], abs=0.06)
    field.fill("ab" * 20)
    expect(explorer.locator(".cx-from")).to_have_count(32)
    expect(
        explorer.get_by_text("Too long for one picture: 32 of 40 tokens are read.", exact=True)
    ).to_be_visible()


def test_python_changes_the_page(desk, explorer: Locator) -> None:
    desk.run(
        "explorer.model = 'reads'; explorer.opened = [1, 5]; explorer.token = 2; explorer.drawn_as = 'matrix'"
    )
    expect(explorer.get_by_label("Model")).to_have_value("reads")
    expect(title(explorer)).to_have_text("Layer 1, head 5")
    expect(explorer.locator(".cx-from[aria-current]")).to_have_text("##c")
    expect(explorer.get_by_label("Drawn as")).to_have_value("matrix")
    desk.run("explorer.text = 'berries'")
    expect(explorer.get_by_label("Your text")).to_have_value("berries")


def test_a_large_sheet(desk) -> None:
    explorer = desk.shown(TITLE, MODELS, LARGE)
    expect(explorer.locator(".cx-from")).to_have_count(32)
    click_head(explorer, 29, 11, 30, 12)
    expect(title(explorer)).to_have_text("Layer 29, head 11")
    sheet(explorer).focus()
    desk.page.keyboard.press("Home")
    expect(title(explorer)).to_have_text("Layer 0, head 11")
    explorer.get_by_label("Drawn as").select_option("matrix")
    box = explorer.locator(".cx-as-matrix canvas").bounding_box()
    outer = explorer.bounding_box()
    assert box["x"] + box["width"] <= outer["x"] + outer["width"]


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    click_head(explorer, 3, 1, N_LAYERS, N_HEADS)
    explorer.get_by_role("button", name="Switch 3.1 off").click()
    expect(title(explorer)).to_have_text("Layer 3, head 1, off")
    explorer.locator("summary").click()
    expect(explorer.locator(".cx-text")).to_contain_text("Layer 3, head 1, off.")
    sheet(explorer).focus()
    desk.page.keyboard.press("ArrowDown")
    assert sheet(explorer).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "heads") == []
    explorer.get_by_label("Model").select_option("translates")
    explorer.get_by_label("Drawn as").select_option("matrix")
    assert desk.problems(explorer, "heads-matrix") == []
