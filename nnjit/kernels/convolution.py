"""Images: convolution and its gradients, pooling, flips and shifts.

Images are (N, H, W, C), weights (kh, kw, C, K). In an image that lies in memory as a flat array, the kw pixels below a row of
weights are kw C numbers side by side, so that the convolution of a row of pixels is kh products of matrices, whose left
factors need not be written down: row j begins C numbers after row j - 1. A tile of such a product, a few pixels by a vector of
output channels, is kept in registers over all weights that are summed up.

An image is copied into a `frame` of its own first, wide enough that no weight lies outside it and small enough for the nearest
caches. What is computed for a sample belongs to one task; sums over samples are taken a fixed number of parts at a time.
"""
import numpy as np
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES
from .._numba.tiles import add_outer, load_tile, load_tile_like, store_tile
from .elementary import intensity

_TASKS = 16            # at most; sums over samples have as many parts
_HALF = BYTES // 2     # a vector for few channels: half of one
_FEW, _MANY = 4, 8     # rows of a tile of whole vectors and of half ones: half of AVX's sixteen registers
_NINE = 9              # rows of a tile that suit the 3 x 3 pixels of the first layer
_NEAREST = 16384       # bytes of an image's rows that are worked on at a time


@kernel
def _share(task, N):
    """Return the first of the samples that belong to the task, and the one after the last."""
    tasks = min(N, _TASKS)
    return np.int64(task) * N // tasks, (np.int64(task) + 1) * N // tasks


# ---- frames ---------------------------------------------------------------------------------------------------------

