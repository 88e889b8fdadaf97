"""The clock explorer's page: its timetable against Python's, its behaviour without a kernel, and with one."""

import json
import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from chromium import found_by_axe
from playwright.sync_api import Locator, Page, expect

from course_lib import costs
from course_lib.concepts.c08_rnn_comparison import explorer as clock_module
from course_lib.concepts.c08_rnn_comparison.explorer import MOST_LAYERS, MOST_WORDS, ClockExplorer
from course_lib.widgets import explorer as frame

TITLE = "Clock"
TEXT = "one two one four five"
T, L = 5, 3
WAITING = {"recurrent": costs.recurrent_cells, "transformer": costs.attention_cells}
MEASURE = "On a real machine"
QUESTION = "Point at a box to see the chain that it waits for. Which chain is the longest?"
GAIN = re.compile(r"^Does the Transformer gain anything here\? Press (Play|Next tick)\.$")
NOTHING = "both are done, at the same tick: here the Transformer gains nothing."


def boxes(explorer: Locator, network: str) -> Locator:
    """Layer by layer from below, as in Python; the page shows the last layer on top."""
    return explorer.get_by_role("grid", name=f"Boxes of the {network}").get_by_role("gridcell")


def box(explorer: Locator, network: str, layer: int, word: int, layers: int = L, words: int = T) -> Locator:
    return boxes(explorer, network).nth((layers - 1 - layer) * words + word)


def rows(explorer: Locator, network: str) -> list[str]:
    """What stands in the boxes, from the first layer on."""
    lines = explorer.get_by_role("grid", name=f"Boxes of the {network}").get_by_role("row")
    return [" ".join(line.get_by_role("gridcell").all_text_contents()) for line in reversed(lines.all())]


def said(explorer: Locator) -> Locator:
    return explorer.get_by_role("status").first


def hint(explorer: Locator) -> Locator:
    return explorer.get_by_role("status").nth(1)


def clock(explorer: Locator) -> Locator:
    return explorer.get_by_role("slider", name="Clock")


def choice(explorer: Locator, name: str) -> Locator:
    return explorer.get_by_role("spinbutton", name=f"Number of {name}")


def expect_tick(explorer: Locator, tick: int) -> None:
    expect(clock(explorer)).to_have_attribute("aria-valuetext", f"Tick {tick}")
    expect(choice(explorer, "ticks")).to_have_value(str(tick))


# ------------------------------------------------------------------------------------------ the timetable
PROCESSORS = (1, 2, 3, 5, MOST_WORDS)
TEXTS = [
    "a",
    " the  cat\n\tsat ",
    "w " * 40,
    "ein\u00a0Wort\u2003noch\u3000eins\u1680x\u2028y\u205fz",
    "no\u200bspace \ufeff here\u180eneither",
    "a\x1cb\x1dc\x1ed\x1fe\x85f\x0bg\x0ch",
    "שלום עולם 👨‍👩‍👧‍👦 é",
    "x" * 500,
    "",
    " \n\x1f",
    "🙂" * 2000,
    "🙂" * 2001,
]


def python_says(text: str) -> list[str] | str:
    """The words of a text, or why it is refused."""
    try:
        return ClockExplorer(text).text.split()[:MOST_WORDS]
    except ValueError as error:
        # An empty text has no word: one sentence for both.
        return str(error) if text else "The text has no word: type one."


def load(page: Page) -> None:
    """The page gets to know the functions of the timetable, and draws nothing."""
    for file in (Path(frame.__file__), Path(clock_module.__file__).with_name("timetable")):
        page.add_script_tag(path=file.with_suffix(".js"))


