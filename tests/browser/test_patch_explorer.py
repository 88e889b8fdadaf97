"""The patch explorer in JupyterLab: pictures, files and drawing, by mouse and by keyboard alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from course_lib.concepts.c02_patches.explorer import LARGEST_FILE

TITLE = "Patches"
PICTURES = """
import torch
from course_lib.data import digits, photographs
from course_lib.patches import patchify
from course_lib.concepts.c02_patches.explorer import PatchExplorer
pictures = {"three": digits()[0].inputs[0], "China": photographs()["China"]}
"""
SHOW = """
explorer = PatchExplorer(pictures, 2)
explorer
"""


@pytest.fixture
def explorer(desk) -> Locator:
    return desk.shown(TITLE, PICTURES, SHOW)


def title(explorer: Locator) -> Locator:
    return explorer.locator(".cx-title")


def picture(explorer: Locator) -> Locator:
    return explorer.get_by_role("slider", name="Opened token")


def click_place(explorer: Locator, row: float, column: float) -> None:
    """Click on the picture, at shares of its height and width."""
    box = picture(explorer).locator("canvas").bounding_box()
    picture(explorer).click(position={"x": box["width"] * column, "y": box["height"] * row})


def numbers(explorer: Locator, channel: str) -> list[list[int]]:
    """The table of one channel, as printed."""
    return explorer.locator(f'[data-channel="{channel}"] tr').evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => Number(cell.textContent)))"
    )


def reading(explorer: Locator) -> Locator:
    return explorer.locator(".cx-reading")


def sheet(desk) -> np.ndarray:
    """The picture that Python has, in sixteenths."""
    return np.array(json.loads(desk.run("print((explorer.image[0] * 16).tolist())")))


def png(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def test_a_patch_is_opened_by_mouse(desk, explorer: Locator) -> None:
    picture(explorer).scroll_into_view_if_needed()
    for token in (0, 3, 6, 13):
        row, column = divmod(token, 4)
        click_place(explorer, (row + 0.5) / 4, (column + 0.5) / 4)
        expect(title(explorer)).to_have_text(f"Patch {token + 1} of 16: row {row + 1}, column {column + 1}")
        expected = json.loads(
            desk.run(f"print((patchify(pictures['three'][None], 2)[0, {token}] * 16).int().tolist())")
        )
        assert numbers(explorer, "grey") == [expected[:2], expected[2:]]
        expect(explorer.locator(".cx-numbers").first).to_have_text(
            f"Flattened: {' '.join(map(str, expected))}"
        )
        # Ink is dark, on the picture and in the enlarged token.
        for number, (y, x) in zip(expected, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
            grey = 255 * (1 - number / 16)
            shown = desk.pixel(
                picture(explorer).locator("canvas"), (row + 0.55 + y / 4) / 4, (column + 0.55 + x / 4) / 4
            )
            close = desk.pixel(explorer.locator(".cx-token"), 0.25 + y / 2, 0.25 + x / 2)
            if (y, x) == (1, 1):
                np.testing.assert_allclose(shown, grey, atol=1)
            np.testing.assert_allclose(close, grey, atol=1)
    desk.knows("explorer.opened", 13)


def test_a_token_as_text(desk) -> None:
    explorer = desk.shown(
        TITLE,
        """
