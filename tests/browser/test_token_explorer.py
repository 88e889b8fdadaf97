"""The token explorer in JupyterLab on small tokenizers, by mouse and by keyboard alone."""

import json
import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Tokens"
TOKENIZERS = """
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import TokenExplorer
letters = [*"abcdefghijklmnopqrstuvwxyz"]
tokenizers = {
    "ours": BPETokenizer.train("straw strawberry berry berries raw drawing bananas", 280),
    "bytes": BPETokenizer.train("-", 256),
    "pieces": WordPiece(
        ["[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters), "straw", "##berry"]
    ),
}
"""
SHOW = """
explorer = TokenExplorer(tokenizers, "strawberry bananas")
explorer
"""
TEXT_OF_RUNS = "runs => runs.map(run => ['bdi', 'small'].map(tag => run.querySelector(tag).textContent))"


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, TOKENIZERS, SHOW)


def side(explorer: Locator, number: int) -> Locator:
    return explorer.get_by_role("group", name=f"Tokenizer {number}")


def runs(part: Locator) -> list[list[str]]:
    """Piece and id, as printed."""
    return part.locator(".cx-run").evaluate_all(TEXT_OF_RUNS)


def tokens(explorer: Locator, number: int) -> list[list[str]]:
    return runs(side(explorer, number).locator("ol"))


def expected_tokens(desk, name: str, text: str) -> list[list[str]]:
    """The same, from the library and without the explorer."""
    printed = desk.run(
        f"""
import json
tokenizer = tokenizers[{name!r}]
shown = [[tokenizer.tokens[i].replace("Ġ", "␣"), str(i)] for i in tokenizer.encode({text!r})]
print(json.dumps(shown))
"""
    )
    return json.loads(printed)


def replay_of(desk, name: str, word: str) -> list[list[str]]:
    """The pieces after each merge."""
    printed = desk.run(
        f"""
import json
tokenizer = tokenizers[{name!r}]
steps = tokenizer.merge_steps({word!r})
print(json.dumps([[tokenizer.tokens[i].replace("Ġ", "␣") for i in ids] for _, ids in steps]))
"""
    )
    return json.loads(printed)


def pieces_so_far(explorer: Locator, number: int) -> list[str]:
    return [piece for piece, _ in runs(side(explorer, number).locator(".cx-so-far"))]


def test_shows_the_librarys_tokens(desk, explorer: Locator) -> None:
    assert tokens(explorer, 1) == expected_tokens(desk, "ours", "strawberry bananas")
    assert tokens(explorer, 2) == expected_tokens(desk, "bytes", "strawberry bananas")
    expect(side(explorer, 2)).to_contain_text("18 tokens: 1.0 characters or 1.0 bytes per token.")
    field = explorer.get_by_label("Your text")
    field.fill("raw berries\nand straw")
    expect(explorer).to_contain_text("21 characters, 21 bytes in UTF-8.")
    shown = [[piece.replace("↵", "Ċ"), i] for piece, i in tokens(explorer, 1)]
    assert shown == expected_tokens(desk, "ours", "raw berries\nand straw")
    assert desk.run("print(repr(explorer.text))").strip() == repr("raw berries\nand straw")


