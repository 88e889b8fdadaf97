"""Judge answers to the exercises, and record what was judged: the end of the run says how many."""

import pytest
from task_cases import HIDDEN, VISIBLE

from course_lib.checks import examine, find_task, real_model
from course_lib.pretrained import MissingModelError


@pytest.fixture(autouse=True)
def as_a_learner_runs_it(own_errors):
    """Without the type checker, which would look at each of a million calls within the engine."""


@pytest.fixture
def accepts(record_property):
    """Assert that a correct answer is accepted, whatever the inputs."""

    def judge(task, answer):
        # The real model has one question only.
        for seed in (VISIBLE,) if find_task(task).finale else (VISIBLE, HIDDEN[0]):
            result = examine(find_task(task), answer, seed=seed)
            assert result.passed, f"seed {seed}, {result.case}: {result.problem} {result.detail}"
        record_property("task", task)
        record_property("answer", "right")

    return judge


@pytest.fixture
def refuses(record_property):
    """Assert that a wrong answer is refused by its name (None: it has none), and that something is said."""

    def judge(task, answer, name):
        result = examine(find_task(task), answer, seed=VISIBLE)
        assert not result.passed
        assert result.misconception == (name or ""), f"{result.case}: {result.problem}"
        assert result.problem
        record_property("task", task)
        record_property("answer", "named" if name else "refused")

    return judge


@pytest.fixture
def smollm2_at_hand(smollm2, monkeypatch):
    """A check that ends in SmolLM2 gets the one that other tests use too."""
    monkeypatch.setattr(real_model, "smollm2", lambda: smollm2)


@pytest.fixture
def smollm2_missing(monkeypatch):
    """As where SmolLM2 is not installed."""

    def missing():
        raise MissingModelError("SmolLM2 is not installed; from the course folder run: this")

    monkeypatch.setattr(real_model, "smollm2", missing)


@pytest.fixture
def minilm_at_hand(minilm, monkeypatch):
    """As `smollm2_at_hand`."""
    monkeypatch.setattr(real_model, "minilm", lambda: minilm)


@pytest.fixture
def minilm_missing(monkeypatch):
    """As where MiniLM is not installed."""

    def missing():
        raise MissingModelError("MiniLM is not installed; from the course folder run: this")

    monkeypatch.setattr(real_model, "minilm", missing)
