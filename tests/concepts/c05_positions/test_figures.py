"""The figures of notebook 05: drawn where the numbers support the title, refused where they do not."""

import math

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c05_positions import figures
from course_lib.positions import ALiBi, sinusoidal

TEXTS = ["The dog bit the man.", "The man bit the dog.", "A dog was there."]


def test_sentences(drawn):
    says = "with positions 0.978, without 1.000000"
    assert draws(drawn, figures.sentences, TEXTS, [0.978, 0.5], [1.0, 0.4], says=says)
    ax = drawn[0][0].axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == TEXTS[1:]
    assert ax.lines[0].get_ydata().tolist() == [1, 0]  # from top to bottom


@pytest.mark.parametrize(("as_it_is", "without"), [(0.978, 0.999), (0.9999, 1.0)])
def test_sentences_refused(drawn, as_it_is, without):
    assert refuses(drawn, figures.sentences, TEXTS, [as_it_is, 0.5], [without, 0.4])


def test_places(drawn):
    assert draws(drawn, figures.places, sinusoidal(13, 8), says="of 13 places")


def test_places_refused(drawn):
    twice = torch.cat([sinusoidal(7, 8), sinusoidal(7, 8)])
    assert refuses(drawn, figures.places, twice)


WAVES = sinusoidal(40, 16).double()
COUNT = torch.arange(40.0)[:, None]
PRODUCTS = {"waves": WAVES @ WAVES.T, "one-hot": torch.eye(40), "one number": COUNT @ COUNT.T}


def test_products(drawn):
    says = "waves 0%, one-hot 0%, one number 81%"
    assert draws(drawn, figures.products, PRODUCTS, (3, 11), 17, says=says, labels=("x", "y"))
    waves, _, number = drawn[0][0].axes
    assert waves.lines[0].get_ydata()[0] == pytest.approx(8)  # eight pairs, each of length 1
    assert number.lines[1].get_ydata().tolist() == [11 * (11 + distance) for distance in range(18)]


def test_products_refused(drawn):
    assert refuses(drawn, figures.products, dict(reversed(PRODUCTS.items())), (3, 11), 17)
    assert refuses(drawn, figures.products, PRODUCTS | {"more waves": PRODUCTS["waves"]}, (3, 11), 17)


def index(n: int, farthest: int) -> torch.Tensor:
    return (torch.arange(n) - torch.arange(n)[:, None]).clamp(-farthest, farthest) + farthest


def test_biases(drawn):
    bias = ALiBi(4)(torch.zeros(1, 4, 11, 2), 11)
    says = "the farthest key loses 2.5 in the first head and 0.62 in the second"
    assert draws(drawn, figures.biases, bias, index(11, 5), says=says)


def test_biases_refused(drawn):
    bias = ALiBi(4)(torch.zeros(1, 4, 11, 2), 11)
    assert refuses(drawn, figures.biases, bias.flip(0), index(11, 5))  # the gentle head first
    assert refuses(drawn, figures.biases, bias, torch.arange(121).view(11, 11))  # a row for each pair


LOSSES = {
    "intact": [4.4, 4.6],
    "1,000\nfurther": [4.4, 4.6],
    "a little": [4.3, 4.7],
    "half": [4.6, 4.8],
    "four times": [6.4, 6.5],
    "all in\none place": [5.4, 5.5],
}


def test_moved(drawn):
    says = "intact 4.50, 1,000 further 4.50, a little 4.50, half 4.70, four times 6.45, all in one place 5.45"
    assert draws(drawn, figures.moved, LOSSES, says=says, labels=("y",))


@pytest.mark.parametrize(
    "change",
    [
        {"1,000\nfurther": [4.4, 4.7]},
        {"a little": [4.6, 4.9]},
        {"half": [4.5, 4.5]},
        {"four times": [5.0, 5.0]},
    ],
)
def test_moved_refused(drawn, change):
    assert refuses(drawn, figures.moved, LOSSES | change)


HANDS = {"one hand": [1.0], "two hands": [1.0, 0.1]}


