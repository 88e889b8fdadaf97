"""The tasks on recurrence: what their solutions promise, and what is said of answers."""

import math

import numpy as np
import pytest
import torch
from task_cases import cases_of
from torch import nn

from course_lib import recurrent
from course_lib.checks import examine, find_task
from course_lib.concepts.c08_rnn_comparison.answers.gradient_over_distance import fading, right_norms
from course_lib.concepts.c08_rnn_comparison.answers.lstm_step import remembering
from course_lib.concepts.c08_rnn_comparison.answers.rnn_with_padding import padding
from course_lib.concepts.c08_rnn_comparison.tasks.gradient_over_distance import (
    LOGS,
    as_logs,
    gradient_over_distance,
)
from course_lib.concepts.c08_rnn_comparison.tasks.lstm_step import lstm_step
from course_lib.concepts.c08_rnn_comparison.tasks.rnn_step import rnn_step
from course_lib.concepts.c08_rnn_comparison.tasks.rnn_with_padding import rnn_with_padding

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("08_rnn_comparison", 3)


def wide(case):
    """The inputs of a case in float64."""
    return [value.double() if value.is_floating_point() else value for value in case.inputs.values()]


def weighted(network, *weights):
    """A module of torch with these weights, which holds a second bias, too."""
    with torch.no_grad():
        for parameter, weight in zip(network.parameters(), (*weights, 0 * weights[-1]), strict=True):
            parameter.copy_(weight)
    return network.double()


# ------------------------------------------------------------------------------------ references and inputs


def read_on(network, x, *state):
    """The state after these tokens, from a state."""
    return recurrent.unroll(network.step, x, state, network.all_weights)[1]


def test_a_step_of_an_rnn_is_torchs_and_the_librarys():
    for case in cases("rnn_step"):
        x, h, w, u, b = wide(case)
        found = rnn_step(x, h, w, u, b)
        cell = weighted(nn.RNNCell(w.shape[1], w.shape[0], dtype=torch.float64), w, u, b)
        torch.testing.assert_close(found, cell(x, h))
        if x.shape[1] == h.shape[1]:
            network = weighted(recurrent.RNN(len(b)).double(), w, u, b)
            torch.testing.assert_close(found, read_on(network, x[:, None], h[None])[0][0])


def test_a_step_of_an_lstm_is_torchs_and_the_librarys():
    for case in cases("lstm_step"):
        x, h, c, w, u, b = wide(case)
        found = lstm_step(x, h, c, w, u, b)
        cell = weighted(nn.LSTMCell(w.shape[1], u.shape[1], dtype=torch.float64), w, u, b)
        torch.testing.assert_close(found, cell(x, (h, c)))
        if x.shape[1] == h.shape[1]:
            network = weighted(recurrent.LSTM(u.shape[1]).double(), w, u, b)
            state = read_on(network, x[:, None], h[None], c[None])
            torch.testing.assert_close(found, tuple(part[0] for part in state))


def test_texts_with_padding_are_read_as_each_text_alone():
    """By torch's RNN, which gets no padding."""
    for case in cases("rnn_with_padding"):
        x, lengths, w, u, b = wide(case)
        network = weighted(nn.RNN(w.shape[1], w.shape[0], batch_first=True, dtype=torch.float64), w, u, b)
        outputs, last = rnn_with_padding(x, lengths, w, u, b)
        for row, n in enumerate(lengths.tolist()):
            assert not outputs[row, n:].any()
            expected = network(x[row : row + 1, :n])[0][0] if n else torch.zeros(0, len(b)).double()
            torch.testing.assert_close(outputs[row, :n], expected)
            torch.testing.assert_close(last[row], expected[-1] if n else torch.zeros(len(b)).double())


