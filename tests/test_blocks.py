"""The layer and its parts against NumPy and against torch's own layer."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib import maths
from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.blocks import (
    ACTIVATIONS,
    FeedForward,
    LayerNorm,
    PlainActivation,
    RMSNorm,
    TransformerBlock,
    TransformerStack,
    cached_length,
    check_ids,
    check_numbers,
    initialise,
    make_block,
    make_norm,
)
from course_lib.mixers import FourierMixing, LinearAttention, MLPMixing
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding

B, T, D, H, D_FF = 2, 5, 21, 3, 13


def numbers(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + sum(shape)))


def randomise(module, std=0.5):
    """Every parameter counts: biases, and scales that are not 1."""
    for n, parameter in enumerate(module.parameters()):
        parameter.data = std * numbers(*parameter.shape, dtype=parameter.dtype, seed=n)
    return module


def assert_close(ours, theirs, atol=1e-10):
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, torch.as_tensor(theirs), rtol=0, atol=atol)


def arrays(*tensors):
    return [x.detach().numpy() for x in tensors]


@pytest.mark.parametrize("eps", [1e-5, 0.37])  # the large one shows whether it arrives, and where
def test_norms_equal_numpy_and_torch(eps):
    x = 2 + numbers(B, T, D)
    layer, rms = randomise(LayerNorm(D, eps=eps).double()), randomise(RMSNorm(D, eps=eps).double())
    assert_close(layer(x), maths.layer_norm(*arrays(x, layer.weight, layer.bias), eps))
    assert_close(rms(x), maths.rms_norm(*arrays(x, rms.weight), eps))
    for ours, theirs in [(layer, nn.LayerNorm(D, eps=eps).double()), (rms, nn.RMSNorm(D, eps=eps).double())]:
        theirs.load_state_dict(ours.state_dict())
        assert_close(ours(x), theirs(x))


def test_norms_start_as_pure_normalisation():
    x = 5 + 3 * numbers(B, T, D)
    layer, rms = LayerNorm(D).double()(x), RMSNorm(D).double()(x)
    assert_close(layer.mean(-1), torch.zeros(B, T, dtype=torch.float64))
    assert_close(layer.var(-1, correction=0), torch.ones(B, T, dtype=torch.float64), atol=1e-4)
    assert_close(rms.square().mean(-1), torch.ones(B, T, dtype=torch.float64), atol=1e-4)


def test_layer_norm_without_bias():
    assert set(LayerNorm(D, bias=False).state_dict()) == {"weight"}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "swiglu"])
def test_feed_forward_equals_numpy(activation, bias):
    mlp = randomise(FeedForward(D, D_FF, activation=activation, bias=bias).double())
    x = numbers(B, T, D)

    def linear(layer, x):
        weight, *rest = arrays(*layer.parameters())
        assert len(rest) == bias
        return x @ weight.T + (rest[0] if rest else 0)

    def silu(x):
        return x / (1 + np.exp(-x))

    up = linear(mlp.up_proj, x.numpy())
    hidden = {
        # Hendrycks and Gimpel 2016: x times the probability that a standard normal lies below x; section 2
        "gelu": lambda: up * (1 + np.vectorize(math.erf)(up / math.sqrt(2))) / 2,
        "gelu_tanh": lambda: (
            up * maths.softmax([0 * up, 2 * (2 / 3.141592653589793) ** 0.5 * (up + 0.044715 * up**3)], 0)[1]
        ),
        "relu": lambda: up.clip(0),
        "swiglu": lambda: silu(linear(mlp.gate_proj, x.numpy())) * up,
    }[activation]()
    assert_close(mlp(x), linear(mlp.down_proj, hidden))
    assert mlp.up_proj.out_features == D_FF


def torch_layer(norm_first, dtype):
    layer = nn.TransformerEncoderLayer(
        D, H, D_FF, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first, dtype=dtype
    )
    return randomise(layer)


def copy_weights(ours, theirs):
    """torch's encoder or decoder layer into ours."""
    names = {
        "norm1": "attention_norm",
        "norm2": "feed_forward_norm",
        "linear1": "feed_forward.up_proj",
        "linear2": "feed_forward.down_proj",
        "self_attn.out_proj": "attention.out_proj",
    }
    state = {}
    for name, value in theirs.state_dict().items():
        module, _, kind = name.rpartition(".")
        if kind.startswith("in_proj_"):
            for part, chunk in zip("qkv", value.chunk(3), strict=True):
                state[f"attention.{part}_proj.{kind.removeprefix('in_proj_')}"] = chunk
        else:
            state[f"{names[module]}.{kind}"] = value
    ours.load_state_dict(state)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_equals_torchs_encoder_layer(norm_first, masked, dtype, atol):
    theirs = torch_layer(norm_first, dtype)
    ours = make_block(D, H, D_FF, norm_first=norm_first).to(dtype)
    copy_weights(ours, theirs)
    x = numbers(B, T, D, dtype=dtype)
    mask = torch.ones(T, T).tril().bool() if masked else None
    assert_close(ours(x, mask=mask), theirs(x, src_mask=~mask if masked else None), atol)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_stack_equals_torchs_encoder(norm_first):
    layer = torch_layer(norm_first, torch.float64)
    last = nn.LayerNorm(D, dtype=torch.float64) if norm_first else None
    theirs = randomise(nn.TransformerEncoder(layer, 3, norm=last, enable_nested_tensor=False), std=0.3)
    ours = TransformerStack(D, 3, H, D_FF, norm_first=norm_first).double()
    for block, layer in zip(ours.blocks, theirs.layers, strict=True):
        copy_weights(block, layer)
    if norm_first:
        ours.final_norm.load_state_dict(theirs.norm.state_dict())
    x = numbers(B, T, D)
    assert_close(ours(x), theirs(x))
    assert (ours.blocks[0](x) - ours(x)).abs().max() > 0.1


