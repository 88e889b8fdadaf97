"""The patch explorer: a picture, a file's or one that is drawn, cut into tokens down to its numbers."""

import base64
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from PIL import Image, ImageOps
from torch import Tensor, nn

from course_lib.device import seeded
from course_lib.patches import PatchEmbedding, patchify
from course_lib.widgets.explorer import Explorer, assets, packed

OWN = "your own picture"
DRAW = "draw"
ROWS = "rows"

OWN_SIZE = 224  # pixels, the usual size of a Vision Transformer's pictures
LARGEST_FILE = 6_000_000  # bytes; a message of Jupyter takes 10 MiB, and base64 makes 8 of these 6
MOST_PIXELS = 50_000_000  # of a file before it is scaled
LARGEST_SIDE = 2_048  # pixels of a picture that is given
SHEET_SIZE = 8
FULL = 16  # the darkest of the sheet's 17 greys, as in `data.digits`
DARK, REACH = 0.35, 1.1  # cells from the pen: up to here full ink, from here on none
FARTHEST = 2  # pixels from its place that a picture can be moved

MOST_TOKENS = 4_096  # of one picture: the vector of each travels to the page
SIZES = (1, 2, 4, 8, 16, 32, 64)
SEED = 0  # of the shuffle and of the random projection
WIDTH = 8  # numbers of a vector that are shown, and all that a random one has
SHOWN_OF_SIDE = {1: 8, 3: 4}  # numbers that are shown in each direction, by how many channels there are
SHOWN_OF_ROW = 24
SHOWN_OF_ORDER = 16
ABOUT = (
    "Choose a token with the mouse or the arrow keys to see its numbers. Without a running kernel you can "
    "still cut, shuffle and open what is here; {} and a picture from a file need Python."
)
_CHANNELS = {1: ["grey"], 3: ["red", "green", "blue"]}

_ASSETS = assets(__file__)


