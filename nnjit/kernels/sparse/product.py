"""The products of sparse rows, and the weight gradient."""
import numpy as np
from numba import prange

from ..._jit import kernel, parallel_kernel
from ..._simd import (
    BYTES,
    add_scaled,
    keep_rolled,
    load,
    load_within,
    prefetch,
    store,
    store_within,
)
from .format import SLACK, _compress_row, _unsound, block_width
from .partition import (
    _apart,
    _blocks_of,
    _blocks_of_task,
    _count_shares,
    _count_tasks,
    _sides,
)

_AHEAD = 4           # rows for whose entries the processor, which cannot know where they lie, would wait
_ROWS_AHEAD = 2      # rows that are read
_SUMS = 2**18        # bytes of the sums of one task, which stay in the second cache
_ROWS = 128          # of one task, however wide they are
_ALONE = 16          # rows of X that are not worth waking the threads for


# ---- sums of rows ---------------------------------------------------------------------------------------------------

_HALF = BYTES // 2

# The widths of strips, in halves of a vector.
_2, _4, _6, _8, _10, _12, _13 = ((0,) * halves for halves in (2, 4, 6, 8, 10, 12, 13))


@kernel
def _add_strip(spans, indices, values, W, k, begun, step, sums, width):
    """sums[i, strip] = begun[i step, strip] + sum of values[p] W[indices[p], strip], where the strip begins at k.

    ``spans`` has those of one block. A row's sums are in registers meanwhile.
    """
    for i in range(spans.shape[0]):
        strip = load_within(begun, i * step, k, width)
        for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):    # not looked at for a sign
            keep_rolled()
            strip = add_scaled(strip, values[p], load(W, indices[p], k, width))
        store_within(sums, i, k, strip)


@kernel
def _add_block(spans, indices, values, W, k, halves, begun, step, sums):
    """`_add_strip` for a strip of so many halves, or for rows shorter than a vector, which have 0 of them."""
    if halves == 13:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _13)
    elif halves == 12:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _12)
    elif halves == 10:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _10)
    elif halves == 8:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _8)
    elif halves == 6:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _6)
    elif halves == 4:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _4)
    elif halves == 2:
        _add_strip(spans, indices, values, W, k, begun, step, sums, _2)
    else:
        for i in range(spans.shape[0]):
            row = load_within(begun, i * step, k, _2)
            for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
                keep_rolled()
                row = add_scaled(row, values[p], load_within(W, indices[p], k, _2))
            store_within(sums, i, k, row)


@kernel
def _count_halves(W, H):
    """Return how many halves of a vector H numbers of a row of W take, or 0 where W has rows shorter than a vector.

    They are made even, unless every strip has 12 of them and the last one the odd one.
    """
    half = _HALF // W.itemsize
    if W.shape[1] < 2 * half:
        return 0
    halves = (H + half - 1) // half
    return halves if halves > 12 and halves % 12 == 1 else halves + halves % 2