def test_replays_merges_by_mouse(desk, explorer: Locator) -> None:
    expected = replay_of(desk, "ours", "strawberry")
    left = side(explorer, 1)
    assert len(expected) > 3
    assert pieces_so_far(explorer, 1) == expected[0]
    for step, pieces in enumerate(expected[1:], start=1):
        left.get_by_role("button", name="Next").click()
        expect(left.get_by_role("status").last).to_contain_text(f"Merge {step} of {len(expected) - 1}: ")
        assert pieces_so_far(explorer, 1) == pieces
        expect(left.locator("[data-new]")).to_have_count(1)
    expect(left.get_by_role("button", name="Next")).to_have_attribute("aria-disabled", "true")
    left.get_by_role("button", name="Back").click()
    assert pieces_so_far(explorer, 1) == expected[-2]
    left.locator(".cx-word").nth(1).click()
    assert pieces_so_far(explorer, 1) == replay_of(desk, "ours", " bananas")[0]
    expect(left.locator(".cx-word[aria-current]")).to_have_count(1)
    # Bytes that were never merged have one step, and nothing to press.
    right = side(explorer, 2)
    expect(right.get_by_role("button", name="Next")).to_be_hidden()
    expect(right.get_by_role("status").last).to_contain_text("10 bytes, of which no two neighbours")


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_label("Your text").focus()
    keyboard.press("Control+End")
    keyboard.type(" straw")
    expect(explorer).to_contain_text("24 characters, 24 bytes")
    keyboard.press("Tab")
    expect(explorer.get_by_label("or one sentence in")).to_be_focused()
    keyboard.press("Tab")
    left = side(explorer, 1)
    expect(left.get_by_label("Tokenizer")).to_be_focused()
    keyboard.press("Tab")
    expect(left.locator(".cx-word").first).to_be_focused()
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    expected = replay_of(desk, "ours", " straw")
    assert pieces_so_far(explorer, 1) == expected[0]
    keyboard.press("Tab")
    keyboard.press("Tab")
    slider = left.get_by_role("slider", name="Replay")
    expect(slider).to_be_focused()
    keyboard.press("ArrowRight")
    assert pieces_so_far(explorer, 1) == expected[1]
    expect(slider).to_have_attribute("aria-valuetext", f"1 of {len(expected) - 1}")
    keyboard.press("End")
    assert pieces_so_far(explorer, 1) == expected[-1]
    keyboard.press("Home")
    assert pieces_so_far(explorer, 1) == expected[0]
    keyboard.press("Tab")
    keyboard.press("Space")
    assert pieces_so_far(explorer, 1) == expected[1]


def test_tokenizers_side_by_side(desk, explorer: Locator) -> None:
    side(explorer, 2).get_by_label("Tokenizer").select_option("pieces")
    right = side(explorer, 2)
    assert tokens(explorer, 2) == expected_tokens(desk, "pieces", "strawberry bananas")
    right.get_by_role("button", name="Next").click()
    expect(right.get_by_role("status").last).to_have_text(
        "Match 1: straw is the longest token that fits at the start of strawberry. Left: berry."
    )
    expect(right.locator(".cx-so-far [data-kind=rest]")).to_have_text("berry")
    assert desk.run("print(explorer.shown)").strip() == "['ours', 'pieces']"
    # What the other tokenizer was at has not moved.
    left = side(explorer, 1)
    left.get_by_role("button", name="Next").click()
    right.get_by_label("Tokenizer").select_option("bytes")
    expect(left.get_by_role("status").last).to_contain_text("Merge 1 of")


def test_halves_of_characters_and_lost_words(explorer: Locator) -> None:
    side(explorer, 2).get_by_label("Tokenizer").select_option("pieces")
    explorer.get_by_label("Your text").fill("a ☕")
    expect(side(explorer, 1).locator("ol [data-kind=bytes] bdi")).to_have_text(["⟨E2⟩", "⟨98⟩", "⟨95⟩"])
    lost = side(explorer, 2).locator("ol [data-kind=lost]")
    expect(lost).to_have_text("[UNK]for ☕0")
    expect(side(explorer, 2)).to_contain_text("Words lost: 1 of 2.")


def test_the_tokens_as_text(desk, explorer: Locator) -> None:
    explorer.get_by_label("Your text").fill("raw ☕")
    side(explorer, 1).get_by_label("Tokenizer").select_option("pieces")
    desk.tells(
        explorer,
        "Text: raw ☕",
        "5 characters, 7 bytes in UTF-8.",
        "",
        "pieces: 4 tokens: 1.2 characters or 1.8 bytes per token.",
        "Words lost: 1 of 2.",
        "r 20 | ##a 29 | ##w 51 | [UNK] 0 (lost: ☕)",
        "Start: raw, of which nothing is cut yet.",
        "Match 1: r is the longest token that fits at the start of raw. Left: aw.",
        "Match 2: ##a is the longest token that fits at the start of aw. Left: w.",
        "Match 3: ##w is the longest token that fits at the start of w. Nothing is left.",
        "Start: ☕, of which nothing is cut yet.",
        "No token fits at the start of ☕: the whole word is lost, [UNK].",
        "",
        "bytes: 7 tokens: 0.7 characters or 1.0 bytes per token.",
        "r 81 | a 64 | w 86 | ␣ 220 | ⟨E2⟩ 158 | ⟨98⟩ 246 | ⟨95⟩ 243",
        "3 bytes, of which no two neighbours were ever merged: r | a | w",
        "4 bytes, of which no two neighbours were ever merged: ␣ | ⟨E2⟩ | ⟨98⟩ | ⟨95⟩",
    )