class PatchExplorer(Explorer):
    """See a picture become tokens: patches or rows of pixels, each with its numbers and its vector.

    Args:
        images: by name, each (C, height, width) in [0, 1] with 1 or 3 channels; their pixels travel to the
            page. Without any, it opens with an empty sheet to draw on.
        patch_size: shown at first where it fits; left out, the projection's, else 16.
        projection: makes the vectors of patches that fit it; all others are made by a random one of width 8.
        reads: says in a sentence what a grey picture of the sheet's size, (1, 8, 8) in [0, 1], is read as.
            With it the sentence stands above the picture, and such a picture can be moved, at most FARTHEST
            pixels from its place.
    Raises: ValueError: images or a patch size that cannot be shown, or what `reads` gives is no text.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    source = traitlets.Unicode().tag(sync=True)  # a name of `images`, DRAW, or OWN once there is one
    cut = traitlets.Unicode().tag(sync=True)  # a patch size, or ROWS; if it does not fit, the view's default
    numbered = traitlets.Bool(True).tag(sync=True)
    shuffled = traitlets.Bool(False).tag(sync=True)
    opened = traitlets.Int(0, min=0).tag(sync=True)  # row of `patchify`
    # The same as `state["sheet"]` for all other pictures, so that they are not sent again with every stroke.
    pictures = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        images: Mapping[str, Tensor],
        patch_size: int | None = None,
        projection: PatchEmbedding | None = None,
        reads: Callable[[Tensor], str] | None = None,
    ) -> None:
        super().__init__()
        self._images = _checked_images(images)  # each in its place
        self._moves: dict[str, tuple[int, int]] = {}  # pixels down and right, of those that were moved
        self._own_text = ""
        self._projection = projection
        self._reads = reads
        usual = projection.patch_size if projection else 16
        self._patch_size = usual if patch_size is None else _checked_patch_size(patch_size)
        self.pictures = {name: self._view(name, image) for name, image in self._images.items()}
        self._images[DRAW] = torch.zeros(1, SHEET_SIZE, SHEET_SIZE)
        first, *_ = self._images
        self.show_state(
            about=ABOUT.format("drawing" if reads is None else "drawing, moving"),
            largest_file=LARGEST_FILE,
            names=[*images],
            sheet=self._view(DRAW, self._images[DRAW]),
            error="",
        )
        self.source, self.cut = first, str(self._patch_size)
        rows, columns = self._shown_cut()["grid"]
        self.opened = rows // 2 * columns + columns // 2  # a corner is often empty
        if patch_size is not None and self.cut not in self._shown_view()["cuts"]:
            height, width = self._images[first].shape[1:]
            raise ValueError(
                f"patch_size must fit {first!r}, {height} × {width} pixels, at most {MOST_TOKENS:,} times; "
                f"got {patch_size}."
            )

    @property
    def image(self) -> Tensor:
        """The picture shown, whole, in order and where it was moved: (C, height, width) in [0, 1]; a copy."""
        return self._image(self.source)

    def on_picture(self, name: str, size: int, data: str) -> None:
        """The page: a file was chosen; data is its bytes in base64, or "" if it is too large to be sent."""
        if size > LARGEST_FILE:
            raise ValueError(
                f"{name} has {size / 1e6:.1f} MB, the explorer takes {LARGEST_FILE / 1e6:.0f}: scale it down."
            )
        self._images[OWN], self._own_text = _read_picture(name, base64.b64decode(data))
        self.pictures = {**self.pictures, OWN: self._view(OWN, self._images[OWN])}
        self.show_state(names=[*self.pictures])
        self.source = OWN

    def on_stroke(self, points: Sequence[Sequence[float]], erase: bool) -> None:
        """The page: the pen went from point to point of the sheet, x and y in cells from the top left."""
        ink = torch.tensor(_ink(_checked_way(points)))
        sheet = self._image(DRAW)
        self._show_sheet(torch.minimum(sheet, 1 - ink) if erase else torch.maximum(sheet, ink))

    def on_grey(self, row: int, column: int, change: int) -> None:
        """The page: one cell of the sheet was made darker, or lighter, by so many greys."""
        for name, value, least, most in (
            ("row", row, 0, SHEET_SIZE - 1),
            ("column", column, 0, SHEET_SIZE - 1),
            ("change", change, -FULL, FULL),
        ):
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}; got {value!r}.")
        sheet = self._image(DRAW)
        sheet[0, row, column] = (sheet[0, row, column] + change / FULL).clamp(0, 1)
        self._show_sheet(sheet)

    def on_clear(self) -> None:
        """The page: the sheet is to be empty again."""
        self._show_sheet(torch.zeros(1, SHEET_SIZE, SHEET_SIZE))

    def on_move(self, down: int, right: int) -> None:
        """The page: the picture is to move so many pixels from where it is; what left it can come back."""
        for name, value in (("down", down), ("right", right)):
            if type(value) is not int:
                raise ValueError(f"{name} must be a whole number of pixels; got {value!r}.")
        if self._shown_view()["reading"] is None:
            shape = tuple(self._images[self.source].shape)
            raise ValueError(
                "Only what is read can be moved, a grey picture of "
                f"{SHEET_SIZE} × {SHEET_SIZE} pixels; got {shape}."
            )
        was_down, was_right = self._moves.get(self.source, (0, 0))
        moved = (was_down + down, was_right + right)
        if max(map(abs, moved)) > FARTHEST:
            raise ValueError(
                f"A picture can be moved at most {FARTHEST} pixels from its place; "
                f"this would be {_way(*moved)}."
            )
        self._show_moved(*moved)

    def on_back(self) -> None:
        """The page: the picture is to stand in its place again."""
        self._show_moved(0, 0)

    @traitlets.validate("source")
    def _check_source(self, proposal: Any) -> str:
        if proposal["value"] not in self._images:
            raise ValueError(f"source must be one of {[*self._images]}; got {proposal['value']!r}.")
        return proposal["value"]

    def _image(self, source: str) -> Tensor:
        return _moved(self._images[source], *self._moves.get(source, (0, 0)))

    def _show_sheet(self, sheet: Tensor) -> None:
        view = self._view(DRAW, sheet)  # first, as `reads` may raise
        self._images[DRAW], self._moves[DRAW] = sheet, (0, 0)
        self.show_state(sheet=view)
        self.source = DRAW

    def _show_moved(self, down: int, right: int) -> None:
        view = self._view(self.source, self._images[self.source], (down, right))
        self._moves[self.source] = (down, right)
        if self.source == DRAW:
            self.show_state(sheet=view)
        else:
            self.pictures = {**self.pictures, self.source: view}

    def _shown_view(self) -> dict[str, Any]:
        return self.state["sheet"] if self.source == DRAW else self.pictures[self.source]

    def _shown_cut(self) -> dict[str, Any]:
        view = self._shown_view()
        return view["cuts"].get(self.cut) or view["cuts"][view["default"]]

    def _view(self, source: str, given: Tensor, moved: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """All that is shown of one picture."""
        image = _moved(given, *moved)
        n_channels, height, width = image.shape
        full = _full(given)  # of all of it, so that no move changes what a number means
        is_ink = full == FULL
        sizes = _sizes(height, width, self._patch_size)
        cuts = {str(size): self._cut(image, size) for size in sizes} | {ROWS: self._cut(image, ROWS)}
        channels = " × 3 channels, red, green and blue" if n_channels == 3 else ""
        ends = f"0 is white paper and {full} full ink" if is_ink else f"0 is dark and {full} bright"
        done = f"{self._own_text} " if source == OWN else ""
        return {
            "reading": self._reading(image),
            "place": f"Moved {_way(*moved)}." if any(moved) else "In its place.",
            "pixels": packed((image * full).round(), np.uint8),
            "shape": list(image.shape),
            "channels": _CHANNELS[n_channels],
            "full": full,
            "is_ink": is_ink,
            "text": f"{source}: {done}{height} × {width} pixels{channels}. Numbers are {full}ths: {ends}.",
            "cuts": cuts,
            "default": str(max(size for size in sizes if size <= max(min(height, width) // 4, sizes[0]))),
        }

    def _reading(self, image: Tensor) -> str | None:
        """What the picture is read as, None where it is not read."""
        if self._reads is None or image.shape != (1, SHEET_SIZE, SHEET_SIZE):
            return None
        text = self._reads(image.clone())
        if not isinstance(text, str):
            raise ValueError(f"reads must give a sentence; got {text!r}.")
        return text

    def _cut(self, image: Tensor, size: int | str) -> dict[str, Any]:
        """One way to cut one picture: where the numbers of each token stand, its vector, counts in words.

        All tokens are cut alike, so number j of token n stands at starts[n] + offsets[j] in the picture.
        """
        n_channels, height, width = image.shape
        places = torch.arange(image.numel()).reshape(image.shape)
        if isinstance(size, str):
            tile, grid, kind = (1, width), (height, 1), "Row"
            rows = _lines(places)
        else:
            tile, grid, kind = (size, size), (height // size, width // size), "Patch"
            image, places = (x[:, : grid[0] * size, : grid[1] * size] for x in (image, places))
            rows = patchify(places[None], size)[0]
        n_tokens, n_numbers = rows.shape
        order = torch.randperm(n_tokens, generator=torch.Generator().manual_seed(SEED))
        vectors, origin = self._vectors(image, size)
        shown = [min(side, SHOWN_OF_SIDE[n_channels]) for side in tile]
        lost = (height - image.shape[1], width - image.shape[2])
        return {
            "kind": kind,
            "label": "a row of pixels" if size == ROWS else f"a patch of {size} × {size} pixels",
            "grid": list(grid),
            "tile": list(tile),
            "starts": packed(rows[:, 0], np.int32),
            "offsets": packed(rows[0] - rows[0, 0], np.int32),
            "order": packed(order, np.int32),
            # In thousandths.
            "vectors": packed((1000 * vectors).round(), np.int32),
            "vector_text": origin,
            "text": _counts(n_channels, grid, tile, lost),
            "cost": _cost(n_tokens, image.shape[1] * image.shape[2]),
            "text_in_order": "In reading order.",
            "text_shuffled": _shuffled(order.tolist()),
            "shown": shown,
            "shown_of_row": min(n_numbers, SHOWN_OF_ROW),
            "excerpt": _excerpt(shown, tile, n_numbers),
        }

    def _vectors(self, image: Tensor, size: int | str) -> tuple[Tensor, str]:
        """The vector of each token, as far as it is shown, and what to call it."""
        given = self._projection
        with torch.no_grad():
            if given is not None and (given.patch_size, given.n_channels) == (size, len(image)):
                vectors = given(image[None])[0]
                of_all = (
                    f", the first {WIDTH} of {vectors.shape[1]} numbers" if vectors.shape[1] > WIDTH else ""
                )
                return vectors[:, :WIDTH], f"Vector{of_all}"
            with seeded(SEED):
                if isinstance(size, str):
                    vectors = nn.Linear(image[:, 0].numel(), WIDTH)(_lines(image))
                else:
                    vectors = PatchEmbedding(size, len(image), WIDTH)(image[None])[0]
        return vectors, "Vector by a random projection"


def _moved(image: Tensor, down: int, right: int) -> Tensor:
    """The picture moved over white paper, which is 0 as in `data.digits`; a copy."""
    return nn.functional.pad(image, (right, -right, down, -down))


def _way(down: int, right: int) -> str:
    """Pixels from the place in words: 1 up, 2 right."""
    ways = ((down, "down" if down > 0 else "up"), (right, "right" if right > 0 else "left"))
    return ", ".join(f"{abs(pixels)} {way}" for pixels, way in ways if pixels)


def _lines(image: Tensor) -> Tensor:
    """Each line of pixels as a token, channel by channel: (height, C width)."""
    return image.transpose(0, 1).flatten(1)


def _full(image: Tensor) -> int:
    """How many steps from 0 to 1: 16 if the picture is grey and needs no more, as digits in ink, else 255."""
    sixteenths = image * FULL
    is_ink = len(image) == 1 and torch.equal(sixteenths, sixteenths.round())
    return FULL if is_ink else 255


def _sizes(height: int, width: int, wanted: int) -> list[int]:
    """The patch sizes offered for a picture, `wanted` among them if it can be shown."""
    fitting = [size for size in {*SIZES, wanted} if size <= min(height, width)]
    return sorted(size for size in fitting if (height // size) * (width // size) <= MOST_TOKENS)


def _ink(way: np.ndarray) -> np.ndarray:
    """How much ink a pen leaves in each cell of the sheet on its way: (1, 8, 8) in sixteenths of 1."""
    start, step = way[:, None, None], np.diff(way, axis=0, append=way[-1:])[:, None, None]
    side = np.arange(SHEET_SIZE) + 0.5
    centres = np.stack(np.meshgrid(side, side), -1)  # x, y
    along = ((centres - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-12)
    nearest = start + along.clip(0, 1)[..., None] * step
    distance = np.hypot(*np.moveaxis(centres - nearest, -1, 0)).min(0)
    share = ((REACH - distance) / (REACH - DARK)).clip(0, 1)
    return ((share * FULL).round() / FULL)[None].astype(np.float32)


def _read_picture(name: str, data: bytes) -> tuple[Tensor, str]:
    """A file's picture, its middle square scaled to OWN_SIZE, and what was done to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(data))
            width, height = picture.size
            if width * height <= MOST_PIXELS:
                # As the camera was held, and on white where one could see through.
                turned = ImageOps.exif_transpose(picture).convert("RGBA")
                white = Image.new("RGBA", turned.size, "white")
                opaque = Image.alpha_composite(white, turned).convert("RGB")
                square = ImageOps.fit(opaque, (OWN_SIZE, OWN_SIZE), Image.Resampling.LANCZOS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            width, height = MOST_PIXELS, 2
        except Exception as error:  # each of Pillow's decoders has its own
            raise ValueError(f"{name} holds no picture that can be read: try a PNG or JPEG file.") from error
    if width * height > MOST_PIXELS:
        raise ValueError(f"{name} has more than {MOST_PIXELS // 10**6} million pixels: scale it down.")
    pixels = torch.tensor(np.array(square)).permute(2, 0, 1) / 255
    return pixels, f"{name}, the middle square of {turned.height} × {turned.width} pixels, scaled to"


def _counts(n_channels: int, grid: tuple[int, int], tile: tuple[int, int], lost: tuple[int, int]) -> str:
    n_tokens, n_numbers = grid[0] * grid[1], n_channels * tile[0] * tile[1]
    parts = f"{n_channels} × {tile[0]} × {tile[1]} = " if n_channels > 1 else f"{tile[0]} × {tile[1]} = "
    across = f"{grid[0]} × {grid[1]} = " if grid[1] > 1 else ""
    text = f"{across}{n_tokens:,} token{'' if n_tokens == 1 else 's'} of {parts}{n_numbers:,} numbers."
    if any(lost):
        left_out = [
            f"{n} {thing}{'' if n == 1 else 's'} of pixels {where}"
            for n, thing, where in zip(
                lost, ("row", "column"), ("at the bottom", "at the right"), strict=True
            )
            if n
        ]
        text += f" Cropped to what fits: {' and '.join(left_out)} left out."
    return text


def _cost(n_tokens: int, n_pixels: int) -> str:
    times = f", {n_pixels**2 // n_tokens**2:,} times as many" if n_pixels > n_tokens else ""
    return (
        f"Attention computes a score for each pair of tokens: {n_tokens:,}² = {n_tokens**2:,}. "
        f"With each pixel a token there would be {n_pixels:,}² = {n_pixels**2:,}{times}."
    )


def _shuffled(order: Sequence[int]) -> str:
    """Which tokens stand at the first places."""
    first = ", ".join(str(n + 1) for n in order[:SHOWN_OF_ORDER])
    rest = " …" if len(order) > SHOWN_OF_ORDER else ""
    return f"Shuffled, each time the same way: {first}{rest}"


def _excerpt(shown: Sequence[int], tile: Sequence[int], n_numbers: int) -> str:
    """What of a token's numbers is not shown, "" where all are."""
    if list(shown) == list(tile):
        return ""
    return (
        f"Shown are the top left {shown[0]} × {shown[1]} of {tile[0]} × {tile[1]} numbers of each channel, "
        f"and the first {min(n_numbers, SHOWN_OF_ROW)} of the {n_numbers:,} in the row."
    )


def _checked_images(images: Any) -> dict[str, Tensor]:
    if not isinstance(images, Mapping):
        raise ValueError(f"images must be a mapping from names to pictures; got {type(images).__name__}.")
    for name, image in images.items():
        if not isinstance(name, str) or not name or name in (OWN, DRAW):
            raise ValueError(
                f"a picture's name must be a text other than {OWN!r} and {DRAW!r}; got {name!r}."
            )
        shape = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        if not isinstance(image, Tensor) or image.ndim != 3 or len(image) not in _CHANNELS:
            raise ValueError(f"{name!r} must be a tensor (1 or 3 channels, height, width); got {shape}.")
        if not all(1 <= side <= LARGEST_SIDE for side in image.shape[1:]):
            raise ValueError(f"{name!r} must have sides of 1 to {LARGEST_SIDE:,} pixels; got {shape}.")
        # `not` catches NaN, too.
        if not image.is_floating_point() or not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"{name!r} must hold floats from 0 to 1; got {image.dtype}, {image.min()} to {image.max()}."
            )
    return {name: image.detach().cpu().float().clone() for name, image in images.items()}


def _checked_patch_size(patch_size: Any) -> int:
    if type(patch_size) is not int or patch_size < 1:
        raise ValueError(f"patch_size must be a whole number of pixels, at least 1; got {patch_size!r}.")
    return patch_size


def _checked_way(points: Any) -> np.ndarray:
    try:
        way = np.asarray(points, dtype=float)
    except (TypeError, ValueError):
        way = np.empty(0)
    if way.ndim != 2 or way.shape[1] != 2 or not np.isfinite(way).all():
        raise ValueError(f"points must be pairs of x and y; got {points!r:.60}.")
    return way
