"""The patch explorer's page: its numbers beside the library's, alone, and in JupyterLab with a kernel."""

import base64
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from explorers import ask
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from scipy.fft import dctn
from torch import Tensor

from course_lib.concepts.c02_patches.explorer import DRAW, OWN, PatchExplorer
from course_lib.data import digits, photographs
from course_lib.patches import PatchEmbedding, patchify

TITLE = "Patches"
NUMBERS = torch.Generator().manual_seed(0)
COLOURS = torch.randint(256, (3, 11, 17), generator=NUMBERS) / 255  # no size but 1 fits
GREYS = torch.randint(17, (1, 8, 6), generator=NUMBERS) / 16
# No two rows or columns alike, and ink at all edges.
EIGHT = torch.randint(1, 17, (1, 8, 8), generator=NUMBERS) / 16


def ink_of(image: Tensor) -> str:
    """What a reader would say: here how much ink there is, and where it is on average."""
    rows = (image[0].sum(1) * torch.arange(8)).sum()
    columns = (image[0].sum(0) * torch.arange(8)).sum()
    return f"Read as {image.sum():.2f}, {rows:.2f}, {columns:.2f}."


# --------------------------------------------------------------------------------- numbers, without the page
@pytest.fixture
def compute(page: Page) -> Callable[..., Any]:
    """Ask a function of the explorer's module."""
    page.set_content("<title>numbers</title>")
    page.add_script_tag(content=PatchExplorer({})._esm.replace("export default { render };", ""))
    return page.evaluate


def cut(
    compute: Callable[..., Any], image: Tensor, full: int, size: str, projection: dict | None = None
) -> dict:
    """All that the page computes for one picture and size."""
    picture = {"numbers": (image * full).round().flatten().tolist(), "shape": [*image.shape], "full": full}
    return compute(
        """([picture, size, projection]) => {
            const cut = new Cut({ ...picture, numbers: Uint8Array.from(picture.numbers) }, size, projection);
            const tokens = range(cut.n);
            const { order, places } = cut.shuffled();
            return {
                rows: tokens.map((t) => cut.row(t)), vectors: tokens.map((t) => cut.vector(t)),
                cosines: tokens.map((t) => cut.cosine(0, t)),
                mixtures: [tokens, order].map((each) => tokens.map((t) => cut.mixture(t, each))),
                apart: tokens.map((t) => cut.apart(0, t)),
                nearest: tokens.map((t) => cut.nearest(t)), telling: cut.telling(), lost: cut.lost,
                order, places: [...places],
            };
        }""",
        [picture, size, projection],
    )


@pytest.mark.parametrize(("image", "full"), [(COLOURS, 255), (GREYS, 16)], ids=["colours", "greys"])
def test_every_number_is_the_librarys(compute, image: Tensor, full: int) -> None:
    height, width = image.shape[1:]
    lines = image.transpose(0, 1).flatten(1)  # each row of pixels, colour after colour
    for size in (1, 2, 3, 4, "rows"):
        tall, wide = (1, width) if isinstance(size, str) else (size, size)
        rows, columns = height // tall, width // wide
        kept = image[None, :, : rows * tall, : columns * wide]
        expected = lines if isinstance(size, str) else patchify(kept, size)[0]
        found = cut(compute, image, full, str(size))
        np.testing.assert_array_equal(found["rows"], (expected * full).round().numpy())
        assert found["lost"] == [height - rows * tall, width - columns * wide]

        # The page's own matrix: coefficients of a cosine transform of the light, and contrasts of colours.
        squares = np.reshape(found["rows"], (-1, len(image), tall, wide)) / full
        waves = dctn(squares.mean(1), type=2, axes=(1, 2)) / (4 * tall * wide)
        places = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]
        vectors = [waves[:, y, x] * (2 if y + x else 1) for y, x in places if y < tall and x < wide]
        if len(image) == 3:
            red, green, blue = squares.mean((2, 3)).T
            vectors += [red - blue, green - (red + blue) / 2]
        np.testing.assert_allclose(found["vectors"], np.stack(vectors, 1), atol=1e-9)

        # Attention with these vectors as queries, keys and values, in order and shuffled.
        v = torch.tensor(np.stack(vectors, 1))
        mixed = torch.nn.functional.scaled_dot_product_attention(v, v, v)
        for mixtures in found["mixtures"]:
            np.testing.assert_allclose(mixtures, mixed, atol=1e-9)
        cosines = torch.nn.functional.cosine_similarity(v[:1], v)
        np.testing.assert_allclose(found["cosines"], cosines, atol=1e-9)
        apart = (expected[0] - expected).abs().mean(1)
        np.testing.assert_allclose(found["apart"], apart, atol=1e-6)

        # The nearest vector, and how many are the same.
        apart = ((np.stack(vectors, 1)[:, None] - np.stack(vectors, 1)) ** 2).sum(2)
        np.fill_diagonal(apart, np.inf)
        for token, nearest in enumerate(found["nearest"]):
            assert apart[token, nearest["token"]] == pytest.approx(apart[token].min())
            assert nearest["same"] == (apart[token] < 1e-18).sum()

        # One order for all, and back.
        n = len(expected)
        assert sorted(found["order"]) == list(range(n))
        assert n < 8 or found["order"] != list(range(n))
        assert [found["places"][token] for token in found["order"]] == list(range(n))


