"""Activations: special values, kernels against naive twins, derivatives; their precision: test_precision."""
import naive
import numba
import numpy as np
import pytest
from formulas import FORMULAS, numbers
from kernel_tools import check_precision, check_vectorises

from nnjit.kernels import activations, elementary, softmax

COMPILED = not numba.config.DISABLE_JIT
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# ---- the formulas ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
@dtypes
def test_nan_infinities_and_zero(name, dtype):
    got = FORMULAS[name].kernel(np.array([np.nan, -np.inf, np.inf, 0], dtype))
    wanted = {"exp": [np.nan, 0, np.inf, 1], "tanh": [np.nan, -1, 1, 0], "sigmoid": [np.nan, 0, 1, 0.5]}[name]
    np.testing.assert_array_equal(got, wanted)


@dtypes
def test_tanh_is_odd_to_the_last_bit(dtype):
    x, tanh = numbers(np.random.default_rng(7), dtype, 1000), FORMULAS["tanh"].kernel
    np.testing.assert_array_equal(tanh(-x), -tanh(x))


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "relu"])
@dtypes
def test_it_vectorises(name, dtype):
    check_vectorises(getattr(activations if name == "relu" else elementary, name), dtype)


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "relu"])
@dtypes
def test_a_formula_keeps_the_precision(name, dtype):
    check_precision(getattr(activations if name == "relu" else elementary, name), dtype)


# ---- elementwise kernels -----------------------------------------------------------------------------------

elementwise = pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
arrays = pytest.mark.parametrize("shape, dtype", [
    ((1, 1), np.float32), ((3, 10), np.float32), ((1, 1), np.float64), ((3, 10), np.float64),
    ((2, 3, 5, 4), np.float64)])


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape, scale=3).astype(dtype)


def forward(name, x):
    out = np.full_like(x, np.nan)
    getattr(activations, f"{name}_forward")(x, out)
    return out


def backward(name, a, delta):
    dx = np.full_like(delta, np.nan)
    getattr(activations, f"{name}_backward")(a, delta, dx)
    return dx


def assert_close(got, wanted, ulps=16):
    """Compare with a twin that was given float64 arrays."""
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, wanted, rtol=ulps * eps, atol=ulps * eps)


@elementwise
@arrays
def test_forward(name, shape, dtype):
    x = normal(shape, dtype)
    before = x.copy()
    out = forward(name, x)
    assert_close(out, getattr(naive, name)(x.astype(np.float64)))
    np.testing.assert_array_equal(x, before)
    getattr(activations, f"{name}_forward")(x, x)
    np.testing.assert_array_equal(x, out)


@elementwise
@arrays
def test_backward(name, shape, dtype):
    a, delta = forward(name, normal(shape, dtype)), normal(shape, dtype, seed=1)
    before = a.copy(), delta.copy()
    dx = backward(name, a, delta)
    assert_close(dx, getattr(naive, f"{name}_backward")(a.astype(np.float64), delta.astype(np.float64)))
    np.testing.assert_array_equal((a, delta), before)
    getattr(activations, f"{name}_backward")(a, delta, delta)
    np.testing.assert_array_equal(delta, dx)


@elementwise
def test_backward_is_the_derivative_of_forward(name):
    x, h = normal((5, 7), np.float64), 1e-5
    assert abs(x).min() > h    # relu has a corner at 0
    wanted = (forward(name, x + h) - forward(name, x - h)) / (2 * h)
    np.testing.assert_allclose(backward(name, forward(name, x), np.ones_like(x)), wanted, rtol=1e-6,
                               atol=1e-9)


