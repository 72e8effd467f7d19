"""The products of sparse batches: z = x W + b, and the weight gradient dW = xᵀ delta.

Forward, a row of z gathers rows of W: its sums stay in registers while the row's nonzeros of one block are
read. The weight gradient scatters rows of delta to rows of dW, block by block; or it is the product of the
transposed batch and delta, which pays where a transpose is used again and again, or delta is wide. Both add
the same numbers in the same order.

A row of W is worked on in *strips* of up to six and a half vectors, which is what fits into registers. Widths
of strips are in half vectors, and known at compile time: there is a loop for each of them.
"""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..._numba.simd import BYTES, add_scaled, load, load_within, no_unroll, prefetch, store, store_within
from .._chunks import _count_chunks, _fraction
from .format import (
    _PREFETCH_DENSE_ROWS,
    _PREFETCH_ROWS,
    SLACK,
    _compress_row,
    _has_nonfinite,
    block_width,
)
from .partition import (
    _blocks_for_task,
    _blocks_of_half,
    _chunks_per_half,
    _count_row_chunks,
    _halves,
    _rows_in_phase,
)

_L2_BYTES = 2**18           # of the sums of one chunk of rows, which stay in L2
_CHUNK_ROWS = 128           # rows of a chunk, however wide they are
_SERIAL_BELOW_ROWS = 17     # dense rows that one thread is faster for


# ---- strips ------------------------------------------------------------------------------------------------

_HALF_VECTOR = BYTES // 2
_STRIP_VECTORS = 6    # of a strip, at most; the last strip of a row may have half a vector more

# Widths of strips, in half vectors.
_2, _4, _6, _8, _10, _12, _13 = ((0,) * half_vectors for half_vectors in (2, 4, 6, 8, 10, 12, 13))


@kernel
def _count_half_vectors(W, H):
    """Return how many half vectors H numbers of a row of W take, or 0 where the rows of W are shorter than a
    vector.

    The number is made even, unless every strip has 12 half vectors and the last one has the odd one, too.
    """
    lanes = _HALF_VECTOR // W.itemsize
    if W.shape[1] < 2 * lanes:
        return 0
    half_vectors = _count_chunks(H, lanes)
    return half_vectors if half_vectors > 12 and half_vectors % 12 == 1 else half_vectors + half_vectors % 2


@kernel
def _count_strips(half_vectors):
    """Return in how many strips a row is worked on. Their widths differ by a vector at most."""
    return max(1, _count_chunks(half_vectors // 2, _STRIP_VECTORS))


@kernel
def _strip(half_vectors, strips, s):
    """Return at which vector strip s begins, and its width; an odd half vector belongs to the last strip."""
    first, last = _fraction(s, strips, half_vectors // 2)
    return first, 2 * (last - first) + (half_vectors % 2 if s == strips - 1 else 0)


# ---- gather: z = x W + b -----------------------------------------------------------------------------------

@kernel
def _gather_add_strip(extents, indices, data, W, k, initial, step, sums, width):
    """sums[i, strip] = initial[i step, strip] + sum of data[p] W[indices[p], strip], where the strip begins
    at column k.

    ``extents`` is of one block. A row's sums stay in registers. Places are unsigned: a signed index would be
    tested for being negative.
    """
    for i in range(extents.shape[0]):
        strip = load_within(initial, i * step, k, width)
        for p in range(np.uint64(extents[i, 0]), np.uint64(extents[i, 1])):
            no_unroll()
            strip = add_scaled(strip, data[p], load(W, indices[p], k, width))
        store_within(sums, i, k, strip)


@kernel
def _gather_add_short(extents, indices, data, W, k, initial, step, sums):
    """`_gather_add_strip` for rows of W shorter than a vector."""
    for i in range(extents.shape[0]):
        row = load_within(initial, i * step, k, _2)
        for p in range(np.uint64(extents[i, 0]), np.uint64(extents[i, 1])):
            no_unroll()
            row = add_scaled(row, data[p], load_within(W, indices[p], k, _2))
        store_within(sums, i, k, row)


@kernel
def _gather_add_block(extents, indices, data, W, k, initial, step, sums, width):
    """`_gather_add_strip` for a strip of this width, or for rows of W shorter than a vector, of width 0.

    One ladder of widths for gather and scatter, given the strip kernel and a tuple of arguments, would add
    3 % to the time of compilation.
    """
    if width == 13:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _13)
    elif width == 12:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _12)
    elif width == 10:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _10)
    elif width == 8:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _8)
    elif width == 6:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _6)
    elif width == 4:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _4)
    elif width == 2:
        _gather_add_strip(extents, indices, data, W, k, initial, step, sums, _2)
    else:
        _gather_add_short(extents, indices, data, W, k, initial, step, sums)


@kernel
def _product(extents, indices, data, W, H, initial, step, z):
    """z[i] = initial[i step] + x[i] W, block by block and strip by strip; ``step`` 0 begins every row with
    initial[0].

    Where the rows of z end within a half vector, the sums are kept in longer rows until the last block.
    """
    blocks = extents.shape[0]
    half_vectors = _count_half_vectors(W, H)
    strips = _count_strips(half_vectors)
    whole = z.shape[1] == W.shape[1] or z.shape[1] * z.itemsize == half_vectors * _HALF_VECTOR
    between = z if whole else np.empty((z.shape[0], W.shape[1]), W.dtype)
    for c in range(blocks):
        sums = z if c == blocks - 1 else between
        for s in range(strips):
            vector, width = _strip(half_vectors, strips, s)
            k = vector * BYTES // W.itemsize
            _gather_add_block(extents[c], indices, data, W, k, initial, step, sums, width)
        initial, step = sums, 1


