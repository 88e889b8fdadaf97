"""The figures of notebook 07: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
from drawing import draws, refuses

from course_lib.concepts.c07_mlm_vs_next_token import figures

TRIED = [" bread", " cake", " dog", " rest", " soup", " wall"]
BEFORE, AFTER = [0.3, 0.01, 0.2, 0.1, 0.2, 0.05], [0.02, 0.95, 0.0, 0.01, 0.02, 0.0]


def test_from_both_sides(drawn):
    says = "dog 20.0% and 0%, rest 10.0% and 1%, soup 20.0% and 2%"
    assert draws(drawn, figures.from_both_sides, TRIED, BEFORE, AFTER, says="cake 1.0% and 95%")
    assert "The right side decides: cake" in drawn[0][0].get_suptitle()
    assert says.split(",")[0] in drawn[0][1]


def test_from_both_sides_refused_where_the_left_side_knows_or_both_do_not(drawn):
    assert refuses(drawn, figures.from_both_sides, TRIED, AFTER, AFTER)
    assert refuses(drawn, figures.from_both_sides, TRIED, BEFORE, BEFORE)
    nobody = [0.2, 0.25, 0.2, 0.15, 0.1, 0.1]
    assert refuses(drawn, figures.from_both_sides, TRIED, BEFORE, nobody)


ASKED = np.array([[0, 0, 1, 8], [20, 1400, 12, 28], [320, 24000, 20, 32]])
KEPT = np.array([[0, 0, 4, 11], [20, 1400, 5, 11], [320, 24000, 4, 12]])


def test_asked(drawn):
    says = "28 after 1,400 hidden tokens, 32 after 24,000; with the mask kept 11 at first, 12 at most"
    assert draws(drawn, figures.asked, ASKED, KEPT, 48, says=says)


@pytest.mark.parametrize("change", [0, 1, 2])
def test_asked_refused(drawn, change):
    """Half of the gaps from the start; the rival gets there, too; the rival learns something."""
    ours, other = ASKED.copy(), KEPT.copy()
    if change == 0:
        ours[0, 3] = 30
    elif change == 1:
        other[1, 3] = 30
    else:
        other[-1, 3] = 17
    assert refuses(drawn, figures.asked, ours, other, 48)


FILLED = {"left": (5, 12), "trying": (15, 19), "filler": (20, 32), "filler, then writer": (32, 39)}


def test_contest(drawn):
    assert draws(drawn, figures.contest, FILLED, 48, says="filler, then writer 32, among five 39")


@pytest.mark.parametrize(
    ("way", "first"), [("filler, then writer", 23), ("trying", 30), ("filler", 4), ("left", 16)]
)
def test_contest_refused(drawn, way, first):
    """Too small a lead, over either; one of them no better than the left side."""
    assert refuses(drawn, figures.contest, FILLED | {way: (first, 40)}, 48)


SURPRISES = {"texts": 5.0, "0": 2.1, "1": 5.3, "1.5": 11.1}


def test_surprises(drawn):
    assert draws(drawn, figures.surprises, SURPRISES, says="texts 5.0, 0 2.1, 1 5.3, 1.5 11.1")


@pytest.mark.parametrize(
    "change", [{"0": 3.0}, {"0": 2.4, "1": 2.3, "texts": 5.2}, {"1": 3.9}, {"1": 6.1}, {"1.5": 7.0}]
)
def test_surprises_refused(drawn, change):
    """Near 0 a surprise; not rising; its own at 1 too plain, or too wild; the hottest no wonder."""
    assert refuses(drawn, figures.surprises, SURPRISES | change)


STEPS, LIVE_STEPS = [50, 100, 1000], [50, 100]
STORED = {
    "before": np.array([[3.0, 2.5, 1.8], [3.1, 2.5, 1.7]]),
    "both sides": np.array([[4.0, 3.0, 0.9], [3.9, 3.1, 1.0]]),
}
SELDOM = [3.6, 2.9]


def test_curves(drawn):
    says = (
        "after 1000 1.75 and 0.95; this run, asked as seldom, after 100 2.90, where they need 2.50 and 3.05"
    )
    assert draws(drawn, figures.curves, STEPS, STORED, LIVE_STEPS, SELDOM, says=says, labels=("x", "y"))
    assert "from 1000 steps on, two" in drawn[0][0].get_suptitle()


@pytest.mark.parametrize("change", [0, 1, 2])
def test_curves_refused(drawn, change):
    """Not ahead at the start, no crossing, or the answers make no difference."""
    stored = {name: runs.copy() for name, runs in STORED.items()}
    if change == 0:
        stored["before"][:, 0] = 4.5
    elif change == 1:
        stored["both sides"][1, 2] = 2.0
    seldom = [3.0, 2.5] if change == 2 else SELDOM
    assert refuses(drawn, figures.curves, STEPS, stored, LIVE_STEPS, seldom)


HIDDEN = {
    "masks only": [(2.8, 3.5, 3.9), (3.0, 3.7, 4.1)],
    "left": [(2.8, 0.5, 8.0)],
    "mixed": [(2.8, 1.0, 4.0)],
}


def test_nothing_hidden(drawn):
    says = "masks only: hidden 2.90, right 3.60, wrong 4.00; left: hidden 2.80, right 0.50, wrong 8.00; mixed"
    assert draws(drawn, figures.nothing_hidden, HIDDEN, says=says, labels=("y",))


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("masks only", (2.9, 0.5, 4.0)),
        ("left", (2.8, 0.5, 4.1)),
        ("left", (2.8, 2.6, 8.0)),
        ("mixed", (3.9, 1.0, 4.0)),
        ("mixed", (2.8, 3.5, 4.0)),
    ],
)
def test_nothing_hidden_refused(drawn, name, bits):
    assert refuses(drawn, figures.nothing_hidden, HIDDEN | {name: [bits]})


DRAWN = {
    0.5: ([0.8, 0.15, 0.05], [790, 155, 55]),
    1: ([0.6, 0.3, 0.1], [610, 285, 105]),
    2.0: ([0.5, 0.3, 0.2], [520, 290, 190]),
}


def test_drawn(drawn):
    says = "temperature 1: a 60.0%, drawn 610 times, $ 30.0%, drawn 285 times"
    assert draws(drawn, figures.drawn, ["a", "$", "c"], DRAWN, says=says)
    assert "about as often" in drawn[0][0].get_suptitle()


@pytest.mark.parametrize(
    ("t", "found"),
    [
        (1, ([0.6, 0.3, 0.1], [700, 200, 100])),
        (2.0, ([0.65, 0.15, 0.2], [650, 150, 200])),
        (2.0, ([0.5, 0.45, 0.05], [500, 450, 50])),
    ],
)
def test_drawn_refused(drawn, t, found):
    """Drawn otherwise than by its share; heat lifts the first; heat lowers the last."""
    assert refuses(drawn, figures.drawn, "abc", DRAWN | {t: found})


REAL = {"text": 0.95, "before": 0.85, "both": 0.15, "both again": 0.25, "three": 0.45, "five": 0.95}


def test_writing(drawn):
    assert draws(drawn, figures.writing, REAL, says="before 85%, both 15%", labels=("x",))


@pytest.mark.parametrize(
    ("who", "share"),
    [("before", 0.6), ("both", 0.5), ("both again", 0.9), ("three", 0.2), ("five", 0.5), ("text", 0.5)],
)
def test_writing_refused(drawn, who, share):
    assert refuses(drawn, figures.writing, REAL | {who: share})


def told(share, n=400):
    """By review: each is told in that share of the cuts, and a little more or less."""
    return share + 0.3 * np.sin(np.arange(n))
