"""The patch explorer without a browser: every number is the library's, every question is answered."""

import base64
import io
import math
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from explorers import ask, keeps_the_frame
from PIL import Image

from course_lib.concepts.c02_patches.explorer import DRAW, LARGEST_FILE, OWN, OWN_SIZE, ROWS, PatchExplorer
from course_lib.data import digits
from course_lib.patches import PatchEmbedding, patchify


@pytest.fixture(scope="module")
def pictures() -> dict[str, torch.Tensor]:
    """A coloured one in which no size divides another, and one with 17 greys."""
    numbers = torch.Generator().manual_seed(0)
    return {
        "colours": torch.randint(256, (3, 11, 17), generator=numbers) / 255,
        "greys": torch.randint(17, (1, 8, 6), generator=numbers) / 16,
    }


def packed(text: str, kind: str) -> np.ndarray:
    """Bytes as the page reads them: little-endian, whatever the machine."""
    return np.frombuffer(base64.b64decode(text), kind)


def tokens_of(view: dict, cut: dict) -> np.ndarray:
    """Every number of every token, as the page finds it: starts plus offsets in the pixels."""
    places = packed(cut["starts"], "<i4")[:, None] + packed(cut["offsets"], "<i4")
    return packed(view["pixels"], "u1")[places]


@pytest.mark.parametrize(("name", "full"), [("colours", 255), ("greys", 16)])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_number_of_a_patch_is_the_librarys(pictures, name: str, full: int, size: int) -> None:
    explorer = PatchExplorer(pictures)
    view, image = explorer.pictures[name], pictures[name]
    cut = view["cuts"][str(size)]
    rows, columns = (side // size for side in image.shape[1:])
    expected = patchify(image[None, :, : rows * size, : columns * size], size)[0]
    assert (view["full"], cut["grid"]) == (full, [rows, columns])
    np.testing.assert_array_equal(tokens_of(view, cut), (expected * full).round().numpy())
    assert f"{len(expected):,} tokens of " in cut["text"]
    assert cut["text"].split(" numbers.")[0].endswith(f"= {expected.shape[1]}")


def test_rows_of_pixels_are_tokens_too(pictures) -> None:
    explorer = PatchExplorer(pictures)
    view = explorer.pictures["colours"]
    cut = view["cuts"][ROWS]
    lines = [torch.cat([channel[y] for channel in pictures["colours"]]) for y in range(11)]
    np.testing.assert_array_equal(tokens_of(view, cut), (torch.stack(lines) * 255).round().numpy())
    assert cut["text"] == "11 tokens of 3 × 1 × 17 = 51 numbers."
    assert cut["cost"].endswith(
        "11² = 121. With each pixel a token there would be 187² = 34,969, 289 times as many."
    )


def test_what_does_not_fit_is_told(pictures) -> None:
    cuts = PatchExplorer(pictures).pictures["colours"]["cuts"]
    assert list(cuts) == ["1", "2", "4", "8", ROWS]
    for size, rows in (("2", "1 row"), ("4", "3 rows"), ("8", "3 rows")):
        assert cuts[size]["text"].endswith(
            f" numbers. Cropped to what fits: {rows} of pixels at the bottom "
            "and 1 column of pixels at the right left out."
        )
    assert "Cropped" not in cuts["1"]["text"] + cuts[ROWS]["text"]
    odd = PatchExplorer({"odd": torch.zeros(1, 10, 15)}, 5)
    assert odd.pictures["odd"]["cuts"]["5"]["text"] == "2 × 3 = 6 tokens of 5 × 5 = 25 numbers."


def test_costs_are_counted(pictures) -> None:
    cut = PatchExplorer(pictures).pictures["colours"]["cuts"]["4"]
    # 2 x 4 patches of 4 x 4 pixels, cut from 8 x 16.
    assert cut["cost"] == (
        "Attention computes a score for each pair of tokens: 8² = 64. "
        "With each pixel a token there would be 128² = 16,384, 256 times as many."
    )
    assert (
        PatchExplorer(pictures).pictures["greys"]["cuts"]["1"]["cost"].endswith("there would be 48² = 2,304.")
    )


def test_the_given_projection_makes_the_vectors_that_fit_it(pictures) -> None:
    for width in (5, 13):
        projection = PatchEmbedding(2, 3, width)
        explorer = PatchExplorer(pictures, projection=projection)
        assert explorer.cut == "2"
        cuts = explorer.pictures["colours"]["cuts"]
        with torch.no_grad():
            expected = projection(pictures["colours"][None, :, :10, :16])[0, :, :8]
        shown = packed(cuts["2"]["vectors"], "<i4").reshape(expected.shape) / 1000
        np.testing.assert_allclose(shown, expected, atol=5.1e-4)
        assert cuts["2"]["vector_text"] == ("Vector" if width == 5 else "Vector, the first 8 of 13 numbers")
        # One made for other sizes or channels cannot make these.
        for other in (cuts["4"], cuts[ROWS], explorer.pictures["greys"]["cuts"]["2"]):
            assert other["vector_text"] == "Vector by a random projection"


def test_a_random_projection_is_always_the_same_and_one_for_all_tokens(pictures) -> None:
    first = PatchExplorer(pictures).pictures
    state = torch.random.get_rng_state()
    second = PatchExplorer(pictures).pictures
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)
    twice = torch.cat([pictures["greys"], pictures["greys"]], 2)
    cut = PatchExplorer({"twice": twice}).pictures["twice"]["cuts"]["2"]
    vectors = packed(cut["vectors"], "<i4").reshape(4, 6, 8)
    np.testing.assert_array_equal(vectors[:, :3], vectors[:, 3:])
    assert len(np.unique(vectors[:, :3].reshape(12, 8), axis=0)) == 12


