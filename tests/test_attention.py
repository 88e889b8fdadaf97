"""Attention: our two ways against each other, against NumPy and against torch's own modules."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import Largest, assert_close, numbers, randomise, seeded
from torch import nn

from course_lib import maths
from course_lib.attention import (
    KVCache,
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    for_each_head,
    scaled_dot_product_attention,
    with_one_mask,
)
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding
from course_lib.probing import weights_changed, weights_recorded

B, H, T, S, K, V = 2, 3, 5, 7, 11, 13
WIDTH = 6 * 2  # six heads of two
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
both_ways = pytest.mark.parametrize("fused", [False, True], ids=["explicit", "fused"])


def qkv(dtype=torch.float64, t=T, s=S):
    return (
        numbers(B, H, t, K, dtype=dtype),
        numbers(B, H, s, K, dtype=dtype),
        numbers(B, H, s, V, dtype=dtype),
    )


def random_mask(*shape, empty_row=None):
    mask = torch.rand(*shape, generator=seeded(1)) < 0.6
    mask[..., 0] = True
    if empty_row is not None:
        mask[..., empty_row, :] = False
    return mask


# ------------------------------------------------------------------------------------------ two functions


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("t", "s"), [(T, S), (T, T), (1, S), (S, T), (2, 2)])
def test_fused_equals_explicit_equals_numpy(dtype, causal, masked, t, s):
    q, k, v = qkv(dtype, t, s)
    mask = random_mask(B, 1, t, s, empty_row=t // 2) if masked else None
    allowed = torch.ones(B, H, t, s, dtype=torch.bool)
    if masked:
        allowed = allowed & mask
    if causal:
        allowed = allowed & (torch.arange(s) <= torch.arange(t)[:, None] + s - t)
    numpy = torch.from_numpy(maths.attention(q.numpy(), k.numpy(), v.numpy(), allowed.numpy()))
    for fused in (False, True):
        ours = scaled_dot_product_attention(q, k, v, mask, causal=causal, fused=fused)
        assert ours.dtype == dtype
        assert_close(ours, numpy, TOLERANCE[dtype])


def test_one_head_equals_the_loops():
    q, k, v = numbers(T, K), numbers(S, K), numbers(S, V)
    mask = random_mask(T, S, empty_row=2)
    for fused in (False, True):
        assert_close(
            scaled_dot_product_attention(q, k, v, mask, fused=fused), maths.attention_loops(q, k, v, mask)
        )


@both_ways
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("t", "s", "shape"),
    [
        (T, S, ()),
        (T, S, (S,)),
        (T, S, (T, S)),
        (T, S, (H, 1, S)),
        (T, S, (H, T, S)),
        (T, S, (B, 1, T, S)),
        (T, S, (B, H, T, S)),
        (T, T, (T, T)),
        (1, S, (1, S)),
    ],
)
def test_a_bias_is_added_to_the_scores(fused, causal, t, s, shape):
    q, k, v = qkv(t=t, s=s)
    bias = 3 * numbers(*shape)
    for mask in (None, random_mask(B, 1, t, s, empty_row=0)):
        ours = scaled_dot_product_attention(q, k, v, mask, causal=causal, bias=bias, fused=fused)
        allowed = torch.ones(B, 1, t, s, dtype=torch.bool) if mask is None else mask
        allowed = allowed & causal_mask(t, s) if causal else allowed
        scores = (q @ k.mT / K**0.5 + bias).masked_fill(~allowed, -torch.inf)
        assert_close(ours, scores.softmax(-1).nan_to_num(0.0) @ v)


@both_ways
@pytest.mark.parametrize("scale", [None, 0.3, 1.0])
def test_equals_torch(fused, scale):
    q, k, v = qkv()
    mask = random_mask(B, H, T, S)
    assert_close(
        scaled_dot_product_attention(q, k, v, mask, scale=scale, fused=fused),
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale),
    )
    q = numbers(B, H, S, K, seed=1)
    assert_close(
        scaled_dot_product_attention(q, k, v, causal=True, scale=scale, fused=fused),
        F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale),
    )


@both_ways
@pytest.mark.parametrize(
    "shape", [(S,), (1, S), (T, 1), (T, S), (B, 1, 1, S), (H, T, 1), (B, H, T, S)], ids=str
)
def test_every_mask_that_broadcasts(fused, shape):
    q, k, v = qkv()
    mask = torch.rand(*shape, generator=seeded(4)) < 0.6
    whole = mask.expand(B, H, T, S)
    numpy = maths.attention(q.numpy(), k.numpy(), v.numpy(), whole.numpy())
    assert_close(scaled_dot_product_attention(q, k, v, mask, fused=fused), numpy)


@both_ways
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
def test_forbidden_rows_give_zeros_and_finite_gradients(fused, dtype):
    q, k, v = (x.requires_grad_() for x in qkv(dtype))
    mask = random_mask(T, S, empty_row=3)
    mix = scaled_dot_product_attention(q, k, v, mask, fused=fused)
    assert (mix[:, :, 3] == 0).all()
    assert (mix[:, :, [0, 1, 2, 4]] != 0).all()
    mix.square().sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all()
        assert x.grad.any()
    assert (q.grad[:, :, 3] == 0).all()


@both_ways
@pytest.mark.parametrize("biased", [False, True])
def test_gradients(fused, biased):
    q, k, v = (x[:1, :1, :3].clone().requires_grad_() for x in qkv())
    bias = numbers(3, 3).requires_grad_() if biased else None
    mask = random_mask(3, 3, empty_row=1)

    def mix(q, k, v, bias):
        return scaled_dot_product_attention(q, k, v, mask, bias=bias, fused=fused)

    assert torch.autograd.gradcheck(mix, (q, k, v, bias))


@both_ways
def test_inputs_stay_as_they_are(fused):
    inputs = [*qkv(), random_mask(T, S, empty_row=1)]
    before = [x.clone() for x in inputs]
    scaled_dot_product_attention(*inputs, causal=True, fused=fused)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.integers(1, 11), st.booleans(), st.integers(0, 10**6))
def test_rows_of_weights_sum_to_1_or_to_0_where_nothing_is_allowed(t, s, causal, seed):
    generator = seeded(seed)
    q, k = (50 * torch.randn(n, K, generator=generator, dtype=torch.float64) for n in (t, s))
    mask = torch.rand(t, s, generator=generator) < 0.5
    weights = attention_weights(q, k, mask, causal=causal)
    allowed = mask & causal_mask(t, s) if causal else mask
    assert (weights >= 0).all()
    assert (weights[~allowed] == 0).all()
    assert_close(weights.sum(-1), allowed.any(-1).double())


# ------------------------------------------------------------------------------------------------ many heads


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_equals_torchs_multihead_attention(bias, cross, dtype, atol):
    theirs = randomise(nn.MultiheadAttention(WIDTH, 6, bias=bias, batch_first=True, dtype=dtype))
    ours = MultiHeadAttention(WIDTH, 6, bias=bias).to(dtype)
    state = {"out_proj.weight": theirs.out_proj.weight}
    for name, weight in zip("qkv", theirs.in_proj_weight.chunk(3), strict=True):
        state[f"{name}_proj.weight"] = weight
    if bias:
        state["out_proj.bias"] = theirs.out_proj.bias
        state |= dict(
            zip(["q_proj.bias", "k_proj.bias", "v_proj.bias"], theirs.in_proj_bias.chunk(3), strict=True)
        )
    ours.load_state_dict(state)
    x, context = numbers(B, T, WIDTH, dtype=dtype), numbers(B, S, WIDTH, dtype=dtype)
    source = context if cross else x
    n_keys = source.shape[1]
    mask, padding = random_mask(T, n_keys), random_mask(B, n_keys)
    # nn.MultiheadAttention says True = may NOT attend
    expected, _ = theirs(x, source, source, attn_mask=~mask, key_padding_mask=~padding, need_weights=False)
    found = ours(x, context=context if cross else None, mask=mask & padding[:, None, None, :])
    assert_close(found, expected, atol)
    assert (found - ours(x, context=context if cross else None, mask=~mask)).abs().max() > 0.01


@pytest.mark.parametrize("seen", [False, True], ids=["fused", "seen"])
def test_the_past_does_not_see_the_future(seen):
    layer = randomise(MultiHeadAttention(WIDTH, 6, causal=True))
    x = numbers(B, T, WIDTH, dtype=torch.float32)
    changed = x.clone()
    changed[:, 3] += 10
    with weights_recorded(layer) if seen else nullcontext():
        before, after = layer(x), layer(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(-1).all()


@pytest.mark.parametrize("chunks", [[1] * S, [3, 1, 1, 2], [S]], ids=str)
@pytest.mark.parametrize("rotary", [False, True])
def test_with_a_cache_the_steps_equal_one_pass(chunks, rotary):
    positions = RotaryEmbedding(2, S) if rotary else None
    layer = randomise(MultiHeadAttention(WIDTH, 6, n_kv_heads=3, causal=True, rotary=positions).double())
    x = numbers(B, S, WIDTH)
    cache = KVCache(B, 3, S, 2, dtype=torch.float64)
    steps = [layer(part, cache=cache) for part in x.split(chunks, dim=1)]
    assert cache.length == S
    assert_close(torch.cat(steps, dim=1), layer(x))


def test_a_full_cache():
    cache = KVCache(B, H, 5, K)
    cache.append(torch.ones(B, H, 3, K), torch.ones(B, H, 3, K))
    with pytest.raises(ValueError, match="the cache holds 5 tokens: 3 are in it, 7 do not fit"):
        cache.append(torch.ones(B, H, 7, K), torch.ones(B, H, 7, K))
    assert cache.length == 3


def test_the_recorded_weights_are_those_of_this_forward_pass():
    layer = randomise(MultiHeadAttention(WIDTH, 6, causal=True).double())
    x, mask = numbers(B, T, WIDTH), random_mask(T, T)
    unseen = layer(x, mask=mask)
    with weights_recorded(layer) as seen:
        assert_close(layer(x, mask=mask), unseen)
    layer(x)
    (weights,) = seen  # once, and not after the end
    assert_close(weights.sum(-1), torch.ones(B, 6, T, dtype=torch.float64))
    for head in range(6):
        rows = slice(2 * head, 2 * head + 2)
        q = x @ layer.q_proj.weight[rows].T + layer.q_proj.bias[rows]
        k = x @ layer.k_proj.weight[rows].T + layer.k_proj.bias[rows]
        allowed = (mask & torch.ones(T, T).tril().bool()).numpy()
        expected = maths.attention_weights(q.detach().numpy(), k.detach().numpy(), allowed)
        assert_close(weights[:, head].detach(), expected)


@pytest.mark.parametrize("causal", [False, True])
def test_attend_takes_the_place_of_the_mixing(causal):
    layer = randomise(MultiHeadAttention(WIDTH, 6, n_kv_heads=2, causal=causal).double())
    x, calls = numbers(B, T, WIDTH), []
    ours = layer(x)

    def attend(q, k, v, mask):
        calls.append([q.shape, k.shape, v.shape, mask])
        return torch.from_numpy(
            maths.attention(*(a.detach().numpy() for a in (q, k, v)), None if mask is None else mask.numpy())
        )

    layer.attend = with_one_mask(attend)
    assert_close(layer(x), ours)
    ((*shapes, mask),) = calls
    assert shapes == [(B, 6, T, 2)] * 3
    assert mask is None if not causal else torch.equal(mask, torch.ones(T, T).tril().bool())
    layer.attend = with_one_mask(lambda q, k, v, mask: torch.zeros_like(q))
    assert_close(layer(x), layer.out_proj.bias.expand(B, T, WIDTH))
    layer.attend = scaled_dot_product_attention
    assert_close(layer(x), ours)


# ---------------------------------------------------------------------------------------------- bad input


@both_ways
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": (K,)}, r"must be \(..., rows, width\); got \[\(11,\), \(2, 3, 7, 11\), \(2, 3, 7, 13\)\]"),
        ({"v": (V,)}, r"must be \(..., rows, width\); got .*, \(13,\)\]"),
        ({"k": (B, H, S, K + 2)}, r"q and k must have the same width \(last axis\): q has 11, k has 13"),
        ({"q": (B, H, T, 0), "k": (B, H, S, 0)}, r"must have a width \(last axis\) of at least 1; got 0"),
        ({"v": (B, H, S - 2, V)}, r"one row per key \(axis -2\): 7 in k, 5 in v"),
        ({"v": (B, 2, S, V)}, r"axes of q, k and v must broadcast; got \[\(2, 3\), \(2, 3\), \(2, 2\)\]"),
        ({"k": (5, H, S, K)}, r"axes of q, k and v must broadcast; got \[\(2, 3\), \(5, 3\), \(2, 3\)\]"),
        (
            {"q": (B, 6, T, K), "k": (B, 4, S, K), "v": (B, 4, S, V)},
            r"must broadcast; got \[\(2, 6\), \(2, 4\), \(2, 4\)\]",
        ),
        (
            {"q": (6, T, K), "k": (2, S, K), "v": (2, S, V)},
            r"must broadcast; got \[\(6,\), \(2,\), \(2,\)\]",
        ),
        ({"mask": (S, T)}, r"mask must broadcast to \(2, 3, 5, 7\) \(..., queries, keys\); got \(7, 5\)"),
        ({"mask": (3, B, H, T, S)}, r"mask must broadcast to \(2, 3, 5, 7\) .*; got \(3, 2, 3, 5, 7\)"),
        ({"mask": (T, S), "dtype": torch.float32}, r"mask must be boolean \(True .*; got torch.float32"),
        ({"mask": (T, S), "dtype": torch.int64}, r"mask must be boolean \(True .*; got torch.int64"),
        ({"bias": (T, S - 2)}, r"bias must broadcast to \(2, 3, 5, 7\) \(..., queries, keys\); got \(5, 5\)"),
        ({"bias": (5, B, H, T, S)}, r"bias must broadcast to \(2, 3, 5, 7\) .*; got \(5, 2, 3, 5, 7\)"),
    ],
)
def test_bad_input(own_errors, fused, changes, message):
    shapes = {"q": (B, H, T, K), "k": (B, H, S, K), "v": (B, H, S, V)} | changes
    dtype = shapes.pop("dtype", torch.bool)
    inputs = {
        name: torch.ones(shape, dtype=dtype if name == "mask" else torch.float32)
        for name, shape in shapes.items()
    }
    with pytest.raises(ValueError, match=message):
        scaled_dot_product_attention(**inputs, fused=fused)


def test_a_mask_is_looked_at_before_somebody_elses_function(own_errors):
    layer = MultiHeadAttention(WIDTH, 6)
    layer.attend = with_one_mask(lambda q, k, v, mask: q)
    with pytest.raises(ValueError, match=r"mask must be boolean \(True = may attend\); got torch.float32"):
        layer(torch.ones(B, T, WIDTH), mask=torch.ones(T, T))


def test_heads_that_do_not_divide():
    for d_model, n_heads in [(WIDTH, 0), (WIDTH, 5), (0, 1)]:
        with pytest.raises(ValueError, match=f"divide d_model: got n_heads={n_heads}, d_model={d_model}$"):
            MultiHeadAttention(d_model, n_heads)
    with pytest.raises(ValueError, match="n_kv_heads must divide n_heads: got n_kv_heads=4, n_heads=6"):
        MultiHeadAttention(WIDTH, 6, n_kv_heads=4)


@pytest.mark.parametrize("causal", [False, True])
def test_only_the_explicit_way_stores_the_weights(causal):
    q, k, v = (numbers(1, 2, 101, 3) for _ in range(3))
    with Largest() as explicit:
        scaled_dot_product_attention(q, k, v, causal=causal, fused=False)
    with Largest() as default:
        scaled_dot_product_attention(q, k, v, causal=causal)
    assert explicit.elements == 2 * 101 * 101
    assert default.elements < 2 * 101 * 101


@both_ways
def test_a_mask_fits_the_leading_axes_of_queries_and_keys_together(fused):
    """Queries that differ by head, keys that differ by batch: a mask may differ by both."""
    q, k, v = numbers(1, H, T, K), numbers(B, 1, S, K), numbers(B, 1, S, V)
    whole = [x.expand(B, H, -1, -1) for x in (q, k, v)]
    for mask in (None, random_mask(B, H, T, S)):
        ours = scaled_dot_product_attention(q, k, v, mask, fused=fused)
        assert_close(ours, scaled_dot_product_attention(*whole, mask, fused=fused))


@both_ways
def test_a_mask_for_one_and_for_three_leading_axes(fused):
    q, k, v = qkv()
    mask = random_mask(H, T, S)
    expected = scaled_dot_product_attention(q, k, v, mask, fused=fused)
    assert_close(scaled_dot_product_attention(q[0], k[0], v[0], mask, fused=fused), expected[0])
    deep = scaled_dot_product_attention(q[None], k[None], v[None], mask.expand(1, B, H, T, S), fused=fused)
    assert_close(deep, expected[None])


# ------------------------------------------------------------------------------- one way for whoever mixes


def biased(kind, **options):
    """A layer of six heads that adds to its scores; its queries and keys differ in number."""
    score_bias = ALiBi(6) if kind == "alibi" else RelativePositions(2, 3)
    return randomise(MultiHeadAttention(WIDTH, 6, score_bias=score_bias, **options).double())


def everything_given(layer, x, context, mask):
    """What the layer must give, from its weights and loops over rows: scores, bias, mask, softmax, mix."""
    source = x if context is None else context
    q, k, v = (
        project(y).unflatten(-1, (6, 2)).transpose(1, 2)
        for project, y in ((layer.q_proj, x), (layer.k_proj, source), (layer.v_proj, source))
    )
    t, s = q.shape[2], k.shape[2]
    scores = q @ k.mT / 2**0.5
    for i in range(t):
        for j in range(s):
            distance = j - (i + s - t)  # the last query stands where the last key does
            if isinstance(layer.score_bias, ALiBi):
                scores[:, :, i, j] -= layer.score_bias.slopes * abs(distance)
            else:
                vector = layer.score_bias.weight[max(-3, min(3, distance)) + 3]
                scores[:, :, i, j] += q[:, :, i] @ vector / 2**0.5
            if layer.causal and distance > 0:
                scores[:, :, i, j] = -torch.inf
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    mix = scores.softmax(-1).nan_to_num(0.0) @ v
    return layer.out_proj(mix.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("kind", ["alibi", "relative"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_context", [None, S, 3, 1], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_all_ways_get_the_bias(kind, causal, n_context, masked):
    """Fused, recorded and plugged in: the same answers, for a longer and for a shorter context too."""
    layer, x = biased(kind, causal=causal), numbers(B, T, WIDTH)
    context = None if n_context is None else numbers(B, n_context, WIDTH, seed=3)
    mask = random_mask(B, 1, T, n_context or T) if masked else None
    expected = everything_given(layer, x, context, mask)
    assert_close(layer(x, context, mask), expected)
    with weights_recorded(layer) as seen:
        assert_close(layer(x, context, mask), expected)
    assert len(seen) == 1
    for function in (scaled_dot_product_attention, partial(scaled_dot_product_attention, fused=False)):
        layer.attend = with_one_mask(function)
        assert_close(layer(x, context, mask), expected)
    layer.score_bias = None
    assert n_context == 1 or (layer(x, context, mask) - expected).abs().max() > 1e-3


def test_where_another_function_mixes_there_are_no_weights_to_see():
    layer = MultiHeadAttention(WIDTH, 6)
    layer.attend = with_one_mask(lambda q, k, v, mask: torch.zeros_like(q))
    message = "another function mixes, which shows no weights"
    with pytest.raises(ValueError, match=message), weights_changed(layer, torch.zeros_like):
        pass


def test_switching_a_head_off_by_its_weights():
    """What experiments do: other weights take their place, and the rest is the real pass."""
    layer = randomise(MultiHeadAttention(WIDTH, 6, n_kv_heads=2, causal=True).double())
    x = numbers(B, T, WIDTH)

    def without_head_4(weights):
        weights = weights.clone()
        weights[:, 4] = 0.0
        return weights

    other = MultiHeadAttention(WIDTH, 6, n_kv_heads=2, causal=True).double()
    other.load_state_dict(layer.state_dict())
    other.out_proj.weight.data[:, 8:10] = 0.0
    with weights_changed(layer, without_head_4):
        assert_close(layer(x), other(x))


def test_probes_inside_each_other_work_in_turn():
    layer, x = randomise(MultiHeadAttention(WIDTH, 6).double()), numbers(B, T, WIDTH)
    with weights_recorded(layer) as before, weights_changed(layer, lambda weights: 2 * weights):
        with weights_recorded(layer) as after:
            layer(x)
        layer(x)
    assert len(before) == 2
    assert_close(after[0], 2 * before[0])
    assert layer.attend is scaled_dot_product_attention


@both_ways
@pytest.mark.parametrize("t", [1, T])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_neighbouring_queries_share_a_key_head(fused, t, heads):
    q, k, v = numbers(B, 6, t, K), numbers(B, heads, S, K), numbers(B, heads, S, V)
    mask = random_mask(B, 6, t, S)
    full = [x.repeat_interleave(6 // heads, dim=1) for x in (k, v)]
    assert_close(for_each_head(q, k), full[0])
    for options in ({}, {"mask": mask}, {"causal": True}, {"bias": numbers(6, t, S)}):
        expected = scaled_dot_product_attention(q, *full, fused=False, **options)
        assert_close(scaled_dot_product_attention(q, k, v, fused=fused, **options), expected)


@both_ways
def test_one_query_without_heads_meets_keys_with_some(fused):
    q, k, v = numbers(1, K), numbers(H, S, K), numbers(H, S, V)
    expected = attention_weights(q.expand(H, 1, K), k) @ v
    assert_close(scaled_dot_product_attention(q, k, v, fused=fused), expected)
    assert_close(scaled_dot_product_attention(q[None, None], k[None], v[None], fused=fused), expected[None])


@both_ways
def test_a_bias_of_nan_is_never_hidden(fused):
    bias = torch.zeros(T, S, dtype=torch.float64)
    bias[1, 2] = torch.nan
    assert scaled_dot_product_attention(*qkv(), bias=bias, fused=fused)[..., 1, :].isnan().all()


@both_ways
def test_minus_infinity_in_the_bias_forbids(fused):
    """As a mask does, and a row of nothing else gives zeros, with gradients of zero."""
    q, k, v = (x.requires_grad_() for x in qkv())
    bias = numbers(T, S)
    bias[0, 2] = bias[3] = -torch.inf
    mix = scaled_dot_product_attention(q, k, v, bias=bias, fused=fused)
    finite = bias.clamp(min=-99)
    assert_close(mix, scaled_dot_product_attention(q, k, v, bias > -torch.inf, bias=finite, fused=False))
    assert (mix[..., 3, :] == 0).all()
    mix.sum().backward()
    assert q.grad.isfinite().all()
    assert (q.grad[..., 3, :] == 0).all()


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (lambda q, k, v: q[:, :, :1], r"\(2, 6, 1, 2\)"),
        (lambda q, k, v: q.transpose(1, 2), r"\(2, 5, 6, 2\)"),
        (lambda q, k, v: q[0], r"\(6, 5, 2\)"),
        (lambda q, k, v: (q, None), "tuple"),
        (lambda q, k, v: None, "NoneType"),
        (lambda q, k, v: q.numpy(force=True), "ndarray"),
    ],
)
def test_what_attend_returns_is_looked_at(answer, came):
    layer = MultiHeadAttention(WIDTH, 6).double()
    layer.attend = with_one_mask(lambda q, k, v, mask: answer(q, k, v))
    message = rf"^attend must return a tensor \(2, 6, 5, 2\), one mix per query; got {came}$"
    with pytest.raises(ValueError, match=message):
        layer(numbers(B, T, WIDTH))


def test_torchs_kernel_is_never_given_what_it_does_not_check(monkeypatch, own_errors):
    """It reads beyond its memory where k and v differ in length, so nothing of the kind may reach it."""

    def kernel(*args, **options):
        raise AssertionError("the kernel was called")

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    q, k, v = numbers(B, 1, T, K), numbers(B, 1, T, K), numbers(B, 1, 11, K)
    for options in ({}, {"causal": True}, {"mask": random_mask(T, T)}, {"bias": numbers(T, T)}):
        for lengths in ((k, v), (v, k)):
            with pytest.raises(ValueError, match=r"one row per key \(axis -2\)"):
                scaled_dot_product_attention(q, *lengths, **options)


@both_ways
@pytest.mark.parametrize(("b", "t", "s"), [(0, T, S), (B, 0, S), (B, T, 0), (B, 0, 0), (0, 0, 0)])
@pytest.mark.parametrize("causal", [False, True])
def test_empty_inputs(fused, b, t, s, causal):
    q, k, v = numbers(b, H, t, K), numbers(b, H, s, K), numbers(b, H, s, V)
    for mask in (None, torch.ones(t, s, dtype=torch.bool)):
        mix = scaled_dot_product_attention(q, k, v, mask, causal=causal, fused=fused)
        assert mix.shape == (b, H, t, V)
        assert s > 0 or (mix == 0).all()


@pytest.mark.parametrize("kind", ["plain", "alibi", "relative", "rotary", "recorded", "plugged in"])
@pytest.mark.parametrize(("b", "t", "s"), [(0, T, None), (B, 0, None), (B, T, 0), (B, 0, S), (0, 0, 0)])
def test_a_layer_with_nothing_to_read(kind, b, t, s):
    layer = biased(kind) if kind in ("alibi", "relative") else MultiHeadAttention(WIDTH, 6).double()
    randomise(layer)
    if kind == "rotary":
        layer.rotary = RotaryEmbedding(2, S).double()
    if kind == "plugged in":
        layer.attend = with_one_mask(scaled_dot_product_attention)
    with weights_recorded(layer) if kind == "recorded" else nullcontext():
        found = layer(numbers(b, t, WIDTH), None if s is None else numbers(b, s, WIDTH))
    assert found.shape == (b, t, WIDTH)
    if s == 0:  # nothing to gather: zeros go into the last projection
        assert_close(found, layer.out_proj.bias.expand(b, t, WIDTH))


@pytest.mark.parametrize(
    ("k", "v", "came"),
    [
        ((1, H, 1, K), (1, H, 1, K), r"k \(1, 3, 1, 11\), v \(1, 3, 1, 11\)"),
        ((B, 1, 1, K), (B, 1, 1, K), r"k \(2, 1, 1, 11\), v \(2, 1, 1, 11\)"),
        ((B, H, 1, 1), (B, H, 1, 1), r"k \(2, 3, 1, 1\), v \(2, 3, 1, 1\)"),
        ((B, H, 5, K), (B, H, 1, K), r"k \(2, 3, 5, 11\), v \(2, 3, 1, 11\)"),
    ],
    ids=["rows", "heads", "width", "fewer values"],
)
def test_a_cache_for_others(own_errors, k, v, came):
    """torch would copy one head into three, without a word."""
    cache = KVCache(B, H, S, K)
    with pytest.raises(ValueError, match=f"^the cache holds 2 rows, 3 heads of width 11; got {came}$"):
        cache.append(torch.ones(k), torch.ones(v))
    assert cache.length == 0


def test_a_cache_and_a_context_exclude_each_other():
    x = numbers(B, T, WIDTH, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"a cache keeps the tokens of x, .* together with a context"):
        MultiHeadAttention(WIDTH, 6)(x, x, cache=KVCache(B, 6, T, 2))
