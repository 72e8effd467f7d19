"""Elementary functions as scalar formulas that vectorise: exp, tanh, sigmoid, erf and their relatives.

The C library's functions are called one element at a time. The formulas here have no branch that survives
compilation, no table and no call. So LLVM evaluates one in every lane of a vector register, in float32 and in
float64. They are within 4 ulp of the true value, `normal_cdf` within 8. NaN and infinities are right.

The exponentials follow from one reduction [1]_: x = n ln 2 + r with n whole and |r| <= ln 2 / 2, whence
e^x = 2^n e^r. A short Taylor series gives e^r, and 2^n is written as the bits of its exponent. tanh, whose
formula divides anyway, has e^r from a quotient whose series is shorter. erf and the normal distribution are
such an exponential times a polynomial [2]_.

.. [1] W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", Prentice-Hall, 1980, chapter 6.
.. [2] M. M. Shepherd, J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in
   0 <= x < infinity", Mathematics of Computation 36, 1981, pages 249-253.
"""
import math

import numpy as np

from .._numba.jit import formula

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: n times the first, which has 9 bits, is exact in either precision.
_LN2_HI = 355 / 512
_LN2_LO = -2.1219444005469058e-4

# Below the first bound e^x rounds to 0; the second is the last number at which it is finite.
_EXP_BOUNDS_32 = (-104.0, 88.72283)
_EXP_BOUNDS_64 = (-746.0, 709.782712893384)

# tanh is 1 to the last bit long before x reaches this.
_TANH_SATURATION = 20.0

# e^x - 1 is -1 to the last bit below this.
_EXPM1_SATURATION = -40.0

# erfc is 0 beyond the first bound, the normal distribution and its density beyond the second.
_ERFC_END = 30.0
_NORMAL_END = 40.0

# Below this, erf is the sum of its Taylor series: 1 - erfc(x) would lose what is small.
_ERF_SERIES_END = 0.5
_ERF_SERIES = tuple((-1)**n * 2 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(12))

# The coefficients of 1, k, k^2 .. in a polynomial for (1 + 2t) e^(t^2) erfc(t), k = (t - 3.75) / (t + 3.75).
# It equals that function at the Chebyshev points of -1 <= k <= 7/9, which is 0 <= t <= 30. With mpmath:
#
#     mpmath.mp.dps = 50
#
#     def function(k):
#         t = 3.75 * (1 + k) / (1 - k)
#         return (1 + 2 * t) * mpmath.exp(t * t) * mpmath.erfc(t)
#
#     def coefficients(n):
#         points = [(1 + mpmath.cos((2 * j + 1) * mpmath.pi / (2 * n))) * 8 / 9 - 1 for j in range(n)]
#         powers = mpmath.matrix([[k**i for i in range(n)] for k in points])
#         return mpmath.lu_solve(powers, mpmath.matrix([function(k) for k in points]))
_ERFCX_32 = (    # coefficients(12), within 4e-9
    1.2375126, -0.14024061, 0.0035854594, 0.08227687,
    -0.10880529, 0.09230293, -0.058681563, 0.02836957,
    -0.00978948, 0.0017334706, 0.00036551172, -0.00025498855,
)
_ERFCX_64 = (    # coefficients(24), within 3e-18 before they are rounded
    1.2375126308378275, -0.14024059858554702, 0.00358541548546271, 0.08227673849014935,
    -0.1088039301416477, 0.09230432116028268, -0.058693398591965554, 0.02836227741957848,
    -0.009746579530454, 0.0017556258566959774, 0.0002937134748453348, -0.000290154161764796,
    5.1649919541235195e-05, 2.238477889941385e-05, -1.1446391029055197e-05, -9.755135746303862e-07,
    1.7554757899087428e-06, -5.297858516231966e-08, -2.624459833678958e-07, 1.77494691092072e-08,
    4.023259681266912e-08, 2.2737161148912194e-10, -4.791021740456191e-09, -9.090128545362833e-10,
)

# ---- formulas ----------------------------------------------------------------------------------------------
#
# `T(c)` is the constant c in the precision of the argument. `isinstance` is settled at compile time. `min`
# and `max` return their first argument where it is NaN, which so passes through.

@formula
def exp(x):
    """e^x."""
    return _exp_of_sum(x, type(x)(0))


@formula
def expm1(x):
    """e^x - 1 = 2^n (e^r - 1) + (2^n - 1), which is the series of e^r - 1 near 0, where n is 0."""
    T = type(x)
    _, highest = _EXP_BOUNDS_32 if isinstance(x, np.float32) else _EXP_BOUNDS_64
    n, r = _split(min(max(x, T(_EXPM1_SATURATION)), T(highest)), T(0), T(1))
    # 2^n may lie outside the range in which 2^n e^r still lies: hence half of it, twice.
    half = _two_to(n - T(1))
    e = T(2) * (half * _expm1_series(r) + (half - T(0.5)))
    return T(np.inf) if x > T(highest) else e


