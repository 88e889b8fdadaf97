"""The new tasks of the capstone: what their solutions promise."""

from types import SimpleNamespace

import pytest
import torch
from task_cases import cases_of

from course_lib.attention import KVCache, scaled_dot_product_attention
from course_lib.checks.inputs import repeatable
from course_lib.concepts.c09_real_models.capstone.parts import library_parts, weights_of
from course_lib.concepts.c09_real_models.tasks.extend_cache import extend_cache
from course_lib.concepts.c09_real_models.tasks.forward_pass import forward_pass
from course_lib.concepts.c09_real_models.tasks.grouped_attention import grouped_attention
from course_lib.concepts.c09_real_models.tasks.next_probabilities import next_probabilities
from course_lib.decoder import GPT, LlamaConfig
from course_lib.generation import next_token_probabilities

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("09_real_models", 3)


def test_extend_cache_is_the_librarys():
    for case in cases("extend_cache"):
        k_cache, v_cache, k, v = case.inputs.values()
        b, g, n_stored, width = k_cache.shape
        cache = KVCache(b, g, n_stored + k.shape[2], width, dtype=k.dtype)
        if n_stored:
            cache.append(k_cache, v_cache)
        keys, values = cache.append(k, v)
        mine = extend_cache(k_cache, v_cache, k, v)
        assert torch.equal(mine[0], keys)
        assert torch.equal(mine[1], values)


def test_grouped_attention_is_the_librarys_and_each_query_sees_a_key():
    for case in cases("grouped_attention"):
        q, k, v, mask = (x.double() if x.is_floating_point() else x for x in case.inputs.values())
        assert mask.any(-1).all()
        n = q.shape[1] // k.shape[1]
        shared = (x.repeat_interleave(n, dim=1) for x in (k, v))
        expected = scaled_dot_product_attention(q, *shared, mask)
        torch.testing.assert_close(grouped_attention(q, k, v, mask), expected, rtol=0, atol=1e-9)


def test_next_probabilities_are_the_librarys():
    for case in cases("next_probabilities"):
        logits, t, p = case.inputs.values()
        logits = logits.double()
        expected = next_token_probabilities(logits, temperature=t, top_p=p)
        got = next_probabilities(logits, t, p)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def test_the_forward_pass_is_the_librarys():
    """A `GPT` of random numbers, read at once and in two pieces."""
    config = LlamaConfig(
        vocab_size=11,
        max_seq_len=17,
        d_model=14,
        n_layers=3,
        n_heads=7,
        n_kv_heads=1,
        d_ff=5,
        norm_eps=0.1,
        rotary_base=30.0,
    )
    with repeatable(3):
        model = GPT(config).eval().requires_grad_(False)
        ids = torch.randint(11, (2, 13))
    parts, weights = SimpleNamespace(**library_parts(None)), weights_of(model)
    parts.embedding = lambda token_ids, table: table[token_ids]
    nothing = [(torch.zeros(2, 1, 0, 2),) * 2] * 3
    whole, _ = forward_pass(ids, weights, parts, nothing)
    first, stored = forward_pass(ids[:, :5], weights, parts, nothing)
    second, _ = forward_pass(ids[:, 5:], weights, parts, stored)
    for logits in (whole, torch.cat([first, second], dim=1)):
        torch.testing.assert_close(logits, model(ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", ["extend_cache", "grouped_attention", "next_probabilities"])
def test_the_first_cases_are_small_enough_to_be_shown(task):
    first = next(cases(task, 1))
    assert all(x.numel() <= 64 for x in first.inputs.values() if isinstance(x, torch.Tensor))
