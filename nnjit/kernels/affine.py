"""The affine map z = x W + b and its gradients. The products go to BLAS in fixed blocks, one BLAS thread each.

Shapes: x (N, D), W and dW (D, H), b (H,), z and delta (N, H). Without biases, ``b`` has the size 0. The rows of W and dW may
be padded, which is left as it is.
"""
import numpy as np
from numba import prange

from .._blas import multiply
from .._jit import kernel, parallel_kernel

_HEIGHT, _WIDTH = 256, 256    # the largest block of a product that is one call of BLAS
_NARROW = 128                 # columns that are not worth sharing out


@kernel
def _product_block(A, transpose_A, B, transpose_B, b, C, i, j, height, width):
    rows, columns = slice(i, i + height), slice(j, j + width)
    part_A = A[:, rows] if transpose_A else A[rows, :]
    part_B = B[columns, :] if transpose_B else B[:, columns]
    part_C = C[rows, columns]
    if b.size:
        for r in range(part_C.shape[0]):
            for k in range(part_C.shape[1]):
                part_C[r, k] = b[j + k]
    multiply(part_A, transpose_A, part_B, transpose_B, 1 if b.size else 0, part_C)


@parallel_kernel
def product(A, transpose_A, B, transpose_B, b, C):
    """C = op(A) op(B) + b, where op transposes if told to: z = x W + b, dW = xᵀ delta, dx = delta Wᵀ.

    The blocks of C, which may be computed at the same time, follow from its shape alone, and so do the bits.
    """
    N, H = C.shape[0], min(C.shape[1], B.shape[0] if transpose_B else B.shape[1])
    down, across = (N + _HEIGHT - 1) // _HEIGHT, (H + _WIDTH - 1) // _WIDTH
    if down > 1:
        down += down % 2    # so that threads get as many as each other
    elif H > _NARROW:
        across += across % 2
    height, width = (N + down - 1) // down, (H + across - 1) // across
    if down * across == 1:
        first = np.int64(0)    # for a literal 0 the block would be compiled anew
        _product_block(A, transpose_A, B, transpose_B, b, C, first, first, N, H)
    else:
        for task in prange(down * across):
            i, j = task // across * height, task % across * width
            _product_block(A, transpose_A, B, transpose_B, b, C, i, j, min(height, N - i), min(width, H - j))


@kernel
def bias_gradient(delta, db):
    """db = the sum of delta's rows."""
    db[:] = 0
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            db[k] += delta[i, k]
