"""Optimiser steps: a vector of parameters W is changed in place by its gradient g. All arrays are flat, of
one dtype.

A running mean decays by a factor a step where the gradient is 0, as for an input that is 0 in most batches.
Below the smallest normal number a processor may take a hundred times as long for it, and some multiples of
the smallest number of all never get smaller. So a mean that is nearly there becomes 0 (`_flush_tiny`).
"""
import math

import numpy as np
from numba import prange

from .._numba.jit import formula, kernel, parallel_kernel
from ._chunks import _chunk, _count_chunks

_CHUNK = 2048    # parameters of one task: few, so that threads get about as many


@kernel
def clip(g, most):
    """g *= most / |g| where |g|, the root of the sum of squares, is larger than ``most``."""
    largest = g.dtype.type(0)
    for i in range(g.size):
        largest = max(largest, abs(g[i]))
    if not 0 < largest < np.inf:    # NaN and infinity remain visible
        return
    total = 0.0
    for i in range(g.size):
        fraction = g[i] / largest    # whose squares neither overflow nor vanish
        total += fraction * fraction
    factor = most / largest / math.sqrt(total)
    if factor < 1:
        for i in range(g.size):
            g[i] *= g.dtype.type(factor)


_LEAST_32, _LEAST_64 = (float(np.finfo(T).tiny / np.finfo(T).eps) for T in (np.float32, np.float64))


@formula
def _flush_tiny(x):
    """x, or 0 where |x| < 1e-31 (float64: 1e-292): a learning rate times that is still a normal number."""
    T = type(x)
    least = _LEAST_32 if isinstance(x, np.float32) else _LEAST_64
    return T(0) if abs(x) < T(least) else x


@kernel
def _sgd_chunk(W, g, learning_rate, weight_decay):
    T = W.dtype.type
    lr, shrink = T(learning_rate), T(learning_rate * weight_decay)
    for i in range(W.size):
        W[i] -= lr * g[i] + shrink * W[i]


@parallel_kernel
def sgd(W, g, learning_rate, weight_decay):
    """W -= lr g + lr decay W."""
    for k in prange(_count_chunks(W.size, _CHUNK)):
        first, last = _chunk(k, W.size, _CHUNK)
        _sgd_chunk(W[first:last], g[first:last], learning_rate, weight_decay)


@kernel
def sgd_momentum(W, g, velocity, learning_rate, momentum, nesterov, weight_decay):
    """v = momentum v - lr g, then W += v, or W += momentum v - lr g (Nesterov); and W -= lr decay W.

    Keras's form (Sutskever, Martens, Dahl and Hinton, ICML 2013). ``velocity`` is overwritten.
    """
    T = W.dtype.type
    lr, mu, shrink = T(learning_rate), T(momentum), T(learning_rate * weight_decay)
    for i in range(W.size):
        step = lr * g[i]
        v = _flush_tiny(mu * velocity[i] - step)
        velocity[i] = v
        W[i] += (mu * v - step if nesterov else v) - shrink * W[i]


@kernel
def _adam_chunk(W, g, m, v, t, learning_rate, beta_1, beta_2, epsilon, weight_decay):
    T = W.dtype.type
    b1, b2, new_1, new_2 = T(beta_1), T(beta_2), T(1 - beta_1), T(1 - beta_2)
    rate = T(learning_rate / (1 - beta_1**t))
    unbias = T(1 / (1 - beta_2**t))
    eps, shrink = T(epsilon), T(learning_rate * weight_decay)
    for i in range(W.size):
        m[i] = _flush_tiny(b1 * m[i] + new_1 * g[i])
        v[i] = b2 * v[i] + new_2 * (g[i] * g[i])
        # Beside an m that is not 0, a v of 0 would make a leap of the step.
        v[i] = v[i] if m[i] != 0 else _flush_tiny(v[i])
        W[i] -= rate * m[i] / (math.sqrt(v[i] * unbias) + eps) + shrink * W[i]


@parallel_kernel
def adam(W, g, m, v, t, learning_rate, beta_1, beta_2, epsilon, weight_decay):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², W -= lr m' / (sqrt(v') + epsilon) + lr decay W.

    At step t = 1, 2, ... with the bias-corrected m' = m / (1 - b1^t) and v' = v / (1 - b2^t) (Kingma and Ba,
    ICLR 2015, algorithm 1; the decoupled decay: Loshchilov and Hutter, ICLR 2019). ``m`` and ``v`` are
    overwritten.
    """
    for k in prange(_count_chunks(W.size, _CHUNK)):
        first, last = _chunk(k, W.size, _CHUNK)
        _adam_chunk(W[first:last], g[first:last], m[first:last], v[first:last], t, learning_rate, beta_1,
                    beta_2, epsilon, weight_decay)


@kernel
def _rmsprop_chunk(W, g, v, mean, velocity, learning_rate, rho, momentum, epsilon, weight_decay):
    T = W.dtype.type
    keep, new, lr, mu, eps = T(rho), T(1 - rho), T(learning_rate), T(momentum), T(epsilon)
    shrink = T(learning_rate * weight_decay)
    for i in range(W.size):
        v[i] = _flush_tiny(keep * v[i] + new * (g[i] * g[i]))
        spread = v[i]
        if mean.size:
            mean[i] = _flush_tiny(keep * mean[i] + new * g[i])
            spread -= mean[i] * mean[i]
        step = lr * g[i] / math.sqrt(spread + eps)
        if velocity.size:
            step = _flush_tiny(mu * velocity[i] + step)
            velocity[i] = step
        W[i] -= step + shrink * W[i]


@parallel_kernel
def rmsprop(W, g, v, mean, velocity, learning_rate, rho, momentum, epsilon, weight_decay):
    """v = rho v + (1 - rho) g², W -= s + lr decay W with the step s = lr g / sqrt(v + epsilon).

    With a ``mean``, m = rho m + (1 - rho) g, v - m² takes the place of v; with a ``velocity``, u = momentum u
    + s that of s; either may be of size 0. Keras's form (Hinton, Neural Networks for Machine Learning,
    lecture 6e, 2012). ``v``, ``mean`` and ``velocity`` are overwritten.
    """
    for k in prange(_count_chunks(W.size, _CHUNK)):
        first, last = _chunk(k, W.size, _CHUNK)
        _rmsprop_chunk(W[first:last], g[first:last], v[first:last], mean[first:last], velocity[first:last],
                       learning_rate, rho, momentum, epsilon, weight_decay)
