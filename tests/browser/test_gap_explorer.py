"""The gap explorer: its page without a kernel, against Python, and once in JupyterLab."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorers import ask, letter_model
from playwright.sync_api import Locator, Page, expect

from course_lib import readers
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c07_mlm_vs_next_token import explorer as gap_explorer
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.widgets import explorer as frame

from .conftest import drawn

TITLE = "Gap"
TEXT = "return the value of it"
GAP = 11  # the v of value
# Texts for both, with what else is hidden, and where is asked.
ASKED: list[tuple[str, list[tuple[list[int], int]]]] = [
    ("The value", [([], 0), ([], 1), ([2, 5], 3), ([0, 1], 2), ([0, 1], 1), ([3, 4, 8], 4)]),
    ("two cafés, one café", [([], 16)]),
    ("a", [([], 0)]),
    ("ab", [([0], 1)]),
    ("\n\\ \"~' {}", [([0], 3)]),
    ("x" * 34, []),
]
REFUSED = ["", "x" * 2001, "שלום טוב", "日本"]


class AnyLetters:
    """Whatever is written, a token for each character."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % 26 for letter in text]

    def pieces(self, text: str) -> list[str]:
        return [*text]


@pytest.fixture(scope="module")
def both_readers() -> dict[str, tuple]:
    before, both, _ = readers.load_readers()
    return {"one side": (before, Characters()), "two sides": (both, Characters())}


@pytest.fixture(scope="module")
def gap(both_readers) -> GapExplorer:
    """Not to be changed: that it is asked for more does no harm."""
    return GapExplorer(both_readers, TEXT, hidden=[GAP])


def other(both_readers: dict, text: str) -> GapExplorer:
    """What Python would answer to another text."""
    explorer = GapExplorer(both_readers, "a")
    explorer.text = text
    return explorer


@pytest.fixture
def shown(alone_page, gap: GapExplorer) -> Locator:
    return alone_page.shown(gap)


def tokens(explorer: Locator) -> Locator:
    return explorer.locator("button.t")


def lists(explorer: Locator) -> Locator:
    return explorer.locator(".lists > div")


def said(explorer: Locator) -> Locator:
    return explorer.locator(".say p")


def away(explorer: Locator) -> None:
    """Point at nothing."""
    explorer.locator(".foot").hover()


def percent(p: float) -> str:
    """As the page writes shares."""
    if p < 0.0005:
        return "< 0.1 %"
    if p >= 0.9995:
        return "100 %"
    return f"{100 * p:.1f} %" if p >= 0.99 or p < 0.0995 else f"{100 * p:.0f} %"


def shares(gap: GapExplorer, token: int) -> list[str]:
    """What the three ways give to what stands there."""
    ways = (
        gap.answers["one side"][""][token],
        gap.tried["one side"][f";{token}"],
        gap.answers["two sides"][""][token],
    )
    return [percent(2 ** -way["bits"]) for way in ways]


def sentence(gap: GapExplorer, token: int) -> re.Pattern[str]:
    left, tried, both = map(re.escape, shares(gap, token))
    tail = f" {left} from the left alone, {tried} after trying it; two sides {both}."
    return re.compile(rf"^One side gives .*{tail}$")


def own_text(explorer: Locator, text: str) -> None:
    explorer.get_by_role("button", name="Own text").click()
    explorer.get_by_label("Your text").fill(text)
    explorer.get_by_label("Your text").press("Enter")


# ---------------------------------------------------------------------------------------------- the numbers


def alike(found: Any, expected: Any) -> bool:
    """The page counts as Python does: tokens, passes and ranks exactly, shares and surprises nearly."""
    if expected is None:
        return found is None
    assert [piece for piece, _ in found["rows"]] == [piece for piece, _ in expected["rows"]]
    for name, tolerance in (("rows", 1e-5), ("bits", 1e-3)):
        values = [
            [share for _, share in each["rows"]] if name == "rows" else each["bits"]
            for each in (found, expected)
        ]
        np.testing.assert_allclose(*values, atol=tolerance)
    names = ("rank", "passes", "tried")
    return [found.get(name) for name in names] == [expected.get(name) for name in names]


