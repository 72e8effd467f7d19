"""Dense products against their naive twins, in blocks and with transposes."""
import naive
import numpy as np
import pytest
from kernel_tools import DTYPES, SHAPES, close, with_padding

from nnjit.kernels import affine
from nnjit.memory import padded_shape


@DTYPES
@SHAPES
@pytest.mark.parametrize("biased", [True, False])
def test_product_with_bias(rng, dtype, shape, biased):
    N, D, H = shape
    x, W = rng.normal(size=(N, D)).astype(dtype), rng.normal(size=(D, H)).astype(dtype)
    b = rng.normal(size=H * biased).astype(dtype)
    z = np.full((N, H), np.nan, dtype)
    affine.product(x, False, W, False, b, z)
    close(z, naive.affine(x, W, b), D)


@DTYPES
@pytest.mark.parametrize("shape", [(70, 300, 30), (20, 300, 100), (30, 800, 100), (1, 30_000, 90),
                                   (90, 30_000, 1), (9, 300, 600), (600, 90, 300), (1100, 20, 600)])
def test_products_in_blocks(rng, dtype, shape):
    """By rows, by columns, by both, by either where the other has one; more than a block of each."""
    N, D, H = shape
    x, W, b = (rng.normal(size=size).astype(dtype) for size in ((N, D), (D, H), H))
    z = np.full((N + 1, H), np.nan, dtype)
    affine.product(x, False, W, False, b, z[:N])
    close(z[:N], naive.affine(x, W, b), D)
    assert np.isnan(z[N]).all()


@DTYPES
@SHAPES
def test_products_with_transposes(rng, dtype, shape):
    N, D, H = shape
    x, W, delta = (rng.normal(size=size).astype(dtype) for size in [(N, D), (D, H), (N, H)])
    dW, db, dx = np.full_like(W, np.nan), np.full(H, np.nan, dtype), np.full_like(x, np.nan)
    affine.product(x, True, delta, False, db[:0], dW)
    padded = np.full(padded_shape(W.shape, dtype), np.nan, dtype)
    affine.product(x, True, delta, False, db[:0], padded)
    close(padded[:, :H], dW, N)
    assert np.isnan(padded[:, H:]).all()
    affine.bias_gradient(delta, db)
    affine.product(delta, False, W, True, db[:0], dx)
    close(dW, naive.weight_gradient(x, delta), N)
    close(db, naive.bias_gradient(delta), N)
    close(dx, naive.input_gradient(delta, W), H)
    padded = np.full_like(dx, np.nan)
    affine.product(delta, False, with_padding(W), True, db[:0], padded)
    close(padded, dx, H)
