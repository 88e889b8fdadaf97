"""The Transformer layer from its parts, and a stack of layers: vectors in, vectors out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.mixers import RunningSums

Cache = KVCache | RunningSums
Norm = Literal["pre", "post"]
NormType = Literal["layer", "rms"]
PlainActivation = Literal["gelu", "gelu_tanh", "relu"]
Activation = Literal[PlainActivation, "swiglu"]


class TransformerBlock(nn.Module):
    """One layer: attention between the tokens, then an MLP on each; both add to the residual stream.

        x = x + attention(norm(x));  x = x + feed_forward(norm(x))      (pre: Radford et al. 2019)
        x = norm(x + attention(x));  x = norm(x + feed_forward(x))      (post: Vaswani et al. 2017, figure 1)

    Args:
        attention: called as attention(x, mask=mask, cache=cache), a `MultiHeadAttention` for instance; what
            else mixes tokens stands in `mixers`.
        feed_forward: called with each token's vector, see `FeedForward`.
        attention_norm: normalises what attention reads, or the sum that it leaves, see `LayerNorm`.
        feed_forward_norm: the same for the MLP.
        norm: "pre" normalises what each part reads, "post" the sum that it leaves.
    """

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        attention_norm: nn.Module,
        feed_forward_norm: nn.Module,
        *,
        norm: Norm = "pre",
    ) -> None:
        super().__init__()
        self.norm = _checked_norm(norm)
        self.attention_norm = attention_norm
        self.attention = attention
        self.feed_forward_norm = feed_forward_norm
        self.feed_forward = feed_forward

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "..."] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Pass the stream on, with what attention and MLP add to it."""
        if self.norm == "pre":
            x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
        return self.feed_forward_norm(x + self.feed_forward(x))


class CrossAttentionBlock(nn.Module):
    """A layer that also looks at other vectors: between attention and MLP, it attends to a context.

        (the decoder's layer of Vaswani et al. 2017, section 3.1 and figure 1, right)

    Args:
        attention: as in `TransformerBlock`, and so are feed_forward, the norms and norm.
        cross_attention: called as cross_attention(x, context, mask=context_mask).
        cross_attention_norm: normalises what it reads, or the sum that it leaves.
    """

    def __init__(
        self,
        attention: nn.Module,
        cross_attention: nn.Module,
        feed_forward: nn.Module,
        attention_norm: nn.Module,
        cross_attention_norm: nn.Module,
        feed_forward_norm: nn.Module,
        *,
        norm: Norm = "pre",
    ) -> None:
        super().__init__()
        self.norm = _checked_norm(norm)
        self.attention_norm = attention_norm
        self.attention = attention
        self.cross_attention_norm = cross_attention_norm
        self.cross_attention = cross_attention
        self.feed_forward_norm = feed_forward_norm
        self.feed_forward = feed_forward

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"] | None,
        mask: Bool[Tensor, "..."] | None = None,
        cache: Cache | None = None,
        context_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Pass the stream on, with what the three parts add to it.

        Args:
            x: the stream.
            context: what cross-attention looks at.
            mask: True = may attend, within x.
            cache: what came before x.
            context_mask: True = may attend, to the context.
        Raises: ValueError: no context.
        """
        if context is None:
            raise ValueError("a block with cross-attention needs a context; got none")
        if self.norm == "pre":
            x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
            x = x + self.cross_attention(self.cross_attention_norm(x), context, mask=context_mask)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
        x = self.cross_attention_norm(x + self.cross_attention(x, context, mask=context_mask))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerStack(nn.Module):
    """Layers on top of each other: as many vectors come out as went in, of the same width.

    With norm="pre" one more norm follows the last layer.

    Args:
        d_model: width of the vectors.
        n_layers: how many blocks.
        n_heads: heads of each, see `MultiHeadAttention`.
        d_ff: width within the MLPs; default: 4 d_model.
        norm: see `make_block`, and so are norm_type and norm_eps.
        block_options: the other arguments of `make_block`, such as causal=True.
    """

    def __init__(
        self,
        d_model: int,
        n_layers: int,
        n_heads: int,
        d_ff: int | None = None,
        *,
        norm: Norm = "pre",
        norm_type: NormType = "layer",
        norm_eps: float = 1e-5,
        **block_options: Any,
    ) -> None:
        super().__init__()
        block_options |= {"norm": norm, "norm_type": norm_type, "norm_eps": norm_eps}
        blocks = [make_block(d_model, n_heads, d_ff, **block_options) for _ in range(n_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = make_norm(norm_type, d_model, norm_eps) if norm == "pre" else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "..."] | None = None,
        cache: Sequence[Cache] | None = None,
        context: Float[Tensor, "B S D"] | None = None,
        context_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Run the layers.

        Args:
            x: the vectors.
            mask: True = may attend; broadcasts to (B, H, T, S).
            cache: one for each layer.
            context: what the layers' cross-attention looks at, see `CrossAttentionBlock`.
            context_mask: True = may attend, to the context.
        Raises: ValueError: a context where no layer looks at one, or none where one does; caches that do not
            belong to these layers, or that an interrupted call has left unequal.
        """
        self._check_cache(cache)
        self._check_context(context)
        for n, block in enumerate(self.blocks):
            own_cache = None if cache is None else cache[n]
            if isinstance(block, CrossAttentionBlock):
                x = block(x, context, mask=mask, cache=own_cache, context_mask=context_mask)
            else:
                x = block(x, mask=mask, cache=own_cache)
        return self.norm(x)

    def _check_cache(self, cache: Sequence[Cache] | None) -> None:
        if cache is not None and len(cache) != len(self.blocks):
            raise ValueError(f"cache must have one entry per layer ({len(self.blocks)}); got {len(cache)}")
        cached_length(cache)

    def _check_context(self, context: Tensor | None) -> None:
        if context is None:
            return
        if not any(isinstance(block, CrossAttentionBlock) for block in self.blocks):
            raise ValueError("a block without cross-attention takes no context; set cross_attention=True")