@formula
def tanh(x):
    """tanh x = (E - 1) / (E + 1) with E = e^2x = 2^n e^2t and e^2t = (C + t) / (C - t), C = t coth t."""
    T = type(x)
    n, t = _split(min(max(x, T(-_TANH_SATURATION)), T(_TANH_SATURATION)), T(0), T(2))
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
    """log(1 + e) = 2 artanh(s) with s = e / (2 + e), for 0 <= e <= 1.

    As s^2 <= 1/9, a short Taylor series gives it.
    """
    T = type(e)
    s = e / (T(2) + e)
    series, s2 = T(0), s * s
    for n in range(7 if isinstance(e, np.float32) else 16, -1, -1):
        series = series * s2 + T(1) / T(2 * n + 1)
    return T(2) * s * series


@formula
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which cannot overflow."""
    # Without the outer abs, the product with which `log1p` ends is fused with the sum in some loops only.
    return max(x, type(x)(0)) + abs(log1p(exp(-abs(x))))


@formula
def erf(x):
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.

    For |x| < 1/2 it is the sum of its Taylor series (Abramowitz and Stegun, 7.1.5), else 1 - erfc(|x|) with
    the sign of x, where erfc is that of [2]_ in the head of this file.
    """
    T = type(x)
    t = min(abs(x), T(_ERFC_END))
    # In float32 eight terms are enough.
    near = x * _polynomial(t * t, _ERF_SERIES[:8] if isinstance(x, np.float32) else _ERF_SERIES)
    far = T(1) - _exp_of_square(t, T(-1)) * _erfcx(t)
    return near if t < T(_ERF_SERIES_END) else (far if x > T(0) else -far)


@formula
def normal_cdf(x):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, the probability that a standard normal number is below x.

    For x < 0 it is erfc(|x| / sqrt 2) / 2, so that the relative error is small in the lower tail, too. erfc
    is that of [2]_ in the head of this file.
    """
    T = type(x)
    t = min(abs(x), T(_NORMAL_END))
    tail = _exp_of_square(t, T(-0.5)) * (T(0.5) * _erfcx(t * T(math.sqrt(0.5))))
    return tail if x < T(0) else T(1) - tail


@formula
def normal_pdf(x):
    """phi(x) = e^(-x^2 / 2) / sqrt(2 pi), the slope of `normal_cdf`."""
    T = type(x)
    return _exp_of_square(min(abs(x), T(_NORMAL_END)), T(-0.5)) * T(1 / math.sqrt(2 * math.pi))


# ---- their parts -------------------------------------------------------------------------------------------

@formula
def _exp_of_sum(x, low):
    """e^(x + low), where ``low`` is so small that rounding x + low would lose most of it."""
    T = type(x)
    lowest, highest = _EXP_BOUNDS_32 if isinstance(x, np.float32) else _EXP_BOUNDS_64
    n, r = _split(min(max(x, T(lowest)), T(highest)), low, T(1))
    half = np.rint(n * T(0.5))
    # 2^n may lie outside the range in which 2^n e^r still lies: hence two factors.
    e = (T(1) + _expm1_series(r)) * _two_to(half) * _two_to(n - half)
    return T(np.inf) if x > T(highest) else e


@formula
def _exp_of_square(t, factor):
    """e^(factor t^2) for 0 <= t <= 40 and a factor of -1 or -1/2.

    The rounding error of t^2 would be large in the result. But t^2 = h^2 + (t - h) (t + h), where h is t in
    so few bits that t - h is exact, and h^2 wherever the result is not 0. The second part is small.
    """
    T = type(t)
    grid = T(2**8) if isinstance(t, np.float32) else T(2**20)
    h = np.rint(t * grid) / grid
    return _exp_of_sum(factor * (h * h), factor * ((t - h) * (t + h)))


@formula
def _erfcx(t):
    """e^(t^2) erfc(t) for 0 <= t <= 30, from the polynomial of [2]_ in the head of this file."""
    T = type(t)
    k = (t - T(3.75)) / (t + T(3.75))
    return _polynomial(k, _ERFCX_32 if isinstance(t, np.float32) else _ERFCX_64) / (T(1) + T(2) * t)


@formula
def _polynomial(x, coefficients):
    """The sum of coefficients[n] x^n, an even number of them.

    Its even and odd parts are apart, as a processor sums them side by side.
    """
    T = type(x)
    even, odd, s = T(0), T(0), x * x
    for n in range(len(coefficients) - 2, -1, -2):
        even = even * s + T(coefficients[n])
        odd = odd * s + T(coefficients[n + 1])
    return even + x * odd


@formula
def _split(x, low, parts):
    """Return n, whole, and r: x + low = n ln 2 / parts + r with |r| <= ln 2 / 2 / parts, for 1 or 2 parts."""
    T = type(x)
    n = np.rint((x + low) * T(parts * _LOG2_E))
    return n, x - n * T(_LN2_HI / parts) - n * T(_LN2_LO / parts) + low


@formula
def _expm1_series(r):
    """e^r - 1 for |r| <= ln 2 / 2: its Taylor series.

    Its even and odd parts are apart, as a processor sums them side by side.
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
    """t coth t - 1 for |t| <= ln 2 / 4: the sum of B_2k (2t)^2k / (2k)!, B Bernoulli's numbers, in parts."""
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

    Added to 1.5 times 2^(bits of the mantissa), n and the exponent's offset stand in the lowest bits.
    Shifted, they are the exponent.
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
