"""The NumPy versions against torch in float64, and the loops against the matrices."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import maths

B, T, S, K, D, V = 2, 5, 7, 3, 11, 13
CLOSE = {"rtol": 0, "atol": 1e-10}


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def mask_with_an_empty_row(*shape):
    mask = np.random.default_rng(1).random(shape) < 0.6
    mask[..., 2, :] = False
    return mask


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_equals_torch(axis):
    x = 10 * numbers(B, T, S)
    np.testing.assert_allclose(maths.softmax(x, axis), torch.from_numpy(x).softmax(axis).numpy(), **CLOSE)


def test_softmax_of_extreme_scores():
    with np.errstate(all="raise", under="ignore"):
        assert maths.softmax([1e5, 0.0, -1e5]).tolist() == [1.0, 0.0, 0.0]
        assert maths.softmax([-np.inf, 3.0]).tolist() == [0.0, 1.0]
        assert maths.softmax([[-np.inf, -np.inf], [0.0, 0.0]]).tolist() == [[0.0, 0.0], [0.5, 0.5]]


def test_softmax_keeps_float32_and_takes_whole_numbers():
    assert maths.softmax(np.ones(3, dtype=np.float32)).dtype == np.float32
    np.testing.assert_allclose(maths.softmax([0, 0, 0, 0]), 0.25)


@pytest.mark.parametrize("masked", [False, True])
def test_loops_equal_matrices(masked):
    q, k, v = numbers(T, K), numbers(S, K), numbers(S, D)
    mask = mask_with_an_empty_row(T, S) if masked else None
    np.testing.assert_allclose(maths.attention_loops(q, k, v, mask), maths.attention(q, k, v, mask), **CLOSE)


@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch(masked, scale):
    q, k, v = 3 * numbers(B, T, K), numbers(B, S, K), numbers(B, S, D)
    mask = np.random.default_rng(1).random((B, T, S)) < 0.6
    mask[..., 0] = True  # torch gives NaN where nothing is allowed
    ours = maths.attention(q, k, v, mask if masked else None, scale)
    theirs = F.scaled_dot_product_attention(
        *map(torch.from_numpy, (q, k, v)), attn_mask=torch.from_numpy(mask) if masked else None, scale=scale
    )
    np.testing.assert_allclose(ours, theirs.numpy(), **CLOSE)


def test_attention_gives_zeros_where_nothing_is_allowed():
    mask = mask_with_an_empty_row(T, S)
    for function in (maths.attention, maths.attention_loops):
        output = function(numbers(T, K), numbers(S, K), numbers(S, D), mask)
        assert (output[2] == 0).all()
        assert (output[mask.any(-1)] != 0).all()


@pytest.mark.parametrize(
    ("q", "k", "v", "out"),
    [
        ((T, K), (0, K), (0, D), (T, D)),
        ((0, K), (S, K), (S, D), (0, D)),
        ((0, K), (0, K), (0, D), (0, D)),
        ((T, K), (S, K), (S, 0), (T, 0)),
        ((B, T, K), (B, 0, K), (B, 0, D), (B, T, D)),
        ((0, T, K), (0, S, K), (0, S, D), (0, T, D)),
    ],
)
def test_attention_over_nothing_is_zeros(q, k, v, out):
    arrays = np.ones(q), np.ones(k), np.ones(v)
    mask = np.ones((*q[:-1], k[-2]), bool)
    for output in (maths.attention(*arrays), maths.attention(*arrays, mask)):
        np.testing.assert_array_equal(output, np.zeros(out))
    if 0 in (*q, *k):
        np.testing.assert_array_equal(maths.attention_weights(*arrays[:2]), np.zeros((*q[:-1], k[-2])))
    if len(q) == 2:
        np.testing.assert_array_equal(maths.attention_loops(*arrays), np.zeros(out))
        np.testing.assert_array_equal(maths.attention_loops(*arrays, mask), np.zeros(out))


def test_softmax_of_nothing():
    assert maths.softmax([]).tolist() == []
    assert maths.softmax(np.ones((T, 0), np.float32)).shape == (T, 0)
    assert maths.softmax(np.ones((T, 0)), axis=0).shape == (T, 0)
    assert maths.softmax(np.ones((T, 0), np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (
            (T, V),
            np.zeros((T, 1), int),
            r"^logits must be \(N, V\) .*; got \(5, 13\) and \(5, 1\)$",
        ),
        ((T, V), np.zeros(T - 1, int), r"got \(5, 13\) and \(4,\)$"),
        ((T, V), 3, r"got \(5, 13\) and \(\)$"),
        ((V,), np.zeros(T, int), r"got \(13,\) and \(5,\)$"),
        ((0, V), [], "^cross_entropy is the mean of at least one answer; got none$"),
        ((T, V), [0, 3, -1, 1, 12], "^targets run from 0 to 12; got -1$"),
        ((T, V), [0, 3, V, 1, 12], "^targets run from 0 to 12; got 13$"),
        # true and false choose rows, where numbers choose columns.
        ((T, V), [True, False, True, True, False], "^targets must be whole numbers; got bool$"),
        ((T, V), [0.0, 3.0, 5.0, 1.0, 12.0], "^targets must be whole numbers; got float64$"),
    ],
)
def test_cross_entropy_needs_one_target_for_each_row(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        maths.cross_entropy(np.ones(logits), targets)


# ----------------------------------------------------------------------------------------- byte-pair encoding


@pytest.mark.parametrize(
    ("word", "merged"),
    [("aaaaa", ["aa", "aa", "a"]), ("baab", ["b", "aa", "b"]), ("a", ["a"]), ("", []), ("bab", [*"bab"])],
)
def test_a_pair_is_merged_from_the_left(word, merged):
    assert maths.merge_pair(word, ("a", "a")) == merged


@pytest.mark.parametrize("eps", [1e-5, 0.37])  # the large one shows whether it stands inside the root
def test_norms_equal_torch(eps):
    x, weight, bias = 2 + numbers(B, T, D), numbers(D), numbers(1, D)[0]
    tensors = [torch.from_numpy(a) for a in (x, weight, bias)]
    np.testing.assert_allclose(
        maths.layer_norm(x, weight, bias, eps), F.layer_norm(tensors[0], (D,), *tensors[1:], eps), **CLOSE
    )
    np.testing.assert_allclose(
        maths.rms_norm(x, weight, eps), F.rms_norm(tensors[0], (D,), tensors[1], eps), **CLOSE
    )


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.int32, 50_000), (np.uint16, 500), (np.float16, 500), (np.int8, 100)]
)
def test_numbers_whose_squares_do_not_fit_their_type(dtype, largest):
    x = np.array([[largest, 3, largest // 2], [0, 7, 11]], dtype=dtype)
    wide = x.astype(float)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(maths.rms_norm(x), maths.rms_norm(wide), **close)
    np.testing.assert_allclose(maths.layer_norm(x), maths.layer_norm(wide), **close)
    np.testing.assert_allclose(maths.attention(x, x, x), maths.attention(wide, wide, wide), **close)


@pytest.mark.parametrize("shape", [(S,), (1, S), (T, 1), (1, 1), ()], ids=str)
def test_masks_that_broadcast(shape):
    q, k, v = numbers(T, K), numbers(S, K), numbers(S, D)
    mask = np.random.default_rng(1).random(shape) < 0.6
    expected = maths.attention(q, k, v, np.broadcast_to(mask, (T, S)))
    for function in (maths.attention, maths.attention_loops):
        np.testing.assert_allclose(function(q, k, v, mask), expected, **CLOSE)


def test_a_mask_with_the_leading_axes_that_queries_and_keys_have_together():
    q, k, v = numbers(B, 1, T, K), numbers(3, S, K), numbers(3, S, D)
    mask = np.random.default_rng(1).random((B, 3, T, S)) < 0.6
    assert maths.attention(q, k, v, mask).shape == (B, 3, T, D)
    with pytest.raises(ValueError, match=r"^mask must broadcast to \(2, 3, 5, 7\) .*\(11, 1, 1, 5, 7\)$"):
        maths.attention(q, k, v, np.ones((11, 1, 1, T, S), bool))


def test_cross_entropy_equals_torch():
    logits, targets = 50 * numbers(T, V), np.array([0, 12, 5, 5, 1])
    theirs = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert maths.cross_entropy(logits, targets) == pytest.approx(theirs.item(), rel=1e-12)
    assert maths.cross_entropy([[1e4, 0.0]], [1]) == pytest.approx(1e4)


@pytest.mark.parametrize("function", [maths.attention, maths.attention_loops])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.ones((T, K)), np.ones((S, K + 1)), np.ones((S, D))], r"\(last axis\): q has 3, k has 4"),
        (
            [np.ones((T, 0)), np.ones((S, 0)), np.ones((S, D))],
            "^q and k need a width of at least 1",
        ),
        (
            [np.ones((T, K)), np.ones((S, K)), np.ones((S + 1, D))],
            r"one row per key: k has shape \(7, 3\), v has shape \(8, 11\)",
        ),
        (
            [np.ones(K), np.ones((S, K)), np.ones((S, D))],
            r"at least two axes \(positions, width\); got \(3,\) and \(7, 3\)",
        ),
        # A mask of numbers to add, 0 = may attend, would mean the opposite here.
        (
            [np.ones((T, K)), np.ones((S, K)), np.ones((S, D)), np.zeros((T, S))],
            r"^mask must be boolean \(True = may attend\); got float64$",
        ),
        (
            [np.ones((T, K)), np.ones((S, K)), np.ones((S, D)), np.ones((T, S), int)],
            r"^mask must be boolean \(True = may attend\); got int64$",
        ),
        *(
            (
                [np.ones((T, K)), np.ones((S, K)), np.ones((S, D)), np.ones(shape, bool)],
                rf"^mask must broadcast to \(5, 7\) \(..., queries, keys\); got {re.escape(str(shape))}$",
            )
            for shape in [(11, 13), (S, T), (B, T, S), (1, T, S), (T - 1, S), (T,)]
        ),
        # One query, and as many answers as the mask has rows.
        (
            [np.ones((1, K)), np.ones((S, K)), np.ones((S, D)), np.ones((T, S), bool)],
            r"^mask must broadcast to \(1, 7\) .*; got \(5, 7\)$",
        ),
    ],
)
def test_what_does_not_fit(function, inputs, message):
    with pytest.raises(ValueError, match=message):
        function(*inputs)