def test_the_pages_reader_answers_as_python(page: Page, both_readers) -> None:
    gap = GapExplorer(both_readers, "a")
    sources = (
        Path(frame.__file__).with_suffix(".js"),
        Path(gap_explorer.__file__).with_name("reader.js"),
    )
    page.add_script_tag(content="\n".join(source.read_text(encoding="utf-8") for source in sources))
    page.evaluate(
        """values => {
            const model = { get: (name) => values[name] };
            window.answer = async (kind, fields) => {
                Object.assign(values, await readersOf(model)[kind](fields));
                return { ...values, weights: null };
            };
        }""",
        {name: value for name, value in gap.get_state().items() if not name.startswith("_")},
    )
    for text, asked in ASKED:
        values = page.evaluate("text => answer('text', { text })", text)
        assert ask(gap, "text", text=text) == ""
        assert values["state"]["text"] == gap.text
        for name in ("views", "hidden", "token"):
            assert values[name] == getattr(gap, name)
        for others, token in asked:
            question = {"text": text, "model": "one side", "others": others, "token": token}
            values = page.evaluate("question => answer('find', question)", question)
            assert ask(gap, "find", **question) == ""
        for trait in ("answers", "tried"):
            for name, expected in getattr(gap, trait).items():
                assert {*values[trait][name]} == {*expected}
                for key, answer in expected.items():
                    found = values[trait][name][key]
                    pairs = [(found, answer)] if trait == "tried" else zip(found, answer, strict=True)
                    assert all(alike(one, other) for one, other in pairs), (text, name, key)


def test_what_is_refused_is_refused_in_the_same_words(shown: Locator, both_readers) -> None:
    python = GapExplorer(both_readers, "a")
    before = said(shown).text_content()
    for text in REFUSED:
        error = ask(python, "text", text=text)
        assert error
        own_text(shown, text)
        expect(shown.get_by_role("alert")).to_have_text(error)
        expect(shown.get_by_label("Your text")).to_have_value(text)  # to be mended
        shown.page.keyboard.press("Escape")
        expect(tokens(shown)).to_have_count(len(TEXT))
        expect(said(shown)).to_have_text(before or "")


# ---------------------------------------------------------------------------------------------- the page


def test_it_opens_with_the_gap_and_what_fills_it(shown: Locator, gap: GapExplorer) -> None:
    expect(said(shown)).to_have_text(sentence(gap, GAP))
    token = tokens(shown).nth(GAP)
    expect(token).to_have_attribute("aria-pressed", "true")
    assert token.locator("b").evaluate("node => getComputedStyle(node).color") == "rgba(0, 0, 0, 0)"
    ways = [
        gap.answers["one side"][""][GAP],
        gap.tried["one side"][f";{GAP}"],
        gap.answers["two sides"][""][GAP],
    ]
    assert ways[1]["passes"] == ways[1]["tried"] + 1
    heads = [
        "The left side alone",
        "Both sides, by trying",
        "Both sides at once",
    ]
    assert ways[1]["tried"] == gap_explorer.TRIED  # what stood there was among the likeliest
    under = [
        "one side",
        "one side: 20 likeliest and what stood there",
        "two sides, trained to read both sides",
    ]
    passes = ["1 pass", f"{ways[1]['passes']} passes", "1 pass"]
    for n, way in enumerate(ways):
        column = lists(shown).nth(n)
        expect(column.locator(".head .long")).to_have_text([heads[n], passes[n]])
        expect(column.locator("small .long")).to_have_text(under[n])
        rows = way["rows"] if way["rank"] <= 7 else [*way["rows"][:6], ["v", 2 ** -way["bits"]]]
        names = {" ": "a space", "\n": "a new line"}
        shown_names = [names.get(piece, piece if piece.isalnum() else f"“{piece}”") for piece, _ in rows]
        expect(column.locator("li:visible .name")).to_have_text([*shown_names, re.compile(r"^\d+ others$")])
        rest = 1 - sum(share for _, share in rows)
        drawn = column.locator("li:visible .bar i").evaluate_all("bars => bars.map(bar => bar.style.width)")
        widths = [float(width.removesuffix("%")) / 100 for width in drawn]
        np.testing.assert_allclose(widths, [*(share for _, share in rows), rest], atol=1e-4)
        own = column.locator("[data-own]")
        expect(own).to_have_count(1)
        expect(own.locator(".name")).to_have_text("v")
        expect(own.locator(".share")).to_contain_text(percent(2 ** -way["bits"]))
    # The surprises over the text.
    heights = token.locator(".bits i").evaluate_all("bars => bars.map(bar => bar.style.height)")
    expected = [min(way["bits"], 7) / 7 for way in ways]  # of the logarithm of 97 tokens
    np.testing.assert_allclose([float(h.removesuffix("%")) / 100 for h in heights], expected, atol=1e-3)
    names = ("from the left", "by trying", "from both sides")
    expect(shown.locator(".axis b")).to_have_text([f"{way['bits']:.1f}" for way in ways])
    expect(shown.locator(".axis .long")).to_have_text([*names])
    told = ", ".join(f"{way['bits']:.1f} bits {name}" for name, way in zip(names, ways, strict=True))
    expect(token).to_have_attribute("aria-label", f"v, token {GAP + 1}: surprise {told}")


