"""Kernels compiled ahead, by several processes that fill one cache.

A kernel for some types of arguments is written as its name and the types, ``"updates.sgd f8[1] f8[1] f8
f8"``: NumPy's codes, with the number of dimensions of arrays, which are all C-contiguous; ``(f8,f8)`` is a
tuple.
"""
import contextlib
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import numba
import numpy as np
from numba.core import errors, types
from numba.np import numpy_support

from . import cache

WORTH_HELP = 4    # kernels to be compiled, from which on another process helps with them


# ---- as text -----------------------------------------------------------------------------------------------

def loaded() -> list[str]:
    """Return the kernels that this process has compiled or loaded, as text."""
    found = []
    for name, kernel in cache.kernels.items():
        for signature in kernel.overloads:
            with contextlib.suppress(errors.NumbaError):    # of types that no job has
                found.append(" ".join([name, *map(_spelled, signature)]))
    return sorted(found)


def _spelled(type_):
    if isinstance(type_, types.BaseTuple):
        return f"({','.join(map(_spelled, type_))})"
    if isinstance(type_, types.Array) and type_ == types.Array(type_.dtype, type_.ndim, "C"):
        return f"{_spelled(type_.dtype)}[{type_.ndim}]"
    return numpy_support.as_dtype(type_).str[1:]


def _parsed(text):
    """Return the kernel and the types that a text stands for."""
    name, *spelled = text.split()
    importlib.import_module(f"nnjit.kernels.{name.rpartition('.')[0]}")
    return cache.kernels[name], tuple(map(_type, spelled))


def _type(text):
    if text.startswith("("):
        return types.Tuple(list(map(_type, text[1:-1].split(",") if len(text) > 2 else [])))
    dtype, _, dimensions = text.rstrip("]").partition("[")
    type_ = numpy_support.from_dtype(np.dtype(dtype))
    return types.Array(type_, int(dimensions), "C") if dimensions else type_


# ---- compiling ---------------------------------------------------------------------------------------------

def missing(texts: Sequence[str]) -> list[str]:
    """Return those of the kernels that are not on disk, in this order; none where nothing is compiled."""
    if numba.config.DISABLE_JIT:
        return []
    return [text for text in texts if not _is_kept(*_parsed(text))]


def _is_kept(kernel, types):
    holds = getattr(kernel._cache, "holds", None)    # Numba's own cache has none
    return types in kernel.overloads or holds is not None and holds(types, kernel.targetctx)


def compile_one(text: str) -> None:
    """Compile a kernel, or load it where another process has been faster."""
    kernel, types = _parsed(text)
    kernel.compile(types)


def compile_all(texts: Sequence[str], processes: int) -> Iterator[str]:
    """Compile kernels in so many processes; yield each when it is done, the first to be done first."""
    if processes == 1 or len(texts) < 2:
        for text in texts:
            compile_one(text)
            yield text
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(texts)), context) as pool:
        futures = {pool.submit(compile_one, text): text for text in texts}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(cancel_futures=True)    # at Ctrl-C, those that have not begun


@contextlib.contextmanager
def helped(missing: Sequence[str], processes: int) -> Iterator[None]:
    """The context in which other processes compile what this one will miss, beginning at the end.

    Where they meet, this one finds the rest on disk.
    """
    helpers = []
    if processes > 1 and len(missing) >= WORTH_HELP:
        count = min(processes - 1, len(missing) // 2)
        program = f"from {__name__} import main; main()"
        path = os.pathsep.join(filter(None, sys.path))
        silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        helpers = [subprocess.Popen([sys.executable, "-c", program, json.dumps(missing[::-1][k::count])],
                                    env={**os.environ, "PYTHONPATH": path}, start_new_session=True, **silent)
                   for k in range(count)]
    try:
        yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()


def main() -> None:
    """Compile the kernels of the list, in JSON, that is the process's argument."""
    for text in json.loads(sys.argv[1]):
        compile_one(text)
