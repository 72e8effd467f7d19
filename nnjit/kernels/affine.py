"""The affine map z = x W + b and its gradients. The products go to BLAS in fixed blocks, one BLAS thread each.

Shapes: x (N, D), W and dW (D, H), b (H,), z and delta (N, H). Without biases, ``b`` has the size 0. The rows of W and dW may
be padded, which is left as it is.
"""
from numba import prange

from .._numba.blas import multiply
from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES, load_within, store_within

_SIDE = 256          # of a block, at most: of a product that is one call of BLAS
_PLENTY = 4          # blocks of twice that, which are then preferred: BLAS copies the matrices for every block
_ALONE = 2**19       # multiplications that are not worth waking the threads for
_LIGHT = 2**20       # for as many BLAS does not copy the matrices first
_VECTOR = (0, 0)     # the width of a strip of one vector, in halves


@kernel
def _product_block(A, transpose_A, B, transpose_B, b, C, rows, columns):
    part_A = A[:, rows] if transpose_A else A[rows, :]
    part_B = B[columns, :] if transpose_B else B[:, columns]
    part_C = C[rows, columns]
    if b.size:
        _fill(part_C, b[columns])
    multiply(part_A, transpose_A, part_B, transpose_B, 1 if b.size else 0, part_C)


@kernel
def _fill(C, b):
    """C = b in every row."""
    row = b.reshape(1, b.size)
    for i in range(C.shape[0]):
        for k in range(0, b.size, BYTES // b.itemsize):
            store_within(C, i, k, load_within(row, 0, k, _VECTOR))


@parallel_kernel
def product(A, transpose_A, B, transpose_B, b, C):
    """C = op(A) op(B) + b, where op transposes if told to: z = x W + b, dW = xᵀ delta, dx = delta Wᵀ.

    The blocks of C, which may be computed at the same time, follow from the shapes alone, and so do the bits.
    """
    N, depth = C.shape[0], A.shape[0] if transpose_A else A.shape[1]
    H = min(C.shape[1], B.shape[0] if transpose_B else B.shape[1])
    down, across = _count_blocks(N, H, depth)
    if down * across == 1:
        _product_block(A, transpose_A, B, transpose_B, b, C, slice(0, N), slice(0, H))
    else:
        for task in prange(down * across):
            rows, columns = _part(task // across, down, N), _part(task % across, across, H)
            _product_block(A, transpose_A, B, transpose_B, b, C, rows, columns)


@kernel
def _count_blocks(N, H, depth):
    """Return in how many blocks, down and across, N rows of H sums of so many products are shared out.

    Where there are several, their number is even, so that threads get as many as each other.
    """
    work = N * H * depth
    if work <= _ALONE:
        return 1, 1
    down, across = _count_parts(N, 2 * _SIDE), _count_parts(H, 2 * _SIDE)
    if down * across < _PLENTY:
        down, across = _count_parts(N, _SIDE), _count_parts(H, _SIDE)
    if down > 1:
        return down + down % 2, across
    if across > 1:
        return 1, across + across % 2
    if 2 * _LIGHT < work <= 4 * _LIGHT:
        return min(2, N), min(2, H)
    return (2, 1) if N >= H else (1, 2)


@kernel
def _count_parts(count, most):
    """Return in how many parts of at most so many things ``count`` of them come."""
    return (count + most - 1) // most


@kernel
def _part(t, parts, count):
    """Return the t-th of so many parts of ``count`` things, a slice."""
    return slice(t * count // parts, (t + 1) * count // parts)


@kernel
def bias_gradient(delta, db):
    """db = the sum of delta's rows."""
    db[:] = 0
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            db[k] += delta[i, k]
