"""The positions explorer on a page of its own, and in JupyterLab what needs a kernel."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, expect

from course_lib.concepts.c05_positions.explorer import SCHEMES, PositionsExplorer
from course_lib.decoder import MAX_DISTANCE
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding, sinusoidal

TITLE = "Positions"
N, WIDTH, TRAINED, N_HEADS = 19, 6, 11, 3
VERBS = {"sinusoidal": "alike", "learned": "alike", "rotary": "scores", "ALiBi": "adds", "relative": "adds"}
BROWN, VIOLET, VERMILION = (179, 98, 26), (118, 84, 196), (213, 94, 0)


def random_table(n: int = N, width: int = WIDTH) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0))


def positions(n: int = N, width: int = WIDTH, trained: int = TRAINED, **choices: Any) -> PositionsExplorer:
    options = {name: choices.pop(name) for name in ("n_heads", "learned") if name in choices}
    explorer = PositionsExplorer(n, width, trained, **{"n_heads": N_HEADS, **options})
    for name, value in choices.items():
        setattr(explorer, name, value)
    return explorer


@pytest.fixture
def show(alone_page) -> Callable[..., Locator]:
    return lambda **choices: alone_page.shown(positions(**choices), choices.pop("page_width", 1000))


def place(explorer: Locator, name: str) -> Locator:
    return explorer.get_by_label(f"Place of the {name}")


def choose(explorer: Locator, side: str, scheme: str) -> None:
    explorer.get_by_label(f"Scheme on the {side}").select_option(scheme)


def expect_places(explorer: Locator, query: int, key: int) -> None:
    expect(place(explorer, "query")).to_have_value(str(query))
    expect(place(explorer, "key")).to_have_value(str(key))


def plot(explorer: Locator, side: int = 0) -> Locator:
    return explorer.locator(".plot").nth(side)


def spot(explorer: Locator, side: int, column: float, row: float | None = None) -> tuple[float, float]:
    """A point of the window: of a pattern, in places; without a row, on the curve."""
    canvas = plot(explorer, side).locator("canvas").bounding_box()
    n = int(plot(explorer, side).locator("canvas").get_attribute("width") or 0)
    below = canvas["height"] + 80
    share = below / canvas["height"] if row is None else (row + 0.5) / n
    return canvas["x"] + canvas["width"] * (column + 0.5) / n, canvas["y"] + canvas["height"] * share


def library_scores(scheme: str, explorer: PositionsExplorer, table: torch.Tensor | None) -> np.ndarray:
    """Of each head, each query's place with each key's, by the library's own classes."""
    n, width, heads, trained = (
        explorer.state[name] for name in ("n_places", "d_model", "n_heads", "trained")
    )
    if scheme == "ALiBi":
        return ALiBi(heads)(torch.zeros(1, heads, n, 1), n).numpy()
    if scheme == "relative":
        torch.manual_seed(0)
        relative = RelativePositions(width, min(MAX_DISTANCE, trained - 1))
        queries = torch.randn(1, heads, 1, width).expand(-1, -1, n, -1)
        return relative(queries, n)[0].detach().numpy()
    if scheme == "rotary":
        vectors = RotaryEmbedding(width, n)(torch.ones(1, 1, n, width))[0, 0]
    else:
        vectors = sinusoidal(n, width) if scheme == "sinusoidal" else table
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    return (unit @ unit.T)[None].numpy()


def computed(alone_page, explorer: PositionsExplorer, scheme: str) -> dict[str, Any]:
    """The page's own formulas: all scores, what each place gets, and the spread at each offset."""
    script = explorer._esm.replace("export default { render };", "")
    found = alone_page.page.evaluate(
        """([script, name, sizes, tables]) => {
            const { schemeOf } = new Function(`${script}; return { schemeOf };`)();
            const scheme = schemeOf(name, sizes, tables);
            const { n_places: n, d_model: width } = sizes;
            const places = [...Array(n).keys()];
            const heads = scheme.heads || 1;
            const of = (length, f) => [...Array(length).keys()].map(f);
            return JSON.stringify({
                scores: of(heads, (head) => places.map((q) => places.map((k) => scheme.score(q, k, head)))),
                spread: of(heads, (head) => of(2 * n - 1, (i) => scheme.spread(i - n + 1, head))),
                numbers: scheme.numbers && places.map((place) => of(width, (i) => scheme.numbers(place, i))),
                speeds: scheme.speeds,
                ends: scheme.ends,
            });
        }""",
        [script, scheme, explorer.state, explorer.tables],
    )
    return json.loads(found)


