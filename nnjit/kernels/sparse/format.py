"""The affine map z = x W + b for rows with many zeros, which are left out, and its weight gradient.

A batch of rows without their zeros is a *panel*. Its columns come in blocks (`block_width`); in block c, row i has the columns
``indices[p]`` and the values ``values[p]`` for ``spans[c, i, 0] <= p < spans[c, i, 1]``, the columns ascending. A kernel goes
through a block with all the rows, while the block's rows of W stay in the nearest cache.

A *matrix*, from which panels of any rows are made, has its entries row after row: those of row i in block c are
``cuts[i, c] <= p < cuts[i, c + 1]``. A panel that is used once is *gathered*: its rows are copied as they are; or *picked* from
an array, where every row comes once in all. One that is used again and again is *laid out*: what a block has of all the rows lies
together, so that memory is read in one direction.

Rows that are trained on have two *sides*: the blocks before number ``middle``, and those from it on. A thread keeps to a side,
with its entries, its rows of W and dW, and what an optimiser has for them, because cores are slow to hand numbers to each other.
So the first half of the rows are summed up on the second side first, the others on the first; then they cross over. Where
``middle`` is 0, there are no sides, and the rows are shared out.

The weight gradient is added up row by row, or is the product of the transpose, a panel to which the entries are sorted: that
pays where it is used again and again, or delta is wide. Either way the same numbers are added in the same order.

Shapes: panels (N, D), spans (blocks, N, 2), b (H,) or (0,), z (N, H). W is (D, H), its rows padded with zeros to whole
vectors; those shorter than half a vector are as they are. How the work is shared out to threads changes no number.
"""
import numpy as np
from numba import prange

from ..._jit import kernel, parallel_kernel
from ..._simd import (
    BYTES,
    SQUEEZES,
    keep_rolled,
    lowest_bit,
    nonzero,
    prefetch,
    put,
    squeeze,
    take,
)
from .partition import _blocks_of, _blocks_of_task, _sides

SLACK = 64           # places that follow a block's entries, and a part's of a matrix: whole vectors are written
_AHEAD = 4           # rows for whose entries the processor, which cannot know where they lie, would wait
_ROWS_AHEAD = 2      # rows that are read
_WIDEST = 112        # columns of a block, while there are not too many: of W there most stays in the nearest cache
_MOST_BLOCKS = 16


