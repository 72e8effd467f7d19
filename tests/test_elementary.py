"""erf, the normal distribution, expm1 and softplus: special values, symmetries, vector code."""
import numba
import numpy as np
import pytest
from formulas import numbers
from kernel_tools import check_precision, check_vectorises, compiled_loop

from nnjit.kernels import elementary

COMPILED = not numba.config.DISABLE_JIT
NAMES = ["erf", "normal_cdf", "normal_pdf", "expm1", "softplus"]
functions = pytest.mark.parametrize("name", NAMES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LOOPS = {name: compiled_loop(getattr(elementary, name)) for name in NAMES}


def call(name, x):
    out = x.copy()
    LOOPS[name](out)
    return out


@functions
@dtypes
def test_nan_infinities_zeros_and_large_numbers(name, dtype):
    large = np.finfo(dtype).max
    got = call(name, np.array([np.nan, -np.inf, -large, -0.0, 0, large, np.inf], dtype))
    wanted = {"erf": [np.nan, -1, -1, 0, 0, 1, 1], "normal_cdf": [np.nan, 0, 0, 0.5, 0.5, 1, 1],
              "normal_pdf": [np.nan, 0, 0, *[1 / np.sqrt(2 * np.pi)] * 2, 0, 0],
              "expm1": [np.nan, -1, -1, 0, 0, np.inf, np.inf],
              "softplus": [np.nan, 0, 0, np.log(2), np.log(2), large, np.inf]}[name]
    np.testing.assert_allclose(got, np.array(wanted, dtype), rtol=2 * np.finfo(dtype).eps, atol=0)


@dtypes
def test_erf_is_odd_and_the_density_even_to_the_last_bit(dtype):
    x = numbers(np.random.default_rng(7), dtype, 1000)
    np.testing.assert_array_equal(call("erf", -x), -call("erf", x))
    np.testing.assert_array_equal(call("normal_pdf", -x), call("normal_pdf", x))


@dtypes
def test_the_parts_of_one_make_one(dtype):
    x, eps = np.linspace(-9, 9, 1001).astype(dtype), np.finfo(dtype).eps
    np.testing.assert_allclose(call("normal_cdf", x) + call("normal_cdf", -x), 1, rtol=0, atol=2 * eps)
    np.testing.assert_allclose(call("softplus", x) - call("softplus", -x), x, rtol=0, atol=16 * eps)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@functions
@dtypes
def test_it_vectorises(name, dtype):
    check_vectorises(getattr(elementary, name), dtype)


@functions
@dtypes
def test_a_formula_keeps_the_precision(name, dtype):
    check_precision(getattr(elementary, name), dtype)
