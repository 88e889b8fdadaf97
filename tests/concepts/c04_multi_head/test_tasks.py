"""The tasks of 04_multi_head: what their solutions promise, what counts as work, and the reward's end."""

import numpy as np
import pytest
import torch
from task_cases import cases_of

from course_lib import attention, mixers
from course_lib.attention import MultiHeadAttention
from course_lib.checks import WrongForm, examine, find_task
from course_lib.concepts.c04_multi_head.answers import causal_linear_attention as causal
from course_lib.concepts.c04_multi_head.answers import linear_attention as whole
from course_lib.concepts.c04_multi_head.answers.copying_heads import by_loops
from course_lib.concepts.c04_multi_head.tasks.attention_bytes import attention_bytes
from course_lib.concepts.c04_multi_head.tasks.causal_linear_attention import causal_linear_attention
from course_lib.concepts.c04_multi_head.tasks.copying_heads import copying_heads, other_heads
from course_lib.concepts.c04_multi_head.tasks.grouped_queries import grouped_queries
from course_lib.concepts.c04_multi_head.tasks.join_heads import join_heads, joined_interleaved
from course_lib.concepts.c04_multi_head.tasks.linear_attention import linear_attention
from course_lib.concepts.c04_multi_head.tasks.split_heads import interleaved, split_heads
from course_lib.concepts.c04_multi_head.work import LONG, in_linear_time

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("04_multi_head")


# ------------------------------------------------------------------------------------ references and inputs


def test_joining_is_the_way_back_from_splitting():
    for case in cases("split_heads"):
        x, n_heads = case.inputs.values()
        assert torch.equal(join_heads(split_heads(x, n_heads)), x)
        assert torch.equal(joined_interleaved(interleaved(x, n_heads)), x)


def test_multi_head_is_the_librarys():
    multi_head = find_task("04_multi_head/multi_head").reference
    for case in cases("multi_head"):
        given = {name: x.double() if hasattr(x, "double") else x for name, x in case.inputs.items()}
        given.pop("before", None)
        x, *matrices, n_heads, causal = given.values()
        layer = MultiHeadAttention(x.shape[-1], n_heads, bias=False, causal=causal).double()
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        layer.load_state_dict({f"{name}.weight": w for name, w in zip(names, matrices, strict=True)})
        torch.testing.assert_close(multi_head(**given), layer(x))


def test_shared_keys_are_the_librarys():
    """The layer's projections are set so that they hand on the queries, keys and values of a case."""
    for case in cases("grouped_queries"):
        q, k, v = (x.double() for x in case.inputs.values())
        if q.shape[2] != k.shape[2]:
            continue
        layer = MultiHeadAttention(q.shape[1] * q.shape[3], q.shape[1], n_kv_heads=k.shape[1], bias=False)
        for name, x in {"q_proj": q, "k_proj": k, "v_proj": v}.items():
            setattr(layer, name, Given(join_heads(x)))
        layer.out_proj = torch.nn.Identity()
        expected = layer(join_heads(q))
        torch.testing.assert_close(join_heads(grouped_queries(q, k, v)), expected)


