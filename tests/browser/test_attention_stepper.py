"""The attention stepper, by mouse, finger and keyboard: on a page without a kernel, and in JupyterLab."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chromium import found_by_axe
from explorers import ask
from playwright.sync_api import Locator, Page, expect

from course_lib import maths
from course_lib.concepts.c03_qkv import explorer
from course_lib.concepts.c03_qkv.explorer import MASKS, STAGES, AttentionStepper
from course_lib.widgets import explorer as frame

from .conftest import SCREENSHOTS

TITLE = "Attention, step by step"
LARGE, SMALL = 999_999.0, 1e-7


def cross(**more) -> AttentionStepper:
    """Another sequence's keys, all sizes different."""
    q, k, v = ([[2, 1]], [[2, 0], [0, 0], [0, 2]], [[1, 0, 0, 1], [0, 0, 3, 1], [0, 1, 0, 1]])
    return AttentionStepper(["bark"], q, k, v, key_tokens=["dog", "has", "tree"], **more)


def from_x(**more) -> AttentionStepper:
    matrices = {"w_q": [[1], [0.5]], "w_k": [[0], [1]], "w_v": [[2, 0, 1], [1, 1, 0]]}
    return AttentionStepper(["a", "b"], x=[[1, 2], [3, 0]], **matrices, **more)


def largest(**more) -> AttentionStepper:
    """Eight of all, negative numbers with many digits, names of every kind."""
    names = ["The", "understanding", "שלום", "🐈‍⬛🐈", "x" * 500, "a b", "<b>", "!"]
    return AttentionStepper(names, *np.random.default_rng(0).normal(size=(3, 8, 8)), **more)


def extreme() -> AttentionStepper:
    tokens, ones = ["a", "b", "c"], np.ones((3, 2))
    return AttentionStepper(tokens, ones * [[LARGE], [SMALL], [-LARGE]], ones * [[LARGE], [-1], [0]], ones)


SEEN: dict[Callable[[], AttentionStepper], tuple[int, ...]] = {
    AttentionStepper: (1000, 390),
    largest: (1000, 760, 390, 320),
    cross: (1000,),
    from_x: (390, 320),
    extreme: (320,),
}


def said(stepper: Locator) -> Locator:
    return stepper.get_by_role("status")


def step(stepper: Locator, name: str) -> None:
    stepper.get_by_role("tab", name=name).click()


def table(stepper: Locator, name: str) -> Locator:
    return stepper.get_by_role("grid", name=name, exact=True)


def numbers(stepper: Locator, name: str) -> list[float]:
    """The numbers of a table as they are printed."""
    texts = table(stepper, name).get_by_role("gridcell").all_text_contents()
    return [float(text.replace("−", "-").replace("∞", "inf")) for text in texts]


# ---------------------------------------------------------------------------- the page answers as Python does
QUESTIONS: dict[Callable[[], AttentionStepper], list[tuple[str, dict]]] = {
    AttentionStepper: [
        ("edit", {"array": "k", "row": 1, "column": 2, "text": " −1,5 "}),
        ("edit", {"array": "q", "row": 2, "column": 0, "text": "1e2"}),
        ("edit", {"array": "q", "row": 2, "column": 1, "text": "."}),
        ("edit", {"array": "q", "row": 0, "column": 0, "text": "1000000"}),
        ("edit", {"array": "q", "row": 0, "column": 0, "text": "0x10"}),
        ("edit", {"array": "q", "row": 0, "column": 0, "text": "é" * 500}),
        *(("toggle", {"row": 1, "column": column}) for column in range(3)),
        ("edit", {"array": "v", "row": 0, "column": 0, "text": "+.5e-3"}),
        ("mask", {"choice": "causal"}),
        ("toggle", {"row": 0, "column": 2}),
        ("mask", {"choice": "off"}),
        ("mask", {"choice": "custom"}),
        ("name", {"side": "tokens", "row": 1, "text": " 🐈 "}),
        ("name", {"side": "tokens", "row": 1, "text": " "}),
        ("reset", {}),
    ],
    cross: [
        ("mask", {"choice": "causal"}),
        ("name", {"side": "key_tokens", "row": 2, "text": "oak"}),
        ("toggle", {"row": 0, "column": 1}),
        ("edit", {"array": "v", "row": 2, "column": 3, "text": "-7"}),
        ("reset", {}),
    ],
    from_x: [
        ("edit", {"array": "w_k", "row": 1, "column": 0, "text": "-999999"}),
        ("edit", {"array": "x", "row": 0, "column": 1, "text": "999999"}),
        ("mask", {"choice": "causal"}),
        ("reset", {}),
    ],
    largest: [("mask", {"choice": kind}) for kind in MASKS],
    extreme: [*(("mask", {"choice": kind}) for kind in MASKS), ("toggle", {"row": 0, "column": 0})],
}


