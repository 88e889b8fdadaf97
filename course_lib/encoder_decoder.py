"""The Transformer of the 2017 paper: one stack reads a sentence, another writes its translation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.attention import KVCache
from course_lib.blocks import Activation, TransformerStack, check_ids, initialise
from course_lib.positions import PositionEmbedding


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """What an encoder-decoder looks like; the defaults are the paper's.
    Args:
        source_vocab_size, target_vocab_size: tokens known on each side; target None: one vocabulary for both.
        max_seq_len: tokens that fit, on each side.
        d_model, n_layers, n_heads, d_ff, norm, activation: see `TransformerBlock`; n_layers on each side.
        positions: "sinusoidal", or "learned", one table for both sides.
    """

    source_vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None = None
    target_vocab_size: int | None = None
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    norm: Literal["pre", "post"] = "post"
    activation: Activation = "relu"


class EncoderDecoder(nn.Module):
    """Source ids and target ids in, a score for every possible next target token out, at every position.

        memory = encoder(embed(source));  logits = decoder(embed(target), memory) E_target^T
        embed(ids) = sqrt(D) E[ids] + positions      (Vaswani et al. 2017, figure 1 and section 3.4)
    Args: config: with one vocabulary, source and target share their table, which is the output layer too.
    Example:
        >>> model, source = EncoderDecoder(EncoderDecoderConfig(7, 5, 4, 1, 2)), torch.tensor([[1, 2, 3]])
        >>> model(source, torch.tensor([[0, 6]])).shape
        torch.Size([1, 2, 7])
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        if config.positions not in ("sinusoidal", "learned"):
            raise ValueError(f"positions must be 'sinusoidal' or 'learned'; got {config.positions!r}")
        self.config, d_model = config, config.d_model
        self.source_embedding = self.target_embedding = nn.Embedding(config.source_vocab_size, d_model)
        if config.target_vocab_size is not None:
            self.target_embedding = nn.Embedding(config.target_vocab_size, d_model)
        self.position_embedding = PositionEmbedding(
            config.max_seq_len, d_model, learned=config.positions == "learned"
        )
        sizes = d_model, config.n_layers, config.n_heads, config.d_ff
        self.encoder = TransformerStack(*sizes, norm=config.norm, activation=config.activation)
        self.decoder = TransformerStack(
            *sizes, norm=config.norm, activation=config.activation, causal=True, cross_attention=True
        )
        initialise(self, std=d_model**-0.5)  # so that vectors keep their size, and logits begin near 1

    def forward(
        self, source: Int[Tensor, "B S"], target: Int[Tensor, "B T"],
        source_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T V"]:  # fmt: skip
        """Score the token after each target token, which sees the whole source and the target so far.
        Args: source_mask: True = real token, False = padding. Padding at the target's end needs none.
        Raises: ValueError: an empty side, too many tokens, or ids outside their vocabulary.
        """
        return self.decode(target, self.encode(source, source_mask), source_mask)

    def encode(
        self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Read the source: one vector for each token."""
        x = self._embed(source, self.source_embedding)
        return self.encoder(x, mask=None if source_mask is None else source_mask[:, None, None])

    def decode(
        self, target: Int[Tensor, "B T"], memory: Float[Tensor, "B S D"],
        source_mask: Bool[Tensor, "B S"] | None = None, cache: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "B T V"]:  # fmt: skip
        """As `forward`, from what `encode` gave; with a cache, target holds the newest tokens only."""
        x = self._embed(target, self.target_embedding, 0 if cache is None else cache[0].length)
        mask = None if source_mask is None else source_mask[:, None, None]
        hidden = self.decoder(x, cache=cache, context=memory, context_mask=mask)
        return F.linear(hidden, self.target_embedding.weight)

    @torch.inference_mode()
    def translate(
        self, source: Int[Tensor, "B S"], *, bos_id: int, eos_id: int, max_new_tokens: int,
        source_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Int[Tensor, "B new"]:  # fmt: skip
        """Write the likeliest next token again and again, beginning after bos_id, until every row has eos_id.
        Returns: the new tokens; a row that has ended is filled up with eos_id.
        Raises: ValueError: as `forward`; more new tokens than fit.
        """
        config, memory = self.config, self.encode(source, source_mask)
        if not 0 <= max_new_tokens <= config.max_seq_len:
            raise ValueError(f"max_new_tokens must be 0 to {config.max_seq_len}; got {max_new_tokens}")
        shape = len(source), config.n_heads, max_new_tokens, config.d_model // config.n_heads
        cache = [KVCache(*shape, device=memory.device, dtype=memory.dtype) for _ in range(config.n_layers)]
        tokens = source.new_full((len(source), 1), bos_id)
        while tokens.shape[1] <= max_new_tokens and not (tokens[:, 1:] == eos_id).any(-1).all():
            token = self.decode(tokens[:, -1:], memory, source_mask, cache)[:, -1].argmax(-1)
            token = token.masked_fill((tokens[:, 1:] == eos_id).any(-1), eos_id)
            tokens = torch.cat([tokens, token[:, None]], dim=1)
        return tokens[:, 1:]

    def _embed(self, ids: Tensor, table: nn.Embedding, start: int = 0) -> Tensor:
        check_ids(ids, table.num_embeddings, self.config.max_seq_len)
        return self.position_embedding(math.sqrt(self.config.d_model) * table(ids), start)