def test_the_norms_are_those_of_autograd():
    """By a small move of each state of the library's RNN, all at once."""
    for case in cases("gradient_over_distance"):
        x_part, u = wide(case)
        d = len(u)
        network = weighted(recurrent.RNN(d).double(), torch.eye(d), u, torch.zeros(d))
        found = gradient_over_distance(x_part, u)
        for distance in {1, len(x_part) // 2, len(x_part) - 1} - {0}:
            t = len(x_part) - distance
            state = network(x_part[None, :t])[1][0]

            matrix = torch.autograd.functional.jacobian(
                lambda h, rest=x_part[None, t:], network=network: read_on(network, rest, h)[0], state
            )
            expected = matrix.reshape(d, d).norm()
            torch.testing.assert_close(found[distance - 1], expected, rtol=1e-6, atol=0)


def test_far_back_next_to_nothing_is_left_and_still_it_is_compared():
    """A wrong number there shows, though it is far smaller than the rounding of the largest one."""
    far = next(case for case in cases("gradient_over_distance", 1) if case.name == "far back, float64")
    norms = gradient_over_distance(**far.inputs)
    assert norms[-1] < 1e-9 * norms[0]

    def off(x_part, u):
        right = right_norms(x_part, u)
        return torch.cat([right[:-1], 1.01 * right[-1:]]) if len(x_part) > 50 else right

    result = examine(find_task("08_rnn_comparison/gradient_over_distance"), off)
    assert result.case.name == "far back, float64"


def test_padding_holds_something_and_true_tokens_are_sometimes_zeros():
    some = list(cases("rnn_with_padding", 1))
    given = [(case.inputs["x"], case.inputs["lengths"]) for case in some]
    read = [torch.arange(x.shape[1]) < lengths[:, None] for x, lengths in given]
    zeros = [(case.inputs["x"] == 0).all(-1) for case in some]
    assert any((~reads & ~zero).any() for reads, zero in zip(read, zeros, strict=True))
    assert any((reads & zero).any() for reads, zero in zip(read, zeros, strict=True))
    lengths = [case.inputs["lengths"].tolist() for case in some]
    assert any(0 in row and max(row) > 0 for row in lengths)
    assert any(max(row) < case.inputs["x"].shape[1] for row, case in zip(lengths, some, strict=True))


# ------------------------------------------------------------------------------------------- what is said


def problem(task, answer):
    result = examine(find_task(f"08_rnn_comparison/{task}"), answer)
    assert not result.misconception
    return result.problem


def test_a_state_beyond_tanh_is_said():
    said = problem("rnn_step", lambda x, h, w, u, b: 2 * torch.tanh(x @ w.T + h @ u.T + b))
    assert said.startswith("A number of a state has size ")
    assert said.endswith("tanh gives at most 1.")


def test_outputs_at_padding_are_said():
    def answer(x, lengths, w, u, b):
        outputs, last = rnn_with_padding(x, lengths, w, u, b)
        reads = torch.arange(x.shape[1]) < lengths[:, None]
        return torch.where(reads[..., None], outputs, 0.5), last

    said = problem("rnn_with_padding", answer)
    assert said == (
        "Row 0 has length 2, but its output in column 2 is not 0: after the end outputs are zeros."
    )


def test_the_last_state_of_an_empty_text_is_said():
    def answer(x, lengths, *weights):
        outputs, last = padding()(x, lengths, *weights)
        return outputs, torch.where((lengths > 0)[:, None], last, 0.5)

    said = problem("rnn_with_padding", answer)
    assert said.endswith("has length 0, so nothing is read: its last state is the start, zeros.")


def test_a_cell_that_grows_too_fast_is_said():
    def answer(x, h, c, *weights):
        shown, now = remembering()(x, h, c, *weights)
        return shown, now + 3

    said = problem("lstm_step", answer)
    assert "Gates let through a part, and tanh gives at most 1, so it can be no larger than |c| + 1" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fading(norm=lambda matrix: 2 * matrix.norm()), "The first number is wrong already"),
        (
            lambda x, u: right_norms(x, u) / 2 ** torch.arange(len(x) - 1),
            "Right up to distance 1, then wrong",
        ),
    ],
)
def test_how_far_the_norms_are_right_is_said(answer, said):
    assert problem("gradient_over_distance", answer).startswith(said)


def test_norms_are_read_as_logarithms_however_they_come():
    for answer in ([1, 100], torch.tensor([1.0, 100.0]), np.array([1.0, 100.0])):
        np.testing.assert_allclose(as_logs(answer)[LOGS], [0, 2], atol=1e-6)
    nothing = as_logs([0.0, -1.0])[LOGS]
    assert nothing[0] == -math.inf
    assert math.isnan(nothing[1])


@pytest.mark.parametrize(
    ("task", "answer", "name"),
    [
        (
            "rnn_step",
            lambda x, h, w, u, b: torch.rnn_tanh_cell(x, h, w, u, b, 0 * b),
            "torch.rnn_tanh_cell",
        ),
        (
            "lstm_step",
            lambda x, h, c, w, u, b: torch.lstm_cell(x, (h, c), w, u, b, 0 * b),
            "torch.lstm_cell",
        ),
    ],
)
def test_ready_made_cells_are_forbidden(task, answer, name):
    assert problem(task, answer).startswith(f"It calls {name}, which does the task for you")
