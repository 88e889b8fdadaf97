"""The obvious versions, in NumPy: loops first, matrices second. Everything else is checked against these.

Shapes: T query positions, S key positions, K width of queries and keys, D width of a token's vector.
A mask is boolean, True = may attend. A query that may attend to nothing gets zeros.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]
Mask = ArrayLike | None  # None: every query may attend to every key


def softmax(scores: ArrayLike, axis: int = -1) -> Array:
    """Turn scores into weights that are positive and sum to 1.

        softmax(s)_i = exp(s_i) / sum_j exp(s_j)

    Args:
        scores: any real numbers; -inf is allowed and gets weight 0.
        axis: the axis that sums to 1.
    Returns: weights of the same shape; all zeros where every score is -inf.
    Example:
        >>> softmax([0.0, math.log(3.0)]).round(6).tolist()
        [0.25, 0.75]

    Differs: a row of -inf gives zeros here and NaN in `torch.softmax`.
    """
    scores = _floats(scores)
    largest = scores.max(axis=axis, keepdims=True, initial=-np.inf)  # also of no scores at all
    # Subtracting the largest score changes nothing in the ratio and keeps exp from overflowing.
    powers = np.exp(scores - np.where(np.isneginf(largest), 0.0, largest).astype(scores.dtype))
    total = powers.sum(axis=axis, keepdims=True)
    return powers / np.where(total == 0, 1, total)


def attention_loops(q: ArrayLike, k: ArrayLike, v: ArrayLike, mask: Mask = None) -> Array:
    """Attention as a person would do it: one query at a time, one key at a time, one number at a time.

        y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s      (Vaswani et al. 2017, equation 1)

    Args:
        q: (T, K)
        k: (S, K)
        v: (S, D)
        mask: (T, S), True = may attend.
    Returns: (T, D)
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Example:
        >>> attention_loops([[1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]], [[1.0], [3.0]]).tolist()
        [[2.0]]
    """
    q, k, v = np.asarray(q), np.asarray(k), np.asarray(v)
    _check_attention(q, k, v, mask)
    allowed = np.broadcast_to(True if mask is None else mask, (len(q), len(k)))
    output = np.zeros((len(q), v.shape[1]))
    for t in range(len(q)):
        powers = {}
        for s in range(len(k)):
            if allowed[t, s]:
                score = 0.0
                for i in range(q.shape[1]):
                    score += float(q[t, i]) * float(k[s, i])
                powers[s] = score / math.sqrt(q.shape[1])
        largest = max(powers.values(), default=0.0)
        powers = {s: math.exp(score - largest) for s, score in powers.items()}
        for s, power in powers.items():
            for j in range(v.shape[1]):
                output[t, j] += power / sum(powers.values()) * float(v[s, j])
    return output


def attention_weights(q: ArrayLike, k: ArrayLike, mask: Mask = None, scale: float | None = None) -> Array:
    """How much of each value every query takes.

        A = softmax(scale q k^T), scale = 1 / sqrt(K) by default      (Vaswani et al. 2017, equation 1)

    Args:
        q: (..., T, K)
        k: (..., S, K)
        mask: (..., T, S), True = may attend.
        scale: what the scores are multiplied with.
    Returns: (..., T, S); each row sums to 1, or to 0 where there is no key that it may attend to.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Example:
        >>> attention_weights([[1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]]).tolist()
        [[0.5, 0.5]]
    """
    q, k = _floats(q), _floats(k)
    _check_attention(q, k, mask=mask)
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    return softmax(scores if mask is None else np.where(mask, scores, -np.inf))


def attention(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, mask: Mask = None, scale: float | None = None
) -> Array:
    """Attention as matrices: `attention_weights(q, k) @ v`.

    Args:
        q, k, mask, scale: as for `attention_weights`.
        v: (..., S, D)
    Returns: (..., T, D); each row lies in the convex hull of the values.
    Raises: ValueError: shapes that do not fit; a mask that is not boolean.
    Example:
        >>> attention([[1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]], [[1.0], [3.0]]).tolist()
        [[2.0]]
    """
    _check_attention(np.asarray(q), np.asarray(k), np.asarray(v))
    return attention_weights(q, k, mask, scale) @ np.asarray(v)


def layer_norm(
    x: ArrayLike, weight: Array | float = 1.0, bias: Array | float = 0.0, eps: float = 1e-5
) -> Array:
    """Give every token's vector mean 0 and variance 1, then a learned scale and shift.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias      (Ba et al. 2016, equation 4)

    Args:
        x: (..., D)
        weight, bias: (D,), or one number.
        eps: keeps a vector of equal numbers from a division by 0.
    Returns: of x's shape.
    Example:
        >>> layer_norm([1.0, 3.0], eps=0.0).tolist()
        [-1.0, 1.0]
    """
    x = _floats(x)
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def rms_norm(x: ArrayLike, weight: Array | float = 1.0, eps: float = 1e-5) -> Array:
    """Divide every token's vector by its root mean square, then a learned scale.

        y = x / sqrt(mean(x^2) + eps) * weight      (Zhang and Sennrich 2019, equation 4)

    Args:
        x, weight, eps: as for `layer_norm`.
    Returns: of x's shape.
    Example:
        >>> rms_norm([3.0, 3.0], eps=0.0).tolist()
        [1.0, 1.0]
    """
    x = _floats(x)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean surprise, in nats, of the right answers.

        -mean_n log softmax(logits_n)[target_n]

    Args:
        logits: (N, V)
        targets: (N,), whole numbers from 0 to V - 1.
    Raises: ValueError: no answers, which have no mean; shapes that do not fit; targets that are outside, or
        no whole numbers.
    Example:
        >>> round(cross_entropy([[0.0, 0.0]], [1]), 6)   # a coin: log 2
        0.693147
    """
    logits, targets = np.asarray(logits, dtype=float), np.asarray(targets)
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(f"logits must be (N, V) and targets (N,); got {logits.shape} and {targets.shape}")
    if len(targets) == 0:
        raise ValueError("cross_entropy is the mean of at least one answer; got none")
    if targets.dtype.kind not in "iu":  # true and false would choose rows
        raise ValueError(f"targets must be whole numbers; got {targets.dtype}")
    n_classes = logits.shape[1]
    for target in targets:
        if not 0 <= target < n_classes:
            raise ValueError(f"targets run from 0 to {n_classes - 1}; got {target}")
    shifted = logits - logits.max(-1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(-1))
    return float((log_total - shifted[np.arange(len(targets)), targets]).mean())


