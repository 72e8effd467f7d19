"""How kernels are compiled: the three decorators, the floating-point flags, and which compiler does it.

The decorators use public options of Numba. In the versions that `TESTED` names, one of them is the compiler
of `compiler.py`. In all others, or with ``NNJIT_PLAIN_NUMBA=1``, Numba's own compiles: the first compilation
takes about 1.5 times as long, and the bits are the same. The exception: on Intel's processors LLVM prefers
half of AVX-512's registers, and adds up some sums in another order, unless ``NUMBA_CPU_FEATURES`` has
``-prefer-256-bit``.

With ``NUMBA_DISABLE_JIT=1`` a kernel stays a Python function, which a debugger can step through.
"""
import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator

import numba
import numpy as np
from numba.core import event
from numba.core.compiler import Compiler

from . import cache

# May be reordered and fused, so that sums vectorise. `nnan` and `ninf` stay out: a NaN must remain visible.
FASTMATH = {"contract", "nsz", "arcp", "reassoc"}
# A formula whose order of rounding is its point (exp's argument reduction) may only be fused.
FORMULA_MATH = {"contract", "nsz"}

TESTED = (0, 62), (0, 68)    # the first and the last version of Numba that `compiler.py` is tested with


def kernel(function):
    """Compile a serial kernel: arrays in, arrays out, the GIL released.

    It is inlined where another kernel calls it. If LLVM decided that, a program that has just been compiled
    would differ from one that comes from the cache, and with it the last bits of a sum.
    """
    return _compile(function, fastmath=FASTMATH, forceinline=True)


def parallel_kernel(function):
    """Compile a kernel whose ``numba.prange`` loop is split over threads."""
    return _compile(function, fastmath=FASTMATH, parallel=True)


def formula(function):
    """Compile a scalar formula, inlined where it is called and rounded in the order in which it stands."""
    return _compile(function, fastmath=FORMULA_MATH, forceinline=True)


def _compile(function, **options):
    if numba.config.DISABLE_JIT:
        return np.errstate(all="ignore")(function)    # compiled arithmetic does not warn either
    # A private kernel is called only by kernels: what lets Python call it is not compiled, and no file is
    # kept. Nor is one of a kernel of the user's own: the cache would not see an edit of its file.
    private = function.__name__.startswith("_")
    kept = not private and cache.knows(function)
    options.update(error_model="numpy", nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=private)
    if FASTER is None:
        with cache.numba_folder() as usable:
            compiled = numba.njit(function, cache=usable and kept, **options)
    else:
        compiler = _part_compiler if private else _kernel_compiler
        compiled = numba.njit(function, pipeline_class=compiler, **options)
        if kept:
            cache.enable(compiled)
    if kept:
        cache.kernels[cache.name_of(function)] = compiled
    return compiled


# ---- which compiler ----------------------------------------------------------------------------------------

def _find_faster():
    """Return the module `compiler` and None, or None and why it is not used, a str."""
    if os.environ.get("NNJIT_PLAIN_NUMBA", "0") not in ("", "0"):
        return None, "NNJIT_PLAIN_NUMBA is set"
    if not TESTED[0] <= numba.version_info.short <= TESTED[1]:
        first, last = (".".join(map(str, version)) for version in TESTED)
        return None, f"Numba {numba.__version__} is not one of the tested versions, {first} to {last}"
    try:
        from . import compiler
        return compiler, None
    except Exception as error:    # a name that is missing, or a class that can no longer be made
        return None, f"Numba is not built as expected: {_one_line(error)}"


def _one_line(error):
    return f"{type(error).__name__}: {error}".partition("\n")[0]


FASTER, _refusal = _find_faster()


@functools.cache
def _failure():
    """Return why the faster compiler does not work, or None. A small kernel tells, before the first one."""
    try:
        FASTER.probe(error_model="numpy", nogil=True, no_cfunc_wrapper=True, fastmath=FASTMATH)
    except Exception as error:
        return f"a small kernel could not be compiled: {_one_line(error)}"
    return None


# Numba calls one of these, instead of its compiler's class, when it compiles: an import compiles nothing.

def _part_compiler(*arguments):
    return (Compiler if _failure() else FASTER.PartCompiler)(*arguments)


def _kernel_compiler(*arguments):
    return (Compiler if _failure() else FASTER.KernelCompiler)(*arguments)


def describe_compiler():
    """Return which compiler makes the kernels, a str: "fast", or "plain" or "none" and why."""
    if numba.config.DISABLE_JIT:
        return "none, because NUMBA_DISABLE_JIT is set"
    reason = _refusal or _failure()
    return f"plain, because {reason}" if reason else "fast"


class _Outermost(event.Listener):
    """Calls functions when a kernel begins and ends to compile, and not for those that it calls."""

    def __init__(self, begun, ended):
        self._begun, self._ended, self._depth, self._lock = begun, ended, 0, threading.Lock()

    def on_start(self, event):
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._begun()

    def on_end(self, event):
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._ended()


@contextlib.contextmanager
def watched(begun: Callable[[], None], ended: Callable[[], None]) -> Iterator[None]:
    """The context in which functions are called when a kernel begins, and has ended, to compile."""
    with event.install_listener("numba:compile", _Outermost(begun, ended)):
        yield


_clock = event.TimingListener()
event.register("numba:compile", _clock)


def compile_seconds() -> float:
    """Return how long this process has compiled so far."""
    return _clock.duration if _clock.done else 0.0


class Stopwatch:
    """Counts seconds from the moment it is made, and apart from them those in which kernels are compiled."""

    def __init__(self):
        self._begin, self._compiled_before = time.perf_counter(), compile_seconds()

    @property
    def compile_seconds(self) -> float:
        """Those in which kernels were compiled."""
        return compile_seconds() - self._compiled_before

    @property
    def seconds(self) -> float:
        """The others."""
        return time.perf_counter() - self._begin - self.compile_seconds
