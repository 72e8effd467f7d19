"""What the recurrent kernels share: packed steps, rows times recurrent weights, who computes what, loops over
a row.
"""
import numpy as np

from ..._numba.jit import kernel
from ..._numba.simd import BYTES, HAS_COMPRESS
from ..._numba.threads import count_threads
from ..._numba.tiles import add_outer, load_tile, store_tile
from .._chunks import _count_chunks
from ..elementary import sigmoid, tanh

_VECTOR = BYTES if HAS_COMPRESS else BYTES // 2    # bytes of a register: of AVX-512, or AVX
_TILE_ROWS, _HALF_TILE = 8, 4    # rows that are multiplied together
_LEAST_ROWS = 4                  # sequences of a thread, at least


# ---- packing -----------------------------------------------------------------------------------------------

@kernel
def pack_steps(mask, lengths, first, order, places):
    """Write where the valid steps of mask (N, T) lie, and return their number P.

    lengths, first, order: (N,) int64, places: (N T,) int64, of which P are written.
    """
    N, T = mask.shape
    P, longer = 0, np.zeros(T + 2, np.int64)
    for n in range(N):
        first[n] = P
        for t in range(T):
            if mask[n, t]:
                places[P] = n * T + t
                P += 1
        lengths[n] = P - first[n]
        longer[T - lengths[n] + 1] += 1
    for k in range(1, T + 2):
        longer[k] += longer[k - 1]
    for n in range(N):
        order[longer[T - lengths[n]]] = n
        longer[T - lengths[n]] += 1
    return P


@kernel
def gather_steps(x, places, out):
    """out[e] = x[places[e]], rows of x (N T, D) and out (P, D)."""
    for e in range(out.shape[0]):
        _copy(x[places[e]], out[e])


@kernel
def scatter_steps(x, places, out):
    """out[places[e]] = x[e], rows of x (P, D) and out (N T, D), which is 0 elsewhere."""
    out[:] = 0
    for e in range(x.shape[0]):
        _copy(x[e], out[places[e]])


# ---- rows times recurrent weights --------------------------------------------------------------------------

@kernel
def _panels(U, transposed, K, first, last):
    """Return the columns ``first`` to before ``last`` of op(U), each of K numbers, as (panels, K, 2 lanes),
    with zeros to fill the last panel.
    """
    width = 2 * _VECTOR // U.itemsize
    panels = np.zeros((_count_chunks(last - first, width), K, width), U.dtype)
    for j in range(first, last):
        panel, lane = panels[(j - first) // width], (j - first) % width
        for k in range(K):
            panel[k, lane] = U[j, k] if transposed else U[k, j]
    return panels


@kernel
def _products(rows, panels):
    """Return an array for what `_multiply` makes of so many rows."""
    return np.empty((rows, panels.shape[0] * panels.shape[2]), panels.dtype)


@kernel
def _multiply_tile(left, right, rows, place, step, panel, begin, K, lanes):
    """Return both tiles, to which K products are added: numbers of the flat ``rows``, and of a panel."""
    for k in range(K):
        weights = begin + 2 * k * lanes
        left = add_outer(left, rows, place + k, step, panel, weights)
        right = add_outer(right, rows, place + k, step, panel, weights + lanes)
    return left, right


@kernel
def _multiply(rows, step, count, panels, out):
    """out[p] = rows[p] op(U) for the first ``count`` rows, and anything in the rest of their last tile.

    rows: flat, with ``step`` numbers to a row; out (R, panels 2 lanes), with R a multiple of `_TILE_ROWS`.
    """
    many, K, width = panels.shape
    lanes, weights, zeros = width // 2, panels.reshape(-1), np.zeros(width, panels.dtype)
    target, line = out.reshape(-1), out.shape[1]
    for s in range(many):
        begin, p = s * K * width, 0
        while count - p > _HALF_TILE:
            none = load_tile(zeros, 0, 0, _TILE_ROWS, _VECTOR)
            left, right = _multiply_tile(none, none, rows, p * step, step, weights, begin, K, lanes)
            store_tile(left, target, p * line + s * width, line)
            store_tile(right, target, p * line + s * width + lanes, line)
            p += _TILE_ROWS
        if p < count:
            few = load_tile(zeros, 0, 0, _HALF_TILE, _VECTOR)
            low, high = _multiply_tile(few, few, rows, p * step, step, weights, begin, K, lanes)
            store_tile(low, target, p * line + s * width, line)
            store_tile(high, target, p * line + s * width + lanes, line)


# ---- who computes what -------------------------------------------------------------------------------------

@kernel
def _count_groups(N):
    """Return in how many groups the sequences are shared out: sequence ``order[i]`` belongs to group i mod
    that.
    """
    return max(1, min(count_threads(), N // _LEAST_ROWS))


@kernel
def _group_rows(N, group, groups):
    """Return how many sequences a group has, and the rows of its buffers: whole tiles."""
    count = (N - group + groups - 1) // groups
    return count, _count_chunks(count, _TILE_ROWS) * _TILE_ROWS


@kernel
def _alive(before, j, group, groups, count, lengths, order):
    """Return how many of a group's ``count`` sequences, its first ones, have a step j; ``before`` is how many
    have the step before or after it.
    """
    alive = before
    while alive > 0 and lengths[order[group + (alive - 1) * groups]] <= j:
        alive -= 1
    while alive < count and lengths[order[group + alive * groups]] > j:
        alive += 1
    return alive


@kernel
def _entry(n, j, backwards, lengths, first):
    """Return the packed entry at which sequence n takes its step j."""
    return first[n] + (lengths[n] - 1 - j if backwards else j)


@kernel
def _write_last(h, count, group, groups, order, out):
    """Write the last states h of a group's sequences into their rows of out (N, H)."""
    for i in range(count):
        _copy(h[i], out[order[group + i * groups]])


@kernel
def _add_slope(delta, n, j, lengths, first, places, at_every_step, dh):
    """Add to dh what comes from the output of sequence n after its step j."""
    if at_every_step:
        _add(delta[places[first[n] + j]], dh)
    elif j == lengths[n] - 1:
        _copy(delta[n], dh)


# ---- elementwise, of a row ---------------------------------------------------------------------------------
#
# Each loop has few arrays, so that LLVM finds out at run time that they do not overlap, and vectorises.

@kernel
def _copy(source, target):
    for k in range(target.size):
        target[k] = source[k]


@kernel
def _add(source, target):
    for k in range(target.size):
        target[k] += source[k]


@kernel
def _multiply_by(source, target):
    for k in range(target.size):
        target[k] *= source[k]


@kernel
def _sigmoid_of_sum(a, b):
    """a = sigmoid(a + b)."""
    for k in range(a.size):
        a[k] = sigmoid(a[k] + b[k])


@kernel
def _tanh_of_sum(a, b):
    """a = tanh(a + b)."""
    for k in range(a.size):
        a[k] = tanh(a[k] + b[k])


@kernel
def _tanh_of_gated_sum(a, r, b):
    """a = tanh(a + r b)."""
    for k in range(a.size):
        a[k] = tanh(a[k] + r[k] * b[k])


@kernel
def _mix(z, c, h):
    """h = z h + (1 - z) c."""
    for k in range(h.size):
        h[k] = c[k] + z[k] * (h[k] - c[k])
