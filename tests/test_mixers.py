"""What can take the place of attention: against loops, NumPy, Hugging Face's FNet, and torch's layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from tensors import Largest, assert_close, numbers, randomise, seeded
from torch import nn

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.blocks import make_block
from course_lib.mixers import FourierMixing, LinearAttention, MLPMixing, linear_attention

B, H, T, S, K, V = 2, 3, 5, 7, 11, 13
D = 6 * 2
# One token, one chunk of 64, just below, just above, several, not a multiple.
LENGTHS = [1, 2, 63, 64, 65, 131, 192]


def qkv(t=T, s=S, lead=(B, H), dtype=torch.float64):
    return tuple(
        numbers(*lead, *shape, seed=n, dtype=dtype) for n, shape in enumerate([(t, K), (s, K), (s, V)])
    )


def random_mask(*shape):
    return torch.rand(*shape, generator=seeded(1)) < 0.6


def phi(x):
    """elu(x) + 1, by cases."""
    return torch.where(x > 0, x + 1, x.exp())


def quadratic(q, k, v, mask=None, causal=False):
    """The T x S weights that linear attention never writes down."""
    weights = phi(q) @ phi(k).mT
    if causal:
        weights = weights.tril()
    if mask is not None:
        weights = weights * mask[..., None, :]
    sums = weights.sum(-1, keepdim=True)
    return weights @ v / sums.where(sums > 0, 1.0)


# --------------------------------------------------------------------------------- linear attention, function


def test_equals_the_loops():
    q, k, v = qkv(T, T, lead=())
    for causal in (False, True):
        expected = torch.zeros(T, V, dtype=torch.float64)
        for t in range(T):
            total = 0.0
            for s in range(t + 1 if causal else T):
                weight = sum(phi(q[t, i]) * phi(k[s, i]) for i in range(K))
                expected[t] += weight * v[s]
                total += weight
            expected[t] /= total
        assert_close(linear_attention(q, k, v, causal=causal), expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_quadratic_form(length, masked, causal):
    q, k, v = qkv(length, length)
    mask = random_mask(B, 1, length) if masked else None
    assert_close(linear_attention(q, k, v, mask=mask, causal=causal), quadratic(q, k, v, mask, causal), 1e-11)


@pytest.mark.parametrize("shape", [(S,), (1, S), (H, S), (B, 1, S), (B, H, S)], ids=str)
def test_other_keys_than_queries_and_every_mask(shape):
    q, k, v = qkv()
    assert_close(linear_attention(q, k, v), quadratic(q, k, v))
    mask = random_mask(*shape)
    assert_close(linear_attention(q, k, v, mask=mask), quadratic(q, k, v, mask))


def test_float32_and_large_inputs():
    q, k, v = qkv(257, 257, dtype=torch.float32)
    for causal in (False, True):
        ours = linear_attention(q, k, v, causal=causal)
        assert ours.dtype == torch.float32
        exact = quadratic(q.double(), k.double(), v.double(), causal=causal)
        assert_close(ours, exact.float(), 1e-5)
        assert linear_attention(100 * q, 100 * k, v, causal=causal).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("low", [-18.0, -30.0])
def test_keys_far_below_zero_count_as_much_as_they_should(low, dtype):
    """Of weights that are all tiny, elu(x) + 1 leaves zeros: it rounds elu(x) to -1 first."""
    k = torch.tensor([[low], [low + 1]], dtype=dtype)
    mix = linear_attention(torch.ones(1, 1, dtype=dtype), k, torch.tensor([[0.0], [1.0]], dtype=dtype))
    assert mix.item() == pytest.approx(np.e / (1 + np.e), rel=1e-6 if dtype == torch.float32 else 0.02)


def test_gradients_of_the_features():
    """Also at 0, where its two parts meet, and where exp(x) alone would overflow."""
    k = torch.tensor([[-200.0], [-18.0], [0.0], [100.0], [1000.0]], dtype=torch.float64, requires_grad=True)
    weights = linear_attention(torch.ones(1, 1).double(), k, torch.eye(5).double())  # phi(k) / their sum
    total = phi(k.detach()).sum()
    slopes = torch.tensor([np.exp(-200.0), np.exp(-18.0), 1.0, 1.0, 1.0], dtype=torch.float64)
    for n in range(5):
        (found,) = torch.autograd.grad(weights[0, n], k, retain_graph=True)
        expected = -weights[0, n].detach() / total * slopes
        expected[n] += slopes[n] / total
        assert_close(found[:, 0], expected, 1e-15)


@pytest.mark.parametrize("causal", [False, True])
def test_where_no_key_is_used_there_are_zeros_and_finite_gradients(causal):
    q, k, v = (x.requires_grad_() for x in qkv(S, S))
    mask = torch.ones(B, 1, S, dtype=torch.bool)
    mask[0], mask[1, 0, :3] = False, False
    mix = linear_attention(q, k, v, mask=mask, causal=causal)
    assert_close(mix, quadratic(q, k, v, mask, causal))
    assert (mix[0] == 0).all()
    assert (mix[1, :, 3:] != 0).all()
    assert (mix[1, :, :3] == 0).all() == causal
    mix.square().sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all()
        assert (x.grad[0] == 0).all()


@pytest.mark.parametrize(("length", "first"), [(5, 0), (5, 3), (64, 63), (131, 1), (131, 64), (131, 100)])
def test_later_keys_change_nothing_before(length, first):
    """Bit-identical, also within a chunk."""
    q, k, v = qkv(length, length)
    other = [x.clone() for x in (q, k, v)]
    for x in other:
        x[..., first:, :] += 1
    before, after = linear_attention(q, k, v, causal=True), linear_attention(*other, causal=True)
    assert torch.equal(before[..., :first, :], after[..., :first, :])
    assert (before[..., first:, :] != after[..., first:, :]).any()


def largest(function, length):
    q, k, v = (x.requires_grad_() for x in qkv(length, length, lead=(1,)))
    with Largest() as watch:
        function(q, k, v).sum().backward()
    return watch.elements


@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_length_not_with_its_square(causal):
    def ours(q, k, v):
        return linear_attention(q, k, v, causal=causal)

    sizes = {length: largest(ours, length) for length in (512, 1024, 4096)}
    assert sizes[1024] <= 2.01 * sizes[512]
    assert sizes[4096] <= 8.01 * sizes[512]
    assert sizes[4096] <= 4096 * 64  # per token no more than the scores within a chunk, far from K x V
    assert largest(quadratic, 1024) >= 1024**2  # and the watch would see it


# ------------------------------------------------------------------------------------ linear attention, layer


def by_hand(layer, x, source, mask=None, causal=False):
    """Head after head, with the layer's weights."""
    heads, d_head = [], D // H
    for h in range(H):
        rows = slice(h * d_head, (h + 1) * d_head)
        q, k, v = (
            F.linear(y, project.weight[rows], project.bias[rows])
            for y, project in ((x, layer.q_proj), (source, layer.k_proj), (source, layer.v_proj))
        )
        heads.append(quadratic(q, k, v, mask, causal))
    return layer.out_proj(torch.cat(heads, dim=-1))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [S, 131])
