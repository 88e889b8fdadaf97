"""Attention: weights, then mix, then many heads at once (Vaswani et al. 2017, section 3.2)."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.positions import query_positions

# attend(q, k, v, mask, causal=..., bias=...) gives the mix, as `scaled_dot_product_attention` does.
AttentionFunction = Callable[..., Tensor]


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """Which keys each query may see when nobody looks ahead: True = may attend.

    The last query is aligned with the last key, because with a cache the queries are the newest tokens.

    Example:
        >>> causal_mask(2, 3).tolist()
        [[True, True, False], [True, True, True]]

    Differs: `is_causal=True` of torch aligns the first query with the first key.
    """
    keys = torch.arange(n_keys, device=device)
    queries = query_positions(n_queries, n_keys, device)
    return keys <= queries[:, None]


def attention_weights(
    q: Float[Tensor, "... T K"],
    k: Float[Tensor, "... S K"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "... T S"]:
    """How much of each value every query takes.

        A = softmax(scale q k^T + bias), scale = 1 / sqrt(K) by default      (Vaswani et al. 2017, equation 1)

    Args:
        q: queries.
        k: keys; leading axes (batch, heads) broadcast with those of q, or the heads are fewer, see
            `for_each_head`.
        mask: True = may attend; any shape that broadcasts to (..., T, S).
        causal: forbid keys later than the query, see `causal_mask`.
        scale: what the products are multiplied by.
        bias: added to the scores, as some positions do; any shape that broadcasts to (..., T, S). Minus
            infinity forbids.
    Returns: weights; each row sums to 1, or to 0 where everything is forbidden.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Example:
        >>> attention_weights(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])).tolist()
        [[0.5, 0.5]]
    """
    check_shapes(q, k, mask=mask, bias=bias)
    if scale is None:
        scale = q.shape[-1] ** -0.5
    scores = q @ for_each_head(q, k).transpose(-2, -1) * scale  # (..., T, S)
    if bias is not None:
        scores = scores + bias
    allowed = _allowed(q, k, mask, causal, bias)
    if allowed is None:
        return scores.softmax(-1)
    # The lowest finite number, not -inf: a row of -inf gives NaN, and NaN gradients even when overwritten.
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(~allowed, 0.0)


def scaled_dot_product_attention(
    q: Float[Tensor, "... T K"],
    k: Float[Tensor, "... S K"],
    v: Float[Tensor, "... S D"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    bias: Float[Tensor, "..."] | None = None,
    fused: bool = True,
) -> Float[Tensor, "... T D"]:
    """Mix the values by the attention weights: `attention_weights(q, k) @ v`.

    Args:
        q: queries.
        k: keys.
        v: values, one row per key; leading axes as those of k.
        mask: as for `attention_weights`, and so are causal, scale and bias.
        fused: take torch's kernel, which for inputs (batch, heads, T, K) never stores the T x S weights.
            Both ways give equal results.
    Returns: one mixed value per query; zeros where a query may attend to nothing.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Differs: the mask is boolean only, and `causal` aligns the last query with the last key.
    Example:
        >>> values = torch.tensor([[2.0, 0.0], [4.0, 8.0]])
        >>> scaled_dot_product_attention(torch.zeros(1, 3), torch.ones(2, 3), values).tolist()
        [[3.0, 4.0]]
    """
    # Before anything else: torch's kernel reads beyond its memory where k and v differ in length.
    check_shapes(q, k, v, mask, bias)
    if not fused:
        weights = attention_weights(q, k, mask, causal=causal, scale=scale, bias=bias)
        return weights @ for_each_head(q, v)
    n_queries, n_keys = q.shape[-2], k.shape[-2]
    # The kernel can share key heads itself: quicker for one query, slower for many, so those get copies.
    grouped = n_queries == 1 and q.ndim == k.ndim == 4 and k.shape[1] < q.shape[1]
    if not grouped:
        k, v = for_each_head(q, k), for_each_head(q, v)
    causal = causal and n_queries > 1  # a single query is the newest and sees everything
    if causal and mask is None and bias is None and n_queries == n_keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    allowed = _allowed(q, k, mask, causal, bias)
    added = allowed
    if bias is not None and allowed is not None:  # a bias alone makes an `allowed`, too
        # The kernel takes a mask or numbers to add, not both: the lowest number stands for "may not".
        added = bias.where(allowed, torch.finfo(bias.dtype).min)
    mix = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale, enable_gqa=grouped)
    if allowed is None:
        return mix
    # Kernels disagree about rows that may attend to nothing (NaN, zeros, a mean): zeros here, always.
    return mix.masked_fill(~allowed.any(-1, keepdim=True), 0.0)


class KVCache:
    """The keys and values of one layer for all tokens so far, so that a new token need not recompute them.

    For writing, without gradients: the newest are put into the same memory.

    Args:
        batch_size: rows.
        n_kv_heads: heads of keys and values.
        capacity: how many tokens fit.
        d_head: width of a head.
        device: where they are; default: torch's own.
        dtype: default: torch's own.
    Example:
        >>> cache = KVCache(1, 2, capacity=5, d_head=3)
        >>> k, v = cache.append(torch.zeros(1, 2, 4, 3), torch.zeros(1, 2, 4, 3))
        >>> cache.length, k.shape
        (4, torch.Size([1, 2, 4, 3]))
    """

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        capacity: int,
        d_head: int,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.keys = torch.empty(batch_size, n_kv_heads, capacity, d_head, device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def append(
        self, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Store the newest, return all, oldest first.

        Raises: ValueError: other rows, heads or widths; keys and values of unequal shapes; a full cache.
        """
        n_rows, n_heads, capacity, d_head = self.keys.shape
        n_tokens = k.shape[2]
        if k.shape != v.shape or k.shape != (n_rows, n_heads, n_tokens, d_head):
            made_for = f"{n_rows} rows, {n_heads} heads of width {d_head}"
            raise ValueError(f"the cache holds {made_for}; got k {tuple(k.shape)}, v {tuple(v.shape)}")
        start, end = self.length, self.length + n_tokens
        if end > capacity:
            raise ValueError(f"the cache holds {capacity} tokens: {start} are in it, {n_tokens} do not fit")
        # As keys[:, :, start:end] = k, but `narrow` is quicker, and each new token comes by here.
        self.keys.narrow(2, start, n_tokens).copy_(k)
        self.values.narrow(2, start, n_tokens).copy_(v)
        self.length = end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each with its own, narrower projections of the vectors.

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

    How it mixes is one attribute, `attend`: `scaled_dot_product_attention`, or another function that is
    called in the same way. `with_one_mask` makes one from a simple function(q, k, v, mask); `probing` puts
    one there that shows the weights.

    Example:
        >>> MultiHeadAttention(6, 3, causal=True)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        bias: bool = True,
        causal: bool = False,
        rotary: nn.Module | None = None,
        score_bias: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if n_kv_heads is None:
            n_kv_heads = n_heads
        check_heads(d_model, n_heads)
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_kv_heads must divide n_heads: got {n_kv_heads=}, {n_heads=}")
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads
        self.d_head = d_model // n_heads
        self.causal = causal
        self.rotary = rotary
        self.score_bias = score_bias
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        self.attend: AttentionFunction = scaled_dot_product_attention

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Let every vector of x gather from x itself (self), or from context (cross).

        Args:
            x: the vectors that ask.
            context: the vectors that are asked; default: x.
            mask: True = may attend; broadcasts to (B, H, T, S).
            cache: keys and values of what came before; those of x are added. Not together with context.
        Raises: ValueError: shapes that do not fit; a full cache.
        """
        if cache is not None and context is not None:
            raise ValueError("a cache keeps the tokens of x, so it cannot be given together with a context")
        source = x if context is None else context
        q, k, v = self.project(x, source, 0 if cache is None else cache.length)
        if cache is not None:
            k, v = cache.append(k, v)
        bias = None if self.score_bias is None else self.score_bias(q, k.shape[-2])
        mix = self.attend(q, k, v, mask, causal=self.causal, bias=bias)
        return self.out_proj(mix.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, H K) -> (B, T, D)

    def project(self, x: Tensor, source: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of x, keys and values of the source; the first token of both stands at position start.

        Example:
            >>> layer, x = MultiHeadAttention(6, 3, n_kv_heads=1), torch.zeros(2, 5, 6)
            >>> [part.shape[1] for part in layer.project(x, x, start=0)]  # heads
            [3, 1, 1]
        """
        q = self._split(self.q_proj(x))  # (B, H, T, K)
        k = self._split(self.k_proj(source))  # (B, H_kv, S, K)
        v = self._split(self.v_proj(source))
        if self.rotary is not None:  # before they are kept: the position of a key never changes
            q, k = self.rotary(q, start), self.rotary(k, start)
        return q, k, v

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)  # (B, T, H K) -> (B, H, T, K)


