"""The affine map z = x W + b and its gradients, for dense rows.

The products are computed in tiles where the processor has whole registers (`_tiles`), the others by BLAS in
fixed blocks, each by one thread.

Shapes: x (N, D), W and dW (D, H), b (H,), z and delta (N, H). Without biases, ``b`` has the size 0. The rows
of W and dW may be padded; the padding is left as it is.
"""
from numba import prange

from .._numba.blas import multiply
from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES, load_within, store_within
from ._chunks import _count_chunks, _fraction
from ._tiles import _WIDTH, _count_tasks, _panels_of_task, _product_in_tiles, _rows_of_task, _takes

_BLOCK_SIDE = 256           # rows and columns of a block, at most: of a product that is one call of BLAS
_MIN_LARGE_BLOCKS = 4       # blocks of twice that, from which they are preferred: BLAS copies for every block
_SERIAL_MACS = 2**19        # multiplications up to which one thread is faster
_UNPACKED_MACS = 2**20      # multiplications up to which BLAS does not copy the matrices first
_VECTOR = (0, 0)            # the width of a strip of one vector, in half vectors


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

    Which tiles or blocks of C a thread computes does not change the bits: those of a tile follow from the
    order of the depth, and the blocks for BLAS from the shapes alone.
    """
    N, depth = C.shape[0], A.shape[0] if transpose_A else A.shape[1]
    H = min(C.shape[1], B.shape[0] if transpose_B else B.shape[1])
    if _takes(N, H, depth, C.itemsize):
        down, across = _count_tasks(N, H, depth, transpose_B, C.itemsize)
        lanes = _WIDTH // C.itemsize
        if down * across == 1:
            _product_in_tiles(A, transpose_A, B, transpose_B, b, C, 0, N, 0, H)
        else:
            for task in prange(down * across):
                first, last = _rows_of_task(task // across, down, N)
                k, end = _panels_of_task(task % across, across, H, lanes)
                _product_in_tiles(A, transpose_A, B, transpose_B, b, C, first, last, k, end)
        return
    down, across = _count_blocks(N, H, depth)
    if down * across == 1:
        _product_block(A, transpose_A, B, transpose_B, b, C, slice(0, N), slice(0, H))
    else:
        for task in prange(down * across):
            rows, columns = _part(task // across, down, N), _part(task % across, across, H)
            _product_block(A, transpose_A, B, transpose_B, b, C, rows, columns)


@kernel
def _count_blocks(N, H, depth):
    """Return into how many blocks, down and across, a product (N, depth) times (depth, H) is cut: 1, or an
    even number.
    """
    work = N * H * depth
    if work <= _SERIAL_MACS:
        return 1, 1
    down, across = _count_chunks(N, 2 * _BLOCK_SIDE), _count_chunks(H, 2 * _BLOCK_SIDE)
    if down * across < _MIN_LARGE_BLOCKS:
        down, across = _count_chunks(N, _BLOCK_SIDE), _count_chunks(H, _BLOCK_SIDE)
    if down > 1:
        return down + down % 2, across
    if across > 1:
        return 1, across + across % 2
    if 2 * _UNPACKED_MACS < work <= 4 * _UNPACKED_MACS:
        return min(2, N), min(2, H)
    return (2, 1) if N >= H else (1, 2)


@kernel
def _part(t, parts, n):
    """Return the t-th of ``parts`` nearly equal parts of n things, a slice."""
    first, last = _fraction(t, parts, n)
    return slice(first, last)


@kernel
def bias_gradient(delta, db):
    """db = the sum of delta's rows."""
    db[:] = 0
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            db[k] += delta[i, k]
