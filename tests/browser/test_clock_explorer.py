"""The clock explorer in JupyterLab, by mouse and by keyboard alone."""

import re

import pytest
from playwright.sync_api import Locator, expect

TITLE = "Clock"
TEXT = "one two one four five"
T, L = 5, 3
# Times are not compared here: once measured is enough.
IMPORT = """
from course_lib.concepts.c08_rnn_comparison import explorer as module
from course_lib.concepts.c08_rnn_comparison.explorer import ClockExplorer
module.ROUNDS = (1, 1)
"""
CELL = f"""
explorer = ClockExplorer({TEXT!r})
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, IMPORT, CELL)


def cells(explorer: Locator, network: str) -> Locator:
    return explorer.get_by_role("grid", name=f"Boxes of the {network}").get_by_role("gridcell")


def clock(explorer: Locator) -> Locator:
    return explorer.get_by_label("Clock", exact=True)


def status(explorer: Locator, number: int) -> Locator:
    """Of the recurrent network (0) and the Transformer (1)."""
    return explorer.locator(".cx-summary").nth(number)


def test_the_clock_is_turned_by_mouse(desk, explorer: Locator) -> None:
    recurrent, attention = cells(explorer, "Recurrent network"), cells(explorer, "Transformer")
    expect(recurrent).to_have_count(T * L)
    expect(recurrent).to_have_text(["○", *"·" * (T * L - 1)])
    expect(attention).to_have_text([*"○" * T, *"·" * (T * L - T)])
    guess = explorer.get_by_label(re.compile("Your guess"))
    guess.fill("4")
    step = explorer.get_by_role("button", name="Next tick")
    for _ in range(L):
        expect(explorer).not_to_contain_text("it took")
        step.click()
    expect(explorer.get_by_text("You said 4 for the Transformer; it took 3.", exact=True)).to_be_visible()
    expect(status(explorer, 0)).to_have_text("Boxes at work: 3, done: 3, ready: 3, waiting: 6.")
    expect(status(explorer, 1)).to_have_text(
        "Done after 3 ticks. The processors were at work for 42 % of the time."
    )
    expect(attention).to_have_text([str(layer + 1) for layer in range(L) for _ in range(T)])
    expect(recurrent.nth(2)).to_have_attribute("data-standing", "work")
    expect(explorer.locator(".cx-ended")).to_be_hidden()
    explorer.get_by_role("button", name="To the end").click()
    expect(recurrent).to_have_text([str(layer + token + 1) for layer in range(L) for token in range(T)])
    expect(status(explorer, 0)).to_contain_text("Done after 7 ticks.")
    expect(step).to_have_attribute("aria-disabled", "true")
    step.press("Enter")
    explorer.get_by_role("button", name="Back").click()
    expect(clock(explorer)).to_have_attribute("aria-valuetext", "Tick 6")
    expect(explorer.locator(".cx-ended tbody tr")).to_have_text(["reading31273"])
    # What a box needs, in both networks.
    recurrent.nth(2 * T + 3).hover()
    expect(explorer.locator("[data-mark=result]")).to_have_count(2)
    for network, needed in ((recurrent, [T + 3, 2 * T + 2]), (attention, [T, T + 1, T + 2, T + 3])):
        marks = network.evaluate_all("cells => cells.map(cell => cell.dataset.mark)")
        assert [at for at, mark in enumerate(marks) if mark == "input"] == needed
    expect(explorer.locator(".cx-trace")).to_have_text(
        "Followed: four, layer 2. "
        "Recurrent network: needs layer 1 of four and layer 2 of one (3). It works now. "
        "Transformer: needs layer 1 of one (1), two, one (3), four. It worked at tick 3."
    )
    desk.knows("explorer.guess, explorer.tick, explorer.layer, explorer.token", (4, 6, 2, 3))
    desk.knows("explorer.ended", ["3,reading,12"])


def test_the_clock_as_text(desk, explorer: Locator) -> None:
    desk.run("""