def test_the_shuffle_is_one_of_all_tokens_and_always_the_same(pictures) -> None:
    for cut in PatchExplorer(pictures).pictures["colours"]["cuts"].values():
        order = packed(cut["order"], "<i4")
        n_tokens = len(packed(cut["starts"], "<i4"))
        assert sorted(order) == list(range(n_tokens))
        assert n_tokens < 8 or list(order) != list(range(n_tokens))
        first = ", ".join(str(n + 1) for n in order[:16])
        assert cut["text_shuffled"].startswith(f"Shuffled, each time the same way: {first}")
        assert cut["text_shuffled"].endswith(" …") == (n_tokens > 16)


def test_patches_are_described() -> None:
    image = torch.arange(16).reshape(1, 4, 4) / 16
    view = PatchExplorer({"sixteen": image}, 2).pictures["sixteen"]
    assert view["text"] == "sixteen: 4 × 4 pixels. Numbers are 16ths: 0 is white paper and 16 full ink."
    cut = view["cuts"]["2"]
    assert cut["text"] == "2 × 2 = 4 tokens of 2 × 2 = 4 numbers."
    assert cut["cost"] == (
        "Attention computes a score for each pair of tokens: 4² = 16. "
        "With each pixel a token there would be 16² = 256, 16 times as many."
    )


def test_a_whole_picture_is_one_token() -> None:
    cut = PatchExplorer({"eight": EIGHT}, 8).pictures["eight"]["cuts"]["8"]
    assert cut["text"] == "1 token of 8 × 8 = 64 numbers."


def test_of_large_patches_a_part_is_shown(pictures) -> None:
    assert PatchExplorer(pictures, 8).pictures["colours"]["cuts"]["8"]["excerpt"] == (
        "Shown are the top left 4 × 4 of 8 × 8 numbers of each channel, "
        "and the first 24 of the 192 in the row."
    )


