"""Softmax and log-softmax of rows, the way back through a softmax, and the exponentials of a whole array."""
import numpy as np

from .._numba.jit import kernel
from .elementary import exp


@kernel
def exponentials(out):
    """out = e^out, for all rows in one loop: a short one would fill no vector. Overwrites ``out``."""
    flat = out.reshape(-1)
    for i in range(flat.size):
        flat[i] = exp(flat[i])


@kernel
def softmax(z, out):
    """out[n, k] = e^z[n, k] / sum_j e^z[n, j], from z less its row's maximum.

    Both are (N, K). Overwrites ``out``, which may be ``z``. A NaN makes its whole row NaN.
    """
    _shift_rows(z, out)
    exponentials(out)
    N, K = out.shape
    for n in range(N):
        total = out[n, 0]
        for k in range(1, K):
            total += out[n, k]
        for k in range(K):
            out[n, k] /= total


@kernel
def log_softmax(z, out):
    """out[n, k] = z[n, k] - log(sum_j e^z[n, j]), from z less its row's maximum.

    Both are (N, K). Overwrites ``out``, which may be ``z``. A NaN makes its whole row NaN.
    """
    _shift_rows(z, out)
    N, K = out.shape
    for n in range(N):
        total = exp(out[n, 0])
        for k in range(1, K):
            total += exp(out[n, k])
        log_total = np.log(total)
        for k in range(K):
            out[n, k] -= log_total


@kernel
def softmax_backward(p, delta):
    """delta_ik = p_ik (delta_ik - sum_j p_ij delta_ij), in place, where p = softmax(z) (N, K)."""
    for i in range(p.shape[0]):
        mean = p[i, 0] * delta[i, 0]
        for k in range(1, p.shape[1]):
            mean += p[i, k] * delta[i, k]
        for k in range(p.shape[1]):
            delta[i, k] = p[i, k] * (delta[i, k] - mean)


@kernel
def _shift_rows(z, out):
    """out[n, k] = z[n, k] - max_j z[n, j], so that the largest of a row is 0."""
    N, K = z.shape
    for n in range(N):
        largest = z[n, 0]
        for k in range(1, K):
            largest = max(largest, z[n, k])
        for k in range(K):
            out[n, k] = z[n, k] - largest