def test_pointing_shows_and_a_click_keeps(shown: Locator, gap: GapExplorer) -> None:
    token = tokens(shown)
    token.nth(9).hover()
    expect(said(shown)).to_have_text(sentence(gap, 9))
    expect(token.nth(9)).to_have_attribute("data-hidden", "")
    expect(token.nth(GAP)).not_to_have_attribute("data-hidden", "")
    away(shown)
    expect(said(shown)).to_have_text(sentence(gap, GAP))
    token.nth(9).click()
    away(shown)
    expect(said(shown)).to_have_text(sentence(gap, 9))
    expect(shown.locator(".t[aria-pressed=true]")).to_have_count(1)
    for arrow, place in (("›", 10), ("›", 11), ("‹", 10)):
        shown.locator(".step button", has_text=arrow).click()
        expect(said(shown)).to_have_text(sentence(gap, place))
    # A second click shows the token again: then the text's greatest surprise is told.
    token.nth(10).click()
    away(shown)
    bits = [answer["bits"] for answer in gap.answers["one side"][""][1:]]
    most = f"surprises one side most, from the left: {max(bits):.1f} bits."
    expect(said(shown)).to_have_text(re.compile(f"^Nothing is hidden. .* {re.escape(most)}$"))
    expect(shown.locator(".lists li:visible")).to_have_count(0)


def test_lines_follow_the_numbers_and_the_word_that_is_pointed_at(shown: Locator, gap: GapExplorer) -> None:
    shown.page.emulate_media(reduced_motion="no-preference")
    begins = """node => [...node.querySelectorAll(".threads path:not(.stem)")].map(path => {
        const at = node.querySelector(".threads").getBoundingClientRect();
        const [x, y] = path.getAttribute("d").match(/[\\d.]+/g).map(Number);
        const rows = [...node.querySelectorAll(".lists li:not([hidden])")];
        const row = rows.find(row => {
            const { left, right, top, bottom } = row.getBoundingClientRect();
            const [x1, y1] = [at.left + x, at.top + y];
            return left <= x1 && x1 <= right + 8 && top <= y1 && y1 <= bottom;
        });
        return at.left + x - row.querySelector(".share").getBoundingClientRect().right;
    })"""
    for place in (9, GAP, 3):
        tokens(shown).nth(place).click()
        away(shown)
        expect(said(shown)).to_have_text(sentence(gap, place))
        shown.page.wait_for_timeout(600)
        found = shown.evaluate(begins)
        assert found
        assert all(0 <= distance <= 8.5 for distance in found), (place, found)
    marked = shown.locator(".threads .same")
    n = marked.count()
    first = lists(shown).first.locator("li:not([data-own])").first
    first.hover()
    expect(marked).not_to_have_count(n)
    away(shown)
    expect(marked).to_have_count(n)


