"""Word vectors, counted and learned: words that keep the same company get close vectors."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from course_lib.blocks import check_ids


def window_pairs(sentences: Sequence[Sequence[int]], window: int = 5) -> Int[np.ndarray, "pairs 2"]:
    """Every word with every neighbour at most `window` places away, as (centre, context), both ways round.
    Raises: ValueError: a window below 1; a corpus in which no two words stand side by side.
    Example:
        >>> window_pairs([[7, 8], [9]]).tolist()
        [[7, 8], [8, 7]]
    """
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    words = np.array([word for sentence in sentences for word in sentence], dtype=np.int64)
    sentence = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    pairs = np.empty((0, 2), dtype=np.int64)
    for d in range(1, min(window + 1, len(words))):
        near = np.stack([words[:-d], words[d:]], axis=1)[sentence[:-d] == sentence[d:]]
        pairs = np.concatenate([pairs, near, near[:, ::-1]])
    if not len(pairs):
        raise ValueError(f"no two words stand side by side: {len(sentences)} sentences, {len(words)} words")
    return pairs


def cooccurrence(sentences: Sequence[Sequence[int]], vocab_size: int, window: int = 5) -> sparse.csr_array:
    """Count how often each word meets each other: one row and one column per word, see `window_pairs`.
    Raises: ValueError: a word outside the vocabulary; what `window_pairs` raises.
    Example:
        >>> cooccurrence([[0, 1, 0]], vocab_size=2).toarray().tolist()
        [[2, 2], [2, 0]]
    """
    pairs = window_pairs(sentences, window)
    check_ids(torch.from_numpy(pairs), vocab_size, what="words")
    return sparse.csr_array((np.ones(len(pairs), dtype=np.int64), pairs.T), shape=(vocab_size, vocab_size))


def ppmi(counts: sparse.csr_array, *, smoothing: float = 1.0) -> sparse.csr_array:
    """How much more often than by chance words meet, on a log scale; 0 where it is less (positive PMI).

        max(0, log(P(w, c) / (P(w) P_a(c)))), P_a(c) = n_c^a / sum n^a   (Levy et al. 2015, 2.1 and 3.2)
    Args: smoothing: the power a; 0.75 makes rare contexts count for less.
    Raises: ValueError: counts that are negative or not square; a power outside (0, 1].
    """
    row, column, n = sparse.find(counts)
    if counts.shape[0] != counts.shape[1] or (n < 0).any():
        raise ValueError(f"counts must be square and 0 or more; got {counts.shape}, least {counts.min()}")
    if not 0 < smoothing <= 1:
        raise ValueError(f"smoothing must be above 0 and at most 1; got {smoothing}")
    word, context = counts.sum(axis=1), counts.sum(axis=0) ** smoothing
    pmi = np.log(n * context.sum() / (word[row] * context[column]))
    return sparse.csr_array((pmi, (row, column)), shape=counts.shape).maximum(0)


def svd_embeddings(matrix: sparse.csr_array, d_model: int, *, power: float = 0.5) -> Float[np.ndarray, "V D"]:
    """A vector per row from the strongest directions of a matrix, strongest first; always the same ones.

        U S^power, where U S V^T is the nearest matrix of rank d_model (Levy et al. 2015, 3.3)
    Raises: ValueError: a matrix that is not square or all zero; d_model not below its size.
    """
    if matrix.shape[0] != matrix.shape[1] or not matrix.count_nonzero():
        raise ValueError(f"the matrix must be square and not all zero; got {matrix.shape}")
    if not 1 <= d_model < matrix.shape[0]:
        raise ValueError(f"d_model must be from 1 to {matrix.shape[0] - 1}, below vocab_size; got {d_model}")
    u, s, _ = svds(matrix.astype(float), k=d_model, rng=0)  # where it starts changes the last digits
    u, s = u[:, s.argsort()[::-1]], np.sort(s)[::-1]
    return u * np.sign(u[abs(u).argmax(axis=0), np.arange(d_model)]) * s**power  # -u serves as well


def nearest(vectors: Float[np.ndarray, "V D"], word: int, k: int = 5) -> list[tuple[int, float]]:
    """The k other words with the highest cosine to this one, as (word, cosine), best first."""
    check_ids(torch.tensor([word]), len(vectors), what="words")
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors[word] / np.maximum(lengths * lengths[word], np.finfo(vectors.dtype).tiny)
    return [(int(i), float(cosines[i])) for i in (-cosines).argsort(kind="stable") if i != word][:k]


class SkipGram(nn.Module):
    """Two vectors per word: `centre` (the result) and `context`, whose product comes to PMI - log k.

    loss = -log sigmoid(context . centre) - sum_k log sigmoid(-negative_k . centre)
    (Mikolov et al. 2013b, equation 4; why PMI: Levy and Goldberg 2014, section 3.1)
    """

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.centre = nn.Parameter((torch.rand(vocab_size, d_model) - 0.5) / d_model)
        self.context = nn.Parameter(torch.zeros(vocab_size, d_model))

    def loss(self, pairs: Int[Tensor, "B 2"], negatives: Int[Tensor, "B k"]) -> Float[Tensor, ""]:
        """Mean over (centre, context) pairs of `window_pairs`, each with k words from `sample_negatives`."""
        check_ids(torch.cat([pairs, negatives], dim=1), len(self.centre), what="words")
        candidates = F.embedding(torch.cat([pairs[:, 1:], negatives], dim=1), self.context)  # (B, 1 + k, D)
        scores = (candidates @ F.embedding(pairs[:, 0], self.centre)[:, :, None])[:, :, 0]
        return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(dim=1)).mean()


def sample_negatives(
    counts: Shaped[Tensor, " V"], batch_size: int, k: int = 5, *, generator: torch.Generator | None = None
) -> Int[Tensor, "B k"]:
    """Draw k words per pair, each with a chance proportional to count^0.75 (Mikolov et al. 2013b, 2.2)."""
    return torch.multinomial(counts.double() ** 0.75, batch_size * k, True, generator=generator).view(-1, k)
