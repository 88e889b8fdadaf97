"""Positions against loops written for the test, torch's own modules, and Hugging Face's Llama and BLOOM."""

import math

import pytest
import torch
import transformers
from tensors import assert_close, numbers
from torch import nn

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

B, H, T, K, LONGEST = 2, 3, 7, 10, 101


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
            assert_close(turned[..., t, 2 * i], expected.real, 1e-6)
            assert_close(turned[..., t, 2 * i + 1], expected.imag, 1e-6)


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
        assert_close(ours, theirs, 1e-6)


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
    assert_close(default.cos, rotary_table(K, LONGEST, 10000.0)[0], 0)
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
        assert_close(ours(x, start), expected)
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


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: PositionEmbedding(13, K), (B, T, K)),
        (lambda: PositionEmbedding(13, K, learned=False), (B, T, K)),
        (lambda: RotaryEmbedding(K, 13), (B, H, T, K)),
    ],
)
def test_places_beyond_the_table(make, shape):
    positions, x = make(), torch.ones(shape)
    positions(x, start=6)  # the last that fit
    with pytest.raises(ValueError, match="positions go up to 13; 7 tokens from 7 on need 14"):
        positions(x, start=7)
    with pytest.raises(ValueError, match=r"^positions begin at 0; got a start of -2$"):
        positions(x, start=-2)


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
    assert_close(ours, expected, 1e-6)


def test_relative_positions_start_small():
    relative = RelativePositions(K, 50)
    assert relative.weight.shape == (101, K)
    assert relative.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(("t", "s"), [(3, 7), (5, 5), (1, 7), (7, 3), (5, 1), (0, 3), (3, 0)])
def test_the_last_query_stands_where_the_last_key_does(t, s):
    """Also where there are more queries than keys, as there may be over a context."""
    places = [query + s - t for query in range(t)]
    assert query_positions(t, s).tolist() == places
    q = numbers(B, 3, t, K)
    slopes = [2.0**-4, 2.0**-8, 2.0**-2]  # three heads: those of two, and the first of four
    rows = [[[-slope * abs(place - key) for key in range(s)] for place in places] for slope in slopes]
    expected = torch.tensor(rows, dtype=torch.float64).reshape(3, t, s)
    assert_close(ALiBi(3)(q, s), expected)
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
