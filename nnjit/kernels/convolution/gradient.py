"""The gradient of a convolution's weights and biases, in tiles."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..._numba.simd import BYTES
from ..._numba.tiles import add_groups, load_rows, store_tile
from .._chunks import _count_chunks
from .padded import _count_sample_chunks, _fill_padded, _geometry, _new_padded, _padded_size, _samples

_L1_BYTES = 32768       # of an image's rows, and of their deltas, that are worked on at a time
_SUM_BLOCK = 1024       # numbers summed up side by side, rounded down to a multiple of the channels


@kernel
def _repeat_deltas(delta, first, taps, filters, out):
    """out[s, pixel, f T + t] = delta[pixel, first + s filters + f] for every t < T = len(taps), a flat
    array.
    """
    strips, pixels, _ = out.shape
    T, K = len(taps), delta.shape[1]
    for s in range(strips):
        begin = first + s * filters
        for p in range(pixels):
            for f in range(min(filters, K - begin)):
                for t in range(T):
                    out[s, p, f * T + t] = delta[p, begin + f]


@kernel
def _add_gradient(padded, geometry, errors, place, error_step, width, rows, part, begin, vectors, tile_rows,
                  taps):
    """Add to a strip of dW what the rows of one image's delta give, from rows[0] to before rows[1].

    A tile has len(tile_rows) vectors of a run of dW. Their inputs lie side by side in the flat padded image;
    the last tile of a run may hold some that mean nothing. ``errors`` are flat, with those of the first
    pixel at ``place``; the strip is written to the flat ``part``, from ``begin`` on.
    """
    pixel_step, row_step, lines, line_step, runs, run_step, _ = geometry
    R, T, lanes = len(tile_rows), len(taps), BYTES // part.itemsize
    for r in range(lines * runs):
        start = r // runs * line_step + r % runs * run_step
        for v in range(0, vectors, R):
            target = begin + (r * vectors + v) * lanes
            tile = load_rows(part, target, lanes, tile_rows)
            for i in range(rows[0], rows[1]):
                window = i * row_step + start + v * T
                for j in range(width):
                    tile = add_groups(tile, padded, window + j * pixel_step, T, errors,
                                         place + (i * width + j) * error_step, taps)
            store_tile(tile, part, target, lanes)


@kernel
def _gradient_of_samples(x, delta, first, last, window, steps, dilation, corner, tile_rows, taps, part):
    """part = the strips of dW, (groups, strips, lines and runs, vectors, lanes), summed up over the samples
    ``first`` to before ``last``.
    """
    groups, strips, _, vectors, lanes = part.shape
    _, height, width, K = delta.shape
    C, own, filters = x.shape[3] // groups, K // groups, lanes // len(taps)
    size = _padded_size((height, width), window, steps, dilation)
    padded, flat = _new_padded(size, C, vectors * len(taps) + len(taps), part)
    geometry = _geometry(size[1], C, window, steps, dilation)
    as_they_lie = filters == lanes and own % filters == 0
    repeated = np.zeros((0 if as_they_lie else strips, height * width, lanes), part.dtype)
    block = max(1, _L1_BYTES // (steps[0] * size[1] * C + width * lanes) // part.itemsize)
    part[:] = 0
    sums, of_strip = part.reshape(-1), part.size // (groups * strips)
    for n in range(first, last):
        for g in range(groups):
            _fill_padded(x[n], g * C, corner, (1, 1), padded)
            errors, error_step, between = delta[n].reshape(-1), K, filters
            if not as_they_lie:
                _repeat_deltas(delta[n].reshape(-1, K), g * own, taps, filters, repeated)
                errors, error_step, between = repeated.reshape(-1), lanes, height * width * lanes
            place = g * own if as_they_lie else 0
            for i in range(0, height, block):
                rows = i, min(height, i + block)
                for s in range(strips):
                    _add_gradient(flat, geometry, errors, place + s * between, error_step, width, rows, sums,
                                  (g * strips + s) * of_strip, vectors, tile_rows, taps)


@parallel_kernel
def gradient_in_tiles(x, delta, steps, dilation, corner, groups, tile_rows, taps, dW, db):
    """As `gradients`, in tiles of len(tile_rows) vectors, of len(taps) numbers for each filter."""
    kh, kw, C, K = dW.shape
    lanes = BYTES // dW.itemsize
    _, _, _, _, runs, _, run = _geometry(1, C, (kh, kw), steps, dilation)
    R = len(tile_rows)
    vectors = _count_chunks(_count_chunks(run, len(taps)), R) * R
    strips = _count_chunks(K // groups, lanes // len(taps))
    chunks = _count_sample_chunks(len(x))
    parts = np.empty((chunks, groups, strips, kh * runs, vectors, lanes), dW.dtype)
    sums = np.empty((chunks, db.size), dW.dtype)
    for k in prange(chunks):
        first, last = _samples(k, len(x))
        _gradient_of_samples(x, delta, first, last, (kh, kw), steps, dilation, corner, tile_rows, taps,
                             parts[k])
        if db.size:
            _sums_of_samples(delta, first, last, sums[k])
    _add_parts(parts, runs, taps, dW)
    _add_sums(sums, db)


@kernel
def _add_parts(parts, runs, taps, dW):
    """dW = the sum of the parts, in order."""
    chunks, groups, _, _, _, lanes = parts.shape
    kh, kw, C, K = dW.shape
    T = len(taps)
    filters, own = lanes // T, K // groups
    for k in range(1, chunks):
        flat, more = parts[0].reshape(-1), parts[k].reshape(-1)
        for e in range(flat.size):
            flat[e] += more[e]
    for ky in range(kh):
        for kx in range(kw):
            for c in range(C):
                r, e = (ky, kx * C + c) if runs == 1 else (ky * kw + kx, c)
                for o in range(K):
                    g, f = o // own, o % own
                    dW[ky, kx, c, o] = parts[0, g, f // filters, r, e // T, f % filters * T + e % T]


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
