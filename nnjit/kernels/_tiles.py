"""The product C = op(A) op(B) + b in tiles, where a processor's vectors fill whole registers (AVX-512).

OpenBLAS cuts and copies both factors, and takes half a register on many processors that have whole ones. Here
only B is copied, *panel* by panel, each one or two vectors of columns wide and in the order in which it is
read; a tile of C, some rows by the columns of a panel, stays in registers while the depth is summed up::

              panel                 The sum of a number of C begins at b, and goes on in the order of the
              +---+                 depth. So its bits do not depend on how C is divided among tasks.
         B    |   |
              +---+
    +-------+ +---+
    | A     | |   | C: tiles of _ROWS rows
    +-------+ +---+

The helpers are private kernels: they are inlined into `affine.product`.
"""
import numpy as np

from .._numba.jit import kernel
from .._numba.simd import BYTES, HAS_COMPRESS, prefetch
from .._numba.threads import count_threads
from .._numba.tiles import add_outer, load_tile, store_tile
from ._chunks import _count_chunks, _fraction

_ROWS = 8                    # of a tile: two vectors wide, it takes half of AVX-512's registers
_DEPTH = 128                 # that is summed up at a time: a panel then stays in L1, with rows of A
_WIDTH = 2 * BYTES           # of a panel, in bytes
_LEAST_BYTES = 2**19         # of multiplications: fewer are done before a panel is there
_SERIAL_BYTES = 2**21        # up to which one thread is faster
_L2_BYTES = 2**18            # of the rows of A that all panels meet, before the next ones
_UNCOPIED_ROWS = 64          # of C, up to which B is read where it lies, if it can be
_PREFETCH_ROWS = 16          # that a row of B is fetched before it is copied,
_PREFETCH_SIZE = 2**14       # if B has more numbers than this
_WHOLE_REGISTERS = HAS_COMPRESS


@kernel
def _takes(N, H, depth, itemsize):
    """Return whether a product of this size is done in tiles."""
    return _WHOLE_REGISTERS and N >= _ROWS and N * H * depth * itemsize >= _LEAST_BYTES