@pytest.mark.parametrize("way", WAITING)
def test_every_timetable_is_pythons(page: Page, way: str) -> None:
    """Who waits for whom, when each box works, and the longest chain."""
    load(page)
    for n, layers, is_writing in product((1, 2, 5, MOST_WORDS), range(1, MOST_LAYERS + 1), (False, True)):
        sizes = {"isRecurrent": way == "recurrent", "words": n, "layers": layers, "isWriting": is_writing}
        runs = page.evaluate(
            "([all, sizes]) => all.map(processors => schedule({ ...sizes, processors }))", [PROCESSORS, sizes]
        )
        cells = [(layer, word) for layer in range(layers) for word in range(n)]
        waits_for = WAITING[way](n, layers, writing=is_writing)
        free = costs.timetable(waits_for)
        for processors, run in zip(PROCESSORS, runs, strict=True):
            ticks = costs.timetable(waits_for, processors)
            assert run["ticks"] == [ticks[cell] for cell in cells]
            assert run["end"] == max(ticks.values())
        assert [{cells[i] for i in needed} for needed in run["waits"]] == [set(waits_for[c]) for c in cells]
        assert run["chains"] == [free[cell] for cell in cells]
        found = page.evaluate("run => run.waits.map((_, i) => [chain(run, i), [...needed(run, i)]])", run)
        for i, (chain, needed) in enumerate(found):
            assert chain[-1] == i
            assert len(chain) == free[cells[i]]
            assert all(cells[before] in waits_for[cells[after]] for before, after in pairwise(chain))
            ancestors, known = [cells[i]], set()
            while ancestors:
                known.add(cell := ancestors.pop())
                ancestors += set(waits_for[cell]) - known
            assert {cells[other] for other in needed} == known


def test_words_are_cut_and_refused_as_in_python(page: Page) -> None:
    load(page)
    limits = ClockExplorer("a").state["limits"]
    found = page.evaluate(
        """([texts, limits]) => texts.map(text => {
            try { return wordsOf(text, limits); } catch (error) { return error.message; }
        })""",
        [TEXTS, limits],
    )
    assert found == [python_says(text) for text in TEXTS]


# ------------------------------------------------------------------------------------------ the page alone
def test_it_opens_where_the_transformer_is_done(alone_page) -> None:
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=3))
    expect(said(explorer)).to_have_text(
        "the Transformer is done; the recurrent network has finished 1 word of 5."
    )
    assert rows(explorer, "Recurrent network") == ["1 2 3 ○ ·", "2 3 ○ · ·", "3 ○ · · ·"]
    assert rows(explorer, "Transformer") == ["1 1 1 1 1", "2 2 2 2 2", "3 3 3 3 3"]
    recurrent, transformer = explorer.locator(".net > p").all()
    expect(recurrent).to_contain_text("6 of 15 boxes")
    expect(transformer).to_contain_text("done after 3 ticks, 5 of 12 processors busy")
    expect(hint(explorer)).to_have_text(QUESTION)
    alone_page.shown(ClockExplorer(TEXT, tick=3), width=390)
    assert explorer.locator(".foot").bounding_box()["y"] < 700
    alone_page.shown(ClockExplorer(TEXT))
    expect(said(explorer)).to_have_text("nothing has happened yet.")
    assert rows(explorer, "Transformer") == ["○ ○ ○ ○ ○", "· · · · ·", "· · · · ·"]


