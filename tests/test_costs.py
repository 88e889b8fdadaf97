"""Rounds alternate, bytes are counted exactly, exponents are slopes."""

from types import SimpleNamespace

import pytest
import torch

from course_lib import costs
from course_lib.attention import scaled_dot_product_attention
from course_lib.recurrent import LSTM


def test_the_rounds_alternate_and_the_warm_up_does_not_count(monkeypatch):
    """On a clock of our own: a look at it takes 1 s, a call of a 2 s, one of b 5 s."""
    calls, now = [], [0.0]

    def clock():
        now[0] += 1
        return now[0]

    def call(name, seconds):
        calls.append(name)
        now[0] += seconds

    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=clock))
    seconds = costs.alternate([lambda: call("a", 2), lambda: call("b", 5)], rounds=3)
    assert calls == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert seconds == [[3, 3, 3], [6, 6, 6]]


def attention_keeps(n_tokens: int, fused: bool) -> int:
    q, k, v = torch.randn(3, 1, 1, n_tokens, 8, requires_grad=True)
    return costs.bytes_kept(lambda: scaled_dot_product_attention(q, k, v, fused=fused))


def test_the_explicit_form_keeps_its_table_and_the_fused_one_does_not():
    """One storage holds queries, keys and values: 3 x T x 8 numbers."""
    short, long = 32, 64
    for n_tokens in (short, long):
        assert attention_keeps(n_tokens, fused=False) >= 4 * (3 * n_tokens * 8 + n_tokens**2)
    assert attention_keeps(long, fused=True) == 2 * attention_keeps(short, fused=True)
    assert attention_keeps(long, fused=True) < attention_keeps(long, fused=False)


def test_what_is_kept_twice_counts_once():
    x = torch.ones(5, requires_grad=True)
    assert costs.bytes_kept(lambda: x * x) == 20
    assert costs.bytes_kept(lambda: x * x.detach().clone()) == 20  # only the factor that needs no gradient
    assert costs.bytes_kept(lambda: x.exp() + x.sin()) == 40


def test_without_gradients_nothing_is_kept():
    assert costs.bytes_kept(lambda: torch.ones(5).exp()) == 0


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_the_power(power):
    sizes = [3, 7, 11, 40]
    assert costs.exponent(sizes, [5 * n**power for n in sizes]) == pytest.approx(power)


@pytest.mark.parametrize(
    ("sizes", "amounts", "message"),
    [
        ([1, 2], [1], "got .1.0, 2.0. and .1.0."),
        ([2, 2], [1, 3], "two sizes"),
        ([1, 2], [0, 1], "above 0; the smallest is 0"),
        ([-1, 2], [1, 1], "the smallest is -1"),
    ],
)
def test_numbers_without_an_exponent_are_refused(sizes, amounts, message):
    with pytest.raises(ValueError, match=message):
        costs.exponent(sizes, amounts)


# ------------------------------------------------------------------------------- what waits for what


def test_operations_in_an_order_in_which_they_can_be_computed():
    x = torch.ones(3, requires_grad=True)
    exp = x.exp()
    found = costs.operations((exp.sin() * exp + x).sum())
    assert [operation.depth for operation in found] == [1, 2, 3, 4, 5]
    assert [operation.waits_for for operation in found] == [(), (0,), (1, 0), (2,), (3,)]
    assert [operation.name[:3] for operation in found] == ["Exp", "Sin", "Mul", "Add", "Sum"]


@pytest.mark.parametrize("twice", [False, True], ids=["deep", "many ways"])
def test_the_longest_chain_of_a_deep_graph_and_of_one_with_many_ways(twice):
    """A function that calls itself would stop at a depth of 1,000; one that follows each way, never end."""
    x = y = torch.ones(1, requires_grad=True)
    for _ in range(3001):
        y = y + y if twice else y + x
    assert costs.longest_chain(y) == 3001


@pytest.mark.parametrize("last", [0, 1], ids=["short branch first", "short branch last"])
def test_the_longest_way_counts_not_the_first(last):
    x = torch.ones(3, requires_grad=True)
    long = x.exp().exp().exp()
    assert costs.longest_chain(x + long if last else long + x) == 4


def test_a_recurrent_network_is_as_long_as_its_text_unless_a_kernel_hides_it():
    chain = {}
    for fused in (False, True):
        for n_tokens in (5, 12):
            outputs, _ = LSTM(7, fused=fused)(torch.randn(2, n_tokens, 7))
            chain[fused, n_tokens] = costs.longest_chain(outputs.sum())
    assert chain[False, 12] - chain[False, 5] == 7 * 8
    assert chain[True, 12] == chain[True, 5]


def test_parameters_are_no_operations():
    with pytest.raises(ValueError, match=r"recorded no operation: was the tensor computed"):
        costs.longest_chain(torch.ones(3, requires_grad=True))
    assert costs.longest_chain(torch.ones(3, requires_grad=True).exp()) == 1
