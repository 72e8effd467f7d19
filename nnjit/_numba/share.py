"""Sharing: independent parts of a work, which Python threads take one after the other."""
import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba

from .threads import LAYERS, get_threads, threading_layer, using


class _Helpers:
    """Python threads that help with the work of others, made when first needed."""

    def __init__(self):
        self._lock, self._pool, self._numbers = threading.Lock(), None, []

    def start(self, function: Callable, count: int) -> list:
        """Let ``count`` threads call a function; return their futures."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, "nnjit",
                                                lambda: self._numbers.append(threading.get_native_id()))
        try:
            return [self._pool.submit(function) for _ in range(count)]
        except RuntimeError:    # Python is about to end
            return []

    @contextlib.contextmanager
    def apart(self):
        """The context in which helpers and this thread keep to different cores.

        Linux wakes a thread that has waited for Python's lock on the core of the one that gave it away, and
        may leave both there for milliseconds while another core is idle.
        """
        cores = os.sched_getaffinity(0) if _current_core else set()
        if len(cores) < 2:
            yield
            return
        own = {_current_core()} & cores or cores
        try:
            _keep_to(0, own)
            for number in self._numbers:
                _keep_to(number, cores - own)
            yield
        finally:
            _keep_to(0, cores)


def _keep_to(thread, cores):
    with contextlib.suppress(OSError, ValueError):
        os.sched_setaffinity(thread, cores)


def _find_current_core():
    """Return the C function that tells the core of a thread, or None where cores can't be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_current_core = _find_current_core()
_helpers = _Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.__init__)


class _Parts:
    """Independent parts of a work, 0 .. count - 1, which threads take one after the other."""

    def __init__(self, new_worker, count):
        self.new_worker, self.count, self.results, self.errors = new_worker, count, {}, {}
        self._open, self._lock, self._all_done = iter(range(count)), threading.Lock(), threading.Event()

    def work(self):
        """Take parts until there are none left, with kernels of one thread."""
        with using(1), self.new_worker() as function:
            for k in self._open:
                self._do(function, k)

    def finish(self, patience):
        """Wait so many seconds for the parts that others have taken; then do them once more."""
        if not self._all_done.wait(patience):    # whoever has taken one was put aside in it
            with using(1), self.new_worker() as function:
                for k in set(range(self.count)) - set(self.results):
                    self._do(function, k)

    def stop(self):
        """Let nobody take another part."""
        for _ in self._open:
            pass

    def _do(self, function, k):
        result = error = None
        try:
            result = function(k)
        except Exception as raised:
            error = raised
        with self._lock:
            if k in self.results:    # somebody else was faster
                return
            self.results[k] = result
            if error is not None:
                self.errors[k] = error
            if len(self.results) == self.count:
                self._all_done.set()


def share(new_worker: Callable, count: int) -> list:
    """Return ``[f(0), f(1), ...]``, ``count`` results of a function whose calls do not depend on each other.

    Each thread takes the next part when it is free, and has a function of its own: ``new_worker()`` is a
    context that gives it. Its kernels use one thread. Where other work keeps a core busy, threads do not wait
    for each other, as those of a parallel kernel do: a part that does not come back is done once more.

    An exception of ``f`` is raised here, the one of the first part that has one.
    """
    threads = min(get_threads(), count)
    if threads <= 1 or numba.config.DISABLE_JIT or not LAYERS[threading_layer()].entered_twice:
        with new_worker() as function:
            return [function(k) for k in range(count)]
    parts, begin = _Parts(new_worker, count), time.perf_counter()
    with _helpers.apart():
        helpers = _helpers.start(parts.work, threads - 1)
        try:
            parts.work()
            parts.finish(patience=threads * (time.perf_counter() - begin) / count)
        finally:
            parts.stop()
            for helper in helpers:
                helper.cancel()
    for k in sorted(parts.errors):
        raise parts.errors[k]
    return [parts.results[k] for k in range(count)]
