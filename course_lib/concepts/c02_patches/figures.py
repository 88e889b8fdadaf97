"""The figures of notebook 02: pictures and melodies as vectors, their price, what a reader makes of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib import plots
from course_lib.patches import patchify
from course_lib.plots import supported

_GAP = 0.15  # between the tiles of a mosaic, in sides of a tile


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


def photograph(picture: Tensor, name: str) -> None:
    """A picture as it is.

    Args:
        picture: (3, height, width) in [0, 1].
        name: written above it.
    """
    fig, (ax,) = plots.panels(size=(4.0, 2.7))
    _picture(ax, picture.permute(1, 2, 0), name)
    plots.show(fig, alt=f"A picture: {name}.")


def costs(tokens: Sequence[int], seconds: Mapping[str, ArrayLike], kept: Mapping[str, ArrayLike]) -> None:
    """What attention takes, over the number of vectors, each as a multiple of the first.

    Args:
        tokens: how many vectors, each twice as many as before.
        seconds: for each way of computing it, the time.
        kept: the same for the bytes.
    """
    times = {name: np.asarray(each, dtype=float) for name, each in seconds.items()}
    stored = {name: np.asarray(each, dtype=float) for name, each in kept.items()}
    said = ", ".join(f"{name} {each[-1] / each[-3]:.0f}" for name, each in times.items())
    title = supported(
        "Time grows faster than the number of vectors, with or without a table",
        f"times as long: {said}",
        all(each[-1] / each[-3] > 4.5 for each in times.values()),
    )
    fig, axes = plots.panels(2, title=title, size=(4.6, 3.4))
    for ax, of_each, what in zip(axes, (times, stored), ("time", "bytes kept for training"), strict=True):
        series = {name: (list(tokens), each / each[0]) for name, each in of_each.items()}
        expected = (np.asarray(tokens) / tokens[0]) ** 2
        series["number of vectors, squared"] = (list(tokens), expected)
        label = f"times as much as for {tokens[0]}"
        plots.lines(series, title=what, x="vectors", y=label, log_x=True, log_y=True, ax=ax)
        ax.set_xticks(tokens, [f"{n:,}" for n in tokens])
        ax.minorticks_off()
    bytes_said = ", ".join(f"{name} {each[-1] / each[-3]:.0f}" for name, each in stored.items())
    alt = f"Curves from {tokens[0]} to {tokens[-1]} vectors. Four times as many vectors, the largest: "
    plots.show(fig, alt=f"{alt}times as long, {said}; times as many bytes, {bytes_said}.")


def cuts(right: Mapping[str, ArrayLike], rival: tuple[str, float]) -> None:
    """How many digits are read right, by what a vector holds; the first are squares.

    Args:
        right: for each way to cut the share of right answers, one number a seed.
        rival: a name and the share that it gets right.
    """
    shares = {name: np.asarray(each, dtype=float) for name, each in right.items()}
    said = ", ".join(f"{name} {each.mean():.0%}" for name, each in shares.items())
    squares = next(iter(shares.values())).mean()
    title = supported(
        "Small digits are read no worse from any other pieces than from squares",
        said,
        all(each.mean() > squares - 0.04 for each in shares.values()),
    )
    fig = plots.dots(
        {name: 100 * each for name, each in shares.items()},
        title=title,
        y="right on held-out digits, %",
        level=(rival[0], 100 * rival[1]),
        limits=(80.0, 100.5),
    )
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}; {rival[0]} {rival[1]:.0%}.")


def scrambled(right: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """How many digits are read right, whole and with their patches in another order.

    Args:
        right: for a reader with positions and one without, the shares for whole and for scrambled digits.
    """
    groups = {}
    for name, pair in right.items():
        for order, shares in zip(("whole", "scrambled"), pair, strict=True):
            groups[f"{name},\n{order}"] = 100 * np.asarray(shares, dtype=float)
    said = ", ".join(f"{' '.join(name.split())} {each.mean():.0f} %" for name, each in groups.items())
    with_whole, with_scrambled, without, without_scrambled = groups.values()
    title = supported(
        "Scrambled patches are noise to a reader with positions, and all the same to one without",
        said,
        abs(without - without_scrambled).max() < 1,
        with_scrambled.max() < with_whole.min() / 2,
    )
    fig = plots.dots(
        groups,
        title=title,
        y="right on held-out digits, %",
        level=("guessing", 10.0),
        limits=(0.0, 102.0),
    )
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}.")


def covered(images: Tensor, falls: Tensor, patch_size: int) -> None:
    """Digits, and over each patch how far the right answer falls when it is covered.

    Args:
        images: (n, 1, height, width), 0 paper and 1 ink.
        falls: (n, N) by how much the probability of the right answer falls, for each patch.
        patch_size: side of a patch in pixels.
    """
    worst = falls.amax(1)
    said = ", ".join(f"{fall:.2f}" for fall in worst.tolist())
    title = supported(
        "Covering a single patch can take away more than half of the certainty",
        f"the largest falls are {said}",
        all(fall > 0.5 for fall in worst.tolist()),
    )
    side = images.shape[-1] // patch_size
    fig, axes = plots.panels(len(images), 2, title=title, size=(2.2, 2.3))
    for (above, below), image, fall in zip(axes.T, images, falls.reshape(-1, side, side), strict=True):
        _picture(above, 1 - image[0], "")
        fall = fall.clamp(min=0)
        plots.heatmap(fall, title="fall in probability", limits=(0.0, 1.0), ax=below)
    plots.show(fig, alt=f"{len(images)} digits and a map of each; the patch that matters most costs {said}.")


def filters(before: Tensor, after: Tensor) -> None:
    """The patch layer's filters, one tile for each number of a token's vector.

    Args:
        before, after: (D, p p).
    """
    grown = float(after.norm() / before.norm())
    like = float(torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1])
    said = f"they are {grown:.1f} times as large, and correlate with what they were by {like:.2f}"
    title = supported("Training makes the filters larger, and others", said, grown > 1.2 and like < 0.9)
    fig, axes = plots.panels(1, 2, title=title, size=(7.0, 1.6))
    side = round(before.shape[1] ** 0.5)
    most = float(torch.cat([before, after]).abs().max())
    for ax, weights, name in zip(axes.flat, (before, after), ("before", "after"), strict=True):
        tiles = weights.unflatten(1, (side, side))
        mosaic = np.ma.masked_invalid(_mosaic(np.asarray(tiles), columns=16, fill=np.nan))
        image = ax.imshow(mosaic, cmap="PuOr", vmin=-most, vmax=most)
        ax.set_axis_off()
        ax.set_title(name, loc="left", fontsize=11)
    fig.colorbar(image, ax=list(axes.flat), label="weight", shrink=0.8)
    plots.show(
        fig, alt=f"{len(before)} small squares of weights, before and after training; afterwards {said}."
    )


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


def heard(right: Mapping[str, ArrayLike], rival: tuple[str, float]) -> None:
    """How many melodies are named right, by what a vector holds: spectra, then raw samples.

    Args:
        right: the shares of right answers, one number a seed.
        rival: a name and the share that it gets right.
    """
    shares = {name: np.asarray(each, dtype=float) for name, each in right.items()}
    said = ", ".join(f"{name} {each.mean():.0%}" for name, each in shares.items())
    first, *others = shares.values()
    title = supported(
        "With as many steps it hears more in spectra than in raw samples",
        said,
        all(first.mean() > each.mean() + 0.05 for each in others),
    )
    fig = plots.dots(
        {name: 100 * each for name, each in shares.items()},
        title=title,
        y="right on held-out melodies, %",
        level=(rival[0], 100 * rival[1]),
        limits=(0.0, 102.0),
    )
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}; {rival[0]} {rival[1]:.0%}.")


def backwards(shares: ArrayLike, names: Sequence[str]) -> None:
    """What melodies are taken for when they are played backwards, one table for each reader.

    Args:
        shares: (readers, played, heard); each row sums to 1; first rise, then fall.
        names: of the classes.
    """
    tables = np.asarray(shares, dtype=float)
    swapped = tables[:, [0, 1], [1, 0]]
    rise, fall = swapped.mean(0)
    said = f"a rise is heard as a fall in {rise:.0%}, a fall as a rise in {fall:.0%}"
    title = supported(
        "Played backwards, a rise is heard as a fall and a fall as a rise", said, min(rise, fall) > 0.6
    )
    fig, axes = plots.panels(len(tables), title=title, size=(3.3, 3.0))
    for number, (ax, table) in enumerate(zip(axes, tables, strict=True), start=1):
        plots.heatmap(
            table, names, names, title=f"reader {number}", x="heard", y="played", limits=(0.0, 1.0), ax=ax
        )
    stay = ", ".join(f"{share:.0%}" for share in tables[:, 2, 2])
    plots.show(fig, alt=f"A table for each reader: {said}. A peak is heard as a peak in {stay}.")


def _picture(ax: Axes, pixels: ArrayLike, name: str) -> None:
    ax.imshow(np.asarray(pixels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(name, loc="left", fontsize=11)


def _mosaic(tiles: NDArray, columns: int, fill: float = 1.0) -> NDArray:
    """Tiles (N, side, side, ...) in rows, with gaps between them."""
    count, side = tiles.shape[:2]
    gap = max(1, round(_GAP * side))
    step = side + gap
    rows = -(-count // columns)
    page = np.full((rows * step - gap, columns * step - gap, *tiles.shape[3:]), fill, dtype=float)
    for number, tile in enumerate(tiles):
        top, left = (place * step for place in divmod(number, columns))
        page[top : top + side, left : left + side] = tile
    return page