def with_one_mask(function: Callable[..., Tensor]) -> AttentionFunction:
    """What `MultiHeadAttention.attend` takes, from a function(q, k, v, mask), such as a learner's.

    Args:
        function: gets q (B, H, T, K), k and v (B, H, S, K), where S counts what a cache holds too; mask and
            causal as one boolean mask that broadcasts to (B, H, T, S), True = may attend, or None. It gives
            the mix (B, H, T, K). In a layer that adds to the scores it is called with bias=... as well.
    Raises: ValueError: when it is called, something else comes back.
    Example:
        >>> layer = MultiHeadAttention(6, 3)
        >>> layer.attend = with_one_mask(lambda q, k, v, mask: v)  # each token keeps its own value
        >>> layer(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    def attend(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
    ) -> Tensor:
        check_shapes(q, k, v, mask, bias)
        added = {} if bias is None else {"bias": bias}
        k, v = for_each_head(q, k), for_each_head(q, v)
        mix = function(q, k, v, _allowed(q, k, mask, causal), **added)
        expected = (*q.shape[:-1], v.shape[-1])
        if not isinstance(mix, Tensor) or mix.shape != expected:
            came = tuple(mix.shape) if isinstance(mix, Tensor) else type(mix).__name__
            raise ValueError(f"attend must return a tensor {expected}, one mix per query; got {came}")
        return mix

    return attend


def for_each_head(q: Float[Tensor, "... T K"], shared: Float[Tensor, "... S D"]) -> Float[Tensor, "... S D"]:
    """Keys (or values), (B, heads, S, K), with a head for each of q; where there are fewer, neighbours share.

    (Ainslie et al. 2023, grouped queries)

    Example:
        >>> for_each_head(torch.zeros(1, 4, 5, 3), torch.zeros(1, 2, 7, 3)).shape
        torch.Size([1, 4, 7, 3])
    """
    if min(q.ndim, shared.ndim) < 4 or shared.shape[-3] >= q.shape[-3]:
        return shared
    return shared.repeat_interleave(q.shape[-3] // shared.shape[-3], dim=-3)


def check_heads(d_model: int, n_heads: int) -> None:
    """Stop where the width cannot be cut into so many heads.

    Raises: ValueError: both numbers.
    Example:
        >>> check_heads(d_model=6, n_heads=4)
        Traceback (most recent call last):
            ...
        ValueError: n_heads must divide d_model: got n_heads=4, d_model=6
    """
    if n_heads < 1 or d_model < 1 or d_model % n_heads:
        raise ValueError(f"n_heads must divide d_model: got n_heads={n_heads}, d_model={d_model}")


def check_shapes(
    q: Tensor, k: Tensor, v: Tensor | None = None, mask: Tensor | None = None, bias: Tensor | None = None
) -> None:
    """Stop at queries, keys, values, mask and bias that do not fit together.

    Raises: ValueError: which two do not, and how large they are.
    Example:
        >>> check_shapes(torch.zeros(5, 3), torch.zeros(7, 2))
        Traceback (most recent call last):
            ...
        ValueError: q and k must have the same width (last axis): q has 3, k has 2
    """
    if q.ndim < 2 or k.ndim < 2 or (v is not None and v.ndim < 2):
        came = [tuple(x.shape) for x in (q, k, v) if x is not None]
        raise ValueError(f"q, k and v must be (..., rows, width); got {came}")
    if q.shape[-1] != k.shape[-1]:
        widths = f"q has {q.shape[-1]}, k has {k.shape[-1]}"
        raise ValueError(f"q and k must have the same width (last axis): {widths}")
    if q.shape[-1] == 0:
        raise ValueError("q and k must have a width (last axis) of at least 1; got 0")
    if v is not None and v.shape[-2] != k.shape[-2]:
        rows = f"{k.shape[-2]} in k, {v.shape[-2]} in v"
        raise ValueError(f"k and v must have one row per key (axis -2): {rows}")
    lead = _leading_axes(q, k, v)
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean (True = may attend); got {mask.dtype}")
    for name, other in (("mask", mask), ("bias", bias)):
        if other is not None:
            _check_fits_scores(name, other, (*lead, q.shape[-2], k.shape[-2]))


def _leading_axes(q: Tensor, k: Tensor, v: Tensor | None) -> tuple[int, ...]:
    """The leading axes of the scores; ValueError where those of q, k and v do not go together."""
    lead = q.shape[:-2]
    if lead == k.shape[:-2] and (v is None or lead == v.shape[:-2]):
        return lead  # as nearly always, and quicker
    leads = []
    for x in (k, v):
        if x is not None:
            *rest, heads = x.shape[:-2] or (1,)
            grouped = min(q.ndim, x.ndim) > 3 and heads and q.shape[-3] % heads == 0  # see `for_each_head`
            leads.append((*rest, q.shape[-3] if grouped else heads))
    try:
        np.broadcast_shapes(lead, *leads)
    except ValueError:
        what = "q, k and v" if v is not None else "q and k"
        came = [tuple(x.shape[:-2]) for x in (q, k, v) if x is not None]
        raise ValueError(f"the leading axes of {what} must broadcast; got {came}") from None
    return np.broadcast_shapes(lead, leads[0])


def _check_fits_scores(name: str, other: Tensor, scores: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(other.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        came = tuple(other.shape)
        raise ValueError(f"{name} must broadcast to {scores} (..., queries, keys); got {came}")


def _allowed(
    q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None = None
) -> Tensor | None:
    """Where queries may attend: all that forbids as one mask, or None where nothing does."""
    n_queries, n_keys = q.shape[-2], k.shape[-2]
    allowed = []
    if mask is not None:
        allowed.append(mask)
    if causal:
        allowed.append(causal_mask(n_queries, n_keys, q.device))
    if bias is not None:
        allowed.append(bias != -torch.inf)
    if not allowed:
        return None
    joined = reduce(torch.logical_and, allowed)
    both = np.broadcast_shapes(joined.shape, (n_queries, n_keys))  # torch's kernel wants both axes
    return joined.expand(both)
