"""A convolution of each channel with a window of its own, and its gradients."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from .gradient import _add_sums, _sums_of_samples
from .padded import _count_sample_chunks, _fill_padded, _new_padded, _padded_size, _samples


@kernel
def _weight_of_each_number(W, flipped, width, out):
    """out[ky, kx, j C + c] = the weight of the channel c, for ``width`` pixels side by side."""
    kh, kw, _, C = W.shape
    for ky in range(kh):
        for kx in range(kw):
            for j in range(width):
                for c in range(C):
                    out[ky, kx, j * C + c] = W[kh - 1 - ky, kw - 1 - kx, 0, c] if flipped else W[ky, kx, 0, c]


@parallel_kernel
def correlate_channels(x, W, flipped, b, steps, spread, dilation, corner, out):
    """As `correlate`, with as many groups as there are channels, of one filter each: W (kh, kw, 1, C)."""
    kh, kw, _, C = W.shape
    _, height, width, _ = out.shape
    weights = np.empty((kh, kw, width * C), out.dtype)
    _weight_of_each_number(W, flipped, width, weights)
    for k in prange(_count_sample_chunks(len(x))):
        first, last = _samples(k, len(x))
        padded, _ = _new_padded(_padded_size((height, width), (kh, kw), steps, dilation), C, 0, out)
        for n in range(first, last):
            _fill_padded(x[n], 0, corner, spread, padded)
            for i in range(height):
                _correlate_row(padded, i * steps[0], steps[1], dilation, weights, b, out[n, i])


@kernel
def _correlate_row(padded, top, step, dilation, weights, b, out):
    """A row of outputs (width, C) of the windows that begin in the line ``top`` of a padded image."""
    kh, kw, _ = weights.shape
    width, C = out.shape
    row = out.reshape(-1)
    for k in range(row.size):
        row[k] = b[k % C] if b.size else 0
    for ky in range(kh):
        line = padded[top + ky * dilation[0]].reshape(-1)
        for kx in range(kw):
            begin, weight = kx * dilation[1] * C, weights[ky, kx]
            if step == 1:
                for k in range(row.size):
                    row[k] += weight[k] * line[begin + k]
            else:
                for j in range(width):
                    for c in range(C):
                        row[j * C + c] += weight[c] * line[begin + j * step * C + c]


@parallel_kernel
def gradient_of_channels(x, delta, steps, dilation, corner, dW, db):
    """As `gradients` for `correlate_channels`."""
    kh, kw, _, C = dW.shape
    _, height, width, _ = delta.shape
    chunks = _count_sample_chunks(len(x))
    parts, sums = np.zeros((chunks, kh * kw * C), dW.dtype), np.empty((chunks, db.size), dW.dtype)
    for k in prange(chunks):
        first, last = _samples(k, len(x))
        padded, _ = _new_padded(_padded_size((height, width), (kh, kw), steps, dilation), C, 0, dW)
        for n in range(first, last):
            _fill_padded(x[n], 0, corner, (1, 1), padded)
            for i in range(height):
                _add_row(padded, i * steps[0], steps[1], dilation, delta[n, i], parts[k].reshape(kh, kw, C))
        if db.size:
            _sums_of_samples(delta, first, last, sums[k])
    _add_sums(parts, dW.reshape(-1))
    _add_sums(sums, db)


@kernel
def _add_row(padded, top, step, dilation, delta, part):
    """Add to a part of dW, (kh, kw, C), what a row of deltas (width, C) gives."""
    kh, kw, C = part.shape
    for ky in range(kh):
        line = padded[top + ky * dilation[0]]
        for kx in range(kw):
            sums = part[ky, kx]
            for j in range(len(delta)):
                errors, pixel = delta[j], line[j * step + kx * dilation[1]]
                for c in range(C):
                    sums[c] += errors[c] * pixel[c]
