"""The threads of kernels: their number, their layer, forks, the contexts in which Python calls kernels."""
import os
import threading

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

from . import blas, jit


def set_threads(n):
    """Use ``n`` threads for the kernels of this Python thread. The results do not depend on it.

    Before the first parallel kernel has run, any ``n`` is possible; later at most the number that was started
    (``NUMBA_NUM_THREADS``, by default the number of cores). With a version of Numba that nnjit was not tested
    with, that is the most from the beginning on.

    Raises
    ------
    TypeError
        ``n`` is not an integer.
    ValueError
        ``n`` is below 1, or above the number of threads started.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"threads: got {n!r}, expected an integer")
    n = int(n)
    if n > numba.config.NUMBA_NUM_THREADS:
        _raise_limit(n)
    limit = numba.config.NUMBA_NUM_THREADS
    if not 1 <= n <= limit:
        raise ValueError(f"threads: got {n}, expected 1 to {limit}; to allow more, set the environment "
                         "variable NUMBA_NUM_THREADS before Python starts")
    numba.set_num_threads(n)


def _raise_limit(n):
    """Let Numba start ``n`` threads, if it has started none yet, and is of a version known to allow it."""
    if jit.FASTER is None or _layer() is not None:
        return
    from numba.np.ufunc import parallel
    numba.config.NUMBA_NUM_THREADS = parallel.NUM_THREADS = n
    parallel.snt_check = parallel.gen_snt_check()    # it remembers the old limit


def get_threads():
    """Return the number of threads that kernels use."""
    return numba.get_num_threads()


@intrinsic
def count_threads(typing):
    """`get_threads` for kernels. Numba's own would keep a kernel out of the cache."""
    numba.get_num_threads()    # starts the threads, and with them the function that is called

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(cgutils.intp_t, [])
        function = cgutils.get_or_insert_function(builder.module, kind, "get_num_threads")
        return builder.call(function, [])
    return types.intp(), generate


if numba.config.DISABLE_JIT:
    count_threads = get_threads


def threading_layer():
    """Start Numba's threads and return the name of the layer that runs them: "omp", "tbb" or "workqueue"."""
    numba.get_num_threads()
    return numba.threading_layer()


def _layer():
    """Return the name of the layer that runs Numba's threads, or None before they are started."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


_lost_threads = False


def _after_fork():
    global _lost_threads
    _lost_threads = _layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_process():
    """Raise RuntimeError in a process forked after kernels had run: a parallel kernel would end it."""
    if _lost_threads:
        raise RuntimeError("nnjit: got a process forked from one in which kernels had run, expected a new "
                           "one, because their threads do not survive a fork; start it with "
                           "multiprocessing.get_context('spawn')")


class _ExclusiveLayer:
    """The context in which Python calls parallel kernels, in several Python threads at once.

    Where Numba's threading layer cannot be entered twice (workqueue), the others wait until the first is
    done.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._wait = None    # whether they have to: not known before the layer is started

    def __enter__(self):
        check_process()
        if self._wait is not False:
            self._lock.acquire()
            self._wait = threading_layer() == "workqueue"
            if not self._wait:
                self._lock.release()

    def __exit__(self, *error):
        if self._wait:
            self._lock.release()


exclusive_layer = _ExclusiveLayer()


class _ParallelRegion:
    """The `exclusive_layer`, in which BLAS uses one thread for each of the kernels', which split the work.

    Models may train in several Python threads at once: the first to come sets BLAS's limit, the last to go
    lifts it.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside, self._limit, self._controller = 0, None, None

    def __enter__(self):
        exclusive_layer.__enter__()
        with self._lock:
            if self._inside == 0:
                self._limit = self._find().limit(limits=1)
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()
        exclusive_layer.__exit__(*error)

    def libraries(self):
        """Return what threadpoolctl knows of the BLAS libraries that are loaded, a list of dicts."""
        return self._find().info()

    def _find(self):
        if self._controller is None:
            blas.load_blas()    # loads the kernels' BLAS, which takes a while, so not before
            self._controller = ThreadpoolController().select(user_api="blas")
        return self._controller


parallel_region = _ParallelRegion()
