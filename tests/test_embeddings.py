"""Counted and learned word vectors: against loops, dense formulas, NumPy, scikit-learn and torch."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics.pairwise import cosine_similarity
from tensors import OnDevice, assert_close, seeded

from course_lib.embeddings import (
    SkipGram,
    cooccurrence,
    nearest,
    ppmi,
    sample_negatives,
    svd_embeddings,
    window_pairs,
)

V, D, B, K = 11, 3, 7, 5
corpora = st.lists(st.lists(st.integers(0, V - 1), max_size=9), max_size=5).filter(
    lambda corpus: any(len(sentence) > 1 for sentence in corpus)
)


def pairs_by_loops(sentences, window):
    found = Counter()
    for sentence in sentences:
        for i in range(len(sentence)):
            for j in range(len(sentence)):
                if i != j and abs(i - j) <= window:
                    found[sentence[i], sentence[j]] += 1
    return found


def random_counts(size=V, seed=0):
    """Square, not symmetric, with zeros: rows cannot be taken for columns."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 50, (size, size)) * (rng.random((size, size)) < 0.6)


# --------------------------------------------------------------------------------------------------- counting


@settings(deadline=None)
@given(corpora, st.integers(1, 12))
def test_pairs_and_counts_equal_the_loops(sentences, window):
    expected = pairs_by_loops(sentences, window)
    pairs = window_pairs(sentences, window)
    assert Counter(map(tuple, pairs.tolist())) == expected
    counts = cooccurrence(sentences, V, window)
    dense = np.zeros((V, V), dtype=int)
    for pair, n in expected.items():
        dense[pair] = n
    assert counts.toarray().tolist() == dense.tolist()
    assert (counts != counts.T).nnz == 0
    assert counts.sum() == len(pairs)


def test_window_is_five_by_default():
    expected = pairs_by_loops([range(9)], 5)
    assert Counter(map(tuple, window_pairs([list(range(9))]).tolist())) == expected
    assert cooccurrence([list(range(9))], 9).sum() == expected.total()


def test_counts_stay_sparse():
    counts = cooccurrence([[0, 99_999], [5, 6, 5]], vocab_size=100_000)
    assert isinstance(counts, sparse.csr_array)
    assert counts.nnz == 5  # (0, 99999), (99999, 0), (5, 6), (6, 5), (5, 5)
    assert counts[5, 6] == 2


@pytest.mark.parametrize("smoothing", [1.0, 0.75, 0.3])
def test_ppmi_equals_the_formula(smoothing):
    counts = random_counts()
    counts[2] = 0  # a word that never occurs
    counts[:, 4] = 0
    joint = counts / counts.sum()
    context = counts.sum(axis=0) ** smoothing / (counts.sum(axis=0) ** smoothing).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(joint / (joint.sum(axis=1)[:, None] * context[None, :]))
    expected = np.where(counts > 0, np.maximum(pmi, 0), 0)
    scores = ppmi(sparse.csr_array(counts), smoothing=smoothing)
    np.testing.assert_allclose(scores.toarray(), expected, rtol=0, atol=1e-12)
    assert isinstance(scores, sparse.csr_array)
    assert (scores.data > 0).all()
    assert scores.nnz == (expected > 0).sum() < (counts > 0).sum()


def test_words_that_meet_by_chance_have_no_ppmi():
    chance = np.outer([1, 2, 3], [5, 7, 2])
    np.testing.assert_allclose(ppmi(sparse.csr_array(chance)).toarray(), 0, atol=1e-12)


def test_ppmi_of_counts_in_parts_and_with_zeros_written_out():
    row, column, parts = [0, 0, 1, 2, 1], [1, 1, 0, 2, 2], [1, 2, 3, 1, 0]
    counts = sparse.csr_array((3, 3), dtype=int)
    counts.indptr = np.array([0, 2, 4, 5])
    counts.indices, counts.data = np.array([1, 1, 0, 2, 2]), np.array([1, 2, 3, 0, 1])
    whole = sparse.coo_array((parts, (row, column)), shape=(3, 3)).tocsr()
    whole.eliminate_zeros()
    before = counts.data.copy()
    np.testing.assert_array_equal(ppmi(counts).toarray(), ppmi(whole).toarray())
    np.testing.assert_array_equal(counts.data, before)


# -------------------------------------------------------------------------------------------------- reduction


