"""The affine map z = x W + b and its weight gradient, for rows with many zeros, which are left out.

Rows without their zeros are three arrays: row i has the columns ``indices[p]`` and the values ``values[p]`` for
``cuts[i, 0] <= p < cuts[i, -1]``, in ascending order; those between ``cuts[i, c]`` and ``cuts[i, c + 1]`` lie in the c-th block
of ``width`` columns. A batch is the list ``rows`` of its rows' numbers. Shapes: W (D, H), b (H,) or (0,), z and delta (N, H).
"""
import numpy as np
from numba import prange

from .._jit import kernel, parallel_kernel
from .._simd import BYTES, count_bits, fma, load, lowest_bit, nonzero, splat, store

_TASKS = 8         # at least, so that a small batch is shared evenly
_MOST_ROWS = 64    # of one task

# ---- sums of rows ---------------------------------------------------------------------------------------------------


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
def _strip_of_1(indices, values, first, last, M, k, out, i):
    """Return out[i, k:k + 1 vector] + the same strip of sum_p values[p] M[indices[p]].

    Every other p is summed up apart: a sum waits for the one before it, and one vector gives too few to wait for.
    """
    s, t = load(out, i, k), splat(M.dtype.type(0))
    for p in range(first, last - 1, 2):
        s = fma(splat(values[p]), load(M, indices[p], k), s)
        t = fma(splat(values[p + 1]), load(M, indices[p + 1], k), t)
    if (last - first) % 2:
        s = fma(splat(values[last - 1]), load(M, indices[last - 1], k), s)
    return fma(splat(M.dtype.type(1)), t, s)


@kernel
def _set_strip_of_1(indices, values, first, last, M, k, out, i):
    """out[i, k:k + 1 vector] = the same strip of sum_p values[p] M[indices[p]]."""
    store(out, i, k, splat(M.dtype.type(0)))
    store(out, i, k, _strip_of_1(indices, values, first, last, M, k, out, i))


@kernel
def _add_narrow_rows(indices, values, first, last, M, out, i):
    """out[i] += sum_p values[p] M[indices[p]], for rows that are narrower than a vector."""
    for p in range(first, last):
        v, row = values[p], indices[p]
        for k in range(out.shape[1]):
            out[i, k] += v * M[row, k]


@kernel
def _add_rows(indices, values, first, last, M, out, i):
    """out[i] += sum over first <= p < last of values[p] M[indices[p]].

    The last vector may lie over the strip before it. It is summed up first, stored last, and holds where they meet.
    """
    H, L = out.shape[1], BYTES // M.itemsize
    if H < L:
        _add_narrow_rows(indices, values, first, last, M, out, i)
        return
    by_6 = H // (6 * L) * 6 * L
    by_2 = by_6 + (H - by_6) // (2 * L) * 2 * L
    end = H - L
    tail = _strip_of_1(indices, values, first, last, M, end, out, i) if by_2 < H else load(out, i, end)
    for k in range(0, by_6, 6 * L):
        _strip_of_6(indices, values, first, last, M, k, out, i)
    for k in range(by_6, by_2, 2 * L):
        _strip_of_2(indices, values, first, last, M, k, out, i)
    if by_2 < end:
        store(out, i, by_2, _strip_of_1(indices, values, first, last, M, by_2, out, i))
    if by_2 < H:
        store(out, i, end, tail)


# ---- leaving out the zeros ------------------------------------------------------------------------------------------

@kernel
def _compress_row(X, i, first, last, indices, values, place):
    """Write the columns and the values of X[i, first:last] that are not 0 from ``place`` on; return where they end."""
    lanes = BYTES // X.itemsize
    whole = first + (last - first) // lanes * lanes
    for k in range(first, whole, lanes):
        bits = nonzero(X, i, k)
        while bits:
            column = k + lowest_bit(bits)
            indices[place], values[place] = column, X[i, column]
            place += 1
            bits &= bits - np.uint64(1)
    for column in range(whole, last):
        if X[i, column] != 0:
            indices[place], values[place] = column, X[i, column]
            place += 1
    return place


