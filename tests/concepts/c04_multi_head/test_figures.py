"""The figures of notebook 04: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c04_multi_head import figures

PIECES = [" Ba", "no", "lu"]
NAME = {"first time": [9.0, 6.0, 8.0], "second time": [8.0, 0.5, 0.3]}
RIGHT = {
    "one head": [0.75, 0.79],
    "two heads": [0.96, 0.98],
    "one head, wide": [0.8, 0.81],
    "one head, longer": [0.97],
    "two layers": [1.0, 0.99],
}


def test_name(drawn):
    says = "after its first piece, a piece costs 7.0, then 0.4"
    assert draws(drawn, figures.name, PIECES, NAME, says=says, labels=("x", "y"))
    assert [text.get_text() for text in drawn[0][0].axes[0].get_xticklabels()] == ["Ba", "no", "lu"]


def test_name_refused(drawn):
    assert refuses(drawn, figures.name, PIECES, {**NAME, "second time": [8.0, 0.5, 6.0]})


def test_relations(drawn):
    says = "one head 77%, two heads 97%, one head, wide 80%, one head, longer 97%, two layers 100%"
    assert draws(drawn, figures.relations, RIGHT, says=says)


@pytest.mark.parametrize(
    "change",
    [
        {"two heads": [0.8, 0.81], "one head, wide": [0.7]},
        {"one head, wide": [0.95]},
        {"two layers": [0.68, 0.9]},
        {"one head, longer": [0.78]},
    ],
)
def test_relations_refused(drawn, change):
    assert refuses(drawn, figures.relations, RIGHT | change)


def four_heads() -> torch.Tensor:
    """Two layers of two heads on five tokens, each of which looks one token farther back than the other."""
    apart = torch.arange(5)[:, None] - torch.arange(5)
    tiles = [(apart == offset).float() for offset in (0, 1, 2, 3)]
    for offset, tile in enumerate(tiles):
        tile[:offset, 0] = 1.0
    return torch.stack(tiles).view(2, 2, 5, 5)


def test_sheet(drawn):
    weights = four_heads()
    assert draws(drawn, figures.sheet, weights, says="0 of 4 heads have a twin")
    page = drawn[0][0].axes[0].images[0].get_array()
    assert np.array_equal(page[:5, :5], weights[0, 0])
    assert np.array_equal(page[:5, 7:], weights[1, 0])  # two tokens of gap; a column is a layer
    assert np.array_equal(page[7:, :5], weights[0, 1])


def test_sheet_refused(drawn):
    weights = four_heads()
    weights[1, 1] = weights[0, 1]
    assert refuses(drawn, figures.sheet, weights)


TOKENS = ["The", "cat", "saw", "the", "cat"]


def test_graphs(drawn):
    itself, before, *_ = four_heads().flatten(0, 1)
    named = {"itself": itself, "the one before": before}
    assert draws(
        drawn, figures.graphs, TOKENS, named, says="any two of them differ in 80% of their weight or more"
    )
    ends = [line.get_ydata().tolist() for line in drawn[0][0].axes[1].lines]
    assert ends == [[4, 4], [3, 4], [2, 3], [1, 2], [0, 1]]  # from the token to the one above


def test_graphs_refused(drawn):
    head = four_heads()[0, 0]
    assert refuses(drawn, figures.graphs, TOKENS, {"one": head, "two": head})


AFTER = {"the token before": [[0.1, 0.9], [0.2, 0.05]], "the first token": [[0.1, 0.6], [0.7, 0.1]]}
AT_START = {"the token before": [[0.1, 0.1], [0.12, 0.1]], "the first token": [[0.1, 0.1], [0.1, 0.11]]}


def test_specialists(drawn):
    says = "the token before up to 90% (random weights 12%), the first token up to 70% (random weights 11%)"
    assert draws(drawn, figures.specialists, AFTER, AT_START, says=says)
    assert drawn[0][0].axes[0].lines[0].get_ydata().tolist() == [0.9, 0.2, 0.1, 0.05]


def test_specialists_refused(drawn):
    assert refuses(drawn, figures.specialists, AFTER, AT_START | {"the first token": [[0.5, 0.1]]})


def test_silenced(drawn):
    losses = {"heads": [3.1], "lot": [3.0, 3.2], "token": [5.0], "others": [3.0, 3.05]}
    says = "intact 3.00, heads that look at it most, off 3.10, as many heads by lot, off 3.10, first"
    assert draws(drawn, figures.silenced, losses, 3.0, says=says)
    assert refuses([], figures.silenced, losses | {"token": [3.5]}, 3.0)  # hardly needed
    assert refuses([], figures.silenced, losses | {"others": [4.0]}, 3.0)  # any token is needed
    assert refuses([], figures.silenced, losses | {"heads": [3.3]}, 3.0)  # more than drawn by lot


COPYING = {
    "counts": [0, 3, 10],
    "strongest": [2.5, 7.0, 12.0],
    "others": [3.0, 3.4],
    "previous": 8.0,
    "beside": [2.4, 2.7],
    "first_copy": 14.0,
}


def test_copying(drawn):
    says = "without 10 copying heads 12.0, without 10 others 3.2, without one head for the token before 8.0"
    assert draws(drawn, figures.copying, *COPYING.values(), says=says, labels=("x", "y"))


@pytest.mark.parametrize("change", [{"others": [3.0, 7.0]}, {"previous": 3.2}, {"beside": [2.5, 7.0]}])
def test_copying_refused(drawn, change):
    assert refuses(drawn, figures.copying, *(COPYING | change).values())


def test_name_without(drawn):
    costs = {"all": [9.0, 0.4, 0.4], "copying off": [9.0, 6.0, 7.0], "others off": [9.0, 0.9, 0.7]}
    says = "all 0.4, copying off 6.5, others off 0.8"
    assert draws(drawn, figures.name_without, PIECES, costs, says=says)
    assert refuses([], figures.name_without, PIECES, {**costs, "others off": [9.0, 5.0, 6.5]})


SWEEP = {1: [0.75, 0.8], 2: [0.95, 0.97], 4: [0.98, 0.98], 8: [0.97, 0.99]}


def test_head_counts(drawn):
    says = "1 heads 78%, 2 heads 96%, 4 heads 98%, 8 heads 98%"
    assert draws(drawn, figures.head_counts, SWEEP, says=says, labels=("x", "y"))


def test_head_counts_refused(drawn):
    assert refuses(drawn, figures.head_counts, SWEEP | {2: [0.79, 0.8]})
    assert refuses(drawn, figures.head_counts, SWEEP | {2: [0.84, 0.86]})


def test_pruning(drawn):
    says = "without 30 +1%, without 90 +4%, without 150 +19%; without 90 drawn by lot +60%"
    least, lot = {30: 0.01, 90: 0.04, 150: 0.19}, [0.4, 0.8]
    assert draws(drawn, figures.pruning, least, lot, 90, says=says, labels=("x", "y"))
    assert drawn[0][0].axes[0].lines[1].get_xydata().tolist() == [[90, 40], [90, 80]]
    assert refuses([], figures.pruning, least | {150: 0.04}, lot, 90)  # none is needed
    assert refuses([], figures.pruning, least | {30: 0.06}, lot, 90)  # all are needed
    assert refuses([], figures.pruning, least, [0.03, 0.1], 90)  # hardly better than by lot


SIZES = [512, 1024, 2048]
SECONDS = {"explicit": [1.0, 4.1, 17.0], "fused": [0.8, 3.1, 12.5], "linear": [0.5, 0.9, 1.7]}
KEPT = {"explicit": [2.0, 7.7, 30.0], "fused": [0.5, 1.0, 2.0], "linear": [0.5, 1.0, 2.0]}


def test_costs(drawn):
    says = "times as long, explicit 17, fused 16, linear 3; times as many bytes, explicit 15, fused 4, linear"
    assert draws(drawn, figures.costs, SIZES, SECONDS, KEPT, says=says, labels=("x", "y"))


def test_costs_refused(drawn):
    quick, square = [0.5, 0.9, 1.7], [0.5, 2.0, 8.0]
    assert refuses(drawn, figures.costs, SIZES, SECONDS | {"fused": quick}, KEPT)
    assert refuses(drawn, figures.costs, SIZES, SECONDS | {"linear": square}, KEPT)
    assert refuses(drawn, figures.costs, SIZES, SECONDS, KEPT | {"fused": square})
    assert refuses(drawn, figures.costs, SIZES, SECONDS, KEPT | {"explicit": quick})


LOOKED = {16: [0.38, 0.4], 32: [0.7, 0.74], 64: [0.98, 1.0]}


def test_state_sizes(drawn):
    says = "attention, width 16 100%, 16 x 16 numbers 39%, 32 x 32 numbers 72%, 64 x 64 numbers 99%"
    assert draws(drawn, figures.state_sizes, LOOKED, [0.68], [1.0], [1.0], says=says)
    assert refuses([], figures.state_sizes, LOOKED | {16: [0.95]}, [0.68], [1.0], [1.0])  # no limit
    assert refuses([], figures.state_sizes, LOOKED | {64: [0.8]}, [0.5], [1.0], [1.0])  # nor enough
    assert refuses([], figures.state_sizes, LOOKED, [0.97], [1.0], [1.0])  # 16 small ones do as well
    assert refuses([], figures.state_sizes, LOOKED, [0.68], [0.7], [1.0])  # few are too many


TWO_TASKS = {
    "which came first": {"attention": [1.0, 1.0], "linear": [0.98], "Fourier": [0.96, 1.0], "mean": [0.9]},
    "looking up": {"attention": [1.0, 0.98], "linear": [0.4, 0.5], "Fourier": [0.13], "mean": [0.13]},
}
CHANCE = {"which came first": 0.5, "looking up": 0.125}


def test_mixers(drawn):
    says = "which came first: attention 100%, linear 98%, Fourier 98%, mean 90%; looking up: attention 99%"
    assert draws(drawn, figures.mixers, TWO_TASKS, CHANCE, says=says)
    levels = [ax.lines[0].get_ydata()[0] for ax in drawn[0][0].axes]
    assert levels == [50.0, 12.5]


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("which came first", {"linear": [0.6]}),
        ("which came first", {"mean": [0.5]}),
        ("looking up", {"linear": [0.9]}),
    ],
)
def test_mixers_refused(drawn, task, change):
    assert refuses(drawn, figures.mixers, TWO_TASKS | {task: TWO_TASKS[task] | change}, CHANCE)
