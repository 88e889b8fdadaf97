"""The figures of notebook 06: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.blocks import LayerNorm
from course_lib.concepts.c06_residuals import figures


def rises(costly):
    found = np.full(13, 0.1)
    found[costly] = 2.0
    return found


def test_layers_out(drawn):
    says = "8 of 13 layers cost less than 0.5; the five that cost most are layers 0, 1, 6, 11, 12"
    found = rises([0, 1, 6, 11, 12])
    assert draws(drawn, figures.layers_out, found, says=says, labels=("x", "y"))
    assert len(drawn[0][0].axes[0].patches) == 13


@pytest.mark.parametrize("costly", [[0, 1, 5, 6, 11], [1, 2, 6, 11, 12], [0, 1, 11, 12], range(13)])
def test_layers_out_refused(drawn, costly):
    assert refuses(drawn, figures.layers_out, rises(list(costly)))


def test_normalised(drawn):
    before = 3 + torch.randn(7, 101)
    assert draws(drawn, figures.normalised, LayerNorm(101)(before), says="lie outside", labels=("x",))
    drawn.clear()
    assert refuses(drawn, figures.normalised, before)  # not normalised


DEPTH = np.arange(1, 33)
GROWN = {
    "no norm": np.stack([1.5**DEPTH, 1.6**DEPTH]),
    "pre-norm": np.stack([DEPTH**0.5, DEPTH**0.6]),
    "post-norm": np.ones((2, 32)),
    "no norm, smaller start": np.ones((2, 32)) * 1.3,
}


def test_growth(drawn):
    assert draws(drawn, figures.growth, GROWN, says="post-norm 1,", labels=("x", "y"))


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("no norm", "pre-norm"),
        ("pre-norm", "post-norm"),
        ("post-norm", "pre-norm"),
        ("no norm, smaller start", "no norm"),
    ],
)
def test_growth_refused(drawn, kind, other):
    assert refuses(drawn, figures.growth, GROWN | {kind: GROWN[other]})


def test_whisper(drawn):
    lost, kept = [1e-9, 1e-3, 1.0], [0.9, 1.1, 1.0]
    found = {"replaces the stream": lost, "is added": kept}
    assert draws(drawn, figures.whisper, found, says="replaces the stream 1e-09, where it is added 9e-01")
    drawn.clear()
    assert refuses(drawn, figures.whisper, found | {"replaces the stream": kept})
    assert refuses(drawn, figures.whisper, found | {"is added": lost})


def test_curve(drawn):
    x = np.linspace(-3, 3, 17)
    assert draws(drawn, figures.curve, x, np.sin(x), np.sin(x) + 0.01, says="misses 0.0%", labels=("x", "y"))
    drawn.clear()
    assert refuses(drawn, figures.curve, x, np.sin(x), 0.3 * x)  # a straight line


def test_sizes(drawn):
    before = torch.randn(3, 101) * torch.tensor([[1.0], [2.0], [30.0]])
    after = LayerNorm(101)(before).detach()
    said = "times as long as the shortest; after it, 1.0 times"
    assert draws(drawn, figures.sizes, ["a", "$b", "c"], before, after, says=said, labels=("y",))
    drawn.clear()
    assert refuses(drawn, figures.sizes, ["a", "b", "c"], before, before)
    assert refuses(drawn, figures.sizes, ["a", "b", "c"], after, after)


LOSSES = {"your layer": [2.0] * 9 + [0.1] * 9, "the chain": [2.0] * 18}


def test_learned(drawn):
    says = "your layer 0.10, the chain 2.00; guessing 2.08"
    assert draws(drawn, figures.learned, LOSSES, 2.08, says=says, labels=("x", "y"))


@pytest.mark.parametrize(("kind", "other"), [("your layer", "the chain"), ("the chain", "your layer")])
def test_learned_refused(drawn, kind, other):
    assert refuses(drawn, figures.learned, LOSSES | {kind: LOSSES[other]}, 2.08)


COSINES = {"your layer": [0.1, 0.2, 0.3], "the chain": [0.9, 1.0, 1.0]}


def test_alike(drawn):
    says = "After the last: your layer 0.30, the chain 1.00"
    assert draws(drawn, figures.alike, COSINES, says=says, labels=("x", "y"))


@pytest.mark.parametrize(("kind", "other"), [("your layer", "the chain"), ("the chain", "your layer")])
def test_alike_refused(drawn, kind, other):
    assert refuses(drawn, figures.alike, COSINES | {kind: COSINES[other]})


FEW = {"additions and norm": [0.0, 0.0], "additions": [0.0, 0.0], "norm": [1.2, 1.3], "neither": [1.5, 1.6]}
MANY = FEW | {"norm": [2.0, 2.1], "neither": [2.0, 2.1]}


def test_deep(drawn):
    says = "6 layers: additions and norm 0.00, additions 0.00, norm 2.05"
    assert draws(drawn, figures.deep, {2: FEW, 6: MANY}, 2.08, says=says, labels=("y",))


@pytest.mark.parametrize("change", [{"norm": [0.1, 2.0]}, {"neither": [2.0, 0.1]}, {"additions": [0.0, 1.0]}])
def test_deep_refused(drawn, change):
    """One run that says otherwise is enough."""
    assert refuses(drawn, figures.deep, {2: FEW, 6: MANY | change}, 2.08)


def test_depth(drawn):
    much, little = {1: [2.3, 2.4], 4: [2.1, 2.1], 8: [2.2, 2.2]}, {1: [2.5, 2.5], 8: [3.0, 3.0]}
    wider = {2: [2.15, 2.15], 1: [2.05, 2.05]}
    says = "little work: 1 layer 2.50, little work: 8 layers 3.00, much work: 1 layer 2.35"
    assert draws(drawn, figures.depth, much, little, wider, says=says, labels=("y",))
    drawn.clear()
    assert refuses(drawn, figures.depth, {**much, 4: much[1]}, little, wider)  # not four, but eight are best
    assert refuses(drawn, figures.depth, little, little, wider)  # not better after long training
    assert refuses(drawn, figures.depth, much, much, wider)  # not worse after short training
    assert refuses(drawn, figures.depth, much, little, {**wider, 2: [2.3, 2.3]})  # eight are better
    assert refuses(drawn, figures.depth, much, little, {})


def test_branches(drawn):
    attention, mlp = np.full(17, 0.15), np.full(17, 0.25)
    attention[0], mlp[0] = 1.0, 12.0
    says = "attention 0.15 in the median layer, MLP 0.25 in the median layer; at layer 0 the larger is 12"
    assert draws(drawn, figures.branches, attention, mlp, says=says, labels=("x", "y"))
    drawn.clear()
    assert refuses(drawn, figures.branches, attention + 1, mlp)
    assert refuses(drawn, figures.branches, attention, np.full(17, 0.25))  # layer 0 like all others


def test_lengths(drawn):
    norms = np.full((13, 2, 7), 100.0)
    norms[5:, :, 0] = 20_000.0
    says = "from layer 5 on the first token's vector is 200 times as long as any"
    assert draws(drawn, figures.lengths, norms, says=says, labels=("x", "y"))
    drawn.clear()
    norms[5:, :, 3] = 20_000.0  # another token as long
    assert refuses(drawn, figures.lengths, norms)


LENS = {
    "as it is": [0.0] * 9 + [0.9],
    "fitted map": [0.0] * 5 + [0.7, 0.8, 0.9, 0.9],
    "shifted, scaled": [0.0] * 8 + [0.1],
}


def test_lens(drawn):
    says = "as it is from layer 9 on, fitted map from layer 5 on, shifted, scaled nowhere"
    assert draws(drawn, figures.lens, LENS, says=says, labels=("x", "y"))


@pytest.mark.parametrize(
    ("way", "other"),
    [
        ("as it is", "fitted map"),
        ("fitted map", "as it is"),
        ("shifted, scaled", "fitted map"),
    ],
)
def test_lens_refused(drawn, way, other):
    assert refuses(drawn, figures.lens, LENS | {way: LENS[other]})


def test_lens_says_where_nothing_leads(drawn):
    assert draws(drawn, figures.lens, LENS | {"as it is": [0.0] * 10}, says="as it is nowhere")


RISES, BEST = np.full(9, 0.1), np.full(9, 0.9)
RISES[[0, 7]], BEST[[0, 3]] = 2.0, 0.1


def test_capitals(drawn):
    says = "without layer 3 a text loses nearly nothing"
    assert draws(drawn, figures.capitals, RISES, BEST, 1.0, says=says, labels=("y",))


@pytest.mark.parametrize(
    ("rises", "best"),
    [
        (RISES, np.full(9, 0.9)),  # every capital is known
        (RISES + 1, BEST),  # a text needs every layer
        (RISES.clip(max=0.5), BEST),  # a text needs none
        (RISES, BEST.clip(max=0.7)),
    ],
)
def test_capitals_refused(drawn, rises, best):
    assert refuses(drawn, figures.capitals, rises, best, 1.0)
