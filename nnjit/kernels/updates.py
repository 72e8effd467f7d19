"""Optimiser steps: a vector of parameters W is changed in place by its gradient g. All arrays are flat, of one dtype.

What a step keeps for the next ones decays by a factor a step where the gradient is 0, as for an input that is 0 in most
batches. Below the smallest normal number a processor may take a hundred times as long for it, and some multiples of the
smallest number of all never get smaller. So what is nearly there becomes 0 (`_settled`).
"""
import math

import numpy as np
from numba import prange

from .._numba.jit import formula, kernel, parallel_kernel

_SHARE = 2048    # parameters a task: few, so that threads get as many as each other


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
        share = g[i] / largest    # whose squares neither overflow nor vanish
        total += share * share
    factor = most / largest / math.sqrt(total)
    if factor < 1:
        for i in range(g.size):
            g[i] *= g.dtype.type(factor)


_LEAST_32, _LEAST_64 = (float(np.finfo(dtype).tiny / np.finfo(dtype).eps) for dtype in (np.float32, np.float64))


@formula
def _settled(x):
    """x, or 0 where its size is below 1e-31 (float64: 1e-292): a learning rate's share of that is a normal number yet."""
    T = type(x)
    least = _LEAST_32 if isinstance(x, np.float32) else _LEAST_64
    return T(0) if abs(x) < T(least) else x


@kernel
def _sgd_share(W, g, learning_rate, weight_decay):
    T = W.dtype.type
    lr, shrink = T(learning_rate), T(learning_rate * weight_decay)
    for i in range(W.size):
        W[i] -= lr * g[i] + shrink * W[i]


@parallel_kernel
def sgd(W, g, learning_rate, weight_decay):
    """W -= lr g + lr decay W."""
    for task in prange((W.size + _SHARE - 1) // _SHARE):
        a, b = task * _SHARE, min(W.size, (task + 1) * _SHARE)
        _sgd_share(W[a:b], g[a:b], learning_rate, weight_decay)


@kernel
def sgd_momentum(W, g, velocity, learning_rate, momentum, nesterov, weight_decay):
    """v = momentum v - lr g, then W += v, or W += momentum v - lr g (Nesterov); and W -= lr decay W.

    Keras's form (Sutskever, Martens, Dahl and Hinton, ICML 2013). ``velocity`` is overwritten.
    """
    T = W.dtype.type
    lr, mu, shrink = T(learning_rate), T(momentum), T(learning_rate * weight_decay)
    for i in range(W.size):
        step = lr * g[i]
        v = _settled(mu * velocity[i] - step)
        velocity[i] = v
        W[i] += (mu * v - step if nesterov else v) - shrink * W[i]


@kernel
def _adam_share(W, g, m, v, t, learning_rate, beta_1, beta_2, epsilon, weight_decay):
    T = W.dtype.type
    b1, b2, new_1, new_2 = T(beta_1), T(beta_2), T(1 - beta_1), T(1 - beta_2)
    rate = T(learning_rate / (1 - beta_1**t))
    unbias = T(1 / (1 - beta_2**t))
    eps, shrink = T(epsilon), T(learning_rate * weight_decay)
    for i in range(W.size):
        m[i] = _settled(b1 * m[i] + new_1 * g[i])
        v[i] = b2 * v[i] + new_2 * (g[i] * g[i])
        v[i] = v[i] if m[i] != 0 else _settled(v[i])    # beside an m that is not 0, a v of 0 would make a leap of the step
        W[i] -= rate * m[i] / (math.sqrt(v[i] * unbias) + eps) + shrink * W[i]


@parallel_kernel
def adam(W, g, m, v, t, learning_rate, beta_1, beta_2, epsilon, weight_decay):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², W -= lr m' / (sqrt(v') + epsilon) + lr decay W.

    At step t = 1, 2, ... with the bias-corrected m' = m / (1 - b1^t) and v' = v / (1 - b2^t) (Kingma and Ba, ICLR 2015,
    algorithm 1; the decoupled decay: Loshchilov and Hutter, ICLR 2019). ``m`` and ``v`` are overwritten.
    """
    for task in prange((W.size + _SHARE - 1) // _SHARE):
        a, b = task * _SHARE, min(W.size, (task + 1) * _SHARE)
        _adam_share(W[a:b], g[a:b], m[a:b], v[a:b], t, learning_rate, beta_1, beta_2, epsilon, weight_decay)
