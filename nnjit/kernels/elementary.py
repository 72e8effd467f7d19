"""Elementary functions of one number, as formulas that vectorise: exp, tanh, sigmoid, log1p.

The C library's functions are called one element at a time. The formulas here have no branch that survives
compilation, no table and no call, so that LLVM evaluates one in every lane of a vector register: float64 and
float32 alike, within 3 ulp of the true value, NaN and infinities included.

Everything follows from one reduction [1]_: x = n ln 2 + r with n whole and |r| <= ln 2 / 2, whence e^x = 2^n
e^r, where a short Taylor series gives e^r and 2^n is written as the bits of its exponent. tanh, whose formula
divides anyway, has e^r from a quotient whose series is shorter.

.. [1] W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", Prentice-Hall, 1980, chapter 6.
"""
import numpy as np

from .._jit import formula

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: n times the first, which has 9 bits, is exact in either precision.
_LN2_HI = 355 / 512
_LN2_LO = -2.1219444005469058e-4

# Below the first bound e^x rounds to 0; the second is the last number at which it is finite.
_EXP_BOUNDS_32 = (-104.0, 88.72283)
_EXP_BOUNDS_64 = (-746.0, 709.782712893384)

# tanh is 1 to the last bit long before x reaches this.
_TANH_SATURATION = 20.0

# ---- formulas ----------------------------------------------------------------------------------------------
#
# `T(c)` is the constant c in the precision of the argument. `isinstance` is settled at compile time. `min`
# and `max` return their first argument where it is NaN, which so passes through.

@formula
def exp(x):
    """e^x."""
    T = type(x)
    lowest, highest = _EXP_BOUNDS_32 if isinstance(x, np.float32) else _EXP_BOUNDS_64
    n, r = _split(min(max(x, T(lowest)), T(highest)), T(1))
    half = np.rint(n * T(0.5))
    # 2^n may lie outside the range in which 2^n e^r still lies: hence two factors.
    e = (T(1) + _expm1_series(r)) * _two_to(half) * _two_to(n - half)
    return T(np.inf) if x > T(highest) else e


@formula
def tanh(x):
    """tanh x = (E - 1) / (E + 1), E = e^2x = 2^n e^2t and e^2t = (C + t) / (C - t), where C = t coth t."""
    T = type(x)
    n, t = _split(min(max(x, T(-_TANH_SATURATION)), T(_TANH_SATURATION)), T(2))
    power, c = _two_to(n), _coth_series(t)
    less, more = power - T(1), power + T(1)
    # C = 1 + c in two parts: its own rounding would be the largest error.
    return (less + (c * less + t * more)) / (more + (c * more + t * less))


@formula
def sigmoid(x):
    """1 / (1 + e^-x), from e^-|x|, which cannot overflow."""
    T = type(x)
    e = exp(-abs(x))
    return (e if x < T(0) else T(1)) / (T(1) + e)


@formula
def log1p(e):
    """log(1 + e) = 2 artanh(s) with s = e / (2 + e), for 0 <= e <= 1; as s^2 <= 1/9, a short Taylor series
    gives it.
    """
    T = type(e)
    s = e / (T(2) + e)
    series, s2 = T(0), s * s
    for n in range(7 if isinstance(e, np.float32) else 16, -1, -1):
        series = series * s2 + T(1) / T(2 * n + 1)
    return T(2) * s * series


@formula
def _split(x, parts):
    """Return n, whole, and r with x = n ln 2 / parts + r and |r| <= ln 2 / 2 / parts, for 1 or 2 parts."""
    T = type(x)
    n = np.rint(x * T(parts * _LOG2_E))
    return n, x - n * T(_LN2_HI / parts) - n * T(_LN2_LO / parts)


@formula
def _expm1_series(r):
    """e^r - 1 for |r| <= ln 2 / 2: the even and odd parts of its Taylor series, which a processor sums side
    by side.
    """
    T = type(r)
    s = r * r
    even, odd = T(1 / 720), T(1 / 5040)    # of s^3/6! and r s^3/7!
    if not isinstance(r, np.float32):
        even += s * (T(1 / 40320) + s * (T(1 / 3628800) + s * T(1 / 479001600)))
        odd += s * (T(1 / 362880) + s * (T(1 / 39916800) + s * T(1 / 6227020800)))
    even = T(1 / 2) + s * (T(1 / 24) + s * even)
    odd = T(1 / 6) + s * (T(1 / 120) + s * odd)
    return r + s * (even + r * odd)


@formula
def _coth_series(t):
    """t coth t - 1 for |t| <= ln 2 / 4: the sum of B_2k (2t)^2k / (2k)! with Bernoulli's numbers, in parts
    side by side.
    """
    T = type(t)
    s = t * t
    s2 = s * s
    rest = T(2 / 945)
    if not isinstance(t, np.float32):
        rest = rest - s * T(1 / 4725) + s2 * (T(2 / 93555) - s * T(1382 / 638512875))
    return s * (T(1 / 3) - s * T(1 / 45) + s2 * rest)


@formula
def _two_to(n):
    """2^n for whole n within the exponents of normal numbers.

    Added to 1.5 times 2^(bits of the mantissa), n and the exponent's offset stand in the lowest bits;
    shifted, they are the exponent.
    """
    if isinstance(n, np.float32):
        bits = np.float32(n + np.float32(1.5 * 2**23 + 127)).view(np.int32)
        return np.int32(bits << 23).view(np.float32)
    bits = np.float64(n + (1.5 * 2**52 + 1023)).view(np.int64)
    return np.int64(bits << 52).view(np.float64)


@formula
def intensity(x, zero):
    """The number ``x`` in the precision of ``zero``; bytes are divided by 255."""
    T = type(zero)
    return T(x) / T(255) if isinstance(x, np.uint8) else T(x)