@dtypes
def test_relu_at_and_beyond_the_finite_numbers(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    a = forward("relu", np.array([[np.nan, -np.inf, np.inf, 0, -tiny, tiny]], dtype))
    np.testing.assert_array_equal(a, [[np.nan, 0, np.inf, 0, 0, tiny]])
    dx = backward("relu", a[:, 1:], np.full((1, 5), 3, dtype))
    np.testing.assert_array_equal(dx, [[0, 3, 0, 0, 3]])


@elementwise
@dtypes
def test_a_nan_delta_stays(name, dtype):
    a, delta = np.full((2, 3), 0, dtype), np.zeros((2, 3), dtype)
    delta[1, 2] = np.nan
    np.testing.assert_array_equal(backward(name, a, delta), delta)


# ---- the factory -------------------------------------------------------------------------------------------

@elementwise
@dtypes
@pytest.mark.parametrize("size", [1, 1023, 5000])
def test_a_loop_split_over_threads_gives_the_same_bits(name, dtype, size):
    x, delta = normal((size,), dtype), normal((size,), dtype, seed=1)
    for function, arrays in [(getattr(activations, f"{name}_forward"), (x,)),
                             (getattr(activations, f"{name}_backward"), (forward(name, x), delta))]:
        serial, parallel = np.full((2, size), np.nan, dtype)
        function.serial(*arrays, serial)
        function.parallel(*arrays, parallel)
        np.testing.assert_array_equal(serial, parallel)


@pytest.mark.parametrize("parallel_from", [(10**6, 10**6), (1, 1)])
@dtypes
def test_an_activation_of_a_user_is_two_formulas(dtype, parallel_from):
    """Softplus, whose slope takes the input: the example of the module."""
    def softplus(x):
        return max(x, type(x)(0)) + elementary.log1p(elementary.exp(-abs(x)))

    down, back = activations.elementwise("softplus", softplus, elementary.sigmoid, parallel_from)
    x, delta = normal((40, 70), dtype), normal((40, 70), dtype, seed=1)
    out, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    down(x, out)
    back(x, delta, dx)
    assert_close(out, np.log1p(np.exp(x.astype(np.float64))))
    assert_close(dx, delta.astype(np.float64) / (1 + np.exp(-x.astype(np.float64))))


ALL_PAIRS = """
import json
import numpy as np
from nnjit.kernels import activations
x, found, hits = np.linspace(-2, 2, 9), {}, 0
for name in ("tanh", "sigmoid", "relu"):
    for way in ("forward", "backward"):
        function = getattr(activations, f"{name}_{way}")
        for kernel in (function.serial, function.parallel):
            out = np.empty_like(x)
            kernel(*[x, np.ones(9)][:1 if way == "forward" else 2], out)
            found.setdefault(f"{name}_{way}", []).append(out.tolist())
            hits += sum(kernel.stats.cache_hits.values())
print(json.dumps([found, hits]))
"""


@pytest.mark.compiled
def test_pairs_of_one_factory_are_kept_apart_in_the_cache(run_python, tmp_path):
    """A second process finds all of them, and each is its own."""
    x = np.linspace(-2, 2, 9)
    expected = {"tanh_forward": np.tanh(x), "sigmoid_forward": naive.sigmoid(x),
                "relu_forward": naive.relu(x), "tanh_backward": 1 - x * x, "sigmoid_backward": x * (1 - x),
                "relu_backward": (x > 0).astype(float)}
    for kept in (0, 12):
        found, hits = run_python(ALL_PAIRS, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        assert hits == kept
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], [values] * 2, rtol=1e-14, atol=1e-14)


@pytest.mark.compiled
def test_an_edit_to_a_formula_of_a_user_is_seen(run_python, tmp_path):
    """Though the disk cache knows nothing of the file."""
    code = """
import json
import numpy as np
from mine import forward
out = np.empty(3)
forward(np.ones(3), out)
print(json.dumps(out.tolist()))
"""
    formulas = """
from nnjit.kernels.activations import elementwise

def value(x):
    return x * type(x)(2)

def slope(x):
    return type(x)(2)

forward, backward = elementwise("double", value, slope)
"""
    for factor in (2, 3):
        (tmp_path / "mine.py").write_text(formulas.replace("(2)", f"({factor})"), encoding="utf-8")
        found = run_python("import sys; sys.path.insert(0, '.'); sys.dont_write_bytecode = True\n" + code,
                           NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        assert found == [factor] * 3


# ---- softmax -----------------------------------------------------------------------------------------------

softmaxes = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


def over_rows(name, z):
    out = np.full_like(z, np.nan)
    getattr(softmax, name)(z, out)
    return out


@softmaxes
@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (2, 1000)])
def test_softmax_against_its_twin(name, dtype, shape):
    z = normal(shape, dtype)
    before = z.copy()
    out = over_rows(name, z)
    assert_close(out, getattr(naive, name)(z.astype(np.float64)))
    np.testing.assert_array_equal(z, before)
    getattr(softmax, name)(z, z)
    np.testing.assert_array_equal(z, out)


@dtypes
def test_softmax_and_log_softmax_agree(dtype):
    z = normal((20, 30), dtype)
    p = over_rows("softmax", z)
    assert_close(p.sum(axis=1, dtype=np.float64), np.ones(20), ulps=32 if dtype is np.float64 else 2**31)
    assert_close(p, np.exp(over_rows("log_softmax", z).astype(np.float64)))


@softmaxes
@dtypes
def test_a_shift_of_whole_logits_changes_nothing(name, dtype):
    # so that the shifted ones are exact
    z = np.random.default_rng(2).integers(-8, 9, (6, 11)).astype(dtype)
    np.testing.assert_array_equal(over_rows(name, z), over_rows(name, z + dtype(1000)))


@softmaxes
@dtypes
def test_rows_do_not_see_each_other(name, dtype):
    z = normal((7, 10), dtype)
    rows = np.concatenate([over_rows(name, z[i:i + 1]) for i in range(7)])
    np.testing.assert_array_equal(over_rows(name, z), rows)


@dtypes
def test_huge_logits(dtype):
    z = np.array([[-1e4, 1e4, 0], [-2e4, -1e4, -1e4], [1e4, 1e4, 1e4]], dtype)
    log_2, log_3 = np.log(dtype(2)), np.log(dtype(3))
    np.testing.assert_array_equal(over_rows("softmax", z),
                                  np.array([[0, 1, 0], [0, 0.5, 0.5], [1 / 3] * 3], dtype))
    np.testing.assert_array_equal(over_rows("log_softmax", z), np.array([
        [-2e4, 0, -1e4], [dtype(-1e4) - log_2, -log_2, -log_2], [-log_3] * 3], dtype))


@softmaxes
@dtypes
@pytest.mark.parametrize("column", [0, 4, 9])
def test_a_nan_stays_in_its_row(name, dtype, column):
    z = normal((3, 10), dtype)
    z[1, column] = np.nan
    out = over_rows(name, z)
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2]]).all()
