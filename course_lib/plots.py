"""Figures for everyone: a takeaway as title, a text in place of the picture, colours that all can tell apart.

Every function draws into `ax` (see `panels`), or else into a figure of its own, and returns the figure.
`show` displays it.
"""

import base64
import html
import io
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Figure rather than pyplot: quicker to import, and nothing is shown twice or left open.
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's palette: distinct with every common kind of colour blindness.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, BLACK, YELLOW = PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
    "#F0E442",
)
# Never by colour alone.
_MARKERS = "os^Dv*PX"
_STYLES = ("-", "--", "-.", ":")
_DPI = 144
_MOST_CELLS_WITH_NUMBERS = 100


def panels(
    columns: int = 1, rows: int = 1, *, title: str = "", size: tuple[float, float] = (4.6, 3.6)
) -> tuple[Figure, NDArray]:
    """An empty figure and its axes.

    Args:
        columns, rows: how many axes side by side and below each other.
        title: the takeaway of the whole figure.
        size: inches of one panel, width and height.
    Returns: the figure and an array of axes: (columns,), or (rows, columns) if there are several rows.
    """
    fig = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False)
    if title:
        fig.suptitle(_wrapped(title, size[0] * columns), x=0.01, ha="left", fontsize=12, fontweight="bold")
    return fig, axes if rows > 1 else axes[0]


def show(fig: Figure, *, alt: str) -> None:
    """Display a figure with a text for readers who do not see it, and close it.

    Args:
        alt: what there is to see, in a sentence.
    Raises: ValueError: alt is empty.
    Differs: from matplotlib's own display, whose PNG carries no alternative text in JupyterLab and nbconvert.
    """
    from IPython.display import display

    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"a figure needs a text that says what there is to see; alt is {alt!r}")
    png = io.BytesIO()
    fig.savefig(png, format="png", dpi=_DPI, facecolor="white")
    image = base64.b64encode(png.getvalue()).decode()
    width = round(fig.get_figwidth() * 96)
    tag = (
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{image}" '
        f'style="width:{width}px;max-width:100%;height:auto">'
    )
    display({"text/html": tag, "text/plain": alt}, raw=True)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(fig)