def test_nothing_is_below_zero_by_rounding(compute) -> None:
    shown = compute("[[-0.0004, 3], [-0.0006, 3], [-0, 2], [0.2, 1]].map((each) => written(...each))")
    assert shown == ["0.000", "−0.001", "0.00", "0.2"]


def test_a_given_matrix_makes_the_vectors_that_fit_it(compute) -> None:
    projection = PatchEmbedding(2, 3, 13)
    sent = PatchExplorer({"colours": COLOURS}, projection=projection).state["projection"]
    found = cut(compute, COLOURS, 255, "2", sent)
    with torch.no_grad():
        expected = projection(COLOURS[None, :, :10, :16])[0, :, :8]
    np.testing.assert_allclose(found["vectors"], expected, atol=1e-5)
    # One made for other sizes or channels cannot make these.
    for image, full, size in ((COLOURS, 255, "4"), (COLOURS, 255, "rows"), (GREYS, 16, "2")):
        assert cut(compute, image, full, size, sent) == cut(compute, image, full, size)


def test_it_begins_where_edges_and_colours_are(compute) -> None:
    image = torch.full((3, 8, 8), 0.5)
    image[:, 0:4, 4:8] = torch.rand(1, 4, 4, generator=NUMBERS) / 2  # edges without colours
    image[0, 4, 0:2] = 1  # a little colour
    assert cut(compute, image, 255, "4")["telling"] in (1, 2)
    image[0, 4:6, 4:8], image[2, 6:8, 4:8] = 1, 1
    assert cut(compute, image, 255, "4")["telling"] == 3
    assert cut(compute, torch.zeros(1, 8, 8), 16, "4")["telling"] == 0


def test_no_other_token_is_nearest_where_there_is_one(compute) -> None:
    assert cut(compute, EIGHT, 16, "8")["nearest"] == [None]


