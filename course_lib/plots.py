"""Figures for everyone: a takeaway as title, a text in place of the picture, colours that all can tell apart.

Every function draws into `ax` (see `panels`), or else into a figure of its own, and returns the figure.
`show` displays it.

A concept's `figures.py` holds those of its notebook, one function a figure: measured numbers in; a figure
with takeaway, axis labels and alternative text out. So a cell gives nothing away before it runs. A title is a
statement that can be false: `supported` gives it only where the numbers bear it out.
"""

import base64
import html
import io
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Figure rather than pyplot: quicker to import, and nothing is shown twice or left open.
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
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
# What a colour means in diagrams, figures and explorers alike.
QUERY, KEY, VALUE, ATTENTION, MLP, STREAM = BLUE, ORANGE, GREEN, VERMILION, PINK, "#4D4D4D"
# Never by colour alone.
_MARKERS = "os^Dv*PX"
_STYLES = ("-", "--", "-.", ":")
_HATCHES = (None, "//", "..", "xx", "\\\\")
_GREY = "#D9D9D9"  # of cells whose number is not finite
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
    width = size[0] * columns
    fig = Figure(figsize=(width, size[1] * rows), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False)
    if title:
        lines = _wrapped(title, 0.88 * width)  # bold letters are wide
        fig.suptitle(lines, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return fig, axes if rows > 1 else axes[0]


def show(fig: Figure, *, alt: str) -> None:
    """Display a figure with a text for readers who do not see it, and close it.

    Args:
        alt: what there is to see, in a sentence; the figure's title is said before it.
    Raises: ValueError: alt is empty.
    Differs: from matplotlib's own display, whose PNG carries no alternative text in JupyterLab and nbconvert.
    """
    from IPython.display import display

    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"a figure needs a text that says what there is to see; alt is {alt!r}")
    title = " ".join(fig.get_suptitle().split()).replace(r"\$", "$")
    text = f"{title}. {alt}" if title else alt
    png = io.BytesIO()
    fig.savefig(png, format="png", dpi=_DPI, facecolor="white")
    image = base64.b64encode(png.getvalue()).decode()
    width = round(fig.get_figwidth() * 96)
    kind = 'class="course-photo" ' if any(_is_photo(image) for ax in fig.axes for image in ax.images) else ""
    tag = (
        f'<img alt="{html.escape(text)}" src="data:image/png;base64,{image}" '
        f'{kind}style="width:{width}px;max-width:100%;height:auto">'
    )
    display({"text/html": tag, "text/plain": text}, raw=True)
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot:
        pyplot.close(fig)


def _is_photo(image: AxesImage) -> bool:
    """Whether its colours were seen, not given to numbers: a dark page may not turn them round."""
    return np.asarray(image.get_array()).ndim == 3 or image.get_cmap().name == "gray"


def literal(text: Any) -> str:
    """Text that matplotlib shows as it stands: what is between two dollar signs would be read as a formula.

    The functions here do it themselves; what you give to matplotlib directly needs it, tokens for instance.

    Example:
        >>> print(literal("from $5 to $7"))
        from \\$5 to \\$7
    """
    return str(text).replace("$", r"\$")


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
    hue: str = "",
    ax: Axes | None = None,
) -> Figure:
    """A matrix as coloured cells: blue from 0 up, brown and purple where there are negative numbers.

    Infinity, such as a masked score, has no place on the scale: its cell is grey.

    Args:
        matrix: two axes.
        rows, columns: the names of rows and columns, if they have any.
        title: the takeaway.
        y, x: what a row and what a column is.
        limits: the numbers at the ends of the colour scale; from the data by default.
        numbers: write each number into its cell; by default where there are at most 100.
        hue: the colour of large numbers where their kind has one, such as `ATTENTION`; grey is below 0 then.
    Raises: ValueError: the matrix has not two axes or no cells, or not as many rows or columns as names.
    """
    matrix = _array(matrix)
    _check_names(matrix, rows, columns)
    height, width = matrix.shape
    size = (_between(3.2, 0.62 * width + 1.6, 8.5), _between(2.6, 0.5 * height + 1.4, 7.5))
    fig, ax = _figure(ax, size, title)
    low, high = limits or _ends(matrix)
    cells = np.ma.array(matrix, mask=~np.isfinite(matrix))
    colours = _shades(hue, low < 0).with_extremes(bad=_GREY)
    image = ax.imshow(cells, cmap=colours, vmin=low, vmax=high, aspect="auto")
    ax.set(xlabel=literal(x), ylabel=literal(y))
    _name_ticks(ax.xaxis, columns, width)
    _name_ticks(ax.yaxis, rows, height)
    if columns is not None and max(len(str(name)) for name in columns) * width > 60:
        ax.tick_params(axis="x", rotation=60)
    if numbers is None:
        numbers = matrix.size <= _MOST_CELLS_WITH_NUMBERS
    if numbers:
        _write_numbers(ax, matrix, image.to_rgba(cells))
    else:
        bar = fig.colorbar(image, ax=ax, shrink=0.9)
        outside = {_number(float(number)) for number in matrix[cells.mask]}
        if outside:
            bar.set_label(f"grey: {', '.join(sorted(outside))}")
    return fig


