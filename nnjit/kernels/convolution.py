"""Convolution of images and its gradients.

Images are (N, H, W, C), weights (kh, kw, C, K). In an image that lies in memory as a flat array, the kw
pixels below a row of weights are kw C numbers side by side. So the convolution of a row of pixels is kh
matrix products, whose left factors need not be written down: their rows overlap, each beginning C numbers
after the one before. A tile of such a product, a few pixels by a vector of output channels, stays in
registers while all weights are summed up.

Every image is first copied into a *padded image* with zeros around it, so that no weight lies outside; it
fits into L2. A sample belongs to one chunk of samples, which is one task. Sums over samples are taken chunk
by chunk, and the chunks' sums in order.

*Geometry* is what a loop over a flat padded image needs: ``(line, pixel_step, row_step, kh, run)``, the
numbers in one of its rows, between the windows of two neighbouring outputs and of two rows of outputs, the
rows of a window, and the numbers in one of these.
"""
import numpy as np
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES
from .._numba.tiles import add_outer, load_tile, load_tile_like, store_tile
from ._chunks import _count_chunks, _fraction
from .elementary import intensity

_MAX_CHUNKS = 16            # of samples; sums over samples have as many parts
_HALF_VECTOR = BYTES // 2   # for few channels
_TILE_ROWS_FULL = 4         # rows of a tile of whole vectors: half of AVX's sixteen registers
_TILE_ROWS_HALF = 8         # rows of a tile of half vectors
_TILE_ROWS_3X3 = 9          # rows of a tile that suit the 3 x 3 pixels of a first layer
_L1_BYTES = 16384           # of an image's rows that are worked on at a time
_SUM_BLOCK = 1024           # numbers summed up side by side, rounded down to a multiple of the channels


@kernel
def _count_sample_chunks(N):
    return min(N, _MAX_CHUNKS)


@kernel
def _samples(k, N):
    """Return the first of the samples of chunk k, and the one after the last."""
    return _fraction(k, _count_sample_chunks(N), N)


# ---- padded images -----------------------------------------------------------------------------------------

@kernel
def _fill_padded(image, top, left, spread, padded):
    """Copy image (H, W, C) into the zeros of padded (PH, PW, C), its pixels ``spread`` apart, as far as it
    reaches.
    """
    H, W, C = image.shape
    height = min(H, _count_chunks(padded.shape[0] - top, spread))
    width = min(W, _count_chunks(padded.shape[1] - left, spread))
    zero = padded.dtype.type(0)
    for i in range(height):
        if spread == 1:
            source, target = image[i].reshape(-1), padded[top + i].reshape(-1)[left * C:]
            for k in range(width * C):
                target[k] = intensity(source[k], zero)
        else:
            for j in range(width):
                for c in range(C):
                    padded[top + i * spread, left + j * spread, c] = intensity(image[i, j, c], zero)


@kernel
def _new_padded(height, width, C, slack, like):
    """Return zeros of shape (height, width, C), and the same flat with ``slack`` more: a tile may read past
    the end.
    """
    size = height * width * C
    memory = np.zeros(size + slack, like.dtype)
    return memory[:size].reshape(height, width, C), memory


@kernel
def _geometry(columns, C, kh, kw, stride):
    """Return the geometry of a padded image with so many columns of C channels."""
    return columns * C, stride * C, stride * columns * C, kh, kw * C


# ---- convolution -------------------------------------------------------------------------------------------

@kernel
def _lanes(channels, like):
    """Return how many channels a vector holds: a whole one where they fill it, else half of one."""
    whole = BYTES // like.itemsize
    return whole if channels % whole == 0 else whole // 2