def test_pointing_shows_who_waited_for_whom_and_a_click_keeps(alone_page) -> None:
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=3))

    def chained(network: str, standing: str) -> list[tuple[int, int]]:
        marks = boxes(explorer, network).evaluate_all("cells => cells.map(cell => cell.dataset.chain)")
        found = [i for i, mark in enumerate(marks) if mark == standing]
        return sorted((L - 1 - i // T, i % T) for i in found)

    told = (
        "five, layer 2, waits for 6 boxes in a row in the recurrent network, for 2 in the Transformer. "
        "✓ The longest: 7 ticks at least."
    )
    box(explorer, "Recurrent network", 2, 4).hover()
    expect(hint(explorer)).to_have_text(told)
    assert chained("Recurrent network", "bold") == [(0, 0), (1, 0), *((2, word) for word in range(T))]
    assert chained("Recurrent network", "out") == []
    assert chained("Transformer", "bold") == [(0, 4), (1, 4), (2, 4)]  # straight down
    assert chained("Transformer", "out") == [(2, word) for word in range(4)]
    expect(explorer.locator(".net").first.locator(".thick")).to_have_count(6)
    expect(explorer.locator(".net").last.locator(".thin")).to_have_count(5)
    explorer.locator(".foot").hover()
    expect(hint(explorer)).to_have_text(QUESTION)
    assert chained("Transformer", "out") == []
    # A box that is pointed at and goes, as there are fewer layers.
    explorer.get_by_label("layers").focus()
    box(explorer, "Recurrent network", 2, 4).hover()
    explorer.get_by_label("layers").press("ArrowDown")
    expect(boxes(explorer, "Recurrent network")).to_have_count(2 * T)
    explorer.get_by_label("layers").press("ArrowUp")
    expect(boxes(explorer, "Recurrent network")).to_have_count(3 * T)
    # Kept, while another is only looked at.
    box(explorer, "Transformer", 2, 4).click()
    box(explorer, "Transformer", 0, 1).hover()
    expect(hint(explorer)).to_have_text(
        "two, layer 0, waits for 1 box in the recurrent network, for 0 in the Transformer."
    )
    explorer.locator(".foot").hover()
    expect(hint(explorer)).to_have_text(told)
    explorer.get_by_role("tab", name="Writing").click()
    expect(hint(explorer)).to_have_text(GAIN)
    box(explorer, "Transformer", 0, 2).hover()
    expect(hint(explorer)).to_have_text(
        "one (3), layer 0, waits for 6 boxes in a row in the recurrent network, for 6 in the Transformer."
    )
    # The boxes of the chain are linked, without a line across one.
    paths = (
        explorer.locator(".net").last.locator(".thick").evaluate_all("ps => ps.map(p => p.getAttribute('d'))")
    )
    assert paths == [
        "M0.5 2.5V2H0.5V1.5", "M0.5 1.5V1H0.5V0.5", "M0.5 0.5H1V2.5H1.5",
        "M1.5 2.5V2H1.5V1.5", "M1.5 1.5V1H1.5V0.5", "M1.5 0.5H2V2.5H2.5",
    ]  # fmt: skip


def test_the_sentence_follows_every_choice(alone_page) -> None:
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=3))
    ticks, layers, processors = (choice(explorer, name) for name in ("ticks", "layers", "processors"))
    processors.fill("2")
    expect(said(explorer)).to_have_text(
        "the Transformer has 6 of 15 boxes done; the recurrent network has finished no word of 5."
    )
    for wanted, last, sentence in (
        ("99", 9, "both are done, the Transformer 1 tick earlier."),
        (
            "8",
            8,
            "the Transformer is done; the recurrent network has finished 4 words of 5.",
        ),
    ):
        ticks.fill(wanted)
        expect(said(explorer)).to_have_text(sentence)
        expect(clock(explorer)).to_have_attribute("aria-valuenow", str(last))
        limit = "0 to 9" if wanted == "99" else ""
        assert (ticks.locator("..").get_attribute("data-limit") or "") == limit
    processors.fill("1")
    expect(clock(explorer)).to_have_attribute("aria-valuemax", "15")
    expect(hint(explorer)).to_have_text(GAIN)
    clock(explorer).press("End")
    expect(said(explorer)).to_have_text(NOTHING)
    expect(hint(explorer)).to_have_text(
        "One processor does one box at a time: 15 boxes take 15 ticks, whoever waits for whom."
    )
    # What is emptied, or is no number, is as it was, with Enter and when it is left.
    for key in ("Enter", "Tab"):
        processors.fill("")
        expect(processors).to_have_value("")
        processors.press(key)
        expect(processors).to_have_value("1")
    processors.fill("99")
    expect(processors).to_have_attribute("data-value", "12")
    expect(processors.locator("..")).to_have_attribute("data-limit", "1 to 12")
    expect(said(explorer)).to_have_text("both are done, the Transformer 4 ticks earlier.")
    expect_tick(explorer, 7)
    explorer.get_by_role("tab", name="Writing").click()
    expect(said(explorer)).to_have_text("both have finished 2 words of 5.")
    expect(hint(explorer)).to_have_text(GAIN)
    layers.fill("1")
    expect(said(explorer)).to_have_text(NOTHING)
    expect(hint(explorer)).to_have_text(
        "In both networks each word is made by the top box of the one before: no word can start earlier."
    )
    expect(explorer.locator(".settings")).to_have_text(re.compile("layer‹.*processors$"))
    assert rows(explorer, "Recurrent network") == rows(explorer, "Transformer") == ["1 2 3 4 5"]


