"""The experiments of notebook 00, from another seed and with something broken; what they are made of."""

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
import torch
from judged import judged
from scipy.stats import ttest_1samp
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from course_lib.blocks import TransformerStack
from course_lib.claims import Label
from course_lib.concepts.c00_overview import experiments
from course_lib.concepts.c00_overview.experiments import ClsNeeded, ClsToken, Reading, TrainingUpdatesBoth
from course_lib.decoder import GPT, LlamaConfig

SEED = 11


def learns_nothing(model: nn.Module, seed: int, steps: int, rate: float = 0.0) -> None:
    """In the place of training."""


# ------------------------------------------------------------------------------------------ the reviews


@pytest.fixture(scope="module")
def reading(loaded_smollm2) -> Reading:
    return experiments.read_reviews(loaded_smollm2)


@pytest.fixture(scope="module")
def nothing_read(reading) -> Reading:
    """As if every layer gave on what it got."""
    return replace(reading, last=np.repeat(reading.last[:, :1], 7, axis=1))


def test_better_and_better(smollm2, reading):
    found = experiments.better_and_better(smollm2, SEED, cuts=2, reading=reading)
    assert judged("better-and-better", found) == (Label.ONLY_IF, [])
    # What the notebook says beside it.
    assert max(cut[0] for cut in found.last) < 0.55  # a full stop, before it has read anything
    by_mean = [mean(cuts) for cuts in zip(*found.mean, strict=True)]
    assert abs(by_mean[0] - mean(found.counted)) < 0.08  # the mean of the words' vectors is a count of words
    assert by_mean[3] - by_mean[6] > 0.03  # and loses towards the end
    assert found.nearly == 15


def test_where_layers_do_nothing_nothing_gets_better(smollm2, nothing_read):
    found = experiments.better_and_better(smollm2, SEED, cuts=1, reading=nothing_read)
    label, missed = judged("better-and-better", found)
    assert label == Label.WRONG
    assert "middle" in missed


def test_untrained_layers_tell_less_than_counting(smollm2):
    sizes = {"vocab_size": 49152, "max_seq_len": 100, "d_model": 48, "n_layers": 30, "n_heads": 4}
    found = experiments.better_and_better((GPT(LlamaConfig(**sizes)), smollm2[1]), SEED, cuts=1)
    label, missed = judged("better-and-better", found)
    assert label == Label.WRONG
    assert {"middle", "peak", "gain"} <= set(missed)


def test_many_tasks(smollm2, reading):
    found = experiments.many_tasks(smollm2, SEED, cuts=2, reading=reading)
    assert judged("many-tasks", found).label == Label.ONLY_IF
    legible = replace(found, parity=found.sentiment)
    assert judged("many-tasks", legible).label == Label.TRUE
    assert found == experiments.many_tasks(smollm2, SEED, cuts=2, reading=reading)
    assert found != experiments.many_tasks(smollm2, SEED + 1, cuts=2, reading=reading)


def test_vectors_that_have_read_nothing_tell_less_than_counting(smollm2, nothing_read):
    found = experiments.many_tasks(smollm2, SEED, cuts=1, reading=nothing_read)
    label, missed = judged("many-tasks", found)
    assert label == Label.WRONG
    assert {"sentiment_gain", "topic_gain"} <= set(missed)


def test_each_label_is_read_best_at_another_depth(reading):
    """The topic after the last layer (48 %; after layer 15 22 %), sentiment half way up already."""
    at = {
        (question, depth): experiments.held_out(
            experiments.head(), reading.last[:, depth], experiments.labels(question), SEED
        )
        for question in ("positive", "topic")
        for depth in (3, 6)
    }
    assert at["topic", 6] > at["topic", 3] + 0.1
    assert at["positive", 3] > at["positive", 6] - 0.03


# ------------------------------------------------------------------------------------------ by construction


@pytest.mark.parametrize(
    ("make", "label"),
    [
        (lambda d: TransformerStack(d, n_layers=2, n_heads=4), Label.TRUE),
        (lambda d: nn.Conv1d(7, 7, kernel_size=2), Label.WRONG),  # shortens each vector
    ],
)
def test_same_shape_out(make, label):
    sizes = [(n, d) for n in (1, 2, 3) for d in (4, 12, 28, 36, 44)]
    vectors = [torch.randn(n, 7, d) for n, d in sizes]
    kept = mean(float(make(x.shape[-1])(x).shape == x.shape) for x in vectors)
    assert judged("same-shape-out", cases=120, kept_share=kept).label == label


@pytest.mark.parametrize(
    ("make", "label"),
    [(experiments.head, Label.TRUE), (lambda: KNeighborsClassifier(3), Label.WRONG)],  # this one has bends
)
def test_linear_head(reading, make, label):
    vectors, positive = reading.last[:, 3], experiments.labels("positive")
    held = np.arange(len(positive)) % 5 == 1
    line = experiments.head().fit(vectors[~held], positive[~held])
    called = make().fit(vectors[~held], positive[~held]).predict(vectors[held])
    side = line[0].transform(vectors[held]) @ line[1].coef_[0] + line[1].intercept_[0] > 0
    numbers = {"asked": len(called), "wrong_side": (side != called).sum(), "right": 0.8}
    assert judged("linear-head", **numbers).label == label


# ------------------------------------------------------------------------------------------ a direction


