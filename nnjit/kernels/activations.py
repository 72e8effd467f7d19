"""Elementwise activations: pairs of kernels, forward and backward, that are made from two scalar formulas.

`elementwise` makes a pair. Softplus, log(1 + e^x), whose slope at x is the sigmoid of x::

    from nnjit.kernels.activations import elementwise
    from nnjit.kernels.elementary import exp, log1p, sigmoid

    def softplus(x):
        return max(x, type(x)(0)) + log1p(exp(-abs(x)))

    softplus_forward, softplus_backward = elementwise("softplus", softplus, sigmoid)
"""
import inspect
import types

from numba import prange

from .._numba.jit import formula, kernel, parallel_kernel
from ._chunks import _chunk, _count_chunks
from .elementary import expm1, normal_cdf, normal_pdf, sigmoid, softplus, tanh

_CHUNK = 1024    # numbers of one task: few, so that threads get about as many
# Sizes of arrays from which a loop is split over threads. DEAR is for formulas such as tanh: below it there
# is one chunk. CHEAP is for a few multiplications, of which 100,000 take as long as waking the threads.
DEAR, CHEAP = _CHUNK, 2**18


# ---- the factory -------------------------------------------------------------------------------------------
#
# The functions of this part are templates: `elementwise` gives them names, and a meaning to the global names
# that are missing here. A closure would not do: Numba's disk cache does not find a kernel again whose closure
# holds another function.
#
# A loop works in one array: with two that may be the same, LLVM would fall back to one element at a time.

@kernel
def _flat_copy(x, out):
    """Copy x into out, unless they are the same, and return out flattened."""
    source, flat = x.reshape(-1), out.reshape(-1)
    if out is not x:
        for i in range(flat.size):
            flat[i] = source[i]
    return flat


def _forward(x, out, *constants):
    out = _flat_copy(x, out)
    for i in range(out.size):
        out[i] = _value(out[i], *constants)    # noqa: F821


def _forward_in_chunks(x, out, *constants):
    x, out = x.reshape(-1), out.reshape(-1)
    for k in prange(_count_chunks(out.size, _CHUNK)):
        first, last = _chunk(k, out.size, _CHUNK)
        _loop(x[first:last], out[first:last], *constants)    # noqa: F821


def _backward(saved, delta, dx, *constants):
    saved, dx = saved.reshape(-1), _flat_copy(delta, dx)
    for i in range(dx.size):
        dx[i] *= _slope(saved[i], *constants)    # noqa: F821


def _backward_in_chunks(saved, delta, dx, *constants):
    saved, delta, dx = saved.reshape(-1), delta.reshape(-1), dx.reshape(-1)
    for k in prange(_count_chunks(dx.size, _CHUNK)):
        first, last = _chunk(k, dx.size, _CHUNK)
        _loop(saved[first:last], delta[first:last], dx[first:last], *constants)    # noqa: F821


def _bind(template, name, module, **names):
    """Return the template as a function of this name and module, with these global names."""
    function = types.FunctionType(template.__code__, {**globals(), "__name__": module, **names}, name)
    function.__qualname__ = name
    return function


def _by_size(loop, chunks, name, module, parallel_from, **formula):
    """Return a function that calls one of two kernels: the loop, or from this size on the loop in chunks,
    split over threads.

    Neither is compiled before it is needed.
    """
    serial = kernel(_bind(loop, name, module, **formula))
    inlined = kernel(_bind(loop, f"_{name}_chunk", module, **formula))
    parallel = parallel_kernel(_bind(chunks, f"{name}_in_chunks", module, _loop=inlined))

    def call(x, out, *others):
        chosen = serial if x.size < parallel_from else parallel
        if others:
            chosen(x, out, *others)
        else:    # which Python calls sooner
            chosen(x, out)

    call.__name__ = call.__qualname__ = name
    call.serial, call.parallel = serial, parallel
    return call


