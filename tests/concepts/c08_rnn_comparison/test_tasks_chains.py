"""The tasks on chains: what their solutions promise, what is said, the race at the end."""

from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import pairwise

import pytest
import torch
from task_cases import cases_of
from torch import nn

import course_lib.concepts.c08_rnn_comparison.tasks.recall_race as recall_race_task
from course_lib import costs
from course_lib.checks import examine, find_task, tasks
from course_lib.concepts.c08_rnn_comparison.answers.linear_scan import (
    Hidden,
    beside_the_graph,
    doubling,
    looped_into,
    straight_through,
    through_numpy,
)
from course_lib.concepts.c08_rnn_comparison.answers.longest_chain import in_waves
from course_lib.concepts.c08_rnn_comparison.answers.recall_race import (
    Encoder,
    OneLayer,
    causal,
    frozen,
    open_lstm,
)
from course_lib.concepts.c08_rnn_comparison.answers.truncated_loss import piece_by_piece
from course_lib.concepts.c08_rnn_comparison.tasks.longest_chain import longest_chain
from course_lib.concepts.c08_rnn_comparison.tasks.recall_race import (
    VOCABULARY,
    given_lstm,
    looked_at,
    lstm_shares,
    questions,
)
from course_lib.concepts.c08_rnn_comparison.tasks.truncated_loss import truncated_loss
from course_lib.recurrent import RecurrentLM, linear_recurrence

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("08_rnn_comparison", 3)


def problem(task, answer):
    return examine(replace(find_task(f"08_rnn_comparison/{task}"), finale=None), answer).problem


# ------------------------------------------------------------------------------------ references and inputs


def test_the_longest_chain_is_as_long_as_waves_are_many():
    for case in cases("longest_chain"):
        assert longest_chain(case.inputs["waits_for"]) == in_waves(case.inputs["waits_for"])


def test_one_graph_is_too_deep_to_call_itself_and_one_has_too_many_paths():
    graphs = {case.name: case.inputs["waits_for"] for case in cases("longest_chain", 1)}
    assert longest_chain(graphs["2,000 in a row"]) == 2000
    paths = {}
    for name in TopologicalSorter(graphs["many paths"]).static_order():
        paths[name] = sum(paths[other] for other in graphs["many paths"][name]) or 1
    assert sum(paths.values()) > 2**40


def test_without_a_cut_the_loss_is_that_of_torchs_layer():
    """With pieces as long as the text; its gradients too."""
    for case in cases("truncated_loss"):
        x, targets, w, u, _ = case.inputs.values()
        x, targets, w, u = (value.double().requires_grad_() for value in (x, targets, w, u))
        layer = nn.RNN(len(w), len(u), bias=False, batch_first=True).double()
        weights = {"weight_ih_l0": w.mT, "weight_hh_l0": u.mT}
        states, _ = torch.func.functional_call(layer, weights, (x,))
        expected = (states - targets).square().sum()
        loss = truncated_loss(x, targets, w, u, x.shape[1])
        torch.testing.assert_close(loss, expected)
        got, wanted = (torch.autograd.grad(value, (x, w, u)) for value in (loss, expected))
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("k", [2, 3])
def test_an_error_reaches_no_further_back_than_its_piece(k):
    x = torch.randn(1, 7, 2, requires_grad=True)
    w, u = torch.randn(2, 3), torch.randn(3, 3)
    targets = torch.zeros(1, 7, 3)
    targets[:, 4] = torch.nan  # the error of token 4 alone makes gradients NaN
    truncated_loss(x, targets, w, u, k).backward()
    reached = x.grad[0].isnan().any(-1).nonzero().flatten().tolist()
    assert reached == list(range(4 // k * k, 5))


def test_a_scan_gives_the_states_of_a_loop():
    scan = find_task("08_rnn_comparison/linear_scan").reference
    for case in cases("linear_scan"):
        a, b = (value.double() for value in case.inputs.values())
        states, chain = scan(a, b)
        torch.testing.assert_close(states, linear_recurrence(a, b), rtol=1e-9, atol=1e-9)
        assert chain == 0


def test_a_chain_grows_with_the_logarithm_in_a_scan_and_with_the_length_in_a_loop():
    def chains(function):
        found = []
        for n in (64, 128, 256, 512):
            a, b = (torch.rand(1, n, 2).requires_grad_() for _ in range(2))
            found.append(costs.longest_chain(function(a, b)))
        return found

    scan, loop = chains(tasks.exercise("08_rnn_comparison/linear_scan").answer), chains(linear_recurrence)
    assert len({after - before for before, after in pairwise(scan)}) == 1  # a round more each time
    assert scan[-1] < 64
    assert all(1.9 < after / before < 2.1 for before, after in pairwise(loop))
    assert loop[-1] > 2 * 511


def test_a_text_of_the_race_asks_for_its_first_token():
    ids, answers = questions(50, 5, 17, torch.Generator().manual_seed(0))
    assert ids.shape == (50, 6)
    assert torch.equal(ids[:, 0], answers)
    assert set(answers.tolist()) == set(range(1, 9))
    assert set(ids[:, 1:-1].flatten().tolist()) == set(range(9, 17))
    assert (ids[:, -1] == 0).all()


# ------------------------------------------------------------------------------------------- what is said


def looped(a, b):
    states = [b[:, 0]]
    for t in range(1, a.shape[1]):
        states.append(a[:, t] * states[-1] + b[:, t])
    return torch.stack(states, dim=1)


def test_a_loop_is_refused_though_its_states_are_right():
    result = examine(find_task("08_rnn_comparison/linear_scan"), looped)
    assert result.misconception == "step after step"
    assert result.case.name == "many tokens"


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("linear_scan", through_numpy, "The chain cannot be counted, because torch has not recorded"),
        ("linear_scan", beside_the_graph, "The results are right, but the gradient of a is not"),
        ("linear_scan", straight_through, "No gradient of a arrives"),
        ("linear_scan", Hidden.apply, "The chain cannot be counted, because a torch.autograd.Function hides"),
        ("linear_scan", lambda a, b: doubling(a, b) + 1, "The first state is not b of the first token"),
        ("truncated_loss", lambda *given: piece_by_piece(*given).detach(), "No gradient of x arrives"),
        ("longest_chain", lambda waits_for: None, "It returns None"),
        (
            "recall_race",
            lambda vocab_size: None,
            "The function must return a torch.nn.Module; it returns None",
        ),
        ("recall_race", frozen, "The model has no parameters that can learn."),
        (
            "recall_race",
            lambda vocab_size: OneLayer(17, causal),
            "For 11 tokens and ids (8, 5) the scores have shape (8, 5, 17), expected (8, 5, 11).",
        ),
        (
            "recall_race",
            lambda vocab_size: OneLayer(vocab_size, lambda q, k, v: v / 0),
            "Some scores are infinite",
        ),
    ],
)
def test_what_cannot_be_judged_is_said(task, answer, said):
    assert problem(task, answer).startswith(said)