HARD = {
    "usual": (N, WIDTH, TRAINED, N_HEADS, random_table()),
    "one place": (1, 2, 1, 1, random_table(1, 2)),
    "two, odd heads": (2, 4, 1, 5, random_table(2, 4)),
    "no table": (23, 6, 7, 12, None),
    "many heads, zeros": (40, 32, 33, 64, torch.eye(40, 32)),
    "large numbers": (40, 8, 40, 6, random_table(40, 8) * 1e6),
    "many places": (150, 64, 128, 2, random_table(150, 64).cumsum(0)),
}


@pytest.mark.parametrize("case", HARD)
def test_the_page_computes_what_the_library_computes(alone_page, case: str) -> None:
    n, width, trained, heads, table = HARD[case]
    explorer = PositionsExplorer(n, width, trained, n_heads=heads, learned=table)
    if table is None:
        torch.manual_seed(0)
        table = torch.empty(n, width).normal_(std=0.02)
    for scheme in SCHEMES:
        found = computed(alone_page, explorer, scheme)
        expected = library_scores(scheme, explorer, table)
        np.testing.assert_allclose(found["scores"], expected, atol=2e-4)
        for head, scores in enumerate(expected):
            diagonals = [scores.diagonal(offset) for offset in range(1 - n, n)]
            ends = [(each.min(), each.max()) for each in diagonals]
            np.testing.assert_allclose(found["spread"][head], ends, atol=2e-4)
        np.testing.assert_allclose(found["ends"], (expected.min(), expected.max()), atol=2e-4)
        numbers = {"sinusoidal": sinusoidal(n, width), "learned": table}.get(scheme)
        if numbers is None:
            assert found["numbers"] is None
        else:
            size = numbers.abs().max().item() or 1
            np.testing.assert_allclose(np.divide(found["numbers"], size), numbers / size, atol=6e-5)
        turns = RotaryEmbedding(width, 2)
        steps = torch.atan2(turns.sin[1], turns.cos[1]) if scheme in ("sinusoidal", "rotary") else []
        np.testing.assert_allclose(found["speeds"], steps, rtol=1e-4)


def test_the_sentence_says_both_scores(show) -> None:
    table = random_table()
    for left, right in (("sinusoidal", "learned"), ("rotary", "ALiBi"), ("relative", "relative")):
        explorer = positions(learned=table, left=left, right=right, query=4, key=13, head=1)
        found = show(learned=table, left=left, right=right, query=4, key=13, head=1)
        scores = [library_scores(scheme, explorer, table) for scheme in (left, right)]
        written = []
        for each in scores:
            score = each[min(1, len(each) - 1), 4, 13]
            written.append(f"{score:.{3 if abs(score) < 0.0995 else 2}f}".replace("-", "−"))
        is_alike = {left, right} == {"sinusoidal", "learned"}
        verbs = ("alike by", "by") if is_alike else (VERBS[left], VERBS[right])
        said = f", 9 places on: {left} {verbs[0]} {written[0]}, {right} {verbs[1]} {written[1]}."
        expect(found.get_by_role("status")).to_have_text(said)
    place(found, "key").fill("4")
    expect(found.get_by_role("status")).to_contain_text(", the same place: ")
    place(found, "key").fill("3")
    expect(found.get_by_role("status")).to_contain_text(", 1 place back: ")


def test_pointing_previews_and_a_click_keeps(show) -> None:
    explorer = show(query=7, key=3, left="sinusoidal", right="rotary")
    mouse = explorer.page.mouse
    for side, row, (query, key) in (
        (0, 5, (7, 15)),
        (1, 12, (12, 15)),
        (0, None, (7, 15)),
        (1, None, (7, 15)),
    ):
        mouse.move(*spot(explorer, side, 15, row))
        expect_places(explorer, query, key)
        mouse.move(2, 2)
        expect_places(explorer, 7, 3)
    mouse.move(*spot(explorer, 1, 15, 12))
    mouse.down()
    mouse.up()
    mouse.move(2, 2)
    expect_places(explorer, 12, 15)
    expect(explorer.get_by_role("group", name="Two schemes")).to_be_focused()
    mouse.move(*spot(explorer, 0, 4, 3))  # what a place gets: a column is a key
    mouse.down()
    mouse.move(*spot(explorer, 0, 9, 3))
    mouse.up()
    mouse.move(2, 2)
    expect_places(explorer, 12, 9)


def test_flags_and_the_line_between_them_can_be_dragged(show) -> None:
    explorer = show(query=12, key=4)
    mouse = explorer.page.mouse

    def drag(start: Locator, side: int, to: float, row: float = 0) -> None:
        box = start.bounding_box()
        mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse.down()
        x, y = spot(explorer, side, to, row)
        mouse.move(x, y - 30 if side == 0 else y, steps=6)
        mouse.up()
        mouse.move(2, 2)

    flag = plot(explorer).locator('[data-hold="query"]')
    drag(flag, 0, 16)
    expect_places(explorer, 16, 4)
    drag(plot(explorer).locator('[data-hold="key"]'), 0, 2)
    expect_places(explorer, 16, 2)
    drag(plot(explorer, 1).locator('[data-hold="query"]'), 1, 9, row=7)  # rotary: a row
    expect_places(explorer, 7, 2)
    drag(plot(explorer).locator(".hit"), 0, 8)  # by its middle, from 4.5
    query, key = (int(place(explorer, name).input_value()) for name in ("query", "key"))
    assert (query - key, query > 7) == (5, True)
    drag(plot(explorer).locator(".hit"), 0, 18)  # as far as both can go
    expect_places(explorer, 18, 13)


