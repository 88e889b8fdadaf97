"""Figures have a takeaway, a text in place of the picture, and colours that everyone can tell apart."""

import base64
import io
import itertools
import re

import numpy as np
import pytest
import torch
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from course_lib import plots
from course_lib.plots import Unsupported, supported


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    outputs: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data))
    return outputs


def drawn_texts(fig: Figure) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_show_puts_the_alt_text_and_a_png_into_html(shown):
    fig = plots.lines({"cost": ([1, 2], [3, 5])}, title="Cost grows", x="tokens", y="seconds")
    plots.show(fig, alt='A line "rising" from 3 to 5 & on')
    tag = shown[0]["text/html"]
    assert 'alt="Cost grows. A line &quot;rising&quot; from 3 to 5 &amp; on"' in tag
    image = base64.b64decode(re.search(r"base64,([^\"]+)", tag).group(1))
    assert image.startswith(b"\x89PNG")
    assert len(image) > 5_000  # an empty canvas of this size is smaller
    assert shown[0]["text/plain"] == 'Cost grows. A line "rising" from 3 to 5 & on'


def test_show_says_the_title_as_it_was_written(shown):
    title = "From $5 to $7: a title that is as long as two lines of the figure that it stands above"
    plots.show(plots.lines({"cost": ([1, 2], [5, 7])}, title=title, x="day", y="$"), alt="A line")
    assert shown[0]["text/plain"] == f"{title}. A line"


def test_show_of_a_figure_without_a_title(shown):
    fig, _ = plots.panels()
    plots.show(fig, alt="Empty axes")
    assert shown[0]["text/plain"] == "Empty axes"


@pytest.mark.parametrize(
    ("pixels", "colours", "photo"),
    [((2, 2, 3), None, True), ((2, 2), "gray", True), ((2, 2), "Blues", False)],
    ids=["colour photo", "grey photo", "numbers"],
)
def test_show_tells_a_photo_from_numbers(shown, pixels, colours, photo):
    fig, (ax,) = plots.panels()
    ax.imshow(np.full(pixels, 0.5), cmap=colours)
    plots.show(fig, alt="four squares")
    assert ("course-photo" in shown[0]["text/html"]) is photo


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_show_refuses_a_figure_without_alt_text(shown, alt):
    fig = plots.lines({"cost": ([1, 2], [3, 5])}, title="Cost grows", x="tokens", y="seconds")
    with pytest.raises(ValueError, match="a text that says what there is to see; alt is"):
        plots.show(fig, alt=alt)
    assert shown == []


def test_show_leaves_no_pyplot_figure_open(shown):
    import matplotlib.pyplot as plt

    fig = plt.figure()
    plots.show(fig, alt="nothing yet")
    assert not plt.fignum_exists(fig.number)


def test_heatmap_writes_numbers_into_small_matrices_only():
    small = np.arange(15).reshape(3, 5) / 20
    assert drawn_texts(plots.heatmap(small, title="small")) == [f"{number:.2f}" for number in small.ravel()]
    assert drawn_texts(plots.heatmap(np.eye(11), title="large")) == []


