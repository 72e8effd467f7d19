"""Dropout masks: a hash of (seed, layer, step, row, unit), so that no state is kept and no thread can change them.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) is read as a hash of a
counter: its n-th output is ``mix(seed + n * GOLDEN)``. One hash gives 64 fair bits, a bit a unit.

A keep probability that is not 1/2 is written in binary, q = 0.b1 b2 b3 ..., and compared with a random number whose binary
digits are independent fair bits. Read from the last digit to the first, the comparison is one OR (digit 1) or one AND
(digit 0) with a fresh word, for 64 units at once: 1/2 takes one hash for 64 units, 3/4 two, any other rate at most 32.
"""
import numpy as np

from .._numba.jit import formula, kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_ONE, _ZERO, _ALL = np.uint64(1), np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
WORD = 64     # units a hash
DIGITS = 32   # binary digits of the keep probability


@formula
def mix(z):
    """Return SplitMix64's finaliser of the uint64 ``z``."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@formula
def absorb(key, number):
    """Return the uint64 key that follows from ``key`` and one more number."""
    return mix((key ^ np.uint64(number)) + GOLDEN)


@formula
def _bernoulli_word(key, counter, threshold, digits):
    """Return 64 bits, each 1 with probability ``threshold / 2**digits``."""
    word = _ZERO
    for d in range(digits):
        fair = mix(key + (counter * np.uint64(DIGITS) + np.uint64(d) + _ONE) * GOLDEN)
        if (threshold >> np.uint64(d)) & _ONE:
            word = word | fair
        else:
            word = word & fair
    return word


def keep_digits(rate):
    """Return the keep probability ``1 - rate`` as ``(threshold, digits)``: threshold / 2**digits, digits at most 32.

    A rate below 2**-33 keeps everything: ``(1, 0)``.
    """
    threshold, digits = round((1.0 - rate) * 2**DIGITS), DIGITS
    threshold = max(threshold, 1)
    while digits and threshold % 2 == 0:
        threshold, digits = threshold // 2, digits - 1
    return threshold, digits


@kernel
def draw_mask(seed, layer, step, threshold, digits, words):
    """Write the mask of a batch into ``words`` (N, ceil(units / 64)), uint64: bit u % 64 of word u // 64 keeps unit u."""
    key = absorb(absorb(absorb(_ZERO, seed), layer), step)
    N, M = words.shape
    for i in range(N):
        for m in range(M):
            if digits == 0:
                words[i, m] = _ALL
            else:
                words[i, m] = _bernoulli_word(key, np.uint64(i * M + m), np.uint64(threshold), digits)


@kernel
def apply_mask(x, words, scale, out):
    """out = x * scale where the unit is kept, 0 where it is dropped. x, out: (N, units), out may be x."""
    N, H = x.shape
    scale, zero = x.dtype.type(scale), x.dtype.type(0)
    if out is not x:
        for i in range(N):
            for u in range(H):
                out[i, u] = x[i, u]
    for i in range(N):
        for m in range(words.shape[1]):
            word, units = words[i, m], out[i, m * WORD:min(H, (m + 1) * WORD)]
            for u in range(units.size):
                units[u] = units[u] * scale if (word >> np.uint64(u)) & _ONE else zero
