"""Dropout masks, a bit a unit, and their application.

A keep probability that is not 1/2 is written in binary, q = 0.b1 b2 b3 ..., for `random.bernoulli_word`: 1/2
takes one hash for 64 units, 3/4 two, any other rate at most 32.
"""
import numpy as np

from .._numba.jit import kernel
from .random import DIGITS, absorb, bernoulli_word

_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
WORD = 64     # units of a word


def keep_digits(rate):
    """Return the keep probability ``1 - rate`` as ``(threshold, digits)``: threshold / 2**digits, digits at
    most 32.

    A rate below 2**-33 keeps everything: ``(1, 0)``.
    """
    threshold, digits = round((1.0 - rate) * 2**DIGITS), DIGITS
    threshold = max(threshold, 1)
    while digits and threshold % 2 == 0:
        threshold, digits = threshold // 2, digits - 1
    return threshold, digits


@kernel
def draw_mask(key, step, first_row, threshold, digits, words):
    """Write the mask of a batch into ``words`` (N, ceil(units / 64)), uint64: bit u % 64 of word u // 64
    keeps unit u.

    ``key`` is a uint64, see `random.layer_key`. Row i is row first_row + i of what the key and the step
    decide.
    """
    key = absorb(key, step)
    N, M = words.shape
    for i in range(N):
        for m in range(M):
            if digits == 0:
                words[i, m] = _ALL
            else:
                counter = np.uint64((first_row + i) * M + m)
                words[i, m] = bernoulli_word(key, counter, np.uint64(threshold), digits)


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
