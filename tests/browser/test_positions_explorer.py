"""The positions explorer in JupyterLab, by mouse and by keyboard alone."""

import json
import math
import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

TITLE = "Positions"
N, WIDTH, TRAINED, N_HEADS = 19, 6, 11, 3
SCHEMES = ("sinusoidal", "learned", "rotary", "ALiBi", "relative")
SHOW = f"""
import torch
from course_lib.positions import ALiBi, rotary_table, sinusoidal
from course_lib.concepts.c05_positions.explorer import PositionsExplorer
numbers = torch.Generator().manual_seed(0)
table = torch.randn({N}, {WIDTH}, generator=numbers)
explorer = PositionsExplorer({N}, {WIDTH}, {TRAINED}, n_heads={N_HEADS}, learned=table)
explorer
"""
LARGE = """
import torch
from course_lib.concepts.c05_positions.explorer import PositionsExplorer
explorer = PositionsExplorer(512, 384, 384, learned=torch.eye(512, 384))
explorer
"""
BROWN, VIOLET, PAPER = (179, 88, 6), (84, 39, 136), (247, 247, 247)


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, SHOW)


def place(explorer: Locator, name: str) -> Locator:
    return explorer.get_by_role("slider", name=name, exact=True)


def choose(explorer: Locator, scheme: str) -> None:
    explorer.get_by_label("Scheme").select_option(scheme)


def expect_places(explorer: Locator, query: int, key: int) -> None:
    expect(place(explorer, "Query")).to_have_value(str(query))
    expect(place(explorer, "Key")).to_have_value(str(key))
    expect(explorer.get_by_role("status")).to_contain_text(f"Query at place {query}, key at place {key}, ")


def click(part: Locator, row: float, column: float, shift: bool = False) -> None:
    """Click on a drawing, at shares of its height and width."""
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    part.click(
        position={"x": box["width"] * column, "y": box["height"] * row},
        modifiers=["Shift"] if shift else [],
    )


def curve(explorer: Locator, name: str) -> np.ndarray:
    """The points of one of both curves."""
    points = explorer.locator(f".cx-{name}-curve").get_attribute("d") or ""
    return np.array([[float(n) for n in pair.split()] for pair in points[1:].split("L")])


def turned(explorer: Locator, name: str) -> float:
    """Degrees by which one of both hands is turned."""
    return float(
        re.findall(r"rotate\(([\d.e-]+) ", explorer.locator(f".cx-hand-{name}").get_attribute("transform"))[0]
    )


def tensor(desk, code: str) -> np.ndarray:
    return np.array(json.loads(desk.run(f"print(({code}).tolist())")))


