"""The experiments of notebook 03 from another seed; with a mechanism broken each finds something else."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from judged import judged
from torch import nn

from course_lib import maths
from course_lib.attention import MultiHeadAttention
from course_lib.attention import scaled_dot_product_attention as attention
from course_lib.blocks import FeedForward
from course_lib.claims import Label, load
from course_lib.concepts.c03_qkv import experiments
from course_lib.concepts.c03_qkv.experiments import (
    ALONE,
    ATTENTION,
    HELD,
    MATRICES,
    MIXERS,
    NOT,
    OTHER,
    OWN,
    ROOT,
    SCALINGS,
    UNIT,
    VECTORS,
    WIDTH,
    WIDTHS,
    Asker,
    Average,
    MlpBlind,
    Reader,
    SelfVersusCross,
    SharedAndLearned,
    SqrtScaling,
)

SEED = 11


# ---------------------------------------------------------------------- without attention


@pytest.fixture(scope="module")
def mixed() -> MlpBlind:
    return experiments.mlp_blind(SEED, starts=2)


def test_mlp_blind(mixed):
    assert judged("mlp-blind", mixed) == (Label.TRUE, [])
    assert {len(shares) for shares in mixed.right.values()} == {2}


def test_where_a_letter_always_has_the_same_colour_no_token_needs_its_neighbours(mixed, monkeypatch):
    lookup = experiments.lookup

    def the_same(n, random):
        letters, _, asked, _ = lookup(n, random)
        return letters, letters % 4, asked, asked % 4

    monkeypatch.setattr(experiments, "lookup", the_same)
    alone = experiments.right(lambda: Reader(MIXERS[ALONE]()), SEED, 1)
    found = replace(mixed, right=mixed.right | {ALONE: alone})
    assert judged("mlp-blind", found) == (Label.WRONG, ["mlps_alone"])


def test_attention_that_cannot_choose_is_an_average_and_tests_nothing(mixed):
    def equal_weights():
        layer = MultiHeadAttention(32, 1)
        layer.attend = partial(attention, scale=0.0)
        return layer

    shares = experiments.right(lambda: Reader(equal_weights()), SEED, 1)
    assert shares[0] == pytest.approx(mixed.commonest, abs=0.1)
    found = replace(mixed, right=mixed.right | {ATTENTION: shares})
    assert judged("mlp-blind", found) == (Label.NOT_TESTED, ["by_attention"])


def test_a_wide_average_gets_there_in_the_end():
    """Twice as wide, ten times as long; 99 % at width 128 after 3,000 steps, as the notebook says."""
    model = experiments.trained(lambda: Reader(Average(64), 64), SEED, steps=1500, rate=0.005)
    assert experiments.accuracy(model) > 0.85


# ---------------------------------------------------------------------- self and cross


@pytest.fixture(scope="module")
def ways(mixed) -> SelfVersusCross:
    return experiments.self_versus_cross(SEED, starts=2, mixed=mixed)


def test_self_versus_cross(ways, mixed):
    assert judged("self-versus-cross", ways) == (Label.NOT_ONLY_WAY, [])
    assert ways.right[OWN] == mixed.right[ATTENTION]


def test_rivals_learn_for_longer(monkeypatch):
    """Those of cross-attention, and those whose matrices stay random; the others do not."""
    taken = []

    def trained(make, seed=0, *, steps):
        taken.append(steps)
        return make()

    monkeypatch.setattr(experiments, "trained", trained)
    experiments.self_versus_cross(SEED, starts=1, steps=2, longer=7)
    assert taken == [7, 7, 2, 2]
    taken.clear()
    experiments.shared_and_learned(SEED, starts=1, steps=2, longer=7)
    assert taken == [2, 7, 2, 0]


def test_cross_attention_to_the_list_of_another_is_misled(ways, monkeypatch):
    letters, colours, asked, answers = experiments.held_out()
    another = letters, colours.roll(1, dims=0), asked, answers
    monkeypatch.setattr(experiments, "held_out", lambda: another)
    misled = experiments.right(Asker, SEED, 1)
    found = replace(ways, right=ways.right | {OTHER: misled})
    assert judged("self-versus-cross", found) == (Label.WRONG, ["from_list"])


def test_where_self_attention_gets_no_list_it_takes_cross_attention(ways):
    without = experiments.right(partial(Asker, reads_list=False), SEED, 1)
    assert judged("self-versus-cross", replace(ways, right=ways.right | {OWN: without})).label == Label.TRUE


# ---------------------------------------------------------------------- what is learned


@pytest.fixture(scope="module")
def learned() -> SharedAndLearned:
    return experiments.shared_and_learned(SEED, starts=2)


def test_shared_and_learned(learned):
    assert judged("shared-and-learned", learned) == (Label.NOT_ONLY_WAY, [])


@pytest.mark.parametrize(
    ("held", "label", "numbers"),
    [
        ({"matrices": MATRICES + VECTORS}, Label.WRONG, ["own_after", "only_matrices"]),
        ({"vectors": MATRICES + VECTORS}, Label.TRUE, ["only_vectors"]),
        ({"neither": ()}, Label.NOT_TESTED, ["neither_learns"]),
    ],
)
def test_who_holds_something_else_fixed_finds_something_else(held, label, numbers):
    found = experiments.shared_and_learned(SEED, starts=1, held=HELD | held)
    assert judged("shared-and-learned", found) == (label, numbers)


def test_what_is_held_stays_and_the_rest_learns(monkeypatch):
    models = []
    trained = experiments.trained
    monkeypatch.setattr(
        experiments, "trained", lambda *args, **how: models.append(trained(*args, **how)) or models[-1]
    )
    experiments.shared_and_learned(SEED, starts=1, steps=2)
    *learners, fresh = models
    for parts, model in zip(HELD.values(), learners, strict=True):
        for name in MATRICES + VECTORS:
            before, after = (each.get_parameter(f"{name}.weight") for each in (fresh, model))
            assert torch.equal(before, after) == (name in parts), (name, parts)


def test_the_weights_shown_are_those_of_the_list_that_is_named(learned):
    letters, colours, asked, weights = learned.after
    assert (len(letters), len(colours), len(asked)) == (8, 8, 3)
    assert [letters[np.argmax(row)] for row in weights] == asked
    assert learned.before[:3] == learned.after[:3]


# ---------------------------------------------------------------------- what dividing the scores buys


@pytest.fixture(scope="module")
def scaling() -> SqrtScaling:
    return experiments.sqrt_scaling(SEED, starts=1)


def test_sqrt_scaling(scaling):
    assert judged("sqrt-scaling", scaling) == (Label.NOT_ONLY_WAY, [])


def test_in_narrow_keys_there_is_nothing_to_gain():
    label, missed = judged("sqrt-scaling", experiments.sqrt_scaling(SEED, starts=1, wide=32))
    assert label == Label.WRONG
    assert {"wide_gain", "patient_gain"} <= set(missed)


def test_who_trains_nobody_has_tested_nothing():
    assert judged("sqrt-scaling", experiments.sqrt_scaling(SEED, starts=1, steps=1)).label == Label.NOT_TESTED


def test_it_is_the_only_way_where_others_do_not_divide_and_may_not_take_smaller_steps(scaling):
    undivided = (scaling.wide[NOT][1],)
    wide = scaling.wide | dict.fromkeys((NOT, WIDTH, UNIT), undivided * 3)
    alone = replace(scaling, wide=wide, narrow=dict.fromkeys((NOT, ROOT), 0.5), longer=(undivided * 3,) * 2)
    assert judged("sqrt-scaling", alone).label == Label.TRUE


def test_it_buys_no_larger_steps_where_longer_training_does_as_well(scaling):
    narrow, (small, _, large) = scaling.longer
    patient = replace(scaling, longer=(narrow, (small, scaling.wide[ROOT][1], large)))
    assert judged("sqrt-scaling", patient) == (Label.WRONG, ["patient_gain"])


def test_what_no_division_is_given(monkeypatch):
    """Three times the steps, in two widths at three rates. A lesson can leave that out."""
    given = []

    def learn(make, seed, starts, *, steps, rate):
        given.append((make().attention.q_proj.out_features, steps, rate))
        return 0.5, 0.5

    monkeypatch.setattr(experiments, "right", learn)
    short = experiments.sqrt_scaling(3, starts=2, steps=7, patient=False)
    assert (short.longer, {steps for _, steps, _ in given}) == ((), {7})
    n_others = len(given)
    assert len(experiments.sqrt_scaling(3, starts=2, steps=7).longer) == 2
    assert given[2 * n_others :] == [(width, 21, rate) for width in (32, 128) for rate in experiments.RATES]


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_another_power_of_the_width_does_not_keep_the_variance(scaling, power):
    divided = tuple(np.array(scaling.raw) / np.array(WIDTHS) ** (2 * power))
    assert judged("sqrt-scaling", replace(scaling, divided=divided)).missed == ["divided_growth"]


def test_the_four_ways_to_make_scores():
    width = 13
    q, k = torch.randn(1, 1, 3, width), torch.randn(1, 1, 5, width)
    weights = {name: make(width)(q, k, torch.eye(5).expand(1, 1, 5, 5)) for name, make in SCALINGS.items()}
    for name, divisor in ((NOT, 1.0), (ROOT, math.sqrt(width)), (WIDTH, width)):
        torch.testing.assert_close(weights[name], (q @ k.mT / divisor).softmax(-1))
    cosines = torch.cosine_similarity(q[..., None, :], k[..., None, :, :], dim=-1)
    torch.testing.assert_close(weights[UNIT], (math.log2(8 * 7) * cosines).softmax(-1))


# ---------------------------------------------------------------------- its parts


def test_the_answers_are_the_colours_of_the_letters_asked_for():
    letters, colours, asked, answers = experiments.lookup(700, torch.Generator().manual_seed(SEED))
    assert letters.shape == colours.shape == (700, 8)
    assert {len(set(row)) for row in letters.tolist()} == {8}
    assert set(letters.flatten().tolist()) == set(range(26))
    assert set(colours.flatten().tolist()) == set(range(4))
    rows = zip(letters.tolist(), colours.tolist(), asked.tolist(), answers.tolist(), strict=True)
    assert all([colour[letter.index(each)] for each in ask] == right for letter, colour, ask, right in rows)


def test_there_is_an_answer_for_each_question_however_long_the_list():
    letters, colours, asked, _ = experiments.lookup(2, torch.Generator().manual_seed(SEED))
    for n in (5, 8):
        for model in (Asker(), Reader(Average())):
            assert model(letters[:, :n], colours[:, :n], asked).shape == (2, 3, 4)


def test_other_sizes_follow_the_seed_and_leave_torch_as_it_was():
    def run(seed):
        mixed = experiments.mlp_blind(seed, starts=2, steps=2)
        ways = experiments.self_versus_cross(seed, starts=2, steps=2, longer=2)
        assert ways == experiments.self_versus_cross(seed, starts=2, steps=2, mixed=mixed)
        learned = experiments.shared_and_learned(seed, starts=2, steps=2, longer=3)
        return mixed, ways, learned, experiments.sqrt_scaling(seed, starts=2, steps=2, wide=16)

    before = torch.get_rng_state()
    found = run(3)
    assert found == run(3)
    assert all(one != other for one, other in zip(found, run(5), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------------- what is so by construction


def linked(make: Callable[[], nn.Module]) -> float:
    """How many outputs of other tokens move when one of five tokens is changed."""
    layer, x = make(), torch.randn(1, 5, 8).expand(5, 5, 8)
    moved = (layer(x + torch.eye(5)[..., None]) - layer(x)).abs().amax(-1)
    return (moved[~torch.eye(5, dtype=torch.bool)] > 0).sum().item()


def one_by_one(make: Callable[[], nn.Module]) -> float:
    """By how much a layer's outputs differ where it gets all tokens and where it gets each alone."""
    layer, tokens = make(), torch.randn(1, 7, 8)
    return (layer(tokens) - torch.cat([layer(token) for token in tokens.split(1, 1)], 1)).abs().max().item()