import torch
from course_lib.patches import PatchEmbedding
from course_lib.concepts.c02_patches.explorer import PatchExplorer
sums = PatchEmbedding(2, 1, 1)
sums.projection.weight.data.fill_(1)
sums.projection.bias.data.fill_(-2)
explorer = PatchExplorer({"sixteen": torch.arange(16).reshape(1, 4, 4) / 16}, 2, sums)
explorer.opened = 1
explorer
""",
    )
    desk.tells(
        explorer,
        "sixteen: 4 × 4 pixels. Numbers are 16ths: 0 is white paper and 16 full ink.",
        "2 × 2 = 4 tokens of 2 × 2 = 4 numbers.",
        "Attention computes a score for each pair of tokens: 4² = 16. "
        "With each pixel a token there would be 16² = 256, 16 times as many.",
        "In reading order.",
        "",
        "Patch 2 of 4: row 1, column 2",
        "grey:",
        "2 3",
        "6 7",
        "Flattened: 2 3 6 7",
        "Vector: −0.875",
    )
    text = explorer.locator(".cx-text")
    desk.run("explorer.cut, explorer.shuffled = 'rows', True")
    expect(text).to_contain_text(
        desk.run("print(explorer.pictures['sixteen']['cuts']['rows']['text_shuffled'])")
    )
    expect(text).to_contain_text("Row 2 of 4 grey: 4 5 6 7 Flattened: 4 5 6 7")
    # A token that this cut does not have: the last one.
    desk.run("explorer.opened = 99")
    expect(text).to_contain_text("Row 4 of 4")


def test_photographs_patches_and_rows(desk, explorer: Locator) -> None:
    explorer.get_by_label("Picture").select_option("China")
    size = explorer.get_by_label("One token is")
    expect(size.locator("option")).to_have_text(
        [*(f"a patch of {n} × {n} pixels" for n in (16, 32, 64)), "a row of pixels"]
    )
    size.select_option("64")
    expect(explorer).to_contain_text(
        "6 × 10 = 60 tokens of 3 × 64 × 64 = 12,288 numbers. Cropped to what fits:"
    )
    expect(explorer).to_contain_text("60² = 3,600.")
    click_place(explorer, 0.5 + 1 / 12, 0.35)
    expect(title(explorer)).to_have_text("Patch 34 of 60: row 4, column 4")
    crop = "pictures['China'][:, 192:256, 192:256]"
    for i, channel in enumerate(("red", "green", "blue")):
        expected = desk.run(f"print(({crop}[{i}, :4, :4] * 255).round().int().tolist())")
        assert numbers(explorer, channel) == json.loads(expected)
    pixel = json.loads(desk.run(f"print(({crop}[:, 32, 32] * 255).round().int().tolist())"))
    np.testing.assert_allclose(desk.pixel(explorer.locator(".cx-token"), 32.5 / 64, 32.5 / 64), pixel, atol=1)
    text = explorer.locator(".cx-text")
    expect(text).to_contain_text(f"green: {' '.join(map(str, numbers(explorer, 'green')[0]))}")
    expect(text).to_contain_text("Shown are the top left 4 × 4 of 64 × 64 numbers of each channel")
    size.select_option("16")
    expect(explorer).to_contain_text("The tokens are too small here for their numbers.")
    size.select_option("rows")
    expect(explorer).to_contain_text("427 tokens of 3 × 1 × 640 = 1,920 numbers.")
    picture(explorer).focus()
    desk.page.keyboard.press("Control+End")
    expect(title(explorer)).to_have_text("Row 427 of 427")


def test_shuffled_and_back_in_order(desk, explorer: Locator) -> None:
    order = json.loads(
        desk.run("print(torch.randperm(16, generator=torch.Generator().manual_seed(0)).tolist())")
    )
    # The lower right pixel of the patch that stands in each place.
    greys = json.loads(desk.run(f"print(patchify(pictures['three'][None], 2)[0, {order}, 3].tolist())"))
    explorer.get_by_label("order numbers").uncheck()
    explorer.get_by_role("button", name="Shuffle").click()
    canvas = picture(explorer).locator("canvas")
    for place, grey in enumerate(greys):
        row, column = divmod(place, 4)
        shown = desk.pixel(canvas, (row + 0.75) / 4, (column + 0.75) / 4)
        np.testing.assert_allclose(shown, 255 * (1 - grey), atol=1)
    click_place(explorer, 0.9, 0.9)
    expect(title(explorer)).to_contain_text(f"Patch {order[15] + 1} of 16")
    assert desk.run("print(torch.equal(explorer.image, pictures['three']))").strip() == "True"
    explorer.get_by_role("button", name="Back in order").click()
    click_place(explorer, 0.9, 0.9)
    expect(title(explorer)).to_contain_text("Patch 16 of 16")


def test_order_numbers(explorer: Locator) -> None:
    """They stand in the corners, which are white: without them nothing dark is there."""
    canvas = picture(explorer).locator("canvas")
    darkest = """canvas => {
        const [w, h] = [canvas.width / 4, canvas.height / 4];
        const { data } = canvas.getContext("2d").getImageData(3 * w + 3, 3 * h + 3, 30, 12);
        return Math.min(...data);
    }"""
    assert canvas.evaluate(darkest) < 50
    explorer.get_by_label("order numbers").uncheck()
    assert canvas.evaluate(darkest) > 200
    explorer.get_by_label("order numbers").check()
    assert canvas.evaluate(darkest) < 50


def test_keyboard_alone(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    explorer.get_by_label("Picture").focus()
    keyboard.press("Tab")
    expect(explorer.get_by_label("or one from a file")).to_be_focused()
    keyboard.press("Tab")
    expect(explorer.get_by_label("One token is")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(explorer.get_by_label("order numbers")).not_to_be_checked()
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(explorer.get_by_role("button", name="Back in order")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(picture(explorer)).to_be_focused()
    for key, token in (
        ("Control+Home", 1),
        ("ArrowLeft", 1),
        ("ArrowUp", 1),
        ("ArrowRight", 2),
        ("ArrowDown", 6),
        ("End", 8),
        ("ArrowRight", 8),
        ("Home", 5),
        ("Control+End", 16),
        ("ArrowDown", 16),
    ):
        keyboard.press(key)
        expect(picture(explorer)).to_have_attribute("aria-valuenow", str(token))
        expect(title(explorer)).to_contain_text(f"Patch {token} of 16: ")
    expect(picture(explorer)).to_have_attribute("aria-valuetext", "Patch 16 of 16: row 4, column 4")


def test_draw_by_keyboard(desk, explorer: Locator) -> None:
    keyboard = desk.page.keyboard
    expect(explorer.get_by_role("grid")).to_be_hidden()
    explorer.get_by_label("Picture").select_option("draw")
    cells_before = desk.page.locator(".jp-Cell").count()
    cell = explorer.get_by_role("gridcell").first
    cell.focus()
    for _ in range(3):
        keyboard.press("d")
    keyboard.press("l")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    keyboard.press("Space")
    keyboard.press("End")
    keyboard.press("Space")
    keyboard.press("l")
    desk.answered(explorer)
    expected = np.zeros((8, 8))
    expected[0, 0], expected[1, 1], expected[1, 7] = 2, 16, 15
    np.testing.assert_array_equal(sheet(desk), expected)
    expect(explorer.get_by_role("gridcell", name="row 2, column 8: grey 15 of 16")).to_be_focused()
    keyboard.press("d")
    desk.answered(explorer)
    keyboard.press("Space")
    desk.answered(explorer)
    expected[1, 7] = 0
    np.testing.assert_array_equal(sheet(desk), expected)
    click_place(explorer, 0.1, 0.1)
    assert numbers(explorer, "grey") == [[2, 0], [0, 16]]
    explorer.get_by_role("button", name="Clear").click()
    desk.answered(explorer)
    assert not sheet(desk).any()
    assert desk.page.locator(".jp-Cell").count() == cells_before


def test_draw_by_mouse(desk, explorer: Locator) -> None:
    explorer.get_by_label("Picture").select_option("draw")
    table = explorer.get_by_role("grid", name="Sheet to draw on")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    mouse = desk.page.mouse

    def to(x: float, y: float) -> None:
        mouse.move(box["x"] + box["width"] * x / 8, box["y"] + box["height"] * y / 8, steps=5)

    to(4.5, 1.5)
    mouse.down()
    to(4.5, 6.5)
    mouse.up()
    to(1.5, 6.5)  # the pen is up
    desk.answered(explorer)
    drawn = sheet(desk)
    assert (drawn[1:7, 4] == 16).all()
    assert (drawn[1:7, 3] > 0).all()
    assert not drawn[:, :3].any()
    shown = explorer.get_by_role("gridcell").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.grey))"
    )
    np.testing.assert_array_equal(np.array(shown).reshape(8, 8), drawn)
    explorer.get_by_label("rub out").check()
    to(4.5, 3.5)
    mouse.down()
    mouse.up()
    desk.answered(explorer)
    assert sheet(desk)[3, 4] == 0
    assert desk.run("print(explorer.source, tuple(explorer.image.shape))").strip() == "draw (1, 8, 8)"


def test_a_picture_from_a_file(desk, explorer: Locator, tmp_path: Path) -> None:
    file = explorer.get_by_label("or one from a file")
    file.set_input_files(
        {"name": "wall.png", "mimeType": "image/png", "buffer": png((255, 0, 51), (300, 200))}
    )
    expect(explorer.get_by_label("Picture")).to_have_value("your own picture")
    expect(explorer.get_by_label("One token is")).to_have_value("32")
    explorer.get_by_label("One token is").select_option("16")
    expect(explorer).to_contain_text("14 × 14 = 196 tokens of 3 × 16 × 16 = 768 numbers.")
    assert numbers(explorer, "red") == [[255] * 4] * 4
    assert numbers(explorer, "blue") == [[51] * 4] * 4
    assert desk.pixel(explorer.locator(".cx-token"), 0.5, 0.5) == [255, 0, 51]
    expect(explorer.locator(".cx-text")).to_contain_text("wall.png, the middle square of 200 × 300 pixels")
    alert = explorer.get_by_role("alert")
    file.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(alert).to_have_text("notes.txt holds no picture that can be read: try a PNG or JPEG file.")
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(LARGEST_FILE + 1))
    file.set_input_files(large)
    expect(alert).to_have_text("large.jpg has 6.0 MB, the explorer takes 6: scale it down.")
    assert desk.run("print(explorer.source, tuple(explorer.image.shape))").strip() == (
        "your own picture (3, 224, 224)"
    )
    # As much as is taken does arrive.
    noise = np.random.default_rng(0).integers(256, size=(1400, 1400, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    assert 5_800_000 < len(data.getvalue()) <= LARGEST_FILE
    big = tmp_path / "noise.png"
    big.write_bytes(data.getvalue())
    file.set_input_files(big)
    expect(explorer.locator(".cx-text")).to_contain_text("noise.png, the middle square of 1400 × 1400 pixels")
    expect(alert).to_be_empty()


def test_python_changes_the_page(desk, explorer: Locator) -> None:
    desk.run(
        "explorer.source = 'China'; explorer.cut = '32'; explorer.shuffled = True; explorer.opened = 259"
    )
    expect(explorer.get_by_label("Picture")).to_have_value("China")
    expect(explorer.get_by_label("One token is")).to_have_value("32")
    expect(title(explorer)).to_have_text("Patch 260 of 260: row 13, column 20")
    expect(explorer.get_by_role("button", name="Back in order")).to_be_visible()
    # Fewer tokens: the last is opened.
    explorer.get_by_label("One token is").select_option("64")
    expect(title(explorer)).to_have_text("Patch 60 of 60: row 6, column 10")
    desk.knows("explorer.source, explorer.cut, explorer.shuffled", ("China", "64", True))


def test_the_sheet_without_pictures(desk) -> None:
    explorer = desk.shown(
        TITLE,
        "from course_lib.concepts.c02_patches.explorer import PatchExplorer\n"
        "explorer = PatchExplorer({})\nexplorer",
    )
    expect(explorer.get_by_role("grid")).to_be_visible()
    expect(explorer.get_by_label("Picture").locator("option")).to_have_text(["draw one"])
    # Without a reader.
    expect(reading(explorer)).to_be_hidden()
    expect(explorer.get_by_role("button", name="Move")).to_have_count(0)


READ = """
def reads(image):
    if image[0, 7, 0] > 0:
        raise ValueError("This is no digit.")
    return f"Read as {(16 * image.flatten() @ torch.arange(64.0)).int()}."