@kernel
def block_width(D):
    """Return how many of D columns a block has. Their number is even, so that two sides have as many of them, or 1."""
    if D <= _WIDEST:
        return D
    blocks = min(_MOST_BLOCKS, (D + 2 * _WIDEST - 1) // (2 * _WIDEST) * 2)
    return (D + blocks - 1) // blocks


# ---- leaving out the zeros ------------------------------------------------------------------------------------------

@kernel
def _compress_row(X, i, soon, first, last, indices, values, place):
    """Write the columns and the values of X[i, first:last] that are not 0 from ``place`` on; return where they end.

    Up to `SLACK` places behind them are overwritten, too. The row with the number ``soon``, if there is one, comes later.
    """
    one = np.uint64(1)    # signed numbers would be looked at for being negative
    place = np.uint64(place)
    if last < 64:
        for column in range(np.uint64(first), np.uint64(last)):
            if X[i, column] != 0:
                indices[place], values[place] = column, X[i, column]
                place += one
        return np.int64(place)
    for k in range(first, last, 64):
        begin = min(k, last - 64)    # the last 64 may be in part those that have been looked at
        seen = np.uint64(k - begin)
        bits = nonzero(X, i, begin) >> seen << seen
        if SQUEEZES:    # fast enough to wait for the memory
            for line in range(begin, begin + 64, max(1, BYTES // X.itemsize)):
                prefetch(X, soon * X.shape[1] + line)
            place = np.uint64(squeeze(X, i, begin, bits, indices, values, place))
            continue
        while bits:
            column = np.uint64(begin) + lowest_bit(bits)
            indices[place], values[place] = column, X[i, column]
            place += one
            bits &= bits - one
    return np.int64(place)


@kernel
def _unsound(values, first, last, like):
    """Return whether some of values[first:last] is not finite in the dtype of the array ``like``."""
    T = like.dtype.type
    found = False    # one bit: whole numbers of 64 bits would be counted one by one
    for p in range(np.uint64(first), np.uint64(last)):
        x = T(values[p])
        found |= x - x != 0
    return found


@kernel
def unsound(values, first, last, like):
    """`_unsound` for Python: the other kernels do not wait for what lets it call one."""
    return _unsound(values, first, last, like)


@kernel
def compress(X, place, cuts, indices, values):
    """Write the rows of X without their zeros, as those of a matrix, one after the other from ``place`` on.

    Returns whether some number is not finite in the dtype of ``values``.
    """
    N, D = X.shape
    width, found = block_width(D), False
    for i in range(N):
        cuts[i, 0] = place
        for c in range(cuts.shape[1] - 1):
            place = _compress_row(X, i, i + _ROWS_AHEAD, c * width, min(D, (c + 1) * width), indices, values, place)
            cuts[i, c + 1] = place
        found |= _unsound(values, cuts[i, 0], place, values)
    return found


@kernel
def cut(starts, columns, D, cuts):
    """Find where the rows of a matrix go from one block to the next; row i, of ascending columns, begins at starts[i]."""
    width = block_width(D)
    for i in range(cuts.shape[0]):
        p = starts[i]
        for c in range(cuts.shape[1] - 1):
            cuts[i, c] = p
            while p < starts[i + 1] and columns[p] < (c + 1) * width:
                p += 1
        cuts[i, -1] = p


@kernel
def pad(delta, padded):
    """Copy the rows of delta (N, H) into longer ones."""
    for i in range(delta.shape[0]):
        for k in range(delta.shape[1]):
            padded[i, k] = delta[i, k]


# ---- panels ---------------------------------------------------------------------------------------------------------

@kernel
def _copy(source, first, last, target, place):
    """target[place:place + last - first] = source[first:last]; up to a vector behind that is overwritten, too."""
    for p in range(first, last, BYTES // source.itemsize):
        put(take(source, p, 0, 1, BYTES), target, place + p - first, 0)


@kernel
def _gather_rows(cuts, indices, values, rows, first, last, blocks, place, spans, own_indices, own_values):
    begin, end = blocks
    for i in range(first, last):
        if i + _AHEAD < last:
            row = rows[i + _AHEAD]
            for p in range(cuts[row, begin], cuts[row, end], BYTES // indices.itemsize):
                prefetch(indices, p)
            for p in range(cuts[row, begin], cuts[row, end], BYTES // values.itemsize):
                prefetch(values, p)
        if i + 2 * _AHEAD < last:
            for c in (begin, end):    # between which there may be a cache line's end
                prefetch(cuts, rows[i + 2 * _AHEAD] * cuts.shape[1] + c)
        cut = cuts[rows[i]]
        for c in range(begin, end):
            spans[c, i, 0], spans[c, i, 1] = cut[c] - cut[begin] + place, cut[c + 1] - cut[begin] + place
        _copy(indices, cut[begin], cut[end], own_indices, place)
        _copy(values, cut[begin], cut[end], own_values, place)
        place += cut[end] - cut[begin]


@parallel_kernel
def gather(cuts, indices, values, rows, middle, spans, own_indices, own_values):
    """Make the panel of the rows with the numbers ``rows`` of a matrix. Each side has room for as many entries of any of them."""
    sides, shares = _sides(middle)
    for t in prange(sides * shares):
        first, last, blocks, place = _gatherer(np.int64(t), sides, shares, middle, spans, own_values)
        _gather_rows(cuts, indices, values, rows, first, last, blocks, place, spans, own_indices, own_values)


@kernel
def _gatherer(t, sides, shares, middle, spans, values):
    """Return which rows of a panel and which blocks, (begin, end), are the t-th of the tasks, and where their entries begin."""
    blocks, N, _ = spans.shape
    side, share = t // shares, t % shares
    first, last = share * N // shares, (share + 1) * N // shares
    place = (side * N + first) * (values.size // (sides * N))
    return first, last, _blocks_of(side, sides, middle, blocks), place


@kernel
def _pick_rows(X, rows, first, last, blocks, place, spans, indices, values):
    D = X.shape[1]
    width = block_width(D)
    begin, end = blocks
    for i in range(first, last):
        row, soon = rows[i], rows[min(i + _ROWS_AHEAD, last - 1)]
        for c in range(begin, end):
            spans[c, i, 0] = place
            place = _compress_row(X, row, soon, c * width, min(D, (c + 1) * width), indices, values, place)
            spans[c, i, 1] = place


@parallel_kernel
def pick(X, rows, middle, spans, indices, values):
    """Make the panel of the rows with the numbers ``rows`` of X, of any dtype, as `gather` does of a matrix."""
    sides, shares = _sides(middle)
    for t in prange(sides * shares):
        first, last, blocks, place = _gatherer(np.int64(t), sides, shares, middle, spans, values)
        _pick_rows(X, rows, first, last, blocks, place, spans, indices, values)


@kernel
def lay_out(cuts, indices, values, first, spans, own_indices, own_values):
    """Make the panel of a matrix's rows from ``first`` on, block after block."""
    blocks, N, _ = spans.shape
    place = 0
    for c in range(blocks):
        for i in range(N):
            begin, end = cuts[first + i, c], cuts[first + i, c + 1]
            _copy(indices, begin, end, own_indices, place)
            _copy(values, begin, end, own_values, place)
            spans[c, i, 0], spans[c, i, 1] = place, place + end - begin
            place += end - begin
        place += SLACK


@kernel
def _count_entries(spans):
    """Return how many entries these blocks have."""
    count = 0
    for c in range(spans.shape[0]):
        for i in range(spans.shape[1]):
            count += spans[c, i, 1] - spans[c, i, 0]
    return count


@kernel
def _turn_block(spans, indices, values, c, first, last, place, turned, turned_indices, turned_values):
    """Sort what the rows from ``first`` to before ``last`` have in block c by column, from ``place`` on; return its end."""
    D = turned.shape[0]
    columns = range(c * block_width(D), min(D, (c + 1) * block_width(D)))
    for k in columns:
        keep_rolled()
        turned[k, 1] = 0
    for i in range(first, last):
        for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
            keep_rolled()
            turned[indices[p], 1] += 1
    for k in columns:
        keep_rolled()
        entries = turned[k, 1]
        turned[k, 0] = turned[k, 1] = place
        place += entries
    for i in range(first, last):
        for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
            column = indices[p]
            target = np.uint64(turned[column, 1])
            turned_indices[target], turned_values[target] = i, values[p]
            turned[column, 1] = target + np.uint64(1)
    return place


@parallel_kernel
def turn(spans, indices, values, middle, turned, turned_indices, turned_values):
    """Make the panel xᵀ, its spans ``turned`` and entries, of the panel x."""
    blocks, N, _ = spans.shape
    height = block_width(N)
    sides, shares = _sides(middle)
    for t in prange(sides * shares):
        for c in _blocks_of_task(np.int64(t), sides, shares, middle, blocks):
            place = _count_entries(spans[:c])
            for r in range(turned.shape[0]):
                place = _turn_block(spans[c], indices, values, c, r * height, min(N, (r + 1) * height), place, turned[r],
                                    turned_indices, turned_values)