def inked(greys: np.ndarray, way: list[list[float]], erases: bool) -> np.ndarray:
    """The slow way: the pen stops every hundredth of a cell."""
    steps = [np.linspace(a, b, 2000) for a, b in zip(way, way[1:] or way, strict=False)]
    pen = np.concatenate(steps)
    result = greys.copy()
    for i in range(64):
        away = np.hypot(*(pen - [i % 8 + 0.5, i // 8 + 0.5]).T).min()
        ink = round(16 * min(max((1.1 - away) / 0.75, 0), 1))
        result[i] = min(result[i], 16 - ink) if erases else max(result[i], ink)
    return result


@pytest.mark.parametrize("erases", [False, True])
def test_a_pen_leaves_ink(compute, erases: bool) -> None:
    greys = (EIGHT.flatten() * 16).int().numpy()
    way = [[1.0, 1.5], [5.5, 1.0], [4.0, 4.0], [6.53, 7.0]]
    draw = "([greys, way, erases]) => inked(greys, way, erases)"
    whole = compute(draw, [greys.tolist(), way, erases])
    np.testing.assert_array_equal(whole, inked(greys, way, erases))
    pieces = greys.tolist()
    for start in range(3):
        pieces = compute(draw, [pieces, way[start : start + 2], erases])
    assert pieces == whole != greys.tolist()
    assert compute(draw, [[0] * 64, [[4.5, 3.5]], False])[28] == 16  # a dot


def test_what_python_and_the_page_answer_is_the_same(compute) -> None:
    explorer = PatchExplorer({"eight": EIGHT})
    explorer.cut = "2"
    greys = (EIGHT.flatten() * 16).int().tolist()
    pixels = base64.b64encode(bytes(range(256)) * 588).decode()
    file = {"name": "cat.png", "height": 448, "width": 896, "pixels": pixels}
    answer = """([kind, fields, pictures, moved]) =>
        answers({ get: (name) => ({ pictures, moved })[name] })[kind](fields)"""
    before = explorer.pictures
    for kind, fields in (("draw", {"greys": greys}), ("picture", file)):
        assert ask(explorer, kind, **fields) == ""
        told = compute(answer, [kind, fields, before, {}])
        assert {name: getattr(explorer, name) for name in told if name != "state"} == {
            name: value for name, value in told.items() if name != "state"
        }
        assert {name: explorer.state[name] for name in told.get("state", {})} == told.get("state", {})


def test_a_move_is_pythons(compute) -> None:
    explorer = PatchExplorer({"eight": EIGHT}, reads=ink_of)
    greys = (EIGHT.flatten() * 16).int().tolist()
    for way in ([0, 1], [-2, 1], [2, -2]):
        explorer.moved = {"eight": way}
        shifted = compute("([greys, way]) => shifted(greys, [1, 8, 8], way)", [greys, way])
        np.testing.assert_array_equal(shifted, (explorer.image.flatten() * 16).int())


# --------------------------------------------------------------------------------- the page, without a kernel
def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def sentence(explorer: Locator) -> Locator:
    return explorer.locator(".say [role=status]")


def title(explorer: Locator) -> Locator:
    return explorer.locator(".panel p").first


def picture(explorer: Locator) -> Locator:
    return explorer.get_by_role("slider", name="Opened token")


def size(explorer: Locator) -> Locator:
    return explorer.get_by_label("Cut into")


def point(explorer: Locator, row: float, column: float, click: bool = False) -> None:
    """At the picture, at shares of its height and width."""
    box = picture(explorer).locator("canvas").bounding_box()
    to = {"x": box["width"] * column, "y": box["height"] * row}
    (picture(explorer).click if click else picture(explorer).hover)(position=to)


def cells(explorer: Locator) -> list[list[int]]:
    """The numbers that are shown, channel by channel."""
    return explorer.locator(".channel:visible .cells").evaluate_all(
        "all => all.map(each => [...each.children].filter(c => !c.hidden).map(c => Number(c.textContent)))"
    )


def pixels(canvas: Locator, points: list[tuple[float, float]]) -> np.ndarray:
    """Red, green and blue of points of a canvas, at shares of its height and width."""
    return np.array(
        canvas.evaluate(
            """(canvas, points) => {
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                return points.map(([row, column]) => {
                    const at = 4 * (Math.floor(row * height) * width + Math.floor(column * width));
                    return [...data.slice(at, at + 3)];
                });
            }""",
            points,
        )
    )


def test_the_roof_is_seen_first(alone_page) -> None:
    china = photographs()["China"]
    explorer = alone_page.shown(PatchExplorer())
    expect(sentence(explorer)).to_have_text(
        "this picture is 60 patches: each becomes one row of 12,288 numbers."
    )
    expect(size(explorer)).to_have_value("64")
    expect(title(explorer)).to_have_text("Patch 13 of 60")
    roof = (china[:, 64:128, 128:192] * 255).round().int()
    assert cells(explorer) == roof.flatten(1)[:, :12].tolist()
    (close,) = pixels(explorer.locator(".patch canvas"), [(32.5 / 64, 32.5 / 64)])
    np.testing.assert_allclose(close, roof[:, 32, 32], atol=1)
    assert explorer.bounding_box()["height"] <= 620
    expect(explorer.locator(".source")).to_contain_text(
        "China: 640 pixels wide, 427 high, red, green and blue"
    )
    expect(explorer.locator(".caption")).to_have_text("Left out: 43 rows of pixels at the bottom.")


def test_a_token_as_text(alone_page) -> None:
    sums = PatchEmbedding(2, 1, 1)
    sums.projection.weight.data.fill_(1)
    sums.projection.bias.data.fill_(-2)
    sixteen = PatchExplorer({"sixteen": torch.arange(16).reshape(1, 4, 4) / 16, "odd": COLOURS}, 2, sums)
    sixteen.opened = 1
    explorer = alone_page.shown(sixteen)
    text = explorer.locator(".cx-text")
    lines = [
        "sixteen: 4 × 4 pixels; numbers from 0, paper, to 16, ink.",
        "2 × 2 = 4 tokens of 2 × 2 = 4 numbers.",
        "In attention each looks at each: 4 × 4 = 16 looks. At 1 × 1: 256, 16 times as many.",
        "In reading order.",
        "Patch 2 of 4: row 1, column 2",
        "Its row has 4 numbers.",
        "grey, 1–4: 2 3 6 7",
        "Its vector: −0.88",
        "Nearest vector: patch 1. Do they look alike?",
    ]
    assert text.text_content() == "\n".join(lines)
    explorer.get_by_label("Picture", exact=True).select_option("odd")
    size(explorer).select_option("rows")
    expect(text).to_contain_text("11 tokens of 3 × 17 = 51 numbers.")
    expect(text).to_contain_text("In attention each looks at each: 11 × 11 = 121 looks.")
    size(explorer).select_option("4")
    expect(text).to_contain_text(
        "2 × 4 = 8 tokens of 3 × 4 × 4 = 48 numbers. Left out: 3 rows of pixels at the bottom "
        "and 1 column of pixels at the right."
    )
    row = patchify(COLOURS[None, :, :8, :16], 4)[0, 0].mul(255).round().int().tolist()
    picture(explorer).press("Control+Home")
    expect(text).to_contain_text(f"green, 17–28 …: {' '.join(map(str, row[16:28]))}")


def test_point_to_look_and_click_to_keep(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"three": digits()[0].inputs[0]}, 2))
    three = digits()[0].inputs[0]
    patches = (patchify(three[None], 2)[0] * 16).int().tolist()
    kept = title(explorer).text_content()
    for row, column in ((0, 0), (0, 3), (1, 2), (3, 1)):
        point(explorer, (row + 0.5) / 4, (column + 0.5) / 4)
        expect(title(explorer)).to_have_text(f"Patch {4 * row + column + 1} of 16")
        # The order: up to here all are counted.
        counted = explorer.locator(".picture text")
        expect(counted).to_have_text([str(n + 1) for n in range(4 * row + column + 1)])
        assert cells(explorer) == [patches[4 * row + column]]
        corners = [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
        close = pixels(explorer.locator(".patch canvas"), corners)
        there = pixels(
            picture(explorer).locator("canvas"), [((row + y) / 4, (column + x) / 4) for y, x in corners]
        )
        greys = 255 * (1 - np.array(patches[4 * row + column])[:, None] / 16)
        np.testing.assert_allclose(np.stack([close, there]), np.stack([greys, greys]).repeat(3, 2), atol=1)
    explorer.get_by_role("button", name="As text").hover()
    expect(title(explorer)).to_have_text(kept)
    expect(explorer.locator(".picture text")).to_have_count(0)
    point(explorer, 0.6, 0.1, click=True)
    explorer.get_by_role("button", name="As text").hover()
    expect(title(explorer)).to_have_text("Patch 9 of 16")
    # A pixel, and where its numbers stand in the row.
    explorer.locator(".patch").hover(position={"x": 100, "y": 20})
    expect(explorer.locator(".cells [data-chosen]")).to_have_text(str(patches[8][1]))
    explorer.locator(".cells i").nth(2).hover()
    expect(explorer.get_by_role("slider", name="Pixel")).to_have_attribute("aria-valuetext", "Pixel 3 of 4")
    explorer.get_by_role("button", name="As text").hover()
    expect(explorer.locator(".cells [data-chosen]")).to_have_text(str(patches[8][0]))


def test_a_pixel_has_a_number_in_each_colour(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"China": photographs()["China"]}, 32))
    at = explorer.get_by_role("slider", name="Pixel of the token")
    at.press("End")
    for _ in range(5):
        at.press("ArrowDown")
    expect(at).to_have_attribute("aria-valuetext", "Pixel 192 of 1,024")
    expect(explorer.locator(".channel p:visible")).to_have_text(
        ["red 181–192 …", "green 1,205–1,216 …", "blue 2,229–2,240 …"]
    )
    row, column = divmod(int(picture(explorer).get_attribute("aria-valuenow")) - 1, 20)
    patch = (photographs()["China"][:, 32 * row :, 32 * column :][:, :32, :32] * 255).round().int()
    expect(explorer.locator(".cells:visible [data-chosen]")).to_have_text(
        [str(number) for number in patch[:, 5, 31].tolist()]
    )


