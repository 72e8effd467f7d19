"""The affine map z = x W + b and its gradients, for dense rows and for rows kept without their zeros.

Shapes: x (N, D), W (D, H), b (H,), z and delta (N, H). A layer without biases passes a ``b`` of size 0.

Dense products go to BLAS in fixed chunks of rows, one BLAS thread each. Sparse rows are three arrays: row i has the columns
``indices[p]`` and the values ``values[p]`` for ``cuts[i, 0] <= p < cuts[i, -1]``, in ascending order; between ``cuts[i, c]``
and ``cuts[i, c + 1]`` lie those of the c-th block of columns. A batch is the list ``rows`` of their numbers.
"""
import numpy as np
from numba import prange

from .._jit import ROWS, chunks, kernel, parallel_kernel
from .._simd import BYTES, fma, load, splat, store

# ---- dense rows -----------------------------------------------------------------------------------------------------


@kernel
def _dense_rows(x, W, b, z):
    np.dot(x, W, z)
    if b.size:
        for i in range(z.shape[0]):
            for k in range(z.shape[1]):
                z[i, k] += b[k]


@parallel_kernel
def dense_forward(x, W, b, z):
    """z = x W + b."""
    N = x.shape[0]
    if chunks(N) == 1:
        _dense_rows(x, W, b, z)
    else:
        for c in prange(chunks(N)):
            first, last = c * ROWS, min(N, (c + 1) * ROWS)
            _dense_rows(x[first:last], W, b, z[first:last])


@kernel
def dense_weight_gradient(x, delta, dW):
    """dW = xᵀ delta."""
    np.dot(x.T, delta, dW)


@parallel_kernel
def input_gradient(delta, W, dx):
    """dx = delta Wᵀ."""
    N = delta.shape[0]
    if chunks(N) == 1:
        np.dot(delta, W.T, dx)
    else:
        for c in prange(chunks(N)):
            first, last = c * ROWS, min(N, (c + 1) * ROWS)
            np.dot(delta[first:last], W.T, dx[first:last])


@kernel
def bias_gradient(delta, db):
    """db = the sum of delta's rows."""
    db[:] = 0
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            db[k] += delta[i, k]


# ---- sparse rows ----------------------------------------------------------------------------------------------------

_ROWS_A_TASK = 16    # small, so that a batch of 100 is shared evenly


@kernel
def _strip_of_6(indices, values, first, last, M, k, out, i):
    """out[i, k:k + 6 vectors] += the same strip of sum_p values[p] M[indices[p]], in registers over all p."""
    L = BYTES // M.itemsize
    k1, k2, k3, k4, k5 = k + L, k + 2 * L, k + 3 * L, k + 4 * L, k + 5 * L
    s0, s1, s2 = load(out, i, k), load(out, i, k1), load(out, i, k2)
    s3, s4, s5 = load(out, i, k3), load(out, i, k4), load(out, i, k5)
    for p in range(first, last):
        v, row = splat(values[p]), indices[p]
        s0, s1, s2 = fma(v, load(M, row, k), s0), fma(v, load(M, row, k1), s1), fma(v, load(M, row, k2), s2)
        s3, s4, s5 = fma(v, load(M, row, k3), s3), fma(v, load(M, row, k4), s4), fma(v, load(M, row, k5), s5)
    store(out, i, k, s0), store(out, i, k1, s1), store(out, i, k2, s2)
    store(out, i, k3, s3), store(out, i, k4, s4), store(out, i, k5, s5)


@kernel
def _strip_of_2(indices, values, first, last, M, k, out, i):
    """As `_strip_of_6`, for 2 vectors."""
    L = BYTES // M.itemsize
    s0, s1 = load(out, i, k), load(out, i, k + L)
    for p in range(first, last):
        v, row = splat(values[p]), indices[p]
        s0, s1 = fma(v, load(M, row, k), s0), fma(v, load(M, row, k + L), s1)
    store(out, i, k, s0), store(out, i, k + L, s1)


@kernel
def _add_rows(indices, values, first, last, M, out, i):
    """out[i] += sum over first <= p < last of values[p] M[indices[p]]."""
    H, L = out.shape[1], BYTES // M.itemsize
    by_6 = H // (6 * L) * 6 * L
    by_2 = by_6 + (H - by_6) // (2 * L) * 2 * L
    for k in range(0, by_6, 6 * L):
        _strip_of_6(indices, values, first, last, M, k, out, i)
    for k in range(by_6, by_2, 2 * L):
        _strip_of_2(indices, values, first, last, M, k, out, i)
    if by_2 < H:
        for p in range(first, last):
            v, row = values[p], indices[p]
            for k in range(by_2, H):
                out[i, k] += v * M[row, k]


@parallel_kernel
def sparse_forward(cuts, indices, values, rows, W, b, z):
    """z = x W + b, where row i of x is the sparse row ``rows[i]``."""
    N = rows.size
    for task in prange((N + _ROWS_A_TASK - 1) // _ROWS_A_TASK):
        for i in range(task * _ROWS_A_TASK, min(N, (task + 1) * _ROWS_A_TASK)):
            for k in range(z.shape[1]):
                z[i, k] = b[k] if b.size else 0
            _add_rows(indices, values, cuts[rows[i], 0], cuts[rows[i], -1], W, z, i)


@kernel
def _count(cuts, indices, rows, block, counts):
    """Count into ``counts`` the batch's entries in each column of one block of columns."""
    for i in range(rows.size):
        for p in range(cuts[rows[i], block], cuts[rows[i], block + 1]):
            counts[indices[p]] += 1


@kernel
def _transpose(cuts, indices, values, rows, block, ends, row_of, value_of):
    """List the batch's entries column by column; ``ends``, where each column's list begins, moves to where it ends."""
    for i in range(rows.size):
        for p in range(cuts[rows[i], block], cuts[rows[i], block + 1]):
            column = indices[p]
            place = ends[column]
            row_of[place] = i
            value_of[place] = values[p]
            ends[column] = place + 1


@parallel_kernel
def sparse_weight_gradient(cuts, indices, values, rows, delta, ends, row_of, value_of, dW):
    """dW = xᵀ delta, a row of dW at a time from the list of the batch's entries in that column of x.

    The lists are made here, in ``ends`` (D,), ``row_of`` and ``value_of`` (as many as the batch has entries), which are
    overwritten. A block of columns, and so of dW's rows, belongs to one thread.
    """
    D, blocks = dW.shape[0], cuts.shape[1] - 1
    width = (D + blocks - 1) // blocks
    for task in prange(blocks):
        block = np.int64(task)
        for column in range(block * width, min(D, (block + 1) * width)):
            ends[column] = 0
        _count(cuts, indices, rows, block, ends)
    place = 0
    for column in range(D):
        count = ends[column]
        ends[column] = place
        place += count
    for task in prange(blocks):
        block = np.int64(task)
        first = block * width
        start = ends[first] if first < D else 0
        _transpose(cuts, indices, values, rows, block, ends, row_of, value_of)
        for column in range(first, min(D, first + width)):
            for k in range(dW.shape[1]):
                dW[column, k] = 0
            _add_rows(row_of, value_of, start, ends[column], delta, dW, column)
            start = ends[column]