def test_counts_against_english(desk, explorer: Locator) -> None:
    english, hebrew = json.loads(
        desk.run(
            "import json\nfrom course_lib.data import languages\n"
            "print(json.dumps([languages()[name] for name in ('English', 'Hebrew')]))"
        )
    )
    choice = explorer.get_by_label("or one sentence in")
    expect(choice.locator("option")).to_have_count(21)
    choice.select_option("Hebrew")
    field = explorer.get_by_label("Your text")
    expect(field).to_have_value(hebrew)
    n, n_english = len(hebrew.encode()), len(english)
    expect(side(explorer, 2)).to_contain_text(
        f"{n} tokens: {len(hebrew) / n:.1f} characters or 1.0 bytes per token. "
        f"The English sentence has {n_english}: {n / n_english:.2f} times as many."
    )
    expect(side(explorer, 2).locator("ol")).to_have_attribute("dir", "rtl")
    first, second = (side(explorer, 2).locator(".cx-run").nth(i).bounding_box() for i in (0, 1))
    assert first["x"] > second["x"]
    assert (
        desk.run("print(explorer.language, explorer.text == languages()['Hebrew'])").strip() == "Hebrew True"
    )
    # A text of one's own takes its place, and is there again afterwards.
    field.fill("straw")
    expect(choice).to_have_value("")
    expect(side(explorer, 2)).to_contain_text("5 tokens: 1.0 characters or 1.0 bytes per token.")
    choice.select_option("English")
    expect(field).to_have_value(english)
    choice.select_option("")
    expect(field).to_have_value("straw")


def test_bad_text_is_told(explorer: Locator) -> None:
    field = explorer.get_by_label("Your text")
    before = tokens(explorer, 1)
    field.fill("")
    expect(explorer.get_by_role("alert")).to_contain_text("The text is empty")
    field.fill("a" * 2001)
    expect(explorer.get_by_role("alert")).to_contain_text(
        "2,001 characters, the explorer takes 2,000: shorten it."
    )
    expect(field).to_have_attribute("aria-invalid", "true")
    assert tokens(explorer, 1) == before
    field.fill("straw " * 333)
    expect(explorer.get_by_role("alert")).to_be_empty()
    expect(side(explorer, 2).locator("ol .cx-run")).to_have_count(1998)
    side(explorer, 1).locator(".cx-word").last.click()
    expect(side(explorer, 1)).to_contain_text("Not replayed")


def test_python_changes_the_page(desk, explorer: Locator) -> None:
    desk.run("explorer.text = 'berries'; explorer.shown = ['bytes', 'ours']")
    expect(explorer.get_by_label("Your text")).to_have_value("berries")
    expect(side(explorer, 2).get_by_label("Tokenizer")).to_have_value("ours")
    assert tokens(explorer, 2) == expected_tokens(desk, "ours", "berries")
    desk.run("explorer.language = 'German'")
    expect(explorer.get_by_label("Your text")).to_have_value(re.compile("^Wir trinken"))


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    side(explorer, 2).get_by_label("Tokenizer").select_option("pieces")
    explorer.get_by_label("Your text").fill("strawberry ☕\nSüß")
    explorer.locator("summary").click()
    expect(explorer.locator(".cx-text")).to_contain_text("⟨E2⟩")
    side(explorer, 1).get_by_role("button", name="Next").click()
    side(explorer, 1).locator(".cx-word").first.focus()
    desk.page.keyboard.press("ArrowRight")
    second = side(explorer, 1).locator(".cx-word").nth(1)
    assert second.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "tokens") == []
