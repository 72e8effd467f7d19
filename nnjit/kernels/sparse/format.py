"""The format of sparse batches: compressed rows in blocks of columns, how they are made, and their transpose.

A *batch* is (extents, indices, data), as `nnjit.kernels.sparse` describes it. A *matrix*, from which batches
of any rows are made, is plain CSR with the ends of the blocks marked: row i has in block c the places
``indptr[i, c] <= p < indptr[i, c + 1]``.

A batch is made in one of three ways:

- `gather_rows` copies the rows of a matrix one after the other, for a shuffled batch that is used once;
- `compress_rows` leaves out the zeros of dense rows, where every row is used once in all;
- `pack_blocks` puts together what a block has of all rows, so that memory is read in one direction, for a
  batch that is used in every epoch.

Arrays of indices and data are longer than their nonzeros by `SLACK`, because whole vectors are written.
"""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..._numba.simd import BYTES, HAS_COMPRESS, compress_store, lowest_bit, no_unroll, nonzero, prefetch
from ..._numba.tiles import load_tile, store_tile
from .._chunks import _count_chunks, _fraction
from .partition import _blocks_for_task, _blocks_of_half, _halves

SLACK = 64                  # numbers of room behind a block's nonzeros, and those of a part of a matrix
_PREFETCH_ROWS = 4          # sparse rows between a prefetch and its use: nothing else tells where a row lies
_PREFETCH_DENSE_ROWS = 2    # the same for dense rows, which are longer
_BLOCK_COLUMNS = 112        # columns of a block, unless there are too many: as many rows of W stay in L1
_MAX_BLOCKS = 16
_MASK_BITS = 64             # numbers that are compared with 0 at once, a bit each


@kernel
def block_width(D):
    """Return how many of D columns a block has. The number of blocks is 1 or even, so that both halves can
    have as many.
    """
    if D <= _BLOCK_COLUMNS:
        return D
    return _count_chunks(D, min(_MAX_BLOCKS, 2 * _count_chunks(D, 2 * _BLOCK_COLUMNS)))


# ---- from dense rows ---------------------------------------------------------------------------------------
#
# Counters of places are unsigned where they index: a signed index would be tested for being negative.

@kernel
def _compress_short(X, i, first, last, indices, data, offset):
    """As `_compress_row`, a number at a time."""
    for column in range(np.uint64(first), np.uint64(last)):
        if X[i, column] != 0:
            indices[offset], data[offset] = column, X[i, column]
            offset += np.uint64(1)
    return offset


@kernel
def _compress_bits(X, i, first, bits, indices, data, offset):
    """Write column first + j and its number for every bit j of ``bits`` that is 1; return the place behind
    them.
    """
    while bits:
        column = np.uint64(first) + lowest_bit(bits)
        indices[offset], data[offset] = column, X[i, column]
        offset += np.uint64(1)
        bits &= bits - np.uint64(1)
    return offset


