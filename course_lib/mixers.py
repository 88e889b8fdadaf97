"""What can take the place of attention, as in `TransformerStack(d_model, 2, n_heads, mixer=FourierMixing)`.

A mixer is called as attention is in a block, mixer(x, mask=None, cache=None), and refuses what it cannot
honour. One that never looks ahead says so: its `causal` is True.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.attention import check_heads, check_shapes


def linear_attention(
    q: Float[Tensor, "*lead T K"],
    k: Float[Tensor, "*lead S K"],
    v: Float[Tensor, "*lead S V"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
) -> Float[Tensor, "*lead T V"]:
    """Attention without a softmax, so that keys are summed before any query comes: time linear in T and S.

        out_t = phi(q_t) (sum_s phi(k_s)^T v_s) / (phi(q_t) sum_s phi(k_s)^T), phi(x) = elu(x) + 1
        (Katharopoulos et al. 2020, equations 5 and 7; causal, with sums over s <= t: equations 9 to 12)

    Args:
        q: queries.
        k: keys.
        v: values, one row per key.
        mask: True = use this key, for all queries alike; broadcasts to (*lead, S).
        causal: each query uses the keys up to its own place.
    Returns: a weighted mean of the values for each query; zeros where no key is used.
    Raises: ValueError: shapes that do not fit; causal with unequal numbers of queries and keys; a mask that
        is not boolean.
    Example:
        >>> q, k = torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]])  # phi: 1, and 1 and 3
        >>> linear_attention(q, k, torch.tensor([[4.0], [8.0]])).tolist()  # (1 * 4 + 3 * 8) / (1 + 3)
        [[7.0]]
    """
    check_shapes(q, k, v)
    *lead, n_queries, _ = q.shape
    n_keys = k.shape[-2]
    leads = [tuple(x.shape[:-2]) for x in (q, k, v)]
    if len(set(leads)) > 1:  # fewer key heads, too, which attention would share among its queries
        raise ValueError(f"q, k and v must have the same leading axes; got {leads}")
    if mask is not None:
        mask = _for_keys(mask, (*lead, n_keys))
    if causal and n_queries != n_keys:
        raise ValueError(f"causal needs one key per query; got {n_queries} queries, {n_keys} keys")
    q = _features(q)
    k = _features(k)
    if mask is not None:
        k = k.masked_fill(~mask[..., None], 0.0)
    v = F.pad(v, (0, 1), value=1.0)  # what mixes the ones is the sum of the weights
    mix = _mix_causally(q, k, v) if causal else q @ (k.mT @ v)  # (..., T, V + 1)
    totals = mix[..., -1:]
    return mix[..., :-1] / totals.masked_fill(totals == 0, 1.0)


def _for_keys(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean (True = use this key); got {mask.dtype}")
    try:
        return mask.expand(shape)
    except RuntimeError:
        came = tuple(mask.shape)
        raise ValueError(f"mask must broadcast to {shape} (..., keys); got {came}") from None


def _features(x: Tensor) -> Tensor:
    """elu(x) + 1: exp(x) below 0, x + 1 above.

    Where x is far below 0, elu(x) is rounded to -1, and adding 1 would lose the key: from -17 in 32 bits.
    """
    return x.clamp(max=0).exp() + x.relu()


def _mix_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each query with the keys up to its place: (..., T, V + 1)."""
    length = k.shape[-2]
    # Chunks of 64, which is near K: sums over chunks then cost about as much as scores within one.
    size = max(1, min(length, 64))
    missing = -length % size
    n_chunks = (length + missing) // size
    q, k, v = (F.pad(x, (0, 0, 0, missing)).unflatten(-2, (n_chunks, size)) for x in (q, k, v))
    sums = (k.mT @ v).cumsum(-3)  # (..., chunks, K, V + 1): up to the end of each chunk
    before = F.pad(sums, (0, 0, 0, 0, 1, 0))[..., :-1, :, :]
    # Earlier chunks through their sum, the own chunk through its scores: later keys add exactly 0.
    mix = q @ before + (q @ k.mT).tril() @ v
    return mix.flatten(-3, -2)[..., :length, :]


