"""Kernels touch no memory but that of their arrays, and depend on none that nobody has written; parallel ones
give the bits of one thread.

The kernels run in processes of their own, so that one that reads past an array is named, and the others are
tested, too.
"""
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import guard
import kernel_cases
import numba
import numpy as np
import pytest
from kernel_cases import KERNELS
from scale import TORTURE, times

import nnjit
from nnjit import kernels
from nnjit._numba import cache, jit, tiles

WIDTHS = times([1, 8, 17, 33, 130], [*range(1, 131)])
REPEATS = times(3, 100)
THREADS = 4
# Loops are cut for several threads, and one does all of it: what is wrong is wrong in the same place again.
ON_ONE_THREAD = {"NUMBA_NUM_THREADS": f"{THREADS}", "NUMBA_THREADING_LAYER": "omp", "OMP_THREAD_LIMIT": "1"}

pytestmark = [pytest.mark.compiled,
              pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")]


# ---- in a process of their own -----------------------------------------------------------------------------

def bits(array):
    return array.reshape(-1).view(np.uint8)


class AtGuardPages:
    """Calls a kernel with arrays at the end of pages, then at the start, in memory of other contents."""

    def __init__(self):
        self._places = guard.Pages(at_end=True, fill=0xFF), guard.Pages(at_end=False, fill=0)
        self._own = guard.OwnArrays(self._places[0])    # 0xFF...: NaN, or -1

    def problem(self, name, dtype, n):
        """Return what is wrong with a kernel, or None."""
        for N in kernel_cases.ROWS:
            found = [self._results(pages, name, dtype, N, n) for pages in self._places]
            if None in found:
                return f"it writes to an array that it is to read, of {N} rows"
            (end, returned), (start, returned_too) = found
            if returned != returned_too or not all(map(self._agree, end, start)):
                return f"its results depend on memory that nobody has written, for {N} rows"
        return None

    def _results(self, pages, name, dtype, N, n):
        """Return the bits of the arrays that it has written, and what it returns; None if it has written to
        others.
        """
        self._own.pages = pages
        arrays = kernel_cases.Arrays(dtype, N, n, pages.take)
        returned = repr(CALLS[name](arrays))
        unchanged = all(np.array_equal(bits(array), bits(values)) for array, values in arrays.inputs)
        results = [bits(array).copy() for array in arrays.results]
        pages.give_back_all()
        return (results, returned) if unchanged else None

    def _agree(self, end, start):
        """Whether bytes are the same, or still those that memory was filled with."""
        untouched = (end == self._places[0].fill) & (start == self._places[1].fill)
        return ((end == start) | untouched).all()


class OnThreads:
    """Calls a kernel, or its serial twin, on one thread, and the kernel on several, again and again."""

    def problem(self, name, dtype, n):
        """Return what is wrong with a kernel, or None."""
        expected = self._results(1, name.removesuffix("_in_chunks"), dtype, n)
        for repeat, threads in enumerate([2, 3, *REPEATS * [THREADS]]):
            if self._results(threads, name, dtype, n) != expected:
                return f"{threads} threads give other bits than one, in call {repeat}"
        return None

    def _results(self, threads, name, dtype, n):
        numba.set_num_threads(threads)
        arrays = kernel_cases.Arrays(dtype, 131, n, lambda nbytes: np.zeros(nbytes, np.uint8))
        returned = repr(CALLS[name](arrays))
        return [array.tobytes() for array in arrays.results], returned


def main(way, dtype, names, widths):
    """Say which call begins, and what is wrong with it: lines of JSON, (name, width, problem or None)."""
    caller = {"guard pages": AtGuardPages, "threads": OnThreads}[way]()
    for name in names:
        for n in widths:
            print(json.dumps([name, n, None]), flush=True)
            if problem := caller.problem(name, dtype, n):
                print(json.dumps([name, n, problem]), flush=True)
                break


# ---- the tests ---------------------------------------------------------------------------------------------

def run(way, dtype, names, widths, **environment):
    """Return what is wrong with kernels, {name: str}, and how many calls there were."""
    problems, calls, names = {}, 0, list(names)
    path = os.pathsep.join(map(str, [Path(nnjit.__file__).parents[1], Path(__file__).parent]))
    while names:
        done = subprocess.run([sys.executable, "-W", "error", "-X", "faulthandler", __file__,
                               json.dumps([way, dtype, names, widths])],
                              env={**os.environ, "PYTHONPATH": path, **environment}, check=False, text=True,
                              capture_output=True, timeout=1200)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr
        calls += len(lines)
        problems |= {name: f"of width {n}, {dtype}: {problem}" for name, n, problem in lines if problem}
        if done.returncode == 0:
            break
        name, n, _ = lines[-1]
        problems[name] = f"of width {n}, {dtype}: {done.stderr.strip()}"
        del names[:names.index(name) + 1]
    return problems, calls


def told(problems):
    return "\n".join(f"{name} {problem}" for name, problem in problems.items())


def compiled_kernels():
    """Return those of the package that Python calls, {name: dispatcher}."""
    found = {}
    for module in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            for kernel in (value, getattr(value, "serial", None), getattr(value, "parallel", None)):
                if hasattr(kernel, "py_func") and kernel.targetoptions["fastmath"] != jit.FORMULA_MATH:
                    found[cache.name_of(kernel.py_func)] = kernel
    return {name: kernel for name, kernel in found.items() if not name.rpartition(".")[2].startswith("_")}


def test_no_kernel_is_missing_in_the_table():
    assert sorted(compiled_kernels()) == sorted(KERNELS)


@pytest.mark.torture
@pytest.mark.parametrize("dtype", times(["float32"], ["float32", "float64"]))
def test_kernels_at_guard_pages(count, dtype):
    problems, calls = run("guard pages", dtype, KERNELS, WIDTHS, **ON_ONE_THREAD)
    assert not problems, told(problems)
    count("kernels at guard pages: calls", calls * 2 * len(kernel_cases.ROWS))


@pytest.mark.torture
@pytest.mark.parametrize("dtype", times(["float64"], ["float32", "float64"]))
def test_parallel_kernels_give_the_bits_of_one_thread(count, dtype):
    names = [name for name, kernel in compiled_kernels().items() if kernel.targetoptions.get("parallel")]
    problems, calls = run("threads", dtype, names, [37], NUMBA_NUM_THREADS=f"{THREADS}")
    assert not problems, told(problems)
    count("parallel kernels against one thread: calls", calls * (REPEATS + 2))


# ---- whether such faults are found -------------------------------------------------------------------------

@numba.njit(nogil=True)
def _vector_at(x, i, out):
    tiles.store_tile(tiles.load_tile(x, i, 0, 1, 32), out, 0, 0)


@numba.njit(nogil=True)
def _vector_of_own(x, out):
    own = np.zeros(x.size, x.dtype)
    for i in range(x.size):
        own[i] = x[i]
    tiles.store_tile(tiles.load_tile(own, x.size - 1, 0, 1, 32), out, 0, 0)


@numba.njit(nogil=True)
def _sum_of_some(x, out):
    own = np.empty(x.size, x.dtype)
    own[1:] = x[1:]
    out[0] = own.sum()


@numba.njit(nogil=True)
def _scale(x, out):
    for i in range(x.size):
        x[i] *= 2
        out[i] = x[i]


FAULTY = {
    "reads behind": lambda g: _vector_at(g.numbers(g.n), g.n - 7, g.fresh(8)),
    "reads before": lambda g: _vector_at(g.numbers(g.n), -1, g.fresh(8)),
    "reads behind an array of its own": lambda g: _vector_of_own(g.numbers(g.n), g.fresh(8)),
    "reads what nobody has written": lambda g: _sum_of_some(g.numbers(g.n), g.fresh(1)),
    "writes to what it is to read": lambda g: _scale(g.numbers(g.n), g.fresh(g.n)),
    "depends on the number of threads": lambda g: numba.get_num_threads(),
    "has no fault": lambda g: _vector_at(g.numbers(g.n), g.n - 8, g.fresh(8)),
}
CALLS = {**KERNELS, **FAULTY}


@pytest.mark.torture
@pytest.mark.skipif(not TORTURE, reason="takes long: a process ends at each fault")
def test_faults_are_found_and_named():
    *at_pages, on_threads, right = FAULTY
    problems, _ = run("guard pages", "float32", [*at_pages, right], [8, 9], **ON_ONE_THREAD)
    assert list(problems) == at_pages
    for name, problem in problems.items():
        assert problem.startswith("of width 8, float32: ")
        assert ("Segmentation fault" in problem) == ("behind" in name or "before" in name)
    problems, _ = run("threads", "float64", [on_threads, right], [8], NUMBA_NUM_THREADS=f"{THREADS}")
    assert problems == {on_threads: "of width 8, float64: 2 threads give other bits than one, in call 0"}


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
