"""The affine map z = x W + b and its weight gradient, for rows with many zeros, which are left out.

Rows without their zeros are three arrays: row i has the columns ``indices[p]`` and the values ``values[p]`` for
``cuts[i, 0] <= p < cuts[i, -1]``, in ascending order; those between ``cuts[i, c]`` and ``cuts[i, c + 1]`` lie in the c-th block
of ``width`` columns. A batch is the list ``rows`` of its rows' numbers.

Shapes: b (H,) or (0,), z and delta (N, H). W and dW are (D, H), their rows padded with zeros to whole vectors; those shorter
than one vector are as they are.
"""
import numpy as np
from numba import prange

from .._jit import kernel, parallel_kernel
from .._simd import BYTES, add_scaled, count_bits, keep_rolled, load, lowest_bit, nonzero, prefetch, store

_AHEAD = 3         # rows
_TASKS = 8         # or a multiple, so that they are shared out evenly
_MOST_ROWS = 128   # of one task
_WIDEST = 4        # vectors of a strip
_WHOLE = 7         # vectors of a row that is one strip in the forward product: with two registers each, all that AVX has
_TILE = 14         # blocks of columns at a time, times the vectors of a strip: of W there most stays in the nearest cache

# ---- entries of rows ahead ------------------------------------------------------------------------------------------
#
# The rows of a batch lie anywhere in the matrix: the processor, which cannot know where, would wait for the memory at every one.

@kernel
def _prefetch(cuts, indices, values, row, block, end):
    """Ask for the first and the last of a row's entries in the blocks of columns from ``block`` on, before ``end``."""
    first, last = cuts[row, block], cuts[row, end]
    prefetch(indices, first)
    prefetch(values, first)
    prefetch(indices, last - 1)
    prefetch(values, last - 1)


# ---- sums of rows ---------------------------------------------------------------------------------------------------

# The widths of strips in vectors.
_1, _2, _3, _4, _5, _6, _7 = ((0,) * width for width in range(1, 8))


@kernel
def _add_strip(indices, values, first, last, M, k, out, i, width):
    """out[i, strip] += sum_p values[p] M[indices[p], strip], where the strip begins at k: in registers over all p."""
    sums = load(out, i, k, width)
    for p in range(np.uint64(first), np.uint64(last)):    # a signed p would be looked at for being negative
        keep_rolled()
        sums = add_scaled(sums, values[p], load(M, indices[p], k, width))
    store(out, i, k, sums)


@kernel
def _add_rows(indices, values, first, last, M, k, vectors, out, i):
    """out[i, strip] += sum over first <= p < last of values[p] M[indices[p], strip], for a strip of so many vectors at k.

    Rows shorter than a vector, of which ``vectors`` is 0, are summed up number by number.
    """
    if vectors == 7:
        _add_strip(indices, values, first, last, M, k, out, i, _7)
    elif vectors == 6:
        _add_strip(indices, values, first, last, M, k, out, i, _6)
    elif vectors == 5:
        _add_strip(indices, values, first, last, M, k, out, i, _5)
    elif vectors == 4:
        _add_strip(indices, values, first, last, M, k, out, i, _4)
    elif vectors == 3:
        _add_strip(indices, values, first, last, M, k, out, i, _3)
    elif vectors == 2:
        _add_strip(indices, values, first, last, M, k, out, i, _2)
    elif vectors == 1:
        _add_strip(indices, values, first, last, M, k, out, i, _1)
    else:
        for p in range(first, last):
            v, row = values[p], indices[p]
            for j in range(M.shape[1]):
                out[i, j] += v * M[row, j]


