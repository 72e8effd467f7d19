"""The threads of kernels: their layer, their number, forks, the contexts in which Python calls kernels.

The bits of a result do not depend on the number of threads. So it need not be chosen: `race.Race` finds the
faster number while batches run, and `share.share` lets threads take the parts of a work when they are free.
"""
import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.ufunc import parallel
from threadpoolctl import ThreadpoolController

from . import blas, jit

# ---- the layer ---------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """What one of Numba's threading layers allows."""

    survives_fork: bool    # parallel kernels run in a process forked after others had run
    entered_twice: bool    # by two Python threads at the same time
    schedule: str          # static: a task of a loop always goes to the same thread; dynamic: to a free one


LAYERS = {
    "omp": Layer(survives_fork=sys.platform != "linux", entered_twice=True, schedule="static"),
    "tbb": Layer(survives_fork=True, entered_twice=True, schedule="dynamic"),
    "workqueue": Layer(survives_fork=True, entered_twice=False, schedule="static"),
}

# How often GNU OpenMP's threads look for work before they sleep. By default they do so for some milliseconds,
# in which they keep a core from whatever else would run; this many outlast the Python between two kernels.
_SPINS = "10000"


def threading_layer() -> str:
    """Start Numba's threads and return the name of the layer that runs them: "omp", "tbb" or "workqueue"."""
    if _started_layer() is None:
        _find_tbb()
        with _bounded_spinning():
            numba.get_num_threads()
    return numba.threading_layer()


def _started_layer():
    """Return the name of the layer, or None before it is started."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


@contextlib.contextmanager
def _bounded_spinning():
    """The context in which OpenMP's library, if it is loaded here, takes our bound; a user's own wins."""
    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
    if ours:
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        yield
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]


def _find_tbb():
    """Load TBB, if it is wanted, from the environment's ``lib``, where its wheel lies and Numba looks not."""
    if str(numba.config.THREADING_LAYER).lower() in ("tbb", "safe", "threadsafe", "forksafe"):
        for path in sorted(Path(sys.prefix, "lib").glob("libtbb.so.12")):
            with contextlib.suppress(OSError):    # Numba says what is wrong with it
                ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


# ---- their number ------------------------------------------------------------------------------------------

_fixed = None                  # the number that the user has set, or None for "auto"
_region = threading.local()    # ``threads``: what a Python thread has within a `parallel_region`


def set_threads(n: int | str) -> None:
    """Use ``n`` threads for the kernels, or with "auto", the default, as many as turn out to be fastest.

    The results do not depend on it. A number holds for all models and Python threads; with "auto" a training
    looks now and then whether fewer threads are faster, as they are for small networks and on a busy machine.

    Before the first parallel kernel has run, any ``n`` is possible; later at most the number that was started
    (``NUMBA_NUM_THREADS``, by default the number of cores). With a version of Numba that nnjit was not tested
    with, that is the most from the beginning on.

    Raises
    ------
    TypeError
        ``n`` is neither an integer nor "auto".
    ValueError
        ``n`` is below 1, or above the number of threads started.
    """
    global _fixed
    if isinstance(n, str) and n == "auto":
        _fixed = None
        _start_with(numba.config.NUMBA_NUM_THREADS)
        return
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"threads: got {n!r}, expected an integer or 'auto'")
    n = int(n)
    if n > numba.config.NUMBA_NUM_THREADS:
        _raise_limit(n)
    limit = numba.config.NUMBA_NUM_THREADS
    if not 1 <= n <= limit:
        raise ValueError(f"threads: got {n}, expected 1 to {limit}; to allow more, set the environment "
                         "variable NUMBA_NUM_THREADS before Python starts")
    _fixed = n
    _start_with(n)


def _start_with(n):
    threading_layer()
    numba.set_num_threads(n)    # of this Python thread, for kernels that are called outside of a model


def _raise_limit(n):
    """Let Numba start ``n`` threads, if it has started none yet, and is of a version known to allow it."""
    if jit.FASTER is None or _started_layer() is not None:
        return
    numba.config.NUMBA_NUM_THREADS = parallel.NUM_THREADS = n
    parallel.snt_check = parallel.gen_snt_check()    # it remembers the old limit