def test_the_image_is_the_one_that_was_given(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert explorer.source == "colours"
    assert torch.equal(explorer.image, pictures["colours"])
    explorer.source = "greys"
    explorer.image.zero_()
    assert torch.equal(explorer.image, pictures["greys"])
    with pytest.raises(
        ValueError, match=r"source must be one of \['colours', 'greys', 'draw'\]; got 'blues'"
    ):
        explorer.source = "blues"
    with pytest.raises(ValueError, match="source must be one of"):
        explorer.source = OWN


def test_what_is_drawn_is_like_the_digits() -> None:
    explorer = PatchExplorer({}, 2)
    digit = digits()[0].inputs[0]
    assert explorer.source == DRAW
    assert (explorer.image.shape, explorer.image.dtype) == (digit.shape, digit.dtype)
    assert not explorer.image.any()
    assert ask(explorer, "stroke", points=[[4.5, 1.5], [4.5, 6.2]], erase=False) == ""
    drawn = explorer.image
    assert torch.equal(drawn * 16, (drawn * 16).round())
    assert (drawn[0, 1:6, 4] == 1).all()
    # A pen on the middle of a column leaves as much left of it as right, and nothing two columns away.
    assert torch.equal(drawn[0, :, 3], drawn[0, :, 5])
    assert 0 < drawn[0, 3, 3] < 0.5
    assert not drawn[0, :, [0, 1, 2, 6, 7]].any()
    view = explorer.state["sheet"]
    np.testing.assert_array_equal(packed(view["pixels"], "u1").reshape(1, 8, 8) / 16, drawn)
    before = drawn.clone()
    assert ask(explorer, "stroke", points=[[4.5, 6.5]], erase=True) == ""
    assert explorer.image[0, 6, 4] == 0
    assert (explorer.image <= before).all()
    assert ask(explorer, "clear") == ""
    assert not explorer.image.any()


def test_a_stroke_in_pieces_is_the_stroke() -> None:
    whole, pieces = PatchExplorer({}), PatchExplorer({})
    way = [[1.0, 1.5], [5.5, 1.0], [4.0, 4.0], [6.5, 7.0]]
    ask(whole, "stroke", points=way, erase=False)
    for start in range(3):
        ask(pieces, "stroke", points=way[start : start + 2], erase=False)
    assert torch.equal(whole.image, pieces.image)


def test_a_cell_takes_all_seventeen_greys() -> None:
    explorer = PatchExplorer({})
    for grey in range(1, 17):
        assert ask(explorer, "grey", row=7, column=2, change=1) == ""
        assert explorer.image[0, 7, 2] == grey / 16
    assert ask(explorer, "grey", row=7, column=2, change=1) == ""
    assert explorer.image.sum() == 1
    ask(explorer, "grey", row=7, column=2, change=-3)
    assert explorer.image[0, 7, 2] == 13 / 16
    ask(explorer, "grey", row=7, column=2, change=-16)
    assert not explorer.image.any()


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("grey", {"row": 8, "column": 0, "change": 1}, "row must be a whole number from 0 to 7; got 8."),
        ("grey", {"row": 0, "column": -1, "change": 1}, "column must be a whole number from 0 to 7; got -1."),
        (
            "grey",
            {"row": 0, "column": 0, "change": "1"},
            "change must be a whole number from -16 to 16; got '1'.",
        ),
        ("stroke", {"points": [], "erase": False}, "points must be pairs of x and y; got []."),
        ("stroke", {"points": [[1, math.nan]], "erase": False}, "points must be pairs of x and y"),
        ("stroke", {"points": [[1, 2, 3]], "erase": False}, "points must be pairs of x and y"),
        ("stroke", {"points": [["a", "b"]], "erase": False}, "points must be pairs of x and y"),
    ],
)
def test_a_bad_stroke_draws_nothing(kind: str, fields: dict, message: str) -> None:
    explorer = PatchExplorer({})
    assert message in ask(explorer, kind, **fields)
    assert not explorer.image.any()


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def send(explorer: PatchExplorer, data: bytes, name: str = "cat.png") -> str:
    """The page's question for a file; returns the error."""
    return ask(explorer, "picture", name=name, size=len(data), data=base64.b64encode(data).decode())


