"""The layer and its parts against NumPy and against torch's own layer."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from tensors import assert_close, load_torchs_layer, numbers, randomise
from torch import nn

from course_lib import maths
from course_lib.attention import KVCache
from course_lib.blocks import (
    ACTIVATIONS,
    FeedForward,
    LayerNorm,
    PlainActivation,
    RMSNorm,
    TransformerStack,
    check_ids,
    initialise,
    make_block,
    make_norm,
)
from course_lib.mixers import FourierMixing, LinearAttention, MLPMixing
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding

B, T, D, H, D_FF = 2, 5, 21, 3, 13


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


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_equals_torchs_encoder_layer(norm_first, masked, dtype, atol):
    theirs = torch_layer(norm_first, dtype)
    ours = make_block(D, H, D_FF, norm_first=norm_first).to(dtype)
    load_torchs_layer(ours, theirs)
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
        load_torchs_layer(block, layer)
    if norm_first:
        ours.final_norm.load_state_dict(theirs.norm.state_dict())
    x = numbers(B, T, D)
    assert_close(ours(x), theirs(x))
    assert (ours.blocks[0](x) - ours(x)).abs().max() > 0.1


def test_options_reach_every_block():
    rotary = RotaryEmbedding(6, T)
    options = {"norm_type": "rms", "norm_eps": 0.37, "bias": False, "causal": True, "rotary": rotary}
    stack = TransformerStack(18, 2, 3, n_kv_heads=1, **options)
    assert not [name for name in stack.state_dict() if name.endswith("bias")]
    assert [m.eps for m in stack.modules() if isinstance(m, RMSNorm)] == [0.37] * 5
    for block in stack.blocks:
        assert block.attention.k_proj.weight.shape == (6, 18)
        assert block.attention.rotary is rotary
        assert block.attention.causal
        assert block.feed_forward.up_proj.weight.shape == (4 * 18, 18)
    plain = make_block(D, H)
    assert plain.feed_forward.activation == FeedForward(D, D_FF).activation == "gelu"
    assert plain.attention_norm.eps == 1e-5


def test_a_mask_reaches_every_block():
    stack = randomise(TransformerStack(D, 2, H).double(), std=0.3)
    x, mask = numbers(B, T, D), torch.eye(T, dtype=torch.bool)
    alone = torch.cat([stack(x[:, t : t + 1]) for t in range(T)], dim=1)
    assert_close(stack(x, mask=mask), alone)
    assert (stack(x) - alone).abs().max() > 0.01


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_norm("batch", D, 1e-5), "norm_type must be 'layer' or 'rms'; got 'batch'"),
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


@pytest.mark.parametrize(
    "options",
    [{"mixer": lambda: MLPMixing(T, 7)}, {"score_bias": lambda: RelativePositions(D // H, 2)}],
)
def test_each_layer_gets_a_mixer_and_positions_of_its_own(options):
    first, second = TransformerStack(D, 2, H, **options).blocks
    assert not {*map(id, first.parameters())} & {*map(id, second.parameters())}


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


def test_the_names_of_the_parameters():
    """Weights that were saved load for ever."""
    parts = {
        "attention_norm": [""],
        "attention": [".q_proj", ".k_proj", ".v_proj", ".out_proj"],
        "feed_forward_norm": [""],
        "feed_forward": [".up_proj", ".down_proj"],
    }
    names = [f"blocks.0.{part}{matrix}" for part in parts for matrix in parts[part]]
    expected = [f"{name}.{kind}" for name in [*names, "final_norm"] for kind in ("weight", "bias")]
    assert list(TransformerStack(D, 1, H).state_dict()) == expected


def test_every_activation_has_its_function():
    assert set(ACTIVATIONS) == set(get_args(PlainActivation))


@pytest.mark.parametrize(
    "options",
    [{"rotary": RotaryEmbedding(6, T)}, {"score_bias": lambda: ALiBi(H)}, {"n_kv_heads": 1}],
)
def test_what_a_mixer_would_ignore_is_refused(options):
    (what,) = options
    with pytest.raises(ValueError, match=f"^a mixer takes attention's place: it can be given no {what}$"):
        TransformerStack(D, 2, H, mixer=FourierMixing, **options)


def test_a_causal_stack_needs_a_causal_mixer():
    for mixer, name in [(FourierMixing, "FourierMixing"), (lambda: LinearAttention(D, H), "LinearAttention")]:
        with pytest.raises(ValueError, match=rf"^causal=True needs a mixer that is .*; got {name}$"):
            TransformerStack(D, 2, H, causal=True, mixer=mixer)
    stack = TransformerStack(D, 2, H, causal=True, mixer=lambda: LinearAttention(D, H, causal=True)).double()
    x = numbers(B, T, D)
    changed = x.clone()
    changed[:, 3] += 1
    assert torch.equal(stack(x)[:, :3], stack(changed)[:, :3])
    assert (stack(x)[:, 3:] != stack(changed)[:, 3:]).any(-1).all()


@pytest.mark.parametrize("n", [0, 2, 5])
def test_as_many_caches_as_layers(n):
    stack = TransformerStack(D, 3, H).double()
    with pytest.raises(ValueError, match=rf"^cache must have one entry per layer \(3\); got {n}$"):
        stack(numbers(B, T, D), cache=[KVCache(B, H, T, D // H, dtype=torch.float64)] * n)
