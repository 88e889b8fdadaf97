"""The Transformer of the 2017 paper: one stack reads a sentence, another writes its translation."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.blocks import FeedForward, LayerNorm, TransformerStack, check_ids, initialise
from course_lib.positions import PositionEmbedding


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """What an encoder-decoder looks like.

    Args:
        source_vocab_size: tokens known to the reader.
        target_vocab_size: tokens known to the writer.
        max_seq_len: tokens that fit, on each side.
        d_model: see `TransformerStack`, and so are n_heads and d_ff.
        n_layers: on each side.
    Example: see `EncoderDecoder`.
    """

    source_vocab_size: int
    target_vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None = None


class CrossAttentionBlock(nn.Module):
    """The writer's layer: it attends to its own tokens so far, then to what was read, then comes the MLP.

        (Vaswani et al. 2017, section 3.1 and figure 1, right)

    Args:
        d_model: width of the vectors.
        n_heads: of both attentions, see `MultiHeadAttention`.
        d_ff: width within the MLP; default: 4 d_model.
    Example:
        >>> written, read = torch.zeros(2, 5, 6), torch.zeros(2, 7, 6)
        >>> CrossAttentionBlock(6, 3)(written, read).shape
        torch.Size([2, 5, 6])
    """

    def __init__(self, d_model: int, n_heads: int, d_ff: int | None = None) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(d_model, n_heads, causal=True)
        self.attention_norm = LayerNorm(d_model)
        self.cross_attention = MultiHeadAttention(d_model, n_heads)
        self.cross_attention_norm = LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, 4 * d_model if d_ff is None else d_ff, activation="relu")
        self.feed_forward_norm = LayerNorm(d_model)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"],
        context_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Pass the stream on, with what the three parts add to it.

        Args:
            x: the stream.
            context: what cross-attention looks at.
            context_mask: True = may attend, to the context.
        """
        x = self.attention_norm(x + self.attention(x))
        x = self.cross_attention_norm(x + self.cross_attention(x, context, mask=context_mask))
        return self.feed_forward_norm(x + self.feed_forward(x))


class EncoderDecoder(nn.Module):
    """Source ids and target ids in, a score for every possible next target token out, at every position.

        memory = encoder(embed(source));  logits = decoder(embed(target), memory) E_target^T
        embed(ids) = sqrt(D) E[ids] + positions      (Vaswani et al. 2017, figure 1 and section 3.4)

    Example:
        >>> config = EncoderDecoderConfig(7, 11, max_seq_len=5, d_model=4, n_layers=1, n_heads=2)
        >>> EncoderDecoder(config)(torch.tensor([[1, 2, 3]]), torch.tensor([[0, 6]])).shape
        torch.Size([1, 2, 11])
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        d_model, n_heads, d_ff = config.d_model, config.n_heads, config.d_ff
        self.source_embedding = nn.Embedding(config.source_vocab_size, d_model)
        self.target_embedding = nn.Embedding(config.target_vocab_size, d_model)
        self.position_embedding = PositionEmbedding(config.max_seq_len, d_model, learned=False)
        self.encoder = TransformerStack(
            d_model, config.n_layers, n_heads, d_ff, norm_first=False, activation="relu"
        )
        self.decoder = nn.ModuleList(
            CrossAttentionBlock(d_model, n_heads, d_ff) for _ in range(config.n_layers)
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
        Raises: ValueError: an empty side, too many tokens, ids outside their vocabulary, unequal numbers of
            sources and targets, a mask that has not source's shape.
        """
        read = self._embed(source, self.source_embedding)
        x = self._embed(target, self.target_embedding)
        if len(source) != len(target):
            raise ValueError(f"each source needs one target; got {len(source)} and {len(target)}")
        if source_mask is not None and source_mask.shape != source.shape:
            expected, came = tuple(source.shape), tuple(source_mask.shape)
            raise ValueError(f"source_mask must have source's shape {expected}; got {came}")
        keys = None if source_mask is None else source_mask[:, None, None]  # (B, 1, 1, S)
        memory = self.encoder(read, mask=keys)
        for block in self.decoder:
            x = block(x, memory, keys)
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
        Example:
            >>> model = EncoderDecoder(EncoderDecoderConfig(7, 11, 5, d_model=4, n_layers=1, n_heads=2))
            >>> model.translate(torch.tensor([[1, 2]]), bos_id=9, eos_id=0, max_new_tokens=3).shape[0]
            1
        """
        if not 0 <= max_new_tokens <= self.config.max_seq_len:
            fits = self.config.max_seq_len
            raise ValueError(f"max_new_tokens must be 0 to {fits}; got {max_new_tokens}")
        target = source.new_full((len(source), 1), bos_id)
        ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(max_new_tokens):
            if ended.all():
                break
            token = self(source, target, source_mask)[:, -1].argmax(-1).masked_fill(ended, eos_id)
            ended = ended | (token == eos_id)
            target = torch.cat([target, token[:, None]], dim=1)
        return target[:, 1:]

    def _embed(self, ids: Tensor, table: nn.Embedding) -> Tensor:
        check_ids(ids, table.num_embeddings, self.config.max_seq_len)
        return self.position_embedding(math.sqrt(self.config.d_model) * table(ids))