@kernel
def _pack_weights(W, flipped, b, out):
    """Return the weights as (strips, kh, kw, C, lanes), and the biases (strips lanes,), both with zeros to
    fill the last strip.

    Lane l of strip s belongs to the output channel o = s lanes + l: W[ky, kx, c, o], or W[kh-1-ky, kw-1-kx,
    o, c] if flipped.
    """
    kh, kw, C, K = W.shape
    if flipped:
        C, K = K, C
    lanes = _lanes(K, out)
    strips = _count_chunks(K, lanes)
    packed, biases = np.zeros((strips, kh, kw, C, lanes), out.dtype), np.zeros(strips * lanes, out.dtype)
    for ky in range(kh):
        for kx in range(kw):
            for c in range(C):
                for o in range(K):
                    weight = W[kh - 1 - ky, kw - 1 - kx, o, c] if flipped else W[ky, kx, c, o]
                    packed[o // lanes, ky, kx, c, o % lanes] = weight
    for o in range(b.size):
        biases[o] = b[o]
    return packed, biases


@kernel
def _copy_corner(source, lanes, rows, columns, out, offset, step):
    """out[offset + p step + l] = source[p lanes + l] for p < rows and l < columns."""
    for p in range(rows):
        for k in range(columns):
            out[offset + p * step + k] = source[p * lanes + k]


@kernel
def _correlate_strip(biases, pixels, lanes, padded, geometry, W, first_weight, scratch, out, K, o):
    """Output channels o to o + lanes of one image: ``biases`` is the tile to begin with, of ``pixels`` rows.

    The strip's weights are kh runs of rows in the flat W, from ``first_weight`` on. What lies outside of out,
    (height, width, K), goes by way of ``scratch``.
    """
    line, pixel_step, row_step, kh, run = geometry
    height, width = out.shape[0], out.shape[1]
    flat = out.reshape(-1)
    for i in range(height):
        for j in range(0, width, pixels):
            tile = biases
            for ky in range(kh):
                window, weights = i * row_step + j * pixel_step + ky * line, first_weight + ky * run * lanes
                for k in range(run):
                    tile = add_outer(tile, padded, window + k, pixel_step, W, weights + k * lanes)
            target = (i * width + j) * K + o
            if j + pixels <= width and o + lanes <= K:
                store_tile(tile, flat, target, K)
            else:
                store_tile(tile, scratch, 0, lanes)
                _copy_corner(scratch, lanes, min(pixels, width - j), min(lanes, K - o), flat, target, K)


@kernel
def _correlate_samples(x, first, last, packed, biases, stride, spread, top, left, out):
    """`correlate` for the samples ``first`` to before ``last``."""
    strips, kh, kw, C, lanes = packed.shape
    _, height, width, K = out.shape
    rows, columns = (height - 1) * stride + kh, (width - 1) * stride + kw
    padded, flat = _new_padded(rows, columns, C, _TILE_ROWS_HALF * stride * C, out)
    scratch, W = np.empty(_TILE_ROWS_HALF * lanes, out.dtype), packed.reshape(-1)
    geometry = _geometry(columns, C, kh, kw, stride)
    for n in range(first, last):
        _fill_padded(x[n], top, left, spread, padded)
        image = out[n]
        for s in range(strips):
            o, begin = s * lanes, s * kh * kw * C * lanes
            if lanes * out.itemsize == BYTES:
                tile = load_tile(biases, o, 0, _TILE_ROWS_FULL, BYTES)
                _correlate_strip(tile, _TILE_ROWS_FULL, lanes, flat, geometry, W, begin, scratch, image, K, o)
            else:
                half_tile = load_tile(biases, o, 0, _TILE_ROWS_HALF, _HALF_VECTOR)
                half = _TILE_ROWS_HALF
                _correlate_strip(half_tile, half, lanes, flat, geometry, W, begin, scratch, image, K, o)


@parallel_kernel
def correlate(x, W, flipped, b, stride, spread, top, left, out):
    """out[n, i, j, o] = b[o] + sum over ky, kx, c of W[ky, kx, c, o] f[n, i stride + ky, j stride + kx, c].

    Overwrites ``out``. The padded image f is x with its pixels ``spread`` apart and 0 elsewhere:
    f[n, top + spread i, left + spread j] = x[n, i, j]. Bytes are divided by 255. b: (K,) or (0,).

    If ``flipped``, the weight is W[kh - 1 - ky, kw - 1 - kx, o, c]. So a convolution's dx is the flipped
    correlation of its delta, with its stride as the spread and kh - 1 less its top as the top.
    """
    packed, biases = _pack_weights(W, flipped, b, out)
    for k in prange(_count_sample_chunks(len(x))):
        first, last = _samples(k, len(x))
        _correlate_samples(x, first, last, packed, biases, stride, spread, top, left, out)


# ---- the gradient of the weights ---------------------------------------------------------------------------

@kernel
def _add_gradient(kind, tile_rows, lanes, padded, geometry, delta, rows, shape, o, part, begin):
    """Add to a strip of dW what the rows of one image's delta give, from rows[0] to before rows[1].

    A tile, of which ``kind`` is an example, has ``tile_rows`` rows of dW, whose inputs lie side by side in
    the flat padded image; the last tile of a run may hold rows that mean nothing. ``delta`` is flat, shape =
    (width, channels). The strip is written to the flat ``part``, from ``begin`` on.
    """
    line, pixel_step, row_step, kh, run = geometry
    width, K = shape
    tiles = _count_chunks(run, tile_rows)
    for ky in range(kh):
        for q in range(tiles):
            target = begin + (ky * tiles + q) * tile_rows * lanes
            tile = load_tile_like(kind, part, target, lanes)
            for i in range(rows[0], rows[1]):
                window = i * row_step + ky * line + q * tile_rows
                for j in range(width):
                    tile = add_outer(tile, padded, window + j * pixel_step, 1, delta, (i * width + j) * K + o)
            store_tile(tile, part, target, lanes)


@kernel
def _gradient_of_samples(x, delta, first, last, kh, kw, stride, top, left, part):
    """part = the strips of dW, (strips, kh, rows, lanes), summed up over the samples ``first`` to before
    ``last``.
    """
    strips, _, strip_rows, lanes = part.shape
    _, height, width, K = delta.shape
    C, channels = x.shape[3], strips * lanes
    rows, columns = (height - 1) * stride + kh, (width - 1) * stride + kw
    padded, flat = _new_padded(rows, columns, C, strip_rows, part)
    geometry, shape = _geometry(columns, C, kh, kw, stride), (width, channels)
    whole_vectors = np.zeros(height * width * channels if channels > K else 0, part.dtype)
    block = max(1, _L1_BYTES // (stride * columns * C + width * lanes) // part.itemsize)
    part[:] = 0
    sums = part.reshape(-1)
    for n in range(first, last):
        _fill_padded(x[n], top, left, 1, padded)
        errors = delta[n].reshape(-1)
        if channels > K:
            _copy_corner(errors, K, height * width, K, whole_vectors, 0, channels)
            errors = whole_vectors
        for i in range(0, height, block):
            some = i, min(height, i + block)
            for s in range(strips):
                o, begin = s * lanes, s * kh * strip_rows * lanes
                if lanes * part.itemsize == BYTES:
                    kind = load_tile(sums, 0, 0, _TILE_ROWS_FULL, BYTES)
                    _add_gradient(kind, _TILE_ROWS_FULL, lanes, flat, geometry, errors, some, shape, o,
                                  sums, begin)
                elif kw * C % _TILE_ROWS_3X3 == 0:
                    kind_3x3 = load_tile(sums, 0, 0, _TILE_ROWS_3X3, _HALF_VECTOR)
                    _add_gradient(kind_3x3, _TILE_ROWS_3X3, lanes, flat, geometry, errors, some, shape, o,
                                  sums, begin)
                else:
                    kind_half = load_tile(sums, 0, 0, _TILE_ROWS_HALF, _HALF_VECTOR)
                    _add_gradient(kind_half, _TILE_ROWS_HALF, lanes, flat, geometry, errors, some, shape, o,
                                  sums, begin)


@kernel
def _tile_rows(run, lanes, like):
    """Return how many rows the tiles of dW have, as `_gradient_of_samples` chooses them."""
    if lanes * like.itemsize == BYTES:
        return _TILE_ROWS_FULL
    return _TILE_ROWS_3X3 if run % _TILE_ROWS_3X3 == 0 else _TILE_ROWS_HALF


@parallel_kernel
def weight_gradient(x, delta, stride, top, left, dW):
    """dW[ky, kx, c, o] = the sum over n, i, j of delta[n, i, j, o] f[n, i stride + ky, j stride + kx, c].
    Overwrites ``dW``.

    The padded image f is as in `correlate`, its pixels side by side. Samples are summed up in chunks, and
    these in order.
    """
    parts = _new_parts(len(x), dW)
    for k in prange(len(parts)):
        first, last = _samples(k, len(x))
        _gradient_of_samples(x, delta, first, last, dW.shape[0], dW.shape[1], stride, top, left, parts[k])
    _add_parts(parts, dW)


@kernel
def _new_parts(N, dW):
    """Return an array for the sums of every chunk of samples: (chunks, strips, kh, rows of whole tiles,
    lanes).
    """
    kh, kw, C, K = dW.shape
    lanes = _lanes(K, dW)
    tile_rows = _tile_rows(kw * C, lanes, dW)
    strip_rows = _count_chunks(kw * C, tile_rows) * tile_rows
    return np.empty((_count_sample_chunks(N), _count_chunks(K, lanes), kh, strip_rows, lanes), dW.dtype)


@kernel
def _add_parts(parts, dW):
    """dW = the sum of the parts, in order."""
    kh, kw, C, K = dW.shape
    lanes = parts.shape[4]
    for ky in range(kh):
        for kx in range(kw):
            for c in range(C):
                for o in range(K):
                    total = parts[0, o // lanes, ky, kx * C + c, o % lanes]
                    for k in range(1, len(parts)):
                        total += parts[k, o // lanes, ky, kx * C + c, o % lanes]
                    dW[ky, kx, c, o] = total


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
    """db[o] = the sum of delta (N, H, W, K) over samples and pixels, in chunks as in `weight_gradient`.
    Overwrites ``db``.
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
