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

from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import (
    BYTES,
    HAS_COMPRESS,
    add_scaled,
    compress_store,
    load,
    load_within,
    lowest_bit,
    no_unroll,
    nonzero,
    prefetch,
    store,
    store_within,
)
from .._numba.threads import count_threads
from .._numba.tiles import load_tile, store_tile

SLACK = 64           # places that follow a block's entries, and a part's of a matrix: whole vectors are written
_AHEAD = 4           # rows for whose entries the processor, which cannot know where they lie, would wait
_ROWS_AHEAD = 2      # rows that are read
_WIDEST = 112        # columns of a block, while there are not too many: of W there most stays in the nearest cache
_MOST_BLOCKS = 16
_SUMS = 2**18        # bytes of the sums of one task, which stay in the second cache
_ROWS = 128          # of one task, however wide they are
_FEW = 64            # rows that are not worth another task
_ALONE = 16          # rows of X that are not worth waking the threads for


@kernel
def block_width(D):
    """Return how many of D columns a block has. Their number is even, so that two sides have as many of them, or 1."""
    if D <= _WIDEST:
        return D
    blocks = min(_MOST_BLOCKS, (D + 2 * _WIDEST - 1) // (2 * _WIDEST) * 2)
    return (D + blocks - 1) // blocks


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
            no_unroll()
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
                no_unroll()
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


@kernel
def _blocks_of(side, sides, middle, blocks):
    """Return at which block a side begins and ends; a single one has them all."""
    return (middle if side else 0), (middle if side < sides - 1 else blocks)


@kernel
def _blocks_of_task(t, sides, shares, middle, blocks):
    """Return the blocks that the t-th task has where each side's are shared out, in turn: a range."""
    begin, end = _blocks_of(t // shares, sides, middle, blocks)
    return range(begin + t % shares, end, shares)


@kernel
def _count_tasks(N, most):
    """Return in how many tasks of at most so many rows N are shared out: as many a thread, two if they are not few."""
    threads = count_threads()
    share = (N + threads - 1) // threads
    return min(N, max(1, min(2, share // _FEW), (share + most - 1) // most) * threads)


@kernel
def _count_shares(tasks, sides):
    """Return how many tasks each side has, so that together they are so many, or twice as many where they are odd."""
    return tasks if tasks % sides else tasks // sides


@kernel
def _sides(middle):
    """Return how many sides there are, and in how many tasks each of them is shared out: as many a thread."""
    sides = 2 if middle else 1
    return sides, _count_shares(count_threads(), sides)


@kernel
def _apart(t, tasks):
    """Return the t-th of the tasks, of which every other one comes first, in either half of them.

    A thread has tasks that follow each other in t, and keeps to a half. So two of them get as many entries as each other, which
    in images lie in the middle.
    """
    begin, end = (0, tasks // 2) if t < tasks // 2 else (tasks // 2, tasks)
    n = 2 * (t - begin)
    return begin + (n if n < end - begin else n + 1 - (end - begin) - (end - begin) % 2)


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
            no_unroll()
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
        if HAS_COMPRESS:    # fast enough to wait for the memory
            for line in range(begin, begin + 64, max(1, BYTES // X.itemsize)):
                prefetch(X, soon * X.shape[1] + line)
            place = np.uint64(compress_store(X, i, begin, bits, indices, values, place))
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
        store_tile(load_tile(source, p, 0, 1, BYTES), target, place + p - first, 0)


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
        no_unroll()
        turned[k, 1] = 0
    for i in range(first, last):
        for p in range(np.uint64(spans[i, 0]), np.uint64(spans[i, 1])):
            no_unroll()
            turned[indices[p], 1] += 1
    for k in columns:
        no_unroll()
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
