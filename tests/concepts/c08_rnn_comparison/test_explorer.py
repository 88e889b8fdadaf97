"""The clock explorer without a browser: every number is the library's, every question is answered."""

import re

import pytest
import torch
from explorers import ask, keeps_the_frame
from traitlets import TraitError

from course_lib import costs
from course_lib.concepts.c08_rnn_comparison import explorer as clock_module
from course_lib.concepts.c08_rnn_comparison.explorer import ClockExplorer

WORDS = "the cat sat on the"  # 5
WAITING = {"recurrent": costs.recurrent_cells, "transformer": costs.attention_cells}


@pytest.fixture
def clock() -> ClockExplorer:
    return ClockExplorer(WORDS)


@pytest.mark.parametrize("mode", ["reading", "writing"])
@pytest.mark.parametrize("layers", clock_module.LAYERS)
def test_every_setting_is_scheduled_at_once(clock: ClockExplorer, layers: int, mode: str) -> None:
    plan = clock.plans[f"{layers},{mode}"]
    cells = [(layer, token) for layer in range(layers) for token in range(5)]
    for way, waiting in WAITING.items():
        waits_for = waiting(5, layers, writing=mode == "writing")
        assert [[cells[i] for i in needed] for needed in plan[way]["waits"]] == [waits_for[c] for c in cells]
        for processors in clock_module.PROCESSORS:
            ticks = costs.timetable(waits_for, processors)
            assert plan[way]["ticks"][str(processors)] == [ticks[cell] for cell in cells]
            percent = 100 * len(cells) / (processors * max(ticks.values()))
            assert plan[way]["end"][str(processors)] == (
                f"Done after {max(ticks.values())} ticks. "
                f"The processors were at work for {percent:.0f} % of the time."
            )


def test_what_a_box_needs_is_said(clock: ClockExplorer) -> None:
    reading, writing = clock.plans["2,reading"], clock.plans["2,writing"]
    assert reading["recurrent"]["needs"][7] == "needs layer 0 of sat and layer 1 of cat."
    assert reading["transformer"]["needs"][7] == "needs layer 0 of the (1), cat, sat."
    assert writing["transformer"]["needs"][4] == "needs layer 1 of on, which writes this word."
    assert writing["transformer"]["needs"][0] == "needs only its word."


def test_times_are_those_of_the_clock(clock: ClockExplorer, monkeypatch) -> None:
    """The fastest round of each network counts; nothing is timed before somebody asks."""
    asked = []

    def alternate(functions, rounds):
        for function in functions:
            function()
        asked.append(rounds)
        return [[0.004, 0.002 * len(asked)], [0.001, 0.003], [0.016, 0.032]]

    monkeypatch.setattr(clock_module, "alternate", alternate)
    assert clock.measured == {}
    clock.measure()
    assert asked == [*clock_module.ROUNDS]
    found = clock.measured["5,3"]
    assert found["heads"] == ["5 words", "80 words"]
    rows = [["RNN, written as a loop", "2.0", "4.0"], ["LSTM, fused", "1.0", "1.0"], ["GPT", "16.0", "16.0"]]
    assert found["rows"] == rows
    first = ["With 5 words the loop takes 2.0 times", "LSTM and 0.1 times"]
    second = ["With 80 words the loop takes 4.0 times", "LSTM and 0.2 times"]
    for said in [*first, *second, clock_module.SIZES]:
        assert said in found["ratio"]
    listed = "; ".join(f"{name} {short} and {long}" for name, short, long in rows)
    assert found["text"] == f"Milliseconds for 5 words and 80 words: {listed}. {found['ratio']}"


def test_the_timed_networks_are_of_one_size() -> None:
    """As many parameters in a layer, and each run is forward and backward through all of them."""
    layers = {}
    for n_layers in (2, 3):
        models = clock_module._models(n_layers, 80)
        layers[n_layers] = [sum(p.numel() for p in model.parameters()) for model in models.values()]
        for model in models.values():
            clock_module._forward_and_backward(model, torch.arange(7)[None])()
            assert all(parameter.grad is not None for parameter in model.parameters())
    for few, more in zip(layers[2], layers[3], strict=True):
        assert more - few == pytest.approx(33_000, rel=0.02)


def test_other_words_put_the_clock_back(clock: ClockExplorer) -> None:
    clock.tick, clock.guess, clock.ended = 2, 3, ["3,reading,12"]
    assert ask(clock, "text", text="a b " * 7) == ""
    assert clock.state["words"] == [*"abababababab"]
    assert clock.state["note"] == "Too long for one picture: 12 of 14 words are read."
    assert (clock.tick, clock.guess, clock.ended) == (0, 0, [])
    clock.text = "word"
    assert clock.state["note"] == ""


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text", {"text": ""}, "The text is empty"),
        ("text", {"text": " \n"}, "The text has no word: type one."),
        ("measure", {"layers": 5}, "layers must be one of [2, 3, 4]; got 5."),
    ],
)
def test_a_bad_question_about_the_clock_changes_nothing(
    clock: ClockExplorer, kind: str, fields: dict, message: str
) -> None:
    before = (clock.text, clock.plans, clock.measured)
    assert message in ask(clock, kind, **fields)
    assert (clock.text, clock.plans, clock.measured) == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers", 5, "any of"),
        ("processors", 0, "any of"),
        ("mode", "dreaming", "any of"),
        ("tick", -1, "tick"),
        ("ended", ["3,reading,5"], "ended holds settings such as '3,reading,12'; got '3,reading,5'."),
    ],
)
def test_settings_without_a_plan(clock: ClockExplorer, name: str, value: object, message: str) -> None:
    with pytest.raises((ValueError, TraitError), match=re.escape(message)):
        setattr(clock, name, value)


@pytest.mark.parametrize(("tick", "told"), [(0, []), (3, ["4,writing,2"])])
def test_what_the_clock_has_told_is_not_asked(tick: int, told: list[str]) -> None:
    assert ClockExplorer(WORDS, layers=4, processors=2, mode="writing", tick=tick).told == told


def test_it_keeps_the_frame(clock: ClockExplorer) -> None:
    assert keeps_the_frame(clock)
