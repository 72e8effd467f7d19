"""The twins of random numbers and dropout masks, in Python's unbounded integers."""
import numpy as np

GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """SplitMix64's finaliser in Python's unbounded integers."""
    z %= 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def key_of(*numbers):
    """Return the key of (seed, layer, ...)."""
    key = 0
    for number in numbers:
        key = mix((key ^ number) + GOLDEN)
    return key


def dropout_mask(seed, layer, step, threshold, digits, shape):
    """Unit by unit: kept where a number of ``digits`` fair binary digits is below ``threshold``."""
    key = key_of(seed, layer, step)
    N, H = shape
    words = -(-H // 64)
    kept = np.zeros(shape, bool)
    for row in range(N):
        for unit in range(H):
            counter = 32 * (row * words + unit // 64)
            hashes = [mix(key + (counter + d + 1) * GOLDEN) for d in range(digits)]
            number = sum((1 - (h >> unit % 64 & 1)) << d for d, h in enumerate(hashes))
            kept[row, unit] = number < threshold
    return kept


def draw_integers(seed, layer, step, choices, shape):
    """The upper 32 bits of a hash as a fraction of 1, times the choices, rounded down."""
    key = key_of(seed, layer, step)
    hashes = [mix(key + (place + 1) * GOLDEN) for place in range(shape[0] * shape[1])]
    return np.array([(h // 2**32) * choices // 2**32 for h in hashes]).reshape(shape)
