"""The figures of notebook 07: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
from drawing import draws, refuses

from course_lib.concepts.c07_mlm_vs_next_token import figures

TOKENS = ["He", " ate", " the", " cake", "."]
TRIED = [" bread", " cake", " dog", " rest", " soup", " wall"]
BEFORE, AFTER = [0.3, 0.01, 0.2, 0.1, 0.2, 0.05], [0.02, 0.95, 0.0, 0.01, 0.02, 0.0]
GAP = (TOKENS, [3.0, 1.0, 6.6, 0.5], 3, TRIED)


def test_gap(drawn):
    says = "cake surprises by 6.6 bits from the left; its share is 1.0% there, and 95% of those tried"
    assert draws(drawn, figures.gap, *GAP, BEFORE, AFTER, says=says)


def test_gap_refused_where_the_left_side_knows_or_both_do_not(drawn):
    assert refuses(drawn, figures.gap, *GAP, AFTER, AFTER)
    assert refuses(drawn, figures.gap, *GAP, BEFORE, BEFORE)


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


FILLERS = {
    "counts left": 2.3,
    "counts, both": 0.9,
    "before": 1.6,
    "both": 0.8,
    "trying, 1": 0.7,
    "before, trying": 0.4,
}


def test_fillers(drawn):
    assert draws(
        drawn,
        figures.fillers,
        FILLERS,
        says="both 0.80, trying, 1 0.70, before, trying 0.40",
        labels=("x",),
    )


@pytest.mark.parametrize(
    ("way", "bits"), [("before, trying", 1.5), ("both", 1.7), ("before", 0.7), ("counts, both", 2.5)]
)
def test_fillers_refused(drawn, way, bits):
    assert refuses(drawn, figures.fillers, FILLERS | {way: bits})


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


KINDS = ("another document", "the same document", "exchanged")
PAIRS = {
    "head": dict(zip(KINDS, (0.9, 0.7, 0.5), strict=True)),
    "same": dict(zip(KINDS, (0.8, 0.7, 0.5), strict=True)),
    "order": dict(zip(KINDS, (0.5, 0.5, 0.55), strict=True)),
    "cosine": dict(zip(KINDS, (0.9, 0.7, 0.5), strict=True)),
    "words": dict(zip(KINDS, (0.8, 0.6, 0.5), strict=True)),
}


def pair_by_pair(shares):
    return {kind: np.arange(100) < 100 * share for kind, share in shares.items()}


def test_pairs(drawn):
    says = "head: another document 90%, the same document 70%, exchanged 50%; same:"
    assert draws(drawn, figures.pairs, {way: pair_by_pair(of) for way, of in PAIRS.items()}, says=says)


@pytest.mark.parametrize(
    ("way", "shares"),
    [
        ("head", (0.7, 0.7, 0.5)),
        ("head", (0.9, 0.7, 0.9)),
        ("same", (0.9, 0.9, 0.5)),
        ("order", (0.5, 0.5, 0.8)),
        ("words", (0.5, 0.5, 0.5)),
    ],
)
def test_pairs_refused(drawn, way, shares):
    found = PAIRS | {way: dict(zip(KINDS, shares, strict=True))}
    assert refuses(drawn, figures.pairs, {way: pair_by_pair(of) for way, of in found.items()})


SHARES = {
    "as it is": [0.4, 0.3, 0.1],
    "colder": [0.6, 0.3, 0.02],
    "top-k": [0.6, 0.4, 0.0],
    "top-p": [0.6, 0.4, 0.0],
}


def test_settings(drawn):
    says = "first 60%, last shown 2.0%, top-k: first 60%, last shown 0.0%; top-p keeps 2 of those shown"
    assert draws(drawn, figures.settings, SHARES, ["a", "$", "c"], says=says.split("; ")[1])


@pytest.mark.parametrize(
    ("way", "shares"),
    [
        ("colder", [0.3, 0.3, 0.2]),
        ("colder", [0.6, 0.4, 0.0]),
        ("top-k", [0.5, 0.3, 0.2]),
        ("top-p", [0.5, 0.3, 0.2]),
        ("top-p", [0.6, 0.0, 0.4]),
    ],
)
def test_settings_refused(drawn, way, shares):
    assert refuses(drawn, figures.settings, SHARES | {way: shares}, "abc")


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


def test_classifiers(drawn):
    found = {"MiniLM": told(0.69), "SmolLM2": told(0.69)[::-1], "words": told(0.6)}
    says = "MiniLM 69% ± 2%, SmolLM2 69% ± 2%, words 60% ± 2%"
    assert draws(drawn, figures.classifiers, found, says=says, labels=("y",))


@pytest.mark.parametrize("shares", [(0.69, 0.45, 0.5), (0.45, 0.69, 0.5), (0.6, 0.6, 0.7)])
def test_classifiers_refused(drawn, shares):
    encoder, decoder, words = map(told, shares)
    assert refuses(drawn, figures.classifiers, {"a": encoder, "b": decoder[::-1], "words": words})
