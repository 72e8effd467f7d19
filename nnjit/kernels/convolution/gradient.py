"""The gradient of a convolution's weights and biases, in tiles."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..._numba.simd import BYTES, HAS_COMPRESS
from ..._numba.tiles import add_groups, load_threes, store_tile
from .._chunks import _count_chunks
from .padded import _count_sample_chunks, _fill_padded, _geometry, _new_padded, _padded_size, _runs, _samples

_L1_BYTES = 16384       # of an image's rows, and of their deltas, that are worked on at a time
# Rows of a tile, at most, whose vectors are whole ones, or parts: AVX has half as many registers as AVX-512.
_MOST, _MOST_OF_PARTS = (24, 24) if HAS_COMPRESS else (6, 12)
_SUM_BLOCK = 1024       # numbers summed up side by side, rounded down to a multiple of the channels


@kernel
def _rows_of_tile(threes, parts):
    """Return how many rows a tile has: 3 len(threes), as far as the registers go."""
    return min(3 * len(threes), _MOST if len(parts) == 1 else _MOST_OF_PARTS)


@kernel
def _fill_vectors(delta, first, out):
    """out[s, pixel, f] = delta[pixel, first + s lanes + f], as far as there are so many filters."""
    strips, pixels, lanes = out.shape
    for s in range(strips):
        begin = first + s * lanes
        for p in range(pixels):
            for f in range(min(lanes, delta.shape[1] - begin)):
                out[s, p, f] = delta[p, begin + f]


@kernel
def _add_gradient(padded, geometry, errors, place, error_step, width, rows, part, begin, numbers, threes,
                  parts):
    """Add to a strip of dW what the rows of one image's delta give, from rows[0] to before rows[1].

    A tile has `_rows_of_tile` numbers of a run of dW. Their inputs lie side by side in the flat padded image;
    the last tile of a run may hold some that mean nothing. ``errors`` are flat, with those of the first
    pixel at ``place``; the strip is written to the flat ``part``, from ``begin`` on.
    """
    pixel_step, row_step, starts, _ = geometry
    R, L, one = _rows_of_tile(threes, parts), BYTES // part.itemsize // len(parts), (0,)
    for r in range(starts.size):
        for k in range(0, numbers, R):
            target = begin + (r * numbers + k) * L
            tile = load_threes(part, target, L, threes, parts, _MOST, _MOST_OF_PARTS)
            for i in range(rows[0], rows[1]):
                window = i * row_step + starts[r] + k
                for j in range(width):
                    tile = add_groups(tile, padded, window + j * pixel_step, 1, errors,
                                      place + (i * width + j) * error_step, one)
            store_tile(tile, part, target, L)


@kernel
def _gradient_of_samples(x, delta, first, last, window, steps, dilation, corner, threes, parts, part):
    """part = the strips of dW, (groups, strips, lines and runs, numbers of a run, lanes), summed up over the
    samples ``first`` to before ``last``.
    """
    groups, strips, _, numbers, L = part.shape
    _, height, width, K = delta.shape
    C, own = x.shape[3] // groups, K // groups
    size = _padded_size((height, width), window, steps, dilation)
    padded, flat = _new_padded(size, C, numbers, part)
    geometry = _geometry(size[1], C, window, steps, dilation)
    fills = own % L == 0
    filled = np.zeros((0 if fills else strips, height * width, L), part.dtype)
    block = max(1, _L1_BYTES // (steps[0] * size[1] * C + width * L) // part.itemsize)
    part[:] = 0
    sums, of_strip = part.reshape(-1), part.size // (groups * strips)
    for n in range(first, last):
        for g in range(groups):
            _fill_padded(x[n], g * C, corner, (1, 1), padded)
            errors, place, error_step, between = delta[n].reshape(-1), g * own, K, L
            if not fills:
                _fill_vectors(delta[n].reshape(-1, K)[:, :(g + 1) * own], g * own, filled)
                errors, place, error_step, between = filled.reshape(-1), 0, L, height * width * L
            for i in range(0, height, block):
                rows = i, min(height, i + block)
                for s in range(strips):
                    _add_gradient(flat, geometry, errors, place + s * between, error_step, width, rows, sums,
                                  (g * strips + s) * of_strip, numbers, threes, parts)


@parallel_kernel
def gradient_in_tiles(x, delta, steps, dilation, corner, groups, threes, parts, dW, db):
    """As `gradients`, in tiles of `_rows_of_tile` numbers of a run by a part of a vector of filters."""
    kh, kw, C, K = dW.shape
    R, L = _rows_of_tile(threes, parts), BYTES // dW.itemsize // len(parts)
    runs, run = _runs((kh, kw), C, dilation)
    numbers, strips = _count_chunks(run, R) * R, _count_chunks(K // groups, L)
    chunks = _count_sample_chunks(len(x))
    strips_of = np.empty((chunks, groups, strips, kh * runs, numbers, L), dW.dtype)
    sums = np.empty((chunks, db.size), dW.dtype)
    for k in prange(chunks):
        first, last = _samples(k, len(x))
        _gradient_of_samples(x, delta, first, last, (kh, kw), steps, dilation, corner, threes, parts,
                             strips_of[k])
        if db.size:
            _sums_of_samples(delta, first, last, sums[k])
    _add_parts(strips_of, runs, dW)
    _add_sums(sums, db)


@kernel
def _add_parts(parts, runs, dW):
    """dW = the sum of the parts, in order; of these the first is overwritten."""
    L = parts.shape[5]
    kh, kw, C, K = dW.shape
    own, flat = K // parts.shape[1], parts[0].reshape(-1)
    for k in range(1, len(parts)):
        more = parts[k].reshape(-1)
        for e in range(flat.size):
            flat[e] += more[e]
    for ky in range(kh):
        for kx in range(kw):
            for c in range(C):
                r, e = (ky, kx * C + c) if runs == 1 else (ky * kw + kx, c)
                for o in range(K):
                    g, f = o // own, o % own
                    dW[ky, kx, c, o] = parts[0, g, f // L, r, e, f % L]


@kernel
def _sums_of_samples(a, first, last, sums):
    """sums[o] = the sum of a[first:last, ..., o]: many pixels side by side first, then over these."""
    K = sums.size
    block = max(1, _SUM_BLOCK // K) * K
    flat, side_by_side = a[first:last].reshape(-1), np.zeros(block, a.dtype)
    for begin in range(0, flat.size, block):
        some = flat[begin:min(begin + block, flat.size)]
        for k in range(some.size):
            side_by_side[k] += some[k]
    sums[:] = 0
    for begin in range(0, block, K):
        for o in range(K):
            sums[o] += side_by_side[begin + o]


@parallel_kernel
def bias_gradient(delta, db):
    """db[o] = the sum of delta (N, ..., K) over samples and pixels, in chunks as in `gradients`. Overwrites
    ``db``.
    """
    parts = np.empty((_count_sample_chunks(len(delta)), db.size), db.dtype)
    for k in prange(len(parts)):
        first, last = _samples(k, len(delta))
        _sums_of_samples(delta, first, last, parts[k])
    _add_sums(parts, db)


@kernel
def _add_sums(parts, db):
    """db = the sum of the parts, in order."""
    for o in range(db.size):
        db[o] = parts[0, o]
        for k in range(1, len(parts)):
            db[o] += parts[k, o]