def test_a_picture_from_a_file(pictures) -> None:
    explorer = PatchExplorer(pictures)
    wide = np.zeros((448, 896, 3), np.uint8)
    wide[:, 224:672] = [255, 0, 51]  # the middle square
    assert send(explorer, saved(Image.fromarray(wide))) == ""
    assert (explorer.source, explorer.image.shape) == (OWN, (3, OWN_SIZE, OWN_SIZE))
    expected = torch.tensor([1, 0, 0.2])[:, None, None].expand(3, OWN_SIZE, OWN_SIZE)
    # Next to the edge a little of what lies outside is mixed in.
    torch.testing.assert_close(explorer.image[:, :, 4:-4], expected[:, :, 4:-4])
    view = explorer.pictures[OWN]
    assert view["cuts"]["16"]["text"] == "14 × 14 = 196 tokens of 3 × 16 × 16 = 768 numbers."
    assert view["text"].startswith(
        "your own picture: cat.png, the middle square of 448 × 896 pixels, "
        "scaled to 224 × 224 pixels × 3 channels"
    )
    explorer.source = "greys"
    assert torch.equal(explorer.image, pictures["greys"])


def test_files_of_many_kinds(pictures) -> None:
    explorer = PatchExplorer(pictures)
    half = Image.new("RGBA", (30, 30), (0, 0, 255, 0))  # blue that cannot be seen is white
    assert send(explorer, saved(half)) == ""
    assert (explorer.image == 1).all()
    assert send(explorer, saved(Image.new("L", (9, 5), 51), "JPEG", quality=100)) == ""
    torch.testing.assert_close(explorer.image, torch.full((3, OWN_SIZE, OWN_SIZE), 0.2))
    assert send(explorer, saved(Image.new("1", (1, 1), 1), "GIF")) == ""
    assert send(explorer, saved(Image.new("P", (40, 30)), "WEBP")) == ""
    # A phone writes down how it was held: 6 is a quarter turn.
    lying = np.zeros((60, 60, 3), np.uint8)
    lying[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    assert send(explorer, saved(Image.fromarray(lying), "PNG", exif=exif)) == ""
    assert explorer.image[:, :100].min() == 1
    assert explorer.image[:, 124:].max() == 0


def huge_png() -> bytes:
    """The head of a PNG file of 20,000 times 20,000 pixels, and none of them."""
    data = bytearray(saved(Image.new("L", (1, 1))))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cat.png holds no picture that can be read: try a PNG or JPEG file."),
        (b"no picture at all", "cat.png holds no picture"),
        (saved(Image.effect_noise((64, 64), 50))[:-400], "cat.png holds no picture"),
        (huge_png(), "cat.png has more than 50 million pixels: scale it down."),
    ],
)
def test_a_file_that_is_no_picture_is_told(pictures, data: bytes, message: str) -> None:
    explorer = PatchExplorer(pictures)
    assert message in send(explorer, data)
    assert explorer.source == "colours"
    assert OWN not in explorer.pictures


def test_a_file_that_is_too_large_is_not_sent(pictures) -> None:
    explorer = PatchExplorer(pictures)
    assert explorer.state["largest_file"] == LARGEST_FILE
    said = ask(explorer, "picture", name="cat.png", size=LARGEST_FILE + 1, data="")
    assert said == "cat.png has 6.0 MB, the explorer takes 6: scale it down."


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
        ({}, 9, "patch_size must fit 'draw', 8 × 8 pixels, at most 4,096 times; got 9."),
        (
            {"a": torch.zeros(1, 65, 64)},
            1,
            "patch_size must fit 'a', 65 × 64 pixels, at most 4,096 times; got 1.",
        ),
    ],
)
def test_bad_pictures(images: object, patch_size: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PatchExplorer(images, patch_size)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2048, 1), (1, 3, 2048), (3, 64, 64)])
def test_pictures_of_every_shape_can_be_shown(shape: tuple[int, int, int]) -> None:
    explorer = PatchExplorer({"picture": torch.zeros(shape)})
    view = explorer.pictures["picture"]
    assert view["default"] in view["cuts"]
    assert all(len(packed(cut["starts"], "<i4")) <= 4096 for cut in view["cuts"].values())