def test_each_colour_has_its_picture(alone_page) -> None:
    china = photographs()["China"]
    explorer = alone_page.shown(PatchExplorer({"eight": EIGHT, "China": china}))
    # After a grey picture, which has none of them.
    explorer.get_by_label("Picture", exact=True).select_option("China")
    roof = china[:, 64:128, 128:192]
    points = [((y + 0.5) / 64, (x + 0.5) / 64) for y in (8, 24, 40, 56) for x in (8, 24, 40, 56)]
    planes = explorer.locator(".plane canvas:visible")
    expect(planes).to_have_count(3)
    for c, tone in enumerate([(226, 122, 112), (122, 184, 132), (132, 160, 232)]):
        brightest = pixels(planes.nth(c), points).max(1)
        here = roof[c, 8::16, 8::16].flatten().numpy() * max(tone)
        # The small picture leaves pixels out.
        assert np.corrcoef(brightest, here)[0, 1] > 0.7


def test_the_question_has_an_answer(alone_page, compute) -> None:
    china = photographs()["China"]
    found = cut(compute, china[:, :384], 255, "64")
    token = found["telling"]
    near = found["nearest"][token]["token"]
    a, b = (np.array(found["vectors"][each]) for each in (token, near))
    cosine = f"{a @ b / np.linalg.norm(a) / np.linalg.norm(b):.2f}"
    explorer = alone_page.shown(PatchExplorer({"China": china[:, :384], "eight": EIGHT}))
    twin = explorer.get_by_role("button", name="Nearest vector")
    question = f"Nearest vector: patch {near + 1}. Do they look alike?"
    tokens = patchify(china[None, :, :384], 64)[0]
    apart = (tokens[token] - tokens[near]).abs().mean().item()
    verdict = "Yes" if apart < 0.05 else "Roughly" if apart < 0.15 else "Hardly"
    answer = (
        f"{verdict}: their numbers lie {apart:.0%} apart, cosine {cosine}. ".replace("%", " %")
        + "The vector keeps 8 of 12,288 numbers."
    )
    says = explorer.locator(".twin > span")
    expect(says).to_have_text(question)
    twin.hover()
    expect(says).to_have_text(answer)
    explorer.get_by_role("button", name="As text").hover()
    expect(says).to_have_text(question)
    twin.press("Enter")
    expect(says).to_have_text(answer)
    expect(explorer.locator(".cx-text")).to_contain_text(answer)
    # Another patch asks anew, and the page tells what a vector loses, or that it loses nothing.
    picture(explorer).press("ArrowRight")
    expect(says).to_contain_text("Do they look alike?")
    explorer.get_by_label("Picture", exact=True).select_option("eight")
    size(explorer).select_option("2")
    expect(explorer.locator(".ask")).to_have_text("Do they look alike?")
    twin.press("Enter")
    expect(says).to_contain_text("The vector keeps all 4 numbers.")
    explorer = alone_page.shown(PatchExplorer({"eight": EIGHT}, projection=PatchEmbedding(4, 1, 13)))
    explorer.get_by_role("button", name="Nearest vector").press("Enter")
    expect(explorer.locator(".twin > span")).to_contain_text("in 8 of 13 numbers. The others may tell")


