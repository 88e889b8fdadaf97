"""Judge answers to the exercises, and record what was judged: the end of the run says how many."""

import pytest
from task_cases import HIDDEN, VISIBLE, without_finale

from course_lib.checks import examine, find_task, real_model
from course_lib.pretrained import MissingModelError


@pytest.fixture(autouse=True)
def as_a_learner_runs_it(own_errors):
    """Without the type checker, which would look at each of a million calls within the engine."""


@pytest.fixture
def accepts(record_property):
    """Assert that a correct answer is accepted, whatever the inputs, and where it is asked for to the end."""

    def judge(task, answer, finale=False):
        tried = [(without_finale(task), VISIBLE), (without_finale(task), HIDDEN[0])]
        if finale and find_task(task).finale:
            tried.append((find_task(task), VISIBLE))
        for whole, seed in tried:
            result = examine(whole, answer, seed=seed)
            assert result.passed, f"seed {seed}, {result.case}: {result.problem} {result.detail}"
        record_property("task", task)
        record_property("answer", "right")

    return judge


@pytest.fixture
def refuses(record_property):
    """Assert that a wrong answer is refused by its name (None: it has none), and that something is said."""

    def judge(task, answer, name, seed=VISIBLE):
        result = examine(without_finale(task), answer, seed=seed)
        if result.passed and find_task(task).finale:  # some mistakes show in the real model alone
            result = examine(find_task(task), answer, seed=seed)
        assert not result.passed
        assert result.misconception == (name or ""), f"seed {seed}, {result.case}: {result.problem}"
        assert result.problem
        record_property("task", task)
        record_property("answer", "named" if name else "refused")

    return judge


@pytest.fixture
def smollm2_at_hand(smollm2, monkeypatch):
    """A check that ends in SmolLM2 gets the one that other tests use too."""
    monkeypatch.setattr(real_model, "smollm2", lambda: smollm2)


@pytest.fixture
def minilm_at_hand(minilm, monkeypatch):
    """As `smollm2_at_hand`."""
    monkeypatch.setattr(real_model, "minilm", lambda: minilm)


def not_installed(name):
    """What loads a model where it is not installed."""

    def load():
        raise MissingModelError(f"{name} is not installed; from the course folder run: this")

    return load


@pytest.fixture
def smollm2_missing(monkeypatch):
    """As where SmolLM2 is not installed."""
    monkeypatch.setattr(real_model, "smollm2", not_installed("SmolLM2"))


@pytest.fixture
def minilm_missing(monkeypatch):
    """As where MiniLM is not installed."""
    monkeypatch.setattr(real_model, "minilm", not_installed("MiniLM"))
