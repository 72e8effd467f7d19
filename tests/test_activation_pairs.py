"""GELU, SiLU, Softplus, LeakyReLU and ELU: against SciPy, their derivative, their limits."""
import naive
import numpy as np
import pytest

import nnjit as nn
from nnjit.kernels import activations

# constants, and what the formula comes to at -infinity and infinity, and its slope there
TABLE = {"gelu": ((), (0, np.inf), (0, 1)), "silu": ((), (0, np.inf), (0, 1)),
         "softplus": ((), (0, np.inf), (0, 1)), "leaky_relu": ((0.3,), (-np.inf, np.inf), (0.3, 1)),
         "elu": ((0.7,), (-0.7, np.inf), (0, 1))}
FROM_OUTPUT = ("leaky_relu", "elu")
names = pytest.mark.parametrize("name", TABLE)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def forward(name, x):
    out = np.full_like(x, np.nan)
    getattr(activations, f"{name}_forward")(x, out, *TABLE[name][0])
    return out


def slope(name, x):
    saved, out = forward(name, x) if name in FROM_OUTPUT else x, np.full_like(x, np.nan)
    getattr(activations, f"{name}_backward")(saved, np.ones_like(x), out, *TABLE[name][0])
    return out


@names
@dtypes
def test_against_scipy(name, dtype):
    x = np.random.default_rng(0).normal(0, 4, 500).astype(dtype)
    eps = np.finfo(dtype).eps
    expected = getattr(naive, name)(x.astype(float), *TABLE[name][0])
    # SciPy rounds x / sqrt 2, by which its tail is off by x² eps
    np.testing.assert_allclose(forward(name, x), expected, rtol=200 * eps, atol=eps * eps)


@names
def test_the_slope_is_the_derivative(name):
    x, h = np.linspace(-8, 8, 257) + 1e-3, 1e-5
    expected = (forward(name, x + h) - forward(name, x - h)) / (2 * h)
    np.testing.assert_allclose(slope(name, x), expected, rtol=1e-8, atol=1e-9)


@names
@dtypes
def test_limits_and_nan(name, dtype):
    x = np.array([-np.inf, np.inf, np.nan], dtype)
    _, limits, slopes = TABLE[name]
    np.testing.assert_array_equal(forward(name, x), np.array([*limits, np.nan], dtype))
    np.testing.assert_array_equal(slope(name, x)[:2], np.array(slopes, dtype))
    large = np.array([-3e38, -1e10, 1e10, 3e38], dtype)
    assert np.isfinite(forward(name, large)).all() and np.isfinite(slope(name, large)).all()


@pytest.mark.parametrize("kind", [nn.LeakyReLU, nn.ELU])
@pytest.mark.parametrize("value, error", [(-0.1, ValueError), (np.nan, ValueError), ("x", TypeError)])
def test_constants_that_are_refused(kind, value, error):
    with pytest.raises(error, match=f"{kind.__name__} {kind.config[0]}: got"):
        kind(value)
