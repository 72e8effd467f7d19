"""Losses fused with their deltas: one pass over the logits gives the loss, dL/dz and the number of right decisions.

The loss of a batch is L = sum_i w_i l_i / sum_i w_i. A row of weight 0 counts for nothing, whatever it holds.
"""
import math

import numpy as np
from numba import prange

from .._jit import ROWS, chunks, kernel, parallel_kernel
from .activations import exp


@kernel
def _largest(row):
    """Return the index of the largest entry, the first of equals."""
    best = 0
    for k in range(1, row.size):
        if row[k] > row[best]:
            best = k
    return best


@kernel
def argmax(z, out):
    """out[i] = the index of the largest entry of z[i], the first of equals. z: (N, K); out: (N,) int64."""
    for i in range(z.shape[0]):
        out[i] = _largest(z[i])


@kernel
def _exponentials(z, top, out):
    """out = exp(z - top), where out may be z. Return the sum."""
    for k in range(z.size):
        out[k] = exp(z[k] - top)
    total = out[0]
    for k in range(1, z.size):
        total += out[k]
    return total


@kernel
def _integer_rows(z, y, w, weight, delta):
    loss, hits = 0.0, 0.0
    for i in range(z.shape[0]):
        if w[i] == 0:
            delta[i, :] = 0
            continue
        decision = _largest(z[i])
        top, at_label = z[i, decision], z[i, y[i]]
        total = _exponentials(z[i], top, delta[i])
        loss += w[i] * (math.log(total) + (top - at_label))
        hits += w[i] * (decision == y[i])
        share = z.dtype.type(w[i] / weight)
        scale = share / total
        for k in range(z.shape[1]):
            delta[i, k] *= scale
        delta[i, y[i]] -= share
    return loss, hits


@kernel
def _soft_rows(z, y, w, weight, delta):
    loss, hits = 0.0, 0.0
    for i in range(z.shape[0]):
        if w[i] == 0:
            delta[i, :] = 0
            continue
        decision = _largest(z[i])
        top = z[i, decision]
        distance, mass = 0.0, 0.0
        for k in range(z.shape[1]):
            distance += y[i, k] * (top - z[i, k])
            mass += y[i, k]
        total = _exponentials(z[i], top, delta[i])
        loss += w[i] * (mass * math.log(total) + distance)
        hits += w[i] * (decision == _largest(y[i]))
        share = z.dtype.type(w[i] / weight)
        scale = share / total
        for k in range(z.shape[1]):
            delta[i, k] = scale * delta[i, k] - share * y[i, k]
    return loss, hits


@kernel
def _categorical_rows(z, y, w, weight, delta):
    if y.ndim == 1:
        return _integer_rows(z, y, w, weight, delta)
    return _soft_rows(z, y, w, weight, delta)


@kernel
def _sum(values):
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


@parallel_kernel
def categorical(z, y, w, delta):
    """Cross-entropy of softmax(z): l_i = -sum_k y_ik log p_ik from the logits, delta_i = w_i (p_i - y_i) / sum w.

    z, delta: (N, K), delta may be z; y: (N,) int64 class numbers, or (N, K) rows of probabilities; w: (N,).
    Returns (sum w l, sum of w over the rows whose largest p is that of y, sum w) in float64.
    """
    N, weight = z.shape[0], _sum(w)
    if chunks(N) == 1:
        loss, hits = _categorical_rows(z, y, w, weight, delta)
        return loss, hits, weight
    losses, hits_of = np.empty(chunks(N)), np.empty(chunks(N))
    for c in prange(chunks(N)):
        first, last = c * ROWS, min(N, (c + 1) * ROWS)
        losses[c], hits_of[c] = _categorical_rows(z[first:last], y[first:last], w[first:last], weight,
                                                  delta[first:last])
    return _sum(losses), _sum(hits_of), weight