def test_heatmap_names_rows_and_columns():
    fig = plots.heatmap(np.zeros((2, 3)), ["a", "b"], ["c", "d", "e"], title="names", y="query", x="key")
    (ax,) = fig.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["c", "d", "e"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("query", "key")


def test_heatmap_numbers_contrast_with_their_cells():
    fig = plots.heatmap(np.linspace(-1, 1, 35).reshape(5, 7), title="contrast")
    assert_contrast(fig)


def assert_contrast(fig: Figure) -> None:
    """WCAG AA asks for 4.5; grey in the middle allows 4.58."""
    for text, cell in zip(fig.axes[0].texts, colours_of(fig).reshape(-1, 3), strict=True):
        dark, light = sorted(relative_luminance(colour) for colour in (to_rgb(text.get_color()), cell))
        assert (light + 0.05) / (dark + 0.05) >= 4.4


def relative_luminance(colour) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_heatmap_zero_is_white_when_there_are_negative_numbers():
    (ax,) = plots.heatmap(np.array([[-1.0, 0.0, 3.0]]), title="signs").axes
    image = ax.images[0]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95


def colours_of(fig: Figure) -> np.ndarray:
    """What is drawn in each cell, (rows, columns, 3)."""
    image = fig.axes[0].images[0]
    return image.to_rgba(image.get_array())[..., :3]


def test_heatmap_in_the_colour_of_its_kind():
    for matrix, lowest in (([[0, 1.0]], "white"), ([[-1.0, 1.0]], plots.STREAM)):
        image = plots.heatmap(np.array(matrix), title="m", hue=plots.ATTENTION).axes[0].images[0]
        found = [to_hex(image.to_rgba(number)) for number in (matrix[0][0], 1.0)]
        assert found == [to_hex(lowest), plots.ATTENTION.lower()]


@pytest.mark.parametrize("outside", [-np.inf, np.inf, np.nan])
def test_heatmap_keeps_its_colours_where_a_number_is_not_finite(outside):
    """Masked scores: what is forbidden is -inf."""
    scores = np.array([[0.5, outside, outside], [1.5, 2.5, outside]])
    colours = colours_of(plots.heatmap(scores, title="masked"))
    finite = colours_of(plots.heatmap(np.array([[0.5, 1.5, 2.5]]), title="not masked"))[0]
    np.testing.assert_array_equal([colours[0, 0], colours[1, 0], colours[1, 1]], finite)
    grey = colours[~np.isfinite(scores)]
    assert len(np.unique(grey, axis=0)) == 1
    assert grey[0].max() - grey[0].min() < 1e-6
    assert min(np.abs(grey[0] - colour).max() for colour in finite) > 0.05


def test_heatmap_writes_infinity_so_that_it_can_be_read():
    fig = plots.heatmap(np.array([[-np.inf, np.inf, np.nan, -0.5]]), title="all kinds")
    assert drawn_texts(fig) == ["−∞", "∞", "nan", "-0.50"]
    assert_contrast(fig)


def test_heatmap_without_numbers_says_what_grey_means():
    causal = np.where(np.tri(11, dtype=bool), 1.0, -np.inf)
    assert plots.heatmap(causal, title="masked").axes[1].get_ylabel() == "grey: −∞"
    causal[0, 0] = np.nan
    assert plots.heatmap(causal, title="masked").axes[1].get_ylabel() == "grey: nan, −∞"
    assert plots.heatmap(np.eye(11), title="finite").axes[1].get_ylabel() == ""


@pytest.mark.parametrize("number", [-np.inf, np.inf, np.nan])
def test_a_matrix_without_a_finite_number_can_be_drawn(number):
    fig = plots.heatmap(np.full((2, 3), number), title="all forbidden")
    fig.savefig(io.BytesIO())
    assert len(np.unique(colours_of(fig).reshape(-1, 3), axis=0)) == 1


def test_heatmap_draws_tensors_of_every_kind_of_number():
    numbers = torch.tensor([[0.5, -2.0, 3.0]])
    expected = colours_of(plots.heatmap(numbers, title="float32"))
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        kind = numbers.to(dtype).requires_grad_()
        np.testing.assert_array_equal(colours_of(plots.heatmap(kind, title="other")), expected)
    for whole in (torch.tensor([[1, 0]]), torch.tensor([[True, False]])):
        assert drawn_texts(plots.heatmap(whole, title="whole")) == ["1.00", "0.00"]


def test_numbers_of_figures_come_from_tensors_of_every_kind():
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.bool):
        values = torch.tensor([[1, 0, 1]], dtype=dtype)
        if values.is_floating_point():
            values.requires_grad_()
        found = plots.as_numbers(values)
        assert found.dtype == float
        assert found.tolist() == [[1.0, 0.0, 1.0]]
    assert plots.as_numbers([0.5, 2]).tolist() == [0.5, 2.0]


# -------------------------------------------------------------------------------------- dollar signs


DOLLARS = ["$$", "$x$", r"$\frac{$", "from $5 to $7", r"\$", r"\$ and $$"]


def draw_heatmap(text: str) -> Figure:
    return plots.heatmap(np.eye(2), [text, "b"], ["a", text], title=text, x=text, y=text)


