"""Decoders: one class; GPT-2 and Llama are configurations of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.attention import (
    KVCache,
    MultiHeadAttention,
    check_heads,
    scaled_dot_product_attention,
    with_one_mask,
)
from course_lib.blocks import (
    Activation,
    NormType,
    TransformerStack,
    cached_length,
    check_ids,
    initialise,
    undone_if_interrupted,
)
from course_lib.positions import ALiBi, PositionEmbedding, RelativePositions, RotaryEmbedding

Caches = Sequence[KVCache] | None  # one per layer
Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]
MAX_DISTANCE = 16  # of "relative" positions: farther tokens count as if they were this far


@dataclass(frozen=True)
class GPTConfig:
    """What a decoder looks like; the defaults are GPT-2's (Radford et al. 2019).

    Args:
        vocab_size: tokens known.
        max_seq_len: tokens that fit.
        d_model: see `TransformerStack`, and so are n_layers, n_heads and d_ff.
        n_kv_heads: see `MultiHeadAttention`.
        positions: "learned" or "sinusoidal" vectors added to the embeddings, "rotary" queries and keys,
            "alibi" or "relative" (by up to `MAX_DISTANCE` tokens) terms in the scores, or "none".
        norm_type: see `make_block`, and so are norm_eps, activation and bias.
        rotary_base: see `RotaryEmbedding`.
        tied: the output layer is the embedding table itself.
    Example:
        >>> gpt2 = GPTConfig(50257, 1024, d_model=768, n_layers=12, n_heads=12)
        >>> gpt2.positions, gpt2.activation
        ('learned', 'gelu_tanh')
    """

    vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    d_ff: int | None = None
    positions: Positions = "learned"
    norm_type: NormType = "layer"
    norm_eps: float = 1e-5
    activation: Activation = "gelu_tanh"
    bias: bool = True
    rotary_base: float = 10000.0
    tied: bool = True


@dataclass(frozen=True)
class LlamaConfig(GPTConfig):
    """The same with Llama's defaults: rotary, RMSNorm, gated MLP, no biases (Touvron et al. 2023).

    Example:
        >>> config = LlamaConfig(7, 5, d_model=4, n_layers=1, n_heads=2)
        >>> config.positions, config.norm_type, config.activation, config.bias
        ('rotary', 'rms', 'swiglu', False)
    """

    positions: Positions = "rotary"
    norm_type: NormType = "rms"
    activation: Activation = "swiglu"
    bias: bool = False


class GPT(nn.Module):
    """Token ids in, a score for every possible next token out, at every position.

    logits = norm(blocks(embed(ids))) W^T      (Radford et al. 2019; Touvron et al. 2023)

    Example:
        >>> import torch
        >>> GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 7])
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.positions not in get_args(Positions):
            raise ValueError(f"positions must be one of {get_args(Positions)}; got {config.positions!r}")
        check_heads(config.d_model, config.n_heads)
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = _added_positions(config)
        self.rotary = _rotary(config)
        self.stack = TransformerStack(
            config.d_model,
            config.n_layers,
            config.n_heads,
            config.d_ff,
            n_kv_heads=config.n_kv_heads,
            norm_type=config.norm_type,
            norm_eps=config.norm_eps,
            activation=config.activation,
            bias=config.bias,
            causal=True,
            rotary=self.rotary,
            score_bias=_score_bias(config),
        )
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        initialise(self)
        for name, parameter in self.named_parameters():
            # What adds to the residual stream starts smaller, the deeper the model.
            if name.endswith(("out_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))
        self.tie()

    def tie(self) -> None:
        """Let the output layer share the embedding table, where the configuration says so.

        Example:
            >>> import torch
            >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> model.token_embedding.weight = nn.Parameter(torch.zeros(7, 4))
            >>> model.tie()
            >>> model.lm_head.weight is model.token_embedding.weight
            True
        """
        if self.config.tied:
            self.lm_head.weight = self.token_embedding.weight

    def forward(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B T V"]:
        """Score the next token at every position.

        Args:
            ids: tokens.
            cache: what `new_cache` gave; ids are then the tokens that follow those already in it. After a
                call that was interrupted it holds what it held before.
        Returns: logits; softmax over the last axis gives probabilities.
        Raises: ValueError: more tokens than the context holds, ids outside the vocabulary, a cache that is
            full or whose layers hold unequal numbers of tokens.
        """
        with undone_if_interrupted(cache):
            hidden = self.stack(self.embed(ids, cache), cache=cache)
            return self.lm_head(hidden)

    def next_token_logits(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B V"]:
        """As `forward`, for the last position only: generation needs no other, and V is large.

        Example:
            >>> import torch
            >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> model.next_token_logits(torch.tensor([[1, 2, 3]])).shape
            torch.Size([1, 7])
        """
        with undone_if_interrupted(cache):
            x = self.embed(ids, cache)
            if x.shape[1] == 0:
                raise ValueError("the last token's vector is needed; got no tokens")
            return self.lm_head(self.stack(x, cache=cache)[:, -1])

    def embed(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B T D"]:
        """The vectors that enter the first layer.

        Raises: ValueError: as `forward`.
        Example:
            >>> import torch
            >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> model.embed(torch.tensor([[1, 2, 3]])).shape
            torch.Size([1, 3, 4])
        """
        start = cached_length(cache)
        check_ids(ids, self.config.vocab_size)
        end = start + ids.shape[1]
        if end > self.config.max_seq_len:
            raise ValueError(f"the context holds {self.config.max_seq_len} tokens; got {end}")
        x = self.token_embedding(ids)
        if self.position_embedding is not None:
            x = self.position_embedding(x, start)
        return x

    def new_cache(self, batch_size: int = 1, capacity: int | None = None) -> list[KVCache]:
        """An empty cache for each layer, for at most capacity tokens (default: the whole context).

        Example:
            >>> import torch
            >>> model, ids = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2)), torch.tensor([[1, 2, 3]])
            >>> cache = model.new_cache()
            >>> one_by_one = [model(token, cache) for token in ids.split(1, dim=1)]
            >>> torch.allclose(torch.cat(one_by_one, dim=1), model(ids), atol=1e-6), cache[0].length
            (True, 3)
        """
        config = self.config
        if capacity is None:
            capacity = config.max_seq_len
        n_kv_heads = config.n_kv_heads or config.n_heads
        d_head = config.d_model // config.n_heads
        weight = next(self.parameters())
        return [
            KVCache(batch_size, n_kv_heads, capacity, d_head, device=weight.device, dtype=weight.dtype)
            for _ in self.stack.blocks
        ]

    def use_attention(self, function: Callable[..., Tensor] | None) -> None:
        """Let every layer mix with function(q, k, v, mask), your own for instance; None brings ours back.

        Args:
            function: see `with_one_mask`.
        Example:
            >>> import torch
            >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2, positions="none"))
            >>> model.use_attention(lambda q, k, v, mask: v)  # each token reads itself alone
            >>> first, _, last = model(torch.tensor([[3, 5, 3]]))[0]
            >>> torch.allclose(first, last)
            True
        """
        attend = scaled_dot_product_attention if function is None else with_one_mask(function)
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.attend = attend


def _added_positions(config: GPTConfig) -> PositionEmbedding | None:
    if config.positions not in ("learned", "sinusoidal"):
        return None
    return PositionEmbedding(config.max_seq_len, config.d_model, learned=config.positions == "learned")


def _rotary(config: GPTConfig) -> RotaryEmbedding | None:
    if config.positions != "rotary":
        return None
    return RotaryEmbedding(config.d_model // config.n_heads, config.max_seq_len, base=config.rotary_base)


def _score_bias(config: GPTConfig) -> Callable[[], nn.Module] | None:
    """What makes each layer's module that adds to the scores."""
    if config.positions == "alibi":
        return partial(ALiBi, config.n_heads)
    if config.positions == "relative":
        return partial(RelativePositions, config.d_model // config.n_heads, MAX_DISTANCE)
    return None