def test_it_keeps_the_frame(pictures) -> None:
    assert keeps_the_frame(PatchExplorer(pictures, 2))
    explorer = PatchExplorer(pictures | {"eight": EIGHT}, 2, reads=ink_of)
    explorer.source = "eight"
    assert ask(explorer, "move", down=1, right=0) == ""
    assert keeps_the_frame(explorer)


# No two rows or columns alike, and ink at all edges.
EIGHT = torch.randint(1, 17, (1, 8, 8), generator=torch.Generator().manual_seed(1)) / 16


def ink_of(image: torch.Tensor) -> str:
    """What a reader would say: here how much ink there is, and where it is on average."""
    rows = (image[0].sum(1) * torch.arange(8)).sum()
    columns = (image[0].sum(0) * torch.arange(8)).sum()
    return f"Read as {image.sum():.4f}, {rows:.4f}, {columns:.4f}."


def reading(explorer: PatchExplorer) -> str | None:
    """What an exported page would show of it."""
    views = explorer.get_state()
    view = views["state"]["sheet"] if explorer.source == DRAW else views["pictures"][explorer.source]
    return view["reading"]


def test_a_picture_of_the_sheets_size_is_read(pictures) -> None:
    seen = []

    def reads(image: torch.Tensor) -> str:
        seen.append((tuple(image.shape), image.dtype))
        said = ink_of(image)
        image.zero_()  # what a reader does with it is its own
        return said

    colours = torch.zeros(3, 8, 8)
    mean = EIGHT / 3  # grey, though not in the sheet's 17 greys
    explorer = PatchExplorer(pictures | {"eight": EIGHT, "three": colours, "mean": mean}, reads=reads)
    assert seen == [((1, 8, 8), torch.float32)] * 3  # with the empty sheet
    assert {name: view["reading"] for name, view in explorer.pictures.items()} == {
        "colours": None,
        "greys": None,
        "eight": ink_of(EIGHT),
        "three": None,
        "mean": ink_of(mean),
    }
    explorer.source = "eight"
    assert torch.equal(explorer.image, EIGHT)
    for kind, fields in (
        ("stroke", {"points": [[4.5, 1.5], [4.5, 6.2]], "erase": False}),
        ("grey", {"row": 7, "column": 2, "change": 5}),
        ("move", {"down": -1, "right": 0}),
        ("stroke", {"points": [[4.5, 3.5]], "erase": True}),
        ("clear", {}),
    ):
        before = reading(explorer)
        assert ask(explorer, kind, **fields) == ""
        assert explorer.source == DRAW
        assert reading(explorer) == ink_of(explorer.image) != before
        shown = packed(explorer.state["sheet"]["pixels"], "u1").reshape(1, 8, 8)
        np.testing.assert_array_equal(shown / 16, explorer.image)
    assert send(explorer, saved(Image.new("L", (8, 8)))) == ""
    assert reading(explorer) is None


