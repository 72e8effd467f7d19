"""The loss kernels of independent units against their naive twins."""
import naive
import numpy as np
import pytest
from head_cases import DTYPES, N, close, counts, numbers, soft_answers
from scipy import special

from nnjit.kernels import losses as loss_kernels

ELEMENTS = {
    "squared_error": (numbers, ()), "absolute_error": (numbers, ()), "huber": (numbers, (0.7,)),
    "poisson": (counts, ()),
    "bernoulli": (soft_answers, ()),
}


@DTYPES
@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (19, 3)])
def test_elements(rng, dtype, name, shape):
    make, parameters = ELEMENTS[name]
    z, y = rng.normal(size=shape).astype(dtype), make(rng, *shape).astype(dtype)
    losses, delta = np.full_like(z, np.nan), np.full_like(z, np.nan)
    given = (z, y, y) if name == "bernoulli" else (z, y, *parameters)
    getattr(loss_kernels, name)(*given, losses, delta)
    loss, slope = getattr(naive, name)(z.astype(float), y.astype(float), *parameters)
    close(losses, loss, dtype, 40)    # the twins take large numbers from each other
    close(delta, slope, dtype, 40)


@DTYPES
@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_show_nan(dtype, name):
    z, y, losses, delta = (np.full(20, value, dtype) for value in (np.nan, 1, 0, 0))
    given = (z, y, y) if name == "bernoulli" else (z, y, *ELEMENTS[name][1])
    getattr(loss_kernels, name)(*given, losses, delta)
    assert np.isnan(losses).all() and np.isnan(delta).all()


@DTYPES
def test_bernoulli_is_accurate_to_the_last_bits(dtype):
    """Relative to the loss itself, which may be tiny, and to the delta likewise."""
    z = np.concatenate([np.linspace(-40, 40, 801), [-1e4, 1e4, -1e-6, 1e-6]]).astype(dtype)
    for label in (0, 1):
        y, losses, delta = np.full_like(z, label), np.empty_like(z), np.empty_like(z)
        loss_kernels.bernoulli(z, y, y, losses, delta)
        sign = -1.0 if label else 1.0
        x = sign * z.astype(float)
        few_ulps = {"rtol": 6 * np.finfo(dtype).eps, "atol": np.finfo(dtype).tiny}
        np.testing.assert_allclose(losses, np.logaddexp(0, x), **few_ulps)
        np.testing.assert_allclose(delta, sign * special.expit(x), **few_ulps)


@DTYPES
@pytest.mark.parametrize("K", [1, 4])
def test_weighted_sums(rng, dtype, K):
    losses, slopes, errors = (rng.random((N, K)).astype(dtype) for _ in range(3))
    w = (rng.random(N) * (np.arange(N) % 4 > 0)).astype(dtype)
    losses[0] = slopes[0] = errors[0] = np.nan    # of weight 0
    delta = slopes.copy()
    loss, error, weight = loss_kernels.weighted_sums(losses, errors, w, K, w.sum(dtype=float), delta)
    mean, expected = naive.weighted(losses.astype(float), slopes.astype(float), w.astype(float))
    rows = np.flatnonzero(w)
    assert weight == pytest.approx(w.sum(dtype=float), rel=1e-6)
    assert loss / weight == pytest.approx(mean, rel=1e-6 if dtype == np.float32 else 1e-12)
    assert error / weight == pytest.approx(np.average(errors[rows].sum(axis=1), weights=w[rows]), rel=1e-6)
    close(delta, expected, dtype)
    delta = slopes.copy()
    assert loss_kernels.weighted_sums(losses, errors, 0 * w, K, 1.0, delta) == (0, 0, 0) and not delta.any()
