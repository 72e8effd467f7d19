"""How a loop over n things is cut into chunks, each of which is one task of a parallel loop.

The helpers are private kernels: other kernels inline them, and nothing is compiled for Python to call.
"""
import numpy as np

from .._numba.jit import kernel


@kernel
def _count_chunks(n, size):
    """Return how many chunks of at most ``size`` things n things make: n / size, rounded up."""
    return (n + size - 1) // size


@kernel
def _chunk(k, n, size):
    """Return where the k-th chunk begins and ends, (first, last); only the last chunk may be shorter than
    ``size``.
    """
    first = np.int64(k) * size
    return first, min(n, first + size)


@kernel
def _fraction(k, parts, n):
    """Return where the k-th of ``parts`` nearly equal parts of n things begins and ends, (first, last)."""
    return np.int64(k) * n // parts, (np.int64(k) + 1) * n // parts
