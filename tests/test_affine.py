"""Dense products against their naive twins, in blocks and with transposes."""
import naive
import numba
import numpy as np
import pytest
from kernel_tools import DTYPES, SHAPES, close, with_padding

from nnjit._numba.threads import parallel_region, set_threads
from nnjit.kernels import _tiles, affine
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


@pytest.fixture
def in_tiles(monkeypatch):
    """Products go through the tiles also where their Python functions run, or are left out of a test."""
    if numba.config.DISABLE_JIT:
        monkeypatch.setattr(_tiles, "_WHOLE_REGISTERS", True)
    elif not _tiles._WHOLE_REGISTERS:
        pytest.skip("this processor's products go to BLAS")


@DTYPES
@pytest.mark.parametrize("N", [8, 13, 41, 65, 130])            # a tile; some rows more; B copied, or not
@pytest.mark.parametrize("D, H", [(128, 130), (300, 67), (129, 34), (520, 9)])    # panels of one and two
def test_products_in_tiles(rng, dtype, in_tiles, N, D, H):     # vectors, whole and not; some depths
    x, W, delta = (rng.normal(size=size).astype(dtype) for size in [(N, D), (D, H), (N, H)])
    b, none = rng.normal(size=H).astype(dtype), np.empty(0, dtype)
    z, dW, dx = (np.full((rows + 1, columns), np.nan, dtype) for rows, columns in ((N, H), (D, H), (N, D)))
    padded = np.full((D, padded_shape(W.shape, dtype)[1]), np.nan, dtype)
    padded[:, :H] = W
    affine.product(x, False, padded, False, b, z[:N])
    close(z[:N], naive.affine(x, W, b), D)
    affine.product(delta, False, padded, True, none, dx[:N])
    close(dx[:N], naive.input_gradient(delta, W), H)
    affine.product(x, True, delta, False, none, dW[:D])
    close(dW[:D], naive.weight_gradient(x, delta), N)
    for array in z, dW, dx:
        assert np.isnan(array[-1]).all()


@pytest.mark.compiled
def test_tiles_give_the_same_bits_with_any_number_of_threads(rng, in_tiles):
    x, W, none = *(rng.normal(size=size).astype(np.float32) for size in ((333, 450), (450, 333))), np.empty(
        0, np.float32)
    found = []
    for threads in 1, 2:
        set_threads(threads)
        with parallel_region():
            z = np.empty((333, 333), np.float32)
            affine.product(x, False, W, False, none, z)
            dW = np.empty((450, 333), np.float32)
            affine.product(x, True, z, False, none, dW)
            dx = np.empty((333, 450), np.float32)
            affine.product(z, False, W, True, none, dx)
            found.append((z, dW, dx))
    set_threads("auto")
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
