"""The Transformer layer from its parts, and a stack of layers: vectors in, vectors out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.mixers import RunningSums

Cache = KVCache | RunningSums
Activation = Literal["gelu", "gelu_tanh", "relu", "swiglu"]
_gelu_tanh = partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"gelu": F.gelu, "gelu_tanh": _gelu_tanh, "relu": F.relu}


class LayerNorm(nn.Module):
    """Give every vector mean 0 and variance 1, then a learned scale and shift; see `maths.layer_norm`."""

    def __init__(self, d_model: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Divide every vector by its root mean square, then a learned scale; see `maths.rms_norm`."""

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class FeedForward(nn.Module):
    """The MLP of a layer: widen, bend, narrow; the same for every token.

        gelu, relu:  down(act(up(x)))                  (Vaswani et al. 2017, section 3.3)
        swiglu:      down(silu(gate(x)) * up(x))       (Shazeer 2020, equation 6)
    Args: d_model, d_ff: width in and out; width in between, usually 4 d_model. activation: "gelu",
        "gelu_tanh" (its approximation, as in GPT-2), "relu" or "swiglu".
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: Activation = "gelu", bias: bool = True
    ) -> None:
        super().__init__()
        if activation not in (*ACTIVATIONS, "swiglu"):
            raise ValueError(f"activation must be gelu, gelu_tanh, relu or swiglu; got {activation!r}")
        self.activation = activation
        if activation == "swiglu":
            self.gate_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        if self.activation == "swiglu":
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return self.down_proj(ACTIVATIONS[self.activation](self.up_proj(x)))


class TransformerBlock(nn.Module):
    """One layer: attention between the tokens, then an MLP on each; both add to the residual stream.
    Args:
        d_model, n_heads, n_kv_heads, causal, rotary: see `MultiHeadAttention`.
        d_ff: width of the MLP; default 4 d_model.
        norm: "pre" normalises what each part reads (GPT-2), "post" the sum that it leaves (the 2017 paper).
        norm_type: "layer" or "rms". activation: see `FeedForward`.
        score_bias: makes the module that adds to the scores, see `MultiHeadAttention`.
        mixer: makes the module that takes the place of self-attention, see `mixers`.
        cross_attention: a second attention, over `context`, follows the first (the 2017 paper's decoder).
    """

    def __init__(
        self, d_model: int, n_heads: int, d_ff: int | None = None, *, n_kv_heads: int | None = None,
        norm: Literal["pre", "post"] = "pre", norm_type: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5, activation: Activation = "gelu", bias: bool = True, causal: bool = False,
        rotary: nn.Module | None = None, score_bias: Callable[[], nn.Module] | None = None,
        mixer: Callable[[], nn.Module] | None = None, cross_attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post'; got {norm!r}")
        self.norm = norm
        self.attention_norm = make_norm(norm_type, d_model, norm_eps)
        attention = partial(MultiHeadAttention, d_model, n_heads, n_kv_heads=n_kv_heads, bias=bias)
        if mixer is None:
            added = None if score_bias is None else score_bias()
            self.attention: nn.Module = attention(causal=causal, rotary=rotary, score_bias=added)
        else:
            self.attention = mixer()
        self.cross_attention: nn.Module | None = None
        if cross_attention:
            self.cross_attention_norm = make_norm(norm_type, d_model, norm_eps)
            self.cross_attention = attention()
        self.feed_forward_norm = make_norm(norm_type, d_model, norm_eps)
        self.feed_forward = FeedForward(d_model, d_ff or 4 * d_model, activation=activation, bias=bias)

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "..."] | None = None, cache: Cache | None = None,
        context: Float[Tensor, "B S D"] | None = None, context_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Pass the stream on, with what attention and MLP add to it.
        Args: context, context_mask: what cross-attention looks at, and which of it.
        Raises: ValueError: a context for a block without cross-attention, or none for a block with it.
        """
        if context is None and self.cross_attention is not None:
            raise ValueError("a block with cross-attention needs a context; got none")
        if context is not None and self.cross_attention is None:
            raise ValueError("a block without cross-attention takes no context; set cross_attention=True")
        if self.norm == "pre":
            x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
            if self.cross_attention is not None:
                x = x + self.cross_attention(self.cross_attention_norm(x), context, mask=context_mask)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
        if self.cross_attention is not None:
            x = self.cross_attention_norm(x + self.cross_attention(x, context, mask=context_mask))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerStack(nn.Module):
    """Layers on top of each other: as many vectors come out as went in, of the same width.
    Args: d_model, n_heads: see `MultiHeadAttention`. n_layers: how many blocks. norm, norm_type, norm_eps,
        block_options: see `TransformerBlock`. With norm="pre" one more norm follows the last layer.
    """

    def __init__(
        self, d_model: int, n_layers: int, n_heads: int, d_ff: int | None = None, *,
        norm: Literal["pre", "post"] = "pre", norm_type: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5, **block_options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        block_options |= {"norm": norm, "norm_type": norm_type, "norm_eps": norm_eps}
        blocks = (TransformerBlock(d_model, n_heads, d_ff, **block_options) for _ in range(n_layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = make_norm(norm_type, d_model, norm_eps) if norm == "pre" else nn.Identity()

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "..."] | None = None,
        cache: Sequence[Cache] | None = None, context: Float[Tensor, "B S D"] | None = None,
        context_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Run the layers.
        Args: mask: True = may attend; broadcasts to (B, H, T, S). cache: one per layer. context,
            context_mask: see `TransformerBlock.forward`.
        """
        for i, block in enumerate(self.blocks):
            x = block(x, mask, None if cache is None else cache[i], context, context_mask)
        return self.norm(x)


def make_norm(norm_type: Literal["layer", "rms"], d_model: int, eps: float = 1e-5) -> nn.Module:
    """A `LayerNorm` or an `RMSNorm`, by name."""
    if norm_type not in ("layer", "rms"):
        raise ValueError(f"norm_type must be 'layer' or 'rms'; got {norm_type!r}")
    return (LayerNorm if norm_type == "layer" else RMSNorm)(d_model, eps=eps)


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Tables and matrices from a normal distribution, biases 0, norms as they are (Devlin et al. 2019)."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def check_ids(ids: Tensor, n_ids: int, max_seq_len: int | None = None, what: str = "token ids") -> None:
    """Stop at sequences that are empty or too long, and at ids from outside the table."""
    if max_seq_len is not None and not 1 <= ids.shape[1] <= max_seq_len:
        raise ValueError(f"a sequence must have 1 to {max_seq_len} tokens; got {ids.shape[1]}")
    # Reading values makes an accelerator wait for them; there torch checks by itself.
    if ids.device.type == "cpu" and ids.numel():
        low, high = map(int, ids.aminmax())
        if low < 0 or high >= n_ids:
            raise ValueError(f"{what} run from 0 to {n_ids - 1}; got {low if low < 0 else high}")
