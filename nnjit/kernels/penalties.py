"""Penalties on weights as a part of the loss: l1 sum |W| + l2 sum W² (Keras's kernel_regularizer)."""
from .._numba.jit import kernel


@kernel
def penalty(W, l1, l2):
    """Return l1 sum |W| + l2 sum W² in float64. W: (D, H)."""
    absolute, squares = 0.0, 0.0
    for i in range(W.shape[0]):
        for k in range(W.shape[1]):
            absolute += abs(W[i, k])
            squares += W[i, k] * W[i, k]
    return l1 * absolute + l2 * squares


@kernel
def add_slope(W, l1, l2, dW):
    """dW += l1 sign(W) + 2 l2 W, the derivative of `penalty`; the sign of 0 is 0. W, dW: (D, H)."""
    T = W.dtype.type
    first, twice = T(l1), T(2 * l2)
    for i in range(W.shape[0]):
        for k in range(W.shape[1]):
            sign = T(W[i, k] > T(0)) - T(W[i, k] < T(0))
            dW[i, k] += first * sign + twice * W[i, k]