def test_a_finger_that_scrolls_has_chosen_nothing(show) -> None:
    explorer = show(query=7, key=3)
    x, y = spot(explorer, 0, 15, 5)
    event = {"clientX": x, "clientY": y, "pointerId": 1, "bubbles": True, "pointerType": "touch"}
    plot(explorer).evaluate("e => { e.setPointerCapture = () => {}; }")
    plot(explorer).dispatch_event("pointerdown", event)
    expect_places(explorer, 7, 15)
    plot(explorer).dispatch_event("pointercancel", event)
    expect_places(explorer, 7, 3)


def test_keyboard_alone(show) -> None:
    explorer = show(query=5, key=2)
    keyboard = explorer.page.keyboard
    explorer.get_by_role("radio", name="What a place gets").focus()
    keyboard.press("ArrowRight")
    expect(explorer.get_by_role("radio", name="All pairs")).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_role("button", name="How the number comes about")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(place(explorer, "query")).to_be_focused()
    keyboard.press("ArrowUp")
    expect_places(explorer, 6, 2)
    keyboard.press("Shift+ArrowUp")
    expect_places(explorer, 5, 1)
    keyboard.press("Tab")
    expect(place(explorer, "key")).to_be_focused()
    keyboard.press("Shift+ArrowRight")
    expect_places(explorer, 6, 2)
    for name, places in (("Move both one back", (5, 1)), ("Move both one on", (6, 2))):
        keyboard.press("Tab")
        expect(explorer.get_by_role("button", name=name)).to_be_focused()
        keyboard.press("Enter")
        expect_places(explorer, *places)
    keyboard.press("Tab")
    expect(explorer.get_by_role("group", name="Two schemes")).to_be_focused()
    assert explorer.locator(".stage").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    for key, query, other in (
        ("ArrowRight", 6, 3),
        ("ArrowLeft", 6, 2),
        ("ArrowDown", 7, 2),
        ("ArrowUp", 6, 2),
        ("Shift+ArrowLeft", 5, 1),
        ("Shift+ArrowUp", 4, 0),
        ("Shift+ArrowUp", 4, 0),  # no farther
        ("ArrowLeft", 4, 0),
        ("Shift+ArrowDown", 5, 1),
    ):
        keyboard.press(key)
        expect_places(explorer, query, other)
    keyboard.press("Tab")
    expect(explorer.get_by_label("Scheme on the left")).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_role("radiogroup", name="Hand").first.get_by_role("radio").first).to_be_focused()
    keyboard.press("ArrowRight")
    expect(explorer.locator(".cx-text")).to_contain_text("Hand 1, a round in 135 places")


def written_ends(scores: np.ndarray) -> list[str]:
    return [
        f"{end:.{3 if abs(end) < 0.0995 else 2}f}".replace("-", "−") for end in (scores.min(), scores.max())
    ]


def test_what_stays_when_both_move_on_is_told(show) -> None:
    table = random_table()
    explorer = show(trained=N, learned=table, query=4, key=9)
    values, answer = explorer.locator(".value"), explorer.locator(".ask p")
    begun = values.all_text_contents()
    assert all(each.startswith("alike ") for each in begun)
    expect(answer).to_contain_text("which number stays exactly?")
    on = explorer.get_by_role("button", name="Move both one on")
    for _ in range(3):
        on.click()
    expect_places(explorer, 7, 12)
    scores = library_scores("learned", positions(), table)[0]
    was, now = (
        f"{score:.{3 if abs(score) < 0.0995 else 2}f}".replace("-", "−")
        for score in (scores[4, 9], scores[7, 12])
    )
    stays = begun[0].replace("alike", "still")
    expect(values).to_have_text([stays, f"{was} → {now}"])
    least, most = written_ends(scores.diagonal(5))
    told = f"Both 3 on: sinusoidal {stays}, learned {was} → {now}; elsewhere {least} to {most}."
    expect(answer).to_have_text(told)
    place(explorer, "key").press("Shift+ArrowLeft")
    expect(values.first).to_have_text(stays)
    for _ in range(2):
        place(explorer, "key").press("Shift+ArrowLeft")
    expect(values).to_have_text(begun)  # back where they were
    on.click()
    place(explorer, "key").fill("5")  # another distance: nothing to compare
    expect(values.first).not_to_contain_text("still")
    expect(answer).to_contain_text("which number stays exactly?")