@kernel
def _compress_row(X, i, next_row, first, last, indices, data, offset):
    """Write the columns and the numbers of X[i, first:last] that are not 0 from ``offset`` on; return where
    they end.

    Overwrites up to `SLACK` places behind the end, too. X[next_row] is prefetched.
    """
    offset = np.uint64(offset)
    if last < _MASK_BITS:
        return np.int64(_compress_short(X, i, first, last, indices, data, offset))
    for k in range(first, last, _MASK_BITS):
        begin = min(k, last - _MASK_BITS)    # the last 64 columns overlap those before them,
        done = np.uint64(k - begin)          # of which so many are done
        bits = nonzero(X, i, begin) >> done << done
        if HAS_COMPRESS:    # fast enough to wait for memory
            for column in range(begin, begin + _MASK_BITS, max(1, BYTES // X.itemsize)):
                prefetch(X, next_row * X.shape[1] + column)
            offset = np.uint64(compress_store(X, i, begin, bits, indices, data, offset))
        else:
            offset = _compress_bits(X, i, begin, bits, indices, data, offset)
    return np.int64(offset)


@kernel
def _has_nonfinite(data, first, last, like):
    """Return whether a number of data[first:last] is NaN or infinite in the dtype of the array ``like``."""
    T = like.dtype.type
    found = False    # one bit: an integer of 64 bits would be counted lane by lane
    for p in range(np.uint64(first), np.uint64(last)):
        x = T(data[p])
        found |= x - x != 0
    return found


@kernel
def has_nonfinite(data, first, last, like):
    """`_has_nonfinite` for Python to call."""
    return _has_nonfinite(data, first, last, like)


@kernel
def compress(X, offset, indptr, indices, data):
    """Write the rows of X, without their zeros, as the rows of a matrix from the place ``offset`` on.

    X: (N, D) of any dtype; indptr: (N, blocks + 1) int64, overwritten. Returns whether a number is not finite
    in data's dtype.
    """
    N, D = X.shape
    width, found = block_width(D), False
    for i in range(N):
        indptr[i, 0] = offset
        for c in range(indptr.shape[1] - 1):
            first, last = c * width, min(D, (c + 1) * width)
            offset = _compress_row(X, i, i + _PREFETCH_DENSE_ROWS, first, last, indices, data, offset)
            indptr[i, c + 1] = offset
        found |= _has_nonfinite(data, indptr[i, 0], offset, data)
    return found


@kernel
def block_indptr(row_indptr, columns, D, indptr):
    """Find where the blocks begin in the rows of a CSR matrix with D columns: from row_indptr (N + 1,) and
    the columns, ascending within a row, to indptr (N, blocks + 1), which is overwritten.
    """
    width = block_width(D)
    for i in range(indptr.shape[0]):
        p = row_indptr[i]
        for c in range(indptr.shape[1] - 1):
            indptr[i, c] = p
            while p < row_indptr[i + 1] and columns[p] < (c + 1) * width:
                p += 1
        indptr[i, -1] = p


# ---- batches -----------------------------------------------------------------------------------------------

@kernel
def _copy(source, first, last, target, offset):
    """target[offset:offset + last - first] = source[first:last]. Overwrites up to a vector behind that, too.
    """
    for p in range(first, last, BYTES // source.itemsize):
        store_tile(load_tile(source, p, 0, 1, BYTES), target, offset + p - first, 0)


@kernel
def _prefetch_indptr(indptr, row, blocks):
    """Prefetch where a row's blocks begin and end; the two numbers may lie in two cache lines."""
    for c in blocks:
        prefetch(indptr, row * indptr.shape[1] + c)


@kernel
def _prefetch_row(indptr, indices, data, row, blocks):
    """Prefetch every cache line of a row's nonzeros."""
    first, last = indptr[row, blocks[0]], indptr[row, blocks[1]]
    for p in range(first, last, BYTES // indices.itemsize):
        prefetch(indices, p)
    for p in range(first, last, BYTES // data.itemsize):
        prefetch(data, p)


@kernel
def _gather_task(matrix, rows, first, last, blocks, offset, batch):
    """`gather_rows` for the rows and blocks of one task, whose nonzeros go to ``offset`` and after."""
    indptr, indices, data = matrix
    extents, batch_indices, batch_data = batch
    for i in range(first, last):
        if i + _PREFETCH_ROWS < last:
            _prefetch_row(indptr, indices, data, rows[i + _PREFETCH_ROWS], blocks)
        if i + 2 * _PREFETCH_ROWS < last:
            _prefetch_indptr(indptr, rows[i + 2 * _PREFETCH_ROWS], blocks)
        row = indptr[rows[i]]
        begin, end = row[blocks[0]], row[blocks[1]]
        for c in range(blocks[0], blocks[1]):
            extents[c, i, 0], extents[c, i, 1] = row[c] - begin + offset, row[c + 1] - begin + offset
        _copy(indices, begin, end, batch_indices, offset)
        _copy(data, begin, end, batch_data, offset)
        offset += end - begin


@parallel_kernel
def gather_rows(indptr, indices, data, rows, split, extents, batch_indices, batch_data):
    """Make the batch of the rows with the numbers ``rows`` of a matrix. Overwrites the last three arrays.

    Each half of the columns has the same part of batch_indices and batch_data, with room for the longest rows
    of the matrix.
    """
    halves, tasks = _halves(split)
    for t in prange(halves * tasks):
        first, last, blocks, offset = _task(np.int64(t), halves, tasks, split, extents, batch_data)
        matrix, batch = (indptr, indices, data), (extents, batch_indices, batch_data)
        _gather_task(matrix, rows, first, last, blocks, offset, batch)


@kernel
def _task(t, halves, tasks, split, extents, data):
    """Return the rows of task t, first and last, its blocks, (first, last), and the place where its nonzeros
    begin.
    """
    blocks, N, _ = extents.shape
    half = t // tasks
    first, last = _fraction(t % tasks, tasks, N)
    offset = (half * N + first) * (data.size // (halves * N))
    return first, last, _blocks_of_half(half, halves, split, blocks), offset


@kernel
def _compress_task(X, rows, first, last, blocks, offset, extents, indices, data):
    """`compress_rows` for the rows and blocks of one task, whose nonzeros go to ``offset`` and after."""
    D = X.shape[1]
    width = block_width(D)
    for i in range(first, last):
        row, next_row = rows[i], rows[min(i + _PREFETCH_DENSE_ROWS, last - 1)]
        for c in range(blocks[0], blocks[1]):
            extents[c, i, 0] = offset
            end = min(D, (c + 1) * width)
            offset = _compress_row(X, row, next_row, c * width, end, indices, data, offset)
            extents[c, i, 1] = offset


@parallel_kernel
def compress_rows(X, rows, split, extents, indices, data):
    """Make the batch of the rows with the numbers ``rows`` of X (N, D), of any dtype, as `gather_rows` does
    of a matrix.
    """
    halves, tasks = _halves(split)
    for t in prange(halves * tasks):
        first, last, blocks, offset = _task(np.int64(t), halves, tasks, split, extents, data)
        _compress_task(X, rows, first, last, blocks, offset, extents, indices, data)


@kernel
def pack_blocks(indptr, indices, data, first, extents, batch_indices, batch_data):
    """Make the batch of a matrix's rows from ``first`` on, block after block. Overwrites the last three
    arrays.
    """
    blocks, N, _ = extents.shape
    offset = 0
    for c in range(blocks):
        for i in range(N):
            begin, end = indptr[first + i, c], indptr[first + i, c + 1]
            _copy(indices, begin, end, batch_indices, offset)
            _copy(data, begin, end, batch_data, offset)
            extents[c, i, 0], extents[c, i, 1] = offset, offset + end - begin
            offset += end - begin
        offset += SLACK


# ---- the transpose -----------------------------------------------------------------------------------------

@kernel
def _count_nonzeros(extents):
    """Return how many nonzeros some blocks have."""
    count = 0
    for c in range(extents.shape[0]):
        for i in range(extents.shape[1]):
            count += extents[c, i, 1] - extents[c, i, 0]
    return count


@kernel
def _count_by_column(extents, indices, columns, first, last, counts):
    """counts[k, 1] = the nonzeros of column k in the rows ``first`` to before ``last`` of one block."""
    for k in columns:
        no_unroll()
        counts[k, 1] = 0
    for i in range(first, last):
        for p in range(np.uint64(extents[i, 0]), np.uint64(extents[i, 1])):
            no_unroll()
            counts[indices[p], 1] += 1


@kernel
def _transpose_block(extents, indices, data, columns, first, last, offset, extents_t, indices_t, data_t):
    """Sort by column what the rows ``first`` to before ``last`` have in one block, from ``offset`` on; return
    the end.

    A counting sort: extents_t[k, 1] first counts column k, and is then the place of its next number.
    """
    _count_by_column(extents, indices, columns, first, last, extents_t)
    for k in columns:
        no_unroll()
        count = extents_t[k, 1]
        extents_t[k, 0] = extents_t[k, 1] = offset
        offset += count
    for i in range(first, last):
        for p in range(np.uint64(extents[i, 0]), np.uint64(extents[i, 1])):
            column = indices[p]
            target = np.uint64(extents_t[column, 1])
            indices_t[target], data_t[target] = i, data[p]
            extents_t[column, 1] = target + np.uint64(1)
    return offset


@parallel_kernel
def transpose(extents, indices, data, split, extents_t, indices_t, data_t):
    """Make the batch xᵀ of the batch x (N, D). Overwrites the last three arrays; extents_t is (row blocks, D,
    2).
    """
    blocks, N, _ = extents.shape
    D, width, height = extents_t.shape[1], block_width(extents_t.shape[1]), block_width(N)
    halves, tasks = _halves(split)
    for t in prange(halves * tasks):
        for c in _blocks_for_task(np.int64(t), halves, tasks, split, blocks):
            offset, columns = _count_nonzeros(extents[:c]), range(c * width, min(D, (c + 1) * width))
            for r in range(extents_t.shape[0]):
                first, last = r * height, min(N, (r + 1) * height)
                offset = _transpose_block(extents[c], indices, data, columns, first, last, offset,
                                          extents_t[r], indices_t, data_t)


@kernel
def pad_rows(delta, padded):
    """Copy the rows of delta (N, H) to the beginnings of longer rows; what follows them is left as it is."""
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            padded[i, k] = delta[i, k]