def test_a_listed_word_stands_in_the_gap_with_its_shares(shown: Locator, gap: GapExplorer) -> None:
    hint = shown.locator(".hint")
    before, height = hint.text_content() or "", shown.bounding_box()["height"]
    found = [
        gap.answers["one side"][""][GAP],
        gap.tried["one side"][f";{GAP}"],
        gap.answers["two sides"][""][GAP],
    ]
    names = ("from the left", "by trying", "from both sides")
    shown_rows = [way["rows"] if way["rank"] <= 7 else way["rows"][:6] for way in found]
    for n, (piece, _) in enumerate(shown_rows[0]):
        if piece == TEXT[GAP]:
            continue
        lists(shown).first.locator("li").nth(n).hover()
        parts = []
        for rows, way, name in zip(shown_rows, found, names, strict=True):
            share = dict(rows).get(piece)
            # What is not listed has less than the last of the likeliest.
            least = max(way["rows"][-1][1], 0.001)
            parts.append(f"{f'< {percent(least)}' if share is None else percent(share)} {name}")
        expect(hint).to_contain_text(f": {', '.join(parts)}.")
        assert shown.bounding_box()["height"] == height
        shown_piece = tokens(shown).nth(GAP).get_attribute("data-tried")
        assert shown_piece == {" ": "␣", "\n": "↵"}.get(piece, piece)
    away(shown)
    expect(hint).to_have_text(before)
    expect(shown.locator("[data-tried]")).to_have_count(0)
    # A finger has no hover: a tap keeps it until something else is chosen.
    lists(shown).first.locator("li").nth(1).dispatch_event("click")
    expect(shown.locator("[data-tried]")).to_have_count(1)
    tokens(shown).nth(3).click()
    expect(shown.locator("[data-tried]")).to_have_count(0)


def verdict(gap: GapExplorer, place: int) -> str:
    """What is said of a token that was chosen."""
    answers = (
        gap.answers["one side"][""][place],
        gap.tried["one side"][f";{place}"],
        gap.answers["two sides"][""][place],
    )
    if answers[0] is None:
        return ""
    left, *both = (2 ** -answer["bits"] for answer in answers)
    name = "a space" if TEXT[place] == " " else TEXT[place]
    if left >= 0.8:
        return f"✓ {name}: the left side settles it, {percent(left)}."
    n_tried = min(gap_explorer.TRIED, len(readers.ALPHABET))
    is_added = answers[1]["tried"] > n_tried
    if max(both[1:] if is_added else both) < 0.8 <= max(both):
        added = f"added to them by us it has {percent(max(both))}, {percent(left)} from the left."
        return f"{name}: not among the likeliest; {added}"
    if max(both) < 0.8:
        by = "by trying" if both[0] >= both[1] else "from both sides"
        shares_told = f"{percent(left)} from the left, {percent(max(both))} {by}"
        return f"{name}: neither settles it, {shares_told}."
    if left >= 0.2:
        return f"{name}: both sides settle it, {percent(max(both))}, but the left side has {percent(left)}."
    return f"✓ {name}: only both sides settle it, {percent(left)} to {percent(max(both))}."


def test_the_question_is_answered(shown: Locator, gap: GapExplorer) -> None:
    hint, token = shown.locator(".hint"), tokens(shown)
    expect(hint).to_have_text(
        "Which token does the left side settle alone (80 % or more), and which only both together? "
        "Point at one; a click keeps it."
    )
    told = [verdict(gap, place) for place in range(len(TEXT))]
    kinds = ("the left side settles", "only both sides", "both sides settle it,", "neither settles")
    first = [next(i for i, each in enumerate(told) if kind in each) for kind in kinds]
    for place in first:
        token.nth(place).hover()
        expect(hint).to_have_text(f"{told[place]} A click keeps it.".strip())
    away(shown)
    expect(hint).to_contain_text("and which only both together?")  # the first gap was given
    token.nth(first[0]).click()
    token.nth(first[1]).hover()  # how to keep one is known by now
    expect(hint).to_have_text(told[first[1]])
    away(shown)
    expect(hint).to_have_text(f"{told[first[0]]} Which token do only both sides settle?")
    token.nth(first[3]).click()
    away(shown)
    expect(hint).to_have_text(f"{told[first[3]]} Which token do only both sides settle?")
    token.nth(first[1]).click()
    away(shown)
    expect(hint).to_have_text(f"{told[first[1]]} Both are found.")
    # The bounds are the page's.
    source = Path(gap_explorer.__file__).with_suffix(".js").read_text(encoding="utf-8")
    assert "const SETTLED = 0.8;" in source
    assert "const LOST = 0.2;" in source


