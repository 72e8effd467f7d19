"""What the tests of kernels share: dtypes, shapes, tolerances, rows with zeros, checks of a formula."""
import re

import numba
import numpy as np
import pytest

from nnjit._numba.jit import FASTMATH
from nnjit.memory import padded_shape

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# N, D, H: single entries, odd sizes, fewer columns than blocks of them, strips of every width, more rows than
# a chunk
SHAPES = pytest.mark.parametrize("shape", [
    (1, 1, 1), (2, 3, 5), (19, 13, 1), (7, 140, 133), (5, 9, 270), (515, 9, 4), (300, 260, 18), (3, 70, 16),
    (4, 90, 45), (9, 66, 70), (3, 200, 100), (6, 30, 50), (4, 20, 200)])


def close(got, expected, terms):
    """Whether sums of so many terms of order 1 agree to within their rounding."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=4 * (terms + 4) * np.finfo(got.dtype).eps)


def rows_with_zeros(rng, N, D, dtype):
    """Return a matrix of which a third is not zero, with rows that are all zeros."""
    x = rng.normal(size=(N, D)) * (rng.random((N, D)) < 1 / 3)
    x[::5] = 0
    return x.astype(dtype)


def with_padding(matrix):
    """Return the matrix with its rows as parameters are stored."""
    padded = np.zeros(padded_shape(matrix.shape, matrix.dtype), matrix.dtype)
    padded[:, :matrix.shape[1]] = matrix
    return padded


def compiled_loop(formula):
    """Return a function that applies a formula to every number of a vector, in place."""
    @numba.njit(error_model="numpy", fastmath=FASTMATH)
    def loop(x):
        for i in range(x.size):
            x[i] = formula(x[i])

    return loop


def check_vectorises(formula, dtype):
    """A loop of the formula stores vectors, and calls nothing for a single number."""
    loop = compiled_loop(formula)
    loop(np.ones(3, dtype))
    code, = loop.inspect_llvm().values()
    assembly, = loop.inspect_asm().values()
    scalar = {np.float32: "float", np.float64: "double"}[dtype]
    assert re.search(rf"store <\d+ x {scalar}>", code)
    assert not re.search(r"call .*@(exp|expm1|log1p|erfc?|tanh|floor|rint)f?\(", code)
    assert "vmaskmov" not in assembly    # slow to store with


def check_precision(formula, dtype):
    """A formula of a number of this dtype is a number of this dtype."""
    result = formula(dtype(0.5))
    if numba.config.DISABLE_JIT:
        assert type(result) is dtype
    else:
        assert formula.overloads[numba.from_dtype(dtype),].signature.return_type == numba.from_dtype(dtype)
