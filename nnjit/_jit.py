"""How kernels are compiled: the decorators, the floating-point flags, the disk cache and the threads.

Nothing else in the package decides any of this. With ``NUMBA_DISABLE_JIT=1`` a kernel stays a Python function, which a
debugger can step through.
"""
import functools
import hashlib
import os
import threading
import warnings
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import caching, codegen, compiler, compiler_machinery, event, typed_passes
from numba.np.ufunc import parallel as threads

# May be reordered and fused, so that sums vectorise. `nnan` and `ninf` stay out: a NaN must remain visible.
FASTMATH = {"contract", "nsz", "arcp", "reassoc"}
# A formula whose order of rounding is its point (exp's argument reduction) may only be fused.
FORMULA_MATH = {"contract", "nsz"}

_PACKAGE = __name__.partition(".")[0]


def kernel(function):
    """Compile a serial kernel: arrays in, arrays out, the GIL released.

    It is inlined where another kernel calls it. Left to LLVM, that would differ between a program that has just been
    compiled and one from the cache, and with it the last bits of a sum.
    """
    return _compile(function, fastmath=FASTMATH, forceinline=True)


def parallel_kernel(function):
    """Compile a kernel whose ``numba.prange`` loop is split over threads."""
    return _compile(function, fastmath=FASTMATH, parallel=True)


def formula(function):
    """Compile a scalar formula, inlined where it is called and rounded in the order in which it is written."""
    return _compile(function, fastmath=FORMULA_MATH, forceinline=True)


def _compile(function, **options):
    if numba.config.DISABLE_JIT:
        return np.errstate(all="ignore")(function)    # compiled arithmetic does not warn either
    # A private kernel is called by other kernels alone: what would let Python call it is not compiled, and no file is kept.
    private = function.__name__.startswith("_")
    compiled = numba.njit(function, error_model="numpy", nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=private,
                          pipeline_class=_PartCompiler if private else _KernelCompiler, **options)
    if not private and function.__module__.partition(".")[0] == _PACKAGE:    # the cache's stamp knows no other files
        _enable_cache(compiled)
    return compiled


class _Library(codegen.JITCodeLibrary):
    """The code of a kernel, whose loops LLVM vectorises for whole registers.

    By itself it takes half of AVX-512's, because with all of them the first processors that had them became slower; which they
    are anyway while strips and BLAS use them.
    """

    def add_ir_module(self, module):
        for function in module.functions:
            if not function.is_declaration:    # llvmlite's own `add` knows attributes without a value alone
                set.add(function.attributes, '"prefer-vector-width"="512"')
        super().add_ir_module(module)


class _Part(_Library):
    """The code of a private kernel, which becomes machine code as a part of its callers' alone.

    Numba would write machine code for every kernel on the way from the innermost to the outermost, each with all within it:
    a tenth of the compilation.
    """

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    # Numba asks for the machine code, and gives it an environment; there is none.

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        pass


class _PartCompiler(compiler.Compiler):
    """Numba's compiler, which writes into a `_Part`."""

    def __init__(self, typing_context, target, library, *rest):
        super().__init__(typing_context, target, _Part(target.codegen(), "part"), *rest)


class _Loop(_Part):
    """The body of a `prange` loop, or one of the two functions that Numba puts between it and the kernel.

    Each has the one before within it. They are optimised once, as parts of the kernel, where Numba would do it four times: a
    sixth of the compilation. There all have to be inlined, or the counts of references to arrays would remain in the loop, for
    which threads wait for each other.
    """

    def _optimize_final_module(self):
        for function in self.get_defined_functions():
            if function.linkage == llvm.Linkage.external:
                function.add_function_attribute("alwaysinline")


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _LoopLowering(typed_passes.NativeParforLowering):
    """Numba's lowering of a kernel with `prange` loops, in which what it makes of a loop are `_Loop` libraries."""

    _name = "nnjit_loop_lowering"

    def run_pass(self, state):
        target = state.targetctx.codegen()
        target.create_library = functools.partial(_Loop, target)
        try:
            return super().run_pass(state)
        finally:
            del target.create_library


class _KernelCompiler(compiler.Compiler):
    """Numba's compiler with the `_LoopLowering`, which writes into a `_Library`."""

    def __init__(self, typing_context, target, library, *rest):
        library = _Library(target.codegen(), "kernel")
        library.enable_object_caching()    # what is not from the beginning on is not kept
        super().__init__(typing_context, target, library, *rest)

    def define_pipelines(self):
        [pipeline] = super().define_pipelines()
        pipeline.passes = [(_LoopLowering if step is typed_passes.NativeParforLowering else step, text)
                           for step, text in pipeline.passes]
        pipeline.finalize()
        return [pipeline]


_clock = event.TimingListener()
event.register("numba:compile", _clock)


def compile_seconds():
    """Return how long this process has compiled so far."""
    return _clock.duration if _clock.done else 0.0


# ---- the disk cache -------------------------------------------------------------------------------------------------

