"""What the machine can do at most: dense products by NumPy's BLAS, and copying memory, with all cores."""
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIZE = 2048      # of the square matrices
BYTES = 2**28    # that are copied
RUNS = 5         # of which the fastest counts


def peak(dtype: str) -> float:
    """Return the operations a second of a large matrix product; a multiplication and an addition are two."""
    A = np.random.default_rng(0).random((SIZE, SIZE)).astype(dtype)
    return 2 * SIZE**3 / _least_seconds(lambda: A @ A)


def bandwidth(cores: int) -> float:
    """Return the bytes a second that this number of cores read and write when they copy."""
    source, target = np.ones((2, cores, BYTES // cores // 8))
    with ThreadPoolExecutor(cores) as threads:
        return 2 * source.nbytes / _least_seconds(lambda: list(threads.map(np.copyto, target, source)))


def _least_seconds(function):
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)
