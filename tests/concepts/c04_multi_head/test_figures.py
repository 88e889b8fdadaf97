"""The figures of notebook 04: drawn where the numbers support the title, refused where they do not."""

from dataclasses import replace

import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c04_multi_head import experiments, figures

RIGHT = {
    "one head": 0.77,
    "two heads": 0.97,
    "one head, three times the steps": 0.88,
    "one head, ten times the steps": 0.98,
    "one head in two layers": 1.0,
}


def test_one_or_two(drawn):
    right = {"one head": [0.75, 0.79], "two heads": [0.96, 0.98]}
    assert draws(drawn, figures.one_or_two, right, says="one head 77%, two heads 97%")
    assert refuses([], figures.one_or_two, right | {"two heads": [0.8, 0.79]})


def test_relations(drawn):
    says = (
        "one head 77%, two heads 97%, one head, three times the steps 88%, one head, ten times the steps 98%"
    )
    assert draws(drawn, figures.relations, RIGHT, says=says)


@pytest.mark.parametrize(
    "change",
    [
        {"two heads": 0.81},  # a second head is no help
        {"one head, three times the steps": 0.96},  # nor is it needed then
        {"one head, ten times the steps": 0.8},
        {"one head in two layers": 0.8},
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


TOKENS = ["The", "cat", "saw", "the", "cat"]


def test_graphs(drawn):
    named = {"itself": (0, 0), "the one before": (0, 1)}
    says = "for 0.0: itself, 0.1: the one before; any two of them differ in 80% of their weight or more"
    assert draws(drawn, figures.graphs, TOKENS, four_heads(), named, says=says)
    ends = [line.get_ydata().tolist() for line in drawn[0][0].axes[1].lines]
    assert ends == [[4, 4], [3, 4], [2, 3], [1, 2], [0, 1]]  # from the token to the one above


def test_graphs_refused(drawn):
    assert refuses(drawn, figures.graphs, TOKENS, four_heads(), {"one": (1, 0), "two": (1, 0)})


AFTER = {"the token before": [[0.1, 0.9], [0.2, 0.05]], "the first token": [[0.1, 0.6], [0.7, 0.6]]}
AT_START = {"the token before": [[0.1, 0.1], [0.12, 0.1]], "the first token": [[0.1, 0.1], [0.1, 0.11]]}


def test_specialists(drawn):
    says = "the token before up to 90% (random weights 12%), the first token up to 70% (random weights 11%)"
    assert draws(drawn, figures.specialists, AFTER, AT_START, says=says)
    assert drawn[0][0].axes[0].lines[0].get_ydata().tolist() == [0.9, 0.2, 0.1, 0.05]


def test_specialists_refused(drawn):
    assert refuses(drawn, figures.specialists, AFTER, AT_START | {"the first token": [[0.5, 0.1]]})
    few = AFTER | {"the first token": [[0.7, 0.4], [0.5, 0.5]]}  # half of them rest there, not most
    assert refuses([], figures.specialists, few, AT_START)


def test_silenced(drawn):
    losses = {"heads": [3.1], "lot": [3.0, 3.2], "token": [5.0], "others": [3.0, 3.05]}
    says = "intact 3.00, heads that look at it most, off 3.10, as many heads at random, off 3.10, first"
    assert draws(drawn, figures.silenced, losses, 3.0, says=says)
    assert refuses([], figures.silenced, losses | {"token": [3.5]}, 3.0)  # hardly needed
    assert refuses([], figures.silenced, losses | {"others": [4.0]}, 3.0)  # any token is needed
    assert refuses([], figures.silenced, losses | {"heads": [3.3]}, 3.0)  # more than drawn by lot


LOSSES = {"none": 3.4, "16.1": 3.5, "18.6": 5.5, "note-taker 16.0": 9.4, "20 at random": 4.4, "our ten": 12.2}


def test_copying(drawn):
    says = "18.6 5.5, note-taker 16.0 9.4, 20 at random 4.4, our ten 12.2; of the first 14.4"
    assert draws(drawn, figures.copying, LOSSES, 14.4, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    "change",
    [{"20 at random": 7.0}, {"note-taker 16.0": 5.4}, {"16.1": 7.0}, {"our ten": 9.0}],
)
def test_copying_refused(drawn, change):
    assert refuses(drawn, figures.copying, LOSSES | change, 14.4)


def test_nouns(drawn):
    she, verb = experiments.FoundHead(((1, 3),), 1.0, 0.58), experiments.FoundHead(((13, 8),), 0.94, 0.44)
    says = "she 100%, random weights 58%; is 94%, random weights 44%"
    assert draws(drawn, figures.nouns, {"she": she, "is": verb}, says=says)
    assert [text.get_text() for text in drawn[0][0].axes[0].get_xticklabels()] == [
        "she\nhead 1.3",
        "is\nhead 13.8",
    ]
    assert refuses([], figures.nouns, {"she": she, "is": replace(verb, right=0.7)})  # it does not find it
    assert refuses([], figures.nouns, {"she": replace(she, fresh=0.9), "is": verb})  # random weights do, too


def test_agreement(drawn):
    right = {"all on": [0.81], "6 off": [0.78], "others off": [0.84, 0.86]}
    assert draws(drawn, figures.agreement, right, says="all on 81%, 6 off 78%, others off 85%")
    assert drawn[0][0].get_suptitle().startswith("With 6 off")  # as many as were tried
    assert refuses([], figures.agreement, right | {"6 off": [0.55]})  # they are needed
    assert refuses([], figures.agreement, right | {"others off": [0.95]})  # more than others


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


def test_summaries(drawn):
    states = experiments.StateSizes(
        order=1.0,
        attention={0.03: 1.0},
        small={0.01: 0.31, 0.03: 0.36},
        longer={150: 0.67, 450: 0.88},
        wide=0.99,
        lengths=(512, 1024),
        multiplied=(1, 2),
        kept=(1, 2),
    )
    says = "8 x 8 numbers 36%, 16 x 16 numbers, 150 steps 67%, 16 x 16 numbers, 450 steps 88%, 64 x 64"
    assert draws(drawn, figures.summaries, states, says=says, labels=("x",))
    assert refuses([], figures.summaries, replace(states, small={0.03: 0.9}))  # no limit
    assert refuses([], figures.summaries, replace(states, longer={150: 0.67, 450: 0.7}))  # no matter of steps
    assert refuses([], figures.summaries, replace(states, wide=0.45))  # size is no help
    assert refuses([], figures.summaries, replace(states, attention={0.03: 0.5}))  # nobody holds them


TWO_TASKS = {
    "which came first": {"attention": [1.0, 1.0], "linear": [0.98], "Fourier": [0.96, 1.0], "mean": [0.9]},
    "looking up": {"attention": [1.0, 0.98], "linear": [0.4, 0.5], "Fourier": [0.13], "mean": [0.13]},
}


def test_mixers(drawn):
    says = "which came first: attention 100%, linear 98%, Fourier 98%, mean 90%; looking up: attention 99%"
    assert draws(drawn, figures.mixers, *TWO_TASKS.values(), says=says)
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
    changed = TWO_TASKS | {task: TWO_TASKS[task] | change}
    assert refuses(drawn, figures.mixers, *changed.values())