def test_without_a_reader_nothing_is_read_or_moved(pictures) -> None:
    explorer = PatchExplorer({"eight": EIGHT})
    assert reading(explorer) is None
    assert "moving" not in explorer.state["about"]
    assert explorer.state["about"].endswith("drawing and a picture from a file need Python.")
    about = PatchExplorer({"eight": EIGHT}, reads=ink_of).state["about"]
    assert about.endswith("drawing, moving and a picture from a file need Python.")
    not_read = "Only what is read can be moved, a grey picture of 8 × 8 pixels; got "
    assert ask(explorer, "move", down=0, right=1) == f"{not_read}(1, 8, 8)."
    assert ask(PatchExplorer(pictures, reads=ink_of), "move", down=0, right=1) == f"{not_read}(3, 11, 17)."
    assert torch.equal(explorer.image, EIGHT)


@pytest.mark.parametrize("source", ["eight", DRAW])
def test_a_picture_is_moved_over_white_paper_and_comes_back(source: str) -> None:
    explorer = PatchExplorer({"eight": EIGHT, "other": 1 - EIGHT}, reads=ink_of)
    explorer.source = source
    if source == DRAW:
        ask(explorer, "stroke", points=[[0, 0], [7.5, 3], [2, 8]], erase=False)
    start = explorer.image
    assert start[0, 0].any()  # to leave the sheet
    assert start[0, :, 7].any()
    at = [0, 0]
    for down, right, place in (
        (-1, 0, "Moved 1 up."),
        (0, 1, "Moved 1 up, 1 right."),
        (-1, 0, "Moved 2 up, 1 right."),
        (0, 1, "Moved 2 up, 2 right."),
        (4, -3, "Moved 2 down, 1 left."),
        (-2, 0, "Moved 1 left."),
        (0, 1, "In its place."),
        (1, 0, "Moved 1 down."),
    ):
        assert ask(explorer, "move", down=down, right=right) == ""
        at = [at[0] + down, at[1] + right]
        expected = torch.zeros(1, 8, 8)
        for row in range(8):
            for column in range(8):
                came_from = (row - at[0], column - at[1])
                if min(came_from) >= 0 and max(came_from) < 8:
                    expected[0, row, column] = start[0, *came_from]
        assert torch.equal(explorer.image, expected)
        view = explorer.state["sheet"] if source == DRAW else explorer.pictures["eight"]
        np.testing.assert_array_equal(packed(view["pixels"], "u1").reshape(1, 8, 8) / 16, expected)
        tokens = (patchify(expected[None], 2)[0] * 16).numpy()
        np.testing.assert_array_equal(tokens_of(view, view["cuts"]["2"]), tokens)
        assert (view["reading"], view["place"]) == (ink_of(expected), place)
    # Each picture has its own place.
    explorer.source = "other"
    assert torch.equal(explorer.image, 1 - EIGHT)
    explorer.source = source
    assert torch.equal(explorer.image, expected)
    assert ask(explorer, "back") == ""
    assert torch.equal(explorer.image, start)
    assert reading(explorer) == ink_of(start)


def test_numbers_mean_the_same_wherever_a_picture_is_moved() -> None:
    nearly = EIGHT.clone()
    nearly[0, 3, 7] = 0.3  # no 16th
    explorer = PatchExplorer({"nearly": nearly}, reads=ink_of)
    ask(explorer, "move", down=0, right=1)
    assert not (explorer.image * 16 % 1).any()
    view = explorer.pictures["nearly"]
    assert (view["full"], view["is_ink"]) == (255, False)