def heatmap(
    matrix: ArrayLike,
    rows: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    *,
    title: str,
    y: str = "",
    x: str = "",
    limits: tuple[float, float] | None = None,
    numbers: bool | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A matrix as coloured cells: blue from 0 up, brown and purple where there are negative numbers.

    Args:
        matrix: two axes.
        rows, columns: the names of rows and columns, if they have any.
        title: the takeaway.
        y, x: what a row and what a column is.
        limits: the numbers at the ends of the colour scale; from the data by default.
        numbers: write each number into its cell; by default where there are at most 100.
    Raises: ValueError: the matrix has not two axes, or not as many rows or columns as names.
    """
    matrix = _array(matrix)
    _check_names(matrix, rows, columns)
    height, width = matrix.shape
    size = (min(max(3.2, 0.62 * width + 1.6), 8.5), min(max(2.6, 0.5 * height + 1.4), 7.5))
    fig, ax = _figure(ax, size, title)
    negative = (matrix.min() if limits is None else limits[0]) < 0
    low, high = limits or ((-abs(matrix).max(), abs(matrix).max()) if negative else (0.0, matrix.max()))
    image = ax.imshow(matrix, cmap="PuOr" if negative else "Blues", vmin=low, vmax=high, aspect="auto")
    ax.set(xlabel=x, ylabel=y)
    for axis, names, count in ((ax.xaxis, columns, width), (ax.yaxis, rows, height)):
        axis.set_ticks(range(count) if names is not None else [], [str(name) for name in names or ()])
    if columns is not None and max(len(str(name)) for name in columns) * width > 60:
        ax.tick_params(axis="x", rotation=60)
    if numbers if numbers is not None else matrix.size <= _MOST_CELLS_WITH_NUMBERS:
        for (row, column), number in np.ndenumerate(matrix):
            ink = _ink(image.cmap(image.norm(number)))
            ax.text(column, row, f"{number:.2f}", ha="center", va="center", color=ink, fontsize=9)
    else:
        fig.colorbar(image, ax=ax, shrink=0.9)
    return fig


def lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    level: tuple[str, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Curves; where y has two axes (runs, points), the mean with a band from the lowest to the highest run.

    Args:
        series: a name for each pair of x and y.
        title: the takeaway.
        x, y: what the axes measure, with unit.
        log_x, log_y: logarithmic axes.
        level: a name and a height for a horizontal line, such as chance.
    """
    fig, ax = _figure(ax, (5.6, 3.6), title)
    for index, (name, (xs, ys)) in enumerate(series.items()):
        xs, ys = _array(xs), np.atleast_2d(_array(ys))
        colour, few = PALETTE[index % len(PALETTE)], len(xs) <= 25
        style = _STYLES[index % len(_STYLES)]
        ax.plot(xs, ys.mean(0), style, color=colour, label=name, marker=_MARKERS[index % 8] if few else None)
        if len(ys) > 1:
            ax.fill_between(xs, ys.min(0), ys.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.set(xlabel=x, ylabel=y, xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
    _level(ax, level)
    if len(series) > 1 or level:
        ax.legend(frameon=False)
    return fig


def dots(
    groups: Mapping[str, ArrayLike],
    *,
    title: str,
    y: str,
    level: tuple[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One dot for each run, a group beside the other, so that the spread is seen.

    Args:
        groups: the numbers of each group.
        title: the takeaway.
        y: what is measured.
        level: a name and a height for a horizontal line, such as chance.
        limits: the ends of the y axis.
    """
    fig, ax = _figure(ax, (max(4.0, 1.7 * len(groups) + 1), 3.4), title)
    for index, values in enumerate(groups.values()):
        values = _array(values).ravel()
        places = index + np.linspace(-0.25, 0.25, len(values)) * (len(values) > 1)
        ax.scatter(places, values, color=PALETTE[index % 8], marker=_MARKERS[index % 8], s=40, zorder=3)
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylabel=y)
    ax.set_xticks(range(len(groups)), list(groups))
    if limits:
        ax.set_ylim(limits)
    _level(ax, level)
    if level:
        ax.legend(frameon=False)
    return fig


def scatter(
    points: ArrayLike,
    labels: Sequence[Any] | ArrayLike,
    *,
    title: str,
    x: str = "first coordinate",
    y: str = "second coordinate",
    line: tuple[ArrayLike, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Points in the plane, a colour and a shape for each label, and the line that separates them.

    Args:
        points: (N, 2).
        labels: N names or numbers.
        title: the takeaway.
        x, y: what the axes are.
        line: (w, b) draws the points p with w . p + b = 0.
    Raises: ValueError: the points are not (N, 2), or there are not as many labels.
    """
    points, labels = _array(points), _array(labels)
    if points.ndim != 2 or points.shape[1] != 2 or len(labels) != len(points):
        raise ValueError(f"scatter needs points (N, 2) and N labels; got {points.shape} and {labels.shape}")
    fig, ax = _figure(ax, (4.6, 3.8), title)
    for index, label in enumerate(np.unique(labels)):
        chosen = points[labels == label]
        colour, marker = PALETTE[index % 8], _MARKERS[index % 8]
        xs, ys = chosen.T
        ax.scatter(xs, ys, s=22, alpha=0.8, color=colour, marker=marker, label=str(label))
    if line is not None:
        (w_x, w_y), bias = _array(line[0]), float(line[1])
        # The point of the line nearest to the origin, and the direction along the line.
        near = -bias / (w_x**2 + w_y**2)
        start = (near * w_x, near * w_y)
        ax.axline(start, (start[0] - w_y, start[1] + w_x), color=BLACK, label="separating line")
    # axline would otherwise stretch the view to its two anchor points.
    ax.set(xlim=_padded(points[:, 0]), ylim=_padded(points[:, 1]), xlabel=x, ylabel=y)
    ax.legend(frameon=False)
    return fig


def _figure(ax: Axes | None, size: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    if not title.strip():
        raise ValueError("a figure needs its takeaway as title; the title is empty")
    if ax is None:
        fig, (ax,) = panels(title=title, size=size)
        return fig, _bare(ax)
    whole = ax.get_figure(root=True)
    if whole is None:
        raise ValueError("these axes were removed from their figure")
    ax.set_title(_wrapped(title, ax.get_position().width * whole.get_figwidth()), loc="left", fontsize=11)
    return whole, _bare(ax)


def _bare(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _ink(background: Any) -> str:
    # At this luminance black and white contrast equally (WCAG 2.2, 1.4.3).
    luminance = np.dot((0.2126, 0.7152, 0.0722), np.power(background[:3], 2.2))
    return "white" if luminance < 0.18 else "black"


def _wrapped(title: str, inches: float) -> str:
    return textwrap.fill(title, max(16, int(inches * 10.5)))


def _level(ax: Axes, level: tuple[str, float] | None) -> None:
    if level:
        ax.axhline(level[1], color=BLACK, linestyle=":", linewidth=1.2, label=level[0])


def _padded(values: NDArray) -> tuple[float, float]:
    room = 0.08 * (values.max() - values.min()) or 1.0
    return float(values.min() - room), float(values.max() + room)


def _check_names(matrix: NDArray, rows: Sequence[Any] | None, columns: Sequence[Any] | None) -> None:
    if matrix.ndim != 2:
        raise ValueError(f"heatmap needs a matrix with two axes; got shape {matrix.shape}")
    for what, names, count in (("row", rows, matrix.shape[0]), ("column", columns, matrix.shape[1])):
        if names is not None and len(names) != count:
            raise ValueError(f"heatmap needs a name for each {what}: {count} {what}s, {len(names)} names")


def _array(values: Any) -> NDArray:
    # A tensor that requires gradients, or lives elsewhere, does not convert by itself.
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
