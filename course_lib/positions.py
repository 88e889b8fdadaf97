"""Positions: how a model learns which token stands where.

Three places to put them: added to the vectors (`PositionEmbedding`), turned into queries and keys
(`RotaryEmbedding`), or added to the scores (`ALiBi`, `RelativePositions`).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def query_positions(n_queries: int, n_keys: int, device: torch.device | None = None) -> Int[Tensor, " T"]:
    """Where each query stands among the keys: the last query where the last key does.

    With a cache the queries are the newest tokens, and the keys all tokens so far. Causal masks and distances
    are made from this, so that they cannot disagree.

    Example:
        >>> query_positions(2, 5).tolist()
        [3, 4]
    """
    return torch.arange(n_queries, device=device) + (n_keys - n_queries)


def sinusoidal(max_seq_len: int, d_model: int) -> Float[Tensor, "T D"]:
    """One fixed vector for each position, made of sines and cosines of slower and slower waves.

        p[t, 2i] = sin(t / 10000^(2i/D)), p[t, 2i+1] = cos(t / 10000^(2i/D))
        (Vaswani et al. 2017, section 3.5)

    Args:
        max_seq_len: how many positions.
        d_model: width of a vector; even.
    Raises: ValueError: an odd width.
    Example:
        >>> sinusoidal(3, 4)[0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    cos, sin = rotary_table(d_model, max_seq_len)
    return torch.stack([sin, cos], dim=-1).flatten(-2)


class PositionEmbedding(nn.Module):
    """Add to each vector that of its position: learned (Radford et al. 2018), or else `sinusoidal`.

    Args:
        max_seq_len: how many positions.
        d_model: width of the vectors.
        learned: whether the vectors of the positions are parameters.
    Example:
        >>> PositionEmbedding(5, 4, learned=False)(torch.zeros(1, 2, 4))[0, 0].tolist()  # as `sinusoidal`
        [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, max_seq_len: int, d_model: int, *, learned: bool = True) -> None:
        super().__init__()
        if learned:
            self.weight = nn.Parameter(torch.empty(max_seq_len, d_model).normal_(std=0.02))
        else:
            self.register_buffer("weight", sinusoidal(max_seq_len, d_model))

    def forward(self, x: Float[Tensor, "B T D"], start: int = 0) -> Float[Tensor, "B T D"]:
        """Add the positions from start on. Raises: ValueError: positions beyond the table."""
        _check_range(x, start, len(self.weight))
        end = start + x.shape[-2]
        return x + self.weight[start:end]


def rotary_table(
    d_head: int, max_seq_len: int, base: float = 10000.0, device: torch.device | None = None
) -> tuple[Float[Tensor, "T half"], Float[Tensor, "T half"]]:
    """Cosine and sine of the angle by which each pair of coordinates is turned at positions 0, 1, 2, ...

    Args:
        d_head: width of the vectors that will be turned; even.
        max_seq_len: how many positions.
        base: how slow the slowest pair turns; long contexts use large ones.
        device: where the table is made.
    Returns: cosines and sines, see `rotary_at`.
    Raises: ValueError: an odd width has no pairs.
    Example:
        >>> cos, sin = rotary_table(4, 3)
        >>> cos.shape, cos[0].tolist()
        (torch.Size([3, 2]), [1.0, 1.0])
    """
    return rotary_at(torch.arange(max_seq_len, device=device, dtype=torch.float32), d_head, base)


def rotary_at(
    positions: Float[Tensor, " T"], d_head: int, base: float = 10000.0
) -> tuple[Float[Tensor, "T half"], Float[Tensor, "T half"]]:
    """As `rotary_table`, for any positions, also between two tokens or below 0.

        angle[t, i] = t / base^(2i/K)      (Su et al. 2021, section 3.2.2)

    Raises: ValueError: an odd width has no pairs.
    Example:
        >>> cos, _ = rotary_at(torch.tensor([0.0, math.pi]), 2)
        >>> cos.tolist()  # the first pair turns by t itself: half a turn
        [[1.0], [-1.0]]
    """
    if d_head % 2:
        raise ValueError(f"positions turn pairs of coordinates, so the width must be even; got {d_head}")
    exponents = torch.arange(0, d_head, 2, device=positions.device, dtype=torch.float32) / d_head
    angles = torch.outer(positions, 1.0 / base**exponents)
    return angles.cos(), angles.sin()


def apply_rotary(
    x: Float[Tensor, "... T K"],
    cos: Float[Tensor, "T half"],
    sin: Float[Tensor, "T half"],
    *,
    interleaved: bool,
) -> Float[Tensor, "... T K"]:
    """Turn each pair of coordinates by its angle; lengths stay, and q . k then depends on the distance only.

        (left, right) -> (left cos - right sin, left sin + right cos)
        (Su et al. 2021, section 3.4.2)

    Args:
        x: queries or keys.
        cos: of the angles, and sin, see `rotary_table`; one row for each token of x.
        interleaved: pairs are (0, 1), (2, 3), ... as in the paper and in GGUF files; otherwise
            (i, i + K/2), as in Hugging Face's Llama.
    Example:
        >>> quarter = torch.tensor([[0.0]]), torch.tensor([[1.0]])  # cos and sin of 90 degrees
        >>> apply_rotary(torch.tensor([[1.0, 0.0]]), *quarter, interleaved=True).tolist()
        [[0.0, 1.0]]
    """
    if interleaved:
        left, right = x[..., 0::2], x[..., 1::2]
    else:
        left, right = x.chunk(2, dim=-1)
    turned = [left * cos - right * sin, left * sin + right * cos]
    if interleaved:
        return torch.stack(turned, dim=-1).flatten(-2)
    return torch.cat(turned, dim=-1)


class RotaryEmbedding(nn.Module):
    """Rotary positions with the table computed once (Su et al. 2021).

    Args:
        d_head: width of the vectors to turn; even.
        max_seq_len: how many positions the table has.
        base: how slow the slowest pair turns, see `rotary_table`.
        interleaved: which coordinates are a pair, see `apply_rotary`.
    Example:
        >>> rotary, x = RotaryEmbedding(4, 9), torch.ones(1, 1, 2, 4)
        >>> near, far = rotary(x)[0, 0], rotary(x, start=5)[0, 0]
        >>> torch.allclose(near[0] @ near[1], far[0] @ far[1])  # one apart, here as there
        True
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self, d_head: int, max_seq_len: int, *, base: float = 10000.0, interleaved: bool = True
    ) -> None:
        super().__init__()
        self.d_head = d_head
        self.max_seq_len = max_seq_len
        self.base = base
        self.interleaved = interleaved
        self.reset()

    def reset(self, device: torch.device | None = None) -> None:
        """Compute the table (again), on the given device: needed after a model was made under `meta`.

        Example:
            >>> with torch.device("meta"):
            ...     rotary = RotaryEmbedding(4, 9)
            >>> rotary.reset(torch.device("cpu"))
            >>> rotary.cos.device.type
            'cpu'
        """
        cos, sin = rotary_table(self.d_head, self.max_seq_len, self.base, device)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Float[Tensor, "B H T K"], start: int = 0) -> Float[Tensor, "B H T K"]:
        """Turn x, whose first token stands at position start. Raises: ValueError: beyond the table."""
        _check_range(x, start, self.max_seq_len)
        end = start + x.shape[-2]
        return apply_rotary(x, self.cos[start:end], self.sin[start:end], interleaved=self.interleaved)


