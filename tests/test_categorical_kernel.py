"""The kernel of softmax cross-entropy against its naive twin."""
import naive
import numpy as np
import pytest
from kernel_tools import DTYPES

from nnjit.kernels import losses


def categorical_case(rng, N, dtype, soft=False, K=5):
    """Return z, y and the weights, some of them 0; y as the kernel takes it and as rows of probabilities."""
    z = (3 * rng.normal(size=(N, K))).astype(dtype)
    w = (rng.random(N) * (rng.random(N) < 0.8) + np.eye(N)[0]).astype(dtype)
    if soft:
        y = rng.dirichlet(np.ones(K), size=N).astype(dtype)
        return z, y, w, y
    y = rng.integers(K, size=N)
    return z, y, w, naive.one_hot(y, K)


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("N", [1, 7, 1025])    # of which the last are three tasks
def test_categorical(rng, dtype, soft, N):
    z, y, w, rows = categorical_case(rng, N, dtype, soft)
    delta = np.full_like(z, np.nan)
    loss, correct, weight = losses.categorical(z, y, w, losses.total_weight(w), delta)
    mean_loss, accuracy, expected = naive.categorical(z, rows, w)
    eps = float(np.finfo(dtype).eps)
    assert weight == pytest.approx(w.sum(dtype=float), rel=20 * eps)
    assert loss / weight == pytest.approx(mean_loss, rel=20 * eps)
    assert correct / weight == pytest.approx(accuracy, rel=20 * eps)
    np.testing.assert_allclose(delta, expected, rtol=0, atol=10 * eps * np.abs(expected).max())
    in_place = z.copy()
    assert losses.categorical(in_place, y, w, losses.total_weight(w), in_place) == (loss, correct, weight)
    assert np.array_equal(in_place, delta)


@pytest.mark.compiled
def test_categorical_sums_float32_in_float64():
    N = 1025
    w = np.full(N, 0.1, np.float32)
    loss, correct, weight = losses.categorical(np.zeros((N, 2), np.float32), np.zeros(N, np.int64), w, 1.0,
                                                 np.empty((N, 2), np.float32))
    assert (correct, weight) == pytest.approx(2 * (N * float(w[0]),), rel=1e-12)
    assert loss == pytest.approx(N * float(w[0] * np.log(np.float32(2))), rel=1e-12)


@DTYPES
def test_categorical_takes_soft_one_hot_rows_as_labels(rng, dtype):
    """To rounding; one-hot rows reach the kernel as labels through `Categorical.targets`: the same bits."""
    z, y, w, rows = categorical_case(rng, 9, dtype)
    by_label, by_row = np.empty_like(z), np.empty_like(z)
    sums = losses.categorical(z, y, w, losses.total_weight(w), by_label)
    by_rows = losses.categorical(z, rows.astype(dtype), w, losses.total_weight(w), by_row)
    assert by_rows == pytest.approx(sums, rel=1e-5)
    np.testing.assert_allclose(by_row, by_label, rtol=0, atol=4 * np.finfo(dtype).eps)


@DTYPES
@pytest.mark.parametrize("as_rows", [False, True])
@pytest.mark.parametrize("z, label, loss, delta", [
    ([1e4, -1e4, 0], 0, 0, [0, 0, 0]),
    ([1e4, -1e4, 0], 1, 2e4, [1, -1, 0]),
    ([1e4, -1e4, 0], 2, 1e4, [1, 0, -1]),
    ([-1e4, -1e4, -1e4], 2, np.log(3), [1 / 3, 1 / 3, -2 / 3]),
    ([1e4, 1e4, -1e4], 0, np.log(2), [-1 / 2, 1 / 2, 0]),
])
def test_categorical_at_large_logits(dtype, as_rows, z, label, loss, delta):
    z, w, got = np.array([z], dtype), np.ones(1, dtype), np.empty((1, 3), dtype)
    y = naive.one_hot([label], 3).astype(dtype) if as_rows else np.array([label])
    total, _, _ = losses.categorical(z, y, w, losses.total_weight(w), got)
    assert total == pytest.approx(loss, rel=float(np.finfo(dtype).eps), abs=0)
    np.testing.assert_allclose(got[0], delta, rtol=2 * np.finfo(dtype).eps, atol=0)


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_categorical_shows_nan(rng, dtype, soft, place):
    z, y, w, _ = categorical_case(rng, 4, dtype, soft)
    w[:] = 1
    z[1, place] = np.nan
    delta = np.empty_like(z)
    loss, _, _ = losses.categorical(z, y, w, losses.total_weight(w), delta)
    assert np.isnan(loss)
    assert np.isnan(delta[1]).all() and np.isfinite(delta[[0, 2, 3]]).all()


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
def test_categorical_passes_over_rows_of_weight_zero(rng, dtype, soft):
    z, y, w, _ = categorical_case(rng, 6, dtype, soft)
    w[:] = [1, 0, 2, 0, 0, 1]
    z[1], z[3, 0] = np.nan, np.inf
    delta, kept = np.full_like(z, np.nan), np.flatnonzero(w)
    delta_kept = np.empty_like(z[kept])
    expected = losses.categorical(z[kept], y[kept], w[kept], 4.0, delta_kept)
    assert losses.categorical(z, y, w, 4.0, delta) == expected
    assert np.array_equal(delta[kept], delta_kept)
    assert not delta[[1, 3, 4]].any()


def test_categorical_of_no_weight_at_all_is_zero(rng):
    z, y, w, _ = categorical_case(rng, 3, np.float64)
    delta = np.full_like(z, np.nan)
    assert losses.categorical(z, y, 0 * w, 1.0, delta) == (0, 0, 0)
    assert not delta.any()


@DTYPES
def test_argmax_takes_the_first_of_equals(rng, dtype):
    z = rng.integers(4, size=(50, 6)).astype(dtype)
    out = np.full(50, -1)
    losses.argmax(z, out)
    assert np.array_equal(out, z.argmax(axis=1))