def test_each_token_has_a_place_for_its_bars_and_for_a_finger(alone_page) -> None:
    """And the lists stand at one height, below a sentence of one line."""
    merged = BPETokenizer(
        [*"abcdefghijklmnopqrstuvwxyz", ".", "Ġ", "ca", "Ġi", "Ġin"], [("c", "a"), ("Ġ", "i"), ("Ġi", "n")]
    )
    model = GPT(LlamaConfig(vocab_size=31, max_seq_len=61, d_model=8, n_layers=1, n_heads=2)).eval()
    shown = alone_page.shown(GapExplorer({"letters": (model, merged)}, "ca i in ca.", hidden=[2]))
    shown.page.set_viewport_size({"width": 992, "height": 700})
    boxes = [each.bounding_box() for each in tokens(shown).all()]
    assert all(box["width"] >= 24 for box in boxes)
    bars = shown.locator(".bits").evaluate_all(
        """all => all.map(bits => [...bits.querySelectorAll("i:not([hidden])")])
            .filter(bars => bars.length)
            .map(bars => [bars[0], bars.at(-1)].map(bar => bar.getBoundingClientRect()))
            .map(([first, last]) => [first.left, last.right])"""
    )
    assert all(one[1] < other[0] for one, other in pairwise(bars))
    tops = (
        lists(shown)
        .locator("ol")
        .evaluate_all("lists => lists.map(list => list.getBoundingClientRect().top)")
    )
    assert len({*tops}) == 1
    assert said(shown).bounding_box()["height"] < 30
    assert said(shown).bounding_box()["y"] - shown.bounding_box()["y"] < 24


def test_what_was_added_to_the_tried_is_said(alone_page, monkeypatch) -> None:
    monkeypatch.setattr(gap_explorer, "TRIED", 12)
    gap = GapExplorer({"letters": letter_model()}, "acatran", hidden=[4])
    tried = gap.tried["letters"]
    shown = alone_page.shown(gap)
    for place in range(1, 7):
        tokens(shown).nth(place).click()
        among = (
            f", {'acatran'[place]} added" if tried[f";{place}"]["tried"] == 13 else " and what stood there"
        )
        expect(lists(shown).nth(1).locator("small .long")).to_have_text(f"letters: 12 likeliest{among}")
    assert {tried[f";{place}"]["tried"] for place in range(1, 7)} == {12, 13}


def test_keyboard_alone(shown: Locator, gap: GapExplorer) -> None:
    keyboard, token = shown.page.keyboard, tokens(shown)
    stops = (
        shown.get_by_role("radio", name="One gap"),
        shown.get_by_role("button", name="Own text"),
        token.nth(GAP),
        shown.get_by_role("button", name="As text"),
    )
    shown.page.evaluate("document.activeElement.blur()")
    for stop in stops:
        keyboard.press("Tab")
        expect(stop).to_be_focused()
    keyboard.press("Shift+Tab")
    ring = "([node, name]) => getComputedStyle(node)[name]"
    colours = [
        shown.page.evaluate(ring, [node.element_handle(), name])
        for node, name in ((token.nth(GAP).locator("b"), "outlineColor"), (said(shown), "color"))
    ]
    assert colours[0] == colours[1]  # else it is the frame of the gap
    keyboard.press("ArrowLeft")
    expect(said(shown)).to_have_text(sentence(gap, GAP - 1))  # for a look
    expect(token.nth(GAP)).to_have_attribute("aria-pressed", "true")
    keyboard.press("h")
    expect(token.nth(GAP - 1)).to_have_attribute("aria-pressed", "true")
    keyboard.press("Home")
    keyboard.press("Space")
    expect(token.first).to_have_attribute("aria-pressed", "true")
    expect(said(shown)).to_contain_text(" no share, as nothing stands before it; two sides ")
    expect(lists(shown).first).to_contain_text("No token stands before it, so there is nothing to go by.")
    expect(lists(shown).nth(1)).to_contain_text("What is tried comes from the list to the left")
    keyboard.press("End")
    keyboard.press("Enter")
    expect(token.last).to_have_attribute("aria-pressed", "true")
    keyboard.press("Tab")
    expect(said(shown)).to_have_text(sentence(gap, len(TEXT) - 1))
    keyboard.press("Shift+Tab")
    expect(token.last).to_be_focused()
    keyboard.press("h")
    expect(shown.locator(".t[aria-pressed=true]")).to_have_count(0)