def test_layer_equals_head_after_head(causal, length):
    layer = randomise(LinearAttention(D, H, causal=causal).double(), std=0.5)
    x, mask = numbers(B, length, D), random_mask(B, length)
    mask[:, 0] = True
    assert_close(layer(x), by_hand(layer, x, x, causal=causal), 1e-11)
    assert_close(layer(x, mask=mask[:, None, None]), by_hand(layer, x, x, mask, causal), 1e-11)


@pytest.mark.parametrize("shape", [(1, S), (1, 1, S), (H, 1, S), (B, 1, 1, S), (B, H, 1, S)], ids=str)
def test_layer_takes_masks_as_attention_does(shape):
    layer, x, mask = randomise(LinearAttention(D, H).double(), std=0.5), numbers(B, S, D), random_mask(*shape)
    mask[..., 0] = True
    seen = []
    layer.out_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0].unflatten(-1, (H, -1))))
    layer(x, mask=mask)
    q, k, v = (
        project(x).unflatten(-1, (H, -1)).transpose(1, 2)
        for project in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    expected = quadratic(q, k, v, mask.expand(B, H, 1, S).squeeze(-2))
    assert_close(seen[0].transpose(1, 2), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_layer_has_the_parameters_of_attention(bias):
    ours, attention = LinearAttention(D, H, bias=bias), MultiHeadAttention(D, H, bias=bias)
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in attention.named_parameters()
    }


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="n_heads must divide d_model: got n_heads=5, d_model=12"):
        LinearAttention(D, 5)