def test_a_block_that_adds_nothing_is_the_identity():
    block = randomise(make_block(D, H, D_FF).double())
    for linear in (block.attention.out_proj, block.feed_forward.down_proj):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    x = numbers(B, T, D)
    assert torch.equal(block(x), x)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 11),
    st.sampled_from([(1, 1), (2, 1), (3, 3), (6, 2)]),
    st.sampled_from([2, 5]),
    st.booleans(),
    st.sampled_from(["layer", "rms"]),
    st.sampled_from(["gelu", "relu", "swiglu"]),
    st.booleans(),
)
def test_as_many_vectors_come_out_as_went_in(b, t, heads, d_head, norm_first, norm_type, activation, causal):
    n_heads, n_kv_heads = heads
    stack = TransformerStack(
        n_heads * d_head,
        2,
        n_heads,
        7,
        n_kv_heads=n_kv_heads,
        norm_first=norm_first,
        norm_type=norm_type,
        activation=activation,
        causal=causal,
    )
    x = numbers(b, t, n_heads * d_head, dtype=torch.float32)
    y = stack(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    alone = stack(x[:1, :1] if causal else x[:1])
    torch.testing.assert_close(y[:1, :1] if causal else y[:1], alone, rtol=0, atol=1e-5)


def test_options_reach_every_block():
    stack = TransformerStack(D, 2, H, norm_type="rms", norm_eps=0.37, bias=False, causal=True)
    assert len(stack.blocks) == 2
    assert not [name for name in stack.state_dict() if name.endswith("bias")]
    assert [m.eps for m in stack.modules() if isinstance(m, RMSNorm)] == [0.37] * 5
    assert stack.blocks[1].feed_forward.up_proj.out_features == 4 * D
    x = numbers(B, T, D, dtype=torch.float32)
    changed = x.clone()
    changed[:, -1] += 1
    assert torch.equal(stack(x)[:, :-1], stack(changed)[:, :-1])


def test_a_mask_reaches_every_block():
    stack = randomise(TransformerStack(D, 2, H).double(), std=0.3)
    x, mask = numbers(B, T, D), torch.eye(T, dtype=torch.bool)
    alone = torch.cat([stack(x[:, t : t + 1]) for t in range(T)], dim=1)
    assert_close(stack(x, mask=mask), alone)
    assert (stack(x) - alone).abs().max() > 0.01


def test_all_parameters_learn():
    stack = TransformerStack(D, 2, H, activation="swiglu")
    stack(numbers(B, T, D, dtype=torch.float32)).square().mean().backward()
    # A constant added to all keys of a query changes no weight, so the key's bias alone has no gradient.
    without = {name for name, p in stack.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-8}
    assert without <= {f"blocks.{n}.attention.k_proj.bias" for n in range(2)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_norm("batch", D), "norm_type must be 'layer' or 'rms'; got 'batch'"),
        (
            lambda: make_block(D, H, norm_type="batch"),
            "norm_type must be 'layer' or 'rms'; got 'batch'",
        ),
        (
            lambda: FeedForward(D, D_FF, activation="tanh"),
            "activation must be gelu, gelu_tanh, relu or swiglu; got 'tanh'",
        ),
        (lambda: make_block(D, 5), "n_heads must divide d_model: got n_heads=5, d_model=21"),
    ],
)
def test_bad_settings(own_errors, build, message):
    with pytest.raises(ValueError, match=message):
        build()


