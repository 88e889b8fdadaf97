"""Is what the learner has written a real layer, and what do sixteen of it learn?"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib import probing
from course_lib.blocks import FeedForward, LayerNorm, TransformerBlock, TransformerStack, make_block
from course_lib.concepts.c06_residuals.experiments.small_models import fresh, reversing_loss, tested
from course_lib.device import one_core, seeded
from course_lib.training import TrainingConfig, bar, train

Layer = Callable[..., Tensor]  # (x, attention, mlp, norm_1, norm_2) -> x
Mlp = Callable[..., Tensor]  # (x, up, up_bias, down, down_bias) -> what is added
Norm = Callable[..., Tensor]  # (x, weight, bias, eps) -> the normalised x


@contextmanager
def running(
    model: nn.Module, layer: Layer | None = None, mlp: Mlp | None = None, layer_norm: Norm | None = None
) -> Iterator[None]:
    """Inside, all layers of a model compute with these functions; the weights are its own.

    Args:
        model: a real one, or a `Reverser`.
        layer: puts the parts together; None: the model's own does.
        mlp: for an MLP with two matrices and biases.
        layer_norm: in place of each `LayerNorm`.
    """
    with ExitStack() as changes:
        for kind, run, function in (
            (TransformerBlock, _run_layer, layer),
            (FeedForward, _run_mlp, mlp),
            (LayerNorm, _run_norm, layer_norm),
        ):
            if function is not None:
                changes.enter_context(probing.replaced(model, kind, partial(run, function)))
        yield


def _run_layer(layer: Layer, block: Any, x: Tensor, mask: Any = None, cache: Any = None) -> Tensor:
    attention = partial(block.attention, mask=mask, cache=cache)
    return layer(x, attention, block.feed_forward, block.attention_norm, block.feed_forward_norm)


def _run_mlp(mlp: Mlp, part: Any, x: Tensor) -> Tensor:
    return mlp(x, part.up_proj.weight, part.up_proj.bias, part.down_proj.weight, part.down_proj.bias)


def _run_norm(layer_norm: Norm, part: Any, x: Tensor) -> Tensor:
    return layer_norm(x, part.weight, part.bias, part.eps)


def post_norm(x: Tensor, attention: Any, mlp: Any, norm_1: Any, norm_2: Any) -> Tensor:
    """The first Transformer's layer: each sum is normalised."""
    x = norm_1(x + attention(x))
    return norm_2(x + mlp(x))


def against_torch(layer: Layer, mlp: Mlp, layer_norm: Norm) -> dict[str, float]:
    """By how much a layer differs from torch's own with the same weights, at most.

    Returns: with norms first ("pre") and last ("post", in the order of `post_norm`), and the less of the two
        where attention or the MLP gives zero.
    """
    with seeded(0):
        x = torch.randn(2, 7, 24, dtype=torch.float64)
        blocks = [make_block(24, 4, norm_first=first).double() for first in (True, False)]
    orders: list[Layer] = [layer, post_norm]
    off = []
    for block, order in zip(blocks, orders, strict=True):
        mix, think = block.attention, block.feed_forward
        theirs = _in_torch(block)(x)
        with running(block, mlp=mlp, layer_norm=layer_norm):
            for parts in ((mix, think), (torch.zeros_like, think), (mix, torch.zeros_like)):
                ours = order(x, *parts, block.attention_norm, block.feed_forward_norm)
                off.append((ours - theirs).abs().max().item())
    pre, pre_unmixed, pre_unthought, post, post_unmixed, post_unthought = off
    return {
        "pre": pre,
        "post": post,
        "no_attention": min(pre_unmixed, post_unmixed),
        "no_mlp": min(pre_unthought, post_unthought),
    }


def only_additions(layer: Layer, mlp: Mlp, layer_norm: Norm) -> dict[str, float]:
    """What is left of a layer where its parts give zero, and where nothing is added.

    Returns: how many numbers of the stream six layers change whose parts give zero ("moved"); by how much one
        layer differs from torch's ("added"), and with what its parts give in place of the sums ("bare").
    """
    with seeded(0):
        x = torch.randn(2, 7, 24, dtype=torch.float64)
        stack, block = TransformerStack(24, 6, 4).double(), make_block(24, 4).double()
    for name, weight in stack.named_parameters():
        if "out_proj" in name or "down_proj" in name:
            nn.init.zeros_(weight)
    with running(stack, layer, mlp, layer_norm), probing.recorded(stack) as passed:
        stack(x)
    with probing.additions_off(block):
        bare = (block(x) - _in_torch(block)(x)).abs().max().item()
    moved = (passed.streams[-1] != x).sum().item()
    return {"moved": moved, "added": against_torch(layer, mlp, layer_norm)["pre"], "bare": bare}


def _in_torch(block: Any) -> nn.Module:
    """PyTorch's own layer with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(
        24, 4, 96, 0, F.gelu, batch_first=True, norm_first=block.norm_first, dtype=torch.float64
    )
    attention = block.attention
    three = attention.q_proj, attention.k_proj, attention.v_proj  # torch keeps these in one matrix
    ours = [torch.cat([part.weight for part in three]), torch.cat([part.bias for part in three])]
    for part in (attention.out_proj, block.feed_forward, block.attention_norm, block.feed_forward_norm):
        ours += part.parameters()
    for weight, own in zip(theirs.parameters(), ours, strict=True):
        weight.data.copy_(own.data)
    return theirs


@one_core()
def follow_a_curve(mlp: Mlp, wide: int = 32, steps: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """Let an MLP from one number to one learn a curve.

    Returns: places, the curve there, and what the MLP gives there in the end.
    """
    x = torch.linspace(-3, 3, 64)[:, None]
    wanted = torch.sin(2 * x) + 0.3 * x
    with seeded(0):
        up, down = nn.Linear(1, wide), nn.Linear(wide, 1)
    weights = up.weight, up.bias, down.weight, down.bias
    optimizer = torch.optim.Adam(weights, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(mlp(x, *weights), wanted).backward()
        optimizer.step()
    return x[:, 0], wanted[:, 0], mlp(x, *weights).detach()[:, 0]


@one_core()
def sixteen(
    layers: Mapping[str, Layer], mlp: Mlp, layer_norm: Norm, *, seed: int = 0, n_layers: int = 16
) -> dict[str, list[float]]:
    """Train stacks of given layers, all from the same weights, on the same rows.

    Args:
        layers: by name, how the parts are put together.
        mlp, layer_norm: the parts; attention is the library's.
        seed: of weights and rows.
        n_layers: how many of each.
    Returns: by name the loss, step by step, in nats.
    """
    return {name: _trained(layer, mlp, layer_norm, seed, n_layers) for name, layer in bar([*layers.items()])}


def _trained(
    layer: Layer, mlp: Mlp, layer_norm: Norm, seed: int, n_layers: int, steps: int = 60
) -> list[float]:
    model = fresh(seed, n_layers)
    random = Generator().manual_seed(seed)
    rows = (torch.randint(8, (32, 8), generator=random) for _ in range(steps))
    rates = TrainingConfig(steps, warmup_steps=20, learning_rate=0.01)
    with running(model, layer, mlp, layer_norm):
        try:
            return train(model, rows, reversing_loss, rates, progress=False).losses
        except FloatingPointError:  # a layer with a mistake may explode
            return [tested(model)]