def test_svd_equals_scikit_learn():
    matrix = sparse.csr_array(random_counts(23, seed=1) / 7)
    theirs = TruncatedSVD(D, algorithm="arpack", random_state=1).fit_transform(matrix)
    theirs /= np.linalg.norm(theirs, axis=0) ** 0.5  # U S becomes U sqrt(S)
    ours = svd_embeddings(matrix, D)
    np.testing.assert_allclose(ours, theirs * np.sign((ours * theirs).sum(axis=0)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("d_model", [1, D, V - 1])
def test_svd_equals_numpy(d_model):
    matrix = random_counts() / 7
    u, s, _ = np.linalg.svd(matrix)
    expected = u[:, :d_model] * s[:d_model] ** 0.5
    vectors = svd_embeddings(sparse.csr_array(matrix), d_model)
    expected *= np.sign((expected * vectors).sum(axis=0))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_vectors_every_time(seed):
    matrix = sparse.csr_array(random_counts(37, seed) / 7)
    first = svd_embeddings(matrix, D)
    np.random.seed(seed + 5)  # noqa: NPY002 (what scipy would draw its start from)
    np.testing.assert_array_equal(svd_embeddings(matrix, D), first)
    assert (first[abs(first).argmax(axis=0), np.arange(D)] > 0).all()
    lengths = np.linalg.norm(first, axis=0)
    assert (lengths[:-1] > lengths[1:]).all()


def test_counts_need_no_conversion():
    counts = cooccurrence([[0, 1, 2, 3, 1, 4]], vocab_size=5)
    np.testing.assert_array_equal(svd_embeddings(counts, 2), svd_embeddings(counts.astype(float), 2))
    # ... and from float32 the vectors are computed in float64 all the same.
    np.testing.assert_array_equal(svd_embeddings(counts.astype(np.float32), 2), svd_embeddings(counts, 2))


# ---------------------------------------------------------------------------------------------------- nearest


@settings(deadline=None, max_examples=50)
@given(st.integers(0, V - 1), st.integers(1, V + 3), st.integers(0, 10**6))
def test_nearest_equals_scikit_learn(word, k, seed):
    vectors = np.random.default_rng(seed).normal(size=(V, D))
    cosines = cosine_similarity(vectors)[word]
    expected = sorted(set(range(V)) - {word}, key=lambda other: -cosines[other])[:k]
    found = nearest(vectors, word, k)
    assert [other for other, _ in found] == expected
    np.testing.assert_allclose([c for _, c in found], cosines[expected], rtol=0, atol=1e-12)


def test_length_does_not_count_and_a_zero_vector_is_near_to_nothing():
    vectors = np.array([[1.0, 0.1], [0.0, 0.0], [100.0, 300.0], [1e-3, 2e-4], [-5.0, 0.0]])
    assert [word for word, _ in nearest(vectors, 0)] == [3, 2, 1, 4]
    assert nearest(vectors, 1, 2) == [(0, 0.0), (2, 0.0)]
    assert len(nearest(np.eye(V), 0)) == 5
    assert [word for word, _ in nearest(np.eye(1009, 2), 1, 1008)] == [0, *range(2, 1009)]  # equals by number


# -------------------------------------------------------------------------------------------------- skip-gram


def random_batch(seed=0):
    generator = seeded(seed)
    return torch.randint(V, (B, 2), generator=generator), torch.randint(V, (B, K), generator=generator)


def random_skip_gram(dtype=torch.float64):
    model = SkipGram(V, D).to(dtype)
    for n, table in enumerate((model.centre, model.context)):
        table.data = torch.randn(V, D, dtype=dtype, generator=seeded(n))
    return model


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_loss_equals_binary_cross_entropy(dtype, atol):
    model, (pairs, negatives) = random_skip_gram(dtype), random_batch()
    total = 0.0
    for (centre, context), drawn in zip(pairs.tolist(), negatives.tolist(), strict=True):
        others = [context, *drawn]
        logits = torch.stack([model.centre[centre] @ model.context[other] for other in others])
        answers = torch.tensor([1.0] + [0.0] * K, dtype=dtype)
        total += F.binary_cross_entropy_with_logits(logits, answers, reduction="sum")
    loss = model.loss(pairs, negatives)
    assert loss.dtype == dtype
    assert_close(loss, total / B, atol)


def test_extreme_scores_stay_finite():
    model, batch = random_skip_gram(torch.float32), random_batch()
    model.centre.data *= 1e4
    loss = model.loss(*batch)
    loss.backward()
    assert loss.isfinite()
    assert model.context.grad.isfinite().all()


def test_before_training_every_answer_is_a_coin():
    model = SkipGram(V, D)
    torch.testing.assert_close(model.loss(*random_batch()).item(), (1 + K) * math.log(2), rtol=1e-6, atol=0)
    assert model.centre.abs().max() <= 0.5 / D
    assert model.centre.min() < 0 < model.centre.max()
    assert model.centre.unique().numel() == V * D
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == {
        "centre": (V, D),
        "context": (V, D),
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_negatives_are_drawn_by_count_to_the_three_quarters(seed):
    counts = torch.tensor([1, 16, 0, 81, 256, 2, 1000])
    generator = seeded(seed)
    n, k = 20_011, 3
    drawn = sample_negatives(counts, n, k, generator=generator)
    assert drawn.shape == (n, k)
    expected = counts.double() ** 0.75
    expected = n * k * expected / expected.sum()
    seen = drawn.flatten().bincount(minlength=len(counts))
    assert seen[2] == 0
    some = expected > 0
    chi_square = ((seen - expected)[some] ** 2 / expected[some]).sum()
    assert chi_square < 25.7  # five degrees of freedom: exceeded once in 10,000 times
    for column in drawn.T:  # each column for itself, and no column tells about another
        share = column.bincount(minlength=len(counts)) / n
        torch.testing.assert_close(share.double(), expected / (n * k), rtol=0, atol=0.02)
    same = (drawn[:, 0] == drawn[:, 1]).double().mean()
    torch.testing.assert_close(same, ((expected / (n * k)) ** 2).sum(), rtol=0, atol=0.02)


def test_negatives_repeat_from_a_seed():
    counts = torch.arange(1, V + 1)
    draws = [sample_negatives(counts, B, K, generator=seeded(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert sample_negatives(counts, B).shape == (B, 5)


def test_negatives_are_the_same_where_the_device_has_no_float64():
    counts = torch.arange(1, V + 1)
    drawn = sample_negatives(counts.as_subclass(OnDevice), B, K, generator=seeded())
    assert torch.equal(drawn, sample_negatives(counts, B, K, generator=seeded()))


@pytest.mark.parametrize(("batch_size", "k"), [(0, K), (B, 0), (0, 0)])
def test_no_negatives_are_an_empty_draw(batch_size, k):
    drawn = sample_negatives(torch.arange(1, V + 1), batch_size, k)
    assert drawn.shape == (batch_size, k)
    assert drawn.dtype == torch.int64


@pytest.mark.parametrize("seed", [0, 1])
def test_words_of_a_planted_group_find_each_other(seed):
    """Three kinds of words, which keep to their own kind; counted and learned vectors both see it."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(12).reshape(3, 4)
    sentences = [rng.choice(groups[n % 3], 7).tolist() for n in range(90)]
    counted = svd_embeddings(ppmi(cooccurrence(sentences, 12, window=2)), 3)

    generator = seeded(seed)
    torch.manual_seed(seed)
    model = SkipGram(12, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    pairs = torch.from_numpy(window_pairs(sentences, window=2))
    counts = pairs[:, 1].bincount(minlength=12)
    for _ in range(150):
        chosen = pairs[torch.randint(len(pairs), (128,), generator=generator)]
        optimizer.zero_grad()
        model.loss(chosen, sample_negatives(counts, 128, 5, generator=generator)).backward()
        optimizer.step()

    for vectors in (counted, model.centre.detach().numpy()):
        for group in groups:
            for word in group:
                found = {other for other, _ in nearest(vectors, int(word), 3)}
                assert found == set(group.tolist()) - {word}


@pytest.mark.parametrize("k", [1, 3])
def test_the_optimum_is_pmi_minus_log_k(k):
    """Levy and Goldberg 2014: with each real pair against each context, all words of the corpus as often."""
    counts = torch.tensor([[3, 1, 2], [1, 5, 1], [4, 2, 1]])
    pairs = torch.tensor(
        [(w, c) for w in range(3) for c in range(3) for _ in range(counts[w, c])], dtype=torch.int64
    )
    n = len(pairs)
    every_pair = pairs.repeat_interleave(n, dim=0)
    noise = torch.stack([pairs[:, 1].roll(shift) for shift in range(k)], dim=1).repeat(n, 1)
    model = random_skip_gram()
    model.centre.data, model.context.data = model.centre.data[:3], model.context.data[3:6]
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = model.loss(every_pair, noise)
        loss.backward()
        return loss

    optimizer.step(closure)
    joint = counts.double() / n
    pmi = (joint / (joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True))).log()
    learned = model.centre @ model.context.T
    assert_close(learned, pmi - math.log(k), 1e-3)
    counted = ppmi(sparse.csr_array(counts.numpy())).toarray()
    np.testing.assert_allclose((learned.detach() + math.log(k)).clamp(min=0), counted, rtol=0, atol=1e-3)


# ----------------------------------------------------------------------------------------------------- errors


NO_WORDS = torch.empty(0, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: window_pairs([[0, 1]], 0), "window must be at least 1; got 0"),
        (lambda: cooccurrence([[0, 1]], V, -1), "window must be at least 1; got -1"),
        (lambda: cooccurrence([], V), "no two words stand side by side: 0 sentences, 0 words"),
        (lambda: cooccurrence([[]], V), "no two words stand side by side: 1 sentences, 0 words"),
        (lambda: cooccurrence([[1], [2]], V), "no two words stand side by side: 2 sentences, 2 words"),
        (lambda: ppmi(sparse.csr_array(np.ones((5, 7)))), r"square and 0 or more; got \(5, 7\)"),
        (
            lambda: ppmi(sparse.csr_array(np.array([[1, 2], [0, -3]]))),
            r"counts must be square and 0 or more; got \(2, 2\), least -3",
        ),
        (lambda: ppmi(sparse.csr_array(np.eye(3)), smoothing=0.0), "above 0 and at most 1; got 0.0"),
        (lambda: ppmi(sparse.csr_array(np.eye(3)), smoothing=1.5), "above 0 and at most 1; got 1.5"),
        (lambda: ppmi(sparse.csr_array(np.eye(3)), smoothing=math.nan), "above 0 and at most 1; got nan"),
        (
            lambda: svd_embeddings(sparse.csr_array(np.ones((5, 7))), 2),
            r"the matrix must be square and not all zero; got \(5, 7\)",
        ),
        (lambda: svd_embeddings(sparse.csr_array((V, V)), D), r"and not all zero; got \(11, 11\)"),
        (lambda: svd_embeddings(sparse.csr_array(np.eye(V)), 0), "from 1 to 10, below vocab_size; got 0"),
        (lambda: svd_embeddings(sparse.csr_array(np.eye(V)), V), "from 1 to 10, below vocab_size; got 11"),
        (lambda: nearest(np.eye(V), 0, 0), "^k must be at least 1; got 0$"),
        (
            lambda: SkipGram(V, D).loss(NO_WORDS.view(0, 2), NO_WORDS.view(0, K)),
            "the loss needs at least one pair; got none",
        ),
        (lambda: sample_negatives(torch.tensor([2, -3, 5]), B, K), "counts must be 0 or more; got -3"),
        (lambda: sample_negatives(torch.tensor([2.0, -0.5]), B, K), "^counts must be 0 or more; got -0.5$"),
        (lambda: sample_negatives(torch.tensor([0, 0, 0]), B, K), "no word to draw: the 3 counts are all 0"),
        (lambda: sample_negatives(NO_WORDS, B, K), "no word to draw: the 0 counts are all 0"),
    ],
)
def test_what_cannot_be_counted_or_drawn_is_refused(own_errors, call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("wrong", [-1, V])
def test_words_outside_the_vocabulary(own_errors, wrong):
    text = f"words run from 0 to {V - 1}; got {wrong}"
    with pytest.raises(ValueError, match=text):
        cooccurrence([[0, 1], [2, wrong]], V)
    with pytest.raises(ValueError, match=text):
        nearest(np.eye(V), wrong)
    model, (pairs, negatives) = SkipGram(V, D), random_batch()
    for ids in (pairs[:, 0], pairs[:, 1], negatives[:, -1]):
        before = ids[3].item()
        ids[3] = wrong
        with pytest.raises(ValueError, match=text):
            model.loss(pairs, negatives)
        ids[3] = before


def test_neighbours_by_whole_numbers():
    """The rows of a table of counts are vectors, too."""
    counts = np.array([[3, 0, 1], [0, 2, 0], [6, 0, 2]])
    assert nearest(counts, 0, 2) == nearest(counts.astype(float), 0, 2)
    assert [word for word, _ in nearest(counts, 0, 2)] == [2, 1]