def test_several_gaps(alone_page, both_readers) -> None:
    gap = GapExplorer(both_readers, "the values", hidden=[5])
    shown = alone_page.shown(gap)
    token, pressed = tokens(shown), shown.locator(".t[aria-pressed=true]")
    shown.get_by_role("radio", name="Several").click()
    token.nth(1).click()
    token.nth(3).click()
    away(shown)
    expect(pressed).to_have_count(3)
    assert ask(gap, "find", text="the values", model="one side", others=[1, 3, 5], token=3) == ""
    answers = [gap.answers[name]["1,3,5"] for name in ("one side", "two sides")]
    expect(said(shown)).to_contain_text(f" {percent(2 ** -answers[0][3]['bits'])} from the left alone, ")
    expect(said(shown)).to_contain_text(f"; two sides {percent(2 ** -answers[1][3]['bits'])}.")
    expect(lists(shown).first.locator(".passes")).to_have_text("2 passes")
    # Another gap is followed by a click, and shown again by the next one.
    token.nth(1).click()
    expect(token.nth(1)).to_have_attribute("data-followed", "")
    expect(pressed).to_have_count(3)
    token.nth(1).click()
    expect(pressed).to_have_count(2)
    for place in (0, 1, 2, 4, 6, 7, 8):
        token.nth(place).click()
    expect(pressed).to_have_count(8)
    expect(shown.locator(".hint")).to_have_text("At most 8 of these tokens can be hidden; one must stay.")
    shown.get_by_role("button", name="Show all").click()
    expect(pressed).to_have_count(0)
    token.nth(4).click()
    token.nth(6).click()
    shown.get_by_role("radio", name="One gap").click()
    away(shown)
    expect(pressed).to_have_count(1)
    expect(said(shown)).to_have_text(sentence(gap, 6))


def test_own_texts(shown: Locator, both_readers) -> None:
    text = "two cafés, one 🙂 and the tabs\t of all"
    own_text(shown, text)
    expect(tokens(shown)).to_have_count(32)
    expect(shown.locator(".hint")).to_have_text(
        "Left out, as the model knows only the signs of an English keyboard: é 🙂 U+0009. "
        "The first 32 of 34 tokens are read."
    )
    expected = other(both_readers, text)
    expect(said(shown)).to_have_text(sentence(expected, 16))
    # What nobody has tried so far is tried by the page.
    tokens(shown).nth(9).click()
    expected.token = 9
    expect(said(shown)).to_have_text(sentence(expected, 9))
    tokens(shown).nth(20).hover()
    own_text(shown, "a")  # it has no such token
    expect(shown.get_by_role("status")).to_be_empty()
    tokens(shown).first.click()
    expect(shown.locator(".t[aria-pressed=true]")).to_have_count(0)
    expect(shown.locator(".hint")).to_contain_text("one must stay")


def test_as_text(shown: Locator, gap: GapExplorer) -> None:
    text = shown.locator(".cx-text")
    expect(text).to_contain_text("return the ▢alue of it")
    left, tried, both = shares(gap, GAP)
    expect(text).to_contain_text(
        f"One side gives v {left} from the left alone, {tried} after trying it; two sides {both}."
    )
    expect(text).to_contain_text(
        "Both sides, by trying, one side: 20 likeliest and what stood there, 21 passes: "
    )
    bits = " | ".join(
        f"{'a space' if letter == ' ' else letter} {answer['bits']:.1f}"
        for letter, answer in zip(TEXT, gap.answers["two sides"][""], strict=True)
    )
    expect(text).to_contain_text(f"Surprise in bits, two sides from both sides: {bits}")
    tokens(shown).nth(GAP).click()
    expect(text).to_contain_text(TEXT)


