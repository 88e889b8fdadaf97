"""The figures of notebook 02: pictures between words, their pieces, melodies, and what is read there."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib import plots
from course_lib.patches import patchify
from course_lib.plots import supported

_GAP = 0.15  # between the tiles of a mosaic, in the shorter side of a tile


def cut(picture: Tensor, lists: Mapping[str, Tensor], patch_size: int) -> None:
    """A picture, and what two lists of vectors hold, each vector drawn as a tile.

    Args:
        picture: (3, height, width) in [0, 1].
        lists: by name (N, 3 p p), one of them the picture's patches.
        patch_size: side of a tile in pixels.
    """
    patches = patchify(picture[None], patch_size)[0]
    right = [name for name, vectors in lists.items() if torch.equal(vectors, patches)]
    where = " and ".join(right) or "no list"
    title = supported(
        "Only one list holds squares of it", f"patches of the picture are in {where}", len(right) == 1
    )
    fig, axes = plots.panels(1 + len(lists), title=title, size=(4.0, 2.7))
    _picture(axes[0], picture.permute(1, 2, 0), "the picture")
    columns = picture.shape[2] // patch_size
    for ax, (name, vectors) in zip(axes[1:], lists.items(), strict=True):
        tiles = vectors.unflatten(1, (3, patch_size, patch_size)).permute(0, 2, 3, 1)
        _picture(ax, _mosaic(np.asarray(tiles), columns), name)
    alt = (
        f"The picture, and the tiles of {', '.join(lists)}. Put side by side, the tiles of {where} give the "
    )
    plots.show(fig, alt=f"{alt}picture, cut into squares.")


def channels(picture: Tensor, inside: tuple[slice, slice]) -> None:
    """Red, green and blue of a picture as three grey pictures.

    Args:
        picture: (3, height, width) in [0, 1].
        inside: rows and columns of the thing that is spoken of.
    """
    red, green, blue = (float(channel[inside].mean()) for channel in picture)
    said = f"in its middle red is {red:.2f}, green {green:.2f}, blue {blue:.2f}"
    falls = red > green + 0.2 and green > blue + 0.1
    title = supported("The flower is bright in red and dark in blue", said, falls)
    fig, axes = plots.panels(3, title=title, size=(3.4, 2.6))
    for ax, channel, name in zip(axes, picture, ("red", "green", "blue"), strict=True):
        _picture(ax, channel, name)
    plots.show(fig, alt=f"Three grey pictures, one for each channel: {said}.")


def exchanged(before: Tensor, after: Tensor) -> None:
    """A picture, and the same with its first and last channel exchanged.

    Args:
        before, after: (3, height, width) in [0, 1].
    """
    title = supported(
        "Red and blue exchanged: the same numbers, other colours",
        "the second picture is not the first with red and blue exchanged",
        torch.equal(before.flip(0), after),
    )
    fig, axes = plots.panels(2, title=title, size=(4.0, 2.7))
    _picture(axes[0], before.permute(1, 2, 0), "as it was")
    _picture(axes[1], after.permute(1, 2, 0), "exchanged")
    plots.show(fig, alt="A photograph twice, as it was and with channels exchanged.")


def line(text: str, *pictures: Tensor) -> None:
    """A line of words and pictures, as a model gets it.

    Args:
        text: with a {} for each picture.
        pictures: (1, height, width) each, 0 paper and 1 ink.
    """
    words = text.split("{}")
    widths = [w for part in words for w in (max(0.115 * len(part.strip()), 0.02), 0.7)][:-1]
    fig, axes = plots.panels(len(widths), size=(1.0, 0.8))
    fig.set_size_inches(sum(widths) + 0.4, 0.9)
    axes[0].get_gridspec().set_width_ratios(widths)
    for n, ax in enumerate(axes):
        if n % 2:
            _picture(ax, 1 - pictures[n // 2][0], "")
        else:
            ax.set_axis_off()
            ax.text(0.5, 0.5, words[n // 2].strip(), ha="center", va="center", fontsize=14)
    plots.show(fig, alt=f"A line: {text.replace('{}', '[a picture]')}")


def nearness(pictures: Sequence[Tensor], cosines: Tensor) -> None:
    """How near the vectors of some pictures are to the rows of ten numerals.

    Args:
        pictures: (1, 8, 8) each, 0 paper and 1 ink.
        cosines: (pictures, 10).
    """
    best = cosines.argmax(1).tolist()
    said = ", ".join(
        f"nearest to {digit} ({row[digit]:.2f})" for digit, row in zip(best, cosines, strict=True)
    )
    fig, axes = plots.panels(2, len(pictures), title=said.capitalize(), size=(2.6, 2.0))
    for n, ((left, right), picture) in enumerate(zip(axes, pictures, strict=True)):
        _picture(left, 1 - picture[0], "")
        colours = ["C1" if digit == best[n] else "C0" for digit in range(10)]
        right.bar(range(10), cosines[n].tolist(), color=colours)
        right.set_xticks(range(10))
        right.set(ylim=(0, 1), ylabel="cosine")
    axes[-1][1].set_xlabel("row of the numeral")
    plots.show(fig, alt=f"Pictures, and beside each ten bars, the cosines with the numerals' rows: {said}.")


def moved(pictures: Tensor, names: Sequence[str], taken_for: Tensor) -> None:
    """A digit in several places, and what it is taken for in each.

    Args:
        pictures: (n, 1, height, width), 0 paper and 1 ink; the first where it was.
        names: of the places.
        taken_for: (n,) digits.
    """
    read = [int(digit) for digit in taken_for]
    said = ", ".join(f"{name} {digit}" for name, digit in zip(names, read, strict=True))
    title = supported(
        "Moved by one pixel it is another digit", said, all(digit != read[0] for digit in read[1:])
    )
    fig, axes = plots.panels(len(names), title=title, size=(1.5, 1.9))
    for ax, picture, name, digit in zip(axes, pictures, names, read, strict=True):
        _picture(ax, 1 - picture[0], f"{name}: {digit}")
    plots.show(fig, alt=f"A digit in several places, and the numeral it comes nearest to: {said}.")


def pieces(sheets: Tensor, cuts: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
    """A sheet and the same moved, and the pieces that they are cut into; those of both in one colour.

    Args:
        sheets: (2, 1, height, width), -1 paper and 1 ink.
        cuts: by name, each makes vectors (2, N, width) of sheets.
    """
    lists = {name: cut(sheets) for name, cut in cuts.items()}
    again = {name: _found_again(*vectors) for name, vectors in lists.items()}
    said = ", ".join(f"{name} {both} of {inked}" for name, (both, inked) in again.items())
    (same, squares), *others = again.values()
    title = supported(
        "Moved sideways, the digit is made of the same squares, and of no other pieces again",
        f"found again: {said}",
        same == squares,
        all(both < inked / 2 for both, inked in others),
    )
    fig, axes = plots.panels(1 + len(lists), 2, title=title, size=(2.0, 2.1))
    for row, (sheet, name) in enumerate(zip(sheets, ("the sheet", "moved"), strict=True)):
        _picture(axes[row][0], (1 - sheet[0]) / 2, name)
        for ax, (cut_name, vectors) in zip(axes[row][1:], lists.items(), strict=True):
            side = round(vectors.shape[2] ** 0.5)
            tiles = vectors[row].unflatten(1, (1, -1) if cut_name == "rows" else (side, side))
            columns = 1 if cut_name == "rows" else round(len(tiles) ** 0.5)
            _picture(
                ax, _mosaic(np.asarray((1 - tiles) / 2), columns, fill=0.75), cut_name if row == 0 else ""
            )
    plots.show(fig, alt=f"A sheet with a digit, twice, and its pieces. Pieces with ink found again: {said}.")


def _found_again(first: Tensor, second: Tensor) -> tuple[int, int]:
    """How many different pieces with ink of one list are in another, and how many there are."""
    inked = [piece for piece in first.unique(dim=0) if (piece > -1).any()]
    return sum(bool((second == piece).all(1).any()) for piece in inked), len(inked)


def cuts(right: Mapping[str, ArrayLike], rival: tuple[str, float]) -> None:
    """How many moved digits are read right, by what a vector holds; the first are squares.

    Args:
        right: for each way to cut the share of right answers, one number a seed.
        rival: a name and the share that it gets right.
    """
    shares = {name: np.asarray(each, dtype=float) for name, each in right.items()}
    said = ", ".join(f"{name} {each.mean():.0%}" for name, each in shares.items())
    squares, *others = (each.mean() for each in shares.values())
    title = supported(
        "Digits that move are read from squares", said, squares > 0.6, all(squares > each for each in others)
    )
    fig = plots.dots(
        {name: 100 * each for name, each in shares.items()},
        title=title,
        y="right on held-out digits, %",
        level=(rival[0], 100 * rival[1]),
        limits=(0.0, 102.0),
    )
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}; {rival[0]} {rival[1]:.0%}.")


def covered(picture: Tensor, read: Sequence[str]) -> None:
    """A digit under sixteen pieces of paper, and on each what is read where only this one lies there.

    Args:
        picture: (1, 8, 8), 0 paper and 1 ink.
        read: a word for each piece of 2 x 2 pixels, in reading order.
    """
    said = " ".join(read)
    fig, axes = plots.panels(2, title=f"Read under paper: {len({*read})} different answers", size=(2.4, 2.6))
    _picture(axes[0], 1 - picture[0], "the digit")
    _picture(axes[1], 1 - 0.35 * picture[0], "read with paper there")
    for n, word in enumerate(read):
        row, column = divmod(n, 4)
        axes[1].text(2 * column + 0.5, 2 * row + 0.5, word, ha="center", va="center", fontsize=14)
    for edge in (1.5, 3.5, 5.5):
        axes[1].axhline(edge, color="0.7", linewidth=0.8)
        axes[1].axvline(edge, color="0.7", linewidth=0.8)
    plots.show(fig, alt=f"A digit, and on a grid of four by four what is read with paper there: {said}.")


def melodies(spectra: Tensor, names: Sequence[str], notes: int, hertz: float, seconds: float) -> None:
    """Log spectra of some melodies: time to the right, pitch upwards.

    Args:
        spectra: (n, frames, frequencies).
        names: what each melody is.
        notes: how many notes a melody has, all of one length.
        hertz: from one frequency to the next.
        seconds: from one frame to the next.
    """
    n_frames = spectra.shape[1]
    change = (spectra[:, 1:] - spectra[:, :-1]).norm(dim=2).mean(0)
    parts = change.chunk(notes - 1)  # each holds one border between two notes
    largest = [number * len(parts[0]) + int(part.argmax()) for number, part in enumerate(parts)]
    borders = [len(change) * note / notes for note in range(1, notes)]
    said = f"frames change most at {' and '.join(f'{(place + 1) * seconds:.2f} s' for place in largest)}"
    at_borders = all(abs(place + 0.5 - at) < 2 for place, at in zip(largest, borders, strict=True))
    title = supported("Three notes, seen in their spectra", said, at_borders)
    fig, axes = plots.panels(len(names), title=title, size=(2.6, 3.0))
    shown = min(spectra.shape[2], round(2000 / hertz))
    for ax, spectrum, name in zip(axes, spectra, names, strict=True):
        extent = (0, n_frames * seconds, 0, shown * hertz)
        ax.imshow(
            np.asarray(spectrum[:, :shown].T), origin="lower", aspect="auto", cmap="Blues", extent=extent
        )
        ax.set(xlabel="seconds", ylabel="pitch, Hz")
        ax.set_title(name, loc="left", fontsize=11)
    kinds = ", ".join(names)
    plots.show(fig, alt=f"Dark lines, tones and overtones, over time, for {kinds}: {said}.")


def _picture(ax: Axes, pixels: ArrayLike, name: str) -> None:
    ax.imshow(np.asarray(pixels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(name, loc="left", fontsize=11)


def _mosaic(tiles: NDArray, columns: int, fill: float = 1.0) -> NDArray:
    """Tiles (N, height, width, ...) in rows, with gaps between them."""
    count, height, width = tiles.shape[:3]
    gap = max(1, round(_GAP * min(height, width)))
    down, across = height + gap, width + gap
    rows = -(-count // columns)
    page = np.full((rows * down - gap, columns * across - gap, *tiles.shape[3:]), fill, dtype=float)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        page[row * down : row * down + height, column * across : column * across + width] = tile
    return page
