"""The certificate as a picture, 1080 × 1350, to show around."""

import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Circle, FancyBboxPatch
from matplotlib.text import Text

from course_lib import plots
from course_lib.concepts.c09_real_models.capstone import floor_plan
from course_lib.concepts.c09_real_models.capstone.floor_plan import NOT_YOURS
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

if TYPE_CHECKING:
    from course_lib.concepts.c09_real_models.capstone.certificate import Certificate

WIDTH, HEIGHT, DPI = 1080, 1350, 200
INK, SOFT, LINE, PAPER, GOLD, BUBBLE = "#1c2430", "#556070", "#c3c9d2", "#fffdf8", "#7a5a05", "#f3f0e7"
SERIF, SANS = ["STIXGeneral", "DejaVu Serif"], ["DejaVu Sans"]
LEFT, TOP, SCALE = 85, 330, 1.22  # of the drawing
RIGHT = 528  # where the conversation begins
WIDEST = 452  # of its lines
LETTERS = 46  # in a line of it, at size 17
ROW = 25  # from part to part, below it


def draw(it: "Certificate") -> Figure:
    """Draw a certificate.

    Raises: ValueError: no font has a letter of the name.
    """
    missing = _missing(it.name, SERIF)
    if missing:
        raise ValueError(f"the fonts of a picture have no {missing[0]!r}: a page (.html) can have any name")
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    ax.axis("off")
    for inset in (24, 34):
        _box(ax, inset, inset, WIDTH - 2 * inset, HEIGHT - 2 * inset, edgecolor=GOLD, linewidth=0.5)
    middle: dict[str, Any] = {"x": WIDTH / 2, "ha": "center"}
    _write(ax, y=96, text="M Y   T R A N S F O R M E R", size=20, color=GOLD, weight="bold", **middle)
    size = min(88, 2000 / max(len(it.name), 1))
    _write(ax, y=172, text=it.name, size=size, family=SERIF, style="italic", **middle)
    _write(ax, y=246, text=it.headline, size=32, family=SERIF, **middle)
    _write(ax, y=282, text=textwrap.fill(it.weights, 88), size=17, color=SOFT, va="top", **middle)
    _Model(ax, it).draw()
    y = 352.0
    for question, answer, about in it.conversation:
        y = _spoken(ax, question, y, size=17, own=False)
        y = _spoken(ax, answer or "…", y, size=23, own=True)
        lines = textwrap.wrap(about, LETTERS)
        _write(ax, x=RIGHT + 16, y=y, text="\n".join(lines), size=16, color=SOFT, va="top")
        y += 24 * len(lines) + 34
    for i, part in enumerate(PARTS):
        its, y = it.measured.get(part), 1180 - ROW * (len(PARTS) - i)
        weight, color = ("bold", INK) if its else ("normal", SOFT)
        _write(ax, x=RIGHT, y=y, text="✓" if its else "", size=17, color=GOLD)
        _write(ax, x=RIGHT + 24, y=y, text=part, size=17, weight=weight, color=color)
        _write(ax, x=RIGHT + 150, y=y, text=its or NOT_YOURS, size=17, color=color)
    for (a, b), (c, d) in it.seal:
        ax.plot([142 + 58 * a, 142 + 58 * c], [1242 + 58 * b, 1242 + 58 * d], color=GOLD, linewidth=1.2)
    digest = f"Digest of the code: {it.digest[:32]} …" if it.digest else "No digest of the code."
    for i, line in enumerate((it.pace, f"{it.day}. {it.versions}", digest)):
        _write(ax, x=232 if it.digest else 78, y=1216 + 28 * i, text=line, size=17, color=SOFT)
    return figure


