"""The figures of notebook 08: drawn where the numbers support the title, refused where they do not."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c08_rnn_comparison import figures


def falling(factor, n_starts=3):
    return np.tile(factor ** np.arange(60), (n_starts, 1))


GRADIENTS = {
    "RNN": falling(0.4),
    "RNN, other": falling(0.95),
    "LSTM": falling(0.7),
    "LSTM, open": falling(0.99),
    "Transformer": falling(1.0),
}


def test_reach(drawn):
    says = "RNN 3e-24, RNN, other 5e-02, LSTM 7e-10, LSTM, open 6e-01"
    assert draws(drawn, figures.reach, GRADIENTS, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("RNN", 0.8),
        ("LSTM", 0.9),
        ("RNN, other", 0.8),
        ("LSTM, open", 0.8),
        ("Transformer", 0.95),
        ("Transformer", 1.1),
    ],
)
def test_reach_refused(drawn, model, factor):
    assert refuses(drawn, figures.reach, GRADIENTS | {model: falling(factor)})


def test_fading(drawn):
    assert draws(drawn, figures.fading, falling(0.4)[0], says="at distance 60 3e-24", labels=("x", "y"))


def test_fading_refused_where_much_arrives(drawn):
    assert refuses(drawn, figures.fading, falling(0.8)[0])


GATES = {"RNN": falling(0.4), "half open": falling(0.6), "open": falling(0.99)}


def test_gated(drawn):
    says = "at distance 60: RNN 3e-24, half open 8e-14, open 6e-01"
    assert draws(drawn, figures.gated, GATES, says=says, labels=("x", "y"))


@pytest.mark.parametrize(("model", "factor"), [("open", 0.6), ("half open", 0.9), ("half open", 0.3)])
def test_gated_refused(drawn, model, factor):
    assert refuses(drawn, figures.gated, GATES | {model: falling(factor)})


AGAIN = {"RNN": [1.0, 0.2], "LSTM": [1.0, 0.5], "look back": [1.0, 0.98]}


@pytest.mark.parametrize("names", [["RNN", "LSTM"], ["RNN", "LSTM", "look back"]])
def test_repeated(drawn, names):
    shares = {name: AGAIN[name] for name in names}
    says = "RNN: 100% of 4, 20% of 16; LSTM: 100% of 4, 50% of 16"
    assert draws(drawn, figures.repeated, [4, 16], shares, chance=0.125, says=says, labels=("x", "y"))


def test_names_stand_at_the_ends_of_their_curves_and_do_not_touch(drawn):
    figures.repeated([4, 16], AGAIN | {"LSTM": [1.0, 0.31]}, chance=0.25)
    ((fig, _),) = drawn
    (ax,) = fig.axes
    heights = sorted(text.xy[1] for text in ax.texts)
    assert {text.get_text() for text in ax.texts} == {*AGAIN, "guessing"}
    assert min(after - before for before, after in pairwise(heights)) > 0.07
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("kind", "shares"),
    [
        ("RNN", [1.0, 0.9]),
        ("RNN", [0.5, 0.1]),
        ("LSTM", [1.0, 0.2]),
        ("LSTM", [1.0, 0.9]),
        ("look back", [1.0, 0.4]),
    ],
)
def test_repeated_refused(drawn, kind, shares):
    assert refuses(drawn, figures.repeated, [4, 16], AGAIN | {kind: shares}, chance=0.125)


def test_looked(drawn):
    says = "on average 0.90 of the weight lies on the state of the same place"
    weights = torch.full((3, 3), 0.05) + 0.85 * torch.eye(3)
    assert draws(drawn, figures.looked, weights, [5, 2, 5], says=says)


def test_looked_rings_the_topmost_that_is_seen_beside(drawn):
    weights = 0.97 * torch.eye(5)
    weights[1, 4], weights[3, 0] = 0.03, 0.02
    says = "A ring at row 2, column 5, which has 0.03"
    assert draws(drawn, figures.looked, weights, [5, 2, 5, 1, 1], says=says)
    (line,) = drawn[0][0].axes[0].lines
    assert line.get_xydata().tolist() == [[4, 1]]


def test_looked_has_no_ring_where_it_looks_nowhere_else(drawn):
    figures.looked(torch.eye(5), [5, 2, 5, 1, 1])
    assert not drawn[0][0].axes[0].lines


@pytest.mark.parametrize("weights", [torch.full((3, 3), 1 / 3), torch.eye(3)[[2, 2, 2]]])
def test_looked_refused_where_it_looks_elsewhere(drawn, weights):
    assert refuses(drawn, figures.looked, weights, [5, 2, 5])


def test_repeated_greys_what_was_seen_before(drawn):
    figures.repeated([4, 16], AGAIN, chance=0.125)
    colours = [line.get_color() for line in drawn[0][0].axes[0].lines[:3]]
    assert colours[0] == colours[1] != colours[2]


RIGHT = {"RNN": [1.0, 1.0, 0.9, 0.3], "LSTM": [1.0, 1.0, 1.0, 0.6], "Transformer": [1.0, 1.0, 1.0, 0.99]}


def test_recalled(drawn):
    says = "100% one symbol, 128 back, 100% 4 symbols again, 60% 16 symbols again; Transformer"
    assert draws(drawn, figures.recalled, RIGHT, chance=0.125, says=says, labels=("y",))


@pytest.mark.parametrize(
    ("model", "shares"),
    [
        ("RNN", [1.0, 0.13, 0.9, 0.3]),
        ("RNN", [1.0, 1.0, 1.0, 0.9]),
        ("LSTM", [0.5, 1.0, 1.0, 0.6]),
        ("LSTM", [1.0, 1.0, 1.0, 0.95]),
        ("Transformer", [1.0, 0.2, 1.0, 0.99]),
        ("Transformer", [1.0, 1.0, 1.0, 0.6]),
    ],
)
def test_recalled_refused(drawn, model, shares):
    assert refuses(drawn, figures.recalled, RIGHT | {model: shares}, chance=0.125)


CHAINS = {
    "RNN": [58, 202, 778],
    "LSTM": [138, 522, 2058],
    "reading": [90, 90, 90],
    "writing": [1483, 5947],
}


def test_chains(drawn):
    says = "RNN: 58 to 778; LSTM: 138 to 2058; reading: 90 to 90"
    assert draws(drawn, figures.chains, [16, 64, 256], CHAINS, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("RNN", [58, 58, 58]),
        ("LSTM", [90, 90, 90]),
        ("reading", [90, 180, 360]),
        ("writing", [90, 90]),
    ],
)
def test_chains_refused(drawn, model, counts):
    assert refuses(drawn, figures.chains, [16, 64, 256], CHAINS | {model: counts})


WIDE = {
    1: {"LSTM": [9e3, 3e2], "Transformer": [5e3, 9e2]},
    16: {"LSTM": [1e5, 9e2], "Transformer": [3e4, 8e2]},
}


def test_widths(drawn):
    says = "at 15,000 to 5,000,000 weights: 1 at once 1.8 to 0.3; 16 at once 3.3 to 1.1"
    assert draws(drawn, figures.widths, [15_000, 5_000_000], WIDE, says=says, labels=("x", "y"))


def test_widths_title_does_not_depend_on_one_text_at_a_time(drawn):
    changed = WIDE | {1: WIDE[1] | {"LSTM": [3e3, 1.1e3]}}
    assert draws(drawn, figures.widths, [15_000, 5_000_000], changed, says="1 at once 0.6 to 1.2")


@pytest.mark.parametrize("lstm", [[3e4, 9e2], [1e5, 3e3]])
def test_widths_refused(drawn, lstm):
    changed = WIDE | {16: WIDE[16] | {"LSTM": lstm}}
    assert refuses(drawn, figures.widths, [15_000, 5_000_000], changed)


SCANNED = {"loop": [31, 63, 127], "scan": [17, 21, 25]}


def test_scanned(drawn):
    says = "loop: 31 to 127; scan: 17 to 25"
    assert draws(drawn, figures.scanned, [16, 32, 64], SCANNED, says=says, labels=("x", "y"))
    assert "4 more operations" in drawn[0][0].get_suptitle().replace("\n", " ")


@pytest.mark.parametrize(("way", "counts"), [("loop", [31, 35, 39]), ("scan", [31, 63, 127])])
def test_scanned_refused(drawn, way, counts):
    assert refuses(drawn, figures.scanned, [16, 32, 64], SCANNED | {way: counts})