@kernel
def _fill_frame(image, top, left, spread, frame):
    """Copy image (H, W, C) into the zeros of frame (FH, FW, C), its pixels ``spread`` apart, as far as it reaches."""
    H, W, C = image.shape
    height, width = min(H, (frame.shape[0] - top + spread - 1) // spread), min(W, (frame.shape[1] - left + spread - 1) // spread)
    zero = frame.dtype.type(0)
    for i in range(height):
        if spread == 1:
            source, target = image[i].reshape(-1), frame[top + i].reshape(-1)[left * C:]
            for k in range(width * C):
                target[k] = intensity(source[k], zero)
        else:
            for j in range(width):
                for c in range(C):
                    frame[top + i * spread, left + j * spread, c] = intensity(image[i, j, c], zero)


@kernel
def _new_frame(height, width, C, slack, like):
    """Return zeros of shape (height, width, C), and the same flat with ``slack`` more: a tile may read past the end."""
    size = height * width * C
    memory = np.zeros(size + slack, like.dtype)
    return memory[:size].reshape(height, width, C), memory


# ---- convolution ----------------------------------------------------------------------------------------------------

@kernel
def _lanes(channels, like):
    """Return how many channels a vector holds: a whole one where they fill it, else half of one."""
    whole = BYTES // like.itemsize
    return whole if channels % whole == 0 else whole // 2


@kernel
def _in_strips(W, flipped, b, out):
    """Return the weights as (strips, kh, kw, C, lanes), and the biases (strips lanes,), both with zeros to fill the last strip.

    Lane l of strip s belongs to the output channel o = s lanes + l: W[ky, kx, c, o], or W[kh-1-ky, kw-1-kx, o, c] if flipped.
    """
    kh, kw, C, K = W.shape
    if flipped:
        C, K = K, C
    lanes = _lanes(K, out)
    strips = (K + lanes - 1) // lanes
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
def _copy_corner(source, lanes, rows, columns, out, place, step):
    """out[place + p step + l] = source[p lanes + l] for p < rows and l < columns."""
    for p in range(rows):
        for k in range(columns):
            out[place + p * step + k] = source[p * lanes + k]


@kernel
def _correlate_strip(biases, pixels, lanes, frame, row, across, down, taps, span, W, begin, spare, out, K, o):
    """One image's output channels o to o + lanes: ``biases`` is the tile to begin with, of ``pixels`` rows.

    A row of the flat frame has ``row`` numbers, and two pixels of the output are ``across`` or ``down`` of them apart. The
    strip's weights are ``taps`` runs of ``span`` rows in the flat W, from ``begin`` on. What lies outside of out, (height,
    width, K), goes by way of ``spare``.
    """
    height, width = out.shape[0], out.shape[1]
    flat = out.reshape(-1)
    for i in range(height):
        for j in range(0, width, pixels):
            tile = biases
            for t in range(taps):
                place, weights = i * down + j * across + t * row, begin + t * span * lanes
                for k in range(span):
                    tile = add_outer(tile, frame, place + k, across, W, weights + k * lanes)
            target = (i * width + j) * K + o
            if j + pixels <= width and o + lanes <= K:
                store_tile(tile, flat, target, K)
            else:
                store_tile(tile, spare, 0, lanes)
                _copy_corner(spare, lanes, min(pixels, width - j), min(lanes, K - o), flat, target, K)


@kernel
def _correlate_samples(x, first, last, packed, biases, stride, spread, top, left, out):
    strips, kh, kw, C, lanes = packed.shape
    _, height, width, K = out.shape
    rows, columns = (height - 1) * stride + kh, (width - 1) * stride + kw
    frame, flat = _new_frame(rows, columns, C, _MANY * stride * C, out)
    spare, W = np.empty(_MANY * lanes, out.dtype), packed.reshape(-1)
    row, across, down, span = columns * C, stride * C, stride * columns * C, kw * C
    for n in range(first, last):
        _fill_frame(x[n], top, left, spread, frame)
        for s in range(strips):
            o, begin = s * lanes, s * kh * span * lanes
            if lanes * out.itemsize == BYTES:
                _correlate_strip(load_tile(biases, o, 0, _FEW, BYTES), _FEW, lanes, flat, row, across, down, kh, span, W, begin,
                                 spare, out[n], K, o)
            else:
                _correlate_strip(load_tile(biases, o, 0, _MANY, _HALF), _MANY, lanes, flat, row, across, down, kh, span, W,
                                 begin, spare, out[n], K, o)


@parallel_kernel
def correlate(x, W, flipped, b, stride, spread, top, left, out):
    """out[n, i, j, o] = b[o] + the sum over ky, kx, c of W[ky, kx, c, o] f[n, i stride + ky, j stride + kx, c].

    The frame f is x with its pixels ``spread`` apart and 0 elsewhere: f[n, top + spread i, left + spread j] = x[n, i, j].
    Bytes are divided by 255. If ``flipped``, the weight is W[kh - 1 - ky, kw - 1 - kx, o, c]: delta, spread by a convolution's
    stride and with top = kh - 1 - its top, so gives that convolution's dx. ``b`` has the size 0 without biases.
    """
    packed, biases = _in_strips(W, flipped, b, out)
    for task in prange(min(len(x), _TASKS)):
        first, last = _share(task, len(x))
        _correlate_samples(x, first, last, packed, biases, stride, spread, top, left, out)


# ---- the gradient of the weights ------------------------------------------------------------------------------------

@kernel
def _add_gradient(kind, height, lanes, frame, row, across, down, taps, span, delta, first, last, width, K, o, part, begin):
    """Add to a strip of dW what the rows ``first`` to ``last`` of one image's delta give.

    A tile, ``kind`` is one, has ``height`` rows of dW, whose inputs lie side by side in the flat frame; the last tile of a run
    may hold rows that mean nothing. ``delta`` is flat, of K channels. The strip is written from ``begin`` on.
    """
    tiles = (span + height - 1) // height
    for t in range(taps):
        for q in range(tiles):
            target = begin + (t * tiles + q) * height * lanes
            tile = load_tile_like(kind, part, target, lanes)
            for i in range(first, last):
                place = i * down + t * row + q * height
                for j in range(width):
                    tile = add_outer(tile, frame, place + j * across, 1, delta, (i * width + j) * K + o)
            store_tile(tile, part, target, lanes)


@kernel
def _gradient_of_samples(x, delta, first, last, kh, kw, stride, top, left, part):
    """part = the strips of dW, (strips, kh, rows, lanes), summed up over the samples ``first`` to ``last``."""
    strips, _, rounded, lanes = part.shape
    _, height, width, K = delta.shape
    C = x.shape[3]
    rows, columns = (height - 1) * stride + kh, (width - 1) * stride + kw
    frame, flat = _new_frame(rows, columns, C, rounded, part)
    row, across, down, span = columns * C, stride * C, stride * columns * C, kw * C
    whole = strips * lanes
    padded = np.zeros(height * width * whole if whole > K else 0, part.dtype)
    block = max(1, _NEAREST // (stride * row + width * lanes) // part.itemsize)
    part[:] = 0
    sums = part.reshape(-1)
    for n in range(first, last):
        _fill_frame(x[n], top, left, 1, frame)
        strip = delta[n].reshape(-1)
        if whole > K:
            _copy_corner(strip, K, height * width, K, padded, 0, whole)
            strip = padded
        for i in range(0, height, block):
            end = min(height, i + block)
            for s in range(strips):
                o, begin = s * lanes, s * kh * rounded * lanes
                if lanes * part.itemsize == BYTES:
                    _add_gradient(load_tile(sums, 0, 0, _FEW, BYTES), _FEW, lanes, flat, row, across, down, kh, span, strip,
                                  i, end, width, whole, o, sums, begin)
                elif span % _NINE == 0:
                    _add_gradient(load_tile(sums, 0, 0, _NINE, _HALF), _NINE, lanes, flat, row, across, down, kh, span, strip,
                                  i, end, width, whole, o, sums, begin)
                else:
                    _add_gradient(load_tile(sums, 0, 0, _MANY, _HALF), _MANY, lanes, flat, row, across, down, kh, span, strip,
                                  i, end, width, whole, o, sums, begin)


@kernel
def _tile_height(span, lanes, like):
    if lanes * like.itemsize == BYTES:
        return _FEW
    return _NINE if span % _NINE == 0 else _MANY


@parallel_kernel
def weight_gradient(x, delta, stride, top, left, dW):
    """dW[ky, kx, c, o] = the sum over n, i, j of delta[n, i, j, o] f[n, i stride + ky, j stride + kx, c].

    The frame f is as in `correlate`, its pixels side by side. Samples are summed up in parts, and these in order.
    """
    parts = _parts_of_gradient(len(x), dW)
    for task in prange(len(parts)):
        first, last = _share(task, len(x))
        _gradient_of_samples(x, delta, first, last, dW.shape[0], dW.shape[1], stride, top, left, parts[task])
    _add_parts(parts, dW)


@kernel
def _parts_of_gradient(N, dW):
    kh, kw, C, K = dW.shape
    lanes = _lanes(K, dW)
    strips, height = (K + lanes - 1) // lanes, _tile_height(kw * C, lanes, dW)
    return np.empty((min(N, _TASKS), strips, kh, (kw * C + height - 1) // height * height, lanes), dW.dtype)


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
                    for task in range(1, len(parts)):
                        total += parts[task, o // lanes, ky, kx * C + c, o % lanes]
                    dW[ky, kx, c, o] = total


_STRETCH = 1024    # numbers that are summed up side by side, in a multiple of the channels


@kernel
def _sums_of_samples(a, first, last, sums):
    K = sums.size
    stretch = max(1, _STRETCH // K) * K
    flat, many = a[first:last].reshape(-1), np.zeros(stretch, a.dtype)
    for begin in range(0, flat.size, stretch):
        some = flat[begin:min(begin + stretch, flat.size)]
        for k in range(some.size):
            many[k] += some[k]
    sums[:] = 0
    for begin in range(0, stretch, K):
        for o in range(K):
            sums[o] += many[begin + o]


@parallel_kernel
def bias_gradient(delta, db):
    """db[o] = the sum of delta (N, H, W, K) over samples and pixels, in parts as in `weight_gradient`."""
    parts = np.empty((min(len(delta), _TASKS), db.size), db.dtype)
    for task in prange(len(parts)):
        first, last = _share(task, len(delta))
        _sums_of_samples(delta, first, last, parts[task])
    _add_sums(parts, db)


@kernel
def _add_sums(parts, db):
    for o in range(db.size):
        db[o] = parts[0, o]
        for task in range(1, len(parts)):
            db[o] += parts[task, o]