def test_sizes_keep_the_place_and_the_height(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer())
    point(explorer, 0.47, 0.52, click=True)
    height = explorer.bounding_box()["height"]
    for key, n, numbers, looks in (
        ("-", "260", "3,072", "260 × 260 = 67,600 looks"),
        ("-", "1,040", "768", "1,040 × 1,040 = 1,081,600 looks"),
        ("-", "4,240", "192", "4,240 × 4,240 = 17,977,600 looks"),
        ("+", "1,040", "768", "1,040 × 1,040 = 1,081,600 looks"),
    ):
        alone_page.page.keyboard.press(key)
        expect(sentence(explorer)).to_have_text(
            f"this picture is {n} patches: each becomes one row of {numbers} numbers."
        )
        expect(explorer.locator(".cost")).to_contain_text(looks)
        side = int(size(explorer).input_value())
        row, column = divmod(int(picture(explorer).get_attribute("aria-valuenow")) - 1, 640 // side)
        # The middle of the patch that was chosen is in it.
        assert (row, column) == (224 // side, 352 // side)
        assert explorer.bounding_box()["height"] == height
    size(explorer).select_option("rows")
    expect(sentence(explorer)).to_have_text(
        "this picture is 427 rows: each becomes one row of 1,920 numbers."
    )
    size(explorer).select_option("1")
    expect(sentence(explorer)).to_contain_text("273,280 patches")
    expect(explorer.locator(".cost")).to_contain_text("74,681,958,400 looks")
    assert explorer.bounding_box()["height"] == height


def test_the_arrows_stay_under_the_pointer(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"China": photographs()["China"]}))
    arrows = explorer.locator(".say .spin button")
    places = set()
    for _ in range(6):
        places.add(tuple(round(each.bounding_box()["x"], 2) for each in arrows.all()))
        arrows.first.click()
    assert len(places) == 1


def test_shuffled_and_back(alone_page, compute) -> None:
    three = digits()[0].inputs[0]
    order = cut(compute, three, 16, "2")["order"]
    explorer = alone_page.shown(PatchExplorer({"three": three}, 2))
    canvas = picture(explorer).locator("canvas")
    # The lower right pixel of the patch that stands in each place.
    greys = patchify(three[None], 2)[0, :, 3]
    for shown in (order, list(range(16))):
        explorer.get_by_role("button", name="Shuffle").click()
        found = pixels(
            canvas, [((row + 0.75) / 4, (column + 0.75) / 4) for row in range(4) for column in range(4)]
        )
        np.testing.assert_allclose(found[:, 0], 255 * (1 - greys[shown].numpy()), atol=1)
        point(explorer, 0.9, 0.9, click=True)
        expect(title(explorer)).to_have_text(f"Patch {shown[15] + 1} of 16")
        for key, place in (("ArrowLeft", 14), ("ArrowUp", 10), ("Home", 8)):
            picture(explorer).press(key)
            row, column = divmod(place, 4)
            where = f"Patch {shown[place] + 1} of 16: row {row + 1}, column {column + 1}"
            expect(picture(explorer)).to_have_attribute("aria-valuetext", where)
    expect(sentence(explorer)).to_contain_text("16 patches: each becomes")
    explorer.get_by_role("button", name="Shuffle").click()
    expect(sentence(explorer)).to_have_text(
        "the 16 patches are the same in another order: attention alone cannot tell."
    )
    expect(explorer.locator(".cost p")).to_contain_text("Farthest apart: 0.000.")
    heights = "each => [...each.querySelectorAll('i')].map(bar => bar.style.getPropertyValue('--size'))"
    in_order, shuffled = (np.array(row.evaluate(heights), float) for row in explorer.locator(".mixed").all())
    assert len(in_order) == 4
    np.testing.assert_allclose(in_order, shuffled, atol=1e-6)
    expect(explorer.locator(".areas")).to_be_hidden()
    told = explorer.locator(".cx-text").text_content()
    before, after = re.search(r"in order ([^;]+); shuffled ([^.]+\..+?)\. Farthest apart", told).groups()
    assert before == after
    assert "−0.000" not in before
    first = ", ".join(str(token + 1) for token in order)
    expect(explorer.locator(".cx-text")).to_contain_text(f"Shuffled, always the same way: {first}")


def test_keyboard_alone(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"three": digits()[0].inputs[0]}, 2))
    keyboard = alone_page.page.keyboard
    explorer.get_by_label("Picture", exact=True).focus()
    names = []
    for _ in range(8):
        keyboard.press("Tab")
        names.append(
            alone_page.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent")
        )
    assert names[:5] == ["Your picture", "Shuffle", "Cut into", "Opened token", "Pixel of the token"]
    assert names[5].startswith("Nearest vector: patch")
    assert names[6:] == ["As text", "Copy picture"]
    picture(explorer).focus()
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
        expect(title(explorer)).to_have_text(f"Patch {token} of 16")
    expect(picture(explorer)).to_have_attribute("aria-valuetext", "Patch 16 of 16: row 4, column 4")
    keyboard.press("s")
    expect(sentence(explorer)).to_contain_text("in another order")
    assert picture(explorer).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    explorer.get_by_role("button", name="How to read this").press("Enter")
    expect(explorer.locator(".how")).to_contain_text("one matrix makes every row a vector")
    keyboard.press("Escape")
    expect(explorer.locator(".how")).to_be_hidden()