def test_the_hidden_loop_is_right_but_hidden():
    """So what refuses it is what the task says of a Function, and neither its states nor its gradients."""
    values = [torch.rand(2, 7, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.equal(Hidden.apply(*values), looped_into(*values))
    assert torch.autograd.gradcheck(Hidden.apply, values)


def test_graphs_that_never_end_are_stopped():
    def every_path(waits_for):
        def length(name):
            return 1 + max(map(length, waits_for[name]), default=0)

        return max(map(length, waits_for))

    task = find_task("08_rnn_comparison/longest_chain")
    assert examine(task, every_path, seconds=0.2).problem.startswith("It took longer than 0.2 s")


# ------------------------------------------------------------------------------------------------- the race


@pytest.fixture
def quick_lstm(monkeypatch):
    """The LSTM need not be trained where only the learner's model counts."""
    monkeypatch.setattr(recall_race_task, "lstm_shares", lambda: (0.4, 0.2, 0.2))


@pytest.mark.usefixtures("quick_lstm")
def test_both_are_shown_side_by_side():
    """An LSTM that begins with its gate open learns to answer, as the text says."""
    result = examine(find_task("08_rnn_comparison/recall_race"), open_lstm)
    assert result.passed
    lines = result.detail.splitlines()
    assert lines[0] == "250 steps of 32 texts each; chance is 12.5%."
    assert lines[1].split() == ["tokens", "back", "LSTM", "yours"]
    assert [line.split()[0] for line in lines[2:]] == ["8", "16", "64"]
    assert lines[-1].split()[1] == "20%"


@pytest.mark.parametrize(
    ("shares", "passes"), [((1.0, 1.0, 0.61), True), ((1.0, 1.0, 0.59), False), ((1.0, 0.2, 0.13), False)]
)
@pytest.mark.usefixtures("quick_lstm")
def test_who_answers_too_few_is_refused(shares, passes, monkeypatch):
    monkeypatch.setattr(recall_race_task, "trained", lambda make: shares)
    result = examine(find_task("08_rnn_comparison/recall_race"), lambda v: OneLayer(v, causal))
    assert result.passed == passes
    if not passes:
        assert result.problem.startswith("Asked for what was said 64 tokens ago, your model is right in")
        assert result.problem.endswith("8 tokens back it is right in 100%.")


def test_the_given_lstm_is_what_the_text_says_and_far_from_the_target():
    model = given_lstm(VOCABULARY)
    assert isinstance(model, RecurrentLM)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_880
    assert lstm_shares()[-1] < 0.4  # chance is 0.125, the target 0.6


def test_the_same_numbers_come_each_time_and_nothing_of_torchs_is_moved():
    before = torch.get_rng_state()
    look = looked_at(Encoder)
    assert look(17, 3) == look(17, 3) == find_task("08_rnn_comparison/recall_race").reference(17, 3)
    assert torch.equal(torch.get_rng_state(), before)