def make_block(
    d_model: int,
    n_heads: int,
    d_ff: int | None = None,
    *,
    n_kv_heads: int | None = None,
    norm: Norm = "pre",
    norm_type: NormType = "layer",
    norm_eps: float = 1e-5,
    activation: Activation = "gelu",
    bias: bool = True,
    causal: bool = False,
    rotary: nn.Module | None = None,
    score_bias: Callable[[], nn.Module] | None = None,
    mixer: Callable[[], nn.Module] | None = None,
    cross_attention: bool = False,
) -> TransformerBlock | CrossAttentionBlock:
    """One layer from plain arguments: makes the parts and puts them together.

    Args:
        d_model: width of the vectors.
        n_heads: see `MultiHeadAttention`, and so are n_kv_heads, causal and rotary.
        d_ff: width within the MLP; default: 4 d_model.
        norm: "pre" or "post", see `TransformerBlock`.
        norm_type: "layer" for `LayerNorm`, "rms" for `RMSNorm`.
        norm_eps: added to the variance, so that nothing is divided by 0.
        activation: see `FeedForward`.
        bias: whether the matrices of attention and MLP add one.
        score_bias: makes the module that adds to the scores, see `MultiHeadAttention`.
        mixer: makes the module that takes the place of self-attention, see `mixers`.
        cross_attention: make a `CrossAttentionBlock`.
    Raises: ValueError: a setting that does not exist, or that a mixer cannot honour.
    """
    new_attention = partial(MultiHeadAttention, d_model, n_heads, n_kv_heads=n_kv_heads, bias=bias)
    new_norm = partial(make_norm, norm_type, d_model, norm_eps)
    if mixer is None:
        added = None if score_bias is None else score_bias()
        attention: nn.Module = new_attention(causal=causal, rotary=rotary, score_bias=added)
    else:
        heads = None if cross_attention else n_kv_heads
        attention = _make_mixer(mixer, causal, rotary=rotary, score_bias=score_bias, n_kv_heads=heads)
    # What a context holds has no place in the sequence that looks at it: no positions, nothing ahead.
    crossing = new_attention() if cross_attention else None
    if d_ff is None:
        d_ff = 4 * d_model
    feed_forward = FeedForward(d_model, d_ff, activation=activation, bias=bias)
    if crossing is None:
        return TransformerBlock(attention, feed_forward, new_norm(), new_norm(), norm=norm)
    norms = [new_norm() for _ in range(3)]
    return CrossAttentionBlock(attention, crossing, feed_forward, *norms, norm=norm)


def _make_mixer(mixer: Callable[[], nn.Module], causal: bool, **for_attention: object) -> nn.Module:
    """The mixer, unless it would not do what is asked of the layer."""
    given = [name for name, value in for_attention.items() if value is not None]
    if given:
        raise ValueError(f"a mixer takes attention's place: it can be given no {given[0]}")
    module = mixer()
    if causal and not getattr(module, "causal", False):
        example = "mixer=lambda: LinearAttention(d_model, n_heads, causal=True)"
        name = type(module).__name__
        raise ValueError(f"causal=True needs a mixer that is causal, as {example}; got {name}")
    return module


