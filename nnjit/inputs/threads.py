"""Threads of Python for kernels that use one each: such a kernel lets other threads run."""
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .._numba.threads import get_threads


def chunks(N: int) -> list[Any]:
    """Return slices that cut N things into chunks, at most as many as there are threads."""
    count = min(N, get_threads())
    return [slice(k * N // count, (k + 1) * N // count) for k in range(count)]


def map_in_threads(function, *arguments) -> list[Any]:
    """Return what ``function`` returns for every item of the lists, each computed in a thread."""
    if len(arguments[0]) == 1:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(len(arguments[0])) as threads:
        return list(threads.map(function, *arguments))