def _shades(hue: str, is_signed: bool) -> Colormap:
    if not hue:
        return colormaps["PuOr" if is_signed else "Blues"]
    return LinearSegmentedColormap.from_list(hue, [STREAM, "white", hue] if is_signed else ["white", hue])


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
    Raises: ValueError: no series, or one without numbers.
    """
    _check_some("lines", "series", series)
    fig, ax = _figure(ax, (5.6, 3.6), title)
    for index, (name, (xs, ys)) in enumerate(series.items()):
        xs = _some_numbers(name, xs)
        runs = np.atleast_2d(_some_numbers(name, ys))
        colour, marker = _look(index)
        if len(xs) > 25:
            marker = ""  # they would cover each other
        style = _STYLES[index % len(_STYLES)]
        ax.plot(xs, runs.mean(0), style, color=colour, label=literal(name), marker=marker)
        if len(runs) > 1:
            ax.fill_between(xs, runs.min(0), runs.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.set(xlabel=literal(x), ylabel=literal(y))
    ax.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
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
    size: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One dot for each run, a group beside the other, so that the spread is seen.

    Args:
        groups: the numbers of each group.
        title: the takeaway.
        y: what is measured.
        level: a name and a height for a horizontal line, such as chance.
        limits: the ends of the y axis.
        size: in inches; by default the width grows with the groups.
    Raises: ValueError: no group, or one without numbers.
    """
    _check_some("dots", "group", groups)
    fig, ax = _figure(ax, size or (max(4.0, 1.7 * len(groups) + 1), 3.4), title)
    for index, (name, values) in enumerate(groups.items()):
        values = _some_numbers(name, values).ravel()
        spread = 0.12 if len(values) > 1 else 0.0
        places = index + np.linspace(-spread, spread, len(values))
        colour, marker = _look(index)
        ax.scatter(places, values, color=colour, marker=marker, s=40, zorder=3)
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylabel=literal(y))
    _name_ticks(ax.xaxis, list(groups), len(groups))
    if limits:
        ax.set_ylim(limits)
    _level(ax, level)
    if level:
        ax.legend(frameon=False)
    return fig


def bars(
    numbers: Mapping[str, float],
    colours: Sequence[str],
    *,
    title: str,
    x: str,
    fmt: str = "%.0f",
    end: float | None = None,
    size: tuple[float, float] = (7.6, 3.4),
) -> Figure:
    """A bar for each number, one below the other, with the number behind it.

    Args:
        numbers: by name, from top to bottom.
        colours: of each bar.
        title: the takeaway.
        x: what is measured.
        fmt: how a number is written.
        end: of the x axis, which begins at 0.
        size: in inches.
    Raises: ValueError: no bar.
    """
    _check_some("bars", "bar", numbers)
    fig, ax = _figure(None, size, title)
    painted = ax.barh([literal(name) for name in numbers], list(numbers.values()), color=list(colours))
    ax.bar_label(painted, fmt=f" {fmt}")
    ax.invert_yaxis()
    ax.set(xlabel=literal(x), xlim=(0, end))
    return fig


