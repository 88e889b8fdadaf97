"""What can take the place of attention, as in `TransformerBlock(d_model, n_heads, mixer=FourierMixing)`."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class RunningSums:
    """The cache of linear attention: K x (V + 1) numbers per head, however many tokens it has seen."""

    sums: Tensor | float = 0.0


def linear_attention(
    q: Float[Tensor, "*lead T K"], k: Float[Tensor, "*lead S K"], v: Float[Tensor, "*lead S V"], *,
    mask: Bool[Tensor, "..."] | None = None, causal: bool = False, cache: RunningSums | None = None,
) -> Float[Tensor, "*lead T V"]:  # fmt: skip
    """Attention without a softmax, so that keys are summed before any query comes: time linear in T and S.

        out_t = phi(q_t) (sum_s phi(k_s)^T v_s) / (phi(q_t) sum_s phi(k_s)^T), phi(x) = elu(x) + 1
        (Katharopoulos et al. 2020, equations 5 and 7; causal, with sums over s <= t: equations 9 to 12)
    Args: mask: True = use this key, for all queries alike; broadcasts to (..., S). cache: the sums over
        earlier keys; the new keys are added to it.
    Returns: a weighted mean of the values for each query; zeros where no key is used.
    Raises: ValueError: causal with unequal numbers of queries and keys; a mask that is not boolean.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean (True = use this key); got {mask.dtype}")
    length, cache = k.shape[-2], cache or RunningSums()
    q, k = F.elu(q) + 1, F.elu(k) + 1
    k = k if mask is None else k.masked_fill(~mask[..., None], 0.0)
    v = F.pad(v, (0, 1), value=1.0)  # what mixes the ones is the sum of the weights
    if not causal:
        sums = (k.mT @ v).unsqueeze(-3) + cache.sums  # (..., 1, K, V + 1)
        mix = q @ sums.squeeze(-3)
    else:
        if q.shape[-2] != length:
            raise ValueError(f"causal needs one key per query; got {q.shape[-2]} queries, {length} keys")
        size = min(length, 64)  # near K: sums over chunks then cost about as much as scores within one
        q, k, v = (F.pad(x, (0, 0, 0, -length % size)).unflatten(-2, (-1, size)) for x in (q, k, v))
        sums = F.pad((k.mT @ v).cumsum(-3), (0, 0, 0, 0, 1, 0)) + cache.sums  # (..., 1 + chunks, K, V + 1)
        # Earlier chunks through their sum, the own chunk through its scores: later keys add exactly 0.
        mix = (q @ sums[..., :-1, :, :] + (q @ k.mT).tril() @ v).flatten(-3, -2)[..., :length, :]
    cache.sums = sums[..., -1:, :, :]
    return mix[..., :-1] / mix[..., -1:].masked_fill(mix[..., -1:] == 0, 1.0)


class LinearAttention(nn.Module):
    """`linear_attention` in n_heads slices of the width; parameters as in `MultiHeadAttention`."""

    def __init__(self, d_model: int, n_heads: int, *, causal: bool = False, bias: bool = True) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"n_heads must divide d_model: got n_heads={n_heads}, d_model={d_model}")
        self.n_heads, self.causal = n_heads, causal
        self.q_proj, self.k_proj = nn.Linear(d_model, d_model, bias), nn.Linear(d_model, d_model, bias)
        self.v_proj, self.out_proj = nn.Linear(d_model, d_model, bias), nn.Linear(d_model, d_model, bias)

    def forward(
        self, x: Float[Tensor, "B T D"], context: Float[Tensor, "B S D"] | None = None,
        mask: Bool[Tensor, "..."] | None = None, cache: RunningSums | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """As attention does, but a mask can only leave out keys, those of this call: (B, H or 1, 1, S)."""
        source = x if context is None else context
        inputs = (self.q_proj(x), self.k_proj(source), self.v_proj(source))
        q, k, v = (y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for y in inputs)  # (B, H, T, K)
        if mask is not None and mask.shape[-2:] != (1, k.shape[-2]):
            raise ValueError(f"mask can only leave out keys: (..., 1, {k.shape[2]}); got {tuple(mask.shape)}")
        mask = None if mask is None else mask.squeeze(-2)
        mix = linear_attention(q, k, v, mask=mask, causal=self.causal, cache=cache)
        return self.out_proj(mix.transpose(1, 2).flatten(2))


class FourierMixing(nn.Module):
    """real(fft2(x)), over tokens and width; nothing is learned (Lee-Thorp et al. 2021, equation 3)."""

    def forward(self, x: Float[Tensor, "B T D"], **others: None) -> Float[Tensor, "B T D"]:
        _refuse("FourierMixing", others)
        return torch.fft.fft2(x).real


class MLPMixing(nn.Module):
    """W2 gelu(W1 x_column), along exactly max_seq_len tokens (Tolstikhin et al. 2021, equation 1, line 1)."""

    def __init__(self, max_seq_len: int, d_hidden: int) -> None:
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(max_seq_len, d_hidden), nn.Linear(d_hidden, max_seq_len)

    def forward(self, x: Float[Tensor, "B T D"], **others: None) -> Float[Tensor, "B T D"]:
        _refuse("MLPMixing", others)
        if x.shape[1] != self.up_proj.in_features:
            raise ValueError(f"MLPMixing needs exactly {self.up_proj.in_features} tokens; got {x.shape[1]}")
        return self.down_proj(F.gelu(self.up_proj(x.mT))).mT


def _refuse(name: str, others: dict[str, None]) -> None:
    if given := [what for what, value in others.items() if value is not None]:
        raise ValueError(f"{name} mixes all tokens of x, always: it can honour no {given[0]}")
