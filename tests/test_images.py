"""The drawn diagrams: readable in a light and a dark theme, by everyone, without the internet."""

import colorsys
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from course_lib import plots

ROOT = Path(__file__).parents[1]
IMAGES = sorted((ROOT / "notebooks" / "images").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 800  # pixels of a notebook's page
COLOURS = {*plots.PALETTE, plots.STREAM, "#FFFFFF"}


@pytest.fixture(params=IMAGES, ids=lambda path: path.stem)
def image(request: pytest.FixtureRequest) -> ET.Element:
    return ET.parse(request.param).getroot()


def test_there_are_some():
    assert len(IMAGES) >= 5


def test_it_stands_on_white(image):
    _, _, width, height = box(image)
    ground = next(element for element in image if element.tag not in {f"{SVG}{n}" for n in ("title", "desc")})
    assert ground.tag == f"{SVG}rect"
    assert ground.get("fill", "").lower() in {"white", "#fff", "#ffffff"}
    assert (ground.get("width"), ground.get("height")) in {("100%", "100%"), (f"{width:g}", f"{height:g}")}


def test_it_says_in_words_what_it_shows(image):
    assert image.get("role") == "img"
    for part, least in (("title", 2), ("desc", 10)):
        text = image.findtext(f"{SVG}{part}", "")
        assert len(text.split()) >= least, f"{part} is {text!r}"


def test_its_text_can_be_read(image):
    scale = WIDTH / box(image)[2]
    css = sizes_by_class(image)
    texts = [element for element in image.iter(f"{SVG}text") if "".join(element.itertext()).strip()]
    assert texts
    parent = {child: element for element in image.iter() for child in element}
    for text in texts:
        for element in (text, *text.iter(f"{SVG}tspan")):
            size = size_of(element, css, parent)
            assert size * scale >= 12, f"{''.join(element.itertext())!r} has {size * scale:.1f} px"


def test_it_uses_the_courses_colours(image):
    source = ET.tostring(image, encoding="unicode")
    used = {colour.upper() for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", source)}
    assert used
    strange = {c for c in used if c not in {known.upper() for known in COLOURS} and not is_tint_or_grey(c)}
    assert not strange, f"not among the course's colours: {sorted(strange)}"


def test_nothing_is_fetched(image):
    source = ET.tostring(image, encoding="unicode")
    assert not re.search(r"(href|src)=\"(?!#)|url\((?!#)|@import|<[^>]*script", source)


def test_every_image_is_shown_and_every_shown_one_exists():
    shown = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shown |= set(re.findall(r"images/([\w-]+)\.svg", path.read_text("utf-8")))
    assert shown == {path.stem for path in IMAGES}


def box(image: ET.Element) -> list[float]:
    return [float(number) for number in image.get("viewBox", "").split()]


def sizes_by_class(image: ET.Element) -> dict[str, float]:
    """Font sizes that a style sheet inside gives to classes and tags."""
    sizes = {}
    for style in image.iter(f"{SVG}style"):
        for selectors, rules in re.findall(r"([^{}]+)\{([^}]*)\}", style.text or ""):
            size = re.search(r"font(?:-size)?:[^;]*?([\d.]+)px", rules)
            if size:
                sizes |= {selector.strip(): float(size[1]) for selector in selectors.split(",")}
    return sizes


def size_of(element: ET.Element, css: dict[str, float], parent: dict[ET.Element, ET.Element]) -> float:
    """The font size of one text, its own or inherited, in units of the drawing."""
    while element is not None:
        styled = re.search(r"font-size\s*:\s*([\d.]+)", element.get("style", ""))
        own = styled[1] if styled else element.get("font-size")
        if own:
            return float(own.removesuffix("px"))
        names = [f".{name}" for name in element.get("class", "").split()]
        found = [css[name] for name in [*names, element.tag.removeprefix(SVG)] if name in css]
        if found:
            return found[0]
        element = parent.get(element)
    raise AssertionError("a text without a size")


def is_tint_or_grey(colour: str) -> bool:
    """A grey, or one of the course's colours mixed with white or black.

    A colour minus its grey part points the same way as the palette's: the hue is kept.
    """
    red, green, blue = rgb(colour)
    if max(red, green, blue) - min(red, green, blue) <= 8:
        return True
    return any(same_hue(colour, known) for known in plots.PALETTE)


def same_hue(colour: str, known: str) -> bool:
    a, b = hue(colour), hue(known)
    return a is not None and b is not None and min(abs(a - b), 1 - abs(a - b)) < 0.03


def hue(colour: str) -> float | None:
    red, green, blue = (part / 255 for part in rgb(colour))
    return None if red == green == blue else colorsys.rgb_to_hsv(red, green, blue)[0]


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
