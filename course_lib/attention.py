"""Attention: weights, then mix, then many heads at once (Vaswani et al. 2017, section 3.2)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

# What can take the place of `scaled_dot_product_attention`: q, k, v and a mask (or None) in, the mix out.
AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """Which keys each query may see when nobody looks ahead: True = may attend.

    The last query is aligned with the last key, because with a cache the queries are the newest tokens.
    Example:
        >>> causal_mask(2, 3).tolist()
        [[True, True, False], [True, True, True]]

    Differs: `is_causal=True` of torch aligns the first query with the first key.
    """
    return torch.ones(n_queries, n_keys, dtype=torch.bool, device=device).tril(n_keys - n_queries)


def attention_weights(
    q: Float[Tensor, "... T K"], k: Float[Tensor, "... S K"], mask: Bool[Tensor, "..."] | None = None, *,
    causal: bool = False, scale: float | None = None, bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "... T S"]:  # fmt: skip
    """How much of each value every query takes.

        A = softmax(scale q k^T + bias), scale = 1 / sqrt(K) by default      (Vaswani et al. 2017, equation 1)
    Args:
        q, k: queries and keys; leading axes (batch, heads) broadcast.
        mask: True = may attend; any shape that broadcasts to (..., T, S).
        causal: forbid keys later than the query, see `causal_mask`.
        bias: added to the scores, as some positions do; any shape that broadcasts to (..., T, S).
    Returns: weights; each row sums to 1, or to 0 where everything is forbidden.
    Raises: ValueError: widths of q and k differ; a mask that is not boolean or does not fit.
    Example:
        >>> attention_weights(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])).tolist()
        [[0.5, 0.5]]
    """
    allowed = _allowed(q, k, mask, causal)
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)  # (..., T, S)
    if bias is not None:
        scores = scores + bias
    if allowed is None:
        return scores.softmax(-1)
    # The lowest finite number, not -inf: a row of -inf gives NaN, and NaN gradients even when overwritten.
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(~allowed, 0.0)


def scaled_dot_product_attention(
    q: Float[Tensor, "... T K"], k: Float[Tensor, "... S K"], v: Float[Tensor, "... S D"],
    mask: Bool[Tensor, "..."] | None = None, *, causal: bool = False, scale: float | None = None,
    bias: Float[Tensor, "..."] | None = None, fused: bool = True,
) -> Float[Tensor, "... T D"]:  # fmt: skip
    """Mix the values by the attention weights: `attention_weights(q, k) @ v`.
    Args:
        q, k, v, mask, causal, scale, bias: as for `attention_weights`; v has one row per key.
        fused: take torch's kernel, which for inputs (batch, heads, T, K) never stores the T x S weights.
            Both ways give equal results.
    Returns: one mixed value per query; zeros where a query may attend to nothing.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Differs: the mask is boolean only, and `causal` aligns the last query with the last key.
    """
    n_queries, n_keys, n_values = q.shape[-2], k.shape[-2], v.shape[-2]
    if n_values != n_keys:
        raise ValueError(f"k and v must have one row per key (axis -2): {n_keys} in k, {n_values} in v")
    if not fused:
        return attention_weights(q, k, mask, causal=causal, scale=scale, bias=bias) @ v
    if causal and mask is None and bias is None and n_queries in (1, n_keys):
        # A single newest query sees everything; a square mask is the same in both alignments.
        _allowed(q, k, None, causal=False)  # checks the shapes
        return F.scaled_dot_product_attention(q, k, v, is_causal=n_queries > 1, scale=scale)
    allowed = _allowed(q, k, mask, causal)
    added = allowed
    if bias is not None:  # the kernel takes one of the two: the lowest number stands for "may not"
        added = bias if allowed is None else bias.where(allowed, torch.finfo(bias.dtype).min)
    mix = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)
    # Kernels disagree about rows that may attend to nothing (NaN, zeros, a mean): zeros here, always.
    return mix if allowed is None else mix.masked_fill(~allowed.any(-1, keepdim=True), 0.0)


class KVCache:
    """The keys and values of one layer for all tokens so far, so that a new token need not recompute them.
    Args: capacity: how many tokens fit. options: device and dtype, as for `torch.empty`.
    """

    def __init__(self, batch_size: int, n_kv_heads: int, capacity: int, d_head: int, **options: Any) -> None:
        self.keys = torch.empty(batch_size, n_kv_heads, capacity, d_head, **options)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def room(self, batch_size: int, n_tokens: int) -> tuple[int, int]:
        """Where the next n tokens begin and end. Raises: ValueError: full, or another batch size."""
        if batch_size != len(self.keys):
            raise ValueError(f"the cache was made for a batch of {len(self.keys)}; got {batch_size}")
        start, end, capacity = self.length, self.length + n_tokens, self.keys.shape[-2]
        if end > capacity:
            free = f"{start} are in it, {n_tokens} more do not fit"
            raise ValueError(f"the cache holds {capacity} tokens: {free}")
        return start, end

    def append(
        self, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Store the newest, return all, oldest first. Raises: as `room`."""
        start, end = self.room(len(k), k.shape[-2])
        # As keys[:, :, start:end] = k, but `narrow` is quicker, and each new token comes by here.
        self.keys.narrow(2, start, end - start).copy_(k)
        self.values.narrow(2, start, end - start).copy_(v)
        self.length = end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own slice of the width.

        head_h = attention(x Wq_h, y Wk_h, y Wv_h);  output = [head_1 ... head_H] Wo
        (Vaswani et al. 2017, section 3.2.2; fewer key heads: Ainslie et al. 2023)
    Args:
        d_model: width of the vectors; n_heads must divide it.
        n_heads: query heads.
        n_kv_heads: key and value heads; each serves n_heads / n_kv_heads query heads. Default: n_heads.
        bias: whether the four projections add one.
        causal: forbid looking ahead.
        rotary: turns queries and keys by their position, see `positions.RotaryEmbedding`.
        score_bias: called as score_bias(q, n_keys), gives what is added to the scores, see `positions.ALiBi`.

    To see the weights of a forward pass, hook `pattern` (B, H, T, S); to replace the mixing, set `attend`:

        layer.pattern.register_forward_hook(lambda module, args, weights: seen.append(weights))
        layer.attend = my_attention  # called as my_attention(q, k, v, mask)
    """

    def __init__(
        self, d_model: int, n_heads: int, *, n_kv_heads: int | None = None, bias: bool = True,
        causal: bool = False, rotary: nn.Module | None = None, score_bias: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"n_heads must divide d_model: got n_heads={n_heads}, d_model={d_model}")
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_kv_heads must divide n_heads: got {n_kv_heads=}, {n_heads=}")
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads, d_model // n_heads
        self.causal, self.rotary, self.score_bias = causal, rotary, score_bias
        self.q_proj = nn.Linear(d_model, n_heads * self.d_head, bias=bias)
        self.k_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.out_proj = nn.Linear(n_heads * self.d_head, d_model, bias=bias)
        self.pattern = nn.Identity()
        self.attend: AttentionFunction | None = None

    def forward(
        self, x: Float[Tensor, "B T D"], context: Float[Tensor, "B S D"] | None = None,
        mask: Bool[Tensor, "..."] | None = None, cache: KVCache | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Let every vector of x gather from x itself (self), or from context (cross).
        Args: mask: True = may attend; broadcasts to (B, H, T, S). cache: what came before; x is added to it.
        """
        source = x if context is None else context
        q = self._split(self.q_proj(x))  # (B, H, T, K)
        k = self._split(self.k_proj(source))  # (B, H_kv, S, K)
        v = self._split(self.v_proj(source))
        if self.rotary is not None:
            start = 0 if cache is None else cache.length
            q, k = self.rotary(q, start), self.rotary(k, start)
        if cache is not None:
            k, v = cache.append(k, v)
        if self.n_kv_heads < self.n_heads:
            k, v = (t.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1) for t in (k, v))
        return self.out_proj(self._mix(q, k, v, mask).transpose(1, 2).flatten(2))  # (B, T, H K)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.d_head).transpose(1, 2)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.attend is not None:
            return self.attend(q, k, v, _allowed(q, k, mask, self.causal))
        bias = None if self.score_bias is None else self.score_bias(q, k.shape[-2])
        if self.pattern._forward_hooks:  # somebody looks at the weights, so they have to exist
            return self.pattern(attention_weights(q, k, mask, causal=self.causal, bias=bias)) @ v
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal, bias=bias)


def _allowed(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """The one mask that says it all, or None; checks the shapes on the way."""
    (n_queries, width), (n_keys, k_width) = q.shape[-2:], k.shape[-2:]
    if width != k_width:
        raise ValueError(f"q and k must have the same width (last axis): q has {width}, k has {k_width}")
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"mask must be boolean (True = may attend); got {mask.dtype}")
        shape = (*torch.broadcast_shapes(q.shape[:-2], k.shape[:-2]), n_queries, n_keys)
        try:
            fits = torch.broadcast_shapes(mask.shape, shape) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(f"mask must broadcast to {shape} (..., queries, keys); got {tuple(mask.shape)}")
        # torch's kernel wants both axes
        mask = mask.expand(torch.broadcast_shapes(mask.shape, (n_queries, n_keys)))
    if not causal:
        return mask
    ahead = causal_mask(n_queries, n_keys, q.device)
    return ahead if mask is None else mask & ahead
