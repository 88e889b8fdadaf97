"""The figures of notebook 09: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
from drawing import draws, refuses

from course_lib.concepts.c09_real_models import figures

PLACES = {
    "MiniLM": ([2, 4, 7, 9, 30], [1, 1, 1]),
    "its table": ([7, 80, 60, 90, 200], [1, 2, 1]),
    "TF-IDF": ([300, 300, 200, 200, 200], [1, 1, 3]),
}


def test_found(drawn):
    says = "MiniLM 4 of 5 in other words, 3 of 3 in the same; its table 1 of 5 in other words, 3 of 3"
    assert draws(drawn, figures.found, PLACES, says=says, labels=("x",))


@pytest.mark.parametrize(
    ("method", "places"),
    [
        ("MiniLM", ([11, 40, 70, 90, 30], [1, 1, 1])),
        ("MiniLM", ([2, 4, 7, 9, 30], [1, 70, 60])),
        ("its table", ([7, 8, 6, 90, 200], [1, 2, 1])),
        ("TF-IDF", ([300, 300, 200, 200, 200], [1, 30, 30])),
    ],
)
def test_found_refused(drawn, method, places):
    assert refuses(drawn, figures.found, PLACES | {method: places})


def shares(shared, own, other, rival, guess):
    names = ("one for all", "its own", "other order", "alone", "best rival", "guessing")
    return dict(zip(names, (shared, own, other, 0.7, rival, guess), strict=True))


KINDS = {"pictures": shares(0.95, 0.96, 0.3, 0.99, 0.1), "reviews": shares(0.75, 0.76, 0.75, 0.79, 0.5)}


def test_kinds(drawn):
    says = (
        "pictures: one for all 95%, its own 96%, other order 30%, alone 70%, best rival 99%, guessing 10%; "
    )
    assert draws(drawn, figures.kinds, KINDS, says=says, labels=("x",))


@pytest.mark.parametrize(
    "reviews",
    [
        shares(0.55, 0.76, 0.75, 0.79, 0.5),
        shares(0.75, 0.55, 0.75, 0.79, 0.5),
        shares(0.8, 0.8, 0.75, 0.79, 0.5),
    ],
)
def test_kinds_refused(drawn, reviews):
    assert refuses(drawn, figures.kinds, KINDS | {"reviews": reviews})


PLACE = np.arange(100)
BITS_AT = {
    "learned": np.where(PLACE < 32, 2.7, 3.7),
    "rotary": np.where(PLACE < 32, 2.5, 2.5 + 0.01 * (PLACE - 31)),
}


def test_beyond(drawn):
    says = "learned: 1.9 nats on the last trained places, 2.6 on as many new ones; rotary: 1.7 nats"
    assert draws(drawn, figures.beyond, BITS_AT, 32, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("learned", np.full(100, 2.7)),
        ("learned", np.where(PLACE < 32, 2.7, 3.2)),
        ("rotary", np.where(PLACE < 32, 2.5, 3.5)),
    ],
)
def test_beyond_refused(drawn, kind, bits):
    assert refuses(drawn, figures.beyond, BITS_AT | {kind: bits}, 32)


COUNTS = {"MLPs": 79_626_240, "attention": 26_542_080, "table": 28_311_552, "norms": 35_136}


def test_numbers_in_file(drawn):
    says = "MLPs 79,626,240, attention 26,542,080, table 28,311,552, norms 35,136"
    assert draws(drawn, figures.numbers_in_file, COUNTS, says=says, labels=("x",))


@pytest.mark.parametrize(("part", "count"), [("MLPs", 40_000_000), ("table", 45_000_000)])
def test_numbers_in_file_refused(drawn, part, count):
    assert refuses(drawn, figures.numbers_in_file, COUNTS | {part: count})


ROWS = {"intact": (5.0, " Paris.\n"), "ReLU": (13.0, " it ($"), "no mask": (1.8, "____")}


def test_broken(drawn):
    says = r"intact: 5.0 nats, writes ' Paris.\n'; ReLU: 13.0 nats, writes ' it ($'; no mask: 1.8 nats"
    assert draws(drawn, figures.broken, ROWS, says=says, labels=("x",))
    (ax,) = drawn[0][0].axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["no mask", "intact", "ReLU"]
    assert [text.get_text() for text in ax.texts[-3:]] == ["(underscores)", "“Paris.”", r"“it (\$”"]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("intact", (2.0, " Paris")),
        ("intact", (5.0, " it")),
        ("no mask", (4.5, "____")),
        ("no mask", (1.8, " Paris")),
        ("ReLU", (1.0, "")),
    ],
)
def test_broken_refused(drawn, row, found):
    assert refuses(drawn, figures.broken, ROWS | {row: found})