explorer = PatchExplorer(pictures, 8, reads=reads)
explorer
"""


def test_a_picture_is_read_wherever_it_is_moved(desk) -> None:
    explorer = desk.shown(TITLE, PICTURES, READ)
    keyboard, seen = desk.page.keyboard, set()

    def stands(place: str, name: str = "three") -> None:
        expect(explorer.locator(".cx-text")).to_contain_text(f" {place} {name}: 8 × 8 pixels")
        desk.answered(explorer)
        said = desk.run("print(reads(explorer.image), end='')")
        expect(reading(explorer)).to_have_text(said)
        expect(explorer.locator(".cx-text")).to_contain_text(f"{said} {place} {name}: ")
        shown = numbers(explorer, "grey")
        assert shown == json.loads(desk.run("print((explorer.image[0] * 16).int().tolist())"))
        seen.add(said)

    stands("In its place.")
    # Faster than Python answers.
    hurry = """(e, [names, ways]) => {
        const select = e.querySelector("select");
        for (const name of names) {
            select.value = name;
            select.dispatchEvent(new Event("change"));
        }
        for (const way of ways) e.querySelector(`[aria-label="Move ${way}"]`).click();
    }"""
    explorer.evaluate(hurry, [[], ["up", "right", "right", "left", "down", "right"]])
    stands("Moved 2 right.")
    explorer.get_by_role("button", name="Move right").click()
    alert = explorer.get_by_role("alert")
    expect(alert).to_have_text(
        "A picture can be moved at most 2 pixels from its place; this would be 3 right."
    )
    stands("Moved 2 right.")
    explorer.get_by_role("button", name="Move left").focus()
    for way, key, place in (
        ("left", "Enter", "Moved 1 right."),
        ("right", "Space", "Moved 2 right."),
        ("up", "Enter", "Moved 1 up, 2 right."),
    ):
        expect(explorer.get_by_role("button", name=f"Move {way}")).to_be_focused()
        keyboard.press(key)
        stands(place)
        keyboard.press("Tab")
    keyboard.press("Tab")
    expect(explorer.get_by_role("button", name="Back in place")).to_be_focused()
    keyboard.press("Enter")
    stands("In its place.")
    expect(alert).to_be_empty()
    assert len(seen) == 4
    explorer.get_by_label("Picture").select_option("China")
    expect(reading(explorer)).to_be_hidden()
    expect(explorer.get_by_role("button", name="Move")).to_have_count(0)
    # A move does not overtake the choice of a picture.
    explorer.evaluate(hurry, [["three", "draw"], ["up"]])
    stands("Moved 1 up.", "draw")
    explorer.get_by_role("gridcell").first.press("Space")
    stands("In its place.", "draw")
    assert sheet(desk)[0, 0] == 16
    explorer.get_by_role("gridcell").nth(56).press("Space")
    expect(alert).to_have_text("This is no digit.")
    stands("In its place.", "draw")
    assert sheet(desk)[7, 0] == 0


def test_accessible_in_both_themes(desk, explorer: Locator) -> None:
    explorer.locator("summary").click()
    explorer.get_by_label("Picture").select_option("China")
    explorer.get_by_label("One token is").select_option("64")
    explorer.get_by_role("button", name="Shuffle").focus()
    desk.page.keyboard.press("Tab")
    expect(picture(explorer)).to_be_focused()
    assert picture(explorer).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert desk.problems(explorer, "patches") == []
    explorer.get_by_label("Picture").select_option("draw")
    explorer.get_by_role("gridcell").nth(20).focus()
    desk.page.keyboard.press("Space")
    desk.answered(explorer)
    assert desk.problems(explorer, "patches-draw") == []
    explorer.get_by_label("or one from a file").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    expect(explorer.get_by_role("alert")).to_contain_text("holds no picture")
    assert desk.look(explorer, "patches-refused") == []
    explorer = desk.shown(TITLE, PICTURES, READ)
    explorer.get_by_role("button", name="Move down").press("Enter")
    expect(explorer.locator(".cx-text")).to_contain_text("Moved 1 down.")
    assert desk.problems(explorer, "patches-read") == []
