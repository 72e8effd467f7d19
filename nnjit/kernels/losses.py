"""Losses fused with their deltas: one pass over the logits gives the loss, dL/dz and the right decisions.

The loss of a batch is L = sum_i w_i l_i / total. ``total`` is given: sum_i w_i where the batch stands by
itself, and in a training a number that gives weights the same force in batches of any size. Kernels return
sums in float64, which nothing has been divided by: where all weights are 1, those of right decisions are
whole numbers. Weights are added up in the order of what they weigh, so that where all rows are right the two
sums are the same. A row of weight 0 counts for nothing, whatever it holds.

Independent units take two passes: a kernel of their distribution gives l and dl/dz of every number,
`weighted_sums` makes them the loss and the delta of the batch.
"""
import math

import numpy as np
from numba import prange

from .._numba.jit import formula, kernel, parallel_kernel
from .elementary import exp, log1p
from .softmax import exponentials

_CHUNK = 2560    # numbers; the sums of the chunks are added up in order


@kernel
def _argmax(row):
    """Return the index of the largest entry, the first of equals."""
    best, top = 0, row[0]
    for k in range(1, row.size):
        if row[k] > top:
            best, top = k, row[k]
    return best


@kernel
def argmax(z, out):
    """out[i] = the index of the largest entry of z[i], the first of equals; return `first_nan`.

    z: (N, K); out: (N,) int64.
    """
    for i in range(z.shape[0]):
        out[i] = _argmax(z[i])
    return first_nan(z)


@kernel
def first_nan(z):
    """Return the number of the first row of z (N, K) with a NaN, -1 where there is none."""
    for i in range(z.shape[0]):
        for k in range(z.shape[1]):
            if np.isnan(z[i, k]):
                return i
    return -1


@kernel
def _sum(values):
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


@kernel
def total_weight(w):
    """Return the sum of w (N,) in float64."""
    return _sum(w)


@kernel
def _subtract_row_max(z, y, w, delta):
    """delta = z - the row's maximum; return the sums of w sum_k y_k (maximum - z_k), w [right] and w."""
    loss, correct, weight = 0.0, 0.0, 0.0
    for i in range(z.shape[0]):
        decision = _argmax(z[i])
        top = z[i, decision]
        weight += w[i]
        if w[i] != 0:
            if y.ndim == 1:
                loss += w[i] * (top - z[i, y[i]])
                correct += w[i] * (decision == y[i])
            else:
                loss += w[i] * _cross_entropy_term(z[i], top, y[i])
                correct += w[i] * (decision == _argmax(y[i]))
        for k in range(z.shape[1]):
            delta[i, k] = z[i, k] - top
    return loss, correct, weight


@kernel
def _cross_entropy_term(z, top, y):
    total = 0.0
    for k in range(z.size):
        total += y[k] * (top - z[k])
    return total


@kernel
def _normalise_minus_target(y, w, total, delta):
    """From delta = e, the exponentials, to dL/dz; return the sum of w (sum_k y_k) log(sum_k e_k)."""
    # delta = w (p - y) / total, p = e / sum e
    loss = 0.0
    for i in range(delta.shape[0]):
        if w[i] == 0:
            for k in range(delta.shape[1]):
                delta[i, k] = 0
            continue
        sum_e = delta[i, 0]
        for k in range(1, delta.shape[1]):
            sum_e += delta[i, k]
        row_weight = delta.dtype.type(w[i] / total)
        scale = row_weight / sum_e
        if y.ndim == 1:
            loss += w[i] * math.log(sum_e)
            for k in range(delta.shape[1]):
                delta[i, k] *= scale
            delta[i, y[i]] -= row_weight
        else:
            loss += w[i] * (_sum(y[i]) * math.log(sum_e))
            for k in range(delta.shape[1]):
                delta[i, k] = scale * delta[i, k] - row_weight * y[i, k]
    return loss


@kernel
def _categorical_chunk(z, y, w, total, delta, sums):
    """Write the deltas of some rows, and their sums of w l, w [right decision] and w into ``sums``, (3,)."""
    distances, sums[1], sums[2] = _subtract_row_max(z, y, w, delta)
    exponentials(delta)
    sums[0] = distances + _normalise_minus_target(y, w, total, delta)