@kernel
def count_entries(X, counts):
    """counts[i] = how many numbers of X[i] are not 0."""
    N, D = X.shape
    lanes = BYTES // X.itemsize
    for i in range(N):
        count = 0
        for k in range(0, D // lanes * lanes, lanes):
            count += count_bits(nonzero(X, i, k))
        for column in range(D // lanes * lanes, D):
            count += X[i, column] != 0
        counts[i] = count


@kernel
def compress(X, width, cuts, indices, values):
    """Write the rows of X without their zeros. ``cuts[:, 0]`` is given; the other cuts, indices and values are written."""
    N, D = X.shape
    for i in range(N):
        for c in range(cuts.shape[1] - 1):
            cuts[i, c + 1] = _compress_row(X, i, min(D, c * width), min(D, (c + 1) * width), indices, values, cuts[i, c])


# ---- forward --------------------------------------------------------------------------------------------------------

@kernel
def _begin_with_bias(b, z, i):
    for k in range(z.shape[1]):
        z[i, k] = b[k] if b.size else 0


@parallel_kernel
def forward(cuts, indices, values, rows, W, b, z):
    """z = x W + b, where row i of x is the row ``rows[i]`` without its zeros."""
    N = rows.size
    height = min(_MOST_ROWS, (N + _TASKS - 1) // _TASKS)
    for task in prange((N + height - 1) // height):
        for i in range(task * height, min(N, (task + 1) * height)):
            _begin_with_bias(b, z, i)
            _add_rows(indices, values, cuts[rows[i], 0], cuts[rows[i], -1], W, z, i)


@kernel
def _forward_skipping(X, first, last, W, b, z):
    D = X.shape[1]
    indices, values = np.empty(D, np.int32), np.empty(D, z.dtype)
    unsound = 0
    for i in range(first, last):
        count = _compress_row(X, i, 0, D, indices, values, 0)
        _begin_with_bias(b, z, i)
        _add_rows(indices, values, 0, count, W, z, i)
        for p in range(count):
            unsound += values[p] - values[p] != 0
    return unsound


@parallel_kernel
def forward_skipping(X, W, b, z):
    """z = X W + b for rows of any dtype as they are, read once; return how many numbers are not finite in z's dtype."""
    N = X.shape[0]
    if N <= _MOST_ROWS:
        return _forward_skipping(X, 0, N, W, b, z)
    unsound = 0
    for task in prange((N + _MOST_ROWS - 1) // _MOST_ROWS):
        unsound += _forward_skipping(X, task * _MOST_ROWS, min(N, (task + 1) * _MOST_ROWS), W, b, z)
    return unsound


# ---- weight gradient ------------------------------------------------------------------------------------------------

# A task takes every _TASKS-th block of columns, since those in the middle of an image have the most entries.

@kernel
def _transpose(cuts, indices, values, rows, block, width, place, ends, row_of, value_of):
    """List the batch's entries in a block column by column, from ``place`` on; ``ends[column]`` is where a list ends."""
    first, last = block * width, min(ends.size, (block + 1) * width)
    ends[first:last] = 0
    for i in range(rows.size):
        for p in range(cuts[rows[i], block], cuts[rows[i], block + 1]):
            ends[indices[p]] += 1
    for column in range(first, last):
        count = ends[column]
        ends[column] = place
        place += count
    for i in range(rows.size):
        for p in range(cuts[rows[i], block], cuts[rows[i], block + 1]):
            column = indices[p]
            row_of[ends[column]], value_of[ends[column]] = i, values[p]
            ends[column] += 1


@kernel
def _entries_before(cuts, rows, block):
    """Return how many entries the batch has in the blocks before this one."""
    count = 0
    for i in range(rows.size):
        count += cuts[rows[i], block] - cuts[rows[i], 0]
    return count


@kernel
def _gradient_of_block(delta, first, last, start, ends, row_of, value_of, dW):
    """Rows ``first`` to ``last`` of dW from the lists of their columns, the first of which begins at ``start``.

    Two vectors of width at a time, of which a batch's deltas fit into the nearest cache. The last vector may lie over others,
    which are summed up a second time.
    """
    H, L = dW.shape[1], BYTES // dW.itemsize
    dW[first:last] = 0
    by_2 = H // (2 * L) * 2 * L
    for k in range(0, by_2, 2 * L):
        begin = start
        for column in range(first, last):
            _strip_of_2(row_of, value_of, begin, ends[column], delta, k, dW, column)
            begin = ends[column]
    for k in range(by_2, H, L):
        begin = start
        for column in range(first, last):
            if H < L:
                _add_narrow_rows(row_of, value_of, begin, ends[column], delta, dW, column)
            else:
                _set_strip_of_1(row_of, value_of, begin, ends[column], delta, min(k, H - L), dW, column)
            begin = ends[column]


@parallel_kernel
def weight_gradient(cuts, width, indices, values, rows, delta, ends, row_of, value_of, dW):
    """dW = xᵀ delta, a row of dW at a time from the list of the batch's entries in that column of x.

    The lists are made here, in ``ends`` (D,), ``row_of`` and ``value_of`` (as many as the batch has entries), which are
    overwritten. A block of columns, and so of dW's rows, belongs to one task.
    """
    D, blocks = dW.shape[0], cuts.shape[1] - 1
    for task in prange(_TASKS):
        for block in range(np.int64(task), blocks, _TASKS):
            start = _entries_before(cuts, rows, block)
            _transpose(cuts, indices, values, rows, block, width, start, ends, row_of, value_of)
            _gradient_of_block(delta, block * width, min(D, (block + 1) * width), start, ends, row_of, value_of, dW)