@parallel_kernel
def product(extents, indices, data, split, W, H, b, z):
    """z = x W + b for the batch x; for the transposed batch and W = delta, padded, z is dW.

    W: (D, H) or padded; b: (H,) or (0,); z: (N, H) or padded, overwritten. The padding of z becomes 0 or is
    left as it is.
    """
    N, blocks = z.shape[0], extents.shape[0]
    halves = 2 if split else 1
    most = max(_CHUNK_ROWS, _L2_BYTES // (W.shape[1] * W.itemsize))
    chunks = _chunks_per_half(_count_row_chunks(N, most), halves)
    biases = b.reshape(1, b.size)
    for phase in range(halves):
        for t in prange(halves * chunks):
            first, last = _rows_in_phase(phase, np.int64(t), halves, chunks, N)
            begin, end = _blocks_of_half(np.int64(t) // chunks, halves, split, blocks)
            initial = z[first:last] if phase else biases
            _product(extents[begin:end, first:last], indices, data, W, H, initial, phase, z[first:last])


@kernel
def _product_from_dense(X, first, last, W, b, z):
    """z[first:last] = X[first:last] W + b, by way of a batch in which every block has room for all its
    numbers.
    """
    N, D = last - first, X.shape[1]
    width = block_width(D)
    blocks = _count_chunks(D, width)
    extents = np.empty((blocks, N, 2), np.int64)
    room = N * width + SLACK
    indices, data = np.empty(blocks * room, np.int32), np.empty(blocks * room, z.dtype)
    for i in range(N):
        row, next_row = first + i, first + i + _PREFETCH_DENSE_ROWS
        for c in range(blocks):
            offset = extents[c, i - 1, 1] if i else c * room
            extents[c, i, 0] = offset
            end = min(D, (c + 1) * width)
            extents[c, i, 1] = _compress_row(X, row, next_row, c * width, end, indices, data, offset)
    _product(extents, indices, data, W, z.shape[1], b.reshape(1, b.size), 0, z[first:last])
    found = False
    for c in range(blocks):
        found |= _has_nonfinite(data, extents[c, 0, 0], extents[c, N - 1, 1], data)
    return found


@parallel_kernel
def product_from_dense(X, W, b, z):
    """z = X W + b for dense rows of any dtype, (N, D), whose zeros are left out on the way; each row is read
    once.

    Returns whether a number of X is not finite in z's dtype.
    """
    N = X.shape[0]
    if N < _SERIAL_BELOW_ROWS:
        return _product_from_dense(X, 0, N, W, b, z)
    chunks, found = _count_row_chunks(N, _CHUNK_ROWS), 0
    for k in prange(chunks):
        first, last = _fraction(k, chunks, N)
        found += _product_from_dense(X, first, last, W, b, z)
    return found > 0


# ---- scatter: dW = xᵀ delta --------------------------------------------------------------------------------

@kernel
def _prefetch_row(extents, i, indices, data):
    """Prefetch the first nonzeros of row i of a block, if there is one: a cache line of columns and three of
    numbers.
    """
    if i < extents.shape[0]:
        offset = extents[i, 0]
        prefetch(indices, offset)
        for line in range(3):
            prefetch(data, offset + line * BYTES // data.itemsize)


@kernel
def _scatter_add_strip(extents, indices, data, delta, k, dW, width):
    """dW[indices[p], strip] += data[p] delta[i, strip], where the strip begins at column k. ``extents`` is of
    one block.
    """
    for i in range(extents.shape[0]):
        _prefetch_row(extents, i + _PREFETCH_ROWS, indices, data)
        strip = load_within(delta, i, k, width)
        for p in range(np.uint64(extents[i, 0]), np.uint64(extents[i, 1])):
            no_unroll()
            store(dW, indices[p], k, add_scaled(load(dW, indices[p], k, width), data[p], strip))


@kernel
def _scatter_add_short(extents, indices, data, delta, k, dW):
    """`_scatter_add_strip` for rows of dW shorter than a vector, a number at a time."""
    for i in range(extents.shape[0]):
        for p in range(extents[i, 0], extents[i, 1]):
            for j in range(dW.shape[1]):
                dW[indices[p], j] += data[p] * delta[i, j]


@kernel
def _scatter_add_block(extents, indices, data, delta, k, dW, width):
    """`_scatter_add_strip` for a strip of this width, or for rows of dW shorter than a vector, of width 0."""
    if width == 13:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _13)
    elif width == 12:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _12)
    elif width == 10:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _10)
    elif width == 8:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _8)
    elif width == 6:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _6)
    elif width == 4:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _4)
    elif width == 2:
        _scatter_add_strip(extents, indices, data, delta, k, dW, _2)
    else:
        _scatter_add_short(extents, indices, data, delta, k, dW)


@parallel_kernel
def weight_gradient(extents, indices, data, split, delta, H, dW):
    """dW = xᵀ delta for the batch x (N, D), delta (N, H). dW is (D, H) or padded with zeros, and overwritten.

    A task has some blocks of one half. A block's rows of dW stay in L1, strip by strip, while all rows of x
    stream past.
    """
    D, blocks = dW.shape[0], extents.shape[0]
    columns, half_vectors = block_width(D), _count_half_vectors(dW, H)
    strips = _count_strips(half_vectors)
    halves, tasks = _halves(split)
    for t in prange(halves * tasks):
        for c in _blocks_for_task(np.int64(t), halves, tasks, split, blocks):
            dW[c * columns:min(D, (c + 1) * columns)] = 0
            for s in range(strips):
                vector, width = _strip(half_vectors, strips, s)
                k = vector * BYTES // dW.itemsize
                _scatter_add_block(extents[c], indices, data, delta, k, dW, width)