# --------------------------------------------------------------------------------- cross-attention and mixers


def test_each_layer_gets_a_mixer_and_positions_of_its_own():
    class Double(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.full((1,), 2.0))

        def forward(self, x, mask=None, cache=None):
            return self.weight * x

    stack = TransformerStack(D, 2, H, mixer=Double).double()
    assert stack.blocks[0].attention is not stack.blocks[1].attention
    x = numbers(B, T, D)
    block = randomise(stack.blocks[0])
    middle = x + block.attention.weight * block.attention_norm(x)
    assert_close(block(x), middle + block.feed_forward(block.feed_forward_norm(middle)))
    relative = TransformerStack(D, 2, H, score_bias=lambda: RelativePositions(D // H, 2))
    first, second = (block.attention.score_bias for block in relative.blocks)
    assert first.weight is not second.weight


def test_what_a_layer_is_made_of_reaches_its_parts():
    rotary = RotaryEmbedding(D // H - 1, T)
    block = make_block(18, 3, n_kv_heads=1, rotary=rotary, bias=False, norm_eps=0.37, causal=True)
    assert block.attention.n_kv_heads == 1
    assert block.attention.k_proj.weight.shape == (6, 18)
    assert block.attention.q_proj.bias is None
    assert block.attention.rotary is rotary
    assert block.attention.causal
    assert [block.attention_norm.eps, block.feed_forward_norm.eps] == [0.37] * 2
    assert block.feed_forward.up_proj.bias is None
    assert block.feed_forward.up_proj.weight.shape == (4 * 18, 18)
    plain = FeedForward(D, D_FF)
    assert plain.activation == "gelu"
    assert plain.up_proj.bias is not None
    assert plain.down_proj.bias is not None
    assert {make_norm(kind, D).eps for kind in ("layer", "rms")} == {1e-5}


@pytest.mark.parametrize("norm_first", [True, False])
def test_with_a_cache_the_steps_of_a_stack_equal_one_pass(norm_first):
    stack = randomise(TransformerStack(D, 2, H, norm_first=norm_first, causal=True).double(), std=0.3)
    x = numbers(B, T, D)
    cache = [KVCache(B, H, T, D // H, dtype=torch.float64) for _ in range(2)]
    steps = torch.cat([stack(part, cache=cache) for part in x.split([2, 1, 2], dim=1)], dim=1)
    assert_close(steps, stack(x))
    assert [one.length for one in cache] == [T, T]


def test_initialise_draws_matrices_and_tables_and_leaves_norms_alone():
    module = nn.ModuleDict(
        {"linear": nn.Linear(101, 97), "table": nn.Embedding(89, 103), "norm": LayerNorm(83)}
    )
    module["linear"].bias.data.fill_(7.0)
    module["norm"].weight.data.fill_(3.0)
    for std, call in ((0.02, lambda: initialise(module)), (0.5, lambda: initialise(module, std=0.5))):
        call()
        for drawn in (module["linear"].weight, module["table"].weight):
            assert drawn.std().item() == pytest.approx(std, rel=0.05)
            assert abs(drawn.mean().item()) < std / 20
    assert not module["linear"].bias.any()
    assert (module["norm"].weight == 3).all()


@pytest.mark.parametrize(
    ("ids", "arguments", "message"),
    [
        ([[0, 7]], {"n_ids": 7}, "^token ids run from 0 to 6; got 7$"),
        ([[0, -1]], {"n_ids": 7}, "^token ids run from 0 to 6; got -1$"),
        ([[9, -2]], {"n_ids": 7}, "^token ids run from 0 to 6; got -2$"),
        ([[0, 0, 0]], {"n_ids": 2, "max_seq_len": 2}, "^a sequence must have 1 to 2 tokens; got 3$"),
        ([[], []], {"n_ids": 2, "max_seq_len": 2}, "^a sequence must have 1 to 2 tokens; got 0$"),
    ],
)
def test_ids_and_lengths_out_of_range(ids, arguments, message):
    with pytest.raises(ValueError, match=message):
        check_ids(torch.tensor(ids).long(), **arguments)


def test_numbers_of_any_shape_out_of_range():
    check_numbers(torch.tensor([0, 1]), 2, "segments")
    with pytest.raises(ValueError, match=r"^segments run from 0 to 1; got 3$"):
        check_numbers(torch.tensor([3]), 2, "segments")


def test_ids_and_lengths_just_in_range():
    check_ids(torch.tensor([[0, 6]]), 7, max_seq_len=2)
    check_ids(torch.tensor([[6]]), 7, max_seq_len=1)
    check_ids(torch.empty(2, 0).long(), 7)  # without a limit nothing is asked of the length
    check_ids(torch.full((1, 1), 9, device="meta"), 7)  # reading values would make an accelerator wait


class OnAnAcceleratorThatDoesNotLook(torch.Tensor):
    """A tensor that says it lives on a device where torch reads a table beyond its end without a word."""

    @property
    def device(self):
        return torch.device("mps")


def test_ids_are_looked_at_wherever_torch_does_not():
    ids = torch.tensor([[0, 7]]).as_subclass(OnAnAcceleratorThatDoesNotLook)
    assert ids.device.type == "mps"
    with pytest.raises(ValueError, match=r"^token ids run from 0 to 6; got 7$"):
        check_ids(ids, 7)


# -------------------------------------------------------------------------------- parts, hooks, and exchanges


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_is_made_of_the_parts_that_it_is_given(norm_first):
    """Its lines, written once more; the parts may be anybody's."""
    x, mask = numbers(B, T, D), torch.ones(T, T).tril().bool()
    attention = MultiHeadAttention(D, H).double()
    mlp = nn.Sequential(nn.Linear(D, D_FF), nn.Tanh(), nn.Linear(D_FF, D)).double()
    first, second = (randomise(nn.LayerNorm(D).double()) for _ in range(2))
    second.bias.data -= 1
    block = TransformerBlock(attention, mlp, first, second, norm_first=norm_first)
    if norm_first:
        middle = x + attention(first(x), mask=mask)
        expected = middle + mlp(second(middle))
    else:
        middle = first(x + attention(x, mask=mask))
        expected = second(middle + mlp(middle))
    assert_close(block(x, mask), expected)


def test_norm_can_be_changed_later():
    block = randomise(make_block(D, H).double())
    other = make_block(D, H, norm_first=False).double()
    other.load_state_dict(block.state_dict())
    x = numbers(B, T, D)
    assert (block(x) - other(x)).abs().max() > 0.1
    block.norm_first = False
    assert torch.equal(block(x), other(x))


def test_the_names_of_the_parameters():
    """Weights that were saved load for ever."""
    attention = [f"{part}_proj.{kind}" for part in ("q", "k", "v", "out") for kind in ("weight", "bias")]
    mlp = [f"{part}_proj.{kind}" for part in ("up", "down") for kind in ("weight", "bias")]
    norm = ["weight", "bias"]
    parts = {
        "attention_norm": norm,
        "attention": attention,
        "feed_forward_norm": norm,
        "feed_forward": mlp,
    }
    stack = TransformerStack(D, 1, H)
    names = [f"blocks.0.{part}.{name}" for part in parts for name in parts[part]]
    assert list(stack.state_dict()) == [*names, "final_norm.weight", "final_norm.bias"]


def test_ordinary_hooks_record_skip_and_exchange():
    """What experiments need, always through the real forward pass."""
    stack = randomise(TransformerStack(D, 3, H).double(), std=0.3)
    x = numbers(B, T, D)
    whole, seen = stack(x), {}

    def keep(name):
        return lambda module, args, output: seen.__setitem__(name, output)

    hooks = [stack.blocks[1].register_forward_hook(keep("stream"))]
    hooks += [stack.blocks[1].attention.register_forward_hook(keep("attention"))]
    hooks += [stack.blocks[1].feed_forward.register_forward_hook(keep("mlp"))]
    stack(x)
    before = stack.blocks[0](x)
    assert_close(before + seen["attention"] + seen["mlp"], seen["stream"])
    for hook in hooks:
        hook.remove()
    skip = stack.blocks[1].register_forward_hook(lambda module, args, output: args[0])
    first, _, last = stack.blocks
    assert torch.equal(stack(x), stack.final_norm(last(first(x))))
    skip.remove()
    stack.blocks[0], stack.blocks[2] = last, first
    assert torch.equal(stack(x), stack.final_norm(first(stack.blocks[1](last(x)))))
    stack.blocks[0], stack.blocks[2] = first, last
    assert torch.equal(stack(x), whole)


def test_every_activation_has_its_function():
    assert set(ACTIVATIONS) == set(get_args(PlainActivation))


# ------------------------------------------------------------------------ what a mixer cannot do for a stack


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"rotary": RotaryEmbedding(D // H - 1, T)}, "rotary"),
        ({"score_bias": lambda: ALiBi(H)}, "score_bias"),
        ({"n_kv_heads": 1}, "n_kv_heads"),
    ],
)
def test_what_a_mixer_would_ignore_is_refused(options, what):
    with pytest.raises(ValueError, match=f"^a mixer takes attention's place: it can be given no {what}$"):
        TransformerStack(D, 2, H, mixer=FourierMixing, **options)


@pytest.mark.parametrize(
    ("mixer", "name"),
    [
        (FourierMixing, "FourierMixing"),
        (lambda: MLPMixing(T, 7), "MLPMixing"),
        (lambda: LinearAttention(D, H), "LinearAttention"),
    ],
)
def test_a_causal_stack_needs_a_causal_mixer(mixer, name):
    with pytest.raises(ValueError, match=rf"^causal=True needs a mixer that is causal, as .*; got {name}$"):
        TransformerStack(D, 2, H, causal=True, mixer=mixer)


def test_a_causal_mixer_in_a_causal_stack():
    stack = TransformerStack(D, 2, H, causal=True, mixer=lambda: LinearAttention(D, H, causal=True)).double()
    x = numbers(B, T, D)
    changed = x.clone()
    changed[:, 3] += 1
    assert torch.equal(stack(x)[:, :3], stack(changed)[:, :3])
    assert (stack(x)[:, 3:] != stack(changed)[:, 3:]).any(-1).all()


# ------------------------------------------------------------------------------ caches, and calls cut short


def test_an_interrupted_call_leaves_a_cache_that_is_refused(own_errors):
    """Layers that hold unequal numbers of tokens would answer, and wrongly."""
    stack = TransformerStack(D, 3, H, causal=True).double()
    x, caches = numbers(B, T, D), [KVCache(B, H, T, D // H, dtype=torch.float64) for _ in range(3)]
    stack(x[:, :2], cache=caches)
    assert cached_length(caches) == 2

    def interrupt(module, args):
        raise KeyboardInterrupt

    hook = stack.blocks[1].feed_forward.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        stack(x[:, 2:3], cache=caches)
    hook.remove()
    assert [one.length for one in caches] == [3, 3, 2]
    message = "^the layers' caches hold 2 to 3 tokens, because a call was interrupted: begin again with a new"
    with pytest.raises(ValueError, match=message):
        cached_length(caches)


@pytest.mark.parametrize("n", [0, 2, 5])
def test_as_many_caches_as_layers(n):
    stack = TransformerStack(D, 3, H).double()
    with pytest.raises(ValueError, match=rf"^cache must have one entry per layer \(3\); got {n}$"):
        stack(numbers(B, T, D), cache=[KVCache(B, H, T, D // H, dtype=torch.float64)] * n)


@pytest.mark.parametrize(("b", "t"), [(0, T), (B, 0), (0, 0)])
@pytest.mark.parametrize("norm_first", [True, False])
def test_nothing_in_nothing_out(b, t, norm_first):
    x = numbers(b, t, D)
    stack = TransformerStack(D, 2, H, norm_first=norm_first, activation="swiglu").double()
    assert stack(x).shape == (b, t, D)