class Given(torch.nn.Module):
    """Gives always the same."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def forward(self, x):
        return self.x


def test_linear_attention_is_the_librarys():
    for case in cases("linear_attention"):
        q, k, v = (x.double() for x in case.inputs.values())
        torch.testing.assert_close(linear_attention(q, k, v), mixers.linear_attention(q, k, v))
    for case in cases("causal_linear_attention"):
        q, k, v = (x.double() for x in case.inputs.values())
        expected = mixers.linear_attention(q, k, v, causal=True)
        torch.testing.assert_close(causal_linear_attention(q, k, v), expected)


def test_the_cache_is_as_large_as_the_librarys():
    for case in cases("attention_bytes"):
        t, d, h, g, b = case.inputs.values()
        kind = {1: torch.int8, 2: torch.float16, 4: torch.float32}[b]
        cache = attention.KVCache(1, g, t, d // h, dtype=kind)
        weights = torch.empty(h, t, t, dtype=kind, device="meta")
        assert attention_bytes(t, d, h, g, b)[:2] == (
            weights.nbytes,
            cache.keys.nbytes + cache.values.nbytes,
        )


@pytest.mark.parametrize("seed", range(20))
def test_of_two_copies_the_last_query_makes_no_difference_and_the_one_before_them_does(seed):
    for case in find_task("04_multi_head/copying_heads").cases(np.random.default_rng(seed)):
        weights, n, k = case.inputs.values()
        right = copying_heads(weights, n, k)
        for queries, same in ((torch.arange(n, 2 * n - 1), True), (torch.arange(n - 1, 2 * n), False)):
            scores = weights[..., queries, queries - n + 1].mean(-1)
            found = [divmod(i, weights.shape[1]) for i in scores.flatten().topk(k).indices.tolist()]
            assert (found == right) is same
        sums = weights.double().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert (weights.triu(1) == 0).all()


# ------------------------------------------------------------------------------------------------- the work


def long_inputs():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(LONG, width, generator=generator) for width in (3, 3, 2)]


@pytest.mark.parametrize("size", [16, 64, 100, 256])
def test_blocks_of_any_fixed_size_are_linear(size):
    q, k, v = long_inputs()
    result = in_linear_time(lambda q, k, v: causal.in_blocks(q, k, v, size))(q, k, v)
    torch.testing.assert_close(result, causal.table(q, k, v))


@pytest.mark.parametrize("function", [whole.by_loops, causal.growing, mixers.linear_attention])
def test_linear_work_is_let_through_whole(function):
    q, k, v = long_inputs()
    assert torch.equal(in_linear_time(function)(q, k, v), function(q, k, v))


@pytest.mark.parametrize(
    "function", [whole.table, whole.table_row_by_row, causal.table, causal.table_row_by_row]
)
def test_work_that_grows_with_the_square_is_said_with_its_numbers(function):
    with pytest.raises(WrongForm, match=r"It does too much: it reads and writes [\d,]+ .* power (1.9|2) of"):
        in_linear_time(function)(*long_inputs())


@pytest.mark.parametrize(
    ("task", "answers"), [("linear_attention", whole), ("causal_linear_attention", causal)]
)
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("numbers_alone", "No gradient of q arrives"),
        ("when_long", "The results are right, but the gradient of q is not"),
        ("Hidden", "Its work cannot be counted, because a torch.autograd.Function hides"),
    ],
)
def test_a_table_that_is_made_without_torch_is_refused_though_its_numbers_are_right(task, answers, way, said):
    answer = getattr(answers, way)
    answer = getattr(answer, "apply", answer)
    q, k, v = long_inputs()
    torch.testing.assert_close(answer(q, k, v), answers.table(q, k, v))
    result = examine(find_task(f"04_multi_head/{task}"), answer)
    assert result.problem.startswith(said)
    assert result.case.name == "many tokens"


def test_quadratic_work_is_the_only_thing_that_is_said_of_a_right_table():
    result = examine(find_task("04_multi_head/linear_attention"), whole.table)
    assert result.problem.startswith("It does too much")
    assert result.case.name == "many tokens"


# ----------------------------------------------------------------------------------------------- the reward

COPYING = "04_multi_head/copying_heads"


@pytest.fixture
def finale(smollm2_at_hand, monkeypatch):
    """The report of a check that ends in the model which other tests use too."""
    for name, number in {"N_TOKENS": 24, "N_DRAWS": 1}.items():
        monkeypatch.setattr(f"course_lib.concepts.c04_multi_head.tasks.copying_heads.{name}", number)
    return lambda learner: examine(find_task(COPYING), learner)


def test_the_heads_that_are_found_are_those_that_copy(finale):
    result = finale(by_loops)
    assert result.problem == ""
    assert "Your heads, written layer.head: " in result.detail
    assert "without 5 others of the same layers: " in result.detail


def test_heads_that_are_wrong_in_the_model_alone_are_refused(finale):
    def answer(weights, n, k):
        found = by_loops(weights, n, k)
        return found if len(weights) < 30 else [(layer, (head + 1) % 9) for layer, head in found]

    assert finale(answer).problem.startswith("In the real model your heads raise the loss to ")


def test_other_heads_are_of_the_same_layers_and_none_of_the_chosen():
    chosen = [(18, 6), (17, 3), (17, 4)]
    for draw in other_heads(chosen, n_heads=9):
        assert len(set(draw)) == len(chosen)
        assert not {*draw} & {*chosen}
        assert {layer for layer, _ in draw} <= {17, 18}