def grouped_bars(
    series: Mapping[str, Sequence[float]],
    groups: Sequence[str],
    *,
    title: str,
    y: str,
    level: tuple[str, float] | None = None,
    top: float | None = None,
    n_columns: int = 4,
    size: tuple[float, float] = (7.6, 3.4),
) -> Figure:
    """Bars of several series beside each other, group by group, with whole numbers above them.

    Args:
        series: by name, a number for each group.
        groups: their names.
        title: the takeaway.
        y: what is measured.
        level: a name and a height for a horizontal line, such as chance.
        top: of the y axis, which begins at 0.
        n_columns: of the legend below.
        size: in inches.
    Raises: ValueError: no series.
    """
    _check_some("grouped_bars", "series", series)
    fig, ax = _figure(None, size, title)
    width = 0.8 / len(series)
    for number, (name, heights) in enumerate(series.items()):
        places = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        painted = ax.bar(
            places,
            list(heights),
            width,
            color=_look(number)[0],
            hatch=_HATCHES[number % len(_HATCHES)],
            label=literal(name),
        )
        ax.bar_label(painted, fmt="%.0f", fontsize=9)
    _level(ax, level)
    _name_ticks(ax.xaxis, groups, len(groups))
    ax.set(ylabel=literal(y), ylim=(0, top))
    fig.legend(frameon=False, ncols=n_columns, loc="outside lower center")
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
    Raises: ValueError: the points are not (N, 2), there are none, or not as many labels.
    """
    points = _array(points)
    labels = _array(labels)
    is_list_of_points = points.ndim == 2 and points.shape[1] == 2 and len(points)
    if not is_list_of_points or len(labels) != len(points):
        raise ValueError(
            f"scatter needs points (N, 2) and N labels, N at least 1; got {points.shape} and {labels.shape}"
        )
    fig, ax = _figure(ax, (4.6, 3.8), title)
    for index, label in enumerate(np.unique(labels)):
        xs, ys = points[labels == label].T
        colour, marker = _look(index)
        ax.scatter(xs, ys, s=22, alpha=0.8, color=colour, marker=marker, label=literal(label))
    if line is not None:
        (w_x, w_y), bias = _array(line[0]), float(line[1])
        # The point of the line nearest to the origin, and the direction along the line.
        near = -bias / (w_x**2 + w_y**2)
        x_0, y_0 = near * w_x, near * w_y
        ax.axline((x_0, y_0), (x_0 - w_y, y_0 + w_x), color=BLACK, label="separating line")
    # axline would otherwise stretch the view to its two anchor points.
    ax.set(xlim=_padded(points[:, 0]), ylim=_padded(points[:, 1]))
    ax.set(xlabel=literal(x), ylabel=literal(y))
    ax.legend(frameon=False)
    return fig


class Unsupported(ValueError):
    """The numbers do not say what the figure's title says."""


def supported(title: str, numbers: str, *conditions: bool | np.bool_) -> str:
    """A figure's title where it is true, else one that says that it is not.

    Args:
        title: a statement about the numbers.
        numbers: what they are, in a sentence, for the error.
        conditions: what they have to meet.
    Returns: a title for the figure, which is drawn in any case: a learner may have changed something.
    Raises: Unsupported: a condition is not met, and COURSE_FIGURES=strict, as in all of the course's tests.

    Example:
        >>> supported("Most are right", "4 of 10 are right", 4 / 10 > 0.5)
        'These numbers do not show: “Most are right”'
    """
    if all(conditions):
        return title
    if os.environ.get("COURSE_FIGURES") == "strict":
        raise Unsupported(f"the figure's title does not hold: {numbers}")
    return f"These numbers do not show: “{title}”"


