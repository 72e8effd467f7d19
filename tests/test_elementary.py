"""erf, the normal distribution, expm1 and softplus: units in the last place, special values, vector code."""
import math

import mpmath
import numba
import numpy as np
import pytest
from kernel_tools import check_precision, check_vectorises, compiled_loop

from nnjit.kernels import elementary

COMPILED = not numba.config.DISABLE_JIT
POINTS = 400_000 if COMPILED else 6_000
NAMES = ["erf", "normal_cdf", "normal_pdf", "expm1", "softplus"]
MOST_ULPS = {"erf": 4, "normal_cdf": 8, "normal_pdf": 4, "expm1": 4, "softplus": 4}
functions = pytest.mark.parametrize("name", NAMES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# Where a formula changes over, where results cease to be normal, above zero or finite, or come to a limit.
EDGES = {
    ("erf", np.float32): [-3.9192059, -0.5, 0.5, 3.9192059, 10.06, 30],
    ("erf", np.float64): [-5.921587195794508, -0.5, 0.5, 5.921587195794508, 26.6, 30],
    ("normal_cdf", np.float32): [-40, -14.17, -13, -12.9, 5.4, 40],
    ("normal_cdf", np.float64): [-40, -38.485, -37.519, 8.29, 40],
    ("normal_pdf", np.float32): [-40, -14.3, -13.1, 13.1, 14.3, 40],
    ("normal_pdf", np.float64): [-40, -38.58, -37.6, 37.6, 38.58, 40],
    ("expm1", np.float32): [-40, -17.33, -0.34657359, 0.34657359, 88.72283, 88.72284],
    ("expm1", np.float64): [-40, -37.43, -0.34657359027997264, 0.34657359027997264, 709.782712893384,
                            709.7827128933841],
    ("softplus", np.float32): [-103.98, -103.972084, -87.33655, 17.33],
    ("softplus", np.float64): [-745.2, -745.1332191019412, -708.3964185322641, 37.43],
}


LOOPS = {name: compiled_loop(getattr(elementary, name)) for name in NAMES}


def call(name, x):
    out = x.copy()
    LOOPS[name](out)
    return out


def sample(name, dtype, n):
    """Return n arguments and some: finite bit patterns, the range of change, around 0, all scales, edges."""
    rng = np.random.default_rng(7)
    limits = np.finfo(dtype)
    edges = np.array(EDGES[name, dtype], dtype)
    reach, steps = abs(edges).max(), np.arange(-20, 21, dtype=dtype)
    bits = rng.integers(0, 2**limits.bits, n // 5, dtype=f"u{limits.bits // 8}").view(dtype)
    return np.concatenate([
        bits[np.isfinite(bits)],
        rng.uniform(-reach, reach, n // 5 + n // 100).astype(dtype),
        rng.uniform(-6, 6, n // 5).astype(dtype),
        rng.uniform(-1, 1, n // 5).astype(dtype),
        (rng.choice([-1, 1], n // 5) * 10 ** rng.uniform(-12, 3, n // 5)).astype(dtype),
        (edges[:, None] + np.spacing(edges)[:, None] * steps).ravel(),
        limits.smallest_subnormal * steps,
        limits.smallest_normal + limits.smallest_subnormal * steps,
        np.array([limits.max, limits.min])])


def exact(name, v):
    """Return the function of one number, evaluated with mpmath."""
    if name == "normal_cdf":
        return mpmath.erfc(-v / mpmath.sqrt(2)) / 2    # mpmath.ncdf loses the lower tail
    if name == "softplus":
        return mpmath.log1p(mpmath.exp(v))
    return {"erf": mpmath.erf, "normal_pdf": mpmath.npdf, "expm1": mpmath.expm1}[name](v)


def in_float64(name, v):
    """Return the function of one number, evaluated with the C library in float64."""
    if name == "erf":
        return math.erf(v)
    if name == "normal_cdf":
        return math.erfc(-v / math.sqrt(2)) / 2
    if name == "normal_pdf":
        return math.exp(-v * v / 2) / math.sqrt(2 * math.pi) if abs(v) < 1e3 else 0.0
    if name == "expm1":
        return math.expm1(v) if v < 700 else math.inf
    return max(v, 0) + math.log1p(math.exp(-abs(v)))


def ulp(value, dtype):
    """Return the distance of neighbouring numbers of dtype at value; beyond the largest, that there."""
    last_step = np.ldexp(1.0, np.finfo(dtype).maxexp - 1)
    return np.spacing(np.minimum(abs(value), last_step).astype(dtype))


@functions
def test_float32_within_its_ulps_of_the_c_library_in_float64(name):
    x = sample(name, np.float32, POINTS)
    assert x.size >= POINTS
    got, wanted = call(name, x), np.array([in_float64(name, v) for v in x.tolist()])
    following = np.ldexp(1.0, 128)    # stands for inf
    error = abs(np.minimum(got.astype(np.float64), following) - np.minimum(wanted, following))
    assert (error / ulp(wanted, np.float32)).max() < MOST_ULPS[name]


@functions
@dtypes
def test_within_its_ulps_of_mpmath(name, dtype):
    x = sample(name, dtype, 3000 if COMPILED else 1000)
    got, largest = call(name, x), float(np.finfo(dtype).max)
    with mpmath.workdps(50):
        for v, g in zip(x[abs(x) < 1e4].tolist(), got[abs(x) < 1e4].tolist(), strict=True):
            true = exact(name, mpmath.mpf(v))
            if true > largest:
                assert g == np.inf
                continue
            unit = mpmath.mpf(float(ulp(np.float64(true), dtype)))
            assert abs(mpmath.mpf(g) - true) < MOST_ULPS[name] * unit, v


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
    x = sample("erf", dtype, 1000)
    np.testing.assert_array_equal(call("erf", -x), -call("erf", x))
    np.testing.assert_array_equal(call("normal_pdf", -x), call("normal_pdf", x))


@dtypes
def test_the_parts_of_one_make_one(dtype):
    x, eps = np.linspace(-9, 9, 1001).astype(dtype), np.finfo(dtype).eps
    np.testing.assert_allclose(call("normal_cdf", x) + call("normal_cdf", -x), 1, rtol=0, atol=2 * eps)
    np.testing.assert_allclose(call("softplus", x) - call("softplus", -x), x, rtol=0, atol=16 * eps)


@functions
@dtypes
def test_an_element_does_not_depend_on_its_neighbours(name, dtype):
    x = sample(name, dtype, 400)
    single = np.concatenate([call(name, x[i:i + 1]) for i in range(x.size)])
    np.testing.assert_array_equal(call(name, x), single)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@functions
@dtypes
def test_it_vectorises(name, dtype):
    check_vectorises(getattr(elementary, name), dtype)


@functions
@dtypes
def test_a_formula_keeps_the_precision(name, dtype):
    check_precision(getattr(elementary, name), dtype)
