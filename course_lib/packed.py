"""Four bits a weight: to write one word, a model then reads 95 MB instead of 540.

A GGUF file keeps 32 weights in a block of 4 bits each, with a scale and an offset (see
`gguf_file.unpack_q4_1`). torch has a product with such blocks, which unpacks them on the way into the
processor. Its names begin with an underscore: they may change, so no other module knows them, and `why_not`
tries them before they are used.
"""

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.decoder import GPT
from course_lib.device import has_bfloat16
from course_lib.gguf_file import PackedTensor, unpack_q4_1

BLOCK = 32  # weights that share a scale and an offset
ROWS = 16  # torch's product takes multiples of so many outputs
BEST = 16  # scores that are computed with all their bits
MANY = 96  # so many tokens at once are read quicker with the weights unpacked for a moment
_PARTS = {
    "attention": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "feed_forward": ("gate_proj", "up_proj", "down_proj"),
}


def why_not(device: torch.device, matrices: Iterable[PackedTensor] = ()) -> str | None:
    """Why a model cannot write with packed weights here, in one sentence; None where it can.

    Args:
        device: where the model goes.
        matrices: of its layers, as they lie in a file.
    Example:
        >>> why_not(torch.device("meta"))
        'packed weights are for the processor, and the model goes to meta'
    """
    return _not_made_for(device) or _what_torch_lacks() or _what_does_not_fit(matrices)


def usable(device: torch.device, matrices: Iterable[PackedTensor] = ()) -> bool:
    """Whether `why_not` has no reason. A warning says one that is not the device or the processor.

    Example:
        >>> usable(torch.device("meta"))
        False
    """
    if _not_made_for(device) is not None:
        return False
    reason = _what_torch_lacks() or _what_does_not_fit(matrices)
    if reason is not None:
        warnings.warn(f"the weights are unpacked, which is slower: {reason}", stacklevel=3)
    return reason is None


