"""The warm-up: what its inputs promise, the naive softmax of the notebook, and the real model at its end."""

import numpy as np
import pytest

from course_lib.checks import examine, find_task, tasks
from course_lib.concepts.c00_overview.answers.sampler import sampler_by_rows
from course_lib.concepts.c00_overview.answers.temperature_softmax import bare
from course_lib.concepts.c00_overview.tasks.sampler import N_LIKELIEST, SETTINGS, sampler

pytestmark = pytest.mark.usefixtures("own_errors")


def found(task, learner, **options):
    return examine(find_task(f"00_overview/{task}"), learner, **options)


def test_it_takes_at_most_half_an_hour_and_each_task_3_to_8_minutes():
    minutes = [task.minutes for task in tasks.words("00_overview").values()]
    assert sum(minutes) <= 30
    assert all(3 <= n <= 8 for n in minutes)


@pytest.mark.parametrize("task", ["top_k", "sampler"])
def test_no_two_logits_of_a_row_tie(task):
    for seed in range(100):
        for case in find_task(f"00_overview/{task}").cases(np.random.default_rng(seed)):
            logits = np.sort(case.inputs["logits"], axis=-1)
            assert (np.diff(logits) > 0).all(), (seed, case.name)


@pytest.mark.parametrize("kept", ["first", "last", "all"])
def test_whatever_is_kept_of_a_tie_is_right(kept):
    """The text leaves it open, so no input may ask for it."""

    def answer(logits, k):
        order = np.arange(logits.shape[-1]) * {"first": -1, "last": 1, "all": 0}[kept]
        rank = (logits[..., None, :] > logits[..., None]) | (
            (logits[..., None, :] == logits[..., None]) & (order > order[:, None])
        )
        return np.where(rank.sum(-1) < k, logits, -np.inf)

    ties = answer(np.array([3.0, 1.0, 1.0]), 2)
    assert np.isfinite(ties).tolist() == [True, kept != "last", kept != "first"]
    for seed in range(3):
        assert found("top_k", answer, seed=seed).passed


# The notebook shows the first and asks to mend it; each step on the way has a sentence of its own.
@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x, t: np.exp(x) / t / (np.exp(x) / t).sum(), "temperature behind exp, one sum for all"),
        (lambda x, t: np.exp(x) / t / (np.exp(x) / t).sum(-1, keepdims=True), "temperature without effect"),
        (lambda x, t: np.exp(x / t) / np.exp(x / t).sum(), "softmax over everything"),
        (lambda x, t: np.exp(x / t) / np.exp(x / t).sum(-1), "keepdims forgotten, nothing subtracted"),
        (lambda x, t: bare(x / t), "overflow"),
        (lambda x, t: bare(x / t - (x / t).max()), "one maximum for all rows"),
    ],
)
def test_the_way_from_the_naive_softmax_to_the_right_one(answer, name):
    for seed in range(3):
        assert found("temperature_softmax", answer, seed=seed).misconception == name


# ------------------------------------------------------------------------------------------ in the real model


@pytest.fixture
def finale(smollm2_at_hand, monkeypatch):
    """What a learner's function makes the model write, in a few words, or why it does not."""
    monkeypatch.setattr("course_lib.concepts.c00_overview.tasks.sampler.N_TOKENS", 7)
    return lambda learner, **options: found("sampler", learner, **options)


def test_the_model_writes_once_for_each_setting_and_the_same_each_time(finale):
    pieces = []
    assert finale(sampler, hear=pieces.append).passed
    said = "".join(pieces)
    lines = [line for line in said.splitlines() if line.startswith("Temperature")]
    assert [line.split(": ")[0] for line in lines] == [
        f"Temperature {temperature:g}, {k} tokens to choose from" for temperature, k in SETTINGS
    ]
    texts = [line.split(": ", 1)[1] for line in lines]
    assert len(set(texts)) == len(texts)
    assert min(map(len, texts)) > 10
    assert len(pieces) > 20  # as it comes
    sizes = []

    def watched(logits, temperature, k):
        sizes.append(logits.shape)
        return sampler_by_rows(logits, temperature, k)

    assert finale(watched).detail == said
    assert (N_LIKELIEST,) in sizes
    assert max(sizes[-1]) > max(k for _, k in SETTINGS)


@pytest.mark.parametrize(
    "in_the_model",
    [
        lambda logits, temperature, k: sampler(logits, temperature, len(logits)),
        lambda logits, temperature, k: sampler(logits, temperature, k)[:-1],
        lambda logits, temperature, k: sampler(logits, temperature, k) * np.nan,
    ],
)
def test_a_function_that_is_wrong_in_the_model_alone_is_refused(finale, in_the_model):
    def answer(logits, temperature, k):
        return (sampler if logits.shape[-1] < 100 else in_the_model)(logits, temperature, k)

    result = finale(answer)
    assert result.problem == "From the real model's logits your function makes other chances than ours."
