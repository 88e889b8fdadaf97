"""What can take the place of attention: against loops, NumPy, Hugging Face's FNet, and torch's layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.blocks import TransformerStack, make_block
from course_lib.mixers import FourierMixing, LinearAttention, MLPMixing, linear_attention

B, H, T, S, K, V = 2, 3, 5, 7, 11, 13
D = 6 * 2
# One token, one chunk of 64, just below, just above, several, not a multiple.
LENGTHS = [1, 2, 63, 64, 65, 131, 192]


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + sum(shape)))


def close(ours, theirs, atol=1e-12):
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def qkv(t=T, s=S, lead=(B, H), dtype=torch.float64):
    return tuple(
        numbers(*lead, *shape, seed=n, dtype=dtype) for n, shape in enumerate([(t, K), (s, K), (s, V)])
    )


def random_mask(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.6


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


def permuted(module, x, order):
    """Does it matter whether the tokens are put in another order before or after?"""
    return (module(x[:, order]) - module(x)[:, order]).abs().max().item()


def randomise(module, std=0.5):
    for n, parameter in enumerate(module.parameters()):
        parameter.data = std * numbers(*parameter.shape, seed=n)
    return module.double()


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
        close(linear_attention(q, k, v, causal=causal), expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_quadratic_form(length, masked, causal):
    q, k, v = qkv(length, length)
    mask = random_mask(B, 1, length) if masked else None
    close(linear_attention(q, k, v, mask=mask, causal=causal), quadratic(q, k, v, mask, causal), 1e-11)


@pytest.mark.parametrize("shape", [(S,), (1, S), (H, S), (B, 1, S), (B, H, S)], ids=str)
def test_other_keys_than_queries_and_every_mask(shape):
    q, k, v = qkv()
    close(linear_attention(q, k, v), quadratic(q, k, v))
    mask = random_mask(*shape)
    close(linear_attention(q, k, v, mask=mask), quadratic(q, k, v, mask))


def test_float32_and_large_inputs():
    q, k, v = qkv(257, 257, dtype=torch.float32)
    for causal in (False, True):
        ours = linear_attention(q, k, v, causal=causal)
        assert ours.dtype == torch.float32
        exact = quadratic(q.double(), k.double(), v.double(), causal=causal)
        close(ours, exact.float(), 1e-5)
        assert linear_attention(100 * q, 100 * k, v, causal=causal).isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_where_no_key_is_used_there_are_zeros_and_finite_gradients(causal):
    q, k, v = (x.requires_grad_() for x in qkv(S, S))
    mask = torch.ones(B, 1, S, dtype=torch.bool)
    mask[0], mask[1, 0, :3] = False, False
    mix = linear_attention(q, k, v, mask=mask, causal=causal)
    close(mix, quadratic(q, k, v, mask, causal))
    assert (mix[0] == 0).all()
    assert (mix[1, :, 3:] != 0).all()
    assert (mix[1, :, :3] == 0).all() == causal
    mix.square().sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all()
        assert (x.grad[0] == 0).all()


@settings(deadline=None, max_examples=25)
@given(length=st.sampled_from([5, 64, 131]), place=st.floats(0, 1), seed=st.integers(0, 1000))
def test_later_keys_change_nothing_before(length, place, seed):
    """Bit-identical, also within a chunk."""
    first = min(int(place * length), length - 1)
    q, k, v = qkv(length, length)
    other = [x.clone() for x in (q, k, v)]
    for n, x in enumerate(other):
        x[..., first:, :] = numbers(*x[..., first:, :].shape, seed=seed + n + 100)
    before, after = linear_attention(q, k, v, causal=True), linear_attention(*other, causal=True)
    assert torch.equal(before[..., :first, :], after[..., :first, :])
    assert (before[..., first:, :] != after[..., first:, :]).any()


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that any operation gives."""

    numbers = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return results


def largest(function, length):
    q, k, v = (x.requires_grad_() for x in qkv(length, length, lead=(1,)))
    with Largest() as watch:
        function(q, k, v).sum().backward()
    return watch.numbers


@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_length_not_with_its_square(causal):
    def ours(q, k, v):
        return linear_attention(q, k, v, causal=causal)

    sizes = {length: largest(ours, length) for length in (512, 1024, 4096)}
    assert sizes[1024] <= 2.01 * sizes[512]
    assert sizes[4096] <= 8.01 * sizes[512]
    assert sizes[4096] <= 4096 * 64  # per token no more than the scores within a chunk, far from K x V
    assert largest(quadratic, 1024) >= 1024**2  # and the watch would see it


@pytest.mark.parametrize("length", [2, 67])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients(causal, length):
    q, k, v = (x[..., :3].clone().requires_grad_() for x in qkv(length, length, lead=(1,)))
    mask = random_mask(1, length)

    def ours(q, k, v):
        return linear_attention(q, k, v, mask=mask, causal=causal)

    assert torch.autograd.gradcheck(ours, (q, k, v), fast_mode=length > 10)


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
    layer = randomise(LinearAttention(D, H, causal=causal))
    x, mask = numbers(B, length, D), random_mask(B, length)
    mask[:, 0] = True
    close(layer(x), by_hand(layer, x, x, causal=causal), 1e-11)
    close(layer(x, mask=mask[:, None, None]), by_hand(layer, x, x, mask, causal), 1e-11)


