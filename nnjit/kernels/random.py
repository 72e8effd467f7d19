"""Random numbers without a state: SplitMix64 read as a hash of (seed, layer, step, place).

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) is read as a hash of a
counter: its n-th output is ``mix(seed + n * GOLDEN)``. One hash gives 64 fair bits.
"""
import numpy as np

from .._jit import formula, kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
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
def bernoulli_word(key, counter, threshold, digits):
    """Return 64 bits, each 1 with probability ``threshold / 2**digits``."""
    word = _ZERO
    for d in range(digits):
        fair = mix(key + (counter * np.uint64(DIGITS) + np.uint64(d) + _ONE) * GOLDEN)
        if (threshold >> np.uint64(d)) & _ONE:
            word = word | fair
        else:
            word = word & fair
    return word


@kernel
def draw(seed, layer, step, choices, numbers):
    """numbers[n, i] = a hash of (seed, layer, step, n, i), whole and from 0 to below ``choices``: see `dropout`."""
    key = absorb(absorb(absorb(np.uint64(0), seed), layer), step)
    N, many = numbers.shape
    for n in range(N):
        for i in range(many):
            # from the upper half of the bits: a product's upper half is the share of the choices that the fraction is
            fraction = mix(key + np.uint64(n * many + i + 1) * GOLDEN) >> np.uint64(32)
            numbers[n, i] = np.int64((fraction * np.uint64(choices)) >> np.uint64(32))
