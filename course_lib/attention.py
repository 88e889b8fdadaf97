"""Attention: weights, then mix, then many heads at once (Vaswani et al. 2017, section 3.2)."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.positions import query_positions

# What can take the place of `scaled_dot_product_attention`: function(q, k, v, mask), where mask is boolean or
# None, gives the mix. Layers that add to the scores (`ALiBi`, for instance) call function(..., bias=bias).
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
        k: keys; leading axes (batch, heads) broadcast with those of q.
        mask: True = may attend; any shape that broadcasts to (..., T, S).
        causal: forbid keys later than the query, see `causal_mask`.
        scale: what the products are multiplied by.
        bias: added to the scores, as some positions do; any shape that broadcasts to (..., T, S).
    Returns: weights; each row sums to 1, or to 0 where everything is forbidden.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Example:
        >>> attention_weights(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])).tolist()
        [[0.5, 0.5]]
    """
    check_shapes(q, k, mask=mask, bias=bias)
    if scale is None:
        scale = q.shape[-1] ** -0.5
    scores = q @ k.transpose(-2, -1) * scale  # (..., T, S)
    if bias is not None:
        scores = scores + bias
    allowed = _allowed(q, k, mask, causal)
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
        v: values, one row per key; leading axes broadcast with those of q and k.
        mask: as for `attention_weights`, and so are causal, scale and bias.
        fused: take torch's kernel, which for inputs (batch, heads, T, K) never stores the T x S weights.
            Both ways give equal results.
    Returns: one mixed value per query; zeros where a query may attend to nothing.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Differs: the mask is boolean only, and `causal` aligns the last query with the last key.
    """
    # Before anything else: torch's kernel reads beyond its memory where k and v differ in length.
    check_shapes(q, k, v, mask, bias)
    if not fused:
        return attention_weights(q, k, mask, causal=causal, scale=scale, bias=bias) @ v
    n_queries, n_keys = q.shape[-2], k.shape[-2]
    if causal and mask is None and bias is None and n_queries in (1, n_keys):
        # A single newest query sees everything; a square mask is the same in both alignments.
        return F.scaled_dot_product_attention(q, k, v, is_causal=n_queries > 1, scale=scale)
    allowed = _allowed(q, k, mask, causal)
    added = allowed
    if bias is not None:
        # The kernel takes a mask or numbers to add, not both: the lowest number stands for "may not".
        added = bias if allowed is None else bias.where(allowed, torch.finfo(bias.dtype).min)
    mix = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)
    if allowed is None:
        return mix
    # Kernels disagree about rows that may attend to nothing (NaN, zeros, a mean): zeros here, always.
    return mix.masked_fill(~allowed.any(-1, keepdim=True), 0.0)


class KVCache:
    """The keys and values of one layer for all tokens so far, so that a new token need not recompute them.

    Args:
        batch_size: rows.
        n_kv_heads: heads of keys and values.
        capacity: how many tokens fit.
        d_head: width of a head.
        options: device and dtype, as for `torch.empty`.
    """

    def __init__(self, batch_size: int, n_kv_heads: int, capacity: int, d_head: int, **options: Any) -> None:
        self.keys = torch.empty(batch_size, n_kv_heads, capacity, d_head, **options)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def room(self, batch_size: int, n_tokens: int) -> tuple[int, int]:
        """Where the next n tokens begin and end. Raises: ValueError: full, or another batch size."""
        if batch_size != len(self.keys):
            raise ValueError(f"the cache was made for a batch of {len(self.keys)}; got {batch_size}")
        capacity = self.keys.shape[-2]
        start, end = self.length, self.length + n_tokens
        if end > capacity:
            free = f"{start} are in it, {n_tokens} more do not fit"
            raise ValueError(f"the cache holds {capacity} tokens: {free}")
        return start, end

    def append(
        self, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Store the newest, return all, oldest first.

        Raises: ValueError: as `room`; keys and values of unequal shapes, other heads or widths.
        """
        _, n_heads, n_tokens, d_head = k.shape
        start, end = self.room(len(k), n_tokens)
        _, own_heads, _, own_width = self.keys.shape
        if (n_heads, d_head) != (own_heads, own_width) or k.shape != v.shape:
            made_for = f"{own_heads} heads of width {own_width}"
            raise ValueError(f"the cache holds {made_for}; got k {tuple(k.shape)}, v {tuple(v.shape)}")
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

    To see the weights of a forward pass, hook `pattern` (B, H, T, S); what a hook returns takes their place.
    To replace the mixing, set `attend`:

        layer.pattern.register_forward_hook(lambda module, args, weights: seen.append(weights))
        layer.attend = my_attention  # called as my_attention(q, k, v, mask), see `AttentionFunction`
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
        self.q_proj = nn.Linear(d_model, n_heads * self.d_head, bias=bias)
        self.k_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.out_proj = nn.Linear(n_heads * self.d_head, d_model, bias=bias)
        self.pattern = nn.Identity()  # does nothing: a place to hook the weights
        self.attend: AttentionFunction | None = None

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
        Raises: ValueError: shapes that do not fit; a full cache; an `attend` that cannot do what is asked.
        """
        if cache is not None and context is not None:
            raise ValueError("a cache keeps the tokens of x, so it cannot be given together with a context")
        source = x if context is None else context
        q, k, v = self.project(x, source, 0 if cache is None else cache.length)
        if cache is not None:
            k, v = cache.append(k, v)
        if self.n_kv_heads < self.n_heads:  # each key head serves neighbouring query heads
            k = k.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)  # (B, H, S, K)
            v = v.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)
        mix = self._mix(q, k, v, mask)
        return self.out_proj(mix.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, H K) -> (B, T, D)

    def project(self, x: Tensor, source: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of x, keys and values of the source; the first token of both stands at position start."""
        q = self._split(self.q_proj(x))  # (B, H, T, K)
        k = self._split(self.k_proj(source))  # (B, H_kv, S, K)
        v = self._split(self.v_proj(source))
        if self.rotary is not None:  # before they are kept: the position of a key never changes
            q = self.rotary(q, start)
            k = self.rotary(k, start)
        return q, k, v

    def _split(self, x: Tensor) -> Tensor:
        n_rows, n_tokens, width = x.shape
        return x.view(n_rows, n_tokens, width // self.d_head, self.d_head).transpose(1, 2)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """By `attend` if it is set; by weights that exist if `pattern` has a hook; else by the kernel."""
        bias = None if self.score_bias is None else self.score_bias(q, k.shape[-2])
        if self.attend is not None:
            return self._mix_by(self.attend, q, k, v, mask, bias)
        if _is_watched(self.pattern):
            weights = attention_weights(q, k, mask, causal=self.causal, bias=bias)  # (B, H, T, S)
            return self.pattern(weights) @ v
        return scaled_dot_product_attention(q, k, v, mask, causal=self.causal, bias=bias)

    def _mix_by(
        self,
        attend: AttentionFunction,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        bias: Tensor | None,
    ) -> Tensor:
        """Hand everything to somebody else's function, and look at what comes back."""
        if _is_watched(self.pattern):
            raise ValueError("pattern has a hook, but attend shows no weights: remove one of the two")
        check_shapes(q, k, v, mask, bias)
        options = {}
        if bias is not None:
            if not _takes_bias(attend):
                what = f"{type(self.score_bias).__name__} adds to the scores"
                raise ValueError(f"{what}, so attend must take (q, k, v, mask, bias=...); it takes no bias")
            options["bias"] = bias
        mix = attend(q, k, v, _allowed(q, k, mask, self.causal), **options)
        expected = (*_broadcast(q.shape[:-2], v.shape[:-2]), q.shape[-2], v.shape[-1])
        if not isinstance(mix, Tensor) or mix.shape != expected:
            came = tuple(mix.shape) if isinstance(mix, Tensor) else type(mix).__name__
            raise ValueError(f"attend must return a tensor {expected}, one mix per query; got {came}")
        return mix


def check_heads(d_model: int, n_heads: int) -> None:
    """Stop where the width cannot be cut into so many heads."""
    if n_heads < 1 or d_model < 1 or d_model % n_heads:
        raise ValueError(f"n_heads must divide d_model: got n_heads={n_heads}, d_model={d_model}")


def check_shapes(
    q: Tensor, k: Tensor, v: Tensor | None = None, mask: Tensor | None = None, bias: Tensor | None = None
) -> None:
    """Stop at queries, keys, values, mask and bias that do not fit together.

    Raises: ValueError: which two do not, and how large they are.
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
    """The leading axes of the scores; ValueError where those of q, k and v do not broadcast."""
    lead = q.shape[:-2]
    if lead == k.shape[:-2] and (v is None or lead == v.shape[:-2]):
        return lead  # as nearly always, and quicker
    leads = [tuple(x.shape[:-2]) for x in (q, k, v) if x is not None]
    try:
        _broadcast(*leads)
    except RuntimeError:
        what = "q, k and v" if v is not None else "q and k"
        raise ValueError(f"the leading axes of {what} must broadcast; got {leads}") from None
    return _broadcast(q.shape[:-2], k.shape[:-2])


def _check_fits_scores(name: str, other: Tensor, scores: tuple[int, ...]) -> None:
    try:
        fits = _broadcast(other.shape, scores) == scores
    except RuntimeError:
        fits = False
    if not fits:
        came = tuple(other.shape)
        raise ValueError(f"{name} must broadcast to {scores} (..., queries, keys); got {came}")


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))


def _allowed(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """The one mask that says it all, or None."""
    n_queries, n_keys = q.shape[-2], k.shape[-2]
    if mask is not None:
        # torch's kernel wants both axes
        mask = mask.expand(_broadcast(mask.shape, (n_queries, n_keys)))
    if not causal:
        return mask
    not_ahead = causal_mask(n_queries, n_keys, q.device)
    return not_ahead if mask is None else mask & not_ahead


def _is_watched(pattern: nn.Module) -> bool:
    """Whether anything waits for the weights: a hook of any kind, or another module in the place."""
    return bool(
        type(pattern) is not nn.Identity
        or pattern._forward_hooks
        or pattern._forward_pre_hooks
        or pattern._backward_hooks
        or pattern._backward_pre_hooks
    )


def _takes_bias(function: AttentionFunction) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # written in C: it says nothing about itself
        return False
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return takes_any or "bias" in parameters
