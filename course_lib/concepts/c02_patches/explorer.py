"""The patch explorer: a picture, a file's or one that is drawn, cut into tokens down to its numbers."""

import base64
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from course_lib.data import photographs
from course_lib.patches import PatchEmbedding
from course_lib.widgets.explorer import Explorer, assets, packed

OWN = "your own picture"
DRAW = "draw"
OWN_SIZE = 224  # pixels, the usual size of a Vision Transformer's pictures
LARGEST_SIDE = 2_048  # pixels of a picture that is given
SHEET_SIZE = 8
FULL = 16  # the darkest of the sheet's 17 greys, as in `data.digits`
FARTHEST = 2  # pixels from its place that a picture can be moved
WIDTH = 8  # numbers of a vector that are shown

_ASSETS = assets(__file__, "cut", "explorer")


class PatchExplorer(Explorer):
    """See a picture become tokens: patches or rows of pixels, each with its numbers and its vector.

    Args:
        images: by name, each (C, height, width) in [0, 1] with 1 or 3 channels; their pixels travel to the
            page. Empty, it opens with a sheet to draw on; left out, with the course's two photographs.
        patch_size: shown at first where it fits; left out, the projection's, else one with few patches.
        projection: makes the vectors of patches that fit it; all others are made by the page's own eight
            numbers, brightness, waves and colours.
        reads: says in a sentence what a grey picture of the sheet's size, (1, 8, 8) in [0, 1], is read as.
            With it such a picture can be moved, at most FARTHEST pixels from its place. It is asked for all
            places at once, so that a page without Python knows them.
    Raises: ValueError: images or a patch size that cannot be shown, or what `reads` gives is no text.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    source = traitlets.Unicode().tag(sync=True)  # a name of `images`, DRAW, or OWN once there is one
    cut = traitlets.Unicode().tag(sync=True)  # a patch size, or "rows"; where it does not fit, the page's
    shuffled = traitlets.Bool(False).tag(sync=True)
    opened = traitlets.Int(None, min=0, allow_none=True).tag(sync=True)  # row of `patchify`; or the page's
    moved = traitlets.Dict().tag(sync=True)  # by name, pixels down and right
    # The same as `state["sheet"]` for all other pictures, so that they are not sent again with every stroke.
    pictures = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        images: Mapping[str, Tensor] | None = None,
        patch_size: int | None = None,
        projection: PatchEmbedding | None = None,
        reads: Callable[[Tensor], str] | None = None,
    ) -> None:
        super().__init__()
        self._images = _checked_images(photographs() if images is None else images)  # each in its place
        self._reads = reads
        self.pictures = {name: self._view(image) for name, image in self._images.items()}
        self._images[DRAW] = torch.zeros(1, SHEET_SIZE, SHEET_SIZE)
        self.source = next(iter(self._images))
        self.show_state(
            names=[*self.pictures],
            sheet=self._view(self._images[DRAW]),
            projection=_weights(projection) if projection else None,
            is_reading=reads is not None,
            error="",
        )
        if patch_size is not None:
            self.cut = str(_checked_patch_size(patch_size, self.source, self._images[self.source]))
        elif projection is not None:
            self.cut = str(projection.patch_size)

    @property
    def image(self) -> Tensor:
        """The picture shown, whole, in order and where it was moved: (C, height, width) in [0, 1]; a copy."""
        return _moved(self._images[self.source], *self.moved.get(self.source, (0, 0)))

    def on_picture(self, name: str, height: int, width: int, pixels: str) -> None:
        """The page: a file was opened; pixels are bytes of the square that was made of it, in base64."""
        numbers = np.frombuffer(base64.b64decode(pixels), np.uint8)
        if numbers.size != 3 * OWN_SIZE**2:
            raise ValueError(f"{name} must come as {3 * OWN_SIZE**2:,} numbers; got {numbers.size:,}.")
        self._images[OWN] = torch.tensor(numbers / 255).float().reshape(3, OWN_SIZE, OWN_SIZE)
        file = {"name": name, "height": height, "width": width}
        self.pictures = {**self.pictures, OWN: {**self._view(self._images[OWN]), "file": file}}
        self.source = OWN

    def on_draw(self, greys: Sequence[int]) -> None:
        """The page: these are the greys of the sheet now, line by line."""
        n = SHEET_SIZE**2
        if len(greys) != n or any(type(grey) is not int or not 0 <= grey <= FULL for grey in greys):
            raise ValueError(f"greys must be {n} whole numbers from 0 to {FULL}; got {greys!r:.60}.")
        self._images[DRAW] = torch.tensor(greys).reshape(1, SHEET_SIZE, SHEET_SIZE) / FULL
        self.moved = {name: way for name, way in self.moved.items() if name != DRAW}
        self.show_state(sheet=self._view(self._images[DRAW]))
        self.source = DRAW

    @traitlets.validate("source")
    def _check_source(self, proposal: Any) -> str:
        if proposal["value"] not in self._images:
            raise ValueError(f"source must be one of {[*self._images]}; got {proposal['value']!r}.")
        return proposal["value"]

    @traitlets.validate("moved")
    def _check_moved(self, proposal: Any) -> dict[str, Sequence[int]]:
        for name, way in proposal["value"].items():
            if self._reads is None or name not in self._images or not _is_sheet(self._images[name]):
                raise ValueError(f"Only a grey picture of 8 × 8 pixels that is read moves; got {name!r}.")
            if len(way) != 2 or any(type(pixels) is not int or abs(pixels) > FARTHEST for pixels in way):
                raise ValueError(f"{name!r} moves at most {FARTHEST} pixels down and right; got {way!r}.")
        return proposal["value"]

    def _view(self, image: Tensor) -> dict[str, Any]:
        """One picture in numbers, and what it is read as at each place, row by row; None if it is not."""
        full = _full(image)
        readings = None
        if self._reads is not None and _is_sheet(image):
            places = product(range(-FARTHEST, FARTHEST + 1), repeat=2)
            readings = [_reading(self._reads, _moved(image, *place)) for place in places]
        pixels = packed((image * full).round(), np.uint8)
        return {"pixels": pixels, "shape": list(image.shape), "full": full, "readings": readings}


def _reading(reads: Callable[[Tensor], str], image: Tensor) -> str:
    try:
        text = reads(image)
    except ValueError as refusal:
        return str(refusal)
    if not isinstance(text, str):
        raise ValueError(f"reads must give a sentence; got {text!r}.")
    return text


def _weights(projection: PatchEmbedding) -> dict[str, Any]:
    """What makes the numbers of a vector that are shown."""
    linear = projection.projection
    weights, bias = (part[:WIDTH].detach().cpu() for part in (linear.weight, linear.bias))
    return {
        "size": projection.patch_size,
        "n_channels": projection.n_channels,
        "width": linear.out_features,
        "weights": packed(weights, np.float32),
        "bias": packed(bias, np.float32),
    }


def _moved(image: Tensor, down: int, right: int) -> Tensor:
    """The picture moved over white paper, which is 0 as in `data.digits`; a copy."""
    return nn.functional.pad(image, (right, -right, down, -down))


def _is_sheet(image: Tensor) -> bool:
    return image.shape == (1, SHEET_SIZE, SHEET_SIZE)


def _full(image: Tensor) -> int:
    """How many steps from 0 to 1: 16 if the picture is grey and needs no more, as digits in ink, else 255."""
    sixteenths = image * FULL
    is_ink = len(image) == 1 and torch.equal(sixteenths, sixteenths.round())
    return FULL if is_ink else 255


def _checked_images(images: Any) -> dict[str, Tensor]:
    if not isinstance(images, Mapping):
        raise ValueError(f"images must be a mapping from names to pictures; got {type(images).__name__}.")
    for name, image in images.items():
        if not isinstance(name, str) or not name or name in (OWN, DRAW):
            raise ValueError(
                f"a picture's name must be a text other than {OWN!r} and {DRAW!r}; got {name!r}."
            )
        shape = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        if not isinstance(image, Tensor) or image.ndim != 3 or len(image) not in (1, 3):
            raise ValueError(f"{name!r} must be a tensor (1 or 3 channels, height, width); got {shape}.")
        if not all(1 <= side <= LARGEST_SIDE for side in image.shape[1:]):
            raise ValueError(f"{name!r} must have sides of 1 to {LARGEST_SIDE:,} pixels; got {shape}.")
        # `not` catches NaN, too.
        if not image.is_floating_point() or not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"{name!r} must hold floats from 0 to 1; got {image.dtype}, {image.min()} to {image.max()}."
            )
    return {name: image.detach().cpu().float().clone() for name, image in images.items()}


def _checked_patch_size(patch_size: Any, name: str, image: Tensor) -> int:
    if type(patch_size) is not int or patch_size < 1:
        raise ValueError(f"patch_size must be a whole number of pixels, at least 1; got {patch_size!r}.")
    height, width = image.shape[1:]
    if patch_size > min(height, width):
        raise ValueError(f"patch_size must fit {name!r}, {height} × {width} pixels; got {patch_size}.")
    return patch_size
