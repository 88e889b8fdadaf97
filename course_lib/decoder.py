"""Decoders: one class; GPT-2 style and Llama style are configurations of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.attention import AttentionFunction, KVCache, MultiHeadAttention
from course_lib.blocks import Activation, TransformerStack, check_ids, initialise
from course_lib.positions import ALiBi, PositionEmbedding, RelativePositions, RotaryEmbedding

Caches = Sequence[KVCache] | None  # one per layer
Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]


@dataclass(frozen=True)
class GPTConfig:
    """What a decoder looks like. `gpt2_style` and `llama_style` give the two families.
    Args:
        vocab_size, max_seq_len: tokens known, tokens that fit.
        d_model, n_layers, n_heads, n_kv_heads, d_ff: sizes, see `TransformerBlock`.
        positions: "learned" or "sinusoidal" vectors added to the embeddings, "rotary" queries and keys,
            "alibi" or "relative" (by up to 16 tokens) terms in the scores, or "none".
        norm_type, norm_eps, activation, bias: see `TransformerBlock`.
        rotary_base, rotary_interleaved: see `RotaryEmbedding`.
        tied: the output layer is the embedding table itself.
    """

    vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    d_ff: int | None = None
    positions: Positions = "learned"
    norm_type: Literal["layer", "rms"] = "layer"
    norm_eps: float = 1e-5
    activation: Activation = "gelu_tanh"
    bias: bool = True
    rotary_base: float = 10000.0
    rotary_interleaved: bool = True
    tied: bool = True

    @classmethod
    def gpt2_style(cls, **sizes: Any) -> "GPTConfig":
        """Learned positions, LayerNorm, GELU, biases (Radford et al. 2019). Any field can be given."""
        return cls(**sizes)

    @classmethod
    def llama_style(cls, **sizes: Any) -> "GPTConfig":
        """Rotary positions, RMSNorm, gated MLP, no biases (Touvron et al. 2023). Any field can be given."""
        sizes = {"positions": "rotary", "norm_type": "rms", "activation": "swiglu", "bias": False, **sizes}
        return cls(**sizes)


class GPT(nn.Module):
    """Token ids in, a score for every possible next token out, at every position.

    logits = norm(blocks(embed(ids))) W^T      (Radford et al. 2019; Touvron et al. 2023)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.positions not in get_args(Positions):
            raise ValueError(f"positions must be one of {get_args(Positions)}; got {config.positions!r}")
        self.config = config
        d_head = config.d_model // config.n_heads
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding, self.rotary = None, None
        score_bias: Callable[[], nn.Module] | None = None
        if config.positions in ("learned", "sinusoidal"):
            learned = config.positions == "learned"
            self.position_embedding = PositionEmbedding(config.max_seq_len, config.d_model, learned=learned)
        elif config.positions == "rotary":
            base, interleaved = config.rotary_base, config.rotary_interleaved
            self.rotary = RotaryEmbedding(d_head, config.max_seq_len, base=base, interleaved=interleaved)
        elif config.positions == "alibi":
            score_bias = partial(ALiBi, config.n_heads)
        elif config.positions == "relative":
            score_bias = partial(RelativePositions, d_head, 16)
        self.stack = TransformerStack(
            config.d_model, config.n_layers, config.n_heads, config.d_ff, n_kv_heads=config.n_kv_heads,
            norm_type=config.norm_type, norm_eps=config.norm_eps, activation=config.activation,
            bias=config.bias, causal=True, rotary=self.rotary, score_bias=score_bias,
        )  # fmt: skip
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        initialise(self)
        for name, parameter in self.named_parameters():
            # What adds to the residual stream starts smaller, the deeper the model.
            if name.endswith(("out_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))
        self.tie()

    def tie(self) -> None:
        """Let the output layer share the embedding table, where the configuration says so."""
        if self.config.tied:
            self.lm_head.weight = self.token_embedding.weight

    def forward(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B T V"]:
        """Score the next token at every position.
        Args: cache: what `new_cache` gave; ids are then the tokens that follow those already in it.
        Returns: logits; softmax over the last axis gives probabilities.
        Raises: ValueError: more tokens than the context holds, or ids outside the vocabulary.
        """
        return self.lm_head(self.stack(self.embed(ids, cache), cache=cache))

    def next_token_logits(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B V"]:
        """As `forward`, for the last position only: generation needs no other, and V is large."""
        return self.lm_head(self.stack(self.embed(ids, cache), cache=cache)[:, -1])

    def embed(self, ids: Int[Tensor, "B T"], cache: Caches = None) -> Float[Tensor, "B T D"]:
        """The vectors that enter the first layer."""
        start = 0 if cache is None else cache[0].length
        if (end := start + ids.shape[1]) > self.config.max_seq_len:
            raise ValueError(f"the context holds {self.config.max_seq_len} tokens; got {end}")
        check_ids(ids, self.config.vocab_size)
        x = self.token_embedding(ids)
        return x if self.position_embedding is None else self.position_embedding(x, start)

    def new_cache(self, batch_size: int = 1, capacity: int | None = None) -> list[KVCache]:
        """An empty cache for each layer, for at most capacity tokens (default: the whole context)."""
        config, weight = self.config, self.lm_head.weight
        n_kv_heads, d_head = config.n_kv_heads or config.n_heads, config.d_model // config.n_heads
        shape = batch_size, n_kv_heads, config.max_seq_len if capacity is None else capacity, d_head
        return [KVCache(*shape, device=weight.device, dtype=weight.dtype) for _ in range(config.n_layers)]

    def use_attention(self, function: AttentionFunction | None) -> None:
        """Let every layer mix with function(q, k, v, mask), your own for instance; None brings ours back.

        It gets q (B, H, T, K), k and v (B, H, S, K) and a boolean mask (T, S), True = may attend.
        """
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.attend = function