def test_query_and_key_by_mouse(desk, explorer: Locator) -> None:
    pattern = explorer.locator(".cx-pattern canvas")
    expect_places(explorer, N // 3, N // 5)
    choose(explorer, "rotary")
    for query, key in ((0, 18), (18, 0), (7, 7)):
        click(pattern, (query + 0.5) / N, 0.3)
        click(pattern, (key + 0.5) / N, 0.8, shift=True)
        expect_places(explorer, query, key)
    choose(explorer, "relative")
    for query, key in ((0, 18), (18, 0), (12, 4)):
        click(pattern, (query + 0.5) / N, (key + 0.5) / N)
        expect_places(explorer, query, key)
    expect(place(explorer, "Query")).to_be_focused()
    desk.knows("explorer.scheme, explorer.query, explorer.key", ("relative", 12, 4))


def test_pulling_along_the_pattern(desk, explorer: Locator) -> None:
    pattern = explorer.locator(".cx-pattern canvas")
    pattern.scroll_into_view_if_needed()
    box = pattern.bounding_box()
    x, height = box["x"] + box["width"] / 2, box["height"]
    mouse = desk.page.mouse
    mouse.move(x, box["y"] + height * 0.5 / N)
    mouse.down()
    mouse.move(x, box["y"] + height * 9.5 / N, steps=5)
    expect_places(explorer, 9, N // 5)
    mouse.move(x, box["y"] + height + 50, steps=3)  # beyond the edge, the last place stays
    expect_places(explorer, N - 1, N // 5)
    mouse.up()
    mouse.move(x, box["y"] + height / 2)
    expect_places(explorer, N - 1, N // 5)


def test_a_key_is_chosen_on_the_curve(desk, explorer: Locator) -> None:
    choose(explorer, "rotary")
    drawing = explorer.locator(".cx-curve")
    place(explorer, "Query").fill("7")
    expect_places(explorer, 7, N // 5)
    box = drawing.evaluate("e => e.viewBox.baseVal.width")
    for key in (0, 6, 7, 18):
        x = curve(explorer, "query")[key, 0]
        click(drawing, 0.5, x / box)
        expect_places(explorer, 7, key)
        # The dot stands on the curve.
        dot = explorer.locator(".cx-dot")
        at = [float(dot.get_attribute(name) or "nan") for name in ("cx", "cy")]
        np.testing.assert_allclose(at, curve(explorer, "query")[key], atol=0.06)
    expect(place(explorer, "Key")).to_be_focused()


def test_patterns_have_the_librarys_numbers(desk, explorer: Locator) -> None:
    for scheme, code in (
        ("sinusoidal", f"sinusoidal({N}, {WIDTH})"),
        ("learned", "table"),
        ("rotary", f"rotary_table({WIDTH}, {N})[0]"),
        ("ALiBi", f"ALiBi({N_HEADS})(torch.zeros(1, {N_HEADS}, {N}, 1), {N})[0]"),
    ):
        choose(explorer, scheme)
        numbers = tensor(desk, code)
        strongest = np.abs(numbers).max() if scheme == "ALiBi" else np.quantile(np.abs(numbers), 0.99)
        canvas = explorer.locator(".cx-pattern canvas")
        expect(canvas).to_have_attribute("width", str(numbers.shape[1]))
        for row, column in ((0, 0), (1, 1), (12, 2), (18, 1)):
            share = np.clip(numbers[row, column] / strongest, -1, 1)
            ink = np.array(BROWN if share < 0 else VIOLET)
            expected = PAPER + abs(share) * (ink - PAPER)
            shown = desk.pixel(canvas, (row + 0.5) / N, (column + 0.5) / numbers.shape[1])
            np.testing.assert_allclose(shown, expected, atol=1.01)


def test_both_curves_agree_where_the_offset_decides_alone(desk, explorer: Locator) -> None:
    place(explorer, "Query").fill("4")
    place(explorer, "Key").fill("13")
    expect_places(explorer, 4, 13)
    agree = {}
    for scheme in SCHEMES:
        choose(explorer, scheme)
        curves = [{round(x): y for x, y in curve(explorer, name)} for name in ("query", "key")]
        common = curves[0].keys() & curves[1].keys()
        assert len(common) == N - 9
        agree[scheme] = all(abs(curves[0][x] - curves[1][x]) < 0.11 for x in common)
        is_told = "depends on the places themselves" not in (
            explorer.locator(".cx-text").text_content() or ""
        )
        assert agree[scheme] == is_told
    assert agree == {scheme: scheme != "learned" for scheme in SCHEMES}


def test_moving_both_leaves_the_angle_and_the_product(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    for scheme in ("sinusoidal", "rotary"):
        choose(explorer, scheme)
        place(explorer, "Query").fill("9")
        place(explorer, "Key").fill("2")
        expect_places(explorer, 9, 2)
        for pair in range(WIDTH // 2):
            explorer.get_by_label("Pair", exact=True).select_option(str(pair))
            expect(explorer.get_by_text(f"Pair {pair} as the hand of a clock")).to_be_visible()
            step = 180 / math.pi / 10_000 ** (2 * pair / WIDTH)
            assert turned(explorer, "query") == pytest.approx(9 * step % 360, abs=1e-3)
            assert turned(explorer, "key") == pytest.approx(2 * step % 360, abs=1e-3)
        before = explorer.get_by_role("status").text_content() or ""
        angle = re.findall(r"[\d.]+° apart, cosine .*", explorer.locator(".cx-text").text_content() or "")
        explorer.get_by_role("button", name="Both one on").click()
        expect_places(explorer, 10, 3)
        place(explorer, "Key").focus()
        keyboard.press("Shift+ArrowDown")
        expect_places(explorer, 11, 4)
        after = explorer.get_by_role("status").text_content() or ""
        assert re.findall(r"vectors: .*?\. |angles: .*?\. ", after) == re.findall(
            r"vectors: .*?\. |angles: .*?\. ", before
        )
        expect(explorer.locator(".cx-text")).to_contain_text(angle[0])
        assert turned(explorer, "query") == pytest.approx(11 * step % 360, abs=1e-3)
        keyboard.press("Shift+ArrowLeft")
        expect_places(explorer, 10, 3)
        explorer.get_by_role("button", name="Both one back").click()
        expect_places(explorer, 9, 2)


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_label("Scheme").focus()
    keyboard.press("Tab")
    expect(explorer.get_by_label("Pair", exact=True)).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_role("button", name="Both one back")).to_be_focused()
    keyboard.press("Enter")
    expect_places(explorer, 5, 2)
    keyboard.press("Tab")
    keyboard.press("Space")
    expect_places(explorer, 6, 3)
    keyboard.press("Tab")
    expect(place(explorer, "Query")).to_be_focused()
    for key, query, other in (
        ("Home", 0, 3),
        ("ArrowLeft", 0, 3),
        ("Shift+ArrowLeft", 0, 3),
        ("ArrowDown", 1, 3),
        ("ArrowRight", 2, 3),
        ("ArrowUp", 1, 3),
        ("Shift+ArrowRight", 2, 4),
        ("Shift+ArrowUp", 1, 3),
        ("End", 18, 3),
        ("ArrowRight", 18, 3),
        ("Shift+ArrowDown", 18, 3),
        ("Shift+ArrowLeft", 17, 2),
    ):
        keyboard.press(key)
        expect_places(explorer, query, other)
    expect(place(explorer, "Query")).to_have_attribute("aria-valuetext", "place 17")
    keyboard.press("Tab")
    expect(place(explorer, "Key")).to_be_focused()
    keyboard.press("ArrowUp")
    expect_places(explorer, 17, 1)
    keyboard.press("Shift+ArrowRight")
    expect_places(explorer, 18, 2)
    expect(explorer.get_by_role("button", name="Both one on")).to_have_attribute("aria-disabled", "true")


def test_heads_and_pairs_belong_to_their_schemes(desk, explorer: Locator) -> None:
    head, pair = (explorer.get_by_label(name, exact=True) for name in ("Head", "Pair"))
    for scheme, has_pairs, has_heads in zip(SCHEMES, (1, 0, 1, 0, 0), (0, 0, 0, 1, 1), strict=True):
        choose(explorer, scheme)
        (expect(pair).to_be_visible if has_pairs else expect(pair).to_be_hidden)()
        (expect(head).to_be_visible if has_heads else expect(head).to_be_hidden)()
        clock = explorer.locator(".cx-clock")
        (expect(clock).to_be_visible if has_pairs else expect(clock).to_be_hidden)()
    choose(explorer, "ALiBi")
    slopes = tensor(desk, f"ALiBi({N_HEADS}).slopes")
    for i, slope in enumerate(slopes):
        head.select_option(str(i))
        number = round(-3 * slope * 10_000) / 10_000
        expect(explorer.get_by_role("status")).to_contain_text(
            f"by head {i}: {str(number).replace('-', '−')}. "
        )


def test_places_beyond_training_are_marked(desk, explorer: Locator) -> None:
    for scheme in SCHEMES:
        choose(explorer, scheme)
        hatched = explorer.locator(".cx-untrained:visible")
        expect(hatched).to_have_count(2 if scheme in ("ALiBi", "relative") else 1)
        pattern = explorer.locator(".cx-pattern canvas").bounding_box()
        beyond = hatched.first.bounding_box()
        assert (beyond["y"] - pattern["y"]) / pattern["height"] == pytest.approx(TRAINED / N, abs=0.01)
        expect(explorer).to_contain_text(f"Hatched: places from {TRAINED} on, beyond training.")
    expect(explorer.locator(".cx-far")).to_have_count(2)
    status = explorer.get_by_role("status")
    place(explorer, "Query").fill("10")
    place(explorer, "Key").fill("10")
    expect(status).to_contain_text("Both places are among the 11 places of training.")
    place(explorer, "Query").fill("11")
    expect(status).to_contain_text("The query lies beyond the 11 places of training. Their distance occurred")
    place(explorer, "Key").fill("18")
    expect(status).to_contain_text("Query and key lie beyond")
    place(explorer, "Query").fill("3")
    expect(status).to_contain_text("The key lies beyond the 11 places of training. Their distance is longer")


def test_places_as_text(desk) -> None:
    explorer = desk.shown(
        TITLE,
        """
import torch
from course_lib.concepts.c05_positions.explorer import PositionsExplorer
explorer = PositionsExplorer(8, 4, 5, n_heads=2, learned=torch.eye(8)[:, :4] + torch.ones(8, 4))
explorer.query, explorer.key, explorer.pair = 1, 3, 0
explorer
""",
    )
    desk.tells(
        explorer,
        "Sinusoidal: a fixed vector of 4 sines and cosines for each of 8 places, added to the vector of the "
        "token. Each pair of them is a hand that turns, quick ones first.",
        "",
        # cos 2 + cos 0.02
        "Query at place 1, key at place 3, 2 places after the query. Product of both position vectors: "
        "0.5837.",
        "It depends on the distance alone: it stays if both move on, and if they change places.",
        "Pair 0 turns by 57.3° from place to place; in training it came to 229.2°. The query's hand stands "
        "at 57.3° and the key's at 171.9°: 114.6° apart, cosine −0.4161.",
        "Both places are among the 5 places of training.",
    )
    text = explorer.locator(".cx-text")
    for choice, said in (
        (
            "'learned', 5, 4, 0",
            "Query at place 5, key at place 4, 1 place before the query. Product of both position vectors: "
            "4. It depends on the places themselves: at this distance it goes from 4 to 6, according to "
            "where the query stands. The query lies beyond the 5 places of training. No training has reached",
        ),
        (
            "'ALiBi', 6, 6, 1",
            "Query at place 6, key at place 6, the same. Added to the score by head 1: 0. It",
        ),
        ("'ALiBi', 6, 6, 1", "Query and key lie beyond the 5 places of training. Their distance occurred in"),
        ("'ALiBi', 0, 6, 1", "by head 1: −0.0234."),  # 6 / 256
        (
            "'ALiBi', 0, 6, 1",
            "The key lies beyond the 5 places of training. Their distance is longer than any",
        ),
        ("'relative', 0, 6, 1", "but it counts as 4: nothing new."),
        ("'rotary', 0, 6, 1", "1 of the 2 pairs were never half a turn apart there"),
    ):
        desk.run(f"explorer.scheme, explorer.query, explorer.key, explorer.head = {choice}")
        expect(text).to_contain_text(said)


def test_hands_are_told_as_the_library_turns(desk, explorer: Locator) -> None:
    for pair in range(WIDTH // 2):
        for query, key in ((1, 0), (3, 17), (18, 6)):
            desk.run(f"explorer.pair, explorer.query, explorer.key = {pair}, {query}, {key}")
            expect_places(explorer, query, key)
            told = explorer.locator(".cx-text").text_content() or ""
            line = next(line for line in told.splitlines() if line.startswith(f"Pair {pair} "))
            numbers = [float(n.replace("−", "-")) for n in re.findall(r"−?\d+(?:\.\d+)?", line)]
            step = math.degrees(10_000 ** (-2 * pair / WIDTH))
            between = (key - query) * step % 360
            assert numbers[1] == pytest.approx(step, abs=0.051)
            assert numbers[-4:-1] == pytest.approx(
                [query * step % 360, key * step % 360, min(between, 360 - between)], abs=0.051
            )
            assert numbers[-1] == pytest.approx(math.cos(math.radians(between)), abs=1e-4)


def test_one_place_of_training_is_one(desk) -> None:
    explorer = desk.shown(
        TITLE,
        "from course_lib.concepts.c05_positions.explorer import PositionsExplorer\n"
        "PositionsExplorer(1, 2, 1, n_heads=1)",
    )
    for scheme in SCHEMES:
        choose(explorer, scheme)
        expect(explorer.locator(".cx-text")).to_contain_text("Query at place 0, key at place 0, the same.")
        expect(explorer.locator(".cx-text")).to_contain_text("Both places are among the 1 place of training.")


def test_python_changes_the_page(desk, explorer: Locator) -> None:
    desk.run("explorer.scheme = 'rotary'; explorer.query = 17; explorer.key = 4; explorer.pair = 1")
    expect(explorer.get_by_label("Scheme")).to_have_value("rotary")
    expect(explorer.get_by_label("Pair", exact=True)).to_have_value("1")
    expect_places(explorer, 17, 4)
    desk.run("explorer.scheme = 'relative'; explorer.head = 2")
    expect(explorer.get_by_label("Head", exact=True)).to_have_value("2")


def test_a_large_table(desk) -> None:
    explorer = desk.shown(TITLE, LARGE)
    for scheme in SCHEMES:
        choose(explorer, scheme)
        click(explorer.locator(".cx-pattern canvas"), 400.5 / 512, 0.5)
        expect(place(explorer, "Query")).to_have_value("400")


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    explorer.locator("summary").click()
    place(explorer, "Query").focus()
    desk.page.keyboard.press("Shift+ArrowRight")
    assert place(explorer, "Query").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    for dark in (False, True):
        desk.set_theme(dark)
        for scheme in SCHEMES:
            choose(explorer, scheme)
            assert desk.look(explorer, f"positions-{scheme}") == []