def test_faces(drawn):
    says = "one hand: 0 1.00, 1 0.54, 6 0.96, 44 1.00; two hands: 0 1.00, 1 0.77, 6 0.89, 44 0.35"
    assert draws(drawn, figures.faces, HANDS, (0, 1, 6, 44), says=says)
    axes = drawn[0][0].axes
    assert [len(ax.lines) for ax in axes] == [1] * 4 + [2] * 4
    assert axes[1].lines[0].get_xydata()[1] == pytest.approx(0.92 * np.array([math.sin(1), math.cos(1)]))
    assert drawn[0][0].get_suptitle().startswith("One hand takes 44 for 0")


def test_faces_refused(drawn):
    assert refuses(drawn, figures.faces, HANDS, (0, 1, 6, 40))  # six rounds and a third
    assert refuses(drawn, figures.faces, HANDS | {"two hands": [1.0, 2.0]}, (0, 1, 6, 44))


def likeness(places_a_round: float, n: int = 64) -> np.ndarray:
    """Cosines that come back after a round, a little less each time."""
    apart = np.abs(np.arange(n) - np.arange(n)[:, None])
    return 0.9**apart * (1 + np.cos(2 * np.pi * apart / places_a_round)) / 2


def test_comes_back(drawn):
    assert draws(drawn, figures.comes_back, likeness(6), says="3 0.00, 4 0.16, 6 0.53", labels=("x", "y"))
    assert drawn[0][0].axes[0].lines[0].get_ydata()[:2] == pytest.approx(likeness(6)[0, :2])


def test_comes_back_refused(drawn):
    assert refuses(drawn, figures.comes_back, likeness(1000))
    assert refuses(drawn, figures.comes_back, likeness(9))


def circle(places_a_round: float, n: int = 511, start: float = 0.0) -> np.ndarray:
    angles = start + 2 * np.pi * np.arange(n) / places_a_round
    return 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


ROUNDS = (6, 18, 54, 162, 486)


def test_hands(drawn):
    circles = [circle(each, start=number) for number, each in enumerate(ROUNDS)]
    assert draws(drawn, figures.hands, circles, ROUNDS, says="a round takes 6, 18, 54, 162, 486 places")
    first, second, *_ = drawn[0][0].axes
    quick = first.lines[0].get_xydata()
    assert quick[0] == pytest.approx([0, 1])  # place 1 on top
    assert quick[1] == pytest.approx([math.sin(math.pi / 3), 0.5])  # then clockwise
    assert [text.get_text() for text in first.texts] == [str(place) for place in range(1, 13)]
    assert [text.get_text() for text in second.texts[:3]] == ["1", "3", "5"]
    assert drawn[0][0].get_suptitle().startswith("Five clock hands")


def test_hands_that_turn_the_other_way_are_drawn_clockwise_too(drawn):
    assert draws(drawn, figures.hands, [circle(-each) for each in ROUNDS], ROUNDS, says="6, 18")
    assert drawn[0][0].axes[0].lines[0].get_xydata()[1][0] > 0


def test_hands_refused(drawn):
    circles = [circle(each) for each in ROUNDS]
    assert refuses(drawn, figures.hands, circles[:4], ROUNDS[:4])
    assert refuses(drawn, figures.hands, circles, (6, 12, 24, 48, 96))
    flat = [each * [1, 0.05] for each in circles]
    assert refuses(drawn, figures.hands, flat, ROUNDS)


ENOUGH = {
    "the whole table": (1.0, 0.73, 1.0),
    "the five hands": (1.0, 0.68, 0.993),
    "the three quick ones": (0.98, 0.52, 0.94),
    "the two slow ones": (0.05, 0.01, 0.88),
    "10 by chance": (0.04, 0.0, 0.83),
}