# -------------------------------------------------------------------------------------------- Fourier and MLP


@pytest.mark.parametrize("length", [1, T, 16])
def test_fourier_equals_numpy(length):
    x = numbers(B, length, D)
    assert_close(FourierMixing()(x), torch.from_numpy(np.fft.fft2(x.numpy(), axes=(1, 2)).real))


def test_fourier_equals_hugging_face():
    config = transformers.FNetConfig(hidden_size=D, max_position_embeddings=T)
    theirs = transformers.models.fnet.modeling_fnet.FNetBasicFourierTransform(config)
    for dtype, atol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = numbers(B, T, D, dtype=dtype)
        assert_close(FourierMixing()(x), theirs(x)[0], atol)


def test_mlp_equals_the_mixer_written_with_torch():
    ours = randomise(MLPMixing(T, K).double())
    up, down = nn.Linear(T, K).double(), nn.Linear(K, T).double()
    up.load_state_dict(ours.up_proj.state_dict())
    down.load_state_dict(ours.down_proj.state_dict())
    x = numbers(B, T, D)
    assert_close(ours(x), nn.Sequential(up, nn.GELU(), down)(x.transpose(1, 2)).transpose(1, 2))
    for column in range(D):  # each column alone: nothing passes between columns
        alone = ours(x[:, :, column : column + 1])
        assert_close(ours(x)[:, :, column : column + 1], alone)


# ---------------------------------------------------------------------------------------- what they all share


EVERY_MIXER = {
    "linear": lambda: LinearAttention(D, H),
    "linear, causal": lambda: LinearAttention(D, H, causal=True),
    "fourier": FourierMixing,
    "mlp": lambda: MLPMixing(T, K),
}
every_mixer = pytest.mark.parametrize("mixer", list(EVERY_MIXER))


@every_mixer
def test_in_the_place_of_attention_in_a_block(mixer):
    block = make_block(D, H, mixer=EVERY_MIXER[mixer]).double()
    x = numbers(B, T, D)
    between = x + block.attention(block.attention_norm(x))
    assert_close(block(x), between + block.feed_forward(block.feed_forward_norm(between)))


@every_mixer
def test_nothing_is_made_on_another_device(mixer):
    """The meta device stands for an accelerator."""
    with torch.device("meta"):
        module = EVERY_MIXER[mixer]()
    assert module(torch.empty(B, T, D, device="meta")).is_meta


# ------------------------------------------------------------------------------------------ errors for humans


@pytest.mark.parametrize("shape", [(T, T), (B, H, T, T), (B, 1, 1, T + 1), (T,)], ids=str)
def test_masks_that_linear_attention_cannot_honour(own_errors, shape):
    with pytest.raises(ValueError, match=r"mask can only leave out keys: \(..., 1, 5\); got \(") as caught:
        LinearAttention(D, H)(torch.zeros(B, T, D), mask=torch.ones(shape, dtype=torch.bool))
    assert str(caught.value).endswith(f"got {shape}")


@pytest.mark.parametrize("lead", [(B + 1, 1), (B, H + 1), (3, B, H)], ids=str)
def test_masks_for_others(own_errors, lead):
    mask = torch.ones(*lead, 1, T, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"^mask must broadcast to \(2, 3, 5, 5\) .* got \(") as caught:
        LinearAttention(D, H)(torch.zeros(B, T, D), mask=mask)
    assert str(caught.value).endswith(f"got {(*lead, 1, T)}")


