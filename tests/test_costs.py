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
        ([1, 2], [0, 1], "must be finite numbers above 0; got 0$"),
        ([-1, 2], [1, 1], "above 0; got -1$"),
        ([1, 2, 3], [1, float("nan"), 3], "must be finite numbers above 0; got nan$"),
        ([1, float("inf")], [1, 2], "must be finite numbers above 0; got inf$"),
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


def test_a_function_of_somebodys_own_is_said_to_hide_what_it_does():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.exp().exp()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    x = torch.ones(3, requires_grad=True)
    found = costs.operations(Twice.apply(x.sin()).sum())
    assert [operation.hides for operation in found] == [False, True, False]
    assert costs.longest_chain(Twice.apply(x)) == 1


def test_parameters_are_no_operations():
    with pytest.raises(ValueError, match=r"recorded no operation: was the tensor computed"):
        costs.longest_chain(torch.ones(3, requires_grad=True))
    assert costs.longest_chain(torch.ones(3, requires_grad=True).exp()) == 1


# ------------------------------------------------------------------------------------------------ timetable

WAYS = {"recurrent": costs.recurrent_cells, "attention": costs.attention_cells}
ways = pytest.mark.parametrize("way", list(WAYS))


def check_timetable(waits_for, ticks, processors):
    """Nothing runs before its inputs, never more at once than there are, no one idles beside ready work."""
    assert list(ticks) == list(waits_for)
    for operation, inputs in waits_for.items():
        assert all(ticks[needed] < ticks[operation] for needed in inputs)
    for tick in range(1, max(ticks.values()) + 1):
        busy = sum(at == tick for at in ticks.values())
        ready = [
            operation
            for operation, inputs in waits_for.items()
            if ticks[operation] >= tick and all(ticks[needed] < tick for needed in inputs)
        ]
        assert busy == min(processors, len(ready))


@ways
@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize("processors", [1, 2, 3, 5, 28])
def test_nobody_runs_early_and_nobody_idles(way, writing, processors):
    waits_for = WAYS[way](7, 3, writing=writing)
    assert {*waits_for} == {(layer, token) for layer in range(3) for token in range(7)}
    check_timetable(waits_for, costs.timetable(waits_for, processors), processors)


@pytest.mark.parametrize(("n_tokens", "n_layers"), [(1, 1), (1, 3), (5, 1), (7, 3), (12, 4)])
def test_reading_takes_a_state_after_the_other_or_a_layer_after_the_other(n_tokens, n_layers):
    ends = {
        name: [
            max(costs.timetable(cells(n_tokens, n_layers, writing=writing), p).values())
            for writing in (False, True)
            for p in (1, None)
        ]
        for name, cells in WAYS.items()
    }
    all_in_turn = n_tokens * n_layers
    assert ends["recurrent"] == [all_in_turn, n_tokens + n_layers - 1, all_in_turn, all_in_turn]
    assert ends["attention"] == [all_in_turn, n_layers, all_in_turn, all_in_turn]


@pytest.mark.parametrize("n_tokens", [2, 5, 7, 11])
@pytest.mark.parametrize("n_layers", [2, 3, 4])
@pytest.mark.parametrize("processors", [1, 2, 3, 4, 6, 8])
def test_the_orders_lose_no_time(n_tokens, n_layers, processors):
    """No schedule is shorter: there are the chain, the work, and few cells in the first and last ticks."""
    chain, n_cells = n_tokens + n_layers - 1, n_tokens * n_layers
    widths = [sum(0 <= step - layer < n_tokens for layer in range(n_layers)) for step in range(chain)]
    narrow = [width for width in widths if width < processors]
    least = max(chain, len(narrow) + -(-(n_cells - sum(narrow)) // processors))
    assert max(costs.timetable(costs.recurrent_cells(n_tokens, n_layers), processors).values()) == least
    least = max(n_layers, -(-n_cells // processors))
    assert max(costs.timetable(costs.attention_cells(n_tokens, n_layers), processors).values()) == least


@ways
def test_what_a_cell_waits_for(way):
    cell = {
        "recurrent": {False: ([(1, 2), (0, 3)], [(0, 2)]), True: ([(1, 2), (0, 3)], [(0, 2), (2, 2)])},
        "attention": {
            False: ([(0, 0), (0, 1), (0, 2), (0, 3)], []),
            True: ([(0, n) for n in range(4)], [(2, 2)]),
        },
    }[way]
    for writing, (above, below) in cell.items():
        waits_for = WAYS[way](5, 3, writing=writing)
        assert waits_for[1, 3] == above
        assert waits_for[0, 3] == below
        assert waits_for[0, 0] == []


def test_the_first_in_the_order_run_first():
    waits_for = {"late": ["first"], "first": [], "second": [], "third": []}
    assert costs.timetable(waits_for, 2) == {"late": 2, "first": 1, "second": 1, "third": 2}
    assert costs.timetable({}, 1) == {}


@pytest.mark.parametrize(
    ("waits_for", "processors", "message"),
    [
        ({"a": []}, 0, "at least one processor must work; got 0"),
        ({"a": ["b"]}, None, "'a' waits for 'b', which is no operation"),
        ({"c": [], "a": ["b"], "b": ["a"]}, 2, r"in a circle: \['a', 'b'\]"),
    ],
)
def test_work_that_cannot_be_done_is_refused(waits_for, processors, message):
    with pytest.raises(ValueError, match=message):
        costs.timetable(waits_for, processors)