def test_a_page_offers_only_what_it_can_answer(alone_page) -> None:
    shown = alone_page.shown(GapExplorer({"letters": letter_model()}, "acatran"))
    tokens(shown).nth(5).click()
    expect(said(shown)).to_contain_text("Letters gives ")
    expect(lists(shown).locator("li:visible")).to_have_count(16)
    expect(shown.locator(".top")).to_be_hidden()  # several gaps, own texts
    expect(shown.locator(".foot .source")).to_contain_text("Several gaps and own texts need Python.")
    expect(shown.locator(".hint")).to_contain_text("settle")
    expect(shown.get_by_role("alert")).to_be_empty()


def test_what_nobody_tried_is_left_out(alone_page, monkeypatch) -> None:
    monkeypatch.setattr(gap_explorer, "AT_ONCE", 0)
    shown = alone_page.shown(GapExplorer({"letters": letter_model()}, "acatran", hidden=[4]))
    expect(said(shown)).to_contain_text(" after trying it.")
    expect(shown.locator(".hint")).to_contain_text("Both sides are recorded at r.")
    tokens(shown).nth(2).click()
    expect(said(shown)).to_have_text(re.compile(r"^Letters gives [^;,…]* % from the left alone\.$"))
    expect(lists(shown).nth(0).locator("li:visible")).to_have_count(8)
    expect(lists(shown).nth(1)).to_contain_text("On this page nothing was tried at this token.")
    tokens(shown).first.click()
    expect(said(shown)).to_have_text(re.compile("nothing stands before it\\.$"))
    expect(shown.get_by_role("alert")).to_be_empty()


def test_several_gaps_that_were_chosen_in_python_stay(alone_page) -> None:
    shown = alone_page.shown(GapExplorer({"letters": letter_model()}, "acatran", hidden=[2, 5]))
    pressed = shown.locator(".t[aria-pressed=true]")
    expect(said(shown)).to_contain_text(" after trying it.")
    tokens(shown).nth(3).click()  # three gaps were not asked about
    expect(pressed).to_have_count(2)
    tokens(shown).nth(5).click()
    away(shown)
    expect(said(shown)).to_have_text(re.compile(r"^Letters gives .* % from the left alone\.$"))
    shown.get_by_role("radio", name="One gap").click()
    expect(pressed).to_have_count(1)
    expect(said(shown)).to_contain_text(" after trying it.")


def test_what_was_refused_is_forgotten_with_its_text(shown: Locator) -> None:
    own_text(shown, "")
    expect(shown.get_by_role("alert")).to_contain_text("The text is empty")
    shown.get_by_role("button", name="Cancel").click()
    expect(shown.get_by_role("alert")).to_be_empty()


def test_models_that_cut_otherwise_are_chosen(alone_page, both_readers) -> None:
    model = GPT(LlamaConfig(vocab_size=28, max_seq_len=7, d_model=8, n_layers=1, n_heads=2))
    words = model, BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "ca"], [("c", "a")])
    shown = alone_page.shown(GapExplorer({**both_readers, "words": words}, "acatran", hidden=[6]))
    models = shown.get_by_label("Models")
    expect(models.locator("option")).to_have_text(["one side, two sides", "words"])
    expect(lists(shown)).to_have_count(3)
    models.select_option("words")
    expect(lists(shown)).to_have_count(2)
    expect(tokens(shown)).to_have_text(["a", "ca", "t", "r", "a", "n"])
    expect(shown.get_by_role("status")).to_contain_text("surprises words most")  # it has no seventh token
    models.select_option("one side, two sides")
    expect(tokens(shown).nth(6)).to_have_attribute("aria-pressed", "true")


# ------------------------------------------------------------------------------------- size and access


def test_accessible_wide_and_narrow_in_both_themes(alone_page, gap: GapExplorer) -> None:
    assert alone_page.look(gap, "gap") == []
    # All is on the first screen of a telephone, which it was shown on last.
    box = alone_page.page.locator(".lists").bounding_box()
    assert box["y"] + box["height"] <= 700


