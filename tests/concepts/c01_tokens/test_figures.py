"""The figures of notebook 01: drawn where the numbers support the title, refused where they do not."""

from functools import partial

import drawing
import numpy as np
import pytest
from drawing import refuses

from course_lib.concepts.c01_tokens import figures

SIZES = [256, 512, 1024, 2048]


draws = partial(drawing.draws, labels=("x",))


def test_prices(drawn):
    n_tokens = {"English": 12, "Thai": 60, "French": 20}
    n_bytes = {"English": 54, "Thai": 102, "French": 49}
    assert draws(drawn, figures.prices, n_tokens, n_bytes, says="English 12, French 20, Thai 60")
    assert "5.0 times as many tokens in Thai" in drawn[0][0].get_suptitle().replace("\n", " ")
    crosses = drawn[0][0].axes[0].lines[0]
    assert crosses.get_xdata().tolist() == [54, 49, 102]  # in the order of the bars


@pytest.mark.parametrize("n_tokens", [{"English": 12, "Thai": 30}, {"English": 12, "Thai": 60, "French": 11}])
def test_prices_refused(drawn, n_tokens):
    assert refuses(drawn, figures.prices, n_tokens, n_tokens)


RISING, FLAT, NOTHING = [0.1, 0.2, 0.9, 1.0], [0.5, 0.5, 0.6, 0.6], [0.0, 0.0, 0.0, 0.04]


def test_twins(drawn):
    shares = {"counted": RISING, "learned": RISING, "shuffled": NOTHING}
    assert draws(drawn, figures.twins, SIZES, shares, says="counted from 10% to 100%")


@pytest.mark.parametrize(
    "shares",
    [
        {"counted": RISING, "learned": FLAT, "shuffled": NOTHING},
        {"counted": RISING, "learned": RISING, "shuffled": FLAT},
    ],
    ids=["rare ones as well", "without company"],
)
def test_twins_refused(drawn, shares):
    assert refuses(drawn, figures.twins, SIZES, shares)


@pytest.fixture
def words() -> tuple:
    """Vectors of three kinds, and what kind each word is."""
    random = np.random.default_rng(3)
    centres = np.repeat(np.eye(7)[:3], 5, axis=0)
    groups = {f"w{i}": "abc"[i // 5] for i in range(15)}
    return centres + 0.1 * random.normal(size=centres.shape), groups


def test_word_map(drawn, words):
    assert draws(drawn, figures.word_map, *words, says="for 100% the nearest is of their kind. a: w0, w1, w2")
    names = [text.get_text() for text in drawn[0][0].axes[0].texts]
    assert names == list(words[1])


def test_word_map_refused(drawn, words):
    vectors, groups = words
    mixed = dict(zip(groups, ("abc"[i % 3] for i in range(15)), strict=True))
    assert refuses(drawn, figures.word_map, vectors, mixed)


FALLING = [[0.0, 0.0], [0.9, 0.85], [0.99, 0.3]]


def test_falling(drawn):
    assert draws(drawn, figures.falling, FALLING, says="never 0.00, 0.99, 0.99; often 0.00, 0.85, 0.30")


@pytest.mark.parametrize("last", [[0.8, 0.3], [0.99, 0.8]])
def test_falling_refused(drawn, last):
    assert refuses(drawn, figures.falling, [*FALLING[:2], last])


YEARS = [1700, 1800, 1914, 2000]


def test_years(drawn):
    points = np.array([[0.0, 1], [1.1, 0], [2, 1], [3, 0]])
    assert drawing.draws(drawn, figures.years, YEARS, points, says="4 years as points")
    assert {text.get_text() for text in drawn[0][0].axes[0].texts} == {"1700", "1800", "1914", "2000"}


def test_years_refused(drawn):
    assert refuses(drawn, figures.years, YEARS, np.array([[1.0, 0], [0, 1], [2, 0], [0, 2]]))


LETTERS = {"first": 0.8, "second": 0.33, "third": 0.16, "last": 0.6}
GUESSED = {"first": 0.18, "second": 0.17, "third": 0.15, "last": 0.22}


def test_letters(drawn):
    assert drawing.draws(drawn, figures.letters, LETTERS, GUESSED, says="first 80% and 18%")


@pytest.mark.parametrize(("place", "share"), [("first", 0.5), ("third", 0.4)])
def test_letters_refused(drawn, place, share):
    assert refuses(drawn, figures.letters, {**LETTERS, place: share}, GUESSED)


def test_arrows(drawn):
    figures.arrows({"cat": (0.8, -0.7), "lion": (-0.8, 0.3), "dog": (0.9, -0.2)}, "tame", "large")
    fig, alt = drawn[0]
    assert fig.get_suptitle() == "cat and dog are most alike, cosine 0.88"
    assert (fig.axes[0].get_xlabel(), fig.axes[0].get_ylabel()) == ("tame", "large")
    assert "lion to (-0.8, 0.3)" in alt


H = {"drink": [1.0, 0.2], "feed": [0.2, 1.0]}
WAYS = {"coffee": [[0, 0], [1.0, -1]], "tea": [[0.1, 0], [1.1, -1]], "ghost": [[0, 0], [-1.0, -0.9]]}


def test_pulled(drawn):
    figures.pulled(WAYS, H, never="ghost")
    fig, alt = drawn[0]
    assert " ".join(fig.get_suptitle().split()).endswith("ghost is only pushed")
    assert "coffee and tea 1.00; ghost and drink -0.86, feed -0.80" in alt
    names = [text.get_text().strip() for text in fig.axes[0].texts if text.get_text()]
    assert names == ["h of drink", "h of feed", "coffee", "tea", "ghost"]


@pytest.mark.parametrize(
    "other",
    [
        {"tea": [[0.1, 0], [-1.0, 1]]},  # pulled elsewhere
        {"ghost": [[0, 0], [1.0, 0.2]]},  # pulled, too
        {"ghost": [[0, 0], [-1.0, 1.0]]},  # pushed by one of them only
    ],
)
def test_pulled_refused(drawn, other):
    assert refuses(drawn, figures.pulled, {**WAYS, **other}, H, "ghost")


def test_strips(drawn):
    rows = {"tea": [1.0, 2, 0], "king": [0.0, -1, 3], "coffee": [1.0, 1.5, 0.25]}
    figures.strips(rows, shown=2, marked=[1])
    fig, alt = drawn[0]
    assert fig.axes[0].lines[-1].get_xdata().tolist() == [1]
    assert alt.endswith("Marked are the columns 1.")
    assert fig.get_suptitle().startswith("tea and coffee are most alike, cosine 0.9")
    assert fig.axes[0].images[0].get_array().tolist() == [[1, 2], [0, -1], [1, 1.5]]
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["tea", "king", "coffee"]
    assert "2 coloured cells for each of tea, king, coffee" in alt
