"""Positions against loops written for the test, and against Hugging Face's Llama."""

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from course_lib.positions import RotaryEmbedding, apply_rotary, rotary_table, sinusoidal

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
    config = LlamaConfig(
        hidden_size=H * K, num_attention_heads=H, head_dim=K, max_position_embeddings=LONGEST,
        rope_parameters={"rope_type": "default", "rope_theta": 523.0},
    )  # fmt: skip
    start = 11
    q, k = numbers(B, H, T, K).float(), numbers(B, H, T, K, seed=1).float()
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(start, start + T)[None])
    rotary = RotaryEmbedding(K, LONGEST, base=523.0, interleaved=False)
    for ours, theirs in zip(
        (rotary(q, start), rotary(k, start)), apply_rotary_pos_emb(q, k, cos, sin), strict=True
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
