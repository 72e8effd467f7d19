"""Penalties on weights as a part of the loss: l1 sum |W| + l2 sum W² (Keras's kernel_regularizer)."""
import numpy as np
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from ._chunks import _count_chunks, _fraction

_CHUNK = 2**14    # numbers of one task, about


@kernel
def penalty(W, l1, l2):
    """Return l1 sum |W| + l2 sum W² in float64. W: (D, H)."""
    absolute, squares = np.float64(0), np.float64(0)
    for i in range(W.shape[0]):
        for k in range(W.shape[1]):
            absolute += abs(W[i, k])
            squares += W[i, k] * W[i, k]
    return l1 * absolute + l2 * squares


@kernel
def _add_slope(W, l1, l2, dW):
    """dW += l1 sign(W) + 2 l2 W; return the penalty."""
    T = W.dtype.type
    first, twice, absolute, squares = T(l1), T(2 * l2), np.float64(0), np.float64(0)
    for i in range(W.shape[0]):
        for k in range(W.shape[1]):
            sign = T(W[i, k] > T(0)) - T(W[i, k] < T(0))
            dW[i, k] += first * sign + twice * W[i, k]
            absolute += abs(W[i, k])
            squares += W[i, k] * W[i, k]
    return l1 * absolute + l2 * squares


@parallel_kernel
def add_slope(W, l1, l2, dW):
    """dW += l1 sign(W) + 2 l2 W, the derivative of `penalty`; the sign of 0 is 0. W, dW: (D, H).

    Return the penalty in float64.
    """
    D = W.shape[0]
    chunks = min(D, _count_chunks(W.size, _CHUNK))
    if chunks == 1:
        return _add_slope(W, l1, l2, dW)
    parts = np.empty(chunks)
    for k in prange(chunks):
        first, last = _fraction(k, chunks, D)
        parts[k] = _add_slope(W[first:last], l1, l2, dW[first:last])
    return parts.sum()