def draw_lines(text: str) -> Figure:
    series = {text: ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}
    return plots.lines(series, title=text, x=text, y=text, level=(text, 4.0))


def draw_dots(text: str) -> Figure:
    return plots.dots({text: [1, 2], "b": [3]}, title=text, y=text, level=(text, 2.0))


def draw_scatter(text: str) -> Figure:
    return plots.scatter(np.eye(2), [text, "b"], title=text, x=text, y=text)


def draw_panels(text: str) -> Figure:
    fig, (left, right) = plots.panels(2, title=text)
    plots.heatmap(np.eye(2), title=text, ax=left)
    right.barh([plots.literal(text)], [1.0])  # as a notebook does that draws by itself
    return fig


@pytest.mark.parametrize("text", DOLLARS)
@pytest.mark.parametrize(
    ("draw", "times"),
    [(draw_heatmap, 5), (draw_lines, 5), (draw_dots, 4), (draw_scatter, 4), (draw_panels, 3)],
)
def test_dollar_signs_are_shown_as_they_are(draw, times, text):
    """`$$` is a token of the chat model; matplotlib reads what stands between two of them as a formula."""
    fig = draw(text)
    fig.draw_without_rendering()
    written = [found.get_text() for found in fig.findobj(Text) if found.get_visible()]
    shown = [words.replace(r"\$", "$") for words in written if not is_math_text(words)]  # as matplotlib does
    assert shown.count(text) == times


@pytest.mark.parametrize("log", [True, False])
def test_numbers_on_the_axes_may_be_formulas(log):
    """matplotlib writes 10² with dollar signs of its own."""
    fig = plots.lines({"a": ([1, 1000], [1, 1000])}, title="t", x="x", y="y", log_x=log, log_y=log)
    fig.draw_without_rendering()
    assert any(is_math_text(found.get_text()) for found in fig.findobj(Text)) == log


# ---------------------------------------------------------------------------------- nothing to draw


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.heatmap(np.eye(3), title=" "), "takeaway as title"),
        (lambda: plots.heatmap(np.zeros(5), title="no"), r"two axes; got shape \(5,\)"),
        (lambda: plots.heatmap(np.zeros((2, 3)), ["a"], title="no"), "2 rows, 1 names"),
        (lambda: plots.heatmap(np.zeros((0, 3)), title="no"), r"one row and column; got shape \(0, 3\)"),
        (lambda: plots.heatmap(np.zeros((2, 0)), title="no"), r"one row and column; got shape \(2, 0\)"),
        (lambda: plots.lines({}, title="no", x="x", y="y"), "lines needs at least one series; got none"),
        (
            lambda: plots.lines({"a": ([1], [2]), "b": ([], [])}, title="no", x="x", y="y"),
            "'b' has no numbers to draw",
        ),
        (lambda: plots.dots({}, title="no", y="y"), "dots needs at least one group; got none"),
        (lambda: plots.dots({"a": [1], "b": []}, title="no", y="y"), "'b' has no numbers to draw"),
        (lambda: plots.bars({}, [], title="no", x="bits"), "bars needs at least one bar; got none"),
        (
            lambda: plots.grouped_bars({}, ["near"], title="no", y="%"),
            "grouped_bars needs at least one series",
        ),
        (
            lambda: plots.scatter(np.zeros((0, 2)), [], title="no"),
            r"scatter needs points \(N, 2\) .* got \(0, 2\) and \(0,\)",
        ),
        (lambda: plots.scatter(np.zeros((3, 2)), [0, 1], title="no"), r"\(3, 2\) and \(2,\)"),
    ],
)
def test_what_cannot_be_drawn_is_told(own_errors, draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_lines_draw_the_mean_and_the_spread_of_runs():
    runs = np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 5.0]])
    (ax,) = plots.lines({"runs": ([1, 2, 4], runs)}, title="spread", x="x", y="y", log_x=True).axes
    assert ax.lines[0].get_ydata().tolist() == [2.0, 4.0, 4.0]
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1.0, 6.0)
    assert ax.get_xscale() == "log"


def test_curves_differ_by_more_than_colour():
    series = {name: ([1, 2], [0, index]) for index, name in enumerate("abcd")}
    (ax,) = plots.lines(series, title="four", x="x", y="y").axes
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 4