@torch.no_grad()
def bent(make: Callable[[], nn.Module]) -> float:
    """How far what a network gives for a sum is from the sum of what it gives for each, by its length."""
    network, (one, other) = make(), torch.randn(2, 8)
    nothing = network(torch.zeros(8))
    both = network(one + other) - nothing
    return ((both - (network(one) + network(other) - 2 * nothing)).norm() / both.norm()).item()


SCORES = np.random.default_rng(SEED).normal(size=(5, 7))


def least(weights: Callable) -> float:
    return weights(SCORES).min()


def rows_off(weights: Callable) -> float:
    return np.abs(weights(SCORES).sum(-1) - 1).max()


def loops_off(attention: Callable) -> float:
    """By how much attention differs from the loops over single numbers."""
    parts = torch.randn(3, 5, 6, dtype=torch.float64)
    loops = maths.attention_loops(*(part.numpy() for part in parts))
    return np.abs(attention(*parts).numpy() - loops).max()


MLP, SELF = partial(FeedForward, 8, 32), partial(MultiHeadAttention, 8, 1)


@pytest.mark.parametrize(
    ("claim", "number", "measured", "mechanism", "broken"),
    [
        ("per-token-mlp", "linked", linked, MLP, SELF),
        ("per-token-mlp", "alone_or_not", one_by_one, MLP, SELF),
        ("mlp-parallel", "difference", one_by_one, MLP, SELF),
        ("linear-algebra", "bent", bent, partial(nn.Linear, 8, 8), MLP),
        ("information-flow", "linked", linked, SELF, partial(SELF, causal=True)),
        ("mixing-weights", "least", least, maths.softmax, lambda scores: scores),
        ("mixing-weights", "row_error", rows_off, maths.softmax, np.exp),
        ("softmax-importance", "row_error", rows_off, maths.softmax, partial(maths.softmax, axis=0)),
        ("weighted-sum", "difference", loops_off, attention, partial(attention, scale=1.0)),
        ("three-projections", "torch_off", loops_off, attention, lambda q, k, v: attention(q, q, v)),
    ],
)
def test_a_broken_construction_is_noticed(claim, number, measured, mechanism, broken):
    evidence = load()[claim].evidence[number]
    assert evidence.met(float(measured(mechanism)))
    assert not evidence.met(float(measured(broken)))