class LinearAttention(nn.Module):
    """`linear_attention` in n_heads slices of the width; parameters as in `MultiHeadAttention`.

    Args:
        d_model: width of the vectors; n_heads must divide it.
        n_heads: how many slices.
        causal: forbid looking ahead.
        bias: whether the four projections add one.
    Raises: ValueError: n_heads does not divide d_model.
    Example:
        >>> LinearAttention(d_model=6, n_heads=2)(torch.randn(1, 3, 6)).shape
        torch.Size([1, 3, 6])
    """

    def __init__(self, d_model: int, n_heads: int, *, causal: bool = False, bias: bool = True) -> None:
        super().__init__()
        check_heads(d_model, n_heads)
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        self.causal = causal
        self.q_proj = nn.Linear(d_model, d_model, bias)
        self.k_proj = nn.Linear(d_model, d_model, bias)
        self.v_proj = nn.Linear(d_model, d_model, bias)
        self.out_proj = nn.Linear(d_model, d_model, bias)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "..."] | None = None,
        cache: None = None,
    ) -> Float[Tensor, "B T D"]:
        """Let every vector of x gather from x itself, as attention does.

        Args:
            x: the vectors.
            mask: True = use this key, for all queries alike: (B, H or 1, 1, S), the keys of this call.
            cache: None.
        Raises: ValueError: as `linear_attention`; a mask that differs from query to query; a cache.
        """
        if cache is not None:
            raise ValueError("LinearAttention keeps no keys and values: it can honour no cache")
        q = self._split(self.q_proj(x))  # (B, H, T, K)
        k = self._split(self.k_proj(x))
        v = self._split(self.v_proj(x))
        if mask is not None:
            n_keys = k.shape[-2]
            if mask.shape[-2:] != (1, n_keys):
                raise ValueError(f"mask can only leave out keys: (..., 1, {n_keys}); got {tuple(mask.shape)}")
            check_shapes(q, k, v, mask)
            mask = mask.squeeze(-2)
        mix = linear_attention(q, k, v, mask=mask, causal=self.causal)
        return self.out_proj(mix.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2)


class FourierMixing(nn.Module):
    """Each number from all numbers, by a Fourier transform; nothing is learned.

        real(fft2(x)), over tokens and width      (Lee-Thorp et al. 2021, equation 3)

    Example:
        >>> FourierMixing()(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()  # the first is the sum of all
        [[[10.0, -2.0], [-4.0, 0.0]]]
    """

    def forward(
        self, x: Float[Tensor, "B T D"], mask: None = None, cache: None = None
    ) -> Float[Tensor, "B T D"]:
        """Mix all vectors of x.

        Raises: ValueError: a mask or a cache.
        """
        _refuse("FourierMixing", mask=mask, cache=cache)
        if x.numel() == 0:
            return x  # of nothing there is no transform
        return torch.fft.fft2(x).real


class MLPMixing(nn.Module):
    """Two matrices with a bend between them, along the tokens: one and the same for each place of the width.

        y_column = W2 gelu(W1 x_column)      (Tolstikhin et al. 2021, equation 1, line 1)

    Args:
        max_seq_len: how many tokens, no more and no fewer.
        d_hidden: width in between.
    Example:
        >>> MLPMixing(max_seq_len=3, d_hidden=7)(torch.randn(1, 3, 6)).shape
        torch.Size([1, 3, 6])
    """

    def __init__(self, max_seq_len: int, d_hidden: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(max_seq_len, d_hidden)
        self.down_proj = nn.Linear(d_hidden, max_seq_len)

    def forward(
        self, x: Float[Tensor, "B T D"], mask: None = None, cache: None = None
    ) -> Float[Tensor, "B T D"]:
        """Mix all vectors of x.

        Raises: ValueError: another number of tokens; a mask or a cache.
        """
        _refuse("MLPMixing", mask=mask, cache=cache)
        if x.shape[1] != self.up_proj.in_features:
            raise ValueError(f"MLPMixing needs exactly {self.up_proj.in_features} tokens; got {x.shape[1]}")
        hidden = F.gelu(self.up_proj(x.mT))  # (B, D, d_hidden)
        return self.down_proj(hidden).mT


def _refuse(name: str, **others: None) -> None:
    """Stop at a mask or a cache: every token of x is mixed, always."""
    for what, value in others.items():
        if value is not None:
            raise ValueError(f"{name} mixes all tokens of x, always: it can honour no {what}")