def answers(page: Page, stepper: AttentionStepper, questions: list[tuple[str, dict]]) -> list[dict]:
    """What the page answers where no kernel is there, one after the other; an error is told as such."""
    sources = [Path(frame.__file__).with_suffix(".js"), Path(explorer.__file__).with_name("attend.js")]
    code = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    return page.evaluate(
        f"""([state, mask, questions]) => {{
            {code}
            const values = {{ state, mask }};
            const model = {{ get: name => values[name] }};
            return questions.map(([kind, fields]) => {{
                try {{
                    const found = answersOf(model)[kind](fields);
                    values.mask = found.mask;
                    values.state = {{ ...values.state, ...found.state }};
                    return {{ ...values, error: "" }};
                }} catch (error) {{
                    return {{ ...values, error: error.message }};
                }}
            }});
        }}""",
        [stepper.state, stepper.mask, questions],
    )


def is_close(left: object, right: object) -> bool:
    """Equal but for what an order of additions changes in a number."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_close(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_close, left, right))
    if isinstance(left, float) and isinstance(right, float | int):
        return left == pytest.approx(right, rel=1e-12, abs=1e-15)
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("make", QUESTIONS, ids=lambda make: make.__name__)
def test_without_a_kernel_the_page_answers_what_python_answers(page: Page, make) -> None:
    python = make()
    for (kind, fields), found in zip(QUESTIONS[make], answers(page, make(), QUESTIONS[make]), strict=True):
        error = ask(python, kind, **fields)
        assert found["error"] == error, (kind, fields)
        assert found["mask"] == python.mask
        expected = {name: x for name, x in python.state.items() if name not in ("answered", "error")}
        assert is_close(json.loads(json.dumps(expected)), found["state"]), (kind, fields)


# ---------------------------------------------------------------------------- what is seen
def test_it_opens_where_the_last_query_looks_most_and_every_step_is_the_librarys(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper(mask="causal"))
    reference = AttentionStepper(mask="causal")
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + 2·1 = 2.5.")
    expect(stepper.get_by_label("Query", exact=True)).to_have_value("2")
    expect(stepper.get_by_label("Key", exact=True)).to_have_value("1")
    steps = {
        "scores": ("Scores", "scores", "1·0.5 + 0·2 + 2·1 = 2.5."),
        "scale": (
            "Scale",
            "scaled scores",
            "2.5 ÷ √3 ≈ 1.443. Undivided, its share would be 69 %, not 54 %.",
        ),
        "mask": ("Mask", "masked scores", "its score stays 1.443. To this query nothing is forbidden."),
        "softmax": ("Softmax", None, "54 %: e1.443 ≈ 4.235, of 7.798 in all."),
        "mix": ("Mix", "mix", "0.228·0 + 0.543·2 + 0.228·1 ≈ 1.315."),
    }
    for stage, (name, label, sentence) in steps.items():
        step(stepper, name)
        expect(said(stepper)).to_have_text(sentence)
        if label:
            expected = reference.numbers(stage)[-1:] if stage == "mix" else reference.numbers(stage)
            np.testing.assert_allclose(numbers(stepper, label), expected.ravel(), atol=5e-4)
    # The scale comes before the mask: these shares are of all scores.
    step(stepper, "Scale")
    stepper.get_by_label("Query", exact=True).select_option("0")
    stepper.get_by_label("Key", exact=True).select_option("0")
    undivided, divided = (
        100 * maths.softmax(reference.numbers(stage)[0])[0] for stage in ("scores", "scale")
    )
    told = f"Undivided, its share would be {undivided:.0f} %, not {divided:.0f} %."
    expect(said(stepper)).to_have_text(f"1 ÷ √3 ≈ 0.577. {told}")
    stepper.get_by_label("Query", exact=True).select_option("2")
    step(stepper, "Mix")
    shares = [f"{100 * share:.0f} %" for share in reference.numbers("softmax")[2]]
    expect(stepper.locator(".strip .bar").first.locator("> span")).to_have_text(
        [f"{token} {share}" for token, share in zip(reference.state["tokens"], shares, strict=True)]
    )
    values = table(stepper, "share × value")
    products = reference.numbers("softmax")[2][:, None] * reference.v
    np.testing.assert_allclose(numbers(stepper, "share × value"), products.ravel(), atol=5e-4)
    values.get_by_role("gridcell").nth(2).click()
    expect(stepper.get_by_label("Number", exact=True)).to_have_value("3")
    expect(said(stepper)).to_have_text("0.228·0.5 + 0.543·1 + 0.228·0 ≈ 0.657.")


def test_pointing_previews_and_a_click_keeps(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    cells = table(stepper, "scores").get_by_role("gridcell")
    cells.nth(5).hover()
    expect(said(stepper)).to_have_text("0·0 + 1·1 + 1·0.5 = 1.5.")
    expect(stepper.locator(".strip")).to_contain_text("Can one number bring cat → it above 80")
    stepper.locator(".foot").hover()
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + 2·1 = 2.5.")
    cells.nth(4).click()
    stepper.locator(".foot").hover()
    expect(said(stepper)).to_have_text("0·0.5 + 1·2 + 1·1 = 3.")
    stepper.locator(".strip .bar").first.locator("> span").first.click()
    stepper.locator(".foot").hover()
    expect(said(stepper)).to_have_text("0·1 + 1·0 + 1·0 = 0.")
    stepper.get_by_label("Key", exact=True).select_option("it")
    stepper.get_by_label("Query", exact=True).select_option("the")
    expect(said(stepper)).to_have_text("1·0 + 0·1 + 0·0.5 = 0.")


def test_keyboard_alone(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    press = alone_page.page.keyboard.press
    tab = stepper.get_by_role("tab", name="Scores")
    tab.focus()
    for key, name in (("ArrowRight", "Scale"), ("ArrowLeft", "Scores"), ("5", "Mix"), ("1", "Scores")):
        press(key)
        expect(stepper.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    tab.focus()
    # One stop for a table, at what is chosen: to walk through changes nothing.
    stops = ("Reset", "Query", "Key", "k of cat, number 1", "Name of token 3", "q of it, number 1")
    for name in stops:
        press("Tab")
        expect(alone_page.page.locator(":focus")).to_have_attribute("aria-label", name)
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + 2·1 = 2.5.")
    press("ArrowUp")
    press("ArrowRight")
    expect(stepper.get_by_label("q of cat, number 2")).to_be_focused()
    expect(said(stepper)).to_have_text("0·0.5 + 1·2 + 1·1 = 3.")
    press("Shift+ArrowUp")
    expect(said(stepper)).to_have_text("0·0.5 + 1.5·2 + 1·1 = 4.")
    press("3")
    press("Enter")
    expect(said(stepper)).to_have_text("0·0.5 + 3·2 + 1·1 = 7.")
    press("Tab")
    expect(alone_page.page.locator(":focus")).to_have_attribute("aria-label", "cat, cat: 7")
    press("ArrowRight")
    expect(said(stepper)).to_have_text("0·0 + 3·1 + 1·0.5 = 3.5.")
    # Where a figure goes away, the focus does not.
    press("5")
    expect(stepper.get_by_role("tab", name="Mix")).to_be_focused()
    stepper.get_by_role("button", name="Try it in Scores.").press("Enter")
    expect(tab).to_be_focused()


def test_a_number_is_typed_dragged_or_stepped(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    mouse = alone_page.page.mouse
    field = stepper.get_by_label("q of it, number 3")
    box = field.bounding_box()
    assert box is not None
    x, y = box["x"] + 20, box["y"] + 15
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 36, y, steps=4)  # three times twelve pixels
    expect(field).to_have_value("3.5")
    mouse.move(x + 36, y - 24, steps=4)  # up is more
    expect(field).to_have_value("4.5")
    mouse.move(x - 60, y, steps=4)
    mouse.up()
    expect(field).to_have_value("−0.5")
    expect(field).not_to_be_focused()
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + (−0.5)·1 = 0.")
    # In one step out of the cell, from its right edge; in a cell in which somebody is, too.
    mouse.move(box["x"] + box["width"] - 3, y)
    mouse.down()
    mouse.move(box["x"] + box["width"] + 21, y)
    mouse.up()
    expect(field).to_have_value("0.5")
    field.click()
    expect(field).to_be_focused()
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 24, y, steps=4)
    mouse.up()
    stepper.get_by_label("q of it, number 2").click()
    expect(field).to_have_value("−0.5")
    # A third has many digits; the field shows them while somebody is in it.
    field.click()
    expect(field).to_be_focused()
    alone_page.page.keyboard.type("0.33333")
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + (−0.5)·1 = 0.")
    stepper.get_by_label("q of it, number 2").click()
    expect(field).to_have_value("0.333")
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + 0.333·1 ≈ 0.833.")
    field.click()
    expect(field).to_have_value("0.33333")
    shares = maths.attention_weights([[1, 0, 0.33333]], AttentionStepper().k)[0]
    expect(stepper.locator(".cx-text")).to_contain_text(f"it looks at: the {100 * shares[0]:.0f} %")
    expect(stepper.get_by_role("button", name="Reset")).not_to_have_attribute("aria-disabled", "true")
    stepper.get_by_role("button", name="Reset").click()
    expect(field).to_have_value("2")
    expect(stepper.get_by_role("button", name="Reset")).to_have_attribute("aria-disabled", "true")


def test_where_a_drag_ends_nothing_is_pointed_at(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    mouse = alone_page.page.mouse
    box = stepper.get_by_label("q of it, number 2").bounding_box()
    over = table(stepper, "scores").get_by_role("gridcell").nth(6).bounding_box()
    assert box is not None
    assert over is not None
    y = over["y"] + over["height"] / 2
    mouse.move(box["x"] + 20, y)
    mouse.down()
    mouse.move(over["x"] + 12, y, steps=12)
    found = re.compile("^it → cat has [89][0-9.]+ % ✓")
    expect(stepper.locator(".find")).to_have_text(found)
    mouse.up()
    mouse.move(over["x"] + 16, y + 3, steps=3)
    alone_page.page.wait_for_timeout(200)
    expect(stepper.locator(".find")).to_have_text(found)
    for x in (over["x"] - 60, over["x"] + 40):
        mouse.move(x, y, steps=3)
    expect(stepper.locator(".find")).to_contain_text("it → the")


def test_what_is_wrong_is_told_and_nothing_is_lost(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    field, alert = stepper.get_by_label("q of the, number 1"), stepper.get_by_role("alert")
    field.fill("two" * 100)
    field.press("Enter")
    expect(alert).to_have_text("Type a number such as 0.5; got “twotwotwotwotwotwotw”.")
    expect(field).to_have_attribute("aria-invalid", "true")
    np.testing.assert_allclose(numbers(stepper, "scores"), AttentionStepper().numbers("scores").ravel())
    below, beside = alert.bounding_box(), field.bounding_box()
    assert below is not None
    assert beside is not None
    assert 0 <= below["y"] - beside["y"] - beside["height"] < 10
    field.press("Escape")
    expect(field).to_have_value("1")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    # What is left behind is put back, and why is told until the next press.
    field.fill("1/3")
    stepper.locator(".source").click()
    expect(alert).to_contain_text("got “1/3”")
    expect(field).to_have_value("1")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    stepper.locator(".source").click()
    expect(alert).to_be_empty()
    name = stepper.get_by_label("Name of token 2")
    name.fill(" ")
    name.press("Enter")
    expect(alert).to_contain_text("A token needs a name of at least one visible character")
    name.fill("🐈 שלום")
    name.press("Enter")
    expect(alert).to_be_empty()
    expect(name).to_be_focused()
    expect(stepper.get_by_label("Key", exact=True).locator("option")).to_have_text(["the", "🐈 שלום", "it"])


def test_choosing_the_causal_mask_shows_what_it_forbids(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper(stage="mask"))
    stepper.get_by_label("Mask", exact=True).select_option("causal")
    expect(stepper.get_by_role("button", name="may not", exact=True)).to_be_visible()
    expect(stepper.locator(".find")).to_contain_text("is forbidden: no number helps.")


def test_a_mask_is_chosen_or_clicked_down_to_a_row_of_zeros(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper(stage="mask"))
    cells = table(stepper, "masked scores").get_by_role("gridcell")
    stepper.get_by_role("button", name="the causal mask").click()
    expect(stepper.get_by_label("Mask", exact=True)).to_have_value("causal")
    expect(stepper.get_by_role("button", name="the causal mask")).to_have_count(0)
    expect(cells.nth(5)).to_have_text("−∞")
    cells.nth(5).click()
    expect(cells.nth(5)).to_have_text("0.866")
    expect(stepper.get_by_label("Mask", exact=True)).to_have_value("custom")
    expect(cells.nth(1)).to_have_text("−∞")  # what the causal mask said stays
    for column in (3, 4):
        cells.nth(column).press("Space")
        expect(cells.nth(column)).to_have_text("−∞")
    expect(stepper.locator(".find")).to_have_text("cat → cat is forbidden: no number helps.")
    stepper.get_by_label("Key", exact=True).select_option("it")
    expect(stepper.locator(".find")).to_contain_text("the only one that is left gets all")
    stepper.get_by_role("button", name="may", exact=True).click()
    expect(said(stepper)).to_have_text("its score becomes −∞, its share 0.")
    step(stepper, "Softmax")
    expect(said(stepper)).to_have_text("0 %: everything is forbidden, so all shares are 0.")
    step(stepper, "Mix")
    assert numbers(stepper, "mix") == [0, 0, 0]


def test_there_is_something_to_find(alone_page) -> None:
    stepper = alone_page.shown(cross(stage="mix"))
    find = stepper.locator(".find")
    expect(find).to_have_text("Can one number bring bark → dog above 80 %? Try it in Scores.")
    stepper.locator(".strip .bar").first.locator("> span").nth(2).click()
    find.get_by_role("button", name="Try it in Scores.").click()
    stepper.get_by_label("q of bark, number 2").fill("6")
    stepper.get_by_label("q of bark, number 2").press("Enter")
    expect(find).to_have_text(re.compile("^bark → tree has [89][0-9.]+ % ✓, with 1 number changed."))
    expect(stepper.locator(".strip")).to_contain_text("at first")
    # What no step of the softmax would survive: the largest is subtracted.
    stepper.get_by_label("q of bark, number 2").fill("900")
    stepper.get_by_label("q of bark, number 2").press("Enter")
    step(stepper, "Softmax")
    expect(said(stepper)).to_have_text("100 %: e0 ≈ 1, of 1 in all. (First 1272.792 is subtracted from all.)")


def test_from_x_every_number_comes_of_a_row_and_a_column(alone_page) -> None:
    stepper = alone_page.shown(from_x())
    reference = from_x()
    assert numbers(stepper, "q") == reference.q.ravel().tolist()
    for name, word in (("k", "key"), ("v", "value")):
        stepper.get_by_label("What is made").select_option(word)
        assert numbers(stepper, name) == getattr(reference, name).ravel().tolist()
    stepper.get_by_label("Number", exact=True).fill("3")
    expect(said(stepper)).to_have_text("3·1 + 0·0 = 3.")
    stepper.get_by_label("W_V, row 2, column 3").fill("−1")
    stepper.get_by_label("x of b, number 2").fill("2")
    stepper.get_by_label("x of b, number 2").press("Enter")
    expect(said(stepper)).to_have_text("3·1 + 2·(−1) = 1.")
    step(stepper, "Scores")
    expect(stepper.locator("input.n")).to_have_count(0)


@pytest.mark.parametrize("make", SEEN, ids=lambda make: make.__name__)
def test_nothing_overflows_and_nothing_jumps(alone_page, make) -> None:
    """At any width each step is as high as the others, and what it draws stays inside."""
    outside = """stage => {
        const isIn = ({ left, right, top, bottom }, of) =>
            left > of.left - 1 && right < of.right + 1 && top > of.top - 1 && bottom < of.bottom + 1;
        const parts = ".numbers, .n, .name, .bars, .corner p, .two, .small";
        const boxes = [...stage.querySelectorAll(parts)].map(node => node.getBoundingClientRect());
        const cut = [...stage.querySelectorAll(".n")].filter(n => n.scrollWidth > n.clientWidth + 1);
        const out = boxes.filter(box => !isIn(box, stage.getBoundingClientRect()));
        return [out.length, cut.map(n => n.value ?? n.textContent)];
    }"""
    for width in SEEN[make]:
        stepper = alone_page.shown(make(), width)
        heights = set()
        for name in ("project", *STAGES):
            if name == "project" and make is not from_x:
                continue
            step(stepper, name.capitalize())
            expect(stepper.locator(".stage > *")).to_be_visible()
            assert alone_page.page.evaluate("document.documentElement.scrollWidth") <= width, (width, name)
            assert stepper.locator(".stage").evaluate(outside) == [0, []], (width, name)
            box = stepper.bounding_box()
            assert box is not None
            heights.add(round(box["height"]))
        assert max(heights) - min(heights) <= (0 if width > 390 else 30), (width, heights)
        assert max(heights) <= (620 if width == 1000 else 700), (width, heights)


def test_twelve_fast_clicks_and_keys(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper())
    height = stepper.evaluate("e => e.clientHeight")
    for turn in range(12):
        step(stepper, STAGES[turn % 5].capitalize())
        mask = stepper.get_by_label("Mask", exact=True)
        if mask.is_visible():  # at a step where a mask is seen
            mask.select_option(MASKS[turn % 3])
    field = stepper.get_by_label("Query", exact=True)
    for _ in range(12):
        field.press("ArrowUp")
    expect(stepper.get_by_role("alert")).to_be_empty()
    assert stepper.evaluate("e => e.clientHeight") == height


def test_the_picture_says_it_all_as_text(alone_page) -> None:
    stepper = alone_page.shown(AttentionStepper(mask="causal", stage="mask"))
    expect(stepper.locator(".cx-details")).not_to_have_attribute("open", "")
    stepper.get_by_role("button", name="As text").click()
    lines = [
        "Mask. it, cat: its score stays 1.443. To this query nothing is forbidden.",
        "it looks at: the 23 %, cat 54 %, it 23 %.",
        "",
        "       the    cat     it",
        "the  0.577     −∞     −∞",
        "cat      0  1.732     −∞",
        "it   0.577  1.443  0.577",
    ]
    assert stepper.locator(".cx-text").text_content() == "\n".join(lines)
    stepper.get_by_role("button", name="How to read this").click()
    expect(stepper.locator(".how")).to_contain_text("A causal mask hides what comes later.")
    expect(stepper.locator(".how .keys")).to_contain_text(f"1 to {len(STAGES)} steps")


def test_every_step_can_be_read_wide_and_narrow_light_and_dark(alone_page) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    problems = []
    for width, dark in ((1000, True), (390, False)):
        stepper = alone_page.shown(from_x(mask="causal"), width, dark)
        for name in ("project", *STAGES):
            step(stepper, name.capitalize())
            alone_page.page.wait_for_timeout(300)  # what comes in has come
            stepper.screenshot(path=SCREENSHOTS / f"attention-stepper-{name}-{width}.png")
            problems += found_by_axe(alone_page.page, stepper, f"{name}, {width}")
    assert problems == []


# ---------------------------------------------------------------------------- in JupyterLab
CELL = """
from course_lib.concepts.c03_qkv.explorer import AttentionStepper
stepper = AttentionStepper()
stepper
"""


def test_in_jupyterlab_python_answers(desk) -> None:
    stepper = desk.shown(TITLE, CELL, "")
    cells_before = desk.page.locator(".jp-Cell").count()
    field = stepper.get_by_label("q of it, number 3")
    field.click()
    for key in ("a", "b", "d", "d", "Enter"):  # keys that would add or cut cells if JupyterLab saw them
        desk.page.keyboard.press(key)
    expect(stepper.get_by_role("alert")).to_have_text("Type a number such as 0.5; got “abdd”.")
    assert desk.page.locator(".jp-Cell").count() == cells_before
    field.fill("3")
    field.press("Enter")
    expect(said(stepper)).to_have_text("1·0.5 + 0·2 + 3·1 = 3.5.")
    desk.knows("stepper.q[2, 2]", np.float64(3))
    step(stepper, "Mask")
    stepper.get_by_label("Mask", exact=True).select_option("causal")
    expect(table(stepper, "masked scores").get_by_role("gridcell").nth(1)).to_have_text("−∞")
    table(stepper, "masked scores").get_by_role("gridcell").nth(1).click()
    desk.knows("stepper.stage, stepper.mask", ("mask", "custom"))
    desk.knows("stepper.allowed()[0].tolist()", [True, True, False])
    # Python changes the page, in the theme of JupyterLab.
    desk.set_theme(dark=True)
    desk.run("stepper.update(tokens=['a', 'b'], q=[[1], [2]], k=[[3], [5]], v=[[7], [11]], custom_mask=None)")
    desk.run("stepper.stage = 'scores'")
    assert numbers(stepper, "scores") == [3, 5, 6, 10]
    assert desk.look(stepper, "attention-stepper") == []