def test_enough(drawn):
    assert draws(drawn, figures.enough, ENOUGH, says="the five hands: 1.00, 0.68, 0.993", labels=("x",))
    assert [bar.get_width() for bar in drawn[0][0].axes[1].patches] == [0.73, 0.68, 0.52, 0.01, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"the five hands": (0.9, 0.7, 0.99)},
        {"the five hands": (1.0, 0.5, 1.0)},
        {"the three quick ones": (0.8, 0.5, 0.9)},
        {"the two slow ones": (0.9, 0, 1)},
        {"10 by chance": (0.3, 0, 1)},
    ],
)
def test_enough_refused(drawn, change):
    assert refuses(drawn, figures.enough, ENOUGH | change)


def looking(*at: int, n: int = 40) -> np.ndarray:
    """Weights of a head that looks so far back, the same to each."""
    apart = np.arange(n)[:, None] - np.arange(n)
    return np.isin(apart, at) / max(len(at), 1) + 0.01


BY_HANDS = {0: looking(), 1: looking(1, 7, 14), 2: looking(1), 32: looking(1)}


def test_by_distance(drawn):
    says = "1 hands: 1 back 0.34, 7 back 0.34, 14 back 0.34"
    assert draws(drawn, figures.by_distance, BY_HANDS, says=says, labels=("x",))
    none, quick, *_ = drawn[0][0].axes
    assert [round(bar.get_height(), 2) for bar in quick.patches][:3] == [0.01, 0.34, 0.01]
    assert none.get_title(loc="left") == "no hand turns"


@pytest.mark.parametrize("change", [{0: looking(1)}, {1: looking(1)}, {2: looking(1, 7)}, {32: looking(2)}])
def test_by_distance_refused(drawn, change):
    assert refuses(drawn, figures.by_distance, BY_HANDS | change)


CLOCK = {1: [6, 9, 12, 13], 0: [13, 3, 13, 14], -1: [12, 10, 6, 12], -2: [11, 11, 11, 8]}


def test_follows_the_clock(drawn):
    says = "set on by +1: itself 6.0 nats; as it is: the next 3.0 nats; set on by -1: next but one 6.0 nats"
    assert draws(drawn, figures.follows_the_clock, CLOCK, says=says, labels=("x", "y"))
    assert np.array_equal(drawn[0][0].axes[0].images[0].get_array(), list(CLOCK.values()))


@pytest.mark.parametrize("change", [{0: [3, 13, 13, 14]}, {-2: [11, 11, 8, 11]}, {-1: [12, 6.5, 6, 12]}])
def test_follows_the_clock_refused(drawn, change):
    assert refuses(drawn, figures.follows_the_clock, CLOCK | change)


MENDS = {
    "as it is": {0: 3.8, 1000: 4.3, 16_000: 7.1},
    "places / 2": {0: 4.4, 1000: 4.7, 16_000: 5.1},
    "places / 4": {0: 5.3, 1000: 5.3, 16_000: 5.6},
    "base x 4": {0: 3.8, 1000: 4.2, 16_000: 4.6},
}


def test_mends(drawn):
    says = "with nothing to look at it is 4.40. as it is: 0 3.80, 1,000 4.30, 16,000 7.10"
    assert draws(drawn, figures.mends, MENDS, 4.4, says=says, labels=("x",))
    names = [label.get_text() for label in drawn[0][0].axes[0].get_xticklabels()]
    assert names == ["no jump", "1,000 places", "16,000 places"]


@pytest.mark.parametrize(
    "change",
    [
        {"as it is": {0: 3.8, 1000: 4.3, 16_000: 4.6}},
        {"places / 4": {0: 3.9, 1000: 5.3, 16_000: 5.6}},
        {"places / 2": {0: 3.9, 1000: 4.7, 16_000: 5.1}},
        {"places / 2": {0: 4.4, 1000: 4.7, 16_000: 4.7}},
        {"base x 4": {0: 4.8, 1000: 4.2, 16_000: 4.6}},
        {"base x 4": {0: 3.8, 1000: 4.2, 16_000: 6.6}},
    ],
)
def test_mends_refused(drawn, change):
    assert refuses(drawn, figures.mends, MENDS | change, 4.4)