def dropped(explorer: Locator, kind: str, name: str, data: bytes) -> None:
    """A file comes by "drop" or "paste"."""
    explorer.evaluate(
        """(e, [kind, name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const files = new DataTransfer();
            files.items.add(new File([bytes], name, { type: "image/png" }));
            const all = { bubbles: true, dataTransfer: files, clipboardData: files };
            e.dispatchEvent(kind === "drop" ? new DragEvent(kind, all) : new ClipboardEvent(kind, all));
        }""",
        [kind, name, base64.b64encode(data).decode()],
    )


def test_a_picture_of_ones_own(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"three": digits()[0].inputs[0]}, 2))
    alert, file = explorer.get_by_role("alert"), explorer.get_by_label("A picture's file")
    wide = np.zeros((448, 896, 3), np.uint8)
    wide[:, 224:672] = [255, 0, 51]  # the middle square
    file.set_input_files({"name": "wall.png", "mimeType": "image/png", "buffer": png(Image.fromarray(wide))})
    expect(explorer.get_by_label("Picture", exact=True)).to_have_value(OWN)
    expect(sentence(explorer)).to_have_text(
        "this picture is 49 patches: each becomes one row of 3,072 numbers."
    )
    point(explorer, 0.5, 0.5, click=True)
    assert cells(explorer) == [[255] * 12, [0] * 12, [51] * 12]
    expect(explorer.locator(".source")).to_contain_text(
        "the middle of wall.png, 896 pixels wide, 448 high: 224 × 224 pixels"
    )
    caption = explorer.locator(".caption")
    expect(caption).to_have_text(
        "Cropped to its middle, 448 × 448 pixels of a picture 896 wide and 448 high."
    )
    size(explorer).select_option("64")
    expect(caption).to_have_text(
        "Cropped to its middle. Left out: 32 rows of pixels and 32 columns of pixels."
    )
    size(explorer).select_option("32")
    assert caption.evaluate("e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth")
    # What is no picture changes nothing, and the next choice takes the message away.
    before = "wall.png"
    for kind in ("drop", "paste"):
        dropped(explorer, kind, "notes.png", b"no picture")
        expect(alert).to_have_text("notes.png holds no picture that can be read: try a PNG or JPEG file.")
        expect(explorer.locator(".source")).to_contain_text(before)
        explorer.get_by_role("button", name="Shuffle").click()
        expect(alert).to_be_empty()
        # What one could see through is on white.
        dropped(explorer, kind, f"{kind}.png", png(Image.new("RGBA", (30, 40), (0, 0, 255, 0))))
        before = f"{kind}.png, 30 pixels wide, 40 high"
        expect(explorer.locator(".source")).to_contain_text(before)
        assert cells(explorer) == [[255] * 12] * 3
    expect(alert).to_be_empty()


def drawn(explorer: Locator) -> np.ndarray:
    """The sheet as it is seen, in sixteenths."""
    middles = [((row + 0.25) / 8, (column + 0.25) / 8) for row in range(8) for column in range(8)]
    reds = pixels(picture(explorer).locator("canvas"), middles)[:, 0]
    return np.round(16 * (1 - reds / 255)).astype(int).reshape(8, 8)


def test_draw_without_a_kernel(alone_page) -> None:
    explorer = alone_page.shown(PatchExplorer({"eight": EIGHT}, 2, reads=ink_of))
    # A sheet begins in order and in patches.
    explorer.get_by_role("button", name="Shuffle").click()
    size(explorer).select_option("rows")
    explorer.get_by_label("Picture", exact=True).select_option("draw")
    expect(sentence(explorer)).to_have_text("this picture is 16 patches: each becomes one row of 4 numbers.")
    expect(explorer.locator(".reading")).to_have_text("Nothing is drawn yet.")
    box = picture(explorer).locator("canvas").bounding_box()
    mouse, keyboard = alone_page.page.mouse, alone_page.page.keyboard

    def to(x: float, y: float) -> None:
        mouse.move(box["x"] + box["width"] * x / 8, box["y"] + box["height"] * y / 8, steps=5)

    to(4.5, 1.5)
    mouse.down()
    to(4.5, 6.5)
    mouse.up()
    to(1.5, 6.5)  # the pen is up
    expected = inked(np.zeros(64, int), [[4.5, 1.5], [4.5, 6.5]], False).reshape(8, 8)
    np.testing.assert_array_equal(drawn(explorer), expected)
    expect(explorer.locator(".reading")).to_contain_text("What is it read as? This needs Python")
    explorer.get_by_role("button", name="Rub out").click()
    to(4.5, 3.5)
    mouse.down()
    mouse.up()
    assert drawn(explorer)[3, 4] == 0
    explorer.get_by_role("button", name="Clear").click()
    assert not drawn(explorer).any()
    picture(explorer).focus()
    for key in ("Control+Home", *"dddl", "ArrowRight", "ArrowDown", "Space", "End", "Space", "l"):
        keyboard.press(key)
    expected = np.zeros((8, 8), int)
    expected[0, 0], expected[1, 1], expected[1, 7] = 2, 16, 15
    np.testing.assert_array_equal(drawn(explorer), expected)
    for key in ("d", "Space"):
        keyboard.press(key)
    expected[1, 7] = 0
    np.testing.assert_array_equal(drawn(explorer), expected)
    # What is drawn on a moved sheet stays where it is seen.
    explorer.get_by_role("button", name="Move: 1 down", exact=True).click()
    picture(explorer).press("Control+Home")
    keyboard.press("d")
    expected = np.roll(expected, 1, 0)
    expected[0, 0] = 1
    np.testing.assert_array_equal(drawn(explorer), expected)
    expect(explorer.locator(".cx-text")).to_contain_text("In its place.")
    expect(explorer.get_by_role("alert")).to_be_empty()