def test_the_clock_by_mouse(alone_page) -> None:
    page = alone_page.page
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=3))
    axis = explorer.locator(".axis").bounding_box()
    tiles = [explorer.locator(".half").nth(i).locator("rect") for i in (0, 1)]
    for each, count in zip(tiles, (6, 15), strict=True):
        expect(each).to_have_count(count)
    place = (axis["x"] + axis["width"] * 5.5 / (T + L - 1), axis["y"] + 30)  # it goes to what is needed
    page.mouse.move(*place)
    expect_tick(explorer, 6)
    expect(tiles[0]).to_have_count(14)
    expect(tiles[0].locator("nth=-1")).to_have_attribute("data-now", "")
    explorer.locator(".foot").hover()
    expect_tick(explorer, 3)
    page.mouse.click(*place)
    explorer.locator(".foot").hover()
    expect_tick(explorer, 6)
    # Past the end there is nothing.
    page.mouse.move(axis["x"] + axis["width"] - 3, axis["y"] + 30)
    expect_tick(explorer, 7)
    expect(explorer.get_by_text("done at 7")).to_be_visible()
    page.mouse.move(axis["x"] + 40, axis["y"] + 30)
    page.mouse.down()
    page.mouse.move(axis["x"] - 30, axis["y"] + 30)
    page.mouse.up()
    expect_tick(explorer, 0)
    expect(tiles[0]).to_have_count(0)


def test_it_plays_pauses_and_plays_again(alone_page) -> None:
    page = alone_page.page
    # The test beats the time.
    page.evaluate(
        """() => {
            window.setInterval = (run, ms) => { window.beat = { run, ms }; return 1; };
            window.clearInterval = () => { delete window.beat; };
        }"""
    )

    def wait(beats: int) -> None:
        page.evaluate("beats => { for (let i = 0; i < beats; i += 1) window.beat?.run(); }", beats)

    page.emulate_media(reduced_motion="no-preference")
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=3))
    button = explorer.locator(".play")
    expect(button).to_have_text("Play")
    button.click()
    expect(button).to_have_text("Pause")
    assert page.evaluate("window.beat.ms") == 400
    wait(2)
    expect_tick(explorer, 2)
    button.click()
    wait(2)
    expect_tick(explorer, 2)
    # A choice stops it; a dozen clicks are six times on and off.
    button.click()
    choice(explorer, "layers").fill("2")
    expect(button).to_have_text("Play")
    for _ in range(12):
        button.click()
    wait(2)
    expect_tick(explorer, 2)
    button.press("p")
    wait(20)
    expect_tick(explorer, 6)
    expect(button).to_have_text("Play")
    box(explorer, "Transformer", 1, 3, layers=2).click()
    page.mouse.move(0, 0)
    expect(hint(explorer)).to_contain_text("in the Transformer")
    button.press("p")  # from the start, and with no chain that hides who works
    expect_tick(explorer, 0)
    expect(hint(explorer)).to_have_text(QUESTION)
    wait(1)
    expect_tick(explorer, 1)
    page.emulate_media(reduced_motion="reduce")
    explorer.get_by_role("tab", name="Writing").click()
    expect(button).to_have_text("Next tick")
    button.click()
    wait(9)
    expect_tick(explorer, 2)