def humps(scores: np.ndarray, query: int) -> list[int]:
    """Places that stand out by a hundredth, the most alike first: no neighbours, none at the ends."""
    found = [
        place
        for place in range(2, len(scores) - 2)
        if abs(place - query) > 2
        and scores[place] > max(scores[place - 1], scores[place + 1])
        and scores[place] - max(scores[place - 2], scores[place + 2]) > 0.01
    ]
    return sorted(found, key=lambda place: -scores[place])


def test_what_a_reader_finds_is_told(show) -> None:
    table = random_table()
    explorer = show(trained=N, learned=table, query=4, key=9)
    answer = explorer.locator(".ask p")
    found = humps(library_scores("learned", positions(), table)[0, 4], 4)
    waves = humps(library_scores("sinusoidal", positions(), table)[0, 4], 4)
    assert len(found) > 1
    for key in range(6, N):
        place(explorer, "key").fill(str(key))
        if key in found:
            told = ("✓ Place {} looks most", "✓ Place {} looks nearly as much", "A hump: place {} looks")
            expect(answer).to_contain_text(f"{told[min(found.index(key), 2)].format(key)} like 4")
            expect(answer).to_contain_text("(learned ")
        elif key in waves:
            expect(answer).to_contain_text("(sinusoidal ")
        else:
            expect(answer).to_contain_text("Which places look most like place 4")
    choose(explorer, "left", "rotary")
    choose(explorer, "right", "relative")
    expect(answer).to_contain_text("from which distance on does relative")
    place(explorer, "query").fill("0")
    expect(answer).to_have_text("From 16 on: relative adds the same, however far.")


def test_random_rows_are_no_find(alone_page) -> None:
    explorer = alone_page.shown(positions(64, 32, 64, query=20, key=26))
    answer = explorer.locator(".ask p")
    waves = humps(library_scores("sinusoidal", positions(64, 32, 64), None)[0, 20], 20)
    assert waves
    for key in range(40):
        place(explorer, "key").fill(str(key))
        if key in waves:
            expect(answer).to_contain_text(re.compile(f"[Pp]lace {key} looks .*sinusoidal"))
        else:
            expect(answer).to_contain_text("Which places look most like place 20")


def test_what_hardly_moves_is_called_nearly(show) -> None:
    angles = torch.linspace(0, 3, 8).double() ** 1.01
    explorer = show(
        n=8, width=2, trained=8, learned=torch.stack([angles.cos(), angles.sin()], 1), query=2, key=4
    )
    explorer.get_by_role("button", name="Move both one on").click()
    expect(explorer.locator(".ask p")).to_contain_text("learned nearly, ")


def test_a_question_fits_what_is_shown(show) -> None:
    asked = set()
    for left, right in (
        ("sinusoidal", "sinusoidal"),
        ("sinusoidal", "rotary"),
        ("rotary", "ALiBi"),
        ("rotary", "relative"),
        ("rotary", "rotary"),
    ):
        explorer = show(trained=N, query=4, key=9, left=left, right=right)
        asked.add(explorer.locator(".ask p").text_content())
    assert len(asked) == 5


def test_the_key_goes_to_both_ends(show) -> None:
    explorer = show(query=5, key=2)
    for key, at in (("End", N - 1), ("Home", 0)):
        explorer.get_by_label("Two schemes").press(key)
        expect_places(explorer, 5, at)


def test_a_scheme_that_stands_on_the_other_side_changes_places(show) -> None:
    explorer = show(left="sinusoidal", right="rotary")
    choose(explorer, "left", "rotary")
    expect(explorer.get_by_label("Scheme on the left")).to_have_value("rotary")
    expect(explorer.get_by_label("Scheme on the right")).to_have_value("sinusoidal")


def test_a_number_that_hardly_moved_is_not_said_to_stay(show) -> None:
    # Two numbers for each of eight places, whose cosine at distance 1 grows by a ten thousandth a place.
    angles = torch.arccos(0.5 + 1e-4 * torch.arange(7).double())
    turned = torch.cat([torch.zeros(1).double(), angles.cumsum(0)])
    explorer = show(
        n=8, width=2, trained=8, learned=torch.stack([turned.cos(), turned.sin()], 1), query=0, key=1
    )
    explorer.get_by_role("button", name="Move both one on").click()
    expect(explorer.locator(".value").last).to_have_text("0.5000 → 0.5001")


def test_a_button_that_is_held_goes_on(show) -> None:
    explorer = show(query=4, key=9)
    explorer.get_by_role("button", name="Move both one on").hover()
    explorer.page.mouse.down()
    expect_places(explorer, N - 1 - 5, N - 1)  # as far as both can go
    explorer.page.mouse.up()
    expect_places(explorer, N - 1 - 5, N - 1)
    explorer.get_by_role("button", name="Move both one back").click()
    expect_places(explorer, N - 2 - 5, N - 2)


