"""Positions against loops written for the test, torch's own modules, and Hugging Face's Llama and BLOOM."""

import math

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.attention import MultiHeadAttention
from course_lib.positions import (
    ALiBi,
    PositionEmbedding,
    RelativePositions,
    RotaryEmbedding,
    apply_rotary,
    query_positions,
    rotary_table,
    sinusoidal,
)
from course_lib.probing import weights_recorded

B, H, T, K, LONGEST = 2, 3, 7, 10, 101


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_sinusoidal_equals_the_formula():
    table = sinusoidal(LONGEST, K)
    assert table.shape == (LONGEST, K)
    for t in range(LONGEST):
        for i in range(K // 2):
            angle = t / 10000 ** (2 * i / K)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("base", [10000.0, 37.0])
def test_interleaved_rotation_is_a_complex_product(base):
    """As in the paper: a pair is a complex number, multiplied by exp(i t / base^(2i/K))."""
    x = numbers(B, H, T, K)
    cos, sin = rotary_table(K, T, base)
    turned = apply_rotary(x, cos.double(), sin.double(), interleaved=True)
    for t in range(T):
        for i in range(K // 2):
            pair = torch.complex(x[..., t, 2 * i], x[..., t, 2 * i + 1])
            expected = pair * complex(math.cos(t / base ** (2 * i / K)), math.sin(t / base ** (2 * i / K)))
            torch.testing.assert_close(turned[..., t, 2 * i], expected.real, rtol=0, atol=1e-6)
            torch.testing.assert_close(turned[..., t, 2 * i + 1], expected.imag, rtol=0, atol=1e-6)


def test_both_orders_of_pairs_are_equal_up_to_the_permutation():
    x = numbers(B, H, T, K)
    cos, sin = (table.double() for table in rotary_table(K, T))
    halves = torch.cat([torch.arange(0, K, 2), torch.arange(1, K, 2)])  # 0 2 4 ... 1 3 5 ...
    interleaved = apply_rotary(x, cos, sin, interleaved=True)
    split = apply_rotary(x[..., halves], cos, sin, interleaved=False)
    torch.testing.assert_close(split, interleaved[..., halves], rtol=0, atol=1e-12)
    assert (apply_rotary(x, cos, sin, interleaved=False) - interleaved).abs().max() > 0.1


def test_half_split_rotation_equals_hugging_face():
    config = transformers.LlamaConfig(
        hidden_size=H * K,
        num_attention_heads=H,
        head_dim=K,
        max_position_embeddings=LONGEST,
        rope_parameters={"rope_type": "default", "rope_theta": 523.0},
    )
    start = 11
    q, k = numbers(B, H, T, K).float(), numbers(B, H, T, K, seed=1).float()
    llama = transformers.models.llama.modeling_llama
    cos, sin = llama.LlamaRotaryEmbedding(config)(q, torch.arange(start, start + T)[None])
    rotary = RotaryEmbedding(K, LONGEST, base=523.0, interleaved=False)
    for ours, theirs in zip(
        (rotary(q, start), rotary(k, start)), llama.apply_rotary_pos_emb(q, k, cos, sin), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("interleaved", [True, False])
def test_scores_depend_on_the_distance_only(interleaved):
    rotary = RotaryEmbedding(K, LONGEST, interleaved=interleaved).double()
    q, k = numbers(B, H, 1, K), numbers(B, H, 1, K, seed=1)

    def score(at_q, at_k):
        return (rotary(q, at_q) * rotary(k, at_k)).sum(-1)

    for distance in (0, 1, 13):
        for start in (3, 47, 83):
            torch.testing.assert_close(score(start + distance, start), score(distance, 0), rtol=0, atol=1e-4)
    assert (score(13, 0) - score(0, 0)).abs().min() > 0.01
    assert (score(13, 0) - score(0, 13)).abs().min() > 0.001  # the sign of the distance counts


@pytest.mark.parametrize("interleaved", [True, False])
def test_lengths_stay_and_position_0_turns_nothing(interleaved):
    rotary = RotaryEmbedding(K, LONGEST, interleaved=interleaved).double()
    x = numbers(B, H, T, K)
    turned = rotary(x, start=29)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    assert (turned - x).abs().max() > 0.1
    assert torch.equal(rotary(x[:, :, :1]), x[:, :, :1])


def test_beyond_the_table():
    rotary = RotaryEmbedding(K, 13)
    rotary(torch.ones(B, H, T, K), start=6)  # the last that fit
    with pytest.raises(ValueError, match="positions go up to 13; 7 tokens from 7 on need 14"):
        rotary(torch.ones(B, H, T, K), start=7)


def test_odd_width():
    for function in (lambda: rotary_table(7, T), lambda: sinusoidal(T, 7), lambda: RotaryEmbedding(7, T)):
        with pytest.raises(ValueError, match="the width must be even; got 7"):
            function()


def test_reset_brings_the_table_after_meta():
    with torch.device("meta"):
        rotary = RotaryEmbedding(K, LONGEST, base=523.0)
    assert rotary.cos.is_meta
    rotary.reset()
    expected = RotaryEmbedding(K, LONGEST, base=523.0)
    assert torch.equal(rotary.cos, expected.cos)
    assert torch.equal(rotary.sin, expected.sin)
    assert rotary.state_dict() == {}  # the table is computed, never saved


def test_the_defaults_are_the_papers():
    default = RotaryEmbedding(K, LONGEST)
    assert (default.base, default.interleaved) == (10000.0, True)
    torch.testing.assert_close(default.cos, rotary_table(K, LONGEST, 10000.0)[0], rtol=0, atol=0)
    x = numbers(B, H, T, K).float()
    cos, sin = default.cos[:T], default.sin[:T]
    assert torch.equal(default(x), apply_rotary(x, cos, sin, interleaved=True))


@pytest.mark.parametrize("default_dtype", [torch.float32, torch.float64], ids=str)
def test_tables_are_made_on_the_device_that_is_asked_for_in_float32(default_dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(default_dtype)
    try:
        tables = [*rotary_table(K, 3, device=torch.device("meta")), *rotary_table(K, 3)]
        rotary = RotaryEmbedding(K, LONGEST)
        rotary.reset(torch.device("meta"))
    finally:
        torch.set_default_dtype(before)
    assert [table.device.type for table in tables] == ["meta", "meta", "cpu", "cpu"]
    assert {table.dtype for table in tables} == {torch.float32}
    assert rotary.cos.is_meta
    assert rotary.sin.is_meta
    q = torch.ones(B, H, T, K, device="meta")
    for bias in (ALiBi(H).to("meta"), RelativePositions(K, 3).to("meta")):
        assert bias(q, T).is_meta


# -------------------------------------------------------------------------------------- added to the vectors


def test_learned_positions_equal_torchs_embedding():
    ours, theirs = PositionEmbedding(LONGEST, K).double(), nn.Embedding(LONGEST, K).double()
    theirs.load_state_dict(ours.state_dict())
    x = numbers(B, T, K)
    for start in (0, 1, LONGEST - T):
        expected = x + theirs(torch.arange(start, start + T))
        torch.testing.assert_close(ours(x, start), expected, rtol=0, atol=1e-12)
    assert torch.equal(ours(x), ours(x, 0))  # the first token stands at 0 unless said otherwise
    assert ours.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert ours.weight.requires_grad


def test_fixed_positions_are_the_sinusoids_and_are_never_trained():
    fixed, x = PositionEmbedding(LONGEST, K, learned=False), numbers(B, T, K).float()
    torch.testing.assert_close(fixed(x, 3) - x, sinusoidal(LONGEST, K)[3 : 3 + T].expand(B, T, K))
    assert list(fixed.parameters()) == []


@pytest.mark.parametrize("make", [lambda: PositionEmbedding(7, K, learned=False), lambda: ALiBi(H)])
def test_after_meta_the_saved_state_brings_the_tables_back(make):
    with torch.device("meta"):
        empty = make()
    empty.to_empty(device="cpu").load_state_dict(make().state_dict())
    for table, expected in zip(empty.buffers(), make().buffers(), strict=True):
        assert torch.equal(table, expected)


def test_a_place_before_the_first():
    message = r"^positions begin at 0; got a start of -2$"
    with pytest.raises(ValueError, match=message):
        PositionEmbedding(13, K)(torch.ones(B, 3, K), -2)
    with pytest.raises(ValueError, match=message):
        RotaryEmbedding(K, 13)(torch.ones(B, H, 3, K), -2)


@pytest.mark.parametrize("learned", [True, False])
def test_added_positions_beyond_the_table(learned):
    positions = PositionEmbedding(13, K, learned=learned)
    positions(torch.ones(B, T, K), start=6)  # the last that fit
    with pytest.raises(ValueError, match="positions go up to 13; 7 tokens from 7 on need 14"):
        positions(torch.ones(B, T, K), start=7)


# --------------------------------------------------------------------------------------- added to the scores


@pytest.mark.parametrize("n_heads", [1, 2, 3, 5, 8, 11, 12])
def test_alibi_equals_blooms_slopes(n_heads):
    # BLOOM adds slope * s; within a row that is -slope * (t - s) and a constant, which softmax ignores
    bloom = transformers.models.bloom.modeling_bloom
    theirs = bloom.build_alibi_tensor(torch.ones(1, T), n_heads, torch.float64).view(n_heads, 1, T)
    bias = ALiBi(n_heads)(numbers(B, n_heads, T, K), T)
    assert bias.shape == (n_heads, T, T)
    allowed = torch.ones(T, T).tril().bool()
    ours = bias.masked_fill(~allowed, -torch.inf).softmax(-1)
    expected = theirs.expand_as(bias).masked_fill(~allowed, -torch.inf).softmax(-1)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_alibi_is_the_distance_times_the_slope():
    bias = ALiBi(4)(numbers(B, 4, 3, K), 5)  # the three queries stand at 2, 3 and 4
    for h in range(4):
        for t in range(3):
            for s in range(5):
                assert bias[h, t, s].item() == -(2.0 ** (-2 * (h + 1))) * abs(t + 2 - s)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(0, 5), st.integers(1, 6), st.integers(0, 10**6))
def test_relative_positions_equal_the_loops(n_queries, n_earlier, max_distance, seed):
    relative = RelativePositions(K, max_distance).double()
    q = numbers(B, H, n_queries, K, seed=seed)
    bias = relative(q, n_queries + n_earlier)
    assert bias.shape == (B, H, n_queries, n_queries + n_earlier)
    for t in range(n_queries):
        for s in range(n_queries + n_earlier):
            distance = max(-max_distance, min(max_distance, s - (t + n_earlier)))
            expected = (q[:, :, t] * relative.weight[distance + max_distance]).sum(-1) / math.sqrt(K)
            torch.testing.assert_close(bias[:, :, t, s], expected, rtol=0, atol=1e-12)


def test_relative_positions_start_small_and_learn():
    relative = RelativePositions(K, 50)
    assert relative.weight.shape == (101, K)
    assert relative.weight.std().item() == pytest.approx(0.02, rel=0.1)
    q = numbers(1, 2, 3, K).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: relative.double()(q, 4), (q,))


@pytest.mark.parametrize("make", [lambda: ALiBi(H), lambda: RelativePositions(K, 3)], ids=["alibi", "shaw"])
def test_positions_in_the_scores_reach_the_weights(make):
    """Moving all tokens by one place changes nothing; swapping two does. Without positions neither would."""
    layer = MultiHeadAttention(H * K, H, score_bias=make()).double()
    for n, parameter in enumerate(layer.parameters()):
        parameter.data = numbers(*parameter.shape, seed=n) / 3
    x = numbers(B, T, H * K, seed=77)
    with weights_recorded(layer) as seen:
        recorded = layer(x)
    bias = layer.score_bias(layer._split(layer.q_proj(x)), T)
    scores = layer._split(layer.q_proj(x)) @ layer._split(layer.k_proj(x)).mT / math.sqrt(K) + bias
    torch.testing.assert_close(seen[0], scores.softmax(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x), recorded, rtol=0, atol=1e-12)  # the fused kernel gets them too
    backwards = layer(x.flip(1)).flip(1)
    assert (backwards - recorded).abs().max() > 1e-3 or isinstance(layer.score_bias, ALiBi)
    swapped = x[:, [1, 0, *range(2, T)]]
    assert (layer(swapped)[:, 2:] - recorded[:, 2:]).abs().max() > 1e-3


@pytest.mark.parametrize(("t", "s"), [(3, 7), (5, 5), (1, 7), (7, 3), (5, 1), (0, 3), (3, 0)])
def test_the_last_query_stands_where_the_last_key_does(t, s):
    """Also where there are more queries than keys, as there may be over a context."""
    places = [query + s - t for query in range(t)]
    assert query_positions(t, s).tolist() == places
    q = numbers(B, 3, t, K)
    slopes = [2.0**-4, 2.0**-8, 2.0**-2]  # three heads: those of two, and the first of four
    rows = [[[-slope * abs(place - key) for key in range(s)] for place in places] for slope in slopes]
    expected = torch.tensor(rows, dtype=torch.float64).reshape(3, t, s)
    torch.testing.assert_close(ALiBi(3)(q, s), expected, rtol=0, atol=1e-12)
    relative = RelativePositions(K, 2).double()
    bias = relative(q, s)
    assert bias.shape == (B, 3, t, s)
    for i, place in enumerate(places):
        for key in range(s):
            vector = relative.weight[max(-2, min(2, key - place)) + 2]
            torch.testing.assert_close(bias[:, :, i, key], q[:, :, i] @ vector / math.sqrt(K))


def test_alibi_for_no_heads():
    with pytest.raises(ValueError, match=r"^n_heads must be at least 1; got 0$"):
        ALiBi(0)


@pytest.mark.parametrize(("b", "t"), [(0, T), (B, 0)])
def test_positions_of_no_rows_and_of_no_tokens(b, t):
    assert PositionEmbedding(13, K).double()(numbers(b, t, K), 3).shape == (b, t, K)
    assert RotaryEmbedding(K, 13).double()(numbers(b, H, t, K), 3).shape == (b, H, t, K)