def _not_made_for(device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"packed weights are for the processor, and the model goes to {device.type}"
    kind = torch.backends.cpu.get_cpu_capability()
    if sys.platform == "win32" or kind not in ("AVX2", "AVX512"):
        return f"torch has no quick product with packed weights for this processor ({kind}, {sys.platform})"
    return None


@cache
def _what_torch_lacks() -> str | None:
    blocks = np.random.default_rng(0).integers(0, 60, (ROWS * 2, 20), dtype=np.uint8)  # float16 below 1
    x = torch.linspace(-1, 1, 2 * BLOCK)[None]
    try:
        y = _product_4(x.bfloat16(), *_pack_4(blocks.reshape(ROWS, -1)))
        rows = _product_8(x.bfloat16(), *_pack_8(x.repeat(ROWS, 1)))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        return f"torch {torch.__version__} lacks the products with packed weights ({error})"
    expected = x @ unpack_q4_1(blocks).view(ROWS, -1).T
    if not torch.allclose(y.float(), expected, rtol=0.05, atol=0.05 * float(expected.abs().max())):
        return f"the product of torch {torch.__version__} with packed weights is not that with unpacked ones"
    if not torch.allclose(rows.float(), (x @ x.T).expand(1, ROWS), rtol=0.05):
        return f"the product of torch {torch.__version__} with packed weights is not that with unpacked ones"
    return None


def _what_does_not_fit(matrices: Iterable[PackedTensor]) -> str | None:
    for matrix in matrices:
        n_out, n_in = matrix.shape
        if matrix.packing.name != "Q4_1":
            return f"packed weights must be Q4_1; got {matrix.packing.name}"
        if n_out % ROWS or n_in % BLOCK:
            return f"packed weights must be (a multiple of {ROWS}, a multiple of {BLOCK}); got {matrix.shape}"
    return None


# torch's own, and what they take. Each is one function, so that a change is mended in one place.


def _pack_4(blocks: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows of Q4_1 blocks (N, 20 K / 32) as torch wants them: numbers, and scale and zero of each block.

    Its formula is (number - 8) scale + zero, the file's is number * scale + offset.
    """
    blocks = blocks.reshape(len(blocks), -1, 20)
    halves = torch.from_numpy(blocks[..., 4:].copy())
    numbers = torch.cat([halves & 15, halves >> 4], dim=-1).flatten(1).int()  # (N, K)
    scale_and_offset = blocks.view(np.uint32)[..., 0].T.copy()  # (K / 32, N): both as one number to move
    scales = torch.from_numpy(scale_and_offset.view(np.float16)).float().unflatten(1, (-1, 2))
    scales[..., 1] += 8 * scales[..., 0]
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1), scales.bfloat16()


def _product_4(x: Tensor, numbers: Tensor, scales: Tensor) -> Tensor:
    """x W^T of x (T, K), both in bfloat16."""
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x, numbers, BLOCK, scales)


def _pack_8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (N, K) as numbers from -127 to 127 and one scale for each row."""
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
    return (weight / scale).round_().to(torch.int8), scale[:, 0].bfloat16()


def _product_8(x: Tensor, numbers: Tensor, scales: Tensor) -> Tensor:
    """x W^T of x (T, K) in bfloat16."""
    return torch.ops.aten._weight_int8pack_mm(x, numbers, scales)


class _Fixed(nn.Module):
    """A part that keeps its precision and its place: torch's products take no others."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """What `to`, `half` and the like do to each tensor.

        Raises: ValueError: fn gives another precision or device. In a whole model the table of tokens is
            asked first, so that nothing is changed by then.
        """
        changed = fn(torch.zeros(1))
        if (changed.dtype, changed.device.type) != (torch.float32, "cpu"):
            got = f"{changed.dtype} on {changed.device.type}"
            raise ValueError(
                f"packed weights stay in torch.float32 on cpu; got {got}: load the model in float32"
            )
        return super()._apply(lambda tensor: fn(tensor).to(tensor.dtype), recurse)


class PackedLinear(_Fixed):
    """`nn.Linear` without a bias, from matrices as they lie in a GGUF file.

    `MANY` tokens at once and more, all rows counted together, are read with the weights unpacked for a
    moment, which is quicker. Either way rounds to 8 bits, but not to the same: SmolLM2's scores are off by up
    to 1 from those in float32, and by up to 1 from one another. So a text may go on in one way alone and in
    another beside others, with a cache and without.

    Args:
        matrices: one or several, packed as Q4_1; their outputs stand side by side, in one product.
    Raises: ValueError: another packing, or shapes that torch's product does not take.
    """

    numbers: Tensor
    scales: Tensor

    def __init__(self, *matrices: PackedTensor) -> None:
        super().__init__()
        reason = _what_does_not_fit(matrices)
        if reason is not None:
            raise ValueError(reason)
        self.matrices = matrices
        self.n_out = sum(matrix.shape[0] for matrix in matrices)
        blocks = np.concatenate([matrix.data.reshape(matrix.shape[0], -1) for matrix in matrices])
        numbers, scales = _pack_4(blocks)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... E"]:
        """All outputs side by side, in bfloat16."""
        tokens = x.reshape(-1, x.shape[-1])
        if len(tokens) < MANY:
            y = _product_4(tokens.bfloat16(), self.numbers, self.scales)
        else:
            dtype = torch.bfloat16 if has_bfloat16(x.device) else torch.float32
            weights = torch.cat([matrix.unpack().to(dtype) for matrix in self.matrices])
            y = F.linear(tokens.to(dtype), weights).bfloat16()
        return y.view(*x.shape[:-1], self.n_out)


class PackedAttention(MultiHeadAttention):
    """Attention with rotary positions whose queries, keys and values come out of one product.

    Args:
        attention: whose place it takes.
        qkv: queries, keys and values, side by side.
        out: takes the place of `out_proj`.
    """

    rotary: nn.Module

    def __init__(self, attention: MultiHeadAttention, qkv: PackedLinear, out: PackedLinear) -> None:
        nn.Module.__init__(self)  # the matrices of `MultiHeadAttention` are not wanted
        self.qkv_proj = qkv  # first, as it refuses to be converted
        self.add_module("out_proj", out)
        self.n_heads, self.n_kv_heads, self.d_head = attention.n_heads, attention.n_kv_heads, attention.d_head
        self.causal, self.rotary = attention.causal, cast(nn.Module, attention.rotary)
        self.score_bias, self.attend = attention.score_bias, attention.attend

    def project(self, x: Tensor, source: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """As `MultiHeadAttention.project`; queries and keys are turned together.

        Raises: ValueError: the source is another sequence; positions beyond the table of turns.
        """
        if source is not x:
            raise ValueError("packed attention gets queries, keys and values out of one sequence")
        qkv = self._split(self.qkv_proj(x).float())  # (B, H + 2 H_kv, T, K)
        qk, v = qkv.split([self.n_heads + self.n_kv_heads, self.n_kv_heads], dim=1)
        q, k = self.rotary(qk, start).split([self.n_heads, self.n_kv_heads], dim=1)
        return q, k, v


class PackedFeedForward(nn.Module):
    """A gated MLP, down(silu(gate(x)) * up(x)), whose gate and up come out of one product.

    Args:
        gate_up: both, side by side.
        down: as in `FeedForward`.
    """

    def __init__(self, gate_up: PackedLinear, down: PackedLinear) -> None:
        super().__init__()
        self.gate_up_proj = gate_up
        self.down_proj = down

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class PackedTable(_Fixed):
    """A table as it lies in a GGUF file. Called with ids it gives their rows, as `nn.Embedding` does.

    Example:
        >>> from gguf import GGMLQuantizationType
        >>> numbers = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32).view(np.uint8)
        >>> PackedTable(PackedTensor((3, 2), GGMLQuantizationType.F32, numbers))(torch.tensor([2, 0]))
        tensor([[5., 6.],
                [1., 2.]])
    """

    def __init__(self, table: PackedTensor) -> None:
        super().__init__()
        self.table = table
        self.blocks = table.data.reshape(table.shape[0], -1)

    def forward(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        rows = self.blocks[ids.flatten().numpy()]
        shape = (*ids.shape, self.table.shape[1])
        return PackedTensor(shape, self.table.packing, rows).unpack()


class PackedHead(_Fixed):
    """The output layer: hidden vectors in, a score for each row of a table out.

    torch's product has 8 bits a weight and rounds its scores to 8 bits too: 25.3 and 25.2 both become 25.25.
    So the best few are computed again, from the table itself.
    """

    numbers: Tensor
    scales: Tensor

    def __init__(self, table: PackedTable) -> None:
        super().__init__()
        self.table = table
        pieces = [_pack_8(table(ids)) for ids in torch.arange(len(table.blocks)).split(4096)]
        self.register_buffer("numbers", torch.cat([numbers for numbers, _ in pieces]), persistent=False)
        self.register_buffer("scales", torch.cat([scales for _, scales in pieces]), persistent=False)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        tokens = x.reshape(-1, x.shape[-1])
        scores = _product_8(tokens.bfloat16(), self.numbers, self.scales).to(x.dtype)
        best = scores.topk(min(BEST, scores.shape[-1])).indices  # (T, BEST)
        again = self.table(best) @ tokens[..., None]  # (T, BEST, 1)
        return scores.scatter(-1, best, again[..., 0]).view(*x.shape[:-1], scores.shape[-1])


def pack(model: GPT, matrices: Mapping[str, PackedTensor]) -> None:
    """Put packed matrices into the places of a Llama-style model's.

    Args:
        model: changed in place; of its own weights only the norms stay.
        matrices: by the names of the model's parameters, "lm_head.weight" left out where it is tied.
    Raises: ValueError: another kind of model; a matrix is packed in another way, see `PackedLinear`.
    """
    config = model.config
    ours = {"positions": "rotary", "activation": "swiglu", "bias": False}
    for name, value in ours.items():
        if getattr(config, name) != value:
            raise ValueError(f"packed weights need {name}={value!r}; the model has {getattr(config, name)!r}")
    for n, block in enumerate(model.stack.blocks):
        own = {
            name: matrices[f"stack.blocks.{n}.{part}.{name}.weight"]
            for part, names in _PARTS.items()
            for name in names
        }
        qkv = PackedLinear(own["q_proj"], own["k_proj"], own["v_proj"])
        gate_up = PackedLinear(own["gate_proj"], own["up_proj"])
        attention = cast(MultiHeadAttention, block.attention)
        block.attention = PackedAttention(attention, qkv, PackedLinear(own["out_proj"]))
        block.feed_forward = PackedFeedForward(gate_up, PackedLinear(own["down_proj"]))
    table = PackedTable(matrices["token_embedding.weight"])
    output = matrices.get("lm_head.weight")
    model.add_module("token_embedding", table)
    model.add_module("lm_head", PackedHead(table if output is None else PackedTable(output)))