def test_a_picture_is_read_wherever_it_is_moved(alone_page) -> None:
    reference = PatchExplorer({"eight": EIGHT, "other": 1 - EIGHT, "wide": COLOURS}, 8, reads=ink_of)
    explorer = alone_page.shown(reference)
    reading = explorer.locator(".reading")

    def stands(name: str, down: int, right: int, place: str) -> None:
        reference.source = name
        reference.moved = {name: (down, right)}
        expect(reading).to_have_text(ink_of(reference.image))
        expect(explorer.locator(".cx-text")).to_contain_text(place)
        assert np.array_equal(drawn(explorer), (reference.image[0] * 16).round().int())

    stands("eight", 0, 0, "In its place.")
    for name, place in (("1 up", (-1, 0)), ("2 down, 1 left", (2, -1)), ("2 right", (0, 2))):
        explorer.get_by_role("button", name=f"Move: {name}", exact=True).click()
        stands("eight", *place, f"Moved {name}.")
    # Faster than one reads; at the edge nothing happens.
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):
        alone_page.page.keyboard.press(key)
    stands("eight", -2, 1, "Moved 2 up, 1 right.")
    pressed = explorer.get_by_role("button", pressed=True, name="Move")
    expect(pressed).to_be_focused()
    expect(pressed).to_have_attribute("aria-label", "Move: 2 up, 1 right")
    # Places where it was say what it was read as.
    expect(explorer.get_by_role("button", name="Move: in its place")).to_have_text(f"{int(EIGHT.sum())}"[:2])
    expect(explorer.get_by_role("button", name="Move: 2 up, 2 left")).to_be_empty()
    explorer.get_by_label("Picture", exact=True).select_option("other")
    stands("other", 0, 0, "In its place.")
    explorer.get_by_label("Picture", exact=True).select_option("eight")
    stands("eight", -2, 1, "Moved 2 up, 1 right.")
    explorer.get_by_label("Picture", exact=True).select_option("wide")
    expect(reading).to_be_hidden()
    expect(explorer.get_by_role("button", name="Move")).to_have_count(0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2048, 1), (1, 3, 2048), (3, 64, 64)])
def test_pictures_of_every_shape_and_twelve_fast_clicks(alone_page, shape: tuple[int, int, int]) -> None:
    image = torch.rand(shape, generator=NUMBERS)
    explorer = alone_page.shown(PatchExplorer({"a very long name " * 19: image}), 390)
    explorer.evaluate("""e => {
        const [less, more] = e.querySelectorAll(".spin button");
        for (let i = 0; i < 12; i += 1) less.click();
        for (let i = 0; i < 4; i += 1) more.click();
    }""")
    sizes = [*(str(n) for n in (1, 2, 4, 8, 16) if n <= min(shape[1:])), "rows"]
    chosen = sizes[min(4, len(sizes) - 1)]
    expect(size(explorer)).to_have_value(chosen)
    n = shape[1] if chosen == "rows" else 16
    expect(picture(explorer)).to_have_attribute("aria-valuemax", str(n))
    for _ in range(12):
        alone_page.page.keyboard.press("s")
    expect(explorer.locator(".cx-text")).to_contain_text("In reading order.")
    for width in (390, 1000):
        alone_page.page.set_viewport_size({"width": width, "height": 700})
        assert alone_page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_is_cut_at_any_width(alone_page) -> None:
    pictures = {"China": photographs()["China"], "eight": EIGHT}
    explorer = alone_page.shown(PatchExplorer(pictures, reads=ink_of))
    for width in (992, 988, 934, 760, 683, 660, 500, 390, 320):
        alone_page.page.set_viewport_size({"width": width, "height": 700})
        for source in ("eight", "China"):
            explorer.get_by_label("Picture", exact=True).select_option(source)
            over = explorer.evaluate(
                """async e => {
                    // The page is drawn anew a frame after it has got its width.
                    for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);
                    const { right } = e.getBoundingClientRect();
                    const isCut = (each) => each.getBoundingClientRect().right > right;
                    const seen = [...e.querySelectorAll(".ex *")].filter((each) => each.checkVisibility());
                    return seen.filter(isCut).map((each) => each.outerHTML);
                }"""
            )
            assert over == []
            assert alone_page.page.evaluate("document.documentElement.scrollWidth") <= width
        box = explorer.bounding_box()
        panel = explorer.locator(".panel").bounding_box()
        # Beside each other in few lines, or below each other on a phone's one screen.
        assert (box["height"] <= 620) if width > 660 else (panel["y"] + panel["height"] <= 700)
        if width < 400:
            assert box["height"] <= {390: 720, 320: 740}[width]  # 20 of them say what is left out
        # The largest numbers of looks stay in their column.
        for cut_into in ("1", "8", "16", "32", "64"):
            size(explorer).select_option(cut_into)
            explorer.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            words = explorer.locator(".cost p").evaluate("e => e.scrollWidth <= e.clientWidth")
            line, below = explorer.locator(".cost").bounding_box(), explorer.locator(".foot").bounding_box()
            right = panel["x"] if width > 660 else box["x"] + box["width"]
            assert words, (width, cut_into)
            assert line["x"] + line["width"] <= right, (width, cut_into)
            assert line["y"] + line["height"] <= below["y"] + 1, (width, cut_into)
        stage, cost = explorer.locator(".stage").bounding_box(), explorer.locator(".cost").bounding_box()
        assert cost["y"] + cost["height"] <= stage["y"] + stage["height"] + 1, width
        # The way goes on below each of its headings, never through their words.
        for way, heading in zip(
            explorer.locator(".way").all()[-2:], explorer.locator(".way-on").all(), strict=True
        ):
            ends, begins = way.bounding_box(), heading.bounding_box()
            assert ends["y"] + ends["height"] <= begins["y"] + 1


