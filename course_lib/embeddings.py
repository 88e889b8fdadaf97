"""Word vectors, counted and learned: words that keep the same company get close vectors."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from course_lib.blocks import check_numbers


def window_pairs(
    sentences: Sequence[Sequence[int]],
    window: int = 5,
) -> Int[np.ndarray, "pairs 2"]:
    """Every word with every neighbour in its window, as (centre, context), both ways round.

    Args:
        sentences: the numbers of their words.
        window: how many places away a neighbour may be.
    Returns: one row per pair.
    Raises: ValueError: a window below 1; a corpus in which no two words stand side by side.
    Example:
        >>> window_pairs([[7, 8], [9]]).tolist()
        [[7, 8], [8, 7]]
    """
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    lengths = [len(sentence) for sentence in sentences]
    words = np.array([word for sentence in sentences for word in sentence], dtype=np.int64)
    sentence_of = np.repeat(np.arange(len(sentences)), lengths)
    farthest = min(window, max(lengths, default=0) - 1)
    parts = []
    for distance in range(1, farthest + 1):
        left = words[:-distance]
        right = words[distance:]
        together = sentence_of[:-distance] == sentence_of[distance:]
        near = np.stack([left, right], axis=1)[together]
        parts += [near, near[:, ::-1]]
    if not parts:
        raise ValueError(f"no two words stand side by side: {len(sentences)} sentences, {len(words)} words")
    return np.concatenate(parts)


def cooccurrence(
    sentences: Sequence[Sequence[int]],
    vocab_size: int,
    window: int = 5,
) -> sparse.csr_array:
    """Count how often each word meets each other one, see `window_pairs`.

    Args:
        sentences, window: as for `window_pairs`.
        vocab_size: how many words there are.
    Returns: one row and one column per word.
    Raises: ValueError: a word outside the vocabulary; what `window_pairs` raises.
    Example:
        >>> cooccurrence([[0, 1, 0]], vocab_size=2).toarray().tolist()
        [[2, 2], [2, 0]]
    """
    pairs = window_pairs(sentences, window)
    check_numbers(torch.from_numpy(pairs), vocab_size, "words")
    ones = np.ones(len(pairs), dtype=np.int64)
    centre, context = pairs.T
    # Entries that name the same place are added up.
    return sparse.csr_array((ones, (centre, context)), shape=(vocab_size, vocab_size))


def ppmi(counts: sparse.csr_array, *, smoothing: float = 1.0) -> sparse.csr_array:
    """How much more often than by chance words meet, on a log scale; 0 where it is less (positive PMI).

        max(0, log(P(w, c) / (P(w) P_a(c)))), P_a(c) = n_c^a / sum n^a   (Levy et al. 2015, 2.1 and 3.2)

    Args:
        counts: how often word (row) and context (column) meet.
        smoothing: the power a; 0.75 makes rare contexts count for less.
    Returns: one row and one column per word.
    Raises: ValueError: counts that are negative or not square; a power outside (0, 1].
    Example:
        >>> ppmi(sparse.csr_array([[0, 3], [3, 2]])).toarray().round(2).tolist()  # log(24 / 15)
        [[0.0, 0.47], [0.47, 0.0]]
    """
    row, column, n = sparse.find(counts)
    n_words, n_contexts = counts.shape
    if n_words != n_contexts or (n < 0).any():
        raise ValueError(f"counts must be square and 0 or more; got {counts.shape}, least {counts.min()}")
    if not 0 < smoothing <= 1:
        raise ValueError(f"smoothing must be above 0 and at most 1; got {smoothing}")
    of_word = counts.sum(axis=1)
    of_context = counts.sum(axis=0) ** smoothing
    # P(w, c) / (P(w) P_a(c)), with sums in place of shares: the number of all pairs cancels.
    by_chance = of_word[row] * of_context[column]
    pmi = np.log(n * of_context.sum() / by_chance)
    kept = pmi > 0
    return sparse.csr_array((pmi[kept], (row[kept], column[kept])), shape=counts.shape)


def svd_embeddings(matrix: sparse.csr_array, d_model: int) -> Float[np.ndarray, "V D"]:
    """A vector per row from the strongest directions of a matrix, strongest first; always the same ones.

        U sqrt(S), where U S V^T is the nearest matrix of rank d_model (Levy et al. 2015, 3.3)

    Args:
        matrix: one row and one column per word, such as `ppmi` gives.
        d_model: how many directions.
    Returns: one vector per row.
    Raises: ValueError: a matrix that is not square or all zero; d_model not below its size.
    Example:
        >>> svd_embeddings(sparse.csr_array([[4.0, 0.0], [0.0, 1.0]]), d_model=1).round(6).tolist()
        [[2.0], [0.0]]
    """
    vocab_size, n_columns = matrix.shape
    if vocab_size != n_columns or not matrix.count_nonzero():
        raise ValueError(f"the matrix must be square and not all zero; got {matrix.shape}")
    if not 1 <= d_model < vocab_size:
        raise ValueError(f"d_model must be from 1 to {vocab_size - 1}, below vocab_size; got {d_model}")
    u, s, _ = svds(matrix.astype(float), k=d_model, rng=0)  # where it starts changes the last digits
    strongest_first = s.argsort()[::-1]
    u, s = u[:, strongest_first], s[strongest_first]
    # -u serves as well as u: the largest number of each direction is made positive.
    largest = u[abs(u).argmax(axis=0), np.arange(d_model)]
    return u * np.sign(largest) * np.sqrt(s)


def nearest(
    vectors: Shaped[np.ndarray, "V D"],
    word: int,
    k: int = 5,
) -> list[tuple[int, float]]:
    """The k other words with the highest cosine to this one.

    Args:
        vectors: one row per word.
        word: its number.
        k: how many; fewer where there are no more.
    Returns: (word, cosine), best first.
    Raises: ValueError: a word outside the vocabulary; k below 1.
    Example:
        >>> nearest(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), word=0, k=2)
        [(2, 1.0), (1, 0.0)]
    """
    check_numbers(torch.tensor([word]), len(vectors), "words")
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    vectors = np.asarray(vectors, np.result_type(vectors, np.float32))  # counts are whole numbers
    lengths = np.linalg.norm(vectors, axis=1)
    at_least = np.finfo(vectors.dtype).tiny  # a vector of zeros is near to nothing
    cosines = vectors @ vectors[word] / np.maximum(lengths * lengths[word], at_least)
    best_first = (-cosines).argsort(kind="stable")
    others = best_first[best_first != word]
    return [(int(other), float(cosines[other])) for other in others[:k]]


class SkipGram(nn.Module):
    """Two vectors per word: `centre` (the result) and `context`, whose product comes to PMI - log k.

    loss = -log sigmoid(context . centre) - sum_k log sigmoid(-negative_k . centre)
    (Mikolov et al. 2013b, equation 4; why PMI: Levy and Goldberg 2014, section 3.1)

    Args:
        vocab_size: how many words there are.
        d_model: width of the vectors.
    """

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        start = (torch.rand(vocab_size, d_model) - 0.5) / d_model
        self.centre = nn.Parameter(start)
        self.context = nn.Parameter(torch.zeros(vocab_size, d_model))

    def loss(
        self,
        pairs: Int[Tensor, "B 2"],
        negatives: Int[Tensor, "B k"],
    ) -> Float[Tensor, ""]:
        """Mean over the pairs.

        Args:
            pairs: (centre, context), from `window_pairs`.
            negatives: k words for each pair, from `sample_negatives`.
        Raises: ValueError: no pairs; a word outside the vocabulary.
        Example:
            >>> model = SkipGram(vocab_size=4, d_model=3)  # at first all products are 0: 3 log 2
            >>> round(model.loss(torch.tensor([[0, 1]]), torch.tensor([[2, 3]])).item(), 4)
            2.0794
        """
        if not len(pairs):
            raise ValueError("the loss needs at least one pair; got none")
        words = torch.cat([pairs, negatives], dim=1)
        check_numbers(words, len(self.centre), "words")
        centres = F.embedding(words[:, 0], self.centre)
        contexts = F.embedding(words[:, 1:], self.context)  # (B, 1 + k, D): the right one, then the wrong
        scores = (contexts @ centres[:, :, None])[:, :, 0]
        right = F.logsigmoid(scores[:, 0])
        wrong = F.logsigmoid(-scores[:, 1:])
        return -(right + wrong.sum(dim=1)).mean()


def sample_negatives(
    counts: Shaped[Tensor, " V"],
    batch_size: int,
    k: int = 5,
    *,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B k"]:
    """Draw k words per pair, each with a chance proportional to count^0.75 (Mikolov et al. 2013b, 2.2).

    Args:
        counts: how often each word occurs.
        batch_size: how many pairs.
        k: how many words for each.
        generator: where random numbers come from, on the CPU; None: torch's own source there.
    Returns: the numbers of the words, one row for each pair, on the device of the counts.
    Raises: ValueError: counts below 0, or all of them 0.
    Example:
        >>> sample_negatives(torch.tensor([0, 7, 0]), batch_size=1, k=3)
        tensor([[1, 1, 1]])
    """
    least, most = counts.aminmax() if len(counts) else (0, 0)
    if least < 0:
        raise ValueError(f"counts must be 0 or more; got {float(least):g}")
    if most == 0:
        raise ValueError(f"there is no word to draw: the {len(counts)} counts are all 0")
    if batch_size * k == 0:
        return torch.empty(batch_size, k, dtype=torch.int64, device=counts.device)
    chances = counts.cpu().double() ** 0.75  # some accelerators have no float64
    words = torch.multinomial(chances, batch_size * k, replacement=True, generator=generator)
    return words.view(batch_size, k).to(counts.device)
