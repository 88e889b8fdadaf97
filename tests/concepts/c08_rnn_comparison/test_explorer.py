"""The clock explorer without a browser: its settings, its words, its times."""

import re

import pytest
import torch
from explorers import ask, keeps_the_frame
from traitlets import TraitError

from course_lib.concepts.c08_rnn_comparison import explorer as clock_module
from course_lib.concepts.c08_rnn_comparison.explorer import ClockExplorer

WORDS = "the cat sat on the"  # 5


@pytest.fixture
def clock() -> ClockExplorer:
    return ClockExplorer(WORDS)


def test_times_are_those_of_the_clock(clock: ClockExplorer, monkeypatch) -> None:
    """The fastest round of each network counts; nothing is timed before somebody asks."""
    asked = []

    def alternate(functions, rounds):
        for function in functions:
            function()
        asked.append(rounds)
        return [[0.004, 0.002 * len(asked)], [0.001, 0.003], [0.016, 0.032125]]

    monkeypatch.setattr(clock_module, "alternate", alternate)
    assert clock.measured == clock_module.RECORDED
    assert ask(clock, "measure") == ""
    assert asked == [*clock_module.ROUNDS]
    found = clock.measured
    assert (found["lengths"], found["layers"], found["cores"]) == ([5, 80], 3, torch.get_num_threads())
    assert [row["ms"] for row in found["rows"]] == [[2, 4], [1, 1], [16, 16]]
    assert [row["name"] for row in found["rows"]] == [*clock_module.NAMES]
    # What was recorded once has the form of what is measured.
    assert found.keys() == clock_module.RECORDED.keys()
    assert [row.keys() for row in found["rows"]] == [row.keys() for row in clock_module.RECORDED["rows"]]


def test_the_networks_that_are_timed_have_equally_many_weights_in_a_layer() -> None:
    def weights(layers: int) -> list[int]:
        return [sum(p.numel() for p in model.parameters()) for model in clock_module._models(layers, 7)]

    for few, more in zip(weights(1), weights(2), strict=True):
        assert more - few == pytest.approx(clock_module.WEIGHTS, rel=0.02)


def test_as_many_words_are_timed_as_are_read(clock: ClockExplorer, monkeypatch) -> None:
    monkeypatch.setattr(clock_module, "ROUNDS", (1, 1))
    clock.text, clock.layers = "w " * 13, 1
    clock.measure()
    assert clock.measured["lengths"] == [12, 192]
    assert all(ms > 0 for row in clock.measured["rows"] for ms in row["ms"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text", "", "The text is empty"),
        ("text", " \n", "The text has no word: type one."),
        ("text", "w" * 2001, "The text has 2,001 characters, the explorer takes 2,000: shorten it."),
        ("text", 3, "text"),
        ("layers", 5, "layers"),
        ("layers", 0, "layers"),
        ("processors", 0, "processors"),
        ("processors", 13, "processors"),
        ("mode", "dreaming", "any of"),
        ("tick", -1, "tick"),
    ],
)
def test_settings_that_there_are_not(clock: ClockExplorer, name: str, value: object, message: str) -> None:
    before = getattr(clock, name)
    with pytest.raises((ValueError, TraitError), match=re.escape(message)):
        setattr(clock, name, value)
    assert getattr(clock, name) == before
    with pytest.raises((ValueError, TraitError), match=re.escape(message)):
        ClockExplorer(**{name: value})


def test_it_keeps_the_frame(clock: ClockExplorer) -> None:
    assert keeps_the_frame(clock, "timetable", "explorer")