def test_a_place_that_does_not_exist_is_told(show) -> None:
    explorer = show(query=4, key=9)
    for typed, nearest, limit in (("40", N - 1, "0 to 18"), ("-3", 0, "0 to 18")):
        place(explorer, "key").fill(typed)
        expect_places(explorer, 4, nearest)
        expect(explorer.locator(f'.spin[data-limit="{limit}"]')).to_have_count(1)
        place(explorer, "key").fill("9")
    place(explorer, "key").fill("")
    place(explorer, "key").blur()
    expect_places(explorer, 4, 9)


def test_places_have_numbers_in_some_schemes_only(show) -> None:
    explorer = show(left="rotary", right="learned")
    tab, why = explorer.get_by_role("radio", name="What a place gets"), explorer.locator(".unable")
    expect(tab).to_be_checked()
    expect(tab).to_be_enabled()
    expect(why).to_be_hidden()
    choose(explorer, "right", "ALiBi")
    expect(explorer.get_by_role("radio", name="All pairs")).to_be_checked()
    expect(tab).to_be_disabled()
    expect(why).to_contain_text("Neither adds numbers to a place")
    explorer.get_by_role("radio", name="All pairs").press("ArrowLeft")
    choose(explorer, "right", "sinusoidal")
    expect(tab).to_be_checked()


@pytest.mark.parametrize("page_width", [1000, 683, 390, 320])
def test_the_pictures_sides_and_the_grey_are_named(alone_page, page_width: int) -> None:
    table = random_table(64, 384)
    for pairs in (False, True):
        explorer = alone_page.shown(positions(64, 384, 64, learned=table, pairs=pairs), page_width)
        for side in (0, 1):
            picture = plot(explorer, side).locator("svg")
            expect(picture).to_contain_text("place of the key →" if pairs else "place →")
            expect(picture).to_contain_text("query" if pairs else "numbers")
        expect(plot(explorer, 1).locator("svg")).to_contain_text("grey: other places")


def test_rows_of_a_wide_table_are_those_of_hands_that_turn(alone_page) -> None:
    explorer = alone_page.shown(positions(64, 384, 64, learned=random_table(64, 384)))
    canvas = plot(explorer).locator("canvas")
    pixels = canvas.evaluate("e => [...e.getContext('2d').getImageData(0, 0, e.width, e.height).data]")
    shown = np.array(pixels).reshape(-1, 64, 4)[..., 3] / 255
    # The slowest still goes half round: its cosine, the last row, from 1 to about −1.
    assert len(shown) == 64
    assert shown[-1].min() < 0.05
    assert shown[-1][[0, -1]].min() > 0.95


def test_the_curves_shade_is_how_far_other_places_differ(show) -> None:
    explorer = show(learned=random_table(), query=4, key=9)
    for side, is_even in ((0, True), (1, False)):
        points = plot(explorer, side).locator(".shade").get_attribute("points") or ""
        y = np.array([float(pair.split(",")[1]) for pair in points.split()])
        widths = y[:N] - y[N:][::-1]  # the least lies lower
        assert (widths.max() < 0.11) == is_even
        assert widths.min() >= 0


def test_the_score_stands_on_its_curve(show) -> None:
    explorer = show(query=4, key=9, left="ALiBi", right="relative", head=2)
    for side, scheme in enumerate(("ALiBi", "relative")):
        part = plot(explorer, side)
        line = "".join(part.locator("path.score").nth(i).get_attribute("d") or "" for i in range(2))
        at = {float(x): float(y) for x, y in re.findall(r"([\d.]+),([\d.]+)", line)}
        dot = [float(part.locator(".dot").get_attribute(name) or "nan") + 4.5 for name in ("x", "y")]
        x = min(at, key=lambda each: abs(each - dot[0]))
        assert (x, at[x]) == pytest.approx(dot, abs=0.06)
        scores = library_scores(scheme, positions(), None)[2, 4]
        heights = np.array([at[x] for x in sorted(at)])
        assert np.corrcoef(heights, -scores)[0, 1] > 0.9999  # a straight scale