def get_threads() -> int:
    """Return the number of threads that kernels use: what `set_threads` has set, or with "auto" the most."""
    if _fixed is not None:
        return _fixed
    threading_layer()
    return getattr(_region, "threads", None) or numba.get_num_threads()


def fixed_threads() -> int | None:
    """Return the number that `set_threads` has set, or None for "auto"."""
    return _fixed


@intrinsic
def count_threads(typing):
    """`get_threads` for kernels. Numba's own would keep a kernel out of the cache."""
    threading_layer()    # starts the threads, and with them the function that is called

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(cgutils.intp_t, [])
        function = cgutils.get_or_insert_function(builder.module, kind, "get_num_threads")
        return builder.call(function, [])
    return types.intp(), generate


if numba.config.DISABLE_JIT:
    count_threads = numba.get_num_threads


# ---- processes ---------------------------------------------------------------------------------------------

_lost_threads = False


def check_process():
    """Raise RuntimeError in a forked process that the threads of the layer have not survived: a parallel
    kernel would end it.
    """
    if _lost_threads:
        raise RuntimeError("nnjit: got a process forked from one in which kernels had run, expected a new "
                           "one, because their threads do not survive a fork; start it with "
                           "multiprocessing.get_context('spawn')")


def _after_fork():
    """Forget, in the child, what belongs to threads of the parent."""
    global _lost_threads
    layer = _started_layer()
    _lost_threads = layer is not None and not LAYERS[layer].survives_fork
    exclusive_layer.__init__()
    _single_blas.__init__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ---- the contexts in which Python calls kernels ------------------------------------------------------------

class _ExclusiveLayer:
    """The context in which Python calls kernels, in several Python threads at once.

    Where the threading layer cannot be entered twice, the others wait until the first is done.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._wait = None    # whether they have to: not known before the layer is started

    def __enter__(self):
        if _lost_threads:
            check_process()
        if self._wait is not False:
            self._lock.acquire()
            self._wait = not LAYERS[threading_layer()].entered_twice
            if not self._wait:
                self._lock.release()

    def __exit__(self, *error):
        if self._wait:
            self._lock.release()


class _SingleBLAS:
    """The context in which BLAS uses one thread for each of the kernels', which split the work.

    Models may train in several Python threads at once: the first to come sets BLAS's limit, the last to go
    lifts it.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside, self._before, self._controller = 0, [], None

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                libraries = self._find().lib_controllers
                self._before = [(library, library.get_num_threads()) for library in libraries]
                for library in libraries:
                    _set_threads_of(library, 1)
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, number in self._before:
                    _set_threads_of(library, number)

    def libraries(self):
        """Return what threadpoolctl knows of the BLAS libraries that are loaded, a list of dicts."""
        return self._find().info()

    def _find(self):
        if self._controller is None:
            blas.load_blas()    # loads the kernels' BLAS, which takes a while, so not before
            self._controller = ThreadpoolController().select(user_api="blas")
        return self._controller


def _set_threads_of(library, number):
    """Set the number of threads of a BLAS library, whichever Python thread asks: threadpoolctl's own function
    does nothing, in its newer versions, in any but the first.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


exclusive_layer, _single_blas = _ExclusiveLayer(), _SingleBLAS()
blas_libraries = _single_blas.libraries


@contextlib.contextmanager
def parallel_region() -> Iterator[None]:
    """The context in which Python calls parallel kernels: they have `get_threads` threads, BLAS has one.

    The number that Numba uses outside is the same afterwards.
    """
    threads, outside = get_threads(), getattr(_region, "threads", None)
    with exclusive_layer, _single_blas, using(threads):
        _region.threads = threads
        try:
            yield
        finally:
            _region.threads = outside


@contextlib.contextmanager
def using(n):
    """The context in which the kernels of this Python thread use n threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(n)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def on_one_thread(function: Callable, argument):
    """Return ``function(argument)``, whose kernels use one thread: for a few rows."""
    with exclusive_layer:
        before = parallel._get_num_threads()    # without the checks, which take as long as a small kernel
        if before == 1:
            return function(argument)
        parallel._set_num_threads(1)
        try:
            return function(argument)
        finally:
            parallel._set_num_threads(before)