@parallel_kernel
def categorical(z, y, w, total, delta):
    """Cross-entropy of p = softmax(z): l_i = -sum_k y_ik log p_ik, delta_i = w_i (p_i - y_i) / total.

    z, delta: (N, K), delta may be z; y: (N,) int64 class numbers, or (N, K) rows of probabilities; w: (N,).
    Returns (sum w l, sum of w over the rows whose largest p is that of y, sum w) in float64.
    """
    N = z.shape[0]
    height = max(1, _CHUNK // z.shape[1])
    chunks = (N + height - 1) // height
    sums = np.empty((chunks, 3))
    if chunks == 1:
        _categorical_chunk(z, y, w, total, delta, sums[0])
    else:
        for chunk in prange(chunks):
            rows = slice(chunk * height, min(N, (chunk + 1) * height))
            _categorical_chunk(z[rows], y[rows], w[rows], total, delta[rows], sums[chunk])
    return _sum(sums[:, 0]), _sum(sums[:, 1]), _sum(sums[:, 2])


# ---- independent units -------------------------------------------------------------------------------------
#
# Arrays are C-contiguous, of any and all of one shape. ``losses`` and ``delta`` are overwritten by l and
# dl/dz of every number; they are neither each other nor one of the others.

@kernel
def squared_error(z, y, losses, delta):
    """l = (z - y)^2, dl/dz = 2 (z - y)."""
    z, y, losses, delta = z.reshape(-1), y.reshape(-1), losses.reshape(-1), delta.reshape(-1)
    for i in range(z.size):
        error = z[i] - y[i]
        losses[i] = error * error
        delta[i] = error + error


@kernel
def absolute_error(z, y, losses, delta):
    """l = |z - y|, dl/dz = the sign of z - y, 0 at y."""
    z, y, losses, delta = z.reshape(-1), y.reshape(-1), losses.reshape(-1), delta.reshape(-1)
    for i in range(z.size):
        error = z[i] - y[i]
        losses[i] = abs(error)
        delta[i] = _sign(error)


@kernel
def huber(z, y, threshold, losses, delta):
    """l = e^2 / 2 for |e| <= c, else c |e| - c^2 / 2; dl/dz = e, held in -c .. c; e = z - y."""
    z, y, losses, delta = z.reshape(-1), y.reshape(-1), losses.reshape(-1), delta.reshape(-1)
    c = z.dtype.type(threshold)
    half = z.dtype.type(0.5)
    for i in range(z.size):
        error = z[i] - y[i]
        slope = min(max(error, -c), c)
        losses[i] = slope * (error - half * slope)
        delta[i] = slope


@kernel
def poisson(z, y, losses, delta):
    """l = rate - y z, dl/dz = rate - y, where rate = e^z as `poisson_rate` has it."""
    z, y, losses, delta = z.reshape(-1), y.reshape(-1), losses.reshape(-1), delta.reshape(-1)
    for i in range(z.size):
        rate = poisson_rate(z[i])
        losses[i] = rate - y[i] * z[i]
        delta[i] = rate - y[i]


@kernel
def poisson_rates(z, out):
    """out = e^z as `poisson_rate` has it."""
    z, out = z.reshape(-1), out.reshape(-1)
    for i in range(z.size):
        out[i] = poisson_rate(z[i])


@kernel
def bernoulli(z, y, positive, losses, delta):
    """l = -positive log p - (1 - y) log(1 - p) with p = sigmoid(z), dl/dz = (1 - y) p - positive (1 - p).

    ``positive`` is y, or y times the weight of a target of 1. Every term of l is >= 0: nothing cancels.
    """
    z, y, losses, delta = z.reshape(-1), y.reshape(-1), losses.reshape(-1), delta.reshape(-1)
    positive = positive.reshape(-1)
    one, zero = z.dtype.type(1), z.dtype.type(0)
    for i in range(z.size):
        negative = one - y[i]
        e = exp(-abs(z[i]))
        small, large = e / (one + e), one / (one + e)
        p, q = (small, large) if z[i] < zero else (large, small)
        losses[i] = (positive[i] * max(-z[i], zero) + negative * max(z[i], zero)
                     + (positive[i] + negative) * log1p(e))
        delta[i] = negative * p - positive[i] * q


@formula
def _sign(x):
    T = type(x)
    return x if np.isnan(x) else T(x > T(0)) - T(x < T(0))


@formula
def poisson_rate(z):
    """e^z, and for z above 80 e^80 = 5.5e34: more than anybody counts; its sums are finite in float32."""
    T = type(z)
    return exp(min(z, T(80)))


@kernel
def weighted_sums(losses, errors, w, terms, total, delta):
    """Weigh the rows: delta_ik *= w_i / (terms total), in place.

    losses, delta: (N, K); errors: (N, any); w: (N,). Returns (sum_i w_i l_i, sum_i w_i m_i, sum w) in
    float64, where l_i is sum_k losses_ik / terms and m_i the sum of errors_i.
    """
    loss, error, weight = 0.0, 0.0, 0.0
    for i in range(w.size):
        weight += w[i]
        if w[i] == 0:
            for k in range(delta.shape[1]):
                delta[i, k] = 0
            continue
        loss += w[i] * (_sum(losses[i]) / terms)
        error += w[i] * _sum(errors[i])
        row_weight = delta.dtype.type(w[i] / total / terms)
        for k in range(delta.shape[1]):
            delta[i, k] *= row_weight
    return loss, error, weight


# ---- ordered classes ---------------------------------------------------------------------------------------

@kernel
def ordinal(z, b, y, w, total, scratch, delta, db):
    """The Bernoullis of z_i + b_k, k = 0 .. K - 2, whose targets are [y_i > k]: a row's loss is their sum.

    z, delta: (N, 1), of which delta becomes dL/dz; b, db: (K - 1,), the cut points and dL/db; y: (N,) int64;
    scratch: (4, N, K - 1). Returns (sum w l, sum w |rank - y|, sum w), where a rank is the number of positive
    z_i + b_k.
    """
    t, above, losses, slopes = scratch[0], scratch[1], scratch[2], scratch[3]
    T, errors = z.dtype.type, delta    # until the delta is known
    for i in range(y.size):
        rank = 0
        for k in range(b.size):
            t[i, k] = z[i, 0] + b[k]
            above[i, k] = T(y[i] > k)
            rank += t[i, k] > 0
        errors[i, 0] = T(abs(rank - y[i]))
    bernoulli(t, above, above, losses, slopes)
    sums = weighted_sums(losses, errors, w, 1, total, slopes)
    db[:] = 0
    delta[:] = 0
    for i in range(y.size):
        for k in range(b.size):
            delta[i, 0] += slopes[i, k]
            db[k] += slopes[i, k]
    return sums