def elementwise(name, value, slope, parallel_from=(DEAR, CHEAP)):
    """Return ``forward(x, out)`` and ``backward(saved, delta, dx)`` of an elementwise activation.

    ``forward`` writes out = value(x), and ``out`` may be ``x``; ``backward`` writes dx = delta slope(saved),
    and ``dx`` may be ``delta``. All arrays of a call are C-contiguous, of one shape and dtype. Numbers that
    follow the arrays, such as ELU's alpha, are handed to both formulas.

    Parameters
    ----------
    name : str
        Of the activation. The compiled kernels are kept under it: no other pair of the module may have it.
    value : function of a number
        a = value(x), of x's type: constants are written ``type(x)(2)``. A `formula`, or a Python function
        that Numba compiles.
    slope : function of a number
        The derivative, from the output a or from the input x: ``saved`` is the array of whichever it takes.
    parallel_from : (int, int)
        Sizes of an array from which forward and backward are split over threads: `DEAR` suits functions like
        tanh, `CHEAP` a few multiplications. The results do not depend on it.

    Notes
    -----
    What is made from formulas outside of this package is compiled anew in every process: the disk cache would
    not see an edit.
    """
    for function in (value, slope):
        if not (hasattr(function, "py_func") or inspect.isfunction(function)):
            raise TypeError(f"elementwise {name}: got {function!r}, expected a function of a number, defined "
                            "with def or lambda, or compiled by Numba")
    # The one that is not the package's, if there is one: the disk cache sees no edit of it.
    modules = [function.__module__ or "__main__" for function in (value, slope)]
    module = modules[0] if modules[1].startswith(f"{__package__}.") else modules[1]
    value, slope = (f if hasattr(f, "py_func") else formula(f) for f in (value, slope))
    forward = _by_size(_forward, _forward_in_chunks, f"{name}_forward", module, parallel_from[0],
                       _value=value)
    backward = _by_size(_backward, _backward_in_chunks, f"{name}_backward", module, parallel_from[1],
                        _slope=slope)
    return forward, backward


# ---- the activations ---------------------------------------------------------------------------------------

@formula
def relu(x):
    """max(x, 0); NaN stays NaN."""
    T = type(x)
    # Without abs, LLVM stores only the negative elements, through a mask, at many times the cost.
    return abs(max(x, T(0)))


@formula
def _relu_slope(a):
    T = type(a)
    return T(a > T(0))


@formula
def _tanh_slope(a):
    T = type(a)
    return T(1) - a * a


@formula
def _sigmoid_slope(a):
    T = type(a)
    return a * (T(1) - a)


# dx = delta (1 - a²)
tanh_forward, tanh_backward = elementwise("tanh", tanh, _tanh_slope)
# dx = delta a (1 - a)
sigmoid_forward, sigmoid_backward = elementwise("sigmoid", sigmoid, _sigmoid_slope)
# dx = delta where a > 0, else 0
relu_forward, relu_backward = elementwise("relu", relu, _relu_slope, (CHEAP, CHEAP))


# ---- with the slope from the input, or a constant ----------------------------------------------------------

_FAR = 1e4    # beyond it, each of them is at its limit, where infinity times 0 would be NaN


@formula
def _gelu(x):
    """x Phi(x), with the normal distribution's Phi (Hendrycks and Gimpel, arXiv 1606.08415, 2016)."""
    return max(x, type(x)(-_FAR)) * normal_cdf(x)


@formula
def _gelu_slope(x):
    T = type(x)
    return normal_cdf(x) + min(max(x, T(-_FAR)), T(_FAR)) * normal_pdf(x)


@formula
def _silu(x):
    """x sigmoid(x) (Elfwing, Uchibe and Doya, Neural Networks 107, 2018)."""
    return max(x, type(x)(-_FAR)) * sigmoid(x)


@formula
def _silu_slope(x):
    T = type(x)
    s = sigmoid(x)
    return s * (T(1) + min(max(x, T(-_FAR)), T(_FAR)) * sigmoid(-x))


@formula
def _leaky_relu(x, negative_slope):
    """x, times ``negative_slope`` where x < 0 (Maas, Hannun and Ng, ICML 2013)."""
    T = type(x)
    return x * (T(negative_slope) if x < T(0) else T(1))


@formula
def _leaky_relu_slope(a, negative_slope):
    T = type(a)
    return T(1) if a > T(0) else T(negative_slope)


@formula
def _elu(x, alpha):
    """x, and alpha (e^x - 1) where x < 0 (Clevert, Unterthiner and Hochreiter, ICLR 2016)."""
    T = type(x)
    return T(alpha) * expm1(x) if x < T(0) else x


@formula
def _elu_slope(a, alpha):
    T = type(a)
    return T(1) if a > T(0) else a + T(alpha)


gelu_forward, gelu_backward = elementwise("gelu", _gelu, _gelu_slope, (DEAR, DEAR))
silu_forward, silu_backward = elementwise("silu", _silu, _silu_slope, (DEAR, DEAR))
softplus_forward, softplus_backward = elementwise("softplus", softplus, sigmoid, (DEAR, DEAR))
leaky_relu_forward, leaky_relu_backward = elementwise("leaky_relu", _leaky_relu, _leaky_relu_slope,
                                                      (CHEAP, CHEAP))
elu_forward, elu_backward = elementwise("elu", _elu, _elu_slope)
