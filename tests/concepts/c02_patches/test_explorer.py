"""The patch explorer without a browser: what its pages get and what Python makes of their answers."""

import base64
import math
import re

import numpy as np
import pytest
import torch
from explorers import ask, keeps_the_frame, unpacked

from course_lib.concepts.c02_patches.explorer import DRAW, OWN, OWN_SIZE, PatchExplorer
from course_lib.data import digits, photographs
from course_lib.patches import PatchEmbedding

# No two rows or columns alike, and ink at all edges.
EIGHT = torch.randint(1, 17, (1, 8, 8), generator=torch.Generator().manual_seed(1)) / 16
SQUARE = np.arange(3 * OWN_SIZE**2).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures() -> dict[str, torch.Tensor]:
    """A coloured one, one with 17 greys, and one with other greys."""
    numbers = torch.Generator().manual_seed(0)
    return {
        "colours": torch.randint(256, (3, 11, 17), generator=numbers) / 255,
        "greys": torch.randint(17, (1, 8, 6), generator=numbers) / 16,
        "shades": torch.randint(256, (1, 3, 5), generator=numbers) / 255,
    }


def ink_of(image: torch.Tensor) -> str:
    """What a reader would say: here how much ink there is, and where it is on average."""
    rows = (image[0].sum(1) * torch.arange(8)).sum()
    columns = (image[0].sum(0) * torch.arange(8)).sum()
    return f"Read as {image.sum():.4f}, {rows:.4f}, {columns:.4f}."


def send(explorer: PatchExplorer, pixels: np.ndarray = SQUARE) -> str:
    """The page's question for a picture of its own; returns the error."""
    data = base64.b64encode(pixels.tobytes()).decode()
    return ask(explorer, "picture", name="cat.png", height=448, width=896, pixels=data)


@pytest.mark.parametrize(("name", "full"), [("colours", 255), ("greys", 16), ("shades", 255)])
def test_the_page_gets_every_number(pictures, name: str, full: int) -> None:
    view = PatchExplorer(pictures).pictures[name]
    assert (view["shape"], view["full"], view["readings"]) == ([*pictures[name].shape], full, None)
    numbers = torch.tensor(unpacked(view["pixels"], np.uint8)).reshape(view["shape"])
    assert torch.equal(numbers, (pictures[name] * full).round().byte())


def test_with_nothing_given_it_shows_the_photographs() -> None:
    explorer = PatchExplorer()
    assert (explorer.source, explorer.cut, explorer.opened) == ("China", "", None)
    assert explorer.state["names"] == [*explorer.pictures] == [*photographs()]
    assert torch.equal(explorer.image, photographs()["China"])


