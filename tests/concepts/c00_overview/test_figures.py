"""The figures of notebook 00: drawn where the numbers support the title, refused where they do not."""

from functools import partial

import drawing
import numpy as np
import pytest
from drawing import refuses

from course_lib.concepts.c00_overview import figures

DEPTHS = range(0, 31, 5)
PLACES = ("start", "end", "mean")


draws = partial(drawing.draws, labels=("x", "y"))


def test_temperatures(drawn):
    chances = {0.5: [0.8, 0.1], 1.0: [0.6, 0.2], 2.0: [0.3, 0.2]}
    assert draws(drawn, figures.temperatures, [" a", "$b"], chances, says="80% at 0.5")


@pytest.mark.parametrize(
    "chances",
    [{0.5: [0.3, 0.2], 1.0: [0.6, 0.2]}, {1.0: [0.6, 0.2], 0.5: [0.3, 0.2]}],
    ids=["rising", "wrong order"],
)
def test_temperatures_refused(drawn, chances):
    assert refuses(drawn, figures.temperatures, [" a", " b"], chances)


def curves(*last: float) -> dict:
    return {"last token": np.array([last, last]), "mean": np.full((2, 7), 0.76)}


def test_layers(drawn):
    found = curves(0.5, 0.7, 0.76, 0.88, 0.88, 0.88, 0.87)
    assert draws(drawn, figures.layers, DEPTHS, found, np.float64(0.72), says="at most 88% (after 15)")
    (ax,) = drawn[0][0].axes
    assert [line.get_label() for line in ax.lines] == ["last token", "mean", "counting words"]


@pytest.mark.parametrize(
    "last",
    [
        (0.5, 0.56, 0.62, 0.65, 0.75, 0.82, 0.88),  # step by step to the end
        (0.5, 0.85, 0.86, 0.88, 0.88, 0.88, 0.87),  # at once
        (0.5, 0.6, 0.65, 0.73, 0.73, 0.73, 0.73),  # no better than counting words
    ],
)
def test_layers_refused(drawn, last):
    assert refuses(drawn, figures.layers, DEPTHS, curves(*last), 0.72)


@pytest.fixture
def heads() -> dict:
    """Vectors of two classes, and a head that sees them well apart, or hardly."""
    random = np.random.default_rng(3)
    labels = np.array(["negative", "positive"] * 31)
    apart = np.where(labels == "positive", 1.0, -1.0)[:, None] * np.ones(5)
    noise = random.normal(size=(62, 5))
    w = np.array([1.0, 1.0, 1.0, 1.0, 1.0])
    return {
        "labels": labels,
        "far": (apart + noise, w, 0.1),
        "near": (0.1 * apart + noise, w, np.float32(0.1)),
    }


def test_cuts(drawn, heads):
    labels, far, near = heads["labels"], heads["far"], heads["near"]
    assert draws(drawn, figures.cuts, labels, words=near, layer_15=far, says="negative and positive")
    points = np.concatenate([np.asarray(group.get_offsets()) for group in drawn[0][0].axes[1].collections])
    vectors, w, b = far
    assert np.allclose(np.sort(points[:, 0]), np.sort((vectors @ w + b) / np.linalg.norm(w)))


def test_cuts_refused(drawn, heads):
    labels, far, near = heads["labels"], heads["far"], heads["near"]
    assert refuses(drawn, figures.cuts, labels, words=far, layer_15=near)
    assert refuses(drawn, figures.cuts, labels, words=far, layer_15=far)


def accuracies(nothing: float, head: float, body: float, below: float) -> dict:
    shares = {"nothing": nothing, "the head": head, "the body": body, "tables and body": below}
    return {name: [share, share + 0.01] for name, share in shares.items()}


def test_parts(drawn):
    found = accuracies(0.76, 0.76, 0.56, 0.5)
    longer = {"nothing": [0.81], "the body": [0.75, 0.76]}
    assert draws(drawn, figures.parts, found, longer, says="the body, 3 times the steps 75.5%")


@pytest.mark.parametrize(
    ("shares", "longer"),
    [
        ((0.76, 0.66, 0.56, 0.50), 0.75),  # a random head costs something
        ((0.76, 0.76, 0.75, 0.50), 0.85),  # a random body costs nothing
        ((0.76, 0.76, 0.56, 0.65), 0.75),  # the head learns alone
        ((0.76, 0.76, 0.56, 0.50), 0.57),  # time does not help
    ],
)
def test_parts_refused(drawn, shares, longer):
    assert refuses(drawn, figures.parts, accuracies(*shares), {"nothing": [0.85], "the body": [longer]})


def test_places(drawn):
    shares = {(causal, place): [0.72, 0.74] for causal in (False, True) for place in PLACES}
    shares[True, "start"] = [0.5, 0.5]
    assert draws(drawn, figures.places, shares, says="causal start 50%")


@pytest.mark.parametrize(("key", "share"), [((True, "start"), 0.7), ((True, "mean"), 0.5)])
def test_places_refused(drawn, key, share):
    shares = {(causal, place): [0.72, 0.74] for causal in (False, True) for place in PLACES}
    shares[True, "start"] = [0.5, 0.5]
    assert refuses(drawn, figures.places, shares | {key: [share, share]})