explorer.text, explorer.layers, explorer.processors = "the cat sat on the", 2, 2
explorer.tick, explorer.layer, explorer.token, explorer.guess, explorer.ended = 3, 3, 2, 4, ["2,writing,12"]
""")
    desk.tells(
        explorer,
        "Words (5): the (1) | cat | sat | on | the (5)",
        "Layers: 2. Processors: 2. Mode: reading. Tick 3.",
        "",
        "Recurrent network: Boxes at work: 2, done: 3, ready: 2, waiting: 3.",
        "Layer 0: the (1) 1 | cat 2 | sat 3 now | on ○ | the (5) ·",
        "Layer 1: the (1) 2 | cat 3 now | sat ○ | on · | the (5) ·",
        "",
        "Transformer: Boxes at work: 2, done: 4, ready: 4, waiting: 0.",
        "Layer 0: the (1) 1 | cat 1 | sat 2 | on 2 | the (5) 3 now",
        "Layer 1: the (1) 3 now | cat ○ | sat ○ | on ○ | the (5) ○",
        "",
        "Followed: sat, layer 1.",
        "Recurrent network: needs layer 0 of sat and layer 1 of cat. It is ready.",
        "Transformer: needs layer 0 of the (1), cat, sat. It is ready.",
        "",
        "Ticks for writing, layers 2, processors 12: Recurrent network 10, Transformer 10.",
        "Times: not measured.",
    )
    text = explorer.locator(".cx-text")
    desk.run("explorer.tick, explorer.token = 5, 4")
    for said in (
        "Transformer: Done after 5 ticks. The processors were at work for 100 % of the time.",
        "Recurrent network: needs layer 0 of the (5) and layer 1 of on. It is ready.",
        "You said 4 for the Transformer; it took 5.",
    ):
        expect(text).to_contain_text(said)
    desk.run("explorer.mode, explorer.layer, explorer.tick = 'writing', 0, 0")
    expect(text).to_contain_text("layer 1 of on, which writes this word. It waits; still missing: 1.")
    desk.run("explorer.tick, explorer.token = 99, 0")
    expect(text).to_contain_text("Tick 10.")
    expect(text).to_contain_text("Transformer: needs only its word. It worked at tick 1.")


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    recurrent, attention = cells(explorer, "Recurrent network"), cells(explorer, "Transformer")
    explorer.get_by_label("Mode").focus()
    for part in (
        explorer.get_by_label("Layers"),
        explorer.get_by_label("Processors of each"),
        explorer.get_by_label("Your text"),
        explorer.get_by_label(re.compile("Your guess")),
        clock(explorer),
    ):
        keyboard.press("Tab")
        expect(part).to_be_focused()
    for key, tick in (
        ("ArrowRight", 1),
        ("Space", 2),
        ("ArrowLeft", 1),
        ("Shift+Space", 0),
        ("Shift+Space", 0),
        ("End", 7),
        ("ArrowRight", 7),
        ("Home", 0),
    ):
        keyboard.press(key)
        expect(clock(explorer)).to_have_attribute("aria-valuetext", f"Tick {tick}")
        expect(clock(explorer)).to_have_value(str(tick))
    for _ in range(4):
        keyboard.press("Tab")
    expect(recurrent.first).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowRight")
    expect(recurrent.nth(T + 1)).to_be_focused()
    expect(explorer.locator(".cx-trace")).to_contain_text("Followed: two, layer 1.")
    expect(recurrent.nth(T + 1)).to_have_accessible_name("two, layer 1: waiting")
    keyboard.press("Space")
    keyboard.press("Space")
    expect(recurrent.nth(T + 1)).to_have_accessible_name("two, layer 1: ready")
    keyboard.press("Space")
    expect(recurrent.nth(T + 1)).to_have_accessible_name("two, layer 1: at work tick 3")
    keyboard.press("Tab")
    expect(attention.nth(T + 1)).to_be_focused()
    expect(attention.nth(T + 1)).to_have_accessible_name("two, layer 1: done tick 2")
    keyboard.press("End")
    expect(attention.nth(2 * T - 1)).to_be_focused()
    keyboard.press("Shift+Space")
    expect(clock(explorer)).to_have_attribute("aria-valuetext", "Tick 2")
    desk.knows("explorer.tick, explorer.layer, explorer.token", (2, 1, 4))


def test_settings_texts_and_times(desk, explorer: Locator) -> None:
    end = explorer.get_by_role("button", name="To the end")
    attention = cells(explorer, "Transformer")
    explorer.get_by_label(re.compile("Your guess")).fill("5")
    end.click()
    explorer.get_by_label("Processors of each").select_option("1")
    expect(clock(explorer)).to_have_attribute("aria-valuetext", "Tick 0")
    expect(explorer.get_by_label(re.compile("Your guess"))).to_have_value("")
    end.click()
    explorer.get_by_label("Processors of each").select_option("12")
    explorer.get_by_label("Mode").select_option("writing")
    end.click()
    explorer.get_by_label("Layers").select_option("4")
    expect(attention).to_have_count(4 * T)
    expect(attention).to_have_text(["○", *"·" * (4 * T - 1)])
    expect(explorer.locator(".cx-ended tbody tr")).to_have_text(
        ["reading31273", "reading311515", "writing3121515"]
    )
    desk.knows("explorer.layers, explorer.processors, explorer.mode, explorer.guess", (4, 12, "writing", 0))
    explorer.get_by_role("button", name="Measure on this machine").click()
    expect(explorer.locator(".cx-times tbody tr")).to_have_text(
        [re.compile(rf"{name}[\d.]+") for name in ("RNN, written as a loop", "LSTM, fused", "GPT")]
    )
    expect(explorer.locator(".cx-gaps")).to_contain_text("With 5 words the loop takes")
    expect(explorer.locator(".cx-text")).to_contain_text(desk.run("print(explorer.measured['5,4']['text'])"))
    field = explorer.get_by_label("Your text")
    field.fill("w " * 13)
    expect(attention).to_have_count(4 * 12)
    expect(explorer.locator(".cx-note").first).to_contain_text("12 of 13 words are read.")
    expect(explorer.locator(".cx-times")).to_be_hidden()
    expect(explorer.locator(".cx-ended")).to_be_hidden()
    expect(explorer.locator(".cx-text")).to_contain_text("Too long for one picture: 12 of 13 words are read.")
    field.fill(" ")
    expect(explorer.get_by_role("alert")).to_contain_text("The text has no word")
    expect(field).to_have_attribute("aria-invalid", "true")
    desk.run("explorer.text, explorer.layers, explorer.processors = 'a b', 2, 2")
    desk.run("explorer.layer, explorer.token, explorer.tick, explorer.ended = 3, 7, 2, ['2,reading,4']")
    expect(attention).to_have_count(4)
    expect(explorer.locator(".cx-trace")).to_contain_text("Followed: b, layer 1.")


def test_it_does_not_ask_what_was_just_answered(desk) -> None:
    explorer = desk.shown(TITLE, IMPORT, f"explorer = ClockExplorer({TEXT!r}, tick=3)\nexplorer")
    guess = explorer.get_by_label(re.compile("Your guess"))
    end = explorer.get_by_role("button", name="To the end")
    expect(end).to_be_visible()
    expect(guess).to_be_hidden()
    end.click()
    processors = explorer.get_by_label("Processors of each")
    processors.select_option("1")
    guess.fill("14")
    end.click()
    expect(explorer.get_by_text("You said 14 for the Transformer; it took 15.", exact=True)).to_be_visible()
    processors.select_option("12")
    expect(clock(explorer)).to_have_attribute("aria-valuetext", "Tick 0")
    expect(guess).to_be_hidden()


def test_accessible_in_both_themes(desk) -> None:
    explorer = desk.shown(
        TITLE,
        IMPORT,
        """
explorer = ClockExplorer("the cat sat on the mat because it was incomprehensibly warm inside", processors=4)
explorer.measure()
explorer
""",
    )
    explorer.get_by_role("button", name="To the end").click()
    expect(explorer.locator(".cx-ended tbody tr")).to_have_count(1)
    clock(explorer).press("Home")
    for _ in range(5):
        clock(explorer).press("Space")
    cell = cells(explorer, "Transformer").nth(12 + 6)
    cell.focus()
    desk.page.keyboard.press("ArrowRight")
    desk.page.keyboard.press("ArrowLeft")
    expect(cell).to_be_focused()
    assert cell.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    explorer.locator("summary").click()
    assert desk.problems(explorer, "clock") == []
    outer = explorer.bounding_box()
    for part in explorer.locator(".cx-work, .cx-gaps").all():
        inner = part.bounding_box()
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