def make_norm(norm_type: NormType, d_model: int, eps: float = 1e-5) -> nn.Module:
    """A `LayerNorm` or an `RMSNorm`, by name."""
    if norm_type == "layer":
        return LayerNorm(d_model, eps=eps)
    if norm_type == "rms":
        return RMSNorm(d_model, eps=eps)
    raise ValueError(f"norm_type must be 'layer' or 'rms'; got {norm_type!r}")


def _checked_norm(norm: Norm) -> Norm:
    if norm not in get_args(Norm):
        raise ValueError(f"norm must be 'pre' or 'post'; got {norm!r}")
    return norm


class LayerNorm(nn.Module):
    """Give every vector mean 0 and variance 1, then a learned scale and shift; see `maths.layer_norm`.

    Args:
        d_model: width of the vectors.
        eps: added to the variance, so that nothing is divided by 0.
        bias: whether there is a shift.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Divide every vector by its root mean square, then a learned scale; see `maths.rms_norm`.

    Args:
        d_model: width of the vectors.
        eps: added to the mean square, so that nothing is divided by 0.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def gelu_tanh(x: Tensor) -> Tensor:
    """The approximation of `gelu` with a tanh, as in GPT-2 (Hendrycks & Gimpel 2016, section 2)."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[PlainActivation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """The MLP of a layer: widen, bend, narrow; the same for every token.

        gelu, relu:  down(act(up(x)))                  (Vaswani et al. 2017, section 3.3)
        swiglu:      down(silu(gate(x)) * up(x))       (Shazeer 2020, equation 6)

    Args:
        d_model: width in and out.
        d_ff: width in between, usually 4 d_model.
        activation: "gelu", "gelu_tanh" (its approximation, as in GPT-2), "relu" or "swiglu".
        bias: whether the matrices add one.
    Raises: ValueError: another activation.
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: Activation = "gelu", bias: bool = True
    ) -> None:
        super().__init__()
        check_activation(activation, get_args(Activation))
        self.activation = activation
        if activation == "swiglu":
            self.gate_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        if self.activation == "swiglu":
            hidden = F.silu(self.gate_proj(x)) * self.up_proj(x)
        else:
            hidden = ACTIVATIONS[self.activation](self.up_proj(x))
        return self.down_proj(hidden)


def check_activation(activation: str, known: Sequence[str]) -> None:
    """Stop at a name that is not among the known ones."""
    if activation not in known:
        names = ", ".join(known[:-1])
        raise ValueError(f"activation must be {names} or {known[-1]}; got {activation!r}")


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Tables and matrices from a normal distribution, biases 0, norms as they are (Devlin et al. 2019)."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def cached_length(cache: Sequence[Cache] | None) -> int:
    """How many tokens came before: what every layer's cache holds.

    Raises: ValueError: the layers hold unequal numbers, because a call was interrupted between two of them.
    """
    if not cache:
        return 0
    lengths = [layer.length for layer in cache]
    shortest, longest = min(lengths), max(lengths)
    if shortest != longest:
        found = f"the layers' caches hold {shortest} to {longest} tokens"
        raise ValueError(f"{found}, because a call was interrupted: begin again with a new cache")
    return longest


def check_ids(ids: Tensor, n_ids: int, max_seq_len: int | None = None, what: str = "token ids") -> None:
    """Stop at sequences that are empty or too long, and at ids from outside the table.

    Args:
        ids: token ids, or other numbers of rows.
        n_ids: rows of the table.
        max_seq_len: how many tokens fit; None: nothing is asked of the length.
        what: what the ids are called in the message.
    Raises: ValueError: which id or length, and what was expected.
    """
    if max_seq_len is not None and not 1 <= ids.shape[1] <= max_seq_len:
        raise ValueError(f"a sequence must have 1 to {max_seq_len} tokens; got {ids.shape[1]}")
    # Reading values makes an accelerator wait for them. CUDA stops by itself at an id without a row; others
    # (MPS, for one) would go on with whatever stands there.
    if ids.is_cuda or ids.is_meta or ids.numel() == 0:
        return
    low, high = map(int, ids.aminmax())
    if low < 0 or high >= n_ids:
        raise ValueError(f"{what} run from 0 to {n_ids - 1}; got {low if low < 0 else high}")
