"""The Transformer of the 2017 paper: one stack reads a sentence, another writes its translation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.attention import KVCache
from course_lib.blocks import Activation, Norm, TransformerStack, cached_length, check_ids, initialise
from course_lib.positions import PositionEmbedding

AddedPositions = Literal["sinusoidal", "learned"]


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """What an encoder-decoder looks like; the defaults are the paper's.

    Args:
        source_vocab_size: tokens known to the reader.
        max_seq_len: tokens that fit, on each side.
        d_model: see `TransformerStack`, and so are n_heads and d_ff.
        n_layers: on each side.
        target_vocab_size: tokens known to the writer; None: one vocabulary for both.
        positions: "sinusoidal", or "learned", one table for both sides.
        norm: see `make_block`.
        activation: see `FeedForward`.
    """

    source_vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None = None
    target_vocab_size: int | None = None
    positions: AddedPositions = "sinusoidal"
    norm: Norm = "post"
    activation: Activation = "relu"


class EncoderDecoder(nn.Module):
    """Source ids and target ids in, a score for every possible next target token out, at every position.

        memory = encoder(embed(source));  logits = decoder(embed(target), memory) E_target^T
        embed(ids) = sqrt(D) E[ids] + positions      (Vaswani et al. 2017, figure 1 and section 3.4)

    Args:
        config: with one vocabulary, source and target share their table, which is the output layer too.
    Raises: ValueError: positions of another kind.
    Example:
        >>> model, source = EncoderDecoder(EncoderDecoderConfig(7, 5, 4, 1, 2)), torch.tensor([[1, 2, 3]])
        >>> model(source, torch.tensor([[0, 6]])).shape
        torch.Size([1, 2, 7])
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        if config.positions not in get_args(AddedPositions):
            raise ValueError(f"positions must be 'sinusoidal' or 'learned'; got {config.positions!r}")
        self.config = config
        d_model = config.d_model
        self.source_embedding = nn.Embedding(config.source_vocab_size, d_model)
        self.target_embedding = self.source_embedding
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
        self,
        source: Int[Tensor, "B S"],
        target: Int[Tensor, "B T"],
        source_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Score the token after each target token, which sees the whole source and the target so far.

        Args:
            source: what to translate.
            target: the translation so far; padding at its end needs no mask.
            source_mask: True = real token, False = padding.
        Returns: logits; softmax over the last axis gives probabilities.
        Raises: ValueError: an empty side, too many tokens, or ids outside their vocabulary.
        """
        memory = self.encode(source, source_mask)
        return self.decode(target, memory, source_mask)

    def encode(
        self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Read the source: one vector for each token."""
        x = self._embed(source, self.source_embedding)
        return self.encoder(x, mask=_for_all_queries(source_mask))

    def decode(
        self,
        target: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S D"],
        source_mask: Bool[Tensor, "B S"] | None = None,
        cache: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """As `forward`, from what `encode` gave; with a cache, target holds the newest tokens only."""
        x = self._embed(target, self.target_embedding, cached_length(cache))
        x = self.decoder(x, cache=cache, context=memory, context_mask=_for_all_queries(source_mask))
        return F.linear(x, self.target_embedding.weight)

    @torch.no_grad()
    def translate(
        self,
        source: Int[Tensor, "B S"],
        *,
        bos_id: int,
        eos_id: int,
        max_new_tokens: int,
        source_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Int[Tensor, "B new"]:
        """Write the likeliest next token again and again, until every row has ended.

        Args:
            source: what to translate.
            bos_id: the token that stands before the first one.
            eos_id: the token that ends a row.
            max_new_tokens: how many are written at most.
            source_mask: True = real token, False = padding.
        Returns: the new tokens; a row that has ended is filled up with eos_id.
        Raises: ValueError: as `forward`; more new tokens than fit.
        """
        config = self.config
        memory = self.encode(source, source_mask)
        if not 0 <= max_new_tokens <= config.max_seq_len:
            raise ValueError(f"max_new_tokens must be 0 to {config.max_seq_len}; got {max_new_tokens}")
        cache = self._new_cache(memory, max_new_tokens)
        token = source.new_full((len(source),), bos_id)
        ended = torch.zeros_like(token, dtype=torch.bool)
        written: list[Tensor] = []
        while len(written) < max_new_tokens and not ended.all():
            logits = self.decode(token[:, None], memory, source_mask, cache)[:, -1]
            token = logits.argmax(-1).masked_fill(ended, eos_id)
            ended = ended | (token == eos_id)
            written.append(token)
        return torch.stack(written, dim=1) if written else source[:, :0]

    def _new_cache(self, memory: Tensor, capacity: int) -> list[KVCache]:
        """An empty cache for each layer of the decoder."""
        config = self.config
        d_head = config.d_model // config.n_heads
        return [
            KVCache(len(memory), config.n_heads, capacity, d_head, device=memory.device, dtype=memory.dtype)
            for _ in self.decoder.blocks
        ]

    def _embed(self, ids: Tensor, table: nn.Embedding, start: int = 0) -> Tensor:
        check_ids(ids, table.num_embeddings, self.config.max_seq_len)
        vectors = math.sqrt(self.config.d_model) * table(ids)
        return self.position_embedding(vectors, start)


def _for_all_queries(mask: Tensor | None) -> Tensor | None:
    """A mask of the source's tokens as attention wants it, (B, 1, 1, S)."""
    return None if mask is None else mask[:, None, None]