class _Model:
    """The model, the learner's parts in colour."""

    def __init__(self, ax: Axes, it: "Certificate") -> None:
        self.ax = ax
        self.it = it

    def draw(self) -> None:
        """From the frames to what stands in them."""
        for its in floor_plan.FRAMES:
            for away in (*its.behind, 0):
                self.box(its, 0.08, away)
            text = f"{its.part} × {self.it.n_layers}" if its.behind else its.part
            self.name(its.part, its.x + its.width - 12, its.y + its.height - 13, text, ha="right")
        self.line(floor_plan.STREAM, color=plots.STREAM, linewidth=3.2)
        for corners in floor_plan.WIRES:
            self.line(corners, color=SOFT, linewidth=0.9)
        for its in floor_plan.BOXES:
            self.box(its, 0.0 if its.does else 0.14 if its.colour == floor_plan.GREY else 0.32)
            self.name("" if its.does else its.part, its.x + its.width / 2, its.y + its.height / 2, its.label)
        for x, y in floor_plan.SUMS:
            self.ax.add_patch(
                Circle(self.at(x, y), 13, facecolor=PAPER, edgecolor=INK, linewidth=1.1, zorder=3)
            )
            self.line(((x - 5, y), (x + 5, y)), color=INK, linewidth=1.1, zorder=4)
            self.line(((x, y - 5), (x, y + 5)), color=INK, linewidth=1.1, zorder=4)
        for x, y, text in floor_plan.WORDS:
            self.name("", x, y - 5, text)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the floor plan on the sheet."""
        return LEFT + SCALE * x, TOP + SCALE * y

    def line(self, corners: floor_plan.Line, **look: Any) -> None:
        """A wire."""
        self.ax.plot(*zip(*(self.at(*corner) for corner in corners), strict=True), **look)

    def box(self, its: floor_plan.Box, tint: float, away: int = 0) -> None:
        """A part: in its colour, or dashed and grey."""
        look: dict[str, Any] = {
            "edgecolor": LINE,
            "linewidth": 0.6,
            "linestyle": (0, (4, 3)),
            "facecolor": PAPER,
        }
        if its.part in self.it.measured:
            look = {"edgecolor": its.colour, "linewidth": 1.1, "facecolor": _tinted(its.colour, tint)}
        x, y = self.at(its.x + away, its.y + away)
        _box(self.ax, x, y, SCALE * its.width, SCALE * its.height, SCALE * its.radius, **look)

    def name(self, part: str, x: float, y: float, text: str, ha: str = "center") -> None:
        """A word about a part."""
        weight, color = ("bold", INK) if part in self.it.measured else ("normal", SOFT)
        x, y = self.at(x, y)
        _write(self.ax, x=x, y=y, text=text, size=17, ha=ha, weight=weight, color=color)


def _spoken(ax: Axes, text: str, y: float, *, size: int, own: bool) -> float:
    """A bubble, the model's own at the left; and where the next may begin."""
    bubble = {"boxstyle": "round,pad=0.55,rounding_size=0.7", "linewidth": 0.6}
    bubble |= {"facecolor": BUBBLE if own else "none", "edgecolor": "none" if own else LINE}
    look: dict[str, Any] = {"x": RIGHT + 16, "ha": "left", "color": INK}
    if not own:
        look = {"x": RIGHT + WIDEST + 16, "ha": "right", "color": SOFT}
    letters = LETTERS * 17 // size
    drawn = _write(ax, y=y, text=text, size=size, va="top", bbox=bubble, multialignment="left", **look)
    words = drawn.get_text()
    while drawn.get_window_extent().width > WIDEST:
        drawn.set_text(textwrap.fill(words, letters))
        letters -= 1
    return y + 1.4 * size * (drawn.get_text().count("\n") + 1) + 30


def _write(
    ax: Axes, *, x: float, y: float, text: str, size: float, va: str = "baseline", **look: Any
) -> Text:
    """A text of so many pixels, as it stands: no formula, whatever is between two dollars.

    On a baseline, for words with and without a tail to stand in one line; its middle is at `y` then.
    """
    style: dict[str, Any] = {"family": SANS, "color": INK, "linespacing": 1.4, **look}
    for letter in _missing(text.replace("\n", ""), style["family"]):
        text = text.replace(letter, "□")
    y += 0.36 * size * (va == "baseline")
    return ax.text(x, y, text, fontsize=size * 72 / DPI, va=va, parse_math=False, zorder=5, **style)


def _box(ax: Axes, x: float, y: float, width: float, height: float, radius: float = 0.0, **look: Any) -> None:
    style = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    look.setdefault("facecolor", "none")
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, zorder=2, **look))


def _tinted(colour: str, share: float) -> tuple[float, ...]:
    """So much of a colour on the paper."""
    return tuple(share * a + (1 - share) * b for a, b in zip(to_rgb(colour), to_rgb(PAPER), strict=True))


def _missing(text: str, families: list[str]) -> list[str]:
    """The letters that none of the fonts has."""
    fonts = [get_font(findfont(FontProperties(family=family))) for family in families]
    return [letter for letter in text if not any(ord(letter) in font.get_charmap() for font in fonts)]
