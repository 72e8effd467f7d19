"""The convolution itself: a correlation of padded images with windows of weights, in tiles."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..._numba.simd import BYTES, HAS_COMPRESS
from ..._numba.tiles import add_groups, load_tile, store_tile, sum_groups
from .._chunks import _count_chunks
from .padded import _count_sample_chunks, _fill_padded, _geometry, _new_padded, _padded_size, _runs, _samples

# Outputs of a tile: AVX has half as many registers as AVX-512, of half the size.
_PIXELS = 8 if HAS_COMPRESS else 4
_IN_PAIRS = HAS_COMPRESS    # whether there are registers for two tiles


@kernel
def _pack_weights(W, flipped, b, dilation, groups, taps, like):
    """Return the weights as (groups, strips, lines and runs, vectors, 64 bytes), and the biases likewise.

    A vector has lanes for some filters, and for len(taps) numbers that lie side by side in a run: lane
    f len(taps) + t of vector v of strip s belongs to the output s filters + f and the number v len(taps) + t.
    What fills up the last vector of a run and the last strip is 0.

    The weight of input c and output o is W[ky, kx, c, o], both counted within a group, or if ``flipped``
    W[kh-1-ky, kw-1-kx, o, c].
    """
    kh, kw, C, K = W.shape
    C, K = (K // groups, C) if flipped else (C, K // groups)
    T, L = len(taps), BYTES // like.itemsize
    filters = L // T
    strips = _count_chunks(K, filters)
    runs, run = _runs((kh, kw), C, dilation)
    vectors = _count_chunks(run, T)
    packed = np.zeros((groups, strips, kh * runs, vectors, L), like.dtype)
    biases = np.zeros((groups, strips, L), like.dtype)
    for g in range(groups):
        for o in range(K):
            s, f = o // filters, o % filters * T
            if b.size:
                biases[g, s, f] = b[g * K + o]
            for ky in range(kh):
                for kx in range(kw):
                    for c in range(C):
                        r, k = (ky, kx * C + c) if runs == 1 else (ky * kw + kx, c)
                        weight = (W[kh - 1 - ky, kw - 1 - kx, o, g * C + c] if flipped
                                  else W[ky, kx, c, g * K + o])
                        packed[g, s, r, k // T, f + k % T] = weight
    return packed, biases


@kernel
def _store_some(tile, scratch, filters, rows, columns, out, place, step):
    """Write some rows and columns of a tile, by way of ``scratch``, into the flat ``out``."""
    store_tile(tile, scratch, 0, filters)
    for p in range(rows):
        for k in range(columns):
            out[place + p * step + k] = scratch[p * filters + k]


@kernel
def _correlate_strip(biases, begin, padded, geometry, W, first_weight, scratch, out, o, columns, taps):
    """The outputs ``o`` to before ``o + columns`` of one image, (height, width, K), in tiles.

    The strip's biases and weights lie in the flat ``biases`` and W, from ``begin`` and ``first_weight`` on.
    """
    pixel_step, row_step, starts, run = geometry
    height, width, K = out.shape
    P, T, L = _PIXELS, len(taps), BYTES // out.itemsize
    filters, flat, vectors = L // T, out.reshape(-1), _count_chunks(run, T)
    for i in range(height):
        for first in range(0, width, P):
            # the last tile of a row has pixels of the one before, too
            j = max(0, min(first, width - P))
            tile = load_tile(biases, begin, 0, _PIXELS, BYTES)
            for r in range(starts.size):
                place, weights = i * row_step + j * pixel_step + starts[r], first_weight + r * vectors * L
                for v in range(vectors):
                    tile = add_groups(tile, padded, place + v * T, pixel_step, W, weights + v * L, taps)
            sums, target = sum_groups(tile, taps), (i * width + j) * K + o
            if width >= P and columns == filters:
                store_tile(sums, flat, target, K)
            else:
                _store_some(sums, scratch, filters, min(P, width), columns, flat, target, K)


@kernel
def _correlate_two_strips(biases, begin, padded, geometry, W, first_weight, of_strip, out, o):
    """As `_correlate_strip` for two strips of whole vectors side by side, of images at least a tile wide: a
    number of an image is loaded for both.
    """
    pixel_step, row_step, starts, run = geometry
    height, width, K = out.shape
    L, flat, one = BYTES // out.itemsize, out.reshape(-1), (0,)
    for i in range(height):
        for first in range(0, width, _PIXELS):
            j = min(first, width - _PIXELS)
            left = load_tile(biases, begin, 0, _PIXELS, BYTES)
            right = load_tile(biases, begin + L, 0, _PIXELS, BYTES)
            for r in range(starts.size):
                place, weights = i * row_step + j * pixel_step + starts[r], first_weight + r * run * L
                for k in range(run):
                    left = add_groups(left, padded, place + k, pixel_step, W, weights + k * L, one)
                    right = add_groups(right, padded, place + k, pixel_step, W, weights + of_strip + k * L,
                                       one)
            target = (i * width + j) * K + o
            store_tile(left, flat, target, K)
            store_tile(right, flat, target + L, K)


@kernel
def _correlate_samples(x, first, last, packed, biases, window, steps, spread, dilation, corner, taps, out):
    """`correlate_in_tiles` for the samples ``first`` to before ``last``."""
    groups, strips, _, _, L = packed.shape
    _, height, width, K = out.shape
    C, filters = x.shape[3] // groups, L // len(taps)
    size = _padded_size((height, width), window, steps, dilation)
    slack = _PIXELS * steps[1] * C + len(taps)
    padded, flat = _new_padded(size, C, slack, out)
    geometry = _geometry(size[1], C, window, steps, dilation)
    scratch, W, all_biases = np.empty(_PIXELS * L, out.dtype), packed.reshape(-1), biases.reshape(-1)
    own, of_strip = K // groups, packed.size // (groups * strips)
    for n in range(first, last):
        for g in range(groups):
            _fill_padded(x[n], g * C, corner, spread, padded)
            first_strip = 0
            if _IN_PAIRS and len(taps) == 1 and width >= _PIXELS:
                first_strip = own // (2 * L) * 2
                for s in range(0, first_strip, 2):
                    k = g * strips + s
                    _correlate_two_strips(all_biases, k * L, flat, geometry, W, k * of_strip, of_strip,
                                          out[n], g * own + s * L)
            for s in range(first_strip, strips):
                columns, k = min(filters, own - s * filters), g * strips + s
                _correlate_strip(all_biases, k * L, flat, geometry, W, k * of_strip, scratch, out[n],
                                 g * own + s * filters, columns, taps)


@parallel_kernel
def correlate_in_tiles(x, W, flipped, b, steps, spread, dilation, corner, groups, taps, out):
    """As `correlate`, in tiles of some outputs by vectors with len(taps) lanes for each filter."""
    packed, biases = _pack_weights(W, flipped, b, dilation, groups, taps, out)
    window = W.shape[0], W.shape[1]
    for k in prange(_count_sample_chunks(len(x))):
        first, last = _samples(k, len(x))
        _correlate_samples(x, first, last, packed, biases, window, steps, spread, dilation, corner, taps,
                           out)