@kernel
def _strips(M):
    """Return in how many strips, as wide as each other or a vector less, the rows of M are worked on."""
    return max(1, (M.shape[1] * M.itemsize // BYTES + _WIDEST - 1) // _WIDEST)


@kernel
def _strip(M, strips, s):
    """Return where the s-th of so many strips begins, and how many vectors it has."""
    vectors = M.shape[1] * M.itemsize // BYTES
    first = s * vectors // strips
    return first * BYTES // M.itemsize, (s + 1) * vectors // strips - first


# ---- leaving out the zeros ------------------------------------------------------------------------------------------

@kernel
def _compress_row(X, i, first, last, indices, values, place):
    """Write the columns and the values of X[i, first:last] that are not 0 from ``place`` on; return where they end."""
    one = np.uint64(1)    # signed numbers would be looked at for being negative
    whole = first + (last - first) // 64 * 64
    for k in range(first, whole, 64):
        bits = nonzero(X, i, k)
        while bits:
            column = np.uint64(k) + lowest_bit(bits)
            indices[place], values[place] = column, X[i, column]
            place += one
            bits &= bits - one
    for column in range(np.uint64(whole), np.uint64(last)):
        if X[i, column] != 0:
            indices[place], values[place] = column, X[i, column]
            place += one
    return place


@kernel
def count_entries(X):
    """Return how many numbers of X are not 0."""
    (N, D), count = X.shape, 0
    for i in range(N):
        for k in range(0, D // 64 * 64, 64):
            count += count_bits(nonzero(X, i, k))
        for column in range(D // 64 * 64, D):
            count += X[i, column] != 0
    return count


@kernel
def block_width(D):
    """Return how many of D columns a block has: whole cache lines, and so many that there are at most 16 blocks."""
    return (D + 16 * 64 - 1) // (16 * 64) * 64


@kernel
def compress(X, place, cuts, indices, values):
    """Write the rows of X without their zeros, one after the other from ``place`` on, and their ``cuts``."""
    N, D = X.shape
    width = block_width(D)
    place = np.uint64(place)
    for i in range(N):
        cuts[i, 0] = place
        for c in range(cuts.shape[1] - 1):
            place = _compress_row(X, i, c * width, min(D, (c + 1) * width), indices, values, place)
            cuts[i, c + 1] = place


# ---- forward --------------------------------------------------------------------------------------------------------

@kernel
def _forward(cuts, indices, values, rows, first, last, W, b, z):
    """z[first:last] = x W + b, a strip of W's blocks of columns at a time; the sums have padded rows, too."""
    sums = np.empty((last - first, W.shape[1]), W.dtype)
    for i in range(last - first):
        for k in range(W.shape[1]):
            sums[i, k] = b[k] if k < b.size else 0
    strips = 1 if W.shape[1] * W.itemsize <= _WHOLE * BYTES else _strips(W)
    blocks, together = cuts.shape[1] - 1, _TILE // max(1, _strip(W, strips, strips - 1)[1])
    for block in range(0, blocks, together):
        end = min(blocks, block + together)
        for s in range(strips):
            k, vectors = _strip(W, strips, s)
            for i in range(first, last):
                if s == 0 and i + _AHEAD < last:
                    _prefetch(cuts, indices, values, rows[i + _AHEAD], block, end)
                _add_rows(indices, values, cuts[rows[i], block], cuts[rows[i], end], W, k, vectors, sums, i - first)
    for i in range(first, last):
        for k in range(z.shape[1]):
            z[i, k] = sums[i - first, k]


@kernel
def _rows_of_a_task(N):
    tasks = (N + _TASKS * _MOST_ROWS - 1) // (_TASKS * _MOST_ROWS) * _TASKS
    return (N + tasks - 1) // tasks


@parallel_kernel
def forward(cuts, indices, values, rows, W, b, z):
    """z = x W + b, where row i of x is the row ``rows[i]`` without its zeros."""
    N = rows.size
    height = _rows_of_a_task(N)
    for task in prange((N + height - 1) // height):
        _forward(cuts, indices, values, rows, task * height, min(N, (task + 1) * height), W, b, z)


@kernel
def _forward_skipping(X, first, last, W, b, z):
    N, D = last - first, X.shape[1]
    cuts = np.empty((N, (D - 1) // block_width(D) + 2), np.int64)
    indices, values = np.empty(N * D, np.int32), np.empty(N * D, z.dtype)
    compress(X[first:last], 0, cuts, indices, values)
    _forward(cuts, indices, values, np.arange(N), 0, N, W, b, z[first:last])
    unsound = 0
    for p in range(cuts[N - 1, -1]):
        unsound += values[p] - values[p] != 0
    return unsound


@parallel_kernel
def forward_skipping(X, W, b, z):
    """z = X W + b for rows of any dtype as they are, read once; return how many numbers are not finite in z's dtype."""
    N = X.shape[0]
    if N <= _MOST_ROWS:
        return _forward_skipping(X, 0, N, W, b, z)
    height, unsound = _rows_of_a_task(N), 0
    for task in prange((N + height - 1) // height):
        unsound += _forward_skipping(X, task * height, min(N, (task + 1) * height), W, b, z)
    return unsound


# ---- weight gradient ------------------------------------------------------------------------------------------------

@kernel
def _spread_strip(indices, values, first, last, delta, i, k, dW, width):
    """dW[indices[p], strip] += values[p] delta[i, strip] for first <= p < last, where the strip begins at k."""
    share = load(delta, i, k, width)
    for p in range(np.uint64(first), np.uint64(last)):
        keep_rolled()
        column = indices[p]
        store(dW, column, k, add_scaled(load(dW, column, k, width), values[p], share))


@kernel
def _spread_row(indices, values, first, last, delta, i, k, vectors, dW):
    """dW[indices[p], strip] += values[p] delta[i, strip] for first <= p < last, for a strip of so many vectors at k.

    Rows shorter than a vector, of which ``vectors`` is 0, are spread number by number.
    """
    if vectors == 4:
        _spread_strip(indices, values, first, last, delta, i, k, dW, _4)
    elif vectors == 3:
        _spread_strip(indices, values, first, last, delta, i, k, dW, _3)
    elif vectors == 2:
        _spread_strip(indices, values, first, last, delta, i, k, dW, _2)
    elif vectors == 1:
        _spread_strip(indices, values, first, last, delta, i, k, dW, _1)
    else:
        for p in range(first, last):
            for j in range(dW.shape[1]):
                dW[indices[p], j] += values[p] * delta[i, j]


@kernel
def _gradient_of_block(cuts, indices, values, rows, delta, block, first, last, dW):
    dW[first:last] = 0
    strips = _strips(dW)
    for s in range(strips):
        k, vectors = _strip(dW, strips, s)
        for i in range(rows.size):
            if s == 0 and i + _AHEAD < rows.size:
                _prefetch(cuts, indices, values, rows[i + _AHEAD], block, block + 1)
            _spread_row(indices, values, cuts[rows[i], block], cuts[rows[i], block + 1], delta, i, k, vectors, dW)


@parallel_kernel
def weight_gradient(cuts, indices, values, rows, delta, padded, dW):
    """dW = xᵀ delta: every entry of x adds a row of delta to a row of dW.

    A block of columns, and so of dW's rows, belongs to one task, of which a strip stays in the nearest cache. ``padded`` is
    overwritten; it has zeros where its rows are wider than delta's.
    """
    D, blocks = dW.shape[0], cuts.shape[1] - 1
    width = block_width(D)
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            padded[i, k] = delta[i, k]
    # A task takes every _TASKS-th block, since those in the middle of an image have the most entries.
    for task in prange(_TASKS):
        for block in range(np.int64(task), blocks, _TASKS):
            _gradient_of_block(cuts, indices, values, rows, padded, block, block * width, min(D, (block + 1) * width), dW)