def _sources_stamp():
    """Return a hash of all that decides the machine code: the flags of this file, what it is made with, every kernel."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("_[a-z]*.py"), *(folder / "kernels").rglob("*.py")]):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


_STAMP = _sources_stamp()


class _FreshMixin:
    """A place for cached code. Numba keys it by a function's own file; a kernel is inlined code of others, too."""

    def get_source_stamp(self):
        return _STAMP


class _ChosenFolder(_FreshMixin, caching.UserProvidedCacheLocator):
    """``$NUMBA_CACHE_DIR``."""


class _PackageFolder(_FreshMixin, caching.InTreeCacheLocator):
    """``__pycache__`` beside the kernel."""


class _UserFolder(_FreshMixin, caching.UserWideCacheLocator):
    """The user's cache folder, for a package that lies where its user cannot write."""


class _CacheFiles(caching.CompileResultCacheImpl):
    _locator_classes = [_ChosenFolder, _PackageFolder, _UserFolder]


class _CodeFiles(caching.IndexDataCacheFile):
    """The files of one kernel. Numba numbers them, so that two processes could give one number to two signatures."""

    def save(self, key, data):
        name = self._data_name_pattern.replace("{number:d}", hashlib.sha256(repr(key).encode()).hexdigest()[:16])
        self._save_data(name, data)
        self._save_index({**self._load_index(), key: name})


class _KernelCache(caching.FunctionCache):
    """Numba's disk cache, except that a file which cannot be read or written costs a compilation and one warning."""

    _impl_class = _CacheFiles

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _CodeFiles(self._cache_path, self._impl.filename_base, _STAMP)

    def load_overload(self, signature, context):
        try:
            return super().load_overload(signature, context)
        except Exception as error:    # a truncated file can raise anything that unpickling can
            _warn_uncached(error)
            return None

    def save_overload(self, signature, data):
        try:
            super().save_overload(signature, data)
        except Exception as error:
            _warn_uncached(error)

    def _load_overload(self, signature, context):
        try:
            return super()._load_overload(signature, context)
        except Exception:
            self._forget()
            raise

    def _forget(self):
        """Remove a damaged index, so that the next save starts a new one."""
        Path(self._cache_file._index_path).unlink(missing_ok=True)


def _enable_cache(dispatcher):
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError as error:    # no folder can be written
        _warn_uncached(error)


_warned = False


def _warn_uncached(error):
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(f"nnjit: the cache of compiled kernels is unusable ({error}); compiling for this process alone. "
                      "Set NUMBA_CACHE_DIR to a writable folder.", RuntimeWarning, stacklevel=4)


def cache_folder():
    """Return the folder of the compiled kernels, a Path, or None where no folder can be written."""
    try:
        return Path(_KernelCache(cache_folder).cache_path)
    except RuntimeError:
        return None


# ---- threads --------------------------------------------------------------------------------------------------------

def set_threads(n):
    """Use ``n`` threads for the kernels of this Python thread. The results do not depend on it.

    Before the first parallel kernel has run, any ``n`` is possible; later at most the number that was started
    (``NUMBA_NUM_THREADS``, by default the number of cores).

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
    limit = numba.config.NUMBA_NUM_THREADS
    if n > limit and not threads._is_initialized:
        numba.config.NUMBA_NUM_THREADS = threads.NUM_THREADS = limit = n
        threads.snt_check = threads.gen_snt_check()    # it remembers the old limit
    if not 1 <= n <= limit:
        raise ValueError(f"threads: got {n}, expected 1 to {limit}; to allow more, set the environment variable "
                         "NUMBA_NUM_THREADS before Python starts")
    numba.set_num_threads(n)


def get_threads():
    """Return the number of threads that kernels use."""
    return numba.get_num_threads()


# The same within a kernel: what Numba's own code for `prange` calls. Its public twin would keep a kernel out of the cache.
count_threads = get_threads if numba.config.DISABLE_JIT else threads._iget_num_threads


def threading_layer():
    """Return the name of the layer that runs Numba's threads, which it starts: "omp", "tbb" or "workqueue"."""
    if not threads._is_initialized:
        numba.get_num_threads()
    return numba.threading_layer()


_lost_threads = False


def _after_fork():
    global _lost_threads
    _lost_threads = threads._is_initialized and numba.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_process():
    """Raise RuntimeError in a process that was forked after kernels had run: its first parallel kernel would end it."""
    if _lost_threads:
        raise RuntimeError("nnjit: got a process forked from one in which kernels had run, expected a new one, because their "
                           "threads do not survive a fork; start it with multiprocessing.get_context('spawn')")


class _Turns:
    """The context in which Python calls parallel kernels, in several Python threads at once.

    Where Numba's threading layer cannot be entered twice (workqueue), the others wait until the first is done.
    """

    def __init__(self):
        self._lock, self._wait = threading.RLock(), None    # whether they have to; not known before the layer is started

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


turns = _Turns()