class ALiBi(nn.Module):
    """Lower the scores of distant keys, each head at its own rate (Press et al. 2022, section 3).

        bias[h, t, s] = -slope_h |t - s|, slope_h = 2^(-8h/H) for h = 1 ... H

    Args:
        n_heads: how many slopes; a number between powers of two takes some from the next power.
    Raises: ValueError: no heads.
    Example:
        >>> ALiBi(n_heads=8)(torch.zeros(1, 8, 1, 4), n_keys=3)[0].tolist()  # the query is the third token
        [[-1.0, -0.5, -0.0]]

    Differs: the paper is causal; here keys on both sides of a query count by their distance.
    """

    slopes: Tensor

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1:
            raise ValueError(f"n_heads must be at least 1; got {n_heads}")
        power = 2 ** math.floor(math.log2(n_heads))
        slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
        slopes += [2 ** (-4 * h / power) for h in range(1, 2 * (n_heads - power), 2)]
        self.register_buffer("slopes", torch.tensor(slopes))

    def forward(self, q: Float[Tensor, "B H T K"], n_keys: int) -> Float[Tensor, "H T S"]:
        """What is added to the scores; the last query stands where the last key does."""
        distances = _offsets(q, n_keys).abs()
        slopes = self.slopes.to(q.dtype)
        return -slopes[:, None, None] * distances


class RelativePositions(nn.Module):
    """A learned vector for each distance, which a query compares with as it does with keys.

        bias[t, s] = q_t . r_(s - t) / sqrt(K)      (Shaw et al. 2018, equation 4)

    Args:
        d_head: width of a head; all heads share the vectors.
        max_distance: farther keys count as if they were this far.
    Example:
        >>> bias = RelativePositions(d_head=4, max_distance=2)(torch.ones(1, 1, 6, 4), n_keys=6)[0, 0]
        >>> bool(bias[0, 4] == bias[0, 5])  # 4 and 5 tokens away both count as 2
        True

    Differs: the paper's second table, added to the values (equation 3), is left out; it found no use for it.
    """

    def __init__(self, d_head: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.weight = nn.Parameter(torch.empty(2 * max_distance + 1, d_head).normal_(std=0.02))

    def forward(self, q: Float[Tensor, "B H T K"], n_keys: int) -> Float[Tensor, "B H T S"]:
        """What is added to the scores; the last query stands where the last key does."""
        offsets = _offsets(q, n_keys).clamp(-self.max_distance, self.max_distance)
        rows = offsets + self.max_distance  # of the table, whose first row is for -max_distance
        scores = q @ self.weight.T / math.sqrt(q.shape[-1])  # one for each distance, not for each key
        return scores.gather(-1, rows.expand(*scores.shape[:-1], n_keys))


def _offsets(q: Tensor, n_keys: int) -> Tensor:
    """The place of each key less that of each query, s - t: (T, S)."""
    keys = torch.arange(n_keys, device=q.device)
    queries = query_positions(q.shape[-2], n_keys, q.device)
    return keys - queries[:, None]


def _check_range(x: Tensor, start: int, max_seq_len: int) -> None:
    end = start + x.shape[-2]
    if start < 0:
        raise ValueError(f"positions begin at 0; got a start of {start}")
    if end > max_seq_len:
        raise ValueError(f"positions go up to {max_seq_len}; {x.shape[-2]} tokens from {start} on need {end}")