@kernel
def _count_tasks(N, H, depth, transpose_B, itemsize):
    """Return into how many tasks C is cut, down and across.

    Rows are divided; columns where rows are few, or B is transposed, which takes longer than a copy.
    """
    threads = count_threads()
    if N * H * depth * itemsize <= _SERIAL_BYTES:
        return 1, 1
    by_columns = transpose_B or N < 2 * _ROWS * threads
    across = min(threads, _count_chunks(H * itemsize, _WIDTH)) if by_columns else 1
    return min(_count_chunks(threads, across), N // _ROWS), across


@kernel
def _rows_of_task(t, down, N):
    """Return (first, last): the rows of C of a task, whole tiles but for the last one's."""
    first, last = _fraction(t, down, N // _ROWS)
    return first * _ROWS, N if t == down - 1 else last * _ROWS


@kernel
def _panels_of_task(t, across, H, lanes):
    """Return the first column, and the one after the last, of the panels of a task."""
    first, last = _fraction(t, across, _count_chunks(H, lanes))
    return first * lanes, min(H, last * lanes)


@kernel
def _new_panel(size, C):
    """Return a new flat array that begins at a cache line."""
    memory = np.empty(size + BYTES // C.itemsize, C.dtype)
    first = -(memory.ctypes.data // C.itemsize) % (BYTES // C.itemsize)
    return memory[first:first + size]


@kernel
def _pack(B, transpose_B, first, last, k, columns, lanes, panel):
    """Write the rows first .. last and the columns k .. k + columns of op(B) into the flat panel, row after
    row, each with zeros behind it up to so many lanes.
    """
    flat, large = B.reshape(-1), B.size > _PREFETCH_SIZE
    if transpose_B:
        for j in range(columns):
            for d in range(first, last):
                panel[(d - first) * lanes + j] = B[k + j, d]
    else:
        for d in range(first, last):
            for j in range(0, columns if large else 0, BYTES // B.itemsize):
                prefetch(flat, (d + _PREFETCH_ROWS) * B.shape[1] + k + j)
            for j in range(columns):
                panel[(d - first) * lanes + j] = B[d, k + j]
    for d in range(last - first if columns < lanes else 0):
        for j in range(columns, lanes):
            panel[d * lanes + j] = 0


@kernel
def _add_wide(A, a, row_step, step, B, k, line, depth, initial, i, initial_step, C, place, C_step):
    """C[place + p C_step:] = initial[i + p initial_step:] + sum over d of A[a + p row_step + d step]
    B[k + d line:], for a tile of two vectors a row. All arrays are flat.
    """
    lanes = BYTES // A.itemsize
    left = load_tile(initial, i, initial_step, _ROWS, BYTES)
    right = load_tile(initial, i + lanes, initial_step, _ROWS, BYTES)
    for d in range(depth):
        left = add_outer(left, A, a + d * step, row_step, B, k + d * line)
        right = add_outer(right, A, a + d * step, row_step, B, k + d * line + lanes)
    store_tile(left, C, place, C_step)
    store_tile(right, C, place + lanes, C_step)


@kernel
def _add_narrow(A, a, row_step, step, B, k, line, depth, initial, i, initial_step, C, place, C_step):
    """`_add_wide` for a tile of one vector a row."""
    tile = load_tile(initial, i, initial_step, _ROWS, BYTES)
    for d in range(depth):
        tile = add_outer(tile, A, a + d * step, row_step, B, k + d * line)
    store_tile(tile, C, place, C_step)


@kernel
def _add_panel(A, a, first, last, row_step, step, B, k, line, depth, lanes, biases, C, column, columns, edge):
    """Add what a panel of B comes to, to some rows and columns of C, beginning with the biases if there are
    some. What of a tile lies within C is copied from and to ``edge``, where not all of it does.
    """
    C_step, flat, begins = C.shape[1], C.reshape(-1), biases.size > 0
    for row in range(first, last, _ROWS):
        rows = min(_ROWS, last - row)
        top = row + rows - _ROWS    # the last tile has rows of the one before, too
        inside = columns == lanes and rows == _ROWS
        if not (inside or begins):
            for p in range(_ROWS):
                for j in range(columns):
                    edge[p * lanes + j] = C[top + p, column + j]
        target, place, target_step = (flat, top * C_step + column, C_step) if inside else (edge, 0, lanes)
        initial, i, initial_step = (biases, 0, 0) if begins else (target, place, target_step)
        if lanes * C.itemsize > BYTES:
            _add_wide(A, a + top * row_step, row_step, step, B, k, line, depth, initial, i, initial_step,
                      target, place, target_step)
        else:
            _add_narrow(A, a + top * row_step, row_step, step, B, k, line, depth, initial, i, initial_step,
                        target, place, target_step)
        if not inside:
            for p in range(_ROWS - rows, _ROWS):
                for j in range(columns):
                    C[top + p, column + j] = edge[p * lanes + j]


@kernel
def _product_in_tiles(A, transpose_A, B, transpose_B, b, C, first, last, first_column, last_column):
    """C = op(A) op(B) + b in these rows and columns; all are contiguous."""
    depth = A.shape[0] if transpose_A else A.shape[1]
    row_step, step = (1, A.shape[1]) if transpose_A else (A.shape[1], 1)
    most = _WIDTH // A.itemsize    # columns of a panel
    panel, edge = _new_panel(min(depth, _DEPTH) * most, C), np.empty(_ROWS * most, C.dtype)
    biases = np.empty(most, C.dtype)
    flat_A, flat_B = A.reshape(-1), B.reshape(-1)
    rows = _L2_BYTES // (min(depth, _DEPTH) * A.itemsize * _ROWS) * _ROWS
    for top in range(first, last, rows):
        end = min(last, top + rows)
        top = max(first, min(top, end - _ROWS))
        for d in range(0, depth, _DEPTH):
            some = min(_DEPTH, depth - d)
            for k in range(first_column, last_column, most):
                columns = min(most, last_column - k)
                lanes = most if 2 * columns > most else most // 2
                for j in range(lanes):
                    biases[j] = b[k + j] if j < columns and b.size else 0
                source, begin, line = panel, 0, lanes
                if end - top <= _UNCOPIED_ROWS and columns == lanes and not transpose_B:
                    source, begin, line = flat_B, d * B.shape[1] + k, B.shape[1]
                else:
                    _pack(B, transpose_B, d, d + some, k, columns, lanes, panel)
                _add_panel(flat_A, d * step, top, end, row_step, step, source, begin, line, some, lanes,
                           biases[:0 if d else lanes], C, k, columns, edge)