def test_patterns_have_the_librarys_numbers(alone_page) -> None:
    table = random_table()
    cases = (
        ("sinusoidal", False, sinusoidal(N, WIDTH).T),
        ("learned", False, table.T),
        ("learned", True, None),
        ("rotary", False, None),
        ("ALiBi", True, None),
    )
    for scheme, pairs, numbers in cases:
        explorer = positions(learned=table, left=scheme, right=scheme, pairs=pairs)
        found = alone_page.shown(explorer)
        canvas = plot(found).locator("canvas")
        expect(canvas).to_have_attribute("height", str(WIDTH if numbers is not None else N))
        pixels = canvas.evaluate("e => [...e.getContext('2d').getImageData(0, 0, e.width, e.height).data]")
        shown = np.array(pixels).reshape(-1, N, 4)
        if numbers is None:
            every_head = library_scores(scheme, explorer, table)
            least, most = every_head.min(), every_head.max()
            share, inks = (every_head[0] - least) / (most - least), np.full((N, N, 3), VERMILION)
        else:
            rows = np.sort(np.abs(numbers.numpy()).ravel())
            share = np.clip(np.abs(numbers.numpy()) / rows[int(0.99 * (rows.size - 1))], 0, 1)
            inks = np.where((numbers.numpy() < 0)[..., None], BROWN, VIOLET)
        np.testing.assert_allclose(shown[..., 3], 255 * share, atol=1.01)
        # A pale pixel keeps its colour only roughly.
        solid = shown[..., 3] > 200
        np.testing.assert_allclose(shown[solid][:, :3], inks[solid], atol=2)


