"""The figures of notebook 08: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib import costs
from course_lib.concepts.c08_rnn_comparison import figures

KEPT = {"near": 0.7, "near, cut": 0.8, "far": 0.6, "far, cut": 0.001}


def test_name_kept(drawn):
    assert draws(drawn, figures.name_kept, KEPT, says="near 70.00%, near, cut 80.00%, far", labels=("x",))


@pytest.mark.parametrize(
    ("case", "share"), [("near", 0.05), ("near, cut", 0.05), ("far", 0.1), ("far, cut", 0.1)]
)
def test_name_kept_refused(drawn, case, share):
    assert refuses(drawn, figures.name_kept, KEPT | {case: share})


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


def recorded():
    """One after the other, and three beside each other."""
    x = torch.ones(3, requires_grad=True)
    row = beside = x
    for _ in range(5):
        row = row.sin()
    beside = torch.stack([x.sin(), x.cos(), x.exp()])
    return costs.operations(row), costs.operations(beside)


def test_graphs(drawn):
    says = "3 tokens: 5 operations in 5 steps, the recurrent network; 4 in 2, attention"
    assert draws(drawn, figures.graphs, *recorded(), 3, says=says, labels=("x",))
    ((fig, _),) = drawn
    assert "in 5 steps, the other in 2" in fig.get_suptitle()
    row, beside = fig.axes
    assert [len(ax.lines) for ax in (row, beside)] == [5 + 4, 4 + 3]  # a dot each, and a line for each wait


def test_graphs_draws_one_longest_way_in_front(drawn):
    x = torch.ones(3, requires_grad=True)
    figures.graphs(costs.operations(x.sin().sin().sin() + x.cos()), recorded()[1], 3)
    ((fig, _),) = drawn
    colours = [line.get_color() for line in fig.axes[0].lines if line.get_marker() == "s"]
    assert len(colours) == 4


def test_graphs_refused_where_the_chain_is_no_longer(drawn):
    assert refuses(drawn, figures.graphs, *reversed(recorded()), 3)


CHAINS = {
    "RNN": [58, 202, 778],
    "LSTM": [138, 522, 2058],
    "kernel": [9, 9, 9],
    "reading": [90, 90, 90],
    "writing": [1483, 5947],
}


def test_chains(drawn):
    says = "RNN: 58 to 778; LSTM: 138 to 2058; kernel: 9 to 9"
    assert draws(drawn, figures.chains, [16, 64, 256], CHAINS, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("RNN", [58, 58, 58]),
        ("LSTM", [90, 90, 90]),
        ("kernel", [9, 18, 36]),
        ("reading", [90, 180, 360]),
        ("writing", [90, 90]),
    ],
)
def test_chains_refused(drawn, model, counts):
    assert refuses(drawn, figures.chains, [16, 64, 256], CHAINS | {model: counts})


RATES = {
    n: {"RNN": [9e3, 8e3], "LSTM": [4e3, 4e3], "kernel": [5e4, 2e5], "Transformer": [2e4, 2e4]}
    for n in (1, 16)
}


def test_throughput(drawn):
    says = "batch 16, 1024 tokens: RNN 8, LSTM 4, kernel 200, Transformer 20"
    assert draws(drawn, figures.throughput, RATES, [64, 1024], says=says, labels=("x", "y"))


def test_throughput_refused_where_the_transformer_is_as_fast(drawn):
    even = RATES[16] | {"Transformer": [2e4, 2e5]}
    assert refuses(drawn, figures.throughput, RATES | {16: even}, [64, 1024])


WIDE = {
    1: {"LSTM": [9e3, 3e2], "Transformer": [5e3, 9e2]},
    16: {"LSTM": [1e5, 9e2], "Transformer": [3e4, 8e2]},
}


def test_widths(drawn):
    says = "at 15,000 to 5,000,000 weights: 1 at once 1.8 to 0.3; 16 at once 3.3 to 1.1"
    assert draws(drawn, figures.widths, [15_000, 5_000_000], WIDE, says=says, labels=("x", "y"))


@pytest.mark.parametrize(("batch", "lstm"), [(1, [9e3, 9e2]), (16, [3e4, 9e2]), (16, [1e5, 3e3])])
def test_widths_refused(drawn, batch, lstm):
    changed = WIDE | {batch: WIDE[batch] | {"LSTM": lstm}}
    assert refuses(drawn, figures.widths, [15_000, 5_000_000], changed)


def curve(end, seconds):
    return [100, 200], [seconds / 2, seconds], [[4.0, end], [4.1, end + 0.02]]


CURVES = {
    "LSTM": curve(3.4, 2),
    "LSTM, Muon": curve(3.2, 3),
    "GPT": curve(3.9, 6),
    "GPT, Muon": curve(3.3, 7),
}


def test_learning(drawn):
    says = "2 starts; at the end: LSTM 3.40 to 3.42, LSTM, Muon 3.20 to 3.22"
    assert draws(drawn, figures.learning, CURVES, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("model", "end", "seconds"),
    [
        ("LSTM", 4.0, 2),
        ("LSTM, Muon", 3.35, 3),
        ("GPT", 3.3, 6),
        ("GPT, Muon", 3.1, 7),
        ("LSTM, Muon", 3.2, 8),
    ],
)
def test_learning_refused(drawn, model, end, seconds):
    assert refuses(drawn, figures.learning, CURVES | {model: curve(end, seconds)})


@pytest.mark.parametrize(
    ("recurrent_days", "title"),
    [([1.0, 8.0], "takes up to 4.0 times as long"), ([0.5, 1.0], "takes no longer than the Transformer")],
)
def test_days(drawn, recurrent_days, title):
    of = {"RNN": recurrent_days, "Transformer": [1.0, 2.0]}
    says = "Transformer: 1 to 2 days"
    assert draws(drawn, figures.days, [256, 512], of, "A thousand", says=says, labels=("x", "y"))
    assert title in drawn[0][0].get_suptitle().replace("\n", " ")


def test_days_refused_where_one_reads_in_no_time(drawn):
    assert refuses(drawn, figures.days, [256, 512], {"RNN": [1.0, 2.0], "Transformer": [0.0, 1.0]}, "A")


SCANNED = {"loop": [31, 63, 127], "scan": [17, 21, 25]}


def test_scanned(drawn):
    says = "loop: 31 to 127; scan: 17 to 25"
    assert draws(drawn, figures.scanned, [16, 32, 64], SCANNED, says=says, labels=("x", "y"))
    assert "4 more operations" in drawn[0][0].get_suptitle().replace("\n", " ")


@pytest.mark.parametrize(("way", "counts"), [("loop", [31, 35, 39]), ("scan", [31, 63, 127])])
def test_scanned_refused(drawn, way, counts):
    assert refuses(drawn, figures.scanned, [16, 32, 64], SCANNED | {way: counts})