def test_good_to_look_at_and_accessible(alone_page) -> None:
    assert alone_page.look(PatchExplorer({"China": photographs()["China"]}), "patches") == []
    read = PatchExplorer({"eight": EIGHT}, 4, reads=ink_of)
    read.source, read.shuffled = DRAW, True
    assert alone_page.look(read, "patches-read") == []


# ------------------------------------------------------------------------------- with a kernel, in JupyterLab
SHOW = """
import torch
from course_lib.data import digits, photographs
from course_lib.concepts.c02_patches.explorer import PatchExplorer

def reads(image):
    if image[0, 7, 7] == image[0, 0, 1] == 1:
        raise KeyError("seven")
    return f"Read as {(16 * image.flatten() @ torch.arange(64.0)).int()}."

pictures = {"three": digits()[0].inputs[0], "China": photographs()["China"]}
explorer = PatchExplorer(pictures, 8, reads=reads)
explorer
"""


def test_python_answers_and_knows_what_is_chosen(desk) -> None:
    explorer = desk.shown(TITLE, SHOW)
    reading = explorer.locator(".reading")
    n_cells = desk.page.locator(".jp-Cell").count()
    explorer.get_by_role("button", name="Move: 1 right", exact=True).click()
    desk.knows("explorer.moved", {"three": [0, 1]})
    assert reading.text_content() == desk.run("print(reads(explorer.image), end='')")
    explorer.get_by_label("Picture", exact=True).select_option("draw")
    picture(explorer).focus()
    for key in ("Control+Home", "d", "ArrowRight", "Space", "Control+End", "d", "b", "a"):
        desk.page.keyboard.press(key)
    desk.answered(explorer)
    greys = np.array(json.loads(desk.run("print((explorer.image[0] * 16).tolist())")))
    np.testing.assert_array_equal(np.argwhere(greys), [[0, 0], [0, 1], [7, 7]])
    assert (greys[0, 0], greys[0, 1], greys[7, 7]) == (1, 16, 1)
    expect(reading).to_have_text(desk.run("print(reads(explorer.image), end='')"))
    assert desk.page.locator(".jp-Cell").count() == n_cells
    # An error of Python is shown, and its sheet comes back.
    desk.page.keyboard.press("Space")
    expect(explorer.get_by_role("alert")).to_have_text("Python stopped with KeyError: 'seven'")
    assert drawn(explorer)[7, 7] == 1
    # A picture of one's own reaches Python.
    wall = png(Image.new("RGB", (300, 200), (255, 0, 51)))
    file = {"name": "wall.png", "mimeType": "image/png", "buffer": wall}
    explorer.get_by_label("A picture's file").set_input_files(file)
    expect(explorer.get_by_label("Picture", exact=True)).to_have_value(OWN)
    desk.knows(
        "explorer.source, [round(x, 2) for x in explorer.image.mean((1, 2)).tolist()]", (OWN, [1.0, 0.0, 0.2])
    )
    expect(explorer.get_by_role("alert")).to_be_empty()
    # And Python chooses, too.
    desk.run("explorer.source, explorer.cut, explorer.opened = 'China', '32', 259")
    expect(title(explorer)).to_have_text("Patch 260 of 260")
    explorer.get_by_role("button", name="Shuffle").click()
    size(explorer).select_option("64")
    desk.knows("explorer.cut, explorer.shuffled, explorer.opened", ("64", True, 59))
    # Its colours are JupyterLab's.
    background = (
        "e => Math.max(...getComputedStyle(e).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"
    )
    assert explorer.evaluate(background) > 200
    desk.set_theme(dark=True)
    assert explorer.evaluate(background) < 60
