"""Random numbers without a state: a hash of (seed, layer, step, row, unit), so that no thread or earlier call
changes them.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) is read as a
hash of a counter: its n-th output is ``mix(seed + n * GOLDEN)``. One hash gives 64 fair bits.

A *key* is a uint64 that stands for a seed and a layer (`layer_key`); a kernel absorbs the step, and counts
rows and units. Row i of a batch is row ``first_row + i`` of the hash, so that a batch may be drawn in parts.
"""
import numpy as np

from .._numba.jit import formula, kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
DIGITS = 32   # binary digits of a probability, at most


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


INITIAL_WEIGHTS, ROW_ORDER = range(2)    # what a generator is for


def generator(purpose: int, seed: int, number: int) -> np.random.Generator:
    """Return a generator of its own for every purpose, seed and number (of a layer, or a step)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))


def layer_key(seed, layer):
    """Return the key of a layer, an np.uint64, from the seed and the layer's number, whole numbers from 0 to
    2^63 - 1.
    """
    key = _ZERO
    for number in (seed, layer):
        key = np.uint64(absorb(key, np.uint64(number)))    # compiled code returns a Python int
    return key


@formula
def bernoulli_word(key, counter, threshold, digits):
    """Return 64 bits, each 1 with probability threshold / 2^digits, a number of ``digits`` binary digits.

    A bit is 1 where a number whose digits are fair bits is below the threshold. Read from the last digit to
    the first, the comparison is one OR (digit 1 of the threshold) or one AND (digit 0) with a fresh word, for
    64 bits at once.
    """
    word = _ZERO
    for d in range(digits):
        fair = mix(key + (counter * np.uint64(DIGITS) + np.uint64(d) + _ONE) * GOLDEN)
        if (threshold >> np.uint64(d)) & _ONE:
            word = word | fair
        else:
            word = word & fair
    return word


@kernel
def draw_integers(key, step, first_row, choices, out):
    """out[i, j] = a hash of (key, step, first_row + i, j), from 0 to below ``choices`` (at most 2^32). out:
    (N, M) int64.
    """
    key = absorb(key, step)
    N, M = out.shape
    for i in range(N):
        for j in range(M):
            # The upper half of the bits is a fraction of 2^32; the upper half of its product with the choices
            # is the choice.
            fraction = mix(key + np.uint64((first_row + i) * M + j + 1) * GOLDEN) >> _S32
            out[i, j] = np.int64((fraction * np.uint64(choices)) >> _S32)