def test_keyboard_alone(alone_page) -> None:
    explorer = alone_page.shown(ClockExplorer(TEXT))
    keyboard = alone_page.page.keyboard
    keyboard.press("Tab")
    expect(explorer.get_by_role("tab", name="Reading")).to_be_focused()
    first = [box(explorer, network, L - 1, 0) for network in ("Recurrent network", "Transformer")]
    stops = (
        explorer.get_by_role("button", name="Own text"),
        *(choice(explorer, name) for name in ("layers", "processors", "ticks")),
        explorer.get_by_role("button", name="Next"),
        *first,
        clock(explorer),
        explorer.get_by_role("button", name="As text"),
    )
    for stop in stops:
        keyboard.press("Tab")
        expect(stop).to_be_focused()
    keyboard.press("Shift+Tab")
    for key, tick in (
        ("ArrowRight", 1),
        ("ArrowUp", 2),
        ("ArrowLeft", 1),
        ("End", 7),
        ("ArrowRight", 7),
        ("Home", 0),
        ("ArrowDown", 0),
        ("]", 1),
        ("]", 2),
        ("[", 1),
    ):
        keyboard.press(key)
        expect_tick(explorer, tick)
    for _ in range(2):
        keyboard.press("Shift+Tab")
    expect(first[0]).to_be_focused()
    expect(hint(explorer)).to_contain_text("one (1), layer 2, waits for 2 boxes in a row")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    here = box(explorer, "Recurrent network", 1, 1)
    expect(here).to_be_focused()
    assert here.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    expect(here).to_have_accessible_name("two, layer 1: waits")
    for name in ("ready", "works now, tick 3", "done at tick 3"):
        keyboard.press("]")
        expect(here).to_have_accessible_name(f"two, layer 1: {name}")
    keyboard.press("Enter")
    expect(here).to_have_attribute("aria-selected", "true")
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(hint(explorer)).to_contain_text("two, layer 1, waits for 2 boxes in a row")
    keyboard.press("Escape")
    expect(hint(explorer)).to_have_text(QUESTION)
    explorer.get_by_role("tab", name="Reading").focus()
    keyboard.press("ArrowRight")
    expect(explorer.get_by_role("tab", name="Writing")).to_be_focused()
    expect_tick(explorer, 4)


def test_a_text_of_ones_own(alone_page) -> None:
    explorer = alone_page.shown(ClockExplorer(TEXT, tick=4))
    keyboard = alone_page.page.keyboard
    field, alert = explorer.get_by_label("Your text"), explorer.get_by_role("alert")
    explorer.get_by_role("button", name="Own text").click()
    expect(field).to_have_value(TEXT)
    for bad, message in (
        (" ", "The text has no word: type one."),
        ("w" * 2001, "The text has 2,001 characters, the explorer takes 2,000: shorten it."),
    ):
        field.fill(bad)
        field.press("Enter")
        expect(alert).to_have_text(message)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(boxes(explorer, "Transformer")).to_have_count(T * L)
    keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(alert).to_be_empty()
    explorer.get_by_role("button", name="Own text").click()
    field.fill(f"{'x' * 500} שלום 👨‍👩‍👧‍👦 " + "w " * 13)
    field.press("Enter")
    expect(field).to_be_hidden()
    expect(boxes(explorer, "Transformer")).to_have_count(MOST_WORDS * L)
    expect(hint(explorer)).to_have_text(f"The first 12 of 16 words are read. {QUESTION}")
    expect(explorer.locator(".words").first.locator("bdi").nth(1)).to_have_text("שלום")
    expect(explorer.locator(".cx-text")).to_contain_text(
        f"Reading: {'x' * 23}… | שלום | 👨‍👩‍👧‍👦 | w (4) | w (5)"
    )
    expect_tick(explorer, 4)


def test_nothing_is_cut_or_moves(alone_page) -> None:
    """Whatever is chosen: the same height, nothing beside the page, no two texts over each other."""
    words = "the cat sat on the mat because it was incomprehensibly warm inside"
    explorer = alone_page.shown(ClockExplorer(words, tick=3))
    page, heights = alone_page.page, {}

    def check() -> None:
        for width in (1000, 842, 760, 500, 390, 320):
            page.set_viewport_size({"width": width, "height": 768})
            found = explorer.evaluate(
                """root => {
                    const side = (node, name) => node.getBoundingClientRect()[name];
                    const inside = node => [node, ...node.querySelectorAll("*:not(.how *, svg *)")]
                        .filter(each => each.checkVisibility());
                    const all = inside(root.querySelector(".ex"));
                    const out = all.filter(node => side(node, "right") > side(root, "right") + 0.5);
                    const isCut = node =>
                        node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight;
                    const heads = all.filter(node => node.matches(".net > p, .hint") && isCut(node));
                    const pairs = [[".say", ".hint"], [".hint", ".stage"], [".stage", ".foot"]];
                    const over = pairs.filter(pair => {
                        const [above, below] = pair.map(name => root.querySelector(name));
                        const end = Math.max(...inside(above).map(node => side(node, "bottom")));
                        return end > side(below, "top") + 1;
                    });
                    return { out: [...out, ...heads].map(node => node.outerHTML), over };
                }"""
            )
            assert found == {"out": [], "over": []}, width
            assert page.evaluate("document.documentElement.scrollWidth") == width
            height = explorer.bounding_box()["height"]
            assert heights.setdefault(width, height) == height
        page.set_viewport_size({"width": 1000, "height": 768})

    check()
    assert heights[1000] <= 620
    for mode in ("Writing", "Reading"):
        explorer.get_by_role("tab", name=mode).click()
        for layers, processors in (("4", "12"), ("1", "1")):
            choice(explorer, "layers").fill(layers)
            choice(explorer, "processors").fill(processors)
            clock(explorer).press("End")
            for layer, word in ((0, 9), (int(layers) - 1, 11)):  # the last one's chain is the longest
                box(explorer, "Recurrent network", layer, word, int(layers), 12).click()
                check()
    explorer.get_by_role("tab").last.click()
    check()


