"""The kernels of tanh, sigmoid and ReLU, forward and backward.

Arrays are C-contiguous, of any and all of one shape. A loop works in one array: with two that may be the same, LLVM
would fall back to one element at a time.
"""
from numba import prange

from .._jit import formula, kernel, parallel_kernel
from .elementary import sigmoid, tanh

_SHARE = 1024    # numbers a task: few, so that threads get as many as each other

@formula
def relu(x):
    """max(x, 0); NaN stays NaN."""
    T = type(x)
    # Without abs, LLVM stores the negative elements alone, through a mask, at many times the cost.
    return abs(max(x, T(0)))


@kernel
def _tanh_share(x, out):
    out = _flat_copy(x, out)
    for i in range(out.size):
        out[i] = tanh(out[i])


@parallel_kernel
def tanh_forward(x, out):
    """out = tanh(x). Overwrites ``out``, which may be ``x``."""
    x, out = x.reshape(-1), out.reshape(-1)
    for task in prange((out.size + _SHARE - 1) // _SHARE):
        a, b = task * _SHARE, min(out.size, (task + 1) * _SHARE)
        _tanh_share(x[a:b], out[a:b])


@kernel
def tanh_backward(a, delta, dx):
    """dx = delta (1 - a^2), where a = tanh(x). Overwrites ``dx``, which may be ``delta``."""
    a, dx = a.reshape(-1), _flat_copy(delta, dx)
    for i in range(dx.size):
        dx[i] *= _tanh_slope(a[i])


@kernel
def _sigmoid_share(x, out):
    out = _flat_copy(x, out)
    for i in range(out.size):
        out[i] = sigmoid(out[i])


@parallel_kernel
def sigmoid_forward(x, out):
    """out = 1 / (1 + e^-x). Overwrites ``out``, which may be ``x``."""
    x, out = x.reshape(-1), out.reshape(-1)
    for task in prange((out.size + _SHARE - 1) // _SHARE):
        a, b = task * _SHARE, min(out.size, (task + 1) * _SHARE)
        _sigmoid_share(x[a:b], out[a:b])


@kernel
def sigmoid_backward(a, delta, dx):
    """dx = delta a (1 - a), where a = sigmoid(x). Overwrites ``dx``, which may be ``delta``."""
    a, dx = a.reshape(-1), _flat_copy(delta, dx)
    for i in range(dx.size):
        dx[i] *= _sigmoid_slope(a[i])


@kernel
def relu_forward(x, out):
    """out = max(x, 0). Overwrites ``out``, which may be ``x``."""
    out = _flat_copy(x, out)
    for i in range(out.size):
        out[i] = relu(out[i])


@kernel
def relu_backward(a, delta, dx):
    """dx = delta where a > 0, else 0, where a = relu(x). Overwrites ``dx``, which may be ``delta``."""
    a, dx = a.reshape(-1), _flat_copy(delta, dx)
    for i in range(dx.size):
        dx[i] *= _relu_slope(a[i])


@formula
def _tanh_slope(a):
    T = type(a)
    return T(1) - a * a


@formula
def _sigmoid_slope(a):
    T = type(a)
    return a * (T(1) - a)


@formula
def _relu_slope(a):
    T = type(a)
    return T(a > T(0))


@kernel
def _flat_copy(x, out):
    """Copy x into out, unless they are the same, and return out flattened."""
    source, flat = x.reshape(-1), out.reshape(-1)
    if out is not x:
        for i in range(flat.size):
            flat[i] = source[i]
    return flat


@parallel_kernel
def relu_rows_forward(x, out):
    """out = max(x, 0), (N, D), for rows that are long enough to share out. Overwrites ``out``, which may be ``x``."""
    for n in prange(x.shape[0]):
        relu_forward(x[n], out[n])


@parallel_kernel
def relu_rows_backward(a, delta, dx):
    """dx = delta where a > 0, else 0, where a = relu(x). Overwrites ``dx``, which may be ``delta``."""
    for n in prange(a.shape[0]):
        relu_backward(a[n], delta[n], dx[n])
