"""The figures of notebook 03 are drawn where the numbers support their titles, and only there."""

import numpy as np
import pytest
import torch
from drawing import refuses

from course_lib.concepts.c03_qkv import figures

PIECES = ["the", "dog", "bark"]
ASKS = {"dog": ([1.0, 3.0, 0.5], [0.1, 0.8, 0.1]), "tree": ([1.0, 0.2, 0.5], [0.5, 0.2, 0.3])}
HEADS = {"dog": "head 1", "leaf": "head 2"}  # the word that stands first in each
MIXED = {"MLPs alone": [0.24, 0.26], "an average": [0.42, 0.45], "attention": [1.0, 0.99]}
QUERY, KEYS = [1.0, -2.0, 1.0], {"dog": [2.0, -1.0, 0.5], "tree": [1.0, -1.0, -0.5]}
VALUES = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
WORDS = ["The", "cat", "sat"]
LOOKS_AT_SECOND = torch.tensor([[1, 0, 0], [0.3, 0.7, 0], [0.5, 0.2, 0.3]])
GLANCES = torch.tensor([[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.5, 0.2, 0.3]])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The alt text of every figure that was shown."""
    outputs: list[str] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data["text/plain"]))
    return outputs


def test_asks(shown):
    figures.asks(PIECES, ASKS)
    assert "1 of 3 scores change, and 3 weights; “dog” has the score 3.0 and gets 80%" in shown[0]


def test_asks_wants_one_score_and_all_weights(shown):
    two = ASKS | {"tree": ([1.5, 0.2, 0.5], [0.5, 0.2, 0.3])}
    assert refuses(shown, figures.asks, PIECES, two, says="2 of 3 scores change, and 3 weights")
    kept = ASKS | {"tree": ([1.0, 0.2, 0.5], [0.1, 0.6, 0.3])}
    assert refuses(shown, figures.asks, PIECES, kept, says="1 of 3 scores change, and 2 weights")


def searched(places: dict[str, int]) -> tuple[list[str], dict[str, np.ndarray], dict[str, str]]:
    """300 words and their scores in two heads: the first stands highest in its own, lower in the other."""
    words = [f"word {number}" for number in range(300)]
    words[0], words[1] = HEADS
    falling = -np.arange(300.0)
    scores = {}
    for word, head in HEADS.items():
        row = falling - 0.1
        for each, place in places.items():
            row[words.index(each)] = 0.5 if each == word else falling[place - 1]
        scores[head] = row
    return words, scores, {head: word for word, head in HEADS.items()}


def test_searches(shown):
    figures.searches(*searched({"dog": 200, "leaf": 150}), n_shown=3)
    assert "head 1: dog, word 2, word 3" in shown[0]
    assert "in head 1 “dog” is number 1; in head 1 “leaf” is number" in shown[0]


def test_searches_wants_each_word_high_in_its_own_head_only(shown):
    assert refuses(shown, figures.searches, *searched({"dog": 50, "leaf": 150}), says="in head 2 “dog” is")
    words, scores, expected = searched({"dog": 200, "leaf": 150})
    turned = dict(zip(expected, reversed(expected.values()), strict=True))
    assert refuses(shown, figures.searches, words, scores, turned, says="in head 1 “leaf” is number 1")


def test_products(shown):
    figures.products(QUERY, KEYS)
    assert "with “dog” 3 of 3 are above 0, and they add up to 4.5; with “tree” 2 of 3" in shown[0]


def test_products_wants_about_twice_as_much(shown):
    for other in ([2.0, -1.0, 0.5], [0.5, 0.0, 0.0]):
        assert refuses(shown, figures.products, QUERY, KEYS | {"tree": other}, says="with “dog” 3 of 3")


def test_mixers(shown):
    figures.mixers(MIXED)
    assert "MLPs alone 25%, an average 44%, attention 100%" in shown[0]


@pytest.mark.parametrize(
    ("name", "runs", "said"),
    [
        ("MLPs alone", [0.25, 0.4], "MLPs alone get up to 40% right"),
        ("an average", [0.42, 0.26], "MLPs alone get up to 26% right, an average 26% or more"),
        ("attention", [1.0, 0.5], "attention 50% or more"),
    ],
)
def test_mixers_wants_guesses_a_little_and_nearly_all(shown, name, runs, said):
    assert refuses(shown, figures.mixers, {**MIXED, name: runs}, says=said)


def test_mix(shown):
    figures.mix(PIECES, [0.1, 0.8, 0.1], VALUES)
    assert "“dog” has 80% of the weight; the mix has a cosine of 1.00 to its value, and of 0.06" in shown[0]


def test_mix_wants_one_value_that_leads(shown):
    assert refuses(shown, figures.mix, PIECES, [0.3, 0.4, 0.3], VALUES, says="“dog” has 40% of the weight")
    alike = VALUES + 2  # to all of them the mix is alike
    assert refuses(shown, figures.mix, PIECES, [0.1, 0.8, 0.1], alike, says="a cosine of 1.00 to its value")


ENGLISH, GERMAN = ["she", "has", "bought", "it"], ["sie", "hat", "es", "gekauft"]
LOOKS_BACK = torch.tensor([[0.9, 0.1, 0, 0], [0, 0.8, 0.2, 0], [0, 0, 0.3, 0.7], [0, 0.2, 0.7, 0.1]])


FRESH = torch.full((4, 4), 0.25)


def test_translation(shown):
    figures.translation(ENGLISH, GERMAN, FRESH, LOOKS_BACK)
    assert "for “gekauft” it looks most at “bought”, for “es” at “it”, further to the left" in shown[0]


def test_translation_wants_a_verb_that_jumps_back_and_did_not_look_there_before(shown):
    for in_order in (torch.eye(4), FRESH):
        assert refuses(
            shown, figures.translation, ENGLISH, GERMAN, FRESH, in_order, says="“gekauft” it looks"
        )
    settled = (ENGLISH, GERMAN, LOOKS_BACK, LOOKS_BACK)
    assert refuses(shown, figures.translation, *settled, says="no word gets more than 90%")


def test_glances(shown):
    figures.glances(WORDS, GLANCES)
    assert "the first token gets 60% on average" in shown[0]


def test_glances_wants_the_first_token_and_nothing_ahead(shown):
    assert refuses(shown, figures.glances, WORDS, torch.full((3, 3), 1 / 3), says="that looks ahead is 0.33")
    assert refuses(shown, figures.glances, WORDS, LOOKS_AT_SECOND, says="the largest share of 1 of 2")


OWN_LOSSES = np.full(127, 4.0)
LATE_LOSSES = 4.0 + 6.0 * np.exp(-np.arange(127) / 40)


def test_late_mask(shown):
    figures.late_mask(OWN_LOSSES, LATE_LOSSES)
    assert "places 1 to 8: its own mask 4.00, zeros behind softmax 9.51; places 97 to 127" in shown[0]


def test_late_mask_wants_damage_that_is_largest_at_the_beginning_and_stays(shown):
    for late in (LATE_LOSSES[::-1], OWN_LOSSES, OWN_LOSSES + 3.0, OWN_LOSSES + 5 * (np.arange(127) < 8)):
        assert refuses(shown, figures.late_mask, OWN_LOSSES, late, says="its own mask 4.00")
