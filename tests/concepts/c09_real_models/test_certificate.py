"""The certificate: what it says, how it looks, how it is checked, and names that mean no good."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from course_lib.concepts.c09_real_models.capstone import assembly, take_along
from course_lib.concepts.c09_real_models.capstone.assembly import assembled
from course_lib.concepts.c09_real_models.capstone.certificate import Certificate
from course_lib.concepts.c09_real_models.capstone.floor_plan import BOXES, FRAMES, HEIGHT, WIDTH, WIRES
from course_lib.concepts.c09_real_models.capstone.part_judge import share_of
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

pytestmark = pytest.mark.usefixtures("own_errors")
SOLUTION = Path(__file__).resolve().parents[3] / "solutions/09_real_models/my_transformer.ipynb"
SOME = {part: "7 uses, off by 1 in 3,000" for part in PARTS if part not in ("block", "sampler")}
PLAIN = Certificate(
    name="Ada",
    model="SmolLM2",
    n_layers=30,
    is_real=True,
    measured=SOME,
    answer="Paris.",
    compared="the same as the course's",
    drawn="A cat reads.",
    seed=3,
    speed=0.876,
    digest="00ff" * 16,
    date=date(2026, 11, 29),
)


@pytest.fixture(scope="module")
def small():
    return assembly.small_model()


@pytest.fixture(scope="module")
def taken():
    return take_along(SOLUTION)


@pytest.fixture
def mine(small, taken, monkeypatch):
    monkeypatch.setattr(assembly.MyModel, "speed", lambda self: 0.876)
    return assembled(*small, {part: taken[part] for part in SOME}, "small", seconds=5.0)


def page_of(it: Certificate, folder: Path) -> BeautifulSoup:
    return BeautifulSoup(it.save(folder / "certificate.html").read_text("utf-8"), "html.parser")


def words(soup) -> str:
    return " ".join(soup.get_text(" ").split())


# --------------------------------------------------------------------------------------------- what it says


def test_it_says_what_was_measured(mine):
    it = mine.certificate("Ada", seed=3)
    assert it.headline == f"wrote {len(SOME)} of the {len(PARTS)} parts of this Transformer."
    assert list(it.measured) == list(SOME)
    assert it.measured["tokenizer"] == "8 uses, all tokens the same"
    assert re.fullmatch(r"28 uses, off by 1 in \d+ million", it.measured["rms_norm"])
    assert it.measured["cache"] == "12 uses, no difference"
    assert it.answer == mine.together.text.strip()
    assert re.fullmatch(r"at temperature 0, the same as the course's; scores off by 1 in .*", it.compared)
    assert it.pace == "On this machine it writes 0.88 times as fast as the course's own model."
    assert it.n_layers == 3
    assert it.date == date.today()
    assert (it.drawn, it.digest) == (mine.certificate(seed=3).drawn, mine.certificate(seed=3).digest)
    assert it.drawn != mine.certificate(seed=4).drawn


def test_as_text_it_says_the_same():
    lines = repr(PLAIN).split("\n")
    assert lines[:3] == [
        "MY TRANSFORMER, 29 November 2026",
        f"Ada {PLAIN.headline}",
        "The weights are those of SmolLM2, 30 layers.",
    ]
    assert "  tokenizer  7 uses, off by 1 in 3,000" in lines
    assert "  sampler    the course's" in lines
    assert "  'A cat reads.', drawn with seed 3, temperature 0.7, top-p 0.9" in lines
    assert lines[-1] == "Digest: " + " ".join(["00ff00ff"] * 8)


def test_whoever_has_the_parts_finds_the_same(small, mine, tmp_path):
    """In a file of another name, taken along: the same sentences, the same digest; other code, another."""
    it = mine.certificate("Ada")
    path = mine.save(tmp_path / "other_name.py")
    again = assembled(*small, take_along(path), "small", seconds=5.0).certificate(seed=it.seed)
    assert (again.answer, again.drawn, again.digest, again.measured) == (
        *(it.answer, it.drawn, it.digest, it.measured),
    )
    assert again.seal == it.seal
    path.write_text(path.read_text("utf-8").replace("exponents", "powers"), encoding="utf-8")
    other = assembled(*small, take_along(path), "small", seconds=5.0).certificate()
    assert other.measured == it.measured
    assert other.digest != it.digest
    assert other.seal != it.seal


def test_code_that_cannot_be_saved_cannot_be_checked_and_it_says_so(small, taken, monkeypatch):
    monkeypatch.setattr(assembly.MyModel, "speed", lambda self: 1.0)
    wrapped = {"mlp": lambda *given: taken["mlp"](*given)}
    it = assembled(*small, wrapped, "small", seconds=5.0).certificate()
    assert it.digest == ""
    assert it.check.startswith("Nobody else can check it: '<lambda>' cannot be saved")
    assert it.seal == it.code == []


def test_without_a_part_nobody_wrote_anything(small, monkeypatch):
    monkeypatch.setattr(assembly.MyModel, "speed", lambda self: 1.0)
    it = assembled(*small, {}, "small", seconds=5.0).certificate()
    assert it.headline == f"The learner wrote none of the {len(PARTS)} parts of this Transformer."
    assert it.check == "There is nothing to check: no part is the learner's yet."


def test_a_small_random_model_is_called_one(small, taken, tmp_path, monkeypatch):
    monkeypatch.setattr(assembly.MyModel, "speed", lambda self: 1.0)
    it = assembled(*small, taken, "small", seconds=5.0, missing="It is missing.").certificate("Ada")
    said = (
        "This is not SmolLM2, which is not installed here, but a small random model of its family, 3 layers:"
    )
    assert said in words(page_of(it, tmp_path))
    assert said in repr(it)
    assert f"wrote all {len(PARTS)} parts" in it.headline


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            assembly.Comparison("", "b", 0, float("inf"), 0.0, "it takes too long", late=True),
            "not compared with the course's, because it takes too long",
        ),
        (
            assembly.Comparison("a", "b", 3, 0.5, 20.0),
            "at temperature 0, the course's says 'b'; scores off by 1 in 40",
        ),
    ],
)
def test_what_was_not_the_same_is_said(mine, found, says):
    mine.together = found
    assert mine.certificate().compared == says


@pytest.mark.parametrize(
    ("off", "says"),
    [(1.0, "1 in 1"), (0.03, "1 in 30"), (9.4e-7, "1 in 1 million"), (1e-12, "1 in 1,000,000 million")],
)
def test_a_small_share_in_words(off, says):
    assert share_of(off) == f"off by {says}"


# ---------------------------------------------------------------------------------------------- how it looks


def test_each_part_is_drawn_once_in_colour_where_it_is_the_learners(tmp_path):
    drawing = page_of(PLAIN, tmp_path).find("svg")
    for part in PARTS:
        groups = [
            g for g in drawing.find_all("g") if g.find("text") and g.find("text").text.split(" ×")[0] == part
        ]
        assert groups, part
        assert {g["class"][0] for g in groups} == {"own" if part in SOME else "courses"}
    assert drawing["aria-label"].endswith(f"filled: {', '.join(SOME)}. The others are dashed outlines.")


def test_no_box_is_outside_of_the_drawing_or_of_its_frame():
    block = next(frame for frame in FRAMES if frame.part == "block")
    inside = [box for box in BOXES if box.part in ("rotation", "cache", "attention", "mlp")]
    assert len(inside) == 4
    for outer, boxes in ((block, inside), (type(block)("", "", 0, 0, WIDTH, HEIGHT), [*BOXES, *FRAMES])):
        for box in boxes:
            assert outer.x <= box.x <= box.x + box.width <= outer.x + outer.width
            assert outer.y <= box.y <= box.y + box.height <= outer.y + outer.height


def test_keys_alone_pass_through_rotation_and_cache():
    """Queries are turned and not kept, values are kept and not turned."""
    boxes = {box.label: box for box in BOXES if box.label in ("rotation", "cache", "attention", "out_proj")}
    down = [(wire[0], wire[-1]) for wire in WIRES if wire[0][0] == wire[-1][0]]
    into = {
        name: {x for _, (x, y) in down if y == box.y and box.x < x < box.x + box.width}
        for name, box in boxes.items()
    }
    assert [len(into[name]) for name in ("rotation", "cache", "attention", "out_proj")] == [2, 2, 3, 1]
    assert into["rotation"] | into["cache"] == into["attention"]
    assert len(into["rotation"] & into["cache"]) == 1


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    page = page_of(PLAIN, tmp_path)
    assert not page.find_all(["script", "link", "img", "iframe"])
    assert not page.find_all(attrs={"src": True}) + page.find_all(attrs={"href": True})
    assert "url(" not in str(page)
    assert "@import" not in str(page)


def test_below_the_cell_stands_what_stands_on_the_page(tmp_path):
    page = page_of(PLAIN, tmp_path)
    cell = BeautifulSoup(PLAIN._repr_html_(), "html.parser")
    assert cell.find("body") is None
    assert words(cell.find("article")) == words(page.find("article"))
    assert "29 November 2026" in words(page)


def test_a_seal_has_a_ray_for_each_byte():
    (first, *_), (second, *_) = PLAIN.seal[0], PLAIN.seal[1]
    assert len(PLAIN.seal) == 32
    assert first == pytest.approx((0, -0.35))
    ends = [x * x + y * y for _, (x, y) in PLAIN.seal]
    assert ends[:2] == pytest.approx([0.25, 1.0])  # of the bytes 00 and ff
    assert second != first


# ---------------------------------------------------------------------------------------------- what is typed


def test_a_name_is_only_a_name(tmp_path):
    name = '<script>alert(1)</script> "><img src=x onerror=alert(1)> {{ it.digest }} $\\frac{1}$ & Co'
    it = replace(PLAIN, name=name, answer=f"Hello {name}", drawn=name)
    for soup in (page_of(it, tmp_path), BeautifulSoup(it._repr_html_(), "html.parser")):
        assert not soup.find_all(["script", "img"])
        assert soup.find("h1").text == name
    it.save(tmp_path / "certificate.png")  # no formula, no warning
    with Image.open(tmp_path / "certificate.png") as picture:
        assert picture.size == (1080, 1350)


def test_a_name_is_one_line_and_not_too_long(mine):
    assert mine.certificate(" Ada\n  Lovelace ").name == "Ada Lovelace"
    with pytest.raises(ValueError, match="the name has 61 characters, of which 60 fit"):
        mine.certificate("a" * 61)


def test_a_picture_says_which_letter_it_cannot_write(tmp_path):
    it = replace(PLAIN, name="李 Ada")
    with pytest.raises(ValueError, match=r"the fonts of a picture have no '李': a page \(.html\) can"):
        it.save(tmp_path / "certificate.png")
    assert page_of(it, tmp_path).find("h1").text == "李 Ada"
    said = replace(PLAIN, answer="\x10" + "李" * 90, drawn="")  # what the model says is drawn as boxes
    assert said.save(tmp_path / "certificate.png").is_file()


def test_a_place_where_it_cannot_be_saved_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder '.*never': make it, or choose another path"):
        PLAIN.save(tmp_path / "never" / "certificate.html")
    with pytest.raises(ValueError, match=r"a page \(.html\) or a picture \(.png\); got '.*certificate.pdf'"):
        PLAIN.save(tmp_path / "certificate.pdf")
    assert PLAIN.save(str(tmp_path / "certificate.html")) == tmp_path / "certificate.html"