@pytest.mark.parametrize("shape", [(1, S), (1, 1, S), (H, 1, S), (B, 1, 1, S), (B, H, 1, S)], ids=str)
def test_layer_takes_masks_as_attention_does(shape):
    layer, x, mask = randomise(LinearAttention(D, H)), numbers(B, S, D), random_mask(*shape)
    mask[..., 0] = True
    seen = []
    layer.out_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0].unflatten(-1, (H, -1))))
    layer(x, mask=mask)
    q, k, v = (
        project(x).unflatten(-1, (H, -1)).transpose(1, 2)
        for project in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    expected = quadratic(q, k, v, mask.expand(B, H, 1, S).squeeze(-2))
    close(seen[0].transpose(1, 2), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_layer_has_the_parameters_of_attention(bias):
    ours, attention = LinearAttention(D, H, bias=bias), MultiHeadAttention(D, H, bias=bias)
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in attention.named_parameters()
    }


def test_layer_gradients():
    layer, x = randomise(LinearAttention(4, 2, causal=True)), numbers(1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


# -------------------------------------------------------------------------------------------- Fourier and MLP


@pytest.mark.parametrize("length", [1, T, 16])
def test_fourier_equals_numpy(length):
    x = numbers(B, length, D)
    close(FourierMixing()(x), torch.from_numpy(np.fft.fft2(x.numpy(), axes=(1, 2)).real))


def test_fourier_equals_hugging_face():
    config = transformers.FNetConfig(hidden_size=D, max_position_embeddings=T)
    theirs = transformers.models.fnet.modeling_fnet.FNetBasicFourierTransform(config)
    for dtype, atol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = numbers(B, T, D, dtype=dtype)
        close(FourierMixing()(x), theirs(x)[0], atol)


def test_fourier_learns_nothing_and_has_gradients():
    assert list(FourierMixing().parameters()) == []
    assert torch.autograd.gradcheck(FourierMixing(), (numbers(2, 3, 5).requires_grad_(),))


def test_mlp_equals_the_mixer_written_with_torch():
    ours = randomise(MLPMixing(T, K))
    up, down = nn.Linear(T, K).double(), nn.Linear(K, T).double()
    up.load_state_dict(ours.up_proj.state_dict())
    down.load_state_dict(ours.down_proj.state_dict())
    x = numbers(B, T, D)
    close(ours(x), nn.Sequential(up, nn.GELU(), down)(x.transpose(1, 2)).transpose(1, 2))
    for column in range(D):  # each column alone: nothing passes between columns
        alone = ours(x[:, :, column : column + 1])
        close(ours(x)[:, :, column : column + 1], alone)


def test_mlp_gradients():
    assert torch.autograd.gradcheck(randomise(MLPMixing(3, 5)), (numbers(2, 3, 2).requires_grad_(),))


# ---------------------------------------------------------------------------------------- what they all share


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(T)))
def test_only_linear_attention_without_causal_has_no_order(order):
    x = numbers(B, T, D)
    assert permuted(randomise(LinearAttention(D, H)), x, order) < 1e-12
    if order != sorted(order):
        assert permuted(randomise(LinearAttention(D, H, causal=True)), x, order) > 1e-3
        assert permuted(randomise(MLPMixing(T, K)), x, order) > 1e-3
    # The Fourier transform of a mirrored or turned sequence is a turned one; neighbours swapped are not.
    swapped = [1, 0, 2, 3, 4]
    assert permuted(FourierMixing(), x, swapped) > 1e-3


EVERY_MIXER = {
    "linear": lambda: LinearAttention(D, H),
    "linear, causal": lambda: LinearAttention(D, H, causal=True),
    "fourier": FourierMixing,
    "mlp": lambda: MLPMixing(T, K),
}
every_mixer = pytest.mark.parametrize("mixer", list(EVERY_MIXER))


@every_mixer
def test_called_as_a_block_calls_it(mixer):
    module, x = EVERY_MIXER[mixer]().double(), numbers(B, T, D)
    mixed = module(x, mask=None, cache=None)
    close(mixed, module(x))
    assert (mixed[0, 0] != module(torch.cat([x[:, :1] + 1, x[:, 1:]], dim=1))[0, 0]).any()
    others = torch.cat([x[:1], x[1:] + 1])  # as many, because other sizes may be rounded in another way
    assert torch.equal(mixed[:1], module(others)[:1])  # texts of a batch never meet


@every_mixer
def test_in_the_place_of_attention_in_a_block(mixer):
    block = make_block(D, H, mixer=EVERY_MIXER[mixer]).double()
    x = numbers(B, T, D)
    between = x + block.attention(block.attention_norm(x))
    close(block(x), between + block.feed_forward(block.feed_forward_norm(between)))