def merge_pair(word: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """A word with one token in the place of each pair, from the left.

    Args:
        word: its tokens.
        pair: two neighbours; they become their sum.
    Returns: the tokens after the merge.
    Example:
        >>> merge_pair(["a", "a", "a", "b"], ("a", "a"))
        ['aa', 'a', 'b']
    """
    merged: list[str] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


def _floats(x: ArrayLike) -> Array:
    """At least 32 bits: whole numbers, and floats of 16 bits, are soon too large when squared."""
    x = np.asarray(x)
    return x.astype(np.result_type(x, np.float32), copy=False)


def _check_attention(q: NDArray, k: NDArray, v: NDArray | None = None, mask: Mask = None) -> None:
    if q.ndim < 2 or k.ndim < 2:
        raise ValueError(f"q and k need at least two axes (positions, width); got {q.shape} and {k.shape}")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q and k need the same width (last axis): q has {q.shape[-1]}, k has {k.shape[-1]}")
    if q.shape[-1] == 0:
        raise ValueError("q and k need a width of at least 1 to be compared; got 0")
    if v is not None and (v.ndim < 2 or v.shape[-2] != k.shape[-2]):
        raise ValueError(f"k and v must have one row per key: k has shape {k.shape}, v has shape {v.shape}")
    if mask is None:
        return
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(f"mask must be boolean (True = may attend); got {mask.dtype}")
    scores = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    axes = zip(scores[::-1], mask.shape[::-1], strict=False)
    if mask.ndim > len(scores) or any(came not in (1, n) for n, came in axes):
        raise ValueError(f"mask must broadcast to {scores} (..., queries, keys); got {mask.shape}")