@pytest.mark.parametrize(
    ("mixer", "what", "message"),
    [
        ("fourier", {"mask": torch.ones(T, T).bool()}, "FourierMixing mixes all .*: it can honour no mask"),
        ("fourier", {"cache": KVCache(B, H, T, K)}, "FourierMixing mixes all .*: it can honour no cache"),
        ("mlp", {"mask": torch.ones(T, T).bool()}, "MLPMixing mixes all .*: it can honour no mask"),
        ("mlp", {"cache": KVCache(B, H, T, K)}, "MLPMixing mixes all .*: it can honour no cache"),
        ("mlp", {"x": torch.zeros(B, T - 1, D)}, "MLPMixing needs exactly 5 tokens; got 4"),
        ("mlp", {"x": torch.zeros(B, 0, D)}, "MLPMixing needs exactly 5 tokens; got 0"),
        ("linear", {"cache": KVCache(B, H, T, K)}, "^LinearAttention keeps no keys .* can honour no cache$"),
    ],
)
def test_what_a_mixer_cannot_honour(own_errors, mixer, what, message):
    with pytest.raises(ValueError, match=message):
        EVERY_MIXER[mixer]()(**({"x": torch.zeros(B, T, D)} | what))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"k": (B, H, S, K + 2)}, {}, "q and k must have the same width"),
        ({"v": (B, H, S - 2, V)}, {}, "k and v must have one row per key"),
        ({}, {"causal": True}, "causal needs one key per query; got 5 queries, 7 keys"),
        ({}, {"mask": torch.ones(S)}, r"mask must be boolean \(True = use this key\); got torch.float32"),
        ({}, {"mask": torch.ones(S).long()}, r"mask must be boolean \(True = .*; got torch.int64"),
        ({}, {"mask": torch.ones(5).bool()}, r"^mask must broadcast to \(2, 3, 7\) .*keys\); got \(5,\)$"),
        # torch would make eleven answers out of one.
        ({}, {"mask": torch.ones(11, B, H, S).bool()}, r"to \(2, 3, 7\) .*; got \(11, 2, 3, 7\)$"),
        ({}, {"mask": torch.ones(5, 1, S).bool()}, r"to \(2, 3, 7\) .*; got \(5, 1, 7\)$"),
        (
            {"k": (B, 1, S, K), "v": (B, 1, S, V)},
            {},
            r"^q, k and v must have the same leading axes; got \[\(2, 3\), \(2, 1\), \(2, 1\)\]$",
        ),
        ({"q": (B, 6, T, K)}, {}, r"the same leading axes; got \[\(2, 6\), \(2, 3\), \(2, 3\)\]$"),
    ],
)
def test_what_does_not_fit(own_errors, changes, options, message):
    shapes = {"q": (B, H, T, K), "k": (B, H, S, K), "v": (B, H, S, V)} | changes
    with pytest.raises(ValueError, match=message):
        linear_attention(*(torch.zeros(shape) for shape in shapes.values()), **options)


# ----------------------------------------------------------------------------------------------- empty inputs


@pytest.mark.parametrize(("lead", "t", "s"), [((0, H), T, S), ((B, H), 0, S), ((B, H), T, 0), ((B, H), 0, 0)])
def test_linear_attention_over_nothing_is_zeros(lead, t, s):
    q, k, v = qkv(t, s, lead)
    mix = linear_attention(q, k, v, mask=torch.ones(s, dtype=torch.bool))
    assert_close(mix, quadratic(q, k, v) if s else torch.zeros(*lead, t, V, dtype=torch.float64))
    assert linear_attention(*qkv(t, t, lead), causal=True).shape == (*lead, t, V)


@pytest.mark.parametrize(
    ("mixer", "b", "t"),
    [("linear", 0, T), ("linear", B, 0), ("fourier", 0, T), ("fourier", B, 0), ("mlp", 0, T)],
)
def test_no_rows_or_no_tokens(mixer, b, t):
    assert EVERY_MIXER[mixer]().double()(numbers(b, t, D)).shape == (b, t, D)