def test_what_is_drawn_on_a_moved_sheet_moves_with_it() -> None:
    explorer = PatchExplorer({}, reads=ink_of)
    ask(explorer, "grey", row=0, column=3, change=16)
    ask(explorer, "grey", row=4, column=3, change=7)
    ask(explorer, "move", down=-1, right=0)
    ask(explorer, "grey", row=7, column=5, change=2)
    assert explorer.state["sheet"]["place"] == "In its place."
    moved = torch.zeros(1, 8, 8)
    moved[0, 3, 3], moved[0, 7, 5] = 7 / 16, 2 / 16
    assert torch.equal(explorer.image, moved)
    # What had left the sheet when it was drawn on does not come back.
    ask(explorer, "move", down=1, right=0)
    expected = torch.zeros(1, 8, 8)
    expected[0, 4, 3] = 7 / 16
    assert torch.equal(explorer.image, expected)
    assert ask(explorer, "back") == ""
    assert torch.equal(explorer.image, moved)
    ask(explorer, "move", down=0, right=2)
    ask(explorer, "stroke", points=[[0.5, 7.5]], erase=False)
    assert (explorer.image[0, 3, 5], explorer.image[0, 7, 0], explorer.image[0, 3, 3]) == (7 / 16, 1, 0)
    assert explorer.state["sheet"]["place"] == "In its place."
    ask(explorer, "move", down=0, right=2)
    ask(explorer, "clear")
    assert (explorer.image.any(), explorer.state["sheet"]["place"]) == (False, "In its place.")
    assert ask(explorer, "move", down=0, right=2) == ""


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("down", "right", "message"),
    [
        (-1, 0, "A picture can be moved at most 2 pixels from its place; this would be 3 up, 1 right."),
        (0, 2, "A picture can be moved at most 2 pixels from its place; this would be 2 up, 3 right."),
        (5, 0, "A picture can be moved at most 2 pixels from its place; this would be 3 down, 1 right."),
        (0, -4, "A picture can be moved at most 2 pixels from its place; this would be 2 up, 3 left."),
        ("1", 0, "down must be a whole number of pixels; got '1'."),
        (0, 0.5, "right must be a whole number of pixels; got 0.5."),
        (0, True, "right must be a whole number of pixels; got True."),
    ],
)
def test_a_picture_stays_near_its_place(down: object, right: object, message: str) -> None:
    explorer = PatchExplorer({"eight": EIGHT}, reads=ink_of)
    ask(explorer, "move", down=-2, right=1)
    before, pictures = explorer.image, explorer.pictures
    assert ask(explorer, "move", down=down, right=right) == message
    assert torch.equal(explorer.image, before)
    assert explorer.pictures == pictures
    assert ask(explorer, "move", down=2, right=-1) == ""
    assert torch.equal(explorer.image, EIGHT)


def test_a_reader_that_fails_leaves_everything_as_it_was() -> None:
    failing: list[Exception] = []

    def reads(image: torch.Tensor) -> str:
        if failing:
            raise failing[0]
        return ink_of(image)

    def shown() -> tuple:
        views = {name: explorer.state[name] for name in explorer.state if name not in ("answered", "error")}
        return views, explorer.pictures, explorer.source, explorer.image.tolist()

    explorer = PatchExplorer({"eight": EIGHT}, reads=reads)
    ask(explorer, "stroke", points=[[0, 0], [7.5, 3]], erase=False)
    ask(explorer, "move", down=0, right=1)
    questions = (
        ("stroke", {"points": [[4.5, 1.5]], "erase": False}),
        ("grey", {"row": 7, "column": 2, "change": 5}),
        ("clear", {}),
        ("move", {"down": 1, "right": 0}),
        ("back", {}),
    )
    for source in ("eight", DRAW):
        explorer.source = source
        before = shown()
        for kind, fields in questions:
            failing[:] = [ValueError("This is no digit.")]
            assert ask(explorer, kind, **fields) == "This is no digit."
            failing[:] = [KeyError("seven")]
            with pytest.raises(KeyError, match="seven"):
                ask(explorer, kind, **fields)
            assert explorer.state["error"] == "Python stopped with KeyError: 'seven'"
            assert shown() == before
    failing.clear()
    assert ask(explorer, "move", down=0, right=1) == ""
    assert explorer.state["sheet"]["place"] == "Moved 2 right."
    assert reading(explorer) == ink_of(explorer.image)


@pytest.mark.usefixtures("own_errors")
def test_a_reader_gives_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"reads must give a sentence; got 8\."):
        PatchExplorer({}, reads=lambda image: 8)