def test_hands_turn_as_the_library_turns(show) -> None:
    explorer = show(parts=True, query=7, key=3)
    for pair, step in enumerate(10_000 ** (-2 * np.arange(WIDTH // 2) / WIDTH)):
        if (2 * math.pi / step) > 10 * N:
            continue  # it hardly moves here, and is left out
        face = explorer.locator(".parts").first.get_by_role("radio").nth(pair)
        for name, at in (("query", 7), ("key", 3)):
            x, y = (
                float(part)
                for part in re.findall(r"-?[\d.]+", face.locator(f"path.{name}").get_attribute("d") or "")[
                    -2:
                ]
            )
            assert math.atan2(x, -y) == pytest.approx(math.remainder(at * step, 2 * math.pi), abs=2e-3)


def test_a_hand_shows_where_it_comes_round(show) -> None:
    explorer = show(parts=True, n=64, width=32, trained=64, query=20, key=26)
    cell = plot(explorer).locator("canvas").bounding_box()["width"] / 64
    hands = explorer.get_by_role("radiogroup", name="Hand").get_by_role("radio")
    names = [each.get_attribute("aria-label") or "" for each in hands.all()]
    assert [name.split()[-2] for name in names] == ["6.3", "11", "35", "63", "112", "353", "628"]
    for i, places in ((0, 2 * math.pi), (1, 2 * math.pi * 10_000 ** (2 / 32)), (3, 62.83)):
        hands.nth(i).click()
        expect(hands.nth(i)).to_have_attribute("aria-checked", "true")
        lines = [
            float(x)
            for x in re.findall(r"M([\d.]+)", plot(explorer).locator(".round").get_attribute("d") or "")
        ]
        middle = 32 + 20.5 * cell
        expected = [
            x for x in (middle + turn * places * cell for turn in range(-12, 12)) if 32 <= x <= 32 + 64 * cell
        ]
        assert lines == pytest.approx(expected, abs=0.1)


def test_a_hand_that_python_chose_is_among_those_shown(show) -> None:
    explorer = show(parts=True, n=64, width=32, trained=64, pair=14)
    hands = explorer.get_by_role("radiogroup", name="Hand").get_by_role("radio")
    expect(hands.nth(6)).to_have_attribute("aria-checked", "true")
    expect(explorer.locator(".cx-text")).to_contain_text("Hand 14, a round in 19,869 places")
    hands.nth(6).press("ArrowLeft")
    expect(hands.nth(5)).to_be_focused()
    expect(hands.nth(5)).to_have_attribute("aria-checked", "true")


def test_what_was_never_trained_is_told_and_hatched(show) -> None:
    explorer = show(query=10, key=10, left="sinusoidal", right="rotary")
    notes = explorer.locator(".note")
    expect(explorer.locator(".ask")).to_contain_text("11 of 19 places were trained")
    said = (
        (10, 10, "Both places were trained.", "Distance 0 was trained: nothing is new."),
        (11, 10, "New: the vector of the query.", "Distance 1 was trained: nothing is new."),
        (
            12,
            18,
            "New: the vectors of both places.",
            "Distance 6 was trained: nothing is new.",
        ),
        # The first hand came everywhere in ten steps, the other two did not.
        (3, 14, "New: the vector of the key.", "Distance 11 is new: 2 of 3 hands are at new angles."),
    )
    for query, key, added, turned in said:
        place(explorer, "query").fill(str(query))
        place(explorer, "key").fill(str(key))
        expect(notes).to_have_text([added, turned])
    choose(explorer, "left", "ALiBi")
    choose(explorer, "right", "relative")
    expect(notes).to_have_text(
        ["Distance 11 is new: the line goes on.", "Distance 11 is new: it counts as 10."]
    )
    # Hatched, from place 14 on: 11 and more from place 3.
    canvas = plot(explorer).locator("canvas").bounding_box()
    boxes = [each.bounding_box() for each in plot(explorer).locator(".new").all()]
    curve = next(box for box in boxes if box["y"] > canvas["y"] + canvas["height"])
    assert (curve["x"] - canvas["x"]) / canvas["width"] == pytest.approx(14 / N, abs=0.01)
    expect(show(trained=N).locator(".new")).to_have_count(0)


def test_heads_belong_to_schemes_that_differ_by_head(show) -> None:
    explorer = show(parts=True, left="ALiBi", right="sinusoidal", query=0, key=3)
    heads = explorer.get_by_role("radiogroup", name="Head").get_by_role("radio")
    expect(heads).to_have_count(N_HEADS)
    for i, slope in enumerate(ALiBi(N_HEADS).slopes.tolist()):
        heads.nth(i).hover()
        expect(explorer.locator(".value").first).to_have_text(
            f"adds −{3 * slope:.{2 if slope > 0.04 else 3}f}"
        )
    choose(explorer, "left", "learned")
    expect(heads).to_have_count(0)
    expect(explorer.locator(".stripes")).to_have_count(2)


def test_places_as_text(show) -> None:
    table = torch.eye(8)[:, :4] + torch.ones(8, 4)
    explorer = show(n=8, width=4, trained=5, n_heads=2, learned=table, query=1, key=3)
    explorer.get_by_role("button", name="As text").click()
    # (cos 2 + cos 0.02) / 2; rows (1, 2, 1, 1) and (1, 1, 1, 2), later ones without a 2
    said = """Query at place 1, key at place 3, 2 places on: sinusoidal alike by 0.29, learned by 0.86.
sinusoidal: adds waves to the word's vector; how alike place 1 and each are (cosine; 1: the same): 0.29.
From all places, at this distance: 0.29.
Hand 0, a round in 6.3 places: query at 57°, key at 172°.
Both places were trained.
learned: adds 4 numbers, found by training; how alike place 1 and each are (cosine; 1: the same): 0.86.
From all places, at this distance: 0.86 to 1.00.
Both places were trained."""
    assert explorer.locator(".cx-text").text_content() == said


@pytest.mark.parametrize(("width", "most"), [(1000, 620), (760, 640), (683, 640), (390, 700), (320, 780)])
def test_it_keeps_its_height_and_stays_within(alone_page, width: int, most: int) -> None:
    explorer = alone_page.shown(positions(64, 32, 32, query=21, key=12), width)
    page = explorer.page
    before = explorer.bounding_box()["height"]
    assert before <= most
    for left, right in (("sinusoidal", "learned"), ("rotary", "ALiBi"), ("relative", "relative")):
        choose(explorer, "left", left)
        choose(explorer, "right", right)
        for query, key in (("63", "0"), ("40", "40")):
            place(explorer, "query").fill(query)
            place(explorer, "key").fill(key)
        page.keyboard.press("Shift+ArrowUp")
        assert explorer.bounding_box()["height"] == before
        opens = explorer.get_by_role("button", name="How the number comes about")
        opens.click()
        assert explorer.bounding_box()["height"] == before
        *parts, foot = explorer.locator(".parts > p, .parts button, .foot").evaluate_all(
            "all => all.map((each) => each.getBoundingClientRect()).map(({ top, bottom }) => [top, bottom])"
        )
        assert parts
        assert max(bottom for _, bottom in parts) <= foot[0]  # nothing is written over the foot
        opens.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Nothing is drawn beyond the frame, and nothing is cut.
        beyond = explorer.evaluate(
            """e => {
                const frame = e.getBoundingClientRect();
                const isOut = ({ left, right }) => left < frame.left || right > frame.right;
                const isShown = (n) => n.getClientRects().length && !n.closest(".busy");
                const isCut = (n) => n instanceof HTMLElement && !n.matches("input, .spin button")
                    && n.clientWidth && n.children.length === 0 && n.scrollWidth > n.clientWidth + 1;
                return [...e.querySelectorAll(".ex *")].filter(isShown)
                    .filter((n) => isOut(n.getBoundingClientRect()) || isCut(n)).map((n) => n.outerHTML);
            }"""
        )
        assert beyond == []


def test_on_a_phone_details_take_the_patterns_place(alone_page) -> None:
    explorer = alone_page.shown(positions(64, 32, 64, left="rotary", query=20, key=26), 390)
    opens = explorer.get_by_role("button", name="How the number comes about")
    curves = [plot(explorer, side).locator("path.score").first for side in (0, 1)]
    before = [each.bounding_box()["height"] for each in curves]
    opens.click()
    expect(explorer.locator("canvas:not(.strip)").first).to_be_hidden()
    assert all(each.bounding_box()["height"] > was for each, was in zip(curves, before, strict=True))
    # Both flags can still be dragged, and a choice of the pattern shows it.
    flag, to = plot(explorer).locator('[data-hold="key"]').bounding_box(), plot(explorer).bounding_box()
    mouse = explorer.page.mouse
    mouse.move(flag["x"] + flag["width"] / 2, flag["y"] + flag["height"] / 2)
    mouse.down()
    mouse.move(to["x"] + to["width"] / 2, flag["y"] + 5)
    mouse.up()
    expect(place(explorer, "query")).to_have_value("20")
    assert int(place(explorer, "key").input_value()) > 26
    explorer.get_by_role("radio", name="All pairs").click()
    expect(opens).to_have_attribute("aria-pressed", "false")
    expect(explorer.locator("canvas").first).to_be_visible()


def test_a_finger_has_room(alone_page) -> None:
    touch = alone_page.page.context.new_cdp_session(alone_page.page)
    heights = []
    for is_touched in (False, True):
        touch.send("Emulation.setTouchEmulationEnabled", {"enabled": is_touched})
        explorer = alone_page.shown(positions(), 390)
        controls = explorer.locator(".ex :is(button, select, input)")
        heights.append(controls.evaluate_all("all => Math.min(...all.map(e => e.offsetHeight || 32))"))
    touch.detach()
    assert heights[0] < heights[1] == 32


@pytest.mark.parametrize(
    ("explorer", "query", "key"),
    [
        (positions(1, 2, 1, n_heads=1), 0, 0),
        (positions(512, 64, 384, n_heads=64, head=63, learned=torch.eye(512, 64), pair=31), 230, 162),
    ],
    ids=["smallest", "largest"],
)
def test_the_smallest_and_the_largest(alone_page, explorer: PositionsExplorer, query: int, key: int) -> None:
    found = alone_page.shown(explorer)
    mouse = found.page.mouse
    for scheme in SCHEMES:
        choose(found, "right", scheme)
        mouse.move(*spot(found, 1, 0.2, 0.2))
        on = found.get_by_role("button", name="Both one on")
        on.evaluate("e => { for (let i = 0; i < 12; i += 1) e.click(); }")
        mouse.move(2, 2)
        expect(found.get_by_role("status")).not_to_contain_text("NaN")
        drawn = found.locator("svg").evaluate_all("all => all.map((each) => each.outerHTML).join('')")
        assert not re.search("NaN|Infinity|undefined", drawn)
    expect_places(found, query, key)  # sixty places further, where there are as many
    expect(found.get_by_role("alert")).to_be_empty()


def test_accessible_and_large_enough_to_read(alone_page) -> None:
    table = random_table(64, 32)
    assert alone_page.look(positions(64, 32, 32, learned=table, query=20, key=26), "positions") == []
    sizes = alone_page.page.locator(".ex").evaluate(
        "e => [...e.querySelectorAll('*')].filter((n) => n.textContent.trim() && n.getClientRects().length)"
        ".map((n) => parseFloat(getComputedStyle(n).fontSize))"
    )
    assert min(sizes) >= 12


def test_with_a_kernel(desk) -> None:
    explorer = desk.shown(
        TITLE,
        "from course_lib.concepts.c05_positions.explorer import PositionsExplorer\n"
        f"explorer = PositionsExplorer({N}, {WIDTH}, {TRAINED})\n"
        "explorer",
    )
    cells = desk.page.locator(".jp-CodeCell").count()
    choose(explorer, "right", "ALiBi")
    plot(explorer).click()
    expect(explorer.locator(".stage")).to_be_focused()  # JupyterLab does not take it away
    place(explorer, "key").fill("3")
    place(explorer, "query").fill("12")
    explorer.locator(".stage").focus()
    for key in ("ArrowRight", "b", "d", "d"):  # to JupyterLab: a new cell, and away with one
        desk.page.keyboard.press(key)
    assert desk.page.locator(".jp-CodeCell").count() == cells
    desk.knows("explorer.left, explorer.right, explorer.query, explorer.key", ("sinusoidal", "ALiBi", 12, 4))
    desk.run("explorer.right, explorer.pairs, explorer.head, explorer.key = 'relative', True, 2, 9")
    desk.run("explorer.parts = True")
    expect(explorer.get_by_label("Scheme on the right")).to_have_value("relative")
    expect(explorer.get_by_role("radio", name="All pairs")).to_have_attribute("aria-checked", "true")
    expect(explorer.get_by_role("radio", name="head 2")).to_have_attribute("aria-checked", "true")
    expect_places(explorer, 12, 9)
    ground = explorer.evaluate("e => getComputedStyle(e).backgroundColor")
    desk.set_theme(True)
    assert explorer.evaluate("e => getComputedStyle(e).backgroundColor") != ground