def test_an_enlarged_page_shows_both_networks(alone_page) -> None:
    """As large as 1366 by 768 pixels at 200 %."""
    explorer = alone_page.shown(ClockExplorer(tick=3))
    alone_page.page.set_viewport_size({"width": 683, "height": 384})
    for layers in ("3", "4"):
        choice(explorer, "layers").fill(layers)
        last = explorer.locator(".net").last.bounding_box()
        assert last["y"] + last["height"] <= 384
    boxes_of = [each.bounding_box() for each in boxes(explorer, "Transformer").all()]
    assert min(each["height"] for each in boxes_of) >= 14


def test_the_clock_as_text(alone_page) -> None:
    clock = ClockExplorer("the cat sat on the", layers=2, processors=2, tick=3)
    explorer = alone_page.shown(clock)
    box(explorer, "Transformer", 1, 1, layers=2).click()
    explorer.get_by_role("button", name="As text").click()
    expect(explorer.locator(".cx-text")).to_be_visible()
    assert explorer.locator(".cx-text").text_content().split("\n") == [
        "Reading: the (1) | cat | sat | on | the (5)",
        "After 3 ticks the Transformer has 6 of 10 boxes done; the recurrent network has finished 2 words "
        "of 5. 2 layers on 2 processors in each network.",
        "cat, layer 1, waits for 2 boxes in a row in the recurrent network, for 1 in the Transformer.",
        "",
        "Recurrent network: 5 of 10 boxes.",
        "layer 1: 2 3 ○ · ·",
        "layer 0: 1 2 3 ○ ·",
        "Chain: the (1), layer 0; the (1), layer 1; cat, layer 1.",
        "",
        "Transformer: 6 of 10 boxes.",
        "layer 1: 3 ○ ○ ○ ○",
        "layer 0: 1 1 2 2 3",
        "Chain: cat, layer 0; cat, layer 1.",
    ]


def test_what_was_measured(alone_page) -> None:
    """Without a kernel what was recorded, and the words that say so."""
    explorer = alone_page.shown(ClockExplorer())
    explorer.get_by_role("tab", name=MEASURE).click()
    recorded: dict[str, Any] = clock_module.RECORDED
    loop, fused, gpt = (f"{row['ms'][1] / row['ms'][0]:.1f} times" for row in recorded["rows"])
    expect(hint(explorer)).to_have_text(
        f"16 times as many words take the RNN {loop} as long, the LSTM {fused}, the Transformer {gpt}. "
        "With many cores: see Reading."
    )
    lstm, transformer = (f"{row['ms'][1]:.1f} ms" for row in recorded["rows"][1:])
    assert recorded["cores"] == 1
    expect(said(explorer)).to_have_text(
        "On one core nothing runs side by side, so waiting less gains nothing: for 160 words the LSTM, "
        f"a recurrent network, takes {lstm}, the Transformer {transformer}."
    )
    expect(explorer.locator(".source")).to_have_text(
        f"{''.join(recorded['where'])}: one step of training, 3 layers of 33,000 weights."
    )
    widths = explorer.locator(".bars i").evaluate_all("bars => bars.map(bar => bar.offsetWidth)")
    ms = [ms for row in recorded["rows"] for ms in row["ms"]]
    assert widths == pytest.approx([max(widths) * each / max(ms) for each in ms], abs=1)
    for row in recorded["rows"]:
        for each in row["ms"]:
            expect(explorer.locator(".bars")).to_contain_text(f"{each:.1f} ms")
    alone_page.page.set_viewport_size({"width": 390, "height": 700})
    expect(explorer.locator(".bars small")).to_be_visible()
    expect(explorer.locator(".bars small")).to_have_text(
        f"{''.join(recorded['where'])}: one step of training, 3 layers of 33,000 weights."
    )
    alone_page.page.set_viewport_size({"width": 1000, "height": 768})
    # Nobody could measure.
    expect(explorer.get_by_role("button", name="Measure here")).to_be_hidden()
    explorer.get_by_role("tab", name="Reading").click()
    expect(explorer.locator(".bars")).to_be_hidden()