def test_the_image_is_the_one_that_was_given(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert torch.equal(explorer.image, pictures["colours"])
    explorer.source = "greys"
    explorer.image.zero_()
    assert torch.equal(explorer.image, pictures["greys"])
    for source in ("blues", OWN):
        with pytest.raises(ValueError, match=rf"source must be one of .*'draw'\]; got '{source}'"):
            explorer.source = source
    assert explorer.source == "greys"


@pytest.mark.parametrize("width", [5, 13])
def test_the_page_gets_the_projection_as_far_as_it_is_shown(pictures, width: int) -> None:
    projection = PatchEmbedding(2, 3, width)
    explorer = PatchExplorer(pictures, projection=projection)
    sent = explorer.state["projection"]
    assert (explorer.cut, sent["size"], sent["n_channels"], sent["width"]) == ("2", 2, 3, width)
    weights = unpacked(sent["weights"], np.float32).reshape(-1, 12)
    np.testing.assert_array_equal(weights, projection.projection.weight[:8].detach())
    np.testing.assert_array_equal(unpacked(sent["bias"], np.float32), projection.projection.bias[:8].detach())
    assert PatchExplorer(pictures, 4, projection).cut == "4"
    assert PatchExplorer(pictures).state["projection"] is None


def test_a_picture_of_the_pages_own(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert send(explorer) == ""
    assert explorer.source == OWN
    expected = torch.tensor(SQUARE / 255).float().reshape(3, OWN_SIZE, OWN_SIZE)
    assert torch.equal(explorer.image, expected)
    view = explorer.pictures[OWN]
    assert view["file"] == {"name": "cat.png", "height": 448, "width": 896}
    assert (view["shape"], view["full"]) == ([3, OWN_SIZE, OWN_SIZE], 255)
    np.testing.assert_array_equal(unpacked(view["pixels"], np.uint8), SQUARE)
    assert explorer.state["names"] == [*pictures]
    assert send(explorer, SQUARE[1:]) == "cat.png must come as 150,528 numbers; got 150,527."
    assert torch.equal(explorer.image, expected)


def test_what_is_drawn_is_like_the_digits() -> None:
    explorer = PatchExplorer({})
    digit = digits()[0].inputs[0]
    assert (explorer.source, explorer.image.any()) == (DRAW, False)
    assert ask(explorer, "draw", greys=(digit * 16).int().flatten().tolist()) == ""
    assert torch.equal(explorer.image, digit)
    assert explorer.image.dtype == digit.dtype
    sheet = unpacked(explorer.state["sheet"]["pixels"], np.uint8)
    np.testing.assert_array_equal(sheet.reshape(1, 8, 8) / 16, digit)


@pytest.mark.parametrize(
    "greys", [[], [0] * 63, [0] * 63 + [17], [0] * 63 + [-1], [0] * 63 + [0.5], [0] * 63 + [True]]
)
def test_bad_greys_draw_nothing(greys: list) -> None:
    explorer = PatchExplorer({})
    assert ask(explorer, "draw", greys=greys).startswith("greys must be 64 whole numbers from 0 to 16; got [")
    assert not explorer.image.any()


def test_it_keeps_the_frame(pictures) -> None:
    assert keeps_the_frame(PatchExplorer(pictures, 2), "cut", "explorer")
    assert keeps_the_frame(PatchExplorer({"eight": EIGHT}, 2, reads=ink_of), "cut", "explorer")


def moved(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Pixel by pixel, over white paper."""
    result = torch.zeros(1, 8, 8)
    for row in range(8):
        for column in range(8):
            if 0 <= row - down < 8 and 0 <= column - right < 8:
                result[0, row, column] = image[0, row - down, column - right]
    return result


def test_a_picture_is_read_at_all_its_places(pictures) -> None:
    seen = []

    def reads(image: torch.Tensor) -> str:
        seen.append((tuple(image.shape), image.dtype))
        said = ink_of(image)
        image.zero_()  # what a reader does with it is its own
        return said

    mean = EIGHT / 3  # grey, though not in the sheet's 17 greys
    given = pictures | {"eight": EIGHT, "three": torch.zeros(3, 8, 8), "mean": mean}
    explorer = PatchExplorer(given, reads=reads)
    assert {*seen} == {((1, 8, 8), torch.float32)}
    readings = {name: view["readings"] for name, view in explorer.pictures.items()}
    assert [name for name, found in readings.items() if found] == ["eight", "mean"]
    for name in ("eight", "mean"):
        places = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        assert readings[name] == [ink_of(moved(given[name], *place)) for place in places]
        explorer.source = name
        for place in ((0, 0), (-2, 1), (2, -2)):
            explorer.moved = {**explorer.moved, name: place}
            assert torch.equal(explorer.image, moved(given[name], *place))
    # Each has its own place.
    explorer.source = "eight"
    assert torch.equal(explorer.image, moved(EIGHT, 2, -2))
    # A picture from a file is not read.
    assert send(explorer) == ""
    assert explorer.pictures[OWN]["readings"] is None


def test_what_is_drawn_is_read_and_stands_in_its_place() -> None:
    explorer = PatchExplorer({}, reads=ink_of)
    assert explorer.state["sheet"]["readings"] == [ink_of(torch.zeros(1, 8, 8))] * 25
    explorer.moved = {DRAW: [0, 1]}
    assert ask(explorer, "draw", greys=(EIGHT * 16).int().flatten().tolist()) == ""
    assert torch.equal(explorer.image, EIGHT)
    assert explorer.state["sheet"]["readings"][12] == ink_of(EIGHT)
    assert explorer.state["sheet"]["readings"][13] == ink_of(moved(EIGHT, 0, 1))


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("way", "message"),
    [
        ({"eight": [3, 0]}, r"'eight' moves at most 2 pixels down and right; got \[3, 0\]"),
        ({"eight": [0, -3]}, r"got \[0, -3\]"),
        ({"eight": [0]}, r"got \[0\]"),
        ({"eight": [0, 0.5]}, r"got \[0, 0.5\]"),
        ({"wide": [0, 1]}, "Only a grey picture of 8 × 8 pixels that is read moves; got 'wide'"),
        ({"none": [0, 1]}, "got 'none'"),
    ],
)
def test_a_picture_stays_near_its_place(way: dict, message: str) -> None:
    explorer = PatchExplorer({"eight": EIGHT, "wide": torch.zeros(1, 8, 9)}, reads=ink_of)
    explorer.moved = {"eight": [0, 1]}
    with pytest.raises(ValueError, match=message):
        explorer.moved = way
    assert torch.equal(explorer.image, moved(EIGHT, 0, 1))
    with pytest.raises(ValueError, match="that is read moves; got 'eight'"):
        PatchExplorer({"eight": EIGHT}).moved = {"eight": [0, 1]}


def test_a_reader_that_refuses_says_so_and_one_that_fails_leaves_all_as_it_was() -> None:
    failing: list[Exception] = []

    def reads(image: torch.Tensor) -> str:
        if failing:
            raise failing[0]
        return ink_of(image)

    explorer = PatchExplorer({"eight": EIGHT}, reads=reads)
    greys = (EIGHT * 16).int().flatten().tolist()
    failing[:] = [KeyError("seven")]
    before = explorer.state["sheet"]
    with pytest.raises(KeyError, match="seven"):
        ask(explorer, "draw", greys=greys)
    assert explorer.state["error"] == "Python stopped with KeyError: 'seven'"
    assert explorer.state["sheet"] == before
    assert explorer.source == "eight"
    failing[:] = [ValueError("This is no digit.")]
    assert ask(explorer, "draw", greys=greys) == ""
    assert explorer.state["sheet"]["readings"] == ["This is no digit."] * 25


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("images", "patch_size", "message"),
    [
        ([], None, "images must be a mapping from names to pictures; got list."),
        ({3: torch.zeros(1, 8, 8)}, None, "a picture's name must be a text other than"),
        ({DRAW: torch.zeros(1, 8, 8)}, None, "got 'draw'."),
        (
            {"a": torch.zeros(8, 8)},
            None,
            "'a' must be a tensor (1 or 3 channels, height, width); got (8, 8).",
        ),
        ({"a": torch.zeros(8, 8, 3)}, None, "got (8, 8, 3)."),
        ({"a": np.zeros((3, 8, 8))}, None, "got ndarray."),
        ({"a": torch.zeros(3, 0, 8)}, None, "'a' must have sides of 1 to 2,048 pixels; got (3, 0, 8)."),
        ({"a": torch.zeros(1, 2049, 1)}, None, "got (1, 2049, 1)."),
        (
            {"a": torch.full((1, 2, 2), 255)},
            None,
            "'a' must hold floats from 0 to 1; got torch.int64, 255 to 255.",
        ),
        ({"a": torch.full((1, 2, 2), -0.5)}, None, "got torch.float32, -0.5 to -0.5."),
        ({"a": torch.full((1, 2, 2), math.nan)}, None, "got torch.float32, nan to nan."),
        ({}, 0, "patch_size must be a whole number of pixels, at least 1; got 0."),
        ({}, 2.0, "patch_size must be a whole number of pixels, at least 1; got 2.0."),
        ({}, 9, "patch_size must fit 'draw', 8 × 8 pixels; got 9."),
        ({"a": torch.zeros(1, 9, 8)}, 9, "patch_size must fit 'a', 9 × 8 pixels; got 9."),
    ],
)
def test_bad_pictures(images: object, patch_size: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PatchExplorer(images, patch_size)


@pytest.mark.usefixtures("own_errors")
def test_a_reader_gives_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"reads must give a sentence; got 8\."):
        PatchExplorer({}, reads=lambda image: 8)