def test_dots_show_every_run():
    groups = {"one": [0.5, 0.52, 0.48], "two": [1.0, 0.98]}
    (ax,) = plots.dots(groups, title="runs", y="accuracy", level=("chance", 0.5)).axes
    assert [len(dots.get_offsets()) for dots in ax.collections] == [3, 2]
    assert ax.lines[0].get_ydata() == [0.5, 0.5]


def test_bars_stand_in_their_order_with_their_numbers():
    (ax,) = plots.bars({"one": 3.0, "two": 1.5}, ["k", "b"], title="t", x="bits", fmt="%.1f", end=4.0).axes
    assert [bar.get_width() for bar in ax.patches] == [3.0, 1.5]
    assert [text.get_text() for text in ax.texts] == [" 3.0", " 1.5"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert ax.yaxis_inverted()  # the first on top
    assert ax.get_xlim() == (0, 4)


def test_grouped_bars_stand_beside_each_other():
    series = {"one": [10.0, 20.0], "two": [30.0, 40.4]}
    fig = plots.grouped_bars(series, ["near", "far"], title="t", y="%", level=("chance", 25.0), top=50.0)
    (ax,) = fig.axes
    assert [bar.get_height() for bar in ax.patches] == [10, 20, 30, 40.4]
    near = [ax.patches[0], ax.patches[2]]
    assert near[0].get_x() + near[0].get_width() == pytest.approx(near[1].get_x())
    assert [text.get_text() for text in ax.texts] == ["10", "20", "30", "40"]
    assert len({bar.get_hatch() for bar in ax.patches}) == 2  # never by colour alone
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["chance", "one", "two"]
    assert ax.get_ylim() == (0, 50)


def test_scatter_line_separates_where_the_sign_changes():
    points = torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 5.0]])
    w, bias = torch.tensor([2.0, -1.0], requires_grad=True), -1.0
    (ax,) = plots.scatter(points, ["no", "yes", "no"], title="line", line=(w, bias)).axes
    (line,) = ax.lines
    for x, y in (line.get_xy1(), line.get_xy2()):
        assert 2 * x - y - 1 == pytest.approx(0)
    assert line.get_xy1() != line.get_xy2()


def test_panels_share_one_figure():
    fig, axes = plots.panels(2, title="both")
    assert plots.heatmap(np.eye(2), title="left", ax=axes[0]) is fig
    assert [ax.get_title(loc="left") for ax in axes] == ["left", ""]
    assert plots.panels(2, 3)[1].shape == (3, 2)


def test_palette_is_told_apart_by_colour_blind_readers():
    # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    protanopia = [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
    deuteranopia = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]

    def nearest(colours, seen_by):
        linear = [np.clip(seen_by @ np.power(to_rgb(colour), 2.2), 0, 1) for colour in colours]
        pairs = itertools.combinations(np.power(linear, 1 / 2.2), 2)
        return min(np.linalg.norm(a - b) for a, b in pairs)

    assert nearest(plots.PALETTE, protanopia) > 0.1
    assert nearest(plots.PALETTE, deuteranopia) > 0.1
    assert nearest(["#d62728", "#8c564b"], deuteranopia) < 0.3  # it does notice what is hard to tell apart


@pytest.mark.parametrize("others", [[], [True], [False]])
def test_a_title_that_does_not_hold_is_refused_with_its_numbers(others):
    assert supported("Most are right", "nine of ten are right", 0.9 > 0.5) == "Most are right"
    with pytest.raises(Unsupported, match="title does not hold: one of ten is right"):
        supported("Most are right", "one of ten is right", 0.1 > 0.5, *others)


@pytest.mark.parametrize("strict", [None, "", "no"])
def test_a_learner_gets_a_title_that_says_what_the_numbers_do_not_show(monkeypatch, strict):
    monkeypatch.delenv("COURSE_FIGURES")
    if strict is not None:
        monkeypatch.setenv("COURSE_FIGURES", strict)
    title = supported("Most are right", "one of ten is right", True, 0.1 > 0.5)
    assert title == "These numbers do not show: “Most are right”"