def test_accessible_wide_and_narrow_light_and_dark(alone_page) -> None:
    clock = ClockExplorer(tick=5, processors=4)
    assert alone_page.look(clock, "clock") == []
    # The page that is still there is narrow and dark.
    explorer, page = alone_page.page.locator(".cx"), alone_page.page
    box(explorer, "Transformer", 2, 6, words=10).click()
    page.wait_for_timeout(300)  # what changes colour has changed it
    assert found_by_axe(page, explorer, "a chain in the dark") == []
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(300)
    assert found_by_axe(page, explorer, "a chain in the light") == []
    explorer.get_by_role("tab", name=MEASURE).click()
    page.wait_for_timeout(300)
    assert found_by_axe(page, explorer, "times") == []


# ------------------------------------------------------------------------------------------ with a kernel
def test_in_jupyterlab(desk) -> None:
    """Choices reach Python and come from it, Python measures and says what is wrong, keys stay here."""
    explorer = desk.shown(
        TITLE,
        """
from course_lib.concepts.c08_rnn_comparison import explorer as module
module.ROUNDS = (1, 1)  # once measured is enough
""",
        f"explorer = module.ClockExplorer({TEXT!r}, tick=3)\nexplorer",
    )
    # The styles of JupyterLab leave the boxes where they are.
    sides = boxes(explorer, "Transformer").evaluate_all("nodes => nodes.map(node => node.offsetWidth)")
    assert max(sides) - min(sides) <= 1
    assert box(explorer, "Transformer", 0, 0).bounding_box()["height"] > 20
    explorer.get_by_role("tab", name="Writing").click()
    choice(explorer, "layers").fill("2")
    choice(explorer, "processors").fill("4")
    box(explorer, "Transformer", 1, 0, layers=2).click()
    # In JupyterLab these would add a cell, run one, and leave it.
    for key in ("b", "]", "Enter", "ArrowDown"):
        desk.page.keyboard.press(key)
    expect_tick(explorer, 4)
    assert desk.page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length") == 2
    explorer.get_by_role("button", name="Own text").click()
    explorer.get_by_label("Your text").fill("a b c")
    desk.page.keyboard.press("Enter")
    desk.knows("explorer.text, explorer.layers, explorer.processors", ("a b c", 2, 4))
    desk.knows("explorer.mode, explorer.tick", ("writing", 4))
    desk.run("explorer.mode, explorer.tick = 'reading', 2")
    expect(said(explorer)).to_have_text(
        "the Transformer is done; the recurrent network has finished 1 word of 3."
    )
    explorer.get_by_role("tab", name=MEASURE).click()
    explorer.get_by_role("button", name="Measure here").click()
    expect(explorer.locator(".source")).to_contain_text("Measured on this machine: one step")
    desk.answered(explorer)
    measured = json.loads(desk.run("import json\nprint(json.dumps(explorer.measured))"))
    assert (measured["lengths"], measured["layers"]) == ([3, 48], 2)
    expect(explorer.locator(".bars .stream").first).to_contain_text(f"{measured['rows'][0]['ms'][0]:.1f} ms")
    desk.run("module.alternate = None")
    explorer.get_by_role("button", name="Measure here").click()
    expect(explorer.get_by_role("alert")).to_have_text(re.compile("^Python stopped with TypeError"))
    back = explorer.evaluate("root => getComputedStyle(root).backgroundColor")
    desk.set_theme(dark=True)
    assert explorer.evaluate("root => getComputedStyle(root).backgroundColor") != back
