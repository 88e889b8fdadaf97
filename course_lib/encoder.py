"""Encoders: BERT for text and ViT for images, both the same stack without a causal mask."""

from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.blocks import (
    ACTIVATIONS,
    Activation,
    LayerNorm,
    PlainActivation,
    TransformerStack,
    check_activation,
    check_ids,
    check_numbers,
    initialise,
)
from course_lib.patches import PatchEmbedding, patchify
from course_lib.positions import PositionEmbedding


@dataclass(frozen=True)
class BERTConfig:
    """What a BERT looks like; the defaults that are given are those of the paper.

    Args:
        vocab_size: tokens known.
        max_seq_len: tokens that fit.
        d_model: see `TransformerStack`, and so are n_layers, n_heads and d_ff.
        n_segments: texts that fit side by side.
        norm_eps: see `make_block`.
        activation: of the feed-forward layers and of the masked-token head.
    Example: see `BERT`.
    """

    vocab_size: int
    max_seq_len: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None = None
    n_segments: int = 2
    norm_eps: float = 1e-12
    activation: PlainActivation = "gelu"


class BERT(nn.Module):
    """Token ids in, one vector for each token out, made from what stands on both of its sides.

        hidden = blocks(norm(E_token[ids] + E_position + E_segment[segments])), blocks with norm_first=False
        (Devlin et al. 2019, section 3 and figure 2)

    Two heads read the vectors: `mlm_logits` (which token is it?) and `next_sentence_logits`.

    Raises: ValueError: an activation that is not plain.
    Example:
        >>> BERT(BERTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        check_activation(config.activation, get_args(PlainActivation))
        self.config = config
        d_model, eps = config.d_model, config.norm_eps
        self.token_embedding = nn.Embedding(config.vocab_size, d_model)
        self.position_embedding = PositionEmbedding(config.max_seq_len, d_model)
        self.segment_embedding = nn.Embedding(config.n_segments, d_model)
        self.embedding_norm = LayerNorm(d_model, eps=eps)
        self.stack = TransformerStack(
            d_model,
            config.n_layers,
            config.n_heads,
            config.d_ff,
            norm_first=False,
            norm_eps=eps,
            activation=config.activation,
        )
        self.pooler = nn.Linear(d_model, d_model)
        self.next_sentence_head = nn.Linear(d_model, 2)
        self.mlm_dense = nn.Linear(d_model, d_model)
        self.mlm_norm = LayerNorm(d_model, eps=eps)
        self.mlm_bias = nn.Parameter(torch.zeros(config.vocab_size))
        initialise(self)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Read the tokens, all of them at once.

        Args:
            ids: tokens.
            segments: which text each token belongs to, from 0 on; default: all 0.
            mask: True = real token, False = padding, which nobody attends to.
        Returns: one vector for each token, also for padding, where it means nothing.
        Raises: ValueError: no token, too many tokens, ids or segments out of range, shapes that differ.
        Example:
            >>> model = BERT(BERTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> padded = model(torch.tensor([[1, 2, 0]]), mask=torch.tensor([[True, True, False]]))
            >>> torch.allclose(padded[:, :2], model(torch.tensor([[1, 2]])), atol=1e-5)
            True
        """
        check_ids(ids, self.config.vocab_size, self.config.max_seq_len)
        if segments is None:
            segments = torch.zeros_like(ids)
        for name, other in (("segments", segments), ("mask", mask)):
            if other is not None and other.shape != ids.shape:
                raise ValueError(f"{name} must have ids' shape {tuple(ids.shape)}; got {tuple(other.shape)}")
        check_numbers(segments, self.config.n_segments, "segments")
        x = self.token_embedding(ids) + self.segment_embedding(segments)
        x = self.embedding_norm(self.position_embedding(x))
        keys = None if mask is None else mask[:, None, None]  # (B, 1, 1, T)
        return self.stack(x, mask=keys)

    def mlm_logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Score every token of the vocabulary for every place, or for some: what stands, or stood, here?

        logits = norm(gelu(hidden W + b)) E_token^T + b'      (Devlin et al. 2019, section 3.1, task 1)

        Example:
            >>> model = BERT(BERTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> hidden = model(torch.tensor([[1, 2, 3]]))
            >>> model.mlm_logits(hidden).shape, model.mlm_logits(hidden[0, 1]).shape  # all places, or one
            (torch.Size([1, 3, 7]), torch.Size([7]))
        """
        activation = ACTIVATIONS[self.config.activation]
        x = activation(self.mlm_dense(hidden))
        return F.linear(self.mlm_norm(x), self.token_embedding.weight, self.mlm_bias)

    def next_sentence_logits(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        """Score whether the second text follows the first (index 0) or comes from elsewhere (index 1).

            logits = tanh(hidden[first token] W + b) W' + b'      (Devlin et al. 2019, section 3.1, task 2)

        Raises: ValueError: no token.
        Example:
            >>> model = BERT(BERTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
            >>> model.next_sentence_logits(model(torch.tensor([[1, 2, 3]]))).shape
            torch.Size([1, 2])
        """
        if hidden.shape[1] == 0:
            raise ValueError("the first token's vector is needed; got no tokens")
        first = self.pooler(hidden[:, 0]).tanh()
        return self.next_sentence_head(first)


@dataclass(frozen=True)
class ViTConfig:
    """What a Vision Transformer looks like.

    Args:
        image_size: height and width in pixels.
        patch_size: side of a square patch in pixels; must divide height and width.
        n_channels: colours of a pixel.
        n_classes: kinds of image.
        d_model: see `TransformerStack`, and so are n_layers, n_heads and d_ff.
        norm_eps: see `make_block`.
        activation: see `FeedForward`.
    Example: see `ViT`.
    """

    image_size: tuple[int, int]
    patch_size: int
    n_channels: int
    n_classes: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None = None
    norm_eps: float = 1e-12
    activation: Activation = "gelu"


class ViT(nn.Module):
    """Images in, a score for every class out: patches are the tokens, and a learned token asks for the class.

        x = [class_token; patches W] + positions;  logits = norm(blocks(x))[first] W' + b'
        (Dosovitskiy et al. 2021, equations 1 to 4)

    `encode` gives the vectors before the last step.
    Example:
        >>> ViT(ViTConfig((6, 4), 2, 1, 10, d_model=4, n_layers=1, n_heads=2))(torch.zeros(3, 1, 6, 4)).shape
        torch.Size([3, 10])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        # Cutting an empty image tells how many patches there are, or that they do not fill it.
        empty = torch.empty(1, 0, *config.image_size)
        n_patches = patchify(empty, config.patch_size).shape[1]
        self.config = config
        d_model = config.d_model
        self.patch_embedding = PatchEmbedding(config.patch_size, config.n_channels, d_model)
        self.class_token = nn.Parameter(torch.empty(1, 1, d_model))
        self.position_embedding = nn.Parameter(torch.empty(1, n_patches + 1, d_model))
        self.stack = TransformerStack(
            d_model,
            config.n_layers,
            config.n_heads,
            config.d_ff,
            norm_eps=config.norm_eps,
            activation=config.activation,
        )
        self.head = nn.Linear(d_model, config.n_classes)
        initialise(self)

    def encode(self, images: Float[Tensor, "B C height width"]) -> Float[Tensor, "B tokens D"]:
        """The image's vector, then the patches', row by row.

        Raises: ValueError: not the configured shape.
        Example:
            >>> model = ViT(ViTConfig((6, 4), 2, 1, 10, d_model=4, n_layers=1, n_heads=2))
            >>> model.encode(torch.zeros(3, 1, 6, 4)).shape  # 1 + 3 * 2 patches
            torch.Size([3, 7, 4])
        """
        n_channels, (height, width) = self.config.n_channels, self.config.image_size
        came = tuple(images.shape)
        if came[1:] != (n_channels, height, width):
            expected = f"(batch, {n_channels} channels, height {height}, width {width})"
            raise ValueError(f"images must be {expected}; got {came}")
        patches = self.patch_embedding(images)
        class_tokens = self.class_token.expand(len(images), -1, -1)
        x = torch.cat([class_tokens, patches], dim=1)
        return self.stack(x + self.position_embedding)

    def forward(self, images: Float[Tensor, "B C height width"]) -> Float[Tensor, "B n_classes"]:
        """Score the classes; see `encode` for what is raised."""
        class_vector = self.encode(images)[:, 0]
        return self.head(class_vector)