def as_numbers(values: ArrayLike) -> NDArray:
    """An array of floats; a tensor may come from any device, and may still want gradients."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()  # bfloat16 never converts by itself
    return np.asarray(values, dtype=float)


def means(groups: Mapping[str, ArrayLike], between: str = ", ") -> str:
    """The mean share of each group, in percent, for readers who do not see the dots.

    Example:
        >>> means({"one head": [0.7, 0.8], "two heads": [0.9]})
        'one head 75%, two heads 90%'
    """
    said = [f"{name} {as_numbers(runs).mean():.0%}".replace("\n", " ") for name, runs in groups.items()]
    return between.join(said)


def _figure(ax: Axes | None, size: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    if not title.strip():
        raise ValueError("a figure needs its takeaway as title; the title is empty")
    if ax is None:
        fig, (ax,) = panels(title=title, size=size)
        return fig, _bare(ax)
    whole = ax.get_figure(root=True)
    if whole is None:
        raise ValueError("these axes were removed from their figure")
    width = ax.get_position().width * whole.get_figwidth()
    ax.set_title(_wrapped(title, width), loc="left", fontsize=11)
    return whole, _bare(ax)


def _bare(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _look(index: int) -> tuple[str, str]:
    """Colour and marker of one series among others."""
    return PALETTE[index % len(PALETTE)], _MARKERS[index % len(_MARKERS)]


def _between(lowest: float, value: float, highest: float) -> float:
    return min(max(lowest, value), highest)


def _ends(matrix: NDArray) -> tuple[float, float]:
    """The ends of the colour scale: from 0 up, or as far below 0 as above it."""
    finite = matrix[np.isfinite(matrix)]
    if not finite.size:
        return 0.0, 1.0
    if finite.min() < 0:
        farthest = float(np.abs(finite).max())
        return -farthest, farthest
    return 0.0, float(finite.max())


def _name_ticks(axis: Axis, names: Sequence[Any] | None, count: int) -> None:
    if names is None:
        axis.set_ticks([])
    else:
        axis.set_ticks(range(count), [literal(name) for name in names])


def _write_numbers(ax: Axes, matrix: NDArray, colours: NDArray) -> None:
    for (row, column), number in np.ndenumerate(matrix):
        ink = _ink(colours[row, column])
        ax.text(column, row, _number(float(number)), ha="center", va="center", color=ink, fontsize=9)


def _number(value: float) -> str:
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.2f}"


def _ink(background: Any) -> str:
    # At this luminance black and white contrast equally (WCAG 2.2, 1.4.3).
    luminance = np.dot((0.2126, 0.7152, 0.0722), np.power(background[:3], 2.2))
    return "white" if luminance < 0.18 else "black"


def _wrapped(title: str, inches: float) -> str:
    return literal(textwrap.fill(title, max(16, int(inches * 10.5))))


def _level(ax: Axes, level: tuple[str, float] | None) -> None:
    if level:
        name, height = level
        ax.axhline(height, color=BLACK, linestyle=":", linewidth=1.2, label=literal(name))


def _padded(values: NDArray) -> tuple[float, float]:
    room = 0.08 * (values.max() - values.min()) or 1.0
    return float(values.min() - room), float(values.max() + room)


def _check_names(matrix: NDArray, rows: Sequence[Any] | None, columns: Sequence[Any] | None) -> None:
    if matrix.ndim != 2:
        raise ValueError(f"heatmap needs a matrix with two axes; got shape {matrix.shape}")
    if not matrix.size:
        raise ValueError(f"heatmap needs at least one row and column; got shape {matrix.shape}")
    height, width = matrix.shape
    for what, names, count in (("row", rows, height), ("column", columns, width)):
        if names is not None and len(names) != count:
            raise ValueError(f"heatmap needs a name for each {what}: {count} {what}s, {len(names)} names")


def _check_some(function: str, what: str, things: Mapping[str, Any]) -> None:
    if not things:
        raise ValueError(f"{function} needs at least one {what}; got none")


def _some_numbers(name: str, values: Any) -> NDArray:
    numbers = _array(values)
    if not numbers.size:
        raise ValueError(f"{name!r} has no numbers to draw")
    return numbers


def _array(values: Any) -> NDArray:
    if hasattr(values, "detach"):
        # A tensor that requires gradients or lives elsewhere does not convert by itself, bfloat16 never does.
        values = values.detach().cpu()
        return np.asarray(values.double() if values.is_floating_point() else values)
    return np.asarray(values)