def test_counting_pairs_tells_the_direction_and_counting_words_cannot():
    found = experiments.pairs_counted()
    assert found.right > 0.95
    assert found.n_pairs > 10_000
    learn, *_ = experiments.sentences()
    ids, labels = experiments.examples(learn[:5], "mean")
    forwards, backwards = (ids[labels == label].sort(1).values for label in (0, 1))
    assert torch.equal(forwards, backwards)


def test_each_sentence_runs_forwards_and_then_backwards_with_cls_where_it_is_wanted():
    learn, _, cls = experiments.sentences()
    for place, words in (("start", slice(1, 13)), ("end", slice(0, 12)), ("mean", slice(0, 12))):
        ids, labels = experiments.examples(learn[:3], place)
        assert torch.equal(ids[:3, words], learn[:3])
        assert torch.equal(ids[3:, words], learn[:3].flip(1))
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert (ids == cls).sum() == (0 if place == "mean" else 6)
    assert (experiments.examples(learn[:3], "start")[0][:, 0] == cls).all()


# ------------------------------------------------------------------------------------------ what learns


@pytest.fixture(scope="module")
def parts() -> TrainingUpdatesBoth:
    return experiments.training_updates_both(SEED)


def test_training_updates_both(parts):
    assert judged("training-updates-both", parts) == (Label.NOT_ONLY_WAY, [])


def test_a_random_body_that_has_not_learned_by_then_is_no_match(parts):
    slow = dict.fromkeys(parts.by_rate["the body"], parts.parts["the body"])
    found = replace(parts, by_rate={**parts.by_rate, "the body": slow})
    assert judged("training-updates-both", found).missed == ["late"]


def test_each_side_has_its_best_rate(parts):
    rates = {"nothing": {0.003: (0.7,), 0.01: (0.8,)}, "the body": {0.003: (0.75,), 0.01: (0.65,)}}
    assert replace(parts, by_rate=rates).late == pytest.approx(-0.05)


def test_the_full_model_goes_on_to_learn(parts):
    """To about 81 %, as the notebook says, while the one around a random body caught up."""
    assert 0.77 < np.mean(parts.longer["nothing"]) < 0.86


def test_where_training_does_nothing_it_is_wrong_that_it_does():
    found = experiments.training_updates_both(SEED, starts=1, train=learns_nothing)
    label, missed = judged("training-updates-both", found)
    assert label == Label.WRONG
    assert set(missed) == {"full", "no_body", "short"}


def test_frozen_parts_stay_and_the_others_learn():
    kept = []

    def remembered(model: nn.Module, seed: int, steps: int) -> None:
        start = {name: weight.clone() for name, weight in model.state_dict().items()}
        experiments.train(model, seed, steps)
        kept.append((start, model.state_dict()))

    before = torch.get_rng_state()
    experiments.trained(SEED, steps=2, frozen=("body",), train=remembered)
    ((start, now),) = kept
    moved = {name for name in now if not torch.equal(start[name], now[name])}
    assert moved == {name for name in start if not name.startswith("body.")}
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------------------------ cls-token


@pytest.fixture(scope="module")
def places() -> ClsToken:
    return experiments.cls_token(SEED)


def test_cls_token(places):
    assert judged("cls-token", places) == (Label.NOT_ONLY_WAY, [])


def test_a_mask_that_hides_nothing_is_no_causal_mask(places):
    broken = replace(places, shares=places.shares | {(True, "start"): places.shares[False, "start"]})
    assert judged("cls-token", broken).label == Label.NOT_TESTED


def test_where_start_and_mean_read_nothing_it_takes_the_token_at_the_end(places):
    """As if the open body were causal, and the mean were that of the first token alone."""
    nothing = places.shares[True, "start"]
    blind = {(False, "start"): nothing, (False, "mean"): nothing, (True, "mean"): nothing}
    assert judged("cls-token", replace(places, shares=places.shares | blind)).label == Label.TRUE


def test_there_is_no_difference_where_both_one_sided_tests_say_so():
    some = [0.01, -0.02, 0.015, 0.03, -0.005]
    margin = experiments.farthest(some)
    tests: list[Callable] = [
        lambda: ttest_1samp(some, margin, alternative="less"),
        lambda: ttest_1samp(some, -margin, alternative="greater"),
    ]
    assert max(test().pvalue for test in tests) == pytest.approx(0.05)
    assert margin > abs(mean(some))
    assert experiments.farthest(some[:1]) == math.inf


# ------------------------------------------------------------------------------------------ cls-needed


@pytest.fixture(scope="module")
def without_token() -> ClsNeeded:
    return experiments.cls_needed(SEED, starts=1)


def test_cls_needed(without_token):
    assert judged("cls-needed", without_token) == (Label.WRONG, ["needed"])


def test_where_the_mean_reads_nothing_a_token_is_needed(without_token):
    blind = replace(without_token, pooled={False: (0.5,), True: (0.5,)})
    assert judged("cls-needed", blind).label == Label.TRUE


def test_where_the_token_reads_nothing_its_need_is_not_tested(without_token):
    blind = replace(without_token, token={False: (0.5,), True: (0.5,)})
    assert judged("cls-needed", blind).label == Label.NOT_TESTED


# ------------------------------------------------------------------------------------------ other sizes


def test_other_sizes_follow_the_seed():
    def run(seed: int) -> tuple[TrainingUpdatesBoth, ClsToken, ClsNeeded]:
        both = experiments.training_updates_both(seed, starts=1, steps=1, longer=2)
        needed = experiments.cls_needed(seed, starts=1, steps=1, longer=2)
        return both, experiments.cls_token(seed, starts=1, steps=1), needed

    assert run(3) == run(3) != run(5)
