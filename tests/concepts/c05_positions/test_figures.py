"""The figures of notebook 05: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c05_positions import figures
from course_lib.positions import ALiBi, apply_rotary, rotary_table, sinusoidal

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


RIGHT = {
    "text": {"without": [0.5, 0.5], "with": [1.0, 0.98]},
    "image": {"without": [0.65, 0.67], "with": [0.93, 0.95], "longer": [0.75]},
    "sound": {"without": [0.25, 0.27], "with": [0.99, 0.97]},
}
CHANCE = {"text": 0.5, "image": 0.1, "sound": 0.25}


def test_needs_order(drawn):
    says = "image: without 66%, with 94%, longer 75%; sound: without 26%, with 98%"
    assert draws(drawn, figures.needs_order, RIGHT, CHANCE, says=says, labels=("y",))
    assert [ax.get_title(loc="left") for ax in drawn[0][0].axes] == list(RIGHT)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("text", {"without": [0.65]}),  # a bag tells which came first
        ("image", {"without": [0.3], "longer": [0.35]}),  # a bag of patches tells little
        ("image", {"longer": [0.9]}),  # more training does without
        ("sound", {"with": [0.3]}),  # nothing is learned with positions either
    ],
)
def test_needs_order_refused(drawn, kind, change):
    assert refuses(drawn, figures.needs_order, RIGHT | {kind: RIGHT[kind] | change}, CHANCE)


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


def both_scores() -> tuple[torch.Tensor, torch.Tensor]:
    """One query and one key at 11 places, turned and with waves added."""
    query, key = torch.randn(2, 1, 8).expand(2, 11, 8)
    cos, sin = rotary_table(8, 11)
    turned = [apply_rotary(each, cos, sin, interleaved=True) for each in (query, key)]
    return turned[0] @ turned[1].mT, (query + sinusoidal(11, 8)) @ (key + sinusoidal(11, 8)).mT


def test_scores(drawn):
    turned, added = both_scores()
    assert draws(drawn, figures.scores, turned, added, says="turned 0%, added")
    assert np.array_equal(drawn[0][0].axes[0].images[0].get_array(), turned)


def test_scores_refused(drawn):
    turned, added = both_scores()
    assert refuses(drawn, figures.scores, added, added)
    assert refuses(drawn, figures.scores, turned, turned)


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


BACK = {"rotary": [[1.0, 1.0, 0.9], [1.0, 1.0, 0.8]], "alibi": [[0.3] * 3] * 2, "none": [[0.3, 0.2, 0.2]]}
TEXT = {
    "none": [[2.4, 2.8, 2.9, 2.9]],
    "rotary": [[2.2, 2.4, 2.5, 3.5], [2.2, 2.4, 2.5, 3.7]],
    "alibi": [[1.9, 2.2, 2.2, 2.1]],
}
ENDS = {"ends": [32, 64, 128, 256], "trained": 32}


def test_beyond(drawn):
    says = "rotary 85%, alibi 30%, none 20%; text: none 2.90, rotary 3.60, alibi 2.10 bits"
    assert draws(drawn, figures.beyond, BACK, TEXT, **ENDS, says=says, labels=("x", "y"))
    first, second = drawn[0][0].axes
    assert first.lines[0].get_xydata() == pytest.approx(np.array([[32, 100], [64, 100], [128, 85]]))
    assert second.lines[0].get_ydata() == pytest.approx([2.2, 2.4, 2.5, 3.6])
    assert [line.get_color() for line in first.lines[:3]] == [line.get_color() for line in second.lines[:3]]
    names = [text.get_text() for text in drawn[0][0].legends[0].get_texts()]
    assert names == list(BACK)


def test_beyond_refused(drawn):
    assert refuses(drawn, figures.beyond, BACK | {"rotary": [[1.0, 0.4, 0.3]]}, TEXT, **ENDS)
    assert refuses(drawn, figures.beyond, BACK, TEXT | {"rotary": [[2.2, 2.4, 2.5, 2.6]]}, **ENDS)
    assert refuses(drawn, figures.beyond, BACK, TEXT | {"alibi": [[1.9, 2.2, 2.9, 3.0]]}, **ENDS)


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