def test_in_a_stack_with_padding():
    stack = TransformerStack(D, 2, H, mixer=EVERY_MIXER["linear"]).double()
    x, mask = numbers(B, T, D), torch.ones(B, 1, 1, T, dtype=torch.bool)
    mask[1, ..., 3:] = False
    close(stack(x, mask=mask)[1, :3], stack(x[1:, :3])[0])


@every_mixer
def test_nothing_is_made_on_another_device(mixer):
    """The meta device stands for an accelerator."""
    with torch.device("meta"):
        module = EVERY_MIXER[mixer]()
    assert module(torch.empty(B, T, D, device="meta")).is_meta


# ------------------------------------------------------------------------------------------ errors for humans


def test_causal_needs_one_key_per_query(own_errors):
    with pytest.raises(ValueError, match="causal needs one key per query; got 5 queries, 7 keys"):
        linear_attention(*qkv(), causal=True)


def test_masks_that_are_not_boolean(own_errors):
    for mask in (torch.ones(S), torch.ones(S, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"mask must be boolean \(True = use this key\); got torch"):
            linear_attention(*qkv(), mask=mask)


@pytest.mark.parametrize("shape", [(T, T), (B, H, T, T), (B, 1, 1, T + 1), (T,)], ids=str)
def test_masks_that_linear_attention_cannot_honour(own_errors, shape):
    with pytest.raises(ValueError, match=r"mask can only leave out keys: \(..., 1, 5\); got \(") as caught:
        LinearAttention(D, H)(torch.zeros(B, T, D), mask=torch.ones(shape, dtype=torch.bool))
    assert str(caught.value).endswith(f"got {shape}")


@pytest.mark.parametrize("n_heads", [0, 5, -2])
def test_heads_that_do_not_divide_the_width(n_heads):
    with pytest.raises(ValueError, match=f"n_heads must divide d_model: got n_heads={n_heads}, d_model=12"):
        LinearAttention(D, n_heads)


@pytest.mark.parametrize("mixer", ["fourier", "mlp"])
def test_what_fourier_and_mlp_cannot_honour(own_errors, mixer):
    module, x = EVERY_MIXER[mixer](), torch.zeros(B, T, D)
    bad = {"mask": torch.ones(T, T).bool(), "cache": KVCache(B, H, T, K)}
    for what, value in bad.items():
        with pytest.raises(
            ValueError, match=f"Mixing mixes all tokens of x, always: it can honour no {what}"
        ):
            module(x, **{what: value})


def test_linear_attention_refuses_a_cache_of_keys(own_errors):
    cache = KVCache(B, H, T, D // H)
    with pytest.raises(
        ValueError, match=r"^LinearAttention keeps no keys and values: it can honour no cache$"
    ):
        EVERY_MIXER["linear, causal"]()(torch.zeros(B, T, D), cache=cache)


@pytest.mark.parametrize("length", [T - 1, T + 1])
def test_mlp_needs_exactly_its_length(length):
    with pytest.raises(ValueError, match=f"MLPMixing needs exactly 5 tokens; got {length}"):
        MLPMixing(T, K)(torch.zeros(B, length, D))


@pytest.mark.parametrize("changes", [{"k": (B, H, S, K + 2)}, {"v": (B, H, S - 2, V)}], ids=["width", "rows"])
def test_keys_and_values_that_do_not_fit(own_errors, changes):
    shapes = {"q": (B, H, T, K), "k": (B, H, S, K), "v": (B, H, S, V)} | changes
    message = r"q and k must have the same width|k and v must have one row per key"
    with pytest.raises(ValueError, match=message):
        linear_attention(*(torch.zeros(shape) for shape in shapes.values()))


# ----------------------------------------------------------------------------------------------- empty inputs


@pytest.mark.parametrize(("lead", "t", "s"), [((0, H), T, S), ((B, H), 0, S), ((B, H), T, 0), ((B, H), 0, 0)])
def test_linear_attention_over_nothing_is_zeros(lead, t, s):
    q, k, v = qkv(t, s, lead)
    mix = linear_attention(q, k, v, mask=torch.ones(s, dtype=torch.bool))
    close(mix, quadratic(q, k, v) if s else torch.zeros(*lead, t, V, dtype=torch.float64))


@pytest.mark.parametrize(("lead", "t"), [((0, H), T), ((B, H), 0)])
def test_causal_linear_attention_over_nothing(lead, t):
    assert linear_attention(*qkv(t, t, lead), causal=True).shape == (*lead, t, V)


@pytest.mark.parametrize("mixer", ["linear", "linear, causal", "fourier"])
@pytest.mark.parametrize(("b", "t"), [(0, T), (B, 0)])
def test_no_rows_or_no_tokens(mixer, b, t):
    assert EVERY_MIXER[mixer]().double()(numbers(b, t, D)).shape == (b, t, D)


def test_mlp_without_rows_or_tokens():
    assert MLPMixing(T, K).double()(numbers(0, T, D)).shape == (0, T, D)
    with pytest.raises(ValueError, match="MLPMixing needs exactly 5 tokens; got 0"):
        MLPMixing(T, K).double()(numbers(B, 0, D))
