"""Normalisation: numbers less their mean, over their deviation, times gamma plus beta; and the gradients.

A batch's statistics are those of each channel, over rows and pixels, a layer's those of each row or pixel,
over its channels. Sums go over chunks of rows that fit into the first cache; the chunks' are joined in order,
in float64, so that the bits do not depend on the number of threads.

Shapes: x, out, delta and dx are rows (M, C), and for batches (M, R C), with R pixels side by side in each, so
that few channels still make long rows; row i belongs to the example i N / M. w (N,) are the examples'
weights, gamma and beta (C,).

Sources: S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015; J. Ba, J. Kiros, G. Hinton, "Layer
normalization", 2016; T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance", The
American Statistician 37, 1983 (how means and squared deviations of chunks are joined).
"""
import math

import numpy as np
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from ._chunks import _chunk, _count_chunks

_CHUNK_BYTES = 2**14    # of the rows of a chunk
_SERIAL_BYTES = 2**17   # up to which one thread is faster


@kernel
def _chunk_rows(x):
    return max(1, _CHUNK_BYTES // (x.shape[1] * x.itemsize))


@kernel
def _is_small(x):
    return x.size * x.itemsize <= _SERIAL_BYTES


@kernel
def _tiled(values, size, like):
    """Return the values of the channels, repeated for the pixels side by side, in like's dtype."""
    tiled = np.empty(size, like.dtype)
    for k in range(size):
        tiled[k] = values[k % values.size]
    return tiled


# ---- the statistics of a batch -----------------------------------------------------------------------------

@kernel
def _chunk_moments(x, w, first, last, sums):
    """sums = the means and the squared deviations of some rows, (3, R C) with scratch; return their weight.

    The deviations are from a rounded mean, whose error their sum tells (the corrected two-pass algorithm).
    """
    per_example, mean, deviations, errors = x.shape[0] // w.size, sums[0], sums[1], sums[2]
    weight = 0.0
    sums[:] = 0
    for i in range(first, last):
        row_weight, row = w[i // per_example], x[i]
        weight += row_weight
        for k in range(mean.size):
            mean[k] += row_weight * row[k]
    if weight == 0:
        return weight
    fraction = x.dtype.type(1 / weight)
    for k in range(mean.size):
        mean[k] *= fraction
    for i in range(first, last):
        row_weight, row = w[i // per_example], x[i]
        for k in range(mean.size):
            error = row[k] - mean[k]
            weighted = row_weight * error
            errors[k] += weighted
            deviations[k] += weighted * error
    for k in range(mean.size):
        correction = errors[k] * fraction
        mean[k] += correction
        deviations[k] = max(deviations[k] - errors[k] * correction, x.dtype.type(0))
    return weight


@kernel
def _join_chunks(sums, weights, mean, deviations):
    """From chunks to all rows: write means and squared deviations (R C), return the weight."""
    total = 0.0
    mean[:] = 0
    deviations[:] = 0
    for chunk in range(weights.size):
        weight = weights[chunk]
        if weight == 0:
            continue
        total += weight
        fraction = weight / total
        cross = weight * (1 - fraction)
        for k in range(mean.size):
            apart = sums[chunk, 0, k] - mean[k]
            mean[k] += apart * fraction
            deviations[k] += sums[chunk, 1, k] + apart * apart * cross
    return total


@kernel
def _join_pixels(mean, deviations, weight, statistics):
    """From the pixels side by side to channels: statistics (2, C) = the means and the variances."""
    C = statistics.shape[1]
    R = mean.size // C
    for c in range(C):
        centre = 0.0
        for r in range(R):
            centre += mean[r * C + c]
        centre /= R
        total = 0.0
        for r in range(R):
            apart = mean[r * C + c] - centre
            total += deviations[r * C + c] + weight * apart * apart
        statistics[0, c], statistics[1, c] = centre, total / (weight * R)


@parallel_kernel
def batch_statistics(x, w, moving_mean, moving_variance, statistics):
    """statistics (2, C) = the weighted mean and variance of each channel; without any weight the moving ones.

    mean = sum w x / sum w, variance = sum w (x - mean)^2 / sum w.
    """
    M, K = x.shape
    height = _chunk_rows(x)
    chunks = _count_chunks(M, height)
    sums, weights = np.empty((chunks, 3, K), x.dtype), np.empty(chunks)
    if _is_small(x):
        for chunk in range(chunks):
            first, last = _chunk(chunk, M, height)
            weights[chunk] = _chunk_moments(x, w, first, last, sums[chunk])
    else:
        for chunk in prange(chunks):
            first, last = _chunk(chunk, M, height)
            weights[chunk] = _chunk_moments(x, w, first, last, sums[chunk])
    mean, deviations = np.empty(K), np.empty(K)
    weight = _join_chunks(sums, weights, mean, deviations)
    if weight > 0:
        _join_pixels(mean, deviations, weight, statistics)
    else:
        statistics[0], statistics[1] = moving_mean, moving_variance


# ---- with the statistics of each channel -------------------------------------------------------------------

@kernel
def _inverse_deviations(variance, epsilon):
    inverse = np.empty(variance.size)
    for c in range(variance.size):
        inverse[c] = 1 / math.sqrt(variance[c] + epsilon)
    return inverse


@kernel
def _normalize_rows(x, mean, scale, beta, first, last, out):
    for i in range(first, last):
        row, target = x[i], out[i]
        for k in range(row.size):
            target[k] = (row[k] - mean[k]) * scale[k] + beta[k]


@parallel_kernel
def normalize(x, mean, variance, epsilon, gamma, beta, out):
    """out = gamma (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance (C,) of each channel.
    out may be x.
    """
    M, K = x.shape
    scale = _tiled(gamma * _inverse_deviations(variance, epsilon), K, x)
    mean, beta = _tiled(mean, K, x), _tiled(beta, K, x)
    height = _chunk_rows(x)
    if _is_small(x):
        _normalize_rows(x, mean, scale, beta, 0, M, out)
    else:
        for chunk in prange(_count_chunks(M, height)):
            first, last = _chunk(chunk, M, height)
            _normalize_rows(x, mean, scale, beta, first, last, out)


@kernel
def _chunk_gradients(x, mean, delta, first, last, sums):
    """sums = those of delta (x - mean) and of delta over some rows, (2, R C)."""
    by_gamma, by_beta = sums[0], sums[1]
    sums[:] = 0
    for i in range(first, last):
        row, slope = x[i], delta[i]
        for k in range(row.size):
            by_gamma[k] += slope[k] * (row[k] - mean[k])
            by_beta[k] += slope[k]


@kernel
def _add_chunks(sums, gradients):
    """gradients (2, C) = the sums of all chunks, and of the pixels side by side."""
    chunks, _, K = sums.shape
    C = gradients.shape[1]
    totals = np.zeros((2, K))
    for chunk in range(chunks):
        for j in range(2):
            for k in range(K):
                totals[j, k] += sums[chunk, j, k]
    gradients[:] = 0
    for j in range(2):
        for k in range(K):
            gradients[j, k % C] += totals[j, k]


@parallel_kernel
def normalize_gradients(x, mean, variance, epsilon, delta, dgamma, dbeta):
    """dgamma = sum delta (x - mean) / sqrt(variance + epsilon), dbeta = sum delta: of each channel (C,)."""
    M, K = x.shape
    inverse, centre = _inverse_deviations(variance, epsilon), _tiled(mean, K, x)
    height = _chunk_rows(x)
    chunks = _count_chunks(M, height)
    sums, gradients = np.empty((chunks, 2, K), x.dtype), np.empty((2, mean.size))
    if _is_small(x):
        for chunk in range(chunks):
            first, last = _chunk(chunk, M, height)
            _chunk_gradients(x, centre, delta, first, last, sums[chunk])
    else:
        for chunk in prange(chunks):
            first, last = _chunk(chunk, M, height)
            _chunk_gradients(x, centre, delta, first, last, sums[chunk])
    _add_chunks(sums, gradients)
    for c in range(mean.size):
        dgamma[c], dbeta[c] = gradients[0, c] * inverse[c], gradients[1, c]


@kernel
def _scale_rows(delta, scale, first, last, dx):
    for i in range(first, last):
        row, target = delta[i], dx[i]
        for k in range(row.size):
            target[k] = row[k] * scale[k]


@parallel_kernel
def normalize_backward(delta, variance, epsilon, gamma, dx):
    """dx = delta gamma / sqrt(variance + epsilon), where the statistics do not depend on x. dx may be delta.
    """
    M, K = delta.shape
    scale = _tiled(gamma * _inverse_deviations(variance, epsilon), K, delta)
    height = _chunk_rows(delta)
    if _is_small(delta):
        _scale_rows(delta, scale, 0, M, dx)
    else:
        for chunk in prange(_count_chunks(M, height)):
            first, last = _chunk(chunk, M, height)
            _scale_rows(delta, scale, first, last, dx)


@kernel
def _batch_rows_backward(x, w, delta, mean, scale, slope, shift, first, last, dx):
    per_example = x.shape[0] // w.size
    for i in range(first, last):
        weight, row, given, target = w[i // per_example], x[i], delta[i], dx[i]
        for k in range(row.size):
            target[k] = given[k] * scale[k] - weight * (shift[k] + (row[k] - mean[k]) * slope[k])


@parallel_kernel
def normalize_batch_backward(x, w, delta, statistics, epsilon, gamma, dgamma, dbeta, dx):
    """`normalize_backward` where x also acts through mean and variance, those of `batch_statistics`: dx =
    gamma s (delta - v (dbeta + xhat dgamma)), with s = 1 / sqrt(variance + epsilon), xhat = s (x - mean) and
    v = w / sum w. dx may be delta.

    ``dgamma`` and ``dbeta`` are those of `normalize_gradients`.
    """
    M, K = x.shape
    C, weight = gamma.size, 0.0
    for n in range(w.size):
        weight += w[n]
    v = 1 / (weight * (M // w.size) * (K // C)) if weight > 0 else 0.0
    inverse = _inverse_deviations(statistics[1], epsilon)
    factor = gamma * inverse
    scale, shift = _tiled(factor, K, x), _tiled(factor * dbeta * v, K, x)
    slope, mean = _tiled(factor * inverse * dgamma * v, K, x), _tiled(statistics[0], K, x)
    height = _chunk_rows(x)
    if _is_small(x):
        _batch_rows_backward(x, w, delta, mean, scale, slope, shift, 0, M, dx)
    else:
        for chunk in prange(_count_chunks(M, height)):
            first, last = _chunk(chunk, M, height)
            _batch_rows_backward(x, w, delta, mean, scale, slope, shift, first, last, dx)


# ---- with the statistics of each row -----------------------------------------------------------------------

@kernel
def _layer_row(row, epsilon, gamma, beta, target):
    """target = the normalised row, times gamma plus beta; return mean and 1 / sqrt(variance + epsilon)."""
    T, K = type(row[0]), row.size
    total = T(0)
    for k in range(K):
        total += row[k]
    mean = T(total / K)
    squares = T(0)
    for k in range(K):
        squares += (row[k] - mean) * (row[k] - mean)
    inverse = T(1 / math.sqrt(squares / K + epsilon))
    for k in range(K):
        target[k] = (row[k] - mean) * inverse * gamma[k] + beta[k]
    return mean, inverse


@kernel
def _layer_rows(x, epsilon, gamma, beta, first, last, statistics, out):
    for i in range(first, last):
        statistics[i, 0], statistics[i, 1] = _layer_row(x[i], epsilon, gamma, beta, out[i])


@parallel_kernel
def layer_normalize(x, epsilon, gamma, beta, statistics, out):
    """out = gamma (x - mean) / sqrt(variance + epsilon) + beta with mean and variance of each row (C,).

    statistics (M, 2) = the mean and 1 / sqrt(variance + epsilon).
    """
    M, height = x.shape[0], _chunk_rows(x)
    if _is_small(x):
        _layer_rows(x, epsilon, gamma, beta, 0, M, statistics, out)
    else:
        for chunk in prange(_count_chunks(M, height)):
            first, last = _chunk(chunk, M, height)
            _layer_rows(x, epsilon, gamma, beta, first, last, statistics, out)


@kernel
def _layer_row_backward(row, mean, inverse, gamma, delta, sums, target):
    """target = dL/dx of a row; add delta xhat and delta to the sums (2, C)."""
    T, K, by_gamma, by_beta = type(row[0]), row.size, sums[0], sums[1]
    slope, along = T(0), T(0)
    for k in range(K):
        product = delta[k] * gamma[k]
        slope += product
        along += product * (row[k] - mean)
    slope, along = T(slope / K), T(along * inverse * inverse / K)
    for k in range(K):
        given, error = delta[k], row[k] - mean
        by_gamma[k] += given * error * inverse
        by_beta[k] += given
        target[k] = inverse * (given * gamma[k] - slope - error * along)


@kernel
def _layer_rows_backward(x, statistics, gamma, delta, first, last, sums, dx):
    sums[:] = 0
    for i in range(first, last):
        _layer_row_backward(x[i], statistics[i, 0], statistics[i, 1], gamma, delta[i], sums, dx[i])


@parallel_kernel
def layer_normalize_backward(x, statistics, gamma, delta, dgamma, dbeta, dx):
    """dx = s (g - mean g - xhat mean(g xhat)) with g = gamma delta, xhat = s (x - mean), and s and the mean
    of `layer_normalize`; dgamma = sum delta xhat, dbeta = sum delta. dx may be delta.
    """
    M, K = x.shape
    height = _chunk_rows(x)
    chunks = _count_chunks(M, height)
    sums, gradients = np.empty((chunks, 2, K), x.dtype), np.empty((2, K))
    if _is_small(x):
        for chunk in range(chunks):
            first, last = _chunk(chunk, M, height)
            _layer_rows_backward(x, statistics, gamma, delta, first, last, sums[chunk], dx)
    else:
        for chunk in prange(chunks):
            first, last = _chunk(chunk, M, height)
            _layer_rows_backward(x, statistics, gamma, delta, first, last, sums[chunk], dx)
    _add_chunks(sums, gradients)
    for k in range(K):
        dgamma[k], dbeta[k] = gradients[0, k], gradients[1, k]