@kernel
def _count_strips(halves):
    """Return in how many strips, of up to 6 vectors, as wide as each other or a vector less, a row is worked on."""
    return max(1, (halves // 2 + 5) // 6)


@kernel
def _strip(halves, strips, s):
    """Return at which vector the s-th of so many strips begins, and how many halves it has; the odd one belongs to the last."""
    vectors = halves // 2
    first, last = s * vectors // strips, (s + 1) * vectors // strips
    return first, 2 * (last - first) + (halves % 2 if s == strips - 1 else 0)


@kernel
def _product(spans, indices, values, W, H, begun, step, z):
    """z = x W + what the sums begin with, which are begun[i step] for row i; block by block and strip by strip.

    Where the rows of z end within a half, the sums have rows of their own until the last block.
    """
    blocks = spans.shape[0]
    halves = _count_halves(W, H)
    strips = _count_strips(halves)
    whole = z.shape[1] == W.shape[1] or z.shape[1] * z.itemsize == halves * _HALF
    between = z if whole else np.empty((z.shape[0], W.shape[1]), W.dtype)
    for c in range(blocks):
        sums = z if c == blocks - 1 else between
        for s in range(strips):
            vector, width = _strip(halves, strips, s)
            _add_block(spans[c], indices, values, W, vector * BYTES // W.itemsize, width, begun, step, sums)
        begun, step = sums, 1


@parallel_kernel
def product(spans, indices, values, middle, W, H, b, z):
    """z = x W + b for the panel x; for its transpose and W = delta, padded, z is dW.

    z may be padded, too: what is behind its H numbers becomes 0 or stays as it is.
    """
    N, blocks = z.shape[0], spans.shape[0]
    sides = 2 if middle else 1
    tasks = _count_shares(_count_tasks(N, max(_ROWS, _SUMS // (W.shape[1] * W.itemsize))), sides)
    biases = b.reshape(1, b.size)
    for lap in range(sides):
        for t in prange(sides * tasks):
            side = np.int64(t) // tasks
            half = (side + lap + 1) % sides    # of the rows: the other one first
            share = _apart(half * tasks + np.int64(t) % tasks, sides * tasks)
            first, last = share * N // (sides * tasks), (share + 1) * N // (sides * tasks)
            begin, end = _blocks_of(side, sides, middle, blocks)
            begun = z[first:last] if lap else biases
            _product(spans[begin:end, first:last], indices, values, W, H, begun, lap, z[first:last])


# ---- sums to rows ---------------------------------------------------------------------------------------------------

@kernel
def _ask_for(spans, i, indices, values):
    """Have the first entries of row i of a block fetched, if there is one: a cache line of columns and three of values."""
    if i < spans.shape[0]:
        place = spans[i, 0]
        prefetch(indices, place)
        for line in range(3):
            prefetch(values, place + line * BYTES // values.itemsize)


@kernel
def _spread_strip(spans, indices, values, delta, k, dW, width):
    """dW[indices[p], strip] += values[p] delta[i, strip], where the strip begins at k. ``spans`` has those of one block."""
    for i in range(spans.shape[0]):
        _ask_for(spans, i + _AHEAD, indices, values)
        strip = load_within(delta, i, k, width)
        for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
            keep_rolled()
            store(dW, indices[p], k, add_scaled(load(dW, indices[p], k, width), values[p], strip))


@kernel
def _spread_block(spans, indices, values, delta, k, halves, dW):
    """`_spread_strip` for a strip of so many halves; rows shorter than a vector, 0 of them, are added number by number."""
    if halves == 13:
        _spread_strip(spans, indices, values, delta, k, dW, _13)
    elif halves == 12:
        _spread_strip(spans, indices, values, delta, k, dW, _12)
    elif halves == 10:
        _spread_strip(spans, indices, values, delta, k, dW, _10)
    elif halves == 8:
        _spread_strip(spans, indices, values, delta, k, dW, _8)
    elif halves == 6:
        _spread_strip(spans, indices, values, delta, k, dW, _6)
    elif halves == 4:
        _spread_strip(spans, indices, values, delta, k, dW, _4)
    elif halves == 2:
        _spread_strip(spans, indices, values, delta, k, dW, _2)
    else:
        for i in range(spans.shape[0]):
            for p in range(spans[i, 0], spans[i, 1]):
                for j in range(dW.shape[1]):
                    dW[indices[p], j] += values[p] * delta[i, j]


@parallel_kernel
def gradient(spans, indices, values, middle, delta, H, dW):
    """dW = xᵀ delta for the panel x.

    A task has blocks of one side. A block's rows of dW stay in the nearest cache, strip by strip, while the rows of x come by.
    """
    D, blocks = dW.shape[0], spans.shape[0]
    width, halves = block_width(D), _count_halves(dW, H)
    strips = _count_strips(halves)
    sides, shares = _sides(middle)
    for t in prange(sides * shares):
        for c in _blocks_of_task(np.int64(t), sides, shares, middle, blocks):
            dW[c * width:min(D, (c + 1) * width)] = 0
            for s in range(strips):
                vector, wide = _strip(halves, strips, s)
                _spread_block(spans[c], indices, values, delta, vector * BYTES // dW.itemsize, wide, dW)


@kernel
def _skip(X, first, last, W, b, z):
    """z[first:last] = X W + b, by way of a panel in which every block has room for all its numbers."""
    N, D = last - first, X.shape[1]
    width = block_width(D)
    blocks = (D + width - 1) // width
    spans = np.empty((blocks, N, 2), np.int64)
    room = N * width + SLACK
    indices, values = np.empty(blocks * room, np.int32), np.empty(blocks * room, z.dtype)
    for i in range(N):
        row, soon = first + i, first + i + _ROWS_AHEAD
        for c in range(blocks):
            place = spans[c, i - 1, 1] if i else c * room
            spans[c, i, 0] = place
            spans[c, i, 1] = _compress_row(X, row, soon, c * width, min(D, (c + 1) * width), indices, values, place)
    _product(spans, indices, values, W, z.shape[1], b.reshape(1, b.size), 0, z[first:last])
    found = False
    for c in range(blocks):
        found |= _unsound(values, spans[c, 0, 0], spans[c, N - 1, 1], values)
    return found


@parallel_kernel
def product_skipping(X, W, b, z):
    """z = X W + b for rows of any dtype as they are, read once; return whether some number is not finite in z's dtype."""
    N = X.shape[0]
    if N <= _ALONE:
        return _skip(X, 0, N, W, b, z)
    tasks, found = _count_tasks(N, _ROWS), 0
    for task in prange(tasks):
        found += _skip(X, task * N // tasks, (task + 1) * N // tasks, W, b, z)
    return found > 0