def test_it_neither_grows_nor_jumps(alone_page, gap: GapExplorer) -> None:
    shown = alone_page.shown(gap)
    height = "node => node.getBoundingClientRect().height"
    first = shown.evaluate(height)
    assert first <= 620
    places = [0, 5, 13, len(TEXT) - 1]
    for act in (
        *(lambda place=place: tokens(shown).nth(place).click() for place in places),
        lambda: tokens(shown).nth(places[-1]).click(),  # nothing is hidden
        lambda: shown.get_by_role("radio", name="Several").click(),
        *(lambda place=place: tokens(shown).nth(place).click() for place in places),
        lambda: shown.get_by_role("button", name="Own text").click(),
    ):
        act()
        assert shown.evaluate(height) == first


def test_on_a_telephone_nothing_jumps_either(shown: Locator) -> None:
    shown.page.set_viewport_size({"width": 390, "height": 700})
    drawn(shown.page)
    first = shown.bounding_box()["height"]
    for place in (0, 3, 5, 13, len(TEXT) - 1):
        tokens(shown).nth(place).click()
        assert shown.bounding_box()["height"] == first
        away(shown)
        assert shown.bounding_box()["height"] == first


@pytest.mark.parametrize("name", ["five lists", "a long word", "from right to left"])
def test_nothing_is_too_wide(alone_page, both_readers, name: str) -> None:
    outside = """node => {
        const box = node.getBoundingClientRect();
        return [...node.querySelectorAll(".ex *:not(.unseen)")].filter(each => {
            const { left, right, width } = each.getBoundingClientRect();
            return width && (left < box.left - 1 || right > box.right + 1);
        }).map(each => each.outerHTML.slice(0, 100));
    }"""
    letters, tokenizer = letter_model()
    models, text = {
        "five lists": ({**both_readers, "letters": (letters, tokenizer)}, "acatran"),
        "a long word": ({"letters": (letters, AnyLetters())}, "w" * 500),
        "from right to left": ({"letters": (letters, AnyLetters())}, "שלום 🙂 e\u0301"),
    }[name]
    shown = alone_page.shown(GapExplorer(models, text))
    for width in (760, 500, 320):
        shown.page.set_viewport_size({"width": width, "height": 700})
        for place in (0, -1):
            tokens(shown).nth(place).click()
            expect(tokens(shown).nth(place)).to_have_attribute("aria-pressed", "true")
            assert shown.evaluate(outside) == []
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width


def test_clicks_that_come_faster_than_answers(shown: Locator, both_readers) -> None:
    own_text(shown, "a number")
    expect(tokens(shown)).to_have_count(8)
    for n in range(12):
        tokens(shown).nth(n % 7).click(delay=0)
    away(shown)
    expected = other(both_readers, "a number")
    expected.token = 11 % 7
    expect(said(shown)).to_have_text(sentence(expected, 11 % 7))
    expect(shown.get_by_role("alert")).to_be_empty()


# ---------------------------------------------------------------------------------------------- in JupyterLab

CELL = """
import torch
from explorers import letter_model
from course_lib.concepts.c07_mlm_vs_next_token.explorer import GapExplorer
explorer = GapExplorer({"letters": letter_model()}, "acatran", hidden=[2])
explorer
"""


def test_python_answers_where_it_is_there(desk) -> None:
    tests = str(Path(__file__).parents[1])
    shown = desk.shown(TITLE, f"import sys\nsys.path.insert(0, {tests!r})", CELL)
    shown.get_by_role("radio", name="Several").click()
    tokens(shown).nth(5).click()
    desk.knows("explorer.hidden, explorer.token", ([2, 5], 5))
    found = json.loads(desk.run("import json; print(json.dumps(explorer.tried['letters']['2;5']))"))
    expect(said(shown)).to_contain_text(f", {percent(2 ** -found['bits'])} after trying.")  # in short
    # Keys stay here.
    desk.page.keyboard.press("h")
    desk.knows("explorer.hidden", [2])
    own_text(shown, "dogma")
    expect(tokens(shown)).to_have_count(5)
    desk.knows("explorer.text, explorer.hidden", ("dogma", [2]))
    own_text(shown, "")
    expect(shown.get_by_role("alert")).to_have_text("The text is empty: type at least one character.")
    desk.page.keyboard.press("Escape")
    # What Python chooses is shown.
    desk.run("explorer.hidden, explorer.token = [1], 1")
    expect(tokens(shown).nth(1)).to_have_attribute("aria-pressed", "true")
